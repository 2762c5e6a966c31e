"""Lives without a supervisor: a host that records, and behaviours made of functions.

Owns what the tests of the boundary and its races share. It must not know scopes, cells
or trees: a test here is the supervisor.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.helpers import Gate, Recorder
from tests.runtime.forcing import Watched
from threadsup._exits import Shutdown
from threadsup._runtime.actor import Life
from threadsup._runtime.context import Context, StopToken
from threadsup._runtime.future import Future
from threadsup._runtime.mailbox import Mailbox
from threadsup._runtime.pykka_compat import Envelope, fail
from threadsup._runtime.worker import HandlerBehaviour, TaskBehaviour, WorkerBehaviour

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ExitReason
    from threadsup._runtime.actor import Behaviour

__all__ = [
    "BUSY",
    "Busy",
    "End",
    "FakeHost",
    "GatedHand",
    "Letter",
    "Lives",
    "counts_of",
    "hold_taken",
]

NEVER = float("inf")


class End(NamedTuple):
    """What a host is told at the end of a life."""

    life: Life
    reason: ExitReason
    cause: BaseException | None


class Letter(NamedTuple):
    """A dead letter as a host gets it."""

    life: Life
    message: Any
    error: str


class FakeHost:
    """Records what it is told."""

    def __init__(self) -> None:
        self.ups: Recorder[Life] = Recorder()
        self.ends: Recorder[End] = Recorder()
        self.letters: Recorder[Letter] = Recorder()
        self.complaints: Recorder[str] = Recorder()

    def started(self, life: Life) -> None:
        self.ups(life)

    def exited(self, life: Life, reason: ExitReason, cause: BaseException | None) -> None:
        self.ends(End(life, reason, cause))

    def dead_letter(
        self, life: Life, message: Any, reason: str, error: str, traceback: object
    ) -> None:
        del traceback
        assert reason == "failed"
        self.letters(Letter(life, message, error))

    def fail_quietly(self, future: Any, error: BaseException) -> None:
        fail(future, error)

    def complain(self, life: Life, what: str) -> None:
        self.complaints(what)


def counts_of(life: Life) -> dict[str, int]:
    """Return the counters of a life."""
    return life.counts()


class Lives:
    """Lives of one worker, one after another, on one mailbox."""

    def __init__(self, mailbox: Mailbox | None = None, max_attempts: int = 1) -> None:
        self.mailbox = mailbox or Mailbox("w")
        self.host = FakeHost()
        self.all: list[Life] = []
        self._max_attempts = max_attempts

    def make(self, kind: str = "handler", hand: list[Any] | None = None) -> Life:
        """Make the next life, not launched."""
        number = len(self.all) + 1
        token = StopToken(task=kind == "task")
        context = Context(id="w", kind=kind, incarnation=number, token=token, home=self.mailbox)
        life = Life(context, self.mailbox, self.host, max_attempts=self._max_attempts, hand=hand)
        self.all.append(life)
        return life

    def handler(
        self, fn: Callable[[Any], Any], *, reply_errors: bool = False, hand: Any = None
    ) -> Life:
        """Begin the next life as a handler's; it is up when this returns."""
        life = self.make(hand=hand)
        return self.launch(life, HandlerBehaviour(life, fn, (), {}, reply_errors=reply_errors))

    def worker(self, target: Callable[..., Any], *, wait: bool = True) -> Life:
        """Begin the next life as that of a `Worker` class."""
        life = self.make("worker")
        behaviour = WorkerBehaviour(life, target, (), {}, reply_errors=False)
        return self.launch(life, behaviour, wait=wait)

    def task(self, fn: Callable[..., Any], *, hand: Any = None) -> Life:
        """Begin the next life as a task's."""
        life = self.make("task", hand)
        return self.launch(life, TaskBehaviour(life, fn, (), {}))

    def launch(self, life: Life, behaviour: Behaviour, *, wait: bool = True) -> Life:
        """Begin a life; wait until it says that it is up, unless it is at once."""
        if not life.launch(behaviour) and wait:
            self.host.ups.wait_until(lambda ups: life in ups, "start")
        return life

    def ask(self, message: Any) -> Future[Any]:
        """Put a message that somebody waits for."""
        future: Future[Any] = Future()
        self.mailbox.put(Envelope(message, future))
        return future

    def stop(self, life: Life, *, drain: bool = False) -> ExitReason:
        """Ask a life to stop and wait until it has."""
        life.ask_to_stop(Shutdown("told to"), NEVER, drain=drain)
        return self.end(life).reason

    def end(self, life: Life) -> End:
        """Wait for the end of a life; there is only one."""
        ends = self.host.ends.wait_until(lambda ends: any(end.life is life for end in ends), "end")
        assert life.thread is not None
        life.thread.join()
        (end,) = [end for end in ends if end.life is life]
        return end

    def counts(self) -> dict[str, int]:
        """Return the sums over all lives; what is accepted is everything else together."""
        names = ("taken", "handled", "failed", "abandoned", "retried")
        of_each = [counts_of(life) for life in self.all]
        sums = {name: sum(counts[name] for counts in of_each) for name in names}
        taken = sums.pop("taken")
        mailbox = self.mailbox
        sums["failed"] += sums.pop("abandoned")
        sums["undelivered"] = mailbox.undelivered
        sums["pending"] = mailbox.pending
        accepted = taken + mailbox.undelivered + mailbox.pending
        finals = ("handled", "failed", "undelivered", "pending")
        assert accepted == sum(sums[name] for name in finals), sums
        return {name: count for name, count in sums.items() if count}


class Busy:
    """A handler that stands at a gate while it handles `BUSY`, and records the rest."""

    def __init__(self, then: Callable[[], Any] = lambda: "done") -> None:
        self.gate = Gate("the handler")
        self.seen: Recorder[Any] = Recorder()
        self._then = then

    def __call__(self, message: Any) -> Any:
        self.seen(message)
        if message == BUSY:
            self.gate.meet()
            return self._then()
        return message


BUSY = "busy"


class GatedHand(list[Any]):
    """A hand that stands at a gate after a message was put in, or before it is taken out.

    Only the thread of the life stands; whoever fences it goes through.
    """

    def __init__(self, *, at: str) -> None:
        super().__init__()
        self.gate = Gate(f"the hand, at {at}")
        self._at = at
        self.life: Life | None = None
        """Whose thread stands; set before the message that is to be held is put."""

    def _meet(self, at: str) -> None:
        if at == self._at and is_current(self.life):
            self.gate.meet()

    def append(self, raw: Any, /) -> None:
        self._meet("before append")
        super().append(raw)
        self._meet("after append")

    def pop(self, index: Any = -1, /) -> Any:
        self._meet("before pop")
        raw = super().pop(index)
        self._meet("after pop")
        return raw


def is_current(life: Life | None) -> bool:
    """Whether the calling thread is that of the life."""
    return life is not None and threading.current_thread() is life.thread


def hold_taken(lives: Lives) -> Gate:
    """Hold the first life when it has taken something and not yet looked at it."""
    gate = Gate("what was taken")

    def held(_: Any) -> None:
        if is_current(lives.all[0]):
            gate.meet()

    Watched(lives.mailbox, taken=held)
    return gate
