"""What happened: frozen facts, and who is told them.

Owns the events a subscriber of a supervisor receives. It must not know who
emits them. Every event names the child by `path`: the names of nested supervisors from
the outermost in, the id of a standalone worker, group or chain, then the id of the
member or stage, if it is about one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, final

from threadsup._runtime.clock import wall

if TYPE_CHECKING:
    from threadsup._exits import ChildId, ExitReason

__all__ = [
    "CallbackFailed",
    "Event",
    "GaveUp",
    "OrderLost",
    "Path",
    "Restarting",
    "Scaled",
    "Subscriber",
    "SupervisorEnded",
    "SupervisorStarted",
    "WorkerAbandoned",
    "WorkerEnded",
    "WorkerStarted",
]

Path: TypeAlias = "tuple[ChildId, ...]"


@dataclass(frozen=True, slots=True)
class _Event:
    supervisor: str
    """The supervisor's name."""
    at: float
    """Seconds since the epoch."""


@final
@dataclass(frozen=True, slots=True)
class SupervisorStarted(_Event):
    """All declared children are up."""

    path: Path = ()
    """Of a nested supervisor: which; else empty."""


@final
@dataclass(frozen=True, slots=True)
class SupervisorEnded(_Event):
    """The tree is down; or a nested supervisor, for good or not."""

    reason: ExitReason
    path: Path = ()
    """Of a nested supervisor: which; else empty."""


@final
@dataclass(frozen=True, slots=True)
class WorkerStarted(_Event):
    """An incarnation is up."""

    path: Path
    incarnation: int


@final
@dataclass(frozen=True, slots=True)
class WorkerEnded(_Event):
    """An incarnation is over."""

    path: Path
    incarnation: int
    reason: ExitReason
    final: bool
    """Whether it does not come back by itself."""
    why: str
    """If so, why not."""


@final
@dataclass(frozen=True, slots=True)
class WorkerAbandoned(_Event):
    """An incarnation was given up on; its thread is a zombie until it ends."""

    path: Path
    incarnation: int
    doing: str
    since: float
    """Seconds it had been doing that."""


@final
@dataclass(frozen=True, slots=True)
class OrderLost(_Event):
    """Items of one key may have been handled out of their order at this replica."""

    path: Path
    why: str


@final
@dataclass(frozen=True, slots=True)
class Restarting(_Event):
    """A restart was granted because of this child."""

    path: Path
    reason: ExitReason
    delay: float
    """Seconds until it begins."""


@final
@dataclass(frozen=True, slots=True)
class GaveUp(_Event):
    """A scope has spent its budget with this child, and stops."""

    path: Path
    reason: ExitReason
    """What ended the child at last."""
    escalates: bool
    """Whether its supervisor counts that as a crash."""


@final
@dataclass(frozen=True, slots=True)
class Scaled(_Event):
    """A stage that scales itself has changed the number of its replicas."""

    path: Path
    """The chain and the stage."""
    before: int
    after: int
    why: str


@final
@dataclass(frozen=True, slots=True)
class CallbackFailed(_Event):
    """A clean-up hook, `on_result`, a tap or a `by` failed: at most the item with it."""

    path: Path
    what: str


Event: TypeAlias = (
    SupervisorStarted
    | SupervisorEnded
    | WorkerStarted
    | WorkerEnded
    | WorkerAbandoned
    | OrderLost
    | Restarting
    | GaveUp
    | Scaled
    | CallbackFailed
)

Subscriber: TypeAlias = Callable[[Event], object]
"""Called with each event, in the side thread; what it returns is ignored."""


def now() -> float:
    """Return the time that is put on an event."""
    return wall()
