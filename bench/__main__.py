"""The command `python -m bench`: names of suites in, a table out.

Owns the arguments, the progress line and the exit code: 0, or 1 where a bar is missed or
threadsup could not do a work. It must not know what the works measure.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import chain, process, rounds, show, table
from bench.entrants import ENTRANTS, lacking
from bench.machine import machine
from bench.suites import SUITES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.work import Result

__all__ = ["main"]

_WIDTH = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. Blocks until all is done."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.list:
        _list()
        return 0
    _check(parser, given)
    about = machine()
    if not given.json:
        print(show.heading(about))
        print(show.titles(), flush=True)
    results = _measure(given)
    document = show.document(about, results, quick=given.quick)
    if given.json:
        print(json.dumps(document, indent=2))
    if given.html is not None:
        given.html.write_text(table.page(document), encoding="utf-8")
    if given.quick:
        return 1 if _failed(results) else 0
    return 1 if _failed(results) or _missed(results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure threadsup beside bare threads, plain Pykka and others, in turn, "
        "each in a process of its own. The exit code is 1 where a bar is missed.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"what to run: {', '.join(SUITES)}; all without one",
    )
    parser.add_argument("--list", action="store_true", help="list works and contestants")
    parser.add_argument("--quick", action="store_true", help="see that all works; judge nothing")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns that each contestant has")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page as well")
    parser.add_argument(
        "--items", type=int, metavar="N", help="length of the stream whose memory is watched"
    )
    return parser


def _check(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    if unknown := [name for name in given.names if name not in SUITES]:
        parser.error(f"no such suite: {', '.join(unknown)} (there is {', '.join(SUITES)})")
    for option in ("items", "rounds"):
        if (number := getattr(given, option)) is not None and number < 1:
            parser.error(f"--{option} must be 1 or more")
    if given.html is not None:
        try:  # before minutes are spent on what cannot be kept
            with given.html.open("a", encoding="utf-8"):
                pass
        except OSError as error:
            parser.error(f"--html {given.html} cannot be written: {error.strerror}")


def _list() -> None:
    for name, works in SUITES.items():
        print(f"{name}:")
        for row in (row for work in works for row in work.rows):
            bar = ""
            if row.bar is not None:
                texts = [row.bar.here(free=free).text for free in (False, True)]
                bar = texts[0] if texts[0] == texts[1] else " / without the GIL ".join(texts)
            print(f"    {row.name:<42} {row.unit:<6} {bar}".rstrip())
    print("contestants:")
    for entrant in ENTRANTS:
        why = lacking(entrant.name)
        print(f"    {entrant.name:<20} {entrant.about}{f' ({why})' if why else ''}")


def _measure(given: argparse.Namespace) -> dict[str, list[Result]]:
    names = list(dict.fromkeys(given.names or SUITES))
    planned = [(name, work) for name in names for work in SUITES[name]]
    results: dict[str, list[Result]] = {name: [] for name in names}
    sit = process.seats(SUITES, process.QUICK if given.quick else process.LIMIT)
    for place, (name, work) in enumerate(planned, 1):
        with _progress() as say:
            found = rounds.run(
                work,
                sit,
                quick=given.quick,
                count=given.items if work in chain.STREAMS else None,
                rounds=given.rounds,
                progress=lambda what, at=(place, name, work): say(  # type: ignore[misc]
                    f"[{at[0]}/{len(planned)}] {at[1]}: {at[2].rows[0].name}: {what}"
                ),
            )
        results[name] += found
        if not given.json:
            for result in found:
                print(show.lines(result, quick=given.quick), flush=True)
    return results


@contextmanager
def _progress() -> Iterator[Any]:
    """Give what shows one line on a terminal; it is gone after the block."""
    shown = sys.stderr.isatty()

    def say(line: str) -> None:
        if shown:
            print(f"\r{line[:_WIDTH]:<{_WIDTH}}", end="", file=sys.stderr, flush=True)

    try:
        yield say
    finally:
        if shown:
            print(f"\r{'':<{_WIDTH}}\r", end="", file=sys.stderr, flush=True)


def _failed(results: dict[str, list[Result]]) -> bool:
    """Return whether threadsup could not do a work: this is no matter of time."""
    return any(result.failed for each in results.values() for result in each)


def _missed(results: dict[str, list[Result]]) -> bool:
    return any(result.reached is False for each in results.values() for result in each)


if __name__ == "__main__":
    # Being told to end is an exit as any other: it ends the contestants' processes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
