"""The one future class: a `concurrent.futures.Future` and a `pykka.Future` at once.

Owns Pykka's side of an answer: its words, its hooks, and how one is chained to another.
It must not know how one is waited for and settled, nor who answers, and why an answer
may fail to come.

Pykka's `map`, `filter`, `join` and `reduce` are pushed here: the function runs
when the value arrives, in the thread that brings it, not when somebody asks.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pykka

from threadsup._errors import CallingSelfError, ReplyTimeout
from threadsup._runtime.waitable import Waitable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

    from threadsup._runtime.waitable import Outcome

    ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

__all__ = ["Future"]

T = TypeVar("T")
R = TypeVar("R")

_HOOKED: Final = "hooked"
"""In a log: a hook has been set."""


class Future(Waitable[T], pykka.Future[T]):
    """An answer that is there now or later.

    Made by `ask(block=False)` and `submit`. `result`, `get`, `add_done_callback`,
    `concurrent.futures.wait`, `asyncio.wrap_future` and `await` all work on it;
    `cancel()` works while the message is queued.
    """

    is_own: Callable[[], bool] | None = None
    """Tells whether the calling thread is the one that is to answer."""
    _hook: Callable[[float | None], T] | None = None
    _turn: list[None]
    """Taken by who pulls for those who are called back."""

    __repr__ = Waitable.__repr__

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
        super().add_done_callback(fn)
        if self._hook is not None:
            self._pull_if_heard()

    # -- settling -------------------------------------------------------------------

    def set(self, value: T | None = None) -> None:
        """Settle with a value: Pykka's word for `set_result`.

        Raises:
            InvalidStateError: the future is settled already, or has a hook to do that.
        """
        if self._hook is not None or not self.settle(value):
            raise self._refusal()

    def set_exception(self, exception: BaseException | ExcInfo | None = None) -> None:
        """Settle with an exception, Pykka's `exc_info`, or the one being handled.

        Raises:
            InvalidStateError: the future is settled already, or has a hook to do that.
        """
        if exception is None:
            exception = sys.exc_info()
        # By its type: isinstance() would ask the exception for its __class__.
        if issubclass(type(exception), tuple):
            kind, value, trace = exception  # type: ignore[misc]
            if value is None:
                value = RuntimeError("no exception given") if kind is None else kind()
            exception = value if trace is None else value.with_traceback(trace)
        if self._hook is not None or not self.settle(error=exception):  # type: ignore[arg-type]
            raise self._refusal()

    def _refusal(self) -> concurrent.futures.InvalidStateError:
        why = "has a hook to settle it" if self._hook and not self.done() else "is settled already"
        return concurrent.futures.InvalidStateError(f"{self!r} {why}")

    # -- Pykka's get hooks: for what cannot be pushed -------------------------------

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Let `func(timeout)` bring the value when it is first asked for.

        It runs in the thread that asks, and a stop does not end it; a callback or an
        `await` has it run in a thread of its own.

        Raises:
            InvalidStateError: the future is settled already.
        """
        if self.done():
            raise self._refusal()
        self._turn = [None]
        self._hook = func
        # A callback is in the log before this, and is found, or comes after, and its
        # adder finds the hook.
        self._log.append(_HOOKED)
        self._pull_if_heard()

    def _wait(self, timeout: float | None) -> Outcome:
        if self._hook is not None and not self.done():
            self._pull(timeout)
        if self.is_own is not None and not self.done() and self.is_own():
            raise CallingSelfError("a worker would wait for its own answer")
        return super()._wait(timeout)

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
        if not any(type(entry) is list for entry in self._log.copy()) or self.done():
            return
        try:
            self._turn.pop()
        except IndexError:
            return
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
        mapped.is_own = self.is_own

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
