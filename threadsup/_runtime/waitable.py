"""A future of the standard library without a lock: settled once, waited for, cancelled.

Owns who of several settles it, and who is told. It must not know who answers, what is
made of the answer, nor Pykka.

A lock, made and entered for every answer, would cost more than all the rest. Instead
each future keeps a log: a list to which everything that happens to it is appended, in
one step on every build, and its place there decides what it means. Of several who
settle it the first has; a cancel counts unless it was begun before; who waits, and every
callback, either is in the log before the outcome, and whoever settled finds it there, or
comes after, and finds the outcome. Whoever appends therefore reads the log again, the
very list it has appended to; all of that passes through the lock of the list, so nothing
here rests on the order of plain stores.

An exception from outside (Ctrl-C, an interrupt) may come anywhere: the one step that
settles it also publishes the outcome, so it is never half settled.
"""

from __future__ import annotations

import concurrent.futures
import logging
from _thread import RLock
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from threadsup._errors import ReplyTimeout
from threadsup._runtime.context import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Outcome", "Waitable", "outcome_in"]

T = TypeVar("T")

_logger = logging.getLogger("threadsup")

_BEGUN: Final = "begun"
"""In a log: the answer is being made, and cannot be cancelled any more."""

_CANCELLED: Final = cast("BaseException", object())
"""Stands for the error in the outcome of what was cancelled."""

Outcome: TypeAlias = "tuple[Any, BaseException | None]"
"""A value and no error, or an error; in a log it is the only plain tuple. A callback is a
list of one, from which it is taken by who calls it, and a lock is there from when on
somebody of the standard library may hold it."""


class _Quiet(tuple):  # type: ignore[type-arg]  # noqa: SLOT001 - it has none of its own
    """An outcome that counts only if no callback was added before it."""


def outcome_in(entries: list[Any]) -> Outcome | None:
    """Return the outcome that counts, if there is one.

    To be given a copy: from a log an entry may be removed meanwhile, and the next missed.
    """
    begun = heard = False
    for entry in entries:
        kind = type(entry)
        if kind is tuple:
            if not (begun and entry[1] is _CANCELLED):
                return cast("Outcome", entry)
        elif kind is list:
            heard = True
        elif kind is _Quiet:
            if not heard:
                return cast("Outcome", entry)
        elif entry is _BEGUN:
            begun = True
    return None


class Waitable(concurrent.futures.Future[T]):
    """A future of the standard library whose waits a stop of the worker can end.

    Everything that the standard library's functions reach for in its own class is here,
    and pinned by tests: `_condition`, `_state` and `_waiters`, by which `wait` and
    `as_completed` look at several futures at once, and `_get_snapshot`.
    """

    def __init__(self) -> None:
        # Not the standard library's, which makes a lock and more for every future.
        self._log: list[Any] = []
        self._outcome: Outcome | None = None
        """What the log says, for those who come when it is over."""

    def __repr__(self) -> str:
        # Not the standard library's: that takes the truth of a user's exception.
        outcome = self._settled()
        if outcome is None:
            state = "running" if _BEGUN in self._log.copy() else "pending"
        else:
            state = "cancelled" if outcome[1] is _CANCELLED else "finished"
        return f"<{type(self).__name__} at {id(self):#x} {state}>"

    def _settled(self) -> Outcome | None:
        outcome, log = self._outcome, self._log
        return outcome_in(log.copy()) if outcome is None and log else outcome

    def done(self) -> bool:
        """Return whether it is settled or cancelled."""
        return self._settled() is not None

    def cancelled(self) -> bool:
        """Return whether it is cancelled."""
        outcome = self._settled()
        return outcome is not None and outcome[1] is _CANCELLED

    def running(self) -> bool:
        """Return whether the answer is being made."""
        return self._settled() is None and _BEGUN in self._log.copy()

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
        value, error = self._outcome or self._wait(timeout)
        if error is None:
            return cast("T", value)
        try:
            if error is _CANCELLED:
                raise concurrent.futures.CancelledError
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
        _, error = self._outcome or self._wait(timeout)
        if error is _CANCELLED:
            raise concurrent.futures.CancelledError
        return error

    def _wait(self, timeout: float | None) -> Outcome:
        log, wakeup = self._log, Wakeup()
        try:
            log.append(wakeup)
            outcome = outcome_in(log.copy())
            if outcome is None:
                wakeup.wait(timeout)
                outcome = self._outcome or outcome_in(log.copy())
        finally:
            if not wakeup.happened:
                with suppress(ValueError):  # what comes from outside may come before it
                    log.remove(wakeup)
        if outcome is None:
            raise ReplyTimeout(f"no answer within {timeout:g} s")
        return outcome

    # -- settling -------------------------------------------------------------------

    def settle(self, value: Any = None, error: BaseException | None = None) -> bool:
        """Settle unless that has been done; return whether this did it."""
        if self._outcome is not None:
            return False
        log, mine = self._log, (value, error)
        try:
            log.append(mine)
            # As most are settled: begun, or not even that, and nobody waits.
            if (log[0] is _BEGUN and log[1] is mine) or log[0] is mine:
                self._outcome = mine
                return True
            return self._conclude(log, mine)
        except BaseException:  # from outside: whoever waits is not to wait for ever
            self._conclude(log, mine)
            raise

    def settle_unheard(self, value: Any = None, error: BaseException | None = None) -> bool:
        """Settle unless callbacks were added; return whether it is settled now.

        For threads that run no user code. A callback that is being added either comes
        before, and is heard of here, or after, and then runs in the thread that adds it.
        """
        if self._outcome is not None:
            return True
        log, mine = self._log, _Quiet((value, error))
        log.append(mine)
        return self._conclude(log, mine) or outcome_in(log.copy()) is not None

    def _conclude(self, log: list[Any], mine: Outcome) -> bool:
        """Tell everybody who came before, if this is the outcome; return whether it is.

        May be called again, after an exception that came from outside.
        """
        entries = log.copy()
        if outcome_in(entries) is not mine:
            return False
        self._outcome = mine
        # In this order: a callback that blocks holds up nobody's `result`.
        callbacks, locked = [], False
        for entry in entries:
            kind = type(entry)
            if kind is Wakeup:
                entry.set()
            elif kind is list:
                callbacks.append(entry)
            elif kind is RLock:
                locked = True
            elif entry is mine:
                break  # who comes later sees for themselves
        if locked:
            self._tell_watchers(log, mine)
        else:
            self._log = [mine]  # nobody keeps what has been called, and who has waited
        for callback in callbacks:
            self._call(callback)
        return True

    def _tell_watchers(self, log: list[Any], mine: Outcome) -> None:
        """Let `_state` change, and tell who watches it, while nobody is looking."""
        with self._condition:
            if self._log is not log:
                return
            self._log = [mine]
            for watcher in self._waiters:
                if mine[1] is None:
                    watcher.add_result(self)
                elif mine[1] is _CANCELLED:
                    watcher.add_cancelled(self)
                else:
                    watcher.add_exception(self)

    def _call(self, callback: list[Callable[[Any], Any]]) -> None:
        """Call a callback, unless somebody has or does, whatever it raises.

        Nothing that it raises ends the worker that happened to bring the answer.
        """
        try:
            fn = callback.pop()
        except IndexError:
            return
        try:
            fn(self)
        except BaseException:  # a user's code, in a thread not its own
            _logger.exception("a callback of %r failed", self)

    def add_done_callback(self, fn: Callable[[Any], Any]) -> None:
        """Call `fn(future)` when it is done: in the thread that settles it, or now."""
        callback = [fn]
        if self._outcome is None:
            log = self._log
            log.append(callback)
            if outcome_in(log.copy()) is None:
                return
        self._call(callback)

    def set_result(self, result: T) -> None:
        """Settle with a value.

        Raises:
            InvalidStateError: it is settled or cancelled.
        """
        if not self.settle(result):
            raise concurrent.futures.InvalidStateError(f"{self!r} is settled already")

    def cancel(self) -> bool:
        """Cancel the answer; return whether it is cancelled: not once it is being made."""
        log = self._log
        if _BEGUN not in log and self._settled() is None:
            mine = None, _CANCELLED
            try:
                log.append(mine)
                self._conclude(log, mine)
            except BaseException:  # as in `settle`
                self._conclude(log, mine)
                raise
        return self.cancelled()

    def set_running_or_notify_cancel(self) -> bool:
        """Mark it as being answered; return `False` if it is cancelled or settled.

        May be called again, as a message may be delivered again.
        """
        log = self._log
        if _BEGUN not in log:
            log.append(_BEGUN)
        return (len(log) == 1 and log[0] is _BEGUN) or self._settled() is None

    # -- for the functions of the standard library ----------------------------------

    if not TYPE_CHECKING:  # to a type checker these are what users of the base class expect

        @property
        def _condition(self) -> RLock:
            """A lock, made when asked for: who holds it sees `_state` stand still.

            It is in the log before anybody holds it. What is settled after that shows only
            when `_tell_watchers` has it; what is settled before that has been shown.
            """
            # In one step: `wait` asks once to acquire, and again to release.
            lock = self.__dict__.setdefault("_lock", RLock())
            log = self._log
            if lock not in log:
                log.append(lock)
            return lock

        @property
        def _waiters(self) -> list[Any]:
            """Who watches; changed by who holds the lock."""
            return self.__dict__.setdefault("_watchers", [])

        @property
        def _state(self) -> str:
            log = self._log
            outcome = self._outcome or outcome_in(log.copy())
            locked = begun = False
            for entry in log.copy():
                if entry is outcome:
                    if locked:
                        break
                    return CANCELLED_AND_NOTIFIED if outcome[1] is _CANCELLED else FINISHED
                locked = locked or type(entry) is RLock
                begun = begun or entry is _BEGUN
            return RUNNING if begun else PENDING

    def _get_snapshot(self) -> tuple[bool, bool, Any, BaseException | None]:
        """Return whether it is done, is cancelled, the value and the error: for asyncio."""
        outcome = self._settled()
        if outcome is None:
            return False, False, None, None
        value, error = outcome
        if error is _CANCELLED:
            return True, True, None, None
        return True, False, value, error
