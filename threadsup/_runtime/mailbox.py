"""The mailbox: many senders, one consumer at a time, two lanes, closable, bounded.

Owns the queue of one child through all its incarnations, and the waiting of
senders for room. It must not know what is in a message, who consumes it, or why
it is shut.

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

Waiting for room is the same figure: a sender puts itself into `senders` and looks at
the queue then, a consumer takes from the queue and looks at `senders` then. What has
to see each other passes through the lock of the queue or of a deque, so nothing here
rests on the order in which a processor makes plain stores visible.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, final

from threadsup._errors import CallingSelfError, MailboxClosed, MailboxFull
from threadsup._runtime.context import Wakeup, current
from threadsup._runtime.lanes import END, WAKE, Lanes, Token

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId
    from threadsup._specs import OnFull

__all__ = ["END", "WAKE", "Mailbox", "Token"]


def _ignore(messages: list[Any], why: str) -> None:
    """Let undelivered messages go: for a mailbox that nobody accounts for."""


@final
class Mailbox(Lanes):
    """The two lanes of one child.

    The consumer's side (`get`, `signals`, `returned`, `senders`) is for one
    thread at a time; everything else may be called from any thread.
    """

    __slots__ = (
        "_capacity",
        "_closed",
        "_lock",
        "_on_full",
        "_push",
        "_refusal",
        "_why",
        "half",
        "id",
        "on_undelivered",
        "senders",
        "undelivered",
    )

    def __init__(
        self,
        id: ChildId = "mailbox",
        capacity: int | None = None,
        on_full: OnFull = "wait",
        on_undelivered: Callable[[list[Any], str], None] = _ignore,
    ) -> None:
        super().__init__()
        self.id = id
        self.senders: deque[Wakeup] = deque()
        """Who waits for room; the consumer looks at it after every `get`."""
        self.on_undelivered = on_undelivered
        """Gets the accepted messages that will never be handled, and why; runs
        in the thread that found them."""
        self.undelivered = 0
        """How many of those there were; written under `_lock`."""
        self._capacity = capacity
        self.half = 0 if capacity is None else capacity // 2
        """At how many queued messages, or fewer, waiting senders are woken."""
        self._on_full = on_full
        self._lock = threading.RLock()
        """Guards the state and the counts; never held while anything waits. Re-entrant:
        a signal handler, or a destructor that the collector runs, may send from within."""
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
        if self._capacity is not None and self.qsize() >= self._capacity and self._is_full():
            if self._on_full == "wait":
                self.wait_for_room(timeout)
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
        if self._capacity is not None and self.qsize() >= self._capacity and self._is_full():
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

        Returns:
            `False` if the mailbox is closed: nobody would ever take it.
        """
        with self._lock:
            if self._closed:
                return False
            self._put_token(token)
        return True

    def wait_for_room(self, timeout: float | None = None, *, give_way: bool = False) -> bool:
        """Wait until there is room; with `give_way` return `False` if asked to stop.

        Returns `True` for a mailbox that is shut, too: the put that follows is
        refused, and says why. With `give_way`, which is for `hand_on`, only for one
        that is closed.

        Raises:
            MailboxFull: not within `timeout` seconds.
            CallingSelfError: who waits is the one who is to make room.
        """
        admitted = False
        try:
            admitted = self._wait_in_line(timeout, give_way=give_way)
        finally:
            # Woken and not coming: the time was up, a stop, Ctrl-C. The room is for
            # somebody else, and the consumer, who may be asleep, will not say so again.
            if not admitted:
                self.pass_on()
        return admitted

    def pass_on(self) -> None:
        """Give the room to the next in line: for who was woken for it and put nothing."""
        if self._admits():
            self._wake(1)

    def _wait_in_line(self, timeout: float | None, *, give_way: bool) -> bool:
        end = None if timeout is None else monotonic() + timeout
        while True:
            wakeup = Wakeup()
            self.senders.append(wakeup)
            try:
                if self._admits(inner=give_way):
                    return True
                context = current()
                if context is not None and context.home is self:
                    raise CallingSelfError(f"{self.id!r} would wait for room in its own mailbox")
                left = None if end is None else end - monotonic()
                if not wakeup.wait(left, give_way=give_way):
                    # The time may be up in the moment in which room was made for
                    # this very sender: not to take it then would lose the wake-up.
                    if self._admits(inner=give_way):
                        return True
                    if give_way and (end is None or monotonic() < end):
                        return False
                    raise MailboxFull(f"no room for a message to {self.id!r} in {timeout:g} s")
            finally:
                with suppress(ValueError):  # the consumer took it out to wake it
                    self.senders.remove(wakeup)

    def _admits(self, *, inner: bool = False) -> bool:
        """Tell whether a put, or an `inner` hand-on, need not wait for room."""
        refused = self._closed if inner else self._push is self._refusal
        return refused or not self._is_full()

    def _is_full(self) -> bool:
        return self._capacity is not None and self._messages() >= self._capacity

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

    def _full(self) -> MailboxFull:
        return MailboxFull(f"the mailbox of {self.id!r} is full ({self._capacity} messages)")

    def _refuse(self, message: Any) -> None:  # noqa: ARG002 - stands in for put
        raise MailboxClosed(f"{self.id!r} takes no messages: {self._why}")

    def lose(self, raws: list[Any], why: str) -> None:
        """Take over what was on its way here, as undelivered. Never blocks for long."""
        if raws:
            self._count_undelivered(raws)
            self.on_undelivered(raws, why)

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
                self._return(raw, attempts)
            elif type(raw) is Token:
                self._tokens.pop()
        if closed and raw is not WAKE:
            self.lose([raw], self._why)

    def count_cancelled(self) -> None:
        """Count as undelivered a message whose sender has taken it back."""
        with self._lock:
            self.undelivered += 1

    def wake_senders(self) -> None:
        """Wake as many waiting senders as there is room for, once half is free.

        Not one by one: a wake-up costs a hundred times what a put does, and a
        queue that is half empty keeps the consumer busy while they come.
        """
        if self._capacity is not None and (messages := self._messages()) <= self.half:
            self._wake(self._capacity - messages)

    def _wake(self, count: int | None = None) -> None:
        # Never by asking first whether there is anybody: only taking out passes
        # through the lock of the deque, by which a sender that has just come is seen,
        # or sees what has just changed.
        try:
            while count is None or count > 0:
                self.senders.popleft().set()
                count = None if count is None else count - 1
        except IndexError:
            return

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
            self._closed = False
            self._push = self._enqueue

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
    def pending(self) -> int:
        """Messages queued and not taken; exact when nobody is putting or taking."""
        with self._lock:
            return max(0, self._messages() + len(self.returned))

    @property
    def is_open(self) -> bool:
        """Whether messages are taken."""
        return self._push is self._enqueue
