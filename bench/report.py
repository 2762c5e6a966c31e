"""The report: both builds measured, a page written, pictures drawn, with one command.

Owns the order of the runs and what is kept of them. It must not know what is measured,
nor how the page or a picture looks.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import page
from bench.suites import SUITES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["KINDS", "main"]

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("gil", "free")
ITEMS = 2_000_000
"""The length of the stream whose memory is watched: ten million take minutes."""
LIMIT = 900.0
"""Seconds that one suite may take on one build."""

_EPILOG = f"""\
A full run takes some 15 minutes per build on two cores, --quick one or two; a suite may
take {LIMIT / 60:.0f} minutes at most. What fails is told on the page. The machine should be quiet.
The builds take turns, suite by suite.
"""
_ASK = "import json; from bench.machine import machine; print(json.dumps(machine()))"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 1 where a suite did not run. Blocks."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in SUITES]:
        parser.error(f"no such suite: {', '.join(unknown)} (there is {', '.join(SUITES)})")
    if given.rounds is not None and given.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if importlib.util.find_spec("matplotlib") is None:
        parser.error("the pictures need matplotlib: python -m pip install --group bench")
    try:
        (given.out / "plots").mkdir(parents=True, exist_ok=True)
        for file in _files(given.out).values():
            file.open("a", encoding="utf-8").close()
    except OSError as error:
        parser.error(f"--out {given.out} cannot be written: {error.strerror}")
    documents = _kept(parser, given.out) if given.redraw else _measured(parser, given)
    from bench import plots  # noqa: PLC0415 - it imports matplotlib, which few have

    pictures = plots.draw(documents, given.out / "plots")
    text = page.write(documents, pictures)
    (given.out / "benchmarks.md").write_text(text, encoding="utf-8")
    print(f"wrote {given.out / 'benchmarks.md'} and {len(pictures)} pictures")
    return 1 if any(document["failures"] for document in documents.values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.report",
        description="Measure on a build with the GIL and on one without, of the same minor "
        "version, and write docs/benchmarks.md, docs/plots/bench-*.svg and the raw figures.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="suites; all without one")
    parser.add_argument("--gil", metavar="PYTHON", help="interpreter with the GIL")
    parser.add_argument("--free", metavar="PYTHON", help="interpreter without the GIL")
    parser.add_argument("--quick", action="store_true", help="see that it works; judge nothing")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns that each contestant has")
    parser.add_argument(
        "--redraw", action="store_true", help="measure nothing: page and pictures of what is kept"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "docs", metavar="FOLDER", help="in place of docs/"
    )
    return parser


def _files(out: Path) -> dict[str, Path]:
    return {kind: out / "plots" / f"bench-{kind}.json" for kind in KINDS}


def _kept(parser: argparse.ArgumentParser, out: Path) -> dict[str, dict[str, Any]]:
    documents = {}
    for kind, file in _files(out).items():
        try:
            documents[kind] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            parser.error(f"{file} holds no figures: measure first, without --redraw")
    return documents


def _measured(
    parser: argparse.ArgumentParser, given: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    pythons = {kind: getattr(given, kind) for kind in KINDS}
    if missing := [f"--{kind}" for kind, python in pythons.items() if python is None]:
        parser.error(f"name an interpreter with {' and '.join(missing)} (or --redraw)")
    documents = {}
    for kind, python in pythons.items():
        try:
            about = _asked(python)
        except (OSError, ValueError) as error:
            parser.error(f"--{kind} {python}: {error}")
        if about["gil"] != (kind == "gil"):
            parser.error(f"--{kind} {python}: runs {'with' if about['gil'] else 'without'} the GIL")
        documents[kind] = {"machine": about, "quick": given.quick, "rows": [], "failures": {}}
        documents[kind]["seconds"] = {}
    minors = {".".join(each["machine"]["python"].split(".")[:2]) for each in documents.values()}
    if len(minors) > 1:
        parser.error(f"not of the same minor version: {' and '.join(sorted(minors))}")
    names = list(dict.fromkeys(given.names or SUITES))
    for place, name in enumerate(names, 1):
        for kind, document in documents.items():
            print(f"{place}/{len(names)} {name}, {kind}", file=sys.stderr, flush=True)
            began = time.monotonic()
            _run(document, pythons[kind], name, _options(given))
            document["seconds"][name] = round(time.monotonic() - began)
            _files(given.out)[kind].write_text(_text(document), encoding="utf-8")
    return documents


def _asked(python: str) -> dict[str, Any]:
    found = subprocess.run(  # noqa: S603 - the interpreter that was named
        [python, "-c", _ASK], capture_output=True, text=True, cwd=ROOT, check=False
    )
    if found.returncode:
        raise ValueError((found.stderr.strip().splitlines() or ["it does not run"])[-1])
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def _options(given: argparse.Namespace) -> list[str]:
    if given.quick:
        return ["--quick"]
    rounds = [] if given.rounds is None else ["--rounds", str(given.rounds)]
    return ["--items", str(ITEMS), *rounds]


def _run(document: dict[str, Any], python: str, name: str, options: Iterable[str]) -> None:
    """Add what a suite gives; where it gives nothing, why."""
    process = subprocess.Popen(  # noqa: S603 - as above
        [python, "-m", "bench", name, "--json", *options],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        out, _ = process.communicate(timeout=LIMIT)
        document["rows"] += json.loads(out)["rows"]
    except subprocess.TimeoutExpired:
        document["failures"][name] = f"not done after {LIMIT / 60:.0f} minutes"
    except ValueError:
        document["failures"][name] = f"ended with code {process.returncode} and gave no figures"
    finally:
        # Not killed: told to end, it ends its contestants' processes, which are in groups
        # of their own.
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _text(document: dict[str, Any]) -> str:
    """Return it as JSON, a row per line: short, and what changed is seen."""
    rows = ",\n".join(f"  {json.dumps(row)}" for row in document["rows"])
    rest = {key: value for key, value in document.items() if key != "rows"}
    return f'{json.dumps(rest)[:-1]}, "rows": [\n{rows}\n]}}\n'


if __name__ == "__main__":
    sys.exit(main())
