"""The traceback of a crash: caught where it happened, written when somebody reads it.

Owns `Trace` and `TraceText`, the field that holds one and reads as text. It must not
know exit reasons or dead letters.

Writing a traceback takes longer than a restart: lines are read from files, and parsed to
be underlined. So the thread that crashes only notes file, line and name of each frame,
and whoever reads it pays. No frame is kept, and no object of a user's: what would need
them to be written, notes or the members of a group, is written at once.
"""

from __future__ import annotations

import linecache
import traceback
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, final, overload

if TYPE_CHECKING:
    from types import CodeType, TracebackType
    from typing import Self

__all__ = ["Trace", "TraceText", "trace_of"]

_LIMIT = 16_000
"""Characters of a traceback that are kept: the last."""
_FRAMES = 20
"""Frames of each exception that are kept: the innermost."""
_CHAIN = 20
"""Exceptions in a chain of causes that are not too many to be noted."""

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


_Frame: TypeAlias = "tuple[CodeType, int, int | None]"
"""Code, instruction, line. No code is anybody's local."""


class _Part(NamedTuple):
    """One exception of a chain."""

    link: str
    """What stands between it and the one that followed; empty for the last."""
    frames: tuple[_Frame, ...]
    last: str
    """Type and message, as they stand in the last line."""


@final
class Trace:
    """The traceback of one exception; `str()` writes it, once."""

    __slots__ = ("_parts", "_text")

    def __init__(self, parts: list[_Part]) -> None:
        self._parts: list[_Part] | None = parts
        self._text = ""

    def __str__(self) -> str:
        parts = self._parts
        # Two may write it at once, and get the same. The text comes first: whoever
        # finds no parts finds the text.
        if parts is not None:
            self._text = _cut("".join(map(_written, reversed(parts))))
            self._parts = None
        return self._text

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


@final
class TraceText:
    """A field of a dataclass: text, or a `Trace`, which reads as its text."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> str: ...

    @overload
    def __get__(self, instance: object, owner: type) -> str: ...

    def __get__(self, instance: object | None, owner: type) -> str:
        return "" if instance is None else str(vars(instance)[self._name])

    def __set__(self, instance: object, value: str | Trace | Self) -> None:
        # A dataclass may give the field itself for its default.
        vars(instance)[self._name] = "" if value is self else value


def trace_of(error: BaseException) -> str | Trace:
    """Note the traceback of `error`: in bounded space, keeping nothing else alive.

    Empty if it was never raised. Runs `error.__str__` in the caller's thread, and survives
    whatever that does.
    """
    if error.__traceback__ is None:
        return ""
    try:
        parts = _noted(error)
        if parts is not None:
            return Trace(parts)
        return _cut("".join(traceback.format_exception(error, limit=-_FRAMES)))
    except BaseException:  # noqa: BLE001 - a hostile exception must not end the reporter
        return _cut("".join(traceback.format_tb(error.__traceback__, limit=-_FRAMES)))


def _noted(error: BaseException) -> list[_Part] | None:
    """Return the chain, what was raised last first; `None` if it cannot wait.

    A group cannot, nor notes, which may be any object's, nor what is long.
    """
    parts: list[_Part] = []
    length, link = 0, ""
    at: BaseException | None = error
    seen: set[int] = set()
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        if len(seen) > _CHAIN or isinstance(at, BaseExceptionGroup | SyntaxError):
            return None
        # With its traceback, of which nothing is kept: what a name may have meant is
        # looked for in there.
        last = traceback.TracebackException(
            type(at), at, at.__traceback__, limit=0, lookup_lines=False, compact=True
        )
        lines = [*last.format_exception_only()]
        length += len(lines[0])
        if len(lines) > 1 or length > _LIMIT:
            return None
        parts.append(_Part(link, _frames(at.__traceback__), lines[0]))
        if at.__cause__ is not None:
            at, link = at.__cause__, _CAUSE
        else:
            at, link = None if at.__suppress_context__ else at.__context__, _CONTEXT
    return parts


def _frames(trace: TracebackType | None) -> tuple[_Frame, ...]:
    frames: deque[_Frame] = deque(maxlen=_FRAMES)
    while trace is not None:
        frame = trace.tb_frame
        code = frame.f_code
        # A module that came from no plain file says here how its lines are got.
        linecache.lazycache(code.co_filename, frame.f_globals)
        frames.append((code, trace.tb_lasti, trace.tb_lineno))
        trace = trace.tb_next
    return tuple(frames)


def _written(part: _Part) -> str:
    if not part.frames:
        return part.last + part.link
    for name in {code.co_filename for code, _, _ in part.frames}:
        linecache.checkcache(name)
    stack = traceback.StackSummary.from_list(map(_summary, part.frames))
    return "".join(["Traceback (most recent call last):\n", *stack.format(), part.last, part.link])


def _summary(frame: _Frame) -> traceback.FrameSummary:
    code, instruction, line = frame
    where = next(islice(code.co_positions(), instruction // 2, None), (None,) * 4)
    _, end_lineno, colno, end_colno = where
    return traceback.FrameSummary(
        code.co_filename,
        line,
        code.co_name,
        lookup_line=False,
        end_lineno=end_lineno,
        colno=colno,
        end_colno=end_colno,
    )


def _cut(text: str) -> str:
    if len(text) > _LIMIT:
        return f"... ({len(text)} characters)\n{text[-_LIMIT:]}"
    return text
