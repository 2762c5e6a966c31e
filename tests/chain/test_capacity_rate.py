"""Capacity and rate of a chain that runs, and its stages stopped and started by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.changing import Held, ask, key_of, number, pause
from tests.helpers import PATIENCE, ManualClock, Recorder
from tests.runtime.forcing import note_sleepers, run
from threadsup import (
    Batch,
    CallingSelfError,
    MailboxClosed,
    MailboxFull,
    NotRunningError,
    Rate,
    ReplyTimeout,
    SpecError,
    StartError,
    Stop,
    UnknownChildError,
    Worker,
    current,
    stage,
)
from threadsup._policy.rate import Window
from threadsup._runtime.clock import monotonic
from threadsup._runtime.context import StopToken

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow
    from tests.conftest import MakeSupervisor

HOUR = 3600.0


def same(item: Any) -> Any:
    return item


def fill(f: Flow) -> int:
    """Tell items until there is no room; return how many there was room for."""
    for told in range(1000):
        try:
            f.chain.tell_nowait(told)
        except MailboxFull:
            return told
    raise AssertionError("there is always room")


# -- capacity -----------------------------------------------------------------------------


def test_a_larger_capacity_wakes_who_waits_for_room(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is room now, though nothing was taken."""
    f = flow(stage(same, id="s"), capacity=2)
    pause(f.chain, monkeypatch)
    assert fill(f) == 2
    asleep = note_sleepers(monkeypatch)
    senders = [run(f.chain.tell, item) for item in ("a", "b")]
    box = f.chain._line("s").cells[0].mailbox
    asleep.wait_until(lambda _: len(box.senders) == 2, "senders")
    f.chain.set_capacity(4, "s")
    for sender in senders:
        sender.result()
    assert fill(f) == 0
    f.chain.resume()
    assert f.chain.drain(PATIENCE)
    assert len(f.results) == 4


def test_a_smaller_capacity_keeps_what_is_queued(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is dropped; there is room again below the new bound."""
    f = flow(stage(same, id="s"), capacity=5)
    pause(f.chain, monkeypatch)
    assert fill(f) == 5
    f.chain.set_capacity(2)
    assert fill(f) == 0
    f.chain.resume()
    assert f.chain.drain(PATIENCE)
    assert f.results.items == list(range(5))
    pause(f.chain, monkeypatch)
    assert fill(f) == 2
    f.chain.resume()


def test_the_capacity_of_all_stages_or_of_one(flow: MakeFlow) -> None:
    """Of each replica of it, and of those that come later."""
    f = flow(stage(same, id="s", workers=2), stage(same, id="t", capacity=9), capacity=5)

    def capacities() -> list[list[int | None]]:
        lines = [f.chain._line(key) for key in f.chain]
        return [[cell.mailbox.capacity for cell in line.cells] for line in lines]

    assert capacities() == [[5, 5], [9]]
    f.chain.set_capacity(7, "t")
    assert capacities() == [[5, 5], [7]]
    f.chain.set_capacity(3)
    f.chain.resize("s", 3)
    assert capacities() == [[3, 3, 3], [3]]


def test_a_queue_always_holds_a_batch(flow: MakeFlow) -> None:
    """One stage is refused less than that; where all are meant it gets its batch's size."""
    f = flow(stage(same, id="s"), stage(same, id="b", batch=Batch(8, timeout=0.01)), capacity=10)
    with pytest.raises(SpecError, match="at least the batch's size, 8, not 7"):
        f.chain.set_capacity(7, "b")
    f.chain.set_capacity(8, "b")
    f.chain.set_capacity(2)
    found = {key: f.chain._line(key).cells[0].mailbox.capacity for key in f.chain}
    assert found == {"s": 2, "b": 8}


def test_a_stage_that_is_added_holds_its_batch(flow: MakeFlow) -> None:
    """As it would in a chain that is made with it."""
    f = flow(stage(same, id="s"), capacity=2)
    f.chain.add_stage(same, id="b", batch=Batch(8, timeout=0.01))
    assert f.chain._line("b").capacity == 8
    with pytest.raises(SpecError, match="capacity"):
        f.chain.add_stage(same, id="c", capacity=3, batch=Batch(8, timeout=0.01))
    for n in range(20):
        f.chain.tell(n)
    assert f.chain.drain(PATIENCE)
    assert f.results.items == list(range(20))


@pytest.mark.parametrize("capacity", [0, -1, True, 2.0, "3", None])
def test_a_capacity_is_a_whole_number(flow: MakeFlow, capacity: Any) -> None:
    """Anything else is refused, and nothing is changed."""
    f = flow(stage(same, id="s"), capacity=4)
    with pytest.raises(SpecError, match="capacity"):
        f.chain.set_capacity(capacity)
    assert f.chain._line("s").cells[0].mailbox.capacity == 4


# -- rate -----------------------------------------------------------------------------------


def test_no_more_begin_than_the_rate_says(flow: MakeFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all replicas together, in any window: each begin has a grant, and these are apart."""
    granted: list[float] = []
    take = Window.take

    def noting(self: Window, now: float) -> float:
        pause = take(self, now)
        if not pause:
            granted.append(now)  # under the limiter's lock
        return pause

    monkeypatch.setattr(Window, "take", noting)
    begun: Recorder[float] = Recorder()

    def work(item: Any) -> Any:
        begun(monotonic())
        return item

    rate = Rate(5, per=0.05)
    f = flow(stage(work, id="s", workers=3, rate=rate))
    for n in range(23):
        f.chain.tell(n)
    assert f.chain.drain(PATIENCE)
    assert len(begun) == len(granted) == 23
    for first, sixth in zip(granted, granted[5:], strict=False):
        assert sixth - first >= rate.per
    # Each begins after its grant: so many had been granted before.
    assert all(at >= grant for at, grant in zip(sorted(begun.items), granted, strict=True))


def test_a_drain_takes_as_long_as_the_rate_says(flow: MakeFlow) -> None:
    """Row 162: a chain that drains, or closes, is held to its rate like any other."""
    f = flow(stage(same, id="s"), rate=Rate(3, per=HOUR))
    for n in range(5):
        f.chain.tell(n)
    assert f.results.wait_for(3) == [0, 1, 2]
    assert not f.chain.drain(0.001)
    f.chain.close()
    f.chain.set_rate(Rate(4, per=HOUR))
    assert f.results.wait_for(4) == [0, 1, 2, 3]
    assert not f.chain.drain(0.001)
    f.chain.set_rate(None)
    assert f.chain.drain(PATIENCE)
    f.wait_ended()
    assert f.results.items == list(range(5))


@pytest.mark.parametrize("faster", [Rate(1000), None])
def test_a_faster_rate_is_for_who_waits_too(flow: MakeFlow, faster: Rate | None) -> None:
    """All that wait for their turn get it, in every replica."""
    f = flow(stage(same, id="s", workers=2, rate=Rate(1, per=HOUR)))
    for n in range(6):
        f.chain.tell(n)
    f.results.wait_for(1)
    f.chain.set_rate(faster, "s")
    assert f.chain.drain(PATIENCE)
    assert sorted(f.results.items) == list(range(6))


def test_a_slower_rate_counts_what_has_begun_before(flow: MakeFlow) -> None:
    """As many as it allows have begun in its window: no more do."""
    f = flow(stage(same, id="s", rate=Rate(5, per=HOUR)))
    for n in range(3):
        f.chain.tell(n)
    f.results.wait_for(3)
    f.chain.set_rate(Rate(3, per=HOUR), "s")
    f.chain.tell(3)
    assert not f.chain.drain(0.001)
    f.chain.set_rate(Rate(4, per=HOUR), "s")
    assert f.chain.drain(PATIENCE)
    assert f.results.items == [0, 1, 2, 3]


def test_a_rate_where_there_was_none(flow: MakeFlow) -> None:
    """It holds from the next item on, for a worker that runs as for one that comes."""
    f = flow(stage(same, id="s"))
    f.chain.tell(0)
    assert f.chain.drain(PATIENCE)
    f.chain.set_rate(Rate(1, per=HOUR), "s")
    f.chain.resize("s", 2)
    for n in (1, 2):
        f.chain.tell(n)
    assert f.results.wait_for(2)
    assert not f.chain.drain(0.001)
    f.chain.set_rate(None, "s")
    assert f.chain.drain(PATIENCE)


def test_a_rate_that_comes_while_a_worker_looks_away_is_kept(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has seen that there is none, and is about to look no more."""
    f = flow(stage(same, id="s"))
    look_away = StopToken.look_away
    raced: list[bool] = []

    def racing(token: StopToken, needed: Any) -> None:
        if not raced:
            raced.append(True)
            f.chain.set_rate(Rate(1, per=HOUR), "s")
        look_away(token, needed)

    monkeypatch.setattr(StopToken, "look_away", racing)
    f.chain.pause()
    f.chain.resume()  # so that it looks
    for n in range(3):
        f.chain.tell(n)
    assert f.results.wait_for(2) == [0, 1]
    assert raced
    assert not f.chain.drain(0.001)
    f.chain.set_rate(None, "s")
    assert f.chain.drain(PATIENCE)


def test_the_first_stage_is_held_to_the_slower_of_two_rates(flow: MakeFlow) -> None:
    """Its own and the chain's; each may be changed alone."""
    f = flow(stage(same, id="s", rate=Rate(2, per=HOUR)), rate=Rate(3, per=HOUR))
    for n in range(6):
        f.chain.tell(n)
    assert f.results.wait_for(2) == [0, 1]
    f.chain.set_rate(None)
    assert not f.chain.drain(0.001)
    f.chain.set_rate(Rate(4, per=HOUR))
    f.chain.set_rate(None, "s")
    assert f.results.wait_for(4) == [0, 1, 2, 3]
    assert not f.chain.drain(0.001)
    f.chain.set_rate(None)
    assert f.chain.drain(PATIENCE)


@pytest.mark.parametrize("change", ["insert", "remove"])
def test_the_rate_of_a_chain_is_that_of_its_first_stage(flow: MakeFlow, change: str) -> None:
    """Whichever it is: what has entered before counts, and the one it was is free of it."""
    f = flow(stage(same, id="a"), stage(same, id="b"), rate=Rate(2, per=HOUR))
    f.chain.tell(0)
    f.results.wait_for(1)
    if change == "insert":
        f.chain.insert_stage(same, id="new", before="a")
    else:
        f.chain.remove_stage("a")
    for n in (1, 2):
        f.chain.tell(n)
    assert f.results.wait_for(2) == [0, 1]
    assert not f.chain.drain(0.001)
    f.chain.tell("past it", at="b" if change == "insert" else None, timeout=PATIENCE)
    if change == "insert":
        assert f.results.wait_for(3)[2:] == ["past it"]
    f.chain.set_rate(None)
    assert f.chain.drain(PATIENCE)
    assert len(f.results) == 4


def test_a_stop_does_not_wait_for_the_rate(flow: MakeFlow) -> None:
    """Whoever waits for a turn gives it up; its item was not begun."""
    f = flow(stage(same, id="s", rate=Rate(1, per=HOUR)))
    for n in range(3):
        f.chain.tell(n)
    f.results.wait_for(1)
    report = f.sup.stop()
    assert report.clean
    assert report.undelivered == 2


@pytest.mark.parametrize("routing", ["round_robin", "partition"])
def test_a_change_does_not_wait_for_the_rate(flow: MakeFlow, routing: str) -> None:
    """An item that waits for its turn is queued, and moves like others that are."""
    options: dict[str, Any] = {"key": key_of} if routing == "partition" else {}
    f = flow(
        stage(same, id="s", routing=routing, rate=Rate(1, per=HOUR), **options),  # type: ignore[arg-type]
        stage(same, id="t"),
    )
    items = [(n, n) for n in range(9)]
    for item in items:
        f.chain.tell(item)
    f.results.wait_for(1)
    f.chain.resize("s", 3)
    f.chain.resize("s", 1)
    f.chain.insert_stage(same, id="new", before="t")
    f.chain.restart_child("s")
    assert len(f.results) == 1
    f.chain.set_rate(None, "s")
    assert f.chain.drain(PATIENCE)
    assert sorted(f.results.items) == items


def test_a_restart_gets_no_turn_of_its_own(flow: MakeFlow) -> None:
    """The window is the stage's, and outlives its workers."""
    f = flow(stage(same, id="s", rate=Rate(2, per=HOUR)))
    f.chain.tell(0)
    f.results.wait_for(1)
    f.chain.restart_child("s")
    for n in (1, 2):
        f.chain.tell(n)
    assert f.results.wait_for(2) == [0, 1]
    f.chain.restart_child("s")
    assert not f.chain.drain(0.001)
    f.chain.set_rate(None, "s")
    assert f.chain.drain(PATIENCE)


def test_a_stage_may_change_its_own_rate_and_capacity(flow: MakeFlow) -> None:
    """Nobody waits for a worker there."""

    def work(item: Any) -> Any:
        context = current()
        assert context is not None
        context.chain.set_rate(None, "s")
        context.chain.set_capacity(9)
        return item

    f = flow(stage(work, id="s", rate=Rate(1, per=HOUR)))
    for n in range(3):
        f.chain.tell(n)
    assert f.chain.drain(PATIENCE)
    assert f.chain._line("s").capacity == 9


def test_rate_and_capacity_may_be_set_before_the_start(supervisor: MakeSupervisor) -> None:
    """And are what it starts with."""
    tree = supervisor()
    results: Recorder[Any] = Recorder()
    chain = tree.add_chain("c", [stage(same, id="s")], on_result=results)
    chain.set_rate(Rate(2, per=HOUR))
    chain.set_capacity(3)
    tree.start()
    for n in range(3):
        chain.tell(n)
    assert results.wait_for(2) == [0, 1]
    assert not chain.drain(0.001)
    chain.set_rate(None)
    assert chain.drain(PATIENCE)


def test_what_is_no_rate_is_refused(flow: MakeFlow) -> None:
    """So is a stage that is not there, and a tree that has ended."""
    f = flow(stage(same, id="s"))
    for rate in (5, "5/s", (1, 2)):
        with pytest.raises(SpecError, match="rate: must be a Rate or None"):
            f.chain.set_rate(rate)  # type: ignore[arg-type]
    with pytest.raises(UnknownChildError):
        f.chain.set_rate(Rate(1), "t")
    with pytest.raises(UnknownChildError):
        f.chain.set_capacity(1, "t")
    f.sup.stop()
    with pytest.raises(NotRunningError):
        f.chain.set_rate(Rate(1))
    with pytest.raises(NotRunningError):
        f.chain.set_capacity(1)


def test_a_window_that_is_changed_never_lets_more_through() -> None:
    """Whatever the changes, in each window no more than the rate of the moment."""
    clock = ManualClock()
    window = Window(Rate(4, per=10.0))
    grants: list[float] = []
    for step in range(200):
        if step == 100:
            window.change(Rate(2, per=10.0))
        if window.take(clock.advance(0.5)) == 0:
            grants.append(clock.now)
    early = [at for at in grants if at <= 50.0]
    late = [at for at in grants if at > 50.0]
    assert all(fifth - first >= 10.0 for first, fifth in zip(early, early[4:], strict=False))
    assert all(third - first >= 10.0 for first, third in zip(late, late[2:], strict=False))
    assert all(one < two for one, two in pairwise(grants))


# -- a stage, or one replica, by hand --------------------------------------------------------


def test_a_stage_is_restarted_with_all_its_replicas(flow: MakeFlow) -> None:
    """Each has another life, and nothing is lost."""
    held = Held(0)
    f = flow(stage(held, id="s", workers=3))
    for n in range(7):
        f.chain.tell(n)
    held.wait(0)
    restart = run(f.chain.restart_child, "s")
    held.let()
    restart.result()
    assert f.chain["s"].incarnation == 6
    assert f.chain.drain(PATIENCE)
    assert sorted(held.items) == list(range(7))


def test_a_stage_is_restarted_without_those_that_leave_meanwhile(flow: MakeFlow) -> None:
    """The stage was asked for: that a replica of it is gone by then is nobody's mistake."""
    held = Held(0)
    f = flow(stage(held, id="s", workers=2))
    f.chain.tell(0)
    held.wait(0)
    leaving = ask(f.chain, "resize", "s", 1)  # one of them has something in hand
    restarts = [run(call, "s") for call in (f.chain.restart_child, f.chain.stop_child)]
    held.let()
    for each in restarts:
        each.result()
    assert leaving.result(PATIENCE)
    f.chain.restart_child("s")
    assert len(f.chain["s"]) == 1
    assert f.chain.submit(1).result(PATIENCE) == 1


def test_one_replica_is_restarted(flow: MakeFlow) -> None:
    """Its equals are left alone."""
    f = flow(stage(same, id="s", workers=3))
    f.chain.restart_child(("s", 1))
    assert [cell.incarnation for cell in f.chain._line("s").cells] == [1, 2, 1]


def test_one_replica_is_stopped_and_the_others_do_its_part(flow: MakeFlow) -> None:
    """New items pass it by; what it has queued waits for it."""
    held = Held()
    f = flow(stage(held, id="s", workers=2))
    f.chain.stop_child(("s", 0))
    assert f.chain["s"].is_alive()
    for n in range(4):
        f.chain.tell(n)
    assert sorted(f.results.wait_for(4)) == [0, 1, 2, 3]
    assert {replica for replica, _ in held.seen.items} == {1}
    f.chain.restart_child(("s", 0))
    for n in range(4):
        f.chain.tell(n)
    assert f.chain.drain(PATIENCE)
    assert {replica for replica, _ in held.seen.items} == {0, 1}


def test_a_stage_that_is_stopped_refuses_senders_and_keeps_what_it_has(flow: MakeFlow) -> None:
    """What the stage before it still makes is kept for it, too."""
    held = Held(0)
    f = flow(stage(held, id="s"), stage(same, id="t", workers=2))
    f.chain.tell(0)
    held.wait(0)
    f.chain.stop_child("t")
    with pytest.raises(MailboxClosed):
        f.chain.tell(1, at="t")
    held.let()
    f.chain.tell(2)
    assert held.seen.wait_for(2)
    f.chain.restart_child("t")
    assert f.chain.drain(PATIENCE)
    assert sorted(f.results.items) == [0, 2]


def test_the_time_of_the_caller_is_for_all_replicas_together(flow: MakeFlow) -> None:
    """And is not begun anew with each."""
    held = Held(*range(3))
    f = flow(stage(held, id="s", workers=3, shutdown=HOUR))
    for n in range(3):
        f.chain.tell(n)
    held.seen.wait_for(3)
    before = monotonic()
    with pytest.raises(ReplyTimeout):
        f.chain.stop_child("s", timeout=0.05)
    with pytest.raises(ReplyTimeout):
        f.chain.restart_child("s", timeout=0.0)
    held.let()
    f.chain.restart_child("s")
    assert monotonic() - before < PATIENCE
    assert f.chain.drain(PATIENCE)


def test_a_replica_that_does_not_come_back_is_an_error_and_kept(flow: MakeFlow) -> None:
    """It can be started later; its equals go on."""
    starts = [True, True, False]

    class Fragile(Worker):
        def on_start(self) -> None:
            if starts and not starts.pop(0):
                raise ValueError("not now")

        def on_receive(self, message: Any) -> Any:
            return number(), message

    f = flow(stage(Fragile, id="s", workers=2))
    with pytest.raises(StartError, match="not now"):
        f.chain.restart_child(("s", 0))
    assert len(f.chain["s"]) == 2
    assert f.chain.submit("a").result(PATIENCE) == (1, "a")
    f.chain.restart_child(("s", 0))
    assert {f.chain.submit(n).result(PATIENCE)[0] for n in range(4)} == {0, 1}


def test_a_replica_that_has_ended_may_be_brought_back(flow: MakeFlow) -> None:
    """It gets items again, its keys too."""
    f = flow(
        stage(
            lambda item: Stop() if item[1] == "stop" else (number(), item[0]),
            id="s",
            workers=2,
            routing="partition",
            key=key_of,
        )
    )
    before = {key: f.chain.submit((key, 0)).result(PATIENCE)[0] for key in range(8)}
    ends = next(key for key, replica in before.items() if replica == 1)
    f.chain.tell((ends, "stop"))
    f.reasons("s", 1)
    assert {f.chain.submit((key, 1)).result(PATIENCE) for key in before} == {
        (0, key) for key in before
    }
    f.chain.restart_child(("s", 1))
    f.chain._change(lambda changes: changes.resize(f.chain._line("s"), 2), PATIENCE)
    after = {key: f.chain.submit((key, 2)).result(PATIENCE)[0] for key in before}
    assert after == before


def test_who_is_not_there_is_not_stopped(flow: MakeFlow) -> None:
    """Neither a stage nor a replica of that id; and no worker stops itself and waits."""
    f = flow(stage(same, id="s"), stage(same, id="t"))
    for key in ("u", ("s", 1), ("u", 0), 0):
        with pytest.raises(UnknownChildError):
            f.chain.stop_child(key)
        with pytest.raises(UnknownChildError):
            f.chain.restart_child(key)

    def stop_itself(_: Any) -> str:
        context = current()
        assert context is not None
        for key in ("own", ("own", 0)):
            with pytest.raises(CallingSelfError):
                context.chain.stop_child(key)
        context.chain.stop_child("s")
        return "stopped another"

    f.chain.add_stage(stop_itself, id="own")
    assert f.chain.submit(1).result(PATIENCE) == "stopped another"
    assert not f.chain["s"].is_alive()


def test_a_stage_of_a_chain_that_is_being_changed_may_be_stopped(flow: MakeFlow) -> None:
    """The change goes on without it, and what it keeps is done when it is back."""
    held = Held((0, 0))
    f = flow(stage(held, id="s", workers=2, routing="partition", key=key_of))
    items = [(k, 0) for k in range(6)]
    f.chain.tell((0, 0))
    held.wait((0, 0))
    change = ask(f.chain, "resize", "s", 3)
    stop = run(f.chain.stop_child, "s")
    held.let()
    stop.result()
    assert change.result(PATIENCE)
    f.chain.restart_child("s")
    for item in items[1:]:
        f.chain.tell(item)
    assert f.chain.drain(PATIENCE)
    assert sorted(held.items) == items
