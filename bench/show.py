"""The results as a table, and as JSON.

Owns the layout. It must not measure or judge anything.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

from bench.work import CONTESTANTS, free_threaded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.work import Result

__all__ = ["document", "heading", "line", "titles"]

_NO_FRACTION = 1000
_WIDTHS = (36, 5, 14, 14, 14, 9, 9)


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "python": platform.python_version(),
        "free_threaded": free_threaded(),
        "cores": os.cpu_count(),
        "switch_interval_ms": sys.getswitchinterval() * 1000,
        "pykka": metadata.version("pykka"),
    }


def heading() -> str:
    """Return a line that says where the figures are from."""
    about = machine()
    return (
        f"CPython {about['python']} {'without' if about['free_threaded'] else 'with'} the GIL, "
        f"{about['cores']} cores, switch interval {about['switch_interval_ms']:g} ms, "
        f"Pykka {about['pykka']}; medians, with half the range of the rounds"
    )


def titles() -> str:
    """Return the line above the rows."""
    return _join(("", "", *CONTESTANTS, "x floor", "x Pykka"), "bar")


def line(result: Result, *, quick: bool) -> str:
    """Return the row of a result."""
    cells = [result.row.name, result.row.unit]
    for who in CONTESTANTS:
        if who in result.figures:
            median, spread = result.medians[who], result.spread(who)
            cells.append(f"{_digits(median)} ±{spread:3.0%}")
        else:
            cells.append("-")
    for other in ("floor", "Pykka"):
        ratio = result.over(other)
        cells.append("-" if ratio is None else f"{ratio:.2f}")
    return _join(cells, _verdict(result, quick=quick))


def _verdict(result: Result, *, quick: bool) -> str:
    bar = result.row.bar
    if bar is None:
        return ""
    if quick:
        return f"{bar.text}: not judged, this is too short"
    if result.exempt:
        return f"{bar.text}: {result.exempt}"
    return f"{bar.text}: {'reached' if result.reached else 'MISSED'}"


def _digits(figure: float) -> str:
    return f"{figure:.0f}" if abs(figure) >= _NO_FRACTION else f"{figure:.3g}"


def _join(cells: Iterable[str], last: str) -> str:
    first, unit, *rest = cells
    parts = [f"{first:<{_WIDTHS[0]}}", f"{unit:<{_WIDTHS[1]}}"]
    parts += [f"{cell:>{width}}" for cell, width in zip(rest, _WIDTHS[2:], strict=True)]
    return " ".join([*parts, "", last]).rstrip()


def document(results: Iterable[Result], *, quick: bool) -> dict[str, Any]:
    """Return everything as a value that JSON can hold."""
    return {
        "machine": machine(),
        "quick": quick,
        "rows": [
            {
                "name": result.row.name,
                "unit": result.row.unit,
                "count": result.count,
                "figures": result.figures,
                "medians": result.medians,
                "times_floor": result.over("floor"),
                "times_pykka": result.over("Pykka"),
                "bar": None if result.row.bar is None else result.row.bar.text,
                "reached": None if quick else result.reached,
                "exempt": result.exempt,
            }
            for result in results
        ],
    }
