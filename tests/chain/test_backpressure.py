"""Bounds: how many items a chain takes in, who waits for room, and who is told."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import note_sleepers, run
from threadsup import Crashed, MailboxClosed, MailboxFull, Stop, current, events, stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chain.conftest import MakeFlow
    from tests.runtime.forcing import Running


def same(item: Any) -> Any:
    return item


class Held:
    """A stage that holds each item until it is let through, and is seen to."""

    def __init__(self, then: Callable[[Any], Any] = same) -> None:
        self.gate = Gate("the held stage")
        self.seen: Recorder[Any] = Recorder()
        self._then = then

    def __call__(self, item: Any) -> Any:
        self.seen(item)
        self.gate.meet()
        return self._then(item)


def waiting(monkeypatch: pytest.MonkeyPatch, send: Callable[..., Any], *args: Any) -> Running[Any]:
    """Send from a thread of its own and return when that is about to sleep for room."""
    asleep: Recorder[threading.Thread] = Recorder()
    note_sleepers(monkeypatch, lambda _: asleep(threading.current_thread()))
    sender = run(send, *args)
    asleep.wait_until(lambda threads: sender._thread in threads, "sender that waits")
    return sender


# -- how many -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capacities", "room"),
    [((2,), 3), ((2, 2), 6), ((2, 2, 2), 9), ((1, 1, 1, 1), 8), ((2, 1, 2), 8)],
)
def test_a_blocked_last_stage_stops_the_first_after_a_bounded_number(
    flow: MakeFlow, capacities: tuple[int, ...], room: int
) -> None:
    """Exactly one in each hand, and as many queued as declared (rows 131, 132; F42).

    At bounds above 2 a stage that waits may be woken only when half is free again.
    """
    held = Held()
    *before, last = [f"s{place}" for place in range(len(capacities))]
    stages = [stage(same, id=name, capacity=n) for name, n in zip(before, capacities, strict=False)]
    f = flow(*stages, stage(held, id=last, capacity=capacities[-1]))
    for number in range(room):
        f.chain.tell(number, timeout=PATIENCE)
    held.gate.wait_reached()
    with pytest.raises(MailboxFull, match="is full"):
        f.chain.tell_nowait("no")
    with pytest.raises(MailboxFull, match=r"no room for a message .* in 0.001 s"):
        f.chain.tell("no", timeout=0.001)
    # At most: what a stage is just handing on is in no hand and in no queue.
    assert f.chain.statistics().items.in_flight <= room
    held.gate.open()
    assert f.chain.drain(10)
    assert f.results.items == list(range(room))
    assert f.items() == {"offered": room, "completed": room}


def test_a_chain_holds_fifty_unless_it_says_otherwise(flow: MakeFlow) -> None:
    """The default bound of a stage, and the one that is declared for all of a chain."""
    options: dict[int, dict[str, Any]] = {50: {}, 3: {"capacity": 3}}
    for capacity, option in options.items():
        held = Held()
        f = flow(stage(held, id="a"), **option)
        for number in range(capacity + 1):
            f.chain.tell(number, timeout=PATIENCE)
            held.gate.wait_reached()  # the first is in hand before the bound is counted
        with pytest.raises(MailboxFull):
            f.chain.tell_nowait("no")
        held.gate.open()


def test_a_sender_goes_on_when_there_is_room(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits at the head is woken when the last stage moves on."""
    held = Held()
    f = flow(stage(same, id="a"), stage(held, id="b"), capacity=1)
    for number in range(4):
        f.chain.tell(number, timeout=PATIENCE)
    sender = waiting(monkeypatch, f.chain.tell, 4)
    assert not sender.over
    held.gate.open()
    sender.result()
    assert f.chain.drain(10)
    assert f.results.items == list(range(5))


def test_the_mark_of_a_drain_takes_no_room(flow: MakeFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender gets in when the item before the mark is taken, not when the mark is."""
    gates = [Gate("the first"), Gate("the second")]
    f = flow(stage(lambda item: gates[item].meet() if item < 2 else None, id="a", capacity=1))
    f.chain.tell(0)
    gates[0].wait_reached()
    f.chain.tell(1)
    drain = waiting(monkeypatch, f.chain.drain)
    sender = waiting(monkeypatch, f.chain.tell, 2)
    gates[0].open()
    gates[1].wait_reached()
    sender.result()
    assert not drain.over
    gates[1].open()
    assert drain.result()


# -- what happens at the bound ------------------------------------------------------------


def test_under_raise_only_senders_are_refused(flow: MakeFlow) -> None:
    """The hand-on from stage to stage waits: an item that was accepted is not lost."""
    held = Held()
    f = flow(stage(same, id="a"), stage(held, id="b"), capacity=2, on_full="raise")
    taken = 0
    with pytest.raises(MailboxFull):  # noqa: PT012 - it raises in the end
        while taken <= 6:
            f.chain.tell(taken)
            taken += 1
    held.gate.open()
    assert f.chain.drain(10)
    assert f.results.items == list(range(taken))
    assert 2 <= taken <= 6
    assert f.items() == {"offered": taken, "completed": taken}


@pytest.mark.parametrize(("on_full", "kept"), [("drop_new", [0, 1, 2]), ("drop_old", [0, 4, 5])])
@pytest.mark.parametrize("inner", [False, True])
def test_a_stage_that_drops_keeps_the_oldest_or_the_newest(
    flow: MakeFlow, on_full: Any, kept: list[int], inner: bool
) -> None:
    """The surplus is exactly what is dropped, from senders and from the stage before (row 136)."""
    held = Held()
    first = [stage(same, id="a")] if inner else []
    f = flow(*first, stage(held, id="b", capacity=2, on_full=on_full))
    futures = [f.chain.submit(0)]
    held.gate.wait_reached()
    futures += [f.chain.submit(number) for number in range(1, 6)]
    dropped = [number for number in range(6) if number not in kept]
    assert [outcome(futures[number]) for number in dropped] == ["exited"] * 3
    held.gate.open()
    assert f.chain.drain(10)
    assert f.results.items == kept
    assert f.items() == {"offered": 6, "completed": 3, "failed": 3}
    assert f.letters() == [(n, ("chain", "b"), "dropped at the bound") for n in dropped]


def test_a_policy_is_a_stages_or_else_the_chains(flow: MakeFlow) -> None:
    """What a stage says goes before what its chain says."""
    held = Held()
    f = flow(
        stage(held, id="a", on_full="drop_new", capacity=1),
        stage(same, id="b"),
        on_full="raise",
        capacity=2,
    )
    f.chain.tell(0)
    held.gate.wait_reached()
    for number in range(1, 5):
        f.chain.tell(number)  # never refused: what is too much is dropped
    held.gate.open()
    assert f.chain.drain(10)
    assert f.results.items == [0, 1]


def test_room_may_be_asked_for_in_the_middle_without_waiting(flow: MakeFlow) -> None:
    """`tell_nowait(at=)` is refused at once, in the stage's own thread as well."""
    refused: list[BaseException] = []

    def fill(item: Any) -> Any:
        chain = current().chain  # type: ignore[union-attr]
        try:
            while True:
                chain.tell_nowait("more", at="b")
        except MailboxFull as error:
            refused.append(error)
        return item

    f = flow(stage(same, id="a"), stage(fill, id="b", capacity=1))
    assert f.chain.submit("first").result(5) == "first"
    assert len(refused) >= 1
    f.sup.stop()


# -- a sender that waits while the chain ends ---------------------------------------------


def test_a_sender_that_waits_is_refused_when_the_chain_is_closed(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the chain is finished, what waits outside is not let in (row 159)."""
    held = Held()
    f = flow(stage(held, id="a"), capacity=1)
    f.chain.tell(0)
    held.gate.wait_reached()
    f.chain.tell(1)
    sender = waiting(monkeypatch, f.chain.tell, 2)
    f.chain.close()
    with pytest.raises(MailboxClosed, match="the chain is closed"):
        sender.result()
    held.gate.open()
    f.wait_ended()
    assert f.results.items == [0, 1]
    assert f.items() == {"offered": 2, "completed": 2}


def test_a_sender_that_waits_is_refused_when_the_chain_is_stopped(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle as soon as that stage is asked to stop, at the head when it has (F44)."""
    held = Held()
    f = flow(stage(same, id="a"), stage(held, id="b"), capacity=1)
    for number in range(4):
        f.chain.tell(number, timeout=PATIENCE)
    first = waiting(monkeypatch, f.chain.tell, 4)
    second = waiting(monkeypatch, lambda: f.chain.tell(5, at="b"))
    f.sup.request_stop()
    with pytest.raises(MailboxClosed, match="is stopping"):
        second.result()
    held.gate.open()
    offered = 5
    try:
        first.result()  # let in by the head when it moved on for the last time
    except MailboxClosed:
        offered = 4
    f.sup.stop()
    items = f.items()
    assert items["offered"] == offered
    assert items.get("completed", 0) + items.get("failed", 0) == offered


def test_a_sender_that_waits_is_refused_when_the_chain_gives_up(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mailbox is closed with the scope, and whoever waits hears why (F44)."""
    held = Held(lambda item: 1 / 0)
    f = flow(stage(held, id="a"), capacity=1, tree={"max_restarts": 0})
    future = f.chain.submit(0)
    held.gate.wait_reached()
    queued = f.chain.submit(1)
    sender = waiting(monkeypatch, f.chain.tell, 2)
    held.gate.open()
    with pytest.raises(MailboxClosed, match="more restarts were needed than are allowed"):
        sender.result()
    assert outcome(future).startswith("ZeroDivisionError")
    assert outcome(queued) == "exited"
    f.events.wait_until(lambda told: any(isinstance(e, events.GaveUp) for e in told))
    assert f.items() == {"offered": 2, "failed": 2}


def test_a_sender_that_waits_is_refused_when_a_stage_has_ended(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the stream by `Stop` is an end for those outside, too."""
    held = Held(lambda _: Stop())
    f = flow(stage(same, id="a"), stage(held, id="b"), capacity=1)
    for number in range(4):
        f.chain.tell(number, timeout=PATIENCE)
    sender = waiting(monkeypatch, lambda: f.chain.tell(4, at="b"))
    held.gate.open()
    with pytest.raises(MailboxClosed):
        sender.result()
    f.wait_ended()
    assert f.items() == {"offered": 4, "dropped": 1, "failed": 3}


def test_a_sender_that_waits_outlives_a_crash(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mailbox outlives the incarnation; the next one makes room (F44)."""

    def crash_first(item: Any) -> Any:
        if item == 0:
            raise ValueError("first")
        return item

    held = Held(crash_first)
    f = flow(stage(held, id="a"), capacity=1)
    f.chain.tell(0)
    held.gate.wait_reached()
    f.chain.tell(1)
    sender = waiting(monkeypatch, f.chain.tell, 2)
    held.gate.open()
    sender.result()
    assert f.chain.drain(10)
    assert f.results.items == [1, 2]
    assert [type(reason) for reason in f.reasons("a")] == [Crashed]
