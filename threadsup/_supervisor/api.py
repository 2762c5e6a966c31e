"""`Supervisor`: the start and the end of a tree, and waiting for it.

Owns what makes a tree run and what ends it: by hand, by `with`, by a signal, by
the end of the process. It must not decide anything about children.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Self, cast, final

from threadsup._chain import fed_by, upstream_first
from threadsup._errors import (
    CallingSelfError,
    NotRunningError,
    ReplyTimeout,
    StartError,
    UnknownChildError,
)
from threadsup._exits import Shutdown
from threadsup._policy.protocol import Request, ScopeRules
from threadsup._runtime import process
from threadsup._runtime.clock import monotonic
from threadsup._runtime.context import current
from threadsup._scope import chance
from threadsup._specs import IdSource, SupervisorSpec, supervisor_spec
from threadsup._supervisor.children import Children
from threadsup._supervisor.root import Root
from threadsup._supervisor.services import TreeServices
from threadsup._supervisor.signals import stopping_on_signals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Unpack

    from threadsup._chain import Chain
    from threadsup._exits import ExitReason
    from threadsup._snapshot import StopReport
    from threadsup._specs import SupervisorOptions

__all__ = ["Supervisor", "get", "running"]

_numbers = count(1)

_THREADS_JOIN = 5.0
"""Seconds for the tree's own two threads to be gone once it is down: the side
thread may be in a callback of a user's that never returns."""

_LEFT_BY_DRAIN = 1.0
"""Seconds that a drain with a limit leaves for the stop; half of the time at most."""


@final
class Supervisor(Children):
    """A tree of workers, groups and chains under one authority.

    ```python
    with Supervisor("app") as sup:
        sup.add_worker(poll, "https://...", id="poller", restart="permanent")
        sup.run_forever()
    ```

    Everything may be called from any thread.

    Args:
        name: Unique among the running supervisors; made where it is not given.
        options: See `SupervisorSpec`; `defaults` is the budget of children that
            declare none.

    Raises:
        SpecError: the description is wrong.
        TypeError: an option is unknown.
    """

    def __init__(
        self,
        name: str | None = None,
        **options: Unpack[SupervisorOptions],
    ) -> None:
        if name is None:
            name = f"supervisor-{next(_numbers)}"
        self._open(supervisor_spec(name, **options))

    @classmethod
    def from_spec(cls, spec: SupervisorSpec) -> Self:
        """Return a supervisor of what was declared, not started."""
        made = cls.__new__(cls)
        made._open(spec)  # noqa: SLF001 - its own class
        for child in spec.children:
            made._add(child)  # noqa: SLF001
        return made

    def _open(self, spec: SupervisorSpec) -> None:
        self._spec = spec
        self._ids = IdSource()
        self._lock = threading.Lock()
        self._services = TreeServices(spec.name, spec.max_zombies, self._crashed)
        rules = ScopeRules(
            strategy="one_for_one",
            max_restarts=spec.max_restarts,
            max_seconds=spec.max_seconds,
            backoff=spec.backoff,
            ends=spec.auto_shutdown,
            chance=chance,
        )
        self._root = Root(spec.name, rules, self._services, self._ended)

    # -- start ----------------------------------------------------------------------

    def start(self) -> Self:
        """Start the children in declared order, all or none.

        Blocks: until all are up, or those that were are down again.

        Raises:
            StartError: a child did not start; names it, its error is the cause.
            DuplicateChildError: a supervisor of that name is running.
            NotRunningError: it was started before; a stopped one stays stopped.
        """
        with self._lock:
            if self._services.loop.started:
                raise NotRunningError(
                    f"supervisor {self.name!r} was started before: make a new one",
                    self._root.reason,
                )
            process.enrol(self)
            try:
                self._services.start((self._root.take, Request("start")))
            except BaseException as error:
                process.strike(self)
                if isinstance(error, RuntimeError):  # "can't start new thread"
                    raise StartError(f"supervisor {self.name!r} did not start: {error}") from error
                raise
        try:
            self._root.up.result()
        except BaseException:
            # Also when Ctrl-C, or a stop of the worker that starts it, ends the wait:
            # all or none.
            self.stop()
            raise
        return self

    def __enter__(self) -> Self:
        return self.start()

    # -- end ------------------------------------------------------------------------

    def stop(self, timeout: float | None = None, *, drain: bool = False) -> StopReport:
        """Stop all children in reverse order; return who did not stop.

        Every worker has its own `shutdown` seconds; once one has overrun them the
        rest are asked at once. Calling it again, from anywhere, waits for the same
        stop, and may shorten it.

        Blocks: until all have ended or were abandoned, for `timeout` seconds at most.

        Args:
            timeout: Seconds for everything; `None`: the limits of the workers.
            drain: Whether chains first finish the items they have, and hand on to
                other chains; without `timeout`, for as long as that takes.

        Raises:
            CallingSelfError: from a worker or a callback of this tree: use
                `request_stop`.
            NotRunningError: it was never started, or this is the child of a fork.
            InternalError: the supervisor failed; the workers were asked to stop.
        """
        self._check_waiting("stop")
        self._check_started()
        by = inf if timeout is None else monotonic() + timeout
        if drain:
            self._drain(by)
        self._request_stop(Shutdown(), by)
        report = self._root.over.result()
        self._join(by)
        return report

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def request_stop(self, reason: object = None) -> None:
        """Have the tree stopped and go on.

        Never blocks: for workers, subscribers and signal handlers. The supervisor's
        reason is `Shutdown(reason)`. One that has ended stays as it is.
        """
        try:
            self._request_stop(Shutdown(reason), inf)
        except NotRunningError:
            if self._root.reason is None:
                raise

    def _request_stop(self, reason: ExitReason, by: float) -> None:
        self._check_started()
        try:
            request = Request("stop", reason=reason, by=by)
            self._services.request(self._root.take, request)
        except NotRunningError:
            self._services.check_alive()
            # It has ended: whoever stops it gets the report of that end.

    def _drain(self, by: float) -> None:
        """Let chains run empty, and leave time to stop."""
        end = by - min(_LEFT_BY_DRAIN, max(0.0, (by - monotonic()) / 2))
        book = self._root.state.children
        chains = [
            scope.facade
            for key, scope in self._root.scopes.items()
            # Nothing moves in one that was stopped by hand.
            if scope.kind == "chain" and key in book and book[key].condition != "held"
        ]

        def drain(chain: Chain) -> None:
            chain.drain(None if end == inf else max(0.0, end - monotonic()))

        for chain in chains:
            with suppress(NotRunningError):  # the tree has ended meanwhile
                chain.resume()  # nothing would move
        # Of other trees those through which one of these feeds another.
        behind = fed_by(chains) - {*chains}
        moving = (chain for chain in behind if chain.is_up and not chain.is_paused)
        between = [chain for chain in moving if fed_by([chain]) & {*chains}]
        # Who goes on `to` another one comes before it. And one may feed another in its own
        # way: a later one, so they run empty in this order before any is shut; or an
        # earlier one, so they are shut in the order of stopping.
        for chain in upstream_first([*chains, *between])[:-1]:
            drain(chain)
        for chain in upstream_first([*reversed(chains), *between]):
            if chain.supervisor is self:
                chain.shut()
            drain(chain)

    def wait(self, timeout: float | None = None) -> ExitReason | None:
        """Wait until the tree has ended; return why.

        Blocks: for up to `timeout` seconds, then returns `None`.

        Raises:
            CallingSelfError: from a worker or a callback of this tree.
            NotRunningError: it was never started, or this is the child of a fork.
        """
        self._check_waiting("wait")
        self._check_started()
        try:
            self._root.over.result(timeout)
        except ReplyTimeout:
            return None
        return self._root.reason

    def run_forever(self) -> ExitReason | None:
        """Start the tree if it was not, and wait for its end; for scripts.

        In the main thread SIGINT and SIGTERM stop it in order meanwhile, a second
        one shortens the limit to a second; the handlers are put back after.

        Blocks: until the tree has ended.

        Returns:
            Why it ended.

        Raises:
            StartError: a child did not start; nothing runs.
        """
        early: list[str] = []

        def stop(name: str, limit: float | None) -> None:
            # In a thread of its own. First noted, then looked: either the start is seen
            # here, or the note is seen after it.
            early.append(name)
            if self._services.loop.started:
                by = inf if limit is None else monotonic() + limit
                self._request_stop(Shutdown(name), by)

        with stopping_on_signals(stop):
            with suppress(NotRunningError):  # it was started, or is stopped meanwhile
                self.start()
            if early:
                self.request_stop(early[0])
            reason = self.wait()
        self.stop()
        return reason

    def _check_started(self) -> None:
        if not self._services.loop.started:
            raise NotRunningError(f"supervisor {self.name!r} was not started")

    def _check_waiting(self, what: str) -> None:
        self._services.check_alive()
        context = current()
        if context is not None and context.supervisor is self:
            raise CallingSelfError(
                f"{what}() in worker {context.id!r} would wait for that worker: use request_stop()"
            )
        if self._services.side.is_current:
            raise CallingSelfError(
                f"{what}() in a callback would wait for that callback: use request_stop()"
            )

    def _join(self, by: float) -> None:
        """Wait until the tree's own threads are gone."""
        end = min(by, monotonic() + _THREADS_JOIN)
        for join in (self._services.loop.thread.join, self._services.side.join):
            join(max(0.0, end - monotonic()))

    # -- what ends it from elsewhere ------------------------------------------------

    def _ended(self) -> None:
        process.strike(self)
        self._services.side.end()

    def _crashed(self, error: BaseException) -> None:
        self._root.crash(error)

    def leave_process(self) -> None:
        """Stop within `exit_timeout`, as the process ends. For the exit hook only."""
        self.stop(self._spec.exit_timeout, drain=self._spec.on_exit == "drain")

    def feeds(self) -> frozenset[object]:
        """Return the trees that its chains feed, be it by way of others. For the exit hook."""
        chains = [scope.facade for scope in self._root.scopes.values() if scope.kind == "chain"]
        return frozenset(chain.supervisor for chain in fed_by(chains)) - {self}

    def mark_forked(self) -> None:
        """Be dead: this is the child of a fork. For the fork hook only."""
        self._lock = threading.Lock()  # whoever held the other does not exist here
        why = "died when the process was forked"
        self._services.mark_forked(why)
        for scope in self._root.scopes.values():
            scope.mark_forked(f"its supervisor {why}")


def running() -> Mapping[str, Supervisor]:
    """Return the running supervisors by name, oldest first: a snapshot. Never blocks."""
    return cast("Mapping[str, Supervisor]", process.trees())


def get(name: str) -> Supervisor:
    """Return the running supervisor of that name. Never blocks.

    Raises:
        UnknownChildError: none of that name is running.
    """
    try:
        return running()[name]
    except KeyError:
        raise UnknownChildError(f"no supervisor named {name!r} is running") from None
