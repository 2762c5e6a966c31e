"""The shells' completion of the command.

Owns which shells, and that files are completed as files. What a script looks like is
`shtab`'s: it reads the parser, so that no word is written down twice, and it knows the
quoting rules of each shell. It must not know what the words mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Action, ArgumentParser
    from collections.abc import Iterable

__all__ = ["SHELLS", "script"]

SHELLS = ("bash", "zsh", "fish")


def script(parser: ArgumentParser, files: Iterable[Action], shell: str) -> str:
    """Return the text that a shell is to run to know the command.

    Args:
        parser: The command's.
        files: Its arguments that name a file.
        shell: One of `SHELLS`.

    Raises:
        ImportError: `shtab` is not installed.
    """
    import shtab  # noqa: PLC0415 - an extra, and of no use to any other verb

    for action in files:
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    text: str = shtab.complete(parser, shell)
    return text
