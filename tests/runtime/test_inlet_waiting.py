"""Into a stage, when there is no room: who waits for whose, and who is woken."""

from __future__ import annotations

import functools
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate, Recorder
from tests.runtime.forcing import note_sleepers, run, run_as_worker
from tests.runtime.inlets import (
    EVERY,
    SPREAD,
    Stage,
    keyed,
    keys_of,
    make_room,
    message_of,
)
from threadsup._errors import CallingSelfError, MailboxClosed, MailboxFull
from threadsup._exits import Shutdown
from threadsup._runtime.context import StopToken, Wakeup
from threadsup._runtime.mailbox import Mailbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runtime.forcing import Running


def waits(monkeypatch: pytest.MonkeyPatch, call: Callable[..., Any], *args: Any) -> Running[Any]:
    """Run it in a thread, and return when that is about to sleep."""
    asleep: Recorder[threading.Thread] = Recorder()
    note_sleepers(monkeypatch, lambda _: asleep(threading.current_thread()))
    running = run(call, *args)
    asleep.wait_until(lambda threads: any(map(running.is_, threads)), "sleeper")
    return running


# -- waiting ------------------------------------------------------------------------------


@pytest.mark.parametrize("routing", SPREAD)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_sender_that_waits_is_woken_by_any_replica(
    monkeypatch: pytest.MonkeyPatch, routing: str, which: int
) -> None:
    """Room is room, wherever it is."""
    stage = Stage(routing, 3)
    stage.fill()
    sender = waits(monkeypatch, stage.inlet.put, "item")
    make_room(stage.boxes[which])
    sender.result()
    assert stage.hold()[which] == ["item"]
    assert not any(box.senders for box in stage.boxes)


def test_a_sender_to_a_partition_is_woken_by_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room elsewhere is not for it."""
    stage = Stage("partition", 3)
    stage.fill()
    own = keyed(stage)[1]
    sender = waits(monkeypatch, stage.inlet.put, own)
    make_room(stage.boxes[0])
    make_room(stage.boxes[2])
    assert not sender.over
    make_room(stage.boxes[1])
    sender.result()
    assert stage.hold() == [[], [own], []]


def test_a_broadcaster_is_woken_when_the_last_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Woken for room in one, it waits for the other ones."""
    stage = Stage("broadcast", 3)
    stage.fill()
    asleep = note_sleepers(monkeypatch)
    sender = run(stage.inlet.put, "item")
    for number, box in enumerate(stage.boxes, 1):
        asleep.wait_for(number)
        make_room(box)
    sender.result()
    assert stage.hold() == [["item"]] * 3


@pytest.mark.parametrize("routing", EVERY)
def test_a_sender_waits_so_long_and_no_longer(routing: str) -> None:
    """Then it is told that there was no room, and is in nobody's line."""
    stage = Stage(routing, 2)
    stage.fill()
    with pytest.raises(MailboxFull, match="'stage'"):
        stage.inlet.put((1, "item"), 0.001)
    assert not any(box.senders for box in stage.boxes)
    assert stage.hold() == [["full"], ["full"]]


@pytest.mark.parametrize("routing", EVERY)
def test_a_sender_that_waits_is_refused_when_all_are_shut(
    monkeypatch: pytest.MonkeyPatch, routing: str
) -> None:
    """It hears why (F44)."""
    stage = Stage(routing, 2)
    stage.fill()
    sender = waits(monkeypatch, stage.inlet.put, (1, "item"))
    for box in stage.boxes:
        box.shut("it is stopping")
    with pytest.raises(MailboxClosed, match="it is stopping"):
        sender.result()


@pytest.mark.parametrize("routing", SPREAD)
@pytest.mark.parametrize("inner", [False, True])
def test_one_that_is_shut_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, routing: str, inner: bool
) -> None:
    """It has room that nobody may use: who waits sleeps, and is woken when it opens."""
    stage = Stage(routing, 2)
    stage.boxes[0].shut("held")
    stage.boxes[1].adopt(["full"])
    if inner:
        wait = partial(stage.inlet.wait_for_room, give_way=True)
        waiting = waits(monkeypatch, wait, "item")
    else:
        waiting = waits(monkeypatch, stage.inlet.put, "item")
    stage.boxes[0].open()
    assert waiting.result() is (True if inner else None)
    assert stage.hold() == ([[], ["full"]] if inner else [["item"], ["full"]])


def test_a_broadcaster_sleeps_while_one_that_is_held_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is to get the message, too, and is full."""
    stage = Stage("broadcast", 2)
    stage.boxes[0].adopt(["full"])
    stage.boxes[0].shut("held")
    sender = waits(monkeypatch, stage.inlet.put, "item")
    stage.boxes[0].open()
    make_room(stage.boxes[0])
    sender.result()
    assert stage.hold() == [["item"], ["item"]]


@pytest.mark.parametrize("routing", EVERY)
def test_a_stage_before_waits_while_all_are_shut_and_full(
    monkeypatch: pytest.MonkeyPatch, routing: str
) -> None:
    """Until there is room, or they are closed and the result is undelivered."""
    stage = Stage(routing, 2)
    for box in stage.boxes:
        box.adopt(["full"])
        box.shut("held")
    item = keyed(stage)[0] if routing == "partition" else "item"
    wait = partial(stage.inlet.wait_for_room, give_way=True)
    waiting = waits(monkeypatch, wait, item)
    for box in stage.boxes:
        box.close("over")
    assert waiting.result()
    assert stage.inlet.hand_on(item)
    assert stage.lost[0] == (item, "over")


@pytest.mark.parametrize("routing", EVERY)
def test_a_worker_that_is_asked_to_stop_leaves_the_wait(
    monkeypatch: pytest.MonkeyPatch, routing: str
) -> None:
    """With `give_way` it says so; what it has it keeps."""
    stage = Stage(routing, 2)
    stage.fill()
    token = StopToken(task=False)
    asleep = note_sleepers(monkeypatch)
    wait = partial(stage.inlet.wait_for_room, give_way=True)
    worker = run_as_worker(token, wait, (1, "item"))
    asleep.wait_for(1)
    token.ask(Shutdown(), float("inf"))
    assert worker.result() is False
    assert not any(box.senders for box in stage.boxes)


@pytest.mark.parametrize("routing", EVERY)
def test_a_replica_does_not_wait_for_its_own_stage(routing: str) -> None:
    """It would wait for itself, or for one that waits for it; a nowait is refused as ever."""
    stage = Stage(routing, 2)
    stage.fill()
    for home in stage.boxes:
        worker = run_as_worker(StopToken(task=False), stage.inlet.put, (1, "item"), home=home)
        with pytest.raises(CallingSelfError, match="own stage"):
            worker.result()
    with pytest.raises(MailboxFull):
        stage.inlet.put_nowait((1, "item"))


# -- no wake-up is lost -------------------------------------------------------------------


class Sleepers:
    """Senders that are held right after they have been woken, until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asleep: Recorder[threading.Thread] = Recorder()
        self.woken: Recorder[threading.Thread] = Recorder()
        self.gates: dict[threading.Thread, Gate] = {}
        sleep_until = Wakeup.sleep_until

        @functools.wraps(sleep_until)
        def held(wakeup: Wakeup, end: float) -> bool:
            me = threading.current_thread()
            self.asleep(me)
            poked = sleep_until(wakeup, end)
            self.woken(me)
            if me in self.gates:
                self.gates[me].meet()
            return poked

        monkeypatch.setattr(Wakeup, "sleep_until", held)

    def begin(self, call: Callable[..., Any], *args: Any) -> Running[Any]:
        """Run it until it sleeps; it will be held when it is woken."""
        running = run(call, *args)
        (thread,) = {
            each
            for each in self.asleep.wait_until(lambda told: any(map(running.is_, told)))
            if running.is_(each)
        }
        self.gates[thread] = Gate("woken")
        return running

    def wait_woken(self, running: Running[Any]) -> None:
        self.woken.wait_until(lambda told: any(map(running.is_, told)), "wake-up")

    def let_go(self, running: Running[Any]) -> None:
        (gate,) = (gate for thread, gate in self.gates.items() if running.is_(thread))
        gate.open()


@pytest.mark.parametrize("routing", SPREAD)
def test_a_sender_woken_by_two_passes_one_on(monkeypatch: pytest.MonkeyPatch, routing: str) -> None:
    """It stands in both lines and needs one place; the other is the next one's."""
    stage = Stage(routing, 2)
    stage.fill()
    sleepers = Sleepers(monkeypatch)
    first = sleepers.begin(stage.inlet.put, 1)
    second = sleepers.begin(stage.inlet.put, 2)
    make_room(stage.boxes[0])
    sleepers.wait_woken(first)
    make_room(stage.boxes[1])  # takes the first one out of this line as well
    sleepers.let_go(first)
    first.result()
    sleepers.let_go(second)
    second.result()
    assert sorted(stage.hold()) == [[1], [2]]


def test_a_sender_whose_time_is_up_passes_its_wake_up_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or the room is taken by nobody while others sleep."""
    stage = Stage("round_robin", 2)
    stage.fill()
    sleepers = Sleepers(monkeypatch)
    token = StopToken(task=False)
    wait = partial(stage.inlet.wait_for_room, give_way=True)

    def leave(raw: Any) -> bool:
        try:
            return wait(raw)
        finally:
            stage.inlet.pass_on()

    asked = run_as_worker(token, leave, "never put")
    sleepers.asleep.wait_for(1)
    second = sleepers.begin(stage.inlet.put, 2)
    token.ask(Shutdown(), float("inf"))
    make_room(stage.boxes[1])  # meant for the one that leaves
    asked.result()
    sleepers.let_go(second)
    second.result()
    assert stage.hold() == [["full"], [2]]


def test_a_sender_that_finds_the_room_gone_waits_in_all_lines_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Woken at one, it is beaten to it; then any other one wakes it."""
    stage = Stage("round_robin", 2)
    stage.fill()
    sleepers = Sleepers(monkeypatch)
    sender = sleepers.begin(stage.inlet.put, "late")
    make_room(stage.boxes[0])
    sleepers.wait_woken(sender)
    stage.inlet.put_nowait("fast")
    sleepers.let_go(sender)
    sleepers.asleep.wait_until(lambda told: sum(map(sender.is_, told)) == 2, "second sleep")
    make_room(stage.boxes[1])
    sender.result()
    assert stage.hold() == [["fast"], ["late"]]


def test_room_that_is_made_while_a_sender_registers_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stands in every line before it looks."""
    stage = Stage("round_robin", 2)
    stage.fill()
    admits = Mailbox.admits
    looked: list[Mailbox] = []

    def look(box: Mailbox, *, inner: bool = False) -> bool:
        if not looked:
            looked.append(box)
            assert all(each.senders for each in stage.boxes)
            make_room(stage.boxes[1])
        return admits(box, inner=inner)

    monkeypatch.setattr(Mailbox, "admits", look)
    stage.inlet.put("item", 5)
    assert looked
    assert stage.hold() == [["full"], ["item"]]


# -- other replicas -----------------------------------------------------------------------


@pytest.mark.parametrize("routing", SPREAD)
def test_replicas_that_change_in_the_middle_of_an_offer(routing: str) -> None:
    """The one that was picked is closed: another is picked, of those that are there now."""
    stage = Stage(routing, 2)
    old, (new,) = stage.boxes, (stage.box(),)
    inherited: list[Any] = []

    def change() -> None:
        stage.picked = lambda: None
        stage.inlet.link((new,), (new,))
        for box in old:
            box.retire("removed", inherited.extend)

    stage.picked = change
    assert stage.inlet.offer("item")
    assert new.take_out() == ["item"]
    assert inherited == []


def test_what_is_put_as_its_replica_is_closed_is_the_heirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The put and the closing meet: it is taken over, and not put again."""
    stage = Stage("round_robin", 2, None)
    inherited: list[Any] = []
    admit = Mailbox.admit

    def meet(box: Mailbox, raw: Any) -> bool:
        monkeypatch.setattr(Mailbox, "admit", admit)
        push = box._push

        def put(message: Any) -> None:
            push(message)
            box.retire("removed", inherited.extend)

        box._push = put
        return box.admit(raw)

    monkeypatch.setattr(Mailbox, "admit", meet)
    assert stage.inlet.offer("item")
    assert inherited == ["item"]
    assert stage.hold() == [[], []]


@pytest.mark.parametrize("routing", EVERY)
@pytest.mark.parametrize("before", [1, 2])
def test_a_sender_that_waits_sees_a_replica_that_is_added(
    monkeypatch: pytest.MonkeyPatch, routing: str, before: int
) -> None:
    """It looks again among those that are there now."""
    stage = Stage(routing, before)
    stage.fill()
    item = (1, "item")
    sender = waits(monkeypatch, stage.inlet.put, item)
    stage.inlet.close_gate()
    stage.boxes = (stage.box(), *stage.boxes, stage.box())
    own = stage.boxes[keys_of(stage, item)]
    stage.inlet.link(stage.boxes, stage.boxes)
    if routing in {"partition", "broadcast"}:
        for box in stage.boxes:
            box.take_out()
    stage.inlet.open_gate()
    sender.result()
    found = [box for box in stage.boxes if item in map(message_of, box.take_out())]
    if routing == "broadcast":
        assert found == list(stage.boxes)
    else:
        assert found == [own] if routing == "partition" else found[0] in stage.boxes


def test_a_sender_that_waited_at_the_only_replica_keeps_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sent elsewhere, where there is no room either, it gives up in time."""
    stage = Stage("round_robin", 1)
    stage.fill()
    sender = waits(monkeypatch, stage.inlet.put, "item", 0.05)
    other = stage.box()
    other.adopt(["full"])
    stage.inlet.link((*stage.boxes, other), (*stage.boxes, other))
    with pytest.raises(MailboxFull):
        sender.result()


@pytest.mark.parametrize("routing", EVERY)
def test_a_sender_that_waits_is_freed_by_one_that_leaves(
    monkeypatch: pytest.MonkeyPatch, routing: str
) -> None:
    """The slow one is gone: those that are left have room (row 142)."""
    stage = Stage(routing, 3)
    item = keyed(stage)[0]
    stage.fill()
    sender = waits(monkeypatch, stage.inlet.put, item)
    left = stage.boxes[1:]
    stage.inlet.close_gate()
    stage.inlet.link(left, left)
    stage.boxes[0].retire("removed", lambda raws: None)
    for box in left:
        box.take_out()
    stage.inlet.open_gate()
    sender.result()
    found = [box for box in left if item in map(message_of, box.take_out())]
    assert len(found) == (2 if routing == "broadcast" else 1)


def test_a_sender_that_waits_goes_on_with_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several have become one, whose own methods are used from now on."""
    stage = Stage("round_robin", 2)
    stage.fill()
    sender = waits(monkeypatch, stage.inlet.put, "item")
    last = stage.boxes[1]
    last.take_out()
    stage.inlet.link((last,), (last,))
    sender.result()
    assert last.take_out() == ["item"]


# -- the gate of a partition --------------------------------------------------------------


def test_while_the_gate_is_closed_nothing_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Senders and results wait; who cannot wait is told that there is no room."""
    stage = Stage("partition", 2, None)
    item = keyed(stage)[0]
    stage.inlet.close_gate()
    assert not stage.inlet.offer(item)
    assert not stage.inlet.hand_on(item)
    with pytest.raises(MailboxFull):
        stage.inlet.put_nowait(item)
    with pytest.raises(MailboxFull):
        stage.inlet.put(item, 0.001)
    sender = waits(monkeypatch, stage.inlet.put, item)
    assert stage.hold() == [[], []]
    stage.inlet.open_gate()
    sender.result()
    assert stage.hold() == [[item], []]


def test_a_shut_partition_keeps_nothing_while_its_gate_is_closed() -> None:
    """The result waits with who made it: which replica it is for is being decided."""
    stage = Stage("partition", 2, None)
    for box in stage.boxes:
        box.shut("held")
    stage.inlet.close_gate()
    assert not stage.inlet.hand_on(keyed(stage)[0])


def test_a_replica_does_not_wait_at_its_own_gate() -> None:
    """The gate opens when it has put down what it has."""
    stage = Stage("partition", 2)
    stage.inlet.close_gate()
    token = StopToken(task=False)
    item = keyed(stage)[0]
    worker = run_as_worker(token, stage.inlet.put, item, home=stage.boxes[1])
    with pytest.raises(CallingSelfError):
        worker.result()


def test_what_comes_back_at_a_closed_gate_gets_in_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was queued, then what came meanwhile, then those who wait: the order by key."""
    stage = Stage("partition", 2, None)
    item = keyed(stage)[0]
    items = [(item[0], number) for number in range(6)]
    stage.inlet.close_gate()
    sender = waits(monkeypatch, stage.inlet.put, items[5])
    stage.inlet.inherit(items[2:4])
    stage.inlet.adopt(items[4:5])
    assert stage.hold() == [[], []]
    assert stage.inlet.limbo == items[2:5]
    stage.inlet.open_gate(items[:2])
    sender.result()
    assert stage.hold() == [items, []]
    assert stage.inlet.limbo == []


def test_what_comes_back_while_the_gate_opens_is_not_lost() -> None:
    """The key function of what was queued runs, and something is given back meanwhile."""

    def key(item: Any) -> Any:
        if item[1] == "first":
            stage.inlet.inherit([(item[0], "second")])
        return item[0]

    stage = Stage("partition", 2, None, key=key)
    name = keyed(stage)[1][0]
    stage.inlet.close_gate()
    stage.inlet.open_gate([(name, "first")])
    assert stage.hold() == [[], [(name, "first"), (name, "second")]]


def test_a_partition_may_be_sent_to_from_within() -> None:
    """A destructor or a signal handler may send while its thread is putting."""
    stage = Stage("partition", 2, 1, "drop_new")
    item, other = keyed(stage)

    def send(raws: list[Any], why: str) -> None:
        stage.lost += [(raw, why) for raw in raws]
        stage.inlet.put(other)

    stage.boxes[0].on_undelivered = send
    stage.inlet.put(item)
    running = run(stage.inlet.put, item)  # dropped under the lock of the stage
    running.result()
    assert stage.hold() == [[item], [other]]
