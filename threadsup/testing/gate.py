"""A gate: a point in one thread at which another one decides when it goes on.

Owns `Gate`. It must not know supervisors or workers: any thread may stand at one.
"""

from __future__ import annotations

import threading
from typing import final

__all__ = ["PATIENCE", "Gate"]

PATIENCE = 10.0
"""Seconds that something in a test may take; only a failing test uses them up."""


@final
class Gate:
    """A point in the code that a thread reaches, stands at, and is let through.

    The thread under test calls `meet()`: it reports itself and stands until the test
    opens the gate. The test calls `wait_reached()`, does what is to happen meanwhile,
    and then `open()`. Once open a gate stays open.

    Every wait is bounded and says what it waited for when it gives up. It is an ordinary
    wait: a worker that is asked to stop stays at the gate.

    Args:
        name: For the texts of errors.
        patience: Seconds that each wait takes at most.
    """

    def __init__(self, name: str = "the gate", *, patience: float = PATIENCE) -> None:
        self._name = name
        self._patience = patience
        self._condition = threading.Condition()
        self._arrived = 0
        self._open = False

    def __repr__(self) -> str:
        state = "open" if self._open else "closed"
        return f"<Gate {self._name!r}, {state}, {self._arrived} came>"

    def meet(self) -> None:
        """Report this thread and stand until the gate is open.

        Blocks: until then.

        Raises:
            TimeoutError: nobody opened it in time.
        """
        with self._condition:
            self._arrived += 1
            self._condition.notify_all()
            if not self._condition.wait_for(lambda: self._open, self._patience):
                raise TimeoutError(f"{self._name} was not opened within {self._patience:g} s")

    def wait_reached(self, threads: int = 1) -> None:
        """Wait until that many threads, all told, have come to the gate.

        Blocks: until then.

        Raises:
            TimeoutError: not so many came in time.
        """
        with self._condition:
            if not self._condition.wait_for(lambda: self._arrived >= threads, self._patience):
                raise TimeoutError(
                    f"{self._arrived} of {threads} came to {self._name} in {self._patience:g} s"
                )

    def open(self) -> None:
        """Let everybody through, now and later. Never blocks for long."""
        with self._condition:
            self._open = True
            self._condition.notify_all()

    @property
    def arrived(self) -> int:
        """How many threads have come to the gate so far."""
        with self._condition:
            return self._arrived
