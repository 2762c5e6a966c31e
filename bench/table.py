"""The document as a page of HTML: one file, no script, nothing loaded.

Owns the page. It must not measure or judge anything: what it is given says it all.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from bench.entrants import ordered
from bench.machine import summary
from bench.show import digits

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --faint: #66727f; --line: #dfe3e8;
  --bar: #b6c2cf; --ours: #0f9d8a; --bad: #c92a4c; --back: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --faint: #9aa5b1;
  --line: #323f4b; --bar: #52606d; --ours: #2cb5a0; --bad: #f0718c; --back: #14191f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
p { color: var(--faint); margin: .2rem 0 }
section { border-top: 1px solid var(--line); padding: .7rem 0 }
h3 { font-size: 1rem; margin: 0 0 .3rem; font-weight: 600 }
h3 small { font-weight: 400; color: var(--faint) }
table { border-collapse: collapse; width: 100% } td { padding: .1rem .5rem .1rem 0 }
td:first-child { width: 10.5rem } td.figure { width: 9.5rem; text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap } td.figure small { color: var(--faint) }
.bar { height: .75rem; border-radius: 2px; background: var(--bar); min-width: 2px }
.ours td { font-weight: 600 } .ours .bar { background: var(--ours) }
.why { color: var(--faint) } .met { color: var(--ours) } .missed { color: var(--bad) }
.missed, .met { font-weight: 600 }
"""


def page(document: dict[str, Any]) -> str:
    """Return the page of a document that `show.document` made."""
    about = document["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>threadsup: benchmark</title><style>{_STYLE}</style></head><body>",
        "<h1>threadsup: benchmark</h1>",
        f"<p>{escape(summary(about))}</p><p>{escape(versions)}</p>",
        "<p>Medians, with half the range of the rounds.</p>",
    ]
    if document["quick"]:
        parts.append("<p><strong>A quick run: it shows that all works, no more.</strong></p>")
    suite = None
    for row in document["rows"]:
        if row["suite"] != suite:
            suite = row["suite"]
            parts.append(f"<h2>{escape(suite)}</h2>")
        parts.extend(_section(row, quick=document["quick"]))
    return "\n".join([*parts, "</body></html>", ""])


def _section(row: dict[str, Any], *, quick: bool) -> Iterator[str]:
    better = "more" if row["more_is_better"] else "less"
    unit = f"<small>{escape(row['unit'])}, {better} is better</small>"
    yield f"<section><h3>{escape(row['name'])} {unit}</h3><table>"
    medians = row["medians"]
    most = max(map(abs, medians.values()), default=0.0) or 1.0
    for who in ordered({**medians, **row["unable"]}):
        kind = ' class="ours"' if who == "threadsup" else ""
        yield f"<tr{kind}><td>{escape(who)}</td>"
        if who in medians:
            width = 100 * abs(medians[who]) / most
            spread = f"{row['spreads'][who]:.0%}"
            yield f'<td class="figure">{digits(medians[who])} <small>±{spread}</small></td>'
            yield f'<td><div class="bar" style="width:{width:.1f}%"></div></td></tr>'
        else:
            yield f'<td colspan="2" class="why">{escape(row["unable"][who])}</td></tr>'
    yield "</table>"
    if row["bar"] is not None:
        yield f"<p>{escape(row['bar'])}: {_verdict(row, quick=quick)}</p>"
    yield "</section>"


def _verdict(row: dict[str, Any], *, quick: bool) -> str:
    if quick:
        return "not judged, this is too short"
    if row["exempt"]:
        return escape(row["exempt"])
    if row["reached"]:
        return '<span class="met">reached</span>'
    return '<span class="missed">missed</span>'
