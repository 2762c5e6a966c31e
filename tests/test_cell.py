"""What outlives the incarnations of a worker: its end told once, its counts, its letters."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import act, boom
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import outcome, taken, together
from threadsup import (
    Backoff,
    Exit,
    Future,
    InternalError,
    Normal,
    NotRunningError,
    Shutdown,
    handler,
    receive,
    worker_spec,
)
from threadsup._cell import address_of
from threadsup._runtime.actor import Life
from threadsup._runtime.ending import Ending
from threadsup._runtime.side import Listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeSupervisor


class Services:
    """Runs what it is given at once, in the caller's thread."""

    def __init__(self) -> None:
        self.side: Any = self

    def do(self, job: Callable[[], object]) -> None:
        job()

    def settle(self, future: Any, value: Any = None, error: BaseException | None = None) -> None:
        future.settle(value, error)


def note(incarnation: int, *, final: bool) -> Exit:
    return Exit("w", incarnation, Normal(), final)


NEVER_RAN = Exit("w", 0, Normal(), final=True)

# -- the end ----------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["monitor", "end"])
def test_a_monitor_that_comes_as_the_child_ends_is_told_once(first: str) -> None:
    """In both orders: it is among those who are told, or it finds the end.

    It used to be neither, between the telling and the settling of who waits.
    """
    told: Recorder[Exit] = Recorder()
    ending = Ending(Services())
    gate = Gate()
    lock = ending._lock

    class Standing:
        """Lets the second come while the first is in the critical section."""

        def __enter__(self) -> None:
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            if not gate.arrived:
                gate.meet()
            lock.release()

    ending._lock = Standing()  # type: ignore[assignment]
    calls: dict[str, Callable[[], object]] = {
        "monitor": lambda: ending.monitor(told),
        "end": lambda: ending.down(note(1, final=True)),
    }
    one = threading.Thread(target=calls.pop(first))
    one.start()
    gate.wait_reached()
    ((_, second),) = calls.items()
    other = threading.Thread(target=second)
    other.start()
    gate.open()
    for thread in (one, other):
        thread.join(PATIENCE)
    ending.decided(NEVER_RAN)
    assert told.items == [note(1, final=True)]


def test_monitors_at_once_are_told_once_each() -> None:
    """Whenever they come, while the child ends (F81)."""
    for _ in range(20):
        told = [Recorder[Exit]() for _ in range(7)]
        ending = Ending(Services())

        def run(number: int, told: list[Recorder[Exit]] = told, ending: Ending = ending) -> None:
            if number == 7:
                ending.down(note(1, final=True))
                ending.decided(NEVER_RAN)
            else:
                ending.monitor(told[number])

        together(8, run)
        assert [len(each) for each in told] == [1] * 7
        assert ending.wait(0) == Normal()


def test_the_end_of_what_never_ran_is_normal() -> None:
    """It was removed before it started."""
    ending = Ending(Services())
    assert ending.wait(0) is None
    ending.decided(NEVER_RAN)
    assert ending.wait(0) == Normal()
    told: Recorder[Exit] = Recorder()
    ending.monitor(told)
    assert told.items == [NEVER_RAN]


def test_a_child_that_is_started_again_has_not_ended() -> None:
    """Who waited before has an answer, who waits now waits for the next end."""
    ending = Ending(Services())
    ending.down(note(1, final=True))
    ending.decided(NEVER_RAN)
    ending.reopen()
    assert ending.wait(0) is None
    told: Recorder[Exit] = Recorder()
    ending.monitor(told)
    assert told.items == []
    ending.down(note(2, final=False))
    assert ending.wait(0) is None
    ending.decided(NEVER_RAN)
    assert ending.wait(0) == Normal()
    assert told.items[0] == note(2, final=False)
    assert ending.final == note(2, final=True)


def test_waiting_can_fail() -> None:
    """When nobody will tell the end any more: an internal error, a fork."""
    ending = Ending(Services())
    waiting: Recorder[Any] = Recorder()
    thread = threading.Thread(target=lambda: waiting(outcome(ending.wait, None)))
    thread.start()
    error = InternalError("bug")
    ending.fail(error)
    assert waiting.wait_for(1) == [error]
    thread.join()
    ending.mark_forked("it was forked")
    assert isinstance(outcome(ending.wait, None), NotRunningError)


def test_a_listener_that_was_ended_hears_nothing() -> None:
    """Neither what comes nor what was on its way."""
    heard: list[int] = []
    listener = Listener(heard.append)
    listener(1)
    listener.fn = None
    listener(2)
    assert heard == [1]


# -- counts over lives ------------------------------------------------------------------


def test_counts_are_kept_over_all_lives(supervisor: MakeSupervisor) -> None:
    """Those of zombies, too; what they still do counts for nothing."""
    gate = Gate()
    tree = supervisor(backoff=Backoff.none()).start()
    ref = tree.add_worker(handler(act), id="w", shutdown=0.01)
    assert ref.ask(1) == 1
    ref.tell(boom)
    assert ref.ask(2) == 2
    ref.tell(gate.meet)
    gate.wait_reached()
    tree.restart_child("w")
    assert ref.ask(3) == 3
    before = ref.statistics()
    assert (before.handled, before.failed, before.restarts) == (3, 2, 2)
    ended = threading.Event()
    (life,) = tree._services._zombies
    assert life.thread is not None
    gate.open()
    life.thread.join(PATIENCE)
    taken(tree)
    assert ref.statistics() == before
    ended.set()


def test_a_worker_is_named_with_what_it_belongs_to() -> None:
    """Alone by its id, else by group or chain and id."""
    assert address_of(("w",)) == "w"
    assert address_of((("a", 1),)) == ("a", 1)
    assert address_of(("g", "m")) == ("g", "m")


def test_a_lost_ask_says_who_did_not_answer_and_why(supervisor: MakeSupervisor) -> None:
    """With the reason of the last end, where there was one."""
    tree = supervisor()
    group = tree.add_group("g", [worker_spec(handler(act), id="m")])
    never: Future[Any] = group.ask("m", 1, block=False)
    group.remove_child("m")
    error = outcome(never.result, PATIENCE)
    assert str(error) == "('g', 'm') did not handle the message: it was stopped on request"
    assert error.reason is None
    tree.start()
    gate = Gate()
    ref = tree.add_worker(handler(act), id="w")
    ref.tell(gate.meet)
    gate.wait_reached()
    late = ref.ask(2, block=False)
    removal = tree._root.errand("remove_child", "w")
    taken(tree)
    gate.open()
    removal.result(PATIENCE)
    error = outcome(late.result, PATIENCE)
    assert str(error).startswith("'w' did not handle the message: ")
    assert error.reason == Shutdown()


# -- the start --------------------------------------------------------------------------


def idle() -> None:
    receive()


@pytest.mark.parametrize("target", [handler(act), idle], ids=["handler", "task"])
def test_a_function_is_up_before_its_thread_has_run(
    target: Any, supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no start code that could fail: nobody waits for its thread to say so."""
    gate, real = Gate(), Life._main

    def held(life: Life, *how: Any) -> None:
        gate.meet()
        real(life, *how)

    monkeypatch.setattr(Life, "_main", held)
    tree = supervisor().start()
    ref = tree.add_worker(target, id="w")
    gate.wait_reached()
    assert ref.is_alive()
    gate.open()


def test_a_task_that_ends_at_once_has_started_first(supervisor: MakeSupervisor) -> None:
    """Its end is reported by its own thread, maybe before `start` has returned."""
    tree, seen = supervisor().start(), Recorder[Any]()
    tree.subscribe(seen)
    for _ in range(50):
        tree.add_worker(len, "", restart="temporary").wait(PATIENCE)
    told = [type(event).__name__ for event in seen.wait_for(100)]
    assert told == ["WorkerStarted", "WorkerEnded"] * 50
