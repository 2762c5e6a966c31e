"""What happens is told: to subscribers, monitors and the log, in order, by the side thread."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import Actor, act, boom
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import outcome, taken, together
from threadsup import (
    Abandoned,
    Backoff,
    Crashed,
    Exit,
    Normal,
    Shutdown,
    WorkerExit,
    events,
    handler,
    stage,
    worker_spec,
)
from threadsup._runtime import side as side_module

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from threadsup import Supervisor


def leave() -> None:
    raise SystemExit


def flushed(tree: Supervisor) -> None:
    """Return when the side thread has run all it was given before."""
    done = threading.Event()
    tree._services.side.do(done.set)
    assert done.wait(PATIENCE)


# -- subscribers ------------------------------------------------------------------------


def test_the_life_of_a_tree_is_told_in_order(supervisor: MakeSupervisor) -> None:
    """Starts, a crash with its restart, the stop in reverse; history keeps the same."""
    told: Recorder[events.Event] = Recorder()
    tree = supervisor()
    tree.subscribe(told)
    ref = tree.add_worker(handler(act), id="w")
    tree.add_group("g", [worker_spec(handler(act), id="m")])
    tree.add_chain("c", [stage(act, id="s")])
    tree.start()
    ref.tell(boom)
    assert ref.ask("back") == "back"
    tree.stop()
    seen = [
        (type(event).__name__, getattr(event, "path", None), getattr(event, "incarnation", None))
        for event in told.items
    ]
    assert seen == [
        ("WorkerStarted", ("w",), 1),
        ("WorkerStarted", ("g", "m"), 1),
        ("WorkerStarted", ("c", "s", 0), 1),
        ("SupervisorStarted", (), None),
        ("WorkerEnded", ("w",), 1),
        ("Restarting", ("w",), None),
        ("WorkerStarted", ("w",), 2),
        ("WorkerEnded", ("c", "s", 0), 1),
        ("WorkerEnded", ("g", "m"), 1),
        ("WorkerEnded", ("w",), 2),
        ("SupervisorEnded", (), None),
    ]
    assert tree.history() == tuple(told.items)
    crash, restarting = told.items[4:6]
    assert isinstance(crash, events.WorkerEnded)
    assert isinstance(crash.reason, Crashed)
    assert (crash.final, crash.why) == (False, "")
    assert isinstance(restarting, events.Restarting)
    assert restarting.delay == 0.0
    last = told.items[-2]
    assert isinstance(last, events.WorkerEnded)
    assert (last.final, last.why) == (True, "what it belongs to is stopping")
    assert all(event.supervisor == tree.name for event in told.items)


def test_a_scope_that_gives_up_says_so_once(supervisor: MakeSupervisor) -> None:
    """After the end that was one too many; whether it escalates is told, too."""
    told: Recorder[events.Event] = Recorder()
    tree = supervisor(max_restarts=0).start()
    tree.subscribe(told)
    tree.add_worker(handler(act), id="alone", max_restarts=0).tell(boom)
    told.wait_until(lambda seen: any(isinstance(event, events.GaveUp) for event in seen))
    tree.add_worker(handler(act), id="upward", max_restarts=0, escalate=True).tell(boom)
    tree.wait(PATIENCE)
    tree.stop()
    gave_up = [event for event in told.items if isinstance(event, events.GaveUp)]
    assert [(event.path, event.escalates) for event in gave_up] == [
        (("alone",), False),
        (("upward",), True),
        (("upward",), False),  # the tree itself, past its own budget
    ]


def test_a_subscriber_ends_its_subscription(supervisor: MakeSupervisor) -> None:
    """Also to events on their way; the same function may be subscribed twice."""
    gate, told = Gate(), Recorder[events.Event]()
    tree = supervisor().start()
    first, second = tree.subscribe(told), tree.subscribe(told)
    tree.add_worker(handler(act), id="a")
    flushed(tree)
    assert len(told) == 2
    tree._services.side.do(gate.meet)
    gate.wait_reached()
    tree.restart_child("a")  # both events are on their way
    first()
    first()
    gate.open()
    flushed(tree)
    assert len(told) == 4
    tree.add_worker(handler(act), id="b")
    flushed(tree)
    assert len(told) == 5
    second()
    tree.add_worker(handler(act), id="c")
    flushed(tree)
    assert len(told) == 5


def test_subscribing_at_once_loses_nobody(supervisor: MakeSupervisor) -> None:
    """Eight threads come and go; those who stay are told (F81)."""
    told = [Recorder[events.Event]() for _ in range(8)]
    tree = supervisor().start()

    def subscribe(number: int) -> None:
        ends = [tree.subscribe(told[number]) for _ in range(50)]
        for end in ends[1:]:
            end()

    together(8, subscribe)
    tree.add_worker(handler(act))
    flushed(tree)
    assert [len(recorder) for recorder in told] == [1] * 8


class Odd:
    """A subscriber that cannot be compared."""

    def __init__(self, told: Recorder[Any]) -> None:
        self._told = told

    def __call__(self, event: object) -> None:
        self._told(event)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no code of users runs here")

    __hash__ = None  # type: ignore[assignment]


def test_subscribers_and_monitors_are_not_compared(supervisor: MakeSupervisor) -> None:
    """Ending one runs no code of another's."""
    told: Recorder[Any] = Recorder()
    tree = supervisor().start()
    ref = tree.add_worker(handler(act))
    ends = [end for _ in range(3) for end in (tree.subscribe(Odd(told)), ref.monitor(Odd(told)))]
    for end in reversed(ends):
        end()
    ref.stop()
    flushed(tree)
    assert told.items == []


@pytest.mark.parametrize("error", [ValueError(), SystemExit(1), KeyboardInterrupt(), WorkerExit()])
def test_a_subscriber_that_raises_is_contained(
    supervisor: MakeSupervisor, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """Whatever it raises: the others are told, the tree goes on, the log has it once (F58)."""

    def fail(event: events.Event) -> None:
        raise error

    told: Recorder[events.Event] = Recorder()
    tree = supervisor().start()
    tree.subscribe(fail)
    tree.subscribe(told)
    for _ in range(5):
        tree.add_worker(handler(act))
    assert len(told.wait_for(5)) == 5
    flushed(tree)
    assert [record.message for record in caplog.records] == ["a callback failed (1 so far)"]
    assert tree._services.side.failed == 5
    assert tree.wait(0) is None


def test_a_subscriber_that_blocks_holds_up_nobody(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events past the bound are dropped and counted, monitor notices never (F57, F58)."""
    monkeypatch.setattr(side_module, "_BOUND", 10)
    gate, notes, told = Gate(), Recorder[Exit](), Recorder[events.Event]()
    tree = supervisor().start()
    tree.subscribe(lambda _: gate.meet())
    tree.subscribe(told)
    ref = tree.add_worker(handler(act), id="w")
    ref.monitor(notes)
    gate.wait_reached()
    for _ in range(30):
        tree.restart_child("w")
    assert ref.ask("served meanwhile") == "served meanwhile"
    assert tree.statistics().events_dropped > 0
    assert ref.statistics().restarts == 30
    gate.open()
    assert [note.incarnation for note in notes.wait_for(30)] == [*range(1, 31)]
    flushed(tree)
    dropped = tree.statistics().events_dropped
    assert len(told) + dropped == len(tree.history()) - 1  # the start came before it


def test_a_blocked_subscriber_does_not_keep_the_tree_from_ending(
    supervisor: MakeSupervisor,
) -> None:
    """`stop(timeout)` returns in time, whoever is in the side thread."""
    gate = Gate()
    tree = supervisor().start()
    tree.subscribe(lambda _: gate.meet())
    tree.add_worker(handler(act))
    gate.wait_reached()
    assert tree.stop(timeout=0.2).clean
    gate.open()


def test_a_subscriber_may_use_the_whole_api(supervisor: MakeSupervisor) -> None:
    """It adds, removes and unsubscribes from within (F58)."""
    done: Recorder[str] = Recorder()
    tree = supervisor().start()

    def subscriber(event: events.Event) -> None:
        if isinstance(event, events.WorkerStarted) and event.path == ("first",):
            end()
            tree.add_worker(handler(act), id="second")
            tree.remove_child("first")
            done(str(tree.tree()))
            tree.request_stop("from a subscriber")

    end = tree.subscribe(subscriber)
    tree.add_worker(handler(act), id="first")
    assert tree.wait(PATIENCE) == Shutdown("from a subscriber")
    assert "second" in done.wait_for(1)[0]
    assert len(done) == 1


def test_history_keeps_the_newest(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is bounded (F79)."""
    tree = supervisor().start()
    tree.add_worker(handler(act), id="w")
    for number in range(1100):
        tree._services.publish(events.CallbackFailed(tree.name, 0.0, ("w",), str(number)))
    history = tree.history()
    assert len(history) == 1000
    assert isinstance(history[0], events.CallbackFailed)
    assert history[0].what == "100"


# -- monitors ---------------------------------------------------------------------------


def test_a_monitor_is_told_every_exit_once(supervisor: MakeSupervisor) -> None:
    """Crashes, the clean end, and what becomes of the child (row 66; DESIGN 4)."""
    notes: Recorder[Exit] = Recorder()
    tree = supervisor(backoff=Backoff.none()).start()
    ref = tree.add_worker(handler(act), id="w", restart="transient")
    ref.monitor(notes)
    ref.tell(boom)
    ref.tell(boom)
    ref.tell(leave)
    assert ref.wait(PATIENCE) == Normal()
    flushed(tree)
    assert [(note.id, note.incarnation, note.final) for note in notes.items] == [
        ("w", 1, False),
        ("w", 2, False),
        ("w", 3, True),
    ]
    assert isinstance(notes.items[0].reason, Crashed)
    assert notes.items[2].reason == Normal()
    tree.restart_child("w")
    tree.stop()
    assert [(note.incarnation, note.final) for note in notes.items[3:]] == [(4, True)]


def test_a_monitor_of_what_has_ended_is_told_at_once(supervisor: MakeSupervisor) -> None:
    """Once, with the last exit; also after the end of the tree."""
    tree = supervisor().start()
    ref = tree.add_worker(lambda: None, id="w")
    assert ref.wait(PATIENCE) == Normal()
    for _ in range(2):
        notes: Recorder[Exit] = Recorder()
        ref.monitor(notes)
        assert notes.wait_for(1) == [Exit("w", 1, Normal(), final=True)]
        tree.stop()
        assert len(notes) == 1


def test_a_monitor_that_has_ended_is_told_nothing(supervisor: MakeSupervisor) -> None:
    """Not even a notice that was on its way to it."""
    gate, notes = Gate(), Recorder[Exit]()
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w")
    tree._services.side.do(gate.meet)
    gate.wait_reached()
    end = ref.monitor(notes)
    tree.restart_child("w")  # the notice waits behind the gate
    end()
    end()
    gate.open()
    ref.stop()
    flushed(tree)
    assert notes.items == []


def test_members_and_stages_are_monitored_alike(supervisor: MakeSupervisor) -> None:
    """By their id in the group or chain; a stage by each of its replicas."""
    notes: Recorder[Exit] = Recorder()
    tree = supervisor().start()
    tree.add_group("g", [worker_spec(handler(act), id="m")])["m"].monitor(notes)
    tree.add_chain("c", [stage(act, id="s")])["s"].monitor(notes)
    tree.stop()
    assert [(note.id, note.reason, note.final) for note in notes.items] == [
        (("s", 0), Shutdown(), True),
        ("m", Shutdown(), True),
    ]


def test_a_monitor_is_told_of_an_abandoned_life_once(supervisor: MakeSupervisor) -> None:
    """When it is given up; its later end is nobody's news."""
    gate, notes = Gate(), Recorder[Exit]()
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w", shutdown=0.01)
    ref.monitor(notes)
    ref.tell(gate.meet)
    gate.wait_reached()
    tree.restart_child("w")
    assert ref.ask("the next") == "the next"
    assert tree.statistics().zombies == 1
    gate.open()
    tree.stop()
    reasons = [note.reason for note in notes.items]
    assert isinstance(reasons[0], Abandoned)
    assert reasons[0].doing == "message"
    assert reasons[1:] == [Shutdown()]


# -- the log ----------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and first line of what was logged."""
    return [(record.levelname, record.message.split("\n")[0]) for record in caplog.records]


def test_a_crash_is_one_log_line_with_its_traceback(
    supervisor: MakeSupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    """It says who, in which life, and why it is not restarted (row 105)."""
    caplog.set_level(logging.INFO, "threadsup")
    tree = supervisor("app", backoff=Backoff.none()).start()
    group = tree.add_group("g", [worker_spec(handler(act), id="m")], max_restarts=1)
    group.tell("m", boom)
    group.tell("m", boom)
    group["m"].wait(PATIENCE)
    tree.stop()
    why = "not restarted: more restarts were needed than are allowed"
    assert lines(caplog) == [
        ("ERROR", "app: g / m (incarnation 1) crashed: Boom: boom"),
        ("ERROR", f"app: g / m (incarnation 2) crashed: Boom: boom, {why}"),
        ("ERROR", "app: gave up on g / m: crashed: Boom: boom"),
    ]
    assert "in boom" in caplog.records[0].message
    assert "Traceback" not in caplog.records[2].message


def test_pauses_and_abandoned_workers_are_logged(
    supervisor: MakeSupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    """A restart at once is not news, one after a pause is."""
    caplog.set_level(logging.INFO, "threadsup")
    gate = Gate()
    tree = supervisor("app", backoff=Backoff(0.01, jitter=0.0)).start()
    ref = tree.add_worker(handler(act), id="w", shutdown=0.01)
    for _ in range(2):
        ref.tell(boom)
    ref.tell(gate.meet)
    gate.wait_reached()
    tree.stop()
    gate.open()
    assert [line for line in lines(caplog) if line[0] != "ERROR"] == [
        ("INFO", "app: w is restarted in 0.01 s"),
        ("WARNING", "app: w (incarnation 3) was abandoned: in message for 0.0 s"),
    ]


def test_a_clean_life_is_not_logged(
    supervisor: MakeSupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    """No start, no stop, no end of a task is worth a line."""
    caplog.set_level(logging.DEBUG, "threadsup")
    with supervisor() as tree:
        tree.add_worker(lambda: None).wait(PATIENCE)
        tree.add_worker(handler(act), id="w")
        tree.restart_child("w")
    assert lines(caplog) == []


def test_a_crash_storm_leaves_the_log_readable(
    supervisor: MakeSupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    """One worker raising on each of its messages: some lines, the bystander serves (F79)."""
    tree = supervisor(backoff=Backoff.none()).start()
    quiet = tree.add_worker(handler(act), id="quiet")
    storm = tree.add_worker(handler(act), id="storm", max_restarts=100_000, max_seconds=1000.0)
    for _ in range(300):
        storm.tell(boom)
    assert storm.ask("after it", timeout=60) == "after it"
    assert quiet.ask("bystander") == "bystander"
    assert quiet.incarnation == 1
    assert storm.statistics().failed == 300
    flushed(tree)
    seconds = int(caplog.records[-1].created - caplog.records[0].created) + 1
    assert len(caplog.records) <= 10 * (seconds + 1)


def test_a_failing_clean_up_is_told(
    supervisor: MakeSupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in `on_failure` changes nothing and is not lost."""
    tree = supervisor("app", backoff=Backoff.none()).start()
    ref = tree.add_worker(Actor, id="w", kwargs={"failure": boom})
    ref.tell(boom)
    assert ref.ask("back") == "back"
    flushed(tree)
    assert ("ERROR", "app: w: on_failure failed: Boom: boom") in lines(caplog)
    assert any(isinstance(event, events.CallbackFailed) for event in tree.history())


def test_a_log_handler_that_fails_or_blocks_disturbs_nobody(
    supervisor: MakeSupervisor,
) -> None:
    """The log is written by the side thread (F80)."""
    gate = Gate()

    class Blocking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            gate.meet()
            raise RuntimeError(record.getMessage())

    blocking = Blocking()
    logging.getLogger("threadsup").addHandler(blocking)
    try:
        tree = supervisor(backoff=Backoff.none()).start()
        ref = tree.add_worker(handler(act), id="w")
        ref.tell(boom)
        gate.wait_reached()
        assert ref.ask("back") == "back"
        taken(tree)
        gate.open()
        assert tree.stop().clean
        assert outcome(tree.stop).stopped == 1
    finally:
        logging.getLogger("threadsup").removeHandler(blocking)
