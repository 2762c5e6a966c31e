"""Workers of a tree as their users know them: tasks, asks, attempts, bounds."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any

import pytest

import threadsup
from tests.conformance.scenes import Actor, Boom, PykkaActor, act, boom
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import outcome, taken
from threadsup import (
    Abandoned,
    Backoff,
    MailboxClosed,
    MailboxFull,
    NoReply,
    Normal,
    ReplyTimeout,
    Shutdown,
    WorkerExit,
    WorkerExited,
    current,
    handler,
    receive,
    stage,
    worker_spec,
)

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from threadsup import Context


def me() -> Context:
    context = current()
    assert context is not None
    return context


# -- tasks ------------------------------------------------------------------------------


def test_a_task_receives_and_replies(supervisor: MakeSupervisor) -> None:
    """Its arguments come first, its messages after; each is handled at the next receive."""

    def task(first: int, *, step: int) -> None:
        total = first
        while (message := receive()) is not None:
            total += step * message
            me().reply(total)

    tree = supervisor().start()
    ref = tree.add_worker(task, 10, kwargs={"step": 2}, id="t")
    assert [ref.ask(number) for number in (1, 2)] == [12, 16]
    with pytest.raises(NoReply):
        ref.ask(None)
    assert ref.wait(PATIENCE) == Normal()
    assert ref.statistics().handled == 3


def test_an_ask_that_a_task_leaves_open_gets_no_reply(supervisor: MakeSupervisor) -> None:
    """At the next receive, at the return, and WorkerExited at a crash."""

    def task() -> None:
        receive()
        receive()
        raise Boom("boom") if receive() else SystemExit

    tree = supervisor(backoff=Backoff.none()).start()
    ref = tree.add_worker(task, id="t")
    asked = [ref.ask(n, block=False) for n in range(3)]
    for future in asked[:2]:
        assert type(outcome(future.result, PATIENCE)) is NoReply
    assert type(outcome(asked[2].result, PATIENCE)) is Boom


def test_replying_twice_or_to_nobody_is_an_error(supervisor: MakeSupervisor) -> None:
    """And a handler answers with what it returns."""
    told: Recorder[Any] = Recorder()

    def task() -> None:
        told(outcome(me().reply, 0))
        receive()
        me().reply("first")
        told(outcome(me().reply, "second"))
        receive()
        told(outcome(me().reply, "told, not asked"))

    tree = supervisor().start()
    ref = tree.add_worker(task)
    assert ref.ask("?") == "first"
    ref.tell("!")
    errors = told.wait_for(3)
    assert [type(error) for error in errors] == [RuntimeError] * 3
    assert "replied to already" in str(errors[1])
    handling = tree.add_worker(handler(act))
    assert type(handling.ask(lambda: outcome(me().reply, 1))) is RuntimeError


def test_receiving_has_a_limit_and_a_default(supervisor: MakeSupervisor) -> None:
    """`TimeoutError` when nothing came, or what was given instead."""
    told: Recorder[Any] = Recorder()

    def task() -> None:
        told(type(outcome(receive, timeout=0)))
        told(receive(timeout=0.001, default="nothing"))
        told(receive(0, default=None))
        told(receive(timeout=PATIENCE))

    tree = supervisor()
    ref = tree.add_worker(task)
    tree.start()
    told.wait_for(3)
    ref.tell("something")
    assert told.wait_for(4) == [TimeoutError, "nothing", None, "something"]
    assert ref.wait(PATIENCE) == Normal()


def test_receive_is_for_tasks() -> None:
    """Elsewhere it has no mailbox to read."""
    with pytest.raises(RuntimeError, match="is for tasks"):
        receive()
    assert current() is None


def test_a_task_that_is_asked_to_stop_is_told_once(supervisor: MakeSupervisor) -> None:
    """Its next wait raises WorkerExit, those after it go on, capped by `shutdown`."""
    told: Recorder[Any] = Recorder()

    def task() -> None:
        try:
            receive()
        except WorkerExit as error:
            told(error.reason)
        told(me().stopping)
        threadsup.sleep(0)
        told(type(outcome(receive, timeout=0)))
        told(type(outcome(threadsup.sleep, 3600)))
        raise WorkerExit(Shutdown("in my own words"))

    tree = supervisor().start()
    ref = tree.add_worker(task, id="t", shutdown=0.2)
    report = tree.stop()
    assert told.wait_for(4) == [Shutdown(), True, TimeoutError, WorkerExit]
    # It ended at the last moment: in time, or abandoned at it.
    assert ref.wait(0) == Shutdown("in my own words") or not report.clean


def test_a_sleeping_task_ends_at_once(supervisor: MakeSupervisor) -> None:
    """`threadsup.sleep` and every wait of the library give way to a stop."""
    gate = Gate()

    def waits(how: str) -> None:
        gate.meet()
        if how == "sleep":
            threadsup.sleep(3600)
        elif how == "receive":
            receive()
        elif how == "ask":
            me().supervisor.worker("deaf").ask("?", timeout=None)
        else:
            me().supervisor.worker("full").tell("no room")

    hold = Gate()
    tree = supervisor().start()
    deaf = tree.add_worker(handler(lambda _: hold.meet()), id="deaf")
    full = tree.add_worker(handler(lambda _: hold.meet()), id="full", capacity=1)
    for ref in (deaf, full, full):
        ref.tell("stand")
        hold.wait_reached(1 + (ref is full))
    for how in ("sleep", "receive", "ask", "room"):
        tree.add_worker(waits, how, id=how)
    gate.open()
    gate.wait_reached(4)
    for how in ("sleep", "receive", "ask", "room"):
        assert tree.worker(how).stop() is True
        assert tree.worker(how).wait(0) == Shutdown()
    hold.open()


def test_a_handler_sleeps_on_until_its_limit(supervisor: MakeSupervisor) -> None:
    """It may finish what it has in hand, for what is left of `shutdown`."""
    gate, told = Gate(), Recorder[Any]()

    def handle(seconds: float) -> None:
        gate.meet()
        told(outcome(threadsup.sleep, seconds))

    tree = supervisor().start()
    ref = tree.add_worker(handler(handle), shutdown=0.1)
    ref.tell(0.01)
    ref.tell("never taken")
    gate.wait_reached()
    stopping = ref.stop(block=False)
    taken(tree)
    gate.open()
    assert stopping.result(PATIENCE) is True
    assert told.items == [None]
    assert ref.statistics().pending == 1
    with pytest.raises(ValueError, match="0 or more"):
        threadsup.sleep(-1)


# -- where a worker is ------------------------------------------------------------------


def test_a_worker_knows_where_it_is(supervisor: MakeSupervisor) -> None:
    """Its id, kind, incarnation and what it belongs to; nothing outside."""
    tree = supervisor().start()
    group = tree.add_group("g", [worker_spec(Actor, id="m"), worker_spec(PykkaActor, id="p")])
    chain = tree.add_chain("c", [stage(act, id="s")])
    alone = tree.add_worker(handler(act), id="w")

    def look() -> tuple[object, ...]:
        here = me()
        return here.id, here.kind, here.incarnation, here.supervisor, here.group, here.chain

    assert alone.ask(look) == ("w", "handler", 1, tree, None, None)
    assert group.ask("m", look) == ("m", "worker", 1, tree, group, None)
    assert group.ask("p", look) == ("p", "pykka", 1, tree, group, None)
    assert chain.submit(look).result(PATIENCE) == (("s", 0), "stage", 1, tree, None, chain)
    tree.restart_child("w")
    assert alone.ask(look)[2] == 2
    assert "handler 'w', incarnation 2" in alone.ask(lambda: repr(me()))


def test_context_variables_are_not_inherited(supervisor: MakeSupervisor) -> None:
    """Neither from who started the tree nor from who added the worker (DESIGN 3.16)."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    variable.set("mine")
    tree = supervisor()
    first = tree.add_worker(handler(act))
    tree.start()
    second = tree.add_worker(handler(act))
    for ref in (first, second):
        assert ref.ask(variable.get) == "unset"
        ref.ask(lambda: variable.set("the worker's"))
        assert ref.ask(variable.get) == "the worker's"
    tree.restart_child(second.id)
    assert second.ask(variable.get) == "unset"
    assert variable.get() == "mine"


def test_worker_threads_are_daemons_with_telling_names(supervisor: MakeSupervisor) -> None:
    """No hung worker keeps the process; a debugger says which is which."""
    tree = supervisor("app").start()
    ref = tree.add_worker(handler(act), id="w")
    thread = ref.ask(threading.current_thread)
    assert thread.daemon
    assert thread.name == "threadsup-w-1"
    names = {t.name for t in threading.enumerate()}
    assert {"app-supervisor", "app-side"} <= names


# -- refs -------------------------------------------------------------------------------


def test_a_ref_is_valid_across_restarts(supervisor: MakeSupervisor) -> None:
    """The same object, mailbox and counts; alive only while an incarnation is."""
    tree = supervisor(backoff=Backoff.none()).start()
    ref = tree.add_worker(handler(act), id="w")
    assert repr(ref) == "<WorkerRef 'w', incarnation 1, alive>"
    ref.tell(boom)
    ref.tell("kept")
    assert ref.ask("back") == "back"
    assert tree.worker("w") is ref
    assert (ref.incarnation, ref.is_alive()) == (2, True)
    counts = ref.statistics()
    assert (counts.accepted, counts.handled, counts.failed, counts.restarts) == (3, 2, 1, 1)
    tree.stop()
    assert repr(ref) == "<WorkerRef 'w', incarnation 2, not alive>"
    with pytest.raises(MailboxClosed):
        ref.tell("late")
    with pytest.raises(MailboxClosed):
        ref.ask("late")
    assert type(outcome(ref.ask("late", block=False).result, 0)) is MailboxClosed


def test_a_ref_that_drains_stops_behind_what_is_queued(supervisor: MakeSupervisor) -> None:
    """A plain Pykka class does so unless told otherwise, as Pykka's actors do."""
    tree = supervisor().start()
    for target, drain, handled in (
        (Actor, None, 1),
        (Actor, True, 3),
        (PykkaActor, None, 3),
        (PykkaActor, False, 1),
    ):
        gate = Gate()
        ref = tree.add_worker(target)
        ref.tell(gate.meet)
        gate.wait_reached()
        ref.tell("a")
        ref.tell("b")
        stopping = ref.stop(block=False, drain=drain)
        taken(tree)
        with pytest.raises(MailboxClosed):
            ref.tell("too late")
        gate.open()
        assert stopping.result(PATIENCE) is True
        counts = ref.statistics()
        assert (counts.handled, counts.pending) == (handled, 3 - handled)
        tree.remove_child(ref.id)


def test_a_drain_in_hand_can_be_hurried(supervisor: MakeSupervisor) -> None:
    """Who stops it next without a drain need not wait for what is queued."""
    gate, tree = Gate(), supervisor().start()
    ref = tree.add_worker(handler(act), id="w")
    ref.tell(gate.meet)
    gate.wait_reached()
    ref.tell("queued")
    first = ref.stop(block=False, drain=True)
    second = ref.stop(block=False)
    taken(tree)
    gate.open()
    assert first.result(PATIENCE) is True
    assert second.result(PATIENCE) in {True, False}
    assert ref.statistics().pending == 1


def test_a_ref_tells_whether_it_was_running(supervisor: MakeSupervisor) -> None:
    """Stopping what has ended, is gone, or whose tree is over, is no error."""
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w")
    gone = tree.add_worker(lambda: None, id="gone", restart="temporary")
    gone.wait(PATIENCE)
    assert gone.stop() is False
    assert ref.stop() is True
    assert ref.stop() is False
    assert ref.stop(block=False).result(0) is False
    tree.restart_child("w")
    tree.stop()
    assert ref.stop() is False


def test_a_stop_by_ref_that_comes_too_late_is_no_error(supervisor: MakeSupervisor) -> None:
    """The child is removed between the look and the request: it was not running any more."""
    gate, tree = Gate(), supervisor().start()
    group = tree.add_group("g", [worker_spec(handler(act), id="m")])
    refs = [tree.add_worker(handler(act), id="w"), group["m"]]
    tree._services.request(lambda _: gate.meet(), None)
    gate.wait_reached()
    removals = [tree._root.errand("remove_child", "w"), group.scope.errand("remove_child", "m")]
    stops = [ref.stop(block=False) for ref in refs]
    gate.open()
    assert [stop.result(PATIENCE) for stop in stops] == [False, False]
    assert [removal.result(PATIENCE) for removal in removals] == [None, None]


def test_waiting_for_a_worker_ends_with_its_final_end(supervisor: MakeSupervisor) -> None:
    """Not with a crash that is followed by a restart."""
    tree = supervisor(backoff=Backoff.none()).start()
    ref = tree.add_worker(handler(act), id="w")
    ref.tell(boom)
    assert ref.ask(1) == 1
    assert ref.wait(0) is None
    tree.stop_child("w")
    assert ref.wait() == Shutdown()
    tree.restart_child("w")
    assert ref.wait(0) is None


def test_between_incarnations_a_worker_is_not_alive(supervisor: MakeSupervisor) -> None:
    """From its end on, through the pause, until the next one is up."""
    gate, told = Gate(), Recorder[Any]()
    tree = supervisor(backoff=Backoff.none()).start()

    def start() -> None:
        if me().incarnation == 2:
            told(me().supervisor.worker("w").is_alive())
            gate.meet()

    ref = tree.add_worker(Actor, id="w", kwargs={"start": start, "failure": lambda: told("end")})
    ref.tell(boom)
    gate.wait_reached()
    assert not ref.is_alive()
    assert ref.incarnation == 2
    gate.open()
    assert ref.ask("hi") == "hi"
    assert ref.is_alive()
    assert told.items == ["end", False]


def test_a_look_at_a_life_that_is_just_taken_away(supervisor: MakeSupervisor) -> None:
    """`is_alive` reads the life once: the supervisor's thread may take it away between."""
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w")
    cell = ref._keeper
    life = cell.life  # type: ignore[attr-defined]

    class Fleeting(type(cell)):  # type: ignore[misc]
        looks = 0

        @property
        def life(self) -> Any:
            self.looks += 1
            return life if self.looks == 1 else None

        @life.setter
        def life(self, value: Any) -> None:
            """Leave it."""

    real, cell.__class__ = cell.__class__, Fleeting
    try:
        assert ref.is_alive()
    finally:
        cell.__class__ = real


# -- asks -------------------------------------------------------------------------------


def test_an_error_while_answering_is_the_asker_s_and_a_crash(supervisor: MakeSupervisor) -> None:
    """An `Exception` as it is, anything else as WorkerExited (DESIGN 3.9)."""
    tree = supervisor(backoff=Backoff.none()).start()
    ref = tree.add_worker(handler(act), id="w", max_restarts=10)
    error = Boom("mine")

    def fail() -> None:
        raise error

    assert outcome(ref.ask, fail) is error
    for other in (SystemExit(3), KeyboardInterrupt(), GeneratorExit()):

        def leave(other: BaseException = other) -> None:
            raise other

        exited = outcome(ref.ask, leave)
        assert type(exited) is WorkerExited
        assert exited.__cause__ is other
    assert ref.ask("alive") == "alive"
    assert ref.incarnation == 5


def test_an_error_may_be_replied_without_a_crash(supervisor: MakeSupervisor) -> None:
    """`on_ask_error="reply"`: for asks and for `Exception`s only; the default of Pykka classes."""
    tree = supervisor(backoff=Backoff.none()).start()
    for ref in (
        tree.add_worker(handler(act), on_ask_error="reply"),
        tree.add_worker(PykkaActor),
    ):
        assert type(outcome(ref.ask, boom)) is Boom
        assert ref.incarnation == 1
        ref.tell(boom)
        assert ref.ask("again") == "again"
        assert ref.incarnation == 2
        assert ref.statistics().failed == 2
    crashing = tree.add_worker(PykkaActor, on_ask_error="crash")
    assert type(outcome(crashing.ask, boom)) is Boom
    assert crashing.ask("again") == "again"
    assert crashing.incarnation == 2


def test_an_ask_ends_when_its_worker_does(supervisor: MakeSupervisor) -> None:
    """In hand at an abandonment, queued at a removal: nobody waits for ever (DESIGN 3.8)."""
    gate, tree = Gate(), supervisor().start()
    ref = tree.add_worker(handler(act), id="w", shutdown=0.01)
    in_hand = ref.ask(gate.meet, block=False)
    gate.wait_reached()
    queued = ref.ask("queued", block=False)
    tree.remove_child("w")
    for future in (in_hand, queued):
        error = outcome(future.result, PATIENCE)
        assert type(error) is WorkerExited
        assert isinstance(error.reason, Abandoned)
    gate.open()
    assert [bool(letter.error) for letter in tree.dead_letters()] == [True, False]


def test_an_ask_has_a_limit(supervisor: MakeSupervisor) -> None:
    """The message may still be handled after it."""
    gate, got = Gate(), Recorder[str]()
    tree = supervisor().start()
    ref = tree.add_worker(handler(act))
    ref.tell(gate.meet)
    with pytest.raises(ReplyTimeout, match=r"did not answer within 0\.01 s"):
        ref.ask(lambda: got("late"), timeout=0.01)
    gate.open()
    assert got.wait_for(1) == ["late"]


# -- attempts, mailboxes ----------------------------------------------------------------


def test_a_poison_message_is_tried_so_often_and_then_dead(supervisor: MakeSupervisor) -> None:
    """First in the order each time, counted once, the rest untouched (DESIGN 3.6)."""
    log: Recorder[Any] = Recorder()
    tree = supervisor(backoff=Backoff.none(), max_restarts=10).start()

    def handle(message: str) -> str:
        log((message, me().incarnation))
        if message == "poison":
            raise Boom(message)
        return message

    ref = tree.add_worker(handler(handle), id="w", max_attempts=3)
    ref.tell("poison")
    ref.tell("next")
    assert ref.ask("last") == "last"
    assert log.items == [("poison", 1), ("poison", 2), ("poison", 3), ("next", 4), ("last", 4)]
    (letter,) = tree.dead_letters()
    assert (letter.message, letter.to, letter.reason) == ("poison", "w", "failed")
    assert letter.error == "Boom: poison"
    counts = ref.statistics()
    assert (counts.accepted, counts.handled, counts.failed, counts.retried) == (3, 2, 1, 2)


def test_an_ask_is_answered_by_the_attempt_that_succeeds(supervisor: MakeSupervisor) -> None:
    """The asker hears of a crash only when no attempt is left."""
    tree = supervisor(backoff=Backoff.none(), max_restarts=10).start()
    ref = tree.add_worker(handler(act), max_attempts=2)

    def fails_in(*incarnations: int) -> int:
        if me().incarnation in incarnations:
            raise Boom("boom")
        return me().incarnation

    assert ref.ask(lambda: fails_in(1)) == 2
    assert type(outcome(ref.ask, lambda: fails_in(2, 3))) is Boom
    assert ref.ask(fails_in) == 4


def test_a_mailbox_may_be_dropped_at_a_restart(supervisor: MakeSupervisor) -> None:
    """What was queued is undelivered then; a restart by hand keeps it."""
    tree = supervisor(backoff=Backoff.none()).start()
    ref = tree.add_worker(handler(act), id="w", mailbox="drop")
    gate = Gate()

    def fail() -> None:
        gate.meet()
        raise Boom("boom")

    ref.tell(fail)
    gate.wait_reached()
    dropped = ref.ask("dropped", block=False)
    gate.open()
    assert type(outcome(dropped.result, PATIENCE)) is WorkerExited
    assert ref.ask("after it") == "after it"
    assert [letter.reason for letter in tree.dead_letters()] == [
        "failed",
        "its worker crashed and drops its mailbox",
    ]
    assert ref.statistics().undelivered == 1


@pytest.mark.parametrize(
    ("on_full", "handled", "undelivered"),
    [("raise", ["a"], 0), ("drop_new", ["a"], 1), ("drop_old", ["b"], 1)],
)
def test_a_full_worker_does_as_it_was_told(
    supervisor: MakeSupervisor, on_full: Any, handled: list[str], undelivered: int
) -> None:
    """At its bound it refuses, or drops the newest or the oldest (DESIGN 3.13)."""
    gate, got = Gate(), Recorder[str]()

    def handle(message: str) -> None:
        if message == "stand":
            gate.meet()
        else:
            got(message)

    tree = supervisor().start()
    ref = tree.add_worker(handler(handle), capacity=1, on_full=on_full)
    ref.tell("stand")
    gate.wait_reached()
    ref.tell("a")
    result = outcome(ref.tell, "b")
    assert isinstance(result, MailboxFull) == (on_full == "raise")
    gate.open()
    assert got.wait_for(1) == handled
    tree.stop()
    assert got.items == handled
    assert ref.statistics().undelivered == undelivered == len(tree.dead_letters())


def test_a_sender_that_waits_for_room_is_refused_when_the_worker_ends(
    supervisor: MakeSupervisor,
) -> None:
    """It wakes on the stop, and with a limit at that."""
    gate, result = Gate(), Recorder[Any]()
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w", capacity=1)
    ref.tell(gate.meet)
    gate.wait_reached()
    ref.tell("full")
    with pytest.raises(MailboxFull, match=r"no room for a message to 'w' in 0.01 s"):
        ref.tell("late", timeout=0.01)
    with pytest.raises(MailboxFull):
        ref.tell_nowait("now")
    sender = threading.Thread(target=lambda: result(outcome(ref.tell, "waits")))
    sender.start()
    stopping = ref.stop(block=False)
    assert type(result.wait_for(1)[0]) is MailboxClosed
    gate.open()
    assert stopping.result(PATIENCE) is True
    sender.join()
