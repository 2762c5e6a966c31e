"""The newest of what any thread adds, and no more than a number of them.

Owns the bounded list. It must not know what is in it.

A `deque` alone will not do: copying one that somebody appends to raises on a
free-threaded build, and so fails just when there is most to read.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

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
