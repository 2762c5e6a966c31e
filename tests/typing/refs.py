"""Refs, as a user's program has them: told, asked, called, stopped, watched.

Checked by type checkers, and run by nobody. Where a line must be an error it says so to
each of them, and one that is none is an error in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_type

import pykka

import threadsup
from threadsup import (
    Context,
    Exit,
    ExitReason,
    Future,
    GenServer,
    ReplyToken,
    Request,
    Supervisor,
    Timer,
    Worker,
    WorkerRef,
    WorkerStatistics,
    handler,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future as StandardFuture


class Counter(Worker):
    def __init__(self, start: int) -> None:
        self.count = start

    def on_receive(self, message: int) -> int:
        self.count += message
        return self.count


@dataclass(frozen=True)
class Get(Request[int]):
    key: str


@dataclass(frozen=True)
class Keys(Request[list[str]]):
    pass


class Store(GenServer):
    def init(self, size: int) -> None:
        self.data: dict[str, int] = {}
        self.size = size
        self.timeout = 5.0
        assert_type(self.send_after(1.0, "tick"), Timer)
        assert_type(self.every(1.0, "tick"), Timer)

    def handle_call(self, request: object) -> object:
        if isinstance(request, Get):
            return self.data[request.key]
        token = self.defer()
        assert_type(token, ReplyToken)
        self.reply(token, [*self.data])
        return None


class Greeter(pykka.ThreadingActor):
    def greet(self, name: str) -> str:
        return name


def serve(message: str) -> None:
    assert message


def refs(sup: Supervisor) -> None:
    ref = sup.add_worker(Counter, 10, id="counter", restart="transient")
    assert_type(ref, WorkerRef)
    ref.tell(1)
    ref.tell(1, timeout=0.5)
    ref.tell_nowait(1)
    assert_type(ref.ask(1, timeout=1.0), Any)
    assert_type(ref.ask(1, block=False), Future[Any])
    assert_type(ref.stop(), bool)
    assert_type(ref.stop(block=False, drain=True), Future[bool])
    assert_type(ref.wait(1.0), ExitReason | None)
    assert_type(ref.is_alive(), bool)
    assert_type(ref.incarnation, int)
    assert_type(ref.statistics(), WorkerStatistics)
    assert_type(ref.id, str | int | tuple[str | int, ...])

    def told(exit: Exit) -> None:
        assert_type(exit.reason, ExitReason)
        assert_type(exit.final, bool)

    end = ref.monitor(told)
    callback: Callable[[], None] = end
    callback()

    ref.tell()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ref.tell(1, timeout="soon")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ref.monitor(serve)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ref.send(1)  # type: ignore[attr-defined]  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]


def servers(sup: Supervisor) -> None:
    ref = sup.add_worker(Store, 10, id="store")
    assert_type(ref.call(Get("a")), int)
    assert_type(ref.call(Keys(), timeout=None), list[str])
    assert_type(ref.call("anything"), Any)
    ref.cast("anything")
    wrong: str = ref.call(Get("a"))  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    assert wrong


def targets(sup: Supervisor) -> None:
    assert_type(sup.add_worker(serve, "a task"), WorkerRef)
    assert_type(sup.add_worker(handler(serve)), WorkerRef)
    assert_type(sup.add_worker(Greeter), WorkerRef)
    assert_type(sup.worker("greeter").proxy().greet("me").get(), Any)
    sup.add_worker("jobs:run")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def inside() -> None:
    context = threadsup.current()
    assert_type(context, Context | None)
    assert context is not None
    assert_type(context.stopping, bool)
    context.reply(1)
    assert_type(threadsup.receive(timeout=1.0), Any)
    assert_type(threadsup.receive(timeout=1.0, default=None), Any)
    threadsup.sleep(1.0)


async def futures(future: Future[int]) -> None:
    standard: StandardFuture[int] = future
    old: pykka.Future[int] = future
    assert_type(standard.result(), int)
    assert_type(old.get(), int)
    assert_type(future.result(1.0), int)
    assert_type(future.get(timeout=1.0), int)
    assert_type(future.cancel(), bool)
    assert_type(future.done(), bool)
    assert_type(await future, int)
    assert_type(future.map(str), Future[str])
    wrong: str = future.result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    assert wrong
