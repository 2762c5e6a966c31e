"""The events of a tree as a list that a test waits on.

Owns `EventLog` and `capture_events`. It must not know what events mean.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, final, overload

from threadsup.testing.gate import PATIENCE

if TYPE_CHECKING:
    from threadsup._supervisor import Supervisor
    from threadsup.events import Event

__all__ = ["EventLog", "capture_events"]

E = TypeVar("E")

_What: TypeAlias = "type[Any] | Callable[[Event], object]"


@final
class EventLog(Sequence["Event"]):
    """The events that have come so far, in the order they came. For any thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Add one; for `subscribe`."""
        with self._condition:
            self._events.append(event)
            self._condition.notify_all()

    def __len__(self) -> int:
        with self._condition:
            return len(self._events)

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...

    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        with self._condition:
            return self._events[index]

    def __repr__(self) -> str:
        return f"<EventLog {self[:]!r}>"

    @overload
    def of(self, what: Callable[[Event], object]) -> list[Event]: ...

    @overload
    def of(self, what: type[E]) -> list[E]: ...

    def of(self, what: _What) -> list[Any]:
        """Return those of a type, or for which `what(event)` is true. Never blocks."""
        with self._condition:
            return self._of(what)

    def _of(self, what: _What) -> list[Event]:
        if isinstance(what, type):
            return [event for event in self._events if isinstance(event, what)]
        return [event for event in self._events if what(event)]

    @overload
    def wait_for(
        self, what: Callable[[Event], object], timeout: float = ..., *, count: int = ...
    ) -> Event: ...

    @overload
    def wait_for(self, what: type[E], timeout: float = ..., *, count: int = ...) -> E: ...

    def wait_for(self, what: _What, timeout: float = PATIENCE, *, count: int = 1) -> Any:
        """Wait for an event, one that has come already included.

        Blocks: for up to `timeout` seconds.

        Args:
            what: A type of `threadsup.events`, or a function that is called with each
                event and says whether it is the one.
            timeout: Seconds.
            count: Which one of those: the first, the second and so on.

        Returns:
            That event.

        Raises:
            TimeoutError: it did not come; says what did.
        """
        with self._condition:
            if not self._condition.wait_for(lambda: len(self._of(what)) >= count, timeout):
                name = getattr(what, "__name__", repr(what))
                came = "".join(f"\n  {event!r}" for event in self._events) or " nothing"
                raise TimeoutError(
                    f"{len(self._of(what))} of {count} {name} came within {timeout:g} s; "
                    f"there came:{came}"
                )
            return self._of(what)[count - 1]


@contextmanager
def capture_events(supervisor: Supervisor) -> Iterator[EventLog]:
    """Keep the events of a supervisor, and of all below it, from here to the end of the block.

    ```python
    with capture_events(sup) as log:
        crash(ref)
        log.wait_for(events.WorkerStarted)
    ```

    Events come from the tree's side thread: what a call has caused may come after it has
    returned, so wait for it. The log stays readable after the block.
    """
    log = EventLog()
    end = supervisor.subscribe(log)
    try:
        yield log
    finally:
        end()
