"""The timers of a tree: one per child and one per scope, in one heap.

Owns which of them is due next. It must not know what happens then, nor the time:
that is an argument. A timer that was replaced or taken away stays in the heap and
is passed over; the head of the heap is always live, so nobody wakes for a dead
one, and when most of the heap is dead it is made anew.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Any

from threadsup._policy.protocol import Deadline

if TYPE_CHECKING:
    from threadsup._exits import ChildId

__all__ = ["Timers"]

_SPARE = 64
"""Dead entries that are not worth the sweeping."""


class Timers:
    """Who is to be called when."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._live: dict[int, tuple[Any, ChildId | None, int]] = {}
        self._serial_of: dict[tuple[int, ChildId | None], int] = {}
        self._serials = count()

    def set(self, owner: Any, key: ChildId | None, number: int, at: float | None) -> None:
        """Set the one timer of `owner` and `key`; `None` takes it away."""
        place = (id(owner), key)
        old = self._serial_of.pop(place, None)
        if old is not None:
            del self._live[old]
        if at is not None:
            serial = next(self._serials)
            self._serial_of[place] = serial
            self._live[serial] = (owner, key, number)
            heapq.heappush(self._heap, (at, serial))
        while self._heap and self._heap[0][1] not in self._live:
            heapq.heappop(self._heap)
        if len(self._heap) > 2 * len(self._live) + _SPARE:
            self._heap = [entry for entry in self._heap if entry[1] in self._live]
            heapq.heapify(self._heap)

    def next(self) -> float | None:
        """Return when the next one is due, `None` if there is none."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[tuple[Any, Deadline]]:
        """Take out those that are due, in order, each with whom to tell."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            owner, key, number = self._live[self._heap[0][1]]
            self.set(owner, key, number, None)
            due.append((owner, Deadline(key, number)))
        return due
