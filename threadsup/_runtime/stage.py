"""What a replica of a stage does with its items.

Owns how a result becomes what goes on, what ends, or several; and what becomes of an
item whose function failed. It must not know chains or replicas: it has an outlet, and
an aside for what it puts away.

A result is counted after its item has left the hand: then nobody else decides what
becomes of it. An emission is pulled value by value, and its item is in the hand again
while the code of the user runs that makes the next one.
"""

from __future__ import annotations

from types import GeneratorType
from typing import TYPE_CHECKING, Any

from threadsup._errors import Rejected
from threadsup._exits import ExitReason, Normal, WorkerExit, describe_exception
from threadsup._results import Emit, Reject, Stop
from threadsup._runtime.batching import flow_in_batches
from threadsup._runtime.emitting import Emitting, carrying
from threadsup._runtime.express import express
from threadsup._runtime.failing import contained
from threadsup._runtime.inlet import BadKey
from threadsup._runtime.mailbox import RESUME, Token
from threadsup._runtime.marks import MARKS, NO_VALUES, Away, Failure, SinkFailure
from threadsup._runtime.pykka_compat import Envelope, succeed
from threadsup._runtime.ready import Ready
from threadsup._runtime.sampling import Sampler
from threadsup._runtime.serving import flow
from threadsup._runtime.timers import NOTHING, Due

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from threadsup._runtime.actor import Life
    from threadsup._runtime.aside import Aside
    from threadsup._runtime.emitting import Treatment
    from threadsup._runtime.outlet import Outlet
    from threadsup._runtime.timings import Timings
    from threadsup._runtime.worker import WorkerBehaviour

__all__ = ["StageBehaviour"]


class StageBehaviour(Emitting):
    """A stage: a function, or a `Worker`, whose results are handed on."""

    def __init__(
        self,
        life: Life,
        outlet: Outlet,
        aside: Aside,
        timings: Timings,
        treatment: Treatment,
        *,
        function: Callable[[Any], Any] | None = None,
        worker: WorkerBehaviour | None = None,
    ) -> None:
        super().__init__(life, outlet, aside, treatment)
        self._function = function
        self._worker = worker
        self._sampler = Sampler(life, timings)

    @property
    def ready(self) -> bool:
        """Whether it is a function: it has no start code."""
        return self._worker is None

    def start(self) -> None:
        """Make the instance and run `on_start`, where the stage is a class."""
        if self._worker is not None:
            self._worker.start()

    def stop(self) -> None:
        """Run `on_stop`, where the stage is a class."""
        if self._worker is not None:
            self._worker.stop()

    def fail(self, error: BaseException) -> None:
        """Run `on_failure`, where the stage is a class."""
        if self._worker is not None:
            self._worker.fail(error)

    def run(self) -> ExitReason:
        """Finish what the last incarnation could not, then handle items."""
        function = self._function
        if function is None:
            assert self._worker is not None
            function = self._worker.handler
        if self._treatment.contains:
            function = contained(function)
        self._take_over_ready()
        self._flush()
        try:
            while True:
                reason = self._handle_items(function)
                if reason is not None:
                    return reason
        finally:
            if self._ready is not None:
                self._ready.put_away()

    def _handle_items(self, function: Callable[[Any], Any]) -> ExitReason | None:
        """Handle items as the chain is now, until told to stop or held up."""
        outlet, batch = self._outlet, self._treatment.batch
        self._next = outlet.next
        last = outlet.next is None
        self._sink = self._end_at_sinks if last else None
        self._go_on()
        if batch is not None:
            call = self._checked(function)
            # There may be sinks by the time a batch is complete.
            each = self._finish_one_of_many if last else self._hand_on
            return flow_in_batches(self._life, call, batch, each, self._arrived)
        if last and outlet.has_sinks:
            function = self._with_sink(function)
        deliver = self._finish if last else self._hand_on
        usual = self._usual(function) if self._life.limiter is None else None
        return flow(self._life, function, deliver, self._arrived, usual=usual)

    def _usual(self, function: Callable[[Any], Any]) -> Iterator[Any] | None:
        """Return what handles the items that become one value, if that is done apart."""
        if type(self._life.hand) is not list:  # somebody watches the hand
            return None
        inlet, common = self._next, (self._life, self._life.guarded(function))
        self._life.begin_runs(onward=inlet is not None)
        if inlet is None:
            return express(
                *common,
                sampler=self._sampler,
                special=self._end_or_fail,
                marks=NO_VALUES,
            )
        if inlet.sole is None:
            return None
        self._ready = Ready(self._life, self._outlet, inlet, inlet.sole)
        self._outlet.ready = self._ready
        return express(
            *common,
            ready=self._ready,
            sampler=self._sampler,
            special=self._end_item,
            marks=MARKS,
        )

    def _checked(self, function: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
        """Have a batch without one result for each item fail."""

        def call(items: list[Any]) -> list[Any]:
            results = function(items)
            if type(results) is Failure:
                return [results] * len(items)
            if type(results) is not list or len(results) != len(items):
                error = TypeError(_wrong_batch(results, len(items)))
                if not self._treatment.contains:
                    raise error
                return [Failure(error)] * len(items)
            return results

        return call

    # -- tokens ---------------------------------------------------------------------

    def _arrived(self, token: Token) -> bool:
        """See to a token; return whether it was put away, behind what is away."""
        if token is RESUME:
            self._go_on()
        elif type(token.arrived) is Due:
            self._begin_with(token.arrived.take())
        elif self._worker is not None and self._worker.took(token):
            return False
        elif not self._sampler.back(token):
            if self._aside.hold(token):
                return True
            self._outlet.pass_token(token)
        return False

    def _begin_with(self, item: Any) -> None:
        """Have the message of a timer be the next item: it begins here."""
        if item is not NOTHING:
            self._life.mailbox.come_back(item, first=True)

    # -- results of a stage in the middle -------------------------------------------

    def _hand_on(self, result: Any, raw: Any) -> None:
        """Pass a result to the next stage; the message has left the hand."""
        sampler = self._sampler
        sampler.due -= 1
        if not sampler.due:
            sampler.sample()
        if type(result) in MARKS:
            self._end_item(result, raw)
            return
        inlet, life = self._next, self._life
        assert inlet is not None
        life.handled += 1  # first: the wait for room may be left by a stop
        try:
            self._pass(carrying(result, raw), inlet)
        except BadKey as bad:
            life.handled -= 1
            self._failing.fail(bad.error, raw)

    # -- the end of an item ---------------------------------------------------------

    def _end_item(self, result: Any, raw: Any) -> None:
        """Handle a result that is no value."""
        life, kind = self._life, type(result)
        if kind is Failure:
            self._failing.retry(result.error, raw)
        elif kind is Reject:
            self._failing.fail(Rejected(result.reason), raw)
        elif kind is Emit:
            self._emit(iter(result.values), raw)
        elif kind is GeneratorType:
            self._emit(result, raw)
        else:
            life.handled += 1
            self._count_dropped(raw)
            if type(raw) is Envelope:
                succeed(raw.reply_to, result)
            if kind is Stop:
                raise WorkerExit(Normal())

    def _count_dropped(self, raw: Any) -> None:
        if not self._is_descendant(raw):
            self._life.dropped += 1

    # -- the last stage -------------------------------------------------------------

    def _with_sink(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Have the sinks called while the item is still in hand."""
        life, sink, outlet = self._life, self._end_at_sinks, self._outlet
        # Who is alone is called from here: whenever there are others, all look anew.
        alone = None if outlet.taps or outlet.onward is not None else outlet.on_result
        usual: type | None = None

        def call(item: Any) -> Any:
            nonlocal usual
            result = function(item)
            kind = type(result)
            if kind is not usual:
                if kind in MARKS:
                    return result
                usual = kind
            if life.fenced:  # what comes out of a life that was given up on is nobody's
                raise WorkerExit(life.token.reason)
            if alone is None:
                return sink(result) or result
            try:
                alone(result)
            except BaseException as error:  # noqa: BLE001 - a sink never ends a stage
                self._leave_if_asked(error)
                return SinkFailure(error, "on_result")
            return result

        return call

    def _end_at_sinks(self, result: Any) -> SinkFailure | Away | None:
        """Give a result to whoever wants it; return what was raised, or where it goes on.

        The taps come last: they hear of what is completed.
        """
        outlet, away = self._outlet, None
        on_result, onward = outlet.on_result, outlet.onward
        if on_result is not None:
            try:
                on_result(result)
            except BaseException as error:  # noqa: BLE001 - a sink never ends a stage
                self._leave_if_asked(error)
                return SinkFailure(error, "on_result")
        if onward is not None:
            try:
                away = Away(result, onward(result))
            except BaseException as error:  # noqa: BLE001 - nor does who only chooses
                self._leave_if_asked(error)
                return SinkFailure(error, "by")
        for tap in outlet.taps:
            try:
                tap(result)
            except BaseException as error:  # noqa: BLE001 - who only listens changes nothing
                self._leave_if_asked(error)
                self._life.tap_failures += 1
                self._life.complain(f"a tap failed: {describe_exception(error)}")
        return away

    def _leave_if_asked(self, error: BaseException) -> None:
        """Let through what ends a wait of a worker that is asked to stop, and nothing else."""
        if isinstance(error, WorkerExit) and self._life.token.asked:
            raise error

    def _finish(self, result: Any, raw: Any) -> None:
        """End an item at the last stage."""
        sampler = self._sampler
        sampler.due -= 1
        if not sampler.due:
            sampler.sample()
        self._end_or_fail(result, raw)

    def _end_or_fail(self, result: Any, raw: Any) -> None:
        life, kind = self._life, type(result)
        if kind in MARKS:
            self._end_item(result, raw)
        elif kind is SinkFailure:
            self._sink_failed(result, raw)
        else:
            life.handled += 1  # first: the wait for room may be left by a stop
            life.completed += not self._is_descendant(raw)
            if kind is Away:
                self._send_away(result, raw)
            elif type(raw) is Envelope:
                succeed(raw.reply_to, result)

    def _finish_one_of_many(self, result: Any, raw: Any) -> None:
        """End an item of a batch; the sinks are called now, in the order of the batch."""
        life, sink = self._life, self._sink
        if sink is not None and self._outlet.has_sinks and type(result) not in MARKS:
            life.hand.append(raw)
            if life.fenced:  # whoever finds it in the hand settles it
                raise WorkerExit(life.token.reason)
            failure = sink(result)
            try:
                life.hand.pop()
            except IndexError:  # fenced: the item has failed
                return
            result = failure or result
        self._finish(result, raw)

    def _sink_failed(self, failure: SinkFailure, raw: Any) -> None:
        self._failing.fail(failure.error, raw)
        self._life.complain(f"{failure.what} failed: {describe_exception(failure.error)}")


def _wrong_batch(results: object, items: int) -> str:
    what = f"{len(results)} results" if type(results) is list else f"a {type(results).__name__}"
    return f"a batch of {items} items must give a list of {items} results, not {what}"
