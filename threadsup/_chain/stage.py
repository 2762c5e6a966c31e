"""A stage at run time: its cell, its outlet, and the handle users get.

Owns how a stage is made of its description, and what becomes of results it
could not hand on. It must not know the other stages, but for the mailbox of the
next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from threadsup._cell import Cell
from threadsup._runtime.outlet import Outlet, StageBehaviour
from threadsup._runtime.worker import WorkerBehaviour, with_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._cell import Services
    from threadsup._exits import ChildId, Exit
    from threadsup._policy.protocol import Fate
    from threadsup._policy.restart import NoRestart
    from threadsup._runtime.actor import Behaviour, Life
    from threadsup._runtime.context import Place
    from threadsup._runtime.mailbox import Mailbox, Token
    from threadsup._snapshot import WorkerStatistics
    from threadsup._specs import StageSpec

__all__ = ["Stage", "StageCell"]


class StageCell(Cell):
    """The worker of a stage."""

    def __init__(
        self,
        spec: StageSpec,
        chain: ChildId,
        mailbox: Mailbox,
        outlet: Outlet,
        place: Place,
        services: Services,
    ) -> None:
        assert spec.id is not None
        self.outlet = outlet
        super().__init__(spec, (chain, spec.id), mailbox, self._behaviour, place, services)

    def _behaviour(self, life: Life) -> Behaviour:
        spec = self.spec
        call = spec.target, spec.args, spec.kwargs
        if spec.kind == "stage":
            return StageBehaviour(life, self.outlet, function=with_arguments(*call))
        worker = WorkerBehaviour(life, *call, reply_errors=False)
        return StageBehaviour(life, self.outlet, worker=worker)

    def decided(self, fate: Fate, why: NoRestart | None) -> None:
        """Close or shut the mailbox; results in the outbox share its fate."""
        if fate == "gone":
            self.outlet.lose("its stage ended before it was handed on")
        super().decided(fate, why)

    def _open(self) -> None:
        # The head of a chain that was closed stays shut when its worker comes back.
        self._place.chain.open(self.mailbox)

    def _token_lost(self, token: Token) -> None:
        # Here, not in the side thread: it runs no code of users, and is not to wait
        # for that of a callback that blocks.
        if token.lost is not None:
            token.lost()


@final
class Stage:
    """A place in a chain. From `chain[id]`; for any thread."""

    __slots__ = ("_cell",)

    def __init__(self, cell: StageCell) -> None:
        self._cell = cell

    def __repr__(self) -> str:
        state = "alive" if self.is_alive() else "not alive"
        return f"<Stage {self.id!r}, incarnation {self.incarnation}, {state}>"

    @property
    def id(self) -> ChildId:
        """Its id in its chain."""
        return self._cell.id

    @property
    def incarnation(self) -> int:
        """How often its worker has been started; each attempt counts."""
        return self._cell.incarnation

    def is_alive(self) -> bool:
        """Return whether its worker is up."""
        return self._cell.alive

    def monitor(self, fn: Callable[[Exit], object]) -> Callable[[], None]:
        """Have `fn(exit)` called at each exit of its worker; see `WorkerRef.monitor`."""
        return self._cell.monitor(fn)

    def statistics(self) -> WorkerStatistics:
        """Return the counts of its messages, over all incarnations."""
        return self._cell.statistics()
