"""The clock of the machinery: monotonic seconds for limits, wall time for people.

Owns which clock is read for what, so that a jump of the wall clock can never
shorten a limit or spend a budget. Decisions get time as an argument and import
nothing of this.
"""

from __future__ import annotations

from time import monotonic, time

__all__ = ["monotonic", "wall"]

wall = time
"""Seconds since the epoch, for records that people read; it may jump."""
