"""A worker of a pool: takes the next task, does it, tells what came of it.

Owns the loop, and what of a worker outlives its lives (`Post`, `PoolCell`). It must not
know what becomes of a task that failed.

A task in hand is a message in hand: whoever pops it decides its outcome (see
`threadsup._runtime.actor`). So a time limit, an abandonment and the counters work as for
any worker, though no task has ever been in a mailbox. That has the signals, for which an
idle worker looks up as well as for a task, and a busy one looks between two tasks.

An `Exception` of a task is the task's. Anything else, `SystemExit` with code 0 too, is a
crash: a task does not decide whether its worker lives on.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, final

from threadsup._build import OwnCell
from threadsup._cell import Cell, address_of
from threadsup._errors import WorkerExited
from threadsup._exits import Crashed, ExitReason, Normal, Shutdown, WorkerExit, describe_exception
from threadsup._policy.restart import NoRestart
from threadsup._pool.work import Mapped, Submitted
from threadsup._runtime.mailbox import Mailbox, Token
from threadsup._runtime.taking import give_back
from threadsup._trace import trace_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._cell import Services
    from threadsup._exits import ChildId
    from threadsup._policy.protocol import Fate, Signal
    from threadsup._pool.backlog import Backlog
    from threadsup._pool.core import Core
    from threadsup._pool.work import Work
    from threadsup._runtime.actor import Life
    from threadsup._runtime.context import Place
    from threadsup._specs import WorkerSpec
    from threadsup.events import Path

__all__ = ["Post", "Setup"]


class Setup:
    """What a worker does when a life of it begins."""

    def __init__(
        self,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        init: Callable[[], object] | None = None,
    ) -> None:
        self.init = init
        self._prefix = thread_name_prefix
        self._initializer = initializer
        self._initargs = initargs

    def run(self, number: ChildId) -> Any:
        """Make the state of a life, in its thread."""
        if self._prefix:
            threading.current_thread().name = f"{self._prefix}_{number}"
        if self._initializer is not None:
            self._initializer(*self._initargs)
        return None if self.init is None else self.init()


@final
class Post(OwnCell):
    """The place of one worker in its pool: what it is declared as."""

    def __init__(self, core: Core, source: Backlog, setup: Setup) -> None:
        self.core = core
        self.source = source
        self.setup = setup
        self.dismissed = False
        """Whether it is to leave after the task in hand."""
        self.remove: Callable[[], object] = int
        """Called when it has, in the supervisor's thread."""

    def __call__(self, message: object) -> None:  # noqa: ARG002 - stands in for a handler
        """Refuse: nobody is to call this, and a worker of a pool takes no messages."""
        raise TypeError("a worker of a pool takes no messages: use submit()")

    def dismiss(self) -> None:
        """Have the worker leave after the task in hand. Never blocks."""
        self.dismissed = True
        self.source.wake_all()

    def cell(self, spec: WorkerSpec, path: Path, place: Place, services: Services) -> Cell:
        """Return the worker at run time."""
        mailbox = Mailbox(address_of((*services.prefix, *path)), spec.capacity, spec.on_full)
        cell = PoolCell(spec, path, mailbox, lambda life: Doing(self, life), place, services)
        self.core.worker_made(cell)
        return cell


@final
class PoolCell(Cell):
    """A worker of a pool, whichever of its lives it is in."""

    target: Post

    def start(self, number: int) -> None:
        """Begin the next life, of one that was thought gone perhaps."""
        self.target.core.worker_starts(self)
        super().start(number)

    def signal(self, signal: Signal) -> None:
        """Ask it to stop: what is queued is the pool's, and no reason to stay."""
        super().signal(signal._replace(drain=False))

    def make_timers(self) -> NoReturn:
        """Refuse: a timer is a message that is to come, and this worker takes none."""
        raise RuntimeError("a worker of a pool takes no messages, so it has no timers")

    def dead_letter(self, life: Life, message: Any, *what: Any) -> None:
        """Have a task that was in hand at the end settled, or record a message."""
        if isinstance(message, Submitted | Mapped):
            self.target.core.lost(life, message, self.address)
        else:
            super().dead_letter(life, message, *what)

    def decided(self, fate: Fate, why: NoRestart | None) -> None:
        """Note that it does not come back, unless by hand."""
        super().decided(fate, why)
        if fate != "gone":
            self.target.core.worker_made(self)
            return
        text = f"{self.why_not_started()} ({why})"
        self.target.core.worker_gone(self, text, broken=why is NoRestart.GAVE_UP)
        if self.target.dismissed:
            self.target.remove()

    def mark_forked(self, why: str) -> None:
        """Refuse everything: this is the child of a fork. Takes no lock."""
        super().mark_forked(why)
        self.target.core.mark_forked("died when the process was forked")


@final
class Doing:
    """One life of a worker: the behaviour that does tasks."""

    ready = False

    def __init__(self, post: Post, life: Life) -> None:
        self._post = post
        self._core = post.core
        self._source = post.source
        self._life = life
        self._last: Work | None = None
        self._state: Any = None

    def start(self) -> None:
        """Run what was given for the beginning of a life."""
        self._state = self._post.setup.run(self._life.id)

    def run(self) -> ExitReason:
        """Do tasks until there will be none any more, or until told to stop."""
        try:
            return self._serve()
        finally:
            # What was left, with a wake-up that came here, is for another.
            self._source.leave(self._last)

    def stop(self) -> None:
        """Do nothing: there is nothing to clean up."""

    def fail(self, error: BaseException) -> None:
        """Do nothing, as above."""

    def _serve(self) -> ExitReason:
        life, source, post = self._life, self._source, self._post
        token, hand, take = life.token, life.hand, source.take
        queue, senders, half = source.queue, source.senders, source.half
        push, pop, now = hand.append, hand.pop, monotonic
        plain = self._core.fuse is None and post.setup.init is None
        while True:
            try:
                work = take()
            except IndexError:
                reason = self._rest()
                if reason is not None:
                    return reason
                continue
            self._last = work
            life.since = now()
            life.taken += 1
            push(work)
            # Only now: who asks sets this first, and who fences empties the hand then. So
            # either it is seen here, or the task is seen there.
            if token.asked or post.dismissed:
                return self._put_down(work)
            if senders and len(queue) <= half:
                source.wake_senders()
            if not work.begin():
                if not self._forget():
                    return Shutdown()
                continue
            try:
                result = work.fn(*work.args, **work.kwargs) if plain else self._call(work)
            except BaseException as error:  # noqa: BLE001 - what it means is decided there
                reason = self._failed(work, error)
                if reason is not None:
                    return reason
            else:
                try:
                    pop()
                except IndexError:
                    return Shutdown()  # fenced meanwhile: nothing of this counts
                life.handled += 1
                work.done(result)
            self._last = work = result = None  # type: ignore[assignment]

    def _call(self, work: Work) -> Any:
        args = work.args if self._post.setup.init is None else (self._state, *work.args)
        fuse = self._core.fuse
        if fuse is None:
            return work.fn(*args, **work.kwargs)
        return fuse.call(work.fn, *args, **work.kwargs)

    def _rest(self) -> ExitReason | None:
        """Sleep until there may be something to do; return why to leave, if so.

        In the line first, then looked, at everything somebody would be woken for.
        """
        source, mailbox = self._source, self._life.mailbox
        sleepers = mailbox.sleepers
        # One of its own for each sleep, and why a queue: see `threadsup._runtime.lanes`.
        bell: SimpleQueue[None] = SimpleQueue()
        seat = bell.put
        sleepers.append(seat)
        try:
            if source.sit_down(seat):
                mailbox.queue.rotate(0)  # as in `Lanes.wait`: no old look from here on
                if mailbox.queue or self._post.dismissed:
                    pass
                elif self._core.has_ended(source):
                    self._core.wake_all()  # they wait for the same
                    return Normal()
                else:
                    bell.get()
        finally:
            source.get_up(seat)
            with suppress(ValueError):  # who has put something took it out
                sleepers.remove(seat)
        if self._post.dismissed:
            return Normal()
        return self._read() if mailbox.queue else None

    def _read(self) -> ExitReason | None:
        """Look into the mailbox: signals, and what does not belong there."""
        life, mailbox = self._life, self._life.mailbox
        raw = mailbox.get()
        if type(raw) is not Token:
            self._refuse(raw)
        elif life.token.asked:
            give_back(life, raw)
            return life.token.reason
        else:
            mailbox.took_token()
            if raw is life.end:
                return Shutdown()
        return None

    def _refuse(self, raw: Any) -> None:
        """Fail a message: somebody has told a worker of a pool something."""
        life = self._life
        life.taken += 1
        life.failed += 1
        life.settle_failed(raw, TypeError("a worker of a pool takes no messages: use submit()"))

    def _put_down(self, work: Work) -> ExitReason:
        """Leave a task that was not begun to another."""
        life = self._life
        try:
            life.hand.pop()
        except IndexError:
            return Shutdown()
        life.taken -= 1
        self._core.give_back(work, self._source)
        return life.token.reason if life.token.asked else Normal()

    def _forget(self) -> bool:
        """Let a task go that was cancelled; return `False` if fenced meanwhile."""
        try:
            self._life.hand.pop()
        except IndexError:
            return False
        self._life.taken -= 1
        self._core.count_undelivered()
        return True

    def _failed(self, work: Work, error: BaseException) -> ExitReason | None:
        """See to a task that left with an exception; return why to leave, if so."""
        life = self._life
        try:
            life.hand.pop()
        except IndexError:
            return Shutdown()
        if isinstance(error, Exception):
            self._core.failed(life, work, error)
            return None
        address = (self._core.name, life.id)
        text = describe_exception(error)
        if type(error) is WorkerExit and life.token.asked:
            reason: ExitReason = life.token.reason
        else:
            reason = Crashed(text, trace_of(error))
        exited = WorkerExited(f"{address!r} ended in the task: {text}", reason)
        exited.__cause__ = error
        self._core.failed(life, work, exited, crashed=True)
        return reason
