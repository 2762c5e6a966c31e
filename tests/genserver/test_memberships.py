"""Timers of every kind of worker, in every membership, through restarts and to the end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pykka
import pytest

import threadsup
from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import (
    Batch,
    Crashed,
    Emit,
    GenServer,
    Shutdown,
    Worker,
    WorkerExit,
    current,
    handler,
    receive,
    stage,
)
from threadsup.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeSupervisor
    from threadsup import Supervisor, Timer, WorkerRef

SOON = 0.01


class Alarm(Worker):
    """Hands what it receives to a recorder; a function it calls, with itself."""

    def __init__(self, seen: Recorder[Any], at_first: Callable[[Alarm], object] | None = None):
        self.seen, self.at_first = seen, at_first

    def on_start(self) -> None:
        if self.at_first is not None:
            self.at_first(self)

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.seen(message)
        return message


@pytest.fixture
def seen() -> Recorder[Any]:
    return Recorder()


def due_before(sup: Supervisor, seconds: float) -> None:
    """Wait until all that is due within `seconds` from now is in its mailbox.

    Timers of a tree are due in order: when a later one has come, the others have.
    """
    came: Recorder[Any] = Recorder()
    ref = sup.add_worker(Alarm, came, lambda clock: clock.send_after(seconds, "now"))
    came.wait_for(1)
    sup.remove_child(ref.id)


# -- kinds of worker ------------------------------------------------------------------------


def test_a_worker_sends_itself_messages(supervisor: MakeSupervisor, seen: Recorder[Any]) -> None:
    """From `__init__`, `on_start` and `on_receive`; they are told and counted as such."""

    class Early(Alarm):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.send_after(0, "from __init__")

    with supervisor() as sup:
        ref = sup.add_worker(Early, seen, lambda worker: worker.send_after(SOON, "from on_start"))
        ref.ask(lambda worker: repr(worker.send_after(2 * SOON, "from on_receive")))
        assert seen.wait_for(3) == ["from __init__", "from on_start", "from on_receive"]
        assert ref.ask("asked") == "asked"
        counts = ref.statistics()
    assert (counts.accepted, counts.handled) == (5, 5)


def test_a_server_gets_them_as_info(supervisor: MakeSupervisor, seen: Recorder[Any]) -> None:
    """As what is told; ticks go on until they are cancelled."""

    class Ticking(GenServer):
        def init(self) -> None:
            self.timer = self.every(SOON, "tick")

        def handle_call(self, request: Any) -> bool:
            return self.timer.cancel()

        def handle_info(self, message: Any) -> None:
            seen(message)

    with supervisor() as sup:
        ref = sup.add_worker(Ticking)
        assert set(seen.wait_for(3)) == {"tick"}
        assert ref.call("cancel") is True
        count = len(seen)
        due_before(sup, 2 * SOON)
        assert ref.call("cancel") is False
        assert len(seen) == count


def test_a_handler_sends_itself_messages(supervisor: MakeSupervisor, seen: Recorder[Any]) -> None:
    """By the module's functions, or its context's."""

    def handle(message: Any) -> None:
        seen(message)
        if message == "begin":
            threadsup.send_after(SOON, "by the module")
        elif message == "by the module":
            context = current()
            assert context is not None
            context.send_after(SOON, "by the context")

    with supervisor() as sup:
        sup.add_worker(handler(handle)).tell("begin")
        assert seen.wait_for(3) == ["begin", "by the module", "by the context"]


def test_a_task_receives_them(supervisor: MakeSupervisor) -> None:
    """Between the others, in the order in which they are due; nobody waits for an answer."""
    found: list[Any] = []

    def task() -> None:
        threadsup.every(SOON, "tick")
        threadsup.send_after(2.5 * SOON, "enough")
        while (message := receive()) != "enough":
            found.append(message)
        with pytest.raises(RuntimeError, match="nothing to reply to"):
            current().reply("answer")  # type: ignore[union-attr]

    with supervisor() as sup:
        ref = sup.add_worker(task)
        assert ref.wait(PATIENCE) is not None
        counts = ref.statistics()
    assert set(found) == {"tick"}
    assert counts.handled == len(found) + 1
    assert counts.accepted == counts.handled


def test_a_pykka_actor_sends_itself_messages(
    supervisor: MakeSupervisor, seen: Recorder[Any]
) -> None:
    """The class is untouched; only the function is ours."""

    class Actor(pykka.ThreadingActor):
        def on_start(self) -> None:
            threadsup.send_after(SOON, "ping")

        def on_receive(self, message: Any) -> None:
            seen(message)

    with supervisor() as sup:
        sup.add_worker(Actor)
        assert seen.wait_for(1) == ["ping"]


def test_members_of_a_group_have_timers_of_their_own(
    supervisor: MakeSupervisor, seen: Recorder[Any]
) -> None:
    """Each sends to itself; the ref it has is its own."""
    with supervisor() as sup:
        group = sup.add_group("g")
        for number in range(3):
            group.add_worker(
                Alarm, seen, lambda worker: worker.send_after(0, worker.ref.id), id=number
            )
        assert sorted(seen.wait_for(3)) == [0, 1, 2]


def test_in_a_stage_the_message_is_an_item(supervisor: MakeSupervisor, seen: Recorder[Any]) -> None:
    """It begins at that stage, goes on from there, and is counted as any other."""

    class Gathering(Worker):
        def on_start(self) -> None:
            assert self.ref is None
            self.items: list[Any] = []
            self.send_after(SOON, "flush")

        def on_receive(self, item: Any) -> Any:
            if item != "flush":
                self.items.append(item)
                return Emit()
            return Emit(*self.items, "flushed")

    with supervisor() as sup:
        chain = sup.add_chain("c", [stage(str), stage(Gathering), stage(str)], on_result=seen)
        chain.tell(1)
        chain.tell(2)
        assert chain.drain(timeout=PATIENCE)
        assert seen.wait_until(lambda items: "flushed" in items)
        assert chain.drain(timeout=PATIENCE)
        items = chain.statistics().items
    assert seen.items in (["1", "2", "flushed"], ["1", "flushed"], ["flushed"])
    assert items.offered == 3
    assert items.offered == items.completed + items.dropped + items.failed + items.in_flight


def test_a_function_of_a_stage_has_timers_too(
    supervisor: MakeSupervisor, seen: Recorder[Any]
) -> None:
    """In batches as well; the replica that set it gets it."""

    def work(items: list[Any]) -> list[Any]:
        if "begin" in items:
            threadsup.send_after(SOON, threading.get_ident())
        return [(item, threading.get_ident()) for item in items]

    with supervisor() as sup:
        batch = Batch(10, 0.001)
        chain = sup.add_chain("c", [stage(work, workers=2, batch=batch)], on_result=seen)
        chain.tell("begin")
        (_, begun), (message, handled) = seen.wait_for(2)
        assert message == begun == handled


def test_a_task_of_a_pool_has_no_timers() -> None:
    """Its worker takes no messages: an error at once, and the task's own."""
    with Pool(1) as pool, pytest.raises(RuntimeError, match="a worker of a pool takes no messages"):
        pool.submit(threadsup.send_after, 1, "message").result(PATIENCE)


# -- a full mailbox, a slow worker ------------------------------------------------------------


@pytest.mark.parametrize("on_full", ["wait", "raise", "drop_new", "drop_old"])
def test_a_full_mailbox_has_room_for_a_timer(
    supervisor: MakeSupervisor, seen: Recorder[Any], on_full: Any
) -> None:
    """Whatever is done at the bound: nothing is dropped, nobody waits, it comes in its turn."""
    gate = Gate("the worker")
    with supervisor() as sup:
        ref = sup.add_worker(Alarm, seen, capacity=1, on_full=on_full)
        ref.ask(lambda worker: repr(worker.send_after(SOON, "due")))
        ref.tell(lambda _: gate.meet())
        gate.wait_reached()
        ref.tell("queued")
        due_before(sup, 2 * SOON)
        gate.open()
        assert seen.wait_for(2) == ["queued", "due"]
        assert ref.statistics().undelivered == 0


def test_a_slow_worker_is_late_by_one_tick(supervisor: MakeSupervisor, seen: Recorder[Any]) -> None:
    """Those that come due while it is busy are one."""
    gate = Gate("the worker")
    with supervisor() as sup:
        ref = sup.add_worker(Alarm, seen, lambda worker: worker.every(0.001, "tick"))
        ref.tell(lambda _: gate.meet())
        gate.wait_reached()
        before = len(seen)
        due_before(sup, 20 * 0.001)
        ticks = ref.ask(lambda _: len(seen), block=False)
        gate.open()
        assert ticks.result(5) == before + 1


# -- restarts and ends ------------------------------------------------------------------------


def test_a_restart_cancels_the_timers_of_the_old_life(
    supervisor: MakeSupervisor, seen: Recorder[Any]
) -> None:
    """Those that are to come, and those whose mark is in the mailbox, which is kept."""
    gate = Gate("the worker")
    timers: list[Timer] = []

    def set_timers(worker: Alarm) -> None:
        context = current()
        assert context is not None
        if context.incarnation == 1:
            timers.extend([worker.send_after(SOON, "queued"), worker.every(1000, "to come")])

    def crash(_: Alarm) -> None:
        gate.meet()
        raise ValueError("on purpose")

    with supervisor() as sup:
        ref = sup.add_worker(Alarm, seen, set_timers)
        ref.tell(crash)
        gate.wait_reached()
        due_before(sup, 2 * SOON)
        ref.tell("told")
        gate.open()
        assert ref.ask("asked") == "asked"
        assert seen.items == ["told", "asked"]
        assert [timer.cancel() for timer in timers] == [False, False]
        assert ref.statistics().undelivered == 0


def next_deadline(sup: Supervisor) -> Any:
    """Return when the tree is to wake up next, asked in its own thread."""
    services = sup._root.services
    found: Recorder[Any] = Recorder()
    services.post(lambda _: found(services.loop.timers.next()), None)
    return found.wait_for(1)[0]


def fail(_: Alarm) -> None:
    raise ValueError("on purpose")


def stop(ref: WorkerRef) -> None:
    ref.stop()


def crash(ref: WorkerRef) -> None:
    ref.tell(fail)
    assert isinstance(ref.wait(PATIENCE), Crashed)


def leave(ref: WorkerRef) -> None:
    ref.tell(lambda worker: worker.stop())
    assert ref.wait(PATIENCE) == Shutdown()


@pytest.mark.parametrize("end", [stop, crash, leave])
def test_the_end_of_a_worker_leaves_no_timer(
    supervisor: MakeSupervisor, seen: Recorder[Any], end: Callable[[WorkerRef], None]
) -> None:
    """The tree does not wake for it any more, and nothing of it is undelivered."""
    with supervisor() as sup:
        ref = sup.add_worker(
            Alarm, seen, lambda worker: worker.every(1000, "tick"), restart="temporary"
        )
        assert next_deadline(sup) is not None
        end(ref)
        assert next_deadline(sup) is None
        assert ref.statistics().undelivered == 0


def test_a_worker_that_is_given_up_on_has_no_timers(
    supervisor: MakeSupervisor, seen: Recorder[Any]
) -> None:
    """A zombie's do not come, and it sets no more: the next life has the mailbox."""
    gate = Gate("the worker")
    ends: Recorder[BaseException] = Recorder()

    def hang(worker: Alarm) -> None:
        worker.send_after(0.1, "of a zombie")
        gate.meet()
        try:
            worker.send_after(0, "of a zombie")
        except BaseException as error:
            ends(error)
            raise

    with supervisor() as sup:
        ref = sup.add_worker(Alarm, seen, time_limit=0.05)
        ref.tell(hang)
        gate.wait_reached()
        assert ref.ask("the next life") == "the next life"
        gate.open()
        assert type(ends.wait_for(1)[0]) is WorkerExit
        due_before(sup, 0.1)
        assert ref.ask("asked") == "asked"
    assert seen.items == ["the next life", "asked"]


def test_a_tick_has_the_time_limit_of_a_message(
    supervisor: MakeSupervisor, seen: Recorder[Any]
) -> None:
    """A worker that hangs in one is replaced; the tick has failed."""
    gate = Gate("the tick")

    def first_life(worker: Alarm) -> None:
        context = current()
        assert context is not None
        if context.incarnation == 1:
            worker.send_after(0, lambda _: gate.meet())

    with supervisor() as sup:
        ref = sup.add_worker(Alarm, seen, first_life, time_limit=0.05)
        gate.wait_reached()
        assert ref.ask("the next life") == "the next life"
        assert (ref.incarnation, ref.statistics().failed) == (2, 1)
        gate.open()


def test_a_tick_that_fails_is_a_crash(supervisor: MakeSupervisor, seen: Recorder[Any]) -> None:
    """Its message is a dead letter, as one that was told."""
    with supervisor() as sup:
        ref = sup.add_worker(
            Alarm,
            seen,
            lambda worker: worker.send_after(0, fail),
            restart="temporary",
        )
        assert isinstance(ref.wait(PATIENCE), Crashed)
        (letter,) = sup.dead_letters()
        assert letter.reason == "failed"
        assert letter.error == "ValueError: on purpose"
        assert ref.statistics().failed == 1


def test_an_idle_tree_with_a_timer_to_come_wakes_for_nothing_else(
    supervisor: MakeSupervisor, seen: Recorder[Any]
) -> None:
    """What is cancelled before it is set in the tree is never set there."""

    def set_and_cancel(worker: Alarm) -> None:
        worker.send_after(1000, "to come")
        for _ in range(100):
            assert worker.send_after(2000, "cancelled").cancel()

    with supervisor() as sup:
        ref = sup.add_worker(Alarm, seen)
        ref.ask(set_and_cancel)
        assert next_deadline(sup) is not None
        assert len(sup._root.services.loop.timers._heap) == 1


# -- who may -----------------------------------------------------------------------------------


def test_outside_a_worker_there_is_nobody_to_send_to() -> None:
    """The functions say so at once."""
    for name in ("send_after", "every"):
        with pytest.raises(RuntimeError, match=rf"{name}\(\) sends to the worker that calls it"):
            getattr(threadsup, name)(1, "message")


def test_a_worker_s_helper_may_set_its_timers(
    supervisor: MakeSupervisor, seen: Recorder[Any]
) -> None:
    """A thread that has the instance sends to that worker, not to whoever it is itself."""

    def help_out(worker: Alarm) -> None:
        thread = threading.Thread(target=worker.send_after, args=(0, "from outside"))
        thread.start()
        thread.join(PATIENCE)

    with supervisor() as sup:
        sup.add_worker(Alarm, seen).tell(help_out)
        assert seen.wait_for(1) == ["from outside"]


def test_an_instance_nobody_runs_has_no_ref(seen: Recorder[Any]) -> None:
    """It can be made and called; what needs a supervisor says so."""
    alarm = Alarm(seen)
    assert alarm.on_receive("by hand") == "by hand"
    for use in (lambda: alarm.ref, lambda: alarm.every(1, "tick"), alarm.stop):
        with pytest.raises(RuntimeError, match="this Alarm is not run by a supervisor"):
            use()
