"""What one source file says of itself: pure functions from bytes to numbers.

Owns decoding, the token counts, the shape of the code and the `Record` that holds
them. The stages call the three steps one by one, the plain recount calls
`measure_file`. It must not know threads, stages, databases or where bytes come from.
"""

from __future__ import annotations

import ast
import io
import keyword
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Record",
    "RefusedError",
    "Shape",
    "Tokens",
    "count_tokens",
    "decode",
    "join",
    "measure_file",
    "read_shape",
]

_KEYWORDS = frozenset(keyword.kwlist)
_IDIOM = 16
"""Tokens in a row that make a repetition: a line or two."""
_BLOCK = 64
"""Tokens in a row that look copied."""
_ALIKE = frozenset({tokenize.NUMBER, tokenize.STRING})
_SILENT = frozenset(
    {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
)
_REASON_LIMIT = 200

# Statements that hold statements. Expressions hold none, so they are never walked.
_NESTING = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.TryStar,
    ast.Match,
    ast.ExceptHandler,
    ast.match_case,
)
_BLOCKS = ("body", "handlers", "cases", "orelse", "finalbody")


class RefusedError(ValueError):
    """The file cannot be measured, and never will be: trying again is no help."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the tokens of a source say."""

    lines: int
    blank: int
    comments: int
    tokens: int
    identifiers: int
    """Names, keywords left out, every use counted."""
    distinct: int
    """Different names among them."""
    repeated: int
    """Places where a line or two is like an earlier one, whatever the names in it."""
    copied: int
    """Places where that goes for a whole block."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the syntax tree of a source says."""

    functions: int
    """Functions and methods at any depth, `async` ones too; a lambda is none."""
    classes: int
    longest: int
    """Lines of the longest function, its decorators not counted; 0 without one."""
    longest_name: str
    """Its qualified name; the first one where two are as long."""
    longest_line: int
    """The line of its `def`."""


@dataclass(frozen=True, slots=True)
class Record:
    """All numbers of one file: a row of the database."""

    name: str
    size: int
    """Bytes on disk."""
    lines: int
    blank: int
    comments: int
    tokens: int
    identifiers: int
    distinct: int
    repeated: int
    copied: int
    functions: int
    classes: int
    longest: int
    longest_name: str
    longest_line: int


def decode(data: bytes) -> str:
    """Return the text of a source file, as its encoding cookie says, with line ends of one kind.

    Raises:
        RefusedError: the encoding is unknown or is not what the bytes are in.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise RefusedError(_because("not decodable", error)) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def count_tokens(text: str) -> Tokens:
    """Return the counts that need tokens only.

    Raises:
        RefusedError: the text is no sequence of Python tokens.
    """
    names: set[str] = set()
    shape: list[str] = []
    comments = tokens = identifiers = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            tokens += 1
            kind = token[0]
            if kind == tokenize.NAME:
                if (name := token[1]) not in _KEYWORDS:
                    identifiers += 1
                    names.add(name)
                    name = ""
                shape.append(name)
            elif kind == tokenize.COMMENT:
                comments += 1
            elif kind not in _SILENT:
                shape.append("" if kind in _ALIKE else token[1])
    except (tokenize.TokenError, SyntaxError, ValueError) as error:
        raise RefusedError(_because("not tokenisable", error)) from error
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    blank = sum(1 for line in lines if not line or line.isspace())
    return Tokens(
        lines=len(lines),
        blank=blank,
        comments=comments,
        tokens=tokens,
        identifiers=identifiers,
        distinct=len(names),
        repeated=_count_again(shape, _IDIOM),
        copied=_count_again(shape, _BLOCK),
    )


def _count_again(shape: list[str], length: int) -> int:
    runs = max(0, len(shape) - length + 1)
    # Their hashes, as the runs themselves would take a hundred times the text's memory.
    return runs - len({hash(tuple(shape[at : at + length])) for at in range(runs)})


def read_shape(text: str) -> Shape:
    """Return the counts that need the syntax tree.

    Raises:
        RefusedError: the text is not in the grammar of this Python.
    """
    try:
        tree = ast.parse(text)
    # The parser reports what is nested too deeply as one of the last two.
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RefusedError(_because("not Python", error)) from error
    functions = classes = 0
    longest = (0, 0, "")
    blocks: list[tuple[str, Iterable[ast.AST]]] = [("", tree.body)]
    while blocks:
        prefix, block = blocks.pop()
        for node in block:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions += 1
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                longest = max(longest, (length, -node.lineno, prefix + node.name))
                blocks.append((f"{prefix}{node.name}.", node.body))
            elif isinstance(node, ast.ClassDef):
                classes += 1
                blocks.append((f"{prefix}{node.name}.", node.body))
            elif isinstance(node, _NESTING):
                blocks.extend((prefix, getattr(node, field, ())) for field in _BLOCKS)
    length, line, name = longest
    return Shape(functions, classes, length, name, -line)


def join(name: str, size: int, tokens: Tokens, shape: Shape) -> Record:
    """Return the record that the parts make."""
    return Record(
        name=name,
        size=size,
        lines=tokens.lines,
        blank=tokens.blank,
        comments=tokens.comments,
        tokens=tokens.tokens,
        identifiers=tokens.identifiers,
        distinct=tokens.distinct,
        repeated=tokens.repeated,
        copied=tokens.copied,
        functions=shape.functions,
        classes=shape.classes,
        longest=shape.longest,
        longest_name=shape.longest_name,
        longest_line=shape.longest_line,
    )


def measure_file(name: str, data: bytes) -> Record:
    """Return the record of one file, all steps at once.

    Raises:
        RefusedError: the file cannot be measured.
    """
    text = decode(data)
    return join(name, len(data), count_tokens(text), read_shape(text))


def _because(what: str, error: BaseException) -> str:
    # A SyntaxError's str() adds where it was, which differs with the caller's frame name.
    detail = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{what}: {detail or type(error).__name__}"[:_REASON_LIMIT]
