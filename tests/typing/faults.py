"""Tests of supervised code, as a user writes them with `threadsup.testing`.

Checked by type checkers, and run by nobody. Where a line must be an error it says so to
each of them, and one that is none is an error in turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from threadsup import Exit, Supervisor, events
from threadsup.testing import (
    EventLog,
    Gate,
    Hang,
    ManualClock,
    capture_events,
    crash,
    expect_crash,
    hang,
)

if TYPE_CHECKING:
    from threadsup.testing.plugin import MakeSupervisor


def a_crash(supervisors: MakeSupervisor) -> None:
    tree = supervisors("app", max_restarts=3)
    assert_type(tree, Supervisor)
    with capture_events(tree) as log:
        assert_type(log, EventLog)
        assert_type(crash(tree.worker("w"), ValueError("bad")), Exit)
        assert_type(crash(tree.chain("c")["s"], replica=1), Exit)
        assert_type(log.of(events.WorkerStarted), list[events.WorkerStarted])
        assert_type(log.wait_for(events.Restarting).delay, float)
    with hang(tree.worker("w")) as stuck:
        assert_type(stuck, Hang)
    with expect_crash(tree.worker("w")) as ended:
        assert_type(ended, list[events.WorkerEnded])
    crash(tree.group("g"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    crash(tree.worker("w"), "bad")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def an_order(manual_clock: ManualClock, supervisor: Supervisor) -> None:
    gate = Gate("the start")
    gate.wait_reached(2)
    assert_type(gate.arrived, int)
    gate.open()
    assert_type(manual_clock.advance(1.0), float)
    assert_type(supervisor.name, str)
