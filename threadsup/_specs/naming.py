"""Ids of children: made where none was given, refused where one is taken.

Owns the two rules. It must not know what a child is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from threadsup._exits import ChildId

__all__ = ["IdSource", "duplicates", "with_ids"]


class _Child(Protocol):
    """A spec, as far as it is named: a dataclass with an id."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> ChildId | None: ...


Child = TypeVar("Child", bound=_Child)


class IdSource:
    """Makes ids of names: `poll`, `poll-2`, `poll-3`. One per parent; never blocks.

    A number is not used twice, also after its child is gone: two different
    workers never share a name in the log. Not for use by threads at once.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        # The last number per name: n children of one name cost n steps, not n * n.
        self._last: dict[str, int] = {}

    def unused(self, name: str, taken: Container[ChildId]) -> str:
        """Return an id for a child of this name that is not `taken`."""
        number = self._last.get(name, 0)
        while True:
            number += 1
            made = name if number == 1 else f"{name}-{number}"
            if made not in taken:
                self._last[name] = number
                return made


def duplicates(places: Iterable[tuple[str, ChildId | None]]) -> list[str]:
    """Return a line for each id that stands in more than one place.

    Args:
        places: The path of each child and its id, `None` where it has none yet.
    """
    first: dict[ChildId, str] = {}
    lines = []
    for path, ident in places:
        if ident is None:
            continue
        if ident in first:
            lines.append(f"{path}.id: {ident!r} is taken by {first[ident]}")
        else:
            first[ident] = path
    return lines


def with_ids(children: Sequence[Child], name: Callable[[Child], str]) -> tuple[Child, ...]:
    """Return the children with an id each: their own, or one made of their name.

    Ids that were given are all taken before the first is made, so that a made one
    gives way, wherever it stands.
    """
    taken = {child.id for child in children if child.id is not None}
    source = IdSource()
    named = []
    for child in children:
        if child.id is None:
            made = source.unused(name(child), taken)
            taken.add(made)
            named.append(replace(child, id=made))
        else:
            named.append(child)
    return tuple(named)
