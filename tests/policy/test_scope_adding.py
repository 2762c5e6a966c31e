"""Children that are added, errands that queue, and errands of a scope that stops."""

from __future__ import annotations

import pytest

from tests.policy.fakes import (
    BOOM,
    ERRANDS,
    SETS,
    FakeHost,
    Script,
    child,
    in_pause,
    rules,
)
from threadsup._exits import Shutdown
from threadsup._policy.protocol import (
    Forgotten,
    Verb,
)
from threadsup._policy.restart import NoRestart, Strategy

# -- adding ---------------------------------------------------------------------------


def test_adding_starts_at_once() -> None:
    """A child that is added to a scope that is up is started, after the others in order."""
    host = FakeHost.up(rules("one_for_all"), b=child())
    token = host.ask("add", "a", rules=child())
    assert host.take_log() == "start a1"
    assert host.answers[token] == "ok"
    host.stop()
    assert host.take_log() == "stop a1, stop b1, over"


def test_an_added_child_that_does_not_start_is_forgotten() -> None:
    """Row 10: the caller gets the error, the child is not kept, the scope lives."""
    host = FakeHost.up(rules(max_restarts=0), a=child())
    host.script("b", fails=1)
    token = host.ask("add", "b", rules=child())
    assert host.answers[token] == "start_failed"
    assert host.downs() == [("b", 1, BOOM, "gone", NoRestart.START_FAILED)]
    assert host.told(Forgotten) == [Forgotten("b")]
    assert host.phase == "up"


def test_adding_before_the_start_is_declaring() -> None:
    """It is started with the others, and may be removed again before."""
    host = FakeHost.of(rules(), {"a": child()})
    assert host.answers[host.ask("add", "b", rules=child())] == "ok"
    assert host.answers[host.ask("add", "b", rules=child())] == "duplicate"
    assert host.answers[host.ask("remove_child", "a")] == "ok"
    assert host.take_log() == ""
    host.start()
    assert host.take_log() == "start b1, up"


@pytest.mark.parametrize("verb", ["stop_child", "restart_child"])
def test_before_the_start_nothing_can_be_stopped_or_restarted(verb: Verb) -> None:
    """Row 42: a scope that does not run yet refuses at once."""
    host = FakeHost.of(rules(), {"a": child()})
    assert host.answers[host.ask(verb, "a")] == "not_running"
    assert host.answers[host.ask(verb, "b")] == "unknown"
    assert host.take_log() == ""


def test_adding_in_the_first_start_waits_its_turn() -> None:
    """It starts after those declared before it, and the scope is up when it is."""
    host = FakeHost.of(rules(), {"a": child(), "b": child()})
    host.script("a", slow=True)
    host.start()
    token = host.ask("add", "c", rules=child())
    assert host.take_log() == "start a1"
    host.come_up("a")
    assert host.take_log() == "start b1, start c1, up"
    assert host.answers[token] == "ok"


def test_an_added_child_does_not_fail_the_first_start() -> None:
    """It was not declared: only its own caller hears that it does not start."""
    host = FakeHost.of(rules(), {"a": child()})
    host.script("a", slow=True)
    host.script("b", fails=1)
    host.start()
    token = host.ask("add", "b", rules=child())
    host.come_up("a")
    assert host.take_log() == "start a1, start b1, up"
    assert host.answers[token] == "start_failed"


@pytest.mark.parametrize("strategy", SETS)
def test_adding_in_the_restart_of_a_set_waits_its_turn(strategy: Strategy) -> None:
    """It starts after those declared before it, which are just coming back."""
    host = FakeHost.up(rules(strategy), a=child(), b=child())
    host.script("b", deaf=True)
    host.end("a")
    token = host.ask("add", "c", rules=child())
    assert host.take_log() == "restart a, stop b1"
    host.end("b", reason=Shutdown())
    assert host.take_log() == "start a2, start b2, start c1"
    assert host.answers[token] == "ok"


def test_adding_waits_for_the_last_one_of_the_set() -> None:
    """The restart is over when the last one of it is up."""
    host = FakeHost.up(rules("rest_for_one"), a=child(), b=child())
    host.script("b", slow=True)
    host.end("b")
    host.ask("add", "c", rules=child())
    assert host.take_log() == "restart b, start b2"
    host.come_up("b")
    assert host.take_log() == "start c1"


def test_adding_does_not_wait_for_the_restart_of_another() -> None:
    """Where children do not depend on each other it starts beside a pause."""
    host = in_pause()
    token = host.ask("add", "c", rules=child())
    assert host.take_log() == "start c1"
    assert host.answers[token] == "ok"


def test_an_added_child_that_goes_down_with_its_siblings_comes_back() -> None:
    """Still starting when the set is restarted, it is part of it; its caller waits on."""
    host = FakeHost.up(rules("one_for_all"), a=child())
    host.script("b", slow=True)
    host.script("t", slow=True)
    kept = host.ask("add", "b", rules=child())
    lost = host.ask("add", "t", rules=child("temporary"))
    host.scripts.clear()
    host.end("a")
    assert host.answers == {kept: "ok", lost: "start_failed"}
    assert host.take_log() == (
        "start b1, start t1, restart a, stop t1, stop b1, start a2, start b2"
    )


# -- one behind the other -------------------------------------------------------------


def test_errands_are_served_one_after_another() -> None:
    """Each is answered when it is done, in the order they were asked."""
    host = FakeHost.up(rules(), a=child())
    host.script("a", deaf=True)
    tokens = [
        host.ask("stop_child", "a"),
        host.ask("restart_child", "a"),
        host.ask("remove_child", "a"),
        host.ask("restart_child", "a"),
    ]
    host.scripts["a"] = Script()
    host.end("a", reason=Shutdown())
    assert host.take_log() == "stop a1, start a2, stop a2"
    assert list(host.answers.items()) == list(
        zip(tokens, ["ok", "ok", "ok", "unknown"], strict=True)
    )


def test_errands_wait_behind_an_add() -> None:
    """What is asked of a child that is just being added follows when it is up."""
    host = FakeHost.up(rules())
    host.script("a", slow=True)
    added = host.ask("add", "a", rules=child())
    stopped = host.ask("stop_child", "a")
    assert host.answers == {}
    host.come_up("a")
    assert host.take_log() == "start a1, stop a1"
    assert host.answers == {added: "ok", stopped: "ok"}


def test_errands_behind_an_add_that_fails() -> None:
    """There is no such child then."""
    host = FakeHost.up(rules())
    host.script("a", slow=True)
    added = host.ask("add", "a", rules=child())
    stopped = host.ask("stop_child", "a")
    host.end("a")
    assert host.answers == {added: "start_failed", stopped: "unknown"}


# -- when the scope stops -------------------------------------------------------------


@pytest.mark.parametrize("verb", [*ERRANDS, "add"])
def test_a_scope_that_stops_takes_no_errands(verb: Verb) -> None:
    """Row 42: stopping or down, it refuses at once."""
    host = FakeHost.up(rules(), a=child())
    host.script("a", deaf=True)
    host.stop()
    assert host.answers[host.ask(verb, "a", rules=child())] == "not_running"
    host.end("a")
    assert host.phase == "down"
    assert host.answers[host.ask(verb, "a", rules=child())] == "not_running"


def test_errands_under_way_when_the_scope_stops() -> None:
    """Who wanted it down is content; who wanted it up hears that the scope is not running."""
    host = FakeHost.up(rules(), **{key: child() for key in "abc"})
    for key in "abcd":
        host.script(key, deaf=True, slow=True)
    asked = {
        "a": host.ask("stop_child", "a"),
        "b": host.ask("restart_child", "b"),
        "c": host.ask("remove_child", "c"),
        "d": host.ask("add", "d", rules=child()),
    }
    behind = host.ask("restart_child", "a")
    host.stop()
    assert host.answers == {}
    host.end(*"abcd", reason=Shutdown())
    assert {key: host.answers[token] for key, token in asked.items()} == {
        "a": "ok",
        "b": "not_running",
        "c": "ok",
        "d": "not_running",
    }
    assert host.answers[behind] == "not_running"


def test_what_was_removed_or_never_added_does_not_come_back() -> None:
    """Neither is part of the scope when it is started again after escalation."""
    host = FakeHost.up(rules(max_restarts=0, escalate=True), a=child(), b=child(), c=child())
    host.script("b", deaf=True)
    host.script("d", slow=True)
    host.ask("remove_child", "b")
    host.ask("add", "d", rules=child())
    host.end("a")
    host.end("b", reason=Shutdown())
    assert [(down[0], down[3]) for down in host.downs()] == [
        ("a", "restarts"),
        ("b", "gone"),
        ("d", "gone"),
        ("c", "restarts"),
    ]
    host.log.clear()
    host.start(fate="restarts")
    assert host.take_log() == "start a2, start c2, up"


def test_one_that_waits_for_its_place_when_the_scope_stops() -> None:
    """Added or restarted in the middle of a start that is broken off, it never starts."""
    host = FakeHost.of(rules(), {"a": child(), "b": child()})
    host.script("a", slow=True)
    host.start()
    added = host.ask("add", "c", rules=child())
    again = host.ask("restart_child", "b")
    host.stop()
    assert host.answers == {added: "not_running", again: "not_running"}
    assert host.conditions() == "ended ended"
