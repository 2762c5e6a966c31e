"""What was put away comes back in order, no token overtakes it, and nothing is lost."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate, ManualClock, Recorder
from tests.runtime.forcing import Hostile, run
from threadsup._runtime import aside as module
from threadsup._runtime.aside import Again, Aside
from threadsup._runtime.mailbox import WAKE, Mailbox, Token

if TYPE_CHECKING:
    from collections.abc import Callable


class Loop:
    """The supervisor's thread as far as an aside needs it; the test is that thread."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.posted: list[tuple[Callable[[Any], None], Any]] = []
        self.timers: dict[Any, float] = {}
        self.posts = 0
        self.wakeups = 0

    def post(self, call: Callable[[Any], None], argument: object) -> None:
        self.posts += 1
        self.posted.append((call, argument))

    def set_timer(self, owner: Any, key: None, number: int, at: float | None) -> None:
        if at is None:
            self.timers.pop(owner, None)
        else:
            self.timers[owner] = at

    def turn(self) -> None:
        """Call what was posted."""
        while self.posted:
            call, argument = self.posted.pop(0)
            call(argument)

    def wait(self, seconds: float) -> None:
        """Let time pass, and those timers be due that are."""
        end = self.clock.now + seconds
        self.turn()
        while self.timers and (at := min(self.timers.values())) <= end:
            self.clock.now = max(self.clock.now, at)
            self.wakeups += 1
            for owner in [owner for owner, due in self.timers.items() if due == at]:
                del self.timers[owner]
                owner.take(None)
            self.turn()
        self.clock.now = end


class Consumer:
    """The worker, as far as it takes messages and tokens; the test is its thread."""

    def __init__(self, mailbox: Mailbox, aside: Aside) -> None:
        self.mailbox = mailbox
        self.aside = aside
        self.attempts = 0
        self.passed: list[Token] = []

    def take(self) -> Any:
        """Take the next message, or token that may pass; `None` if there is none."""
        mailbox = self.mailbox
        while mailbox.returned or mailbox.qsize():
            self.attempts, raw = mailbox.take_returned() if mailbox.returned else (0, mailbox.get())
            if type(raw) is not Token:
                return raw
            mailbox.took_token()
            if raw is not WAKE and not self.aside.hold(raw):
                self.passed.append(raw)
                return raw
        return None

    def fail(self, raw: Any, seconds: float) -> None:
        """Have the message, which was taken last, tried again after a pause."""
        self.aside.defer(raw, self.attempts + 1, seconds)

    def rest(self) -> list[Any]:
        """Take whatever can be taken."""
        return list(iter(self.take, None))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    manual = ManualClock(100.0)
    monkeypatch.setattr(module, "monotonic", manual)
    return manual


@pytest.fixture
def loop(clock: ManualClock) -> Loop:
    return Loop(clock)


@pytest.fixture
def lost() -> list[Any]:
    return []


@pytest.fixture
def mailbox(lost: list[Any]) -> Mailbox:
    return Mailbox("box", 3, on_undelivered=lambda raws, why: lost.extend(raws))


@pytest.fixture
def aside(mailbox: Mailbox, loop: Loop) -> Aside:
    return Aside(mailbox, loop)


@pytest.fixture
def worker(mailbox: Mailbox, aside: Aside) -> Consumer:
    return Consumer(mailbox, aside)


# -- messages in a pause --------------------------------------------------------------


def test_a_message_comes_back_when_its_pause_is_over(
    aside: Aside, worker: Consumer, loop: Loop
) -> None:
    """Before what is queued, with its attempts; one timer, one wake-up, none after."""
    worker.mailbox.put("next")
    aside.defer("again", 2, 5.0)
    assert (aside.deferred, aside.away) == (1, 1)
    loop.wait(4.0)
    assert not worker.mailbox.returned
    loop.wait(1.0)
    assert (aside.deferred, aside.away) == (0, 0)
    assert worker.take() == "again"
    assert worker.attempts == 2
    assert worker.take() == "next"
    loop.wait(1_000.0)
    assert (loop.wakeups, loop.posts, loop.timers) == (1, 1, {})


def test_only_a_pause_that_ends_sooner_than_all_others_sets_the_timer_anew(
    aside: Aside, worker: Consumer, loop: Loop
) -> None:
    """The supervisor is posted to for that, and for no message besides."""
    for message, seconds in [("b", 5.0), ("c", 6.0), ("a", 1.0), ("d", 7.0), ("e", 1.0)]:
        aside.defer(message, 1, seconds)
    loop.turn()
    assert (loop.posts, loop.timers) == (2, {aside: 101.0})
    loop.wait(1.0)
    assert worker.rest() == ["a", "e"]
    assert loop.timers == {aside: 105.0}
    loop.wait(10.0)
    assert worker.rest() == ["b", "c", "d"]
    assert (loop.posts, loop.wakeups) == (2, 4)


def test_those_that_are_due_at_once_come_back_in_the_order_of_their_pauses(
    aside: Aside, worker: Consumer, loop: Loop, clock: ManualClock
) -> None:
    """The timer was late: whose pause ended first is first, equals are as they went."""
    aside.defer("late", 1, 3.0)
    aside.defer("one", 1, 2.0)
    aside.defer("two", 1, 2.0)
    aside.defer("early", 1, 1.0)
    loop.turn()
    clock.advance(10.0)
    aside.take(None)
    assert worker.rest() == ["early", "one", "two", "late"]


def test_those_that_come_back_do_not_overtake_each_other(
    aside: Aside, worker: Consumer, loop: Loop
) -> None:
    """Who was due first is before who was due later, both are before the queue."""
    worker.mailbox.put("queued")
    aside.defer("first", 1, 1.0)
    aside.defer("second", 1, 2.0)
    loop.wait(1.0)
    loop.wait(1.0)
    assert worker.rest() == ["first", "second", "queued"]


def test_a_pause_of_nothing_waits_for_nobody(aside: Aside, worker: Consumer, loop: Loop) -> None:
    """The supervisor's thread gives it back as soon as it can."""
    aside.defer("again", 1, 0.0)
    loop.wait(0.0)
    assert worker.take() == "again"


def test_what_is_put_away_takes_a_place(
    aside: Aside, mailbox: Mailbox, worker: Consumer, loop: Loop
) -> None:
    """Senders find that much less room, until it is back and taken again."""
    aside.defer("a", 1, 1.0)
    aside.defer("b", 1, 2.0)
    assert mailbox.offer("c")
    assert not mailbox.offer("d")
    loop.wait(1.0)
    assert not mailbox.offer("d")
    assert worker.take() == "a"
    assert mailbox.offer("d")
    loop.wait(1.0)
    assert worker.rest() == ["b", "c", "d"]
    assert [mailbox.offer(number) for number in range(4)] == [True, True, True, False]


def test_payloads_are_left_alone(aside: Aside, worker: Consumer, loop: Loop) -> None:
    """Not even for the order of two that are due at once."""
    first, second = Hostile(), Hostile()
    for message in (first, second):
        aside.defer(message, 1, 1.0)
    loop.wait(1.0)
    assert worker.take() is first
    assert worker.take() is second
    aside.defer(first, 1, 1.0)
    assert aside.clear()[0] is first


# -- numbers --------------------------------------------------------------------------


def test_attempts_remember_what_they_are_attempts_of(aside: Aside) -> None:
    """However they are counted on, they are numbers like any other."""
    tried = Again.of(2, 7, aside)
    for more in (tried + 1, 1 + tried):
        assert type(more) is Again
        assert (more, more.number, more.home) == (3, 7, aside)
    assert tried < 3
    assert tried == 2
    assert {2: "two"}[tried] == "two"


def test_a_number_of_another_place_means_nothing_here(
    aside: Aside, worker: Consumer, loop: Loop
) -> None:
    """A message that was away from one replica and moved to another is a new one there."""
    aside.defer("mine", 1, 5.0)
    other = Aside(Mailbox(), loop)
    assert aside.put(Again.of(1, 1, other)) == 2
    assert aside.away == 2


# -- tokens ---------------------------------------------------------------------------


def test_a_token_passes_where_nothing_is_away(aside: Aside, worker: Consumer) -> None:
    """Nothing is remembered of it."""
    token = Token()
    assert not aside.hold(token)
    assert aside.clear() == []


def test_a_token_waits_for_what_is_away_and_comes_behind_it(
    aside: Aside, worker: Consumer, loop: Loop
) -> None:
    """Behind all of it, before what is queued; what came back earlier has not to wait."""
    token = Token()
    aside.defer("a", 1, 1.0)
    number = aside.put()
    worker.mailbox.put_token(token)
    worker.mailbox.put("next")
    assert worker.take() == "next"
    loop.wait(1.0)
    assert worker.take() == "a"
    worker.mailbox.put("later")
    aside.remove(number)
    assert worker.rest() == [token, "later"]


def test_tokens_keep_their_order(aside: Aside, worker: Consumer, loop: Loop) -> None:
    """Also where one waits for more than the other."""
    one, two, three = Token(), Token(), Token()
    aside.defer("a", 1, 1.0)
    for token in (one, two):
        worker.mailbox.put_token(token)
    assert worker.take() is None
    aside.defer("b", 1, 2.0)
    worker.mailbox.put_token(three)
    assert worker.take() is None
    loop.wait(1.0)
    assert worker.rest() == ["a", one, two]
    loop.wait(1.0)
    assert worker.rest() == ["b", three]


def test_a_token_that_was_let_go_and_waits_again_waits_for_no_later_one(
    aside: Aside, worker: Consumer, loop: Loop
) -> None:
    """It has come after it this time; its own things are back first all the same."""
    one, two = Token(), Token()
    worker.mailbox.put("a")
    worker.mailbox.put_token(one)
    worker.fail(worker.take(), 1.0)
    assert worker.take() is None
    aside.defer("b", 1, 9.0)
    worker.mailbox.put_token(two)
    assert worker.take() is None
    loop.wait(1.0)
    assert worker.take() == "a"
    worker.fail("a", 1.0)
    assert worker.take() is None
    loop.wait(1.0)
    assert worker.rest() == ["a", one]
    loop.wait(9.0)
    assert worker.rest() == ["b", two]


def test_what_went_away_later_holds_up_no_token(aside: Aside, worker: Consumer, loop: Loop) -> None:
    """It was behind it in the queue."""
    token = Token()
    aside.defer("before", 1, 1.0)
    worker.mailbox.put_token(token)
    assert worker.take() is None
    aside.defer("behind", 1, 1.5)
    aside.put()
    loop.wait(1.0)
    assert worker.rest() == ["before", token]


def test_what_goes_away_again_is_waited_for_again(
    aside: Aside, worker: Consumer, loop: Loop
) -> None:
    """Through all its attempts; and then not for those that came after the token."""
    token = Token()
    worker.mailbox.put("before")
    worker.mailbox.put_token(token)
    worker.fail(worker.take(), 1.0)
    assert worker.take() is None
    worker.mailbox.put("behind")
    for attempts in range(2, 5):
        assert worker.take() == "behind"
        worker.fail("behind", 1.0)  # always something else is away
        loop.wait(1.0)
        assert worker.take() == "before"
        assert worker.attempts == attempts - 1
        worker.fail("before", 1.0)
    assert worker.take() == "behind"
    worker.fail("behind", 1.5)
    loop.wait(1.0)
    assert worker.take() == "before"
    assert worker.take() is token
    assert aside.away == 1


def test_an_emission_of_what_was_away_is_still_that(
    aside: Aside, worker: Consumer, loop: Loop
) -> None:
    """Set aside in the middle of it, a message keeps the number it had in its pauses."""
    token = Token()
    worker.mailbox.put("before")
    worker.mailbox.put_token(token)
    worker.fail(worker.take(), 1.0)
    assert worker.take() is None
    loop.wait(1.0)
    assert worker.take() == "before"
    number = aside.put(worker.attempts)
    assert worker.take() is None
    aside.remove(number)
    assert worker.take() is token


def test_what_comes_back_at_once_is_not_overtaken_by_a_token_let_go(
    aside: Aside, worker: Consumer, loop: Loop
) -> None:
    """The token is back in the mailbox when the message, failed again, comes back, too."""
    token = Token()
    worker.mailbox.put("before")
    worker.mailbox.put_token(token)
    worker.fail(worker.take(), 1.0)
    assert worker.take() is None
    aside.defer("behind", 1, 1.0)
    loop.wait(1.0)
    assert worker.take() == "before"
    worker.fail("before", 0.0)
    loop.wait(0.0)
    assert worker.rest() == ["before", token, "behind"]


def test_a_token_does_not_overtake_what_has_just_come_back(
    aside: Aside, worker: Consumer, mailbox: Mailbox, loop: Loop
) -> None:
    """The consumer found nothing that was given back, slept, and took the token then."""
    token = Token()
    aside.defer("before", 1, 1.0)
    mailbox.put_token(token)
    assert mailbox.get() is token
    mailbox.took_token()
    loop.wait(1.0)
    assert aside.hold(token)
    assert worker.rest() == ["before", token]


def test_counts_are_right_after_all_that(aside: Aside, worker: Consumer, loop: Loop) -> None:
    """Tokens that were held and came back count for no messages, and none is left."""
    mailbox = worker.mailbox
    for turn in range(3):
        mailbox.put_nowait(turn)
        mailbox.put_token(Token())
        worker.fail(worker.take(), 1.0)
    assert worker.take() is None
    assert (mailbox.pending, aside.deferred) == (0, 3)
    loop.wait(1.0)
    assert (mailbox.pending, aside.deferred) == (3, 0)
    assert len(worker.rest()) == 6
    assert (mailbox.pending, len(mailbox.tokens), mailbox.qsize()) == (0, 0, 0)


# -- the end --------------------------------------------------------------------------


def test_clearing_takes_out_everything_the_oldest_first(
    aside: Aside, worker: Consumer, mailbox: Mailbox, loop: Loop
) -> None:
    """Messages by when they first went, tokens between them; places and timer are free."""
    one, two = Token(), Token()
    aside.defer("a", 1, 9.0)
    mailbox.put_token(one)
    assert worker.take() is None
    number = aside.put()
    aside.defer("b", 1, 1.0)
    mailbox.put_token(two)
    assert worker.take() is None
    aside.defer("c", 1, 5.0)
    loop.turn()
    assert aside.clear() == ["a", one, "b", two, "c"]
    assert (aside.deferred, aside.away) == (0, 0)
    loop.turn()
    assert loop.timers == {}
    assert [mailbox.offer(number) for number in range(4)] == [True, True, True, False]
    aside.remove(number)
    assert aside.clear() == []
    assert worker.rest() == [0, 1, 2]


def test_dropping_takes_out_the_messages_and_lets_the_tokens_go(
    aside: Aside, worker: Consumer, mailbox: Mailbox, loop: Loop
) -> None:
    """It keeps what is put away after that; a token still waits for what is away elsewhere."""
    one, two = Token(), Token()
    assert aside.drop() == []
    aside.defer("a", 1, 9.0)
    mailbox.put_token(one)
    assert worker.take() is None
    number = aside.put()
    aside.defer("b", 1, 1.0)
    mailbox.put_token(two)
    assert worker.take() is None
    assert aside.drop() == ["a", "b"]
    assert (aside.deferred, aside.away) == (0, 1)
    loop.turn()
    assert loop.timers == {}
    assert worker.take() is one
    assert worker.take() is None
    aside.remove(number)
    assert worker.take() is two
    assert [mailbox.offer(number) for number in range(4)] == [True, True, True, False]
    aside.defer("c", 1, 1.0)
    loop.wait(1.0)
    assert worker.take() == "c"


def test_a_token_that_is_let_go_by_a_drop_into_a_closed_mailbox_is_lost(
    aside: Aside, worker: Consumer, mailbox: Mailbox, lost: list[Any]
) -> None:
    """As everything that has nowhere to go."""
    token = Token()
    aside.defer("a", 1, 9.0)
    mailbox.put_token(token)
    assert worker.take() is None
    mailbox.close("over")
    assert aside.drop() == ["a"]
    assert lost == [token]


def test_after_clearing_what_is_put_away_goes_back(
    aside: Aside, mailbox: Mailbox, worker: Consumer, loop: Loop, lost: list[Any]
) -> None:
    """To the mailbox; if that is closed it is lost there, and counted."""
    aside.clear()
    aside.defer("a", 2, 5.0)
    assert worker.take() == "a"
    assert worker.attempts == 2
    mailbox.close("over")
    aside.defer("b", 1, 5.0)
    assert (lost, mailbox.undelivered) == (["b"], 1)
    assert (aside.deferred, loop.posts) == (0, 0)


def test_it_can_be_opened_again(aside: Aside, worker: Consumer, loop: Loop) -> None:
    """A child that had ended for good is started by hand: its messages pause again."""
    aside.clear()
    aside.open()
    aside.defer("a", 1, 1.0)
    assert worker.take() is None
    loop.wait(1.0)
    assert worker.take() == "a"


def test_what_comes_back_to_a_closed_mailbox_is_lost_with_it(
    aside: Aside, mailbox: Mailbox, worker: Consumer, loop: Loop, lost: list[Any]
) -> None:
    """Messages are counted, tokens are told, and both outside the lock."""
    token = Token()
    outside: list[bool] = []

    def lose(raws: list[Any], why: str) -> None:
        lost.extend(raws)
        outside.append(run(is_free, aside).result())

    mailbox.on_undelivered = lose
    aside.defer("a", 1, 1.0)
    mailbox.put_token(token)
    assert worker.take() is None
    mailbox.close("over")
    loop.wait(1.0)
    assert lost == ["a", token]
    assert mailbox.undelivered == 1
    assert outside == [True, True]
    assert aside.clear() == []


def is_free(aside: Aside) -> bool:
    """Return whether anybody could get the lock."""
    got = aside._lock.acquire(blocking=False)
    if got:
        aside._lock.release()
    return got


# -- the races ------------------------------------------------------------------------


class Door:
    """The lock of an aside, before which every thread but the test's stands at a gate."""

    def __init__(self, aside: Aside) -> None:
        self.gate = Gate("before the lock of the aside")
        self._lock: Any = aside._lock
        aside._lock = self  # type: ignore[assignment]

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            self.gate.meet()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def test_clearing_before_the_timer_looks_gets_the_message(
    aside: Aside, worker: Consumer, loop: Loop, clock: ManualClock
) -> None:
    """The timer, at the door, finds nothing then, and gives nothing back."""
    aside.defer("a", 1, 1.0)
    loop.turn()
    clock.advance(1.0)
    door = Door(aside)
    looking = run(aside.take, None)
    door.gate.wait_reached()
    assert aside.clear() == ["a"]
    door.gate.open()
    looking.result()
    assert worker.take() is None
    assert loop.timers == {}


def test_clearing_after_the_timer_has_looked_finds_nothing(
    aside: Aside, mailbox: Mailbox, loop: Loop, clock: ManualClock
) -> None:
    """The message is in the mailbox, whose closer has it."""
    aside.defer("a", 1, 1.0)
    loop.turn()
    clock.advance(1.0)
    door = Door(aside)
    clearing = run(aside.clear)
    door.gate.wait_reached()
    aside.take(None)
    door.gate.open()
    assert clearing.result() == []
    assert mailbox.close("over") == ["a"]


def test_a_message_put_away_while_all_is_cleared_is_not_left_behind(
    aside: Aside, mailbox: Mailbox, lost: list[Any], loop: Loop
) -> None:
    """The worker, at the door, finds it closed, and the mailbox too: lost, and counted."""
    door = Door(aside)
    deferring = run(aside.defer, "a", 1, 1.0)
    door.gate.wait_reached()
    mailbox.close("over")
    assert aside.clear() == []
    door.gate.open()
    deferring.result()
    assert (lost, mailbox.undelivered, aside.deferred) == (["a"], 1, 0)
    assert loop.posts == 0


def test_a_token_let_go_by_another_does_not_pass_what_is_just_coming_back(
    clock: ManualClock, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread gives a message back, another removes the last thing that is away."""
    mailbox = Mailbox()
    aside = Aside(mailbox, loop)
    worker = Consumer(mailbox, aside)
    gate, token, come_back = Gate("giving back"), Token(), Mailbox.come_back

    def slow(self: Mailbox, raw: Any, attempts: int = 0, *, first: bool = False) -> bool:
        if raw == "a":
            gate.meet()
        return come_back(self, raw, attempts, first=first)

    monkeypatch.setattr(Mailbox, "come_back", slow)
    number = aside.put()
    aside.defer("a", 1, 1.0)
    mailbox.put_token(token)
    assert worker.take() is None
    clock.advance(1.0)
    giving = run(aside.take, None)
    gate.wait_reached()
    door = Door(aside)
    removing = run(aside.remove, number)
    door.gate.wait_reached()
    door.gate.open()
    assert not mailbox.returned
    gate.open()
    giving.result()
    removing.result()
    assert worker.rest() == ["a", token]


def test_a_sooner_pause_while_the_timer_is_set_is_not_slept_through(
    aside: Aside, worker: Consumer, loop: Loop, clock: ManualClock
) -> None:
    """It posts, and whoever sets the timer last sets it to what is due first."""
    aside.defer("late", 1, 9.0)
    door = Door(aside)
    arming = run(loop.turn)
    door.gate.wait_reached()
    aside.defer("soon", 1, 1.0)
    door.gate.open()
    arming.result()
    assert loop.timers == {aside: 101.0}
    loop.wait(1.0)
    assert worker.rest() == ["soon"]
    assert loop.timers == {aside: 109.0}


def test_many_threads_lose_nothing(loop: Loop, clock: ManualClock) -> None:
    """Some put away, one gives back, one clears in between: each message is somewhere once."""
    undelivered: Recorder[list[Any]] = Recorder()
    mailbox = Mailbox(on_undelivered=lambda raws, why: undelivered(raws))
    aside = Aside(mailbox, loop)

    def work(number: int) -> None:
        for turn in range(200):
            aside.defer((number, turn), 1, 0.0)

    workers = [run(work, number) for number in range(4)]
    for _ in range(50):
        aside.take(None)
    seen = mailbox.close("over")
    seen += aside.clear()
    for each in workers:
        each.result()
    seen += [raw for raws in undelivered.items for raw in raws]
    assert sorted(seen) == [(number, turn) for number in range(4) for turn in range(200)]
    assert (aside.deferred, aside.away, mailbox.pending) == (0, 0, 0)
