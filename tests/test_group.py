"""A group: members that share a fate, and messages to one, to any, to all."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import Actor, act, boom
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import outcome, taken, together
from threadsup import (
    Backoff,
    Crashed,
    MailboxClosed,
    MailboxFull,
    NotRunningError,
    SpecError,
    Supervisor,
    UnknownChildError,
    current,
    handler,
    worker_spec,
)

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from threadsup import Group


def members(*keys: Any, **options: Any) -> list[Any]:
    """Describe members that do what they are sent."""
    return [worker_spec(handler(act), id=key, **options) for key in keys]


def who() -> Any:
    """Return the id of the worker that runs this."""
    context = current()
    assert context is not None
    return context.id


# -- members ----------------------------------------------------------------------------


def test_a_group_is_a_collection_of_its_members(supervisor: MakeSupervisor) -> None:
    """Ids in start order; `len`, `in`, `[id]`."""
    tree = supervisor().start()
    group = tree.add_group("g", members("b", 1, ("a", 2)))
    assert list(group) == ["b", 1, ("a", 2)] == list(group.children())
    assert len(group) == 3
    assert "b" in group
    assert "x" not in group
    assert group["b"] is group.worker("b")
    assert group["b"].id == "b"
    assert (group.id, group.spec.strategy) == ("g", "one_for_all")
    assert repr(group) == "<Group 'g', 3 members>"
    strangers: list[Any] = ["x", [], None]
    for key in strangers:
        with pytest.raises(UnknownChildError, match="group 'g' has no member"):
            group.worker(key)


def test_an_empty_group_waits_for_members(supervisor: MakeSupervisor) -> None:
    """It is up, takes nothing, and reaches nobody."""
    tree = supervisor().start()
    group = tree.add_group("g")
    assert group.broadcast("x") == 0
    for routing in ("round_robin", "random", "least_loaded"):
        with pytest.raises(MailboxClosed, match="no member of group 'g' takes messages"):
            group.tell_any("x", routing)
    with pytest.raises(UnknownChildError):
        group.tell("w", "x")
    group.add_worker(handler(act), id="w")
    assert group.broadcast("x") == 1


def test_a_member_added_late_starts_at_once_and_comes_last(supervisor: MakeSupervisor) -> None:
    """In a restart of the whole it starts after the others."""
    log: Recorder[str] = Recorder()

    def noted(key: str) -> Any:
        return {"kwargs": {"start": lambda: log(f"+{key}"), "stop": lambda: log(f"-{key}")}}

    tree = supervisor(backoff=Backoff.none()).start()
    group = tree.add_group("g", [worker_spec(Actor, id="a", **noted("a"))])
    late = group.add_worker(Actor, id="b", **noted("b"))
    assert late.is_alive()
    group.tell("a", boom)
    assert group.ask("a", 1) == 1
    assert late.ask("again") == "again"
    assert log.items == ["+a", "+b", "-b", "+a", "+b"]


def test_a_member_has_no_options_of_a_scope(supervisor: MakeSupervisor) -> None:
    """Budget, escalation and significance are the group's."""
    group = supervisor().start().add_group("g")
    wrong: list[dict[str, Any]] = [
        {"max_restarts": 1},
        {"max_seconds": 1.0},
        {"backoff": Backoff()},
        {"escalate": True},
        {"significant": True, "restart": "transient"},
    ]
    for options in wrong:
        with pytest.raises(SpecError, match="group or chain as a whole"):
            group.add_worker(handler(act), **options)
        with pytest.raises(SpecError, match=r"members\[0\]"):
            Supervisor().add_group("h", [worker_spec(handler(act), **options)])
    assert len(group) == 0


def test_the_member_that_caused_a_restart_may_be_removed_in_it(supervisor: MakeSupervisor) -> None:
    """It is gone, the others come back (F66)."""
    gate = Gate()
    tree = supervisor(backoff=Backoff(0.01, jitter=0.0)).start()
    group = tree.add_group("g", members("a", "b"), strategy="one_for_all")

    group.tell("b", gate.meet)
    gate.wait_reached()
    group.tell("a", boom)  # b is asked to stop and stands
    down: Recorder[Any] = Recorder()
    group["a"].monitor(down)
    down.wait_for(1)
    removal = group.scope.errand("remove_child", "a")
    taken(tree)
    gate.open()
    removal.result(PATIENCE)
    assert group.ask("b", "back") == "back"
    assert list(group) == ["b"]
    assert group["b"].incarnation == 2


def test_a_member_added_in_a_restart_starts_in_its_place(supervisor: MakeSupervisor) -> None:
    """After those declared before it, when they are up again."""
    gate, added = Gate(), Recorder[Any]()
    tree = supervisor(backoff=Backoff.none()).start()
    group = tree.add_group("g", members("a", "b"), strategy="one_for_all")
    group.tell("b", gate.meet)
    gate.wait_reached()
    down: Recorder[Any] = Recorder()
    group["a"].monitor(down)
    group.tell("a", boom)
    down.wait_for(1)
    tree._services.side.do(lambda: added(group.add_worker(handler(act), id="late").is_alive()))
    taken(tree)
    gate.open()
    assert added.wait_for(1) == [True]
    assert [group[key].incarnation for key in group] == [2, 2, 1]


# -- messages ---------------------------------------------------------------------------


def test_one_member_is_told_and_asked(supervisor: MakeSupervisor) -> None:
    """By id, with every way of a ref."""
    tree = supervisor().start()
    group = tree.add_group("g", members("a", "b"))
    got: Recorder[Any] = Recorder()
    group.tell("a", lambda: got(who()))
    group.tell_nowait("b", lambda: got(who()))
    assert sorted(got.wait_for(2)) == ["a", "b"]
    assert group.ask("a", who) == "a"
    assert group.ask("b", who, timeout=PATIENCE) == "b"
    assert group.ask("b", who, block=False).result(PATIENCE) == "b"
    for call in (group.tell, group.tell_nowait, group.ask):
        with pytest.raises(UnknownChildError):
            call("x", 1)


def test_a_broadcast_reaches_all_who_have_room_and_run(supervisor: MakeSupervisor) -> None:
    """The speaker too; it says how many, and never waits."""
    gate, got = Gate(), Recorder[Any]()
    tree = supervisor().start()
    group = tree.add_group("g", members("a", "b"), strategy="one_for_one")
    group.add_worker(handler(act), id="full", capacity=1)
    group.add_worker(handler(act), id="held")
    group.stop_child("held")
    group.tell("full", gate.meet)
    gate.wait_reached()
    group.tell("full", None)

    def speak() -> int:
        context = current()
        assert context is not None
        reached: int = context.group.broadcast(lambda: got(who()))
        return reached

    assert group.ask("a", speak) == 2
    assert sorted(got.wait_for(2)) == ["a", "b"]
    gate.open()


def test_round_robin_takes_turns(supervisor: MakeSupervisor) -> None:
    """It passes over members that are full or have ended, and goes on behind the last."""
    tree = supervisor().start()
    group = tree.add_group("g", members("a", "b", "c"), strategy="one_for_one")
    assert [group.tell_any(None) for _ in range(5)] == ["a", "b", "c", "a", "b"]
    group.stop_child("c")
    assert [group.tell_any(None) for _ in range(3)] == ["a", "b", "a"]
    group.remove_child("a")
    assert [group.tell_any(None, "round_robin") for _ in range(2)] == ["b", "b"]


def test_any_member_may_be_chosen_at_random(supervisor: MakeSupervisor) -> None:
    """Every one of them gets some."""
    random.seed(0)
    tree = supervisor().start()
    group = tree.add_group("g", members("a", "b", "c"))
    chosen = Counter(group.tell_any(None, routing="random") for _ in range(300))
    assert set(chosen) == {"a", "b", "c"}
    assert min(chosen.values()) > 50


def test_the_least_loaded_member_is_chosen(supervisor: MakeSupervisor) -> None:
    """By what is queued."""
    gate = Gate()
    tree = supervisor().start()
    group = tree.add_group("g", members("a", "b"))
    for key in group:
        group.tell(key, gate.meet)
    gate.wait_reached(2)
    for _ in range(3):
        group.tell("a", None)
    assert [group.tell_any(None, "least_loaded") for _ in range(3)] == ["b"] * 3
    gate.open()


def test_a_partition_is_always_the_same_member(supervisor: MakeSupervisor) -> None:
    """By key, stably; it waits for nobody else when that one is full or down."""
    gate = Gate()
    tree = supervisor().start()
    group = tree.add_group(
        "g", members("a", "b", capacity=2, on_full="raise"), strategy="one_for_one"
    )
    keys: list[Any] = ["user-1", b"user-2", 3, ("user", 4)]
    homes = {}
    for key in keys:
        homes[key] = group.tell_any(None, "partition", key=key)
        group.ask(homes[key], None)
        assert group.tell_any(None, "partition", key=key) == homes[key]
        group.ask(homes[key], None)
    key = keys[0]
    group.tell(homes[key], gate.meet)
    gate.wait_reached()
    group.tell(homes[key], None)
    group.tell(homes[key], None)
    with pytest.raises(MailboxFull):
        group.tell_any(None, "partition", key=key)
    stopping = group[homes[key]].stop(block=False)
    taken(tree)
    with pytest.raises(MailboxClosed):
        group.tell_any(None, "partition", key=key)
    gate.open()
    assert stopping.result(PATIENCE)


def test_a_full_group_is_full(supervisor: MakeSupervisor) -> None:
    """Nobody has room: that is another error than nobody running."""
    gate = Gate()
    tree = supervisor().start()
    group = tree.add_group("g", members("a", "b", capacity=1), strategy="one_for_one")
    for key in group:
        group.tell(key, gate.meet)
    gate.wait_reached(2)
    assert group.broadcast(None) == 2
    for routing in ("round_robin", "random", "least_loaded"):
        with pytest.raises(MailboxFull, match="no member of group 'g' has room"):
            group.tell_any(None, routing)
    gate.open()


@pytest.mark.parametrize(
    ("routing", "key"),
    [("nearest", {}), ("partition", {}), ("random", {"key": 1}), (None, {})],
)
def test_a_routing_that_makes_no_sense_is_refused(
    supervisor: MakeSupervisor, routing: Any, key: dict[str, Any]
) -> None:
    """Unknown, without its key, with one too many; and a key that cannot be hashed stably."""
    group = supervisor().start().add_group("g", members("a"))
    with pytest.raises(SpecError):
        group.tell_any("x", routing, **key)
    with pytest.raises(TypeError, match="a key must be a str"):
        group.tell_any("x", "partition", key=1.5)
    assert group.statistics().accepted == 0


def test_senders_at_once_reach_every_member(supervisor: MakeSupervisor) -> None:
    """Eight threads take turns as well as one: nothing is lost, nobody left out."""
    tree = supervisor().start()
    group = tree.add_group("g", members(*range(4)))
    together(8, lambda _: [group.tell_any(None) for _ in range(50)])
    for key in group:
        group.ask(key, None)
    counts = group.statistics()
    assert counts.handled == 404
    assert all(each.handled > 1 for each in counts.members.values())


# -- a shared fate ----------------------------------------------------------------------


def test_a_crash_takes_all_and_their_mailboxes_stay(supervisor: MakeSupervisor) -> None:
    """`one_for_all`, the default: one restart of the budget, queued messages are handled."""
    gate = Gate()
    tree = supervisor(backoff=Backoff.none(), max_restarts=1).start()
    group = tree.add_group("g", members("a", "b"))
    group.tell("a", gate.meet)
    gate.wait_reached()
    kept = [group.ask("a", who, block=False), group.ask("b", who, block=False)]
    group.tell("b", boom)
    gate.open()
    assert [future.result(PATIENCE) for future in kept] == ["a", "b"]
    assert group.ask("a", who) == "a"
    assert group.ask("b", who) == "b"
    assert {group[key].incarnation for key in group} == {2}
    assert tree.failed() == ()


def test_a_group_past_its_budget_is_over(supervisor: MakeSupervisor) -> None:
    """All members end for good; it refuses everything and can be started again by hand."""
    tree = supervisor().start()
    group = tree.add_group("g", members("a", "b"), max_restarts=0)
    queued = group.ask("a", boom, block=False)
    assert type(outcome(queued.result, PATIENCE)).__name__ == "Boom"
    assert isinstance(group["a"].wait(PATIENCE), Crashed)
    group["b"].wait(PATIENCE)
    taken(tree)
    assert tree.failed() == ("g",)
    with pytest.raises(MailboxClosed):
        group.tell("b", 1)
    assert group.broadcast(1) == 0
    with pytest.raises(NotRunningError, match="'g' is not running"):
        group.add_worker(handler(act))
    tree.restart_child("g")
    assert group.ask("b", who) == "b"


def test_statistics_are_sums_and_parts(supervisor: MakeSupervisor) -> None:
    """Of the members there are."""
    tree = supervisor(backoff=Backoff.none()).start()
    group: Group = tree.add_group("g", members("a", "b"), strategy="one_for_one")
    for message in (1, 2, boom):
        group.tell("a", message)
    assert group.ask("a", 3) == 3
    assert group.ask("b", 4) == 4
    counts = group.statistics()
    assert (counts.accepted, counts.handled, counts.failed, counts.restarts) == (5, 4, 1, 1)
    assert counts.members["b"].handled == 1
    group.remove_child("a")
    assert group.statistics().accepted == 1
