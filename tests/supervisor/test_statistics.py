"""What a tree tells of itself: sums that add up, and a picture of it."""

from __future__ import annotations

import gc
import weakref
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import Actor, act, boom
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import taken
from threadsup import Backoff, MailboxClosed, events, handler, stage, worker_spec
from threadsup._snapshot import Counts

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from threadsup import Supervisor


def assert_balanced(counts: Counts) -> None:
    outcomes = counts.handled + counts.failed + counts.undelivered + counts.pending
    assert counts.accepted == outcomes


def numbers(counts: Counts) -> dict[str, int]:
    return {field.name: getattr(counts, field.name) for field in fields(Counts)}


def test_a_tree_is_the_sum_of_its_workers(supervisor: MakeSupervisor) -> None:
    """Standalone, members and stages, across restarts; each message has one outcome (3.7)."""
    tree = supervisor(backoff=Backoff.none(), max_restarts=50).start()
    worker = tree.add_worker(handler(act), id="w")
    group = tree.add_group("g", [worker_spec(handler(act), id=key) for key in "ab"])
    chain = tree.add_chain("c", [stage(act, id="s1"), stage(act, id="s2")])
    sent = 0
    for message in ("x", boom, "y", boom, "z"):
        worker.tell(message)
        sent += 1 + group.broadcast(message)
        chain.tell(message)
        sent += 1
    assert chain.drain(PATIENCE)
    for ref in (worker, *map(group.worker, group)):
        assert ref.ask("done") == "done"
        sent += 1
    parts: list[Counts] = [worker.statistics(), group.statistics(), chain.statistics()]
    whole = tree.statistics()
    for each in (*parts, whole, *group.statistics().members.values()):
        assert_balanced(each)
    for name, value in numbers(whole).items():
        assert value == sum(getattr(part, name) for part in parts)
    assert numbers(group.statistics()) == {
        name: sum(getattr(each, name) for each in group.statistics().members.values())
        for name in numbers(whole)
    }
    through = chain.statistics().items.completed  # each of these was accepted by both stages
    assert whole.accepted == sent + through
    assert whole.failed == 8
    assert whole.pending == 0
    tree.stop()
    assert numbers(tree.statistics()) == numbers(whole)


@pytest.mark.parametrize("place", ["worker", "group"])
def test_what_was_queued_at_the_stop_is_undelivered(supervisor: MakeSupervisor, place: str) -> None:
    """For a temporary worker as well, which the tree has forgotten by then."""
    gate, tree = Gate(), supervisor().start()
    group = tree.add_group("g", [worker_spec(handler(act), id="kept")])
    parent: Any = tree if place == "worker" else group
    refs = [group["kept"], parent.add_worker(handler(act), id="temporary", restart="temporary")]
    for ref in refs:
        ref.tell(gate.meet)
    gate.wait_reached(2)
    for ref in refs:
        ref.tell("lost")
    for key in tree.children():
        tree._root.errand("stop_child", key)
    taken(tree)
    gate.open()
    assert tree.stop().undelivered == 2
    for ref in refs:
        assert_balanced(ref.statistics())
        assert ref.statistics().undelivered == 1
    assert len(tree.dead_letters()) == 2
    assert list(group) == ["kept"]


def test_counts_can_be_read_while_everything_moves(supervisor: MakeSupervisor) -> None:
    """No reader waits for the supervisor, not even for one that is busy (F67)."""
    gate, tree = Gate(), supervisor().start()
    ref = tree.add_worker(handler(act), id="w")
    tree._services.request(lambda _: gate.meet(), None)
    gate.wait_reached()
    ref.tell("x")
    assert ref.ask("y") == "y"
    assert tree.statistics().handled == 2
    assert tree.children() == ("w",)
    assert "up" in str(tree.tree())
    assert tree.failed() == ()
    assert len(tree.history()) == 2
    assert tree.dead_letters() == ()
    gate.open()


def test_what_is_in_hand_is_told(supervisor: MakeSupervisor) -> None:
    """Since when, in monotonic seconds; `None` without a message."""
    gate, tree = Gate(), supervisor().start()
    ref = tree.add_worker(handler(act))
    assert ref.statistics().in_hand_since is None
    ref.tell(gate.meet)
    gate.wait_reached()
    since = ref.statistics().in_hand_since
    assert since is not None
    assert since > 0
    gate.open()
    ref.ask(None)
    assert ref.statistics().in_hand_since is None


def test_zombies_are_counted_while_they_run(supervisor: MakeSupervisor) -> None:
    """Also after the end of the tree, when nobody is told any more."""
    gates = [Gate(), Gate()]
    tree = supervisor().start()
    for number, gate in enumerate(gates):
        ref = tree.add_worker(handler(act), id=number, shutdown=0.01)
        ref.tell(gate.meet)
        gate.wait_reached()
    tree.stop_child(0)
    assert tree.statistics().zombies == 1
    assert tree.stop().clean is False
    assert tree.statistics().zombies == 2
    threads = [life.thread for life in tree._services._zombies]
    for gate, thread in zip(gates, threads, strict=True):
        gate.open()
        assert thread is not None
        thread.join(PATIENCE)
    assert tree.statistics().zombies == 0


# -- the picture ------------------------------------------------------------------------


def test_a_tree_is_drawn(supervisor: MakeSupervisor) -> None:
    """One line for each child, member and stage, with its state and its rules."""
    tree = supervisor("app", auto_shutdown="all")
    tree.add_worker(handler(act), id="w")
    tree.add_worker(act, "x", id=("t", 1), significant=True)
    members = [worker_spec(Actor, id=1), worker_spec(handler(act), id=2, restart="temporary")]
    group = tree.add_group("g", members, strategy="rest_for_one")
    tree.add_chain("c", [stage(act, id="s")], significant=True)
    assert str(tree.tree()).splitlines() == [
        "supervisor app  new  (one_for_one, 3 restarts in 5 s, auto_shutdown=all)",
        "├─ handler w  new  (permanent, incarnation 0)",
        "├─ task ('t', 1)  new  (transient, incarnation 0, significant)",
        "├─ group g  new  (rest_for_one)",
        "│  ├─ worker 1  new  (permanent, incarnation 0)",
        "│  └─ handler 2  new  (temporary, incarnation 0)",
        "└─ chain c  new  (one_for_one, significant)",
        "   └─ stage s  new  (transient, incarnation 0)",
    ]
    tree.start()
    tree.worker(("t", 1)).wait(PATIENCE)
    tree.stop_child("w")
    group.stop_child(1)
    taken(tree)
    assert str(tree.tree()).splitlines() == [
        "supervisor app  up  (one_for_one, 3 restarts in 5 s, auto_shutdown=all)",
        "├─ handler w  held  (permanent, incarnation 1)",
        "├─ task ('t', 1)  ended  (transient, incarnation 1, significant)",
        "├─ group g  up  (rest_for_one)",
        "│  ├─ worker 1  held  (permanent, incarnation 1)",
        "│  └─ handler 2  up  (temporary, incarnation 1)",
        "└─ chain c  up  (one_for_one, significant)",
        "   └─ stage s  up  (transient, incarnation 1)",
    ]
    tree.stop()
    assert str(tree.tree()).startswith("supervisor app  down")
    assert repr(tree) == "<Supervisor 'app', down, 4 children>"


def test_a_child_in_a_pause_is_drawn_as_restarting(supervisor: MakeSupervisor) -> None:
    """Counted as a child and not as up; it recovers when starts work again (row 61)."""
    told: Recorder[events.Event] = Recorder()
    tree = supervisor().start()
    tree.subscribe(told)
    ref = tree.add_worker(handler(act), id="w", backoff=Backoff(1000.0, maximum=1000.0))
    for _ in range(2):
        ref.tell(boom)
    told.wait_until(lambda seen: any(isinstance(e, events.Restarting) and e.delay for e in seen))
    taken(tree)
    (node,) = tree.tree().children
    assert node.state == "restarting"
    tree.restart_child("w")
    (node,) = tree.tree().children
    assert node.state == "up"
    assert tree.failed() == ()


def test_a_child_that_gave_up_is_drawn_as_failed(supervisor: MakeSupervisor) -> None:
    """A group with its members under it, where they are known."""
    tree = supervisor().start()
    group = tree.add_group("g", [worker_spec(handler(act), id="m")], max_restarts=0)
    group.tell("m", boom)
    group["m"].wait(PATIENCE)
    taken(tree)
    (node,) = tree.tree().children
    assert (node.state, [child.state for child in node.children]) == ("failed", ["failed"])
    assert tree.failed() == ("g",)


# -- nothing is left --------------------------------------------------------------------


class Target:
    """Something a worker runs, that can be looked for after it is gone."""

    def __call__(self, message: Any) -> Any:
        return act(message)


def test_a_removed_child_leaves_nothing_behind(supervisor: MakeSupervisor) -> None:
    """Neither its target nor its mailbox, however it lived (F78)."""
    tree = supervisor(backoff=Backoff.none(), max_restarts=100).start()
    group = tree.add_group("g")
    seen = []
    for number in range(5):
        for place in (tree, group):
            target = Target()
            seen.append(weakref.ref(target))
            ref = place.add_worker(handler(target), id="w", time_limit=100.0)
            ref.monitor(lambda _: None)
            ref.tell(boom)
            assert ref.ask(number) == number
            place.remove_child("w")
            del target, ref
    temporary = Target()
    seen.append(weakref.ref(temporary))
    ref = tree.add_worker(handler(temporary), restart="temporary")
    ref.tell(boom)
    ref.wait(PATIENCE)
    del temporary, ref
    taken(tree)
    settled = tree.add_worker(handler(act))
    settled.ask(None)
    gc.collect()
    assert [found() for found in seen] == [None] * len(seen)
    assert set(tree._root._numbers) == {"g", settled.id}
    assert tree._services._promises == set()
    timers = tree._services.loop.timers
    assert timers.next() is None
    assert timers._heap == []


def test_many_restarts_leave_nothing_behind(supervisor: MakeSupervisor) -> None:
    """Incarnations, threads and timers are gone when they are over (F78)."""
    made: list[weakref.ref[Any]] = []

    class Counted(Actor):
        def __init__(self) -> None:
            super().__init__()
            made.append(weakref.ref(self))

    tree = supervisor(backoff=Backoff.none(), max_restarts=1000).start()
    ref = tree.add_worker(Counted, id="w")
    for _ in range(100):
        ref.tell(boom)
    assert ref.ask("alive") == "alive"
    taken(tree)  # its start, too, for which there was a timer
    gc.collect()
    assert len(made) == 101
    assert sum(found() is not None for found in made) <= 1
    assert tree._services.loop.timers._heap == []


@pytest.mark.parametrize("stopped", [True, False])
def test_a_tree_that_is_over_and_forgotten_is_gone(*, stopped: bool) -> None:
    """A handle that is dropped keeps nothing; one of a running tree is kept by it (F77)."""
    from threadsup import Supervisor, get  # noqa: PLC0415 - no handle is to be left here

    def make() -> tuple[weakref.ref[Supervisor], str]:
        tree = Supervisor()
        tree.add_worker(handler(act), id="w")
        tree.start()
        if stopped:
            tree.stop()
        return weakref.ref(tree), tree.name

    found, name = make()
    gc.collect()
    if stopped:
        assert found() is None
    else:
        tree = get(name)
        assert tree is found()
        ref = tree.worker("w")
        tree.stop()
        with pytest.raises(MailboxClosed):
            ref.tell("late")


def test_what_replicas_and_stages_that_have_left_did_is_still_counted(
    supervisor: MakeSupervisor,
) -> None:
    """The sums of a tree do not fall when a chain is resized or loses a stage."""
    sup = supervisor().start()
    chain = sup.add_chain("c", [stage(str, id="a", workers=3), stage(len, id="b")])
    for item in range(30):
        chain.tell(item)
    assert chain.drain(PATIENCE)
    before = sup.statistics()
    assert (before.accepted, before.handled) == (60, 60)
    chain.resize("a", 1)
    chain.remove_stage("b")
    assert sup.statistics() == before
