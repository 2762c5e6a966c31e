"""Counts, trees and reports as values: what somebody saw at one moment.

Owns the frozen results of `statistics()`, `tree()` and `stop()`, and how a tree
is drawn. It must not know where the numbers come from.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, final

from threadsup._mermaid import flowchart

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from threadsup._exits import ChildId

__all__ = [
    "Abandonment",
    "ChainStatistics",
    "Counts",
    "Items",
    "Node",
    "ReplicaStatistics",
    "ScopeStatistics",
    "StageStatistics",
    "StopReport",
    "SupervisorStatistics",
    "Times",
    "WorkerStatistics",
    "times",
    "total",
    "total_of",
]


@dataclass(frozen=True, slots=True)
class Counts:
    """Where messages are: `accepted = handled + failed + undelivered + pending`.

    Exact whenever it is quiet: no sender inside a call, nothing in hand.
    """

    accepted: int = 0
    """Counted where messages leave the queue, plus what is queued."""
    handled: int = 0
    failed: int = 0
    """The handler ran and failed: crashed, rejected, abandoned in hand."""
    undelivered: int = 0
    """Dropped at a bound, closed, removed, cancelled."""
    pending: int = 0
    """Queued."""
    restarts: int = 0
    """Incarnations after the first."""


@dataclass(frozen=True, slots=True)
class WorkerStatistics(Counts):
    """The counts of one worker, over all its incarnations."""

    retried: int = 0
    """Attempts that failed and were given another one."""
    in_hand_since: float | None = None
    """Since when the message in hand is; monotonic seconds, `None` without one."""


@final
@dataclass(frozen=True, slots=True)
class Times:
    """How long something took, in seconds; all 0 before it was measured.

    Where there are very many of them only some are timed, and each of those counts for
    several. A percentile is an eighth off at most.
    """

    count: int = 0
    mean: float = 0.0
    p50: float = 0.0
    """Half of them took no longer."""
    p99: float = 0.0
    """99 of 100 took no longer."""


@final
@dataclass(frozen=True, slots=True)
class ReplicaStatistics(WorkerStatistics):
    """The counts and times of one replica of a stage, over all its incarnations."""

    service: Times = Times()
    """From the moment an item is in hand until there is a result."""
    queue: Times = Times()
    """How long an item is queued before that."""


@final
@dataclass(frozen=True, slots=True)
class StageStatistics(Counts):
    """The sums over a stage's replicas, and the replicas themselves.

    Those that were removed are in the sums, and no longer among the replicas.
    """

    retried: int = 0
    """Attempts that failed and were given another one."""
    in_hand_since: float | None = None
    """The earliest of its replicas; monotonic seconds, `None` with nothing in hand."""
    service: Times = Times()
    queue: Times = Times()
    replicas: Mapping[ChildId, ReplicaStatistics] = field(default_factory=dict)
    """By id: `(stage, number)`, from 0."""


@dataclass(frozen=True, slots=True)
class ScopeStatistics(Counts):
    """The sums over a group's members, and the members themselves."""

    members: Mapping[ChildId, WorkerStatistics] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True)
class Items:
    """Where items are: `offered = completed + dropped + failed + in_flight`."""

    offered: int = 0
    completed: int = 0
    """Reached the sink."""
    dropped: int = 0
    """Ended at `Drop` or `Stop`."""
    failed: int = 0
    """Crashed a stage, were rejected, or were never delivered."""
    in_flight: int = 0


@final
@dataclass(frozen=True, slots=True)
class ChainStatistics(Counts):
    """The sums over a chain's stages, the items, and the stages themselves."""

    items: Items = Items()
    stages: Mapping[ChildId, StageStatistics] = field(default_factory=dict)
    tap_failures: int = 0
    """Calls of taps that raised."""


@final
@dataclass(frozen=True, slots=True)
class SupervisorStatistics(Counts):
    """The sums over a tree."""

    zombies: int = 0
    """Abandoned threads that still run."""
    events_dropped: int = 0
    """Events that subscribers were too slow for."""


_NAMES = tuple(each.name for each in fields(Counts))
_figures = attrgetter(*_NAMES)


def total(parts: Iterable[Counts]) -> dict[str, int]:
    """Return the sums of the fields of `Counts`, by name."""
    return total_of(map(_figures, parts))


def total_of(rows: Iterable[Sequence[int]]) -> dict[str, int]:
    """Return the same of rows that begin with these fields, in order: for very many."""
    accepted = handled = failed = undelivered = pending = restarts = 0
    for row in rows:
        accepted += row[0]
        handled += row[1]
        failed += row[2]
        undelivered += row[3]
        pending += row[4]
        restarts += row[5]
    return dict(
        zip(_NAMES, (accepted, handled, failed, undelivered, pending, restarts), strict=True)
    )


def times(summary: tuple[int, float, float, float]) -> Times:
    """Return a count, a mean and two percentiles as `Times`."""
    return Times(*summary)


@final
@dataclass(frozen=True, slots=True)
class Node:
    """One line of a tree; `str()` draws it and what is below."""

    kind: str
    """`"supervisor"`, `"group"`, `"chain"`, `"stage"`, or a worker's kind."""
    id: ChildId
    state: str
    """`"new"`, `"starting"`, `"up"`, `"restarting"`, `"stopping"`, `"ended"`,
    `"held"` (stopped by hand) or `"failed"` (gave up)."""
    detail: str = ""
    """Strategy, restart type, incarnation and the like."""
    children: tuple[Node, ...] = ()
    links: tuple[ChildId, ...] = ()
    """Of a chain or a stage: which children of the same supervisor its results go on to."""

    def to_mermaid(self) -> str:
        """Return the node and what is below as the text of a Mermaid flowchart.

        Groups and chains are frames, the stages of a chain follow each other, with their
        number of replicas (`enrich x4`), and chains that feed others point at them.
        Mermaid itself draws up to 50,000 characters and 500 arrows unless configured.
        """
        return flowchart(self)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        detail = f"  ({self.detail})" if self.detail else ""
        yield f"{self.kind} {self.id}  {self.state}{detail}"
        for number, child in enumerate(self.children, 1):
            last = number == len(self.children)
            first, *rest = child._lines()  # noqa: SLF001 - a node of its own kind
            yield f"{'└─' if last else '├─'} {first}"
            for line in rest:
                yield f"{'   ' if last else '│  '}{line}"


@final
@dataclass(frozen=True, slots=True)
class Abandonment:
    """Somebody who did not stop in time."""

    id: ChildId
    """A worker's id; in a group or chain, `(group, member)`."""
    doing: str
    """What it was doing: `"on_start"`, `"message"`, `"task"`, `"on_stop"`, `"on_failure"`."""
    since: float
    """Seconds it had been doing that."""


@final
@dataclass(frozen=True, slots=True)
class StopReport:
    """How a tree stopped."""

    clean: bool
    """Whether everybody ended by themselves in time."""
    stopped: int
    """How many workers ended in the stop."""
    abandoned: tuple[Abandonment, ...]
    """Who did not, and what they were doing."""
    undelivered: int
    """Messages of the tree that were accepted and never handled."""
    seconds: float
    """How long the stop took."""

    def __str__(self) -> str:
        lines = [f"stopped {self.stopped} workers in {self.seconds:.2f} s"]
        if self.undelivered:
            lines.append(f"{self.undelivered} messages were not delivered")
        lines += [
            f"{left.id!r} did not stop: in {left.doing} for {left.since:.1f} s"
            for left in self.abandoned
        ]
        return "; ".join(lines)
