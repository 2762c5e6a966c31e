"""The words that a scope and its host exchange: rules, events, actions, notices.

Owns the frozen values that go into `threadsup._policy.scope.step` and come out
of it. It must not know how either side works: an event says what happened, an
action what is to be done, a notice what somebody may want to hear. No user
object is among them but ids and exit reasons.

```
            Event                     Action
  host  ------------->  step()  ------------------->  host
         Started                 Start   Signal
         StartFailed             Interrupt  Fence
         Exited                  SetTimer
         Deadline  Overdue       GiveUp
         Request                 Tell(Notice)
```

What is exchanged with every step is a named tuple: a start and a stop make forty of them,
and a frozen dataclass takes four times as long to make. Who tells them apart asks for
their type.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from threadsup._exits import ChildId, ExitReason, Shutdown
from threadsup._policy.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._policy.restart import NoRestart, RestartRule, Strategy

__all__ = [
    "Action",
    "Answer",
    "ChildDown",
    "ChildRules",
    "ChildUp",
    "Deadline",
    "Decided",
    "Draining",
    "Event",
    "Exited",
    "Fate",
    "Fence",
    "Forgotten",
    "GiveUp",
    "Interrupt",
    "Notice",
    "Outcome",
    "Over",
    "Overdue",
    "Request",
    "Restarting",
    "ScopeRules",
    "SetTimer",
    "Signal",
    "Start",
    "StartFailed",
    "Started",
    "Tell",
    "Up",
    "Verb",
]

# -- rules: what was declared -------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRules:
    """How one child is kept alive and taken down; seconds are floats."""

    restart: RestartRule
    significant: bool = False
    """Whether its end by itself may end the scope, see `ScopeRules.ends`."""
    shutdown: float = 5.0
    """How long it may take to stop before it is abandoned."""
    start_timeout: float = 10.0
    """How long it may take to start before that start has failed."""
    interrupt: bool = False
    """Whether it gets an asynchronous exception before it is abandoned."""
    place: ChildId | None = None
    """Its place in the order: children of one place are equals, and stand next to each
    other. `None` is a place of its own, which is called what the child is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRules:
    """How the children of one scope share a fate."""

    strategy: Strategy
    max_restarts: int
    max_seconds: float
    backoff: Backoff = Backoff()
    stop: Literal["in_turn", "together"] = "in_turn"
    """Whether children are asked to stop one after another or all at once."""
    ends: Literal["never", "any", "all"] = "never"
    """When the scope ends by itself: any, or the last, significant child has."""
    drains: bool = False
    """Whether such an end first lets the children behind the ended one finish."""
    escalate: bool = False
    """Whether somebody above starts the scope again after it has given up."""
    chance: Callable[[], float] = float
    """A number in [0, 1) for the jitter of pauses; `float()` is always 0."""


# -- events: what happened ----------------------------------------------------------


class Started(NamedTuple):
    """The incarnation is up: its start code has returned."""

    key: ChildId
    incarnation: int


class StartFailed(NamedTuple):
    """The incarnation ended, or could not be made, before it was up."""

    key: ChildId
    incarnation: int
    reason: ExitReason


class Exited(NamedTuple):
    """The incarnation, which was up, is over."""

    key: ChildId
    incarnation: int
    reason: ExitReason
    gave_up: bool = False
    """For a child that is a scope: its own budget was spent."""
    overran: bool = False
    """For a child that is a scope: it had to abandon somebody."""
    paid: bool = False
    """Whether it ended because of another one, with which a restart was decided that
    this one goes with: it costs no budget."""


class Deadline(NamedTuple):
    """The timer of the child, or of the scope itself (`None`), is due."""

    key: ChildId | None
    incarnation: int


class Overdue(NamedTuple):
    """The incarnation has had one message in hand for longer than it may."""

    key: ChildId
    incarnation: int
    reason: ExitReason


Verb: TypeAlias = Literal[
    "start",
    "stop",
    "finish",
    "give_up",
    "abandon",
    "add",
    "stop_child",
    "restart_child",
    "remove_child",
]

Fate: TypeAlias = Literal["restarts", "held", "gone"]
"""What becomes of a child that is down: it comes back by itself; it is held,
with what is queued, until somebody starts it; it will not come back."""


class Request(NamedTuple):
    """Somebody wants something of the scope, or of one child of it."""

    verb: Verb
    key: ChildId | None = None
    token: object = None
    """Comes back in the `Answer`; `None` where nobody waits for one. Only what is
    asked of one child is answered so: of a scope, `Up` and `Over` tell."""
    reason: ExitReason = Shutdown()
    fate: Fate = "gone"
    """For `stop`, and for a `start` that fails: what becomes of the children. Of a
    scope that is down, a `stop` decides just that."""
    by: float = inf
    """For `stop`: the moment at which whoever is left is abandoned. A second `stop`
    can make it earlier."""
    rules: ChildRules | None = None
    """For `add`."""
    before: ChildId | None = None
    """For `add`: the place in front of which a new one is opened. Without it a new place
    is the last one. A child of a place that exists goes behind its equals, always."""
    drain: bool = False
    """For `stop_child`: whether what is queued is handled first."""
    whole: bool = False
    """For `remove_child`: whether all children of its place are removed. A chain then does
    not end there, whoever of them has ended."""
    hold: bool = False
    """For `stop`: whether nobody is asked before a second one, without it. From the
    first on nothing is started: whoever ends by themselves stays down."""


Event: TypeAlias = Started | StartFailed | Exited | Deadline | Overdue | Request

# -- actions: what is to be done ----------------------------------------------------


class Start(NamedTuple):
    """Make an incarnation; answered by `Started` or `StartFailed`."""

    key: ChildId
    incarnation: int
    fate: Fate = "gone"
    """What becomes of the child if it does not come up; a child that is a scope
    is started with it (`Request.fate`), so that its own children know."""


class Signal(NamedTuple):
    """Ask the incarnation to stop; answered by `Exited` or `StartFailed`.

    May come again, with an earlier `by` or without `drain`: there is less time.
    """

    key: ChildId
    incarnation: int
    reason: ExitReason
    fate: Fate
    by: float
    """The moment at which it is abandoned."""
    drain: bool = False


class Interrupt(NamedTuple):
    """Throw an asynchronous exception into the incarnation."""

    key: ChildId
    incarnation: int


class Fence(NamedTuple):
    """Cut the incarnation off and wait for it no longer; nothing answers.

    It may never have been asked to stop: being cut off is to end it, if it can.
    """

    key: ChildId
    incarnation: int
    reason: ExitReason


class SetTimer(NamedTuple):
    """Set the one timer of this key, replacing the last; `None` takes it away."""

    key: ChildId | None
    incarnation: int
    at: float | None


class GiveUp(NamedTuple):
    """The budget is spent: say so, loudly. The taking down follows by itself."""

    key: ChildId
    reason: ExitReason


class Tell(NamedTuple):
    """Pass a notice on to whom it may concern."""

    notice: Notice


# -- notices: what somebody may want to hear ----------------------------------------

Outcome: TypeAlias = Literal["ok", "duplicate", "unknown", "not_running", "start_failed"]


class Answer(NamedTuple):
    """The outcome of a `Request` that carried a token."""

    token: object
    outcome: Outcome


class ChildUp(NamedTuple):
    """An incarnation is up."""

    key: ChildId
    incarnation: int


class ChildDown(NamedTuple):
    """An incarnation is over, what becomes of the child, and why not more."""

    key: ChildId
    incarnation: int
    reason: ExitReason
    fate: Fate
    why: NoRestart | None = None


class Decided(NamedTuple):
    """Less becomes of a child that was down already than was told before."""

    key: ChildId
    fate: Fate
    why: NoRestart


class Restarting(NamedTuple):
    """A restart was granted; it begins after `delay` seconds."""

    key: ChildId
    reason: ExitReason
    delay: float


class Forgotten(NamedTuple):
    """The child is no longer in the book; its id is free."""

    key: ChildId


class Draining(NamedTuple):
    """This child, the last of its place, ended for good; those behind are to finish."""

    after: ChildId


@dataclass(frozen=True, slots=True)
class Up:
    """All children of the scope have been started."""


class Over(NamedTuple):
    """Nothing of the scope is running any more."""

    reason: ExitReason
    came_up: bool
    """Whether `Up` had been told before."""
    gave_up: bool = False
    overran: bool = False
    """Whether somebody had to be abandoned on the way down."""
    culprit: ChildId | None = None
    """The child that did not start, or with which the budget was spent."""


Notice: TypeAlias = (
    Answer | ChildUp | ChildDown | Decided | Restarting | Forgotten | Draining | Up | Over
)

Action: TypeAlias = Start | Signal | Interrupt | Fence | SetTimer | GiveUp | Tell
