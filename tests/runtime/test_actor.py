"""One life: every end of user code, wherever it happens, is one exit with a reason."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Recorder
from tests.runtime.forcing import Hostile, note_idle
from tests.runtime.lives import BUSY, Busy, Lives
from threadsup._errors import WorkerExited
from threadsup._exits import Crashed, ExitReason, Normal, Shutdown, WorkerExit
from threadsup._runtime.context import current
from threadsup._runtime.mailbox import Mailbox
from threadsup._specs import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.actor import Life


class OwnBaseException(BaseException):
    pass


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise SystemExit


RAISED: list[tuple[Callable[[], BaseException], ExitReason | str]] = [
    (lambda: ValueError("bad"), "ValueError: bad"),
    (lambda: SystemExit(None), Normal()),
    (lambda: SystemExit(0), Normal()),
    (lambda: SystemExit(3), "SystemExit: 3"),
    (KeyboardInterrupt, "KeyboardInterrupt"),
    (GeneratorExit, "GeneratorExit"),
    (lambda: OwnBaseException("own"), "OwnBaseException: own"),
    (lambda: WorkerExit(Shutdown("leaving")), Shutdown("leaving")),
    (lambda: StopIteration(1), "StopIteration: 1"),
]
"""What code may leave with, and the reason that is; a crash by its text."""

any_end = pytest.mark.parametrize(("raised", "expected"), RAISED)


def matches(reason: ExitReason, expected: ExitReason | str) -> bool:
    if isinstance(expected, str):
        return isinstance(reason, Crashed) and reason.error == expected
    return reason == expected


def leave(raised: Callable[[], BaseException]) -> Any:
    raise raised()


class Recording(Worker):
    """Notes which of its hooks ran, in which thread."""

    calls: list[str]
    threads: set[threading.Thread]

    def __init_subclass__(cls) -> None:
        cls.calls, cls.threads = [], set()

    def note(self, hook: str) -> None:
        self.calls.append(hook)
        self.threads.add(threading.current_thread())

    def __init__(self) -> None:
        self.note("init")

    def on_start(self) -> None:
        self.note("on_start")

    def on_receive(self, message: Any) -> Any:
        self.note("on_receive")
        return message

    def on_stop(self) -> None:
        self.note("on_stop")

    def on_failure(self, *error: Any) -> None:
        self.note(f"on_failure {error[0].__name__}")


# -- ends -----------------------------------------------------------------------------


def test_a_life_that_is_asked_to_stop_cleans_up_and_exits_once() -> None:
    """All hooks run in the life's own thread, and one exit is told."""

    class Calm(Recording):
        pass

    lives = Lives()
    life = lives.worker(Calm)
    assert lives.ask("hello").result(5) == "hello"
    thread = life.thread
    assert lives.stop(life) == Shutdown("told to")
    assert Calm.calls == ["init", "on_start", "on_receive", "on_stop"]
    assert Calm.threads == {thread}
    assert (len(lives.host.ups), len(lives.host.ends)) == (1, 1)
    assert not life.up


@any_end
def test_an_end_in_a_handler_is_one_exit(
    raised: Callable[[], BaseException], expected: ExitReason | str
) -> None:
    """Whatever is raised, a told message failed and its worker ended (F1, F3, F4, F18)."""
    lives = Lives()
    life = lives.handler(lambda _: leave(raised))
    lives.mailbox.put("poison")
    lives.mailbox.put("next")
    end = lives.end(life)
    assert matches(end.reason, expected)
    assert end.cause is None
    assert [letter.message for letter in lives.host.letters.items] == ["poison"]
    assert lives.counts() == {"failed": 1, "pending": 1}


@any_end
def test_an_end_while_answering_settles_the_ask(
    raised: Callable[[], BaseException], expected: ExitReason | str
) -> None:
    """An `Exception` reaches the asker as it is, anything else as `WorkerExited` (F2, F3)."""
    lives = Lives()
    made: list[BaseException] = []

    def fail(_: Any) -> Any:
        made.append(raised())
        raise made[0]

    life = lives.handler(fail)
    error = lives.ask("question").exception(5)
    assert matches(lives.end(life).reason, expected)
    if isinstance(made[0], Exception):
        assert error is made[0]
    else:
        assert type(error) is WorkerExited
        assert error.__cause__ is made[0]
        assert error.reason is not None
        assert matches(error.reason, expected)
    assert lives.counts() == {"failed": 1}


@pytest.mark.parametrize("where", ["init", "on_start"])
@any_end
def test_an_end_in_start_code_is_a_failed_start(
    where: str, raised: Callable[[], BaseException], expected: ExitReason | str
) -> None:
    """It never was up, the error is the cause, and no other hook runs (F5, F7, F8)."""

    class Broken(Recording):
        def note(self, hook: str) -> None:
            super().note(hook)
            if hook == where:
                leave(raised)

    lives = Lives()
    lives.mailbox.put("waits")
    life = lives.worker(Broken, wait=False)
    end = lives.end(life)
    assert matches(end.reason, expected)
    assert type(end.cause) is type(raised())
    assert Broken.calls[-1] == where
    assert len(lives.host.ups) == 0
    assert lives.counts() == {"pending": 1}


@any_end
def test_an_end_in_on_stop_is_the_reason_and_is_told_once(
    raised: Callable[[], BaseException], expected: ExitReason | str
) -> None:
    """A crash there is the exit's reason, which says it all; a clean end changes none (F6)."""

    class Untidy(Recording):
        def on_stop(self) -> None:
            super().on_stop()
            leave(raised)

    lives = Lives()
    life = lives.worker(Untidy)
    reason = lives.stop(life)
    assert matches(reason, expected if isinstance(expected, str) else Shutdown("told to"))
    assert Untidy.calls.count("on_stop") == 1
    assert not any(call.startswith("on_failure") for call in Untidy.calls)
    assert len(lives.host.complaints) == 0
    assert len(lives.host.ends) == 1


@any_end
def test_an_end_in_on_failure_is_told_once_beside_the_crash(
    raised: Callable[[], BaseException], expected: ExitReason | str
) -> None:
    """The reason stays what it was; only a crash of the hook is worth a line (F6)."""

    class Untidy(Recording):
        def on_receive(self, message: Any) -> Any:
            raise ValueError("first")

        def on_failure(self, *error: Any) -> None:
            super().on_failure(*error)
            leave(raised)

    lives = Lives()
    life = lives.worker(Untidy)
    lives.mailbox.put(1)
    assert matches(lives.end(life).reason, "ValueError: first")
    assert Untidy.calls == ["init", "on_start", "on_failure ValueError"]
    told = [f"on_failure failed: {expected}"] if isinstance(expected, str) else []
    assert lives.host.complaints.items == told


@any_end
def test_an_end_of_a_task_is_one_exit(
    raised: Callable[[], BaseException], expected: ExitReason | str
) -> None:
    """A task ends as a handler does, without a message."""
    lives = Lives()
    assert matches(lives.end(lives.task(lambda: leave(raised))).reason, expected)
    assert lives.counts() == {}


def test_a_clean_end_in_a_handler_runs_on_stop() -> None:
    """Who leaves on purpose is not told of a failure (F3)."""

    class Leaving(Recording):
        def on_receive(self, message: Any) -> Any:
            raise WorkerExit(Shutdown("enough"))

    lives = Lives()
    life = lives.worker(Leaving)
    lives.mailbox.put(1)
    assert lives.end(life).reason == Shutdown("enough")
    assert Leaving.calls == ["init", "on_start", "on_stop"]


def test_endless_recursion_is_a_crash() -> None:
    """The report is made when the stack is free again (F18)."""

    def recurse(message: Any) -> Any:
        return recurse(message)

    lives = Lives()
    life = lives.handler(recurse)
    lives.mailbox.put(1)
    reason = lives.end(life).reason
    assert isinstance(reason, Crashed)
    assert reason.error.startswith("RecursionError")
    assert len(reason.traceback) < 20_000


def test_no_memory_is_a_crash() -> None:
    """Asking for more than there is ends the one who asks (F17)."""
    lives = Lives()
    life = lives.handler(lambda _: bytearray(1 << 60))
    lives.mailbox.put(1)
    assert matches(lives.end(life).reason, "MemoryError")


def test_an_exception_that_cannot_be_read_is_a_crash() -> None:
    """A message that raises when it is read ends nothing but its worker."""
    lives = Lives()
    life = lives.handler(lambda _: leave(UnreadableError))
    lives.mailbox.put(1)
    assert matches(lives.end(life).reason, "UnreadableError: <its message could not be read>")
    assert len(lives.host.letters) == 1


def test_a_thread_that_cannot_be_started_is_told_to_who_starts_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`launch` raises, and no exit is told: there was no life."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    lives = Lives()
    with pytest.raises(RuntimeError, match="can't start new thread"):
        lives.handler(print)
    assert len(lives.host.ends) == 0


# -- what a life is to its code ---------------------------------------------------------


def test_a_life_is_the_context_of_its_thread_and_of_no_other() -> None:
    """`current()` names the worker in all of its hooks, and nobody outside."""
    seen: list[Any] = []

    class Curious(Recording):
        def note(self, hook: str) -> None:
            super().note(hook)
            context = current()
            assert context is not None
            seen.append((hook, context.id, context.incarnation, context.stopping))

    lives = Lives()
    lives.stop(lives.worker(Curious))
    assert seen == [
        ("init", "w", 1, False),
        ("on_start", "w", 1, False),
        ("on_stop", "w", 1, True),
    ]
    assert current() is None


def test_a_life_inherits_no_context_variables() -> None:
    """A worker is its own from the start, whoever happened to start it."""
    variable = contextvars.ContextVar("variable", default="nobody's")
    variable.set("the starter's")
    lives = Lives()
    life = lives.handler(lambda _: variable.get())
    assert lives.ask(1).result(5) == "nobody's"
    lives.stop(life)


def test_a_life_says_what_it_is_doing() -> None:
    """Reports of who does not stop name the hook, the task or the message."""
    doing: list[str] = []
    lives = Lives()

    class Curious(Recording):
        def note(self, hook: str) -> None:
            doing.append(lives.all[-1].doing)

    life = lives.worker(Curious)
    lives.ask(1).result(5)
    lives.stop(life)
    lives.end(lives.task(lambda: doing.append(lives.all[-1].doing)))
    assert doing == ["on_start", "on_start", "message", "on_stop", "task"]


def test_payloads_are_left_alone() -> None:
    """No message and no result is compared, measured, tested or asked anything."""
    lives = Lives()
    life = lives.handler(lambda message: message)
    payload = Hostile()
    lives.mailbox.put(payload)
    future = lives.ask(payload)
    assert future.exception(5) is None
    lives.stop(life)
    assert lives.counts() == {"handled": 2}


class Payload:
    """Something that can be watched going away."""


@pytest.mark.parametrize("asked", [True, False])
def test_an_idle_life_keeps_no_message_and_no_result_alive(asked: bool) -> None:
    """Who waits for the next message has let go of the last one."""
    lives = Lives()
    handled: Recorder[int] = Recorder()
    left: list[weakref.ref[Payload]] = []
    note_idle(lives.mailbox, lambda: handled(len(left)))

    def handle(message: Payload) -> Payload:
        result = Payload()
        left.extend((weakref.ref(message), weakref.ref(result)))
        return result

    life = lives.handler(handle)
    if asked:
        lives.ask(Payload()).result(5)
    else:
        lives.mailbox.put(Payload())
    handled.wait_until(lambda noted: 2 in noted, "sleep behind the message")
    gc.collect()  # without the GIL, who drops an object last need not be who frees it
    assert [ref() for ref in left] == [None, None]
    lives.stop(life)


# -- the message in hand ----------------------------------------------------------------


def test_a_message_is_tried_as_often_as_it_may_be() -> None:
    """It comes first in the next life, is counted apart, and then fails for good (F27)."""
    lives = Lives(max_attempts=3)
    lives.mailbox.put("poison")
    lives.mailbox.put("next")
    seen: list[tuple[int, Any]] = []
    for number in (1, 2, 3):

        def handle(message: Any, number: int = number) -> None:
            seen.append((number, message))
            if message == "poison":
                raise ValueError

        end = lives.end(lives.handler(handle))
        assert isinstance(end.reason, Crashed)
    assert seen == [(1, "poison"), (2, "poison"), (3, "poison")]
    assert [letter.message for letter in lives.host.letters.items] == ["poison"]
    assert lives.counts() == {"failed": 1, "retried": 2, "pending": 1}


def test_an_ask_that_is_tried_again_is_answered_by_the_next_life() -> None:
    """Its asker does not hear of the crash that was not the last word."""
    lives = Lives(max_attempts=2)
    future = lives.ask("question")
    lives.end(lives.handler(lambda _: leave(ValueError)))
    assert not future.done()
    life = lives.handler(lambda _: "answer")
    assert future.result(5) == "answer"
    lives.stop(life)
    assert lives.counts() == {"handled": 1, "retried": 1}


def test_attempts_are_those_of_one_message() -> None:
    """A message after one that was tried twice is itself tried as often."""
    lives = Lives(max_attempts=2)
    for message in ("a", "b"):
        lives.mailbox.put(message)
    tries: list[Any] = []

    def crash_first(message: Any) -> None:
        tries.append(message)
        if tries.count(message) == 1:
            raise ValueError

    lives.end(lives.handler(crash_first))
    lives.end(lives.handler(crash_first))
    lives.stop(lives.handler(crash_first), drain=True)
    assert tries == ["a", "a", "b", "b"]
    assert lives.counts() == {"handled": 2, "retried": 2}


@pytest.mark.parametrize("raised", [SystemExit, lambda: WorkerExit(Shutdown())])
def test_who_leaves_on_purpose_is_not_given_the_message_again(
    raised: Callable[[], BaseException],
) -> None:
    """Only a crash is tried again."""
    lives = Lives(max_attempts=5)
    life = lives.handler(lambda _: leave(raised))
    lives.mailbox.put(1)
    lives.end(life)
    assert lives.counts() == {"failed": 1}


def test_a_retry_into_a_closed_mailbox_is_undelivered() -> None:
    """A crash after the closing takes nothing out of the account, and its asker hears."""
    lost: list[Any] = []
    lives = Lives(Mailbox("w", on_undelivered=lambda raws, why: lost.extend(raws)), 2)
    busy = Busy(lambda: leave(ValueError))
    life = lives.handler(busy)
    lives.mailbox.put(BUSY)
    busy.gate.wait_reached()
    assert lives.mailbox.close("over") == []
    busy.gate.open()
    lives.end(life)
    assert lost == [BUSY]
    assert lives.counts() == {"undelivered": 1, "retried": 1}


def test_errors_may_be_answers() -> None:
    """With `reply_errors` an `Exception` while answering is only answered (F2)."""
    lives = Lives()
    life = lives.handler(lambda error: leave(lambda: error), reply_errors=True)
    error = ValueError("yours")
    assert lives.ask(error).exception(5) is error
    assert isinstance(lives.ask(KeyError("mine")).exception(5), KeyError)
    assert life.up
    lives.mailbox.put(ValueError("told"))
    assert matches(lives.end(life).reason, "ValueError: told")
    assert lives.counts() == {"failed": 3}


def test_errors_that_are_no_exceptions_are_never_answers() -> None:
    """With `reply_errors` a `SystemExit` still ends the worker."""
    lives = Lives()
    life = lives.handler(lambda _: leave(lambda: SystemExit(3)), reply_errors=True)
    assert isinstance(lives.ask(1).exception(5), WorkerExited)
    assert matches(lives.end(life).reason, "SystemExit: 3")


def test_a_drain_ends_behind_what_is_queued() -> None:
    """Everything before the end is handled, whatever comes after it stays."""
    lives = Lives()
    busy = Busy()
    life: Life = lives.handler(busy)
    for message in (BUSY, 1, 2):
        lives.mailbox.put(message)
    busy.gate.wait_reached()
    life.ask_to_stop(Shutdown(), 0, drain=True)
    lives.mailbox.put("late")
    busy.gate.open()
    assert lives.end(life).reason == Shutdown()
    assert busy.seen.items == [BUSY, 1, 2]
    assert lives.counts() == {"handled": 3, "pending": 1}
