"""A work: one thing done by several contestants, in turn, and what it must reach.

Owns the rounds, the medians and the judgement. It must not know what is done, nor how
the result is shown.
"""

from __future__ import annotations

import gc
import statistics
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Contestant: TypeAlias = Literal["floor", "Pykka", "threadsup"]
    Way: TypeAlias = Callable[[int], tuple[float, ...]]
    """Does it so many times; returns a figure per row of the work."""

__all__ = ["CONTESTANTS", "Bar", "Result", "Row", "Work", "free_threaded", "run"]

CONTESTANTS: tuple[Contestant, ...] = ("floor", "Pykka", "threadsup")


def free_threaded() -> bool:
    """Return whether this process runs without the GIL."""
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


@dataclass(frozen=True, slots=True)
class Bar:
    """What threadsup must reach in one row."""

    text: str
    reached: Callable[[Mapping[Contestant, float]], bool]
    """Given the median of each contestant."""
    needs_cores: bool = False
    """Whether it is for builds without the GIL only."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of a work."""

    name: str
    unit: str
    bar: Bar | None = None
    more_is_better: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One thing that each contestant does in its own way."""

    rows: tuple[Row, ...]
    ways: Mapping[Contestant, Way]
    count: int
    """How often it is done in a round."""
    quick: int
    """How often where only whether it works is of interest."""
    rounds: int = 5


@dataclass(frozen=True, slots=True)
class Result:
    """What a row came to."""

    row: Row
    count: int
    figures: dict[Contestant, list[float]] = field(default_factory=dict)
    """One per round."""

    @property
    def medians(self) -> dict[Contestant, float]:
        """The middle figure of each contestant."""
        return {who: statistics.median(each) for who, each in self.figures.items()}

    def spread(self, who: Contestant) -> float:
        """Return how far the rounds are apart: half the range as a share of the median."""
        each = self.figures[who]
        middle = statistics.median(each)
        return (max(each) - min(each)) / 2 / abs(middle) if middle else 0.0

    def over(self, other: Contestant) -> float | None:
        """Return how many times as good as `other` threadsup is, above 1 is better."""
        medians = self.medians
        if other not in medians or "threadsup" not in medians:
            return None
        ours, theirs = medians["threadsup"], medians[other]
        better, worse = (ours, theirs) if self.row.more_is_better else (theirs, ours)
        return better / worse if worse else None

    @property
    def reached(self) -> bool | None:
        """Whether the bar is reached; `None`: there is none, or it does not apply."""
        bar = self.row.bar
        if bar is None or self.exempt:
            return None
        return bar.reached(self.medians)

    @property
    def exempt(self) -> str:
        """Why the bar does not apply, if it does not."""
        bar, medians = self.row.bar, self.medians
        if bar is None or not bar.needs_cores:
            return ""
        if not free_threaded():
            return "not for a build with the GIL"
        if "floor" in medians and not bar.reached({**medians, "threadsup": medians["floor"]}):
            return "not judged, bare threads do not reach it here: the machine is busy"
        return ""


def run(work: Work, *, quick: bool = False, count: int | None = None) -> list[Result]:
    """Do a work in rounds, the contestants in turn, and return a result per row. Blocks.

    A machine that slows down meanwhile slows down all of them; each round begins with
    another one, so that nobody always inherits the same neighbour's garbage.
    """
    if count is None:
        count = work.quick if quick else work.count
    results = [Result(row, count, {who: [] for who in work.ways}) for row in work.rows]
    turn = list(work.ways)
    if not quick and work.rounds > 1:
        for who in turn:  # what is done first pays for imports and the allocator's first pages
            work.ways[who](max(1, count // 10))
    for _ in range(1 if quick else work.rounds):
        for who in turn:
            gc.collect()
            figures = work.ways[who](count)
            for result, figure in zip(results, figures, strict=True):
                result.figures[who].append(figure)
        turn.append(turn.pop(0))
    return results
