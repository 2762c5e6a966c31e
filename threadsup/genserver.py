"""Servers in the shape of OTP: the names that go with `GenServer`, in one place.

Owns nothing: the class stands with the descriptions, which have to know it, and what runs
it with the machinery. It must not know either.
"""

from threadsup._runtime.owed import ReplyToken
from threadsup._specs import Cast, GenServer, Request

__all__ = ["Cast", "GenServer", "ReplyToken", "Request"]
