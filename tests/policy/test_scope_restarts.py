"""Which end of a child leads to which restart, and who goes with it in which order."""

from __future__ import annotations

import pytest

from tests.policy.fakes import (
    BOOM,
    STRATEGIES,
    FakeHost,
    child,
    rules,
)
from threadsup._exits import Abandoned, ExitReason, Normal, Shutdown
from threadsup._policy.protocol import (
    ChildUp,
    Deadline,
    Exited,
    Forgotten,
    GiveUp,
    Overdue,
    Started,
    StartFailed,
)
from threadsup._policy.restart import NoRestart, RestartRule, Strategy
from threadsup._policy.scope import new_scope, step

CLEAN: tuple[ExitReason, ...] = (Normal(), Shutdown(), Shutdown("done"))
UNCLEAN: tuple[ExitReason, ...] = (BOOM, Abandoned(5.0))


# -- restart types --------------------------------------------------------------------


@pytest.mark.parametrize("reason", [*CLEAN, *UNCLEAN], ids=str)
def test_a_permanent_child_comes_back_after_any_end(reason: ExitReason) -> None:
    """Rows 63, 64, 65: a permanent child is restarted after a clean end and a crash."""
    host = FakeHost.up(rules(), a=child("permanent"), b=child())
    host.end("a", reason=reason)
    assert host.take_log() == "restart a, start a2"
    assert host.downs() == [("a", 1, reason, "restarts", None)]
    assert host.running == {"a": 2, "b": 1}


@pytest.mark.parametrize("reason", CLEAN, ids=str)
def test_a_transient_child_stays_down_after_a_clean_end(reason: ExitReason) -> None:
    """Rows 66, 67: after `Normal` and `Shutdown` it is kept, and not restarted."""
    host = FakeHost.up(rules(), a=child("transient"), b=child())
    host.end("a", reason=reason)
    assert host.take_log() == ""
    assert host.downs() == [("a", 1, reason, "gone", NoRestart.CLEAN_END)]
    assert host.conditions() == "ended up"


@pytest.mark.parametrize("reason", UNCLEAN, ids=str)
def test_a_transient_child_comes_back_after_a_crash(reason: ExitReason) -> None:
    """Row 68: a crash, and being given up on, are no clean ends."""
    host = FakeHost.up(rules(), a=child("transient"), b=child())
    host.end("a", reason=reason)
    assert host.take_log() == "restart a, start a2"


def test_a_transient_child_that_ended_starts_again_by_hand() -> None:
    """Row 67: what ended cleanly can be restarted by hand, for nothing."""
    host = FakeHost.up(rules(max_restarts=0), a=child("transient"))
    host.end("a", reason=Normal())
    token = host.ask("restart_child", "a")
    assert host.take_log() == "start a2"
    assert host.answers[token] == "ok"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("reason", [*CLEAN, *UNCLEAN], ids=str)
def test_a_temporary_child_is_forgotten(strategy: Strategy, reason: ExitReason) -> None:
    """Rows 69, 73: it is never restarted, takes nobody along, and its id is free."""
    host = FakeHost.up(rules(strategy), a=child("temporary"), b=child(), c=child("transient"))
    host.end("a", reason=reason)
    assert host.take_log() == ""
    assert host.downs() == [("a", 1, reason, "gone", NoRestart.TEMPORARY)]
    assert host.told(Forgotten) == [Forgotten("a")]
    token = host.ask("add", "a", rules=child())
    assert host.answers[token] == "ok"
    assert list(host.scope.children) == ["b", "c", "a"]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_temporary_bystander_is_taken_down_for_good(strategy: Strategy) -> None:
    """Rows 70, 73: stopped with its siblings it is forgotten and costs no budget."""
    host = FakeHost.up(
        rules(strategy, max_restarts=1), a=child(), b=child("temporary"), c=child("transient")
    )
    host.end("a")
    assert host.take_log() == "restart a, stop c1, stop b1, start a2, start c2"
    assert [(s.key, s.fate) for s in host.signals] == [("c", "restarts"), ("b", "gone")]
    assert host.told(Forgotten) == [Forgotten("b")]
    assert host.phase == "up"


@pytest.mark.parametrize("restart", ["never", "escalate"])
@pytest.mark.parametrize("reason", [*CLEAN, *UNCLEAN], ids=str)
def test_a_child_that_is_a_scope_is_kept_when_it_ends(
    restart: RestartRule, reason: ExitReason
) -> None:
    """The end of a scope that has not given up is final, and it is not forgotten."""
    host = FakeHost.up(rules(), a=child(restart), b=child())
    host.end("a", reason=reason)
    assert host.take_log() == ""
    assert host.conditions() == "ended up"


# -- strategies -----------------------------------------------------------------------

FIVE = {name: child() for name in "abcde"}


@pytest.mark.parametrize(
    ("strategy", "crashed", "log"),
    [
        ("one_for_one", "a", "start a2"),
        ("one_for_one", "c", "start c2"),
        ("one_for_one", "e", "start e2"),
        ("one_for_all", "a", "stop e1, stop d1, stop c1, stop b1, ALL"),
        ("one_for_all", "c", "stop e1, stop d1, stop b1, stop a1, ALL"),
        ("one_for_all", "e", "stop d1, stop c1, stop b1, stop a1, ALL"),
        ("rest_for_one", "a", "stop e1, stop d1, stop c1, stop b1, ALL"),
        ("rest_for_one", "c", "stop e1, stop d1, start c2, start d2, start e2"),
        ("rest_for_one", "e", "start e2"),
    ],
)
def test_a_strategy_takes_its_part(strategy: Strategy, crashed: str, log: str) -> None:
    """Rows 31, 75, 77, 80: stopped in reverse, started in declared order, nobody else."""
    host = FakeHost.up(rules(strategy, max_restarts=1), **FIVE)
    host.end(crashed)
    log = log.replace("ALL", "start a2, start b2, start c2, start d2, start e2")
    assert host.take_log() == f"restart {crashed}, {log}"
    assert len(host.scope.intensity.history) == 1


def test_children_are_stopped_one_after_another() -> None:
    """Row 31: the next one is asked when the one after it is down, and then they start."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child(), c=child())
    for key in "bc":
        host.script(key, deaf=True)
    host.end("a")
    assert host.take_log() == "restart a, stop c1"
    host.end("c", reason=Shutdown())
    assert host.take_log() == "stop b1"
    host.end("b", reason=Shutdown())
    assert host.take_log() == "start a2, start b2, start c2"


def test_equals_are_stopped_together() -> None:
    """Members of a group are asked all at once, and start in order when all are down."""
    host = FakeHost.up(rules("one_for_all", stop="together"), a=child(), b=child(), c=child())
    for key in "bc":
        host.script(key, deaf=True)
    host.end("a")
    assert host.take_log() == "restart a, stop c1, stop b1"
    host.end("b", reason=Shutdown())
    assert host.take_log() == ""
    host.end("c", reason=Shutdown())
    assert host.take_log() == "start a2, start b2, start c2"


def test_children_start_one_after_another() -> None:
    """Row 30: the next one starts when the one before it is up."""
    host = FakeHost.of(rules(), {"b": child(), "c": child(), "a": child()})
    for key in "bca":
        host.script(key, slow=True)
    host.start()
    for key in "bca":
        assert host.phase == "starting"
        assert host.take_log() == f"start {key}1"
        host.come_up(key)
    assert host.take_log() == "up"
    assert host.told(ChildUp) == [ChildUp("b", 1), ChildUp("c", 1), ChildUp("a", 1)]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_restart_brings_back_who_had_ended_or_was_stopped(strategy: Strategy) -> None:
    """The set is started as declared: those that left cleanly or were held, too."""
    host = FakeHost.up(rules(strategy), a=child(), b=child("transient"), c=child())
    host.end("b", reason=Normal())
    host.ask("stop_child", "c")
    assert host.conditions() == "up ended held"
    host.log.clear()
    host.end("a")
    assert host.take_log() == "restart a, start a2, start b2, start c2"


def test_one_for_one_leaves_the_ended_alone() -> None:
    """A sibling that ended or was stopped stays so when another one is restarted."""
    host = FakeHost.up(rules(), a=child(), b=child("transient"), c=child())
    host.end("b", reason=Normal())
    host.ask("stop_child", "c")
    host.end("a")
    assert host.conditions() == "up ended held"


def test_who_had_ended_is_shown_as_coming_back() -> None:
    """While the restart of its siblings is under way it is a restarting child."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child("transient"), c=child())
    host.end("b", reason=Normal())
    host.script("c", deaf=True)
    host.end("a")
    assert host.conditions() == "restarting restarting stopping"


# -- ends in the middle of a restart --------------------------------------------------


def test_who_is_to_go_down_anyway_costs_nothing() -> None:
    """Siblings that crash before and while they are asked to stop are one restart."""
    host = FakeHost.up(rules("one_for_all", max_restarts=1), **FIVE)
    for key in "de":
        host.script(key, deaf=True)
    host.end("a")
    host.end("e")  # asked, ends with a crash
    host.end("b")  # not asked yet
    host.end("c", reason=Normal())
    assert host.take_log() == "restart a, stop e1, stop d1"
    host.end("d", reason=Shutdown())
    assert host.take_log() == "start a2, start b2, start c2, start d2, start e2"
    assert len(host.scope.intensity.history) == 1
    assert [(d[0], d[2], d[3]) for d in host.downs()] == [
        ("a", BOOM, "restarts"),
        ("e", BOOM, "restarts"),
        ("b", BOOM, "restarts"),
        ("c", Normal(), "restarts"),
        ("d", Shutdown(), "restarts"),
    ]


def test_a_crash_of_all_at_once_is_one_restart() -> None:
    """F14: members that crash in the same instant are restarted once."""
    host = FakeHost.up(rules("one_for_all", max_restarts=1, stop="together"), **FIVE)
    host.end(*"cabed")
    assert len(host.scope.intensity.history) == 1
    assert set(host.running.values()) == {2}


def test_one_for_one_counts_each_of_those_that_crash_at_once() -> None:
    """Row 75: the budget belongs to the scope, crashes of different children add up."""
    host = FakeHost.up(rules(max_restarts=2), **FIVE)
    host.end(*"ab")
    assert host.phase == "up"
    host.end("c")
    assert host.phase == "down"


def test_one_that_is_back_and_crashes_is_a_new_crash() -> None:
    """A restarted child that crashes while the rest still starts begins it all anew."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child(), c=child())
    host.script("b", slow=True)
    host.end("c")
    host.log.clear()
    host.end("a")
    assert host.take_log() == "restart a, stop b2, start a3, start b3"
    assert len(host.scope.intensity.history) == 2
    host.come_up("b")
    assert host.take_log() == "start c2"


def test_a_crash_upstream_widens_the_restart_that_is_under_way() -> None:
    """Row 80: under rest_for_one an earlier crash takes those in between as well."""
    host = FakeHost.up(rules("rest_for_one"), **FIVE)
    for key in "de":
        host.script(key, deaf=True)
    host.end("c")
    assert host.take_log() == "restart c, stop e1"
    host.end("a")
    assert host.take_log() == "restart a"
    host.end("e", reason=Shutdown())
    assert host.take_log() == "stop d1"
    host.end("d", reason=Shutdown())
    assert host.take_log() == "stop b1, start a2, start b2, start c2, start d2, start e2"


def test_a_crash_downstream_is_part_of_the_restart_that_is_under_way() -> None:
    """A later crash under rest_for_one joins; who is starting is stopped and starts again."""
    host = FakeHost.up(rules("rest_for_one"), a=child(), b=child(), c=child())
    host.script("c", slow=True)
    host.end("b")
    assert host.take_log() == "restart b, stop c1, start b2, start c2"
    host.end("b")
    assert host.take_log() == "restart b, stop c2, start b3, start c3"


def test_a_clean_end_in_the_middle_of_a_restart_is_one_of_its_own() -> None:
    """Who is not part of a restart ends for good beside it."""
    host = FakeHost.up(rules("rest_for_one"), a=child("transient"), b=child(), c=child())
    host.script("c", deaf=True)
    host.end("b")
    host.end("a", reason=Normal())
    host.end("c", reason=Shutdown())
    assert host.conditions() == "ended up up"


def test_who_starts_and_is_to_go_down_may_fail_for_nothing() -> None:
    """A start that fails, or hangs, of one that is to be stopped anyway is no crash."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child(), c=child())
    host.script("b", slow=True)
    host.ask("restart_child", "b")
    host.script("c", deaf=True)
    host.end("a")
    assert host.conditions() == "restarting starting stopping"
    host.end("b")
    assert len(host.scope.intensity.history) == 1
    host.script("b")
    host.end("c", reason=Shutdown())
    assert host.conditions() == "up up up"


# -- incarnations ---------------------------------------------------------------------


def test_events_of_an_old_life_change_nothing() -> None:
    """What an earlier incarnation still reports is not for the present one."""
    host = FakeHost.up(rules(), a=child(), b=child())
    host.end("a")
    for event in (
        Started("a", 1),
        StartFailed("a", 1, BOOM),
        Exited("a", 1, BOOM),
        Deadline("a", 1),
        Overdue("a", 1, BOOM),
        Exited("nobody", 1, BOOM),
        Started("b", 1),
        Deadline("b", 1),
    ):
        assert step(host.scope, event, 99.0) == (host.scope, [])
    assert host.timers() == {}
    host.ask("stop_child", "b")
    assert step(host.scope, Exited("b", 1, BOOM), 99.0) == (host.scope, [])


def test_an_overdue_child_is_replaced_at_once() -> None:
    """A worker that hangs in a message is fenced and restarted: that is a crash."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child())
    host.overdue("a", Abandoned(1.0, "message"))
    assert host.take_log() == "fence a1, restart a, stop b1, start a2, start b2"
    assert host.downs()[0] == ("a", 1, Abandoned(1.0, "message"), "restarts", None)


def test_an_overdue_child_that_is_stopping_has_its_time() -> None:
    """Once it was asked to stop, only the limit for stopping counts."""
    host = FakeHost.up(rules(), a=child())
    host.script("a", deaf=True)
    host.stop()
    host.overdue("a", Abandoned(1.0))
    assert host.take_log() == "stop a1"
    host.wait(5.0)
    assert host.take_log() == "fence a1, over"


def test_an_overdue_child_that_drains_is_fenced() -> None:
    """While it drains there is no limit for stopping: the one for a message still counts."""
    host = FakeHost.up(rules(), a=child())
    host.script("a", deaf=True)
    asked = host.ask("stop_child", "a", drain=True)
    host.wait(60.0)
    assert host.take_log() == "drain a1"
    host.overdue("a", Abandoned(1.0, "message"))
    assert host.take_log() == "fence a1"
    assert host.answers[asked] == "ok"
    assert host.downs()[0][:4] == ("a", 1, Abandoned(1.0, "message"), "held")


def test_a_step_changes_nothing_that_went_in() -> None:
    """The state that went into a step is as it was, and gives the same step again."""
    scope = new_scope(rules(), {"a": child()})
    host = FakeHost(scope)
    host.start()
    assert scope == new_scope(rules(), {"a": child()})
    before = host.scope
    first = step(before, Exited("a", 1, BOOM), 1.0)
    assert first == step(before, Exited("a", 1, BOOM), 1.0)
    assert before == host.scope
    assert GiveUp("a", BOOM) not in first[1]
