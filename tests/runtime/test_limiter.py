"""Only so many at a time: who waits for a turn, in which order, and how they leave."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import ManualClock, Recorder
from tests.runtime.forcing import note_sleepers, run, run_as_worker
from threadsup._exits import Shutdown, WorkerExit
from threadsup._policy.rate import Rate, Window
from threadsup._runtime import limiter as module
from threadsup._runtime.context import StopToken, Wakeup
from threadsup._runtime.limiter import Limiter

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 1_000.0
"""A rate's seconds that pass only by the clock of the test."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(50.0)


def used_up(clock: ManualClock) -> Limiter:
    """Return a limiter whose one turn in a long time has been taken."""
    limiter = Limiter(Window(Rate(1, LONG)), clock)
    assert limiter.turn()
    return limiter


class Sleepless:
    """A wake-up whose waits pass at once, on the clock of the test."""

    clock: ManualClock
    waits: list[float]

    def __init__(self) -> None:
        self.happened = False

    def pass_time(self, seconds: float, give_way: bool) -> bool:
        self.waits.append(seconds)
        self.clock.advance(seconds)
        return False

    def set(self) -> None:
        self.happened = True


# -- the rate -------------------------------------------------------------------------


def test_a_rate_lets_so_many_go_and_then_one_after_another(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes too early sleeps as long as the window says, and not a look longer."""
    monkeypatch.setattr(module, "Wakeup", Sleepless)
    Sleepless.clock, Sleepless.waits = clock, []
    limiter = Limiter(Window(Rate(2, 10.0)), clock)
    granted = []
    for _ in range(5):
        assert limiter.turn()
        granted.append(clock.now)
        clock.advance(1.0)
    assert granted == [50.0, 51.0, 60.0, 61.0, 70.0]
    assert Sleepless.waits == [8.0, 8.0]
    assert limiter.waiting == 0


def test_the_clock_is_read_behind_the_lock(clock: ManualClock) -> None:
    """The window never sees a time that goes back, whoever was faster."""
    limiter: Limiter
    held = []

    def read() -> float:
        held.append(limiter._lock.locked())
        return clock()

    limiter = Limiter(Window(Rate(3, LONG)), read)
    assert limiter.turn()
    assert held == [True]


# -- those who wait -------------------------------------------------------------------


class Counting:
    """A window that grants what it was given, and counts who asks."""

    def __init__(self) -> None:
        self.grants = 0
        self.asked = 0

    def take(self, now: float) -> float:
        self.asked += 1
        if not self.grants:
            return LONG
        self.grants -= 1
        return 0.0

    def change(self, rate: int) -> None:
        self.grants = rate


def in_line(
    limiter: Limiter, count: int, sleepers: Recorder[Wakeup], done: Callable[[Any], None]
) -> list[Any]:
    """Have so many threads wait, one behind the other."""

    def wait(number: int) -> None:
        assert limiter.turn()
        done(number)

    waiting = []
    for number in range(count):
        before = len(sleepers)
        waiting.append(run(wait, number))
        sleepers.wait_for(before + 1)
    assert limiter.waiting == count
    return waiting


def test_who_comes_first_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a turn wakes one: those behind it neither wake nor ask the window."""
    sleepers, done = note_sleepers(monkeypatch), Recorder[int]()
    window = Counting()
    limiter = Limiter(window)
    waiting = in_line(limiter, 4, sleepers, done)
    asked = window.asked
    for number in range(4):
        limiter.change(1)
        done.wait_for(number + 1)
        # The next one has woken as the first, has asked, and sleeps.
        sleepers.wait_for(4 + number + 1) if number < 3 else None
    assert done.items == [0, 1, 2, 3]
    for each in waiting:
        each.result()
    assert (window.asked, len(sleepers)) == (asked + 4 + 3, 4 + 3)


def test_nobody_jumps_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody waits, who comes later does not ask, though there might be a turn."""
    sleepers, done = note_sleepers(monkeypatch), Recorder[int]()
    window = Counting()
    limiter = Limiter(window)
    waiting = in_line(limiter, 1, sleepers, done)
    asked = window.asked
    window.grants = 1  # as if time had passed: the first has not noticed yet
    late = run(limiter.turn)
    sleepers.wait_for(2)
    assert (window.asked, window.grants) == (asked, 1)
    limiter.change(2)
    waiting[0].result()
    assert late.result()


def test_a_change_of_rate_is_for_those_who_wait_too(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A higher one lets them go at once, in a line of three each wakes the next."""
    sleepers, done = note_sleepers(monkeypatch), Recorder[int]()
    limiter = used_up(clock)
    waiting = in_line(limiter, 3, sleepers, done)
    limiter.change(Rate(10, LONG))
    for each in waiting:
        each.result()
    assert done.items == [0, 1, 2]


def test_a_rate_that_is_lifted_lets_everybody_go(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who wait, and those who come, until there is a rate again."""
    sleepers, done = note_sleepers(monkeypatch), Recorder[int]()
    limiter = used_up(clock)
    waiting = in_line(limiter, 2, sleepers, done)
    limiter.change(None)
    for each in waiting:
        each.result()
    assert all(limiter.turn() for _ in range(100))
    limiter.change(Rate(1, LONG))
    before = len(sleepers)
    late = run(limiter.turn)
    sleepers.wait_for(before + 1)
    limiter.change(None)
    assert late.result()


def test_a_change_in_the_moment_before_the_sleep_is_seen(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has looked, and has not slept yet: the wake-up it takes along has happened."""
    limiter = used_up(clock)
    note_sleepers(monkeypatch, then=lambda wakeup: limiter.change(Rate(10, LONG)))
    assert run(limiter.turn).result()


# -- leaving --------------------------------------------------------------------------


def test_a_worker_that_is_asked_to_stop_leaves_the_line(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a turn; and who was behind it looks at the window in its place."""
    sleepers, done = note_sleepers(monkeypatch), Recorder[int]()
    limiter = used_up(clock)
    token = StopToken(task=False)
    first = run_as_worker(token, limiter.turn)
    sleepers.wait_for(1)
    (second,) = in_line_behind(limiter, sleepers, done)
    token.ask(Shutdown(), inf)
    assert first.result() is False
    sleepers.wait_for(3)
    assert limiter.waiting == 1
    limiter.change(Rate(2, LONG))
    second.result()


def in_line_behind(limiter: Limiter, sleepers: Recorder[Wakeup], done: Recorder[int]) -> list[Any]:
    before = len(sleepers)
    waiting = run(lambda: done(int(limiter.turn())))
    sleepers.wait_for(before + 1)
    return [waiting]


def test_a_worker_in_the_middle_of_the_line_leaves_it_too(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others keep their places, and nobody is woken for it."""
    sleepers, done = note_sleepers(monkeypatch), Recorder[int]()
    limiter = used_up(clock)
    (first,) = in_line(limiter, 1, sleepers, done)
    token = StopToken(task=False)
    middle = run_as_worker(token, limiter.turn)
    sleepers.wait_for(2)
    (last,) = in_line_behind(limiter, sleepers, done)
    token.ask(Shutdown(), inf)
    assert middle.result() is False
    assert (limiter.waiting, len(sleepers)) == (2, 3)
    limiter.change(Rate(5, LONG))
    first.result()
    last.result()


def test_a_worker_that_is_stopping_takes_a_turn_that_is_there(clock: ManualClock) -> None:
    """But waits for none."""
    limiter = Limiter(Window(Rate(1, LONG)), clock)
    token = StopToken(task=False)
    token.ask(Shutdown(), inf)
    assert run_as_worker(token, limiter.turn).result() is True
    assert run_as_worker(token, limiter.turn).result() is False
    assert limiter.waiting == 0


def test_a_wait_that_does_not_give_way_ends_with_the_worker(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on when the worker is asked to stop, and ends when its time is up."""
    sleepers = note_sleepers(monkeypatch)
    limiter = used_up(clock)
    token = StopToken(task=False)
    waiting = run_as_worker(token, limiter.turn, False)
    sleepers.wait_for(1)
    token.ask(Shutdown(), inf)
    sleepers.wait_for(2)
    assert not waiting.over
    token.fence(Shutdown())
    with pytest.raises(WorkerExit):
        waiting.result()
    assert limiter.waiting == 0


def test_a_wait_that_does_not_give_way_gets_its_turn_while_the_worker_stops(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is time left for stopping, and the pause is shorter."""
    limiter = used_up(clock)
    monkeypatch.setattr(module, "Wakeup", Sleepless)
    Sleepless.clock, Sleepless.waits = clock, []
    token = StopToken(task=False)
    token.ask(Shutdown(), inf)
    assert run_as_worker(token, limiter.turn, False).result() is True
    assert Sleepless.waits == [LONG]


def test_a_window_that_fails_fails_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked it hears of it and is out of the line; the next one asks again."""
    sleepers, done = note_sleepers(monkeypatch), Recorder[int]()

    class Failing(Counting):
        fails = False

        def take(self, now: float) -> float:
            if self.fails:
                self.fails = False
                raise ZeroDivisionError
            return super().take(now)

    window = Failing()
    limiter = Limiter(window)
    first, second = in_line(limiter, 2, sleepers, done)
    window.fails = True
    limiter.change(1)
    with pytest.raises(ZeroDivisionError):
        first.result()
    second.result()
    assert done.items == [1]


# -- something else to do ---------------------------------------------------------------


def test_who_has_something_else_to_do_leaves_without_a_turn(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in the line: each is asked when all are told to look up, and nobody else goes."""
    sleepers, done = note_sleepers(monkeypatch), Recorder[tuple[str, bool]]()
    limiter = used_up(clock)
    elsewhere: set[str] = set()

    def wait(name: str) -> None:
        done((name, limiter.turn(unless=lambda: name in elsewhere)))

    waiting = []
    for at, name in enumerate("abc", 1):
        waiting.append(run(wait, name))
        sleepers.wait_until(lambda _, at=at: limiter.waiting == at)  # type: ignore[misc]
    for gone, name in enumerate("ba", 1):
        elsewhere.add(name)
        limiter.look_up()
        assert done.wait_for(gone)[-1] == (name, False)
    assert limiter.waiting == 1
    limiter.change(Rate(2, LONG))
    assert done.wait_for(3)[-1] == ("c", True)
    for each in waiting:
        each.result()


def test_who_is_told_to_look_up_before_it_sleeps_does(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has looked, and has not slept yet: it sees what it was told for."""
    limiter = used_up(clock)
    told: list[bool] = []

    def tell(_: Wakeup) -> None:
        told.append(True)
        limiter.look_up()

    note_sleepers(monkeypatch, then=tell)
    assert run(lambda: limiter.turn(unless=lambda: bool(told))).result() is False


def test_to_look_up_gives_nobody_a_turn(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has nothing else to do waits on, as long as the rate says."""
    sleepers = note_sleepers(monkeypatch)
    limiter = used_up(clock)
    waiting = run(limiter.turn)
    sleepers.wait_for(1)
    limiter.look_up()
    sleepers.wait_for(2)
    assert limiter.waiting == 1
    limiter.change(None)
    assert waiting.result() is True


# -- without waiting ------------------------------------------------------------------


def test_who_does_not_wait_takes_a_turn_only_if_there_is_one(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none that somebody in line waits for."""
    limiter = used_up(clock)
    assert not limiter.try_turn()
    clock.advance(LONG)
    assert limiter.try_turn()
    sleepers = note_sleepers(monkeypatch)
    waiting = run(limiter.turn)
    sleepers.wait_for(1)
    clock.advance(LONG)
    assert not limiter.try_turn()
    limiter.change(Rate(1, LONG))  # has the first in line look again
    assert waiting.result() is True
    assert not limiter.try_turn()
