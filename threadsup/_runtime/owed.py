"""Answers that are owed: asks whose handler has returned and will answer later.

Owns the reply tokens of one incarnation. It must not know what asked, or what a worker
is: it settles futures. An ask has one outcome, whoever brings it: the token keeps its
future in a one-slot list, and who pops it decides. That is the worker's reply, or the end
of the incarnation, after which nobody is owed anything by it any more.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, final

from threadsup._errors import WorkerExited
from threadsup._runtime.pykka_compat import fail, succeed

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId, ExitReason

__all__ = ["Owed", "ReplyToken"]


@final
class ReplyToken:
    """Stands for one caller who waits; from `GenServer.defer()`, for `reply()`.

    May be kept, and given to another thread. It is good for one reply, by the
    incarnation that was asked.
    """

    __slots__ = ("_future", "_owed", "_why", "id")

    def __init__(self, owed: Owed, id: ChildId, future: Any) -> None:
        self._owed = owed
        self.id = id
        """That of the worker that was asked."""
        self._future = [future]
        """Who pops it settles it."""
        self._why = "settled already"

    def __repr__(self) -> str:
        return f"<ReplyToken of {self.id!r}, {'open' if self._future else 'settled'}>"

    def reply(self, value: object = None, *, error: BaseException | None = None) -> None:
        """Answer with a value, or with an exception. Never blocks; from any thread.

        Raises:
            RuntimeError: it was answered before, or its worker has ended.
        """
        future = self.take("replied to already")
        if future is None:
            raise RuntimeError(f"the caller of {self.id!r} was {self._why}")
        if error is None:
            succeed(future, value)
        else:
            fail(future, error)

    def take(self, why: str) -> Any:
        """Take the future out to settle it, `None` if somebody has; say what for."""
        try:
            future = self._future.pop()
        except IndexError:
            return None
        self._why = why
        self._owed.tokens.discard(self)
        return future


@final
class Owed:
    """The open tokens of one incarnation."""

    __slots__ = ("_ended", "_lock", "tokens")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        """A token that is made while the incarnation ends is either found by the end, or
        refused here. Re-entrant, as what the collector destroys may do anything."""
        self._ended = False
        self.tokens: set[ReplyToken] = set()
        """Adding, discarding and popping are atomic."""

    def defer(self, id: ChildId, future: Any) -> ReplyToken:
        """Return a token for an ask that is in hand.

        Raises:
            RuntimeError: the incarnation has ended.
        """
        with self._lock:
            if self._ended:
                raise RuntimeError(f"{id!r} has ended, and its callers were told so")
            token = ReplyToken(self, id, future)
            self.tokens.add(token)
        return token

    def end(self, reason: ExitReason, fail: Callable[[Any, WorkerExited], None]) -> None:
        """Fail all who still wait, through `fail(future, error)`. Never blocks for long."""
        with self._lock:
            self._ended = True
        while self.tokens:
            try:
                token = self.tokens.pop()
            except KeyError:
                return  # it was replied to in this very moment
            future = token.take("told that the worker has ended")
            if future is not None:
                text = f"{token.id!r} ended without the answer that it owed"
                fail(future, WorkerExited(text, reason))
