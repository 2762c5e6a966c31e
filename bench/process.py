"""A contestant's seat in a process of its own.

Owns starting the process, asking it, and ending it whatever state it is in. It must not
know what the process does: `worker` does it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.entrants import lacking
from bench.rounds import Unable
from bench.work import free_threaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import IO

    from bench.work import Contestant, Work

__all__ = ["Apart", "apart", "seats"]

LIMIT = 600.0
"""Seconds after which a turn that has not come to its end has failed."""
QUICK = 60.0
"""The same where little is to be done."""
START = 60.0
"""Seconds a process has to say hello."""
GRACE = 20.0
"""Seconds a process has to end by itself, once it is told."""
_LONGEST = 200
"""Letters of an error that are shown."""


def seats(
    suites: Mapping[str, Sequence[Work]], limit: float = LIMIT
) -> Callable[[Work, Contestant], Any]:
    """Return what opens a seat for a work of these suites; a turn has `limit` seconds."""
    places = {
        id(work): (name, place)
        for name, works in suites.items()
        for place, work in enumerate(works)
    }

    def sit(work: Work, who: Contestant) -> Any:
        name, place = places[id(work)]
        command = [sys.executable, "-m", "bench.worker", name, str(place), who]
        return apart(command, who, limit)

    return sit


@contextmanager
def apart(command: Sequence[str], who: Contestant, limit: float = LIMIT) -> Iterator[Apart]:
    """Run a process for the `with` block. It and all it started are gone after it.

    Each turn may take `limit` seconds.

    Raises:
        Unable: what the contestant needs is not installed, or the process does not come up.
    """
    if why := lacking(who):
        raise Unable(why)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            encoding="utf-8",
            cwd=Path(__file__).parents[1],
            start_new_session=True,  # so that all it starts can be ended with it
        )
        try:
            seat = Apart(process, said, limit)
            seat.hello()
            yield seat
        except BaseException:  # nobody waits for it any more
            _kill(process)
            raise
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):  # it has ended, and what was left to say goes nowhere
        if process.stdin is not None:
            process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    _kill(process)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _kill(process: subprocess.Popen[str]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # those it left behind as well
    elif process.poll() is None:
        process.kill()


class Apart:
    """A process that does one work in one way."""

    free = False

    def __init__(self, process: subprocess.Popen[str], said: IO[bytes], limit: float) -> None:
        self._process = process
        self._said = said
        self._limit = limit
        self._answers = queue.SimpleQueue[str]()
        # A pipe cannot be read with a limit everywhere; a queue can.
        threading.Thread(target=self._read, name="answers", daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(ValueError, OSError):  # closed at the end of the block
            for line in self._process.stdout or ():
                self._answers.put(line)
        self._answers.put("")

    def hello(self) -> None:
        """Wait until the process is up. Blocks, for a minute at most.

        Raises:
            Unable: it does not come up.
        """
        self.free = not self._answer(START)["gil"]

    def turn(self, count: int) -> Sequence[float]:
        """Have the work done once. Blocks, for `limit` seconds at most.

        Raises:
            Unable: the work failed, the process ended or hangs, or it has the GIL on where
                this one has not.
        """
        with contextlib.suppress(OSError):  # it has ended: what it said last tells why
            if self._process.stdin is not None:
                print(json.dumps({"count": count}), file=self._process.stdin, flush=True)
        answer = self._answer(self._limit)
        if answer["gil"] and free_threaded():
            raise Unable("switches the GIL on")
        return [float(each) for each in answer["figures"]]

    def _answer(self, limit: float) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=limit)
        except queue.Empty:
            _kill(self._process)
            raise Unable(f"gave no answer within {limit:g} s") from None
        if not line:
            raise Unable(self._ended())
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise Unable(_short(f"gave no answer, but: {line}")) from None
        if "error" in answer:
            raise Unable(_short(answer["error"]))
        return answer

    def _ended(self) -> str:
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return "closed its output"
        self._said.seek(0)
        text = self._said.read().decode(errors="replace").strip().splitlines()
        return _short(f"ended with code {code}" + (f": {text[-1]}" if text else ""))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
