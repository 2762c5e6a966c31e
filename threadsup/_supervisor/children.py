"""Adding, stopping, restarting and removing the children of a tree.

Owns the checks made in the caller's thread, and the waiting for the answer. It
must not touch a machine: what is asked is done in the supervisor's thread.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from threadsup._build import worker_cell
from threadsup._chain import Chain, chain_scope
from threadsup._errors import CallingSelfError, DuplicateChildError, SpecError
from threadsup._group import Group, group_scope
from threadsup._policy.protocol import ChildRules
from threadsup._runtime.context import Place, current
from threadsup._runtime.future import Future
from threadsup._scope import WorkerScope, rules_of_scope, rules_of_worker
from threadsup._specs import (
    GroupSpec,
    IdSource,
    WorkerSpec,
    chain_spec,
    group_spec,
    name_of,
    significance_problem,
    worker_spec,
)
from threadsup._supervisor.reading import Reading

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from typing_extensions import Unpack

    from threadsup._exits import ChildId
    from threadsup._policy.protocol import Verb
    from threadsup._runtime.ref import WorkerRef
    from threadsup._specs import (
        ChainOptions,
        ChildSpec,
        GroupOptions,
        Handler,
        StageSpec,
        WorkerOptions,
    )

__all__ = ["Children"]


class Children(Reading):
    """The part of a supervisor that administers children."""

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

    def _add(self, spec: ChildSpec) -> Any:
        if problem := significance_problem(spec.significant, self._spec.auto_shutdown):
            raise SpecError(f"{spec.id!r}.{problem}")
        scope = self._scope_of(spec)
        temporary = isinstance(spec, WorkerSpec) and spec.restart == "temporary"
        rules = ChildRules(
            restart="temporary" if temporary else "escalate" if spec.escalate else "never",
            significant=spec.significant,
            shutdown=inf,  # the limits are those of its members
            start_timeout=inf,
        )
        self._check_not_starting("add a child")
        future: Future[bool] = Future()
        self._services.request(self._root.adopt, (scope, rules, future), future)
        future.result()
        return scope.facade

    def _scope_of(self, spec: ChildSpec) -> WorkerScope:
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
        cells = self._scope(id).cells.values()
        context = current()
        if context is not None and any(context.home is cell.mailbox for cell in cells):
            raise CallingSelfError(f"{context.id!r} would wait for its own end")
        if verb == "restart_child":
            self._check_not_starting("restart a child")
        self._root.errand(verb, id).result(timeout)

    def _check_not_starting(self, what: str) -> None:
        """Refuse what would come after all that is declared is up, from within that."""
        context = current()
        if context is None or not context.starting or context.supervisor is not self:
            return
        if self._root.state.phase == "starting":
            raise CallingSelfError(
                f"{context.id!r} cannot {what} while it starts: it would wait for itself"
            )
