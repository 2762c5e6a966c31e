"""The targets that `corpus.toml` names: the workers of the job, ready to be declared.

Owns what a file cannot say: the shared desk, the ledger, the default folders. Each
name here is a function or class of this module, because a file may name only what
comes from the modules beside it. It must not know the file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

# `threadsup run` lets a file name what is beside it, so this module is loaded as
# `declared`; the package it is a part of is found from the folder above it.
_CHECKOUT = str(Path(__file__).resolve().parents[2])
sys.path.insert(0, _CHECKOUT)
try:
    from examples.corpus import stages, store, tasks
    from examples.corpus.desk import Desk
    from examples.corpus.files import list_files, standard_library
    from examples.corpus.ledger import Ledger
finally:
    sys.path.remove(_CHECKOUT)

if TYPE_CHECKING:
    from examples.corpus.files import File
    from examples.corpus.measure import Record
    from examples.corpus.stages import Counted, Source
    from threadsup import Reject

__all__ = ["Store", "feed", "keep", "measure", "progress", "read", "tokenise"]

_DESK = Desk()


class Store(store.Store):
    """One shard, in `directory`, or in a folder of the system's for temporary files."""

    def __init__(self, shard: int, directory: str | None = None) -> None:
        folder = Path(directory or Path(tempfile.gettempdir()) / "threadsup-corpus")
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(str(folder), shard, _DESK)


def feed(folder: str | None = None, limit: int | None = None) -> None:
    """Offer the files of `folder`, or of the standard library, to the chain."""
    files = list_files(Path(folder) if folder else standard_library())
    tasks.feed(files[:limit], Ledger())


def progress(every: float = 1.0) -> None:
    """Print a line about the chain every `every` seconds."""
    tasks.progress(every=every)


def read(file: File) -> Source | Reject:
    """Read and decode one file."""
    return stages.read(file, _DESK)


def tokenise(source: Source) -> Counted | Reject:
    """Count the tokens of one source."""
    return stages.tokenise(source, _DESK)


def measure(counted: Counted) -> Record | Reject:
    """Measure the shape of one source."""
    return stages.measure(counted, _DESK)


def keep(records: list[Record], shards: int) -> list[str]:
    """Have each record's shard keep it."""
    return stages.store_all(records, shards, _DESK)
