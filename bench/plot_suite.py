"""The picture of a suite: a panel per work, a line per contestant, a mark per build.

Owns that picture. It must not measure or judge anything. It wants matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib import pyplot as plt

from bench.drawing import (
    BAND,
    COLOURS,
    FAINT,
    GAP,
    LINE,
    MARKS,
    MISSED,
    REACHED,
    TOP,
    WIDE,
    WIDTH,
    headline,
    legend,
    row_of,
    ticks,
    unit_of,
)
from bench.entrants import ordered
from bench.page import BUILDS
from bench.show import digits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.drawing import Documents

__all__ = ["suite_of"]


def suite_of(documents: Documents, suite: str, names: Sequence[str]) -> Figure | None:
    """Draw a panel per work: a line per contestant, a mark per build, the range as a bar."""
    panels: list[tuple[str, dict[str, dict[str, Any]], list[str]]] = []
    for name in names:
        rows = {kind: row for kind in documents if (row := row_of(documents, kind, name))}
        whos = list(ordered({who: None for row in rows.values() for who in row["medians"]}))
        if whos:
            panels.append((name, rows, whos))
    if not panels:
        return None
    heights = [LINE * len(whos) + 0.1 for _, _, whos in panels]
    height = TOP + sum(heights) + GAP * (len(panels) - 1) + 0.45 + 0.35
    figure = plt.figure(figsize=(WIDTH, height))
    bottom = height - TOP - 0.35
    for (name, rows, whos), tall in zip(panels, heights, strict=True):
        bottom -= tall
        axes = figure.add_axes((0.175, bottom / height, 0.585, tall / height))
        _panel(axes, name, rows, whos)
        bottom -= GAP
    headline(figure, suite, documents, "median, and the range of the rounds; ")
    legend(figure, documents)
    return figure


def _panel(axes: Axes, name: str, rows: Mapping[str, dict[str, Any]], whos: Sequence[str]) -> None:
    figures = [value for row in rows.values() for each in row["figures"].values() for value in each]
    least = min((value for value in figures if value > 0), default=1.0)
    most = max([*figures, least])
    log = most / least > WIDE and min(figures) > 0
    for place, who in enumerate(whos):
        if who == "threadsup":
            axes.axhspan(place - 0.5, place + 0.5, color=BAND, lw=0, zorder=0)
        shift = -0.17 if len(rows) > 1 else 0.0
        for number, (kind, row) in enumerate(rows.items()):
            if who in row["medians"]:
                _mark(axes, kind, row, who, place + (shift if number == 0 else -shift))
                _number(axes, kind, row, who, place)
            elif who in row["unable"]:
                _say(axes, kind, place, "-", FAINT)
    if log:
        axes.set_xscale("log")
        ticks(axes, least / 1.35, most * 1.35)
    else:
        axes.set_xlim(min(0.0, min(figures) * 1.08), (most * 1.08) or 1.0)
    axes.set_ylim(len(whos) - 0.5, -0.5)
    axes.set_yticks(range(len(whos)), whos)
    for label, who in zip(axes.get_yticklabels(), whos, strict=True):
        label.set_fontweight("bold" if who == "threadsup" else "normal")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8.5)
    axes.grid(axis="x")
    _titles(axes, name, rows, log=log)


def _mark(axes: Axes, kind: str, row: Mapping[str, Any], who: str, at: float) -> None:
    figures, median = row["figures"][who], row["medians"][who]
    colour = COLOURS[kind]
    axes.plot([min(figures), max(figures)], [at, at], color=colour, lw=4.5, alpha=0.3, zorder=2)
    axes.plot(
        [median], [at], color=colour, marker=MARKS[kind], ms=6, ls="", zorder=3, clip_on=False
    )


_COLUMNS = {"gil": 1.175, "free": 1.375}


def _number(axes: Axes, kind: str, row: Mapping[str, Any], who: str, place: int) -> None:
    text = f"{digits(row['medians'][who])} ±{row['spreads'][who]:.0%}"
    weight = "bold" if who == "threadsup" else "normal"
    _say(axes, kind, place, text, COLOURS[kind], weight)


def _say(axes: Axes, kind: str, place: int, text: str, colour: str, weight: str = "normal") -> None:
    axes.text(
        _COLUMNS[kind],
        place,
        text,
        transform=axes.get_yaxis_transform(),
        ha="right",
        va="center",
        fontsize=8.5,
        color=colour,
        fontweight=weight,
    )


def _titles(axes: Axes, name: str, rows: Mapping[str, dict[str, Any]], *, log: bool) -> None:
    """Write the work's name above its panel, and the bars' fate to the right of it."""
    row = next(iter(rows.values()))
    height = axes.get_figure().get_size_inches()[1] * axes.get_position().height
    above = 1 + 0.16 / height
    better = "more is better" if row["more_is_better"] else "less is better"
    where = {"transform": axes.transAxes, "va": "center"}
    title = axes.text(-0.268, above, name, fontsize=10.5, fontweight="bold", **where)
    axes.annotate(
        f"{unit_of(row['unit'])}, {better}{', logarithmic' if log else ''}",
        (1, 0.5),
        xytext=(8, 0),
        xycoords=title,
        textcoords="offset points",
        fontsize=8.5,
        color=FAINT,
        va="center",
    )
    bars = {kind: each for kind, each in rows.items() if each["reached"] is not None}
    said = dict.fromkeys(each["bar"] for each in bars.values())
    for number, bar in enumerate(said):
        kinds = [kind for kind, each in bars.items() if each["bar"] == bar]
        missed = [kind for kind in kinds if not bars[kind]["reached"]]
        fate = "missed" if len(missed) == len(kinds) else "reached"
        if missed and fate == "reached":
            fate = f"missed {'with the GIL' if missed == ['gil'] else 'without the GIL'}"
        which = f"{BUILDS[kinds[0]]}: " if len(said) > 1 else ""
        text = bar.replace(">=", "≥").replace("<=", "≤")
        axes.text(
            1.375,
            above + (len(said) - 1 - number) * 0.16 / height,
            f"{which}{text}: {fate}",
            ha="right",
            fontsize=8.5,
            color=MISSED if missed else REACHED,
            **where,
        )
