"""How long to pause before the n-th restart.

Owns the curve and its parameters. It must not know what is restarted, which
clock measures the pause, or where chance comes from: a source is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from threadsup._checks import check_all, number, seconds, under
from threadsup._errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Backoff"]

_RULES = {
    "initial": seconds(),
    "factor": number(1, 1_000_000),
    "maximum": seconds(),
    "jitter": number(0, 1),
}


@final
@dataclass(frozen=True, slots=True)
class Backoff:
    """The pause between restarts: none at first, then exponential, with a cap.

    The first restart of a scope comes at once; the n-th after that waits
    `initial * factor ** (n - 1)` seconds, at most `maximum`, and longer by a
    random share of up to `jitter`, so that scopes which fell together do not get
    up together.

    Raises:
        SpecError: A value is no number, not finite, or out of its range.
    """

    initial: float = 0.05
    """Seconds before the second restart; 0 or more."""
    factor: float = 2.0
    """How much longer each further pause is; 1 or more."""
    maximum: float = 5.0
    """Seconds that no pause exceeds, the jitter aside; 0 or more."""
    jitter: float = 0.1
    """The largest share of a pause that is added at random; from 0 to 1."""

    def __post_init__(self) -> None:
        values = {name: getattr(self, name) for name in _RULES}
        if problems := check_all(_RULES, values):
            raise SpecError(under("backoff", problems))

    @classmethod
    def none(cls) -> Backoff:
        """Return a back-off without any pause."""
        return cls(initial=0.0, factor=1.0, maximum=0.0, jitter=0.0)

    def delay(self, n: int, random: Callable[[], float]) -> float:
        """Return the pause before a restart, in seconds; never blocks.

        Args:
            n: How many restarts came before this one: 0 is the first.
            random: A source of numbers from 0 to 1, as `random.random` is; asked
                once, and only where its answer matters.
        """
        if n <= 0 or not self.initial or not self.maximum:
            return 0.0
        try:
            pause = min(self.maximum, self.initial * float(self.factor) ** (n - 1))
        except OverflowError:  # past 1e308, which is past any cap
            pause = self.maximum
        return pause * (1.0 + self.jitter * random()) if self.jitter else pause
