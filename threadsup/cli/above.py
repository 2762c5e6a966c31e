"""What a program prints while the bottom of its terminal is in use.

Owns the streams that stand in for `sys.stdout` and `sys.stderr` meanwhile: they hand on
whole lines. It must not know who paints them.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Above", "lines_to"]

LONGEST = 8192
"""Characters without a line's end that are kept back."""


@final
class Above(io.TextIOBase):
    """A stream that hands on lines, each of them whole, of any number of threads.

    All else, `fileno()` and `buffer` among it, is that of the stream it stands in for.
    """

    def __init__(self, instead: Any, put: Callable[[str], object]) -> None:
        super().__init__()
        self._instead = instead
        self._put = put
        self._lock = threading.RLock()
        """Guards the beginnings. Re-entrant: what the collector destroys may print."""
        self._begun: dict[int, str] = {}
        """By thread, as `print` writes a line and its end one after the other."""

    def write(self, text: str, /) -> int:
        """Take text, and hand on what is complete."""
        me = threading.get_ident()
        with self._lock:
            *lines, rest = (self._begun.pop(me, "") + text).split("\n")
            if rest:
                # As on a terminal: what follows a carriage return replaces the line.
                rest = rest[rest.rfind("\r") + 1 :]
                if len(rest) > LONGEST:
                    lines.append(rest)
                else:
                    self._begun[me] = rest
        for line in lines:
            self._put(line.rstrip("\r").rpartition("\r")[2])
        return len(text)

    def finish(self) -> None:
        """Hand on what has no end yet."""
        with self._lock:
            begun, self._begun = self._begun, {}
        for line in begun.values():
            self._put(line)

    def flush(self) -> None:
        """Do nothing: a line is handed on when it is whole."""

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def isatty(self) -> bool:
        """Tell what the other stream is."""
        answer: bool = self._instead.isatty()
        return answer

    def fileno(self) -> int:
        """Return where what does not come by here is written to."""
        number: int = self._instead.fileno()
        return number

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The other stream's."""
        name: str = self._instead.encoding
        return name

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """The other stream's."""
        name: str | None = self._instead.errors
        return name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._instead, name)


@contextlib.contextmanager
def lines_to(put: Callable[[str], object], *names: str) -> Iterator[None]:
    """Have whole lines handed to `put` that are printed to `sys.<name>` within the block."""
    made = {name: Above(getattr(sys, name), put) for name in names}
    for name, stream in made.items():
        setattr(sys, name, stream)
    try:
        yield
    finally:
        for name, stream in made.items():
            # Code in the block may have put another one there, and keeps it.
            if getattr(sys, name) is stream:
                setattr(sys, name, stream._instead)  # noqa: SLF001 - its own module
            stream.finish()
