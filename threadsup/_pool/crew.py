"""The workers of a pool under their supervisor: how many there are, and how that changes.

Owns the group they are, and the number of them. It must not know what they do. It holds
the supervisor, which is handed in, and is held by no worker.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, final

from threadsup._errors import NotRunningError, ThreadsupError, UnknownChildError
from threadsup._pool.counts import PoolStatistics
from threadsup._pool.worker import Post
from threadsup._runtime.context import current
from threadsup._specs import handler, worker_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from threadsup._exits import ChildId
    from threadsup._pool.backlog import Backlog
    from threadsup._pool.core import Core
    from threadsup._pool.worker import Setup
    from threadsup._snapshot import WorkerStatistics
    from threadsup._supervisor import Supervisor

__all__ = ["Crew", "is_in"]


@final
class Crew:
    """The workers of one pool."""

    def __init__(
        self, core: Core, supervisor: Supervisor, setup: Setup, options: dict[str, Any]
    ) -> None:
        self._core = core
        self._supervisor = supervisor
        self._setup = setup
        self._options = options
        self._lock = threading.RLock()
        """Guards the number of workers; held while one is added."""
        self._ids = count(1)
        self._posts: dict[ChildId, Post] = {}

    def __len__(self) -> int:
        return len(self._posts)

    def start(self, sources: Sequence[Backlog], *, owned: bool, **budget: Any) -> None:
        """Start the workers, each to take from one of `sources`; all or none.

        Blocks: until they are up. Raises as `Supervisor.add_group` and `start`.
        """
        options: Any = self._options
        specs = [
            worker_spec(handler(post), id=number, restart="transient", **options)
            for number, post in map(self._declare, sources)
        ]
        self._supervisor.add_group(
            self._core.name, specs, strategy="one_for_one", significant=owned, **budget
        )
        if owned:
            self._supervisor.start()
        else:
            self._core.on_over = partial(_remove_group, self._supervisor, self._core.name)

    def _declare(self, source: Backlog) -> tuple[int, Post]:
        post = Post(self._core, source, self._setup)
        number = next(self._ids)
        self._posts[number] = post
        post.remove = partial(_remove_worker, self._supervisor, self._core.name, number)
        return number, post

    def resize(self, workers: int) -> None:
        """Have so many workers; see `Pool.resize`."""
        core = self._core
        with self._lock:
            if core.closed:
                raise NotRunningError(f"pool {core.name!r} was shut down: it cannot be resized")
            missing = workers - len(self._posts)
            partition = core.partition
            going = [self._posts.pop(number) for number in list(self._posts)[workers:]]
            try:
                for _ in range(missing):
                    self._add(partition.another() if partition else core.shared)
            finally:
                if partition is not None and (missing > 0 or going):
                    partition.settle([post.source for post in self._posts.values()])  # type: ignore[misc]
            for post in going:
                post.dismiss()

    def _add(self, source: Backlog) -> None:
        """Add a worker; one that does not start is not there."""
        number, post = self._declare(source)
        options: Any = self._options
        try:
            self._supervisor.group(self._core.name).add_worker(
                handler(post), id=number, restart="transient", **options
            )
        except BaseException:
            del self._posts[number]
            raise

    def statistics(self) -> PoolStatistics:
        """Return what has become of all tasks so far."""
        workers: dict[ChildId, WorkerStatistics] = {}
        with suppress(UnknownChildError):  # a group that is over is gone
            workers = dict(self._supervisor.group(self._core.name).statistics().members)
        return PoolStatistics(**self._core.counts(), workers=workers)


def is_in(supervisor: Supervisor, name: str) -> bool:
    """Tell whether this thread is one of a pool's workers, or the side thread of its tree."""
    if supervisor._services.side.is_current:  # noqa: SLF001 - as above
        return True
    context = current()
    if context is None:
        return False
    group = context.group
    return group is not None and group.id == name and context.supervisor is supervisor


def _remove_group(supervisor: Supervisor, name: str) -> None:
    """Have a group removed whose workers have all left. Never blocks."""
    with suppress(ThreadsupError):  # it is being stopped as a whole
        supervisor._root.errand("remove_child", name)  # noqa: SLF001 - as above


def _remove_worker(supervisor: Supervisor, name: str, id: ChildId) -> None:
    """Have a worker removed that has left. Never blocks."""
    with suppress(ThreadsupError):
        supervisor.group(name).scope.errand("remove_child", id)
