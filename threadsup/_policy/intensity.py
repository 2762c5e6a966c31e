"""Restart intensity: may one more restart happen now?

Owns the sliding window of OTP's supervisor. It must not know who is restarted,
or what becomes of the scope when the answer is no. Three choices differ between
the systems that have such a window; here they are as in OTP, but for the last:

* an entry exactly `max_seconds` old still counts: the bound is inclusive;
* the restart that goes over the budget is recorded like the others;
* time is a float and is not cut to whole seconds, so the window is as long as it
  says (OTP's is up to a second longer).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

__all__ = ["Intensity"]


@final
@dataclass(frozen=True, slots=True)
class Intensity:
    """A budget of restarts, and the part of it that is spent."""

    max_restarts: int
    """How many restarts are fine within the window; with 0 the first is too many."""
    max_seconds: float
    """Length of the window."""
    history: tuple[float, ...] = ()
    """When the restarts in the window happened, newest first, one over at most."""

    def record(self, now: float) -> tuple[Intensity, bool]:
        """Return the budget after a restart at `now`, and whether it allows that one.

        Args:
            now: Monotonic seconds, no less than at the last call.
        """
        oldest = now - self.max_seconds
        # Beyond max_restarts entries the answer is no whatever else is in there.
        recent = self.history[: self.max_restarts]
        if recent and recent[-1] < oldest:  # in a storm all are in, and there may be thousands
            recent = tuple(at for at in recent if at >= oldest)
        after = Intensity(self.max_restarts, self.max_seconds, (now, *recent))
        return after, len(after.history) <= self.max_restarts

    def fresh(self) -> Intensity:
        """Return the same budget with nothing spent."""
        return Intensity(self.max_restarts, self.max_seconds)
