"""How many items a stage takes at once, and how long it waits for them.

Owns `Batch`. It must not know how a batch is gathered, or who works on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from threadsup._checks import check_all, seconds, under, whole
from threadsup._errors import SpecError

__all__ = ["Batch"]

_RULES = {"size": whole(1), "timeout": seconds(above=True)}


@final
@dataclass(frozen=True, slots=True)
class Batch:
    """A stage's function gets a list of items and returns a list of the same length.

    A batch is closed by its size, by time, or because the chain runs empty.

    Raises:
        SpecError: Something is wrong with it; names every fault.
    """

    size: int
    """How many items at most; 1 or more."""
    timeout: float = 0.05
    """How many seconds the first item of a batch waits for the others; above 0."""

    def __post_init__(self) -> None:
        values = {name: getattr(self, name) for name in _RULES}
        if problems := check_all(_RULES, values):
            raise SpecError(under("batch", problems))
