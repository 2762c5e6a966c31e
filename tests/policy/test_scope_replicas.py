"""Replicas that go by hand or by themselves, and the end of a chain that has them."""

from __future__ import annotations

import pytest

from tests.policy.fakes import (
    BOOM,
    ERRANDS,
    PAUSED,
    STRATEGIES,
    FakeHost,
    at,
    chain_of,
    order,
    replicas,
    rules,
)
from threadsup._exits import ExitReason, Normal, Shutdown
from threadsup._policy.protocol import Decided, Draining, Forgotten, Over, Verb
from threadsup._policy.restart import NoRestart, Strategy

# -- by hand --------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ERRANDS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_by_hand_is_about_one_replica(strategy: Strategy, verb: Verb) -> None:
    """Its equals, and its chain, go on; it costs nothing."""
    host = chain_of("a0 a1 b0", strategy, max_restarts=0)
    token = host.ask(verb, "a1")
    assert host.answers[token] == "ok"
    assert host.running == {"a0": 1, "b0": 1, **({"a1": 2} if verb == "restart_child" else {})}
    assert host.told(Draining) == []


def test_removing_a_whole_stage_does_not_end_the_chain() -> None:
    """One by one or not: what is done by hand ends nothing."""
    host = chain_of("a0 b0 b1 c0")
    host.ask("remove_child", "b0")
    host.ask("remove_child", "b1")
    assert host.take_log() == "stop b01, stop b11"
    assert order(host) == "a0 c0"
    assert host.phase == "up"
    host.ask("add", "b0", rules=at("b"), before="c")
    assert order(host) == "a0 b0 c0"


@pytest.mark.parametrize("names", ["b0 b1 b2", "b2 b1 b0"])
def test_removing_a_whole_stage_of_which_some_have_ended(names: str) -> None:
    """In whatever order, and whoever of them is held or comes back: it ends nothing."""
    host = chain_of("a0 b0 b1 b2 c0", backoff=PAUSED)
    host.end("b0", reason=Normal())
    host.end("b2")
    host.end("b2")
    host.ask("stop_child", "b1")
    for name in names.split():
        host.ask("remove_child", name, whole=True)
    assert order(host) == "a0 c0"
    assert host.told(Draining) == []


def test_removing_a_stage_leaves_the_ends_at_others() -> None:
    """Where somebody has ended elsewhere, the chain still ends with the last one there."""
    host = chain_of("a0 b0 c0 c1 d0")
    host.end("c0", reason=Normal())
    host.ask("remove_child", "b0", whole=True)
    host.end("c1", reason=Normal())
    assert host.told(Draining) == [Draining("c1")]


@pytest.mark.parametrize("verb", ["stop_child", "remove_child"])
def test_a_replica_taken_away_in_the_restart_of_its_stage(verb: Verb) -> None:
    """Before it is its turn it does not start; its equals do."""
    host = chain_of("a0 b0 b1 c0", "one_for_all")
    host.script("a0", deaf=True)
    host.end("c0")
    token = host.ask(verb, "b0")
    host.end("a0", reason=Shutdown())
    assert host.take_log() == (
        "restart c0, stop b11, stop b01, stop a01, start a02, start b12, start c02"
    )
    assert host.answers[token] == "ok"


def test_a_replica_removed_while_it_is_asked_with_its_equals() -> None:
    """The plan waits for it, and goes on without it."""
    host = chain_of("a0 a1 b0", "before_for_one")
    host.script("a0", deaf=True)
    host.script("a1", deaf=True)
    host.end("b0")
    token = host.ask("remove_child", "a1")
    host.end("a0", reason=Shutdown())
    assert host.take_log() == "restart b0, stop a11, stop a01"
    host.end("a1", reason=Shutdown())
    assert host.take_log() == "start a02, start b02"
    assert host.answers[token] == "ok"
    assert order(host) == "a0 b0"


def test_a_replica_removed_in_the_first_start() -> None:
    """Starting or waiting for its turn, it is gone, and the rest comes up."""
    host = FakeHost.of(rules(drains=True, ends="any"), replicas("a0 a1 b0"))
    host.script("a0", slow=True)
    host.start()
    host.ask("remove_child", "a1")
    host.ask("remove_child", "a0")
    assert host.take_log() == "start a01, stop a01, start b01, up"
    assert set(host.answers.values()) == {"ok"}


# -- the end of a chain ---------------------------------------------------------------


@pytest.mark.parametrize("reason", [Normal(), Shutdown("done")], ids=str)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_chain_ends_with_the_last_replica_of_a_stage(
    strategy: Strategy, reason: ExitReason
) -> None:
    """Those before that place go down for good, those behind it finish."""
    host = chain_of("a0 a1 b0 b1 c0 c1", strategy)
    host.end("b1", reason=reason)
    host.end("c0", reason=reason)
    assert host.take_log() == ""
    host.end("b0", reason=reason)
    assert host.take_log() == "drain after b0, stop a11, stop a01"
    assert host.told(Draining) == [Draining("b0")]
    assert host.conditions() == "ended ended ended ended ended up"
    host.end("c1", reason=reason)
    assert host.take_log() == "over"
    assert host.over == Over(reason, came_up=True)


def test_a_replica_that_ended_is_kept_and_can_come_back() -> None:
    """By hand or with its siblings; then it has not ended."""
    host = chain_of("a0 a1 b0", "rest_for_one")
    host.end("a1", reason=Normal())
    host.ask("restart_child", "a1")
    host.end("a0", reason=Normal())
    assert host.told(Draining) == []
    host.end("a1", reason=Normal())
    assert host.told(Draining) == [Draining("a1")]

    host = chain_of("a0 b0 b1", "rest_for_one")
    host.end("b1", reason=Normal())
    host.end("a0")
    assert host.conditions() == "up up up"
    host.end("b0", reason=Normal())
    assert host.phase == "up"


def test_one_that_waits_for_its_restart_comes_back() -> None:
    """A pause is no end: the chain goes on with the replica that is to come back."""
    host = chain_of("a0 a1 b0", backoff=PAUSED)
    host.end("a0")
    host.end("a0")
    host.end("a1", reason=Normal())
    assert host.conditions() == "restarting ended up"
    assert host.told(Draining) == []
    host.wait(1.0)
    assert host.conditions() == "up ended up"
    host.end("a0", reason=Normal())
    assert host.told(Draining) == [Draining("a0")]


def test_one_that_is_held_stays() -> None:
    """Stopped by hand it may be started again by hand; removed, it is waited for no more."""
    host = chain_of("a0 a1 b0 c0")
    host.ask("stop_child", "a0")
    host.end("a1", reason=Normal())
    assert host.told(Draining) == []
    assert host.conditions() == "held ended up up"
    host.ask("remove_child", "a0")
    assert host.told(Draining) == [Draining("a1")]


def test_one_that_fails_to_start_by_hand_is_held_and_stays() -> None:
    """The chain does not end because somebody tried in vain."""
    host = chain_of("a0 a1 b0")
    host.end("a0", reason=Normal())
    host.script("a0", fails=1)
    assert host.answers[host.ask("restart_child", "a0")] == "start_failed"
    host.end("a1", reason=Normal())
    assert host.told(Draining) == []
    assert host.conditions() == "held ended up"


def test_the_last_one_that_is_removed_leaves_those_that_ended() -> None:
    """Who remains at the place has ended for good: so has the chain, once it is empty there."""
    host = chain_of("a0 b0 b1 c0")
    host.script("b1", deaf=True)
    token = host.ask("remove_child", "b1", drain=True)
    host.end("b0", reason=Shutdown("enough"))
    assert host.take_log() == "drain b11"
    host.end("b1", reason=Shutdown())
    assert host.take_log() == "drain after b0, stop a01"
    assert host.answers[token] == "ok"
    assert order(host) == "a0 b0 c0"


def test_one_that_is_being_added_decides_when_it_is_up() -> None:
    """The chain goes on with it, or ends if it does not come up."""
    host = chain_of("a0 b0")
    host.script("b1", slow=True)
    host.ask("add", "b1", rules=at("b"))
    host.end("b0", reason=Normal())
    assert host.told(Draining) == []
    host.come_up("b1")
    assert host.told(Draining) == []

    host = chain_of("a0 b0 c0")
    host.script("b1", slow=True)
    token = host.ask("add", "b1", rules=at("b"))
    host.end("b0", reason=Normal())
    host.end("b1")
    assert host.answers[token] == "start_failed"
    assert host.told(Draining) == [Draining("b0")]


def test_what_is_removed_by_hand_is_not_waited_for_as_an_end() -> None:
    """An ended replica that is removed counts for nothing, whatever becomes of the other."""
    host = chain_of("a0 b0 b1 c0")
    host.end("b0", reason=Normal())
    host.ask("remove_child", "b0")
    host.ask("remove_child", "b1")
    assert host.told(Draining) == []
    assert order(host) == "a0 c0"


def test_replicas_before_the_end_are_over_whatever_they_do() -> None:
    """Up, in the pause of a restart, held, ended: none of them comes back."""
    host = chain_of("a0 a1 a2 a3 b0 c0", backoff=PAUSED, max_restarts=9)
    host.ask("stop_child", "a1")
    host.end("a2", reason=Normal())
    host.end("a3")
    host.end("a3")
    host.log.clear()
    host.end("b0", reason=Normal())
    assert host.take_log() == "drain after b0, stop a01"
    host.wait(9.0)
    assert host.take_log() == ""
    assert host.told(Decided) == [
        Decided("a1", "gone", NoRestart.CHAIN_ENDED),
        Decided("a3", "gone", NoRestart.CHAIN_ENDED),
    ]
    assert host.conditions() == "ended ended ended ended ended up"


def test_a_chain_ends_in_the_restart_of_a_replica() -> None:
    """The one that is to come back keeps its place, not that of those behind it."""
    host = chain_of("a0 b0 b1 c0 d0", "before_for_one")
    host.script("a0", slow=True, deaf=True)
    host.end("b1")
    assert host.take_log() == "restart b1, stop a01"
    host.end("b0", reason=Normal())
    assert host.take_log() == ""
    host.end("c0", reason=Normal())
    assert host.take_log() == "drain after c0"
    host.end("a0", reason=Shutdown())
    assert host.take_log() == ""
    assert host.conditions() == "ended ended ended ended up"


@pytest.mark.parametrize(("place", "before"), [("a", None), ("b", None), ("x", "a"), ("x", "b")])
def test_nobody_is_added_where_a_chain_has_ended(place: str, before: str | None) -> None:
    """Beside or before one that is over there is nothing to do."""
    host = chain_of("a0 b0 c0")
    host.end("b0", reason=Normal())
    host.log.clear()
    token = host.ask("add", "new", rules=at(place), before=before)
    assert host.answers[token] == "not_running"
    assert host.take_log() == ""
    assert order(host) == "a0 b0 c0"


@pytest.mark.parametrize(("place", "before"), [("c", None), ("x", "c"), ("x", None)])
def test_behind_the_end_replicas_come_and_go(place: str, before: str | None) -> None:
    """What is left of a chain that drains may be given more hands."""
    host = chain_of("a0 b0 c0 c1")
    host.end("b0", reason=Normal())
    assert host.answers[host.ask("add", "new", rules=at(place), before=before)] == "ok"
    assert host.answers[host.ask("remove_child", "c1")] == "ok"
    host.stop("finish", reason=Normal())
    assert host.over == Over(Normal(), came_up=True)


def test_a_replica_in_the_drain_that_crashes_comes_back() -> None:
    """What is behind the end is supervised as before; what is over goes with nobody."""
    host = chain_of("a0 b0 b1 c0 c1", "before_for_one")
    host.end("b0", "b1", reason=Normal())
    host.log.clear()
    host.end("c0")
    assert host.take_log() == "restart c0, start c02"


# -- temporary replicas ---------------------------------------------------------------


@pytest.mark.parametrize("reason", [Normal(), BOOM], ids=str)
def test_a_temporary_replica_is_forgotten_while_it_has_equals(reason: ExitReason) -> None:
    """The last one marks the place at which the chain has ended."""
    host = chain_of("a0 b0 b1 c0", restart="temporary")
    host.end("b0", reason=reason)
    assert host.told(Forgotten) == [Forgotten("b0")]
    assert host.told(Draining) == []
    host.end("b1", reason=reason)
    assert host.told(Draining) == [Draining("b1")]
    assert order(host) == "a0 b1 c0"
    host.stop("finish", reason=Normal())
    assert host.scope.children == {}


def test_temporary_replicas_that_a_restart_takes_down_leave_a_hole() -> None:
    """When the last of them is down the chain has ended up to there."""
    stages = {**replicas("a0"), **replicas("b0 b1", "temporary"), **replicas("c0")}
    host = FakeHost.up(rules("one_for_all", ends="any", drains=True), **stages)
    host.end("a0")
    assert host.take_log() == (
        "restart a0, stop c01, stop b11, stop b01, drain after b0, start c02"
    )
    assert host.told(Forgotten) == [Forgotten("b1")]
    assert host.conditions() == "ended ended up"


def test_a_temporary_replica_beside_one_that_is_being_added() -> None:
    """It marks its place until it is known whether the other one is there."""
    host = chain_of("a0 b0 c0", restart="temporary")
    host.script("b1", slow=True)
    host.ask("add", "b1", rules=at("b", "temporary"))
    host.end("b0")
    assert order(host) == "a0 b0 b1 c0"
    host.come_up("b1")
    assert order(host) == "a0 b1 c0"

    host.script("b2", slow=True)
    host.ask("add", "b2", rules=at("b", "temporary"))
    host.end("b1")
    host.end("b2")
    assert host.told(Draining) == [Draining("b1")]


def test_a_temporary_stage_that_is_being_added_leaves_no_hole() -> None:
    """Taken down by a restart before it was up, it never was a stage."""
    host = chain_of("a0 b0", "one_for_all")
    host.script("x0", slow=True)
    token = host.ask("add", "x0", rules=at("x", "temporary"), before="b")
    host.end("a0")
    assert host.answers[token] == "start_failed"
    assert host.told(Draining) == []
    assert host.conditions() == "up up"


# -- before it is up ------------------------------------------------------------------


def test_replicas_that_end_before_the_chain_is_up() -> None:
    """Their place is empty only if all have ended when it is up."""
    host = FakeHost.of(rules(ends="any", drains=True), replicas("a0 a1 b0"))
    host.script("b0", slow=True)
    host.start()
    host.end("a0", reason=Normal())
    host.come_up("b0")
    assert host.take_log() == "start a01, start a11, start b01, up"
    host.end("a1", reason=Normal())
    assert host.take_log() == "drain after a1"

    host = FakeHost.of(rules(ends="any", drains=True), replicas("a0 a1 b0"))
    host.script("b0", slow=True)
    host.start()
    host.end("a0", "a1", reason=Normal())
    host.come_up("b0")
    assert host.take_log() == "start a01, start a11, start b01, up, drain after a1"


def test_without_the_rule_places_end_nothing() -> None:
    """Where a scope does not drain, each significant end counts by itself."""
    host = FakeHost.up(rules(ends="any"), **replicas("a0 a1"))
    host.end("a0", reason=Normal())
    assert host.take_log() == "stop a11, over"
