"""Signals: a script stops in order, sooner when asked again, and Ctrl-C loses nothing."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.conformance.scenes import act
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.programs import Program
from tests.supervisor.trees import outcome
from threadsup import Shutdown, StartError, Worker, handler
from threadsup._supervisor import api

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import MakeSupervisor

SIGNALS = [signal.SIGINT, signal.SIGTERM]

SCRIPT = """
tree = Supervisor("app")
tree.add_worker(Noisy, "a")
tree.add_worker(Noisy, "b")
say(tree.run_forever())
say("main goes on")
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_a_script_in_order(number: signal.Signals) -> None:
    """`run_forever` returns the reason, the script goes on, the exit code is 0 (F88, F89)."""
    with Program(SCRIPT) as program:
        program.wait_for("+b")  # started by run_forever, behind its handlers
        program.signal(number)
        assert program.end() == (
            0,
            ["+a", "+b", "-b", "-a", f"shutdown: {number.name}", "main goes on"],
        )
        assert program.err.items == []


@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_shortens_the_limit(second: signal.Signals) -> None:
    """To a second, whatever the workers' own limits are (F88)."""
    with Program(
        """
        tree = Supervisor("app")
        tree.add_worker(Noisy, "good")
        tree.add_worker(Noisy, "hung", kwargs={"slow": "stop"}, shutdown=3600)
        say(tree.run_forever())
        say([left.id for left in tree.stop().abandoned])
        """
    ) as program:
        program.wait_for("+hung")
        program.signal(signal.SIGTERM)
        program.wait_for("-hung")
        program.signal(second)
        program.signal(second)  # a third does no harm
        assert program.end() == (
            0,
            ["+good", "+hung", "-hung", "-good", "shutdown: SIGTERM", "['Noisy-2']"],
        )


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_the_start_stops_it(number: signal.Signals) -> None:
    """Who hangs in `on_start` is abandoned, who is up stops; it is no error (F88)."""
    with Program(
        """
        tree = Supervisor("app")
        tree.add_worker(Noisy, "a")
        tree.add_worker(Noisy, "hung", kwargs={"slow": "start"}, shutdown=0.1)
        tree.add_worker(Noisy, "never")
        say(tree.run_forever())
        """
    ) as program:
        program.wait_for("+hung")
        program.signal(number)
        assert program.end() == (0, ["+a", "+hung", "-a", f"shutdown: {number.name}"])


def test_a_signal_before_the_start_is_not_lost(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing runs yet that could be stopped: it is, once it does."""

    @contextmanager
    def signalled_at_once(stop: Callable[[str, float | None], object]) -> Iterator[None]:
        stop("SIGTERM", None)
        yield

    monkeypatch.setattr(api, "stopping_on_signals", signalled_at_once)
    tree = supervisor()
    ref = tree.add_worker(handler(act))
    assert tree.run_forever() == Shutdown("SIGTERM")
    assert ref.incarnation == 1


def test_a_start_that_fails_ends_a_script(supervisor: MakeSupervisor) -> None:
    """The error comes out of `run_forever`, and the handlers are put back."""

    class Bad(Worker):
        def on_start(self) -> None:
            raise ValueError

    before = [signal.getsignal(number) for number in SIGNALS]
    tree = supervisor()
    tree.add_worker(Bad)
    with pytest.raises(StartError):
        tree.run_forever()
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_script_ends_when_its_tree_does(supervisor: MakeSupervisor) -> None:
    """By itself, without any signal; handlers of others are put back (F89)."""
    heard: Recorder[int] = Recorder()
    before = [signal.signal(number, lambda number, _: heard(number)) for number in SIGNALS]
    try:
        tree = supervisor(auto_shutdown="all")
        tree.add_worker(lambda: None, significant=True)
        assert tree.run_forever() == Shutdown()
        assert threading.active_count() >= 1
        for number in SIGNALS:
            signal.raise_signal(number)
        assert heard.items == SIGNALS
    finally:
        for number, old in zip(SIGNALS, before, strict=True):
            signal.signal(number, old)


def test_running_for_ever_elsewhere_installs_no_handler(supervisor: MakeSupervisor) -> None:
    """Outside the main thread Python installs none; it waits all the same (F90)."""
    gate, result = Gate(), Recorder[object]()
    tree = supervisor()
    tree.add_worker(Standing, gate)
    before = [signal.getsignal(number) for number in SIGNALS]
    thread = threading.Thread(target=lambda: result(outcome(tree.run_forever)))
    thread.start()
    gate.wait_reached()
    assert [signal.getsignal(number) for number in SIGNALS] == before
    gate.open()
    tree.request_stop("from outside")
    assert result.wait_for(1) == [Shutdown("from outside")]
    thread.join()


class Standing(Worker):
    """Stands at a gate when it starts."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def on_start(self) -> None:
        self._gate.meet()


def test_running_for_ever_waits_for_a_tree_that_runs(supervisor: MakeSupervisor) -> None:
    """One that was started, by several at once; and one that has ended."""
    tree = supervisor().start()
    results: Recorder[object] = Recorder()
    threads = [threading.Thread(target=lambda: results(tree.run_forever())) for _ in range(3)]
    for thread in threads:
        thread.start()
    tree.request_stop("done")
    for thread in threads:
        thread.join()
    assert [*results.items, tree.run_forever()] == [Shutdown("done")] * 4


def test_a_signal_handler_may_request_a_stop(supervisor: MakeSupervisor) -> None:
    """It never waits, wherever it interrupts; a call that would wait for itself is refused."""
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w")
    before = signal.signal(signal.SIGTERM, lambda *_: tree.request_stop("by signal"))
    try:
        for _ in range(50):  # somewhere in a tell, an ask, an add
            signal.raise_signal(signal.SIGTERM)
        assert tree.wait(PATIENCE) == Shutdown("by signal")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ref.wait(0) == Shutdown("by signal")


# -- Ctrl-C without run_forever ---------------------------------------------------------


def test_ctrl_c_in_a_block_stops_the_tree_once() -> None:
    """The wait is left at once, the workers stop in order, then the program ends (F88)."""
    with Program(
        """
        try:
            with Supervisor("app") as tree:
                tree.add_worker(Noisy, "a")
                tree.add_worker(Noisy, "b")
                tree.add_worker(receive, id="task")
                say("ready")
                tree.wait()
        except KeyboardInterrupt:
            say("interrupted", tree.wait(0))
        """
    ) as program:
        program.wait_for("ready")
        program.interrupt("-b")
        assert program.end() == (
            0,
            ["+a", "+b", "ready", "-b", "-a", "interrupted shutdown"],
        )


def test_ctrl_c_in_a_stop_leaves_it_to_the_end_of_the_process() -> None:
    """Who hangs is waited for no longer than `exit_timeout` then (F88)."""
    with Program(
        """
        with Supervisor("app", exit_timeout=0.3) as tree:
            tree.add_worker(Noisy, "good")
            tree.add_worker(Noisy, "hung", kwargs={"slow": "stop"}, shutdown=3600)
        """
    ) as program:
        program.wait_for("-hung")
        program.interrupt("-good")
        code, lines = program.end()
        assert lines == ["+good", "+hung", "-hung", "-good"]
        assert code == -signal.SIGINT
        assert program.err.items[-1] == "KeyboardInterrupt"


def test_ctrl_c_in_a_start_undoes_it() -> None:
    """Nothing is left up when it is seen (F88)."""
    with Program(
        """
        tree = Supervisor("app")
        tree.add_worker(Noisy, "a")
        tree.add_worker(Noisy, "hung", kwargs={"slow": "start"}, shutdown=0.1, start_timeout=3600)
        try:
            tree.start()
        except KeyboardInterrupt:
            say("interrupted", dict(threadsup.running()), tree.wait(0))
        """
    ) as program:
        program.wait_for("+hung")
        program.interrupt("-a")
        assert program.end() == (0, ["+a", "+hung", "-a", "interrupted {} shutdown"])


def test_ctrl_c_in_an_ask_is_the_asker_s_alone() -> None:
    """The wait is left at once, the worker goes on (F88)."""
    with Program(
        """
        tree = Supervisor("app").start()
        entered, go = threading.Event(), threading.Event()
        def handle(message):
            if message == "slow":
                say("entered")
                go.wait()
            return message
        ref = tree.add_worker(handler(handle), id="w")
        try:
            ref.ask("slow", timeout=None)
        except KeyboardInterrupt:
            say("interrupted")
        go.set()
        say(ref.ask("alive"), ref.incarnation)
        tree.stop()
        """
    ) as program:
        program.wait_for("entered")
        program.interrupt("interrupted")
        assert program.end() == (0, ["entered", "interrupted", "alive 1"])
