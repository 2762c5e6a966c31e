"""Pools, rules around functions, and the actors of Pykka, as a user's program has them.

Checked by type checkers, and run by nobody. Where a line must be an error it says so to
each of them, and one that is none is an error in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, assert_type

import pykka

from threadsup import (
    Backoff,
    Breaker,
    DeadLetter,
    Future,
    Pool,
    PoolStatistics,
    Rate,
    Retry,
    Supervisor,
    ThreadingActor,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor


def fetch(url: str, size: int = 0) -> bytes:
    return url.encode()[size:]


def with_session(session: list[str], url: str) -> bytes:
    return session[0].encode() + url.encode()


def dead(letter: DeadLetter) -> None:
    assert_type(letter.error, str)


def pools() -> None:
    with Pool(4, name="fetchers", capacity=10, retry=Retry(3), on_dead_letter=dead) as pool:
        assert_type(pool, Pool)
        executor: Executor = pool
        executor.shutdown()
        assert_type(pool.submit(fetch, "url"), Future[bytes])
        assert_type(pool.submit(fetch, "url", size=3), Future[bytes])
        assert_type(pool.submit(fetch, "url").result(), bytes)
        assert_type(pool.submit(with_session, "url"), Future[bytes])
        assert_type(pool.map(fetch, ["url"], timeout=1.0, buffersize=3), Iterator[bytes])
        assert_type(pool.map(fetch, ["url"], [3]), Iterator[bytes])
        assert_type(pool.statistics(), PoolStatistics)
        assert_type(pool.supervisor, Supervisor)
        assert_type(len(pool), int)
        pool.resize(8)
        pool.shutdown(wait=False, cancel_futures=True)

        pool.submit(fetch, 1, 2, 3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
        pool.submit("fetch")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
        pool.map(fetch, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        wrong: str = pool.submit(fetch, "url").result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
        assert wrong
    Pool(4, worker=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Pool("4")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Pool(4, on_full="drop_old")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@Retry(3, Backoff(0.1), on=OSError)
def again(url: str) -> bytes:
    return url.encode()


@Breaker(failures=3)
def guarded(url: str) -> bytes:
    return url.encode()


def rules() -> None:
    assert_type(again("url"), bytes)
    assert_type(guarded("url"), bytes)
    rate = Rate(10, per=1.0)
    with rate:
        assert_type(rate.call(fetch, "url"), bytes)
    again(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rate.call(fetch)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


class Greeter(ThreadingActor):
    def __init__(self, greeting: str) -> None:
        super().__init__()
        self.greeting = greeting

    def on_receive(self, message: object) -> str:
        return f"{self.greeting} {message}"


def actors() -> None:
    ref = Greeter.start("hello")
    old: pykka.ActorRef[Greeter] = ref
    old.tell("you")
    assert_type(ref.ask("you"), Any)
    assert_type(ref.ask("you", block=False), Future[Any])
    assert_type(ref.ask("you"), Any)
    assert_type(ref.proxy(), pykka.ActorProxy[Greeter])
    assert_type(ref.stop(), bool)
