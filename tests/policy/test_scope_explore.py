"""Every order of events, for a few children: what must hold holds in each state.

Breadth first over the machine and a model of its host. Two states that differ only in
what no rule can see (numbers of lives, absolute time) are one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from tests.policy.fakes import BOOM, STRATEGIES, child, rules
from tests.policy.model import MOST, WINDOW, Case, World, after, busy, follow, moves
from threadsup._policy.backoff import Backoff
from threadsup._policy.endings import Endings
from threadsup._policy.protocol import (
    Exited,
    Request,
)
from threadsup._policy.scope import new_scope, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId
    from threadsup._policy.book import Child
    from threadsup._policy.protocol import (
        ChildRules,
    )
    from threadsup._policy.restart import RestartRule, Strategy

Key: TypeAlias = "tuple[Any, ...]"


def signature(world: World) -> Key:
    """Return what of a world can still make a difference."""
    scope, now = world.scope, world.now

    def ahead(at: float) -> float:
        return at if at in {inf, -inf} else max(0.0, round(at - now, 3))

    def ago(at: float) -> float:
        return inf if at == -inf else min(round(now - at, 3), WINDOW + 0.5)

    def more(c: Child) -> Key:
        return (c.draining, c.interrupted, c.retired, tuple(errand.verb for errand in c.errands))

    children = tuple(
        (key, c.rules.restart, c.condition, c.fate, ahead(c.due), c.incarnation == 0, *more(c))
        for key, c in scope.children.items()
    )
    plan = (scope.phase, scope.to_stop, frozenset(scope.awaited), scope.to_start, scope.launching)
    pause = (scope.paused, min(scope.streak, 2), ago(scope.last_restart))
    budget = tuple(ago(at) for at in scope.intensity.history)
    marks = (
        scope.by == inf,
        scope.hurried,
        scope.holding,
        scope.overran,
        scope.gave_up,
        scope.came_up,
    )
    end = (*marks, scope.fate, tuple(key for key, _ in scope.pending))
    timers = frozenset((key, ahead(at)) for key, (_, at) in world.timers.items())
    seen = (len(world.waiting), world.anchor, world.started, world.asked)
    left = (world.faults, world.errands, world.stops, world.starts, world.quiet)
    return (children, plan, pause, budget, end, timers, seen, left)


def explore(case: Case) -> tuple[int, int]:
    """Visit every state that a case can come to; return how many, and how many moves."""
    scope = new_scope(case.rules, case.children)
    world = World(
        scope,
        now=0.0,
        lives={},
        timers={},
        faults=case.faults,
        errands=case.errands,
        starts=case.starts,
        stops=case.stops,
        quiet=1,
    )
    world = after(world, (Request("start"), {}, True))
    seen = {signature(world): 0}
    good: list[list[int]] = [[]]
    todo, steps = deque([(0, world)]), 0
    while todo:
        at, world = todo.popleft()
        nothing_changes_by_old_lives(world)
        for move in moves(world, case):
            steps += 1
            follows = follow(world, move)
            where = seen.setdefault(signature(follows), len(seen))
            if where == len(good):
                good.append([])
                todo.append((where, follows))
            if move[2]:
                good[at].append(where)
        if not good[at]:
            assert world.scope.phase in {"up", "down"}, "nothing more to come, and not there yet"
            assert not busy(world.scope)
            assert not world.waiting
    assert ends_well(good)
    return len(seen), steps


def nothing_changes_by_old_lives(world: World) -> None:
    """S7: what earlier lives report leaves the state as it is."""
    for key, known in world.scope.children.items():
        event = Exited(key, known.incarnation - known.live, BOOM)
        assert step(world.scope, event, world.now) == (world.scope, []), "S7"


def ends_well(good: list[list[int]]) -> bool:
    """Whether a world in which all goes well comes to rest from every state: no circle."""
    into = [0] * len(good)
    for follows in good:
        for where in follows:
            into[where] += 1
    free = [at for at, count in enumerate(into) if not count]
    ordered = 0
    while free:
        ordered += 1
        for where in good[free.pop()]:
            into[where] -= 1
            if not into[where]:
                free.append(where)
    return ordered == len(good)


def case(
    strategy: Strategy,
    mix: str,
    *,
    faults: int,
    errands: int = 0,
    starts: int = 0,
    stops: int = 1,
    **more: Any,
) -> Case:
    """Return a case: `mix` names the restart types of a, b and c by their letters.

    Or, with replicas, of a0, a1, b0 and b1.
    """
    letters: dict[str, RestartRule] = {"p": "permanent", "t": "transient", "x": "temporary"}
    pauses = Backoff(1.0, 1.0, 1.0, 0.0)
    scope = rules(strategy, max_restarts=MOST, max_seconds=WINDOW, backoff=pauses, **more)
    alone = len(mix) == 3
    limits = {"significant": True, "shutdown": 1.0, "start_timeout": 1.0}
    children: dict[ChildId, ChildRules] = {
        key: child(letters[letter], place=None if alone else key[0], **limits)
        for key, letter in zip("abc" if alone else REPLICAS, mix, strict=True)
    }
    given = Case(scope, children, faults, errands, starts, stops)
    return given if alone else replace(given, target="a1", added="a2")


REPLICAS = ("a0", "a1", "b0", "b1")

CASES = {
    "one for one": case("one_for_one", "ppp", faults=2),
    "one for all": case("one_for_all", "ppp", faults=2),
    "rest for one": case("rest_for_one", "ppp", faults=2),
    "one for one, by hand": case("one_for_one", "ptx", faults=1, errands=1),
    "one for all, by hand": case("one_for_all", "ptx", faults=1, errands=1),
    "rest for one, by hand": case("rest_for_one", "xtp", faults=1, errands=1),
    "a group": case("one_for_all", "ptx", faults=2, stop="together"),
    "a chain": case("rest_for_one", "ttt", faults=2, ends="any", drains=True),
    "a chain with a temporary stage": case("one_for_all", "txt", faults=6, ends="any", drains=True),
    "before for one": case("before_for_one", "ppp", faults=2),
    "before for one, by hand": case("before_for_one", "xtp", faults=1, errands=1),
    "any significant": case("rest_for_one", "tpx", faults=2, ends="any"),
    "all significant": case("one_for_all", "ttx", faults=2, ends="all"),
    "escalating": case("rest_for_one", "pxt", faults=3, starts=1, escalate=True),
}


CHAIN: dict[str, Any] = {"ends": "any", "drains": True}

CASES |= {
    f"replicas, {strategy}{how}": case(
        strategy, mix, faults=faults, errands=errands, stops=stops, **CHAIN
    )
    for strategy in STRATEGIES
    for how, mix, faults, errands, stops in (
        ("", "tttt", 3, 0, 0),
        (", stopped", "tttt", 1, 0, 1),
        (", by hand", "tttt", 1, 2, 0),
        (", temporary", "xxtx", 2, 1, 0),
    )
}


@pytest.mark.parametrize("name", CASES)
def test_every_order_of_events(name: str) -> None:
    """F11, F15, F16, rows 28, 70, 79, 82, 91 to 95, 100: no order breaks a property."""
    states, steps = explore(CASES[name])
    assert 500 < states < steps < 15_000


BROKEN: dict[str, tuple[str, str, Callable[..., Any], str]] = {
    "forgets who it waits for": (
        "one for all",
        "went_down",
        lambda self, key, *_: self.landed(key),
        "each end is told",
    ),
    "ends a chain with any replica": (
        "replicas, one_for_one",
        "company",
        lambda _: (set(), set()),
        "nobody is left",
    ),
    "never ends a chain that has replicas": (
        "replicas, rest_for_one",
        "company",
        lambda self: (set(map(self.place, self.children)), set()),
        "a chain ends with a place",
    ),
    "asks equals one after another": (
        "replicas, one_for_all",
        "place",
        lambda _, key: key,
        "equals are asked together",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_machine_would_be_found(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The properties tell: each of these machines fails one of them."""
    name, method, instead, said = BROKEN[how]
    monkeypatch.setattr(Endings, method, instead)
    with pytest.raises(AssertionError, match=said):
        explore(CASES[name])
