"""The command in a process of its own, with its output line by line.

Owns starting, watching and ending it. It must not know what is run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from tests.helpers import PATIENCE, Recorder

if TYPE_CHECKING:
    from signal import Signals

__all__ = ["Command", "write"]

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, module: str, toml: str) -> Path:
    """Write a file and the module `jobs` beside it; return the file's path."""
    (folder / "jobs.py").write_text(module, encoding="utf-8")
    file = folder / "app.toml"
    file.write_text(toml, encoding="utf-8")
    return file


class Command:
    """`python -m threadsup ...`, killed at the end of the block if it still runs."""

    def __init__(self, *arguments: str | Path) -> None:
        self.arguments = [str(argument) for argument in arguments]
        self.out: Recorder[str] = Recorder()
        self.err: Recorder[str] = Recorder()

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "threadsup", *self.arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=_read, args=pair)
            for pair in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def wait_for(self, text: str) -> str:
        """Wait until a line of the output holds `text` and return the first that does."""

        def seen(lines: list[str]) -> bool:
            return any(text in line for line in lines)

        try:
            lines = self.out.wait_until(seen, f"line with {text!r}")
        except TimeoutError as error:
            raise AssertionError(f"{error}; errors: {self.err.items}") from None
        return next(line for line in lines if text in line)

    def signal(self, number: Signals) -> None:
        """Send a signal, as `kill` does."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for the end by itself and return the exit code."""
        code = self.process.wait(PATIENCE * 2)
        for reader in self._readers:
            reader.join()
        return code

    @property
    def text(self) -> str:
        """Everything printed so far, for people."""
        return "\n".join([*self.out.items, *self.err.items])


def _read(pipe: IO[str], record: Recorder[str]) -> None:
    for line in pipe:
        record(line.rstrip("\n"))
