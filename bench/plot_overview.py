"""The first picture of the report: every work, as a ratio.

Owns that picture. It must not measure or judge anything. It wants matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib import pyplot as plt

from bench.drawing import (
    COLOURS,
    INK,
    LINE,
    MARKS,
    MISSED,
    TOP,
    WIDTH,
    headline,
    legend,
    row_of,
    ticks,
)
from bench.page import rows_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.drawing import Documents

__all__ = ["overview"]


def overview(documents: Documents) -> Figure | None:
    """Draw how many times as good as Pykka threadsup is, work by work."""
    names = [
        name
        for each in rows_of(documents).values()
        for name in each
        if any((row := row_of(documents, kind, name)) and row["times_pykka"] for kind in documents)
    ]
    if not names:
        return None
    height = TOP + LINE * len(names) + 0.65
    figure, axes = plt.subplots(figsize=(WIDTH, height))
    figure.subplots_adjust(left=0.38, right=0.95, top=1 - TOP / height, bottom=0.55 / height)
    for kind in documents:
        places, ratios, edges = [], [], []
        for place, name in enumerate(names):
            row = row_of(documents, kind, name)
            if row is not None and row["times_pykka"]:
                places.append(place)
                ratios.append(row["times_pykka"])
                edges.append(MISSED if row["reached"] is False else "none")
        axes.scatter(
            ratios,
            places,
            s=46,
            marker=MARKS[kind],
            color=COLOURS[kind],
            edgecolors=edges,
            linewidths=1.8,
            zorder=3,
        )
    for place in range(0, len(names), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="#f6f8fa", zorder=0, lw=0)
    axes.axvline(1, color=INK, lw=1, zorder=1)
    axes.set_xscale("log")
    ticks(axes, *axes.get_xlim())
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlabel("times as good as plain Pykka: right of 1 is better; a red rim misses its bar")
    headline(figure, "threadsup beside plain Pykka", documents)
    legend(figure, documents)
    return figure
