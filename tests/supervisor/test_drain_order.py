"""Draining chains that feed each other: each before those that it feeds, and none in vain."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import run_program
from threadsup import Chain, Supervisor, stage
from threadsup._chain import fed_by, upstream_first
from threadsup._runtime import process

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor


def same(item: Any) -> Any:
    return item


def hold(item: Any, gate: Gate) -> Any:
    gate.meet()
    return item


def chains_of(tree: Supervisor, order: str, gate: Gate | None = None) -> dict[str, Chain]:
    """Add a chain for each letter; the first stage of `a` meets the gate."""
    return {
        key: tree.add_chain(
            key,
            [stage(hold, gate) if gate and key == "a" else stage(same), stage(same, id="last")],
        )
        for key in order
    }


def ids(chains: Any) -> str:
    return "".join(str(chain.id) for chain in chains)


# -- the order --------------------------------------------------------------------------


def test_chains_without_links_stay_in_their_order() -> None:
    """Whichever that is."""
    made = chains_of(Supervisor(), "abcd")
    for order in permutations("abcd", 3):
        assert ids(upstream_first(made[key] for key in order)) == "".join(order)
    assert upstream_first([]) == []


def test_each_comes_before_those_that_it_feeds() -> None:
    """In a line, where they part and where they meet; also by way of one that is not asked for."""
    made = chains_of(Supervisor(), "abcde")
    made["a"].to(made["b"], made["c"], by=same)
    made["b"].to(made["d"])
    made["c"].to(made["d"])
    for order in permutations("abcde"):
        found = ids(upstream_first(made[key] for key in order))
        assert sorted(found) == [*"abcde"]
        for first, second in ("ab", "ac", "bd", "cd"):
            assert found.index(first) < found.index(second), found
    assert ids(upstream_first([made["d"], made["e"], made["a"]])).replace("e", "") == "ad"
    assert {*ids(fed_by([made["b"], made["c"]]))} == {"d"}
    assert {*ids(fed_by([made["a"]]))} == {"b", "c", "d"}


def test_a_long_line_is_no_deep_one() -> None:
    """More chains than Python calls functions within each other, each feeding the next."""
    tree = Supervisor()
    made = [tree.add_chain(number, [stage(same)]) for number in range(1_100)]
    for first, second in pairwise(made):
        first.to(second)
    assert upstream_first(reversed(made)) == made
    assert made[0].leads_to(made[-1])


# -- stopping a tree --------------------------------------------------------------------


@pytest.mark.parametrize("order", [*map("".join, permutations("abc"))])
def test_a_drain_loses_nothing_in_whatever_order_chains_were_declared(
    supervisor: MakeSupervisor, order: str
) -> None:
    """What the first of them holds when it begins comes out at the last."""
    gate, got = Gate(), Recorder[int]()
    tree = supervisor().start()
    made = chains_of(tree, order, gate)
    made["a"].to(made["b"])
    made["b"].to(made["c"])
    made["c"].tap(got)
    for item in range(20):
        made["a"].tell(item)
    gate.wait_reached()
    tree._services.side.do(gate.open)
    report = tree.stop(drain=True)
    assert got.items == [*range(20)]
    assert (report.clean, report.undelivered) == (True, 0)
    for chain in made.values():
        found = chain.statistics().items
        assert (found.offered, found.completed) == (20, 20)


def test_a_drain_follows_links_and_else_the_order_of_stopping(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is shut before those that it feeds; those without links in reverse."""
    tree, shut = supervisor().start(), list[Any]()
    made = chains_of(tree, "abcdef")
    made["b"].to(made["e"])
    made["e"].to(made["d"])
    shutting = Chain.shut

    def note(self: Chain) -> None:
        shut.append(self)
        shutting(self)

    monkeypatch.setattr(Chain, "shut", note)
    tree.stop(drain=True)
    found = ids(shut)
    assert sorted(found) == [*"abcdef"]
    assert found.replace("b", "").replace("e", "").replace("d", "") == "fca"
    assert [key for key in found if key in "bed"] == [*"bed"]


def test_a_drain_waits_for_what_comes_back_from_another_tree(supervisor: MakeSupervisor) -> None:
    """From a chain by way of another tree to a chain: that one is shut when all has come."""
    gate, got = Gate(), Recorder[int]()
    tree, other = supervisor().start(), supervisor().start()
    made = chains_of(tree, "ca")
    between = other.add_chain("x", [stage(hold, gate), stage(same, id="last")])
    made["a"].to(between)
    between.to(made["c"])
    made["c"].tap(got)
    for item in range(20):
        made["a"].tell(item)
    gate.wait_reached()
    tree._services.side.do(gate.open)
    assert tree.stop(drain=True).undelivered == 0
    assert got.items == [*range(20)]
    between.tell(99)  # that one runs; the chain behind it has ended
    assert between.drain(PATIENCE)
    assert [letter.message for letter in tree.dead_letters()] == [99]


@pytest.mark.parametrize("state", ["paused", "held"])
def test_a_drain_does_not_wait_for_another_tree_that_stands_still(
    supervisor: MakeSupervisor, state: str
) -> None:
    """What is there when nothing moves there does not come back."""
    tree, other = supervisor().start(), supervisor().start()
    made = chains_of(tree, "ac")
    (between,) = chains_of(other, "x").values()
    made["a"].to(between)
    between.to(made["c"])
    if state == "paused":
        between.pause()
        made["a"].tell(1)
    else:
        other.stop_child("x")
    assert tree.stop(drain=True).clean


def test_a_drain_passes_over_a_chain_that_is_held_between_two(supervisor: MakeSupervisor) -> None:
    """What the one before it makes is undelivered there, and the drain comes to its end."""
    tree = supervisor().start()
    made = chains_of(tree, "abc")
    made["a"].to(made["b"])
    made["b"].to(made["c"])
    tree.stop_child("b")
    made["a"].tell(1)
    report = tree.stop(drain=True)
    assert (report.clean, report.undelivered) == (True, 1)


# -- the end of the process -------------------------------------------------------------


class Tree:
    """What the exit hook needs of a tree."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fed: list[Tree] = []

    def feeds(self) -> list[Tree]:
        return self.fed

    def leave_process(self) -> None:
        raise NotImplementedError

    mark_forked = leave_process


@pytest.mark.parametrize(
    ("links", "order"),
    [
        ("", "abcd"),
        ("ba", "bacd"),
        ("da db dc", "dabc"),
        ("dc cb ba", "dcba"),
        ("ab ba", "cdab"),
        ("ab ba dc", "dcab"),
        ("dd", "abcd"),
    ],
)
def test_trees_that_feed_others_leave_first(links: str, order: str) -> None:
    """Else in the order they were in, as where two feed each other."""
    trees = {name: Tree(name) for name in "abcd"}
    for link in links.split():
        trees[link[0]].fed.append(trees[link[1]])
    found = process._feeding_first([*trees.values()])
    assert "".join(tree.name for tree in found) == order


def test_the_end_of_the_process_drains_a_tree_before_those_it_feeds() -> None:
    """Whichever was started first, and by way of a third one."""
    done = run_program(
        """
import atexit, threading
from threadsup import Supervisor, stage

entered, go = threading.Event(), threading.Event()
trees = [Supervisor(name, on_exit="drain").start() for name in ("one", "two", "three")]

def slow(item):
    entered.set()
    go.wait()
    return item

def show(item):
    print(item, flush=True)

one, two, three = (
    tree.add_chain("c", [stage(fn)], capacity=1)
    for tree, fn in zip(trees, (slow, lambda item: item, show))
)
one.to(two)
two.to(three)
for item in range(2):
    one.tell(item)
entered.wait()
atexit.register(go.set)  # runs before the trees are stopped
"""
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["0", "1"], "")
