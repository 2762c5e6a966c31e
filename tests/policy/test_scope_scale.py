"""Scopes of thousands: what a step costs does not run away with the number of children."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.policy.fakes import STRATEGIES, FakeHost, Script, child, rules
from threadsup._exits import Normal, Shutdown

if TYPE_CHECKING:
    from threadsup._policy.restart import Strategy

MANY = 2_000


@pytest.mark.parametrize("stop", ["in_turn", "together"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_thousands_start_crash_and_stop(strategy: Strategy, stop: str) -> None:
    """Rows 59, 104: all come up, the crash in the middle takes its part, all go down."""
    host = FakeHost.of(rules(strategy, stop=stop), {i: child() for i in range(MANY)})
    host.start()
    assert host.phase == "up"
    host.end(MANY // 2)
    second = {
        "one_for_one": 1,
        "one_for_all": MANY,
        "rest_for_one": MANY // 2,
        "before_for_one": MANY // 2 + 1,
    }
    assert list(host.running.values()).count(2) == second[strategy]
    assert sum(word.startswith("start ") for word in host.log) == MANY + second[strategy]
    host.log.clear()
    host.stop()
    assert sum(word.startswith("stop ") for word in host.log) == MANY
    assert host.phase == "down"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_thousands_of_replicas_of_a_few_stages(strategy: Strategy) -> None:
    """Row 104: a crash takes whole stages but of its own one replica, the stages stop in turn."""
    each = MANY // 4
    stages = {(place, n): child(place=place) for place in range(4) for n in range(each)}
    host = FakeHost.of(rules(strategy), stages)
    host.start()
    host.end((1, each // 2))
    second = {
        "one_for_one": 1,
        "one_for_all": MANY,
        "rest_for_one": 2 * each + 1,
        "before_for_one": each + 1,
    }
    assert list(host.running.values()).count(2) == second[strategy]
    for n in range(each):
        host.script((3, n), deaf=True)
    host.log.clear()
    host.stop()
    assert len(host.log) == each
    host.end(*((3, n) for n in range(each)))
    assert len(host.log) == MANY + 1


def test_thousands_come_and_go_one_by_one() -> None:
    """Rows 45, 103: added, crashed, ended and forgotten, the book is as large as it must be."""
    host = FakeHost.up(rules(max_restarts=MANY))
    for i in range(MANY):
        host.ask("add", i, rules=child("temporary" if i % 2 else "transient"))
    assert len(host.running) == MANY
    for i in range(MANY):
        host.end(i, reason=Normal())
    assert len(host.scope.children) == MANY // 2
    assert not host.running


def test_thousands_that_hang_are_abandoned_together() -> None:
    """Rows 25, 27: one limit for all of them, however many."""
    host = FakeHost.up(rules(), **{f"c{i}": child() for i in range(MANY)})
    host.scripts = {f"c{i}": Script(deaf=True) for i in range(MANY)}
    host.stop()
    host.wait(10.0)
    assert host.now == 10.0
    assert host.over is not None
    assert host.over.overran
    assert host.take_log().count("fence") == MANY


def test_thousands_that_crash_at_once_are_one_restart() -> None:
    """F14: members that crash in the same instant are restarted once, together."""
    host = FakeHost.of(
        rules("one_for_all", max_restarts=1, stop="together"), {i: child() for i in range(MANY)}
    )
    host.start()
    host.end(*range(MANY))
    assert set(host.running.values()) == {2}
    assert len(host.scope.intensity.history) == 1


def test_a_storm_is_over_after_the_budget() -> None:
    """F13: a child that crashes whenever it is up starts as often as allowed, once over."""
    host = FakeHost.up(rules(max_restarts=3), a=child())
    starts = 0
    while host.running:
        host.end("a", reason=Shutdown())
        starts += 1
    assert starts == 4


def test_the_cost_of_a_child_is_bounded() -> None:
    """Row 104: ten times the children cost less than fifty times the time."""

    def cost(children: int) -> float:
        host = FakeHost.of(rules(), {i: child() for i in range(children)})
        begin = time.process_time()
        host.start()
        host.stop()
        return time.process_time() - begin

    small = min(cost(MANY // 10) for _ in range(3))
    assert min(cost(MANY) for _ in range(3)) < 50 * small
