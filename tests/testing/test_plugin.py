"""The pytest plugin: clean tests pass, and what a test leaves behind fails it, readably.

Each runs small tests of its own in a pytest within this one, with the plugin and
without this project's conftest.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from threadsup.testing import Gate
from threadsup.testing.plugin import MakeSupervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent.parent
QUICK = "threadsup_answer_timeout = 0.05"

HEAD = """
import threading
import pytest
import threadsup
from threadsup import GenServer, Supervisor, Worker, current, handler, receive
from threadsup.testing import crash, expect_crash, hang

def echo(message):
    return message

def fail(message):
    return 1 / message
"""


@pytest.fixture
def run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Run tests with the plugin and no other, impatiently; `more` are arguments of pytest."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(tests: str, *more: str, ini: str = "", **names: Any) -> pytest.RunResult:
        class Names:
            @pytest.fixture
            def given(self) -> dict[str, Any]:
                return names

        pytester.makeini(f"[pytest]\nthreadsup_stop_timeout = 0.3\n{ini or QUICK}")
        pytester.makepyfile(HEAD + tests)
        plugin = ("-p", "threadsup.testing.plugin", "-p", "no:cacheprovider")
        return pytester.runpytest_inprocess(*plugin, "--strict-markers", *more, plugins=[Names()])

    return run


@pytest.fixture
def gate() -> Iterator[Gate]:
    """What threads that are left behind stand at; they are gone after the test."""
    gate = Gate()
    before = set(threading.enumerate())
    yield gate
    gate.open()
    for thread in set(threading.enumerate()) - before:
        thread.join()


# -- clean tests ------------------------------------------------------------------------------


def test_a_clean_test_passes(run: Callable[..., pytest.RunResult]) -> None:
    """Its supervisor is running when it begins, and has a name that nobody else has."""
    result = run("""
def test_asks(supervisor):
    ref = supervisor.add_worker(handler(echo))
    assert ref.ask(1) == 1
    assert ref.ask(2, block=False).get() == 2
    assert supervisor.name.startswith("test_asks-")

def test_is_stopped_by_hand(supervisor):
    supervisor.add_worker(handler(echo))
    supervisor.stop()

def test_is_gone(supervisor):
    assert list(threadsup.running()) == [supervisor.name]
""")
    result.assert_outcomes(passed=3)


def test_the_factory_makes_supervisors_that_are_stopped(
    run: Callable[..., pytest.RunResult],
) -> None:
    """Several, with options, and some that are never started."""
    result = run("""
def test_two(supervisors, supervisor):
    one, never = supervisors("one", max_restarts=0), supervisors()
    one.add_worker(handler(echo))
    one.start()
    never.add_worker(handler(echo))
    assert len(threadsup.running()) == 2
    assert one.spec.max_restarts == 0

def test_after():
    assert not threadsup.running()
""")
    result.assert_outcomes(passed=2)


def test_markers_set_the_options_of_the_supervisor(run: Callable[..., pytest.RunResult]) -> None:
    """That of the test before that of its module."""
    result = run("""
pytestmark = pytest.mark.supervisor(max_restarts=7, max_seconds=9.0)

@pytest.mark.supervisor(max_restarts=0, name="mine")
def test_options(supervisor):
    assert (supervisor.spec.max_restarts, supervisor.spec.max_seconds) == (0, 9.0)
    assert supervisor.name == "mine"
""")
    result.assert_outcomes(passed=1)


def test_crashes_that_were_announced_are_none_of_its_business(
    run: Callable[..., pytest.RunResult],
) -> None:
    """By `expect_crash`, `crash` or `hang`; and their consequences, and failed starts."""
    result = run("""
class Linked(Worker):
    def on_receive(self, ref):
        current().link(ref)

def test_expected(supervisor):
    ref = supervisor.add_worker(handler(fail))
    with expect_crash(ref, match="ZeroDivisionError"):
        ref.tell(0)
    crash(ref)

def test_linked(supervisor):
    ref = supervisor.add_worker(handler(echo))
    other = supervisor.add_worker(Linked)
    other.ask(ref)
    with expect_crash(other, "linked to"):
        crash(ref)

def test_given_up_on(supervisor, manual_clock):
    ref = supervisor.add_worker(handler(echo), time_limit=60)
    with hang(ref):
        manual_clock.advance(60)
        assert ref.ask(1) == 1

def test_failed_start(supervisor):
    class Bad(Worker):
        def on_start(self):
            raise OSError

    with pytest.raises(threadsup.StartError):
        supervisor.add_worker(Bad)
""")
    result.assert_outcomes(passed=4)


def test_a_clock_that_stands_holds_up_no_stop(
    run: Callable[..., pytest.RunResult], gate: Gate
) -> None:
    """It is let go before the trees are stopped, whichever fixture came first."""
    result = run(
        """
@pytest.mark.threadsup_checks(crashes=False, threads=False)
def test_stuck(manual_clock, supervisor, given):
    ref = supervisor.add_worker(handler(lambda _: given["gate"].meet()), shutdown=0.01)
    ref.tell(1)
    given["gate"].wait_reached()
""",
        gate=gate,
    )
    result.assert_outcomes(passed=1)


# -- what is left behind ------------------------------------------------------------------------


def test_a_thread_that_is_left_fails_the_test(
    run: Callable[..., pytest.RunResult], gate: Gate
) -> None:
    """It is named, and where it stands."""
    result = run(
        """
def stand(gate):
    gate.meet()

def test_leaks(supervisor, given):
    threading.Thread(target=stand, args=[given["gate"]], name="left-alone", daemon=True).start()

def test_next(supervisor):
    pass
""",
        gate=gate,
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_leaks*",
            "threads left behind (1):",
            "  left-alone, at",
            "*in stand",
            "*gate.meet()*",
        ]
    )


def test_a_worker_that_does_not_stop_fails_the_test(
    run: Callable[..., pytest.RunResult], gate: Gate
) -> None:
    """As one that was given up on, and as the thread that is left."""
    result = run(
        """
def test_hangs(supervisor, given):
    ref = supervisor.add_worker(handler(lambda _: given["gate"].meet()), id="deaf")
    ref.tell(1)
    given["gate"].wait_reached()
""",
        gate=gate,
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "crashes that the test did not announce (1):",
            "  'deaf' of 'test_hangs-*', incarnation 1: abandoned after * s in message",
            "threads left behind (1):",
            "  threadsup-deaf-1, at",
        ]
    )


def test_an_ask_without_an_answer_fails_the_test(
    run: Callable[..., pytest.RunResult],
) -> None:
    """Whether it was queued, in hand, or its answer was put off for ever."""
    result = run("""
class Forgetful(GenServer):
    def handle_call(self, request):
        self.defer()

def test_forgets(supervisor):
    supervisor.add_worker(Forgetful, id="server").ask("what", block=False)

def test_stands_still(supervisor):
    ref = supervisor.add_worker(receive_once, id="task")
    ref.ask("in hand", block=False)
    ref.ask("behind", block=False)
    assert taken.wait(10)

taken = threading.Event()

def receive_once():
    receive()
    taken.set()
    threadsup.sleep(60)

def test_answers_late(supervisor):
    go = threading.Event()
    ref = supervisor.add_worker(handler(lambda _: go.wait()))
    ref.ask("late", block=False)
    go.set()
""")
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_forgets*",
            "asks without an answer (1):",
            "  'server': 'the answer', deferred",
            "*ERROR at teardown of test_stands_still*",
            "asks without an answer (2):",
            "  'task': 'behind', queued",
            "  'task': 'in hand', in hand",
        ]
    )


def test_a_crash_that_was_not_announced_fails_the_test(
    run: Callable[..., pytest.RunResult],
) -> None:
    """Each with its traceback; those that were announced are not in the list."""
    result = run(
        """
def test_crashes(supervisor):
    ref = supervisor.add_worker(handler(fail), id="divider")
    crash(ref)
    with pytest.raises(ZeroDivisionError):
        ref.ask(0)
    assert ref.ask(1) == 1
""",
        "--show-capture=no",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_crashes*",
            "crashes that the test did not announce (1):",
            "  'divider' of 'test_crashes-*', incarnation 2: crashed: ZeroDivisionError: *",
            "*return 1 / message*",
        ]
    )
    assert "InjectedCrash" not in result.stdout.str()


def test_a_supervisor_that_is_left_running_fails_the_test(
    run: Callable[..., pytest.RunResult],
) -> None:
    """It is stopped, so that the next test does not meet it."""
    result = run("""
def test_starts_its_own(supervisor):
    Supervisor("mine").start()

def test_next(supervisor):
    assert len(threadsup.running()) == 1
""")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "supervisors left running (1):",
            "  'mine': use it as a context manager, or call stop()",
        ]
    )


def test_dead_letters_fail_a_test_that_says_so(run: Callable[..., pytest.RunResult]) -> None:
    """By the marker, or for all by the configuration; else they are nothing to speak of."""
    tests = """
class Awkward:
    def __repr__(self):
        raise OSError

def test_drops(supervisor):
    ref = supervisor.add_worker(handler(echo), id="w")
    ref.stop()
    ref = supervisor.add_worker(handler(fail), id="f", restart="temporary")
    with expect_crash(ref):
        ref.tell(0)

@pytest.mark.threadsup_checks(dead_letters=True)
def test_drops_more(supervisor):
    ref = supervisor.add_worker(handler(fail), id="f", restart="temporary")
    with expect_crash(ref):
        ref.tell(Awkward())
"""
    result = run(tests)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "dead letters (1):",
            "  'f' of 'test_drops_more-*': a Awkward whose repr raises OSError, failed: Type*",
        ]
    )
    run(tests, ini=f"threadsup_checks = crashes dead_letters\n{QUICK}").assert_outcomes(
        passed=2, errors=2
    )


def test_a_check_is_switched_off(run: Callable[..., pytest.RunResult]) -> None:
    """For one test, or for all."""
    tests = """
@pytest.mark.threadsup_checks(crashes=False)
def test_crashes(supervisor):
    ref = supervisor.add_worker(handler(fail))
    with pytest.raises(ZeroDivisionError):
        ref.ask(0)

def test_forgets(supervisor):
    ref = supervisor.add_worker(lambda: threadsup.sleep(60))
    ref.ask(0, block=False)
"""
    run(tests).assert_outcomes(passed=2, errors=1)
    run(tests, ini=f"threadsup_checks = threads\n{QUICK}").assert_outcomes(passed=2)


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ("threadsup_checks(crash=False)", "*there is no check 'crash'; there are crashes, asks, *"),
        ("threadsup_checks(crashes=1)", "*crashes must be True or False, not 1*"),
        (
            "threadsup_checks(stop_timeout='1')",
            "*stop_timeout must be a number of seconds of 0 or more, not '1'*",
        ),
        ("threadsup_checks(False)", "*@pytest.mark.threadsup_checks takes keywords only*"),
        ("supervisor('name')", "*@pytest.mark.supervisor takes keywords only*"),
        ("supervisor(restarts=1)", "*TypeError*restarts*"),
    ],
)
def test_a_wrong_marker_is_told(
    run: Callable[..., pytest.RunResult], marker: str, says: str
) -> None:
    """Before the test runs, with what there is."""
    result = run(f"@pytest.mark.{marker}\ndef test_it(supervisor): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([says])


@pytest.mark.parametrize(
    ("ini", "says"),
    [
        ("threadsup_checks = crashs", "*there is no crashs; there are crashes, asks, *"),
        ("threadsup_answer_timeout = nan", "*must be a number of seconds of 0 or more, not nan*"),
        (
            "threadsup_answer_timeout = soon",
            "*threadsup_answer_timeout must be a number *, not 'soon'*",
        ),
    ],
)
def test_a_wrong_option_ends_the_run(
    run: Callable[..., pytest.RunResult], ini: str, says: str
) -> None:
    """Nothing is run then."""
    result = run("def test_it(): pass", ini=ini)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([says])


# -- how it is found ------------------------------------------------------------------------------


def test_the_package_tells_pytest_of_the_plugin() -> None:
    """The entry point names a module that is there."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    points = tomllib.loads(text)["project"]["entry-points"]["pytest11"]
    module = import_module(points["threadsup"])
    assert module.MakeSupervisor is MakeSupervisor


def test_nobody_needs_pytest_who_does_not_test() -> None:
    """Neither the package nor its helpers for tests import it."""
    code = "import sys, threadsup, threadsup.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
