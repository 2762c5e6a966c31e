"""The picture of a curve: how a figure changes with how many there are of something.

Owns that picture. It must not measure or judge anything. It wants matplotlib.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.drawing import (
    COLOURS,
    FAINT,
    INK,
    LINES,
    WIDE,
    WIDTH,
    headline,
    steps_of,
    unit_of,
)
from bench.entrants import ordered
from bench.page import BUILDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.drawing import Documents

__all__ = ["curve_of", "curves"]


def curves(documents: Documents) -> list[str]:
    """Return the names of all curves, in the order of their rows."""
    rows = [row for document in documents.values() for row in document["rows"]]
    return list(dict.fromkeys(row["curve"] for row in rows if row["curve"]))


def curve_of(documents: Documents, curve: str) -> Figure:
    """Draw a panel per build: a line per contestant, its range behind it."""
    figure, panels = plt.subplots(
        1, len(documents), figsize=(WIDTH, 4.1), sharey=True, squeeze=False
    )
    figure.subplots_adjust(left=0.115, right=0.98, top=0.75, bottom=0.25, wspace=0.07)
    shown: dict[str, Any] = {}
    row: dict[str, Any] = {}
    low, high = math.inf, 0.0
    for axes, (kind, document) in zip(panels[0], documents.items(), strict=True):
        rows = sorted(
            (row for row in document["rows"] if row["curve"] == curve), key=lambda row: row["at"]
        )
        for who in ordered({who: None for row in rows for who in row["medians"]}):
            line, seen = _line(axes, who, [row for row in rows if who in row["medians"]])
            shown.setdefault(who, line)
            low, high = min(low, *seen), max(high, *seen)
        axes.set_title(BUILDS[kind], fontsize=10.5, color=COLOURS[kind], fontweight="bold")
        axes.grid()
        row = rows[-1] if rows else row
        _places(axes, [each["at"] for each in rows], row)
        if not rows:
            axes.text(0.5, 0.5, "no figures", color=FAINT, ha="center", transform=axes.transAxes)
    if low > 0 and high / low > WIDE:
        panels[0][0].set_yscale("log")
        panels[0][0].yaxis.set_major_locator(LogLocator(subs=steps_of(low, high)))
        panels[0][0].minorticks_off()
    else:
        panels[0][0].set_ylim(0, high * 1.08 or 1)
    panels[0][0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))
    if row:
        panels[0][0].set_ylabel(unit_of(row["unit"]))
    figure.legend(
        shown.values(),
        shown.keys(),
        loc="lower center",
        ncol=len(shown) or 1,
        bbox_to_anchor=(0.5, 0.01),
        columnspacing=1.4,
        handlelength=1.8,
    )
    headline(figure, curve, documents, "median, and the range of the rounds; ")
    return figure


def _line(axes: Axes, who: str, rows: Sequence[dict[str, Any]]) -> tuple[Any, list[float]]:
    at = [row["at"] for row in rows]
    middle = [row["medians"][who] for row in rows]
    least = [min(row["figures"][who]) for row in rows]
    most = [max(row["figures"][who]) for row in rows]
    if rows[0]["axis"] == "cores":  # over one core: there it is 1, by what it says
        at, middle, least, most = ([1, *each] for each in (at, middle, least, most))
    colour = LINES.get(who, INK)
    width, order = (2.6, 4) if who == "threadsup" else (1.6, 3)
    axes.fill_between(at, least, most, color=colour, alpha=0.15, lw=0)
    (line,) = axes.plot(at, middle, color=colour, lw=width, marker="o", ms=4.5, zorder=order)
    return line, [*least, *most]


def _places(axes: Axes, at: list[float], row: Mapping[str, Any]) -> None:
    if not at:
        axes.set_xticks([])
        return
    marks = [1.0, *at] if row["axis"] == "cores" else at
    if max(marks) / max(1.0, min(marks)) > WIDE:
        axes.set_xscale("log")
    axes.set_xticks(marks, [f"{mark:,g}" for mark in marks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.set_xlabel(row["axis"])
