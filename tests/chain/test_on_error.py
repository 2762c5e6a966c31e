"""What an exception does to its item, and to everybody else: rejected, retried, a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.chain.stops import Stops
from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import run
from threadsup import (
    Abandoned,
    Backoff,
    Crashed,
    MailboxFull,
    Reject,
    Retry,
    Worker,
    WorkerExited,
    handler,
    stage,
)
from threadsup._runtime import aside

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one", "before_for_one")
PLACES = ("first", "middle", "last")

AT_ONCE = Backoff.none()
SOON = Backoff(0.001, jitter=0.0)
NEVER = Backoff(10_000.0, maximum=10_000.0, jitter=0.0)

positions = pytest.mark.parametrize("position", PLACES)
pauses = pytest.mark.parametrize("backoff", [AT_ONCE, SOON], ids=["at once", "after a pause"])


class OwnError(Exception):
    pass


class Stumbling:
    """Fails for some items so many times, and notes each attempt."""

    def __init__(self, failures: dict[Any, int]) -> None:
        self.failures = dict(failures)
        self.tried: Recorder[Any] = Recorder()
        self.error: Exception = OwnError("mine")

    def __call__(self, item: Any) -> Any:
        self.tried(item)
        if self.failures.get(item, 0) > 0:
            self.failures[item] -= 1
            raise self.error
        return item


def same(item: Any) -> Any:
    return item


def three(position: str, fn: Callable[[Any], Any], **options: Any) -> list[Any]:
    return [
        stage(fn, id=place, **options) if place == position else stage(same, id=place)
        for place in PLACES
    ]


def due_now(f: Flow, place: str) -> None:
    """Have the supervisor's thread give back what is in a retry pause, as if it were over."""
    for cell in f.chain._line(place).cells:
        with cell.aside._lock:
            cell.aside._deferred = [(0.0, *rest) for _, *rest in cell.aside._deferred]
        cell._services.post(cell.aside.take, None)


def tried(made: Stumbling, item: Any, times: int) -> None:
    """Wait until an item has been tried so often."""
    made.tried.wait_until(lambda items: items.count(item) == times, "attempt")


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Stops:
    return Stops(monkeypatch)


@pytest.fixture
def put_away(monkeypatch: pytest.MonkeyPatch) -> Recorder[Any]:
    """Record what is put away for a pause, when it has been."""
    noted: Recorder[Any] = Recorder()
    defer = aside.Aside.defer

    def noting(self: aside.Aside, raw: Any, *args: Any) -> None:
        defer(self, raw, *args)
        noted(raw)

    monkeypatch.setattr(aside.Aside, "defer", noting)
    return noted


# -- rejected -------------------------------------------------------------------------------


@positions
def test_an_exception_rejects_its_item_and_nothing_else(flow: MakeFlow, position: str) -> None:
    """The future has the user's own exception, the stage lives on (rows 145, 146)."""
    made = Stumbling({"bad": 1})
    f = flow(*three(position, made, on_error="reject"))
    futures = [f.chain.submit(item) for item in (1, "bad", 2)]
    assert futures[1].exception(5) is made.error
    assert [outcome(each) for each in futures] == [1, "OwnError: mine", 2]
    assert f.chain.drain(10)
    assert f.results.items == [1, 2]
    assert f.letters() == [("bad", ("chain", position), "failed")]
    (letter,) = f.sup.dead_letters()
    assert letter.error == "OwnError: mine"
    assert "raise self.error" in letter.traceback
    assert f.items() == {"offered": 3, "completed": 2, "failed": 1}
    assert f.chain[position].incarnation == 1


def test_a_stage_says_for_itself_what_the_chain_says_for_all(flow: MakeFlow) -> None:
    """A stage without a word of its own does as the chain says."""
    f = flow(
        stage(Stumbling({"a": 1}), id="a"),
        stage(Stumbling({"b": 1}), id="b", on_error="crash"),
        stage(Stumbling({"c": 1}), id="c", on_error=Retry(attempts=2, backoff=AT_ONCE)),
        on_error="reject",
    )
    futures = [f.chain.submit(item) for item in "abc"]
    assert [outcome(each) for each in futures] == ["OwnError: mine", "OwnError: mine", "c"]
    assert [f.chain[key].incarnation for key in "abc"] == [1, 2, 1]


@positions
@pytest.mark.parametrize("on_error", ["reject", Retry(attempts=5, backoff=AT_ONCE)])
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_is_no_exception_ends_the_worker_all_the_same(
    flow: MakeFlow, position: str, on_error: Any, kind: type[BaseException]
) -> None:
    """It is none of an item's failures: its future is told that the worker has exited (F3, F4)."""

    def leave(item: Any) -> Any:
        if item == "leave":
            raise kind(3)
        return item

    f = flow(*three(position, leave, on_error=on_error))
    caught = f.chain.submit("leave").exception(5)
    assert type(caught) is WorkerExited
    assert f.chain.submit(1).result(5) == 1
    assert f.chain[position].incarnation == 2


def test_reject_is_not_retried(flow: MakeFlow) -> None:
    """The function has said what is to become of the item."""
    made: Recorder[Any] = Recorder()

    def refuse(item: Any) -> Any:
        made(item)
        return Reject("no")

    f = flow(stage(refuse, id="a", on_error=Retry(attempts=5, backoff=AT_ONCE)))
    assert outcome(f.chain.submit(1)) == "rejected: no"
    assert len(made) == 1


# -- retried --------------------------------------------------------------------------------


@positions
@pauses
def test_an_item_is_tried_as_often_as_it_says(
    flow: MakeFlow, position: str, backoff: Backoff
) -> None:
    """One that succeeds goes on; one that does not has failed, once (rows 145, 149; F27)."""
    made = Stumbling({"hard": 2, "poison": 9})
    f = flow(*three(position, made, on_error=Retry(attempts=3, backoff=backoff)))
    futures = [f.chain.submit(item) for item in (1, "hard", "poison", 2)]
    assert [outcome(each) for each in futures] == [1, "hard", "OwnError: mine", 2]
    assert futures[2].exception() is made.error
    assert f.chain.drain(10)
    assert sorted(map(str, f.results.items)) == ["1", "2", "hard"]
    assert [made.tried.items.count(item) for item in (1, "hard", "poison", 2)] == [1, 3, 3, 1]
    assert f.letters() == [("poison", ("chain", position), "failed")]
    assert "OwnError: mine" in f.sup.dead_letters()[0].error
    assert f.items() == {"offered": 4, "completed": 3, "failed": 1}
    statistics = f.chain.statistics().stages[position]
    assert (statistics.handled, statistics.failed, statistics.retried) == (3, 1, 4)
    assert f.chain[position].incarnation == 1


def test_without_a_pause_an_item_is_tried_before_any_other(flow: MakeFlow) -> None:
    """It keeps its place, so the order stays as it is."""
    made = Stumbling({1: 2, 3: 1})
    f = flow(stage(made, id="a", on_error=Retry(attempts=3, backoff=AT_ONCE)))
    for item in range(5):
        f.chain.tell(item)
    assert f.chain.drain(10)
    assert made.tried.items == [0, 1, 1, 1, 2, 3, 3, 4]
    assert f.results.items == [0, 1, 2, 3, 4]


@positions
def test_the_pause_holds_up_nobody_else(flow: MakeFlow, position: str) -> None:
    """The worker goes on with others meanwhile, however long it is."""
    made = Stumbling({"hard": 1})
    f = flow(*three(position, made, on_error=Retry(attempts=2, backoff=NEVER)))
    hard = f.chain.submit("hard")
    assert [f.chain.submit(item).result(5) for item in range(20)] == list(range(20))
    assert not hard.done()
    assert f.items() == {"offered": 21, "completed": 20, "in_flight": 1}
    due_now(f, position)
    assert hard.result(5) == "hard"
    assert f.items() == {"offered": 21, "completed": 21}


def test_only_the_errors_it_names_are_retried(flow: MakeFlow) -> None:
    """Of another kind an error fails the item at the first attempt."""
    made = Stumbling({"os": 1, "value": 1, "sub": 1})

    def check(item: str) -> str:
        made.error = {"os": OSError("os"), "value": ValueError("v"), "sub": TimeoutError("t")}[item]
        return str(made(item))

    retry = Retry(attempts=2, backoff=AT_ONCE, on=(OSError, LookupError))
    f = flow(stage(check, id="a", on_error=retry))
    futures = [f.chain.submit(item) for item in ("os", "value", "sub")]
    assert [outcome(each) for each in futures] == ["os", "ValueError: v", "sub"]
    assert made.tried.items == ["os", "os", "value", "sub", "sub"]


@positions
def test_a_drain_waits_for_items_in_a_retry_pause(flow: MakeFlow, position: str) -> None:
    """They were accepted before it, and are not through."""
    made = Stumbling({"hard": 2})
    f = flow(*three(position, made, on_error=Retry(attempts=3, backoff=NEVER)))
    f.chain.tell("hard")
    made.tried.wait_for(1)
    f.chain.submit("behind it").result(5)
    draining = run(f.chain.drain, PATIENCE)
    for attempt in (2, 3):
        assert not draining.over
        due_now(f, position)
        tried(made, "hard", attempt)
        f.chain.submit("behind it").result(5)
    assert draining.result()
    assert "hard" in f.results.items


@positions
@pytest.mark.parametrize("how", ["close", "stop(drain=True)"])
def test_the_end_waits_for_items_in_a_retry_pause(flow: MakeFlow, position: str, how: str) -> None:
    """`close()` and a stop that drains finish them, too."""
    made = Stumbling({"hard": 2, "poison": 9})
    f = flow(*three(position, made, on_error=Retry(attempts=3, backoff=SOON)))
    futures = [f.chain.submit(item) for item in ("hard", "poison", 1)]
    if how == "close":
        f.chain.close()
        f.wait_ended()
    else:
        assert f.sup.stop(PATIENCE, drain=True).clean
    assert [outcome(each) for each in futures] == ["hard", "OwnError: mine", 1]
    assert f.items() == {"offered": 3, "completed": 2, "failed": 1}


@positions
def test_a_worker_that_is_to_finish_what_it_has_waits_for_what_it_has_put_away(
    flow: MakeFlow, position: str
) -> None:
    """Stopped behind all that is queued: an item in a retry pause is handled first."""
    made = Stumbling({"hard": 1})
    f = flow(*three(position, made, on_error=Retry(attempts=2, backoff=NEVER)))
    future = f.chain.submit("hard")
    made.tried.wait_for(1)
    f.chain.submit("behind it").result(5)
    (cell,) = f.chain._line(position).cells
    stopping = cell.request_stop(drain=True)
    f.sup.add_worker(handler(same), id="after")  # asked for behind it, and done
    assert not stopping.done()
    due_now(f, position)
    assert future.result(5) == "hard"
    assert stopping.result(5)


@positions
def test_a_stop_leaves_items_in_a_retry_pause_undelivered(flow: MakeFlow, position: str) -> None:
    """Who waits for them is told, each is a dead letter, and nothing is in flight."""
    made = Stumbling({"hard": 1, "other": 1})
    f = flow(*three(position, made, on_error=Retry(attempts=2, backoff=NEVER)))
    future = f.chain.submit("hard")
    f.chain.tell("other")
    f.chain.submit("behind them").result(5)
    report = f.sup.stop(PATIENCE)
    assert report.clean
    assert report.undelivered == 2
    assert outcome(future) == "exited"
    assert [message for message, _, _ in f.letters()] == ["hard", "other"]
    assert f.items() == {"offered": 3, "completed": 1, "failed": 2}
    assert f.chain.statistics().undelivered == 2


@positions
def test_a_restart_keeps_items_in_a_retry_pause(flow: MakeFlow, position: str) -> None:
    """And the attempts they have cost."""
    made = Stumbling({"hard": 9})
    f = flow(*three(position, made, on_error=Retry(attempts=3, backoff=NEVER)))
    future = f.chain.submit("hard")
    for attempt in (1, 2):
        tried(made, "hard", attempt)
        f.chain.submit("behind it").result(5)
        f.chain.restart_child(position, PATIENCE)
        due_now(f, position)
    assert outcome(future) == "OwnError: mine"
    assert made.tried.items.count("hard") == 3
    assert f.items() == {"offered": 3, "completed": 2, "failed": 1}


@positions
def test_who_drops_its_mailbox_drops_items_in_a_retry_pause(
    flow: MakeFlow, put_away: Recorder[Any], position: str
) -> None:
    """At a restart; a drain that waits for them has nothing to wait for then."""
    made = Stumbling({"hard": 9})
    retry = Retry(attempts=9, backoff=NEVER)
    f = flow(*three(position, made, mailbox="drop", on_error=retry))
    future = f.chain.submit("hard")
    put_away.wait_for(1)
    draining = run(f.chain.drain, PATIENCE)
    f.chain.restart_child(position, PATIENCE)
    assert outcome(future) == "exited"
    assert draining.result()
    assert f.chain.submit("next").result(5) == "next"
    assert f.chain.drain(10)
    assert f.items() == {"offered": 2, "completed": 1, "failed": 1}


def test_what_is_put_away_when_a_replica_leaves_is_another_ones(
    flow: MakeFlow, put_away: Recorder[Any]
) -> None:
    """Nothing is lost by a resize, nor the attempts it has cost; it is tried at once there."""
    made = Stumbling(dict.fromkeys(range(8), 9))
    f = flow(stage(made, id="a", workers=2, on_error=Retry(attempts=3, backoff=NEVER)))
    futures = [f.chain.submit(item) for item in range(8)]
    put_away.wait_for(8)
    f.chain.resize("a", 1, PATIENCE)
    put_away.wait_for(12)
    due_now(f, "a")
    put_away.wait_for(16)
    due_now(f, "a")
    assert [outcome(each) for each in futures] == ["OwnError: mine"] * 8
    assert all(made.tried.items.count(item) == 3 for item in range(8))


def test_an_item_that_was_cancelled_in_its_pause_is_let_go(flow: MakeFlow) -> None:
    """It was begun, so it cannot be."""
    made = Stumbling({"hard": 1})
    f = flow(stage(made, id="a", on_error=Retry(attempts=2, backoff=NEVER)))
    future = f.chain.submit("hard")
    made.tried.wait_for(1)
    f.chain.submit("behind it").result(5)
    assert not future.cancel()
    due_now(f, "a")
    assert future.result(5) == "hard"


# -- how much is put away -------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1, 4])
def test_what_is_put_away_takes_up_the_capacity(
    flow: MakeFlow, put_away: Recorder[Any], capacity: int
) -> None:
    """A stage that fails for everything refuses more than its bound and one in hand.

    Also what is back from its pause and not taken yet counts: else each round of pauses
    would let as many in again.
    """
    gates = [Gate(f"attempt {attempt}") for attempt in range(5)]
    gates[0].open()
    attempts = 0

    def fail(item: int) -> Any:
        nonlocal attempts
        if item == 0:
            attempts += 1
            gates[attempts - 1].meet()
        raise ValueError(item)

    def fill() -> int:
        """Send until that is refused; return how many were taken."""
        for taken in range(100):
            try:
                f.chain.tell(len(sent))
            except MailboxFull:
                return taken
            sent.append(None)
        raise AssertionError("it is never full")

    sent: list[None] = []
    retry = Retry(attempts=1_000, backoff=NEVER)
    f = flow(stage(fail, id="a", capacity=capacity, on_error=retry), on_full="raise")
    for count in range(1, capacity + 1):
        f.chain.tell(len(sent))
        sent.append(None)
        put_away.wait_for(count)
    assert fill() == 0
    away = capacity
    for gate in gates[1:]:
        due_now(f, "a")
        gate.wait_reached()
        fill()
        assert len(sent) <= capacity + 1
        assert f.chain.statistics().items.in_flight == len(sent)
        gate.open()
        away += len(sent)
        put_away.wait_for(away)


def test_a_sender_that_waits_is_woken_when_what_was_put_away_is_through(flow: MakeFlow) -> None:
    """The room it took is room again."""
    made = Stumbling({0: 1, 1: 1})
    f = flow(stage(made, id="a", capacity=2, on_error=Retry(attempts=2, backoff=NEVER)))
    f.chain.tell(0)
    f.chain.tell(1)
    made.tried.wait_for(2)

    def send() -> None:
        for item in (2, 3, 4):
            f.chain.tell(item, timeout=PATIENCE)

    sending = run(send)
    due_now(f, "a")
    sending.result()
    assert f.chain.drain(10)
    assert sorted(f.results.items) == [0, 1, 2, 3, 4]


# -- crashes ----------------------------------------------------------------------------------


@positions
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("max_attempts", [1, 3])
def test_a_poison_item_ends_as_a_dead_letter_and_the_chain_goes_on(
    flow: MakeFlow, position: str, strategy: Any, max_attempts: int
) -> None:
    """Under every strategy: with its traceback, its future raises, nothing else is lost."""
    made = Stumbling({"poison": 99})
    f = flow(*three(position, made, max_attempts=max_attempts), strategy=strategy)
    futures = [f.chain.submit(item) for item in (1, "poison", 2, 3)]
    assert [outcome(each) for each in futures] == [1, "OwnError: mine", 2, 3]
    assert futures[1].exception() is made.error
    assert f.chain.drain(10)
    assert f.results.items == [1, 2, 3]
    (letter,) = f.sup.dead_letters()
    assert (letter.message, letter.to) == ("poison", ("chain", position))
    assert letter.error == "OwnError: mine"
    assert "raise self.error" in letter.traceback
    assert made.tried.items.count("poison") == max_attempts
    statistics = f.chain.statistics().stages[position]
    assert (statistics.retried, statistics.failed) == (max_attempts - 1, 1)
    assert f.items() == {"offered": 4, "completed": 3, "failed": 1}
    assert all(isinstance(each, Crashed) for each in f.reasons(position, max_attempts)[:1])


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_poison_at_every_stage_at_once(flow: MakeFlow, strategy: Any, workers: int) -> None:
    """Replicas of several stages crash at the same time, again and again (F15, F48)."""

    def check(item: int, place: int) -> int:
        if item % 10 == place:
            raise ValueError(item)
        return item

    stages = [stage(check, place, id=f"s{place}", workers=workers) for place in range(3)]
    f = flow(*stages, strategy=strategy, capacity=3)
    futures = [f.chain.submit(item) for item in range(60)]
    expected = [item if item % 10 > 2 else f"ValueError: {item}" for item in range(60)]
    assert [outcome(each) for each in futures] == expected
    assert f.chain.drain(10)
    assert sorted(f.results.items) == [item for item in range(60) if item % 10 > 2]
    assert f.items() == {"offered": 60, "completed": 42, "failed": 18}


@positions
@pytest.mark.parametrize("on_error", ["reject", Retry(attempts=3, backoff=AT_ONCE)])
def test_an_item_past_its_time_limit_has_failed_however_errors_are_treated(
    flow: MakeFlow, stops: Stops, position: str, on_error: Any
) -> None:
    """It never came to an error: its worker is replaced, it is not tried again (F20, F28)."""
    gate, tried = Gate("the item that hangs"), Recorder[Any]()

    def hang(item: Any) -> Any:
        tried(item)
        if item == "hang":
            gate.meet()
            raise ValueError("late")
        return item

    f = flow(*three(position, hang, on_error=on_error, time_limit=0.15))
    futures = [f.chain.submit(item) for item in (1, "hang", 2)]
    assert [outcome(each) for each in futures] == [1, "exited", 2]
    gate.open()
    assert f.chain.drain(10)
    assert tried.items.count("hang") == 1
    stops.join_fenced()
    assert f.items() == {"offered": 3, "completed": 2, "failed": 1}
    assert isinstance(f.reasons(position)[0], Abandoned)


def test_one_given_up_on_while_it_puts_an_item_away_loses_nothing(
    flow: MakeFlow, stops: Stops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next incarnation has the item back when its pause is over."""
    gate, tried = Gate("the putting away"), Recorder[Any]()
    defer = aside.Aside.defer

    def slowly(self: aside.Aside, *args: Any) -> None:
        gate.meet()
        defer(self, *args)

    def stumble(item: Any) -> Any:
        tried(item)
        if len(tried) == 1:
            raise ValueError(item)
        return item

    monkeypatch.setattr(aside.Aside, "defer", slowly)
    retry = Retry(attempts=2, backoff=SOON)
    f = flow(stage(stumble, id="a", on_error=retry, shutdown=0.0), stage(same, id="b"))
    future = f.chain.submit("item")
    gate.wait_reached()
    restarting = stops.restart(f, "a")
    stops.wait_fenced()
    restarting.result()
    gate.open()
    assert future.result(5) == "item"
    assert f.chain.drain(10)
    assert f.items() == {"offered": 1, "completed": 1}
    assert f.chain.statistics().stages["a"].retried == 1


def test_one_given_up_on_for_good_while_it_puts_an_item_away_leaves_nobody_waiting(
    flow: MakeFlow, stops: Stops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes too late to be found is undelivered when it comes."""
    gate = Gate("the putting away")
    defer = aside.Aside.defer

    def slowly(self: aside.Aside, *args: Any) -> None:
        gate.meet()
        defer(self, *args)

    def fail(item: Any) -> Any:
        raise ValueError(item)

    monkeypatch.setattr(aside.Aside, "defer", slowly)
    retry = Retry(attempts=2, backoff=NEVER)
    f = flow(stage(fail, id="a", on_error=retry, shutdown=0.0))
    future = f.chain.submit("item")
    gate.wait_reached()
    stopping = run(f.sup.stop, PATIENCE)
    stops.wait_fenced()
    stopping.result()
    gate.open()
    assert outcome(future) == "exited"
    assert f.items() == {"offered": 1, "failed": 1}


def test_a_worker_class_may_be_retried(flow: MakeFlow) -> None:
    """It is the same instance, and `on_failure` is for what ends it."""
    told: Recorder[str] = Recorder()

    class Stumbles(Worker):
        def on_receive(self, message: Any) -> Any:
            told("tried")
            if len(told) < 3:
                raise ValueError(message)
            return message

        def on_failure(self, *args: Any) -> None:
            told("failed")

    f = flow(stage(Stumbles, id="a", on_error=Retry(attempts=3, backoff=AT_ONCE)))
    assert f.chain.submit(1).result(5) == 1
    assert told.items == ["tried"] * 3


def test_items_of_a_stream_of_replicas_that_all_stumble(flow: MakeFlow) -> None:
    """With a pause, replicas everywhere and hardly any room: each is through once."""
    made = [Stumbling({item: item % 3 for item in range(60)}) for _ in range(3)]
    stages = [
        stage(each, id=f"s{place}", workers=2, capacity=2, on_error=Retry(backoff=SOON))
        for place, each in enumerate(made)
    ]
    f = flow(*stages)
    futures = [f.chain.submit(item) for item in range(60)]
    assert [outcome(each) for each in futures] == list(range(60))
    assert f.chain.drain(10)
    assert sorted(f.results.items) == list(range(60))
    assert f.items() == {"offered": 60, "completed": 60}
    assert [f.chain.statistics().stages[f"s{place}"].retried for place in range(3)] == [60] * 3
