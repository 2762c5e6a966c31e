"""A file as a mapping, or one line that says why it is none.

Owns reading a TOML file: which files are opened, how large they may be, in which
words a broken one is refused. It must not know what the tables mean.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from typing import Any

from threadsup._checks import shown
from threadsup._errors import SpecError

__all__ = ["document"]

_LARGEST = 1024 * 1024


def document(source: object) -> Mapping[str, Any]:
    """Return what is in a file; a mapping is returned as it is.

    Blocks as long as reading takes, but opens regular files only.

    Raises:
        SpecError: It is neither, cannot be read, or is no TOML.
    """
    if isinstance(source, Mapping):
        return source
    if not isinstance(source, str | os.PathLike):
        raise SpecError(f"source: must be a path or a mapping, not {shown(source)}")
    path = os.fsdecode(source)
    data = _content(path)
    if len(data) > _LARGEST:
        raise SpecError(f"{path}: must be of at most {_LARGEST} bytes")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: is not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise SpecError(f"{path}: is nested too deeply") from error
    except ValueError as error:  # an int of too many digits is no TOMLDecodeError
        raise SpecError(f"{path}: is not TOML: {error}") from error


def _content(path: str) -> bytes:
    """Return the bytes of a file, or one more than may be."""
    try:
        # Looked at first: to open a pipe is to wait for whoever writes into it.
        mode = os.stat(path).st_mode  # noqa: PTH116 - a Path of a wrong str raises elsewhere
        if stat.S_ISREG(mode):
            with open(path, "rb") as file:  # noqa: PTH123 - as above
                return file.read(_LARGEST + 1)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a null character in the path
        raise SpecError(f"{path!r}: cannot be read: {error}") from error
    what = "is a directory" if stat.S_ISDIR(mode) else "is no regular file"
    raise SpecError(f"{path}: {what}")
