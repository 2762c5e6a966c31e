"""Pykka's classes as workers and as stages: untouched, on our mailbox, in our loop.

Owns the behaviours of Pykka classes, and what their instances send themselves. It must
not know restarts, groups or chains, nor Pykka's insides.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pykka.messages import ProxyGetAttr, ProxySetAttr

from threadsup._errors import WorkerExited
from threadsup._exits import Shutdown, WorkerExit, describe_exception, reason_of
from threadsup._runtime.context import current
from threadsup._runtime.mailbox import Token
from threadsup._runtime.proxy import parts_of
from threadsup._runtime.pykka_compat import (
    PROXIED,
    Envelope,
    Inbox,
    build,
    fail,
    handle_proxied,
    retire,
    succeed,
)
from threadsup._runtime.worker import WorkerBehaviour

if TYPE_CHECKING:
    from collections.abc import Callable

    import pykka

__all__ = ["PykkaBehaviour", "PykkaStageBehaviour"]


def _is_attribute(message: object) -> bool:
    return type(message) is ProxyGetAttr or type(message) is ProxySetAttr


class PykkaBehaviour(WorkerBehaviour):
    """An instance of an untouched Pykka class, on our mailbox and in our loop."""

    instance: pykka.ThreadingActor
    _stops: list[Token]
    """What it was stopped with by itself, or by who has its own ref."""

    def start(self) -> None:
        """Make the actor, its inbox in place before `__init__` runs; then `on_start`."""
        self._stops = []
        target, args, kwargs = self._call
        self.instance = build(target, args, kwargs, self._inbox())  # type: ignore[arg-type]
        try:
            self.instance.on_start()
        except BaseException:
            retire(self.instance)
            raise
        self._show_parts()

    def _inbox(self) -> Inbox:
        return Inbox(self._life.mailbox, self._stop_behind_what_is_queued, self._is_own)

    @cached_property
    def handler(self) -> Callable[[Any], Any]:
        """What each message goes to, a proxy's calls and reads included."""
        # To read an attribute says nothing of whether calls succeed: it closes no breaker.
        return self._calling(self._receive, apart=_is_attribute)

    def _receive(self, message: Any) -> Any:
        kind = type(message)
        if kind not in PROXIED:
            return self.instance.on_receive(message)
        result = handle_proxied(self.instance, message)
        if kind is ProxySetAttr:
            self._show_parts()
        return result

    def stop(self) -> None:
        """Run `on_stop`, when it is dead to who has a ref from inside."""
        retire(self.instance)
        super().stop()

    def fail(self, error: BaseException) -> None:
        """Run `on_failure`, as above."""
        retire(self.instance)
        super().fail(error)

    def _is_own(self) -> bool:
        return current() is self._life.context

    def _show_parts(self) -> None:
        """Say what the instance has beside its class, for proxies, which do not look."""
        with suppress(WorkerExit):  # it was given up on: the next one is to say
            ref = self._life.context.ref
            if ref is not None:
                ref.parts = parts_of(self.instance)

    def _stop_behind_what_is_queued(self, reply_to: Any) -> None:
        def answer() -> None:
            succeed(reply_to, None)

        token = Token(arrived=answer, lost=answer)
        self._stops.append(token)
        if not self._life.mailbox.put_token(token):
            answer()

    def _arrived(self, token: Token) -> bool:
        if super()._arrived(token):
            return True
        if token.arrived is not None:
            token.arrived()
        # An actor may have been stopped twice, or have ended before its stop came: what
        # was meant for it does not stop the next one.
        if token in self._stops:
            raise WorkerExit(Shutdown())
        return False


class PykkaStageBehaviour(PykkaBehaviour):
    """The same, as a stage: it is sent items.

    What it tells itself is an item, too. What it sends itself by a proxy is none: it has
    no result that would go on, so it is no message here, but a token.
    """

    _sent: dict[Token, Envelope[Any]]

    @cached_property
    def handler(self) -> Callable[[Any], Any]:
        """What each item goes to."""
        return self._calling(self.instance.on_receive)

    def _inbox(self) -> Inbox:
        self._sent = {}
        stop = self._stop_behind_what_is_queued
        return Inbox(self._life.mailbox, stop, self._is_own, self._send)

    def _send(self, envelope: Envelope[Any]) -> None:
        def lose() -> None:
            fail(envelope.reply_to, WorkerExited(f"{self._life.id!r} ended before it came to that"))

        token = Token(arrived=lose, lost=lose)
        self._sent[token] = envelope
        if not self._life.mailbox.put_token(token):
            lose()

    def took(self, token: Token) -> bool:
        """See to a token if it is one of its own; return whether it was."""
        envelope = self._sent.pop(token, None)
        if envelope is None:
            if token not in self._stops:
                return False
            self._arrived(token)
            return True
        try:
            result = self._receive(envelope.message)
        except Exception as error:
            if envelope.reply_to is None:
                raise
            fail(envelope.reply_to, error)
        except BaseException as error:
            text = f"{self._life.id!r} ended while it answered: {describe_exception(error)}"
            fail(envelope.reply_to, WorkerExited(text, reason_of(error)))
            raise
        else:
            succeed(envelope.reply_to, result)
        return True
