"""From one chain to another: the way that results take, and the door at its end.

Owns how an item gets into a chain that is not the one it comes from, and by which of
several doors. It must not know who links chains, or what for.

Results go over as items of the other chain, one for one: what waits for room there holds
the last stage here, and what the other chain refuses, as it is closed or has ended, is
undelivered there. So no item is in two chains, and none between them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, final

from threadsup._checks import shown
from threadsup._errors import MailboxClosed, UnknownChildError
from threadsup._exits import describe_exception
from threadsup._runtime.inlet import BadKey
from threadsup._runtime.pykka_compat import Envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._cell import Services
    from threadsup._chain.facade import Chain
    from threadsup._exits import ChildId
    from threadsup._runtime.inlet import Inlet

    Route = Callable[[Any], "ChildId | Chain"]

__all__ = ["Door", "Way"]


@final
class Door:
    """The way into another chain, whichever stage is its first one by now."""

    __slots__ = ("_chain", "_services", "_waited")

    def __init__(self, chain: Chain, services: Services) -> None:
        self._chain = chain
        self._services = services
        """Those of the chain that results come from."""
        self._waited: set[Inlet] = set()
        """Where somebody has waited for room: once one, another one where the first
        stage was changed meanwhile."""

    def offer(self, raw: Any) -> bool:
        """Put an item into the chain unless it would have to wait for room. Never blocks.

        One that the chain does not take is undelivered there, and that is all that
        becomes of it.
        """
        return self.prepare(raw)()

    def prepare(self, raw: Any) -> Callable[[], bool]:
        """Return `offer` of this item that runs no code of users any more."""
        inlet = self._chain.inlet
        try:
            put = inlet.prepare(raw, inner=False)
        except BadKey as bad:
            return partial(self._lose_keyless, raw, bad.error)
        return partial(self._put, raw, inlet, put)

    def _put(self, raw: Any, inlet: Inlet, put: Callable[[], bool]) -> bool:
        boxes = inlet.boxes
        try:
            return put()
        except MailboxClosed as closed:
            # Else what it was to be put into has just been removed: there is another one.
            if boxes is not inlet.boxes or inlet is not self._chain.inlet:
                return False
            inlet.lose([raw], str(closed))
            return True

    def _lose_keyless(self, raw: Any, error: BaseException) -> bool:
        if type(raw) is Envelope and isinstance(error, Exception):
            # Before it is lost: who waits gets the error as it is.
            self._services.settle(raw.reply_to, error=error)
        why = f"its key could not be made: {describe_exception(error)}"
        self._chain.inlet.lose([raw], why)
        return True

    def wait_for_room(self, raw: Any, *, give_way: bool = False) -> bool:
        """Wait until it is worth offering again; with `give_way` `False` if asked to stop.

        As a sender, not as a stage before it: to be refused is worth it, too.
        """
        inlet = self._chain.inlet
        self._waited.add(inlet)
        try:
            return inlet.wait_for_room(raw, give_way=give_way, inner=False)
        except BadKey:
            return True  # it fails when it is offered

    def pass_on(self) -> None:
        """Give room to the next in line: for who was woken for it and put nothing there."""
        for inlet in self._waited.copy():
            inlet.pass_on()

    def lose(self, raws: list[Any], why: str) -> None:
        """Take over what was on its way there, as undelivered. Never blocks for long."""
        self._chain.inlet.lose(raws, why)

    def adopt(self, raws: list[Any]) -> None:
        """Have what a replica had made that is no more taken in, room or not.

        In the side thread: the key of an item there is made by code of users, and the
        futures of one that is refused may have callbacks.
        """
        self._services.side.do(lambda: self._chain.inlet.adopt(raws))


@final
class Way:
    """Where results go on to: one chain, or one of several by a function."""

    __slots__ = ("_by", "_doors", "_only")

    def __init__(self, doors: dict[Any, Door], only: Door | None, by: Route | None) -> None:
        self._doors = doors
        """By chain, and by its id if that says which."""
        self._only = only
        self._by = by

    def __call__(self, result: Any, /) -> Door:
        """Return where this one is to go.

        Raises:
            UnknownChildError: the function has named none of the chains.
        """
        if self._only is not None:
            return self._only
        assert self._by is not None
        answer: Any = self._by(result)
        try:
            return self._doors[answer]
        except (KeyError, TypeError):  # of what cannot be hashed
            raise UnknownChildError(f"by returned {shown(answer)}, none of its chains") from None
