"""What a replica has put away: messages in a retry pause, and what else is not through.

Owns these messages, their one timer, and the tokens that must not overtake them. It
must not know why something is put away, or what is done when it comes back.

A token says that everything before it is through. So one that comes by while something
is away waits for it, and then stands behind it again; what was put away later it does
not wait for. What is away has a number, in the order in which it first went, and a token
a mark between two numbers: it waits while one below its mark is away. Something that
goes away again keeps its number, which travels with it as its count of attempts
(`Again`). Otherwise a stage that always fails would hold up every token for ever.

What comes back stands behind all that was given back before, so that nobody is
overtaken by those who come after, and in front of all that is queued. Except when a
token that was let go and has not been seen yet is to come after it: then at the front.

The races, all closed by one lock, under which things leave here and arrive in the mailbox
in one step:

* Something comes back and a token is let go by another: were it out of here and not yet
  in the mailbox, the token would pass in front of it.
* A token is taken from the queue while something comes back, which the consumer did not
  see when it looked. So one that is seen for the first time steps behind it.
* Something is due, or is put away, while all is cleared. Either it is found here; or it
  goes to the mailbox, and if that is closed is lost there, with all that belongs to it.
"""

from __future__ import annotations

import threading
from heapq import heappop, heappush
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol, final

from threadsup._runtime.clock import monotonic
from threadsup._runtime.lanes import carried

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.mailbox import Mailbox, Token

__all__ = ["Again", "Aside"]


class _Services(Protocol):
    def post(self, call: Callable[[Any], None], argument: object, /) -> None: ...

    def set_timer(self, owner: Any, key: None, number: int, at: float | None, /) -> None: ...


@final
class Again(int):
    """How often a message was tried; also, as which number it was away, and from where.

    Counting on keeps them, so whoever counts attempts need not know.
    """

    home: Aside
    number: int

    @classmethod
    def of(cls, tried: int, number: int, home: Aside) -> Again:
        """Return `tried` with the rest."""
        made = cls(tried)
        made.number, made.home = number, home
        return made

    def __add__(self, more: int, /) -> Again:
        return Again.of(int(self) + more, self.number, self.home)

    __radd__ = __add__


@final
class Aside:
    """What one replica has put away, through all its incarnations."""

    __slots__ = (
        "_away",
        "_closed",
        "_deferred",
        "_due",
        "_held",
        "_lock",
        "_mailbox",
        "_next",
        "_passing",
        "_services",
    )

    def __init__(self, mailbox: Mailbox, services: _Services) -> None:
        self._mailbox = mailbox
        self._services = services
        self._lock = threading.RLock()
        """Re-entrant, as what the collector destroys may do anything."""
        self._next = 1
        self._away: set[int] = set()
        """The numbers of all that is away."""
        self._deferred: list[tuple[float, int, int, Any]] = []
        """A heap of messages: when they are due, their numbers, attempts."""
        self._due = inf
        """When the timer is due that is set, or will be: that was posted."""
        self._held: dict[Token, int] = {}
        """The tokens that wait here, and their marks."""
        self._passing: dict[Token, int] = {}
        """Those that were let go and have not been seen since."""
        self._closed = False

    # -- the worker's ---------------------------------------------------------------

    def defer(self, raw: Any, tried: int, seconds: float) -> None:
        """Keep a message that was taken until it is to be tried again. Never blocks.

        Takes a place of the mailbox. After `clear` it goes back there at once.
        """
        at = monotonic() + seconds
        with self._lock:
            kept = not self._closed
            if kept:
                number = self._number(tried)
                self._away.add(number)
                heappush(self._deferred, (at, number, tried, raw))
                self._mailbox.reserve(1)
                sooner = at < self._due
                self._due = min(at, self._due)
        if not kept:
            self._mailbox.give_back(raw, tried)
        elif sooner:
            self._services.post(self._arm, None)

    def put(self, tried: int = 0) -> int:
        """Note that something that is not kept here is away; return its number.

        `tried` is what the message has in hand as its attempts: that of one that was
        away before keeps its number.
        """
        with self._lock:
            number = self._number(tried)
            self._away.add(number)
        return number

    def remove(self, number: int) -> None:
        """Note that it has come back, or is through. Does nothing after `clear`.

        To be called when it is where it goes on from: a token may follow at once.
        """
        with self._lock:
            self._away.discard(number)
            lost = self._let_go()
        self._lose(lost)

    def hold(self, token: Token) -> bool:
        """Keep a token that was taken if it has to wait; return whether it has.

        It comes again when what it waits for has come back. To be asked each time.
        """
        with self._lock:
            mark = self._passing.pop(token, None)
            first = mark is None
            if mark is None:
                mark = self._next
            if any(number < mark for number in self._away):
                self._held[token] = mark
                return True
            if first and self._mailbox.returned and self._mailbox.come_back(token):
                self._passing[token] = mark
                return True
            return False

    # -- the supervisor's thread's --------------------------------------------------

    def _arm(self, _: None) -> None:
        with self._lock:
            at = None if self._due == inf else self._due
        self._services.set_timer(self, None, 0, at)

    def take(self, deadline: object) -> None:  # noqa: ARG002 - there is only one
        """Give back what is due: the timer is."""
        lost: list[tuple[int, Any]] = []
        tokens: list[Token] = []
        with self._lock:
            now = monotonic()
            while self._deferred and self._deferred[0][0] <= now:
                _, number, tried, raw = heappop(self._deferred)
                self._away.discard(number)
                if not self._come_back(raw, Again.of(tried, number, self)):
                    lost.append((tried, raw))
                self._mailbox.reserve(-1)
                tokens += self._let_go()
            self._due = self._deferred[0][0] if self._deferred else inf
        self._arm(None)
        for tried, raw in lost:
            self._mailbox.give_back(raw, tried)
        self._lose(tokens)

    # -- for who administers it -----------------------------------------------------

    def open(self) -> None:
        """Keep what is put away again, after `clear`."""
        with self._lock:
            self._closed = False

    def clear(self, *, carry: bool = False) -> list[Any]:
        """Take everything out, messages and tokens, the oldest first; keep no more.

        For when the replica has ended for good: what is put away from now on goes to the
        mailbox, and if that is closed is lost there. To `carry` on a message's attempts, see
        `Carried`.
        """
        with self._lock:
            self._closed = True
            left: list[tuple[int, int, Any]] = [
                (number, 1, carried(raw, tried * carry)) for _, number, tried, raw in self._deferred
            ]
            left += [(mark, 0, token) for token, mark in self._held.items()]
            armed = self._forget_deferred()
            self._away.clear()
            self._held.clear()
            self._passing.clear()
        if armed:
            self._services.post(self._arm, None)
        return [raw for _, _, raw in sorted(left, key=lambda each: each[:2])]

    def drop(self) -> list[Any]:
        """Take out the messages that are kept, the oldest first, and stay as it is.

        Tokens that waited for these go on.
        """
        with self._lock:
            left = sorted(self._deferred, key=itemgetter(1))
            armed = self._forget_deferred()
            self._away.difference_update(number for _, number, _, _ in left)
            lost = self._let_go()
        if armed:
            self._services.post(self._arm, None)
        self._lose(lost)
        return [raw for *_, raw in left]

    def _forget_deferred(self) -> bool:
        """Give the places back of all that is kept; return whether there is a timer for it."""
        armed, self._due = self._due != inf, inf
        if self._deferred:
            self._mailbox.reserve(-len(self._deferred))
        self._deferred = []
        return armed

    @property
    def deferred(self) -> int:
        """How many messages are kept here."""
        return len(self._deferred)

    @property
    def away(self) -> int:
        """How many things are away, kept here or not."""
        return len(self._away)

    # -- numbers and tokens; under the lock -------------------------------------------

    def _number(self, tried: int) -> int:
        if type(tried) is Again and tried.home is self:
            return tried.number
        number = self._next
        self._next += 1
        return number

    def _come_back(self, raw: Any, tried: Again) -> bool:
        late = any(tried.number < mark for mark in self._passing.values())
        return self._mailbox.come_back(raw, tried, first=late)

    def _let_go(self) -> list[Token]:
        """Let those tokens go that need wait no longer; return those with nowhere to go."""
        lost: list[Token] = []
        if not self._held:
            return lost
        oldest = min(self._away, default=self._next)
        for token, mark in sorted(self._held.items(), key=lambda each: each[1]):
            if mark > oldest:
                break
            del self._held[token]
            if self._mailbox.come_back(token):
                self._passing[token] = mark
            else:
                lost.append(token)
        return lost

    def _lose(self, tokens: list[Token]) -> None:
        # Not under the lock: who is told may do what it likes.
        if tokens:
            self._mailbox.lose(tokens, "it has ended")
