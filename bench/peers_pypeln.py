"""The works as pypeln does them: `pypeln.thread`, stages of threads between bounded queues.

Owns what is said in pypeln's own words. It must not be imported by it: pypeln is only
looked for when a way is gone.
"""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

from bench.contestants import same
from bench.rush import share

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["mapped", "two_over_one"]


def _pypeln() -> Any:
    return importlib.import_module("pypeln")


def mapped(stages: int, workers: int, capacity: int, count: int) -> tuple[float, ...]:
    """Read all results of as many stages; microseconds per item.

    Its threads start when the first result is asked for, and end after the last: that is in
    the figure, as there is no other way to use it.
    """
    seconds = 0.0
    for times in (share(count, 10), count):
        began = time.perf_counter()
        _read(same, stages, workers, capacity, times)
        seconds = time.perf_counter() - began
    return (seconds / count * 1e6,)


def two_over_one(spin: Callable[[Any], Any], count: int) -> tuple[float, ...]:
    """Read the results of one worker, then of two; how many times as fast these are."""
    times = []
    _read(spin, 1, 1, 0, 4)  # to warm up
    for workers in (1, 2):
        began = time.perf_counter()
        _read(spin, 1, workers, 0, count)
        times.append(time.perf_counter() - began)
    return (times[0] / times[1],)


def _read(do: Callable[[Any], Any], stages: int, workers: int, capacity: int, count: int) -> None:
    thread = _pypeln().thread
    stage: Any = range(count)
    for _ in range(stages):
        stage = thread.map(do, stage, workers=workers, maxsize=capacity)
    read = sum(1 for _ in stage)
    if read != count:
        raise RuntimeError(f"{read} results of {count} items")
