"""One future for everybody: settled once, waited for in every way, never for ever."""

from __future__ import annotations

import concurrent.futures
import inspect
import threading
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from tests.helpers import Gate, Recorder
from tests.runtime.forcing import Hostile, note_sleepers, run
from threadsup._exits import WorkerExit
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


class AwkwardError(Hostile, Exception):
    """An exception that fails whoever tests, compares, measures or asks it."""


# -- what it is -----------------------------------------------------------------------


def test_it_is_a_future_of_both_kinds() -> None:
    """It passes for a future of the standard library's and for one of Pykka's."""
    future = Future[int]()
    assert isinstance(future, concurrent.futures.Future)
    assert isinstance(future, pykka.Future)


def test_it_relies_on_what_the_standard_library_does() -> None:
    """A future of the standard library has these attributes, and its functions use three."""
    attributes = {"_condition", "_state", "_result", "_exception", "_waiters", "_done_callbacks"}
    assert set(vars(concurrent.futures.Future())) == attributes
    base = concurrent.futures._base
    used: set[str] = set()
    for each in vars(base).values():
        kinds = (each, *vars(each).values()) if inspect.isclass(each) else (each,)
        for fn in kinds if each is not base.Future else ():
            code = getattr(fn, "__code__", None)
            used.update(attributes & set(code.co_names if code else ()))
    assert used == {"_condition", "_state", "_waiters"}


def test_it_shows_its_state_and_nothing_else() -> None:
    """`repr` asks neither the value nor the exception for anything."""
    cancelled: Future[Any] = Future()
    cancelled.cancel()
    begun: Future[Any] = Future()
    begun.set_running_or_notify_cancel()
    shown = [Future(), begun, cancelled, settled(Hostile()), failed(AwkwardError())]
    states = [repr(future).split()[-1] for future in shown]
    assert states == ["pending>", "running>", "cancelled>", "finished>", "finished>"]
    assert repr(begun).startswith("<Future at 0x")


# -- settling -------------------------------------------------------------------------


def test_a_value_comes_out_by_every_name() -> None:
    """`result`, `get` and `exception` agree, as often as they are asked."""
    for future in (settled(3), Future[int]()):
        future.settle(3)
        assert (future.result(), future.get(), future.exception()) == (3, 3, None)
        assert (future.result(0), future.get(timeout=0)) == (3, 3)
        assert future.done()


def test_nothing_is_a_value() -> None:
    """`set()` settles with `None`."""
    assert settled().result() is None


def test_values_are_left_alone() -> None:
    """A value that resists everything comes out as it went in."""
    payload = Hostile()
    assert settled(payload).result() is payload
    assert settled(payload).get(timeout=0) is payload


def test_an_exception_is_raised_as_it_is() -> None:
    """The very object, each time; `exception` returns it."""
    future = failed()
    for name in ("result", "get"):
        with pytest.raises(ValueError, match="boom") as raised:
            WAITS[name](future, 0)
        assert raised.value is BOOM
    assert future.exception() is BOOM


def test_an_exception_that_resists_is_raised_too() -> None:
    """A false, incomparable or lying exception is an exception."""
    for form in (lambda error: error, lambda error: (type(error), error, None)):
        error = AwkwardError()
        future: Future[Any] = Future()
        future.set_exception(form(error))
        assert future.exception() is error
        with pytest.raises(BaseException) as raised:  # noqa: PT011 - its type is all it lets be asked
            future.result()
        assert raised.value is error
        with pytest.raises(concurrent.futures.InvalidStateError):
            future.set(1)


def test_an_exception_comes_in_every_form() -> None:
    """Alone, as `exc_info`, as the one being handled, as a class, or not at all."""
    future: Future[Any] = Future()
    try:
        raise BOOM
    except ValueError as error:
        future.set_exception()
        trace = error.__traceback__
    assert future.exception() is BOOM
    future = Future()
    future.set_exception((ValueError, BOOM, trace))
    raised = future.exception()
    assert raised is BOOM
    assert raised.__traceback__ is trace
    future = Future()
    future.set_exception((KeyError, None, None))
    assert type(future.exception()) is KeyError
    future = Future()
    future.set_exception()
    with pytest.raises(RuntimeError, match="no exception given"):
        future.result()


def test_it_is_settled_once() -> None:
    """A second value or exception is refused, and the first one stays."""
    for future in (settled(1), failed()):
        before = future.exception()
        for again in (future.set, future.set_result, future.set_exception):
            with pytest.raises(concurrent.futures.InvalidStateError):
                again(BOOM)
        assert not future.settle(2)
        assert future.exception() is before


def test_of_many_who_settle_one_does() -> None:
    """`settle` tells the one that was first from the others."""
    futures: list[Future[int]] = [Future() for _ in range(100)]
    barrier = threading.Barrier(2)

    def settle(me: int) -> list[bool]:
        won = []
        for future in futures:
            barrier.wait()
            won.append(future.settle(me))
        return won

    one, other = run(settle, 1), run(settle, 2)
    for future, first, second in zip(futures, one.result(), other.result(), strict=True):
        assert first is not second
        assert future.result() == (1 if first else 2)


# -- cancelling -----------------------------------------------------------------------


def test_a_pending_answer_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cancel` ends all waits with `CancelledError`; later answers are refused."""
    sleepers = note_sleepers(monkeypatch)
    future: Future[int] = Future()
    waiting = run(future.result)
    sleepers.wait_for(1)
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result()
    for wait in WAITS.values():
        with pytest.raises(concurrent.futures.CancelledError):
            wait(future, 0)
    assert not future.settle(1)
    assert not future.set_running_or_notify_cancel()
    assert not future.set_running_or_notify_cancel()


def test_an_answer_that_is_being_made_cannot_be_cancelled() -> None:
    """Nor one that is there."""
    future: Future[int] = Future()
    assert future.set_running_or_notify_cancel()
    assert not future.cancel()
    assert future.set_running_or_notify_cancel()  # delivered again
    future.set(1)
    assert not future.cancel()
    assert not future.set_running_or_notify_cancel()
    assert future.result() == 1


def test_a_cancelled_future_is_done_for_everybody() -> None:
    """`wait` and `as_completed` need not wait for the message to be taken."""
    future: Future[int] = Future()
    future.cancel()
    assert concurrent.futures.wait([future], timeout=0).done == {future}
    assert list(concurrent.futures.as_completed([future], timeout=0)) == [future]
    later: Future[int] = Future()
    waiting = run(concurrent.futures.wait, [later])
    later.cancel()
    assert waiting.result().done == {later}


# -- callbacks ------------------------------------------------------------------------


def test_callbacks_are_called_in_order_and_forgotten() -> None:
    """Once each, in the order they were added, at once when it is done already."""
    seen: Recorder[str] = Recorder()
    future: Future[int] = Future()
    future.add_done_callback(lambda done: seen(f"first {done.result()}"))
    future.add_done_callback(lambda done: seen("second"))
    assert len(seen) == 0
    future.set(1)
    assert seen.items == ["first 1", "second"]
    future.add_done_callback(lambda done: seen("late"))
    assert seen.items == ["first 1", "second", "late"]
    assert future._log == [(1, None)]


@pytest.mark.parametrize("error", [ValueError(), SystemExit(), KeyboardInterrupt(), WorkerExit()])
def test_a_callback_that_fails_ends_nobody(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the thread that settles nor the callbacks after it, whatever is raised."""
    seen: Recorder[Future[int]] = Recorder()

    def fail(done: Future[int]) -> None:
        raise error

    future: Future[int] = Future()
    future.add_done_callback(fail)
    future.add_done_callback(seen)
    run(future.set, 1).result()
    assert seen.items == [future]
    assert [record.name for record in caplog.records] == ["threadsup"]


def test_a_callback_that_blocks_holds_up_nobody_who_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who waits for the answer is woken before callbacks are called."""
    sleepers = note_sleepers(monkeypatch)
    gate, future = Gate(), Future[int]()
    future.add_done_callback(lambda done: gate.meet())
    waiting = run(future.result)
    sleepers.wait_for(1)
    settling = run(future.set, 1)
    gate.wait_reached()
    assert waiting.result() == 1
    gate.open()
    settling.result()


def test_the_standard_library_waits_for_it() -> None:
    """`wait` and `as_completed` take it as one of theirs."""
    one, other = Future[int](), Future[int]()
    both = run(concurrent.futures.wait, [one, other])
    ordered = run(lambda: list(concurrent.futures.as_completed([one, other])))
    other.set(2)
    one.set_exception(BOOM)
    assert both.result().done == {one, other}
    assert set(ordered.result()) == {one, other}


# -- settling without running code of users -------------------------------------------


def test_what_nobody_hears_of_is_settled_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    """With waiters only, `settle_unheard` settles, and wakes them."""
    sleepers = note_sleepers(monkeypatch)
    for answer in ({"value": 1}, {"error": BOOM}):
        future: Future[Any] = Future()
        waiting = run(future.exception)
        sleepers.wait_for(1)
        assert future.settle_unheard(**answer)
        assert waiting.result() is answer.get("error")
        assert future.settle_unheard(error=KeyError())
        assert future.exception() is answer.get("error")


def test_a_callback_added_before_is_left_to_another_thread() -> None:
    """Where a callback of a user would run, `settle_unheard` does nothing and says so."""
    seen: Recorder[Future[int]] = Recorder()
    future: Future[int] = Future()
    future.add_done_callback(seen)
    assert not future.settle_unheard(1)
    assert not future.done()
    future.set(2)
    assert seen.items == [future]
    assert future.settle_unheard(1)


def test_a_callback_added_after_runs_where_it_is_added() -> None:
    """The quiet thread has settled; who adds the callback then calls it."""
    future: Future[int] = Future()
    assert run(future.settle_unheard, 1).result()
    threads: Recorder[threading.Thread] = Recorder()
    future.add_done_callback(lambda done: threads(threading.current_thread()))
    assert threads.items == [threading.current_thread()]
