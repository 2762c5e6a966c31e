"""SIGINT and SIGTERM for scripts: stop in order, then stop sooner.

Owns the handlers, which are installed only while a script waits in the main
thread, and put back after. It must not know what stopping means.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["HURRY", "stopping_on_signals"]

HURRY = 1.0
"""Seconds that a second signal leaves for the stop."""


@contextmanager
def stopping_on_signals(stop: Callable[[str, float | None], None]) -> Iterator[None]:
    """Call `stop(name, limit)` at SIGINT and SIGTERM; the limit is `None` at first.

    Does nothing outside the main thread, where Python installs no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen = 0

    def handle(number: int, frame: object) -> None:  # noqa: ARG001
        nonlocal seen
        seen += 1
        stop(signal.Signals(number).name, None if seen == 1 else HURRY)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            # `None`: it was installed by C code, and cannot be put back from here.
            signal.signal(number, signal.SIG_DFL if old is None else old)
