"""Batches: when they are complete, what a function may make of one, and what may go wrong."""

from __future__ import annotations

import threading
from queue import Empty
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.chain.stops import Stops
from tests.helpers import PATIENCE, Gate, ManualClock, Recorder
from tests.runtime.forcing import Hostile, note_sleepers, run
from threadsup import (
    Abandoned,
    Backoff,
    Batch,
    Crashed,
    Drop,
    Emit,
    MailboxFull,
    Normal,
    Rate,
    Reject,
    Retry,
    Shutdown,
    Stop,
    Worker,
    WorkerExited,
    handler,
    stage,
)
from threadsup._runtime import batching
from threadsup._runtime.mailbox import Mailbox
from threadsup._runtime.pause import Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow

HOURS = 10_000.0
"""A time for which no batch waits in these tests: something else has to close it."""

positions = pytest.mark.parametrize("position", ["first", "middle", "last"])


def same(item: Any) -> Any:
    return item


class Batches:
    """A function of batches that notes them, and stands in the first until let through."""

    def __init__(self, then: Callable[[Any], Any] = same, *, held: bool = False) -> None:
        self.seen: Recorder[list[Any]] = Recorder()
        self.gate = Gate("the batch")
        self._then = then
        if not held:
            self.gate.open()

    def __call__(self, items: list[Any]) -> list[Any]:
        self.seen(list(items))
        self.gate.meet()
        return [self._then(item) for item in items]


def batched(fn: Any, size: int, timeout: float = HOURS, **options: Any) -> Any:
    return stage(fn, id="batch", batch=Batch(size, timeout), **options)


def three(position: str, entry: Any) -> list[Any]:
    return [
        entry if place == position else stage(same, id=place)
        for place in ("first", "middle", "last")
    ]


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Stops:
    return Stops(monkeypatch)


# -- when one is complete -------------------------------------------------------------------


@positions
def test_a_batch_is_complete_by_its_size(flow: MakeFlow, position: str) -> None:
    """Never more items than that, in order; each result is that of its item (row 150)."""
    made = Batches(lambda item: item * 10)
    f = flow(*three(position, batched(made, 4)))
    futures = [f.chain.submit(item) for item in range(8)]
    assert [each.result(5) for each in futures] == [item * 10 for item in range(8)]
    assert made.seen.items == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert f.chain.drain(10)
    assert f.results.items == [item * 10 for item in range(8)]
    assert f.items() == {"offered": 8, "completed": 8}
    assert f.chain.statistics().stages["batch"].handled == 8


def test_a_batch_is_complete_by_time(flow: MakeFlow) -> None:
    """The first item of it waits so long for the others and no longer (row 150)."""
    made = Batches()
    f = flow(batched(made, 100, 0.01))
    assert f.chain.submit("alone").result(5) == "alone"
    futures = [f.chain.submit(item) for item in range(5)]
    assert [each.result(5) for each in futures] == [0, 1, 2, 3, 4]
    assert [item for batch in made.seen.items for item in batch] == ["alone", 0, 1, 2, 3, 4]


def time(monkeypatch: pytest.MonkeyPatch, f: Flow, wait: Callable[[float], None]) -> None:
    """Have the waits of the stage for the rest of a batch be seen, and made."""
    mailbox = f.chain._line("batch").cells[0].mailbox
    get = Mailbox.get

    def timed(self: Mailbox, timeout: float | None = None) -> Any:
        if self is not mailbox or timeout is None:
            return get(self, timeout)
        wait(timeout)
        if timeout == 0:
            raise Empty
        return get(self, PATIENCE)

    monkeypatch.setattr(Mailbox, "get", timed)


@pytest.mark.parametrize("rate", [None, Rate(1_000)], ids=["at any rate", "held to a rate"])
def test_those_that_come_later_do_not_put_off_the_first(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, rate: Rate | None
) -> None:
    """A batch closes by the time of its first item; the next one has a time of its own."""
    clock = ManualClock()
    monkeypatch.setattr(batching, "monotonic", clock)
    waited: Recorder[float] = Recorder()
    made = Batches()
    f = flow(batched(made, 100, 60.0, rate=rate))
    time(monkeypatch, f, waited)
    f.chain.tell(0)
    waited.wait_for(1)
    for number in (1, 2):
        clock.advance(20.0)
        f.chain.tell(number)
        waited.wait_until(lambda told: 60.0 - clock.now in told, "shorter wait")
    clock.advance(20.0)
    f.chain.tell(3)
    assert made.seen.wait_for(1) == [[0, 1, 2, 3]]


def test_a_batch_whose_time_is_up_in_a_pause_waits_for_its_end(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when that comes in the very moment in which the chain is paused."""
    gate, parked, made = Gate("the end of the time"), Recorder[Any](), Batches()
    park = Pause.park

    def parking(self: Pause, life: object) -> None:
        parked(life)
        park(self, life)

    def run_out(_: float) -> None:
        gate.meet()
        raise Empty

    monkeypatch.setattr(Pause, "park", parking)
    f = flow(batched(made, 100))
    time(monkeypatch, f, run_out)
    future = f.chain.submit(0)
    gate.wait_reached()
    f.chain.pause()
    f.sup.add_worker(handler(same), id="after")  # asked for behind the pause, and done
    gate.open()
    parked.wait_for(1)
    assert len(made.seen) == 0
    f.chain.resume()
    assert future.result(5) == 0


@pytest.mark.parametrize("how", ["drain", "close", "stop"])
@positions
def test_an_incomplete_batch_is_flushed(flow: MakeFlow, position: str, how: str) -> None:
    """Nobody waits for more that does not come (row 158)."""
    made = Batches()
    f = flow(*three(position, batched(made, 100)))
    futures = [f.chain.submit(item) for item in range(5)]
    if how == "drain":
        assert f.chain.drain(10)
    elif how == "close":
        f.chain.close()
        f.wait_ended()
    else:
        assert f.sup.stop(PATIENCE, drain=True).clean
    assert [outcome(each) for each in futures] == [0, 1, 2, 3, 4]
    assert f.results.items == [0, 1, 2, 3, 4]
    assert f.items() == {"offered": 5, "completed": 5}


def test_batches_of_batches_are_flushed_in_turn(flow: MakeFlow) -> None:
    """A drain goes from stage to stage, and closes what it finds."""
    stages = [stage(Batches(), id=f"s{size}", batch=Batch(size, HOURS)) for size in (7, 3, 5)]
    f = flow(*stages)
    for item in range(31):
        f.chain.tell(item)
    assert f.chain.drain(10)
    assert f.results.items == list(range(31))


def test_the_end_of_a_stage_flushes_those_behind_it(flow: MakeFlow) -> None:
    """`Stop` in front: what is behind is finished, the incomplete batch with it."""
    made = Batches()
    f = flow(stage(lambda item: Stop() if item == 3 else item, id="a"), batched(made, 100))
    futures = [f.chain.submit(item) for item in range(3)]
    f.chain.tell(3)
    assert [outcome(each) for each in futures] == [0, 1, 2]
    f.wait_ended()
    assert made.seen.items == [[0, 1, 2]]


@pytest.mark.parametrize("drain", [True, False])
def test_a_replica_that_leaves_leaves_no_batch_behind(flow: MakeFlow, *, drain: bool) -> None:
    """Removed by hand or with what it has first: another one goes on with it."""
    made = Batches()
    f = flow(batched(made, 3, workers=2))
    futures = [f.chain.submit(item) for item in range(4)]
    if drain:
        for cell in f.chain._line("batch").cells:
            cell.request_stop(drain=True).result(PATIENCE)
        assert [outcome(each) for each in futures] == [0, 1, 2, 3]
    else:
        f.chain.resize("batch", 1, PATIENCE)
        assert f.chain.drain(10)
        assert [outcome(each) for each in futures] == [0, 1, 2, 3]


def test_items_are_left_alone(flow: MakeFlow) -> None:
    """No item of a batch, nor its result, is compared, measured or asked anything."""
    f = flow(batched(same, 3), stage(same, id="b"))
    items = [Hostile() for _ in range(3)]
    futures = [f.chain.submit(items[0]), f.chain.submit(items[1])]
    assert futures[1].cancel()
    for item in items[1:]:
        f.chain.tell(item)
    assert futures[0].exception(5) is None
    assert f.chain.drain(10)
    assert [each is item for each, item in zip(f.results.items, items, strict=True)] == [True] * 3


# -- what comes back ------------------------------------------------------------------------


@positions
def test_results_may_be_any_markers(flow: MakeFlow, position: str) -> None:
    """Each is what it would be of a single item, the others are not touched by it."""
    results = {
        "drop": Drop("why"),
        "reject": Reject("bad"),
        "emit": Emit(1, 2),
        "generator": None,
        "value": "result",
    }

    def make(items: list[str]) -> list[Any]:
        return [
            (number for number in (3, 4)) if item == "generator" else results[item]
            for item in items
        ]

    f = flow(*three(position, batched(make, 5)))
    futures = [f.chain.submit(item) for item in results]
    assert [outcome(each) for each in futures] == [
        Drop("why"),
        "rejected: bad",
        [1, 2],
        [3, 4],
        "result",
    ]
    assert f.chain.drain(10)
    assert f.results.items == [1, 2, 3, 4, "result"]
    assert f.items() == {"offered": 5, "completed": 3, "dropped": 1, "failed": 1}


@positions
def test_stop_in_a_batch_ends_the_worker_behind_all_of_it(flow: MakeFlow, position: str) -> None:
    """What it has made of the other items goes on."""
    f = flow(
        *three(position, batched(lambda items: [Stop() if i == 1 else i for i in items], 3)),
    )
    futures = [f.chain.submit(item) for item in range(3)]
    assert [outcome(each) for each in futures] == [0, Stop(), 2]
    f.wait_ended()
    assert f.reasons("batch") == [Normal()]
    assert f.results.items == [0, 2]
    assert f.items() == {"offered": 3, "completed": 2, "dropped": 1}


@positions
@pytest.mark.parametrize("on_error", ["crash", "reject"])
@pytest.mark.parametrize(
    "wrong",
    [lambda items: items[:-1], lambda items: [*items, 1], tuple, lambda _: None, iter],
    ids=["fewer", "more", "tuple", "None", "iterator"],
)
def test_a_batch_of_the_wrong_shape_back_fails_that_batch(
    flow: MakeFlow, position: str, on_error: Any, wrong: Any
) -> None:
    """Each of its items, and nothing else; none of the results goes on (row 148; F49)."""
    made = Batches()

    def make(items: list[Any]) -> Any:
        return wrong(items) if "bad" in items else made(items)

    f = flow(*three(position, batched(make, 3, on_error=on_error)))
    futures = [f.chain.submit(item) for item in ("bad", 1, 2, 3, 4, 5)]
    found = [outcome(each) for each in futures]
    assert all("TypeError: a batch of 3 items must give" in each for each in found[:3])
    assert found[3:] == [3, 4, 5]
    assert f.chain.drain(10)
    assert f.results.items == [3, 4, 5]
    assert f.items() == {"offered": 6, "completed": 3, "failed": 3}
    assert f.letters() == [(item, ("chain", "batch"), "failed") for item in ("bad", 1, 2)]
    assert f.chain["batch"].incarnation == (2 if on_error == "crash" else 1)


# -- crashes --------------------------------------------------------------------------------


@positions
@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all"])
def test_a_crash_fails_the_items_of_that_batch(
    flow: MakeFlow, position: str, strategy: Any
) -> None:
    """Each future has the user's own exception; the next batch is handled (rows 156, 157)."""
    error = ValueError("the batch")

    def make(items: list[Any]) -> list[Any]:
        if "bad" in items:
            raise error
        return items

    f = flow(*three(position, batched(make, 2)), strategy=strategy)
    futures = [f.chain.submit(item) for item in (1, "bad", 3, 4)]
    assert [each.exception(5) for each in futures] == [error, error, None, None]
    assert f.items() == {"offered": 4, "completed": 2, "failed": 2}
    assert isinstance(f.reasons("batch")[0], Crashed)


@positions
def test_a_batch_that_crashed_is_tried_again_where_that_is_allowed(
    flow: MakeFlow, position: str
) -> None:
    """Its items are delivered again, in order, so often in all; the good ones may come through."""
    tried: list[list[Any]] = []

    def make(items: list[Any]) -> list[Any]:
        tried.append(list(items))
        if len(tried) == 1 or "poison" in items:
            raise ValueError(items)
        return items

    f = flow(*three(position, batched(make, 2, max_attempts=3)))
    futures = [f.chain.submit(item) for item in (1, 2, "poison", 4)]
    found = [outcome(each) for each in futures]
    assert found[:2] == [1, 2]
    assert all(each.startswith("ValueError") for each in found[2:])
    assert tried == [[1, 2], [1, 2], *[["poison", 4]] * 3]
    assert f.chain.drain(10)
    assert f.items() == {"offered": 4, "completed": 2, "failed": 2}
    assert f.chain.statistics().stages["batch"].retried == 2 + 2 * 2


def test_a_poison_generator_in_a_batch_fails_after_its_attempts(flow: MakeFlow) -> None:
    """It is counted for itself: the others of the batch are through."""

    def poison() -> Iterator[int]:
        yield 1 // 0

    def make(items: list[Any]) -> list[Any]:
        return [poison() if item == "poison" else item for item in items]

    f = flow(batched(make, 3, 0.01, max_attempts=3), stage(same, id="b"))
    futures = [f.chain.submit(item) for item in (1, "poison", 2)]
    assert [outcome(each) for each in futures] == [
        1,
        "ZeroDivisionError: integer division or modulo by zero",
        2,
    ]
    assert f.chain.drain(10)
    assert f.items() == {"offered": 3, "completed": 2, "failed": 1}
    assert f.chain["batch"].incarnation == 4


def test_two_generators_that_crash_in_one_batch_fail_two_items(flow: MakeFlow) -> None:
    """The first of them is the worker's crash."""

    def poison() -> Iterator[int]:
        yield 1 // 0

    def make(items: list[Any]) -> list[Any]:
        return [poison() if item == 0 else item for item in items]

    f = flow(batched(make, 4), stage(same, id="b"))
    futures = [f.chain.submit(item) for item in (0, 1, 0, 2)]
    text = "ZeroDivisionError: integer division or modulo by zero"
    assert [outcome(each) for each in futures] == [text, 1, text, 2]
    assert f.chain.drain(10)
    assert f.items() == {"offered": 4, "completed": 2, "failed": 2}
    assert f.chain["batch"].incarnation == 2


def test_a_batch_that_is_retried_is_retried_item_by_item(flow: MakeFlow) -> None:
    """Each after its own pause, with others, until its own attempts are used up."""
    tried: list[list[Any]] = []

    def make(items: list[Any]) -> list[Any]:
        tried.append(list(items))
        if "poison" in items:
            raise ValueError("poison")
        return items

    retry = Retry(attempts=3, backoff=Backoff(0.001, jitter=0.0))
    f = flow(batched(make, 2, 0.01, on_error=retry))
    futures = [f.chain.submit(item) for item in ("poison", 1)]
    assert outcome(futures[0]) == "ValueError: poison"
    assert outcome(futures[1]) in {1, "ValueError: poison"}
    assert sum("poison" in items for items in tried) == 3
    assert f.chain.drain(10)
    assert f.chain["batch"].incarnation == 1


# -- in hand --------------------------------------------------------------------------------


def test_a_batch_past_its_time_limit_has_failed(flow: MakeFlow) -> None:
    """All of it, once each; the next incarnation goes on with the rest (F20, F28)."""
    made = Batches(held=True)
    f = flow(batched(made, 2, time_limit=0.15), stage(same, id="b"))
    futures = [f.chain.submit(item) for item in range(2)]
    assert [outcome(each) for each in futures] == ["exited"] * 2
    made.gate.open()
    later = [f.chain.submit(item) for item in (2, 3)]
    assert [outcome(each) for each in later] == [2, 3]
    assert f.chain.drain(10)
    assert f.results.items == [2, 3]
    assert f.items() == {"offered": 4, "completed": 2, "failed": 2}
    assert isinstance(f.reasons("batch")[0], Abandoned)


def test_what_a_batch_came_to_is_no_batch_for_the_time_limit(flow: MakeFlow) -> None:
    """Waiting for room is not the function's time."""
    gate = Gate("the next stage")

    def hold(item: Any) -> Any:
        gate.meet()
        return item

    f = flow(batched(Batches(), 4, time_limit=0.15), stage(hold, id="b", capacity=1))
    futures = [f.chain.submit(item) for item in range(4)]
    gate.wait_reached()
    clock = f.sup.add_worker(handler(lambda _: gate.meet()), id="clock", time_limit=0.2)
    with pytest.raises(WorkerExited):  # more time than that has passed
        clock.ask(None)
    gate.open()
    assert [outcome(each) for each in futures] == [0, 1, 2, 3]
    assert f.chain["batch"].incarnation == 1


def test_a_callback_that_hangs_holds_up_no_other_item_of_its_batch_for_ever(
    flow: MakeFlow, stops: Stops
) -> None:
    """When its worker is given up on, they have failed: nobody waits for who hangs (F50)."""
    gate = Gate("the callback")
    f = flow(batched(same, 3, shutdown=0.0))
    futures = [f.chain.submit(item) for item in range(2)]
    futures[0].add_done_callback(lambda _: gate.meet())
    f.chain.tell(2)
    gate.wait_reached()
    assert f.chain.statistics().items.in_flight == 2
    stopping = run(f.sup.stop, PATIENCE)
    stops.wait_fenced()
    assert outcome(futures[1]) == "exited"
    assert len(stopping.result().abandoned) == 1
    gate.open()
    assert f.items() == {"offered": 3, "completed": 1, "failed": 2}


def test_cancelled_items_are_left_out(flow: MakeFlow) -> None:
    """They are undelivered; a batch of nothing else is no batch."""
    made = Batches()
    f = flow(batched(made, 3))
    futures = [f.chain.submit(item) for item in range(2)]
    assert futures[0].cancel()
    f.chain.tell(2)
    assert futures[1].result(5) == 1
    assert made.seen.items == [[1, 2]]
    alone = f.chain.submit("alone")
    assert alone.cancel()
    assert f.chain.drain(10)
    assert made.seen.items == [[1, 2]]
    assert f.items() == {"offered": 4, "completed": 2, "failed": 2}


def test_an_item_in_a_batch_cannot_be_cancelled(flow: MakeFlow) -> None:
    """Once the function has it, it is no longer queued."""
    made = Batches(held=True)
    f = flow(batched(made, 2))
    futures = [f.chain.submit(item) for item in range(2)]
    made.gate.wait_reached()
    assert not futures[1].cancel()
    made.gate.open()
    assert [each.result(5) for each in futures] == [0, 1]


# -- stopped, paused, held up ---------------------------------------------------------------


def test_a_restart_keeps_what_is_gathered(flow: MakeFlow, stops: Stops) -> None:
    """The next incarnation goes on with it: in order, nothing twice, no batch too large."""
    made = Batches(held=True)
    f = flow(batched(made, 3))
    futures = [f.chain.submit(item) for item in range(8)]
    made.gate.wait_reached()
    restarting = stops.restart(f, "batch")
    made.gate.open()
    restarting.result()
    assert f.chain.drain(10)
    assert [outcome(each) for each in futures] == list(range(8))
    assert f.results.items == list(range(8))
    assert made.seen.items == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert f.reasons("batch") == [Shutdown()]


def test_results_made_before_a_stop_do_not_overtake_each_other(
    flow: MakeFlow, stops: Stops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that found no room is kept, and what comes behind it is kept behind it."""
    asleep: Recorder[str] = Recorder()
    note_sleepers(monkeypatch, lambda _: asleep(threading.current_thread().name))
    gates = [Gate(f"item {number}") for number in range(6)]

    def hold(item: int) -> int:
        gates[item].meet()
        return item

    f = flow(batched(same, 6), stage(hold, id="b", capacity=1))
    for item in range(6):
        f.chain.tell(item)
    asleep.wait_until(lambda names: "threadsup-batch/0-1" in names, "wait for room")
    inlet: Any = f.chain._line("b").inlet
    pass_on = inlet.pass_on

    def make_room() -> None:
        # It has left its wait: what comes behind the one that found no room finds some.
        for gate in gates:
            gate.open()
        f.results.wait_for(2)
        pass_on()

    inlet.pass_on = make_room
    stops.restart(f, "batch").result()
    assert f.chain.drain(10)
    assert f.results.items == list(range(6))


def test_a_stop_without_a_drain_leaves_a_batch_undelivered(flow: MakeFlow) -> None:
    """What was gathered was not begun: its futures end, each is a dead letter."""
    made = Batches()
    f = flow(batched(made, 100))
    futures = [f.chain.submit(item) for item in range(3)]
    assert f.sup.stop(PATIENCE).clean
    assert [outcome(each) for each in futures] == ["exited"] * 3
    assert made.seen.items == []
    assert f.items() == {"offered": 3, "failed": 3}
    assert f.chain.statistics().undelivered == 3


def test_a_pause_keeps_what_is_gathered(flow: MakeFlow) -> None:
    """Nothing is handled until the chain goes on, be its time up or not."""
    made = Batches()
    f = flow(batched(made, 3, 0.001))
    f.chain.pause()
    f.sup.add_worker(handler(same), id="after")  # asked for behind the pause, and done
    futures = [f.chain.submit(item) for item in range(2)]
    f.chain.resume()
    assert [outcome(each) for each in futures] == [0, 1]
    f.chain.pause()
    f.sup.add_worker(handler(same), id="later")
    paused = [f.chain.submit(item) for item in range(5)]
    count = len(made.seen)
    assert not any(each.done() for each in paused)
    assert len(made.seen) == count
    f.chain.resume()
    assert [outcome(each) for each in paused] == [0, 1, 2, 3, 4]


def test_a_pause_in_the_middle_of_a_batch(flow: MakeFlow) -> None:
    """The batch in hand is finished; what comes behind it is not begun."""
    made = Batches(held=True)
    f = flow(batched(made, 2), stage(same, id="b"))
    futures = [f.chain.submit(item) for item in range(5)]
    made.gate.wait_reached()
    f.chain.pause()
    f.sup.add_worker(handler(same), id="after")
    made.gate.open()
    f.chain.resume()
    assert f.chain.drain(10)
    assert [outcome(each) for each in futures] == list(range(5))
    assert made.seen.items == [[0, 1], [2, 3], [4]]


def test_a_batch_does_not_wait_for_what_the_rate_holds_back(flow: MakeFlow) -> None:
    """When no item may begin now, those that have are handled."""
    made = Batches()
    f = flow(batched(made, 100, rate=Rate(3, per=HOURS)))
    futures = [f.chain.submit(item) for item in range(5)]
    assert [outcome(each) for each in futures[:3]] == [0, 1, 2]
    f.chain.set_rate(None, "batch")
    assert f.chain.drain(10)
    assert [outcome(each) for each in futures[3:]] == [3, 4]


def test_a_batch_in_hand_and_a_full_queue_are_all_that_is_taken_in(flow: MakeFlow) -> None:
    """Never more than the bound and what is worked on (row 131)."""
    made = Batches(held=True)
    f = flow(batched(made, 3, capacity=4), on_full="raise")
    for item in range(3):
        f.chain.tell(item)
    made.gate.wait_reached()
    for item in range(4):
        f.chain.tell(item)
    with pytest.raises(MailboxFull):
        f.chain.tell("no")
    assert f.chain.statistics().items.in_flight == 7
    made.gate.open()
    assert f.chain.drain(10)
    assert [len(batch) for batch in made.seen.items] == [3, 3, 1]
    assert f.items() == {"offered": 7, "completed": 7}


# -- kinds and places -----------------------------------------------------------------------


def test_a_worker_class_may_handle_batches(flow: MakeFlow) -> None:
    """Its `on_receive` is given the list; its hooks run once."""
    told: Recorder[Any] = Recorder()

    class Saving(Worker):
        def on_start(self) -> None:
            told("start")

        def on_receive(self, message: Any) -> Any:
            told(list(message))
            return message

        def on_stop(self) -> None:
            told("stop")

    f = flow(stage(Saving, id="batch", batch=Batch(2, HOURS)))
    futures = [f.chain.submit(item) for item in range(4)]
    assert [each.result(5) for each in futures] == [0, 1, 2, 3]
    f.sup.stop(PATIENCE)
    assert told.items == ["start", [0, 1], [2, 3], "stop"]


@pytest.mark.parametrize("routing", ["round_robin", "partition", "broadcast"])
def test_replicas_gather_batches_of_their_own(flow: MakeFlow, routing: Any) -> None:
    """And a drain flushes the one of each (row 151)."""
    made = Batches()
    key = same if routing == "partition" else None
    f = flow(batched(made, 4, workers=3, routing=routing, key=key), stage(same, id="b"))
    for item in range(40):
        f.chain.tell(item)
    assert f.chain.drain(10)
    copies = 3 if routing == "broadcast" else 1
    assert sorted(f.results.items) == sorted([*range(40)] * copies)
    assert all(batch == sorted(batch) and len(batch) <= 4 for batch in made.seen.items)
    assert f.items() == {"offered": 40, "completed": 40}


def test_a_sink_that_raises_fails_its_item_of_the_batch(flow: MakeFlow) -> None:
    """In the last stage each result is given to it, in order (rows 147, 149; F50)."""
    taken: list[Any] = []

    def sink(result: Any) -> None:
        if result == 1:
            raise OSError("no room")
        taken.append(result)

    f = flow(batched(same, 3), on_result=sink)
    futures = [f.chain.submit(item) for item in range(3)]
    assert [outcome(each) for each in futures] == [0, "OSError: no room", 2]
    assert taken == [0, 2]
    assert f.items() == {"offered": 3, "completed": 2, "failed": 1}


def test_a_stream_of_batches_is_in_order(flow: MakeFlow) -> None:
    """`map` keeps the order; what is incomplete at the end closes by time."""
    f = flow(batched(same, 8, 0.005, workers=2), stage(same, id="b", workers=2))
    assert list(f.chain.map(range(100))) == list(range(100))
