"""Crashes and hangs that a test causes, in every kind of worker, and their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pykka
import pytest

import threadsup
from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import (
    Breaker,
    Crashed,
    GenServer,
    Pool,
    Rate,
    ReplyTimeout,
    Retry,
    ThreadingActor,
    Worker,
    current,
    events,
    handler,
    stage,
)
from threadsup.testing import ManualClock, capture_events, crash, hang

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor


class Module(Worker):
    def on_receive(self, message: Any) -> Any:
        return message


class Server(GenServer):
    def handle_call(self, request: Any) -> Any:
        return request


class Actor(pykka.ThreadingActor):
    def on_receive(self, message: Any) -> Any:
        return message


class Ours(ThreadingActor):
    def on_receive(self, message: Any) -> Any:
        return message


def task() -> None:
    while True:
        message = threadsup.receive()
        context = current()
        assert context is not None
        context.reply(message)


TARGETS = [handler(lambda message: message), Module, Server, Actor, Ours, task]
KINDS = ["handler", "worker", "server", "pykka", "ours", "task"]


# -- crash --------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS[:-1], ids=KINDS[:-1])
@pytest.mark.parametrize("on_error", ["reject", Retry(5)])
def test_a_worker_under_rules_crashes_all_the_same(
    supervisor: MakeSupervisor, target: Any, on_error: Any
) -> None:
    """It is no message that fails, needs no turn, and is no call."""
    with supervisor() as sup:
        rules: dict[str, Any] = {"rate": Rate(1, per=3600.0), "breaker": Breaker(failures=1)}
        ref = sup.add_worker(target, on_error=on_error, **rules)
        assert ref.ask("the only one") == "the only one"
        assert type(crash(ref).reason) is Crashed
        with hang(ref):
            assert ref.is_alive()
        assert ref.incarnation == 2
        counts = ref.statistics()
        assert (counts.accepted, counts.handled, counts.retried) == (1, 1, 0)


@pytest.mark.parametrize("target", TARGETS, ids=KINDS)
def test_a_worker_of_any_kind_crashes_and_comes_back(
    supervisor: MakeSupervisor, target: Any
) -> None:
    """The exit was handled when the call returns, and no message was lost."""
    with supervisor() as sup:
        ref = sup.add_worker(target, id="w")
        end = crash(ref)
        assert (end.id, end.incarnation, end.final) == ("w", 1, False)
        assert isinstance(end.reason, Crashed)
        assert end.reason.error == "InjectedCrash: by crash(), incarnation 1"
        assert ref.ask("still here", PATIENCE) == "still here"
        assert ref.incarnation == 2
        numbers = ref.statistics()
        assert (numbers.accepted, numbers.handled, numbers.failed) == (1, 1, 0)
        assert sup.dead_letters() == ()


def test_a_crash_comes_after_the_message_in_hand_and_before_the_others(
    supervisor: MakeSupervisor,
) -> None:
    """What is queued is for the next incarnation."""
    gate = Gate("the handler")
    seen: Recorder[tuple[int, str]] = Recorder()

    def handle(message: str) -> None:
        context = current()
        assert context is not None
        seen((context.incarnation, message))
        gate.meet()

    with supervisor() as sup:
        ref = sup.add_worker(handler(handle))
        ref.tell("in hand")
        gate.wait_reached()
        ref.tell("queued")
        with pytest.raises(TimeoutError, match="it came to no message within"):
            crash(ref, timeout=0.01)
        gate.open()
        assert seen.wait_for(2)[1] == (1, "queued")  # the crash was called off
        crash(ref)
        ref.tell("later")
        assert seen.wait_for(3)[2] == (2, "later")


def test_a_crash_may_be_of_any_error(supervisor: MakeSupervisor) -> None:
    """The clean-up of the worker sees it as its own."""
    seen: Recorder[BaseException] = Recorder()

    class Watching(Module):
        def on_failure(self, kind: object, error: BaseException | None, trace: object) -> None:
            assert error is not None
            seen(error)

    error = KeyboardInterrupt("pulled")
    with supervisor(max_restarts=0) as sup:
        ref = sup.add_worker(Watching, restart="permanent")
        end = crash(ref, error)
        assert end.final
        assert str(end.reason) == "crashed: KeyboardInterrupt: pulled"
        assert seen.wait_for(1) == [error]
        with pytest.raises(ValueError, match="has ended for good: crashed: KeyboardInterrupt"):
            crash(ref)


def test_a_replica_of_a_stage_crashes(supervisor: MakeSupervisor) -> None:
    """The one that is meant, whatever the chain does about errors of items."""
    with supervisor() as sup:
        chain = sup.add_chain("c", [stage(str, id="s", workers=2, on_error="reject")])
        end = crash(chain["s"], replica=1)
        assert (end.id, end.incarnation) == (("s", 1), 1)
        assert chain.submit(1).result(PATIENCE) == "1"
        with pytest.raises(ValueError, match="has no replica 2"):
            crash(chain["s"], replica=2)


def test_a_crash_between_two_incarnations_is_the_next_one_s(supervisor: MakeSupervisor) -> None:
    """It waits for that one to begin."""
    with ManualClock() as clock, supervisor(max_restarts=5) as sup:
        ref = sup.add_worker(Module)
        with capture_events(sup) as log:
            for number in (1, 2):
                assert crash(ref).incarnation == number
            pause = log.wait_for(events.Restarting, count=2).delay
            assert pause > 0
            with pytest.raises(TimeoutError):
                crash(ref, timeout=0.01)
            clock.advance(pause)
            assert crash(ref).incarnation == 3


def test_who_cannot_crash_is_refused(supervisor: MakeSupervisor) -> None:
    """A target that is none, that has not begun, or that takes no messages."""
    sup = supervisor()
    ref = sup.add_worker(Module, id="w")
    with pytest.raises(ValueError, match="'w' was not started"):
        crash(ref)
    for target in (sup, "w"):
        with pytest.raises(TypeError, match="expected a WorkerRef or a Stage, not a "):
            crash(target)  # type: ignore[arg-type]
    sup.start()
    with Pool(1, supervisor=sup, name="pool") as pool:
        pool.submit(int).result(PATIENCE)
        group = sup.group("pool")
        with pytest.raises(ValueError, match="is of a pool: submit what crashes"):
            crash(group[next(iter(group))])


# -- hang ---------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS, ids=KINDS)
def test_a_worker_of_any_kind_hangs_until_it_is_released(
    supervisor: MakeSupervisor, target: Any
) -> None:
    """Then it goes on as if nothing had been."""
    with supervisor() as sup:
        ref = sup.add_worker(target, id="w")
        with hang(ref):
            with pytest.raises(ReplyTimeout):
                ref.ask("first", 0.01)
            assert ref.statistics().in_hand_since is not None
        assert ref.ask("second", PATIENCE) == "second"
        assert ref.incarnation == 1
        numbers = ref.statistics()
        assert (numbers.accepted, numbers.handled, numbers.failed) == (2, 2, 0)


def test_one_that_hangs_longer_than_its_time_limit_is_replaced(
    supervisor: MakeSupervisor,
) -> None:
    """As with any message; what hangs counts as one that failed."""
    with ManualClock() as clock, supervisor() as sup, capture_events(sup) as log:
        ref = sup.add_worker(Module, time_limit=30.0)
        with hang(ref) as hung:
            clock.advance(30.0)
            event = log.wait_for(events.WorkerEnded)
            assert str(event.reason) == "abandoned after 30 s in message"
            assert ref.ask("hello", PATIENCE) == "hello"
            assert sup.statistics().zombies == 1
            numbers = ref.statistics()
            assert (numbers.accepted, numbers.handled, numbers.failed) == (2, 1, 1)
            assert repr(hung) == f"<Hang of {ref.id!r}>"
        assert sup.dead_letters()[0].message is hung


def test_one_that_hangs_in_a_stop_is_abandoned(supervisor: MakeSupervisor) -> None:
    """It hears nothing of the stop; the limit of the worker decides."""
    sup = supervisor().start()
    ref = sup.add_worker(Module, id="w", shutdown=0.01)
    with hang(ref):
        report = sup.stop()
        assert [left.id for left in report.abandoned] == ["w"]


def test_a_replica_that_hangs_leaves_the_work_to_its_equals(supervisor: MakeSupervisor) -> None:
    """One that is released takes part again."""
    with supervisor() as sup:
        stages = [stage(str, id="s", workers=2, routing="least_loaded")]
        chain = sup.add_chain("c", stages)
        with hang(chain["s"], replica=0):
            assert chain.submit(1).result(PATIENCE) == "1"
        assert chain.drain(PATIENCE)
        assert chain.statistics().items.completed == 1


def test_who_comes_to_no_message_does_not_hang(supervisor: MakeSupervisor) -> None:
    """Neither in time nor later: the mark is called off."""
    gate = Gate("the handler")
    with supervisor() as sup:
        ref = sup.add_worker(handler(lambda _: gate.meet()))
        ref.tell("busy")
        gate.wait_reached()
        with (
            pytest.raises(TimeoutError, match="came to no message within"),
            hang(ref, timeout=0.01),
        ):
            pass
        gate.open()
        ref.ask("done", PATIENCE)
