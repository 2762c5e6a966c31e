"""What holds for every test: no thread outlives it, no thread fails unseen.

Owns the autouse checks, the `supervisor` factory, and for the whole session the check of
the GIL and the switch interval. It must not know any single test.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadsup import Supervisor

pytest_plugins = ["pytester"]  # for the tests of the plugin, which run tests of their own

STRAGGLERS = 5.0
"""Seconds all threads of a test together have to end after it."""

STOP_LIMIT = 5.0
"""Seconds a tree made by the `supervisor` fixture has to stop."""


def check_gil() -> None:
    """Fail where the GIL is not as `THREADSUP_EXPECT_GIL` ("0" or "1") says."""
    expected = os.environ.get("THREADSUP_EXPECT_GIL")
    if expected is None:
        return
    enabled = bool(getattr(sys, "_is_gil_enabled", lambda: True)())
    if enabled != (expected == "1"):
        pytest.exit(
            f"the GIL is {'on' if enabled else 'off'}, THREADSUP_EXPECT_GIL={expected}",
            returncode=pytest.ExitCode.TESTS_FAILED,
        )


def pytest_sessionstart() -> None:
    check_gil()
    if interval := os.environ.get("THREADSUP_SWITCH_INTERVAL"):
        sys.setswitchinterval(float(interval))  # seconds; of the build with the GIL


def pytest_sessionfinish() -> None:
    # Again at the end: an extension module that does not declare itself safe switches
    # the GIL on when it is imported, in the middle of the run.
    check_gil()


@pytest.fixture(autouse=True)
def thread_failures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fail a test in which a thread dies of an exception nobody caught.

    A test that provokes one on purpose takes this fixture and empties the list.
    """
    failures: list[str] = []

    def keep(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_type is SystemExit:
            return
        lines = traceback.format_exception(
            failure.exc_type, failure.exc_value, failure.exc_traceback
        )
        name = failure.thread.name if failure.thread is not None else "unknown"
        failures.append(f"in thread {name}:\n{''.join(lines)}")

    monkeypatch.setattr(threading, "excepthook", keep)
    yield failures
    if failures:
        pytest.fail("threads failed unseen\n" + "\n".join(failures), pytrace=False)


@pytest.fixture(autouse=True)
def no_thread_left(thread_failures: list[str]) -> Iterator[None]:
    """Fail a test that does not end with the threads it began with."""
    # Taking the other fixture makes this one end first: a straggler that fails while it
    # is joined is still seen.
    del thread_failures
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + STRAGGLERS
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        if not isinstance(thread, threading._DummyThread):  # which cannot be joined
            thread.join(max(0.0, deadline - time.monotonic()))
    stuck = [thread for thread in left if thread.is_alive()]
    if stuck:
        pytest.fail("threads left behind\n" + "\n".join(map(stack_of, stuck)), pytrace=False)


def stack_of(thread: threading.Thread) -> str:
    """Return the thread's name and where it stands."""
    frame = sys._current_frames().get(thread.ident or 0)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else "  (ended)\n"
    return f"{thread.name}:\n{stack}"


class MakeSupervisor(Protocol):
    """Builds a supervisor that the fixture stops; not started yet."""

    def __call__(self, name: str | None = None, **options: Any) -> Supervisor: ...


_numbers = itertools.count(1)


@pytest.fixture
def supervisor(no_thread_left: None) -> Iterator[MakeSupervisor]:
    """Build supervisors, each with a name of its own, and stop them after the test."""
    # Imported late: the tests of the lower floors need no supervisor to exist.
    from threadsup import Supervisor  # noqa: PLC0415

    del no_thread_left  # taken so that the trees are stopped before it looks
    made: list[Supervisor] = []

    def make(name: str | None = None, **options: Any) -> Supervisor:
        made.append(Supervisor(name or f"tree-{next(_numbers)}", **options))
        return made[-1]

    yield make
    for tree in reversed(made):
        tree.stop(timeout=STOP_LIMIT)
