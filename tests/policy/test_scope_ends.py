"""When a scope ends by itself: significant children, and chains that run empty."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fakes import (
    BOOM,
    PAUSED,
    STRATEGIES,
    FakeHost,
    child,
    rules,
)
from threadsup._exits import Crashed, ExitReason, Normal, Shutdown
from threadsup._policy.protocol import ChildRules, Decided, Draining, Forgotten, Over, Up
from threadsup._policy.restart import NoRestart, RestartRule, Strategy


def key(restart: RestartRule = "transient", **changes: Any) -> ChildRules:
    """Return the rules of a significant child."""
    return child(restart, significant=True, **changes)


# -- any, all, never ------------------------------------------------------------------


@pytest.mark.parametrize("reason", [Normal(), Shutdown("done")], ids=str)
def test_any_significant_end_ends_the_scope(reason: ExitReason) -> None:
    """Rows 97, 98: the rest is stopped in reverse, and the reason is that of the end."""
    host = FakeHost.up(rules(ends="any"), a=child(), b=key(), c=child(), d=key())
    host.end("b", reason=reason)
    assert host.take_log() == "stop d1, stop c1, stop a1, over"
    assert host.over == Over(reason, came_up=True)


def test_a_crash_of_a_significant_child_restarts_it() -> None:
    """Row 98: what is restarted has not ended."""
    host = FakeHost.up(rules(ends="any"), a=key())
    host.end("a")
    assert host.take_log() == "restart a, start a2"


@pytest.mark.parametrize("reason", [Normal(), Shutdown(), BOOM], ids=str)
def test_any_end_of_a_significant_temporary_child_counts(reason: ExitReason) -> None:
    """Row 97: it is never restarted, so each of its ends is one by itself."""
    host = FakeHost.up(rules(ends="any"), a=key("temporary"), b=child())
    host.end("a", reason=reason)
    assert host.take_log() == "stop b1, over"
    assert host.over == Over(reason, came_up=True)


def test_all_waits_for_the_last_significant_child() -> None:
    """Row 97: one that is left, or is coming back, keeps the scope up."""
    host = FakeHost.up(
        rules(ends="all", backoff=PAUSED), a=key(), b=key("temporary"), c=key(), d=child()
    )
    host.end("c")
    host.end("c")
    assert host.child("c").condition == "restarting"
    host.end("a", reason=Normal())
    host.end("b", reason=BOOM)
    assert host.told(Forgotten) == [Forgotten("b")]
    host.log.clear()
    host.wait(1.0)
    assert host.take_log() == "start c3"
    host.end("c", reason=Shutdown("last"))
    assert host.take_log() == "stop d1, over"
    assert host.over == Over(Shutdown("last"), came_up=True)


@pytest.mark.parametrize("ends", ["any", "all", "never"])
@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_the_end_of_others_never_ends_the_scope(ends: str, restart: RestartRule) -> None:
    """Row 96: no end of a child that is not significant, in any mode."""
    host = FakeHost.up(rules(ends=ends, max_restarts=9), a=child(restart), b=child())
    host.end("a", reason=Normal())
    assert host.phase == "up"


def test_without_the_rule_nobody_is_significant() -> None:
    """With `never` the mark on a child means nothing."""
    host = FakeHost.up(rules(), a=key(), b=child())
    host.end("a", reason=Normal())
    assert host.phase == "up"


@pytest.mark.parametrize("ends", ["any", "all"])
def test_a_child_that_is_stopped_by_hand_has_not_ended_by_itself(ends: str) -> None:
    """Row 97: stopping and removing never end the scope; held children do not count."""
    host = FakeHost.up(rules(ends=ends), a=key(), b=key(), c=key("temporary"))
    host.ask("stop_child", "a")
    host.ask("remove_child", "b")
    assert host.phase == "up"
    host.ask("stop_child", "c")
    assert host.phase == "up"


@pytest.mark.parametrize("ends", ["any", "all"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_bystander_has_not_ended_by_itself(strategy: Strategy, ends: str) -> None:
    """Row 100: being taken down by a sibling never ends the scope."""
    host = FakeHost.up(rules(strategy, ends=ends), a=child(), b=key(), c=key("temporary"))
    host.script("b", ends_with=Normal())
    host.end("a")
    assert host.phase == "up"


def test_a_scope_below_that_gave_up_has_ended() -> None:
    """Row 101: a significant scope that failed for good ends the one above it."""
    host = FakeHost.up(rules(ends="all"), a=key("never"), b=child())
    host.end("a", reason=Crashed("gave up"), gave_up=True)
    assert host.take_log() == "stop b1, over"
    assert host.conditions() == "failed ended"


def test_a_scope_that_ends_by_itself_has_not_failed() -> None:
    """It is over with what becomes of its children: they are gone."""
    host = FakeHost.up(rules(ends="any", escalate=True), a=key(), b=child())
    host.end("a", reason=Normal())
    assert host.over == Over(Normal(), came_up=True)
    assert [down[3] for down in host.downs()] == ["gone", "gone"]


# -- before it is up ------------------------------------------------------------------


def test_a_quick_child_does_not_keep_the_scope_from_coming_up() -> None:
    """A significant task that is done before its siblings have started ends it after."""
    host = FakeHost.of(rules(ends="any"), {"a": key(), "b": child(), "c": child()})
    host.script("b", slow=True)
    host.start()
    host.end("a", reason=Normal())
    assert host.phase == "starting"
    host.come_up("b")
    assert host.take_log() == "start a1, start b1, start c1, up, stop c1, stop b1, over"
    assert host.over == Over(Normal(), came_up=True)


def test_all_that_end_early_end_the_scope_when_it_is_up() -> None:
    """The last of them says how."""
    host = FakeHost.of(rules(ends="all"), {"a": key(), "b": key("temporary"), "c": child()})
    host.script("c", slow=True)
    host.start()
    host.end("b", reason=Shutdown(1))
    host.end("a", reason=Shutdown(2))
    host.come_up("c")
    assert host.over == Over(Shutdown(1), came_up=True)
    assert host.told(Up) == [Up()]


def test_one_that_ended_early_and_was_brought_back_has_not_ended() -> None:
    """A crash of its sibling started it again before the scope was up."""
    host = FakeHost.of(rules("one_for_all", ends="any"), {"a": key(), "b": child(), "c": child()})
    host.script("c", slow=True)
    host.start()
    host.end("a", reason=Normal())
    host.scripts.clear()
    host.end("b")
    assert host.phase == "up"
    assert host.conditions() == "up up up"


def test_a_start_that_fails_after_an_early_end() -> None:
    """The scope is rolled back as ever; the early end is forgotten with it."""
    host = FakeHost.of(rules(ends="any"), {"a": key(), "b": child()})
    host.script("b", slow=True)
    host.start()
    host.end("a", reason=Normal())
    host.end("b")
    assert host.over == Over(BOOM, came_up=False, culprit="b")
    host.scripts.clear()
    host.start()
    assert host.phase == "up"


# -- chains ---------------------------------------------------------------------------


def chain(strategy: Strategy = "one_for_one", **more: Any) -> FakeHost:
    """Return a host of a chain of four stages that is up."""
    given = {"ends": "any", "drains": True, **more}
    return FakeHost.up(rules(strategy, **given), **{name: key() for name in "abcd"})


def test_a_stage_that_ends_ends_its_chain_up_to_there() -> None:
    """Those before it are stopped for good, those behind it finish, then it is over."""
    host = chain()
    host.end("b", reason=Normal())
    assert host.take_log() == "drain after b, stop a1"
    assert host.told(Draining) == [Draining("b")]
    assert [down[0] for down in host.downs()] == ["b", "a"]
    assert host.downs()[1] == ("a", 1, Shutdown(), "gone", NoRestart.CHAIN_ENDED)
    assert host.signals[-1].fate == "gone"
    assert host.conditions() == "ended ended up up"
    host.stop("finish", reason=Normal())
    assert host.take_log() == "stop d1, stop c1, over"
    assert host.over == Over(Normal(), came_up=True)


def test_the_last_stage_that_ends_ends_the_chain() -> None:
    """There is nobody left to finish."""
    host = chain()
    host.end("d", reason=Shutdown("enough"))
    assert host.take_log() == "stop c1, stop b1, stop a1, over"
    assert host.over == Over(Shutdown("enough"), came_up=True)


def test_a_stage_behind_the_end_can_crash_and_end() -> None:
    """What is left of the chain is supervised as before, without those that are over."""
    host = chain("one_for_all")
    host.end("a", reason=Normal())
    host.log.clear()
    host.end("c")
    assert host.take_log() == "restart c, stop d1, stop b1, start b2, start c2, start d2"
    host.end("c", reason=Normal())
    assert host.take_log() == "drain after c, stop b2"
    host.end("d", reason=Normal())
    assert host.take_log() == "over"


def test_a_stage_before_the_end_that_was_to_come_back_does_not() -> None:
    """In the pause before its restart, or held, it is told that it is gone."""
    host = chain(backoff=PAUSED)
    host.ask("stop_child", "b")
    host.end("a")
    host.end("a")
    assert host.conditions() == "restarting held up up"
    host.log.clear()
    host.end("c", reason=Normal())
    assert host.told(Decided) == [
        Decided("a", "gone", NoRestart.CHAIN_ENDED),
        Decided("b", "gone", NoRestart.CHAIN_ENDED),
    ]
    host.wait(5.0)
    assert host.take_log() == "drain after c"
    assert host.conditions() == "ended ended ended up"


def test_a_stage_before_the_end_that_is_starting_goes_down() -> None:
    """Whether it comes up or fails meanwhile costs nothing any more."""
    host = chain(max_restarts=1)
    host.script("a", slow=True)
    host.end("a")
    host.script("b", deaf=True)
    host.log.clear()
    host.end("c", reason=Normal())
    assert host.take_log() == "drain after c, stop b1"
    host.end("a")
    host.end("b", reason=Shutdown())
    assert host.conditions() == "ended ended ended up"
    assert host.phase == "up"


def test_a_chain_can_end_in_the_middle_of_a_restart() -> None:
    """Of the set that was restarted, those behind the end come back, the others do not."""
    host = chain("rest_for_one")
    host.script("d", deaf=True)
    host.end("c")
    host.end("b", reason=Normal())
    assert host.take_log() == "restart c, stop d1, drain after b"
    host.end("d", reason=Shutdown())
    assert host.take_log() == "stop a1, start c2, start d2"
    assert host.conditions() == "ended ended up up"


def test_a_stage_that_is_over_is_not_started_by_hand() -> None:
    """Restarting it is refused, stopping it is done, removing it forgets it."""
    host = chain()
    host.end("b", reason=Normal())
    assert host.answers[host.ask("restart_child", "a")] == "not_running"
    assert host.answers[host.ask("stop_child", "a")] == "ok"
    assert host.answers[host.ask("remove_child", "a")] == "ok"
    assert list(host.scope.children) == ["b", "c", "d"]


def test_errands_of_a_stage_that_goes_down_with_its_chain() -> None:
    """Not yet asked to stop, or asked by hand: it is gone, and each errand is answered."""
    host = chain()
    host.script("b", deaf=True)
    host.script("a", deaf=True)
    again = host.ask("restart_child", "a")
    host.end("c", reason=Normal())
    behind = host.ask("restart_child", "b")
    removed = host.ask("remove_child", "b")
    assert host.take_log() == "stop a1, drain after c, stop b1"
    host.end("a", reason=Shutdown())
    host.end("b", reason=Shutdown())
    assert [host.answers[token] for token in (again, behind, removed)] == [
        "not_running",
        "not_running",
        "ok",
    ]
    assert [(down[0], down[3], down[4]) for down in host.downs()[1:]] == [
        ("a", "gone", NoRestart.CHAIN_ENDED),
        ("b", "gone", NoRestart.CHAIN_ENDED),
    ]


def test_a_restart_by_hand_that_was_waiting_when_the_chain_ended() -> None:
    """It waited for its place in the restart of its set, which is called off."""
    host = chain("rest_for_one")
    host.script("b", slow=True)
    host.end("b")
    waits = host.ask("restart_child", "c")
    host.ask("stop_child", "d")
    host.ask("restart_child", "d")
    assert host.conditions() == "up starting restarting up"
    host.script("a", deaf=True)
    host.ask("add", "e", rules=key())
    host.end("d", reason=Normal())
    assert host.answers[waits] == "not_running"
    assert host.conditions() == "stopping ended ended ended new"
    host.end("a", reason=Shutdown())
    assert host.conditions() == "ended ended ended ended up"


def test_a_stage_being_added_when_the_chain_ends_behind_it() -> None:
    """It goes down with those before the end; its caller hears why."""
    host = chain()
    host.script("e", slow=True)
    added = host.ask("add", "e", rules=key())
    host.ask("add", "f", rules=key())
    host.ask("add", "g", rules=key())
    host.end("f", reason=Normal())
    assert host.answers[added] == "not_running"
    assert host.told(Forgotten) == [Forgotten("e")]
    assert host.phase == "up"
    assert host.conditions() == "ended ended ended ended ended up"


def test_a_temporary_stage_marks_the_place_where_its_chain_ended() -> None:
    """It is forgotten with the chain, not before."""
    host = FakeHost.up(rules(ends="any", drains=True), a=key(), b=key("temporary"), c=key())
    host.end("b")
    assert host.take_log() == "drain after b, stop a1"
    assert host.told(Forgotten) == []
    host.stop("finish", reason=Normal())
    assert host.told(Forgotten) == [Forgotten("b")]


def test_a_temporary_stage_that_goes_down_with_its_chain() -> None:
    """Before the end of the chain it is over like the others."""
    host = FakeHost.up(rules(ends="any", drains=True), a=key("temporary"), b=key(), c=key())
    host.end("b", reason=Normal())
    assert host.conditions() == "ended ended up"


def test_a_temporary_stage_that_a_restart_takes_down_leaves_a_hole() -> None:
    """It does not come back with its siblings, so the chain has ended up to there."""
    host = FakeHost.up(
        rules("one_for_all", ends="any", drains=True), a=key(), b=key("temporary"), c=key()
    )
    host.end("a")
    assert host.take_log() == "restart a, stop c1, stop b1, drain after b, start c2"
    assert host.conditions() == "ended ended up"


def test_one_that_is_no_stage_leaves_no_hole() -> None:
    """A child that is not significant may go down for good, and the chain goes on."""
    host = FakeHost.up(
        rules("one_for_all", ends="any", drains=True), a=key(), b=child("temporary"), c=key()
    )
    host.end("a")
    assert host.told(Forgotten) == [Forgotten("b")]
    assert host.conditions() == "up up"
    assert host.told(Draining) == []


def test_a_stage_that_ends_before_the_chain_is_up() -> None:
    """It comes up first; a stage that was removed meanwhile ends nothing."""
    stages = {name: key() for name in "abc"}
    host = FakeHost.of(rules(ends="any", drains=True), stages)
    host.script("c", slow=True)
    host.start()
    host.end("b", reason=Normal())
    assert host.take_log() == "start a1, start b1, start c1"
    host.come_up("c")
    assert host.take_log() == "up, drain after b, stop a1"

    host = FakeHost.of(rules(ends="any", drains=True), stages)
    host.script("c", slow=True)
    host.start()
    host.end("b", reason=Normal())
    host.ask("remove_child", "b")
    host.come_up("c")
    assert host.conditions() == "up up"


def test_two_stages_that_end_before_the_chain_is_up() -> None:
    """What is before the first of them that is told is over with it."""
    host = FakeHost.of(rules(ends="any", drains=True), {name: key() for name in "abc"})
    host.script("c", slow=True)
    host.start()
    host.end("b", reason=Normal())
    host.end("a", reason=Normal())
    host.come_up("c")
    assert host.told(Draining) == [Draining("b")]
