"""Several replicas of a stage: who is restarted with whom, and what an end of one means.

A stage is one place; its replicas are equals. What one of them leaves is its siblings';
only the end of the last one is the end of the stage.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.chain.test_routing import Seats, ended, here, in_order, key_of, keys, waiting
from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import run
from threadsup import (
    Abandoned,
    Backoff,
    Crashed,
    Drop,
    MailboxClosed,
    MailboxFull,
    Normal,
    StartError,
    Stop,
    Supervisor,
    Worker,
    current,
    events,
    load,
    stage,
)
from threadsup._chain import changes
from threadsup._chain.hold import Hold
from threadsup._chain.wave import Wave
from threadsup._runtime.inlet import Inlet

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow
    from tests.conftest import MakeSupervisor

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one", "before_for_one")
STAGES = ("a", "b", "c")
SHARED = ("round_robin", "random", "least_loaded", "partition")
"""Routings under which an item is one replica's, so that another one may take it over."""

strategies = pytest.mark.parametrize("strategy", STRATEGIES)
places = pytest.mark.parametrize("place", STAGES)


def same(item: Any) -> Any:
    return item


def crash(item: Any) -> Any:
    if item[1] == "crash":
        raise ValueError("crash")
    return item


def restarted(strategy: str, place: str, number: int) -> list[tuple[str, int]]:
    """Return which replicas, of two at each stage, go with this one, in declared order."""
    at = STAGES.index(place)
    before = [(key, n) for key in STAGES[:at] for n in range(2)]
    after = [(key, n) for key in STAGES[at + 1 :] for n in range(2)]
    own = [(place, number)]
    return {
        "one_for_one": own,
        "one_for_all": [*before, (place, 0), (place, 1), *after],
        "rest_for_one": [*own, *after],
        "before_for_one": [*before, *own],
    }[strategy]


def lives(f: Flow, kind: type, incarnation: int) -> list[Any]:
    """Return which replicas have started or ended so often, in the order they did."""
    told: list[Any] = [e for e in f.events.items if isinstance(e, kind)]
    return [e.path[1:] for e in told if e.incarnation == incarnation]


def wait_started(f: Flow, count: int, incarnation: int = 2) -> None:
    def up(told: list[Any]) -> bool:
        mine = [e for e in told if isinstance(e, events.WorkerStarted)]
        return sum(e.incarnation == incarnation for e in mine) >= count

    f.events.wait_until(up, f"{count} starts")


# -- crashes --------------------------------------------------------------------------------


@strategies
@places
@pytest.mark.parametrize("number", [0, 1])
def test_a_crash_takes_those_along_whom_the_strategy_says(
    flow: MakeFlow, strategy: Any, place: str, number: int
) -> None:
    """Itself, all, those after it or before it: stopped in reverse, started in order (row 155)."""
    f = flow(
        *[
            stage(crash if key == place else same, id=key, workers=2, **key_of("partition"))
            for key in STAGES
        ],
        strategy=strategy,
    )
    wait_started(f, 6, incarnation=1)
    assert lives(f, events.WorkerStarted, 1) == [(key, n) for key in STAGES for n in range(2)]
    future = f.chain.submit((keys(2)[number], "crash"), at=place)
    assert outcome(future) == "ValueError: crash"
    expected = restarted(strategy, place, number)
    wait_started(f, len(expected))
    assert f.chain.submit((1, "after")).result(5) == (1, "after")
    assert lives(f, events.WorkerStarted, 2) == expected
    gone = lives(f, events.WorkerEnded, 1)
    assert gone[0] == (place, number)
    assert sorted(gone) == sorted(expected)
    stages = [key for key, _ in gone[1:]]
    assert stages == sorted(stages, reverse=True)
    incarnations = {key: f.chain[key].incarnation for key in STAGES}
    assert incarnations == {k: 2 + sum(k == key for key, _ in expected) for k in STAGES}


@strategies
@places
@pytest.mark.parametrize("routing", [*SHARED, "broadcast"])
@pytest.mark.parametrize("capacity", [1, 10])
def test_the_reference_loss_with_replicas(
    flow: MakeFlow, strategy: Any, place: str, routing: Any, capacity: int
) -> None:
    """1, 2, crash, 3, 4, 5 loses exactly the item that crashed (row 156)."""
    f = flow(
        *[
            stage(crash if key == place else same, id=key, workers=2, **key_of(routing))
            for key in STAGES
        ],
        strategy=strategy,
        capacity=capacity,
    )
    items: list[Any] = [(1, 1), (2, 2), (0, "crash"), (3, 3), (4, 4), (5, 5)]
    futures = [f.chain.submit(item, timeout=PATIENCE) for item in items]
    told: list[Any] = [outcome(future) for future in futures]
    assert told.pop(2) == "ValueError: crash"
    copies = 8 if routing == "broadcast" else 1
    good = [item for item in items if item[1] != "crash"]
    assert told == ([[item] * copies for item in good] if copies > 1 else good)
    assert f.chain.drain(10)
    assert sorted(f.results.items) == sorted(good * copies)
    assert f.items() == {"offered": 6, "completed": 5, "failed": 1}


@strategies
def test_a_crash_loses_nothing_in_any_other_hand_or_queue(flow: MakeFlow, strategy: Any) -> None:
    """Every replica has an item in hand, and every queue is full (F47, F48)."""
    gates = {key: Gate(key) for key in STAGES}

    def hold(item: Any, key: str) -> Any:
        gates[key].meet()
        return crash(item) if key == "b" else item

    f = flow(
        *[stage(hold, key, id=key, workers=2, capacity=2, **key_of("partition")) for key in STAGES],
        strategy=strategy,
    )
    one, other = keys(2)
    items = [(key, (at, n)) for at in STAGES for key in (one, other) for n in range(2)]
    f.chain.tell((one, "crash"), at="b")
    futures = [f.chain.submit((key, what), at=what[0]) for key, what in items]
    for at in STAGES:
        gates[at].wait_reached(2)
    for at in ("b", "a", "c"):
        gates[at].open()
    assert [outcome(future) for future in futures] == items
    assert f.chain.drain(10)
    for at in STAGES:
        for key in (one, other):
            mine = [what[1] for k, what in f.results.items if k == key and what[0] == at]
            assert mine == [0, 1]
    assert f.items() == {"offered": 13, "completed": 12, "failed": 1}


@strategies
@places
@pytest.mark.parametrize("routing", [*SHARED, "broadcast"])
def test_crash_after_crash_loses_one_item_each(
    flow: MakeFlow, strategy: Any, place: str, routing: Any
) -> None:
    """Every seventh item crashes, with hardly any room anywhere, and every other arrives (F15)."""

    def stumble(item: Any) -> Any:
        if item[0] % 7 == 3:
            raise ValueError(item)
        return item

    f = flow(
        *[
            stage(
                stumble if key == place else same,
                id=key,
                workers=2,
                **(key_of(routing) if key == "b" else {}),
            )
            for key in STAGES
        ],
        strategy=strategy,
        capacity=1,
    )
    items = [(n, n) for n in range(42)]
    for item in items:
        f.chain.tell(item, timeout=PATIENCE)
    assert f.chain.drain(20)
    copies = 2 if routing == "broadcast" else 1
    good = [item for item in items if item[0] % 7 != 3]
    assert sorted(f.results.items) == sorted(good * copies)
    assert f.items() == {"offered": 42, "completed": 36, "failed": 6}


def test_two_replicas_may_crash_at_once(flow: MakeFlow) -> None:
    """Each costs its own item, and each comes back."""
    seats = Seats(2, crash)
    f = flow(stage(seats, id="a", workers=2), capacity=2)
    futures = [f.chain.submit((n, "crash")) for n in range(2)]
    futures += [f.chain.submit((n, n)) for n in range(4)]
    seats.wait_busy(0, 1)
    seats.open()
    assert [outcome(each) for each in futures[:2]] == ["ValueError: crash"] * 2
    assert [outcome(each) for each in futures[2:]] == [(n, n) for n in range(4)]
    assert f.chain.drain(10)
    wait_started(f, 2)
    assert f.chain["a"].incarnation == 4


def test_replicas_share_the_budget_of_their_chain(flow: MakeFlow) -> None:
    """One crash too many, of whichever, and it gives up; every item has an end."""
    f = flow(stage(crash, id="a", workers=2), stage(same, id="b"), tree={"max_restarts": 2})
    futures = [f.chain.submit((n, "crash")) for n in range(8)]
    told = [outcome(future) for future in futures]
    assert told.count("ValueError: crash") >= 3
    assert set(told) <= {"ValueError: crash", "exited"}
    f.events.wait_until(lambda told: any(isinstance(e, events.GaveUp) for e in told))
    f.wait_ended()
    assert f.items() == {"offered": 8, "failed": 8}


# -- starts and stops -----------------------------------------------------------------------


class Rising(Worker):
    """A replica that notes its start and its stop, and may not start."""

    noted: Recorder[tuple[str, Any]]
    fails: Any = None

    def on_start(self) -> None:
        context = current()
        assert context is not None
        if context.id == self.fails:
            raise ValueError("no")
        self.noted(("start", context.id))

    def on_stop(self) -> None:
        context = current()
        assert context is not None
        self.noted(("stop", context.id))


def rising(**attributes: Any) -> type[Rising]:
    return type("Rising", (Rising,), {"noted": Recorder(), **attributes})


def test_replicas_start_one_after_another_and_stages_stop_in_reverse(flow: MakeFlow) -> None:
    """The order of the declaration, and back."""
    kind = rising()
    f = flow(*[stage(kind, id=key, workers=3) for key in STAGES])
    up = [("start", (key, n)) for key in STAGES for n in range(3)]
    assert kind.noted.items == up
    f.sup.stop()
    down = [who for what, who in kind.noted.items if what == "stop"]
    assert len(down) == 9
    assert [key for key, _ in down] == [key for key in reversed(STAGES) for _ in range(3)]
    f.wait_ended()
    ends = [e.path[1] for e in f.events.items if isinstance(e, events.WorkerEnded)]
    assert ends == [key for key in reversed(STAGES) for _ in range(3)]


def test_replicas_of_a_stage_are_stopped_together(flow: MakeFlow) -> None:
    """They wait for each other, and the stage before them for them all."""
    meeting = threading.Barrier(3)

    def meet(self: Rising) -> None:
        meeting.wait(PATIENCE)
        Rising.on_stop(self)

    kind = rising(on_stop=meet)
    f = flow(*[stage(kind, id=key, workers=3) for key in STAGES])
    assert f.sup.stop().clean
    down = [who[0] for what, who in kind.noted.items if what == "stop"]
    assert down == [key for key in reversed(STAGES) for _ in range(3)]


def test_a_replica_that_does_not_start_takes_the_others_down(supervisor: MakeSupervisor) -> None:
    """The first start is all or nothing, in reverse of what was up."""
    kind = rising(fails=("b", 1))
    sup = supervisor(backoff=Backoff.none()).start()
    with pytest.raises(StartError, match=r"\('chain', 'b'\)") as caught:
        sup.add_chain("chain", [stage(kind, id=key, workers=2) for key in STAGES])
    assert isinstance(caught.value.__cause__, ValueError)
    up = [("a", 0), ("a", 1), ("b", 0)]
    assert [who for what, who in kind.noted.items if what == "start"] == up
    down = [who for what, who in kind.noted.items if what == "stop"]
    assert down[0] == ("b", 0)
    assert sorted(down) == up


def test_a_stop_of_the_tree_leaves_no_item_without_an_end(flow: MakeFlow) -> None:
    """What is in a hand is finished, what is queued at any replica undelivered."""
    seats = Seats(2)
    f = flow(stage(same, id="a", workers=2), stage(seats, id="b", workers=2, capacity=2))
    futures = [f.chain.submit(n) for n in range(12)]
    seats.wait_busy(0, 1)
    f.sup.request_stop()
    seats.open()
    f.sup.stop()
    told = [outcome(future) for future in futures]
    assert told.count("exited") == 12 - len(f.results)
    items = f.items()
    assert items["offered"] == 12
    assert items.get("completed", 0) == len(f.results)
    assert items.get("failed", 0) == told.count("exited")


def test_a_drain_before_the_stop_finishes_everything(flow: MakeFlow) -> None:
    """Through every replica of every stage (row 158)."""
    f = flow(*[stage(same, id=key, workers=3, capacity=30) for key in STAGES])
    for number in range(30):
        f.chain.tell(number)
    f.sup.stop(drain=True)
    assert sorted(f.results.items) == list(range(30))


RETRIED = {
    "one_for_one": "b1! b1",
    "one_for_all": "a0 a1 b0 b1! a0 a1 b0 b1 c0 c1",
    "rest_for_one": "b1! b1 c0 c1",
    "before_for_one": "a0 a1 b1! a0 a1 b1",
}
"""Who is started after a crash of b1, whose next start fails (!) once."""


@strategies
def test_a_restart_that_fails_is_tried_again_as_its_strategy_says(
    flow: MakeFlow, strategy: Any
) -> None:
    """From where, and over whom, is the strategy's; nothing that is queued is lost (F11)."""
    starts: Recorder[str] = Recorder()

    class Stumbling(Worker):
        def on_start(self) -> None:
            context = current()
            assert context is not None
            key, number = context.id  # type: ignore[misc, str-unpack]
            fails = (key, number) == ("b", 1) and starts.items[6:].count("b1!") == 0
            fails = fails and len(starts) >= 6
            starts(f"{key}{number}{'!' * fails}")
            if fails:
                raise ValueError("not yet")

        def on_receive(self, message: Any) -> Any:
            return crash(message)

    f = flow(
        *[stage(Stumbling, id=key, workers=2, **key_of("partition")) for key in STAGES],
        strategy=strategy,
    )
    one, other = keys(2)
    items = [(key, n) for n in range(5) for key in (one, other)]
    f.chain.tell((other, "crash"), at="b")
    futures = [f.chain.submit(item, timeout=PATIENCE) for item in items]
    assert [outcome(future) for future in futures] == items
    assert f.chain.drain(10)
    assert " ".join(starts.items[6:]) == RETRIED[strategy]
    assert in_order(f.results.items)
    assert f.items() == {"offered": 11, "completed": 10, "failed": 1}


# -- one that ends for good -----------------------------------------------------------------


def end_by(how: str) -> dict[str, Any]:
    return {"restart": "temporary"} if how == "crash" else {}


def last_item(how: str) -> Any:
    """Return a stage function that ends its replica at an item marked as the end."""

    def treat(item: Any) -> Any:
        if item[1] != "end":
            return item
        if how == "crash":
            raise ValueError("end")
        return Stop("enough")

    return treat


@pytest.mark.parametrize("how", ["stop", "crash"])
@pytest.mark.parametrize("routing", SHARED)
def test_what_a_replica_leaves_is_its_siblings(flow: MakeFlow, how: str, routing: Any) -> None:
    """Its queue goes to them, in the order by key, and the chain goes on."""
    seats = Seats(3, last_item(how))
    f = flow(
        stage(seats, id="b", workers=3, capacity=20, **key_of(routing), **end_by(how)),
        stage(same, id="c"),
    )
    three = keys(3)
    end = f.chain.submit((three[0], "end"))
    (dying,) = [at for at, _ in seats.seen.wait_for(1)]
    items = [(key, n) for n in range(15) for key in three]
    futures = [f.chain.submit(item) for item in items]
    seats.wait_busy(0, 1, 2)
    seats.gates[dying].open()
    assert outcome(end) == ("ValueError: end" if how == "crash" else Stop("enough"))
    ended(f, ("b", dying))
    seats.open()
    assert [outcome(future) for future in futures] == items
    assert seats.of(dying) == [(three[0], "end")]
    assert f.chain.drain(10)
    assert sorted(f.results.items) == sorted(items)
    assert routing != "partition" or in_order(f.results.items)
    assert f.chain["b"].replicas == tuple(("b", n) for n in range(3) if n != dying)
    assert f.chain.submit((three[0], "more")).result(5) == (three[0], "more")
    lost = {"failed": 1} if how == "crash" else {"dropped": 1}
    assert f.chain.drain(10)
    assert f.items() == {"offered": 47, "completed": 46, **lost}


@pytest.mark.parametrize("routing", SHARED)
def test_a_sender_that_waits_at_a_replica_that_ends_goes_to_a_sibling(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, routing: Any
) -> None:
    """It is not refused: the stage goes on (F44)."""
    seats = Seats(2, last_item("stop"))
    f = flow(stage(seats, id="b", workers=2, capacity=1, **key_of(routing)))
    one, other = keys(2)
    f.chain.tell((one, "end"))
    (dying,) = [at for at, _ in seats.seen.wait_for(1)]
    for number in range(3):
        f.chain.tell(((other, one, other)[number], number), timeout=PATIENCE)
    seats.wait_busy(0, 1)
    sender = waiting(monkeypatch, f.chain.tell, (one, 3))
    seats.gates[dying].open()
    ended(f, ("b", dying))
    seats.open()
    sender.result()
    assert f.chain.drain(10)
    assert sorted(number for _, number in f.results.items) == [0, 1, 2, 3]
    assert f.items() == {"offered": 5, "completed": 4, "dropped": 1}


def test_nobody_is_refused_while_a_replica_of_a_partition_ends(flow: MakeFlow) -> None:
    """Its mailbox is closed, and its keys are not yet somebody else's: senders wait."""
    f = flow(
        stage(last_item("stop"), id="b", workers=4, capacity=2, **key_of("partition")),
    )
    four = keys(4)

    def send(sender: int) -> None:
        for number in range(60):
            f.chain.tell((four[number % 4], (sender, number)), timeout=PATIENCE)
            if number == 20 + sender * 10:
                f.chain.tell((four[sender], "end"), timeout=PATIENCE)

    for sending in [run(send, n) for n in range(3)]:
        sending.result()
    assert f.chain.drain(10)
    assert len(f.results) == 180
    assert f.items() == {"offered": 183, "completed": 180, "dropped": 3}
    for sender in range(3):
        mine = [(key, n) for key, (who, n) in f.results.items if who == sender]
        assert in_order(mine)


@pytest.mark.parametrize("routing", SHARED)
def test_a_drain_waits_for_what_a_replica_leaves(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, routing: Any
) -> None:
    """Called in the very moment in which that is with nobody."""
    leaving = Gate("what it leaves")
    inherit = Inlet.inherit

    def slowly(inlet: Inlet, raws: list[Any]) -> None:
        if raws:
            leaving.meet()
        inherit(inlet, raws)

    monkeypatch.setattr(Inlet, "inherit", slowly)
    seats = Seats(2, last_item("stop"))
    f = flow(stage(seats, id="b", workers=2, capacity=20, **key_of(routing)))
    one, other = keys(2)
    f.chain.tell((one, "end"))
    (dying,) = [at for at, _ in seats.seen.wait_for(1)]
    for number in range(10):
        f.chain.tell((one, number))
        f.chain.tell((other, number))
    seats.wait_busy(0, 1)
    seats.gates[dying].open()
    leaving.wait_reached()
    begun: Recorder[Wave] = Recorder()
    begin = Wave.begin

    def noting(wave: Wave) -> None:
        begun(wave)
        begin(wave)

    monkeypatch.setattr(Wave, "begin", noting)
    drained = run(lambda: (f.chain.drain(10), len(f.results)))
    begun.wait_for(1)
    leaving.open()
    seats.open()
    assert drained.result() == (True, 20)


def test_a_copy_goes_with_its_replica(flow: MakeFlow) -> None:
    """The others have theirs: futures hold what they made, and the chain goes on (F52)."""
    seats = Seats(3)

    def leave(item: Any) -> Any:
        result = seats(item)
        return Stop() if here() == 1 and item == "end" else (result, here())

    f = flow(stage(leave, id="b", workers=3, routing="broadcast", capacity=9))
    futures = [f.chain.submit(item) for item in ("end", 1, 2)]
    seats.wait_busy(0, 1, 2)
    seats.gates[1].open()
    ended(f, ("b", 1))
    seats.open()
    expected = [[(item, 0), (item, 2)] for item in ("end", 1, 2)]
    assert [outcome(future) for future in futures] == expected
    assert f.chain.submit(3).result(5) == [(3, 0), (3, 2)]
    assert f.chain.drain(10)
    assert f.items() == {"offered": 4, "completed": 4}


@pytest.mark.parametrize("how", ["stop", "crash"])
@pytest.mark.parametrize("routing", SHARED)
def test_the_last_replica_that_ends_ends_the_chain(flow: MakeFlow, how: str, routing: Any) -> None:
    """What is before it is undelivered, what is behind it is finished (row 134)."""
    before, behind = Seats(2), Seats(1)
    f = flow(
        stage(before, id="a", workers=2, capacity=9, **key_of("partition")),
        stage(last_item(how), id="b", workers=2, **key_of(routing), **end_by(how)),
        stage(behind, id="c"),
    )
    one, other = keys(2)
    past = f.chain.submit((one, "past"), at="b")
    behind.wait_busy(0)
    futures = [f.chain.submit((key, n)) for n in range(2) for key in (one, other)]
    before.wait_busy(0, 1)
    f.chain.tell((one, "end"), at="b")
    (dying,) = [e.path[2] for e in ends_of(f, "b", 1)]
    f.chain.tell(((other, one)[dying], "end"), at="b")
    ends_of(f, "b", 2)
    assert not past.done()
    before.open()
    behind.open()
    assert outcome(past) == (one, "past")
    assert [outcome(future) for future in futures] == ["exited"] * 4
    f.wait_ended()  # its first stage may be open until then
    with pytest.raises(MailboxClosed):
        f.chain.tell((one, "late"))
    lost = {"failed": 4} if how == "stop" else {"failed": 6}
    dropped = {"dropped": 2} if how == "stop" else {}
    assert f.items() == {"offered": 7, "completed": 1, **dropped, **lost}
    assert f.sup.failed() == ()


def test_what_comes_when_all_replicas_are_forgotten_is_counted(flow: MakeFlow) -> None:
    """A put that met the end of the last one is undelivered, and was offered."""
    f = flow(stage(crash, id="b", workers=2, restart="temporary"))
    for number in range(2):
        f.chain.tell((number, "crash"))
    f.wait_ended()
    f.sup.stop()
    assert f.items() == {"offered": 2, "failed": 2}
    f.chain.inlet.lose(["late"], "put in the very moment")
    assert f.items() == {"offered": 3, "failed": 3}


def ends_of(f: Flow, key: str, count: int) -> list[Any]:
    """Wait until so many replicas of a stage have ended for good; return these ends."""

    def mine(told: list[Any]) -> list[Any]:
        return [
            e
            for e in told
            if isinstance(e, events.WorkerEnded) and e.path[:2] == (f.chain.id, key) and e.final
        ]

    return mine(f.events.wait_until(lambda told: len(mine(told)) >= count, "final ends"))


@pytest.mark.parametrize("routing", [*SHARED, "broadcast"])
def test_one_that_has_ended_can_be_brought_back(flow: MakeFlow, routing: Any) -> None:
    """Started by hand it gets its share again."""
    seen: Recorder[tuple[int, Any]] = Recorder()

    def leave(item: Any) -> Any:
        seen((here(), item))
        return Stop() if item[1] == "end" and here() == 1 else item

    f = flow(stage(leave, id="b", workers=2, **key_of(routing)))
    one, other = keys(2)
    while not any(at == 1 for at, _ in seen.items):
        f.chain.submit((other, "end")).result(5)
    ended(f, ("b", 1))
    assert f.chain.submit((other, 1)).result(5) in ((other, 1), [(other, 1)])
    assert len(f.chain["b"]) == 1
    f.chain.restart_child(("b", 1))
    assert f.chain.drain(10)  # behind what is changed because of it
    while (1, (other, 2)) not in seen.items:
        f.chain.submit((other, 2)).result(5)
    assert f.chain["b"].replicas == (("b", 0), ("b", 1))
    assert f.chain.submit((one, 3)).result(5)
    assert f.chain.drain(10)


def test_one_that_has_ended_is_started_with_the_others(flow: MakeFlow) -> None:
    """A restart of all starts what was declared: it takes items again."""
    f = flow(
        stage(lambda item: Stop() if item[1] == "end" else crash(item), id="b", workers=2),
        stage(lambda item: (item, current().id), id="c"),  # type: ignore[union-attr]
        strategy="one_for_all",
    )
    f.chain.tell((0, "end"))
    (dead,) = [e.path[1:] for e in ends_of(f, "b", 1)]
    assert dead not in f.chain["b"].replicas
    f.chain.tell((0, "crash"))
    wait_started(f, 3)
    assert f.chain.submit((0, 1)).result(5)
    assert f.chain["b"].replicas == (("b", 0), ("b", 1))
    assert f.chain.drain(10)
    assert f.items() == {"offered": 3, "completed": 1, "dropped": 1, "failed": 1}


def test_a_tree_that_stops_while_keys_are_shared_out_leaves_nobody_waiting(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One replica has ended, and what it had waits for the other, which never comes (F44)."""
    seats = Seats(2, last_item("stop"))
    f = flow(
        stage(seats, id="b", workers=2, capacity=2, shutdown=0.05, **key_of("partition")),
    )
    one, other = keys(2)
    f.chain.tell((one, "end"))
    futures = [f.chain.submit((key, 1)) for key in (one, other)]
    seats.wait_busy(0, 1)
    seats.gates[0].open()
    ended(f, ("b", 0))
    sender = waiting(monkeypatch, f.chain.tell, (one, 2))
    assert f.chain.statistics().items.in_flight == 2
    report = f.sup.stop(timeout=1)
    assert not report.clean
    with pytest.raises(MailboxClosed):
        sender.result()
    assert [outcome(future) for future in futures] == ["exited", "exited"]
    seats.open()
    assert f.items() == {"offered": 3, "dropped": 1, "failed": 2}


def test_a_chain_that_gives_up_while_keys_are_shared_out_leaves_nobody_waiting(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replica that is waited for crashes, once too often."""
    seats = Seats(2, lambda item: last_item("stop")(crash(item)))
    f = flow(
        stage(seats, id="b", workers=2, capacity=2, **key_of("partition")),
        tree={"max_restarts": 0},
    )
    one, other = keys(2)
    f.chain.tell((one, "end"))
    futures = [f.chain.submit((other, "crash")), f.chain.submit((one, 1))]
    seats.wait_busy(0, 1)
    seats.gates[0].open()
    ended(f, ("b", 0))
    sender = waiting(monkeypatch, f.chain.tell, (one, 2))
    seats.gates[1].open()
    with pytest.raises(MailboxClosed):
        sender.result()
    assert [outcome(future) for future in futures] == ["ValueError: crash", "exited"]
    assert f.items() == {"offered": 3, "dropped": 1, "failed": 2}


def test_a_replica_that_crashes_while_keys_are_shared_out_keeps_the_order(flow: MakeFlow) -> None:
    """Its next incarnation puts down what it has, too, before a key moves."""
    seats = Seats(3, lambda item: last_item("stop")(crash(item)))
    f = flow(stage(seats, id="b", workers=3, capacity=20, **key_of("partition")))
    three = keys(3)
    f.chain.tell((three[0], "end"))
    f.chain.tell((three[1], "crash"))
    for number in range(12):
        for key in three:
            f.chain.tell((key, number))
    seats.wait_busy(0, 1, 2)
    seats.gates[0].open()
    ended(f, ("b", 0))
    seats.gates[1].open()
    ended(f, ("b", 1))
    assert len(f.results) == 0
    seats.open()
    assert f.chain.drain(10)
    assert sorted(f.results.items) == sorted((key, n) for key in three for n in range(12))
    assert in_order(f.results.items)
    assert f.items() == {"offered": 38, "completed": 36, "dropped": 1, "failed": 1}


def held_up(monkeypatch: pytest.MonkeyPatch) -> Recorder[str]:
    """Record which stages are held up, by their ids."""
    noted: Recorder[str] = Recorder()
    hold = Hold

    def noting(scope: Any, line: Any) -> Any:
        made = hold(scope, line)
        noted(line.id)
        return made

    monkeypatch.setattr(changes, "Hold", noting)
    return noted


def test_a_replica_may_end_while_the_stage_before_it_is_changed(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That waits until it can hand on, which it can when the keys behind it are shared out."""
    held = held_up(monkeypatch)
    seats = Seats(2, last_item("stop"))
    f = flow(
        stage(same, id="a", workers=2, capacity=9, **key_of("partition")),
        stage(seats, id="b", workers=2, capacity=1, **key_of("partition")),
    )
    one, other = keys(2)
    items = [(key, n) for n in range(5) for key in (one, other)]
    f.chain.tell((one, "end"), at="b")
    f.chain.tell((other, "first"), at="b")
    seats.wait_busy(0, 1)
    for item in items:
        f.chain.tell(item, timeout=PATIENCE)
    resize = run(f.chain.resize, "a", 3)
    assert held.wait_for(1) == ["a"]
    seats.gates[0].open()
    assert held.wait_for(2) == ["a", "b"]
    assert not resize.over
    seats.open()
    resize.result()
    assert f.chain.drain(10)
    assert sorted(f.results.items[1:]) == sorted(items)
    assert in_order(f.results.items[1:])
    assert f.items() == {"offered": 12, "completed": 11, "dropped": 1}


def test_a_replica_may_be_added_while_keys_are_shared_out(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for, and gets its share when that is done."""
    held = held_up(monkeypatch)
    seats = Seats(4, last_item("stop"))
    f = flow(stage(seats, id="b", workers=2, capacity=60, **key_of("partition")))
    one, other = keys(2)
    items = [(key, n) for n in range(9) for key in range(5)]
    f.chain.tell((one, "end"))
    f.chain.tell((other, -1))
    seats.wait_busy(0, 1)
    for item in items:
        f.chain.tell(item)
    seats.gates[0].open()
    assert held.wait_for(1) == ["b"]
    resize = run(f.chain.resize, "b", 3)
    wait_started(f, 3, incarnation=1)
    seats.open()
    resize.result()
    assert held.items == ["b", "b"]
    assert f.chain.drain(10)
    assert sorted(f.results.items) == sorted([*items, (other, -1)])
    assert in_order(f.results.items)
    assert f.items() == {"offered": 47, "completed": 46, "dropped": 1}


def test_a_replica_that_leaves_while_keys_are_shared_out_is_not_its_successor(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one gets its number, and is not waited for in its place."""
    held = held_up(monkeypatch)
    seats, stopping, leaving = Seats(3, last_item("stop")), Gate("its stop"), [True]

    class Leaving(Worker):
        def on_receive(self, message: Any) -> Any:
            return seats(message)

        def on_stop(self) -> None:
            if here() == 2 and leaving:
                leaving.clear()
                stopping.meet()

    f = flow(stage(Leaving, id="b", workers=3, capacity=60, **key_of("partition")))
    one, other = keys(2)
    shrink = run(f.chain.resize, "b", 2)
    stopping.wait_reached()
    assert held.items == ["b"]
    f.chain.tell((one, "end"))
    f.chain.tell((other, -1))
    seats.wait_busy(0, 1)
    items = [(key, n) for n in range(9) for key in range(5)]
    for item in items:
        f.chain.tell(item)
    seats.gates[0].open()
    held.wait_for(2)
    stopping.open()
    shrink.result()
    grow = run(f.chain.resize, "b", 3)
    wait_started(f, 4, incarnation=1)
    seats.open()
    grow.result()
    assert f.chain.drain(10)
    assert sorted(f.results.items) == sorted([*items, (other, -1)])
    assert in_order(f.results.items)
    assert f.items() == {"offered": 47, "completed": 46, "dropped": 1}


def test_two_replicas_of_a_partition_may_end_at_once(flow: MakeFlow) -> None:
    """The keys are shared out among who is left, once and again."""
    seats = Seats(3, last_item("stop"))
    f = flow(stage(seats, id="b", workers=3, capacity=20, **key_of("partition")))
    three = keys(3)
    for key in three[:2]:
        f.chain.tell((key, "end"))
    for number in range(8):
        for key in three:
            f.chain.tell((key, number))
    seats.wait_busy(0, 1, 2)
    seats.gates[0].open()
    seats.gates[1].open()
    ended(f, ("b", 0))
    ended(f, ("b", 1))
    seats.open()
    assert f.chain.drain(10)
    assert sorted(f.results.items) == sorted((key, n) for key in three for n in range(8))
    assert in_order(f.results.items)
    assert f.items() == {"offered": 26, "completed": 24, "dropped": 2}


@pytest.mark.parametrize("routing", [*SHARED, "broadcast"])
def test_what_a_replica_that_ends_could_not_hand_on_goes_on(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, routing: Any
) -> None:
    """It waited for room behind it; the next stage has it now, all replicas that are to."""
    seats = Seats(2)
    f = flow(
        stage(same, id="a", workers=2, capacity=2),
        stage(seats, id="b", workers=2, capacity=1, **key_of(routing)),
    )
    one, other = keys(2)
    at_last = 2 if routing == "broadcast" else 4
    items = [((one, other)[n % 2], n) for n in range(at_last + 6)]
    # By one sender: several at once may each put one too many.
    futures = [f.chain.submit(item, at="b", timeout=PATIENCE) for item in items[:at_last]]
    seats.wait_busy(0, 1)
    futures += [f.chain.submit(item, timeout=PATIENCE) for item in items[at_last:]]
    with pytest.raises(MailboxFull):
        f.chain.tell((one, "no"), timeout=0.001)
    f.chain.resize("a", 1)
    assert f.chain["a"].replicas == (("a", 0),)
    seats.open()
    told: list[Any] = [outcome(future) for future in futures]
    assert told == ([[item, item] for item in items] if routing == "broadcast" else items)
    assert f.chain.drain(10)
    assert f.items() == {"offered": len(items), "completed": len(items)}


# -- one that is given up on ------------------------------------------------------------------


@pytest.mark.parametrize("routing", [*SHARED, "broadcast"])
def test_a_replica_that_hangs_is_replaced_and_its_siblings_go_on(
    flow: MakeFlow, caplog: pytest.LogCaptureFixture, routing: Any
) -> None:
    """Its item has failed; of a partition the order is void, and it says so (F20, F28)."""
    caplog.set_level(logging.WARNING, "threadsup")
    gate = Gate("the item that hangs")

    def hang(item: Any) -> Any:
        if item[1] == "hang" and (routing != "broadcast" or here() == 0):
            gate.meet()
        return item

    f = flow(stage(hang, id="b", workers=2, time_limit=0.05, **key_of(routing)))
    one, other = keys(2)
    items = [(key, n) for n in range(5) for key in (one, other)]
    future = f.chain.submit((one, "hang"))
    futures = [f.chain.submit(item) for item in items]
    assert outcome(future) == "exited"
    told: list[Any] = [outcome(each) for each in futures]
    assert told == ([[item, item] for item in items] if routing == "broadcast" else items)
    gate.open()
    assert f.chain.drain(10)
    assert f.items() == {"offered": 11, "completed": 10, "failed": 1}
    f.sup.stop()
    f.events.wait_until(lambda told: isinstance(told[-1], events.SupervisorEnded))
    (gone,) = [e for e in f.events.items if isinstance(e, events.WorkerAbandoned)]
    lost = [e for e in f.events.items if isinstance(e, events.OrderLost)]
    lines = [each.getMessage() for each in caplog.records if "order" in each.getMessage()]
    if routing != "partition":
        assert lost == []
        assert lines == []
        return
    assert [e.path for e in lost] == [gone.path] == [("chain", "b", 0)]
    assert lost[0].supervisor == f.sup.name
    assert "abandoned" in lost[0].why
    (line,) = lines
    assert "chain / b / 0 has lost its order by key" in line
    assert caplog.records[-1].levelno == logging.WARNING


def test_a_replica_given_up_on_with_nothing_in_hand_loses_no_order(flow: MakeFlow) -> None:
    """It hangs in its start: no item can be overtaken."""
    gate = Gate("the start that hangs")

    def on_start(_: Worker) -> None:
        context = current()
        assert context is not None
        if context.incarnation == 2:
            gate.meet()

    kind = type("Hanging", (Worker,), {"on_start": on_start, "on_receive": lambda _, m: crash(m)})
    f = flow(stage(kind, id="b", workers=2, start_timeout=0.05, **key_of("partition")))
    one = keys(2)[0]
    assert outcome(f.chain.submit((one, "crash"))) == "ValueError: crash"
    assert f.chain.submit((one, 1)).result(5) == (one, 1)
    gate.open()
    f.sup.stop()
    f.events.wait_until(lambda told: isinstance(told[-1], events.SupervisorEnded))
    kinds = {type(e) for e in f.events.items}
    assert events.WorkerAbandoned in kinds
    assert events.OrderLost not in kinds


# -- what can be read -------------------------------------------------------------------------


def test_statistics_tell_stages_and_replicas_apart(flow: MakeFlow) -> None:
    """A stage is the sum of its replicas; what is queued and in hand is where it is."""
    seats = Seats(2)
    f = flow(stage(same, id="a"), stage(seats, id="b", workers=2, **key_of("partition")))
    one, other = keys(2)
    for number in range(5):
        f.chain.tell((one, number), at="b")
    f.chain.tell((other, 0), at="b")
    seats.wait_busy(0, 1)
    found = f.chain.statistics().stages["b"]
    assert set(found.replicas) == {("b", 0), ("b", 1)}
    assert [found.replicas["b", n].pending for n in range(2)] == [4, 0]
    assert (found.accepted, found.pending) == (6, 4)
    assert f.chain.statistics().items.in_flight == 6
    seats.open()
    assert f.chain.drain(10)
    found = f.chain.statistics().stages["b"]
    assert [found.replicas["b", n].handled for n in range(2)] == [5, 1]
    assert found.handled == f.chain.statistics().handled == 6
    assert all(each.service.count > 0 for each in found.replicas.values())
    assert f.items() == {"offered": 6, "completed": 6}


def test_what_is_in_hand_is_told_for_each_replica(flow: MakeFlow) -> None:
    """The stage names the earliest."""
    seats = Seats(3)
    f = flow(stage(seats, id="b", workers=3, **key_of("partition")))
    for key in keys(3)[:2]:
        f.chain.tell((key, 0))
    seats.wait_busy(0, 1)
    found = f.chain.statistics().stages["b"]
    since = [found.replicas["b", n].in_hand_since for n in range(3)]
    assert since[2] is None
    assert found.in_hand_since == min(since[:2])  # type: ignore[type-var]
    seats.open()
    assert f.chain.drain(10)


def test_a_tree_shows_replicas(flow: MakeFlow) -> None:
    """Where there are several; one alone is its stage."""
    f = flow(
        stage(same, id="a"),
        stage(same, id="b", workers=2, **key_of("partition")),
        strategy="before_for_one",
    )
    lines = str(f.sup.tree()).splitlines()
    assert [line.strip("│├└─ ") for line in lines[1:]] == [
        "chain chain  up  (before_for_one)",
        "stage a  up  (transient, incarnation 1)",
        "stage b  up  (partition, 2 replicas)",
        "replica ('b', 0)  up  (transient, incarnation 1)",
        "replica ('b', 1)  up  (transient, incarnation 1)",
    ]
    assert f.chain["b"].replicas == (("b", 0), ("b", 1))
    assert len(f.chain["b"]) == 2


def test_a_worker_knows_which_replica_it_is(flow: MakeFlow) -> None:
    """By its id, its thread's name and the path of its events."""

    def name(_: Any) -> Any:
        context = current()
        assert context is not None
        return context.id, threading.current_thread().name

    f = flow(stage(name, id="b", workers=2, routing="broadcast"))
    assert f.chain.submit(0).result(5) == [
        (("b", 0), "threadsup-b/0-1"),
        (("b", 1), "threadsup-b/1-1"),
    ]


TOML = """
[supervisor]
name = "from-a-file"

[[chain]]
id = "etl"
strategy = "before_for_one"
on_result = "tests.chain.test_replicas:SAVED"
[[chain.stage]]
id = "parse"
target = "tests.chain.test_replicas:same"
workers = 2
routing = "random"
[[chain.stage]]
id = "enrich"
target = "tests.chain.test_replicas:same"
workers = 3
routing = "partition"
key = "tests.chain.test_routing:first"
capacity = 2
on_full = "wait"
[[chain.stage]]
id = "all"
target = "tests.chain.test_replicas:same"
workers = 2
routing = "broadcast"
"""

SAVED: Recorder[Any] = Recorder()


def test_a_file_says_how_many_workers_a_stage_has(tmp_path: Any) -> None:
    """And by which routing they get items, and in which order by key."""
    path = tmp_path / "tree.toml"
    path.write_text(TOML)
    with Supervisor.from_spec(load(path, allow=("tests",))) as sup:
        chain = sup.chain("etl")
        assert [len(chain[key]) for key in chain] == [2, 3, 2]
        assert [chain[key].routing for key in chain] == ["random", "partition", "broadcast"]
        for number in range(20):
            chain.tell((number % 3, number), timeout=PATIENCE)
        assert chain.drain(10)
        found = chain.statistics()
        assert found.items.completed == 20
        assert [found.stages[key].handled for key in chain] == [20, 20, 40]
    assert len(SAVED) == 40


def test_the_reasons_of_ends_are_those_of_their_replicas(flow: MakeFlow) -> None:
    """One that stopped, one that crashed, one that was given up on; each on its own path."""
    gate, meeting = Gate("hang"), threading.Barrier(4)

    def treat(item: Any) -> Any:
        meeting.wait(PATIENCE)  # all have one in hand: no key moves before that
        if item[1] == "hang":
            gate.meet()
        return last_item("stop")(crash(item)) if item[1] != "drop" else Drop()

    f = flow(
        stage(treat, id="b", workers=4, restart="temporary", time_limit=0.3, **key_of("partition"))
    )
    for key, what in zip(keys(4), ("end", "crash", "hang", "drop"), strict=True):
        f.chain.tell((key, what))
    ends = {e.path[2]: type(e.reason) for e in ends_of(f, "b", 3)}
    assert ends == {0: Normal, 1: Crashed, 2: Abandoned}
    gate.open()
    assert f.chain.drain(10)
    assert f.chain["b"].replicas == (("b", 3),)
    assert f.items() == {"offered": 4, "dropped": 2, "failed": 2}
