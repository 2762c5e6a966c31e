"""Servers in the shape of OTP: one that forgets, one that lets its callers wait."""
