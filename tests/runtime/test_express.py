"""Messages taken together: handled, counted and ended as if one by one.

A handler that stands at a message with others behind it has, mostly, taken these already.
"""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate, ManualClock, Recorder
from tests.runtime.forcing import note_idle
from tests.runtime.lives import NEVER, Lives
from threadsup._errors import MailboxFull, WorkerExited
from threadsup._exits import Abandoned, Crashed, Normal, Shutdown
from threadsup._runtime import express, serving
from threadsup._runtime.mailbox import Mailbox, Token
from threadsup._runtime.pause import Pause
from threadsup._runtime.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.actor import Life

GIVEN_UP = Abandoned(1.0, "message")

FIRST, HELD, LAST = list(range(40)), "held", list(range(40, 80))


class Backlog:
    """A worker that has handled some of a backlog, and stands at the message `HELD`."""

    def __init__(self, then: Callable[[], Any] = lambda: None, mailbox: Any = None) -> None:
        self.lives = Lives(mailbox)
        self.gate = Gate("the held message")
        self.seen: Recorder[Any] = Recorder()
        self._then = then

    def __call__(self, message: Any) -> Any:
        self.seen(message)
        if message == HELD:
            self.gate.meet()
            return self._then()
        return message

    def begin(self, *messages: Any) -> Life:
        """Begin with these, `HELD` among them; return when it stands there."""
        for message in messages or (*FIRST, HELD, *LAST):
            self.lives.mailbox.put(message)
        life = self.lives.handler(self)
        self.gate.wait_reached()
        return life

    def finish(self) -> None:
        """Have another life handle what is left; none of it was lost or handled twice."""
        self.lives.stop(self.lives.handler(self), drain=True)
        assert self.seen.items == [*FIRST, HELD, *LAST]


def raising(error: type[BaseException]) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError, "ValueError"),
        (StopIteration, "StopIteration"),
        (GeneratorExit, "GeneratorExit"),
        (KeyboardInterrupt, "KeyboardInterrupt"),
        (SystemExit, None),
    ],
)
def test_an_end_in_the_middle_ends_that_message_alone(
    error: type[BaseException], reason: str | None
) -> None:
    """Those before it are handled, those behind it wait, in order."""
    backlog = Backlog(raising(error))
    life = backlog.begin()
    backlog.gate.open()
    end = backlog.lives.end(life).reason
    assert end == Normal() if reason is None else isinstance(end, Crashed) and end.error == reason
    assert backlog.lives.counts() == {"handled": 40, "failed": 1, "pending": 40}
    assert [letter.message for letter in backlog.lives.host.letters.items] == [HELD]
    backlog.finish()


def test_a_stop_in_the_middle_comes_before_the_next_message() -> None:
    """Taken and not begun, they are given back, in order."""
    backlog = Backlog()
    life = backlog.begin()
    life.ask_to_stop(Shutdown(), NEVER)
    backlog.lives.mailbox.put("more")
    backlog.gate.open()
    backlog.lives.end(life)
    assert backlog.lives.counts() == {"handled": 41, "pending": 41}
    backlog.lives.stop(backlog.lives.handler(backlog), drain=True)
    assert backlog.seen.items == [*FIRST, HELD, *LAST, "more"]
    assert backlog.lives.counts() == {"handled": 82}


@pytest.mark.parametrize("then", [lambda: "late", raising(ValueError)], ids=["return", "crash"])
def test_a_fence_in_the_middle_fails_what_is_in_hand_alone(then: Callable[[], Any]) -> None:
    """The counts are exact at once; the next life has the rest, while the old one stands."""
    backlog = Backlog(then)
    life = backlog.begin()
    life.fence(GIVEN_UP)
    assert backlog.lives.counts() == {"handled": 40, "failed": 1, "pending": 40}
    backlog.finish()
    backlog.gate.open()
    backlog.lives.end(life)
    assert backlog.seen.items == [*FIRST, HELD, *LAST]
    assert backlog.lives.counts() == {"handled": 80, "failed": 1}


def test_a_fence_follows_who_has_just_gone_on_to_the_next_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It had looked at the batch before that one, which is done: nothing of this one counts."""
    backlog, cut = Backlog(), Run.cut
    life = backlog.begin()
    done = life.run

    def late(run: Run) -> tuple[list[Any], list[Any]]:
        if run is life.run is done:
            life.run = backlog.lives.mailbox.run = done.next()
            life.run.batch += done.batch[len(done.made) :]
            del done.batch[len(done.made) :]
        return cut(run)

    monkeypatch.setattr(Run, "cut", late)
    life.fence(GIVEN_UP)
    assert backlog.lives.counts() == {"handled": 40, "failed": 1, "pending": 40}
    backlog.finish()
    backlog.gate.open()
    backlog.lives.end(life)
    assert backlog.lives.counts() == {"handled": 80, "failed": 1}


def test_a_fence_in_the_middle_settles_who_waits_for_what_is_in_hand_alone() -> None:
    """Those before are answered, those behind are answered by the next life."""
    backlog = Backlog()
    before = [backlog.lives.ask(item) for item in FIRST]
    held = backlog.lives.ask(HELD)
    behind = [backlog.lives.ask(item) for item in LAST]
    life = backlog.lives.handler(backlog)
    backlog.gate.wait_reached()
    life.fence(GIVEN_UP)
    assert isinstance(held.exception(5), WorkerExited)
    assert [future.result(5) for future in before] == FIRST
    assert not any(future.done() for future in behind)
    backlog.finish()
    backlog.gate.open()
    backlog.lives.end(life)
    assert [future.result(5) for future in behind] == LAST


@pytest.mark.parametrize("how", ["pause", "renew"])
def test_a_life_that_is_held_up_in_the_middle_goes_on_where_it_was(how: str) -> None:
    """Nothing is handled twice: what is done of the batch is done."""
    backlog = Backlog()
    life = backlog.begin()
    parked: Recorder[Any] = Recorder()
    pause = Pause(parked)
    if how == "pause":
        backlog.lives.mailbox.pause = pause
        life.token.notice()
    else:
        life.renew()
    backlog.gate.open()
    if how == "pause":
        parked.wait_for(1)
        assert backlog.seen.items == [*FIRST, HELD]
        assert backlog.lives.counts() == {"handled": 41, "pending": 40}
        backlog.lives.mailbox.pause = None
        pause.lift()
    backlog.lives.stop(life, drain=True)
    assert backlog.seen.items == [*FIRST, HELD, *LAST]
    assert backlog.lives.counts() == {"handled": 81}


def test_the_counts_are_exact_at_every_message() -> None:
    """Of all messages before it and behind it, and of itself, the one in hand."""
    lives, wrong = Lives(), list[Any]()

    def look(message: int) -> None:
        (life,) = lives.all
        counts, pending = life.counts(), lives.mailbox.pending
        expected = (message + 1, message, 1, 999 - message)
        if (counts["taken"], counts["handled"], life.in_hand, pending) != expected:
            wrong.append((message, counts, life.in_hand, pending))

    for message in range(1_000):
        lives.mailbox.put(message)
    lives.stop(lives.handler(look), drain=True)
    assert wrong == []
    assert lives.counts() == {"handled": 1_000}


def test_slow_messages_have_their_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """`since` says when each was begun; but for one that was taken together with the first."""
    clock = ManualClock(100.0)
    monkeypatch.setattr(express, "monotonic", clock)
    monkeypatch.setattr(serving, "monotonic", clock)
    lives, late = Lives(), list[float]()

    def slow(_: Any) -> None:
        late.append(clock.now - lives.all[0].since)
        clock.advance(1.0)

    for message in range(50):
        lives.mailbox.put(message)
    lives.stop(lives.handler(slow), drain=True)
    assert sum(seconds != 0.0 for seconds in late) <= 1


def test_an_end_in_a_backlog_is_at_its_place() -> None:
    """What was put behind it waits, though it was taken together with what was before."""
    backlog = Backlog()
    life = backlog.begin(HELD, *FIRST)
    life.ask_to_stop(Shutdown(), NEVER, drain=True)
    for message in LAST:
        backlog.lives.mailbox.put(message)
    backlog.gate.open()
    backlog.lives.end(life)
    assert backlog.seen.items == [HELD, *FIRST]
    assert backlog.lives.counts() == {"handled": 41, "pending": 40}
    backlog.lives.stop(backlog.lives.handler(backlog), drain=True)
    assert backlog.seen.items == [HELD, *FIRST, *LAST]


@pytest.mark.parametrize("how", ["stop", "fence"])
def test_tokens_in_a_backlog_keep_their_place_in_the_next_life(how: str) -> None:
    """Given back with the messages around them, and counted as little as ever."""
    backlog, tokens = Backlog(), [Token(lambda: None) for _ in range(3)]
    for message in (*FIRST, HELD):
        backlog.lives.mailbox.put(message)
    backlog.lives.mailbox.put_token(tokens[0])
    backlog.lives.mailbox.put("a")
    backlog.lives.mailbox.put_token(tokens[1])
    backlog.lives.mailbox.put("b")
    backlog.lives.mailbox.put_token(tokens[2])
    life = backlog.lives.handler(backlog)
    backlog.gate.wait_reached()
    if how == "stop":
        life.ask_to_stop(Shutdown(), NEVER)
    else:
        life.fence(GIVEN_UP)
    backlog.gate.open()
    backlog.lives.end(life)
    assert backlog.lives.mailbox.pending == 2
    assert backlog.lives.mailbox.close("over") == [tokens[0], "a", tokens[1], "b", tokens[2]]


def test_a_message_that_was_taken_back_in_a_backlog_is_let_go() -> None:
    """Its sender cancelled it before it was begun; the others are answered."""
    backlog = Backlog()
    backlog.lives.mailbox.put(HELD)
    futures = [backlog.lives.ask(item) for item in FIRST]
    life = backlog.lives.handler(backlog)
    backlog.gate.wait_reached()
    assert all(future.cancel() for future in futures[::2])
    backlog.gate.open()
    assert [future.result(5) for future in futures[1::2]] == FIRST[1::2]
    backlog.lives.stop(life)
    assert backlog.seen.items == [HELD, *FIRST[1::2]]
    assert backlog.lives.counts() == {"handled": 21, "undelivered": 20}


def test_what_is_taken_in_advance_has_its_place_in_the_mailbox() -> None:
    """A sender finds as much room as if they were taken one by one."""
    backlog = Backlog(mailbox=Mailbox("w", 100))
    life = backlog.begin(*FIRST, HELD, *LAST)
    mailbox = backlog.lives.mailbox
    assert mailbox.pending == 40
    for number in range(60):
        mailbox.put_nowait(number)
    with pytest.raises(MailboxFull):
        mailbox.put_nowait("too much")
    assert mailbox.pending == 100
    life.fence(GIVEN_UP)
    assert mailbox.pending == 100
    with pytest.raises(MailboxFull):
        mailbox.put_nowait("too much")
    backlog.gate.open()
    backlog.lives.end(life)
    backlog.lives.stop(backlog.lives.handler(backlog), drain=True)
    assert mailbox.pending == 0
    assert mailbox.room() == 100
    assert backlog.lives.counts() == {"handled": 140, "failed": 1}


class Payload:
    """Something that can be watched going away."""


def test_an_idle_life_keeps_nothing_of_a_backlog_alive() -> None:
    """Neither a message nor a result of those that were taken together."""
    lives = Lives()
    handled: Recorder[int] = Recorder()
    left: list[weakref.ref[Payload]] = []
    note_idle(lives.mailbox, lambda: handled(len(left)))

    def handle(message: Payload) -> Payload:
        result = Payload()
        left.extend((weakref.ref(message), weakref.ref(result)))
        return result

    for _ in range(200):
        lives.mailbox.put(Payload())
    life = lives.handler(handle)
    handled.wait_until(lambda noted: 400 in noted, "sleep behind the messages")
    gc.collect()  # without the GIL, who drops an object last need not be who frees it
    assert {ref() for ref in left} == {None}
    lives.stop(life)
