"""The pictures of the report: an overview, one per suite, one per curve.

Owns their names and files. It must not know how they look. It wants matplotlib.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from matplotlib import pyplot as plt

from bench.drawing import STYLE
from bench.page import rows_of
from bench.plot_curve import curve_of, curves
from bench.plot_overview import overview
from bench.plot_suite import suite_of

if TYPE_CHECKING:
    from pathlib import Path

    from bench.drawing import Documents

__all__ = ["draw"]


def draw(documents: Documents, folder: Path) -> dict[str, str]:
    """Draw all of it; return the files' names by what they show. Old ones are removed."""
    for old in folder.glob("bench-*.svg"):
        old.unlink()
    pictures: dict[str, str] = {}
    with plt.rc_context(STYLE):
        suites = rows_of(documents).items()
        figures = {
            "overview": overview(documents),
            **{suite: suite_of(documents, suite, names) for suite, names in suites},
            **{curve: curve_of(documents, curve) for curve in curves(documents)},
        }
        for what, figure in figures.items():
            if figure is not None:
                pictures[what] = f"bench-{_slug(what)}.svg"
                meta: dict[str, Any] = {"Date": None, "Creator": "python -m bench.report"}
                figure.savefig(folder / pictures[what], metadata=meta)
                plt.close(figure)
    return pictures


def _slug(what: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", what.lower()).strip("-")
