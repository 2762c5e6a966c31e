"""The works as Ray does them: actors in processes of their own.

Owns what is said in Ray's own words. It must not import Ray until a way is gone: that
takes a second and starts a cluster. A tenth of the items pass, as each costs so much more;
figures are per item.
"""

from __future__ import annotations

import importlib
import logging
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contestants import PATIENCE, same
from bench.rush import each, p50, p99, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "ask",
    "burst",
    "chained",
    "crash",
    "pooled_burst",
    "pooled_map",
    "started",
    "tell",
    "two_over_one",
]

FEWER = 10
STAGES = 4


@contextmanager
def cluster() -> Iterator[Any]:
    """Start Ray on this machine, and end it."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns
    ray = importlib.import_module("ray")
    ray.init(
        num_cpus=8,  # how many actors there may be; not how many cores they get
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        # Its processes find what is pickled by name, wherever they are started.
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parents[1])}},
    )
    try:
        yield ray
    finally:
        ray.shutdown()


class Does:
    """Calls a function per message and counts them; becomes an actor's class."""

    def __init__(self, do: Callable[[Any], Any] = same) -> None:
        self.do = do
        self.handled = 0

    def handle(self, message: Any) -> Any:
        """Handle one message."""
        self.handled += 1
        return self.do(message)

    def count(self) -> int:
        """Return how many were handled: those before it, as an actor keeps the order."""
        return self.handled

    def die(self) -> None:
        """End the process: an exception alone ends no actor of Ray."""
        os._exit(1)


def _actor(ray: Any, *args: Any, **options: Any) -> Any:
    actor = ray.remote(Does).options(num_cpus=1, **options).remote(*args)
    ray.get(actor.count.remote(), timeout=PATIENCE)  # it is up
    return actor


def tell(count: int) -> tuple[float, ...]:
    """Call one actor, dropping what is returned."""
    sent = share(count, FEWER)
    with cluster() as ray:
        actor = _actor(ray)
        seconds = 0.0
        for times in (share(sent, 10), sent):
            done = ray.get(actor.count.remote())
            began = time.perf_counter()
            for number in range(times):
                actor.handle.remote(number)
            if ray.get(actor.count.remote()) != done + times:
                raise RuntimeError("calls were lost")
            seconds = time.perf_counter() - began
    return (seconds / sent * 1e6,)


def ask(count: int) -> tuple[float, ...]:
    """Call one actor and get what it returns; p50 and p99 in microseconds."""
    with cluster() as ray:
        actor = _actor(ray)
        times = each(lambda number: ray.get(actor.handle.remote(number)), share(count, FEWER))
    return p50(times) * 1e6, p99(times) * 1e6


def burst(count: int) -> tuple[float, ...]:
    """Call one actor many times, then get all; microseconds each."""
    with cluster() as ray:
        actor = _actor(ray)
        return _got(ray, actor.handle.remote, share(count, FEWER))


def chained(count: int) -> tuple[float, ...]:
    """Give what one actor will return to the next, four times; microseconds per item."""
    with cluster() as ray:
        actors = [_actor(ray) for _ in range(STAGES)]

        def submit(item: Any) -> Any:
            for actor in actors:
                item = actor.handle.remote(item)
            return item

        return _got(ray, submit, share(count, FEWER))


def _got(ray: Any, submit: Callable[[int], Any], count: int) -> tuple[float, ...]:
    seconds = 0.0
    for times in (share(count, 10), count):
        began = time.perf_counter()
        ray.get([submit(number) for number in range(times)])
        seconds = time.perf_counter() - began
    return (seconds / count * 1e6,)


def two_over_one(spin: Callable[[Any], Any], count: int) -> tuple[float, ...]:
    """Have the same items spun by one actor, then by two; how many times as fast these are."""
    times = []
    with cluster() as ray:
        actors = [_actor(ray, spin) for _ in range(2)]
        for workers in (1, 2):
            began = time.perf_counter()
            ray.get([actors[n % workers].handle.remote(n) for n in range(count)])
            times.append(time.perf_counter() - began)
    return (times[0] / times[1],)


def crash(count: int) -> tuple[float, ...]:
    """Let an actor's process die and Ray restart it; p50 and p99 in milliseconds."""
    times = []
    with cluster() as ray:
        actor = _actor(ray, max_restarts=-1, max_task_retries=-1)
        for _ in range(share(count, 50)):
            began = time.perf_counter()
            actor.die.options(max_task_retries=0).remote()
            ray.get(actor.handle.remote(0), timeout=PATIENCE)
            times.append(time.perf_counter() - began)
    times.sort()
    return p50(times) * 1e3, p99(times) * 1e3


def started(count: int) -> tuple[float, float]:
    """Start an actor, kill it, start the next; seconds of `count` starts, and of the stops.

    A killed actor is waited for as users can: until a call to it fails.
    """
    starts = stops = 0.0
    done = share(count, 50)
    with cluster() as ray:
        for _ in range(done):
            began = time.perf_counter()
            actor = _actor(ray)
            up = time.perf_counter()
            ray.kill(actor)
            try:
                while True:
                    ray.get(actor.count.remote())
            except ray.exceptions.RayActorError:
                pass
            starts += up - began
            stops += time.perf_counter() - up
    return starts / done * count, stops / done * count


# -- a pool -----------------------------------------------------------------------------


def pooled_burst(workers: int, size: int, count: int) -> tuple[float, ...]:
    """Run tasks, Ray's own pool, in bursts; microseconds per call."""
    with cluster() as ray:
        task = ray.remote(same).options(num_cpus=8 / workers)
        ray.get([task.remote(0) for _ in range(workers)])
        bursts = share(count, FEWER * size)
        began = time.perf_counter()
        for _ in range(bursts):
            ray.get([task.remote(number) for number in range(size)])
        seconds = time.perf_counter() - began
    return (seconds / bursts / size * 1e6,)


def pooled_map(workers: int, count: int) -> tuple[float, ...]:
    """Map with `ray.util.ActorPool`; microseconds per call."""
    calls = share(count, FEWER)
    with cluster() as ray:
        make = importlib.import_module("ray.util").ActorPool
        pool = make([_actor(ray) for _ in range(workers)])
        began = time.perf_counter()
        read = sum(1 for _ in pool.map(lambda a, item: a.handle.remote(item), range(calls)))
        seconds = time.perf_counter() - began
    if read != calls:
        raise RuntimeError(f"{read} results of {calls} calls")
    return (seconds / calls * 1e6,)
