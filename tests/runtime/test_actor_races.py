"""The races of a life, each forced in both orders: every message has one outcome.

A life is held where the order is decided: in the handler, with a message taken and not
in hand yet, just in hand, or about to leave the hand. In all of them the life exits
once, and the counts of all lives add up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate
from tests.runtime.lives import BUSY, NEVER, Busy, GatedHand, Lives, hold_taken, is_current
from threadsup._errors import WorkerExited
from threadsup._exits import Abandoned, Crashed, Shutdown
from threadsup._runtime.mailbox import Token
from threadsup._runtime.worker import HandlerBehaviour, TaskBehaviour, receive
from threadsup._specs import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.actor import Life
    from threadsup._runtime.future import Future

GIVEN_UP = Abandoned(1.0, "message")


def crash() -> Any:
    raise ValueError("crashed")


def abandoned(future: Future[Any]) -> bool:
    """Whether the fence has settled the future."""
    error = future.exception(5)
    return isinstance(error, WorkerExited) and error.reason == GIVEN_UP


# -- fence or return ------------------------------------------------------------------


@pytest.mark.parametrize("then", [lambda: "late", crash], ids=["return", "crash"])
def test_a_fence_before_the_end_of_the_handler_decides(then: Callable[[], Any]) -> None:
    """The asker hears at once; what comes of the handler later counts for nothing (F28, F29)."""
    lives = Lives()
    busy = Busy(then)
    life = lives.handler(busy)
    future = lives.ask(BUSY)
    busy.gate.wait_reached()
    life.fence(GIVEN_UP)
    assert abandoned(future)
    assert lives.counts() == {"failed": 1}
    busy.gate.open()
    lives.end(life)
    assert lives.counts() == {"failed": 1}
    assert len(lives.host.letters) == 1


@pytest.mark.parametrize("then", [lambda: "late", crash], ids=["return", "crash"])
def test_a_fence_before_the_message_leaves_the_hand_decides(then: Callable[[], Any]) -> None:
    """The handler has ended, but nothing was made of that yet: the fence is first."""
    lives = Lives()
    hand = GatedHand(at="before pop")
    life = hand.life = lives.handler(lambda _: then(), hand=hand)
    future = lives.ask(BUSY)
    hand.gate.wait_reached()
    life.fence(GIVEN_UP)
    hand.gate.open()
    lives.end(life)
    assert abandoned(future)
    assert lives.counts() == {"failed": 1}
    assert len(lives.host.letters) == 1


@pytest.mark.parametrize("ends", ["return", "crash"])
def test_a_fence_after_the_message_left_the_hand_changes_nothing(ends: str) -> None:
    """The outcome is the handler's: its answer, or its exception."""
    lives = Lives()
    hand = GatedHand(at="after pop")
    then: Callable[[], Any] = crash if ends == "crash" else lambda: "answer"
    life = hand.life = lives.handler(lambda _: then(), hand=hand)
    future = lives.ask(BUSY)
    hand.gate.wait_reached()
    life.fence(GIVEN_UP)
    assert not future.done()
    hand.gate.open()
    lives.end(life)
    if ends == "crash":
        assert isinstance(future.exception(5), ValueError)
        assert lives.counts() == {"failed": 1}
    else:
        assert future.result(5) == "answer"
        assert lives.counts() == {"handled": 1}


def test_a_crash_after_a_fence_is_not_tried_again() -> None:
    """The message has failed at the fence; giving it back would handle it twice."""
    lives = Lives(max_attempts=3)
    busy = Busy(crash)
    life = lives.handler(busy)
    lives.mailbox.put(BUSY)
    busy.gate.wait_reached()
    life.fence(GIVEN_UP)
    busy.gate.open()
    lives.end(life)
    assert lives.counts() == {"failed": 1}


def test_a_crash_before_a_fence_is_tried_again_once() -> None:
    """It was given back already when the fence came, and found the hand empty."""
    lives = Lives(max_attempts=2)
    hand = GatedHand(at="after pop")
    life = hand.life = lives.handler(lambda _: crash(), hand=hand)
    lives.mailbox.put("message")
    hand.gate.wait_reached()
    life.fence(GIVEN_UP)
    hand.gate.open()
    lives.end(life)
    busy = Busy()
    lives.stop(lives.handler(busy), drain=True)
    assert busy.seen.items == ["message"]
    assert lives.counts() == {"handled": 1, "retried": 1}


# -- fence or take --------------------------------------------------------------------


def test_a_message_taken_at_the_fence_is_given_to_the_next_life() -> None:
    """A life that was given up on with nothing in hand gives back what it has taken."""
    lives = Lives()
    gate = hold_taken(lives)
    busy = Busy()
    old = lives.handler(busy)
    future = lives.ask("message")
    gate.wait_reached()
    old.fence(GIVEN_UP)
    new = lives.handler(lambda message: f"{message}, answered")
    gate.open()
    assert future.result(5) == "message, answered"
    lives.end(old)
    lives.stop(new)
    assert busy.seen.items == []
    assert lives.counts() == {"handled": 1}


def test_a_message_in_hand_at_the_fence_has_failed_even_if_not_begun() -> None:
    """Nobody waits for ever for what a life took in the moment it was given up on."""
    lives = Lives()
    hand = GatedHand(at="after append")
    busy = Busy()
    life = hand.life = lives.handler(busy, hand=hand)
    future = lives.ask("message")
    hand.gate.wait_reached()
    life.fence(GIVEN_UP)
    assert abandoned(future)
    hand.gate.open()
    lives.end(life)
    assert busy.seen.items == []
    assert lives.counts() == {"failed": 1}


def test_a_token_taken_at_the_fence_keeps_its_place() -> None:
    """What waits for a drain hears of it from the next life, behind what was before."""
    lives = Lives()
    gate = hold_taken(lives)
    old = lives.handler(print)
    lives.mailbox.put_token(Token())
    gate.wait_reached()
    lives.mailbox.put("behind")
    old.fence(GIVEN_UP)
    gate.open()
    lives.end(old)
    assert [type(raw) for _, raw in lives.mailbox.returned] == [Token]
    lives.stop(lives.handler(lambda message: message), drain=True)
    assert lives.counts() == {"handled": 1}


def test_two_lives_that_reach_for_one_message_do_not_both_get_it() -> None:
    """The one that was given up on finds it gone, and leaves."""

    class Returned(list[Any]):
        def pop(self, index: Any = -1, /) -> Any:
            if is_current(lives.all[0]):
                gate.meet()
            return super().pop(index)

    lives = Lives()
    gate = Gate("what was given back")
    lives.mailbox.returned = Returned()
    lives.mailbox.give_back("message", 0)
    busy = Busy()
    old = lives.handler(busy)
    gate.wait_reached()
    old.fence(GIVEN_UP)
    new = lives.handler(busy)
    busy.seen.wait_for(1)
    gate.open()
    lives.end(old)
    lives.stop(new)
    assert busy.seen.items == ["message"]
    assert lives.counts() == {"handled": 1}


# -- fence or start -------------------------------------------------------------------


class SlowStart(Worker):
    """Stands in `on_start` until it is let through."""

    gate: Gate
    calls: list[str]

    def __init_subclass__(cls) -> None:
        cls.gate, cls.calls = Gate("on_start"), []

    def on_start(self) -> None:
        self.gate.meet()

    def on_receive(self, message: Any) -> Any:
        self.calls.append(f"received {message}")

    def on_stop(self) -> None:
        self.calls.append("stopped")


def test_a_life_given_up_on_while_it_started_takes_no_message() -> None:
    """It comes up late, cleans up and ends, while its successor is at work (F9)."""

    class Slow(SlowStart):
        pass

    lives = Lives()
    old = lives.worker(Slow, wait=False)
    Slow.gate.wait_reached()
    old.fence(GIVEN_UP)
    busy = Busy()
    new = lives.handler(busy)
    Slow.gate.open()
    assert lives.end(old).reason == GIVEN_UP
    assert lives.ask("message").result(5) == "message"
    lives.stop(new)
    assert Slow.calls == ["stopped"]
    assert lives.counts() == {"handled": 1}


@pytest.mark.parametrize("kind", ["task", "handler"])
def test_a_life_given_up_on_before_its_thread_runs_does_nothing(kind: str) -> None:
    """A task is not begun, a message not taken: nobody waits for either any more."""
    lives = Lives()
    ran: list[str] = []
    lives.mailbox.put("message")
    life = lives.make(kind)
    life.fence(GIVEN_UP)
    if kind == "task":
        life.launch(TaskBehaviour(life, lambda: ran.append("task"), (), {}))
    else:
        life.launch(HandlerBehaviour(life, ran.append, (), {}, reply_errors=False))
    assert lives.end(life).reason == GIVEN_UP
    assert ran == []
    assert lives.counts() == {"pending": 1}


# -- stop or take ---------------------------------------------------------------------


def test_a_stop_goes_before_the_next_message() -> None:
    """The message in hand is finished, the next one waits for the next life (F43)."""
    lives = Lives()
    busy = Busy()
    life = lives.handler(busy)
    for message in (BUSY, 1, 2):
        lives.mailbox.put(message)
    busy.gate.wait_reached()
    life.ask_to_stop(Shutdown(), NEVER)
    busy.gate.open()
    assert lives.end(life).reason == Shutdown()
    assert busy.seen.items == [BUSY]
    lives.stop(lives.handler(busy), drain=True)
    assert busy.seen.items == [BUSY, 1, 2]
    assert lives.counts() == {"handled": 3}


@pytest.mark.parametrize("moment", ["taken", "in hand"])
def test_a_message_taken_before_a_stop_and_not_begun_waits(moment: str) -> None:
    """A life that is to stop begins nothing; what it has taken comes first in the next."""
    lives = Lives()
    hand = GatedHand(at="after append")
    gate = hold_taken(lives) if moment == "taken" else hand.gate
    busy = Busy()
    life = lives.handler(busy, hand=hand if moment == "in hand" else None)
    hand.life = life
    lives.mailbox.put("first")
    gate.wait_reached()
    lives.mailbox.put("second")
    life.ask_to_stop(Shutdown(), NEVER)
    gate.open()
    lives.end(life)
    assert busy.seen.items == []
    assert lives.counts() == {"pending": 2}
    lives.stop(lives.handler(busy), drain=True)
    assert busy.seen.items == ["first", "second"]


def test_a_stop_while_it_starts_ends_it_before_the_first_message() -> None:
    """The start code is finished, then `on_stop`; messages wait."""

    class Slow(SlowStart):
        pass

    lives = Lives()
    lives.mailbox.put("message")
    life = lives.worker(Slow, wait=False)
    Slow.gate.wait_reached()
    life.ask_to_stop(Shutdown("told to"), NEVER)
    Slow.gate.open()
    assert lives.end(life).reason == Shutdown("told to")
    assert Slow.calls == ["stopped"]
    assert len(lives.host.ups) == 1
    assert lives.counts() == {"pending": 1}


def test_a_stop_after_the_start_leaves_what_came_before_it_handled() -> None:
    """The other order: the message was in hand when the stop came."""

    class Quick(SlowStart):
        pass

    Quick.gate.open()
    lives = Lives()
    life = lives.worker(Quick)
    lives.ask("message").result(5)
    lives.stop(life)
    assert Quick.calls == ["received message", "stopped"]
    assert lives.counts() == {"handled": 1}


# -- drain or send --------------------------------------------------------------------


def test_a_message_put_behind_the_end_waits_for_the_next_life() -> None:
    """A sender who comes too late for a drain has its message kept, not handled."""
    lives = Lives()
    busy = Busy()
    life = lives.handler(busy)
    lives.mailbox.put(BUSY)
    busy.gate.wait_reached()
    life.ask_to_stop(Shutdown(), NEVER, drain=True)
    late = lives.ask("late")
    busy.gate.open()
    lives.end(life)
    assert not late.done()
    lives.stop(lives.handler(busy), drain=True)
    assert late.result(5) == "late"
    assert lives.counts() == {"handled": 2}


def test_the_end_of_a_life_that_ended_sooner_ends_no_other() -> None:
    """A drain that was cut short leaves its end in the queue; the next life passes it."""
    lives = Lives()
    busy = Busy()
    life = lives.handler(busy)
    for message in (BUSY, 1):
        lives.mailbox.put(message)
    busy.gate.wait_reached()
    life.ask_to_stop(Shutdown(), NEVER, drain=True)
    life.ask_to_stop(Shutdown(), NEVER)
    busy.gate.open()
    lives.end(life)
    lives.mailbox.put(2)
    new = lives.handler(busy)
    assert lives.ask(3).result(5) == 3
    lives.stop(new)
    assert busy.seen.items == [BUSY, 1, 2, 3]
    assert lives.counts() == {"handled": 4}


def test_a_drain_goes_on_past_the_end_of_an_older_drain() -> None:
    """Each life ends at its own end, with all that was queued before that."""

    class Slow(SlowStart):
        pass

    lives = Lives()
    busy = Busy()
    life = lives.handler(busy)
    lives.mailbox.put(BUSY)
    busy.gate.wait_reached()
    life.ask_to_stop(Shutdown(), NEVER, drain=True)
    lives.mailbox.put("behind the first end")
    life.ask_to_stop(Shutdown(), NEVER)
    busy.gate.open()
    lives.end(life)
    new = lives.worker(Slow, wait=False)
    Slow.gate.wait_reached()
    new.ask_to_stop(Shutdown(), NEVER, drain=True)
    Slow.gate.open()
    lives.end(new)
    assert Slow.calls == ["received behind the first end", "stopped"]
    assert lives.counts() == {"handled": 2}


def test_a_drained_task_is_not_ended_by_an_older_drain() -> None:
    """As for handlers: `receive` passes the end that was meant for a life before."""
    lives = Lives()
    gate = Gate("the task")
    seen: list[Any] = []

    def first() -> None:
        seen.append(receive())
        gate.meet()
        receive()

    old = lives.task(first)
    for message in ("a", "b"):
        lives.mailbox.put(message)
    gate.wait_reached()
    old.ask_to_stop(Shutdown(), NEVER, drain=True)
    old.ask_to_stop(Shutdown(), NEVER)
    gate.open()
    lives.end(old)
    lives.mailbox.put("c")
    lives.end(lives.task(lambda: seen.extend((receive(), receive()))))
    assert seen == ["a", "b", "c"]
    assert lives.counts() == {"handled": 3}


# -- cancel or take -------------------------------------------------------------------


def test_a_cancel_before_the_message_is_taken_is_in_time() -> None:
    """The message is let go, counted as undelivered, and the life goes on."""
    lives = Lives()
    busy = Busy()
    life = lives.handler(busy)
    lives.mailbox.put(BUSY)
    future = lives.ask("question")
    assert future.cancel()
    busy.gate.open()
    assert lives.ask("next").result(5) == "next"
    lives.stop(life)
    assert busy.seen.items == [BUSY, "next"]
    assert lives.counts() == {"handled": 2, "undelivered": 1}


def test_a_cancel_before_the_handler_begins_is_in_time() -> None:
    """In hand and not begun: the promise to answer is made first, the call after."""
    lives = Lives()
    hand = GatedHand(at="after append")
    busy = Busy()
    life = hand.life = lives.handler(busy, hand=hand)
    future = lives.ask("question")
    hand.gate.wait_reached()
    assert future.cancel()
    hand.gate.open()
    assert lives.ask("next").result(5) == "next"
    lives.stop(life)
    assert busy.seen.items == ["next"]
    assert lives.counts() == {"handled": 1, "undelivered": 1}


def test_a_cancel_and_a_fence_before_the_handler_begins_are_one_outcome() -> None:
    """The fence takes the message out; who wanted to let it go finds nothing."""
    lives = Lives()
    hand = GatedHand(at="after append")
    life = hand.life = lives.handler(print, hand=hand)
    future = lives.ask("question")
    hand.gate.wait_reached()
    assert future.cancel()
    hand.life = None  # the fence goes through
    life.fence(GIVEN_UP)
    hand.gate.open()
    lives.end(life)
    assert future.cancelled()
    assert lives.counts() == {"failed": 1}


def test_a_cancel_after_the_handler_has_begun_is_too_late() -> None:
    """The answer comes."""
    lives = Lives()
    busy = Busy()
    life = lives.handler(busy)
    future = lives.ask(BUSY)
    busy.gate.wait_reached()
    assert not future.cancel()
    busy.gate.open()
    assert future.result(5) == "done"
    lives.stop(life)
    assert lives.counts() == {"handled": 1}


# -- tasks ----------------------------------------------------------------------------


def receiving(seen: list[Any]) -> Callable[[], None]:
    def task() -> None:
        while True:
            seen.append(receive())

    return task


@pytest.mark.parametrize("moment", ["taken", "in hand"])
@pytest.mark.parametrize("how", ["stopped", "fenced"])
def test_a_message_a_task_took_and_did_not_see_is_settled_once(moment: str, how: str) -> None:
    """Stopped, it is given back; fenced, too, or it has failed if it was in hand."""
    lives = Lives()
    hand = GatedHand(at="after append")
    gate = hold_taken(lives) if moment == "taken" else hand.gate
    seen: list[Any] = []
    life = lives.task(receiving(seen), hand=hand if moment == "in hand" else None)
    hand.life = life
    future = lives.ask("message")
    gate.wait_reached()
    if how == "stopped":
        life.ask_to_stop(Shutdown(), NEVER)
    else:
        life.fence(GIVEN_UP)
    gate.open()
    lives.end(life)
    assert seen == []
    if (moment, how) == ("in hand", "fenced"):
        assert abandoned(future)
        assert lives.counts() == {"failed": 1}
    else:
        assert lives.counts() == {"pending": 1}
        lives.stop(lives.handler(lambda message: message), drain=True)
        assert future.result(5) == "message"


def test_a_task_given_up_on_cannot_answer_any_more() -> None:
    """Its asker has been told; a late reply says that there is nothing to reply to (F28)."""
    from threadsup._runtime.context import current  # noqa: PLC0415 - used in the task only

    lives = Lives()
    gate = Gate("the task")
    refused: list[BaseException] = []

    def task() -> None:
        receive()
        gate.meet()
        context = current()
        assert context is not None
        try:
            context.reply("late")
        except RuntimeError as error:
            refused.append(error)

    life = lives.task(task)
    future = lives.ask("question")
    gate.wait_reached()
    life.fence(GIVEN_UP)
    assert abandoned(future)
    gate.open()
    lives.end(life)
    assert len(refused) == 1
    assert lives.counts() == {"failed": 1}


# -- all of it ------------------------------------------------------------------------


def test_a_life_that_was_given_up_on_exits_once_all_the_same() -> None:
    """Whoever counts zombies hears when one has ended, whichever way."""

    class Hanging(Worker):
        gate = Gate("the handler")
        failures: list[str] = []  # noqa: RUF012 - one life only

        def on_receive(self, message: Any) -> Any:
            self.gate.meet()
            raise ValueError("crashed late")

        def on_failure(self, *error: Any) -> None:
            self.failures.append(error[0].__name__)

    lives = Lives()
    life: Life = lives.worker(Hanging)
    lives.mailbox.put(1)
    Hanging.gate.wait_reached()
    life.fence(GIVEN_UP)
    Hanging.gate.open()
    assert isinstance(lives.end(life).reason, Crashed)
    assert Hanging.failures == ["ValueError"]
    assert len(lives.host.ends) == 1
    assert lives.counts() == {"failed": 1}
