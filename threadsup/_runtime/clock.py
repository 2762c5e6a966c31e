"""The clock of the machinery: monotonic seconds for limits, wall time for people.

Owns which clock is read for what, so that a jump of the wall clock can never
shorten a limit or spend a budget, and how a test takes the monotonic one into its own
hands. Decisions get time as an argument and import nothing of this.

What is decided by time reads `monotonic` of this module: timers, pauses, limits of a
worker, rates. Two things read that of `time`: records for people, since when a message
is in hand; and the time that a caller is ready to wait for somebody else, which is to
run out though no test moves a clock.

A thread that sleeps until a moment does not see that the clock was moved. So it leaves
word first, what wakes it, and looks at the clock then; who moves it moves it first and
then wakes all who left word. Either the sleeper sees the new time, or it is woken.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "advance",
    "alarm",
    "as_real",
    "forget",
    "hold",
    "is_held",
    "left_until",
    "listen",
    "monotonic",
    "release",
    "wall",
]

wall = time.time
"""Seconds since the epoch, for records that people read; it may jump."""


class _Clock:
    """What a test has made of the clock: nothing, as a rule."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Guards these two; readers take none."""
        self.held: float | None = None
        """Where it stands, if it was stopped."""
        self.shift = 0.0
        """How far it is ahead, after it was."""
        self.listeners: set[Callable[[], object]] = set()
        """Adding, discarding and copying are atomic."""

    def tell(self) -> None:
        for wake in self.listeners.copy():
            wake()


_clock = _Clock()


def monotonic() -> float:
    """Return the time by which is decided, in seconds. Never blocks."""
    held = _clock.held  # once: it may be let go meanwhile
    return time.monotonic() + _clock.shift if held is None else held


def left_until(at: float) -> float:
    """Return how many seconds to sleep until a moment; `inf`: until one is woken."""
    left = max(0.0, at - monotonic())
    return inf if left and is_held() else left


def as_real(at: float) -> float:
    """Return when a moment of this clock comes on that of `time`; `inf`: nobody knows."""
    if is_held():
        return inf if at > monotonic() else -inf
    return at - _clock.shift


def listen(wake: Callable[[], object]) -> None:
    """Have `wake()` called whenever the clock was moved, until it is forgotten."""
    _clock.listeners.add(wake)


def forget(wake: Callable[[], object]) -> None:
    """End that."""
    _clock.listeners.discard(wake)


@contextmanager
def alarm(at: float, ring: Callable[[], object]) -> Iterator[bool]:
    """Have `ring()` called when a test has moved the clock to a moment.

    Yields whether it will be: `False` where the clock goes by itself, so that a sleep has
    to have its own limit. Also rings when the clock is let go, for that reason.
    """
    if not is_held():
        yield False
        return

    def look() -> None:
        if not is_held() or monotonic() >= at:
            ring()

    listen(look)
    look()  # only now: it may have been moved in between
    try:
        yield True
    finally:
        forget(look)


# -- for tests ------------------------------------------------------------------------


def is_held() -> bool:
    """Return whether the clock stands until it is moved."""
    return _clock.held is not None


def hold() -> None:
    """Stop the clock; it goes on by `advance` only.

    Raises:
        RuntimeError: it was stopped before.
    """
    with _clock.lock:
        if is_held():
            raise RuntimeError("the clock is held already: one ManualClock at a time")
        _clock.held = monotonic()
    _clock.tell()


def advance(seconds: float) -> None:
    """Move the clock that was stopped, and wake who sleeps. Never blocks for long.

    Raises:
        RuntimeError: it was not stopped.
    """
    with _clock.lock:
        if _clock.held is None:
            raise RuntimeError("the clock is not held: use `with ManualClock() as clock`")
        _clock.held += seconds
    _clock.tell()


def release() -> None:
    """Let the clock go on by itself, from where it stands; if it does, do nothing."""
    with _clock.lock:
        if _clock.held is not None:
            _clock.shift = _clock.held - time.monotonic()
            _clock.held = None
    _clock.tell()
