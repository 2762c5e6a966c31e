"""What a worker does when it comes upon the mark of one of its timers.

Owns how such a mark becomes a message in hand, with the outcome, the count and the time
limit of one that was told. It must not know what handles it, nor when it was due.

The message goes from the mark into the hand, and not by the mailbox: there it would
outlive the incarnation, whose timer it is. Asked to stop in between, it goes nowhere. Once
it was begun it is a message like any other, and is tried again like any other.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from threadsup._runtime.timers import NOTHING, Due

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.actor import Life
    from threadsup._runtime.limiter import Limiter
    from threadsup._runtime.mailbox import Token

__all__ = ["drop", "handle_due", "handle_now", "timed"]


def timed(token: Token, limiter: Limiter | None = None) -> Any:
    """Return the message for which a token stands, `NOTHING` if for none.

    Blocks: with a limiter, as long as that says. Until then the timer may be cancelled; and
    a worker that is to stop lets go of it, as its timers end with it.
    """
    due = token.arrived
    if type(due) is not Due:
        return NOTHING
    if limiter is not None and due.timers.is_active(due) and not limiter.turn():
        return NOTHING
    return due.take()


def handle_due(
    life: Life,
    token: Token,
    handle: Callable[[Any], object],
    deliver: Callable[[Any, Any], None] | None = None,
) -> bool:
    """Handle the message of a timer, if a token is the mark of one; return whether it is."""
    if type(token.arrived) is not Due:
        return False
    message = timed(token, life.limiter)
    if message is not NOTHING:
        handle_now(life, message, handle, deliver)
    return True


def handle_now(
    life: Life,
    message: Any,
    handle: Callable[[Any], object],
    deliver: Callable[[Any, Any], None] | None = None,
) -> None:
    """Handle a message that is in no mailbox; a crash finds it in the hand, as any other.

    `deliver` gets what it came to, as in `flow`.
    """
    life.attempts = 0
    life.since = monotonic()
    life.hand.append(message)
    life.taken += 1
    # Only now, for the reason that is given in `flow`.
    if life.token.asked:
        drop(life)
        return
    result = life.guarded(handle)(message)
    try:
        life.hand.pop()
    except IndexError:
        return  # fenced meanwhile: nothing of this counts
    if deliver is None:
        life.handled += 1
    else:
        deliver(result, message)


def drop(life: Life) -> None:
    """Let go of the message of a timer that was not begun, unless a fence has settled it."""
    try:
        life.hand.pop()
    except IndexError:
        return
    life.taken -= 1
