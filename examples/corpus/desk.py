"""What every place of work has in hand right now, and where chaos may strike.

Owns the note "this file is in hand here", for the report of an interrupted run.
It must not know what is done with the file.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from examples.corpus.chaos import Chaos

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Desk"]


class Desk:
    """The note of what is in hand where, shared by the workers of one tree.

    Args:
        chaos: What strikes; none that ever does, if not given.
    """

    def __init__(self, chaos: Chaos | None = None) -> None:
        self.chaos = Chaos() if chaos is None else chaos
        # One place has one worker, so each key has one writer.
        self._in_hand: dict[str, str] = {}

    @contextmanager
    def hold(self, place: str, name: str) -> Iterator[None]:
        """Note `name` as in hand at `place` inside the `with` block; chaos may strike first."""
        self._in_hand[place] = name
        try:
            self.chaos.strike(place, name)
            yield
        finally:
            self._in_hand.pop(place, None)

    def in_hand(self) -> dict[str, str]:
        """Return place and file name of everything in hand. Never blocks."""
        return self._in_hand.copy()
