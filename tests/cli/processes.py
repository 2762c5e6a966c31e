"""The command in a process of its own, with its output line by line, or on a terminal.

Owns starting, watching and ending it. It must not know what is run.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import pytest

from tests.helpers import PATIENCE, Recorder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from signal import Signals

__all__ = ["Command", "Terminal", "needs", "write"]

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, module: str, toml: str) -> Path:
    """Write a file and the module `jobs` beside it; return the file's path."""
    (folder / "jobs.py").write_text(module, encoding="utf-8")
    file = folder / "app.toml"
    file.write_text(toml, encoding="utf-8")
    return file


def needs(package: str) -> None:
    """Fail the test, and say why, where a package of the extra `cli` is missing."""
    if importlib.util.find_spec(package) is None:
        pytest.fail(f"{package} is missing: install the dependency group `test`", pytrace=False)


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


# A session of its own, which the terminal belongs to: Ctrl-C is the terminal's doing.
_TAKE = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """The same with a terminal for all three streams, and what is written to it."""

    def __init__(
        self,
        *arguments: str | Path,
        size: tuple[int, int] = (24, 100),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.arguments = [str(argument) for argument in arguments]
        self.size = size
        self.env = {"TERM": "xterm-256color", **(env or {})}
        self.written: Recorder[str] = Recorder()

    def __enter__(self) -> Self:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", *self.size, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        # Nothing of the caller's that has a say in colours and sizes.
        calm = {key: value for key, value in os.environ.items() if key not in _SAY}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE, sys.executable, "-m", "threadsup", *self.arguments],
            env={**calm, "PYTHONPATH": str(ROOT), **self.env},
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._close()
        os.close(self.master)

    def _close(self) -> None:
        if self.slave >= 0:
            os.close(self.slave)  # the last one: the reader's read ends
            self.slave = -1
        self._reader.join()

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self.master, 65536)
            except OSError:  # nobody has it open any more
                return
            self.written(chunk.decode(errors="replace"))

    def wait_for(self, text: str, times: int = 1) -> str:
        """Wait until `text` was written that many times; return all that was."""

        def seen(chunks: list[str]) -> bool:
            return "".join(chunks).count(text) >= times

        try:
            return "".join(self.written.wait_until(seen, f"{text!r} on the terminal"))
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.text}") from None

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self.master, keys.encode())

    def end(self) -> int:
        """Wait for the end by itself and return the exit code."""
        code = self.process.wait(PATIENCE * 2)
        self.after = termios.tcgetattr(self.slave)
        self._close()
        return code

    @property
    def text(self) -> str:
        """Everything written so far."""
        return "".join(self.written.items)

    def check_whole(self) -> None:
        """Fail where the terminal is not as it was: modes, cursor, screen, colours."""
        assert self.after == self.before
        text = self.text
        assert text.rfind("\x1b[?25l") <= text.rfind("\x1b[?25h"), "the cursor is hidden"
        assert "\x1b[?1049h" not in text, "another screen"
        styles = [part.partition("m")[0] for part in text.split("\x1b[")[1:] if "m" in part[:12]]
        assert not styles or styles[-1] == "0", "colours are left on"


_SAY = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "TERM"}
"""Of the environment: what changes how a terminal is written to."""
