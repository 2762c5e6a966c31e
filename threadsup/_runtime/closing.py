"""The states of a mailbox, and what becomes of the messages when they change.

Owns the change: who is refused from when on, what is taken over, and by whom. It must not
know what is done at the bound, nor what is in a message.

Three states. *Open*. *Shut*: senders are refused, what is queued stays for the
next incarnation. *Closed*: shut, and what was queued has been taken over. The
promise: a message is taken over by the closer or refused to its sender, in every
interleaving. Senders therefore look twice at `_push`, through which they put:

    sender   push = self._push;  push(message);  self._push is push?
    closer                 self._push = refuse;  drain until empty

Both pass through the queue's own lock, or the GIL. Either the put comes before the closer's
last look into the queue, and the closer has the message; or it comes after, and
then the sender sees that `_push` has changed and takes over what it finds, its
own message among it, as the closer would have.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from threadsup._errors import MailboxClosed
from threadsup._runtime.bound import Bounded
from threadsup._runtime.lanes import Token, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId

__all__ = ["Closable"]


def _ignore(messages: list[Any], why: str) -> None:
    """Let undelivered messages go: for a mailbox that nobody accounts for."""


class Closable(Bounded):
    """Two lanes with a bound that can be shut, opened and closed. For any thread."""

    __slots__ = (
        "_closed",
        "_heir",
        "_push",
        "_refusal",
        "_why",
        "on_undelivered",
        "undelivered",
    )

    def __init__(
        self,
        id: ChildId,
        capacity: int | None,
        on_undelivered: Callable[[list[Any], str], None] | None = None,
    ) -> None:
        super().__init__(id, capacity)
        self.on_undelivered = on_undelivered or _ignore
        """Gets the accepted messages that will never be handled, and why; runs
        in the thread that found them."""
        self.undelivered = 0
        """How many of those there were; written under `_lock`."""
        self._heir: Callable[[list[Any]], None] | None = None
        """Who gets, instead, what would be undelivered."""
        self._refusal = self._refuse
        self._push: Callable[[Any], None] = self._append
        self._closed = False
        self._why = ""

    def _refuses(self, *, inner: bool) -> bool:
        return self._closed if inner else self._push is self._refusal

    def _refuse(self, message: Any) -> None:  # noqa: ARG002 - stands in for put
        raise self.refusal()

    def refusal(self) -> MailboxClosed:
        """Return what a sender is told while nothing is taken."""
        return MailboxClosed(f"{self.id!r} takes no messages: {self._why}")

    def put_token(self, token: Token) -> bool:
        """Put a token at its place in the user lane, whether shut or full. Never blocks.

        Into that of the heir, if there is one.

        Returns:
            `False` if the mailbox is closed: nobody would ever take it.
        """
        with self._lock:
            heir = self._heir
            if self._closed and heir is None:
                return False
            if heir is None:
                self._put_token(token)
        if heir is not None:
            heir([token])
        return True

    def lose(self, raws: list[Any], why: str) -> None:
        """Take over what was on its way here, as undelivered. Never blocks for long."""
        heir = self._heir
        if heir is not None:
            heir(raws)
        elif raws:
            self._count_undelivered(raws)
            self.on_undelivered([plain(raw) for raw in raws], why)

    def _count_undelivered(self, raws: list[Any]) -> None:
        messages = sum(type(raw) is not Token for raw in raws)
        with self._lock:
            self.undelivered += messages

    def _take_over(self) -> None:
        """Finish the closing for messages that were put while it went on."""
        with self._lock:
            if not self._closed:
                return  # shut only: the message waits for the next incarnation
            left = self._drain()
        self.lose(left, self._why)

    def count_cancelled(self) -> None:
        """Count as undelivered a message whose sender has taken it back."""
        with self._lock:
            self.undelivered += 1

    # -- for who administers it -----------------------------------------------------

    def shut(self, why: str) -> None:
        """Refuse messages from now on; keep what is queued. Wakes waiting senders."""
        with self._lock:
            if not self._closed:
                self._why = why
            self._push = self._refusal
        self._wake()

    def open(self) -> None:
        """Take messages again."""
        with self._lock:
            was_open = self.is_open
            self._closed = False
            self._heir = None
            self._push = self._append
        if not was_open:
            self._wake()  # who waits for room in one of several

    def close(self, why: str) -> list[Any]:
        """Shut, and take over what is queued: messages, and tokens but `WAKE`.

        The messages are counted as undelivered; what else becomes of them is the
        caller's to do. What is put in the very moment goes to `on_undelivered`.
        """
        with self._lock:
            if not self._closed:  # else what is said is why it was closed in the first place
                self._why = why
            self._push = self._refusal
            self._closed = True
            left = self._take_all()
            self._count_undelivered(left)
        self._wake()
        return left

    def retire(self, why: str, heir: Callable[[list[Any]], None]) -> None:
        """Close, for good, in favour of an heir: it gets what was queued, tokens too.

        It also gets what is put in the very moment, and what is given back or marked
        later. Nothing of it counts here any more.
        """
        with self._lock:
            self._why = why
            self._push = self._refusal
        self._wake()
        # Closed only when the heir has all of it: a mark that finds it closed is to
        # come behind that, wherever it is by then.
        while True:
            with self._lock:
                left = self._take_all(carry=True)
                if not left:
                    self._closed = True
                    self._heir = heir
                    return
            heir(left)

    def take_out(self, *, queued: bool = False) -> list[Any]:
        """Take out what is queued, to be put elsewhere; stay as it is.

        Tokens too, but for the consumer's own, which nobody else misses. With `queued`
        without what was taken before and given back.
        """
        with self._lock:
            raws = self._drain() if queued else self._take_all(carry=True)
            left = [raw for raw in raws if type(raw) is not Token or raw.lost is not None]
            for raw in raws if len(left) < len(raws) else ():
                if type(raw) is Token and raw.lost is None:
                    self._put_token(raw)
        self._wake()
        return left

    def drop(self) -> list[Any]:
        """Take out the queued messages and stay as it is; tokens keep their order."""
        with self._lock:
            messages = []
            for raw in self._take_all():
                if type(raw) is Token:
                    self._put_token(raw)
                else:
                    messages.append(raw)
            self._count_undelivered(messages)
        self._wake()
        return messages

    def poison(self, why: str) -> None:
        """Refuse everything, touching no lock: for the child of a fork."""
        self._lock = threading.RLock()  # a thread that did not survive may hold the other
        self._why = why
        self._push = self._refusal
        self._closed = True

    @property
    def is_open(self) -> bool:
        """Whether messages are taken."""
        return self._push is self._append

    @property
    def is_closed(self) -> bool:
        """Whether what was queued has been taken over."""
        return self._closed

    @property
    def is_inherited(self) -> bool:
        """Whether an heir gets what would be undelivered."""
        return self._heir is not None
