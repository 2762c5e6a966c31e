"""What it means to run a `GenServer`: which callback a message goes to, and what follows.

Owns the behaviour of one incarnation: calls, casts and the rest, answers that come later,
what is put off until after a message, and the time-out of an idle server. It must not know
restarts or refs.

What is in hand tells what a message is: in an envelope, somebody waits for the answer; as
a `Cast`, it was cast; anything else is for `handle_info`. So what is asked in any way is a
call, and what is told, or comes from a timer, is info.

A message is handled when its callback has returned. An answer that is deferred is owed by
the incarnation from then on, not by the message: see `owed`.

The time-out costs a busy server next to nothing. There is one timer, for the end of the
time as it was when it was set. When its mark comes round, and something was handled
meanwhile, it is set anew, to what is left. The mark stands in the mailbox like any
message: what was sent before it is handled first, and then the server was not idle.
"""

from __future__ import annotations

from collections import deque
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

from threadsup._exits import ExitReason, WorkerExit, reason_of
from threadsup._runtime.clock import monotonic
from threadsup._runtime.context import current
from threadsup._runtime.marks import Failure
from threadsup._runtime.owed import Owed
from threadsup._runtime.pykka_compat import Envelope, succeed
from threadsup._runtime.serving import flow
from threadsup._runtime.ticking import handle_now, timed
from threadsup._runtime.timers import NOTHING, Due
from threadsup._runtime.worker import WorkerBehaviour
from threadsup._specs import Cast, UnhandledError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from threadsup._runtime.actor import Life
    from threadsup._runtime.failing import Failing
    from threadsup._runtime.mailbox import Token
    from threadsup._runtime.owed import ReplyToken
    from threadsup._runtime.timers import Timer
    from threadsup._specs import GenServer

__all__ = ["GenServerBehaviour"]


@final
class _Idle:
    """Stands for "nothing has come": what the timer of an idle server brings."""

    def __repr__(self) -> str:
        return "TIMEOUT"


_IDLE = _Idle()


_LATER: Any = object()
"""What a call comes to whose answer is deferred."""


class GenServerBehaviour(WorkerBehaviour):
    """An instance of a `GenServer` class: made, called and ended in its own thread."""

    instance: GenServer

    def __init__(
        self,
        life: Life,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        reply_errors: bool,
        caller: Callable[..., Any] | None = None,
        failing: Failing | None = None,
    ) -> None:
        super().__init__(
            life,
            target,
            args,
            kwargs,
            reply_errors=reply_errors,
            caller=caller,
            failing=failing,
        )
        self._owed = life.context.owed = Owed()
        self._put_off: deque[Any] = deque()
        """What `handle_continue` is to be called with."""
        self._token: ReplyToken | None = None
        """Of the call in hand, if its answer is deferred."""
        self._reason: ExitReason | None = None
        self._last = 0.0
        """When the last message was handled, while there is a time-out."""
        self._timer: Timer | None = None
        self._timer_for: float | None = None
        """Of what time-out that is the timer."""

    # -- the life -------------------------------------------------------------------

    def start(self) -> None:
        """Make the instance and run `init`."""
        target, args, kwargs = self._call
        self._make(target)
        init: Callable[..., Any] = self.instance.init
        returned = init(*args, **kwargs)
        if returned is not None:
            kind = type(returned).__name__
            raise TypeError(f"init() returned a {kind}: state lives in self, return nothing")

    def run(self) -> ExitReason:
        """Handle messages until told to stop."""
        try:
            self._after()
            while True:
                reason = flow(
                    self._life,
                    self.handler,
                    self._delivering,
                    self._arrived,
                    reply_errors=self._reply_errors,
                )
                if reason is not None:
                    self._reason = reason
                    return reason
        except BaseException as error:
            self._reason = reason_of(error)
            raise

    def stop(self) -> None:
        """Run `terminate` at a clean end."""
        self.instance.terminate(self._reason or self._life.token.reason)

    def fail(self, error: BaseException) -> None:  # noqa: ARG002 - the reason says it
        """Run `terminate` after a crash."""
        self.instance.terminate(self._reason or self._life.token.reason)

    # -- a message ------------------------------------------------------------------

    @cached_property
    def handler(self) -> Callable[[Any], Any]:
        """What each message goes to; from there to its callback."""
        return self._calling(self._handle)

    def _handle(self, message: Any) -> Any:
        raw = next(iter(self._life.hand), None)  # one look: it may be fenced meanwhile
        server = self.instance
        if type(raw) is Envelope:
            self._token = None
            return self._answer(message)
        if type(message) is Cast:
            server.handle_cast(message.message)
        elif message is _IDLE:
            server.handle_timeout()
        else:
            server.handle_info(message)
        return None

    def _answer(self, request: Any) -> Any:
        try:
            answer = self.instance.handle_call(request)
        except UnhandledError as error:
            self._take_back()
            return _Refusal(error)
        except BaseException:
            self._take_back()
            raise
        if self._token is None:
            return answer
        if answer is not None:
            self._take_back()
            raise TypeError("handle_call() has deferred its answer, and returned one")
        return _LATER

    def _take_back(self) -> None:
        """Have the caller whose answer was deferred hear of what becomes of the call."""
        if self._token is not None:
            self._token.take("told of the error of handle_call")

    def _deliver(self, result: Any, raw: Any) -> None:
        life = self._life
        if type(result) is _Refusal:
            life.failed += 1
            life.settle_failed(raw, result.error)
        else:
            life.handled += 1
            if type(raw) is Envelope and result is not _LATER:
                succeed(raw.reply_to, result)
        self._after()

    def _deliver_or_retry(self, result: Any, raw: Any) -> None:
        if type(result) is not Failure:
            self._deliver(result, raw)
            return
        assert self._failing is not None
        self._put_off.clear()  # an attempt that succeeds puts it off again
        self._failing.retry(result.error, raw)
        self._after()

    @property
    def _delivering(self) -> Callable[[Any, Any], None]:
        return self._deliver if self._failing is None else self._deliver_or_retry

    def _arrived(self, token: Token) -> bool:
        due = token.arrived
        if type(due) is not Due:
            return self._holds(token)
        if due.message is _IDLE:
            # That nothing has come is no message of anybody's: no rule is for it.
            if timed(token) is _IDLE and not self._is_early():
                handle_now(self._life, _IDLE, self._handle, self._deliver)
            return True
        message = timed(token, self._life.limiter)
        if message is not NOTHING:
            handle_now(self._life, message, self.handler, self._delivering)
        return True

    def _after(self) -> None:
        """Do what was put off until after a message, then see to the time-out."""
        put_off, life = self._put_off, self._life
        while put_off and not life.fenced:
            life.guarded(self.instance.handle_continue)(put_off.popleft())
        timeout = self.instance.timeout
        if timeout is not None:
            self._last = monotonic()
        if timeout != self._timer_for or (timeout is not None and self._timer is None):
            self._set_timer(timeout, timeout)

    # -- the time-out -----------------------------------------------------------------

    def _set_timer(self, timeout: float | None, left: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_for = timeout
        if left is not None and not self._life.fenced:
            self._timer = self.context.send_after(left, _IDLE)

    def _is_early(self) -> bool:
        """Tell whether something was handled since the timer was set; then set it anew."""
        self._timer = None
        timeout = self._timer_for
        assert timeout is not None
        left = self._last + timeout - monotonic()
        if left > 0:
            self._set_timer(timeout, left)
        return left > 0

    # -- from within ------------------------------------------------------------------

    def defer(self) -> ReplyToken:
        """Have the call in hand answered later."""
        if current() is not self.context:  # by then another call may be in hand
            raise RuntimeError("defer() is for handle_call, in the server's own thread")
        raw = next(iter(self._life.hand), None)  # one look: it may be fenced meanwhile
        if self._life.fenced:
            raise WorkerExit(self._life.token.reason)
        if type(raw) is not Envelope:
            raise RuntimeError("there is nothing to defer: what is in hand is no call")
        if self._token is not None:
            raise RuntimeError("the answer to this call is deferred already")
        self._token = token = self._owed.defer(self._life.id, raw.reply_to)
        return token

    def go_on(self, term: object) -> None:
        """Have `handle_continue(term)` called before the next message."""
        self._put_off.append(term)


@final
class _Refusal:
    """What a call comes to that nothing handles: its caller is told, the server lives."""

    __slots__ = ("error",)

    def __init__(self, error: UnhandledError) -> None:
        self.error = error
