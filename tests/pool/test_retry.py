"""A task that failed is tried again, and no worker waits for that."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import Backoff, Pool, Retry

if TYPE_CHECKING:
    from tests.pool.conftest import MakePool

LONG = Backoff(1000, 1, 1000, 0)


def flaky(tries: itertools.count[int], good: int) -> int:
    n = next(tries)
    if n < good:
        raise LookupError(n)
    return n


def test_a_task_is_tried_again_until_it_succeeds(pool: MakePool) -> None:
    """As often as the rule says, and the future hears of the end only."""
    made = pool(1, retry=Retry(3, Backoff.none()))
    assert made.submit(flaky, itertools.count(1), 3).result(PATIENCE) == 3
    assert list(made.map(flaky, [itertools.count(1)], [2])) == [2]
    assert made.statistics().retried == 3


def test_a_task_that_never_succeeds_fails_with_its_last_error(pool: MakePool) -> None:
    """After as many attempts as the rule says."""
    made = pool(1, retry=Retry(3, Backoff.none()))
    error = made.submit(flaky, itertools.count(1), 100).exception(PATIENCE)
    assert type(error) is LookupError
    assert error.args == (3,)


def test_an_error_that_is_not_meant_fails_the_task_at_once(pool: MakePool) -> None:
    """`on` says which errors are worth another attempt."""
    made = pool(1, retry=Retry(3, Backoff.none(), on=OSError))
    error = made.submit(flaky, itertools.count(1), 100).exception(PATIENCE)
    assert type(error) is LookupError
    assert error.args == (1,)


def test_no_worker_waits_with_a_task_in_a_pause(pool: MakePool) -> None:
    """The only worker does other tasks meanwhile, however long the pause."""
    made = pool(1, retry=Retry(2, LONG))
    paused = made.submit(flaky, itertools.count(1), 2)
    assert [made.submit(pow, n, 2).result(PATIENCE) for n in range(5)] == [0, 1, 4, 9, 16]
    assert not paused.done()
    assert made.statistics().pending == 1


def test_a_pause_is_as_long_as_it_says(pool: MakePool) -> None:
    """Pauses end in the order of their time, not of their beginning."""
    made = pool(1, retry=Retry(2, Backoff(0.05, 1, 1, 0)))
    seen: Recorder[float] = Recorder()

    def work() -> None:
        seen(time.monotonic())
        raise LookupError

    made.submit(work).exception(PATIENCE)
    first, second = seen.items
    assert second - first >= 0.05


def test_a_shutdown_waits_for_what_is_in_a_pause() -> None:
    """It was accepted, so it is finished; idle workers stay for it."""
    made = Pool(2, retry=Retry(2, Backoff(0.05, 1, 1, 0)))
    future = made.submit(flaky, itertools.count(1), 2)
    made.shutdown()
    assert future.result(0) == 2


def test_a_shutdown_that_cancels_ends_pauses(pool: MakePool) -> None:
    """What waits for another attempt has failed, with the error of its last one."""
    made = pool(1, retry=Retry(2, LONG))
    paused = made.submit(flaky, itertools.count(1), 2)
    made.submit(pow, 1, 1).result(PATIENCE)
    made.shutdown(cancel_futures=True)
    assert type(paused.exception(0)) is LookupError


def test_a_task_that_fails_after_such_a_shutdown_is_not_tried_again(pool: MakePool) -> None:
    """There are no more pauses to be put into."""
    made = pool(1, retry=Retry(2, LONG))
    gate = Gate()

    def work() -> None:
        gate.meet()
        raise LookupError

    future = made.submit(work)
    gate.wait_reached()
    made.shutdown(wait=False, cancel_futures=True)
    gate.open()
    assert type(future.exception(PATIENCE)) is LookupError


def test_many_pauses_end_by_one_timer(pool: MakePool) -> None:
    """Tasks that fail at once come back at once, and all are done."""
    made = pool(4, retry=Retry(3, Backoff(0.01, 1, 1, 1)))
    futures = [made.submit(flaky, itertools.count(1), 1 + n % 3) for n in range(200)]
    assert [f.result(PATIENCE) for f in futures] == [1 + n % 3 for n in range(200)]


@pytest.mark.parametrize("attempts", [1, 2])
def test_the_last_error_holds_no_worker(pool: MakePool, attempts: int) -> None:
    """A failed future is settled once, whatever the number of attempts."""
    made = pool(1, retry=Retry(attempts, Backoff.none()))
    calls: Recorder[object] = Recorder()
    future = made.submit(flaky, itertools.count(1), 100)
    future.add_done_callback(calls)
    made.shutdown()
    assert len(calls) == 1
