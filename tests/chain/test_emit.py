"""`Emit` and generators: one item that becomes several, and the one outcome it has."""

from __future__ import annotations

import threading
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.chain.stops import Stops
from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import Hostile, note_sleepers, run
from threadsup import (
    Abandoned,
    Backoff,
    Crashed,
    Drop,
    Emit,
    Normal,
    Reject,
    Retry,
    Shutdown,
    Stop,
    Worker,
    handler,
    stage,
)
from threadsup._cell import Cell
from threadsup._policy.protocol import Overdue
from threadsup._runtime.aside import Aside
from threadsup._runtime.outlet import Outlet
from threadsup._runtime.ticket import CREDIT, GIVEN_BACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chain.conftest import MakeFlow

PLACES = ("first", "middle", "last")
AT_ONCE = Retry(attempts=3, backoff=Backoff.none())

positions = pytest.mark.parametrize("position", PLACES)


def same(item: Any) -> Any:
    return item


def three(position: str, fn: Callable[[Any], Any], **options: Any) -> list[Any]:
    """Return three stages, `fn` at the position and the others handing on what they get."""
    return [
        stage(fn, id=place, **options) if place == position else stage(same, id=place)
        for place in PLACES
    ]


def emitted(item: int) -> Emit:
    return Emit(*range(item))


def generated(item: int) -> Iterator[int]:
    yield from range(item)


class Generating(Worker):
    def on_receive(self, message: Any) -> Any:
        yield from range(message)


makers = pytest.mark.parametrize("maker", [emitted, generated, Generating])


# -- several for one ----------------------------------------------------------------------


@positions
@makers
def test_one_item_becomes_several_that_go_on_in_order(
    flow: MakeFlow, position: str, maker: Any
) -> None:
    """Each of them reaches the sink; the item is one item all the way."""
    f = flow(*three(position, maker))
    for number in (2, 3, 1):
        f.chain.tell(number)
    assert f.chain.drain(10)
    assert f.results.items == [0, 1, 0, 1, 2, 0]
    assert f.items() == {"offered": 3, "completed": 3}
    assert f.chain.statistics().stages[position].handled == 3


@positions
@makers
def test_the_future_of_one_that_became_several_holds_a_list(
    flow: MakeFlow, position: str, maker: Any
) -> None:
    """In order, also of one value, and of none; what is told meanwhile is nobody's."""
    f = flow(*three(position, maker))
    first = f.chain.submit(4)
    f.chain.tell(2)
    one, none = f.chain.submit(1), f.chain.submit(0)
    assert [each.result(5) for each in (first, one, none)] == [[0, 1, 2, 3], [0], []]
    assert f.chain.drain(10)
    assert f.items() == {"offered": 4, "completed": 3, "dropped": 1}


def test_what_was_emitted_may_become_several_again(flow: MakeFlow) -> None:
    """In one stage, nested, or in stage after stage: flat, in the order of their paths."""

    def nested(item: str) -> Iterator[Any]:
        yield f"{item}a"
        yield Emit(f"{item}b", Emit(f"{item}c", Emit()), f"{item}d")
        yield (f"{item}{letter}" for letter in "ef")

    f = flow(stage(nested, id="a"), stage(nested, id="b"))
    expected = [f"-{first}{second}" for first in "abcdef" for second in "abcdef"]
    assert f.chain.submit("-").result(5) == expected
    f.chain.tell("-")
    assert f.chain.drain(10)
    assert f.results.items == expected * 2
    assert f.items() == {"offered": 2, "completed": 2}


@positions
def test_nested_emissions_of_replicas_are_listed_in_order(flow: MakeFlow, position: str) -> None:
    """Whichever replica had them, and whenever it was through."""
    stages = [
        stage(generated if place == position else same, id=place, workers=3) for place in PLACES
    ]
    f = flow(*stages)
    futures = [f.chain.submit(20) for _ in range(5)]
    assert [each.result(5) for each in futures] == [list(range(20))] * 5
    assert f.items() == {"offered": 5, "completed": 5}


@positions
def test_values_are_left_alone(flow: MakeFlow, position: str) -> None:
    """Nothing that is emitted is compared, measured, tested or asked anything."""
    values = [Hostile(), Hostile()]
    for maker in (lambda _: Emit(*values), lambda _: (value for value in values)):
        f = flow(*three(position, maker))
        found = f.chain.submit(1).result(5)
        assert [each is value for each, value in zip(found, values, strict=True)] == [True, True]


def test_only_generators_and_emit_are_several(flow: MakeFlow) -> None:
    """A list, a tuple, an iterator are values."""
    for value in ([1, 2], (1, 2), iter([1, 2]), range(2)):
        f = flow(stage(lambda _, value=value: value, id="a"))
        assert f.chain.submit(1).result(5) is value


# -- what may be among them ---------------------------------------------------------------


@positions
@pytest.mark.parametrize("how", ["Emit", "generator"])
def test_markers_among_the_values(flow: MakeFlow, position: str, how: str) -> None:
    """A `Drop` is left out; after a `Reject` the others go on, but the item has failed."""
    kept: list[Any] = [1, Drop("why"), 2]
    bad: list[Any] = [3, Reject("bad"), 4]

    def make(item: list[Any]) -> Any:
        return Emit(*item) if how == "Emit" else (value for value in item)

    f = flow(*three(position, make))
    futures = [f.chain.submit(item) for item in (kept, bad, [Drop()], [Drop(), Reject("too")])]
    assert [outcome(each) for each in futures] == [[1, 2], "rejected: bad", [], "rejected: too"]
    assert f.chain.drain(10)
    assert f.results.items == [1, 2, 3, 4]
    assert f.items() == {"offered": 4, "completed": 1, "dropped": 1, "failed": 2}
    assert [reason for _, _, reason in f.letters()] == ["failed", "failed"]
    assert f.chain[position].incarnation == 1


@positions
def test_stop_among_the_values_ends_the_worker(flow: MakeFlow, position: str) -> None:
    """What came before it goes on, nothing comes after it; the worker ends normally."""

    def make(_: Any) -> Iterator[Any]:
        yield 1
        yield Emit(2, Stop("enough"), 3)
        raise AssertionError("it was asked for more")

    f = flow(*three(position, make))
    future = f.chain.submit("item")
    assert future.result(5) == [1, 2]
    f.wait_ended()
    assert f.reasons(position) == [Normal()]
    assert f.results.items == [1, 2]
    assert f.items() == {"offered": 1, "completed": 1}


@positions
def test_one_leaf_fails_and_the_item_has_failed(flow: MakeFlow, position: str) -> None:
    """Once, whatever fails more; the other leaves come out (row 146)."""

    def check(value: int) -> int:
        if value % 2:
            raise ValueError(value)
        return value

    stages = [stage(generated, id="make"), *three(position, check)]
    f = flow(*stages)
    future = f.chain.submit(5)
    f.chain.tell(2)
    assert outcome(future) == "ValueError: 1"
    assert f.chain.drain(10)
    assert f.results.items == [0, 2, 4, 0]
    assert f.items() == {"offered": 2, "failed": 2}
    assert f.chain.statistics().stages[position].failed == 3


def test_a_sink_that_raises_for_one_value_fails_the_item(flow: MakeFlow) -> None:
    """The other values reach it (rows 147, 149; F50)."""
    taken: list[Any] = []

    def sink(value: Any) -> None:
        if value == 1:
            raise OSError("no room")
        taken.append(value)

    f = flow(stage(generated, id="a"), on_result=sink)
    assert outcome(f.chain.submit(3)) == "OSError: no room"
    assert taken == [0, 2]
    assert f.items() == {"offered": 1, "failed": 1}
    assert f.chain["a"].incarnation == 1


# -- exceptions in the middle --------------------------------------------------------------


def stumbling(item: Any) -> Iterator[Any]:
    """Yield two values, in between one of a nested generator, and then raise."""
    yield item, 0

    def nested() -> Iterator[Any]:
        yield item, 1
        if item == "bad":
            raise ValueError(item)

    yield nested()
    yield item, 2


@positions
@pytest.mark.parametrize("on_error", ["crash", "reject", AT_ONCE], ids=["crash", "reject", "retry"])
def test_an_exception_in_the_middle_fails_the_item(
    flow: MakeFlow, position: str, on_error: Any
) -> None:
    """What was emitted before goes on; it is not tried again, as that would go on twice."""
    f = flow(*three(position, stumbling, on_error=on_error))
    futures = [f.chain.submit(item) for item in ("bad", "good")]
    assert outcome(futures[0]) == "ValueError: bad"
    assert futures[1].result(5) == [("good", 0), ("good", 1), ("good", 2)]
    assert f.chain.drain(10)
    assert f.results.items == [("bad", 0), ("bad", 1), *futures[1].result()]
    assert f.items() == {"offered": 2, "completed": 1, "failed": 1}
    assert f.letters() == [("bad", ("chain", position), "failed")]
    assert f.chain[position].incarnation == (2 if on_error == "crash" else 1)
    (letter,) = f.sup.dead_letters()
    assert "ValueError" in letter.error


@positions
def test_an_item_that_failed_before_its_first_value_is_retried(
    flow: MakeFlow, position: str
) -> None:
    """A generator raises when it is first asked, not when it is called."""
    tried: list[Any] = []

    def make(item: Any) -> Iterator[Any]:
        tried.append(item)
        if len(tried) < 3:
            raise ValueError(item)
        yield from (1, 2)

    f = flow(*three(position, make, on_error=AT_ONCE))
    assert f.chain.submit("item").result(5) == [1, 2]
    assert tried == ["item"] * 3
    assert f.items() == {"offered": 1, "completed": 1}
    assert f.chain.statistics().stages[position].retried == 2


@positions
def test_a_crash_in_the_middle_is_delivered_again_where_that_is_allowed(
    flow: MakeFlow, position: str
) -> None:
    """From the start: what went on goes on twice, and the list has all of it."""
    tried: list[Any] = []

    def make(item: Any) -> Iterator[Any]:
        tried.append(item)
        yield len(tried), 0
        yield len(tried), 1
        if len(tried) < 3:
            raise ValueError(item)

    f = flow(*three(position, make, max_attempts=3))
    future = f.chain.submit("item")
    assert future.result(5) == [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]
    assert f.chain.drain(10)
    assert f.results.items == future.result()
    assert f.items() == {"offered": 1, "completed": 1}
    assert f.chain.statistics().stages[position].retried == 2


def test_one_that_crashed_in_the_middle_may_be_a_plain_value_then(flow: MakeFlow) -> None:
    """Its place comes behind what it has emitted before."""
    tried: list[Any] = []

    def make(item: Any) -> Any:
        tried.append(item)
        return (1 // (2 - number) for number in (1, 2)) if len(tried) == 1 else "value"

    f = flow(stage(make, id="a", max_attempts=2), stage(same, id="b"))
    assert f.chain.submit("item").result(5) == [1, "value"]
    assert f.items() == {"offered": 1, "completed": 1}


def test_a_poison_item_in_the_middle_fails_after_its_attempts(flow: MakeFlow) -> None:
    """Under the crash of each the chain goes on."""
    f = flow(stage(stumbling, id="a", max_attempts=2), stage(same, id="b"), strategy="one_for_all")
    futures = [f.chain.submit(item) for item in ("bad", "good")]
    assert outcome(futures[0]) == "ValueError: bad"
    assert len(futures[1].result(5)) == 3
    assert f.items() == {"offered": 2, "completed": 1, "failed": 1}
    assert f.chain["a"].incarnation == 3


# -- stopped in the middle ------------------------------------------------------------------


class Stepwise:
    """A generator function that stands before its second value until it is let through."""

    def __init__(self) -> None:
        self.gate = Gate("the second value")
        self.threads: list[str] = []

    def __call__(self, item: Any) -> Iterator[Any]:
        for number in range(4):
            if number == 1:
                self.gate.meet()
            self.threads.append(threading.current_thread().name)
            yield item, number


def all_of(item: Any) -> list[Any]:
    return [(item, number) for number in range(4)]


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Stops:
    return Stops(monkeypatch)


@positions
def test_a_restart_in_the_middle_goes_on_where_it_was(
    flow: MakeFlow, stops: Stops, position: str
) -> None:
    """The next incarnation makes the rest, before anything else: nothing twice, none lost."""
    made = Stepwise()
    f = flow(*three(position, made))
    futures = [f.chain.submit(item) for item in "xy"]
    made.gate.wait_reached()
    restarting = stops.restart(f, position)
    made.gate.open()
    restarting.result()
    assert [each.result(5) for each in futures] == [all_of("x"), all_of("y")]
    assert f.chain.drain(10)
    assert f.results.items == all_of("x") + all_of("y")
    assert f.items() == {"offered": 2, "completed": 2}
    assert len(set(made.threads)) == 2
    assert f.reasons(position) == [Shutdown()]


@positions
@pytest.mark.parametrize("how", ["crash", "Reject", "Stop", "value"])
def test_a_drain_waits_for_what_was_restarted_and_for_no_more(
    flow: MakeFlow, stops: Stops, position: str, how: str
) -> None:
    """However an emission ends that was set aside: what waits behind it goes on."""
    gate = Gate("the second value")

    def make(_: Any) -> Iterator[Any]:
        yield 1
        gate.meet()
        yield 2
        if how == "crash":
            raise ValueError("in the next life")
        yield {"Reject": Reject("no"), "Stop": Stop(), "value": 3}[how]

    f = flow(*three(position, make))
    future = f.chain.submit("item")
    gate.wait_reached()
    restarting = stops.restart(f, position)
    draining = run(f.chain.drain, PATIENCE)
    gate.open()
    restarting.result()
    assert draining.result()
    assert future.done()
    assert f.chain.drain(PATIENCE)
    expected = {"crash": "ValueError: in the next life", "Reject": "rejected: no", "Stop": [1, 2]}
    assert outcome(future) == expected.get(how, [1, 2, 3])
    assert f.results.items[:2] == [1, 2]
    assert sum(f.items().values()) == 2


def test_one_restarted_before_its_first_value_may_be_retried_behind_a_drain(
    flow: MakeFlow, stops: Stops
) -> None:
    """It keeps its place in front of the mark: `drain` waits for the retry, too."""
    gate, tried = Gate("the function"), Recorder[Any]()

    def make(item: Any) -> Iterator[Any]:
        tried(item)
        first = len(tried) == 1
        if first:
            gate.meet()
        return values(first=first)

    def values(*, first: bool) -> Iterator[int]:
        if first:
            raise ValueError("not yet")
        yield 2

    retry = Retry(attempts=2, backoff=Backoff(0.02, jitter=0.0))
    f = flow(stage(make, id="a", on_error=retry), stage(same, id="b"))
    future = f.chain.submit("item")
    gate.wait_reached()
    restarting = stops.restart(f, "a")
    draining = run(f.chain.drain, PATIENCE)
    gate.open()
    restarting.result()
    assert draining.result()
    assert future.done()
    assert future.result() == [2]
    assert tried.items == ["item"] * 2


@positions
def test_a_stop_in_the_middle_leaves_nobody_waiting(
    flow: MakeFlow, stops: Stops, position: str
) -> None:
    """The item has failed, once; what it had emitted may be through."""
    made = Stepwise()
    f = flow(*three(position, made))
    futures = [f.chain.submit(item) for item in "xy"]
    made.gate.wait_reached()
    stopping = stops.stop_tree(f, position)
    made.gate.open()
    assert stopping.result().clean
    assert [outcome(each) for each in futures] == ["exited", "exited"]
    assert f.items() == {"offered": 2, "failed": 2}
    assert f.results.items == [("x", 0), ("x", 1)][: len(f.results)]


def test_what_is_left_of_a_generator_is_closed_by_nobody_who_must_not_wait(
    flow: MakeFlow, stops: Stops
) -> None:
    """Its `finally` runs in the side thread: the supervisor's runs no code of users."""
    gate, threads = Gate("the second value"), Recorder[str]()

    def make(_: Any) -> Iterator[int]:
        try:
            yield 1
            gate.meet()
            yield 2
            yield 3
        finally:
            threads(threading.current_thread().name)

    f = flow(stage(make, id="a"), stage(same, id="b"))
    future = f.chain.submit("item")
    gate.wait_reached()
    stopping = stops.stop_tree(f, "a")
    gate.open()
    stopping.result()
    assert outcome(future) == "exited"
    assert threads.wait_for(1) == [f"{f.sup.name}-side"]


@positions
@pytest.mark.parametrize("nested", [False, True])
def test_one_given_up_on_in_the_middle_has_failed(
    flow: MakeFlow, stops: Stops, position: str, nested: bool
) -> None:
    """At once, though its thread never comes back; the chain goes on (F20, F28)."""
    gate = Gate("the value that hangs")

    def inner() -> Iterator[Any]:
        yield "inner"
        gate.meet()
        yield "late"

    def make(item: Any) -> Any:
        if item != "hang":
            return item
        return Emit(0, inner(), "never") if nested else inner()

    f = flow(*three(position, make, time_limit=0.15))
    futures = [f.chain.submit(item) for item in (1, "hang", 2)]
    f.chain.tell("hang")
    assert [outcome(each) for each in futures] == [1, "exited", 2]
    assert f.chain.drain(10)
    assert f.items() == {"offered": 4, "completed": 2, "failed": 2}
    gate.open()
    stops.join_fenced()
    assert "late" not in f.results.items
    assert "never" not in f.results.items
    assert f.items() == {"offered": 4, "completed": 2, "failed": 2}
    assert isinstance(f.reasons(position)[0], Abandoned)


def test_one_given_up_on_in_the_depths_has_failed(flow: MakeFlow, stops: Stops) -> None:
    """However deep: all that was open of it is ended at once."""
    gate = Gate("the bottom")

    def make(depth: int) -> Iterator[Any]:
        if depth == 0:
            gate.meet()
        yield make(depth - 1)

    f = flow(stage(make, id="a", time_limit=0.3))
    assert outcome(f.chain.submit(1_200)) == "exited"
    assert f.items() == {"offered": 1, "failed": 1}
    gate.open()
    stops.join_fenced()
    assert f.items() == {"offered": 1, "failed": 1}


def test_an_emission_set_aside_and_then_given_up_on_holds_up_no_drain(
    flow: MakeFlow, stops: Stops
) -> None:
    """Its thread hangs in the next life: what waited behind it goes on without it."""
    gates = Gate("the second value"), Gate("the third value")

    def make(_: Any) -> Iterator[int]:
        for number, gate in enumerate(gates):
            yield number
            gate.meet()

    f = flow(stage(make, id="a", time_limit=0.2), stage(same, id="b"))
    future = f.chain.submit("item")
    gates[0].wait_reached()
    restarting = stops.restart(f, "a")
    gates[0].open()
    restarting.result()
    assert f.chain.drain(10)
    assert outcome(future) == "exited"
    assert f.items() == {"offered": 1, "failed": 1}
    gates[1].open()


# -- the fence, between two steps ------------------------------------------------------------


class Hand(list[Any]):
    """A hand that has its life given up on when the next thing comes into it."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self._cell = cell
        self.fence = ""
        """`"before"` the next thing is in it, or `"after"`."""

    def append(self, raw: Any) -> None:
        fence, self.fence = self.fence, ""
        if fence == "before":
            self._give_up()
        super().append(raw)
        if fence == "after":
            self._give_up()

    def _give_up(self) -> None:
        """Have the supervisor's thread do it, and wait until it has."""
        cell, done = self._cell, threading.Event()
        reason = Abandoned(1.0, "message")

        def give_up(_: None) -> None:
            cell.scope.take(Overdue(cell.id, cell.life.number, reason))
            done.set()

        cell._services.post(give_up, None)
        assert done.wait(PATIENCE)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("fence", ["before", "after"])
def test_a_fence_while_an_item_comes_into_the_hand(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, fence: str, last: bool
) -> None:
    """Before: nobody has it, and the next life goes on. After: it has failed. Never both."""
    hands: list[Hand] = []

    def watched(cell: Any, _: int) -> list[Any]:
        if cell.id[0] != "a":
            return []
        hands.append(Hand(cell))
        return hands[-1]

    def make(item: Any) -> Iterator[Any]:
        for number in range(4):
            if number == 1 and len(hands) == 1:
                hands[0].fence = fence
            yield item, number

    monkeypatch.setattr(Cell, "_watched", watched)
    f = flow(stage(make, id="a"), *([] if last else [stage(same, id="b")]))
    futures = [f.chain.submit(item) for item in "xy"]
    done = fence == "before"
    assert outcome(futures[0]) == (all_of("x") if done else "exited")
    assert futures[1].result(5) == all_of("y")
    assert f.chain.drain(10)
    # One who is given up on may put down late, behind what the next one has begun with.
    made = {item: [each for each in f.results.items if each[0] == item] for item in "xy"}
    assert made == {"x": all_of("x")[: 4 if done else 2], "y": all_of("y")}
    assert f.items() == {"offered": 2, "completed": 1 + done, **({} if done else {"failed": 1})}


def test_one_given_up_on_for_good_between_two_values_leaves_nobody_waiting(
    flow: MakeFlow, stops: Stops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sets its item aside when nobody is there any more to go on with it."""
    gate = Gate("the hand")
    hands: list[SlowHand] = []

    class SlowHand(list[Any]):
        armed = False

        def append(self, raw: Any) -> None:
            if self.armed:
                gate.meet()
            super().append(raw)

    def watched(_: Any, __: int) -> list[Any]:
        hands.append(SlowHand())
        return hands[-1]

    def make(_: Any) -> Iterator[int]:
        yield 1
        hands[0].armed = True
        yield 2
        yield 3

    monkeypatch.setattr(Cell, "_watched", watched)
    f = flow(stage(make, id="a", shutdown=0.0))
    future = f.chain.submit("item")
    gate.wait_reached()
    stopping = run(f.sup.stop, PATIENCE)
    stops.wait_fenced()
    assert len(stopping.result().abandoned) == 1
    gate.open()
    assert outcome(future) == "exited"
    assert f.items() == {"offered": 1, "failed": 1}


# -- back-pressure ----------------------------------------------------------------------------


def endless(pulled: Recorder[int]) -> Callable[[Any], Iterator[int]]:
    def make(_: Any) -> Iterator[int]:
        for number in count():
            pulled(number)
            yield number

    return make


@pytest.mark.parametrize("workers", [1, 2])
def test_an_endless_generator_is_pulled_as_fast_as_the_chain_goes(
    flow: MakeFlow, stops: Stops, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """And no faster: what it has made fits in the chain, and memory is bounded (rows 131, 132)."""
    gate, pulled, asleep = Gate("the last stage"), Recorder[int](), Recorder[str]()
    note_sleepers(monkeypatch, lambda _: asleep(threading.current_thread().name))

    def hold(item: int) -> int:
        gate.meet()
        return item

    f = flow(
        stage(endless(pulled), id="make"),
        stage(same, id="b", capacity=3, workers=workers),
        stage(hold, id="c", capacity=3, workers=workers),
    )
    f.chain.tell("item")
    gate.wait_reached(workers)
    asleep.wait_until(lambda names: "threadsup-make/0-1" in names, "wait for room")
    room = 2 * (3 + 1) * workers + 1
    assert len(pulled) <= room
    stopping = stops.stop_tree(f, "c")
    gate.open()
    assert stopping.result().clean
    assert f.items() == {"offered": 1, "failed": 1}


def test_an_emission_that_waits_for_room_is_one_item_in_flight(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted while nothing of it moves."""
    held = Gate("the last stage")
    pulled, asleep = Recorder[int](), Recorder[Any]()
    note_sleepers(monkeypatch, lambda _: asleep((threading.current_thread().name, len(pulled))))

    def count_up(item: int) -> Iterator[int]:
        for number in range(item):
            pulled(number)
            yield number

    def hold(item: Any) -> Any:
        held.meet()
        return item

    f = flow(stage(count_up, id="a"), stage(hold, id="b", capacity=1))
    future = f.chain.submit(5)
    held.wait_reached()
    # One in hand, one queued, the third waits: asleep with fewer, it is still to wake and move.
    asleep.wait_until(lambda sleepers: ("threadsup-a/0-1", 3) in sleepers, "wait for room")
    assert f.chain.statistics().items.in_flight == 1
    held.open()
    assert future.result(5) == [0, 1, 2, 3, 4]
    assert f.items() == {"offered": 1, "completed": 1}


def test_an_emission_ends_with_a_chain_that_is_stopped_while_it_waits_for_room(
    flow: MakeFlow, stops: Stops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its future ends, nothing is left in flight, and the stop takes no time."""
    asleep, held = Recorder[Any](), Gate("the last stage")
    note_sleepers(monkeypatch, lambda _: asleep(threading.current_thread().name))

    def hold(item: Any) -> Any:
        held.meet()
        return item

    f = flow(stage(endless(Recorder()), id="a"), stage(hold, id="b", capacity=1))
    future = f.chain.submit("item")
    asleep.wait_until(lambda names: "threadsup-a/0-1" in names, "wait for room")
    stopping = stops.stop_tree(f, "b")
    held.open()
    assert stopping.result().clean
    assert outcome(future) == "exited"
    assert f.items() == {"offered": 1, "failed": 1}


def test_a_pause_holds_up_an_emission(flow: MakeFlow) -> None:
    """No further value is made until the chain goes on; then it is gone on with at once."""
    gate, pulled = Gate("the third value"), Recorder[int]()

    def make(_: Any) -> Iterator[int]:
        for number in range(6):
            pulled(number)
            if number == 2:
                gate.meet()
            yield number

    f = flow(stage(make, id="a"))
    future = f.chain.submit("item")
    gate.wait_reached()
    f.chain.pause()
    f.sup.add_worker(handler(same), id="after")  # asked for behind the pause, and done
    gate.open()
    parked = f.chain.submit("other")
    assert not future.done()
    f.chain.resume()
    assert future.result(5) == [0, 1, 2, 3, 4, 5]
    assert parked.result(5) == [0, 1, 2, 3, 4, 5]
    assert pulled.items == [*range(6), *range(6)]


def test_a_pause_that_is_over_before_it_is_come_to_loses_no_emission(flow: MakeFlow) -> None:
    """What was set aside for it is gone on with, though nobody was held up."""
    gate = Gate("the second value")

    def make(_: Any) -> Iterator[int]:
        yield 1
        gate.meet()
        yield 2
        yield 3

    f = flow(stage(make, id="a"))
    outlet: Any = f.chain._line("a").cells[0].outlet
    suspend = outlet.suspend

    def end_the_pause(emission: Any) -> Any:
        del outlet.suspend
        found = suspend(emission)
        f.chain.resume()
        f.sup.add_worker(handler(same), id="resumed")  # asked for behind it, and done
        return found

    outlet.suspend = end_the_pause
    future = f.chain.submit("item")
    gate.wait_reached()
    f.chain.pause()
    f.sup.add_worker(handler(same), id="paused")
    gate.open()
    assert future.result(5) == [1, 2, 3]


def test_a_stage_is_added_behind_an_endless_generator(flow: MakeFlow) -> None:
    """Joining them needs the stage to put down what it has: it is set aside for that."""
    pulled: Recorder[int] = Recorder()
    f = flow(stage(endless(pulled), id="a"), on_result=None)
    f.chain.tell("item")
    pulled.wait_for(1)
    seen: Recorder[int] = Recorder()
    f.chain.add_stage(stage(seen, id="b"))
    first, *_ = seen.wait_for(10)
    assert seen.items[:10] == list(range(first, first + 10))


def test_one_that_waits_for_its_turn_and_is_tried_again_is_waited_for_by_a_drain(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its place in front of the mark, however often it is set aside."""
    held, aside = Recorder[Any](), Recorder[Any]()
    hold, suspend = Aside.hold, Outlet.suspend

    def holding(self: Aside, token: Any) -> bool:
        found = hold(self, token)
        if found:
            held(token)
        return found

    def suspending(self: Outlet, emission: Any) -> bool:
        found = suspend(self, emission)
        aside(emission)
        return found

    monkeypatch.setattr(Aside, "hold", holding)
    monkeypatch.setattr(Outlet, "suspend", suspending)
    tried: list[Any] = []

    def make(item: Any) -> Any:
        if item != "item":
            return item
        tried.append(item)
        return values(fails=len(tried) == 1)

    def values(*, fails: bool) -> Iterator[int]:
        for number in range(3 * CREDIT):
            if fails and number == CREDIT + 10:
                raise ValueError("crash")
            yield number

    f = flow(stage(make, id="a", max_attempts=2))
    results = f.chain.map(["item"])
    found = [next(results)]
    aside.wait_for(1)
    draining = run(f.chain.drain, PATIENCE)
    held.wait_for(1)
    found += islice(results, GIVEN_BACK)
    aside.wait_for(2)
    assert f.chain.submit("behind it").result(5) == "behind it"
    assert not draining.over
    found += results
    assert draining.result()
    assert found == [*range(CREDIT + 10), *range(3 * CREDIT)]
    assert f.items() == {"offered": 2, "completed": 2}


# -- families, counted ------------------------------------------------------------------------


def test_every_kind_of_outcome_is_counted_once(flow: MakeFlow) -> None:
    """However many messages an item became, and whatever became of these."""

    def first(item: int) -> Any:
        return Emit(*(item * 10 + number for number in range(item % 4)))

    def second(item: int) -> Any:
        if item % 10 == 2:
            return Drop()
        if item == 31:
            return Reject()
        return (item * 10 + number for number in range(item % 3))

    f = flow(stage(first, id="a", workers=2), stage(second, id="b", workers=2))
    sent = list(range(40))
    futures = [f.chain.submit(item) for item in sent]
    for item in sent:
        f.chain.tell(item)
    found = [outcome(each) for each in futures]
    assert f.chain.drain(10)
    failed = sum(type(each) is str for each in found)
    dropped = sum(each == [] for each in found)
    assert failed == 1
    assert f.items() == {
        "offered": 80,
        "completed": 80 - 2 * failed - 2 * dropped,
        "dropped": 2 * dropped,
        "failed": 2,
    }


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_no_future_is_left_behind_by_crashes_everywhere(flow: MakeFlow, strategy: Any) -> None:
    """Emissions in all stages, and crashes before, between and behind their values (F48)."""

    def make(item: int) -> Iterator[int]:
        yield item
        if item % 7 == 3:
            raise ValueError(item)
        yield item + 1

    stages = [
        stage(make, id=key, capacity=2, workers=workers)
        for key, workers in zip("abc", (1, 2, 1), strict=True)
    ]
    f = flow(*stages, strategy=strategy)
    futures = [f.chain.submit(item) for item in range(20)]
    found = [outcome(each) for each in futures]
    assert f.chain.drain(10)
    for item, got in zip(range(20), found, strict=True):
        if any((item + step) % 7 == 3 for step in range(3)):
            assert type(got) is str
        else:
            steps = (0, 1, 1, 2, 1, 2, 2, 3)
            assert got == [item + step for step in steps]
    failed = sum(type(each) is str for each in found)
    assert f.items() == {"offered": 20, "completed": 20 - failed, "failed": failed}
    assert all(isinstance(reason, (Crashed, Shutdown)) for reason in f.reasons("a"))
