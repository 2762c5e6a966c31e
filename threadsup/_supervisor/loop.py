"""The supervisor's thread: one mailbox, one clock, and nothing else to wait for.

Owns the thread and the order in which it is called: what workers report goes
first, requests one at a time between, timers when they are due. It must not know
what the calls do. No code of users runs here.
"""

from __future__ import annotations

import threading
from collections import deque
from math import inf
from queue import Empty
from typing import TYPE_CHECKING, Any, TypeAlias

from threadsup._errors import MailboxClosed, NotRunningError
from threadsup._runtime import clock
from threadsup._runtime.clock import monotonic
from threadsup._runtime.mailbox import Mailbox, Token
from threadsup._supervisor.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable

    Call: TypeAlias = tuple[Callable[[Any], None], Any]

__all__ = ["Loop"]


class Loop:
    """Calls what it is given, in its own thread, until it is told that it is over."""

    def __init__(self, name: str, crashed: Callable[[BaseException], None]) -> None:
        self.inbox = Mailbox(name, on_undelivered=self._call_late)
        self.timers = Timers()
        self.over = False
        """Set, by what is called, to end the thread."""
        self._crashed = crashed
        self._failure: BaseException | None = None
        """What ended the thread that ought not to have."""
        self._soon: deque[Call] = deque()
        self._next: deque[Call] = deque()
        self.started = False
        self._late = threading.Lock()
        """Stands in for the thread when there is none yet, or none any more."""
        self.thread = threading.Thread(target=self._main, name=f"{name}-supervisor", daemon=True)

    def start(self, first: Call) -> None:
        """Start the thread; `first` comes before whatever is requested from now on.

        Raises:
            RuntimeError: the thread could not be started; it may be tried again.
        """
        self.thread.start()
        with self._late:
            self.inbox.put(first)
            self.started = True

    def post(self, call: Callable[[Any], None], argument: object) -> None:
        """Have it called before any request. Never blocks; from any thread."""
        self.inbox.signal((call, argument))

    def request(self, call: Callable[[Any], None], argument: object) -> None:
        """Have it called after what was requested before. Never blocks, takes no lock.

        Raises:
            NotRunningError: the loop is over.
        """
        if not self.started:
            with self._late:  # before there is a thread its callers take turns
                if not self.started:
                    self._call((call, argument))
                    return
        try:
            self.inbox.put((call, argument))
        except MailboxClosed as error:
            raise NotRunningError(f"the supervisor is not running: {error}") from None

    def later(self, call: Callable[[Any], None], argument: object) -> None:
        """Have it called after the present call; only from within one."""
        self._soon.append((call, argument))

    def next(self, call: Callable[[Any], None], argument: object) -> None:
        """Have it called when the next turn begins; only from within a call.

        Before all that is posted from now on, and still in a turn of its own: what takes
        long goes on step by step, and others are heard in between.
        """
        self._next.append((call, argument))

    def _main(self) -> None:
        clock.listen(self.inbox.wake)
        try:
            while not self.over:
                self._turn()
            with self._late:
                self._drain_signals()
                # Their scopes are down and answer that: nobody waits for ever.
                self._call_all(self.inbox.close("the supervisor has ended"))
        except BaseException as error:  # noqa: BLE001 - a bug of ours: the tree must not be left alone
            # Before the closing: what comes too late for it is not called any more.
            self._failure = error
            self.inbox.close("the supervisor has failed")
            self._crashed(error)
        finally:
            clock.forget(self.inbox.wake)

    def _turn(self) -> None:
        inbox = self.inbox
        if self._next:
            for _ in range(len(self._next)):
                self._call(self._next.popleft())
            raw = inbox.get() if inbox.qsize() else None  # nobody else takes of it
        else:
            try:
                raw = inbox.get(timeout=_until(self.timers.next()))
            except Empty:
                raw = None
        self._drain_signals()
        if type(raw) is Token:
            inbox.took_token()
        elif raw is not None:
            self._call(raw)
        for owner, deadline in self.timers.due(monotonic()):
            self._call((owner.take, deadline))

    def _drain_signals(self) -> None:
        # As many as there are now: a storm of them must not starve the requests.
        signals = self.inbox.signals
        for _ in range(len(signals)):
            self._call(signals.pop(0))

    def _call(self, call: Call) -> None:
        function, argument = call
        function(argument)
        while self._soon:
            function, argument = self._soon.popleft()
            function(argument)

    def _call_all(self, calls: list[Any]) -> None:
        for call in calls:
            if type(call) is not Token:
                self._call(call)

    def _call_late(self, calls: list[Any], why: str) -> None:  # noqa: ARG002
        if self._failure is not None:
            self._crashed(self._failure)
            return
        with self._late:
            self._call_all(calls)


def _until(at: float | None) -> float | None:
    """Return how long to wait; a platform may wait for weeks at most, and then look again."""
    if at is None or (left := clock.left_until(at)) == inf:
        return None
    return min(left, threading.TIMEOUT_MAX)
