"""Names for the children of a tree, beside their ids.

Owns the table of a tree: one for all its supervisors, so that a name is found from
anywhere in it. It must not know what a handle is, only to whom it belongs: the owner,
a cell or a scope, with which the name goes.

Changed in the supervisor's thread alone, where children are removed as well: either a
child is still there when it is named, and its end takes the name away, or it is refused.
Read from any thread without a lock: looking into a dict is one step on every build.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from threadsup._checks import suggestion
from threadsup._errors import DuplicateChildError, UnknownChildError
from threadsup._scope import WorkerScope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadsup._exits import ChildId
    from threadsup._supervisor.branch import Part

__all__ = ["Names"]


class Names:
    """Which handle has which name."""

    def __init__(self) -> None:
        self._handles: dict[ChildId, Any] = {}
        self._names: dict[int, dict[ChildId, None]] = {}
        """By the identity of the owner, which is in the tree while it is here."""
        self._owners: dict[ChildId, int] = {}

    def find(self, name: ChildId) -> Any:
        """Return the handle of that name. From any thread, without a lock.

        Raises:
            UnknownChildError: nobody has it; says who has one like it.
        """
        try:
            return self._handles[name]
        except (KeyError, TypeError):
            known = [each for each in self._handles.copy() if type(each) is str]
            near = suggestion(name, known) if type(name) is str else ""
            raise UnknownChildError(f"nobody is registered as {name!r}{near}") from None

    def add(self, name: ChildId, handle: Any, owner: object) -> None:
        """Give a name to somebody who is in the tree.

        Raises:
            DuplicateChildError: somebody else has it.
        """
        taken = self._handles.get(name)
        if taken is handle:
            return
        if taken is not None:
            raise DuplicateChildError(
                f"the name {name!r} is taken by {taken.id!r}: unregister it, or choose another"
            )
        self._handles[name] = handle
        self._owners[name] = id(owner)
        self._names.setdefault(id(owner), {})[name] = None

    def remove(self, name: ChildId) -> None:
        """Take a name away.

        Raises:
            UnknownChildError: nobody has it.
        """
        self.find(name)
        del self._handles[name]
        owner = self._owners.pop(name)
        del self._names[owner][name]
        if not self._names[owner]:
            del self._names[owner]

    def forget(self, owner: object) -> None:
        """Take away all names of one who is removed."""
        for name in self._names.pop(id(owner), ()):
            del self._handles[name], self._owners[name]

    def forget_below(self, part: Part) -> None:
        """Take away the names of a child of a supervisor, and of all below."""
        if self._names:  # else there is nothing to look for in a tree of thousands
            for owner in _owners(part):
                self.forget(owner)

    def clear(self) -> None:
        """Take all names away: the tree has ended."""
        self._handles.clear()
        self._names.clear()
        self._owners.clear()


def _owners(part: Part) -> Iterator[object]:
    yield part
    if isinstance(part, WorkerScope):
        yield from part.cells.values()
    else:
        for below in part.scopes.values():
            yield from _owners(below)
