"""One stage of several equal threads: what it costs to share out items that cost nothing.

Owns the three ways to share out. Figures are microseconds per item. It must not know the
library's insides.
"""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from bench import peers_pypeln
from bench.contestants import Goal, Plain, consuming, same
from bench.rush import aim, per_item, rush, share
from bench.work import Row, Work
from threadsup import Supervisor, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Call = Callable[[Any], Any]

__all__ = ["REPLICAS", "WORKS", "actors", "chain", "executor", "readers"]

REPLICAS = 4
CAPACITY = 1000


@contextmanager
def readers(workers: int, do: Call, goal: Goal) -> Iterator[Call]:
    """Let as many threads read one queue; the goal has a queue as well, for one counter."""
    inbox, done = queue.SimpleQueue[Any](), queue.SimpleQueue[Any]()
    with consuming(*[(inbox, lambda item: done.put(do(item)))] * workers, (done, goal)):
        yield inbox.put


@contextmanager
def actors(workers: int, do: Call, goal: Goal) -> Iterator[Call]:
    """Tell as many actors in turn."""
    last = Plain.start(goal)
    refs = [Plain.start(lambda item: last.tell(do(item))) for _ in range(workers)]
    tells = [ref.tell for ref in refs]
    yield lambda item: tells[item % workers](item)
    for ref in [*refs, last]:
        ref.stop()


@contextmanager
def executor(workers: int, do: Call, goal: Goal) -> Iterator[Call]:
    """Submit to as many threads, and hand on to one more."""
    with ThreadPoolExecutor(1) as last, ThreadPoolExecutor(workers) as pool:
        yield lambda item: pool.submit(lambda: last.submit(goal, do(item)))


@contextmanager
def chain(workers: int, do: Call, goal: Goal) -> Iterator[Call]:
    """Tell a chain whose first stage has as many replicas."""
    with Supervisor("bench") as sup:
        stages = [stage(do, id="do", workers=workers), stage(goal, id="count")]
        yield sup.add_chain("chain", stages, capacity=CAPACITY).tell


def shared(way: Callable[..., Any], count: int) -> float:
    """Tell so many items, after a tenth of them for nothing; return the seconds."""
    goal = Goal(0)
    seconds = 0.0
    with way(REPLICAS, same, goal) as tell:

        def send(times: int) -> None:
            for number in range(times):
                tell(number)

        for times in (share(count, 10), count):
            aim(goal, times)
            seconds = rush([partial(send, times)], [goal])
    return seconds


WORKS = (
    Work(
        rows=(Row(f"a stage of {REPLICAS} replicas, per item", "us"),),
        ways={
            **{
                who: partial(per_item, partial(shared, way))
                for who, way in (
                    ("floor", readers),
                    ("Pykka", actors),
                    ("ThreadPoolExecutor", executor),
                )
            },
            "pypeln": partial(peers_pypeln.mapped, 1, REPLICAS, CAPACITY),
            "threadsup": partial(per_item, partial(shared, chain)),
        },
        count=50_000,
        quick=200,
    ),
)
