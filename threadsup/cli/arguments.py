"""The command's arguments.

Owns the parser, and what is said of arguments that it does not know. It must not know
what is done with them.
"""

from __future__ import annotations

import argparse
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from threadsup._checks import suggestion
from threadsup.cli.completion import SHELLS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BAD_FILE", "Arguments", "read"]

BAD_FILE = 2
"""Exit code for a file, or arguments, that cannot be used; argparse's own."""

THREADS = 10_000
"""How many threads the doctor looks for room for, unless told otherwise."""

_DESCRIPTION = "Supervised threads, declared in a TOML file."
_EPILOG = "Exit codes: 0 ended, 1 something gave up, 2 bad file or arguments, 130 signalled."


class Arguments(NamedTuple):
    """What was given, and what could have been."""

    verb: str
    given: argparse.Namespace
    parser: argparse.ArgumentParser
    files: tuple[argparse.Action, ...]
    """The arguments that name a file."""


def read(argv: Sequence[str]) -> Arguments:
    """Return what the arguments say.

    Raises:
        SystemExit: They are wrong (2), or were `--help` or `--version` (0).
    """
    parser = argparse.ArgumentParser(
        prog="threadsup", description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"threadsup {_version()}")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND", dest="verb")
    files = tuple(_verbs(verbs))
    first = next((word for word in argv if not word.startswith("-")), None)
    if first is not None and first not in verbs.choices:
        hint = suggestion(first, verbs.choices) or f"; there are {', '.join(verbs.choices)}"
        parser.error(f"no command {first!r}{hint}")
    given, rest = parser.parse_known_args(argv)
    if rest:
        verb = verbs.choices[given.verb]
        word = rest[0]
        if not word.startswith("-"):
            verb.error(f"one argument too many: {word!r}")
        words = verb.format_usage().replace("[", " ").replace("]", " ").split()
        hint = suggestion(word.partition("=")[0], [each for each in words if each[0] == "-"])
        verb.error(f"{given.verb} has no option {word!r}{hint}")
    return Arguments(given.verb, given, parser, files)


def _verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> list[argparse.Action]:
    """Add the verbs, and return their arguments that name a file."""
    text = "start the tree and stay until its significant children have ended"
    run = verbs.add_parser("run", help=text, description=text, allow_abbrev=False)
    text = "say whether the file is right; start nothing"
    check = verbs.add_parser("check", help=text, description=text, allow_abbrev=False)
    text = "draw the declared tree; start nothing"
    tree = verbs.add_parser("tree", help=text, description=text, allow_abbrev=False)
    text = "say what this interpreter and this machine are good for"
    doctor = verbs.add_parser(
        "doctor", help=text, description=text, allow_abbrev=False,
        epilog="Exit codes: 0 nothing would stop that many threads, 1 something would.",
    )  # fmt: skip
    text = "print what makes a shell complete this command"
    completion = verbs.add_parser("completion", help=text, description=text, allow_abbrev=False)

    files = [
        verb.add_argument("file", type=Path, metavar="FILE", help="the TOML file")
        for verb in (run, check, tree)
    ]
    text = "a TOML file: its modules are imported, to see whether they switch the GIL on"
    files.append(doctor.add_argument("file", type=Path, nargs="?", metavar="FILE", help=text))
    for verb in (run, check, tree, doctor):
        verb.add_argument(
            "--allow",
            action="append",
            default=[],
            metavar="PKG",
            help="let targets come from this package too, besides the modules beside the file",
        )
    run.add_argument(
        "--every",
        type=_seconds,
        default=5.0,
        metavar="SECONDS",
        help="seconds between plain lines of statistics, 0 for none (default: %(default)g)",
    )
    text = "plain lines, on a terminal too"
    run.add_argument("--plain", action="store_true", help=text)
    text = "as the text of a Mermaid flowchart"
    tree.add_argument("--mermaid", action="store_true", help=text)
    doctor.add_argument(
        "--threads", type=_number, default=THREADS, metavar="N",
        help="look for room for that many threads (default: %(default)s)",
    )  # fmt: skip
    text = "also start that many threads, which do nothing, and end them"
    doctor.add_argument("--try", type=_number, dest="trial", metavar="N", help=text)
    doctor.add_argument("--json", action="store_true", help="for programs")
    completion.add_argument("shell", choices=SHELLS, help="which shell")
    return files


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        msg = f"{text!r} is no number of seconds, 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return value


def _number(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        msg = f"{text!r} is no number of threads, 1 or more"
        raise argparse.ArgumentTypeError(msg)
    return value


def _version() -> str:
    try:
        return metadata.version("threadsup")
    except metadata.PackageNotFoundError:
        return "(run from a checkout, not installed)"
