"""A pool with a breaker stops making calls that fail, for a while."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tests.helpers import PATIENCE, Gate
from threadsup import Backoff, Breaker, BreakerOpen, Retry

if TYPE_CHECKING:
    from tests.pool.conftest import MakePool

SHORT = Breaker(failures=2, reset_after=0.01)
LONG = Breaker(failures=2, reset_after=1000.0)


def test_an_open_breaker_fails_tasks_without_running_them(pool: MakePool) -> None:
    """After so many failures in a row the futures raise `BreakerOpen`, with the time to wait."""
    made = pool(1, breaker=LONG)
    ran = itertools.count()

    def fail() -> None:
        next(ran)
        raise LookupError

    errors = [made.submit(fail).exception(PATIENCE) for _ in range(4)]
    assert [type(e) for e in errors] == [LookupError, LookupError, BreakerOpen, BreakerOpen]
    assert next(ran) == 2
    last = errors[-1]
    assert isinstance(last, BreakerOpen)
    assert 0 < last.retry_after <= 1000.0
    assert made.breaker_state == "open"


def test_it_closes_again_when_a_probe_succeeds(pool: MakePool) -> None:
    """Once its time is up one call is let through."""
    made = pool(1, breaker=SHORT, init=lambda: "state")

    def work(state: str, x: int) -> str:
        if x:
            raise LookupError
        return state

    for _ in range(2):
        made.submit(work, 1).exception(PATIENCE)
    while made.submit(work, 0).exception(PATIENCE) is not None:
        pass
    assert made.breaker_state == "closed"
    assert made.submit(work, 0).result(PATIENCE) == "state"


def test_a_task_that_meets_an_open_breaker_is_not_tried_again(pool: MakePool) -> None:
    """That would be in vain; the error of its last attempt is the cause."""
    made = pool(1, breaker=LONG, retry=Retry(10, Backoff.none()))

    def fail() -> None:
        raise LookupError

    error = made.submit(fail).exception(PATIENCE)
    assert type(error) is BreakerOpen
    assert type(error.__cause__) is LookupError
    assert made.statistics().retried == 2


def test_a_task_that_was_abandoned_counts_as_a_failure(pool: MakePool) -> None:
    """Its thread cannot report, so it is done for it."""
    gate = Gate()
    made = pool(1, breaker=Breaker(failures=1, reset_after=1000.0), time_limit=0.05)
    made.submit(gate.meet).exception(PATIENCE)
    assert type(made.submit(pow, 1, 1).exception(PATIENCE)) is BreakerOpen
    gate.open()


def test_a_pool_without_a_breaker_has_no_state(pool: MakePool) -> None:
    """There is nothing to tell."""
    assert pool(1).breaker_state is None
    assert pool(1, breaker=LONG).breaker_state == "closed"
