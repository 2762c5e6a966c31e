"""Threads, as many as there may be: what is left to try when nothing is known.

Owns starting them and letting them go. It must not know how many are wanted.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Trial", "start_threads"]


@final
@dataclass(frozen=True, slots=True)
class Trial:
    """How far it went."""

    started: int
    seconds: float
    error: str
    """What the next one failed with; empty where all were started."""


def start_threads(
    number: int,
    make: Callable[..., threading.Thread] = threading.Thread,
    clock: Callable[[], float] = time.monotonic,
) -> Trial:
    """Start that many threads that do nothing, and end them.

    Blocks until they are gone. Ctrl-C breaks it off, and ends them too.
    """
    over = threading.Event()
    threads: list[threading.Thread] = []
    error = ""
    began = clock()
    try:
        for _ in range(number):
            thread = make(target=over.wait, name="threadsup-doctor", daemon=True)
            try:
                thread.start()
            except (MemoryError, OSError, RuntimeError) as refused:
                error = str(refused) or type(refused).__name__
                break
            threads.append(thread)
        seconds = clock() - began
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return Trial(len(threads), seconds, error)
