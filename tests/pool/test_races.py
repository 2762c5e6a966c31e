"""The races of a pool, each in its order: nothing is lost, and nobody waits for nothing."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from tests.pool.conftest import Line
from threadsup import Backoff, Pool, Retry
from threadsup._pool.backlog import Backlog
from threadsup._pool.work import Mapped, Submitted
from threadsup._runtime.future import Future

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pool.conftest import MakePool


class RefusedError(Exception):
    pass


def backlog(capacity: int | None = None) -> Backlog:
    return Backlog("pool 'p'", capacity, waits=True, is_own=lambda: False)


def work() -> Submitted:
    return Submitted(pow, (2, 3), {}, Future())


def seat(seen: list[str], name: str) -> Callable[[None], None]:
    return lambda _: seen.append(name)


# -- who is idle, and who submits --------------------------------------------------------


def test_a_task_that_comes_before_a_worker_sits_down_is_seen_by_it() -> None:
    """The worker looks again when it stands in the line."""
    queue = backlog()
    queue.put(work())
    assert not queue.sit_down(seat([], "a"))


def test_a_task_that_comes_after_wakes_the_worker() -> None:
    """And takes it out of the line: nobody else counts on it."""
    queue, seen = backlog(), list[str]()
    assert queue.sit_down(seat(seen, "a"))
    queue.put(work())
    assert seen == ["a"]
    assert not queue.idle


def test_each_task_wakes_one_worker_and_no_worker_twice() -> None:
    """A burst costs one wake-up for each idle worker."""
    queue, seen = backlog(), list[str]()
    for name in "abc":
        queue.sit_down(seat(seen, name))
    queue.put_all([work(), work()])
    assert seen == ["c", "b"]
    for _ in range(5):
        queue.put(work())
    assert seen == ["c", "b", "a"]


def test_a_worker_that_leaves_passes_its_wake_up_on() -> None:
    """It was woken for a task, and asked to stop before it took that."""
    queue, seen = backlog(), list[str]()
    queue.sit_down(seat(seen, "b"))
    queue.sit_down(seat(seen, "a"))
    queue.put(work())
    queue.leave(None)
    assert seen == ["a", "b"]


def test_no_task_waits_behind_a_long_one_while_somebody_is_idle(pool: MakePool) -> None:
    """Whoever is free takes the next one: with n - 1 workers held, all goes on."""
    made = pool(3)
    gate = Gate()
    for _ in range(2):
        made.submit(gate.meet)
    gate.wait_reached(2)
    assert [made.submit(pow, n, 2).result(PATIENCE) for n in range(50)] == [
        n * n for n in range(50)
    ]
    assert list(made.map(abs, range(50))) == list(range(50))
    gate.open()


def test_tasks_that_wait_for_each_other_are_all_begun(pool: MakePool) -> None:
    """As many as there are workers run at once, whoever was awake before."""
    made = pool(4)
    for _ in range(30):
        barrier = threading.Barrier(4)
        futures = [made.submit(barrier.wait, PATIENCE) for _ in range(4)]
        assert sorted(f.result(PATIENCE) for f in futures) == [0, 1, 2, 3]


# -- the end of accepting ----------------------------------------------------------------


def test_a_task_put_while_accepting_ends_is_taken_out_and_refused() -> None:
    """Between the look before and the look after, and nobody had it yet."""
    queue = backlog()
    push = queue._push

    def slow(task: Any) -> None:
        push(task)
        queue.close(RefusedError)

    queue._push = slow
    with pytest.raises(RefusedError):
        queue.put(work())
    assert len(queue) == 0


def test_a_task_that_somebody_took_meanwhile_is_accepted() -> None:
    """A worker has it, or who ended the pool; both see to it."""
    queue = backlog()
    push = queue._push

    def slow(task: Any) -> None:
        push(task)
        queue.close(RefusedError)
        queue.take()

    queue._push = slow
    queue.put(work())


def test_tasks_put_all_at_once_while_accepting_ends_are_all_refused() -> None:
    """None of them is left behind."""
    queue = backlog()

    class Slow(list[Any]):
        def __iter__(self) -> Any:
            if not queue.closed:
                queue.close(RefusedError)
            return super().__iter__()

    with pytest.raises(RefusedError):
        queue.put_all(Slow([work(), work()]))
    assert len(queue) == 0


def test_closing_wakes_all_who_are_idle_and_all_who_wait_for_room() -> None:
    """There is nothing to wait for any more."""
    queue, seen = backlog(1), list[str]()
    queue.sit_down(seat(seen, "a"))
    queue.sit_down(seat(seen, "b"))
    queue.close(RefusedError)
    assert sorted(seen) == ["a", "b"]


# -- pauses ------------------------------------------------------------------------------


@pytest.mark.usefixtures("lines")
def test_a_worker_that_is_done_before_the_pause_is_forgotten_leaves(pool: MakePool) -> None:
    """The last task comes back, is done, and its worker sleeps, all before the pause is off.

    It found the pause still there; so it is told when that is gone.
    """
    made = pool(1, retry=Retry(2, Backoff(0.01, 1, 1, 0)))
    tries = itertools.count()

    def task() -> None:
        if not next(tries):
            raise LookupError

    core = made._core
    back, idle = core.pauses._back, core.shared.idle
    done: Recorder[object] = Recorder()

    def slow(work: Any) -> None:
        assert isinstance(idle, Line)
        before = len(idle.came)
        work.future.add_done_callback(done)
        back(work)
        done.wait_for(1)
        idle.came.wait_for(before + 1)

    core.pauses._back = slow
    future = made.submit(task)
    made.shutdown(wait=False)
    assert future.result(PATIENCE) is None
    assert core.over.result(PATIENCE) is None


# -- what is mapped ----------------------------------------------------------------------


def test_a_result_that_comes_first_is_found() -> None:
    """The reader does not wait for it."""
    task = Mapped(abs, (1,), [])
    task.done(7)
    assert task.result(None) == 7


def test_a_result_that_comes_while_the_reader_lies_down_is_found() -> None:
    """The reader's wake-up is second in the box, and it sees that."""
    task = Mapped(abs, (1,), [])
    box = task._box

    class Box(list[Any]):
        def __bool__(self) -> bool:
            empty = not len(self)
            if empty:
                task.done(7)
            return not empty

    task._box = Box(box)
    assert task.result(None) == 7


def test_a_result_that_comes_later_wakes_the_reader() -> None:
    """Its wake-up is first in the box, and the worker finds it."""
    task = Mapped(abs, (1,), [])
    asleep: Recorder[object] = Recorder()

    class Box(list[Any]):
        def append(self, what: Any) -> None:
            super().append(what)
            asleep(what)

    task._box = Box()
    thread = threading.Thread(target=lambda: task.done(asleep.wait_for(1) and 7))
    thread.start()
    assert task.result(None) == 7
    thread.join(PATIENCE)


# -- stops and crashes -------------------------------------------------------------------


def test_a_task_taken_by_a_worker_that_is_to_leave_goes_to_another(pool: MakePool) -> None:
    """It is put back to the front, and whoever is idle is woken for it."""
    made = pool(2)
    gate = Gate()
    posts = list(made._crew._posts.values())
    blocked = made.submit(gate.meet)
    gate.wait_reached()
    posts[0].dismissed = posts[1].dismissed = True  # and not told: each finds out by itself
    future = made.submit(pow, 2, 3)
    made.resize(3)
    posts[0].dismissed = posts[1].dismissed = False
    gate.open()
    assert blocked.result(PATIENCE) is None
    assert future.result(PATIENCE) == 8


def test_workers_that_crash_while_tasks_come_lose_none(pool: MakePool) -> None:
    """Every future ends, with its value or with the crash."""
    made = pool(3, max_restarts=1000, backoff=Backoff.none())

    def task(n: int) -> int:
        if n % 10 == 3:
            raise SystemExit
        return n

    futures = [made.submit(task, n) for n in range(200)]
    crashed = sum(f.exception(PATIENCE) is not None for f in futures)
    assert crashed == 20


@pytest.mark.parametrize("capacity", [1, 20])
def test_a_shutdown_in_the_middle_of_submitting_loses_none(capacity: int) -> None:
    """What was accepted is done, what was not was refused: there is no third."""
    for _ in range(5):
        made = Pool(2, capacity=capacity)
        accepted: list[Future[int]] = []
        begun = threading.Event()

        def send(made: Pool = made, accepted: Any = accepted, begun: Any = begun) -> None:
            for n in itertools.count():
                try:
                    accepted.append(made.submit(pow, n, 1))
                except RuntimeError:
                    return
                if n == 10:
                    begun.set()

        threads = [threading.Thread(target=send) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert begun.wait(PATIENCE)
        made.shutdown()
        for thread in threads:
            thread.join(PATIENCE)
        assert all(f.done() and f.exception() is None for f in accepted)
        counts = made.statistics()
        assert counts.accepted == counts.handled == len(accepted)
