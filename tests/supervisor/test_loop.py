"""The supervisor's thread: reports before requests, timers when due, and no idle work."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import act, boom
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import outcome, taken, together
from threadsup import Backoff, NotRunningError, handler, stage, worker_spec
from threadsup._runtime.clock import monotonic
from threadsup._runtime.mailbox import Mailbox
from threadsup._supervisor.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import MakeSupervisor


class Running:
    """A loop with a thread, and what its calls recorded."""

    def __init__(self) -> None:
        self.log: Recorder[Any] = Recorder()
        self.crashes: Recorder[BaseException] = Recorder()
        self.loop = Loop("loop", self.crashes)

    def start(self) -> Loop:
        self.loop.start((self.log, "first"))
        self.log.wait_for(1)
        return self.loop

    def end(self, _: object = None) -> None:
        self.loop.over = True


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    if made.loop.started:
        if made.loop.thread.is_alive():
            made.loop.post(made.end, None)
        made.loop.thread.join(PATIENCE)


def test_requests_are_called_one_by_one_in_order(running: Running) -> None:
    """The first call comes before all of them."""
    loop = running.start()
    for number in range(5):
        loop.request(running.log, number)
    assert running.log.wait_for(6) == ["first", 0, 1, 2, 3, 4]


def test_reports_go_before_requests(running: Running) -> None:
    """What workers report while requests wait is taken first (DESIGN 3.11)."""
    gate = Gate()
    loop = running.start()
    loop.request(lambda _: gate.meet(), None)
    gate.wait_reached()
    loop.request(running.log, "request 1")
    loop.request(running.log, "request 2")
    loop.post(running.log, "report 1")
    loop.post(running.log, "report 2")
    gate.open()
    expected = ["first", "report 1", "report 2", "request 1", "request 2"]
    assert running.log.wait_for(5) == expected


def test_a_storm_of_reports_does_not_starve_requests(running: Running) -> None:
    """A report that brings the next one about, for ever: the request comes all the same (F67)."""
    loop = running.start()

    def again(_: None) -> None:
        if "request" not in running.log.items:
            loop.post(again, None)

    gate = Gate()
    loop.request(lambda _: gate.meet(), None)
    gate.wait_reached()
    loop.post(again, None)
    loop.request(running.log, "request")
    gate.open()
    assert running.log.wait_for(2) == ["first", "request"]


def test_what_is_for_later_comes_after_the_call_and_before_the_next(running: Running) -> None:
    """Nothing is called from within itself."""
    gate, loop, log = Gate(), running.start(), running.log

    def outer(_: None) -> None:
        gate.meet()
        loop.later(inner, None)
        loop.later(log, "second")
        log("outer")

    def inner(_: None) -> None:
        loop.later(log, "third")
        log("inner")

    loop.request(outer, None)
    gate.wait_reached()
    loop.request(log, "request")
    gate.open()
    assert log.wait_for(6) == ["first", "outer", "inner", "second", "third", "request"]


def test_what_is_next_comes_before_all_that_is_reported_after_it(running: Running) -> None:
    """In a turn of its own: what was requested before is called in between (DESIGN 3.11)."""
    gate, loop, log = Gate(), running.start(), running.log

    def outer(_: None) -> None:
        loop.next(inner, None)
        loop.post(log, "report")  # as a worker does that ends in the moment
        gate.meet()
        log("outer")

    def inner(_: None) -> None:
        loop.next(log, "next of next")
        log("next")

    loop.request(outer, None)
    gate.wait_reached()
    loop.request(log, "request")
    gate.open()
    expected = ["first", "outer", "next", "report", "next of next", "request"]
    assert sorted(log.wait_for(6)) == sorted(expected)
    assert [item for item in log.items if item != "request"] == expected[:-1]


def test_a_timer_wakes_the_loop(running: Running) -> None:
    """When it is due, though nobody requests anything (F76)."""

    class Owner:
        def take(self, deadline: object) -> None:
            running.log(deadline)

    loop = running.start()
    loop.request(lambda _: loop.timers.set(Owner(), "k", 3, monotonic() + 0.01), None)
    _, deadline = running.log.wait_for(2)
    assert (deadline.key, deadline.incarnation) == ("k", 3)
    assert loop.timers.next() is None


@pytest.mark.parametrize("at", [1e12, 1e300])
def test_a_time_beyond_all_waiting_is_waited_for_in_parts(running: Running, at: float) -> None:
    """It does not end the thread."""
    loop = running.start()
    loop.request(lambda _: loop.timers.set(loop, "k", 1, at), None)
    loop.request(running.log, "alive")
    assert running.log.wait_for(2) == ["first", "alive"]
    assert running.crashes.items == []


def test_before_the_start_callers_take_turns(running: Running) -> None:
    """Eight threads at once, each call with what it has for later."""
    loop, inside = running.loop, []

    def call(number: int) -> None:
        inside.append(number)
        loop.later(lambda _: inside.append(number), None)

    together(8, lambda number: loop.request(call, number))
    assert len(inside) == 16
    assert inside[::2] == inside[1::2]
    assert not loop.started


def test_after_the_end_requests_are_refused(running: Running) -> None:
    """And what is reported then is nobody's news."""
    loop = running.start()
    loop.request(running.end, None)
    loop.thread.join(PATIENCE)
    with pytest.raises(NotRunningError, match="the supervisor has ended"):
        loop.request(running.log, "late")
    loop.post(running.log, "late")
    assert running.log.items == ["first"]


def test_what_was_requested_before_the_end_is_still_called(running: Running) -> None:
    """It answers that all is over; nobody waits for ever."""
    gate, loop = Gate(), running.start()
    loop.request(lambda _: gate.meet(), None)
    gate.wait_reached()
    loop.request(running.end, None)
    loop.request(running.log, "behind")
    gate.open()
    assert running.log.wait_for(2) == ["first", "behind"]
    loop.thread.join(PATIENCE)


def test_a_request_in_the_moment_of_the_end_is_called_or_refused(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is put after the closing looked for the last time: its own thread calls it."""
    gate, loop = Gate(), running.start()
    inbox = loop.inbox
    push = inbox._push

    def slow_push(raw: Any) -> None:
        gate.meet()  # the loop ends meanwhile
        push(raw)

    inbox._push = slow_push
    sender = threading.Thread(target=lambda: outcome(loop.request, running.log, "in the moment"))
    sender.start()
    gate.wait_reached()
    loop.post(running.end, None)
    loop.thread.join(PATIENCE)
    gate.open()
    sender.join(PATIENCE)
    assert running.log.items == ["first", "in the moment"]


def test_a_call_that_raises_ends_the_loop_and_is_told(running: Running) -> None:
    """What comes in the very moment is told again, not called (F56)."""
    gate, loop = Gate(), running.start()
    inbox, push = loop.inbox, loop.inbox._push

    def slow_push(raw: Any) -> None:
        if raw[1] == "in the moment":
            gate.meet()
        push(raw)

    inbox._push = slow_push
    sender = threading.Thread(target=lambda: outcome(loop.request, running.log, "in the moment"))
    sender.start()
    gate.wait_reached()
    loop.post(lambda _: boom(), None)  # type: ignore[arg-type]
    loop.thread.join(PATIENCE)
    gate.open()
    sender.join(PATIENCE)
    assert running.log.items == ["first"]
    assert [type(error).__name__ for error in running.crashes.items] == ["Boom", "Boom"]
    with pytest.raises(NotRunningError, match="the supervisor has failed"):
        loop.request(running.log, "late")


def test_an_idle_tree_does_nothing(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a timer it waits without a limit, and no message wakes it (row 44; F76)."""
    waits: Recorder[float | None] = Recorder()
    tree = supervisor()
    loop = tree._services.loop
    get = Mailbox.get

    def counted(self: Mailbox, timeout: float | None = None) -> Any:
        if self is loop.inbox:
            waits(timeout)
        return get(self, timeout)

    monkeypatch.setattr(Mailbox, "get", counted)
    ref = tree.add_worker(handler(act), id="w")
    group = tree.add_group("g", [worker_spec(handler(act), id="m")])
    chain = tree.add_chain("c", [stage(act), stage(act)])
    tree.start()

    def at_rest() -> int:
        """Return how often it has waited, when it waits behind all that was requested."""
        waited: Recorder[int] = Recorder()
        loop.request(lambda _: waited(len(waits)), None)
        return len(waits.wait_for(waited.wait_for(1)[0] + 1))

    before = at_rest()
    assert waits.items[-1] is None
    assert loop.timers.next() is None
    for number in range(100):
        ref.tell(number)
        group.broadcast(number)
        chain.tell(number)
    assert ref.ask("x") == "x"
    assert group.ask("m", "x") == "x"
    assert chain.drain(PATIENCE)
    tree.statistics()
    str(tree.tree())
    assert at_rest() == before + 1  # for this very request
    assert waits.items[-1] is None


def test_after_a_restart_no_timer_is_left(supervisor: MakeSupervisor) -> None:
    """Start and stop limits are taken away when they are met."""
    tree = supervisor(backoff=Backoff(0.001)).start()
    ref = tree.add_worker(handler(act), id="w")
    for _ in range(3):
        ref.tell(boom)
    assert ref.ask("up") == "up"
    tree.restart_child("w")
    tree.stop_child("w")
    taken(tree)
    assert tree._services.loop.timers.next() is None
