"""The same work on 1 core, on 2, on as many as there are: what each more is worth.

Owns the choice of cores. Figures are how many times as fast it is as on one core. It must
not know how a contestant works.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from bench.contestants import Goal
from bench.cores import stages_bare, stages_pykka, stages_supervised
from bench.crews import TOLD
from bench.rush import cores, on_cores, share
from bench.tells import send
from bench.work import Row, Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.crews import Crew

__all__ = ["WORKS"]


def steps(most: int) -> list[int]:
    """Return 2, 4, 8 and so on, and the last number, which is how many cores there are."""
    return [*(1 << n for n in range(1, most.bit_length()) if 1 << n < most), most]


_MOST = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
STEPS = steps(max(2, _MOST))


def over_one_core(way: Callable[[int], float], count: int) -> tuple[float, ...]:
    """Do it on one core, then on more; return how many times as fast each of these is.

    Raises:
        NotImplementedError: threads cannot be kept on a core here, or there is only one.
    """
    ours = cores()
    if len(ours) < STEPS[-1]:
        raise NotImplementedError(f"{len(ours)} core here, {STEPS[-1]} needed")
    times = []
    for many in (1, *STEPS):
        with on_cores(ours[:many]):
            times.append(way(count))
    return tuple(times[0] / each for each in times[1:])


def pairs(crew: Crew, count: int) -> float:
    """Let each of as many senders as there are cores tell a receiver of its own."""
    goals = [Goal(0) for _ in range(STEPS[-1])]
    with crew(goals) as tells:
        shares = [[one] for one in tells]
        send(shares, goals, share(count, 10))
        _, seconds = send(shares, goals, count)
    return seconds


def _rows(name: str) -> tuple[Row, ...]:
    return tuple(
        Row(
            f"{name}: {many} cores over 1",
            "times",
            more_is_better=True,
            curve=f"{name}, over 1 core",
            at=many,
            axis="cores",
        )
        for many in STEPS
    )


WORKS = (
    Work(
        rows=_rows(f"{STEPS[-1]} CPU-bound stages"),
        ways={
            who: partial(over_one_core, partial(way, STEPS[-1]))
            for who, way in (
                ("floor", stages_bare),
                ("Pykka", stages_pykka),
                ("threadsup", stages_supervised),
            )
        },
        count=200,
        quick=4,
    ),
    Work(
        rows=_rows(f"tells of {STEPS[-1]} pairs"),
        ways={
            who: partial(over_one_core, partial(pairs, TOLD[who]))
            for who in ("floor", "queue.Queue", "Pykka", "threadsup")
        },
        count=100_000,
        quick=200,
    ),
)
