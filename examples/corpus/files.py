"""Which files the job is about, and what they are called.

Owns the walk over the folder and the names by which every later part knows a
file. It must not know what is done with them.
"""

from __future__ import annotations

import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["File", "list_files", "standard_library"]

_NOT_OURS = frozenset({"__pycache__", "dist-packages", "site-packages"})


@dataclass(frozen=True, slots=True)
class File:
    """One file of the corpus."""

    name: str
    """The path below the folder, with `/`, always encodable as UTF-8; the file's key."""
    path: str
    """Where it is on disk."""


def standard_library() -> Path:
    """Return the folder of the running interpreter's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def list_files(folder: Path, skipped: Callable[[OSError], None] | None = None) -> list[File]:
    """Return every regular `.py` file below `folder`, sorted by name.

    Installed packages and byte code are left out; links to folders are not
    followed. A folder that cannot be listed is passed to `skipped` as the error.
    """
    found: list[File] = []
    for here, folders, names in os.walk(folder, onerror=skipped):
        folders[:] = [name for name in folders if name not in _NOT_OURS]
        for name in names:
            path = os.path.join(here, name)  # noqa: PTH118 - Path is slow and adds nothing here
            # A named pipe called x.py would block the reader for ever; a link that leads
            # nowhere is no file.
            if name.endswith(".py") and os.path.isfile(path):  # noqa: PTH113 - as above
                found.append(File(_name_below(folder, path), path))
    return sorted(found, key=lambda file: file.name)


def _name_below(folder: Path, path: str) -> str:
    below = Path(path).relative_to(folder).as_posix()
    # A file name is bytes; a database key, a hash and a terminal want text.
    return os.fsencode(below).decode("utf-8", "backslashreplace")
