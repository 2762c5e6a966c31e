"""The stable handle of one worker: tell, ask, stop, wait, monitor.

Owns `WorkerRef`. It must not know supervisors: what a mailbox cannot do it asks
of a `Keeper`. A `tell` touches the ref and the mailbox and nothing else.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, final, overload

from threadsup._errors import CallingSelfError, MailboxClosed, ReplyTimeout
from threadsup._runtime.context import current
from threadsup._runtime.future import Future
from threadsup._runtime.proxy import Proxy
from threadsup._runtime.pykka_compat import Envelope
from threadsup._specs import Cast, GenServer, is_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from threadsup._exits import ChildId, Exit, ExitReason
    from threadsup._runtime.mailbox import Mailbox
    from threadsup._runtime.proxy import Part
    from threadsup._snapshot import WorkerStatistics
    from threadsup._specs import Request

__all__ = ["ASK_TIMEOUT", "Keeper", "WorkerRef"]

R = TypeVar("R")

_NO_PARTS: Mapping[str, Part] = MappingProxyType({})

ASK_TIMEOUT = 30.0
"""Seconds a blocking `ask` waits by default."""


class Keeper(Protocol):
    """Who keeps a worker alive, as far as a ref needs it."""

    id: ChildId
    mailbox: Mailbox
    target: Callable[..., Any]
    drains: bool
    """Whether `stop` handles what is queued first, unless told otherwise."""

    @property
    def alive(self) -> bool:
        """Whether an incarnation is up."""

    @property
    def incarnation(self) -> int:
        """The number of the present or last incarnation; 0 before the first."""

    def request_stop(self, *, drain: bool) -> Future[bool]:
        """Have it stopped for good; the future tells whether it was running."""

    def wait(self, timeout: float | None) -> ExitReason | None:
        """Wait for its final end."""

    def monitor(self, fn: Callable[[Exit], object]) -> Callable[[], None]:
        """Have `fn` called at each exit."""

    def statistics(self) -> WorkerStatistics:
        """Return its counts."""


@final
class WorkerRef:
    """A worker, whichever incarnation of it is running.

    From `add_worker`, `worker(id)` and the like; valid for as long as anybody
    holds it, across restarts. May be used from any thread.
    """

    __slots__ = ("__weakref__", "_keeper", "_mailbox", "parts")

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._mailbox = keeper.mailbox
        self.parts: Mapping[str, Part] = _NO_PARTS
        """Of a Pykka class: what its instance has beside it, for proxies. For its worker."""

    def __repr__(self) -> str:
        state = "alive" if self.is_alive() else "not alive"
        return f"<WorkerRef {self.id!r}, incarnation {self.incarnation}, {state}>"

    @property
    def id(self) -> ChildId:
        """Its id in its supervisor, group or chain."""
        return self._keeper.id

    @property
    def incarnation(self) -> int:
        """How often it has been started; each attempt counts."""
        return self._keeper.incarnation

    def is_alive(self) -> bool:
        """Return whether an incarnation is up; between two of them it is not."""
        return self._keeper.alive

    def tell(self, message: Any, timeout: float | None = None) -> None:
        """Send a message and go on.

        Blocks: only where the worker's mailbox is bounded and waits
        (`on_full="wait"`), for up to `timeout` seconds, `None` without limit.

        Raises:
            MailboxFull: there was no room, at once or in time.
            MailboxClosed: the worker has ended for good or was stopped.
        """
        self._mailbox.put(message, timeout)

    def tell_nowait(self, message: Any) -> None:
        """Send a message and go on. Never blocks.

        Raises:
            MailboxFull: there is no room now.
            MailboxClosed: the worker has ended for good or was stopped.
        """
        self._mailbox.put_nowait(message)

    @overload
    def ask(
        self, message: Any, timeout: float | None = ..., *, block: Literal[False]
    ) -> Future[Any]: ...

    @overload
    def ask(
        self, message: Any, timeout: float | None = ..., *, block: Literal[True] = ...
    ) -> Any: ...

    @overload
    def ask(
        self, message: Any, timeout: float | None = ..., *, block: bool
    ) -> Any | Future[Any]: ...

    def ask(
        self, message: Any, timeout: float | None = ASK_TIMEOUT, *, block: bool = True
    ) -> Any | Future[Any]:
        """Send a message and wait for the answer, or, without `block`, get a future.

        Blocks: with `block`, until answered, for up to `timeout` seconds, `None`
        without limit; without, only for room, as `tell` does.

        Raises:
            ReplyTimeout: no answer in time; the message may still be handled.
            WorkerExited: the worker ended before it answered.
            NoReply: it received the message and went on without answering.
            MailboxClosed: the worker has ended for good or was stopped. Without
                `block` the future raises this, as Pykka's does.
            CallingSelfError: with `block`, from the worker itself.
            Exception: whatever the worker's code raised, as it is.
        """
        mailbox = self._mailbox
        future: Future[Any] = Future()
        if not block:
            future.is_own = self._is_self
            try:
                mailbox.put(Envelope(message, future))
            except MailboxClosed as error:
                future.set_exception(error)
            return future
        context = current()  # as `_is_self`, which is a call dearer
        if context is not None and context.home is mailbox:
            raise CallingSelfError(f"{self.id!r} would wait for its own answer")
        mailbox.put(Envelope(message, future), timeout)
        try:
            return future.result(timeout)
        except ReplyTimeout:
            if future.done():
                raise  # the worker's own
            raise ReplyTimeout(f"{self.id!r} did not answer within {timeout:g} s") from None

    @overload
    def call(self, request: Request[R], timeout: float | None = ...) -> R: ...

    @overload
    def call(self, request: Any, timeout: float | None = ...) -> Any: ...

    def call(self, request: Any, timeout: float | None = ASK_TIMEOUT) -> Any:
        """Send a request to a `GenServer` and wait for the answer of its `handle_call`.

        What the answer is to a type checker, the class of the request says: see `Request`.

        Blocks: until answered, for up to `timeout` seconds, `None` without limit.

        Raises:
            TypeError: the worker is no `GenServer`, or handles no such request.
            ReplyTimeout: no answer in time; the request may still be handled.
            WorkerExited: the worker ended before it answered.
            MailboxClosed: the worker has ended for good or was stopped.
            CallingSelfError: from the worker itself.
            Exception: whatever the server's code raised, as it is.
        """
        self._check_server("handle_call", "ask")
        return self.ask(request, timeout)

    def cast(self, message: Any, timeout: float | None = None) -> None:
        """Send a message to the `handle_cast` of a `GenServer` and go on.

        Blocks: only where a `tell` would, for room, for up to `timeout` seconds.

        Raises:
            TypeError: the worker is no `GenServer`, or has no `handle_cast`.
            MailboxFull: there was no room, at once or in time.
            MailboxClosed: the worker has ended for good or was stopped.
        """
        self._check_server("handle_cast", "tell")
        self._mailbox.put(Cast(message), timeout)

    def _check_server(self, callback: str, instead: str) -> None:
        target = self._keeper.target
        if not is_server(target):
            raise TypeError(f"{self.id!r} is no GenServer: use {instead}()")
        if getattr(target, callback) is getattr(GenServer, callback):
            raise TypeError(f"{self.id!r} has no {callback}: {target.__name__} must define it")

    def proxy(self) -> Proxy:
        """Return a proxy of a Pykka class's methods and attributes, valid across restarts.

        Never blocks.

        Raises:
            TypeError: the worker is no Pykka class.
        """
        return Proxy(self, self._keeper.target)

    @overload
    def stop(
        self, *, block: Literal[False], timeout: float | None = ..., drain: bool | None = ...
    ) -> Future[bool]: ...

    @overload
    def stop(
        self,
        *,
        block: Literal[True] = ...,
        timeout: float | None = ...,
        drain: bool | None = ...,
    ) -> bool: ...

    @overload
    def stop(
        self, *, block: bool, timeout: float | None = ..., drain: bool | None = ...
    ) -> bool | Future[bool]: ...

    def stop(
        self, *, block: bool = True, timeout: float | None = None, drain: bool | None = None
    ) -> bool | Future[bool]:
        """Stop the worker for good, as `stop_child` does; `restart_child` brings it back.

        Blocks: with `block`, until it has ended or was abandoned, for up to
        `timeout` seconds.

        Args:
            block: `False` returns a future at once.
            timeout: Seconds, `None` without limit of its own.
            drain: Whether what is queued is handled first; by default only for
                Pykka classes, whose `stop` does.

        Returns:
            Whether it was running.

        Raises:
            CallingSelfError: with `block`, from the worker itself.
            ReplyTimeout: not in time.
        """
        if block and self._is_self():
            raise CallingSelfError(f"{self.id!r} would wait for its own end: use block=False")
        future = self._keeper.request_stop(drain=self._keeper.drains if drain is None else drain)
        return future.result(timeout) if block else future

    def wait(self, timeout: float | None = None) -> ExitReason | None:
        """Wait until the worker has ended for good; return why.

        Blocks: for up to `timeout` seconds, then returns `None`.

        Raises:
            CallingSelfError: from the worker itself.
        """
        if self._is_self():
            raise CallingSelfError(f"{self.id!r} would wait for its own end")
        return self._keeper.wait(timeout)

    def monitor(self, fn: Callable[[Exit], object]) -> Callable[[], None]:
        """Have `fn(exit)` called at each exit of the worker, in the tree's side thread.

        At once, with the last exit, when it has already ended for good; and again, now
        `final`, when one that was to come back turns out not to. Never blocks.

        Returns:
            A function that ends it.
        """
        return self._keeper.monitor(fn)

    def statistics(self) -> WorkerStatistics:
        """Return the counts over all incarnations. Never blocks for long."""
        return self._keeper.statistics()

    def _is_self(self) -> bool:
        context = current()
        return context is not None and context.home is self._mailbox
