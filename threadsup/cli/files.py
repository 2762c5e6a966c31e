"""The modules beside a file.

Owns which names they have, and that they can be imported while the command runs. It
must not know what may stand in a file, nor what is done with the names.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["beside", "importable"]


def beside(file: Path) -> tuple[str, ...]:
    """Return the names of the modules and packages in the folder of `file`, sorted.

    A name of the standard library is left out: importing it would bring the library's
    module and not the one beside the file, so nothing beside the file is meant by it.
    Of a folder that cannot be read there are none.
    """
    try:
        entries = list(file.parent.iterdir())
    except OSError:
        return ()
    names = set()
    for entry in entries:
        if entry.suffix == ".py" and entry.is_file():
            names.add(entry.stem)
        elif entry.is_dir() and next(entry.glob("*.py"), None) is not None:
            names.add(entry.name)
    return tuple(sorted(n for n in names if n.isidentifier() and n not in sys.stdlib_module_names))


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let modules be imported from `folder`, first of all places, within the block."""
    place = str(folder)
    sys.path.insert(0, place)
    try:
        yield
    finally:
        # Code in the block may have taken it out, or put it in once more.
        with contextlib.suppress(ValueError):
            sys.path.remove(place)
