"""Where every file ended up: the rows, the ledger and the list held against each other.

Owns the sum that says how many files are lost. It is a sum of names, not of numbers,
so that a file counted twice cannot hide one that is missing. It must not know how a
file got where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from examples.corpus.ledger import Ledger
    from examples.corpus.store import Rows

__all__ = ["Account", "contradictions", "settle_account"]


@dataclass(frozen=True, slots=True)
class Account:
    """Every file of the list in one of these, or in two; in none it is lost."""

    listed: int
    not_offered: int
    """Never accepted by the chain, because the run ended before."""
    stored: int
    """Rows in the databases."""
    refused: int
    dead: int
    """Failed for good, and without a row."""
    stranded: int
    """Under way when the chain was stopped, and without a row."""
    lost: tuple[str, ...]
    strangers: tuple[str, ...]
    """Rows of files that are not in the list."""

    @property
    def complete(self) -> bool:
        """Whether every file was tried to its end and none is lost."""
        return not (self.not_offered or self.stranded or self.lost or self.strangers)


def settle_account(names: Iterable[str], rows: Rows, ledger: Ledger) -> Account:
    """Return where the files `names` are."""
    listed = set(names)
    stored = rows.records.keys()
    # A row is there or not, whatever was said of the file afterwards: a store may have
    # kept what its asker never heard of.
    dead = ledger.dead.keys() - stored
    stranded = ledger.stranded.keys() - stored
    not_offered = listed - ledger.offered.keys()
    lost = listed - stored - not_offered - ledger.refused.keys() - dead - stranded
    return Account(
        listed=len(listed),
        not_offered=len(not_offered),
        stored=len(stored),
        refused=len(ledger.refused),
        dead=len(dead),
        stranded=len(stranded),
        lost=tuple(sorted(lost)),
        strangers=tuple(sorted(stored - listed)),
    )


def contradictions(
    ledger: Ledger, *, offered: int, completed: int, dropped: int, failed: int, in_flight: int
) -> list[str]:
    """Return where the chain's own count of items and the ledger disagree."""
    gone_wrong = len(ledger.refused) + len(ledger.dead) + len(ledger.stranded)
    pairs = {
        "offered": (offered, len(ledger.offered)),
        "completed": (completed, len(ledger.stored)),
        "dropped": (dropped, 0),
        "failed": (failed, gone_wrong),
        "in flight": (in_flight, len(ledger.offered) - ledger.settled),
    }
    return [
        f"the chain counts {counted:,} {what}, the futures {told:,}"
        for what, (counted, told) in pairs.items()
        if counted != told
    ]
