"""Failures that a test causes: a worker that crashes, a worker that hangs.

Owns `crash` and `hang`. It must not know what the worker runs: nothing of it is touched.

Both put a mark into the mailbox, before everything that is queued, of the kind by which
timers come. When the worker takes it, in its own loop and thread, what is to happen
happens: an exception leaves the loop as one of the worker's own code would; or the thread
stays there, with something in its hand that counts as a message while it lasts.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast, final

from threadsup._chain import Stage
from threadsup._pool.worker import PoolCell
from threadsup._runtime.context import current
from threadsup._runtime.lanes import Token
from threadsup._runtime.ref import WorkerRef
from threadsup._runtime.ticking import drop
from threadsup._runtime.timers import NOTHING, Due
from threadsup.testing.expect import announce
from threadsup.testing.gate import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from threadsup._cell import Cell
    from threadsup._exits import Exit
    from threadsup._runtime.actor import Life

__all__ = ["Hang", "InjectedCrash", "crash", "hang"]


@final
class InjectedCrash(Exception):  # noqa: N818 - it says what happened, to read in a report
    """What a worker crashes with that a test crashes."""


class _Mark:
    """Stands in for the timers of a `Due`: has something done when that is taken."""

    def __init__(self, cell: Cell, act: Callable[[_Mark, Life], Any]) -> None:
        self.cell = cell
        self.incarnation = 0
        """Which one took it; 0: none has."""
        self._act = act
        self._left: list[None] = [None]
        """Who pops it decides: the worker that takes the mark, or who calls it off."""
        self.token = Token(arrived=Due(cast("Any", self), 0.0, None, None), lost=self._lost)

    def put(self) -> None:
        self.cell.mailbox.jump(self.token)

    def _lost(self) -> None:
        self.call_off()

    def call_off(self) -> bool:
        """Have nothing happen; return whether nothing has."""
        try:
            self._left.pop()
        except IndexError:
            return False
        return True

    def is_active(self, due: object) -> bool:  # noqa: ARG002 - as below
        """Tell that no message is to come of it: it waits for no turn."""
        return False

    def take_mark(self, due: object) -> Any:  # noqa: ARG002 - there is only one
        """Do what is to be done; in the worker's thread."""
        if not self.call_off():
            return NOTHING
        context, life = current(), self.cell.life
        assert context is not None
        if life is None or life.number != context.incarnation:
            # It was given up on while it took the mark, which is for the next one.
            self._left.append(None)
            self.put()
            return NOTHING
        self.incarnation = context.incarnation
        return self._act(self, life)


def _cell_of(target: WorkerRef | Stage, replica: int) -> Cell:
    """Return the worker that is meant, which is one that takes messages and is not gone.

    Raises:
        TypeError: it is no worker.
        ValueError: there is no such replica, or it has ended or takes no messages.
    """
    made: Any = target
    if isinstance(target, Stage):
        cells = made._line.linked  # noqa: SLF001 - users know replicas by number only
        if not 0 <= replica < len(cells):
            raise ValueError(f"{target!r} has no replica {replica!r}")
        cell = cells[replica]
    elif isinstance(target, WorkerRef):
        cell = made._keeper  # noqa: SLF001
    else:
        raise TypeError(f"expected a WorkerRef or a Stage, not a {type(target).__name__}")
    if isinstance(cell, PoolCell):
        raise ValueError(f"{cell.address!r} is of a pool: submit what crashes, or hangs")  # noqa: TRY004
    if cell.incarnation == 0:
        raise ValueError(f"{cell.address!r} was not started")
    if (reason := cell.wait(0)) is not None:
        raise ValueError(f"{cell.address!r} has ended for good: {reason}")
    return cast("Cell", cell)


def crash(
    target: WorkerRef | Stage,
    error: BaseException | None = None,
    *,
    replica: int = 0,
    timeout: float = PATIENCE,
) -> Exit:
    """Have a worker crash, and wait until that was handled.

    It happens between two messages: after the one in hand, before those that are queued,
    and costs none of them. A task crashes in its `receive()`. Between two incarnations it
    happens to the next one. The `supervisor` fixture takes such a crash as announced.

    Blocks: until the supervisor has decided what follows, for up to `timeout` seconds.
    The next incarnation may not be up yet; what is sent to it waits.

    Args:
        target: A worker's ref, or a stage of a chain.
        error: What it crashes with; by default an `InjectedCrash`.
        replica: Of a stage: which of its replicas, in their order.
        timeout: Seconds.

    Returns:
        The exit: the incarnation, the reason, whether it was final.

    Raises:
        TypeError: `target` is neither.
        ValueError: it was not started, has ended for good, or is a worker of a pool.
        TimeoutError: it took no message in time, and will not crash any more.
    """
    cell = _cell_of(target, replica)

    def act(mark: _Mark, _: Life) -> NoReturn:
        raise error or InjectedCrash(f"by crash(), incarnation {mark.incarnation}")

    mark = _Mark(cell, act)
    condition = threading.Condition()
    exits: list[Exit] = []

    def heard(exit: Exit) -> None:
        with condition:
            exits.append(exit)
            condition.notify_all()

    def handled() -> Exit | None:
        taken = mark.incarnation
        return next((each for each in exits if taken and each.incarnation == taken), None)

    end = cell.monitor(heard)
    try:
        mark.put()
        with condition:
            handled_exit = condition.wait_for(handled, timeout)
    finally:
        end()
    if handled_exit is None:
        text = f"its exit was not handled within {timeout:g} s"
        if mark.call_off():
            text = f"it came to no message within {timeout:g} s: it is busy, paused or ended"
        raise TimeoutError(f"{cell.address!r} did not crash: {text}")
    announce(cell._services, cell.path, mark.incarnation)  # noqa: SLF001
    return handled_exit


def hang(target: WorkerRef | Stage, *, replica: int = 0, timeout: float = PATIENCE) -> Hang:
    """Return a block in which a worker hangs in a message, deaf to all that is asked of it.

    ```python
    with hang(ref):
        with pytest.raises(ReplyTimeout):
            ref.ask("get", timeout=0.01)
    ```

    The message is nobody's and is handled before those that are queued; limits apply to it
    as to any. If the worker is given up on meanwhile it counts as one that has failed;
    that end is taken as announced. A thread in it cannot be interrupted.

    Blocks: at the beginning of the block, until the worker hangs; at its end until it
    does not any more; each for up to `timeout` seconds.

    Args:
        target: A worker's ref, or a stage of a chain.
        replica: Of a stage: which of its replicas, in their order.
        timeout: Seconds.

    Raises:
        TypeError: `target` is neither.
        ValueError: it was not started, has ended for good, or is a worker of a pool.
        TimeoutError: it came to no message in time, and will not hang any more.
    """
    return Hang(_cell_of(target, replica), timeout)


@final
class Hang:
    """A worker that hangs for as long as a block lasts; from `hang`."""

    def __init__(self, cell: Cell, timeout: float) -> None:
        self._cell = cell
        self._timeout = timeout
        self._mark = _Mark(cell, self._stay)
        self._reached = threading.Event()
        self._released = threading.Event()
        self._gone = threading.Event()

    def __repr__(self) -> str:
        return f"<Hang of {self._cell.address!r}>"

    def __enter__(self) -> Self:
        mark, cell = self._mark, self._cell
        mark.put()
        if not self._reached.wait(self._timeout):
            if mark.call_off():
                raise TimeoutError(
                    f"{cell.address!r} came to no message within {self._timeout:g} s: "
                    "it is busy, paused or ended"
                )
            self._reached.wait()  # it has come to it in this very moment
        announce(cell._services, cell.path, mark.incarnation)  # noqa: SLF001
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let the worker go on. Blocks: until it does.

        Raises:
            TimeoutError: it does not.
        """
        self._released.set()
        if self._mark.incarnation and not self._gone.wait(self._timeout):
            raise TimeoutError(f"{self._cell.address!r} did not go on in {self._timeout:g} s")

    def _stay(self, _: _Mark, life: Life) -> Any:
        """Stand in the worker's thread, with something in its hand."""
        life.since = time.monotonic()
        life.hand.append(self)
        life.taken += 1
        # Whatever is asked of it from here on it does not hear.
        self._reached.set()
        self._released.wait()
        drop(life)  # unless it was given up on, and this counted as failed
        self._gone.set()
        return NOTHING
