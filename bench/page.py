"""The page of the report, in Markdown: what two documents say, side by side.

Owns the wording. It must not measure or judge anything: a claim stands here only as a
figure of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.entrants import ENTRANTS, ordered
from bench.machine import summary
from bench.show import digits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Documents = Mapping[str, dict[str, Any]]

__all__ = ["BUILDS", "rows_of", "write"]

_MINUTE = 60
BUILDS = {"gil": "GIL", "free": "free-threaded"}

_HEAD = """\
# Benchmarks

Bare threads, plain Pykka, other libraries and threadsup do the same work, each through its own
public API and in a process of its own, in turn. This page, its pictures and the raw figures
([GIL](plots/bench-gil.json), [free-threaded](plots/bench-free.json)) are written by one command
from two real runs:

```
python -m bench.report --gil python3.13 --free python3.13t
```
"""

_READING = """\
## How to read it

A figure is the median of its rounds; `±` is half the range of the rounds as a share of it. Figures
move by tens of percent from machine to machine: compare within a row. *x floor* and *x Pykka* say
how many times as good threadsup is as bare threads and as plain Pykka: more is better, whatever the
unit. The *bar* is what threadsup must reach, the *aim* what would be better still. `us` are
microseconds.
"""


def write(documents: Documents, pictures: Mapping[str, str]) -> str:
    """Return the page. `pictures` are file names, by what they show: a suite, or a headline."""
    parts = [_HEAD, *_machines(documents), *_warnings(documents)]
    if "overview" in pictures:
        parts.append(_picture("threadsup beside plain Pykka, all works", pictures["overview"]))
    parts += [_READING, "## Bars\n", *_bars(documents), "## Works\n"]
    for suite, names in rows_of(documents).items():
        parts.append(f"### {suite}\n")
        if suite in pictures:
            parts.append(_picture(f"{suite}: every contestant, both builds", pictures[suite]))
        curves = dict.fromkeys(row["curve"] for row in _all(documents, suite) if row["curve"])
        parts += [_picture(curve, pictures[curve]) for curve in curves if curve in pictures]
        parts += _figures(documents, names)
    parts += ["## Contestants\n", *_contestants(documents)]
    return "\n".join(parts)


def rows_of(documents: Documents) -> dict[str, list[str]]:
    """Return the names of the rows of each suite, in their order."""
    found: dict[str, dict[str, None]] = {}
    for document in documents.values():
        for row in document["rows"]:
            found.setdefault(row["suite"], {})[row["name"]] = None
    return {suite: list(names) for suite, names in found.items()}


def _all(documents: Documents, suite: str) -> Iterator[dict[str, Any]]:
    for document in documents.values():
        yield from (row for row in document["rows"] if row["suite"] == suite)


def _find(document: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    return next((row for row in document["rows"] if row["name"] == name), None)


def _picture(what: str, file: str) -> str:
    return f"![{what}](plots/{file})\n"


def _table(titles: list[str], rows: Iterator[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    text = "\n".join(f"| {' | '.join(each.replace('|', '/') for each in line)} |" for line in lines)
    return f"{text}\n"


def _machines(documents: Documents) -> Iterator[str]:
    for document in documents.values():
        about = document["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        took = sum(document.get("seconds", {}).values())
        measured = f"; measured in {took / 60:.0f} minutes" if took > _MINUTE else ""
        yield f"* {summary(about)}; {versions}{measured}"
    yield ""


def _warnings(documents: Documents) -> Iterator[str]:
    if any(document["quick"] for document in documents.values()):
        yield "**This was a quick run: it shows that all works, and its figures are no figures.**\n"
    for kind, document in documents.items():
        for suite, why in document.get("failures", {}).items():
            yield f"**{suite} did not run on the {BUILDS[kind]} build: {why}.**\n"


def _bars(documents: Documents) -> Iterator[str]:
    for kind, document in documents.items():
        barred = [row for row in document["rows"] if row["bar"] is not None]
        reached = sum(row["reached"] is True for row in barred)
        judged = sum(row["reached"] is not None for row in barred)
        yield f"**{BUILDS[kind]}: {reached} of {judged} bars reached.**\n"
        titles = ["work", "unit", "floor", "Pykka", "threadsup", "x floor", "x Pykka"]
        yield _table([*titles, "bar", "", "aim", ""], map(_barred, barred))


def _barred(row: dict[str, Any]) -> list[str]:
    figures = [_figure(row, who) for who in ("floor", "Pykka", "threadsup")]
    ratios = [_ratio(row[key]) for key in ("times_floor", "times_pykka")]
    bar = [row["bar"], row["exempt"] or _said(row["reached"], "**missed**")]
    aim = [row["aim"] or "", _said(row["aim_reached"], "not reached") if row["aim"] else ""]
    return [row["name"], row["unit"], *figures, *ratios, *bar, *aim]


def _said(reached: bool | None, otherwise: str) -> str:
    if reached is None:
        return "not judged"
    return "reached" if reached else otherwise


def _figure(row: Mapping[str, Any], who: str) -> str:
    if who not in row["medians"]:
        return "-"
    return f"{digits(row['medians'][who])} ±{row['spreads'][who]:.0%}"


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def _figures(documents: Documents, names: list[str]) -> Iterator[str]:
    found = {
        (name, kind): row
        for name in names
        for kind, document in documents.items()
        if (row := _find(document, name)) is not None
    }
    whos = list(ordered({who: None for row in found.values() for who in row["medians"]}))

    def line(key: tuple[str, str]) -> list[str]:
        name, kind = key
        row = found[key]
        return [name, BUILDS[kind], row["unit"], *(_figure(row, who) for who in whos)]

    yield _table(["work", "build", "unit", *whos], map(line, found))
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for (name, kind), row in found.items():
        for who, why in row["unable"].items():
            if not why.startswith("not installed"):  # this is told once, below
                reasons.setdefault((who, BUILDS[kind], why), []).append(name)
    for (who, build, why), where in reasons.items():
        yield f"* {who} has no figure on the {build} build in {', '.join(where)}: {why}."
    yield ""


def _contestants(documents: Documents) -> Iterator[str]:
    absent: dict[str, dict[str, str]] = {}
    for kind, document in documents.items():
        for row in document["rows"]:
            for who, why in row["unable"].items():
                if why.startswith("not installed"):
                    absent.setdefault(who, {})[kind] = why
    for entrant in ENTRANTS:
        why = "; ".join(
            f"{BUILDS[kind]}: {text}" for kind, text in absent.get(entrant.name, {}).items()
        )
        yield f"* **{entrant.name}**: {entrant.about}{f' ({why})' if why else ''}."
    yield ""
