"""The pause before the n-th restart: its curve, its cap, its jitter."""

from __future__ import annotations

import pytest

from threadsup._errors import SpecError
from threadsup._policy.backoff import Backoff


def no_chance() -> float:
    return 0.0


def all_chance() -> float:
    return 1.0


def never_asked() -> float:
    raise AssertionError


def test_first_restart_comes_at_once() -> None:
    """The first restart has no pause, and chance is not asked for one."""
    assert Backoff().delay(0, never_asked) == 0.0


def test_pauses_grow_by_the_factor_up_to_the_maximum() -> None:
    """From the second restart on each pause is `factor` times the last, up to the cap."""
    backoff = Backoff(initial=0.5, factor=3.0, maximum=10.0)
    assert [backoff.delay(n, no_chance) for n in range(6)] == [0.0, 0.5, 1.5, 4.5, 10.0, 10.0]


def test_jitter_makes_a_pause_longer_by_its_share_at_most() -> None:
    """A pause lies between the curve and the curve plus the jitter, at the cap too."""
    backoff = Backoff(initial=1.0, factor=2.0, maximum=4.0, jitter=0.25)
    assert backoff.delay(2, all_chance) == 2.5
    assert backoff.delay(2, lambda: 0.5) == 2.25
    assert backoff.delay(50, all_chance) == 5.0


def test_a_maximum_below_the_initial_pause_caps_it() -> None:
    """The cap holds from the first pause on."""
    assert Backoff(initial=9.0, maximum=2.0).delay(1, no_chance) == 2.0


@pytest.mark.parametrize("n", [10**3, 10**6, 10**400])
def test_huge_counts_do_not_overflow(n: int) -> None:
    """After any number of restarts the pause is the cap."""
    assert Backoff(factor=10, maximum=7.0).delay(n, no_chance) == 7.0


def test_a_factor_of_one_is_a_constant_pause() -> None:
    """With a factor of 1 every pause is the initial one."""
    assert Backoff(initial=0.2, factor=1, jitter=0).delay(10**6, never_asked) == 0.2


@pytest.mark.parametrize("backoff", [Backoff.none(), Backoff(initial=0), Backoff(maximum=0)])
def test_no_backoff_never_pauses(backoff: Backoff) -> None:
    """Without an initial pause or with a cap of 0 there is none, after any count."""
    assert [backoff.delay(n, never_asked) for n in (0, 1, 2, 10**6)] == [0.0] * 4


def test_every_wrong_value_is_named_at_once() -> None:
    """All faults are in one error, each with its path; nan, inf and bool are no numbers."""
    with pytest.raises(SpecError) as caught:
        Backoff(initial=float("nan"), factor=0.5, maximum=float("inf"), jitter=True)
    assert caught.value.problems == (
        "backoff.initial: must be a number of seconds of at least 0, not nan",
        "backoff.factor: must be a number of at least 1, not 0.5",
        "backoff.maximum: must be at most 4000000, not inf",
        "backoff.jitter: must be a number of at least 0, not True",
    )
