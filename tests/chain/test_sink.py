"""`on_result`: where the last results go, and what becomes of what it does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.helpers import Gate, Recorder
from tests.runtime.forcing import run
from threadsup import (
    Batch,
    CallingSelfError,
    Drop,
    Emit,
    MailboxFull,
    Reject,
    Shutdown,
    WorkerExit,
    WorkerExited,
    current,
    events,
    stage,
)

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow


def same(item: Any) -> Any:
    return item


def test_a_sink_is_called_in_the_last_stages_thread(flow: MakeFlow) -> None:
    """With every value, in order, and with no marker."""
    seen: list[Any] = []

    def sink(result: Any) -> None:
        context = current()
        assert context is not None
        seen.append((result, context.id, threading.current_thread().name))

    f = flow(
        stage(same, id="a"),
        stage(lambda item: {1: Drop(), 2: Reject()}.get(item, item), id="b"),
        on_result=sink,
    )
    for number in range(4):
        f.chain.tell(number)
    assert f.chain.drain(10)
    assert seen == [(0, ("b", 0), "threadsup-b/0-1"), (3, ("b", 0), "threadsup-b/0-1")]


def test_a_chain_needs_no_sink(flow: MakeFlow) -> None:
    """An item is completed when the last stage has returned."""
    f = flow(stage(same, id="a"), on_result=None)
    assert f.chain.submit(1).result(5) == 1
    assert f.items() == {"offered": 1, "completed": 1}


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_sink_that_raises_fails_the_item_and_nothing_else(
    flow: MakeFlow, kind: type[BaseException]
) -> None:
    """Contained, counted, reported, a dead letter; the next item works (rows 147, 149; F50)."""
    error = kind("no room on disk")
    taken: list[Any] = []

    def sink(result: Any) -> None:
        if result == "bad":
            raise error
        taken.append(result)

    f = flow(stage(same, id="a"), stage(same, id="b"), on_result=sink)
    futures = [f.chain.submit(item) for item in (1, "bad", 2)]
    assert (outcome(futures[0]), outcome(futures[2])) == (1, 2)
    failure = futures[1].exception(5)
    assert failure is not None
    assert failure is error if isinstance(error, Exception) else failure.__cause__ is error
    assert taken == [1, 2]
    assert f.items() == {"offered": 3, "completed": 2, "failed": 1}
    assert f.letters() == [("bad", ("chain", "b"), "failed")]
    assert f.chain["b"].incarnation == 1
    told = f.events.wait_until(lambda t: any(isinstance(e, events.CallbackFailed) for e in t))
    (report,) = [e for e in told if isinstance(e, events.CallbackFailed)]
    assert report.path == ("chain", "b", 0)
    assert report.what == f"on_result failed: {kind.__name__}: no room on disk"


def test_what_a_sink_returns_is_ignored(flow: MakeFlow) -> None:
    """A marker it returns is none, and the future holds the stage's value."""
    f = flow(stage(same, id="a"), on_result=lambda _: Drop("ignored"))
    assert f.chain.submit(1).result(5) == 1
    assert f.items() == {"offered": 1, "completed": 1}


def test_a_sink_that_blocks_holds_the_chain_back(flow: MakeFlow) -> None:
    """It is the last stage's time: items queue up to the bound, senders then wait (F50)."""
    gate, taken = Gate("the sink"), Recorder[Any]()

    def sink(result: Any) -> None:
        gate.meet()
        taken(result)

    f = flow(stage(same, id="a"), stage(same, id="b"), capacity=1, on_result=sink)
    futures = [f.chain.submit(number, timeout=10) for number in range(4)]
    gate.wait_reached()
    with pytest.raises(MailboxFull):
        f.chain.tell_nowait("no")
    assert not futures[0].done()
    drain = run(f.chain.drain)
    gate.open()
    assert drain.result()
    assert taken.items == [0, 1, 2, 3]
    assert f.items() == {"offered": 4, "completed": 4}


def test_a_sink_that_never_returns_is_abandoned_at_a_stop(flow: MakeFlow) -> None:
    """The item it has is lost with it, and the stop is bounded (row 160)."""
    gate = Gate("the sink")
    f = flow(stage(same, id="a", shutdown=0.0), on_result=lambda _: gate.meet())
    future = f.chain.submit(1)
    gate.wait_reached()
    report = f.sup.stop()
    assert [left.id for left in report.abandoned] == [("chain", "a")]
    assert outcome(future) == "exited"
    assert f.items() == {"offered": 1, "failed": 1}
    gate.open()


def test_a_sink_may_use_the_chain(flow: MakeFlow) -> None:
    """It is in a stage: it may send, and may not wait for the chain."""
    seen: list[Any] = []

    def sink(result: int) -> None:
        chain = current().chain  # type: ignore[union-attr]
        if result:
            chain.tell(result - 1)
        with pytest.raises(CallingSelfError):
            chain.drain()
        seen.append(result)

    f = flow(stage(same, id="a"), stage(same, id="b"), on_result=sink)
    f.chain.tell(2)
    f.chain.drain(10)
    f.chain.drain(10)
    assert f.chain.drain(10)
    assert seen == [2, 1, 0]


def test_results_reach_the_sink_before_their_futures_do(flow: MakeFlow) -> None:
    """Whoever waits for an item finds what the sink did with it."""
    taken: list[Any] = []
    f = flow(stage(same, id="a"), stage(same, id="b"), on_result=taken.append)
    for number in range(50):
        f.chain.submit(number).result(5)
        assert taken[-1] == number


def fussy(result: Any) -> None:
    """Refuse what is bad, each in its own way."""
    if result == "bad":
        raise ValueError(result)
    if result == "exit":
        raise WorkerExit(Shutdown("the sink"))


def test_a_sink_cannot_end_its_stage(flow: MakeFlow) -> None:
    """Not by the exit of a worker either: the item has failed, the chain goes on (F50)."""
    f = flow(stage(same, id="a"), on_result=fussy)
    error = f.chain.submit("exit").exception(5)
    assert isinstance(error, WorkerExited)
    assert error.reason == Shutdown("the sink")
    assert f.chain.submit("good").result(5) == "good"
    assert f.items() == {"offered": 2, "completed": 1, "failed": 1}
    assert f.chain["a"].incarnation == 1


@pytest.mark.parametrize("bad", ["bad", "exit"])
@pytest.mark.parametrize("emit", [lambda items: Emit(*items), iter], ids=["values", "generator"])
def test_a_sink_that_raises_fails_one_of_many(flow: MakeFlow, emit: Any, bad: str) -> None:
    """The others of its item come out; the item has failed (rows 147, 149; F50)."""

    def made(items: tuple[Any, ...]) -> Any:
        return emit(items) if emit is not iter else (item for item in items)

    taken: list[Any] = []
    f = flow(stage(made, id="a"), on_result=fussy)
    f.chain.tap(taken.append)
    assert outcome(f.chain.submit((1, bad, 2))) != [1, 2]
    assert f.chain.submit((3,)).result(5) == [3]
    assert taken == [1, 2, 3]
    assert f.items() == {"offered": 2, "completed": 1, "failed": 1}
    assert f.letters() == [((1, bad, 2), ("chain", "a"), "failed")]
    assert f.chain["a"].incarnation == 1


def test_a_sink_that_raises_fails_one_of_a_batch(flow: MakeFlow) -> None:
    """And not the rest of it (rows 147, 149; F50)."""
    f = flow(stage(same, id="a", batch=Batch(size=4, timeout=60.0)), on_result=fussy)
    futures = [f.chain.submit(item) for item in (1, "bad", "exit", 2)]
    assert [outcome(future) for future in futures] == [1, "ValueError: bad", "exited", 2]
    assert f.items() == {"offered": 4, "completed": 2, "failed": 2}
    assert [letter[0] for letter in f.letters()] == ["bad", "exit"]
    assert f.chain["a"].incarnation == 1


def test_a_sink_that_never_returns_is_abandoned_at_its_limit(flow: MakeFlow) -> None:
    """`time_limit` is for the item, which the sink has: the next life goes on (F50)."""
    gate, taken = Gate("the sink"), Recorder[Any]()

    def sink(result: Any) -> None:
        if result == "hang":
            gate.meet()
        taken(result)

    f = flow(stage(same, id="a", time_limit=0.05), on_result=sink)
    hung = f.chain.submit("hang")
    gate.wait_reached()
    assert outcome(hung) == "exited"
    assert f.chain.submit("good").result(5) == "good"
    assert f.items() == {"offered": 2, "completed": 1, "failed": 1}
    gate.open()
    assert taken.wait_for(2) == ["good", "hang"]
    assert f.items() == {"offered": 2, "completed": 1, "failed": 1}
