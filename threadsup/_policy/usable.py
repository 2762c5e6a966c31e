"""A rule that is also used by itself: around a function, or around a block.

Owns the words (`call`, `@`, `with`), and the one place where what they need is brought
in. It must not know clocks, locks or sleep: a decision has none. Who puts the library
together brings them, once, as chance and time are brought elsewhere.

A rule is a value: equal ones may take each other's place, and what it counts when it is
used by itself is no part of it. That is kept beside the fields, is made when it is first
needed, and goes into no copy, comparison or pickle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Blocks", "Tools", "Usable", "bring"]

P = ParamSpec("P")
T = TypeVar("T")


class Tools(Protocol):
    """What rules need to be used by themselves."""

    def call(
        self, rule: Any, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> T:
        """Call `fn(*args, **kwargs)` under the rule."""

    def around(self, rule: Any, fn: Callable[P, T]) -> Callable[P, T]:
        """Return a function that calls `fn` under the rule."""

    def enter(self, rule: Any) -> None:
        """Begin a block under the rule."""

    def leave(self, rule: Any, error: BaseException | None) -> None:
        """End the block that this thread began last."""


_tools: list[Tools] = []


def bring(tools: Tools) -> None:
    """Hand in what rules are used with by themselves. Once, as the package is imported."""
    _tools[:] = [tools]


class Usable:
    """A rule that can be put around a function."""

    __slots__ = ("_own",)

    _own: Any
    """What it counts when it is used by itself; absent until then."""

    def call(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn(*args, **kwargs)` under this rule and return what it returns.

        Blocks: as long as the function does, and as the rule says. A worker that is asked
        to stop leaves the wait as any wait of the library.
        """
        return _tools[0].call(self, fn, args, kwargs)

    def __call__(self, fn: Callable[P, T]) -> Callable[P, T]:
        """Return a function that calls `fn` under this rule, for use as a decorator."""
        return _tools[0].around(self, fn)


class Blocks(Usable):
    """A rule that can be put around a block as well."""

    __slots__ = ()

    def __enter__(self) -> None:
        _tools[0].enter(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _tools[0].leave(self, error)
