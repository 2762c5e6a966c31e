"""A stage without workers: its inlet, and mailboxes that nobody empties but the test.

Owns the making of both, and looking into them. It must not know what is tested with it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tests.helpers import PATIENCE
from threadsup._policy.routing import candidates, stable_hash
from threadsup._runtime.family import Ledger
from threadsup._runtime.inlet import Inlet
from threadsup._runtime.mailbox import Mailbox, Token
from threadsup._runtime.pykka_compat import Envelope, fail, succeed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from threadsup._specs import OnFull

__all__ = [
    "EVERY",
    "SPREAD",
    "Stage",
    "keyed",
    "keys_of",
    "make_room",
    "message_of",
    "nothing",
]

SPREAD = ("round_robin", "random", "least_loaded")
EVERY = (*SPREAD, "partition", "broadcast")


def settle(future: Any, value: Any = None, error: BaseException | None = None) -> None:
    if error is None:
        succeed(future, value)
    else:
        fail(future, error)


class Stage:
    """The inlet of a stage and its mailboxes."""

    def __init__(
        self,
        routing: str = "round_robin",
        count: int = 2,
        capacity: int | None = 1,
        on_full: OnFull = "wait",
        key: Callable[[Any], Any] = lambda item: item[0],
        chances: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.ledger = Ledger(settle)
        self.lost: list[tuple[Any, str]] = []
        self.picked: Callable[[], object] = lambda: None
        self._routing, self._chances = routing, chances
        self._how: Any = (capacity, on_full)
        place_of = None if routing != "partition" else lambda item: stable_hash(key(item))
        self.inlet = Inlet("stage", routing, self.ledger, pick=self._pick, place_of=place_of)
        self.inlet.on_full = on_full
        self.boxes = tuple(self.box() for _ in range(count))
        self.inlet.link(self.boxes, self.boxes)

    def box(self) -> Mailbox:
        capacity, on_full = self._how
        return Mailbox("box", capacity, on_full, self._lose)

    def _lose(self, raws: list[Any], why: str) -> None:
        self.lost += [(message_of(raw), why) for raw in raws]

    def _pick(self, count: int, turn: int, load: Callable[[int], float]) -> Iterator[int]:
        self.picked()
        return candidates(self._routing, count, random=self._chances, position=turn, load=load)

    def fill(self) -> None:
        """Fill every mailbox up."""
        for box in self.boxes:
            box.adopt(["full"] * (box.capacity or 0))

    def sorted_out(self) -> None:
        """Wait until nothing is sorted any more by a thread of its own."""
        for thread in threading.enumerate():
            if thread.name == "threadsup-stage-keys":
                thread.join(PATIENCE)
                assert not thread.is_alive()

    def hold(self) -> list[list[Any]]:
        """Return what is in each mailbox, and leave it there."""
        self.sorted_out()
        found = [box.take_out() for box in self.boxes]
        for box, raws in zip(self.boxes, found, strict=True):
            box.adopt(raws)
        return [[message_of(raw) for raw in raws if type(raw) is not Token] for raws in found]


def message_of(raw: Any) -> Any:
    return raw.message if type(raw) is Envelope else raw


def nothing() -> None:
    """Do what is to be done when a mark is lost: here, nothing."""


def make_room(box: Mailbox) -> None:
    """Take one out, as its consumer would."""
    box.get(timeout=5)
    box.wake_senders()


def keys_of(stage: Stage, item: Any) -> int:
    """Return to which replica the key of an item belongs."""
    return stable_hash(item[0]) % len(stage.boxes)


def keyed(stage: Stage) -> list[tuple[int, str]]:
    """Return one item for each replica, by key."""
    items = {keys_of(stage, (n, "")): (n, "item") for n in range(50)}
    return [items[at] for at in range(len(stage.boxes))]
