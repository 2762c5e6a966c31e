"""The lines of a running tree: what is said, how often, and what is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import ManualClock
from threadsup._errors import UnknownChildError
from threadsup._exits import Abandoned, Crashed, Normal, Shutdown
from threadsup._snapshot import (
    ChainStatistics,
    Items,
    StopReport,
    SupervisorStatistics,
)
from threadsup.cli.progress import PAUSE, Progress, complain, shown
from threadsup.events import (
    CallbackFailed,
    GaveUp,
    OrderLost,
    Restarting,
    SupervisorEnded,
    SupervisorStarted,
    WorkerAbandoned,
    WorkerEnded,
    WorkerStarted,
)

if TYPE_CHECKING:
    from threadsup.events import Event

AT = ("app", 0.0)
CRASH = Crashed("ValueError: bad")


class FakeTree:
    """Has numbers, and one chain."""

    def __init__(self) -> None:
        self.numbers = SupervisorStatistics()

    def statistics(self) -> SupervisorStatistics:
        return self.numbers

    def chain(self, ident: str) -> Any:
        if ident != "etl":
            raise UnknownChildError(ident)
        return self

    @property
    def items(self) -> Items:
        return Items(offered=2000, completed=1000, dropped=200, failed=34, in_flight=766)


class FakeChainTree(FakeTree):
    """Is asked for its own numbers first, and for its chain's after that."""

    def chain(self, ident: str) -> Any:
        super().chain(ident)
        fake = FakeTree()
        fake.statistics = lambda: ChainStatistics(items=self.items)  # type: ignore[assignment,method-assign,return-value]
        return fake


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what was printed since the last call, without the times."""
    return [line.partition(" s  ")[2] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Restarting(*AT, ("etl", "parse"), CRASH, 0.0), "restarting etl/parse: crashed: {bad}"),
        (Restarting(*AT, ("w",), CRASH, 0.25), "restarting w in 0.25 s: crashed: {bad}"),
        (GaveUp(*AT, ("w",), CRASH, escalates=False), "gave up on w: crashed: {bad}"),
        (WorkerEnded(*AT, ("w",), 1, Normal(), final=True, why="done"), "ended w: normal"),
        (
            WorkerAbandoned(*AT, ("w",), 1, "message", 5.04),
            "abandoned w: in message for 5.0 s",
        ),
        (OrderLost(*AT, ("etl", "b", 0), "it hung"), "lost the order by key of etl/b/0: it hung"),
        (
            CallbackFailed(*AT, ("w",), "on_stop: ValueError: bad"),
            "failed in w: on_stop: {bad}",
        ),
    ],
)
def test_what_went_wrong_is_said(
    event: Event, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Restarts, give-ups, ends and abandoned workers are a line each, with the reason."""
    Progress().event(event)
    assert said(capsys) == [line.format(bad="ValueError: bad")]


@pytest.mark.parametrize(
    "event",
    [
        SupervisorStarted(*AT),
        SupervisorEnded(*AT, Shutdown()),
        WorkerStarted(*AT, ("w",), 1),
        WorkerEnded(*AT, ("w",), 1, CRASH, final=False, why=""),
        WorkerEnded(*AT, ("w",), 1, Shutdown(), final=True, why="stopped"),
    ],
)
def test_what_every_start_and_stop_brings_is_not_said(
    event: Event, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tree of a thousand workers does not start with a thousand lines."""
    Progress().event(event)
    assert said(capsys) == []


def test_a_worker_abandoned_in_the_end_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """An end that nobody saw is not an end in order."""
    ended = WorkerEnded(*AT, ("w",), 1, Abandoned(5.0, "task"), final=True, why="stopped")
    Progress().event(ended)
    assert said(capsys) == ["ended w: abandoned after 5 s in task"]


def test_a_message_of_several_lines_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """What an exception says can neither break a line nor act upon the terminal."""
    crash = Crashed("ValueError: bad\nthing \x1b[31m")
    Progress().event(Restarting(*AT, ("w",), crash, 0.0))
    assert said(capsys) == ["restarting w: crashed: ValueError: bad thing \\x1b[31m"]


def test_a_full_disk_ends_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be printed is not, and nothing is raised."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    progress = Progress()
    given_up: list[int] = []
    monkeypatch.setattr(progress, "give_up", lambda: given_up.append(1))
    monkeypatch.setattr("builtins.print", fail)
    progress.say("here")
    complain("here too")
    assert given_up == [1]


def test_a_crash_storm_is_a_line_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    """Of 10,000 restarts of one child most are counted, and another child's is said at once."""
    clock = ManualClock()
    progress = Progress(clock=clock)
    storm = Restarting(*AT, ("w",), CRASH, 0.0)
    for _ in range(10_000):
        progress.event(storm)
    progress.event(Restarting(*AT, ("other",), CRASH, 0.0))
    clock.advance(PAUSE)
    progress.event(storm)
    clock.advance(PAUSE)
    progress.event(storm)
    assert said(capsys) == [
        "restarting w: crashed: ValueError: bad",
        "restarting other: crashed: ValueError: bad",
        "restarting w: crashed: ValueError: bad (and 9,999 times before that)",
        "restarting w: crashed: ValueError: bad",
    ]


def test_a_give_up_is_said_in_the_middle_of_a_storm(capsys: pytest.CaptureFixture[str]) -> None:
    """What is left out is more of the same, never the first of another kind."""
    progress = Progress(clock=ManualClock())
    progress.event(Restarting(*AT, ("w",), CRASH, 0.0))
    progress.event(Restarting(*AT, ("w",), CRASH, 0.0))
    progress.event(GaveUp(*AT, ("w",), CRASH, escalates=False))
    assert said(capsys)[-1] == "gave up on w: crashed: ValueError: bad"


def test_lines_begin_with_the_seconds_since_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    """A reader sees how far apart two lines are."""
    clock = ManualClock(1000.0)
    progress = Progress(clock=clock)
    clock.advance(61.25)
    progress.say("here")
    assert capsys.readouterr().out == "    61.2 s  here\n"


def test_numbers_are_said_when_they_change(capsys: pytest.CaptureFixture[str]) -> None:
    """An idle tree is silent; zombies are mentioned where there are any."""
    tree = FakeTree()
    progress = Progress()
    progress.statistics(tree)  # type: ignore[arg-type]
    progress.statistics(tree)  # type: ignore[arg-type]
    tree.numbers = SupervisorStatistics(handled=1234, failed=2, restarts=1, pending=5, zombies=2)
    progress.statistics(tree)  # type: ignore[arg-type]
    assert said(capsys) == [
        "0 handled, 0 failed, 0 undelivered, 0 pending, 0 restarts",
        "1,234 handled, 2 failed, 0 undelivered, 5 pending, 1 restart, 2 zombies",
    ]


def test_the_items_of_chains_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Items with an outcome are said of those offered; a chain that is gone is passed over."""
    Progress(["etl", "gone"]).statistics(FakeChainTree())  # type: ignore[arg-type]
    assert said(capsys)[0].endswith(", 0 restarts, etl 1,234 of 2,000 items")


def test_a_report_comes_after_the_last_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """At the end: the numbers, and who was stopped, who was not, what is lost."""
    report = StopReport(clean=True, stopped=3, abandoned=(), undelivered=7, seconds=0.1)
    Progress().report(FakeTree(), report)  # type: ignore[arg-type]
    numbers, last = said(capsys)
    assert numbers.startswith("0 handled")
    assert last == str(report)


def test_complaints_go_to_the_error_stream(capsys: pytest.CaptureFixture[str]) -> None:
    """An error line says whose it is, and does not mix with the progress."""
    complain("no such thing")
    assert capsys.readouterr() == ("", "threadsup: no such thing\n")


def test_ids_are_shown_as_paths() -> None:
    """Tuples and nesting read alike: from the outside in."""
    assert [shown(("a",)), shown(("a", 3)), shown((("a", 3), "b"))] == ["a", "a/3", "a/3/b"]
