"""An asynchronous exception comes to user code, or not at all."""

from __future__ import annotations

import functools
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.helpers import PATIENCE, Gate
from tests.runtime.forcing import run
from threadsup import Future, SpecError, WorkerExit
from threadsup._runtime.interrupt import Guard, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Door:
    """The lock of a guard, with something that happens right before or after it is held."""

    def __init__(
        self, before: Callable[[], object] | None = None, after: Callable[[], object] | None = None
    ) -> None:
        self._lock = threading.Lock()
        self._before, self._after = before, after

    def __enter__(self) -> None:
        before, self._before = self._before, None
        if before is not None:
            before()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()
        after, self._after = self._after, None
        if after is not None:
            after()


def attached() -> Guard:
    """Return a guard of the calling thread."""
    guard = Guard()
    guard.attach()
    return guard


def throw(guard: Guard) -> None:
    """Do what `interrupt` does, as if it had been first to the lock."""
    guard._thrown = True
    guard._throw(guard._thread, WorkerExit)


def throw_and_work(guard: Guard) -> Callable[[], int]:
    """Return what throws, and gives it the time to come."""

    def both() -> int:
        throw(guard)
        return work()

    return both


def work(size: int = 100) -> int:
    """Do as much as it takes for anything that is pending to come."""
    return sum(index for index in range(size))


def spin() -> None:
    """Be busy for ever."""
    while True:
        pass


# -- what it does ---------------------------------------------------------------------


def test_a_busy_loop_is_ended() -> None:
    """Python code that never waits for anything leaves with `WorkerExit` (F21)."""
    guard = Guard()
    inside = threading.Event()

    def busy() -> None:
        inside.set()
        spin()

    def body() -> None:
        guard.attach()
        guard.around(busy)()

    running = run(body)
    assert inside.wait(PATIENCE)
    guard.interrupt()
    with pytest.raises(WorkerExit):
        running.result()


def test_arguments_results_and_errors_pass() -> None:
    """The guard changes nothing of a call that nobody interrupts."""
    guard = attached()
    assert guard.around(divmod)(7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        guard.around(divmod)(7, 0)
    with pytest.raises(WorkerExit):
        guard.around(throwing(WorkerExit()))()


def throwing(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_it_is_thrown_once_in_a_life() -> None:
    """Who caught the exception and went on is not hit again: it is abandoned next."""
    guard = attached()

    def stubborn() -> int:
        with pytest.raises(WorkerExit):
            interrupt_here(guard)
        guard.interrupt()
        return work()

    assert guard.around(stubborn)() == work()


def interrupt_here(guard: Guard) -> None:
    guard.interrupt()
    work()


def test_without_ctypes_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a build of Python without `ctypes` the description is wrong."""
    monkeypatch.setitem(sys.modules, "ctypes", None)
    load.cache_clear()
    with pytest.raises(SpecError, match="needs ctypes"):
        load()


# -- never outside --------------------------------------------------------------------


def test_nothing_is_thrown_before_and_after() -> None:
    """An interrupt that finds nobody inside is void, and stays void for the next call."""
    guard = attached()
    guard.interrupt()
    assert work() == guard.around(work)()
    guard.interrupt()
    assert work() == guard.around(work)()


def test_thrown_before_the_way_out_it_is_absorbed() -> None:
    """The function returns, it is thrown, the thread leaves: the result stands."""
    guard = attached()
    guard._lock = Door(before=throw_and_work(guard))  # type: ignore[assignment]
    assert guard.around(work)() == work()
    assert guard._inside is False
    assert guard.around(work)() == work()


def test_thrown_after_the_way_out_it_is_not_thrown() -> None:
    """The function returns, the thread leaves, it is to be thrown: nothing is."""
    guard = attached()
    guard._lock = Door(after=guard.interrupt)  # type: ignore[assignment]
    assert guard.around(work)() == work()
    assert not guard._thrown


def test_thrown_and_not_come_it_is_cleared() -> None:
    """What is pending when the thread has the lock never comes."""
    guard = attached()
    guard._thrown = True
    # All in C, where nothing that is pending comes: it is on its way when the lock is held.
    throws = functools.partial(guard._throw, guard._thread, WorkerExit)
    lock = {"__enter__": staticmethod(throws), "__exit__": staticmethod(lambda *_: None)}
    guard._lock = type("Throwing", (), lock)()
    assert guard.around(work)() == work()
    assert guard.around(work)() == work()


def test_thrown_while_it_waits_for_the_lock_it_is_absorbed() -> None:
    """Another thread throws as this one is about to leave: the result stands."""
    guard = Guard()
    gate = Gate("between throwing and leaving")

    def leave() -> int:
        guard.attach()
        guard._lock = Door(before=gate.meet)  # type: ignore[assignment]
        result = guard.around(work)()
        return result + work()

    running = run(leave)
    gate.wait_reached()
    throw(guard)
    gate.open()
    assert running.result() == 2 * work()


def test_a_crash_is_not_hidden_by_a_late_interrupt() -> None:
    """Thrown while an exception of the user's is on its way out, that one arrives."""
    guard = attached()
    guard._lock = Door(before=throw_and_work(guard))  # type: ignore[assignment]
    with pytest.raises(ValueError, match="mine"):
        guard.around(throwing(ValueError("mine")))()
    assert guard.around(work)() == work()


def test_an_interrupt_that_has_come_leaves_nothing_behind() -> None:
    """After the interrupted call the same thread runs on undisturbed."""
    guard = attached()
    with pytest.raises(WorkerExit):
        guard.around(interrupt_here)(guard)
    assert work() == guard.around(work)()


def test_another_thread_is_never_hit() -> None:
    """Only the thread that attached the guard gets the exception."""
    guard = Guard()
    inside = threading.Event()
    over = threading.Event()

    def busy() -> None:
        inside.set()
        spin()

    def victim() -> None:
        guard.attach()
        guard.around(busy)()

    def bystander() -> int:
        while not over.is_set():
            work()
        return work()

    running, beside = run(victim), run(bystander)
    assert inside.wait(PATIENCE)
    guard.interrupt()
    with pytest.raises(WorkerExit):
        running.result()
    over.set()
    assert beside.result() == work()


# -- aside ----------------------------------------------------------------------------


def test_what_is_called_aside_is_not_interrupted() -> None:
    """From within user code the library calls what must not be torn apart."""
    guard = attached()

    def receive() -> int:
        guard.interrupt()
        return work()

    def task() -> int:
        got = guard.aside(receive)
        with pytest.raises(WorkerExit):
            interrupt_here(guard)  # inside again
        return got

    assert guard.around(task)() == work()


def test_thrown_before_going_aside_it_comes_first() -> None:
    """What was thrown comes before the call, which is then not made."""
    guard = attached()
    called: list[str] = []

    def task() -> None:
        guard._lock = Door(before=throw_and_work(guard))  # type: ignore[assignment]
        guard.aside(called.append, "message")

    with pytest.raises(WorkerExit):
        guard.around(task)()
    assert called == []


def test_an_error_from_aside_goes_back_inside() -> None:
    """A call aside that raises leaves the thread where it was."""
    guard = attached()

    def task() -> None:
        with pytest.raises(ValueError, match="aside"):
            guard.aside(throwing(ValueError("aside")))
        interrupt_here(guard)

    with pytest.raises(WorkerExit):
        guard.around(task)()


# -- the hammer -----------------------------------------------------------------------

ROUNDS = 60


@pytest.fixture
def _quick_switches() -> Iterator[None]:
    """Let threads take turns as often as can be, where only one runs at a time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_quick_switches")
def test_hammered_it_lands_in_a_call() -> None:
    """Whenever it is thrown, our own code between the calls is never hit."""
    outcomes = [hammered(moment, 3_000) for moment in range(ROUNDS)]
    assert max(outcomes) == 1


@pytest.mark.usefixtures("_quick_switches")
def test_hammered_between_short_calls_it_lands_nowhere_else() -> None:
    """Where it takes longer to throw than to be done, most are cleared on the way out."""
    outcomes = [hammered(moment, 10) for moment in range(ROUNDS)]
    assert max(outcomes) <= 1


@pytest.mark.usefixtures("_quick_switches")
def test_hammered_over_a_future_it_leaves_it_free() -> None:
    """Interrupted while it looks at a future, nobody who answers that finds it locked."""
    for _ in range(ROUNDS):
        future: Future[int] = Future()
        guard = Guard()
        looking = threading.Event()
        running = run(poll, guard, future, looking)
        assert looking.wait(PATIENCE)
        guard.interrupt()
        with pytest.raises(WorkerExit):
            running.result()
        assert future._condition.acquire(blocking=False)
        future._condition.release()


def poll(guard: Guard, future: Future[int], looking: threading.Event) -> None:
    """Look at a future that nobody settles, for ever."""

    def look() -> None:
        looking.set()
        while not future.done():
            pass

    guard.attach()
    guard.around(look)()


def hammered(moment: int, size: int) -> int:
    """Return how many calls of that size one interrupt hits, after about `moment` of them."""
    guard = Guard()
    go, over = threading.Event(), threading.Event()
    interrupted = 0

    def once(call: Callable[[], int]) -> None:
        nonlocal interrupted
        try:
            call()
        except WorkerExit as error:
            interrupted += "guarded" in frames(error)

    def loop() -> None:
        guard.attach()
        call = guard.around(lambda: work(size))
        for _ in range(moment):
            once(call)
        go.set()
        while not over.is_set():
            once(call)
        for _ in range(20):
            once(call)

    running = run(loop)
    assert go.wait(PATIENCE)
    guard.interrupt()
    over.set()
    running.result()
    return interrupted


def frames(error: BaseException) -> list[str]:
    """Return the names of the functions that an exception came through."""
    names = []
    trace = error.__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return names
