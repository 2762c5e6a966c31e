"""The end of the process: what was submitted is finished first.

Owns the table of pools that are not over, and the exit hook. It must not know what a
pool is made of.

As with a `ThreadPoolExecutor`, a program may end its main thread and rely on what it has
submitted being done. But not on a worker that hangs: one pool is waited for as long as
some task of it ends every now and then. This hook was registered after that which stops
trees, so it runs before it.
"""

from __future__ import annotations

import atexit
import logging
from typing import TYPE_CHECKING, Protocol

from threadsup._errors import ReplyTimeout
from threadsup._runtime import process

if TYPE_CHECKING:
    from threadsup._runtime.future import Future

__all__ = ["enrol", "forked", "strike"]

_logger = logging.getLogger("threadsup")

_pools: dict[Leaving, float | None] = {}
"""Adding, taking out and copying are atomic."""

DEFAULT_LIMIT = 10.0
"""Seconds without any task ending after which a pool is not waited for any more."""


class Leaving(Protocol):
    """What this file needs of a pool."""

    name: str
    over: Future[None]

    def close(self) -> None:
        """Accept nothing any more."""

    def counts(self) -> dict[str, int]:
        """Return what has been done so far, among others."""


def enrol(pool: Leaving, limit: float | None = DEFAULT_LIMIT) -> None:
    """Note a pool that is to finish, and how long it may stand still; `None`: for ever."""
    _pools[pool] = limit


def strike(pool: Leaving) -> None:
    """Note that a pool is over."""
    _pools.pop(pool, None)


def forked() -> None:
    """Forget all: this is the child of a fork."""
    _pools.clear()


def _finish_all() -> None:
    pools = _pools.copy()
    for pool in pools:
        pool.close()
    for pool, limit in pools.items():
        _finish(pool, limit)


def _finish(pool: Leaving, limit: float | None) -> None:
    ended = -1
    while ended != (ended := _ended(pool)):
        try:
            pool.over.result(limit)
        except ReplyTimeout:
            continue
        return
    _logger.error(
        "pool %r did not finish as the process ended: no task ended within %g s", pool.name, limit
    )


def _ended(pool: Leaving) -> int:
    counts = pool.counts()
    return counts["handled"] + counts["failed"] + counts["undelivered"] + counts["retried"]


assert process is not None, "imported for its exit hook, which is to run after this one"
atexit.register(_finish_all)
