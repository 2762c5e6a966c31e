"""The scope of scopes: workers, groups, chains and nested supervisors as children.

Owns the driver whose children are scopes, be it the tree itself (`root`) or a
supervisor in it (`nested`). It must not decide anything: its machine is the same as
theirs, nor know what follows from its own coming up and going down.

A scope is to its supervisor what a worker is to a scope: `Up` is its `Started`, `Over`
its `Exited`. They reach the machine by `later`, after the step that caused them,
so that no machine is ever stepped in the middle of its own step.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from threadsup import events
from threadsup._errors import StartError
from threadsup._policy.ledger import Ledger
from threadsup._policy.protocol import (
    ChildDown,
    ChildRules,
    Decided,
    Exited,
    Fence,
    Forgotten,
    GiveUp,
    Notice,
    Over,
    Request,
    Restarting,
    ScopeRules,
    Signal,
    Start,
    Started,
    StartFailed,
    Up,
)
from threadsup._policy.restart import NoRestart
from threadsup._runtime.clock import monotonic
from threadsup._runtime.future import Future
from threadsup._scope import Driver, Parent, WorkerScope
from threadsup._snapshot import Abandonment, StopReport

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from threadsup._cell import Cell
    from threadsup._exits import ChildId
    from threadsup._policy.protocol import Fate, Verb
    from threadsup._runtime.actor import Life
    from threadsup._specs import ChildSpec
    from threadsup._supervisor.nested import Nested
    from threadsup._supervisor.services import TreeServices

    Part: TypeAlias = WorkerScope | Nested
    """A child of a supervisor, as a scope."""

__all__ = ["Adoption", "Branch", "cells_of"]


class Adoption(NamedTuple):
    """A child that is to be taken in."""

    scope: Part
    rules: ChildRules
    future: Future[bool]
    """Who waits for it."""
    spec: ChildSpec
    """What it was made of."""


def cells_of(part: Part) -> Iterator[Cell]:
    """Yield the cells of a child of a supervisor, and those below. From any thread."""
    if isinstance(part, WorkerScope):
        yield from part.cells.values()
    else:
        yield from part.all_cells()


class Branch(Driver, Parent):
    """The scopes of one supervisor."""

    services: TreeServices

    def __init__(self, id: ChildId, rules: ScopeRules, services: TreeServices) -> None:
        super().__init__(id, rules, services)
        self.scopes: Ledger[ChildId, Part] = Ledger.of({})
        """Replaced, never changed: any thread may read it."""
        self._numbers: dict[ChildId, int] = {}
        self._stopping_since: float | None = None
        self._abandoned: dict[Abandonment, None] = {}
        self._running: dict[Life, threading.Thread] = {}
        """Who was up when the stop began."""
        self._not_started: Part | None = None
        """The last scope that did not start; it may be forgotten already."""

    def all_cells(self) -> Iterator[Cell]:
        """Yield the cells of all below, in start order. From any thread."""
        for part in self.scopes.values():
            yield from cells_of(part)

    # -- requests -------------------------------------------------------------------

    def adopt(self, what: Adoption) -> None:
        """Take a scope in; started at once if the supervisor is up."""
        part = what.scope
        if part.id not in self.scopes and not self.state.stopped:
            part.parent = self
            self.scopes = self.scopes.put(part.id, part)
        token = (part.id, what.future, None)
        self.take(Request("add", part.id, token=token, rules=what.rules))

    def errand(
        self, verb: Verb, key: ChildId, *, was_up: bool | None = None, drain: bool = False
    ) -> Future[bool]:
        """Have something done with one child by hand. From any thread."""
        future: Future[bool] = Future()
        request = Request(verb, key, token=(key, future, was_up), drain=drain)
        self.services.request(self.take, request, future)
        return future

    def stop_child(self, id: ChildId, *, was_up: bool, drain: bool) -> Future[bool]:
        """Have one of the scopes stopped by hand. From any thread."""
        return self.errand("stop_child", id, was_up=was_up, drain=drain)

    # -- what scopes report ---------------------------------------------------------

    def scope_up(self, scope: Driver) -> None:
        """Report that a scope is up."""
        self.services.later(self.take, Started(scope.id, self._numbers[scope.id]))

    def scope_over(self, scope: Driver, over: Over) -> None:
        """Report that a scope is down."""
        number = self._numbers.get(scope.id, 0)
        if over.came_up:
            event: Exited | StartFailed = Exited(
                scope.id, number, over.reason, over.gave_up, over.overran
            )
        else:
            event = StartFailed(scope.id, number, over.reason)
        self.services.later(self.take, event)

    def abandoned(self, left: Abandonment) -> None:
        """Remember who did not stop when the supervisor was stopped."""
        if self.state.stopped:
            self._abandoned[left] = None

    # -- actions --------------------------------------------------------------------

    def start(self, start: Start) -> None:
        """Begin an incarnation of a scope: a fresh budget, the same mailboxes."""
        self._numbers[start.key] = start.incarnation
        self.services.later(self.scopes[start.key].take, Request("start", fate=start.fate))

    def signal(self, signal: Signal) -> None:
        """Ask a scope to stop; it keeps the limits of its members itself, within `by`."""
        request = Request(
            "stop", reason=signal.reason, fate=signal.fate, by=signal.by, drain=signal.drain
        )
        self.services.later(self.scopes[signal.key].take, request)

    def interrupt(self, key: ChildId) -> None:
        """Do nothing: only workers are interrupted."""

    def fence(self, fence: Fence) -> None:
        """Give a scope up: whoever is left in it is abandoned now."""
        self.scopes[fence.key].take(Request("abandon", reason=fence.reason, fate=self.state.fate))

    def gave_up(self, what: GiveUp) -> None:
        """Say that the supervisor's own budget is spent."""
        services = self.services
        path = (*services.prefix, what.key)
        escalates = self.state.rules.escalate
        services.publish(events.GaveUp(services.name, events.now(), path, what.reason, escalates))

    def told(self, notice: Notice) -> None:
        """Do what a notice means for a scope and for the supervisor."""
        services = self.services
        match notice:
            case ChildDown(key, number, reason, fate, why):
                part = self.scopes[key]
                if why is NoRestart.START_FAILED:
                    self._not_started = part
                if not isinstance(part, WorkerScope):
                    part.down(number, reason, fate)
                if fate != "restarts":
                    part.close(fate, why)
            case Decided(key, fate, why):
                if fate != "restarts":
                    self.scopes[key].close(fate, why)
            case Restarting(key, reason, delay):
                path = (*services.prefix, key)
                services.publish(
                    events.Restarting(services.name, events.now(), path, reason, delay)
                )
            case Forgotten(key):
                self.lose(self.scopes[key])
                self.scopes = self.scopes.without(key)
                self._numbers.pop(key, None)
            case Up():
                self.came_up()
            case Over():
                self.went_over(notice)
            case _:
                pass

    @abstractmethod
    def came_up(self) -> None:
        """All its children are up."""

    @abstractmethod
    def went_over(self, over: Over) -> None:
        """Nothing of it runs any more."""

    def lose(self, part: Part) -> None:
        """Close a child that is not in the book any more, with its names."""
        services = self.services
        part.close("gone", NoRestart.STOPPED)
        services.undelivered += undelivered_by(part)
        services.names.forget_below(part)

    def close_all(self, fate: Fate, why: NoRestart | None) -> None:
        """Decide for good what becomes of the children: the supervisor is down."""
        for part in self.scopes.values():
            part.close(fate, why)

    def start_error(self, key: ChildId) -> StartError:
        """Return why a scope did not start, naming the worker that did not."""
        part = self.scopes.get(key, self._not_started)
        if part is None or part.state.culprit is None:
            return StartError(f"{key!r} did not start: it was stopped")
        return part.start_error(part.state.culprit)

    # -- the end --------------------------------------------------------------------

    def take(self, event: Any) -> None:
        """Step; from the step that begins a stop on, its time counts and nothing is started."""
        going = self.state.stopped
        super().take(event)
        if self.state.stopped and not going:
            self._hold()
            self._stopping_since = monotonic()
            lives = [cell.life for cell in self.all_cells()]
            self._running = {life: life.thread for life in lives if life and life.thread}

    def _hold(self) -> None:
        """Have scopes whose turn to stop has not come restart nobody until it has."""
        for key, child in self.state.children.items():
            if child.live:
                request = Request("stop", fate=self.state.fate, hold=True)
                self.services.later(self.scopes[key].take, request)

    def report(self) -> StopReport:
        """Return how it stopped: it is down."""
        services = self.services
        left = {**self._abandoned, **dict.fromkeys(services.zombies)}
        since = self._stopping_since
        return StopReport(
            clean=not left,
            stopped=sum(not life.fenced for life in self._running),
            abandoned=tuple(left),
            undelivered=services.undelivered + sum(map(undelivered_by, self.scopes.values())),
            seconds=0.0 if since is None else monotonic() - since,
        )

    def orphan_below(self, error: BaseException) -> None:
        """Let go of who waits for supervisors below: the tree has failed."""
        for part in self.scopes.values():
            if not isinstance(part, WorkerScope):
                part.orphaned(error)

    def mark_forked(self, why: str) -> None:
        """Refuse everything: this is the child of a fork. Takes no lock."""
        for part in self.scopes.values():
            part.mark_forked(why)


def undelivered_by(part: Part) -> int:
    """Return how many messages to a child, and to what was below it, were not delivered."""
    if isinstance(part, WorkerScope):
        return sum(cell.mailbox.undelivered for cell in part.cells.values())
    return part.services.undelivered + sum(map(undelivered_by, part.scopes.values()))
