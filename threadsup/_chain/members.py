"""The stages of a chain, for its users: looking at them, adding, changing, removing.

Owns the checks made in the caller's thread, and the waiting for the answer. It must not
change anything itself: what is asked is done in the supervisor's thread.
"""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from threadsup._chain.line import StageLine
from threadsup._chain.stage import Stage
from threadsup._checks import whole
from threadsup._errors import (
    CallingSelfError,
    DuplicateChildError,
    SpecError,
    StartError,
    UnknownChildError,
)
from threadsup._policy.autoscale import Autoscale
from threadsup._policy.rate import Rate
from threadsup._runtime.context import current
from threadsup._runtime.future import Future
from threadsup._specs import StageSpec, chain_spec, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Unpack

    from threadsup._cell import Services
    from threadsup._chain.changes import Changes
    from threadsup._chain.scope import ChainScope
    from threadsup._chain.sequence import Change
    from threadsup._exits import ChildId
    from threadsup._policy.protocol import Verb
    from threadsup._runtime.context import Place
    from threadsup._runtime.family import Ledger
    from threadsup._specs import ChainSpec, StageOptions

__all__ = ["Members"]

_AT_LEAST_ONE = whole(1)


class Members:
    """The part of a chain that administers its stages."""

    __slots__ = ()

    spec: ChainSpec
    _scope: ChainScope
    _ledger: Ledger
    _place: Place
    _services: Services

    # -- looking --------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._scope.lines)

    def __iter__(self) -> Iterator[ChildId]:
        return iter(self.children())

    def __contains__(self, id: object) -> bool:
        return id in self.children()

    def __getitem__(self, id: ChildId) -> Stage:
        return Stage(self._line(id))

    def children(self) -> tuple[ChildId, ...]:
        """Return the ids of the stages in the order items pass. Never blocks."""
        return tuple(line.id for line in self._scope.lines)

    def _line(self, id: ChildId) -> StageLine:
        for line in self._scope.lines:
            if line.id == id:
                return line
        raise UnknownChildError(f"chain {self.spec.id!r} has no stage {id!r}")

    # -- stopping and starting ------------------------------------------------------

    def restart_child(self, id: ChildId, timeout: float | None = None) -> None:
        """Stop a stage, or the replica `(stage, n)`, and start it again; nothing is lost.

        Blocks: until it is up or its start has failed, for up to `timeout` seconds.

        Raises:
            UnknownChildError: there is none of that id.
            StartError: it did not start; it is kept.
            CallingSelfError: from that stage, or from a stage that is starting.
            ReplyTimeout: not in time.
        """
        self._errands("restart_child", id, timeout)

    def stop_child(self, id: ChildId, timeout: float | None = None) -> None:
        """Stop a stage, or the replica `(stage, n)`, and keep it for `restart_child`.

        What is queued is kept, too, and so is what the stage before it still makes.

        Blocks: until it has ended or was abandoned, for up to `timeout` seconds.

        Raises:
            UnknownChildError: there is none of that id.
            CallingSelfError: from that stage.
            ReplyTimeout: not in time; it goes on stopping.
        """
        self._errands("stop_child", id, timeout)

    def _errands(self, verb: Verb, id: ChildId, timeout: float | None) -> None:
        line = next((line for line in self._scope.lines if line.id == id), None)
        if line is not None:
            cells = line.linked
        else:
            cells = tuple(c for each in self._scope.lines for c in each.cells if c.id == id)
        if not cells:
            raise UnknownChildError(f"chain {self.spec.id!r} has no stage {id!r}")
        context = current()
        if context is not None and any(context.home is cell.mailbox for cell in cells):
            raise CallingSelfError(f"{context.id!r} would wait for its own end")
        if context is not None and context.starting and context.chain is self:
            raise CallingSelfError(
                f"{context.id!r} cannot change a stage while it starts: it would wait for itself"
            )
        end = None if timeout is None else monotonic() + timeout
        failure: StartError | None = None
        for future in [self._scope.errand(verb, cell.id) for cell in cells]:
            try:
                future.result(None if end is None else max(0.0, end - monotonic()))
            except UnknownChildError:
                if line is None or line not in self._scope.route:
                    raise
                # A replica that has left meanwhile: the stage was asked for, not that.
            except StartError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    # -- live changes ---------------------------------------------------------------

    def add_stage(
        self,
        target: Callable[..., Any] | StageSpec,
        *args: Any,
        timeout: float | None = None,
        **options: Unpack[StageOptions],
    ) -> Stage:
        """Add a stage behind the last one; items told earlier may pass it by.

        Args:
            target: As for `stage`, or what `stage` has made.
            args: Its arguments, after the item if it is a function.
            timeout: Seconds to wait.
            options: See `StageSpec`.

        Blocks: until it is up and joined to the stage before it, which finishes what it
        has in hand, and hands that on, first; for up to `timeout` seconds.

        Raises:
            SpecError: something is wrong with it.
            DuplicateChildError: its id is taken.
            StartError: it did not start, and nothing was changed.
            CallingSelfError: from a stage of this chain.
            NotRunningError: the chain, or its tree, is stopping or has ended.
            ReplyTimeout: not in time; it goes on.
        """
        return self._insert(target, None, args, options, timeout)

    def insert_stage(
        self,
        target: Callable[..., Any] | StageSpec,
        *args: Any,
        before: ChildId,
        timeout: float | None = None,
        **options: Unpack[StageOptions],
    ) -> Stage:
        """Add a stage in front of another one; items past that place pass it by.

        Blocks and raises as `add_stage`.

        Raises:
            UnknownChildError: there is no stage `before`.
        """
        self._line(before)
        return self._insert(target, before, args, options, timeout)

    def _insert(
        self,
        target: Any,
        before: ChildId | None,
        args: tuple[Any, ...],
        options: Any,
        timeout: float | None,
    ) -> Stage:
        if isinstance(target, StageSpec):
            if args or options:
                raise TypeError("what stage() has made takes no more arguments")
            made = target
        else:
            made = stage(target, *args, **options)
        others = [each.spec for each in self._scope.lines]
        if made.id in {each.id for each in others}:
            raise DuplicateChildError(f"chain {self.spec.id!r} has a stage {made.id!r} already")
        # As part of a chain like this one: its id is made, its capacity checked.
        checked = chain_spec(self.spec.id, [*others, made], capacity=self.spec.capacity)
        line = self._make_line(checked.stages[-1])
        self._change(lambda changes: changes.insert(line, before), timeout)
        return Stage(line)

    def remove_stage(self, id: ChildId, timeout: float | None = None) -> None:
        """Remove a stage; what it has queued it finishes first. Nothing is lost.

        Only what is queued at a replica that was stopped by hand, and has no equals, is
        undelivered.

        Blocks: until it has finished and ended, for up to `timeout` seconds. In a chain
        that is paused that is after `resume`.

        Raises:
            UnknownChildError: there is none of that id.
            SpecError: it is the only one.
            CallingSelfError: from a stage of this chain.
            NotRunningError: the chain, or its tree, is stopping or has ended; the stage
                is still there if it had not finished.
            ReplyTimeout: not in time; it goes on.
        """
        self._line(id)
        self._change(lambda changes: changes.remove(id), timeout)

    remove_child = remove_stage

    def resize(self, id: ChildId, workers: int, timeout: float | None = None) -> None:
        """Have `workers` replicas of a stage; nothing is lost, and no order by key.

        What those that leave had queued goes to the others.

        Those that were stopped by hand leave first, then the youngest. They finish what
        they have in hand. With `partition` all do, before keys go to others, and senders
        wait for that as they do for room.

        Blocks: until that is so, for up to `timeout` seconds.

        Raises:
            UnknownChildError: there is no such stage.
            SpecError: the number is none, or the stage scales itself.
            StartError: one did not start; those before it are there.
            CallingSelfError: from a stage of this chain.
            NotRunningError: the chain, or its tree, is stopping or has ended.
            ReplyTimeout: not in time; it goes on.
        """
        line = self._line(id)
        if problem := _AT_LEAST_ONE(workers):
            raise SpecError(f"workers: {problem}")
        if type(line.spec.workers) is Autoscale:
            raise SpecError(f"stage {id!r} scales itself: its workers cannot be set by hand")
        self._change(lambda changes: changes.resize(line, workers), timeout)

    def pause(self) -> None:
        """Have no stage take a new item until `resume`: after this call none does.

        Items in hand are finished, and not waited for; senders queue, and wait when that
        is full. What waits for items to be finished (`drain`, `remove_stage`, futures)
        waits for `resume`, and so does a change that waits for room behind a stage, and
        those asked for after it: give them a `timeout`. A stop does not wait; one that is
        to drain resumes.

        May be called from a stage. Blocks: for the moment that it takes to say so.

        Raises:
            NotRunningError: the tree has ended.
        """
        self._ask(lambda changes: changes.set_paused(True))

    def resume(self) -> None:
        """Have the stages go on. Blocks and raises as `pause`."""
        self._ask(lambda changes: changes.set_paused(False))

    @property
    def is_paused(self) -> bool:
        """Whether it was paused, and not resumed since."""
        return self._scope.changes.paused

    def set_capacity(self, capacity: int, id: ChildId | None = None) -> None:
        """Change how many items may be queued at each replica, of one stage or of all.

        What is queued past a smaller one stays. Of all, a stage whose batch is larger
        gets that size, as it would in a chain that is made so.

        May be called from a stage. Blocks: for the moment that it takes to say so.

        Raises:
            UnknownChildError: there is no such stage.
            SpecError: the number is none, or the batch of that stage would not fit.
            NotRunningError: the tree has ended.
        """
        if problem := _AT_LEAST_ONE(capacity):
            raise SpecError(f"capacity: {problem}")
        lines = self._scope.lines if id is None else (self._line(id),)
        sizes = [1 if line.spec.batch is None else line.spec.batch.size for line in lines]
        if id is not None and capacity < sizes[0]:
            raise SpecError(
                f"capacity: must be at least the batch's size, {sizes[0]}, not {capacity}"
            )

        def change(_: Changes) -> None:
            for line, size in zip(lines, sizes, strict=True):
                line.set_capacity(max(capacity, size))

        self._ask(change)

    def set_rate(self, rate: Rate | None, id: ChildId | None = None) -> None:
        """Change how many items a stage may begin; of the chain, if no stage is named.

        The first stage is held to both, its own rate and that of the chain, whichever
        stage is the first. `None` takes a rate away.

        May be called from a stage. Blocks: for the moment that it takes to say so.

        Raises:
            UnknownChildError: there is no such stage.
            SpecError: it is no `Rate`.
            NotRunningError: the tree has ended.
        """
        if rate is not None and type(rate) is not Rate:
            raise SpecError(f"rate: must be a Rate or None, not a {type(rate).__name__}")
        line = None if id is None else self._line(id)
        self._ask(lambda changes: changes.set_rate(rate, line))

    def _make_line(self, spec: StageSpec) -> StageLine:
        return StageLine(spec, self.spec, self._ledger, self._place, self._services)

    def _change(self, change: Callable[[Changes], Change], timeout: float | None) -> None:
        context = current()
        if context is not None and context.chain is self:
            raise CallingSelfError(f"{context.id!r} cannot change its own chain and wait for it")
        future: Future[bool] = Future()
        begin = partial(_begin, self._scope.changes, change)
        self._scope.services.request(begin, future, future)
        future.result(timeout)

    def _ask(self, call: Callable[[Changes], None]) -> None:
        """Have it done by the supervisor's thread, which waits for nobody."""
        future: Future[bool] = Future()
        services, changes = self._scope.services, self._scope.changes

        def do(_: object) -> None:
            call(changes)
            services.settle(future, value=True)

        services.request(do, None, future)
        future.result()


def _begin(changes: Changes, change: Callable[[Changes], Change], future: Future[bool]) -> None:
    changes.begin(change(changes), future)
