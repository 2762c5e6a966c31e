"""A breaker as an option of a worker: what it counts, what it refuses, and who shares it."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.kinds import KINDS, Actor, Receiver, Server, declare
from threadsup import (
    Abandoned,
    Backoff,
    Breaker,
    BreakerOpen,
    GenServer,
    SpecError,
    Supervisor,
    Worker,
    WorkerExited,
    current,
    load,
)
from threadsup._specs import UnhandledError
from threadsup.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeSupervisor


def twice() -> Breaker:
    """Return one that two failures open for as long as a test lasts."""
    return Breaker(failures=2, reset_after=60.0)


class Flaky:
    """A function that fails as long as it is told to."""

    def __init__(self) -> None:
        self.fails = True
        self.calls = 0

    def __call__(self, message: Any) -> Any:
        self.calls += 1
        if self.fails:
            raise OSError(message)
        return message


@pytest.fixture
def tree(supervisor: MakeSupervisor) -> Supervisor:
    return supervisor(max_restarts=1000, backoff=Backoff.none()).start()


def errors(ref: Any, count: int) -> list[type[BaseException]]:
    """Return what so many asks in a row come to."""
    return [type(ref.ask(n, block=False).exception(PATIENCE)) for n in range(count)]


@KINDS
@pytest.mark.parametrize("on_ask_error", ["crash", "reply"])
def test_the_lives_of_a_worker_count_together(
    tree: Supervisor, kind: Any, on_ask_error: Any
) -> None:
    """The next life finds the breaker as the last one left it; what is refused fails as well."""
    flaky = Flaky()
    ref = tree.add_worker(*declare(kind, flaky), id="w", breaker=twice(), on_ask_error=on_ask_error)
    assert errors(ref, 4) == [OSError, OSError, BreakerOpen, BreakerOpen]
    assert flaky.calls == 2
    flaky.fails = False
    tree.restart_child("w")
    assert errors(ref, 1) == [BreakerOpen]
    assert ref.statistics().failed == 5


@KINDS
def test_what_was_told_and_is_refused_is_a_dead_letter(tree: Supervisor, kind: Any) -> None:
    """It has failed as one that was called, with the breaker's error, and is a crash as such."""
    flaky = Flaky()
    ends: Recorder[Any] = Recorder()
    ref = tree.add_worker(*declare(kind, flaky), id="w", breaker=twice())
    ref.monitor(ends)
    for message in "abc":
        ref.tell(message)
    exits = ends.wait_for(3)
    assert ["BreakerOpen" in each.reason.error for each in exits] == [False, False, True]
    letters = tree.dead_letters()
    assert [letter.message for letter in letters] == ["a", "b", "c"]
    assert ["BreakerOpen" in letter.error for letter in letters] == [False, False, True]
    assert flaky.calls == 2


@KINDS
def test_it_closes_after_a_probe(supervisor: MakeSupervisor, kind: Any) -> None:
    """When its time is up one call is let through, and all are when that has succeeded."""
    flaky = Flaky()
    with ManualClock() as clock:
        tree = supervisor(max_restarts=1000, backoff=Backoff.none()).start()
        ref = tree.add_worker(*declare(kind, flaky), breaker=Breaker(failures=1, reset_after=5.0))
        assert errors(ref, 2) == [OSError, BreakerOpen]
        flaky.fails = False
        clock.advance(5.0)
        assert [ref.ask(n) for n in range(3)] == [0, 1, 2]
        tree.stop()


def test_who_has_the_same_breaker_counts_together(tree: Supervisor) -> None:
    """A group that calls one service has one breaker; another one counts for itself."""
    flaky, breaker = Flaky(), twice()
    group = tree.add_group("g", strategy="one_for_one")
    for n, kind in enumerate((Receiver, Server, Actor)):
        group.add_worker(*declare(kind, flaky), id=n, breaker=breaker, on_ask_error="reply")
    alone = tree.add_worker(Receiver, flaky, breaker=twice(), on_ask_error="reply")
    assert [errors(group[n], 1) for n in range(3)] == [[OSError], [OSError], [BreakerOpen]]
    assert errors(alone, 1) == [OSError]


@KINDS
def test_a_message_of_a_timer_is_refused_as_any(tree: Supervisor, kind: Any) -> None:
    """It is handled as one that was told, and is a crash as such."""
    flaky, breaker = Flaky(), Breaker(failures=1, reset_after=60.0)
    ends: Recorder[Any] = Recorder()

    def arm(message: Any) -> Any:
        context = current()
        assert context is not None
        context.send_after(0.0, "tick")
        with suppress(OSError):  # by itself it counts for who has it as an option, too
            breaker.call(flaky, message)
        return message

    ref = tree.add_worker(*declare(kind, arm), breaker=breaker, on_ask_error="reply")
    ref.monitor(ends)
    assert ref.ask("arm") == "arm"
    assert "BreakerOpen" in ends.wait_for(1)[0].reason.error
    assert flaky.calls == 1


def test_a_call_a_cast_and_what_is_told_to_a_server_count_together(tree: Supervisor) -> None:
    """Whatever callback a message goes to: an open breaker refuses all of them."""
    flaky = Flaky()
    ends: Recorder[Any] = Recorder()
    ref = tree.add_worker(Server, flaky, breaker=Breaker(failures=3, reset_after=60.0))
    ref.monitor(ends)
    ref.tell(0)
    ref.cast(1)
    assert errors(ref, 2) == [OSError, BreakerOpen]
    ref.tell(2)
    ref.cast(3)
    exits = ends.wait_for(6)
    assert ["BreakerOpen" in each.reason.error for each in exits] == 3 * [False] + 3 * [True]
    assert flaky.calls == 3


def test_a_request_that_a_server_does_not_know_is_no_failure(tree: Supervisor) -> None:
    """It was answered, and the server lives."""
    flaky = Flaky()
    ref = tree.add_worker(Server, flaky, breaker=twice())
    assert errors(ref, 1) == [OSError]
    assert type(ref.ask("unknown", block=False).exception(PATIENCE)) is UnhandledError
    assert errors(ref, 3) == [OSError, OSError, BreakerOpen]


class Patient(GenServer):
    """Has its breaker open when it is told, and is called back twice then."""

    def init(self, breaker: Breaker, note: Recorder[str]) -> None:
        self.breaker = breaker
        self.note = note

    def handle_call(self, request: Any) -> Any:
        with suppress(OSError):
            self.breaker.call(Flaky(), request)
        self.continue_with("continued")
        self.timeout = 0.0
        return request

    def handle_continue(self, term: Any) -> None:
        self.note(term)

    def handle_timeout(self) -> None:
        self.timeout = None
        self.note("idle")


def test_what_is_no_message_passes_an_open_breaker(tree: Supervisor) -> None:
    """A server is called back for what it has put off, and when nothing has come."""
    note: Recorder[str] = Recorder()
    breaker = Breaker(failures=1, reset_after=60.0)
    ref = tree.add_worker(Patient, breaker, note, breaker=breaker)
    assert ref.ask("open") == "open"
    assert note.wait_for(2) == ["continued", "idle"]
    assert errors(ref, 1) == [BreakerOpen]


def test_the_methods_that_a_proxy_calls_count_and_attributes_do_not(tree: Supervisor) -> None:
    """Who only looks neither resets what was counted, nor is refused."""
    flaky = Flaky()
    ref = tree.add_worker(Actor, flaky, breaker=twice())
    actor: Any = ref.proxy()
    for error in (OSError, OSError, BreakerOpen):
        assert type(actor.fetch(1).exception(PATIENCE)) is error
        actor.note = error.__name__
        assert actor.note.get(timeout=PATIENCE) == error.__name__
    assert errors(ref, 1) == [BreakerOpen]
    assert (flaky.calls, ref.incarnation) == (2, 1)


@KINDS
def test_a_message_that_is_given_up_on_has_failed(tree: Supervisor, kind: Any) -> None:
    """At its time limit; what comes of it later counts for nothing."""
    gate, flaky = Gate("the hang"), Flaky()
    zombies: Recorder[threading.Thread] = Recorder()

    def call(message: Any) -> Any:
        if message != "hang":
            return flaky(message)
        zombies(threading.current_thread())
        gate.meet()
        return "late"

    ref = tree.add_worker(*declare(kind, call), breaker=twice(), time_limit=0.05)
    try:
        assert type(ref.ask("hang", block=False).exception(PATIENCE)) is WorkerExited
    finally:
        gate.open()
    zombies.wait_for(1)[0].join(PATIENCE)
    assert errors(ref, 2) == [OSError, BreakerOpen]


def test_who_is_given_up_on_in_something_else_has_made_no_call(tree: Supervisor) -> None:
    """In what it does when nothing has come, for one: that is under no breaker."""
    gate, seen = Gate("the hang"), Recorder[Any]()

    class Hanging(GenServer):
        def handle_call(self, request: Any) -> Any:
            self.timeout = 0.0 if request == "idle" else None
            return request

        def handle_timeout(self) -> None:
            gate.meet()

    ref = tree.add_worker(Hanging, breaker=Breaker(failures=1, reset_after=60.0), time_limit=0.05)
    ref.monitor(seen)
    try:
        assert ref.ask("idle") == "idle"
        assert type(seen.wait_for(1)[0].reason) is Abandoned
        assert ref.ask("fine") == "fine"
    finally:
        gate.open()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Supervisor().add_worker(print, breaker=Breaker()), "a task makes one call"),
        (lambda: Supervisor().add_worker(Receiver, None, breaker=3), "must be a Breaker, not 3"),  # type: ignore[arg-type]
    ],
)
def test_where_it_would_do_nothing_it_is_refused(make: Any, problem: str) -> None:
    """At once, with what to do instead."""
    with pytest.raises(SpecError, match=f"breaker: .*{problem}"):
        make()


class Failing(Worker):
    """Fails at every message."""

    def on_receive(self, message: Any) -> Any:
        raise OSError(message)


def test_a_file_may_declare_one(tmp_path: Path) -> None:
    """For a class, too, as a table with the names of its fields; errors are named."""
    (tmp_path / "tree.toml").write_text(
        f"""
        [supervisor]
        name = "of breakers"
        [[worker]]
        id = "w"
        target = "{__name__}:Failing"
        breaker = {{ failures = 1, reset_after = 60.0, on = ["OSError", "LookupError"] }}
        """
    )
    spec = load(tmp_path / "tree.toml", allow=(__name__.partition(".")[0],))
    found: Any = spec.children[0]
    assert found.breaker == Breaker(failures=1, reset_after=60.0, on=(OSError, LookupError))
    with Supervisor.from_spec(spec) as tree:
        assert errors(tree.worker("w"), 2) == [OSError, BreakerOpen]
