"""What a running tree looks like, as rows: who is up, how much has been done, how fast.

Owns which numbers stand in a row, and which rows are left out where there is no room
for all of them. It must not know how a row is painted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from threadsup._errors import UnknownChildError
from threadsup._snapshot import ChainStatistics, Counts
from threadsup.cli.progress import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from threadsup._snapshot import Node
    from threadsup._supervisor.api import Supervisor
    from threadsup.events import Path

__all__ = ["Row", "View", "fit"]

STEP = 1.0
"""Seconds that a speed is measured over at least."""


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One child, or one stage of a chain."""

    depth: int
    """0 for a child of the tree itself."""
    kind: str
    name: str
    state: str
    up: str
    """How many of several are up: `3/4`; empty where there is but one."""
    counts: Counts
    speed: float
    """Messages handled in a second, lately."""

    @property
    def in_trouble(self) -> bool:
        """Whether this is what somebody wants to see first."""
        return self.state not in _WELL


_WELL = frozenset({"new", "up", "ended"})


class View:
    """Reads a tree, and remembers how far it was, for the speeds.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Path, tuple[float, int, float]] = {}

    def rows(self, tree: Supervisor) -> list[Row]:
        """Return the rows of a tree as it is now, in start order."""
        return list(self._below(tree, tree.tree(), (), 0))

    def _below(self, tree: Supervisor, node: Node, above: Path, depth: int) -> Iterator[Row]:
        for child in node.children:
            path = (*above, child.id)
            try:
                facade = tree[child.id]
            except UnknownChildError:  # it ended and was forgotten
                continue
            numbers = facade.statistics()
            yield self._row(child, path, depth, numbers)
            if child.kind == "supervisor":
                yield from self._below(facade, child, path, depth + 1)
            elif isinstance(numbers, ChainStatistics):
                for stage in child.children:
                    if found := numbers.stages.get(stage.id):
                        yield self._row(stage, (*path, stage.id), depth + 1, found)

    def _row(self, node: Node, path: Path, depth: int, numbers: Any) -> Row:
        up = ""
        if node.children and node.kind in {"group", "stage"}:
            up = f"{sum(each.state == 'up' for each in node.children)}/{len(node.children)}"
        speed = self._speed(path, numbers.handled)
        return Row(depth, node.kind, shown((node.id,)), node.state, up, numbers, speed)

    def _speed(self, path: Path, handled: int) -> float:
        now = self._clock()
        then, before, speed = self._seen.get(path, (now, handled, 0.0))
        if now - then >= STEP:
            # Who was removed and added again begins at zero: that is no way back.
            speed = max(0, handled - before) / (now - then)
            then, before = now, handled
        self._seen[path] = then, before, speed
        return speed


def fit(rows: Sequence[Row], room: int) -> tuple[list[Row], int]:
    """Return `room` rows at most, in their order, and how many are left out.

    Those in trouble stay before others do, and then the first ones.
    """
    if len(rows) <= room:
        return list(rows), 0
    by_need = sorted(range(len(rows)), key=lambda n: (not rows[n].in_trouble, n))
    kept = sorted(by_need[: max(0, room)])
    return [rows[n] for n in kept], len(rows) - len(kept)
