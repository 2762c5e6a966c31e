"""The clock that a test may hold: who reads it, who sleeps by it, who is woken."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING

import pytest

from tests.helpers import Gate
from tests.runtime.forcing import run, run_as_worker
from threadsup import Shutdown, WorkerExit
from threadsup._runtime import clock
from threadsup._runtime.context import StopToken, Wakeup, sleep

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def held() -> Iterator[None]:
    clock.hold()
    yield
    clock.release()


def test_it_goes_as_any_clock_until_it_is_held() -> None:
    """But for how far it is ahead, if it was held before."""
    ahead = clock.monotonic() - time.monotonic()
    assert not clock.is_held()
    assert clock.as_real(clock.monotonic()) == pytest.approx(time.monotonic(), abs=1.0)
    assert 9.0 < clock.left_until(time.monotonic() + ahead + 10.0) <= 10.0
    assert clock.left_until(clock.monotonic() - 1.0) == 0.0
    assert clock.left_until(inf) == inf


def test_it_stands_until_it_is_moved(held: None) -> None:
    """What is to come has no time on any other clock, what was has passed."""
    now = clock.monotonic()
    assert clock.left_until(now + 1.0) == inf
    assert clock.as_real(now + 1.0) == inf
    clock.advance(1.0)
    assert clock.monotonic() == now + 1.0
    assert clock.left_until(now + 1.0) == 0.0
    assert clock.as_real(now + 1.0) == -inf


def test_it_never_goes_back() -> None:
    """It goes on from where it stands when it is let go."""
    clock.hold()
    clock.advance(1000.0)
    stood = clock.monotonic()
    clock.release()
    clock.release()
    assert clock.monotonic() >= stood
    at = clock.monotonic() + 5.0
    assert clock.as_real(at) == pytest.approx(time.monotonic() + 5.0, abs=1.0)


def test_a_sleeper_that_was_about_to_sleep_sees_the_new_time(
    held: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has left word first: moved before that, it looks; moved after, it is woken."""
    listen = clock.listen
    for first in (True, False):
        gate = Gate("leaving word")

        def late(wake: object, gate: Gate = gate, first: bool = first) -> None:
            if first:
                gate.meet()
            listen(wake)  # type: ignore[arg-type]
            if not first:
                gate.meet()

        monkeypatch.setattr(clock, "listen", late)
        sleeping = run(sleep, 60.0)
        gate.wait_reached()
        clock.advance(60.0)
        gate.open()
        sleeping.result()


def test_a_sleeper_is_woken_when_the_clock_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """And sleeps for the rest by itself."""
    listening = Gate("leaving word")
    listening.open()
    listen = clock.listen

    def noted(wake: object) -> None:
        listen(wake)  # type: ignore[arg-type]
        listening.meet()

    monkeypatch.setattr(clock, "listen", noted)
    clock.hold()
    try:
        sleeping = run(sleep, 0.02)
        listening.wait_reached()
        clock.advance(0.01)
    finally:
        clock.release()
    sleeping.result()


def test_a_stop_ends_a_sleep_by_a_clock_that_stands(held: None) -> None:
    """As any wait of a task."""
    token = StopToken(task=True)
    sleeping = run_as_worker(token, sleep, 60.0)
    token.ask(Shutdown(), clock.monotonic() + 60.0)
    with pytest.raises(WorkerExit):
        sleeping.result()


def test_the_time_for_stopping_stands_as_well(held: None) -> None:
    """A handler that is asked to stop waits on until it is given up on."""
    token = StopToken(task=False)
    token.ask(Shutdown(), clock.monotonic() + 0.001)
    assert token.by == inf
    waiting = run_as_worker(token, Wakeup().wait)
    token.fence(Shutdown())
    assert token.by == -inf
    with pytest.raises(WorkerExit):
        waiting.result()


def test_a_wait_for_somebody_has_its_own_time(held: None) -> None:
    """No test is to hang because it holds the clock."""
    assert not Wakeup().wait(0.01)
