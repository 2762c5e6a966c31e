"""`map`: arguments in, results out, in order.

Owns the reading of the arguments and the keeping of the order. It must not know workers.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, final

from threadsup._pool.work import Mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from threadsup._pool.core import Core

__all__ = ["results"]


def results(
    core: Core,
    fn: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    timeout: float | None,
    buffersize: int | None,
) -> Iterator[Any]:
    """Put in what is to be put in at once, and return the results of all.

    Blocks: at the bound of the pool. Raises as `Core.put_all`, and what the iterables do.
    """
    end = None if timeout is None else monotonic() + timeout
    stream = _Stream(core, fn, iter(arguments))
    stream.feed(buffersize)
    return stream.read(end)


@final
class _Stream:
    """One call of `map`."""

    def __init__(
        self, core: Core, fn: Callable[..., Any], arguments: Iterator[tuple[Any, ...]]
    ) -> None:
        self._core = core
        self._fn = fn
        self._arguments = arguments
        self._works: deque[Mapped] = deque()
        self._over: list[None] = []
        """Is not empty when nobody reads any more; what has not begun then never does."""

    def feed(self, count: int | None) -> None:
        """Put in so many, `None` for all there are."""
        fn, over = self._fn, self._over
        works = [Mapped(fn, args, over) for args in islice(self._arguments, count)]
        if not works:
            return
        try:
            self._core.put_all(works)
        except BaseException:
            over.append(None)
            raise
        self._works.extend(works)

    def read(self, end: float | None) -> Iterator[Any]:
        """Yield the results; each is let go of before the next is waited for."""
        works = self._works
        lazy = True
        try:
            while works:
                if lazy:
                    lazy = self._feed_one()
                yield works.popleft().result(end)
        finally:
            self._over.append(None)

    def _feed_one(self) -> bool:
        """Put one more in, for that which is about to be read; tell whether there was one."""
        before = len(self._works)
        self.feed(1)
        return len(self._works) > before
