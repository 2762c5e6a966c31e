"""The log: the first subscriber of every tree.

Owns how events read as log lines, and that a storm of them stays readable: a
child that has written `BURST` lines within a second is silent for the rest of
it, and says how often when it speaks again. It must not know who reads them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from threadsup import events
from threadsup._exits import Crashed

if TYPE_CHECKING:
    from threadsup.events import Event, Path

__all__ = ["BURST", "LogLines", "is_worth_a_line"]

_logger = logging.getLogger("threadsup")

BURST = 10
"""Lines per second and child."""

_PATHS = 1_000
"""How many children are remembered after the second in which they wrote, or a few more."""


class LogLines:
    """Writes events to the logger `threadsup`; called in the side thread."""

    def __init__(self) -> None:
        self._budgets: dict[Path, tuple[float, int, int]] = {}
        """Per path: when its second began, lines in it, lines suppressed."""
        self._sweep_at = _PATHS

    def __call__(self, event: Event) -> None:
        """Write a line, if the event is worth one."""
        line = _line(event)
        if line is None:
            return
        level, text = line
        if not _logger.isEnabledFor(level):
            return
        suppressed = self._admit(getattr(event, "path", ()), event.at)
        if suppressed is None:
            return
        if suppressed:
            text = f"{text} ({suppressed} lines about it were suppressed)"
        # Only now: it takes a while to write one, and nobody reads what is suppressed.
        if trace := _trace(event).rstrip():
            text = f"{text}\n{trace}"
        _logger.log(level, "%s: %s", event.supervisor, text)

    def _admit(self, path: Path, at: float) -> int | None:
        """Return how many lines were suppressed before this one, `None` if it is too."""
        if len(self._budgets) >= self._sweep_at:  # children come and go
            self._budgets = {
                known: budget for known, budget in self._budgets.items() if at - budget[0] < 1.0
            }
            self._sweep_at = _PATHS + 2 * len(self._budgets)
        begun, lines, suppressed = self._budgets.get(path, (at, 0, 0))
        if not 0 <= at - begun < 1.0:  # the wall clock may be set back, too
            self._budgets[path] = (at, 1, 0)
            return suppressed
        if lines >= BURST:
            self._budgets[path] = (begun, lines, suppressed + 1)
            return None
        self._budgets[path] = (begun, lines + 1, suppressed)
        return 0


def is_worth_a_line(event: Event) -> bool:
    """Tell whether there may be a line about it. Runs no code of users."""
    match event:
        case events.WorkerEnded() | events.SupervisorEnded():
            return type(event.reason) is Crashed
        case events.WorkerStarted() | events.SupervisorStarted():
            return False
        case events.Restarting():
            return event.delay > 0
        case _:
            return True


def _line(event: Event) -> tuple[int, str] | None:
    line: tuple[int, str] | None = None
    match event:
        case events.WorkerEnded(reason=Crashed() as reason):
            after = f", not restarted: {event.why}" if event.final else ""
            text = f"{_name(event.path)} (incarnation {event.incarnation}) {reason}{after}"
            line = logging.ERROR, text
        case events.WorkerAbandoned():
            text = f"{_name(event.path)} (incarnation {event.incarnation}) was abandoned: "
            text += f"in {event.doing} for {event.since:.1f} s"
            line = logging.WARNING, text
        case events.OrderLost():
            line = logging.WARNING, f"{_name(event.path)} has lost its order by key: {event.why}"
        case events.Restarting() if event.delay:
            text = f"{_name(event.path)} is restarted in {event.delay:.2f} s"
            line = logging.INFO, text
        case events.GaveUp():
            upward = "; its supervisor counts it" if event.escalates else ""
            line = logging.ERROR, f"gave up on {_name(event.path)}: {event.reason}{upward}"
        case events.Scaled(before=before, after=after, why=why):
            line = logging.INFO, f"{_name(event.path)}: {before} to {after} replicas, {why}"
        case events.SupervisorEnded(reason=Crashed() as reason, path=()):  # else see `GaveUp`
            line = logging.ERROR, str(reason)
        case events.CallbackFailed():
            line = logging.ERROR, f"{_name(event.path)}: {event.what}"
    return line


def _trace(event: Event) -> str:
    match event:
        case events.WorkerEnded(reason=Crashed() as reason):
            return reason.traceback
        case events.SupervisorEnded(reason=Crashed() as reason):
            return reason.traceback
        case _:
            return ""


def _name(path: Path) -> str:
    return " / ".join(str(part) for part in path)
