"""The end of the process, and its forks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import PATIENCE
from threadsup import Pool

ROOT = Path(__file__).parent.parent.parent


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=ROOT,
    )


def test_what_was_submitted_is_finished_as_the_process_ends() -> None:
    """Also what a task is in the middle of, and what waits behind it."""
    done = run(
        "import threading, threadsup\n"
        "pool, ending = threadsup.Pool(1), threading.Event()\n"
        "pool.submit(ending.wait)\n"
        "for n in range(3): pool.submit(print, n)\n"
        "threading._register_atexit(ending.set)\n"  # the last one is called first
    )
    assert done.stdout.split() == ["0", "1", "2"], done.stderr
    assert done.returncode == 0


def test_nothing_is_accepted_any_more_as_the_process_ends() -> None:
    """A task that submits then is told, and the process ends."""
    done = run(
        "import threadsup\n"
        "pool = threadsup.Pool(2)\n"
        "def go_on():\n"
        "    try:\n"
        "        while True: pool.submit(int).result()\n"
        "    except RuntimeError: print('refused')\n"
        "pool.submit(go_on)\n"
    )
    assert done.stdout.split() == ["refused"], done.stderr


def test_a_task_that_hangs_does_not_keep_the_process() -> None:
    """It is waited for as long as tasks end, and then no longer."""
    done = run(
        "import threading, threadsup\n"
        "pool = threadsup.Pool(2, exit_timeout=0.2, shutdown=0.1)\n"
        "pool.submit(threading.Event().wait)\n"
        "pool.submit(print, 'done')\n"
    )
    assert done.stdout.split() == ["done"]
    assert "did not finish as the process ended" in done.stderr
    assert done.returncode == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_pool_is_dead_in_the_child_of_a_fork() -> None:
    """It refuses, it can be shut down, and the child may make a new one."""
    with Pool(2) as made:
        assert made.submit(pow, 2, 3).result(PATIENCE) == 8
        child = os.fork()
        if not child:
            code = 1
            try:
                try:
                    made.submit(pow, 1, 1)
                except RuntimeError as error:
                    code = 2 * ("fork" not in str(error))
                made.shutdown()
                with Pool(1) as fresh:
                    code += fresh.submit(pow, 2, 3).result(PATIENCE) != 8
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert made.submit(pow, 2, 3).result(PATIENCE) == 8
