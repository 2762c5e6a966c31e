"""Rules for single values: what is wrong with this one, in words.

Owns the small vocabulary the descriptions are checked with. A rule takes a value
and returns what it must be, or `""` when it is that. Where the value stands (the
path) is added by whoever knows it, so that one rule serves a call in Python and
a line in a file. It must not know any spec or option by name.

Types are compared exactly: a `bool` is no number here, and no code of a user's
subclass runs later where an id or a number is only looked at.
"""

from __future__ import annotations

import difflib
import reprlib
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "LONGEST",
    "Rule",
    "check_all",
    "flag",
    "ident",
    "number",
    "one_of",
    "optional",
    "seconds",
    "shown",
    "suggestion",
    "text",
    "under",
    "unknown",
    "whole",
]

Rule: TypeAlias = "Callable[[object], str]"
"""Returns what is wrong with a value, `""` when nothing is."""

LONGEST = 4_000_000.0
"""Seconds; the longest wait. Lock time-outs on Windows end at 4,294,967 s."""

_MOST = 10**9
_ID_LENGTH = 200
_PLAIN = (float, bool, bytes, type(None))


class _Repr(reprlib.Repr):
    def repr_instance(self, x: object, level: int) -> str:
        del level
        return repr(x)[:60] if type(x) in _PLAIN else f"a {type(x).__name__}"


_repr = _Repr()
_repr.maxstring = _repr.maxlong = 60
_repr.maxlevel = 2


def shown(value: object) -> str:
    """Return `value` for a message: short, and of a user's class only the name."""
    if type(value) in (str, int, tuple, list, dict, *_PLAIN):
        try:
            return _repr.repr(value)[:120]
        except ValueError:  # an int of more digits than Python is willing to print
            return "a huge number"
    if isinstance(value, type):
        return f"the class {value.__name__}"[:120]
    kind, name = type(value).__name__, getattr(value, "__name__", None)
    return (f"the {kind} {name}" if type(name) is str else f"a {kind}")[:120]


def number(least: float, most: float, what: str = "a number", *, above: bool = False) -> Rule:
    """Return the rule for a finite number from `least` (`above`: more than it) to `most`."""
    limit = f"above {least:g}" if above else f"of at least {least:g}"

    def rule(value: object) -> str:
        # NaN fails every comparison, so it is refused here without a case of its own.
        if type(value) not in (int, float) or not (value > least if above else value >= least):  # type: ignore[operator]
            return f"must be {what} {limit}, not {shown(value)}"
        return "" if value <= most else f"must be at most {most:.10g}, not {shown(value)}"  # type: ignore[operator]

    return rule


def seconds(*, above: bool = False) -> Rule:
    """Return the rule for a time to wait: 0 or more seconds, or `above` 0."""
    return number(0, LONGEST, "a number of seconds", above=above)


def whole(least: int) -> Rule:
    """Return the rule for a whole number of at least `least`."""

    def rule(value: object) -> str:
        if type(value) is not int or value < least:
            return f"must be a whole number of at least {least}, not {shown(value)}"
        return "" if value <= _MOST else f"must be at most {_MOST}, not {shown(value)}"

    return rule


def one_of(*words: str) -> Rule:
    """Return the rule for one of some words."""
    listed = ", ".join(map(repr, words[:-1])) + f" or {words[-1]!r}"

    def rule(value: object) -> str:
        if type(value) is str and value in words:
            return ""
        return f"must be {listed}, not {shown(value)}"

    return rule


def flag(value: object) -> str:
    """Check that `value` is true or false."""
    return "" if type(value) is bool else f"must be true or false, not {shown(value)}"


def text(value: object) -> str:
    """Check that `value` can be a name: printable text, not blank, not too long."""
    if type(value) is not str:
        return f"must be text, not {shown(value)}"
    return _text_problem(value)


def ident(value: object) -> str:
    """Check that `value` can be an id: text, a whole number, or a tuple of these."""
    if type(value) is str:
        return _text_problem(value)
    parts = value if type(value) is tuple and value else (value,)
    if not all(type(part) is str or type(part) is int for part in parts):
        return f"must be text, a whole number or a tuple of these, not {shown(value)}"
    # A decimal digit is more than three bits: huge numbers are refused unprinted.
    if any(type(part) is int and part.bit_length() > 3 * _ID_LENGTH for part in parts):
        return f"must be of at most {_ID_LENGTH} characters"
    for part in parts:
        if type(part) is str and (problem := _text_problem(part)):
            return problem
    return "" if len(str(value)) <= _ID_LENGTH else f"must be of at most {_ID_LENGTH} characters"


def _text_problem(value: str) -> str:
    if len(value) > _ID_LENGTH:
        return f"must be of at most {_ID_LENGTH} characters, not {len(value)}"
    if not value.strip():
        return f"must not be blank, not {shown(value)}" if value else "must not be empty"
    return "" if value.isprintable() else f"must be printable, not {shown(value)}"


def optional(rule: Rule) -> Rule:
    """Return `rule` with `None` allowed too."""
    return lambda value: "" if value is None else rule(value)


def check_all(rules: Mapping[str, Rule], values: Mapping[str, object]) -> list[str]:
    """Return a line `name: problem` for each value that breaks its rule.

    A value that is absent breaks none.
    """
    return [
        f"{name}: {problem}"
        for name, rule in rules.items()
        if name in values and (problem := rule(values[name]))
    ]


def under(path: str, lines: Iterable[str]) -> list[str]:
    """Return the lines with `path` put before the path each begins with."""
    return [f"{path}.{line}" for line in lines]


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the known name next to `name`, else `""`."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"; did you mean {near[0]!r}?" if near else ""


def unknown(names: Iterable[object], known: Iterable[str]) -> dict[str, str]:
    """Return for each name that is not known its nearest known one, as text."""
    known = list(known)
    texts = [name if type(name) is str else shown(name) for name in names if name not in known]
    return {text[:_ID_LENGTH]: suggestion(text[:_ID_LENGTH], known) for text in texts}
