"""A tree starts whole or not at all, stops once for everybody, and is over then."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import threadsup
from tests.conformance.scenes import Actor, act, boom
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import outcome, taken, together
from threadsup import (
    Backoff,
    Crashed,
    DuplicateChildError,
    Normal,
    NotRunningError,
    Shutdown,
    StartError,
    StopReport,
    Supervisor,
    SupervisorSpec,
    UnknownChildError,
    Worker,
    events,
    handler,
    stage,
    worker_spec,
)
from threadsup._cell import Cell
from threadsup._supervisor.loop import Loop

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from threadsup._runtime.actor import Life


class Slow(Worker):
    """Starts when its gate is opened."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def on_start(self) -> None:
        self._gate.meet()


# -- start ------------------------------------------------------------------------------


def test_an_empty_supervisor_starts_and_stops(supervisor: MakeSupervisor) -> None:
    """Nothing to do is no error, and the reason of the end is Shutdown (row 1)."""
    tree = supervisor()
    assert tree.start() is tree
    assert tree.stop() == StopReport(True, 0, (), 0, tree.stop().seconds)
    assert tree.wait(0) == Shutdown()


def test_children_start_in_the_order_they_were_declared(supervisor: MakeSupervisor) -> None:
    """What is added before the start waits for it, members and stages too; row 14."""
    log: Recorder[str] = Recorder()

    def noted(id: str) -> dict[str, object]:
        return {"start": lambda: log(f"+{id}"), "stop": lambda: log(f"-{id}")}

    tree = supervisor()
    tree.add_worker(Actor, id="a", kwargs=noted("a"))
    group = tree.add_group("g", [worker_spec(Actor, id="m1", kwargs=noted("m1"))])
    ref = group.add_worker(Actor, id="m2", kwargs=noted("m2"))
    tree.add_chain("c", [stage(Actor, id=key, kwargs=noted(key)) for key in ("s1", "s2")])
    assert log.items == []
    assert tree.children() == ("a", "g", "c")
    assert group.children() == ("m1", "m2")
    assert not ref.is_alive()
    with tree:
        assert log.items == ["+a", "+m1", "+m2", "+s1", "+s2"]
        assert ref.is_alive()
    assert log.items[5:7] == ["-s2", "-s1"]
    assert sorted(log.items[7:9]) == ["-m1", "-m2"]  # equals: asked together
    assert log.items[9:] == ["-a"]


def test_messages_told_before_the_start_are_handled_after_it(supervisor: MakeSupervisor) -> None:
    """A mailbox is open before its worker is."""
    got: Recorder[str] = Recorder()
    tree = supervisor()
    tree.add_worker(handler(got), id="w").tell("early")
    tree.start()
    assert got.wait_for(1) == ["early"]


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize("place", ["worker", "group", "chain"])
def test_a_first_start_is_all_or_nothing(
    supervisor: MakeSupervisor, place: str, restart: threadsup._specs.Restart
) -> None:
    """The last child fails, those before it go down in reverse; the error names it (row 14)."""
    log: Recorder[str] = Recorder()
    tree = supervisor()
    for key in ("a", "b"):
        tree.add_worker(Actor, id=key, kwargs={"stop": partial(log, key)})
    if place == "worker":
        tree.add_worker(Actor, id="bad", kwargs={"start": boom}, restart=restart)
    elif place == "group":
        bad = worker_spec(Actor, id="bad", kwargs={"start": boom}, restart=restart)
        tree.add_group("scope", [bad, worker_spec(Actor, id="after")])
    else:
        bad_stage = stage(Actor, id="bad", kwargs={"start": boom}, restart=restart)
        tree.add_chain("scope", [bad_stage, stage(act, id="after")])
    tree.add_worker(Actor, id="never", kwargs={"start": lambda: log("never")})
    with pytest.raises(StartError) as caught:
        tree.start()
    named = "'bad'" if place == "worker" else "('scope', 'bad')"
    assert str(caught.value) == f"{named} did not start: Boom: boom"
    assert type(caught.value.__cause__).__name__ == "Boom"
    assert log.items == ["b", "a"]
    assert tree.name not in threadsup.running()
    assert tree.stop().clean  # it is over, and says so like any other
    assert tree.wait(0) is not None


def test_a_start_that_takes_too_long_is_a_start_that_failed(supervisor: MakeSupervisor) -> None:
    """Past `start_timeout` the child is abandoned and the error says in what."""
    gate = Gate()
    tree = supervisor()
    tree.add_worker(Slow, gate, id="slow", start_timeout=0.05)
    with pytest.raises(StartError, match=r"'slow' did not start: abandoned after 0.05\d* s in on_"):
        tree.start()
    gate.open()


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_ends_start_code_fails_the_start(
    supervisor: MakeSupervisor, error: BaseException
) -> None:
    """Also what would end a process elsewhere is only the cause of a StartError."""

    def leave() -> None:
        raise error

    tree = supervisor()
    tree.add_worker(Actor, id="w", kwargs={"start": leave})
    with pytest.raises(StartError) as caught:
        tree.start()
    assert caught.value.__cause__ is error


def test_a_started_supervisor_does_not_start_again(supervisor: MakeSupervisor) -> None:
    """Neither while it runs nor after; a new one is to be made."""
    tree = supervisor().start()
    with pytest.raises(NotRunningError, match="was started before"):
        tree.start()
    tree.stop()
    with pytest.raises(NotRunningError, match="was started before") as caught:
        tree.start()
    assert caught.value.reason == Shutdown()


def test_of_many_starts_at_once_one_starts(supervisor: MakeSupervisor) -> None:
    """The others are told that it was started."""
    tree = supervisor()
    tree.add_worker(handler(act), id="w")
    results = together(8, lambda _: outcome(tree.start))
    assert results.count(tree) == 1
    assert sum(isinstance(result, NotRunningError) for result in results) == 7
    assert tree.worker("w").incarnation == 1


def test_a_supervisor_is_made_from_a_description(supervisor: MakeSupervisor) -> None:
    """`from_spec` declares the children and starts nothing."""
    spec = SupervisorSpec(name="described", children=(worker_spec(handler(act), id="w"),))
    tree = Supervisor.from_spec(spec)
    assert tree.children() == ("w",)
    with tree:
        assert tree.worker("w").ask("hi") == "hi"


# -- names ------------------------------------------------------------------------------


def test_a_running_name_is_taken(supervisor: MakeSupervisor) -> None:
    """It is free again after the end; the one refused can start then (row 19, F68)."""
    first = supervisor("same").start()
    second = supervisor("same")
    with pytest.raises(DuplicateChildError, match="'same' is running already"):
        second.start()
    assert threadsup.get("same") is first
    first.stop()
    second.start()
    assert threadsup.get("same") is second


def test_running_trees_are_listed_oldest_first(supervisor: MakeSupervisor) -> None:
    """`running()` and `get()` know a tree from its start to its end."""
    trees = [supervisor(name) for name in ("z", "a")]
    assert "z" not in threadsup.running()
    for tree in trees:
        tree.start()
    mine = {name: tree for name, tree in threadsup.running().items() if tree in trees}
    assert list(mine) == ["z", "a"]
    trees[0].stop()
    with pytest.raises(UnknownChildError, match="no supervisor named 'z'"):
        threadsup.get("z")


def test_a_name_is_made_where_none_is_given() -> None:
    """Two nameless supervisors do not collide."""
    one, two = Supervisor(), Supervisor()
    assert one.name != two.name
    with one, two:
        pass


def test_two_trees_know_nothing_of_each_other(supervisor: MakeSupervisor) -> None:
    """The same ids in both, the end of one leaves the other (DESIGN 3.14)."""
    one, two = supervisor().start(), supervisor().start()
    refs = [tree.add_worker(handler(act), id="w") for tree in (one, two)]
    one.stop()
    assert not refs[0].is_alive()
    assert refs[1].ask(1) == 1
    assert refs[1].incarnation == 1
    assert one.history()[-1] == events.SupervisorEnded(one.name, one.history()[-1].at, Shutdown())
    assert all(event.supervisor == two.name for event in two.history())


# -- stop -------------------------------------------------------------------------------


def test_fifty_stops_are_one(supervisor: MakeSupervisor) -> None:
    """They, and the end of the `with`, all return the same report (F62)."""
    stopped: Recorder[str] = Recorder()
    tree = supervisor()
    tree.add_worker(Actor, id="w", kwargs={"stop": lambda: stopped("w")})
    with tree:
        reports = together(50, lambda _: tree.stop())
    assert {id(report) for report in reports} == {id(tree.stop())}
    assert reports[0].stopped == 1
    assert stopped.items == ["w"]


def test_a_stop_comes_between_a_start_and_its_children(supervisor: MakeSupervisor) -> None:
    """The start is refused, whoever was up goes down, the rest never starts."""
    gate, log = Gate(), Recorder[str]()
    tree = supervisor()
    tree.add_worker(Actor, id="up", kwargs={"stop": lambda: log("down")})
    tree.add_worker(Slow, gate, id="slow")
    tree.add_worker(Actor, id="never", kwargs={"start": lambda: log("never")})
    started: Recorder[object] = Recorder()
    thread = threading.Thread(target=lambda: started(outcome(tree.start)))
    thread.start()
    gate.wait_reached()
    tree.request_stop("enough")
    taken(tree)
    gate.open()
    (refused,) = started.wait_for(1)
    thread.join()
    assert isinstance(refused, NotRunningError)
    assert "stopped while it started" in str(refused)
    assert log.items == ["down"]
    assert tree.wait(0) == Shutdown("enough")


def test_the_start_is_the_first_request(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop that comes in the moment of the start never comes before it.

    It used to: the stop ended the loop, and what was left of the queue started the tree.
    """
    gate = Gate()
    tree = supervisor()
    tree.add_worker(Actor, id="w")
    loop = tree._services.loop
    inner = loop.inbox.put

    def put(call: object) -> None:
        inner(call)
        gate.meet()

    monkeypatch.setattr(loop, "inbox", _Putting(loop.inbox, put))
    started: Recorder[object] = Recorder()
    thread = threading.Thread(target=lambda: started(outcome(tree.start)))
    thread.start()
    gate.wait_reached()  # the start is in the queue, nothing else is
    assert isinstance(outcome(tree.request_stop), NotRunningError)
    gate.open()
    assert started.wait_for(1) == [tree]
    thread.join()
    assert tree.stop().stopped == 1


class _Putting:
    """An inbox whose `put` is another one."""

    def __init__(self, inbox: object, put: object) -> None:
        self._inbox = inbox
        self.put = put

    def __getattr__(self, name: str) -> object:
        return getattr(self._inbox, name)


def test_a_stop_before_the_start_is_refused() -> None:
    """There is nothing to stop, to wait for or to drain; row 42."""
    tree = Supervisor()
    chain = tree.add_chain("c", [stage(act)])
    chain.tell("kept")
    for call in (tree.stop, tree.wait, tree.request_stop, lambda: tree.stop(drain=True)):
        with pytest.raises(NotRunningError, match="was not started"):
            call()
    with tree:  # and none of it has spoilt the start
        assert chain.drain(PATIENCE)


def test_leaving_the_block_stops_the_tree_whatever_left_it(supervisor: MakeSupervisor) -> None:
    """An exception goes on, and the tree is down when it is seen."""
    tree = supervisor()
    ref = tree.add_worker(handler(act), id="w")
    with pytest.raises(ZeroDivisionError), tree:
        raise ZeroDivisionError
    assert not ref.is_alive()
    assert ref.wait(0) == Shutdown()


@pytest.mark.parametrize("timeout", [1e12, 1e300, float("inf"), float("nan")])
def test_a_limit_beyond_all_waiting_is_no_limit(supervisor: MakeSupervisor, timeout: float) -> None:
    """A time that no lock can wait for does not end the supervisor's thread."""
    gate = Gate()
    tree = supervisor().start()
    ref = tree.add_worker(handler(lambda _: gate.meet()), id="w", shutdown=4_000_000)
    ref.tell("stand")
    gate.wait_reached()
    stopping: Recorder[object] = Recorder()
    thread = threading.Thread(target=lambda: stopping(outcome(tree.stop, timeout)))
    thread.start()
    tree.request_stop()
    gate.open()
    (report,) = stopping.wait_for(1)
    thread.join()
    assert isinstance(report, StopReport)
    assert report.clean


def test_no_thread_is_left_when_stop_returns(supervisor: MakeSupervisor) -> None:
    """Neither a worker's nor one of the tree's own two."""
    before = threading.active_count()
    for _ in range(10):
        tree = supervisor().start()
        for _ in range(5):
            tree.add_worker(handler(act))
        tree.stop()
        assert threading.active_count() == before


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_a_second_stop_may_have_a_limit_and_the_first_not(
    supervisor: MakeSupervisor, timeout: float | None
) -> None:
    """The stop that is under way is shortened for both, and the same for both."""
    gate = Gate()
    tree = supervisor().start()
    tree.add_worker(handler(lambda _: gate.meet()), id="hung", shutdown=PATIENCE * 2).tell("")
    gate.wait_reached()
    first: Recorder[StopReport] = Recorder()
    thread = threading.Thread(target=lambda: first(tree.stop(timeout)))
    thread.start()
    report = tree.stop(timeout=0.01)
    assert [left.id for left in report.abandoned] == ["hung"]
    assert first.wait_for(1)[0] is report
    gate.open()
    thread.join()


# -- the end ----------------------------------------------------------------------------


def test_waiting_ends_with_the_tree(supervisor: MakeSupervisor) -> None:
    """`wait` returns the reason, or `None` when the time is up first."""
    tree = supervisor().start()
    assert tree.wait(0) is None
    tree.request_stop("because")
    assert tree.wait(PATIENCE) == Shutdown("because")
    tree.request_stop("later")  # what has ended stays as it is
    assert tree.wait() == Shutdown("because")


def test_a_stopped_tree_refuses_and_still_tells(supervisor: MakeSupervisor) -> None:
    """Nothing is added; what it was can be read; row 42, F64."""
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w")
    group = tree.add_group("g")
    assert ref.ask(1) == 1
    tree.stop()
    calls = [
        lambda: tree.add_worker(handler(act)),
        lambda: tree.add_group("h"),
        lambda: tree.add_chain("c", [stage(act)]),
        lambda: group.add_worker(handler(act)),
        lambda: tree.restart_child("w"),
        lambda: tree.stop_child("w"),
        lambda: tree.remove_child("w"),
    ]
    for call in calls:
        assert isinstance(outcome(call), NotRunningError)
    assert tree.children() == ("w", "g")
    assert tree.statistics().handled == 1
    assert ref.statistics().handled == 1
    assert ref.wait(0) == Shutdown()
    assert ref.stop() is False
    assert "ended" in str(tree.tree())
    assert tree.history()
    assert tree.failed() == ()


def test_the_end_of_a_tree_past_its_own_budget_is_a_crash(supervisor: MakeSupervisor) -> None:
    """Escalation past the supervisor's budget ends all, in reverse, and says why."""
    log: Recorder[str] = Recorder()
    tree = supervisor(max_restarts=0).start()
    tree.add_worker(Actor, id="good", kwargs={"stop": lambda: log("good")})
    tree.add_worker(handler(raise_it), id="bad", max_restarts=0, escalate=True).tell("")
    reason = tree.wait(PATIENCE)
    assert isinstance(reason, Crashed)
    assert "gave up: more than 0 restarts" in reason.error
    assert log.items == ["good"]
    assert tree.failed() == ("bad",)
    with pytest.raises(NotRunningError) as caught:
        tree.start()
    assert caught.value.reason == reason


def raise_it(message: object) -> None:
    raise ValueError(message)


def test_an_escalated_scope_comes_back_with_a_fresh_budget(supervisor: MakeSupervisor) -> None:
    """The supervisor restarts it as often as its own budget allows."""
    told: Recorder[events.Event] = Recorder()
    tree = supervisor(max_restarts=1, backoff=threadsup.Backoff.none()).start()
    tree.subscribe(told)
    ref = tree.add_worker(handler(raise_it), id="bad", max_restarts=1, escalate=True)
    for _ in range(3):
        ref.tell("")
    assert told.wait_until(lambda seen: any(up(event, 4) for event in seen))
    assert tree.failed() == ()
    assert ref.wait(0) is None
    ref.tell("")
    assert isinstance(tree.wait(PATIENCE), Crashed)


def up(event: events.Event, incarnation: int) -> bool:
    return isinstance(event, events.WorkerStarted) and event.incarnation == incarnation


def test_a_scope_that_gives_up_takes_nobody_along(supervisor: MakeSupervisor) -> None:
    """`failed()` names it, its neighbours keep their incarnation; DESIGN 3.4."""
    tree = supervisor().start()
    good = tree.add_worker(handler(act), id="good")
    bad = tree.add_worker(handler(raise_it), id="bad", max_restarts=0)
    bad.tell("")
    assert isinstance(bad.wait(PATIENCE), Crashed)
    assert good.ask("still") == "still"
    taken(tree)
    assert tree.failed() == ("bad",)
    tree.restart_child("bad")
    assert tree.failed() == ()
    assert bad.incarnation == 2


def test_a_task_that_returns_ends_normally(supervisor: MakeSupervisor) -> None:
    """A transient one is kept, ended, and can be started again by hand."""
    tree = supervisor().start()
    ref = tree.add_worker(lambda: None, id="t")
    assert ref.wait(PATIENCE) == Normal()
    assert tree.children() == ("t",)
    tree.restart_child("t")
    assert ref.wait(PATIENCE) == Normal()
    assert ref.incarnation == 2


def test_a_worker_that_ends_at_once_was_up(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end may be reported before its start is told: that is no start that failed."""
    runs: Recorder[str] = Recorder()
    ended: Recorder[str] = Recorder()
    launched: list[str] = []
    launch, exited, drain = Cell._launch, Cell.exited, Loop._drain_signals

    def launching(cell: Cell, life: Life) -> bool:
        up = launch(cell, life)
        launched.append(str(cell.id))
        return up

    def reporting(cell: Cell, *report: Any) -> None:
        exited(cell, *report)
        ended(str(cell.id))

    def late(loop: Loop) -> None:
        if "b" in launched:  # in this turn: its start is told in the next one
            ended.wait_until(lambda ids: "b" in ids, "report its end")
        drain(loop)

    monkeypatch.setattr(Cell, "_launch", launching)
    monkeypatch.setattr(Cell, "exited", reporting)
    monkeypatch.setattr(Loop, "_drain_signals", late)

    def crash_once() -> None:
        runs("run")
        if len(runs) == 1:
            raise ValueError

    tree = supervisor(backoff=Backoff.none())
    tree.add_group(
        "group",
        [worker_spec(handler(print), id="a"), worker_spec(crash_once, id="b", restart="transient")],
        strategy="one_for_one",
    )
    tree.start()
    runs.wait_for(2)
