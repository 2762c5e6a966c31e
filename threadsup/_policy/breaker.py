"""Whether a call is worth making, after others like it have failed.

Owns `Breaker` and the machine that holds to it. It must not know what is called, who
waits, or what time it is: the moment is handed in. One `Circuit` is for one caller at a
time; who shares it brings the lock.

Three states. *Closed*: all pass, and failures in a row are counted. *Open*: none pass,
for a while. *Half-open*: a few probes pass, and no more; when all of them have
succeeded it closes, the first that fails opens it again.

A call that was let through in one state may report in another. So each gets a pass with
the number of its period, and what comes from an earlier period changes nothing: a slow
success of long ago does not close what has been opened since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, final

from threadsup._checks import check_all, seconds, under, whole
from threadsup._errors import SpecError
from threadsup._policy.retry import errors_problem, is_meant
from threadsup._policy.usable import Blocks

__all__ = ["Breaker", "Circuit", "CircuitState"]

CircuitState: TypeAlias = Literal["closed", "open", "half_open"]

_RULES = {
    "failures": whole(1),
    "reset_after": seconds(above=True),
    "probes": whole(1),
    "on": errors_problem,
}


@final
@dataclass(frozen=True, slots=True)
class Breaker(Blocks):
    """After so many failures in a row make no more calls for a while, then probe.

    A value, as an option of a pool: each pool counts for itself. As an option of stages and
    workers, and by itself, around a function or a block, it counts for all who use this
    very object:

    ```python
    breaker = Breaker(failures=3, reset_after=30.0)
    breaker.call(fetch, url)        # BreakerOpen, at once, while it is open


    @breaker
    def fetch(url): ...
    ```

    Raises:
        SpecError: Something is wrong with it; names every fault.
    """

    failures: int = 5
    """How many failures in a row open it; 1 or more."""
    reset_after: float = 10.0
    """Seconds it stays open; above 0."""
    probes: int = 1
    """How many calls are then let through, and must all succeed; 1 or more."""
    on: type[Exception] | tuple[type[Exception], ...] = (Exception,)
    """Which errors are failures, as in `except`; after any other the call counts as a
    success: there was an answer. Always a tuple after construction."""

    def __post_init__(self) -> None:
        values = {name: getattr(self, name) for name in _RULES}
        if problems := check_all(_RULES, values):
            raise SpecError(under("breaker", problems))
        if not isinstance(self.on, tuple):
            object.__setattr__(self, "on", (self.on,))

    def is_failure(self, error: BaseException) -> bool:
        """Tell whether a call that ended with `error` has failed. Never blocks."""
        assert isinstance(self.on, tuple)
        return is_meant(error, self.on)


@final
class Circuit:
    """The state of one breaker."""

    __slots__ = ("_failed", "_granted", "_period", "_rules", "_since", "_succeeded", "state")

    def __init__(self, rules: Breaker) -> None:
        self._rules = rules
        self.state: CircuitState = "closed"
        """As of the last call of any method: time alone changes nothing."""
        self._period = 0
        self._failed = 0
        """Failures in a row while it is closed."""
        self._since = 0.0
        """When it was opened, or when the last probe was let through."""
        self._granted = 0
        """Probes let through while it is half-open."""
        self._succeeded = 0
        """How many of those have succeeded."""

    def enter(self, now: float) -> int:
        """Return a pass for one call; -1: it is not to be made. Never blocks.

        Who gets a pass reports with it: `succeeded`, `failed` or `withdrawn`.
        """
        if self.state == "open":
            if self.wait(now) > 0.0:
                return -1
            self._probe()
        if self.state == "half_open":
            if self._granted >= self._rules.probes:
                # A probe may never report: its thread hangs. It is not waited for longer
                # than the breaker would have stayed open had it failed.
                if self.wait(now) > 0.0:
                    return -1
                self._probe()
            self._granted += 1
            self._since = now
        return self._period

    def wait(self, now: float) -> float:
        """Return in how many seconds at most it is worth asking again; 0.0: now."""
        if self.state == "closed":
            return 0.0
        if self.state == "half_open" and self._granted < self._rules.probes:
            return 0.0
        # The difference is compared, not a sum: see `Window.take`.
        return max(0.0, self._rules.reset_after - (now - self._since))

    def succeeded(self, granted: int) -> None:
        """Note that the call of this pass has succeeded."""
        if granted != self._period:
            return
        if self.state == "closed":
            self._failed = 0
        else:  # half-open: no call has a pass of a period in which it is open
            self._succeeded += 1
            if self._succeeded >= self._rules.probes:
                self._begin("closed")

    def failed(self, granted: int, now: float) -> None:
        """Note that the call of this pass has failed."""
        if granted != self._period:
            return
        self._failed += 1
        if self.state == "half_open" or self._failed >= self._rules.failures:
            self._begin("open")
            self._since = now

    def withdrawn(self, granted: int) -> None:
        """Note that the call of this pass says nothing: another one may be made for it."""
        if granted == self._period and self.state == "half_open":
            self._granted -= 1

    def lost(self, now: float) -> None:
        """Note that a call has failed whose pass is not known."""
        self.failed(self._period, now)

    def _probe(self) -> None:
        self._begin("half_open")

    def _begin(self, state: CircuitState) -> None:
        self.state = state
        self._period += 1
        self._failed = self._granted = self._succeeded = 0
