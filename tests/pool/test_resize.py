"""A pool gets more workers, or fewer, while it works."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate
from threadsup import Backoff, Pool, SpecError, StartError

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from tests.pool.conftest import MakePool


def test_workers_that_are_added_take_what_waits(pool: MakePool) -> None:
    """At once."""
    made = pool(1)
    gate = Gate()
    made.submit(gate.meet)
    gate.wait_reached()
    future = made.submit(pow, 2, 3)
    made.resize(3)
    assert len(made) == 3
    assert future.result(PATIENCE) == 8
    gate.open()


def test_workers_that_are_too_many_leave_after_the_task_in_hand(pool: MakePool) -> None:
    """No task is cut short, and no slot of the tree stays behind."""
    made = pool(3, name="mine")
    gate = Gate()
    running = [made.submit(gate.meet) for _ in range(3)]
    gate.wait_reached(3)
    made.resize(1)
    assert len(made) == 1
    gate.open()
    assert [f.result(PATIENCE) for f in running] == [None] * 3
    barrier = threading.Barrier(2)
    meeting = [made.submit(barrier.wait, 0.05) for _ in range(2)]
    assert all(f.exception(PATIENCE) is not None for f in meeting)
    assert made.statistics().handled == 3


def test_idle_workers_leave_at_once(pool: MakePool) -> None:
    """They are woken for it, and taken out of the tree."""
    made = pool(4, name="mine")
    refs: list[Any] = [made.supervisor.group("mine")[n] for n in (3, 4)]
    made.resize(2)
    assert [ref.wait(PATIENCE) is not None for ref in refs] == [True, True]
    assert made.submit(pow, 2, 3).result(PATIENCE) == 8


def test_a_number_that_is_none_is_refused(pool: MakePool) -> None:
    """It is a whole number of at least 1."""
    made = pool(1)
    for wrong in (0, 1.5, True, None):
        with pytest.raises(SpecError, match="workers"):
            made.resize(wrong)  # type: ignore[arg-type]


def test_a_worker_that_cannot_be_added_is_not_there(pool: MakePool) -> None:
    """Its error is told, the others work on."""
    works = itertools.count()

    def init() -> None:
        if next(works):
            raise LookupError

    made = pool(1, init=init, backoff=Backoff.none())
    with pytest.raises(StartError):
        made.resize(2)
    assert len(made) == 1
    assert made.submit(lambda state: 8).result(PATIENCE) == 8


def test_a_pool_of_a_given_supervisor_can_be_resized(supervisor: MakeSupervisor) -> None:
    """Its group is what grows and shrinks."""
    with supervisor() as sup, Pool(1, supervisor=sup) as made:
        made.resize(4)
        barrier = threading.Barrier(4)
        futures = [made.submit(barrier.wait, PATIENCE) for _ in range(4)]
        assert sorted(f.result(PATIENCE) for f in futures) == [0, 1, 2, 3]


def test_resizing_again_and_again_keeps_every_task(pool: MakePool) -> None:
    """Whoever comes or goes meanwhile."""
    made = pool(2)
    futures = []
    for size in (4, 1, 3, 2, 5, 1, 2):
        futures += [made.submit(pow, n, 1) for n in range(20)]
        made.resize(size)
    assert [f.result(PATIENCE) for f in futures] == list(range(20)) * 7
    made.shutdown()
    assert made.statistics().handled == 140
