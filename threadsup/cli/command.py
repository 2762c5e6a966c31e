"""The command's verbs: what each of them does.

Owns the exit codes for a bad file, and the way from a path to a tree. It must not know
which arguments there are (`arguments`), how a tree is run (`running`) or drawn
(`drawing`), nor what a machine is like (`doctor`).
"""

from __future__ import annotations

import difflib
import io
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from threadsup._config import load
from threadsup._errors import SpecError
from threadsup._specs.chain import ChainSpec
from threadsup._supervisor.api import Supervisor
from threadsup.cli import doctor
from threadsup.cli.arguments import BAD_FILE, Arguments, read
from threadsup.cli.completion import script
from threadsup.cli.drawing import declared, summary
from threadsup.cli.files import beside, importable
from threadsup.cli.interpreter import EXTRAS, NEEDED, Watch
from threadsup.cli.machine import Machine
from threadsup.cli.progress import Progress, complain
from threadsup.cli.running import DONE, GAVE_UP, SIGNALLED, run_tree
from threadsup.cli.trying import start_threads

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from threadsup._specs.supervisor import SupervisorSpec

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Blocks for as long as the tree runs with `run`. Code of the file's targets is
    imported with every verb that has a file, and run with `run` only.

    Args:
        argv: The arguments without the program's name, by default the process's.

    Raises:
        SystemExit: The arguments are wrong (2), or were `--help` or `--version` (0).
    """
    parsed = read(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a character gets an escape, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    try:
        return _VERBS[parsed.verb](parsed)
    except KeyboardInterrupt:  # nothing runs, or not any more: nothing to stop, nothing to say
        return SIGNALLED


def _run(parsed: Arguments) -> int:
    given = parsed.given
    with importable(given.file.parent.resolve()):
        spec = _spec(given)
        if spec is None:
            return BAD_FILE
        # A command is a program, so it may decide where the log goes.
        logging.basicConfig(
            level=logging.WARNING,
            format="%(asctime)s %(levelname)s %(message)s",
            handlers=[_ToErrors()],
        )
        chains = [child.id for child in spec.children if isinstance(child, ChainSpec)]
        progress, every = _progress(given, chains)
        progress.say(summary(spec))
        if spec.auto_shutdown == "never":
            progress.say("it runs until SIGINT (Ctrl-C) or SIGTERM")
        return run_tree(Supervisor.from_spec(spec), progress, every)


def _check(parsed: Arguments) -> int:
    with importable(parsed.given.file.parent.resolve()):
        spec = _spec(parsed.given)
        if spec is None:
            return BAD_FILE
        print(f"ok: {summary(spec)}")
        return DONE


def _tree(parsed: Arguments) -> int:
    with importable(parsed.given.file.parent.resolve()):
        spec = _spec(parsed.given)
        if spec is None:
            return BAD_FILE
        if parsed.given.mermaid:
            print(declared(spec, replicas=True).to_mermaid())
        else:
            print(declared(spec))
        return DONE


def _doctor(parsed: Arguments) -> int:
    given, watch = parsed.given, Watch()
    for name in (*NEEDED, *(name for names in EXTRAS.values() for name in names)):
        watch.try_import(name.replace("-", "_"))
    if given.file is not None:
        with importable(given.file.parent.resolve()), watch.looking():
            if _spec(given) is None:
                return BAD_FILE
    gil = watch.gil()
    machine = Machine(gil=gil.on)
    wanted = given.threads if given.trial is None else given.trial
    findings = [
        *doctor.of_gil(gil),
        *doctor.of_packages(),
        *doctor.of_cores(machine.cores()),
        *doctor.of_rooms(machine.rooms(), wanted, machine.stack()),
    ]
    if given.trial is not None:
        findings += doctor.of_trial(start_threads(wanted), wanted)
    print((doctor.as_json if given.json else doctor.as_text)(findings, wanted))
    return GAVE_UP if doctor.stops(findings) else DONE


def _completion(parsed: Arguments) -> int:
    try:
        print(script(parsed.parser, parsed.files, parsed.given.shell))
    except ImportError:
        complain("completion needs shtab: pip install 'threadsup[cli]'")
        return GAVE_UP
    return DONE


_VERBS = {
    "run": _run,
    "check": _check,
    "tree": _tree,
    "doctor": _doctor,
    "completion": _completion,
}


def _spec(given: argparse.Namespace) -> SupervisorSpec | None:
    """Return what a file declares; say what is wrong with it, and return `None`."""
    file: Path = given.file
    try:
        return load(file, allow=(*beside(file), *given.allow))
    except SpecError as error:
        for line in error.problems:
            print(" ".join(line.split()), file=sys.stderr)
    if not file.exists():
        _suggest(file)
    return None


def _suggest(file: Path) -> None:
    """Name the files beside one that is not there which have a name like it."""
    try:
        names = [entry.name for entry in file.parent.iterdir() if entry.is_file()]
    except OSError:
        return
    if near := difflib.get_close_matches(file.name, names, n=3, cutoff=0.7):
        complain(f"did you mean {' or '.join(str(file.with_name(name)) for name in near)}?")


def _progress(given: argparse.Namespace, chains: Sequence[Any]) -> tuple[Progress, float]:
    """Return where the lines of a run go, and how often the numbers are looked at."""
    if not given.plain and _is_terminal():
        try:
            from threadsup.cli.live import FRAME, LiveProgress  # noqa: PLC0415 - needs an extra
        except ImportError:
            pass
        else:
            return LiveProgress(chains), FRAME
    return Progress(chains), given.every


def _is_terminal() -> bool:
    """Tell whether what is printed goes to a terminal that can be painted on."""
    if sys.stdout is None or not sys.stdout.isatty():
        return False
    return os.environ.get("TERM", "dumb").lower() not in {"", "dumb", "unknown"} or os.name == "nt"


class _ToErrors(logging.Handler):
    """Writes to what `sys.stderr` is at that moment: a display may stand in for it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001 - as every handler does: the log is not the work
            self.handleError(record)
