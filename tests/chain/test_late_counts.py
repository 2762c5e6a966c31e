"""What a thread counts that was given up on, after its replica or its stage is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import stage
from threadsup._runtime.stage import StageBehaviour

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow


def same(item: Any) -> Any:
    return item


def test_an_item_that_was_out_of_hand_is_counted_by_whoever_has_it(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread had handled it and comes to count it last: when nobody looks for it any more."""
    gate, counted = Gate("the counting"), Recorder[None]()
    hand_on = StageBehaviour._hand_on

    def slow(self: StageBehaviour, result: Any, raw: Any) -> None:
        if result == "slow":
            gate.meet()
        try:
            hand_on(self, result, raw)
        finally:
            if result == "slow":
                counted(None)

    monkeypatch.setattr(StageBehaviour, "_hand_on", slow)
    f = flow(
        stage(same, id="first", workers=2, shutdown=0.0),
        stage(same, id="last"),
    )
    for item in ("fast", "slow"):  # the first to the first, the other to the other
        f.chain.tell(item)
    gate.wait_reached()
    f.chain.resize("first", 1)
    assert f.chain["first"].replicas == (("first", 0),)
    gate.open()
    counted.wait_for(1)
    assert f.chain.drain(PATIENCE)
    assert f.items() == {"offered": 2, "completed": 1, "failed": 1}
