"""Messages that a worker sends to itself later, once or again and again.

Owns the timers of one incarnation. It must not know mailboxes or supervisors: it is
given a function that puts a mark into the worker's mailbox, and services that call it
back when time is up.

What is put into the mailbox is no message yet but a mark (`Due`), at its place in the
line. Only when the worker takes it does it become its message, handled then and there as
one that was told. So a timer takes no room in a mailbox, never waits at its bound, and
can be cancelled until the worker has come to it; and a mark of an earlier incarnation
means nothing to the next one.

The races, all closed by one lock per incarnation:

* A timer is due while it is cancelled. Either it is cancelled first and passed over, or
  its mark is queued, and means nothing when it is taken.
* The worker takes the mark while another thread cancels. One of the two finds the timer
  live and makes it over: the message is handled, or `cancel` has returned `True`.
* The incarnation ends while a timer is due. Either `end` finds it in the heap, or the
  mark is queued, and who takes it finds that its timers have ended.

A timer that recurs has one mark queued at most. When it is due and the last mark was not
taken yet, it rests; taking that sets it to the next multiple of its period. So a slow
worker is late by one message and never by a pile of them, and nobody wakes for it.
"""

from __future__ import annotations

import threading
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, final

from threadsup._checks import number
from threadsup._runtime.clock import monotonic
from threadsup._runtime.context import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._checks import Rule
    from threadsup._runtime.context import Context

__all__ = ["NOTHING", "Due", "Timer", "Timers", "every", "send_after"]

NOTHING: Any = object()
"""What a mark stands for whose timer is over."""

# Nobody waits for it, so it may be longer than the longest wait.
_DELAY = number(0, 10**9, "a number of seconds")
_PERIOD = number(0, 10**9, "a number of seconds", above=True)

_SPARE = 64
"""Cancelled timers that are not worth the sweeping."""


class _Services(Protocol):
    def post(self, call: Callable[[Any], None], argument: object, /) -> None: ...

    def set_timer(self, owner: Any, key: None, number: int, at: float | None, /) -> None: ...


@final
class Timer:
    """A message that is to come, or many; from `send_after` and `every`."""

    __slots__ = ("_due", "_timers")

    def __init__(self, timers: Timers, due: Due) -> None:
        self._timers = timers
        self._due = due

    def __repr__(self) -> str:
        period = self._due.period
        what = "once" if period is None else f"every {period:g} s"
        return f"<Timer, {what}, {'active' if self.active else 'over'}>"

    @property
    def active(self) -> bool:
        """Whether a message of it is still to be handled."""
        return self._timers.is_active(self._due)

    def cancel(self) -> bool:
        """Have no more messages of it handled. Never blocks; from any thread.

        Returns:
            Whether there would have been one: `False` when it was handled or is in hand,
            was cancelled before, or its incarnation has ended.
        """
        return self._timers.cancel(self._due)


@final
class Due:
    """What a timer is made of, and its mark in the mailbox when it is due."""

    __slots__ = ("at", "message", "over", "period", "queued", "timers", "waiting")

    def __init__(self, timers: Timers, at: float, period: float | None, message: Any) -> None:
        self.timers = timers
        self.at = at
        """When it is due, or was last."""
        self.period = period
        self.message = message
        self.waiting = False
        """Whether it is in the heap, to become due."""
        self.queued = False
        """Whether it is in the mailbox."""
        self.over = False

    def __call__(self) -> None:
        """Do nothing: who comes upon the mark and knows no timers lets it go."""

    def take(self) -> Any:
        """Return the message, or `NOTHING` if none is to come any more. The worker's."""
        return self.timers.take_mark(self)


@final
class Timers:
    """The timers of one incarnation."""

    __slots__ = ("_dead", "_due", "_ended", "_heap", "_lock", "_mark", "_numbers", "_services")

    def __init__(self, services: _Services, mark: Callable[[Due], object]) -> None:
        self._services = services
        self._mark = mark
        """Puts a mark into the mailbox."""
        self._lock = threading.RLock()
        """Re-entrant, as what the collector destroys may do anything."""
        self._numbers = count()
        self._heap: list[tuple[float, int, Due]] = []
        self._dead = 0
        """How many in the heap are cancelled."""
        self._due = inf
        """When the supervisor's timer is due that is set, or will be: that was posted."""
        self._ended = False

    # -- the worker's ---------------------------------------------------------------

    def send_after(self, seconds: float, message: Any) -> Timer:
        """Have a message come once, in `seconds`. Never blocks.

        Raises:
            ValueError: `seconds` is no finite number of 0 or more.
        """
        return self._start(seconds, None, message, _DELAY)

    def every(self, seconds: float, message: Any) -> Timer:
        """Have a message come every `seconds`, the first in `seconds`. Never blocks.

        Raises:
            ValueError: `seconds` is no finite number above 0.
        """
        return self._start(seconds, seconds, message, _PERIOD)

    def _start(self, seconds: float, period: float | None, message: Any, rule: Rule) -> Timer:
        if problem := rule(seconds):
            raise ValueError(f"seconds {problem}")
        due = Due(self, monotonic() + seconds, period, message)
        with self._lock:
            if not self._ended:
                self._push(due)
        return Timer(self, due)

    def is_active(self, due: Due) -> bool:
        """Do what `Timer.active` says."""
        return not (due.over or self._ended)

    def cancel(self, due: Due) -> bool:
        """Do what `Timer.cancel` says."""
        with self._lock:
            if not self.is_active(due):
                return False
            # Let go of when the lock is free: its destructor is code of users.
            message, due.message = due.message, None
            due.over = True
            self._dead += due.waiting
            if self._dead > _SPARE and 2 * self._dead > len(self._heap):
                self._heap = [entry for entry in self._heap if not entry[2].over]
                heapify(self._heap)
                self._dead = 0
        del message
        return True

    def take_mark(self, due: Due) -> Any:
        """Do what `Due.take` says."""
        with self._lock:
            if not self.is_active(due):
                return NOTHING
            due.queued = False
            message = due.message
            if due.period is None:
                due.over, due.message = True, None
            elif not due.waiting:  # it was due again meanwhile, and rests
                self._push_next(due, due.period, monotonic())
            return message

    def end(self) -> None:
        """Cancel all of them: the incarnation is over, or given up on. Never blocks."""
        with self._lock:
            self._ended = True
            heap, self._heap = self._heap, []  # let go of below, for the reason above
            armed, self._due = self._due != inf, inf
        del heap
        if armed:
            self._services.post(self._arm, None)

    def _push(self, due: Due) -> None:
        due.waiting = True
        heappush(self._heap, (due.at, next(self._numbers), due))
        if due.at < self._due:
            self._due = due.at
            self._services.post(self._arm, None)

    def _push_next(self, due: Due, period: float, now: float) -> None:
        """Set one that recurs to the first multiple of its period that is to come."""
        # From when it ought to have been, not from when it was: it never drifts.
        due.at += period * (max(0.0, now - due.at) // period + 1)
        self._push(due)

    # -- the supervisor's thread's ----------------------------------------------------

    def _arm(self, _: None) -> None:
        with self._lock:
            heap = self._heap
            while heap and heap[0][2].over:
                heappop(heap)
                self._dead -= 1
            at = heap[0][0] if heap else None
            self._due = inf if at is None else at
            self._services.set_timer(self, None, 0, at)

    def take(self, deadline: object) -> None:  # noqa: ARG002 - there is only one
        """Put the marks of those that are due: the supervisor's timer is."""
        marks = []
        with self._lock:
            now = monotonic()
            while self._heap and self._heap[0][0] <= now:
                due = heappop(self._heap)[2]
                due.waiting = False
                if due.over:
                    self._dead -= 1
                elif not due.queued:
                    due.queued = True
                    marks.append(due)
                    if due.period is not None:
                        self._push_next(due, due.period, now)
            self._arm(None)
        # Without the lock: a mailbox has one of its own. One that was cancelled meanwhile
        # is queued and means nothing.
        for due in marks:
            self._mark(due)


def send_after(seconds: float, message: Any) -> Timer:
    """Have `message` come to the mailbox of the worker whose thread this is, later.

    Never blocks. See `Context.send_after`; a `Worker` or a `GenServer` has it as a method.

    Returns:
        A handle, to `cancel()` it.

    Raises:
        ValueError: `seconds` is no finite number of 0 or more.
        RuntimeError: this is not the thread of a worker.
    """
    return _here("send_after").send_after(seconds, message)


def every(seconds: float, message: Any) -> Timer:
    """Have `message` come to the mailbox of the worker whose thread this is, repeatedly.

    Never blocks. See `Context.every`; a `Worker` or a `GenServer` has it as a method.

    Returns:
        A handle, to `cancel()` it.

    Raises:
        ValueError: `seconds` is no finite number above 0.
        RuntimeError: this is not the thread of a worker.
    """
    return _here("every").every(seconds, message)


def _here(what: str) -> Context:
    context = current()
    if context is None:
        raise RuntimeError(f"{what}() sends to the worker that calls it; this thread is none's")
    return context
