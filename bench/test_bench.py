"""The works under pytest-benchmark: `pytest bench`, with all that plugin can store and compare.

Owns the cases: a work and a contestant each. What is timed is a whole turn in the
contestant's own process, from the request to the answer; the figures of the work itself
are in `extra_info`, with the build, the state of the GIL, cores and versions. It must not
know what the works measure. A run of the tests does not come here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bench import process
from bench.entrants import ordered, rounds_of
from bench.machine import machine
from bench.rounds import WARM, Unable
from bench.suites import SUITES

if TYPE_CHECKING:
    from bench.work import Work

MINUTES = 15
"""What a case may take, all rounds together."""

CASES = [
    pytest.param(suite, work, who, id=f"{suite}-{work.rows[0].name}-{who}")
    for suite, works in SUITES.items()
    for work in works
    for who in ordered(work.ways)
]


@pytest.mark.timeout(MINUTES * 60)
@pytest.mark.parametrize(("suite", "work", "who"), CASES)
def test_work(suite: str, work: Work, who: str, benchmark: Any) -> None:
    """Do the work a few times; with `--benchmark-disable` once, with few items."""
    quick = benchmark.disabled
    count = work.quick if quick else work.count
    figures = []
    benchmark.group = f"{suite}: {work.rows[0].name}"
    try:
        sit = process.seats(SUITES, process.QUICK if quick else process.LIMIT)
        with sit(work, who) as seat:
            if not quick and work.rounds > 1:
                seat.turn(max(1, count // WARM))
            benchmark.pedantic(
                lambda: figures.append(seat.turn(count)),
                rounds=rounds_of(who, work.rounds),
                iterations=1,
            )
    except Unable as why:
        pytest.skip(f"{who}: {why}")
    benchmark.extra_info.update(
        machine=machine(),
        count=count,
        figures={
            f"{row.name}, {row.unit}": [each[place] for each in figures]
            for place, row in enumerate(work.rows)
        },
    )
