"""Tasks that failed and wait to be tried again, and nobody with them.

Owns these tasks and their one timer, which is the tree's: no worker waits, and no thread
is there for it. It must not know why a task waits, or what is done when it comes back.

The timer is set by the supervisor's thread, which is asked to when a pause is to end
before all others. When it is due, that thread brings back what is due: that runs no code
of users and never blocks.
"""

from __future__ import annotations

import threading
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, final

from threadsup._runtime.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._pool.work import Work

__all__ = ["Pauses"]


class _Services(Protocol):
    def post(self, call: Callable[[Any], None], argument: object, /) -> None: ...

    def set_timer(self, owner: Any, key: None, number: int, at: float | None, /) -> None: ...


@final
class Pauses:
    """What one pool has put away."""

    __slots__ = ("_back", "_due", "_ended", "_heap", "_lock", "_numbers", "_services", "_settled")

    def __init__(
        self, services: _Services, back: Callable[[Work], None], settled: Callable[[], None]
    ) -> None:
        self._services = services
        self._back = back
        self._settled = settled
        """Called when something is here no more."""
        self._lock = threading.RLock()
        """Re-entrant, as what the collector destroys may do anything."""
        self._heap: list[tuple[float, int, Work]] = []
        self._numbers = count()
        self._due = inf
        """When the timer is due that is set, or will be: that was posted."""
        self._ended = False

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, work: Work, seconds: float) -> bool:
        """Keep a task for so long; `False`: it is too late for that. Never blocks."""
        at = monotonic() + seconds
        with self._lock:
            if self._ended:
                return False
            heappush(self._heap, (at, next(self._numbers), work))
            sooner = at < self._due
            if sooner:
                self._due = at
        if sooner:
            self._services.post(self._set, None)
        return True

    def end(self) -> list[Work]:
        """Keep nothing any more; return what there was. Never blocks."""
        with self._lock:
            self._ended = True
            works = [work for _, _, work in sorted(self._heap, key=lambda entry: entry[:2])]
            self._heap.clear()
            return works

    # -- the supervisor's thread's --------------------------------------------------

    def _set(self, _: None) -> None:
        with self._lock:
            self._due = self._heap[0][0] if self._heap else inf
            self._services.set_timer(self, None, 0, None if self._due == inf else self._due)

    def take(self, deadline: object) -> None:  # noqa: ARG002 - there is only one
        """Bring back what is due: the timer is."""
        now = monotonic()
        with self._lock:
            # In one step: at no moment is a task neither here nor in the backlog, so
            # that who looks at both, first here, misses none.
            while self._heap and self._heap[0][0] <= now:
                self._back(self._heap[0][2])
                heappop(self._heap)
            self._set(None)
        # What came back may be done already, by one who found it here still and went to
        # sleep: for another pause to end, which there is not.
        self._settled()
