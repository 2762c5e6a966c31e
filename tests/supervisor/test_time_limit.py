"""A worker that hangs in a message is fenced and replaced, and that is a crash."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import pykka
import pytest

from tests.helpers import PATIENCE, Gate, ManualClock, Recorder
from threadsup import (
    Abandoned,
    Exit,
    MailboxClosed,
    Worker,
    WorkerExited,
    events,
    handler,
    receive,
    stage,
    worker_spec,
)
from threadsup._runtime import watch
from threadsup._runtime.watch import WatchedHand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import MakeSupervisor
    from threadsup import Supervisor, WorkerRef, WorkerStatistics
    from threadsup._exits import ChildId

LIMIT = 60.0
"""Seconds by a clock that only `late` moves, so nobody is slow by accident."""

SOON = 0.05
"""Seconds by the real clock, in tests where it does not matter who is slow."""


class Hang:
    """A handler that hangs in `"hang"`, and raises after that if it is told to."""

    def __init__(self) -> None:
        self.gate = Gate("the hang")
        self.handled: Recorder[object] = Recorder()
        self.stuck: Recorder[threading.Thread] = Recorder()
        self.error: Exception | None = None

    def __call__(self, message: object) -> object:
        if message == "hang":
            self.stuck(threading.current_thread())
            self.gate.meet()
            if self.error is not None:
                raise self.error
        self.handled(message)
        return message

    def release(self) -> None:
        """Let it go on, and wait until its thread has ended."""
        self.gate.open()
        for thread in self.stuck.items:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def hang(supervisor: MakeSupervisor) -> Iterator[Hang]:
    made = Hang()
    yield made
    made.gate.open()


@pytest.fixture
def tree(supervisor: MakeSupervisor) -> Supervisor:
    return supervisor(max_restarts=10).start()


class Late(Protocol):
    """Lets the time be up for a message that hangs, its path being that of the worker."""

    def __call__(self, *path: ChildId) -> None: ...


@pytest.fixture
def late(tree: Supervisor, monkeypatch: pytest.MonkeyPatch) -> Late:
    """Let time stand still until it is called; then the timer is due."""
    clock = ManualClock()
    monkeypatch.setattr(watch, "monotonic", clock)

    def pass_(*path: ChildId) -> None:
        clock.advance(LIMIT)
        cells = (c for c in tree._root.all_cells() if c.path[0] == path[0] and c.id == path[-1])
        hand = next(cells)._hand
        assert hand is not None
        tree._services.post(hand.take, None)

    return pass_


def turn(tree: Supervisor) -> None:
    """Wait until the supervisor has heard of what has happened until now."""
    tree.add_worker(handler(len))


def balanced(counts: WorkerStatistics) -> bool:
    outcomes = counts.handled + counts.failed + counts.undelivered + counts.pending
    return counts.accepted == outcomes


def monitored(ref: WorkerRef) -> Recorder[Exit]:
    exits: Recorder[Exit] = Recorder()
    ref.monitor(exits)
    return exits


# -- what it does ---------------------------------------------------------------------


def test_who_hangs_is_fenced_by_the_timer_alone(tree: Supervisor, hang: Hang) -> None:
    """An ask that hangs ends with `WorkerExited`, which says why; the message has failed."""
    ref = tree.add_worker(handler(hang), id="w", time_limit=SOON)
    with pytest.raises(WorkerExited, match="abandoned") as raised:
        ref.ask("hang")
    reason = raised.value.reason
    assert isinstance(reason, Abandoned)
    assert reason.after >= SOON
    turn(tree)
    [letter] = tree.dead_letters()
    assert (letter.message, letter.to, letter.reason) == ("hang", "w", "failed")


def test_a_hung_handler_is_replaced_and_the_next_message_handled(
    tree: Supervisor, hang: Hang, late: Late
) -> None:
    """At the limit the next incarnation goes on; the exit says how long it was, and in what."""
    ref = tree.add_worker(handler(hang), id="w", time_limit=LIMIT)
    exits = monitored(ref)
    ref.tell("hang")
    ref.tell("next")
    hang.stuck.wait_for(1)
    late("w")
    assert hang.handled.wait_for(1) == ["next"]
    [end] = exits.wait_for(1)
    assert end.reason == Abandoned(LIMIT, "message")
    assert (end.incarnation, end.final, ref.incarnation) == (1, False, 2)


def test_a_stream_of_slow_messages_is_never_fenced(
    tree: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes nine tenths of the limit and the supervisor looks all the time."""
    clock = ManualClock(monotonic() - 10_000.0)  # what is due by it is long due
    monkeypatch.setattr(watch, "monotonic", clock)
    ref = tree.add_worker(handler(lambda _: clock.advance(4.5)), id="w", time_limit=5.0)
    answers = [ref.ask("slow", block=False) for _ in range(300)]
    assert len([answer.result(PATIENCE) for answer in answers]) == 300
    assert ref.incarnation == 1
    assert ref.statistics().handled == 300


def test_who_returns_while_the_supervisor_comes_to_look_is_not_fenced(
    tree: Supervisor, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer was due, and the handler is faster: handled, and nothing else."""
    looking = Gate("the supervisor looks")
    take = WatchedHand.take

    def look(hand: WatchedHand, deadline: object) -> None:
        looking.meet()
        take(hand, deadline)

    monkeypatch.setattr(WatchedHand, "take", look)
    ref = tree.add_worker(handler(hang), id="w", time_limit=SOON)
    answer = ref.ask("hang", block=False)
    looking.wait_reached()
    hang.gate.open()
    assert answer.result(PATIENCE) == "hang"
    looking.open()
    turn(tree)
    assert ref.incarnation == 1
    assert ref.statistics().handled == 1


# -- what is left of it ---------------------------------------------------------------


def test_it_is_a_zombie_while_it_hangs(tree: Supervisor, hang: Hang, late: Late) -> None:
    """Its thread is counted until it ends, and no longer."""
    ref = tree.add_worker(handler(hang), id="w", time_limit=LIMIT)
    ref.tell("hang")
    hang.stuck.wait_for(1)
    assert tree.statistics().zombies == 0
    late("w")
    assert ref.ask("next") == "next"
    assert tree.statistics().zombies == 1
    hang.release()
    turn(tree)
    assert tree.statistics().zombies == 0


def test_a_late_result_counts_for_nothing(tree: Supervisor, hang: Hang, late: Late) -> None:
    """It returns after it was replaced: no answer, no count, no exit, no restart (F28)."""
    ref = tree.add_worker(handler(hang), id="w", time_limit=LIMIT)
    exits = monitored(ref)
    answer = ref.ask("hang", block=False)
    hang.stuck.wait_for(1)
    late("w")
    with pytest.raises(WorkerExited):
        answer.result(PATIENCE)
    hang.release()
    assert ref.ask("next") == "next"
    turn(tree)
    with pytest.raises(WorkerExited):
        answer.result(0)
    counts = ref.statistics()
    assert (counts.accepted, counts.handled, counts.failed, counts.restarts) == (2, 1, 1, 1)
    assert balanced(counts)
    assert len(exits) == 1
    assert len(tree.dead_letters()) == 1


def test_a_late_crash_ends_nobody(tree: Supervisor, hang: Hang, late: Late) -> None:
    """It raises after it was replaced: the next incarnation does not hear of it (F29)."""
    hang.error = ValueError("late")
    ref = tree.add_worker(handler(hang), id="w", time_limit=LIMIT)
    exits = monitored(ref)
    answer = ref.ask("hang", block=False)
    hang.stuck.wait_for(1)
    late("w")
    with pytest.raises(WorkerExited):
        answer.result(PATIENCE)
    hang.release()
    assert ref.ask("next") == "next"
    turn(tree)
    assert ref.incarnation == 2
    assert len(exits) == 1
    assert balanced(ref.statistics())


def test_more_zombies_than_the_tree_bears_and_the_scope_gives_up(
    supervisor: MakeSupervisor, hang: Hang
) -> None:
    """Each incarnation hangs in turn: past `max_zombies` there is no next one."""
    tree = supervisor(max_restarts=10, max_zombies=1).start()
    told: Recorder[events.Event] = Recorder()
    tree.subscribe(told)
    ref = tree.add_worker(handler(hang), id="w", time_limit=SOON)
    other = tree.add_worker(handler(hang), id="other")
    ref.tell("hang")
    ref.tell("hang")
    assert isinstance(ref.wait(PATIENCE), Abandoned)
    told.wait_until(lambda all_: any(isinstance(one, events.GaveUp) for one in all_), "GaveUp")
    turn(tree)
    assert tree.failed() == ("w",)
    assert tree.statistics().zombies == 2
    with pytest.raises(MailboxClosed):
        ref.tell("more")
    assert other.ask("fine") == "fine"
    assert balanced(ref.statistics())


# -- it is a crash --------------------------------------------------------------------


def test_it_spends_the_budget(tree: Supervisor, hang: Hang) -> None:
    """With no restart to spend the scope gives up."""
    ref = tree.add_worker(handler(hang), id="w", time_limit=SOON, max_restarts=0)
    ref.tell("hang")
    assert isinstance(ref.wait(PATIENCE), Abandoned)
    turn(tree)
    assert tree.failed() == ("w",)


def test_a_temporary_worker_is_not_replaced(tree: Supervisor, hang: Hang) -> None:
    """The restart type decides, as after any crash."""
    ref = tree.add_worker(handler(hang), id="w", time_limit=SOON, restart="temporary")
    ref.tell("hang")
    assert isinstance(ref.wait(PATIENCE), Abandoned)
    turn(tree)
    assert "w" not in tree


def test_the_strategy_of_a_group_applies(tree: Supervisor, hang: Hang, late: Late) -> None:
    """Under `one_for_all` its siblings are restarted with it."""
    members = [worker_spec(handler(hang), id=name, time_limit=LIMIT) for name in "ab"]
    group = tree.add_group("g", members, strategy="one_for_all")
    group.tell("a", "hang")
    hang.stuck.wait_for(1)
    late("g", "a")
    assert [group.ask(key, "fine") for key in group] == ["fine", "fine"]
    assert [group[key].incarnation for key in group] == [2, 2]


def test_a_stage_that_hangs_fails_its_item(tree: Supervisor, hang: Hang, late: Late) -> None:
    """The item's future ends, and the next item goes through."""
    chain = tree.add_chain("c", [stage(hang, id="s", time_limit=LIMIT), stage(repr, id="r")])
    lost = chain.submit("hang")
    hang.stuck.wait_for(1)
    late("c", ("s", 0))
    with pytest.raises(WorkerExited):
        lost.result(PATIENCE)
    assert chain.submit("next").result(PATIENCE) == "'next'"
    hang.release()
    turn(tree)
    items = chain.statistics().items
    assert (items.offered, items.completed, items.failed, items.in_flight) == (2, 1, 1, 0)


# -- every kind of worker -------------------------------------------------------------


def test_a_task_hangs_from_one_receive_to_the_next(
    tree: Supervisor, hang: Hang, late: Late
) -> None:
    """What it received last is in hand until it receives again; the next life goes on."""

    def task() -> None:
        while True:
            hang(receive())

    ref = tree.add_worker(task, id="t", time_limit=LIMIT)
    answer = ref.ask("hang", block=False)
    ref.tell("next")
    hang.stuck.wait_for(1)
    late("t")
    assert hang.handled.wait_for(1) == ["next"]
    with pytest.raises(WorkerExited):
        answer.result(PATIENCE)
    hang.release()
    turn(tree)
    assert ref.incarnation == 2


def test_a_worker_class_may_hang(tree: Supervisor, hang: Hang, late: Late) -> None:
    """`on_receive` is a handler like any other."""

    class Hanging(Worker):
        def on_receive(self, message: Any) -> object:
            return hang(message)

    ref = tree.add_worker(Hanging, id="w", time_limit=LIMIT)
    answer = ref.ask("hang", block=False)
    hang.stuck.wait_for(1)
    late("w")
    with pytest.raises(WorkerExited):
        answer.result(PATIENCE)
    assert ref.ask("next") == "next"


def test_a_pykka_class_that_hangs_can_be_stopped(tree: Supervisor, hang: Hang, late: Late) -> None:
    """Its `stop` drains first, without a limit of its own: the one for a message counts."""

    class Hanging(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> object:
            return hang(message)

    ref = tree.add_worker(Hanging, id="p", time_limit=LIMIT)
    answer = ref.ask("hang", block=False)
    hang.stuck.wait_for(1)
    stopped = ref.stop(block=False)
    turn(tree)
    assert not stopped.done()
    late("p")
    assert stopped.result(PATIENCE)
    with pytest.raises(WorkerExited):
        answer.result(PATIENCE)
    assert not ref.is_alive()


def test_with_interrupt_it_leaves_no_zombie(tree: Supervisor, late: Late) -> None:
    """A busy loop is fenced at the limit and ended by the exception."""
    threads: Recorder[threading.Thread] = Recorder()

    def busy(message: object) -> object:
        if message == "spin":
            threads(threading.current_thread())
            while True:
                pass
        return message

    ref = tree.add_worker(handler(busy), id="w", time_limit=LIMIT, interrupt=True)
    answer = ref.ask("spin", block=False)
    [thread] = threads.wait_for(1)
    late("w")
    with pytest.raises(WorkerExited):
        answer.result(PATIENCE)
    assert ref.ask("next") == "next"
    thread.join(PATIENCE)
    assert not thread.is_alive()
    turn(tree)
    assert tree.statistics().zombies == 0
    assert balanced(ref.statistics())


# -- nobody else pays -----------------------------------------------------------------


def test_a_worker_without_a_limit_has_a_plain_hand(tree: Supervisor) -> None:
    """Only who has the option has the slower hand."""
    ref = tree.add_worker(handler(len), id="w")
    assert type(ref._keeper.life.hand) is list  # type: ignore[attr-defined]


def test_no_timer_is_left_of_a_worker_that_is_gone(tree: Supervisor) -> None:
    """A worker that was busy and is removed takes its timer with it, however far off."""
    ref = tree.add_worker(handler(str), id="w", time_limit=3600.0)
    assert ref.ask(1) == "1"
    turn(tree)
    timers = tree._services.loop.timers
    assert timers.next() is not None
    tree.remove_child("w")
    assert timers.next() is None


def test_others_with_a_limit_are_not_touched(tree: Supervisor, hang: Hang, late: Late) -> None:
    """One that hangs is looked at by itself."""
    stuck = tree.add_worker(handler(hang), id="stuck", time_limit=LIMIT)
    fine = tree.add_worker(handler(hang), id="fine", time_limit=LIMIT)
    lost = stuck.ask("hang", block=False)
    hang.stuck.wait_for(1)
    assert fine.ask("fine") == "fine"
    late("fine")
    late("stuck")
    with pytest.raises(WorkerExited):
        lost.result(PATIENCE)
    assert fine.ask("fine") == "fine"
    assert fine.incarnation == 1
