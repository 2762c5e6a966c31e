"""The bound of a mailbox: how much fits, and the line of those who wait for room.

Owns the capacity, the waiting, and what is beside the queue and takes a place all the
same: given back, or gathered for a batch. It must not know what is done at the bound,
but that somebody may wait there, nor why a mailbox takes nothing: it is told whether it
does.

Waiting for room is a figure of two steps on each side: a sender puts itself into
`senders` and looks at the queue then, a consumer takes from the queue and looks at
`senders` then. What has to see each other passes through the lock of the queue or of a
list, so this does not rest on the order in which a processor makes plain stores
visible. The look at the room without the lock does; where it is wrong a sender puts one
message too many, once.
"""

from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from threadsup._errors import CallingSelfError, MailboxFull
from threadsup._runtime.context import Wakeup, current
from threadsup._runtime.lanes import Lanes, Token

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId
    from threadsup._runtime.bundle import Tried
    from threadsup._runtime.run import Run

__all__ = ["Bounded"]


class Bounded(Lanes, ABC):
    """Two lanes with a bound, and those who wait for room."""

    __slots__ = (
        "_capacity",
        "_limit",
        "_lock",
        "_reserved",
        "elsewhere",
        "half",
        "hand",
        "id",
        "run",
        "senders",
    )

    def __init__(self, id: ChildId, capacity: int | None) -> None:
        super().__init__()
        self.id = id
        self.senders: list[Wakeup] = []
        """Who waits for room; the consumer looks at it after every `get`."""
        self.elsewhere: Callable[[Any, float | None], None] | None = None
        """Where else to put, `put(message, timeout)`, for who waits for room here: it is
        one of several by now."""
        self.hand: list[Any] = []
        """What its consumer has in hand: the list itself, for others to look at."""
        self.run: Run | None = None
        """The batch its consumer has taken, which is beside the queue."""
        self._capacity = capacity
        self._reserved = 0
        """Places of the capacity that are taken by what is not in the queue."""
        self._limit = capacity
        """The capacity without those."""
        self.half = 0 if capacity is None else capacity // 2
        """At how many queued messages, or fewer, waiting senders are woken."""
        self._lock = threading.RLock()
        """Guards the state and the counts; never held while anything waits. Re-entrant:
        a signal handler, or a destructor that the collector runs, may send from within."""

    @abstractmethod
    def _refuses(self, *, inner: bool) -> bool:
        """Tell whether nothing is taken, be there room: not even from within a chain."""

    @property
    def capacity(self) -> int | None:
        """How many messages may be queued."""
        return self._capacity

    def reserve(self, places: int) -> None:
        """Set so many places of the capacity aside, or give them back (negative)."""
        with self._lock:
            self._reserved += places
            self._set_limit()
        if places < 0:
            self.wake_senders()

    def take_batch(self, run: Run, count: int) -> None:
        """Have a batch filled, which is done; who asks for room finds each message once."""
        with self._lock:
            # In this order, for who looks without the lock: what is done makes no room twice.
            run.begun = len(run.made)
            self._reserved += count - run.places
            run.places = count
            self._set_limit()
            run.take(self.queue, count)

    def release(self, run: Run) -> None:
        """Give the places of a batch back: it is done, or what was left is elsewhere."""
        with self._lock:
            places, run.places = run.places, 0
            self._reserved -= places
            self._set_limit()
        if self.senders:
            self.wake_senders()

    def set_capacity(self, capacity: int | None) -> None:
        """Change the bound; what is queued past it stays. Wakes waiting senders."""
        with self._lock:
            self._capacity = capacity
            self.half = 0 if capacity is None else capacity // 2
            self._set_limit()
        self._wake()

    def _set_limit(self) -> None:
        self._limit = None if self._capacity is None else max(0, self._capacity - self._reserved)

    # -- beside the queue -------------------------------------------------------------

    def take_returned(self) -> tuple[int, Any]:
        """Take the first of what was given back, with the attempts it has cost.

        Raises:
            IndexError: there is none.
        """
        attempts, raw = self.returned.pop(0)
        if type(raw) is not Token:
            with self._lock:
                self._hold_place(raw, -1)
            if self.senders:
                self.wake_senders()
        return attempts, raw

    def _hold_place(self, raw: Any, places: int) -> None:
        """Have a message that is beside the queue count against the capacity, or no more."""
        if type(raw) is not Token:
            self._reserved += places
            self._set_limit()

    def take_gathered(self) -> list[Tried]:
        """Take what was gathered, to be handled now."""
        with self._lock:
            taken = list(self.gathered)
            self.gathered.clear()
            self._reserved -= len(taken)
            self._set_limit()
        if self.senders:
            self.wake_senders()
        return taken

    def _take_all(self, *, carry: bool = False) -> list[Any]:
        self._reserved -= len(self.gathered)
        for _, raw in self.returned:
            self._hold_place(raw, -1)
        self._set_limit()
        return super()._take_all(carry=carry)

    @property
    def pending(self) -> int:
        """Messages queued and not taken; exact when nobody is putting or taking, else fewer."""
        with self._lock:
            # Tokens are among them. One may be put, or be seen to, between two of these looks:
            # it is counted before it is there and until it has gone, so here twice.
            before = len(self.tokens)
            taken = 0 if self.run is None else self.run.waiting
            beside = len(self.returned) + len(self.gathered)
            queued = self.qsize()
            return max(0, taken + beside + queued - max(before, len(self.tokens)))

    @property
    def load(self) -> int:
        """About how much there is to do: what is queued, and what is in hand."""
        # That a token counts for a message does no harm.
        run = self.run
        taken = len(self.hand) if run is None else len(self.hand) + run.in_hand + run.waiting
        return self.qsize() + len(self.returned) + len(self.gathered) + taken

    # -- waiting ----------------------------------------------------------------------

    def wait_for_room(self, timeout: float | None = None, *, give_way: bool = False) -> bool:
        """Wait until there is room; with `give_way` return `False` if asked to stop.

        Returns `True` for a mailbox that is shut, too: the put that follows is
        refused, and says why. With `give_way`, which is for `hand_on`, only for one
        that is closed. Returns `False` also when it is to be put `elsewhere`.

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
        if self.admits():
            self._wake(1)

    def _wait_in_line(self, timeout: float | None, *, give_way: bool) -> bool:
        end = None if timeout is None else monotonic() + timeout
        while True:
            wakeup = Wakeup()
            self.senders.append(wakeup)
            try:
                if self.elsewhere is not None and not give_way:
                    return False
                if self.admits(inner=give_way):
                    return True
                context = current()
                if context is not None and context.home is self:
                    raise CallingSelfError(f"{self.id!r} would wait for room in its own mailbox")
                left = None if end is None else end - monotonic()
                if not wakeup.wait(left, give_way=give_way):
                    # The time may be up in the moment in which room was made for
                    # this very sender: not to take it then would lose the wake-up.
                    if self.admits(inner=give_way):
                        return True
                    if give_way and (end is None or monotonic() < end):
                        return False
                    raise MailboxFull(f"no room for a message to {self.id!r} in {timeout:g} s")
            finally:
                with suppress(ValueError):  # the consumer took it out to wake it
                    self.senders.remove(wakeup)

    def admits(self, *, inner: bool = False) -> bool:
        """Tell whether a put, or an `inner` hand-on, need not wait for room."""
        return self._refuses(inner=inner) or not self._is_full(exactly=True)

    def room(self, enough: int = 1) -> int:
        """Return for how many more messages there is room, exactly if for fewer than `enough`."""
        room = self._least_room()
        if room >= enough:
            return room
        with self._lock:
            return self._exact_room()

    def _least_room(self) -> int:
        """Return for how many there is room, or fewer. Takes no lock.

        In this order: what is taken meanwhile, and has its place set aside, is no room, nor
        is what was done and released meanwhile room twice.
        """
        capacity = self._capacity
        if capacity is None:
            return sys.maxsize
        left = capacity - len(self.queue)
        left -= self._reserved
        run = self.run
        if run is not None and run.places:
            left += len(run.made)
            left -= run.begun
        return left

    def _exact_room(self) -> int:
        if self._capacity is None:
            return sys.maxsize
        # Not by the limit, which is never below 0: more may be reserved than there is.
        spare = 0 if self.run is None else self.run.spare
        room = self._capacity - self._reserved - self.qsize() + spare
        if room <= 0 and self.tokens:
            # Tokens take no place; but those that are noted and elsewhere make none.
            elsewhere = self.on_way + sum(type(raw) is Token for _, raw in self.returned.copy())
            room += max(0, len(self.tokens) - elsewhere)
        return max(0, room)

    def _is_full(self, *, exactly: bool = False) -> bool:
        if self._least_room() > 0:
            return False
        if not self.tokens and (not exactly or self.run is None):
            return True  # who goes on to wait looks again, exactly
        # A token that is counted and not yet in the queue looks like room. Consumers put one
        # behind their messages every so often: one sender is to be exact.
        with self._lock:
            return not self._exact_room()

    def wake_senders(self) -> None:
        """Wake as many waiting senders as there is room for, once half is free.

        Not one by one: a wake-up costs a hundred times what a put does, and a
        queue that is half empty keeps the consumer busy while they come.
        """
        if self._limit is not None and (messages := self._messages()) <= self.half:
            self._wake(self._limit - messages)

    def wait(self, end: float | None = None) -> Any:
        raw = Lanes.wait(self, end)
        # Who found it full while the consumer was about to wake is not to wait until half
        # of it is free: the consumer had nothing to do, and this may keep it for long.
        if self.senders:
            self.wake_for_room()
        return raw

    def make_way(self, *, slow: bool) -> None:
        """Wake waiting senders, if it is time: a message was taken, and is to be handled."""
        # Where a message takes its time a wake-up is cheap, and half may be far. Tokens do
        # not count: they are seen to only after this message, and that may wait.
        if slow:
            self.wake_for_room()
        elif self.qsize() - len(self.tokens) <= self.half:
            self.wake_senders()

    def wake_for_room(self) -> None:
        """Wake as many waiting senders as there is room for, be it little."""
        if self._limit is not None:
            self._wake(self._limit - self._messages())

    def _wake(self, count: int | None = None) -> None:
        # Never by asking first whether there is anybody: only taking out passes
        # through the lock of the list, by which a sender that has just come is seen,
        # or sees what has just changed.
        try:
            while count is None or count > 0:
                self.senders.pop(0).set()
                count = None if count is None else count - 1
        except IndexError:
            return

    def wake_all(self) -> None:
        """Have all who wait for room look again: there may be some elsewhere."""
        self._wake()
