"""The works as xoscar does them: actors as coroutines in one pool of one process.

Owns what is said in xoscar's own words. It must not import xoscar until a way is gone. A
tenth of the items pass, as each costs so much more; figures are per item.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from bench.contestants import same
from bench.rush import p50, p99, share

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

__all__ = ["ask", "burst", "chained", "started", "tell"]

FEWER = 10
STAGES = 4


@asynccontextmanager
async def pool() -> AsyncIterator[Callable[..., Coroutine[Any, Any, Any]]]:
    """Start a pool without processes of its own, and end it; give what makes an actor in it."""
    xo = importlib.import_module("xoscar")

    class Counts(xo.Actor):  # type: ignore[misc,name-defined,unused-ignore]
        """Counts what it is given, and hands it to the next if there is one."""

        def __init__(self, following: Any = None) -> None:
            super().__init__()
            self.handled = 0
            self.following = following

        async def handle(self, message: Any) -> Any:
            """Handle one message."""
            self.handled += 1
            item = same(message)
            return item if self.following is None else await self.following.handle(item)

        async def count(self) -> int:
            """Return how many were handled."""
            return self.handled

    made = await xo.create_actor_pool("127.0.0.1", n_process=0)
    numbers = iter(range(1 << 30))

    async def actor(*args: Any) -> Any:
        return await xo.create_actor(
            Counts, *args, uid=f"actor-{next(numbers)}", address=made.external_address
        )

    async with made:
        yield actor


def tell(count: int) -> tuple[float, ...]:
    """Tell one actor, then ask it until it has handled all; microseconds per message."""
    return asyncio.run(_tell(share(count, FEWER)))


async def _tell(sent: int) -> tuple[float, ...]:
    async with pool() as actor:
        ref = await actor()
        done, seconds = 0, 0.0
        for times in (share(sent, 10), sent):
            done += times
            began = time.perf_counter()
            for number in range(times):
                await ref.handle.tell(number)
            while await ref.count() != done:  # noqa: ASYNC110 - nobody tells when
                await asyncio.sleep(0)
            seconds = time.perf_counter() - began
    return (seconds / sent * 1e6,)


def ask(count: int) -> tuple[float, ...]:
    """Await one actor's answer; p50 and p99 in microseconds."""
    return asyncio.run(_ask(share(count, FEWER)))


async def _ask(asked: int) -> tuple[float, ...]:
    async with pool() as actor:
        ref = await actor()
        times = []
        for number in range(share(asked, 10)):
            await ref.handle(number)
        for number in range(asked):
            began = time.perf_counter()
            await ref.handle(number)
            times.append(time.perf_counter() - began)
    times.sort()
    return p50(times) * 1e6, p99(times) * 1e6


def burst(count: int) -> tuple[float, ...]:
    """Gather many answers of one actor; microseconds each."""
    return asyncio.run(_gathered(1, share(count, FEWER)))


def chained(count: int) -> tuple[float, ...]:
    """Gather many answers of four actors, each of which awaits the next; microseconds each."""
    return asyncio.run(_gathered(STAGES, share(count, FEWER)))


async def _gathered(stages: int, count: int) -> tuple[float, ...]:
    async with pool() as actor:
        ref: Any = None
        for _ in range(stages):
            ref = await actor(ref)
        seconds = 0.0
        for times in (share(count, 10), count):
            began = time.perf_counter()
            await asyncio.gather(*[ref.handle(number) for number in range(times)])
            seconds = time.perf_counter() - began
    return (seconds / count * 1e6,)


def started(count: int) -> tuple[float, float]:
    """Create an actor, destroy it, create the next; seconds of all of each."""
    return asyncio.run(_started(count))


async def _started(count: int) -> tuple[float, float]:
    xo = importlib.import_module("xoscar")
    starts = stops = 0.0
    async with pool() as actor:
        for _ in range(count):
            began = time.perf_counter()
            ref = await actor()
            up = time.perf_counter()
            await xo.destroy_actor(ref)
            starts += up - began
            stops += time.perf_counter() - up
    return starts, stops
