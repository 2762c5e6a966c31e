"""Chains at random: whatever is in them, every item has the end it was to have.

What becomes of an item at each stage is drawn from the seed before anything runs, so
every future has one right outcome, and the senders' own counts are what the chain's
have to be. A failure names the seed; `THREADSUP_SEED` runs that one alone.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.chain.flows import Flow, outcome
from tests.runtime.forcing import run
from threadsup import Drop, MailboxClosed, MailboxFull, Reject, stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import MakeSupervisor
    from threadsup import Future

CHAINS = 40
SENDERS = 3
ITEMS = 120

ENDS = ("drop", "reject", "crash", "exit")
"""What may become of an item at a stage, but for being passed on."""


class Item(NamedTuple):
    """An item, and what is to become of it: at which stage, and what."""

    sender: int
    number: int
    entry: int
    stage: int
    end: str
    crashes: int
    """How often it crashes the stage at which it ends; passed on after that if it may."""


@dataclass
class Plan:
    """One chain and everything that is done with it."""

    seed: int
    stages: int
    attempts: list[int]
    options: dict[str, Any]
    restarts: list[str]
    ending: str
    items: list[list[Item]]
    tries: dict[tuple[Item, int], int] = field(default_factory=dict)
    """How often each item came to each stage; written by that stage's thread alone."""

    @classmethod
    def draw(cls, seed: int) -> Plan:
        """Draw a plan from the seed."""
        rng = random.Random(seed)
        stages = rng.randint(1, 4)
        attempts = [rng.choice((1, 1, 2, 3)) for _ in range(stages)]

        def item(sender: int, number: int) -> Item:
            entry = rng.choice((0, 0, 0, rng.randrange(stages)))
            at = rng.randrange(entry, stages)
            end = rng.choice(ENDS) if rng.random() < 0.15 else "pass"
            return Item(sender, number, entry, at, end, rng.randint(1, 3))

        return cls(
            seed=seed,
            stages=stages,
            attempts=attempts,
            options={
                "strategy": rng.choice(("one_for_one", "one_for_all", "rest_for_one")),
                "capacity": rng.choice((1, 2, 3, 10, 50)),
                "on_full": rng.choice(("wait", "wait", "raise", "drop_new", "drop_old")),
            },
            restarts=[f"s{rng.randrange(stages)}" for _ in range(rng.randint(0, 4))],
            ending=rng.choice(("drain", "close", "stop", "stop drained")),
            items=[[item(sender, n) for n in range(ITEMS)] for sender in range(SENDERS)],
        )

    @property
    def loses(self) -> bool:
        """Whether an item may be undelivered."""
        return self.ending == "stop" or self.options["on_full"].startswith("drop")

    def handle(self, item: Item, stage: int) -> Any:
        """Do at a stage what the item says."""
        tried = self.tries[item, stage] = self.tries.get((item, stage), 0) + 1
        if stage != item.stage or item.end == "pass":
            return item
        if item.end == "drop":
            return Drop(item.number)
        if item.end == "reject":
            return Reject(item.number)
        if tried <= item.crashes:
            raise SystemExit(3) if item.end == "exit" else ValueError(item.number)
        return item

    def expected(self, item: Item) -> Any:
        """Return what the item's future is to hold, in the words of `outcome`."""
        survives = item.crashes < self.attempts[item.stage]
        if item.end == "drop":
            return Drop(item.number)
        if item.end == "reject":
            return f"rejected: {item.number}"
        if item.end == "pass" or survives:
            return item
        return "exited" if item.end == "exit" else f"ValueError: {item.number}"


@dataclass
class Sent:
    """What a sender has sent, by its own count."""

    told: list[Item] = field(default_factory=list)
    submitted: list[tuple[Item, Future[Any]]] = field(default_factory=list)

    @property
    def items(self) -> list[Item]:
        return self.told + [item for item, _ in self.submitted]


def send(plan: Plan, f: Flow, sender: int) -> Sent:
    """Send a sender's items, each in a way of its own."""
    rng = random.Random(f"{plan.seed} {sender}")
    sent = Sent()
    for item in plan.items[sender]:
        at = f"s{item.entry}"
        try:
            match rng.randrange(3):
                case 0:
                    f.chain.tell(item, at=at)
                    sent.told.append(item)
                case 1:
                    f.chain.tell_nowait(item, at=at)
                    sent.told.append(item)
                case _:
                    sent.submitted.append((item, f.chain.submit(item, at=at)))
        except MailboxFull:
            continue
        except MailboxClosed:
            break
    return sent


def carry_out(plan: Plan, supervisor: MakeSupervisor) -> None:
    """Build the chain, do with it what was drawn, and hold it to the outcome."""
    stages = [
        stage(plan.handle, place, id=f"s{place}", max_attempts=plan.attempts[place])
        for place in range(plan.stages)
    ]
    f = Flow(supervisor, stages, {"max_restarts": 10**6}, plan.options)
    senders = [run(send, plan, f, sender) for sender in range(SENDERS)]
    for name in plan.restarts:
        f.chain.restart_child(name)
    if plan.ending == "drain":
        sents = [sender.result() for sender in senders]
        assert f.chain.drain(20)
    elif plan.ending == "close":
        f.chain.close()
        sents = [sender.result() for sender in senders]
        f.wait_ended()
    else:
        f.sup.stop(drain=plan.ending == "stop drained")
        sents = [sender.result() for sender in senders]
    check(plan, f, sents)
    f.sup.stop()


def check(plan: Plan, f: Flow, sents: list[Sent]) -> None:
    """Compare what has come of the items with what was to."""
    accepted = [item for sent in sents for item in sent.items]
    items = f.items()
    assert items.get("in_flight", 0) == 0
    assert items.get("offered", 0) == len(accepted)
    results = f.results.items
    assert items.get("completed", 0) == len(results)
    assert len(set(results)) == len(results), "an item came twice"
    assert set(results) <= set(accepted), "an item came that was not accepted"
    lost = plan.loses or (plan.ending != "drain" and bool(late(plan, f, accepted)))
    for item, future in (pair for sent in sents for pair in sent.submitted):
        assert future.done()
        assert outcome(future) in (plan.expected(item), "exited" if lost else None)
    if not lost:
        assert set(results) == {each for each in accepted if plan.expected(each) is each}
    for (item, place), tries in plan.tries.items():
        assert tries <= plan.attempts[place], f"{item} was tried too often"
    ways: dict[tuple[int, int], list[int]] = {}
    for item in results:
        ways.setdefault((item.sender, item.entry), []).append(item.number)
    assert all(way == sorted(way) for way in ways.values()), "items overtook each other"


def late(plan: Plan, f: Flow, accepted: list[Item]) -> list[Any]:
    """Return what came in behind the end of the stream: put while it was closed."""
    return [each for each in f.letters() if each[2] not in {"failed", "dropped at the bound"}]


@pytest.fixture
def hurried(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have threads take turns as often as they can."""
    before = sys.getswitchinterval()
    if request.param:
        sys.setswitchinterval(request.param)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("hurried", [None, 1e-6], indirect=True, ids=["as it is", "1e-6"])
def test_every_item_of_a_random_chain_has_the_end_it_was_to_have(
    supervisor: MakeSupervisor, request: pytest.FixtureRequest
) -> None:
    """With crashes, restarts by hand and every bound; three senders, one account."""
    del request
    seed = os.environ.get("THREADSUP_SEED")
    for each in [int(seed)] if seed else range(CHAINS):
        try:
            carry_out(Plan.draw(each), supervisor)
        except BaseException as error:
            error.add_note(f"THREADSUP_SEED={each}: {Plan.draw(each)!r:.400}")
            raise
    assert threading.active_count() < 100
