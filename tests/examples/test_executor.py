"""A program for a `ThreadPoolExecutor` runs on a pool with only the import changed."""

from __future__ import annotations

import difflib
import subprocess
import sys
from pathlib import Path

from examples.executor import hardened, stock, supervised

FOLDER = Path(stock.__file__).parent
ROOT = FOLDER.parent.parent


def test_only_the_import_is_another() -> None:
    """Line by line, but for what the program says of itself."""
    before = (FOLDER / "stock.py").read_text().splitlines()[1:]
    after = (FOLDER / "supervised.py").read_text().splitlines()[1:]
    changed = [
        line[2:] for line in difflib.ndiff(before, after) if line[:2] in ("+ ", "- ") and line[2:]
    ]
    assert changed == [
        "from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait",
        "from concurrent.futures import Future, as_completed, wait",
        "from threadsup import Pool as ThreadPoolExecutor",
    ]


def test_it_says_the_same(tmp_path: Path) -> None:
    """On the same files, one of which is not there."""
    paths = [tmp_path / f"{n}.txt" for n in range(4)]
    for n, path in enumerate(paths[:3]):
        path.write_text("a b\n" * (n + 1) + "c d e\n")
    expected = stock.main(paths)
    assert "3.txt: FileNotFoundError" in expected
    assert "longest of all 5" in expected
    assert supervised.main(paths) == expected


def test_it_runs_as_a_program(tmp_path: Path) -> None:
    """From the command line, and ends."""
    path = tmp_path / "one.txt"
    path.write_text("one two\n")
    done = subprocess.run(
        [sys.executable, "-m", "examples.executor.supervised", str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        cwd=ROOT,
    )
    assert "one.txt: 2 words" in done.stdout.splitlines()


def test_the_hardened_one_loses_what_it_must_and_nothing_else() -> None:
    """What is flaky is tried again, what hangs or crashes fails alone."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.executor.hardened"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.splitlines() == [
        "plain: PLAIN",
        "flaky: FLAKY",
        "hang: Abandoned",
        "crash: Crashed",
        "after: AFTER",
        "3 handled, 2 failed, 1 retried",
        "lost: crash, hang",
    ]
    assert callable(hardened.main)
