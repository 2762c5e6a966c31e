"""Who goes with whom, how often, and what then: `reliability.md` section 2.5, rows 74 to 95.

OTP's supervisor is here a scope: a group, a chain or a standalone worker, each with a
budget of its own. "The supervisor ends" therefore reads "the scope gives up", stops and
is named by `failed()`, with nothing outside it touched; with `escalate=True` it is the
supervisor that pays, and ends when its own budget is spent. Rows that differ or are missing:

* Row 83, `before_for_one`, has no reference: it is the mirror of rows 80 to 82.
* Rows 84, 86, 88, 95, `simple_one_for_one`: a group under `one_for_one` whose members
  are added while it runs. Replicas of a stage are equals that hand items on: they are
  tested with the chain.
* Row 85: a start hands back no extra information, so there is none to lose in a restart;
  that a dynamic member is restarted with the arguments it was added with is tested.
* Row 87: a start has no third answer besides success and failure. That leaving
  `on_start` with a clean exit is a failed start, retried like any, is tested.
* Row 89: groups and chains are the subtrees until supervisors nest; in row 90 the one
  that melts down is a group that escalates. OTP loses what was added at run time; a
  group that its supervisor starts again has all its members, as its handle says.
* Row 91: OTP refuses a restart or a removal of a child that is being restarted. Here a
  restart by hand is the next attempt, without the pause, and a removal calls it off.
* Row 94: who waits behind the failing one shows `restarting`, as it is to come back;
  OTP has one word for that and for "stopped".
"""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from tests.conformance.scenes import (
    MEMBERSHIPS,
    SHARED,
    Boom,
    Place,
    boom,
    noted,
    only_in,
    part,
    raising,
    worker_of,
)
from tests.helpers import PATIENCE, ManualClock, Recorder
from threadsup import (
    Abandoned,
    Backoff,
    Crashed,
    DuplicateChildError,
    Normal,
    Shutdown,
    StartError,
    UnknownChildError,
    WorkerExit,
    events,
    receive,
)
from threadsup._runtime.clock import monotonic

if TYPE_CHECKING:
    from tests.conformance.conftest import MakeScene
    from tests.conformance.scenes import Scene

GROUP = Place("group", "worker")
CHAIN = Place("chain", "worker")
STANDALONE = Place("worker", "worker")
NEVER = Backoff(initial=3600.0, maximum=3600.0, jitter=0.0)
"""The first restart is at once; the second is so far away that nothing happens by itself."""

everywhere = pytest.mark.parametrize("place", MEMBERSHIPS, ids=str)
shared = pytest.mark.parametrize("place", SHARED, ids=str)


def crash(at: Scene, id: str, last: str | None = None) -> None:
    """Crash a worker and wait until it is up again, or the `last` of those that go with it."""
    last = last or id
    number = at.incarnation(last)
    at.tell(id, boom)
    at.up(last, number + 1)
    at.sync()


def crash_for_good(at: Scene, id: str) -> None:
    """Crash a worker once too often and wait until its scope is down."""
    at.tell(id, boom)
    at.gave_up(id)
    going = (id,) if at.membership == "worker" else at.ids
    for each in going:
        at.exits[each].wait_until(lambda exits: bool(exits) and exits[-1].final, "last end")
    at.sync()
    assert at.sup.failed() == (at.owner(id),)


def flat(log: list[str], *, unordered: bool) -> list[str]:
    """Return a log in which stops that follow each other are sorted, if they are `unordered`.

    The members of a group are asked to stop together, so who is down first is open.
    """
    if not unordered:
        return log
    result: list[str] = []
    stops: list[str] = []
    for line in [*log, ""]:
        if line.startswith("-"):
            stops.append(line)
        else:
            result += [*sorted(stops, reverse=True), line]
            stops = []
    return result[:-1]


# -- the budget -----------------------------------------------------------------------


@everywhere
def test_restarts_that_are_far_enough_apart_go_on_for_ever(
    scene: MakeScene, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 74: four crashes 2.1 s apart at 1 per 1 s: it lives; two at once are too many."""
    shift = ManualClock()
    monkeypatch.setattr("threadsup._scope.monotonic", lambda: monotonic() + shift())
    at = scene(place, part("a"), max_restarts=1, max_seconds=1.0).start()
    for number in range(2, 6):
        crash(at, "a")
        assert at.incarnation("a") == number
        shift.advance(2.1)
    crash(at, "a")
    at.tell("a", boom)
    at.gave_up("a")
    at.sync()
    assert at.incarnation("a") == 6
    at.check(up=())


@shared
def test_children_of_one_scope_share_its_budget(scene: MakeScene, place: Place) -> None:
    """Row 75: siblings keep their identity; crashes of different ones add up."""
    at = scene(
        place, part("a"), part("b"), part("c"), strategy="one_for_one", max_restarts=2
    ).start()
    crash(at, "a")
    assert (at.incarnation("b"), at.incarnation("c")) == (1, 1)
    crash(at, "b")
    assert (at.incarnation("a"), at.incarnation("c")) == (2, 1)
    crash_for_good(at, "a")
    at.check(kept=["c"], up=())


def test_standalone_workers_have_a_budget_each(scene: MakeScene) -> None:
    """Row 75 for standalone workers: crashes of different ones never add up."""
    at = scene(STANDALONE, part("a"), part("b"), part("c"), max_restarts=1).start()
    crash(at, "a")
    crash(at, "b")
    crash_for_good(at, "a")
    assert at.answers("b")
    at.check(kept=["c"], up=["b", "c"])


def test_children_that_escalate_share_the_budget_of_the_supervisor(scene: MakeScene) -> None:
    """Row 75 for the supervisor: past its own budget it stops everything and ends."""
    tree = {"max_restarts": 2, "backoff": Backoff.none()}
    at = scene(STANDALONE, part("a"), part("b"), tree=tree, escalate=True, max_restarts=0).start()
    crash(at, "a")
    assert at.incarnation("b") == 1
    crash(at, "b")
    at.tell("a", boom)
    reason = at.sup.wait(PATIENCE)
    assert isinstance(reason, Crashed)
    assert "gave up" in reason.error
    assert at.sup.failed() == ("a",)
    at.stop()
    at.check()


@everywhere
def test_a_restart_that_never_succeeds_spends_the_budget(scene: MakeScene, place: Place) -> None:
    """Row 76: every failed start is one more restart; then all of the scope is down."""
    log: Recorder[str] = Recorder()
    siblings = [] if place == STANDALONE else [part("b")]
    strategy = {} if place == STANDALONE else {"strategy": "one_for_one"}
    bad = noted("a", log, range(2, 99))
    at = scene(place, bad, *siblings, max_restarts=3, **strategy).start()
    crash_for_good(at, "a")
    assert log.items == ["+a1", "!a1", "xa2", "xa3", "xa4"]
    assert not at.kept("a").is_alive()
    at.check(kept=[each.id for each in siblings], up=())


@everywhere
def test_a_child_that_escalates_and_cannot_start_ends_the_supervisor(
    scene: MakeScene, place: Place
) -> None:
    """Row 76 upward: the supervisor tries as often as its own budget allows, then it ends."""
    log: Recorder[str] = Recorder()
    at = scene(
        place,
        noted("a", log, range(2, 99)),
        tree={"max_restarts": 2, "backoff": Backoff.none()},
        escalate=True,
        max_restarts=0,
    ).start()
    at.tell("a", boom)
    assert isinstance(at.sup.wait(PATIENCE), Crashed)
    assert log.items == ["+a1", "!a1", "xa2", "xa3"]
    at.stop()
    at.check()


def test_the_supervisor_that_gives_up_stops_all_in_reverse_order(scene: MakeScene) -> None:
    """Row 76: "the supervisor ends" means every child of it, last declared first."""
    log: Recorder[str] = Recorder()
    at = scene(
        STANDALONE,
        *(noted(key, log) for key in "abcd"),
        tree={"max_restarts": 0},
        escalate=True,
        max_restarts=0,
    ).start()
    at.tell("b", boom)
    assert isinstance(at.sup.wait(PATIENCE), Crashed)
    assert log.items == ["+a1", "+b1", "+c1", "+d1", "!b1", "-d1", "-c1", "-a1"]
    at.stop()
    at.check(kept=at.ids)


# -- one for all ----------------------------------------------------------------------


@shared
@pytest.mark.parametrize("crashes", ["a", "b", "c"])
def test_one_for_all_replaces_everybody(scene: MakeScene, place: Place, crashes: str) -> None:
    """Row 77: all old incarnations are gone, all new ones up, for one unit of budget."""
    log: Recorder[str] = Recorder()
    at = scene(
        place, *(noted(key, log) for key in "abc"), strategy="one_for_all", max_restarts=2
    ).start()
    crash(at, crashes, "c")
    crash(at, crashes, "c")
    assert [at.incarnation(key) for key in "abc"] == [3, 3, 3]
    once = [f"-{key}1" for key in "cba" if key != crashes] + ["+a2", "+b2", "+c2"]
    seen = flat(log.items, unordered=place == GROUP)
    assert seen[3:9] == [f"!{crashes}1", *once]
    assert len(at.all_of(events.Restarting)) == 2
    crash_for_good(at, crashes)
    assert [at.incarnation(key) for key in "abc"] == [3, 3, 3]
    at.check(up=())


@shared
def test_a_sibling_that_cannot_restart_brings_everything_down(
    scene: MakeScene, place: Place
) -> None:
    """Row 78: each of its failed starts starts the set over, until that is too often."""
    log: Recorder[str] = Recorder()
    at = scene(
        place,
        noted("a", log),
        noted("b", log, range(2, 99)),
        noted("c", log),
        strategy="one_for_all",
        max_restarts=2,
    ).start()
    at.tell("a", boom)
    assert worker_of(at.gave_up()) == "b"
    at.ended("a", 3)
    at.sync()
    assert flat(log.items, unordered=place == GROUP)[3:] == [
        "!a1", "-c1", "-b1", "+a2", "xb2", "-a2", "+a3", "xb3", "-a3",
    ]  # fmt: skip
    assert at.sup.failed() == ("scope",)
    at.check(up=(), kept=["c"])


@shared
def test_a_start_that_fails_under_one_for_all_starts_the_set_over(
    scene: MakeScene, place: Place
) -> None:
    """Row 79: the first is up, the second fails, the first is stopped again, then all start."""
    log: Recorder[str] = Recorder()
    at = scene(
        place,
        noted("a", log),
        noted("b", log, [2]),
        noted("c", log),
        strategy="one_for_all",
        max_restarts=2,
    ).start()
    at.tell("a", boom)
    at.up("c", 2)
    at.sync()
    assert flat(log.items, unordered=place == GROUP)[3:] == [
        "!a1", "-c1", "-b1", "+a2", "xb2", "-a2", "+a3", "+b3", "+c2",
    ]  # fmt: skip
    assert len(at.all_of(events.Restarting)) == 2
    at.check()


# -- rest for one ---------------------------------------------------------------------


@shared
def test_rest_for_one_replaces_the_crashed_and_those_after_it(
    scene: MakeScene, place: Place
) -> None:
    """Row 80: the one before keeps its identity, the later one is replaced; a third crash is it."""
    log: Recorder[str] = Recorder()
    at = scene(
        place, *(noted(key, log) for key in "abc"), strategy="rest_for_one", max_restarts=2
    ).start()
    crash(at, "b", "c")
    assert log.items[3:] == ["!b1", "-c1", "+b2", "+c2"]
    crash(at, "c")
    assert log.items[7:] == ["!c2", "+c3"]
    crash_for_good(at, "b")
    at.check(kept=["a"], up=())


@shared
def test_a_later_child_that_cannot_restart_ends_all(scene: MakeScene, place: Place) -> None:
    """Row 81: under rest for one its failing starts spend the budget of them all."""
    log: Recorder[str] = Recorder()
    at = scene(
        place,
        noted("a", log),
        noted("b", log),
        noted("c", log, range(2, 99)),
        strategy="rest_for_one",
        max_restarts=2,
    ).start()
    at.tell("b", boom)
    assert worker_of(at.gave_up()) == "c"
    at.ended("a")
    at.ended("b", 2)
    at.sync()
    assert flat(log.items, unordered=place == GROUP)[3:] == [
        "!b1", "-c1", "+b2", "xc2", "xc3", "-b2", "-a1",
    ]  # fmt: skip
    at.check(kept=["a"], up=())


@shared
def test_a_start_that_fails_under_rest_for_one_is_retried_alone(
    scene: MakeScene, place: Place
) -> None:
    """Row 82: the crashed one is up, the next one fails: from there on, those before stay up."""
    log: Recorder[str] = Recorder()
    at = scene(
        place,
        noted("a", log),
        noted("b", log),
        noted("c", log, [2]),
        noted("d", log),
        strategy="rest_for_one",
        max_restarts=2,
    ).start()
    at.tell("b", boom)
    at.up("d", 2)
    at.sync()
    assert flat(log.items, unordered=place == GROUP)[4:] == [
        "!b1", "-d1", "-c1", "+b2", "xc2", "+c3", "+d2",
    ]  # fmt: skip
    at.check(kept=["a"])


# -- before for one -------------------------------------------------------------------


@shared
def test_before_for_one_replaces_the_crashed_and_those_before_it(
    scene: MakeScene, place: Place
) -> None:
    """Row 83, mirror of 80: the one after keeps its identity; a third crash is it."""
    log: Recorder[str] = Recorder()
    at = scene(
        place, *(noted(key, log) for key in "abc"), strategy="before_for_one", max_restarts=2
    ).start()
    crash(at, "b")
    assert log.items[3:] == ["!b1", "-a1", "+a2", "+b2"]
    crash(at, "a")
    assert log.items[7:] == ["!a2", "+a3"]
    crash_for_good(at, "b")
    at.check(kept=["c"], up=())


@shared
def test_an_earlier_child_that_cannot_restart_ends_all(scene: MakeScene, place: Place) -> None:
    """Row 83, mirror of 81: its failing starts spend the budget of them all."""
    log: Recorder[str] = Recorder()
    at = scene(
        place,
        noted("a", log, range(2, 99)),
        noted("b", log),
        noted("c", log),
        strategy="before_for_one",
        max_restarts=2,
    ).start()
    at.tell("b", boom)
    assert worker_of(at.gave_up()) == "a"
    at.ended("c")
    at.sync()
    assert log.items[3:] == ["!b1", "-a1", "xa2", "xa3", "-c1"]
    at.check(kept=["c"], up=())


@shared
def test_a_start_that_fails_under_before_for_one_starts_those_before_it_over(
    scene: MakeScene, place: Place
) -> None:
    """Row 83, mirror of 82: what is before it is stopped again, what is after it stays up."""
    log: Recorder[str] = Recorder()
    at = scene(
        place,
        noted("a", log),
        noted("b", log, [2]),
        noted("c", log),
        noted("d", log),
        strategy="before_for_one",
        max_restarts=2,
    ).start()
    at.tell("c", boom)
    at.up("c", 2)
    at.sync()
    assert flat(log.items, unordered=place == GROUP)[4:] == [
        "!c1", "-b1", "-a1", "+a2", "xb2", "-a2", "+a3", "+b3", "+c2",
    ]  # fmt: skip
    at.check(kept=["d"])


# -- members that come and go ---------------------------------------------------------


def dynamic(scene: MakeScene, *, members: int = 0, **scope: object) -> Scene:
    """Return a running group under one for one, whose members were added at run time."""
    at = scene(GROUP, strategy="one_for_one", **scope).start()
    for number in range(members):
        at.add(part(f"m{number}"))
    return at


def test_a_member_added_at_run_time_crashes_alone(scene: MakeScene) -> None:
    """Row 84: the other one keeps its identity; the third crash ends the group."""
    at = dynamic(scene, members=2, max_restarts=2)
    crash(at, "m0")
    crash(at, "m0")
    assert at.incarnation("m1") == 1
    crash_for_good(at, "m0")
    at.check(kept=["m1"], up=())


def test_a_member_is_restarted_with_what_it_was_added_with(scene: MakeScene) -> None:
    """Row 85: its arguments are the same in every incarnation."""
    seen: Recorder[object] = Recorder()
    token = object()

    def run(given: object) -> None:
        seen(given)
        receive()
        raise Boom

    at = dynamic(scene)
    ref = at.group.add_worker(run, token, id="m")
    ref.tell("go on")
    assert seen.wait_for(2) == [token, token]
    at.group.remove_child("m", PATIENCE)
    at.check()


def test_a_member_that_cannot_restart_ends_its_group(scene: MakeScene) -> None:
    """Row 86: failing starts of a member added at run time spend the budget of the group."""
    at = dynamic(scene, members=1, max_restarts=2)
    log: Recorder[str] = Recorder()
    at.add(noted("n", log, range(2, 99)))
    crash_for_good(at, "n")
    assert log.items == ["+n1", "!n1", "xn2", "xn3"]
    at.check(kept=["m0"], up=())


@everywhere
@pytest.mark.parametrize("leaving", [SystemExit, WorkerExit], ids=["exit", "shutdown"])
def test_a_start_that_leaves_cleanly_has_failed(
    scene: MakeScene, place: Place, leaving: type[BaseException]
) -> None:
    """Row 87: there is no "ignore": a start that does not return is retried like any failed one."""
    at = scene(place, part("a", start=only_in([2], raising(leaving)), restart="transient")).start()
    at.tell("a", boom)
    at.up("a", 3)
    assert at.ended("a", 2).reason in {Normal(), Shutdown()}
    at.check()


def test_nothing_of_members_that_are_gone_is_kept(scene: MakeScene) -> None:
    """Row 88: after a first death, arguments of later temporary members are let go, too."""

    class Big:
        pass

    at = dynamic(scene)
    kept = []
    for number in range(20):
        big = Big()
        kept.append(weakref.ref(big))
        ref = at.group.add_worker(
            lambda _: receive(), big, id=("temp", number), restart="temporary"
        )
        del big
        ref.tell("be done")
        assert ref.wait(PATIENCE) == Normal()
    del ref
    at.sync()
    at._threads_but({"threadsup-outside-1", f"{at.sup.name}-supervisor", f"{at.sup.name}-side"})
    gc.collect()
    assert [each() for each in kept] == [None] * 20
    assert len(at.group) == 0
    at.check()


# -- trees ----------------------------------------------------------------------------


def test_only_the_leaf_that_died_is_replaced(scene: MakeScene) -> None:
    """Row 89: a crash in one group touches neither its siblings nor the subtrees beside it."""
    at = scene(GROUP, part("a"), part("b"), strategy="one_for_one")
    beside = at.sup.add_group("beside")
    refs = [beside.add_worker(receive, id=key) for key in ("x", "y")]
    at.start()
    crash(at, "a")
    assert [ref.incarnation for ref in refs] == [1, 1]
    assert all(ref.is_alive() for ref in refs)
    at.sup.remove_child("beside", PATIENCE)
    at.check(kept=["b"])


def test_a_group_that_melts_down_is_rebuilt_as_declared(scene: MakeScene) -> None:
    """Row 90: escalated, it comes back whole, who was stopped by hand or had ended included."""
    at = scene(
        GROUP,
        part("a"),
        part("held", restart="transient"),
        part("done", restart="transient"),
        escalate=True,
        max_restarts=0,
        strategy="one_for_one",
    ).start()
    at.add(part("later"))
    at.group.stop_child("held", PATIENCE)
    at.tell("done", raising(SystemExit))
    at.ended("done")
    at.tell("a", boom)
    for key in at.ids:
        at.up(key, 2)
    at.sync()
    assert at.gave_up("a").escalates
    assert at.sup.failed() == ()
    assert at.group.children() == ("a", "held", "done", "later")
    at.check()


def test_a_scope_that_escalated_has_a_fresh_budget(scene: MakeScene) -> None:
    """Row 90: started again by its supervisor it may crash as often as at first."""
    tree = {"max_restarts": 1, "backoff": Backoff.none()}
    at = scene(CHAIN, part("a"), part("b"), tree=tree, escalate=True, max_restarts=2).start()
    for number in range(2, 7):
        at.tell("a", boom)
        at.up("a", number)
    at.sync()
    assert at.sup.failed() == ()
    assert len(at.all_of(events.GaveUp)) == 1
    at.tell("a", boom)
    assert isinstance(at.sup.wait(PATIENCE), Crashed)
    at.stop()
    at.check()


@everywhere
def test_what_is_queued_waits_for_a_scope_that_escalates(scene: MakeScene, place: Place) -> None:
    """Rows 76, 90: a restart by the supervisor that fails at first loses no message either."""
    at = scene(
        place,
        part("a", start=only_in([2, 3], boom)),
        tree={"max_restarts": 9, "backoff": Backoff.none()},
        escalate=True,
        max_restarts=0,
    ).start()
    answers = [at.ask("a", boom), at.ask("a", "queued")]
    assert isinstance(answers[0].exception(PATIENCE), Boom)
    assert answers[1].result(PATIENCE) == "queued"
    assert at.incarnation("a") == 4
    at.check()


# -- while a start keeps failing ------------------------------------------------------


def stuck(scene: MakeScene, place: Place, failing: list[int], *after: str) -> Scene:
    """Return a scene in which worker `a` has crashed, and does not start again by itself."""
    at = scene(
        place,
        *([part("before")] if place != STANDALONE else []),
        part("a", start=only_in(failing, boom)),
        *(part(key) for key in after),
        max_restarts=9,
        backoff=NEVER,
        **({} if place == STANDALONE else {"strategy": "rest_for_one"}),
    ).start()
    at.tell("a", boom)
    at.events.wait_until(
        lambda seen: any(isinstance(event, events.Restarting) and event.delay for event in seen),
        "second attempt that is put off",
    )
    at.sync()
    assert at.state("a") == "restarting"
    assert not at.kept("a").is_alive()
    return at


before = {"worker": [], "group": ["before"], "chain": ["before"]}


@everywhere
def test_a_child_that_is_being_restarted_is_known(scene: MakeScene, place: Place) -> None:
    """Rows 91, 94: its id is taken, it shows restarting; before it all is up, behind it waits."""
    after = [] if place == STANDALONE else ["c"]
    at = stuck(scene, place, [2], *after)
    assert "restarting" in str(at.sup.tree())
    assert [at.state(key) for key in after] == ["restarting"] * len(after)
    assert [at.state(key) for key in before[place.membership]] == ["up"] * len(after)
    if place != CHAIN:
        with pytest.raises(DuplicateChildError):
            at.add(part("a"))
        at._watch("a")
    at.check(kept=before[place.membership], up=before[place.membership])


@everywhere
def test_a_restart_by_hand_is_the_next_attempt(scene: MakeScene, place: Place) -> None:
    """Row 91: it does not wait for the pause, tells why it failed, and may work the next time."""
    at = stuck(scene, place, [2, 3])
    with pytest.raises(StartError) as failure:
        at.restart("a")
    assert isinstance(failure.value.__cause__, Boom)
    assert at.incarnation("a") == 3
    at.restart("a")
    assert at.incarnation("a") == 4
    assert at.answers("a")
    at.check(kept=before[place.membership])


@pytest.mark.parametrize("place", [STANDALONE, GROUP], ids=str)
def test_a_child_that_is_being_restarted_can_be_removed(scene: MakeScene, place: Place) -> None:
    """Row 91: removing it calls the restart off; its id is free."""
    at = stuck(scene, place, [2])
    waits = at.ask("a", "queued")
    home = at.sup if place == STANDALONE else at.group
    home.remove_child("a", PATIENCE)
    assert waits.exception(PATIENCE) is not None
    with pytest.raises(UnknownChildError):
        at.ref("a")
    at.check_counts()
    at.add(part("a"))
    assert at.answers("a")
    at.check(kept=before[place.membership])


@pytest.mark.parametrize("place", [STANDALONE, GROUP], ids=str)
def test_a_child_that_is_being_restarted_can_be_stopped(scene: MakeScene, place: Place) -> None:
    """Row 92: stopping it calls the restart off and keeps it; by hand it comes back later."""
    at = stuck(scene, place, [2])
    waits = at.ask("a", "queued")
    home = at.sup if place == STANDALONE else at.group
    home.stop_child("a", PATIENCE)
    assert at.state("a") == "held"
    at.sync()
    assert at.incarnation("a") == 2
    at.restart("a")
    assert waits.result(PATIENCE) == "queued"
    at.check(kept=before[place.membership])


def test_a_chain_whose_stage_is_being_restarted_can_be_stopped(scene: MakeScene) -> None:
    """Row 92 for a chain: stopped as a whole it keeps its items, and comes back with them."""
    at = stuck(scene, CHAIN, [2], "c")
    waits = at.ask("a", "queued")
    at.sup.stop_child("scope", PATIENCE)
    assert at.sup.tree().children[-1].state == "held"
    at.sup.restart_child("scope", PATIENCE)
    assert waits.result(PATIENCE) == "queued"
    assert (at.incarnation("before"), at.incarnation("a"), at.incarnation("c")) == (2, 3, 2)
    at.check()


@everywhere
def test_the_supervisor_can_be_stopped_while_a_start_keeps_failing(
    scene: MakeScene, place: Place
) -> None:
    """Row 93: at once, cleanly, whatever restart is put off; what was queued is undelivered."""
    at = stuck(scene, place, list(range(2, 99)))
    waits = at.ask("a", "queued")
    report = at.stop()
    assert report.clean
    assert report.undelivered == 1
    assert waits.exception(PATIENCE) is not None
    assert at.incarnation("a") == 2
    assert at.sup.wait(PATIENCE) == Shutdown()
    at.check(kept=before[place.membership])


def test_a_start_that_hangs_in_a_restart_is_one_that_failed(scene: MakeScene) -> None:
    """Row 94: given up on after `start_timeout`, it is retried; the thread ends when it can."""
    released: Recorder[str] = Recorder()

    def hang() -> None:
        receive_nothing.wait_for(1)
        released("the thread goes on")

    receive_nothing: Recorder[str] = Recorder()
    at = scene(
        CHAIN,
        part("before"),
        part("a", start=only_in([2], hang), start_timeout=0.2),
        strategy="rest_for_one",
    ).start()
    at.tell("a", boom)
    at.up("a", 3)
    assert isinstance(at.ended("a", 2).reason, Abandoned)
    assert at.answers("before")
    receive_nothing("go")
    released.wait_for(1)
    at.check(kept=["before"])


def test_a_member_added_at_run_time_that_keeps_failing(scene: MakeScene) -> None:
    """Row 95: it shows restarting, its id is taken, others live, a removal calls it off."""
    at = dynamic(scene, members=1, max_restarts=9, backoff=NEVER)
    at.add(part("n", start=only_in([2], boom)))
    at.tell("n", boom)
    at.ended("n", 2)
    at.sync()
    assert at.state("n") == "restarting"
    with pytest.raises(DuplicateChildError):
        at.group.add_worker(receive, id="n")
    assert at.answers("m0")
    at.group.remove_child("n", PATIENCE)
    assert at.group.children() == ("m0",)
    at.check(kept=["m0"], up=["m0"])
