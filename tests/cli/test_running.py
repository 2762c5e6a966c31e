"""The main thread of `threadsup run`: what each notice makes it do, in forced orders."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE
from threadsup._errors import InternalError, NotRunningError, StartError
from threadsup._exits import Crashed, Normal, Shutdown
from threadsup._snapshot import StopReport, SupervisorStatistics
from threadsup._supervisor.signals import HURRY
from threadsup.cli.progress import Progress
from threadsup.cli.running import DONE, GAVE_UP, SIGNALLED, run_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId, ExitReason


class FakeTree:
    """A tree that does what the test scripts, on the threads the real one would use."""

    def __init__(self) -> None:
        self.reason: ExitReason = Shutdown("auto_shutdown")
        self.failed_ids: tuple[ChildId, ...] = ()
        self.calls: list[Any] = []
        self.on_start: Callable[[], object] = lambda: None
        self.on_wait: Callable[[], object] = lambda: None
        self.put: Callable[[Any], object] = lambda event: None

    def subscribe(self, fn: Callable[[Any], object]) -> None:
        self.put = fn

    def start(self) -> None:
        self.on_start()

    def wait(self, timeout: float | None = None) -> ExitReason:
        assert timeout is None
        self.on_wait()
        return self.reason

    def stop(self, timeout: float | None = None) -> Any:
        self.calls.append(("stop", timeout))
        return StopReport(clean=True, stopped=1, abandoned=(), undelivered=0, seconds=0.1)

    def request_stop(self, reason: object) -> None:
        self.calls.append(("request_stop", reason))

    def failed(self) -> tuple[ChildId, ...]:
        return self.failed_ids

    def statistics(self) -> Any:
        return SupervisorStatistics()


def run(tree: FakeTree, every: float = 0.0, **options: Any) -> int:
    return run_tree(tree, Progress(**options), every)  # type: ignore[arg-type]


def signal_main(number: signal.Signals) -> None:
    """Send a signal as the kernel does: to the main thread."""
    signal.pthread_kill(threading.main_thread().ident or 0, number)


def wait_until_called(tree: FakeTree, name: str) -> Callable[[], None]:
    """Make the tree's method `name` set an event and return the wait for it."""
    called = threading.Event()
    inner = getattr(tree, name)

    def outer(*args: Any, **kwargs: Any) -> Any:
        try:
            return inner(*args, **kwargs)
        finally:
            called.set()

    setattr(tree, name, outer)

    def wait() -> None:
        assert called.wait(PATIENCE), f"{name} was not called"

    return wait


def test_a_tree_that_ends_by_itself_is_done() -> None:
    """The end of the significant children ends the command with 0."""
    tree = FakeTree()
    assert run(tree) == DONE
    assert tree.calls == [("stop", HURRY)]


def test_a_child_that_gave_up_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 and the names of those who gave up."""
    tree = FakeTree()
    tree.failed_ids = ("poller", ("etl", 2))
    assert run(tree) == GAVE_UP
    assert capsys.readouterr().err == "threadsup: gave up: poller, etl/2\n"


def test_a_supervisor_that_gave_up_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 also where the whole tree is past its budget."""
    tree = FakeTree()
    tree.reason = Crashed("too many restarts")
    assert run(tree) == GAVE_UP
    assert "too many restarts" in capsys.readouterr().err


def test_a_tree_that_does_not_start_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, the child and the cause in a line each, no traceback."""
    tree = FakeTree()

    def fail() -> None:
        raise StartError("'b' did not start") from ZeroDivisionError("by zero")

    tree.on_start = fail
    assert run(tree) == GAVE_UP
    assert capsys.readouterr().err.splitlines() == [
        "threadsup: not started: 'b' did not start",
        "threadsup: because of ZeroDivisionError: by zero",
    ]


def test_a_fault_of_the_library_is_not_hidden() -> None:
    """What no user did wrong is raised with its traceback."""
    tree = FakeTree()

    def fail() -> None:
        raise InternalError("broken")

    tree.on_start = fail
    with pytest.raises(InternalError, match="broken"):
        run(tree)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_a_stop_in_order(number: signal.Signals) -> None:
    """The first signal asks, waits for no deadline of its own, and is exit code 130."""
    tree = FakeTree()
    asked = wait_until_called(tree, "request_stop")

    def wait() -> None:
        signal_main(number)
        asked()

    tree.on_wait = wait
    tree.failed_ids = ("poller",)
    assert run(tree) == SIGNALLED
    assert tree.calls == [("request_stop", "signal"), ("stop", HURRY)]


def test_a_second_signal_shortens_the_limit() -> None:
    """The stop under way gets a limit of its own with the second signal, not the third."""
    tree = FakeTree()
    asked, stopped = wait_until_called(tree, "request_stop"), wait_until_called(tree, "stop")

    def wait() -> None:
        signal_main(signal.SIGINT)
        asked()
        signal_main(signal.SIGINT)
        stopped()
        signal_main(signal.SIGINT)

    tree.on_wait = wait
    assert run(tree) == SIGNALLED
    assert [call for call in tree.calls if call[0] == "stop"] == [("stop", HURRY)] * 2


def test_a_signal_before_the_start_is_repeated_after_it() -> None:
    """A tree that cannot be asked yet is asked as soon as it has started."""
    tree = FakeTree()
    again = threading.Event()
    started = False

    def request_stop(reason: object) -> None:
        if not started:
            raise NotRunningError(f"not started yet: {reason}")
        again.set()

    def start() -> None:
        nonlocal started
        signal_main(signal.SIGTERM)
        asked()
        started = True

    tree.on_start = start
    tree.request_stop = request_stop  # type: ignore[method-assign]
    asked = wait_until_called(tree, "request_stop")
    tree.on_wait = lambda: again.wait(PATIENCE)
    assert run(tree) == SIGNALLED
    assert again.is_set()


def test_a_start_that_a_signal_broke_off_is_no_error_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A tree told to stop while it starts may refuse to go on: exit code 130."""
    tree = FakeTree()
    asked = wait_until_called(tree, "request_stop")

    def start() -> None:
        signal_main(signal.SIGINT)
        asked()
        raise NotRunningError("stopped while it started")

    tree.on_start = start
    assert run(tree) == SIGNALLED
    assert capsys.readouterr().err == ""


def test_statistics_are_told_when_due_though_events_never_end() -> None:
    """A tree that is never quiet does not keep its numbers to itself."""
    tree = FakeTree()
    told = wait_until_called(tree, "statistics")
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    def wait() -> None:
        for _ in range(100):
            tree.put("an event nobody has words for")
        told()

    tree.on_wait = wait
    assert run(tree, every=20.0, clock=clock) == DONE


def test_statistics_are_told_while_nothing_happens(capsys: pytest.CaptureFixture[str]) -> None:
    """The wait for notices ends when a line of numbers is due; equal ones are told once."""
    tree = FakeTree()
    often = threading.Semaphore(0)
    statistics = tree.statistics

    def counted() -> Any:
        often.release()
        return statistics()

    tree.statistics = counted  # type: ignore[method-assign]

    def wait() -> None:
        for _ in range(3):
            assert often.acquire(timeout=PATIENCE)

    tree.on_wait = wait
    assert run(tree, every=0.01) == DONE
    assert capsys.readouterr().out.count("0 handled") == 1


def test_the_last_events_are_told_after_the_end() -> None:
    """What the tree still had to say when it ended is said before the command ends."""
    tree = FakeTree()
    tree.reason = Normal()
    seen: list[object] = []

    class Heard(Progress):
        def event(self, event: object) -> None:
            seen.append(event)

    stop = tree.stop

    def stop_and_tell(timeout: float | None = None) -> Any:
        tree.put("last words")
        return stop(timeout)

    tree.stop = stop_and_tell  # type: ignore[method-assign]
    assert run_tree(tree, Heard(), 0.0) == DONE  # type: ignore[arg-type]
    assert seen == ["last words"]
