"""The restart window: OTP's algorithm, with floats."""

from __future__ import annotations

import pytest

from threadsup._policy.intensity import Intensity


def recorded(budget: Intensity, *moments: float) -> tuple[Intensity, list[bool]]:
    answers = []
    for now in moments:
        budget, allowed = budget.record(now)
        answers.append(allowed)
    return budget, answers


def test_with_no_restarts_allowed_the_first_is_too_many() -> None:
    """`max_restarts=0` makes the first crash fatal (reliability 1.5)."""
    assert recorded(Intensity(0, 5.0), 1.0)[1] == [False]


@pytest.mark.parametrize("allowed", [1, 3, 10])
def test_exactly_max_restarts_are_fine_and_one_more_is_not(allowed: int) -> None:
    """The (n+1)-th restart within the window is the one that is refused (reliability 1.5)."""
    moments = [0.01 * n for n in range(allowed + 1)]
    assert recorded(Intensity(allowed, 5.0), *moments)[1] == [True] * allowed + [False]


def test_an_entry_exactly_the_window_old_still_counts() -> None:
    """The bound of the window is inclusive."""
    assert recorded(Intensity(1, 5.0), 10.0, 15.0)[1] == [True, False]


def test_an_entry_older_than_the_window_is_forgotten() -> None:
    """A moment past the window an old restart costs nothing any more."""
    budget, answers = recorded(Intensity(1, 5.0), 10.0, 15.0 + 1e-9)
    assert answers == [True, True]
    assert budget.history == (15.0 + 1e-9,)


def test_the_window_is_not_cut_to_whole_seconds() -> None:
    """Windows and times are floats: a tenth of a second is a window like any other."""
    assert recorded(Intensity(1, 0.125), 0.0, 0.125, 0.375)[1] == [True, False, True]


def test_a_refused_restart_is_remembered() -> None:
    """The restart over the budget counts for those after it."""
    assert recorded(Intensity(1, 1.0), 0.0, 1.0, 2.0)[1] == [True, False, False]


@pytest.mark.parametrize("window", [30 * 86400.0, 1e9, 1e300])
def test_a_huge_window_stays_a_window(window: float) -> None:
    """A very long window forgets nothing and does not become unlimited."""
    assert recorded(Intensity(2, window), 0.0, 1e6, 2e6)[1] == [True, True, False]


def test_a_clock_that_stands_still_is_counted_all_the_same() -> None:
    """Restarts within one tick of the clock each cost one."""
    assert recorded(Intensity(2, 5.0), 7.0, 7.0, 7.0)[1] == [True, True, False]


def test_history_never_holds_more_than_one_over_the_budget() -> None:
    """However many restarts are recorded, what is remembered is bounded."""
    budget, _ = recorded(Intensity(3, 5.0), *[0.001 * n for n in range(1000)])
    assert len(budget.history) == 4
    assert budget.history[0] == 0.999


def test_recording_leaves_the_old_value_as_it_was() -> None:
    """A budget is a value: recording returns another one."""
    budget = Intensity(3, 5.0)
    budget.record(1.0)
    assert budget == Intensity(3, 5.0)


def test_a_fresh_budget_has_nothing_spent() -> None:
    """`fresh()` keeps the limits and forgets the restarts."""
    spent, _ = recorded(Intensity(1, 5.0), 1.0, 1.1)
    assert spent.fresh() == Intensity(1, 5.0)
