"""A worker that may be interrupted gets an exception before it is abandoned."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from tests.helpers import PATIENCE, Recorder
from tests.runtime.forcing import run
from threadsup import (
    Exit,
    NotRunningError,
    Shutdown,
    SpecError,
    Worker,
    WorkerExit,
    WorkerExited,
    current,
    handler,
    receive,
    stage,
)
from threadsup._policy import scope
from threadsup._runtime.interrupt import load

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from threadsup import Supervisor, WorkerRef, WorkerStatistics

SHUTDOWN = 0.05
"""Seconds that who is busy has to stop, before it is interrupted."""

OPTIONS: dict[str, Any] = {"shutdown": SHUTDOWN, "interrupt": True}

busy: Recorder[threading.Thread]
"""Who is busy; set by the fixture `fresh`."""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget who was busy in the test before; give who is interrupted all the time."""
    global busy  # noqa: PLW0603 - the workers' classes and functions are this module's
    busy = Recorder()
    monkeypatch.setattr(scope, "INTERRUPT_GRACE", PATIENCE)


@pytest.fixture
def _no_grace(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Abandon at once who does not end of the exception."""
    monkeypatch.setattr(scope, "INTERRUPT_GRACE", SHUTDOWN)


@pytest.fixture
def tree(supervisor: MakeSupervisor) -> Supervisor:
    return supervisor(max_restarts=10).start()


def spin(*_: object) -> None:
    """Be busy for ever, in Python."""
    busy(threading.current_thread())
    while True:
        pass


def spin_or_answer(message: object) -> object:
    if message == "spin":
        spin()
    return message


def task() -> None:
    while True:
        current().reply(spin_or_answer(receive()))  # type: ignore[union-attr]


class Spinning(Worker):
    def on_receive(self, message: object) -> object:
        return spin_or_answer(message)


class SpinningActor(pykka.ThreadingActor):
    def on_receive(self, message: Any) -> Any:
        return spin_or_answer(message)


KINDS: list[Any] = [handler(spin_or_answer), task, Spinning, SpinningActor]
NAMES = ["handler", "task", "worker", "pykka"]


def balanced(counts: WorkerStatistics) -> bool:
    outcomes = counts.handled + counts.failed + counts.undelivered + counts.pending
    return counts.accepted == outcomes


def monitored(ref: WorkerRef) -> Recorder[Exit]:
    exits: Recorder[Exit] = Recorder()
    ref.monitor(exits)
    return exits


# -- it ends what runs Python ---------------------------------------------------------


@pytest.mark.parametrize("target", KINDS, ids=NAMES)
def test_a_busy_loop_is_ended_and_the_report_is_clean(tree: Supervisor, target: Any) -> None:
    """At the end of its time it gets the exception, and nobody is abandoned (F21)."""
    ref = tree.add_worker(target, id="w", **OPTIONS)
    answer = ref.ask("spin", block=False)
    ref.tell("never handled")
    busy.wait_for(1)
    report = tree.stop(timeout=PATIENCE)
    assert report.clean
    assert (report.abandoned, report.undelivered) == ((), 1)
    with pytest.raises(WorkerExited):
        answer.result(0)
    counts = ref.statistics()
    assert (counts.accepted, counts.handled, counts.failed, counts.undelivered) == (2, 0, 1, 1)
    assert ref.wait(0) == Shutdown()


def test_a_busy_stage_is_ended(tree: Supervisor) -> None:
    """A stage has the option, too; its item has failed."""
    chain = tree.add_chain("c", [stage(spin, id="s", **OPTIONS)])
    result = chain.submit("item")
    busy.wait_for(1)
    assert tree.stop(timeout=PATIENCE).clean
    with pytest.raises(WorkerExited):
        result.result(0)


def test_a_busy_start_is_ended(tree: Supervisor) -> None:
    """`on_start` is user code as well; who waits for it hears that the tree is going."""

    class Starting(Worker):
        on_start = spin

    adding = run(lambda: tree.add_worker(Starting, id="w", **OPTIONS))
    busy.wait_for(1)
    assert tree.stop(timeout=PATIENCE).clean
    with pytest.raises(NotRunningError):
        adding.result()


def test_a_busy_stop_is_ended(tree: Supervisor) -> None:
    """`on_stop` is interrupted in its turn, and the worker has stopped all the same."""

    class Stopping(Worker):
        on_stop = spin

    ref = tree.add_worker(Stopping, id="w", **OPTIONS)
    assert tree.stop(timeout=PATIENCE).clean
    assert ref.wait(0) == Shutdown()
    assert len(busy) == 1


def test_after_the_exception_it_cleans_up(tree: Supervisor) -> None:
    """Its `finally` runs, and `on_stop`, both to their end."""
    done: Recorder[str] = Recorder()

    class Cleaning(Worker):
        def on_receive(self, message: object) -> None:
            try:
                spin()
            except WorkerExit:
                done("except")
                raise
            finally:
                done("finally")

        def on_stop(self) -> None:
            done("on_stop")

    ref = tree.add_worker(Cleaning, id="w", **OPTIONS)
    ref.tell("spin")
    busy.wait_for(1)
    assert tree.stop(timeout=PATIENCE).clean
    assert done.items == ["except", "finally", "on_stop"]


# -- what it does not end -------------------------------------------------------------


@pytest.mark.usefixtures("_no_grace")
def test_who_is_blocked_is_abandoned_after_it(tree: Supervisor) -> None:
    """An exception does not reach a thread that waits for a lock: it comes after."""
    lock = threading.Lock()
    lock.acquire()

    def blocked(message: object) -> None:
        busy(threading.current_thread())
        lock.acquire()

    ref = tree.add_worker(handler(blocked), id="w", **OPTIONS)
    ref.tell("block")
    busy.wait_for(1)
    report = tree.stop(timeout=PATIENCE)
    assert not report.clean
    assert [left.id for left in report.abandoned] == ["w"]
    lock.release()
    busy.items[0].join(PATIENCE)
    assert not busy.items[0].is_alive()
    assert balanced(ref.statistics())


@pytest.mark.usefixtures("_no_grace")
def test_who_swallows_it_is_abandoned(tree: Supervisor) -> None:
    """A loop that catches everything outlives the exception, and is fenced (F22)."""
    over = threading.Event()

    def spin_on() -> None:  # apart: CPython lets what comes at a loop's jump past an `except`
        if not busy:
            busy(threading.current_thread())
        while not over.is_set():
            pass

    def stubborn(message: object) -> None:
        while not over.is_set():
            try:
                spin_on()
            except BaseException:  # noqa: S112 - what it must survive
                continue

    ref = tree.add_worker(handler(stubborn), id="w", **OPTIONS)
    ref.tell("spin")
    busy.wait_for(1)
    report = tree.stop(timeout=PATIENCE)
    assert [left.id for left in report.abandoned] == ["w"]
    over.set()
    busy.items[0].join(PATIENCE)
    assert not busy.items[0].is_alive()


def test_without_the_option_nothing_is_thrown(tree: Supervisor) -> None:
    """Who did not ask for it is abandoned as it is, and its loop is the plain one."""
    over = threading.Event()

    def untouched(message: object) -> None:
        busy(threading.current_thread())
        while not over.is_set():
            pass

    ref = tree.add_worker(handler(untouched), id="w", shutdown=SHUTDOWN)
    assert ref._keeper.life.guard is None  # type: ignore[attr-defined]
    ref.tell("spin")
    busy.wait_for(1)
    assert not tree.stop(timeout=PATIENCE).clean
    assert busy.items[0].is_alive()
    over.set()
    busy.items[0].join(PATIENCE)


def test_a_python_without_ctypes_refuses_it(
    tree: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is declared, with nothing started; who does not need it goes on."""
    monkeypatch.setitem(sys.modules, "ctypes", None)
    load.cache_clear()
    with pytest.raises(SpecError, match="ctypes"):
        tree.add_worker(handler(len), id="w", interrupt=True)
    assert tree.children() == ()
    assert tree.add_worker(handler(len), id="other").ask("four") == 4


# -- whom it does not hit -------------------------------------------------------------


@pytest.mark.parametrize("target", KINDS, ids=NAMES)
def test_the_next_message_is_not_hit(tree: Supervisor, target: Any) -> None:
    """The one in hand has failed; what was queued behind it is handled by the next life."""
    ref = tree.add_worker(target, id="w", **OPTIONS)
    exits = monitored(ref)
    spinning = ref.ask("spin", block=False)
    busy.wait_for(1)
    after = [ref.ask(number, block=False) for number in range(10)]
    tree.restart_child("w")
    assert [answer.result(PATIENCE) for answer in after] == list(range(10))
    with pytest.raises(WorkerExited):
        spinning.result(0)
    assert [end.reason for end in exits.wait_for(1)] == [Shutdown()]
    counts = ref.statistics()
    assert (counts.failed, counts.retried) == (1, 0)
    assert balanced(counts)


def test_a_worker_that_waits_is_not_hit(tree: Supervisor) -> None:
    """An idle one is stopped as any other: no exception, `on_stop` to its end."""
    stopped: Recorder[str] = Recorder()

    class Idle(Worker):
        def on_stop(self) -> None:
            stopped("on_stop")

    tree.add_worker(Idle, id="w", shutdown=0.0, interrupt=True)
    tree.stop(timeout=PATIENCE)
    assert stopped.wait_for(1) == ["on_stop"]


ROUNDS = 25


@pytest.mark.parametrize("target", KINDS, ids=NAMES)
def test_hammered_no_message_is_lost_and_no_asker_left(tree: Supervisor, target: Any) -> None:
    """Interrupted in the middle of a stream again and again, every message has one outcome."""
    ref = tree.add_worker(target, id="w", shutdown=0.0, interrupt=True)
    exits = monitored(ref)
    asked = []
    for number in range(ROUNDS):
        asked += [ref.ask(index, block=False) for index in range(40)]
        asked[40 * number].result(PATIENCE)  # it is in the middle of it
        tree.restart_child("w")
    asked.append(ref.ask("last", block=False))
    outcomes = [outcome(answer) for answer in asked]
    assert outcomes[-1] == "last"
    assert len(exits.wait_for(ROUNDS)) == ROUNDS
    assert tree.stop(timeout=PATIENCE).clean
    counts = ref.statistics()
    assert counts.accepted == len(asked)
    # A task may have replied when it is hit, before it has received the next one.
    late = counts.failed - outcomes.count("failed")
    assert late == 0 or target is task
    assert counts.handled == len(asked) - counts.failed


def outcome(answer: Any) -> object:
    try:
        return answer.result(PATIENCE)
    except WorkerExited:
        return "failed"


def test_the_exception_may_come_while_it_sends(tree: Supervisor) -> None:
    """In the middle of a call of ours it does what Ctrl-C does: nothing is half done."""
    got: Recorder[object] = Recorder()
    sink = tree.add_worker(handler(got), id="sink", capacity=5)
    sent: list[int] = []

    def flood(message: object) -> None:
        busy(threading.current_thread())
        while True:
            sink.tell(len(sent))
            sent.append(len(sent))

    ref = tree.add_worker(handler(flood), id="w", shutdown=0.0, interrupt=True)
    for round_ in range(ROUNDS):
        ref.tell("flood")
        busy.wait_for(round_ + 1)
        tree.restart_child("w")
    tree.stop_child("w")
    assert sink.ask("last") is None
    counts = sink.statistics()
    assert counts.accepted == counts.handled == len(got)
    # The last one of each life may be in without having been noted as sent.
    assert len(sent) <= counts.accepted - 1 <= len(sent) + ROUNDS
    assert sink._mailbox.pending == 0
