"""What a thread counts that was given up on, after its replica or its stage is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import stage
from threadsup._runtime.stage import StageBehaviour

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.chain.conftest import MakeFlow
    from threadsup._runtime.inlet import Inlet


def same(item: Any) -> Any:
    return item


def test_an_item_is_counted_by_a_thread_that_was_given_up_on(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had handled it, and comes to count it and to hand it on when its replica is gone."""
    gate, counted = Gate("the counting"), Recorder[None]()
    hander_on = StageBehaviour._hander_on

    def slow(self: StageBehaviour, inlet: Inlet) -> Callable[[Any, Any], None]:
        hand_on = hander_on(self, inlet)

        def at_the_gate(result: Any, raw: Any) -> None:
            if result == "fast":
                hand_on(result, raw)
                return
            gate.meet()
            try:
                hand_on(result, raw)
            finally:
                counted(None)

        return at_the_gate

    monkeypatch.setattr(StageBehaviour, "_hander_on", slow)
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
    assert f.items() == {"offered": 2, "completed": 2}
