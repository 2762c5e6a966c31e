"""The newest of what any thread adds, and no more than a number of them.

Owns the bounded list. It must not know what is in it.

A `deque` alone will not do: copying one that somebody appends to raises on a
free-threaded build, and so fails just when there is most to read.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Newest"]

T = TypeVar("T")


class Newest(Generic[T]):
    """What was added last, oldest first."""

    def __init__(self, limit: int) -> None:
        self._items: deque[T] = deque(maxlen=limit)
        self._lock = threading.RLock()
        """Re-entrant, as a signal handler or a destructor may add from within."""

    def append(self, item: T) -> None:
        """Add one, in the place of the oldest where there are enough. From any thread."""
        with self._lock:
            self._items.append(item)

    def mark_forked(self) -> None:
        """Be free of a lock whose holder does not exist in the child of a fork."""
        self._lock = threading.RLock()

    def list(self) -> tuple[T, ...]:
        """Return what is kept, newest last. From any thread."""
        with self._lock:
            return tuple(self._items)

    def take(self, wanted: Callable[[T], object]) -> tuple[T, ...]:
        """Take out those of what is kept now that are wanted, newest last. From any thread.

        `wanted` runs without the lock, so that it may take its time. Of several who take
        at once each gets others: what another one has taken meanwhile, or newer ones
        have displaced, is not among them.
        """
        chosen = [item for item in self.list() if wanted(item)]
        marks = {id(item) for item in chosen}  # `chosen` keeps them from being reused
        with self._lock:
            taken = tuple(item for item in self._items if id(item) in marks)
            left = [item for item in self._items if id(item) not in marks]
            if taken:
                self._items = deque(left, self._items.maxlen)
        return taken
