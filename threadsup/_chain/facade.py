"""The handle of a chain: items in, results out, and the end of the stream.

Owns `Chain` and the first wiring of its stages. It must not know how a stage runs. The
data path is wired when the chain is made: each outlet holds the next stage's inlet,
and nothing asks upward.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, final

from threadsup._chain.changes import Changes
from threadsup._chain.graph import Graph, Links, fed_by
from threadsup._chain.letters import Letters
from threadsup._chain.line import slower
from threadsup._chain.members import Members
from threadsup._chain.scope import ChainScope
from threadsup._chain.stream import stream
from threadsup._errors import CallingSelfError, MailboxClosed
from threadsup._runtime.context import Place, Wakeup, current
from threadsup._runtime.family import Ledger
from threadsup._runtime.future import Future
from threadsup._runtime.inlet import BadKey
from threadsup._runtime.pykka_compat import Envelope, fail
from threadsup._scope import rules_of_scope
from threadsup._snapshot import ChainStatistics, Items, total

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from threadsup._cell import Services
    from threadsup._chain.stream import Errors
    from threadsup._exits import ChildId
    from threadsup._runtime.inlet import Inlet
    from threadsup._runtime.mailbox import Mailbox
    from threadsup._scope import WorkerScope
    from threadsup._specs import Budget, ChainSpec

__all__ = ["Chain", "chain_scope"]


@final
class Chain(Members, Graph, Letters):
    """Stages in order. From `add_chain` and `chain(id)`; for any thread."""

    __slots__ = (
        "_closed",
        "_head",
        "_ledger",
        "_links",
        "_lock",
        "_place",
        "_scope",
        "_services",
        "spec",
    )

    def __init__(
        self, spec: ChainSpec, budget: Budget, supervisor: Any, services: Services
    ) -> None:
        self.spec = spec
        self._services = services
        self._place = Place(supervisor=supervisor, chain=self)
        self._ledger = Ledger(services.settle)
        self._links = Links()
        rules = rules_of_scope(
            budget,
            escalate=spec.escalate,
            strategy=spec.strategy,
            stop="in_turn",
            ends="any",
            drains=True,
        )
        lines = tuple(self._make_line(stage) for stage in spec.stages)
        lines[0].set_rate(slower(spec.rate, lines[0].rate))
        lines[-1].on_result = spec.on_result
        for line in lines:
            for _ in range(line.size):
                line.make()
            line.link(to=line.cells)
        self._scope = ChainScope(spec.id, rules, lines, services)
        self._scope.set_lines(lines)
        self._scope.facade = self
        self._head = lines[0].inlet
        """How items get into its first stage: at hand, for every item needs it."""
        self._scope.changes = Changes(self._scope)
        self._scope.changes.entry = spec.rate
        self._lock = threading.RLock()
        """Guards `_closed` together with what it means for the head. Re-entrant: a
        signal handler may close the chain it has interrupted."""
        self._closed = False

    def __repr__(self) -> str:
        return f"<Chain {self.id!r}, {len(self)} stages>"

    @property
    def id(self) -> ChildId:
        """Its id in its supervisor."""
        return self.spec.id

    @property
    def supervisor(self) -> Any:
        """The supervisor it belongs to."""
        return self._place.supervisor

    @property
    def is_up(self) -> bool:
        """Whether it runs, and is not about to end."""
        return self._scope.state.phase == "up"

    @property
    def scope(self) -> ChainScope:
        """Its scope; for the supervisor."""
        return self._scope

    @property
    def inlet(self) -> Inlet:
        """How items get into its first stage; for chains that go on to this one."""
        return self._scope.lines[0].inlet

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
        if at is None and timeout is None:  # as most are told: what follows is calls dearer
            try:
                self._head.put(item)
            except BadKey as bad:
                raise bad.error from None
            except MailboxClosed:
                pass  # for good, or not: see `_send`
            else:
                return
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
        self.tell(Envelope(item, future), at, timeout)
        return future

    def _send(self, raw: Any, at: ChildId | None, timeout: float | None) -> None:
        end, left = None if timeout is None else monotonic() + timeout, timeout
        while True:
            inlet = self.inlet if at is None else self._line(at).inlet
            if self._closed and at is not None:
                raise MailboxClosed(f"chain {self.id!r} is closed")
            boxes = inlet.boxes
            try:
                if timeout == 0:
                    inlet.put_nowait(raw)
                else:
                    inlet.put(raw, left)
            except BadKey as bad:
                raise bad.error from None
            except MailboxClosed:
                # What it was to be put into has just been removed: there is another one.
                if boxes is inlet.boxes and (at is not None or inlet is self.inlet):
                    raise
            else:
                return
            left = None if end is None else max(0.0, end - monotonic())

    def map(
        self,
        items: Iterable[Any],
        *,
        ordered: bool = True,
        errors: Errors = "raise",
        window: int | None = None,
    ) -> Generator[Any, None, None]:
        """Send a stream of items through the chain and return a generator of the results.

        Items are pulled in the thread that iterates, and only as fast as results are
        taken from the generator. Dropped items give nothing, emitted ones several
        results. Closing the generator stops the pulling.

        Args:
            items: Any iterable, however long.
            ordered: Whether results come in the order of the items. Otherwise they come
                as they finish.
            errors: What an item that failed does: `"raise"` ends the stream where it
                would have come, as `Executor.map` does, `"skip"` gives nothing,
                `"return"` gives the exception.
            window: How many items may be on their way or held back for the order;
                `None`: as many as the chain has room for.

        Raises:
            ValueError: one of the options is none of these.
            TypeError: there is no iterating over the items.
            CallingSelfError: from a stage of this chain, or of one that it feeds.
        """
        self._check_waiting()
        return stream(
            items,
            offer=self._offer,
            put=self._enter,
            window=self._room() if window is None else window,
            ordered=ordered,
            errors=errors,
        )

    def _check_waiting(self) -> None:
        context = current()
        if context is None or context.chain is None:
            return
        if context.chain is self or self.leads_to(context.chain):
            raise CallingSelfError(
                f"{context.id!r} would wait for its own stage: results of chain {self.id!r} "
                f"come through it"
            )

    def _offer(self, raw: Any) -> bool:
        inlet = self._head
        boxes = inlet.boxes
        try:
            return inlet.offer(raw)
        except MailboxClosed:
            if boxes is inlet.boxes and inlet is self._head:
                raise
            return False  # as above: to be offered again, in vain at worst
        except BadKey as bad:  # the failure of this item alone
            if not isinstance(bad.error, Exception):
                raise bad.error from None
            fail(raw.reply_to, bad.error)
            return True

    def _enter(self, raw: Any) -> None:
        waited = set[Any]()
        try:
            while not self._offer(raw):
                inlet = self.inlet  # each time: another stage may be the first one by now
                waited.add(inlet)
                inlet.wait_for_room(raw)
        finally:
            for inlet in waited:
                inlet.pass_on()

    def _room(self) -> int:
        """Return how many items the chain holds, and those it feeds, queued and in hand."""
        lines = (line for chain in (self, *fed_by([self])) for line in chain.scope.lines)
        return sum((line.capacity + 1) * line.most for line in lines)

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until all items accepted before the call are finished.

        Blocks: for up to `timeout` seconds, `None` without limit.

        Returns:
            Whether they are; items that were undelivered or failed are finished.

        Raises:
            CallingSelfError: from a stage of this chain.
            NotRunningError: this is the child of a fork.
        """
        self._check_waiting()
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
            self._shut("the chain is closed")
        self._scope.finish_behind()

    def shut(self) -> None:
        """Take no more items, and do not end. For the draining of a tree."""
        with self._lock:
            self._shut("the chain is drained, its tree is stopping")

    def _shut(self, why: str) -> None:
        self._closed = True
        for cell in self._scope.lines[0].cells:
            cell.mailbox.shut(why)

    def head_changed(self) -> None:
        """Keep a chain that is closed closed: another stage is the first one. For its scope."""
        self._head = self._scope.lines[0].inlet
        with self._lock:
            if self._closed:
                self._shut("the chain is closed")

    def reopen(self) -> None:
        """Be as if never closed: the chain had ended and is started again. For its scope."""
        with self._lock:
            self._closed = False

    def open(self, mailbox: Mailbox) -> None:
        """Open the mailbox of a replica that starts, if it is to be. For that replica."""
        with self._lock:
            head = self._scope.lines[0].cells
            if not (self._closed and any(mailbox is cell.mailbox for cell in head)):
                mailbox.open()

    def mark_forked(self) -> None:
        """Be free of locks whose holders do not exist in the child of a fork."""
        self._lock = threading.RLock()
        for line in self._scope.lines:
            line.moving = threading.RLock()
        self._ledger.mark_forked()

    @property
    def is_closed(self) -> bool:
        """Whether `close()` was called."""
        return self._closed

    def statistics(self) -> ChainStatistics:
        """Return the counts of messages and items; see `Counts` and `Items`."""
        scope, families = self._scope, self._ledger.snapshot()
        lines = (*scope.lines, *(line for line in scope.leaving if line not in scope.lines))
        found = {line: line.statistics() for line in lines}
        sums, past = total(found.values()), scope.past
        if past:
            sums["accepted"] += past["taken"] + past["undelivered"]
            sums["handled"] += past["handled"]
            sums["failed"] += past["failed"] + past["abandoned"]
            sums["undelivered"] += past["undelivered"]
            sums["restarts"] += past["restarts"]
        counts = [each for line in lines for each in line.counts()]
        cells = [cell for line in lines for cell in line.cells]

        def summed(name: str) -> int:
            return sum(each[name] for each in counts) + past.get(name, 0)

        items = Items(
            offered=sums["accepted"]
            + sum(cell.outlet.kept for cell in cells)
            - summed("handed")
            - families.copies,
            completed=summed("completed") + families.completed,
            dropped=summed("dropped") + families.dropped,
            failed=sums["failed"]
            + sums["undelivered"]
            - families.failed_branches
            + families.failed,
            in_flight=sum(cell.in_flight for cell in cells)
            + sum(line.in_limbo for line in lines)
            - families.open_branches
            + families.open_families,
        )
        stages = {line.id: found[line] for line in scope.lines if line in found}
        failures = summed("tap_failures")
        return ChainStatistics(**sums, items=items, stages=stages, tap_failures=failures)


def chain_scope(
    spec: ChainSpec, budget: Budget, supervisor: Any, services: Services
) -> WorkerScope:
    """Return the scope of a chain; its handle is the `facade`."""
    return Chain(spec, budget, supervisor, services).scope
