"""Places: who goes with a replica, and where one that is added belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.policy.fakes import BOOM, PAUSED, FakeHost, at, chain_of, child, order, replicas, rules
from threadsup._exits import Normal, Shutdown
from threadsup._policy.protocol import Over

if TYPE_CHECKING:
    from threadsup._policy.restart import Strategy

# -- strategies -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "log"),
    [
        ("one_for_one", "start b12"),
        ("one_for_all", "stop c11, stop c01, stop b01, stop a11, stop a01, start ALL"),
        ("rest_for_one", "stop c11, stop c01, start b12, start c02, start c12"),
        ("before_for_one", "stop a11, stop a01, start a02, start a12, start b12"),
    ],
)
def test_a_crash_of_a_replica_takes_its_part(strategy: Strategy, log: str) -> None:
    """Rows 75, 77, 80, 83: places are before and after; its equals go where all go."""
    host = chain_of("a0 a1 b0 b1 c0 c1", strategy, max_restarts=1)
    host.end("b1")
    everybody = "a02, start a12, start b02, start b12, start c02, start c12"
    assert host.take_log() == f"restart b1, {log.replace('ALL', everybody)}"
    assert len(host.scope.intensity.history) == 1


@pytest.mark.parametrize(
    ("crashed", "log"),
    [
        ("a", "start a2"),
        ("c", "stop b1, stop a1, start a2, start b2, start c2"),
        ("d", "stop c1, stop b1, stop a1, start a2, start b2, start c2, start d2"),
    ],
)
@pytest.mark.parametrize("stop", ["in_turn", "together"])
def test_before_for_one_takes_those_before(crashed: str, log: str, stop: str) -> None:
    """Row 83: in a group as in a chain; those after the crashed one stay up."""
    host = FakeHost.up(rules("before_for_one", stop=stop), **{key: child() for key in "abcd"})
    host.end(crashed)
    assert host.take_log() == f"restart {crashed}, {log}"


@pytest.mark.parametrize("stop", ["in_turn", "together"])
def test_a_start_that_fails_under_before_for_one_starts_those_up_to_it_over(stop: str) -> None:
    """Row 83, mirror of 82: the ones before it go down again, the ones after it stay up."""
    host = FakeHost.up(rules("before_for_one", stop=stop), **{key: child() for key in "abcd"})
    host.script("b", fails=1)
    host.end("c")
    assert host.take_log() == (
        "restart c, stop b1, stop a1, start a2, start b2, "
        "restart b, stop a2, start a3, start b3, start c2"
    )
    assert host.running == {"a": 3, "b": 3, "c": 2, "d": 1}
    assert len(host.scope.intensity.history) == 2


def test_the_anchor_itself_may_fail_under_before_for_one() -> None:
    """Row 83: all those before it that are up again begin anew, until the budget is spent."""
    host = FakeHost.up(rules("before_for_one", max_restarts=2), a=child(), b=child(), c=child())
    host.script("b", fails=2)
    host.end("b")
    assert host.take_log() == (
        "restart b, stop a1, start a2, start b2, restart b, stop a2, start a3, start b3, "
        "give up b, stop c1, stop a3, over"
    )


def test_a_pause_before_for_one_begins_when_those_before_go_down() -> None:
    """They are asked at once, and all that is up to the failing one waits for the pause."""
    host = FakeHost.up(rules("before_for_one", backoff=PAUSED), a=child(), b=child(), c=child())
    host.script("b", fails=1)
    host.end("b")
    assert host.take_log() == "restart b, stop a1, start a2, start b2, restart b in 1, stop a2"
    assert host.conditions() == "restarting restarting up"
    host.wait(1.0)
    assert host.take_log() == "start a3, start b3"


def test_a_later_crash_widens_a_restart_before_for_one() -> None:
    """Those between the two crashes go down, too; who was asked is not asked again."""
    host = FakeHost.up(rules("before_for_one"), **{key: child() for key in "abcde"})
    host.script("a", deaf=True)
    host.end("b")
    host.end("d")
    assert host.take_log() == "restart b, stop a1, restart d"
    host.end("a", reason=Shutdown())
    assert host.take_log() == "stop c1, start a2, start b2, start c2, start d2"


def test_a_failing_replica_leaves_its_equals_alone() -> None:
    """A start that fails is a crash of that replica: its equals, up again, stay up."""
    host = chain_of("a0 b0 b1 c0 c1", "before_for_one")
    host.script("b1", fails=1)
    host.end("c0")
    assert host.take_log() == (
        "restart c0, stop b11, stop b01, stop a01, start a02, start b02, start b12, "
        "restart b1, stop a02, start a03, start b13, start c02"
    )


def test_two_replicas_that_crash_at_once_are_two_restarts() -> None:
    """Row 75: equals do not go with each other, so each crash is one."""
    host = chain_of("a0 b0 b1 c0", "rest_for_one")
    host.end("b0", "b1")
    assert host.take_log() == "restart b0, stop c01, restart b1, start b02, start b12, start c02"
    assert len(host.scope.intensity.history) == 2


# -- stopping and starting ------------------------------------------------------------


def test_equals_are_stopped_together_and_places_one_after_another() -> None:
    """In reverse of the declared order; who is down early is not waited for."""
    host = chain_of("a0 a1 a2 b0 b1 b2 c0 c1 c2")
    for key in host.running:
        host.script(key, deaf=True)
    host.stop()
    assert host.take_log() == "stop c21, stop c11, stop c01"
    host.end("c1", "c0", reason=Shutdown())
    host.end("b1", reason=Normal())
    assert host.take_log() == ""
    host.end("c2", reason=Shutdown())
    assert host.take_log() == "stop b21, stop b01"
    host.end("b2", reason=Shutdown())
    host.end("b0", reason=Shutdown())
    assert host.take_log() == "stop a21, stop a11, stop a01"


def test_equals_start_one_after_another() -> None:
    """In declared order, in the first start and in a restart."""
    host = FakeHost.of(rules("one_for_all"), replicas("a0 a1 b0"))
    for key in ("a0", "a1", "b0"):
        host.script(key, slow=True)
    host.start()
    for key in ("a0", "a1", "b0"):
        assert host.take_log() == f"start {key}1"
        host.come_up(key)
    assert host.take_log() == "up"


def test_a_replica_that_does_not_start_rolls_the_scope_back() -> None:
    """Row 14: the first start is all or nothing, replicas or not."""
    host = FakeHost.of(rules(), replicas("a0 a1 b0"))
    host.script("b0", fails=1)
    host.start()
    assert host.take_log() == "start a01, start a11, start b01, stop a11, stop a01, over"
    assert host.over == Over(BOOM, came_up=False, culprit="b0")


def test_a_replica_that_overruns_has_the_rest_asked_at_once() -> None:
    """Its equals have their limit from the same moment; then nobody waits for a turn."""
    host = chain_of("a0 a1 b0 b1")
    for key in host.running:
        host.script(key, deaf=True)
    host.stop()
    host.wait(5.0)
    assert host.take_log() == "stop b11, stop b01, fence b11, stop a11, stop a01, fence b01"
    host.wait(5.0)
    assert host.take_log() == "fence a11, fence a01, over"


def test_equals_of_one_who_stops_by_hand_are_asked_with_it() -> None:
    """A stop waits for one that was asked by hand before, and its place is as good as asked."""
    host = chain_of("a0 a1 b0 b1")
    for key in host.running:
        host.script(key, deaf=True)
    host.ask("remove_child", "b0")
    host.stop()
    assert host.take_log() == "stop b01, stop b11"
    host.end("b0", "b1", reason=Shutdown())
    assert host.take_log() == "stop a11, stop a01"


def test_one_who_ended_does_not_stand_between_equals() -> None:
    """A place whose children ended by themselves before their turn is passed over."""
    host = chain_of("a0 a1 b0 c0")
    for key in host.running:
        host.script(key, deaf=True)
    host.stop()
    host.end("b0", reason=Normal())
    host.end("c0", reason=Shutdown())
    assert host.take_log() == "stop c01, stop a11, stop a01"


@pytest.mark.parametrize("strategy", ["one_for_all", "before_for_one"])
def test_a_crash_of_a_replica_whose_stage_is_being_stopped(strategy: Strategy) -> None:
    """Asked with its equals it may end as it likes: it comes back with them, for nothing."""
    host = chain_of("a0 a1 b0", strategy, max_restarts=1)
    host.script("a0", deaf=True)
    host.script("a1", deaf=True)
    host.end("b0")
    host.end("a0")
    assert host.take_log() == "restart b0, stop a11, stop a01"
    host.end("a1", reason=Shutdown())
    assert host.take_log() == "start a02, start a12, start b02"
    assert len(host.scope.intensity.history) == 1


def test_a_crash_beside_the_one_that_is_coming_back() -> None:
    """Under rest_for_one an equal that crashes meanwhile is a crash of its own."""
    host = chain_of("a0 a1 b0 b1", "rest_for_one")
    host.script("b0", deaf=True)
    host.end("a1")
    assert host.take_log() == "restart a1, stop b11, stop b01"
    host.end("a0")
    assert host.take_log() == "restart a0"
    host.end("b0", reason=Shutdown())
    assert host.take_log() == "start a02, start a12, start b02, start b12"
    assert len(host.scope.intensity.history) == 2


# -- adding ---------------------------------------------------------------------------


def test_an_added_replica_stands_with_its_equals() -> None:
    """The order of stopping shows it; the caller hears when it is up."""
    host = chain_of("a0 b0 c0")
    token = host.ask("add", "b1", rules=at("b"))
    host.ask("add", "c1", rules=at("c"), before="a")
    assert host.answers[token] == "ok"
    assert host.take_log() == "start b11, start c11"
    assert order(host) == "a0 b0 b1 c0 c1"
    host.stop()
    assert host.take_log() == "stop c11, stop c01, stop b11, stop b01, stop a01, over"


def test_a_new_place_is_opened_where_it_is_asked_for() -> None:
    """Before a place, whatever number of children it has, or at the end."""
    host = chain_of("a0 b0 b1")
    host.ask("add", "x0", rules=at("x"), before="b")
    host.ask("add", "x1", rules=at("x"), before="b")
    host.ask("add", "y0", rules=at("y"))
    host.ask("add", "z0", rules=at("z"), before="a")
    host.ask("add", "alone", rules=child(), before="x")
    assert order(host) == "z0 a0 alone x0 x1 b0 b1 y0"
    assert set(host.answers.values()) == {"ok"}


def test_a_child_without_a_place_is_a_place() -> None:
    """It is named as the child: others can be added before it and beside it."""
    host = FakeHost.up(rules(), a=child(), b=child())
    host.ask("add", "x", rules=child(), before="b")
    host.ask("add", "a1", rules=at("a"))
    assert order(host) == "a a1 x b"


def test_a_place_that_is_not_there_is_unknown() -> None:
    """Nothing is added before a place that was removed meanwhile."""
    host = chain_of("a0 b0")
    token = host.ask("add", "x0", rules=at("x"), before="c")
    assert host.answers[token] == "unknown"
    assert order(host) == "a0 b0"
    assert host.take_log() == ""


def test_declaring_has_places_too() -> None:
    """Before the first start as after it."""
    host = FakeHost.of(rules(), replicas("a0 b0"))
    host.ask("add", "a1", rules=at("a"))
    host.ask("add", "x0", rules=at("x"), before="b")
    assert host.answers[host.ask("add", "y0", rules=at("y"), before="c")] == "unknown"
    host.start()
    assert host.take_log() == "start a01, start a11, start x01, start b01, up"


def test_a_replica_added_in_the_first_start_waits_its_turn() -> None:
    """It starts before the places behind it; its place may have been passed already."""
    host = FakeHost.of(rules(), replicas("a0 b0 c0"))
    host.script("b0", slow=True)
    host.start()
    late = host.ask("add", "a1", rules=at("a"))
    host.ask("add", "b1", rules=at("b"))
    assert host.take_log() == "start a01, start b01"
    host.come_up("b0")
    assert host.take_log() == "start a11, start b11, start c01, up"
    assert host.answers[late] == "ok"


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one", "before_for_one"])
def test_a_replica_added_in_a_restart_waits_its_turn(strategy: Strategy) -> None:
    """It is no part of the restart, but has its place in the order of starting."""
    host = chain_of("a0 b0 c0", strategy)
    host.script("c0" if strategy == "rest_for_one" else "a0", deaf=True)
    host.end("b0")
    token = host.ask("add", "b1", rules=at("b"))
    assert "start" not in host.take_log().replace("restart", "")
    host.end("c0" if strategy == "rest_for_one" else "a0", reason=Shutdown())
    log = host.take_log()
    assert "start b02, start b11" in log
    assert log.endswith("start b11" if strategy == "before_for_one" else "start c02")
    assert host.answers[token] == "ok"


def test_an_added_replica_that_does_not_start_leaves_its_equals() -> None:
    """Row 10: its caller gets the error, the stage goes on with those it has."""
    host = chain_of("a0 b0", max_restarts=0)
    host.script("a1", fails=1)
    token = host.ask("add", "a1", rules=at("a"))
    assert host.answers[token] == "start_failed"
    assert order(host) == "a0 b0"
    assert host.phase == "up"


def test_a_replica_that_is_being_added_is_part_of_a_restart() -> None:
    """Still starting when its set is restarted, it comes back with its equals."""
    host = chain_of("a0 b0 c0", "rest_for_one")
    host.script("b1", slow=True)
    token = host.ask("add", "b1", rules=at("b"))
    host.scripts.clear()
    host.end("a0")
    assert host.take_log() == (
        "start b11, restart a0, stop c01, stop b11, stop b01, "
        "start a02, start b02, start b12, start c02"
    )
    assert host.answers[token] == "ok"
