"""A clock that goes when the test says so: what it moves, and what it does not."""

from __future__ import annotations

import threading
from math import inf, nan
from typing import TYPE_CHECKING, Any

import pytest

import threadsup
from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import run
from threadsup import (
    Abandoned,
    Autoscale,
    Backoff,
    Breaker,
    BreakerOpen,
    GenServer,
    Pool,
    Rate,
    ReplyTimeout,
    Retry,
    Worker,
    events,
    handler,
    stage,
)
from threadsup._runtime import clock as library
from threadsup.testing import ManualClock, capture_events, crash, hang

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import MakeSupervisor


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    with ManualClock() as held:
        yield held


class Ticking(Worker):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        if message == "heard":
            return self.heard
        if callable(message):
            message(self)
        else:
            self.heard.append(message)
        return None


def heard(ref: threadsup.WorkerRef) -> Any:
    return ref.ask("heard", PATIENCE)


def wait_for_sleeper() -> None:
    """Wait until somebody sleeps by the clock, besides the supervisors."""
    with WATCH.condition:
        assert WATCH.condition.wait_for(lambda: WATCH.sleepers > 0, PATIENCE)


class Sleepers:
    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.sleepers = 0


WATCH = Sleepers()


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Count those who have left word to be woken, so that a test can wait for them."""
    listen, forget = library.listen, library.forget

    def count(by: int) -> None:
        with WATCH.condition:
            WATCH.sleepers += by
            WATCH.condition.notify_all()

    def counted_listen(wake: Callable[[], object]) -> None:
        listen(wake)
        count(1)

    def counted_forget(wake: Callable[[], object]) -> None:
        forget(wake)
        count(-1)

    WATCH.sleepers = 0
    monkeypatch.setattr(library, "listen", counted_listen)
    monkeypatch.setattr(library, "forget", counted_forget)
    yield
    assert WATCH.sleepers == 0


# -- what it moves --------------------------------------------------------------------------


def test_a_message_sent_later_comes_when_the_clock_says(
    clock: ManualClock, supervisor: MakeSupervisor
) -> None:
    """Not a moment before; and it is in the mailbox when `advance` returns."""
    with supervisor() as sup:
        ref = sup.add_worker(Ticking)
        ref.ask(lambda worker: worker.send_after(60.0, "a minute"), PATIENCE)
        clock.advance(59.5)
        assert heard(ref) == []
        assert clock.advance(0.5) == 60.0
        assert heard(ref) == ["a minute"]


def test_each_tick_comes_when_the_clock_goes_by_periods(
    clock: ManualClock, supervisor: MakeSupervisor
) -> None:
    """And one for all that are due when it jumps over several."""
    with supervisor() as sup:
        ref = sup.add_worker(Ticking)
        ref.ask(lambda worker: worker.every(1.0, "tick"), PATIENCE)
        for number in (1, 2, 3):
            clock.advance(1.0)
            assert heard(ref) == ["tick"] * number
        clock.advance(10.0)
        assert heard(ref) == ["tick"] * 4


def test_a_server_is_idle_for_as_long_as_the_clock_says(
    clock: ManualClock, supervisor: MakeSupervisor
) -> None:
    """Its time-out counts from the last message."""

    class Idle(GenServer):
        def init(self) -> None:
            self.timeout = 5.0
            self.idle = 0

        def handle_call(self, request: object) -> int:
            return self.idle

        def handle_timeout(self) -> None:
            self.idle += 1

    with supervisor() as sup:
        ref = sup.add_worker(Idle)
        assert ref.call("?", PATIENCE) == 0
        clock.advance(4.0)
        assert ref.call("?", PATIENCE) == 0
        clock.advance(4.0)
        assert ref.call("?", PATIENCE) == 0
        clock.advance(5.0)
        assert ref.call("?", PATIENCE) == 1


def test_a_restart_waits_for_its_pause(clock: ManualClock, supervisor: MakeSupervisor) -> None:
    """The first is at once, the second after the pause that its event tells."""
    with supervisor(backoff=Backoff(8.0, 1.0, 8.0, jitter=0.0)) as sup, capture_events(sup) as log:
        ref = sup.add_worker(Ticking)
        crash(ref)
        log.wait_for(events.WorkerStarted, count=2)
        crash(ref)
        assert log.wait_for(events.Restarting, count=2).delay == 8.0
        clock.advance(7.9)
        assert not ref.is_alive()
        clock.advance(0.2)
        assert log.wait_for(events.WorkerStarted, count=3).incarnation == 3


def test_a_budget_is_whole_again_after_its_window(
    clock: ManualClock, supervisor: MakeSupervisor
) -> None:
    """Crashes that are far apart never add up."""
    with supervisor(max_restarts=1, max_seconds=5.0, backoff=Backoff.none()) as sup:
        ref = sup.add_worker(Ticking)
        for _ in range(4):
            assert not crash(ref).final
            assert heard(ref) == []
            clock.advance(5.1)
        assert not crash(ref).final
        assert crash(ref).final


def test_a_limit_on_a_message_is_over_when_the_clock_says(
    clock: ManualClock, supervisor: MakeSupervisor
) -> None:
    """A second too early nothing happens."""
    with supervisor() as sup, capture_events(sup) as log:
        ref = sup.add_worker(Ticking, time_limit=60.0)
        with hang(ref):
            clock.advance(59.0)
            assert log.of(events.WorkerAbandoned) == []
            clock.advance(1.0)
            assert str(log.wait_for(events.WorkerEnded).reason) == "abandoned after 60 s in message"


def test_a_stop_gives_up_when_the_clock_says(
    clock: ManualClock, supervisor: MakeSupervisor
) -> None:
    """`shutdown` is a limit of the worker, too."""
    with supervisor() as sup, capture_events(sup) as log:
        ref = sup.add_worker(Ticking, shutdown=60.0)
        with hang(ref):
            stopped = ref.stop(block=False)
            clock.advance(59.0)
            assert not stopped.done()
            clock.advance(1.0)
            assert stopped.result(PATIENCE)
            assert isinstance(log.wait_for(events.WorkerEnded).reason, Abandoned)


def test_a_sleep_ends_when_the_clock_says(
    clock: ManualClock, sleepers: None, supervisor: MakeSupervisor
) -> None:
    """In a worker and outside of one, and not by a part of the time."""
    with supervisor() as sup:
        slept: Recorder[float] = Recorder()

        def nap() -> None:
            threadsup.sleep(60.0)
            slept(clock.now)

        before = WATCH.sleepers
        ref = sup.add_worker(nap, restart="temporary")
        outside = run(nap)
        with WATCH.condition:
            assert WATCH.condition.wait_for(lambda: WATCH.sleepers == before + 2, PATIENCE)
        clock.advance(30.0)
        clock.advance(30.0)
        outside.result()
        ref.wait(PATIENCE)
        assert slept.items == [60.0, 60.0]


def test_a_sleep_is_left_at_a_stop_all_the_same(
    clock: ManualClock, sleepers: None, supervisor: MakeSupervisor
) -> None:
    """The clock need not go for that."""
    with supervisor() as sup:
        gate = Gate()
        gate.open()

        def nap() -> None:
            gate.meet()
            threadsup.sleep(60.0)

        ref = sup.add_worker(nap)
        gate.wait_reached()
        assert ref.stop(timeout=PATIENCE)


def test_a_rate_goes_by_the_clock(clock: ManualClock, sleepers: None) -> None:
    """Who waits for a turn gets it when the clock has come there."""
    turns: Recorder[float] = Recorder()
    rate = Rate(1, per=60.0)
    take = rate(lambda: turns(clock.now))
    take()
    waiting = run(take)
    wait_for_sleeper()
    clock.advance(59.0)
    assert not waiting.over
    clock.advance(1.0)
    waiting.result()
    assert turns.items == [0.0, 60.0]


def test_the_rate_of_a_stage_goes_by_the_clock(
    clock: ManualClock, supervisor: MakeSupervisor
) -> None:
    """Item by item; what waits for its turn is nobody's yet."""
    came: Recorder[int] = Recorder()
    with supervisor() as sup:
        chain = sup.add_chain("c", [stage(int, id="s", rate=Rate(1, per=60.0))], on_result=came)
        for item in range(3):
            chain.tell(item)
        for number in (1, 2, 3):
            assert came.wait_for(number) == list(range(number))
            clock.advance(60.0)
        assert chain.drain(PATIENCE)


def test_a_stage_scales_itself_when_the_clock_says(
    clock: ManualClock, supervisor: MakeSupervisor
) -> None:
    """It is looked at every interval of the clock."""
    gate = Gate("the stage")
    rules = Autoscale(1, 2, grow_after=60.0, cooldown=60.0, interval=30.0, cpu_bound=None)
    with supervisor() as sup, capture_events(sup) as log:
        stages = [stage(lambda _: gate.meet(), id="s", workers=rules, capacity=2)]
        chain = sup.add_chain("c", stages)
        chain.tell(0)
        gate.wait_reached()
        for item in (1, 2):
            chain.tell(item)
        clock.advance(30.0)
        assert log.of(events.Scaled) == []
        # It was looked at when it was full, or when the first item had come.
        clock.advance(30.0)
        clock.advance(30.0)
        event = log.wait_for(events.Scaled)
        assert (event.before, event.after) == (1, 2)
        gate.open()


def test_a_breaker_is_half_open_when_the_clock_says(clock: ManualClock) -> None:
    """Until then it says for how long it is not."""
    breaker = Breaker(1, reset_after=10.0)
    with pytest.raises(ZeroDivisionError):
        breaker.call(lambda: 1 / 0)
    clock.advance(9.0)
    with pytest.raises(BreakerOpen) as error:
        breaker.call(int)
    assert error.value.retry_after == pytest.approx(1.0, abs=1e-4)
    clock.advance(1.0)
    assert breaker.call(int) == 0


def test_attempts_are_made_when_the_clock_says(
    clock: ManualClock, sleepers: None, supervisor: MakeSupervisor
) -> None:
    """By `Retry` itself, in a stage, and in a pool."""
    tried: Recorder[str] = Recorder()
    retry = Retry(2, Backoff(60.0, 1.0, 60.0, jitter=0.0))

    def work(name: str) -> str:
        tried(name)
        if len([each for each in tried.items if each == name]) == 1:
            raise OSError
        return name

    alone = run(retry.call, work, "alone")
    wait_for_sleeper()
    with supervisor() as sup:
        chain = sup.add_chain("c", [stage(work, id="s", on_error=retry)])
        staged = chain.submit("stage")
        chain.submit("stage").result(PATIENCE)  # when it is through the first is put away
        with Pool(1, supervisor=sup, name="pool", retry=retry) as pool:
            pooled = pool.submit(work, "pool")
            pool.submit(int).result(PATIENCE)  # as above
            clock.advance(59.0)
            assert [alone.over, staged.done(), pooled.done()] == [False] * 3
            clock.advance(1.0)
            assert alone.result() == "alone"
            assert staged.result(PATIENCE) == "stage"
            assert pooled.result(PATIENCE) == "pool"


# -- what it does not move -------------------------------------------------------------------


def test_a_caller_waits_by_the_clock_on_the_wall(
    clock: ManualClock, supervisor: MakeSupervisor
) -> None:
    """So that a test that has gone wrong comes to an end."""
    gate = Gate("the handler")
    with supervisor() as sup:
        ref = sup.add_worker(handler(lambda _: gate.meet()))
        with pytest.raises(ReplyTimeout):
            ref.ask("?", 0.01)
        assert ref.wait(0.01) is None
        gate.open()


# -- the clock itself ------------------------------------------------------------------------


def test_it_goes_on_by_itself_after_the_block(supervisor: MakeSupervisor) -> None:
    """What had been set by it comes; who slept by it wakes up."""
    slept: Recorder[str] = Recorder()
    with supervisor() as sup:
        with ManualClock() as clock:
            ref = sup.add_worker(Ticking)
            ref.ask(lambda worker: worker.send_after(1000.01, lambda _: slept("worker")), PATIENCE)
            napping = run(threadsup.sleep, 1000.01)
            clock.advance(1000.0)
        napping.result()
        slept.wait_for(1)


def test_it_is_held_once(clock: ManualClock) -> None:
    """Two would not know of each other."""
    with pytest.raises(RuntimeError, match="one ManualClock at a time"), ManualClock():
        pass
    assert clock.now == 0.0


def test_one_that_is_not_held_does_not_move() -> None:
    """Neither before the block nor after it; to let it go twice does nothing."""
    clock = ManualClock()
    with pytest.raises(RuntimeError, match="with ManualClock"):
        clock.advance(1.0)
    with clock:
        clock.advance(1.0)
    clock.release()
    with pytest.raises(RuntimeError, match="with ManualClock"):
        clock.advance(1.0)


@pytest.mark.parametrize("seconds", [-1, nan, inf, True, "1", None])
def test_time_that_is_none_is_refused(clock: ManualClock, seconds: Any) -> None:
    """Nothing moves then."""
    with pytest.raises(ValueError, match="seconds must be a "):
        clock.advance(seconds)
    assert clock.now == 0.0


def test_trees_that_run_already_go_by_it(supervisor: MakeSupervisor) -> None:
    """Also those that were started, and have set a timer, before it was held."""
    with supervisor() as sup:
        ref = sup.add_worker(Ticking)
        ref.ask(lambda worker: worker.send_after(60.0, "a minute"), PATIENCE)
        with ManualClock() as clock:
            clock.advance(60.0)
            assert heard(ref) == ["a minute"]
