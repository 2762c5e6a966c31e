"""The tree itself: how it comes up, and how it ends.

Owns the futures of both, the report, and the letting go of waiters. It must not
decide anything: its machine is the same as that of a scope; nor know its children,
which are `branch`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadsup import events
from threadsup._errors import InternalError, NotRunningError, ReplyTimeout, StartError
from threadsup._exits import ExitReason, Shutdown, describe_exception, reason_of
from threadsup._policy.protocol import Over, Request, ScopeRules
from threadsup._policy.restart import NoRestart
from threadsup._runtime.clock import monotonic
from threadsup._runtime.future import Future
from threadsup._supervisor.branch import Branch, cells_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._snapshot import StopReport
    from threadsup._supervisor.services import TreeServices

__all__ = ["Root"]

_JOIN = 1.0
"""Seconds for the threads of workers, which have all reported their end, to be gone."""


class Root(Branch):
    """The scope of the scopes of one tree."""

    def __init__(
        self, name: str, rules: ScopeRules, services: TreeServices, ended: Callable[[], None]
    ) -> None:
        super().__init__(name, rules, services)
        self.up: Future[bool] = Future()
        """Settled when all that was declared is up, or failed."""
        self.over: Future[StopReport] = Future()
        """Settled when the tree is down."""
        self.reason: ExitReason | None = None
        """Why the tree ended."""
        self._ended = ended

    # -- anybody's ------------------------------------------------------------------

    def wait(self, timeout: float | None) -> ExitReason | None:
        """Wait until it is down; `None` when the time is up first."""
        try:
            self.over.result(timeout)
        except ReplyTimeout:
            return None
        return self.reason

    def final_report(self) -> StopReport:
        """Wait until it is down; return how it stopped."""
        return self.over.result()

    # -- the supervisor's thread's --------------------------------------------------

    def end(self, what: tuple[ExitReason, float]) -> None:
        """Have it end by itself, for a reason and by a moment."""
        reason, by = what
        self.take(Request("stop", reason=reason, by=by))

    def came_up(self) -> None:
        """Tell who waits for it."""
        services = self.services
        services.publish(events.SupervisorStarted(services.name, events.now()))
        services.settle(self.up, value=True)

    def went_over(self, over: Over) -> None:
        """End the tree: nothing of it runs any more but zombies."""
        self.reason = over.reason if over.gave_up else Shutdown()
        if isinstance(over.reason, Shutdown):
            self.reason = over.reason
        failure = None
        if not over.came_up and over.culprit is not None:
            failure = self.start_error(over.culprit)
        self.close_all("gone", NoRestart.SCOPE_STOPPING)
        self.services.names.clear()
        self._end(failure)
        end = monotonic() + _JOIN
        for life, thread in self._running.items():
            if not life.fenced:
                thread.join(max(0.0, end - monotonic()))
        self._running = {}

    def _end(self, failure: StartError | None) -> None:
        services, report = self.services, self.report()
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
                for part in reversed(list(self.scopes.values())):
                    for cell in reversed(list(cells_of(part))):
                        cell.orphaned(internal)
                self.orphan_below(internal)
                services.publish(events.SupervisorEnded(services.name, events.now(), self.reason))
        finally:
            services.settle(self.up, error=internal)
            services.settle(self.over, error=internal)
            services.break_promises(internal)
            self._ended()
