"""The usual bars: so many times as good as another, at most so much, several at once.

Owns their wording and their arithmetic. It must not know any work.

Each takes one figure, or one for builds with the GIL and one for those without.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.work import Bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.work import Contestant

__all__ = ["at_least", "at_most", "both", "over", "within"]


def over(
    who: Contestant,
    gil: float,
    free: float | None = None,
    *,
    more_is_better: bool = False,
    aim: Bar | None = None,
) -> Bar:
    """Ask for being at least so many times as good as `who`."""
    test = _as_good if more_is_better else _as_short

    def make(times: float) -> Bar:
        return Bar(_wording(who, times), partial(test, who, times))

    return _per_build(make, gil, free, aim)


def within(
    who: Contestant,
    gil: float,
    free: float | None = None,
    *,
    more_is_better: bool = False,
    aim: Bar | None = None,
) -> Bar:
    """Ask for taking at most so many times what `who` takes: 1.25 is a quarter more."""
    without = None if free is None else 1 / free
    return over(who, 1 / gil, without, more_is_better=more_is_better, aim=aim)


def at_most(gil: float, free: float | None = None, *, unit: str, aim: Bar | None = None) -> Bar:
    """Ask for a figure of at most so much, whatever the others reach."""

    def make(most: float) -> Bar:
        return Bar(f"<= {most:g} {unit}", lambda medians: bool(medians["threadsup"] <= most))

    return _per_build(make, gil, free, aim)


def at_least(gil: float, free: float | None = None, *, unit: str, aim: Bar | None = None) -> Bar:
    """Ask for a figure of at least so much, whatever the others reach."""

    def make(least: float) -> Bar:
        return Bar(f">= {least:g} {unit}", lambda medians: bool(medians["threadsup"] >= least))

    return _per_build(make, gil, free, aim)


def both(*bars: Bar) -> Bar:
    """Ask for all of them. An aim is the first one that any of them has."""

    def all_of(each: tuple[Bar, ...]) -> Bar:
        def reached(medians: Any) -> bool:
            found = [bar.reached(medians) for bar in each]  # all: one may lack a contestant
            return all(found)

        text = " and ".join(bar.text for bar in each)
        aim = next((bar.aim for bar in each if bar.aim is not None), None)
        return Bar(text, reached, needs_cores=any(bar.needs_cores for bar in each), aim=aim)

    free = tuple(bar.here(free=True) for bar in bars)
    return replace(all_of(bars), free=None if free == bars else all_of(free))


def _per_build(
    make: Callable[[float], Bar], gil: float, free: float | None, aim: Bar | None
) -> Bar:
    with_gil = replace(make(gil), aim=aim)
    if free is None or free == gil:
        return with_gil
    without = replace(make(free), aim=aim and aim.here(free=True))
    return replace(with_gil, free=without)


def _wording(who: Contestant, times: float) -> str:
    name = "the floor" if who == "floor" else who
    if times == 1:
        return f"not slower than {name}"
    return f">= {times:g}x {name}" if times > 1 else f"within {1 / times:.3g}x of {name}"


def _as_short(who: Contestant, times: float, medians: Any) -> bool:
    return bool(medians[who] >= times * medians["threadsup"])


def _as_good(who: Contestant, times: float, medians: Any) -> bool:
    return bool(medians["threadsup"] >= times * medians[who])
