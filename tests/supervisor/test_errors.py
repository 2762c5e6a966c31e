"""What would hang, or leave something half done, is an error at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import threadsup
from tests.conformance.scenes import Actor, act, boom
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import outcome, taken
from threadsup import (
    Backoff,
    CallingSelfError,
    Crashed,
    Exit,
    NotRunningError,
    Retry,
    Shutdown,
    StartError,
    Supervisor,
    Worker,
    WorkerExit,
    current,
    events,
    handler,
    stage,
    worker_spec,
)
from threadsup._runtime.actor import Life
from threadsup._runtime.aside import Aside

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeSupervisor
    from threadsup import Context


def me() -> Context:
    context = current()
    assert context is not None
    return context


# -- a call that would wait for its own thread ------------------------------------------


def own_tree(call: Callable[[Supervisor], object]) -> Callable[[], object]:
    """Return a message that has a worker call something of its supervisor."""
    return lambda: outcome(call, me().supervisor)


OF_THE_TREE: dict[str, Callable[[Supervisor], object]] = {
    "stop": lambda tree: tree.stop(),
    "stop in time": lambda tree: tree.stop(timeout=1000),
    "wait": lambda tree: tree.wait(),
    "run_forever": lambda tree: tree.run_forever(),
    "leave the block": lambda tree: tree.__exit__(None, None, None),
}


@pytest.mark.parametrize("call", OF_THE_TREE)
@pytest.mark.parametrize("kind", ["worker", "group", "chain"])
def test_a_worker_does_not_wait_for_its_own_tree(
    supervisor: MakeSupervisor, call: str, kind: str
) -> None:
    """From any membership the error comes at once and says what to use (F59)."""
    tree = supervisor().start()
    ask: Callable[[Any], Any]
    if kind == "worker":
        ask = tree.add_worker(handler(act), id="w").ask
    elif kind == "group":
        ask = tree.add_group("g", [worker_spec(handler(act), id="m")])["m"].ask
    else:
        submit = tree.add_chain("c", [stage(act), stage(lambda result: result)]).submit
        ask = lambda message: submit(message).result(PATIENCE)  # noqa: E731
    error = ask(own_tree(OF_THE_TREE[call]))
    assert type(error) is CallingSelfError
    assert "use request_stop()" in str(error)
    assert tree.wait(0) is None


@pytest.mark.parametrize("hook", ["start", "stop"])
def test_a_hook_does_not_wait_for_its_own_tree(supervisor: MakeSupervisor, hook: str) -> None:
    """Neither `on_start` nor `on_stop` (F59; Pykka's issue 76)."""
    told: Recorder[Any] = Recorder()
    tree = supervisor()
    tree.add_worker(Actor, id="w", kwargs={hook: lambda: told(own_tree(lambda t: t.stop())())})
    with tree:
        pass
    assert [type(error) for error in told.items] == [CallingSelfError]


def test_a_worker_does_not_wait_for_its_own_end(supervisor: MakeSupervisor) -> None:
    """By its ref, its supervisor or its group (F59, F60)."""
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w")
    group = tree.add_group("g", [worker_spec(handler(act), id=key) for key in "ab"])
    own: list[Callable[[], object]] = [
        lambda: tree.stop_child("w"),
        lambda: tree.restart_child("w"),
        lambda: tree.remove_child("w"),
        ref.stop,
        ref.wait,
        lambda: ref.ask("me"),
    ]
    for call in own:
        assert type(ref.ask(lambda call=call: outcome(call))) is CallingSelfError
    members: list[Callable[[], object]] = [
        lambda: tree.stop_child("g"),
        lambda: tree.restart_child("g"),
        lambda: tree.remove_child("g"),
        lambda: group.stop_child("a"),
        lambda: group.restart_child("a"),
        lambda: group.remove_child("a"),
        lambda: group.ask("a", "me"),
        group["a"].stop,
    ]
    for call in members:
        assert type(group.ask("a", lambda call=call: outcome(call))) is CallingSelfError
    assert ref.incarnation == group["a"].incarnation == 1
    assert group.ask("a", lambda: group.ask("b", "other")) == "other"


def test_a_stage_does_not_wait_for_its_own_chain(supervisor: MakeSupervisor) -> None:
    """To drain, restart or stop the chain from a stage of it is refused (F59)."""
    tree = supervisor().start()
    chain = tree.add_chain("c", [stage(act, id="s")])
    for call in (
        chain.drain,
        lambda: chain.restart_child("s"),
        lambda: tree.stop_child("c"),
    ):
        error = chain.submit(lambda call=call: outcome(call)).result(PATIENCE)
        assert type(error) is CallingSelfError
    other = tree.add_chain("d", [stage(act)])
    assert chain.submit(lambda: other.drain(PATIENCE)).result(PATIENCE) is True


def test_what_does_not_wait_is_allowed_from_within(supervisor: MakeSupervisor) -> None:
    """A worker has itself stopped, or the tree, and goes on until then (F59)."""
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w")
    stopping = ref.ask(lambda: [ref.stop(block=False)])[0]
    assert stopping.result(PATIENCE) is True
    assert ref.wait(PATIENCE) == Shutdown()
    tree.restart_child("w")
    assert ref.ask(lambda: me().supervisor.request_stop("from within")) is None
    assert tree.wait(PATIENCE) == Shutdown("from within")


def test_a_worker_of_another_tree_may_wait(supervisor: MakeSupervisor) -> None:
    """Only its own tree would wait for it."""
    one, two = supervisor().start(), supervisor().start()
    ref = one.add_worker(handler(act), id="w")
    assert ref.ask(lambda: two.stop().clean) is True


def test_a_subscriber_does_not_wait_for_its_own_thread(supervisor: MakeSupervisor) -> None:
    """Nor a monitor; what does not need that thread works from there (F58)."""
    told: Recorder[Any] = Recorder()
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w")
    group = tree.add_group("g", [worker_spec(handler(act), id="m")])
    chain = tree.add_chain("c", [stage(act)])

    def subscriber(event: events.Event) -> None:
        if not isinstance(event, events.WorkerEnded) or event.path != ("w",):
            return
        if event.incarnation > 1:
            return
        for refused in (tree.stop, tree.wait, tree.run_forever):
            told(type(outcome(refused)))
        told(chain.drain())
        tree.restart_child("w")
        told(ref.ask("hi"))
        group.stop_child("m")
        told(group["m"].is_alive())
        told(tree.add_worker(handler(act), id="new").is_alive())
        told(ref.stop())

    tree.subscribe(subscriber)
    tree.stop_child("w")
    expected = [CallingSelfError] * 3 + [True, "hi", False, True, True]
    assert told.wait_for(len(expected)) == expected


def test_a_monitor_may_restart_what_it_watches(supervisor: MakeSupervisor) -> None:
    """From the side thread, and the notices go on."""
    told: Recorder[Exit] = Recorder()
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w")

    def again(note: Exit) -> None:
        told(note)
        if note.incarnation < 3:
            tree.restart_child("w")
            ref.stop(block=False)

    ref.monitor(again)
    ref.stop()
    assert [note.incarnation for note in told.wait_for(3)] == [1, 2, 3]


def test_a_thread_that_has_the_number_of_the_side_thread_is_not_it(
    supervisor: MakeSupervisor,
) -> None:
    """A tree that has ended can be stopped by a later thread, which may be given its ident."""
    tree = supervisor().start()
    tree.request_stop()
    tree.wait(PATIENCE)
    side = tree._services.side._thread
    assert side is not None
    side.join(PATIENCE)
    side._ident = threading.get_ident()  # type: ignore[attr-defined]
    assert tree.stop().clean


class Adding(Worker):
    """Administers what is starting it, when it starts."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call

    def on_start(self) -> None:
        self._call()


def test_a_worker_that_starts_does_not_wait_for_the_start(supervisor: MakeSupervisor) -> None:
    """In the first start, what is added comes after all that was declared (F59)."""
    calls: list[Callable[[], object]] = [
        lambda: me().supervisor.add_worker(handler(act)),
        lambda: me().supervisor.add_group("new"),
        lambda: me().supervisor.restart_child("after"),
    ]
    for call in calls:
        tree = supervisor()
        tree.add_worker(Adding, call, id="w")
        tree.add_worker(handler(act), id="after")
        with pytest.raises(StartError) as caught:
            tree.start()
        assert type(caught.value.__cause__) is CallingSelfError
        assert "while it starts" in str(caught.value)


@pytest.mark.parametrize("started", [False, True])
def test_a_member_that_starts_does_not_wait_for_its_group(
    supervisor: MakeSupervisor, *, started: bool
) -> None:
    """Adding to, or restarting in, its own group may come after its own start (F59)."""
    calls: list[Callable[[], object]] = [
        lambda: me().group.add_worker(handler(act)),
        lambda: me().group.restart_child("after"),
    ]
    for call in calls:
        tree = supervisor()
        if started:
            tree.start()
        members = [worker_spec(Adding, call, id="w"), worker_spec(handler(act), id="after")]
        error = outcome(tree.add_group, "g", members)
        if not started:
            error = outcome(tree.start)
        assert type(error) is StartError
        assert type(error.__cause__) is CallingSelfError


def test_a_stage_that_starts_does_not_wait_for_its_chain(supervisor: MakeSupervisor) -> None:
    """A stage behind it is started after it (F59)."""
    tree = supervisor().start()
    stages = [stage(Adding, lambda: me().chain.restart_child("b"), id="a"), stage(act, id="b")]
    error = outcome(tree.add_chain, "c", stages)
    assert type(error) is StartError
    assert type(error.__cause__) is CallingSelfError


# -- a start that is cut short ----------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, WorkerExit])
def test_a_start_that_is_interrupted_leaves_nothing_up(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Ctrl-C in `start` undoes it, in order, before it is seen: all or none."""
    log: Recorder[str] = Recorder()
    tree = supervisor()
    tree.add_worker(Actor, id="w", kwargs={"stop": lambda: log("down")})

    def interrupted() -> bool:
        raise error

    monkeypatch.setattr(tree._up, "result", interrupted)
    with pytest.raises(error):
        tree.start()
    assert tree.name not in threadsup.running()
    assert log.items in (["down"], [])
    assert not tree.worker("w").is_alive()
    assert tree.wait(0) == Shutdown()


@pytest.mark.parametrize("thread", [1, 2])
def test_a_tree_whose_threads_cannot_be_started_may_be_started_later(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch, thread: int
) -> None:
    """The error says so, no thread and no name is left behind (F72)."""
    before = threading.active_count()
    tree = supervisor()
    ref = tree.add_worker(handler(act), id="w")
    real, started = threading.Thread.start, Recorder[str]()

    def start(self: threading.Thread) -> None:
        started(self.name)
        if len(started) == thread:
            raise RuntimeError("can't start new thread")
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(StartError, match="did not start: can't start new thread") as caught:
            tree.start()
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert tree.name not in threadsup.running()
    assert isinstance(outcome(tree.stop), NotRunningError)
    tree._services.side.join(PATIENCE)
    assert threading.active_count() == before
    with tree:
        assert ref.ask("at last") == "at last"


def test_a_worker_s_thread_that_cannot_be_started_fails_the_start(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first start it rolls back, in an add it is the caller's error (F72)."""

    def launch(self: Life, behaviour: object) -> None:
        raise RuntimeError("can't start new thread")

    tree = supervisor().start()
    with monkeypatch.context() as patch:
        patch.setattr(Life, "launch", launch)
        with pytest.raises(StartError, match="'w' did not start: RuntimeError: can't start"):
            tree.add_worker(handler(act), id="w")
        other = supervisor()
        other.add_worker(handler(act), id="w")
        with pytest.raises(StartError, match="can't start new thread"):
            other.start()
    assert tree.children() == ()
    assert tree.add_worker(handler(act), id="w").ask(1) == 1


def test_a_thread_that_cannot_be_started_in_a_restart_is_tried_again(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt is a restart of the budget, after a pause (F72)."""
    real, tries = Life.launch, Recorder[int]()

    def launch(self: Life, behaviour: Any) -> bool:
        tries(self.number)
        if self.number in {2, 3}:
            raise RuntimeError("can't start new thread")
        return real(self, behaviour)

    monkeypatch.setattr(Life, "launch", launch)
    tree = supervisor(backoff=threadsup.Backoff.none()).start()
    ref = tree.add_worker(handler(act), id="w")
    ref.tell(boom)
    assert ref.ask("back") == "back"
    assert tries.items == [1, 2, 3, 4]


# -- hostile values ---------------------------------------------------------------------


class Hostile:
    """Fails whatever is asked of it."""

    def _fail(self, *_: object) -> Any:
        raise RuntimeError("no code of users runs here")

    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __format__ = _fail


def test_a_reason_of_the_user_s_runs_no_code_in_the_supervisor(
    supervisor: MakeSupervisor,
) -> None:
    """It is passed on as it is, and shown by its type (DESIGN 3.12)."""
    told: Recorder[Exit] = Recorder()
    tree = supervisor().start()
    hostile = Hostile()

    def leave() -> None:
        raise WorkerExit(Shutdown(hostile))

    ref = tree.add_worker(handler(act), id="w", max_restarts=0)
    ref.monitor(told)
    ref.tell(leave)
    (note,) = told.wait_for(1)
    assert isinstance(note.reason, Shutdown)
    assert note.reason.info is hostile
    assert str(note.reason) == "shutdown: a Hostile"
    taken(tree)
    assert tree.failed() == ("w",)
    assert "a Hostile" in str(tree._root.scopes["w"].state.verdict)
    tree.request_stop(hostile)
    reason = tree.wait(PATIENCE)
    assert isinstance(reason, Shutdown)
    assert reason.info is hostile


class OddError(Exception):
    """Says who reads it."""

    def __init__(self, readers: Recorder[str]) -> None:
        self._readers = readers

    def __str__(self) -> str:
        self._readers(threading.current_thread().name)
        return "odd"


def test_an_error_whose_text_hangs_holds_up_its_own_thread_only(
    supervisor: MakeSupervisor,
) -> None:
    """The text of a failed start is read in the worker's thread."""
    readers: Recorder[str] = Recorder()

    def fail() -> None:
        raise OddError(readers)

    tree = supervisor().start()
    with pytest.raises(StartError, match="'w' did not start: OddError: odd"):
        tree.add_worker(Actor, id="w", kwargs={"start": fail})
    assert set(readers.items) == {"threadsup-w-1"}


# -- the supervisor itself fails --------------------------------------------------------


def test_a_bug_of_ours_leaves_nobody_waiting(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All who wait get InternalError, the workers are asked to stop, in reverse (F56)."""
    gate, log, errors = Gate(), Recorder[str](), Recorder[Any]()
    tree = Supervisor().start()
    refs = [
        tree.add_worker(Actor, id=key, kwargs={"stop": lambda key=key: log(key)}) for key in "ab"
    ]
    slow = tree.add_worker(handler(lambda _: gate.meet()), id="slow")
    slow.tell("in hand")
    gate.wait_reached()
    queued = slow.ask("queued", block=False)
    waiting: list[Callable[[], object]] = [
        tree.wait,
        lambda: tree.stop_child("slow"),
        lambda: tree.restart_child("slow"),
        lambda: tree.remove_child("slow"),
        slow.wait,
        slow.stop,
    ]
    threads = [threading.Thread(target=lambda call=call: errors(outcome(call))) for call in waiting]
    for thread in threads:
        thread.start()
    promised = [tree._root.errand("restart_child", "slow"), slow.stop(block=False)]
    taken(tree)

    def bug(event: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(tree._root, "adopt", bug)
    crashing = [outcome(tree.add_worker, handler(act), id="new")]
    for thread in threads:
        thread.join(PATIENCE)
    results = [*errors.items, *crashing, *[outcome(future.result, 0) for future in promised]]
    # Who had not asked yet when it failed is told that nobody takes requests any more.
    assert {type(error) for error in results} <= {threadsup.InternalError, NotRunningError}
    assert [type(error) for error in results[-3:]] == [threadsup.InternalError] * 3
    assert "a bug" in str(results[-1])
    assert isinstance(results[-1].__cause__, ZeroDivisionError)
    assert log.wait_for(2)
    assert not any(outcome(ref.tell, "x") is None for ref in refs)
    assert isinstance(outcome(queued.result, PATIENCE), threadsup.WorkerExited)
    assert tree.name not in threadsup.running()
    for call in (tree.stop, tree.wait):
        assert type(outcome(call)) is threadsup.InternalError
    assert type(outcome(tree.add_group, "g")) is NotRunningError
    assert isinstance(tree.history()[-1], events.SupervisorEnded)
    gate.open()


def test_a_bug_of_ours_leaves_nothing_put_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a message that was to be tried again is told (F56)."""

    def fail(message: object) -> object:
        raise ValueError(message)

    put_away: Recorder[Any] = Recorder()
    defer = Aside.defer

    def noting(self: Aside, *args: Any) -> None:
        defer(self, *args)
        put_away(args)

    monkeypatch.setattr(Aside, "defer", noting)
    tree = Supervisor().start()
    retry = Retry(2, Backoff(1000.0, maximum=1000.0))
    ref = tree.add_worker(handler(fail), on_error=retry)
    chain = tree.add_chain("c", [stage(fail, on_error=retry)])
    waiting = [ref.ask("x", block=False), chain.submit("x")]
    put_away.wait_for(2)

    def bug(event: object) -> None:
        raise ZeroDivisionError("a bug")

    tree._services.request(bug, None)
    for future in waiting:
        assert type(future.exception(PATIENCE)) is threadsup.WorkerExited
    tree._services.loop.thread.join(PATIENCE)


def test_a_bug_in_the_start_is_the_starter_s_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """`start` does not wait for ever for what will never be up (F56)."""
    tree = Supervisor()
    tree.add_worker(handler(act), id="w")

    def bug(event: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(tree._root, "start", bug)
    with pytest.raises(threadsup.InternalError, match="a bug"):
        tree.start()
    assert tree.name not in threadsup.running()
    assert isinstance(tree._root.reason, Crashed)


def test_what_is_requested_as_the_supervisor_fails_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is in the queue behind the fault is not carried out, and not left waiting (F56)."""
    gate = Gate()
    tree = Supervisor().start()
    ref = tree.add_worker(handler(act), id="w")

    def bug(what: object) -> None:
        gate.meet()
        raise ZeroDivisionError("a bug")

    tree._services.request(bug, None)
    gate.wait_reached()
    behind = [tree._root.errand("restart_child", "w") for _ in range(3)]
    tree._services.post(tree._root.take, None)  # a signal is behind it, too
    gate.open()
    for promise in behind:
        assert type(outcome(promise.result, PATIENCE)) is threadsup.InternalError
    assert ref.incarnation == 1
    tree._services.loop.thread.join(PATIENCE)


def test_a_fault_at_the_very_end_is_contained(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits behind the end of the tree is answered, whatever goes wrong there (F56)."""
    gate = Gate()
    tree = supervisor().start()
    tree._services.request(lambda _: gate.meet(), None)
    gate.wait_reached()
    tree.request_stop()

    def bug(what: object) -> None:
        raise ZeroDivisionError("a bug")

    tree._services.request(bug, None)
    behind = tree._root.errand("restart_child", "w")
    gate.open()
    assert type(outcome(behind.result, PATIENCE)) is threadsup.InternalError
    assert tree.stop().clean
