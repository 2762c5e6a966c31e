"""How long one life has had its message in hand, and telling when it is too long.

Owns the hand of a life that has a time limit, and its one timer. It must not know
what becomes of a life that is overdue: it is given a function to call.

No polling, and nothing to do for a worker that is idle. The worker posts once when it
gets busy; from then on the supervisor's thread has a timer. When that is due it looks
into the hand: empty, and there is no timer any more; a younger message, and the timer
is set to its end; else the message is overdue. So a busy worker costs one wake-up per
time limit, however many messages it handles.

Two races, closed by one lock that nobody else's worker takes:

* The supervisor finds the hand empty while a message is put into it. Either it looks
  later, and keeps the timer; or the worker finds `_armed` false, and posts.
* The handler returns while the supervisor finds it overdue. The lock is held until
  the life has been fenced. Either the worker takes the message out first, and it is
  not overdue; or fencing does, and the worker finds the hand empty. In no case is it
  the next message that is fenced: it cannot get into the hand in between.
"""

from __future__ import annotations

import threading
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, SupportsIndex, final

from threadsup._runtime.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WatchedHand"]


class _Services(Protocol):
    def post(self, call: Callable[[Any], None], argument: object, /) -> None: ...

    def set_timer(self, owner: Any, key: None, number: int, at: float | None, /) -> None: ...


@final
class WatchedHand(list[Any]):
    """The hand of a life whose messages have a time limit; one message or none."""

    __slots__ = ("_armed", "_limit", "_lock", "_over", "_overdue", "_services", "_since")

    def __init__(self, services: _Services, limit: float, overdue: Callable[[float], None]) -> None:
        super().__init__()
        self._services = services
        self._limit = limit
        self._overdue = overdue
        self._lock = threading.RLock()
        """Re-entrant: who finds the message overdue takes it out."""
        self._armed = False
        """Whether there is a timer, or will be: it has been posted."""
        self._since = inf
        self._over = False

    # -- the worker's ---------------------------------------------------------------

    def append(self, raw: Any, /) -> None:
        """Take a message into the hand, and see to it that there is a timer."""
        with self._lock:
            super().append(raw)
            self._since = monotonic()
            armed, self._armed = self._armed, True
        if not armed:
            self._services.post(self._arm, None)

    def pop(self, index: SupportsIndex = -1, /) -> Any:
        """Take the message out of the hand; only one of those who try gets it."""
        with self._lock:
            return super().pop(index)

    # -- the supervisor's thread's --------------------------------------------------

    def _arm(self, _: None) -> None:
        if not self._over:
            self._services.set_timer(self, None, 0, self._since + self._limit)

    def take(self, deadline: object) -> None:  # noqa: ARG002 - there is only one
        """Look into the hand: the timer is due."""
        with self._lock:
            if not self:
                self._armed = False
                return
            now = monotonic()
            if now < self._since + self._limit:
                self._services.set_timer(self, None, 0, self._since + self._limit)
            else:
                self._overdue(now - self._since)

    def end(self) -> None:
        """Take the timer away: the life is over, or given up on."""
        self._over = True
        self._services.set_timer(self, None, 0, None)
