"""The works as Thespian does them: actors in processes of their own.

Owns what is said in Thespian's own words. It must not import Thespian until a way is gone.
A tenth of the items pass, as each costs so much more; figures are per item.
"""

from __future__ import annotations

import importlib
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bench.contestants import PATIENCE
from bench.rush import each, p50, p99, share

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ask", "started", "tell"]

FEWER = 10
SYSTEM = "multiprocQueueBase"
COUNT = "count"


@contextmanager
def system() -> Iterator[tuple[Any, Any]]:
    """Start an actor system, and end it; give it and the class of an actor that answers."""
    actors = importlib.import_module("thespian.actors")
    made = actors.ActorSystem(SYSTEM, logDefs={"version": 1})
    try:
        yield made, importlib.import_module("bench.peers_thespian_actor").Answers
    finally:
        made.shutdown()


def tell(count: int) -> tuple[float, ...]:
    """Tell one actor, then ask it how many it has handled: it keeps the order."""
    sent = share(count, FEWER)
    with system() as (made, answers):
        actor = made.createActor(answers)
        done = made.ask(actor, COUNT, PATIENCE)
        seconds = 0.0
        for times in (share(sent, 10), sent):
            done += times
            began = time.perf_counter()
            for number in range(times):
                made.tell(actor, number)
            if made.ask(actor, COUNT, PATIENCE) != done:
                raise RuntimeError("messages were lost")
            seconds = time.perf_counter() - began
    return (seconds / sent * 1e6,)


def ask(count: int) -> tuple[float, ...]:
    """Ask one actor; p50 and p99 in microseconds."""
    with system() as (made, answers):
        actor = made.createActor(answers)
        times = each(lambda _: made.ask(actor, COUNT, PATIENCE), share(count, FEWER))
    return p50(times) * 1e6, p99(times) * 1e6


def started(count: int) -> tuple[float, float]:
    """Start an actor, end it, start the next; seconds of `count` starts, and of the ends.

    Thespian tells nobody outside when an actor has ended: it is told to, and not waited for.
    """
    actors = importlib.import_module("thespian.actors")
    starts = stops = 0.0
    done = share(count, 50)
    with system() as (made, answers):
        for _ in range(done):
            began = time.perf_counter()
            actor = made.createActor(answers)
            made.ask(actor, COUNT, PATIENCE)
            up = time.perf_counter()
            made.tell(actor, actors.ActorExitRequest())
            starts += up - began
            stops += time.perf_counter() - up
    return starts / done * count, stops / done * count
