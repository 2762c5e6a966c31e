"""A message there and its answer back: over two cores, on one, and many at a time.

Owns the asking. Figures are microseconds. It must not know how a contestant works.
"""

from __future__ import annotations

import queue
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from bench import peers_ray, peers_thespian, peers_xoscar
from bench.bars import both, over
from bench.contestants import Plain, consuming, same
from bench.crews import ASKED
from bench.rush import cores, each, on_cores, p50, p99, share
from bench.work import Row, Work
from threadsup import Supervisor, handler

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from bench.work import Bar

    Call = Callable[[Any], Any]

__all__ = ["WORKS", "ask"]


# -- one by one -------------------------------------------------------------------------


def ask(
    over_two: bool,
    crew: Callable[[Call], AbstractContextManager[Call]],
    count: int,
) -> tuple[float, ...]:
    """Ask, wait, ask again; return p50 and p99. Who is asked has a core of its own, or not.

    Raises:
        NotImplementedError: threads cannot be kept on a core here, or there is only one.
    """
    ours, *others = cores()
    if over_two and not others:
        raise NotImplementedError("only one core here")
    theirs = others[0] if over_two else ours
    with ExitStack() as stack:
        with on_cores([theirs]):
            one = stack.enter_context(crew(same))
        with on_cores([ours]):
            times = each(one, count)
    return p50(times) * 1e6, p99(times) * 1e6


# -- many at a time ---------------------------------------------------------------------


def burst_bare(count: int) -> tuple[float, ...]:
    """Send each message with a standard future, which the thread settles."""
    inbox = queue.SimpleQueue[Any]()

    def answer(pair: tuple[Any, Future[Any]]) -> None:
        pair[1].set_result(same(pair[0]))

    def submit(number: int) -> Future[Any]:
        future = Future[Any]()
        inbox.put((number, future))
        return future

    with consuming((inbox, answer)):
        return _burst(submit, count)


def burst_pykka(count: int) -> tuple[float, ...]:
    """Ask one actor and go on: `ask(..., block=False)`."""
    ref = Plain.start(same)
    figures = _burst(partial(ref.ask, block=False), count, "get")
    ref.stop()
    return figures


def burst_executor(count: int) -> tuple[float, ...]:
    """Submit to an executor of one thread."""
    with ThreadPoolExecutor(1) as pool:
        return _burst(lambda number: pool.submit(same, number), count)


def burst_supervised(count: int) -> tuple[float, ...]:
    """Ask one supervised handler and go on: `ask(..., block=False)`."""
    with Supervisor("bench") as sup:
        return _burst(partial(sup.add_worker(handler(same)).ask, block=False), count)


def _burst(submit: Callable[[int], Any], count: int, read: str = "result") -> tuple[float, ...]:
    for times in (share(count, 10), count):
        began = time.perf_counter()
        futures = [submit(number) for number in range(times)]
        for future in futures:
            getattr(future, read)()
        seconds = time.perf_counter() - began
    return (seconds / count * 1e6,)


_NEAR = over("floor", 1 / 1.25)
"""Where waking the other thread is most of it. On one core that costs nothing, and what is
left is a future against a queue."""


def _work(name: str, bar: Bar, *, over_two: bool, **more: Any) -> Work:
    return Work(
        rows=(Row(f"ask, {name}, p50", "us", bar), Row(f"ask, {name}, p99", "us")),
        ways={**{who: partial(ask, over_two, crew) for who, crew in ASKED.items()}, **more},
        count=3_000,
        quick=50,
    )


WORKS: tuple[Work, ...] = (
    _work(
        "two cores",
        both(over("Pykka", 1, aim=over("floor", 1 / 1.05)), _NEAR),
        over_two=True,
        Ray=peers_ray.ask,
        Thespian=peers_thespian.ask,
        xoscar=peers_xoscar.ask,
    ),
    _work("one core", over("Pykka", 1, aim=_NEAR), over_two=False),
    Work(
        rows=(Row("ask, a burst of futures, each", "us"),),
        ways={
            "floor": burst_bare,
            "Pykka": burst_pykka,
            "ThreadPoolExecutor": burst_executor,
            "Ray": peers_ray.burst,
            "xoscar": peers_xoscar.burst,
            "threadsup": burst_supervised,
        },
        count=50_000,
        quick=100,
    ),
)
