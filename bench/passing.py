"""Four stages that do nothing: what it costs to hand an item on.

Owns the ways to pass items through four threads: told, submitted, mapped. Figures are
microseconds per item. It must not know the library's insides: it is timed as users
call it.
"""

from __future__ import annotations

import queue
import time
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

import pykka

from bench.contestants import Goal, Plain, consuming, same, timed
from bench.work import Bar, Row, Work
from threadsup import Supervisor, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from threadsup import Chain

__all__ = ["WORKS"]

STAGES = 4
WIDE = 1000
NARROW = 50
AHEAD = 4000
"""How many results a stream of bare threads or actors is ahead of who reads them, as
many as four stages of threadsup with room for 1,000 hold."""


def per_item(way: Callable[[int], float]) -> Callable[[int], tuple[float, ...]]:
    """Return what gives microseconds per item, where `way` gives seconds."""

    def measured(count: int) -> tuple[float, ...]:
        return (way(count) / count * 1e6,)

    return measured


# -- told -------------------------------------------------------------------------------


def tell_bare(make: Callable[[], Any], count: int) -> float:
    """Hand on through as many queues as there are stages."""
    goal = Goal(count)
    inboxes = [make() for _ in range(STAGES)]
    with consuming(*zip(inboxes, _links(inboxes, goal), strict=True)):
        return timed(inboxes[0].put, count, goal)


def _links(inboxes: list[Any], last: Callable[[Any], Any]) -> list[Callable[[Any], Any]]:
    def link(put: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda item: put(same(item))

    return [*(link(inbox.put) for inbox in inboxes[1:]), last]


def tell_pykka(count: int) -> float:
    """Let each actor tell the next; the mailboxes know no bound."""
    goal = Goal(count)
    refs = _actors(goal)
    seconds = timed(refs[0].tell, count, goal)
    _stop(refs)
    return seconds


def _actors(last: Callable[[Any], Any]) -> list[pykka.ActorRef[Plain]]:
    refs = [Plain.start(last)]
    for _ in range(STAGES - 1):
        tell = refs[0].tell
        refs.insert(0, Plain.start(lambda item, tell=tell: tell(same(item))))
    return refs


def _stop(refs: list[pykka.ActorRef[Plain]]) -> None:
    for ref in refs:
        ref.stop()


def tell_supervised(capacity: int, count: int) -> float:
    """Tell a chain whose mailboxes are bounded and whose items are all accounted for."""
    goal = Goal(count)
    with Supervisor("bench") as sup:
        return timed(_chain(sup, capacity, goal).tell, count, goal)


def _chain(sup: Supervisor, capacity: int, goal: Goal | None = None) -> Chain:
    stages = [stage(same, id=number) for number in range(STAGES)]
    return sup.add_chain("chain", stages, capacity=capacity, on_result=goal)


# -- submitted --------------------------------------------------------------------------


def submit_bare(count: int) -> float:
    """Send each item with a standard future, which the last thread settles."""

    def settle(pair: tuple[Any, Future[Any]]) -> None:
        pair[1].set_result(pair[0])

    inboxes = [queue.SimpleQueue[Any]() for _ in range(STAGES)]
    with consuming(*zip(inboxes, _links(inboxes, settle), strict=True)):
        return _submit_all(inboxes[0].put, Future, count)


def submit_pykka(count: int) -> float:
    """Send each item with one of Pykka's futures, which the last actor settles."""

    def settle(pair: tuple[Any, pykka.ThreadingFuture[Any]]) -> None:
        pair[1].set(pair[0])

    refs = _actors(settle)
    seconds = _submit_all(refs[0].tell, pykka.ThreadingFuture, count)
    _stop(refs)
    return seconds


def _submit_all(put: Callable[[Any], Any], make: Callable[[], Any], count: int) -> float:
    began = time.perf_counter()
    futures = []
    for number in range(count):
        future = make()
        put((number, future))
        futures.append(future)
    for future in futures:
        future.result() if type(future) is Future else future.get()
    return time.perf_counter() - began


def submit_supervised(count: int) -> float:
    """Submit items and wait for all results."""
    with Supervisor("bench") as sup:
        chain = _chain(sup, WIDE)
        began = time.perf_counter()
        futures = [chain.submit(number) for number in range(count)]
        for future in futures:
            future.result()
        return time.perf_counter() - began


# -- mapped -----------------------------------------------------------------------------


def map_bare(count: int) -> float:
    """Read results from one more queue, putting an item in for each that comes out."""
    results = queue.SimpleQueue[Any]()
    inboxes = [queue.SimpleQueue[Any]() for _ in range(STAGES)]
    with consuming(*zip(inboxes, _links(inboxes, results.put), strict=True)):
        return _read_all(_stream(inboxes[0].put, results, count), count)


def map_pykka(count: int) -> float:
    """As with bare threads; the last actor puts into the queue."""
    results = queue.SimpleQueue[Any]()
    refs = _actors(results.put)
    seconds = _read_all(_stream(refs[0].tell, results, count), count)
    _stop(refs)
    return seconds


def _stream(
    put: Callable[[Any], Any], results: queue.SimpleQueue[Any], count: int
) -> Iterator[Any]:
    items = iter(range(count))
    for _, item in zip(range(AHEAD), items, strict=False):
        put(item)
    for _ in range(count):
        yield results.get()
        for item in items:
            put(item)
            break


def map_supervised(count: int) -> float:
    """Iterate over what `map` gives, in the order of the items."""
    with Supervisor("bench") as sup:
        return _read_all(_chain(sup, WIDE).map(range(count)), count)


def _read_all(results: Iterator[Any], count: int) -> float:
    began = time.perf_counter()
    read = sum(1 for _ in results)
    seconds = time.perf_counter() - began
    if read != count:
        raise RuntimeError(f"{read} results of {count} items")
    return seconds


def _four(medians: Any) -> bool:
    return bool(medians["Pykka"] >= 4 * medians["threadsup"])


FOUR_TIMES = Bar("4 stages >= 4x Pykka", _four)

WORKS = (
    Work(
        rows=(Row(f"{STAGES} stages, tell, capacity {WIDE}", "us", FOUR_TIMES),),
        ways={
            "floor": per_item(partial(tell_bare, queue.SimpleQueue)),
            "Pykka": per_item(tell_pykka),
            "threadsup": per_item(partial(tell_supervised, WIDE)),
        },
        count=40_000,
        quick=200,
    ),
    Work(
        rows=(Row(f"{STAGES} stages, tell, capacity {NARROW}", "us"),),
        ways={
            "floor": per_item(partial(tell_bare, partial(queue.Queue, NARROW))),
            "Pykka": per_item(tell_pykka),
            "threadsup": per_item(partial(tell_supervised, NARROW)),
        },
        count=40_000,
        quick=200,
    ),
    Work(
        rows=(Row(f"{STAGES} stages, submit, capacity {WIDE}", "us"),),
        ways={
            "floor": per_item(submit_bare),
            "Pykka": per_item(submit_pykka),
            "threadsup": per_item(submit_supervised),
        },
        count=20_000,
        quick=200,
    ),
    Work(
        rows=(Row(f"{STAGES} stages, map in order, capacity {WIDE}", "us"),),
        ways={
            "floor": per_item(map_bare),
            "Pykka": per_item(map_pykka),
            "threadsup": per_item(map_supervised),
        },
        count=40_000,
        quick=200,
    ),
)
