"""1, 2, crash, 3, 4, 5: exactly the crashing item is lost, whatever the chain is like.

Owns the reference loss test for chains with replicas, batches and streams; that of plain
chains stands in `test_crashes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.helpers import PATIENCE
from threadsup import Batch, Emit, stage

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow

SENT = [1, 2, "crash", 3, 4, 5]
LEFT = [1, 2, 3, 4, 5]

strategies = pytest.mark.parametrize(
    "strategy", ["one_for_one", "one_for_all", "rest_for_one", "before_for_one"]
)
routings = pytest.mark.parametrize(
    "routing", ["round_robin", "random", "least_loaded", "partition", "broadcast"]
)
places = pytest.mark.parametrize("place", [0, 1, 2])


def same(item: Any) -> Any:
    return item


def crash(item: Any) -> Any:
    if item == "crash":
        raise ValueError("crashed")
    return item


def crash_all(items: list[Any]) -> list[Any]:
    return [crash(item) for item in items]


def three(place: int, **options: Any) -> list[Any]:
    made = [stage(same, id=f"s{at}") for at in range(3)]
    if options.get("routing") == "partition":
        options["key"] = str
    made[place] = stage(crash, id=f"s{place}", **options)
    return made


@strategies
@routings
@places
def test_a_crash_of_a_replica_loses_its_item_only(
    flow: MakeFlow, strategy: Any, routing: Any, place: int
) -> None:
    """Each other item comes out once, or once for each replica (rows 154, 155, 156, 157; F48)."""
    f = flow(*three(place, workers=3, routing=routing), strategy=strategy)
    futures = [f.chain.submit(item) for item in SENT]
    copies = 3 if routing == "broadcast" else 1
    found = [outcome(future) for future in futures]
    assert f.chain.drain(PATIENCE)
    expected: list[Any] = [[item] * 3 if copies == 3 else item for item in SENT]
    expected[2] = "ValueError: crashed"
    assert found == expected
    assert sorted(f.results.items) == sorted(LEFT * copies)
    assert f.letters() == [("crash", ("chain", f"s{place}"), "failed")] * copies
    assert f.items() == {"offered": 6, "completed": 5, "failed": 1}


@strategies
@places
def test_a_stream_loses_the_crashing_item_only(flow: MakeFlow, strategy: Any, place: int) -> None:
    """The others come out in their order, the failure at its place (row 156)."""
    f = flow(*three(place, workers=2), strategy=strategy, capacity=1)
    found = list(f.chain.map(SENT, errors="return"))
    assert [str(each) if isinstance(each, ValueError) else each for each in found] == [
        1,
        2,
        "crashed",
        3,
        4,
        5,
    ]
    assert f.items() == {"offered": 6, "completed": 5, "failed": 1}


@strategies
def test_a_crash_of_a_batch_loses_its_mates_with_it_and_nobody_else(
    flow: MakeFlow, strategy: Any
) -> None:
    """As with Broadway the batch shares the fate: 1 2 | crash 3 | 4 5 (row 157)."""
    f = flow(stage(same, id="a"), stage(crash_all, id="b", batch=Batch(2, 60.0)), strategy=strategy)
    futures = [f.chain.submit(item) for item in SENT]
    failed = "ValueError: crashed"
    assert [outcome(future) for future in futures] == [1, 2, failed, failed, 4, 5]
    assert f.items() == {"offered": 6, "completed": 4, "failed": 2}


@strategies
def test_a_crash_of_one_descendant_fails_its_item_and_no_other(
    flow: MakeFlow, strategy: Any
) -> None:
    """The other descendants of that item come out; its future raises (row 156)."""

    def double(item: Any) -> Any:
        return Emit(item, "crash") if item == 3 else Emit(item, item)

    f = flow(stage(double, id="a"), stage(crash, id="b", workers=2), strategy=strategy)
    futures = [f.chain.submit(item) for item in LEFT]
    found = [outcome(future) for future in futures]
    assert found == [[1, 1], [2, 2], "ValueError: crashed", [4, 4], [5, 5]]
    assert f.chain.drain(PATIENCE)
    assert sorted(f.results.items) == [1, 1, 2, 2, 3, 4, 4, 5, 5]
    assert f.items() == {"offered": 5, "completed": 4, "failed": 1}
