"""The two standalone workers: one feeds the chain, one reports progress.

Owns what they do in their threads. Both are tasks: a wait inside them ends with
`WorkerExit` when the tree stops, which they leave to the library. It must not know
how the tree is built.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import threadsup
from threadsup import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from examples.corpus.files import File
    from examples.corpus.ledger import Ledger
    from threadsup import Supervisor

__all__ = ["CHAIN", "feed", "progress"]

CHAIN = "corpus"
"""The id of the chain."""


def feed(files: Iterable[File], ledger: Ledger) -> None:
    """Offer every file to the chain, then close it. Blocks while the chain is full.

    A chain that takes no more, because it gave up, ends the feeding; the files that were
    not offered are missed in the ledger.
    """
    chain = _supervisor().chain(CHAIN)
    try:
        for file in files:
            future = chain.submit(file)
            ledger.offered[file.name] = None
            future.add_done_callback(partial(ledger.settle, file.name))
    except DeliveryError as error:
        print(f"feed: the chain takes no more: {error}", file=sys.stderr)
        return
    chain.close()


def progress(total: int | None = None, every: float = 1.0) -> None:
    """Print a line about the chain every `every` seconds, and a last one when stopped."""
    supervisor = _supervisor()
    began = time.monotonic()
    try:
        while True:
            threadsup.sleep(every)
            _print_line(supervisor, total, time.monotonic() - began)
    finally:
        _print_line(supervisor, total, time.monotonic() - began)


def _print_line(supervisor: Supervisor, total: int | None, seconds: float) -> None:
    items = supervisor.chain(CHAIN).statistics().items
    done = items.completed + items.dropped + items.failed
    rate = done / seconds if seconds else 0.0
    of = "" if total is None else f" of {total:,}"
    print(
        f"{seconds:7.1f} s {done:7,}{of} files {rate:7,.0f} files/s"
        f" {items.in_flight:4,} in flight {supervisor.statistics().restarts:6,} restarts",
        file=sys.stderr,
        flush=True,
    )


def _supervisor() -> Supervisor:
    context = threadsup.current()
    assert context is not None, "only a worker of the tree runs this"
    supervisor: Supervisor = context.supervisor
    return supervisor
