"""What a stage may return instead of a value: where the item goes from here.

Owns the result markers. They are recognised by their exact type, never by
`isinstance` on a user's object, so a value of a user's own class, whatever it
claims to be, is always passed on as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

__all__ = ["Drop", "Emit", "Reject", "Stop"]


@final
@dataclass(frozen=True, slots=True)
class Drop:
    """The item is handled and goes no further; its future holds this object."""

    reason: object = None


@final
@dataclass(frozen=True, slots=True, init=False, repr=False)
class Emit:
    """Several items go on instead of this one, in order; none does after `Emit()`.

    A generator function does the same without holding all of them at once.
    """

    values: tuple[object, ...]

    def __init__(self, *values: object) -> None:
        object.__setattr__(self, "values", values)

    def __repr__(self) -> str:
        return f"Emit({', '.join(map(repr, self.values))})"


@final
@dataclass(frozen=True, slots=True)
class Reject:
    """The item failed, its future raises `Rejected(reason)`; the stage lives."""

    reason: object = None


@final
@dataclass(frozen=True, slots=True)
class Stop:
    """The item is handled and goes no further, and the worker ends normally.

    Its future holds this object. When it was the last worker of its stage the
    chain ends: what is behind the stage is finished, what is before it is
    undelivered.
    """

    reason: object = None
