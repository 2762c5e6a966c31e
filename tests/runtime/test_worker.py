"""The kinds of worker: what a task, a handler, a `Worker` and a Pykka class each are."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from tests.helpers import Gate, Recorder
from tests.runtime.forcing import run
from tests.runtime.lives import BUSY, NEVER, Busy, Lives
from threadsup._errors import NoReply, WorkerExited
from threadsup._exits import Crashed, Normal, Shutdown, WorkerExit
from threadsup._runtime.context import current, sleep
from threadsup._runtime.mailbox import Mailbox
from threadsup._runtime.pykka_compat import Envelope
from threadsup._runtime.pykka_worker import PykkaBehaviour
from threadsup._runtime.worker import HandlerBehaviour, WorkerBehaviour, receive
from threadsup._specs import Worker

if TYPE_CHECKING:
    from threadsup._runtime.actor import Life
    from threadsup._runtime.context import Context


def me() -> Context:
    context = current()
    assert context is not None
    return context


# -- tasks: receive ---------------------------------------------------------------------


def test_a_task_runs_once_and_ends_normally_whatever_it_returns() -> None:
    """What a task returns is nobody's."""
    lives = Lives()
    assert lives.end(lives.task(lambda: "ignored")).reason == Normal()


def test_a_task_receives_what_was_put_in_order() -> None:
    """A message counts as handled at the next `receive`, or when the task returns."""
    lives = Lives()
    seen: list[Any] = []
    counts: list[dict[str, int]] = []

    def task() -> None:
        for _ in range(3):
            seen.append(receive())
            counts.append({"handled": lives.all[0].handled, "hand": len(lives.all[0].hand)})

    for message in "abc":
        lives.mailbox.put(message)
    lives.end(lives.task(task))
    assert seen == ["a", "b", "c"]
    assert counts == [{"handled": n, "hand": 1} for n in range(3)]
    assert lives.counts() == {"handled": 3}


def test_receive_waits_for_a_message() -> None:
    """A task that sleeps in `receive` is woken by what is put."""
    lives = Lives()
    seen: Recorder[Any] = Recorder()
    life = lives.task(lambda: seen(receive()))
    lives.mailbox.put("it")
    lives.end(life)
    assert seen.items == ["it"]


def test_receive_gives_up_when_nothing_came_in_time() -> None:
    """It raises `TimeoutError` that says how long, or returns the default."""
    seen: list[Any] = []

    def task() -> None:
        with pytest.raises(TimeoutError, match=r"no message within 0\.001 s"):
            receive(0.001)
        seen.append(receive(0, default=None))
        seen.append(receive(0.001, default="nothing"))

    lives = Lives()
    assert lives.end(lives.task(task)).reason == Normal()
    assert seen == [None, "nothing"]


def test_receive_prefers_what_is_there_to_the_default() -> None:
    """No time to wait is enough for what is queued."""
    lives = Lives()
    lives.mailbox.put("queued")
    seen: list[Any] = []
    lives.end(lives.task(lambda: seen.append(receive(0, default=None))))
    assert seen == ["queued"]


def test_receive_is_for_tasks() -> None:
    """Elsewhere, in a handler too, it is an error at once."""
    with pytest.raises(RuntimeError, match=r"receive\(\) is for tasks"):
        receive()
    lives = Lives()
    life = lives.handler(lambda _: receive())
    with pytest.raises(RuntimeError, match="a handler is given its messages"):
        lives.ask(1).result(5)
    assert isinstance(lives.end(life).reason, Crashed)


def test_receive_makes_room_for_senders() -> None:
    """A sender that waits at the bound is woken by a task as by any consumer."""
    lives = Lives(Mailbox("w", capacity=1))
    lives.mailbox.put("first")
    sender = run(lives.mailbox.put, "second")
    seen: list[Any] = []
    lives.end(lives.task(lambda: seen.extend((receive(), receive()))))
    sender.result()
    assert seen == ["first", "second"]


def test_a_message_that_was_cancelled_is_not_received() -> None:
    """The task never sees it; it counts as undelivered."""
    lives = Lives()
    future = lives.ask("never mind")
    assert future.cancel()
    lives.mailbox.put("this")
    seen: list[Any] = []
    lives.end(lives.task(lambda: seen.append(receive())))
    assert seen == ["this"]
    assert lives.counts() == {"handled": 1, "undelivered": 1}


# -- tasks: replies ---------------------------------------------------------------------


def test_a_task_replies_to_what_it_received_last() -> None:
    """Before it goes on to the next message, and to that alone."""

    def task() -> None:
        for _ in range(2):
            me().reply(receive() * 2)

    lives = Lives()
    first, second = lives.ask(1), lives.ask("ab")
    lives.end(lives.task(task))
    assert (first.result(5), second.result(5)) == (2, "abab")
    assert lives.counts() == {"handled": 2}


@pytest.mark.parametrize("then", ["receives", "returns"])
def test_an_ask_a_task_does_not_answer_gets_no_reply(then: str) -> None:
    """It hears so when the task goes on, or returns; the message is handled."""

    def task() -> None:
        receive()
        if then == "receives":
            receive(0, default=None)

    lives = Lives()
    future = lives.ask("question")
    lives.end(lives.task(task))
    with pytest.raises(NoReply, match="'w' went on without a reply"):
        future.result(5)
    assert lives.counts() == {"handled": 1}


def test_an_ask_in_hand_at_a_crash_gets_the_exception() -> None:
    """As a handler's asker does; the message has failed."""

    def task() -> None:
        receive()
        raise ValueError("while answering")

    lives = Lives()
    future = lives.ask("question")
    lives.end(lives.task(task))
    with pytest.raises(ValueError, match="while answering"):
        future.result(5)
    assert lives.counts() == {"failed": 1}


def test_a_task_cannot_reply_to_nothing_nor_twice() -> None:
    """To nothing received, to what was told, to what is answered: errors that say so."""

    def task() -> None:
        with pytest.raises(RuntimeError, match="nothing to reply to"):
            me().reply(1)
        receive()
        with pytest.raises(RuntimeError, match="what was received last was told"):
            me().reply(1)
        receive()
        me().reply("once")
        with pytest.raises(RuntimeError, match="replied to already"):
            me().reply("twice")

    lives = Lives()
    lives.mailbox.put("told")
    future = lives.ask("asked")
    assert lives.end(lives.task(task)).reason == Normal()
    assert future.result(5) == "once"


def test_a_handler_cannot_reply_by_hand() -> None:
    """It answers with what it returns."""
    lives = Lives()
    lives.handler(lambda _: me().reply(1))
    with pytest.raises(RuntimeError, match=r"reply\(\) is for tasks"):
        lives.ask(1).result(5)


def test_a_message_a_task_crashed_over_is_received_first_by_the_next() -> None:
    """With more attempts than one (F27)."""
    lives = Lives(max_attempts=2)
    seen: list[Any] = []

    def crash() -> None:
        seen.append(receive())
        raise ValueError

    lives.mailbox.put("a")
    lives.mailbox.put("b")
    lives.end(lives.task(crash))
    lives.end(lives.task(lambda: seen.extend((receive(), receive()))))
    assert seen == ["a", "a", "b"]
    assert lives.counts() == {"handled": 2, "retried": 1}


# -- tasks: stopping ----------------------------------------------------------------------


def waiting_in(how: str, gate: Gate) -> Any:
    def task() -> None:
        gate.meet()
        if how == "receive":
            receive()
        elif how == "receive with a limit":
            receive(1000)
        else:
            sleep(1000)

    return task


@pytest.mark.parametrize("how", ["receive", "receive with a limit", "sleep"])
@pytest.mark.parametrize("moment", ["before", "while"])
def test_a_stop_ends_the_wait_of_a_task(how: str, moment: str) -> None:
    """Asked before it begins to wait or while it waits, it leaves by `WorkerExit`."""
    lives = Lives()
    gate = Gate("the task")
    life = lives.task(waiting_in(how, gate))
    gate.wait_reached()
    if moment == "before":
        life.ask_to_stop(Shutdown("told to"), NEVER)
        gate.open()
    else:
        gate.open()
        life.ask_to_stop(Shutdown("told to"), NEVER)
    assert lives.end(life).reason == Shutdown("told to")


def test_a_stop_is_told_to_a_task_once() -> None:
    """Cleaning up may receive and sleep again: what is queued can be finished."""
    seen: list[Any] = []

    def task() -> None:
        try:
            while True:
                seen.append(receive())
                gate.meet()
        finally:
            sleep(0)
            while (message := receive(0, default=None)) is not None:
                seen.append(message)

    lives = Lives()
    gate = Gate("the task")
    life = lives.task(task)
    for message in "abc":
        lives.mailbox.put(message)
    gate.wait_reached()
    life.ask_to_stop(Shutdown(), NEVER)
    gate.open()
    assert lives.end(life).reason == Shutdown()
    assert seen == ["a", "b", "c"]
    assert lives.counts() == {"handled": 3}


def test_a_task_that_cleans_up_is_ended_when_its_time_is_up() -> None:
    """`receive` in a `finally` waits for what is left of the time for stopping, not longer."""
    ends: list[BaseException] = []

    def task() -> None:
        try:
            receive()
        finally:
            try:
                receive()
            except WorkerExit as error:
                ends.append(error)

    lives = Lives()
    life = lives.task(task)
    life.ask_to_stop(Shutdown("told to"), 0)
    lives.end(life)
    assert [type(end) for end in ends] == [WorkerExit]


def test_a_wait_of_a_task_that_cleans_up_is_cut_to_the_time_it_has() -> None:
    """Its own limit is longer: when the time for stopping is up it leaves, by `WorkerExit`."""
    gate = Gate("the clean-up")
    ends: list[BaseException] = []

    def task() -> None:
        try:
            receive()
        finally:
            gate.meet()
            try:
                receive(1000)
            except BaseException as error:
                ends.append(error)

    lives = Lives()
    life = lives.task(task)
    life.ask_to_stop(Shutdown("told to"), monotonic() + 0.02)
    gate.wait_reached()
    gate.open()
    lives.end(life)
    assert [type(end) for end in ends] == [WorkerExit]


def test_a_task_given_up_on_leaves_every_wait() -> None:
    """A zombie that comes to wait does not wait (F28)."""
    lives = Lives()
    gate = Gate("the task")
    left: list[str] = []

    def task() -> None:
        gate.meet()
        for wait in (receive, lambda: receive(1000), lambda: sleep(1000)):
            try:
                wait()
            except WorkerExit:
                left.append("left")

    life = lives.task(task)
    gate.wait_reached()
    lives.mailbox.put("the next life's")
    life.fence(Shutdown())
    gate.open()
    lives.end(life)
    assert left == ["left"] * 3
    assert lives.counts() == {"pending": 1}


def test_a_drain_ends_a_task_when_it_has_received_everything() -> None:
    """The message before the end is handled, and the end leaves by `WorkerExit`."""
    seen: list[Any] = []

    def task() -> None:
        while True:
            seen.append(receive())

    lives = Lives()
    lives.mailbox.put(1)
    lives.mailbox.put(2)
    assert lives.stop(lives.task(task), drain=True) == Shutdown()
    assert seen == [1, 2]
    assert lives.counts() == {"handled": 2}


# -- handlers and classes ---------------------------------------------------------------


def test_a_handler_gets_its_arguments_after_the_message() -> None:
    """As many as were declared, by place and by name."""
    lives = Lives()
    life = lives.make()

    def handle(message: Any, *args: Any, **kwargs: Any) -> Any:
        return message, args, kwargs

    life.launch(HandlerBehaviour(life, handle, (1, 2), {"c": 3}, reply_errors=False))
    assert lives.ask("m").result(5) == ("m", (1, 2), {"c": 3})
    lives.stop(life)


def test_a_worker_is_made_anew_with_the_same_arguments() -> None:
    """Each incarnation has an instance of its own: state does not outlive a crash."""

    class Counter(Worker):
        def __init__(self, start: int, *, step: int) -> None:
            self.value, self.step = start, step

        def on_receive(self, message: Any) -> Any:
            self.value += self.step
            if message == "crash":
                raise ValueError
            return self.value

    lives = Lives()

    def begin() -> Life:
        life = lives.make("worker")
        life.launch(WorkerBehaviour(life, Counter, (10,), {"step": 5}, reply_errors=False))
        return life

    life = begin()
    assert [lives.ask(1).result(5) for _ in range(2)] == [15, 20]
    lives.mailbox.put("crash")
    lives.end(life)
    life = begin()
    assert lives.ask(1).result(5) == 15
    lives.stop(life)


def test_a_worker_without_hooks_takes_messages() -> None:
    """The default of `on_receive` is a line in the log, not a crash."""
    lives = Lives()
    life = lives.worker(Worker)
    assert lives.ask("anything").result(5) is None
    lives.stop(life)


def test_on_failure_is_given_the_exception_as_pykka_does() -> None:
    """Type, value and traceback."""
    seen: list[Any] = []

    class Failing(Worker):
        def on_receive(self, message: Any) -> Any:
            raise message

        def on_failure(self, *error: Any) -> None:
            seen.extend(error)

    lives = Lives()
    life = lives.worker(Failing)
    error = ValueError("this one")
    lives.mailbox.put(error)
    lives.end(life)
    assert (seen[0], seen[1]) == (ValueError, error)
    assert seen[2] is not None


# -- Pykka classes ------------------------------------------------------------------------


class Plain(pykka.ThreadingActor):
    """A plain actor, as somebody wrote it without knowing of us."""

    def __init__(self, greeting: str = "hello") -> None:
        super().__init__()
        self.greeting = greeting
        self.thread = threading.current_thread()

    def on_receive(self, message: Any) -> Any:
        if message == "leave":
            self.stop()
            self.actor_ref.tell("behind")
        elif message == "ask yourself":
            return self.actor_ref.ask("greet", block=False)
        elif isinstance(message, BaseException):
            raise message
        return self.greeting


def pykka_life(lives: Lives, *args: Any) -> Life:
    life = lives.make("pykka")
    life.launch(PykkaBehaviour(life, Plain, args, {}, reply_errors=True))
    return life


def test_a_pykka_actor_handles_messages_in_the_thread_of_its_life() -> None:
    """Built there, with its arguments, and in no registry."""
    lives = Lives()
    life = pykka_life(lives, "good day")
    assert lives.ask("greet").result(5) == "good day"
    assert pykka.ActorRegistry.get_all() == []
    lives.stop(life)
    assert lives.counts() == {"handled": 1}


def test_what_a_pykka_actor_sends_to_itself_comes_to_its_mailbox() -> None:
    """An ask of its own is answered when its turn comes."""
    lives = Lives()
    life = pykka_life(lives)
    assert lives.ask("ask yourself").result(5).get(timeout=5) == "hello"
    lives.stop(life)
    assert lives.counts() == {"handled": 2}


def test_a_pykka_actor_that_stops_itself_ends_behind_what_is_queued() -> None:
    """As Pykka's `stop` does; what comes later waits."""
    lives = Lives()
    life = pykka_life(lives)
    lives.mailbox.put("leave")
    assert lives.end(life).reason == Shutdown()
    assert lives.counts() == {"handled": 1, "pending": 1}


def test_a_pykka_actor_survives_an_error_that_is_answered() -> None:
    """Asked, it answers with the exception; told, it crashes (F2)."""
    lives = Lives()
    life = pykka_life(lives)
    with pytest.raises(ValueError, match="asked"):
        lives.ask(ValueError("asked")).result(5)
    assert lives.ask("greet").result(5) == "hello"
    lives.mailbox.put(ValueError("told"))
    assert isinstance(lives.end(life).reason, Crashed)
    assert lives.counts() == {"handled": 1, "failed": 2}


def test_a_system_exit_in_a_pykka_actor_is_its_own() -> None:
    """Pykka's stop-all branch is never reached, and its asker hears (F3)."""
    lives, others = Lives(), Lives()
    life, other = pykka_life(lives), pykka_life(others)
    with pytest.raises(WorkerExited):
        lives.ask(SystemExit(3)).result(5)
    lives.end(life)
    assert others.ask("greet").result(5) == "hello"
    others.stop(other)


def test_an_ask_in_pykkas_own_future_is_answered() -> None:
    """Whoever made the envelope, its future is set."""
    lives = Lives()
    busy = Busy()
    life = lives.handler(busy)
    future: pykka.ThreadingFuture[Any] = pykka.ThreadingFuture()
    lives.mailbox.put(Envelope("message", reply_to=future))
    assert future.get(timeout=5) == "message"
    failed: pykka.ThreadingFuture[Any] = pykka.ThreadingFuture()
    lives.mailbox.put(Envelope(BUSY, reply_to=failed))
    busy.gate.wait_reached()
    life.fence(Shutdown())
    with pytest.raises(WorkerExited):
        failed.get(timeout=5)
    busy.gate.open()
    lives.end(life)
