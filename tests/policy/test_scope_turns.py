"""A scope whose turn to stop has not come: it starts nothing, and asks nobody."""

from __future__ import annotations

import pytest

from tests.policy.fakes import BOOM, FakeHost, child, rules
from threadsup._exits import Normal, Shutdown
from threadsup._policy.backoff import Backoff
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
