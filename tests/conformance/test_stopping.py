"""Who stops when, in which order, and who does not: `reliability.md` section 2.2, rows 23 to 34.

Every row runs for standalone workers, the members of a group and the stages of a chain.
What threads cannot do, and what is promised and tested instead:

* Row 23: there is no stop without a limit, so `inf` is refused where it is written. A
  limit may be as long as one likes, and a stop then waits as long.
* Rows 24, 25, 27, 33: a thread cannot be killed. Who overruns its limit is abandoned:
  named in the report, counted as a zombie, its messages settled, and the stop returns.
* Row 26, `brutal_kill`: `shutdown=0`, which waits for nobody.
* Rows 25, 27, 33, dynamic supervisors: the members of a group are asked together.
* Row 34: a thread has no link to cut; a worker that swallows what asks it to stop, or
  that has put something else in the place of its hooks, is as deaf.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from tests.conformance.scenes import (
    MEMBERSHIPS,
    PLACES,
    SHARED,
    Place,
    boom,
    noted,
    part,
    worker_of,
)
from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import (
    Abandoned,
    CallingSelfError,
    Crashed,
    NotRunningError,
    Shutdown,
    SpecError,
    StartError,
    Worker,
    WorkerExit,
    WorkerExited,
    current,
    events,
    receive,
    stage,
    worker_spec,
)
from threadsup._exits import reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.conftest import MakeScene
    from tests.conformance.scenes import Scene
    from threadsup import ExitReason, StopReport

STANDALONE, GROUP, CHAIN = MEMBERSHIPS
IN_TURN = (STANDALONE, CHAIN)
LONG = 3600.0
"""A limit that nobody reaches."""
SHORT = 0.05
"""A limit that who hangs overruns soon."""

everywhere = pytest.mark.parametrize("place", MEMBERSHIPS, ids=str)
in_turn = pytest.mark.parametrize("place", IN_TURN, ids=str)
shared = pytest.mark.parametrize("place", SHARED, ids=str)


class Stopping:
    """A stop that goes on in a thread of its own."""

    def __init__(self, at: Scene) -> None:
        self._at = at
        self._thread = threading.Thread(target=at.stop)
        self._thread.start()

    @property
    def waits(self) -> bool:
        """Whether it has not returned."""
        return self._thread.is_alive()

    def report(self) -> StopReport:
        """Wait until it has returned."""
        self._thread.join(PATIENCE)
        assert self._at.report is not None
        return self._at.report


@contextmanager
def opened(*gates: Gate) -> Iterator[None]:
    """Let everybody through the gates at the end, whatever happens, so that no thread is left."""
    try:
        yield
    finally:
        for gate in gates:
            gate.open()


def name(at: Scene, key: str) -> object:
    """Return how a report names a worker."""
    return key if at.membership == "worker" else ("scope", key)


def hang(at: Scene, key: str, gate: Gate) -> None:
    """Have a worker stand at a gate in the middle of a message."""
    before = gate.arrived
    at.tell(key, gate.meet)
    gate.wait_reached(before + 1)


# -- who stops in time ----------------------------------------------------------------


@everywhere
def test_a_stop_waits_as_long_as_a_worker_may_take(scene: MakeScene, place: Place) -> None:
    """Row 23: with a limit that is long enough the slow one ends with `Shutdown`, like the rest."""
    gate = Gate("on_stop")
    at = scene(place, part("a", stop=gate.meet, shutdown=LONG)).start()
    with opened(gate):
        stopping = Stopping(at)
        gate.wait_reached()
        assert stopping.waits
        assert at.exits["a"].items == []
    assert stopping.report().clean
    assert at.ended("a").reason == Shutdown()
    at.check(kept=["a"])


@pytest.mark.parametrize("describe", [worker_spec, stage])
def test_a_stop_without_limit_is_refused(describe: Any) -> None:
    """Row 23: every stop is bounded, so `inf` is no limit for a worker or a stage."""
    with pytest.raises(SpecError, match="shutdown"):
        describe(act_on, shutdown=inf)


def act_on(item: object) -> None:
    """Do nothing with an item."""


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_who_obeys_shuts_down_and_who_sleeps_is_abandoned(scene: MakeScene, place: Place) -> None:
    """Row 24: after its own limit, with what it was doing; the stop returns, nobody waits."""
    gate = Gate("the sleep")
    parts = part("good"), part("hung", shutdown=SHORT)
    at = scene(place, *parts).start()
    with opened(gate):
        hang(at, "hung", gate)
        waits = at.ask("hung", "queued")
        report = at.stop()
        (left,) = report.abandoned
        doing = "task" if place.kind == "task" else "message"
        assert (left.id, left.doing) == (name(at, "hung"), doing)
        assert left.since >= SHORT
        assert (report.clean, report.stopped, report.undelivered) == (False, 2, 1)
        assert str(name(at, "hung")) in str(report)
        assert at.sup.statistics().zombies == 1
        assert isinstance(waits.exception(PATIENCE), WorkerExited)
    assert at.ended("good").reason == Shutdown()
    reason = at.ended("hung").reason
    assert isinstance(reason, Abandoned)
    assert reason.after == pytest.approx(SHORT)
    assert reason.doing == doing
    assert at.sup.wait(PATIENCE) == Shutdown()
    at.check(kept=["good", "hung"])


@everywhere
@pytest.mark.parametrize("hook", ["stop", "failure"])
def test_who_hangs_in_a_last_hook_is_abandoned(scene: MakeScene, place: Place, hook: str) -> None:
    """Row 24: cleaning up counts against the limit like anything else."""
    gate = Gate(hook)
    at = scene(place, part("a", shutdown=SHORT, **{hook: gate.meet})).start()
    with opened(gate):
        if hook == "failure":
            at.tell("a", boom)
            gate.wait_reached()
        report = at.stop()
        assert [left.doing for left in report.abandoned] == [f"on_{hook}"]
    at.check(kept=["a"])


@pytest.mark.parametrize("place", [STANDALONE, GROUP], ids=str)
def test_who_hangs_in_its_start_is_abandoned(scene: MakeScene, place: Place) -> None:
    """Row 24: a stop does not wait for a start; who asked for it hears that nothing runs."""
    gate = Gate("on_start")
    at = scene(place, part("a")).start()
    heard: Recorder[BaseException] = Recorder()
    home: Any = at.sup if place == STANDALONE else at.group

    def add() -> None:
        class Slow(Worker):
            def on_start(self) -> None:
                gate.meet()

        try:
            home.add_worker(Slow, id="slow", shutdown=SHORT)
        except (NotRunningError, StartError) as error:
            heard(error)

    adding = threading.Thread(target=add)
    adding.start()
    with opened(gate):
        gate.wait_reached()
        report = at.stop()
        assert [(left.id, left.doing) for left in report.abandoned] == [
            (name(at, "slow"), "on_start")
        ]
        heard.wait_for(1)
    adding.join(PATIENCE)
    at.check(kept=["a"])


@everywhere
def test_nobody_waits_for_who_is_to_be_stopped_brutally(scene: MakeScene, place: Place) -> None:
    """Row 26: `shutdown=0` is abandoned at once and reported, the others shut down."""
    gate = Gate("the work")
    at = scene(place, part("good"), part("brutal", shutdown=0.0)).start()
    with opened(gate):
        hang(at, "brutal", gate)
        report = at.stop()
        assert [left.id for left in report.abandoned] == [name(at, "brutal")]
    assert at.ended("good").reason == Shutdown()
    assert isinstance(at.ended("brutal").reason, Abandoned)
    at.check(kept=["good", "brutal"])


@everywhere
def test_ten_that_refuse_to_stop_are_all_reported(scene: MakeScene, place: Place) -> None:
    """Rows 25, 27: ten zombies, each named, and a stop that never takes the sum of the limits."""
    gate = Gate("the work")
    keys = [f"w{number}" for number in range(10)]
    at = scene(place, *(part(key, shutdown=0.3) for key in keys)).start()
    with opened(gate):
        for key in keys:
            hang(at, key, gate)
        report = at.stop()
        assert {left.id for left in report.abandoned} == {name(at, key) for key in keys}
        assert at.sup.statistics().zombies == 10
        assert report.seconds < 2.0  # ten in turn would take 3.0
    assert not report.clean
    at.check(kept=keys)


@everywhere
def test_the_zombie_budget_is_honoured(scene: MakeScene, place: Place) -> None:
    """Row 27: who hangs is replaced while there are few zombies; past the budget it gives up."""
    gate = Gate("the work")
    at = scene(place, part("a", shutdown=0.2), tree={"max_zombies": 1}).start()
    with opened(gate):
        hang(at, "a", gate)
        at.restart("a")
        assert at.incarnation("a") == 2
        assert at.answers("a")
        hang(at, "a", gate)
        with suppress(NotRunningError):
            at.restart("a")
        at.gave_up("a")
        at.ended("a", 3)
        at.sync()
        assert at.sup.failed() == (at.owner("a"),)
        assert at.sup.statistics().zombies == 2
    at.check(up=())


# -- order ----------------------------------------------------------------------------

UNSORTED = ("m", "c", "x", "a", "k")


@everywhere
def test_the_order_of_starting_is_the_declared_one(scene: MakeScene, place: Place) -> None:
    """Row 30: whatever the ids."""
    log: Recorder[str] = Recorder()
    at = scene(place, *(noted(key, log) for key in UNSORTED)).start()
    assert log.items == [f"+{key}1" for key in UNSORTED]
    at.check(kept=UNSORTED)


@in_turn
def test_the_order_of_stopping_is_the_reverse(scene: MakeScene, place: Place) -> None:
    """Row 32: children of a supervisor, and stages, stop strictly one after another."""
    log: Recorder[str] = Recorder()
    at = scene(place, *(noted(key, log) for key in UNSORTED)).start()
    at.stop()
    assert log.items[5:] == [f"-{key}1" for key in reversed(UNSORTED)]
    ended = [worker_of(event) for event in at.all_of(events.WorkerEnded)]
    assert ended == [*reversed(UNSORTED), "outside"]
    at.check(kept=UNSORTED)


@in_turn
def test_nobody_is_asked_before_its_turn(scene: MakeScene, place: Place) -> None:
    """Row 32: while the last one takes its time, the one before it works on."""
    gate = Gate("on_stop")
    at = scene(place, part("a"), part("b", stop=gate.meet, shutdown=LONG)).start()
    if place == CHAIN:  # an item of `a` would wait for `b`
        asked = at.ask("a", lambda: current().stopping)  # type: ignore[union-attr]
        assert asked.result(PATIENCE) is False
    with opened(gate):
        stopping = Stopping(at)
        gate.wait_reached()
        if place == STANDALONE:
            asked = at.ask("a", lambda: current().stopping)  # type: ignore[union-attr]
            assert asked.result(PATIENCE) is False
        assert at.handle("a").is_alive()
        assert at.exits["a"].items == []
    assert stopping.report().clean
    at.check(kept=["a", "b"])


def test_scopes_stop_in_reverse_order_each_in_its_own_way(scene: MakeScene) -> None:
    """Rows 30, 32: a worker, a group and a chain start as declared and stop the other way."""
    log: Recorder[str] = Recorder()
    at = scene(CHAIN, noted("first", log), noted("last", log))
    at.sup.add_worker(Noting, log, "beside", id="beside")
    team = at.sup.add_group("team")
    team.add_worker(Noting, log, "member", id="member")
    at.start()
    assert log.items == ["+first1", "+last1", "+beside", "+member"]
    at.stop()
    assert log.items[4:] == ["-member", "-beside", "-last1", "-first1"]
    at.check(kept=["first", "last"])


class Noting(Worker):
    """A worker that notes its start and its stop under a name."""

    def __init__(self, log: Recorder[str], name: str) -> None:
        self._log = log
        self._name = name

    def on_start(self) -> None:
        self._log(f"+{self._name}")

    def on_stop(self) -> None:
        self._log(f"-{self._name}")


@shared
def test_a_partial_restart_keeps_the_order(scene: MakeScene, place: Place) -> None:
    """Row 31: rest for one on the third of five: 5 and 4 stopped, then 3, 4, 5 started."""
    log: Recorder[str] = Recorder()
    parts = [noted(key, log) for key in UNSORTED]
    at = scene(place, *parts, strategy="rest_for_one").start()
    at.tell("x", boom)
    at.up("k", 2)
    stopped = log.items[6:8]
    if place == GROUP:  # asked together, so either may be down first
        stopped.sort(reverse=True)
    assert [*log.items[5:6], *stopped, *log.items[8:]] == [
        "!x1", "-k1", "-a1", "+x2", "+a2", "+k2",
    ]  # fmt: skip
    at.check(kept=["m", "c"])


def test_members_of_a_group_are_asked_together(scene: MakeScene) -> None:
    """Rows 25, 32, 33: each is in its `on_stop` while all the others are."""
    barrier = threading.Barrier(len(UNSORTED))

    def meet() -> None:
        barrier.wait(PATIENCE)

    at = scene(GROUP, *(part(key, stop=meet) for key in UNSORTED)).start()
    assert at.stop().clean
    assert [at.ended(key).reason for key in UNSORTED] == [Shutdown()] * 5
    at.check(kept=UNSORTED)


def test_a_member_that_takes_its_time_holds_up_no_other(scene: MakeScene) -> None:
    """Rows 25, 33: the others are down while it is not, and the stop waits for it alone."""
    gate = Gate("the work")
    at = scene(GROUP, *(part(key, shutdown=LONG) for key in UNSORTED)).start()
    with opened(gate):
        hang(at, "x", gate)
        stopping = Stopping(at)
        for key in UNSORTED:
            if key != "x":
                assert at.ended(key).reason == Shutdown()
        assert stopping.waits
        assert at.exits["x"].items == []
    assert stopping.report().clean
    at.check(kept=UNSORTED)


def test_who_overruns_in_a_group_costs_its_own_limit_only(scene: MakeScene) -> None:
    """Row 33: those that need a while have it, one that needs too long is abandoned alone."""
    gate, slow = Gate("the work"), Gate("on_stop")
    parts = [part(key, stop=slow.meet, shutdown=LONG) for key in "abc"]
    at = scene(GROUP, *parts, part("hung", shutdown=SHORT)).start()
    with opened(gate, slow):
        hang(at, "hung", gate)
        stopping = Stopping(at)
        slow.wait_reached(3)
        assert isinstance(at.ended("hung").reason, Abandoned)
        assert stopping.waits
        slow.open()
        report = stopping.report()
    assert [left.id for left in report.abandoned] == [("scope", "hung")]
    assert [at.ended(key).reason for key in "abc"] == [Shutdown()] * 3
    at.check(kept=at.ids)


@in_turn
def test_the_rest_is_asked_at_once_when_one_has_overrun(scene: MakeScene, place: Place) -> None:
    """Rows 24, 25: those before the one that hangs then stop together, each in its own time."""
    gate = Gate("the work")
    barrier = threading.Barrier(2)

    def meet() -> None:
        barrier.wait(PATIENCE)

    parts = part("a", stop=meet), part("b", stop=meet), part("hung", shutdown=SHORT)
    at = scene(place, *parts).start()
    with opened(gate):
        hang(at, "hung", gate)
        report = at.stop()
        assert [left.id for left in report.abandoned] == [name(at, "hung")]
    assert [at.ended(key).reason for key in "ab"] == [Shutdown()] * 2
    at.check(kept=at.ids)


# -- ends in the middle of a stop -----------------------------------------------------

RACE: tuple[tuple[str, str, Any], ...] = tuple(
    (f"{restart}-{number}", restart, reason)
    for restart in ("permanent", "transient", "temporary")
    for number, reason in enumerate(
        [SystemExit, WorkerExit, WorkerExit(Shutdown("enough")), RuntimeError("boom")]
    )
)


def reason_for(error: Any) -> ExitReason:
    """Return the exit reason of a worker that leaves with `error`."""
    return reason_of(error() if isinstance(error, type) else error)


def meet_and_leave(gate: Gate, error: BaseException | type[BaseException]) -> None:
    """Stand at a gate, then leave with an error."""
    gate.meet()
    raise error


def bare(reason: ExitReason) -> object:
    """Return a reason without its traceback."""
    return reason.error if isinstance(reason, Crashed) else reason


@everywhere
def test_workers_that_end_by_themselves_while_they_are_stopped(
    scene: MakeScene, place: Place
) -> None:
    """Row 28: twelve ends of all kinds and types in a stop: each kept, none restarted.

    The slow one is asked first and holds up the stop, the first one is asked last; in a
    group, where all are asked, the twelve end by themselves after they were.
    """
    work, slow, first = Gate("the work"), Gate("slow"), Gate("first")
    parts = [
        part("first", stop=first.meet, shutdown=LONG),
        *(part(key, restart=restart, shutdown=LONG) for key, restart, _ in RACE),
        part("slow", stop=slow.meet, shutdown=LONG),
    ]
    at = scene(place, *parts, max_restarts=0).start()
    with opened(work, slow, first):
        for key, _, error in RACE:
            at.tell(key, partial(meet_and_leave, work, error))
        work.wait_reached(12)
        stopping = Stopping(at)
        slow.wait_reached()
        if place == GROUP:
            first.wait_reached()  # the last one to be asked: now all have been
        work.open()
        for key, _, error in RACE:
            ended = at.ended(key)
            assert bare(ended.reason) == bare(reason_for(error))
            assert (ended.incarnation, ended.final) == (1, True)
        assert stopping.waits
        slow.open()
        assert at.ended("slow").reason == Shutdown()
        first.open()
        report = stopping.report()
    assert (report.clean, report.stopped) == (True, 15)
    assert at.sup.wait(PATIENCE) == Shutdown()
    order = [worker_of(event) for event in at.all_of(events.WorkerEnded)]
    assert order[-2:] == ["first", "outside"]
    assert at.all_of(events.Restarting) == at.all_of(events.GaveUp) == []
    assert at.sup.failed() == ()
    at.check(kept=at.ids)


@everywhere
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()], ids=repr
)
def test_an_odd_end_after_it_was_asked_disturbs_no_stop(
    scene: MakeScene, place: Place, restart: str, error: BaseException
) -> None:
    """Row 29; F16: it was asked, and leaves with something else: that is its reason, no restart."""
    gate = Gate("on_stop")

    def stop() -> None:
        gate.meet()
        raise error

    at = scene(place, part("a", restart=restart, stop=stop, shutdown=LONG), part("b")).start()
    with opened(gate):
        stopping = Stopping(at)
        gate.wait_reached()
    assert stopping.report().clean
    assert bare(at.ended("a").reason) == bare(reason_for(error))
    assert at.ended("a").final
    assert at.all_of(events.Restarting) == []
    assert [worker_of(event) for event in at.all_of(events.WorkerEnded)].count("a") == 1
    at.check(kept=["a", "b"])


# -- who is deaf ----------------------------------------------------------------------


@pytest.mark.parametrize("place", [Place("worker", "task"), Place("group", "task")], ids=str)
def test_a_task_that_swallows_what_asks_it_to_stop_is_abandoned(
    scene: MakeScene, place: Place
) -> None:
    """Row 34: it gets the exception once, and is given up on after its limit."""
    release = threading.Event()
    swallowed: Recorder[str] = Recorder()

    def deaf() -> None:
        try:
            receive()
        except WorkerExit:
            swallowed("once")
        release.wait(PATIENCE)

    at = scene(place, part("a", deaf, shutdown=SHORT)).start()
    report = at.stop()
    assert [(left.id, left.doing) for left in report.abandoned] == [(name(at, "a"), "task")]
    assert swallowed.items == ["once"]
    release.set()
    at.check(kept=["a"])


@pytest.mark.parametrize("place", [Place("worker", "task"), Place("group", "task")], ids=str)
def test_a_task_that_never_listens_is_abandoned(scene: MakeScene, place: Place) -> None:
    """Row 34: whatever it catches, in a loop round its waits, the supervisor goes on serving."""
    release = threading.Event()
    waits: Recorder[str] = Recorder()

    def deaf() -> None:
        while not release.is_set():
            try:
                receive()
            except BaseException:
                if len(waits) == 0:
                    waits("asked")

    at = scene(place, part("a", deaf, shutdown=SHORT)).start()
    home: Any = at.sup if place.membership == "worker" else at.group
    home.stop_child("a", PATIENCE)
    waits.wait_for(1)
    assert isinstance(at.ended("a").reason, Abandoned)
    assert at.state("a") == "held"
    assert at.sup.statistics().zombies == 1
    release.set()
    at.restart("a")
    assert at.incarnation("a") == 2
    home.remove_child("a", PATIENCE)
    at.check(up=())


class Vandal(Worker):
    """A worker that puts something else in the place of its hooks."""

    def on_receive(self, message: Any) -> Any:
        if message == "vandalise":
            for hook in ("on_start", "on_stop", "on_failure"):
                setattr(self, hook, None)
        return message() if callable(message) else message


class PykkaVandal(pykka.ThreadingActor):
    """The same, which takes Pykka's own attributes with it."""

    def on_receive(self, message: Any) -> Any:
        if message == "vandalise":
            hooks = ("on_start", "on_stop", "on_failure")
            for attribute in (
                *hooks,
                "actor_inbox",
                "actor_ref",
                "actor_stopped",
                "_handle_receive",
            ):
                setattr(self, attribute, None)
        return message() if callable(message) else message


VANDALS = (
    (STANDALONE, Vandal),
    (STANDALONE, PykkaVandal),
    (GROUP, Vandal),
    (GROUP, PykkaVandal),
    (CHAIN, Vandal),
)


@pytest.mark.parametrize(("place", "vandal"), VANDALS)
def test_a_worker_without_hooks_is_restarted_and_stopped(
    scene: MakeScene, place: Place, vandal: type
) -> None:
    """Row 34; F24: its end is seen, what fails is told, the next one has its hooks again."""
    at = scene(place, part("a", vandal)).start()
    at.tell("a", "vandalise")
    at.tell("a", boom)
    at.up("a", 2)
    assert isinstance(at.ended("a").reason, Crashed)
    at.tell("a", "vandalise")
    assert at.answers("a")
    assert at.stop().clean
    assert isinstance(at.ended("a", 2).reason, Crashed)  # of its missing `on_stop`
    at.check()


# -- the limit of the whole -----------------------------------------------------------


@everywhere
def test_a_limit_caps_the_whole_stop(scene: MakeScene, place: Place) -> None:
    """Row 24: `stop(timeout)` overrules every `shutdown`; who was never asked is asked in time."""
    gate = Gate("the work")
    parts = [part(key, shutdown=LONG) for key in ("good", "hung")]
    at = scene(place, *parts).start()
    with opened(gate):
        hang(at, "hung", gate)
        report = at.stop(0.6)
        assert [left.id for left in report.abandoned] == [name(at, "hung")]
        assert report.seconds < PATIENCE
    assert at.ended("good").reason == Shutdown()
    at.check(kept=["good", "hung"])


@everywhere
def test_a_second_stop_may_shorten_the_first(scene: MakeScene, place: Place) -> None:
    """Row 24: whoever is quicker decides; both get the same report."""
    gate = Gate("the work")
    at = scene(place, part("a", shutdown=LONG)).start()
    with opened(gate):
        hang(at, "a", gate)
        stopping = Stopping(at)
        second = at.sup.stop(SHORT)
        first = stopping.report()
        assert first == second
        assert [left.id for left in second.abandoned] == [name(at, "a")]
    at.check(kept=["a"])


@everywhere
def test_a_stop_from_inside_is_refused_and_a_request_is_not(scene: MakeScene, place: Place) -> None:
    """Row 34: a worker that would wait for its own end is told; asking for it never waits."""
    at = scene(place, part("a")).start()
    refused = at.ask("a", at.sup.stop)
    assert isinstance(refused.exception(PATIENCE), CallingSelfError)
    at.up("a", 2)
    at.ask("a", lambda: at.sup.request_stop("enough")).result(PATIENCE)
    assert at.sup.wait(PATIENCE) == Shutdown("enough")
    assert at.stop().clean
    at.check()
