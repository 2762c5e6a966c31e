"""Stages that do nothing: what it costs to hand an item on.

Owns the ways to pass items through 1, 4 or 16 threads: told, submitted, mapped. Figures
are microseconds per item. It must not know the library's insides: it is timed as users
call it.
"""

from __future__ import annotations

import queue
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pykka

from bench import peers_pypeln, peers_ray, peers_xoscar
from bench.bars import over
from bench.contestants import Goal, Plain, consuming, same
from bench.rush import aim, fewer, per_item, rush, share
from bench.work import Row, Work
from threadsup import Supervisor, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bench.work import Bar
    from threadsup import Chain

    Call = Callable[[Any], Any]

__all__ = ["WORKS"]

STAGES = 4
LENGTHS = (1, STAGES, 16)
WIDE = 1000
NARROW = 50
AHEAD = 4000
"""How many results a stream of bare threads or actors is ahead of who reads them, as
many as four stages of threadsup with room for 1,000 hold."""


@contextmanager
def linked(make: Callable[[], Any], stages: int, last: Call) -> Iterator[Call]:
    """Run as many threads, each with a queue; give what puts into the first."""
    inboxes = [make() for _ in range(stages)]

    def link(put: Call) -> Call:
        return lambda item: put(same(item))

    handles = [*(link(inbox.put) for inbox in inboxes[1:]), lambda item: last(same(item))]
    with consuming(*zip(inboxes, handles, strict=True)):
        yield inboxes[0].put


@contextmanager
def told(stages: int, last: Call) -> Iterator[Call]:
    """Run as many actors, each of which tells the next; their mailboxes know no bound."""
    refs: list[pykka.ActorRef[Plain]] = []
    following = last
    for _ in range(stages):
        refs.insert(0, Plain.start(lambda item, tell=following: tell(same(item))))
        following = refs[0].tell
    yield following
    for ref in refs:
        ref.stop()


def supervised(sup: Supervisor, stages: int, capacity: int, last: Call | None = None) -> Chain:
    """Run a chain whose mailboxes are bounded and whose items are all accounted for."""
    members = [stage(same, id=number) for number in range(stages)]
    return sup.add_chain("chain", members, capacity=capacity, on_result=last)


# -- told -------------------------------------------------------------------------------


def tell_bare(make: Callable[[], Any], stages: int, count: int) -> float:
    """Hand on through as many queues as there are stages."""
    goal = Goal(0)
    with linked(make, stages, goal) as put:
        return _told(put, goal, count)


def tell_pykka(stages: int, count: int) -> float:
    """Let each actor tell the next."""
    goal = Goal(0)
    with told(stages, goal) as tell:
        return _told(tell, goal, count)


def tell_supervised(capacity: int, stages: int, count: int) -> float:
    """Tell a chain."""
    goal = Goal(0)
    with Supervisor("bench") as sup:
        return _told(supervised(sup, stages, capacity, goal).tell, goal, count)


def _told(put: Call, goal: Goal, count: int) -> float:
    def send(times: int) -> None:
        for number in range(times):
            put(number)

    seconds = 0.0
    for times in (share(count, 10), count):
        aim(goal, times)
        seconds = rush([partial(send, times)], [goal])
    return seconds


# -- submitted --------------------------------------------------------------------------


def submit_bare(count: int) -> float:
    """Send each item with a standard future, which the last thread settles."""

    def settle(pair: tuple[Any, Future[Any]]) -> None:
        pair[1].set_result(pair[0])

    with linked(queue.SimpleQueue, STAGES, settle) as put:

        def submit(number: int) -> Future[Any]:
            future = Future[Any]()
            put((number, future))
            return future

        return _submitted(submit, count)


def submit_pykka(count: int) -> float:
    """Send each item with one of Pykka's futures, which the last actor settles."""

    def settle(pair: tuple[Any, pykka.ThreadingFuture[Any]]) -> None:
        pair[1].set(pair[0])

    with told(STAGES, settle) as tell:

        def submit(number: int) -> pykka.ThreadingFuture[Any]:
            future = pykka.ThreadingFuture[Any]()
            tell((number, future))
            return future

        return _submitted(submit, count, "get")


def submit_executor(count: int) -> float:
    """Submit to an executor of as many threads; one of them does all four calls."""
    with ThreadPoolExecutor(STAGES) as pool:
        return _submitted(lambda number: pool.submit(_all_stages, number), count)


def submit_supervised(count: int) -> float:
    """Submit items and wait for all results."""
    with Supervisor("bench") as sup:
        return _submitted(supervised(sup, STAGES, WIDE).submit, count)


def _all_stages(item: Any) -> Any:
    for _ in range(STAGES):
        item = same(item)
    return item


def _submitted(submit: Callable[[int], Any], count: int, read: str = "result") -> float:
    seconds = 0.0
    for times in (share(count, 10), count):
        began = time.perf_counter()
        futures = [submit(number) for number in range(times)]
        for future in futures:
            getattr(future, read)()
        seconds = time.perf_counter() - began
        futures.clear()
    return seconds


# -- mapped -----------------------------------------------------------------------------


def map_bare(make: Callable[[], Any], count: int) -> float:
    """Read results from one more queue, putting an item in for each that comes out."""
    results = make()
    with linked(make, STAGES, results.put) as put:
        return _read(lambda times: _stream(put, results, times), count)


def map_pykka(count: int) -> float:
    """As with bare threads; the last actor puts into the queue."""
    results = queue.SimpleQueue[Any]()
    with told(STAGES, results.put) as tell:
        return _read(lambda times: _stream(tell, results, times), count)


def _stream(put: Call, results: Any, count: int) -> Iterator[Any]:
    items = iter(range(count))
    for _, item in zip(range(AHEAD), items, strict=False):
        put(item)
    for _ in range(count):
        yield results.get()
        for item in items:
            put(item)
            break


def map_executor(count: int) -> float:
    """Map with an executor of as many threads; one of them does all four calls."""
    with ThreadPoolExecutor(STAGES) as pool:
        return _read(lambda times: pool.map(_all_stages, range(times)), count)


def map_supervised(count: int) -> float:
    """Iterate over what `map` gives, in the order of the items."""
    with Supervisor("bench") as sup:
        chain = supervised(sup, STAGES, WIDE)
        return _read(lambda times: chain.map(range(times)), count)


def _read(stream: Callable[[int], Iterable[Any]], count: int) -> float:
    seconds = 0.0
    for times in (share(count, 10), count):
        began = time.perf_counter()
        read = sum(1 for _ in stream(times))
        seconds = time.perf_counter() - began
        if read != times:
            raise RuntimeError(f"{read} results of {times} items")
    return seconds


# -- works ------------------------------------------------------------------------------

_BOUNDS: dict[int, Callable[[], Any]] = {
    WIDE: partial(queue.Queue, WIDE),
    NARROW: partial(queue.Queue, NARROW),
}
_BARS: dict[tuple[int, int], Bar] = {
    (STAGES, WIDE): over("Pykka", 8, 5, aim=over("floor", 1 / 2, 1 / 1.2)),
    (STAGES, NARROW): over("Pykka", 2, aim=over("floor", 2)),
}


def _tell(stages: int, capacity: int) -> Work:
    bounded = partial(per_item, partial(tell_bare, _BOUNDS[capacity], stages))
    # Where it is so narrow that senders wait all the time, only who can wait is a floor.
    free = partial(per_item, partial(tell_bare, queue.SimpleQueue, stages))
    floors = {"floor": free, "queue.Queue": bounded} if capacity == WIDE else {"floor": bounded}
    count = 100_000 if stages <= STAGES else 20_000
    name = f"{stages} stage{'s' if stages > 1 else ''}, tell, capacity {capacity}"
    return Work(
        rows=(
            Row(
                name,
                "us",
                _BARS.get((stages, capacity)),
                curve=f"chains told, capacity {capacity}",
                at=stages,
                axis="stages",
            ),
        ),
        ways={
            **floors,
            "Pykka": partial(per_item, partial(tell_pykka, stages)),
            "threadsup": partial(per_item, partial(tell_supervised, capacity, stages)),
        },
        count=count,
        quick=200,
    )


WORKS = (
    *(_tell(stages, capacity) for capacity in (WIDE, NARROW) for stages in LENGTHS),
    Work(
        rows=(
            Row(
                f"{STAGES} stages, submit, capacity {WIDE}",
                "us",
                over("Pykka", 1.5, aim=over("floor", 1 / 1.2)),
            ),
        ),
        ways={
            "floor": partial(per_item, submit_bare),
            "Pykka": partial(per_item, submit_pykka),
            "ThreadPoolExecutor": partial(per_item, submit_executor),
            "Ray": peers_ray.chained,
            "xoscar": peers_xoscar.chained,
            "threadsup": partial(per_item, submit_supervised),
        },
        count=50_000,
        quick=200,
    ),
    Work(
        rows=(
            Row(
                f"{STAGES} stages, map in order, capacity {WIDE}",
                "us",
                over("Pykka", 6, 5, aim=over("floor", 1 / 2)),
            ),
        ),
        ways={
            "floor": partial(per_item, partial(map_bare, queue.SimpleQueue)),
            "queue.Queue": partial(per_item, partial(map_bare, queue.Queue)),
            "Pykka": partial(per_item, map_pykka),
            "ThreadPoolExecutor": partial(per_item, map_executor),
            "pypeln": partial(fewer, 5, partial(peers_pypeln.mapped, STAGES, 1, WIDE)),
            "threadsup": partial(per_item, map_supervised),
        },
        count=100_000,
        quick=200,
    ),
)
