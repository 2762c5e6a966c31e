"""The loop of a worker that handles messages: take one, handle it, count it.

Owns how a message gets from the mailbox into the hand and out of it again, and what
is given back when the worker is to stop. It must not know what handles it, nor what
becomes of a crash: an exception of the handler's passes through, with the message
still in hand.

What is in hand is settled once: the pop of a one-slot list is atomic on every build,
so whoever gets the message decides its outcome. Two threads may take from one mailbox
for a moment, a life that was given up on and the next one: what the old one takes it
gives back, and what wakes one may have been meant for the other, so it is passed on.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from threadsup._exits import ExitReason, Shutdown
from threadsup._runtime.future import Future
from threadsup._runtime.mailbox import WAKE, Token
from threadsup._runtime.pykka_compat import Envelope, succeed

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.actor import Life

__all__ = ["begin", "forget", "give_back", "put_down", "serve", "take_back"]


def serve(
    life: Life,
    handle: Callable[[Any], Any],
    deliver: Callable[[Any, Any], None] | None = None,
    arrived: Callable[[Token], None] | None = None,
    *,
    reply_errors: bool = False,
) -> ExitReason:
    """Take messages and handle them until told to stop; return the reason.

    Args:
        life: Whose messages.
        handle: Called with each message.
        deliver: Where results go, called `deliver(result, raw)` after the message
            has left the hand, and who counts it; `None`: they answer asks.
        arrived: Called with tokens that are to be told when they arrive.
        reply_errors: Whether an `Exception` while answering is only answered.
    """
    mailbox, token, hand = life.mailbox, life.token, life.hand
    get, returned = mailbox.get, mailbox.returned
    senders, qsize, half = mailbox.senders, mailbox.qsize, mailbox.half
    push, pop = hand.append, hand.pop
    handle = life.guarded(handle)
    while not token.fenced:  # else what was to wake it may have woken the next life
        raw = take_back(life) if returned else get()
        kind = type(raw)
        if kind is Token:
            if token.asked:
                give_back(life, raw)
                return token.reason
            if _is_end(life, raw, arrived):
                return Shutdown()
            continue
        life.since = monotonic()
        push(raw)
        life.taken += 1
        # Only now: who asks sets this first, and who fences empties the hand then. So
        # either it is seen here, or the message is seen there.
        if token.asked:
            put_down(life)
            return token.reason
        if senders and qsize() <= half:
            mailbox.wake_senders()
        if kind is Envelope:
            if not _answer(life, raw, handle, deliver, reply_errors=reply_errors):
                return Shutdown()
        else:
            result = handle(raw)
            try:
                pop()
            except IndexError:
                return Shutdown()  # fenced meanwhile: nothing of this counts
            if deliver is None:
                life.handled += 1
            else:
                deliver(result, raw)
        life.attempts = 0
        raw = result = None  # who is idle keeps nobody's message alive
    return token.reason


def _answer(
    life: Life,
    envelope: Envelope[Any],
    handle: Callable[[Any], Any],
    deliver: Callable[[Any, Any], None] | None,
    *,
    reply_errors: bool,
) -> bool:
    """Handle a message that somebody waits for; return `False` if fenced meanwhile."""
    future = envelope.reply_to
    if type(future) is Future and not begin(future):
        return forget(life)
    error: Exception | None = None
    try:
        result = handle(envelope.message)
    except Exception as raised:
        if not reply_errors:
            raise
        error = raised
    try:
        life.hand.pop()
    except IndexError:
        return False
    if error is not None:
        life.failed += 1
        life.settle_failed(envelope, error)
    elif deliver is not None:
        deliver(result, envelope)
    else:
        life.handled += 1
        succeed(future, result)
    return True


def _is_end(life: Life, token: Token, arrived: Callable[[Token], None] | None) -> bool:
    """Do what a token that was taken is for; return whether it ends the life."""
    life.mailbox.took_token()
    if arrived is not None and token.arrived is not None:
        arrived(token)
    return token is life.end


def take_back(life: Life) -> Any:
    """Take what was given back, or a token to look again if somebody just has."""
    try:
        life.attempts, raw = life.mailbox.returned.popleft()
    except IndexError:
        # The other of two lives. Not to wait here: if this is the one that was given
        # up on, what was to wake it is gone as well.
        return life.mailbox.nothing()
    return raw


def put_down(life: Life) -> None:
    """Give back what is in hand and was not begun, unless it was settled by a fence."""
    try:
        raw = life.hand.pop()
    except IndexError:
        return
    life.taken -= 1
    give_back(life, raw)


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
    return future.running() or future.set_running_or_notify_cancel()


def forget(life: Life) -> bool:
    """Let a message go that was cancelled; return `False` if fenced meanwhile."""
    try:
        life.hand.pop()
    except IndexError:
        return False
    life.taken -= 1
    life.mailbox.count_cancelled()
    return True
