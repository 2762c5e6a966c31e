"""The two lanes of a mailbox: what is queued, what goes first, what is no message.

Owns the queue and the count of what is in it. It must not know bounds, states or who
is refused: the mailbox does.

Built on `queue.SimpleQueue`, whose `put` and `get` are one C call each. The lane
for signals is a `deque` beside it: a signal is put there and a `WAKE` token into
the queue, so that a sleeping consumer wakes; whatever a consumer gets, it looks
at the signals first. Other tokens travel in the user lane at their place,
uncounted and unbounded.
"""

from __future__ import annotations

from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, final

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
        "_enqueue",
        "_queue",
        "gathered",
        "get",
        "qsize",
        "returned",
        "signals",
        "tokens",
    )

    def __init__(self) -> None:
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._enqueue = self._queue.put
        self.get = self._queue.get
        """Take the next of the user lane. Blocks. Then look at `signals` first."""
        self.qsize = self._queue.qsize
        self.signals: deque[Any] = deque()
        """The lane that goes first."""
        self.returned: deque[tuple[int, Any]] = deque()
        """Taken and given back, each with the attempts it has cost so far: comes
        before everything in the queue."""
        self.gathered: deque[Tried] = deque()
        """Taken for a batch that is not complete, each with its attempts so far: comes
        before everything else."""
        self.tokens: deque[None] = deque()
        """As many as there are tokens in the queue and in `returned`, or a moment more.
        No number: `signal`, also from a signal handler, adds one without a lock."""

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

    def nothing(self) -> Token:
        """Return a `WAKE` that was in no queue, for a consumer that finds nothing."""
        self.tokens.append(None)
        return WAKE

    def _return(self, raw: Any, attempts: int) -> None:
        self.returned.appendleft((attempts, raw))
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
                raw = self._queue.get_nowait()
            except Empty:
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
                attempts, raw = self.returned.popleft()
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
                raw = self._queue.get_nowait()
                if type(raw) is Token:
                    self.tokens.pop()
                if raw is WAKE:
                    asleep = True
                else:
                    left.append(raw)
        except Empty:
            if asleep:
                self._put_token(WAKE)
            return left
