"""The works of the benchmark: each way comes to its end and gives figures that can be true.

No test here judges a time.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from bench import memory
from bench.entrants import lacking
from bench.suites import SUITES

if TYPE_CHECKING:
    from bench.work import Work

THREADS = ("floor", "queue.Queue", "ThreadPoolExecutor", "Pykka", "threadsup")
"""Those that need no package beside those of the tests, and start no process."""

REASONS = (
    "ThreadPoolExecutor.shutdown knows no limit",
    "no threadsup.Pool",
    "no os.sched_setaffinity here",
    "only one core here",
    "1 core here, 2 needed",
    "no /proc/self/task here",
)
"""Why a way may say that it cannot be gone."""

FROM_ZERO = ("ms/s", "1/s", "KiB", "MB")
"""Units of which there may be none, or so little that it drowns in the pages of the rest."""

ALL = [(name, work) for name, works in SUITES.items() for work in works]

WAYS = [
    pytest.param(work, who, id=f"{name}-{work.rows[0].name}-{who}")
    for name, work in ALL
    for who in work.ways
    if who in THREADS and work not in memory.WORKS  # these start processes, and are tested apart
]


@pytest.mark.parametrize(("work", "who"), WAYS)
def test_each_way_gives_a_figure_for_each_row(work: Work, who: str) -> None:
    """It comes to its end with few items and leaves nothing behind, or says why it cannot."""
    figures: tuple[float, ...] = ()
    reason = ""
    try:
        figures = work.ways[who](work.quick)
    except NotImplementedError as why:
        reason = str(why)
    if reason:
        assert reason in REASONS
        return
    assert len(figures) == len(work.rows)
    for row, figure in zip(work.rows, figures, strict=True):
        assert isinstance(figure, int | float)
        if row.unit == "n^x":
            assert -3 < figure < 3
        elif row.unit in FROM_ZERO:
            assert -100 < figure < 10_000
        else:
            assert figure > 0


def test_each_way_can_be_found_by_another_process() -> None:
    """It is a function of a module, or made of some: nothing that is only here."""
    for _, work in ALL:
        for way in work.ways.values():
            assert pickle.loads(pickle.dumps(way)) is not None  # noqa: S301 - our own


def test_each_work_is_done_by_threadsup() -> None:
    """Everybody else is there for comparison."""
    assert all("threadsup" in work.ways for _, work in ALL)


def test_who_is_not_installed_is_looked_for_only_when_its_way_is_gone() -> None:
    """The modules of the others can be imported without them: they have been, for this one."""
    others = {who for _, work in ALL for who in work.ways} - set(THREADS)
    assert others == {"pypeln", "Ray", "Thespian", "xoscar"}


@pytest.mark.parametrize("who", ["pypeln", "Ray", "Thespian", "xoscar"])
def test_who_is_not_installed_says_so(who: str) -> None:
    """Each way of it raises what names the module; one that is installed is left alone."""
    for _, work in ALL:
        if who in work.ways and lacking(who):
            with pytest.raises(ModuleNotFoundError, match=who.lower()):
                work.ways[who](work.quick)
