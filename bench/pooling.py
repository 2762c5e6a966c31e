"""Calls given to a pool of four: bursts of futures, and `map`.

Owns the calls. Figures are microseconds per call, from the first submitted until the last
result is read. It must not know the library's insides.
"""

from __future__ import annotations

import queue
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import threadsup
from bench import peers_pypeln, peers_ray
from bench.bars import over
from bench.contestants import consuming, same
from bench.rush import share
from bench.work import Row, Work

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WORKS"]

WORKERS = 4
BURST = 100


def supervised(workers: int) -> Executor:
    """Return a pool of supervised workers.

    Raises:
        NotImplementedError: this version has none.
    """
    make: Any = getattr(threadsup, "Pool", None)
    if make is None:
        raise NotImplementedError("no threadsup.Pool")
    made: Executor = make(workers)
    return made


# -- bursts -----------------------------------------------------------------------------


def burst_bare(count: int) -> tuple[float, ...]:
    """Put calls with standard futures into one queue that four threads read."""
    inbox = queue.SimpleQueue[Any]()

    def settle(pair: tuple[Any, Future[Any]]) -> None:
        pair[1].set_result(same(pair[0]))

    def submit(_: Any, number: int) -> Future[Any]:
        future = Future[Any]()
        inbox.put((number, future))
        return future

    with consuming(*[(inbox, settle)] * WORKERS):
        return _bursts(submit, count)


def burst(make: Callable[[int], Executor], count: int) -> tuple[float, ...]:
    """Submit a burst, read all results, submit the next."""
    with make(WORKERS) as pool:
        return _bursts(pool.submit, count)


def _bursts(submit: Callable[..., Future[Any]], count: int) -> tuple[float, ...]:
    size = min(BURST, count)
    seconds = 0.0
    for bursts in (share(count, 10 * size), share(count, size)):
        began = time.perf_counter()
        for _ in range(bursts):
            for future in [submit(same, number) for number in range(size)]:
                future.result()
        seconds = time.perf_counter() - began
    return (seconds / (share(count, size) * size) * 1e6,)


# -- map --------------------------------------------------------------------------------


def map_bare(count: int) -> tuple[float, ...]:
    """Put all into one queue, then read the results from another, in no order."""
    inbox, results = queue.SimpleQueue[Any](), queue.SimpleQueue[Any]()

    def mapped(_: Any, items: range) -> list[Any]:
        for item in items:
            inbox.put(item)
        return [results.get() for _ in items]

    with consuming(*[(inbox, lambda item: results.put(same(item)))] * WORKERS):
        return _mapped(mapped, count)


def mapped_by(make: Callable[[int], Executor], count: int) -> tuple[float, ...]:
    """Map, and read all results in order."""
    with make(WORKERS) as pool:
        return _mapped(pool.map, count)


def _mapped(mapped: Callable[..., Any], count: int) -> tuple[float, ...]:
    seconds = 0.0
    for times in (share(count, 10), count):
        began = time.perf_counter()
        read = sum(1 for _ in mapped(same, range(times)))
        seconds = time.perf_counter() - began
        if read != times:
            raise RuntimeError(f"{read} results of {times} calls")
    return (seconds / count * 1e6,)


# -- works ------------------------------------------------------------------------------

WORKS = (
    Work(
        rows=(
            Row(
                f"pool of {WORKERS}, submit and result, bursts of {BURST}",
                "us",
                over("ThreadPoolExecutor", 1),
            ),
        ),
        ways={
            "floor": burst_bare,
            "ThreadPoolExecutor": partial(burst, ThreadPoolExecutor),
            "Ray": partial(peers_ray.pooled_burst, WORKERS, BURST),
            "threadsup": partial(burst, supervised),
        },
        count=50_000,
        quick=100,
    ),
    Work(
        rows=(Row(f"pool of {WORKERS}, map", "us", over("ThreadPoolExecutor", 1)),),
        ways={
            "floor": map_bare,
            "ThreadPoolExecutor": partial(mapped_by, ThreadPoolExecutor),
            "pypeln": partial(peers_pypeln.mapped, 1, WORKERS, 0),
            "Ray": partial(peers_ray.pooled_map, WORKERS),
            "threadsup": partial(mapped_by, supervised),
        },
        count=50_000,
        quick=100,
    ),
)
