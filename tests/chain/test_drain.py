"""`drain`: until all items accepted before the call are finished, whatever happens to them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate, Recorder
from tests.runtime.forcing import note_sleepers, run
from threadsup import Backoff, CallingSelfError, Stop, current, events, stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chain.conftest import MakeFlow
    from tests.runtime.forcing import Running


def same(item: Any) -> Any:
    return item


class Held:
    """A stage that holds one item at a gate, and raises the items that are exceptions."""

    def __init__(self, hold: Any = 0) -> None:
        self.gate = Gate("the held stage")
        self._hold = hold

    def __call__(self, item: Any) -> Any:
        if item == self._hold:
            self.gate.meet()
        if isinstance(item, BaseException):
            raise item
        return item


def test_an_empty_chain_is_drained(flow: MakeFlow) -> None:
    """There is nothing to wait for, the first time and after items."""
    f = flow(stage(same, id="a"), stage(same, id="b"))
    assert f.chain.drain(10)
    f.chain.tell(1)
    assert f.chain.drain(10)
    assert f.chain.drain()
    assert f.results.items == [1]


def waiting(monkeypatch: pytest.MonkeyPatch, drain: Callable[[], bool]) -> Running[bool]:
    """Drain from a thread of its own and return when that is about to sleep."""
    asleep: Recorder[threading.Thread] = Recorder()
    note_sleepers(monkeypatch, lambda _: asleep(threading.current_thread()))
    drainer = run(drain)
    asleep.wait_until(lambda threads: drainer._thread in threads, "drain that waits")
    return drainer


def test_a_drain_waits_for_every_item_and_its_sink(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it returns, `on_result` has been called with what was told before."""
    held = Held()
    f = flow(stage(same, id="a"), stage(held, id="b"), stage(same, id="c"), capacity=2)
    for number in range(5):
        f.chain.tell(number)
    drain = waiting(monkeypatch, f.chain.drain)
    assert not drain.over
    held.gate.open()
    assert drain.result()
    assert f.results.items == list(range(5))


def test_a_drain_does_not_wait_for_what_comes_after_it(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer that goes on cannot hold it (F55)."""
    before, later = Held("before"), Held("later")
    f = flow(stage(before, id="a"), stage(later, id="b"))
    f.chain.tell("before")
    drain = waiting(monkeypatch, f.chain.drain)
    f.chain.tell("later")
    before.gate.open()
    assert drain.result()
    assert f.results.items == ["before"]
    later.gate.open()


def test_a_drain_that_takes_too_long_says_so(flow: MakeFlow) -> None:
    """It returns `False`, the items go on, and a later one finds them finished (row 160)."""
    held = Held()
    f = flow(stage(held, id="a"), stage(same, id="b"))
    f.chain.tell(0)
    held.gate.wait_reached()
    assert not f.chain.drain(0)
    assert not f.chain.drain(0.001)
    held.gate.open()
    assert f.chain.drain(10)
    assert f.results.items == [0]


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
@pytest.mark.parametrize("place", ["a", "b", "c"])
def test_a_drain_outlives_crashes(flow: MakeFlow, strategy: Any, place: str) -> None:
    """Before, at and behind the stage that crashes, twice, while it waits."""
    held = Held()
    stages = [stage(held if key == place else same, id=key) for key in "abc"]
    f = flow(*stages, strategy=strategy)
    for item in (0, 1, ValueError("x"), 2, ValueError("y"), 3):
        f.chain.tell(item)
    held.gate.wait_reached()
    drain = run(f.chain.drain)
    held.gate.open()
    assert drain.result()
    assert f.results.items == [0, 1, 2, 3]
    assert f.items() == {"offered": 6, "completed": 4, "failed": 2}


def test_a_drain_waits_for_a_stage_that_is_down_in_a_pause(flow: MakeFlow) -> None:
    """What is queued for the next incarnation is not finished."""
    f = flow(
        stage(same, id="a"),
        stage(Held(hold=None), id="b"),
        tree={"backoff": Backoff(initial=0.05, jitter=0.0)},
    )
    for item in (ValueError("x"), ValueError("y"), 1):  # the first restart knows no pause
        f.chain.tell(item)
    f.events.wait_until(
        lambda told: any(isinstance(e, events.Restarting) and e.delay for e in told), "pause"
    )
    assert f.chain.drain(10)
    assert f.results.items == [1]


def test_a_drain_from_inside_the_chain_is_refused(flow: MakeFlow) -> None:
    """A stage would wait for itself, be it the one asked or another (F59)."""

    def drain(item: Any) -> Any:
        return current().chain.drain()  # type: ignore[union-attr]

    for key in "ab":
        f = flow(*[stage(drain if place == key else same, id=place) for place in "ab"])
        with pytest.raises(CallingSelfError, match="would wait for its own stage"):
            f.chain.submit(1).result(5)


def test_a_drain_from_another_chain_waits(flow: MakeFlow) -> None:
    """It waits for other stages than its own."""
    f = flow(stage(same, id="a"))
    g = flow(stage(lambda _: f.chain.drain(10), id="a"))
    f.chain.tell(1)
    assert g.chain.submit(1).result(5) is True
    assert f.results.items == [1]


def test_drains_may_wait_at_the_same_time(flow: MakeFlow) -> None:
    """Each for what was told before it, while senders go on."""
    f = flow(stage(same, id="a"), stage(same, id="b"), capacity=2)

    def send_and_drain(sender: int) -> bool:
        for number in range(50):
            f.chain.tell((sender, number))
        drained = f.chain.drain(10)
        mine = [item for item in f.results.items if item[0] == sender]
        return drained and mine == [(sender, number) for number in range(50)]

    senders = [run(send_and_drain, sender) for sender in range(4)]
    assert [sender.result() for sender in senders] == [True] * 4
    assert f.items() == {"offered": 200, "completed": 200}


def test_a_drain_waits_for_nothing_that_was_dropped(flow: MakeFlow) -> None:
    """With `mailbox="drop"` a crash takes what is queued with it, and the drain goes on."""
    held = Held(hold=0)

    def crash(item: Any) -> Any:
        held(item)
        raise ValueError(item)

    f = flow(stage(same, id="a"), stage(crash, id="b", mailbox="drop"), stage(same, id="c"))
    f.chain.tell("told at c", at="c")
    for number in range(4):
        f.chain.tell(number)
    held.gate.wait_reached()
    assert f.chain.drain(0) is False
    drain = run(f.chain.drain)
    held.gate.open()
    assert drain.result()
    assert f.results.items == ["told at c"]
    assert f.items() == {"offered": 5, "completed": 1, "failed": 4}


def test_a_drain_waits_for_a_stage_that_is_held(flow: MakeFlow) -> None:
    """A chain that was stopped by hand keeps what it has; started again, it is drained."""
    held = Held()
    f = flow(stage(held, id="a"), stage(same, id="b"))
    f.chain.tell(0)
    held.gate.wait_reached()
    f.chain.tell(1)
    stop = run(f.sup.stop_child, "chain")
    f.events.wait_until(
        lambda told: any(isinstance(e, events.WorkerEnded) and e.path[1] == "b" for e in told)
    )
    held.gate.open()
    stop.result()
    assert not f.chain.drain(0)
    drain = run(f.chain.drain)
    f.sup.restart_child("chain")
    assert drain.result()
    assert f.results.items == [0, 1]


def test_a_drain_of_what_has_ended_is_done(flow: MakeFlow) -> None:
    """Nothing of it will ever move: what was not finished is undelivered."""
    held = Held()
    f = flow(stage(held, id="a", shutdown=0.0), stage(same, id="b"))
    f.chain.tell(0)
    f.chain.tell(1)
    held.gate.wait_reached()
    drain = run(f.chain.drain)
    f.sup.stop()
    assert drain.result()
    assert f.chain.drain()
    held.gate.open()


def test_a_drain_hears_of_the_end_though_a_callback_blocks(flow: MakeFlow) -> None:
    """The token of a drain in a stage that ends does not wait for the side thread."""
    blocked = Gate("the subscriber")
    held = Held()

    def stop(item: Any) -> Any:
        held(item)
        return Stop()

    f = flow(stage(same, id="a"), stage(stop, id="b"), stage(same, id="c"))
    f.chain.tell(0)
    held.gate.wait_reached()
    f.sup.subscribe(lambda _: blocked.meet())
    f.sup.add_worker(same, 1, id="makes an event")
    blocked.wait_reached()
    drain = run(f.chain.drain)
    held.gate.open()
    assert drain.result()
    f.chain.close()
    blocked.open()
    f.wait_ended()
