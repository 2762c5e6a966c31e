"""How messages get into a stage: to which of its replicas.

Owns the mailboxes of one stage as one thing to send to, and the waiting for room in
any of them. It must not know what a stage does, or how many replicas it ought to have.

Nothing is asked upward on the way: `boxes` is a tuple that is replaced and never
changed. With one replica, and no copies to be made, the mailbox's own methods stand in
for those here, so that a stage without replicas pays nothing for what it does not have.

| routing                                | at the bound                                      |
| -------------------------------------- | ------------------------------------------------- |
| `random` `round_robin` `least_loaded`  | a full replica is passed over, and one that is down |
| `partition`                            | waits for its own: any other would break the order  |
| `broadcast`                            | waits until there is room in all                    |

A sender that picked by a tuple that is replaced in this moment puts into a mailbox
that is closed, and picks again; what it put there in the same moment the heir of that
mailbox gets. Only with `partition` would that be too late for the order, so there a
pick and the put that follows are one step, under a lock, and while the replicas change
nothing is let in.
"""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, final

from threadsup._errors import CallingSelfError, MailboxClosed, MailboxFull
from threadsup._results import Drop
from threadsup._runtime.context import Wakeup, current
from threadsup._runtime.family import branch_of
from threadsup._runtime.lanes import plain
from threadsup._runtime.mailbox import Mailbox, Token
from threadsup._runtime.pykka_compat import Envelope, succeed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from threadsup._exits import ChildId
    from threadsup._runtime.family import Ledger

    Pick = Callable[[int, int, Callable[[int], float]], Iterator[int]]

__all__ = ["BadKey", "Inlet"]

chance = random.Random().random
"""The dice of `random`; nobody's but this library's."""


class BadKey(Exception):  # noqa: N818 - not for users: they get what it carries
    """The key function failed, or returned what is no key."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


@final
class Inlet:
    """The mailboxes of one stage."""

    def __init__(
        self,
        id: ChildId,
        routing: str,
        ledger: Ledger,
        *,
        pick: Pick,
        place_of: Callable[[Any], int] | None = None,
    ) -> None:
        self.id = id
        self.routing = routing
        self._ledger = ledger
        self._pick = pick
        """`pick(count, turn, load)`: the replicas in order of preference."""
        self._place_of = place_of
        """With `partition`: a number that depends on the item's key alone."""
        self.on_full = "wait"
        self.boxes: tuple[Mailbox, ...] = ()
        """One per replica, in order. Never empty once linked."""
        self._serving: tuple[Mailbox, ...] = ()
        """Those of them whose worker runs, or all, if none does."""
        self._turn = 0
        """Where `round_robin` goes on. Two senders may hold the same: no harm."""
        self._lock = threading.RLock()
        """Of a `partition`: guards which replica a key belongs to. Re-entrant: a signal
        handler, or a destructor that the collector runs, may send from within."""
        self.watched = False
        """Whether somebody may want to know of a queue that is long: by an `alarm`."""
        self.alarm: Callable[[], None] | None = None
        """Called, once, by who finds a mailbox at the `mark`, or no room."""
        self.mark = 1
        self.gated = False
        """Whether nothing is let in: the replicas of a partition are being changed."""
        self.limbo: list[Any] = []
        """What was accepted before, and comes while nothing is let in."""
        self._at_gate: list[Wakeup] = []
        self.put: Callable[..., None]
        """`put(raw, timeout=None)`: see `_put`. This and the next two are looked up for
        every item: on an instance, where nothing of the class stands in the way."""
        self.offer: Callable[[Any], bool]
        """`offer(raw)`: see `_offer`."""
        self.hand_on: Callable[[Any], bool]
        """`hand_on(raw)`: see `_hand_on`."""
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

    def pass_on(self) -> None:
        """Give room to the next in line: for who was woken for it and put nothing there."""
        for box in self.boxes:
            box.pass_on()

    def lose(self, raws: list[Any], why: str) -> None:
        """Take over what was on its way here, as undelivered. Never blocks for long."""
        self.boxes[0].lose(raws, why)

    # -- from those who are no more -------------------------------------------------

    def adopt(self, raws: list[Any]) -> None:
        """Take in what was accepted elsewhere: room or not, shut or not.

        What a replica of the stage before had made, or a stage that was removed had
        queued. A token is put behind all of it.
        """
        if self.routing == "broadcast":
            for raw in _messages(raws):
                self._put_all(raw)
            self._put_tokens(raws)
        else:
            self._spread(raws)

    def inherit(self, raws: list[Any]) -> None:
        """Take over what a replica of this stage had that is no more; as `adopt`."""
        if self.routing == "broadcast":
            for raw in _messages(raws):
                # Its siblings have theirs, and this was for nobody else.
                self._ledger.add_copies(-1)
                message = plain(raw)
                if type(message) is Envelope:
                    succeed(message.reply_to, Drop("its replica was removed"))
            self._put_tokens(raws)
        else:
            self._spread(raws)

    def _spread(self, raws: list[Any]) -> None:
        if self._place_of is None:
            for raw in _messages(raws):
                next(iter(self._in_turn())).adopt([raw])
            self._put_tokens(raws)
            return
        places = [self._place(raw) for raw in raws]  # code of a user: before the lock
        with self._lock:
            if self.gated:
                self.limbo += raws
            else:
                self._put_in_place(raws, places)

    def _put_in_place(self, raws: list[Any], places: list[int]) -> None:
        boxes = self.boxes
        for raw, place in zip(raws, places, strict=True):
            if type(raw) is not Token:
                boxes[place % len(boxes)].adopt([raw])
        self._put_tokens(raws)

    def _place(self, raw: Any) -> int:
        try:
            return 0 if type(raw) is Token else self._key_of(plain(raw))
        except BadKey:
            return 0  # it had a key when it was accepted

    def _put_tokens(self, raws: list[Any]) -> None:
        boxes = self.boxes
        for token in raws:
            if type(token) is Token:
                copies = [token] if token.split is None else token.split(len(boxes))
                for box, copy in zip(boxes, copies, strict=False):
                    box.adopt([copy])
        if self.alarm is not None and any(box.qsize() >= self.mark for box in boxes):
            self._sound()

    # -- picking --------------------------------------------------------------------

    def _in_turn(self) -> Iterator[Mailbox]:
        """Yield the replicas that serve, in order of preference, and then the others."""
        boxes = self._serving
        for at in self._pick(len(boxes), self._turn, lambda at: boxes[at].load):
            self._turn = at + 1
            yield boxes[at]
        if len(boxes) != len(self.boxes):
            yield from (box for box in self.boxes if box not in boxes)

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

    def _key_of(self, raw: Any) -> int:
        assert self._place_of is not None
        try:
            return self._place_of(raw.message if type(raw) is Envelope else raw)
        except BaseException as error:
            # Whatever it is: who hands on has the item in no hand, and must not leave.
            raise BadKey(error) from error

    def _into_own(self, raw: Any, put: Callable[[Mailbox, Any], bool]) -> bool:
        place = self._key_of(raw)  # code of a user: before the lock
        with self._lock:
            if self.gated:
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

    def _put_all(self, raw: Any) -> None:
        """Put a copy into each: descendants of one item, as many as there are replicas."""
        boxes = self.boxes
        branch: Any
        value, branch = branch_of(raw, self._ledger)
        copies = [Envelope(value, branch.child()) for _ in boxes]
        self._ledger.add_copies(len(boxes) - 1)
        branch.exhausted()
        for box, copy in zip(boxes, copies, strict=True):
            if self.on_full in {"wait", "raise"}:
                box.adopt([copy])
            elif not box.hand_on(copy):
                box.lose([copy], "dropped at the bound")

    def _sound(self) -> None:
        """Set off the alarm, if there is one.

        Who takes it away calls it, always: it may be another one by then, which somebody
        has just set and relies on.
        """
        alarm = self.alarm
        if alarm is not None:
            self.alarm = None
            alarm()

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
            return False
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

    # -- changing a partition -------------------------------------------------------

    def close_gate(self) -> None:
        """Let nothing in. Never blocks for long."""
        with self._lock:
            self.gated = True

    def open_gate(self, raws: Sequence[Any] = ()) -> None:
        """Let messages in again, by the replicas as they are now; wake who waits.

        Before all that come these, which the replicas had queued, and what came
        meanwhile.
        """
        queued = list(raws)
        places = [self._place(raw) for raw in queued]
        while True:
            with self._lock:
                late, self.limbo = self.limbo, []
                if not late:
                    self._put_in_place(queued, places)
                    self.gated = False
                    break
            queued += late
            places += [self._place(raw) for raw in late]  # code of a user: without the lock
        for wakeup in self._at_gate.copy():
            wakeup.set()


def _messages(raws: list[Any]) -> list[Any]:
    return [raw for raw in raws if type(raw) is not Token]
