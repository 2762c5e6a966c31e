"""The report: what is run, what is kept, what is refused, and what the page says.

The interpreters here are this one, and their suites are fakes; the pictures are not drawn.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import bench
from bench import page, report, show
from bench.bars import over, within
from bench.machine import machine
from bench.work import Result, Row

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BAR = over("Pykka", 4, 2, aim=within("floor", 1))


def document(*, free: bool, ours: float = 2.0, **changes: Any) -> dict[str, Any]:
    figures = {"floor": [1.0], "Pykka": [7.0, 8.0, 9.0], "threadsup": [ours]}
    unable = {"Ray": "not installed", "xoscar": "broke|down"}
    rows = [
        Result(Row("told", "us", BAR), 3, figures, unable, free),
        Result(Row("2 pairs", "us", None, curve="pairs", at=2, axis="pairs"), 3, figures, {}, free),
    ]
    python = "3.13.5" if free else "3.13.0"
    about = {**machine(), "gil": not free, "free_threaded": free, "python": python}
    made = show.document(about, {"tell": rows}, quick=False)
    return {**made, "failures": {}, "seconds": {"tell": 60, "ask": 120}, **changes}


def documents(**changes: Any) -> dict[str, dict[str, Any]]:
    return {"gil": document(free=False), "free": document(free=True, ours=5.0), **changes}


# -- the page ---------------------------------------------------------------------------


def test_the_page_names_the_machine_and_counts_the_bars() -> None:
    """Each build has its own bars, figures and verdicts."""
    text = page.write(documents(), {})
    assert f"{machine()['cores']} cores" in text
    assert "; measured in 3 minutes\n" in text
    assert "**GIL: 1 of 1 bars reached.**" in text
    assert "**free-threaded: 0 of 1 bars reached.**" in text
    assert (
        "| told | us | 1 ±0% | 8 ±12% | 2 ±0% | 0.50 | 4.00 | >= 4x Pykka | reached "
        "| not slower than the floor | not reached |"
    ) in text
    assert "| >= 2x Pykka | **missed** |" in text


def test_the_page_has_every_figure_of_both_builds() -> None:
    """One line for each work and build; the reason where there is none."""
    text = page.write(documents(), {})
    assert "| told | GIL | us | 1 ±0% | 8 ±12% | 2 ±0% |" in text
    assert "| told | free-threaded | us | 1 ±0% | 8 ±12% | 5 ±0% |" in text
    assert "* xoscar has no figure on the GIL build in told: broke|down." in text
    assert "**Ray**: actors in processes of their own (GIL: not installed; free" in text


def test_a_table_has_as_many_cells_in_each_line() -> None:
    """Whatever stands in them."""
    text = page.write(documents(gil=document(free=False, ours=1e6)), {})
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {12, 7}


def test_the_page_shows_the_pictures_there_are() -> None:
    """An overview, one of each suite, one of each curve."""
    text = page.write(documents(), {"overview": "o.svg", "tell": "t.svg", "pairs": "p.svg"})
    assert text.index("plots/o.svg") < text.index("plots/t.svg") < text.index("plots/p.svg")
    assert "svg" not in page.write(documents(), {})


def test_the_page_says_what_it_is_not() -> None:
    """A quick run, and a suite that did not run."""
    failed = document(free=True, failures={"ask": "not done after 15 minutes"})
    text = page.write(documents(gil=document(free=False, quick=True), free=failed), {})
    assert "**This was a quick run" in text
    assert "**ask did not run on the free-threaded build: not done after 15 minutes.**" in text


# -- the command ------------------------------------------------------------------------


class Suites:
    """Stands for both interpreters: answers what they are, and runs suites."""

    def __init__(self) -> None:
        self.run: list[list[str]] = []
        self.answers: dict[str, str] = {}
        self.ended: list[str] = []
        self.python = {"G": "3.13.0", "F": "3.13.5"}

    def ask(self, command: list[str], **_: Any) -> Any:
        python = command[0]
        if python not in self.python:
            return SimpleNamespace(returncode=1, stdout="", stderr="Trace\nNo module named pykka\n")
        about = {**machine(), "python": self.python[python], "gil": python == "G"}
        return SimpleNamespace(returncode=0, stdout=json.dumps(about), stderr="")

    def open(self, command: list[str], **_: Any) -> Any:
        self.run.append(command)
        name = command[3]
        out = self.answers.get(name, json.dumps(document(free=command[0] == "F")))

        def communicate(timeout: float) -> tuple[str, None]:
            if out == "hangs":
                raise subprocess.TimeoutExpired(command, timeout)
            return out, None

        return SimpleNamespace(
            communicate=communicate,
            terminate=lambda: self.ended.append(name),
            wait=lambda: None,
            stdout=None,
            returncode=1,
        )


@pytest.fixture
def suites(monkeypatch: pytest.MonkeyPatch) -> Suites:
    made = Suites()

    def draw(found: Mapping[str, Any], _: Path) -> dict[str, str]:
        return {"overview": f"{len(found)}.svg"}

    monkeypatch.setattr(subprocess, "run", made.ask)
    monkeypatch.setattr(subprocess, "Popen", made.open)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    plots = SimpleNamespace(draw=draw)
    monkeypatch.setitem(sys.modules, "bench.plots", plots)
    monkeypatch.setattr(bench, "plots", plots, raising=False)
    monkeypatch.setattr(report, "SUITES", {"tell": (), "ask": ()})
    return made


def call(folder: Path, *arguments: str) -> int:
    return report.main(["--gil", "G", "--free", "F", "--out", str(folder), *arguments])


def test_the_builds_take_turns_suite_by_suite(suites: Suites, tmp_path: Path) -> None:
    """Both see the machine in the same hour; figures and page are kept."""
    assert call(tmp_path) == 0
    assert [(each[0], each[3]) for each in suites.run] == [
        *(("G", "tell"), ("F", "tell"), ("G", "ask"), ("F", "ask")),
    ]
    assert all(each[4:] == ["--json", "--items", "2000000"] for each in suites.run)
    kept = json.loads((tmp_path / "plots" / "bench-free.json").read_text())
    assert (kept["machine"]["python"], len(kept["rows"]), kept["failures"]) == ("3.13.5", 4, {})
    assert kept["seconds"] == {"tell": 0, "ask": 0}
    assert "plots/2.svg" in (tmp_path / "benchmarks.md").read_text()


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (["tell", "tell", "--quick"], ["--json", "--quick"]),
        (["tell", "--rounds", "2"], ["--json", "--items", "2000000", "--rounds", "2"]),
    ],
)
def test_what_is_asked_for_is_passed_on(
    given: list[str], passed: list[str], suites: Suites, tmp_path: Path
) -> None:
    """Suites by name, each once; rounds; a quick run."""
    assert call(tmp_path, *given) == 0
    assert [each[4:] for each in suites.run] == [passed] * 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [("hangs", "not done after 15 minutes"), ("", "ended with code 1 and gave no figures")],
)
def test_a_suite_that_fails_does_not_end_the_report(
    answer: str, why: str, suites: Suites, tmp_path: Path
) -> None:
    """The others are there, the page says which is not, and so does the exit code."""
    suites.answers["tell"] = answer
    assert call(tmp_path) == 1
    assert suites.ended == ["tell", "tell", "ask", "ask"]
    text = (tmp_path / "benchmarks.md").read_text()
    assert f"**tell did not run on the GIL build: {why}.**" in text
    assert "| told | GIL |" in text


def test_a_page_can_be_made_again_of_what_is_kept(suites: Suites, tmp_path: Path) -> None:
    """Nothing is measured, no interpreter is asked."""
    call(tmp_path)
    before = (tmp_path / "benchmarks.md").read_text()
    (tmp_path / "benchmarks.md").unlink()
    suites.run.clear()
    assert report.main(["--redraw", "--out", str(tmp_path)]) == 0
    assert suites.run == []
    assert (tmp_path / "benchmarks.md").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nothing"], "no such suite: nothing (there is tell, ask)"),
        (["--rounds", "0"], "--rounds must be 1 or more"),
        ([], "name an interpreter with --gil and --free (or --redraw)"),
        (["--gil", "G"], "name an interpreter with --free"),
        (["--gil", "F", "--free", "F"], "--gil F: runs without the GIL"),
        (["--gil", "X", "--free", "F"], "--gil X: No module named pykka"),
        (["--gil", "G", "--free", "O"], "not of the same minor version: 3.13 and 3.14"),
        (["--redraw"], "holds no figures: measure first"),
    ],
)
def test_a_wrong_argument_is_refused(
    arguments: list[str],
    why: str,
    suites: Suites,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is measured, with the way out."""
    suites.python["O"] = "3.14.1"
    with pytest.raises(SystemExit):
        report.main(["--out", str(tmp_path), *arguments])
    assert why in capsys.readouterr().err
    assert suites.run == []


@pytest.mark.usefixtures("suites")
def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before minutes are spent."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        call(tmp_path / "file")
    assert "file cannot be written" in capsys.readouterr().err


@pytest.mark.usefixtures("suites")
def test_without_matplotlib_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SystemExit):
        call(tmp_path)
    assert "python -m pip install --group bench" in capsys.readouterr().err
