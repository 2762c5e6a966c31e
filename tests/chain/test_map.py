"""`map` through real chains: order, errors, bounds, and ends that never hang."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import count, islice
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import note_sleepers, run
from threadsup import (
    Backoff,
    CallingSelfError,
    Drop,
    Emit,
    MailboxClosed,
    Reject,
    Rejected,
    Retry,
    Stop,
    WorkerExited,
    stage,
)
from threadsup._policy.routing import stable_hash
from threadsup._runtime.ticket import CREDIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow

ROUTINGS = ("round_robin", "random", "least_loaded", "partition")

routings = pytest.mark.parametrize("routing", ROUTINGS)
orders = pytest.mark.parametrize("ordered", [True, False])


def same(item: Any) -> Any:
    return item


def key_of(item: Any) -> int:
    return int(item) % 7


def routed(fn: Any, id: str, routing: str, **options: Any) -> Any:
    key = key_of if routing == "partition" else None
    return stage(fn, id=id, workers=3, routing=routing, key=key, **options)  # type: ignore[arg-type]


def noting(pulled: Recorder[Any], items: Iterable[Any]) -> Iterator[Any]:
    """Yield the items, and note each that is asked for."""
    for item in items:
        pulled(item)
        yield item


# -- order ----------------------------------------------------------------------------------


@routings
@pytest.mark.parametrize("capacity", [1, 50])
def test_results_come_in_the_order_of_the_items(
    flow: MakeFlow, routing: str, capacity: int
) -> None:
    """With replicas everywhere, whoever is through first."""
    f = flow(
        routed(lambda item: item + 1, "a", routing),
        routed(lambda item: item * 2, "b", routing),
        routed(same, "c", routing),
        capacity=capacity,
    )
    assert list(f.chain.map(range(300))) == [(item + 1) * 2 for item in range(300)]
    assert f.items() == {"offered": 300, "completed": 300}
    assert sorted(f.results.items) == [(item + 1) * 2 for item in range(300)]


@orders
def test_one_that_takes_long_is_waited_for_only_where_order_counts(
    flow: MakeFlow, *, ordered: bool
) -> None:
    """The others are through meanwhile, and come first if they may."""
    gate, through = Gate("the first item"), Recorder[int]()
    others = [item for item in range(1, 50) if stable_hash(item) % 2 != stable_hash(0) % 2][:5]

    def hold(item: int) -> int:
        if item == 0:
            gate.meet()
        else:
            through(item)
        return item

    f = flow(stage(hold, id="a", workers=2, routing="partition", key=same))
    results = f.chain.map([0, *others], ordered=ordered)
    if ordered:
        consumer = run(lambda: list(results))
        through.wait_for(5)
        gate.open()
        assert consumer.result() == [0, *others]
    else:
        assert list(islice(results, 5)) == others
        gate.open()
        assert list(results) == [0]


def several(item: int) -> Any:
    """Return nothing, one value or several, at once or one by one."""
    if item % 5 == 0:
        return Drop()
    if item % 5 == 1:
        return item, 0
    values = ((item, number) for number in range(item % 5))
    return Emit(*values) if item % 2 else values


def values_of(item: int) -> list[Any]:
    return [] if item % 5 == 0 else [(item, number) for number in range(item % 5)]


@orders
def test_what_was_emitted_comes_flat(flow: MakeFlow, *, ordered: bool) -> None:
    """In the order of the items, and of the values of each, if that counts."""
    f = flow(stage(several, id="a", workers=3), stage(same, id="b", workers=3), capacity=2)
    found = list(f.chain.map(range(60), ordered=ordered))
    expected = [value for item in range(60) for value in values_of(item)]
    assert (found if ordered else sorted(found)) == expected
    assert f.items() == {"offered": 60, "completed": 48, "dropped": 12}


@orders
@pytest.mark.parametrize("workers", [1, 3])
def test_order_after_stage_after_stage_that_emits(
    flow: MakeFlow, workers: int, *, ordered: bool
) -> None:
    """Each level has more than its credit: emissions wait for their turn and are resumed."""
    width = CREDIT + 10

    def split(item: int) -> Iterator[int]:
        yield from range(item * width, (item + 1) * width)

    stages = [stage(split, id=key, workers=workers) for key in "ab"]
    f = flow(*stages, stage(same, id="c", workers=workers), capacity=4)
    found = list(f.chain.map([0, 1], ordered=ordered))
    expected = list(range(2 * width * width))
    assert (found if ordered else sorted(found)) == expected
    assert f.items() == {"offered": 2, "completed": 2}


def test_a_broadcast_stage_gives_one_result_of_each_replica(flow: MakeFlow) -> None:
    """In the order of the replicas, item by item."""
    f = flow(stage(same, id="a", workers=3, routing="broadcast"), stage(same, id="b", workers=2))
    assert list(f.chain.map("xyz")) == list("xxxyyyzzz")
    assert f.items() == {"offered": 3, "completed": 3}


def test_items_of_any_iterable(flow: MakeFlow) -> None:
    """Of none as well; nothing is pulled before it is iterated."""
    f = flow(stage(same, id="a"))
    pulled: Recorder[Any] = Recorder()
    assert list(f.chain.map(())) == []
    results = f.chain.map(noting(pulled, [None, False]))
    assert len(pulled) == 0
    assert list(results) == [None, False]
    assert list(f.chain.map(f.chain.map(range(3)))) == [0, 1, 2]


# -- errors ---------------------------------------------------------------------------------


def bad(item: int) -> Any:
    """Fail in a way that depends on the item."""
    if item == 2:
        raise ValueError("crash")
    return {4: Reject("no"), 6: Drop()}.get(item, item)


def told(value: Any) -> Any:
    return f"{type(value).__name__}: {value}" if isinstance(value, Exception) else value


@orders
@pytest.mark.parametrize("on_error", ["crash", "reject"])
def test_an_item_that_fails_is_skipped_or_returned(
    flow: MakeFlow, on_error: Any, *, ordered: bool
) -> None:
    """The user's own exception, in its place; the stream goes on (rows 145, 146)."""
    f = flow(stage(same, id="a"), stage(bad, id="b"), on_error=on_error)
    skipped = list(f.chain.map(range(8), ordered=ordered, errors="skip"))
    returned = [told(each) for each in f.chain.map(range(8), ordered=ordered, errors="return")]
    assert skipped == [0, 1, 3, 5, 7]
    assert returned == [0, 1, "ValueError: crash", 3, "Rejected: no", 5, 7]
    assert f.items() == {"offered": 16, "completed": 10, "dropped": 2, "failed": 4}


@orders
def test_an_item_that_fails_raises_in_its_place_and_ends_the_stream(
    flow: MakeFlow, *, ordered: bool
) -> None:
    """As `Executor.map` does; what was on its way goes on, and gives nothing."""
    f = flow(stage(bad, id="a", workers=2), stage(same, id="b"))
    results = f.chain.map(range(8), ordered=ordered)
    found: list[Any] = []
    with pytest.raises((ValueError, Rejected)) as caught:
        found.extend(results)  # which keeps what came before it raised
    assert list(results) == []
    if ordered:
        assert found == [0, 1]
        assert str(caught.value) == "crash"
    assert f.chain.drain(10)
    assert f.items()["failed"] in {1, 2}


def test_an_item_of_which_one_value_failed_gives_what_came_before_it(flow: MakeFlow) -> None:
    """Then the error, once, and nothing more of that item."""

    def check(value: tuple[int, int]) -> Any:
        item, number = value
        if item == 1 and number in {2, 3}:
            raise ValueError(value)
        return value

    f = flow(
        stage(lambda item: Emit(*((item, number) for number in range(5))), id="a"),
        stage(check, id="b", workers=2),
    )
    found = list(f.chain.map(range(3), errors="return"))
    middle = [each for each in found[5:-5] if not isinstance(each, Exception)]
    assert found[:5] == [(0, number) for number in range(5)]
    assert found[-5:] == [(2, number) for number in range(5)]
    assert middle == [(1, 0), (1, 1)]
    assert len(found) == 13
    assert f.items() == {"offered": 3, "completed": 2, "failed": 1}


def test_a_key_that_cannot_be_made_fails_its_item_alone(flow: MakeFlow) -> None:
    """In the first stage and behind it (F53)."""

    def key(item: int) -> int:
        if item == 1:
            raise ValueError("no key")
        return item

    for place in (0, 1):
        stages = [stage(same, id="a"), stage(same, id="b")]
        stages[place] = stage(same, id="p", workers=2, routing="partition", key=key)
        f = flow(*stages)
        found = [told(each) for each in f.chain.map(range(3), errors="return")]
        assert found == [0, "ValueError: no key", 2]


def test_an_iterable_that_fails_does_so_behind_what_it_gave(flow: MakeFlow) -> None:
    """Its own exception, after all results of the items before it."""

    def failing() -> Iterator[int]:
        yield from range(5)
        raise OSError("the source broke")

    f = flow(stage(same, id="a", workers=2), stage(same, id="b"))
    found: list[Any] = []
    with pytest.raises(OSError, match="the source broke"):
        found.extend(f.chain.map(failing()))
    assert found == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "match"),
    [({"errors": "no"}, "errors"), ({"ordered": 1}, "ordered"), ({"window": 0}, "window")],
)
def test_options_are_checked_at_the_call(
    flow: MakeFlow, options: dict[str, Any], match: str
) -> None:
    """Before anything is iterated; so are items that are none."""
    f = flow(stage(same, id="a"))
    with pytest.raises(ValueError, match=match):
        f.chain.map([], **options)
    with pytest.raises(TypeError):
        f.chain.map(1)  # type: ignore[arg-type]


# -- how much is pulled ---------------------------------------------------------------------


@orders
@pytest.mark.parametrize("window", [1, 3, None])
def test_items_are_pulled_as_fast_as_results_are_taken(
    flow: MakeFlow, window: int | None, *, ordered: bool
) -> None:
    """Never more on their way, or held back, than the window: also of endlessly many."""
    f = flow(stage(same, id="a", workers=2), stage(same, id="b"), capacity=2)
    room = 3 * (2 + 1) if window is None else window
    pulled: Recorder[int] = Recorder()
    with closing(f.chain.map(noting(pulled, count()), ordered=ordered, window=window)) as results:
        for taken, _ in enumerate(islice(results, 200)):
            assert len(pulled) <= taken + room
    assert len(pulled) <= 200 + room


def test_a_held_stage_stops_the_pulling(flow: MakeFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    """After as many as fit in the chain: one that takes no time pulls nothing (row 132)."""
    gate, pulled, asleep = Gate("the last stage"), Recorder[int](), Recorder[Any]()
    note_sleepers(monkeypatch, lambda _: asleep(threading.current_thread().name))

    def hold(item: int) -> int:
        gate.meet()
        return item

    f = flow(stage(same, id="a"), stage(hold, id="b"), capacity=3)
    consumer = threading.Thread(
        target=lambda: found.extend(f.chain.map(noting(pulled, range(50)))), name="consumer"
    )
    found: list[int] = []
    consumer.start()
    asleep.wait_until(lambda names: "consumer" in names, "consumer that waits")
    assert len(pulled) <= 2 * (3 + 1) + 1
    gate.open()
    consumer.join(PATIENCE)
    assert found == list(range(50))


@pytest.mark.parametrize("workers", [1, 2])
def test_one_item_with_very_many_values_holds_back_few_of_the_others(
    flow: MakeFlow, workers: int
) -> None:
    """Of each emission no more than its credit is made and not taken yet."""
    many, others = 20_000, 6
    made = dict.fromkeys(range(others + 1), 0)

    def split(item: int) -> Iterator[tuple[int, int]]:
        for number in range(many if item == 0 else 500):
            made[item] += 1
            yield item, number

    f = flow(stage(split, id="a", workers=workers), stage(same, id="b"), on_result=None)
    taken = 0
    most = 0
    found: list[Any] = []
    for value in f.chain.map(range(others + 1)):
        taken += 1
        if value[0] == 0:
            most = max(most, sum(made.values()) - taken)
        else:
            found.append(value)
    assert taken == many + others * 500
    assert found == [(item, number) for item in range(1, others + 1) for number in range(500)]
    assert most <= (others + 1) * (CREDIT + 1)
    assert f.items() == {"offered": 7, "completed": 7}


def test_a_hundred_thousand_values_of_one_item(flow: MakeFlow) -> None:
    """One after another, in order, no more than the credit ahead of who takes them."""
    made = 0

    def split(item: int) -> Iterator[int]:
        nonlocal made
        while made < item:
            made += 1
            yield made

    f = flow(stage(split, id="a"), on_result=None)
    ahead = 0
    for taken, value in enumerate(f.chain.map([100_000]), 1):
        assert taken == value
        ahead = max(ahead, made - taken)
    assert made == 100_000
    assert ahead <= CREDIT


# -- closing --------------------------------------------------------------------------------


def test_closing_stops_the_pulling_and_lets_emissions_go_on(flow: MakeFlow) -> None:
    """Those that wait for their turn are resumed: what is on its way is finished."""
    pulled: Recorder[int] = Recorder()

    def split(item: int) -> Iterator[tuple[int, int]]:
        for number in range(10 * CREDIT):
            yield item, number

    f = flow(stage(split, id="a", workers=2), stage(same, id="b"))
    results = f.chain.map(noting(pulled, count()), window=4)
    assert next(results) == (0, 0)
    results.close()
    assert list(results) == []
    assert f.chain.drain(10)
    assert len(pulled) <= 5
    assert len(f.results) == len(pulled) * 10 * CREDIT
    assert f.items() == {"offered": len(pulled), "completed": len(pulled)}


def test_one_that_is_let_go_of_is_closed(flow: MakeFlow) -> None:
    """As any generator is, when nobody holds it any more."""
    f = flow(stage(lambda _: (number for number in range(10 * CREDIT)), id="a"))
    results = f.chain.map(count(), window=1)
    assert next(results) == 0
    del results
    assert f.chain.drain(10)
    assert len(f.results) % (10 * CREDIT) == 0


def test_a_restart_goes_on_with_an_emission_that_waits_for_its_turn(flow: MakeFlow) -> None:
    """It is resumed in the next incarnation, or when that begins."""
    f = flow(stage(lambda item: (item for _ in range(5 * CREDIT)), id="a"), stage(same, id="b"))
    results = f.chain.map("xy")
    found = [next(results)]
    f.chain.restart_child("a", PATIENCE)
    found += islice(results, CREDIT)
    f.chain.restart_child("a", PATIENCE)
    found += results
    assert found == ["x"] * 5 * CREDIT + ["y"] * 5 * CREDIT
    assert f.items() == {"offered": 2, "completed": 2}


# -- crashes and ends in the middle ---------------------------------------------------------


@orders
@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_crashes_in_the_middle_lose_exactly_the_items_that_crashed(
    flow: MakeFlow, strategy: Any, *, ordered: bool
) -> None:
    """The stream goes on, in order, whoever is restarted (row 156; F48)."""
    chance = Random(7)
    poison = set(chance.sample(range(100), 12))

    def check(item: int, place: int) -> int:
        if item in poison and item % 3 == place:
            raise ValueError(item)
        return item

    stages = [stage(check, place, id=f"s{place}", workers=2, capacity=3) for place in range(3)]
    f = flow(*stages, strategy=strategy)
    found = list(f.chain.map(range(100), ordered=ordered, errors="skip"))
    expected = [item for item in range(100) if item not in poison]
    assert (found if ordered else sorted(found)) == expected
    assert f.items() == {"offered": 100, "completed": 88, "failed": 12}


def test_items_that_are_tried_again_keep_their_place(flow: MakeFlow) -> None:
    """In a retry pause the others pass, and wait for it in the stream."""
    tried: set[int] = set()

    def stumble(item: int) -> int:
        if item % 4 == 0 and item not in tried:
            tried.add(item)
            raise ValueError(item)
        return item

    retry = Retry(attempts=2, backoff=Backoff(0.002, jitter=0.0))
    f = flow(stage(stumble, id="a", on_error=retry), stage(same, id="b"))
    assert list(f.chain.map(range(40))) == list(range(40))
    assert f.items() == {"offered": 40, "completed": 40}


def began(f: Flow, held: Gate, **options: Any) -> tuple[Any, Recorder[Any]]:
    """Begin to iterate over endlessly many items, and return when the last stage is held."""
    found: Recorder[Any] = Recorder()

    def consume() -> None:
        for result in f.chain.map(count(), **options):
            found(result)

    consumer = run(consume)
    held.wait_reached()
    return consumer, found


def held_at(gate: Gate, number: int) -> Any:
    def hold(item: int) -> int:
        if item == number:
            gate.meet()
        return item

    return hold


@orders
def test_a_chain_that_is_closed_ends_the_stream_with_an_error(
    flow: MakeFlow, *, ordered: bool
) -> None:
    """Behind the results of what was taken in."""
    gate = Gate("the last stage")
    f = flow(stage(same, id="a"), stage(held_at(gate, 20), id="b"), capacity=2)
    consumer, found = began(f, gate, ordered=ordered)
    f.chain.close()
    gate.open()
    with pytest.raises(MailboxClosed):
        consumer.result()
    assert found.items == list(range(len(found)))
    assert len(found) > 20
    f.wait_ended()
    assert f.items() == {"offered": len(found), "completed": len(found)}


@orders
@pytest.mark.parametrize("errors", ["raise", "skip", "return"])
def test_a_chain_that_is_stopped_ends_the_stream_with_an_error(
    flow: MakeFlow, errors: Any, *, ordered: bool
) -> None:
    """However its errors are treated: one way or another the iteration ends."""
    gate = Gate("the last stage")
    f = flow(stage(same, id="a"), stage(held_at(gate, 20), id="b", shutdown=0.0), capacity=2)
    consumer, found = began(f, gate, ordered=ordered, errors=errors)
    f.sup.stop(PATIENCE)
    with pytest.raises((MailboxClosed, WorkerExited)):
        consumer.result()
    gate.open()
    values = [each for each in found.items if not isinstance(each, WorkerExited)]
    assert values == list(range(20))
    assert (len(values) < len(found)) == (errors == "return")
    items = f.items()
    assert items["offered"] == items["completed"] + items["failed"]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_chain_that_a_stage_ends_ends_the_stream(flow: MakeFlow, position: int) -> None:
    """What was behind that stage comes out, and then the error."""

    def end(item: int) -> Any:
        return Stop() if item == 30 else item

    stages = [stage(end if place == position else same, id=f"s{place}") for place in range(3)]
    f = flow(*stages, capacity=2)
    found: list[Any] = []
    with pytest.raises((MailboxClosed, WorkerExited)):
        found.extend(f.chain.map(count()))
    assert found == list(range(30))
    f.wait_ended()


def test_a_chain_that_gives_up_ends_the_stream(flow: MakeFlow) -> None:
    """Past its budget: the item's own error first, then that there is no chain."""
    f = flow(stage(lambda item: 1 // (item - 5), id="a"), max_restarts=0)
    found: list[Any] = []
    with pytest.raises((MailboxClosed, WorkerExited)):
        found.extend(f.chain.map(count(), errors="skip"))
    with pytest.raises(MailboxClosed):
        list(f.chain.map([1]))


@pytest.mark.parametrize("emits", [False, True])
def test_a_stop_while_emissions_wait_for_their_turn_ends_the_stream(
    flow: MakeFlow, *, emits: bool
) -> None:
    """Nobody waits for who is gone: neither the stream nor the stop."""

    def split(item: int) -> Iterator[Any]:
        for _ in range(10 * CREDIT):
            yield Emit(item, item) if emits else item

    f = flow(stage(split, id="a"), stage(same, id="b"))
    results = f.chain.map(range(5))
    assert next(results) == 0
    assert f.sup.stop(PATIENCE).clean
    with pytest.raises((MailboxClosed, WorkerExited)):
        list(results)
    assert f.items()["offered"] == f.items()["failed"] + f.items().get("completed", 0)


# -- who iterates ---------------------------------------------------------------------------


def test_several_streams_at_once_get_their_own_results(flow: MakeFlow) -> None:
    """Each in its order, and what is told and submitted meanwhile is nobody's."""
    f = flow(stage(several, id="a", workers=2), stage(same, id="b", workers=2), capacity=2)
    streams = [run(lambda: list(f.chain.map(range(40)))) for _ in range(4)]
    for item in range(10):
        f.chain.tell(item)
    future = f.chain.submit(4)
    expected = [value for item in range(40) for value in values_of(item)]
    assert [each.result() for each in streams] == [expected] * 4
    assert future.result(5) == values_of(4)
    assert f.chain.drain(10)
    assert f.items()["offered"] == 171


def test_a_stage_of_another_chain_may_iterate(flow: MakeFlow) -> None:
    """One of its own may not: it would wait for itself."""
    inner = flow(stage(lambda item: item * 2, id="double", workers=2))
    outer = flow(stage(lambda item: sum(inner.chain.map(range(item))), id="sum", workers=2))
    assert list(outer.chain.map(range(10))) == [item * (item - 1) for item in range(10)]

    def own(item: int) -> Any:
        return list(itself.chain.map([item]))

    itself = flow(stage(own, id="own"))
    assert isinstance(itself.chain.submit(1).exception(5), CallingSelfError)


def test_a_task_that_iterates_leaves_when_it_is_asked_to_stop(flow: MakeFlow) -> None:
    """At once, and the stream is closed behind it."""
    gate, ended = Gate("the item"), Recorder[str]()

    def hold(item: int) -> int:
        gate.meet()
        return item

    f = flow(stage(hold, id="a"), capacity=1)

    def task() -> None:
        try:
            for _ in f.chain.map(count()):
                pass
        finally:
            ended("left")

    ref = f.sup.add_worker(task, id="task")
    gate.wait_reached()
    assert ref.stop(timeout=PATIENCE)
    assert ended.items == ["left"]
    gate.open()
    assert f.chain.drain(10)


@orders
@pytest.mark.parametrize("on_full", ["wait", "raise", "drop_new", "drop_old"])
def test_whatever_a_chain_does_at_its_bound(flow: MakeFlow, on_full: Any, *, ordered: bool) -> None:
    """An item that is dropped there has failed; a stream is not refused, it waits."""
    f = flow(stage(same, id="a"), stage(same, id="b"), capacity=1, on_full=on_full)
    found = list(f.chain.map(range(200), ordered=ordered, errors="return", window=20))
    values = [each for each in found if not isinstance(each, WorkerExited)]
    assert len(found) == 200
    assert (values if ordered else sorted(values)) == [
        item for item in range(200) if item in set(values)
    ]
    if on_full in {"wait", "raise"}:
        assert len(values) == 200
    items = f.items()
    assert (items["offered"], items["completed"]) == (200, len(values))
