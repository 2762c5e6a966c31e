"""The one boundary: every end of user code becomes exactly one exit.

Owns one incarnation (`Life`): its thread, what it has in hand and its counters. It
must not know who supervises it (a `Host` is told), what kind of worker it runs (a
`Behaviour` is called), nor how messages are taken.

What is in hand is settled once. The loop puts a message into `hand` before it is
handled and pops it after; a crash pops it; fencing an abandoned incarnation pops
it. The pop of a one-slot list is atomic on every build, so whoever gets the
message decides its outcome, and the others find the slot empty: no lock, and no
message with two outcomes. Counters have one writer, the thread of the life;
`abandoned` is the fencer's.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from threadsup._errors import WorkerExited
from threadsup._exits import Crashed, ExitReason, describe_exception, reason_of
from threadsup._runtime.bundle import Bundle, messages_of
from threadsup._runtime.context import Context, StopToken, enter, leave
from threadsup._runtime.mailbox import Mailbox, Token
from threadsup._runtime.pykka_compat import Envelope, fail
from threadsup._runtime.run import Run
from threadsup._runtime.thread import Thread
from threadsup._trace import trace_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from threadsup._exits import ChildId
    from threadsup._runtime.interrupt import Guard
    from threadsup._runtime.limiter import Limiter
    from threadsup._trace import Trace

__all__ = ["COUNTERS", "Behaviour", "Host", "Life"]

COUNTERS = (
    "taken",
    "handled",
    "failed",
    "retried",
    "abandoned",
    "completed",
    "dropped",
    "handed",
    "tap_failures",
)
"""What a life counts."""

_BROKEN = Crashed("InternalError: the boundary of a worker failed")

P = ParamSpec("P")
T = TypeVar("T")


class Host(Protocol):
    """Who is told what becomes of a life. Called in the life's own thread."""

    def started(self, life: Life) -> None:
        """The start code has returned."""

    def exited(self, life: Life, reason: ExitReason, cause: BaseException | None) -> None:
        """The life is over; `cause` is there when it never was up. Called once."""

    def dead_letter(
        self, life: Life, message: Any, reason: str, error: str, traceback: str | Trace
    ) -> None:
        """A message has failed for good."""

    def fail_quietly(self, future: Any, error: BaseException) -> None:
        """Fail a future from a thread that runs no user code."""

    def complain(self, life: Life, what: str) -> None:
        """Something failed that changes nothing but ought to be known."""


class Behaviour(Protocol):
    """What kind of worker a life runs. Called in the life's own thread."""

    @property
    def ready(self) -> bool:
        """Whether it has no start code: it is up when it has a thread. Asked by any."""

    def start(self) -> None:
        """Build what is to run and run its start code."""

    def run(self) -> ExitReason:
        """Do the work until it ends."""

    def stop(self) -> None:
        """Clean up after a clean end."""

    def fail(self, error: BaseException) -> None:
        """Clean up after a crash."""


class Life:
    """One incarnation of one child."""

    __slots__ = (
        "_host",
        "abandoned",
        "attempts",
        "closes",
        "completed",
        "context",
        "doing",
        "dropped",
        "emitting",
        "end",
        "failed",
        "fenced",
        "finished",
        "granted",
        "guard",
        "hand",
        "handed",
        "handled",
        "id",
        "limiter",
        "mailbox",
        "max_attempts",
        "number",
        "onward",
        "passed",
        "rest",
        "retried",
        "run",
        "since",
        "stale",
        "taken",
        "tap_failures",
        "thread",
        "token",
        "up",
    )

    def __init__(
        self,
        context: Context,
        mailbox: Mailbox,
        host: Host,
        *,
        max_attempts: int = 1,
        guard: Guard | None = None,
        hand: list[Any] | None = None,
    ) -> None:
        self.id: ChildId = context.id
        self.number = context.incarnation
        self.context = context
        self.token: StopToken = context.token
        self.mailbox = mailbox
        self._host = host
        self.max_attempts = max_attempts
        self.thread: threading.Thread | None = None
        self.up = self.fenced = False
        """Whether the start code has returned and the end has not been reported; whether it
        was given up on."""
        self.guard = guard
        """Of a worker that may be interrupted: how."""
        self.doing = "on_start"
        """What its thread runs now, for reports."""
        self.since = monotonic()
        """Since when: the message in hand, or what `doing` says."""
        self.hand: list[Any] = [] if hand is None else hand
        """The message in hand, if any; who pops it decides its outcome."""
        mailbox.hand = self.hand
        self.attempts = 0
        """How often the message in hand was tried before."""
        self.end: Token | None = None
        """Comes behind what is to be handled before it ends. One of its own: that of
        a life that ended sooner may still be queued, and means nothing to this one."""
        self.taken = self.handled = self.failed = self.retried = self.abandoned = 0
        self.completed = 0
        """Of a stage: items that reached the sink."""
        self.dropped = 0
        """Of a stage: items that ended at `Drop` or `Stop`."""
        self.handed = 0
        """Of a stage: results that went on to the next stage, or are kept for it."""
        self.passed = self.finished = 0
        """Of a stage: items that are both handled and handed, or handled and completed,
        counted once. Those of batches that are counted by `run` are not among them yet."""
        self.run = Run(Lock())
        """What it has taken together, and how many messages are done that way."""
        self.onward = False
        """Whether those have passed; else they are finished."""
        self.tap_failures = 0
        """Of a stage: calls of taps that raised."""
        self.emitting = False
        """Of a stage: whether it is in the middle of an item that becomes several."""
        self.rest: list[Any] = []
        """Of a batch that is handled: messages that are not settled yet. Who pops one
        decides its outcome, as with the hand."""
        self.closes = 0.0
        """Until when a batch waits for more, on the monotonic clock; 0: not known."""
        self.limiter: Limiter | None = None
        """What says when it may begin with a message, if it is held to a rate."""
        self.granted = self.stale = False
        """Whether that was said for the next message, and whether it is to look anew, before
        that, at what it does with results."""

    # -- for who administers it -----------------------------------------------------

    def launch(self, behaviour: Behaviour) -> bool:
        """Start the thread, and do not wait for it.

        Returns:
            Whether it is up with that. Else it reports when it is.

        Raises:
            RuntimeError: the thread could not be started.
        """
        parts = self.id if isinstance(self.id, tuple) else (self.id,)
        name = f"threadsup-{'/'.join(map(str, parts))}-{self.number}"
        ready = behaviour.ready and self.guard is None
        # A function, not a method: it is called without another frame on the C stack, and
        # an idle thread takes a page less.
        self.thread = Thread(target=Life._main, args=(self, behaviour, ready), name=name)
        if ready:  # before its thread runs, which may be over when `start` returns
            self._is_up()
        try:
            self.thread.start()
        except BaseException:
            self.up = False
            raise
        return ready

    def _is_up(self) -> None:
        self.up = True
        self.context.starting = False
        self.doing, self.since = "message", monotonic()

    def ask_to_stop(self, reason: ExitReason, by: float, *, drain: bool = False) -> None:
        """Ask it to end after the message in hand, or after all that is queued. Never blocks."""
        if drain:
            self.end = Token()
            self.mailbox.put_token(self.end)
        else:
            self.token.ask(reason, by)
            self.mailbox.wake()

    def renew(self) -> None:
        """Have it look anew at what it does with results, before its next message."""
        self.stale = True
        self.token.notice()

    def fence(self, reason: ExitReason) -> None:
        """Cut the incarnation off: what it still does counts for nothing. Never blocks.

        From here on its thread is a zombie. What it had in hand has failed here,
        unless the thread was faster.
        """
        self.fenced = True
        self.up = False
        self.token.fence(reason)
        self.mailbox.wake()
        self.context.end(reason, self._host.fail_quietly)
        left = []
        run = None
        while run is not self.run:  # its thread may just have gone on to the next one
            run = self.run
            hand, queued = run.cut()
            left += hand
            if queued:
                self.mailbox.give_back_all(queued)
            run.release(self.mailbox)
        with suppress(IndexError):
            left += [each for _, each in messages_of(self.hand.pop(), 0)]
        with suppress(IndexError):
            while True:
                left.append(self.rest.pop(0)[1])
        for each in left:
            self.abandoned += 1
            error = WorkerExited(f"{self.id!r} was {reason}", reason)
            self.settle_failed(each, error, quiet=True)

    def put_back(self, *, behind: bool = False) -> None:
        """Give back what was taken and not begun; `behind` what was given back before."""
        rest = self.run.take_rest()
        if rest:
            self.mailbox.give_back_all(rest, behind=behind)
        self.run.release(self.mailbox)

    def begin_runs(self, *, onward: bool) -> None:
        """Have what is done in batches from now on count as handed on, or as completed."""
        if onward is not self.onward:
            with self.run.lock:
                if self.run.kept is not None:
                    return
                done, self.run = self.run.done, Run(self.run.lock)
            self.taken += done
            if self.onward:
                self.passed += done
            else:
                self.finished += done
            self.onward = onward

    def counts(self) -> dict[str, int]:
        """Return its counters. Never blocks."""
        run, passed, finished = self.run, self.passed, self.finished  # once
        done = run.done
        if self.onward:
            passed += done
        else:
            finished += done
        return {
            "taken": self.taken + done + run.in_hand + run.lost,
            "handled": self.handled + passed + finished,
            "failed": self.failed,
            "retried": self.retried,
            "abandoned": self.abandoned,
            "completed": self.completed + finished,
            "dropped": self.dropped,
            "handed": self.handed + passed,
            "tap_failures": self.tap_failures,
        }

    @property
    def in_hand(self) -> int:
        """How many messages are in hand: mostly one or none."""
        raw = next(iter(self.hand), None)  # one look: it may be gone in between
        rest = len(self.rest) + self.run.in_hand
        if raw is None:
            return rest + (self.emitting and not self.fenced)
        return rest + len(raw.messages) if type(raw) is Bundle else rest + 1

    # -- the boundary ---------------------------------------------------------------

    def _main(self, behaviour: Behaviour, started: bool) -> None:
        reason: ExitReason = _BROKEN
        cause: BaseException | None = None
        enter(self.context)
        if type(self.hand) is list:
            # A list of the thread that fills it: that of another thread costs a
            # free-threaded build more at each message, and memory. Who fences looks for it
            # after it has passed through the lock of the queue, as who takes a message does.
            self.hand = self.mailbox.hand = []
        try:
            try:
                if self.guard is not None:
                    self.guard.attach()
                if not started:
                    self.guarded(behaviour.start)()
                    started = True
                    self._is_up()
                    self._host.started(self)
                # One that was given up on while it started has a successor, and nothing
                # to run: it only cleans up.
                reason = self.token.reason if self.fenced else behaviour.run()
                self.put_back()
            except BaseException as error:  # noqa: BLE001 - the one boundary
                reason = reason_of(error)
                if not started:
                    cause = error
                else:
                    self.put_back()  # first: what is tried again comes before it
                    self.fail_hand(error, reason)
                    if isinstance(reason, Crashed):
                        self.doing, self.since = "on_failure", monotonic()
                        if crash := self._clean_up(behaviour.fail, error):
                            self.complain(f"on_failure failed: {crash.error}")
            if started and not isinstance(reason, Crashed):
                self.doing, self.since = "on_stop", monotonic()
                reason = self._clean_up(behaviour.stop) or reason
        finally:
            leave()
            self.up = False
            self.context.end(reason, fail)
            self._host.exited(self, reason, cause)

    def guarded(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return what calls `function`, code of users, so that it can be interrupted."""
        return function if self.guard is None else self.guard.around(function)

    def _clean_up(self, hook: Callable[..., None], *args: BaseException) -> Crashed | None:
        """Run a last hook; return the crash it made of itself, if it did."""
        try:
            self.guarded(hook)(*args)
        except BaseException as error:  # noqa: BLE001 - still the boundary
            reason = reason_of(error)
            return reason if isinstance(reason, Crashed) else None
        return None

    def complain(self, what: str) -> None:
        """Report something that failed and changes nothing."""
        self._host.complain(self, what)

    # -- the message in hand --------------------------------------------------------

    def fail_hand(self, error: BaseException, reason: ExitReason) -> None:
        """Settle what was in hand when the worker's code left with `error`."""
        try:
            raw = self.hand.pop()
        except IndexError:
            return  # nothing was, or it was fenced and the fence has settled it
        text = (reason.error, reason.trace) if isinstance(reason, Crashed) else None
        again = []
        for attempts, each in messages_of(raw, self.attempts):
            tried = attempts + 1
            if tried < self.max_attempts and isinstance(reason, Crashed):
                again.append((each, tried))
            else:
                self.failed += 1
                self.settle_failed(each, error, text=text)
        for each, tried in reversed(again):  # the last first: each goes to the front
            self.taken -= 1  # it is queued again, and will be taken again
            self.retried += 1
            self.mailbox.give_back(each, tried)

    def settle_failed(
        self,
        raw: Any,
        error: BaseException,
        *,
        text: tuple[str, str | Trace] | None = None,
        quiet: bool = False,
    ) -> None:
        """Tell the asker, and leave a dead letter.

        An asker gets an `Exception` as it is, anything else as `WorkerExited`.
        With `quiet` no callback of a user runs in this thread.
        """
        message = raw
        if type(raw) is Envelope:
            message = raw.message
            answer = error
            if not isinstance(error, Exception):
                answer = WorkerExited(
                    f"{self.id!r} ended while it answered: {describe_exception(error)}",
                    reason_of(error),
                )
                answer.__cause__ = error
            if quiet:
                self._host.fail_quietly(raw.reply_to, answer)
            else:
                fail(raw.reply_to, answer)
        if text is None:
            text = describe_exception(error), trace_of(error)
        self._host.dead_letter(self, message, "failed", *text)
