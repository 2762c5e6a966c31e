"""Testing of what runs under a supervisor: forced orders, moved clocks, planned failures.

Owns what tests import by name; none of it needs pytest. The fixtures are those of
`threadsup.testing.plugin`, which pytest loads by itself where the package is installed.
"""

from __future__ import annotations

from threadsup.testing.capture import EventLog, capture_events
from threadsup.testing.expect import expect_crash
from threadsup.testing.faults import Hang, InjectedCrash, crash, hang
from threadsup.testing.gate import Gate
from threadsup.testing.manual import ManualClock

__all__ = [
    "EventLog",
    "Gate",
    "Hang",
    "InjectedCrash",
    "ManualClock",
    "capture_events",
    "crash",
    "expect_crash",
    "hang",
]
