"""How it is known that all that was in a chain is through.

Owns marks that go through a chain behind what is in it, stage by stage. It must not
know what they are for: it is given a function to call.

Nothing is counted. A token is put behind what is queued at each replica of a stage;
when all of these have come out, everything that was before them is with the next
stage, and tokens are put there. A token whose mailbox is closed has nothing before it
any more; one that moves to another mailbox moves together with what is before it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, final

from threadsup._runtime.mailbox import Token

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._chain.line import StageLine

__all__ = ["Wave"]


@final
class Wave:
    """One mark on its way through the stages of a chain."""

    __slots__ = ("_arrived", "_left", "_line", "_lock", "_single")

    def __init__(
        self, line: StageLine, arrived: Callable[[], None], *, single: bool = False
    ) -> None:
        self._line: StageLine | None = line
        self._arrived = arrived
        self._single = single
        """Whether it ends with this stage."""
        self._lock = threading.Lock()
        self._left = 0
        """Tokens that are in the mailboxes of this stage, and one while they are put."""

    def begin(self) -> None:
        """Put the tokens into the first stage. Never blocks.

        `arrived` is called in the thread that sees the last token out: a worker's, or
        that of whoever closes its mailbox; here, if nothing takes one any more.
        """
        while self._line is not None:
            with self._line.moving:
                # Those that are leaving, too: what they have in hand is before the mark.
                boxes = [cell.mailbox for cell in self._line.cells]
                self._left = len(boxes) + 1
                for box in boxes:
                    if not self._line.inlet.put_mark(box, self._token()):
                        self._came_out()
            if not self._came_out():
                return  # whoever sees the last one out goes on from there
        self._arrived()

    def _token(self) -> Token:
        return Token(arrived=self._step, lost=self._step, split=self._split)

    def _split(self, count: int) -> list[Token]:
        with self._lock:
            self._left += count - 1
        return [self._token() for _ in range(count)]

    def _step(self) -> None:
        if self._came_out():
            self.begin()

    def _came_out(self) -> bool:
        """Note that a token is out; with the last one go to the next stage."""
        with self._lock:
            self._left -= 1
            if self._left:
                return False
            line = self._line
            assert line is not None
            self._line = None if self._single else line.after
            return True
