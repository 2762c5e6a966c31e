"""The arguments of the command, checked before anything starts.

Owns the options, their limits and the words that refuse a wrong one. It must not
know what is done with them.
"""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from examples.corpus.chaos import HIGHEST_RATE
from examples.corpus.files import standard_library

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Options", "parse"]

_MOST_SHARDS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for."""

    folder: Path
    chaos: float = 0.0
    seed: int = 0
    verify: bool = False
    compare: bool = False
    """Whether to run with one worker per stage first, and say what is gained."""
    limit: int | None = None
    shards: int = 4
    database: Path | None = None
    """Where the databases are kept; `None` means a folder that is gone afterwards."""


def parse(arguments: Sequence[str]) -> Options:
    """Return the options that `arguments` say.

    Raises:
        SystemExit: with 2, after the error is printed; with 0 after `--help`.
    """
    parser = argparse.ArgumentParser(
        prog="python -m examples.corpus",
        description="Measure every Python source file of a folder with a chain of threads and "
        "keep the numbers in sharded SQLite databases.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder",
        nargs="?",
        metavar="FOLDER",
        type=Path,
        help="where the files are; without one, the standard library of this interpreter",
    )
    parser.add_argument(
        "--chaos",
        metavar="RATE",
        type=_rate,
        default=0.0,
        help=f"crash this share of all attempts, 0 to {HIGHEST_RATE:g}",
    )
    parser.add_argument(
        "--seed", metavar="N", type=_whole(None, None), default=0, help="which attempts crash (0)"
    )
    parser.add_argument(
        "--verify", action="store_true", help="recount in a plain loop and compare row by row"
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="do it with one worker per stage first, and say by how much this is faster",
    )
    parser.add_argument(
        "--limit", metavar="N", type=_whole(1, None), help="take the first N files only"
    )
    parser.add_argument(
        "--shards",
        metavar="N",
        type=_whole(1, _MOST_SHARDS),
        default=4,
        help="number of databases (4)",
    )
    parser.add_argument(
        "--database",
        metavar="DIR",
        type=_database,
        help="keep the databases here, in place of those of an earlier run",
    )
    given = parser.parse_args(arguments)
    # Checked last, or a misspelt option's value, taken for the folder, would be blamed.
    if given.folder is None:
        given.folder = standard_library()
    if problem := _problem(given.folder):
        parser.error(f"argument FOLDER: {problem}")
    return Options(**vars(given))


def _problem(folder: Path) -> str:
    if not folder.exists():
        return f"{str(folder)!r} does not exist"
    if not folder.is_dir():
        return f"{str(folder)!r} is not a folder"
    return "" if os.access(folder, os.R_OK | os.X_OK) else f"{str(folder)!r} cannot be read"


def _database(text: str) -> Path:
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder")
    return path


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 <= rate <= HIGHEST_RATE:  # NaN too
        raise argparse.ArgumentTypeError(
            f"must be a number from 0 to {HIGHEST_RATE:g}, not {text!r}"
        )
    return rate


def _whole(least: int | None, most: int | None) -> Callable[[str], int]:
    limits = "" if least is None else f" of at least {least}"
    limits += "" if most is None else f" and at most {most}"

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if (
            value is None
            or (least is not None and value < least)
            or (most is not None and value > most)
        ):
            raise argparse.ArgumentTypeError(f"must be a whole number{limits}, not {text!r}")
        return value

    return whole
