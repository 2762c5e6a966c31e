"""Times tell, ask and a chain of four beside plain Pykka and bare threads.

Owns three pieces of work, each done three ways by functions that take a count and
return seconds. It must not know the library's insides: it is timed as users call it.
"""

from __future__ import annotations

import os
import platform
import queue
import statistics
import sys
import threading
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pykka

from threadsup import Supervisor, handler, stage

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = 4
CAPACITY = 1000
ROUNDS = 5


class Goal:
    """Handles messages by counting them; `reached` is set by the last one."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.reached = threading.Event()

    def __call__(self, _: Any) -> None:
        """Handle one message."""
        self.left -= 1
        if not self.left:
            self.reached.set()


def timed(put: Callable[[Any], Any], count: int, goal: Goal) -> float:
    """Return the seconds from the first message put to the last one handled."""
    began = time.perf_counter()
    for number in range(count):
        put(number)
    if not goal.reached.wait(60):
        raise TimeoutError(f"{goal.left} of {count} messages were not handled")
    return time.perf_counter() - began


def same(item: Any) -> Any:
    """Do a stage's work: none."""
    return item


# -- bare threads ---------------------------------------------------------------------


def consume(inbox: queue.SimpleQueue[Any], handle: Callable[[Any], Any]) -> threading.Thread:
    """Start a thread that handles what comes until `None` does."""

    def loop() -> None:
        while (item := inbox.get()) is not None:
            handle(item)

    thread = threading.Thread(target=loop)
    thread.start()
    return thread


def tell_bare(count: int) -> float:
    """Put to one queue that one thread reads."""
    goal, inbox = Goal(count), queue.SimpleQueue[Any]()
    thread = consume(inbox, goal)
    seconds = timed(inbox.put, count, goal)
    inbox.put(None)
    thread.join()
    return seconds


def ask_bare(count: int) -> float:
    """Play ping-pong over two queues."""
    inbox, replies = queue.SimpleQueue[Any](), queue.SimpleQueue[Any]()
    thread = consume(inbox, replies.put)
    began = time.perf_counter()
    for number in range(count):
        inbox.put(number)
        replies.get()
    seconds = time.perf_counter() - began
    inbox.put(None)
    thread.join()
    return seconds


def chain_bare(count: int) -> float:
    """Hand on through as many queues as there are stages; the queues know no bound."""
    goal = Goal(count)
    inboxes = [queue.SimpleQueue[Any]() for _ in range(STAGES)]

    def link(number: int) -> Callable[[Any], Any]:
        if number + 1 == STAGES:
            return goal
        put = inboxes[number + 1].put
        return lambda item: put(same(item))

    threads = [consume(inbox, link(number)) for number, inbox in enumerate(inboxes)]
    seconds = timed(inboxes[0].put, count, goal)
    for inbox, thread in zip(inboxes, threads, strict=True):
        inbox.put(None)
        thread.join()
    return seconds


# -- plain Pykka ----------------------------------------------------------------------


class Plain(pykka.ThreadingActor):
    """Calls a function per message."""

    def __init__(self, handle: Callable[[Any], Any]) -> None:
        super().__init__()
        self.on_receive = handle  # type: ignore[assignment,method-assign]


def tell_pykka(count: int) -> float:
    """Tell one actor."""
    goal = Goal(count)
    ref = Plain.start(goal)
    seconds = timed(ref.tell, count, goal)
    ref.stop()
    return seconds


def ask_pykka(count: int) -> float:
    """Ask one actor."""
    ref = Plain.start(same)
    began = time.perf_counter()
    for number in range(count):
        ref.ask(number)
    seconds = time.perf_counter() - began
    ref.stop()
    return seconds


def chain_pykka(count: int) -> float:
    """Let each actor tell the next; the mailboxes know no bound."""
    goal = Goal(count)
    refs = [Plain.start(goal)]
    for _ in range(STAGES - 1):
        tell = refs[-1].tell
        refs.append(Plain.start(lambda item, tell=tell: tell(same(item))))
    seconds = timed(refs[-1].tell, count, goal)
    for ref in reversed(refs):
        ref.stop()
    return seconds


# -- threadsup ------------------------------------------------------------------------


def tell_supervised(count: int) -> float:
    """Tell one supervised handler."""
    goal = Goal(count)
    with Supervisor("bench") as sup:
        return timed(sup.add_worker(handler(goal)).tell, count, goal)


def ask_supervised(count: int) -> float:
    """Ask one supervised handler."""
    with Supervisor("bench") as sup:
        ref = sup.add_worker(handler(same))
        began = time.perf_counter()
        for number in range(count):
            ref.ask(number)
        return time.perf_counter() - began


def chain_supervised(count: int) -> float:
    """Tell a chain whose mailboxes are bounded and whose items are all accounted for."""
    goal = Goal(count)
    with Supervisor("bench") as sup:
        stages = [stage(same, id=number) for number in range(STAGES)]
        chain = sup.add_chain("chain", stages, capacity=CAPACITY, on_result=goal)
        return timed(chain.tell, count, goal)


WORK: dict[str, tuple[int, tuple[Callable[[int], float], ...]]] = {
    "tell, per message": (50_000, (tell_bare, tell_pykka, tell_supervised)),
    "ask, round trip": (3_000, (ask_bare, ask_pykka, ask_supervised)),
    f"chain of {STAGES}, per item": (20_000, (chain_bare, chain_pykka, chain_supervised)),
}
"""What is done, how often, and the three ways to do it."""


def main() -> None:
    """Time everything and print the table; takes some ten seconds."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(
        f"CPython {platform.python_version()} {'with' if gil else 'without'} the GIL, "
        f"{os.cpu_count()} cores, switch interval {sys.getswitchinterval() * 1000:g} ms, "
        f"Pykka {metadata.version('pykka')}; median of {ROUNDS} rounds"
    )
    print(f"{'us':<22}{'bare':>9}{'Pykka':>9}{'threadsup':>11}{'of bare':>10}{'of Pykka':>10}")
    for what, (count, ways) in WORK.items():
        for way in ways:  # what is done first pays for imports and the allocator's first pages
            way(count // 10)
        # In turn, round by round: a machine that slows down slows all three.
        rounds = [[way(count) for way in ways] for _ in range(ROUNDS)]
        bare, plain, ours = (
            statistics.median(times) / count * 1e6 for times in zip(*rounds, strict=True)
        )
        print(
            f"{what:<22}{bare:>9.2f}{plain:>9.2f}{ours:>11.2f}"
            f"{ours / bare:>9.2f}x{ours / plain:>9.2f}x"
        )


if __name__ == "__main__":
    main()
