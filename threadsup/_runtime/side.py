"""The side thread of a tree: callbacks of users, away from every worker.

Owns the one thread on which subscribers, monitors, log lines and the settling of
heard futures run. It must not know what it runs. Jobs (`do`) are never dropped,
events (`post`) are when the queue is past its bound, and then counted.

A user's callback that blocks holds up the callbacks behind it and nothing else:
no worker and no supervisor ever waits for this thread while the tree runs.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from threadsup._errors import MailboxClosed
from threadsup._runtime.mailbox import END, Mailbox

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Listener", "Side"]

T = TypeVar("T")

_logger = logging.getLogger("threadsup")

_BOUND = 10_000
"""Events beyond this many queued jobs are dropped: a subscriber is too slow."""


@final
class Listener(Generic[T]):
    """Who is told of something, until it is ended: then also of what is on the way to it.

    Equal to itself only, so that ending one compares nothing of a user's.
    """

    __slots__ = ("fn",)

    def __init__(self, fn: Callable[[T], object]) -> None:
        self.fn: Callable[[T], object] | None = fn

    def __call__(self, what: T) -> None:
        fn = self.fn
        if fn is not None:
            fn(what)


class Side:
    """A thread that runs what it is given, in order, whatever it raises."""

    def __init__(self, name: str) -> None:
        self._name = f"{name}-side"
        self._inbox = Mailbox(self._name, on_undelivered=self._run_late)
        self._thread: threading.Thread | None = None
        self.dropped = 0
        """Events that were dropped; may miss some that were dropped at once."""
        self.failed = 0
        """Callbacks that raised."""

    def start(self) -> None:
        """Start the thread; after `end()` another one.

        Raises:
            RuntimeError: it could not be started; it may be tried again.
        """
        self._inbox.open()
        thread = threading.Thread(target=self._main, name=self._name, daemon=True)
        thread.start()
        self._thread = thread

    def do(self, job: Callable[[], object]) -> None:
        """Have `job()` run. Never blocks, never drops; after the end runs it here."""
        try:
            self._inbox.put(job)
        except MailboxClosed:
            self.run(job)

    def post(self, job: Callable[[], object]) -> None:
        """Have `job()` run unless too many are waiting or the end has come. Never blocks."""
        if self._inbox.qsize() > _BOUND:
            self.dropped += 1
            return
        try:
            self._inbox.put(job)
        except MailboxClosed:
            self.dropped += 1

    def end(self) -> None:
        """Let the thread end when it has run what it was given until now. Never blocks."""
        self._inbox.put_token(END)

    def join(self, timeout: float | None) -> bool:
        """Wait for its end; return whether it has ended."""
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether the calling thread is this one."""
        # Not by its ident, which a later thread may be given.
        return threading.current_thread() is self._thread

    def _main(self) -> None:
        while (job := self._inbox.get()) is not END:
            self.run(job)
            del job  # while it waits for the next one, it keeps nothing of the last
        self._run_late(self._inbox.close("its tree has ended"), "")

    def _run_late(self, jobs: list[Any], why: str) -> None:  # noqa: ARG002
        for job in jobs:
            self.run(job)

    def run(self, job: Callable[[], object]) -> None:
        """Run a job here and now; whatever it raises is contained and counted."""
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - a user's callback: only the log hears of it
            self.failed += 1
            self._complain(error)

    def _complain(self, error: BaseException) -> None:
        # The first, the tenth, the hundredth: a callback that always fails must
        # not drown the log. And the log itself may be what fails.
        if str(self.failed).strip("0") == "1":
            with suppress(BaseException):
                _logger.error("a callback failed (%d so far)", self.failed, exc_info=error)
