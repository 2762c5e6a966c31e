"""Work that keeps a processor busy: what replicas and stages make of several cores.

Owns the spinning and the ways to share it out. Figures are how many times as fast several
threads are as one. It must not know the library's insides.
"""

from __future__ import annotations

import queue
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from bench import peers_pypeln, peers_ray, replicas
from bench.contestants import Goal, Plain, consuming, timed
from bench.rush import aim
from bench.work import Bar, Row, Work
from threadsup import Supervisor, stage

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[Any], Any]

__all__ = ["STAGES", "WORKS", "spin", "stages_bare", "stages_pykka", "stages_supervised"]

STAGES = 4
SPINS = 20_000
"""Half a millisecond or so: what passes items on is lost in it."""


def spin(item: Any) -> Any:
    """Keep a core busy."""
    for _ in range(SPINS):
        pass
    return item


def _both(put: Call, count: int, goal: Goal) -> float:
    aim(goal, 4)
    timed(put, 4, goal)  # to warm up
    aim(goal, count)
    return timed(put, count, goal)


# -- replicas ---------------------------------------------------------------------------


def two_over_one(way: Callable[..., Any], count: int) -> tuple[float, ...]:
    """Have the same items spun by one replica, then by two."""
    times = []
    for workers in (1, 2):
        goal = Goal(0)
        with way(workers, spin, goal) as put:
            times.append(_both(put, count, goal))
    alone, together = times
    return (alone / together,)


# -- stages -----------------------------------------------------------------------------


def stages_bare(stages: int, count: int) -> float:
    """Spin once in each of as many threads."""
    goal = Goal(0)
    inboxes = [queue.SimpleQueue[Any]() for _ in range(stages)]

    def link(put: Call) -> Call:
        return lambda item: put(spin(item))

    handles = [*(link(inbox.put) for inbox in inboxes[1:]), link(goal)]
    with consuming(*zip(inboxes, handles, strict=True)):
        return _both(inboxes[0].put, count, goal)


def stages_pykka(stages: int, count: int) -> float:
    """Spin once in each of as many actors."""
    goal = Goal(0)
    refs = [Plain.start(lambda item: goal(spin(item)))]
    for _ in range(stages - 1):
        tell = refs[0].tell
        refs.insert(0, Plain.start(lambda item, tell=tell: tell(spin(item))))
    seconds = _both(refs[0].tell, count, goal)
    for ref in refs:
        ref.stop()
    return seconds


def stages_supervised(stages: int, count: int) -> float:
    """Spin once in each stage of a chain."""
    goal = Goal(0)
    with Supervisor("bench") as sup:
        members = [stage(spin, id=number) for number in range(stages)]
        chain = sup.add_chain("chain", members, on_result=goal)
        return _both(chain.tell, count, goal)


def over_alone(way: Callable[[int, int], float], count: int) -> tuple[float, ...]:
    """Have the items spun by one thread, then by the stages."""
    began = time.perf_counter()
    for item in range(count * STAGES):
        spin(item)
    alone = time.perf_counter() - began
    return (alone / way(STAGES, count),)


# -- works ------------------------------------------------------------------------------

_FULL = 1.8


def _reaches(speed: float, medians: Any) -> bool:
    return bool(medians["threadsup"] >= speed)


def _near(share_of: float, medians: Any) -> bool:
    return bool(medians["threadsup"] >= share_of * medians["floor"])


_BAR = Bar(
    f">= {_FULL}x",
    partial(_reaches, _FULL),
    needs_cores=True,
    aim=Bar("0.98 of the floor", partial(_near, 0.98)),
)

WORKS = (
    Work(
        rows=(Row("2 CPU-bound replicas over 1", "times", _BAR, more_is_better=True),),
        ways={
            "floor": partial(two_over_one, replicas.readers),
            "Pykka": partial(two_over_one, replicas.actors),
            "ThreadPoolExecutor": partial(two_over_one, replicas.executor),
            "pypeln": partial(peers_pypeln.two_over_one, spin),
            "Ray": partial(peers_ray.two_over_one, spin),
            "threadsup": partial(two_over_one, replicas.chain),
        },
        count=400,
        quick=8,
    ),
    Work(
        rows=(Row(f"{STAGES} CPU-bound stages over 1 thread", "times", _BAR, more_is_better=True),),
        ways={
            "floor": partial(over_alone, stages_bare),
            "Pykka": partial(over_alone, stages_pykka),
            "threadsup": partial(over_alone, stages_supervised),
        },
        count=200,
        quick=4,
    ),
)
