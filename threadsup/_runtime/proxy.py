"""A Pykka class's methods and attributes, reached through a ref that outlives actors.

Owns what a name becomes for a caller: a method that sends, a future of a value, or a
proxy further in; and what an actor says of its instance for that. It must not know
mailboxes or lives: a ref tells and asks.

Pykka's own proxy holds the actor and looks into it from the caller's thread. Here
there may be another actor at any time, or none for a moment, and on a free-threaded
build it would be looked at while it changes. So a caller looks at the class, and at
what the actor has said of its instance when it had started (`parts_of`). What neither
has is asked of the actor: it may be an attribute that was set later.
"""

from __future__ import annotations

from functools import partialmethod
from typing import TYPE_CHECKING, Any, NamedTuple, final

import pykka
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr

from threadsup._runtime.pykka_compat import is_traversable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from threadsup._runtime.future import Future
    from threadsup._runtime.ref import WorkerRef

__all__ = ["Method", "Part", "Proxy", "parts_of"]

_NOTHING = object()

_PLAIN = frozenset({bool, bytes, dict, float, frozenset, int, list, set, str, tuple, type(None)})
"""Types of which it is known that they are neither called nor gone into."""


class Part(NamedTuple):
    """What is known of an attribute that an instance has beside its class."""

    kind: type
    is_called: bool = False
    parts: Mapping[str, Part] | None = None
    """What it has in turn, if it is gone into."""


def parts_of(owner: object, above: tuple[object, ...] = ()) -> Mapping[str, Part]:
    """Return what an instance has beside its class; for the thread that it belongs to.

    Whatever its attributes do when they are looked at: what cannot be, is a value.
    """
    parts = {}
    for name, value in list(getattr(owner, "__dict__", {}).items()):
        if not name.startswith("_"):
            parts[name] = _part(value, (*above, owner))
    return parts


def _part(value: object, above: tuple[object, ...]) -> Part:
    kind = type(value)
    # A proxy would ask its own actor, here or elsewhere, whether it is marked.
    if kind in _PLAIN or kind is Proxy or issubclass(kind, pykka.ActorProxy):
        return Part(kind)
    try:
        if is_traversable(value) and not any(value is each for each in above):
            return Part(kind, parts=parts_of(value, above))
    except Exception:  # noqa: BLE001 - a user's __getattr__, which nobody has called for
        return Part(kind)
    return Part(kind, is_called=callable(value))


@final
class Proxy:
    """Methods and attributes of a Pykka class. From `WorkerRef.proxy()`; for any thread.

    ```python
    counter = ref.proxy()
    counter.add(2).get()     # a method: a future of what it returns
    counter.add.defer(2)     # nobody waits for that, and an exception in it is a crash
    counter.total.get()      # an attribute: a future of its value
    counter.total = 0        # waits until it is set
    ```

    Methods, and attributes marked by `pykka.traversable`, are those that the class has,
    and that `__init__` and `on_start` have set; what is set later, but by a proxy, is a
    value. A name that the actor does not have either raises `AttributeError` in its
    future.

    Raises:
        TypeError: the target is no Pykka class.
    """

    __slots__ = ("_path", "_spaces", "actor_ref")

    actor_ref: WorkerRef
    """The ref of the worker, by the name that Pykka's proxies have for it."""
    _path: tuple[str, ...]
    _spaces: tuple[Mapping[str, Any], ...]
    """Where names are looked up, in this order."""

    def __init__(self, ref: WorkerRef, target: object) -> None:
        if not (isinstance(target, type) and issubclass(target, pykka.Actor)):
            raise TypeError(
                f"{ref.id!r} is no Pykka class, so it has no proxy: use tell() and ask()"
            )
        _fill(self, ref, (), target)

    def __getattr__(self, name: str) -> Any:
        """Return a `Method`, a `Future` or a `Proxy`; blocks only for room, as `tell`."""
        _check(name)
        path = (*self._path, name)
        part = self._parts().get(name)
        if part is not None:
            if part.parts is not None:
                return _fill(Proxy.__new__(Proxy), self.actor_ref, path, part.kind)
            if part.is_called:
                return Method(self.actor_ref, path)
            return self.actor_ref.ask(ProxyGetAttr(path), block=False)
        found = _NOTHING
        for space in self._spaces:
            if (found := space.get(name, _NOTHING)) is not _NOTHING:
                break
        if callable(found) or isinstance(found, classmethod | partialmethod):
            return Method(self.actor_ref, path)
        if is_traversable(found):
            return _fill(Proxy.__new__(Proxy), self.actor_ref, path, type(found), *_own(found))
        return self.actor_ref.ask(ProxyGetAttr(path), block=False)

    def _parts(self) -> Mapping[str, Part]:
        """Return what the actor has said of what is behind this path."""
        parts = self.actor_ref.parts
        for name in self._path:
            part = parts.get(name)
            if part is None or part.parts is None:
                return {}
            parts = part.parts
        return parts

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute of the actor. Blocks until that is done, and raises, as `ask`."""
        _check(name)
        self.actor_ref.ask(ProxySetAttr((*self._path, name), value))

    def __eq__(self, other: object) -> bool:
        if type(other) is not Proxy:
            return NotImplemented
        return self.actor_ref is other.actor_ref and self._path == other._path

    def __hash__(self) -> int:
        return hash((self.actor_ref, self._path))

    def __repr__(self) -> str:
        return f"<Proxy of {'.'.join((repr(self.actor_ref.id), *self._path))}>"

    def __dir__(self) -> Iterable[str]:
        names = {name for space in (self._parts(), *self._spaces) for name in list(space)}
        return {*object.__dir__(self), *(name for name in names if not name.startswith("_"))}


@final
class Method:
    """A method of a Pykka class, not called yet."""

    __slots__ = ("_path", "_ref")

    def __init__(self, ref: WorkerRef, path: tuple[str, ...]) -> None:
        self._ref = ref
        self._path = path

    def __call__(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call it in the actor; return a future of the result. Blocks only for room.

        An exception in it is the future's, and no crash, unless `on_ask_error` says so.
        """
        return self._ref.ask(ProxyCall(self._path, args, kwargs), block=False)

    def defer(self, *args: Any, **kwargs: Any) -> None:
        """Call it in the actor, and go on. Blocks and raises as `WorkerRef.tell`.

        An exception in it is a crash, as nobody waits for it.
        """
        self._ref.tell(ProxyCall(self._path, args, kwargs))

    def __repr__(self) -> str:
        return f"<Method {'.'.join((repr(self._ref.id), *self._path))}>"


def _check(name: str) -> None:
    if name.startswith("_") or name == "actor_ref":
        raise AttributeError(f"{name!r} is not the actor's to share: a proxy has public names only")


def _fill(
    proxy: Proxy, ref: WorkerRef, path: tuple[str, ...], kind: type, *own: Mapping[str, Any]
) -> Proxy:
    # Past its __setattr__, which sends.
    object.__setattr__(proxy, "actor_ref", ref)
    object.__setattr__(proxy, "_path", path)
    object.__setattr__(proxy, "_spaces", (*own, *(vars(base) for base in kind.__mro__)))
    return proxy


def _own(found: object) -> list[Mapping[str, Any]]:
    return [vars(found)] if hasattr(found, "__dict__") else []
