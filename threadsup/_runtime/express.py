"""What most messages need, written out: taken together, handled, counted, handed on.

Owns the loop that handles messages as long as there is a backlog and nothing else is to be
done, and how many are taken at once. It must not know what is to be done with the others:
it yields them, and is asked for the next one when that is done.

Here calls and attributes of shared objects are what a message costs, so they are few; see
`run` for how a message is counted by what it has become. `docs/performance.md` says what
is left and what each line is worth.

As many are taken as fit into 50 us by how long the last ones took, 256 at most; one where
they take longer. The clock is looked at for each batch. So `since` is exact for slow
messages, and for quick ones late by about that.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, final

from threadsup._runtime.future import Future
from threadsup._runtime.lanes import Token
from threadsup._runtime.pykka_compat import Envelope
from threadsup._runtime.taking import begin, give_back
from threadsup._runtime.ticket import Ticket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from threadsup._runtime.actor import Life
    from threadsup._runtime.ready import Ready
    from threadsup._runtime.sampling import Sampler

__all__ = ["LOOK", "Escaped", "express"]

LOOK = 50e-6
"""For about how many seconds one look at the clock holds."""
_WORTH_IT = 2
"""For how many messages a batch is made; one alone is what others are for."""
_MOST = 256
"""For how many messages at most."""


@final
class Escaped:
    """What stands for a message whose handler raised what cannot leave a generator."""

    __slots__ = ("error",)

    def __init__(self, error: StopIteration) -> None:
        self.error = error


def express(  # noqa: C901, PLR0912, PLR0915 - written out, for calls are what a message costs
    life: Life,
    handle: Callable[[Any], Any],
    *,
    ready: Ready | None = None,
    sampler: Sampler | None = None,
    special: Callable[[Any, Any], None] | None = None,
    marks: frozenset[type] = frozenset(),
) -> Iterator[Any]:
    """Handle messages; yield each that wants more, taken and in no hand. Blocks.

    Args:
        life: Whose messages.
        handle: Called with each message.
        ready: Of a stage in the middle: where results go; `None`: to no one.
        sampler: What says which messages are timed, by others.
        special: Called `special(result, raw)`, after the message has left the hand, where
            a result is none that goes on, or does not and somebody waits for it; it
            counts the message. `None`: one that somebody waits for wants more.
        marks: The types of results that are none that go on.
    """
    mailbox, token, hand = life.mailbox, life.token, life.hand
    queue, returned, senders = mailbox.queue, mailbox.returned, mailbox.senders
    type_of, a_token, envelope, now = type, Token, Envelope, monotonic
    answers: tuple[Any, ...] = (Future, Ticket)
    slow = Envelope if special is None else None
    backlog: Any = True if ready is None else ready.backlog
    usual: type | None = None

    def settle(result: Any, raw: Any) -> None:
        """Have it settled, apart from the batch, unless a fence was first."""
        run = life.run
        if run.drop():
            life.taken += 1
            run.apart = True
            special(result, raw)  # type: ignore[misc]
            if returned:  # it comes again, before all that is behind it
                life.put_back(behind=True)
            if not backlog:
                ready.flush()  # type: ignore[union-attr]
            run.apart = False

    def begin_run() -> tuple[Any, Any, Any, Any]:
        """Begin an empty batch, what is in this one being done, unless a fence was first."""
        run = life.run
        with run.lock:
            if run.kept is None:
                if run.batch:
                    life.run = run = run.next()
                mailbox.run = run
        if ready is not None:
            ready.run = run
        return run, run.batch, run.made, run.made.append

    run, batch, made, put_made = begin_run()
    stride = 1
    while True:
        count = min(stride, len(queue))
        if sampler is not None:
            count = min(count, sampler.due - 1)
        if ready is not None and count >= _WORTH_IT:
            count = min(count, ready.room(count))  # that no result has to wait that is made
        alone = count < _WORTH_IT or returned or life.fenced
        if alone or len(batch) >= _MOST:
            run.release(mailbox)
            if batch:  # who is idle keeps nobody's message alive
                run, batch, made, put_made = begin_run()
        if alone:
            # Fenced, it must not wait: what was to wake it may have woken the next life.
            if returned or life.fenced:
                yield mailbox.nothing()
                continue
            raw = mailbox.get()
            kind = type_of(raw)
            if kind is a_token:
                mailbox.on_way = 1  # at once: until it is noted it looks like room
            yield raw
            raw = None
            if kind is not a_token:
                # As if for as many as a batch: alone it may have had to wake somebody.
                stride = _stride(stride, stride, now() - life.since)
            continue
        done = len(made)
        run.fill(mailbox, count)
        # Without the tokens: they are seen to only after a message, which may wait.
        if senders and len(queue) - len(mailbox.tokens) <= mailbox.half:
            mailbox.wake_senders()
        life.since = begun = now()
        rest: Any = iter(batch)
        rest.__setstate__(done)
        for raw in rest:
            kind = type_of(raw)
            # Before each of them: who asks sets this first, and who fences looks at what
            # was made then. So either it is seen here, or the message is seen there.
            if token.look or kind is a_token or kind is slow:
                run.apart = True
                other = raw
                if token.look or not run.drop():
                    life.put_back()
                    other = mailbox.nothing()
                if ready is not None and not ready.flush_now():
                    life.put_back()
                    give_back(life, other)  # to wait for room with it in nobody's hands
                    ready.flush()
                    other = mailbox.nothing()
                yield other
                other = None
                run.apart = False
                rest.__setstate__(len(made))
                continue
            if kind is envelope:
                future = raw.reply_to
                if type_of(future) is Future and not begin(future):
                    if run.drop():
                        mailbox.count_cancelled()
                    rest.__setstate__(len(made))
                    continue
                message = raw.message
            else:
                message = raw
            try:
                result = handle(message)
            except BaseException as error:
                if run.drop():  # else fenced meanwhile, and settled
                    life.taken += 1
                    hand.append(raw)
                run.apart = True
                if not isinstance(error, StopIteration):
                    raise
                yield Escaped(error)  # which a generator cannot let through
            what = type_of(result)
            if what is not usual:
                if what in marks:
                    settle(result, raw)
                    rest.__setstate__(len(made))
                    continue
                usual = what
            if ready is None:
                if kind is not envelope:
                    put_made(None)
                elif type_of(future) in answers:
                    put_made(None)  # first: whoever sees what becomes of it finds it counted
                    if not life.fenced or run.counts(len(made) - 1):
                        future.settle(result)
                else:
                    settle(result, raw)
                    rest.__setstate__(len(made))
            else:
                if kind is envelope:
                    raw.message = result
                    put_made(raw)
                else:
                    put_made(result)
                if not backlog and not ready.flush_now():  # an idle next stage never waits
                    ready.flush()
        stride = _stride(stride, count, now() - begun)
        if ready is not None and not ready.flush_now():
            ready.flush()
        if sampler is not None:
            sampler.due -= len(made) - done
        raw = message = result = future = rest = None


def _stride(stride: int, count: int, seconds: float) -> int:
    """Return how many to take next: more than last time, but no more than fit into a look."""
    stride = min(2 * stride + 1, _MOST)
    return stride if stride * seconds <= LOOK * count else int(LOOK * count / seconds) or 1
