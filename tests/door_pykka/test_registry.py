"""What Pykka documents of its registry and its log, with `ThreadingActor`s in them."""

from __future__ import annotations

import logging
import random
import threading
from typing import TYPE_CHECKING, Any

import pykka
import pykka.debug
import pytest

import threadsup
from tests.helpers import PATIENCE, Gate, Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.door_pykka.conftest import Supervise


class Left(threadsup.ThreadingActor):
    """Notes messages and its end."""

    def __init__(self, note: Any = lambda item: None) -> None:
        super().__init__()
        self.note = note

    def on_receive(self, message: Any) -> Any:
        self.note(message)
        return message() if callable(message) else message

    def on_stop(self) -> None:
        self.note(self.actor_ref)


class Right(Left):
    """Another class, and a subclass."""


class Theirs(pykka.ThreadingActor):
    """One of plain Pykka's, between ours."""


registry = pykka.ActorRegistry


# -- the registry ---------------------------------------------------------------------


def test_running_actors_are_in_it() -> None:
    """From before `on_start` until they are asked no more, in the order of their starts."""
    registered: Recorder[Any] = Recorder()

    class Looking(Left):
        def on_start(self) -> None:
            registered(registry.get_by_urn(self.actor_urn))

    refs: list[Any] = [Left.start(), Theirs.start(), Looking.start()]
    assert registry.get_all() == refs
    assert registered.wait_for(1) == [refs[2]]
    refs[1].stop()
    assert registry.get_all() == [refs[0], refs[2]]


def test_they_are_found_by_class_name_and_urn() -> None:
    """A subclass is found as its base class; a name is the class's own."""
    left, right = Left.start(), Right.start()
    assert registry.get_by_class(Left) == [left, right]
    assert registry.get_by_class(threadsup.ThreadingActor) == [left, right]
    assert registry.get_by_class(pykka.ThreadingActor) == [left, right]
    assert registry.get_by_class_name("Right") == [right]
    assert registry.get_by_urn(left.actor_urn) is left
    assert registry.get_by_urn("urn:uuid:nobody") is None


@pytest.mark.parametrize(("target", "count"), [(None, 2), (Right, 1), ("Left", 1)])
def test_a_broadcast_reaches_all_of_a_class(target: Any, count: int, notes: Recorder[Any]) -> None:
    """By class, by name, or everybody."""
    refs: list[Any] = [Left.start(notes), Right.start(notes)]
    registry.broadcast("all", target)
    for ref in refs:
        ref.ask("done")
    assert notes.items.count("all") == count


def test_stop_all_stops_in_reverse_order(notes: Recorder[Any]) -> None:
    """One after another, and says of each that it was stopped."""
    refs = [Left.start(notes) for _ in range(4)]
    assert registry.stop_all(timeout=PATIENCE) == [True] * 4
    assert notes.items == refs[::-1]
    assert registry.get_all() == []


def test_stop_all_without_block_gives_futures() -> None:
    """Each of whether it was stopped."""
    for _ in range(3):
        Left.start()
    assert pykka.get_all(registry.stop_all(block=False), timeout=PATIENCE) == [True] * 3


def test_supervised_actors_are_not_in_it(supervise: Supervise) -> None:
    """Ours as a supervised class neither: who stops all stops nothing of a tree."""
    refs = [supervise(Left), supervise(Theirs)]
    assert registry.get_all() == []
    assert registry.stop_all() == []
    assert refs[0].ask("alive") == "alive"
    assert all(ref.is_alive() for ref in refs)


def test_actors_leave_it_in_any_order() -> None:
    """Also with others between them, and those that were registered by hand."""
    dice = random.Random(5)
    for theirs in (False, True):
        refs: list[Any] = []
        for number in range(30):
            kind: Any = Theirs if theirs and number % 3 else Left
            refs.append(kind.start())
        again = refs[3]
        registry.register(again)
        left = [*refs, again]
        dice.shuffle(refs)
        for ref in refs:
            ref.stop()
            left.remove(ref)
            assert registry.get_all() == left
        registry.unregister(again)
        assert registry.get_all() == []


def test_leaving_it_looks_at_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is searched for from the first one on, in whatever order they stop."""
    refs = [Left.start() for _ in range(20)]
    searches: list[Any] = []
    monkeypatch.setattr(registry, "unregister", searches.append)
    random.Random(6).shuffle(refs)
    for ref in refs:
        ref.stop()
    assert searches == []
    assert registry.get_all() == []


def test_unregistering_twice_is_no_error() -> None:
    """Nor is it of one that was taken out by hand."""
    ref = Left.start()
    registry.unregister(ref)
    assert registry.get_all() == []
    assert ref.ask("alive") == "alive"
    assert ref.stop()


# -- the log --------------------------------------------------------------------------


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What Pykka's logger is told, all levels."""
    with caplog.at_level(logging.DEBUG, logger="pykka"):
        yield caplog


def lines(log: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [each.getMessage() for each in log.records if each.levelno == level]


def test_start_and_stop_are_logged_for_debugging(log: pytest.LogCaptureFixture) -> None:
    """Registered, started, unregistered, stopped: with the actor's name."""
    ref = Left.start()
    ref.stop()
    words = [line.split()[0] for line in lines(log, logging.DEBUG)]
    assert words == ["Registered", "Starting", "Unregistered", "Stopped"]
    assert all(str(ref) in line for line in lines(log, logging.DEBUG))
    assert {record.name for record in log.records} == {"pykka"}


def test_an_exception_that_is_answered_is_information(log: pytest.LogCaptureFixture) -> None:
    """It is in the log when the answer is there, with its traceback."""
    ref = Left.start()
    with pytest.raises(ZeroDivisionError):
        ref.ask(lambda: 1 // 0)
    assert lines(log, logging.INFO) == [f"Exception returned from {ref} to caller:"]
    assert "ZeroDivisionError" in log.text


def test_an_exception_that_is_not_answered_is_an_error(log: pytest.LogCaptureFixture) -> None:
    """With its traceback, in the log before `on_failure` is called."""
    seen: Recorder[list[str]] = Recorder()

    class Failing(Left):
        def on_failure(self, *exc_info: Any) -> None:
            seen(lines(log, logging.ERROR))

    ref = Failing.start()
    ref.tell(lambda: 1 // 0)
    assert seen.wait_for(1) == [[f"Unhandled exception in {ref}:"]]


def test_what_a_stop_left_is_logged_for_debugging(log: pytest.LogCaptureFixture) -> None:
    """How many messages were behind it; who asked has been told."""
    gate = Gate()
    ref = Left.start()
    ref.tell(gate.meet)
    gate.wait_reached()
    stopping = ref.stop(block=False)
    ref.tell("left")
    future = ref.ask("left", block=False)
    gate.open()
    assert stopping.get(timeout=PATIENCE)
    assert f"{ref} stopped with 2 messages unhandled" in lines(log, logging.DEBUG)
    with pytest.raises(pykka.ActorDeadError):
        future.get(timeout=PATIENCE)


def test_a_name_that_cannot_be_shown_hurts_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither the answer nor the end waits for a `__str__` that raises."""
    monkeypatch.setattr(logging, "raiseExceptions", False)

    class Nameless(Left):
        def __str__(self) -> str:
            raise ValueError("no name")

    ref = Nameless.start()
    with pytest.raises(ZeroDivisionError):
        ref.ask(lambda: 1 // 0, timeout=PATIENCE)
    ref.tell(lambda: 1 // 0)
    ref.stop(timeout=PATIENCE)
    assert not ref.is_alive()


def test_nothing_is_logged_while_the_registry_is_locked() -> None:
    """A handler may wait for a thread that uses the registry."""

    class Using(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            user = threading.Thread(target=registry.get_all)
            user.start()
            user.join(PATIENCE)
            assert not user.is_alive()

    logger, handler = logging.getLogger("pykka"), Using()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        assert Left.start().stop(timeout=PATIENCE)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


# -- debugging ------------------------------------------------------------------------


def test_the_tracebacks_of_threads_show_what_an_actor_does(log: pytest.LogCaptureFixture) -> None:
    """`pykka.debug.log_thread_tracebacks`: by the thread's name, down to the user's line."""
    gate = Gate()
    ref = Left.start()
    ref.tell(gate.meet)
    gate.wait_reached()
    pykka.debug.log_thread_tracebacks()
    gate.open()
    (state,) = [line for line in lines(log, logging.CRITICAL) if "Current state of Left-" in line]
    assert "on_receive" in state
    assert "meet" in state
