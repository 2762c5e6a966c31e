"""`threadsup run` on a terminal: the tree at the bottom, lines above, and a whole terminal after.

They need what the group `test` installs: without `rich` there is no display to look at.
"""

from __future__ import annotations

import io
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.processes import Command, Terminal, needs, write
from tests.helpers import ManualClock
from threadsup import Supervisor, handler
from threadsup._exits import Crashed
from threadsup._snapshot import StopReport
from threadsup.cli.view import View
from threadsup.events import Restarting

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeSupervisor
    from threadsup.cli.live import LiveProgress

TREE = """
[supervisor]
name = "app"
[[worker]]
id = "job"
target = "jobs:job"
[[chain]]
id = "etl"
[[chain.stage]]
target = "jobs:parse"
workers = 2
"""

JOB = """
import sys, threadsup
def parse(item): ...
def job():
    print("printed", end="")
    print(" in two parts")
    print("an error of its own", file=sys.stderr)
    print("no end yet", end="")
    threadsup.receive()
"""

CLEAR = "\x1b[2K"
"""Wipes a line, to be painted anew."""


@pytest.fixture
def rich() -> None:
    """Say what is missing where it is."""
    needs("rich")


@pytest.mark.usefixtures("rich")
def test_a_tree_is_painted_below_what_is_printed(tmp_path: Path) -> None:
    """A table of children and stages; the program's own lines come whole, above it."""
    with Terminal("run", write(tmp_path, JOB, TREE)) as terminal:
        text = terminal.wait_for(CLEAR, times=3)
        assert "printed in two parts\r\n" in text
        assert "an error of its own\r\n" in text
        for word in ("task job", "chain etl", "stage parse", "2/2 up", "per s", "running"):
            terminal.wait_for(word)
        terminal.press("\x03")
        assert terminal.end() == 130, terminal.text
        last = terminal.text.rpartition("SIGINT: stopping in order")[2]
        assert "no end yet\r\n" in last
        assert "stopped 3 workers" in last
        terminal.check_whole()


@pytest.mark.usefixtures("rich")
def test_a_second_ctrl_c_leaves_the_terminal_whole(tmp_path: Path) -> None:
    """Also a stop that is cut short wipes what was painted."""
    job = "import threading\ndef job(): threading.Event().wait()\ndef parse(item): ..."
    file = write(tmp_path, job, TREE.replace('"jobs:job"', '"jobs:job"\nshutdown = 3600'))
    with Terminal("run", file) as terminal:
        terminal.wait_for("task job")
        terminal.press("\x03")
        terminal.wait_for("stopping in order")
        terminal.press("\x03")
        assert terminal.end() == 130, terminal.text
        assert "'job' did not stop" in terminal.text
        terminal.check_whole()


@pytest.mark.usefixtures("rich")
def test_a_killed_command_leaves_a_cursor(tmp_path: Path) -> None:
    """What cannot tidy up has nothing to tidy up: `kill -9` in the middle of painting."""
    with Terminal("run", write(tmp_path, JOB, TREE)) as terminal:
        terminal.wait_for("task job")
        os.kill(terminal.process.pid, signal.SIGKILL)
        assert terminal.end() == -signal.SIGKILL
        assert terminal.after == terminal.before
        assert terminal.text.rfind("\x1b[?25l") < terminal.text.rfind("\x1b[?25h")


@pytest.mark.usefixtures("rich")
def test_no_color_means_no_colours(tmp_path: Path) -> None:
    """With `NO_COLOR` the display stays, in the colours of the terminal."""
    with Terminal("run", write(tmp_path, JOB, TREE), env={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for("2/2 up")
        terminal.press("\x03")
        assert terminal.end() == 130, terminal.text
        for colour in range(30, 38):
            assert f"\x1b[{colour}m" not in terminal.text


@pytest.mark.usefixtures("rich")
def test_colours_are_there_without_it(tmp_path: Path) -> None:
    """What is up is green: the counterpart of the one above."""
    with Terminal("run", write(tmp_path, JOB, TREE)) as terminal:
        terminal.wait_for("\x1b[32m")


@pytest.mark.parametrize(
    ("arguments", "env"), [(["--plain"], {}), ([], {"TERM": "dumb"}), ([], {"TERM": ""})]
)
def test_plain_lines_on_a_terminal(
    tmp_path: Path, arguments: list[str], env: dict[str, str]
) -> None:
    """`--plain`, and a terminal that cannot be painted on: lines and nothing else."""
    with Terminal("run", write(tmp_path, JOB, TREE), *arguments, env=env) as terminal:
        terminal.wait_for("started")
        terminal.press("\x03")
        assert terminal.end() == 130, terminal.text
        assert "\x1b" not in terminal.text
        assert "stopped 3 workers" in terminal.text


def test_plain_lines_without_rich(tmp_path: Path) -> None:
    """Without the extra a terminal gets the plain lines."""
    (tmp_path / "rich.py").write_text("raise ImportError('not installed')", encoding="utf-8")
    with Terminal("run", write(tmp_path, JOB, TREE)) as terminal:
        terminal.wait_for("started")
        terminal.press("\x03")
        assert terminal.end() == 130, terminal.text
        assert "\x1b" not in terminal.text


def test_plain_lines_into_a_pipe(tmp_path: Path) -> None:
    """What is read by a program holds no codes, and rich is not even imported."""
    job = "import sys\ndef job(): print('rich' in sys.modules)\ndef parse(item): ..."
    with Command("run", write(tmp_path, job, TREE)) as command:
        command.wait_for("False")
        command.signal(signal.SIGINT)
        assert command.end() == 130
        assert "\x1b" not in command.text


# -- in this process ------------------------------------------------------------------


class Screen(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def use_screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    monkeypatch.setattr("sys.stdout", made)
    monkeypatch.setenv("TERM", "xterm")
    return made


def display(**options: Any) -> LiveProgress:
    needs("rich")
    from threadsup.cli.live import LiveProgress  # noqa: PLC0415 - fails without the extra

    return LiveProgress(**options)


def serve(message: Any) -> None:
    assert message is not None


@pytest.fixture
def tree(supervisor: MakeSupervisor) -> Supervisor:
    made = supervisor("many")
    for number in range(60):
        made.add_worker(handler(serve), id=f"w{number}")
    return made.start()


def test_a_long_tree_is_cut_to_the_terminal(
    tree: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many rows as there is room for, and the number of the others."""
    screen = use_screen(monkeypatch)
    monkeypatch.setenv("LINES", "24")
    progress = display(width=80)
    with progress:
        progress.statistics(tree)
    assert "handler w19" in screen.getvalue()
    assert "handler w20" not in screen.getvalue()
    assert "and 40 more" in screen.getvalue()


@pytest.mark.parametrize(
    ("width", "there", "gone"),
    [(100, "restarts", "\u2026"), (70, "failed", "restarts"), (40, "handled", "per s")],
)
def test_a_narrow_terminal_has_fewer_numbers(
    tree: Supervisor, monkeypatch: pytest.MonkeyPatch, width: int, there: str, gone: str
) -> None:
    """Numbers that would be cut off are left out, from the right."""
    screen = use_screen(monkeypatch)
    progress = display(width=width)
    with progress:
        progress.statistics(tree)
    heading = screen.getvalue().partition("handler w0")[0]
    assert there in heading
    assert gone not in heading


def test_a_frame_takes_a_small_share_of_the_time(
    tree: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree that takes a second to look at is looked at every twenty seconds."""
    screen = use_screen(monkeypatch)
    clock = ManualClock()
    frames: list[float] = []

    class Slow(View):
        def rows(self, tree: Supervisor) -> list[Any]:
            frames.append(clock())
            clock.advance(1.0)
            return []

    monkeypatch.setattr("threadsup.cli.live.View", Slow)
    progress = display(clock=clock, width=80)
    with progress:
        for _ in range(40):
            progress.statistics(tree)
            clock.advance(1.0)
    assert frames == [0.0, 20.0, 40.0]
    assert screen.getvalue()


def test_a_terminal_that_goes_away_ends_no_work(
    tree: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the terminal is not raised, and nothing is painted after it."""
    screen = use_screen(monkeypatch)
    given_up: list[int] = []
    progress = display(width=80)
    monkeypatch.setattr(progress, "give_up", lambda: given_up.append(1))

    def fail(text: str) -> int:
        raise OSError(5, text)

    with progress:
        monkeypatch.setattr(screen, "write", fail)
        progress.event(Restarting("many", 0.0, ("w",), Crashed("bad"), 0.0))
        assert given_up == [1]
        monkeypatch.undo()
    assert "restarting" not in screen.getvalue()


def test_the_report_is_a_plain_line(tree: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end the display is gone, and the last lines stay."""
    screen = use_screen(monkeypatch)
    progress = display(width=80)
    with progress:
        progress.statistics(tree)
        progress.report(tree, StopReport(True, 60, (), 0, 0.1))
        end = len(screen.getvalue())
    *_, numbers, report = screen.getvalue().splitlines()
    assert "0 handled" in numbers
    assert report.endswith("stopped 60 workers in 0.10 s")
    assert len(screen.getvalue()) == end
