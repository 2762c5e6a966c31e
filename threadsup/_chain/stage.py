"""A replica of a stage: its cell. And the handle of a stage, which users get.

Owns how a replica is made of its description, and what becomes of its results and
items when it has ended for good. It must not know the other stages.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, final

from threadsup._errors import WorkerExited
from threadsup._policy.autoscale import Autoscale
from threadsup._policy.restart import NoRestart
from threadsup._ruled import RuledCell
from threadsup._runtime.emission import close_all
from threadsup._runtime.pykka_worker import PykkaStageBehaviour
from threadsup._runtime.stage import StageBehaviour
from threadsup._runtime.timings import Timings
from threadsup._runtime.worker import WorkerBehaviour, called_by, with_arguments
from threadsup._snapshot import ReplicaStatistics, times

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._cell import Services
    from threadsup._chain.line import StageLine
    from threadsup._exits import ChildId, Exit
    from threadsup._policy.protocol import Fate
    from threadsup._runtime.actor import Behaviour, Life
    from threadsup._runtime.context import Place
    from threadsup._runtime.limiter import Limiter
    from threadsup._runtime.mailbox import Mailbox, Token
    from threadsup._runtime.outlet import Outlet
    from threadsup._runtime.pause import Pause
    from threadsup._snapshot import StageStatistics

__all__ = ["Stage", "StageCell", "Watcher"]


class StageCell(RuledCell):
    """One replica of a stage."""

    def __init__(
        self,
        line: StageLine,
        number: int,
        chain: ChildId,
        mailbox: Mailbox,
        outlet: Outlet,
        place: Place,
        services: Services,
    ) -> None:
        self.line = line
        self.number = number
        self.outlet = outlet
        self.timings = Timings()
        self.gone = False
        """Whether it has ended for good."""
        super().__init__(
            line.spec, (chain, line.id, number), mailbox, self._behaviour, place, services
        )
        self.id = (line.id, number)  # type: ignore[assignment]
        self.address = mailbox.id

    def _behaviour(self, life: Life) -> Behaviour:
        spec, line = self.spec, self.line
        life.limiter = line.limiter
        paused = self.mailbox.pause is not None
        life.token.look = paused or line.limiter is not None
        if paused:  # what woke the last life is gone, and somebody may wait for this one
            self.mailbox.wake()
        parts = life, self.outlet, self.aside, self.timings, line.treatment()
        call, caller = (spec.target, spec.args, spec.kwargs), self._make_calls()
        if spec.kind == "stage":
            return StageBehaviour(*parts, function=called_by(caller, with_arguments(*call)))
        kind = PykkaStageBehaviour if spec.kind == "pykka" else WorkerBehaviour
        worker = kind(life, *call, reply_errors=False, caller=caller)
        return StageBehaviour(*parts, worker=worker)

    # -- for the scope --------------------------------------------------------------

    def set_pause(self, pause: Pause | None) -> None:
        """Hold the worker up by this pause, and no other, from now on. Never blocks."""
        old, self.mailbox.pause = self.mailbox.pause, pause
        if pause is not None:
            if self.life is not None:
                self.life.token.notice()
            self.mailbox.wake()
            if self.line.limiter is not None:
                self.line.limiter.look_up()  # who waits for a turn comes here first
        if old is not None:
            old.lift()  # after: who goes on comes to the next one

    def renew(self) -> None:
        """Have the worker look anew at where its results go, before its next item."""
        life = self.life
        if life is not None:
            life.renew()

    def hold_to(self, limiter: Limiter | None) -> None:
        """Hold the worker to a rate, or to none, from its next item on."""
        life = self.life
        if life is not None:
            life.limiter = limiter
            life.token.notice()

    def decided(self, fate: Fate, why: NoRestart | None) -> None:
        """Close or shut the mailbox; what it holds goes to its equals, if there are any."""
        if fate == "gone" and not self.gone:
            self.gone = True
            self._leave(why)
        super().decided(fate, why)

    def _leave(self, why: NoRestart | None) -> None:
        for raw, inlet in self.outlet.take_out():
            inlet.adopt([raw])
        stays = why is not NoRestart.CHAIN_ENDED and not self._place.chain.scope.state.stopped
        heirs = [cell for cell in self.line.linked if cell is not self and not cell.gone]
        if stays and (heirs or (self.line.finished and self.line.next is not None)):
            for emission in self._suspended() if heirs else ():
                emission.number = heirs[0].aside.put(emission.attempts)
                heirs[0].outlet.suspended.append(emission)
                emission.move(heirs[0].mailbox)
            self._fail_suspended()
            self.line.take_over(self.aside.clear(carry=True))
            self.mailbox.retire("its replica has ended", self.line.take_over)
            return
        self._fail_suspended()
        self.mailbox.lose(self.aside.clear(), "its stage has ended")

    def _fail_suspended(self) -> None:
        for emission in self._suspended():
            # Not here: it runs code of users.
            self._services.side.do(partial(close_all, emission.let_go()))
            with self._lock:
                self._past["abandoned"] += 1
            text = f"{self.address!r} ended before it was through with it"
            self._services.settle(emission.raw.reply_to, error=WorkerExited(text))
            self._services.dead_letters.add(
                emission.raw.message, self.address, text, scope=self._scope_id
            )

    def _suspended(self) -> list[Any]:
        left = []
        while self.outlet.suspended:
            emission = self.outlet.suspended.popleft()
            if emission.number is not None:
                self.aside.remove(emission.number)
            left.append(emission)
        return left

    def _open(self) -> None:
        # The head of a chain that was closed stays shut when its worker comes back.
        self.gone = False
        self.outlet.open()
        self._place.chain.open(self.mailbox)

    def _token_lost(self, token: Token) -> None:
        # Here, not in the side thread: it runs no code of users, and is not to wait
        # for that of a callback that blocks.
        if token.lost is not None:
            token.lost()

    # -- what can be read -----------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """How many messages are queued, in hand, put aside, or made and not handed on."""
        outlet = self.outlet
        return self.queued + self.in_hand + outlet.kept + len(outlet.suspended)

    def statistics(self) -> ReplicaStatistics:
        """Return the counts over all lives, and how long items take and wait."""
        plain = super().statistics()
        return ReplicaStatistics(
            accepted=plain.accepted,
            handled=plain.handled,
            failed=plain.failed,
            undelivered=plain.undelivered,
            pending=plain.pending,
            restarts=plain.restarts,
            retried=plain.retried,
            in_hand_since=plain.in_hand_since,
            service=times(self.timings.service()),
            queue=times(self.timings.queue()),
        )


@final
class Watcher:
    """Who hears of the exits of all replicas of a stage, whenever these come."""

    __slots__ = ("_ends", "_fn", "_lock", "_over")

    def __init__(self, fn: Callable[[Exit], object]) -> None:
        self._fn = fn
        self._ends: dict[StageCell, Callable[[], None]] = {}
        self._over = False
        self._lock = threading.RLock()
        """Guards these two. Re-entrant: a signal handler may end what it interrupts."""

    def add(self, cell: StageCell) -> None:
        """Hear of a replica, once, however often this is called."""
        with self._lock:
            if not self._over and cell not in self._ends:
                self._ends[cell] = cell.monitor(self._fn)

    def drop(self, cell: StageCell) -> None:
        """Let go of one that is no more."""
        with self._lock:
            self._ends.pop(cell, None)

    def end(self) -> None:
        """Hear of nothing more."""
        with self._lock:
            self._over = True
            while self._ends:
                self._ends.popitem()[1]()


@final
class Stage:
    """A place in a chain. From `chain[id]`; for any thread."""

    __slots__ = ("_line",)

    def __init__(self, line: StageLine) -> None:
        self._line = line

    def __repr__(self) -> str:
        state = "alive" if self.is_alive() else "not alive"
        return f"<Stage {self.id!r}, {len(self)} replicas, {state}>"

    def __len__(self) -> int:
        return len(self._line.linked)

    @property
    def id(self) -> ChildId:
        """Its id in its chain."""
        return self._line.id

    @property
    def replicas(self) -> tuple[ChildId, ...]:
        """The ids of its replicas: `(id, n)`."""
        return tuple(cell.id for cell in self._line.linked)

    @property
    def autoscale(self) -> Autoscale | None:
        """By which rules it scales itself; `None`: it has as many replicas as it is told."""
        workers = self._line.spec.workers
        return workers if type(workers) is Autoscale else None

    @property
    def routing(self) -> str:
        """Which replica gets an item."""
        return self._line.spec.routing

    @property
    def incarnation(self) -> int:
        """How often its replicas have been started in all; each attempt counts."""
        return self._line.starts + sum(cell.incarnation for cell in self._line.cells)

    def is_alive(self) -> bool:
        """Return whether a replica is up."""
        return any(cell.alive for cell in self._line.linked)

    def monitor(self, fn: Callable[[Exit], object]) -> Callable[[], None]:
        """Have `fn(exit)` called at each exit of its replicas, those that come later, too.

        See `WorkerRef.monitor`.
        """
        watchers, watcher = self._line.watchers, Watcher(fn)
        # First: a replica that comes now is either in the table already, or sees this.
        watchers.append(watcher)
        for cell in self._line.cells:
            watcher.add(cell)

        def end() -> None:
            with suppress(ValueError):  # ended before
                watchers.remove(watcher)
            watcher.end()

        return end

    def statistics(self) -> StageStatistics:
        """Return the counts of its messages, over all replicas and incarnations."""
        return self._line.statistics()
