"""What is changed in a chain while it runs: replicas, stages, pauses.

Owns the steps of each change. It must not know how items are sent on: it changes who is
sent to.

What a change waits for is a replica that starts or ends, or a stage whose replicas have
all put down what they had. So a change reads as what is done, in order, and nobody is
held up by it but the stages it is about.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from threadsup._chain.hold import Hold, Step, is_idle
from threadsup._chain.line import slower
from threadsup._chain.scope import rules_of_replica
from threadsup._chain.sequence import Sequence
from threadsup._chain.wave import Wave
from threadsup._errors import DuplicateChildError, NotRunningError, SpecError, UnknownChildError
from threadsup._policy.protocol import Request
from threadsup._runtime.pause import Pause

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from threadsup._chain.line import StageLine
    from threadsup._chain.scope import ChainScope
    from threadsup._chain.sequence import Change
    from threadsup._chain.stage import StageCell
    from threadsup._exits import ChildId
    from threadsup._policy.protocol import Verb
    from threadsup._policy.rate import Rate

__all__ = ["Changes"]


def _load_of(cell: StageCell) -> tuple[int, int]:
    """Order replicas by how much they have to do, of equals the youngest first."""
    return cell.in_flight, -cell.number


class Changes(Sequence):
    """The changes of one chain."""

    def __init__(self, scope: ChainScope) -> None:
        super().__init__(scope.services)
        self.scope = scope
        self.paused = False
        """Whether no stage is to take anything new."""
        self._holds: list[Hold] = []
        self._freed: list[Step] = []
        """What waits for a stage that is held up by another change."""
        self._sharing: list[StageLine] = []
        """Whose keys are being shared out, or about to be."""
        self._finishing: tuple[StageLine, Step] | None = None
        """The stage that is being removed, and what is set when it is through."""
        self._ghosts: set[StageCell] = set()
        """Replicas that were to leave, which the end of the chain came in between: they
        do when it starts again."""
        self.entry: Rate | None = None
        """The rate of the chain: its first stage is held to it, whichever that is."""

    # -- what is waited for ----------------------------------------------------------

    def look(self, *, over: bool) -> None:
        """See whether what is waited for has come, or never will: the scope is `over`."""
        for hold in self._holds.copy():
            hold.look()
        if self._finishing is not None:
            line, through = self._finishing
            if over:
                error = self._not_running()
                through.set_exception((type(error), error, None))
            elif not self.scope.state.stopped and any(
                is_idle(self.scope, cell) for cell in line.cells
            ):
                through.set()  # (Of a chain that goes down all are, and it is over soon.)
        if over:
            self.cancel(self._not_running())

    def _not_running(self) -> NotRunningError:
        state = self.scope.state
        return NotRunningError(f"{self.scope.id!r} is not running", state.verdict)

    # -- steps ----------------------------------------------------------------------

    def _request(self, verb: Verb, cell: StageCell, **options: Any) -> Step:
        step = Step()
        request = Request(verb, cell.id, token=(cell.id, step, None), **options)
        self.scope.take(request)
        return step

    def _hold(self, line: StageLine) -> Generator[Step, None, Hold]:
        """Hold a stage up, as soon as no other change does."""
        while any(hold.line is line for hold in self._holds):
            free = Step()
            self._freed.append(free)
            yield free
        hold = Hold(self.scope, line)
        self._holds.append(hold)
        return hold

    def _release(self, hold: Hold) -> None:
        """Let them go on, unless the whole chain is paused."""
        self._holds.remove(hold)
        for cell in hold.line.cells:
            self.pause_if_paused(cell)
        freed, self._freed = self._freed, []
        for step in freed:
            step.set()

    def _add(
        self, line: StageLine, before: ChildId | None = None
    ) -> Generator[Step, None, StageCell]:
        """Start one more replica; one that does not start is forgotten."""
        cell = line.make()
        self.scope.facade.head_changed()
        self.pause_if_paused(cell)
        self.scope.take_in(cell)
        try:
            yield self._request("add", cell, rules=rules_of_replica(cell), before=before)
        except BaseException:
            line.forget(cell)
            self.scope.drop(cell)
            raise
        return cell

    def _dismiss(self, cells: Iterable[StageCell], *, whole: bool = False) -> Change:
        """Have replicas stop, together, and forget them."""
        cells = tuple(cells)
        steps = [self._request("remove_child", cell, whole=whole) for cell in cells]
        stopped: NotRunningError | None = None
        for cell, step in zip(cells, steps, strict=True):
            try:
                yield step
            except UnknownChildError:
                pass  # it ended for good meanwhile, and was forgotten
            except NotRunningError as error:
                self._ghosts.add(cell)
                stopped = error
        if stopped is not None:
            raise stopped

    # -- changes --------------------------------------------------------------------

    def resize(self, line: StageLine, size: int, *, gently: bool = False) -> Change:
        """Have as many replicas of a stage.

        `gently`: whoever has the least to do leaves, finishes that first, however long
        it takes, and is not waited for.
        """
        self._check(line)
        if line.keeps_order:
            yield from self._grow_in_order(line, size)
        else:
            yield from self._grow(line, size)
        if len(line.linked) <= size:
            return
        if gently:
            order = sorted(line.linked, key=_load_of)
        else:  # the youngest, but before them those that were stopped by hand
            order = sorted(
                line.linked, key=lambda cell: (not is_idle(self.scope, cell), -cell.number)
            )
        leaving = order[: len(line.linked) - size]
        staying = tuple(cell for cell in line.linked if cell not in leaving)
        if line.keeps_order:
            yield from self._share_out(line, staying)
            leaving = [cell for cell in leaving if cell not in line.linked]
        else:
            line.link(to=staying)
        if not gently:
            yield from self._dismiss(leaving)
            return
        for cell in leaving:
            if self._request("remove_child", cell, drain=True).error is not None:
                self._ghosts.add(cell)

    def scale(self, line: StageLine, size: int) -> Step:
        """Have the replicas that a stage wants itself; return what is set when it has."""
        step = Step()
        self.begin(self.resize(line, size, gently=True), step)
        return step

    def _grow(self, line: StageLine, size: int) -> Change:
        """Start what is missing; those that come get their share of what is queued."""
        old = line.linked
        try:
            while len(line.linked) < size:
                cell = yield from self._add(line)
                line.link(to=(*line.linked, cell))
        finally:
            if len(line.linked) > len(old) and line.spec.routing != "broadcast":
                with line.moving:
                    queued = [raw for cell in old for raw in cell.mailbox.take_out(queued=True)]
                    line.inlet.adopt(queued)

    def _grow_in_order(self, line: StageLine, size: int) -> Change:
        """Start what is missing of a partition, then share the keys out once."""
        cells = list(line.linked)
        try:
            while len(cells) < size:
                cell = yield from self._add(line)
                cells.append(cell)
        finally:
            if len(cells) > len(line.linked):
                yield from self._share_out(line, tuple(cells))

    def cut_back(self) -> list[StageCell]:
        """Have stages that scale themselves begin with their fewest; return who is spare.

        The scope is down and about to be started: nobody takes anything, so that what
        is queued is shared out at once.
        """
        spare = [cell for cell in self._ghosts if cell.id in self.scope.state.children]
        self._ghosts.clear()
        for line in self.scope.lines:
            staying, leaving = line.linked[: line.size], line.linked[line.size :]
            if line.scaler is None or not leaving:
                continue
            if self.busy or self._holds:  # they know others than these
                self.scale(line, line.size)
                continue
            if line.keeps_order:
                line.inlet.close_gate()
                self._put_in_order(line, staying)
            else:
                line.link(to=staying)
            spare += leaving
        return spare

    def drop(self, cell: StageCell) -> None:
        """Remove a replica that is spare."""
        self._request("remove_child", cell, whole=cell.line not in self.scope.lines)

    def _share_out(self, line: StageLine, cells: tuple[StageCell, ...]) -> Change:
        """Have every key belong to one of these: what is queued, and what comes.

        A key that moves waits for its old item: nothing is let in, and nobody takes
        anything, until all have put down, and handed on, what they had.
        """
        self._sharing.append(line)
        hold = yield from self._hold(line)
        line.inlet.close_gate()
        try:
            yield hold.step
        finally:
            self._sharing.remove(line)
            for cell in line.cells:
                if not cell.alive:  # what it has made comes before what others make now
                    for raw, inlet in cell.outlet.take_out():
                        inlet.adopt([raw])
            # Not to one that has ended meanwhile, unless the chain is going down: then all
            # of these end, and may come back together.
            left: tuple[StageCell, ...] = ()
            if not self.scope.state.stopped:
                left = tuple(cell for cell in cells if not cell.gone)
                left = left or tuple(cell for cell in line.linked if not cell.gone)
            left = left or tuple(cell for cell in cells if not cell.mailbox.is_inherited)
            self._put_in_order(line, left or cells)
            self._release(hold)
        if line.inlet.gated and self.scope.state.phase in {"starting", "up"}:
            given_out = Step()
            line.inlet.when_sorted(lambda: self.scope.services.post(given_out.set, None))
            yield given_out

    def _put_in_order(self, line: StageLine, cells: tuple[StageCell, ...]) -> None:
        """Give everything that is queued to whom it belongs of these, and let more in."""
        with line.moving:
            queued = [raw for cell in line.cells for raw in cell.mailbox.take_out()]
            line.link(to=cells)
            line.inlet.open_gate(queued)

    def lost(self, cell: StageCell) -> None:
        """Go on without a replica of a partition that has ended for good.

        Not after the changes that were asked for before: they may wait for a stage that
        cannot hand on to this one before that is done.
        """
        line = cell.line
        if line not in self._sharing:
            self.begin_beside(self._without_gone(line))

    def _without_gone(self, line: StageLine) -> Change:
        yield from self._share_out(line, line.linked)

    def returned(self, cell: StageCell) -> None:
        """Go on with a replica that had ended for good, and was started by hand."""
        line = cell.line
        cells = line.with_returned(cell)
        if line.keeps_order:
            self.begin(self._share_out(line, cells))
        else:
            line.link(to=cells)

    def insert(self, line: StageLine, before: ChildId | None) -> Change:
        """Have a new stage in front of another one, or as the last."""
        scope = self.scope
        self._check_running()
        if line.id in {each.id for each in scope.lines}:
            raise DuplicateChildError(f"chain {scope.id!r} has a stage {line.id!r} already")
        lines, at = scope.lines, len(scope.lines)
        # Wired before it starts: its replicas look at where to hand on when they begin.
        if before is not None:
            line.next = self._find(before)
            at = lines.index(line.next)
        else:
            last = lines[-1]
            line.on_result, line.taps, line.onward = last.on_result, last.taps, last.onward
        try:
            for _ in range(line.size):
                yield from self._add(line, before)
        except Exception:
            with suppress(NotRunningError):
                yield from self._dismiss(line.cells, whole=True)
            raise
        there = tuple(cell for cell in line.cells if not cell.gone)
        if not there:
            raise NotRunningError(f"stage {line.id!r} has ended before it was joined")
        line.link(to=there)
        yield from self._arrange((*lines[:at], line, *lines[at:]), at)

    def remove(self, id: ChildId) -> Change:
        """Have a stage finish what it has, and be without it then."""
        scope = self.scope
        self._check_running()
        line, lines = self._find(id), scope.lines
        if len(lines) == 1:
            raise SpecError(f"chain {scope.id!r} must have at least one stage: remove the chain")
        at = lines.index(line)
        yield from self._arrange((*lines[:at], *lines[at + 1 :]), at, leaving=(line,))
        line.removed = True
        for cell in line.cells:
            cell.mailbox.shut("its stage is being removed")
        try:
            yield from self._finish(line)
            line.finished = True
            # At once: that its replicas go one by one is not to be taken for its end.
            yield from self._dismiss(line.cells, whole=True)
        except NotRunningError:
            line.removed = line.finished = False
            self._ghosts -= {*line.cells}
            line.link(to=tuple(cell for cell in line.linked if cell in line.cells) or line.cells)
            self._join(lines)
            raise
        scope.has_left(line)

    def _finish(self, line: StageLine) -> Change:
        """Have a stage that gets nothing new finish what it has.

        Who was stopped by hand does not, and is removed with what it has, to which its
        equals are the heirs.
        """
        while True:
            idle = [cell for cell in line.cells if is_idle(self.scope, cell)]
            yield from self._dismiss(idle, whole=True)
            if not line.cells:
                return
            through = self._mark(line)
            self._finishing = line, through
            try:
                yield through
            finally:
                self._finishing = None
            if through.value is through:
                return

    def _mark(self, line: StageLine) -> Step:
        """Return what is set, to itself, when what the stage has now is through."""
        through, post = Step(), self.scope.services.post
        Wave(line, lambda: post(through.set, through), single=True).begin()
        return through

    def _arrange(
        self, lines: tuple[StageLine, ...], at: int, leaving: tuple[StageLine, ...] = ()
    ) -> Change:
        """Join the stages in a new order: whoever hands on to place `at` puts down first."""
        hold = (yield from self._hold(lines[at - 1])) if at else None
        try:
            if hold is not None:
                yield hold.step
        finally:
            self._join(lines, leaving)
            if hold is not None:
                self._release(hold)

    def _join(self, lines: tuple[StageLine, ...], leaving: tuple[StageLine, ...] = ()) -> None:
        scope = self.scope
        old, new = scope.lines[-1], lines[-1]
        if old is not new:
            new.on_result, new.taps, new.onward = old.on_result, old.taps, old.onward
        before, first = scope.lines[0], lines[0]
        scope.set_lines(lines, leaving)
        if before is not first and self.entry is not None:
            # With what it remembers: no more are to enter because the stage is new.
            limiter, before.limiter = before.limiter, None
            first.hold_to(limiter)
            self._set_rate(first)
            self._set_rate(before)
            if limiter is not None:
                limiter.look_up()  # those of the old one are not to wait for it
        scope.facade.head_changed()

    def set_paused(self, on: bool) -> None:
        """Have no stage take anything new, or all go on."""
        if on == self.paused:
            return
        self.paused = on
        held = {hold.line for hold in self._holds}
        for line in self.scope.lines:
            if line.scaler is not None:
                line.scaler.wake()
        cells: Iterable[Any] = self.scope.cells.values()  # those of stages that leave, too
        for cell in cells:
            if cell.line not in held:
                self.pause_if_paused(cell)

    def pause_if_paused(self, cell: StageCell) -> None:
        """Hold a replica up, or let it go on, as the whole chain is."""
        cell.set_pause(Pause() if self.paused else None)

    def set_rate(self, rate: Rate | None, line: StageLine | None) -> None:
        """Hold a stage to a rate, or the chain: whichever stage is the first."""
        if line is None:
            self.entry, line = rate, self.scope.lines[0]
        else:
            line.rate = rate
        self._set_rate(line)

    def _set_rate(self, line: StageLine) -> None:
        entry = self.entry if line is self.scope.lines[0] else None
        line.set_rate(slower(line.rate, entry))

    def _find(self, id: ChildId) -> StageLine:
        for line in self.scope.lines:
            if line.id == id:
                return line
        raise UnknownChildError(f"chain {self.scope.id!r} has no stage {id!r}")

    def _check_running(self) -> None:
        if self.scope.state.stopped:
            raise self._not_running()

    def _check(self, line: StageLine) -> None:
        self._check_running()
        if line not in self.scope.lines:
            raise UnknownChildError(f"chain {self.scope.id!r} has no stage {line.id!r} any more")
