"""One message to a hundred workers.

Owns the crowd. Figures are microseconds per delivery: from the first message sent until
every worker has handled the last. It must not know the library's insides.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from bench.bars import over
from bench.contestants import Goal
from bench.crews import TOLD
from bench.rush import aim, fewer, rush, share
from bench.work import Row, Work
from threadsup import Supervisor, handler, worker_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.crews import Crew

__all__ = ["WORKERS", "WORKS"]

WORKERS = 100


def by_hand(crew: Crew, count: int) -> tuple[float, ...]:
    """Send to each in turn."""
    goals = [Goal(0) for _ in range(WORKERS)]
    with crew(goals) as tells:

        def broadcast(message: Any) -> None:
            for tell in tells:
                tell(message)

        return _figures(broadcast, goals, count)


def supervised(count: int) -> tuple[float, ...]:
    """Broadcast to a group."""
    goals = [Goal(0) for _ in range(WORKERS)]
    with Supervisor("bench") as sup:
        members = [worker_spec(handler(goal), id=number) for number, goal in enumerate(goals)]
        return _figures(sup.add_group("group", members).broadcast, goals, count)


def _figures(broadcast: Callable[[Any], Any], goals: list[Goal], count: int) -> tuple[float, ...]:
    def send(times: int) -> None:
        for number in range(times):
            broadcast(number)

    seconds = 0.0
    for times in (share(count, 10), count):
        for goal in goals:
            aim(goal, times)
        seconds = rush([partial(send, times)], goals)
    return (seconds / count / WORKERS * 1e6,)


WORKS = (
    Work(
        rows=(Row(f"broadcast to {WORKERS}, per delivery", "us", over("Pykka", 6, 3)),),
        ways={
            **{who: partial(by_hand, crew) for who, crew in TOLD.items()},
            "ThreadPoolExecutor": partial(fewer, 5, partial(by_hand, TOLD["ThreadPoolExecutor"])),
            "threadsup": supervised,
        },
        count=2_000,
        quick=3,
    ),
)
