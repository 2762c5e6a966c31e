"""A backlog for each worker: tasks of one key go to one worker, in order.

Owns which worker a key belongs to, and the moving of keys when the number of workers
changes. It must not know what a task is, but for its key.

Everything here is done under one lock, the taking too: to move a key it must be known
who has a task of it in hand, also in the moment between the queue and the hand. A key
that moves while its task is in hand must not begin at the new place before that is over.
So the new place as a whole waits for that task: `Lane.waits_for`.

A worker that was abandoned in a task is not waited for: what it still does counts for
nothing, and its key goes on.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, final

from threadsup._policy.routing import partition
from threadsup._pool.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from threadsup._pool.backlog import Seat
    from threadsup._pool.work import Work

__all__ = ["Lane", "Partition"]


@final
class Lane(Backlog):
    """The backlog of one worker."""

    __slots__ = ("_lock", "_partition", "in_hand", "waits_for")

    def __init__(
        self,
        name: str,
        capacity: int | None,
        *,
        waits: bool,
        is_own: Callable[[], bool],
        partition: Partition,
    ) -> None:
        super().__init__(name, capacity, waits=waits, is_own=is_own)
        self._partition = partition
        self._lock = partition.lock
        self.in_hand: Work | None = None
        """What its worker has taken and not finished."""
        self.waits_for: set[Work] = set()
        """What others have in hand of keys that belong here now."""
        self.take = self._take

    def _take(self) -> Work:
        with self._lock:
            self.release()
            if self.waits_for:
                raise IndexError
            self.in_hand = work = self.queue.popleft()
        return work

    def release(self) -> None:
        """Note that the worker has nothing in hand; who waited for that goes on."""
        with self._lock:
            work, self.in_hand = self.in_hand, None
            if work is not None:
                self._partition.over(work)

    def sit_down(self, seat: Seat) -> bool:
        """Stand in the line of the idle; return `False` if there is something to do."""
        with self._lock:
            self.release()
            self.idle.append(seat)
            return not self.queue or bool(self.waits_for)

    def leave(self, last: Work | None) -> None:
        """Leave for good: nobody is to wait for what was in hand."""
        with self._lock:
            # Else it is what the next life of this worker has taken.
            if self.in_hand is last:
                self.release()


@final
class Partition:
    """The lanes of a pool, and which of them a key belongs to."""

    def __init__(self, make: Callable[..., Lane], count: int) -> None:
        self.lock = threading.RLock()
        """Guards the lanes and what is in hand; never held while anything waits. Re-entrant:
        what the collector destroys may submit something."""
        self._make = make
        self.lanes = tuple(make(partition=self) for _ in range(count))
        self._leaving: list[Lane] = []
        """Those whose worker is to go, and may have something in hand still."""

    def lane_of(self, key: object) -> Lane:
        """Return where a task of this key goes.

        Raises:
            TypeError: no key can be of that type.
        """
        lanes = self.lanes
        return lanes[next(partition(len(lanes), key))]

    def put(self, work: Work) -> None:
        """Add a task at the place of its key; blocks and raises as `Backlog.put`."""
        while True:
            lane = self.lane_of(work.key)
            lane.wait_for_room()
            with self.lock:
                if self.lane_of(work.key) is lane:
                    lane.add(work)
                    return
                # Its key has moved meanwhile.

    def bring_back(self, work: Work) -> None:
        """Add one that was accepted before, whatever the bound. Never blocks."""
        with self.lock:
            self.lane_of(work.key).bring_back(work)

    def give_back(self, work: Work, lane: Lane) -> None:
        """Put one that a worker took and did not begin in front of its key. Never blocks.

        Where the key belongs now: the worker may be on its way out, and its lane with it.
        """
        with self.lock:
            if lane.in_hand is work:
                lane.release()
            self.lane_of(work.key).give_back(work)

    def over(self, work: Work) -> None:
        """Note that a task is in hand no more."""
        for lane in (*self.lanes, *self._leaving):
            if work in lane.waits_for:
                lane.waits_for.discard(work)
                lane.wake()

    def another(self) -> Lane:
        """Return a lane for a worker that is to come; it gets nothing until `settle`."""
        return self._make(partition=self)

    def settle(self, lanes: Sequence[Lane]) -> None:
        """Have these lanes and no others; what waits goes where it belongs now.

        What is in hand stays there, and its key waits for it. Never blocks for long.
        """
        with self.lock:
            before = (*self.lanes, *(lane for lane in self._leaving if lane.in_hand is not None))
            # In order within each, and all of one key are in one of them.
            waiting = [work for lane in before for work in lane.take_out()]
            self._leaving = [lane for lane in before if lane not in lanes]
            self.lanes = tuple(lanes)
            for lane in (*before, *lanes):
                lane.waits_for.clear()
            for old in before:
                work = old.in_hand
                if work is not None and (lane := self.lane_of(work.key)) is not old:
                    lane.waits_for.add(work)
            for work in waiting:
                self.lane_of(work.key).bring_back(work)
            for lane in self.lanes:
                lane.wake_all()
