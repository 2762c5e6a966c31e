"""What becomes of a message whose handling has failed, where that is no crash.

Owns the ways it may go: failed for good, or put away and tried again. And the loop of a
worker whose messages go them. It must not know why an error is worth another attempt: it
is told in how many seconds, or that there is none.

A message that is tried again is queued again, and is counted when it is taken again. Who
waits for its answer hears of the last attempt alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from threadsup._runtime.express import express
from threadsup._runtime.marks import Failure
from threadsup._runtime.pykka_compat import Envelope, succeed
from threadsup._runtime.serving import flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ExitReason
    from threadsup._runtime.actor import Life
    from threadsup._runtime.aside import Aside
    from threadsup._runtime.mailbox import Token

__all__ = ["Failing", "contained"]

_FAILURES = frozenset({Failure})


def contained(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Have what `function` raises fail its message and nothing else."""

    def call(message: Any) -> Any:
        try:
            return function(message)
        except Exception as error:  # noqa: BLE001 - that is what was asked for
            return Failure(error)

    return call


@final
class Failing:
    """What one life does with messages that fail."""

    __slots__ = ("_aside", "_life", "_pause")

    def __init__(
        self,
        life: Life,
        aside: Aside,
        pause: Callable[[Exception, int], float | None] | None = None,
    ) -> None:
        self._life = life
        self._aside = aside
        self._pause = pause
        """`pause(error, tried)`: seconds until the message is tried again; `None`: not."""

    def fail(self, error: BaseException, raw: Any) -> None:
        """Have a message that has left the hand fail for good."""
        self._life.failed += 1
        self._life.settle_failed(raw, error)

    def retry(self, error: Exception, raw: Any) -> None:
        """Have it tried again, if it is to be; else it has failed for good."""
        life, pause = self._life, self._pause
        tried = life.attempts + 1
        seconds = None if pause is None else pause(error, tried)
        if seconds is None:
            self.fail(error, raw)
            return
        life.taken -= 1  # it is queued again, and will be taken again
        life.retried += 1
        if seconds > 0:
            self._aside.defer(raw, tried, seconds)
        else:
            life.mailbox.give_back(raw, tried)

    def hold(self, token: Token) -> bool:
        """Keep a token that was taken if it is to come behind what was put away before."""
        return self._aside.hold(token)

    # -- the loop of a worker ---------------------------------------------------------

    def serve(self, handle: Callable[[Any], Any], arrived: Callable[[Token], object]) -> ExitReason:
        """Handle messages until told to stop; as `serve` of `threadsup._runtime.serving`.

        Args:
            handle: Called with each message; `contained`.
            arrived: Called with tokens; has those held that are to be.
        """
        life = self._life
        while True:
            usual = None
            if life.limiter is None and type(life.hand) is list:  # else it is watched
                call = life.guarded(handle)
                usual = express(life, call, special=self.deliver, marks=_FAILURES)
            reason = flow(life, handle, self.deliver, arrived, usual=usual)
            if reason is not None:
                return reason

    def deliver(self, result: Any, raw: Any) -> None:
        """Count what a message came to, and tell who waits for it."""
        if type(result) is Failure:
            self.retry(result.error, raw)
            return
        self._life.handled += 1
        if type(raw) is Envelope:
            succeed(raw.reply_to, result)
