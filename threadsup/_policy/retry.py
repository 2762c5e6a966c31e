"""Whether an item that failed is tried again, and how long after.

Owns `Retry`. It must not know what is tried, who keeps it during the pause, or
where chance comes from: a source is handed in.

Which errors are meant is decided as an `except` clause decides it, by the classes
an error is derived from; no `__instancecheck__` of a user's class runs here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from threadsup._checks import check_all, shown, under, whole
from threadsup._errors import SpecError
from threadsup._policy.backoff import Backoff
from threadsup._policy.usable import Usable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Retry", "errors_problem", "is_meant"]

_MEANT = "must be a subclass of Exception or a tuple of these"


def _backoff(value: object) -> str:
    return "" if type(value) is Backoff else f"must be a Backoff, not {shown(value)}"


def errors_problem(value: object) -> str:
    """Return what is wrong with the errors that are meant, `""` when nothing is."""
    if type(value) is not tuple:
        return "" if _is_exception(value) else f"{_MEANT}, not {shown(value)}"
    if not value:
        return f"{_MEANT}, at least one"
    wrong = [entry for entry in value if not _is_exception(entry)]
    return f"{_MEANT}, not {shown(wrong[0])}" if wrong else ""


_RULES = {"attempts": whole(1), "backoff": _backoff, "on": errors_problem}


@final
@dataclass(frozen=True, slots=True)
class Retry(Usable):
    """Try an item again after a pause; when all attempts failed, it has failed.

    The worker does not wait: it goes on with other items during the pause. Used by
    itself, as `retry.call(fn, ...)` or `@Retry(...)`, the calling thread waits.

    Raises:
        SpecError: Something is wrong with it; names every fault.
    """

    attempts: int = 3
    """How often an item is tried in all; 1 or more."""
    backoff: Backoff = Backoff()
    """The pauses: `initial` seconds before the second attempt, then `factor` times
    as long before each further one."""
    on: type[Exception] | tuple[type[Exception], ...] = (Exception,)
    """Which errors are worth another attempt, as in `except`; others fail the item
    at once. Always a tuple after construction."""

    def __post_init__(self) -> None:
        values = {name: getattr(self, name) for name in _RULES}
        if problems := check_all(_RULES, values):
            raise SpecError(under("retry", problems))
        if not isinstance(self.on, tuple):
            object.__setattr__(self, "on", (self.on,))

    def pause(self, error: BaseException, tried: int, chance: Callable[[], float]) -> float | None:
        """Return the seconds before the next attempt; `None`: there is none. Never blocks.

        Args:
            error: What the last attempt ended with.
            tried: How many attempts there were, that one counted: 1 or more.
            chance: A source of numbers from 0 to 1, as `random.random` is.
        """
        assert isinstance(self.on, tuple)
        if tried >= self.attempts or not is_meant(error, self.on):
            return None
        return self.backoff.delay(tried, chance)


def is_meant(error: BaseException, classes: tuple[type[Exception], ...]) -> bool:
    """Tell whether `except classes` would catch the error; runs no code of its class."""
    return not set(type(error).__mro__).isdisjoint(classes)


def _is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)
