"""Counts, trees and reports are values: sums, pictures, sentences."""

from __future__ import annotations

import dataclasses

import pytest

from threadsup import Items, Node, ScopeStatistics, SupervisorStatistics, WorkerStatistics
from threadsup._snapshot import Counts, total


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


def test_values_do_not_change() -> None:
    """Somebody may keep them."""
    for value in (WorkerStatistics(), ScopeStatistics(), Items(), Node("group", "g", "up")):
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
