"""How long starting and stopping may take, and who is given up on for it."""

from __future__ import annotations

from math import inf

from tests.policy.fakes import BOOM, FakeHost, Script, child, rules
from threadsup._exits import Abandoned, Crashed, Normal, Shutdown
from threadsup._policy.protocol import (
    Deadline,
    Decided,
    Over,
    Signal,
)
from threadsup._policy.restart import NoRestart
from threadsup._policy.scope import INTERRUPT_GRACE, LAST_CALL

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
    """Row 23: a child that is a scope has no limit of its own for starting or stopping."""
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
    """Rows 24, 25, 34: past its limit it is fenced; hung children do not add up."""
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


def test_each_life_is_interrupted_on_its_own() -> None:
    """That the one before was interrupted, or drained, does not count."""
    host = FakeHost.up(rules(), a=child(interrupt=True))
    host.script("a", deaf=True)
    host.ask("restart_child", "a", drain=True)
    host.ask("stop_child", "a")
    host.wait(5.0 + INTERRUPT_GRACE)
    assert host.take_log() == "drain a1, stop a1, interrupt a1, fence a1, start a2, stop a2"
    host.wait(5.0 + INTERRUPT_GRACE)
    assert host.take_log() == "interrupt a2, fence a2"
    assert host.conditions() == "held"


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
    assert host.take_log() == "drain b1"
    host.stop()
    assert host.take_log() == "stop b1"
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
