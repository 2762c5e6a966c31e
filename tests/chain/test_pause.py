"""Pausing a chain: nothing new is begun, nothing is lost, nobody waits for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.changing import Held, ask, key_of, look_around, number, pause
from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import note_sleepers, run
from threadsup import (
    Batch,
    MailboxFull,
    NotRunningError,
    Rate,
    ReplyTimeout,
    current,
    events,
    stage,
)
from threadsup._runtime.pause import Pause

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow
    from tests.conftest import MakeSupervisor


def same(item: Any) -> Any:
    return item


def is_paused(f: Flow) -> bool:
    return f.chain.is_paused


def test_items_in_hand_are_finished_and_no_other_is_begun(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every stage: what was told before and after waits for `resume`."""
    parked, park = Recorder[Any](), Pause.park

    def parks(pause: Pause, life: Any) -> None:
        parked((life.id, life.number))
        park(pause, life)

    monkeypatch.setattr(Pause, "park", parks)
    held = Held(0)
    f = flow(stage(held, id="s"), stage(held, id="t"))
    f.chain.tell(0)
    held.wait(0)
    f.chain.tell(1)
    f.chain.pause()
    assert is_paused(f)
    f.chain.tell(2)
    f.chain.tell(3, at="t")
    held.let()
    # It is through when it waits with the next stage, which takes nothing either.
    line = f.chain._line("t")
    f.chain.restart_child("s")  # which waits for what is in hand
    parked.wait_until(lambda lives: (("s", 0), 2) in lives, "next life of s")
    assert line.cells[0].mailbox.pending == 2
    assert held.items == [0]
    assert f.items() == {"offered": 4, "in_flight": 4}
    f.chain.resume()
    assert not is_paused(f)
    assert f.chain.drain(PATIENCE)
    assert sorted(f.results.items) == [0, 1, 2, 3]


def test_senders_queue_and_then_wait(flow: MakeFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A paused chain takes as much as it has room for."""
    held = Held()
    f = flow(stage(held, id="s", capacity=2))
    pause(f.chain, monkeypatch)
    f.chain.tell(1)
    f.chain.tell(2)
    with pytest.raises(MailboxFull):
        f.chain.tell_nowait(3)
    with pytest.raises(MailboxFull):
        f.chain.tell(3, timeout=0.001)
    asleep = note_sleepers(monkeypatch)
    sender = run(f.chain.tell, 3)
    box = f.chain._line("s").cells[0].mailbox
    asleep.wait_until(lambda _: bool(box.senders), "sender")
    assert not sender.over
    f.chain.resume()
    sender.result()
    assert f.chain.drain(PATIENCE)
    assert held.items == [1, 2, 3]


def test_a_stop_of_a_paused_chain_is_at_once(flow: MakeFlow) -> None:
    """What is queued is undelivered, and nobody is given up on."""
    f = flow(stage(same, id="s", workers=2), stage(same, id="t"))
    f.chain.pause()
    futures = [f.chain.submit(n) for n in range(3)]
    report = f.sup.stop()
    assert report.clean
    assert report.undelivered == 3
    assert all(future.exception(PATIENCE) is not None for future in futures)


def test_a_drain_waits_until_it_goes_on(flow: MakeFlow) -> None:
    """Items are not finished by being held."""
    f = flow(stage(same, id="s"))
    f.chain.pause()
    f.chain.tell(1)
    assert not f.chain.drain(0.001)
    drain = run(f.chain.drain)
    f.chain.resume()
    assert drain.result()
    assert f.results.items == [1]


def test_a_stop_that_drains_goes_on_with_a_paused_chain(flow: MakeFlow) -> None:
    """It is to finish what it has, and nobody could resume it any more."""
    f = flow(stage(same, id="s"), stage(same, id="t"))
    f.chain.pause()
    f.chain.tell(1)
    assert f.sup.stop(drain=True).clean
    assert f.results.items == [1]


def test_a_paused_chain_may_be_closed(flow: MakeFlow) -> None:
    """It ends when it has gone on and finished what it has."""
    f = flow(stage(same, id="s"))
    f.chain.pause()
    f.chain.tell(1)
    f.chain.close()
    f.chain.resume()
    f.wait_ended()
    assert f.results.items == [1]


@pytest.mark.parametrize("how", ["crash", "by hand"])
def test_a_worker_that_comes_back_is_paused(flow: MakeFlow, how: str) -> None:
    """A pause is the chain's, not that of an incarnation."""
    held = Held(0)

    def work(item: Any) -> Any:
        held(item)
        if item == 0 and how == "crash":
            raise ValueError(item)
        return item

    f = flow(stage(work, id="s"))
    f.chain.tell(0)
    held.wait(0)
    f.chain.tell(1)
    f.chain.pause()
    held.let()
    if how == "by hand":
        f.chain.restart_child("s")
    f.events.wait_until(
        lambda told: sum(isinstance(e, events.WorkerStarted) for e in told) >= 2, "new life"
    )
    f.chain.tell(2)
    # It has looked: a change waits until everybody has, and it is paused before and after.
    look_around(f.chain, "s")
    assert held.items == [0]
    f.chain.resume()
    assert f.chain.drain(PATIENCE)
    assert held.items == [0, 1, 2]


def test_a_batch_that_is_not_complete_waits_too(flow: MakeFlow) -> None:
    """It is neither handled nor lost, and goes on where it was."""
    batches: Recorder[list[Any]] = Recorder()

    def work(items: list[Any]) -> list[Any]:
        batches(items)
        return items

    f = flow(stage(work, id="s", batch=Batch(3, timeout=3600)))
    f.chain.tell(1)
    f.chain.tell(2)
    f.chain.pause()
    f.chain.tell(3)
    look_around(f.chain, "s")
    assert batches.items == []
    assert f.items() == {"offered": 3, "in_flight": 3}
    f.chain.resume()
    assert batches.wait_for(1) == [[1, 2, 3]]


def test_pausing_and_going_on_twice_is_as_once(flow: MakeFlow) -> None:
    """There is one pause, whoever asked for it."""
    f = flow(stage(same, id="s"))
    f.chain.resume()
    f.chain.tell(1)
    assert f.results.wait_for(1) == [1]
    for _ in range(2):
        f.chain.pause()
    f.chain.tell(2)
    assert is_paused(f)
    f.chain.resume()
    assert f.results.wait_for(2) == [1, 2]
    f.chain.resume()
    assert not is_paused(f)
    f.chain.tell(3)
    assert f.chain.drain(PATIENCE)


def test_a_stage_may_pause_its_own_chain(flow: MakeFlow) -> None:
    """From the item in hand, which is finished; the next one waits."""
    seen: Recorder[Any] = Recorder()

    def work(item: Any) -> Any:
        seen(item)
        if item == 1:
            context = current()
            assert context is not None
            context.chain.pause()
        return item

    f = flow(stage(work, id="s"))
    f.chain.tell(1)
    f.results.wait_for(1)
    assert is_paused(f)
    f.chain.tell(2)
    look_around(f.chain, "s")
    assert seen.items == [1]
    f.chain.resume()
    assert f.chain.drain(PATIENCE)
    assert seen.items == [1, 2]


def test_an_item_that_becomes_several_waits_between_two_of_its_values(flow: MakeFlow) -> None:
    """The one that is being made comes; the rest does, before other items, afterwards."""
    gate = Gate()

    def many(item: int) -> Any:
        for n in range(3):
            yield item + n
            gate.meet()

    f = flow(stage(many, id="s"))
    f.chain.tell(0)
    gate.wait_reached()
    f.chain.tell(10)
    f.chain.pause()
    gate.open()
    look_around(f.chain, "s")
    assert f.results.items == [0, 1]
    f.chain.resume()
    assert f.chain.drain(PATIENCE)
    assert f.results.items == [0, 1, 2, 10, 11, 12]


def test_a_chain_may_be_paused_before_it_starts(supervisor: MakeSupervisor) -> None:
    """Then it starts paused."""
    tree = supervisor()
    results: Recorder[Any] = Recorder()
    chain = tree.add_chain("c", [stage(same, id="s", workers=2)], on_result=results)
    chain.pause()
    chain.tell(1)
    tree.start()
    chain.tell(2)
    look_around(chain, "s")
    assert results.items == []
    chain.resume()
    assert sorted(results.wait_for(2)) == [1, 2]


def test_a_chain_without_a_tree_is_not_paused(flow: MakeFlow) -> None:
    """Nobody is left to do it: that is said."""
    f = flow(stage(same, id="s"))
    f.sup.stop()
    with pytest.raises(NotRunningError):
        f.chain.pause()
    with pytest.raises(NotRunningError):
        f.chain.resume()


# -- pauses and changes -------------------------------------------------------------------


@pytest.mark.parametrize("paused_first", [True, False])
def test_a_pause_in_the_middle_of_a_change_holds_after_it(
    flow: MakeFlow, *, paused_first: bool
) -> None:
    """A change holds a stage up in its own way, and leaves the chain as it was told to be."""
    held = Held((0, 0))
    f = flow(stage(held, id="s", routing="partition", key=key_of))
    f.chain.tell((0, 0))
    held.wait((0, 0))
    f.chain.tell((0, 1))
    if paused_first:
        f.chain.pause()
    change = ask(f.chain, "resize", "s", 3)
    if paused_first:
        f.chain.resume()
    f.chain.pause()
    held.let()
    assert change.result(PATIENCE)
    look_around(f.chain, "s")
    assert held.items == [(0, 0)]
    f.chain.resume()
    assert f.chain.drain(PATIENCE)
    assert held.items == [(0, 0), (0, 1)]


def test_a_stage_that_is_being_removed_is_paused_and_goes_on_with_the_chain(
    flow: MakeFlow,
) -> None:
    """What it has queued is finished after `resume`, and then it is gone."""
    held = Held(0)
    f = flow(stage(held, id="s"), stage(same, id="t"))
    for n in range(3):
        f.chain.tell(n)
    held.wait(0)
    change = ask(f.chain, "remove", "s")
    f.chain.pause()
    held.let()
    with pytest.raises(ReplyTimeout):
        change.result(0.001)
    assert held.items == [0]
    f.chain.resume()
    assert change.result(PATIENCE)
    assert f.chain.drain(PATIENCE)
    assert f.results.items == [0, 1, 2]


def test_changes_of_a_paused_chain_are_made(flow: MakeFlow) -> None:
    """Stages and replicas come and go, and what comes is paused like the rest."""
    f = flow(stage(same, id="s"), stage(same, id="t"))
    f.chain.pause()
    f.chain.insert_stage(lambda item: [item], id="new", before="t")
    f.chain.add_stage(lambda item: (item,), id="last", workers=2)
    f.chain.resize("s", 2)
    f.chain.set_capacity(7)
    f.chain.tell(1)
    f.chain.tell(2, at="last")
    assert f.results.items == []
    f.chain.resume()
    assert f.chain.drain(PATIENCE)
    assert sorted(f.results.items, key=str) == [(2,), ([1],)]


def test_a_worker_that_waits_for_its_turn_is_paused_at_once(flow: MakeFlow) -> None:
    """A slow rate holds up no change; and the turn it waits for is that of the next one."""
    seen: Recorder[tuple[int, Any]] = Recorder()

    def work(item: Any) -> Any:
        seen((number(), item))
        return item

    f = flow(stage(work, id="s", rate=Rate(1, per=3600)))
    for n in range(3):
        f.chain.tell(n)
    seen.wait_for(1)
    f.chain.pause()
    look_around(f.chain, "s")
    f.chain.resume()
    look_around(f.chain, "s")
    assert len(seen) == 1
    f.chain.set_rate(None, "s")
    assert f.chain.drain(PATIENCE)
    assert len(seen) == 3
