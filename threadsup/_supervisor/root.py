"""The scope of scopes: workers, groups and chains as the children of a tree.

Owns the driver whose children are `WorkerScope`s, and the end of the tree: the
report, the last closing of mailboxes, the letting go of waiters. It must not
decide anything: its machine is the same as theirs.

A scope is to the tree what a worker is to a scope: `Up` is its `Started`, `Over`
its `Exited`. They reach the machine by `later`, after the step that caused them,
so that no machine is ever stepped in the middle of its own step.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from threadsup import events
from threadsup._errors import InternalError, NotRunningError, StartError
from threadsup._exits import ExitReason, Shutdown, describe_exception, reason_of
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
    from collections.abc import Callable, Mapping

    from threadsup._exits import ChildId
    from threadsup._policy.protocol import Verb
    from threadsup._runtime.actor import Life
    from threadsup._supervisor.services import TreeServices

__all__ = ["Root"]

_JOIN = 1.0
"""Seconds for the threads of workers, which have all reported their end, to be gone."""


class Root(Driver, Parent):
    """The scopes of one tree."""

    services: TreeServices

    def __init__(
        self, name: str, rules: ScopeRules, services: TreeServices, ended: Callable[[], None]
    ) -> None:
        super().__init__(name, rules, services)
        self.scopes: Mapping[ChildId, WorkerScope] = MappingProxyType({})
        """Replaced, never changed: any thread may read it."""
        self.up: Future[bool] = Future()
        """Settled when all that was declared is up, or failed."""
        self.over: Future[StopReport] = Future()
        """Settled when the tree is down."""
        self.reason: ExitReason | None = None
        """Why the tree ended."""
        self._ended = ended
        self._numbers: dict[ChildId, int] = {}
        self._stopping_since: float | None = None
        self._abandoned: dict[Abandonment, None] = {}
        self._running: dict[Life, threading.Thread] = {}
        """Who was up when the stop began."""
        self._not_started: WorkerScope | None = None
        """The last scope that did not start; it may be forgotten already."""

    # -- requests -------------------------------------------------------------------

    def adopt(self, what: tuple[WorkerScope, ChildRules, Future[bool]]) -> None:
        """Take a scope in; started at once if the tree is up."""
        scope, rules, future = what
        if scope.id not in self.scopes and not self.state.stopped:
            scope.parent = self
            self.scopes = MappingProxyType({**self.scopes, scope.id: scope})
        self.take(Request("add", scope.id, token=(scope.id, future, None), rules=rules))

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

    def scope_up(self, scope: WorkerScope) -> None:
        """Report that a scope is up."""
        self.services.later(self.take, Started(scope.id, self._numbers[scope.id]))

    def scope_over(self, scope: WorkerScope, over: Over) -> None:
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
        """Remember who did not stop when the tree was stopped."""
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
        """Say that the tree's own budget is spent."""
        services = self.services
        services.publish(
            events.GaveUp(services.name, events.now(), (what.key,), what.reason, False)
        )

    def told(self, notice: Notice) -> None:
        """Do what a notice means for a scope and for the tree."""
        services = self.services
        match notice:
            case ChildDown(key, _, _, fate, why) | Decided(key, fate, why):
                if why is NoRestart.START_FAILED:
                    self._not_started = self.scopes[key]
                if fate != "restarts":
                    self.scopes[key].close(fate, why)
            case Restarting(key, reason, delay):
                services.publish(
                    events.Restarting(services.name, events.now(), (key,), reason, delay)
                )
            case Forgotten(key):
                self.scopes[key].close("gone", NoRestart.STOPPED)
                services.undelivered += self._undelivered_by(self.scopes[key])
                left = {k: scope for k, scope in self.scopes.items() if k != key}
                self.scopes = MappingProxyType(left)
                self._numbers.pop(key, None)
            case Up():
                services.publish(events.SupervisorStarted(services.name, events.now()))
                services.settle(self.up, value=True)
            case Over():
                self._finish(notice)
            case _:
                pass

    def start_error(self, key: ChildId) -> StartError:
        """Return why a scope did not start, naming the worker that did not."""
        scope = self.scopes.get(key, self._not_started)
        if scope is None or scope.state.culprit is None:
            return StartError(f"{key!r} did not start: it was stopped")
        return scope.start_error(scope.state.culprit)

    def take(self, event: Any) -> None:
        """Step; from the step that begins a stop on, its time counts and nothing is started."""
        going = self.state.stopped
        super().take(event)
        if self.state.stopped and not going:
            self._hold()
            self._stopping_since = monotonic()
            lives = [cell.life for scope in self.scopes.values() for cell in scope.cells.values()]
            self._running = {life: life.thread for life in lives if life and life.thread}

    def _hold(self) -> None:
        """Have scopes whose turn to stop has not come restart nobody until it has."""
        for key, child in self.state.children.items():
            if child.live:
                request = Request("stop", fate=self.state.fate, hold=True)
                self.services.later(self.scopes[key].take, request)

    # -- the end --------------------------------------------------------------------

    def _finish(self, over: Over) -> None:
        """End the tree: nothing of it runs any more but zombies."""
        self.reason = over.reason if over.gave_up else Shutdown()
        if isinstance(over.reason, Shutdown):
            self.reason = over.reason
        failure = None
        if not over.came_up and over.culprit is not None:
            failure = self.start_error(over.culprit)
        for scope in self.scopes.values():
            scope.close("gone", NoRestart.SCOPE_STOPPING)
        undelivered = sum(map(self._undelivered_by, self.scopes.values()))
        self._end(failure, self.services.undelivered + undelivered)
        end = monotonic() + _JOIN
        for life, thread in self._running.items():
            if not life.fenced:
                thread.join(max(0.0, end - monotonic()))
        self._running = {}

    def _undelivered_by(self, scope: WorkerScope) -> int:
        return sum(cell.statistics().undelivered for cell in scope.cells.values())

    def _end(self, failure: StartError | None, undelivered: int) -> None:
        services = self.services
        left = {**self._abandoned, **dict.fromkeys(services.zombies)}
        since = self._stopping_since
        report = StopReport(
            clean=not left,
            stopped=sum(not life.fenced for life in self._running),
            abandoned=tuple(left),
            undelivered=undelivered,
            seconds=0.0 if since is None else monotonic() - since,
        )
        assert self.reason is not None
        services.publish(events.SupervisorEnded(services.name, events.now(), self.reason))
        services.loop.over = True
        self._ended()
        error = failure or NotRunningError("the supervisor was stopped while it started")
        services.settle(self.up, error=error)
        services.settle(self.over, value=report)

    def crash(self, error: BaseException) -> None:
        """Take the tree down without the machine, which has failed: a bug of ours.

        Every worker is asked to stop, every mailbox closed, every waiter told.
        """
        services = self.services
        internal = InternalError(f"the supervisor failed: {describe_exception(error)}")
        internal.__cause__ = error
        try:
            if self.reason is None:
                self.reason = reason_of(internal)
                for scope in reversed(list(self.scopes.values())):
                    for cell in reversed(list(scope.cells.values())):
                        cell.orphaned(internal)
                services.publish(events.SupervisorEnded(services.name, events.now(), self.reason))
        finally:
            services.settle(self.up, error=internal)
            services.settle(self.over, error=internal)
            services.break_promises(internal)
            self._ended()
