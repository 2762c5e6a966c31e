"""Items that become many: what belongs together, and the one outcome it has in the end.

Owns the descendants of an item, their count, and how the outcome gets to who waits for
it. It must not know stages: it is told what becomes of a message, and counts.

A *branch* stands in the envelope of each descendant where the future of its item stood.
It is one open place of its *family*; emitting opens another one for each child, and when
the last place is given back the family is over: failed if one descendant failed, else
completed if one leaf was, else dropped. One lock per chain guards all of it, so that the
counts of the chain, its *ledger*, never tell half of something.

A message may go on to another chain, and become many there. Its family there has a root
that stands for one place of the family here; what comes out at its leaves goes to the
one who waits at the very beginning, in the order of paths through both.
"""

from __future__ import annotations

import threading
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, final

from threadsup._exits import Shutdown, WorkerExit
from threadsup._results import Drop, Stop
from threadsup._runtime.pykka_compat import Envelope
from threadsup._runtime.ticket import CREDIT, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.ticket import Kind, Path

    Sink: TypeAlias = Ticket | list[tuple[Path, Any]] | None

__all__ = ["Branch", "Family", "Ledger", "Totals", "branch_of"]

_NOTHING = Drop("it emitted nothing")


class _Settle(Protocol):
    def __call__(
        self, future: Any, value: Any = None, error: BaseException | None = None, /
    ) -> None: ...


class Totals(NamedTuple):
    """The counts of a ledger at one moment."""

    completed: int
    dropped: int
    failed: int
    failed_branches: int
    open_branches: int
    open_families: int
    copies: int


@final
class Ledger:
    """The families of one chain, counted.

    `settle(future, value, error)` settles the future of an item without running code of
    users; it is called without the lock.
    """

    __slots__ = (
        "completed",
        "copies",
        "dropped",
        "failed",
        "failed_branches",
        "lock",
        "open_branches",
        "open_families",
        "settle",
    )

    def __init__(self, settle: _Settle) -> None:
        self.settle = settle
        self.lock = threading.RLock()
        """Guards the counts and all families; never held while anything waits or any
        code of users runs. Re-entrant: a destructor that the collector runs may send
        from within, and what is dropped for it at a bound may be a descendant."""
        self.completed = 0
        """Items that had descendants, one of which came out, and none failed."""
        self.dropped = 0
        """Items that had descendants, none of which came out or failed."""
        self.failed = 0
        """Items that had descendants, one of which failed."""
        self.failed_branches = 0
        """Messages of families that failed or were undelivered."""
        self.open_branches = 0
        """Messages of families that are on their way."""
        self.open_families = 0
        """Items that have become many and are not over."""
        self.copies = 0
        """How often an item was put in once more, for another replica."""

    def add_copies(self, count: int) -> None:
        """Count copies of items."""
        with self.lock:
            self.copies += count

    def snapshot(self) -> Totals:
        """Return the counts of one moment. Never blocks for long."""
        with self.lock:
            return Totals(
                self.completed,
                self.dropped,
                self.failed,
                self.failed_branches,
                self.open_branches,
                self.open_families,
                self.copies,
            )

    def mark_forked(self) -> None:
        """Be free of a lock whose holder does not exist in the child of a fork."""
        self.lock = threading.RLock()


@final
class Family:
    """One item and its descendants. Guarded by the lock of its ledger."""

    __slots__ = (
        "completed",
        "error",
        "failed",
        "here",
        "ledger",
        "open",
        "plain",
        "reply_to",
        "sink",
    )

    def __init__(self, ledger: Ledger, reply_to: Any, sink: Sink) -> None:
        self.ledger = ledger
        self.reply_to = reply_to
        """Whoever is told the outcome: a future, a place in the family of another chain;
        a ticket hears of each leaf instead."""
        self.sink = sink
        """Where the values of leaves go."""
        self.open = 1
        self.here = 1
        """How many of the open places are in this chain: when there are none left it is
        counted, whatever becomes of what has gone on to another one."""
        self.completed = False
        """Whether a leaf came out, or went on to another chain."""
        self.failed = False
        """Whether one failed in this chain."""
        self.error: BaseException | None = None
        """The first one, of whichever chain."""
        self.plain: Any = _NOTHING
        """What the item ended with if it had no descendants after all."""

    def give_back(self) -> None:
        """Give back a place in this chain; with the last one count the outcome.

        With the lock.
        """
        self.here -= 1
        if self.here:
            return
        ledger = self.ledger
        ledger.open_families -= 1
        if self.failed:
            ledger.failed += 1
        elif self.completed:
            ledger.completed += 1
        else:
            ledger.dropped += 1

    def settle(self) -> None:
        """Tell the outcome. Without the lock: it may need that of another chain."""
        reply_to, sink = self.reply_to, self.sink
        if type(reply_to) is Branch:
            reply_to.end(error=self.error, completed=self.completed)
        elif type(sink) is list:
            if self.error is not None:
                self.ledger.settle(reply_to, None, self.error)
            elif self.plain is not _NOTHING:
                self.ledger.settle(reply_to, self.plain)
            else:
                sink.sort(key=itemgetter(0))
                self.ledger.settle(reply_to, [value for _, value in sink])
        self.reply_to = self.error = None


@final
class Branch:
    """A descendant on its way, or the item itself: one place of its family."""

    __slots__ = (
        "_away",
        "_left",
        "_settled",
        "ended",
        "family",
        "inner",
        "issued",
        "parent",
        "path",
        "resume",
        "returned",
        "silent",
    )

    def __init__(self, family: Family, path: Path, parent: Branch | None = None) -> None:
        self.family = family
        self.path = path
        """Where it belongs among the descendants of its item."""
        self.parent = parent
        self.issued = 0
        """How many children it has."""
        self.inner: Branch | None = None
        """The child that is itself becoming several now, in the same hand."""
        self.returned = 0
        """For who iterates: how many of them are through."""
        self.ended = False
        """For who iterates: whether it is known that there will be no more."""
        self.resume: Callable[[], object] | None = None
        """For who iterates: what goes on with its emission, which waits or has waited."""
        self._settled = False
        self._left = False
        """Whether it is no message of this chain."""
        self._away = False
        """Whether it has gone on to another chain."""
        self.silent = False
        """Whether it stands for a family elsewhere, which tells of its leaves itself."""

    # -- for the stage that has it in hand ------------------------------------------

    def child(self) -> Branch:
        """Return the place of its next child. Never blocks for long.

        Raises:
            WorkerExit: it is settled: who would still emit was given up on.
        """
        family = self.family
        ledger = family.ledger
        with ledger.lock:
            if self._settled:
                raise WorkerExit(Shutdown())
            number = self.issued
            child = Branch(family, (*self.path, number), self)
            ledger.open_branches += 1
            family.open += 1
            if self._away:
                child._away = True
            else:
                family.here += 1
            self.issued = number + 1
            sink = family.sink
            # With the lock: nothing is told of a child, or of the end, before this.
            if number == 0 and type(sink) is Ticket:
                sink.returned.put(("opened", sink, self, self.path, None))
        return child

    def may_emit(self, resume: Callable[[], object]) -> bool:
        """Tell whether it may have another child now. Never blocks.

        If not, `resume()` is called once when it may: in the thread that iterates, or
        that closes the stream; it may come before this returns, and after the branch
        was settled by somebody else. If Ctrl-C hits that thread while it calls, it may
        call again.
        """
        sink = self.family.sink
        if type(sink) is not Ticket or self.issued - self.returned < CREDIT:
            return True
        return sink.returned.admit(self, resume)

    def leave(self) -> None:
        """Be no message of this chain: it never was one, or is none any more."""
        ledger = self.family.ledger
        with ledger.lock:
            if not (self._settled or self._left):
                self._left = True
                ledger.open_branches -= 1

    def hand_over(self) -> None:
        """Go on to another chain: for this one that is the end, as a leaf."""
        family = self.family
        with family.ledger.lock:
            self.leave()
            if not (self._settled or self._away):
                self._away = family.completed = True
                family.give_back()

    def graft(self, ledger: Ledger) -> Branch:
        """Return the root of a family in another chain, which is its one child.

        Raises:
            WorkerExit: it is settled.
        """
        place = self.child()
        place.silent = True
        place.leave()
        self.exhausted()
        return _root(Family(ledger, place, self.family.sink), place.path, self)

    # -- its end --------------------------------------------------------------------

    def set(self, value: Any = None) -> None:
        """End as a leaf: with a value, or with the `Drop` or `Stop` it ended at."""
        kind = type(value)
        self.end(value, completed=not (kind is Drop or kind is Stop))

    def set_exception(self, exc_info: tuple[Any, BaseException, Any]) -> None:
        """End as failed; as Pykka's futures, it is given `exc_info`."""
        self.end(error=exc_info[1])

    def exhausted(self) -> None:
        """End as one that has emitted all it will."""
        self.end(_NOTHING)

    def end(
        self, value: Any = None, error: BaseException | None = None, *, completed: bool = False
    ) -> None:
        """End, the first time. Never blocks for long, and runs no code of users."""
        family = self.family
        ledger = family.ledger
        with ledger.lock:
            if self._settled:
                return
            self._settled = True
            # Held until the lock is free: it may be all that holds a user's generator.
            resume, self.resume = self.resume, None
            inner, self.inner = self.inner, None
            if not self._left:
                ledger.open_branches -= 1
                ledger.failed_branches += error is not None
            if not self.silent:
                self._tell(value, error, completed=completed)
            family.completed |= completed
            if family.error is None and error is not None:
                family.error = error
            if not self._away:
                family.failed |= error is not None
                family.give_back()
            family.open -= 1
            over = not family.open
        del resume
        # Given up on in the middle: whoever emits these may never come back to say so.
        left: list[Branch] = []
        while inner is not None:
            left.append(inner)
            inner = inner.inner
        while left:
            left.pop().end(_NOTHING)
        if over:
            family.settle()

    def _tell(self, value: Any, error: BaseException | None, *, completed: bool) -> None:
        """Have who waits for values hear of it."""
        family = self.family
        sink = family.sink
        if type(sink) is Ticket:
            self._tell_stream(sink, value, error, completed=completed)
        elif type(sink) is list:
            if family.error is None and completed:
                path = (*self.path, self.issued) if self.issued else self.path
                sink.append((path, value))
            if self.parent is None and not self.issued:
                family.plain = value

    def _tell_stream(
        self, ticket: Ticket, value: Any, error: BaseException | None, *, completed: bool
    ) -> None:
        put = ticket.returned.put
        kind: Kind = "leaf"
        if error is not None:
            kind, value = "failed", error
        if not self.issued:
            put((kind, ticket, self.parent, self.path, value))
            return
        if error is not None or completed:
            # It was tried again, and then did not emit: that comes behind its children.
            put((kind, ticket, self, (*self.path, self.issued), value))
            self.issued += 1
        put(("closed", ticket, self, self.path, self.issued))
        if self.issued >= CREDIT:
            ticket.returned.forget(self)


def branch_of(raw: Any, ledger: Ledger) -> tuple[Any, Branch]:
    """Return the item in a message, and its place in a family of this ledger.

    Makes the family if there is none: then the message is the root, and in an envelope
    its branch takes the place of who was to be answered, so that whoever settles the
    message from here on settles that. The message must be nobody else's at this moment.

    Raises:
        WorkerExit: the message was settled in another chain.
    """
    if type(raw) is not Envelope:
        return raw, _root(Family(ledger, None, None), ())
    reply_to: Any = raw.reply_to
    if type(reply_to) is Branch:
        if reply_to.family.ledger is ledger:
            return raw.message, reply_to
        branch = reply_to.graft(ledger)
    elif type(reply_to) is Ticket:
        branch = _root(Family(ledger, None, reply_to), reply_to.path)
    else:
        sink: Sink = None if reply_to is None else []
        branch = _root(Family(ledger, reply_to, sink), ())
    raw.reply_to = branch  # type: ignore[assignment]
    return raw.message, branch


def _root(family: Family, path: Path, parent: Branch | None = None) -> Branch:
    """Return the first place of a family, counted."""
    ledger = family.ledger
    with ledger.lock:
        ledger.open_families += 1
        ledger.open_branches += 1
    return Branch(family, path, parent)
