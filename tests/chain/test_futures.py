"""`submit`: the future of an item, whatever becomes of the item."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.helpers import Gate, Recorder
from threadsup import Drop, Reject, Stop, WorkerExited, stage

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow
    from threadsup import Future


def same(item: Any) -> Any:
    return item


class OwnError(Exception):
    pass


def do(item: Any) -> Any:
    """Return the item, or raise it if it can be raised."""
    if isinstance(item, BaseException):
        raise item
    return item


STAGES = pytest.mark.parametrize("position", [0, 1, 2])


def three(position: int) -> list[Any]:
    return [stage(do if place == position else same, id=f"s{place}") for place in range(3)]


@STAGES
def test_a_future_holds_what_the_item_came_to(flow: MakeFlow, position: int) -> None:
    """A value, or the very object at which it ended."""
    f = flow(*three(position))
    dropped, stopped = Drop("why"), Stop("why")
    assert f.chain.submit("value").result(5) == "value"
    assert f.chain.submit(dropped).result(5) is dropped
    assert outcome(f.chain.submit(Reject("why"))) == "rejected: why"
    assert f.chain.submit(stopped).result(5) is stopped


@STAGES
def test_an_exception_reaches_the_future_as_it_is(flow: MakeFlow, position: int) -> None:
    """The user's own object, never wrapped, with its own cause."""
    f = flow(*three(position))
    error = OwnError("mine")
    error.__cause__ = KeyError("why")
    assert f.chain.submit(error).exception(5) is error
    assert isinstance(error.__cause__, KeyError)


@STAGES
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_is_no_exception_reaches_the_future_as_an_exit(
    flow: MakeFlow, position: int, kind: type[BaseException]
) -> None:
    """`WorkerExited`, with the cause chained; the chain goes on if that was a crash (F3, F4)."""
    f = flow(*three(position))
    error = kind(3)
    caught = f.chain.submit(error).exception(5)
    assert type(caught) is WorkerExited
    assert caught.__cause__ is error
    assert f.chain.submit("next").result(5) == "next"


def test_an_item_that_is_never_handled_ends_its_future(flow: MakeFlow) -> None:
    """A stop leaves nobody waiting, wherever the item was."""
    gate = Gate("the last stage")

    def hold(item: Any) -> Any:
        gate.meet()
        return item

    f = flow(stage(same, id="a"), stage(hold, id="b", shutdown=0.0), capacity=1)
    futures = [f.chain.submit(number) for number in range(4)]
    gate.wait_reached()
    f.sup.stop()
    assert [outcome(future) for future in futures] == ["exited"] * 4
    assert f.items() == {"offered": 4, "failed": 4}
    gate.open()


# -- cancelling ---------------------------------------------------------------------------


def test_a_queued_item_can_be_cancelled(flow: MakeFlow) -> None:
    """It is let go when its turn comes, undelivered."""
    gate, seen = Gate("the stage"), Recorder[Any]()

    def hold(item: Any) -> Any:
        seen(item)
        gate.meet()
        return item

    f = flow(stage(hold, id="a"), stage(same, id="b"))
    first, second, third = [f.chain.submit(number) for number in range(3)]
    gate.wait_reached()
    assert not first.cancel()
    assert second.cancel()
    gate.open()
    assert (first.result(5), third.result(5)) == (0, 2)
    assert f.chain.drain(10)
    assert seen.items == [0, 2]
    assert f.items() == {"offered": 3, "completed": 2, "failed": 1}


def test_an_item_under_way_cannot_be_cancelled(flow: MakeFlow) -> None:
    """Once its first stage has begun it is no longer queued, also between two stages."""
    gate = Gate("the second stage")

    def hold(item: Any) -> Any:
        gate.meet()
        return item

    f = flow(stage(same, id="a"), stage(hold, id="b"))
    futures = [f.chain.submit(number) for number in range(2)]
    gate.wait_reached()
    f.chain.submit("marker", at="a")
    assert not futures[0].cancel()
    gate.open()
    assert futures[0].result(5) == 0
    assert f.chain.drain(10)


# -- callbacks ------------------------------------------------------------------------------


def test_a_callback_runs_where_the_item_ended_and_harms_nobody(flow: MakeFlow) -> None:
    """In the last stage's thread; what it raises, even to end the worker, is contained (F50)."""
    gate, threads = Gate("the stage"), Recorder[str]()

    def hold(item: Any) -> Any:
        gate.meet()
        return item

    def callback(future: Future[Any]) -> None:
        threads(threading.current_thread().name)
        raise SystemExit(3)

    f = flow(stage(hold, id="a"), stage(same, id="b"))
    future = f.chain.submit(1)
    future.add_done_callback(callback)
    gate.open()
    assert threads.wait_for(1) == ["threadsup-b/0-1"]
    assert f.chain.submit(2).result(5) == 2
    assert f.chain["b"].incarnation == 1


def test_a_callback_of_an_item_that_was_undelivered_runs_in_the_side_thread(
    flow: MakeFlow,
) -> None:
    """The supervisor's thread settles it and runs no code of users."""
    gate, threads = Gate("the stage"), Recorder[str]()

    def hold(item: Any) -> Any:
        gate.meet()
        return Stop()

    f = flow(stage(hold, id="a"))
    f.chain.tell(1)
    gate.wait_reached()
    future = f.chain.submit(2)
    future.add_done_callback(lambda _: threads(threading.current_thread().name))
    gate.open()
    assert outcome(future) == "exited"
    assert threads.wait_for(1) == [f"{f.sup.name}-side"]
