"""The log of a tree: which events are lines, and how a storm of them stays readable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadsup import Crashed, Normal, Shutdown, events
from threadsup._supervisor import log
from threadsup._supervisor.log import BURST, LogLines

if TYPE_CHECKING:
    import pytest


def crash(key: int | str, at: float) -> events.WorkerEnded:
    return events.WorkerEnded("app", at, (key,), 1, Crashed("Boom"), False, "")


def test_a_child_writes_a_burst_and_then_says_how_much_is_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Lines are counted per child and second (F79)."""
    lines = LogLines()
    for _ in range(BURST + 5):
        lines(crash("a", 100.5))
    lines(crash("b", 100.6))
    lines(crash("a", 101.4))
    assert len(caplog.records) == BURST + 1
    lines(crash("a", 101.5))
    assert caplog.records[-1].message.endswith("Boom (6 lines about it were suppressed)")
    lines(crash("a", 101.6))
    assert caplog.records[-1].message.endswith("Boom")


def test_a_clock_that_is_set_back_silences_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The time of an event is the wall clock's (F75)."""
    lines = LogLines()
    for _ in range(BURST + 1):
        lines(crash("a", 1000.0))
    lines(crash("a", 10.0))
    assert caplog.records[-1].message.endswith("(1 lines about it were suppressed)")


def test_children_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids that come and go leave nothing behind (F78)."""
    monkeypatch.setattr(log, "_PATHS", 10)
    lines = LogLines()
    for number in range(500):
        lines(crash(number, number / 5))
        assert len(lines._budgets) <= 3 * 5 + 10
    for number in range(100):
        lines(crash(number, 1000.0))
    assert len(lines._budgets) == 100  # all of this very second
    for number in range(200):
        lines(crash(number, 2000.0 + number))
    assert len(lines._budgets) <= 12


def test_nothing_is_formatted_that_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A level that is off costs no budget."""
    caplog.set_level("CRITICAL", "threadsup")
    lines = LogLines()
    lines(crash("a", 0.0))
    assert lines._budgets == {}


def test_the_end_of_a_tree_is_a_line_only_if_it_crashed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An internal error is logged with its traceback."""
    lines = LogLines()
    for reason in (Shutdown(), Normal()):
        lines(events.SupervisorEnded("app", 0.0, reason))
    assert caplog.records == []
    lines(events.SupervisorEnded("app", 0.0, Crashed("InternalError: bug", "Traceback\n  x\n")))
    assert caplog.records[0].message == "app: crashed: InternalError: bug\nTraceback\n  x"
