"""What becomes of the tasks of a pool, from the first to the last.

Owns accepting and the end of it, what a failure means (another attempt after a pause, or
the end of the task), the counts, and the end of the pool. It must not know supervisors:
it is told when a worker is up and when it is gone for good.

The end. A pool that is shut down is over when nothing waits, here or in a pause. A worker
that finds that leaves; one that has a task in hand looks after it, so whatever comes of
that task has somebody to see to it. When the last worker is gone, whatever is left then
has failed: the pool is broken, or was stopped with its supervisor.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, final

from threadsup._dead_letters import DeadLetter
from threadsup._errors import BreakerOpen, NotRunningError, PoolBroken, WorkerExited
from threadsup._exits import describe_exception
from threadsup._pool import leaving
from threadsup._pool.pauses import Pauses
from threadsup._runtime.clock import wall
from threadsup._runtime.future import Future
from threadsup._tools import chance
from threadsup._trace import trace_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from threadsup._cell import Cell, Services
    from threadsup._exits import ChildId
    from threadsup._policy.retry import Retry
    from threadsup._pool.backlog import Backlog
    from threadsup._pool.partition import Partition
    from threadsup._pool.work import Work
    from threadsup._runtime.actor import Life
    from threadsup._tools import Fuse

__all__ = ["Core", "Task"]


class Task(NamedTuple):
    """What a dead letter of a pool holds: what was to be called."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __repr__(self) -> str:
        return f"Task({getattr(self.fn, '__qualname__', type(self.fn).__name__)})"


@final
class Core:
    """One pool, but for its workers."""

    def __init__(
        self,
        name: str,
        services: Services,
        *,
        retry: Retry | None = None,
        fuse: Fuse | None = None,
        on_dead_letter: Callable[[DeadLetter], object] | None = None,
    ) -> None:
        self.name = name
        self.retry = retry
        self.fuse = fuse
        self._on_dead_letter = on_dead_letter
        self._services = services
        self._lock = threading.RLock()
        """Guards the counts and the table of workers. Re-entrant, as what the collector
        destroys may shut a pool down."""
        self.pauses = Pauses(services, self._come_back, self._look_again)
        self.shared: Backlog
        """What waits, in a pool that does not go by keys."""
        self.partition: Partition | None = None
        self.key: Callable[..., object] | None = None
        self.closed = False
        self._broken: PoolBroken | None = None
        self._cells: dict[ChildId, Cell] = {}
        """The workers that are not gone for good."""
        self._held: set[ChildId] = set()
        """Those of them that nobody has started, or that were stopped by hand."""
        self._past = {"taken": 0, "handled": 0, "failed": 0, "retried": 0, "restarts": 0}
        """The counts of those that are."""
        self._undelivered = 0
        self.over: Future[None] = Future()
        """Settled when the last worker is gone."""
        self.on_over: Callable[[], object] = int
        """Called then, in the supervisor's thread."""

    # -- accepting ------------------------------------------------------------------

    def put(self, work: Work) -> None:
        """Accept a task; blocks and raises as `Backlog.put`."""
        if self.partition is None:
            self.shared.put(work)
            return
        assert self.key is not None
        work.key = self.key(*work.args, **work.kwargs)
        self.partition.put(work)

    def put_all(self, works: Sequence[Work]) -> None:
        """Accept tasks; blocks and raises as `Backlog.put`."""
        if self.partition is None:
            self.shared.put_all(works)
        else:
            for work in works:
                self.put(work)

    def _backlogs(self) -> Sequence[Backlog]:
        return (self.shared,) if self.partition is None else self.partition.lanes

    def _come_back(self, work: Work) -> None:
        where = self.shared if self.partition is None else self.partition
        where.bring_back(work)

    def _look_again(self) -> None:
        if self.closed:
            self.wake_all()

    def give_back(self, work: Work, source: Backlog) -> None:
        """Have a task that was taken and not begun done by another, or nobody."""
        if self.partition is None:
            source.give_back(work)
        else:
            self.partition.give_back(work, source)  # type: ignore[arg-type]
        if self.over.done():  # who ended it has looked already
            self._fail_rest()

    def close(self) -> None:
        """Accept nothing any more; what was accepted is finished. Never blocks."""
        with self._lock:
            self.closed = True
            self._refuse()
            # In a tree that was never started, or of workers stopped by hand, nobody
            # comes any more.
            nobody = not self._cells.keys() - self._held
        if nobody:
            self.end("it was shut down and no worker runs")

    def _refuse(self) -> None:
        for backlog in self._backlogs():
            backlog.close(self.refusal)

    def refusal(self) -> BaseException:
        """Return what is told to who submits something now."""
        if self._broken is not None:
            error = PoolBroken(*self._broken.args)
            error.__cause__ = self._broken.__cause__
            return error
        return NotRunningError(f"pool {self.name!r} cannot schedule new futures after shutdown")

    def cancel_rest(self) -> None:
        """Cancel what has not begun; what waits for another attempt has failed."""
        works = self.pauses.end()
        for backlog in self._backlogs():
            works += backlog.take_out()
        for work in works:
            if work.error is None:
                work.cancel()
                self.count_undelivered()
            else:
                self._give_up(work, work.error)
        self.wake_all()

    # -- for workers ----------------------------------------------------------------

    def has_ended(self, source: Backlog) -> bool:
        """Tell whether a worker that finds nothing there is to leave."""
        if not self.closed or self.pauses or source.queue:
            return False
        return not getattr(source, "waits_for", None)

    def wake_all(self) -> None:
        """Wake all that are idle."""
        for backlog in self._backlogs():
            backlog.wake_all()

    def failed(
        self, life: Life, work: Work, error: BaseException, *, crashed: bool = False
    ) -> None:
        """Settle a task that failed, or have it tried again. In the worker's thread."""
        if self._again(work, error):
            life.taken -= 1  # it waits again, and will be taken again
            life.retried += 1
            return
        life.failed += 1
        work.failed(error)
        if crashed or self._on_dead_letter is not None:
            self.bury(work, (self.name, life.id), "failed", error)  # type: ignore[arg-type]

    def lost(self, life: Life, work: Work, address: ChildId) -> None:
        """Settle a task whose worker was given up on. In the supervisor's thread."""
        reason = life.token.reason
        error = WorkerExited(f"{address!r} was {reason}", reason)
        if self.fuse is not None:
            self.fuse.failed()
        if self._again(work, error):
            life.abandoned -= 1
            life.taken -= 1
            life.retried += 1
            return
        work.failed_quietly(error, self._services.settle)
        self.bury(work, address, "failed", error)

    def _again(self, work: Work, error: BaseException) -> bool:
        """Have a task tried again, if it is to be."""
        if self.retry is None:
            return False
        if type(error) is BreakerOpen:
            # The breaker says that trying is in vain. What it stands for is the cause.
            error.__cause__ = work.error
            return False
        pause = self.retry.pause(error, work.tried + 1, chance)
        if pause is None:
            return False
        work.tried += 1
        work.error = error
        return self.pauses.add(work, pause)

    def bury(self, work: Work, to: ChildId, reason: str, error: BaseException) -> None:
        """Leave a dead letter."""
        message = Task(work.fn, work.args, dict(work.kwargs))
        text, trace = describe_exception(error), trace_of(error)
        services = self._services
        services.dead_letters.add(message, to, reason, text, self.name, trace)
        if self._on_dead_letter is not None:
            letter = DeadLetter(message, to, reason, text, wall(), self.name, trace)
            services.side.do(partial(self._on_dead_letter, letter))

    def count_undelivered(self) -> None:
        """Count a task that will not be done."""
        with self._lock:
            self._undelivered += 1

    # -- the workers come and go: in the supervisor's thread ------------------------

    def worker_made(self, cell: Cell) -> None:
        """Note a worker that is to come, or one that is to come back by hand."""
        with self._lock:
            self._cells[cell.id] = cell
            self._held.add(cell.id)

    def worker_starts(self, cell: Cell) -> None:
        """Note one that begins a life."""
        with self._lock:
            self._cells[cell.id] = cell
            self._held.discard(cell.id)

    def worker_gone(self, cell: Cell, why: str, *, broken: bool) -> None:
        """Note one that does not come back; with `broken` no other will either."""
        with self._lock:
            if self._cells.pop(cell.id, None) is not None:
                counts = cell.counts()
                self._past["taken"] += counts["taken"]
                self._past["handled"] += counts["handled"]
                self._past["failed"] += counts["failed"] + counts["abandoned"]
                self._past["retried"] += counts["retried"]
                self._past["restarts"] += max(0, cell.incarnation - 1)
            last = not self._cells
        if broken:
            self.break_down(why)
        if last:
            self.end(why)

    def break_down(self, why: str, cause: BaseException | None = None) -> None:
        """Fail all that waits: nobody will do it. Never blocks; runs no code of users."""
        with self._lock:
            if cause is not None or (self._broken is None and not self.over.done()):
                self._broken = PoolBroken(f"pool {self.name!r} is broken: {why}")
                self._broken.__cause__ = cause
            self._refuse()
        self._fail_rest()

    def end(self, why: str) -> None:
        """Note that nobody works here any more."""
        with self._lock:
            if self.over.done():
                return
            if not self.closed and self._broken is None:
                self._broken = PoolBroken(f"pool {self.name!r} is broken: {why}")
            self.closed = True
            self._refuse()
        leaving.strike(self)
        self._services.settle(self.over)
        self._fail_rest()
        self.on_over()

    def _fail_rest(self) -> None:
        works = self.pauses.end()
        for backlog in self._backlogs():
            works += backlog.take_out()
        for work in works:
            self._give_up(work, self._broken or self._stopped())

    def _stopped(self) -> PoolBroken:
        return PoolBroken(f"pool {self.name!r}: its workers ended before this task was done")

    def _give_up(self, work: Work, error: BaseException) -> None:
        self.count_undelivered()
        work.failed_quietly(error, self._services.settle)
        self.bury(work, self.name, "its pool has ended", error)

    def mark_forked(self, why: str) -> None:
        """Refuse everything: this is the child of a fork. Takes no lock."""
        self._lock = threading.RLock()  # whoever held the other does not exist here
        self._broken = PoolBroken(f"pool {self.name!r} {why}: make a new one")
        self.closed = True
        for backlog in self._backlogs():
            backlog.senders.clear()
            backlog.idle.clear()
            backlog.close(self.refusal)
        self.over = Future()
        self.over.set_result(None)
        leaving.forked()

    # -- counts ---------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Return the sums over all workers there have been, and what waits."""
        with self._lock:
            sums = dict(self._past)
            cells = list(self._cells.values())
            undelivered = self._undelivered
        pending = sum(len(backlog.queue) for backlog in self._backlogs()) + len(self.pauses)
        in_hand = 0
        for cell in cells:
            counts = cell.counts()
            sums["taken"] += counts["taken"]
            sums["handled"] += counts["handled"]
            sums["failed"] += counts["failed"] + counts["abandoned"]
            sums["retried"] += counts["retried"]
            sums["restarts"] += max(0, cell.incarnation - 1)
            in_hand += cell.in_hand
        accepted = sums.pop("taken") + undelivered + pending
        return {
            **sums,
            "accepted": accepted,
            "undelivered": undelivered,
            "pending": pending,
            "in_hand": in_hand,
        }
