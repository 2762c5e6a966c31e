"""Stages: the order of items, what a stage may be, and what it may return."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.runtime.forcing import Hostile
from threadsup import (
    CallingSelfError,
    Crashed,
    Drop,
    Reject,
    Stop,
    UnknownChildError,
    Worker,
    current,
    stage,
)

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow

POSITIONS = pytest.mark.parametrize("position", ["first", "middle", "last"])


def same(item: Any) -> Any:
    return item


def three(position: str, fn: Any) -> list[Any]:
    """Return three stages, `fn` at the position and the others handing on what they get."""
    return [
        stage(fn if place == position else same, id=place) for place in ("first", "middle", "last")
    ]


# -- values ---------------------------------------------------------------------------


def test_items_pass_the_stages_in_order(flow: MakeFlow) -> None:
    """Each stage gets what the one before it returned; items do not overtake each other."""
    f = flow(
        stage(lambda item: f"{item}a", id="a"),
        stage(lambda item: f"{item}b", id="b"),
        stage(lambda item: f"{item}c", id="c"),
    )
    for number in range(100):
        f.chain.tell(number)
    assert f.chain.drain(10)
    assert f.results.items == [f"{number}abc" for number in range(100)]
    assert f.items() == {"offered": 100, "completed": 100}


def test_a_chain_of_one_stage_is_a_chain(flow: MakeFlow) -> None:
    """Its only stage is the first and the last."""
    f = flow(stage(lambda item: item + 1, id="only"))
    assert f.chain.submit(1).result(5) == 2
    assert f.results.items == [2]


@pytest.mark.parametrize("value", [None, False, 0, (), [Drop()], Drop, Reject, Stop])
def test_every_value_is_passed_on(flow: MakeFlow, value: Any) -> None:
    """`None` and what is false are values; a marker's class, or one in a list, is none (F49)."""
    f = flow(*three("first", lambda _: value))
    assert f.chain.submit(1).result(5) is value
    assert f.items() == {"offered": 1, "completed": 1}


def test_values_are_left_alone(flow: MakeFlow) -> None:
    """No item and no result is compared, measured, tested or asked anything."""
    f = flow(stage(same, id="a"), stage(same, id="b"))
    item = Hostile()
    assert f.chain.submit(item).exception(5) is None
    f.chain.tell(item)
    assert f.chain.drain(10)
    assert [each is item for each in f.results.items] == [True, True]


class Liar:
    """Claims to be a marker."""

    __class__ = Drop  # type: ignore[assignment]


@POSITIONS
@pytest.mark.parametrize("marker", [Drop, Reject, Stop])
def test_what_only_looks_like_a_marker_is_a_value(
    flow: MakeFlow, position: str, marker: Any
) -> None:
    """Neither an instance of a subclass nor a lie about the class is a marker."""
    kind = type("Sub", (marker,), {"__slots__": ()})
    liar = type("Liar", (), {"__class__": marker})
    for value in (kind("reason"), liar()):
        f = flow(*three(position, lambda _, value=value: value), tree={"name": repr(id(value))})
        assert f.chain.submit(1).result(5) is value
        assert f.items() == {"offered": 1, "completed": 1}


# -- markers ----------------------------------------------------------------------------


@POSITIONS
def test_a_dropped_item_goes_no_further(flow: MakeFlow, position: str) -> None:
    """It is handled; its future holds the `Drop`, and the stage lives."""
    f = flow(*three(position, lambda item: Drop("odd") if item % 2 else item))
    futures = [f.chain.submit(number) for number in range(4)]
    assert [outcome(future) for future in futures] == [0, Drop("odd"), 2, Drop("odd")]
    assert f.results.items == [0, 2]
    assert f.items() == {"offered": 4, "completed": 2, "dropped": 2}
    assert f.letters() == []
    assert f.chain[position].incarnation == 1


def test_a_stage_that_drops_everything_keeps_the_chain_moving(flow: MakeFlow) -> None:
    """A drop gives its place back (row 133)."""
    f = flow(
        stage(same, id="a", capacity=1),
        stage(lambda _: Drop(), id="b", capacity=1),
        stage(same, id="c", capacity=1),
    )
    for number in range(100):
        f.chain.tell(number)
    assert f.chain.drain(10)
    assert f.items() == {"offered": 100, "dropped": 100}


@POSITIONS
def test_a_rejected_item_fails_and_the_stage_lives(flow: MakeFlow, position: str) -> None:
    """Its future raises `Rejected`, it is not handed on, a dead letter tells (rows 145, 146)."""
    f = flow(*three(position, lambda item: Reject("bad") if item == 1 else item))
    futures = [f.chain.submit(number) for number in range(3)]
    assert [outcome(future) for future in futures] == [0, "rejected: bad", 2]
    assert f.results.items == [0, 2]
    assert f.items() == {"offered": 3, "completed": 2, "failed": 1}
    assert f.letters() == [(1, ("chain", position), "failed")]
    assert f.chain[position].incarnation == 1


def test_a_marker_that_is_offered_is_an_item(flow: MakeFlow) -> None:
    """What comes in is an item whatever it is; only what a stage returns is a marker."""
    f = flow(stage(lambda item: item.reason, id="a"))
    assert f.chain.submit(Drop("inside")).result(5) == "inside"


# -- kinds of stages ----------------------------------------------------------------------


def test_a_function_gets_its_arguments_after_the_item(flow: MakeFlow) -> None:
    """By place and by name, as many as were declared."""

    def fn(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    f = flow(stage(fn, 1, 2, kwargs={"c": 3}))
    assert f.chain.submit("item").result(5) == (("item", 1, 2), {"c": 3})


class Summing(Worker):
    """Keeps a sum from item to item."""

    calls: list[str]

    def __init__(self, start: int, *, step: int = 1) -> None:
        self.sum, self.step = start, step

    def on_start(self) -> None:
        self.calls.append("on_start")

    def on_receive(self, message: Any) -> Any:
        if message == "crash":
            raise ValueError("crashed")
        if message == "drop":
            return Drop()
        self.sum += message * self.step
        return self.sum

    def on_stop(self) -> None:
        self.calls.append("on_stop")

    def on_failure(self, *error: Any) -> None:
        self.calls.append(f"on_failure {error[0].__name__}")


@POSITIONS
def test_a_worker_class_is_a_stage_with_state(flow: MakeFlow, position: str) -> None:
    """Its `on_receive` is the stage; the state is one incarnation's, the hooks are run."""

    class Mine(Summing):
        calls: list[str] = []  # noqa: RUF012 - the test's own

    stages = three(position, same)
    at = ["first", "middle", "last"].index(position)
    stages[at] = stage(Mine, 10, kwargs={"step": 2}, id=position)
    f = flow(*stages)
    futures = [f.chain.submit(item) for item in (1, 2, "drop", "crash", 1)]
    assert [outcome(future) for future in futures] == [
        12,
        16,
        Drop(),
        "ValueError: crashed",
        12,
    ]
    f.sup.stop()
    assert Mine.calls == ["on_start", "on_failure ValueError", "on_start", "on_stop"]
    assert isinstance(f.reasons(position)[0], Crashed)


def test_a_stage_knows_where_it_is(flow: MakeFlow) -> None:
    """`current()` has its id, its kind, its chain and its supervisor."""
    seen: list[Any] = []

    def look(item: Any) -> Any:
        context = current()
        assert context is not None
        seen.append((context.id, context.kind, context.incarnation, context.group))
        return context.chain, context.supervisor, threading.current_thread().name

    f = flow(stage(same, id="a"), stage(look, id="b"))
    chain, sup, thread = f.chain.submit(1).result(5)
    assert (chain, sup, thread) == (f.chain, f.sup, "threadsup-b/0-1")
    assert seen == [(("b", 0), "stage", 1, None)]


# -- the handle ---------------------------------------------------------------------------


def test_a_chain_is_a_collection_of_its_stages(flow: MakeFlow) -> None:
    """Length, membership, iteration and look-up go by stage, in the order items pass."""
    f = flow(stage(same, id="a"), stage(same, id=("b", 2)), stage(same))
    chain = f.chain
    assert len(chain) == 3
    assert list(chain) == ["a", ("b", 2), "same"] == list(chain.children())
    assert "a" in chain
    assert "z" not in chain
    assert chain[("b", 2)].id == ("b", 2)
    assert chain["a"].is_alive()
    assert repr(chain) == "<Chain 'chain', 3 stages>"
    assert repr(chain["a"]) == "<Stage 'a', 1 replicas, alive>"
    for unknown in ("z", ["unhashable"]):
        with pytest.raises(UnknownChildError, match="chain 'chain' has no stage"):
            chain[unknown]  # type: ignore[index]


def test_an_item_may_enter_in_the_middle(flow: MakeFlow) -> None:
    """It passes the stages from there on, and counts as offered once."""
    f = flow(*[stage(lambda item, name=name: f"{item}{name}", id=name) for name in "abc"])
    f.chain.tell(1, at="b")
    f.chain.tell_nowait(2, at="c")
    assert f.chain.submit(3, at="a").result(5) == "3abc"
    assert f.chain.drain(10)
    assert sorted(f.results.items) == ["1bc", "2c", "3abc"]
    assert f.items() == {"offered": 3, "completed": 3}
    with pytest.raises(UnknownChildError, match="chain 'chain' has no stage 'z'"):
        f.chain.tell(4, at="z")


def test_a_stage_may_feed_its_own_chain(flow: MakeFlow) -> None:
    """From within, at any stage that has room; with none, waiting for itself is refused."""

    def feed(item: int) -> Any:
        if item == 0:
            return Drop()
        chain = current().chain  # type: ignore[union-attr]
        chain.tell(item - 1, at="a")
        return item

    f = flow(stage(same, id="a"), stage(feed, id="b"))
    f.chain.tell(3)
    f.results.wait_for(3)
    assert f.chain.drain(10)
    assert f.results.items == [3, 2, 1]

    def fill(item: Any) -> Any:
        chain = current().chain  # type: ignore[union-attr]
        for _ in range(3):
            chain.tell(item, at="full")
        return item

    g = flow(stage(fill, id="full", capacity=1))
    with pytest.raises(CallingSelfError, match="would wait for room in its own mailbox"):
        g.chain.submit("x").result(5)
