"""What a tree does for its scopes and cells: calling, telling, counting.

Owns the loop, the side thread, the dead letters, the events and the zombies of
one tree. It must not know which scopes there are.
"""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from threadsup._dead_letters import DeadLetters
from threadsup._errors import NotRunningError
from threadsup._runtime.future import Future
from threadsup._runtime.newest import Newest
from threadsup._runtime.pykka_compat import fail, succeed
from threadsup._runtime.side import Listener, Side
from threadsup._supervisor.log import LogLines, is_worth_a_line
from threadsup._supervisor.loop import Loop
from threadsup._supervisor.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId
    from threadsup._runtime.actor import Life
    from threadsup._snapshot import Abandonment
    from threadsup._supervisor.loop import Call
    from threadsup.events import Event, Path, Subscriber

__all__ = ["HISTORY", "TreeServices"]

HISTORY = 1_000
"""How many events are kept: the newest."""


class TreeServices:
    """The services of one tree."""

    def __init__(
        self, name: str, max_zombies: int, crashed: Callable[[BaseException], None]
    ) -> None:
        self.name = name
        self.prefix: Path = ()
        """The names of the supervisors from below the tree's own down to this one."""
        self.names = Names()
        self.loop = Loop(name, crashed)
        self.side = Side(name)
        self.dead_letters = DeadLetters()
        self.history: Newest[Event] = Newest(HISTORY)
        self._max_zombies = max_zombies
        self._zombies: dict[Life, Abandonment] = {}
        self._promises: set[Future[bool]] = set()
        """What callers wait for. Adding, discarding and copying are atomic."""
        self._subscribers: list[Listener[Event]] = [Listener(LogLines())]
        """Here, too: appending, removing and copying are atomic."""
        self.dead = ""
        """Why the tree is dead, in the child of a fork."""
        self.undelivered = 0
        """Messages that children which were removed did not handle."""
        self.post = self.loop.post
        self.later = self.loop.later
        self.next = self.loop.next

    def below(self, name: str) -> TreeServices:
        """Return the same services for a supervisor in this one.

        All is shared with the tree but the prefix and the count of `undelivered`.
        """
        under = copy(self)
        under.prefix = (*self.prefix, name)
        under.undelivered = 0
        return under

    def is_below(self, path: Path) -> bool:
        """Return whether a path leads into this supervisor."""
        return path[: len(self.prefix)] == self.prefix

    def start(self, first: Call) -> None:
        """Start the tree's own two threads; `first` is the first call of the loop.

        Raises:
            RuntimeError: a thread could not be started, and neither runs; it may be
                tried again.
        """
        self.side.start()
        try:
            self.loop.start(first)
        except BaseException:
            self.side.end()
            raise

    # -- requests -------------------------------------------------------------------

    def request(
        self, call: Callable[[Any], None], argument: object, promise: Future[bool] | None = None
    ) -> None:
        """Have the supervisor's thread call it; `promise` is who waits for the outcome.

        Raises:
            NotRunningError: the loop is over.
        """
        if promise is None:
            self.loop.request(call, argument)
            return
        self._promises.add(promise)
        try:
            self.loop.request(call, argument)
        except BaseException:
            self._promises.discard(promise)
            raise

    def check_alive(self) -> None:
        """Refuse what would wait for a tree that died in a fork.

        Raises:
            NotRunningError: this is the child of the fork.
        """
        if self.dead:
            raise NotRunningError(f"supervisor {self.name!r} {self.dead}: start a new one")

    def mark_forked(self, why: str) -> None:
        """Refuse everything: this is the child of a fork. Takes no lock."""
        self.dead = why
        self.loop.inbox.poison(why)
        self.history.mark_forked()
        self.dead_letters.mark_forked()

    def break_promises(self, error: BaseException) -> None:
        """Fail all that callers wait for: nobody is left who could keep it."""
        for promise in self._promises.copy():
            self.settle(promise, error=error)

    def set_timer(self, owner: Any, key: ChildId | None, number: int, at: float | None) -> None:
        """Set the one timer of `owner` and `key`."""
        self.loop.timers.set(owner, key, number, at)

    # -- events ---------------------------------------------------------------------

    def publish(self, event: Event) -> None:
        """Keep the event and tell it to subscribers and the log. From any thread."""
        self.history.append(event)
        subscribers = self._subscribers.copy()
        # Nobody but the log: to wake the side thread for nothing takes as long as a start.
        if len(subscribers) > 1 or is_worth_a_line(event):
            self.side.post(partial(self._deliver, event, subscribers))

    def _deliver(self, event: Event, subscribers: list[Listener[Event]]) -> None:
        for subscriber in subscribers:
            # Each on its own, so that one that raises hides the event from no other.
            self.side.run(partial(subscriber, event))

    def subscribe(self, fn: Subscriber) -> Callable[[], None]:
        """Have `fn` called with each event from now on; return what ends that."""
        if self.prefix:
            whole, prefix = fn, self.prefix

            def fn(event: Event) -> object:
                path: Path = getattr(event, "path", ())
                return whole(event) if path[: len(prefix)] == prefix else None

        subscriber = Listener(fn)
        self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            subscriber.fn = None
            with suppress(ValueError):  # ended before
                self._subscribers.remove(subscriber)

        return unsubscribe

    # -- futures --------------------------------------------------------------------

    def settle(self, future: Any, value: Any = None, error: BaseException | None = None) -> None:
        """Settle a future without running code of users in this thread.

        One that has callbacks is settled in the side thread; Pykka's own has none.
        """
        own = type(future) is Future
        if own:
            self._promises.discard(future)
            if future.settle_unheard(value, error):
                return
        if error is None:
            settling = partial(succeed, future, value)
        else:
            settling = partial(fail, future, error)
        if own:
            self.side.do(settling)
        else:
            settling()

    # -- zombies --------------------------------------------------------------------

    def zombie_made(self, life: Life, left: Abandonment) -> None:
        """Count a thread that was abandoned. In the supervisor's thread."""
        self._zombies[life] = left

    def zombie_ended(self, life: Life) -> None:
        """Count one that has ended after all. In the supervisor's thread."""
        self._zombies.pop(life, None)

    @property
    def zombies(self) -> tuple[Abandonment, ...]:
        """Those that run, and what they were doing when they were abandoned."""
        zombies = self._zombies.copy()
        # Looked at, as nobody counts any more who ends after the tree has.
        return tuple(
            left
            for life, left in zombies.items()
            if (life.thread is None or life.thread.is_alive())
            and (not self.prefix or (type(left.id) is tuple and self.is_below(left.id)))
        )

    @property
    def too_many_zombies(self) -> bool:
        """Whether more of them run than the tree bears."""
        return len(self._zombies) > self._max_zombies
