"""Putting values back in order: each is given out as soon as it is certain to be next.

Owns what is out of order, and nothing else of a stream. It must not know items, stages
or credit: it sees paths.

The values have paths: `(3,)` is the fourth item; if that became many, `(3, 0)` is its
first descendant, `(3, 0, 0)` the first one of that, and so on. The order is that of the
tuples. A path is either given a value, or is opened and later closed, which tells how
many children it has; both it and they may come in any order, but that a path is opened
before anything below it. Each step takes a constant time per level, and what is through
is forgotten.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeAlias, TypeVar

__all__ = ["Path", "Reorder"]

T = TypeVar("T")
Path: TypeAlias = tuple[int, ...]


class Reorder(Generic[T]):
    """Values that come with paths in any order, and go in the order of paths."""

    __slots__ = ("_due", "_held", "_open", "number", "ready")

    def __init__(self) -> None:
        self.ready: deque[T] = deque()
        """What may go now; for the user to take out."""
        self.number = 0
        """The first number of all paths that are not through."""
        self._due: Path = (0,)
        """The path whose value is next; it is neither held nor open."""
        self._held: dict[Path, T] = {}
        self._open: dict[Path, int | None] = {}
        """The open paths, with their number of children where that is known."""

    @property
    def held(self) -> int:
        """How many values are held back."""
        return len(self._held)

    def put(self, path: Path, value: T) -> None:
        """Give a value to a path."""
        self._held[path] = value
        if path == self._due:
            self._go_on()

    def step(self) -> None:
        """Pass by item `number`, which has a value and is not open: it needs no holding."""
        self.number = number = self.number + 1
        self._due = (number,)
        if self._held or self._open:
            self._go_on()

    def opened(self, path: Path) -> None:
        """Have the children of a path stand in its place."""
        self._open[path] = None
        if path == self._due:
            self._go_on()

    def closed(self, path: Path, children: int) -> None:
        """Say how many children an opened path has."""
        self._open[path] = children
        if self._due == (*path, children):
            self._go_on()

    def _go_on(self) -> None:
        """Make ready what is certain, and come to what is due then."""
        held, opened = self._held, self._open
        while True:
            due = self._due
            if due in held:
                self.ready.append(held.pop(due))
                self._pass(due)
            elif due in opened:
                self._due = (*due, 0)
            elif opened.get(due[:-1]) == due[-1]:
                del opened[due[:-1]]
                self._pass(due[:-1])
            else:
                return

    def _pass(self, path: Path) -> None:
        *above, number = path
        self._due = (*above, number + 1)
        if not above:
            self.number = number + 1
