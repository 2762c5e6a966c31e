"""Putting against closing, waiting against taking: each order forced, then all at once.

A gate holds one side at the point that decides. The names: the sender *looks* when it
reads how full the mailbox is, *puts* when the message goes into the queue, and *checks*
when it reads afterwards whether the mailbox was closed meanwhile.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate, Recorder
from tests.runtime.forcing import Watched, note_sleepers, run
from threadsup._errors import MailboxClosed, MailboxFull
from threadsup._runtime.mailbox import WAKE, Mailbox, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadsup._exits import ChildId
    from threadsup._runtime.context import Wakeup


class Lost(Recorder[Any]):
    """Records the messages that senders found after the closing, one by one."""

    def take(self, raws: list[Any], why: str) -> None:
        assert why == "over"
        for raw in raws:
            self(raw)


def hold_put(mailbox: Mailbox, *, after: bool) -> Gate:
    """Hold the next sender right before it puts, or right after, before it checks."""
    gate, put = Gate(), mailbox._push

    def held(message: Any) -> None:
        if not after:
            gate.meet()
        put(message)
        if after:
            gate.meet()

    mailbox._push = held
    return gate


def hold_look(mailbox: Mailbox, number: int) -> Gate:
    """Hold a sender after the `number`th time that it reads how full the mailbox is."""
    gate, looks = Gate(), 0

    def held() -> None:
        nonlocal looks
        looks += 1
        if looks == number:
            gate.meet()

    Watched(mailbox, looked=held)
    return gate


def fill(mailbox: Mailbox) -> Mailbox:
    mailbox.put("old")
    return mailbox


IN_LINE = 3
"""The look that a sender takes after it has registered as waiting for room."""

PUTS: list[str] = ["put", "put_nowait", "offer"]


# -- put against close ----------------------------------------------------------------


@pytest.mark.parametrize("name", PUTS)
@pytest.mark.parametrize("capacity", [None, 2])
def test_put_before_the_closers_last_look_is_taken_over(name: str, capacity: int | None) -> None:
    """A message in the queue when the closer looks last is the closer's, and only its."""
    lost = Lost()
    mailbox = fill(Mailbox("box", capacity, on_undelivered=lost.take))
    gate = hold_put(mailbox, after=True)
    sender = run(getattr(mailbox, name), "new")
    gate.wait_reached()
    assert mailbox.close("over") == ["old", "new"]
    gate.open()
    sender.result()
    assert lost.items == []
    assert (mailbox.pending, mailbox.undelivered) == (0, 2)


@pytest.mark.parametrize("name", PUTS)
@pytest.mark.parametrize("capacity", [None, 2])
def test_put_after_the_closers_last_look_is_handed_over(name: str, capacity: int | None) -> None:
    """A sender that passed the check before the closing finds its message left behind (F46)."""
    lost = Lost()
    mailbox = fill(Mailbox("box", capacity, on_undelivered=lost.take))
    gate = hold_put(mailbox, after=False)
    sender = run(getattr(mailbox, name), "new")
    gate.wait_reached()
    assert mailbox.close("over") == ["old"]
    gate.open()
    sender.result()
    assert lost.items == ["new"]
    assert (mailbox.pending, mailbox.undelivered) == (0, 2)


def test_put_after_the_closers_last_look_is_counted_once_for_two_senders() -> None:
    """Of two late senders one may find both messages: each is handed over once."""
    lost = Lost()
    mailbox = Mailbox("box", on_undelivered=lost.take)
    gate = hold_put(mailbox, after=False)
    senders = [run(mailbox.put, n) for n in range(2)]
    gate.wait_reached(2)
    assert mailbox.close("over") == []
    gate.open()
    for sender in senders:
        sender.result()
    assert sorted(lost.items) == [0, 1]
    assert (mailbox.pending, mailbox.undelivered) == (0, 2)


def test_put_into_a_mailbox_that_shuts_stays_for_the_next_incarnation() -> None:
    """A message that comes in with the shutting is kept, and a later closer has it."""
    lost = Lost()
    mailbox = Mailbox("box", on_undelivered=lost.take)
    gate = hold_put(mailbox, after=False)
    sender = run(mailbox.put, "new")
    gate.wait_reached()
    mailbox.shut("over")
    gate.open()
    sender.result()
    assert mailbox.pending == 1
    assert mailbox.close("over") == ["new"]
    assert lost.items == []


def test_put_after_a_reopening_is_the_next_incarnations() -> None:
    """Closed and opened again while the sender stood: the message is simply in."""
    lost = Lost()
    mailbox = fill(Mailbox("box", on_undelivered=lost.take))
    gate = hold_put(mailbox, after=False)
    sender = run(mailbox.put, "new")
    gate.wait_reached()
    assert mailbox.close("over") == ["old"]
    mailbox.open()
    gate.open()
    sender.result()
    assert mailbox.get() == "new"
    assert (lost.items, mailbox.undelivered) == ([], 1)


def test_put_then_interrupted_is_not_lost() -> None:
    """Ctrl-C between putting and checking leaves no message in a closed mailbox."""
    lost = Lost()
    mailbox = Mailbox("box", on_undelivered=lost.take)
    put = mailbox._push

    def interrupted(message: Any) -> None:
        mailbox.close("over")
        put(message)
        raise KeyboardInterrupt

    mailbox._push = interrupted
    with pytest.raises(KeyboardInterrupt):
        mailbox.put("new")
    assert lost.items == ["new"]
    assert mailbox.pending == 0


def test_a_late_sender_leaves_a_sleeper_its_wakeup() -> None:
    """What a sender takes over after the closing is messages, no `WAKE`."""
    lost = Lost()
    mailbox = Mailbox("box", on_undelivered=lost.take)
    gate = hold_put(mailbox, after=False)
    sender = run(mailbox.put, "new")
    gate.wait_reached()
    mailbox.close("over")
    mailbox.signal("leave")
    gate.open()
    sender.result()
    assert lost.items == ["new"]
    assert mailbox.get() is WAKE


@pytest.mark.parametrize("signal_first", [True, False])
def test_a_signal_and_a_closing_wake_the_consumer_in_either_order(*, signal_first: bool) -> None:
    """The closer takes the queue away, never the wake-up in it."""
    mailbox = fill(Mailbox())
    if signal_first:
        mailbox.signal("leave")
    assert mailbox.close("over") == ["old"]
    if not signal_first:
        mailbox.signal("leave")
    consumer = run(lambda: (mailbox.get(), list(mailbox.signals)))
    assert consumer.result() == (WAKE, ["leave"])


# -- waiting for room against close ---------------------------------------------------


def waiting(number: int) -> tuple[Mailbox, Lost, Gate]:
    """Return a full mailbox, and the gate at one look of the sender to come."""
    lost = Lost()
    mailbox = fill(Mailbox("box", 1, on_undelivered=lost.take))
    return mailbox, lost, hold_look(mailbox, number)


@pytest.mark.parametrize("look", [1, 2, IN_LINE])
def test_a_closing_after_a_look_refuses_who_would_wait(look: int) -> None:
    """Closed after the sender found it full, registered or not: it does not sleep."""
    mailbox, lost, gate = waiting(look)
    sender = run(mailbox.put, "new")
    gate.wait_reached()
    assert mailbox.close("over") == ["old"]
    gate.open()
    with pytest.raises(MailboxClosed):
        sender.result()
    assert not mailbox.senders
    assert (lost.items, mailbox.pending, mailbox.undelivered) == ([], 0, 1)


def test_a_closing_wakes_who_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed after the sender fell asleep: it wakes and is refused."""
    sleepers = note_sleepers(monkeypatch)
    mailbox = fill(Mailbox("box", 1))
    sender = run(mailbox.put, "new")
    sleepers.wait_for(1)
    assert mailbox.close("over") == ["old"]
    with pytest.raises(MailboxClosed):
        sender.result()


@pytest.mark.parametrize("after", [True, False])
def test_a_closing_around_the_put_of_a_sender_that_waited(
    monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    """Room made, woken, and closed before or after the put: handed over or taken over."""
    sleepers = note_sleepers(monkeypatch)
    lost = Lost()
    mailbox = fill(Mailbox("box", 1, on_undelivered=lost.take))
    gate = hold_put(mailbox, after=after)
    sender = run(mailbox.put, "new")
    sleepers.wait_for(1)
    assert mailbox.get() == "old"
    mailbox.wake_senders()
    gate.wait_reached()
    assert mailbox.close("over") == (["new"] if after else [])
    gate.open()
    sender.result()
    assert lost.items == ([] if after else ["new"])
    assert (mailbox.pending, mailbox.undelivered) == (0, 1)


def test_a_closing_between_the_wakeup_and_the_put_refuses() -> None:
    """Woken for room, closed before it reads where to put: the sender is refused."""
    mailbox, lost, gate = waiting(IN_LINE + 1)
    sender = run(mailbox.put, "new", 0)
    gate.wait_reached()  # at the look after its time was up
    assert mailbox.close("over") == ["old"]
    gate.open()
    with pytest.raises((MailboxClosed, MailboxFull)):
        sender.result()
    assert (lost.items, mailbox.pending) == ([], 0)


# -- waiting for room against taking --------------------------------------------------


def test_room_made_before_the_sender_is_in_line_is_seen() -> None:
    """Taken after its first look: the sender registers, looks again and goes in."""
    mailbox, _, gate = waiting(2)
    sender = run(mailbox.put, "new")
    gate.wait_reached()
    assert mailbox.get() == "old"
    assert not mailbox.senders  # the consumer sees nobody, and goes to sleep
    gate.open()
    sender.result()
    assert mailbox.get() == "new"


def test_room_made_after_the_sender_is_in_line_wakes_it() -> None:
    """Taken after its look in line, before its sleep: the consumer sees it and wakes it."""
    mailbox, _, gate = waiting(IN_LINE)
    sender = run(mailbox.put, "new")
    gate.wait_reached()
    assert mailbox.get() == "old"
    assert len(mailbox.senders) == 1
    mailbox.wake_senders()
    gate.open()
    sender.result()
    assert mailbox.get() == "new"


def test_a_wakeup_for_room_that_somebody_else_took_is_waited_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sender that is woken and finds it full again goes back into the line."""
    sleepers = note_sleepers(monkeypatch)
    mailbox = fill(Mailbox("box", 1))
    sender = run(mailbox.put, "new")
    sleepers.wait_for(1)
    wakeup: Wakeup = mailbox.senders.pop(0)
    wakeup.set()
    sleepers.wait_for(2)
    assert len(mailbox.senders) == 1
    assert mailbox.get() == "old"
    mailbox.wake_senders()
    sender.result()


# -- giving back against close --------------------------------------------------------


@pytest.mark.parametrize("close_first", [True, False])
def test_what_is_given_back_around_a_closing_has_one_end(*, close_first: bool) -> None:
    """It is the closer's, or undelivered by who gives it back."""
    lost = Lost()
    mailbox = fill(Mailbox("box", on_undelivered=lost.take))
    raw = mailbox.get()
    left = mailbox.close("over") if close_first else []
    mailbox.give_back(raw, 1)
    left = left or mailbox.close("over")
    assert [*left, *lost.items] == ["old"]
    assert (mailbox.pending, mailbox.undelivered) == (0, 1)


# -- all at once ----------------------------------------------------------------------

PRODUCERS = 4
EACH = 3


@pytest.fixture(params=["as it is", "1e-6"])
def switching(request: pytest.FixtureRequest) -> Iterator[None]:
    """With the interpreter's own switching between threads, then with as much as can be."""
    interval = sys.getswitchinterval()
    if request.param != "as it is":
        sys.setswitchinterval(float(request.param))
    yield
    sys.setswitchinterval(interval)


class Producer:
    """Puts a few messages in each round, from a barrier on; counts what became of them."""

    def __init__(self, number: int, rounds: list[Mailbox], barrier: threading.Barrier) -> None:
        self.number = number
        self.accepted: list[ChildId] = []
        self.refused: list[ChildId] = []
        self._rounds = rounds
        self._barrier = barrier

    def __call__(self) -> None:
        for number, mailbox in enumerate(self._rounds):
            self._barrier.wait()
            for n in range(EACH):
                message = (number, self.number, n)
                try:
                    mailbox.put(message)
                except MailboxClosed:
                    self.refused.append(message)
                else:
                    self.accepted.append(message)


def consume(mailbox: Mailbox) -> list[Any]:
    """Take messages until signalled, as the loop of a worker does."""
    taken: deque[Any] = deque()
    while True:
        raw = mailbox.get()
        if mailbox.senders and mailbox.qsize() - len(mailbox.tokens) <= mailbox.half:
            mailbox.wake_senders()
        if type(raw) is Token:
            mailbox.took_token()
            if mailbox.signals:
                return list(taken)
        else:
            taken.append(raw)


@pytest.mark.usefixtures("switching")
@pytest.mark.parametrize("capacity", [None, 1, 4])
@pytest.mark.parametrize("consumed", [True, False])
def test_every_message_has_one_end(capacity: int | None, *, consumed: bool) -> None:
    """Taken, taken over, or refused: each once, whatever the order, four against one."""
    lost = Lost()
    rounds = [Mailbox("box", capacity, on_undelivered=lost.take) for _ in range(300)]
    barrier = threading.Barrier(PRODUCERS + 1)
    producers = [Producer(number, rounds, barrier) for number in range(PRODUCERS)]
    running = [run(producer) for producer in producers]
    ended: list[Any] = []
    for mailbox in rounds:
        consumer = run(consume, mailbox) if consumed else None
        barrier.wait()
        ended += mailbox.close("over")
        mailbox.signal("leave")
        if consumer is not None:
            ended += consumer.result()
    for thread in running:
        thread.result()
    ended += lost.items
    accepted = [message for producer in producers for message in producer.accepted]
    refused = [message for producer in producers for message in producer.refused]
    assert Counter(ended) == Counter(accepted)
    assert len(accepted) + len(refused) == 300 * PRODUCERS * EACH
    assert not set(accepted) & set(refused)
    assert all(mailbox.pending == 0 and not mailbox.senders for mailbox in rounds)


@pytest.mark.usefixtures("switching")
@pytest.mark.parametrize("capacity", [1, 2, 5])
def test_nobody_waits_for_ever(capacity: int) -> None:
    """Four senders through a narrow mailbox: all get in, each in its own order."""
    mailbox = Mailbox("box", capacity)

    def send(me: int) -> None:
        for n in range(200):
            mailbox.put((me, n))

    senders = [run(send, me) for me in range(PRODUCERS)]
    consumer = run(consume, mailbox)
    for sender in senders:
        sender.result()
    mailbox.signal("leave")
    taken = consumer.result()
    assert not mailbox.senders
    taken += mailbox.close("over")
    for me in range(PRODUCERS):
        assert [n for who, n in taken if who == me] == list(range(200))


def test_what_a_life_that_was_given_up_on_takes_from_a_closer_is_its() -> None:
    """A message that was given back is taken by one of them, whoever looked first."""

    class Raced(list[Any]):
        def pop(self, index: Any = -1, /) -> Any:
            if len(self) > 1:
                return super().pop(index)
            self.clear()  # the other one, in this very moment
            raise IndexError

    mailbox = Mailbox()
    mailbox.returned = Raced([(1, "first"), (1, "second")])
    mailbox.put("third")
    assert mailbox.close("over") == ["first", "third"]
    assert mailbox.undelivered == 2
