"""Links: who ends with whom, across scopes and across trees.

Owns the links of one worker and what an end on the other side means for it. It must
not know who restarts whom: a worker that is asked to end by a link has ended by itself
as far as its scope is concerned, with the reason of the other one.

A link belongs to two incarnations. Each side has it in a table of its own, and the
entry there is the claim to one notice: whoever takes it out, the notice when it comes,
`unlink`, or the worker's own end, has decided what becomes of it. So there is one notice
or none, and none after `unlink` has returned.

The races, of a worker that links itself to one that ends meanwhile:

* The linker's entry is made first, the other one's second, and that one only while the
  incarnation is the same and alive. Either the other one's end finds an entry, and then
  the linker's is there for the notice; or it has ended, and the linker is told at once.
* No lock is held while another one is taken, so that two who link each other at once,
  or end at once, never wait for each other.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeAlias, final

from threadsup._exits import Abandoned, Crashed, ExitReason, Normal, WorkerExit
from threadsup._policy.protocol import Overdue
from threadsup._runtime.clock import monotonic

if TYPE_CHECKING:
    from threadsup._cell import Cell
    from threadsup._services import Services

__all__ = ["Links"]

_LINKED = "linked to "

_End: TypeAlias = "tuple[Links, int]"
"""A worker and one of its incarnations."""


@final
class Links:
    """The links of one worker, whichever of its lives it is in."""

    __slots__ = ("_alive", "_cell", "_ends", "_limit", "_lock", "_number", "_paid", "_services")

    def __init__(self, cell: Cell, services: Services) -> None:
        self._cell = cell
        self._services = services
        self._lock = threading.Lock()
        """Guards the next three, which change together."""
        self._number = 0
        self._alive = False
        self._ends: dict[_End, None] = {}
        self._paid = 0
        """The incarnation whose restart goes with one that was decided before."""
        self._limit = _Limit(self)

    # -- the worker's ---------------------------------------------------------------

    def link(self, number: int, ref: object) -> None:
        """Link this incarnation to the present one of another worker. Never blocks for long.

        Raises:
            TypeError: `ref` is no `WorkerRef`.
            WorkerExit: the other one is not alive, and this one ends with that.
        """
        other = _links_of(ref)
        if other is self:
            return
        there = other.present()
        if there is not None and self.add(number, (other, there)):
            if other.add(there, (self, number)):
                return
            self.remove(number, (other, there))
        raise WorkerExit(Crashed(f"{_LINKED}{other.why_not()}"))

    def unlink(self, number: int, ref: object) -> None:
        """Take away the link of this incarnation to another worker, if there is one.

        Raises:
            TypeError: `ref` is no `WorkerRef`.
        """
        other = _links_of(ref)
        with self._lock:
            found = [end for end in self._ends if end[0] is other] if number == self._number else []
            for end in found:
                del self._ends[end]
        for _, there in found:
            other.remove(there, (self, number))

    # -- the supervisor's thread's --------------------------------------------------

    def begin(self, number: int) -> None:
        """Note that an incarnation begins, which has no links yet."""
        with self._lock:
            self._number, self._alive, self._ends = number, True, {}

    def end(self, number: int, reason: ExitReason, *, restarts: bool) -> None:
        """Note that an incarnation is over, and tell those it is linked to.

        Several of one scope count as one end there: the first costs budget, unless it
        is the scope of this one, which has paid for it already if it `restarts`.
        """
        self._limit.set(None)
        with self._lock:
            if not self._alive or number != self._number:
                return
            self._alive = False
            ends, self._ends = self._ends, {}
        decided: set[object] = {self._cell.scope} if restarts else set()
        passed = _passed_on(reason, self._cell.address)
        for other, there in ends:
            if passed is None:
                other.remove(there, (self, number))
                continue
            scope = other.scope
            other.tell((there, (self, number), passed, scope in decided))
            decided.add(scope)

    @property
    def scope(self) -> object:
        """The scope whose decision it is what follows from its end."""
        return self._cell.scope

    def tell(self, what: tuple[int, _End, ExitReason, bool]) -> None:
        """Have it asked to end because of a link. From any thread.

        By its own supervisor, be it of another tree. If that has ended nobody is left who
        could be told.
        """
        self._services.post(self._ask_to_end, what)

    def _ask_to_end(self, what: tuple[int, _End, ExitReason, bool]) -> None:
        number, end, reason, paid = what
        if not self.remove(number, end):
            return  # it was unlinked, or is over itself
        life = self._cell.life
        if life is None or life.number != number or life.token.asked:
            return  # given up on, or about to end anyway
        if paid:
            self._paid = number
        by = monotonic() + self._cell.spec.shutdown
        life.ask_to_stop(reason, by)
        self._limit.set(by)

    def overdue(self) -> None:
        """Give up a worker that was asked to end and has not. For its limit only."""
        cell, life = self._cell, self._cell.life
        if life is not None and life.number == self._number:
            reason = Abandoned(cell.spec.shutdown, life.doing)
            cell.scope.take(Overdue(cell.id, life.number, reason))

    def is_paid(self, number: int) -> bool:
        """Return whether the restart of this incarnation goes with one decided before."""
        return self._paid == number

    def set_timer(self, at: float | None) -> None:
        """Have `overdue` called then; for its limit only."""
        self._services.set_timer(self._limit, None, 0, at)

    def mark_forked(self) -> None:
        """Be free of a lock whose holder does not exist in the child of a fork."""
        self._lock = threading.Lock()

    # -- the table ------------------------------------------------------------------

    def present(self) -> int | None:
        """Return its incarnation if it is alive. From any thread, as the next two."""
        with self._lock:
            return self._number if self._alive else None

    def why_not(self) -> str:
        """Return in words why there is no linking to it."""
        why = "is not alive" if self._number else "was not started"
        return f"{self._cell.address!r}, which {why}"

    def add(self, number: int, end: _End) -> bool:
        """Enter a link of this incarnation, if it is alive; return whether it is."""
        with self._lock:
            same = self._alive and self._number == number
            if same:
                self._ends[end] = None
            return same

    def remove(self, number: int, end: _End) -> bool:
        """Take a link of this incarnation out; return whether it was there."""
        with self._lock:
            if self._number != number or end not in self._ends:
                return False
            del self._ends[end]
            return True


@final
class _Limit:
    """The one timer of a worker that a link has asked to end."""

    __slots__ = ("_links", "_set")

    def __init__(self, links: Links) -> None:
        self._links = links
        self._set = False

    def set(self, at: float | None) -> None:
        if at is not None or self._set:
            self._set = at is not None
            self._links.set_timer(at)

    def take(self, deadline: object) -> None:  # noqa: ARG002 - there is only one
        """Say that the time is up."""
        self._links.overdue()


def _links_of(ref: object) -> Links:
    links: Any = getattr(getattr(ref, "_keeper", None), "links", None)
    if type(links) is not Links:
        raise TypeError(f"ref: must be the WorkerRef of a child, not a {type(ref).__name__}")
    return links


def _passed_on(reason: ExitReason, address: object) -> ExitReason | None:
    """Return the reason the other end is to end with, `None` if it is not to.

    What crashed first stays named, however many links it has passed.
    """
    match reason:
        case Normal():
            return None
        case Crashed(error):
            if error.startswith(_LINKED):
                return reason
            return Crashed(f"{_LINKED}{address!r}, which {reason}", reason.trace)
        case Abandoned():
            return Crashed(f"{_LINKED}{address!r}, which was {reason}")
        case _:
            return reason
