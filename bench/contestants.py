"""What the works of the benchmark are made of: a goal, bare threads, plain Pykka.

Owns the small parts that several works share, none of them threadsup's. It must not
know what is measured.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pykka

if TYPE_CHECKING:
    import queue
    from collections.abc import Callable, Iterator

__all__ = ["PATIENCE", "Goal", "Plain", "consuming", "same", "timed"]

PATIENCE = 120.0
"""Seconds after which a work that does not come to its end has failed."""


class Goal:
    """Handles messages by counting them; `reached` is set by the last one."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.reached = threading.Event()

    def __call__(self, _: Any) -> None:
        """Handle one message. For one thread."""
        self.left -= 1
        if not self.left:
            self.reached.set()

    def wait(self) -> None:
        """Wait for the last one. Blocks.

        Raises:
            TimeoutError: it does not come.
        """
        if not self.reached.wait(PATIENCE):
            raise TimeoutError(f"{self.left} messages were not handled")


def timed(put: Callable[[Any], Any], count: int, goal: Goal) -> float:
    """Return the seconds from the first message put to the last one handled."""
    began = time.perf_counter()
    for number in range(count):
        put(number)
    goal.wait()
    return time.perf_counter() - began


def same(item: Any) -> Any:
    """Do a stage's work: none."""
    return item


@contextmanager
def consuming(*pairs: tuple[queue.SimpleQueue[Any] | queue.Queue[Any], Any]) -> Iterator[None]:
    """Run a thread per `(inbox, handle)` inside the `with` block: bare, with nothing beside.

    Each ends at one `None`, of which as many are sent at the end of the block.
    """

    def loop(inbox: Any, handle: Callable[[Any], Any]) -> None:
        while (item := inbox.get()) is not None:
            handle(item)

    threads = [threading.Thread(target=loop, args=pair, daemon=True) for pair in pairs]
    for thread in threads:
        thread.start()
    yield
    for inbox, _ in pairs:  # all, and then wait: those who share an inbox take any
        inbox.put(None)
    for thread in threads:
        thread.join(PATIENCE)


class Plain(pykka.ThreadingActor):
    """Calls a function per message."""

    def __init__(self, handle: Callable[[Any], Any]) -> None:
        super().__init__()
        self.on_receive = handle  # type: ignore[assignment,method-assign]
