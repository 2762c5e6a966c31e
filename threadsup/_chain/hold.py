"""What a change of a chain waits for: one step, or a stage that has put down all it had.

Owns the waiting. It must not know what is changed. All of it is in the supervisor's
thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from threadsup._runtime.pause import Pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._chain.line import StageLine
    from threadsup._chain.scope import ChainScope
    from threadsup._chain.stage import StageCell
    from threadsup._runtime.actor import Life

__all__ = ["Hold", "Step", "is_idle"]


class Step:
    """What a change waits for. Settled once, as a future is."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.done = False
        self.value: object = None
        self._then: Callable[[], None] | None = None

    def set(self, value: object = None) -> None:
        """Let the change go on. Does nothing if it was let before."""
        if not self.done:
            self.value = value
            self._settle()

    def set_exception(self, exc_info: tuple[Any, BaseException, Any]) -> None:
        """Let the change go on with an error. Does nothing if it was let before."""
        if not self.done:
            self.error = exc_info[1]
            self._settle()

    def _settle(self) -> None:
        self.done = True
        if self._then is not None:
            self._then()

    def then(self, call: Callable[[], None]) -> None:
        """Have `call()` called when it is done, or now."""
        self._then = call
        if self.done:
            call()


def is_idle(scope: ChainScope, cell: StageCell) -> bool:
    """Return whether a replica neither runs nor is to come back by itself."""
    child = scope.state.children.get(cell.id)
    if child is None or scope.state.phase in {"new", "down"}:
        return True
    return not (child.live or child.condition == "restarting")


class Hold:
    """A stage whose replicas are to put down what they have, and to take nothing new.

    One that starts meanwhile has to come, too, as a life that is new knows nothing of
    what the last one was told: so it is lives that are counted.
    """

    def __init__(self, scope: ChainScope, line: StageLine) -> None:
        self.line = line
        self.step = Step()
        self._scope = scope
        self._parked: set[Life] = set()
        self._cells = line.cells
        """Not those that are added meanwhile: they are sent nothing yet."""
        for cell in self._cells:
            cell.set_pause(Pause(self._report, finishes=line.keeps_order))
        self.look()

    def _report(self, life: Life) -> None:
        self._scope.services.post(self._came, life)

    def _came(self, life: Life) -> None:
        self._parked.add(life)
        self.look()

    def look(self) -> None:
        """See whether all have come, but those that are not to run."""
        # Who was forgotten has, too; by its id another one may be known already.
        if all(self._has_put_down(cell) for cell in self._cells if cell in self.line.cells):
            self.step.set()

    def _has_put_down(self, cell: StageCell) -> bool:
        if cell.life in self._parked or is_idle(self._scope, cell):
            return True
        # One that is to come back has nothing in hand, and looks at the pause before it
        # takes anything; but what it was in the middle of comes before all that is queued.
        return not (self._scope.state.children[cell.id].live or cell.outlet.suspended)
