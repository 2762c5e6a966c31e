"""Machinery: threads, mailboxes, Pykka. Knows no strategy, no group, no chain."""
