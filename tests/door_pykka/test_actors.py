"""What Pykka documents of actors: how they begin, what they are sent, how they end.

In both doors, where both have it.
"""

from __future__ import annotations

import contextvars
import threading
import uuid
from typing import TYPE_CHECKING, Any

import pykka
import pytest

import threadsup
from tests.helpers import PATIENCE, Gate, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.door_pykka.conftest import Begin


class Body(pykka.Actor):
    """Notes what is done with it; calls what it is sent, if it can."""

    def __init__(self, note: Callable[[Any], None], greeting: str = "hello") -> None:
        super().__init__()
        self.note = note
        self.greeting = greeting
        self.made_in = threading.current_thread()
        self.first_ref = self.actor_ref

    def on_start(self) -> None:
        self.note("on_start")

    def on_stop(self) -> None:
        self.note("on_stop")

    def on_failure(self, *exc_info: Any) -> None:
        self.note(("on_failure", *exc_info[:2], exc_info[2] is not None))

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.note(message)
        return message


class Alone(Body, threadsup.ThreadingActor):
    pass


def raising(error: BaseException) -> Callable[[Any], None]:
    def call(actor: Any) -> None:
        raise error

    return call


# -- starting an actor ----------------------------------------------------------------


def test_start_gives_its_arguments_to_init(begin: Begin, notes: Recorder[Any]) -> None:
    """Positional and by name, as they are."""
    ref = begin(Body, notes, greeting="hi")
    assert ref.ask(lambda actor: actor.greeting) == "hi"


def test_init_runs_in_the_thread_that_starts_it(notes: Recorder[Any]) -> None:
    """And everything else in its own; under a supervisor, which starts it again, both do."""
    ref = Alone.start(notes)
    assert ref.ask(lambda actor: actor.made_in) is threading.current_thread()
    assert ref.ask(lambda actor: threading.current_thread()) is not threading.current_thread()


def test_an_init_that_fails_starts_nothing(notes: Recorder[Any]) -> None:
    """The error is the caller's, and nothing is registered."""

    class Broken(threadsup.ThreadingActor):
        def __init__(self) -> None:
            super().__init__()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Broken.start()
    assert pykka.ActorRegistry.get_all() == []


def test_an_init_without_super_is_told_so() -> None:
    """At the start, with the remedy, instead of an attribute that is missing later."""

    class Forgetful(threadsup.ThreadingActor):
        def __init__(self) -> None:
            """Forget."""

    with pytest.raises(TypeError, match=r"Forgetful\.__init__\(\) must call super\(\)"):
        Forgetful.start()
    assert pykka.ActorRegistry.get_all() == []


def test_the_base_class_takes_any_arguments() -> None:
    """As Pykka's: for classes that are mixed with others."""
    ref = threadsup.ThreadingActor.start(1, 2, three=3)
    assert ref.is_alive()


def test_on_start_runs_before_the_first_message(begin: Begin, notes: Recorder[Any]) -> None:
    """Whatever was sent meanwhile."""
    begin(Body, notes).ask("message")
    assert notes.items == ["on_start", "message"]


def test_an_actor_is_what_its_class_is(notes: Recorder[Any]) -> None:
    """A subclass of Pykka's, its ref one of Pykka's refs."""
    ref = Alone.start(notes)
    assert issubclass(threadsup.ThreadingActor, pykka.ThreadingActor)
    assert isinstance(ref, pykka.ActorRef)
    assert ref.actor_class is Alone
    assert ref.ask(lambda actor: actor.actor_ref) is ref


def test_it_has_a_urn_of_its_own(begin: Begin, notes: Recorder[Any]) -> None:
    """A random one, which its `str` names, together with its class."""
    refs = [begin(Body, notes) for _ in range(2)]
    one, other = (ref.ask(lambda actor: actor.actor_urn) for ref in refs)
    assert one != other
    assert uuid.UUID(one).version == 4
    assert refs[0].ask(str) == f"Body ({one})"


def test_the_thread_is_named_after_the_class_and_no_daemon(notes: Recorder[Any]) -> None:
    """Python waits for it at its end, unless the class says otherwise."""

    class Daemon(Alone):
        use_daemon_thread = True

    plain, daemon = (
        cls.start(notes).ask(lambda actor: threading.current_thread()) for cls in (Alone, Daemon)
    )
    assert plain.name.startswith("Alone-")
    assert not plain.daemon
    assert daemon.daemon


def test_the_thread_pins_no_context_variables(notes: Recorder[Any]) -> None:
    """Those of who started it are not seen in it, on any version."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    variable.set(1)
    assert Alone.start(notes).ask(lambda actor: variable.get()) == 0


def test_a_thread_that_cannot_start_leaves_nobody_behind(
    notes: Recorder[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pykka's stays in the registry, alive, and whoever asks it waits for ever."""
    refs: list[Any] = []

    class Leaky(Alone):
        def __init__(self, note: Any) -> None:
            super().__init__(note)
            refs.append(self.actor_ref)

    def start(thread: threading.Thread) -> None:
        refs[0].tell("before")
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="new thread"):
        Leaky.start(notes)
    assert pykka.ActorRegistry.get_all() == []
    assert not refs[0].is_alive()
    with pytest.raises(pykka.ActorDeadError):
        refs[0].ask("after", timeout=0)


# -- sending messages, and replying ---------------------------------------------------


@pytest.mark.parametrize("message", [1, "text", {"a": "dict"}, ("a", 1), Exception("error"), None])
def test_a_message_may_be_anything(begin: Begin, notes: Recorder[Any], message: Any) -> None:
    """It arrives as it is, and so does the answer: the very object, not a copy."""
    ref = begin(Body, notes)
    ref.tell(message)
    assert ref.ask(message) is message
    assert notes.items[1] is message


def test_none_is_an_answer(begin: Begin, notes: Recorder[Any]) -> None:
    """What returns nothing has answered."""
    assert begin(Body, notes).ask(lambda actor: None) is None


def test_messages_are_handled_in_their_order(begin: Begin, notes: Recorder[Any]) -> None:
    """Of one sender; an ask is behind what it has told."""
    ref = begin(Body, notes)
    for number in range(100):
        ref.tell(number)
    ref.ask("last")
    assert notes.items[1:] == [*range(100), "last"]


def test_an_ask_without_block_gives_a_future(begin: Begin, notes: Recorder[Any]) -> None:
    """At once, while the actor is busy."""
    gate = Gate()
    ref = begin(Body, notes)
    ref.tell(lambda actor: gate.meet())
    future = ref.ask("later", block=False)
    assert isinstance(future, pykka.Future)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0)
    gate.open()
    assert future.get(timeout=PATIENCE) == "later"


def test_an_ask_times_out(begin: Begin, notes: Recorder[Any]) -> None:
    """With Pykka's `Timeout`, which is Python's as well; the message is handled all the same."""
    gate = Gate()
    ref = begin(Body, notes)
    ref.tell(lambda actor: gate.meet())
    with pytest.raises(pykka.Timeout) as raised:
        ref.ask("late", timeout=0)
    assert isinstance(raised.value, TimeoutError)
    gate.open()
    ref.ask("behind")
    assert notes.items[1:] == ["late", "behind"]


def test_a_timeout_of_the_actors_own_is_passed_on(begin: Begin, notes: Recorder[Any]) -> None:
    """It says what the actor says, not that the actor did not answer."""
    with pytest.raises(threadsup.ReplyTimeout, match="mine"):
        begin(Body, notes).ask(raising(threadsup.ReplyTimeout("mine")), timeout=PATIENCE)


def test_an_exception_goes_to_who_asked(begin: Begin, notes: Recorder[Any]) -> None:
    """The very object, with the actor's frames in its traceback; the actor lives on."""
    ref = begin(Body, notes)
    error = ValueError("Oops")
    with pytest.raises(ValueError, match="Oops") as raised:
        ref.ask(raising(error))
    assert raised.value is error
    assert [entry.name for entry in raised.traceback][-2:] == ["on_receive", "call"]
    assert ref.ask("alive") == "alive"


def test_an_exception_by_tell_calls_on_failure(begin: Begin, notes: Recorder[Any]) -> None:
    """With what `sys.exc_info()` has, and without `on_stop`."""
    ref = begin(Body, notes)
    error = ValueError("boom")
    ref.tell(raising(error))
    assert notes.wait_for(2)[1] == ("on_failure", ValueError, error, True)
    assert "on_stop" not in notes.items


def test_an_exception_by_tell_is_its_end(notes: Recorder[Any]) -> None:
    """When `on_failure` is called it is dead and out of the registry."""

    class Mourned(Alone):
        def on_failure(self, *exc_info: Any) -> None:
            self.note((self.actor_ref.is_alive(), pykka.ActorRegistry.get_all()))

    ref = Mourned.start(notes)
    ref.tell(raising(ValueError("boom")))
    assert notes.wait_for(2)[1] == (False, [])
    with pytest.raises(pykka.ActorDeadError):
        ref.tell("more")


def test_an_unhandled_message_is_a_warning(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    """Pykka's default for `on_receive`, which `super()` reaches."""

    class Picky(pykka.Actor):
        def on_receive(self, message: Any) -> Any:
            return super().on_receive(message)

    assert begin(Picky).ask("what?") is None
    assert "Unexpected message received by Picky" in caplog.text


# -- stopping an actor ----------------------------------------------------------------


def test_what_was_told_before_the_stop_is_handled(begin: Begin, notes: Recorder[Any]) -> None:
    """`stop` is a barrier, and returns when `on_stop` has run."""
    gate = Gate()
    ref = begin(Body, notes)
    ref.tell(lambda actor: gate.meet())
    for number in range(3):
        ref.tell(number)
    stopping = ref.stop(block=False)
    gate.open()
    assert stopping.get(timeout=PATIENCE) is True
    assert notes.items == ["on_start", 0, 1, 2, "on_stop"]
    assert not ref.is_alive()


def test_stop_tells_whether_it_was_there_to_be_stopped(begin: Begin, notes: Recorder[Any]) -> None:
    """The second time it was not, and a future says the same."""
    ref = begin(Body, notes)
    assert ref.stop() is True
    assert ref.stop() is False
    assert ref.stop(block=False).get(timeout=PATIENCE) is False


def test_stop_times_out(begin: Begin, notes: Recorder[Any]) -> None:
    """With Pykka's `Timeout`, and the actor stops all the same."""
    gate = Gate()
    ref = begin(Body, notes)
    ref.tell(lambda actor: gate.meet())
    with pytest.raises(pykka.Timeout):
        ref.stop(timeout=0)
    gate.open()
    notes.wait_until(lambda items: "on_stop" in items)


def test_an_actor_stops_itself_behind_what_is_queued(begin: Begin, notes: Recorder[Any]) -> None:
    """`stop()` returns at once, twice too, and what it told itself before is handled."""

    def stop_twice(actor: Any) -> None:
        actor.actor_ref.tell("to myself")
        actor.stop()
        actor.stop()

    ref = begin(Body, notes)
    ref.tell(stop_twice)
    assert notes.wait_until(lambda items: "on_stop" in items)[:3] == [
        "on_start",
        "to myself",
        "on_stop",
    ]


def test_an_actor_that_stops_in_on_start_handles_nothing(notes: Recorder[Any]) -> None:
    """What came later is behind the stop: who asked is told that the actor is dead."""
    gate = Gate()

    class Brief(Alone):
        def on_start(self) -> None:
            self.stop()
            gate.meet()

    ref = Brief.start(notes)
    gate.wait_reached()
    future = ref.ask("late", block=False)
    gate.open()
    with pytest.raises(pykka.ActorDeadError, match="stopped before handling the message"):
        future.get(timeout=PATIENCE)
    assert notes.items == ["on_stop"]


def test_a_stop_in_on_stop_is_none(notes: Recorder[Any]) -> None:
    """`stop()` of an actor that has stopped does nothing, as `ActorRef.stop(block=False)`."""

    class Thorough(Alone):
        def on_stop(self) -> None:
            self.stop()
            super().on_stop()

    assert Thorough.start(notes).stop()
    assert notes.items == ["on_start", "on_stop"]


def test_a_dead_actor_refuses(begin: Begin, notes: Recorder[Any]) -> None:
    """`tell` and `ask` raise Pykka's `ActorDeadError`, a future does without `block`."""
    ref = begin(Body, notes)
    ref.stop()
    with pytest.raises(pykka.ActorDeadError):
        ref.tell(1)
    with pytest.raises(pykka.ActorDeadError):
        ref.ask(1)
    future = ref.ask(1, block=False)
    with pytest.raises(pykka.ActorDeadError):
        future.get(timeout=0)


def test_a_dead_actor_is_named_as_pykka_does(notes: Recorder[Any]) -> None:
    """Who matches the message of the error goes on matching."""
    ref = Alone.start(notes)
    ref.stop()
    for send in (ref.tell, ref.ask):
        with pytest.raises(pykka.ActorDeadError) as raised:
            send(1)
        assert str(raised.value) == f"{ref} not found"
    with pytest.raises(pykka.ActorDeadError) as raised:
        ref.ask(1, block=False).get()
    assert str(raised.value) == f"{ref} not found"


def test_a_ref_shows_class_and_urn(notes: Recorder[Any]) -> None:
    """In its `repr`, and in its `str`, which is the actor's."""
    ref = Alone.start(notes)
    assert str(ref) == f"Alone ({ref.actor_urn})" == ref.ask(str)
    assert repr(ref) == f"<ActorRef for {ref}>"


def test_a_ref_taken_in_init_is_the_ref(begin: Begin, notes: Recorder[Any]) -> None:
    """It reaches the actor, and is dead when the actor is."""
    ref = begin(Body, notes)
    inner = ref.ask(lambda actor: actor.first_ref)
    assert inner.ask("through it") == "through it"
    ref.stop()
    assert not inner.is_alive()
    with pytest.raises(pykka.ActorDeadError):
        inner.tell("more")


# -- hooks that fail ------------------------------------------------------------------


def test_an_on_start_that_fails_is_its_end(
    notes: Recorder[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, no other hook is called, and who asked is told."""
    gate = Gate()

    class Broken(Alone):
        def on_start(self) -> None:
            gate.meet()
            raise ValueError("no start")

    ref = Broken.start(notes)
    gate.wait_reached()
    future = ref.ask("queued", block=False)
    gate.open()
    with pytest.raises(pykka.ActorDeadError):
        future.get(timeout=PATIENCE)
    assert not ref.is_alive()
    assert notes.items == []
    assert pykka.ActorRegistry.get_all() == []
    assert "Unhandled exception in Broken" in caplog.text


@pytest.mark.parametrize("hook", ["on_stop", "on_failure"])
def test_a_last_hook_that_fails_is_logged(
    notes: Recorder[Any], caplog: pytest.LogCaptureFixture, hook: str
) -> None:
    """And that is all: who waits for the stop is told that it has stopped."""

    def fail(actor: Any, *args: Any) -> None:
        notes(hook)
        raise ValueError("no end")

    broken: Any = type("Broken", (Alone,), {hook: fail})
    ref = broken.start(notes)
    if hook == "on_failure":
        ref.tell(raising(ValueError("boom")))
    ref.stop()
    notes.wait_until(lambda items: hook in items)
    assert "ValueError: no end" in caplog.text
    assert not ref.is_alive()
