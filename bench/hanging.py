"""A stop while one worker of ten hangs: how long after its limit it returns.

Owns the worker that hangs, and lets it go when the clock has stopped. Figures are
milliseconds past the limit. It must not know the library's insides.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pykka

from bench.bars import at_most
from bench.contestants import PATIENCE, Plain, same
from bench.crashing import silence
from bench.work import Row, Work
from threadsup import Supervisor, handler, worker_spec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WORKS"]

WORKERS = 10
LIMIT = 0.2
"""Seconds a stop may take."""


class Hung:
    """Handles a message by waiting until it is let go."""

    def __init__(self) -> None:
        self.hangs = threading.Event()
        self.free = threading.Event()

    def __call__(self, _: Any) -> None:
        """Hang."""
        self.hangs.set()
        self.free.wait(PATIENCE)


def bare(hung: Hung) -> float:
    """Send all home, and join with what is left of the limit."""
    handles = [hung, *[same] * (WORKERS - 1)]
    inboxes = [queue.SimpleQueue[Any]() for _ in handles]

    def loop(inbox: queue.SimpleQueue[Any], handle: Callable[[Any], Any]) -> None:
        while (message := inbox.get()) is not None:
            handle(message)

    threads = [
        threading.Thread(target=loop, args=pair, daemon=True)
        for pair in zip(inboxes, handles, strict=True)
    ]
    for thread in threads:
        thread.start()
    inboxes[0].put(0)
    hung.hangs.wait(PATIENCE)
    began = time.perf_counter()
    for inbox in inboxes:
        inbox.put(None)
    for thread in threads:
        thread.join(max(0.0, began + LIMIT - time.perf_counter()))
    seconds = time.perf_counter() - began
    hung.free.set()
    for thread in threads:
        thread.join(PATIENCE)
    return seconds


def actors(hung: Hung) -> float:
    """Stop all without blocking, and wait with what is left of the limit."""
    refs = [Plain.start(handle) for handle in [hung, *[same] * (WORKERS - 1)]]
    refs[0].tell(0)
    hung.hangs.wait(PATIENCE)
    began = time.perf_counter()
    stopped = [ref.stop(block=False) for ref in refs]
    for each in stopped:
        with suppress(pykka.Timeout):
            each.get(timeout=max(0.0, began + LIMIT - time.perf_counter()))
    seconds = time.perf_counter() - began
    hung.free.set()
    for each in stopped:
        each.get(timeout=PATIENCE)
    return seconds


def executor(hung: Hung) -> float:
    """Do not even try.

    Raises:
        NotImplementedError: it waits for ever.
    """
    del hung
    raise NotImplementedError(f"{ThreadPoolExecutor.__name__}.shutdown knows no limit")


def supervised(hung: Hung) -> float:
    """Stop a tree whose limit for each worker it is."""
    handles: list[Callable[[Any], Any]] = [hung, *[same] * (WORKERS - 1)]
    members = [
        worker_spec(handler(each), id=number, shutdown=LIMIT) for number, each in enumerate(handles)
    ]
    with silence("threadsup"):  # that one was abandoned is no news
        sup = Supervisor("bench").start()
        group = sup.add_group("group", members)
        group.tell(0, 0)
        hung.hangs.wait(PATIENCE)
        began = time.perf_counter()
        report = sup.stop()
        seconds = time.perf_counter() - began
        hung.free.set()
    if len(report.abandoned) != 1:
        raise RuntimeError(f"one was to be abandoned, {len(report.abandoned)} were")
    return seconds


def past_limit(way: Callable[[Hung], float], count: int) -> tuple[float, ...]:
    """Stop so many times, and return how many milliseconds past the limit it was at worst."""
    return (max(way(Hung()) for _ in range(count)) * 1e3 - LIMIT * 1e3,)


WORKS = (
    Work(
        rows=(
            Row(
                f"stop, 1 of {WORKERS} workers hung: past the limit of {LIMIT:g} s",
                "ms",
                at_most(100.0, unit="ms"),
            ),
        ),
        ways={
            "floor": partial(past_limit, bare),
            "Pykka": partial(past_limit, actors),
            "ThreadPoolExecutor": partial(past_limit, executor),
            "threadsup": partial(past_limit, supervised),
        },
        count=3,
        quick=1,
        rounds=3,
    ),
)
