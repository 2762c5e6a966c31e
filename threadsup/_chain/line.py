"""One stage at run time: its replicas, and how items get in and out of it.

Owns the making of replicas, the table of them, and the wiring between this stage and
the next one. It must not know the scope or what has replicas come and go: it is told.

All changes are made in the supervisor's thread; tables are replaced, never changed, so
that any thread may read them.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, final

from threadsup._cell import address_of
from threadsup._chain.stage import StageCell
from threadsup._policy.autoscale import Autoscale
from threadsup._policy.rate import Window
from threadsup._policy.routing import candidates, stable_hash
from threadsup._runtime.emitting import Treatment
from threadsup._runtime.inlet import Inlet, chance
from threadsup._runtime.lanes import plain
from threadsup._runtime.limiter import Limiter
from threadsup._runtime.mailbox import Mailbox, Token
from threadsup._runtime.outlet import Outlet
from threadsup._runtime.timings import Timings
from threadsup._snapshot import StageStatistics, times, total
from threadsup._tools import pause_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from threadsup._cell import Services
    from threadsup._chain.scaling import Scaler
    from threadsup._chain.stage import Watcher
    from threadsup._exits import ChildId
    from threadsup._policy.rate import Rate
    from threadsup._runtime.context import Place
    from threadsup._runtime.family import Ledger
    from threadsup._runtime.outlet import Onward
    from threadsup._specs import ChainSpec, StageSpec

__all__ = ["StageLine", "slower"]


@final
class StageLine:
    """A stage and its replicas."""

    def __init__(
        self, spec: StageSpec, chain: ChainSpec, ledger: Ledger, place: Place, services: Services
    ) -> None:
        assert spec.id is not None
        self.spec = spec
        self.id: ChildId = spec.id
        self._chain = chain
        self._ledger = ledger
        self._place = place
        self._services = services
        self.watchers: list[Watcher] = []
        """Who hears of the exits of its replicas. Appending, removing, copying are atomic."""
        self.next: StageLine | None = None
        """The stage behind it. A stage that was removed keeps what it had."""
        self.after: StageLine | None = None
        """Where a mark goes on to: `next`, or a stage that is leaving in front of that."""
        self.cells: tuple[StageCell, ...] = ()
        """All its replicas, those that are coming or leaving, too."""
        self.linked: tuple[StageCell, ...] = ()
        """Those that items are sent to. Never empty once it was not."""
        self.absent: frozenset[StageCell] = frozenset()
        """Replicas that had ended for good, and may be brought back by hand."""
        self._forgotten: tuple[dict[str, int], tuple[StageCell, ...]] = {}, ()
        """The counts of replicas that were forgotten, and those of which a thread still
        runs: it may have something to count."""
        self.starts = 0
        """How often these were started."""
        self.moving = threading.RLock()
        """Held while messages, or counts, are on their way from one replica to another,
        and while a mark is put behind what is queued, or all is counted: what is nowhere
        for a moment would be behind the mark, and not counted. Not for what a replica
        leaves that has ended: its mailbox sends a mark after that. Re-entrant: a mark that
        is lost on the way goes on to the next stage from there."""
        self.removed = False
        self.finished = False
        """Whether it was removed and is through: what still comes passes it by."""
        self.capacity = chain.capacity if spec.capacity is None else spec.capacity
        self.on_full = chain.on_full if spec.on_full is None else spec.on_full
        self.rate = spec.rate
        """Its own; what it is held to may be that of the chain."""
        self.limiter = None if spec.rate is None else Limiter(Window(spec.rate))
        self.on_result: Callable[[Any], object] | None = None
        self.taps: tuple[Callable[[Any], object], ...] = ()
        self.onward: Onward | None = None
        """These three: of the last stage, what its outlets do with results."""
        self._timings: Timings | None = None
        self.inlet = Inlet(
            address_of((*services.prefix, chain.id, self.id)),
            spec.routing,
            ledger,
            pick=partial(_pick, spec.routing),
            place_of=None if spec.key is None else partial(_place_of, spec.key),
        )
        self.inlet.on_full = self.on_full
        self.inlet.watched = type(spec.workers) is Autoscale
        self.scaler: Scaler | None = None
        """Of a stage that scales itself: who looks after its replicas."""

    @property
    def keeps_order(self) -> bool:
        """Whether an item's key decides which replica it belongs to."""
        return self.spec.key is not None

    @property
    def size(self) -> int:
        """How many replicas it is declared with."""
        workers = self.spec.workers
        return workers.min if type(workers) is Autoscale else workers

    @property
    def most(self) -> int:
        """How many replicas it has, or may come to have."""
        workers = self.spec.workers
        return workers.max if type(workers) is Autoscale else max(1, len(self.linked))

    # -- replicas -------------------------------------------------------------------

    def make(self) -> StageCell:
        """Make one more replica, not yet sent to; its number is the lowest that is free."""
        taken = {cell.number for cell in self.cells}
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        address = address_of((*self._services.prefix, self._chain.id, self.id))
        mailbox = Mailbox(address, self.capacity, self.on_full)
        outlet = Outlet(self._ledger, None, None, _pass_token)
        cell = StageCell(self, number, self._chain.id, mailbox, outlet, self._place, self._services)
        self.cells = tuple(sorted((*self.cells, cell), key=lambda each: each.number))
        for watcher in self.watchers.copy():
            watcher.add(cell)
        self.rewire()
        return cell

    def treatment(self) -> Treatment:
        """Return how its replicas handle items."""
        spec = self.spec
        on_error = self._chain.on_error if spec.on_error is None else spec.on_error
        batch = spec.batch
        return Treatment(
            contains=on_error != "crash",
            pause=pause_by(on_error),
            batch=None if batch is None else (batch.size, batch.timeout),
        )

    def rewire(self) -> None:
        """Have all replicas hand on to what is behind this stage now."""
        inlet = None if self.next is None else self.next.inlet
        for cell in self.cells:
            outlet = cell.outlet
            outlet.on_result = self.on_result if inlet is None else None
            outlet.taps = self.taps if inlet is None else ()
            outlet.onward = self.onward if inlet is None else None
            outlet.next = inlet
            cell.renew()

    def link(self, *, to: tuple[StageCell, ...] | None = None) -> None:
        """Send items to these replicas, to those that serve before others."""
        if to is not None:
            self.linked = to
        if not self.inlet.gated or to is not None:
            serving = tuple(cell.mailbox for cell in self.linked if cell.alive)
            self.inlet.link(tuple(cell.mailbox for cell in self.linked), serving)

    def let_go(self, cell: StageCell) -> None:
        """Send nothing more to a replica that ends for good, if it has equals.

        Before its mailbox is closed: nobody is to be refused, or to pick it again.
        """
        left = tuple(each for each in self.linked if each is not cell and not each.gone)
        if cell not in self.linked or not left:
            return
        self.absent |= {cell}
        if self.keeps_order:
            self.inlet.close_gate()
        else:
            self.link(to=left)

    def with_returned(self, cell: StageCell) -> tuple[StageCell, ...]:
        """Return who is sent to, with a replica that was let go and has come back."""
        self.absent -= {cell}
        return tuple(each for each in self.cells if each is cell or each in self.linked)

    def forget(self, cell: StageCell) -> None:
        """Drop a replica from the table, and keep its counts."""
        if cell not in self.cells:
            return
        parts = [cell.timings, *([self._timings] if self._timings else [])]
        sums, past = self._forgotten
        left = (*past, cell)
        with self.moving:  # who counts finds it in one place, and not in both
            # The last ones of a stage are still sent to, though in vain: that is counted.
            left = tuple(e for e in left if e.zombie is not None or e in self.linked)
            for each in {*past, cell}.difference(left):
                sums = added(sums, _last_counts(each))
            self._forgotten = sums, left
            self._timings = Timings.merge(parts)
            self.cells = tuple(each for each in self.cells if each is not cell)
            self.starts += cell.incarnation
        self.absent -= {cell}
        for watcher in self.watchers.copy():
            watcher.drop(cell)

    def take_over(self, raws: list[Any]) -> None:
        """Give what a replica that has ended had queued to those that are left."""
        if all(cell.gone for cell in self.linked) and self.finished and self.next is not None:
            self.next.inlet.adopt([plain(raw) for raw in raws])
        else:
            self.inlet.inherit(raws)

    def set_capacity(self, capacity: int) -> None:
        """Change the bound of each mailbox."""
        self.capacity = capacity
        for cell in self.cells:
            cell.mailbox.set_capacity(capacity)
        if self.scaler is not None:
            self.scaler.wake()

    def set_rate(self, rate: Rate | None) -> None:
        """Change how many items may begin, or let any number."""
        if rate is not None and self.limiter is not None:
            self.limiter.change(rate)
            return
        self.hold_to(None if rate is None else Limiter(Window(rate)))

    def hold_to(self, limiter: Limiter | None) -> None:
        """Have its replicas wait for the turns of another limiter, or of none."""
        old, self.limiter = self.limiter, limiter
        for cell in self.cells:
            cell.hold_to(limiter)
        if old is not None:
            old.look_up()  # after: who waits for a turn sees that it is not for this one

    # -- what can be read -----------------------------------------------------------

    @property
    def past(self) -> list[dict[str, int]]:
        """The counts of replicas that were forgotten."""
        sums, left = self._forgotten
        return [*([sums] if sums else []), *map(_last_counts, left)]

    @property
    def is_settled(self) -> bool:
        """Whether all threads of replicas that were forgotten have ended."""
        return all(cell.zombie is None for cell in self._forgotten[1])

    def counts(self) -> Iterator[dict[str, int]]:
        """Yield the counters of each replica, those of the forgotten ones together."""
        with self.moving:
            past, cells = self.past, self.cells
            present = [{**each.counts(), "undelivered": each.mailbox.undelivered} for each in cells]
        yield from (*past, *present)

    @property
    def in_limbo(self) -> int:
        """How many messages are queued, but at no replica: that is being changed."""
        return sum(type(raw) is not Token for raw in self.inlet.limbo.copy())

    def statistics(self) -> StageStatistics:
        """Return the counts of its messages, and those of each replica."""
        with self.moving:
            return self._count()

    def _count(self) -> StageStatistics:
        replicas = {cell.id: cell.statistics() for cell in self.cells}
        sums = total(replicas.values())
        retried = sum(each.retried for each in replicas.values())
        for past in self.past:
            retried += past["retried"]
            failed = past["failed"] + past["abandoned"]
            sums["accepted"] += past["taken"] + past["undelivered"]
            sums["handled"] += past["handled"]
            sums["failed"] += failed
            sums["undelivered"] += past["undelivered"]
            sums["restarts"] += past["restarts"]
        sums["pending"] += self.in_limbo
        sums["accepted"] += self.in_limbo
        since = [each.in_hand_since for each in replicas.values() if each.in_hand_since is not None]
        parts = [cell.timings for cell in self.cells]
        merged = Timings.merge([*parts, self._timings] if self._timings else parts)
        return StageStatistics(
            **sums,
            retried=retried,
            in_hand_since=min(since, default=None),
            replicas=replicas,
            service=times(merged.service()),
            queue=times(merged.queue()),
        )


def added(sums: dict[str, int], counts: dict[str, int]) -> dict[str, int]:
    """Return the sums with these counts added."""
    return {**sums, **{name: count + sums.get(name, 0) for name, count in counts.items()}}


def _last_counts(cell: StageCell) -> dict[str, int]:
    restarts = max(0, cell.incarnation - 1)
    return {**cell.counts(), "undelivered": cell.mailbox.undelivered, "restarts": restarts}


def slower(*rates: Rate | None) -> Rate | None:
    """Return the rate that holds to all of these; `None`: there is none."""
    given = [rate for rate in rates if rate is not None]
    return min(given, key=lambda rate: rate.n / rate.per, default=None)


def _pick(routing: str, count: int, turn: int, load: Callable[[int], float]) -> Iterator[int]:
    return candidates(routing, count, random=chance, position=turn, load=load)


def _place_of(key: Callable[[Any], Any], item: Any) -> int:
    return stable_hash(key(item))


def _pass_token(token: Token) -> None:
    if token.arrived is not None:
        token.arrived()
