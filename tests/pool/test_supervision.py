"""The workers of a pool are supervised: what ends one ends nobody else."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import (
    Abandoned,
    Backoff,
    Crashed,
    DeadLetter,
    DuplicateChildError,
    MailboxClosed,
    Pool,
    PoolBroken,
    Retry,
    Shutdown,
    StartError,
    WorkerExit,
    WorkerExited,
    events,
    sleep,
)
from threadsup._runtime.context import Wakeup

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from tests.pool.conftest import MakePool


def leave(code: object = None) -> None:
    raise SystemExit(code)


def restarted(made: Pool, times: int = 1) -> None:
    """Wait until so many workers of the pool have been started again."""
    seen: Recorder[object] = Recorder()
    end = made.supervisor.subscribe(seen)
    for event in made.supervisor.history():
        seen(event)
    seen.wait_until(
        lambda items: (
            len(
                {
                    (e.path, e.incarnation)
                    for e in items
                    if isinstance(e, events.WorkerStarted) and e.incarnation > 1
                }
            )
            >= times
        )
    )
    end()


@pytest.mark.parametrize("code", [0, None, 3])
def test_a_task_that_leaves_is_a_crash(pool: MakePool, code: object) -> None:
    """Whatever code it leaves with: the future is told, and the worker comes back."""
    made = pool(1)
    error = made.submit(leave, code).exception(PATIENCE)
    assert type(error) is WorkerExited
    assert type(error.__cause__) is SystemExit
    assert isinstance(error.reason, Crashed)
    assert made.submit(pow, 2, 3).result(PATIENCE) == 8
    assert made.statistics().restarts == 1


def test_a_task_cannot_end_its_worker_on_purpose(pool: MakePool) -> None:
    """`WorkerExit` out of a task is a crash as well: the pool keeps its size."""

    def work() -> None:
        raise WorkerExit

    made = pool(1)
    assert type(made.submit(work).exception(PATIENCE)) is WorkerExited
    assert made.submit(pow, 2, 3).result(PATIENCE) == 8


def test_a_crash_touches_no_other_task(pool: MakePool) -> None:
    """What another worker has in hand goes on, and what waits is done."""
    made = pool(2)
    gate = Gate()
    running = made.submit(gate.meet)
    gate.wait_reached()
    crashed = made.submit(leave)
    waiting = [made.submit(pow, n, 2) for n in range(5)]
    assert type(crashed.exception(PATIENCE)) is WorkerExited
    assert [f.result(PATIENCE) for f in waiting] == [0, 1, 4, 9, 16]
    gate.open()
    assert running.result(PATIENCE) is None


def test_map_raises_the_crash_at_its_place(pool: MakePool) -> None:
    """A crash in a mapped task is an error as any other to the reader."""
    made = pool(1)
    results = made.map(lambda x: leave() if x == 1 else x, [0, 1, 2])
    assert next(results) == 0
    with pytest.raises(WorkerExited):
        next(results)


def test_a_crash_costs_one_attempt_and_one_restart(pool: MakePool) -> None:
    """With a `Retry` the task is done by the next life."""
    tries = itertools.count(1)

    def work() -> int:
        n = next(tries)
        if n < 3:
            leave()
        return n

    made = pool(1, retry=Retry(3, Backoff.none()))
    assert made.submit(work).result(PATIENCE) == 3
    counts = made.statistics()
    assert (counts.restarts, counts.retried, counts.failed, counts.handled) == (2, 2, 0, 1)
    assert counts.accepted == 1


def test_a_pool_past_its_budget_is_broken(pool: MakePool) -> None:
    """All that waits fails at once, and so does submitting, both with the reason."""
    made = pool(1, max_restarts=0)
    gate = Gate()

    def work() -> None:
        gate.meet()
        leave(5)

    crashed = made.submit(work)
    waiting = made.submit(pow, 1, 1)
    mapped = made.map(abs, [1])
    gate.wait_reached()
    gate.open()
    assert type(crashed.exception(PATIENCE)) is WorkerExited
    error = waiting.exception(PATIENCE)
    assert type(error) is PoolBroken
    assert "SystemExit: 5" in str(error)
    with pytest.raises(PoolBroken):
        next(mapped)
    with pytest.raises(PoolBroken, match="SystemExit: 5"):
        made.submit(pow, 1, 1)
    made.shutdown()
    counts = made.statistics()
    assert (counts.accepted, counts.failed, counts.undelivered, counts.pending) == (3, 1, 2, 0)
    assert made.supervisor.wait(PATIENCE) is not None


def test_what_waits_for_another_attempt_fails_with_a_broken_pool(pool: MakePool) -> None:
    """A pause of any length ends with the pool."""
    made = pool(1, max_restarts=0, retry=Retry(2, Backoff(1000, 1, 1000), on=LookupError))

    def lookup() -> None:
        raise LookupError

    paused = made.submit(lookup)
    made.submit(leave)
    assert type(paused.exception(PATIENCE)) is PoolBroken


def test_a_worker_past_the_time_limit_is_replaced(pool: MakePool) -> None:
    """The future is told, the next task is done by another thread, and the old counts no more."""
    made = pool(1, time_limit=0.05)
    gate = Gate()
    stuck = made.submit(gate.meet)
    error = stuck.exception(PATIENCE)
    assert type(error) is WorkerExited
    assert isinstance(error.reason, Abandoned)
    assert made.submit(pow, 2, 3).result(PATIENCE) == 8
    gate.open()
    made.shutdown()
    counts = made.statistics()
    assert (counts.accepted, counts.handled, counts.failed, counts.restarts) == (2, 1, 1, 1)


def test_a_task_past_the_time_limit_is_tried_again(pool: MakePool) -> None:
    """An overrun is a failed attempt, and what the abandoned thread returns is for nobody."""
    gate, tries = Gate(), itertools.count(1)

    def work() -> int:
        n = next(tries)
        if n == 1:
            gate.meet()
        return n

    made = pool(1, time_limit=0.05, retry=Retry(2, Backoff.none()))
    future = made.submit(work)
    assert future.result(PATIENCE) == 2
    gate.open()
    made.shutdown()
    counts = made.statistics()
    assert (counts.accepted, counts.handled, counts.retried, counts.failed) == (1, 1, 1, 0)


def test_too_many_abandoned_threads_break_the_pool(pool: MakePool) -> None:
    """Past `max_zombies` nobody goes on filling the process with threads."""
    gate = Gate()
    made = pool(1, time_limit=0.02, max_zombies=0)
    stuck = made.submit(gate.meet)
    waiting = made.submit(gate.meet)
    assert type(stuck.exception(PATIENCE)) is WorkerExited
    assert type(waiting.exception(PATIENCE)) in (PoolBroken, WorkerExited)
    gate.open()
    made.supervisor.wait(PATIENCE)


def test_each_life_of_a_worker_has_its_state(pool: MakePool) -> None:
    """`init` runs once per life, and what it returns is the first argument of each task."""
    made_states: Recorder[int] = Recorder()
    numbers = itertools.count(1)

    def init() -> list[int]:
        n = next(numbers)
        made_states(n)
        return [n]

    def work(state: list[int], x: int, y: int = 0) -> tuple[int, int]:
        if x == 0:
            leave()
        state[0] += 100
        return state[0], x + y

    made = pool(1, init=init)
    assert made.submit(work, 1, y=2).result(PATIENCE) == (101, 3)
    assert list(made.map(work, [5])) == [(201, 5)]
    assert type(made.submit(work, 0).exception(PATIENCE)) is WorkerExited
    assert made.submit(work, 1).result(PATIENCE) == (102, 1)
    assert made_states.items == [1, 2]


def test_an_init_that_fails_is_told_to_who_makes_the_pool() -> None:
    """Nothing runs then, and the error is the cause."""
    before = threading.active_count()
    with pytest.raises(StartError) as raised:
        Pool(2, init=lambda: 1 // 0)
    assert type(raised.value.__cause__) is ZeroDivisionError
    assert threading.active_count() == before


def test_an_init_that_fails_later_breaks_the_pool_in_the_end(pool: MakePool) -> None:
    """Each failed start is paid for; past the budget what waits fails."""
    works = itertools.count()

    def init() -> None:
        if next(works):
            raise LookupError("no more")

    made = pool(1, init=init, backoff=Backoff.none())
    made.submit(lambda _: leave())
    waiting = made.submit(lambda _: None)
    error = waiting.exception(PATIENCE)
    assert type(error) is PoolBroken
    assert "no more" in str(error)


def test_a_pool_is_a_group_of_a_given_supervisor(supervisor: MakeSupervisor) -> None:
    """Its workers are in the tree; a shutdown takes them out and leaves the tree alone."""
    sup = supervisor()
    with sup:
        with Pool(2, name="fetchers", supervisor=sup) as made:
            assert made.submit(pow, 2, 3).result(PATIENCE) == 8
            assert tuple(sup.group("fetchers")) == (1, 2)
            assert made.supervisor is sup
        seen: Recorder[int] = Recorder()
        sup.add_worker(seen, 1)
        seen.wait_for(1)
        assert "fetchers" not in sup
        assert made.statistics().handled == 1
        with pytest.raises(RuntimeError):
            made.submit(pow, 1, 1)


def test_a_pool_may_be_made_before_its_supervisor_is_started(supervisor: MakeSupervisor) -> None:
    """What is submitted early waits, and is done when the tree runs."""
    sup = supervisor()
    made = Pool(1, supervisor=sup)
    future = made.submit(pow, 2, 3)
    with sup:
        assert future.result(PATIENCE) == 8
        made.shutdown()


def test_a_pool_whose_supervisor_never_ran_can_be_shut_down(supervisor: MakeSupervisor) -> None:
    """It does not wait for workers that nobody starts; what waits has failed."""
    sup = supervisor()
    made = Pool(1, supervisor=sup)
    future = made.submit(pow, 2, 3)
    made.shutdown()
    assert type(future.exception(0)) is PoolBroken
    sup.start()


def test_a_pool_ends_with_its_supervisor(supervisor: MakeSupervisor) -> None:
    """The task in hand is finished, what waits fails, and submitting says why."""
    sup = supervisor()
    gate = Gate()
    gate.open()

    def until_asked() -> bool:
        gate.meet()
        return Wakeup().wait(PATIENCE, give_way=True)

    with sup:
        made = Pool(1, supervisor=sup)
        running = made.submit(until_asked)
        waiting = made.submit(pow, 1, 1)
        gate.wait_reached()
        sup.request_stop()
    assert running.result(PATIENCE) is False
    assert type(waiting.exception(PATIENCE)) is PoolBroken
    with pytest.raises(PoolBroken, match="stopping"):
        made.submit(pow, 1, 1)
    made.shutdown()


def test_a_task_that_waits_leaves_when_the_tree_is_stopped(supervisor: MakeSupervisor) -> None:
    """`threadsup.sleep` ends with the time for stopping; the task has failed, not crashed."""
    sup = supervisor()
    inside = Gate()

    def work() -> None:
        inside.meet()
        sleep(1000)

    with sup:
        made = Pool(1, supervisor=sup, shutdown=0.02, retry=Retry(5))
        future = made.submit(work)
        inside.open()
        inside.wait_reached()
        sup.stop()
    assert type(future.exception(PATIENCE)) in (WorkerExited, PoolBroken)


def test_workers_stopped_by_hand_leave_the_queue_to_their_return(
    supervisor: MakeSupervisor,
) -> None:
    """A group that is stopped and started again goes on with what was submitted."""
    sup = supervisor()
    with sup:
        made = Pool(1, name="mine", supervisor=sup)
        sup.stop_child("mine")
        future = made.submit(pow, 2, 3)
        assert not future.done()
        sup.restart_child("mine")
        assert future.result(PATIENCE) == 8
        made.shutdown()


def test_a_worker_of_a_pool_takes_no_messages(pool: MakePool) -> None:
    """Who tells it something gets a dead letter, and the pool works on."""
    made = pool(1, name="mine")
    ref = made.supervisor.group("mine")[1]
    with pytest.raises(TypeError, match=r"use submit\(\)"):
        ref.ask("hello", timeout=PATIENCE)
    assert made.submit(pow, 2, 3).result(PATIENCE) == 8


def test_a_name_that_is_taken_is_refused(pool: MakePool) -> None:
    """By another pool of that name, or another child of the supervisor."""
    first = pool(1, name="taken")
    with pytest.raises(DuplicateChildError):
        Pool(1, name="taken")
    with pytest.raises(DuplicateChildError):
        Pool(1, name="taken", supervisor=first.supervisor)
    assert first.submit(pow, 2, 3).result(PATIENCE) == 8


def test_a_dead_letter_says_what_will_never_be_done(pool: MakePool) -> None:
    """Each task that failed for good is told once, with what was to be called."""
    letters: Recorder[DeadLetter] = Recorder()

    def work(x: int) -> None:
        raise LookupError(x)

    made = pool(1, name="mine", on_dead_letter=letters, retry=Retry(2, Backoff.none()))
    made.submit(work, 7)
    letter = letters.wait_for(1)[0]
    assert letter.message.fn is work
    assert letter.message.args == (7,)
    assert letter.reason == "failed"
    assert letter.error == "LookupError: 7"
    assert "in work" in letter.traceback
    assert letter.scope == "mine"
    made.shutdown()
    assert len(letters) == 1
    assert len(made.supervisor.dead_letters()) == 1


def test_an_error_of_a_task_is_no_dead_letter_unless_asked(pool: MakePool) -> None:
    """It is in the future; a crash is recorded anyway."""
    made = pool(1)
    assert made.submit(int, "x").exception(PATIENCE) is not None
    assert made.submit(leave).exception(PATIENCE) is not None
    made.shutdown()
    (letter,) = made.supervisor.dead_letters()
    assert letter.error.startswith("WorkerExited")


def test_an_on_dead_letter_that_fails_harms_nobody(pool: MakePool) -> None:
    """It runs beside the workers, and is contained."""

    def fail(letter: DeadLetter) -> None:
        raise RuntimeError

    made = pool(1, on_dead_letter=fail)
    assert made.submit(int, "x").exception(PATIENCE) is not None
    assert made.submit(pow, 2, 3).result(PATIENCE) == 8


def test_the_counts_add_up_when_it_is_quiet(pool: MakePool) -> None:
    """Accepted is handled, failed, undelivered and pending, over all workers there were."""
    made = pool(
        3, retry=Retry(2, Backoff.none(), on=KeyError), max_restarts=100, backoff=Backoff.none()
    )

    def work(n: int) -> int:
        if n % 7 == 0:
            leave()
        if n % 5 == 0:
            raise KeyError(n)
        return n

    futures = [made.submit(work, n) for n in range(100)]
    made.resize(1)
    made.resize(4)
    for future in futures:
        future.exception(PATIENCE)
    made.shutdown()
    counts = made.statistics()
    assert counts.accepted == 100
    assert counts.accepted == counts.handled + counts.failed + counts.undelivered + counts.pending
    assert counts.failed == sum(1 for n in range(100) if n % 7 == 0 or n % 5 == 0)
    assert counts.retried == sum(1 for n in range(100) if n % 7 and n % 5 == 0)


def test_a_fresh_life_takes_what_waits(pool: MakePool) -> None:
    """A restart pause holds up its own worker only; then it looks for itself."""
    made = pool(1)
    made.submit(leave)
    future = made.submit(pow, 2, 3)
    assert future.result(PATIENCE) == 8
    restarted(made)


def test_a_stop_of_the_tree_is_bounded_with_a_hung_task(pool: MakePool) -> None:
    """`supervisor.stop(timeout)` abandons what does not end."""
    gate = Gate()
    made = pool(1)
    stuck = made.submit(gate.meet)
    gate.wait_reached()
    began = time.monotonic()
    report = made.supervisor.stop(timeout=0.05)
    assert time.monotonic() - began < PATIENCE
    assert not report.clean
    assert type(stuck.exception(PATIENCE)) is WorkerExited
    gate.open()


def test_a_message_told_after_the_end_is_refused(pool: MakePool) -> None:
    """The ref of a worker that left says so."""
    made = pool(1, name="mine")
    ref: Any = made.supervisor.group("mine")[1]
    made.shutdown()
    with pytest.raises(MailboxClosed):
        ref.tell("hello")


@pytest.mark.parametrize("drain", [False, True])
def test_a_worker_can_be_stopped_by_its_ref(pool: MakePool, *, drain: bool) -> None:
    """What is queued is the pool's: the others do it, and no drain waits for it."""
    made = pool(2, name="mine")
    gate = Gate()
    made.submit(gate.meet)
    gate.wait_reached()
    refs = [made.supervisor.group("mine")[n] for n in (1, 2)]
    idle = next(ref for ref in refs if ref.statistics().in_hand_since is None)
    assert idle.stop(drain=drain, timeout=PATIENCE)
    waiting = made.submit(pow, 2, 3)
    gate.open()
    assert waiting.result(PATIENCE) == 8
    made.supervisor.group("mine").restart_child(idle.id)
    assert idle.is_alive()


def test_a_worker_that_is_asked_to_stop_puts_the_next_task_back(pool: MakePool) -> None:
    """It had just taken it; the other worker does it."""
    made = pool(1, name="mine")
    inside = Gate()
    inside.open()
    group = made.supervisor.group("mine")

    def until_asked() -> bool:
        inside.meet()
        return Wakeup().wait(PATIENCE, give_way=True)

    running = made.submit(until_asked)
    waiting = made.submit(pow, 2, 3)
    inside.wait_reached()
    group.stop_child(1)
    assert running.result(PATIENCE) is False
    assert not waiting.done()
    assert made.statistics().pending == 1
    group.restart_child(1)
    assert waiting.result(PATIENCE) == 8


def test_a_task_that_is_ended_by_a_stop_has_failed_and_no_worker_crashed(pool: MakePool) -> None:
    """`WorkerExit` of a wait of the library is the stop's, not the task's."""
    inside = Gate()
    inside.open()
    made = pool(1, name="mine", shutdown=1.0)

    def work() -> None:
        inside.meet()
        Wakeup().wait(PATIENCE, give_way=True)
        raise WorkerExit  # as a wait does when the time for stopping is up

    future = made.submit(work)
    inside.wait_reached()
    made.supervisor.group("mine").stop_child(1)
    error = future.exception(PATIENCE)
    assert type(error) is WorkerExited
    assert isinstance(error.reason, Shutdown)


def test_a_cancelled_task_in_an_overrun_pool_is_counted_once(pool: MakePool) -> None:
    """Neither failed nor handled: it was never done."""
    made = pool(1, time_limit=PATIENCE)
    gate = Gate()
    made.submit(gate.meet)
    gate.wait_reached()
    made.submit(pow, 1, 1).cancel()
    gate.open()
    made.shutdown()
    counts = made.statistics()
    assert (counts.accepted, counts.handled, counts.undelivered, counts.failed) == (2, 1, 1, 0)
