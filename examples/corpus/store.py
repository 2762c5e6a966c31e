"""The sharded databases: one SQLite file per member of the group, a worker for each.

Owns the schema, the choice of the shard, the worker that writes and the function
that reads all shards back. It must not know who sends the records.
"""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.corpus.measure import Record
from threadsup import Worker

if TYPE_CHECKING:
    from types import TracebackType

    from examples.corpus.desk import Desk

__all__ = ["GROUP", "Rows", "Store", "clear", "read_rows", "shard_file", "shard_of"]

GROUP = "stores"
"""The id of the group whose members are the stores, each by the number of its shard."""

_COLUMNS = tuple(field.name for field in fields(Record))
_TYPES = {field.name: "TEXT" if field.type == "str" else "INTEGER" for field in fields(Record)}

# So that `clear` deletes nobody else's database: SQLite keeps the number in the file's header.
_APPLICATION_ID = 0x74737570
_HEADER = slice(68, 72)

# Quoted, for "distinct" is a word of SQL.
_QUOTED = {name: f'"{name}"' for name in _COLUMNS}
_NAMES = ", ".join(_QUOTED.values())

_SCHEMA = "CREATE TABLE IF NOT EXISTS files ({}, PRIMARY KEY (name)) WITHOUT ROWID".format(
    ", ".join(f"{quoted} {_TYPES[name]} NOT NULL" for name, quoted in _QUOTED.items())
)
# A record that is written again, because a crash came between the commit and the answer,
# replaces itself.
_UPSERT = "INSERT INTO files ({}) VALUES ({}) ON CONFLICT (name) DO UPDATE SET {}".format(  # noqa: S608 - our own column names
    _NAMES,
    ", ".join("?" for _ in _COLUMNS),
    ", ".join(f"{quoted} = excluded.{quoted}" for quoted in _QUOTED.values()),
)
_SELECT = f"SELECT {_NAMES} FROM files"  # noqa: S608 - as above


def shard_of(name: str, shards: int) -> int:
    """Return the shard, 0 to `shards - 1`, that keeps the file `name`; the same at all times."""
    return zlib.crc32(name.encode()) % shards


def shard_file(directory: Path | str, shard: int) -> Path:
    """Return the database file of one shard."""
    return Path(directory) / f"corpus-{shard}.sqlite3"


def clear(directory: Path) -> None:
    """Delete the shards of an earlier run.

    Raises:
        FileExistsError: a file of such a name is no database of this job; nothing is deleted.
    """
    earlier = sorted(directory.glob("corpus-*.sqlite3"))
    for path in earlier:
        with path.open("rb") as file:
            head = file.read(_HEADER.stop)
        if head and int.from_bytes(head[_HEADER]) != _APPLICATION_ID:
            raise FileExistsError(f"{path} is no database of this job")
    for path in earlier:
        for suffix in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.unlink()


class Store(Worker):
    """Keeps the records of one shard: each message is some of them, the answer their names.

    The connection belongs to one incarnation: opened in `on_start`, closed at its end,
    whichever end that is. The records of a message are one transaction, which is
    committed before it is answered.

    Args:
        directory: The folder of the databases; it exists.
        shard: Which of them this is.
        desk: Where to note what is in hand.
    """

    def __init__(self, directory: str, shard: int, desk: Desk) -> None:
        self._path = shard_file(directory, shard)
        self._place = f"store {shard}"
        self._desk = desk
        self._connection: sqlite3.Connection | None = None

    def on_start(self) -> None:
        """Open the database and make the table if there is none."""
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            # A thread that crashes loses nothing that SQLite has handed to the system, so
            # a write-ahead log without a sync per commit is as safe here as it is fast.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def on_receive(self, message: Any) -> tuple[str, ...]:
        """Write a tuple of `Record`s, over earlier ones of their names; return the names."""
        records: tuple[Record, ...] = message
        names = tuple(record.name for record in records)
        assert self._connection is not None
        with self._desk.hold(self._place, *names):
            self._connection.execute("BEGIN")
            self._connection.executemany(_UPSERT, map(astuple, records))
            self._connection.execute("COMMIT")
            # The worst moment: they are written, and nobody has been told.
            self._desk.chaos.strike(f"{self._place}, committed", names[0])
        return names

    def on_stop(self) -> None:
        """Close the database."""
        self._close()

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the database, for the next incarnation opens its own."""
        del exception_type, exception_value, traceback
        self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@dataclass(frozen=True, slots=True)
class Rows:
    """Everything the databases hold."""

    records: dict[str, Record]
    misplaced: tuple[str, ...]
    """Names found in a shard that is not theirs, or in two."""


def read_rows(directory: Path, shards: int) -> Rows:
    """Read all shards. The stores must have ended; blocks on the disk only.

    A shard whose store was never started has no rows.

    Raises:
        sqlite3.Error: a shard is broken.
    """
    records: dict[str, Record] = {}
    misplaced: list[str] = []
    for shard in range(shards):
        path = shard_file(directory, shard)
        if not path.exists():
            continue
        # Not read-only: such a reader leaves the files of the write-ahead log behind.
        with closing(sqlite3.connect(path)) as connection:
            for row in connection.execute(_SELECT):
                record = Record(*row)
                if record.name in records or shard_of(record.name, shards) != shard:
                    misplaced.append(record.name)
                records[record.name] = record
    return Rows(records, tuple(misplaced))
