"""Times tell, ask and a chain of four beside plain Pykka and bare threads.

Owns the suite `tell`: three pieces of work, each done three ways by functions that take a
count and return seconds; `python -m bench tell` runs it.
It must not know the library's insides: it is timed as users call it.
"""

from __future__ import annotations

import queue
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.contestants import Goal, Plain, consuming, same, timed
from bench.passing import WIDE, per_item, tell_supervised
from bench.passing import tell_bare as chain_bare
from bench.passing import tell_pykka as chain_pykka
from bench.work import Row, Work
from threadsup import Supervisor, handler

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WORKS"]

# -- bare threads ---------------------------------------------------------------------


def tell_bare(count: int) -> float:
    """Put to one queue that one thread reads."""
    goal, inbox = Goal(count), queue.SimpleQueue[Any]()
    with consuming((inbox, goal)):
        return timed(inbox.put, count, goal)


def ask_bare(count: int) -> float:
    """Play ping-pong over two queues."""
    inbox, replies = queue.SimpleQueue[Any](), queue.SimpleQueue[Any]()

    def ask(number: int) -> None:
        inbox.put(number)
        replies.get()

    with consuming((inbox, replies.put)):
        return _asked(ask, count)


def _asked(ask: Callable[[int], Any], count: int) -> float:
    began = time.perf_counter()
    for number in range(count):
        ask(number)
    return time.perf_counter() - began


# -- plain Pykka ----------------------------------------------------------------------


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
    seconds = _asked(ref.ask, count)
    ref.stop()
    return seconds


# -- threadsup ------------------------------------------------------------------------


def tell_handler(count: int) -> float:
    """Tell one supervised handler."""
    goal = Goal(count)
    with Supervisor("bench") as sup:
        return timed(sup.add_worker(handler(goal)).tell, count, goal)


def ask_handler(count: int) -> float:
    """Ask one supervised handler."""
    with Supervisor("bench") as sup:
        return _asked(sup.add_worker(handler(same)).ask, count)


WORKS: tuple[Work, ...] = (
    Work(
        rows=(Row("tell, per message", "us"),),
        ways={
            "floor": per_item(tell_bare),
            "Pykka": per_item(tell_pykka),
            "threadsup": per_item(tell_handler),
        },
        count=50_000,
        quick=200,
    ),
    Work(
        rows=(Row("ask, round trip", "us"),),
        ways={
            "floor": per_item(ask_bare),
            "Pykka": per_item(ask_pykka),
            "threadsup": per_item(ask_handler),
        },
        count=3_000,
        quick=50,
    ),
    Work(
        rows=(Row("chain of 4, per item", "us"),),
        ways={
            "floor": per_item(partial(chain_bare, queue.SimpleQueue)),
            "Pykka": per_item(chain_pykka),
            "threadsup": per_item(partial(tell_supervised, WIDE)),
        },
        count=20_000,
        quick=200,
    ),
)
"""What is done, how often, and the three ways to do it."""
