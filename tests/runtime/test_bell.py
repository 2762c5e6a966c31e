"""The bell of a worker, by which it sleeps for messages: its own, and used again."""

from __future__ import annotations

from queue import Empty
from typing import Any

import pytest

from tests.helpers import Gate
from tests.runtime.forcing import note_idle, run
from threadsup._runtime.context import Context, StopToken
from threadsup._runtime.mailbox import Mailbox
from threadsup._runtime.whose import enter, leave


def worker(mailbox: Mailbox) -> Context:
    token = StopToken(task=True)
    return Context(id="w", kind="task", incarnation=1, token=token, home=mailbox)


def inside(context: Context, body: Any) -> Any:
    enter(context)
    try:
        return body()
    finally:
        leave()


def test_it_is_used_for_every_sleep() -> None:
    """And is back in its place between them, whether something came or not."""
    mailbox = Mailbox()
    context = worker(mailbox)
    bell = context.bell
    gate = Gate("asleep")
    idle = note_idle(mailbox, gate.meet)

    def body() -> list[Any]:
        first = mailbox.get()
        with pytest.raises(Empty):
            mailbox.get(timeout=0.001)
        return [first, context.bell]

    gate.open()
    consumer = run(inside, context, body)
    gate.wait_reached()
    mailbox.put("first")
    assert consumer.result() == ["first", bell]
    assert len(idle) == 2
    assert bell is not None


def test_a_ring_that_comes_late_makes_it_look_once_more() -> None:
    """It finds nothing, and sleeps until there is something: a ring is no message."""
    mailbox = Mailbox()
    context = worker(mailbox)
    assert context.bell is not None
    context.bell.put(None)
    idle = note_idle(mailbox)
    consumer = run(inside, context, mailbox.get)
    idle.wait_for(2)
    mailbox.put("first")
    assert consumer.result() == "first"


def test_who_waits_within_a_wait_has_another_one() -> None:
    """A destructor that runs while a worker falls asleep does not hear the worker's bell."""
    mailbox, other = Mailbox(), Mailbox("other")
    context = worker(mailbox)
    within: list[Any] = []

    def wait_within() -> None:
        if not within:
            within.append(context.bell)
            mailbox.put("for the outer one")  # which rings before it sleeps
            other.put("for the inner one")
            within.append(other.get())
            with pytest.raises(Empty):
                other.get(timeout=0.001)

    note_idle(mailbox, wait_within)
    assert run(inside, context, mailbox.get).result() == "for the outer one"
    assert within == [None, "for the inner one"]
