"""One timer per owner and key, none of them forgotten and none of them in the way."""

from __future__ import annotations

import random

from threadsup._policy.protocol import Deadline
from threadsup._supervisor import timers as timers_module
from threadsup._supervisor.timers import Timers


def test_the_next_is_the_earliest_that_is_live() -> None:
    """Replacing and taking away count at once: nobody wakes for a dead one."""
    timers, owner = Timers(), object()
    assert timers.next() is None
    timers.set(owner, "a", 1, 5.0)
    timers.set(owner, "b", 1, 3.0)
    timers.set(owner, None, 1, 4.0)
    assert timers.next() == 3.0
    timers.set(owner, "b", 2, 9.0)
    assert timers.next() == 4.0
    timers.set(owner, None, 1, None)
    assert timers.next() == 5.0
    timers.set(owner, "nobody's", 1, None)
    assert timers.next() == 5.0


def test_what_is_due_comes_in_order_and_once() -> None:
    """With its owner, its key and the number it was set with; equal times in order set."""
    timers, one, other = Timers(), object(), object()
    timers.set(one, "late", 7, 2.0)
    timers.set(other, "first", 8, 1.0)
    timers.set(one, None, 9, 1.0)
    timers.set(one, "later", 1, 2.5)
    assert timers.due(0.5) == []
    assert timers.due(2.0) == [
        (other, Deadline("first", 8)),
        (one, Deadline(None, 9)),
        (one, Deadline("late", 7)),
    ]
    assert timers.due(2.0) == []
    assert timers.next() == 2.5


def test_owners_are_told_apart_by_identity() -> None:
    """The same key of two owners are two timers; nothing of an owner is called."""

    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]

    timers, one, other = Timers(), Odd(), Odd()
    timers.set(one, "k", 1, 1.0)
    timers.set(other, "k", 1, 1.0)
    timers.set(one, "k", 1, None)
    ((owner, _),) = timers.due(1.0)
    assert owner is other


def test_timers_that_were_taken_away_do_not_pile_up() -> None:
    """Behind one that stays, a hundred thousand came and went (F78)."""
    timers, owner = Timers(), object()
    timers.set(owner, "stays", 1, 10.0)
    for number in range(10_000):
        timers.set(owner, "comes and goes", number, 20.0 + number)
        timers.set(owner, "comes and goes", number, None)
        assert len(timers._heap) <= timers_module._SPARE + 3
    assert timers.next() == 10.0


def test_timers_agree_with_a_plain_list() -> None:
    """Thousands of changes at random, against the obvious way to do it."""
    dice = random.Random(0)
    timers, owners = Timers(), [object() for _ in range(3)]
    live: dict[tuple[int, int], tuple[float, int]] = {}
    now = 0.0
    for number in range(5000):
        place = dice.randrange(3), dice.randrange(40)
        at = None if dice.random() < 0.3 else now + dice.random() * 10
        timers.set(owners[place[0]], place[1], number, at)
        live.pop(place, None)
        if at is not None:
            live[place] = at, number
        if dice.random() < 0.1:
            now += dice.random() * 3
            due = sorted((at, number, place) for place, (at, number) in live.items() if at <= now)
            for _, _, place in due:
                del live[place]
            assert timers.due(now) == [
                (owners[place[0]], Deadline(place[1], number)) for _, number, place in due
            ]
        assert timers.next() == min((at for at, _ in live.values()), default=None)
