"""The words and tables the user reads at the end, as plain text.

Owns the layout. It is given values and returns text; it must not print, measure or
decide anything.
"""

from __future__ import annotations

import platform
import sys
import sysconfig
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from examples.corpus.account import Account
    from examples.corpus.job import Interruption, Run
    from examples.corpus.measure import Record
    from examples.corpus.options import Options
    from examples.corpus.verify import Recount

__all__ = ["aligned", "heading", "interruption", "summary", "verdict"]

_TOP = 10
_LISTED = 10


def aligned(rows: Sequence[Sequence[str]], sides: str, indent: str = "  ") -> str:
    """Return `rows` as columns two spaces apart; a letter of `sides` per column: `<` or `>`."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        (
            indent
            + "  ".join(
                f"{cell:{side}{width}}"
                for cell, side, width in zip(row, sides, widths, strict=True)
            )
        ).rstrip()
        for row in rows
    )


def heading(options: Options, files: int) -> str:
    """Return the line that says what is going to be done, and by what."""
    build = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "GIL"
    if build == "free-threaded" and getattr(sys, "_is_gil_enabled", lambda: True)():
        build = "free-threaded, its GIL switched on"
    chaos = f", chaos {options.chaos:g} (seed {options.seed})" if options.chaos else ""
    return (
        f"corpus: {files:,} files below {options.folder}, {options.shards} shards{chaos}\n"
        f"{platform.python_implementation()} {platform.python_version()} ({build})"
    )


def summary(run: Run, narrow: Run | None = None) -> str:
    """Return the table of one run, held against the one with one worker per stage if given."""
    parts = [aligned(_figures(run, narrow), "<><"), _totals(run.rows.records.values())]
    if not run.interruption:
        parts += [_longest(run.rows.records.values()), _biggest(run.rows.records.values())]
    parts += _trouble(run)
    return "\n\n".join(parts)


def _figures(run: Run, narrow: Run | None) -> list[tuple[str, str, str]]:
    account = run.account
    rows = [
        ("files", f"{account.listed:,}", ""),
        ("  stored", f"{account.stored:,}", ""),
        ("  refused", f"{account.refused:,}", "not readable, not decodable or not Python"),
        ("  dead letters", f"{account.dead:,}", "failed for good, every attempt used up"),
    ]
    if not account.complete or run.interruption:
        rows += [
            ("  undelivered", f"{account.stranded:,}", "on the way when the chain was stopped"),
            ("  not offered", f"{account.not_offered:,}", "the run ended before their turn"),
        ]
    most = ", ".join(f"{stage} {count}" for stage, count in run.workers.items())
    rows += [
        ("  lost", f"{len(account.lost):,}", "must be 0"),
        ("seconds", f"{run.seconds:.1f}", ""),
        ("items/s", f"{run.rate:,.0f}", f"workers at most: {most}"),
    ]
    if narrow is not None and narrow.rate:
        than = f"than one worker per stage: {narrow.rate:,.0f} items/s"
        rows.append(("faster", f"{run.rate / narrow.rate:.2f}x", than))
    return [
        *rows,
        ("crashes", f"{run.crashes:,}", f"{run.injected:,} by chaos" if run.injected else ""),
        ("restarts", f"{run.restarts:,}", ""),
    ]


def _totals(records: Iterable[Record]) -> str:
    sums: Counter[str] = Counter()
    fields = ["size", "lines", "blank", "comments", "tokens", "identifiers", "repeated"]
    fields += ["copied", "functions", "classes"]
    for record in records:
        sums.update({field: getattr(record, field) for field in fields})
    names = {
        "size": "bytes",
        "blank": "blank lines",
        "repeated": "repetitions",
        "copied": "copied blocks",
    }
    rows = [(names.get(field, field), f"{sums[field]:,}") for field in fields]
    return "in all\n" + aligned(rows, "<>")


def _longest(records: Iterable[Record]) -> str:
    best = sorted((r for r in records if r.longest), key=lambda r: (-r.longest, r.name))[:_TOP]
    if not best:
        return "no functions"
    rows = [("lines", "function", "where")]
    rows += [(f"{r.longest:,}", r.longest_name, f"{r.name}:{r.longest_line}") for r in best]
    return "the longest function of a file: the top ten\n" + aligned(rows, "><<")


def _biggest(records: Iterable[Record]) -> str:
    best = sorted(records, key=lambda r: (-r.lines, r.name))[:_TOP]
    if not best:
        return "no files"
    rows = [("lines", "bytes", "functions", "distinct names", "file")]
    rows += [
        (f"{r.lines:,}", f"{r.size:,}", f"{r.functions:,}", f"{r.distinct:,}", r.name) for r in best
    ]
    return "the biggest files: the top ten\n" + aligned(rows, ">>>><")


def _trouble(run: Run) -> list[str]:
    account, ledger = run.account, run.ledger
    parts = []
    if run.interruption or run.report.abandoned:
        parts.append(_stop(run))
    if run.contradictions:
        parts.append(_some("CONTRADICTIONS", run.contradictions))
    if run.failed:
        parts.append("gave up: " + ", ".join(map(str, run.failed)))
    if account.dead:
        lines = [f"{n}: {why}" for n, why in ledger.dead.items() if n not in run.rows.records]
        parts.append(_some("dead letters", lines))
    if account.lost:
        parts.append(_some("LOST", account.lost))
    if account.strangers:
        parts.append(_some("rows of files nobody offered", account.strangers))
    return parts


def _stop(run: Run) -> str:
    where = [f"{count:,} {place}" for place, count in run.whereabouts.items()]
    return "\n".join(
        [str(run.report), *([f"files on the way: {', '.join(where)}"] if where else [])]
    )


def interruption(note: Interruption) -> str:
    """Return what was in flight when a signal came."""
    in_flight = f"{len(note.in_flight):,} files in flight"
    lines = [f"{note.signal} after {note.after:.1f} s: stopping in order, {in_flight}"]
    if note.in_hand:
        lines.append("in hand")
        rows = [(place, _first(names)) for place, names in sorted(note.in_hand.items())]
        lines.append(aligned(rows, "<<"))
    held = {name for names in note.in_hand.values() for name in names}
    if queued := [name for name in note.in_flight if name not in held]:
        lines.append(_some("waiting", queued))
    return "\n".join(lines)


def _first(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more"


def verdict(found: Recount, differences: Sequence[str], account: Account) -> str:
    """Return what the recount says."""
    first = (
        f"verify: {len(found.records) + len(found.refused):,} files recounted without threads "
        f"in {found.seconds:.1f} s: "
    )
    if not differences:
        left_out = f", the {account.dead:,} dead letters left out" if account.dead else ""
        return f"{first}no difference{left_out}"
    return f"{first}{len(differences):,} differences\n" + _some("differences", differences)


def _some(what: str, lines: Sequence[str]) -> str:
    shown = [f"  {line}" for line in lines[:_LISTED]]
    if len(lines) > _LISTED:
        shown.append(f"  ... and {len(lines) - _LISTED:,} more")
    return "\n".join([what, *shown])
