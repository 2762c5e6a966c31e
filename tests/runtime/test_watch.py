"""One timer for a busy worker, none for an idle one, and one outcome for a message."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate, ManualClock, Recorder
from tests.runtime.forcing import run
from threadsup._runtime import watch
from threadsup._runtime.watch import WatchedHand

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 10.0


class Loop:
    """The supervisor's thread as far as a hand needs it; the test is that thread."""

    def __init__(self) -> None:
        self.posted: list[tuple[Callable[[Any], None], Any]] = []
        self.timer: float | None = None
        self.wakeups = 0

    def post(self, call: Callable[[Any], None], argument: object) -> None:
        self.posted.append((call, argument))

    def set_timer(self, owner: Any, key: None, number: int, at: float | None) -> None:
        self.timer = at

    def turn(self) -> None:
        """Call what was posted."""
        while self.posted:
            self.wakeups += 1
            call, argument = self.posted.pop(0)
            call(argument)

    def wait(self, clock: ManualClock, seconds: float) -> None:
        """Let time pass, and the timer be due in it."""
        end = clock.now + seconds
        self.turn()
        while self.timer is not None and self.timer <= end:
            clock.now, self.timer = max(clock.now, self.timer), None
            self.wakeups += 1
            self.hand.take(None)
        clock.now = end

    hand: WatchedHand


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    manual = ManualClock(100.0)
    monkeypatch.setattr(watch, "monotonic", manual)
    return manual


@pytest.fixture
def overdue() -> Recorder[float]:
    return Recorder()


@pytest.fixture
def loop(overdue: Recorder[float]) -> Loop:
    made = Loop()
    made.hand = WatchedHand(made, LIMIT, overdue)
    return made


def test_an_idle_worker_has_no_timer(loop: Loop, clock: ManualClock) -> None:
    """Nothing is posted and nothing is set for a worker that has nothing to do."""
    loop.wait(clock, 100 * LIMIT)
    assert (loop.timer, loop.wakeups) == (None, 0)


def test_the_first_message_sets_the_timer(
    loop: Loop, clock: ManualClock, overdue: Recorder[float]
) -> None:
    """One post when it gets busy, and the timer is due at that message's limit."""
    loop.hand.append("message")
    clock.advance(1.0)
    loop.turn()
    assert loop.timer == 100.0 + LIMIT
    assert overdue.items == []


def test_a_message_past_its_limit_is_overdue(
    loop: Loop, clock: ManualClock, overdue: Recorder[float]
) -> None:
    """It is told once, with the seconds it was in hand."""
    loop.hand.append("message")
    loop.wait(clock, 5 * LIMIT)
    assert overdue.items == [LIMIT]
    assert loop.timer is None


def test_a_worker_that_got_idle_loses_its_timer(
    loop: Loop, clock: ManualClock, overdue: Recorder[float]
) -> None:
    """The timer finds an empty hand, and is not set again: an idle tree does not wake."""
    loop.hand.append("message")
    loop.hand.pop()
    loop.wait(clock, 100 * LIMIT)
    assert loop.wakeups == 2
    assert overdue.items == []


def test_it_is_set_again_for_the_next_message(
    loop: Loop, clock: ManualClock, overdue: Recorder[float]
) -> None:
    """After it was taken away the next message posts anew."""
    loop.hand.append("one")
    loop.hand.pop()
    loop.wait(clock, 2 * LIMIT)
    loop.hand.append("two")
    loop.wait(clock, LIMIT)
    assert overdue.items == [LIMIT]


def test_a_busy_worker_costs_one_wakeup_per_limit(
    loop: Loop, clock: ManualClock, overdue: Recorder[float]
) -> None:
    """A thousand messages that take their time each, none too long: the timer follows."""
    for _ in range(1_000):
        loop.hand.append("message")
        loop.wait(clock, 0.9 * LIMIT)
        loop.hand.pop()
    assert overdue.items == []
    assert loop.wakeups <= 1_001


def test_a_younger_message_has_its_own_limit(
    loop: Loop, clock: ManualClock, overdue: Recorder[float]
) -> None:
    """The timer of the first finds the second, and waits for the rest of its time."""
    loop.hand.append("one")
    loop.wait(clock, 8.0)
    loop.hand.pop()
    loop.hand.append("two")
    loop.wait(clock, 9.0)
    assert overdue.items == []
    assert loop.timer == 108.0 + LIMIT
    loop.wait(clock, 1.0)
    assert overdue.items == [LIMIT]


def test_a_life_that_is_over_has_no_timer(loop: Loop, clock: ManualClock) -> None:
    """Its timer goes, and a post that was on its way sets none: nothing holds the life."""
    loop.hand.append("message")
    loop.turn()
    loop.hand.end()
    assert loop.timer is None
    other = WatchedHand(loop, LIMIT, lambda seconds: None)
    other.append("message")
    other.end()
    loop.turn()
    assert loop.timer is None


def test_it_is_a_hand_like_any_other(loop: Loop) -> None:
    """What the actor does with a hand works: append, look, pop, pop of an empty one."""
    hand = loop.hand
    hand.append("message")
    assert (len(hand), hand[-1], bool(hand)) == (1, "message", True)
    assert hand.pop() == "message"
    with pytest.raises(IndexError):
        hand.pop()


# -- the races ------------------------------------------------------------------------


class Door:
    """The lock of a hand, before which every thread but the test's stands at a gate."""

    def __init__(self, hand: WatchedHand) -> None:
        self.gate = Gate("before the lock of the hand")
        self._lock: Any = hand._lock
        hand._lock = self  # type: ignore[assignment]

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            self.gate.meet()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def is_free(self) -> bool:
        """Return whether anybody else could get in."""
        got: bool = self._lock.acquire(blocking=False)
        if got:
            self._lock.release()
        return got


def got_idle(loop: Loop, clock: ManualClock) -> None:
    """Have a message handled, and its timer be due."""
    loop.hand.append("one")
    loop.turn()
    loop.hand.pop()
    clock.advance(LIMIT)
    loop.timer = None


def test_a_message_that_comes_before_the_look_keeps_the_timer(
    loop: Loop, clock: ManualClock
) -> None:
    """The worker, armed, posts nothing; the supervisor looks after it, and sets the timer."""
    got_idle(loop, clock)
    loop.hand.append("two")
    assert loop.posted == []
    loop.hand.take(None)
    assert loop.timer == clock.now + LIMIT


def test_a_message_that_comes_after_the_look_sets_a_new_timer(
    loop: Loop, clock: ManualClock
) -> None:
    """The supervisor finds the hand empty with the worker at the door: that one posts."""
    got_idle(loop, clock)
    door = Door(loop.hand)
    putting = run(loop.hand.append, "two")
    door.gate.wait_reached()
    loop.hand.take(None)
    assert loop.timer is None
    door.gate.open()
    putting.result()
    loop.turn()
    assert loop.timer == clock.now + LIMIT


def test_a_handler_that_returns_before_the_look_is_not_overdue(
    loop: Loop, clock: ManualClock, overdue: Recorder[float]
) -> None:
    """The message is out of the hand at its deadline: nobody is fenced."""
    loop.hand.append("one")
    loop.turn()
    clock.advance(LIMIT)
    assert loop.hand.pop() == "one"
    loop.hand.append("two")  # and it is not the next one that is
    loop.hand.take(None)
    assert overdue.items == []


def test_a_handler_that_returns_after_the_look_finds_the_hand_empty(
    loop: Loop, clock: ManualClock
) -> None:
    """Until the life is fenced the worker stands at the door, and nothing else gets in."""
    door = Door(hand := WatchedHand(loop, LIMIT, lambda seconds: fence()))
    fenced: list[Any] = []
    hand.append("one")
    loop.turn()
    clock.advance(LIMIT)
    returning = run(hand.pop)
    door.gate.wait_reached()

    def fence() -> None:
        assert not run(door.is_free).result()
        door.gate.open()  # the worker is let on, to the lock that is held here
        fenced.append(hand.pop())

    hand.take(None)
    assert fenced == ["one"]
    with pytest.raises(IndexError):
        returning.result()
