"""The restart tables: restart type x reason, strategy x position."""

from __future__ import annotations

from typing import get_args

import pytest

from threadsup._exits import Abandoned, Crashed, ExitReason, Normal, Shutdown
from threadsup._policy.restart import (
    RESTARTS,
    STRATEGIES,
    NoRestart,
    RestartRule,
    Strategy,
    affected,
    refusal,
    restarts,
)
from threadsup._specs import Restart
from threadsup._specs import Strategy as DeclaredStrategy

NORMAL, SHUTDOWN = Normal(), Shutdown("enough")
CRASHED, ABANDONED = Crashed("ValueError: 3"), Abandoned(5.0, "message")


@pytest.mark.parametrize(
    ("restart", "reason", "why_not"),
    [
        ("permanent", NORMAL, None),
        ("permanent", SHUTDOWN, None),
        ("permanent", CRASHED, None),
        ("permanent", ABANDONED, None),
        ("transient", NORMAL, NoRestart.CLEAN_END),
        ("transient", SHUTDOWN, NoRestart.CLEAN_END),
        ("transient", CRASHED, None),
        ("transient", ABANDONED, None),
        ("temporary", NORMAL, NoRestart.TEMPORARY),
        ("temporary", SHUTDOWN, NoRestart.TEMPORARY),
        ("temporary", CRASHED, NoRestart.TEMPORARY),
        ("temporary", ABANDONED, NoRestart.TEMPORARY),
        ("never", NORMAL, NoRestart.NEVER),
        ("never", SHUTDOWN, NoRestart.NEVER),
        ("never", CRASHED, NoRestart.NEVER),
        ("never", ABANDONED, NoRestart.NEVER),
        ("escalate", NORMAL, NoRestart.ENDED),
        ("escalate", SHUTDOWN, NoRestart.ENDED),
        ("escalate", CRASHED, NoRestart.ENDED),
        ("escalate", ABANDONED, NoRestart.ENDED),
    ],
)
def test_restart_type_and_reason_decide_and_say_why_not(
    restart: RestartRule, reason: ExitReason, why_not: NoRestart | None
) -> None:
    """Whether a child is restarted is OTP's table, and a refusal has its reason (63 to 69)."""
    assert refusal(restart, reason) is why_not
    assert restarts(restart, reason) is (why_not is None)


def test_tables_have_a_row_for_every_declared_word() -> None:
    """No restart type, reason or strategy that can be declared is missing in a table."""
    assert set(RESTARTS) == set(get_args(RestartRule)) >= set(get_args(Restart))
    assert set(STRATEGIES) == set(get_args(Strategy)) == set(get_args(DeclaredStrategy))
    for row in RESTARTS.values():
        assert set(row) == {Normal, Shutdown, Crashed, Abandoned}


@pytest.mark.parametrize(
    ("strategy", "key", "expected"),
    [
        ("one_for_one", "a", "a"),
        ("one_for_one", "b", "b"),
        ("one_for_one", "d", "d"),
        ("one_for_all", "a", "abcd"),
        ("one_for_all", "b", "abcd"),
        ("one_for_all", "d", "abcd"),
        ("rest_for_one", "a", "abcd"),
        ("rest_for_one", "b", "bcd"),
        ("rest_for_one", "d", "d"),
        ("before_for_one", "a", "a"),
        ("before_for_one", "b", "ab"),
        ("before_for_one", "d", "abcd"),
    ],
)
def test_strategy_says_who_goes_with_the_failed_one(
    strategy: Strategy, key: str, expected: str
) -> None:
    """The ones affected are named in declared order, whatever position failed."""
    assert affected(strategy, "abcd", key, str) == tuple(expected)


@pytest.mark.parametrize(
    ("strategy", "key", "expected"),
    [
        ("one_for_one", "b", "b"),
        ("one_for_all", "b", "abcdef"),
        ("rest_for_one", "a", "acdef"),
        ("rest_for_one", "c", "cef"),
        ("rest_for_one", "f", "f"),
        ("before_for_one", "a", "a"),
        ("before_for_one", "d", "abd"),
        ("before_for_one", "e", "abcde"),
    ],
)
def test_equals_go_with_each_other_only_where_all_go(
    strategy: Strategy, key: str, expected: str
) -> None:
    """With three places of two children each it is places that are before and after."""
    places = {"a": 1, "b": 1, "c": 2, "d": 2, "e": 3, "f": 3}
    assert affected(strategy, places, key, places.get) == tuple(expected)


@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_an_only_child_is_affected_alone(strategy: Strategy) -> None:
    """With one child every strategy comes to the same."""
    assert affected(strategy, [("shard", 1)], ("shard", 1), str) == (("shard", 1),)


def test_every_refusal_reads_as_a_sentence() -> None:
    """The reasons are made for people: text, and no two the same."""
    sentences = [str(why) for why in NoRestart]
    assert len(set(sentences)) == len(sentences)
    assert all(" " in sentence and sentence[0].islower() for sentence in sentences)
