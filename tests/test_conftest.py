"""The checks around every test can fail: a leak, an unseen failure, a GIL that is back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")

BAD_TESTS = """
import threading

def test_leaves_a_thread():
    threading.Thread(target=threading.Event().wait, name="left", daemon=True).start()

def test_fails_unseen():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

def test_fails_on_purpose(thread_failures):
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    assert "ZeroDivisionError" in thread_failures.pop()

def test_ends_a_little_later():
    go = threading.Event()
    threading.Thread(target=go.wait).start()
    go.set()
"""


def run_pytest(folder: Path, tests: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `tests` under this conftest in an interpreter of its own."""
    impatient = CONFTEST.replace("STRAGGLERS = 5.0", "STRAGGLERS = 0.5")
    (folder / "conftest.py").write_text(impatient, encoding="utf-8")
    (folder / "test_it.py").write_text(tests, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
        text=True,
        timeout=40,
    )


def test_a_leaked_thread_and_an_unseen_failure_are_told(tmp_path: Path) -> None:
    """A thread left behind and an exception nobody caught fail their test, no other."""
    done = run_pytest(tmp_path, BAD_TESTS)
    assert "threads left behind\nleft:\n" in done.stdout
    assert "threads failed unseen" in done.stdout
    assert "4 passed, 2 errors" in done.stdout


@pytest.mark.parametrize("mistaken", [True, False])
def test_a_gil_that_is_not_as_expected_ends_the_run(tmp_path: Path, *, mistaken: bool) -> None:
    """`THREADSUP_EXPECT_GIL` fails a session on the wrong build, and only there."""
    enabled = bool(getattr(sys, "_is_gil_enabled", lambda: True)())
    expected = str(int(enabled != mistaken))
    done = run_pytest(tmp_path, "def test(): pass", THREADSUP_EXPECT_GIL=expected)
    assert (done.returncode != 0) == mistaken, done.stdout
    assert ("the GIL is" in done.stdout + done.stderr) == mistaken


def test_a_gil_that_comes_back_in_the_middle_ends_the_run(tmp_path: Path) -> None:
    """The check is made again at the end of the session."""
    enabled = bool(getattr(sys, "_is_gil_enabled", lambda: True)())
    switch = f"def test():\n    import sys\n    sys._is_gil_enabled = lambda: {not enabled}"
    done = run_pytest(tmp_path, switch, THREADSUP_EXPECT_GIL=str(int(enabled)))
    assert done.returncode != 0, done.stdout
    assert "the GIL is" in done.stdout + done.stderr
