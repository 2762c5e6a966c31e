"""The scope of a chain: its stages, and how its stream ends.

Owns the table of stages at run time, and what the end of a replica means for the stage
and for those behind it. It must not know how items are counted or sent, nor how the
chain is changed while it runs: that is `changes`.

A stage whose last replica ends for good ends the chain: the machine takes those before
it down, and those behind it are followed by a mark; when it is through, so are they,
and the scope is finished.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from threadsup import events
from threadsup._chain.line import added
from threadsup._chain.scaling import Scaler
from threadsup._chain.wave import Wave
from threadsup._errors import NotRunningError
from threadsup._exits import Normal
from threadsup._policy.autoscale import Autoscale
from threadsup._policy.protocol import (
    ChildDown,
    ChildUp,
    Decided,
    Forgotten,
    Over,
    Request,
)
from threadsup._policy.restart import NoRestart
from threadsup._scope import WorkerScope, rules_of_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._cell import Services
    from threadsup._chain.changes import Changes
    from threadsup._chain.line import StageLine
    from threadsup._chain.stage import StageCell
    from threadsup._exits import ChildId
    from threadsup._policy.protocol import (
        ChildRules,
        Event,
        Fate,
        Fence,
        Notice,
        ScopeRules,
        Signal,
        Start,
    )

__all__ = ["ChainScope", "rules_of_replica"]


def rules_of_replica(cell: StageCell) -> ChildRules:
    """Return the rules of a replica: its stage is its place."""
    return rules_of_worker(cell.line.spec, place=cell.line.id)


def _sum_up(sums: dict[str, int], line: StageLine) -> dict[str, int]:
    """Return the sums with the counts of a stage added."""
    for counts in line.counts():
        sums = added(sums, counts)
    return sums


class ChainScope(WorkerScope):
    """A scope whose children hand items on."""

    changes: Changes
    """What is changed, or to be changed, while it runs."""
    _stream = 0
    """How many streams have ended for good and were followed by another one."""
    _ended = False
    """Whether this one has."""

    def __init__(
        self,
        id: ChildId,
        rules: ScopeRules,
        lines: tuple[StageLine, ...],
        services: Services,
    ) -> None:
        self.lines = lines
        """The stages in order. Replaced, never changed: any thread may read it."""
        self.leaving: tuple[StageLine, ...] = ()
        """Stages that were removed and finish what they have."""
        self.route = lines
        """All of these in order: the way of a mark. Replaced, never changed, too."""
        self._left: tuple[dict[str, int], tuple[StageLine, ...]] = {}, ()
        """The counts of stages that have left, and those of which a thread still runs."""
        cells = [(cell, rules_of_replica(cell)) for line in lines for cell in line.cells]
        super().__init__(id, "chain", rules, cells, services)

    def set_lines(self, lines: tuple[StageLine, ...], leaving: tuple[StageLine, ...] = ()) -> None:
        """Have these stages, in this order, from now on, while others are `leaving`."""
        self.leaving = leaving
        old, self.lines = self.lines, lines
        self._lay_route()
        behind = None
        for line in reversed(lines):
            line.next, behind = behind, line
            line.rewire()
        for line in old:
            if line.scaler is not None and line not in lines:
                line.scaler.end()
        for line in lines:
            rules = line.spec.workers
            if type(rules) is Autoscale and line.scaler is None:
                line.scaler = Scaler(line, rules, self)
                line.scaler.wake()

    @property
    def past(self) -> dict[str, int]:
        """The counts of stages that have left."""
        sums, left = self._left
        for line in left:
            sums = _sum_up(sums, line)
        return sums

    def has_left(self, line: StageLine) -> None:
        """Keep the counts of a stage that was removed and has finished."""
        sums, left = self._left
        left = (*left, line)
        for each in left:
            if each.is_settled:
                sums = _sum_up(sums, each)
        self._left = sums, tuple(each for each in left if not each.is_settled)
        self.leaving = tuple(each for each in self.leaving if each is not line)
        self._lay_route()

    def _lay_route(self) -> None:
        """Have marks pass the stages that are leaving, too: what they have is not through."""
        route: list[StageLine] = []
        for line in self.lines:
            route += [each for each in self.leaving if each.next is line]
            route.append(line)
        route += [each for each in self.leaving if each.next is None]
        behind = None
        for line in reversed(route):
            line.after, behind = behind, line
        self.route = tuple(route)

    # -- the end of the stream ------------------------------------------------------

    def send_through(self, arrived: Callable[[], None]) -> None:
        """Have `arrived()` called when what is in the chain now is through. Never blocks.

        In the last stage's thread, or, where no stage takes anything any more, here.
        """
        Wave(self.route[0], arrived).begin()

    def finish_behind(self) -> None:
        """Have the scope end, normally, when what is in the chain now is through."""
        self.send_through(partial(self._request_finish, self._stream))

    def _request_finish(self, stream: int) -> None:
        with suppress(NotRunningError):  # the tree has ended, and the chain with it
            self.services.request(self._finish, stream)

    def _finish(self, stream: int) -> None:
        # A chain that has ended meanwhile in another way, and was started again, is not
        # to end by what was sent through it before.
        if stream == self._stream:
            self.take(Request("finish", reason=Normal()))

    def draining(self, after: ChildId) -> None:  # noqa: ARG002 - whoever is left is behind it
        """Let the stages behind `after`, which has ended for good, finish."""
        self.finish_behind()

    # -- what the machine says ------------------------------------------------------

    def take(self, event: Event) -> None:
        """Step; one that starts anew has no more replicas than it was declared with."""
        spare = []
        starts = type(event) is Request and event.verb == "start"
        if starts and self.state.phase in {"new", "down"}:
            spare = self.changes.cut_back()
        super().take(event)
        for cell in spare:
            self.changes.drop(cell)  # before anybody but the first has been started

    def came_up(self) -> None:
        """Report it; from now on stages that scale themselves do."""
        super().came_up()
        self._wake_scalers()

    def _wake_scalers(self) -> None:
        for line in self.lines:
            if line.scaler is not None:
                line.scaler.wake()

    def start(self, start: Start) -> None:
        """Begin an incarnation of a replica; the first one after the end takes items again."""
        if self._ended:
            self._ended = False
            self._stream += 1
            self.facade.reopen()
        super().start(start)

    def signal(self, signal: Signal) -> None:
        """Ask a replica to stop; who is to finish what it has first is not to be paused."""
        if signal.drain and self.state.stopped and self.changes.paused:
            self.changes.set_paused(False)
        super().signal(signal)

    def fence(self, fence: Fence) -> None:
        """Give a replica up; say so where items of one key may overtake each other now."""
        super().fence(fence)
        cell: StageCell = self.cells[fence.key]  # type: ignore[assignment]
        if cell.line.keeps_order and cell.left is not None and cell.left.doing == "message":
            services = self.services
            why = "it was abandoned with an item, and those behind that may overtake it"
            services.publish(events.OrderLost(services.name, events.now(), cell.path, why))

    def told(self, notice: Notice) -> None:
        """Do what a notice means for the replica, its stage, and what is being changed."""
        key = getattr(notice, "key", None)
        cell: StageCell | None = self.cells.get(key)  # type: ignore[assignment,arg-type]
        match notice:
            case ChildDown(fate="gone") | Decided(fate="gone") if cell is not None:
                goes_on = not self.state.stopped and notice.why is not NoRestart.CHAIN_ENDED
                if goes_on and not cell.gone:
                    cell.line.let_go(cell)
        super().told(notice)
        if cell is not None and isinstance(notice, (ChildUp, ChildDown, Decided, Forgotten)):
            self._told_of(cell, notice)
        elif type(notice) is Over:
            for line in self.lines:
                if line.scaler is not None:
                    line.scaler.end()
        if isinstance(notice, (ChildDown, Decided, Forgotten, Over)):
            self.changes.look(over=isinstance(notice, Over))

    def _told_of(self, cell: StageCell, notice: Notice) -> None:
        """Send items to those who are there now, and to nobody else."""
        line = cell.line
        if type(notice) is Forgotten:
            line.forget(cell)
            return
        up = type(notice) is ChildUp
        if cell not in line.absent:
            line.link()
        elif up:
            self.changes.returned(cell)
        elif cell.gone and cell in line.linked:
            self.changes.lost(cell)
        if up and line.scaler is not None:
            line.scaler.wake()  # nobody was there, and now somebody is

    def close(self, fate: Fate, why: NoRestart | None) -> None:
        """As for any scope; note whether the stream is over."""
        super().close(fate, why)
        self._ended = self._ended or fate == "gone"
