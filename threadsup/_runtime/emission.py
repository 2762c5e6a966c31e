"""What one item becomes, value after value: as far as it has got.

Owns the nesting: a value may itself become several, and these come first. It must not
know where values go, or who makes them.
"""

from __future__ import annotations

from contextlib import suppress
from types import GeneratorType
from typing import TYPE_CHECKING, Any, final

from threadsup._results import Drop
from threadsup._runtime.lanes import RESUME
from threadsup._runtime.pykka_compat import succeed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadsup._runtime.family import Branch
    from threadsup._runtime.mailbox import Mailbox
    from threadsup._runtime.pykka_compat import Envelope

__all__ = ["Emission", "close_all"]


@final
class Emission:
    """Several results of one item, made one by one."""

    __slots__ = ("attempts", "home", "number", "raw", "ready", "root", "stack")

    def __init__(
        self, raw: Envelope[Any], branch: Branch, values: Iterator[Any], attempts: int
    ) -> None:
        self.raw = raw
        """The message it is made of: in the hand while a value is made."""
        self.attempts = attempts
        """How often that was tried before."""
        self.root = branch
        self.stack: list[tuple[Iterator[Any], Branch]] = [(values, branch)]
        """Where it has got to: the innermost comes last."""
        self.number: int | None = None
        """Under which it is noted as set aside, if it was."""
        self.ready = True
        """Whether it may go on."""
        self.home: Mailbox | None = None
        """The mailbox of the replica that goes on with it; another one may inherit it."""

    def resume(self) -> None:
        """Have it gone on with: it may. From any thread; never blocks."""
        self.ready = True
        # Who moves it sets `home` first and has it looked at then. So either the new
        # home is seen here, at the second look at the latest, or `ready` is seen there.
        home = None
        while home is not self.home:
            home = self.home
            if home is not None:
                home.jump(RESUME)

    def move(self, home: Mailbox) -> None:
        """Have another replica go on with it, which has it by now. Never blocks."""
        self.home = home
        home.jump(RESUME)

    @property
    def values(self) -> Iterator[Any]:
        """Where the next value comes from."""
        return self.stack[-1][0]

    @property
    def branch(self) -> Branch:
        """What the next value descends from."""
        return self.stack[-1][1]

    def descend(self, values: Iterator[Any], branch: Branch) -> None:
        """Go on with these values, which one value has become."""
        branch.leave()  # it is no message of its own
        self.branch.inner = branch
        self.stack.append((values, branch))

    def ascend(self) -> None:
        """Go on with what comes after these values: there are no more."""
        _, branch = self.stack.pop()
        if self.stack:
            self.branch.inner = None
        branch.exhausted()

    def finish(self) -> None:
        """Make no more values."""
        while self.stack:
            self.ascend()

    def let_go(self) -> list[Iterator[Any]]:
        """Make no more values, as `unwind`; return what is to be closed, by `close_all`."""
        left = [values for values, _ in reversed(self.stack)]
        self.unwind()
        return left

    def unwind(self) -> None:
        """Make no more values: the item has failed, and its end settles its branch."""
        while len(self.stack) > 1:
            _, branch = self.stack.pop()
            succeed(branch, Drop("its item has failed"))
        self.stack.clear()


def close_all(values: list[Iterator[Any]]) -> None:
    """Close what is left of generators, which runs the code of users that is in them."""
    for each in values:
        if type(each) is GeneratorType:
            with suppress(Exception):
                each.close()
