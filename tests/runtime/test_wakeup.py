"""Waiting: a wake-up is never lost, a stop ends every wait by the rules of its worker."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import pytest

from tests.helpers import Gate
from tests.runtime.forcing import note_sleepers, run, run_as_worker
from threadsup._exits import Shutdown, WorkerExit
from threadsup._runtime import context as module
from threadsup._runtime.clock import monotonic
from threadsup._runtime.context import (
    StopToken,
    Wakeup,
    sleep,
)

if TYPE_CHECKING:
    from collections.abc import Callable

STOP = Shutdown("the test")


def task() -> StopToken:
    return StopToken(task=True)


def handler() -> StopToken:
    return StopToken(task=False)


def asked(token: StopToken, by: float = inf) -> StopToken:
    token.ask(STOP, by)
    return token


def soon() -> float:
    return monotonic() + 0.01


# -- Wakeup ---------------------------------------------------------------------------


def test_a_wakeup_that_has_happened_is_not_waited_for() -> None:
    """`wait` returns at once, as often as it is called."""
    wakeup = Wakeup()
    wakeup.set()
    assert wakeup.wait()
    assert wakeup.wait()


def test_a_sleeper_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """`set` ends the wait of another thread."""
    sleepers = note_sleepers(monkeypatch)
    wakeup = Wakeup()
    waiting = run(wakeup.wait)
    sleepers.wait_for(1)
    wakeup.set()
    assert waiting.result()


def test_setting_twice_is_setting_once() -> None:
    """A second `set` does nothing, before and after somebody has waited."""
    wakeup = Wakeup()
    wakeup.set()
    wakeup.set()
    assert wakeup.wait()
    wakeup.set()
    assert wakeup.wait(0)


def test_a_poke_has_the_waiter_look_again_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiter that was poked sleeps again: nothing has happened."""
    sleepers = note_sleepers(monkeypatch)
    wakeup = Wakeup()
    waiting = run(wakeup.wait)
    sleepers.wait_for(1)
    wakeup.poke()
    sleepers.wait_for(2)
    assert not waiting.over
    wakeup.poke()
    wakeup.set()
    assert waiting.result()


@pytest.mark.parametrize("timeout", [-1.0, 0, 0.005])
def test_a_wait_ends_with_its_time(timeout: float) -> None:
    """`wait` returns `False` when nothing has happened in time, not earlier."""
    begin = monotonic()
    assert not Wakeup().wait(timeout)
    assert monotonic() - begin >= timeout


def test_a_poke_lengthens_no_wait() -> None:
    """The time of a wait is counted from its begin."""
    wakeup = Wakeup()
    wakeup.poke()
    assert not wakeup.wait(0.005)


def test_a_wait_may_be_longer_than_the_platform_can_sleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sleeping in pieces, a waiter waits for the whole time."""
    monkeypatch.setattr(module, "_LONGEST", 0.001)
    sleepers = note_sleepers(monkeypatch)
    begin = monotonic()
    assert not Wakeup().wait(0.005)
    assert monotonic() - begin >= 0.005
    assert len(sleepers) > 1


def test_an_exception_ends_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C leaves nothing of a wait behind, in a worker either."""

    def interrupt(wakeup: Wakeup) -> None:
        raise KeyboardInterrupt

    note_sleepers(monkeypatch, then=interrupt)
    token = handler()
    for waiting in (run(Wakeup().wait), run_as_worker(token, Wakeup().wait)):
        with pytest.raises(KeyboardInterrupt):
            waiting.result()
    assert token._parked is None


# -- the stop of a task ---------------------------------------------------------------


def test_a_stop_ends_the_wait_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that waits gets `WorkerExit` with the reason it was given."""
    sleepers = note_sleepers(monkeypatch)
    token = task()
    waiting = run_as_worker(token, Wakeup().wait)
    sleepers.wait_for(1)
    token.ask(STOP, inf)
    with pytest.raises(WorkerExit) as exit_:
        waiting.result()
    assert exit_.value.reason is STOP
    assert token._parked is None


def test_a_task_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """After `WorkerExit` a task waits again, as for its cleaning up."""
    sleepers = note_sleepers(monkeypatch)
    wakeup = Wakeup()

    def body() -> bool:
        with pytest.raises(WorkerExit):
            sleep(60)
        return wakeup.wait(60)

    waiting = run_as_worker(asked(task()), body)
    sleepers.wait_for(1)
    wakeup.set()
    assert waiting.result()


def test_a_task_that_was_told_waits_until_the_time_for_stopping_is_up() -> None:
    """The second `WorkerExit` comes at `by`."""
    by = soon()

    def body() -> None:
        with pytest.raises(WorkerExit):
            sleep(60)
        sleep(60)

    with pytest.raises(WorkerExit):
        run_as_worker(asked(task(), by), body).result()
    assert monotonic() >= by


def test_what_has_happened_goes_before_a_stop() -> None:
    """A wait that need not wait tells a task nothing, and gives way to nobody."""
    token = asked(task(), -inf)
    wakeup = Wakeup()
    wakeup.set()
    assert run_as_worker(token, wakeup.wait).result()
    assert run_as_worker(token, lambda: wakeup.wait(give_way=True)).result()
    with pytest.raises(WorkerExit):
        run_as_worker(token, Wakeup().wait, 0).result()


def test_a_check_tells_a_task_that_was_asked_once() -> None:
    """`check` raises where a wait would, and counts as that one time."""
    token = task()
    token.check()
    token.ask(STOP, inf)
    with pytest.raises(WorkerExit):
        token.check()
    token.check()
    assert not run_as_worker(token, Wakeup().wait, 0).result()


def test_a_check_lets_a_handler_go_on() -> None:
    """A handler that was asked finishes what it is at."""
    asked(handler()).check()


# -- the stop of a handler ------------------------------------------------------------


def test_a_handler_goes_on_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop wakes a handler that waits, and it waits on: its message may need it."""
    sleepers = note_sleepers(monkeypatch)
    token, wakeup = handler(), Wakeup()
    waiting = run_as_worker(token, wakeup.wait)
    sleepers.wait_for(1)
    token.ask(STOP, monotonic() + 60)
    sleepers.wait_for(2)
    wakeup.set()
    assert waiting.result()


def test_a_handler_waits_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """At `by` the wait of a handler ends with `WorkerExit`, one begun earlier too."""
    sleepers = note_sleepers(monkeypatch)
    token, by = handler(), soon()
    waiting = run_as_worker(token, Wakeup().wait)
    sleepers.wait_for(1)
    token.ask(STOP, by)
    with pytest.raises(WorkerExit) as exit_:
        waiting.result()
    assert monotonic() >= by
    assert exit_.value.reason is STOP
    with pytest.raises(WorkerExit):
        run_as_worker(token, Wakeup().wait).result()


def test_a_time_out_within_the_limit_is_a_time_out() -> None:
    """A wait that ends before `by` returns `False` as ever."""
    token = asked(handler(), monotonic() + 60)
    assert not run_as_worker(token, Wakeup().wait, 0.005).result()


def test_the_earliest_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking again shortens the time for stopping, never lengthens it."""
    sleepers = note_sleepers(monkeypatch)
    token = asked(handler(), monotonic() + 60)
    waiting = run_as_worker(token, Wakeup().wait)
    sleepers.wait_for(1)
    token.ask(STOP, soon())
    token.ask(Shutdown("later"), inf)
    with pytest.raises(WorkerExit) as exit_:
        waiting.result()
    assert exit_.value.reason == Shutdown("later")


def test_a_fence_ends_every_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """An incarnation that was given up on waits for nothing any more."""
    sleepers = note_sleepers(monkeypatch)
    token = handler()
    waiting = run_as_worker(token, Wakeup().wait)
    sleepers.wait_for(1)
    token.fence(STOP)
    for later in (waiting, run_as_worker(token, Wakeup().wait, 60)):
        with pytest.raises(WorkerExit):
            later.result()
    assert token.fenced


# -- giving way -----------------------------------------------------------------------


@pytest.mark.parametrize("make", [task, handler])
def test_who_gives_way_returns_when_asked(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], StopToken]
) -> None:
    """With `give_way` a stop makes `wait` return `False`, and tells a task nothing."""
    sleepers = note_sleepers(monkeypatch)
    token = make()
    waiting = run_as_worker(token, lambda: Wakeup().wait(give_way=True))
    sleepers.wait_for(1)
    token.ask(STOP, inf)
    assert not waiting.result()
    assert not run_as_worker(token, lambda: Wakeup().wait(give_way=True)).result()
    assert not token._told


def test_outside_a_worker_nobody_asks() -> None:
    """With `give_way` a wait outside a worker is a wait."""
    wakeup = Wakeup()
    waiting = run(lambda: wakeup.wait(give_way=True))
    wakeup.set()
    assert waiting.result()


# -- asking and beginning to wait, in every order -------------------------------------


def test_a_stop_before_the_wait_is_parked_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked between its first look and its parking, a task does not go to sleep."""
    gate, sleepers = Gate(), note_sleepers(monkeypatch)
    park = StopToken._park

    def late(self: StopToken, wakeup: Wakeup, end: float, *, give_way: bool) -> float | None:
        gate.meet()
        return park(self, wakeup, end, give_way=give_way)

    monkeypatch.setattr(StopToken, "_park", late)
    token = task()
    waiting = run_as_worker(token, Wakeup().wait)
    gate.wait_reached()
    token.ask(STOP, inf)
    gate.open()
    with pytest.raises(WorkerExit):
        waiting.result()
    assert len(sleepers) == 0


def test_a_stop_after_the_wait_is_parked_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked between its parking and its sleep, a task wakes at once."""
    gate = Gate()
    note_sleepers(monkeypatch, then=lambda wakeup: gate.meet())
    token = task()
    waiting = run_as_worker(token, Wakeup().wait)
    gate.wait_reached()
    token.ask(STOP, inf)
    gate.open()
    with pytest.raises(WorkerExit):
        waiting.result()


def test_a_wakeup_before_the_wait_is_parked_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brought about between the look and the sleep: the bell has rung, and rings no other."""
    gate, sleepers = Gate(), note_sleepers(monkeypatch)
    park = StopToken._park

    def late(self: StopToken, wakeup: Wakeup, end: float, *, give_way: bool) -> float | None:
        gate.meet()
        return park(self, wakeup, end, give_way=give_way)

    monkeypatch.setattr(StopToken, "_park", late)
    wakeup, token = Wakeup(), handler()
    waiting = run_as_worker(token, wakeup.wait)
    gate.wait_reached()
    wakeup.set()
    gate.open()
    assert waiting.result()
    assert len(sleepers) == 1
    assert not run_as_worker(token, Wakeup().wait, 0).result()


def test_a_wakeup_that_finds_the_waiter_poked_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Woken by a poke and not looking yet, it sees at its look what has happened meanwhile."""
    gate, sleepers = Gate(), note_sleepers(monkeypatch)
    sleep_until = Wakeup.sleep_until

    def late(self: Wakeup, end: float) -> bool:
        woken = sleep_until(self, end)
        gate.meet()
        return woken

    monkeypatch.setattr(Wakeup, "sleep_until", late)
    wakeup = Wakeup()
    waiting = run_as_worker(handler(), wakeup.wait)
    sleepers.wait_for(1)
    wakeup.poke()
    gate.wait_reached()
    wakeup.set()
    gate.open()
    assert waiting.result()
    assert len(sleepers) == 1


def test_a_wait_that_is_over_is_poked_no_more() -> None:
    """A stop that comes after a wait finds nothing parked, and the next wait sees it."""
    token, wakeup = task(), Wakeup()
    wakeup.set()

    def body() -> None:
        assert wakeup.wait()
        assert token._parked is None
        token.ask(STOP, inf)
        Wakeup().wait()

    with pytest.raises(WorkerExit):
        run_as_worker(token, body).result()
