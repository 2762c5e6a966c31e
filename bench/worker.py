"""A contestant's own process: does a work as often as it is told.

Owns the child's side of the talk: `python -m bench.worker SUITE PLACE WHO` does the work
at that place of that suite in the contestant's way. It says hello with a line of JSON,
then reads lines `{"count": N}` and answers each with `{"figures": [...], "gil": BOOL}` or
`{"error": TEXT}`, until its input ends. It must not know about rounds or rows.

What a work, or a library it uses, prints goes to the error stream: the answers are alone
on theirs.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from bench.suites import SUITES
from bench.work import free_threaded

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from bench.work import Way

__all__ = ["main", "serve"]


def serve(way: Way, requests: Iterable[str], answers: TextIO) -> None:
    """Answer each request with what the way returns. Blocks until there are no more."""

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    say({"hello": True, "gil": not free_threaded()})
    for line in requests:
        gc.collect()
        try:
            figures = way(json.loads(line)["count"])
            say({"figures": [float(each) for each in figures], "gil": not free_threaded()})
        except NotImplementedError as error:  # a fault of nobody: the text says what is lacking
            say({"error": str(error)})
        except Exception as error:  # noqa: BLE001 - it is the other side's to judge
            say({"error": f"{type(error).__name__}: {error}".strip(": ")})


def main(suite: str, place: str, who: str) -> None:
    """Run the command. Ends the process: what a work left behind does not hold it up."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(SUITES[suite][int(place)].ways[who], sys.stdin, answers)
    answers.close()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
