"""The mailbox: many senders, one consumer at a time, two lanes, closable, bounded.

Owns the queue of one child through all its incarnations, and what is done at its
bound. It must not know what is in a message, who consumes it, or why it is shut.

Three states. *Open*. *Shut*: senders are refused, what is queued stays for the
next incarnation. *Closed*: shut, and what was queued has been taken over. The
promise: a message is taken over by the closer or refused to its sender, in every
interleaving. Senders therefore look twice at `_push`, through which they put:

    sender   push = self._push;  push(message);  self._push is push?
    closer                 self._push = refuse;  drain until empty

Both pass through the queue's own lock. Either the put comes before the closer's
last look into the queue, and the closer has the message; or it comes after, and
then the sender sees that `_push` has changed and takes over what it finds, its
own message among it, as the closer would have.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, final

from threadsup._errors import MailboxClosed, MailboxFull
from threadsup._runtime.bound import Bounded
from threadsup._runtime.lanes import END, RESUME, WAKE, Carried, Token, carried, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId
    from threadsup._runtime.pause import Pause
    from threadsup._specs import OnFull

__all__ = ["END", "RESUME", "WAKE", "Mailbox", "Token"]


def _ignore(messages: list[Any], why: str) -> None:
    """Let undelivered messages go: for a mailbox that nobody accounts for."""


@final
class Mailbox(Bounded):
    """The two lanes of one child.

    The consumer's side (`get`, `signals`, `returned`, `senders`) is for one
    thread at a time; everything else may be called from any thread.
    """

    __slots__ = (
        "_closed",
        "_heir",
        "_on_full",
        "_push",
        "_refusal",
        "_why",
        "on_undelivered",
        "pause",
        "undelivered",
    )

    def __init__(
        self,
        id: ChildId = "mailbox",
        capacity: int | None = None,
        on_full: OnFull = "wait",
        on_undelivered: Callable[[list[Any], str], None] = _ignore,
    ) -> None:
        super().__init__(id, capacity)
        self.on_undelivered = on_undelivered
        """Gets the accepted messages that will never be handled, and why; runs
        in the thread that found them."""
        self.undelivered = 0
        """How many of those there were; written under `_lock`."""
        self.pause: Pause | None = None
        """What keeps the consumer from taking anything, if something does."""
        self._heir: Callable[[list[Any]], None] | None = None
        """Who gets, instead, what would be undelivered."""
        self._on_full = on_full
        self._refusal = self._refuse
        self._push: Callable[[Any], None] = self._enqueue
        self._closed = False
        self._why = ""

    # -- for senders ----------------------------------------------------------------

    def put(self, message: Any, timeout: float | None = None) -> None:
        """Put a message into the user lane.

        Blocks: only at the bound of a mailbox that waits (`on_full="wait"`), for
        up to `timeout` seconds, `None` without limit.

        Raises:
            MailboxFull: no room, at once (`"raise"`) or within the time.
            MailboxClosed: the mailbox is shut or closed.
        """
        limit = self._limit  # once: loads are what a put costs
        if limit is not None and self.qsize() >= limit and self._is_full():
            if self._on_full == "wait":
                if not self.wait_for_room(timeout):
                    elsewhere = self.elsewhere or self.put
                    elsewhere(message, timeout)
                    return
            elif not self._make_room(message):
                return
        push = self._push
        try:
            push(message)
        finally:  # Ctrl-C may come in between, with the message in and nobody to look
            if self._push is not push:
                self._take_over()

    def put_nowait(self, message: Any) -> None:
        """Put a message into the user lane. Never blocks.

        Raises:
            MailboxFull: there is no room and the mailbox does not drop.
            MailboxClosed: the mailbox is shut or closed.
        """
        if not self.offer(message):
            raise self._full()

    def offer(self, message: Any) -> bool:
        """Put a message unless it would have to wait for room. Never blocks.

        Returns:
            Whether it was taken; a mailbox that drops at its bound always does.

        Raises:
            MailboxClosed: the mailbox is shut or closed.
        """
        limit = self._limit  # once: loads are what a put costs
        if limit is not None and self.qsize() >= limit and self._is_full():
            if self._on_full in {"wait", "raise"} and self._push is not self._refusal:
                return False
            if not self._make_room(message):
                return True
        push = self._push
        try:
            push(message)
        finally:
            if self._push is not push:
                self._take_over()
        return True

    def admit(self, message: Any) -> bool:
        """Put a message if there is room, whatever is done at the bound. Never blocks.

        Raises:
            MailboxClosed: the mailbox is shut or closed.
        """
        push = self._push
        if push is not self._refusal and self._is_full():
            return False
        try:
            push(message)
        finally:
            if self._push is not push:
                self._take_over()
        return True

    def adopt(self, raws: list[Any]) -> None:
        """Put messages and tokens of another mailbox behind what is here. Never blocks.

        Whether there is room or not, shut or not: they were accepted before. If this
        one is closed, too, they are lost with it.
        """
        with self._lock:
            if not self._closed:
                for raw in raws:
                    if type(raw) is Token:
                        self._put_token(raw)
                    elif type(raw) is Carried:
                        # The queue has no place for its attempts; and it has been
                        # at the front before.
                        self._hold_place(raw.raw, 1)
                        self.returned.append((int(raw.attempts), raw.raw))
                        self.wake()
                    else:
                        self._enqueue(raw)
                return
        self.lose(raws, self._why)

    def hand_on(self, message: Any) -> bool:
        """Put what the consumer before this one has made, unless there is no room.

        For the stages of a chain. Being shut is for senders: what is kept for the next
        incarnation is kept together with what was on its way. A mailbox that is closed
        takes the message over, as its closer would have. Never blocks.
        """
        try:
            return self.offer(message)
        except MailboxClosed:
            with self._lock:
                if not self._closed:
                    if self._is_full():
                        return False
                    self._enqueue(message)
                    return True
        self.lose([message], self._why)
        return True

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

    def _make_room(self, message: Any) -> bool:
        """Do what `on_full` says at the bound; return whether to go on and put."""
        if self._push is self._refusal:
            return True  # the put that follows is refused, and says why
        if self._on_full == "drop_new":
            self.lose([message], "dropped at the bound")
            return False
        if self._on_full == "drop_old":
            with self._lock:
                oldest = self._pop_message()
            self.lose(oldest, "dropped at the bound")
            return True
        raise self._full()

    def _refuses(self, *, inner: bool) -> bool:
        return self._closed if inner else self._push is self._refusal

    def _full(self) -> MailboxFull:
        return MailboxFull(f"the mailbox of {self.id!r} is full ({self._capacity} messages)")

    def _refuse(self, message: Any) -> None:  # noqa: ARG002 - stands in for put
        raise self.refusal()

    def refusal(self) -> MailboxClosed:
        """Return what a sender is told while nothing is taken."""
        return MailboxClosed(f"{self.id!r} takes no messages: {self._why}")

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

    # -- for the consumer -----------------------------------------------------------

    def took_token(self) -> None:
        """Note that a token has left the queue."""
        super().took_token()
        # A consumer that judges by `qsize` has taken the token for a message.
        if self.senders:
            self.wake_senders()

    def give_back(self, raw: Any, attempts: int = 0) -> None:
        """Put what was taken and not handled back to the front. Never blocks.

        A token only if `took_token` was not called for it. From a mailbox that was
        closed meanwhile a message goes to `on_undelivered` instead.
        """
        with self._lock:
            closed = self._closed
            if not closed:
                self._hold_place(raw, 1)
                self._return(raw, attempts)
            elif type(raw) is Token:
                self.tokens.pop()
        if closed and raw is not WAKE:
            self.lose([carried(raw, attempts)], self._why)

    def come_back(self, raw: Any, attempts: int = 0, *, first: bool = False) -> bool:
        """Put what was put away in front of what is queued. Never blocks.

        Behind what was given back before, or, `first`, to the front. A token is one for
        which `took_token` was called.

        Returns:
            `False` if the mailbox is closed: what becomes of it is the caller's to do.
        """
        with self._lock:
            if self._closed:
                return False
            if type(raw) is Token:
                self.tokens.append(None)
            self._hold_place(raw, 1)
            if first:
                self._return(raw, attempts)
            else:
                self.returned.append((attempts, raw))
                self.wake()
        return True

    def gather(self, raw: Any, attempts: int) -> None:
        """Put what was taken beside the queue: a batch is not complete. Never blocks.

        It stays there when the worker is stopped, for the next one, and takes a place.
        """
        with self._lock:
            closed = self._closed
            if not closed:
                self.gathered.append((attempts, raw))
                self._reserved += 1
                self._set_limit()
        if closed:
            self.lose([raw], self._why)

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
            self._push = self._enqueue
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
        return self._push is self._enqueue

    @property
    def is_closed(self) -> bool:
        """Whether what was queued has been taken over."""
        return self._closed

    @property
    def is_inherited(self) -> bool:
        """Whether an heir gets what would be undelivered."""
        return self._heir is not None
