"""What a scope knows of itself and of its children: the state that `step` moves.

Owns the frozen `Scope` and `Child`. It must not know the rules by which they
move: nothing here changes anything, and all changes are made in
`threadsup._policy.scope`.

Both are named tuples: each step makes new ones, and takes half the time that it
takes with frozen dataclasses.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from threadsup._exits import ExitReason, Normal
from threadsup._policy.intensity import Intensity
from threadsup._policy.ledger import Ledger

if TYPE_CHECKING:
    from threadsup._exits import ChildId
    from threadsup._policy.protocol import ChildRules, Fate, Request, ScopeRules

__all__ = ["Child", "Condition", "Phase", "Scope"]

Phase: TypeAlias = Literal["new", "starting", "up", "stopping", "down"]

Condition: TypeAlias = Literal[
    "new", "starting", "up", "stopping", "restarting", "ended", "held", "failed"
]
"""`new`: never started; `restarting`: down, and to come back by itself;
`ended`: over for good; `held`: stopped by hand; `failed`: gave up, or did not start."""


class Child(NamedTuple):
    """One child: its rules, its present incarnation and what is asked of it."""

    rules: ChildRules
    condition: Condition = "new"
    incarnation: int = 0
    fate: Fate = "restarts"
    """What becomes of it, as it was told last."""
    since: float = -inf
    """When its present incarnation was launched or, if that came later, asked to stop."""
    due: float = inf
    """When the time for that is up; a deadline before this one is an old one."""
    draining: bool = False
    """Whether it was asked to handle what is queued before it stops."""
    interrupted: bool = False
    """Whether the asynchronous exception has been thrown already."""
    retired: bool = False
    """Whether its chain has ended up to and including it: it never comes back."""
    errands: tuple[Request, ...] = ()
    """What is asked of it by hand; the first is under way, the rest wait."""

    @property
    def live(self) -> bool:
        """Whether an incarnation is running."""
        return self.condition in {"starting", "up", "stopping"}


class Scope(NamedTuple):
    """One scope: its children in declared order, and the plan that is under way.

    The plan is three steps that are taken in this order: ask `to_stop`, wait for
    `awaited`, start `to_start`. A restart, a first start and a stop are the same
    plan with different parts empty; a crash in the middle of one makes the plan
    larger and never starts a second one.
    """

    rules: ScopeRules
    children: Ledger[ChildId, Child] = Ledger.of({})
    phase: Phase = "new"
    to_stop: tuple[ChildId, ...] = ()
    """Still to be asked to stop, last declared first."""
    awaited: Ledger[ChildId, bool] = Ledger.of({})
    """Asked, and not down yet."""
    to_start: tuple[ChildId, ...] = ()
    """To be started when all that has to go down is down, first declared first."""
    launching: ChildId | None = None
    """The one of them that is starting now."""
    paused: bool = False
    """Whether the pause before a restart is running."""
    timer: int = 0
    """The number of the scope's own timer; an older one that is due means nothing."""
    intensity: Intensity = Intensity(0, 1.0)
    streak: int = 0
    """Restarts since the last quiet time, which choose the length of the pause."""
    last_restart: float = -inf
    verdict: ExitReason = Normal()
    """The reason the scope itself ends with."""
    pending: tuple[tuple[ChildId, ExitReason], ...] = ()
    """Ends of significant children from which nothing has followed yet: the scope is to
    come up first, or, in a chain, others are at the same place."""
    fate: Fate = "gone"
    """What becomes of the children when the scope is down, or does not come up."""
    by: float = inf
    """For a stop: the moment at which whoever is left is abandoned."""
    hurried: bool = False
    """Whether that moment is so near that everybody is asked now."""
    drain: bool = False
    """For a stop: whether each child first handles what it has queued."""
    holding: bool = False
    """For a stop: whether it is not its turn yet, and nobody is asked."""
    came_up: bool = False
    gave_up: bool = False
    overran: bool = False
    culprit: ChildId | None = None

    @property
    def stopped(self) -> bool:
        """Whether nothing may be started any more."""
        return self.phase in {"stopping", "down"}
