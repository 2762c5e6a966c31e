"""Crashes in a chain: what is lost, who comes back, and that the counts say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.helpers import Gate
from threadsup import Abandoned, Crashed, Shutdown, Worker, stage

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one", "before_for_one")
STAGES = ("a", "b", "c")

strategies = pytest.mark.parametrize("strategy", STRATEGIES)
places = pytest.mark.parametrize("place", STAGES)


def same(item: Any) -> Any:
    return item


def crash(item: Any) -> Any:
    if item == "crash":
        raise ValueError("crashed")
    return item


def three(place: str, fn: Any, **options: Any) -> list[Any]:
    return [stage(fn, id=key, **options) if key == place else stage(same, id=key) for key in STAGES]


def restarted(strategy: str, place: str) -> tuple[str, ...]:
    """Return who goes with the stage at that place."""
    at = STAGES.index(place)
    return {
        "one_for_one": STAGES[at : at + 1],
        "one_for_all": STAGES,
        "rest_for_one": STAGES[at:],
        "before_for_one": STAGES[: at + 1],
    }[strategy]


@strategies
@places
@pytest.mark.parametrize("how", ["told", "submitted", "with hardly any room"])
def test_the_reference_loss(flow: MakeFlow, strategy: Any, place: str, how: str) -> None:
    """1, 2, crash, 3, 4, 5 loses exactly the item that crashed, and keeps the order (row 156)."""
    capacity = 1 if how == "with hardly any room" else 50
    f = flow(*three(place, crash), strategy=strategy, capacity=capacity)
    sent = [1, 2, "crash", 3, 4, 5]
    if how == "submitted":
        outcomes = [outcome(future) for future in [f.chain.submit(item) for item in sent]]
        assert outcomes == [1, 2, "ValueError: crashed", 3, 4, 5]
    else:
        for item in sent:
            f.chain.tell(item)
    assert f.chain.drain(10)
    assert f.results.items == [1, 2, 3, 4, 5]
    assert f.letters() == [("crash", ("chain", place), "failed")]
    assert f.items() == {"offered": 6, "completed": 5, "failed": 1}
    found = f.chain.statistics()
    at = STAGES.index(place)
    handled = [6] * at + [5] * (len(STAGES) - at)
    assert [found.stages[key].handled for key in STAGES] == handled
    assert [found.stages[key].failed for key in STAGES] == [int(key == place) for key in STAGES]
    gone = restarted(strategy, place)
    assert [f.chain[key].incarnation for key in STAGES] == [1 + (key in gone) for key in STAGES]
    assert isinstance(f.reasons(place)[0], Crashed)
    assert all(f.reasons(key) == [Shutdown()] for key in gone if key != place)


@strategies
def test_a_crash_loses_nothing_that_is_queued_or_in_another_hand(
    flow: MakeFlow, strategy: Any
) -> None:
    """With items everywhere, one is lost: the stages that go with it finish theirs (F47, F48)."""
    gates = {key: Gate(f"stage {key}") for key in STAGES}

    def hold(item: Any, id: str) -> Any:
        gates[id].meet()
        return crash(item) if id == "b" else item

    f = flow(*[stage(hold, key, id=key) for key in STAGES], strategy=strategy, capacity=10)
    f.chain.tell("crash", at="b")
    for number in range(5):
        f.chain.tell(("at c", number), at="c")
        f.chain.tell(("at b", number), at="b")
        f.chain.tell(("at a", number))
    for gate in gates.values():
        gate.wait_reached()
    gates["b"].open()
    for gate in gates.values():
        gate.open()
    assert f.chain.drain(10)
    assert len(set(f.results.items)) == len(f.results) == 15
    for key in STAGES:
        mine = [number for where, number in f.results.items if where == f"at {key}"]
        assert mine == [0, 1, 2, 3, 4]
    assert f.items() == {"offered": 16, "completed": 15, "failed": 1}


@strategies
@places
def test_crash_after_crash_loses_one_item_each(flow: MakeFlow, strategy: Any, place: str) -> None:
    """Every third item crashes, and every other one arrives, in order (F15)."""
    f = flow(
        *three(place, lambda item: item if item % 3 else 1 // 0),
        strategy=strategy,
        capacity=2,
    )
    for number in range(60):
        f.chain.tell(number)
    assert f.chain.drain(20)
    assert f.results.items == [number for number in range(60) if number % 3]
    assert f.items() == {"offered": 60, "completed": 40, "failed": 20}


# -- attempts -----------------------------------------------------------------------------


@strategies
@places
def test_an_item_is_tried_as_often_as_its_stage_allows(
    flow: MakeFlow, strategy: Any, place: str
) -> None:
    """It keeps its place; tried in vain it has failed once (F27)."""
    tries: list[Any] = []

    def stumble(item: Any) -> Any:
        tries.append(item)
        if item == "poison" or (item == "hard" and tries.count("hard") < 3):
            raise ValueError(item)
        return item

    f = flow(*three(place, stumble, max_attempts=3), strategy=strategy)
    futures = [f.chain.submit(item) for item in (1, "hard", 2, "poison", 3)]
    assert [outcome(each) for each in futures] == [1, "hard", 2, "ValueError: poison", 3]
    assert f.chain.drain(10)
    assert f.results.items == [1, "hard", 2, 3]
    assert tries == [1, "hard", "hard", "hard", 2, "poison", "poison", "poison", 3]
    assert f.items() == {"offered": 5, "completed": 4, "failed": 1}
    assert f.chain.statistics().stages[place].retried == 4
    assert f.letters() == [("poison", ("chain", place), "failed")]


def test_attempts_at_one_stage_are_not_those_of_the_next(flow: MakeFlow) -> None:
    """An item that was tried twice at one is tried as often at the other."""
    tries: dict[str, int] = {"a": 0, "b": 0}

    def stumble(item: Any, id: str) -> Any:
        tries[id] += 1
        if tries[id] < 3:
            raise ValueError(id)
        return item

    f = flow(*[stage(stumble, key, id=key, max_attempts=3) for key in "ab"])
    assert f.chain.submit("item").result(5) == "item"
    assert tries == {"a": 3, "b": 3}
    assert f.items() == {"offered": 1, "completed": 1}


def test_an_item_that_hangs_is_given_up_on_and_the_chain_goes_on(flow: MakeFlow) -> None:
    """Past its time limit the stage is replaced; what it returns then is nobody's (F20, F28)."""
    gate = Gate("the item that hangs")

    def hang(item: Any) -> Any:
        if item == "hang":
            gate.meet()
        return item

    f = flow(stage(same, id="a"), stage(hang, id="b", time_limit=0.02), stage(same, id="c"))
    futures = [f.chain.submit(item) for item in (1, "hang", 2)]
    assert [outcome(each) for each in futures] == [1, "exited", 2]
    assert f.chain.drain(10)
    gate.open()
    assert f.results.items == [1, 2]
    assert f.items() == {"offered": 3, "completed": 2, "failed": 1}
    assert isinstance(f.reasons("b")[0], Abandoned)


# -- starts -------------------------------------------------------------------------------


def test_a_stage_whose_restart_fails_at_first_loses_nothing(flow: MakeFlow) -> None:
    """The items wait until a start succeeds; each failed one is an incarnation (F11)."""
    starts: list[int] = []

    class Stumbling(Worker):
        def on_start(self) -> None:
            starts.append(1)
            if len(starts) in {2, 3}:
                raise ValueError("not yet")

        def on_receive(self, message: Any) -> Any:
            return crash(message)

    f = flow(stage(same, id="a"), stage(Stumbling, id="b"), stage(same, id="c"), capacity=1)
    for item in (1, "crash", 2, 3, 4):
        f.chain.tell(item)
    assert f.chain.drain(10)
    assert f.results.items == [1, 2, 3, 4]
    assert f.chain["b"].incarnation == 4
    assert f.items() == {"offered": 5, "completed": 4, "failed": 1}
