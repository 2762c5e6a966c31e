"""The four stages of the chain: a file goes in, the name of a stored record comes out.

Owns the order of the work and what is passed from stage to stage; the last stage takes
records one by one or in batches. Tokens stay
inside a stage, for those of one file can outweigh its text a hundred times. It must
not know how stages are wired, restarted or numbered.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from examples.corpus.measure import (
    Record,
    RefusedError,
    Tokens,
    count_tokens,
    decode,
    join,
    read_shape,
)
from examples.corpus.store import GROUP, shard_of
from threadsup import Reject, current

if TYPE_CHECKING:
    from examples.corpus.desk import Desk
    from examples.corpus.files import File

__all__ = ["Counted", "Source", "measure", "read", "store", "store_all", "tokenise"]


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read: what `read` passes to `tokenise`."""

    name: str
    size: int
    text: str


@dataclass(frozen=True, slots=True)
class Counted:
    """A source whose tokens are counted: what `tokenise` passes to `measure`."""

    source: Source
    tokens: Tokens

    @property
    def name(self) -> str:
        """The file's name, as every item of the chain has one."""
        return self.source.name


def read(file: File, desk: Desk) -> Source | Reject:
    """Read and decode one file. Blocks on the disk."""
    with desk.hold("read", file.name):
        try:
            data = Path(file.path).read_bytes()
            return Source(file.name, len(data), decode(data))
        except OSError as error:
            return Reject(f"not readable: {error.strerror}")
        except RefusedError as error:
            return Reject(str(error))


def tokenise(source: Source, desk: Desk) -> Counted | Reject:
    """Count the tokens of one source."""
    with desk.hold("tokenise", source.name):
        try:
            return Counted(source, count_tokens(source.text))
        except RefusedError as error:
            return Reject(str(error))


def measure(counted: Counted, desk: Desk) -> Record | Reject:
    """Measure the shape of one source and make its record."""
    source = counted.source
    with desk.hold("measure", source.name):
        try:
            return join(source.name, source.size, counted.tokens, read_shape(source.text))
        except RefusedError as error:
            return Reject(str(error))


def store(record: Record, shards: int, desk: Desk) -> str:
    """Have the record's shard keep it, and return the name of the file. Blocks until it is kept.

    It asks, it does not tell: an item whose record is not known to be committed is not
    done. A store that crashes takes the record up again in its next incarnation; one that
    fails on it for good fails this stage, whose own attempts then ask anew.
    """
    (name,) = store_all([record], shards, desk)
    return name


def store_all(records: list[Record], shards: int, desk: Desk) -> list[str]:
    """Have each record's shard keep it, and return the names of the files, in order.

    As `store` for many: each shard writes what is its own in one transaction, all shards
    at once. Blocks until all is kept; if something is not, all of it is asked for anew.
    """
    with desk.hold("store", *(record.name for record in records)):
        context = current()
        assert context is not None
        group = context.supervisor.group(GROUP)
        of_shard: dict[int, list[Record]] = {}
        for record in records:
            of_shard.setdefault(shard_of(record.name, shards), []).append(record)
        asked = [
            group.ask(shard, tuple(mine), timeout=None, block=False)
            for shard, mine in of_shard.items()
        ]
        kept = [name for future in asked for name in future.result()]
        assert sorted(kept) == sorted(record.name for record in records)
        return [record.name for record in records]
