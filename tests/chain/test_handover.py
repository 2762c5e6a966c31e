"""What a stage has ready and cannot hand on: kept, delivered first, never twice.

A stage that waits for room holds one result. Asked to stop it keeps that, and its next
incarnation hands it on before it takes anything new; so no restart, by hand or by
strategy, costs an item that is in nobody's hand.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import note_sleepers, run
from threadsup import MailboxClosed, MailboxFull, StartError, Worker, events, stage

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow


def same(item: Any) -> Any:
    return item


class Held:
    """A stage that holds every item until it is let through."""

    def __init__(self) -> None:
        self.gate = Gate("the held stage")

    def __call__(self, item: Any) -> Any:
        self.gate.meet()
        if isinstance(item, BaseException):
            raise item
        return item


def asleep(monkeypatch: pytest.MonkeyPatch) -> Recorder[str]:
    """Record the names of the threads that are about to sleep for room, or anything else."""
    names: Recorder[str] = Recorder()
    note_sleepers(monkeypatch, lambda _: names(threading.current_thread().name))
    return names


def wait_asleep(names: Recorder[str], name: str) -> None:
    names.wait_until(lambda told: name in told, f"{name} asleep")


def fill(f: Flow, held: Held | None, count: int) -> list[Any]:
    """Submit items until every place is taken, a held stage's hand too."""
    futures = [f.chain.submit(number, timeout=PATIENCE) for number in range(count)]
    if held is not None:
        held.gate.wait_reached()
    with pytest.raises(MailboxFull):
        f.chain.tell_nowait("no")
    return futures


def ended(f: Flow, stage: str) -> None:
    def over(told: list[Any]) -> bool:
        return any(isinstance(e, events.WorkerEnded) and e.path[1] == stage for e in told)

    f.events.wait_until(over, f"end of {stage}")


@pytest.mark.parametrize("restarts", [1, 3])
def test_a_stage_that_waits_for_room_is_restarted_without_loss(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, restarts: int
) -> None:
    """It leaves at once, and the next incarnation hands its result on first."""
    names = asleep(monkeypatch)
    held = Held()
    f = flow(stage(same, id="a"), stage(held, id="b"), capacity=1)
    fill(f, held, 4)
    for number in range(1, restarts + 1):
        wait_asleep(names, f"threadsup-a/0-{number}")
        f.chain.restart_child("a")
    wait_asleep(names, f"threadsup-a/0-{restarts + 1}")
    assert f.chain.statistics().items.in_flight == 4
    held.gate.open()
    assert f.chain.drain(10)
    assert f.results.items == [0, 1, 2, 3]
    assert f.chain["a"].incarnation == restarts + 1
    assert f.items() == {"offered": 4, "completed": 4}
    assert f.chain.statistics().stages["a"].handled == 4


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_stage_that_waits_for_room_goes_along_with_a_crash(flow: MakeFlow, strategy: Any) -> None:
    """Restarted with the stage that crashed, it loses nothing and nothing comes twice."""
    held, crash = Held(), Held()
    f = flow(
        stage(lambda item: crash(item) if isinstance(item, ValueError) else item, id="a"),
        stage(same, id="b"),
        stage(held, id="c"),
        strategy=strategy,
        capacity=1,
    )
    futures = [f.chain.submit(number, timeout=PATIENCE) for number in range(4)]
    f.chain.tell(ValueError("boom"), timeout=PATIENCE)
    crash.gate.wait_reached()
    futures += [f.chain.submit(4, timeout=PATIENCE)]
    crash.gate.open()
    held.gate.open()
    assert [outcome(future) for future in futures] == [0, 1, 2, 3, 4]
    assert f.chain.drain(10)
    assert f.results.items == [0, 1, 2, 3, 4]
    assert f.chain["b"].incarnation == 2
    assert f.items() == {"offered": 6, "completed": 5, "failed": 1}


def test_a_middle_stage_is_restarted_while_senders_wait(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They go on waiting, and then go on; order and number are those that were told."""
    names = asleep(monkeypatch)
    held = Held()
    f = flow(stage(same, id="a"), stage(same, id="b"), stage(held, id="c"), capacity=1)
    fill(f, held, 6)

    def send() -> None:
        for number in range(6, 10):
            f.chain.tell(number)

    sender = run(send)
    wait_asleep(names, sender._thread.name)
    for name in ("b", "a", "b"):
        f.chain.restart_child(name)
    assert not sender.over
    held.gate.open()
    sender.result()
    assert f.chain.drain(10)
    assert f.results.items == list(range(10))
    assert f.items() == {"offered": 10, "completed": 10}


# -- stopped by hand ----------------------------------------------------------------------


def test_a_chain_held_with_a_result_on_its_way_keeps_it(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stop_child` and `restart_child` cost nothing, wherever the items are."""
    names = asleep(monkeypatch)
    held = Held()
    f = flow(stage(same, id="a"), stage(held, id="b"), capacity=1)
    futures = fill(f, held, 4)
    wait_asleep(names, "threadsup-a/0-1")
    outside = run(lambda: f.chain.tell("no", at="b"))
    wait_asleep(names, outside._thread.name)
    stop = run(f.sup.stop_child, "chain")
    with pytest.raises(MailboxClosed):  # the last stage was asked to stop
        outside.result()
    held.gate.open()
    stop.result()
    assert not any(future.done() for future in futures[1:])
    assert f.items() == {"offered": 4, "completed": 1, "in_flight": 3}
    f.sup.restart_child("chain")
    assert [outcome(future) for future in futures] == [0, 1, 2, 3]
    assert f.chain.drain(10)
    assert f.results.items == [0, 1, 2, 3]


def test_what_is_in_a_hand_while_the_chain_is_stopped_reaches_the_next_stage(
    flow: MakeFlow,
) -> None:
    """The next stage is stopped first and held; what comes for it is kept with the rest."""
    held = Held()
    f = flow(stage(held, id="a"), stage(same, id="b"))
    futures = [f.chain.submit(number) for number in range(2)]
    held.gate.wait_reached()
    stop = run(f.sup.stop_child, "chain")
    ended(f, "b")
    with pytest.raises(MailboxClosed, match="takes no messages"):
        f.chain.tell("no", at="b")
    held.gate.open()
    stop.result()
    assert f.items() == {"offered": 2, "in_flight": 2}
    assert f.chain.statistics().stages["b"].pending == 1
    f.sup.restart_child("chain")
    assert [outcome(future) for future in futures] == [0, 1]
    assert f.items() == {"offered": 2, "completed": 2}


def test_a_stage_that_does_not_start_again_holds_the_chain_back(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand it is kept and held: items queue before it up to the bound, none is lost."""
    broken = threading.Event()

    class Fragile(Worker):
        def on_start(self) -> None:
            if broken.is_set():
                raise ValueError("not now")

        def on_receive(self, message: Any) -> Any:
            return message

    names = asleep(monkeypatch)
    f = flow(stage(same, id="a"), stage(Fragile, id="b"), capacity=2)
    assert f.chain.submit("first").result(5) == "first"
    broken.set()
    with pytest.raises(StartError, match=r"\('chain', 'b'\) did not start: ValueError: not now"):
        f.chain.restart_child("b")
    with pytest.raises(MailboxClosed, match="it did not start"):
        f.chain.tell("no", at="b")
    futures = fill(f, None, 5)
    wait_asleep(names, "threadsup-a/0-1")
    assert f.items() == {"offered": 6, "completed": 1, "in_flight": 5}
    broken.clear()
    f.chain.restart_child("b")
    assert [outcome(future) for future in futures] == [0, 1, 2, 3, 4]
    assert f.items() == {"offered": 6, "completed": 6}


# -- the end --------------------------------------------------------------------------------


def test_a_result_that_can_never_be_handed_on_is_undelivered(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted where it was to go, its future ends, a dead letter says why."""
    names = asleep(monkeypatch)
    held = Held()
    f = flow(stage(same, id="a"), stage(held, id="b", shutdown=0.0), capacity=1)
    futures = fill(f, held, 4)
    wait_asleep(names, "threadsup-a/0-1")
    report = f.sup.stop()
    assert [outcome(future) for future in futures] == ["exited"] * 4
    assert f.items() == {"offered": 4, "failed": 4}
    assert report.undelivered == 3
    assert sorted(message for message, _, _ in f.letters()) == [0, 1, 2, 3]
    held.gate.open()


def test_a_chain_that_was_held_and_does_not_come_back_gives_up_what_it_kept(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stage runs any more to notice: every item has its end when the tree has."""
    names = asleep(monkeypatch)
    held = Held()
    f = flow(stage(same, id="a"), stage(held, id="b", shutdown=0.0), capacity=1)
    futures = fill(f, held, 4)
    wait_asleep(names, "threadsup-a/0-1")
    f.sup.stop_child("chain")
    assert [outcome(futures[0])] == ["exited"]
    assert f.items() == {"offered": 4, "failed": 1, "in_flight": 3}
    held.gate.open()
    report = f.sup.stop()
    assert [outcome(future) for future in futures] == ["exited"] * 4
    assert f.items() == {"offered": 4, "failed": 4}
    assert report.undelivered == 3


@pytest.mark.parametrize("limit", [0.0, None])
def test_a_stop_without_time_leaves_nobody_waiting(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, limit: float | None
) -> None:
    """All are asked and given up on in one breath; every item has an end all the same."""
    names = asleep(monkeypatch)
    held = Held()
    stages = [stage(same, id=name, shutdown=0.0) for name in "abc"]
    f = flow(*stages, stage(held, id="d", shutdown=0.0), capacity=1)
    futures = fill(f, held, 8)
    names.wait_until(lambda told: {f"threadsup-{name}/0-1" for name in "abc"} <= set(told))
    f.sup.stop(limit)
    held.gate.open()
    assert [outcome(future) for future in futures] == ["exited"] * 8


@pytest.mark.parametrize("turn", range(10))
def test_a_stage_given_up_on_while_it_waits_for_room_delivers_once(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    """With no time to leave it is fenced: its result is handed on, or has failed, once."""
    names = asleep(monkeypatch)
    held = Held()
    f = flow(
        stage(same, id="a", shutdown=0.0),
        stage(held, id="b"),
        capacity=1,
        tree={"max_zombies": 100},
    )
    futures = fill(f, held, 4)
    for number in range(1, turn + 1):
        wait_asleep(names, f"threadsup-a/0-{number}")
        f.chain.restart_child("a")
    held.gate.open()
    outcomes = [outcome(future) for future in futures]
    assert f.chain.drain(10)
    arrived = [number for number, end in enumerate(outcomes) if end == number]
    assert sorted(f.results.items) == arrived
    assert len(arrived) >= 3
    items = f.items()
    assert items["offered"] == 4
    assert items["completed"] == len(arrived)
