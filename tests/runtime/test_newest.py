"""The newest of what any thread adds can be read while it is added to."""

from __future__ import annotations

import threading

from tests.runtime.forcing import run
from threadsup._runtime.newest import Newest


def test_the_oldest_makes_room() -> None:
    """No more than the limit is kept, newest last."""
    newest: Newest[int] = Newest(3)
    for number in range(5):
        newest.append(number)
    assert newest.list() == (2, 3, 4)


def test_it_can_be_read_in_a_storm() -> None:
    """Reading while others add neither fails nor misses what is there (free-threaded, too)."""
    newest: Newest[int] = Newest(100)
    filled, over = threading.Event(), threading.Event()

    def storm() -> None:
        number = 0
        while not over.is_set():
            newest.append(number)
            number += 1
            if number == 100:
                filled.set()

    storming = run(storm)
    filled.wait()
    try:
        for _ in range(500):
            seen = newest.list()
            assert seen == tuple(range(seen[0], seen[0] + 100))
    finally:
        over.set()
        storming.result()
