"""Messages one way: one sender or several, one receiver or several.

Owns who sends to whom. Figures are microseconds per message, from the moment all senders
may begin until the last message was handled. It must not know how a contestant works.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from bench import peers_ray, peers_thespian, peers_xoscar
from bench.bars import over
from bench.contestants import Goal
from bench.crews import TOLD
from bench.rush import aim, fewer, rush, share
from bench.work import Row, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.crews import Crew
    from bench.work import Way

    Shape = Literal["1:1", "n:1", "1:n", "n:n"]

__all__ = ["MANY", "WORKS", "send", "tell"]

MANY = 4
"""What `n` is."""


def tell(shape: Shape, crew: Crew, count: int) -> tuple[float, ...]:
    """Send `count` messages and return the microseconds that each took."""
    senders, receivers = (1 if side == "1" else MANY for side in shape.split(":"))
    goals = [Goal(0) for _ in range(receivers)]
    with crew(goals) as tells:
        shares = [[one] for one in tells] if shape == "n:n" else [tells] * senders
        send(shares, goals, share(count, 10))
        sent, seconds = send(shares, goals, count)
    return (seconds / sent * 1e6,)


def send(
    shares: Sequence[Sequence[Callable[[Any], Any]]], goals: Sequence[Goal], count: int
) -> tuple[int, float]:
    """Let each sender tell those of its share in turn; return how many messages, and seconds."""
    times = share(count, sum(map(len, shares)))
    sent = times * sum(map(len, shares))
    for goal in goals:
        aim(goal, sent // len(goals))
    jobs = [partial(_to_one if len(each) == 1 else _to_all, each, times) for each in shares]
    return sent, rush(jobs, goals)


def _to_one(tells: Sequence[Callable[[Any], Any]], times: int) -> None:
    (one,) = tells
    for number in range(times):
        one(number)


def _to_all(tells: Sequence[Callable[[Any], Any]], times: int) -> None:
    for number in range(times):
        for one in tells:
            one(number)


def _work(shape: Shape, name: str, **more: Any) -> Work:
    bar = over("Pykka", 10, 5, aim=over("floor", 0.5)) if shape.endswith(":1") else None
    ways: dict[str, Way] = {who: partial(tell, shape, crew) for who, crew in TOLD.items()}
    ways["ThreadPoolExecutor"] = partial(fewer, 5, ways["ThreadPoolExecutor"])
    return Work(
        rows=(Row(f"tell {name}, per message", "us", bar),),
        ways={**ways, **more},
        count=200_000,
        quick=200,
    )


WORKS: tuple[Work, ...] = (
    _work(
        "1:1",
        "1:1",
        Ray=peers_ray.tell,
        Thespian=peers_thespian.tell,
        xoscar=peers_xoscar.tell,
    ),
    _work("n:1", f"{MANY}:1"),
    _work("1:n", f"1:{MANY}"),
    _work("n:n", f"{MANY} pairs"),
)
