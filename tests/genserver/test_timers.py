"""The timers of one incarnation: when they are due, what cancels them, what they cost."""

from __future__ import annotations

import threading
from math import inf, nan
from typing import TYPE_CHECKING, Any

import pytest

from tests.genserver.scenes import Scene
from tests.helpers import PATIENCE, Gate, Recorder
from threadsup._runtime.timers import NOTHING, Timers

if TYPE_CHECKING:
    from threadsup._runtime.timers import Due


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch, 0.0)


def taken(marks: list[Due]) -> list[Any]:
    """Take all marks, as the worker does; return what they stand for."""
    found = [mark.take() for mark in marks]
    marks.clear()
    return found


# -- once -------------------------------------------------------------------------------


def test_a_message_comes_when_its_time_is_up_and_once(scene: Scene) -> None:
    """Not before, and never again."""
    timers, marks = scene.marks()
    timer = timers.send_after(2.0, "message")
    scene.loop.wait(1.9)
    assert (marks, timer.active) == ([], True)
    scene.loop.wait(0.2)
    assert (taken(marks), timer.active) == (["message"], False)
    scene.loop.wait(100)
    assert (marks, scene.loop.timers) == ([], {})


def test_messages_come_in_the_order_of_their_times(scene: Scene) -> None:
    """Those of one time in the order in which they were set."""
    timers, marks = scene.marks()
    for seconds, message in [(3, "d"), (1, "a"), (2, "b"), (2, "c"), (0, "now")]:
        timers.send_after(seconds, message)
    scene.loop.wait(5)
    assert taken(marks) == ["now", "a", "b", "c", "d"]


def test_a_later_timer_wakes_nobody_to_be_set(scene: Scene) -> None:
    """The supervisor's thread hears of the earliest one only."""
    timers, _ = scene.marks()
    for seconds in (10, 20, 30, 5):
        timers.send_after(seconds, "message")
        scene.loop.turn()
    assert scene.loop.wakeups == 2
    assert list(scene.loop.timers.values()) == [5]


@pytest.mark.parametrize("seconds", [-1, -0.001, nan, inf, True, "1", None, 10**10])
def test_a_delay_that_is_none_is_refused_at_once(scene: Scene, seconds: Any) -> None:
    """Negative, not finite, or no number at all; nothing is set."""
    timers, _ = scene.marks()
    for set_timer in (timers.send_after, timers.every):
        with pytest.raises(ValueError, match="seconds must be"):
            set_timer(seconds, "message")
    assert scene.loop.posted == []


def test_a_period_of_nothing_is_refused(scene: Scene) -> None:
    """A message at once is fine; one again and again without a pause is not."""
    timers, _ = scene.marks()
    with pytest.raises(ValueError, match="seconds must be a number of seconds above 0, not 0"):
        timers.every(0, "message")


# -- again and again ----------------------------------------------------------------------


def test_a_timer_that_recurs_keeps_to_its_multiples(scene: Scene) -> None:
    """However late it is taken, and however late the supervisor is, it never drifts."""
    timers, marks = scene.marks()
    timers.every(1.0, "tick")
    for second, pause in [(1, 1.0), (2, 0.75), (3, 0.75)]:
        scene.loop.wait(pause)
        scene.clock.now += 0.25  # the worker is slow to take it
        assert taken(marks) == ["tick"]
        assert list(scene.loop.timers.values()) == [second + 1]
    scene.clock.now = 5.5  # the supervisor was busy for two periods and more
    scene.loop.fire(timers)
    assert taken(marks) == ["tick"]
    assert list(scene.loop.timers.values()) == [6.0]


def test_ticks_do_not_pile_up_for_a_slow_worker(scene: Scene) -> None:
    """One is queued; those due meanwhile are one with it, and nobody wakes for them."""
    timers, marks = scene.marks()
    timer = timers.every(1.0, "tick")
    scene.loop.wait(10.5)
    assert len(marks) == 1
    assert scene.loop.timers == {}
    assert timer.active
    assert scene.loop.wakeups == 3  # it was set, it was due, it was due again
    assert taken(marks) == ["tick"]
    scene.loop.turn()
    assert list(scene.loop.timers.values()) == [11.0]
    scene.loop.wait(0.5)
    assert taken(marks) == ["tick"]


def test_a_tick_taken_in_the_moment_it_is_due_again_is_set_once(scene: Scene) -> None:
    """It is still in the heap, though its time has come: it is not put there twice."""
    timers, marks = scene.marks()
    timers.every(1.0, "tick")
    scene.loop.wait(1.0)
    scene.clock.now = 2.0  # due again, and the supervisor has not looked yet
    assert taken(marks) == ["tick"]
    assert len(timers._heap) == 1
    scene.loop.wait(0)
    assert taken(marks) == ["tick"]
    assert list(scene.loop.timers.values()) == [3.0]
    scene.loop.wait(1.0)
    assert taken(marks) == ["tick"]


# -- cancelled ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["send_after", "every"])
def test_a_timer_cancelled_before_it_is_due_never_comes(scene: Scene, kind: str) -> None:
    """`cancel` says that it was in time, once."""
    timers, marks = scene.marks()
    timer = getattr(timers, kind)(1.0, "message")
    assert [timer.cancel(), timer.cancel()] == [True, False]
    assert not timer.active
    scene.loop.wait(10)
    assert (marks, scene.loop.timers) == ([], {})


@pytest.mark.parametrize("kind", ["send_after", "every"])
def test_a_timer_cancelled_while_its_mark_is_queued_means_nothing(scene: Scene, kind: str) -> None:
    """It is due, and the worker has not come to it: `cancel` is in time all the same."""
    timers, marks = scene.marks()
    timer = getattr(timers, kind)(1.0, "message")
    scene.loop.wait(1.0)
    assert timer.cancel()
    assert taken(marks) == [NOTHING]
    scene.loop.wait(10)
    assert marks == []


def test_a_message_that_was_taken_is_not_cancelled(scene: Scene) -> None:
    """`cancel` comes too late and says so; of one that recurs the next ones are."""
    timers, marks = scene.marks()
    once, again = timers.send_after(1.0, "once"), timers.every(1.0, "again")
    scene.loop.wait(1.0)
    assert taken(marks) == ["once", "again"]
    assert [once.cancel(), again.cancel()] == [False, True]
    scene.loop.wait(10)
    assert marks == []


def test_a_timer_that_rests_is_cancelled_too(scene: Scene) -> None:
    """It is in no heap, as its mark was not taken: taking that does not bring it back."""
    timers, marks = scene.marks()
    timer = timers.every(1.0, "tick")
    scene.loop.wait(5)
    assert timer.cancel()
    assert taken(marks) == [NOTHING]
    scene.loop.wait(10)
    assert (marks, scene.loop.timers) == ([], {})


def test_cancelled_timers_are_not_kept(scene: Scene) -> None:
    """A time-out that is set and cancelled for each request costs no memory."""
    timers, _ = scene.marks()
    timers.send_after(5, "the one that stays")
    for number in range(1000):
        timers.send_after(1000, number).cancel()
    assert len(timers._heap) < 200
    scene.loop.wait(10)
    assert scene.loop.wakeups == 2  # set, and due


def test_a_cancel_in_the_middle_of_being_due_is_in_time(scene: Scene) -> None:
    """The supervisor is putting the mark, and holds no lock: `cancel` need not wait."""
    gate = Gate("the mark")
    marks: list[Due] = []

    def mark(due: Due) -> None:
        gate.meet()
        marks.append(due)

    timers = Timers(scene.loop, mark)
    timer = timers.send_after(1.0, "message")
    scene.loop.turn()
    supervisor = threading.Thread(target=scene.loop.wait, args=(1.0,))
    supervisor.start()
    gate.wait_reached()
    assert timer.cancel()
    gate.open()
    supervisor.join(PATIENCE)
    assert taken(marks) == [NOTHING]


# -- the end ------------------------------------------------------------------------------


def test_the_end_cancels_all_timers(scene: Scene) -> None:
    """Those that wait, those that are queued, those that rest; the supervisor forgets them."""
    timers, marks = scene.marks()
    all_of_them = [timers.send_after(1.0, "queued"), timers.every(1.0, "rests")]
    scene.loop.wait(3.0)
    all_of_them += [timers.send_after(1.0, "waits"), timers.every(1.0, "waits")]
    scene.loop.turn()
    timers.end()
    scene.loop.turn()
    assert scene.loop.timers == {}
    assert taken(marks) == [NOTHING, NOTHING]
    assert not any(timer.active or timer.cancel() for timer in all_of_them)


def test_a_timer_set_after_the_end_is_over(scene: Scene) -> None:
    """Whoever still runs in the old incarnation sends nothing to the next one."""
    timers, _ = scene.marks()
    timers.end()
    timer = timers.send_after(0, "message")
    assert "over" in repr(timer)
    assert not timer.active
    assert scene.loop.posted == []


def test_an_end_in_the_middle_of_being_due_is_the_end(scene: Scene) -> None:
    """The mark comes into the mailbox after the life is over, and means nothing there."""
    gate = Gate("the mark")
    marks: list[Due] = []

    def mark(due: Due) -> None:
        gate.meet()
        marks.append(due)

    timers = Timers(scene.loop, mark)
    timers.send_after(1.0, "message")
    timers.every(1.0, "tick")
    scene.loop.turn()
    supervisor = threading.Thread(target=scene.loop.wait, args=(1.0,))
    supervisor.start()
    gate.wait_reached()
    timers.end()
    gate.open()
    supervisor.join(PATIENCE)
    scene.loop.turn()
    assert taken(marks) == [NOTHING, NOTHING]
    assert scene.loop.timers == {}


def test_what_a_timer_keeps_is_let_go_of_without_a_lock(scene: Scene) -> None:
    """The destructor of a message may do anything, in any thread that it meets there."""
    timers, _ = scene.marks()
    done: Recorder[bool] = Recorder()

    class Message:
        def __del__(self) -> None:
            thread = threading.Thread(target=lambda: done(timers.send_after(1, "more").active))
            thread.start()
            thread.join(PATIENCE)

    timers.send_after(1.0, Message()).cancel()
    timers.every(1.0, Message())
    timers.end()
    assert done.items == [True, False]


def test_an_end_overtaken_by_the_deadline_finds_nothing(scene: Scene) -> None:
    """The supervisor's timer was due before it could be taken away."""
    timers, marks = scene.marks()
    timers.send_after(1.0, "message")
    scene.loop.turn()
    scene.clock.now = 2.0
    timers.end()
    timers.take(None)
    assert (marks, scene.loop.timers) == ([], {})


def test_a_timer_says_what_it_is(scene: Scene) -> None:
    """Its `repr` shows how often and whether, never the message."""
    timers, _ = scene.marks()
    assert repr(timers.send_after(1, "secret")) == "<Timer, once, active>"
    again = timers.every(2.5, "secret")
    again.cancel()
    assert repr(again) == "<Timer, every 2.5 s, over>"
