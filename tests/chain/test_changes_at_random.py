"""Changes at random, made by two threads, while items are sent: each comes out once."""

from __future__ import annotations

import random
from collections import defaultdict
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.changing import key_of
from tests.helpers import PATIENCE, Recorder
from tests.runtime.forcing import run
from threadsup import Batch, Rate, SpecError, UnknownChildError, stage

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow
    from threadsup import Chain, StageSpec

ITEMS = 120


def same(item: Any) -> Any:
    return item


def odd_stage(dice: random.Random, key: str) -> StageSpec:
    """Return a stage of any kind that hands on what it gets."""
    routing: Any = dice.choice(["round_robin", "random", "least_loaded", "partition"])
    return stage(
        same,
        id=key,
        workers=dice.randint(1, 3),
        routing=routing,
        key=key_of if routing == "partition" else None,
        batch=dice.choice([None, None, Batch(3, timeout=0.001)]),
        rate=dice.choice([None, Rate(2000)]),
        capacity=dice.choice([3, 10]),
    )


def change(chain: Chain, dice: random.Random, name: str) -> None:
    """Make a change; one that cannot be made, as another was faster, is none."""
    keys = chain.children()
    key = dice.choice(keys)
    with suppress(UnknownChildError, SpecError):
        match dice.randrange(9):
            case 0 | 1:
                chain.resize(key, dice.randint(1, 4))
            case 2:
                chain.insert_stage(odd_stage(dice, name), before=key)
            case 3:
                chain.add_stage(odd_stage(dice, name))
            case 4 if len(keys) > 2:
                chain.remove_stage(key)
            case 5:
                chain.restart_child(key)
            case 6:
                chain.set_capacity(dice.randint(3, 9))
            case 7:
                chain.set_rate(dice.choice([None, Rate(3000)]), dice.choice([None, key]))
            case _:
                # Nothing in between that waits: what the other one has asked for may
                # wait for the chain to go on.
                chain.pause()
                chain.set_capacity(dice.randint(3, 9))
                chain.resume()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_changed_each_item_comes_out_once(flow: MakeFlow, seed: int) -> None:
    """Every future has its item, every result is one, and all counts add up."""
    dice = random.Random(seed)
    f = flow(odd_stage(dice, "a"), odd_stage(dice, "b"))
    items = [(n % 5, n) for n in range(ITEMS)]

    def send() -> list[Any]:
        return [f.chain.submit(item, timeout=PATIENCE) for item in items]

    def meddle(name: str, seed: int) -> None:
        own = random.Random(seed)
        for at in range(6):
            change(f.chain, own, f"{name}{at}")

    sender = run(send)
    meddlers = [run(meddle, name, seed * 10 + at) for at, name in enumerate("xy")]
    for each in meddlers:
        each.result()
    futures = sender.result()
    assert [future.result(PATIENCE) for future in futures] == items
    assert f.chain.drain(PATIENCE)
    assert sorted(f.results.items) == sorted(items)
    assert f.items() == {"offered": ITEMS, "completed": ITEMS}
    cells = {cell.id for key in f.chain for cell in f.chain._line(key).cells}
    assert set(f.chain.scope.cells) == cells


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_changed_a_key_keeps_its_order(flow: MakeFlow, seed: int) -> None:
    """In a stage with `partition`, over resizes, restarts and pauses by two threads."""
    seen: Recorder[Any] = Recorder()

    def work(item: Any) -> Any:
        seen(item)
        return item

    f = flow(stage(work, id="s", workers=2, routing="partition", key=key_of, capacity=4))
    items = [(n % 6, n) for n in range(ITEMS)]

    def send() -> None:
        for item in items:
            f.chain.tell(item, timeout=PATIENCE)

    def meddle(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(8):
            match dice.randrange(4):
                case 0:
                    f.chain.restart_child("s")
                case 1:
                    f.chain.pause()
                    f.chain.resume()
                case _:
                    f.chain.resize("s", dice.randint(1, 5))

    running = [run(send), run(meddle, seed), run(meddle, seed + 100)]
    for each in running:
        each.result()
    assert f.chain.drain(PATIENCE)
    for found in (seen.items, f.results.items):
        by_key: dict[int, list[int]] = defaultdict(list)
        for key, n in found:
            by_key[key].append(n)
        assert all(one < two for each in by_key.values() for one, two in pairwise(each))
        assert len(found) == ITEMS
