"""The command `python -m examples.corpus`: arguments in, tables out, an exit code.

Owns the order of a whole run and its exit code: 0 when every file is accounted for,
1 when one is lost, differs or something gave up, 2 for wrong arguments, 130 after
SIGINT or SIGTERM. It must not know how anything is done.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from examples.corpus import interrupts, report
from examples.corpus.chaos import Chaos
from examples.corpus.files import list_files
from examples.corpus.job import Interruption, run
from examples.corpus.options import Options, parse
from examples.corpus.store import clear
from examples.corpus.verify import compare, recount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from examples.corpus.files import File
    from examples.corpus.job import Run

__all__ = ["main"]

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. Blocks until all is done; main thread only."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    # Old sources make the parser warn; that is not what they are read for.
    warnings.filterwarnings("ignore", category=SyntaxWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning, message="invalid")
    with interrupts.raising():
        try:
            files = list_files(options.folder, _skipped)[: options.limit]
            if not files:
                return _refuse(f"there is no .py file below {options.folder}")
            print(report.heading(options, len(files)), flush=True)
            with ExitStack() as stack:
                try:
                    directory = stack.enter_context(_database(options))
                except OSError as error:
                    return _refuse(f"argument --database: {error}")
                return _measure_all(options, files, directory)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED


def _measure_all(options: Options, files: Sequence[File], directory: Path) -> int:
    narrow = _run_narrow(options, files) if options.compare else None
    if narrow is not None and narrow.interruption:
        return INTERRUPTED
    chaos = Chaos(options.chaos, options.seed)
    done = run(files, directory, options.shards, chaos, _interrupted)
    print(f"\n{report.summary(done, narrow)}", flush=True)
    if options.database:
        print(f"\nthe databases are in {directory}")
    if done.interruption:
        return INTERRUPTED
    good = done.account.complete and not (done.failed or done.contradictions)
    if options.verify:
        good = _verify(files, done) and good
    return 0 if good else 1


def _run_narrow(options: Options, files: Sequence[File]) -> Run:
    """Do the same work with one worker per stage, into databases that are gone afterwards."""
    print("one worker per stage, to compare with", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="corpus-", ignore_cleanup_errors=True) as directory:
        chaos = Chaos(options.chaos, options.seed)
        done = run(files, Path(directory), options.shards, chaos, _interrupted, "narrow")
    if not done.interruption:
        print("and now with replicas and batches", file=sys.stderr, flush=True)
    return done


def _verify(files: Sequence[File], done: Run) -> bool:
    print(f"\nrecounting {len(files):,} files in a plain loop", file=sys.stderr, flush=True)
    found = recount(files)
    differences = compare(found, done.rows, done.ledger.refused, done.ledger.dead)
    print(f"\n{report.verdict(found, differences, done.account)}", flush=True)
    return not differences


def _interrupted(note: Interruption) -> None:
    print(f"\n{report.interruption(note)}", flush=True)


def _skipped(error: OSError) -> None:
    print(f"skipped: {error}", file=sys.stderr)


def _refuse(why: str) -> int:
    print(f"python -m examples.corpus: error: {why}", file=sys.stderr)
    return 2


@contextmanager
def _database(options: Options) -> Iterator[Path]:
    """Give the folder for the databases, empty of earlier ones."""
    if options.database is None:
        with tempfile.TemporaryDirectory(prefix="corpus-", ignore_cleanup_errors=True) as directory:
            yield Path(directory)
    else:
        options.database.mkdir(parents=True, exist_ok=True)
        clear(options.database)
        yield options.database


if __name__ == "__main__":
    sys.exit(main())
