"""What waits to be done, and who has nothing to do.

Owns a queue of tasks, its bound, the line of idle workers, and the end of accepting. It
must not know what a task is, nor what becomes of it.

Nobody is assigned a task: whoever is free takes the next one, so that none waits behind
a long one while a worker is idle. An idle worker stands in `idle`, with what wakes it: the
same that its mailbox wakes it with, so that a signal reaches it as well. The figure has two
steps on each side:

    sender   queue.append(task);  look at idle
    worker   idle.append(me);     look at the queue

Both pass through the locks of the two deques. Either the sender sees the worker, and
wakes it; or the worker sees the task. A sender takes the worker it wakes out of the line,
so a burst wakes each idle worker once and no more: who is awake looks into the queue
before it sleeps again. A worker that leaves instead passes its wake-up on.

Accepting ends as a mailbox's does (see there): a sender looks at `_push` before and after.
If it has changed meanwhile, the sender takes its task out again and is refused; and if it
cannot find it, somebody has it, who sees to it.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from itertools import repeat
from operator import call
from typing import TYPE_CHECKING, Any, TypeAlias

from threadsup._errors import CallingSelfError, MailboxFull
from threadsup._runtime.context import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from threadsup._pool.work import Work

__all__ = ["Backlog", "Seat"]


Seat: TypeAlias = "Callable[[None], None]"
"""Wakes an idle worker: the `put` of its bell, as in `threadsup._runtime.lanes`."""


class Backlog:
    """A queue that any number of workers take from."""

    __slots__ = (
        "_capacity",
        "_enqueue",
        "_is_own",
        "_name",
        "_push",
        "_refusal",
        "_waits",
        "_wake_one",
        "closed",
        "half",
        "idle",
        "queue",
        "senders",
        "take",
        "why",
    )

    def __init__(
        self, name: str, capacity: int | None, *, waits: bool, is_own: Callable[[], bool]
    ) -> None:
        self._name = name
        self._capacity = capacity
        self._waits = waits
        self._is_own = is_own
        """Tells whether the calling thread is one of those that take from here."""
        self.queue: deque[Work] = deque()
        self.take: Callable[[], Work] = self.queue.popleft
        """Take the next task. Raises `IndexError` where there is none."""
        self.idle: deque[Seat] = deque()
        # `idle.pop()(None)`, the last, for what it needs is still warm. In one C call:
        # Ctrl-C in between would leave a worker asleep that nobody can find.
        self._wake_one = map(call, iter(self.idle.pop, None), repeat(None)).__next__
        self.senders: deque[Wakeup] = deque()
        """Who waits for room; a worker looks at it after each task it has taken."""
        self.half = 0 if capacity is None else capacity // 2
        """At how many tasks, or fewer, those are woken."""
        self._enqueue = self.queue.append
        self._refusal = self._refuse
        self._push: Callable[[Work], None] = self._enqueue
        self.closed = False
        """Whether nothing is accepted any more."""
        self.why: Callable[[], BaseException] = RuntimeError
        """Makes what senders are told then."""

    # -- for senders ----------------------------------------------------------------

    def put(self, work: Work) -> None:
        """Add a task. Blocks: at the bound, if the pool waits there.

        Raises:
            MailboxFull: there is no room.
            CallingSelfError: one of those who are to make room would wait for it.
            BaseException: nothing is accepted any more.
        """
        capacity = self._capacity
        if capacity is not None and len(self.queue) >= capacity:
            self.wait_for_room()
        push = self._push
        try:
            push(work)
        finally:  # Ctrl-C may come in between, with the task in and nobody to look
            if self._push is not push:
                self._late(work)
            if self.idle:
                self.wake()

    def put_all(self, works: Sequence[Work]) -> None:
        """Add tasks; as `put`, one by one where there is a bound.

        Raises as `put`; those before the one that was refused are in.
        """
        if self._capacity is not None:
            for work in works:
                self.put(work)
            return
        push = self._push
        if push is self._refusal:
            raise self.why()
        try:
            self.queue.extend(works)
        finally:
            if self._push is not push:
                self._late(*works)
            for _ in range(min(len(works), len(self.idle))):
                self.wake()

    def add(self, work: Work) -> None:
        """Add a task whatever the bound. Never blocks; raises as `put`, but for the bound."""
        self._push(work)
        self.wake()

    def bring_back(self, work: Work) -> None:
        """Add one that was accepted before, whatever the bound. Never blocks."""
        self._enqueue(work)
        self.wake()

    def give_back(self, work: Work) -> None:
        """Put one that was taken and not begun to the front. Never blocks."""
        self.queue.appendleft(work)
        self.wake()

    def _refuse(self, work: Work) -> None:  # noqa: ARG002 - stands in for append
        raise self.why()

    def _late(self, *works: Work) -> None:
        """Take back what was added while accepting ended."""
        found = False
        for work in works:
            with suppress(ValueError):  # somebody has it: a worker, or who ended it
                self.queue.remove(work)
                found = True
        if found:
            raise self.why()

    def wait_for_room(self) -> None:
        """Wait for room, if there is none; blocks and raises as `put`."""
        if self._has_room():
            return  # or nothing is accepted any more: the put that follows says why
        if not self._waits:
            raise MailboxFull(f"{self._name} has {self._capacity} tasks waiting: no room")
        if self._is_own():
            raise CallingSelfError(
                f"a task of {self._name} would wait for room in its own pool: "
                "submit less from within, or leave the capacity out"
            )
        woken = Wakeup()
        try:
            while True:
                self.senders.append(woken)
                # In the line first, then looked: see `threadsup._runtime.bound`.
                self.queue.rotate(0)
                if self._has_room():
                    return
                woken.wait()
                woken = Wakeup()
        finally:
            with suppress(ValueError):
                self.senders.remove(woken)
            # Woken and not coming, or room for more: the next one is to look.
            if self.senders and self._has_room():
                self.wake_senders(1)

    def _has_room(self) -> bool:
        capacity = self._capacity
        return capacity is None or len(self.queue) < capacity or self._push is self._refusal

    # -- for workers ----------------------------------------------------------------

    def sit_down(self, seat: Seat) -> bool:
        """Stand in the line of the idle; return `False` if there is something to do."""
        self.idle.append(seat)
        self.queue.rotate(0)  # passes through its lock: from here on it is no old look
        return not self.queue

    def get_up(self, seat: Seat) -> None:
        """Stand in the line no more, if it was not called out of it."""
        try:
            self.idle.remove(seat)
        except ValueError:
            return

    def leave(self, last: Work | None) -> None:  # noqa: ARG002
        """Leave for good: a wake-up that came for what is left here is for another.

        `last` is what was taken last.
        """
        if self.queue:
            self.wake()

    def wake(self) -> None:
        """Wake one that is idle, if there is one. Never blocks."""
        try:
            self._wake_one()
        except IndexError:
            return

    def wake_all(self) -> None:
        """Wake all that are idle: there may be nothing to wait for any more."""
        self.idle.rotate(0)  # as above: who comes into the line later sees why
        for _ in range(len(self.idle)):  # who lies down again has looked meanwhile
            self.wake()

    def wake_senders(self, count: int | None = None) -> None:
        """Wake those who wait for room, as many as there is room for."""
        capacity = self._capacity
        if count is None:
            count = len(self.senders) if capacity is None else capacity - len(self.queue)
        for _ in range(count):
            try:
                woken = self.senders.popleft()
            except IndexError:
                return
            woken.set()

    # -- for who administers it -----------------------------------------------------

    def close(self, why: Callable[[], BaseException]) -> None:
        """Accept nothing any more; what is in stays. Never blocks."""
        self.why = why
        self._push = self._refusal
        self.closed = True
        self.senders.rotate(0)  # as in `wake_all`
        self.wake_senders(len(self.senders))
        self.wake_all()

    def take_out(self) -> list[Work]:
        """Take out all that wait. Never blocks."""
        works: list[Any] = []
        with suppress(IndexError):
            while True:
                works.append(self.queue.popleft())
        self.wake_senders()
        return works

    def __len__(self) -> int:
        return len(self.queue)
