"""The record of messages that failed or were never delivered.

Owns the bounded list and nothing else. It must not know futures or mailboxes,
and it never looks into a message: only who reads the record does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from threadsup._runtime.clock import wall
from threadsup._runtime.newest import Newest
from threadsup._trace import TraceText

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId
    from threadsup._trace import Trace

__all__ = ["LIMIT", "DeadLetter", "DeadLetters"]

LIMIT = 1_000
"""How many are kept: the newest."""


@final
@dataclass(frozen=True)
class DeadLetter:
    """One message that was not handled, or not to the end."""

    message: Any = field(repr=False)
    to: ChildId
    """The worker it was for; in a group or chain, as `(group, member)`."""
    reason: str
    """`"failed"`, or why it was never delivered."""
    error: str
    """What the handler failed with, as text; empty if it never ran."""
    at: float
    """Seconds since the epoch."""
    scope: ChildId | None = None
    """The group or chain it was for, `None` for a standalone worker."""
    traceback: TraceText = field(default=TraceText(), repr=False)
    """That of the error as text, cut to a bounded length; may be empty."""
    _claims: list[None] = field(
        default_factory=lambda: [None], init=False, repr=False, compare=False
    )
    """Who has popped it may send the message once more, or take it out."""

    def claim(self) -> bool:
        """Claim the letter, to send it again or to take it out; return whether you may.

        Nobody else may until it is released: never, if it was sent.
        """
        try:
            self._claims.pop()  # atomic: one of several gets it
        except IndexError:
            return False
        return True

    def release(self) -> None:
        """Give a claim back: it was not sent."""
        self._claims.append(None)


class DeadLetters:
    """The newest dead letters of a tree, and how many there were."""

    def __init__(self) -> None:
        self._letters: Newest[DeadLetter] = Newest(LIMIT)

    def add(
        self,
        message: Any,
        to: ChildId,
        reason: str,
        error: str = "",
        scope: ChildId | None = None,
        traceback: str | Trace = "",
    ) -> None:
        """Record one. Never blocks; from any thread."""
        self._letters.append(DeadLetter(message, to, reason, error, wall(), scope, traceback))

    def __contains__(self, letter: DeadLetter) -> bool:
        return any(each is letter for each in self._letters.list())

    def take(self, wanted: Callable[[DeadLetter], object]) -> tuple[DeadLetter, ...]:
        """Take out those that are wanted, newest last; each is taken once.

        `wanted` is called with every one that is kept, and may be code of users.
        """
        return self._letters.take(wanted)

    def mark_forked(self) -> None:
        """See `Newest.mark_forked`."""
        self._letters.mark_forked()

    def list(self) -> tuple[DeadLetter, ...]:
        """Return those that are kept, newest last."""
        return self._letters.list()
