"""What has become of the tasks of a pool, as a value.

Owns `PoolStatistics`. It must not know where the numbers come from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from threadsup._snapshot import Counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threadsup._exits import ChildId
    from threadsup._snapshot import WorkerStatistics

__all__ = ["PoolStatistics"]


@final
@dataclass(frozen=True, slots=True)
class PoolStatistics(Counts):
    """What has become of the tasks of a pool; `pending` wait, in the queue or in a pause."""

    retried: int = 0
    """Attempts that failed and were given another one."""
    in_hand: int = 0
    """Tasks that run now; counted nowhere else yet."""
    workers: Mapping[ChildId, WorkerStatistics] = field(default_factory=dict)
    """The workers there are now."""
