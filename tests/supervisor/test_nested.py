"""A supervisor in a supervisor: started, restarted, escalating and stopped as in OTP.

Rows are those of the list of conformance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import threadsup
from tests.conformance.scenes import Boom, act, boom
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import outcome, taken
from threadsup import (
    Backoff,
    CallingSelfError,
    Crashed,
    DuplicateChildError,
    GroupSpec,
    MailboxClosed,
    Normal,
    NotRunningError,
    Shutdown,
    SpecError,
    StartError,
    Supervisor,
    SupervisorSpec,
    UnknownChildError,
    Worker,
    WorkerExit,
    WorkerExited,
    current,
    events,
    handler,
    receive,
    stage,
    worker_spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeSupervisor
    from threadsup import Exit, WorkerSpec
    from threadsup.events import Event

LONG = Backoff(initial=60.0, factor=1.0, maximum=60.0, jitter=0.0)


def leave() -> None:
    raise SystemExit


def part(id: str, **options: Any) -> WorkerSpec:
    """Return a worker that does as it is told, and gives up by escalating at once."""
    return worker_spec(handler(act), **{"id": id, "max_restarts": 0, "escalate": True, **options})


class Logged(Worker):
    """Says when it starts and ends."""

    def __init__(self, log: Recorder[str], name: str, fails: Callable[[], object]) -> None:
        self.log, self.name, self.fails = log, name, fails

    def on_start(self) -> None:
        self.fails()
        self.log(f"+{self.name}")

    def on_receive(self, message: Any) -> Any:
        return act(message)

    def on_stop(self) -> None:
        self.log(f"-{self.name}")


def logged(
    log: Recorder[str], name: str, fails: Callable[[], object] = int, **options: Any
) -> WorkerSpec:
    return worker_spec(Logged, log, name, fails, id=name, **options)


def ups(seen: Recorder[Event], count: int, *path: str) -> None:
    """Wait until the supervisor of that path has come up so often."""
    seen.wait_until(
        lambda found: (
            sum(isinstance(e, events.SupervisorStarted) and e.path == path for e in found) >= count
        ),
        f"{path} {count} times up",
    )


def melted(tree: Supervisor, nest: Supervisor) -> None:
    """Spend the budget of a nested one by its child `w`; return when it is up again."""
    seen: Recorder[Event] = Recorder()
    end = tree.subscribe(seen)
    nest.worker("w").tell(boom)
    ups(seen, 1, nest.name)
    end()


# -- what it is -------------------------------------------------------------------------


def test_what_is_added_is_a_supervisor_and_a_child(supervisor: MakeSupervisor) -> None:
    """It has children of its own, and stands among those of the other one (row 60)."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest", [part("w")])
    nest.add_worker(handler(act), id="late")
    inner = nest.add_supervisor("inner")
    assert isinstance(nest, Supervisor)
    assert tree.children() == ("nest",)
    assert nest.children() == ("w", "late", "inner")
    assert tree["nest"] is nest is tree.supervisor("nest")
    assert (inner.parent, nest.parent, tree.parent) == (nest, tree, None)
    assert (len(tree), len(nest), len(inner)) == (1, 3, 0)
    assert nest.name not in threadsup.running()


def test_the_worker_of_a_nested_one_knows_it(supervisor: MakeSupervisor) -> None:
    """`current().supervisor` is the one it was added to."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest")
    ref = nest.add_worker(handler(act))
    assert ref.ask(lambda: current().supervisor) is nest  # type: ignore[union-attr]


def test_it_is_asked_for_by_its_kind(supervisor: MakeSupervisor) -> None:
    """Another kind is told apart, and an unknown name is unknown."""
    tree = supervisor()
    tree.add_supervisor("nest")
    tree.add_worker(handler(act), id="w")
    with pytest.raises(UnknownChildError, match=r"is a supervisor, not a worker: use supervisor"):
        tree.worker("nest")
    with pytest.raises(UnknownChildError, match=r"is a worker, not a supervisor: use worker"):
        tree.supervisor("w")
    with pytest.raises(UnknownChildError):
        tree.supervisor("nobody")
    tree.start()


def test_ids_are_those_of_one_supervisor(supervisor: MakeSupervisor) -> None:
    """A name is taken by any child beside it, not by one elsewhere in the tree (row 19)."""
    tree = supervisor().start()
    nest = tree.add_supervisor("w", [part("w")])
    with pytest.raises(DuplicateChildError):
        tree.add_worker(handler(act), id="w")
    with pytest.raises(DuplicateChildError):
        tree.add_supervisor("w")
    assert nest.worker("w").ask("here") == "here"


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"max_zombies": 3}, TypeError, "max_zombies"),
        ({"on_exit": "drain"}, TypeError, "on_exit"),
        ({"max_restarts": -1}, SpecError, "max_restarts"),
        ({"significant": True}, SpecError, "auto_shutdown"),
        ({"children": ["w"]}, SpecError, r"children\[0\]"),
        (
            {"children": [part("w", significant=True, restart="transient")]},
            SpecError,
            "significant",
        ),
        ({"children": [SupervisorSpec(name="x", max_zombies=1)]}, SpecError, "max_zombies"),
    ],
)
def test_what_it_cannot_be_is_refused_at_once(
    supervisor: MakeSupervisor, options: Any, error: type[Exception], says: str
) -> None:
    """A wrong option, or one of the whole tree: nothing is added."""
    tree = supervisor().start()
    with pytest.raises(error, match=says):
        tree.add_supervisor("nest", **options)
    assert tree.children() == ()


def test_a_spec_for_a_place_in_a_tree_is_no_tree() -> None:
    """What only means something in another one is refused where there is none."""
    with pytest.raises(SpecError, match="in another"):
        Supervisor.from_spec(SupervisorSpec(name="app", significant=True))
    with pytest.raises(SpecError, match="in another"):
        Supervisor.from_spec(SupervisorSpec(name="app", escalate=False))


def test_a_nested_one_is_not_started_or_run_by_itself(supervisor: MakeSupervisor) -> None:
    """The one it is in starts it."""
    tree = supervisor()
    nest = tree.add_supervisor("nest")
    for call in (nest.start, nest.run_forever, nest.__enter__):
        with pytest.raises(NotRunningError, match=r"nested|started by"):
            call()
    with pytest.raises(NotRunningError):
        nest.stop()
    tree.start()


# -- start and stop ---------------------------------------------------------------------


def test_a_declared_tree_starts_in_order_and_stops_in_reverse(log: Recorder[str]) -> None:
    """Depth first, each supervisor whole before the next child (rows 30 and 32)."""
    inner = SupervisorSpec(name="inner", children=(logged(log, "c"),))
    nest = SupervisorSpec(name="nest", children=(logged(log, "b"), inner, logged(log, "d")))
    spec = SupervisorSpec(name="declared", children=(logged(log, "a"), nest, logged(log, "e")))
    with Supervisor.from_spec(spec):
        assert log.items == ["+a", "+b", "+c", "+d", "+e"]
    assert log.items[5:] == ["-e", "-d", "-c", "-b", "-a"]


def test_children_are_added_before_the_start(supervisor: MakeSupervisor, log: Any) -> None:
    """They start with the tree, in their place."""
    tree = supervisor()
    nest = tree.add_supervisor("nest")
    tree.add_worker(Logged, log, "after", int)
    nest.add_worker(Logged, log, "in", int)
    assert log.items == []
    tree.start()
    assert log.items == ["+in", "+after"]


def test_a_failing_start_deep_down_reaches_the_caller(
    supervisor: MakeSupervisor, log: Recorder[str]
) -> None:
    """With the path of the child and its own error, and all is undone (rows 13 and 14)."""
    tree = supervisor()
    tree.add_worker(Logged, log, "a", int)
    nest = tree.add_supervisor("nest", [logged(log, "b")])
    nest.add_supervisor("inner", [logged(log, "c"), logged(log, "d", boom)])
    with pytest.raises(StartError, match="'nest', 'inner', 'd'") as failed:
        tree.start()
    assert isinstance(failed.value.__cause__, Boom)
    assert log.items == ["+a", "+b", "+c", "-c", "-b", "-a"]


def test_one_that_does_not_start_is_not_added(supervisor: MakeSupervisor, log: Any) -> None:
    """The caller has the cause, the supervisor goes on (row 10)."""
    tree = supervisor().start()
    with pytest.raises(StartError, match="'nest', 'b'") as failed:
        tree.add_supervisor("nest", [logged(log, "a"), logged(log, "b", boom)])
    assert isinstance(failed.value.__cause__, Boom)
    assert tree.children() == ()
    assert log.items == ["+a", "-a"]
    assert tree.add_supervisor("nest").children() == ()


def test_stopping_one_keeps_it_and_what_is_queued(supervisor: MakeSupervisor) -> None:
    """`stop_child` and `restart_child` by its name (rows 38 to 40); refs stay valid."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest", [part("w")])
    ref = nest.worker("w")
    gate = Gate()
    ref.tell(gate.meet)
    gate.wait_reached()
    answer = ref.ask("queued", block=False)
    stopping = tree._root.errand("stop_child", "nest")
    taken(tree)
    gate.open()
    assert stopping.result(PATIENCE) is None
    assert nest.wait(PATIENCE) == Shutdown()
    with pytest.raises(MailboxClosed):
        ref.tell("late")
    with pytest.raises(NotRunningError):
        nest.add_worker(handler(act))
    assert not answer.done()
    tree.stop_child("nest")
    tree.restart_child("nest")
    assert answer.result(PATIENCE) == "queued"
    assert nest.wait(0) is None


def test_one_that_is_removed_is_gone(supervisor: MakeSupervisor) -> None:
    """Its name is free, its children are ended, what they had is undelivered (row 41)."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest", [part("w")])
    ref = nest.worker("w")
    tree.stop_child("nest")
    tree.remove_child("nest")
    assert tree.children() == ()
    assert ref.wait(PATIENCE) == Shutdown()
    assert nest.wait(PATIENCE) == Shutdown()
    with pytest.raises(NotRunningError, match="has ended"):
        nest.add_worker(handler(act))
    with pytest.raises(UnknownChildError):
        tree.restart_child("nest")
    tree.add_supervisor("nest")


def test_one_that_is_removed_before_the_start_takes_nobody(supervisor: MakeSupervisor) -> None:
    """Nor does it come with the tree."""
    tree = supervisor()
    nest = tree.add_supervisor("nest")
    tree.remove_child("nest")
    with pytest.raises(NotRunningError):
        nest.add_worker(handler(act))
    tree.start()
    assert tree.children() == ()


def test_it_ends_when_it_is_asked_to(supervisor: MakeSupervisor) -> None:
    """`stop` and `request_stop` end it for good, and nobody else; its parent may start it."""
    tree = supervisor().start()
    beside = tree.add_worker(handler(act))
    for end in ("stop", "request_stop"):
        nest = tree.add_supervisor("nest", [part("w"), part("v")])
        getattr(nest, end)()
        assert nest.wait(PATIENCE) == Shutdown()
        taken(tree)
        assert tree.tree().children[1].state == "ended"
        assert tree.failed() == ()
        assert beside.ask("there") == "there"
        tree.restart_child("nest")
        assert nest.worker("w").ask("again") == "again"
        tree.remove_child("nest")


def test_its_reason_is_what_was_said(supervisor: MakeSupervisor) -> None:
    """As with a tree, so that `wait` tells why."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest", [part("w")])
    nest.worker("w").tell(lambda: current().supervisor.request_stop("done"))  # type: ignore[union-attr]
    assert nest.wait(PATIENCE) == Shutdown("done")
    nest.request_stop("again")
    assert nest.stop().clean
    assert nest.wait(0) == Shutdown("done")


def test_its_stop_has_a_limit(supervisor: MakeSupervisor) -> None:
    """`stop(timeout)` caps all below, and names by its path who did not end in time."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest")
    gate = Gate()
    inner = nest.add_supervisor("inner")
    ref = inner.add_worker(handler(act), id="w", shutdown=60.0)
    ref.tell(gate.meet)
    gate.wait_reached()
    report = nest.stop(timeout=0.05)
    assert [left.id for left in report.abandoned] == [("nest", "inner", "w")]
    assert not report.clean
    assert nest.statistics().zombies == inner.statistics().zombies == 1
    assert tree.statistics().zombies == 1
    assert tree.add_supervisor("other").statistics().zombies == 0
    gate.open()


def test_the_limit_of_the_tree_is_that_of_all(supervisor: MakeSupervisor) -> None:
    """`stop(timeout)` of the tree reaches a worker far below."""
    tree = supervisor().start()
    gate = Gate()
    ref = tree.add_supervisor("a").add_supervisor("b").add_worker(handler(act), shutdown=60.0)
    ref.tell(gate.meet)
    gate.wait_reached()
    report = tree.stop(timeout=0.05)
    assert [left.id for left in report.abandoned] == [("a", "b", "act")]
    gate.open()


def test_a_stop_says_how_many_ended(supervisor: MakeSupervisor) -> None:
    """The report of a nested one is of what is below it."""
    tree = supervisor().start()
    tree.add_worker(handler(act))
    nest = tree.add_supervisor("nest", [part("a"), part("b")])
    nest.add_supervisor("inner", [part("c")])
    report = nest.stop()
    assert (report.clean, report.stopped, report.abandoned) == (True, 3, ())
    assert tree.stop().stopped == 1


def test_draining_one_finishes_its_chains(supervisor: MakeSupervisor) -> None:
    """`stop(drain=True)` of a nested one, and of the tree it is in."""
    for whole in (False, True):
        tree = supervisor().start()
        nest = tree.add_supervisor("nest")
        done: Recorder[int] = Recorder()
        gate = Gate()

        def held(item: int, gate: Gate = gate) -> int:
            gate.meet()
            return item

        chain = nest.add_chain("c", [stage(held)], on_result=done)
        for item in range(5):
            chain.tell(item)
        gate.wait_reached()
        gate.open()
        report = (tree if whole else nest).stop(drain=True)
        assert done.items == [0, 1, 2, 3, 4]
        assert report.undelivered == 0


def test_during_a_stop_nobody_is_restarted_below(
    supervisor: MakeSupervisor, log: Recorder[str]
) -> None:
    """Who ends by themselves before their turn stays down, two levels down too (row 28)."""
    tree = supervisor()
    nest = tree.add_supervisor("nest", [logged(log, "early", restart="permanent")])
    gate = Gate()
    tree.add_worker(handler(lambda message: gate.meet()), id="slow")
    tree.start()
    tree.worker("slow").tell(None)
    gate.wait_reached()
    tree.request_stop()
    taken(tree)
    ended: Recorder[Exit] = Recorder()
    nest.worker("early").monitor(ended)
    nest.worker("early").tell(boom)
    (exit_,) = ended.wait_for(1)
    assert isinstance(exit_.reason, Crashed)
    gate.open()
    tree.wait(PATIENCE)
    assert log.items == ["+early"]


# -- giving up --------------------------------------------------------------------------


def test_only_the_leaf_is_replaced_while_the_budget_lasts(supervisor: MakeSupervisor) -> None:
    """Neither its sibling nor the subtree beside it is touched (row 89)."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest", [part("w", max_restarts=3), part("v")])
    other = tree.add_supervisor("other", [part("u")])
    seen: Recorder[Exit] = Recorder()
    nest.worker("w").monitor(seen)
    nest.worker("w").tell(boom)
    assert seen.wait_for(1)[0].final is False
    assert nest.worker("w").ask(lambda: current().incarnation) == 2  # type: ignore[union-attr]
    assert nest.worker("v").incarnation == other.worker("u").incarnation == 1


def test_past_its_budget_it_is_restarted_by_its_parent(supervisor: MakeSupervisor) -> None:
    """Different children share the budget; the parent's restart is a fresh one (row 75)."""
    tree = supervisor(max_restarts=1).start()
    nest = tree.add_supervisor("nest", [part("w"), part("v")], max_restarts=1)
    seen: Recorder[Event] = Recorder()
    tree.subscribe(seen)
    w, v = nest.worker("w"), nest.worker("v")
    w.tell(boom)
    assert w.ask("one") == "one"
    v.tell(boom)
    ups(seen, 1, "nest")
    assert (w.ask("two"), v.ask("three")) == ("two", "three")
    assert (nest.worker("w"), nest.worker("v")) == (w, v)
    gave_up = [e.path for e in seen.items if isinstance(e, events.GaveUp)]
    assert gave_up[-1] == ("nest", "v")
    w.tell(boom)  # within the fresh budget
    assert w.ask("four") == "four"
    assert tree.failed() == nest.failed() == ()


def test_escalation_ends_at_the_top(supervisor: MakeSupervisor) -> None:
    """A start that keeps failing spends the budgets of both, and the tree ends (row 76)."""
    tree = supervisor(max_restarts=1, backoff=Backoff.none()).start()
    log: Recorder[str] = Recorder()

    def fails() -> None:
        if len(log):
            boom()

    nest = tree.add_supervisor(
        "nest", [logged(log, "w", fails, escalate=True)], max_restarts=1, backoff=Backoff.none()
    )
    sibling = tree.add_worker(handler(act))
    nest.worker("w").tell(boom)
    assert isinstance(tree.wait(PATIENCE), Crashed)
    assert sibling.wait(PATIENCE) == Shutdown()
    assert isinstance(nest.wait(PATIENCE), Crashed)


def test_without_escalation_it_stays_down(supervisor: MakeSupervisor) -> None:
    """`escalate=False`: the parent names it in `failed()` and goes on."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest", [part("w")], max_restarts=0, escalate=False)
    nest.worker("w").tell(boom)
    reason = nest.wait(PATIENCE)
    assert isinstance(reason, Crashed)
    assert "gave up" in reason.error
    assert tree.failed() == ("nest",)
    with pytest.raises(MailboxClosed):
        nest.worker("w").tell("late")
    tree.restart_child("nest")
    assert nest.worker("w").ask("again") == "again"
    assert tree.failed() == ()


def test_a_scope_that_does_not_escalate_fails_alone(supervisor: MakeSupervisor) -> None:
    """The nested one goes on, and says who has given up."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest", [part("w", escalate=False), part("v")], max_restarts=0)
    nest.worker("w").tell(boom)
    assert isinstance(nest.worker("w").wait(PATIENCE), Crashed)
    taken(tree)
    assert nest.failed() == ("w",)
    assert tree.failed() == ()
    assert nest.worker("v").ask("there") == "there"


def test_what_was_declared_comes_back_and_nothing_else(supervisor: MakeSupervisor) -> None:
    """The removed, the stopped, the ended, the temporary too; nobody added later (row 90)."""
    tree = supervisor()
    nest = tree.add_supervisor(
        "nest",
        [
            part("w"),
            part("removed"),
            part("ended", restart="transient"),
            worker_spec(handler(act), id="temporary", restart="temporary"),
            SupervisorSpec(name="stopped", children=(part("s"),)),
        ],
        max_restarts=0,
    )
    nest.add_worker(handler(act), id="before")
    tree.start()
    late = nest.add_worker(handler(act), id="late")
    kept, removed = nest.worker("w"), nest.worker("removed")
    nest.remove_child("removed")
    nest.add_worker(handler(act), id="removed")
    nest.stop_child("stopped")
    nest.worker("ended").tell(leave)
    nest.worker("temporary").tell(leave)
    assert nest.worker("ended").wait(PATIENCE) == Normal()
    taken(tree)
    waiting = late.ask("never handled", block=False)
    assert waiting.result(PATIENCE) == "never handled"
    melted(tree, nest)
    assert nest.children() == ("w", "removed", "ended", "temporary", "stopped", "before")
    assert nest.worker("w") is kept
    assert nest.worker("removed") is not removed
    for key in ("w", "removed", "ended", "temporary", "before"):
        assert nest.worker(key).ask(key) == key
    assert nest.supervisor("stopped").worker("s").ask("s") == "s"
    with pytest.raises(MailboxClosed):
        late.tell("late")
    assert late.wait(PATIENCE) == Shutdown()


def test_what_waits_for_one_that_is_lost_is_told(supervisor: MakeSupervisor) -> None:
    """A message to a child that does not come back is undelivered, and counted."""
    tree = supervisor(backoff=Backoff.none()).start()
    nest = tree.add_supervisor("nest", [part("w")], max_restarts=0)
    late = nest.add_worker(handler(act), id="late")
    gate = Gate()
    late.tell(gate.meet)
    gate.wait_reached()
    answer = late.ask("queued", block=False)
    seen: Recorder[Event] = Recorder()
    tree.subscribe(seen)
    nest.worker("w").tell(boom)
    seen.wait_until(lambda found: any(isinstance(e, events.GaveUp) for e in found))
    gate.open()
    with pytest.raises(WorkerExited):
        answer.result(PATIENCE)
    assert nest.dead_letters()[-1].to == ("nest", "late")
    assert tree.dead_letters()[-1].message == "queued"
    assert tree.stop().undelivered == 1


def test_it_is_restarted_by_hand_with_a_fresh_budget(supervisor: MakeSupervisor) -> None:
    """`restart_child` on one that runs stops and starts it, and its refs stay valid."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest", [part("w")], max_restarts=1)
    ref = nest.worker("w")
    for _ in range(3):
        ref.tell(boom)
        assert ref.ask("up") == "up"
        tree.restart_child("nest")
    assert ref.ask("still") == "still"
    assert tree.failed() == ()


def test_nested_in_nested_escalates_step_by_step(supervisor: MakeSupervisor) -> None:
    """Ten at one level times ten above: each budget is spent before the next is touched."""
    tree = supervisor(max_restarts=1, backoff=Backoff.none()).start()
    inner = SupervisorSpec(
        name="inner", children=(part("w"),), max_restarts=1, backoff=Backoff.none()
    )
    outer = tree.add_supervisor("outer", [inner], max_restarts=1, backoff=Backoff.none())
    ref = outer.supervisor("inner").worker("w")
    lives = []
    while tree.wait(0) is None:
        try:
            lives.append(ref.ask(lambda: current().incarnation))  # type: ignore[union-attr]
            ended: Recorder[Exit] = Recorder()
            ref.monitor(ended)
            ref.tell(boom)
            ended.wait_for(1)
        except (MailboxClosed, WorkerExited):
            tree.wait(PATIENCE)
    assert lives == list(range(1, 9))  # 2 * 2 * 2
    assert isinstance(tree.wait(0), Crashed)


# -- races ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stop", "request_stop", "stop_child", "remove_child", "tree"])
def test_a_stop_in_the_pause_before_its_restart_calls_it_off(
    supervisor: MakeSupervisor, how: str
) -> None:
    """Whoever asks, it does not come back, and nobody waits for the pause."""
    tree = supervisor(backoff=LONG).start()
    nest = tree.add_supervisor("nest", [part("w")], max_restarts=0)
    seen: Recorder[Event] = Recorder()
    tree.subscribe(seen)
    melted(tree, nest)  # the first restart has no pause
    nest.worker("w").tell(boom)
    seen.wait_until(lambda found: any(isinstance(e, events.Restarting) and e.delay for e in found))
    match how:
        case "stop":
            assert nest.stop().clean
        case "request_stop":
            nest.request_stop()
        case "tree":
            assert tree.stop().clean
        case _:
            getattr(tree, how)("nest")
    assert nest.wait(PATIENCE) is not None
    if how != "tree":
        taken(tree)
        states = {node.id: node.state for node in tree.tree().children}
        assert states.get("nest") == (None if how == "remove_child" else "held")


@pytest.mark.parametrize("how", ["request_stop", "stop_child"])
def test_a_stop_while_it_goes_down_to_be_restarted_is_not_lost(
    supervisor: MakeSupervisor, how: str
) -> None:
    """It has given up and waits for a child; then it is asked to end: it does not come back."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest", [part("slow"), part("w")], max_restarts=0)
    gate = Gate()
    nest.worker("slow").tell(gate.meet)
    gate.wait_reached()
    seen: Recorder[Event] = Recorder()
    tree.subscribe(seen)
    nest.worker("w").tell(boom)
    seen.wait_until(lambda found: any(isinstance(e, events.GaveUp) for e in found))
    if how == "request_stop":
        nest.request_stop()
    else:
        tree._root.errand("stop_child", "nest")
    taken(tree)
    gate.open()
    reason = nest.wait(PATIENCE)
    # Who asks for its end gives the reason; who keeps it is told why it went down.
    assert isinstance(reason, Crashed if how == "stop_child" else Shutdown)
    taken(tree)
    assert tree.tree().children[0].state == ("failed" if how == "stop_child" else "ended")
    assert tree.failed() == (("nest",) if how == "stop_child" else ())
    assert nest.worker("w").is_alive() is False


def test_a_stop_while_it_starts_again_ends_it(supervisor: MakeSupervisor) -> None:
    """One that stands in a start is asked to stop by its parent, within its limit."""
    tree = supervisor().start()
    gate = Gate()

    def stands() -> None:
        if current().incarnation > 1:  # type: ignore[union-attr]
            gate.meet()

    log: Recorder[str] = Recorder()
    nest = tree.add_supervisor("nest", [part("w"), logged(log, "s", stands)], max_restarts=0)
    nest.worker("w").tell(boom)
    gate.wait_reached()
    nest.request_stop()
    taken(tree)
    assert nest.wait(0) is None
    gate.open()
    assert nest.wait(PATIENCE) == Shutdown()
    taken(tree)
    assert tree.tree().children[0].state == "held"


def test_one_that_is_slow_holds_up_nobody(supervisor: MakeSupervisor) -> None:
    """While a subtree stands in its restart the others stop, start and are restarted."""
    tree = supervisor().start()
    gate = Gate()

    def stands() -> None:
        if current().incarnation > 1:  # type: ignore[union-attr]
            gate.meet()

    log: Recorder[str] = Recorder()
    slow = tree.add_supervisor("slow", [logged(log, "s", stands)])
    quick = tree.add_supervisor("quick", [part("w")], max_restarts=0)
    slow.worker("s").tell(boom)
    gate.wait_reached()
    melted(tree, quick)
    assert quick.worker("w").ask("up") == "up"
    tree.restart_child("quick")
    assert quick.add_worker(handler(act)).ask("new") == "new"
    gate.open()
    assert slow.worker("s").ask("up") == "up"


def test_a_stop_that_comes_twice_is_one(supervisor: MakeSupervisor) -> None:
    """The second waits for the first, and may shorten it."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest")
    gate = Gate()
    nest.add_worker(handler(act), id="w", shutdown=60.0).tell(gate.meet)
    gate.wait_reached()
    nest.request_stop()
    taken(tree)
    report = nest.stop(timeout=0.05)
    assert [left.id for left in report.abandoned] == [("nest", "w")]
    assert nest.stop() is report
    gate.open()


@pytest.mark.parametrize(
    "call",
    [
        lambda nest: nest.stop(),
        lambda nest: nest.wait(),
        lambda nest: nest.parent.stop(),
        lambda nest: nest.parent.wait(),
        lambda nest: nest.parent.stop_child("nest"),
        lambda nest: nest.parent.restart_child("nest"),
        lambda nest: nest.parent.remove_child("nest"),
    ],
)
def test_a_worker_that_would_wait_for_itself_is_told(
    supervisor: MakeSupervisor, call: Callable[[Supervisor], object]
) -> None:
    """Anything above it would: an error at once, and nothing happens."""
    tree = supervisor().start()
    ref = tree.add_supervisor("nest").add_worker(handler(act))

    def ask() -> object:
        return outcome(call, current().supervisor)  # type: ignore[union-attr]

    assert isinstance(ref.ask(ask), CallingSelfError)
    assert ref.ask("there") == "there"


def test_a_start_that_would_wait_for_itself_is_told(supervisor: MakeSupervisor) -> None:
    """A child that is added above, by who is being started with it, would come after it."""
    tree = supervisor()
    said: Recorder[Any] = Recorder()
    nest = tree.add_supervisor("nest")
    nest.add_worker(Logged, said, "w", lambda: said(outcome(tree.add_worker, handler(act), id="x")))
    tree.start()
    assert isinstance(said.items[0], CallingSelfError)


# -- auto_shutdown ----------------------------------------------------------------------


def test_its_end_by_itself_counts_above_where_it_is_significant(
    supervisor: MakeSupervisor,
) -> None:
    """It nests upward through significant supervisors (row 101)."""
    tree = supervisor(auto_shutdown="all").start()
    tree.add_supervisor("other", [part("o")])
    nest = tree.add_supervisor("nest", significant=True, auto_shutdown="any")
    inner = nest.add_supervisor("inner", significant=True, auto_shutdown="any")
    ref = inner.add_worker(handler(act), restart="transient", significant=True)
    ref.tell(leave)
    assert tree.wait(PATIENCE) == Shutdown()
    assert inner.wait(0) == nest.wait(0) == Shutdown()


def test_its_end_counts_only_where_it_is_significant(supervisor: MakeSupervisor) -> None:
    """It ends, and the tree goes on (row 101)."""
    tree = supervisor(auto_shutdown="any").start()
    nest = tree.add_supervisor("nest", auto_shutdown="any")
    nest.add_worker(handler(act), restart="transient", significant=True).tell(leave)
    assert nest.wait(PATIENCE) == Shutdown()
    taken(tree)
    assert tree.wait(0) is None
    assert tree.tree().children[0].state == "ended"


def test_a_stop_by_hand_counts_for_nothing_above(supervisor: MakeSupervisor) -> None:
    """`stop_child` is not an end by itself; that it asks for its own end is (row 97)."""
    tree = supervisor(auto_shutdown="any").start()
    nest = tree.add_supervisor("nest", significant=True)
    tree.stop_child("nest")
    assert tree.wait(0) is None
    tree.restart_child("nest")
    nest.request_stop()
    assert tree.wait(PATIENCE) == Shutdown()


def test_one_that_gives_up_is_restarted_and_not_ended(supervisor: MakeSupervisor) -> None:
    """A significant one that escalates has not ended by itself (row 98)."""
    tree = supervisor(auto_shutdown="any").start()
    nest = tree.add_supervisor("nest", [part("w")], max_restarts=0, significant=True)
    melted(tree, nest)
    assert tree.wait(0) is None


# -- what is seen -----------------------------------------------------------------------


def test_numbers_and_pictures_reach_down(supervisor: MakeSupervisor) -> None:
    """`statistics`, `tree`, `str` and `to_mermaid` of the whole, and of a part."""
    tree = supervisor("app").start()
    nest = tree.add_supervisor("nest", [part("w")])
    nest.add_supervisor("inner").add_group("g", [worker_spec(handler(act), id="m")])
    tree.add_worker(handler(act), id="beside").ask("1")
    nest.worker("w").ask("2")
    nest.supervisor("inner").group("g").ask("m", "3")
    assert tree.statistics().handled == 3
    assert nest.statistics().handled == 2
    assert str(nest.tree()).splitlines() == [
        "supervisor nest  up  (one_for_one, 3 restarts in 5 s)",
        "├─ handler w  up  (permanent, incarnation 1)",
        "└─ supervisor inner  up  (one_for_one, 3 restarts in 5 s)",
        "   └─ group g  up  (one_for_all)",
        "      └─ handler m  up  (permanent, incarnation 1)",
    ]
    assert [str(nest.tree()).splitlines()[0]] == [str(tree.tree()).splitlines()[1][3:]]
    chart = tree.tree().to_mermaid()
    for label in ("supervisor app", "supervisor nest", "supervisor inner", "group g", "handler m"):
        assert f'["{label}"]' in chart


def test_events_name_the_whole_path(supervisor: MakeSupervisor) -> None:
    """From the tree down; a nested one hears, and remembers, its own part."""
    tree = supervisor("app")
    nest = tree.add_supervisor("nest")
    inner = nest.add_supervisor("inner", [part("w", max_restarts=1)])
    nest.add_group("g", [worker_spec(handler(act), id="m")])
    tree.add_worker(handler(act), id="beside")
    all_, part_ = Recorder[Any](), Recorder[Any]()
    tree.subscribe(all_)
    inner.subscribe(part_)
    tree.start()
    inner.worker("w").tell(boom)
    inner.worker("w").ask("up")
    tree.stop()
    paths = {getattr(event, "path", ()) for event in tree.history()}
    assert paths == {
        (),
        ("nest",),
        ("nest", "inner"),
        ("nest", "inner", "w"),
        ("nest", "g", "m"),
        ("beside",),
    }
    below = [event for event in all_.items if getattr(event, "path", ())[:2] == ("nest", "inner")]
    assert part_.items == below == list(inner.history())
    assert any(isinstance(event, events.Restarting) for event in below)


def test_chains_of_one_name_are_told_apart(supervisor: MakeSupervisor) -> None:
    """The dead letters of a chain are its own, whatever supervisor it is in."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest")
    chains = [each.add_chain("c", [stage(act)], on_error="reject") for each in (tree, nest)]
    for chain in chains:
        assert isinstance(outcome(chain.submit(boom).result, PATIENCE), Boom)
        assert chain.drain(PATIENCE)
    for chain in chains:
        (letter,) = chain.dead_letters()
        assert chain.redeliver() == 1
        assert chain.drain(PATIENCE)
    assert letter.to == ("nest", "c", "act")
    assert len(nest.dead_letters()) == 1
    assert len(tree.dead_letters()) == 2


def test_zombies_are_counted_in_the_whole_tree(supervisor: MakeSupervisor) -> None:
    """`max_zombies` is the tree's: one too many, and the scope it is of gives up."""
    tree = supervisor(max_zombies=1).start()
    gates = [Gate(), Gate()]
    refs = []
    for name, gate in zip(("a", "b"), gates, strict=True):
        nest = tree.add_supervisor(name)
        refs.append(nest.add_worker(handler(act), id="w", time_limit=0.05))
        refs[-1].tell(gate.meet)
        gate.wait_reached()
    assert refs[1].wait(PATIENCE) is not None or refs[0].wait(PATIENCE) is not None
    gave_up = [event for event in tree.history() if isinstance(event, events.GaveUp)]
    assert len(gave_up) == 1
    for gate in gates:
        gate.open()


def test_groups_in_a_nested_one_are_as_anywhere(supervisor: MakeSupervisor) -> None:
    """A group that escalates is counted by the supervisor it is in."""
    tree = supervisor().start()
    group = GroupSpec(
        id="g", members=(worker_spec(handler(act), id="w"),), max_restarts=0, escalate=True
    )
    nest = tree.add_supervisor("nest", [group], max_restarts=1)
    ref = nest.group("g").worker("w")
    ref.tell(boom)
    assert ref.ask("up") == "up"
    assert nest.failed() == tree.failed() == ()


def test_a_task_that_is_stopped_with_it_leaves_its_wait(supervisor: MakeSupervisor) -> None:
    """A stop reaches who waits for a message, two levels down."""
    tree = supervisor().start()
    left: Recorder[str] = Recorder()

    def wait() -> None:
        try:
            receive()
        except WorkerExit:
            left("left")
            raise

    tree.add_supervisor("a").add_supervisor("b").add_worker(wait, id="w")
    assert tree.supervisor("a").stop().clean
    assert left.items == ["left"]


@pytest.fixture
def log() -> Recorder[str]:
    return Recorder()
