"""Where Pykka loses a message, an answer or everybody: a `ThreadingActor` does not.

Each order of events is forced.
"""

from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pykka
import pytest

import threadsup
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable

registry = pykka.ActorRegistry


class Doing(threadsup.ThreadingActor):
    """Calls what it is sent, and notes which hooks were called."""

    def __init__(self, note: Callable[[Any], None] = lambda item: None) -> None:
        super().__init__()
        self.note = note

    def on_receive(self, message: Any) -> Any:
        return message(self) if callable(message) else message

    def on_stop(self) -> None:
        self.note("on_stop")

    def on_failure(self, *exc_info: Any) -> None:
        self.note(("on_failure", exc_info[0]))


def raising(error: BaseException) -> Callable[[Any], None]:
    def call(actor: Any) -> None:
        raise error

    return call


BASE = [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), BaseException("own")]


# -- a BaseException ends this actor, and no other ------------------------------------


@pytest.mark.parametrize("error", BASE, ids=lambda error: type(error).__name__)
def test_a_base_exception_ends_one_actor(error: BaseException, notes: Recorder[Any]) -> None:
    """In a message that was told: it has failed, and the others do not hear of it."""
    bystander, ref = Doing.start(), Doing.start(notes)
    ref.tell(raising(error))
    assert notes.wait_for(1) == [("on_failure", type(error))]
    assert registry.get_all() == [bystander]
    assert not ref.is_alive()
    assert bystander.ask("alive") == "alive"


@pytest.mark.parametrize("error", BASE, ids=lambda error: type(error).__name__)
def test_who_asked_is_answered(error: BaseException, notes: Recorder[Any]) -> None:
    """With an `ActorDeadError` that has the cause; in Pykka it waits for ever."""
    ref = Doing.start(notes)
    with pytest.raises(pykka.ActorDeadError, match="ended while it answered") as raised:
        ref.ask(raising(error), timeout=PATIENCE)
    assert raised.value.__cause__ is error
    notes.wait_for(1)


@pytest.mark.parametrize("code", [None, 0])
def test_leaving_without_an_error_is_a_stop(code: Any, notes: Recorder[Any]) -> None:
    """`sys.exit()` in an actor ends it as a stop does, and is not logged as a failure."""
    ref = Doing.start(notes)
    ref.tell(raising(SystemExit(code)))
    assert notes.wait_for(1) == ["on_stop"]


def test_a_base_exception_at_the_start_is_its_end() -> None:
    """It is dead and out of the registry, and who asked is told; in Pykka it lives on."""
    gate = Gate()

    class Broken(Doing):
        def on_start(self) -> None:
            gate.meet()
            raise KeyboardInterrupt

    ref = Broken.start()
    gate.wait_reached()
    future = ref.ask("queued", block=False)
    stopping = ref.stop(block=False)
    gate.open()
    with pytest.raises(pykka.ActorDeadError):
        future.get(timeout=PATIENCE)
    assert stopping.get(timeout=PATIENCE) is True
    assert registry.get_all() == []


@pytest.mark.parametrize("hook", ["on_stop", "on_failure"])
def test_a_base_exception_in_the_last_hook_answers_the_stop(
    hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who waits for it is told, whatever the hook does; in Pykka nobody is."""
    gate = Gate()

    def fail(actor: Any, *args: Any) -> None:
        raise SystemExit(5)

    broken: Any = type("Broken", (Doing,), {hook: fail})
    ref = broken.start()
    ref.tell(lambda actor: gate.meet())
    if hook == "on_failure":
        ref.tell(raising(ValueError("boom")))
    stopping = ref.stop(block=False)
    gate.open()
    assert stopping.get(timeout=PATIENCE) is True
    assert "SystemExit: 5" in caplog.text


# -- every message is handled, answered or refused ------------------------------------


def held_sender(ref: Any, send: Callable[[], Any]) -> tuple[Gate, threading.Thread, Recorder[Any]]:
    """Send from another thread, held when it has seen that the actor lives."""
    mailbox, gate, results = ref._inbox.mailbox, Gate("the sender"), Recorder[Any]()
    push = mailbox._push

    def held(message: Any) -> None:
        gate.meet()
        push(message)

    def run() -> None:
        try:
            results(send())
        except pykka.ActorDeadError as error:
            results(error)

    mailbox._push = held
    thread = threading.Thread(target=run)
    thread.start()
    gate.wait_reached()
    mailbox._push = push
    return gate, thread, results


def test_an_ask_that_meets_the_stop_is_answered() -> None:
    """Its sender has seen a live actor, and puts when the queue was emptied for the last time."""
    ref = Doing.start()
    mailbox = ref._inbox.mailbox
    gate, thread, results = held_sender(ref, lambda: ref.ask("late", timeout=PATIENCE))
    ref.stop()
    gate.open()
    thread.join(PATIENCE)
    assert isinstance(results.items[0], pykka.ActorDeadError)
    assert mailbox.pending == 0


def test_an_ask_that_meets_a_crash_is_answered(notes: Recorder[Any]) -> None:
    """As one that meets a stop."""
    ref = Doing.start(notes)
    gate, thread, results = held_sender(ref, lambda: ref.ask("late", timeout=PATIENCE))
    ref.tell(raising(ValueError("boom")))
    notes.wait_for(1)
    gate.open()
    thread.join(PATIENCE)
    assert isinstance(results.items[0], pykka.ActorDeadError)


def test_asks_behind_a_crash_are_answered(notes: Recorder[Any]) -> None:
    """Each with `ActorDeadError`, before the last hook is through."""
    gate, last = Gate(), Gate()

    class Slow(Doing):
        def on_failure(self, *exc_info: Any) -> None:
            last.meet()

    ref = Slow.start(notes)
    ref.tell(lambda actor: gate.meet())
    ref.tell(raising(ValueError("boom")))
    futures = [ref.ask(number, block=False) for number in range(3)]
    gate.open()
    for future in futures:
        with pytest.raises(pykka.ActorDeadError, match="before handling the message"):
            future.get(timeout=PATIENCE)
    last.open()


def test_every_stop_is_answered() -> None:
    """That which stops it and those behind it; one that comes later finds it dead."""
    gate, last = Gate(), Gate()

    class Slow(Doing):
        def on_stop(self) -> None:
            last.meet()

    ref = Slow.start()
    ref.tell(lambda actor: gate.meet())
    stops = [ref.stop(block=False) for _ in range(3)]
    gate.open()
    last.wait_reached()
    late = ref.stop(block=False)
    assert late.get(timeout=PATIENCE) is False
    assert not any(each.done() for each in stops)
    last.open()
    assert [each.get(timeout=PATIENCE) for each in stops] == [True] * 3


def test_threads_that_stop_it_at_once_all_return() -> None:
    """In Pykka those that have seen it alive and come too late wait for ever."""
    ref = Doing.start()
    start, results = threading.Barrier(8), Recorder[bool]()

    def stop() -> None:
        start.wait(PATIENCE)
        results(ref.stop(timeout=PATIENCE))

    threads = [threading.Thread(target=stop) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert any(results.wait_for(8))
    for thread in threads:
        thread.join()


def test_an_actor_in_its_last_hook_may_stop_who_asks_it() -> None:
    """Who waits for its answer is told first; in Pykka each waits for the other."""
    gate = Gate()
    asker = Doing.start()

    class Owner(Doing):
        def on_stop(self) -> None:
            assert asker.stop(timeout=PATIENCE)

    owner = Owner.start()
    owner.tell(lambda actor: gate.meet())
    stopping, behind = owner.stop(block=False), threading.Event()

    def ask_owner(actor: Any) -> Any:
        answer = owner.ask("behind the stop", block=False)
        behind.set()
        return answer.get(timeout=PATIENCE)

    asked = asker.ask(ask_owner, block=False)
    assert behind.wait(PATIENCE)
    gate.open()
    assert stopping.get(timeout=PATIENCE)
    with pytest.raises(pykka.ActorDeadError):
        asked.get(timeout=PATIENCE)


@pytest.mark.parametrize("call", ["ask", "stop"])
def test_to_wait_for_oneself_is_refused(call: str) -> None:
    """At once, in a message and in a hook, and nothing of it happens."""

    def wait(actor: Any) -> Any:
        return actor.actor_ref.ask("me") if call == "ask" else actor.actor_ref.stop()

    class Early(Doing):
        def on_start(self) -> None:
            with pytest.raises(threadsup.CallingSelfError):
                wait(self)
            self.note("refused")

    notes: Recorder[Any] = Recorder()
    ref = Early.start(notes)
    with pytest.raises(threadsup.CallingSelfError, match="block=False"):
        ref.ask(wait, timeout=PATIENCE)
    assert notes.items == ["refused"]
    assert ref.is_alive()


def test_stopping_all_from_an_actor_is_refused() -> None:
    """It would wait for itself: with `block=False` it does not, and stops all."""
    refs = [Doing.start() for _ in range(2)]
    with pytest.raises(threadsup.CallingSelfError):
        refs[1].ask(lambda actor: registry.stop_all(), timeout=PATIENCE)
    stops = refs[1].ask(lambda actor: registry.stop_all(block=False), timeout=PATIENCE)
    assert pykka.get_all(stops, timeout=PATIENCE) == [True, True]


def test_an_envelope_put_by_hand_is_answered() -> None:
    """`actor_inbox` is public: who puts there with a future of Pykka's is answered."""
    ref = Doing.start()
    plain = pykka.ActorRef.ask(ref, "through the inbox", block=False)
    assert plain.get(timeout=PATIENCE) == "through the inbox"
    pykka.ActorRef.tell(ref, raising(SystemExit()))
    assert pykka.ActorRef.stop(ref, timeout=PATIENCE) in (True, False)
    assert ref.stop() is False
    assert ref.actor_inbox.empty()


def test_in_the_child_of_a_fork_it_is_dead() -> None:
    """No thread survives a fork: who tells or asks is told, where Pykka's ask hangs."""
    with Program(FORKING) as program:
        code, lines = program.end()
    assert lines == ["child: False [] MailboxClosed MailboxClosed False", "parent: alive"]
    assert code == 0


FORKING = """
import pykka
import warnings; warnings.simplefilter("ignore")

class Actor(threadsup.ThreadingActor):
    def on_receive(self, message):
        return message

def refused(call):
    try:
        call("message")
    except pykka.ActorDeadError as error:
        return type(error).__name__

ref = Actor.start()
# As if a thread that does not survive were in the middle of it.
held = threading.Thread(target=pykka.ActorRegistry._actor_refs_lock.acquire)
held.start(); held.join()
pid = os.fork()
if pid == 0:
    said = refused(ref.tell), refused(ref.ask), ref.stop()
    say("child:", ref.is_alive(), pykka.ActorRegistry.get_all(), *said)
    os._exit(0)
os.waitpid(pid, 0)
say("parent:", ref.ask("alive"))
os._exit(0)
"""


# -- nothing is kept ------------------------------------------------------------------


def test_an_actor_that_has_ended_is_freed() -> None:
    """With its thread, by nobody's collector, while its ref lives on."""
    gc.collect()
    gc.disable()
    try:
        ref = Doing.start()
        thread = ref.ask(lambda actor: threading.current_thread())
        actor = ref.ask(weakref.ref)
        ref.stop()
        thread.join(PATIENCE)
        assert actor() is None
    finally:
        gc.enable()


def test_an_idle_actor_keeps_no_message() -> None:
    """What it has handled is its sender's again."""

    class Payload:
        pass

    gc.collect()
    gc.disable()
    try:
        ref, payload = Doing.start(), Payload()
        seen = weakref.ref(payload)
        ref.tell(payload)
        assert ref.ask(payload) is payload
        del payload
        ref.ask("behind it")
        gc.collect()  # free-threaded builds put off what another thread owns
        assert seen() is None
    finally:
        gc.enable()
