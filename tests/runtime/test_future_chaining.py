"""Futures made of futures: pushed when the value arrives, pulled only where nobody pushes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import operator
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from tests.helpers import Gate, Recorder
from tests.runtime.forcing import run, run_as_worker
from threadsup._errors import ReplyTimeout
from threadsup._exits import Shutdown, WorkerExit
from threadsup._runtime.context import StopToken
from threadsup._runtime.future import Future

if TYPE_CHECKING:
    from collections.abc import Callable

BOOM = ValueError("boom")


def settled(value: Any = None) -> Future[Any]:
    future: Future[Any] = Future()
    future.set(value)
    return future


def plain(value: Any = None) -> pykka.ThreadingFuture[Any]:
    future = pykka.ThreadingFuture[Any]()
    future.set(value)
    return future


# -- map ------------------------------------------------------------------------------


def test_a_map_is_pushed() -> None:
    """The function runs when the value arrives, where it arrives, asked for or not."""
    threads: Recorder[threading.Thread] = Recorder()

    def double(value: int) -> int:
        threads(threading.current_thread())
        return value * 2

    future: Future[int] = Future()
    mapped = future.map(double)
    assert len(threads) == 0
    settling = run(future.set, 4)
    settling.result()
    assert mapped.result(0) == 8
    assert [settling.is_(thread) for thread in threads.items] == [True]
    assert mapped.get() == 8
    assert len(threads) == 1


def test_a_map_of_what_is_there_is_there() -> None:
    """On a settled future the function runs at once; maps of maps as well."""
    assert settled(1).map(str).map(len).result(0) == 1


def test_a_map_fails_as_its_future_does() -> None:
    """With the very exception; the function is not called."""
    called: Recorder[Any] = Recorder()
    future: Future[Any] = Future()
    mapped = future.map(called)
    future.set_exception(BOOM)
    assert mapped.exception(0) is BOOM
    assert len(called) == 0


@pytest.mark.parametrize("error", [BOOM, SystemExit(3), KeyboardInterrupt(), WorkerExit()])
def test_a_map_fails_as_its_function_does(error: BaseException) -> None:
    """Whatever the function raises is the result, and does not end who settles."""

    def fail(value: int) -> None:
        raise error

    future: Future[int] = Future()
    mapped = future.map(fail)
    run(future.set, 1).result()
    assert mapped.exception(0) is error
    assert future.result() == 1


def test_a_map_is_cancelled_with_its_future() -> None:
    """Who waits for the mapped future is not left waiting."""
    called: Recorder[Any] = Recorder()
    future: Future[Any] = Future()
    mapped = future.map(called)
    waiting = run(mapped.result)
    future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result()
    assert mapped.cancelled()
    assert len(called) == 0


def test_a_map_that_was_cancelled_is_not_made() -> None:
    """Nobody wants it: the function does not run, and the future is none the wiser."""
    called: Recorder[Any] = Recorder()
    future: Future[Any] = Future()
    mapped = future.map(called)
    assert mapped.cancel()
    assert concurrent.futures.wait([mapped], timeout=0).done
    future.set(1)
    assert len(called) == 0
    assert future.result() == 1


# -- filter and reduce ----------------------------------------------------------------


def test_filter_keeps_what_passes() -> None:
    """As Pykka's: a list of the items for which the function is true."""
    future: Future[Any] = Future()
    big = future.filter(lambda item: item > 10)
    future.set(range(5, 15))
    assert future.get() == range(5, 15)
    assert big.get(timeout=0) == [11, 12, 13, 14]
    assert settled([]).filter(bool).get() == []


def test_reduce_makes_one_of_many() -> None:
    """As `functools.reduce`, with and without a first value."""
    assert settled(["a", "b", "c"]).reduce(operator.add).get() == "abc"
    assert settled([1, 2, 3]).reduce(operator.add, 5).get() == 11
    assert settled([]).reduce(operator.add, 5).get() == 5
    with pytest.raises(TypeError):
        settled([]).reduce(operator.add).get()


@pytest.mark.parametrize("chain", [lambda f: f.filter(bool), lambda f: f.reduce(operator.add)])
def test_what_is_no_collection_fails(chain: Callable[[Future[Any]], Future[Any]]) -> None:
    """A value that cannot be iterated is a `TypeError` of the result, not of the caller."""
    made = chain(settled(1))
    with pytest.raises(TypeError):
        made.get()


# -- join -----------------------------------------------------------------------------


def test_a_join_is_pushed() -> None:
    """All the values, in the order of the futures, when the last has come."""
    one, two, three = Future[Any](), Future[Any](), Future[Any]()
    joined = one.join(two, three)
    three.set(3)
    one.set("a")
    assert not joined.done()
    two.set(None)
    assert joined.done()
    assert joined.get() == ["a", None, 3]
    assert joined.map(len).result(0) == 3


def test_a_join_of_one_is_a_list_of_one() -> None:
    """Alone, settled, or named twice."""
    assert settled(1).join().result(0) == [1]
    future = settled(1)
    assert future.join(future, future).result(0) == [1, 1, 1]


def test_a_join_fails_with_the_first_that_does() -> None:
    """At once, whatever the others will bring."""
    one, two, three = Future[Any](), Future[Any](), Future[Any]()
    joined = one.join(two, three)
    two.set_exception(BOOM)
    assert joined.exception(0) is BOOM
    three.set_exception(KeyError())
    one.set(1)
    assert joined.exception(0) is BOOM


def test_a_join_is_cancelled_with_any_of_its_futures() -> None:
    """Who waits for the list is not left waiting for a value that never comes."""
    one, two = Future[Any](), Future[Any]()
    joined = one.join(two)
    waiting = run(joined.result)
    one.set(1)
    two.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result()


def test_values_that_come_at_once_are_all_there() -> None:
    """Two threads bring the last two values: one of them completes the list."""
    for _ in range(100):
        one, two = Future[int](), Future[int]()
        joined = one.join(two)
        bringing = run(one.set, 1), run(two.set, 2)
        for thread in bringing:
            thread.result()
        assert joined.result(0) == [1, 2]


# -- with futures of plain Pykka ------------------------------------------------------


def test_a_join_with_plain_futures_is_pulled() -> None:
    """`get` waits for all of them, whichever comes last."""
    ours: Future[Any] = Future()
    theirs = pykka.ThreadingFuture[Any]()
    joined = ours.join(theirs, plain(3))
    ours.set(1)
    waiting = run(joined.get)
    theirs.set(2)
    assert waiting.result() == [1, 2, 3]
    assert joined.done()
    assert joined.result(0) == [1, 2, 3]


def test_a_join_with_plain_futures_fails_as_they_do() -> None:
    """With the exception of the one that failed."""
    theirs = pykka.ThreadingFuture[Any]()
    theirs.set_exception((ValueError, BOOM, None))
    assert settled(1).join(theirs).exception() is BOOM
    failed: Future[Any] = Future()
    failed.set_exception(BOOM)
    assert failed.join(plain()).exception() is BOOM


def test_a_join_with_plain_futures_has_one_time_for_all() -> None:
    """Not one for each; and running out of it is a `ReplyTimeout`, not a result."""
    times: list[float] = []

    class Noting(pykka.ThreadingFuture[Any]):
        def get(self, *, timeout: float | None = None) -> Any:
            assert timeout is not None
            times.append(timeout)
            return super().get(timeout=timeout)

    there, never = Noting(), Noting()
    there.set(1)
    begin = monotonic()
    joined = settled(0).join(there, never)
    with pytest.raises(ReplyTimeout):
        joined.get(timeout=0.01)
    assert monotonic() - begin >= 0.01
    assert not joined.done()
    assert 0.01 >= times[0] > times[1] > 0


def test_a_join_with_plain_futures_calls_back() -> None:
    """Callbacks, maps and loops get it too, from a thread that pulls for them."""
    theirs = pykka.ThreadingFuture[Any]()
    seen: Recorder[Any] = Recorder()
    joined = settled(1).join(theirs)
    joined.add_done_callback(lambda done: seen(done.result()))
    joined.map(len).add_done_callback(lambda done: seen(done.result()))
    assert len(seen) == 0
    theirs.set(2)
    assert seen.wait_for(2) == [[1, 2], 2]

    async def main() -> Any:
        return await settled(3).join(plain(4))

    assert asyncio.run(main()) == [3, 4]


def test_a_join_with_plain_futures_can_be_joined() -> None:
    """To our futures it is one of them."""
    theirs = pykka.ThreadingFuture[Any]()
    joined = settled(1).join(settled(2).join(theirs))
    theirs.set(3)
    assert joined.result() == [1, [2, 3]]


def test_pykka_collects_our_futures() -> None:
    """`pykka.get_all` and Pykka's own `join` take ours for theirs."""
    assert pykka.get_all([settled(1), settled(2)], timeout=0) == [1, 2]
    assert plain(1).join(settled(2)).get() == [1, 2]


# -- get hooks ------------------------------------------------------------------------


def test_a_hook_brings_the_value_once() -> None:
    """The first who asks runs it, with their time; the others find the value."""
    times: Recorder[float | None] = Recorder()

    def bring(timeout: float | None) -> str:
        times(timeout)
        return "value"

    future: Future[str] = Future()
    future.set_get_hook(bring)
    assert not future.done()
    assert future.get(timeout=2) == "value"
    assert future.result() == "value"
    assert times.items == [2]


def test_a_hook_may_fail_in_its_own_way() -> None:
    """An `Exception` is the result; running out of time, or being stopped, is not."""
    future: Future[Any] = Future()
    errors: list[BaseException] = [
        KeyboardInterrupt(),
        WorkerExit(Shutdown()),
        pykka.Timeout("theirs"),
        BOOM,
    ]

    def bring(timeout: float | None) -> None:
        raise errors.pop(0)

    future.set_get_hook(bring)
    for kind in (KeyboardInterrupt, WorkerExit, ReplyTimeout):
        with pytest.raises(kind):
            future.get(timeout=1)
        assert not future.done()
    assert future.exception() is BOOM


def test_a_hook_without_a_limit_has_none_to_run_out_of() -> None:
    """A time-out that nobody set is somebody's answer."""
    future: Future[Any] = Future()
    theirs = pykka.Timeout("theirs")

    def bring(timeout: float | None) -> None:
        raise theirs

    future.set_get_hook(bring)
    assert future.exception() is theirs


def test_a_hook_comes_too_late_for_a_settled_future() -> None:
    """As Pykka's, it is refused."""
    with pytest.raises(concurrent.futures.InvalidStateError):
        settled(1).set_get_hook(lambda timeout: 2)


def test_a_hook_for_those_who_were_there_before_it() -> None:
    """A callback added first is called as well; a pull that ends badly is told."""
    seen: Recorder[Any] = Recorder()
    for error in (None, SystemExit()):

        def bring(timeout: float | None, error: BaseException | None = error) -> int:
            assert timeout is None
            if error is not None:
                raise error
            return 1

        future: Future[int] = Future()
        future.add_done_callback(lambda done: seen(done.exception()))
        future.set_get_hook(bring)
        assert seen.wait_until(lambda items, error=error: error in items)  # type: ignore[misc]


def test_a_hook_is_pulled_aside_once() -> None:
    """However many call-backs are waiting for it."""
    gate, pulls = Gate(), Recorder[int]()

    def bring(timeout: float | None) -> int:
        pulls(1)
        gate.meet()
        return 1

    future: Future[int] = Future()
    future.set_get_hook(bring)
    seen: Recorder[int] = Recorder()
    for _ in range(3):
        future.add_done_callback(lambda done: seen(done.result()))
    gate.wait_reached()
    gate.open()
    assert seen.wait_for(3) == [1, 1, 1]
    assert pulls.items == [1]


def test_of_two_who_pull_the_first_counts() -> None:
    """Both get the value that came first."""
    gate, answers = Gate(), iter([1, 2])

    def bring(timeout: float | None) -> int:
        answer = next(answers)
        if answer == 1:
            gate.meet()
        return answer

    future: Future[int] = Future()
    future.set_get_hook(bring)
    slow = run(future.result)
    gate.wait_reached()
    assert run_as_worker(StopToken(task=True), future.result).result() == 2
    gate.open()
    assert slow.result() == 2
