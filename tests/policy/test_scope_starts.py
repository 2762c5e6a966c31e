"""Starts that fail: the first one of all, and those of a restart."""

from __future__ import annotations

from tests.policy.fakes import BOOM, FakeHost, child, rules
from threadsup._exits import Normal, Shutdown
from threadsup._policy.backoff import Backoff
from threadsup._policy.protocol import (
    Decided,
    Exited,
    Forgotten,
    Over,
    Started,
    StartFailed,
    Up,
)
from threadsup._policy.restart import NoRestart

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
    """Its start code has left the worker, and be it by a normal end."""
    host = FakeHost.of(rules(), {"a": child("transient")})
    host.script("a", slow=True)
    host.start()
    host.send(StartFailed("a", host.running.pop("a"), Normal()))
    assert host.over == Over(Normal(), came_up=False, culprit="a")


def test_an_end_that_is_told_before_the_start_is_that_of_one_who_was_up() -> None:
    """The two reports are on two ways: whoever waits for the start hears that it was one."""
    host = FakeHost.of(rules(), {"a": child()})
    host.start()
    host.script("a", slow=True)
    asked = host.ask("restart_child", "a")
    number = host.running.pop("a")
    host.send(Exited("a", number, BOOM))
    assert host.answers == {asked: "ok"}
    host.come_up("a")
    host.send(Started("a", number))
    assert host.conditions() == "up"
    assert host.take_log() == "start a1, up, stop a1, start a2, restart a, start a3"


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
