"""A rate, and the window that holds to it exactly."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from threadsup._errors import SpecError
from threadsup._policy.rate import Rate, Window


def granted(window: Window, *moments: float) -> list[bool]:
    return [window.take(now) == 0.0 for now in moments]


def most_within(grants: list[float], per: float) -> int:
    """Return how many grants the fullest half-open window of `per` seconds holds."""
    return max(sum(0 <= at - start < per for at in grants) for start in grants)


def test_so_many_may_pass_at_once_and_then_none() -> None:
    """A rate of 3 a second lets three through, and the next when the first is a second old."""
    window = Window(Rate(3))
    assert granted(window, 10.0, 10.25, 10.5) == [True] * 3
    assert window.take(10.75) == 0.25
    assert window.take(10.75) == 0.25  # who is refused leaves no trace
    assert granted(window, 11.0) == [True]
    assert window.take(11.0) == 0.25


def test_a_window_is_half_open() -> None:
    """A grant exactly `per` seconds old does not count any more; one a moment younger does."""
    window = Window(Rate(1, per=2.0))
    assert granted(window, 1.0, math.nextafter(3.0, 0.0), 3.0) == [True, False, True]


def test_a_long_rest_saves_nothing_up() -> None:
    """After an idle hour as many pass as after an idle window."""
    window = Window(Rate(2))
    assert granted(window, 0.0, 3600.0, 3600.0, 3600.0) == [True, True, True, False]


@pytest.mark.parametrize("start", [0.0, 0.1, 1e5 + 1 / 3, 1e9 + 0.7])
@pytest.mark.parametrize("rate", [Rate(1, per=0.1), Rate(3, per=0.7), Rate(7, per=1 / 3)])
def test_whoever_waits_as_told_is_granted_and_never_too_many(rate: Rate, start: float) -> None:
    """At any distance from zero: no window holds more than `n`, and waiting always ends."""
    window, now = Window(rate), start
    grants: list[float] = []
    asked = 0
    while len(grants) < 10 * rate.n:
        wait = window.take(now)
        asked += 1
        if wait:
            assert now + wait > now
            now += wait
        else:
            grants.append(now)
    assert most_within(grants, rate.per) == rate.n
    # Rounding may cost a second look, not many.
    assert asked <= 4 * len(grants)
    assert grants[-1] - start == pytest.approx(9 * rate.per, rel=1e-6)


def test_with_any_callers_no_window_holds_more_than_the_rate() -> None:
    """At random moments, close together and far apart, the bound is exact."""
    chance = random.Random(7)
    for n in (1, 2, 5):
        rate = Rate(n, per=0.5)
        window, now = Window(rate), 100.0
        grants = []
        for _ in range(400):
            now += chance.choice((0.0, 0.01, 0.1, 0.6)) * chance.random()
            if not window.take(now):
                grants.append(now)
        assert most_within(grants, rate.per) == n


def test_a_late_caller_cannot_turn_the_clock_back() -> None:
    """Whose moment is before the last grant is granted as of that, and refused as others are."""
    window = Window(Rate(2))
    assert granted(window, 5.0, 4.9) == [True, True]
    assert window.take(4.8) == pytest.approx(1.2)
    assert granted(window, 5.95, 6.0, 6.0) == [False, True, True]


def test_a_faster_rate_counts_what_it_knows() -> None:
    """More are allowed from now on, less those that passed under the old rate."""
    window = Window(Rate(2))
    assert granted(window, 0.0, 0.1, 0.2) == [True, True, False]
    window.change(Rate(4))
    assert window.rate == Rate(4)
    assert granted(window, 0.2, 0.3, 0.4) == [True, True, False]
    assert granted(window, 1.0) == [True]


def test_a_slower_rate_counts_the_newest() -> None:
    """Fewer are allowed at once: the last of those that passed decide."""
    window = Window(Rate(4))
    assert granted(window, 0.0, 0.1, 0.2, 0.3) == [True] * 4
    window.change(Rate(2, per=2.0))
    assert window.take(1.5) == pytest.approx(0.7)
    assert granted(window, 2.25, 2.25, 2.35) == [True, False, True]


def test_a_shorter_window_lets_the_next_pass() -> None:
    """Who was told to wait for long may pass at once under the new rate."""
    window = Window(Rate(1, per=1000.0))
    assert granted(window, 0.0, 1.0) == [True, False]
    window.change(Rate(1, per=0.5))
    assert granted(window, 1.0) == [True]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"n": 0}, "rate.n: must be a whole number of at least 1, not 0"),
        ({"n": 0.5}, "rate.n: must be a whole number of at least 1, not 0.5"),
        ({"n": True}, "rate.n: must be a whole number of at least 1, not True"),
        ({"n": 1_000_001}, "rate.n: must be at most 1000000, not 1000001"),
        ({"n": 1, "per": 0}, "rate.per: must be a number of seconds above 0, not 0"),
        (
            {"n": 1, "per": math.nan},
            "rate.per: must be a number of seconds above 0, not nan",
        ),
        ({"n": 1, "per": math.inf}, "rate.per: must be at most 4000000, not inf"),
    ],
)
def test_a_rate_is_a_whole_number_within_a_time(values: dict[str, Any], problem: str) -> None:
    """Anything else is refused; half an item a second is one in two."""
    with pytest.raises(SpecError) as caught:
        Rate(**values)
    assert caught.value.problems == (problem,)


def test_every_wrong_value_is_named_at_once() -> None:
    """All faults are in one error, each with its path."""
    with pytest.raises(SpecError) as caught:
        Rate("100", per=None)  # type: ignore[arg-type]
    assert caught.value.problems == (
        "rate.n: must be a whole number of at least 1, not '100'",
        "rate.per: must be a number of seconds above 0, not None",
    )


def test_a_second_is_the_default() -> None:
    """`Rate(100)` is a hundred in a second."""
    assert Rate(100) == Rate(n=100, per=1.0)
