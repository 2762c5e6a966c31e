"""Pykka's private names, all of them, in one file; each is pinned by a test.

Owns how an untouched `pykka.ThreadingActor` subclass is built on our mailbox, how it
handles a message, and the places at which `Founded` hangs its own parts into Pykka's
class and its refs into Pykka's registry. It must not know threads, exits or
supervision: Pykka's own loop and its stop-all branch are never reached from here.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from bisect import bisect_left
from concurrent.futures import InvalidStateError
from contextlib import suppress
from itertools import count
from operator import attrgetter
from queue import Full
from threading import RLock
from typing import TYPE_CHECKING, Any, Protocol

import pykka
from pykka import ActorDeadError, ActorRegistry
from pykka._envelope import Envelope
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr
from pykka.messages import _ActorStop as ActorStop

from threadsup._errors import CallingSelfError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "PROXIED",
    "ActorStop",
    "Envelope",
    "Founded",
    "Inbox",
    "build",
    "disown",
    "enlist",
    "fail",
    "handle",
    "handle_proxied",
    "is_traversable",
    "is_whole",
    "retire",
    "strike",
    "succeed",
]

PROXIED = frozenset({ProxyCall, ProxyGetAttr, ProxySetAttr})
"""What a proxy sends."""

_logger = logging.getLogger("pykka")

_numbers = count(1)


class _Mailbox(Protocol):
    def put(self, message: Any, timeout: float | None = None) -> None: ...

    @property
    def pending(self) -> int: ...


class Inbox:
    """Our mailbox with Pykka's three methods: for what an actor sends to itself.

    An actor's own `actor_ref`, and every proxy made from it, puts envelopes here.
    A tell goes on without its envelope, as a tell of ours has none; a stop goes to
    `stop(reply_to)`, which has it take effect behind what is queued. What a proxy sends
    goes to `proxied(envelope)`, if that is given.
    """

    def __init__(
        self,
        mailbox: _Mailbox,
        stop: Callable[[Any], None],
        is_own: Callable[[], bool] = bool,
        proxied: Callable[[Envelope[Any]], None] | None = None,
    ) -> None:
        self._mailbox = mailbox
        self._stop = stop
        self._is_own = is_own
        """Tells whether the calling thread is the actor's."""
        self._proxied = proxied

    def put(self, envelope: Envelope[Any], /) -> None:
        """Put a message; may block at the bound of the mailbox.

        An ask of a closed mailbox fails through its future, as Pykka's does.
        """
        future: Any = envelope.reply_to
        if future is not None and self._is_own():
            # An answer to itself. The ref that has asked is Pykka's, and mostly its
            # future, too, which then has to know what one of ours knows.
            future.is_own = self._is_own
            if type(future) is pykka.ThreadingFuture:
                future.__class__ = _OwnAnswer
        kind = type(envelope.message)
        if kind is ActorStop:
            self._stop(envelope.reply_to)
        elif self._proxied is not None and kind in PROXIED:
            self._proxied(envelope)
        elif envelope.reply_to is None:
            self._mailbox.put(envelope.message)
        else:
            try:
                self._mailbox.put(envelope)
            except ActorDeadError as error:
                fail(envelope.reply_to, error)

    def get(self) -> Envelope[Any]:
        """Refuse: only Pykka's own loop, which never runs here, would call it."""
        msg = "the mailbox of an actor of ours is read by a loop of ours"
        raise RuntimeError(msg)

    def empty(self) -> bool:
        """Return whether nothing is queued."""
        return self._mailbox.pending == 0


class _OwnAnswer(pykka.ThreadingFuture[Any]):
    """The answer that an actor is to give itself: its own thread is not to wait for it."""

    is_own: Callable[[], bool] = bool
    """Of one that Pykka derives from it, the answer to a stop: it pulls the other."""

    def get(self, *, timeout: float | None = None) -> Any:
        if self._result is None and self.is_own():
            raise CallingSelfError("an actor would wait for its own answer")
        return super().get(timeout=timeout)


class Founded(pykka.ThreadingActor):
    """An actor of Pykka's whose inbox, ref and futures a subclass makes.

    The names in which it does are not to meet any of its users', nor be seen by a proxy.
    """

    @abstractmethod
    def _threadsup_inbox(self) -> Inbox:
        """Return its inbox. `actor_urn` is there; nothing else is."""

    @abstractmethod
    def _threadsup_ref(self) -> pykka.ActorRef[Any]:
        """Return its ref; all else is there."""

    @classmethod
    @abstractmethod
    def _threadsup_future(cls) -> pykka.Future[Any]:
        """Return a future for an answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One that is supervised has the inbox that `build` has given it, and Pykka's ref.
        if "_create_actor_inbox" not in object.__getattribute__(self, "__dict__"):
            self._actor_ref = self._threadsup_ref()

    def _create_actor_inbox(self) -> Inbox:  # type: ignore[override]
        return self._threadsup_inbox()

    @classmethod
    def _create_future(cls) -> pykka.Future[Any]:
        return cls._threadsup_future()


def enlist(ref: Any) -> None:
    """Put a ref into Pykka's registry, with a number by which `strike` finds it."""
    with ActorRegistry._actor_refs_lock:  # noqa: SLF001
        ref.number = next(_numbers)
        ActorRegistry._actor_refs.append(ref)  # noqa: SLF001
    _logger.debug("Registered %s", ref)


def strike(ref: Any) -> None:
    """Take a ref out of Pykka's registry.

    Pykka compares it with all that were there before, which makes ten thousand stops
    cost a hundred million. Refs of ours stand there in the order of their numbers.
    Where others, or one that was registered by hand, stand between them, the one that
    is found this way is another one, or none, and Pykka is to look.
    """
    with ActorRegistry._actor_refs_lock:  # noqa: SLF001
        refs = ActorRegistry._actor_refs  # noqa: SLF001
        found = False
        with suppress(AttributeError, IndexError):
            at = bisect_left(refs, ref.number, key=attrgetter("number"))
            found = refs[at] is ref
            if found:
                del refs[at]
    if found:
        _logger.debug("Unregistered %s", ref)
    else:
        ActorRegistry.unregister(ref)


def disown(kind: type[Any]) -> list[Any]:
    """Take all refs of a kind out of the registry, in the child of a fork; return them.

    Takes no lock: whoever held the registry's does not exist here, so it is replaced.
    """
    ActorRegistry._actor_refs_lock = RLock()  # noqa: SLF001
    refs = ActorRegistry._actor_refs  # noqa: SLF001
    gone = [ref for ref in refs if isinstance(ref, kind)]
    refs[:] = [ref for ref in refs if not isinstance(ref, kind)]
    return gone


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
    if not is_whole(actor):
        raise TypeError(f"{cls.__qualname__}.__init__() must call super().__init__()")
    return actor


def is_whole(actor: pykka.Actor) -> bool:
    """Return whether Pykka's own `__init__` has run."""
    return "_actor_ref" in object.__getattribute__(actor, "__dict__")


def handle(actor: pykka.ThreadingActor, message: Any) -> Any:
    """Let the actor handle a message, a proxy's calls and reads included."""
    kind = type(message)  # exactly: isinstance() would ask the message for its __class__
    if kind is ProxyCall or kind is ProxyGetAttr or kind is ProxySetAttr:
        return actor._handle_receive(message)  # noqa: SLF001
    return actor.on_receive(message)


def handle_proxied(actor: pykka.ThreadingActor, message: Any) -> Any:
    """Let the actor do what a proxy has sent: a message of a type in `PROXIED`."""
    return actor._handle_receive(message)  # noqa: SLF001


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
        try:  # noqa: SIM105 - suppress() is two calls, for every answer
            future.set(value)
        except (InvalidStateError, Full):
            pass


def fail(future: Any, error: BaseException) -> None:
    """Settle a future, or what stands for one, with an error.

    One settled or cancelled stays as it is.
    """
    if future is not None:
        with suppress(InvalidStateError, Full):
            future.set_exception((type(error), error, error.__traceback__))
