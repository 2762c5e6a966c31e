"""Storms and shortage: `reliability.md` F13 and F72, and what the issue asks of a crash storm.

F13 is run twice: with a small budget, which ends it at once, and with one so large that
every one of the messages crashes an incarnation of its own. Meanwhile the other scopes
answer and are administered; after it the process, the log and the history are readable.
F72, a thread that cannot be started, is a failed start: forced by a `Thread.start` that
fails for threads of certain names, as a real shortage would hit the test itself.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import MEMBERSHIPS, Part, Place, boom, part
from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import Backoff, Crashed, StartError, UnknownChildError, WorkerExited, events
from threadsup._dead_letters import LIMIT
from threadsup._supervisor.log import BURST
from threadsup._supervisor.services import HISTORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conformance.conftest import MakeScene

STANDALONE, GROUP, CHAIN = MEMBERSHIPS
STORM = 10_000
"""Messages, each of which crashes who gets it."""
ALL_CRASH = {"worker": STORM, "group": 500, "chain": 500}
"""How many of them where each is a restart: the whole storm where it costs least."""
LONG = 120.0
"""Seconds for a storm to be over; only a failing test uses them up."""

everywhere = pytest.mark.parametrize("place", MEMBERSHIPS, ids=str)


class Lines(logging.Handler):
    """What is written to the log, by time."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Return what is written to the log `threadsup`."""
    handler = Lines()
    logger = logging.getLogger("threadsup")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def roomy(place: Place) -> Part:
    """Describe a worker that takes a whole storm at once."""
    return part("a", capacity=STORM + 10) if place == CHAIN else part("a")


@everywhere
def test_a_storm_ends_with_the_budget(scene: MakeScene, place: Place, lines: Lines) -> None:
    """F13: 10,000 messages that crash: exactly the restarts that are allowed, then it gives up."""
    gate = Gate("the first message")
    at = scene(place, roomy(place), max_restarts=3).start()
    at.tell("a", gate.meet)
    gate.wait_reached()
    for _ in range(STORM):
        at.tell("a", boom)
    waits = at.ask("a", "behind the storm")
    gate.open()
    assert isinstance(waits.exception(PATIENCE), WorkerExited)
    assert isinstance(at.gave_up("a").reason, Crashed)
    at.sync()
    counts = at.kept("a").statistics()
    assert at.incarnation("a") == 1 + 3
    assert (counts.failed, counts.undelivered, counts.restarts) == (4, STORM - 3, 3)
    assert len(at.all_of(events.Restarting)) == 3
    assert len(at.sup.dead_letters()) == LIMIT
    assert len(lines.texts) == 4 + 1  # four crashes, one giving up
    assert at.sup.failed() == (at.owner("a"),)
    at.check(up=())


@pytest.mark.timeout(LONG + 60.0)
@everywhere
def test_a_storm_with_a_budget_for_all_of_it(scene: MakeScene, place: Place, lines: Lines) -> None:
    """F13: each of 10,000 messages crashes an incarnation: others answer, the log is readable."""
    storm = ALL_CRASH[place.membership]
    gate, middle = Gate("the first message"), Gate("the middle of the storm")
    at = scene(place, roomy(place), max_restarts=storm, max_seconds=LONG).start()
    at.tell("a", gate.meet)
    gate.wait_reached()
    for number in range(storm):
        at.tell("a", boom)
        if number == storm // 2:
            at.tell("a", middle.meet)
    calm = at.ask("a", "behind the storm")
    begun = time.monotonic()
    gate.open()
    for _ in range(10):  # the storm cannot be over before the gate in the middle is open
        at.sync()
        assert at._outside.ask("still there?", PATIENCE) == "still there?"
    middle.open()
    assert calm.result(LONG) == "behind the storm"
    seconds = int(time.monotonic() - begun) + 2  # begun ones, of the wall clock
    counts = at.kept("a").statistics()
    assert (counts.failed, counts.restarts, counts.undelivered) == (storm, storm, 0)
    assert at.incarnation("a") == 1 + storm
    assert at.sup.failed() == ()
    assert len(at.sup.history()) <= HISTORY
    assert len(at.sup.dead_letters()) <= LIMIT
    at.check()
    assert len(lines.texts) <= seconds * BURST
    assert max(map(len, lines.texts)) < 20_000
    assert all("a" in text and "Boom" in text for text in lines.texts)
    assert any("suppressed" in text for text in lines.texts) or seconds < 3


# -- a thread that cannot be started --------------------------------------------------


class Shortage:
    """Stands in for `Thread.start`, and refuses threads of certain names."""

    def __init__(self, start: Callable[[threading.Thread], None]) -> None:
        self._start = start
        self.refused: set[str] = set()
        self.seen: Recorder[str] = Recorder()

    def refuse(self, *names: str) -> None:
        """Refuse these from now on, and nobody else."""
        self.refused = set(names)

    def start(self, thread: threading.Thread) -> None:
        if thread.name in self.refused:
            self.seen(thread.name)
            raise RuntimeError("can't start new thread")
        self._start(thread)


@pytest.fixture
def shortage(monkeypatch: pytest.MonkeyPatch) -> Shortage:
    """Return what refuses to start threads."""
    made = Shortage(threading.Thread.start)

    def start(thread: threading.Thread) -> None:
        made.start(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    return made


def is_shortage(error: BaseException | None) -> bool:
    """Tell whether an error says that no thread could be started."""
    return isinstance(error, RuntimeError) and "can't start new thread" in str(error)


@everywhere
def test_a_first_start_without_threads(scene: MakeScene, place: Place, shortage: Shortage) -> None:
    """F72: who was up is down again, the caller is told, nothing is left behind."""
    shortage.refuse(place.thread("b", 1))
    at = scene(place, part("a"), part("b"), part("c"))
    with pytest.raises(StartError) as failure:
        at.start()
    assert is_shortage(failure.value.__cause__)
    assert "b" in str(failure.value)
    assert [at.incarnation(key) for key in "abc"] == [1, 1, 0]
    at.stop()
    at.check()


@pytest.mark.parametrize("place", [STANDALONE, GROUP], ids=str)
def test_a_worker_added_without_threads(scene: MakeScene, place: Place, shortage: Shortage) -> None:
    """F72: the caller is told, its id is free, and it works when there are threads again."""
    at = scene(place, part("a")).start()
    shortage.refuse(place.thread("b", 1))
    with pytest.raises(StartError) as failure:
        at.add(part("b"))
    assert is_shortage(failure.value.__cause__)
    with pytest.raises(UnknownChildError):
        at.ref("b")
    shortage.refuse()
    at.add(part("b"))
    assert at.answers("b")
    at.check(kept=["a"])


def test_a_chain_added_without_threads(scene: MakeScene, shortage: Shortage) -> None:
    """F72 for a stage: the chain is not added, those of its stages that were up are down."""
    at = scene(CHAIN, part("a")).start()
    shortage.refuse(CHAIN.thread("y", 1))
    with pytest.raises(StartError) as failure:
        at.sup.add_chain("other", [at.stage_of(part("x")), at.stage_of(part("y"))])
    assert is_shortage(failure.value.__cause__)
    assert "other" not in at.sup
    at.check(kept=["a"])


@everywhere
def test_a_restart_without_threads_is_tried_again(
    scene: MakeScene, place: Place, shortage: Shortage
) -> None:
    """F72: it is a failed start, paid for, with the pauses; queued messages wait for a life."""
    refused = [place.thread("a", number) for number in (2, 3)]
    shortage.refuse(*refused)
    backoff = Backoff(initial=0.001, factor=2.0, jitter=0.0)
    at = scene(place, part("a"), max_restarts=3, backoff=backoff).start()
    answers = [at.ask("a", boom), at.ask("a", "queued")]
    assert answers[1].result(PATIENCE) == "queued"
    assert shortage.seen.items == refused
    assert at.incarnation("a") == 4
    at.sync()
    assert [event.delay for event in at.all_of(events.Restarting)] == [0.0, 0.001, 0.002]
    at.check()


@everywhere
def test_restarts_without_threads_spend_the_budget(
    scene: MakeScene, place: Place, shortage: Shortage
) -> None:
    """F72: when there are none for too long the scope gives up; the others and the tree go on."""
    shortage.refuse(*(place.thread("a", number) for number in range(2, 99)))
    at = scene(place, part("a"), max_restarts=3).start()
    answers = [at.ask("a", boom), at.ask("a", "queued")]
    assert isinstance(answers[1].exception(PATIENCE), WorkerExited)
    at.gave_up("a")
    at.sync()
    assert len(shortage.seen) == 3
    assert at.sup.failed() == (at.owner("a"),)
    shortage.refuse()
    home: Any = at.sup
    home.restart_child(at.owner("a"), PATIENCE)
    assert at.answers("a")
    at.check()
