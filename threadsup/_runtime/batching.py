"""The loop of a stage that handles several items at once.

Owns when a batch is complete: by size, by time, or because something comes that is no
item. It must not know what a batch is handled by, or where results go.

Items are gathered beside the queue, in the mailbox: until the batch is handled they are
still queued, and the next incarnation goes on with them. Then all of them are in hand
as one: a crash, or a fence, settles each.
"""

from __future__ import annotations

from queue import Empty
from time import monotonic
from typing import TYPE_CHECKING, Any

from threadsup._exits import ExitReason, Shutdown, reason_of
from threadsup._runtime.bundle import Bundle
from threadsup._runtime.future import Future
from threadsup._runtime.mailbox import Token
from threadsup._runtime.pykka_compat import Envelope
from threadsup._runtime.serving import attend, see_to
from threadsup._runtime.taking import begin, put_down, take_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from threadsup._runtime.actor import Life
    from threadsup._runtime.bundle import Tried

__all__ = ["flow_in_batches"]


def flow_in_batches(
    life: Life,
    handle: Callable[[list[Any]], list[Any]],
    batch: tuple[int, float],
    deliver: Callable[[Any, Any], None],
    arrived: Callable[[Token], object],
) -> ExitReason | None:
    """Gather items and handle them together, until told to stop; return the reason.

    Also returns, `None`, after it was held up; see `threadsup._runtime.serving.flow`.

    Args:
        life: Whose messages.
        handle: Called with the items of a batch; returns as many results.
        batch: How many make one, and for how many seconds the first waits for the rest.
        deliver: Called `deliver(result, raw)` with each result, and counts it.
        arrived: Called with tokens, after all that came before them.
    """
    size, seconds = batch
    mailbox, token = life.mailbox, life.token
    handle = life.guarded(handle)
    if not life.closes:  # what is gathered already came from the last life
        life.closes = monotonic() + seconds
    while not token.fenced:
        raw = _take(life) if len(mailbox.gathered) < size else None
        kind = type(raw)
        if raw is None or (mailbox.gathered and kind is Token and _is_behind(life, raw)):
            if kind is Token:
                mailbox.give_back(raw, life.attempts)
                life.attempts = 0
            over, reason = _close(life, handle, deliver)
            if over:
                return reason
            continue
        if kind is Token:
            over, reason = see_to(life, raw, arrived)
            if over:
                return reason
            continue
        life.hand.append(raw)
        life.taken += 1
        if token.look and mailbox.gathered and _would_wait(life):
            put_down(life)  # what is gathered need not wait for it
            over, reason = _close(life, handle, deliver)
            if over:
                return reason
            continue
        if token.look and not attend(life):
            return token.reason if token.asked else None
        if not _gather(life, seconds):
            return Shutdown()
        raw = None
    return token.reason


def _take(life: Life) -> Any:
    """Take the next thing; `None` when it is time to close the batch."""
    mailbox = life.mailbox
    if mailbox.returned:
        return take_back(life)
    if not mailbox.gathered:
        return mailbox.get()
    try:
        return mailbox.get(timeout=max(0.0, life.closes - monotonic()))
    except Empty:
        return None


def _would_wait(life: Life) -> bool:
    """Whether the rate has no room for one more now; else its turn is taken."""
    limiter = life.limiter
    if limiter is None or life.granted or life.stale:
        return False
    if life.token.asked or life.mailbox.pause is not None:
        return False
    life.granted = limiter.try_turn()
    return not life.granted


def _gather(life: Life, seconds: float) -> bool:
    """Put what is in hand beside the queue; return `False` if fenced meanwhile."""
    try:
        raw = life.hand.pop()
    except IndexError:
        return False
    life.taken -= 1
    life.mailbox.gather(raw, life.attempts)
    life.attempts = 0
    if len(life.mailbox.gathered) == 1:
        life.closes = monotonic() + seconds
    if life.fenced:
        life.mailbox.wake()  # the next life may be asleep, with nothing gathered
    return True


def _close(
    life: Life,
    handle: Callable[[list[Any]], list[Any]],
    deliver: Callable[[Any, Any], None],
) -> tuple[bool, ExitReason | None]:
    """Handle what is gathered; return whether to leave the loop, and with what.

    Blocks: while the worker is paused. What is gathered stays so when it is to stop.
    """
    if life.token.asked:
        return True, life.token.reason
    if (pause := life.mailbox.pause) is not None:
        pause.park(life)
        return True, None
    if not _handle_batch(life, handle, deliver):
        return True, Shutdown()
    return False, None


def _handle_batch(
    life: Life,
    handle: Callable[[list[Any]], list[Any]],
    deliver: Callable[[Any, Any], None],
) -> bool:
    """Handle what is gathered; return `False` if fenced meanwhile."""
    messages = []
    for each in life.mailbox.take_gathered():
        raw = each[1]
        if type(raw) is Envelope and type(raw.reply_to) is Future and not begin(raw.reply_to):
            life.mailbox.count_cancelled()
        else:
            messages.append(each)
    if not messages:
        return True
    life.taken += len(messages)
    life.since = monotonic()
    life.hand.append(Bundle(messages))
    # As in the loop for single items: asked or fenced before it was in the hand.
    if life.token.asked:
        put_down(life)
        return True
    results = handle([raw.message if type(raw) is Envelope else raw for _, raw in messages])
    each_took = (monotonic() - life.since) / len(messages)
    try:
        life.hand.pop()
    except IndexError:
        return False
    _deliver_all(life, zip(messages, results, strict=True), each_took, deliver)
    return True


def _deliver_all(
    life: Life,
    results: Iterable[tuple[Tried, Any]],
    each_took: float,
    deliver: Callable[[Any, Any], None],
) -> None:
    """Deliver what a batch came to, one by one; then leave as the first of them says."""
    rest = life.rest
    rest.extend((attempts, raw, result) for (attempts, raw), result in results)
    left: BaseException | None = None
    while rest:
        try:
            life.attempts, raw, result = rest.pop(0)
        except IndexError:
            break  # fenced meanwhile, and settled
        life.since = monotonic() - each_took
        try:
            deliver(result, raw)
        except BaseException as error:  # noqa: BLE001 - raised below
            # Asked to stop, or ended by a result: the results behind it are made, and go
            # on or are kept all the same. What it has left in hand is settled now, as
            # the next one may come into the hand, too.
            life.fail_hand(error, reason_of(error))
            left = left or error
    life.attempts = 0
    if left is not None:
        raise left


def _is_behind(life: Life, token: Token) -> bool:
    """Whether a token marks what was before it: that is then handled, batch or not."""
    return token is life.end or token.lost is not None
