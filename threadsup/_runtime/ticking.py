"""What a worker does when it comes upon the mark of one of its timers.

Owns how such a mark becomes a message in hand, with the outcome, the count and the time
limit of one that was told. It must not know what handles it, nor when it was due.

The message goes from the mark into the hand, and never into the mailbox: there it would
outlive the incarnation, whose timer it is. Asked to stop in between, it goes nowhere.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from threadsup._runtime.timers import NOTHING, Due

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.actor import Life
    from threadsup._runtime.mailbox import Token

__all__ = ["drop", "handle_due", "handle_now", "timed"]


def timed(token: Token) -> Any:
    """Return the message for which a token stands, `NOTHING` if for none. Never blocks."""
    due = token.arrived
    return due.take() if type(due) is Due else NOTHING


def handle_due(life: Life, token: Token, handle: Callable[[Any], object]) -> bool:
    """Handle the message of a timer, if that is what a token stands for; return whether."""
    message = timed(token)
    if message is NOTHING:
        return False
    handle_now(life, message, handle)
    return True


def handle_now(life: Life, message: Any, handle: Callable[[Any], object]) -> None:
    """Handle a message that is in no mailbox; a crash finds it in the hand, as any other."""
    life.attempts = 0
    life.since = monotonic()
    life.hand.append(message)
    life.taken += 1
    # Only now, for the reason that is given in `flow`.
    if life.token.asked:
        drop(life)
        return
    life.guarded(handle)(message)
    try:
        life.hand.pop()
    except IndexError:
        return  # fenced meanwhile: nothing of this counts
    life.handled += 1


def drop(life: Life) -> None:
    """Let go of the message of a timer that was not begun, unless a fence has settled it."""
    try:
        life.hand.pop()
    except IndexError:
        return
    life.taken -= 1
