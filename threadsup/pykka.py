"""Pykka's names, for programs that are written `pykka.ThreadingActor`.

`from threadsup import pykka` instead of `import pykka` is all that changes: actors and
futures are this library's, everything else is Pykka's own.

Owns no more than the names. It must not know what is behind them.
"""

from pykka import (
    Actor,
    ActorDeadError,
    ActorProxy,
    ActorRef,
    ActorRegistry,
    CallableProxy,
    Future,
    Timeout,
    debug,
    get_all,
    messages,
    traversable,
    typing,
)

from threadsup._runtime.future import Future as ThreadingFuture
from threadsup._runtime.threading_actor import ThreadingActor

__all__ = [
    "Actor",
    "ActorDeadError",
    "ActorProxy",
    "ActorRef",
    "ActorRegistry",
    "CallableProxy",
    "Future",
    "ThreadingActor",
    "ThreadingFuture",
    "Timeout",
    "debug",
    "get_all",
    "messages",
    "traversable",
    "typing",
]
