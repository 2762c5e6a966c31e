"""Many threads: how long it takes until all run, and until none does.

Owns the starting and stopping of workers, alone and by the hundred, and of many small
chains. It must not know the library's insides.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import log
from typing import TYPE_CHECKING, Any

from bench import peers_ray, peers_thespian, peers_xoscar
from bench.bars import at_most, over
from bench.contestants import PATIENCE, Plain, same
from bench.rush import share
from bench.work import Row, Work
from threadsup import Supervisor, handler, stage, worker_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    Way = Callable[[int], tuple[float, float]]

__all__ = ["WORKS"]

STAGES = 3
CHAINS = 1000
CROWD = 100
MANY = 10_000
GROWN = 10
"""How many times as many there are at the end of what is looked at for its growth."""


# -- one crowd: seconds to start and to stop ----------------------------------------------


def crowd_bare(count: int) -> tuple[float, float]:
    """Start a thread per queue, then send each one home."""
    began = time.perf_counter()
    inboxes = [queue.SimpleQueue[Any]() for _ in range(count)]
    threads = [threading.Thread(target=inbox.get, daemon=True) for inbox in inboxes]
    for thread in threads:
        thread.start()
    started = time.perf_counter()
    for inbox in inboxes:
        inbox.put(None)
    for thread in threads:
        thread.join()
    return started - began, time.perf_counter() - started


def crowd_pykka(count: int) -> tuple[float, float]:
    """Start as many actors, then stop all and wait."""
    began = time.perf_counter()
    refs = [Plain.start(same) for _ in range(count)]
    started = time.perf_counter()
    stopped = [ref.stop(block=False) for ref in refs]
    for each in stopped:
        each.get()
    return started - began, time.perf_counter() - started


def crowd_executor(count: int) -> tuple[float, float]:
    """Give an executor as many calls that wait, as it starts a thread per call in hand."""
    inboxes = [queue.SimpleQueue[Any]() for _ in range(count)]
    began = time.perf_counter()
    pool = ThreadPoolExecutor(count)
    for inbox in inboxes:
        pool.submit(inbox.get)
    started = time.perf_counter()
    for inbox in inboxes:
        inbox.put(None)
    pool.shutdown()
    return started - began, time.perf_counter() - started


def crowd_supervised(count: int) -> tuple[float, float]:
    """Declare a group of as many handlers, start the tree, stop the tree.

    All are asked to stop at once, and so all have the time that all of them take.
    """
    began = time.perf_counter()
    sup = Supervisor("bench")
    members = [worker_spec(handler(same), id=number, shutdown=PATIENCE) for number in range(count)]
    sup.add_group("group", members)
    sup.start()
    return _stopped(sup, began)


def _stopped(sup: Supervisor, began: float) -> tuple[float, float]:
    started = time.perf_counter()
    report = sup.stop()
    ended = time.perf_counter()
    if not report.clean:
        raise RuntimeError(f"{len(report.abandoned)} were abandoned: the stop is no stop")
    return started - began, ended - started


# -- one at a time: seconds for all starts and all stops ----------------------------------


def single_bare(count: int) -> tuple[float, float]:
    """Start a thread, end it, start the next."""
    return _in_turn(lambda _: crowd_bare(1), count)


def single_pykka(count: int) -> tuple[float, float]:
    """Start an actor, stop it, start the next."""
    return _in_turn(lambda _: crowd_pykka(1), count)


def single_executor(count: int) -> tuple[float, float]:
    """Start an executor of one thread, shut it down, start the next."""
    return _in_turn(lambda _: crowd_executor(1), count)


def single_supervised(count: int) -> tuple[float, float]:
    """Add a worker to a tree that runs, remove it, add the next."""
    with Supervisor("bench") as sup:

        def one(number: int) -> tuple[float, float]:
            began = time.perf_counter()
            sup.add_worker(handler(same), id=number)
            started = time.perf_counter()
            sup.remove_child(number)  # returns when it has ended
            return started - began, time.perf_counter() - started

        return _in_turn(one, count)


def _in_turn(one: Callable[[int], tuple[float, float]], count: int) -> tuple[float, float]:
    for number in range(share(count, 10)):
        one(number)
    pairs = [one(number) for number in range(count)]
    return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)


# -- figures ------------------------------------------------------------------------------


def per_worker(way: Way, count: int) -> tuple[float, ...]:
    """Return microseconds per worker: both, start, stop."""
    start, stop = way(count)
    return tuple(seconds / count * 1e6 for seconds in (start + stop, start, stop))


def growth(way: Way, count: int) -> tuple[float, ...]:
    """Return x, where start and stop take n^x: from a tenth of the workers to all of them."""
    few, many = (sum(way(each)) for each in (share(count, GROWN), count))
    return (log(many / few) / log(GROWN),)


# -- chains ---------------------------------------------------------------------------------


def chains_bare(chains: int) -> tuple[float, ...]:
    """Start a thread per stage."""
    return crowd_bare(chains * STAGES)


def chains_pykka(chains: int) -> tuple[float, ...]:
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


def chains_declared(chains: int) -> tuple[float, ...]:
    """Declare all chains, then start the tree; `start` returns when all stages are up."""
    began = time.perf_counter()
    sup = Supervisor("bench")
    for number in range(chains):
        sup.add_chain(number, _stages())
    sup.start()
    return _stopped(sup, began)


def chains_running(chains: int) -> tuple[float, ...]:
    """Add one chain after the other to a tree that runs, and wait for each to be up."""
    with Supervisor("bench") as sup:
        began = time.perf_counter()
        for number in range(chains):
            sup.add_chain(number, _stages())
        return _stopped(sup, began)


def _stages() -> list[Any]:
    return [stage(same, id=number) for number in range(STAGES)]


# -- works ------------------------------------------------------------------------------

_BAR = over("Pykka", 1, aim=over("floor", 1 / 1.2))
_CHAINS = at_most(2.0, unit="s")
_CROWDS: dict[str, Way] = {
    "floor": crowd_bare,
    "Pykka": crowd_pykka,
    "ThreadPoolExecutor": crowd_executor,
    "threadsup": crowd_supervised,
}


def _rows(name: str) -> tuple[Row, ...]:
    def row(what: str, at: int, bar: Any = None) -> Row:
        return Row(
            f"{what} {name}, each",
            "us",
            bar,
            curve=f"{what.removesuffix(' of')}, each",
            at=at,
            axis="workers",
        )

    at = int(name.split(maxsplit=1)[0].replace(",", ""))
    return row("start and stop of", at, _BAR), row("start of", at), row("stop of", at)


def _crowd(count: int, rounds: int) -> Work:
    return Work(
        rows=_rows(f"{count:,} workers"),
        ways={who: partial(per_worker, way) for who, way in _CROWDS.items()},
        count=count,
        quick=5,
        rounds=rounds,
    )


WORKS = (
    Work(
        rows=_rows("1 worker"),
        ways={
            "floor": partial(per_worker, single_bare),
            "Pykka": partial(per_worker, single_pykka),
            "ThreadPoolExecutor": partial(per_worker, single_executor),
            "Ray": partial(per_worker, peers_ray.started),
            "Thespian": partial(per_worker, peers_thespian.started),
            "xoscar": partial(per_worker, peers_xoscar.started),
            "threadsup": partial(per_worker, single_supervised),
        },
        count=300,
        quick=3,
    ),
    _crowd(CROWD, 7),
    _crowd(MANY, 2),
    Work(
        rows=(Row("start and stop, 200 to 2,000 workers", "n^x", at_most(1.2, unit="n^x")),),
        ways={who: partial(growth, way) for who, way in _CROWDS.items()},
        count=2000,
        quick=50,
        rounds=3,
    ),
    *(
        Work(
            rows=(
                Row(f"{CHAINS:,} chains of {STAGES} {how}: start", "s", _CHAINS),
                Row(f"{CHAINS:,} chains of {STAGES} {how}: stop", "s"),
            ),
            ways={"floor": chains_bare, "Pykka": chains_pykka, "threadsup": way},
            count=CHAINS,
            quick=5,
            rounds=3,
        )
        for how, way in (("declared", chains_declared), ("one by one", chains_running))
    ),
)
