"""One worker at run time: what outlives its incarnations.

Owns its mailbox, its ref, its counts over all lives, its monitors, and the step
from one life to the next. It must not know strategies or budgets: it does what
the scope decides, and reports what happens to it.

Whose thread: `start` to `decided` are the supervisor's, and run no code of users;
what `Host` names is called by the worker's own thread; the rest by anybody's.
"""

from __future__ import annotations

import threading
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Any

from threadsup import events
from threadsup._errors import WorkerExited
from threadsup._exits import Abandoned, Crashed, Exit, ExitReason, Normal, Shutdown
from threadsup._links import Links
from threadsup._policy.protocol import Event, Exited, Overdue, Started, StartFailed
from threadsup._runtime import clock, process
from threadsup._runtime.actor import COUNTERS, Life
from threadsup._runtime.context import Context, Place, StopToken
from threadsup._runtime.ending import Ending
from threadsup._runtime.future import Future
from threadsup._runtime.interrupt import Guard, load
from threadsup._runtime.mailbox import Mailbox, Token
from threadsup._runtime.pykka_compat import Envelope
from threadsup._runtime.ref import WorkerRef
from threadsup._runtime.timers import Timers
from threadsup._runtime.watch import WatchedHand
from threadsup._services import Keeping, Services
from threadsup._snapshot import Abandonment, WorkerStatistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId
    from threadsup._policy.protocol import Fate, Signal
    from threadsup._policy.restart import NoRestart
    from threadsup._runtime.actor import Behaviour
    from threadsup._specs import StageSpec, WorkerSpec
    from threadsup._trace import Trace

__all__ = ["Cell", "Keeping", "Services", "address_of"]


def address_of(path: events.Path) -> ChildId:
    """Return the id of a worker for people: with its group or chain, if it has one."""
    return path[0] if len(path) == 1 else path  # type: ignore[return-value]


class Cell:
    """A worker, whichever of its lives it is in."""

    def __init__(
        self,
        spec: WorkerSpec | StageSpec,
        path: events.Path,
        mailbox: Mailbox,
        make: Callable[[Life], Behaviour],
        place: Place,
        services: Services,
    ) -> None:
        assert spec.id is not None
        if spec.interrupt:
            load()
        self.id = spec.id
        self.path = services.prefix + path
        """Its ids from the tree down, as events name it."""
        self.address = address_of(self.path)
        self._scope_id = address_of((*services.prefix, path[0])) if len(path) > 1 else None
        """The id of its group or chain, if it has one."""
        self.spec = spec
        self.target = spec.target
        self.drains = spec.kind == "pykka"
        self.mailbox = mailbox
        mailbox.on_undelivered = self.lose
        self.scope: Keeping
        """Set by the scope that takes it in."""
        self.ref = WorkerRef(self)
        self.life: Life | None = None
        self._hand: WatchedHand | None = None
        """What the last life has in hand, if it has a time limit."""
        self._number = 0
        self.cause: BaseException | None = None
        """What the last start failed with, until it has been reported."""
        self.left: Abandonment | None = None
        """What the last life that was given up was doing."""
        self._make = make
        self._place = place
        self._services = services
        self._lock = threading.Lock()
        """Guards the counts over past lives."""
        self._past: Counter[str] = Counter()
        self._zombies: list[Life] = []
        self._ending = Ending(services)
        self.links = Links(self, services)

    # -- what the scope decides -----------------------------------------------------

    def start(self, number: int) -> None:
        """Begin the next life. Blocks until Python has the new thread."""
        self._fold()
        self._reopen()
        self._number = number
        self.links.begin(number)
        token = StopToken(task=self.spec.kind == "task")
        context = Context(
            id=self.id,
            kind=self.spec.kind,
            incarnation=number,
            token=token,
            place=self._place,
            home=self.mailbox,
            keeper=self,
        )
        life = Life(
            context,
            self.mailbox,
            self,
            max_attempts=self.spec.max_attempts,
            guard=Guard() if self.spec.interrupt else None,
            hand=self._watched(number),
        )
        self.life = life
        try:
            up = self._launch(life)
        except (RuntimeError, MemoryError) as error:  # "can't start new thread"
            self.cause = error
            reason = Crashed(f"{type(error).__name__}: {error}")
            self._services.later(self.scope.take, StartFailed(self.id, number, reason))
            return
        if up:
            # Before its end, which is a report; but not in this turn, which would last
            # until all of ten thousand are started.
            self._services.next(self.scope.take, Started(self.id, number))

    def _launch(self, life: Life) -> bool:
        if process.exiting():
            raise RuntimeError("the process is ending: nothing is started any more")
        return life.launch(self._make(life))

    def _watched(self, number: int) -> WatchedHand | None:
        """Return the hand of a life with a time limit."""
        if self.spec.time_limit is None:
            return None

        def overdue(seconds: float) -> None:
            reason = Abandoned(seconds, "message")
            self.scope.take(Overdue(self.id, number, reason))

        self._hand = WatchedHand(self._services, self.spec.time_limit, overdue)
        return self._hand

    def why_not_started(self) -> str:
        """Return in words why the last start failed."""
        last = self._ending.last
        if last is None:
            return "it was stopped"
        # Not the text of the cause, which is a user's exception: it was read in the
        # worker's own thread.
        return last.reason.error if isinstance(last.reason, Crashed) else str(last.reason)

    def signal(self, signal: Signal) -> None:
        """Ask the life to stop; refuse messages unless it is to come back."""
        assert self.life is not None
        why = "it is stopping"
        if signal.drain:
            self.mailbox.shut(why)  # first: nothing comes behind what is handled last
        self.life.ask_to_stop(signal.reason, signal.by, drain=signal.drain)
        if signal.fate != "restarts":
            self.mailbox.shut(why)  # after: who is refused knows that it was asked

    def interrupt(self) -> None:
        """Throw an asynchronous exception into the life's user code."""
        if self.life is not None and self.life.guard is not None:
            self.life.guard.interrupt()

    def fence(self, reason: ExitReason) -> Abandonment:
        """Give the life up; return what it was doing."""
        life = self.life
        assert life is not None
        self.left = left = Abandonment(self.address, life.doing, monotonic() - life.since)
        with self._lock:
            self._zombies.append(life)
            self.life = None
        life.fence(reason)
        self._services.zombie_made(life, left)
        return left

    @property
    def zombie(self) -> ExitReason | None:
        """Why the last of the lives that were given up on and still run was, if any."""
        return self._zombies[-1].token.reason if self._zombies else None

    def down(self, number: int, reason: ExitReason, fate: Fate, why: NoRestart | None) -> None:
        """Note the end of a life and what becomes of the child."""
        self._ending.down(Exit(self.id, number, reason, fate != "restarts"))
        self.links.end(number, reason, restarts=fate == "restarts")
        if self._hand is not None:
            self._hand.end()
        if self.life is not None:
            self.life.thread = None  # ended Thread objects make later stops dearer
        if fate == "restarts":
            if self.spec.mailbox == "drop":
                self._drop("its worker crashed and drops its mailbox")
        else:
            self.decided(fate, why)

    def decided(self, fate: Fate, why: NoRestart | None) -> None:
        """Close or shut the mailbox of a child that is down."""
        mailbox = self.mailbox
        if fate == "held" or not mailbox.is_closed:  # else it was told before, by its scope
            text = str(why) if why is not None else "it has ended"
            if fate == "gone":
                self._close(text)
            elif fate == "held":
                mailbox.shut(text)
        if not self._ending.is_told:
            self._ending.decided(Exit(self.id, 0, Normal(), final=True))

    def orphaned(self, error: BaseException) -> None:
        """Go down without the scope, which has failed."""
        text = "its supervisor has failed"
        if self.life is not None:
            self.life.ask_to_stop(Shutdown(), clock.monotonic() + self.spec.shutdown)
        self._ending.fail(error)
        self.links.end(self._number, Crashed(f"{type(error).__name__}: {error}"), restarts=False)
        self._close(text)

    def mark_forked(self, why: str) -> None:
        """Refuse everything: this is the child of a fork. Takes no lock."""
        self._lock = threading.Lock()  # whoever held the other does not exist here
        self._ending.mark_forked(why)
        self.links.mark_forked()
        self.mailbox.poison(why)

    def _reopen(self) -> None:
        self._ending.reopen()
        self._open()

    def _open(self) -> None:
        self.mailbox.open()

    # -- messages that go nowhere ---------------------------------------------------

    def _drop(self, why: str) -> None:
        """Lose what is queued, and stay as it is."""
        self.lose(self.mailbox.drop(), why)

    def _close(self, why: str) -> None:
        """Lose what is queued, and take no more."""
        self.lose(self.mailbox.close(why), why)

    def lose(self, raws: list[Any], why: str) -> None:
        """Account for messages that will never be handled, and tell who waits."""
        for raw in raws:
            message = raw
            if type(raw) is Token:
                self._token_lost(raw)
                continue
            if type(raw) is Envelope:
                message = raw.message
                reason = None if self._ending.last is None else self._ending.last.reason
                text = f"{self.address!r} did not handle the message: {why}"
                self._services.settle(raw.reply_to, error=WorkerExited(text, reason))
            self._services.dead_letters.add(message, self.address, why, scope=self._scope_id)

    def _token_lost(self, token: Token) -> None:
        if token.lost is not None:
            self._services.side.do(token.lost)

    # -- Host: called by the life ---------------------------------------------------

    def started(self, life: Life) -> None:
        """Report that a life is up."""
        self._services.post(self.scope.take, Started(self.id, life.number))

    def exited(self, life: Life, reason: ExitReason, cause: BaseException | None) -> None:
        """Report that a life is over."""
        if cause is None:
            event: Event = Exited(self.id, life.number, reason)
        else:
            event = StartFailed(self.id, life.number, reason)
        self._services.post(self._life_over, (life, event, cause))

    def _life_over(self, over: tuple[Life, Event, BaseException | None]) -> None:
        # In the supervisor's thread, which is the one that fences: whether this is
        # the end of a life or of a zombie is no race here.
        life, event, cause = over
        if life.fenced:
            with self._lock:
                self._zombies.remove(life)
                self._add_up(life)
            self._services.zombie_ended(life)
        else:
            self.cause = cause
            if type(event) is Exited and self.links.is_paid(life.number):
                event = event._replace(paid=True)
            self.scope.take(event)

    def dead_letter(
        self,
        life: Life,  # noqa: ARG002
        message: Any,
        reason: str,
        error: str,
        traceback: str | Trace,
    ) -> None:
        """Record a message that failed."""
        self._services.dead_letters.add(
            message, self.address, reason, error, self._scope_id, traceback
        )

    def fail_quietly(self, future: Any, error: BaseException) -> None:
        """Fail a future from the supervisor's thread."""
        self._services.settle(future, error=error)

    def complain(self, life: Life, what: str) -> None:  # noqa: ARG002
        """Report a failure that changes nothing."""
        self._services.publish(
            events.CallbackFailed(self._services.name, events.now(), self.path, what)
        )

    def make_timers(self) -> Timers:
        """Return the timers of a life; for its context."""
        put = self.mailbox.put_token
        return Timers(self._services, lambda due: put(Token(arrived=due)))

    # -- Keeper: called through the ref ---------------------------------------------

    def wait(self, timeout: float | None) -> ExitReason | None:
        """Wait for the final end; `None` when the time is up first."""
        return self._ending.wait(timeout)

    def monitor(self, fn: Callable[[Exit], object]) -> Callable[[], None]:
        """Have `fn` called at each exit, and now if the child is over."""
        return self._ending.monitor(fn)

    @property
    def alive(self) -> bool:
        """Whether a life is up."""
        life = self.life  # once: the supervisor may take it away
        return life is not None and life.up

    @property
    def incarnation(self) -> int:
        """The number of the present or last life."""
        return self._number

    def request_stop(self, *, drain: bool) -> Future[bool]:
        """Have it stopped for good; the future tells whether it was running."""
        if self._ending.final is not None:
            over: Future[bool] = Future()
            over.set_result(False)
            return over
        return self.scope.request_stop_of(self, drain=drain)

    # -- counts ---------------------------------------------------------------------

    def _fold(self) -> None:
        """Add the counts of the last life to those of the lives before it."""
        with self._lock:
            if self.life is not None:
                self._add_up(self.life)
                self.life = None

    def _add_up(self, life: Life) -> None:
        self._past.update(life.counts())

    @property
    def in_hand(self) -> int:
        """How many messages are in hand: one or none, or a batch."""
        life = self.life
        return 0 if life is None else life.in_hand

    @property
    def queued(self) -> int:
        """How many messages are still to be handled."""
        return self.mailbox.pending

    def counts(self) -> dict[str, int]:
        """Return the sums of the counters over all lives."""
        with self._lock:
            life = self.life
            if life is not None and not self._past and not self._zombies:
                return life.counts()  # as most: their first one, and all there is
            sums = Counter(self._past)
            for each in self._zombies if life is None else [*self._zombies, life]:
                sums.update(each.counts())
        return {name: sums[name] for name in COUNTERS}

    def figures(self) -> tuple[int, int, int, int, int, int, int]:
        """Return what begins its statistics, in their order: for sums over very many."""
        pending = self.queued
        undelivered = self.mailbox.undelivered
        sums = self.counts()
        return (
            sums["taken"] + undelivered + pending,
            sums["handled"],
            sums["failed"] + sums["abandoned"],
            undelivered,
            pending,
            max(0, self._number - 1),
            sums["retried"],
        )

    def statistics(self) -> WorkerStatistics:
        """Return the counts over all lives."""
        life = self.life
        figures = self.figures()
        since = life.since if life is not None and life.in_hand else None
        return WorkerStatistics(*figures, since)
