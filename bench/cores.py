"""Work that keeps a processor busy: what replicas and stages make of several cores.

Owns the spinning and the three ways to share it out. Figures are how many times as
fast several threads are as one. It must not know the library's insides.
"""

from __future__ import annotations

import queue
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.contestants import Goal, Plain, consuming, timed
from bench.work import Bar, Row, Work
from threadsup import Supervisor, stage

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WORKS"]

STAGES = 4
SPINS = 20_000
"""Half a millisecond or so: what passes items on is lost in it."""


def spin(item: Any) -> Any:
    """Keep a core busy."""
    for _ in range(SPINS):
        pass
    return item


# -- replicas ---------------------------------------------------------------------------


def spin_bare(workers: int, count: int) -> float:
    """Let as many threads read one queue; the goal is a queue as well, for one counter."""
    inbox, done = queue.SimpleQueue[Any](), queue.SimpleQueue[Any]()

    def handle(item: Any) -> None:
        done.put(spin(item))

    goal = Goal(count)
    with consuming(*[(inbox, handle)] * workers, (done, goal)):
        return timed(inbox.put, count, goal)


def spin_pykka(workers: int, count: int) -> float:
    """Tell as many actors in turn."""
    goal = Goal(count)
    last = Plain.start(goal)
    refs = [Plain.start(lambda item: last.tell(spin(item))) for _ in range(workers)]
    tells = [ref.tell for ref in refs]
    seconds = timed(lambda item: tells[item % workers](item), count, goal)
    for ref in [*refs, last]:
        ref.stop()
    return seconds


def spin_supervised(workers: int, count: int) -> float:
    """Tell a chain whose first stage has as many replicas."""
    goal = Goal(count)
    with Supervisor("bench") as sup:
        stages = [stage(spin, workers=workers), stage(goal, id="count")]
        chain = sup.add_chain("chain", stages)
        return timed(chain.tell, count, goal)


# -- stages -----------------------------------------------------------------------------


def four_bare(count: int) -> float:
    """Spin once in each of four threads."""
    goal = Goal(count)
    inboxes = [queue.SimpleQueue[Any]() for _ in range(STAGES)]

    def link(put: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda item: put(spin(item))

    handles = [*(link(inbox.put) for inbox in inboxes[1:]), link(goal)]
    with consuming(*zip(inboxes, handles, strict=True)):
        return timed(inboxes[0].put, count, goal)


def four_pykka(count: int) -> float:
    """Spin once in each of four actors."""
    goal = Goal(count)
    refs = [Plain.start(lambda item: goal(spin(item)))]
    for _ in range(STAGES - 1):
        tell = refs[0].tell
        refs.insert(0, Plain.start(lambda item, tell=tell: tell(spin(item))))
    seconds = timed(refs[0].tell, count, goal)
    for ref in refs:
        ref.stop()
    return seconds


def four_supervised(count: int) -> float:
    """Spin once in each stage of a chain."""
    goal = Goal(count)
    with Supervisor("bench") as sup:
        stages = [stage(spin, id=number) for number in range(STAGES)]
        chain = sup.add_chain("chain", stages, on_result=goal)
        return timed(chain.tell, count, goal)


# -- over one ---------------------------------------------------------------------------


def _two_over_one(way: Callable[[int, int], float]) -> Callable[[int], tuple[float, ...]]:
    def measured(count: int) -> tuple[float, ...]:
        return (way(1, count) / way(2, count),)

    return measured


def _four_over_one(way: Callable[[int], float]) -> Callable[[int], tuple[float, ...]]:
    def measured(count: int) -> tuple[float, ...]:
        began = time.perf_counter()
        for item in range(count * STAGES):
            spin(item)
        alone = time.perf_counter() - began
        return (alone / way(count),)

    return measured


def _reaches(speed: float, medians: Any) -> bool:
    return bool(medians["threadsup"] >= speed)


WORKS = (
    Work(
        rows=(
            Row(
                "2 CPU-bound replicas over 1",
                "times",
                Bar(
                    "2 replicas >= 1.8x on free-threaded",
                    partial(_reaches, 1.8),
                    needs_cores=True,
                ),
                more_is_better=True,
            ),
        ),
        ways={
            "floor": _two_over_one(spin_bare),
            "Pykka": _two_over_one(spin_pykka),
            "threadsup": _two_over_one(spin_supervised),
        },
        count=400,
        quick=8,
    ),
    Work(
        rows=(Row(f"{STAGES} CPU-bound stages over 1 thread", "times", more_is_better=True),),
        ways={
            "floor": _four_over_one(four_bare),
            "Pykka": _four_over_one(four_pykka),
            "threadsup": _four_over_one(four_supervised),
        },
        count=200,
        quick=4,
    ),
)
