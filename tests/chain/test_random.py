"""Chains made by dice: whatever happens to them, each item has the outcome it must have.

Owns the choice of seeds, and that nothing is left behind. How a seed becomes a chain,
and what is right, stands in `random_chains`; more runs than the usual ones are asked for
with the environment variable `THREADSUP_RANDOM_RUNS`.
"""

from __future__ import annotations

import gc
import os
import sys
import threading

import pytest

from tests.chain.random_chains import Plan, Run

BLOCK = 20
RUNS = int(os.environ.get("THREADSUP_RANDOM_RUNS", "400"))


@pytest.mark.parametrize("first", range(0, RUNS, BLOCK))
def test_every_item_of_a_random_chain_has_the_one_right_outcome(first: int) -> None:
    """Futures, order, counts, bounds and losses, under crashes and live changes."""
    for seed in range(first, first + BLOCK):
        plan = Plan.of(seed)
        assert Run(plan).go() == [], plan


def test_the_dice_throw_everything() -> None:
    """Every strategy, routing, sender, change and fate of an item is among the plans."""
    plans = [Plan.of(seed) for seed in range(RUNS)]
    stages = [each for plan in plans for each in plan.stages]
    assert {len(plan.stages) for plan in plans} == {1, 2, 3, 4, 5, 6}
    assert len({plan.strategy for plan in plans}) == 4
    assert len({each.routing for each in stages}) == 5
    assert len({each.on_error for each in stages}) == 3
    assert len({each.on_full for each in stages}) == 4
    assert len({sender for plan in plans for sender in plan.senders}) == 5
    assert len({change for plan in plans for change in plan.changes}) == 7
    outcomes = [plan.outcome(number) for plan in plans for number in range(plan.items)]
    kinds = {
        outcome if isinstance(outcome, str) else type(outcome).__name__ for outcome in outcomes
    }
    assert kinds == {"failed", "dropped", "Leaf", "list"}


def test_the_judge_sees_what_is_wrong() -> None:
    """An item lost, done twice or out of order is a problem: the test can fail."""
    seed = next(
        seed
        for seed in range(RUNS)
        if Plan.of(seed).calm and Plan.of(seed).keeps_order and "tell" in Plan.of(seed).senders
    )
    lost = Run(Plan.of(seed))
    lost._note = lambda leaf: None  # type: ignore[method-assign]
    assert any("too little" in problem for problem in lost.go())
    twice = Run(Plan.of(seed))
    note = twice._note

    def note_twice(leaf: object) -> None:
        note(leaf)  # type: ignore[arg-type]
        note(leaf)  # type: ignore[arg-type]

    twice._note = note_twice  # type: ignore[method-assign]
    assert any("too much" in problem for problem in twice.go())


def test_a_hundred_chains_leave_nothing_behind() -> None:
    """Memory is flat and no thread is left when they have come and gone."""

    def blocks_after(seeds: range) -> int:
        for seed in seeds:
            assert Run(Plan.of(seed)).go() == []
        gc.collect()
        return sys.getallocatedblocks()

    blocks_after(range(40))
    threads = threading.active_count()
    before = blocks_after(range(40))
    after = blocks_after(range(40))
    assert threading.active_count() == threads
    # 40 chains hold some 100,000 blocks while they live.
    assert after - before < 10_000
