"""What the tests of the supervisor share: calls from many threads, and whole programs.

Owns `together`, which makes calls overlap, and `run_program`, which runs one in a
process of its own. It must not know any single behaviour.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.helpers import PATIENCE
from threadsup import NotRunningError, UnknownChildError

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup import Supervisor

__all__ = ["ROOT", "child_environment", "outcome", "run_program", "taken", "together"]

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]


def outcome(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a call returns, or the exception it raises."""
    try:
        return call(*args, **kwargs)
    except BaseException as error:
        return error


def taken(tree: Supervisor) -> None:
    """Return when the supervisor has taken all that was requested of it before."""
    with suppress(NotRunningError, UnknownChildError):
        tree._root.errand("stop_child", "nobody").result(PATIENCE)


def together(threads: int, call: Callable[[int], T]) -> list[T]:
    """Call `call(0)` to `call(threads - 1)` at once, each in a thread of its own."""
    barrier = threading.Barrier(threads, timeout=PATIENCE)

    def run(number: int) -> T:
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(threads) as pool:
        return [made.result(PATIENCE * 2) for made in [pool.submit(run, n) for n in range(threads)]]


def child_environment() -> dict[str, str]:
    """Return the environment in which a program finds the package of this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def run_program(text: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own, to its end."""
    return subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=child_environment(),
        text=True,
        timeout=PATIENCE * 3,
    )
