"""Which worker is this thread, was it asked to stop, and what does it wait for.

Owns the context of a worker, the stop token of an incarnation and `Wakeup`, the
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
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, final

from threadsup._exits import Shutdown, WorkerExit
from threadsup._runtime import clock
from threadsup._runtime.whose import current, enter, leave

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._errors import WorkerExited
    from threadsup._exits import ChildId, ExitReason
    from threadsup._runtime.owed import Owed
    from threadsup._runtime.timers import Timer, Timers

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
_SHUTDOWN = Shutdown()


@final
class Wakeup:
    """Something one thread waits for and another one brings about, once."""

    __slots__ = ("_bell", "happened")

    def __init__(self) -> None:
        # Not a lock: free-threaded 3.13 spins in one before it sleeps.
        self._bell: SimpleQueue[None] = SimpleQueue()
        self.happened = False

    def set(self) -> None:
        """Let it have happened. Never blocks; may be called more than once."""
        self.happened = True
        self.poke()

    def poke(self) -> None:
        """Wake the waiter to look again, without anything having happened."""
        self._bell.put(None)

    def wait(self, timeout: float | None = None, *, give_way: bool = False) -> bool:
        """Wait until it has happened; return whether it has.

        Blocks: up to `timeout` seconds, `None` without limit. In a worker that is
        asked to stop meanwhile: with `give_way` returns at once; in a task raises
        `WorkerExit`, the first time; otherwise goes on for what is left of the
        time for stopping, then raises `WorkerExit`.
        """
        end = inf if timeout is None else monotonic() + timeout
        context = current()
        if context is None:
            while not self.happened and self.sleep_until(end):
                pass
            return self.happened
        return context.token.wait(self, end, give_way=give_way)

    def pass_time(self, seconds: float, give_way: bool = False) -> bool:
        """Wait as `wait`, by the clock that a test may move; `True` also says to look at it."""
        with clock.alarm(clock.monotonic() + seconds, self.set) as rings:
            return self.wait(None if rings else seconds, give_way=give_way)

    def sleep_until(self, end: float) -> bool:
        """Sleep until poked (`True`) or until `end` on the monotonic clock (`False`).

        `True` also says to look again: a platform may sleep for weeks at most.
        """
        left = end - monotonic()
        try:
            self._bell.get(timeout=min(max(left, 0.0), _LONGEST))
        except Empty:
            return left > _LONGEST
        return True


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
        """When the time for stopping is up, on the monotonic clock of `time`."""
        self.fenced = False
        """Whether the incarnation was given up on: every wait of it ends."""
        self.reason: ExitReason = _SHUTDOWN

    def ask(self, reason: ExitReason, by: float) -> None:
        """Ask the incarnation to stop until `by` on the clock. Never blocks for long."""
        with self._lock:
            self.asked = self.look = True
            self.reason = reason
            self.by = min(self.by, clock.as_real(by))
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
            return min(end, self.by)

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


class _Keeper(Protocol):
    @property
    def ref(self) -> Any: ...

    @property
    def links(self) -> Any: ...

    def make_timers(self) -> Timers: ...


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

    __slots__ = (
        "_keeper",
        "_over",
        "_place",
        "_timers",
        "bell",
        "home",
        "id",
        "incarnation",
        "kind",
        "owed",
        "own",
        "starting",
        "tasks",
        "token",
    )

    def __init__(
        self,
        *,
        id: ChildId,
        kind: str,
        incarnation: int,
        token: StopToken,
        place: Place | None = None,
        home: object = None,
        keeper: _Keeper | None = None,
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
        self.bell: SimpleQueue[None] | None = SimpleQueue()
        """What wakes its thread where that sleeps for a message; `None` while it does.
        Made by who starts it, for what `whose` says of kinds."""
        self.tasks: _Receiver | None = None
        """Of a task: how it reads its mailbox."""
        self.own: Any = None
        """Of a callback module: what its instance reaches the machinery by."""
        self.owed: Owed | None = None
        """Of a worker that may answer later: whom."""
        self._place = place or Place()
        self._keeper = keeper
        self._timers: list[Timers] = []
        """None until there is one to set."""
        self._over = False

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
    def ref(self) -> Any:
        """Its own `WorkerRef`; `None` of a stage, which is sent items and no messages."""
        self._reach()
        return None if self._keeper is None or self._place.chain is not None else self._keeper.ref

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

    # -- links ------------------------------------------------------------------------

    def link(self, ref: Any) -> None:
        """End with another worker, and have it end with this one. Never blocks for long.

        When either ends, by a crash, a stop or an abandonment, the other is asked to end
        with that reason and is restarted, or not, by its own rules; a normal end is no
        reason. Of several that end so in one scope only the first costs budget. The other
        worker may be of any supervisor of this process. A link lasts for these two
        incarnations: make it where a worker starts. Linking twice, or to oneself, is
        linking once, or not at all.

        Args:
            ref: The `WorkerRef` of the other one, which is to be alive.

        Raises:
            WorkerExit: the other one is not alive, so this one ends at once.
            TypeError: `ref` is no `WorkerRef`.
            RuntimeError: this worker has no supervisor.
        """
        self._reach()
        self._kept().links.link(self.incarnation, ref)

    def unlink(self, ref: Any) -> None:
        """Take a link away; there is no notice of it after that. Never blocks for long.

        Raises:
            TypeError: `ref` is no `WorkerRef`.
            RuntimeError: this worker has no supervisor.
        """
        self._kept().links.unlink(self.incarnation, ref)

    def _kept(self) -> _Keeper:
        if self._keeper is None:
            raise RuntimeError(f"{self.id!r} has no supervisor")
        return self._keeper

    # -- timers -----------------------------------------------------------------------

    def send_after(self, seconds: float, message: Any) -> Timer:
        """Have `message` come to this worker's mailbox in `seconds`. Never blocks.

        As one that was told, in its turn, full mailbox or not; in a stage, as an item that
        begins there. A restart and the end of the worker cancel it.

        Raises:
            ValueError: `seconds` is no finite number of 0 or more.
        """
        return self._own_timers().send_after(seconds, message)

    def every(self, seconds: float, message: Any) -> Timer:
        """Have `message` come every `seconds`, the first time in `seconds`. Never blocks.

        As with `send_after`; never two at once: those that come due while one is queued
        are one with it. The next one is at a multiple of the period: it never drifts.

        Raises:
            ValueError: `seconds` is no finite number above 0.
        """
        return self._own_timers().every(seconds, message)

    def _own_timers(self) -> Timers:
        self._reach()
        if not self._timers:
            self._timers.append(self._kept().make_timers())
            # After: who ends it sees them, or is seen. Two, made at once, do no harm.
            if self._over:
                self._end_timers()
        return self._timers[0]

    def end(self, reason: ExitReason, fail: Callable[[Any, WorkerExited], None]) -> None:
        """Cancel its timers, and fail who is owed an answer. For the actor, at the end."""
        self._over = True
        self._end_timers()
        if self.owed is not None:
            self.owed.end(reason, fail)

    def _end_timers(self) -> None:
        for timers in self._timers:
            timers.end()

    def __repr__(self) -> str:
        return f"<Context of {self.kind} {self.id!r}, incarnation {self.incarnation}>"


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
    end = clock.monotonic() + seconds
    while Wakeup().pass_time(seconds) and (seconds := end - clock.monotonic()) > 0:
        pass
