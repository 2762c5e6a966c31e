"""The end of a stream from within: a stage that stops, gives up, or is not restarted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.helpers import Gate
from tests.runtime.forcing import run
from threadsup import Crashed, MailboxClosed, Normal, Shutdown, Stop, events, stage

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow


def same(item: Any) -> Any:
    return item


class Held:
    """A stage that holds some items at gates, and returns or raises what it is told to."""

    def __init__(self, *hold: Any, **answers: Any) -> None:
        self.gates = {item: Gate(f"the stage, at {item!r}") for item in hold}
        self._answers = answers

    def __call__(self, item: Any) -> Any:
        if item in self.gates:
            self.gates[item].meet()
        answer = self._answers.get(item, item) if isinstance(item, str) else item
        if isinstance(answer, BaseException):
            raise answer
        return answer


def final(path: tuple[Any, ...]) -> Any:
    def over(told: list[Any]) -> bool:
        return any(isinstance(e, events.WorkerEnded) and e.path == path and e.final for e in told)

    return over


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_stage_that_stops_ends_the_chain(flow: MakeFlow, place: int) -> None:
    """What is behind it is finished, what is before it undelivered, the end is normal (134)."""
    held = Held("stop", stop=Stop("enough"))
    last = Held("1")
    stages = [stage(held if n == place else same, id=f"s{n}") for n in range(3)]
    f = flow(*stages, stage(last, id="last"))
    futures = [f.chain.submit(item) for item in ("1", "2", "stop", "3", "4")]
    last.gates["1"].wait_reached()
    held.gates["stop"].wait_reached()
    held.gates["stop"].open()
    for number in range(place + 1):
        f.events.wait_until(final(("chain", f"s{number}", 0)))
    assert futures[2].result(5) == Stop("enough")
    assert [outcome(future) for future in futures[3:]] == ["exited"] * 2
    with pytest.raises(MailboxClosed):
        f.chain.tell("late")
    assert not futures[0].done()
    last.gates["1"].open()
    f.wait_ended()
    assert f.results.items == ["1", "2"]
    assert f.items() == {"offered": 5, "completed": 2, "dropped": 1, "failed": 2}
    assert f.reasons(f"s{place}") == [Normal()]
    assert f.sup.failed() == ()


def test_a_chain_of_one_stage_that_stops_has_ended(flow: MakeFlow) -> None:
    """There is nothing behind it to wait for."""
    f = flow(stage(lambda _: Stop(), id="only"))
    assert f.chain.submit(1).result(5) == Stop()
    f.wait_ended()
    assert f.chain.drain()
    assert f.items() == {"offered": 1, "dropped": 1}


def test_a_significant_chain_that_stops_ends_its_tree(flow: MakeFlow) -> None:
    """It has ended by itself, and the tree with it."""
    f = flow(
        stage(lambda item: Stop() if item == 3 else item, id="a"),
        stage(same, id="b"),
        significant=True,
        tree={"auto_shutdown": "any"},
    )
    for number in range(5):
        try:
            f.chain.tell(number)
        except MailboxClosed:
            break
    assert f.sup.wait(10) == Shutdown()
    assert f.results.items == [0, 1, 2]


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_a_stage_behind_the_end_may_crash_and_come_back(flow: MakeFlow, strategy: Any) -> None:
    """It finishes what is behind, and those before the end stay ended."""
    last = Held("1", "2", boom=ValueError("boom"))
    f = flow(
        stage(same, id="a"),
        stage(lambda item: Stop() if item == "stop" else item, id="b"),
        stage(same, id="c"),
        stage(last, id="d"),
        strategy=strategy,
    )
    for item in ("1", "boom", "2", "stop"):
        f.chain.tell(item)
    last.gates["1"].wait_reached()
    f.events.wait_until(final(("chain", "b", 0)))
    last.gates["1"].open()
    last.gates["2"].wait_reached()
    assert (f.chain["a"].incarnation, f.chain["b"].incarnation) == (1, 1)
    assert f.chain["d"].incarnation == 2
    last.gates["2"].open()
    f.wait_ended()
    assert f.results.items == ["1", "2"]
    assert f.items() == {"offered": 4, "completed": 2, "dropped": 1, "failed": 1}


def test_a_second_end_behind_the_first_is_the_end_there(flow: MakeFlow) -> None:
    """A stage that stops while it finishes for another ends what is before it, too."""
    last = Held("1", x=Stop("second"))
    f = flow(
        stage(lambda item: Stop("first") if item == "stop" else item, id="a"),
        stage(same, id="b"),
        stage(last, id="c"),
        stage(same, id="d"),
    )
    futures = [f.chain.submit(item) for item in ("1", "x", "2", "stop")]
    last.gates["1"].wait_reached()
    f.events.wait_until(final(("chain", "a", 0)))
    last.gates["1"].open()
    f.wait_ended()
    assert [outcome(future) for future in futures] == ["1", Stop("second"), "exited", Stop("first")]
    assert f.items() == {"offered": 4, "completed": 1, "dropped": 2, "failed": 1}


def test_a_tree_can_be_stopped_while_a_chain_ends(flow: MakeFlow) -> None:
    """What is behind the end is then undelivered like everything else."""
    last = Held("1")
    f = flow(
        stage(lambda item: Stop() if item == "stop" else item, id="a"),
        stage(last, id="b", shutdown=0.0),
    )
    futures = [f.chain.submit(item) for item in ("1", "2", "stop")]
    last.gates["1"].wait_reached()
    f.events.wait_until(final(("chain", "a", 0)))
    report = f.sup.stop()
    assert [left.id for left in report.abandoned] == [("chain", "b")]
    assert [outcome(future) for future in futures] == ["exited", "exited", Stop()]
    assert report.undelivered == 1
    last.gates["1"].open()


@pytest.mark.parametrize(
    ("restart", "how", "goes_on"),
    [
        ("permanent", "stop", True),
        ("permanent", "boom", True),
        ("transient", "stop", False),
        ("transient", "boom", True),
        ("transient", "exit 0", False),
        ("transient", "exit 3", True),
        ("temporary", "stop", False),
        ("temporary", "boom", False),
    ],
)
def test_a_stage_that_ends_is_restarted_or_ends_the_chain(
    flow: MakeFlow, restart: Any, how: str, goes_on: bool
) -> None:
    """As its restart type and the reason say (row 139)."""
    answers = {
        "stop": Stop(),
        "boom": ValueError("boom"),
        "exit 0": SystemExit(0),
        "exit 3": SystemExit(3),
    }
    held = Held(how, **answers)
    f = flow(stage(same, id="a"), stage(held, id="b", restart=restart), stage(same, id="c"))
    first, second = f.chain.submit(how), f.chain.submit("next")
    held.gates[how].wait_reached()
    held.gates[how].open()
    outcome(first)
    if goes_on:
        assert second.result(5) == "next"
        assert f.chain["b"].incarnation == 2
    else:
        assert outcome(second) == "exited"
        f.events.wait_until(final(("chain", "c", 0)))
    assert f.sup.failed() == ()


def test_a_chain_that_gives_up_ends_every_item(flow: MakeFlow) -> None:
    """Past its budget nothing of it goes on; it is named, and nobody waits (row 161)."""
    held = Held("hold", "b", a=ValueError("1"), b=ValueError("2"))
    f = flow(
        stage(same, id="first"),
        stage(held, id="second"),
        stage(same, id="third"),
        max_restarts=1,
        max_seconds=60.0,
    )
    futures = [f.chain.submit(item) for item in ("hold", "a", "1", "b", "2", "3")]
    held.gates["hold"].wait_reached()
    held.gates["hold"].open()
    assert futures[2].result(5) == "1"
    held.gates["b"].open()
    assert [outcome(future) for future in futures] == [
        "hold",
        "ValueError: 1",
        "1",
        "ValueError: 2",
        "exited",
        "exited",
    ]
    f.wait_ended()
    drain = run(f.chain.drain)
    assert drain.result()
    assert f.items() == {"offered": 6, "completed": 2, "failed": 4}
    gave_up = [e for e in f.events.items if isinstance(e, events.GaveUp)]
    assert [(e.path, type(e.reason)) for e in gave_up] == [(("chain", "second", 0), Crashed)]
    f.sup.restart_child("chain")
    assert f.sup.failed() == ()
    assert f.chain.submit("again").result(5) == "again"


def test_a_tree_stopped_with_items_in_flight_says_how_many_were_lost(flow: MakeFlow) -> None:
    """The item in hand is finished, every other one is undelivered (rows 28, 158)."""
    held = Held("0")
    f = flow(stage(same, id="a"), stage(held, id="b"), stage(same, id="c"), capacity=3)
    futures = [f.chain.submit(str(number)) for number in range(6)]
    held.gates["0"].wait_reached()
    stop = run(f.sup.stop)
    f.events.wait_until(final(("chain", "c", 0)))
    held.gates["0"].open()
    report = stop.result()
    assert report.clean
    assert [outcome(future) for future in futures] == ["exited"] * 6
    items = f.items()
    assert items == {"offered": 6, "failed": 6}
    assert report.undelivered == 6
