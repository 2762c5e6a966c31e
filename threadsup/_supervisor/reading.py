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
from threadsup._scope import WorkerScope
from threadsup._snapshot import Node, SupervisorStatistics, total, total_of
from threadsup._supervisor.drawing import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from threadsup._dead_letters import DeadLetter
    from threadsup._exits import ChildId
    from threadsup._specs import SupervisorSpec
    from threadsup._supervisor.api import Supervisor
    from threadsup._supervisor.branch import Part
    from threadsup._supervisor.nested import Nested
    from threadsup._supervisor.root import Root
    from threadsup._supervisor.services import TreeServices
    from threadsup.events import Event, Subscriber

__all__ = ["Reading"]

Handle = TypeVar("Handle", WorkerRef, Group, Chain)


class Reading:
    """The part of a supervisor that only looks."""

    _spec: SupervisorSpec
    _root: Root | Nested
    _services: TreeServices

    @property
    def name(self) -> str:
        """Its name: unique among the running supervisors, or in the one it is nested in."""
        return self._spec.name

    @property
    def spec(self) -> SupervisorSpec:
        """As it was declared; children that were added by calls are not in it."""
        return self._spec

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

    def supervisor(self, name: str) -> Supervisor:
        """Return a nested supervisor. Never blocks.

        Raises:
            UnknownChildError: there is none of that name, or it is no supervisor.
        """
        part = self._scope(name)
        if part.kind != "supervisor":
            raise _another(name, part.kind, "supervisor")
        made: Supervisor = part.facade
        return made

    def whereis(self, name: ChildId) -> Any:
        """Return the child that is registered in this tree by that name.

        Never blocks and takes no lock.

        Returns:
            What was registered: a `WorkerRef`, `Group`, `Chain` or `Supervisor`.

        Raises:
            UnknownChildError: nobody is.
        """
        return self._services.names.find(name)

    def _scope(self, id: ChildId) -> Part:
        try:
            return self._root.scopes[id]
        except (KeyError, TypeError):
            raise UnknownChildError(f"supervisor {self.name!r} has no child {id!r}") from None

    def _named(self, id: ChildId, kind: type[Handle], word: str) -> Handle:
        scope = self._scope(id)
        if not isinstance(scope.facade, kind):
            raise _another(id, scope.kind, word)
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
        """Return the sums over all workers below. Never blocks for long."""
        return SupervisorStatistics(
            **total_of(self._figures()),
            zombies=len(self._services.zombies),
            events_dropped=self._services.side.dropped,
        )

    def _figures(self) -> Iterator[Sequence[int]]:
        for scope in self._root.scopes.values():
            if isinstance(scope, WorkerScope) and scope.kind != "chain":
                for cell in scope.cells.values():
                    yield cell.figures()
            else:  # a chain remembers the replicas and stages it has had
                yield tuple(total([scope.facade.statistics()]).values())

    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """Return the newest messages that failed or were undelivered, newest last."""
        letters, services = self._services.dead_letters.list(), self._services
        if not services.prefix:
            return letters
        return tuple(
            letter
            for letter in letters
            if type(letter.to) is tuple and services.is_below(letter.to)
        )

    def history(self) -> tuple[Event, ...]:
        """Return the newest events, newest last; of a nested one, those below it.

        Never blocks.
        """
        found, services = self._services.history.list(), self._services
        if not services.prefix:
            return found
        return tuple(event for event in found if services.is_below(getattr(event, "path", ())))

    def subscribe(self, fn: Subscriber) -> Callable[[], None]:
        """Have `fn(event)` called with each event from now on, in the tree's side thread.

        Of a nested supervisor with those about it and its children.

        A subscriber that is too slow loses events, and they are counted; one that
        raises is contained. Never blocks.

        Returns:
            A function that ends it.
        """
        return self._services.subscribe(fn)


def _another(id: ChildId, kind: str, wanted: str) -> UnknownChildError:
    return UnknownChildError(f"{id!r} is a {kind}, not a {wanted}: use {kind}({id!r})")
