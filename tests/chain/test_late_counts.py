"""What a thread counts that was given up on, after its replica or its stage is forgotten."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tests.helpers import PATIENCE, Gate
from threadsup import events, stage
from threadsup._runtime.actor import Life

if TYPE_CHECKING:
    import pytest

    from tests.chain.conftest import MakeFlow


def same(item: Any) -> Any:
    return item


class SlowHand(list[Any]):
    """A hand whose thread stands at a gate when it has handled the item "slow"."""

    gate: Gate
    holders: list[threading.Thread]

    def pop(self, index: Any = -1, /) -> Any:
        raw = super().pop(index)
        if raw == "slow":
            self.holders.append(threading.current_thread())
            self.gate.meet()
        return raw


def test_an_item_is_counted_by_a_thread_that_was_given_up_on(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had handled it, and comes to count it and to hand it on when its replica is gone."""
    gate, holders = Gate("the counting"), list[threading.Thread]()
    make = Life.__init__

    def with_hand(self: Life, *args: Any, **options: Any) -> None:
        hand = SlowHand()
        hand.gate, hand.holders = gate, holders
        make(self, *args, **{**options, "hand": hand})

    monkeypatch.setattr(Life, "__init__", with_hand)
    f = flow(
        stage(same, id="first", workers=2, shutdown=0.0),
        stage(same, id="last"),
    )
    f.events.wait_until(
        lambda told: sum(type(each) is events.WorkerStarted for each in told) == 3, "stages"
    )
    for item in ("fast", "slow"):  # the first to the first, the other to the other
        f.chain.tell(item)
    gate.wait_reached()
    f.chain.resize("first", 1)
    assert f.chain["first"].replicas == (("first", 0),)
    gate.open()
    holders[0].join(PATIENCE)  # that of the last stage comes after
    assert f.chain.drain(PATIENCE)
    assert f.items() == {"offered": 2, "completed": 2}
