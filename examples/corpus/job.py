"""One run of the tree under signals: start, wait, stop in order, take stock.

Owns what happens between the first thread and the last, and what SIGINT and
SIGTERM mean meanwhile. It must not know arguments, layout or the recount.
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from examples.corpus.account import Account, contradictions, settle_account
from examples.corpus.desk import Desk
from examples.corpus.ledger import Ledger
from examples.corpus.store import GROUP, Rows, read_rows
from examples.corpus.tasks import CHAIN
from examples.corpus.tree import build
from threadsup import Crashed, NotRunningError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import FrameType

    from examples.corpus.chaos import Chaos
    from examples.corpus.files import File
    from threadsup import Exit, StopReport, Supervisor

__all__ = ["Interruption", "Run", "run", "signals_interrupt"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

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
    in_hand: dict[str, str]
    """Place and file of those that a worker was at."""


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
    undelivered: dict[str, int]
    """Files that got no further than the way to a stage, by stage."""


def run(
    files: Sequence[File],
    directory: Path,
    shards: int,
    chaos: Chaos,
    interrupted: Callable[[Interruption], object],
) -> Run:
    """Run the job once. Blocks until its tree has ended, by itself or after a signal.

    The first signal has `interrupted` called in the main thread, and the tree stopped in
    order; a second one leaves what still has not stopped a second to do so.
    """
    ledger, desk = Ledger(), Desk(chaos)
    sup = build(files, directory, shards, ledger, desk)
    crashes = _count_crashes(sup)
    notes: list[Interruption] = []
    began = time.monotonic()

    def first(name: str) -> None:
        # In a signal handler: nothing here takes a lock that the thread it came upon,
        # which is waiting for the tree to end, could hold.
        note = Interruption(
            signal=name,
            after=time.monotonic() - began,
            in_flight=tuple(ledger.unsettled()),
            in_hand=desk.in_hand(),
        )
        notes.append(note)
        interrupted(note)
        with suppress(NotRunningError):
            sup.request_stop(name)

    with _first_signal(first), sup:
        if notes:  # it came while the tree was starting, which could not be stopped then
            sup.request_stop(notes[0].signal)
        try:
            sup.wait()
        except KeyboardInterrupt:  # the second signal
            sup.stop(timeout=HURRY)
        report = sup.stop()
    seconds = time.monotonic() - began
    rows = read_rows(directory, shards)
    statistics = sup.chain(CHAIN).statistics()
    items = statistics.items
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
        undelivered={str(stage): one.undelivered for stage, one in statistics.stages.items()},
    )


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


@contextmanager
def _first_signal(first: Callable[[str], object]) -> Iterator[None]:
    """Call `first` at the first signal inside the `with` block; the next raise KeyboardInterrupt."""

    def handler(number: int, frame: FrameType | None) -> None:
        del frame
        for each in _SIGNALS:
            signal.signal(each, signal.default_int_handler)
        first(signal.Signals(number).name)

    with _handling(handler):
        yield


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Have SIGTERM, and SIGINT even where a shell has it ignored, raise KeyboardInterrupt."""
    with _handling(signal.default_int_handler):
        yield


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    before = {each: signal.signal(each, handler) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, earlier in before.items():
            signal.signal(each, earlier)
