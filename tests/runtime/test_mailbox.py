"""The lanes and the states of a mailbox: what comes out, in which order, and who is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pykka
import pytest

from tests.helpers import Gate, Recorder
from tests.runtime.forcing import Hostile, run
from threadsup._errors import DeliveryError, MailboxClosed, MailboxFull
from threadsup._runtime.mailbox import END, WAKE, Mailbox, Token

if TYPE_CHECKING:
    from threadsup._specs import OnFull


def taken(mailbox: Mailbox) -> list[Any]:
    """Take out all that is queued, as a consumer would, tokens too."""
    everything = [raw for _, raw in mailbox.returned]
    mailbox.returned.clear()
    everything += [mailbox.get() for _ in range(mailbox.qsize())]
    for raw in everything:
        if type(raw) is Token:
            mailbox.took_token()
    return everything


def filled(*messages: Any, capacity: int | None = None, on_full: OnFull = "wait") -> Mailbox:
    mailbox = Mailbox("box", capacity, on_full)
    for message in messages:
        mailbox.put(message)
    return mailbox


# -- the user lane --------------------------------------------------------------------


def test_messages_come_out_as_they_went_in() -> None:
    """First in, first out, however they were put."""
    mailbox = Mailbox()
    mailbox.put(1)
    mailbox.put_nowait(2)
    assert mailbox.offer(3)
    mailbox.put(4, timeout=0)
    assert mailbox.pending == 4
    assert taken(mailbox) == [1, 2, 3, 4]
    assert mailbox.pending == 0


def test_a_consumer_that_sleeps_gets_the_next_message() -> None:
    """`get` blocks until something is put."""
    mailbox = Mailbox()
    consumer = run(mailbox.get)
    mailbox.put("it")
    assert consumer.result() == "it"


def test_payloads_are_left_alone() -> None:
    """No path through the mailbox compares, measures, tests or asks a message."""
    lost: Recorder[list[Any]] = Recorder()
    mailbox = Mailbox("box", 2, "drop_old", on_undelivered=lambda raws, why: lost(raws))
    payloads = [Hostile() for _ in range(6)]
    for payload in payloads[:3]:
        mailbox.put(payload)
    mailbox.give_back(mailbox.get(), 1)
    mailbox.put_nowait(payloads[3])
    mailbox.signal(payloads[4])
    mailbox.put_token(END)
    left = [*mailbox.drop(), *mailbox.close("over")]
    mailbox.give_back(payloads[5])
    with pytest.raises(MailboxClosed):
        mailbox.put(payloads[0])
    assert mailbox.undelivered == 5
    seen = [raw for raws in lost.items for raw in raws] + [raw for raw in left if raw is not END]
    assert {id(raw) for raw in seen} == {id(payloads[i]) for i in (0, 1, 2, 3, 5)}


def test_no_message_can_pretend_to_be_a_token() -> None:
    """What counts is the exact type, whatever a message says it is."""

    class Pretender:
        __class__ = Token  # type: ignore[assignment]

    mailbox = filled(Pretender())
    assert isinstance(Pretender(), Token)
    assert mailbox.pending == 1
    assert len(mailbox.close("over")) == 1
    assert mailbox.undelivered == 1


# -- signals --------------------------------------------------------------------------


def test_signals_go_first() -> None:
    """Whatever the consumer gets after a signal, the signal is there before it."""
    mailbox = filled("message")
    mailbox.signal("stop")
    assert mailbox.get() == "message"
    assert list(mailbox.signals) == ["stop"]


def test_a_signal_wakes_the_consumer() -> None:
    """A consumer asleep on an empty queue gets `WAKE`, and finds the signal."""
    mailbox = Mailbox()
    consumer = run(lambda: (mailbox.get(), list(mailbox.signals)))
    mailbox.signal("stop")
    assert consumer.result() == (WAKE, ["stop"])


def test_signals_are_never_refused() -> None:
    """A mailbox that is full, shut or closed takes signals and wakes its consumer."""
    mailbox = filled(1, capacity=1, on_full="raise")
    mailbox.signal("full")
    mailbox.shut("pause")
    mailbox.signal("shut")
    assert mailbox.close("over") == [1]
    mailbox.signal("closed")
    assert list(mailbox.signals) == ["full", "shut", "closed"]
    assert set(taken(mailbox)) == {WAKE}
    assert mailbox.pending == 0


def test_a_signal_takes_no_lock() -> None:
    """A signal handler may signal wherever it interrupts, also while closing."""
    mailbox, gate = Mailbox(), Gate()

    def hold() -> None:
        with mailbox._lock:
            gate.meet()

    holder = run(hold)
    gate.wait_reached()
    mailbox.signal("now")
    gate.open()
    holder.result()
    assert taken(mailbox) == [WAKE]


# -- tokens ---------------------------------------------------------------------------


def test_tokens_travel_at_their_place_and_uncounted() -> None:
    """A token comes out between the messages it was put between."""
    mailbox, token = filled("before"), Token()
    assert mailbox.put_token(token)
    mailbox.put("behind")
    assert mailbox.pending == 2
    assert taken(mailbox) == ["before", token, "behind"]


def test_tokens_know_no_bound() -> None:
    """A full mailbox takes tokens, and tokens take no room from messages."""
    mailbox = Mailbox("box", 1, "raise")
    assert mailbox.put_token(END)
    mailbox.signal("look")
    mailbox.put(1)
    assert mailbox.put_token(END)
    with pytest.raises(MailboxFull):
        mailbox.put_nowait(2)
    assert mailbox.pending == 1
    assert taken(mailbox) == [END, WAKE, 1, END]
    mailbox.put(3)


def test_a_shut_mailbox_takes_tokens_and_a_closed_one_does_not() -> None:
    """`put_token` says whether anybody will ever take the token."""
    mailbox = Mailbox()
    mailbox.shut("pause")
    assert mailbox.put_token(END)
    assert mailbox.close("over") == [END]
    assert not mailbox.put_token(END)
    assert mailbox.qsize() == 0


# -- giving back ----------------------------------------------------------------------


def test_what_is_given_back_comes_first() -> None:
    """`give_back` puts to the front, with the attempts the message has cost."""
    mailbox = filled(1, 2, 3)
    first, second = mailbox.get(), mailbox.get()
    mailbox.give_back(second)
    mailbox.give_back(first, 2)
    assert list(mailbox.returned) == [(2, 1), (0, 2)]
    assert mailbox.pending == 3
    assert [raw for raw in taken(mailbox) if raw is not WAKE] == [1, 2, 3]
    assert mailbox.pending == 0


def test_giving_back_wakes_the_consumer() -> None:
    """An incarnation that was given up on may give back when the next one sleeps already."""
    mailbox = Mailbox()
    consumer = run(lambda: (mailbox.get(), list(mailbox.returned)))
    mailbox.give_back("late", 1)
    assert consumer.result() == (WAKE, [(1, "late")])


def test_a_token_given_back_stays_uncounted() -> None:
    """A token that a signal overtook is taken again, and counts at no time."""
    mailbox = Mailbox()
    mailbox.put_token(END)
    mailbox.give_back(mailbox.get())
    assert mailbox.pending == 0
    assert taken(mailbox) == [END, WAKE]
    assert mailbox.pending == 0
    mailbox.put_token(END)
    mailbox.give_back(mailbox.get())
    assert mailbox.close("over") == [END]
    assert (mailbox.pending, mailbox.undelivered) == (0, 0)


def test_what_is_given_back_to_a_closed_mailbox_is_undelivered() -> None:
    """Nobody would take it: a message is counted, a token told, both handed over."""
    lost: Recorder[tuple[list[Any], str]] = Recorder()
    mailbox = Mailbox("box", on_undelivered=lambda raws, why: lost((raws, why)))
    mailbox.put("late")
    mailbox.put_token(END)
    message, token = mailbox.get(), mailbox.get()
    mailbox.close("over")
    mailbox.give_back(message, 1)
    mailbox.give_back(token)
    assert lost.items == [(["late"], "over"), ([END], "over")]
    assert mailbox.undelivered == 1
    assert not mailbox.returned
    mailbox.open()
    mailbox.put(1)
    assert mailbox.pending == 1


# -- shut, open, close ----------------------------------------------------------------


def test_a_shut_mailbox_refuses_and_keeps() -> None:
    """`shut` refuses senders, saying why, and leaves the queue to the next incarnation."""
    mailbox = filled(1)
    mailbox.shut("it is stopping")
    for put in (mailbox.put, mailbox.put_nowait, mailbox.offer):
        with pytest.raises(MailboxClosed, match=r"^'box' takes no messages: it is stopping$"):
            put(2)
    assert (mailbox.is_open, mailbox.pending) == (False, 1)
    mailbox.open()
    mailbox.put(2)
    assert (mailbox.is_open, mailbox.pending) == (True, 2)
    assert taken(mailbox) == [1, 2]
    assert mailbox.undelivered == 0


def test_a_refusal_is_pykkas_too() -> None:
    """`except pykka.ActorDeadError` catches what a closed mailbox raises."""
    mailbox = Mailbox()
    mailbox.close("over")
    with pytest.raises(pykka.ActorDeadError):
        mailbox.put(1)
    with pytest.raises(DeliveryError):
        mailbox.put_nowait(1)


@pytest.mark.parametrize("on_full", ["wait", "raise", "drop_new", "drop_old"])
def test_a_full_mailbox_that_is_shut_refuses(on_full: OnFull) -> None:
    """Nobody waits for room, drops or is told of a bound where nobody is let in."""
    mailbox = filled(1, capacity=1, on_full=on_full)
    mailbox.shut("pause")
    for put in (mailbox.put, mailbox.put_nowait, mailbox.offer):
        with pytest.raises(MailboxClosed):
            put(2)
    assert taken(mailbox) == [1]
    assert mailbox.undelivered == 0


def test_closing_takes_over_what_is_queued() -> None:
    """`close` returns messages and tokens in their order, what was given back first."""
    mailbox = filled(1, 2)
    token = Token()
    mailbox.put_token(token)
    mailbox.put(3)
    mailbox.give_back(mailbox.get(), 1)
    mailbox.signal("stop")
    assert mailbox.close("over") == [1, 2, token, 3]
    assert (mailbox.pending, mailbox.undelivered) == (0, 3)
    assert mailbox.close("again") == []
    assert mailbox.undelivered == 3


def test_closing_leaves_a_sleeper_its_wakeup() -> None:
    """A consumer that was signalled and is still to look wakes, closed or not."""
    mailbox = Mailbox()
    mailbox.signal("stop")
    mailbox.close("over")
    assert mailbox.pending == 0
    consumer = run(lambda: (mailbox.get(), list(mailbox.signals)))
    assert consumer.result() == (WAKE, ["stop"])


def test_a_closed_mailbox_may_open_again() -> None:
    """A child that is restarted by hand finds its mailbox empty and open."""
    mailbox = filled(1)
    mailbox.close("over")
    mailbox.open()
    mailbox.put(2)
    assert mailbox.put_token(END)
    assert taken(mailbox) == [2, END]


def test_dropping_takes_the_messages_and_leaves_the_rest() -> None:
    """`drop` returns messages; tokens keep their order, and the mailbox its state."""
    mailbox, first, second = filled(1), Token(), Token()
    mailbox.put_token(first)
    mailbox.put(2)
    mailbox.signal("look")
    mailbox.put_token(second)
    mailbox.give_back(mailbox.get(), 1)
    assert mailbox.drop() == [1, 2]
    assert mailbox.is_open
    assert (mailbox.pending, mailbox.undelivered) == (0, 2)
    mailbox.put(3)
    assert [raw for raw in taken(mailbox) if raw is not WAKE] == [first, second, 3]


def test_dropping_leaves_a_sleeper_its_wakeup() -> None:
    """A signal is not dropped with the messages."""
    mailbox = filled(1)
    mailbox.signal("look")
    mailbox.drop()
    assert taken(mailbox) == [WAKE]


def test_a_poisoned_mailbox_refuses_without_a_lock() -> None:
    """In the child of a fork the lock may be held by a thread that is no more."""
    mailbox, gate = filled(1, capacity=1), Gate()

    def hold() -> None:
        with mailbox._lock:
            gate.meet()

    holder = run(hold)
    gate.wait_reached()
    mailbox.poison("the process was forked")
    for put in (mailbox.put, mailbox.put_nowait, mailbox.offer):
        with pytest.raises(MailboxClosed, match="forked"):
            put(2)
    mailbox.signal("stop")
    assert mailbox.pending == 1
    gate.open()
    holder.result()


# -- counts ---------------------------------------------------------------------------


def test_a_message_taken_back_by_its_sender_is_undelivered() -> None:
    """The consumer that finds an ask cancelled counts it."""
    mailbox = filled("ask")
    mailbox.get()
    mailbox.count_cancelled()
    assert (mailbox.pending, mailbox.undelivered) == (0, 1)


def test_counts_are_exact_through_a_life() -> None:
    """Of what went in, all is taken, pending or undelivered, at each step."""
    mailbox = Mailbox("box", 3, "drop_old")
    for message in range(5):
        mailbox.put(message)
        mailbox.signal(message)
    assert (mailbox.pending, mailbox.undelivered) == (3, 2)
    messages = [raw for raw in taken(mailbox) if raw is not WAKE]
    assert messages == [2, 3, 4]
    assert (mailbox.pending, mailbox.undelivered) == (0, 2)
    mailbox.give_back(messages[2])
    mailbox.put(5)
    assert (mailbox.pending, mailbox.undelivered) == (2, 2)
    assert mailbox.drop() == [4, 5]
    mailbox.put(6)
    assert mailbox.close("over") == [6]
    assert (mailbox.pending, mailbox.undelivered) == (0, 5)
