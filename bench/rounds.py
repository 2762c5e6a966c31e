"""The rounds: contestants take turns, and one who cannot go on says why.

Owns the order of turns. It must not know where a contestant runs: a `Seat` does.
"""

from __future__ import annotations

import gc
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

from bench.entrants import lacking, ordered, rounds_of
from bench.work import Result, free_threaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from bench.work import Contestant, Way, Work

    Sit = Callable[[Work, Contestant], AbstractContextManager["Seat"]]
    """Opens a seat for one contestant of one work."""
    Progress = Callable[[str], None]

__all__ = ["Seat", "Unable", "inline", "run"]

WARM = 10
"""Which part of a round is done to warm up."""


class Unable(Exception):  # noqa: N818 - it is said of a contestant, and is no fault of ours
    """A contestant cannot do its work; the text says why."""


class Seat(Protocol):
    """Where one contestant does one work."""

    @property
    def free(self) -> bool:
        """Whether it runs without the GIL."""

    def turn(self, count: int) -> Sequence[float]:
        """Do the work once; return a figure per row. Blocks.

        Raises:
            Unable: it cannot.
        """


class _Inline:
    def __init__(self, way: Way) -> None:
        self._way = way

    @property
    def free(self) -> bool:
        return free_threaded()

    def turn(self, count: int) -> Sequence[float]:
        gc.collect()
        return self._way(count)


@contextmanager
def inline(work: Work, who: Contestant) -> Iterator[Seat]:
    """Open a seat in this very process: quick, and what a contestant leaves behind stays.

    Raises:
        Unable: what it needs is not installed.
    """
    if why := lacking(who):
        raise Unable(why)
    yield _Inline(work.ways[who])


def run(
    work: Work,
    sit: Sit,
    *,
    quick: bool = False,
    count: int | None = None,
    rounds: int | None = None,
    progress: Progress = lambda _: None,
) -> list[Result]:
    """Do a work in rounds, the contestants in turn, and return a result per row. Blocks.

    A machine that slows down meanwhile slows down all of them; each round begins with
    another one, so that nobody always inherits the same neighbour's state. Who cannot
    do it is left out from then on, with the reason.
    """
    if count is None:
        count = work.quick if quick else work.count
    rounds = 1 if quick else rounds or work.rounds
    # What is done first pays for imports and the allocator's first pages; a work of one
    # round is either too long for it or starts afresh each time.
    warm = 0 if quick or work.rounds == 1 else max(1, count // WARM)
    with ExitStack() as stack:
        party = _Party(work, progress)
        party.gather(lambda who: stack.enter_context(sit(work, who)), warm)
        for number in range(1, rounds + 1):
            party.play(number, rounds, count)
        return party.results(count)


class _Party:
    """The contestants of one work, in the order of their next turn."""

    def __init__(self, work: Work, progress: Progress) -> None:
        self._work = work
        self._progress = progress
        self._turn = list(ordered(work.ways))
        self._seats: dict[Contestant, Seat] = {}
        self._figures: dict[Contestant, list[Sequence[float]]] = {who: [] for who in self._turn}
        self._unable: dict[Contestant, str] = {}

    def gather(self, sit: Callable[[Contestant], Seat], warm: int) -> None:
        """Have all sit down and warm up."""
        for who in list(self._turn):
            with self._excused(who, "warming up"):
                self._seats[who] = sit(who)
                if warm:
                    self._seats[who].turn(warm)

    def play(self, number: int, rounds: int, count: int) -> None:
        """Let each do it once; the next round begins with another one."""
        for who in list(self._turn):
            if number <= rounds_of(who, rounds):
                with self._excused(who, f"round {number} of {rounds}"):
                    found = self._seats[who].turn(count)
                    if len(found) != len(self._work.rows):
                        raise Unable(f"{len(found)} figures for {len(self._work.rows)} rows")
                    self._figures[who].append(found)
        self._turn = [*self._turn[1:], *self._turn[:1]]

    @contextmanager
    def _excused(self, who: Contestant, what: str) -> Iterator[None]:
        self._progress(f"{what}, {who}")
        try:
            yield
        except Unable as why:
            self._unable[who] = str(why)
            self._turn.remove(who)
            del self._figures[who]  # what it did before it failed is no figure of this work

    def results(self, count: int) -> list[Result]:
        """Return what each row came to."""
        free = [seat.free for seat in self._seats.values()]
        return [
            Result(
                row,
                count,
                {who: [found[place] for found in each] for who, each in self._figures.items()},
                self._unable,
                all(free) if free else free_threaded(),
            )
            for place, row in enumerate(self._work.rows)
        ]
