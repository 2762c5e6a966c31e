"""Adding, stopping, restarting, removing and naming the children of a supervisor.

Owns the checks made in the caller's thread, and the waiting for the answer. It
must not touch a machine: what is asked is done in the supervisor's thread.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from dataclasses import replace
from functools import cache
from math import inf
from typing import TYPE_CHECKING, Any

from threadsup._build import worker_cell
from threadsup._cell import Cell
from threadsup._chain import Chain, chain_scope
from threadsup._checks import ident
from threadsup._errors import (
    CallingSelfError,
    DuplicateChildError,
    SpecError,
    ThreadsupError,
    UnknownChildError,
)
from threadsup._group import Group, group_scope
from threadsup._policy.protocol import ChildRules
from threadsup._runtime.context import Place, current
from threadsup._runtime.future import Future
from threadsup._runtime.ref import WorkerRef
from threadsup._scope import WorkerScope, rules_of_scope, rules_of_worker
from threadsup._specs import (
    GroupSpec,
    IdSource,
    SupervisorSpec,
    WorkerSpec,
    chain_spec,
    group_spec,
    name_of,
    nested_problems,
    nested_spec,
    significance_problem,
    worker_spec,
)
from threadsup._supervisor.branch import Adoption, Branch, cells_of
from threadsup._supervisor.reading import Reading

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from typing_extensions import Unpack

    from threadsup._exits import ChildId
    from threadsup._policy.protocol import Verb
    from threadsup._policy.restart import RestartRule
    from threadsup._specs import (
        ChainOptions,
        ChildSpec,
        GroupOptions,
        Handler,
        NestedOptions,
        StageSpec,
        WorkerOptions,
    )
    from threadsup._supervisor.api import Supervisor
    from threadsup._supervisor.branch import Part
    from threadsup._supervisor.nested import Nested

__all__ = ["Children", "rules_of_child"]


def rules_of_child(spec: ChildSpec) -> ChildRules:
    """Return the rules of a child of a supervisor, which is a scope."""
    if isinstance(spec, WorkerSpec) and spec.restart == "temporary":
        return _rules("temporary", spec.significant)
    return _rules("escalate" if spec.escalate else "never", spec.significant)


@cache  # there are six of them, and a tree of thousands shares them
def _rules(restart: RestartRule, significant: bool) -> ChildRules:
    return ChildRules(
        restart=restart,
        significant=significant,
        shutdown=inf,  # the limits are those of its members
        start_timeout=inf,
    )


class Children(Reading):
    """The part of a supervisor that administers children."""

    _above: Supervisor | None
    """The supervisor it is nested in."""
    _ids: IdSource
    _lock: threading.Lock
    """Guards the making of ids and the transition to started."""

    def add_worker(
        self, target: Callable[..., Any] | Handler, *args: Any, **options: Unpack[WorkerOptions]
    ) -> WorkerRef:
        """Add a standalone worker, and start it if the tree runs.

        Args:
            target: A function (a task: runs once), `handler(fn)` (called per message),
                a `Worker` subclass or a `pykka.ThreadingActor` subclass.
            args: Its arguments, after the message if it is a handler.
            options: See `WorkerSpec`.

        Blocks: until it is up or its start has failed.

        Raises:
            SpecError: the description is wrong.
            TypeError: an option is unknown.
            DuplicateChildError: the id is taken.
            StartError: it did not start, and is not added; its error is the cause.
            NotRunningError: the tree is stopping or has ended.
        """
        spec = worker_spec(target, *args, **options)
        ref: WorkerRef
        while spec.id is None:
            with self._lock:
                made = self._ids.unused(name_of(spec.target), self._root.scopes)
            with suppress(DuplicateChildError):  # somebody's own choice since
                ref = self._add(replace(spec, id=made))
                return ref
        ref = self._add(spec)
        return ref

    def add_group(
        self, id: ChildId, members: Iterable[WorkerSpec] = (), **options: Unpack[GroupOptions]
    ) -> Group:
        """Add a group; members are given here or added to what is returned.

        Blocks and raises as `add_worker`.
        """
        group: Group = self._add(group_spec(id, members, **options))
        return group

    def add_chain(
        self, id: ChildId, stages: Iterable[StageSpec], **options: Unpack[ChainOptions]
    ) -> Chain:
        """Add a chain of `stage(...)`s, in the order items pass.

        Blocks and raises as `add_worker`.
        """
        chain: Chain = self._add(chain_spec(id, stages, **options))
        return chain

    def add_supervisor(
        self, name: str, children: Iterable[ChildSpec] = (), **options: Unpack[NestedOptions]
    ) -> Supervisor:
        """Add a supervisor with a budget of its own; start it if this one runs.

        Children are given here or added to what is returned. When its budget is spent it
        stops its children, and here that is a crash of this child: it is restarted, with
        a fresh budget and the children that it was first started with.

        Args:
            name: Its id here.
            children: Specs of what it starts with, in order.
            options: See `SupervisorSpec`; `escalate=False` has it stay down when its
                budget is spent, `significant=True` has its end by itself count for this
                one's `auto_shutdown`.

        Blocks and raises as `add_worker`.
        """
        made: Supervisor = self._add(nested_spec(name, children, **options))
        return made

    def _add(self, spec: ChildSpec) -> Any:
        if problem := significance_problem(spec.significant, self._spec.auto_shutdown):
            raise SpecError(f"{spec.id!r}.{problem}")
        if isinstance(spec, SupervisorSpec) and (problems := nested_problems(spec)):
            raise SpecError([f"{spec.id!r}.{each}" for each in problems])
        scope = self._scope_of(spec)
        self._check_not_starting("add a child")
        future: Future[bool] = Future()
        adoption = Adoption(scope, rules_of_child(spec), future, spec)
        self._services.request(self._root.adopt, adoption, future)
        future.result()
        return scope.facade

    @property
    @abstractmethod
    def scope(self) -> Branch:
        """Its scope; for the supervisor it is in."""

    @abstractmethod
    def _nest(self, spec: SupervisorSpec) -> Nested:
        """Return the scope of a supervisor in this one."""

    def _scope_of(self, spec: ChildSpec) -> Part:
        if isinstance(spec, SupervisorSpec):
            return self._nest(spec)
        budget = self._spec.budget_of(spec)
        if isinstance(spec, GroupSpec):
            return group_scope(spec, budget, self, self._services)
        if not isinstance(spec, WorkerSpec):
            return chain_scope(spec, budget, self, self._services)
        assert spec.id is not None
        cell = worker_cell(spec, (spec.id,), Place(supervisor=self), self._services)
        rules = rules_of_scope(
            budget, escalate=spec.escalate, strategy="one_for_one", stop="in_turn", ends="any"
        )
        scope = WorkerScope(
            spec.id, "worker", rules, [(cell, rules_of_worker(spec))], self._services
        )
        scope.facade = cell.ref
        return scope

    def stop_child(self, id: ChildId, timeout: float | None = None) -> None:
        """Stop a child and keep it, with what it has queued, for `restart_child`.

        Stopping one that is stopped does nothing.

        Blocks: until it has ended or was abandoned, for up to `timeout` seconds.

        Raises:
            UnknownChildError: there is none of that id.
            CallingSelfError: from a worker of that child.
            ReplyTimeout: not in time; it goes on stopping.
        """
        self._errand("stop_child", id, timeout)

    def restart_child(self, id: ChildId, timeout: float | None = None) -> None:
        """Stop a child, if it runs, and start it again with a fresh budget.

        Blocks: until it is up or its start has failed, for up to `timeout` seconds.

        Raises:
            UnknownChildError: there is none of that id.
            StartError: it did not start; it is kept.
            CallingSelfError: from a worker of that child.
            ReplyTimeout: not in time.
        """
        self._errand("restart_child", id, timeout)

    def remove_child(self, id: ChildId, timeout: float | None = None) -> None:
        """Stop a child, if it runs, and forget it; what it has queued is undelivered.

        Blocks: until it has ended or was abandoned, for up to `timeout` seconds.

        Raises:
            UnknownChildError: there is none of that id.
            CallingSelfError: from a worker of that child.
            ReplyTimeout: not in time.
        """
        self._errand("remove_child", id, timeout)

    def _errand(self, verb: Verb, id: ChildId, timeout: float | None) -> None:
        cells = cells_of(self._scope(id))
        context = current()
        if context is not None and any(context.home is cell.mailbox for cell in cells):
            raise CallingSelfError(f"{context.id!r} would wait for its own end")
        if verb == "restart_child":
            self._check_not_starting("restart a child")
        self._root.errand(verb, id).result(timeout)

    def _check_not_starting(self, what: str) -> None:
        """Refuse what would come after all that is declared is up, from within that."""
        context = current()
        if context is None or not context.starting or not self._holds(context.supervisor):
            return
        if self._root.state.phase == "starting":
            raise CallingSelfError(
                f"{context.id!r} cannot {what} while it starts: it would wait for itself"
            )

    def _holds(self, other: Supervisor | None) -> bool:
        """Return whether a supervisor is this one, or in it."""
        while other is not None and other is not self:
            other = other.parent
        return other is self

    # -- names ----------------------------------------------------------------------

    def register(self, name: ChildId, handle: Any) -> None:
        """Give a child of the tree a name, by which `whereis` finds it from anywhere in it.

        A tree has one table of names, whichever of its supervisors is asked. A name stays
        through restarts and goes when the child is removed, or when its supervisor has
        ended. Giving the same child the same name again does nothing.

        Blocks: until the supervisor's thread has noted it, which is at once.

        Args:
            name: As an id: text, a number, or a tuple of these.
            handle: A `WorkerRef`, a `Group`, a `Chain` or a nested `Supervisor`.

        Raises:
            DuplicateChildError: somebody else has the name.
            UnknownChildError: the child is not of this tree, or was removed.
            NotRunningError: the tree has ended.
            SpecError: the name is none.
            TypeError: the handle is none.
        """
        if problem := ident(name):
            raise SpecError(f"name: {problem}")
        future: Future[bool] = Future()
        self._services.request(self._register, (name, handle, _owner(handle), future), future)
        future.result()

    def _register(self, what: tuple[ChildId, Any, object, Future[bool]]) -> None:
        name, handle, owner, future = what
        services, error = self._services, None
        try:
            if not self._has(owner):
                raise UnknownChildError(f"{handle!r} is no child of this tree, or was removed")
            services.names.add(name, handle, owner)
        except ThreadsupError as refused:
            error = refused
        services.settle(future, value=True, error=error)

    def _has(self, owner: Any) -> bool:
        """Return whether a cell or a scope is in the tree now. In the supervisor's thread."""
        if isinstance(owner, Cell):
            scope: Any = getattr(owner, "scope", None)
            if scope is None or scope.cells.get(owner.id) is not owner:
                return False
        else:
            scope = owner
        top: Any = self._root
        while hasattr(top, "parent"):
            top = top.parent
        while scope is not top:
            above = getattr(scope, "parent", None)
            if above is None or above.scopes.get(scope.id) is not scope:
                return False
            scope = above
        return not top.state.stopped

    def unregister(self, name: ChildId) -> None:
        """Take a name away; the child is not touched.

        Blocks: until the supervisor's thread has noted it, which is at once.

        Raises:
            UnknownChildError: nobody has it.
            NotRunningError: the tree has ended.
        """
        future: Future[bool] = Future()
        self._services.request(self._unregister, (name, future), future)
        future.result()

    def _unregister(self, what: tuple[ChildId, Future[bool]]) -> None:
        name, future = what
        error = None
        try:
            self._services.names.remove(name)
        except UnknownChildError as unknown:
            error = unknown
        self._services.settle(future, value=True, error=error)


def _owner(handle: object) -> Cell | WorkerScope | Branch:
    """Return what of the tree's a handle stands for.

    Raises:
        TypeError: it is no handle.
    """
    if isinstance(handle, WorkerRef):
        cell = handle._keeper  # noqa: SLF001 - which a tree has made, as all of this
        if isinstance(cell, Cell):
            return cell
    elif isinstance(handle, (Group, Chain, Children)):
        scope: WorkerScope | Branch = handle.scope
        return scope
    kind = type(handle).__name__
    raise TypeError(f"handle: must be a WorkerRef, Group, Chain or Supervisor, not a {kind}")
