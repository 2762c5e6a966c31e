"""The command `python -m bench`: names of suites in, a table out.

Owns the arguments and the list of suites; a suite is a name and its works. It must not
know what they measure. The exit code is 0 when all works came to their end: a table
judges, a slow machine is no error.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from bench import chain, show, time_tell
from bench.work import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.work import Result, Work

__all__ = ["SUITES", "main"]

SUITES: dict[str, tuple[Work, ...]] = {"tell": time_tell.WORKS, "chain": chain.WORKS}
"""What can be asked for by name. The works of a suite are done in this order."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. Blocks until all is done."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure threadsup beside bare threads and plain Pykka, in turn, in one run.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"what to run: {', '.join(SUITES)}; all without one",
    )
    parser.add_argument("--quick", action="store_true", help="see that all works; judge nothing")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument(
        "--items", type=int, metavar="N", help="length of the stream whose memory is watched"
    )
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in SUITES]:
        parser.error(f"no such work: {', '.join(unknown)} (there is {', '.join(SUITES)})")
    if given.items is not None and given.items < 1:
        parser.error("--items must be 1 or more")
    works = [work for name in given.names or SUITES for work in SUITES[name]]
    results = _run_all(works, quick=given.quick, items=given.items, quiet=given.json)
    if given.json:
        print(json.dumps(show.document(results, quick=given.quick), indent=2))
    return 0


def _run_all(works: Sequence[Work], *, quick: bool, items: int | None, quiet: bool) -> list[Result]:
    if not quiet:
        print(show.heading())
        print(show.titles(), flush=True)
    results: list[Result] = []
    for work in works:
        count = items if work in chain.STREAMS else None
        for result in run(work, quick=quick, count=count):
            results.append(result)
            if not quiet:
                print(show.line(result, quick=quick), flush=True)
    return results


if __name__ == "__main__":
    sys.exit(main())
