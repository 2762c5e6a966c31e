"""Where the results of a stage go: the next mailbox, or the sink.

Owns the handing on of results and what is left of it when a stage stops in the
middle. It must not know chains: it is given the next mailbox, or a function.

An outlet outlives the incarnations of its stage. A result that finds no room waits
in it, and if its stage is asked to stop meanwhile, the next incarnation hands it on
before it takes anything new. No result is handed on twice and none is left behind,
though two incarnations, one of them given up on, may be at it: both do it under one
lock, which is held while nothing waits, and who was given up on puts nothing in.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from threadsup._errors import MailboxClosed, Rejected
from threadsup._exits import ExitReason, Normal, WorkerExit, describe_exception
from threadsup._results import Drop, Reject, Stop
from threadsup._runtime.pykka_compat import Envelope, succeed
from threadsup._runtime.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.actor import Behaviour, Life
    from threadsup._runtime.mailbox import Mailbox, Token

__all__ = ["Outlet", "StageBehaviour"]


class Outlet:
    """Where one stage hands on its results."""

    def __init__(
        self,
        next_mailbox: Mailbox | None,
        on_result: Callable[[Any], object] | None = None,
    ) -> None:
        self.next = next_mailbox
        """The next stage's mailbox; `None`: this is the last stage."""
        self.on_result = on_result
        """What the last stage calls with each result, in its own thread."""
        self._outbox: deque[Any] = deque()
        self._lock = threading.Lock()
        """Guards `_outbox`; taken only when there was no room, and once in a life."""

    @property
    def waiting(self) -> int:
        """How many results wait to be handed on."""
        return len(self._outbox)

    def keep(self, result: Any, life: Life) -> bool:
        """Keep a result that found no room; return `False` for one given up on.

        The lock orders this against the next incarnation's first look, and against
        `lose`. Both come after the fence: either they find the result here, or the
        fence is seen here.
        """
        with self._lock:
            if not life.fenced:
                self._outbox.append(result)
            return not life.fenced

    def hand_on(self) -> bool:
        """Hand on the first of what is kept; return whether that is all. Never blocks."""
        assert self.next is not None
        with self._lock:
            if self._outbox and self.next.hand_on(self._outbox[0]):
                self._outbox.popleft()
            return not self._outbox

    def lose(self, why: str) -> None:
        """Give up what is kept: the stage has ended for good. Counted where it was to go."""
        with self._lock:
            left = list(self._outbox)
            self._outbox.clear()
        if self.next is not None:
            self.next.lose(left, why)

    def pass_token(self, token: Token) -> None:
        """Send a token on, or, at the end of its way, tell it so. Never blocks."""
        if self.next is None:
            if token.arrived is not None:
                token.arrived()
        elif not self.next.put_token(token) and token.lost is not None:
            token.lost()


class StageBehaviour:
    """A stage: a function, or a `Worker`, whose results are handed on."""

    def __init__(
        self,
        life: Life,
        outlet: Outlet,
        *,
        function: Callable[[Any], Any] | None = None,
        worker: Behaviour | None = None,
    ) -> None:
        self._life = life
        self._outlet = outlet
        self._function = function
        self._worker = worker

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
        """Hand on what the last incarnation could not, then handle items."""
        function = self._function
        if function is None:
            function = self._worker.instance.on_receive  # type: ignore[union-attr]
        if self._outlet.next is None:
            return serve(self._life, self._to_sink(function), self._finish, self._arrived)
        self._flush()
        return serve(self._life, function, self._hand_on, self._arrived)

    def _arrived(self, token: Token) -> None:
        self._outlet.pass_token(token)

    # -- results --------------------------------------------------------------------

    def _hand_on(self, result: Any, raw: Any) -> None:
        """Pass a result to the next stage; the message has left the hand."""
        kind = type(result)
        if kind is Drop or kind is Reject or kind is Stop:
            self._end_item(result, raw)
            return
        self._life.handled += 1
        if type(raw) is Envelope:
            raw.message = result  # the envelope travels with its item to the sink
            result = raw
        mailbox = self._outlet.next
        assert mailbox is not None
        try:
            if mailbox.offer(result):
                return
        except MailboxClosed:
            pass  # or only shut, which is for senders
        if self._outlet.keep(result, self._life):
            self._flush()
        else:
            mailbox.lose([result], "its stage was abandoned before it was handed on")

    def _flush(self) -> None:
        """Hand on what is kept, waiting for room; leave if asked to stop."""
        outlet, waited = self._outlet, False
        assert outlet.next is not None
        while not outlet.hand_on():
            if not outlet.next.wait_for_room(give_way=True):
                raise WorkerExit(self._life.token.reason)
            waited = True
        if waited:
            # Another life of this stage may have handed it on meanwhile. Then this one
            # was woken for room that it does not take, while who needs it sleeps.
            outlet.next.pass_on()

    def _end_item(self, result: Drop | Reject | Stop, raw: Any) -> None:
        """Handle a result that says where the item goes instead of further."""
        life = self._life
        if type(result) is Reject:
            life.failed += 1
            life.settle_failed(raw, Rejected(result.reason))
            return
        life.handled += 1
        life.dropped += 1
        if type(raw) is Envelope:
            succeed(raw.reply_to, result)
        if type(result) is Stop:
            raise WorkerExit(Normal())

    # -- the sink -------------------------------------------------------------------

    def _to_sink(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Have `on_result` called while the item is still in hand."""
        on_result, life = self._outlet.on_result, self._life
        if on_result is None:
            return function

        def call(item: Any) -> Any:
            result = function(item)
            kind = type(result)
            # The item of a life that was given up on has failed: it is not to come out.
            if kind is Drop or kind is Reject or kind is Stop or life.fenced:
                return result
            try:
                on_result(result)
            except WorkerExit:
                raise
            except BaseException as error:  # noqa: BLE001 - a sink never ends a stage
                return _SinkError(error)
            return result

        return call

    def _finish(self, result: Any, raw: Any) -> None:
        """End an item at the last stage."""
        kind = type(result)
        if kind is Drop or kind is Reject or kind is Stop:
            self._end_item(result, raw)
        elif kind is _SinkError:
            self._life.failed += 1
            self._life.settle_failed(raw, result.error)
            self._life.complain(f"on_result failed: {describe_exception(result.error)}")
        else:
            self._life.handled += 1
            self._life.completed += 1
            if type(raw) is Envelope:
                succeed(raw.reply_to, result)


class _SinkError:
    """What `on_result` raised, on its way to where the item is counted."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error
