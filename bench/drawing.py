"""What all pictures of the report share: colours, titles, axes.

Owns the look. It must not know what a picture shows. It wants matplotlib.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

from bench.page import BUILDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Documents = Mapping[str, dict[str, Any]]

__all__ = [
    "BAND",
    "COLOURS",
    "FAINT",
    "GAP",
    "GRID",
    "INK",
    "LINE",
    "LINES",
    "MARKS",
    "MISSED",
    "REACHED",
    "STYLE",
    "TOP",
    "WIDE",
    "WIDTH",
    "headline",
    "legend",
    "row_of",
    "steps_of",
    "ticks",
    "unit_of",
]

mpl.use("Agg")

INK, FAINT, GRID, BAND = "#1f2933", "#7b8794", "#e4e7eb", "#eef6f5"
COLOURS = {"gil": "#2f6fde", "free": "#0f9d8a"}
MARKS = {"gil": "o", "free": "D"}
REACHED, MISSED = "#0f9d8a", "#d64562"
LINES = {
    "floor": "#7b8794",
    "queue.Queue": "#b0a08a",
    "ThreadPoolExecutor": "#e09b2d",
    "Pykka": "#2f6fde",
    "pypeln": "#8a63d2",
    "Ray": "#d64562",
    "Thespian": "#8c5a3c",
    "xoscar": "#6b8e23",
    "threadsup": "#0f9d8a",
}
STYLE = {
    "svg.hashsalt": "threadsup",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
WIDTH = 9.4
WIDE = 12.0
"""From which ratio of the largest figure to the smallest on an axis is logarithmic."""
LINE = 0.27
"""Inches for one contestant."""
GAP = 0.95
"""Inches between two works: a title, and the numbers of the axis above."""
TOP = 0.95


def unit_of(unit: str) -> str:
    """Return a unit as it is written below a picture."""
    return {"us": "µs", "times": "times as fast", "n^x": "exponent"}.get(unit, unit)


def row_of(documents: Documents, kind: str, name: str) -> dict[str, Any] | None:
    """Return the row of that name of one build, if there is one."""
    rows = documents[kind]["rows"] if kind in documents else ()
    return next((row for row in rows if row["name"] == name), None)


def headline(figure: Figure, title: str, documents: Documents, say: str = "") -> None:
    """Write title and source above the panels, in inches from the top."""
    height = figure.get_size_inches()[1]
    figure.text(0.02, 1 - 0.30 / height, title, fontsize=13, fontweight="bold", va="center")
    about = " · ".join(
        f"{document['machine']['python']} {BUILDS[kind]}" for kind, document in documents.items()
    )
    machine = next(iter(documents.values()))["machine"]
    memory = f", {machine['memory_gib']} GiB" if machine["memory_gib"] else ""
    quick = "QUICK RUN, no figures: " if any(each["quick"] for each in documents.values()) else ""
    text = f"{quick}{say}CPython {about}, {machine['cores']} cores{memory}"
    figure.text(0.02, 1 - 0.55 / height, text, fontsize=9, color=FAINT, va="center")


def legend(figure: Figure, documents: Documents) -> None:
    """Say which mark is which build, in the upper right corner."""
    height = figure.get_size_inches()[1]
    look = {"ls": "", "ms": 6.5}
    handles = [
        plt.Line2D([], [], color=COLOURS[kind], marker=MARKS[kind], label=BUILDS[kind], **look)
        for kind in documents
    ]
    place = (0.99, 1 - 0.12 / height)
    figure.legend(handles=handles, loc="upper right", bbox_to_anchor=place, ncol=len(handles))


def ticks(axes: Axes, low: float, high: float) -> None:
    """Have a logarithmic axis say 1, 2, 5, 10 and so on, as plain numbers."""
    steps = steps_of(low, high)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    marks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    axes.set_xticks([mark for mark in marks if low <= mark <= high])
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()


def steps_of(low: float, high: float) -> tuple[float, ...]:
    """Return what is marked of each power of ten, as much as fits."""
    if high / low < 5:  # noqa: PLR2004
        return (1, 1.5, 2, 3, 5, 7)
    return (1, 2, 5) if high / low < 600 else (1,)  # noqa: PLR2004
