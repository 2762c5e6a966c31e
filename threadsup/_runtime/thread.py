"""A thread that is started without waiting for it.

Owns the differences between our threads and `threading.Thread`. It must not know what they
run.

`Thread.start()` sleeps until the new thread has reported: two switches between threads
for every start, on the supervisor's thread, and an `Event` of a kilobyte for as long as
the thread lives. What it is good for is told otherwise here: a worker reports its own
start to the supervisor. Everything else stays as it is: `threading.enumerate()`, names,
`join`, `is_alive`, hooks of debuggers and profilers.

And it runs in an empty context, on every version: a worker lives long and must not pin the
context variables of whoever happened to start it. Before 3.14 every thread does.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Thread"]


@final
class _Started:
    """Stands in for the event of a thread: set when its start returns."""

    __slots__ = ("_happened",)

    def __init__(self) -> None:
        self._happened = False

    def is_set(self) -> bool:
        return self._happened

    def set(self) -> None:
        self._happened = True

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - an event's
        # Called by `start` when the system has the thread. From here on it is alive, and
        # may be joined: its handle knows, whether it has run or not.
        self._happened = True
        return True

    def _at_fork_reinit(self) -> None:
        """Do nothing: there is no lock in it."""


_NO_KEYWORDS: dict[str, object] = {}
_shared: dict[str, Callable[[threading.Thread], None]] = {}


class Thread(threading.Thread):
    """A thread whose `start` does not wait for it; a daemon, always."""

    def __init__(self, *, target: object, args: tuple[object, ...], name: str) -> None:
        inherits = sys.version_info >= (3, 14)
        empty: dict[str, Any] = {"context": contextvars.Context()} if inherits else {}
        super().__init__(
            target=target,  # type: ignore[arg-type]
            args=args,
            kwargs=_NO_KEYWORDS,
            name=name,
            daemon=True,
            **empty,
        )
        # What tells of an exception that leaves a thread is half a kilobyte each, and the
        # same for all.
        hook = getattr(self, "_invoke_excepthook", None)
        if hook is not None:
            self._invoke_excepthook = _shared.setdefault("hook", hook)
        # Before 3.13 a thread that has not run yet can be neither joined nor asked
        # whether it is alive: there its start waits.
        if sys.version_info >= (3, 13) and hasattr(self, "_started"):
            self._started = _Started()
