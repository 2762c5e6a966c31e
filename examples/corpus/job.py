"""One run of the tree under signals: start, wait, stop in order, take stock.

Owns what happens between the first thread and the last, and what SIGINT and
SIGTERM mean meanwhile. It must not know arguments, layout or the recount.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from examples.corpus import interrupts
from examples.corpus.account import Account, contradictions, settle_account
from examples.corpus.chaos import Chaos, quiet_about_chaos
from examples.corpus.desk import Desk
from examples.corpus.ledger import Ledger
from examples.corpus.store import GROUP, Rows, read_rows
from examples.corpus.tasks import CHAIN
from examples.corpus.tree import build
from threadsup import Crashed, NotRunningError
from threadsup.events import WorkerStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from examples.corpus.files import File
    from examples.corpus.tree import Form
    from threadsup import DeadLetter, Exit, StopReport, Supervisor
    from threadsup.events import Event

__all__ = ["Interruption", "Run", "run"]

HURRY = 1.0
"""Seconds everything has left to stop after a second signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """What was in flight when a signal came."""

    signal: str
    after: float
    """Seconds since the start."""
    in_flight: tuple[str, ...]
    """Files the chain had accepted and not finished, oldest first."""
    in_hand: dict[str, tuple[str, ...]]
    """Place and files of those that a worker was at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run came to."""

    seconds: float
    crashes: int
    injected: int
    """How many of the crashes chaos made."""
    restarts: int
    ledger: Ledger
    rows: Rows
    account: Account
    failed: tuple[object, ...]
    """The children that gave up."""
    interruption: Interruption | None
    report: StopReport
    contradictions: list[str]
    """Where the chain's own count of its items says something else than their futures."""
    whereabouts: dict[str, int]
    """How many of the files that were under way at the stop were where."""
    workers: dict[str, int]
    """How many workers each stage had at most."""

    @property
    def rate(self) -> float:
        """Files that have an outcome, per second."""
        return self.ledger.settled / self.seconds if self.seconds else 0.0


def run(
    files: Sequence[File],
    directory: Path,
    shards: int,
    chaos: Chaos,
    interrupted: Callable[[Interruption], object],
    form: Form = "wide",
) -> Run:
    """Run the job once. Blocks until its tree has ended, by itself or after a signal.

    The first signal has the tree stopped in order, and `interrupted` called from another
    thread; a second one leaves what still has not stopped a second to do so.
    """
    ledger, desk = Ledger(), Desk(chaos)
    sup = build(files, directory, shards, ledger, desk, form)
    crashes = _count_crashes(sup)
    workers = _watch_replicas(sup)
    notes: list[Interruption] = []
    began = time.monotonic()

    def signalled(name: str) -> None:
        if notes:
            sup.stop(timeout=HURRY)
            return
        note = Interruption(
            signal=name,
            after=time.monotonic() - began,
            in_flight=tuple(ledger.unsettled()),
            in_hand=desk.in_hand(),
        )
        notes.append(note)
        with suppress(NotRunningError):  # asked again below, once it runs
            sup.request_stop(name)
        interrupted(note)

    with quiet_about_chaos(), interrupts.calling(signalled):
        try:
            sup.start()
        except NotRunningError:
            if not notes:
                raise
        if notes:
            sup.request_stop(notes[0].signal)
        sup.wait()
        report = sup.stop()
    seconds = time.monotonic() - began
    rows = read_rows(directory, shards)
    items = sup.chain(CHAIN).statistics().items
    return Run(
        seconds=seconds,
        crashes=len(crashes),
        injected=chaos.crashes,
        restarts=sup.statistics().restarts,
        ledger=ledger,
        rows=rows,
        account=settle_account((file.name for file in files), rows, ledger),
        failed=sup.failed(),
        interruption=notes[0] if notes else None,
        report=report,
        contradictions=contradictions(
            ledger,
            offered=items.offered,
            completed=items.completed,
            dropped=items.dropped,
            failed=items.failed,
            in_flight=items.in_flight,
        ),
        whereabouts=_whereabouts(sup.dead_letters(), ledger),
        workers=workers,
    )


def _whereabouts(letters: Iterable[DeadLetter], ledger: Ledger) -> dict[str, int]:
    where = {}
    for letter in letters:
        match letter.to:
            case (scope, stage) if scope == CHAIN and letter.message.name in ledger.stranded:
                # "failed" is what a stage had made and the next one, stopped, did not take.
                side = "after" if letter.reason == "failed" else "before"
                where[letter.message.name] = f"{side} {stage}"
    return dict(Counter(where.values()))


def _watch_replicas(sup: Supervisor) -> dict[str, int]:
    """Return how many replicas each stage has had at most, a table that is kept up to date."""
    chain = sup.chain(CHAIN)
    most = {str(stage): len(chain[stage]) for stage in chain}

    def count(event: Event) -> None:
        match event:
            case WorkerStarted(path=(scope, str(stage), int(number))) if scope == CHAIN:
                most[stage] = max(most[stage], number + 1)

    sup.subscribe(count)
    return most


def _count_crashes(sup: Supervisor) -> list[None]:
    """Return a list that grows by one with each crash of a stage or store.

    Monitors are told of every exit, where subscribers may miss some in a crash storm.
    """
    crashes: list[None] = []

    def count(notice: Exit) -> None:
        if isinstance(notice.reason, Crashed):
            crashes.append(None)

    for members in (sup.group(GROUP), sup.chain(CHAIN)):
        for member in members:
            members[member].monitor(count)
    return crashes
