"""One step of a scope: the state, open for change, and the actions so far.

Owns the words that the rules are written in: change a child, tell a notice, set
a timer. It must not know when any of them is called for; every decision stands
in `plan`, `errands`, `endings` and `scope`, each built on the one before.
"""

from __future__ import annotations

from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from threadsup._policy.book import Child, Condition, Phase, Scope
from threadsup._policy.ledger import frozen
from threadsup._policy.protocol import (
    Action,
    Answer,
    ChildDown,
    Decided,
    Fence,
    Forgotten,
    Interrupt,
    ScopeRules,
    SetTimer,
    Tell,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from threadsup._exits import ChildId, ExitReason
    from threadsup._policy.intensity import Intensity
    from threadsup._policy.protocol import Fate, Notice, Outcome, Request
    from threadsup._policy.restart import NoRestart

__all__ = ["FATES", "Turn", "without"]

_FIELDS = Scope._fields
_OF_CHILD = Child._fields
_state = attrgetter(*_FIELDS)
_new: Any = tuple.__new__
"""Makes a named tuple of all its fields, in a third of the time that `_make` takes."""

FATES: tuple[Fate, ...] = ("restarts", "held", "gone")
"""Each more final than the one before; nobody who is down is promised more later."""

_CONDITIONS: dict[Fate, Condition] = {"restarts": "restarting", "held": "held", "gone": "ended"}
"""How a child stands that is down, by what becomes of it."""


def without(keys: tuple[ChildId, ...], key: ChildId) -> tuple[ChildId, ...]:
    """Return the keys but for this one; mostly it is not among them."""
    return tuple(other for other in keys if other != key) if key in keys else keys


class Turn:
    """The fields of `Scope`, to be changed in place for the length of one step."""

    rules: ScopeRules
    phase: Phase
    to_stop: tuple[ChildId, ...]
    to_start: tuple[ChildId, ...]
    launching: ChildId | None
    paused: bool
    timer: int
    intensity: Intensity
    streak: int
    last_restart: float
    verdict: ExitReason
    pending: tuple[tuple[ChildId, ExitReason], ...]
    fate: Fate
    by: float
    hurried: bool
    drain: bool
    holding: bool
    came_up: bool
    gave_up: bool
    overran: bool
    culprit: ChildId | None

    def __init__(self, scope: Scope, now: float) -> None:
        self.__dict__.update(zip(_FIELDS, scope))  # noqa: B905 - it has them all
        self.children: MutableMapping[ChildId, Child] = scope.children.draft()
        self.awaited: MutableMapping[ChildId, bool] = scope.awaited.draft()
        self.now = now
        self.actions: list[Action] = []

    def done(self) -> tuple[Scope, list[Action]]:
        fields = self.__dict__
        fields["children"], fields["awaited"] = frozen(self.children), frozen(self.awaited)
        return _new(Scope, _state(self)), self.actions

    @property
    def stopped(self) -> bool:
        return self.phase in {"stopping", "down"}

    def tell(self, notice: Notice) -> None:
        self.actions.append(Tell(notice))

    def change(self, key: ChildId, **changes: Any) -> Child:
        # As `_replace`, which is three calls; every step changes a child or two.
        before = self.children[key]
        child: Child = _new(Child, map(changes.pop, _OF_CHILD, before))
        assert not changes, changes
        self.children[key] = child
        return child

    def current(self, key: ChildId, incarnation: int) -> Child | None:
        """Return the child if this is its live incarnation: the fence."""
        child = self.children.get(key)
        if child is None or child.incarnation != incarnation or not child.live:
            return None
        return child

    def place(self, key: ChildId) -> ChildId:
        """Return the place of a child in the order."""
        place = self.children[key].rules.place
        return key if place is None else place

    def answer(self, request: Request, outcome: Outcome) -> None:
        if request.token is not None:
            self.tell(Answer(request.token, outcome))

    def set_timer(self, key: ChildId, at: float) -> None:
        """Give the child time until `at`; with `inf` it has as long as it takes."""
        child = self.children[key]
        self.time(key, child.incarnation, child.due, at)
        self.change(key, due=at)

    def time(self, key: ChildId, incarnation: int, before: float, at: float) -> None:
        """Have the host know until when a child has time, if it has or had a limit."""
        if at < inf:
            self.actions.append(SetTimer(key, incarnation, at))
        elif before < inf:
            self.actions.append(SetTimer(key, incarnation, None))

    def set_scope_timer(self, at: float | None) -> None:
        if at is None and not self.timer:
            return  # it was never set
        self.timer += 1
        self.actions.append(SetTimer(None, self.timer, at))

    def live_reversed(self, keys: Iterable[ChildId]) -> tuple[ChildId, ...]:
        return tuple(reversed([key for key in keys if self.children[key].live]))

    def in_order(self, keys: set[ChildId]) -> tuple[ChildId, ...]:
        if len(keys) == 1:
            return tuple(keys)
        return tuple(key for key in self.children if key in keys)

    def down(
        self, key: ChildId, reason: ExitReason, fate: Fate, why: NoRestart | None = None
    ) -> None:
        """Tell the end of the incarnation, and what becomes of the child."""
        failed = self.children[key].condition == "failed"
        self.change(key, condition="failed" if failed else _CONDITIONS[fate], fate=fate)
        self.tell(ChildDown(key, self.children[key].incarnation, reason, fate, why))

    def decide(self, key: ChildId, fate: Fate, why: NoRestart) -> None:
        """Tell, of a child that is down already, if less becomes of it than was told."""
        child = self.children[key]
        fate = max(fate, child.fate, key=FATES.index)
        if fate != child.fate:
            self.tell(Decided(key, fate, why))
        elif child.condition != "restarting":
            return
        failed = child.condition == "failed"
        self.change(key, condition="failed" if failed else _CONDITIONS[fate], fate=fate)

    def fence(self, key: ChildId, reason: ExitReason) -> None:
        """Abandon the incarnation; what may be interrupted is, before that at the latest."""
        child = self.children[key]
        if child.rules.interrupt and not child.interrupted:
            self.actions.append(Interrupt(key, child.incarnation))
        self.actions.append(Fence(key, child.incarnation, reason))

    def landed(self, key: ChildId) -> None:
        if self.launching == key:
            self.launching = None

    def lay_down(self, key: ChildId, condition: Condition) -> None:
        """Note that the incarnation is over, and forget its timer."""
        child = self.children[key]
        self.time(key, child.incarnation, child.due, inf)
        self.change(key, condition=condition, due=inf, draining=False, interrupted=False)
        self.landed(key)

    def forget(self, key: ChildId) -> None:
        for errand in self.children[key].errands:
            self.answer(errand, "start_failed" if errand.verb == "add" else "unknown")
        del self.children[key]
        self.to_stop = without(self.to_stop, key)
        self.to_start = without(self.to_start, key)
        if self.pending:
            self.pending = tuple(end for end in self.pending if end[0] != key)
        self.tell(Forgotten(key))
