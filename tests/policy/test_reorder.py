"""Putting back in order: values are given out as soon as they are certain, and forgotten."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from threadsup._policy.reorder import Path, Reorder

Step = tuple[Any, ...]


def given(order: Reorder[Any]) -> list[Any]:
    """Take out what is ready."""
    taken = list(order.ready)
    order.ready.clear()
    return taken


def test_what_comes_in_order_is_given_at_once() -> None:
    """A value that is due is ready when it comes, and nothing is held."""
    order: Reorder[str] = Reorder()
    for number, value in enumerate("abc"):
        order.put((number,), value)
        assert given(order) == [value]
        assert order.number == number + 1
    assert order.held == 0


def test_what_comes_too_early_is_held_back() -> None:
    """Values wait for those before them, and then come all at once."""
    order: Reorder[str] = Reorder()
    order.put((2,), "c")
    order.put((1,), "b")
    assert given(order) == []
    assert order.held == 2
    order.put((0,), "a")
    assert given(order) == ["a", "b", "c"]
    assert order.held == 0


def test_a_value_that_is_due_may_be_passed_by() -> None:
    """A step takes the item that is due as through, and what was held behind it is ready."""
    order: Reorder[str] = Reorder()
    order.step()
    assert order.number == 1
    order.put((2,), "c")
    order.step()
    assert given(order) == ["c"]
    assert order.number == 3


def test_a_step_comes_to_an_item_that_was_opened() -> None:
    """The first child is due after a step to an item that has become many."""
    order: Reorder[str] = Reorder()
    order.opened((1,))
    order.put((1, 0), "b")
    order.step()
    assert given(order) == ["b"]


def test_children_stand_in_the_place_of_what_they_come_from() -> None:
    """The values of an item that became many come between its neighbours."""
    order: Reorder[str] = Reorder()
    order.put((2,), "d")
    order.opened((1,))
    order.put((1, 1), "c")
    order.closed((1,), 2)
    order.put((0,), "a")
    assert given(order) == ["a"]
    order.put((1, 0), "b")
    assert given(order) == ["b", "c", "d"]


def test_a_child_need_not_wait_for_the_number_of_its_siblings() -> None:
    """Children are given out while more of them may come; what is behind them is not."""
    order: Reorder[str] = Reorder()
    order.opened((0,))
    order.put((1,), "z")
    order.put((0, 0), "a")
    order.put((0, 1), "b")
    assert given(order) == ["a", "b"]
    assert order.number == 0
    order.closed((0,), 2)
    assert given(order) == ["z"]
    assert order.number == 2


@pytest.mark.parametrize("first", ["opened", "other"])
def test_an_item_that_became_nothing_holds_up_nobody(first: str) -> None:
    """A path that is closed with no child is through, whether it is due already or not."""
    order: Reorder[str] = Reorder()
    if first == "opened":
        order.opened((0,))
    order.put((1,), "b")
    if first == "other":
        order.opened((0,))
    order.closed((0,), 0)
    assert given(order) == ["b"]


def test_nesting_is_followed_to_any_depth() -> None:
    """The last child of a last child leads back to the next item."""
    order: Reorder[str] = Reorder()
    order.put((1,), "z")
    path: Path = (0,)
    for _ in range(5):
        order.opened(path)
        path = (*path, 0)
    order.put(path, "a")
    for depth in range(1, 6):
        assert given(order) == (["a"] if depth == 1 else [])
        order.closed((0,) * depth, 1)
    assert given(order) == ["z"]


def tree_of(random: Random) -> tuple[list[Step], list[Path]]:
    """Return the steps of some items that become many, in order, and the paths of values."""
    steps: list[Step] = []
    values: list[Path] = []

    def grow(path: Path, depth: int) -> None:
        if depth == 0 or random.random() < 0.5:
            steps.append(("put", path))
            values.append(path)
            return
        children = random.choice((0, 0, 1, 2, 3, 8))
        steps.append(("opened", path))
        for number in range(children):
            grow((*path, number), depth - 1)
        steps.append(("closed", path, children))

    for number in range(random.randint(1, 12)):
        grow((number,), 3)
    return steps, values


def shuffled(steps: list[Step], random: Random) -> list[Step]:
    """Return the steps in some order in which a path opens before what is below it."""
    ranks = {step: random.random() for step in steps}
    for step in steps:  # parents come first here
        above = ("opened", step[1][:-1] if step[0] != "closed" else step[1])
        ranks[step] = max(ranks[step], ranks.get(above, 0.0) + 1e-9)
    return sorted(steps, key=ranks.__getitem__)


def certain(done: set[Step], counts: dict[Path, int]) -> list[Path]:
    """Return by brute force what is certain to come first after these steps."""
    found: list[Path] = []

    def walk(path: Path) -> bool:
        if ("put", path) in done:
            found.append(path)
            return True
        if ("opened", path) not in done:
            return False
        number = 0
        while walk((*path, number)):
            number += 1
        return ("closed", path, number) in done and counts[path] == number

    number = 0
    while walk((number,)):
        number += 1
    return found


@pytest.mark.parametrize("seed", range(60))
def test_any_tree_in_any_order_comes_out_sorted(seed: int) -> None:
    """At each step exactly what is certain is out, in the end all, sorted, and nothing is kept."""
    random = Random(seed)
    steps, values = tree_of(random)
    counts = {step[1]: step[2] for step in steps if step[0] == "closed"}
    order: Reorder[Path] = Reorder()
    out: list[Path] = []
    done: set[Step] = set()
    for step in shuffled(steps, random):
        if step[0] == "put" and step[1] == (order.number,) and step[1] > (0,):
            order.step()  # as who needs no holding may
            out.append(step[1])
        elif step[0] == "put":
            order.put(step[1], step[1])
        elif step[0] == "opened":
            order.opened(step[1])
        else:
            order.closed(*step[1:])
        out += given(order)
        done.add(step)
        assert out == certain(done, counts)
    assert out == sorted(values)
    assert order.held == 0
    assert order._open == {}
