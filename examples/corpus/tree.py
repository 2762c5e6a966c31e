"""The supervision tree of the job: who runs, under which rules, in which order.

Owns the numbers of the tree (budgets, attempts, capacities, replicas) and its wiring.
It must not know what the workers do.

The chain comes in two forms. *Wide*: what reads has two replicas, for it waits for the
disk; what computes scales itself, to all cores where there is no GIL and not at all where
there is one; what stores takes batches, for a transaction costs the same with one row and
with many. *Narrow*: one worker per stage, one record per transaction.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, TypeAlias

from examples.corpus import stages
from examples.corpus.store import GROUP, Store
from examples.corpus.tasks import CHAIN, feed, progress
from threadsup import Autoscale, Backoff, Batch, Defaults, Supervisor, stage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from examples.corpus.desk import Desk
    from examples.corpus.files import File
    from examples.corpus.ledger import Ledger
    from threadsup import StageSpec

__all__ = ["ATTEMPTS", "Form", "build"]

Form: TypeAlias = Literal["wide", "narrow"]

ATTEMPTS = 6
"""How often one file, or one record, is tried at one place before it has failed for good."""

CAPACITY = 16
"""Files that may wait before each stage: enough to keep it busy, little to lose sight of."""

READERS = 2

COMPUTING = Autoscale(1, max(2, os.cpu_count() or 1), grow_after=0.1, cooldown=0.1)
"""Replicas of the stages that compute. A run is short: it grows quickly."""

BATCH = Batch(size=CAPACITY, timeout=0.05)
"""Records that are stored together: as many as may wait, or as come in a moment."""

SHUTDOWN = 5.0
"""Seconds a worker has for the file in hand when it is stopped; the largest takes half of one."""

# Crashes are what the job is about when chaos is on: no number of them is a reason to
# give up, and waiting before a restart would only measure the wait.
_DEFAULTS = Defaults(max_restarts=1_000_000, max_seconds=60.0, backoff=Backoff.none())


def build(
    files: Sequence[File],
    directory: Path,
    shards: int,
    ledger: Ledger,
    desk: Desk,
    form: Form = "wide",
) -> Supervisor:
    """Return the tree, not yet started.

    It ends by itself when the chain has ended: with the last file, or by giving up. The
    stop goes from the end of this list to its beginning, so the feeding ends first, then
    the stages, then the stores they write to.
    """
    sup = Supervisor("corpus", auto_shutdown="any", defaults=_DEFAULTS)
    sup.add_worker(progress, len(files), id="progress")
    group = sup.add_group(GROUP, strategy="one_for_one")
    for shard in range(shards):
        group.add_worker(
            Store, str(directory), shard, desk, id=shard, max_attempts=ATTEMPTS, shutdown=SHUTDOWN
        )
    made = _wide(shards, desk) if form == "wide" else _narrow(shards, desk)
    sup.add_chain(CHAIN, made, capacity=CAPACITY, significant=True)
    # Temporary: a second life of it would offer every file again.
    sup.add_worker(feed, files, ledger, id="feed", restart="temporary")
    return sup


def _wide(shards: int, desk: Desk) -> list[StageSpec]:
    return [
        stage(stages.read, desk, workers=READERS, max_attempts=ATTEMPTS, shutdown=SHUTDOWN),
        stage(stages.tokenise, desk, workers=COMPUTING, max_attempts=ATTEMPTS, shutdown=SHUTDOWN),
        stage(stages.measure, desk, workers=COMPUTING, max_attempts=ATTEMPTS, shutdown=SHUTDOWN),
        stage(
            stages.store_all,
            shards,
            desk,
            id="store",
            batch=BATCH,
            max_attempts=ATTEMPTS,
            shutdown=SHUTDOWN,
        ),
    ]


def _narrow(shards: int, desk: Desk) -> list[StageSpec]:
    return [
        stage(stages.read, desk, max_attempts=ATTEMPTS, shutdown=SHUTDOWN),
        stage(stages.tokenise, desk, max_attempts=ATTEMPTS, shutdown=SHUTDOWN),
        stage(stages.measure, desk, max_attempts=ATTEMPTS, shutdown=SHUTDOWN),
        stage(stages.store, shards, desk, max_attempts=ATTEMPTS, shutdown=SHUTDOWN),
    ]
