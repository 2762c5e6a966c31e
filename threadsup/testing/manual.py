"""A clock that goes when the test says so.

Owns `ManualClock`: that it is put in the place of the library's, moved, and taken away
again, and that whoever moved it finds the timers dealt with. It must not know what the
library does by time.
"""

from __future__ import annotations

from contextlib import suppress
from math import isfinite
from typing import TYPE_CHECKING, Any, Self, final

from threadsup._errors import NotRunningError
from threadsup._runtime import clock, process
from threadsup._runtime.future import Future
from threadsup.testing.gate import PATIENCE

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ManualClock"]

_MORE = 1e-6
"""Seconds by which each advance goes too far: what is set for 60 s from now is due after
59 and 1, however sums are rounded."""


@final
class ManualClock:
    """The clock by which all trees of this process decide, for as long as a block lasts.

    ```python
    with ManualClock() as clock:
        ref.ask("remind me in a minute")
        clock.advance(60)
    ```

    It stands still until it is moved, so nothing comes due by itself. It moves timers
    (`send_after`, `every`, the time-out of a `GenServer`), the pauses before restarts and
    between attempts, restart budgets, the limits of workers (`time_limit`,
    `start_timeout`, `shutdown`) and of `stop(timeout)`, `Autoscale`, `Rate`, `Breaker`,
    and `threadsup.sleep()`.

    It does not move the time that a caller is ready to wait for somebody else (`ask`,
    `tell`, `receive`, `result`, `wait`, `drain` with `timeout=`), so that a test that goes
    wrong ends; nor the time-out of a `Batch`, the times of events and dead letters, what
    statistics measure, or `time.sleep`.

    One at a time, and for the whole process. A sleep that began before the block has its
    own end: start what is to sleep in the block.
    """

    def __init__(self) -> None:
        self._passed = 0.0

    def __enter__(self) -> Self:
        self.hold()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def hold(self) -> None:
        """Stop the library's clock. Never blocks for long; as entering the block.

        Raises:
            RuntimeError: another one has.
        """
        clock.hold()
        self._passed = 0.0

    def release(self) -> None:
        """Let it go on by itself, from where it stands. Never blocks for long.

        Does nothing where it goes already.
        """
        clock.release()

    @property
    def now(self) -> float:
        """Seconds by which it was moved so far."""
        return self._passed

    def advance(self, seconds: float) -> float:
        """Let so many seconds pass at once.

        Everything in between is due together: a timer that recurs comes once, as it does
        to one who was busy for so long. To see each tick, advance by one period at a time.

        Blocks: until the trees have dealt with all that has come due, which is when
        messages of timers are in the mailboxes, and restarts and stops are begun.
        What workers do then is for the test to wait for.

        Returns:
            `now`.

        Raises:
            ValueError: `seconds` is no finite number of 0 or more.
            RuntimeError: it is not held.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ValueError(f"seconds must be a number, not {seconds!r}")  # noqa: TRY004
        if not (isfinite(seconds) and seconds >= 0):
            raise ValueError(f"seconds must be a finite number of 0 or more, not {seconds!r}")
        if clock.is_held():
            self.settle()  # what was asked for before is decided by the time it was then
            self._passed += seconds  # first: who wakes up reads it
        clock.advance(seconds + _MORE)
        self.settle()
        return self._passed

    def settle(self) -> None:
        """Wait until the trees have dealt with all that is due. Blocks: until then."""
        trees: list[Any] = list(process.trees().values())
        # Twice: the supervisor looks at its timers behind each request, so when it comes
        # to the second one it has looked once at least since the clock was moved.
        for tree in [*trees, *trees]:
            with suppress(NotRunningError):  # it has ended meanwhile
                services = tree._services  # noqa: SLF001 - there is no public way to ask
                answer: Future[bool] = Future()
                services.request(_answer, (services, answer), answer)
                answer.result(PATIENCE)


def _answer(whom: tuple[Any, Future[bool]]) -> None:
    services, answer = whom
    services.settle(answer, value=True)
