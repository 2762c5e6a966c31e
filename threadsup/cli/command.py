"""The command's arguments, and what each of its verbs does.

Owns the parser, the exit codes for a bad file, and the way from a path to a tree. It
must not know how a tree is run (`running`) or drawn (`drawing`).
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from threadsup._config import load
from threadsup._errors import SpecError
from threadsup._specs.chain import ChainSpec
from threadsup._supervisor.api import Supervisor
from threadsup.cli.drawing import declared, summary
from threadsup.cli.files import beside, importable
from threadsup.cli.progress import Progress
from threadsup.cli.running import DONE, SIGNALLED, run_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from threadsup._specs.supervisor import SupervisorSpec

__all__ = ["BAD_FILE", "main"]

BAD_FILE = 2
"""Exit code for a file, or arguments, that cannot be used; argparse's own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Blocks for as long as the tree runs with `run`. Code of the file's targets is
    imported with every verb, and run with `run` only.

    Args:
        argv: The arguments without the program's name, by default the process's.

    Raises:
        SystemExit: The arguments are wrong (2), or were `--help` or `--version` (0).
    """
    arguments = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a character gets an escape, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    file: Path = arguments.file
    with importable(file.parent.resolve()):
        try:
            spec = load(file, allow=(*beside(file), *arguments.allow))
        except SpecError as error:
            for line in error.problems:
                print(" ".join(line.split()), file=sys.stderr)
            return BAD_FILE
        except KeyboardInterrupt:  # before anything runs: nothing to stop, nothing to say
            return SIGNALLED
        code: int = arguments.verb(spec, arguments)
        return code


def _run(spec: SupervisorSpec, arguments: argparse.Namespace) -> int:
    # A command is a program, so it may decide where the log goes.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    chains = [child.id for child in spec.children if isinstance(child, ChainSpec)]
    progress = Progress(chains)
    progress.say(summary(spec))
    if spec.auto_shutdown == "never":
        progress.say("it runs until SIGINT (Ctrl-C) or SIGTERM")
    return run_tree(Supervisor.from_spec(spec), progress, arguments.every)


def _check(spec: SupervisorSpec, _: argparse.Namespace) -> int:
    print(f"ok: {summary(spec)}")
    return DONE


def _tree(spec: SupervisorSpec, _: argparse.Namespace) -> int:
    print(declared(spec))
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="threadsup",
        description="Supervised threads, declared in a TOML file.",
        epilog="Exit codes: 0 ended, 1 something gave up, 2 bad file or arguments, 130 signalled.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"threadsup {_version()}")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    for word, verb, text in (
        ("run", _run, "start the tree and stay until its significant children have ended"),
        ("check", _check, "say whether the file is right; start nothing"),
        ("tree", _tree, "draw the declared tree; start nothing"),
    ):
        sub = verbs.add_parser(word, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(verb=verb)
        sub.add_argument("file", type=Path, metavar="FILE", help="the TOML file")
        sub.add_argument(
            "--allow",
            action="append",
            default=[],
            metavar="PKG",
            help="let targets come from this package too, besides the modules beside the file",
        )
        if verb is _run:
            sub.add_argument(
                "--every",
                type=_seconds,
                default=5.0,
                metavar="SECONDS",
                help="seconds between lines of statistics, 0 for none (default: %(default)g)",
            )
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        msg = "not a number of seconds"
        raise ValueError(msg)
    return value


def _version() -> str:
    try:
        return metadata.version("threadsup")
    except metadata.PackageNotFoundError:
        return "(run from a checkout, not installed)"
