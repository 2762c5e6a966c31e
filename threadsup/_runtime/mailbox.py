"""The mailbox: many senders, one consumer at a time, two lanes, closable, bounded.

Owns the queue of one child through all its incarnations, and what is done at its
bound. It must not know what is in a message, who consumes it, or why it is shut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from threadsup._errors import MailboxClosed, MailboxFull
from threadsup._runtime.closing import Closable
from threadsup._runtime.lanes import END, RESUME, WAKE, Carried, Token, carried

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId
    from threadsup._runtime.pause import Pause
    from threadsup._specs import OnFull

__all__ = ["END", "RESUME", "WAKE", "Mailbox", "Token"]


@final
class Mailbox(Closable):
    """The two lanes of one child.

    The consumer's side (`get`, `signals`, `returned`, `senders`) is for one
    thread at a time; everything else may be called from any thread.
    """

    __slots__ = ("_on_full", "pause")

    def __init__(
        self,
        id: ChildId = "mailbox",
        capacity: int | None = None,
        on_full: OnFull = "wait",
        on_undelivered: Callable[[list[Any], str], None] | None = None,
    ) -> None:
        super().__init__(id, capacity, on_undelivered)
        self._on_full = on_full
        self.pause: Pause | None = None
        """What keeps the consumer from taking anything, if something does."""

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
        if limit is not None and len(self.queue) >= limit and self._is_full():
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
            if self.sleepers:  # as `_enqueue`, which is a call dearer
                try:
                    wake = self.sleepers[0]
                    wake(None)
                    self.sleepers.remove(wake)
                except (IndexError, ValueError):
                    pass
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
        if limit is not None and len(self.queue) >= limit and self._is_full(exactly=True):
            if self._on_full in {"wait", "raise"} and self._push is not self._refusal:
                return False
            if not self._make_room(message):
                return True
        push = self._push
        try:
            push(message)
        finally:
            if self.sleepers:  # as `_enqueue`, which is a call dearer
                try:
                    wake = self.sleepers[0]
                    wake(None)
                    self.sleepers.remove(wake)
                except (IndexError, ValueError):
                    pass
            if self._push is not push:
                self._take_over()
        return True

    def admit(self, message: Any) -> bool:
        """Put a message if there is room, whatever is done at the bound. Never blocks.

        Raises:
            MailboxClosed: the mailbox is shut or closed.
        """
        push = self._push
        if push is not self._refusal and self._is_full(exactly=True):
            return False
        try:
            push(message)
        finally:
            if self.sleepers:  # as `_enqueue`, which is a call dearer
                try:
                    wake = self.sleepers[0]
                    wake(None)
                    self.sleepers.remove(wake)
                except (IndexError, ValueError):
                    pass
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
                    if self._is_full(exactly=True):
                        return False
                    self._enqueue(message)
                    return True
        self.lose([message], self._why)
        return True

    def hand_on_all(self, messages: list[Any]) -> int:
        """Put as many of these as there is room for, as `hand_on` does. Never blocks.

        Several who do so come one after the other, so that the bound stays as soft as it
        is with one message each. For a mailbox that waits where it is full.

        Returns:
            How many were taken: all, by one that is closed.
        """
        with self._lock:
            if not self._closed:
                room = min(self.room(len(messages)), len(messages))
                if room > 0:
                    self._enqueue_all(messages if room == len(messages) else messages[:room])
                return room
        self.lose(messages.copy(), self._why)
        return len(messages)

    @property
    def waits(self) -> bool:
        """Whether who hands on to it waits where it is full; else something is dropped."""
        return self._on_full in {"wait", "raise"}

    def _make_room(self, message: Any) -> bool:
        """Do what `on_full` says at the bound; return whether to go on and put."""
        if self._push is self._refusal:
            return True  # the put that follows is refused, and says why
        if not self._is_full(exactly=True):
            return True  # it had only looked like that
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
                self.on_way = 0
            elif type(raw) is Token:
                self.tokens.pop()
        if closed and raw is not WAKE:
            self.lose([carried(raw, attempts)], self._why)

    def give_back_all(self, raws: list[Any], *, behind: bool = False) -> None:
        """Put what was taken and not begun back to the front, in order. Never blocks.

        Tokens too, for which `took_token` was not called; `behind` what is there already.
        """
        kept = [(0, raw) for raw in raws if raw is not WAKE]
        with self._lock:
            closed = self._closed
            for raw in raws:
                if raw is WAKE or (closed and type(raw) is Token):
                    self.tokens.pop()
                elif not closed:
                    self._hold_place(raw, 1)
            if not closed:
                at = len(self.returned) if behind else 0
                self.returned[at:at] = kept
                self.wake()
        if closed:
            self.lose([raw for _, raw in kept], self._why)

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
