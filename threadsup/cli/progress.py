"""What a command says while a tree runs: plain lines, few enough to be read.

Owns the wording, and the rule that keeps a crash storm readable: of what happens to one
child over and over, one line a second is printed, with the count of those left out.
It must not know when a line is due.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from itertools import chain
from math import inf
from typing import TYPE_CHECKING

from threadsup._errors import UnknownChildError
from threadsup._exits import Shutdown
from threadsup.cli.drawing import count
from threadsup.events import (
    CallbackFailed,
    GaveUp,
    OrderLost,
    Restarting,
    WorkerAbandoned,
    WorkerEnded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from threadsup._exits import ChildId
    from threadsup._snapshot import StopReport
    from threadsup._supervisor.api import Supervisor
    from threadsup.events import Event, Path

__all__ = ["PAUSE", "Progress", "complain", "in_one_line", "shown"]

PAUSE = 1.0
"""Seconds between two lines about the same thing that keeps happening."""


def complain(line: str) -> None:
    """Print a line where errors go."""
    with contextlib.suppress(OSError):  # the terminal is gone
        print(f"threadsup: {line}", file=sys.stderr, flush=True)


def in_one_line(text: str) -> str:
    """Return `text` without ends of lines and codes that a terminal would act upon.

    The message of an exception may hold both.
    """
    words = " ".join(text.split())
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in words
    )


class Progress:
    """Prints lines, each with the seconds since this was made.

    Args:
        chains: Ids of the chains whose items the lines of statistics count.
        clock: Monotonic seconds.
    """

    def __init__(
        self, chains: Sequence[ChildId] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self.began = clock()
        self._chains = chains
        self._told: dict[tuple[type, Path], float] = {}
        self._untold: Counter[tuple[type, Path]] = Counter()
        self._numbers = ""

    def __enter__(self) -> None:
        """Begin to show how the tree is."""

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""

    def line(self, text: str) -> str:
        """Return a line that says `text`."""
        return f"{self.clock() - self.began:8.1f} s  {text}"

    def say(self, text: str) -> None:
        """Print one line."""
        try:
            # Its end with it, in one piece: a worker may print at this moment.
            print(f"{self.line(text)}\n", end="", flush=True)
        except OSError:
            # The reader went away (`| head`) or the disk is full, which is no reason to
            # end the work.
            self.give_up()

    def give_up(self) -> None:
        """Have what is printed from here on, and what Python flushes at its end, go nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)

    def doing(self, what: str) -> None:
        """Take note of what the tree as a whole does."""

    def event(self, event: Event) -> None:
        """Say what happened, unless the like of it was said a moment ago."""
        text = in_one_line(_phrase(event))
        if not text:
            return
        subject = (type(event), getattr(event, "path", ()))
        now = self.clock()
        if now - self._told.get(subject, -inf) < PAUSE:
            self._untold[subject] += 1
            return
        self._told[subject] = now
        more = self._untold.pop(subject, 0)
        self.say(f"{text} (and {count(more, 'time')} before that)" if more else text)

    def statistics(self, tree: Supervisor) -> None:
        """Say the numbers, if they have changed since they were said."""
        numbers = self._sum(tree)
        if numbers != self._numbers:
            self._numbers = numbers
            self.say(numbers)

    def report(self, tree: Supervisor, report: StopReport) -> None:
        """Say how the tree ended: the last numbers, who did not stop, what is lost."""
        self.statistics(tree)
        self.say(str(report))

    def _sum(self, tree: Supervisor) -> str:
        total = tree.statistics()
        parts = [
            f"{total.handled:,} handled",
            f"{total.failed:,} failed",
            f"{total.undelivered:,} undelivered",
            f"{total.pending:,} pending",
            count(total.restarts, "restart"),
        ]
        if total.zombies:
            parts.append(count(total.zombies, "zombie"))
        for ident in self._chains:
            try:
                items = tree.chain(ident).statistics().items
            except UnknownChildError:  # it ended and was forgotten
                continue
            done = items.offered - items.in_flight
            parts.append(f"{shown((ident,))} {done:,} of {items.offered:,} items")
        return ", ".join(parts)


def shown(path: Path) -> str:
    """Return whom an event is about: ids from the outside in, joined by slashes."""
    parts = (part if isinstance(part, tuple) else (part,) for part in path)
    return "/".join(map(str, chain.from_iterable(parts)))


def _phrase(event: Event) -> str:
    """Return what to say of an event; nothing of those every start and stop brings."""
    match event:
        case Restarting():
            pause = f" in {event.delay:.2f} s" if event.delay else ""
            return f"restarting {shown(event.path)}{pause}: {event.reason}"
        case GaveUp():
            return f"gave up on {shown(event.path)}: {event.reason}"
        case WorkerEnded() if event.final and not isinstance(event.reason, Shutdown):
            return f"ended {shown(event.path)}: {event.reason}"
        case WorkerAbandoned():
            doing = f"in {event.doing} for {event.since:.1f} s"
            return f"abandoned {shown(event.path)}: {doing}"
        case OrderLost():
            return f"lost the order by key of {shown(event.path)}: {event.why}"
        case CallbackFailed():
            return f"failed in {shown(event.path)}: {event.what}"
        case _:
            return ""
