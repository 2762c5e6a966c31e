"""Resizing a stage that runs: every item once, order by key kept, nothing half done."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from itertools import pairwise
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.changing import Held, ask, errand, key_of, key_that_moves, number
from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import note_sleepers, run
from tests.supervisor.trees import run_program
from threadsup import (
    Backoff,
    CallingSelfError,
    Future,
    MailboxClosed,
    NotRunningError,
    ReplyTimeout,
    Retry,
    SpecError,
    StartError,
    Stop,
    UnknownChildError,
    Worker,
    current,
    events,
    stage,
)
from threadsup._chain.changes import Changes
from threadsup._policy.routing import stable_hash
from threadsup._runtime.pause import Pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow
    from tests.conftest import MakeSupervisor

ROUTINGS = pytest.mark.parametrize(
    "routing", ["round_robin", "random", "least_loaded", "partition", "broadcast"]
)
PICKS_ONE = pytest.mark.parametrize(
    "routing", ["round_robin", "random", "least_loaded", "partition"]
)


def routed(routing: str) -> dict[str, Any]:
    """Return the options of a stage with this routing; items are `(key, n)`."""
    return {"routing": routing, "key": key_of if routing == "partition" else None}


def same(item: Any) -> Any:
    return item


def tell_all(f: Flow, items: list[Any]) -> None:
    for item in items:
        f.chain.tell(item)


def wait_for_pause(f: Flow, count: int = 1) -> None:
    """Wait until a replica is in a restart pause, for the so manieth time."""
    f.events.wait_until(
        lambda told: sum(isinstance(e, events.Restarting) and e.delay > 0 for e in told) >= count,
        "restart pauses",
    )


# -- under load -------------------------------------------------------------------------


@ROUTINGS
def test_a_resize_under_load_loses_nothing_and_does_nothing_twice(
    flow: MakeFlow, routing: str
) -> None:
    """Every item told while replicas come and go is finished, once, and all are counted."""
    seen: Recorder[tuple[int, Any]] = Recorder()

    def work(item: Any) -> Any:
        seen((number(), item))
        return item

    f = flow(
        stage(same, id="head", workers=2),
        stage(work, id="s", workers=2, **routed(routing)),
        stage(same, id="tail"),
        capacity=4,
    )
    items = [(n % 7, n) for n in range(300)]
    sender = run(lambda: [f.chain.submit(item) for item in items])
    for at, size in enumerate((4, 1, 3, 2, 5, 1)):
        seen.wait_for(40 * at)
        f.chain.resize("s", size)
        assert len(f.chain["s"]) == size
    futures = sender.result()
    assert f.chain.drain(PATIENCE)
    if routing == "broadcast":
        for item, future in zip(items, futures, strict=True):
            assert set(future.result(PATIENCE)) == {item}
    else:
        assert [future.result(PATIENCE) for future in futures] == items
        assert sorted(f.results.items) == sorted(items)
        assert sorted(item for _, item in seen.items) == sorted(items)
    assert f.items() == {"offered": 300, "completed": 300}


def test_a_partition_keeps_the_order_of_each_key_while_it_is_resized(flow: MakeFlow) -> None:
    """Whatever comes and goes, items of one key are begun, and come out, in order."""
    seen: Recorder[tuple[int, Any]] = Recorder()

    def work(item: Any) -> Any:
        seen((number(), item))
        return item

    f = flow(stage(work, id="s", workers=3, **routed("partition")), capacity=3)
    items = [(n % 5, n) for n in range(200)]
    sender = run(tell_all, f, items)
    for at, size in enumerate((1, 4, 2, 5, 3, 1)):
        seen.wait_for(25 * at)
        f.chain.resize("s", size)
    sender.result()
    assert f.chain.drain(PATIENCE)
    for found in ([item for _, item in seen.items], f.results.items):
        by_key: dict[Any, list[int]] = defaultdict(list)
        for key, n in found:
            by_key[key].append(n)
        assert all(one < two for each in by_key.values() for one, two in pairwise(each))
        assert len(found) == len(items)


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 1), (3, 2)])
def test_a_key_that_moves_waits_for_its_old_item(flow: MakeFlow, old: int, new: int) -> None:
    """What is queued, and what is told meanwhile, is begun after the old item is finished."""
    if old < new:
        key = key_that_moves(old=old, new=new, to=1)
    else:  # away from one that leaves
        key = next(k for k in range(1000) if _place(k, old) == old - 1 and _place(k, new) == 0)
    held = Held((key, 0))
    f = flow(stage(held, id="s", workers=old, **routed("partition")))
    f.chain.tell((key, 0))
    held.wait((key, 0))
    f.chain.tell((key, 1))
    change = ask(f.chain, "resize", "s", new)
    late = run(f.chain.tell, (key, 2))
    assert not change.done()
    assert held.items == [(key, 0)]
    held.let()
    assert change.result(PATIENCE)
    late.result()
    assert f.chain.drain(PATIENCE)
    after = 1 if old < new else 0
    assert held.seen.items[1:] == [(after, (key, 1)), (after, (key, 2))]
    assert f.results.items == [(key, 0), (key, 1), (key, 2)]


def _place(key: int, count: int) -> int:
    return stable_hash(key) % count


def test_a_replica_that_comes_gets_its_share_of_what_is_queued(flow: MakeFlow) -> None:
    """A stage that stands still with one item works on the others once it has two."""
    held = Held(0)
    f = flow(stage(held, id="s"), capacity=10)
    for n in range(4):
        f.chain.tell(n)
    held.wait(0)
    f.chain.resize("s", 2)
    held.seen.wait_until(lambda seen: any(replica == 1 for replica, _ in seen), "share")
    held.let()
    assert f.chain.drain(PATIENCE)
    assert sorted(held.items) == [0, 1, 2, 3]


def test_a_sender_that_waits_for_the_only_replica_goes_to_the_new_one(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for room in a mailbox; there is another one now."""
    held = Held(0)
    f = flow(stage(held, id="s", capacity=1))
    f.chain.tell(0)
    held.wait(0)
    f.chain.tell(1)
    asleep = note_sleepers(monkeypatch)
    sender = run(f.chain.tell, 2)
    asleep.wait_until(lambda _: bool(f.chain._line("s").cells[0].mailbox.senders), "sender")
    f.chain.resize("s", 3)
    sender.result()
    held.let()
    assert f.chain.drain(PATIENCE)
    assert sorted(f.results.items) == [0, 1, 2]


# -- what is put aside, given back, or paused -------------------------------------------


def test_an_item_in_its_retry_pause_goes_on_elsewhere(flow: MakeFlow) -> None:
    """With the attempts it has cost so far: it is not tried more often than it may."""
    held = Held("mark")
    tries: Recorder[str] = Recorder()

    def work(item: str) -> str:
        if item.startswith("bad"):
            tries(item)
            raise ValueError(item)
        held(item)
        return item

    retry = Retry(attempts=2, backoff=Backoff(initial=3600, maximum=3600))
    f = flow(stage(work, id="s", on_error=retry, workers=2))
    f.chain.stop_child(("s", 0))  # so all go to the other one
    for item in ("bad", "mark"):
        f.chain.tell(item)
    held.wait("mark")  # behind the first try of the other
    assert tries.items == ["bad"]
    f.chain.restart_child(("s", 0))
    change = ask(f.chain, "resize", "s", 1)
    held.let()
    assert change.result(PATIENCE)
    assert tries.wait_for(2) == ["bad", "bad"]
    assert f.chain.drain(PATIENCE)
    assert tries.items == ["bad", "bad"]
    assert f.items() == {"offered": 2, "completed": 1, "failed": 1}


@pytest.mark.parametrize("size", [1, 3])
def test_a_message_is_tried_so_often_however_the_stage_is_resized(
    flow: MakeFlow, size: int
) -> None:
    """What a crash has given back keeps its attempts when it goes to another replica."""
    tries: Recorder[Any] = Recorder()

    def work(item: Any) -> Any:
        tries(item)
        if item[1] < 0:
            raise ValueError(item)
        return item

    key = key_that_moves(old=2, new=size, to=size - 1)
    f = flow(
        stage(work, id="s", max_attempts=2, workers=2, **routed("partition")),
        tree={"backoff": Backoff(initial=3600, maximum=3600, jitter=0)},
    )
    first, second = f.chain.submit((key, -1)), f.chain.submit((key, -2))
    assert isinstance(first.exception(PATIENCE), ValueError)
    wait_for_pause(f, 1)  # only the first restart is at once
    f.chain.restart_child(("s", 0))
    wait_for_pause(f, 2)
    assert tries.items == [(key, -1), (key, -1), (key, -2)]
    f.chain.resize("s", size)
    if size == 1:
        f.chain.restart_child(("s", 0))
    assert isinstance(second.exception(PATIENCE), ValueError)
    assert tries.items == [(key, -1), (key, -1), (key, -2), (key, -2)]


def test_an_emission_that_waits_for_credit_goes_on_elsewhere(flow: MakeFlow) -> None:
    """All its values come, once and in order, from the replica that inherits it."""
    made: Recorder[int] = Recorder()

    def many(item: int) -> Any:
        for n in range(150):
            made(item)
            yield (item, n)

    f = flow(stage(many, id="s", workers=2), stage(same, id="tail"), capacity=100)
    results = f.chain.map([0, 1])
    first = next(results)
    made.wait_until(lambda items: Counter(items)[1] >= 64, "use of all credit")
    f.chain.resize("s", 1)
    f.chain.resize("s", 2)
    f.chain.resize("s", 1)
    assert [first, *results] == [(item, n) for item in (0, 1) for n in range(150)]


def test_a_resize_of_a_paused_chain_is_made_and_it_stays_paused(flow: MakeFlow) -> None:
    """Nothing is begun by who comes or stays; all of it is when the chain goes on."""
    held = Held()
    f = flow(stage(held, id="s", **routed("partition")), capacity=20)
    f.chain.pause()
    for n in range(6):
        f.chain.tell((n, n))
    for size in (3, 1, 2):
        f.chain.resize("s", size)
    assert held.items == []
    assert f.items() == {"offered": 6, "in_flight": 6}
    f.chain.resume()
    assert f.chain.drain(PATIENCE)
    assert sorted(held.items) == [(n, n) for n in range(6)]


# -- replicas that come and go meanwhile --------------------------------------------------


def test_a_replica_in_its_restart_pause_holds_up_no_resize(flow: MakeFlow) -> None:
    """It has nothing in hand: keys are shared out, and its own wait for it."""
    crash = Held("x")

    def work(item: Any) -> Any:
        if item[1] == "crash":
            raise ValueError
        return crash(item)

    f = flow(
        stage(work, id="s", **routed("partition")),
        tree={"backoff": Backoff(initial=3600, maximum=3600, jitter=0)},
    )
    stays, moves = (key_that_moves(old=1, new=2, to=to) for to in (0, 1))
    for _ in range(2):
        f.chain.tell((stays, "crash"))
    wait_for_pause(f)
    f.chain.tell((stays, 1))
    f.chain.tell((moves, 1))
    f.chain.resize("s", 2)
    assert f.results.wait_for(1) == [(moves, 1)]
    f.chain.restart_child(("s", 0))
    assert f.results.wait_for(2) == [(moves, 1), (stays, 1)]


@pytest.mark.parametrize("how", ["crash", "restart", "stop"])
def test_a_replica_that_ends_while_it_is_waited_for(flow: MakeFlow, how: str) -> None:
    """The change goes on with its next life, or without it; what it had queued is done."""
    key = key_that_moves(old=1, new=2, to=1)
    held = Held((key, "first"))

    def work(item: Any) -> Any:
        held(item)
        if item[1] == "first" and how == "crash":
            raise ValueError(item)
        return item

    f = flow(stage(work, id="s", **routed("partition")))
    f.chain.tell((key, "first"))
    held.wait((key, "first"))
    f.chain.tell((key, "second"))
    change = ask(f.chain, "resize", "s", 2)
    by_hand = None
    if how != "crash":
        by_hand = errand(f.chain, f"{how}_child", ("s", 0))
    assert not change.done()
    held.let()
    assert change.result(PATIENCE)
    if by_hand is not None:
        by_hand.result(PATIENCE)
    f.chain.tell((key, "third"))
    assert held.seen.wait_for(3)[1:] == [(1, (key, "second")), (1, (key, "third"))]
    assert len(f.chain["s"]) == 2


@PICKS_ONE
def test_who_was_stopped_by_hand_leaves_first(flow: MakeFlow, routing: str) -> None:
    """And what was queued at it is for the others."""
    held = Held(*((k, 0) for k in range(8)))
    f = flow(stage(held, id="s", workers=2, **routed(routing)))
    items = [(k, n) for n in range(2) for k in range(8)]
    for item in items:
        f.chain.tell(item)
    held.seen.wait_for(2)
    stop = errand(f.chain, "stop_child", ("s", 0))
    held.let()
    stop.result(PATIENCE)
    f.chain.resize("s", 1)
    assert f.chain["s"].replicas == (("s", 1),)
    assert f.chain.drain(PATIENCE)
    assert sorted(held.items) == sorted(items)


def test_a_partition_whose_replica_ends_for_good_goes_on_without_it(flow: MakeFlow) -> None:
    """Its keys, and what it had queued, are with the others from then on, in order."""
    key = next(k for k in range(100) if _place(k, 2) == 1)
    held = Held((key, 0))

    def work(item: Any) -> Any:
        held(item)
        return Stop() if item == (key, 0) else item

    f = flow(stage(work, id="s", workers=2, **routed("partition")))
    for n in range(4):
        f.chain.tell((key, n))
    held.wait((key, 0))
    held.let()
    assert f.results.wait_for(3) == [(key, n) for n in (1, 2, 3)]
    assert f.chain["s"].replicas == (("s", 0),)
    f.chain.resize("s", 3)
    f.chain.tell((key, 4))
    assert f.chain.drain(PATIENCE)
    assert held.items == [(key, n) for n in range(5)]


# -- starts that fail ---------------------------------------------------------------------


class Fragile(Worker):
    """Starts as often as it may, in all."""

    def __init__(self, starts: list[bool], seen: Recorder[Any]) -> None:
        self.starts = starts
        self.seen = seen

    def on_start(self) -> None:
        if not self.starts.pop(0):
            raise ValueError("no more")

    def on_receive(self, message: Any) -> Any:
        self.seen(message)
        return message


@PICKS_ONE
@pytest.mark.parametrize("kth", [1, 2, 3])
def test_a_replica_that_does_not_start_is_an_error_at_the_caller(
    flow: MakeFlow, routing: str, kth: int
) -> None:
    """What is there stays, those before it are there, it is forgotten, and all goes on."""
    seen: Recorder[Any] = Recorder()
    starts = [True] * kth + [False]
    f = flow(stage(Fragile, starts, seen, id="s", **routed(routing)))
    with pytest.raises(StartError, match="no more") as caught:
        f.chain.resize("s", 4)
    assert isinstance(caught.value.__cause__, ValueError)
    assert f.chain["s"].replicas == tuple(("s", n) for n in range(kth))
    assert set(f.chain.scope.cells) == set(f.chain["s"].replicas)
    starts += [True] * 4
    for n in range(20):
        f.chain.tell((n, n))
    f.chain.resize("s", 4)
    assert len(f.chain["s"]) == 4
    assert f.chain.drain(PATIENCE)
    assert sorted(seen.items) == [(n, n) for n in range(20)]


# -- drains and ends ----------------------------------------------------------------------


@ROUTINGS
@pytest.mark.parametrize("sizes", [(3,), (1,), (1, 3, 2)])
def test_a_drain_waits_for_what_is_shared_out_meanwhile(
    flow: MakeFlow, routing: str, sizes: tuple[int, ...]
) -> None:
    """It does not return before items that were accepted before it are finished."""
    held = Held((0, 0), (1, 1))
    f = flow(stage(held, id="s", workers=2, **routed(routing)), stage(same, id="tail"))
    futures = [f.chain.submit((n, n)) for n in range(12)]
    held.seen.wait_for(1)
    through: Recorder[list[bool]] = Recorder()
    f.chain.scope.send_through(lambda: through([future.done() for future in futures]))
    changes = [ask(f.chain, "resize", "s", size) for size in sizes]
    assert len(through) == 0
    held.let()
    assert all(through.wait_for(1)[0])
    assert all(change.result(PATIENCE) for change in changes)
    assert f.items() == {"offered": 12, "completed": 12}


def test_a_drain_waits_for_what_nobody_has_while_keys_are_shared_out(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No mark passes a replica that starts meanwhile: what is before it is elsewhere."""
    parked: Recorder[Any] = Recorder()
    park, put_in_order = Pause.park, Changes._put_in_order

    def noting(pause: Pause, life: object) -> None:
        parked(life)
        park(pause, life)

    def late(changes: Changes, *args: Any) -> None:
        parked.wait_for(1)  # the new life has come to the pause, past all that it passes
        put_in_order(changes, *args)

    monkeypatch.setattr(Pause, "park", noting)
    monkeypatch.setattr(Changes, "_put_in_order", late)
    zero, one = (next(k for k in range(100) if _place(k, 2) == at) for at in (0, 1))
    held = Held((zero, 0), (one, 0))

    def work(item: Any) -> Any:
        held(item)
        return Stop() if item == (one, 0) else item

    f = flow(stage(work, id="s", workers=2, **routed("partition")))
    for item in ((zero, 0), (one, 0), (one, 1), (one, 2)):
        f.chain.tell(item)
    held.seen.wait_for(2)
    held.let((one, 0))
    f.reasons("s")
    f.chain._ask(lambda _: None)  # it has ended, and what it had is to be shared out
    through: Recorder[list[Any]] = Recorder()
    f.chain.scope.send_through(lambda: through(f.results.items))
    restart = errand(f.chain, "restart_child", ("s", 0))
    held.let()
    restart.result(PATIENCE)
    assert through.wait_for(1) == [[(zero, 0), (one, 1), (one, 2)]]


@PICKS_ONE
def test_a_chain_that_is_closed_meanwhile_finishes_all_and_ends(
    flow: MakeFlow, routing: str
) -> None:
    """The caller gets an answer, those who come take nothing from outside."""
    held = Held((0, 0))
    f = flow(stage(held, id="s", workers=2, **routed(routing)))
    futures = [f.chain.submit((0, n)) for n in range(5)]
    held.wait((0, 0))
    change = ask(f.chain, "resize", "s", 3)
    f.chain.close()
    with pytest.raises(Exception, match="takes no messages"):
        f.chain.tell_nowait((0, 9))
    held.let()
    assert change.exception(PATIENCE) is None or isinstance(change.exception(), NotRunningError)
    assert sorted(future.result(PATIENCE) for future in futures) == [(0, n) for n in range(5)]
    f.wait_ended()
    with pytest.raises(NotRunningError):
        f.chain.resize("s", 1)


@pytest.mark.parametrize("size", [1, 3])
def test_a_stop_in_the_middle_of_a_resize_is_an_answer_to_it(flow: MakeFlow, size: int) -> None:
    """Who resizes, and who waits behind, is told; the stop takes no longer for it."""
    held = Held((0, 0))
    f = flow(stage(held, id="s", workers=2, **routed("partition")))
    f.chain.tell((0, 0))
    held.wait((0, 0))
    change, behind = (ask(f.chain, "resize", "s", n) for n in (size, 5))
    stop = run(f.sup.stop)
    f.events.wait_until(
        lambda told: any(isinstance(e, events.WorkerEnded) for e in told), "end of a replica"
    )
    held.let()
    assert stop.result().clean
    assert isinstance(behind.exception(PATIENCE), NotRunningError)
    error = change.exception(PATIENCE)
    assert isinstance(error, NotRunningError) or size == 3  # those had come before


def test_a_chain_that_is_stopped_meanwhile_is_whole_when_it_starts_again(flow: MakeFlow) -> None:
    """Who was to leave has left when it is up again, and what is queued is done, once."""
    held = Held((0, 0))
    f = flow(stage(held, id="s", workers=3, **routed("partition")))
    items = [(k, 0) for k in range(9)]
    f.chain.tell((0, 0))
    held.wait((0, 0))
    change = ask(f.chain, "resize", "s", 1)
    stop = run(f.sup.stop_child, "chain")
    f.events.wait_until(
        lambda told: any(isinstance(e, events.WorkerEnded) for e in told), "end of a replica"
    )
    held.let()
    stop.result()
    assert isinstance(change.exception(PATIENCE), NotRunningError)
    f.sup.restart_child("chain")
    for item in items[1:]:
        f.chain.tell(item)
    assert f.chain.drain(PATIENCE)
    assert sorted(held.items) == items
    assert f.chain["s"].replicas == (("s", 0),)
    assert set(f.chain.scope.cells) == {("s", 0)}


# -- who asks, and when --------------------------------------------------------------------


def test_two_changes_at_once_are_made_one_after_another(flow: MakeFlow) -> None:
    """The second begins when the first is finished, and has the last word."""
    held = Held((0, 0))
    f = flow(stage(held, id="s", **routed("partition")))
    f.chain.tell((0, 0))
    held.wait((0, 0))
    first, second = (ask(f.chain, "resize", "s", n) for n in (4, 2))
    assert not first.done()
    assert not second.done()
    held.let()
    assert first.result(PATIENCE)
    assert second.result(PATIENCE)
    assert len(f.chain["s"]) == 2


def test_many_threads_may_resize_at_once(flow: MakeFlow) -> None:
    """Each gets its answer, and one of them is what the stage is left with."""
    f = flow(stage(same, id="s"))
    barrier = threading.Barrier(4)

    def resize(size: int) -> None:
        barrier.wait(PATIENCE)
        f.chain.resize("s", size)

    for running in [run(resize, size) for size in (1, 2, 3, 4)]:
        running.result()
    assert len(f.chain["s"]) in {1, 2, 3, 4}
    assert len(f.chain.scope.cells) == len(f.chain["s"])


def test_a_long_line_of_changes_is_no_deep_one(flow: MakeFlow) -> None:
    """Thousands that have nothing to do wait behind one that has, and are all answered."""
    held = Held((0, 0))
    f = flow(stage(held, id="s", **routed("partition")))
    f.chain.tell((0, 0))
    held.wait((0, 0))
    changes: Any = f.chain.scope.changes
    line = f.chain._line("s")
    ask(f.chain, "resize", "s", 2)

    def many(_: Any) -> None:
        for _ in range(3000):
            changes.begin(changes.resize(line, 2))

    f.chain._ask(many)
    held.let()
    f.chain.resize("s", 1)
    assert len(f.chain["s"]) == 1


def test_a_caller_that_does_not_wait_so_long_changes_nothing(flow: MakeFlow) -> None:
    """The time is up, the change goes on, and so does what comes behind it."""
    held = Held((0, 0))
    f = flow(stage(held, id="s", **routed("partition")))
    f.chain.tell((0, 0))
    held.wait((0, 0))
    with pytest.raises(ReplyTimeout):
        f.chain.resize("s", 3, timeout=0.001)
    held.let()
    f.chain.resize("s", 2)
    assert len(f.chain["s"]) == 2


def test_an_interrupt_of_the_caller_leaves_the_change_to_go_on(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while it waits is the caller's; the chain is changed all the same."""
    f = flow(stage(same, id="s"))
    result = Future.result

    def interrupted(self: Any, timeout: float | None = None) -> Any:
        monkeypatch.setattr(Future, "result", result)
        raise KeyboardInterrupt

    monkeypatch.setattr(Future, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        f.chain.resize("s", 3)
    f.chain._ask(lambda _: None)
    f.chain.resize("s", 3)
    assert f.chain["s"].replicas == (("s", 0), ("s", 1), ("s", 2))


def test_a_chain_may_be_changed_before_it_starts(supervisor: MakeSupervisor) -> None:
    """It starts as it was left."""
    tree = supervisor()
    results: Recorder[Any] = Recorder()
    chain = tree.add_chain("c", [stage(same, id="s", **routed("partition"))], on_result=results)
    chain.resize("s", 4)
    chain.resize("s", 3)
    chain.tell((0, 0))
    chain.resize("s", 2)
    assert not chain["s"].is_alive()
    tree.start()
    assert chain["s"].replicas == (("s", 0), ("s", 1))
    assert results.wait_for(1) == [(0, 0)]


def test_a_chain_that_has_ended_is_not_changed(flow: MakeFlow) -> None:
    """Be it closed, stopped by hand, or gone with its tree: who asks is told."""
    f = flow(stage(same, id="s"))
    f.chain.close()
    f.wait_ended()
    for size in (1, 2):
        with pytest.raises(NotRunningError):
            f.chain.resize("s", size)
    f.sup.stop()
    with pytest.raises(NotRunningError):
        f.chain.resize("s", 2)


def test_a_stage_does_not_wait_for_itself(flow: MakeFlow) -> None:
    """A resize from a worker of the chain, in a stage or as it starts, is refused at once."""
    told: Recorder[BaseException] = Recorder()

    def try_it() -> None:
        context = current()
        assert context is not None
        chain = context.chain
        calls: list[Callable[[], Any]] = [
            lambda: chain.resize("s", 2),
            lambda: chain.remove_stage("s"),
            lambda: chain.add_stage(same),
            lambda: chain.insert_stage(same, before="s"),
        ]
        for call in calls:
            try:
                call()
            except BaseException as error:
                told(error)

    class Meddling(Worker):
        def on_start(self) -> None:
            try_it()

        def on_receive(self, message: Any) -> Any:
            try_it()
            return message

    f = flow(stage(Meddling, id="s"))
    f.chain.tell(1)
    assert f.chain.drain(PATIENCE)
    assert [type(error) for error in told.items] == [CallingSelfError] * 8
    assert len(f.chain) == len(f.chain["s"]) == 1


def test_a_worker_of_another_chain_may_change_this_one(flow: MakeFlow) -> None:
    """It waits for others, not for itself."""
    f = flow(stage(same, id="s"))
    other = f.sup.add_chain("other", [stage(lambda n: f.chain.resize("s", n), id="o")])
    assert other.submit(3).result(PATIENCE) is None
    assert len(f.chain["s"]) == 3


def test_what_is_wrong_is_refused_at_the_call(flow: MakeFlow) -> None:
    """A size that is none, a stage that is not there."""
    f = flow(stage(same, id="s"))
    for size in (0, -1, True, 1.5, "2", None):
        with pytest.raises(SpecError, match="workers"):
            f.chain.resize("s", size)  # type: ignore[arg-type]
    for key in ("t", ("s", 0)):
        with pytest.raises(UnknownChildError):
            f.chain.resize(key, 2)
    f.chain.resize("s", 1)
    assert f.chain["s"].incarnation == 1


def test_the_child_of_a_fork_changes_nothing() -> None:
    """Its tree is dead: each change says so, and none waits for ever."""
    done = run_program(
        dedent(
            """
            import os, sys, warnings
            warnings.simplefilter("ignore")
            from threadsup import NotRunningError, Rate, Supervisor, stage

            def same(item):
                return item

            tree = Supervisor("app").start()
            chain = tree.add_chain("c", [stage(same, id="a"), stage(same, id="b")])
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                for call in (
                    lambda: chain.resize("a", 2),
                    lambda: chain.add_stage(same, id="c"),
                    lambda: chain.insert_stage(same, id="c", before="a"),
                    lambda: chain.remove_stage("a"),
                    lambda: chain.restart_child("a"),
                    lambda: chain.stop_child(("a", 0)),
                    lambda: chain.set_capacity(3),
                    lambda: chain.set_rate(Rate(3)),
                    chain.pause,
                    chain.resume,
                ):
                    try:
                        call()
                        print("done?")
                    except NotRunningError:
                        pass
                    except BaseException as error:
                        print(repr(error))
                print("child over", flush=True)
                os._exit(0)
            os.waitpid(pid, 0)
            chain.resize("a", 2)
            print(len(chain["a"]), tree.stop().clean)
            """
        )
    )
    assert done.stderr == ""
    assert done.stdout.split("\n")[:2] == ["child over", "2 True"]


# -- a chain that goes down, or is restarted, in the middle ---------------------------------


@pytest.mark.parametrize("size", [1, 3])
def test_a_chain_that_gives_up_in_the_middle_answers_the_caller(flow: MakeFlow, size: int) -> None:
    """Whoever waits for a change hears that there is nothing to be changed any more."""
    zero, one = (next(k for k in range(100) if _place(k, 2) == at) for at in (0, 1))
    held = Held((zero, 0), (one, 0))

    def work(item: Any) -> Any:
        held(item)
        if item == (one, 0):
            raise ValueError("once too often")
        return item

    f = flow(
        stage(work, id="s", workers=2, **routed("partition")),
        max_restarts=0,
    )
    for item in held.gates:
        f.chain.tell(item)
        held.wait(item)
    change, behind = (ask(f.chain, "resize", "s", n) for n in (size, 5))
    held.let((one, 0))
    f.events.wait_until(lambda told: any(isinstance(e, events.GaveUp) for e in told), "giving up")
    assert not behind.done()
    held.let()
    assert isinstance(behind.exception(PATIENCE), NotRunningError)
    assert isinstance(change.exception(PATIENCE), NotRunningError) or size == 3
    f.wait_ended()
    late = run(f.chain.tell, (one, 1))
    with pytest.raises(MailboxClosed):  # at no gate, and not for ever
        late.result()


def test_a_chain_that_restarts_as_one_in_the_middle_is_changed_all_the_same(
    flow: MakeFlow,
) -> None:
    """All replicas have another life before the change is made; order by key is kept."""
    zero, one = (next(k for k in range(100) if _place(k, 2) == at) for at in (0, 1))
    held = Held((zero, 0), (one, 0))

    def work(item: Any) -> Any:
        held(item)
        if item == (one, 0):
            raise ValueError("all of you")
        return item

    f = flow(stage(work, id="s", workers=2, **routed("partition")), strategy="one_for_all")
    for n in range(3):
        for key in (zero, one):
            f.chain.tell((key, n))
    for item in held.gates:
        held.wait(item)
    change = ask(f.chain, "resize", "s", 3)
    held.let((one, 0))
    f.reasons("s")
    assert not change.done()
    held.let()
    assert change.result(PATIENCE)
    assert f.chain.drain(PATIENCE)
    for key in (zero, one):
        assert [n for k, n in held.items if k == key] == [0, 1, 2]
    assert f.items() == {"offered": 6, "completed": 5, "failed": 1}


def test_a_replica_that_is_given_up_holds_up_no_change(flow: MakeFlow) -> None:
    """It is at one item for too long: its successor is waited for, and it changes nothing."""
    key = key_that_moves(old=1, new=2, to=1)
    held = Held((key, 0))
    f = flow(stage(held, id="s", time_limit=0.2, **routed("partition")))
    for n in range(3):
        f.chain.tell((key, n))
    held.wait((key, 0))
    change = ask(f.chain, "resize", "s", 2)
    assert change.result(PATIENCE)
    assert f.chain.drain(PATIENCE)
    assert held.seen.items == [(0, (key, 0)), (1, (key, 1)), (1, (key, 2))]
    held.let()


def test_a_replica_that_ends_for_good_while_it_is_to_stay(flow: MakeFlow) -> None:
    """Who was to leave stays in its place: a stage is not left without anybody."""
    zero = next(k for k in range(100) if _place(k, 2) == 0)
    held = Held((zero, 0))

    def work(item: Any) -> Any:
        held(item)
        return Stop() if item[1] == 0 else item

    f = flow(stage(work, id="s", workers=2, **routed("partition")))
    for n in range(3):
        f.chain.tell((zero, n))
    held.wait((zero, 0))
    change = ask(f.chain, "resize", "s", 1)
    held.let()
    assert change.result(PATIENCE)
    assert f.results.wait_for(2) == [(zero, 1), (zero, 2)]
    assert f.chain["s"].replicas == (("s", 1),)
    f.chain.tell((zero, 3))
    assert f.chain.drain(PATIENCE)


def test_a_replica_comes_into_a_closed_head_shut(flow: MakeFlow) -> None:
    """Nobody gets in by it: neither while it starts nor when it is there."""
    held = Held(0)

    class Slow(Worker):
        gate = Gate()
        first = True

        def on_start(self) -> None:
            if not Slow.first:
                Slow.gate.meet()
            Slow.first = False

        def on_receive(self, message: Any) -> Any:
            return held(message)

    f = flow(stage(Slow, id="s"))
    f.chain.tell(0)
    held.wait(0)
    change = ask(f.chain, "resize", "s", 2)
    Slow.gate.wait_reached()
    f.chain.close()
    Slow.gate.open()
    assert change.result(PATIENCE)
    assert not any(cell.mailbox.is_open for cell in f.chain._line("s").cells)
    with pytest.raises(MailboxClosed):
        f.chain.tell_nowait(1)
    held.let()
    f.wait_ended()
    assert f.results.items == [0]
