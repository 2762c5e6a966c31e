"""How many items may pass within how many seconds.

Owns `Rate` and the window that holds to it exactly. It must not know who waits, or
what time it is: the moment is handed in. One `Window` is for one caller at a time;
who shares it brings the lock.

The window is a log of grants, no bucket of tokens: a bucket that was full lets `n`
pass at once and up to `n` more while it fills, which is twice what an API with a
limit of `n` per second bears.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import ulp
from typing import final

from threadsup._checks import check_all, number, seconds, under, whole
from threadsup._errors import SpecError
from threadsup._policy.usable import Blocks

__all__ = ["Rate", "Window"]

_MOST = 1_000_000
"""The window remembers so many moments: 32 MB. A shorter one does for a higher rate."""

_whole, _bounded = whole(1), number(1, _MOST)


def _count(value: object) -> str:
    return _whole(value) or _bounded(value)


_RULES = {"n": _count, "per": seconds(above=True)}


@final
@dataclass(frozen=True, slots=True)
class Rate(Blocks):
    """At most `n` within any `per` seconds: `n` may pass at once, then none for a while.

    `Rate(1, per=0.01)` lets as many pass as `Rate(100)`, but evenly. Used by itself, as
    `rate.call(fn, ...)`, `with rate:` or `@rate`, it counts for all who use this very
    object, and whoever has to wait waits in the calling thread, first come first served. As
    an option each worker, stage and chain counts for itself.

    Raises:
        SpecError: Something is wrong with it; names every fault.
    """

    n: int
    """How many; from 1 to 1,000,000."""
    per: float = 1.0
    """Within how many seconds; above 0."""

    def __post_init__(self) -> None:
        values = {name: getattr(self, name) for name in _RULES}
        if problems := check_all(_RULES, values):
            raise SpecError(under("rate", problems))


@final
class Window:
    """The grants of a rate: never more than `n` within `per` seconds, start included."""

    __slots__ = ("_granted", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._granted: deque[float] = deque(maxlen=rate.n)
        """When the last `n` grants were, oldest first: only the oldest of them decides."""

    def take(self, now: float) -> float:
        """Return 0.0 when granted, which is recorded; else in how many seconds to ask again.

        Asking earlier is in vain unless the rate is changed; asking then may be if
        others were faster. Never blocks.

        Args:
            now: Monotonic seconds. Of callers that read the clock before they got
                their turn one may be late: a little earlier than at the last call.
        """
        granted = self._granted
        if len(granted) == self.rate.n:
            # The difference is compared, not a sum: between neighbouring moments it is
            # exact. What is missing may vanish beside `now`; who waits so long and asks
            # again must come further all the same.
            missing = self.rate.per - (now - granted[0])
            if missing > 0.0:
                return max(missing, ulp(now))
        # A late caller's grant counts as of the last one: the log stays in order.
        granted.append(max(now, granted[-1]) if granted else now)
        return 0.0

    def change(self, rate: Rate) -> None:
        """Hold to another rate from now on; what was granted before counts as far as known."""
        self.rate = rate
        self._granted = deque(self._granted, maxlen=rate.n)
