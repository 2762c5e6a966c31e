"""Many small chains: how long it takes until all run, and until none does.

Owns the starting and stopping of as many threads in three ways. Figures are seconds.
It must not know the library's insides.
"""

from __future__ import annotations

import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.contestants import Plain, same
from bench.work import Bar, Row, Work
from threadsup import Supervisor, stage

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WORKS"]

STAGES = 3
CHAINS = 1000


def start_bare(chains: int) -> tuple[float, ...]:
    """Start a thread per queue, then send each one home."""
    inboxes = [queue.SimpleQueue[Any]() for _ in range(chains * STAGES)]
    began = time.perf_counter()
    threads = [threading.Thread(target=inbox.get, daemon=True) for inbox in inboxes]
    for thread in threads:
        thread.start()
    started = time.perf_counter()
    for inbox in inboxes:
        inbox.put(None)
    for thread in threads:
        thread.join()
    return started - began, time.perf_counter() - started


def start_pykka(chains: int) -> tuple[float, ...]:
    """Start an actor per stage, each told who comes next; then stop them."""
    began = time.perf_counter()
    refs = []
    for _ in range(chains):
        following: Callable[[Any], Any] = same
        for _ in range(STAGES):
            refs.append(Plain.start(following))
            following = refs[-1].tell
    started = time.perf_counter()
    stopped = [ref.stop(block=False) for ref in refs]
    for each in stopped:
        each.get()
    return started - began, time.perf_counter() - started


def start_declared(chains: int) -> tuple[float, ...]:
    """Declare all chains, then start the tree; `start` returns when all stages are up."""
    began = time.perf_counter()
    sup = Supervisor("bench")
    for number in range(chains):
        sup.add_chain(number, _stages())
    sup.start()
    started = time.perf_counter()
    sup.stop()
    return started - began, time.perf_counter() - started


def start_running(chains: int) -> tuple[float, ...]:
    """Add one chain after the other to a tree that runs, and wait for each to be up."""
    with Supervisor("bench") as sup:
        began = time.perf_counter()
        for number in range(chains):
            sup.add_chain(number, _stages())
        started = time.perf_counter()
        sup.stop()
        return started - began, time.perf_counter() - started


def _stages() -> list[Any]:
    return [stage(same, id=number) for number in range(STAGES)]


def _within(seconds: float, medians: Any) -> bool:
    return bool(medians["threadsup"] < seconds)


_BAR = Bar(f"{CHAINS:,} chains of {STAGES} stages < 2 s", partial(_within, 2.0))

WORKS = tuple(
    Work(
        rows=(
            Row(f"{CHAINS:,} chains of {STAGES} {how}: start", "s", _BAR),
            Row(f"{CHAINS:,} chains of {STAGES} {how}: stop", "s"),
        ),
        ways={"floor": start_bare, "Pykka": start_pykka, "threadsup": way},
        count=CHAINS,
        quick=5,
        rounds=3,
    )
    for how, way in (("declared", start_declared), ("one by one", start_running))
)
