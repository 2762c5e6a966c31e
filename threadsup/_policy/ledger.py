"""A mapping that is replaced and never changed, and of which little is copied.

Owns `Ledger`, in the order in which keys were put, and `Draft`, the changes that make the
next one. It must not know what is in it.

A step of a scope changes one child or two. To copy all of them for that makes the start of
ten thousand a matter of a hundred million copies. So a large ledger is two dicts, neither
of which is ever changed: one with everything as it was, one with what has changed since.
Only the second is copied; when it has grown to about the square root of the whole, one
new dict is made of both. A small ledger is copied as it is, which is faster.

Any thread may read a ledger; a draft is its maker's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from math import isqrt
from typing import Any, Final, Generic, TypeVar, final

__all__ = ["Draft", "Ledger", "frozen"]

K = TypeVar("K")
V = TypeVar("V")

SMALL = 256
"""Entries that are copied without thinking: faster than a look into two layers."""

_FEW = 64
"""Changes, the same."""

_GONE: Final[Any] = object()
"""Stands among the changes for what was taken out."""


class _Layers(Mapping[K, V], Generic[K, V]):
    """What was, and what has changed since."""

    __slots__ = ("_base", "_changes", "_size")

    def __init__(self, base: dict[K, V], changes: dict[K, V], size: int) -> None:
        self._base = base
        self._changes = changes
        self._size = size

    def __getitem__(self, key: K) -> V:
        value = self._changes.get(key)
        if value is None:
            return self._base[key]
        if value is _GONE:
            raise KeyError(key)
        return value

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[K]:
        changes = self._changes
        if not changes:
            return iter(self._base)
        return iter(self._merged())

    def _merged(self) -> dict[K, V]:
        """Return all of it in one dict, which is nobody else's."""
        merged = self._base | self._changes  # keeps the order of the base
        if len(merged) > self._size:
            merged = {key: value for key, value in merged.items() if value is not _GONE}
        return merged

    def items(self) -> Any:
        """Return the entries as they are now."""
        return (self._merged() if self._changes else self._base).items()

    def values(self) -> Any:
        """Return the values as they are now."""
        return (self._merged() if self._changes else self._base).values()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._merged()!r})"


@final
class Ledger(_Layers[K, V]):
    """The frozen one. `Ledger.of(...)` makes one, `draft()` begins the next."""

    __slots__ = ()

    @classmethod
    def of(cls, entries: Mapping[K, V]) -> Ledger[K, V]:
        """Return a ledger of these."""
        return cls(dict(entries), {}, len(entries))

    def draft(self) -> MutableMapping[K, V]:
        """Return a copy to be changed, and then `frozen`."""
        if self._size <= SMALL and not self._changes:
            return self._base.copy()
        return Draft(self._base, self._changes.copy(), self._size)

    def put(self, key: K, value: V) -> Ledger[K, V]:
        """Return it with this entry, the last one if its key is new."""
        draft = self.draft()
        draft[key] = value
        return frozen(draft)

    def without(self, key: K) -> Ledger[K, V]:
        """Return it without this entry."""
        draft = self.draft()
        del draft[key]
        return frozen(draft)


@final
class Draft(_Layers[K, V], MutableMapping[K, V]):
    """A large ledger while it is changed. No value is `None`."""

    __slots__ = ()

    def __setitem__(self, key: K, value: V) -> None:
        changed = self._changes.get(key)
        if changed is _GONE:  # its old place is another one's now: it comes last
            self._merge()
            changed = None
        if changed is None and key not in self._base:
            self._size += 1
        self._changes[key] = value

    def __delitem__(self, key: K) -> None:
        self[key]  # which raises
        self._size -= 1
        if key in self._base:
            self._changes[key] = _GONE
        else:
            del self._changes[key]

    def _merge(self) -> None:
        self._base, self._changes = self._merged(), {}

    def done(self) -> Ledger[K, V]:
        """Return what it has become; it is not to be changed any more."""
        if len(self._changes) > _FEW + isqrt(self._size):
            self._merge()
        return Ledger(self._base, self._changes, self._size)


def frozen(draft: MutableMapping[K, V]) -> Ledger[K, V]:
    """Return the ledger of what `draft()` has returned; it is not to be changed any more."""
    if type(draft) is dict:
        return Ledger(draft, {}, len(draft))
    assert type(draft) is Draft
    return draft.done()
