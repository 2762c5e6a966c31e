"""The two lanes of a mailbox: what is queued, what goes first, what is no message.

Owns the queue and the count of what is in it. It must not know bounds, states or who
is refused: the mailbox does.

Built on `collections.deque`: to put, to put many and to take are one C call each, and
how many there are is a load. The lane for signals is a second one beside it: a signal
is put there and a `WAKE` token into the queue, so that a sleeping consumer wakes;
whatever a consumer gets, it looks at the signals first. Other tokens travel in the user
lane at their place, uncounted and unbounded.

To sleep is a figure of two steps on each side, as for senders in `bound`: a consumer
puts itself into `sleepers` and tries to take then, a sender puts and looks at `sleepers`
then. Both pass through the lock of the queue, or the GIL: so either the consumer has the
message, or the sender sees who sleeps.

A sleeper is a call of a bell, made for one sleep: equal to no other. A sender rings first and
takes it out of `sleepers` then. The other way round Ctrl-C could come in between, and
nobody would ever wake the consumer; a bell that rings twice does no harm. With a seat that
is used again the second step could take out who has just gone to sleep again. The bell of
a worker is its thread's and used again: a late ring makes it look once for nothing. (A lock
would do as well, but free-threaded 3.13 spins in it before it sleeps.)
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, final

from threadsup._runtime.whose import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.bundle import Tried

__all__ = ["END", "RESUME", "WAKE", "Carried", "Lanes", "Token", "carried", "plain"]


@final
class Token:
    """Something in the user lane that is no message: uncounted, unbounded.

    Recognised by its exact type, so that no message can pretend to be one.
    """

    __slots__ = ("arrived", "lost", "split")

    def __init__(
        self,
        arrived: Callable[[], None] | None = None,
        lost: Callable[[], None] | None = None,
        split: Callable[[int], list[Token]] | None = None,
    ) -> None:
        self.arrived = arrived
        """What to call at the end of its way."""
        self.lost = lost
        """What to call instead if it can never get there."""
        self.split = split
        """Makes several of it, where what was before it is put into several queues."""


WAKE: Final = Token()
"""Tells a consumer that sleeps to look at the signals."""

RESUME: Final = Token()
"""Tells a stage to go on with what it has set aside."""

END: Final = Token()
"""Tells a consumer that it has handled all that was to be handled."""


@final
class Carried:
    """A message on its way into another mailbox, with the attempts it has cost so far."""

    __slots__ = ("attempts", "raw")

    def __init__(self, raw: Any, attempts: int) -> None:
        self.raw = raw
        self.attempts = attempts


def carried(raw: Any, attempts: int) -> Any:
    """Return what carries the attempts of a message along, if there were any."""
    return Carried(raw, attempts) if attempts and type(raw) is not Token else raw


def plain(raw: Any) -> Any:
    """Return the message that is carried."""
    return raw.raw if type(raw) is Carried else raw


class Lanes:
    """A queue of messages and tokens, and the lane of signals beside it.

    What the consumer uses is public, and for one thread at a time; the rest is the
    mailbox's.
    """

    __slots__ = (
        "_append",
        "gathered",
        "on_way",
        "qsize",
        "queue",
        "returned",
        "signals",
        "sleepers",
        "tokens",
    )

    def __init__(self) -> None:
        self.queue: deque[Any] = deque()
        """The user lane."""
        self._append = self.queue.append
        self.qsize = self.queue.__len__
        """How many messages and tokens are in the queue."""
        self.sleepers: list[Callable[[None], None]] = []
        """What wakes each consumer that has found nothing: one, or for a moment two."""
        self.signals: list[Any] = []
        """The lane that goes first."""
        self.returned: list[tuple[int, Any]] = []
        """Taken and given back, each with the attempts it has cost so far: comes
        before everything in the queue."""
        self.gathered: list[Tried] = []
        """Taken for a batch that is not complete, each with its attempts so far: comes
        before everything else."""
        self.on_way = 0
        """How many tokens were taken and are noted still: one or none."""
        self.tokens: list[None] = []
        """As many as there are tokens in the queue and in `returned`, or a moment more.
        No number: `signal`, also from a signal handler, adds one without a lock."""

    def get(self, timeout: float | None = None) -> Any:
        """Take the next of the user lane. Then look at `signals` first.

        Blocks: for up to `timeout` seconds, `None` without limit.

        Raises:
            queue.Empty: nothing came in time.
        """
        if self.queue:  # else a first exception of a thread takes pages of memory
            try:
                return self.queue.popleft()
            except IndexError:
                pass  # two may take of it for a moment
        return self.wait(None if timeout is None else monotonic() + timeout)

    def wait(self, end: float | None = None) -> Any:
        """Wait for something to take until `end` on the monotonic clock, and take it."""
        context = current()
        if context is None:
            return self._wait(SimpleQueue(), end)
        # Out of the context: a destructor that runs here may wait as well.
        bell, context.bell = context.bell, None
        if bell is None:
            bell = SimpleQueue()
        try:
            return self._wait(bell, end)
        finally:
            context.bell = bell

    def _wait(self, bell: SimpleQueue[None], end: float | None) -> Any:
        queue, sleepers = self.queue, self.sleepers
        while True:
            wake = partial(bell.put)
            sleepers.append(wake)
            try:
                queue.rotate(0)  # passes through its lock: from here on it is no old look
                if not queue:
                    if end is None:
                        bell.get()
                    else:
                        left = min(max(0.0, end - monotonic()), TIMEOUT_MAX)
                        bell.get(timeout=left)
            except Empty:
                pass
            finally:
                if wake in sleepers:  # else who has put something took it out
                    with suppress(ValueError):
                        sleepers.remove(wake)
            try:
                return queue.popleft()
            except IndexError:
                if end is not None and monotonic() >= end:
                    raise Empty from None

    def _enqueue(self, raw: Any) -> None:
        """Put something behind all that is queued, in whatever state. Never blocks."""
        try:
            self._append(raw)
        finally:  # Ctrl-C may come in between, with the message in and its consumer asleep
            if self.sleepers:
                try:
                    wake = self.sleepers[0]
                    wake(None)
                    self.sleepers.remove(wake)
                except (IndexError, ValueError):
                    pass  # it is awake, or about to be

    def _enqueue_all(self, raws: list[Any]) -> None:
        """Put some behind all that is queued; as `_enqueue`."""
        self.queue.extend(raws)
        if self.sleepers:
            self._rouse()

    def _rouse(self) -> None:
        """Wake the consumer, if it sleeps. Not for a thread that Ctrl-C may come to."""
        with suppress(IndexError, ValueError):
            wake = self.sleepers[0]
            wake(None)
            self.sleepers.remove(wake)

    def signal(self, signal: object) -> None:
        """Put a signal into the lane that goes first. Never blocks, is never refused.

        A closed mailbox takes it as well: its consumer may be asleep, and is to leave.
        Takes no lock, so that a signal handler may call it wherever it interrupts.
        """
        self.signals.append(signal)
        self.wake()

    def wake(self) -> None:
        """Have a consumer that sleeps look up. Never blocks, takes no lock."""
        self._put_token(WAKE)

    def _put_token(self, token: Token) -> None:
        self.tokens.append(None)  # first: there is never a token that is not counted
        self._enqueue(token)

    def took_token(self) -> None:
        """Note that a token has left the queue."""
        self.tokens.pop()
        self.on_way = 0

    def nothing(self) -> Token:
        """Return a `WAKE` that was in no queue, for a consumer that finds nothing."""
        self.tokens.append(None)
        return WAKE

    def _return(self, raw: Any, attempts: int) -> None:
        self.returned.insert(0, (attempts, raw))
        # Who gives back may be an incarnation that was given up on, and the next one
        # be asleep already, having seen nothing here.
        self._put_token(WAKE)

    def jump(self, token: Token) -> None:
        """Put a token before everything that is queued. Never blocks, takes no lock."""
        self.tokens.append(None)
        self._return(token, 0)

    def _messages(self) -> int:
        """Count the messages in the queue: as many, or a moment less."""
        return self.qsize() - len(self.tokens)

    def _pop_message(self) -> list[Any]:
        """Take the oldest message out, if any; tokens on the way go to the end."""
        for _ in range(self.qsize()):
            try:
                raw = self.queue.popleft()
            except IndexError:
                break
            if type(raw) is not Token:
                return [raw]
            self._enqueue(raw)
        return []

    def _take_all(self, *, carry: bool = False) -> list[Any]:
        """Take everything out but `WAKE` and `RESUME`; attempts too, to `carry` them on."""
        left = [carried(raw, attempts * carry) for attempts, raw in self.gathered]
        self.gathered.clear()
        while self.returned:
            try:
                attempts, raw = self.returned.pop(0)
            except IndexError:
                break  # a life that was given up on takes as well, and has it then
            if type(raw) is Token:
                self.tokens.pop()
            if raw is not RESUME:
                left.append(carried(raw, attempts * carry))
        return left + self._drain()

    def _drain(self) -> list[Any]:
        """Empty the queue of everything but `WAKE`: whom that is to wake still sleeps."""
        left = []
        asleep = False
        try:
            while True:
                raw = self.queue.popleft()
                if type(raw) is Token:
                    self.tokens.pop()
                if raw is WAKE:
                    asleep = True
                else:
                    left.append(raw)
        except IndexError:
            if asleep:
                self._put_token(WAKE)
            return left
