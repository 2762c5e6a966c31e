"""What goes wrong inside worker code: `reliability.md` section 3.1, F1 to F16.

Every fault runs for a standalone worker, a member of a group and a stage of a chain, in
every kind of worker that can have it, and is followed by `Scene.check`. Besides:

* F2 for a stage: an item is submitted, not asked; its future gets the exception.
* F5, F7, F8 for tasks and functions: they have no start code and are up when their
  thread is, so there is nothing that could fail before.
* F10: a thread that is dead without a word does not occur, the boundary reports every
  way out of it; that `_thread.exit()` in the start code is one of them is tested.
* F11: that a stop and a removal are served between attempts is with rows 91 to 95.
* F13, the storms, and a thread that cannot be started, F72, are in `test_storms.py`.
* F16 is with rows 28 and 29 in `test_stopping.py`, and here for a restart under way.
"""

from __future__ import annotations

import _thread
import threading
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from tests.conformance.scenes import (
    CLASSES,
    MEMBERSHIPS,
    PLACES,
    SHARED,
    Boom,
    Place,
    boom,
    incarnation,
    noted,
    only_in,
    part,
    raising,
)
from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import (
    Abandoned,
    Backoff,
    Crashed,
    Normal,
    Shutdown,
    StartError,
    UnknownChildError,
    WorkerExited,
    events,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conformance.conftest import MakeScene
    from tests.conformance.scenes import Scene

STANDALONE, GROUP, CHAIN = MEMBERSHIPS


class Halt(BaseException):
    """A `BaseException` of a user's own."""


LEAVING: tuple[Callable[[], BaseException], ...] = (
    SystemExit,
    lambda: SystemExit(0),
    lambda: SystemExit(3),
    lambda: SystemExit("some text"),
    KeyboardInterrupt,
    GeneratorExit,
    Halt,
)
"""What is no `Exception`, made anew for each raise."""

ANYTHING = (Boom, *LEAVING)


def named(make: Callable[[], BaseException]) -> str:
    """Return how a test calls an error."""
    return repr(make())


def raiser(make: Callable[[], BaseException]) -> Callable[[], object]:
    """Return what raises a new error at each call."""

    def fail() -> object:
        raise make()

    return fail


def clean(make: Callable[[], BaseException]) -> bool:
    """Tell whether leaving with this error is a normal end."""
    error = make()
    return isinstance(error, SystemExit) and not error.code


everywhere = pytest.mark.parametrize("place", MEMBERSHIPS, ids=str)
every_place = pytest.mark.parametrize("place", PLACES, ids=str)
every_class = pytest.mark.parametrize("place", CLASSES, ids=str)
shared = pytest.mark.parametrize("place", SHARED, ids=str)
leaving = pytest.mark.parametrize("make", LEAVING, ids=named)
anything = pytest.mark.parametrize("make", ANYTHING, ids=named)


# -- in a message ---------------------------------------------------------------------


@every_place
def test_an_exception_over_a_message_that_was_told(scene: MakeScene, place: Place) -> None:
    """F1: one exit with that reason, one restart; the message has failed and is not run again."""
    runs: Recorder[int] = Recorder()

    def fail() -> None:
        runs(incarnation())
        raise Boom("once")

    at = scene(place, part("a", restart="permanent")).start()
    at.tell("a", fail)
    at.up("a", 2)
    assert at.answers("a")
    assert runs.items == [1]
    (ended,) = at.exits["a"].items
    assert isinstance(ended.reason, Crashed)
    assert ended.reason.error == "Boom: once"
    counts = at.kept("a").statistics()
    assert (counts.failed, counts.undelivered, counts.restarts) == (1, 0, 1)
    (letter,) = at.sup.dead_letters()
    assert letter.message is fail
    assert (letter.to, letter.reason, letter.error) == (
        "a" if place.membership == "worker" else ("scope", "a"),
        "failed",
        "Boom: once",
    )
    at.check()


@pytest.mark.parametrize("place", [p for p in PLACES if p.kind != "pykka"], ids=str)
def test_an_exception_over_a_message_that_was_asked(scene: MakeScene, place: Place) -> None:
    """F2: the asker gets the very exception, and it is a crash all the same."""
    error = Boom("asked")
    at = scene(place, part("a", restart="permanent")).start()
    future = at.ask("a", raising(error))
    assert future.exception(PATIENCE) is error
    at.up("a", 2)
    assert at.answers("a")
    assert len(at.exits["a"].items) == 1
    at.check()


ASKED = tuple(
    place
    for place in PLACES
    if place.membership != "chain" and place.kind in {"handler", "worker", "pykka"}
)


@pytest.mark.parametrize("policy", ["crash", "reply", None])
@pytest.mark.parametrize("place", ASKED, ids=str)
def test_what_an_exception_does_besides_answering_can_be_chosen(
    scene: MakeScene, place: Place, policy: str | None
) -> None:
    """F2: a crash, or only an answer; that is the default for plain Pykka classes alone."""
    options = {} if policy is None else {"on_ask_error": policy}
    keeps = policy == "reply" or (policy is None and place.kind == "pykka")
    error = Boom("asked")
    at = scene(place, part("a", restart="permanent", **options)).start()
    assert at.ask("a", raising(error)).exception(PATIENCE) is error
    if not keeps:
        at.up("a", 2)
    assert at.answers("a")
    assert at.incarnation("a") == (1 if keeps else 2)
    assert at.kept("a").statistics().failed == 1
    at.check()


@leaving
@every_place
@pytest.mark.parametrize("asked", [True, False], ids=["asked", "told"])
def test_what_is_no_exception_ends_this_worker_only(
    scene: MakeScene, place: Place, make: Callable[[], BaseException], *, asked: bool
) -> None:
    """F3, F4: the end of this worker, normal or not; an asker is told with the cause chained."""
    at = scene(place, part("a", restart="permanent")).start()
    if asked:
        error = at.ask("a", raiser(make)).exception(PATIENCE)
        assert isinstance(error, WorkerExited)
        assert type(error.__cause__) is type(make())
    else:
        at.tell("a", raiser(make))
    at.up("a", 2)
    reason = at.ended("a").reason
    assert isinstance(reason, Normal) if clean(make) else isinstance(reason, Crashed)
    assert at.kept("a").statistics().failed == 1
    assert at.answers("a")
    at.check()


class Plain(pykka.ThreadingActor):
    """An actor of somebody else, in no tree."""

    def on_receive(self, message: Any) -> Any:
        return message


@leaving
@every_class
def test_actors_of_others_are_left_alone(
    scene: MakeScene, place: Place, make: Callable[[], BaseException]
) -> None:
    """F3, F4: Pykka's branch that stops all actors of the process is never reached."""
    stranger = Plain.start()
    try:
        at = scene(place, part("a", restart="permanent", stop=raiser(make))).start()
        at.tell("a", raiser(make))
        at.up("a", 2)
        assert stranger.ask("still there?", timeout=PATIENCE) == "still there?"
        at.check()
        assert pykka.ActorRegistry.get_all() == [stranger]
    finally:
        stranger.stop()


@anything
@pytest.mark.parametrize("place", [p for p in PLACES if p.kind == "task"], ids=str)
def test_a_task_that_fails_by_itself(
    scene: MakeScene, place: Place, make: Callable[[], BaseException]
) -> None:
    """F1, F3, F4 for a task without a message: its end, with that reason, and a restart."""
    gate = Gate("second life")

    def run() -> None:
        if incarnation() > 1:
            gate.meet()
        raise make()

    at = scene(place, part("a", run, restart="permanent", shutdown=0.0)).start()
    gate.wait_reached()
    reason = at.ended("a").reason
    assert isinstance(reason, Normal) if clean(make) else isinstance(reason, Crashed)
    at.stop()
    gate.open()
    at.check()


# -- in the start ---------------------------------------------------------------------


@anything
@every_class
@pytest.mark.parametrize("hook", ["init", "start"])
def test_a_first_start_that_fails_starts_nothing(
    scene: MakeScene, place: Place, make: Callable[[], BaseException], hook: str
) -> None:
    """F5, F7, F8: the caller gets a `StartError` with the cause; what was up is down again."""
    at = scene(place, part("before"), part("a", **{hook: raiser(make)}), part("after"))
    with pytest.raises(StartError) as failure:
        at.start()
    assert "a" in str(failure.value)
    assert type(failure.value.__cause__) is type(make())
    assert pykka.ActorRegistry.get_all() == []
    assert at.incarnation("before") == 1
    assert at.incarnation("after") == 0
    at.stop()
    at.check()


@anything
@pytest.mark.parametrize("place", [p for p in CLASSES if p.membership != "chain"], ids=str)
@pytest.mark.parametrize("hook", ["init", "start"])
def test_a_start_at_run_time_that_fails_leaves_nothing(
    scene: MakeScene, place: Place, make: Callable[[], BaseException], hook: str
) -> None:
    """F5, F7, F8: the caller is told why, its id is free, nobody else has noticed."""
    at = scene(place, part("b")).start()
    with pytest.raises(StartError) as failure:
        at.add(part("a", **{hook: raiser(make)}))
    assert type(failure.value.__cause__) is type(make())
    with pytest.raises(UnknownChildError):
        at.ref("a")
    assert at.all_of(events.Restarting) == []
    at.add(part("a"))
    assert at.answers("a")
    at.check(kept=["b"])


@anything
@pytest.mark.parametrize("hook", ["init", "start"])
@pytest.mark.parametrize("place", [p for p in CLASSES if p.membership == "chain"], ids=str)
def test_a_chain_added_at_run_time_that_fails_leaves_nothing(
    scene: MakeScene, place: Place, make: Callable[[], BaseException], hook: str
) -> None:
    """F5, F7, F8 for a stage: the chain is not added, those of its stages that were up are down."""
    at = scene(place, part("first")).start()
    other = [at.stage_of(part("x")), at.stage_of(part("y", **{hook: raiser(make)}))]
    with pytest.raises(StartError) as failure:
        at.sup.add_chain("other", other)
    assert type(failure.value.__cause__) is type(make())
    assert "other" not in at.sup
    at.check(kept=["first"])


@anything
@every_class
@pytest.mark.parametrize("hook", ["init", "start"])
def test_a_restart_that_fails_is_tried_again(
    scene: MakeScene, place: Place, make: Callable[[], BaseException], hook: str
) -> None:
    """F5, F7, F8, F11: a start that does not return is a failed one, however it leaves."""
    at = scene(place, part("a", **{hook: only_in([2], raiser(make))}, restart="transient")).start()
    at.tell("a", boom)
    at.up("a", 3)
    assert at.answers("a")
    assert len(at.all_of(events.Restarting)) == 2
    assert [event.incarnation for event in at.all_of(events.WorkerStarted, "a")] == [1, 3]
    at.check()


@everywhere
@pytest.mark.parametrize("failing", [1, 3])
def test_a_restart_works_when_a_start_does(scene: MakeScene, place: Place, failing: int) -> None:
    """F11: it fails once, or three times, then works; each attempt is paid, nothing is lost."""
    log: Recorder[str] = Recorder()
    bad = range(2, 2 + failing)
    at = scene(place, noted("a", log, bad), max_restarts=failing + 1).start()
    answers = [at.ask("a", boom), at.ask("a", "queued")]
    assert answers[1].result(PATIENCE) == "queued"
    assert log.items == ["+a1", "!a1", *(f"xa{number}" for number in bad), f"+a{failing + 2}"]
    at.sync()
    assert len(at.all_of(events.Restarting)) == failing + 1
    at.check()


@everywhere
def test_pauses_grow_while_a_start_keeps_failing(scene: MakeScene, place: Place) -> None:
    """F11: the first attempt is at once, then the pauses are those of the backoff; then give up."""
    backoff = Backoff(initial=0.001, factor=2.0, maximum=0.003, jitter=0.0)
    at = scene(
        place, part("a", start=only_in(range(2, 99), boom)), max_restarts=5, backoff=backoff
    ).start()
    at.tell("a", boom)
    at.gave_up("a")
    at.sync()
    delays = [event.delay for event in at.all_of(events.Restarting)]
    assert delays == [0.0, 0.001, 0.002, 0.003, 0.003]
    assert at.sup.failed() == (at.owner("a"),)
    at.check(up=())


@everywhere
def test_a_start_that_hangs_holds_up_nobody(scene: MakeScene, place: Place) -> None:
    """F9: while it hangs in a restart the supervisor answers, and others are restarted."""
    gate = Gate("on_start")
    at = scene(place, part("a", start=only_in([2], gate.meet), start_timeout=3600.0)).start()
    other = at.sup.add_worker(boom, id="other", restart="temporary")
    try:
        at.tell("a", boom)
        gate.wait_reached()
        at.sync()
        assert isinstance(other.wait(PATIENCE), Crashed)
        assert at.state("a") == "starting"
        assert not at.kept("a").is_alive()
    finally:
        gate.open()
    at.up("a", 2)
    at.check()


@every_class
def test_a_first_start_that_hangs_has_failed(scene: MakeScene, place: Place) -> None:
    """F9: after `start_timeout` it is abandoned, the start fails and says so."""
    gate = Gate("on_start")
    at = scene(place, part("before"), part("a", start=gate.meet, start_timeout=0.05))
    try:
        with pytest.raises(StartError, match="abandoned"):
            at.start()
        report = at.stop()
        assert [left.doing for left in report.abandoned] == ["on_start"]
    finally:
        gate.open()
    at.check(kept=["before", "a"])


@everywhere
def test_a_restart_that_hangs_is_tried_again(scene: MakeScene, place: Place) -> None:
    """F9: the next attempt replaces it; what it does when it wakes up counts for nothing."""
    gate, hooks = Gate("on_start"), Recorder[int]()

    def start() -> None:
        if incarnation() == 2:
            gate.meet()

    at = scene(
        place, part("a", start=start, stop=lambda: hooks(incarnation()), start_timeout=0.2)
    ).start()
    try:
        at.tell("a", boom)
        at.up("a", 3)
        assert isinstance(at.ended("a", 2).reason, Abandoned)
        assert at.sup.statistics().zombies == 1
    finally:
        gate.open()
    hooks.wait_for(1)  # it cleans up after itself, and leaves the messages to the next one
    runners: Recorder[int] = Recorder()
    for _ in range(50):
        at.tell("a", lambda: runners(incarnation()))
    assert runners.wait_for(50) == [3] * 50
    at.check()


@every_class
def test_a_thread_that_leaves_in_its_start(scene: MakeScene, place: Place) -> None:
    """F10: its end is seen at once, not waited for until the start has timed out."""
    at = scene(place, part("a", start=only_in([2], _thread.exit), start_timeout=3600.0)).start()
    at.tell("a", boom)
    at.up("a", 3)
    assert at.ended("a", 2).reason == Normal()
    at.check()


# -- in the last hooks ----------------------------------------------------------------


@anything
@every_class
def test_a_stop_hook_that_fails(
    scene: MakeScene, place: Place, make: Callable[[], BaseException]
) -> None:
    """F6: it runs once, the stop is complete and clean, what it failed with is the reason."""
    stops: Recorder[int] = Recorder()

    def stop() -> None:
        stops(incarnation())
        raise make()

    at = scene(place, part("a", stop=stop, restart="permanent"), part("b")).start()
    report = at.stop()
    assert report.clean
    assert stops.items == [1]
    reason = at.ended("a").reason
    assert reason == Shutdown() if clean(make) else isinstance(reason, Crashed)
    assert at.ended("b").reason == Shutdown()
    at.check(kept=["a", "b"])


@anything
@every_class
def test_a_failure_hook_that_fails(
    scene: MakeScene, place: Place, make: Callable[[], BaseException]
) -> None:
    """F6: it runs once, changes nothing of the end that was under way, and is told."""
    failures: Recorder[int] = Recorder()

    def failure() -> None:
        failures(incarnation())
        raise make()

    at = scene(place, part("a", failure=failure, restart="permanent")).start()
    at.tell("a", boom)
    at.up("a", 2)
    reason = at.ended("a").reason
    assert isinstance(reason, Crashed)
    assert reason.error == "Boom: boom"
    assert failures.items == [1]
    at.sync()
    told = [event.what for event in at.all_of(events.CallbackFailed, "a")]
    assert len(told) == (0 if clean(make) else 1)
    at.check()


@shared
@anything
def test_a_stop_hook_that_fails_in_a_restart(
    scene: MakeScene, place: Place, make: Callable[[], BaseException]
) -> None:
    """F12: the others are stopped and restarted all the same; it is told once and not paid for."""
    log: Recorder[str] = Recorder()
    bad = part("b", stop=raiser(make))
    at = scene(
        place, noted("a", log), bad, noted("c", log), strategy="one_for_all", max_restarts=1
    ).start()
    at.tell("a", boom)
    at.up("c", 2)
    at.sync()
    assert log.items == ["+a1", "+c1", "!a1", "-c1", "+a2", "+c2"]
    assert at.incarnation("b") == 2
    assert len(at.all_of(events.WorkerEnded, "b")) == 1
    assert len(at.all_of(events.Restarting)) == 1
    at.check()


@shared
@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_crash_of_one_that_is_being_taken_down(
    scene: MakeScene, place: Place, strategy: str
) -> None:
    """F15, F16: it was asked and crashes instead: no second restart, nothing handled twice."""
    work, asked = Gate("the work"), Gate("on_stop")
    parts = part("a"), part("b"), part("c", stop=only_in([1], asked.meet))
    at = scene(place, *parts, strategy=strategy, max_restarts=1).start()

    def hang() -> None:
        work.meet()
        raise Boom("late")

    at.tell("b", hang)
    work.wait_reached()
    at.tell("a", boom)
    asked.wait_reached()  # in a group both have been asked; in a chain `b` is next
    asked.open()
    at.ended("c")
    work.open()
    at.up("c", 2)
    at.sync()
    assert isinstance(at.ended("b").reason, Crashed)
    assert [at.incarnation(key) for key in "abc"] == [2, 2, 2]
    assert len(at.all_of(events.Restarting)) == 1
    at.check()


# -- several at once ------------------------------------------------------------------


@pytest.fixture
def held_start(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Gate]:
    """Return what has the supervisor stand at a gate when it starts the thread of that name."""
    gates: dict[str, Gate] = {}
    start = threading.Thread.start

    def held(thread: threading.Thread) -> None:
        if thread.name in gates:
            gates[thread.name].meet()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", held)

    def hold(thread: str) -> Gate:
        return gates.setdefault(thread, Gate(f"start of {thread}"))

    return hold


def reported(*names: str) -> None:
    """Wait until threads are gone, and so have reported their end."""
    for thread in threading.enumerate():
        if thread.name in names:
            thread.join(PATIENCE)


@everywhere
def test_a_crash_while_the_last_one_is_handled(
    scene: MakeScene, place: Place, held_start: Callable[[str], Gate]
) -> None:
    """F15: the supervisor is in the middle of restarting the first: no event lost, none twice."""
    gate = held_start(place.thread("a", 2))
    parts = part("a"), part("b"), part("c"), part("d")
    options = {} if place == STANDALONE else {"strategy": "one_for_one"}
    at = scene(place, *parts, max_restarts=9, **options).start()
    at.tell("a", boom)
    gate.wait_reached()
    failed = [at.ask(key, boom) for key in "bc"]
    for future in failed:
        assert isinstance(future.exception(PATIENCE), Boom)
    reported(place.thread("b", 1), place.thread("c", 1))
    gate.open()
    for key in "abc":
        at.up(key, 2)
        assert len(at.exits[key].wait_for(1)) == 1
    at.sync()
    assert len(at.all_of(events.Restarting)) == 3
    assert [at.incarnation(key) for key in "abcd"] == [2, 2, 2, 1]
    at.check(kept=["d"])


@shared
def test_a_crash_of_a_sibling_while_all_are_restarted(
    scene: MakeScene, place: Place, held_start: Callable[[str], Gate]
) -> None:
    """F15: one that is up again crashes before the last is: the set starts over, twice paid."""
    gate = held_start(place.thread("b", 2))
    parts = part("a"), part("b"), part("c")
    at = scene(place, *parts, strategy="one_for_all", max_restarts=2).start()
    at.tell("c", boom)
    gate.wait_reached()
    assert isinstance(at.ask("a", boom).exception(PATIENCE), Boom)
    reported(place.thread("a", 2))
    gate.open()
    at.up("c", 2)
    at.sync()
    assert (at.incarnation("a"), at.incarnation("c")) == (3, 2)
    assert len(at.all_of(events.Restarting)) == 2
    at.check()


def crash_together(at: Scene, keys: list[str]) -> None:
    """Have all these workers raise at the same instant."""
    barrier = threading.Barrier(len(keys))

    def meet() -> None:
        barrier.wait(PATIENCE)
        raise Boom("together")

    for key in keys:
        at.tell(key, meet)


MANY = [f"w{number}" for number in range(100)]


@shared
def test_a_hundred_that_crash_at_once_are_one_restart_of_all(
    scene: MakeScene, place: Place
) -> None:
    """F14: under one for all it is one unit of budget, later ends of the old ones are ignored."""
    at = scene(place, *(part(key) for key in MANY), strategy="one_for_all", max_restarts=1).start()
    crash_together(at, MANY)
    for key in MANY:
        at.up(key, 2)
    at.sync()
    assert {at.incarnation(key) for key in MANY} == {2}
    assert {len(at.exits[key].items) for key in MANY} == {1}
    assert len(at.all_of(events.Restarting)) == 1
    at.check()


@shared
@pytest.mark.parametrize("enough", [True, False])
def test_a_hundred_that_crash_at_once_are_paid_one_by_one(
    scene: MakeScene, place: Place, *, enough: bool
) -> None:
    """F14: under one for one each is a unit of the common budget, and one too many is too many."""
    at = scene(
        place,
        *(part(key) for key in MANY),
        strategy="one_for_one",
        max_restarts=100 if enough else 99,
    ).start()
    crash_together(at, MANY)
    if not enough:
        at.gave_up()
        for key in MANY:
            at.exits[key].wait_until(lambda exits: bool(exits) and exits[-1].final, "last end")
        at.sync()
        assert at.sup.failed() == ("scope",)
        assert len(at.all_of(events.Restarting)) == 99
        at.check(up=())
        return
    for key in MANY:
        at.up(key, 2)
    at.sync()
    assert at.sup.failed() == ()
    assert len(at.all_of(events.Restarting)) == 100
    at.check()


def test_a_hundred_standalone_workers_that_crash_at_once(scene: MakeScene) -> None:
    """F14: each has a budget of its own, so one restart each is enough for all."""
    at = scene(STANDALONE, *(part(key) for key in MANY), max_restarts=1).start()
    crash_together(at, MANY)
    for key in MANY:
        at.up(key, 2)
    at.sync()
    assert at.sup.failed() == ()
    at.check()


# -- across scopes --------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("slow", ["group", "chain", "worker"])
def test_a_member_that_is_slow_to_stop_delays_no_restart_elsewhere(
    scene: MakeScene, place: Place, slow: str
) -> None:
    """Done when: while one scope waits for an `on_stop`, others are restarted and administered."""
    gate = Gate("on_stop")
    at = scene(place, part("a"))
    holding = at.beside(
        Place(slow, "worker"),
        part("x"),
        part("y", stop=only_in([1], gate.meet), shutdown=3600.0),
        **({} if slow == "worker" else {"strategy": "one_for_all"}),
    )
    at.start()
    try:
        if slow == "worker":
            by_hand = threading.Thread(target=at.sup.restart_child, args=("y",))
            by_hand.start()
        else:
            holding.tell("x", boom)
        gate.wait_reached()
        for number in (2, 3):
            at.tell("a", boom)
            at.up("a", number)
            assert at.answers("a")
        at.sync()
        assert holding.incarnation("y") == 1
        assert holding.exits["y"].items == []
    finally:
        gate.open()
    holding.up("y", 2)
    if slow == "worker":
        by_hand.join(PATIENCE)
    at.check()
