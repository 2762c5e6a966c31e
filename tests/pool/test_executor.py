"""A pool is an `Executor` as the standard library documents it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
import weakref
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, as_completed, wait
from concurrent.futures.thread import BrokenThreadPool
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import CallingSelfError, Future, Pool, PoolBroken, current

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.pool.conftest import MakePool


def square(x: int) -> int:
    return x * x


def fail(x: object = None) -> None:
    raise ValueError(x)


def test_a_pool_is_an_executor(pool: MakePool) -> None:
    """It is one by its class, and hands out futures of the standard library."""
    made = pool()
    assert isinstance(made, Executor)
    future = made.submit(pow, 2, exp=5)
    assert isinstance(future, concurrent.futures.Future)
    assert isinstance(future, Future)
    assert future.result(PATIENCE) == 32


def test_the_default_number_of_workers_is_that_of_a_thread_pool_executor() -> None:
    """Without a number there are as many workers as the standard library takes."""
    with Pool() as made, concurrent.futures.ThreadPoolExecutor() as theirs:
        assert len(made) == theirs._max_workers


def test_an_exception_of_a_task_is_its_futures_alone(pool: MakePool) -> None:
    """It is raised as it is, and the worker lives on."""
    made = pool(1)
    future = made.submit(fail, "x")
    error = future.exception(PATIENCE)
    assert type(error) is ValueError
    with pytest.raises(ValueError, match="x"):
        future.result()
    assert made.submit(square, 3).result(PATIENCE) == 9
    assert made.statistics().restarts == 0


def test_what_cannot_be_called_is_refused_at_the_caller(pool: MakePool) -> None:
    """A task that is no function is a `TypeError` at once, in `submit` and in `map`."""
    made = pool()
    with pytest.raises(TypeError, match="a task is a function"):
        made.submit(3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="a task is a function"):
        made.map(3, [1])  # type: ignore[arg-type]


def test_map_yields_in_the_order_of_the_arguments(pool: MakePool) -> None:
    """Results come in order, however long each takes, and end with the shortest iterable."""
    made = pool(3)
    first = threading.Event()

    def work(x: int, y: int) -> int:
        if x == 0:
            assert first.wait(PATIENCE)
        elif x == 2:
            first.set()
        return x + y

    assert list(made.map(work, [0, 1, 2, 3], [10, 10, 10])) == [10, 11, 12]


def test_map_starts_before_anybody_reads(pool: MakePool) -> None:
    """The iterables are read at once, and the tasks begin."""
    made = pool()
    seen: Recorder[int] = Recorder()
    results = made.map(seen, [1, 2, 3])
    assert sorted(seen.wait_for(3)) == [1, 2, 3]
    assert list(results) == [None] * 3


def test_map_raises_at_the_place_of_the_task_that_failed(pool: MakePool) -> None:
    """What came before it is yielded, what comes after is not."""
    results = pool().map(lambda x: 1 // x, [1, 1, 0, 1])
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_map_times_out(pool: MakePool) -> None:
    """A result that is not there in time is a `TimeoutError`, counted from the call."""
    gate = Gate()
    results = pool(1).map(lambda x: gate.meet(), [1], timeout=0.01)
    with pytest.raises(TimeoutError):
        next(results)
    gate.open()


def test_closing_a_map_cancels_what_has_not_begun(pool: MakePool) -> None:
    """Tasks that wait when the reader leaves are never run."""
    made = pool(1)
    gate = Gate()
    seen: Recorder[int] = Recorder()

    def work(x: int) -> None:
        seen(x)
        if x == 1:
            gate.meet()

    results: Any = made.map(work, [0, 1, 2, 3])
    next(results)
    gate.wait_reached()
    results.close()
    gate.open()
    assert made.submit(square, 2).result(PATIENCE) == 4
    assert seen.items == [0, 1]


def test_a_map_with_a_buffer_reads_no_further_than_that(pool: MakePool) -> None:
    """Only `buffersize` items are ahead of the reader."""
    read: list[int] = []

    def items() -> Iterator[int]:
        for n in range(10):
            read.append(n)
            yield n

    results = pool().map(square, items(), buffersize=3)
    assert len(read) == 3
    assert next(results) == 0
    assert len(read) == 4
    assert list(results) == [n * n for n in range(1, 10)]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"buffersize": 0}, ValueError),
        ({"buffersize": 1.5}, TypeError),
        ({"chunksize": 0}, ValueError),
    ],
)
def test_map_checks_its_options(pool: MakePool, options: Any, error: type[Exception]) -> None:
    """As the standard library says it does."""
    with pytest.raises(error):
        pool().map(square, [1], **options)


def test_chunksize_changes_nothing(pool: MakePool) -> None:
    """It is accepted, as a `ThreadPoolExecutor` accepts it."""
    assert list(pool().map(square, [1, 2, 3], chunksize=2)) == [1, 4, 9]


def test_an_iterable_that_fails_fails_map_at_the_call(pool: MakePool) -> None:
    """Nothing is begun, and the error is the iterable's."""

    def items() -> Iterator[int]:
        yield 1
        raise LookupError

    with pytest.raises(LookupError):
        pool().map(square, items())


def test_map_inside_a_task_runs_in_the_same_pool(pool: MakePool) -> None:
    """A task may map, as long as somebody else is free."""
    made = pool(2)
    assert made.submit(lambda: list(made.map(square, [1, 2, 3]))).result(PATIENCE) == [1, 4, 9]


def test_wait_and_as_completed_take_its_futures(pool: MakePool) -> None:
    """The functions of `concurrent.futures` work on what a pool returns."""
    made = pool()
    gate = Gate()
    slow: Future[Any] = made.submit(gate.meet)
    fast: Future[Any] = made.submit(square, 2)
    done = wait([slow, fast], PATIENCE, FIRST_COMPLETED).done
    assert done == {fast}
    gate.open()
    assert {f.result() for f in as_completed([slow, fast], PATIENCE)} == {None, 4}


def test_a_task_that_waits_can_be_cancelled(pool: MakePool) -> None:
    """It is never run; one that runs cannot be."""
    made = pool(1)
    gate = Gate()
    seen: Recorder[int] = Recorder()
    running = made.submit(gate.meet)
    gate.wait_reached()
    waiting = made.submit(seen, 1)
    assert not running.cancel()
    assert waiting.cancel()
    gate.open()
    made.submit(square, 1).result(PATIENCE)
    assert seen.items == []
    assert made.statistics().undelivered == 1


def test_shutdown_finishes_what_was_submitted() -> None:
    """It waits for all that was accepted, and its threads are gone then."""
    before = threading.active_count()
    made = Pool(2)
    futures = [made.submit(square, n) for n in range(100)]
    made.shutdown()
    assert [f.result(0) for f in futures] == [n * n for n in range(100)]
    assert threading.active_count() == before
    made.shutdown()


def test_shutdown_without_waiting_finishes_all_the_same(pool: MakePool) -> None:
    """It returns at once; what was accepted is done, then the tree ends by itself."""
    made = pool(1)
    gate = Gate()
    futures: list[Future[Any]] = [made.submit(gate.meet), made.submit(square, 3)]
    made.shutdown(wait=False)
    assert not futures[0].done()
    gate.open()
    assert futures[1].result(PATIENCE) == 9
    assert made.supervisor.wait(PATIENCE) is not None


def test_shutdown_cancels_what_has_not_begun(pool: MakePool) -> None:
    """With `cancel_futures` only what runs is finished; a map raises where it was cut."""
    made = pool(1)
    gate = Gate()
    running = made.submit(gate.meet)
    gate.wait_reached()
    waiting = made.submit(square, 1)
    mapped = made.map(square, [1])
    made.shutdown(wait=False, cancel_futures=True)
    gate.open()
    assert running.result(PATIENCE) is None
    assert waiting.cancelled()
    with pytest.raises(CancelledError):
        next(mapped)
    assert made.statistics().undelivered == 2


def test_nothing_is_accepted_after_shutdown(pool: MakePool) -> None:
    """Submit and map are a `RuntimeError`, and so is a change of size."""
    made = pool()
    made.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        made.submit(square, 1)
    with pytest.raises(RuntimeError, match="shutdown"):
        made.map(square, [1])
    with pytest.raises(RuntimeError, match="shut down"):
        made.resize(3)


def test_a_task_may_submit_and_wait_for_another(pool: MakePool) -> None:
    """As long as somebody else is free to do it."""
    made = pool(2)
    assert made.submit(lambda: made.submit(square, 4).result(PATIENCE)).result(PATIENCE) == 16


def test_a_task_that_submits_while_the_pool_is_shut_down_is_refused(pool: MakePool) -> None:
    """The task gets the error, and the shutdown goes on."""
    made = pool(1)
    gate = Gate()

    def work() -> None:
        gate.meet()
        made.submit(square, 1)

    future = made.submit(work)
    gate.wait_reached()
    made.shutdown(wait=False)
    gate.open()
    assert isinstance(future.exception(PATIENCE), RuntimeError)


def test_a_task_that_shuts_its_own_pool_down_and_waits_is_told(pool: MakePool) -> None:
    """It would wait for itself."""
    made = pool(1)
    assert type(made.submit(made.shutdown).exception(PATIENCE)) is CallingSelfError


def test_initializer_runs_in_each_worker(pool: MakePool) -> None:
    """With its arguments, once, in the thread of the worker, before any task."""
    local = threading.local()

    def begin(value: int) -> None:
        local.value = value

    made = pool(2, initializer=begin, initargs=(7,))
    barrier = threading.Barrier(2)

    def read() -> int:
        barrier.wait(PATIENCE)
        return int(local.value)

    assert [f.result(PATIENCE) for f in [made.submit(read), made.submit(read)]] == [7, 7]


def test_an_initializer_that_fails_breaks_the_pool(pool: MakePool) -> None:
    """Making the pool does not raise; submitting does, as documented."""
    made = pool(2, initializer=fail, initargs=("no",))
    with pytest.raises(BrokenThreadPool, match="initializer") as raised:
        made.submit(square, 1)
    assert type(raised.value) is PoolBroken
    made.shutdown()


def test_an_initializer_that_is_no_function_is_a_type_error() -> None:
    """As documented."""
    with pytest.raises(TypeError, match="initializer must be a callable"):
        Pool(1, initializer=3)  # type: ignore[arg-type]


def test_threads_have_the_prefix_in_their_name(pool: MakePool) -> None:
    """As documented."""
    made = pool(1, thread_name_prefix="mine")
    name = made.submit(lambda: threading.current_thread().name).result(PATIENCE)
    assert name.startswith("mine")


def test_an_event_loop_runs_tasks_in_it(pool: MakePool) -> None:
    """`run_in_executor` takes it, and its futures can be awaited themselves."""
    made = pool()

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        return [await loop.run_in_executor(made, square, 5), await made.submit(square, 6)]

    assert asyncio.run(main()) == [25, 36]


def test_a_pool_that_nobody_holds_finishes_and_goes() -> None:
    """As a `ThreadPoolExecutor` does: what it was given is done, then its threads end."""
    made = Pool(1)
    gate = Gate()
    futures: list[Future[Any]] = [made.submit(gate.meet), made.submit(square, 2)]
    tree, gone = made.supervisor, weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None
    gate.open()
    assert futures[1].result(PATIENCE) == 4
    assert tree.wait(PATIENCE) is not None


def test_a_task_knows_its_worker(pool: MakePool) -> None:
    """`current()` is the worker's context, in the group that the pool is."""

    def who() -> tuple[Any, Any]:
        context = current()
        assert context is not None
        return context.id, context.group.id

    made = pool(1, name="fetchers")
    assert made.submit(who).result(PATIENCE) == (1, "fetchers")


def test_a_callback_that_fails_ends_no_worker(pool: MakePool) -> None:
    """It is logged, as the standard library does, and the worker goes on."""
    made = pool(1)
    gate = Gate()
    future = made.submit(gate.meet)
    future.add_done_callback(fail)
    gate.open()
    assert made.submit(square, 1).result(PATIENCE) == 1
    assert made.statistics().restarts == 0


def test_a_result_is_let_go_of_by_who_is_idle(pool: MakePool) -> None:
    """An idle worker keeps neither the task nor what it returned."""

    class Big:
        pass

    made = pool(1)
    future = made.submit(Big)
    gone = weakref.ref(future.result(PATIENCE))
    made.submit(square, 1).result(PATIENCE)
    del future
    gc.collect()
    assert gone() is None
