"""With `routing="partition"` tasks of one key go to one worker, in order."""

from __future__ import annotations

import threading
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import Backoff, Retry, current
from threadsup._pool.partition import Lane, Partition

if TYPE_CHECKING:
    from tests.pool.conftest import MakePool
    from threadsup import Pool


def first(*args: Any, **kwargs: Any) -> Any:
    return args[0]


def keys_by_lane(made: Pool) -> dict[int, list[str]]:
    """Return keys by the number of the lane they belong to."""
    partition = made._core.partition
    assert partition is not None
    found: dict[int, list[str]] = defaultdict(list)
    for n in range(100):
        key = f"key-{n}"
        found[partition.lanes.index(partition.lane_of(key))].append(key)
    return found


def test_tasks_of_one_key_run_in_order_by_one_worker(pool: MakePool) -> None:
    """Whoever else is idle."""
    made = pool(3, routing="partition", key=first)
    seen: Recorder[tuple[str, int, Any]] = Recorder()

    def work(key: str, n: int) -> None:
        context = current()
        assert context is not None
        seen((key, n, context.id))

    futures = [made.submit(work, key, n) for n in range(20) for key in "abcdef"]
    for future in futures:
        future.result(PATIENCE)
    for key in "abcdef":
        mine = [(n, worker) for k, n, worker in seen.items if k == key]
        assert [n for n, _ in mine] == list(range(20))
        assert len({worker for _, worker in mine}) == 1


def test_map_goes_by_key_as_well(pool: MakePool) -> None:
    """The key is that of the arguments."""
    made = pool(3, routing="partition", key=first)
    assert list(made.map(lambda key, n: (key, n), "abab", range(4))) == [
        ("a", 0),
        ("b", 1),
        ("a", 2),
        ("b", 3),
    ]


def test_a_key_of_a_wrong_type_is_refused_at_the_caller(pool: MakePool) -> None:
    """As is a key function that fails; nothing is submitted."""
    made = pool(2, routing="partition", key=first)
    with pytest.raises(TypeError, match="a key must be"):
        made.submit(str, 1.5)
    with pytest.raises(IndexError):
        made.submit(str)
    assert made.statistics().accepted == 0


def test_a_crash_keeps_the_order_of_a_key(pool: MakePool) -> None:
    """The next life of the worker goes on with what waits there."""
    made = pool(2, routing="partition", key=first)
    seen: Recorder[int] = Recorder()

    def work(key: str, n: int) -> None:
        seen(n)
        if n == 1:
            raise SystemExit

    futures = [made.submit(work, "a", n) for n in range(4)]
    assert [f.exception(PATIENCE) is None for f in futures] == [True, False, True, True]
    assert seen.items == [0, 1, 2, 3]


def test_a_key_that_moves_waits_for_its_task_in_hand(pool: MakePool) -> None:
    """After a resize its next task begins at the new worker, but not before the old is over."""
    made = pool(1, routing="partition", key=first)
    gate = Gate()
    order: Recorder[str] = Recorder()

    def work(key: str, what: str, *, hold: bool = False) -> Any:
        if hold:
            gate.meet()
        order(f"{key} {what}")
        context = current()
        assert context is not None
        return context.id

    made.submit(work, "unused", "0").result(PATIENCE)
    # Which keys will belong to the second of two workers.
    made.resize(2)
    moved = keys_by_lane(made)[1][0]
    made.resize(1)
    held = made.submit(work, moved, "first", hold=True)
    gate.wait_reached()
    queued = made.submit(work, moved, "second")
    made.resize(2)
    late = made.submit(work, moved, "third")
    other = keys_by_lane(made)[1][1]
    beside = made.submit(work, other, "beside")
    assert not queued.done()
    assert not late.done()
    gate.open()
    places = [f.result(PATIENCE) for f in (held, queued, late, beside)]
    assert [text for text in order.items if text.startswith(f"{moved} ")] == [
        f"{moved} first",
        f"{moved} second",
        f"{moved} third",
    ]
    assert places[0] != places[1] == places[2]


def test_a_key_that_moves_twice_still_waits(pool: MakePool) -> None:
    """To a worker and back, while its task is in hand at one that is to leave."""
    made = pool(2, routing="partition", key=first)
    second = keys_by_lane(made)[1][0]
    gate = Gate()
    order: Recorder[int] = Recorder()

    def work(key: str, n: int) -> None:
        if n == 0:
            gate.meet()
        order(n)

    futures = [made.submit(work, second, n) for n in range(3)]
    gate.wait_reached()
    made.resize(1)
    futures.append(made.submit(work, second, 3))
    made.resize(3)
    futures.append(made.submit(work, second, 4))
    gate.open()
    for future in futures:
        future.result(PATIENCE)
    assert order.items == [0, 1, 2, 3, 4]


def test_what_a_worker_on_its_way_out_has_taken_goes_to_its_key() -> None:
    """Not into the lane that goes with it, where nobody would ever look."""

    class Task:
        key = "a"

    make: Any = partial(Lane, "p", None, waits=True, is_own=lambda: False)
    partition = Partition(make, 1)
    (lane,) = partition.lanes
    first_of_all: Any = Task()
    second: Any = Task()
    lane.add(first_of_all)
    assert lane.take() is first_of_all
    heir = partition.another()
    partition.settle([heir])
    heir.add(second)
    with pytest.raises(IndexError):
        heir.take()
    partition.give_back(first_of_all, lane)
    assert [heir.take(), heir.take()] == [first_of_all, second]


def test_a_key_does_not_wait_for_a_thread_that_was_given_up(pool: MakePool) -> None:
    """Past the time limit it goes on, wherever it belongs now."""
    made = pool(1, routing="partition", key=first, time_limit=0.1)
    gate = Gate()
    made.resize(2)
    moved = keys_by_lane(made)[1][0]
    made.resize(1)
    stuck = made.submit(lambda key: gate.meet(), moved)
    gate.wait_reached()
    made.resize(2)
    future = made.submit(str, moved)
    assert future.result(PATIENCE) == moved
    assert stuck.exception(PATIENCE) is not None
    gate.open()


def test_many_keys_keep_their_order_while_workers_come_and_go(pool: MakePool) -> None:
    """No two tasks of one key overlap, none is lost, all are in order."""
    made = pool(2, routing="partition", key=first)
    seen: dict[int, list[int]] = defaultdict(list)
    inside: dict[int, threading.Lock] = defaultdict(threading.Lock)
    for key in range(10):
        inside[key], seen[key] = threading.Lock(), []

    def work(key: int, n: int) -> None:
        assert inside[key].acquire(blocking=False)
        seen[key].append(n)
        inside[key].release()

    futures = []
    for n in range(60):
        futures += [made.submit(work, key, n) for key in range(10)]
        if n % 6 == 0:
            made.resize(1 + n // 6 % 4)
    for future in futures:
        future.result(PATIENCE)
    assert all(numbers == list(range(60)) for numbers in seen.values())


def test_a_task_that_is_tried_again_comes_back_to_its_key(pool: MakePool) -> None:
    """To the worker of its key, behind what waits there."""
    made = pool(3, routing="partition", key=first, retry=Retry(2, Backoff.none()))
    workers: Recorder[Any] = Recorder()

    def work(key: str) -> None:
        context = current()
        assert context is not None
        workers(context.id)
        if len(workers) == 1:
            raise LookupError

    made.submit(work, "a").result(PATIENCE)
    one, other = workers.items
    assert one == other


def test_each_worker_has_the_capacity(pool: MakePool) -> None:
    """A full worker refuses its keys; others have room."""
    made = pool(2, routing="partition", key=first, capacity=1, on_full="raise")
    keys = keys_by_lane(made)
    gate = Gate()
    made.submit(lambda key: gate.meet(), keys[0][0])
    gate.wait_reached()
    made.submit(str, keys[0][1])
    with pytest.raises(Exception, match="no room"):
        made.submit(str, keys[0][2])
    assert made.submit(str, keys[1][0]).result(PATIENCE) == keys[1][0]
    gate.open()
