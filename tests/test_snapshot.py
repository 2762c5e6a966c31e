"""Counts, trees and reports are values: sums, pictures, sentences."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from threadsup import (
    ChainStatistics,
    Items,
    Node,
    ReplicaStatistics,
    ScopeStatistics,
    StageStatistics,
    SupervisorStatistics,
    Times,
    WorkerStatistics,
)
from threadsup._snapshot import Counts, times, total

if TYPE_CHECKING:
    from threadsup._exits import ChildId


def test_a_total_is_the_sum_of_each_number() -> None:
    """Whatever else the parts have to tell."""
    parts = [
        WorkerStatistics(accepted=5, handled=3, failed=1, undelivered=1, restarts=2, retried=9),
        WorkerStatistics(accepted=7, handled=6, pending=1, in_hand_since=1.5),
    ]
    assert total(parts) == {
        "accepted": 12,
        "handled": 9,
        "failed": 1,
        "undelivered": 1,
        "pending": 1,
        "restarts": 2,
    }
    assert Counts(**total([])) == Counts()
    assert SupervisorStatistics(**total(parts), zombies=1).accepted == 12


def test_a_stage_counts_as_a_worker_does_and_tells_of_its_replicas() -> None:
    """What could be read of a stage that was one worker can be read of it now."""
    replicas: dict[ChildId, ReplicaStatistics] = {
        ("s", 0): ReplicaStatistics(accepted=3, handled=3, retried=1, service=Times(3, 0.1)),
        ("s", 1): ReplicaStatistics(accepted=2, failed=2, in_hand_since=2.0),
    }
    sums: dict[str, Any] = dict(total(replicas.values()))
    stage = StageStatistics(**sums, retried=1, in_hand_since=2.0, replicas=replicas)
    for name in (each.name for each in dataclasses.fields(WorkerStatistics)):
        assert hasattr(stage, name)
    assert isinstance(replicas["s", 0], WorkerStatistics)
    chain = ChainStatistics(**sums, stages={"s": stage})
    assert (chain.accepted, chain.stages["s"].handled) == (5, 3)
    assert chain.stages["s"].replicas["s", 1].in_hand_since == 2.0
    assert stage.service == stage.queue == Times() == Times(0, 0.0, 0.0, 0.0)
    assert times((4, 0.5, 0.25, 1.0)) == Times(count=4, mean=0.5, p50=0.25, p99=1.0)


def test_values_do_not_change() -> None:
    """Somebody may keep them."""
    for value in (
        WorkerStatistics(),
        ReplicaStatistics(),
        StageStatistics(),
        ScopeStatistics(),
        Times(),
        Items(),
        Node("group", "g", "up"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, dataclasses.fields(value)[0].name, 1)


def test_a_node_draws_itself_and_what_is_below() -> None:
    """Each level is joined to the one above it; siblings go on, the last one ends."""
    leaf = Node("handler", ("m", 1), "up", "permanent")
    tree = Node(
        "supervisor",
        "app",
        "up",
        "",
        (
            Node("group", "g", "up", "one_for_all", (leaf, leaf)),
            Node("chain", "c", "failed", "", (Node("stage", "s", "ended"),)),
        ),
    )
    assert str(tree).splitlines() == [
        "supervisor app  up",
        "├─ group g  up  (one_for_all)",
        "│  ├─ handler ('m', 1)  up  (permanent)",
        "│  └─ handler ('m', 1)  up  (permanent)",
        "└─ chain c  failed",
        "   └─ stage s  ended",
    ]
