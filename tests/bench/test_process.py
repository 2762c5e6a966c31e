"""A contestant's own process: both sides of the talk, and all the ways it can end."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from bench import process
from bench.process import apart
from bench.rounds import Unable
from bench.suites import SUITES
from bench.work import free_threaded
from bench.worker import serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GIL = not free_threaded()
HELLO = f"print('{{\"gil\": {str(GIL).lower()}}}', flush=True); "
"""What a process says first, as a line of its program."""


def child(program: str) -> list[str]:
    return [sys.executable, "-c", f"import sys, os, signal; {program}"]


# -- the child --------------------------------------------------------------------------


def talk(way: Callable[[int], Any], *lines: str) -> list[dict[str, Any]]:
    answers = io.StringIO()
    serve(way, lines, answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def test_the_child_says_hello_and_answers_each_request() -> None:
    """One line of JSON each, with the state of the GIL."""
    found = talk(lambda count: (count, count / 2), '{"count": 4}', '{"count": 1}')
    assert found == [
        {"hello": True, "gil": GIL},
        {"figures": [4.0, 2.0], "gil": GIL},
        {"figures": [1.0, 0.5], "gil": GIL},
    ]


def test_the_child_answers_with_the_error_and_lives() -> None:
    """What is lacking here is said without the name of an exception."""

    def way(count: int) -> tuple[float, ...]:
        if count > 1:
            raise NotImplementedError("only one core here")
        raise ValueError("x")

    found = talk(way, '{"count": 1}', '{"count": 2}')
    assert found[1:] == [{"error": "ValueError: x"}, {"error": "only one core here"}]


# -- the parent -------------------------------------------------------------------------


def test_a_work_of_a_suite_is_done_in_a_process_of_its_own() -> None:
    """The real thing, once: found by suite and place, done by count."""
    work = SUITES["tell"][0]
    with process.seats(SUITES)(work, "floor") as seat:
        assert seat.free is free_threaded()
        figures = [seat.turn(10) for _ in range(2)]
    assert [len(each) for each in figures] == [len(work.rows)] * 2
    assert all(figure > 0 for each in figures for figure in each)


def test_the_process_is_asked_and_answers() -> None:
    """A request is a line of JSON, and so is the answer."""
    program = HELLO + (
        "import json; [print(json.dumps({'figures': [json.loads(line)['count'] + 1],"
        f" 'gil': {GIL}}}), flush=True) for line in sys.stdin]"
    )
    with apart(child(program), "floor") as seat:
        assert [seat.turn(1), seat.turn(2)] == [[2.0], [3.0]]


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("sys.exit('no such thing')", "ended with code 1: no such thing"),
        ("1 / 0", "ended with code 1: ZeroDivisionError: division by zero"),
        ("os._exit(3)", "ended with code 3"),
    ],
)
def test_a_process_that_does_not_come_up_says_why(program: str, why: str) -> None:
    """The last line it said is the reason."""
    with pytest.raises(Unable, match=why), apart(child(program), "floor"):
        raise AssertionError


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("sys.stdin.readline(); os._exit(9)", "ended with code 9"),
        ("""print('{"error": "it  broke"}', flush=True); sys.stdin.read()""", "it broke"),
        ("print('{\"error\": \"' + 'x' * 999 + '\"}', flush=True); input()", r"^x+\.\.\.$"),
        ("print('Traceback', flush=True); sys.stdin.read()", "no answer, but: Traceback"),
        ("sys.stdin.close(); os.close(0); os._exit(0)", "ended with code 0"),
    ],
)
def test_a_turn_that_fails_says_why(program: str, why: str) -> None:
    """In a line that fits a table, whether the work failed or the process ended."""
    with apart(child(HELLO + program), "floor") as seat, pytest.raises(Unable, match=why):
        seat.turn(1)


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a turn nor the end of the block waits for it for ever."""
    monkeypatch.setattr(process, "GRACE", 0.05)
    hanging = child(HELLO + "import threading; threading.Event().wait()")
    why = r"gave no answer within 0\.05 s"
    with apart(hanging, "floor", 0.05) as seat, pytest.raises(Unable, match=why):
        seat.turn(1)
    with apart(hanging, "floor"):
        pass


def test_what_a_contestant_left_behind_ends_with_it(tmp_path: Path) -> None:
    """A process it started holds a pipe open for ever; after the block nobody does."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    left = f"import threading; held = open({str(pipe)!r}, 'w'); threading.Event().wait()"
    program = f"import subprocess; subprocess.Popen([sys.executable, '-c', {left!r}]); {HELLO}"
    with apart(child(program + "sys.stdin.read(); os._exit(0)"), "floor"):
        held = pipe.open()
    with held:
        assert held.read() == ""


def test_who_switches_the_gil_on_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a build without it, a figure with it would be another build's."""
    monkeypatch.setattr(process, "free_threaded", lambda: True)
    program = HELLO + """print('{"figures": [1], "gil": true}', flush=True); sys.stdin.read()"""
    with apart(child(program), "floor") as seat, pytest.raises(Unable, match="switches the GIL on"):
        seat.turn(1)


def test_no_process_is_started_for_who_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason comes at once."""
    monkeypatch.setattr(process, "lacking", lambda _: "not installed")
    with pytest.raises(Unable, match="not installed"), apart(["/nothing"], "Ray"):
        raise AssertionError
