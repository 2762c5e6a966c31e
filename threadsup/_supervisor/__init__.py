"""The authority: one thread that takes requests and exits, asks, and acts."""

from threadsup._supervisor.api import Supervisor, get, running

__all__ = ["Supervisor", "get", "running"]
