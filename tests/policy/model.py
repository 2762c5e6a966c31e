"""A small model of a host, for walking through all orders of events.

Owns the world (a scope, and what its host knows of it), the moves that are possible in
it, and what must hold after each: the properties S1 to S7 of the reference. S1: at most
one life per child that is not fenced; S2: the budget; S3: no start after the stop; S4:
order; S5: nobody beyond the strategy is touched; S6: no temporary child returns; S7: an
old life changes nothing. And of chains: one ends when nobody is left at a place, and
then. It must not know how far anybody walks.

Who a child is says where it belongs: "a" is before "b", and "b0" and "b1" are equals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tests.policy.fakes import ASKED, BOOM, child
from threadsup._exits import Normal
from threadsup._policy.protocol import (
    Answer,
    ChildDown,
    Deadline,
    Draining,
    Exited,
    Fence,
    Over,
    Request,
    Restarting,
    SetTimer,
    Signal,
    Start,
    Started,
    StartFailed,
    Tell,
)
from threadsup._policy.scope import step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from threadsup._exits import ChildId
    from threadsup._policy.book import Child, Scope
    from threadsup._policy.protocol import (
        Action,
        ChildRules,
        Event,
        ScopeRules,
        Verb,
    )

__all__ = ["MOST", "WINDOW", "Case", "World", "after", "busy", "follow", "moves"]

VERBS: tuple[Verb, ...] = ("stop_child", "restart_child", "remove_child", "add")

MOST = 2
"""How many restarts are allowed, within `WINDOW`."""

WINDOW = 3.0

FRONT, BACK = "", "~"
"""Before and behind every child."""

Lives: TypeAlias = "Mapping[ChildId, int]"


class World(NamedTuple):
    """A scope, and what its host knows of it."""

    scope: Scope
    now: float
    lives: Lives
    """Who runs and is not fenced, by incarnation."""
    timers: Mapping[ChildId | None, tuple[int, float]]
    waiting: frozenset[object] = frozenset()
    """Tokens that are not answered yet."""
    grants: tuple[float, ...] = ()
    """When restarts were granted lately."""
    anchor: str = ""
    """The child that the restart under way is about; of several, who reaches furthest."""
    started: str = FRONT
    """The last one that the plan has started."""
    asked: str = BACK
    """The last one that the plan has asked to stop."""
    faults: int = 0
    errands: int = 0
    stops: int = 0
    starts: int = 0
    quiet: int = 0
    trail: tuple[Any, ...] = ()
    """How it came to this: the last event, and the trail before it."""


@dataclass(frozen=True)
class Case:
    """What is explored."""

    rules: ScopeRules
    children: Mapping[ChildId, ChildRules]
    faults: int
    """How many crashes, failing starts, hangs and ends by themselves there are at most."""
    errands: int
    """How many errands there are at most."""
    starts: int
    """How often the scope is started again after it has given up."""
    stops: int = 1
    """How often it is stopped."""
    target: ChildId = "b"
    """The child of which something is asked."""
    added: ChildId = "d"
    """The one that is added."""


# -- what may happen next -------------------------------------------------------------

Move: TypeAlias = "tuple[Event, dict[str, Any], bool]"
"""An event, what it changes of the world, whether it is what a good world does."""


def moves(world: World, case: Case) -> Iterator[Move]:
    """Return all that may happen next."""
    scope = world.scope
    for key, number in world.lives.items():
        yield from moves_of(world, key, number)
    for owner, (number, at) in world.timers.items():
        late = {"now": max(world.now, at)}
        if owner is None:
            yield Deadline(None, number), late, True
        elif world.faults:
            yield Deadline(owner, number), {**late, "faults": world.faults - 1}, False
    yield from stops(world)
    if scope.phase == "down" and scope.gave_up and world.starts:
        yield Request("start", fate="restarts"), {"starts": world.starts - 1}, True
    if scope.phase == "up":
        if any(known.retired for known in scope.children.values()):
            yield Request("finish", reason=Normal()), {}, True
        if world.errands:
            for verb in VERBS:
                key = case.added if verb == "add" else case.target
                token = f"{verb} {world.errands}"
                new = child("transient", significant=True, place=place(key))
                request = Request(verb, key, token=token, rules=new)
                more = {"errands": world.errands - 1, "waiting": world.waiting | {token}}
                yield request, more, False
        if world.quiet and not world.timers:
            later = {"now": world.now + WINDOW + 1, "quiet": 0}
            yield Deadline(None, -1), later, False


def stops(world: World) -> Iterator[Move]:
    """Return how the scope may be stopped: at once, in no time, or when its turn comes."""
    scope = world.scope
    if scope.phase in {"starting", "up"} and world.stops:
        yield Request("stop"), {"stops": world.stops - 1}, False
        yield Request("stop", by=world.now), {"stops": world.stops - 1}, False
        yield Request("stop", hold=True), {"stops": world.stops - 1}, False
    if scope.phase == "stopping" and scope.holding:
        yield Request("stop"), {}, True


def moves_of(world: World, key: ChildId, number: int) -> Iterator[Move]:
    """Return what one life may do next."""
    condition = world.scope.children[key].condition
    gone = {"lives": {k: n for k, n in world.lives.items() if k != key}}
    fault = {**gone, "faults": world.faults - 1}
    if condition == "stopping":
        yield Exited(key, number, ASKED), gone, True
    elif condition == "starting":
        yield Started(key, number), {}, True
        if world.faults:
            yield StartFailed(key, number, BOOM), fault, False
    elif world.faults:
        yield Exited(key, number, BOOM), fault, False
        if world.scope.children[key].rules.restart == "transient":
            yield Exited(key, number, Normal()), fault, False


# -- what follows from it -------------------------------------------------------------


def follow(world: World, move: Move) -> World:
    """Return the world after a move; what is wrong with it is told with the way there."""
    try:
        return after(world, move)._replace(trail=(move[0], world.trail))
    except AssertionError as error:
        events, trail = [move[0]], world.trail
        while trail:
            events.append(trail[0])
            trail = trail[1]
        way = "\n".join(str(event) for event in reversed(events))
        raise AssertionError(f"{error}, after\n{way}\n{world.scope}") from error


def after(world: World, move: Move) -> World:
    """Return the world after a move, having held the actions to the contract."""
    event, changes, _ = move
    before = world._replace(**changes)
    scope, actions = step(before.scope, event, before.now)
    lives, timers = dict(before.lives), dict(before.timers)
    if isinstance(event, Deadline):
        timers.pop(event.key, None)
    opened = dict(world.lives)
    follower = Follower(before, scope)
    for action in actions:
        match action:
            case Start(key, number):
                assert key not in opened, "S1"
                opened[key] = lives[key] = number
            case Fence(key, number, _):
                assert lives.pop(key) == number
            case SetTimer(key, number, at):
                timers.pop(key, None)
                if at is not None:
                    timers[key] = (number, at)
            case Tell(ChildDown(key, number, _, _, _)):
                assert opened.pop(key) == number, "each end is told once"
            case _:
                pass
        follower.follow(action)
    assert opened == lives, "each end is told in the step that learns of it"
    next_world = before._replace(
        scope=scope,
        lives=lives,
        timers=timers,
        waiting=frozenset(follower.waiting),
        grants=follower.grants,
        anchor=follower.anchor if busy(scope) else "",
        started=follower.started if busy(scope) else FRONT,
        asked=follower.asked if busy(scope) else BACK,
    )
    hold(next_world)
    return next_world


def busy(scope: Scope) -> bool:
    """Whether a plan is under way."""
    return bool(scope.to_stop or scope.awaited or scope.to_start or scope.launching)


def place(key: ChildId) -> str:
    """Return the place of a child: its letter."""
    return str(key)[0]


def equals(scope: Scope, key: ChildId) -> list[Child]:
    """Return the children at the place of this one, itself included."""
    return [known for other, known in scope.children.items() if place(other) == place(key)]


def together(scope: Scope) -> bool:
    """Whether nobody waits for anybody to be asked."""
    return scope.rules.stop == "together" or scope.overran or scope.hurried


class Follower:
    """Watches the actions of one step in their order."""

    def __init__(self, before: World, scope: Scope) -> None:
        self.was, self.scope, self.now = before.scope, scope, before.now
        self.waiting = set(before.waiting)
        self.grants = before.grants
        self.anchor, self.started, self.asked = before.anchor, before.started, before.asked
        if scope.phase != before.scope.phase:
            self.started, self.asked = FRONT, BACK
        if self.was.phase == "down":
            self.grants = ()  # a scope that starts again has a fresh budget

    def by_hand(self, key: ChildId) -> bool:
        known = [s.children[key] for s in (self.was, self.scope) if key in s.children]
        return any(child.errands for child in known) or key not in self.was.children

    def follow(self, action: Action) -> None:
        match action:
            case Start():
                self.start(action)
            case Signal():
                self.signal(action)
            case Tell(Restarting(key, _, _)):
                self.grants = (self.now, *(t for t in self.grants if t >= self.now - WINDOW))
                assert len(self.grants) <= MOST, "S2"
                furthest = max if self.scope.rules.strategy == "before_for_one" else min
                self.anchor = furthest(self.anchor or str(key), str(key))
                self.started, self.asked = FRONT, BACK
            case Tell(Draining(key)):
                beside = equals(self.scope, key)
                staying = [known for known in beside if known.live or known.condition == "held"]
                assert not staying, "a chain ends where nobody is left"
                self.started, self.asked = FRONT, BACK
            case Tell(Answer(token, _)):
                self.waiting.remove(token)
            case Tell(Over()):
                assert not self.waiting, "everybody who asked was answered"
            case _:
                pass

    def start(self, action: Start) -> None:
        key = action.key
        assert not self.scope.stopped, "S3"
        assert not self.was.stopped or self.was.phase == "down", "S3"
        known = self.scope.children[key]
        if not self.by_hand(key):
            assert known.rules.restart != "temporary" or known.incarnation == 1, "S6"
            assert str(key) > self.started, "S4"
            self.started = str(key)

    def signal(self, action: Signal) -> None:
        key, scope = action.key, self.scope
        if self.by_hand(key):
            return
        if self.was.children[key].condition == "stopping":
            return  # asked again, to be quicker
        assert str(key) < self.asked, "S4"
        self.asked = str(key)
        if not (scope.stopped or self.was.children[key].retired or scope.children[key].retired):
            strategy, here, anchor = scope.rules.strategy, place(key), self.anchor[:1]
            assert strategy != "one_for_one", "S5"
            assert strategy != "rest_for_one" or here > anchor, "S5"
            assert strategy != "before_for_one" or here < anchor, "S5"
        asked = {place(other) for other in scope.awaited}
        assert together(scope) or asked == {place(key)}, "S4: one after another"


def anybody(scope: Scope, key: ChildId) -> bool:
    """Whether anybody is at the place of this child, or is to be."""
    if any(known.live or known.condition == "held" for known in equals(scope, key)):
        return True
    return any(place(other) == place(key) for other in scope.to_start)


def hold(world: World) -> None:
    """Check what must hold in every state."""
    scope, lives = world.scope, world.lives
    assert list(scope.children) == sorted(scope.children, key=str)
    live = {key for key, known in scope.children.items() if known.live}
    assert live == set(lives)
    assert all(scope.children[key].incarnation == number for key, number in lives.items())
    stopping = {key for key in live if scope.children[key].condition == "stopping"}
    starting = {key for key in live if scope.children[key].condition == "starting"}
    assert set(scope.awaited) <= stopping
    next_one = next((key for key in scope.to_stop if key in live), None)
    if next_one is not None and not scope.holding:
        assert not together(scope), "all are asked"
        asked = {place(key) for key in scope.awaited}
        assert asked != {place(next_one)}, "equals are asked together"
    assert stopping | starting == world.timers.keys() - {None}, "who is waited for has a limit"
    assert not set(scope.to_start) & (live - stopping - set(scope.to_stop))
    assert scope.launching is None or scope.launching in starting | stopping
    going_on = scope.awaited or scope.launching is not None
    if scope.phase == "stopping":
        assert scope.holding or len(scope.awaited) > 0, "who is stopping waits for somebody"
        assert live
        assert not scope.to_start
    elif scope.phase == "down":
        assert not live
        assert not world.timers
        assert not world.waiting
        assert not busy(scope)
    else:
        assert not scope.to_stop or scope.awaited
        if scope.rules.drains and scope.came_up:
            for key, known in scope.children.items():
                assert known.retired or anybody(scope, key), "a chain ends with a place"
        assert not scope.to_start or going_on or (scope.paused and None in world.timers)
        assert scope.phase == "up" or scope.to_start or going_on or scope.paused
    for key, known in scope.children.items():
        if known.errands and scope.phase != "stopping":
            assert known.live or key in scope.to_start, "an errand goes on"
        if known.condition == "restarting" and scope.phase != "down":
            assert key in scope.to_start or scope.phase == "stopping"
        if known.live:
            assert known.fate == "restarts"
        elif known.fate == "restarts" and scope.phase == "up":
            assert key in scope.to_start, "who is said to come back comes back"
