"""What can be read of a tree, at any time and from any thread, without waiting.

Owns the look-ups and snapshots of `Supervisor`. It must not change anything: it
reads tables and states that the supervisor's thread replaces and never changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from threadsup._chain import Chain
from threadsup._errors import UnknownChildError
from threadsup._group import Group
from threadsup._runtime.ref import WorkerRef
from threadsup._snapshot import Node, SupervisorStatistics, total
from threadsup._supervisor.drawing import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from threadsup._dead_letters import DeadLetter
    from threadsup._exits import ChildId
    from threadsup._scope import WorkerScope
    from threadsup._snapshot import Counts
    from threadsup._specs import SupervisorSpec
    from threadsup._supervisor.root import Root
    from threadsup._supervisor.services import TreeServices
    from threadsup.events import Event, Subscriber

__all__ = ["Reading"]

Handle = TypeVar("Handle", WorkerRef, Group, Chain)


class Reading:
    """The part of a supervisor that only looks."""

    _spec: SupervisorSpec
    _root: Root
    _services: TreeServices

    @property
    def name(self) -> str:
        """Its name, unique among the running supervisors."""
        return self._spec.name

    def __repr__(self) -> str:
        return f"<Supervisor {self.name!r}, {self._root.state.phase}, {len(self)} children>"

    # -- children -------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._root.scopes)

    def __iter__(self) -> Iterator[ChildId]:
        return iter(tuple(self._root.scopes))

    def __contains__(self, id: object) -> bool:
        return id in self._root.scopes

    def __getitem__(self, id: ChildId) -> Any:
        return self._scope(id).facade

    def children(self) -> tuple[ChildId, ...]:
        """Return the ids of the children in start order. Never blocks."""
        return tuple(self._root.scopes)

    def worker(self, id: ChildId) -> WorkerRef:
        """Return the ref of a standalone worker. Never blocks.

        Raises:
            UnknownChildError: there is none of that id, or it is no worker.
        """
        return self._named(id, WorkerRef, "worker")

    def group(self, id: ChildId) -> Group:
        """Return a group. Never blocks.

        Raises:
            UnknownChildError: there is none of that id, or it is no group.
        """
        return self._named(id, Group, "group")

    def chain(self, id: ChildId) -> Chain:
        """Return a chain. Never blocks.

        Raises:
            UnknownChildError: there is none of that id, or it is no chain.
        """
        return self._named(id, Chain, "chain")

    def _scope(self, id: ChildId) -> WorkerScope:
        try:
            return self._root.scopes[id]
        except (KeyError, TypeError):
            raise UnknownChildError(f"supervisor {self.name!r} has no child {id!r}") from None

    def _named(self, id: ChildId, kind: type[Handle], word: str) -> Handle:
        scope = self._scope(id)
        if not isinstance(scope.facade, kind):
            other = scope.kind
            raise UnknownChildError(f"{id!r} is a {other}, not a {word}: use {other}({id!r})")
        return scope.facade

    # -- states ---------------------------------------------------------------------

    def failed(self) -> tuple[ChildId, ...]:
        """Return the ids of the children that have given up. Never blocks."""
        state = self._root.state
        return tuple(key for key, child in state.children.items() if child.condition == "failed")

    def tree(self) -> Node:
        """Return the tree as it is now; `str()` draws it. Never blocks."""
        return draw(self._spec, self._root)

    def statistics(self) -> SupervisorStatistics:
        """Return the sums over all workers of the tree. Never blocks for long."""
        parts: list[Counts] = []
        for scope in self._root.scopes.values():
            if scope.kind == "chain":  # it remembers the replicas and stages it has had
                parts.append(scope.facade.statistics())
            else:
                parts += [cell.statistics() for cell in scope.cells.values()]
        return SupervisorStatistics(
            **total(parts),
            zombies=len(self._services.zombies),
            events_dropped=self._services.side.dropped,
        )

    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """Return the newest messages that failed or were undelivered, newest last."""
        return self._services.dead_letters.list()

    def history(self) -> tuple[Event, ...]:
        """Return the newest events, newest last. Never blocks."""
        return self._services.history.list()

    def subscribe(self, fn: Subscriber) -> Callable[[], None]:
        """Have `fn(event)` called with each event from now on, in the tree's side thread.

        A subscriber that is too slow loses events, and they are counted; one that
        raises is contained. Never blocks.

        Returns:
            A function that ends it.
        """
        return self._services.subscribe(fn)
