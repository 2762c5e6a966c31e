"""Timing a scenario: senders behind one barrier, single calls, one core or two.

Owns when a clock starts and stops. It must not know who is timed.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bench.contestants import Goal

__all__ = ["aim", "cores", "each", "fewer", "on_cores", "p50", "p99", "per_item", "rush", "share"]


def rush(jobs: Sequence[Callable[[], Any]], goals: Iterable[Goal]) -> float:
    """Return the seconds from when all jobs may begin until all goals are reached. Blocks.

    Each job has a thread of its own; the clock starts when the last of them is up.
    """
    began = 0.0

    def start() -> None:
        nonlocal began
        began = time.perf_counter()

    gate = threading.Barrier(len(jobs), action=start)

    def run(job: Callable[[], Any]) -> None:
        gate.wait()
        job()

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for goal in goals:
        goal.wait()
    seconds = time.perf_counter() - began
    for thread in threads:
        thread.join()
    return seconds


def aim(goal: Goal, count: int) -> None:
    """Use a goal that was reached, or not used yet, once more."""
    goal.left = count
    goal.reached.clear()


def share(count: int, parts: int) -> int:
    """Return how many of `count` fall to each of so many parts: 1 at least."""
    return max(1, count // parts)


def fewer(times: int, way: Callable[[int], tuple[float, ...]], count: int) -> tuple[float, ...]:
    """Do so many times less of it: for who is so slow that a figure per item needs no more."""
    return way(share(count, times))


def per_item(way: Callable[[int], float], count: int) -> tuple[float, ...]:
    """Return microseconds per item, where `way` gives seconds for all."""
    return (way(count) / count * 1e6,)


def each(call: Callable[[int], Any], count: int) -> list[float]:
    """Return the seconds of each of so many calls, one after the other, the shortest first.

    A tenth as many are made before, for nothing.
    """
    for number in range(share(count, 10)):
        call(number)
    clock, times = time.perf_counter, []
    for number in range(count):
        began = clock()
        call(number)
        times.append(clock() - began)
    times.sort()
    return times


def p50(times: Sequence[float]) -> float:
    """Return what half of the times stay below; they are in order."""
    return times[(len(times) - 1) // 2]


def p99(times: Sequence[float]) -> float:
    """Return what 99 of 100 times stay below; they are in order."""
    return times[-(-len(times) * 99 // 100) - 1]


# -- cores ------------------------------------------------------------------------------


def cores() -> list[int]:
    """Return the numbers of the cores this process may use.

    Raises:
        NotImplementedError: the system does not tell, nor would it let us choose.
    """
    if not hasattr(os, "sched_getaffinity"):
        raise NotImplementedError("no os.sched_setaffinity here")
    return sorted(os.sched_getaffinity(0))


@contextmanager
def on_cores(chosen: Iterable[int]) -> Iterator[None]:
    """Keep the calling thread, and all that are started meanwhile, on these cores."""
    before = cores()
    os.sched_setaffinity(0, set(chosen))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
