"""The command: what it prints, what it refuses, and its exit code.

The contestants are in this process here, and do nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bench import __main__ as command
from bench import chain, process
from bench.bars import at_most
from bench.rounds import Unable, inline
from bench.work import Row, Work, free_threaded

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Work, ...]]:
    """Have a suite that reaches its bar, one that misses it, and one that breaks."""

    def suite(name: str, limit: float, way: Any) -> tuple[Work, ...]:
        row = Row(f"the {name} row", "us", at_most(limit, limit + 1, unit="us"))
        ways: Any = {"floor": lambda _: (1.0,), "threadsup": way}
        return (Work(rows=(row,), ways=ways, count=3, quick=1, rounds=2),)

    def broken(_: int) -> tuple[float, ...]:
        raise Unable("it broke")

    suites = {
        "good": suite("good", 5, lambda count: (float(count),)),
        "bad": suite("bad", 1, lambda count: (float(count),)),
        "broken": suite("broken", 1, broken),
    }
    monkeypatch.setattr(command, "SUITES", suites)
    monkeypatch.setattr(chain, "STREAMS", suites["good"])
    monkeypatch.setattr(process, "seats", lambda *_: inline)
    return suites


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["good"], 0),
        (["bad"], 1),
        (["bad", "--quick"], 0),
        (["broken"], 1),
        (["broken", "--quick"], 1),
        ([], 1),
    ],
)
def test_the_exit_code_tells_a_missed_bar(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A quick run judges no time; that something broke it does tell."""
    assert command.main(arguments) == code
    assert ("MISSED" in capsys.readouterr().out) is (code == 1 and "--quick" not in arguments)


def test_the_table_has_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    """By name, each once; where the figures are from stands above."""
    assert command.main(["bad", "good", "bad", "--quick"]) == 0
    out, err = capsys.readouterr()
    about, _, _, titles, *lines = out.splitlines()
    assert about.startswith(("CPython", "PyPy"))
    assert titles.split()[:3] == ["floor", "Pykka", "threadsup"]
    assert [line.split()[1] for line in lines] == ["bad", "good"]
    assert err == ""


def test_json_is_one_document_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """Rounds and the length of the stream as they were asked for."""
    assert command.main(["good", "--json", "--items", "4", "--rounds", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["rows"]
    assert (row["suite"], row["count"]) == ("good", 4)
    assert row["figures"] == {"floor": [1.0] * 3, "threadsup": [4.0] * 3}
    assert found["machine"]["free_threaded"] is free_threaded()


def test_a_page_is_written_beside_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was there before is gone."""
    file = tmp_path / "page.html"
    file.write_text("old" * 10_000)
    assert command.main(["good", "--html", str(file)]) == 0
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "old" not in file.read_text(encoding="utf-8")
    assert "the good row" in capsys.readouterr().out


def test_the_list_names_works_bars_and_contestants(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is measured."""
    assert command.main(["--list"]) == 0
    out = capsys.readouterr().out
    assert "the bad row" in out
    assert "<= 1 us / without the GIL <= 2 us" in out
    assert "Thespian" in out


def test_a_terminal_sees_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On one line, which is gone when the row is there."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    command.main(["good"])
    err = capsys.readouterr().err
    assert "\n" not in err
    assert "[1/1] good: the good row: round 2 of 2, floor" in err
    assert err.rsplit("\r", 2)[1].strip() == ""


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nothing", "good"], "no such suite: nothing (there is good, bad, broken)"),
        (["--items", "0"], "--items must be 1 or more"),
        (["--rounds", "0"], "--rounds must be 1 or more"),
        (["--html", "/no/such/folder/x.html"], "/no/such/folder/x.html cannot be written"),
        (["--html", "."], "--html . cannot be written"),
    ],
)
def test_a_wrong_argument_is_refused(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is measured, with the way out."""
    with pytest.raises(SystemExit) as end:
        command.main(arguments)
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert why in err
    assert out == ""
