"""What a table says, in text and in HTML, and what the document holds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench import show, table
from bench.bars import at_most, over, within
from bench.machine import machine, summary
from bench.work import Bar, Result, Row

BAR = over("Pykka", 4, 2, aim=within("floor", 1))


def result(bar: Bar | None = BAR, *, free: bool = False, **options: Any) -> Result:
    figures = {"floor": [1.0], "Pykka": [7.0, 8.0, 9.0], "threadsup": [2.0]}
    unable = {"Ray": "not installed"}
    row = Row("a <row>", "us", bar, **options)
    return Result(row, 3, {**figures, "queue.Queue": [1234.5]}, unable, free)


def test_a_line_has_figures_ratios_and_the_bar() -> None:
    """Who has no column stands below, with the reason where there is no figure."""
    line, others = show.lines(result(), quick=False).splitlines()
    assert line.split() == [
        *("a", "<row>", "us", "1", "±", "0%", "8", "±12%", "2", "±", "0%"),
        *("0.50", "4.00", ">=", "4x", "Pykka:", "reached"),
    ]
    assert others == "    queue.Queue 1,234 ± 0%; Ray: not installed"


def test_columns_stand_below_their_titles() -> None:
    """The figures end where the titles end."""
    line, _ = show.lines(result(), quick=False).splitlines()
    titles = show.titles()
    for who, end in (("floor", "± 0%"), ("Pykka", "±12%"), ("x floor", "0.50")):
        assert line[: titles.index(who) + len(who)].endswith(end)


def test_who_has_no_figure_has_a_dash() -> None:
    """A row that nobody else does is a row."""
    line = show.lines(Result(Row("r", "s"), 1, {"threadsup": [1.0]}), quick=False)
    assert line.split() == ["r", "s", "-", "-", "1", "±", "0%", "-", "-"]


def test_many_others_take_several_lines() -> None:
    """Nobody reads a line that a terminal breaks."""
    unable = {f"contestant {number}": "not installed here" for number in range(9)}
    found = show.lines(Result(Row("r", "s"), 1, {}, unable), quick=False).splitlines()
    assert len(found) > 2
    assert all(len(line) <= 110 for line in found[1:])


@pytest.mark.parametrize(
    ("found", "quick", "said"),
    [
        (result(), True, ">= 4x Pykka: not judged, this is too short"),
        (result(at_most(1, unit="us")), False, "<= 1 us: MISSED"),
        (result(free=True), False, ">= 2x Pykka: reached"),
        (result(over("Ray", 1)), False, "not slower than Ray: not judged, Ray: not installed"),
        (result(None), False, ""),
    ],
)
def test_the_bar_says_what_became_of_it(found: Result, quick: bool, said: str) -> None:
    """Reached, missed, or not judged and why."""
    assert show.verdict(found, quick=quick) == said


def test_the_document_holds_it_all() -> None:
    """Every figure, every reason, the machine; JSON can hold it."""
    about = machine()
    found = show.document(about, {"s": [result(curve="c", at=2.0, axis="pairs")]}, quick=False)
    assert json.loads(json.dumps(found)) == found
    assert (found["schema"], found["quick"], found["machine"]) == (1, False, about)
    (row,) = found["rows"]
    assert row.keys() == {
        *("suite", "name", "unit", "more_is_better", "curve", "at", "axis", "count", "gil"),
        *("figures", "medians", "spreads", "unable", "times_floor", "times_pykka"),
        *("bar", "reached", "exempt", "aim", "aim_reached"),
    }
    assert (row["suite"], row["count"], row["gil"]) == ("s", 3, True)
    assert row["figures"]["Pykka"] == [7.0, 8.0, 9.0]
    assert (row["medians"]["Pykka"], row["spreads"]["Pykka"]) == (8.0, 0.125)
    assert (row["bar"], row["reached"]) == (">= 4x Pykka", True)
    assert (row["aim"], row["aim_reached"]) == ("not slower than the floor", False)
    assert row["unable"] == {"Ray": "not installed"}


def test_a_quick_document_judges_nothing() -> None:
    """Neither bars nor aims."""
    (row,) = show.document(machine(), {"s": [result()]}, quick=True)["rows"]
    assert (row["reached"], row["aim_reached"]) == (None, None)


def test_the_machine_is_described_and_not_named() -> None:
    """Build, cores, memory and versions; no host, no user, no path."""
    about = machine()
    assert about.keys() == {
        *("python", "implementation", "build", "free_threaded", "gil", "cores", "memory_gib"),
        *("system", "switch_interval_ms", "versions"),
    }
    assert "/" not in json.dumps(about)
    assert f"{about['cores']} cores" in summary(about)
    assert "3.5 GiB" in summary({**about, "memory_gib": 3.5})
    assert "GiB" not in summary({**about, "memory_gib": None})
    assert "without the GIL" in summary({**about, "gil": False})
    assert show.heading(about).startswith(summary(about))


# -- the page ---------------------------------------------------------------------------


def page(*results: Result, quick: bool = False) -> str:
    return table.page(show.document(machine(), {"suite <s>": list(results)}, quick=quick))


def test_the_page_shows_each_row_with_its_contestants() -> None:
    """Names are text, never markup; nothing is loaded from anywhere."""
    found = page(result())
    assert "<h2>suite &lt;s&gt;</h2>" in found
    assert "a &lt;row&gt;" in found
    assert "<small>us, less is better</small>" in found
    assert 'class="why">not installed<' in found
    assert "http" not in found
    assert "src=" not in found
    assert found.index(">floor<") < found.index(">Pykka<") < found.index(">threadsup<")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (result(), '4x Pykka: <span class="met">reached'),
        (result(at_most(1, unit="us")), '1 us: <span class="missed">missed'),
        (result(over("Ray", 1)), "Ray: not judged, Ray: not installed"),
        (result(None, more_is_better=True), "more is better"),
    ],
)
def test_the_page_says_what_became_of_the_bar(found: Result, said: str) -> None:
    """As the table does."""
    assert said in page(found)


def test_a_quick_page_says_that_it_is_one() -> None:
    """Its figures are no figures."""
    found = page(result(), quick=True)
    assert "A quick run" in found
    assert "not judged, this is too short" in found
