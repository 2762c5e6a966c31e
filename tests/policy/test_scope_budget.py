"""How many restarts are allowed, how long each waits, and what follows one too many."""

from __future__ import annotations

import pytest

from tests.policy.fakes import (
    BOOM,
    SETS,
    STRATEGIES,
    FakeHost,
    child,
    rules,
)
from threadsup._exits import Abandoned, Crashed, Shutdown
from threadsup._policy.backoff import Backoff
from threadsup._policy.protocol import (
    Deadline,
    Decided,
    Exited,
    Over,
    Request,
    Restarting,
    Start,
    Started,
    StartFailed,
)
from threadsup._policy.restart import NoRestart, Strategy
from threadsup._policy.scope import step

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
    assert host.take_log() == f"give up a, stop b{3 if strategy in SETS else 2}, over"
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
