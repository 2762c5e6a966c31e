"""The callback modules: classes whose methods a worker calls.

Owns `Worker` and `GenServer`, what both can do from within, and the types that go
through a `GenServer`'s mailbox. It must not know how they are run: an instance is handed
what it reaches the machinery by (`Own`), and looks at nothing else.
"""

from __future__ import annotations

import logging
import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, final

from threadsup._checks import optional, seconds
from threadsup._exits import Normal, Shutdown
from threadsup._runtime.context import current

if TYPE_CHECKING:
    from types import TracebackType

    from threadsup._exits import ExitReason
    from threadsup._runtime.context import Context
    from threadsup._runtime.owed import ReplyToken
    from threadsup._runtime.timers import Timer

__all__ = ["CallbackModule", "Cast", "GenServer", "Own", "Request", "UnhandledError", "Worker"]

_logger = logging.getLogger("threadsup")

R_co = TypeVar("R_co", covariant=True)

_TIMEOUT = optional(seconds())


class Own(Protocol):
    """What an instance reaches its machinery by."""

    context: Context

    def end(self, reason: ExitReason) -> None:
        """Have the incarnation end after what is in hand."""


class _Server(Own, Protocol):
    def defer(self) -> ReplyToken:
        """Have the call in hand answered later."""

    def go_on(self, term: object) -> None:
        """Have `handle_continue(term)` called before the next message."""


class CallbackModule:
    """What `Worker` and `GenServer` can do from within; not to be subclassed by itself."""

    _threadsup_own: Own | None = None
    """Set when the instance has been made; until then its thread tells."""

    @property
    def ref(self) -> Any:
        """Its own `WorkerRef`, to give to others; `None` in a stage of a chain."""
        return _own(self).context.ref

    def send_after(self, seconds: float, message: Any) -> Timer:
        """Have `message` come to this worker in `seconds`. Never blocks.

        As one that was told; it ends with this incarnation. See `Context.send_after`.

        Returns:
            A handle, to `cancel()` it.

        Raises:
            ValueError: `seconds` is no finite number of 0 or more.
        """
        return _own(self).context.send_after(seconds, message)

    def every(self, seconds: float, message: Any) -> Timer:
        """Have `message` come to this worker every `seconds`. Never blocks.

        As one that was told, one at a time; see `Context.every`.

        Returns:
            A handle, to `cancel()` it.

        Raises:
            ValueError: `seconds` is no finite number above 0.
        """
        return _own(self).context.every(seconds, message)

    def stop(self, reason: ExitReason | None = None) -> None:
        """Have this worker end after the message in hand, which is answered. Never blocks.

        Args:
            reason: `Normal()`, or `Shutdown(info)` as by default. To crash, raise.

        Raises:
            TypeError: `reason` is none of these.
        """
        if reason is None:
            reason = Shutdown()
        elif type(reason) is not Normal and type(reason) is not Shutdown:
            kind = type(reason).__name__
            raise TypeError(f"reason must be Normal() or Shutdown(...), not a {kind}")
        _own(self).end(reason)


def _own(instance: CallbackModule) -> Own:
    own = instance._threadsup_own  # noqa: SLF001 - no method: its names are the user's
    if own is None:  # in `__init__`, where nothing is set yet
        context = current()
        own = context.own if context is not None and context.starting else None
    if own is None:
        raise RuntimeError(f"this {type(instance).__name__} is not run by a supervisor")
    return own


class Worker(CallbackModule):
    """Base class of workers with state: subclass it and override the hooks.

    An instance is made, and every hook called, in the worker's own thread; each
    incarnation gets a new instance with the same arguments. The hooks are
    Pykka's. An exception in any of them is a crash of this incarnation.
    """

    def on_start(self) -> None:
        """Prepare; the worker counts as started when this has returned."""

    def on_receive(self, message: Any) -> Any:
        """Handle one message; what is returned answers an `ask`, or is passed on.

        Without an override the message is handled by a warning in the log.
        """
        name = type(self).__name__
        _logger.warning("unexpected message received by %s: %s", name, reprlib.repr(message))

    def on_stop(self) -> None:
        """Clean up after a stop or a normal end; within what is left of `shutdown`."""

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Clean up after a crash; then the incarnation ends."""


class Request(Generic[R_co]):
    """Base class of requests that say what the reply to them is, for type checkers.

    `class Get(Request[int])`: then `ref.call(Get())` is an `int`. Nothing is checked when
    it runs; any other object is a request as well.
    """

    __slots__ = ()


@final
@dataclass(frozen=True, slots=True)
class Cast:
    """A message on its way to `handle_cast`, as `cast` sends it and dead letters show it."""

    message: Any


class UnhandledError(TypeError):
    """Nothing handles a request: who called is told, and the server lives."""


class GenServer(CallbackModule):
    """Base class of servers with state, in the shape of OTP: override the callbacks.

    An instance is made, and every callback called, in the worker's own thread; each
    incarnation gets a new instance and the same arguments, in `init`. State lives in
    `self`; an exception in a callback is a crash of this incarnation.
    """

    _threadsup_timeout: float | None = None
    _threadsup_unexpected = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "timeout" in cls.__dict__:
            raise TypeError(f"{cls.__name__}.timeout must be set in init(): self.timeout = ...")

    # -- callbacks ------------------------------------------------------------------

    def init(self, *args: Any, **kwargs: Any) -> None:
        """Prepare; the worker counts as started when this has returned.

        Override it with the arguments that it takes. It returns nothing.
        """

    def handle_call(self, request: Any) -> Any:
        """Answer a `call` or an `ask` by what is returned, or later: see `defer`.

        Call it for a request that you do not know: then the caller gets a `TypeError`,
        and the server lives.
        """
        text = f"{type(self).__name__} does not handle this request: {reprlib.repr(request)}"
        raise UnhandledError(text)

    def handle_cast(self, message: Any) -> None:
        """Handle a message that was cast. Without an override it is logged."""
        _log_unexpected(self, "cast", message)

    def handle_info(self, message: Any) -> None:
        """Handle any other message: told, or from a timer. Without an override it is logged."""
        _log_unexpected(self, "message", message)

    def handle_continue(self, term: Any) -> None:
        """Do what `continue_with(term)` put off: before the next message is taken."""
        text = f"{type(self).__name__} has no handle_continue for {reprlib.repr(term)}"
        raise NotImplementedError(text)

    def handle_timeout(self) -> None:
        """Do what is to be done when nothing has come for `timeout` seconds."""

    def terminate(self, reason: ExitReason) -> None:
        """Clean up, at a clean end and after a crash; within what is left of `shutdown`."""

    # -- from within ----------------------------------------------------------------

    @property
    def timeout(self) -> float | None:
        """After how many seconds without a message `handle_timeout` is called.

        Again each time, as long as it is set; `None`, as at first: never. It counts as a
        message that was told, with its time limit, and its error is a crash.
        """
        return self._threadsup_timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        if problem := _TIMEOUT(seconds):
            raise ValueError(f"timeout {problem}")
        self._threadsup_timeout = seconds

    def defer(self) -> ReplyToken:
        """Have the request in hand answered later, by `reply`. Never blocks.

        What `handle_call` returns is then no answer, and must be `None`. Callers whose
        token is still open when the incarnation ends get `WorkerExited`.

        Raises:
            RuntimeError: what is in hand is no request, or is deferred already.
        """
        return cast("_Server", _own(self)).defer()

    def reply(
        self, token: ReplyToken, value: object = None, *, error: BaseException | None = None
    ) -> None:
        """Answer a request that was deferred. Never blocks; from any thread.

        Args:
            token: From `defer`.
            value: What its caller gets.
            error: What its caller gets raised, instead.

        Raises:
            RuntimeError: it was answered before, or the worker has ended.
        """
        token.reply(value, error=error)

    def continue_with(self, term: Any) -> None:
        """Have `handle_continue(term)` called before the next message. Never blocks.

        After the answer to the request in hand; in `init`, after the start was reported.
        """
        cast("_Server", _own(self)).go_on(term)


def _log_unexpected(server: GenServer, what: str, message: Any) -> None:
    server._threadsup_unexpected = count = server._threadsup_unexpected + 1  # noqa: SLF001
    # The first, the tenth, the hundredth: a sender that is wrong about this worker must
    # not drown the log.
    if str(count).strip("0") == "1":
        name, text = type(server).__name__, reprlib.repr(message)
        _logger.warning("unexpected %s received by %s (%d so far): %s", what, name, count, text)
