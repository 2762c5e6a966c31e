"""The results as a table of text, and as a document.

Owns the layout of both. It must not measure or judge anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.entrants import ordered
from bench.machine import summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bench.work import Result

__all__ = ["MAIN", "SCHEMA", "digits", "document", "heading", "lines", "titles", "verdict"]

SCHEMA = 1
"""Grows when a reader of the document has to change."""

MAIN = ("floor", "Pykka", "threadsup")
"""Those with a column of their own; the rest share a line below."""

_NO_FRACTION = 1000
_WIDTHS = (50, 5, 14, 14, 14, 9, 9)
_LINE = 100


def heading(about: dict[str, Any]) -> str:
    """Return lines that say where the figures are from."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return f"{summary(about)}\n{versions}\nmedians, with half the range of the rounds"


def titles() -> str:
    """Return the line above the rows."""
    return _join(("", "", *MAIN, "x floor", "x Pykka"), "bar")


def lines(result: Result, *, quick: bool) -> str:
    """Return the row of a result, and below it whoever else took part."""
    cells = [result.row.name, result.row.unit, *(cell(result, who) for who in MAIN)]
    for other in ("floor", "Pykka"):
        ratio = result.over(other)
        cells.append("-" if ratio is None else f"{ratio:.2f}")
    return "\n".join([_join(cells, verdict(result, quick=quick)), *_others(result)])


def cell(result: Result, who: str) -> str:
    """Return the median of one contestant, with its spread."""
    if who not in result.medians:
        return "-"
    return f"{digits(result.medians[who])} ±{result.spread(who):3.0%}"


def _others(result: Result) -> Iterator[str]:
    line = ""
    for who in ordered({**result.figures, **result.unable}):
        if who in result.unable:
            said = f"{who}: {result.unable[who]}"
        elif who not in MAIN:
            said = f"{who} {' '.join(cell(result, who).split())}"
        else:
            continue
        if line and len(line) + len(said) > _LINE:
            yield line
            line = ""
        line += f"{'; ' if line else '    '}{said}"
    if line:
        yield line


def verdict(result: Result, *, quick: bool) -> str:
    """Return the bar, and whether it is reached."""
    bar = result.bar
    if bar is None:
        return ""
    if quick:
        return f"{bar.text}: not judged, this is too short"
    if result.exempt:
        return f"{bar.text}: {result.exempt}"
    return f"{bar.text}: {'reached' if result.reached else 'MISSED'}"


def digits(figure: float) -> str:
    """Return a figure as short as it may be."""
    return f"{figure:,.0f}" if abs(figure) >= _NO_FRACTION else f"{figure:.3g}"


def _join(cells: Iterable[str], last: str) -> str:
    first, unit, *rest = cells
    parts = [f"{first:<{_WIDTHS[0]}}", f"{unit:<{_WIDTHS[1]}}"]
    parts += [f"{cell:>{width}}" for cell, width in zip(rest, _WIDTHS[2:], strict=True)]
    return " ".join([*parts, "", last]).rstrip()


def document(
    about: dict[str, Any], results: Mapping[str, Iterable[Result]], *, quick: bool
) -> dict[str, Any]:
    """Return the results of each suite as a value that JSON can hold."""
    return {
        "schema": SCHEMA,
        "machine": about,
        "quick": quick,
        "rows": [
            _row(suite, result, quick=quick) for suite, each in results.items() for result in each
        ],
    }


def _row(suite: str, result: Result, *, quick: bool) -> dict[str, Any]:
    row, bar = result.row, result.bar
    return {
        "suite": suite,
        "name": row.name,
        "unit": row.unit,
        "more_is_better": row.more_is_better,
        "curve": row.curve,
        "at": row.at,
        "axis": row.axis,
        "count": result.count,
        "gil": not result.free,
        "figures": result.figures,
        "medians": result.medians,
        "spreads": {who: result.spread(who) for who in result.medians},
        "unable": result.unable,
        "times_floor": result.over("floor"),
        "times_pykka": result.over("Pykka"),
        "bar": None if bar is None else bar.text,
        "reached": None if quick else result.reached,
        "exempt": result.exempt,
        "aim": None if bar is None or bar.aim is None else bar.aim.text,
        "aim_reached": None if quick else result.aimed,
    }
