"""What tests force an order of events with, and what they collect results in.

Owns gates and recorders. Nothing here sleeps or polls: every wait is for an event,
is bounded, and says what it waited for when it gives up. The gate is the one the library
has for its users' tests; of the rest of it nothing is to be known here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from threadsup.testing.gate import PATIENCE, Gate

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PATIENCE", "Gate", "ManualClock", "Recorder"]

T = TypeVar("T")


class Recorder(Generic[T]):
    """A list that any thread appends to and a test waits on.

    It is called to append, so it serves as handler, subscriber, monitor and sink.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._items: list[T] = []

    def __call__(self, item: T) -> None:
        with self._condition:
            self._items.append(item)
            self._condition.notify_all()

    def __len__(self) -> int:
        with self._condition:
            return len(self._items)

    @property
    def items(self) -> list[T]:
        """A copy of what has come so far, in the order it came."""
        with self._condition:
            return list(self._items)

    def wait_for(self, count: int) -> list[T]:
        """Wait until `count` items have come and return all that have."""
        return self.wait_until(lambda items: len(items) >= count, f"{count} items")

    def wait_until(
        self,
        enough: Callable[[list[T]], bool],
        what: str = "enough",
        patience: float = PATIENCE,
    ) -> list[T]:
        """Wait until `enough(items)` holds and return the items."""
        with self._condition:
            if not self._condition.wait_for(lambda: enough(self._items), patience):
                msg = f"no {what} within {patience:g} s, only {self._items!r}"
                raise TimeoutError(msg)
            return list(self._items)


class ManualClock:
    """Monotonic seconds that pass only when the test says so."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        """Let `seconds` pass and return the new time."""
        self.now += seconds
        return self.now
