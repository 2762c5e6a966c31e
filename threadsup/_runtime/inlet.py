"""How messages get into a stage, and who waits for room in it.

Owns what is done for a sender: the put, what happens at the bound, and the waiting for
room in any of several mailboxes. It must not know what a stage does, or how many
replicas it ought to have.

With one replica, and no copies to be made, the mailbox's own methods stand in for those
here, so that a stage without replicas pays nothing for what it does not have.

| routing                                | at the bound                                      |
| -------------------------------------- | ------------------------------------------------- |
| `random` `round_robin` `least_loaded`  | a full replica is passed over, and one that is down |
| `partition`                            | waits for its own: any other would break the order  |
| `broadcast`                            | waits until there is room in all                    |

A sender that picked by a tuple of replicas that is replaced in this moment puts into a
mailbox that is closed, and picks again; what it put there in the same moment the heir of
that mailbox gets. Only with `partition` would that be too late for the order, so there a
pick and the put that follows are one step, under a lock, and while the replicas change
nothing is let in.
"""

from __future__ import annotations

import random
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, final

from threadsup._errors import CallingSelfError, MailboxClosed, MailboxFull
from threadsup._runtime.context import Wakeup, current
from threadsup._runtime.mailbox import Mailbox
from threadsup._runtime.replicas import BadKey, Replicas

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId
    from threadsup._runtime.family import Ledger
    from threadsup._runtime.replicas import Pick

__all__ = ["BadKey", "Inlet", "chance"]

chance = random.Random().random
"""The dice of `random`; nobody's but this library's."""


@final
class Inlet(Replicas):
    """The mailboxes of one stage, as one thing to send to."""

    def __init__(
        self,
        id: ChildId,
        routing: str,
        ledger: Ledger,
        *,
        pick: Pick,
        place_of: Callable[[Any], int] | None = None,
    ) -> None:
        super().__init__(id, routing, ledger, pick=pick, place_of=place_of)
        self.put: Callable[..., None]
        """`put(raw, timeout=None)`: see `_put`. This and the next two are looked up for
        every item: on an instance, where nothing of the class stands in the way."""
        self.offer: Callable[[Any], bool]
        """`offer(raw)`: see `_offer`."""
        self.hand_on: Callable[[Any], bool]
        """`hand_on(raw)`: see `_hand_on`."""
        self.sole: Mailbox | None = None
        """The one mailbox there is, if that is all, and it waits where it is full."""
        self._use_own()

    def _use_own(self) -> None:
        self.put, self.offer, self.hand_on = self._put, self._offer, self._hand_on

    def link(self, boxes: tuple[Mailbox, ...], serving: tuple[Mailbox, ...]) -> None:
        """Send to these from now on; who waits looks again. Never blocks for long."""
        old, self._serving, self.boxes = self.boxes, serving or boxes, boxes
        # A partition never: one replica has its gate, and its keys are checked.
        plain = len(boxes) == 1 and self.routing != "broadcast" and self._place_of is None
        plain = plain and not self.watched
        if plain:
            (box,) = boxes
            self.put, self.offer, self.hand_on = box.put, box.offer, box.hand_on
        else:
            self._use_own()
        self.sole = boxes[0] if plain and boxes[0].waits else None
        for box in boxes:
            box.elsewhere = None if plain else self._put
        for box in old:
            if box not in boxes or len(boxes) != len(old):
                box.wake_all()

    # -- for senders ----------------------------------------------------------------

    def _put(self, raw: Any, timeout: float | None = None) -> None:
        """Put a message; as `Mailbox.put`, into one replica or all.

        Raises:
            MailboxFull: no room, at once or in time.
            MailboxClosed: the stage takes nothing.
        """
        end = None if timeout is None else monotonic() + timeout
        waited = False
        try:
            while not self.offer(raw):
                if self.on_full == "raise":
                    raise MailboxFull(f"stage {self.id!r} is full")
                waited = True
                left = None if end is None else end - monotonic()
                self.wait_for_room(raw, left)
        finally:
            # Woken and gone elsewhere, or not at all: the room is somebody else's.
            if waited:
                self.pass_on()

    def put_nowait(self, raw: Any) -> None:
        """Put a message. Never blocks.

        Raises:
            MailboxFull: there is no room, and it does not drop.
            MailboxClosed: the stage takes nothing.
        """
        if not self.offer(raw):
            raise MailboxFull(f"stage {self.id!r} is full")

    def _offer(self, raw: Any) -> bool:
        """Put a message unless it would have to wait for room. Never blocks.

        Raises:
            MailboxClosed: the stage takes nothing.
            BadKey: see there.
        """
        if self.routing == "broadcast":
            return self._offer_all(raw)
        if self._place_of is not None:
            return self._into_own(raw, Mailbox.offer)
        while True:
            boxes, refused = self.boxes, 0
            for box in self._in_turn():
                try:
                    if box.admit(raw):
                        if self.alarm is not None and box.qsize() >= self.mark:
                            self._sound()
                        return True
                except MailboxClosed:
                    refused += 1
            if refused < len(boxes):
                self._sound()
                return self._at_bound(raw)
            if boxes is self.boxes:
                return boxes[0].offer(raw)  # refused again, and says why

    def _hand_on(self, raw: Any) -> bool:
        """Put what the stage before has made, unless there is no room: shut or not.

        See `Mailbox.hand_on`.

        Raises:
            BadKey: see there.
        """
        try:
            return self.offer(raw)
        except MailboxClosed:
            if self.routing == "broadcast":
                return self._hand_on_all(raw)
            if self._place_of is not None:
                return self._into_own(raw, Mailbox.hand_on)
            return self._hand_on_any(raw)

    def hand_on_all(self, raws: list[Any]) -> int:
        """Put as many of these as there is room for, in order; return how many."""
        sole = self.sole
        if sole is not None:
            return sole.hand_on_all(raws)
        for taken, raw in enumerate(raws):
            if not self.hand_on(raw):
                return taken
        return len(raws)

    def room(self, enough: int) -> int:
        """Return for how many messages there is room; see `Mailbox.room`."""
        sole = self.sole
        return 1 if sole is None else sole.room(enough)

    # -- at the bound ---------------------------------------------------------------

    def _at_bound(self, raw: Any) -> bool:
        """Do what `on_full` says when every replica is full."""
        if self.on_full in {"wait", "raise"}:
            return False
        for box in self._in_turn():
            with suppress(MailboxClosed):
                return box.offer(raw)  # drops, here or there
        return False

    def _hand_on_any(self, raw: Any) -> bool:
        """Keep it for the next incarnation of any replica that has room."""
        boxes = [box for box in self._in_turn() if not box.is_closed]
        if not boxes:
            return self.boxes[0].hand_on(raw)
        return any(box.hand_on(raw) for box in boxes)

    def prepare(self, raw: Any, *, inner: bool = True) -> Callable[[], bool]:
        """Return `hand_on` of this message, or `offer`, that runs no code of users any more.

        Raises:
            BadKey: see there.
        """
        if self._place_of is None:
            return partial(self.hand_on if inner else self.offer, raw)
        put = Mailbox.hand_on if inner else Mailbox.offer
        return partial(self._into_place, raw, self._key_of(raw), put)

    def _into_own(self, raw: Any, put: Callable[[Mailbox, Any], bool]) -> bool:
        return self._into_place(raw, self._key_of(raw), put)  # code of a user: before the lock

    def _into_place(self, raw: Any, place: int, put: Callable[[Mailbox, Any], bool]) -> bool:
        with self._lock:
            if self.gated:
                if put is Mailbox.offer and not any(box.is_open for box in self.boxes):
                    raise self.boxes[0].refusal()
                return False
            box = self.boxes[place % len(self.boxes)]
            taken = put(box, raw)
        if self.alarm is not None and (not taken or box.qsize() >= self.mark):
            self._sound()
        return taken

    def _offer_all(self, raw: Any) -> bool:
        boxes = self.boxes
        if not any(box.is_open for box in boxes):
            raise boxes[0].refusal()
        return self._hand_on_all(raw)

    def _hand_on_all(self, raw: Any) -> bool:
        waits = self.on_full in {"wait", "raise"}
        if waits and not all(box.admits(inner=True) for box in self.boxes):
            return False
        self._put_all(raw)
        return True

    # -- waiting --------------------------------------------------------------------

    def wait_for_room(
        self,
        raw: Any,
        timeout: float | None = None,
        *,
        give_way: bool = False,
        inner: bool | None = None,
    ) -> bool:
        """Wait until it is worth offering again; with `give_way` `False` if asked to stop.

        Who has waited calls `pass_on` when it is done, whatever became of it. `inner`,
        as `give_way` unless given: whether to wait also where it is only shut.

        Raises:
            MailboxFull: not within `timeout` seconds.
            CallingSelfError: who waits is one of those who are to make room.
        """
        inner = give_way if inner is None else inner
        wakeup = Wakeup()
        boxes = self.boxes
        wanted = self._wanted(raw, boxes)
        # Registered, then looked, as with one mailbox.
        for box in wanted:
            box.senders.append(wakeup)
        self._at_gate.append(wakeup)
        try:
            if self._admits(wanted, inner=inner) or self.boxes is not boxes:
                return True
            context = current()
            if context is not None and any(context.home is box for box in boxes):
                raise CallingSelfError(f"{self.id!r} would wait for room in its own stage")
            end = None if timeout is None else monotonic() + timeout
            if wakeup.wait(timeout, give_way=give_way):
                return True
            if self._admits(wanted, inner=inner):
                return True
            if give_way and (end is None or monotonic() < end):
                return False
            raise MailboxFull(f"no room for a message to {self.id!r} in time")
        finally:
            for box in wanted:
                with suppress(ValueError):  # taken out to be woken
                    box.senders.remove(wakeup)
            with suppress(ValueError):
                self._at_gate.remove(wakeup)

    def _wanted(self, raw: Any, boxes: tuple[Mailbox, ...]) -> tuple[Mailbox, ...]:
        """Return whose room it needs: any of these, or, with `broadcast`, all."""
        if self._place_of is None:
            return boxes
        try:
            return (boxes[self._key_of(raw) % len(boxes)],)
        except BadKey as bad:
            if current() is None and not isinstance(bad.error, Exception):
                raise  # Ctrl-C, most likely
            return ()  # it had a key when it was offered; who offers it again finds out

    def _admits(self, wanted: tuple[Mailbox, ...], *, inner: bool) -> bool:
        """Tell whether to put it now would do anything but say that there is no room.

        Exactly that: else the one who waits goes round and round.
        """
        if not wanted:
            return True
        if self.gated:
            return not (inner or any(box.is_open for box in self.boxes))
        if self._place_of is not None:
            return wanted[0].admits(inner=inner)
        takes = [box for box in wanted if box.is_open]
        if not takes and not inner:
            return True  # to be refused
        if self.routing == "broadcast":
            return all(box.admits(inner=True) for box in wanted)
        # Of those that are shut none is waited for as long as another one is open.
        takes = takes or [box for box in wanted if not box.is_closed]
        return not takes or any(box.admits(inner=True) for box in takes)
