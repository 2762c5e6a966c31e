"""Chains that feed each other, changed at random while items go through: nothing is lost."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE
from tests.runtime.forcing import run
from threadsup import Backoff, stage

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from threadsup import Chain, Supervisor

SENDERS, ITEMS, CHANGES = 3, 40, 20


class Crashes:
    """A stage that crashes at some items, once at each."""

    def __init__(self, chance: random.Random) -> None:
        self._left = {item for item in range(SENDERS * ITEMS) if chance.random() < 0.03}
        self._lock = threading.Lock()

    def __call__(self, item: int) -> int:
        with self._lock:
            crashes = item in self._left
            self._left.discard(item)
        if crashes:
            raise ValueError(item)
        return item


def build(chance: random.Random, tree: Supervisor, id: str, stages: int) -> Chain:
    options: dict[str, Any] = {
        "capacity": chance.choice([1, 2, 10]),
        "strategy": chance.choice(["one_for_one", "one_for_all", "rest_for_one", "before_for_one"]),
    }
    made = [
        stage(
            Crashes(chance),
            id=f"{id}{number}",
            workers=chance.choice([1, 2, 3]),
            routing=chance.choice(["round_robin", "random", "least_loaded"]),
            max_attempts=9,  # more than there are stages that may crash with it in hand
        )
        for number in range(stages)
    ]
    return tree.add_chain(id, made, **options)


def change(chance: random.Random, chains: list[Chain]) -> None:
    """Change something, whatever it is."""
    first, one, two, _ = chains
    chain = chance.choice(chains)
    key = chance.choice(chain.children())
    match chance.randrange(7):
        case 0:
            chain.resize(key, chance.choice([1, 2, 3]))
        case 1:
            chain.restart_child(key)
        case 2:
            first.to(one, two, by=lambda item: one if item % 3 else two.id)
        case 3:
            first.to(chance.choice([one, two]))
        case 4:
            chain.tap(str)()
        case 5 if "new" not in chain:
            chain.insert_stage(Crashes(chance), before=key, id="new", max_attempts=9)
        case _ if "new" in chain:
            chain.remove_stage("new")


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_whatever_is_changed_meanwhile(
    supervisor: MakeSupervisor, seed: int
) -> None:
    """Replicas, stages, links and taps change, stages crash: each item comes out once."""
    chance = random.Random(seed)
    trees = [supervisor(max_restarts=10_000, backoff=Backoff.none()).start() for _ in range(2)]
    first, one, two, last = chains = [
        build(chance, trees[tree], name, stages)
        for tree, name, stages in ((0, "first", 2), (0, "one", 1), (1, "two", 2), (0, "last", 1))
    ]
    one.to(last)
    two.to(last)
    first.to(one)
    came: list[int] = []
    last.tap(came.append)

    def send(number: int) -> list[Any]:
        return [first.submit(number * ITEMS + item) for item in range(ITEMS)]

    sending = [run(send, number) for number in range(SENDERS)]
    for _ in range(CHANGES):
        change(chance, chains)
    futures = [future for each in sending for future in each.result()]
    assert [future.result(PATIENCE) for future in futures] == [*range(SENDERS * ITEMS)]
    for chain in chains:
        assert chain.drain(PATIENCE)
    assert sorted(came) == [*range(SENDERS * ITEMS)]
    found = [chain.statistics().items for chain in chains]
    assert all(each.offered == each.completed for each in found), found
    assert found[1].offered + found[2].offered == found[0].offered == found[3].offered
    assert [tree.dead_letters() for tree in trees] == [(), ()]
