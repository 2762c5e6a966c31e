"""What travels with an item of a stream, and the place where its results come back.

Owns the way from many stages to the one thread that iterates, and the credit of
items that become many. It must not know stages or their order: who iterates sorts.

Nothing on this way takes a lock of ours, and nothing polls. What comes back is
appended to a deque. Who takes registers a wake-up first and looks into the deque
then; who puts appends first and looks for a wake-up then. Credit is the same figure:
who emits registers first and looks for credit then, who gives credit back counts first
and looks for somebody registered then. Both looks pass through the lock of the deque,
or of the dict, so one sees the other.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final

from threadsup._runtime.context import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.family import Branch

__all__ = ["CREDIT", "GIVEN_BACK", "Event", "Kind", "Path", "Returned", "Ticket"]

Kind: TypeAlias = Literal["opened", "leaf", "failed", "closed"]
Path: TypeAlias = tuple[int, ...]
Event: TypeAlias = "tuple[Kind, Ticket, Branch | None, Path, Any]"
"""What happened to an item that became many, and when a ticket has come back failed. A
branch has opened, or has closed with so many children; a child of it, or with `None` the
item itself, has ended with a value or an error. A branch opens before anything is told
of its children, and after it has closed nothing is told of it any more."""

CREDIT = 64
"""How many children of one emission may be on their way, or held back for the order."""

GIVEN_BACK = CREDIT // 2
"""After how many children that are through an emission that waits is resumed. Fewer than
the credit: the children of one that waits always reach the next multiple of it."""


@final
class Returned:
    """What has come back of one stream; any thread puts, one takes, resumes and closes."""

    __slots__ = ("_closed", "_resuming", "_suspended", "events", "waiters")

    def __init__(self) -> None:
        self.events: deque[Ticket | Event] = deque()
        """Tickets settled with a value, and whatever else happened to an item."""
        self.waiters: list[Wakeup] = []
        """Who takes, while it sleeps or is about to; who puts takes it out to wake it, for
        it is not to be woken again by each that comes before it runs."""
        self._suspended: dict[Branch, Callable[[], object]] = {}
        """The emissions that wait for credit. Who takes one out calls it: so once."""
        self._resuming: Branch | None = None
        """The one that is taken out now. It may be neither here nor called when Ctrl-C
        comes; then it is called when the stream is closed, rather twice than never."""
        self._closed = False

    def put(self, event: Ticket | Event) -> None:
        """Put what has happened. Never blocks."""
        self.events.append(event)
        if self.waiters:
            self.wake()

    def wake(self) -> None:
        """Wake who takes. Never blocks."""
        with suppress(IndexError):  # somebody else was first
            self.waiters.pop().set()

    def take(self) -> Ticket | Event:
        """Take the next. Blocks; a worker that is asked to stop leaves it."""
        try:
            return self.events.popleft()
        except IndexError:
            pass
        while True:
            waiter = Wakeup()
            self.waiters.append(waiter)
            try:
                return self.events.popleft()
            except IndexError:
                waiter.wait()
            finally:
                self.waiters.clear()

    # -- credit ---------------------------------------------------------------------

    def admit(self, branch: Branch, resume: Callable[[], object]) -> bool:
        """Tell whether it may emit, or is to wait until `resume()`. Never blocks."""
        branch.resume = resume
        self._suspended[branch] = resume
        if not self._closed and branch.issued - branch.returned >= CREDIT:
            return False
        # There is credit, or has been since. Who takes it out has the say.
        return self._suspended.pop(branch, None) is not None

    def resume(self, branch: Branch) -> None:
        """Resume an emission if it waits: there is credit for it. Never blocks."""
        self._resuming = branch
        resume = self._suspended.pop(branch, None)
        if resume is not None:
            resume()
        self._resuming = None

    def forget(self, branch: Branch) -> None:
        """Let go of an emission that has ended, if it waits."""
        self._suspended.pop(branch, None)

    def close(self) -> None:
        """Let go of what comes, now and later, and resume every emission that waits.

        Who comes to wait meanwhile is either found here, or sees that it is closed.
        """
        self._closed = True
        self.events = deque(maxlen=0)
        try:
            interrupted, self._resuming = self._resuming, None
            if interrupted is not None and (resume := interrupted.resume) is not None:
                resume()
            while waiting := self._suspended.copy():
                for branch in waiting:
                    self.resume(branch)
        except BaseException:
            self.close()  # Ctrl-C: who waits behind is not to wait for ever
            raise


@final
class Ticket:
    """What stands in an envelope for the answer, and comes back when there is one.

    It is settled through `set` or `set_exception`, as a future would be, or, if the
    item became many, by what happens to its descendants; see `family`. It gives one
    outcome whatever comes back again: for that no lock is needed, as one thread takes.
    """

    __slots__ = ("number", "returned", "value")

    def __init__(self, number: int, returned: Returned) -> None:
        self.number: int | None = number
        """At which place of the stream. For who takes: negative once the item has become
        many, `None` once the ticket itself has come back."""
        self.returned = returned
        self.value: Any

    @property
    def path(self) -> Path:
        """The path of the item, as the root of its descendants."""
        return (-1 if self.number is None else self.number,)

    def settle(self, value: Any = None) -> None:
        """Come back with a value. Never blocks."""
        self.value = value
        returned = self.returned  # as in `put`, which is a call dearer, for every item
        returned.events.append(self)
        if returned.waiters:
            returned.wake()

    set = settle
    """As Pykka's futures call it."""

    def set_exception(self, exc_info: tuple[Any, BaseException, Any]) -> None:
        """Come back with an error; as Pykka's futures, it is given `exc_info`."""
        self.returned.put(("failed", self, None, self.path, exc_info[1]))
