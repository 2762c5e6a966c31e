"""The newest of what any thread adds can be read while it is added to."""

from __future__ import annotations

import threading

import pytest

from tests.helpers import Gate
from tests.runtime.forcing import run
from threadsup._runtime.newest import Newest


def test_the_oldest_makes_room() -> None:
    """No more than the limit is kept, newest last."""
    newest: Newest[int] = Newest(3)
    for number in range(5):
        newest.append(number)
    assert newest.list() == (2, 3, 4)


def test_those_that_are_wanted_are_taken_out() -> None:
    """In order; the others stay, and so does the limit."""
    newest: Newest[int] = Newest(4)
    for number in range(6):
        newest.append(number)
    assert newest.take(lambda number: number % 2) == (3, 5)
    assert newest.list() == (2, 4)
    assert newest.take(lambda number: number > 9) == ()
    for number in range(6, 9):
        newest.append(number)
    assert newest.list() == (4, 6, 7, 8)


def test_a_question_that_fails_takes_nothing() -> None:
    """What was wanted before it failed is still there."""
    newest: Newest[int] = Newest(3)
    newest.append(1)
    newest.append(0)
    with pytest.raises(ZeroDivisionError):
        newest.take(lambda number: 1 / number)
    assert newest.list() == (1, 0)


def test_the_question_is_asked_without_the_lock() -> None:
    """Others add meanwhile; what they have displaced is not taken, what is new not asked for."""
    newest: Newest[int] = Newest(3)
    for number in range(3):
        newest.append(number)
    asked: list[int] = []

    def wanted(number: int) -> bool:
        if not asked:
            run(newest.append, 3).result()
        asked.append(number)
        return True

    assert newest.take(wanted) == (1, 2)
    assert newest.list() == (3,)
    assert asked == [0, 1, 2]


def test_what_two_want_at_once_one_gets() -> None:
    """Both have asked before either takes."""
    newest: Newest[object] = Newest(3)
    newest.append(object())
    gate = Gate()

    def wanted(item: object) -> bool:
        gate.meet()
        return True

    takers = [run(newest.take, wanted) for _ in range(2)]
    gate.wait_reached(2)
    gate.open()
    assert sorted(len(taker.result()) for taker in takers) == [0, 1]


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
