"""A pause: workers take nothing until it is lifted.

Owns the waiting of those who are held up, and the telling that they are. It must not
know who is paused, or what for.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, final

from threadsup._runtime.context import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pause"]


@final
class Pause:
    """Holds up whoever parks in it. Lifted once."""

    __slots__ = ("_lifted", "_parked", "_waiting", "finishes")

    def __init__(
        self, parked: Callable[[Any], None] | None = None, *, finishes: bool = False
    ) -> None:
        self.finishes = finishes
        """Whether an item that becomes several is to be through before."""
        self._lifted = False
        self._parked = parked
        """Called with each life that has come: it has nothing in hand, and what it made
        has been handed on."""
        self._waiting: deque[Wakeup] = deque()

    def park(self, life: object) -> None:
        """Wait until the pause is lifted, or the worker is asked to stop. Blocks."""
        wakeup = Wakeup()
        # Registered, then looked: `lift` says so first and then wakes those it finds.
        self._waiting.append(wakeup)
        if self._parked is not None:
            self._parked(life)
        if not self._lifted:
            wakeup.wait(give_way=True)

    def lift(self) -> None:
        """Let everybody go on, those who come later, too. Never blocks."""
        self._lifted = True
        try:
            while True:
                self._waiting.popleft().set()
        except IndexError:
            return
