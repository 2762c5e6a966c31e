"""A program in a process of its own, watched line by line and sent signals.

Owns starting, watching and ending it. It must not know what it does.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from signal import Signals
from textwrap import dedent
from typing import IO, Self

from tests.helpers import PATIENCE, Recorder
from tests.supervisor.trees import ROOT, child_environment

__all__ = ["Program"]

HEAD = """
import faulthandler, logging, os, signal, sys, threading
faulthandler.dump_traceback_later(15, exit=True)  # a hang says where
import threadsup
from threadsup import Supervisor, Worker, current, handler, receive, stage
logging.disable()

def say(*words):
    print(*words, flush=True)

class Noisy(Worker):
    def __init__(self, name="w", *, slow=None):
        self.name, self.slow = name, slow
    def on_start(self):
        say("+" + self.name)
        if self.slow == "start":
            threading.Event().wait()
    def on_stop(self):
        say("-" + self.name)
        if self.slow == "stop":
            threading.Event().wait()
"""


class Program:
    """A Python program, killed at the end of the block if it still runs."""

    def __init__(self, text: str) -> None:
        self._text = HEAD + dedent(text)
        self.out: Recorder[str] = Recorder()
        self.err: Recorder[str] = Recorder()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._text],
            cwd=ROOT,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=_read, args=pair)
            for pair in ((self._process.stdout, self.out), (self._process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def wait_for(self, line: str) -> None:
        """Wait until it has printed that line."""
        self.out.wait_until(lambda lines: line in lines, f"line {line!r}; {self.err.items}")

    def signal(self, number: Signals) -> None:
        """Send a signal, as `kill` does."""
        self._process.send_signal(number)

    def interrupt(self, noticed: str) -> None:
        """Press Ctrl-C until the program has printed the line that shows it has noticed.

        Once is enough but for a race of Python's own: a signal that comes in the moment
        in which the main thread begins to wait for a lock is noticed when that wait ends.
        """
        for _ in range(10):
            self.signal(Signals.SIGINT)
            with suppress(TimeoutError):
                self.out.wait_until(lambda lines: noticed in lines, patience=1.0)
                return
        raise TimeoutError(f"Ctrl-C was not noticed: {self.out.items}, {self.err.items}")

    def end(self) -> tuple[int, list[str]]:
        """Wait for the end by itself; return the exit code and all lines printed."""
        code = self._process.wait(PATIENCE * 2)
        for reader in self._readers:
            reader.join()
        assert "Timeout" not in "".join(self.err.items), "\n".join(self.err.items)
        return code, self.out.items


def _read(pipe: IO[str], record: Recorder[str]) -> None:
    for line in pipe:
        record(line.rstrip("\n"))
