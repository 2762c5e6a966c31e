"""How an item of a stage becomes several, and how each goes on.

Owns the pulling of an emission value by value, and the handing on with its wait for
room. It must not know how items are taken, or what a single result means.

While the code of the user runs that makes the next value, its item is in the hand: what
that code raises is the failure of this item. An emission that is asked to stop, or has
used its credit, is set aside and gone on with later, by the next incarnation if need be.
"""

from __future__ import annotations

from time import monotonic
from types import GeneratorType
from typing import TYPE_CHECKING, Any, NoReturn, final

from threadsup._errors import MailboxClosed, Rejected, WorkerExited
from threadsup._exits import Normal, WorkerExit, describe_exception
from threadsup._results import Drop, Emit, Reject, Stop
from threadsup._runtime.aside import Again
from threadsup._runtime.emission import Emission
from threadsup._runtime.failing import Failing
from threadsup._runtime.family import Branch, branch_of
from threadsup._runtime.inlet import BadKey
from threadsup._runtime.mailbox import RESUME
from threadsup._runtime.marks import EXHAUSTED, MARKS, Away, Failure, SinkFailure
from threadsup._runtime.pykka_compat import Envelope, succeed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from threadsup._runtime.actor import Life
    from threadsup._runtime.aside import Aside
    from threadsup._runtime.inlet import Inlet
    from threadsup._runtime.outlet import Door, Outlet
    from threadsup._runtime.ready import Ready

__all__ = ["Emitting", "Treatment", "carrying"]


@final
class Treatment:
    """How a stage handles items, beside its function."""

    __slots__ = ("batch", "contains", "pause")

    def __init__(
        self,
        *,
        contains: bool = False,
        pause: Callable[[Exception, int], float | None] | None = None,
        batch: tuple[int, float] | None = None,
    ) -> None:
        self.contains = contains
        """Whether an `Exception` fails its item and not the worker."""
        self.pause = pause
        """`pause(error, tried)`: seconds until the item is tried again; `None`: not."""
        self.batch = batch
        """How many items the function is given at once, and how long they wait for it."""


class Emitting:
    """The part of a stage that sends results on their way."""

    def __init__(self, life: Life, outlet: Outlet, aside: Aside, treatment: Treatment) -> None:
        self._life = life
        self._outlet = outlet
        self._aside = aside
        self._treatment = treatment
        self._failing = Failing(life, aside, treatment.pause)
        self._next: Inlet | None = None
        """Where results go; `None` in the last stage."""
        self._sink: Callable[[Any], SinkFailure | Away | None] | None = None
        """Of a last stage: who gets each result while its item is in hand."""
        self._ready: Ready | None = None
        """Results that are handed on together, if they are."""
        self._advance = life.guarded(self._one_more)

    # -- on to the next stage -------------------------------------------------------

    def _take_over_ready(self) -> None:
        """Keep what the last life of this replica had ready, to be handed on first."""
        outlet = self._outlet
        if outlet.ready is not None:
            for result in outlet.ready.take():
                if not outlet.keep(result, outlet.ready.inlet, self._life):
                    outlet.ready.inlet.adopt([result])
            outlet.ready = None

    def _pass(self, raw: Any, inlet: Door, *, within: bool = True) -> None:
        """Put a message into the next stage, waiting for room; never twice."""
        self._life.handed += within  # first: whoever hears of its end finds it counted
        try:
            taken = inlet.offer(raw)
        except MailboxClosed:  # or only shut, which is for senders
            taken = False
        except BadKey:
            self._life.handed -= within
            raise
        if not taken:
            self._wait_with(raw, inlet, within=within)

    def _wait_with(self, raw: Any, inlet: Door, *, within: bool = True) -> None:
        """Wait for room for a message that has found none."""
        if self._outlet.keep(raw, inlet, self._life, within=within):
            self._flush()
        else:
            inlet.lose([raw], "its stage was abandoned before it was handed on")

    def _keep(self, raw: Any, inlet: Door, *, within: bool = True) -> None:
        """Keep a message for the next incarnation: this one is to stop."""
        self._life.handed += within
        if not self._outlet.keep(raw, inlet, self._life, within=within):
            inlet.lose([raw], "its stage was abandoned before it was handed on")

    def _flush(self) -> None:
        """Hand on what is kept, waiting for room; leave if asked to stop."""
        outlet, waited = self._outlet, set[Any]()
        try:
            while not outlet.hand_on():
                first = outlet.first()
                if first is None:
                    continue  # another life of this replica has handed it on meanwhile
                raw, inlet = first
                waited.add(inlet)
                if not inlet.wait_for_room(raw, give_way=True):
                    # What is still made, of a batch, is not to overtake what is kept.
                    vars(self)["_pass"] = self._keep
                    raise WorkerExit(self._life.token.reason)
        finally:
            # Woken for room that it does not take, while who needs it sleeps.
            for inlet in waited:
                inlet.pass_on()

    def _send_away(self, away: Away, raw: Any) -> None:
        """Hand an end result on to another chain: in this one its item is completed."""
        if self._is_descendant(raw):
            raw.reply_to.hand_over()
        self._pass(carrying(away.result, raw), away.door, within=False)

    def _is_descendant(self, raw: Any) -> bool:
        """Whether a message is one of several of its item, which is counted elsewhere."""
        branch: Any = raw.reply_to if type(raw) is Envelope else None
        return type(branch) is Branch and branch.family.ledger is self._outlet.ledger

    # -- several for one ------------------------------------------------------------

    def _emit(self, values: Iterator[Any], raw: Any) -> None:
        """Let an item become several; it counts as handled when all are on their way."""
        branch: Any
        value, branch = branch_of(raw, self._outlet.ledger)
        emission = Emission(Envelope(value, branch), branch, values, self._life.attempts)
        if self._ready is not None:
            try:
                self._ready.flush()  # what was made before comes first
            except WorkerExit:
                self._suspend(emission)
                raise
        self._pull(emission)

    def _go_on(self) -> None:
        """Go on with what was set aside and may go on now."""
        suspended = self._outlet.suspended
        for _ in range(len(suspended)):
            try:
                emission = suspended.popleft()
            except IndexError:
                return  # the other of two lives took it
            if emission.ready:
                self._come_back(emission)
                self._life.attempts = emission.attempts
                self._pull(emission)
                self._life.attempts = 0
            else:
                suspended.append(emission)

    def _pull(self, emission: Emission) -> None:
        """Hand on value after value until that is all, or it must wait."""
        self._life.emitting = True
        try:
            self._pull_values(emission)
        finally:
            self._life.emitting = False

    def _pull_values(self, emission: Emission) -> None:
        life = self._life
        while emission.stack:
            if life.token.look and self._is_held_up():
                self._suspend(emission)
                if life.token.asked:
                    raise WorkerExit(life.token.reason)
                life.mailbox.jump(RESUME)  # the pause may be over before it is come to
                return
            emission.ready = False  # before asking: the answer may come in between
            emission.home = life.mailbox
            if not emission.branch.may_emit(emission.resume):
                self._suspend(emission)
                return
            emission.ready = True
            value = self._next_value(emission)
            if value is EXHAUSTED:
                # First: whoever hears of its end finds it counted, and in no hand.
                if len(emission.stack) == 1:
                    life.handled += 1
                    life.emitting = False
                emission.ascend()
            elif type(value) is Failure:
                emission.unwind()
                life.emitting = False
                if emission.root.issued:  # what has gone on would go on twice
                    self._failing.fail(value.error, emission.raw)
                else:
                    self._failing.retry(value.error, emission.raw)
                return
            else:
                try:
                    self._emitted(value, emission)
                except WorkerExit:
                    if emission.stack:
                        self._suspend(emission)
                    raise

    def _is_held_up(self) -> bool:
        """Whether no further value is to be made now."""
        pause = self._life.mailbox.pause
        return self._life.token.asked or (pause is not None and not pause.finishes)

    def _next_value(self, emission: Emission) -> Any:
        """Run the code that makes the next value, the item in hand meanwhile."""
        life = self._life
        life.hand.append(emission.raw)
        life.since = monotonic()
        # Only now, as in the loop: who asks sets this first, and who fences empties the
        # hand then. So either it is seen here, or the item is seen there.
        if life.token.asked:
            self._put_down(emission)
        try:
            value = self._advance(emission.values)
        except BaseException as error:
            if not (self._treatment.contains and isinstance(error, Exception)):
                emission.unwind()
                raise
            value = Failure(error)
        try:
            life.hand.pop()
        except IndexError:  # fenced: its item has failed
            emission.unwind()
            raise WorkerExit(life.token.reason) from None
        return value

    def _put_down(self, emission: Emission) -> NoReturn:
        """Leave an emission to the next incarnation, unless it was settled by a fence."""
        life = self._life
        try:
            life.hand.pop()
        except IndexError:
            emission.unwind()
        else:
            self._suspend(emission)
        raise WorkerExit(life.token.reason)

    def _one_more(self, values: Iterator[Any]) -> Any:
        """Return the next value; of a last stage, after the sinks have had it."""
        value = next(values, EXHAUSTED)
        if self._sink is None or value is EXHAUSTED or type(value) in MARKS:
            return value
        if self._life.fenced:  # what comes out of a life that was given up on is nobody's
            raise WorkerExit(self._life.token.reason)
        return self._sink(value) or value

    def _emitted(self, value: Any, emission: Emission) -> None:
        """Send one of several on its way."""
        kind, raw = type(value), emission.raw
        child: Any = emission.branch.child()
        if kind is Emit or kind is GeneratorType:
            emission.descend(iter(value.values) if kind is Emit else value, child)
        elif kind is Drop or kind is Stop:
            child.leave()
            succeed(child, value)
            if kind is Stop:
                self._life.handled += 1  # first, as above
                self._life.emitting = False
                emission.finish()
                raise WorkerExit(Normal())
        elif kind is Reject or kind is SinkFailure:
            child.leave()  # it never was a message
            error = Rejected(value.reason) if kind is Reject else value.error
            self._life.settle_failed(Envelope(raw.message, child), error)
            if kind is SinkFailure:
                self._life.complain(f"{value.what} failed: {describe_exception(error)}")
        elif self._next is not None:
            self._pass_child(Envelope(value, child), raw)
        elif kind is Away:
            self._send_away(value, Envelope(raw.message, child))
        else:
            succeed(child, value)

    def _pass_child(self, message: Envelope[Any], raw: Envelope[Any]) -> None:
        assert self._next is not None
        try:
            self._pass(message, self._next)
        except BadKey as bad:
            child: Any = message.reply_to
            child.leave()
            self._life.settle_failed(Envelope(raw.message, child), bad.error)

    def _suspend(self, emission: Emission) -> None:
        """Set it aside, to be gone on with by whoever looks next."""
        life = self._life
        emission.number = number = self._aside.put(emission.attempts)
        if not self._outlet.suspend(emission):
            self._aside.remove(number)
            emission.unwind()
            self._failing.fail(WorkerExited(f"{life.id!r} was {life.token.reason}"), emission.raw)
        elif life.fenced:  # the next incarnation may have looked already
            life.mailbox.jump(RESUME)

    def _come_back(self, emission: Emission) -> None:
        """Take it in hand again, as if it never had been away.

        Before it goes on, as it may never come to its end. What waits behind it is let
        go by this, and waits again should it be set aside once more: it keeps its number.
        """
        if emission.number is not None:
            emission.attempts = Again.of(emission.attempts, emission.number, self._aside)
            self._aside.remove(emission.number)
            emission.number = None


def carrying(result: Any, raw: Any) -> Any:
    """Return the message a result goes on in: one somebody waits for is an envelope."""
    return Envelope(result, raw.reply_to) if type(raw) is Envelope else result
