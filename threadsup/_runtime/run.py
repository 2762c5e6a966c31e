"""Messages of one life that were taken together, and how far it has got with them.

Owns the batch and what has become of its messages. It must not know what handles them,
nor where results go.

Where there is a backlog, to take and count messages one by one is most of what they
cost. So several are taken at once, and what has become of them is one list: the message
at the same place of the batch is done, once there is something. That `append` is the only
thing that is written for a message. It counts it, it takes it out of the hand, and it
decides a race with a fence:

    worker   handle;  made.append(result)
    fence    fenced = True;  kept = made.copy();  take the rest out of the batch

Both pass through the lock of the list, or the GIL. Either the result is in the copy, and
counts; or it is not, and the message has failed: what is appended later is read by nobody.

A batch that is done goes on: what is taken next comes behind it, in the same lists. It is
begun anew where it has become long, and for who is idle, who is to keep nothing alive.

What is not begun is still in the mailbox, beside its queue: it takes a place there, and is
given back when the worker is to stop or is given up on. Who takes something out of the
batch, or cuts it off, does so under a lock of the life, which nobody needs for a message
that simply passes. For the one moment between two messages the next of them counts as in
hand: a fence that comes just then fails a message that was not begun.
"""

from __future__ import annotations

from itertools import repeat, starmap
from typing import TYPE_CHECKING, Any, final

from threadsup._runtime.lanes import Token

if TYPE_CHECKING:
    from collections import deque
    from threading import Lock

    from threadsup._runtime.bound import Bounded

__all__ = ["Run"]

_NO_ARGUMENTS: tuple[()] = ()


@final
class Run:
    """One batch. Made and gone through by the thread of the life, cut off by a fence."""

    __slots__ = (
        "apart",
        "batch",
        "before",
        "begun",
        "kept",
        "lock",
        "lost",
        "made",
        "places",
        "sent",
    )

    def __init__(self, lock: Lock, before: int = 0) -> None:
        self.lock = lock
        """The life's: guards what is taken out of the batch."""
        self.before = before
        """How many messages of the life were done in batches before this one."""
        self.batch: list[Any] = []
        self.made: list[Any] = []
        """What the first messages of the batch have become, in order."""
        self.sent = 0
        """How many of these have been handed on."""
        self.kept: list[Any] | None = None
        """Those that count, once the life is given up on."""
        self.lost = 0
        """Messages that were in hand then: one or none."""
        self.apart = False
        """Whether none of the batch is in hand, though there is a next one."""
        self.places = 0
        """How many places are set aside for it in the mailbox; written under its lock."""
        self.begun = 0
        """How many were done when these were."""

    # -- for the thread of the life -------------------------------------------------

    def fill(self, mailbox: Bounded, count: int) -> None:
        """Take up to so many more out of the queue; what it has is done. Never blocks for long."""
        if mailbox.capacity is None:
            self.take(mailbox.queue, count)
        else:
            mailbox.take_batch(self, count)

    def take(self, queue: deque[Any], count: int) -> None:
        """Take them, and nothing else. For the mailbox."""
        with self.lock:  # else a fence that comes now would not find them
            if self.kept is None:
                # In C, one by one: what came before the queue was found empty is in the batch.
                try:  # noqa: SIM105 - dearer than the taking
                    self.batch.extend(starmap(queue.popleft, repeat(_NO_ARGUMENTS, count)))
                except IndexError:
                    pass

    def next(self) -> Run:
        """Return an empty one, to go on with; this one is done."""
        return Run(self.lock, self.done)

    def drop(self) -> bool:
        """Take the next message out; return `False` if a fence was first."""
        with self.lock:
            if self.kept is not None:
                return False
            del self.batch[len(self.made)]
            return True

    def take_rest(self) -> list[Any]:
        """Take out what is not done, in order; nothing if a fence was first."""
        with self.lock:
            return [] if self.kept is not None else self._take_rest(len(self.made))

    def counts(self, place: int) -> bool:
        """Return whether what was made for this place of the batch counts."""
        with self.lock:
            return self.kept is None or len(self.kept) > place

    # -- for others ------------------------------------------------------------------

    def cut(self) -> tuple[list[Any], list[Any]]:
        """Let nothing count that is made from now on; return what was in hand, and the rest."""
        with self.lock:
            self.kept = self.made.copy()
            rest = self._take_rest(len(self.kept))
            # A token that is next was not begun, and is in nobody's hand.
            is_begun = rest and not self.apart and type(rest[0]) is not Token
            hand = rest[:1] if is_begun else []
            self.lost = len(hand)
        return hand, rest[len(hand) :]

    def release(self, mailbox: Bounded) -> None:
        """Give the places back: the batch is done, or the rest of it is elsewhere."""
        if self.places:
            mailbox.release(self)

    @property
    def results(self) -> list[Any]:
        """What counts of what was made."""
        kept = self.kept
        return self.made if kept is None else kept

    @property
    def done(self) -> int:
        """How many messages of the life are done, this batch and those before."""
        return self.before + len(self.results)

    @property
    def in_hand(self) -> int:
        """How many messages are in hand: one or none."""
        if self.apart:
            return 0
        try:
            return int(type(self.batch[len(self.results)]) is not Token)
        except IndexError:
            return 0

    @property
    def waiting(self) -> int:
        """How many messages and tokens are taken and neither begun nor done."""
        return max(0, len(self.batch) - len(self.results) - self.in_hand)

    @property
    def spare(self) -> int:
        """How many places are reserved for messages that have left them already."""
        return max(0, self.places - self.waiting)

    def _take_rest(self, done: int) -> list[Any]:
        rest = self.batch[done:]
        del self.batch[done:]
        return rest
