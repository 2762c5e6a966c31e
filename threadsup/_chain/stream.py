"""A stream through a chain: items pulled in, results handed out, memory bounded.

Owns `map`: what is pulled when, what is held back for the order, what becomes of an item
that failed. It must not know stages: an item goes in with a ticket, and what becomes of
it comes back.

At most `window` items are on their way or held back at once, and of each emission as
many values as it has credit. So items are pulled as fast as the chain finishes and the
results are taken, and no faster. Results come first: no item is pulled while there is
something to give out, for the iterable may take its time.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from threadsup._policy.reorder import Reorder
from threadsup._results import Drop, Stop
from threadsup._runtime.pykka_compat import Envelope
from threadsup._runtime.ticket import GIVEN_BACK, Event, Path, Returned, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from threadsup._runtime.family import Branch

__all__ = ["Errors", "stream"]

Errors: TypeAlias = Literal["raise", "skip", "return"]

_NOTHING: Any = object()


def stream(
    items: Iterable[Any],
    *,
    offer: Callable[[Any], bool],
    put: Callable[[Any], None],
    window: int,
    ordered: bool = True,
    errors: Errors = "raise",
) -> Generator[Any, None, None]:
    """Return a generator of what becomes of the items; nothing is pulled before its start.

    Args:
        items: What is pulled from, in the thread that iterates.
        offer: Puts a message into the chain, or returns `False`: there is no room now.
        put: Puts one, and blocks while there is no room.
        window: How many items may be on their way or held back.
        ordered: Whether results come in the order of the items.
        errors: What an item that failed does: `"raise"` ends the stream, `"skip"` gives
            nothing, `"return"` gives the exception.

    Raises:
        ValueError: one of the options is none of these.
        TypeError: there is no iterating over the items.
    """
    if errors not in get_args(Errors):
        raise ValueError(f"errors must be 'raise', 'skip' or 'return', not {errors!r}")
    if type(ordered) is not bool:
        raise ValueError(f"ordered must be True or False, not {ordered!r}")
    if type(window) is not int or window < 1:
        raise ValueError(f"window must be a whole number, 1 or more, not {window!r}")
    made = _Stream(iter(items), offer, put, window, errors)
    return made.run(Reorder() if ordered else _AsTheyCome())


class _AsTheyCome:
    """What `Reorder` is to a stream whose results come as they finish."""

    __slots__ = ("number", "ready")

    def __init__(self) -> None:
        self.ready: deque[Ticket | Event] = deque()
        self.number = -1

    def put(self, path: Path, value: Ticket | Event) -> None:  # noqa: ARG002
        self.ready.append(value)

    def step(self) -> None:
        """Do nothing: nothing is held back."""

    def opened(self, path: Path) -> None:
        """Do nothing: there is no order."""

    def closed(self, path: Path, children: int) -> None:
        """Do nothing: there is no order."""


class _Stream:
    """One run of `map`. All of it but what the tickets do is in the thread that iterates."""

    __slots__ = (
        "_errors",
        "_exhausted",
        "_failed",
        "_failure",
        "_in_flight",
        "_items",
        "_number",
        "_offer",
        "_put",
        "_raw",
        "_returned",
        "_window",
    )

    def __init__(
        self,
        items: Iterator[Any],
        offer: Callable[[Any], bool],
        put: Callable[[Any], None],
        window: int,
        errors: Errors,
    ) -> None:
        self._items = items
        self._offer = offer
        self._put = put
        self._window = window
        self._errors = errors
        self._returned = Returned()
        self._number = 0
        """Of the next item."""
        self._in_flight = 0
        """How many items went in and are not through."""
        self._raw: Envelope[Any] | None = None
        """The item that was pulled and found no room."""
        self._exhausted = False
        """Whether there is nothing more to pull."""
        self._failure: Exception | None = None
        """What pulling or putting ended with: it is raised behind what went in before."""
        self._failed: set[Ticket] = set()
        """Items that gave an error and are not through: they give nothing more."""

    def run(self, order: Reorder[Ticket | Event] | _AsTheyCome) -> Generator[Any, None, None]:
        """Give out results until there are no more, or one is an error to raise."""
        returned, ready, ordered = self._returned, order.ready, type(order) is Reorder
        events = returned.events
        event: Ticket | Event | None = None
        value = None
        try:
            while True:
                if events:
                    event = events.popleft()
                else:
                    event = value = None  # who waits keeps nobody's result alive
                    self._feed()
                    if not self._in_flight:
                        break
                    event = returned.take()
                if (
                    type(event) is Ticket
                    and (number := event.number) is not None
                    and (number == order.number if ordered else number >= 0)
                ):  # what most items are: one value, at its turn
                    event.number = None
                    order.step()
                    self._in_flight -= 1
                    value = event.value
                    kind = type(value)
                    if kind is not Drop and kind is not Stop:
                        yield value
                else:
                    self._sort(event, order)
                while ready:
                    value = self._through(ready.popleft())
                    if value is not _NOTHING:
                        yield value
            self._raise_failure()
        finally:
            # What is raised holds this frame, which must not hold it in turn.
            event = value = None
            ready.clear()
            self._close()

    def _feed(self) -> None:
        """Put items in until something comes back, or there is no room for more.

        Blocks: in the iterable; and for room, while nothing of this stream is on its way
        whose end would make some.
        """
        returned, events, window = self._returned, self._returned.events, self._window
        items, offer, raw = self._items, self._offer, self._raw
        try:
            while self._in_flight < window:
                if raw is None:
                    if self._exhausted:
                        return
                    try:
                        item = next(items)
                    except StopIteration:
                        self._exhausted = True
                        return
                    number = self._number
                    self._number = number + 1
                    raw = Envelope(item, Ticket(number, returned))  # type: ignore[arg-type]
                if not offer(raw):
                    self._raw = raw
                    if self._in_flight:
                        return
                    self._put(raw)
                self._raw = raw = None
                self._in_flight += 1
                if events:
                    return
        except Exception as error:  # noqa: BLE001 - of the iterable, or the chain takes no more
            self._failure = error
            self._raw = None
            self._exhausted = True

    # -- what has come back ---------------------------------------------------------

    def _sort(self, event: Ticket | Event, order: Reorder[Ticket | Event] | _AsTheyCome) -> None:
        """Bring it to its place; what comes of an item that has come back is ignored."""
        if type(event) is Ticket:
            if event.number is not None and event.number >= 0:
                path, event.number = event.path, None
                order.put(path, event)
            return
        kind, ticket, branch, path, value = event
        number = ticket.number
        if number is None:
            return
        if branch is None or (branch.parent is None and kind == "opened"):
            if number < 0:
                return
            ticket.number = None if branch is None else -1 - number
        if kind == "opened":
            order.opened(path)
        elif kind == "closed":
            order.put((*path, value), event)  # behind the last child: then all are through
            order.closed(path, value + 1)
        else:
            order.put(path, event)

    def _through(self, event: Ticket | Event) -> Any:
        """Count what is through; return what it gives, if anything."""
        if type(event) is Ticket:
            self._in_flight -= 1
            value = event.value
            return _NOTHING if type(value) is Drop or type(value) is Stop else value
        kind, ticket, branch, _, value = event
        if kind == "closed":
            assert branch is not None
            branch.ended = True
            if branch.returned == branch.issued:
                self._count_through(branch.parent, ticket)
            return _NOTHING
        silent = ticket in self._failed
        if kind == "failed":
            self._failed.add(ticket)
        self._count_through(branch, ticket)
        if silent or type(value) is Drop or type(value) is Stop:
            return _NOTHING
        if kind == "failed" and self._errors != "return":
            if self._errors == "skip":
                return _NOTHING
            try:
                raise value
            finally:
                del event, value
        return value

    def _count_through(self, branch: Branch | None, ticket: Ticket) -> None:
        """Count a child of the branch, or the item itself, as through."""
        while branch is not None:
            branch.returned += 1
            if branch.returned % GIVEN_BACK == 0:
                self._returned.resume(branch)
            if not (branch.ended and branch.returned == branch.issued):
                return
            branch = branch.parent
        self._in_flight -= 1
        self._failed.discard(ticket)

    # -- the end --------------------------------------------------------------------

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure

    def _close(self) -> None:
        """Let go of everything; what is on its way goes on, and gives nothing."""
        self._exhausted = True
        self._items = iter(())
        self._raw = self._failure = None
        self._failed.clear()
        self._returned.close()
