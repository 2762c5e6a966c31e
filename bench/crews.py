"""The same crew five ways: threads that call a function per message.

Owns how each contestant starts such threads and how a message gets to one. It must not
know what is sent, nor be inside what is timed: all threads are up when a crew is handed
over, and they end after it.
"""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from bench.contestants import Plain, consuming, same
from threadsup import Supervisor, handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    Call: TypeAlias = Callable[[Any], Any]
    Crew: TypeAlias = Callable[[Sequence[Call]], AbstractContextManager[list[Call]]]
    """Given what each thread is to call, gives what puts a message to each."""

__all__ = ["ASKED", "TOLD"]


# -- told -------------------------------------------------------------------------------


@contextmanager
def bare(handles: Sequence[Call]) -> Iterator[list[Call]]:
    """A thread per `queue.SimpleQueue`."""
    with _over(queue.SimpleQueue, handles) as puts:
        yield puts


@contextmanager
def queues(handles: Sequence[Call]) -> Iterator[list[Call]]:
    """A thread per `queue.Queue`."""
    with _over(queue.Queue, handles) as puts:
        yield puts


@contextmanager
def _over(make: Callable[[], Any], handles: Sequence[Call]) -> Iterator[list[Call]]:
    inboxes = [make() for _ in handles]
    with consuming(*zip(inboxes, handles, strict=True)):
        yield [inbox.put for inbox in inboxes]


@contextmanager
def actors(handles: Sequence[Call]) -> Iterator[list[Call]]:
    """A plain Pykka actor each."""
    refs = [Plain.start(handle) for handle in handles]
    yield [ref.tell for ref in refs]
    for ref in refs:
        ref.stop()


@contextmanager
def executors(handles: Sequence[Call]) -> Iterator[list[Call]]:
    """An executor of one thread each: a message is a call, its future is dropped."""
    with ExitStack() as stack:
        pools = [stack.enter_context(_one_thread()) for _ in handles]
        yield list(map(_calls, pools, handles))


def _calls(pool: ThreadPoolExecutor, handle: Call) -> Call:
    return lambda message: pool.submit(handle, message)


@contextmanager
def _one_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(same, None).result()  # the first call is what starts the thread
        yield pool


@contextmanager
def supervised(handles: Sequence[Call]) -> Iterator[list[Call]]:
    """A supervised handler each."""
    with Supervisor("bench") as sup:
        yield [sup.add_worker(handler(each), id=n).tell for n, each in enumerate(handles)]


TOLD: dict[str, Crew] = {
    "floor": bare,
    "queue.Queue": queues,
    "Pykka": actors,
    "ThreadPoolExecutor": executors,
    "threadsup": supervised,
}
"""How each is told: a message out, nothing back."""


# -- asked ------------------------------------------------------------------------------


@contextmanager
def bare_asked(handle: Call) -> Iterator[Call]:
    """Ping-pong over two `queue.SimpleQueue`s."""
    with _ping_pong(queue.SimpleQueue, handle) as ask:
        yield ask


@contextmanager
def queues_asked(handle: Call) -> Iterator[Call]:
    """Ping-pong over two `queue.Queue`s."""
    with _ping_pong(queue.Queue, handle) as ask:
        yield ask


@contextmanager
def _ping_pong(make: Callable[[], Any], handle: Call) -> Iterator[Call]:
    inbox, replies = make(), make()

    def ask(message: Any) -> Any:
        inbox.put(message)
        return replies.get()

    with consuming((inbox, lambda message: replies.put(handle(message)))):
        yield ask


@contextmanager
def actor_asked(handle: Call) -> Iterator[Call]:
    """A plain Pykka actor's `ask`."""
    ref = Plain.start(handle)
    yield ref.ask
    ref.stop()


@contextmanager
def executor_asked(handle: Call) -> Iterator[Call]:
    """An executor of one thread: `submit(...).result()`."""
    with _one_thread() as pool:
        yield lambda message: pool.submit(handle, message).result()


@contextmanager
def supervised_asked(handle: Call) -> Iterator[Call]:
    """A supervised handler's `ask`."""
    with Supervisor("bench") as sup:
        yield sup.add_worker(handler(handle)).ask


ASKED: dict[str, Callable[[Call], AbstractContextManager[Call]]] = {
    "floor": bare_asked,
    "queue.Queue": queues_asked,
    "Pykka": actor_asked,
    "ThreadPoolExecutor": executor_asked,
    "threadsup": supervised_asked,
}
"""How each is asked: a message out, an answer back."""
