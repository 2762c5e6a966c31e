"""The one future class: a `concurrent.futures.Future` and a `pykka.Future` at once.

Owns how an answer is waited for, chained and settled. It must not know who
answers, and why an answer may fail to come.

Pykka's `map`, `filter`, `join` and `reduce` are pushed here: the function runs
when the value arrives, in the thread that brings it, not when somebody asks.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import logging
import sys
import threading
from _thread import RLock
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pykka

from threadsup._errors import ReplyTimeout
from threadsup._runtime.context import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from threading import Condition
    from types import TracebackType

    ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

__all__ = ["Future"]

T = TypeVar("T")
R = TypeVar("R")

_logger = logging.getLogger("threadsup")


class _StateLock(RLock):  # type: ignore[misc]
    """Guards the state of a future, where the standard library has a condition.

    It is entered in C. An exception that comes from outside (Ctrl-C, an interrupt) finds
    it free or inside the `with`. A `threading.Condition` is entered in Python: there it
    can come with the lock held and nobody to release it, and then whoever answers hangs.
    Nobody waits for it to be notified: waiting is `_wait`'s.
    """

    def notify_all(self) -> None:
        """Do nothing: `_invoke_callbacks` wakes who waits."""


class _Waitable(concurrent.futures.Future[T]):
    """A future of the standard library whose waits a stop of the worker can end.

    Everything that reaches into the standard library's class is here, and pinned by
    tests: `_condition` guards its state, and `_invoke_callbacks` is what it calls
    once, without the lock, after each change to a final state.
    """

    _result: T
    _done_callbacks: list[Callable[[Any], Any]]
    # Class attributes, as most futures never need their own: making one is on the
    # path of every ask.
    _waiting: tuple[Wakeup, ...] = ()
    _heard = False
    _notified = False

    def __init__(self) -> None:
        super().__init__()
        # To a type checker it is what the standard library's users expect.
        self._condition = cast("Condition", _StateLock())

    def __repr__(self) -> str:
        # Not the standard library's: that takes the truth of a user's exception.
        with self._condition:
            state = "pending"
            if self.cancelled():
                state = "cancelled"
            elif self.done():
                state = "finished"
            elif self.running():
                state = "running"
        return f"<{type(self).__name__} at {id(self):#x} {state}>"

    # -- waiting --------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> T:
        """Return the value.

        Blocks: until it is there, for up to `timeout` seconds, `None` without limit;
        in a worker that is asked to stop, as every wait of the library.

        Raises:
            ReplyTimeout: it was not there in time.
            CancelledError: the future was cancelled.
            Exception: whatever the answer failed with, as it was raised.
        """
        error: BaseException | None = None
        try:
            error = self.exception(timeout)
            if error is None:
                return self._result
            raise error
        finally:
            # The traceback holds this frame, which must not hold the error in turn:
            # nobody would free the payload before the collector comes.
            del self, error

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the answer failed with, `None` if it did not. Blocks as `result`.

        Raises:
            ReplyTimeout: there was no answer in time.
            CancelledError: the future was cancelled.
        """
        self._wait(timeout)
        return super().exception(timeout=0)

    def _wait(self, timeout: float | None) -> None:
        if self.done():
            return
        wakeup = Wakeup()
        with self._condition:
            if self.done():
                return
            self._waiting = (*self._waiting, wakeup)
        try:
            happened = wakeup.wait(timeout)
        finally:
            with self._condition:
                self._waiting = tuple(other for other in self._waiting if other is not wakeup)
        if not happened and not self.done():
            raise ReplyTimeout(f"no answer within {timeout:g} s")

    # -- settling -------------------------------------------------------------------

    def _invoke_callbacks(self) -> None:
        """Wake who waits, then call the callbacks, whatever they raise.

        In this order: a callback that blocks holds up nobody's `result`. And nothing
        a callback raises ends the worker that happened to bring the answer.
        """
        for wakeup in self._waiting:
            wakeup.set()
        if not self._done_callbacks:
            return
        callbacks, self._done_callbacks = self._done_callbacks, []
        for callback in callbacks:
            try:
                callback(self)
            except BaseException:  # a user's code, in a thread not its own
                _logger.exception("a callback of %r failed", self)

    def settle(self, value: Any = None, error: BaseException | None = None) -> bool:
        """Settle unless that has been done; return whether this did it."""
        try:
            if error is None:
                super().set_result(value)
            else:
                super().set_exception(error)
        except concurrent.futures.InvalidStateError:
            return False
        return True

    def settle_unheard(self, value: Any = None, error: BaseException | None = None) -> bool:
        """Settle unless callbacks were added; return whether it is settled now.

        For threads that run no user code. The lock, which is re-entrant, closes
        the race with `add_done_callback`: it either comes before, and is heard of
        here, or after, and then runs in the thread that adds it.
        """
        with self._condition:
            if not self.done():
                if self._heard:
                    return False
                self.settle(value, error)
        return True

    def cancel(self) -> bool:
        """Cancel the answer; return whether it is cancelled: not once it is being made."""
        cancelled = super().cancel()
        if cancelled:
            # Now, not when the message is taken: `concurrent.futures.wait` takes a
            # future for done only then, and nobody ever takes the message of a `map`.
            self.set_running_or_notify_cancel()
        return cancelled

    def set_running_or_notify_cancel(self) -> bool:
        """Mark it as being answered; return `False` if it is cancelled or settled.

        May be called again, as a message may be delivered again.
        """
        with self._condition:
            if self.running():
                return True
            if self._notified or (self.done() and not self.cancelled()):
                return False
            running = super().set_running_or_notify_cancel()
            self._notified = not running
            return running


class Future(_Waitable[T], pykka.Future[T]):
    """An answer that is there now or later.

    Made by `ask(block=False)` and `submit`. `result`, `get`, `add_done_callback`,
    `concurrent.futures.wait`, `asyncio.wrap_future` and `await` all work on it;
    `cancel()` works while the message is queued.
    """

    _hook: Callable[[float | None], T] | None = None
    _pulled = False

    __repr__ = _Waitable.__repr__

    def get(self, *, timeout: float | None = None) -> T:
        """Return the value: Pykka's word for `result`."""
        try:
            return self.result(timeout)
        finally:
            del self  # as `result` does, and why

    def __await__(self) -> Generator[Any, None, T]:
        """Wait in an event loop without blocking it."""
        import asyncio  # noqa: PLC0415 - who awaits has it already; others need not pay

        return asyncio.wrap_future(self).__await__()

    __iter__ = __await__

    def add_done_callback(self, fn: Callable[[Future[T]], Any]) -> None:
        """Call `fn(future)` when it is done: in the thread that settles it, or now."""
        with self._condition:
            self._heard = True
        super().add_done_callback(fn)  # type: ignore[arg-type]
        self._pull_if_heard()

    # -- settling -------------------------------------------------------------------

    def set(self, value: T | None = None) -> None:
        """Settle with a value: Pykka's word for `set_result`."""
        self.set_result(value)  # type: ignore[arg-type]

    def set_exception(self, exception: BaseException | ExcInfo | None = None) -> None:
        """Settle with an exception, Pykka's `exc_info`, or the one being handled."""
        if exception is None:
            exception = sys.exc_info()
        # By its type: isinstance() would ask the exception for its __class__.
        if issubclass(type(exception), tuple):
            kind, value, trace = exception  # type: ignore[misc]
            if value is None:
                value = RuntimeError("no exception given") if kind is None else kind()
            exception = value if trace is None else value.with_traceback(trace)
        super().set_exception(exception)  # type: ignore[arg-type]

    # -- Pykka's get hooks: for what cannot be pushed -------------------------------

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Let `func(timeout)` bring the value when it is first asked for.

        It runs in the thread that asks, and a stop does not end it; a callback or an
        `await` has it run in a thread of its own.

        Raises:
            InvalidStateError: the future is settled already.
        """
        with self._condition:
            if self.done():
                raise concurrent.futures.InvalidStateError("the future is settled already")
            self._hook = func
        self._pull_if_heard()

    def _wait(self, timeout: float | None) -> None:
        if self._hook is not None and not self.done():
            self._pull(timeout)
        super()._wait(timeout)

    def _pull(self, timeout: float | None) -> None:
        assert self._hook is not None
        try:
            value = self._hook(timeout)
        except BaseException as error:
            if timeout is not None and isinstance(error, pykka.Timeout):
                raise ReplyTimeout(f"no answer within {timeout:g} s") from error
            if not isinstance(error, Exception):
                raise  # meant for the thread that waits: Ctrl-C, a stop
            self.settle(error=error)  # two threads may both pull: the first one counts
        else:
            self.settle(value)

    def _pull_if_heard(self) -> None:
        """Pull in a thread of its own where somebody is to be called back."""
        with self._condition:
            if self._hook is None or not self._heard or self._pulled or self.done():
                return
            self._pulled = True
        run = contextvars.Context().run  # on every version: pin nobody's context variables
        threading.Thread(target=run, args=(self._pull_aside,), daemon=True).start()

    def _pull_aside(self) -> None:
        try:
            self._pull(None)
        except BaseException as error:  # noqa: BLE001 - it has no other way to its asker
            self.settle(error=error)

    # -- Pykka's combinators --------------------------------------------------------

    def map(self, func: Callable[[T], R]) -> Future[R]:
        """Return a future of `func(value)`; it fails as this one does, or as `func`."""
        mapped: Future[R] = Future()

        def push(done: Future[T]) -> None:
            if _pass_failure(done, mapped) or mapped.cancelled():
                return
            try:
                value = func(done.result())
            except BaseException as error:  # noqa: BLE001 - it is the future's result
                mapped.settle(error=error)
            else:
                mapped.settle(value)

        self.add_done_callback(push)
        return mapped

    def filter(self, func: Callable[[Any], bool]) -> Future[Any]:
        """Return a future of the list of those items for which `func(item)` is true."""
        return self.map(lambda items: list(filter(func, items)))  # type: ignore[call-overload]

    def reduce(self, func: Callable[[Any, Any], Any], *args: Any) -> Future[Any]:
        """Return a future of the items reduced to one value, as `functools.reduce`."""
        return self.map(lambda items: functools.reduce(func, items, *args))  # type: ignore[call-overload]

    def join(self, *futures: pykka.Future[Any]) -> Future[Any]:
        """Return a future of the list of all the values, this one's first.

        It fails as soon as one of them does. With a future of plain Pykka, which
        cannot push, the values are pulled, as by a hook (see `set_get_hook`).
        """
        joined: Future[Any] = Future()
        parts: list[Any] = [self, *futures]
        lock = threading.Lock()
        left = len(parts)

        def push(done: Future[Any]) -> None:
            nonlocal left
            if _pass_failure(done, joined):
                return
            with lock:
                left -= 1
                complete = left == 0
            if complete:
                joined.settle([part.result() for part in parts])

        if all(isinstance(part, Future) for part in parts):
            for part in parts:
                part.add_done_callback(push)
        else:
            joined.set_get_hook(functools.partial(_get_all, parts))
        return joined


def _pass_failure(done: Future[Any], onwards: Future[Any]) -> bool:
    """Fail or cancel `onwards` as `done` was; return whether it was."""
    if done.cancelled():
        onwards.cancel()
        return True
    error = done.exception()
    if error is not None:
        onwards.settle(error=error)
    return error is not None


def _get_all(futures: list[pykka.Future[Any]], timeout: float | None) -> list[Any]:
    """Return all values; the time is for all of them together."""
    if timeout is None:
        return [future.get() for future in futures]
    end = monotonic() + timeout
    return [future.get(timeout=max(0.0, end - monotonic())) for future in futures]
