"""The handle of a chain: items in, results out, and the end of the stream.

Owns `Chain` and the wiring of its stages. It must not know how a stage runs. The
data path is wired when the chain is made: each outlet holds the next mailbox,
and nothing asks upward.

How "until all items accepted before are finished" is known without counting: a
token is put behind them at the head and handed from stage to stage at its place
in each mailbox. When it comes out at the tail, everything before it is out, too.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, final

from threadsup._cell import address_of
from threadsup._chain.scope import ChainScope
from threadsup._chain.stage import Stage, StageCell
from threadsup._errors import CallingSelfError, MailboxClosed, UnknownChildError
from threadsup._runtime.context import Place, Wakeup, current
from threadsup._runtime.future import Future
from threadsup._runtime.mailbox import Mailbox
from threadsup._runtime.outlet import Outlet
from threadsup._runtime.pykka_compat import Envelope
from threadsup._scope import rules_of_scope, rules_of_worker
from threadsup._snapshot import ChainStatistics, Items, total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadsup._cell import Services
    from threadsup._exits import ChildId
    from threadsup._scope import WorkerScope
    from threadsup._specs import Budget, ChainSpec

__all__ = ["Chain", "chain_scope"]


@final
class Chain:
    """Stages in order. From `add_chain` and `chain(id)`; for any thread."""

    __slots__ = ("_cells", "_closed", "_entered", "_head", "_lock", "_scope", "spec")

    def __init__(
        self, spec: ChainSpec, budget: Budget, supervisor: Any, services: Services
    ) -> None:
        self.spec = spec
        self._cells = self._wire(Place(supervisor=supervisor, chain=self), services)
        rules = rules_of_scope(
            budget,
            escalate=spec.escalate,
            strategy=spec.strategy,
            stop="in_turn",
            ends="any",
            drains=True,
        )
        cells = [(cell, rules_of_worker(cell.spec)) for cell in self._cells.values()]
        self._scope = ChainScope(spec.id, "chain", rules, cells, services)
        self._scope.facade = self
        self._lock = threading.RLock()
        """Guards `_entered`, which only senders into the middle count, and `_closed`
        together with what it means for the head. Re-entrant: a signal handler may
        close the chain it has interrupted."""
        self._entered = 0
        self._closed = False
        self._head = next(iter(self._cells.values())).mailbox

    def _wire(self, place: Place, services: Services) -> dict[ChildId, StageCell]:
        spec = self.spec
        cells: dict[ChildId, StageCell] = {}
        behind: Mailbox | None = None
        for stage in reversed(spec.stages):
            assert stage.id is not None
            mailbox = Mailbox(
                address_of((spec.id, stage.id)),
                spec.capacity if stage.capacity is None else stage.capacity,
                spec.on_full if stage.on_full is None else stage.on_full,
            )
            outlet = Outlet(behind, spec.on_result if behind is None else None)
            cells[stage.id] = StageCell(stage, spec.id, mailbox, outlet, place, services)
            behind = mailbox
        return dict(reversed(cells.items()))

    def __repr__(self) -> str:
        return f"<Chain {self.id!r}, {len(self)} stages>"

    @property
    def id(self) -> ChildId:
        """Its id in its supervisor."""
        return self.spec.id

    @property
    def scope(self) -> WorkerScope:
        """Its scope; for the supervisor."""
        return self._scope

    # -- stages ---------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._cells)

    def __iter__(self) -> Iterator[ChildId]:
        return iter(tuple(self._cells))

    def __contains__(self, id: object) -> bool:
        return id in self._cells

    def __getitem__(self, id: ChildId) -> Stage:
        return Stage(self._cell(id))

    def children(self) -> tuple[ChildId, ...]:
        """Return the ids of the stages in the order items pass. Never blocks."""
        return tuple(self._cells)

    def _cell(self, id: ChildId | None) -> StageCell:
        if id is None:
            return next(iter(self._cells.values()))
        try:
            return self._cells[id]
        except (KeyError, TypeError):
            raise UnknownChildError(f"chain {self.id!r} has no stage {id!r}") from None

    def restart_child(self, id: ChildId, timeout: float | None = None) -> None:
        """Stop a stage, if it runs, and start it again; nothing is lost.

        Blocks: until it is up or its start has failed.

        Raises:
            UnknownChildError: there is none of that id.
            StartError: it did not start; it is kept.
            CallingSelfError: from that stage, or from a stage that is starting.
        """
        cell = self._cell(id)
        context = current()
        if context is not None and context.home is cell.mailbox:
            raise CallingSelfError(f"{id!r} would wait for its own end")
        if context is not None and context.starting and context.chain is self:
            raise CallingSelfError(
                f"{context.id!r} cannot restart a stage while it starts: it would wait for itself"
            )
        self._scope.errand("restart_child", id).result(timeout)

    # -- items ----------------------------------------------------------------------

    def tell(self, item: Any, at: ChildId | None = None, timeout: float | None = None) -> None:
        """Send an item into the chain.

        Blocks: while the stage is full and waits (`on_full="wait"`), for up to
        `timeout` seconds, `None` without limit.

        Args:
            item: What the first stage is given.
            at: A stage to enter at instead.
            timeout: Seconds.

        Raises:
            MailboxFull: there was no room, at once or in time.
            MailboxClosed: the chain is closed or has ended.
            UnknownChildError: there is no such stage.
        """
        self._send(item, at, timeout)

    def tell_nowait(self, item: Any, at: ChildId | None = None) -> None:
        """Send an item into the chain. Never blocks.

        Raises:
            MailboxFull: there is no room now.
            MailboxClosed: the chain is closed or has ended.
            UnknownChildError: there is no such stage.
        """
        self._send(item, at, 0.0)

    def submit(
        self, item: Any, at: ChildId | None = None, timeout: float | None = None
    ) -> Future[Any]:
        """Send an item into the chain and get a future of its end result.

        The future holds the last stage's value, or the `Drop` or `Stop` at which
        the item ended; it raises what the stage raised, `Rejected`, or
        `WorkerExited` if the item was never handled. Blocks and raises as `tell`.
        """
        future: Future[Any] = Future()
        self._send(Envelope(item, future), at, timeout)
        return future

    def _send(self, raw: Any, at: ChildId | None, timeout: float | None) -> None:
        mailbox = self._head if at is None else self._cell(at).mailbox
        if self._closed and mailbox is not self._head:
            raise MailboxClosed(f"chain {self.id!r} is closed")
        if timeout == 0:
            mailbox.put_nowait(raw)
        else:
            mailbox.put(raw, timeout)
        if mailbox is not self._head:
            with self._lock:
                self._entered += 1

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until all items accepted before the call are finished.

        Blocks: for up to `timeout` seconds, `None` without limit.

        Returns:
            Whether they are; items that were undelivered or failed are finished.

        Raises:
            CallingSelfError: from a stage of this chain.
            NotRunningError: this is the child of a fork.
        """
        context = current()
        if context is not None and context.chain is self:
            raise CallingSelfError(f"chain {self.id!r} would wait for its own stage")
        self._scope.services.check_alive()
        finished = Wakeup()
        self._scope.send_through(finished.set)
        return finished.wait(timeout)

    def close(self) -> None:
        """Take no more items; the chain ends, normally, when the last one is finished.

        Never blocks. Closing a chain that is closed or has ended does nothing.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._head.shut("the chain is closed")
        self._scope.finish_behind()

    def shut(self) -> None:
        """Take no more items, and do not end. For the draining of a tree."""
        with self._lock:
            self._closed = True
            self._head.shut("the chain is drained, its tree is stopping")

    def reopen(self) -> None:
        """Be as if never closed: the chain had ended and is started again. For its scope."""
        with self._lock:
            self._closed = False

    def open(self, mailbox: Mailbox) -> None:
        """Open the mailbox of a stage that starts, if it is to be. For that stage."""
        with self._lock:
            if not (self._closed and mailbox is self._head):
                mailbox.open()

    def mark_forked(self) -> None:
        """Be free of a lock whose holder does not exist in the child of a fork."""
        self._lock = threading.RLock()

    @property
    def is_closed(self) -> bool:
        """Whether `close()` was called."""
        return self._closed

    def statistics(self) -> ChainStatistics:
        """Return the counts of messages and items; see `Counts` and `Items`."""
        stages = {key: cell.statistics() for key, cell in self._cells.items()}
        sums = [cell.counts() for cell in self._cells.values()]
        undelivered = sum(stage.undelivered for stage in stages.values())
        failed = sum(each["failed"] + each["abandoned"] for each in sums)
        waiting = sum(cell.outlet.waiting + cell.in_hand for cell in self._cells.values())
        first = next(iter(stages.values()))
        items = Items(
            offered=first.accepted + self._entered,
            completed=sum(each["completed"] for each in sums),
            dropped=sum(each["dropped"] for each in sums),
            failed=failed + undelivered,
            in_flight=waiting + sum(stage.pending for stage in stages.values()),
        )
        return ChainStatistics(**total(stages.values()), items=items, stages=stages)


def chain_scope(
    spec: ChainSpec, budget: Budget, supervisor: Any, services: Services
) -> WorkerScope:
    """Return the scope of a chain; its handle is the `facade`."""
    return Chain(spec, budget, supervisor, services).scope
