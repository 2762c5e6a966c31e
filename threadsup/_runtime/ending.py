"""The end of a child: who waits for it, who is told of it, whether it is for good.

Owns the last exit of one child, its monitors and the waiting for its final end,
through all its incarnations. It must not know why a child ends or comes back.

The race: somebody begins to monitor while the child ends. The list of monitors and
the final end change together, under one lock. A monitor that comes either is in the
list when the end is told, or finds the end and is told it at once; never both.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, final

from threadsup._errors import NotRunningError, ReplyTimeout
from threadsup._runtime.future import Future
from threadsup._runtime.side import Listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import Exit, ExitReason
    from threadsup._runtime.side import Side

__all__ = ["Ending"]


class _Services(Protocol):
    side: Side

    def settle(
        self, future: Any, value: Any = None, error: BaseException | None = None
    ) -> None: ...


@final
class Ending:
    """How often one child has ended, and whether it has for good."""

    def __init__(self, services: _Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        """Guards the monitors and the final end, which change together."""
        self._monitors: list[Listener[Exit]] = []
        self.last: Exit | None = None
        """The end of the last incarnation, `None` before there was one."""
        self.final: Exit | None = None
        """The same while the child is over, until it is started again."""
        self._over: Future[ExitReason] = Future()

    # -- the supervisor's thread's --------------------------------------------------

    def reopen(self) -> None:
        """Note that the child is started, for the first time or again."""
        with self._lock:
            self.final = None
            if self._over.done():
                self._over = Future()

    def down(self, note: Exit) -> None:
        """Note the end of an incarnation, and tell it. Runs no code of users."""
        with self._lock:
            self.last = note
            self.final = note if note.final else None
            monitors = tuple(self._monitors)
        for monitor in monitors:
            self._services.side.do(partial(monitor, note))

    @property
    def is_told(self) -> bool:
        """Whether all have heard that it is over, and it was not started again."""
        return self.final is not None and self._over.done()

    def decided(self, nothing: Exit) -> None:
        """Note that the child is over; `nothing` is the end of one that never ran.

        Whoever was told that it comes back, or nothing, is told that it does not: a
        monitor may wait for the final end as well as anybody.
        """
        if self.is_told:
            return
        with self._lock:
            last = self.last or nothing
            monitors = () if self.final is not None else tuple(self._monitors)
            self.final = note = last if last.final else replace(last, final=True)
        for monitor in monitors:
            self._services.side.do(partial(monitor, note))
        self._services.settle(self._over, last.reason)

    def fail(self, error: BaseException) -> None:
        """Fail whoever waits: nobody will tell the end any more."""
        self._services.settle(self._over, error=error)

    def mark_forked(self, why: str) -> None:
        """Fail whoever waits in the child of a fork. Takes no lock."""
        self._lock = threading.Lock()  # whoever held the other does not exist here
        self._over = Future()
        self._over.set_exception(NotRunningError(why))

    # -- anybody's ------------------------------------------------------------------

    def wait(self, timeout: float | None) -> ExitReason | None:
        """Wait for the final end; `None` when the time is up first."""
        try:
            return self._over.result(timeout)
        except ReplyTimeout:
            return None

    def monitor(self, fn: Callable[[Exit], object]) -> Callable[[], None]:
        """Have `fn` called at each exit, and now if the child is over."""
        monitor = Listener(fn)
        with self._lock:
            final = self.final
            self._monitors.append(monitor)
        if final is not None:
            self._services.side.do(partial(monitor, final))

        def end() -> None:
            monitor.fn = None
            with self._lock, suppress(ValueError):  # ended before
                self._monitors.remove(monitor)

        return end
