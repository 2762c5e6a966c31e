"""A `pykka.ThreadingActor` without its races: the same class, on our mailbox.

Owns the actor that nobody supervises: its thread, its loop, its ref. It must not know
supervision: an actor has one life, and what Pykka documents is what it does.

What Pykka's own loop leaves open is closed here, by the mailbox: a message is taken,
answered or refused, whatever it meets. There a sender looks whether the actor lives and
then puts, and the actor empties its queue once and goes: what comes in between is told
to nobody, and who asked, or asked for the stop, waits for ever.
"""

from __future__ import annotations

import contextvars
import logging
import os
import threading
from functools import partial
from itertools import count
from threading import get_ident
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

import pykka

from threadsup._errors import CallingSelfError, MailboxClosed, ReplyTimeout, WorkerExited
from threadsup._exits import Crashed, describe_exception, reason_of
from threadsup._runtime.future import Future
from threadsup._runtime.mailbox import Mailbox, Token
from threadsup._runtime.pykka_compat import (
    PROXIED,
    ActorStop,
    Envelope,
    Founded,
    Inbox,
    disown,
    enlist,
    fail,
    handle,
    handle_proxied,
    is_whole,
    strike,
    succeed,
)
from threadsup._runtime.thread import Thread

if TYPE_CHECKING:
    from typing import Self

__all__ = ["ActorRef", "ThreadingActor"]

_logger = logging.getLogger("pykka")

_threads = count()

A = TypeVar("A", bound="pykka.Actor")


class ThreadingActor(Founded):
    """A `pykka.ThreadingActor`: change the import, and everything else stays.

    `start`, refs, proxies, futures, hooks, the registry and the log are Pykka's. What is
    different:

    * A `BaseException` (`SystemExit`, `KeyboardInterrupt`) ends this actor and no other.
      Who had asked gets `WorkerExited`.
    * Every `ask` is answered, and every `stop`, whatever they meet.
    * To wait for oneself (`self.actor_ref.ask(...)`, `stop()`, `get()` of one's own
      answer) raises `CallingSelfError` instead of hanging.
    * Futures are `concurrent.futures.Future`s as well, and `await` blocks no event loop.
      `map` and the like run when the value arrives, in the thread that brings it.
    """

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ActorRef[Self]:
        """Make an actor of these arguments, register it and start its thread.

        `__init__` runs here, `on_start` and all that follows in the new thread, which
        this does not wait for.

        Raises:
            TypeError: its `__init__` does not call `super().__init__()`.
            RuntimeError: the thread could not be started; the actor is dead then.
        """
        actor = cls(*args, **kwargs)
        if not is_whole(actor):
            raise TypeError(f"{cls.__qualname__}.__init__() must call super().__init__()")
        ref = cast("ActorRef[Self]", actor.actor_ref)
        enlist(ref)
        _logger.debug("Starting %s", actor)
        # An empty context, on every version: an actor lives long and must not pin the
        # context variables of whoever happened to start it.
        run = contextvars.Context().run
        thread = Thread(
            target=run, args=(_live, actor, ref), name=f"{cls.__name__}-{next(_threads)}"
        )
        thread.daemon = cls.use_daemon_thread
        try:
            thread.start()
        except BaseException:
            # Else it would be listed for ever, and whoever asks it wait as long.
            _retire(actor, ref)
            raise
        return ref

    def stop(self) -> None:
        """Stop behind what is queued now. Never blocks."""
        self.actor_ref.stop(block=False)

    # -- what it is made of ---------------------------------------------------------

    def _threadsup_inbox(self) -> _Inbox:
        return _Inbox(f"{type(self).__name__} ({self.actor_urn})")

    def _threadsup_ref(self) -> ActorRef[Self]:
        return ActorRef(self)

    @classmethod
    def _threadsup_future(cls) -> Future[Any]:
        return Future()


class _Inbox(Inbox):
    """A mailbox with Pykka's methods, and the thread that reads it.

    Nothing here holds the actor: it goes when its thread has ended and nobody has it.
    """

    def __init__(self, name: str) -> None:
        self.mailbox = Mailbox(name, on_undelivered=partial(_answer_left, name))
        self.reader: int | None = None
        """Which thread runs the actor, while one does."""
        super().__init__(self.mailbox, partial(_put_stop, self.mailbox))

    def is_read_here(self) -> bool:
        """Whether this thread is the actor's."""
        return self.reader == get_ident()


class ActorRef(pykka.ActorRef[A]):
    """Reference to a `ThreadingActor`; for any thread."""

    number: int
    """Its place among all that were started."""

    def __init__(self, actor: A) -> None:
        super().__init__(actor)
        inbox = cast("_Inbox", self.actor_inbox)
        self._inbox = inbox
        self._put = inbox.mailbox.put

    def tell(self, message: Any) -> None:
        """Send a message and go on. Never blocks.

        Raises:
            MailboxClosed: the actor is dead; a `pykka.ActorDeadError`.
        """
        try:
            self._put(message)
        except MailboxClosed:
            raise MailboxClosed(f"{self} not found") from None

    @overload
    def ask(
        self, message: Any, *, block: Literal[False], timeout: float | None = ...
    ) -> Future[Any]: ...

    @overload
    def ask(
        self, message: Any, *, block: Literal[True] = ..., timeout: float | None = ...
    ) -> Any: ...

    @overload
    def ask(
        self, message: Any, *, block: bool = ..., timeout: float | None = ...
    ) -> Any | Future[Any]: ...

    def ask(
        self, message: Any, *, block: bool = True, timeout: float | None = None
    ) -> Any | Future[Any]:
        """Send a message and wait for the answer, or, without `block`, get a future.

        Blocks: with `block`, until answered, for up to `timeout` seconds, `None` without
        limit.

        Raises:
            ReplyTimeout: no answer in time; a `pykka.Timeout`.
            MailboxClosed: the actor is dead; a `pykka.ActorDeadError`. Without `block`
                the future raises it.
            WorkerExited: the actor ended before it answered; a `pykka.ActorDeadError`.
            CallingSelfError: with `block`, from the actor itself.
            Exception: whatever the actor raised, as it is.
        """
        if block:
            self._check_other("answer: use block=False")
        future: Future[Any] = Future()
        future.is_own = self._inbox.is_read_here
        try:
            self._put(Envelope(message, future))
        except MailboxClosed:
            future.set_exception(MailboxClosed(f"{self} not found"))
        if not block:
            return future
        try:
            return future.result(timeout)
        except ReplyTimeout:
            if future.done():
                raise  # the actor's own
            raise ReplyTimeout(f"{self} did not answer within {timeout:g} s") from None

    @overload
    def stop(self, *, block: Literal[True] = ..., timeout: float | None = ...) -> bool: ...

    @overload
    def stop(self, *, block: Literal[False], timeout: float | None = ...) -> Future[bool]: ...

    @overload
    def stop(self, *, block: bool = ..., timeout: float | None = ...) -> bool | Future[bool]: ...

    def stop(self, *, block: bool = True, timeout: float | None = None) -> bool | Future[bool]:
        """Stop the actor behind what is queued now.

        Blocks: with `block`, until it has stopped and its last hook has run, for up to
        `timeout` seconds, `None` without limit.

        Returns:
            Whether it was there to be stopped; without `block` a future of that.

        Raises:
            ReplyTimeout: not in time; a `pykka.Timeout`. It stops all the same.
            CallingSelfError: with `block`, from the actor itself.
        """
        if block:
            self._check_other("end: use block=False")
        future: Future[bool] = Future()
        future.is_own = self._inbox.is_read_here
        stopped = partial(succeed, future, True)
        if not self._inbox.mailbox.put_token(Token(arrived=stopped, lost=stopped)):
            future.settle(value=False)
        return future.result(timeout) if block else future

    def mark_forked(self) -> None:
        """Be dead, as no thread survives a fork. Takes no lock."""
        self._inbox.mailbox.poison("it runs in the process that was forked")
        # Another one: somebody may have held the lock of the first.
        self.actor_stopped = threading.Event()
        self.actor_stopped.set()

    def _check_other(self, what: str) -> None:
        if self._inbox.is_read_here():
            raise CallingSelfError(f"{self} would wait for its own {what}")


# -- a life, in its own thread --------------------------------------------------------


def _live(actor: ThreadingActor, ref: ActorRef[Any]) -> None:
    """Run an actor from its first hook to its last; nothing it raises leaves here."""
    inbox = cast("_Inbox", actor.actor_inbox)
    inbox.reader = get_ident()
    stops: list[Token] = []
    started = crashed = False
    error: BaseException | None = None
    try:
        try:
            actor.on_start()
            started = True
            _serve(actor, inbox.mailbox, stops)
        except BaseException as raised:
            error = raised
            crashed = isinstance(reason_of(raised), Crashed)
            if crashed:
                _logger.exception("Unhandled exception in %s:", actor)
        finally:
            stops += _retire(actor, ref)
        try:
            if error is None or (started and not crashed):
                actor.on_stop()
            elif started:
                actor.on_failure(type(error), error, error.__traceback__)
        except BaseException:  # the boundary still
            _logger.exception("Unhandled exception in %s:", actor)
    finally:
        inbox.reader = None
        for token in stops:
            if token.arrived is not None:
                token.arrived()
        del error  # whose traceback holds this frame


def _serve(actor: ThreadingActor, mailbox: Mailbox, stops: list[Token]) -> None:
    """Handle messages until a stop comes, which is put into `stops`."""
    take, wait = mailbox.queue.popleft, mailbox.get
    type_of, envelope, a_token, proxied = type, Envelope, Token, PROXIED
    while True:
        try:
            raw = take()
        except IndexError:
            raw = wait()
        kind = type_of(raw)
        if kind is envelope:
            _answer(actor, raw)
        elif kind is a_token:
            mailbox.took_token()
            if raw.arrived is not None:
                stops.append(raw)
                return
        elif kind in proxied:
            handle_proxied(actor, raw)
        elif kind is ActorStop:
            return
        else:
            actor.on_receive(raw)
        raw = None  # who is idle keeps nobody's message alive


def _answer(actor: ThreadingActor, envelope: Envelope[Any]) -> None:
    """Handle a message that somebody waits for; what it raises is the answer."""
    future: Any = envelope.reply_to
    ours = type(future) is Future
    if ours and not future.set_running_or_notify_cancel():
        return
    try:
        result = handle(actor, envelope.message)
    except Exception as error:  # noqa: BLE001 - it is for who asked
        try:
            _logger.info("Exception returned from %s to caller:", actor, exc_info=error)
        finally:
            fail(future, error)
    except BaseException as error:
        text = f"{actor.actor_ref} ended while it answered: {describe_exception(error)}"
        answer = WorkerExited(text, reason_of(error))
        answer.__cause__ = error
        fail(future, answer)
        raise
    else:
        if ours:
            future.settle(result)
        else:
            succeed(future, result)
    finally:
        del envelope, future  # what was raised holds this frame, and the future what was raised


def _retire(actor: ThreadingActor, ref: ActorRef[Any]) -> list[Token]:
    """Be dead to everybody: refuse messages, answer those left. Return the stops left.

    Before the last hook: that may stop others, who may be waiting for one of these
    answers. A stop is answered after it.
    """
    strike(ref)
    mailbox = cast("_Inbox", actor.actor_inbox).mailbox
    left = mailbox.close("it has stopped")
    actor.actor_stopped.set()
    _logger.debug("Stopped %s", ref)
    messages = [raw for raw in left if type(raw) is not Token]
    if messages:
        _logger.debug("%s stopped with %d messages unhandled", ref, len(messages))
        _answer_left(str(ref), messages)
    return [raw for raw in left if type(raw) is Token]


def _answer_left(name: str, messages: list[Any], why: str = "") -> None:  # noqa: ARG001
    for message in messages:
        if type(message) is Envelope:
            fail(message.reply_to, WorkerExited(f"{name} stopped before handling the message"))


def _put_stop(mailbox: Mailbox, reply_to: Any) -> None:
    """Stop for who puts Pykka's message into the inbox itself."""
    answer = partial(succeed, reply_to, None)
    if not mailbox.put_token(Token(arrived=answer, lost=answer)):
        fail(reply_to, WorkerExited(f"{mailbox.id} not found"))


def _after_fork_in_child() -> None:
    for ref in disown(ActorRef):
        ref.mark_forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
