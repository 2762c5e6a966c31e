"""To sleep and to wake: each order of a consumer and who puts something, forced.

The names: a consumer *registers* when it puts its bell among the sleepers, and *looks*
then; a sender *puts*, and *wakes* then.
"""

from __future__ import annotations

from queue import Empty
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate
from tests.runtime.forcing import Watched, note_idle, run
from threadsup._runtime.mailbox import WAKE, Mailbox

if TYPE_CHECKING:
    from collections.abc import Callable

PUTS = ["put", "put_nowait", "offer", "admit", "hand_on", "_enqueue"]
"""All ways in, one message at a time."""


each_way = pytest.mark.parametrize("put", PUTS)


class Bells(list[Any]):
    """The sleepers of a mailbox, whose bells are noted when they are rung."""

    rung = 0

    def append(self, wake: Any, /) -> None:
        def noted(nothing: None) -> None:
            self.rung += 1
            wake(nothing)

        super().append(noted)

    def __contains__(self, wake: object) -> bool:
        return bool(self)

    def remove(self, wake: Any, /) -> None:
        self.pop(0)


# -- put, register, look --------------------------------------------------------------


@each_way
def test_what_is_put_before_the_consumer_registers_needs_no_bell(put: str) -> None:
    """It is taken at once, and nobody is registered for a moment."""
    mailbox = Mailbox()
    idle = note_idle(mailbox)
    getattr(mailbox, put)("first")
    assert mailbox.get() == "first"
    assert (len(idle), mailbox.sleepers) == (0, [])


@each_way
def test_what_is_put_between_the_take_and_the_registering_is_seen(put: str) -> None:
    """The consumer has found nothing; nobody is woken, and it looks behind the registering."""
    mailbox, gate = Mailbox(), Gate("the look that finds nothing")
    Watched(mailbox, looked=lambda: None if mailbox.sleepers else gate.meet())
    consumer = run(mailbox.get)
    gate.wait_reached()
    getattr(mailbox, put)("late")
    assert mailbox.sleepers == []
    gate.open()
    assert consumer.result() == "late"
    assert mailbox.sleepers == []


@each_way
def test_what_is_put_between_the_registering_and_the_look_is_taken(put: str) -> None:
    """The sender rings a bell that nobody sleeps by; it is for this wait, and for no other."""
    mailbox, gate = Mailbox(), Gate("the look")
    idle = note_idle(mailbox, gate.meet)
    consumer = run(mailbox.get)
    gate.wait_reached()
    getattr(mailbox, put)("late")
    gate.open()
    assert consumer.result() == "late"
    assert mailbox.sleepers == []
    with pytest.raises(Empty):
        mailbox.get(timeout=0.005)
    assert len(idle) == 2


@each_way
def test_who_sleeps_is_woken(put: str) -> None:
    """Once, and is no sleeper any more."""
    mailbox = Mailbox()
    bells = Bells()
    mailbox.sleepers = bells
    looked = Gate("the look")
    looked.open()

    def look() -> None:
        if bells:
            looked.meet()

    Watched(mailbox, looked=look)
    consumer = run(mailbox.get)
    looked.wait_reached()
    getattr(mailbox, put)("late")
    assert consumer.result() == "late"
    assert bells == []
    assert bells.rung == 1


def test_many_at_once_wake_once() -> None:
    """`hand_on_all` rings when all of them are in."""
    mailbox = Mailbox()
    bells = Bells()
    mailbox.sleepers = bells
    idle = Gate("the sleep")
    idle.open()
    Watched(mailbox, looked=lambda: idle.meet() if bells else None)
    consumer = run(mailbox.get)
    idle.wait_reached()
    assert mailbox.hand_on_all([1, 2, 3]) == 3
    assert consumer.result() == 1
    assert [mailbox.get(), mailbox.get()] == [2, 3]
    assert bells.rung == 1


def test_a_ring_that_comes_late_takes_out_nobody_else() -> None:
    """Rung, awake, asleep again: the sender takes the old bell out, not the new one."""
    mailbox, rung = Mailbox(), Gate("the ring")

    class Slow(list[Any]):
        def append(self, wake: Any, /) -> None:
            if self.first:
                self.first = False

                def slow(nothing: None) -> None:
                    wake(nothing)
                    rung.meet()

                super().append(slow)
            else:
                super().append(wake)
            registered.append(len(self))

        first = True

    registered: list[int] = []
    mailbox.sleepers = Slow()
    second = Gate("the second sleep")
    second.open()
    Watched(mailbox, looked=lambda: second.meet() if registered else None)
    consumer = run(lambda: [mailbox.get(), mailbox.get()])
    second.wait_reached()
    sender = run(mailbox.put, "first")
    rung.wait_reached()  # the consumer has it, and finds nothing more
    second.wait_reached(2)
    rung.open()
    sender.result()
    mailbox.put("second")
    assert consumer.result() == ["first", "second"]
    assert mailbox.sleepers == []


# -- two lives ------------------------------------------------------------------------


def two_sleepers(mailbox: Mailbox) -> tuple[Any, Any]:
    """Return two consumers, asleep in this order: one that is given up on, and the next."""
    idle = note_idle(mailbox)
    old = run(mailbox.get)
    idle.wait_for(1)
    new = run(mailbox.get)
    idle.wait_for(2)
    return old, new


def test_of_two_sleepers_each_message_wakes_one() -> None:
    """One that was given up on and the next: whom it wakes may be either, and nobody both."""
    mailbox = Mailbox()
    consumers = two_sleepers(mailbox)
    mailbox.put(1)
    mailbox.put(2)
    assert sorted(consumer.result() for consumer in consumers) == [1, 2]
    assert mailbox.sleepers == []


def test_of_two_sleepers_the_one_that_is_given_up_on_passes_the_wakeup_on() -> None:
    """As a life does: what it takes it gives back, and that wakes the next one."""
    mailbox = Mailbox()
    old, new = two_sleepers(mailbox)
    mailbox.put("message")
    if old.over or not new.over:
        mailbox.give_back(old.result(), 0)
        assert new.result() is WAKE
        assert mailbox.take_returned() == (0, "message")
    else:
        assert new.result() == "message"
        mailbox.wake()
        assert old.result() is WAKE


# -- time -----------------------------------------------------------------------------


def test_a_wait_ends_with_its_time_and_leaves_nobody_registered() -> None:
    """Not earlier; and what comes then is for the next one."""
    mailbox = Mailbox()
    begin = monotonic()
    with pytest.raises(Empty):
        mailbox.get(timeout=0.005)
    assert monotonic() - begin >= 0.005
    assert mailbox.sleepers == []
    mailbox.put(1)
    assert mailbox.get(timeout=0) == 1


@pytest.mark.parametrize("timeout", [0, -1.0])
def test_who_has_no_time_looks_all_the_same(timeout: float) -> None:
    """What is there is taken, whenever it came."""
    mailbox = Mailbox()
    note_idle(mailbox, lambda: mailbox._append("just now"))
    assert mailbox.get(timeout=timeout) == "just now"


def test_what_is_put_when_the_time_is_up_is_taken_or_stays() -> None:
    """Time up, and put before the bell is taken out: the last look finds it."""
    mailbox = Mailbox()

    class Late(list[Any]):
        def remove(self, wake: Any, /) -> None:
            super().remove(wake)
            mailbox.put("in the last moment")

    mailbox.sleepers = Late()
    assert mailbox.get(timeout=0.001) == "in the last moment"
    assert mailbox.sleepers == []


def test_a_ring_when_the_time_is_up_does_no_harm() -> None:
    """The sender rings, and finds that the consumer has taken its bell out itself."""
    mailbox, ringing = Mailbox(), Gate("the ring")
    rung: list[None] = []

    class Slow(list[Any]):
        def append(self, wake: Any, /) -> None:
            def late(nothing: None) -> None:
                ringing.meet()
                wake(nothing)
                rung.append(nothing)

            super().append(late)

        def __contains__(self, wake: object) -> bool:
            return bool(self)

        def remove(self, wake: Any, /) -> None:
            if not self:
                raise ValueError
            self.pop()

    mailbox.sleepers = Slow()
    senders: list[Any] = []

    def put() -> None:
        if mailbox.sleepers and not senders:
            senders.append(run(mailbox.put, "message"))
            ringing.wait_reached()

    Watched(mailbox, looked=put)
    assert mailbox.get(timeout=0) == "message"
    ringing.open()
    senders[0].result()
    assert (rung, mailbox.sleepers) == ([None], [])


# -- Ctrl-C ---------------------------------------------------------------------------


@each_way
def test_ctrl_c_between_the_put_and_the_wakeup_leaves_nobody_asleep(put: str) -> None:
    """The message is in: its consumer wakes, though the sender is told otherwise."""
    mailbox = Mailbox()

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    Watched(mailbox, appended=interrupt)
    idle = note_idle(mailbox)
    consumer = run(mailbox.get)
    idle.wait_for(1)
    with pytest.raises(KeyboardInterrupt):
        getattr(mailbox, put)("message")
    assert consumer.result() == "message"


@pytest.mark.parametrize(
    "wake", [lambda box: box.signal("stop"), lambda box: box.wake()], ids=["signal", "wake"]
)
def test_ctrl_c_in_a_signal_leaves_nobody_asleep(wake: Callable[[Mailbox], None]) -> None:
    """Also where it is no message: a `WAKE` is in the queue, and counted."""
    mailbox = Mailbox()

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    Watched(mailbox, appended=interrupt)
    idle = note_idle(mailbox)
    consumer = run(mailbox.get)
    idle.wait_for(1)
    with pytest.raises(KeyboardInterrupt):
        wake(mailbox)
    assert consumer.result() is WAKE
    mailbox.took_token()
    assert mailbox.pending == 0


@each_way
def test_ctrl_c_between_the_ring_and_the_taking_out_loses_no_wakeup(put: str) -> None:
    """It rings once more for nothing: the next message still wakes who sleeps."""
    mailbox = Mailbox()

    class Interrupted(list[Any]):
        interrupted = False

        def append(self, wake: Any, /) -> None:
            super().append(wake)
            registered.append(None)

        def remove(self, wake: Any, /) -> None:
            if not self.interrupted and mailbox.qsize() + len(taken) and sender.is_current():
                self.interrupted = True
                raise KeyboardInterrupt
            super().remove(wake)

    taken: list[Any] = []
    registered: list[None] = []
    mailbox.sleepers = Interrupted()
    idle = Gate("the sleep")
    idle.open()
    Watched(mailbox, looked=lambda: idle.meet() if registered else None, taken=taken.append)
    consumer = run(lambda: [mailbox.get(), mailbox.get()])
    idle.wait_reached()
    begin = Gate("the sender")

    def send() -> None:
        begin.meet()
        getattr(mailbox, put)("first")

    sender = run(send)
    begin.open()
    with pytest.raises(KeyboardInterrupt):
        sender.result()
    getattr(mailbox, put)("second")
    assert consumer.result() == ["first", "second"]


def test_ctrl_c_in_a_wait_leaves_nobody_registered() -> None:
    """A main thread that is interrupted while it waits for a message is forgotten."""
    mailbox = Mailbox()

    def interrupt() -> None:
        if mailbox.sleepers:
            raise KeyboardInterrupt

    Watched(mailbox, looked=interrupt)
    with pytest.raises(KeyboardInterrupt):
        mailbox.get()
    assert mailbox.sleepers == []
    assert mailbox.pending == 0
