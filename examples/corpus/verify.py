"""The recount: everything once more, in one plain loop, and a comparison row by row.

Owns the loop and the list of differences. It uses no thread and nothing of the
library, so that it can be wrong only where the measuring is wrong. It must not
know how the rows came to be.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from examples.corpus.measure import Record, RefusedError, measure_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from examples.corpus.files import File
    from examples.corpus.store import Rows

__all__ = ["Recount", "compare", "recount"]


@dataclass(frozen=True, slots=True)
class Recount:
    """What a plain loop finds."""

    records: dict[str, Record]
    refused: dict[str, str]
    seconds: float


def recount(files: Iterable[File]) -> Recount:
    """Measure every file in the caller's thread. Blocks until all are done."""
    began = time.monotonic()
    records: dict[str, Record] = {}
    refused: dict[str, str] = {}
    for file in files:
        try:
            records[file.name] = measure_file(file.name, Path(file.path).read_bytes())
        except OSError as error:
            refused[file.name] = f"not readable: {error.strerror}"
        except RefusedError as error:
            refused[file.name] = str(error)
    return Recount(records, refused, time.monotonic() - began)


def compare(
    found: Recount, rows: Rows, refused: Mapping[str, str], dead: Mapping[str, str]
) -> list[str]:
    """Return a line for each difference between the recount and the run, sorted by file.

    A dead letter is no difference: the run says itself that it has no row.
    """
    lines = [f"{name}: in a shard that is not its own" for name in rows.misplaced]
    names = found.records.keys() | found.refused.keys() | rows.records.keys() | refused.keys()
    for name in names - (dead.keys() - rows.records.keys()):
        lines += _differences(name, rows.records.get(name), found.records.get(name))
        if refused.get(name) != found.refused.get(name):
            said, expected = refused.get(name), found.refused.get(name)
            lines.append(f"{name}: refused by the run: {said}; by the recount: {expected}")
    return sorted(lines)


def _differences(name: str, row: Record | None, expected: Record | None) -> list[str]:
    if row == expected:
        return []
    if row is None:
        return [f"{name}: no row"]
    if expected is None:
        return [f"{name}: a row, but the recount has none"]
    return [
        f"{name}: {field} is {getattr(row, field)!r}, recounted {getattr(expected, field)!r}"
        for field in Record.__dataclass_fields__
        if getattr(row, field) != getattr(expected, field)
    ]
