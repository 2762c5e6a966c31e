"""Where the results of a stage go: the next stage, or the end of the chain.

Owns the handing on of results, and what is left of it when a worker stops in the
middle: results that found no room, and emissions that are not through. It must not
know chains, nor what makes results: it is given the next stage's inlet, or sinks.

An outlet outlives the incarnations of its replica. A result that finds no room waits
in it, and if its worker is asked to stop meanwhile, the next incarnation hands it on
before it takes anything new. No result is handed on twice and none is left behind,
though two incarnations, one of them given up on, may be at it: both do it under one
lock, which is held while nothing waits, and who was given up on puts nothing in.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from threadsup._exits import describe_exception
from threadsup._runtime.inlet import BadKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.actor import Life
    from threadsup._runtime.emission import Emission
    from threadsup._runtime.family import Ledger
    from threadsup._runtime.inlet import Inlet
    from threadsup._runtime.mailbox import Token
    from threadsup._runtime.ready import Ready

__all__ = ["Door", "Onward", "Outlet"]


class Door(Protocol):
    """What is handed on to: the next stage, or another chain."""

    def offer(self, raw: Any) -> bool:
        """Put a message unless it would have to wait for room. Never blocks."""

    def prepare(self, raw: Any) -> Callable[[], bool]:
        """Return what puts it, made and kept as it is, unless there is no room.

        Code of users may run in this, not in what it returns: that never blocks.
        """

    def wait_for_room(self, raw: Any, *, give_way: bool = False) -> bool:
        """Wait until it is worth offering again; `False` if asked to stop."""

    def pass_on(self) -> None:
        """Give room to the next in line: for who was woken for it and put nothing there."""

    def adopt(self, raws: list[Any]) -> None:
        """Take in what was kept by a replica that is no more, room or not."""

    def lose(self, raws: list[Any], why: str) -> None:
        """Take over what was on its way there, as undelivered."""


class Onward(Protocol):
    """Where the results of a whole chain go on to: another chain."""

    def __call__(self, result: Any, /) -> Door:
        """Return where this one is to go. Code of users may run in it."""


class Outlet:
    """Where one replica of a stage hands on its results."""

    def __init__(
        self,
        ledger: Ledger,
        next_inlet: Inlet | None,
        on_result: Callable[[Any], object] | None,
        pass_token: Callable[[Token], None],
    ) -> None:
        self.ledger = ledger
        self.next = next_inlet
        """The next stage; `None`: this is the last one."""
        self.on_result = on_result
        """What the last stage calls with each result, in its own thread."""
        self.taps: tuple[Callable[[Any], object], ...] = ()
        """Called with each result as well, whatever they raise."""
        self.onward: Onward | None = None
        """Of a last stage: which other chain a result goes on to."""
        self.pass_token = pass_token
        """Told of a token that has come through the replica. Never blocks."""
        self.suspended: deque[Emission] = deque()
        """Emissions that wait for their turn, or for the next incarnation. Adding and
        taking out are atomic: who takes one out goes on with it."""
        self.ready: Ready | None = None
        """What the present life hands on together, if it does."""
        self._closed = False
        """Whether the replica has ended for good: nobody goes on with anything here."""
        self._outbox: deque[tuple[Any, Door, bool]] = deque()
        """Results, each with where it goes, and whether that is in this chain."""
        self._lock = threading.Lock()
        """Guards `_outbox`; taken only when there was no room, and once in a life."""

    @property
    def has_sinks(self) -> bool:
        """Whether end results are given to anybody but those who wait for them."""
        return self.on_result is not None or self.onward is not None or bool(self.taps)

    @property
    def kept(self) -> int:
        """How many results wait to be handed on within the chain."""
        while True:
            try:
                kept = tuple(self._outbox)
            except RuntimeError:
                continue  # it has just changed: a deque is copied item by item
            ready = self.ready
            made = 0 if ready is None else ready.waiting
            return made + sum(within for _, _, within in kept)

    def keep(self, result: Any, inlet: Door, life: Life, *, within: bool = True) -> bool:
        """Keep a result that found no room; return `False` for one given up on.

        The lock orders this against the next incarnation's first look, and against
        `take_out`. Both come after the fence: either they find the result here, or the
        fence is seen here.
        """
        with self._lock:
            if not life.fenced:
                self._outbox.append((result, inlet, within))
            return not life.fenced

    def first(self) -> tuple[Any, Door] | None:
        """Return the first of what is kept, if there is any, and where it is to go."""
        with self._lock:
            return self._outbox[0][:2] if self._outbox else None

    def hand_on(self) -> bool:
        """Hand on the first of what is kept; return whether that is all. Never blocks."""
        with self._lock:
            first = self._outbox[0] if self._outbox else None
        if first is None:
            return True
        result, inlet, _ = first
        try:
            put = inlet.prepare(result)  # code of a user may run in it: without the lock
        except BadKey as bad:  # it had one when it was kept
            put, why = None, f"its key could not be made: {describe_exception(bad.error)}"
        with self._lock:
            if self._outbox and self._outbox[0] is first:  # else the other of two lives did it
                if put is None:
                    inlet.lose([result], why)
                if put is None or put():
                    self._outbox.popleft()
            return not self._outbox

    def suspend(self, emission: Emission) -> bool:
        """Set an emission aside; return `False` if nobody would ever go on with it.

        One that was given up on may come late: after its replica has ended for good.
        """
        with self._lock:
            if not self._closed:
                self.suspended.append(emission)
            return not self._closed

    def open(self) -> None:
        """Take what is set aside again: the replica is started again."""
        with self._lock:
            self._closed = False

    def take_out(self) -> list[tuple[Any, Door]]:
        """Take out what is kept: the replica has ended for good."""
        with self._lock:
            self._closed = True
            left = [(result, inlet) for result, inlet, _ in self._outbox]
            self._outbox.clear()
        ready = self.ready
        if ready is not None:
            left += [(result, ready.inlet) for result in ready.take()]
        return left
