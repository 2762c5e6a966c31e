"""Which worker is this thread, was it asked to stop, and what does it wait for.

Owns the thread-local context, the stop token of an incarnation and `Wakeup`, the
one way in which anything of this library waits. It must not know mailboxes,
actors or supervisors.

Why every wait goes through here: a worker that is asked to stop while it waits
(for room, for a reply, for a message, for time to pass) has to leave that wait,
and nothing polls. So a wait is parked in the token of its thread, and asking to
stop pokes whatever is parked there.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, final

from threadsup._exits import Shutdown, WorkerExit

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId, ExitReason

__all__ = [
    "Context",
    "Place",
    "StopToken",
    "Wakeup",
    "current",
    "enter",
    "leave",
    "sleep",
]

_LONGEST = threading.TIMEOUT_MAX


class _Local(threading.local):
    context: Context | None = None


_local = _Local()


@final
class Wakeup:
    """Something one thread waits for and another one brings about, once.

    `_lock` is held while the waiter sleeps and released to wake it: it is a
    binary semaphore, not a guard.
    """

    __slots__ = ("_lock", "happened")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.happened = False

    def set(self) -> None:
        """Let it have happened. Never blocks; may be called more than once."""
        self.happened = True
        self.poke()

    def poke(self) -> None:
        """Wake the waiter to look again, without anything having happened."""
        try:
            self._lock.release()
        except RuntimeError:
            return  # awake already: two wake-ups before it looks are one

    def wait(self, timeout: float | None = None, *, give_way: bool = False) -> bool:
        """Wait until it has happened; return whether it has.

        Blocks: up to `timeout` seconds, `None` without limit. In a worker that is
        asked to stop meanwhile: with `give_way` returns at once; in a task raises
        `WorkerExit`, the first time; otherwise goes on for what is left of the
        time for stopping, then raises `WorkerExit`.
        """
        end = inf if timeout is None else monotonic() + timeout
        context = _local.context
        if context is None:
            while not self.happened and self.sleep_until(end):
                pass
            return self.happened
        return context.token.wait(self, end, give_way=give_way)

    def sleep_until(self, end: float) -> bool:
        """Sleep until poked (`True`) or until `end` on the monotonic clock (`False`).

        `True` also says to look again: a platform may sleep for weeks at most.
        """
        left = end - monotonic()
        if left <= 0:
            return self._lock.acquire(blocking=False)
        return self._lock.acquire(timeout=min(left, _LONGEST)) or left > _LONGEST


@final
class StopToken:
    """Whether one incarnation was asked to stop, and what its thread waits for.

    `_lock` closes the race between asking and beginning to wait: either the wait
    sees `asked` before it sleeps, or asking sees what is parked and pokes it.
    """

    __slots__ = (
        "_lock",
        "_parked",
        "_task",
        "_told",
        "asked",
        "by",
        "fenced",
        "look",
        "reason",
    )

    def __init__(self, *, task: bool) -> None:
        self._lock = threading.Lock()
        self._parked: Wakeup | None = None
        self._task = task
        self._told = False
        self.asked = False
        self.look = False
        """Whether there is something to see to before the next message: one word for
        the loop to look at, instead of one for each of a stop, a pause and a limit."""
        self.by = inf
        """When the time for stopping is up, on the monotonic clock."""
        self.fenced = False
        """Whether the incarnation was given up on: every wait of it ends."""
        self.reason: ExitReason = Shutdown()

    def ask(self, reason: ExitReason, by: float) -> None:
        """Ask the incarnation to stop until `by`. Never blocks for long."""
        with self._lock:
            self.asked = self.look = True
            self.reason = reason
            self.by = min(self.by, by)
            parked = self._parked  # once: the end of a wait clears it without the lock
            if parked is not None:
                parked.poke()

    def notice(self) -> None:
        """Have the loop look before its next message. Never blocks for long."""
        with self._lock:
            self.look = True

    def look_away(self, needed: Callable[[], bool]) -> None:
        """Have the loop look no more unless it was asked to stop, or it is `needed`.

        Asked behind the lock: who makes it needed says so before `notice`, so either
        it is seen here, or that comes after.
        """
        with self._lock:
            self.look = self.asked or needed()

    def fence(self, reason: ExitReason) -> None:
        """End every wait of the incarnation from now on. Never blocks for long."""
        self.fenced = True
        self.ask(reason, -inf)

    def wait(self, wakeup: Wakeup, end: float, *, give_way: bool) -> bool:
        """Do what `Wakeup.wait` says, for the thread of this incarnation."""
        try:
            while not wakeup.happened:
                limit = self._park(wakeup, end, give_way=give_way)
                if limit is None:
                    return False
                if wakeup.sleep_until(limit) or wakeup.happened:
                    continue
                if limit >= end:
                    return False
                raise WorkerExit(self.reason)
        finally:
            self._parked = None
        return True

    def _park(self, wakeup: Wakeup, end: float, *, give_way: bool) -> float | None:
        """Return how long to sleep at most, `None` to give way."""
        with self._lock:
            if self.asked:
                if give_way:
                    return None
                if self._task and not self._told:
                    self._told = True
                    raise WorkerExit(self.reason)
            self._parked = wakeup
            # Looked at again behind `_lock`, which orders it: free-threaded 3.13 marks
            # a lock as held only after taking it, and a set() in between, after a
            # poke(), finds it free and wakes nobody.
            return -inf if wakeup.happened else min(end, self.by)

    @property
    def leaves(self) -> bool:
        """Whether the thread is to leave its next wait and has not been told so."""
        return self.fenced or (self.asked and self._task and not self._told)

    def check(self) -> None:
        """Raise `WorkerExit` where a wait would: before work that cannot be left."""
        with self._lock:
            if self.asked and self._task and not self._told:
                self._told = True
                raise WorkerExit(self.reason)


class _Receiver(Protocol):
    def receive(self, timeout: float | None) -> Any: ...

    def reply(self, value: object) -> None: ...


@final
@dataclass(frozen=True, slots=True)
class Place:
    """What a worker belongs to; typed by those who know these classes."""

    supervisor: Any = None
    group: Any = None
    chain: Any = None


@final
class Context:
    """What a worker may know of itself; from `threadsup.current()`."""

    __slots__ = ("_place", "home", "id", "incarnation", "kind", "starting", "tasks", "token")

    def __init__(
        self,
        *,
        id: ChildId,
        kind: str,
        incarnation: int,
        token: StopToken,
        place: Place | None = None,
        home: object = None,
    ) -> None:
        self.id = id
        """The worker's id in its supervisor, group or chain."""
        self.kind = kind
        """`"task"`, `"handler"`, `"worker"`, `"pykka"` or `"stage"`."""
        self.incarnation = incarnation
        self.token = token
        self.home = home
        """Its mailbox: by it a ref sees that it is asked by its own worker."""
        self.starting = True
        """Whether its start code has not returned yet."""
        self.tasks: _Receiver | None = None
        """Of a task: how it reads its mailbox."""
        self._place = place or Place()

    @property
    def supervisor(self) -> Any:
        """The supervisor it runs under."""
        return self._reach().supervisor

    @property
    def group(self) -> Any:
        """The group it is a member of, or `None`."""
        return self._reach().group

    @property
    def chain(self) -> Any:
        """The chain it is a stage of, or `None`."""
        return self._reach().chain

    def _reach(self) -> Place:
        # An abandoned incarnation has a successor, which is the one to speak now.
        if self.token.fenced:
            raise WorkerExit(self.token.reason)
        return self._place

    @property
    def stopping(self) -> bool:
        """Whether the worker was asked to stop."""
        return self.token.asked

    def reply(self, value: object = None) -> None:
        """Answer the ask that the task received last. Never blocks.

        Raises:
            RuntimeError: what was received last was not an ask, or is answered.
        """
        if self.tasks is None:
            raise RuntimeError("reply() is for tasks; a handler answers with what it returns")
        self.tasks.reply(value)

    def __repr__(self) -> str:
        return f"<Context of {self.kind} {self.id!r}, incarnation {self.incarnation}>"


def current() -> Context | None:
    """Return the context of the worker whose thread this is, `None` outside."""
    return _local.context


def enter(context: Context) -> None:
    """Make this thread the worker's. For the actor only."""
    _local.context = context


def leave() -> None:
    """Make this thread nobody's again. For the actor, and for the child of a fork."""
    _local.context = None


def sleep(seconds: float) -> None:
    """Sleep, and leave the sleep when the worker is asked to stop.

    Blocks: for `seconds`. In a task that is asked to stop it raises `WorkerExit`,
    once; in a handler it goes on for what is left of the time for stopping.
    Outside a worker it is an ordinary sleep.

    Raises:
        ValueError: `seconds` is negative or not a number.
    """
    if not seconds >= 0:
        msg = f"seconds must be 0 or more, not {seconds!r}"
        raise ValueError(msg)
    Wakeup().wait(seconds)
