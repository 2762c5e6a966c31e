"""`threadsup run` in a process of its own: how it ends, and what it says about it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.processes import ROOT, Command, write
from tests.helpers import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

ONE_JOB = """
[supervisor]
name = "app"
auto_shutdown = "all"
[[worker]]
id = "job"
target = "jobs:job"
restart = "transient"
significant = true
"""

NAMED = '[supervisor]\nname = "app"\n'

THREE_KINDS = """
[supervisor]
name = "app"
[[worker]]
id = "first"
target = "jobs:Noisy"
args = ["first"]
[[group]]
id = "pair"
[[group.worker]]
id = "second"
target = "jobs:Noisy"
args = ["second"]
[[chain]]
id = "line"
[[chain.stage]]
id = "third"
target = "jobs:Noisy"
args = ["third"]
"""

NOISY = """
import threadsup

class Noisy(threadsup.Worker):
    def __init__(self, name):
        self.name = name
    def on_start(self):
        print("up", self.name, flush=True)
    def on_stop(self):
        print("down", self.name, flush=True)
"""

STUCK = """
import threading

def hold():
    print("held", flush=True)
    threading.Event().wait()
"""


def test_a_job_that_ends_is_done(tmp_path: Path) -> None:
    """The end of the last significant child is the end of the command, with 0."""
    file = write(tmp_path, "import sys\ndef job(): sys.stdout.write('working\\n')", ONE_JOB)
    with Command("run", file) as command:
        assert command.end() == 0, command.text
        assert "app: 1 worker" in command.out.items[0]
        assert "working" in command.out.items
        command.wait_for("stopped 0 workers")
        assert command.err.items == []


def test_a_crash_is_told_and_repaired(tmp_path: Path) -> None:
    """A restart is a line of its own; the job goes on and ends with 0."""
    job = """
import threadsup
def job():
    if threadsup.current().incarnation == 1:
        raise ValueError("first try")
"""
    with Command("run", write(tmp_path, job, ONE_JOB)) as command:
        assert command.end() == 0, command.text
        assert "ValueError: first try" in command.wait_for("job")
        command.wait_for("1 restart")


def test_a_child_that_gives_up_is_exit_code_1(tmp_path: Path) -> None:
    """Past its budget a significant child ends the tree, and the command says who it was."""
    file = write(tmp_path, "def job(): raise ValueError('always')", ONE_JOB)
    with Command("run", file) as command:
        assert command.end() == 1, command.text
        assert "threadsup: gave up: job" in command.err.items
        assert not any("Traceback" in line for line in command.out.items)


def test_a_tree_that_cannot_start_is_exit_code_1(tmp_path: Path) -> None:
    """A start that fails names the child and the cause."""
    job = """
import threadsup
class Job(threadsup.Worker):
    def on_start(self):
        raise ValueError("no disk")
"""
    toml = NAMED + '[[worker]]\nid = "job"\ntarget = "jobs:Job"\n'
    with Command("run", write(tmp_path, job, toml)) as command:
        assert command.end() == 1, command.text
        errors = "\n".join(command.err.items)
        assert "not started" in errors
        assert "job" in errors
        assert "no disk" in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_in_reverse_order(tmp_path: Path, number: signal.Signals) -> None:
    """Worker, group and chain are started as written, stopped the other way: 130."""
    with Command("run", write(tmp_path, NOISY, THREE_KINDS)) as command:
        command.wait_for("started")
        command.signal(number)
        assert command.end() == 130, command.text
        told = [line for line in command.out.items if line.startswith(("up", "down"))]
        names = ["first", "second", "third"]
        assert told == [f"up {n}" for n in names] + [f"down {n}" for n in reversed(names)]
        command.wait_for("stopped 3 workers")


def test_what_was_in_flight_at_a_stop_is_named(tmp_path: Path) -> None:
    """A worker that ignores the stop is abandoned, and the report says in what."""
    toml = NAMED + '[[worker]]\nid = "stuck"\ntarget = "jobs:hold"\nshutdown = 0.2\n'
    with Command("run", write(tmp_path, STUCK, toml)) as command:
        command.wait_for("held")
        command.signal(signal.SIGINT)
        assert command.end() == 130, command.text
        command.wait_for("'stuck' did not stop: in task")


def test_a_second_signal_shortens_the_stop(tmp_path: Path) -> None:
    """A stop that would take an hour ends about a second after the second Ctrl-C."""
    toml = NAMED + '[[worker]]\nid = "stuck"\ntarget = "jobs:hold"\nshutdown = 3600\n'
    with Command("run", write(tmp_path, STUCK, toml)) as command:
        command.wait_for("held")
        command.signal(signal.SIGINT)
        command.wait_for("stopping in order")
        began = time.monotonic()
        command.signal(signal.SIGINT)
        assert command.end() == 130, command.text
        assert time.monotonic() - began < PATIENCE
        command.wait_for("'stuck' did not stop")


def test_a_signal_is_answered_while_a_child_starts(tmp_path: Path) -> None:
    """Ctrl-C does not wait for a child that takes a minute to start."""
    job = """
import threading, threadsup
class Slow(threadsup.Worker):
    def on_start(self):
        print("starting", flush=True)
        threading.Event().wait()
"""
    toml = NAMED + '[[worker]]\ntarget = "jobs:Slow"\nstart_timeout = 60\nshutdown = 0.2\n'
    with Command("run", write(tmp_path, job, toml)) as command:
        command.wait_for("starting")
        command.signal(signal.SIGINT)
        assert command.end() == 130, command.text


def test_a_reader_that_goes_away_does_not_stop_the_work(tmp_path: Path) -> None:
    """`threadsup run FILE | head -1`: lines end with their reader, the job goes on."""
    job = """
import pathlib, sys, threadsup
def job(folder):
    sys.stdin.read()
    (pathlib.Path(folder) / "done").touch()
"""
    toml = ONE_JOB + f"args = [{str(tmp_path)!r}]\n"
    file = write(tmp_path, job, toml)
    process = subprocess.Popen(
        [sys.executable, "-m", "threadsup", "run", file],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 0
    assert (tmp_path / "done").exists()


def test_a_bad_file_starts_nothing(tmp_path: Path) -> None:
    """All errors, one a line, each with its path; exit code 2; no worker ran."""
    job = "import pathlib\ndef job(): pathlib.Path(__file__).with_name('ran').touch()"
    toml = ONE_JOB + '[[worker]]\nid = "job"\ntarget = "jobs:absent"\nrestart = "often"\n'
    file = write(tmp_path, job, toml)
    with Command("run", file) as command:
        assert command.end() == 2, command.text
        assert len(command.err.items) >= 3
        assert all(line.startswith("worker[1].") for line in command.err.items)
        assert command.out.items == []
    assert not (tmp_path / "ran").exists()
