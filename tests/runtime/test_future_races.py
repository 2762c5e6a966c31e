"""The races of a future, each forced: what happens just before or after an entry in its log."""

from __future__ import annotations

import concurrent.futures
import dis
import sys
import threading
from concurrent.futures._base import FINISHED, RUNNING
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate, Recorder
from tests.runtime.forcing import note_sleepers, run
from threadsup._runtime.context import Wakeup
from threadsup._runtime.future import Future
from threadsup._runtime.waitable import Waitable, outcome_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

    Make = Callable[[], Future[Any]]

BOOM = ValueError("boom")


class Log(list[Any]):
    """A log that lets something happen at its next entry: just before it, or just after."""

    def __init__(self, future: Future[Any]) -> None:
        super().__init__(future._log)
        self.before: list[Callable[[], object]] = []
        self.after: list[Callable[[], object]] = []

    def append(self, entry: Any) -> None:
        """Append; what was to happen happens in this thread, and once."""
        for happen in self._taken(self.before):
            happen()
        super().append(entry)
        for happen in self._taken(self.after):
            happen()

    def _taken(self, planned: list[Any]) -> list[Any]:
        taken = planned[:]
        planned.clear()
        return taken


def begun() -> Future[Any]:
    future: Future[Any] = Future()
    assert future.set_running_or_notify_cancel()
    return future


def before(future: Future[Any], happen: Callable[[], object]) -> None:
    """Let something happen just before the next entry."""
    future._log = log = Log(future)
    log.before.append(happen)


def after(future: Future[Any], happen: Callable[[], object]) -> None:
    """Let something happen just after the next entry."""
    future._log = log = Log(future)
    log.after.append(happen)


# -- who settles ----------------------------------------------------------------------


@pytest.mark.parametrize("make", [Future, begun])
@pytest.mark.parametrize("quiet", [False, True])
def test_of_two_who_settle_the_first_in_the_log_has(make: Make, quiet: bool) -> None:
    """However late the other one looks at the log, it is told so."""
    for when, winner in ((before, 2), (after, 1)):
        future = make()
        won: list[bool] = []
        other = future.settle_unheard if quiet else future.settle
        when(future, lambda future=future, other=other, won=won: won.append(other(2)))  # type: ignore[misc]
        assert future.settle(1) is (winner == 1)
        assert won == [quiet or winner == 2]
        assert future.result(0) == winner


def test_a_cancel_counts_unless_it_was_begun_before() -> None:
    """Either it is cancelled, or it is handled; never both, and never neither."""
    for when, first in ((before, "begin"), (after, "cancel")):
        future: Future[Any] = Future()
        running: list[bool] = []
        when(future, lambda: running.append(future.set_running_or_notify_cancel()))  # noqa: B023
        assert future.cancel() is (first == "cancel")
        assert running == [first == "begin"]
        assert future.cancelled() is (first == "cancel")
        assert future.settle(1) is (first == "begin")
        assert future.cancel() is (first == "cancel")


def test_a_begin_is_refused_what_was_cancelled_before() -> None:
    """The same race, seen by who begins."""
    for when, first in ((before, "cancel"), (after, "begin")):
        future: Future[Any] = Future()
        cancelled: list[bool] = []
        when(future, lambda: cancelled.append(future.cancel()))  # noqa: B023
        assert future.set_running_or_notify_cancel() is (first == "begin")
        assert cancelled == [first == "cancel"]
        assert future.running() is (first == "begin")


def test_a_cancel_and_an_answer_are_not_both() -> None:
    """An answer that comes without having been begun is the first or is refused."""
    for when, first in ((before, "answer"), (after, "cancel")):
        future: Future[Any] = Future()
        settled: list[bool] = []
        when(future, lambda: settled.append(future.settle(1)))  # noqa: B023
        assert future.cancel() is (first == "cancel")
        assert settled == [first == "answer"]


@pytest.mark.parametrize("cancels", [2, 3])
def test_of_many_who_cancel_all_have_and_one_tells(cancels: int) -> None:
    """All are told that it is cancelled; callbacks are called once."""
    seen: Recorder[Future[Any]] = Recorder()
    future: Future[Any] = Future()
    future.add_done_callback(seen)
    results: list[bool] = []
    for _ in range(cancels - 1):
        after(future, lambda: results.append(future.cancel()))
    assert future.cancel()
    assert results == [True]
    assert seen.items == [future]


# -- who waits ------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Future, begun])
@pytest.mark.parametrize("when", [before, after])
def test_an_answer_while_somebody_comes_to_wait_is_seen(
    make: Make, when: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before they are in the log they find it; after that they are found, and do not sleep."""
    sleepers = note_sleepers(monkeypatch)
    future = make()
    when(future, partial(future.set, 1))
    assert future.result() == 1
    assert len(sleepers) == 0


def test_who_gives_up_while_it_is_answered_takes_nobody_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One takes itself out of the log just before the others are looked up there."""
    sleepers = note_sleepers(monkeypatch)
    future: Future[Any] = Future()
    gone = Wakeup()
    future._log.append(gone)
    waiting = [run(future.result) for _ in range(2)]
    sleepers.wait_for(2)
    after(future, lambda: log.remove(gone))
    log = future._log
    future.set(1)
    assert [one.result() for one in waiting] == [1, 1]


# -- callbacks ------------------------------------------------------------------------


@pytest.mark.parametrize("settle", ["settle", "settle_unheard", "cancel"])
@pytest.mark.parametrize("when", [before, after])
def test_a_callback_added_in_the_moment_is_called_once(
    settle: str, when: Callable[..., None]
) -> None:
    """By who settles or by who adds it; a quiet thread calls none, and settles or does not."""
    for adds in (True, False):
        seen: Recorder[Future[Any]] = Recorder()
        future: Future[Any] = Future()
        answer = partial(getattr(future, settle), *(() if settle == "cancel" else (1,)))
        add = partial(future.add_done_callback, seen)
        inner, outer = (answer, add) if adds else (add, answer)
        when(future, inner)
        outer()
        heard = settle == "settle_unheard" and adds is (when is after)
        assert future.done() is not heard
        assert seen.items == ([] if heard else [future])
        future.settle(2)
        assert seen.items == [future]


def test_a_quiet_thread_calls_nobody() -> None:
    """Who adds a callback after it has settled calls it; who did before waits for another."""
    threads: Recorder[threading.Thread] = Recorder()
    gate, future = Gate(), Future[int]()
    before(future, gate.meet)
    adding = run(future.add_done_callback, lambda done: threads(threading.current_thread()))
    gate.wait_reached()
    quiet = run(future.settle_unheard, 1)
    assert quiet.result()
    gate.open()
    adding.result()
    assert [adding.is_(thread) for thread in threads.items] == [True]


def test_a_callback_that_comes_after_is_its_adders() -> None:
    """One that a quiet thread finds behind the outcome it leaves to who is adding it."""
    seen: Recorder[Future[Any]] = Recorder()
    future: Future[Any] = Future()
    after(future, lambda: future._log.append([seen]))  # and its adder has not looked yet
    assert future.settle_unheard(1)
    assert seen.items == []


@pytest.mark.parametrize("when", [before, after])
def test_a_hook_and_a_callback_that_come_at_once_find_each_other(
    when: Callable[..., None],
) -> None:
    """Whoever is second sees that it is to be pulled, and it is pulled once."""
    for hooks in (True, False):
        seen: Recorder[int] = Recorder()
        pulls: Recorder[float | None] = Recorder()
        future: Future[int] = Future()

        def bring(timeout: float | None, pulls: Recorder[float | None] = pulls) -> int:
            pulls(timeout)
            return 1

        hook = partial(future.set_get_hook, bring)

        def tell(done: Future[int], seen: Recorder[int] = seen) -> None:
            seen(done.result())

        add = partial(future.add_done_callback, tell)
        inner, outer = (hook, add) if hooks else (add, hook)
        when(future, inner)
        outer()
        assert seen.wait_for(1) == [1]
        assert pulls.items == [None]


# -- who looks at several at once -----------------------------------------------------


def test_its_state_stands_still_for_who_holds_the_lock() -> None:
    """The standard library counts, and registers, while nothing may change."""
    future = begun()
    with future._condition:
        settling = run(future.settle, 1)
        assert future.result() == 1  # there it is
        assert future._state == RUNNING
        watcher = concurrent.futures._base._AsCompletedWaiter()
        future._waiters.append(watcher)
        assert watcher.finished_futures == []
    assert settling.result()
    assert future._state == FINISHED
    assert watcher.finished_futures == [future]
    assert watcher.event.is_set()


@pytest.mark.parametrize("when", [before, after])
def test_a_lock_made_while_it_is_settled_shows_one_state(when: Callable[..., None]) -> None:
    """Either the answer is shown already, or it is shown when the lock is free."""
    future = begun()
    states: list[str] = []

    def look() -> None:
        with future._condition:
            states.extend([future._state, future._state])

    when(future, look)
    assert future.settle(1)
    assert states == [RUNNING if when is before else FINISHED] * 2
    assert future._state == FINISHED
    assert future._condition is future._condition


def test_those_who_wait_for_all_wait_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is answered between the count and the registering counts once."""
    one, other = Future[int](), Future[int]()
    install = concurrent.futures._base._create_and_install_waiters  # type: ignore[attr-defined]
    installed = threading.Event()
    settling: list[Any] = []

    def late(fs: Any, return_when: str) -> Any:
        settling.append(run(one.settle, 1))
        assert one.result() == 1  # between what `wait` looks at and where it registers
        waiter = install(fs, return_when)
        installed.set()
        return waiter

    monkeypatch.setattr(concurrent.futures._base, "_create_and_install_waiters", late)
    waiting = run(concurrent.futures.wait, [one, other])
    assert installed.wait(10)
    assert settling[0].result()
    assert not waiting.over
    other.set(2)
    assert waiting.result().done == {one, other}


@pytest.mark.parametrize("end", ["set", "set_exception", "cancel"])
def test_who_watches_is_told_how_it_ended(end: str) -> None:
    """`wait` returns at the first error, and not at the first value or cancelling."""
    one, other = Future[Any](), Future[Any]()
    with one._condition:
        pass  # as if it had been looked at before
    waiting = run(
        partial(concurrent.futures.wait, [one, other], return_when="FIRST_EXCEPTION"),
    )
    getattr(one, end)(*(() if end == "cancel" else (BOOM,)))
    if end != "set_exception":
        other.set(2)
    assert one in waiting.result().done


def test_a_loop_is_given_what_there_is() -> None:
    """An event loop takes all of it at once, in newer versions, from a future that is done."""
    future: Future[Any] = Future()
    assert future._get_snapshot() == (False, False, None, None)
    with future._condition:
        settling = run(future.settle, None, BOOM)
        assert future.exception() is BOOM
        assert future._get_snapshot() == (True, False, None, BOOM)
    settling.result()
    future = Future()
    future.cancel()
    assert future._get_snapshot() == (True, True, None, None)
    future = Future()
    future.set(1)
    assert future._get_snapshot() == (True, False, 1, None)


# -- interrupted ----------------------------------------------------------------------


class Interrupt(BaseException):
    """What comes from outside."""


def codes() -> set[CodeType]:
    """Return the code of a future consists of."""
    found = set()
    for each in (Waitable, Future):
        for member in vars(each).values():
            fn = getattr(member, "fget", member)
            if hasattr(fn, "__code__"):
                found.add(fn.__code__)
    return found | {outcome_in.__code__}


def interrupted(call: Callable[[], object], at: int) -> bool:
    """Call, and raise at the so-manieth moment in which what comes from outside may come.

    That is in our code, where a function begins, after a call, and where a loop
    goes round. Returns whether there was such a moment.
    """
    ours, left = codes(), at
    last: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        code = frame.f_code
        if code not in ours:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            passed = dis.opname[code.co_code[last[frame]]] if frame in last else "RESUME"
            last[frame] = frame.f_lasti
            if passed.startswith(("RESUME", "CALL", "JUMP_BACKWARD")):
                left -= 1
                if left == 0:
                    raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("end", ["settle", "cancel", "set_exception"])
@pytest.mark.parametrize("looked_at", [False, True])
def test_interrupted_anywhere_it_leaves_nobody_waiting(end: str, looked_at: bool) -> None:
    """At each bytecode: it is settled, and everybody has been told, or it can be settled."""
    at = 0
    while True:
        at += 1
        seen: Recorder[Future[Any]] = Recorder()
        future: Future[Any] = Future()
        wakeup = Wakeup()
        future._log.append(wakeup)
        for _ in range(2):
            future.add_done_callback(seen)
        watcher = concurrent.futures._base._AsCompletedWaiter()
        if looked_at:
            with future._condition:
                future._waiters.append(watcher)
        hit = interrupted(partial(getattr(future, end), *(() if end == "cancel" else (BOOM,))), at)
        if not future.done():
            assert hit
            assert not wakeup.happened
            assert future.settle(1)
        assert wakeup.happened, at
        assert len(seen) >= 1, at  # the one that it comes in counts as called
        assert run(future._condition.acquire, False).result(), at
        if not hit:
            assert len(seen) == 2
            assert watcher.finished_futures == [future] * looked_at
            break


def test_interrupted_anywhere_who_comes_to_wait_leaves_nothing_behind() -> None:
    """At each bytecode on the way in, and on the way out."""
    at = 0
    hit = True
    while hit:
        at += 1
        future: Future[Any] = Future()

        def look(future: Future[Any] = future) -> None:
            with pytest.raises(TimeoutError):
                future.result(0)

        hit = interrupted(look, at)
        left = [entry for entry in future._log if not getattr(entry, "happened", False)]
        assert len(left) <= 1, at
        assert future.settle(1)
        assert future.result(0) == 1
