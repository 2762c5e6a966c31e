"""How the changes of a chain are made: one after another, each step by step.

Owns the line of changes, and the going on of one with what it has waited for. It must
not know what a change is about.

A change is a generator. It runs in the supervisor's thread, which must not wait, and
yields a `Step` for whatever it has to wait for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeAlias

from threadsup._chain.hold import Step

if TYPE_CHECKING:
    from threadsup._cell import Services
    from threadsup._runtime.future import Future

__all__ = ["Change", "Sequence"]

Change: TypeAlias = Generator[Step, None, None]


class Sequence:
    """Changes, one of which is made at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._waiting: deque[tuple[Change, Future[bool] | Step | None]] = deque()
        self._running: tuple[Change, Future[bool] | Step | None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a change is being made, or about to be."""
        return self._running is not None or bool(self._waiting)

    def begin(self, change: Change, future: Future[bool] | Step | None = None) -> None:
        """Make a change after those that were asked for before it."""
        self._waiting.append((change, future))
        # After the present call: it may be in the middle of a step of the machine, which
        # is not stepped within itself.
        self._services.later(self._next, None)

    def begin_beside(self, change: Change) -> None:
        """Make a change that must not wait for others."""
        self._services.later(self._continue, ((change, None), None))

    def cancel(self, error: Exception) -> None:
        """Make none of those changes that somebody waits for and that have not begun."""
        waiting, self._waiting = self._waiting, deque()
        for change, future in waiting:
            if future is None:  # it may be what lets in again who waits at a gate
                self._waiting.append((change, future))
                continue
            change.close()
            self._settle(future, error)

    def _next(self, _: None) -> None:
        while self._running is None and self._waiting:
            self._running = self._waiting.popleft()
            self._go_on(self._running, None)

    def _go_on(self, made: tuple[Change, Future[bool] | Step | None], step: Step | None) -> None:
        change, future = made
        error: Exception | None = None
        try:
            if step is not None and step.error is not None:
                following = change.throw(step.error)
            else:
                following = next(change)
        except StopIteration:
            pass
        except Exception as raised:  # noqa: BLE001 - it is the caller's
            error = raised
        else:
            following.then(lambda: self._services.later(self._continue, (made, following)))
            return
        if made is self._running:
            self._running = None
        self._settle(future, error)

    def _continue(self, what: tuple[Any, Step | None]) -> None:
        self._go_on(*what)
        self._next(None)

    def _settle(self, future: Future[bool] | Step | None, error: BaseException | None) -> None:
        if future is not None:
            self._services.settle(future, value=True, error=error)
