"""A scope whose turn to stop has not come: it starts nothing, and asks nobody."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fakes import (
    BOOM,
    PAUSED,
    FakeHost,
    child,
    rules,
)
from threadsup._exits import Normal, Shutdown
from threadsup._policy.backoff import Backoff
from threadsup._policy.protocol import Over
from threadsup._policy.restart import NoRestart


def held(**more: object) -> FakeHost:
    """Return a scope of three that has been told to hold."""
    host = FakeHost.up(rules(**more), a=child(), b=child(), c=child())  # type: ignore[arg-type]
    host.stop(hold=True)
    assert host.take_log() == ""
    return host


def test_who_ends_by_themselves_before_their_turn_stays_down() -> None:
    """Row 28: nobody is restarted from the moment the tree stops, and nobody is asked yet."""
    host = held()
    host.end("b", reason=BOOM)
    assert host.take_log() == ""
    assert host.downs() == [("b", 1, BOOM, "gone", NoRestart.SCOPE_STOPPING)]
    host.stop()
    assert host.take_log() == "stop c1, stop a1, over"


def test_a_scope_that_ends_before_its_turn_is_over() -> None:
    """When the last child has ended by itself there is nothing to wait for."""
    host = held()
    for key in "abc":
        host.end(key, reason=Normal())
    assert host.take_log() == "over"
    assert host.over is not None
    assert host.over.reason == Shutdown()


def test_the_end_of_a_stream_is_not_its_turn() -> None:
    """A chain that finishes meanwhile waits like the others."""
    host = held()
    host.stop("finish", reason=Normal())
    assert host.take_log() == ""
    host.stop()
    assert host.take_log() == "stop c1, stop b1, stop a1, over"


@pytest.mark.parametrize("again", [True, False])
def test_a_restart_that_is_put_off_is_called_off(*, again: bool) -> None:
    """To hold twice is to hold; a stop after it asks whoever is left."""
    host = FakeHost.up(rules(backoff=Backoff(initial=9.0, jitter=0.0)), a=child(), b=child())
    for _ in range(2):
        host.end("a", reason=BOOM)
    host.stop(hold=True)
    if again:
        host.stop(hold=True)
    host.wait(99.0)
    assert host.running == {"b": 1}
    host.stop()
    assert host.running == {}


def test_whoever_is_left_when_the_time_is_up_is_abandoned_unasked() -> None:
    """To abandon a scope that holds is to fence all of it."""
    host = held()
    host.stop("abandon")
    assert host.running == {}
    assert host.over is not None
    assert host.over.overran


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
