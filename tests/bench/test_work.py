"""The judgement: medians, spread, ratios, bars per build, and who is excused."""

from __future__ import annotations

from typing import Any

import pytest

from bench.bars import at_most
from bench.work import Bar, Result, Row

PYKKA = Bar("4x", lambda medians: medians["Pykka"] >= 4 * medians["threadsup"])


def result(bar: Bar | None = None, *, free: bool = False, **medians: float) -> Result:
    figures: Any = {who: [figure] for who, figure in medians.items()}
    return Result(Row("a row", "us", bar), 1, figures, free=free)


def test_the_spread_is_half_the_range_over_the_median() -> None:
    """Medians and spread come from the rounds; a median of 0 has none."""
    found = Result(Row("r", "us"), 1, {"floor": [1.0, 2.0, 3.0], "Pykka": [0.0]})
    assert found.medians == {"floor": 2.0, "Pykka": 0.0}
    assert found.spread("floor") == 0.5
    assert found.spread("Pykka") == 0.0


def test_a_ratio_above_one_is_good_whatever_the_unit() -> None:
    """Where more is better it is ours over theirs, elsewhere the other way round."""
    assert result(Pykka=8.0, threadsup=2.0).over("Pykka") == 4.0
    assert result(Pykka=8.0, threadsup=2.0).over("floor") is None
    assert result(Pykka=8.0, threadsup=0.0).over("Pykka") is None
    speed = Row("speed", "times", more_is_better=True)
    assert Result(speed, 1, {"Pykka": [8.0], "threadsup": [2.0]}).over("Pykka") == 0.25


@pytest.mark.parametrize(("ours", "reached"), [(2.0, True), (2.1, False)])
def test_a_bar_is_judged_by_the_medians(ours: float, reached: bool) -> None:
    """It is reached or it is not; a row without a bar is neither."""
    assert result(PYKKA, Pykka=8.0, threadsup=ours).reached is reached
    assert result(Pykka=8.0, threadsup=ours).reached is None


def test_each_build_has_its_own_bar() -> None:
    """What is too slow with the GIL may do without."""
    bar = at_most(1.0, 2.0, unit="us")
    with_gil, without = (result(bar, free=free, threadsup=1.5) for free in (False, True))
    assert (with_gil.bar and with_gil.bar.text, with_gil.reached) == ("<= 1 us", False)
    assert (without.bar and without.bar.text, without.reached) == ("<= 2 us", True)


def test_a_bar_for_several_cores_does_not_apply_with_the_gil() -> None:
    """There it is neither reached nor missed, and the row says why."""
    bar = Bar("1.8x", lambda medians: medians["threadsup"] >= 1.8, needs_cores=True)
    assert result(bar, free=True, threadsup=1.0).reached is False
    found = result(bar, free=False, threadsup=1.0)
    assert (found.reached, found.exempt) == (None, "not for a build with the GIL")


def test_what_bare_threads_do_not_reach_is_not_asked_for() -> None:
    """On a machine whose cores are busy, or that has one, nobody is faster on two."""
    bar = Bar("1.8x", lambda medians: medians["threadsup"] >= 1.8, needs_cores=True)
    found = result(bar, free=True, floor=1.1, threadsup=1.0)
    assert found.reached is None
    assert found.exempt.endswith("the machine is busy")


def test_a_bar_that_names_who_did_not_run_is_not_judged() -> None:
    """The reason why it did not run stands in the row."""
    found = result(PYKKA, threadsup=1.0)
    found.unable["Pykka"] = "not installed"
    assert (found.reached, found.exempt) == (None, "not judged, Pykka: not installed")
    assert result(PYKKA, threadsup=1.0).exempt == "not judged, Pykka: no figure"


def test_who_has_a_bar_and_does_not_run_misses_it() -> None:
    """That threadsup broke is no excuse."""
    found = result(PYKKA, Pykka=8.0)
    found.unable["threadsup"] = "ValueError: x"
    assert (found.failed, found.reached, found.exempt) == (True, False, "")


def test_what_nobody_can_do_here_is_nobodys_fault() -> None:
    """Where bare threads cannot either, for the same reason, nothing failed."""
    found = result(PYKKA, Pykka=8.0)
    found.unable.update(threadsup="only one core here", floor="only one core here")
    assert not found.failed
    assert (found.reached, found.exempt) == (None, "not judged, only one core here")


def test_an_aim_is_told_and_missed_by_nobody() -> None:
    """What would be better still is known beside the bar; without its peer it is not."""
    bar = at_most(3.0, unit="us", aim=Bar("2x", lambda m: m["floor"] * 2 >= m["threadsup"]))
    found = result(bar, floor=1.0, threadsup=2.5)
    assert (found.reached, found.aimed) == (True, False)
    assert result(bar, threadsup=2.5).aimed is None
    assert result(bar, floor=1.0).aimed is None
    assert result(floor=1.0, threadsup=1.0).aimed is None
