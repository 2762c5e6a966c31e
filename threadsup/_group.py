"""A group: equals that live and die together, messaged one by one, any or all.

Owns the `Group` handle and how one is made. It must not know the supervisor's
thread: what changes the members goes through the scope, what is sent goes
straight to a mailbox.
"""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict, final, overload

from threadsup._build import worker_cell
from threadsup._errors import (
    CallingSelfError,
    DeliveryError,
    DuplicateChildError,
    MailboxClosed,
    MailboxFull,
    SpecError,
    UnknownChildError,
)
from threadsup._policy.routing import candidates
from threadsup._runtime.context import Place, current
from threadsup._runtime.ref import ASK_TIMEOUT
from threadsup._scope import WorkerScope, rules_of_scope, rules_of_worker
from threadsup._snapshot import ScopeStatistics, total
from threadsup._specs import IdSource, member_problems, name_of, worker_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Unpack

    from threadsup._cell import Cell, Services
    from threadsup._exits import ChildId
    from threadsup._runtime.future import Future
    from threadsup._runtime.ref import WorkerRef
    from threadsup._specs import Budget, GroupSpec, Handler, Routing, WorkerOptions, WorkerSpec

__all__ = ["Group", "group_scope"]


class _Keyed(TypedDict, total=False):
    """What `routing="partition"` takes besides."""

    key: object


@final
class Group:
    """The members of a group. From `add_group` and `group(id)`; for any thread."""

    __slots__ = ("_ids", "_lock", "_next", "_place", "_scope", "_services", "spec")

    def __init__(
        self, spec: GroupSpec, budget: Budget, supervisor: Any, services: Services
    ) -> None:
        self.spec = spec
        self._services = services
        self._place = Place(supervisor=supervisor, group=self)
        rules = rules_of_scope(
            budget,
            escalate=spec.escalate,
            strategy=spec.strategy,
            stop="together",
            ends="all" if spec.significant else "never",
        )
        cells = [(self._make(member), rules_of_worker(member)) for member in spec.members]
        self._scope = WorkerScope(spec.id, "group", rules, cells, services)
        self._scope.facade = self
        self._ids = IdSource()
        self._lock = threading.Lock()
        """Guards the making of ids."""
        self._next = 0
        """Where `round_robin` goes on. Two senders may read the same number; then
        two messages go to one member, which no rule forbids and no lock prevents."""

    def __repr__(self) -> str:
        return f"<Group {self.id!r}, {len(self)} members>"

    @property
    def id(self) -> ChildId:
        """Its id in its supervisor."""
        return self.spec.id

    @property
    def scope(self) -> WorkerScope:
        """Its scope; for the supervisor."""
        return self._scope

    # -- members --------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._scope.cells)

    def __iter__(self) -> Iterator[ChildId]:
        return iter(tuple(self._scope.cells))

    def __contains__(self, id: object) -> bool:
        return id in self._scope.cells

    def __getitem__(self, id: ChildId) -> WorkerRef:
        return self.worker(id)

    def worker(self, id: ChildId) -> WorkerRef:
        """Return the ref of a member. Never blocks.

        Raises:
            UnknownChildError: there is none of that id.
        """
        return self._cell(id).ref

    def children(self) -> tuple[ChildId, ...]:
        """Return the ids of the members in start order. Never blocks."""
        return tuple(self._scope.cells)

    def _make(self, spec: WorkerSpec) -> Cell:
        assert spec.id is not None
        return worker_cell(spec, (self.id, spec.id), self._place, self._services)

    def _cell(self, id: ChildId) -> Cell:
        try:
            return self._scope.cells[id]
        except (KeyError, TypeError):
            raise UnknownChildError(f"group {self.id!r} has no member {id!r}") from None

    def add_worker(
        self, target: Callable[..., Any] | Handler, *args: Any, **options: Unpack[WorkerOptions]
    ) -> WorkerRef:
        """Add a member, and start it if the group runs; it comes last in the order.

        Blocks: until it is up or its start has failed.

        Raises:
            SpecError: the description is wrong.
            TypeError: an option is unknown.
            DuplicateChildError: the id is taken.
            StartError: it did not start, and is not added; its error is the cause.
            NotRunningError: the group is stopping or has ended.
        """
        spec = worker_spec(target, *args, **options)
        if problems := member_problems(spec):
            raise SpecError(problems)
        while spec.id is None:
            with self._lock:
                made = self._ids.unused(name_of(spec.target), self._scope.cells)
            with suppress(DuplicateChildError):  # somebody's own choice since
                return self._add(replace(spec, id=made))
        return self._add(spec)

    def _add(self, spec: WorkerSpec) -> WorkerRef:
        self._check_not_starting("add a member")
        cell = self._make(spec)
        self._scope.add(cell, rules_of_worker(spec)).result()
        return cell.ref

    def stop_child(self, id: ChildId, timeout: float | None = None) -> None:
        """Stop a member and keep it, with what it has queued, for `restart_child`.

        Blocks: until it has ended or was abandoned.

        Raises:
            UnknownChildError: there is none of that id.
            CallingSelfError: from that member.
        """
        self._errand("stop_child", id, timeout)

    def restart_child(self, id: ChildId, timeout: float | None = None) -> None:
        """Stop a member, if it runs, and start it again; costs no budget.

        Blocks: until it is up or its start has failed.

        Raises:
            UnknownChildError: there is none of that id.
            StartError: it did not start; it is kept.
            CallingSelfError: from that member.
        """
        self._errand("restart_child", id, timeout)

    def remove_child(self, id: ChildId, timeout: float | None = None) -> None:
        """Stop a member, if it runs, and forget it; what it has queued is undelivered.

        Blocks: until it has ended or was abandoned.

        Raises:
            UnknownChildError: there is none of that id.
            CallingSelfError: from that member.
        """
        self._errand("remove_child", id, timeout)

    def _errand(self, verb: Any, id: ChildId, timeout: float | None) -> None:
        cell = self._cell(id)
        context = current()
        if context is not None and context.home is cell.mailbox:
            raise CallingSelfError(f"{id!r} would wait for its own end")
        if verb == "restart_child":
            self._check_not_starting("restart a member")
        self._scope.errand(verb, id).result(timeout)

    def _check_not_starting(self, what: str) -> None:
        """Refuse what may come after the start of a member, from within that."""
        context = current()
        if context is not None and context.starting and context.group is self:
            raise CallingSelfError(
                f"{context.id!r} cannot {what} while it starts: it would wait for itself"
            )

    # -- messages -------------------------------------------------------------------

    def tell(self, id: ChildId, message: Any, timeout: float | None = None) -> None:
        """Send a message to one member; see `WorkerRef.tell`."""
        self._cell(id).mailbox.put(message, timeout)

    def tell_nowait(self, id: ChildId, message: Any) -> None:
        """Send a message to one member. Never blocks; see `WorkerRef.tell_nowait`."""
        self._cell(id).mailbox.put_nowait(message)

    @overload
    def ask(
        self, id: ChildId, message: Any, timeout: float | None = ..., *, block: Literal[False]
    ) -> Future[Any]: ...

    @overload
    def ask(
        self,
        id: ChildId,
        message: Any,
        timeout: float | None = ...,
        *,
        block: Literal[True] = ...,
    ) -> Any: ...

    @overload
    def ask(
        self, id: ChildId, message: Any, timeout: float | None = ..., *, block: bool
    ) -> Any | Future[Any]: ...

    def ask(
        self,
        id: ChildId,
        message: Any,
        timeout: float | None = ASK_TIMEOUT,
        *,
        block: bool = True,
    ) -> Any | Future[Any]:
        """Send a message to one member and wait for the answer; see `WorkerRef.ask`."""
        return self._cell(id).ref.ask(message, timeout, block=block)

    def broadcast(self, message: Any) -> int:
        """Send a message to all members, the speaker too. Never blocks.

        Returns:
            How many got it: those that have ended, and those that are full, did not.
        """
        reached = 0
        for cell in self._scope.cells.values():
            try:
                reached += cell.mailbox.offer(message)
            except DeliveryError:
                continue
        return reached

    def tell_any(
        self, message: Any, routing: Routing = "round_robin", **key: Unpack[_Keyed]
    ) -> ChildId:
        """Send a message to one member, whichever. Never blocks.

        Args:
            message: What to send.
            routing: `"round_robin"`, `"random"` or `"least_loaded"`, which pass over
                members that are full or have ended; `"partition"`, which does not:
                the same `key=` always goes to the same member.
            **key: `key=`, with `"partition"` only: a `str`, `bytes`, `int` or tuple.

        Returns:
            The id of the member that got it.

        Raises:
            MailboxFull: no member, or not the one of that key, has room.
            MailboxClosed: no member, or not the one of that key, runs.
            SpecError: the routing is unknown, or it and `key` do not fit.
            TypeError: the key is of none of these types.
        """
        cells: tuple[Cell, ...] = tuple(self._scope.cells.values())
        full = False
        for index in candidates(
            routing,
            len(cells),
            random=random.random,
            position=self._next,
            load=lambda at: cells[at].mailbox.qsize(),
            **key,
        ):
            cell = cells[index]
            try:
                taken = cell.mailbox.offer(message)
            except MailboxFull:
                taken = False
            except MailboxClosed:
                continue
            if taken:
                self._next = index + 1
                return cell.id
            full = True
        if full:
            raise MailboxFull(f"no member of group {self.id!r} has room")
        raise MailboxClosed(f"no member of group {self.id!r} takes messages")

    def mark_forked(self) -> None:
        """Be free of a lock whose holder does not exist in the child of a fork."""
        self._lock = threading.Lock()

    # -- the whole ------------------------------------------------------------------

    def statistics(self) -> ScopeStatistics:
        """Return the sums over the members, and each member's counts."""
        members = {key: cell.statistics() for key, cell in self._scope.cells.items()}
        return ScopeStatistics(**total(members.values()), members=members)


def group_scope(
    spec: GroupSpec, budget: Budget, supervisor: Any, services: Services
) -> WorkerScope:
    """Return the scope of a group; its handle is the `facade`."""
    return Group(spec, budget, supervisor, services).scope
