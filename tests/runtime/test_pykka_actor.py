"""A plain `pykka.ThreadingActor` is supervised as it is.

The rows of Pykka's own tests (193 to 196) stand at the end.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import (
    Crashed,
    Exit,
    ExitReason,
    Future,
    Shutdown,
    StartError,
    Supervisor,
    WorkerExited,
    current,
    events,
    worker_spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import MakeSupervisor
    from threadsup import WorkerRef


class Echo(pykka.ThreadingActor):
    """An actor that notes what is done with it, and calls what it is sent if it can."""

    def __init__(self, *notes: Callable[[Any], None], **kwargs: Any) -> None:
        super().__init__()
        self.note = notes[0] if notes else _forget
        self.kwargs = kwargs
        self.note(("init", threading.current_thread()))
        self.early_ref = self.actor_ref

    def on_start(self) -> None:
        self.note("on_start")

    def on_stop(self) -> None:
        self.note("on_stop")

    def on_failure(self, kind: Any, error: Any, trace: Any) -> None:
        self.note(("on_failure", kind, error, trace is not None))

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.note(message)
        return message


def _forget(note: object) -> None:
    """Note nothing."""


UNTOUCHED = dict(vars(Echo))
"""What the class is made of before it is supervised."""


def fail(error: BaseException) -> Callable[[Echo], None]:
    def call(actor: Echo) -> None:
        raise error

    return call


def incarnation(actor: Echo) -> int:
    context = current()
    assert context is not None
    return context.incarnation


@pytest.fixture
def tree(supervisor: MakeSupervisor) -> Supervisor:
    return supervisor(max_restarts=10).start()


@pytest.fixture
def notes() -> Recorder[Any]:
    return Recorder()


@pytest.fixture
def bystander() -> Iterator[pykka.ActorRef[Echo]]:
    """A plain actor that nobody supervises."""
    ref = Echo.start()
    yield ref
    ref.stop()


def monitored(ref: WorkerRef) -> Recorder[Exit]:
    exits: Recorder[Exit] = Recorder()
    ref.monitor(exits)
    return exits


# -- how it is made -------------------------------------------------------------------


def test_it_is_built_and_run_in_a_thread_of_its_own(tree: Supervisor, notes: Recorder[Any]) -> None:
    """`__init__`, with its arguments, every hook and every message: one thread, and not ours."""
    ref = tree.add_worker(Echo, notes, id="echo", kwargs={"step": 2})
    thread = ref.ask(lambda actor: threading.current_thread())
    assert notes.items == [("init", thread), "on_start"]
    assert thread is not threading.current_thread()
    assert ref.ask(lambda actor: actor.kwargs) == {"step": 2}


def test_the_class_is_untouched(tree: Supervisor) -> None:
    """Nothing is put into it, and no class is made of it: its instance is an `Echo`."""
    heirs = Echo.__subclasses__()
    ref = tree.add_worker(Echo, id="echo")
    assert ref.ask(type) is Echo
    assert dict(vars(Echo)) == UNTOUCHED
    assert Echo.__subclasses__() == heirs


def test_nobody_finds_it_in_the_registry(tree: Supervisor) -> None:
    """`ActorRegistry` neither lists nor stops what a supervisor has."""
    ref = tree.add_worker(Echo, id="echo")
    urn = ref.ask(lambda actor: actor.actor_urn)
    assert pykka.ActorRegistry.get_all() == []
    assert pykka.ActorRegistry.get_by_urn(urn) is None
    assert pykka.ActorRegistry.stop_all() == []
    assert ref.ask("still there") == "still there"


def test_in_a_group_it_is_a_member_like_any_other(tree: Supervisor, notes: Recorder[Any]) -> None:
    """Messaged one by one and all at once, restarted together, reached by a proxy."""
    members = [worker_spec(Echo, notes, id=name) for name in "ab"]
    group = tree.add_group("g", members, strategy="one_for_all")
    assert group.broadcast("all") == 2
    assert group.ask("b", "one") == "one"
    group.tell("a", fail(ValueError("boom")))
    assert group.ask("a", incarnation) == group.ask("b", incarnation) == 2
    assert group["a"].proxy().kwargs.get(timeout=PATIENCE) == {}
    assert notes.items.count("all") == 2


def test_an_actor_that_does_not_receive_warns(
    tree: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    """Pykka's own default for `on_receive`, in Pykka's own words."""

    class Silent(pykka.ThreadingActor):
        pass

    assert tree.add_worker(Silent, id="s").ask("hello") is None
    assert "Unexpected message" in caplog.text


# -- asks and tells -------------------------------------------------------------------


def test_an_exception_that_answers_an_ask_is_only_answered(
    tree: Supervisor, notes: Recorder[Any]
) -> None:
    """As in Pykka the asker gets it as it is, and the actor lives; it is counted failed (F2)."""
    ref = tree.add_worker(Echo, notes, id="echo")
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as raised:
        ref.ask(fail(error))
    assert raised.value is error
    assert ref.ask(incarnation) == 1
    counts = ref.statistics()
    assert (counts.handled, counts.failed, counts.restarts) == (1, 1, 0)
    assert "on_failure" not in str(notes.items)


def test_an_exception_by_tell_is_a_crash(tree: Supervisor, notes: Recorder[Any]) -> None:
    """`on_failure` gets it, `on_stop` is not called, and there is a next actor (F1)."""
    ref = tree.add_worker(Echo, notes, id="echo")
    exits = monitored(ref)
    error = ValueError("boom")
    ref.tell(fail(error))
    assert ref.ask(incarnation) == 2
    [end] = exits.wait_for(1)
    assert isinstance(end.reason, Crashed)
    assert end.reason.error == "ValueError: boom"
    assert ("on_failure", ValueError, error, True) in notes.items
    assert "on_stop" not in notes.items


def test_the_option_makes_both_a_crash(tree: Supervisor) -> None:
    """`on_ask_error="crash"`: answered all the same, and then replaced."""
    ref = tree.add_worker(Echo, id="echo", on_ask_error="crash")
    with pytest.raises(ValueError, match="boom"):
        ref.ask(fail(ValueError("boom")))
    assert ref.ask(incarnation) == 2


def test_pykkas_except_clauses_keep_catching(tree: Supervisor) -> None:
    """`ActorDeadError` of who has ended or ends, `Timeout` of who is late."""
    gate = Gate("the slow answer")
    ref = tree.add_worker(Echo, id="echo", restart="temporary")
    late = ref.ask(lambda actor: gate.meet(), block=False)
    gate.wait_reached()
    with pytest.raises(pykka.Timeout):
        ref.ask("too late", timeout=0)
    with pytest.raises(pykka.Timeout):
        late.get(timeout=0)
    ending = ref.ask(fail(SystemExit(3)), block=False)
    gate.open()
    with pytest.raises(pykka.ActorDeadError):
        ending.get(timeout=PATIENCE)
    ref.wait(PATIENCE)
    with pytest.raises(pykka.ActorDeadError):
        ref.tell("gone")
    with pytest.raises(pykka.ActorDeadError):
        ref.ask("gone")
    with pytest.raises(pykka.ActorDeadError):
        ref.ask("gone", block=False).get(timeout=PATIENCE)


def test_its_future_is_a_pykka_future(tree: Supervisor) -> None:
    """Code written for Pykka may join, map and wait for it."""
    ref = tree.add_worker(Echo, id="echo")
    futures = [ref.ask(number, block=False) for number in range(3)]
    assert all(isinstance(future, pykka.Future) for future in futures)
    assert pykka.get_all(futures, timeout=PATIENCE) == [0, 1, 2]
    joined = futures[0].join(*futures[1:])
    assert joined.map(sum).get(timeout=PATIENCE) == 3


# -- stopping it ----------------------------------------------------------------------


def test_stop_handles_what_is_queued_first(tree: Supervisor, notes: Recorder[Any]) -> None:
    """As Pykka's does: what was sent before it is handled, what comes after is refused."""
    gate = Gate("the message in hand")
    ref = tree.add_worker(Echo, notes, id="echo")
    ref.tell(lambda actor: gate.meet())
    gate.wait_reached()
    ref.tell("queued")
    asked = ref.ask("asked", block=False)
    stopping = ref.stop(block=False)
    gate.open()
    assert stopping.get(timeout=PATIENCE) is True
    assert asked.get(timeout=PATIENCE) == "asked"
    assert notes.items[-3:] == ["queued", "asked", "on_stop"]
    assert ref.wait(PATIENCE) == Shutdown()
    assert ref.stop() is False


def test_stop_without_drain_leaves_what_is_queued(tree: Supervisor, notes: Recorder[Any]) -> None:
    """Told not to drain, it ends after the message in hand; the rest is kept for a restart."""
    gate = Gate("the message in hand")
    ref = tree.add_worker(Echo, notes, id="echo")
    ref.tell(lambda actor: gate.meet())
    gate.wait_reached()
    ref.tell("queued")
    stopping = ref.stop(block=False, drain=False)
    tree.add_worker(Echo, id="other")  # the stop has been taken when this has
    gate.open()
    assert stopping.get(timeout=PATIENCE)
    assert "queued" not in notes.items
    tree.restart_child("echo")
    notes.wait_until(lambda items: "queued" in items, "queued")


def test_an_actor_may_stop_itself(tree: Supervisor, notes: Recorder[Any]) -> None:
    """`self.stop()` takes effect behind what is queued: `on_stop`, and a clean end."""
    ref = tree.add_worker(Echo, notes, id="echo", restart="transient")
    exits = monitored(ref)

    def stop(actor: Echo) -> None:
        actor.actor_ref.tell("queued before")
        actor.stop()

    ref.tell(stop)
    assert ref.wait(PATIENCE) == Shutdown()
    assert notes.items[2:] == ["queued before", "on_stop"]
    assert [(end.reason, end.final) for end in exits.wait_for(1)] == [(Shutdown(), True)]


def test_a_permanent_actor_that_stops_itself_comes_back(tree: Supervisor) -> None:
    """A stop from inside ends the incarnation; the restart type decides what follows."""
    ref = tree.add_worker(Echo, id="echo")
    ref.ask(lambda actor: actor.stop())
    assert ref.ask(incarnation) == 2


def test_stopping_twice_stops_one_incarnation(tree: Supervisor) -> None:
    """The second stop was meant for the same actor: the next one only answers it."""
    ref = tree.add_worker(Echo, id="echo")

    def stop(actor: Echo) -> list[pykka.Future[bool]]:
        return [actor.actor_ref.stop(block=False) for _ in range(3)]

    stops = ref.ask(stop)
    assert [each.get(timeout=PATIENCE) for each in stops] == [True] * 3
    assert ref.ask(incarnation) == 2


def test_a_drain_that_a_crash_cut_short_is_over(tree: Supervisor, notes: Recorder[Any]) -> None:
    """It was to end behind what is queued, and crashed before: the next one goes on for good."""
    gate = Gate("the message in hand")
    ref = tree.add_worker(Echo, notes, id="echo")

    def crash(actor: Echo) -> None:
        gate.meet()
        raise ValueError("boom")

    ref.tell(crash)
    gate.wait_reached()
    ref.tell("queued")
    stopping = ref.stop(block=False)
    tree.add_worker(Echo, id="other")  # the stop has been taken when this has
    gate.open()
    assert stopping.get(timeout=PATIENCE)
    tree.restart_child("echo")
    assert ref.ask("after") == "after"
    assert ref.ask(incarnation) == 2
    assert notes.items[-2:] == ["queued", "after"]


def test_the_proxy_stops_it_as_pykkas_does(tree: Supervisor) -> None:
    """`proxy.stop()` is the actor's own `stop`, called in its thread."""
    ref = tree.add_worker(Echo, id="echo", restart="temporary")
    ref.proxy().stop().get(timeout=PATIENCE)
    assert ref.wait(PATIENCE) == Shutdown()


# -- refs from inside -----------------------------------------------------------------


def test_a_ref_taken_in_init_dies_with_its_incarnation(tree: Supervisor) -> None:
    """It is Pykka's own ref to that one actor; the worker's ref goes on."""
    ref = tree.add_worker(Echo, id="echo")
    early = ref.ask(lambda actor: actor.early_ref)
    assert early.is_alive()
    assert early.ask("hello", timeout=PATIENCE) == "hello"
    early.tell(fail(ValueError("boom")))
    assert ref.ask(incarnation) == 2
    assert not early.is_alive()
    with pytest.raises(pykka.ActorDeadError):
        early.tell("hello")
    with pytest.raises(pykka.ActorDeadError):
        early.ask("hello")
    assert early.stop() is False


def test_an_actor_may_tell_itself(tree: Supervisor, notes: Recorder[Any]) -> None:
    """What it sends to itself comes after what is queued, and counts as any message."""
    ref = tree.add_worker(Echo, notes, id="echo")
    ref.ask(lambda actor: actor.actor_ref.tell("to myself"))
    assert ref.ask("after") == "after"
    assert notes.items[-2:] == ["to myself", "after"]
    assert ref.statistics().handled == 3


def test_a_proxy_to_itself_schedules_work(tree: Supervisor, notes: Recorder[Any]) -> None:
    """Pykka's pattern for long work in parts: each part is a message of its own."""

    class Parts(pykka.ThreadingActor):
        def on_start(self) -> None:
            self._later = self.actor_ref.proxy()

        def work(self, left: int) -> None:
            notes(left)
            if left:
                self._later.work.defer(left - 1)

    ref = tree.add_worker(Parts, id="parts")
    ref.proxy().work(3).get(timeout=PATIENCE)
    assert notes.wait_for(4) == [3, 2, 1, 0]


def test_an_ask_from_inside_through_its_own_ref_is_answered_later(tree: Supervisor) -> None:
    """Without waiting: with waiting it would wait for itself, in Pykka, too."""
    ref = tree.add_worker(Echo, id="echo")
    future = ref.ask(lambda actor: actor.actor_ref.ask("later", block=False))
    assert future.get(timeout=PATIENCE) == "later"


# -- Pykka's own tests ----------------------------------------------------------------


def test_left_over_messages_and_stops_are_answered(tree: Supervisor) -> None:
    """Asks and stops behind the one that ends it for good all end (row 193)."""
    ref = tree.add_worker(Echo, id="echo", restart="temporary")

    def end(actor: Echo) -> list[pykka.Future[Any]]:
        asked = actor.actor_ref.ask("before", block=False)
        stops = [actor.actor_ref.stop(block=False) for _ in range(2)]
        left = [actor.actor_ref.ask("left", block=False)]
        return [asked, *stops, *left, ref.ask("left too", block=False)]

    asked, one, two, left, too = ref.ask(end)
    assert asked.get(timeout=PATIENCE) == "before"
    assert one.get(timeout=PATIENCE) is True
    assert two.get(timeout=PATIENCE) is True
    for future in (left, too):
        with pytest.raises(pykka.ActorDeadError) as raised:
            future.get(timeout=PATIENCE)
        assert type(raised.value) is WorkerExited


BASE_EXCEPTIONS = [SystemExit(), SystemExit(0), SystemExit(3), KeyboardInterrupt(), GeneratorExit()]


@pytest.mark.parametrize("ask", [False, True], ids=["tell", "ask"])
@pytest.mark.parametrize("error", BASE_EXCEPTIONS, ids=repr)
def test_a_base_exception_stops_nobody_else(
    tree: Supervisor, bystander: pykka.ActorRef[Echo], error: BaseException, ask: bool
) -> None:
    """Pykka stops every actor of the process; here it ends that one only (row 194, F3, F4)."""
    ref = tree.add_worker(Echo, id="echo")
    other = tree.add_worker(Echo, id="other")
    exits = monitored(ref)
    if ask:
        with pytest.raises(WorkerExited) as raised:
            ref.ask(fail(error))
        assert raised.value.__cause__ is error
    else:
        ref.tell(fail(error))
    assert ref.ask(incarnation) == 2
    assert other.ask(incarnation) == 1
    assert bystander.is_alive()
    assert bystander.ask("hello", timeout=PATIENCE) == "hello"
    clean = isinstance(error, SystemExit) and not error.code
    [end] = exits.wait_for(1)
    assert isinstance(end.reason, Crashed) is not clean


def test_stop_all_is_not_for_supervised_actors(
    tree: Supervisor, bystander: pykka.ActorRef[Echo]
) -> None:
    """The registry stops its own; a tree stops its own, last started first (row 195)."""
    order: Recorder[str] = Recorder()
    refs = [tree.add_worker(Stopping, order, name, id=name) for name in "abc"]
    pykka.ActorRegistry.stop_all()
    assert not bystander.is_alive()
    assert all(ref.ask("hello") == "hello" for ref in refs)
    tree.stop(timeout=PATIENCE)
    assert order.items == ["c", "b", "a"]


class Stopping(Echo):
    """An actor that says when it stops."""

    def __init__(self, order: Recorder[str], name: str) -> None:
        super().__init__()
        self.order, self.name = order, name

    def on_stop(self) -> None:
        self.order(self.name)


ERRORS = [ValueError("boom"), SystemExit(3), KeyboardInterrupt()]


class Failing(Echo):
    """An actor one of whose hooks fails, in its first incarnations."""

    def __init__(self, hook: str, errors: deque[BaseException]) -> None:
        super().__init__()
        self.hook, self.errors = hook, errors
        self.at("init")

    def at(self, hook: str) -> None:
        if hook == self.hook and self.errors:
            raise self.errors.popleft()

    def on_start(self) -> None:
        self.at("on_start")

    def on_stop(self) -> None:
        self.at("on_stop")

    def on_failure(self, kind: Any, error: Any, trace: Any) -> None:
        self.at("on_failure")


@pytest.mark.parametrize("hook", ["init", "on_start"])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_start_that_fails_is_a_failed_start(
    tree: Supervisor, bystander: pykka.ActorRef[Echo], hook: str, error: BaseException
) -> None:
    """The caller gets it as the cause, there is no actor, nobody else ends (row 196, F5, F7)."""
    with pytest.raises(StartError, match="'f'") as raised:
        tree.add_worker(Failing, hook, deque([error]), id="f")
    assert raised.value.__cause__ is error
    assert "f" not in tree
    assert bystander.is_alive()
    assert pykka.ActorRegistry.get_all() == [bystander]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_stop_that_fails_is_reported_once(
    tree: Supervisor, bystander: pykka.ActorRef[Echo], error: BaseException
) -> None:
    """It has stopped all the same, and what its hook raised is the reason (row 196, F6)."""
    ref = tree.add_worker(Failing, "on_stop", deque([error]), id="f")
    exits = monitored(ref)
    assert ref.stop(timeout=PATIENCE)
    assert not ref.is_alive()
    [end] = exits.wait_for(1)
    assert isinstance(end.reason, Crashed)
    assert end.reason.error.startswith(type(error).__name__)
    assert bystander.is_alive()


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_failure_hook_that_fails_is_reported_once(
    tree: Supervisor, bystander: pykka.ActorRef[Echo], error: BaseException
) -> None:
    """The crash it was called for is the exit; what it raised itself is told (row 196, F6)."""
    told: Recorder[events.Event] = Recorder()
    tree.subscribe(told)
    ref = tree.add_worker(Failing, "on_failure", deque([error]), id="f")
    exits = monitored(ref)
    ref.tell(fail(LookupError("first")))
    assert ref.ask(incarnation) == 2
    reason: ExitReason = exits.wait_for(1)[0].reason
    assert isinstance(reason, Crashed)
    assert reason.error == "LookupError: first"
    failed = complaints(told)
    assert len(failed) == 1
    assert failed[0].what.startswith("on_failure failed")
    assert bystander.is_alive()


def complaints(told: Recorder[events.Event]) -> list[events.CallbackFailed]:
    """Return the failures of hooks that were told, once there is one."""
    found = told.wait_until(
        lambda all_: any(isinstance(event, events.CallbackFailed) for event in all_)
    )
    return [event for event in found if isinstance(event, events.CallbackFailed)]


def test_a_future_of_ours_and_one_of_pykkas_join(
    tree: Supervisor, bystander: pykka.ActorRef[Echo]
) -> None:
    """Supervised and plain actors live side by side in one program."""
    ours: Future[Any] = tree.add_worker(Echo, id="echo").ask(1, block=False)
    theirs = bystander.ask(2, block=False)
    assert ours.join(theirs).get(timeout=PATIENCE) == [1, 2]
    assert pykka.get_all([ours, theirs], timeout=PATIENCE) == [1, 2]
