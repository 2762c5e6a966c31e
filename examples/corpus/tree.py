"""The supervision tree of the job: who runs, under which rules, in which order.

Owns the numbers of the tree (budgets, attempts, capacities) and its wiring. It must
not know what the workers do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.corpus import stages
from examples.corpus.store import GROUP, Store
from examples.corpus.tasks import CHAIN, feed, progress
from threadsup import Backoff, Defaults, Supervisor, stage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from examples.corpus.desk import Desk
    from examples.corpus.files import File
    from examples.corpus.ledger import Ledger

__all__ = ["ATTEMPTS", "build"]

ATTEMPTS = 6
"""How often one file, or one record, is tried at one place before it has failed for good."""

CAPACITY = 16
"""Files that may wait before each stage: enough to keep it busy, little to lose sight of."""

SHUTDOWN = 5.0
"""Seconds a worker has for the file in hand when it is stopped; the largest takes half of one."""

# Crashes are what the job is about when chaos is on: no number of them is a reason to
# give up, and waiting before a restart would only measure the wait.
_DEFAULTS = Defaults(max_restarts=1_000_000, max_seconds=60.0, backoff=Backoff.none())


def build(
    files: Sequence[File], directory: Path, shards: int, ledger: Ledger, desk: Desk
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
    sup.add_chain(
        CHAIN,
        [
            stage(stages.read, desk, max_attempts=ATTEMPTS, shutdown=SHUTDOWN),
            stage(stages.tokenise, desk, max_attempts=ATTEMPTS, shutdown=SHUTDOWN),
            stage(stages.measure, desk, max_attempts=ATTEMPTS, shutdown=SHUTDOWN),
            stage(stages.store, shards, desk, max_attempts=ATTEMPTS, shutdown=SHUTDOWN),
        ],
        capacity=CAPACITY,
        significant=True,
    )
    # Temporary: a second life of it would offer every file again.
    sup.add_worker(feed, files, ledger, id="feed", restart="temporary")
    return sup
