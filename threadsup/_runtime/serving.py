"""The loop of a worker that handles messages: take one, handle it, count it.

Owns how a message gets from the mailbox into the hand and out of it again, and what is
looked at in between. It must not know what handles it, nor what becomes of a crash: an
exception of the handler's passes through, with the message still in hand. What most
messages need is written out a second time, in `express`, as fast as may be; here is all
that can happen to one.

What is in hand is settled once: the pop of a one-slot list is atomic on every build,
so whoever gets the message decides its outcome. Two threads may take from one mailbox
for a moment, a life that was given up on and the next one: what the old one takes it
gives back, and what wakes one may have been meant for the other, so it is passed on.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from threadsup._exits import ExitReason, Shutdown
from threadsup._runtime.express import LOOK, Escaped, express
from threadsup._runtime.future import Future
from threadsup._runtime.mailbox import RESUME, Token
from threadsup._runtime.pykka_compat import Envelope, succeed
from threadsup._runtime.taking import begin, forget, give_back, put_down, take_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from threadsup._runtime.actor import Life

__all__ = ["attend", "flow", "see_to", "serve"]


def serve(
    life: Life,
    handle: Callable[[Any], Any],
    *,
    arrived: Callable[[Token], object] | None = None,
    reply_errors: bool = False,
) -> ExitReason:
    """Take messages, answer asks, until told to stop; see `flow` for the arguments."""
    while True:
        reason = flow(life, handle, arrived=arrived, reply_errors=reply_errors)
        if reason is not None:
            return reason


def flow(  # noqa: C901, PLR0912 - written out, for calls are what a message costs
    life: Life,
    handle: Callable[[Any], Any],
    deliver: Callable[[Any, Any], None] | None = None,
    arrived: Callable[[Token], object] | None = None,
    *,
    usual: Iterator[Any] | None = None,
    reply_errors: bool = False,
) -> ExitReason | None:
    """Take messages and handle them until told to stop; return the reason.

    Also returns, `None`, after it was held up: what is to be done with messages and
    results may be another thing now.

    Args:
        life: Whose messages.
        handle: Called with each message.
        deliver: Where results go, called `deliver(result, raw)` after the message
            has left the hand, and who counts it; `None`: they answer asks.
        arrived: Called with tokens that are to be told when they arrive, and with that
            at which to end: `True` says that it was put away, and comes again.
        usual: Handles what most messages need, and yields the others; `None`: the same
            is done here, where results are not delivered.
        reply_errors: Whether an `Exception` while answering is only answered.
    """
    mailbox, token, hand = life.mailbox, life.token, life.hand
    returned, senders = mailbox.returned, mailbox.senders
    push, pop = hand.append, hand.pop
    handle = life.guarded(handle)
    queue = mailbox.queue
    # Only where there is a backlog: who is idle has no need of it, and most are. And if
    # nobody watches the hand.
    alone = usual is None and deliver is None and type(hand) is list
    get = mailbox.get if usual is None else usual.__next__
    type_of, envelope, a_token, now = type, Envelope, Token, monotonic
    again, slow = False, True
    while not token.fenced:  # else what was to wake it may have woken the next life
        if returned:
            raw, again = take_back(life), True
        elif alone and len(queue) > 1:
            alone, get = False, express(life, handle).__next__
            raw = get()
        else:
            raw = get()
        kind = type_of(raw)
        if kind is a_token:
            over, reason = see_to(life, raw, arrived)
            if over:
                return reason
            continue
        if kind is Escaped:
            raise raw.error
        life.since = now()
        push(raw)
        life.taken += 1
        # Only now: who asks sets this first, and who fences empties the hand then. So
        # either it is seen here, or the message is seen there.
        if token.look and not attend(life):
            return token.reason if token.asked else None
        if senders:
            mailbox.make_way(slow=slow)
        if kind is envelope:
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
        slow = now() - life.since >= LOOK
        if again:
            life.attempts, again = 0, False
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


def see_to(
    life: Life, raw: Token, arrived: Callable[[Token], object] | None
) -> tuple[bool, ExitReason | None]:
    """Do what a token is for; return whether to leave the loop, and with what.

    Blocks: while the worker is paused.
    """
    token, mailbox = life.token, life.mailbox
    if token.asked:
        life.put_back()
        give_back(life, raw)
        return True, token.reason
    pause = mailbox.pause
    if pause is not None:
        life.put_back()
        # What is before it may be with nobody now, and be put here before this goes on.
        give_back(life, raw)
        life.granted = False
        pause.park(life)
        return True, None
    mailbox.took_token()
    end = raw is life.end
    if arrived is not None and (end or raw.arrived is not None or raw is RESUME):
        # What was put away, to come back, is to be handled before the end, too.
        end = not arrived(raw) and end
    if end:
        return True, Shutdown()
    return False, None


def attend(life: Life) -> bool:
    """See to what stands between a worker and the message in its hand.

    Blocks: as long as it is paused, or held to a rate.

    Returns:
        Whether it may handle the message. Else that was put down, at the front.
    """
    token, mailbox = life.token, life.mailbox
    if token.asked:
        put_down(life)
        return False
    pause = mailbox.pause
    if pause is not None:
        life.granted = False  # a turn is for now: later ones are not to add to it
        put_down(life)
        pause.park(life)
        return False
    if life.stale:
        life.stale = False  # first: what changes from here on makes it stale again
        put_down(life)
        return False
    limiter = life.limiter
    if limiter is None:
        token.look_away(lambda: mailbox.pause is not None or life.stale or life.limiter is not None)
    elif life.granted:
        life.granted = False
    else:
        put_down(life)
        # Not to hold up a change of the chain for as long as a slow rate says.
        life.granted = limiter.turn(
            unless=lambda: mailbox.pause is not None or life.limiter is not limiter
        )
        return False
    return True
