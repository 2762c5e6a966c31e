"""What is taken from the mailbox, or in the hand, and is not to be handled now.

Owns the ways back: to the front of the mailbox, or out of the count. It must not know
what handles messages, nor why one is not to be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from threadsup._runtime.bundle import messages_of
from threadsup._runtime.lanes import WAKE

if TYPE_CHECKING:
    from threadsup._runtime.actor import Life
    from threadsup._runtime.future import Future

__all__ = ["begin", "forget", "give_back", "put_down", "take_back"]


def take_back(life: Life) -> Any:
    """Take what was given back, or a token to look again if somebody just has."""
    try:
        life.attempts, raw = life.mailbox.take_returned()
    except IndexError:
        # The other of two lives. Not to wait here: if this is the one that was given
        # up on, what was to wake it is gone as well.
        return life.mailbox.nothing()
    return raw


def put_down(life: Life) -> None:
    """Give back what is in hand and was not begun, unless it was settled by a fence."""
    life.put_back()  # first: what is in hand comes before it
    try:
        raw = life.hand.pop()
    except IndexError:
        return
    for attempts, each in reversed(messages_of(raw, life.attempts)):
        life.taken -= 1
        life.mailbox.give_back(each, attempts)
    life.attempts = 0


def give_back(life: Life, raw: Any) -> None:
    """Give back what was taken by a life that is to end."""
    mailbox = life.mailbox
    if raw is WAKE:
        mailbox.took_token()
        if life.fenced:
            mailbox.wake()
    else:
        mailbox.give_back(raw, life.attempts)
        life.attempts = 0


def begin(future: Future[Any]) -> bool:
    """Mark a future as running; return `False` if it was cancelled while queued."""
    return future.set_running_or_notify_cancel()


def forget(life: Life) -> bool:
    """Let a message go that was cancelled; return `False` if fenced meanwhile."""
    try:
        life.hand.pop()
    except IndexError:
        return False
    life.taken -= 1
    life.mailbox.count_cancelled()
    return True
