"""How a scope goes down: in which order, in what time, and who is given up on the way."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from tests.policy.fakes import BOOM, FakeHost, Script, child, rules
from threadsup._exits import Abandoned, ChildId, Crashed, ExitReason, Normal, Shutdown
from threadsup._policy.backoff import Backoff
from threadsup._policy.protocol import (
    ChildRules,
    Deadline,
    Decided,
    Forgotten,
    Over,
    Signal,
)
from threadsup._policy.restart import NoRestart, RestartRule
from threadsup._policy.scope import INTERRUPT_GRACE, LAST_CALL, step

PAUSED = Backoff(1.0, 1.0, 1.0, 0.0)


# -- order ----------------------------------------------------------------------------


def test_a_stop_is_in_reverse_order_one_at_a_time() -> None:
    """Row 32: the last declared goes first, the next is asked when it is down."""
    host = FakeHost.up(rules(), b=child(), a=child(), c=child())
    for key in "abc":
        host.script(key, deaf=True)
    host.stop()
    for key in "cab":
        assert host.take_log() == f"stop {key}1"
        host.end(key, reason=Shutdown())
    assert host.take_log() == "over"
    assert host.over == Over(Shutdown(), came_up=True)


def test_equals_are_asked_together() -> None:
    """Members of a group are asked at once, last declared first."""
    host = FakeHost.up(rules(stop="together"), a=child(), b=child())
    for key in "ab":
        host.script(key, deaf=True)
    host.stop()
    assert host.take_log() == "stop b1, stop a1"
    host.end("b", reason=Shutdown())
    host.end("a", reason=Shutdown())
    assert host.take_log() == "over"


def test_an_empty_scope_comes_up_and_goes_down() -> None:
    """Row 1: without children it is up at once and down at once."""
    host = FakeHost.of(rules(), {})
    host.start()
    host.stop()
    assert host.take_log() == "up, over"


def test_a_scope_that_never_started_can_be_stopped() -> None:
    """Its children are told that nothing becomes of them."""
    host = FakeHost.of(rules(), {"a": child(), "b": child("temporary")})
    host.stop(reason=Normal(), fate="held")
    assert host.over == Over(Normal(), came_up=False)
    assert host.told(Decided) == [
        Decided("a", "held", NoRestart.SCOPE_STOPPING),
        Decided("b", "gone", NoRestart.SCOPE_STOPPING),
    ]
    assert host.told(Forgotten) == [Forgotten("b")]


REASONS: tuple[ExitReason, ...] = (Normal(), Shutdown(), Shutdown("x"), BOOM)
RESTARTS: tuple[RestartRule, ...] = ("permanent", "transient", "temporary")


def test_children_that_end_by_themselves_while_the_scope_stops() -> None:
    """Rows 28, 29: every reason is preserved and told once, nobody is restarted."""
    kinds = [(restart, reason) for restart in RESTARTS for reason in REASONS]
    first, last = "first", "last"
    children: dict[ChildId, ChildRules] = {first: child()}
    children.update((i, child(restart)) for i, (restart, _) in enumerate(kinds))
    host = FakeHost.of(rules(max_restarts=0), {**children, last: child()})
    host.start()
    host.log.clear()
    host.script(last, deaf=True)
    host.stop()
    for i, (_, reason) in enumerate(kinds):
        host.end(i, reason=reason)
    assert host.take_log() == "stop last1"
    host.end(last, reason=Shutdown())
    assert host.take_log() == "stop first1, over"
    assert host.over == Over(Shutdown(), came_up=True)
    assert [(key, reason) for key, _, reason, _, _ in host.downs()] == [
        *((i, reason) for i, (_, reason) in enumerate(kinds)),
        (last, Shutdown()),
        (first, Shutdown()),
    ]
    assert {why for *_, why in host.downs()} == {NoRestart.SCOPE_STOPPING}
    assert list(host.scope.children) == [first, *range(8), last]  # temporary ones are forgotten


@pytest.mark.parametrize("ending", [Normal(), BOOM, Shutdown("x")], ids=str)
def test_the_reason_of_one_that_was_asked_is_its_own(ending: ExitReason) -> None:
    """Row 28: who was asked and ends in its own way is told as it ended."""
    host = FakeHost.up(rules(), a=child())
    host.script("a", ends_with=ending)
    host.stop()
    assert host.downs() == [("a", 1, ending, "gone", NoRestart.SCOPE_STOPPING)]


def test_the_asked_reason_is_that_of_the_stop() -> None:
    """A stop with a reason hands it on, one that gave up asks for a plain shutdown."""
    host = FakeHost.up(rules(), a=child())
    host.stop(reason=Shutdown("maintenance"))
    assert host.signals[-1].reason == Shutdown("maintenance")
    host = FakeHost.up(rules(max_restarts=0), a=child(), b=child())
    host.end("a")
    assert host.signals[-1].reason == Shutdown()


def test_what_becomes_of_the_children_is_told_with_the_stop() -> None:
    """A scope that is held holds its children; the temporary ones are gone all the same."""
    host = FakeHost.up(rules(), a=child(), b=child("transient"), t=child("temporary"))
    host.end("b", reason=Normal())
    host.stop(fate="held")
    assert [(s.key, s.fate) for s in host.signals] == [("t", "gone"), ("a", "held")]
    assert host.conditions() == "held ended"
    host.start()
    assert host.conditions() == "up up"


def test_a_stopped_scope_takes_no_events() -> None:
    """What still comes in after the end changes nothing."""
    host = FakeHost.up(rules(), a=child())
    host.stop()
    assert step(host.scope, Deadline("a", 1), 99.0) == (host.scope, [])
    assert step(host.scope, Deadline(None, host.scope.timer), 99.0) == (host.scope, [])


# -- racing with starts and restarts --------------------------------------------------


def test_a_stop_in_the_first_start_rolls_back() -> None:
    """Who is up and who is starting goes down in reverse; the rest never starts."""
    host = FakeHost.of(rules(), {key: child() for key in "abc"})
    host.script("b", slow=True, deaf=True)
    host.start()
    host.stop()
    assert host.take_log() == "start a1, start b1, stop b1"
    host.come_up("b")  # it came up before it saw the signal
    host.end("b", reason=Shutdown())
    assert host.take_log() == "stop a1, over"
    assert host.over == Over(Shutdown(), came_up=False)
    assert host.conditions() == "ended ended ended"


@pytest.mark.parametrize("reason", [BOOM, Shutdown()], ids=str)
def test_a_start_that_fails_while_the_scope_stops_is_no_culprit(reason: ExitReason) -> None:
    """Not yet asked and failing to start, it is down like the others."""
    host = FakeHost.of(rules(), {key: child() for key in "ab"})
    host.script("b", slow=True)
    host.start()
    host.ask("add", "c", rules=child())
    host.come_up("b")
    host.script("c", deaf=True)
    host.stop()
    host.end("c", reason=reason)
    assert host.over == Over(Shutdown(), came_up=True)


def test_a_stop_in_the_pause_is_served_at_once() -> None:
    """Row 93: stopping during the restart loop does not wait for the pause."""
    host = FakeHost.up(rules(backoff=PAUSED), a=child(), b=child())
    host.end("a")
    host.end("a")
    assert host.take_log() == "restart a, start a2, restart a in 1"
    host.stop()
    assert host.take_log() == "stop b1, over"
    assert host.told(Decided) == [Decided("a", "gone", NoRestart.SCOPE_STOPPING)]
    host.wait(9.0)
    assert host.take_log() == ""


def test_a_pause_is_over_with_the_stop() -> None:
    """Its timer rings for nobody any more, and the next start is a start."""
    host = FakeHost.up(rules(backoff=PAUSED), a=child(), b=child(shutdown=60.0), c=child())
    host.end("a")
    host.end("a")
    for key in "bc":
        host.script(key, deaf=True)
    host.log.clear()
    host.stop(fate="held")
    host.wait(2.0)
    assert host.take_log() == "stop c1"
    host.end(*"cb", reason=Shutdown())
    host.log.clear()
    host.start()
    assert host.take_log() == "start a3, start b2, start c2, up"


def test_a_stop_in_a_restart_starts_nothing() -> None:
    """Row 95: whoever was asked already is waited for, the rest is asked, nobody starts."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child(), c=child())
    host.script("c", deaf=True)
    host.end("b")
    assert host.take_log() == "restart b, stop c1"
    host.stop()
    assert host.take_log() == ""
    host.end("c", reason=Shutdown())
    assert host.take_log() == "stop a1, over"
    assert host.told(Decided) == [Decided("b", "gone", NoRestart.SCOPE_STOPPING)]


def test_a_stop_while_a_restarted_child_starts() -> None:
    """The one that is starting goes down first, wherever it stands."""
    host = FakeHost.up(rules(), a=child(), b=child())
    host.script("a", slow=True)
    host.end("a")
    host.stop()
    assert host.take_log() == "restart a, start a2, stop b1, stop a2, over"


# -- deadlines ------------------------------------------------------------------------


def test_a_start_that_hangs_has_failed() -> None:
    """Past `start_timeout` it is fenced; in the first start all is rolled back."""
    host = FakeHost.of(rules(), {"a": child(), "b": child(start_timeout=2.0)})
    host.script("b", slow=True)
    host.start()
    host.wait(1.9)
    assert host.phase == "starting"
    host.wait(0.1)
    assert host.take_log() == "start a1, start b1, fence b1, stop a1, over"
    assert host.over == Over(Abandoned(2.0, "on_start"), came_up=False, culprit="b")


def test_a_restart_that_hangs_is_tried_again() -> None:
    """In an automatic restart a hanging start is one more restart."""
    host = FakeHost.up(rules(), a=child(start_timeout=2.0))
    host.script("a", slow=True)
    host.end("a")
    host.wait(2.0)
    assert host.take_log() == "restart a, start a2, fence a2, restart a, start a3"


def test_without_a_limit_a_start_takes_as_long_as_it_takes() -> None:
    """A child that is a scope has no limit of its own for starting or stopping."""
    host = FakeHost.of(rules(), {"a": child(start_timeout=inf, shutdown=inf)})
    host.script("a", slow=True, deaf=True)
    host.start()
    host.wait(1e6)
    assert host.timers() == {}
    host.come_up("a")
    host.stop()
    assert host.signals[-1].by == inf
    assert host.timers() == {}
    host.end("a")
    assert host.over == Over(Shutdown(), came_up=True)


def test_who_overruns_is_abandoned_and_the_rest_asked_at_once() -> None:
    """Rows 24, 25: past its limit it is fenced; one hung child does not add up with others."""
    host = FakeHost.up(rules(), **{key: child(shutdown=3.0) for key in "abcd"})
    for key in "abd":
        host.script(key, deaf=True)
    host.stop()
    host.wait(3.0)
    assert host.take_log() == "stop d1, fence d1, stop c1, stop b1, stop a1"
    host.wait(3.0)
    assert host.take_log() == "fence b1, fence a1, over"
    assert host.over == Over(Shutdown(), came_up=True, overran=True)
    assert host.downs()[0] == ("d", 1, Abandoned(3.0), "gone", NoRestart.SCOPE_STOPPING)


def test_no_time_to_stop_means_no_waiting() -> None:
    """Row 26: with a limit of nothing the child is asked and fenced."""
    host = FakeHost.up(rules(), a=child(shutdown=0.0), b=child())
    host.script("a", deaf=True)
    host.stop()
    host.wait(0.0)
    assert host.take_log() == "stop b1, stop a1, fence a1, over"


def test_ten_that_refuse_to_stop_take_as_long_as_one() -> None:
    """Rows 27, 33: asked together, they are given up together."""
    host = FakeHost.up(rules(stop="together"), **{f"c{i}": child() for i in range(10)})
    for i in range(10):
        host.script(f"c{i}", deaf=True)
    host.stop()
    host.wait(5.0)
    assert host.phase == "down"
    assert host.log.count("over") == 1
    assert sum(word.startswith("fence") for word in host.log) == 10


def test_an_overrun_in_a_restart_costs_no_budget() -> None:
    """Who is abandoned in a restart is replaced with the others; the rest is asked at once."""
    host = FakeHost.up(rules("one_for_all", max_restarts=1), **{k: child() for k in "abcd"})
    for key in "cd":
        host.script(key, deaf=True)
    host.end("a")
    host.wait(5.0)
    assert host.take_log() == "restart a, stop d1, fence d1, stop c1, stop b1"
    host.script("c")
    host.end("c")
    assert host.take_log() == "start a2, start b2, start c2, start d2"
    assert len(host.scope.intensity.history) == 1


def test_an_overrun_of_long_ago_does_not_hurry_the_next_stop() -> None:
    """The next plan goes in turn again."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child(), c=child())
    host.script("c", deaf=True)
    host.end("a")
    host.wait(5.0)
    host.script("c")
    assert host.conditions() == "up up up"
    host.log.clear()
    host.script("c", deaf=True)
    host.stop()
    assert host.take_log() == "stop c2"
    host.end("c")
    assert host.over == Over(Shutdown(), came_up=True)


def test_an_overrun_of_long_ago_does_not_hurry_the_next_restart() -> None:
    """Nor are the children of a later restart asked at once."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child(), c=child())
    host.script("c", deaf=True)
    host.end("a")
    host.wait(5.0)
    host.script("b", deaf=True)
    host.log.clear()
    host.end("a")
    assert host.take_log() == "restart a, stop c2"
    host.end("c")
    assert host.take_log() == "stop b2"


def test_a_scope_below_that_overran_hurries_its_siblings() -> None:
    """A child that is a scope and had to abandon somebody counts as one that overran."""
    host = FakeHost.up(rules(), a=child(), b=child(), c=child())
    for key in "abc":
        host.script(key, deaf=True)
    host.stop()
    host.end("c", reason=Shutdown(), overran=True)
    assert host.take_log() == "stop c1, stop b1, stop a1"


def test_who_hangs_in_its_start_when_the_scope_stops() -> None:
    """Not asked yet and past its `start_timeout`, it is fenced, and the rest is hurried."""
    host = FakeHost.up(rules(), a=child(), b=child(start_timeout=2.0), c=child(), d=child())
    host.script("b", slow=True)
    host.end("b")
    for key in "acd":
        host.script(key, deaf=True)
    host.stop()
    host.log.clear()
    host.wait(2.0)
    assert host.take_log() == "fence b2, stop c1, stop a1"


def test_a_deadline_that_was_due_before_it_was_replaced_is_old() -> None:
    """The limit for the start, due in the same instant as the stop, fences nobody."""
    host = FakeHost.of(rules(), {"a": child(start_timeout=2.0)})
    host.script("a", slow=True, deaf=True)
    host.start()
    host.now = 2.0
    host.stop()
    host.send(Deadline("a", 1))
    assert host.take_log() == "start a1, stop a1"
    host.wait(5.0)
    assert host.take_log() == "fence a1, over"


def test_an_interrupt_comes_before_the_fence() -> None:
    """Only with `interrupt`: asked, interrupted, given a moment, abandoned."""
    host = FakeHost.up(rules(), a=child(interrupt=True))
    host.script("a", deaf=True)
    host.stop()
    host.wait(5.0)
    assert host.take_log() == "stop a1, interrupt a1"
    host.wait(INTERRUPT_GRACE)
    assert host.take_log() == "fence a1, over"
    assert host.downs()[0][2] == Abandoned(5.0 + INTERRUPT_GRACE)


def test_a_start_that_hangs_is_interrupted_and_fenced_at_once() -> None:
    """There is no moment of grace: it has had its time."""
    host = FakeHost.of(rules(), {"a": child(interrupt=True)})
    host.script("a", slow=True)
    host.start()
    host.wait(10.0)
    assert host.take_log() == "start a1, interrupt a1, fence a1, over"


def test_the_last_call_interrupts_nobody_twice() -> None:
    """Who was interrupted at its own limit has its moment."""
    host = FakeHost.up(rules(), a=child(interrupt=True, shutdown=3.2))
    host.script("a", deaf=True)
    host.stop(by=4.0)
    host.wait(3.6)
    assert host.take_log() == "stop a1, interrupt a1"
    host.stop(by=3.65)
    host.wait(0.05)
    assert host.take_log() == "fence a1, over"


def test_an_interrupt_that_helps_is_no_overrun() -> None:
    """Who ends of the exception in time has stopped."""
    host = FakeHost.up(rules(), a=child(interrupt=True))
    host.script("a", deaf=True)
    host.stop()
    host.wait(5.0)
    host.end("a", reason=Crashed("WorkerExit"))
    assert host.over == Over(Shutdown(), came_up=True)


def test_whoever_is_fenced_was_interrupted_if_it_may_be() -> None:
    """At a time limit, too, the exception is tried: it may spare the process a zombie."""
    host = FakeHost.up(rules(), a=child(interrupt=True), b=child())
    host.overdue("a", Abandoned(1.0))
    host.overdue("b", Abandoned(1.0))
    log = "interrupt a1, fence a1, restart a, start a2, fence b1, restart b, start b2"
    assert host.take_log() == log


# -- a stop with a limit --------------------------------------------------------------


def test_a_stop_with_a_limit_abandons_who_is_left() -> None:
    """When its time is up everybody left is fenced, whatever limits of their own they have."""
    host = FakeHost.up(rules(stop="together"), a=child(shutdown=60.0), b=child(shutdown=inf))
    for key in "ab":
        host.script(key, deaf=True)
    host.stop(by=10.0)
    assert [(s.key, s.by) for s in host.signals] == [("b", 10.0), ("a", 10.0)]
    host.wait(10.0)
    assert host.take_log() == "stop b1, stop a1, fence b1, fence a1, over"
    assert host.over == Over(Shutdown(), came_up=True, overran=True)
    assert [down[2] for down in host.downs()] == [Abandoned(10.0), Abandoned(10.0)]


def test_nobody_is_abandoned_who_was_never_asked() -> None:
    """Shortly before the end of the time the rest is asked at once, behind a slow one."""
    host = FakeHost.up(rules(), **{key: child() for key in "abc"})
    host.script("c", deaf=True)
    host.stop(by=4.0)
    assert host.take_log() == "stop c1"
    host.wait(4.0 - LAST_CALL)
    assert host.take_log() == "stop b1, stop a1"
    host.wait(LAST_CALL)
    assert host.take_log() == "fence c1, over"


def test_in_a_very_short_time_everybody_is_asked_too() -> None:
    """Row 27: even without any time all are asked before they are fenced."""
    host = FakeHost.up(rules(), **{key: child() for key in "abc"})
    for key in "ac":
        host.script(key, deaf=True)
    host.stop(by=0.0)
    host.wait(0.0)
    assert host.take_log() == "stop c1, stop b1, stop a1, fence c1, fence a1, over"


def test_the_last_call_interrupts_who_may_be_interrupted() -> None:
    """A stop whose time ends before the child's limit still tries the exception first."""
    host = FakeHost.up(rules(), a=child(), b=child(interrupt=True), c=child(interrupt=True))
    for key in "bc":
        host.script(key, deaf=True)
    host.stop(by=4.0)
    host.wait(4.0 - LAST_CALL)
    assert host.take_log() == "stop c1, interrupt c1, stop b1, stop a1"
    host.wait(LAST_CALL)
    assert host.take_log() == "interrupt b1, fence b1, fence c1, over"


def test_a_second_stop_shortens_the_first() -> None:
    """Those asked already hear of it, and the end is as near as it says."""
    host = FakeHost.up(rules(), a=child(shutdown=inf), b=child(shutdown=60.0))
    for key in "ab":
        host.script(key, deaf=True)
    host.stop()
    host.stop(by=20.0)
    host.stop(by=30.0)  # longer: means nothing
    host.wait(1.0)
    host.stop(by=2.0)
    assert [(s.key, s.by) for s in host.signals] == [("b", 60.0), ("b", 20.0), ("b", 2.0)]
    host.wait(0.5)
    assert host.signals[-1] == Signal("a", 1, Shutdown(), "gone", 2.0)
    host.stop(by=1.8)
    host.wait(0.3)
    assert host.phase == "down"


def test_a_second_stop_decides_the_fate_only_for_the_worse() -> None:
    """What was to be held is gone; what is gone is not held any more."""
    host = FakeHost.up(rules(), a=child(), b=child())
    for key in "ab":
        host.script(key, deaf=True)
    host.stop(fate="held")
    host.end("b", reason=Shutdown())
    host.stop(fate="gone", reason=BOOM)
    host.stop(fate="held")
    host.end("a", reason=Shutdown())
    assert host.over == Over(Shutdown(), came_up=True)
    assert [down[3] for down in host.downs()] == ["held", "gone"]
    assert host.told(Decided) == [Decided("b", "gone", NoRestart.SCOPE_STOPPING)]
    assert host.conditions() == "ended ended"


def test_abandoning_is_at_once() -> None:
    """Nobody is asked or waited for: the scope above has given this one up."""
    host = FakeHost.up(rules(), a=child(), b=child(), c=child("transient"))
    host.script("b", deaf=True)
    host.end("c", reason=Normal())
    host.ask("stop_child", "b")
    host.now = 1.0
    host.log.clear()
    host.stop("abandon", reason=BOOM)
    assert host.take_log() == "fence a1, fence b1, over"
    assert host.over == Over(BOOM, came_up=True, overran=True)
    assert [(d[0], d[2]) for d in host.downs()[1:]] == [
        ("a", Abandoned(0.0)),
        ("b", Abandoned(1.0)),
    ]


def test_abandoning_keeps_the_reason_of_a_stop_that_is_under_way() -> None:
    """A scope that gave up and is then abandoned has still given up."""
    host = FakeHost.up(rules(max_restarts=0), a=child(), b=child())
    host.script("b", deaf=True)
    host.end("a")
    host.stop("abandon")
    assert host.over is not None
    assert host.over.gave_up
    assert isinstance(host.over.reason, Crashed)


def test_abandoning_before_the_start() -> None:
    """A scope that never ran is down, and nobody was abandoned."""
    host = FakeHost.of(rules(), {"a": child()})
    host.stop("abandon")
    assert host.over == Over(Shutdown(), came_up=False)


# -- draining -------------------------------------------------------------------------


def test_a_draining_stop_has_no_limit_of_its_own() -> None:
    """Each child is asked in turn to handle what it has queued, however long it takes."""
    host = FakeHost.up(rules(), a=child(), b=child())
    host.script("b", deaf=True)
    host.stop(drain=True)
    assert host.take_log() == "drain b1"
    host.wait(1e6)
    host.end("b", reason=Shutdown())
    assert host.take_log() == "drain a1, over"


def test_a_plain_stop_ends_the_draining_of_one_without_a_limit() -> None:
    """A scope below that drains, and has all the time, is asked to stop all the same."""
    host = FakeHost.up(rules(), a=child(shutdown=inf))
    host.script("a", deaf=True)
    host.ask("stop_child", "a", drain=True)
    host.stop()
    assert host.take_log() == "drain a1, stop a1"


def test_a_plain_stop_ends_a_draining_one() -> None:
    """Who drains is asked to stop, with the usual limit, and so are the others."""
    host = FakeHost.up(rules(), a=child(), b=child())
    host.script("b", deaf=True)
    host.stop(drain=True)
    host.wait(10.0)
    host.stop(drain=True)
    host.stop()
    assert host.take_log() == "drain b1, stop b1"
    assert host.signals[-1].by == 15.0
    host.wait(5.0)
    assert host.take_log() == "fence b1, stop a1, over"


def test_the_last_call_ends_a_draining_stop() -> None:
    """Shortly before the end who drains is asked to stop after the message in hand."""
    host = FakeHost.up(rules(), a=child(), b=child())
    for key in "ab":
        host.script(key, deaf=True)
    host.stop(drain=True, by=4.0)
    host.wait(4.0)
    assert host.take_log() == "drain b1, stop b1, stop a1, fence a1, fence b1, over"


def test_a_stop_does_not_wait_for_one_that_was_draining_by_hand() -> None:
    """A child that drains on request has its usual limit once the scope stops."""
    host = FakeHost.up(rules(), a=child())
    host.script("a", deaf=True)
    token = host.ask("stop_child", "a", drain=True)
    host.stop()
    assert host.take_log() == "drain a1, stop a1"
    host.wait(5.0)
    assert host.take_log() == "fence a1, over"
    assert host.answers[token] == "ok"


def test_a_draining_stop_lets_one_drain_on() -> None:
    """A child that drains on request is asked nothing new by a stop that drains."""
    host = FakeHost.up(rules(), a=child())
    host.script("a", deaf=True)
    host.ask("stop_child", "a", drain=True)
    host.stop(drain=True)
    assert host.take_log() == "drain a1"


def test_a_restart_does_not_wait_for_one_that_was_draining_by_hand() -> None:
    """A crash of its sibling ends the draining: a restart waits for nobody without limit."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child())
    host.script("b", deaf=True)
    token = host.ask("stop_child", "b", drain=True)
    host.end("a")
    assert host.take_log() == "drain b1, restart a, stop b1"
    host.scripts["b"] = Script()
    host.wait(5.0)
    assert host.answers[token] == "ok"
    assert host.take_log() == "fence b1, start a2, start b2"


# -- a stop on hold -------------------------------------------------------------------


def test_a_stop_on_hold_asks_nobody_and_starts_nobody() -> None:
    """P7: while it is not its turn, whoever ends stays down and the rest goes on."""
    host = FakeHost.up(rules(backoff=PAUSED), a=child(), b=child(), c=child())
    host.end("b")
    host.end("b")
    host.log.clear()
    host.stop(hold=True, fate="held")
    host.stop(hold=True)
    host.wait(9.0)
    host.end("c")
    assert host.take_log() == ""
    assert host.phase == "stopping"
    assert host.downs()[-1] == ("c", 1, BOOM, "gone", NoRestart.SCOPE_STOPPING)
    host.stop("finish", reason=Normal())
    assert host.take_log() == ""
    host.stop(reason=Shutdown("now"))
    assert host.take_log() == "stop a1, over"
    assert host.signals[-1].reason == Shutdown("now")
    assert host.over == Over(Shutdown("now"), came_up=True)


def test_a_stop_on_hold_is_over_when_everybody_has_ended() -> None:
    """It waits for nobody who is not there."""
    host = FakeHost.up(rules(), a=child(), b=child())
    host.script("b", deaf=True)
    token = host.ask("stop_child", "b")
    host.stop(hold=True)
    host.end("a")
    assert host.phase == "stopping"
    host.end("b")
    assert host.over == Over(Shutdown(), came_up=True)
    assert host.answers[token] == "ok"


def test_a_stop_on_hold_may_drain_when_its_turn_comes() -> None:
    """How it is to stop is said by the stop that it waited for."""
    host = FakeHost.up(rules(), a=child())
    host.stop(hold=True)
    host.stop(drain=True)
    assert host.take_log() == "drain a1, over"


@pytest.mark.parametrize("late", [{"hold": True}, {"verb": "finish"}])
def test_what_is_no_second_stop_cuts_no_draining_short(late: dict[str, Any]) -> None:
    """A scope that lets its children drain goes on with it."""
    host = FakeHost.up(rules(), a=child())
    host.script("a", deaf=True)
    host.stop(drain=True)
    host.stop(**late)
    assert host.take_log() == "drain a1"


def test_the_last_call_ends_the_hold() -> None:
    """Nobody is abandoned who was never asked, be it that the turn never came."""
    host = FakeHost.up(rules(), a=child(), b=child())
    host.stop(hold=True, by=4.0)
    host.wait(4.0)
    assert host.take_log() == "stop b1, stop a1, over"


def test_a_scope_that_was_on_hold_is_not_when_it_starts_again() -> None:
    """The next stop is a new one."""
    host = FakeHost.up(rules(), a=child(), b=child())
    host.stop(hold=True)
    host.stop("abandon")
    host.start()
    host.log.clear()
    host.stop()
    assert host.take_log() == "stop b2, stop a2, over"
