"""A worker under rules: what outlives its lives besides.

Owns what is put away until it is tried again, the calls that are made under a breaker,
and what becomes of both when a life, or the worker, ends. It must not know who makes the
calls, nor how a message comes to be tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadsup._cell import Cell
from threadsup._runtime.aside import Aside
from threadsup._tools import calls_under

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup import events
    from threadsup._cell import Services
    from threadsup._exits import ExitReason
    from threadsup._runtime.actor import Behaviour, Life
    from threadsup._runtime.context import Place
    from threadsup._runtime.mailbox import Mailbox
    from threadsup._snapshot import Abandonment
    from threadsup._specs import StageSpec, WorkerSpec
    from threadsup._tools import Calls

__all__ = ["RuledCell"]


class RuledCell(Cell):
    """A worker whose messages may be put away, and whose calls may be counted."""

    def __init__(
        self,
        spec: WorkerSpec | StageSpec,
        path: events.Path,
        mailbox: Mailbox,
        make: Callable[[Life], Behaviour],
        place: Place,
        services: Services,
    ) -> None:
        self.aside = Aside(mailbox, services)
        self._calls: Calls | None = None
        """Those of the last life, if they are counted."""
        super().__init__(spec, path, mailbox, make, place, services)

    def _make_calls(self) -> Calls | None:
        """Return what makes the calls of a life that is about to begin; `None`: its loop."""
        self._calls = calls_under(self.spec.breaker)
        return self._calls

    def fence(self, reason: ExitReason) -> Abandonment:
        """Give the life up, and the call that it is in; return what it was doing."""
        if self._calls is not None:
            # First: who hears that it was given up on finds that counted.
            self._calls.give_up()
        return super().fence(reason)

    # -- what is put away -----------------------------------------------------------

    @property
    def queued(self) -> int:
        """How many messages are queued, or put away to be queued again."""
        return super().queued + self.aside.deferred

    def _reopen(self) -> None:
        self.aside.open()
        super()._reopen()

    def _drop(self, why: str) -> None:
        self.mailbox.lose(self.aside.drop(), why)
        super()._drop(why)

    def _close(self, why: str) -> None:
        self.mailbox.lose(self.aside.clear(), why)
        super()._close(why)
