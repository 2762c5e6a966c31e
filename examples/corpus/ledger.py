"""What became of each file: one entry per file offered, one outcome per entry.

Owns the account that makes "lost" a number one can trust: it is kept from the
futures of the chain and later held against the rows of the databases, which know
nothing of it. It must not know stages or databases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from threadsup import MailboxClosed, Rejected, WorkerExited

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Ledger"]


class Ledger:
    """The account of one run.

    `offer` is called by the feeding thread, `settle` by whichever thread ends the item;
    each file is settled once, so each key has one writer.
    """

    def __init__(self) -> None:
        self.offered: dict[str, None] = {}
        """The files the chain has accepted, in order."""
        self.stored: dict[str, None] = {}
        """The files whose last stage answered."""
        self.refused: dict[str, str] = {}
        """The files a stage rejected, with its reason."""
        self.dead: dict[str, str] = {}
        """The files that failed for good, every attempt used up, with the last error."""
        self.stranded: dict[str, str] = {}
        """The files that were under way when the chain was stopped, with what ended them."""

    @property
    def settled(self) -> int:
        """How many files have an outcome. Never blocks."""
        return len(self.stored) + len(self.refused) + len(self.dead) + len(self.stranded)

    def unsettled(self) -> list[str]:
        """Return the files that were accepted and have no outcome yet, in order. Never blocks."""
        done = {**self.stored, **self.refused, **self.dead, **self.stranded}
        return [name for name in self.offered.copy() if name not in done]

    def settle(self, name: str, future: Future[Any]) -> None:
        """Enter the outcome of a file whose future is done. Never blocks."""
        if future.cancelled():
            self.stranded[name] = "cancelled"
            return
        error = future.exception()
        if error is None:
            self.stored[name] = None
        elif isinstance(error, Rejected):
            self.refused[name] = str(error.reason)
        elif _was_stopped(error):
            self.stranded[name] = str(error)
        else:
            self.dead[name] = f"{type(error).__name__}: {error}"


def _was_stopped(error: BaseException) -> bool:
    """Return whether the worker ended before it came to the file, or was not waited for.

    What a crash that is no `Exception` left behind is a `WorkerExited` too, but has that
    crash as its cause. The reason alone would not tell: a stage that is stopped while it
    is between two incarnations has ended with the crash of the first.
    """
    if isinstance(error, WorkerExited):
        return error.__cause__ is None
    return isinstance(error, MailboxClosed)
