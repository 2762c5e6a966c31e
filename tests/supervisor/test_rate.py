"""A rate as an option of a worker: how many messages it begins, and whom that holds up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Recorder
from tests.runtime.forcing import note_turns
from tests.supervisor.kinds import KINDS, Actor, Receiver, declare
from threadsup import (
    Backoff,
    GenServer,
    MailboxFull,
    Rate,
    SpecError,
    Supervisor,
    current,
    handler,
    load,
    worker_spec,
)
from threadsup.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import MakeSupervisor
    from threadsup import WorkerRef


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    with ManualClock() as held:
        yield held


@pytest.fixture
def tree(clock: ManualClock, supervisor: MakeSupervisor) -> Supervisor:
    return supervisor(max_restarts=1000, backoff=Backoff.none()).start()


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Recorder[float]:
    """Record who is to wait for a turn."""
    return note_turns(monkeypatch)


def counts(ref: WorkerRef) -> tuple[int, int]:
    """Return how many messages a worker has handled, and how many it has yet to begin."""
    found = ref.statistics()
    assert found.accepted == found.handled + found.failed + found.undelivered + found.pending
    return found.handled, found.pending


# -- how many begin -------------------------------------------------------------------------


@KINDS
def test_no_more_messages_begin_than_the_rate_says(
    tree: Supervisor, clock: ManualClock, waiting: Recorder[float], kind: Any
) -> None:
    """Told and asked alike; what waits is pending, in no hand, and comes in its order."""
    seen: Recorder[Any] = Recorder()
    ref = tree.add_worker(*declare(kind, seen), rate=Rate(2, per=60.0))
    for message in "abcd":
        ref.tell(message)
    last = ref.ask("e", block=False)
    for period in (1, 2):
        waiting.wait_for(period)
        assert seen.items == list("abcd"[: 2 * period])
        assert counts(ref) == (2 * period, 5 - 2 * period)
        assert ref.statistics().in_hand_since is None
        clock.advance(60.0)
    last.result(PATIENCE)
    assert seen.items == list("abcde")


def test_a_rate_is_for_all_lives_together(
    tree: Supervisor, clock: ManualClock, waiting: Recorder[float]
) -> None:
    """A restart, by hand or by a crash, gets no turn of its own; each attempt takes one."""
    seen: Recorder[Any] = Recorder()

    def call(message: Any) -> Any:
        seen(message)
        if message == "poison":
            raise OSError(message)

    rate = Rate(2, per=60.0)
    ref = tree.add_worker(handler(call), id="w", rate=rate, max_attempts=2)
    for message in ("a", "poison", "b"):
        ref.tell(message)
    waiting.wait_for(1)
    assert seen.items == ["a", "poison"]
    tree.restart_child("w")
    waiting.wait_for(2)
    assert seen.items == ["a", "poison"]
    clock.advance(60.0)
    assert seen.wait_for(4) == ["a", "poison", "poison", "b"]
    assert ref.incarnation == 4


def test_each_worker_has_a_window_of_its_own(tree: Supervisor, waiting: Recorder[float]) -> None:
    """A rate is a value, and so is the description of a worker that has it."""
    spec = worker_spec(handler(str), id="w", rate=Rate(1, per=60.0))
    groups = [tree.add_group(name, [spec]) for name in "gh"]
    assert [group.ask("w", "first") for group in groups] == ["first", "first"]
    for group in groups:
        group.tell("w", "second")
    waiting.wait_for(2)
    assert [counts(group["w"]) for group in groups] == [(1, 1), (1, 1)]


def test_what_waits_counts_for_back_pressure(tree: Supervisor, waiting: Recorder[float]) -> None:
    """It takes a place of the mailbox until it begins."""
    ref = tree.add_worker(handler(str), capacity=2, rate=Rate(1, per=60.0))
    ref.ask("first")
    ref.tell("second")
    waiting.wait_for(1)
    ref.tell("third")
    with pytest.raises(MailboxFull):
        ref.tell_nowait("fourth")


def test_what_a_proxy_does_is_a_message_too(
    tree: Supervisor, clock: ManualClock, waiting: Recorder[float]
) -> None:
    """Calls and reads; who asks waits for the turn."""
    ref = tree.add_worker(Actor, str, rate=Rate(1, per=60.0))
    actor: Any = ref.proxy()
    assert actor.fetch("first").get(timeout=PATIENCE) == "first"
    note = actor.note
    waiting.wait_for(1)
    assert counts(ref) == (1, 1)
    clock.advance(60.0)
    assert note.get(timeout=PATIENCE) == ""


# -- whom it does not hold up -----------------------------------------------------------------


@KINDS
def test_a_stop_does_not_wait_for_the_rate(
    tree: Supervisor, waiting: Recorder[float], kind: Any
) -> None:
    """Whoever waits for a turn gives it up; its message was not begun."""
    ref = tree.add_worker(*declare(kind, str), id="w", rate=Rate(1, per=60.0))
    for message in range(3):
        ref.tell(message)
    waiting.wait_for(1)
    tree.remove_child("w")
    assert counts(ref) == (1, 0)
    assert ref.statistics().undelivered == 2


@KINDS
def test_a_drain_takes_as_long_as_the_rate_says(
    tree: Supervisor, clock: ManualClock, waiting: Recorder[float], kind: Any
) -> None:
    """What is queued before it is handled, each message in its turn."""
    seen: Recorder[Any] = Recorder()
    ref = tree.add_worker(*declare(kind, seen), rate=Rate(1, per=60.0))
    for message in range(3):
        ref.tell(message)
    stopping = ref.stop(block=False, drain=True)
    for period in (1, 2):
        waiting.wait_for(period)
        assert not stopping.done()
        clock.advance(60.0)
    assert stopping.result(PATIENCE)
    assert seen.items == [0, 1, 2]


def test_a_time_limit_is_for_the_message_and_not_for_its_wait(
    tree: Supervisor, clock: ManualClock, waiting: Recorder[float]
) -> None:
    """What waits for its turn is in no hand: nobody is late."""
    ref = tree.add_worker(handler(str), rate=Rate(1, per=60.0), time_limit=1.0)
    assert ref.ask("first") == "first"
    second = ref.ask("second", block=False)
    waiting.wait_for(1)
    clock.advance(30.0)
    assert not second.done()
    clock.advance(30.0)
    assert second.result(PATIENCE) == "second"
    assert ref.incarnation == 1


# -- timers -----------------------------------------------------------------------------------


class Armed:
    """Sets a timer when it is told to, and notes the rest."""

    def __init__(self) -> None:
        self.seen: Recorder[Any] = Recorder()
        self.timer: Any = None

    def __call__(self, message: Any) -> Any:
        if message == "arm":
            context = current()
            assert context is not None
            self.timer = context.send_after(1.0, "tick")
        else:
            self.seen(message)
        return message


@KINDS
def test_a_message_of_a_timer_waits_for_its_turn(
    tree: Supervisor, clock: ManualClock, waiting: Recorder[float], kind: Any
) -> None:
    """As any other; until it has that, it may be cancelled."""
    armed = Armed()
    ref = tree.add_worker(*declare(kind, armed), rate=Rate(1, per=60.0))
    assert ref.ask("arm") == "arm"
    clock.advance(1.0)
    waiting.wait_for(1)
    assert armed.timer.active
    assert not armed.seen.items
    clock.advance(59.0)
    assert armed.seen.wait_for(1) == ["tick"]
    again = ref.ask("arm", block=False)
    waiting.wait_for(2)
    clock.advance(60.0)
    assert again.result(PATIENCE) == "arm"
    clock.advance(1.0)
    waiting.wait_for(3)
    assert armed.timer.cancel()
    last = ref.ask("last", block=False)
    clock.advance(59.0)
    waiting.wait_for(4)
    clock.advance(60.0)
    assert last.result(PATIENCE) == "last"
    assert armed.seen.items == ["tick", "last"]
    assert counts(ref) == (4, 0)


@KINDS
def test_a_stop_lets_go_of_the_message_of_a_timer_that_waits(
    tree: Supervisor, clock: ManualClock, waiting: Recorder[float], kind: Any
) -> None:
    """It was not begun, and its timers end with it."""
    armed = Armed()
    ref = tree.add_worker(*declare(kind, armed), id="w", rate=Rate(1, per=60.0))
    assert ref.ask("arm") == "arm"
    clock.advance(1.0)
    waiting.wait_for(1)
    tree.restart_child("w")
    clock.advance(60.0)
    assert ref.ask("last") == "last"
    assert armed.seen.items == ["last"]
    assert counts(ref) == (2, 0)


class Idler(GenServer):
    """Says when nothing has come for a second."""

    def init(self, seen: Recorder[Any]) -> None:
        self.seen = seen

    def handle_call(self, request: Any) -> Any:
        self.timeout = 1.0
        return request

    def handle_timeout(self) -> None:
        self.timeout = None
        self.seen("idle")


def test_that_nothing_has_come_needs_no_turn(
    tree: Supervisor, clock: ManualClock, waiting: Recorder[float]
) -> None:
    """It is no message of anybody's, and takes none away."""
    seen: Recorder[Any] = Recorder()
    ref = tree.add_worker(Idler, seen, rate=Rate(2, per=60.0))
    assert ref.ask("first") == "first"
    clock.advance(1.0)
    seen.wait_for(1)
    assert ref.ask("second") == "second"
    assert not waiting.items


# -- how it is said -----------------------------------------------------------------------------


def test_a_task_begins_once() -> None:
    """It is refused at once, with what to do instead."""
    with pytest.raises(SpecError, match=r"rate: must be left out, a task makes one call: put it"):
        worker_spec(print, rate=Rate(1))


@pytest.mark.parametrize("rate", [5, "5/s", (1, 2), Rate])
def test_what_is_none_is_refused(rate: Any) -> None:
    """A rule, or nothing."""
    with pytest.raises(SpecError, match="rate: must be a Rate, not"):
        worker_spec(handler(print), rate=rate)


def test_all_rules_are_wrong_at_once() -> None:
    """Each has its line."""
    with pytest.raises(SpecError) as caught:
        worker_spec(print, rate=Rate(1), on_error="reject", breaker=3)  # type: ignore[arg-type]
    assert [line.partition(": must be")[::2] for line in caught.value.problems] == [
        ("worker 'print'.breaker", " a Breaker, not 3"),
        ("worker 'print'.rate", " left out, a task makes one call: put it around what that calls"),
        (
            "worker 'print'.on_error",
            " left out, a task makes one call: put a Retry around what that calls",
        ),
    ]


def test_a_file_may_declare_one(tmp_path: Path, clock: ManualClock) -> None:
    """As a table, with the names of its fields; for a member of a group, too."""
    (tmp_path / "tree.toml").write_text(
        f"""
        [supervisor]
        name = "of rates"
        [[worker]]
        id = "w"
        target = "{__name__}:Echo"
        rate = {{ n = 2, per = 60.0 }}
        [[group]]
        id = "g"
        [[group.worker]]
        id = "m"
        target = "{__name__}:Echo"
        rate = {{ n = 3 }}
        """
    )
    spec = load(tmp_path / "tree.toml", allow=(__name__.partition(".")[0],))
    worker, group = spec.children
    assert worker.rate == Rate(2, per=60.0)  # type: ignore[union-attr]
    assert group.members[0].rate == Rate(3)  # type: ignore[union-attr]


class Echo(Receiver):
    """Answers with what it gets."""

    def __init__(self) -> None:
        super().__init__(lambda message: message)
