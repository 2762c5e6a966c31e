"""Pykka's private names, all of them, in one file; each is pinned by a test.

Owns how an untouched `pykka.ThreadingActor` subclass is built on our mailbox and
how it handles a message. It must not know threads, exits or supervision: Pykka's
own loop, its registry and its stop-all branch are never reached from here.
"""

from __future__ import annotations

from concurrent.futures import InvalidStateError
from contextlib import suppress
from queue import Full
from typing import TYPE_CHECKING, Any, Protocol

from pykka import ActorDeadError
from pykka._envelope import Envelope
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr
from pykka.messages import _ActorStop as ActorStop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pykka

__all__ = [
    "ActorStop",
    "Envelope",
    "Inbox",
    "build",
    "fail",
    "handle",
    "is_traversable",
    "retire",
    "succeed",
]


class _Mailbox(Protocol):
    def put(self, message: Any, timeout: float | None = None) -> None: ...

    @property
    def pending(self) -> int: ...


class Inbox:
    """Our mailbox with Pykka's three methods: for what an actor sends to itself.

    An actor's own `actor_ref`, and every proxy made from it, puts envelopes here.
    A tell goes on without its envelope, as a tell of ours has none; a stop goes to
    `stop(reply_to)`, which has it take effect behind what is queued.
    """

    def __init__(self, mailbox: _Mailbox, stop: Callable[[Any], None]) -> None:
        self._mailbox = mailbox
        self._stop = stop

    def put(self, envelope: Envelope[Any], /) -> None:
        """Put a message; may block at the bound of the mailbox.

        An ask of a closed mailbox fails through its future, as Pykka's does.
        """
        if type(envelope.message) is ActorStop:
            self._stop(envelope.reply_to)
        elif envelope.reply_to is None:
            self._mailbox.put(envelope.message)
        else:
            try:
                self._mailbox.put(envelope)
            except ActorDeadError as error:
                fail(envelope.reply_to, error)

    def get(self) -> Envelope[Any]:
        """Refuse: only the actor's own loop, which never runs here, would call it."""
        msg = "the mailbox of a supervised actor is read by its supervisor's loop"
        raise RuntimeError(msg)

    def empty(self) -> bool:
        """Return whether nothing is queued."""
        return self._mailbox.pending == 0


def build(
    cls: type[pykka.ThreadingActor],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    inbox: Inbox,
) -> pykka.ThreadingActor:
    """Make an actor on `inbox`, not started and not in the registry.

    The instance attribute shadows the static method, so that `Actor.__init__`
    finds our inbox and the class stays as it is.

    Raises:
        TypeError: its `__init__` did not call `super().__init__()`.
    """
    actor = cls.__new__(cls, *args, **kwargs)
    # Past a __setattr__ and a __getattr__ of the class: before and without __init__
    # neither need work.
    object.__setattr__(actor, "_create_actor_inbox", lambda: inbox)
    cls.__init__(actor, *args, **kwargs)
    if "_actor_ref" not in object.__getattribute__(actor, "__dict__"):
        raise TypeError(f"{cls.__qualname__}.__init__() must call super().__init__()")
    return actor


def handle(actor: pykka.ThreadingActor, message: Any) -> Any:
    """Let the actor handle a message, a proxy's calls and reads included."""
    kind = type(message)  # exactly: isinstance() would ask the message for its __class__
    if kind is ProxyCall or kind is ProxyGetAttr or kind is ProxySetAttr:
        return actor._handle_receive(message)  # noqa: SLF001
    return actor.on_receive(message)


def is_traversable(attribute: object) -> bool:
    """Return whether `pykka.traversable` has marked an attribute or its class."""
    marks = ("_pykka_traversable", "pykka_traversable")
    return any(getattr(attribute, mark, False) is True for mark in marks)


def retire(actor: pykka.ThreadingActor) -> None:
    """Let refs taken inside the actor see that it is dead."""
    actor.actor_stopped.set()


def succeed(future: Any, value: Any) -> None:
    """Settle a future of ours or of Pykka's, or what stands for one.

    One settled or cancelled stays as it is.
    """
    if future is not None:
        with suppress(InvalidStateError, Full):
            future.set(value)


def fail(future: Any, error: BaseException) -> None:
    """Settle a future, or what stands for one, with an error.

    One settled or cancelled stays as it is.
    """
    if future is not None:
        with suppress(InvalidStateError, Full):
            future.set_exception((type(error), error, error.__traceback__))
