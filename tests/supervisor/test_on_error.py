"""What an exception does to a message of a worker, and to nobody else: rejected, tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import note_turns, run
from tests.supervisor.kinds import KINDS, Actor, Receiver, Server, declare
from threadsup import (
    Abandoned,
    Backoff,
    Breaker,
    BreakerOpen,
    Crashed,
    GenServer,
    MailboxFull,
    Rate,
    Retry,
    SpecError,
    Supervisor,
    Worker,
    WorkerExited,
    current,
    handler,
    load,
    worker_spec,
)
from threadsup._cell import Cell
from threadsup._runtime import aside
from threadsup._runtime.actor import Life
from threadsup._specs import UnhandledError
from threadsup.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import MakeSupervisor
    from threadsup import WorkerRef

AT_ONCE = Backoff.none()
MINUTE = Backoff(60.0, factor=1.0, jitter=0.0, maximum=60.0)

pauses = pytest.mark.parametrize(
    "backoff", [AT_ONCE, Backoff(0.001, jitter=0.0)], ids=["at once", "after a pause"]
)


class OwnError(Exception):
    pass


class Stumbling:
    """Fails for some messages so many times, and notes each attempt."""

    def __init__(self, **failures: int) -> None:
        self.failures = failures
        self.tried: Recorder[Any] = Recorder()
        self.error: BaseException = OwnError("mine")

    def __call__(self, message: Any) -> Any:
        self.tried(message)
        if message == "leave":
            raise SystemExit(3)
        if self.failures.get(message, 0) > 0:
            self.failures[message] -= 1
            raise self.error
        return message

    def attempts(self, message: Any) -> int:
        """Return how often a message has been tried."""
        return self.tried.items.count(message)


def numbers(ref: WorkerRef) -> dict[str, int]:
    """Return the counts of a worker that is idle; each message has one place."""
    found = ref.statistics()
    outcomes = found.handled + found.failed + found.undelivered + found.pending
    assert found.accepted == outcomes
    names = ("handled", "failed", "undelivered", "pending", "retried", "restarts")
    return {name: count for name in names if (count := getattr(found, name))}


def outcome(future: Any) -> Any:
    """Return what an ask has come to: its answer, or its error."""
    error = future.exception(PATIENCE)
    return future.result() if error is None else error


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    with ManualClock() as held:
        yield held


@pytest.fixture
def tree(clock: ManualClock, supervisor: MakeSupervisor) -> Supervisor:
    return supervisor(max_restarts=1000, backoff=Backoff.none()).start()


@pytest.fixture
def put_away(monkeypatch: pytest.MonkeyPatch) -> Recorder[Any]:
    """Record what is put away for a pause, when it has been."""
    noted: Recorder[Any] = Recorder()
    defer = aside.Aside.defer

    def noting(self: aside.Aside, raw: Any, *args: Any) -> None:
        defer(self, raw, *args)
        noted(getattr(raw, "message", raw))

    monkeypatch.setattr(aside.Aside, "defer", noting)
    return noted


# -- rejected -------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("on_ask_error", ["crash", "reply"])
def test_an_exception_fails_its_message_and_nothing_else(
    tree: Supervisor, kind: Any, on_ask_error: Any
) -> None:
    """Told or asked: who waits gets the user's own exception, and the worker goes on."""
    made = Stumbling(bad=2)
    ref = tree.add_worker(
        *declare(kind, made), id="w", on_error="reject", on_ask_error=on_ask_error
    )
    ref.tell("bad")
    assert outcome(ref.ask("bad", block=False)) is made.error
    assert ref.ask("fine") == "fine"
    letters = tree.dead_letters()
    assert [(letter.message, letter.reason) for letter in letters] == [("bad", "failed")] * 2
    assert all("raise self.error" in letter.traceback for letter in letters)
    assert numbers(ref) == {"handled": 1, "failed": 2}
    assert ref.incarnation == 1


@KINDS
@pytest.mark.parametrize("on_error", ["reject", Retry(5, AT_ONCE)])
def test_what_is_no_exception_ends_the_worker_all_the_same(
    tree: Supervisor, kind: Any, on_error: Any
) -> None:
    """It is none of a message's failures: who waits is told that the worker has exited."""
    made = Stumbling()
    ref = tree.add_worker(*declare(kind, made), on_error=on_error)
    assert type(outcome(ref.ask("leave", block=False))) is WorkerExited
    assert ref.ask("fine") == "fine"
    assert numbers(ref) == {"handled": 1, "failed": 1, "restarts": 1}


# -- tried again ----------------------------------------------------------------------------


@KINDS
@pauses
def test_a_message_is_tried_as_often_as_it_says(
    supervisor: MakeSupervisor, kind: Any, backoff: Backoff
) -> None:
    """An ask is answered by its last attempt; what has failed for good is a dead letter."""
    tree = supervisor().start()
    made = Stumbling(hard=2, poison=9)
    ref = tree.add_worker(*declare(kind, made), id="w", on_error=Retry(3, backoff))
    futures = [ref.ask(message, block=False) for message in ("easy", "hard", "poison", "last")]
    assert [outcome(each) for each in futures] == ["easy", "hard", made.error, "last"]
    assert [made.attempts(message) for message in ("easy", "hard", "poison")] == [1, 3, 3]
    assert ref.ask("fine") == "fine"
    (letter,) = tree.dead_letters()
    assert (letter.message, letter.error) == ("poison", "OwnError: mine")
    assert numbers(ref) == {"handled": 4, "failed": 1, "retried": 4}
    assert ref.incarnation == 1


@KINDS
def test_what_was_told_is_tried_again_too(tree: Supervisor, kind: Any) -> None:
    """Without a pause before any other, so the order stays as it is, backlog or not."""
    gate, made = Gate("the first"), Stumbling(b=2, d=1)

    def call(message: Any) -> Any:
        if message == "first":
            gate.meet()
        return made(message)

    ref = tree.add_worker(*declare(kind, call), on_error=Retry(3, AT_ONCE))
    ref.tell("first")
    gate.wait_reached()
    for message in "abcde":
        ref.tell(message)
    gate.open()
    assert ref.ask("last") == "last"
    assert made.tried.items == ["first", *"abbbcdde", "last"]
    assert numbers(ref) == {"handled": 7, "retried": 3}


@KINDS
def test_the_pause_holds_up_nobody(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any], kind: Any
) -> None:
    """What is in one is pending; the worker goes on with others meanwhile, in the same life."""
    made = Stumbling(hard=1)
    ref = tree.add_worker(*declare(kind, made), on_error=Retry(2, MINUTE))
    hard = ref.ask("hard", block=False)
    assert [ref.ask(n) for n in range(20)] == list(range(20))
    put_away.wait_for(1)
    assert not hard.done()
    assert numbers(ref) == {"handled": 20, "pending": 1, "retried": 1}
    assert (tree.statistics().accepted, tree.statistics().pending) == (21, 1)
    clock.advance(60.0)
    assert outcome(hard) == "hard"
    assert numbers(ref) == {"handled": 21, "retried": 1}
    assert ref.incarnation == 1


def test_only_the_errors_it_names_are_worth_another_attempt(tree: Supervisor) -> None:
    """Of another kind an error fails the message at the first one."""
    made = Stumbling(one=1, two=1)
    ref = tree.add_worker(handler(made), on_error=Retry(2, AT_ONCE, on=OSError))
    made.error = ConnectionError("passes")
    assert ref.ask("one") == "one"
    made.error = ValueError("does not")
    assert outcome(ref.ask("two", block=False)) is made.error
    assert made.tried.items == ["one", "one", "two"]


def test_a_message_in_a_pause_was_begun_and_cannot_be_cancelled(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any]
) -> None:
    """Its asker gets what it comes to."""
    made = Stumbling(hard=1)
    ref = tree.add_worker(handler(made), on_error=Retry(2, MINUTE))
    future = ref.ask("hard", block=False)
    put_away.wait_for(1)
    assert not future.cancel()
    clock.advance(60.0)
    assert outcome(future) == "hard"


def test_what_is_put_away_takes_a_place(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any]
) -> None:
    """Of a bounded mailbox: a worker that fails for everything does not gather messages."""
    made = Stumbling(a=1, b=1)
    ref = tree.add_worker(handler(made), capacity=2, on_error=Retry(2, MINUTE))
    ref.tell("a")
    ref.tell("b")
    put_away.wait_for(2)
    with pytest.raises(MailboxFull):
        ref.tell_nowait("c")
    clock.advance(60.0)
    made.tried.wait_for(4)
    assert ref.ask("c") == "c"


def test_a_member_of_a_group_has_its_own(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any]
) -> None:
    """Its siblings do as they were told."""
    made = Stumbling(hard=1)
    members = [
        worker_spec(handler(made), id="patient", on_error=Retry(2, MINUTE)),
        worker_spec(handler(made), id="plain"),
    ]
    group = tree.add_group("g", members)
    hard = group.ask("patient", "hard", block=False)
    put_away.wait_for(1)
    assert group.statistics().pending == 1
    clock.advance(60.0)
    assert outcome(hard) == "hard"
    made.failures["hard"] = 1
    assert outcome(group.ask("plain", "hard", block=False)) is made.error
    assert group.ask("plain", "fine") == "fine"
    assert [group[key].incarnation for key in group] == [2, 2]


# -- the end of a life ----------------------------------------------------------------------


@KINDS
def test_a_drain_handles_what_is_put_away_first(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any], kind: Any
) -> None:
    """A worker that is stopped behind what is queued waits for its pauses, each of them."""
    made = Stumbling(hard=2)
    ref = tree.add_worker(*declare(kind, made), on_error=Retry(3, MINUTE))
    hard = ref.ask("hard", block=False)
    stopping = ref.stop(block=False, drain=True)
    for attempt in (1, 2):
        put_away.wait_for(attempt)
        tree.add_worker(handler(len))  # asked for behind it, and done
        assert not stopping.done()
        clock.advance(60.0)
    assert outcome(hard) == "hard"
    assert stopping.result(PATIENCE)
    assert numbers(ref) == {"handled": 1, "retried": 2}


def test_an_actor_that_stops_itself_handles_what_is_put_away_first(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any]
) -> None:
    """Its stop comes behind what it was sent before, as Pykka's does."""
    made = Stumbling(hard=1)
    inner: Recorder[Any] = Recorder()

    class Stopping(Actor):
        def on_start(self) -> None:
            inner(self.actor_ref)

    ref = tree.add_worker(Stopping, made, restart="transient", on_error=Retry(2, MINUTE))
    hard = ref.ask("hard", block=False)
    put_away.wait_for(1)
    stopped = inner.items[0].stop(block=False)
    assert ref.ask("behind it") == "behind it"
    assert ref.is_alive()
    clock.advance(60.0)
    assert outcome(hard) == "hard"
    assert stopped.get(timeout=PATIENCE)
    assert ref.wait(PATIENCE) is not None


@KINDS
def test_a_restart_keeps_what_is_put_away_and_the_attempts_it_has_cost(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any], kind: Any
) -> None:
    """The next life tries it when its pause is over."""
    made = Stumbling(hard=9)
    ref = tree.add_worker(*declare(kind, made), id="w", on_error=Retry(3, MINUTE))
    hard = ref.ask("hard", block=False)
    for attempt in (1, 2):
        put_away.wait_for(attempt)
        tree.restart_child("w")
        assert numbers(ref) == {"pending": 1, "retried": attempt, "restarts": attempt}
        clock.advance(60.0)
    assert outcome(hard) is made.error
    assert made.attempts("hard") == 3
    assert numbers(ref) == {"failed": 1, "retried": 2, "restarts": 2}


@KINDS
def test_a_crash_keeps_it_too(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any], kind: Any
) -> None:
    """That of another message; by `max_attempts` a crash is an attempt like any other."""
    made = Stumbling(hard=1)
    ref = tree.add_worker(*declare(kind, made), on_error=Retry(9, MINUTE), max_attempts=2)
    hard = ref.ask("hard", block=False)
    put_away.wait_for(1)
    assert type(outcome(ref.ask("leave", block=False))) is WorkerExited
    assert made.attempts("leave") == 2
    assert ref.ask("up again") == "up again"
    made.error, made.failures["hard"] = SystemExit(3), 1
    clock.advance(60.0)
    assert type(outcome(hard)) is WorkerExited
    assert made.attempts("hard") == 2
    assert ref.ask("fine") == "fine"
    assert numbers(ref) == {"handled": 2, "failed": 2, "retried": 2, "restarts": 3}


def test_who_drops_its_mailbox_drops_what_is_put_away(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any]
) -> None:
    """At a crash; a stop that waits behind it has nothing to wait for then."""
    made = Stumbling(hard=9)
    ref = tree.add_worker(handler(made), id="w", mailbox="drop", on_error=Retry(9, MINUTE))
    hard = ref.ask("hard", block=False)
    put_away.wait_for(1)
    ref.tell("leave")
    assert type(outcome(hard)) is WorkerExited
    assert ref.ask("fine") == "fine"
    assert sorted(letter.message for letter in tree.dead_letters()) == ["hard", "leave"]
    clock.advance(60.0)
    assert ref.ask("fine") == "fine"
    assert made.attempts("hard") == 1
    assert numbers(ref) == {
        "handled": 2,
        "failed": 1,
        "undelivered": 1,
        "retried": 1,
        "restarts": 1,
    }


@KINDS
def test_the_end_leaves_it_undelivered(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any], kind: Any
) -> None:
    """Who waits for it is told, and it is a dead letter; a start by hand finds nothing."""
    made = Stumbling(hard=1, other=1)
    ref = tree.add_worker(*declare(kind, made), id="w", on_error=Retry(2, MINUTE))
    hard = ref.ask("hard", block=False)
    ref.tell("other")
    put_away.wait_for(2)
    tree.remove_child("w")
    assert type(outcome(hard)) is WorkerExited
    assert [letter.message for letter in tree.dead_letters()] == ["hard", "other"]
    assert numbers(ref) == {"undelivered": 2, "retried": 2}
    clock.advance(60.0)
    assert made.tried.items == ["hard", "other"]


def test_who_is_stopped_by_hand_keeps_it_for_its_next_start(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any]
) -> None:
    """A pause that is over meanwhile has it queued."""
    made = Stumbling(hard=1)
    ref = tree.add_worker(handler(made), id="w", on_error=Retry(2, MINUTE))
    hard = ref.ask("hard", block=False)
    put_away.wait_for(1)
    tree.stop_child("w")
    clock.advance(60.0)
    assert numbers(ref) == {"pending": 1, "retried": 1}
    tree.restart_child("w")
    assert outcome(hard) == "hard"


def test_who_comes_back_after_its_end_puts_messages_away_again(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any]
) -> None:
    """Its first end was for good, and it was started by hand since."""
    made = Stumbling(hard=1)
    ref = tree.add_worker(handler(made), id="w", restart="transient", on_error=Retry(2, MINUTE))
    assert ref.stop()
    tree.restart_child("w")
    hard = ref.ask("hard", block=False)
    put_away.wait_for(1)
    clock.advance(60.0)
    assert outcome(hard) == "hard"


def test_one_given_up_on_while_it_puts_a_message_away_loses_nothing(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next life has it back when its pause is over."""
    gate, fenced = Gate("the putting away"), Recorder[Life]()
    defer, fence = aside.Aside.defer, Life.fence

    def slowly(self: aside.Aside, *args: Any) -> None:
        gate.meet()
        defer(self, *args)

    def noting(self: Life, *args: Any) -> None:
        fence(self, *args)
        fenced(self)

    monkeypatch.setattr(aside.Aside, "defer", slowly)
    monkeypatch.setattr(Life, "fence", noting)
    tree, made = supervisor().start(), Stumbling(hard=1)
    retry = Retry(2, Backoff(0.001, jitter=0.0))
    ref = tree.add_worker(handler(made), id="w", on_error=retry, shutdown=0.0)
    hard = ref.ask("hard", block=False)
    gate.wait_reached()
    restarting = run(tree.restart_child, "w")
    fenced.wait_for(1)
    restarting.result()
    gate.open()
    assert outcome(hard) == "hard"
    (zombie,) = fenced.items
    assert zombie.thread is not None
    zombie.thread.join(PATIENCE)
    tree.add_worker(handler(len))  # heard of behind its end
    assert numbers(ref) == {"handled": 1, "retried": 1, "restarts": 1}


def test_a_message_past_its_time_limit_has_failed_however_errors_are_treated(
    supervisor: MakeSupervisor,
) -> None:
    """It never came to an error: its worker is replaced, it is not tried again."""
    gate, tree = Gate("the message that hangs"), supervisor().start()
    made, exits = Stumbling(hard=1), Recorder[Any]()

    def call(message: Any) -> Any:
        made(message)
        if message == "hang":
            gate.meet()
        return message

    ref = tree.add_worker(handler(call), on_error=Retry(3, AT_ONCE), time_limit=0.1)
    ref.monitor(exits)
    try:
        assert type(outcome(ref.ask("hang", block=False))) is WorkerExited
        assert ref.ask("hard") == "hard"
        assert made.tried.items == ["hang", "hard", "hard"]
        assert type(exits.wait_for(1)[0].reason) is Abandoned
    finally:
        gate.open()


def test_messages_of_many_senders_over_many_lives_are_through_once(
    supervisor: MakeSupervisor,
) -> None:
    """With hardly any room, pauses, crashes and restarts by hand."""
    tree = supervisor(max_restarts=1000, backoff=AT_ONCE).start()
    done: Recorder[Any] = Recorder()
    left = {number: number % 3 for number in range(90)}

    def stumble(number: int) -> int:
        if left[number]:
            left[number] -= 1
            raise SystemExit(3) if number % 10 == 1 else OwnError(number)
        done(number)
        return number

    ref = tree.add_worker(
        handler(stumble),
        id="w",
        capacity=4,
        on_error=Retry(9, Backoff(0.001, jitter=0.0)),
        max_attempts=9,
    )

    def send(first: int) -> None:
        for number in range(first, 90, 3):
            ref.tell(number)

    sending = [run(send, first) for first in range(3)]
    for _ in range(3):
        tree.restart_child("w")
    for each in sending:
        each.result()
    assert sorted(done.wait_for(90)) == list(range(90))
    ref.stop(drain=True)
    found = numbers(ref)
    assert (found.pop("handled"), found.pop("retried")) == (90, 90)
    assert found.keys() == {"restarts"}


# -- beside other rules -----------------------------------------------------------------------


def test_a_breaker_counts_each_attempt(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any]
) -> None:
    """What it refuses is an error as any other: tried again, when it may be closed."""
    made = Stumbling(hard=2)
    breaker = Breaker(failures=2, reset_after=90.0)
    ref = tree.add_worker(handler(made), on_error=Retry(5, MINUTE), breaker=breaker)
    hard = ref.ask("hard", block=False)
    for count, attempts in enumerate((1, 2, 2), 1):
        put_away.wait_for(count)
        assert made.attempts("hard") == attempts
        clock.advance(60.0)
    assert outcome(hard) == "hard"
    assert made.attempts("hard") == 3


def test_where_the_breaker_is_not_worth_another_attempt_it_says_so(tree: Supervisor) -> None:
    """By the errors that it names."""
    made = Stumbling(hard=9)
    made.error = OSError("down")
    ref = tree.add_worker(
        handler(made),
        on_error=Retry(3, AT_ONCE, on=OSError),
        breaker=Breaker(failures=2, reset_after=60.0),
    )
    assert type(outcome(ref.ask("hard", block=False))) is BreakerOpen
    assert made.attempts("hard") == 2


def test_each_attempt_waits_for_its_turn(
    tree: Supervisor, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins like any other message."""
    waiting = note_turns(monkeypatch)
    made = Stumbling(hard=1)
    ref = tree.add_worker(handler(made), on_error=Retry(2, AT_ONCE), rate=Rate(1, per=60.0))
    hard = ref.ask("hard", block=False)
    waiting.wait_for(1)
    assert made.tried.items == ["hard"]
    assert numbers(ref) == {"pending": 1, "retried": 1}
    clock.advance(60.0)
    assert outcome(hard) == "hard"


# -- timers ------------------------------------------------------------------------------------


@KINDS
def test_a_message_of_a_timer_that_was_begun_is_a_message_like_any_other(
    tree: Supervisor, clock: ManualClock, put_away: Recorder[Any], kind: Any
) -> None:
    """It is tried again, by the next life if need be."""
    made = Stumbling(tick=2)

    def call(message: Any) -> Any:
        if message == "arm":
            context = current()
            assert context is not None
            context.send_after(1.0, "tick")
            return message
        return made(message)

    ref = tree.add_worker(*declare(kind, call), id="w", on_error=Retry(3, MINUTE))
    assert ref.ask("arm") == "arm"
    clock.advance(1.0)
    put_away.wait_for(1)
    clock.advance(60.0)
    put_away.wait_for(2)
    tree.restart_child("w")
    clock.advance(60.0)
    assert made.tried.wait_for(3) == ["tick"] * 3
    assert ref.ask("last") == "last"
    assert numbers(ref) == {"handled": 3, "retried": 2, "restarts": 1}


# -- servers and actors ------------------------------------------------------------------------


def test_whatever_callback_a_message_goes_to_it_is_tried_again(tree: Supervisor) -> None:
    """A call, a cast, and what is told."""
    made = Stumbling(call=1, cast=1, told=1)
    ref = tree.add_worker(Server, made, on_error=Retry(2, AT_ONCE))
    ref.tell("told")
    ref.cast("cast")
    assert ref.call("call") == "call"
    assert made.tried.items == ["told", "told", "cast", "cast", "call", "call"]
    assert numbers(ref) == {"handled": 3, "retried": 3}


def test_a_request_that_a_server_does_not_know_is_not_tried_again(tree: Supervisor) -> None:
    """Nothing handles it, however often."""
    ref = tree.add_worker(Server, Stumbling(), on_error=Retry(3, AT_ONCE))
    assert type(outcome(ref.ask("unknown", block=False))) is UnhandledError
    assert numbers(ref) == {"failed": 1}


class Desk(GenServer):
    """Defers its answers, and fails at the first attempt of each request."""

    def init(self, noted: Recorder[Any]) -> None:
        self.noted = noted
        self.seen: set[Any] = set()

    def handle_call(self, request: Any) -> None:
        token = self.defer()
        self.continue_with((request, token))
        if request not in self.seen:
            self.seen.add(request)
            raise OwnError(request)

    def handle_continue(self, term: Any) -> None:
        request, token = term
        self.noted(request)
        self.reply(token, f"late {request}")


def test_what_a_failed_attempt_has_put_off_is_not_done(tree: Supervisor) -> None:
    """The attempt that succeeds puts it off again, and its token is the one that counts."""
    noted: Recorder[Any] = Recorder()
    ref = tree.add_worker(Desk, noted, on_error=Retry(2, AT_ONCE))
    assert ref.ask("one") == "late one"
    assert ref.ask("two") == "late two"
    assert noted.items == ["one", "two"]


class Idler(GenServer):
    """Fails when nothing has come, or at what it has put off."""

    def handle_call(self, request: Any) -> Any:
        if request == "idle":
            self.timeout = 0.0
        else:
            self.continue_with(request)
        return request

    def handle_timeout(self) -> None:
        raise OwnError("idle")

    def handle_continue(self, term: Any) -> None:
        raise OwnError(term)


@pytest.mark.parametrize("request_", ["idle", "continue"])
@pytest.mark.parametrize("on_error", ["reject", Retry(3, AT_ONCE)])
def test_what_is_no_message_crashes_a_server(
    supervisor: MakeSupervisor, request_: str, on_error: Any
) -> None:
    """There is nobody whose message would have failed."""
    ends: Recorder[Any] = Recorder()
    tree = supervisor().start()
    ref = tree.add_worker(Idler, on_error=on_error)
    ref.monitor(ends)
    assert ref.ask(request_) == request_
    (end,) = ends.wait_for(1)
    assert type(end.reason) is Crashed
    tree.add_worker(handler(len))  # asked for behind the restart, and done
    assert ref.incarnation == 2


class Reading(Actor):
    """Has an attribute that is computed."""

    @property
    def computed(self) -> Any:
        return self.call("computed")


def test_what_a_proxy_calls_or_reads_is_tried_again(tree: Supervisor) -> None:
    """These are messages, too."""
    made = Stumbling(fetched=1, computed=1)
    ref = tree.add_worker(Reading, made, on_error=Retry(2, AT_ONCE))
    actor: Any = ref.proxy()
    assert actor.fetch("fetched").get(timeout=PATIENCE) == "fetched"
    assert actor.computed.get(timeout=PATIENCE) == "computed"
    assert made.tried.items == ["fetched", "fetched", "computed", "computed"]
    assert numbers(ref) == {"handled": 2, "retried": 2}


def test_it_is_the_same_instance_that_tries_again(tree: Supervisor) -> None:
    """`on_failure` is for what ends it."""
    told: Recorder[Any] = Recorder()

    class Stumbles(Worker):
        def on_receive(self, message: Any) -> Any:
            told(id(self))
            if len(told) < 3:
                raise OwnError(message)
            return message

        def on_failure(self, *args: Any) -> None:
            told("failed")

    ref = tree.add_worker(Stumbles, on_error=Retry(3, AT_ONCE))
    assert ref.ask(1) == 1
    assert len(set(told.items)) == 1


# -- how it is said ------------------------------------------------------------------------------


def test_who_has_no_rules_pays_for_none(tree: Supervisor) -> None:
    """It is the plain worker, and its errors are crashes."""
    ref = tree.add_worker(handler(len), on_error="crash", rate=None, breaker=None)
    assert type(ref._keeper) is Cell


@pytest.mark.parametrize("on_error", ["reject", Retry()])
def test_a_task_has_no_messages_that_could_fail(on_error: Any) -> None:
    """It is refused at once, with what to do instead."""
    with pytest.raises(SpecError, match=r"on_error: must be left out.*put a Retry around what"):
        worker_spec(print, on_error=on_error)
    assert worker_spec(print, on_error="crash").on_error == "crash"


@pytest.mark.parametrize("on_error", ["retry", None, 3, Backoff()])
def test_what_is_none_is_refused(on_error: Any) -> None:
    """A word, or a rule."""
    with pytest.raises(SpecError, match="on_error: must be 'crash', 'reject' or a Retry"):
        worker_spec(handler(print), on_error=on_error)


def test_a_file_may_say_so(tmp_path: Path, supervisor: MakeSupervisor) -> None:
    """For a standalone worker and for a member of a group."""
    (tmp_path / "tree.toml").write_text(
        f"""
        [supervisor]
        name = "of retries"
        [[worker]]
        id = "w"
        target = "{__name__}:Failing"
        on_error = {{ attempts = 2, backoff = {{ initial = 0 }}, on = ["OSError"] }}
        [[group]]
        id = "g"
        [[group.worker]]
        id = "m"
        target = "{__name__}:Failing"
        on_error = "reject"
        """
    )
    spec = load(tmp_path / "tree.toml", allow=(__name__.partition(".")[0],))
    worker, group = spec.children
    assert worker.on_error == Retry(2, Backoff(0), on=OSError)  # type: ignore[union-attr]
    assert group.members[0].on_error == "reject"  # type: ignore[union-attr]
    with Supervisor.from_spec(spec) as tree:
        refs = (tree.worker("w"), tree.group("g")["m"])
        assert [type(outcome(ref.ask(1, block=False))) for ref in refs] == [OSError, OSError]
        assert [numbers(ref) for ref in refs] == [{"failed": 1, "retried": 1}, {"failed": 1}]


class Failing(Receiver):
    """Fails at every message."""

    def __init__(self) -> None:
        super().__init__(self.fail)

    def fail(self, message: Any) -> Any:
        raise OSError(message)
