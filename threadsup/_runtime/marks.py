"""Results of a stage that are no values: the user's markers, and those of the library.

Owns the types by which they are told apart, exactly and never by `isinstance` on a
user's object. It must not know what is done about them.
"""

from __future__ import annotations

from types import GeneratorType
from typing import Any, final

from threadsup._results import Drop, Emit, Reject, Stop

__all__ = ["EXHAUSTED", "MARKS", "NO_VALUES", "Away", "Failure", "SinkFailure"]


@final
class Away:
    """An end result, and the other chain it goes on to."""

    __slots__ = ("door", "result")

    def __init__(self, result: Any, door: Any) -> None:
        self.result = result
        self.door = door
        """What it is handed on to."""


@final
class Failure:
    """What an item's function raised, where that is no crash."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


@final
class SinkFailure:
    """What `on_result`, or `by`, raised, on its way to where the item is counted."""

    __slots__ = ("error", "what")

    def __init__(self, error: BaseException, what: str) -> None:
        self.error = error
        self.what = what
        """Which of them."""


MARKS = frozenset({Drop, Reject, Stop, Emit, GeneratorType, Failure})
"""Types of results that are no values."""

NO_VALUES = MARKS | {SinkFailure, Away}
"""The same, of what comes out of a last stage."""

EXHAUSTED: Any = object()
"""What an emission gives after its last value."""
