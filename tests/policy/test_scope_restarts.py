"""Which end of a child leads to which restart, in which order, and when that is too much."""

from __future__ import annotations

import pytest

from tests.policy.fakes import BOOM, FakeHost, child, rules
from threadsup._exits import Abandoned, Crashed, ExitReason, Normal, Shutdown
from threadsup._policy.backoff import Backoff
from threadsup._policy.protocol import (
    ChildUp,
    Deadline,
    Decided,
    Exited,
    Forgotten,
    GiveUp,
    Over,
    Overdue,
    Request,
    Restarting,
    Start,
    Started,
    StartFailed,
    Up,
)
from threadsup._policy.restart import NoRestart, RestartRule, Strategy
from threadsup._policy.scope import new_scope, step

CLEAN: tuple[ExitReason, ...] = (Normal(), Shutdown(), Shutdown("done"))
UNCLEAN: tuple[ExitReason, ...] = (BOOM, Abandoned(5.0))
STRATEGIES: tuple[Strategy, ...] = ("one_for_one", "one_for_all", "rest_for_one")


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


# -- starts that fail -----------------------------------------------------------------


def test_the_first_start_is_all_or_nothing() -> None:
    """Row 14: child c fails, b and a are stopped in reverse, and the scope names c."""
    host = FakeHost.of(rules(), {key: child() for key in "abcd"})
    host.script("c", fails=1)
    host.start()
    assert host.take_log() == "start a1, start b1, start c1, stop b1, stop a1, over"
    assert host.over == Over(BOOM, came_up=False, culprit="c")
    assert host.downs() == [
        ("c", 1, BOOM, "gone", NoRestart.START_FAILED),
        ("b", 1, Shutdown(), "gone", NoRestart.SCOPE_STOPPING),
        ("a", 1, Shutdown(), "gone", NoRestart.SCOPE_STOPPING),
    ]
    assert host.told(Decided) == [Decided("d", "gone", NoRestart.SCOPE_STOPPING)]
    assert host.told(Up) == []
    assert host.conditions() == "ended ended failed ended"


def test_a_scope_that_was_rolled_back_can_start_again() -> None:
    """A second start begins anew, with what was declared."""
    host = FakeHost.of(rules(), {key: child() for key in "ab"})
    host.script("b", fails=1)
    host.start()
    host.log.clear()
    host.start()
    assert host.take_log() == "start a2, start b2, up"


def test_a_scope_that_starts_again_starts_from_scratch() -> None:
    """Nothing of its last life is left but how often its children were started."""

    def started() -> FakeHost:
        host = FakeHost.of(rules(backoff=Backoff(1.0, 2.0, 9.0, 0.0), ends="any"), declared)
        host.script("b", slow=True)
        host.start()
        return host

    declared = {"a": child("transient", significant=True), "b": child(), "c": child()}
    fresh, used = started(), started()
    used.end("a", reason=Normal())  # too early to count
    used.end("b")
    used.start(fate="restarts")
    used.come_up("b")
    for _ in range(2):
        used.end("c")
    used.stop("give_up", key="c", reason=BOOM)
    assert used.phase == "down"
    used.start()
    used.come_up("b")
    used.script("c", deaf=True)
    used.stop(by=1.0, drain=True)
    used.wait(1.0)
    used.start()
    for name in used.scope._fields:
        if name not in {"children", "timer"}:
            assert getattr(used.scope, name) == getattr(fresh.scope, name), name
    assert used.conditions() == "up starting restarting"
    assert fresh.conditions() == "up starting new"


def test_a_start_is_asked_for_once() -> None:
    """A scope that starts, is up, or is stopping takes no second start."""
    host = FakeHost.of(rules(), {"a": child()})
    host.script("a", slow=True, deaf=True)
    host.start()
    host.start()
    host.come_up("a")
    host.start()
    host.stop()
    host.start()
    assert host.take_log() == "start a1, up, stop a1"


def test_a_failing_restart_is_tried_again() -> None:
    """Each attempt of an automatic restart is a restart; then it is up."""
    host = FakeHost.up(rules(), a=child(), b=child())
    host.script("a", fails=2)
    host.end("a")
    assert host.take_log() == "restart a, start a2, restart a, start a3, restart a, start a4"
    assert host.conditions() == "up up"
    assert len(host.scope.intensity.history) == 3


def test_a_failing_restart_spends_the_budget() -> None:
    """Row 76: a child that cannot start again takes its scope with it."""
    host = FakeHost.up(rules(max_restarts=2), a=child(), b=child())
    host.script("a", fails=9)
    host.end("a")
    log = "restart a, start a2, restart a, start a3, give up a, stop b1, over"
    assert host.take_log() == log
    assert host.downs()[-2] == ("a", 3, BOOM, "gone", NoRestart.GAVE_UP)
    assert host.conditions() == "failed ended"


def test_one_for_all_starts_over_when_a_sibling_does_not_start() -> None:
    """Row 79: those already up again are stopped again, then all start over."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child(), c=child())
    host.script("b", fails=1)
    host.end("c")
    first = "restart c, stop b1, stop a1, start a2, start b2"
    assert host.take_log() == f"{first}, restart b, stop a2, start a3, start b3, start c2"
    assert len(host.scope.intensity.history) == 2


def test_one_for_all_gives_up_when_a_sibling_never_starts() -> None:
    """Row 78: a sibling that cannot restart brings everything down."""
    host = FakeHost.up(rules("one_for_all", max_restarts=1), a=child(), b=child())
    host.script("b", fails=9)
    host.end("a")
    assert host.take_log() == "restart a, stop b1, start a2, start b2, give up b, stop a2, over"


def test_rest_for_one_goes_on_from_the_one_that_does_not_start() -> None:
    """Row 82: the crashed one is up and stays so, only the failing one is tried again."""
    host = FakeHost.up(rules("rest_for_one"), a=child(), b=child(), c=child(), d=child())
    host.script("c", fails=1)
    host.end("b")
    first = "restart b, stop d1, stop c1, start b2, start c2"
    assert host.take_log() == f"{first}, restart c, start c3, start d2"
    assert host.running == {"a": 1, "b": 2, "c": 3, "d": 2}


def test_rest_for_one_gives_up_when_a_later_one_never_starts() -> None:
    """Row 81: a later child that cannot restart ends all."""
    host = FakeHost.up(rules("rest_for_one", max_restarts=1), a=child(), b=child(), c=child())
    host.script("c", fails=9)
    host.end("b")
    first = "restart b, stop c1, start b2, start c2"
    assert host.take_log() == f"{first}, give up c, stop b2, stop a1, over"


def test_rest_for_one_shows_the_rest_as_waiting() -> None:
    """Row 94: while a start fails, those before it are up and those after it wait."""
    host = FakeHost.up(
        rules("rest_for_one", backoff=Backoff(1, 1, 1, 0)), a=child(), b=child(), c=child()
    )
    host.script("b", fails=2)
    host.end("b")
    assert host.conditions() == "up restarting restarting"
    host.stop()
    assert host.phase == "down"


def test_a_child_that_ends_before_it_was_up_has_not_started() -> None:
    """An exit of an incarnation that never came up is a start that failed."""
    host = FakeHost.of(rules(), {"a": child("transient")})
    host.script("a", slow=True)
    host.start()
    host.send(Exited("a", host.running.pop("a"), Normal()))
    assert host.over == Over(Normal(), came_up=False, culprit="a")


def test_a_crash_while_siblings_still_start_is_a_crash() -> None:
    """Only starts are rolled back: who was up and crashed is restarted, then it goes on."""
    host = FakeHost.of(rules(), {"a": child(), "b": child(), "c": child()})
    host.script("b", slow=True)
    host.start()
    host.end("a")
    assert host.take_log() == "start a1, start b1, restart a"
    host.come_up("b")
    assert host.take_log() == "start a2, start c1, up"


def test_a_scope_can_give_up_before_it_is_up() -> None:
    """The budget holds from the first start on."""
    host = FakeHost.of(rules(max_restarts=0), {"a": child(), "b": child()})
    host.script("b", slow=True)
    host.start()
    host.end("a")
    assert host.take_log() == "start a1, start b1, give up a, stop b1, over"
    assert host.over is not None
    assert (host.over.gave_up, host.over.came_up, host.over.culprit) == (True, False, "a")


def test_the_temporary_is_started_once() -> None:
    """A temporary child of the declared set starts with it and may fail it."""
    host = FakeHost.of(rules(), {"a": child(), "b": child("temporary")})
    host.script("b", fails=1)
    host.start()
    assert host.over == Over(BOOM, came_up=False, culprit="b")
    assert host.told(Forgotten) == [Forgotten("b")]


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


# -- budget and pauses ----------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_restart_too_many_is_given_up(strategy: Strategy) -> None:
    """Rows 75, 77, 80: as many restarts as allowed are fine, one more ends the scope."""
    host = FakeHost.up(rules(strategy, max_restarts=2), a=child(), b=child())
    host.end("a")
    host.end("b")
    assert host.phase == "up"
    host.log.clear()
    host.end("a")
    assert host.take_log() == f"give up a, stop b{2 if strategy == 'one_for_one' else 3}, over"
    error = f"gave up: more than 2 restarts in 5 s; last, 'a' {BOOM}"
    assert host.over == Over(Crashed(error), came_up=True, gave_up=True, culprit="a")


def test_no_restart_allowed_means_the_first_crash_ends_it() -> None:
    """With a budget of none the first crash is one too many."""
    host = FakeHost.up(rules(max_restarts=0), a=child(), b=child())
    host.end("a")
    assert host.take_log() == "give up a, stop b1, over"
    assert host.downs() == [
        ("a", 1, BOOM, "gone", NoRestart.GAVE_UP),
        ("b", 1, Shutdown(), "gone", NoRestart.SCOPE_STOPPING),
    ]


def test_crashes_that_are_far_apart_are_no_storm() -> None:
    """Row 74: crashes further apart than the window never add up."""
    host = FakeHost.up(rules(max_restarts=1, max_seconds=1.0), a=child())
    for _ in range(4):
        host.wait(2.1)
        host.end("a")
    assert host.phase == "up"
    assert host.child("a").incarnation == 5


def test_the_first_restart_does_not_wait_the_next_wait_longer() -> None:
    """No pause before the first restart; then exponential, up to the cap."""
    host = FakeHost.up(rules(max_restarts=9, backoff=Backoff(1.0, 2.0, 3.0, 0.0)), a=child())
    for pause in (0, 1, 2, 3, 3):
        host.end("a")
        assert host.told(Restarting)[-1].delay == pause
        if pause:
            assert host.conditions() == "restarting"
            host.wait(pause - 0.5)
            assert host.conditions() == "restarting"
            host.wait(0.5)
        assert host.conditions() == "up"


def test_a_quiet_time_makes_the_next_pause_a_first_one() -> None:
    """After the window has passed in peace since the last restart, the pauses begin anew."""
    host = FakeHost.up(rules(max_restarts=9, backoff=Backoff(1.0, 2.0, 9.0, 0.0)), a=child())
    host.end("a")
    host.end("a")
    host.wait(1.0)
    host.wait(5.0)
    host.end("a")
    assert host.told(Restarting)[-1].delay == 2.0  # exactly the window: not quiet enough
    host.wait(2.0)
    host.wait(5.5)
    host.end("a")
    assert host.told(Restarting)[-1].delay == 0.0


def test_jitter_comes_from_the_chance_that_is_given() -> None:
    """The pause is stretched by the share that chance says."""
    shaky = rules(backoff=Backoff(1.0, 1.0, 1.0, 0.5), chance=lambda: 0.5)
    host = FakeHost.up(shaky, a=child())
    host.end("a")
    host.end("a")
    assert host.told(Restarting)[-1].delay == 1.25


def test_the_set_goes_down_before_the_pause_is_over() -> None:
    """A pause delays the starts, not the stops; both have to be over."""
    paused = rules("one_for_all", backoff=Backoff(1.0, 1.0, 1.0, 0.0))
    host = FakeHost.up(paused, a=child(), b=child())
    host.end("a")
    host.script("b", deaf=True)
    host.log.clear()
    host.end("a")
    assert host.take_log() == "restart a in 1, stop b2"
    host.wait(1.0)
    assert host.take_log() == ""
    host.end("b", reason=Shutdown())
    assert host.take_log() == "start a3, start b3"


def test_a_second_crash_in_the_pause_makes_it_longer() -> None:
    """The pause is the scope's: one that crashes meanwhile waits with the others."""
    host = FakeHost.up(rules(backoff=Backoff(1.0, 2.0, 9.0, 0.0)), a=child(), b=child())
    host.end("a")
    host.end("a")
    host.wait(0.5)
    host.end("b")
    host.log.clear()
    host.wait(1.5)
    assert host.take_log() == ""
    host.wait(0.5)
    assert host.take_log() == "start a3, start b2"


def test_a_timer_that_was_replaced_means_nothing() -> None:
    """A pause that is called off cannot end a later one early."""
    host = FakeHost.up(rules(backoff=Backoff(1.0, 1.0, 1.0, 0.0)), a=child(), b=child())
    host.end("a")
    host.end("a")
    old = host.scope.timer
    host.end("b")
    scope = host.scope
    after, actions = step(scope, Deadline(None, old), host.now)
    assert (after, actions) == (scope, [])


# -- giving up and escalation ---------------------------------------------------------


def test_giving_up_can_be_asked_for() -> None:
    """A tree with too many zombies has the scope of the last one give up."""
    host = FakeHost.up(rules(), a=child(), b=child())
    host.stop("give_up", key="a", reason=Abandoned(5.0))
    assert host.take_log() == "give up a, stop b1, stop a1, over"
    error = "gave up: 'a' abandoned after 5 s"
    assert host.over == Over(Crashed(error), came_up=True, gave_up=True, culprit="a")


def test_giving_up_because_of_a_child_that_was_forgotten() -> None:
    """The zombie of a temporary child counts although nobody remembers the child."""
    host = FakeHost.up(rules(), a=child("temporary"), b=child())
    host.end("a")
    host.stop("give_up", key="a", reason=Abandoned(5.0))
    assert host.take_log() == "stop b1, over"
    assert host.over is not None
    assert host.over.gave_up


def test_giving_up_is_for_a_scope_that_runs() -> None:
    """One that is stopping or down has nothing to give up."""
    host = FakeHost.of(rules(), {"a": child()})
    host.stop("give_up", key="a", reason=BOOM)
    host.start()
    host.stop("give_up", reason=BOOM)
    host.script("a", deaf=True)
    host.stop()
    host.stop("give_up", key="a", reason=BOOM)
    host.end("a")
    host.stop("give_up", key="a", reason=BOOM)
    assert host.over == Over(Shutdown(), came_up=True)


def test_a_scope_that_escalates_keeps_its_children_for_the_next_start() -> None:
    """Its children are told that they come back: queues stay open."""
    host = FakeHost.up(rules(max_restarts=0, escalate=True), a=child(), b=child())
    host.end("a")
    assert [(s.key, s.fate) for s in host.signals] == [("b", "restarts")]
    assert host.downs() == [
        ("a", 1, BOOM, "restarts", NoRestart.GAVE_UP),
        ("b", 1, Shutdown(), "restarts", NoRestart.SCOPE_STOPPING),
    ]
    assert host.told(Decided) == []
    assert host.conditions() == "failed restarting"
    host.log.clear()
    host.start(fate="restarts")
    assert host.take_log() == "start a2, start b2, up"
    host.end("a")
    assert host.phase == "down"  # a fresh budget, which is none again


def test_a_start_that_fails_after_escalation_keeps_the_children() -> None:
    """Started again from above, a failing start tells them that there is another one."""
    host = FakeHost.up(rules(max_restarts=0, escalate=True), a=child(), b=child())
    host.end("a")
    host.notices.clear()
    host.script("b", fails=1)
    host.start(fate="restarts")
    assert host.downs() == [
        ("b", 2, BOOM, "restarts", NoRestart.START_FAILED),
        ("a", 2, Shutdown(), "restarts", NoRestart.SCOPE_STOPPING),
    ]


def test_what_is_decided_above_reaches_the_children_of_a_scope_that_is_down() -> None:
    """A scope that was to come back and does not tells its children so, once."""
    host = FakeHost.up(rules(max_restarts=0, escalate=True), a=child(), b=child())
    host.end("a")
    host.stop(fate="held")
    assert host.told(Decided) == [
        Decided("a", "held", NoRestart.SCOPE_STOPPING),
        Decided("b", "held", NoRestart.SCOPE_STOPPING),
    ]
    assert host.conditions() == "failed held"
    host.stop()
    host.stop()
    host.stop("abandon")
    assert host.told(Decided)[2:] == [
        Decided("a", "gone", NoRestart.SCOPE_STOPPING),
        Decided("b", "gone", NoRestart.SCOPE_STOPPING),
    ]


def test_above_a_scope_that_gave_up_is_a_crash() -> None:
    """Declared with escalation it is counted, paused for and started like a worker."""
    host = FakeHost.up(
        rules(max_restarts=2, backoff=Backoff(1.0, 1.0, 1.0, 0.0)),
        group=child("escalate"),
        other=child("never"),
    )
    host.end("group", gave_up=True)
    assert host.take_log() == "restart group, start group2"
    host.end("group", gave_up=True)
    assert host.take_log() == "restart group in 1"
    assert host.conditions() == "restarting up"
    host.wait(1.0)
    assert host.take_log() == "start group3"
    host.end("group", gave_up=True)
    assert host.take_log() == "give up group, stop other1, over"


def test_above_a_scope_that_gave_up_and_is_not_to_escalate_just_ends() -> None:
    """It is kept, marked as failed, and nothing outside it is touched."""
    host = FakeHost.up(rules(max_restarts=0), group=child("never"), other=child("never"))
    host.end("group", gave_up=True)
    assert host.take_log() == ""
    assert host.downs() == [("group", 1, BOOM, "gone", NoRestart.NEVER)]
    assert host.conditions() == "failed up"


def test_the_start_of_a_scope_that_is_restarted_says_what_is_at_stake() -> None:
    """The first start is for good or not at all; one after escalation is tried again."""
    host = FakeHost.of(rules(), {"group": child("escalate")})
    scope, actions = step(host.scope, Request("start"), 0.0)
    assert [a.fate for a in actions if isinstance(a, Start)] == ["gone"]
    scope, _ = step(scope, Started("group", 1), 0.0)
    scope, actions = step(scope, Exited("group", 1, BOOM, gave_up=True), 0.0)
    assert [a.fate for a in actions if isinstance(a, Start)] == ["restarts"]
    scope, actions = step(scope, StartFailed("group", 2, BOOM), 0.0)
    assert [a.fate for a in actions if isinstance(a, Start)] == ["restarts"]


def test_a_scope_can_fail_while_it_is_asked_to_stop() -> None:
    """One that gives up on the way down is marked as failed, and is as down as the rest."""
    host = FakeHost.up(rules(), group=child("escalate"), other=child("escalate"))
    host.script("group", deaf=True)
    host.stop()
    host.end("group", gave_up=True)
    assert host.take_log() == "stop other1, stop group1, over"
    assert host.conditions() == "failed ended"


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
