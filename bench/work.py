"""A work: one thing done by several contestants, and what it must reach.

Owns what a work is, and the judgement of its figures. It must not know what is done, who
does it in which process, nor how the result is shown.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Way: TypeAlias = Callable[[int], tuple[float, ...]]
    """Does it so many times; returns a figure per row of the work."""

Contestant: TypeAlias = str
"""A name: one of `entrants.ENTRANTS`, or another that needs nothing installed."""

__all__ = ["Bar", "Contestant", "Result", "Row", "Work", "free_threaded"]


def free_threaded() -> bool:
    """Return whether this process runs without the GIL."""
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


@dataclass(frozen=True, slots=True)
class Bar:
    """What threadsup must reach in one row; `bars` makes the usual ones."""

    text: str
    reached: Callable[[Mapping[Contestant, float]], bool]
    """Given the median of each contestant. One that is missing there may be a `KeyError`."""
    needs_cores: bool = False
    """Whether it is for builds without the GIL only."""
    free: Bar | None = None
    """What takes its place on builds without the GIL."""
    aim: Bar | None = None
    """What would be better still; shown, and no row is missed for it."""

    def here(self, *, free: bool) -> Bar:
        """Return the bar of a build without the GIL, or of one with it."""
        return self.free if free and self.free is not None else self


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of a work."""

    name: str
    unit: str
    bar: Bar | None = None
    more_is_better: bool = False
    curve: str = ""
    """The picture this row is a point of, if it is: rows of one curve differ in `at` only."""
    at: float = 0.0
    """Where on the curve: how many threads, pairs, workers."""
    axis: str = ""
    """What `at` counts."""


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
    unable: dict[Contestant, str] = field(default_factory=dict)
    """Who could not do it, and why."""
    free: bool = field(default_factory=free_threaded)
    """Whether the contestants ran without the GIL."""

    @property
    def medians(self) -> dict[Contestant, float]:
        """The middle figure of each contestant that has any."""
        return {who: statistics.median(each) for who, each in self.figures.items() if each}

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
    def bar(self) -> Bar | None:
        """The bar of the build that was measured."""
        return self.row.bar and self.row.bar.here(free=self.free)

    @property
    def reached(self) -> bool | None:
        """Whether the bar is reached; `None`: there is none, or it does not apply."""
        bar = self.bar
        if bar is None or self.exempt:
            return None
        return "threadsup" in self.medians and bar.reached(self.medians)

    @property
    def aimed(self) -> bool | None:
        """Whether what would be better still is reached; `None`: nothing is, or nobody knows."""
        aim = self.bar and self.bar.aim
        if aim is None or "threadsup" not in self.medians:
            return None
        try:
            return aim.reached(self.medians)
        except KeyError:
            return None

    @property
    def failed(self) -> bool:
        """Whether threadsup could not do it, and bare threads have no such excuse."""
        why = self.unable.get("threadsup")
        return why is not None and self.unable.get("floor") != why

    @property
    def exempt(self) -> str:
        """Why the bar does not apply, if it does not."""
        bar, medians = self.bar, self.medians
        if bar is None:
            return ""
        if "threadsup" in self.unable and not self.failed:
            return f"not judged, {self.unable['threadsup']}"
        if bar.needs_cores:
            if not self.free:
                return "not for a build with the GIL"
            if "floor" in medians and not bar.reached({**medians, "threadsup": medians["floor"]}):
                return "not judged, bare threads do not reach it here: the machine is busy"
        if "threadsup" in medians:
            try:
                bar.reached(medians)
            except KeyError as missing:
                (who,) = missing.args
                return f"not judged, {who}: {self.unable.get(who, 'no figure')}"
        return ""
