"""The replicas of a stage: which of them a message belongs to, and what one leaves.

Owns the table of their mailboxes, the order of preference among them, the keys, the
copies, and the gate that is closed while keys move. It must not know senders, nor what
is done where there is no room.

Nothing is asked upward: `boxes` is a tuple that is replaced and never changed.
"""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any

from threadsup._results import Drop
from threadsup._runtime.family import branch_of
from threadsup._runtime.lanes import plain
from threadsup._runtime.mailbox import Token
from threadsup._runtime.pykka_compat import Envelope, succeed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from threadsup._exits import ChildId
    from threadsup._runtime.context import Wakeup
    from threadsup._runtime.family import Ledger
    from threadsup._runtime.mailbox import Mailbox

    Pick = Callable[[int, int, Callable[[int], float]], Iterator[int]]

__all__ = ["BadKey", "Replicas"]


class BadKey(Exception):  # noqa: N818 - not for users: they get what it carries
    """The key function failed, or returned what is no key."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class Replicas:
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
        """Whether nothing is let in: the replicas of a partition are being changed, or
        what is in limbo is being sorted."""
        self.limbo: list[Any] = []
        """What was accepted before, and has to be given to whom it belongs."""
        self._held = False
        """Whether the gate is to stay closed."""
        self._sorting = False
        """Whether a thread of its own is giving out what is in limbo."""
        self._shift = 0
        """How often the gate was opened: what was sorted before one may be wrong."""
        self._at_gate: list[Wakeup] = []
        self._when_sorted: list[Callable[[], None]] = []

    def pass_on(self) -> None:
        """Give room to the next in line: for who was woken for it and put nothing there."""
        for box in self.boxes:
            box.pass_on()

    def lose(self, raws: list[Any], why: str) -> None:
        """Take over what was on its way here, as undelivered. Never blocks for long."""
        self.boxes[0].lose(raws, why)

    # -- picking --------------------------------------------------------------------

    def _in_turn(self) -> Iterator[Mailbox]:
        """Yield the replicas that serve, in order of preference, and then the others."""
        boxes = self._serving
        for at in self._pick(len(boxes), self._turn, lambda at: boxes[at].load):
            self._turn = at + 1
            yield boxes[at]
        if len(boxes) != len(self.boxes):
            yield from (box for box in self.boxes if box not in boxes)

    def _key_of(self, raw: Any) -> int:
        assert self._place_of is not None
        try:
            return self._place_of(raw.message if type(raw) is Envelope else raw)
        except BaseException as error:
            # Whatever it is: who hands on has the item in no hand, and must not leave.
            raise BadKey(error) from error

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
        with self._lock:
            self.limbo += raws
            self._sort()

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

    # -- changing a partition -------------------------------------------------------

    def close_gate(self) -> None:
        """Let nothing in. Never blocks for long."""
        with self._lock:
            self._held = self.gated = True

    def open_gate(self, raws: Sequence[Any] = ()) -> None:
        """Let messages in again, by the replicas as they are now, as soon as may be.

        Before all that come these, which the replicas had queued, and what came
        meanwhile. Never blocks for long: where there is any, it is sorted by a thread of
        its own, as keys are code of users.
        """
        with self._lock:
            self.limbo = [*raws, *self.limbo]
            self._shift += 1
            self._held = False
            self._sort()

    def when_sorted(self, call: Callable[[], None]) -> None:
        """Have `call()` called, once, when nothing is in limbo that may be sorted.

        Here, if that is so now, or in the thread that sorts. It must never block.
        """
        with self._lock:
            if self._sorting:
                self._when_sorted.append(call)
                return
        call()

    def put_mark(self, box: Mailbox, token: Token) -> bool:
        """Put a token behind what is queued for a replica, here or in limbo; see `put_token`."""
        if self._place_of is None:
            return box.put_token(token)
        with self._lock:
            if not self._sorting or self._held:
                return box.put_token(token)
            self.limbo.append(token)
        return True

    def _sort(self) -> None:
        """See to it that limbo is sorted, if it may be, and the gate opened then."""
        if self._held or self._sorting:
            return
        if not self.limbo:
            self._let_in()
            return
        self._sorting = self.gated = True
        parts = self.id if isinstance(self.id, tuple) else (self.id,)
        name = f"threadsup-{'/'.join(map(str, parts))}-keys"
        run = contextvars.Context().run  # as every thread of the library
        try:
            threading.Thread(target=run, args=(self._sort_limbo,), name=name, daemon=True).start()
        except RuntimeError:  # "can't start new thread"
            self._sort_limbo()

    def _sort_limbo(self) -> None:
        while True:
            with self._lock:
                batch, shift = self.limbo.copy(), self._shift
                over = self._is_held() or not batch
                if over:
                    self._sorting = False
                    self._sort()
                    calls, self._when_sorted = self._when_sorted, []
            if over:
                for call in calls:
                    call()
                return
            places = [self._place(raw) for raw in batch]  # code of a user: without the lock
            with self._lock:
                if shift == self._shift and not self._is_held():
                    del self.limbo[: len(batch)]
                    self._put_in_place(batch, places)

    def _is_held(self) -> bool:
        return self._held

    def _let_in(self) -> None:
        self.gated = False
        for wakeup in self._at_gate.copy():
            wakeup.set()


def _messages(raws: list[Any]) -> list[Any]:
    return [raw for raw in raws if type(raw) is not Token]
