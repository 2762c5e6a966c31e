"""Picks among equals: order of preference, fairness, and stable keys."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from enum import IntEnum, StrEnum
from itertools import permutations
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from threadsup._errors import SpecError
from threadsup._policy.routing import (
    candidates,
    in_random_order,
    least_loaded,
    partition,
    round_robin,
    stable_hash,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def pick(routing: str, count: int = 3, **given: Any) -> list[int]:
    loads = given.pop("loads", [0] * count)
    chosen: dict[str, Any] = {"random": lambda: 0.0, "position": 0, "load": loads.__getitem__}
    return list(candidates(routing, count, **{**chosen, **given}))


# -- the four routings ----------------------------------------------------------------


def test_round_robin_goes_round_from_the_position_on() -> None:
    """The candidates are all targets in turn, beginning at the position, however large."""
    assert list(round_robin(3, 0)) == [0, 1, 2]
    assert list(round_robin(3, 2)) == [2, 0, 1]
    assert list(round_robin(3, 3 * 10**9 + 1)) == [1, 2, 0]


def test_round_robin_gives_the_share_of_a_dead_target_to_all_alike() -> None:
    """With the position set behind who took it, nobody inherits a dead neighbour's share."""
    position, taken = 0, Counter[int]()
    for _ in range(300):
        took = next(target for target in round_robin(4, position) if target != 1)
        taken[took] += 1
        position = took + 1
    assert taken == {0: 100, 2: 100, 3: 100}


def test_random_order_has_every_target_once() -> None:
    """The random candidates are a permutation of all targets."""
    chance = Random(1).random
    for count in (0, 1, 2, 7, 100):
        assert sorted(in_random_order(count, chance)) == list(range(count))


def test_random_order_makes_each_order_equally_likely() -> None:
    """All six orders of three targets come up about as often as each other."""
    chance = Random(2).random
    seen = Counter(tuple(in_random_order(3, chance)) for _ in range(6000))
    assert set(seen) == set(permutations(range(3)))
    assert all(900 < times < 1100 for times in seen.values())


def test_random_order_asks_for_chance_only_as_far_as_it_is_read() -> None:
    """The usual pick costs one random number, whatever the number of targets."""
    asked: list[None] = []

    def chance() -> float:
        asked.append(None)
        return 0.999

    assert next(in_random_order(10**6, chance)) == 999_000
    assert len(asked) == 1


def test_least_loaded_comes_first_and_the_others_by_load() -> None:
    """Candidates are ordered by load, so a full one is passed over for the next best."""
    assert list(least_loaded([5, 1, 3, 0], 0)) == [3, 1, 2, 0]


def test_equally_loaded_targets_take_turns() -> None:
    """A tie falls to the one whose turn it is, not to the lowest position."""
    assert [next(least_loaded([0, 0, 0], position)) for position in range(4)] == [0, 1, 2, 0]
    assert list(least_loaded([2, 1, 2, 1], 3)) == [3, 1, 0, 2]


def test_partition_names_one_target_alone() -> None:
    """A key has one target and no second choice: elsewhere its order would be lost."""
    for key in ("a", b"a", 7, ("a", 7)):
        assert list(partition(5, key)) == [stable_hash(key) % 5]


def test_partition_spreads_keys_over_all_targets() -> None:
    """Numbered keys fall on all targets about alike."""
    taken = Counter(next(partition(8, f"user-{n}")) for n in range(8000))
    assert set(taken) == set(range(8))
    assert all(850 < times < 1150 for times in taken.values())


def test_candidates_are_those_of_the_routing_named() -> None:
    """`candidates` hands each routing what it needs."""
    assert pick("random") == [0, 2, 1]
    assert pick("round_robin", position=1) == [1, 2, 0]
    assert pick("least_loaded", loads=[2, 2, 1], position=1) == [2, 1, 0]
    assert pick("partition", key="k") == [stable_hash("k") % 3]


@pytest.mark.parametrize("routing", ["random", "round_robin", "least_loaded"])
def test_no_target_is_no_candidate(routing: str) -> None:
    """An empty set has no candidates, by any routing."""
    assert pick(routing, 0) == []
    assert pick("partition", 0, key="k") == []


def test_an_unknown_routing_is_refused_with_the_known_ones() -> None:
    """The error names what can be asked for."""
    with pytest.raises(SpecError, match=r"must be 'random', .* not 'broadcast'"):
        pick("broadcast")


def test_a_key_belongs_to_partition_and_partition_needs_one() -> None:
    """A key that would be ignored is an error, as is a partition without one."""
    with pytest.raises(SpecError, match="key: is only with routing='partition'"):
        pick("random", key="k")
    with pytest.raises(SpecError, match="key: is needed with routing='partition'"):
        pick("partition")


def test_none_is_a_wrong_key_not_an_absent_one() -> None:
    """A key function that returns None by mistake is told so, at the call."""
    with pytest.raises(TypeError, match="not None"):
        pick("partition", key=None)


# -- stable_hash ----------------------------------------------------------------------

GOLDEN = [
    ("", 0xE64984C3AACF6EDE),
    ("user-1", 0x29AA136EAA9C1DB3),
    (b"user-1", 0xF1FF491FAC60007F),
    (0, 0xB4E59D965E24B101),
    (-1, 0xDE5A46BC3DDCD6C1),
    (2**64, 0xEE3031D5CBDCE58A),
    (("a", 1, b"x"), 0x5F19CCA4DFCFFE39),
    ((), 0xCA73DCF5E072D4D6),
]


@pytest.mark.parametrize(("key", "expected"), GOLDEN)
def test_hash_of_a_key_is_pinned(key: Any, expected: int) -> None:
    """Keys hash to the same numbers in every version: who owns a key never changes."""
    assert stable_hash(key) == expected


def test_hash_of_a_key_is_the_same_in_another_process() -> None:
    """Hash randomisation does not move a key."""
    code = "from threadsup._policy.routing import stable_hash; print(stable_hash(('a', 'ü', 1)))"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    assert int(other.stdout) == stable_hash(("a", "ü", 1))


def different_keys() -> Iterator[Any]:
    yield from ("1", b"1", 1, -1, 255, 256, -256, "", b"", ())
    yield from (("1",), (b"1",), (1,), ("ab",), ("a", "b"), ("a", "b", ""), ("", "a", "b"))
    yield from ("\ud800", "é", "e\u0301", 2**63, 2**64, -(2**63))


def test_different_keys_hash_differently() -> None:
    """Type and value both count, and the parts of a tuple do not run together."""
    keys = list(different_keys())
    assert len({stable_hash(key) for key in keys}) == len(keys)


class Colour(StrEnum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Misleading(str):
    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return b"elsewhere"


def test_a_subclass_hashes_as_what_it_is_derived_from() -> None:
    """An enum member is the same key as its value, and no subclass has a say in it."""
    assert stable_hash(Colour.RED) == stable_hash("red")
    assert stable_hash(Number.ONE) == stable_hash(1)
    assert stable_hash(Misleading("a")) == stable_hash("a")


@pytest.mark.parametrize(
    "key", [True, None, 1.0, ["a"], {"a"}, object(), ("a", None), ("a", ("b",))]
)
def test_a_key_of_another_type_is_refused_with_the_remedy(key: Any) -> None:
    """What has no stable bytes is a TypeError that says what to do."""
    with pytest.raises(TypeError, match=r"must be a str, bytes, an int .* make one of it"):
        stable_hash(key)
