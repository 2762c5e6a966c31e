"""Waiting for one's turn where only so many may go in so much time.

Owns the line of those who wait, the replicas of a stage, and one lock. It must not know
how many may go: it asks a window that is given to it.

Who comes first goes first. Only the first in line looks at the window, and sleeps until
it is worth asking again; the others sleep until they are the first. Whoever leaves the
line, with a turn, to stop, or by an exception, wakes the one who is first then. So a
turn wakes one thread, however many wait, and so does a change of rate.
"""

from __future__ import annotations

import threading
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, final

from threadsup._runtime.clock import monotonic
from threadsup._runtime.context import Wakeup, current

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Limiter", "WindowLike"]


class WindowLike(Protocol):
    """What decides. Called under the lock, with a time that never goes back."""

    def take(self, now: float, /) -> float:
        """Return 0 for a turn, which is then taken, or in how many seconds to ask again."""

    def change(self, rate: Any, /) -> None:
        """Go by another rate from now on."""


class _Waiting:
    """One who stands in line: by its place, whatever it is woken for."""

    __slots__ = ("wakeup",)

    def __init__(self) -> None:
        self.wakeup = Wakeup()


@final
class Limiter:
    """A rate that several threads share."""

    __slots__ = ("_clock", "_free", "_line", "_lock", "_window")

    def __init__(self, window: WindowLike, clock: Callable[[], float] = monotonic) -> None:
        self._window = window
        self._clock = clock
        self._lock = threading.Lock()
        """Guards the window and the line; never held while anybody waits."""
        self._line: deque[_Waiting] = deque()
        self._free = False
        """Whether there is no rate any more."""

    def turn(self, give_way: bool = True, unless: Callable[[], bool] | None = None) -> bool:
        """Wait for a turn; return `False` if asked to stop before it came.

        Also `False` when it comes to be that there is something else to do: who makes
        `unless` true calls `look_up` then.

        Blocks: as long as the rate says. Without `give_way` a worker that is asked to
        stop waits on, or leaves with `WorkerExit`, as `Wakeup.wait` says.
        """
        with self._lock:
            if not self._line and self._take() <= 0:
                return True
            me = _Waiting()
            self._line.append(me)
        try:
            while (pause := self._ask(me)) > 0:
                # Behind `_ask`, which makes what `look_up` sets.
                if unless is not None and unless():
                    return False
                if not me.wakeup.pass_time(pause, give_way) and give_way and _is_stopping():
                    return False
            return True
        finally:
            self._leave(me)

    def try_turn(self) -> bool:
        """Take a turn if there is one now. Never blocks."""
        with self._lock:
            return not self._line and self._take() <= 0

    def change(self, rate: Any | None) -> None:
        """Go by another rate from now on, for those who wait as well; by none with `None`.

        Never blocks.
        """
        with self._lock:
            self._free = rate is None
            if rate is not None:
                self._window.change(rate)
            self._call_first()

    def look_up(self) -> None:
        """Have all who wait see whether they have something else to do. Never blocks."""
        with self._lock:
            for each in self._line:
                each.wakeup.set()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._line)

    def _ask(self, me: _Waiting) -> float:
        """Return 0 with a turn, else how long to sleep; `inf`: until one is the first."""
        with self._lock:
            # Made anew and looked then, in one step: who changes what is seen here
            # either has done so, or wakes the sleep that follows.
            me.wakeup = Wakeup()
            return self._take() if self._line[0] is me else inf

    def _take(self) -> float:
        return 0.0 if self._free else self._window.take(self._clock())

    def _leave(self, me: _Waiting) -> None:
        with self._lock:
            was_first = self._line[0] is me
            self._line.remove(me)
            if was_first:
                self._call_first()

    def _call_first(self) -> None:
        if self._line:
            self._line[0].wakeup.set()


def _is_stopping() -> bool:
    """Tell whether this thread is a worker's that was asked to stop.

    A wait that gives way does not say whether it did, or its time was up.
    """
    context = current()
    return context is not None and context.stopping
