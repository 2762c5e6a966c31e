"""Waiting for a future: in a thread, in a worker that is stopped, in an event loop."""

from __future__ import annotations

import asyncio
import gc
import weakref
from math import inf
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from tests.helpers import Gate
from tests.runtime.forcing import note_sleepers, run, run_as_worker
from threadsup._errors import ReplyError, ReplyTimeout
from threadsup._exits import Shutdown, WorkerExit
from threadsup._runtime.clock import monotonic
from threadsup._runtime.context import StopToken, Wakeup
from threadsup._runtime.future import Future

if TYPE_CHECKING:
    from collections.abc import Callable

BOOM = ValueError("boom")

WAITS: dict[str, Callable[[Future[Any], float | None], Any]] = {
    "result": lambda future, timeout: future.result(timeout),
    "get": lambda future, timeout: future.get(timeout=timeout),
    "exception": lambda future, timeout: future.exception(timeout),
}


def settled(value: Any = None) -> Future[Any]:
    future: Future[Any] = Future()
    future.set(value)
    return future


def failed(error: BaseException = BOOM) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


# -- waiting --------------------------------------------------------------------------


@pytest.mark.parametrize("name", WAITS)
@pytest.mark.parametrize("timeout", [-1, 0, 0.005])
def test_a_wait_ends_with_its_time(name: str, timeout: float) -> None:
    """Each way to wait raises `ReplyTimeout`, which is Pykka's and Python's too."""
    future: Future[Any] = Future()
    begin = monotonic()
    with pytest.raises(ReplyTimeout, match=f"^no answer within {timeout} s$") as raised:
        WAITS[name](future, timeout)
    assert monotonic() - begin >= timeout
    for kind in (pykka.Timeout, TimeoutError, ReplyError):
        assert isinstance(raised.value, kind)
    assert future._log == []
    future.set(1)
    assert future.result() == 1


@pytest.mark.parametrize("settle", [lambda f: f.set(1), lambda f: f.set_exception(BOOM)])
def test_everybody_who_waits_is_woken(
    monkeypatch: pytest.MonkeyPatch, settle: Callable[[Future[Any]], None]
) -> None:
    """A value or an exception ends all waits."""
    sleepers = note_sleepers(monkeypatch)
    future: Future[Any] = Future()
    waiting = [run(future.exception) for _ in range(5)]
    sleepers.wait_for(5)
    settle(future)
    assert {one.result() for one in waiting} == {future.exception()}
    assert future._log == [future._outcome]


def test_an_answer_in_the_moment_the_time_is_up_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waited looks once more before it raises."""
    future: Future[int] = Future()

    def too_late(self: Wakeup, timeout: float | None) -> bool:
        future.set(1)
        return False

    monkeypatch.setattr(Wakeup, "wait", too_late)
    assert future.result(0) == 1


def test_an_answer_between_the_looks_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settled after the first look, before it is registered: nobody goes to sleep."""
    sleepers = note_sleepers(monkeypatch)
    gate, future = Gate(), Future[int]()
    make = Wakeup.__init__

    def late(self: Wakeup) -> None:
        gate.meet()
        make(self)

    monkeypatch.setattr(Wakeup, "__init__", late)
    waiting = run(future.result)
    gate.wait_reached()
    future.set(1)
    gate.open()
    assert waiting.result() == 1
    assert len(sleepers) == 0


def test_ctrl_c_leaves_no_waiter_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A main thread that is interrupted while it waits is forgotten."""

    def interrupt(wakeup: Wakeup) -> None:
        raise KeyboardInterrupt

    note_sleepers(monkeypatch, then=interrupt)
    future: Future[int] = Future()
    with pytest.raises(KeyboardInterrupt):
        future.result()
    assert future._log == []


@pytest.mark.parametrize("name", ["result", "get"])
def test_a_raised_exception_holds_no_future(name: str) -> None:
    """Once nobody looks at it, a failed future is freed without the collector."""
    gc.disable()
    try:
        future = failed(ValueError("with a payload"))
        gone = weakref.ref(future)
        try:
            getattr(future, name)()
        except ValueError:
            pass
        else:
            pytest.fail("it did not raise")
        del future
        assert gone() is None
    finally:
        gc.enable()


# -- in a worker ----------------------------------------------------------------------


def test_a_stop_ends_the_wait_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that waits for an answer leaves when asked, and leaves no waiter behind."""
    sleepers = note_sleepers(monkeypatch)
    future: Future[int] = Future()
    token = StopToken(task=True)
    waiting = run_as_worker(token, future.result)
    sleepers.wait_for(1)
    token.ask(Shutdown(), inf)
    with pytest.raises(WorkerExit):
        waiting.result()
    assert future._log == []
    future.set(1)


def test_a_handler_waits_on_for_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop does not end the wait of a handler, only its time does."""
    sleepers = note_sleepers(monkeypatch)
    future: Future[int] = Future()
    token = StopToken(task=False)
    waiting = run_as_worker(token, future.result)
    sleepers.wait_for(1)
    token.ask(Shutdown(), monotonic() + 60)
    sleepers.wait_for(2)
    future.set(1)
    assert waiting.result() == 1
    token.ask(Shutdown(), monotonic())
    with pytest.raises(WorkerExit):
        run_as_worker(token, Future[int]().result).result()
    assert run_as_worker(token, future.result).result() == 1


def test_a_worker_that_waits_in_vain_leaves_nothing_behind() -> None:
    """However often a worker looks for an answer in time, nothing piles up."""
    future: Future[int] = Future()

    def body() -> None:
        for _ in range(5):
            with pytest.raises(ReplyTimeout):
                future.result(0)

    run_as_worker(StopToken(task=False), body).result()
    assert future._log == []


# -- in an event loop -----------------------------------------------------------------


def test_awaiting_does_not_block_the_loop() -> None:
    """Two futures are awaited at once while the loop goes round."""
    one, other = Future[int](), Future[int]()

    async def value_of(future: Future[int]) -> int:
        return await future

    async def main() -> list[int]:
        waiting = [asyncio.ensure_future(value_of(future)) for future in (one, other)]
        went_round = asyncio.Event()
        asyncio.get_running_loop().call_soon(went_round.set)
        await went_round.wait()
        assert not any(task.done() for task in waiting)
        run(other.set, 2)
        run(one.set, 1)
        return await asyncio.gather(*waiting)

    assert asyncio.run(main()) == [1, 2]


def test_awaiting_ends_as_the_future_does() -> None:
    """With its value, its exception, or its cancelling; now if it is done."""

    async def main() -> None:
        assert await settled(1) == 1
        assert await asyncio.wrap_future(settled(2)) == 2
        with pytest.raises(ValueError, match="boom"):
            await failed()
        cancelled: Future[int] = Future()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled

    asyncio.run(main())


def test_who_stops_awaiting_cancels_the_ask() -> None:
    """A time-out in the loop takes back a message that is still queued."""
    future: Future[int] = Future()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.005)

    asyncio.run(main())
    assert future.cancelled()
