"""What a tree and a scope are to a cell: the protocols between them.

Owns the words only. It must not know who speaks them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup import events
    from threadsup._cell import Cell
    from threadsup._dead_letters import DeadLetters
    from threadsup._exits import ChildId
    from threadsup._policy.protocol import Event
    from threadsup._runtime.actor import Life
    from threadsup._runtime.future import Future
    from threadsup._runtime.side import Side
    from threadsup._snapshot import Abandonment

__all__ = ["Keeping", "Names", "Services"]


class Names(Protocol):
    """The names of a tree, as far as those who have one need them."""

    def forget(self, owner: object) -> None:
        """Take away all names of one who is removed."""


class Services(Protocol):
    """What a tree does for the cells and scopes in it."""

    name: str
    prefix: events.Path
    """The names of the supervisors from below the tree's own down to this one."""
    side: Side
    dead_letters: DeadLetters
    undelivered: int
    """Messages that children which were removed did not handle."""

    def post(self, call: Callable[[Any], None], argument: object) -> None:
        """Have the supervisor's thread call it, before any request. From any thread."""

    def request(
        self, call: Callable[[Any], None], argument: object, promise: Future[bool] | None = None
    ) -> None:
        """Have the supervisor's thread call it. From any thread.

        `promise` is who waits for the outcome; settled whatever happens.

        Raises:
            NotRunningError: the tree has ended or was never started.
        """

    @property
    def names(self) -> Names:
        """The names of the tree's children."""

    def check_alive(self) -> None:
        """Refuse what would wait for a tree that died in a fork.

        Raises:
            NotRunningError: this is the child of the fork.
        """

    def later(self, call: Callable[[Any], None], argument: object) -> None:
        """Have the supervisor's thread, which this is, call it after what it is doing."""

    def next(self, call: Callable[[Any], None], argument: object) -> None:
        """Have the supervisor's thread, which this is, call it when its next turn begins.

        Before whatever is posted from now on.
        """

    def set_timer(self, owner: Any, key: ChildId | None, number: int, at: float | None) -> None:
        """Set the one timer of `owner` and `key`."""

    def publish(self, event: events.Event) -> None:
        """Tell subscribers and the log. From any thread."""

    def settle(self, future: Any, value: Any = None, error: BaseException | None = None) -> None:
        """Settle a future without running code of users in this thread."""

    def zombie_made(self, life: Life, left: Abandonment) -> None:
        """Count a thread that was abandoned."""

    def zombie_ended(self, life: Life) -> None:
        """Count one that has ended after all."""

    @property
    def too_many_zombies(self) -> bool:
        """Whether more of them run than the tree bears."""


class Keeping(Protocol):
    """The scope a cell belongs to."""

    def take(self, event: Event) -> None:
        """Step."""

    def request_stop_of(self, cell: Cell, *, drain: bool) -> Future[bool]:
        """Have the child stopped for good. From any thread."""
