"""The usual bars: their arithmetic, their wording, and the one of each build."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bench.bars import at_least, at_most, both, over, within

if TYPE_CHECKING:
    from bench.work import Bar


def judged(bar: Bar, *, free: bool = False, **medians: Any) -> tuple[str, bool]:
    here = bar.here(free=free)
    return here.text, here.reached(medians)


@pytest.mark.parametrize(("ours", "free", "reached"), [(1, False, True), (2, False, False)])
def test_so_many_times_as_good_as_another(ours: int, free: bool, reached: bool) -> None:
    """Less time is better; each build has its own factor."""
    bar = over("Pykka", 10, 5)
    assert judged(bar, free=free, Pykka=10, threadsup=ours) == (">= 10x Pykka", reached)
    assert judged(bar, free=True, Pykka=10, threadsup=2) == (">= 5x Pykka", True)


def test_where_more_is_better_the_larger_figure_wins() -> None:
    """The ratio is turned round."""
    bar = over("floor", 2, more_is_better=True)
    assert judged(bar, floor=1, threadsup=2) == (">= 2x the floor", True)
    assert judged(bar, floor=1, threadsup=1.9) == (">= 2x the floor", False)


def test_one_time_as_good_reads_as_not_slower() -> None:
    """Both at once are the same bar on both builds."""
    bar = over("Pykka", 1)
    assert judged(bar, Pykka=1, threadsup=1) == ("not slower than Pykka", True)
    assert bar.here(free=True) is bar


def test_within_is_what_may_be_lost() -> None:
    """A quarter more is within 1.25x, and no more than that."""
    bar = within("floor", 1.25, 2)
    assert judged(bar, floor=4, threadsup=5) == ("within 1.25x of the floor", True)
    assert judged(bar, floor=4, threadsup=5.1) == ("within 1.25x of the floor", False)
    assert judged(bar, free=True, floor=4, threadsup=8) == ("within 2x of the floor", True)


def test_a_figure_may_be_asked_for_as_it_is() -> None:
    """Whatever the others reach."""
    assert judged(at_most(0.5, unit="ms"), threadsup=0.5) == ("<= 0.5 ms", True)
    assert judged(at_least(1.8, unit="times"), threadsup=1.7) == (">= 1.8 times", False)


def test_all_of_several_bars_must_be_reached() -> None:
    """Each build asks for its own of each; an aim comes along."""
    aim = within("floor", 1.05)
    bar = both(over("Pykka", 1, aim=aim), within("floor", 1.25, 2))
    text = "not slower than Pykka and within 1.25x of the floor"
    assert judged(bar, Pykka=5, floor=4, threadsup=5) == (text, True)
    assert judged(bar, Pykka=5, floor=4, threadsup=5.5)[1] is False
    assert judged(bar, free=True, Pykka=5, floor=2, threadsup=4)[1] is True
    assert bar.aim is aim
    assert bar.here(free=True).aim is aim
    assert both(over("Pykka", 1)).free is None


def test_an_aim_of_each_build_follows_its_bar() -> None:
    """What is aimed for may differ with the build, as what is asked for does."""
    bar = over("Pykka", 8, 5, aim=within("floor", 2, 1.2))
    assert bar.aim is not None
    assert bar.aim.text == "within 2x of the floor"
    free = bar.here(free=True).aim
    assert free is not None
    assert free.text == "within 1.2x of the floor"
