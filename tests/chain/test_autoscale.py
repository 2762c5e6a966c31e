"""Stages that scale themselves: when they are looked at, and what becomes of their items.

The scaler's clock is the test's, a million seconds ahead of the loop's: no timer of its
own ever comes due, and a stage is looked at when the test says so.
"""

from __future__ import annotations

import sys
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, ManualClock, Recorder
from tests.runtime.forcing import run
from threadsup import (
    Autoscale,
    Future,
    MailboxClosed,
    Rate,
    SpecError,
    Supervisor,
    Worker,
    current,
    events,
    load,
    stage,
)
from threadsup._chain import scaling
from threadsup._policy.protocol import Deadline
from threadsup._policy.routing import stable_hash
from threadsup._runtime.clock import monotonic
from threadsup._runtime.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow
    from tests.conftest import MakeSupervisor
    from tests.runtime.forcing import Running
    from threadsup import StageSpec

RULES = Autoscale(1, 4, grow_after=1.0, shrink_after=2.0, cooldown=1.0, interval=0.5)


KEYS = [next(key for key in count() if stable_hash(key) % 3 == place) for place in range(3)]
"""Of three replicas each has one."""


def same(item: Any) -> Any:
    return item


def number_of_replica() -> int:
    mine: Any = current()
    return int(mine.id[1])


class Held:
    """A stage that keeps each item until it is let through."""

    def __init__(self, held: Callable[[Any], bool] = lambda _: True) -> None:
        self.gate = Gate("the held stage")
        self.seen: Recorder[Any] = Recorder()
        self._held = held

    def __call__(self, item: Any) -> Any:
        self.seen(item)
        if self._held(item):
            self.gate.meet()
        return item


class Watched:
    """The stage `s` of a chain, whose scaler is under test."""

    def __init__(self, clock: ManualClock, flow: Flow) -> None:
        self.clock = clock
        self.flow = flow
        self.chain: Any = flow.chain
        self.scope: Any = self.chain.scope

    @property
    def line(self) -> Any:
        return self.chain._line("s")

    @property
    def scaler(self) -> Any:
        return self.line.scaler

    @property
    def size(self) -> int:
        return len(self.chain["s"])

    def within(self, call: Callable[[], Any]) -> Any:
        """Have something done in the supervisor's thread, after what it has heard of."""
        answer: Future[Any] = Future()
        services = self.scope.services
        services.request(lambda _: services.settle(answer, value=call()), None, answer)
        return answer.result(PATIENCE)

    @property
    def timed(self) -> float | None:
        """In how many seconds the stage is to be looked at, if it is."""

        def due() -> float | None:
            timers = self.scope.services.loop.timers
            serial = timers._serial_of.get((id(self.scaler), None))
            return next((at for at, each in timers._heap if each == serial), None)

        at = self.within(due)
        return None if at is None else round(at - self.clock.now, 6)

    @property
    def rests(self) -> bool:
        """Whether nobody looks at the stage, and a long queue would be noticed."""
        return self.timed is None and self.line.inlet.alarm is not None

    @property
    def sleeps(self) -> bool:
        """Whether nobody looks at the stage, whatever its queue."""
        return self.timed is None and self.line.inlet.alarm is None

    def look(self, times: int = 1) -> None:
        """Let the time pass until the stage is looked at, so many times."""
        for _ in range(times):
            seconds = self.timed
            assert seconds is not None, "nobody would look"
            self.clock.advance(seconds)
            self.within(self._due)

    def _due(self) -> None:
        self.scope.services.set_timer(self.scaler, None, 0, None)
        self.scaler.take(Deadline(None, 0))

    def changes(self, count: int) -> list[tuple[int, int, str]]:
        """Wait for so many changes of the number of replicas; return all until then."""
        made = _made(self.flow.events.wait_until(lambda told: len(_made(told)) >= count, "changes"))
        assert all(event.path == ("chain", "s") for event in made)
        return [(event.before, event.after, event.why) for event in made]

    def look_until_changed(self, count: int) -> None:
        """Let the time pass until there have been so many changes, or one is under way."""
        history = self.scope.services.history
        for _ in range(20):
            if self.timed is not None and len(_made(history.list())) < count:
                self.look()
        self.changes(count)

    def fill(self, items: int, first: int = 0) -> None:
        """Tell so many items; there is room for them."""
        for item in range(first, first + items):
            self.chain.tell(item, timeout=PATIENCE)

    def grow(self, replicas: int) -> None:
        """Have so many replicas, without a look."""
        before = len(self.changes(0))
        self.within(lambda: self.scaler._change(replicas, "told to"))
        self.changes(before + 1)
        assert self.size == replicas


def _made(told: Iterable[Any]) -> list[events.Scaled]:
    return [event for event in told if isinstance(event, events.Scaled)]


class Watch:
    """Makes chains whose stage `s` scales itself by the test's clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, flow: MakeFlow) -> None:
        self._clock = ManualClock(monotonic() + 1e6)
        self._flow = flow
        monkeypatch.setattr(scaling, "monotonic", self._clock)
        monkeypatch.setattr(scaling, "gil_enabled", lambda: False)

    def __call__(self, *stages: StageSpec, **options: Any) -> Watched:
        return Watched(self._clock, self._flow(*stages, **options))


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch, flow: MakeFlow) -> Watch:
    return Watch(monkeypatch, flow)


def scaled(target: Any, rules: Autoscale = RULES, **options: Any) -> StageSpec:
    return stage(target, id="s", workers=rules, **{"capacity": 4, **options})


def has_parted(flow: Flow, *replicas: int) -> None:
    """Wait until these replicas of the stage are gone for good."""

    def over(told: list[Any]) -> bool:
        ends = {event.path[2] for event in told if isinstance(event, events.WorkerEnded)}
        return ends >= set(replicas)

    flow.events.wait_until(over, "end of the replicas")


# -- growing --------------------------------------------------------------------------


def test_a_stage_grows_under_a_queue_that_stays(watch: Watch) -> None:
    """After `grow_after` seconds of a long queue there is one more, and it helps at once.

    What was queued before it came is shared with it.
    """
    held = Held()
    w = watch(scaled(held))
    w.fill(4)
    held.gate.wait_reached()
    w.look()
    assert w.size == 1
    w.look()
    assert w.changes(1) == [(1, 2, "queue at 75% for 1.0 s")]
    assert w.chain["s"].replicas == (("s", 0), ("s", 1))
    held.gate.wait_reached(2)  # nothing was told since
    assert w.chain.statistics().stages["s"].pending == 2
    held.gate.open()
    assert w.chain.drain(PATIENCE)
    assert sorted(w.flow.results.items) == [0, 1, 2, 3]
    assert w.flow.items() == {"offered": 4, "completed": 4}


def test_a_stage_grows_to_its_most_and_no_further(watch: Watch) -> None:
    """One change at a time, and none when there are as many as may be."""
    held = Held()
    w = watch(scaled(held))
    for size in (1, 2, 3, 4):
        assert w.size == size
        w.fill(5, 5 * (size - 1))
        held.gate.wait_reached(size)
        if size < 4:
            w.look_until_changed(size)
    w.look(10)
    assert [(before, after) for before, after, _ in w.changes(3)] == [(1, 2), (2, 3), (3, 4)]
    held.gate.open()
    assert w.chain.drain(PATIENCE)
    assert sorted(w.flow.results.items) == list(range(20))


def test_a_queue_that_is_short_again_is_let_be(watch: Watch) -> None:
    """One look that finds it below the mark ends the matter; the next one rests."""
    held = Held(lambda item: item == 0)
    w = watch(scaled(held))
    w.fill(4)
    w.look()
    held.gate.open()
    assert w.chain.drain(PATIENCE)
    w.look()
    assert w.size == 1
    assert w.rests


def test_a_sender_that_finds_no_room_is_noticed(watch: Watch) -> None:
    """Also where the mark could be passed unseen: all but one place is put aside."""
    held = Held()
    w = watch(scaled(held))
    w.fill(1)
    held.gate.wait_reached()
    box = w.line.inlet.boxes[0]
    box.reserve(4)
    assert w.rests
    assert not w.line.inlet.offer("no room")
    assert w.timed == 0.5
    box.reserve(-4)
    held.gate.open()


def test_who_waits_for_its_rate_is_not_at_work(watch: Watch) -> None:
    """A stage that is held to a rate gets no replicas: they would wait with it."""
    w = watch(scaled(same, rate=Rate(1, per=3600)))
    w.fill(5)
    w.flow.results.wait_for(1)
    w.look(8)
    assert w.size == 1
    w.chain.set_rate(None, "s")
    assert w.chain.drain(PATIENCE)


def test_who_waits_for_room_is_not_at_work(watch: Watch) -> None:
    """A stage held up by the next one gets no replicas: they would wait with it."""
    held = Held()
    w = watch(scaled(same), stage(held, id="next", capacity=1))
    w.fill(7)
    held.gate.wait_reached()
    w.look(8)
    assert w.size == 1
    held.gate.open()
    assert w.chain.drain(PATIENCE)


def test_a_closed_chain_grows_and_takes_nothing(watch: Watch) -> None:
    """A replica that comes to a head that was closed is closed, too; it helps to finish."""
    held = Held()
    w = watch(scaled(held))
    w.fill(5)
    held.gate.wait_reached()
    w.chain.close()
    w.look(2)
    assert len(w.changes(1)) == 1
    held.gate.wait_reached(2)
    with pytest.raises(MailboxClosed):
        w.chain.tell("late")
    held.gate.open()
    w.flow.wait_ended()
    assert sorted(w.flow.results.items) == [0, 1, 2, 3, 4]


def test_map_lets_in_as_much_as_the_chain_may_come_to_hold(watch: Watch) -> None:
    """A window for one replica would never let a stage find out that it needs more."""
    held = Held()
    w = watch(scaled(held))
    pulled: Recorder[int] = Recorder()

    def numbers() -> Iterator[int]:
        for number in range(100):
            pulled(number)
            yield number

    results = w.chain.map(numbers())
    w.grow(4)
    stream: Running[list[int]] = run(list, results)
    pulled.wait_for(4 * 4)  # as many as there is room for; more with the first result
    held.gate.open()
    assert stream.result() == list(range(100))


# -- shrinking ------------------------------------------------------------------------


def test_a_stage_shrinks_when_it_has_nothing_to_do(watch: Watch) -> None:
    """One by one, every `shrink_after` seconds, down to its fewest; then nobody looks."""
    w = watch(scaled(same))
    w.grow(3)
    w.look(5)
    assert w.changes(2)[1:] == [(3, 2, "3 replicas idle for 2.0 s")]
    has_parted(w.flow, 2)
    w.look(4)
    assert w.changes(3)[2:] == [(2, 1, "2 replicas idle for 4.0 s")]
    has_parted(w.flow, 1)
    w.look()
    assert w.rests
    assert w.chain["s"].replicas == (("s", 0),)
    w.fill(3)
    assert w.chain.drain(PATIENCE)
    assert w.flow.results.items == [0, 1, 2]


def test_the_one_with_nothing_to_do_leaves(watch: Watch) -> None:
    """Whatever its number: who is at work stays, and is in no hurry."""
    held = Held(lambda item: item == 0)
    w = watch(scaled(held, shutdown=0.0))
    w.grow(2)
    w.grow(3)
    w.line.linked[2].mailbox.put(0)
    held.gate.wait_reached()
    w.grow(1)
    assert w.chain["s"].replicas == (("s", 2),)
    has_parted(w.flow, 0, 1)
    held.gate.open()
    assert w.chain.drain(PATIENCE)
    assert w.flow.items() == {"offered": 1, "completed": 1}


def test_who_leaves_finishes_what_it_has_however_long_that_takes(watch: Watch) -> None:
    """It got an item in the last moment: that is handled, beyond any `shutdown`."""
    held = Held()
    w = watch(scaled(held, shutdown=0.0))
    w.grow(2)
    w.fill(6)
    held.gate.wait_reached(2)
    w.within(lambda: w.scaler._change(1, "told to"))
    assert w.changes(2)[1:] == [(2, 1, "told to")]
    assert w.size == 1
    assert len(w.line.cells) == 2
    held.gate.open()
    assert w.chain.drain(PATIENCE)
    has_parted(w.flow, 1)
    assert sorted(w.flow.results.items) == [0, 1, 2, 3, 4, 5]
    assert w.flow.letters() == []
    assert w.flow.items() == {"offered": 6, "completed": 6}


def test_nobody_waits_for_one_that_leaves(watch: Watch) -> None:
    """While it finishes its item the chain can be changed, and the stage can grow again."""
    held = Held()
    w = watch(scaled(held))
    w.grow(2)
    w.fill(2)
    held.gate.wait_reached(2)
    w.grow(1)
    w.chain.insert_stage(same, id="before", before="s")
    w.grow(3)
    assert {cell.number for cell in w.line.cells} == {0, 1, 2, 3}
    held.gate.open()
    assert w.chain.drain(PATIENCE)
    has_parted(w.flow, 1)
    assert sorted(w.flow.results.items) == [0, 1]


def test_a_drain_sees_what_moved_to_another_replica(watch: Watch) -> None:
    """The mark of a drain that was under way moves with what is before it."""
    held = Held()
    w = watch(scaled(held))
    w.fill(4)
    held.gate.wait_reached()
    through: Recorder[str] = Recorder()
    w.scope.send_through(lambda: through("all"))
    w.grow(3)
    held.gate.wait_reached(3)
    assert through.items == []
    held.gate.open()
    through.wait_for(1)
    assert sorted(w.flow.results.items) == [0, 1, 2, 3]


class Turnstile:
    """A lock that says when somebody is about to take it, and lets nobody else know."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self.comers: Recorder[str] = Recorder()

    def __enter__(self) -> None:
        self.comers(threading.current_thread().name)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.parametrize(
    ("routing", "change"),
    [("round_robin", "grows"), ("partition", "grows"), ("partition", "shrinks")],
)
def test_a_drain_that_begins_while_messages_move_waits_for_them(
    watch: Watch, routing: str, change: str
) -> None:
    """In the moment in which they are in no mailbox, no mark overtakes them."""
    held = Held()
    options: dict[str, Any] = {"key": key_of} if routing == "partition" else {}
    w = watch(scaled(held, routing=routing, capacity=9, **options))
    if change == "shrinks":
        w.grow(2)
    w.chain.pause()
    w.within(lambda: None)
    w.fill(8)
    line = w.line
    line.moving = turnstile = Turnstile(line.moving)
    drains: list[Any] = []
    name = "open_gate" if routing == "partition" else "_spread"
    move = getattr(line.inlet, name)

    def moving(raws: Any) -> None:
        if len(raws) and not drains:
            drains.append(run(w.chain.drain, PATIENCE))
            turnstile.comers.wait_for(2)  # ours, and that of the drain
        move(raws)

    vars(line.inlet)[name] = moving
    if change == "grows":
        w.grow(2)
    else:  # in a hurry: who leaves finishes nothing, and gives what it has
        done: Future[bool] = Future()
        changes = w.scope.changes
        w.within(lambda: changes.begin(changes.resize(line, 1), done))
        assert done.result(PATIENCE)
    w.chain.resume()
    held.gate.wait_reached(w.size)
    held.gate.open()
    assert drains[0].result()
    assert len(w.flow.results.items) == 8


def test_what_is_counted_while_a_replica_is_forgotten_adds_up(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its counts are those of the replica, or of those that were; never both."""
    w = watch(scaled(same))
    w.grow(2)
    w.fill(8)
    assert w.chain.drain(PATIENCE)
    line = w.line
    line.moving = turnstile = Turnstile(line.moving)
    readers: list[Any] = []
    merge = Timings.merge

    def merging(parts: Any) -> Timings:
        if not readers and threading.current_thread().name.endswith("-supervisor"):
            comers = len(turnstile.comers)
            readers.append(run(w.chain.statistics))
            turnstile.comers.wait_for(comers + 1)
        return merge(parts)

    monkeypatch.setattr(Timings, "merge", merging)
    w.grow(1)
    has_parted(w.flow, 1)
    w.within(lambda: None)
    assert readers[0].result().items.offered == 8
    assert readers[0].result().stages["s"].handled == 8


@pytest.mark.parametrize("end", ["stop_child", "remove_child"])
def test_one_that_finishes_its_item_is_given_up_with_its_chain(watch: Watch, end: str) -> None:
    """In no hurry to leave, it has no more time than the others when all are to stop."""
    held = Held()
    w = watch(scaled(held, shutdown=0.0))
    w.grow(2)
    w.fill(2)
    held.gate.wait_reached(2)
    w.grow(1)
    getattr(w.flow.sup, end)("chain")
    zombies = w.flow.sup.statistics().zombies
    held.gate.open()
    assert zombies == 2


# -- nobody looks ---------------------------------------------------------------------


def test_an_idle_tree_has_no_timer_and_is_not_woken(watch: Watch) -> None:
    """No polling: a stage at its fewest is left alone until its queue is at the mark."""
    w = watch(scaled(same), stage(same, id="other", workers=Autoscale(2, 3)))
    assert w.rests
    assert w.within(w.scope.services.loop.timers.next) is None
    for item in range(20):  # one by one: never a queue worth a look
        assert w.chain.submit(item).result(PATIENCE) == item
    assert w.rests
    assert w.within(w.scope.services.loop.timers.next) is None


def test_a_long_queue_is_told_once(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many senders find it, the supervisor is woken once for it."""
    held = Held()
    w = watch(scaled(held, capacity=100))
    told: Recorder[Any] = Recorder()
    post = w.scope.services.post

    def noted(call: Any, argument: Any) -> None:
        if call == w.scaler._alarmed:
            told(call)
        post(call, argument)

    monkeypatch.setattr(w.scope.services, "post", noted)
    w.fill(1)
    held.gate.wait_reached()
    w.fill(49)
    assert len(told) == 0
    w.fill(50)
    assert len(told) == 1
    assert w.timed == 0.5
    held.gate.open()
    assert w.chain.drain(PATIENCE)
    assert len(told) == 1


def test_a_queue_that_grows_while_the_alarm_is_set_is_seen(watch: Watch) -> None:
    """What comes before the alarm is seen by the scaler, what comes after sets it off."""
    w = watch(scaled(same))
    inlet = w.line.inlet
    box = inlet.boxes[0]
    qsize = box.qsize

    def late() -> int:
        if inlet.alarm is None:
            return int(qsize())
        box.qsize = qsize
        return 2  # two have come since the load was looked at, and nobody set it off

    inlet._sound()
    assert w.timed == 0.5
    box.qsize = late
    w.look()
    assert box.qsize is qsize
    assert inlet.alarm is None
    assert w.timed == 0.5
    w.look()
    assert w.rests


def test_an_alarm_for_nothing_costs_one_look(watch: Watch) -> None:
    """A queue that goes up and down at the mark is looked at once per interval."""
    w = watch(scaled(same))
    for _ in range(3):
        w.line.inlet._sound()
        assert w.timed == 0.5
        assert w.line.inlet.alarm is None
        w.line.inlet._sound()  # nobody listens: somebody looks anyway
        w.look()
        assert w.rests


def test_another_bound_moves_the_mark(watch: Watch) -> None:
    """The alarm is for the share of the queue that the rules name, as it is now."""
    w = watch(scaled(same))
    assert w.line.inlet.mark == 2
    w.chain.set_capacity(100, "s")
    assert w.within(lambda: w.line.inlet.mark) == 50
    assert w.rests


# -- when nothing is decided ----------------------------------------------------------


def test_a_paused_chain_is_not_looked_at(watch: Watch) -> None:
    """Its queue is long, and nobody is missing; the time it was held does not count."""
    held = Held()
    w = watch(scaled(held))
    w.fill(1)
    held.gate.wait_reached()
    w.fill(4, 1)
    assert w.timed == 0.5
    w.chain.pause()
    w.look()
    assert w.sleeps
    assert w.size == 1
    w.clock.advance(100.0)
    w.chain.resume()
    assert w.timed == 0.5
    w.look()
    assert w.size == 1
    w.look()
    assert w.changes(1) == [(1, 2, "queue at 100% for 1.0 s")]
    held.gate.open()
    assert w.chain.drain(PATIENCE)


def test_an_idle_chain_that_is_paused_rests_again_after_it(watch: Watch) -> None:
    """Pausing and going on leaves nothing behind."""
    w = watch(scaled(same))
    w.chain.pause()
    assert w.sleeps
    w.chain.resume()
    assert w.rests


def test_a_stage_stopped_by_hand_is_not_looked_at(watch: Watch) -> None:
    """Nobody is there to be helped; when it is started again, it is looked at again."""
    held = Held()
    w = watch(stage(same, id="first"), scaled(held))
    w.grow(2)
    held.gate.open()
    w.chain.stop_child("s")
    for item in range(8):
        w.chain.tell(item, timeout=PATIENCE)
    w.look()
    assert w.sleeps
    w.chain.restart_child("s")
    assert w.timed is not None
    assert w.chain.drain(PATIENCE)
    assert sorted(w.flow.results.items) == list(range(8))


def test_nothing_is_decided_while_a_change_is_under_way(watch: Watch) -> None:
    """A replica that takes its time to start is waited for, however long the queue."""
    starting = Gate("the second replica")

    class Slow(Worker):
        def on_start(self) -> None:
            if number_of_replica():
                starting.meet()

        def on_receive(self, message: Any) -> Any:
            held(message)
            return message

    held = Held()
    w = watch(scaled(Slow))
    w.fill(5)
    held.gate.wait_reached()
    w.look(2)
    starting.wait_reached()
    assert w.sleeps
    w.within(w.scaler.wake)
    assert w.sleeps
    starting.open()
    assert len(w.changes(1)) == 1
    assert w.timed == 0.5
    held.gate.open()
    assert w.chain.drain(PATIENCE)


def test_its_size_is_not_set_by_hand(watch: Watch) -> None:
    """It would not stay."""
    w = watch(scaled(same))
    with pytest.raises(SpecError, match="scales itself"):
        w.chain.resize("s", 3)


# -- a replica that does not start ----------------------------------------------------


class Shy(Worker):
    """Only as many as are welcome start."""

    welcome = 1
    held: Held

    def on_start(self) -> None:
        if number_of_replica() >= self.welcome:
            raise OSError("no more connections")

    def on_receive(self, message: Any) -> Any:
        return self.held(message)


def test_a_replica_that_does_not_start_is_tried_again_later_and_later(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure is told, the stage goes on as it is, and the next attempt waits longer."""
    monkeypatch.setattr(Shy, "held", Held(), raising=False)
    w = watch(scaled(Shy))
    w.fill(5)
    Shy.held.gate.wait_reached()
    w.look(2)
    for attempt, pause in enumerate((1.0, 2.0, 4.0)):
        reasons = w.flow.reasons("s", attempt + 1)
        assert "no more connections" in str(reasons[-1])
        assert w.timed == pause
        assert w.size == 1
        if pause == 4.0:
            monkeypatch.setattr(Shy, "welcome", 2)
        w.look()
        assert w.timed == 0.5  # the queue is to be long anew
        w.look(2)
    assert len(w.changes(1)) == 1
    assert w.timed == 0.5
    w.within(lambda: w.scaler._change(3, "told to"))
    w.flow.reasons("s", 4)
    assert w.timed == 1.0  # those before do not count any more
    assert w.flow.sup.failed() == ()
    Shy.held.gate.open()
    assert w.chain.drain(PATIENCE)
    assert sorted(w.flow.results.items) == [0, 1, 2, 3, 4]


def test_those_that_started_before_it_stay(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two were wanted, one has come: that is what is told."""
    monkeypatch.setattr(Shy, "held", Held(), raising=False)
    monkeypatch.setattr(Shy, "welcome", 2)
    w = watch(scaled(Shy, RULES))
    w.within(lambda: w.scaler._change(3, "told to"))
    assert w.changes(1) == [(1, 2, "told to")]
    assert w.size == 2
    assert w.timed == 1.0
    Shy.held.gate.open()


# -- the end, and the next beginning --------------------------------------------------


@pytest.mark.parametrize("how", ["close", "stop", "remove"])
def test_a_chain_that_ends_is_not_looked_at(watch: Watch, how: str) -> None:
    """Whatever ended it, and though there was a timer."""
    w = watch(scaled(same))
    w.grow(3)
    assert w.timed == 0.5
    scaler, inlet = w.scaler, w.line.inlet
    if how == "close":
        w.chain.close()
    elif how == "stop":
        w.flow.sup.stop_child("chain")
    else:
        w.flow.sup.remove_child("chain")
    w.flow.wait_ended()
    timers = w.scope.services.loop.timers
    assert w.within(lambda: (id(scaler), None) in timers._serial_of) is False
    assert inlet.alarm is None


def test_a_chain_that_gives_up_is_not_looked_at(watch: Watch) -> None:
    """The end of its budget is the end of the timer."""
    held = Held(lambda item: item != "bad")

    def work(item: Any) -> Any:
        if held(item) == "bad":
            raise ValueError(item)
        return item

    w = watch(scaled(work), max_restarts=0)
    w.grow(2)
    w.chain.tell("bad")
    w.flow.wait_ended()
    assert w.within(w.flow.sup.failed) == ("chain",)
    assert w.sleeps


@pytest.mark.parametrize("routing", ["round_robin", "least_loaded", "partition"])
def test_a_chain_that_is_started_again_begins_with_the_fewest(watch: Watch, routing: str) -> None:
    """Escalated, it is a new one with the old items: none is lost, and none passes its like."""
    held, others = Held(), Gate("the items in hand")

    def work(item: Any) -> Any:
        if held(item) == "bad":
            raise ValueError(item)
        others.meet()
        return item

    options: dict[str, Any] = {"key": key_of} if routing == "partition" else {}
    w = watch(scaled(work, routing=routing, capacity=9, **options), max_restarts=0, escalate=True)
    w.grow(3)
    w.chain.tell("bad")
    held.gate.wait_reached()
    w.fill(9)
    held.gate.wait_reached(3)
    held.gate.open()
    w.flow.events.wait_until(lambda told: isinstance(told[-1], events.GaveUp), "giving up")
    w.within(lambda: None)  # all have been asked to stop, and two have an item in hand
    others.open()
    w.flow.results.wait_for(9)
    assert w.within(lambda: len(w.line.cells)) == 1
    assert w.chain["s"].replicas == (("s", 0),)
    assert sorted(w.flow.results.items) == list(range(9))
    if routing == "partition":
        for key in range(3):
            mine = [item for item in w.flow.results.items if item % 3 == key]
            assert mine == sorted(mine)
    assert w.flow.items() == {"offered": 10, "completed": 9, "failed": 1}


def key_of(item: Any) -> int:
    return KEYS[0 if item == "bad" else item % 3]


def test_by_hand_it_begins_with_the_fewest_as_well(watch: Watch) -> None:
    """What was queued when it was stopped is handled by those there are then."""
    w = watch(scaled(same))
    w.grow(3)
    w.chain.pause()
    w.within(lambda: None)
    w.fill(8)
    w.flow.sup.stop_child("chain")
    assert w.sleeps
    w.chain.resume()
    w.flow.sup.restart_child("chain")
    assert w.chain["s"].replicas == (("s", 0),)
    assert len(w.line.cells) == 1
    w.flow.results.wait_for(8)
    assert sorted(w.flow.results.items) == list(range(8))
    assert w.flow.items() == {"offered": 8, "completed": 8}


def test_a_stage_that_comes_later_scales_itself_too(watch: Watch) -> None:
    """Inserted it rests at once; removed it is not looked at any more."""
    held = Held()
    w = watch(stage(same, id="first"))
    w.chain.add_stage(scaled(held))
    assert w.rests
    w.fill(6)
    held.gate.wait_reached()
    w.look(2)
    assert len(w.changes(1)) == 1
    line, scaler = w.line, w.scaler
    held.gate.open()
    w.chain.remove_stage("s")
    timers = w.scope.services.loop.timers
    assert w.within(lambda: (id(scaler), None) in timers._serial_of) is False
    assert line.inlet.alarm is None
    assert w.chain.drain(PATIENCE)


# -- the GIL --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "process", "size"), [(0.9, 0.2, 1), (0.2, 1.0, 1), (0.2, 0.5, 2)]
)
def test_with_a_gil_a_stage_that_computes_does_not_grow(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, share: float, process: float, size: int
) -> None:
    """By the CPU share of its own threads, and by that of the whole process."""
    held = Held()
    w = watch(scaled(held))
    monkeypatch.setattr(scaling, "gil_enabled", lambda: True)
    monkeypatch.setattr(Timings, "cpu_share", lambda _: share)
    begun = w.clock.now
    monkeypatch.setattr(time, "process_time", lambda: 7.0 + process * (w.clock.now - begun))
    w.fill(5)
    held.gate.wait_reached()
    w.within(w._due)  # in the very moment of the look before
    w.look(2)
    if size == 2:
        w.changes(1)
    assert w.size == size
    held.gate.open()
    assert w.chain.drain(PATIENCE)


def test_without_a_gil_it_is_not_even_asked(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas that compute have cores of their own."""
    held = Held()
    w = watch(scaled(held))
    monkeypatch.setattr(Timings, "cpu_share", lambda _: pytest.fail("it was asked"))
    w.fill(5)
    held.gate.wait_reached()
    w.look(2)
    assert len(w.changes(1)) == 1
    held.gate.open()
    assert w.chain.drain(PATIENCE)


def test_whether_there_is_a_gil_is_asked_of_python() -> None:
    """As it is now: an extension may have switched it on."""
    assert scaling.gil_enabled() is getattr(sys, "_is_gil_enabled", lambda: True)()


# -- order by key ---------------------------------------------------------------------


def test_a_partition_keeps_its_order_while_it_is_scaled(watch: Watch) -> None:
    """Keys move from replica to replica, up and down, and no item passes another."""
    held = Held(lambda item: item == (0, 0))
    w = watch(scaled(held, routing="partition", key=lambda item: item[0], capacity=50))
    told = [(number % 7, number) for number in range(200)]
    for item in told[:40]:
        w.chain.tell(item)
    held.gate.wait_reached()
    w.look(2)
    held.gate.open()  # whoever has an item puts it down before its key moves
    assert len(w.changes(1)) == 1
    for item in told[40:80]:
        w.chain.tell(item, timeout=PATIENCE)
    w.grow(4)
    for item in told[80:120]:
        w.chain.tell(item, timeout=PATIENCE)
    w.grow(2)
    for item in told[120:160]:
        w.chain.tell(item, timeout=PATIENCE)
    w.grow(1)
    for item in told[160:]:
        w.chain.tell(item, timeout=PATIENCE)
    assert w.chain.drain(PATIENCE)
    for key in range(7):
        assert [i for i in w.flow.results.items if i[0] == key] == [i for i in told if i[0] == key]
    assert w.flow.items() == {"offered": 200, "completed": 200}


# -- what can be read, and files ------------------------------------------------------


def test_the_tree_shows_its_bounds_and_who_is_there(watch: Watch) -> None:
    """One replica or several: those that are, and how many there may be."""
    w = watch(scaled(same))
    (chain,) = w.flow.sup.tree().children
    assert chain.children[0].detail == "transient, incarnation 1, autoscale 1..4"
    w.grow(2)
    (chain,) = w.flow.sup.tree().children
    assert chain.children[0].detail == "round_robin, 2 replicas, autoscale 1..4"
    assert [node.id for node in chain.children[0].children] == [("s", 0), ("s", 1)]
    assert set(w.chain.statistics().stages["s"].replicas) == {("s", 0), ("s", 1)}


def test_a_change_is_a_line_in_the_log(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    """How many there were, how many there are, and why."""
    caplog.set_level("INFO", "threadsup")
    w = watch(scaled(same))
    w.grow(2)
    w.flow.sup.stop()
    assert "chain / s: 1 to 2 replicas, told to" in caplog.text


def test_a_file_may_say_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, supervisor: MakeSupervisor
) -> None:
    """`workers = { min, max }`, and the other rules by name."""
    del supervisor
    (tmp_path / "scaledapp.py").write_text("def work(item):\n    return item + 1\n")
    (tmp_path / "app.toml").write_text(
        """
        [supervisor]
        name = "scaled"
        [[chain]]
        id = "chain"
        [[chain.stage]]
        target = "scaledapp:work"
        workers = { min = 2, max = 8, grow_after = 0.25 }
        """
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with Supervisor.from_spec(load(tmp_path / "app.toml", allow=("scaledapp",))) as sup:
        chain = sup.chain("chain")
        assert chain["work"].autoscale == Autoscale(2, 8, grow_after=0.25)
        assert len(chain["work"]) == 2
        assert chain.submit(1).result(PATIENCE) == 2
