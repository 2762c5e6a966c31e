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
    SpecError,
    StartError,
    UnknownChildError,
)
from threadsup._exits import Shutdown
from threadsup._policy.protocol import Request, ScopeRules
from threadsup._runtime import process
from threadsup._runtime.clock import monotonic
from threadsup._runtime.context import current
from threadsup._scope import WorkerScope, chance
from threadsup._specs import IdSource, SupervisorSpec, supervisor_spec
from threadsup._supervisor.children import Children, rules_of_child
from threadsup._supervisor.nested import Declared, Nested
from threadsup._supervisor.root import Root
from threadsup._supervisor.services import TreeServices
from threadsup._supervisor.signals import stopping_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Unpack

    from threadsup._chain import Chain
    from threadsup._exits import ExitReason
    from threadsup._snapshot import StopReport
    from threadsup._specs import SupervisorOptions
    from threadsup._supervisor.branch import Branch

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
        """Return a supervisor of what was declared, not started.

        Raises:
            SpecError: it is declared for a place in another supervisor.
        """
        if spec.significant or not spec.escalate:
            raise SpecError(
                f"supervisor {spec.name!r}: significant and escalate are for one in another"
            )
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
        root = Root(spec.name, _rules(spec, escalate=False), self._services, self._ended)
        self._root, self._above, self._up = root, None, root.up

    def _nest(self, spec: SupervisorSpec) -> Nested:
        """Return the scope of a supervisor in this one, and of all that is declared below."""
        made = Supervisor.__new__(Supervisor)
        made._spec = spec  # noqa: SLF001 - its own class, here and below
        made._ids = IdSource()  # noqa: SLF001
        made._lock = threading.Lock()  # noqa: SLF001
        made._services = self._services.below(spec.name)  # noqa: SLF001
        made._above = self  # noqa: SLF001
        children = [
            Declared(made._scope_of(child), rules_of_child(child), child)  # noqa: SLF001
            for child in spec.children
        ]
        made._root = nested = Nested(  # noqa: SLF001
            spec.name,
            _rules(spec, escalate=spec.escalate),
            made._services,  # noqa: SLF001
            made,
            children,
            made._scope_of,  # noqa: SLF001
        )
        return nested

    @property
    def parent(self) -> Supervisor | None:
        """The supervisor it is nested in; `None` of a tree's own."""
        return self._above

    @property
    def scope(self) -> Branch:
        """Its scope; for the supervisor it is in."""
        return self._root

    # -- start ----------------------------------------------------------------------

    def start(self) -> Self:
        """Start the children in declared order, all or none.

        A nested one is started by the supervisor it is in, and not by this.

        Blocks: until all are up, or those that were are down again.

        Raises:
            StartError: a child did not start; names it, its error is the cause.
            DuplicateChildError: a supervisor of that name is running.
            NotRunningError: it was started before; a stopped one stays stopped.
                Or it is nested.
        """
        if self._above is not None:
            raise NotRunningError(
                f"supervisor {self.name!r} is started by {self._above.name!r}, which it is in"
            )
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
            self._up.result()
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

        A nested one ends: the supervisor it is in does not restart it by itself, only by
        `restart_child`. To have it kept with what is queued use that one's `stop_child`.

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
        report = self._root.final_report()
        if self._above is None:
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
            self._services.request(self._root.end, (reason, by))
        except NotRunningError:
            self._services.check_alive()
            # It has ended: whoever stops it gets the report of that end.

    def _drain(self, by: float) -> None:
        """Let chains run empty, and leave time to stop."""
        end = by - min(_LEFT_BY_DRAIN, max(0.0, (by - monotonic()) / 2))
        chains = [chain for chain, moves in _chains(self._root) if moves]

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
            if self._holds(chain.supervisor):
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
        return self._root.wait(timeout)

    def run_forever(self) -> ExitReason | None:
        """Start the tree if it was not, and wait for its end; for scripts.

        In the main thread SIGINT and SIGTERM stop it in order meanwhile, a second
        one shortens the limit to a second; the handlers are put back after.

        Blocks: until the tree has ended.

        Returns:
            Why it ended.

        Raises:
            StartError: a child did not start; nothing runs.
            NotRunningError: it is nested: the tree's own supervisor is to be run.
        """
        if self._above is not None:
            raise NotRunningError(f"supervisor {self.name!r} is nested: run the tree it is in")
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
        if context is not None and self._holds(context.supervisor):
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
        root = self._root
        assert isinstance(root, Root)
        root.crash(error)

    def leave_process(self) -> None:
        """Stop within `exit_timeout`, as the process ends. For the exit hook only."""
        self.stop(self._spec.exit_timeout, drain=self._spec.on_exit == "drain")

    def feeds(self) -> frozenset[object]:
        """Return the trees that its chains feed, be it by way of others. For the exit hook."""
        chains = [chain for chain, _ in _chains(self._root)]
        return frozenset(_tree_of(chain.supervisor) for chain in fed_by(chains)) - {self}

    def mark_forked(self) -> None:
        """Be dead: this is the child of a fork. For the fork hook only."""
        self._lock = threading.Lock()  # whoever held the other does not exist here
        why = "died when the process was forked"
        self._services.mark_forked(why)
        self._root.mark_forked(f"its supervisor {why}")

    def mark_forked_below(self) -> None:
        """Be dead with its tree. For the supervisor it is in."""
        self._lock = threading.Lock()
        self._services.dead = "died when the process was forked"


def _rules(spec: SupervisorSpec, *, escalate: bool) -> ScopeRules:
    return ScopeRules(
        strategy="one_for_one",
        max_restarts=spec.max_restarts,
        max_seconds=spec.max_seconds,
        backoff=spec.backoff,
        ends=spec.auto_shutdown,
        escalate=escalate,
        chance=chance,
    )


def _tree_of(supervisor: Supervisor) -> Supervisor:
    while supervisor.parent is not None:
        supervisor = supervisor.parent
    return supervisor


def _chains(branch: Branch) -> Iterator[tuple[Chain, bool]]:
    """Yield the chains below, and whether anything moves in them.

    Nothing does in one that was stopped by hand, be it with all of its supervisor.
    """
    book = branch.state.children
    for key, part in branch.scopes.items():
        moves = key in book and book[key].condition != "held"
        if not isinstance(part, WorkerScope):
            yield from ((chain, moves and inner) for chain, inner in _chains(part))
        elif part.kind == "chain":
            yield part.facade, moves


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
