"""What every place of work has in hand right now, and where chaos may strike.

Owns the note "this file is in hand here", for the report of an interrupted run.
It must not know what is done with the file.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from examples.corpus.chaos import Chaos
from threadsup import current

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
        # A replica of a place has one worker, so each key has one writer.
        self._in_hand: dict[str, tuple[str, ...]] = {}

    @contextmanager
    def hold(self, place: str, *names: str) -> Iterator[None]:
        """Note `names` as in hand at `place` inside the `with` block; chaos may strike first.

        It strikes a batch once, as if that were its first file.
        """
        here = _replica_of(place)
        self._in_hand[here] = names
        try:
            self.chaos.strike(place, names[0])
            yield
        finally:
            self._in_hand.pop(here, None)

    def in_hand(self) -> dict[str, tuple[str, ...]]:
        """Return place and file names of everything in hand. Never blocks."""
        return self._in_hand.copy()


def _replica_of(place: str) -> str:
    """Return what to call this worker's part of a place: the first one like the place."""
    match current():
        case None:
            return place
        case context:
            replica = context.id[-1] if isinstance(context.id, tuple) else 0
            return f"{place} #{replica}" if replica else place
