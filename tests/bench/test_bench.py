"""The benchmark: that each work works, that rounds take turns, and what a table says.

No test here judges a time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bench import __main__ as command
from bench import chain, memory, show, work
from bench.work import Bar, Result, Row, Work, run

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKS = [
    pytest.param(each, id=f"{name}-{each.rows[0].name}")
    for name, works in command.SUITES.items()
    for each in works
    if each not in memory.WORKS  # these start processes: see below
]


@pytest.mark.parametrize("each", WORKS)
def test_each_work_gives_a_figure_for_each_row_and_contestant(each: Work) -> None:
    """It comes to its end with few items, and leaves nothing behind."""
    results = run(each, quick=True)
    assert [result.row for result in results] == list(each.rows)
    for result in results:
        assert result.figures.keys() == each.ways.keys()
        assert all(figure > 0 for figures in result.figures.values() for figure in figures)


@pytest.mark.parametrize("form", memory.FORMS)
def test_the_memory_of_a_stream_is_watched(form: str) -> None:
    """All results are read, and a growth is a number of megabytes."""
    assert memory.growth(form, 2_000) >= 0
    assert memory.resident() > 1_000_000


def test_a_stream_that_loses_results_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of what was not done says nothing."""

    def short(count: int) -> Iterator[Any]:
        yield from range(count - 1)

    monkeypatch.setitem(memory.FORMS, "many", short)
    with pytest.raises(RuntimeError, match="9 results of 10"):
        memory.growth("many", 10)


# -- rounds and ratios ------------------------------------------------------------------


def _work(order: list[str], figures: dict[str, Iterator[float]], **options: Any) -> Work:
    def way(who: Any) -> Any:
        def measured(count: int) -> tuple[float, ...]:
            order.append(who)
            return (next(figures[who]) if count == 100 else 0.0,)

        return measured

    row = Row("a row", "us", options.pop("bar", None))
    ways: Any = {who: way(who) for who in figures}
    return Work(rows=(row,), ways=ways, count=100, quick=1, **options)


def test_contestants_take_turns() -> None:
    """Each is warmed up, then each does a round before any does the next."""
    order: list[str] = []
    figures = {who: iter([1.0, 2.0, 3.0]) for who in ("floor", "Pykka", "threadsup")}
    (result,) = run(_work(order, figures, rounds=3))
    f: Any = "floor"
    p: Any = "Pykka"
    t: Any = "threadsup"
    assert order == [f, p, t, f, p, t, p, t, f, t, f, p]
    assert result.figures == {who: [1.0, 2.0, 3.0] for who in (f, p, t)}
    assert result.medians[t] == 2.0
    assert result.spread(t) == 0.5


def test_a_ratio_above_one_is_good_whatever_the_unit() -> None:
    """Where more is better it is ours over theirs, elsewhere the other way round."""
    figures: Any = {"Pykka": [8.0], "threadsup": [2.0]}
    assert Result(Row("time", "us"), 1, figures).over("Pykka") == 4.0
    assert Result(Row("speed", "times", more_is_better=True), 1, figures).over("Pykka") == 0.25
    assert Result(Row("time", "us"), 1, figures).over("floor") is None


@pytest.mark.parametrize(("ours", "said"), [(2.0, "reached"), (2.1, "MISSED")])
def test_a_bar_is_judged_by_the_medians(ours: float, said: str) -> None:
    """The row says which it is; too short a run says nothing."""
    bar = Bar("4x", lambda medians: medians["Pykka"] >= 4 * medians["threadsup"])
    result = Result(Row("r", "us", bar), 1, {"Pykka": [8.0], "threadsup": [ours]})
    assert show.line(result, quick=False).endswith(f"4x: {said}")
    assert show.line(result, quick=True).endswith("4x: not judged, this is too short")


def test_a_bar_for_several_cores_says_that_it_does_not_apply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the GIL it is neither reached nor missed."""
    bar = Bar("1.8x", lambda medians: medians["threadsup"] >= 1.8, needs_cores=True)
    result = Result(Row("r", "times", bar), 1, {"threadsup": [1.0]})
    for free, said in ((True, "MISSED"), (False, "not for a build with the GIL")):
        monkeypatch.setattr(work, "free_threaded", lambda free=free: free)
        assert show.line(result, quick=False).endswith(f"1.8x: {said}")


def test_what_bare_threads_do_not_reach_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine whose cores are busy, or that has one, nobody is faster on two."""
    monkeypatch.setattr(work, "free_threaded", lambda: True)
    bar = Bar("1.8x", lambda medians: medians["threadsup"] >= 1.8, needs_cores=True)
    result = Result(Row("r", "times", bar), 1, {"floor": [1.1], "threadsup": [1.0]})
    assert result.reached is None
    assert show.line(result, quick=False).endswith("the machine is busy")


# -- the command ------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Have one suite of one work that does nothing."""
    each = Work(
        rows=(Row("a row", "s"),), ways={"threadsup": lambda count: (count,)}, count=3, quick=1
    )
    monkeypatch.setattr(command, "SUITES", {"tiny": (each,)})
    monkeypatch.setattr(chain, "STREAMS", (each,))
    return each


@pytest.mark.parametrize("names", [[], ["tiny"]])
def test_the_table_has_a_line_for_each_row(
    tiny: Work, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """By name, or all of them without one; where the figures are from stands above."""
    assert command.main([*names, "--quick"]) == 0
    heading, titles, line = capsys.readouterr().out.splitlines()
    assert heading.startswith("CPython")
    assert titles.split()[:3] == ["floor", "Pykka", "threadsup"]
    assert line.split()[:6] == ["a", "row", "s", "-", "-", "1"]
    assert tiny.rows[0].name == "a row"


@pytest.mark.usefixtures("tiny")
def test_json_holds_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    """One document and nothing else, with what was asked for."""
    assert command.main(["--json", "--items", "7"]) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["rows"]
    assert (row["name"], row["count"], row["figures"]) == ("a row", 7, {"threadsup": [7] * 5})
    assert found["machine"]["free_threaded"] is work.free_threaded()


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("arguments", "why"),
    [(["nothing"], "no such work: nothing"), (["--items", "0"], "--items must be 1 or more")],
)
def test_a_wrong_argument_is_refused(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is measured."""
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert why in capsys.readouterr().err
