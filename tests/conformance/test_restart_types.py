"""Who is restarted after which end: `reliability.md` section 2.4, rows 63 to 73.

Every row runs for a standalone worker, a member of a group and a stage of a chain, and
for every kind of worker there. Where a membership differs from OTP's children:

* Rows 66, 67: a stage that ends cleanly ends its chain, as a stream that has a hole is
  none. "The spec is kept" is then that of the chain, which a restart by hand brings back.
* Rows 69, 72, 73 have no "C" for a temporary stage by itself: the stages of a chain are
  declared, and their ids stay. That such a stage ends its chain at any end is tested.
* Rows 64, 67 ask for a child that is shut down by others and comes back: nobody but its
  supervisor can shut a thread down, so the worker says it of itself, `raise WorkerExit`.
* The fourth way to end of row 73 is `killed`, which threads lack: a crash stands in.
"""

from __future__ import annotations

import gc
import logging
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import (
    CLASSES,
    PLACES,
    SHARED,
    Boom,
    Place,
    boom,
    incarnation,
    only_in,
    part,
    raising,
    worker_of,
)
from tests.helpers import PATIENCE, Recorder
from threadsup import (
    Crashed,
    MailboxClosed,
    Normal,
    Shutdown,
    Stop,
    UnknownChildError,
    WorkerExit,
    events,
    receive,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conformance.conftest import MakeScene
    from tests.conformance.scenes import Scene
    from threadsup import ExitReason


def leave(reason: ExitReason) -> Callable[[], object]:
    """Return what ends a worker with `reason`."""
    if isinstance(reason, Crashed):
        return boom
    return raising(SystemExit) if isinstance(reason, Normal) else raising(WorkerExit(reason))


CRASH = Crashed("Boom: boom")
CLEAN: tuple[ExitReason, ...] = (Normal(), Shutdown(), Shutdown("enough"))
ENDS = (*CLEAN, CRASH)

PARALLEL = tuple(place for place in PLACES if place.membership != "chain")
CHAINS = tuple(place for place in PLACES if place.membership == "chain")
TASKS = tuple(place for place in PLACES if place.kind == "task")
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")

every_place = pytest.mark.parametrize("place", PLACES, ids=str)
every_end = pytest.mark.parametrize("reason", ENDS, ids=str)
every_clean_end = pytest.mark.parametrize("reason", CLEAN, ids=str)


def same(reason: ExitReason, expected: ExitReason) -> bool:
    """Tell whether two reasons are the same, tracebacks aside."""
    if isinstance(reason, Crashed) and isinstance(expected, Crashed):
        return reason.error == expected.error
    return reason == expected


def end(scene: Scene, reason: ExitReason, times: int = 1) -> bool:
    """Have worker `a` end with `reason`; return whether that was its last end."""
    scene.tell("a", leave(reason))
    ended = scene.ended("a", times)
    assert same(ended.reason, reason)
    assert ended.incarnation == times
    return ended.final


# -- permanent ------------------------------------------------------------------------


@every_end
@every_place
def test_a_permanent_worker_comes_back_after_any_end(
    scene: MakeScene, place: Place, reason: ExitReason
) -> None:
    """Rows 63, 64, 65: normal, shutdown, shutdown with a reason, crash: it is restarted."""
    at = scene(place, part("a", restart="permanent")).start()
    assert not end(at, reason)
    at.up("a", 2)
    assert at.answers("a")
    assert [worker_of(event) for event in at.all_of(events.Restarting)] == ["a"]
    at.check()


@every_end
@every_place
def test_every_restart_of_a_permanent_worker_costs_budget(
    scene: MakeScene, place: Place, reason: ExitReason
) -> None:
    """Rows 63, 64, 65: clean ends are paid for like crashes; one too many is given up."""
    at = scene(place, part("a", restart="permanent"), max_restarts=1).start()
    end(at, reason)
    at.up("a", 2)
    assert end(at, reason, 2)
    assert same(at.gave_up("a").reason, reason)
    at.sync()
    assert at.sup.failed() == (at.owner("a"),)
    assert at.incarnation("a") == 2
    at.check(up=())


@pytest.mark.parametrize("place", TASKS, ids=str)
def test_a_permanent_task_that_returns_runs_again(scene: MakeScene, place: Place) -> None:
    """Row 63: returning is a normal end, and leaving is not allowed."""
    rounds: Recorder[int] = Recorder()

    def once() -> None:
        rounds(incarnation())
        receive()

    at = scene(place, part("a", once, restart="permanent")).start()
    for number in (1, 2):
        at.tell("a", number)
        assert not at.ended("a", number).final
    assert rounds.wait_for(3) == [1, 2, 3]
    at.sync()
    assert [ended.reason for ended in at.exits["a"].items] == [Normal(), Normal()]
    at.stop()
    at.check(up=())


# -- transient ------------------------------------------------------------------------


@every_clean_end
@pytest.mark.parametrize("place", PARALLEL, ids=str)
def test_a_transient_worker_stays_down_after_a_clean_end(
    scene: MakeScene, place: Place, reason: ExitReason
) -> None:
    """Rows 66, 67: not restarted, its spec kept, nobody active; by hand it comes back."""
    at = scene(place, part("a", restart="transient")).start()
    assert end(at, reason)
    at.sync()
    assert at.state("a") == "ended"
    assert not at.kept("a").is_alive()
    assert at.ref("a").wait(PATIENCE) == reason
    with pytest.raises(MailboxClosed):
        at.tell("a", "too late")
    assert at.all_of(events.Restarting) == []
    at.restart("a")
    assert at.incarnation("a") == 2
    assert at.answers("a")
    at.check()


@pytest.mark.parametrize("place", TASKS, ids=str)
def test_a_transient_task_that_returns_is_done(scene: MakeScene, place: Place) -> None:
    """Row 66: a task is done when its function returns, whatever it returns."""
    at = scene(place, part("a", lambda: "ignored")).start()
    ended = at.ended("a")
    assert (ended.reason, ended.final, ended.incarnation) == (Normal(), True, 1)
    at.check(up=())


@every_clean_end
@pytest.mark.parametrize("place", CHAINS, ids=str)
def test_a_stage_that_ends_cleanly_ends_its_chain(
    scene: MakeScene, place: Place, reason: ExitReason
) -> None:
    """Rows 66, 67: nobody is restarted; what is behind finishes; by hand it comes back."""
    at = scene(place, part("a"), part("b")).start()
    assert end(at, reason)
    assert at.ended("b").final
    at.sync()
    assert (at.state("a"), at.state("b")) == ("ended", "ended")
    assert at.sup.failed() == ()
    with pytest.raises(MailboxClosed):
        at.tell("a", "too late")
    at.sup.restart_child("scope", PATIENCE)
    assert (at.incarnation("a"), at.incarnation("b")) == (2, 2)
    assert at.answers("a")
    at.check()


@pytest.mark.parametrize("place", CHAINS, ids=str)
@pytest.mark.parametrize("restart", ["permanent", "transient"])
def test_a_stage_that_returns_stop_ends_normally(
    scene: MakeScene, place: Place, restart: str
) -> None:
    """Rows 63, 66: `Stop` is a normal end after the item: a permanent stage comes back."""
    at = scene(place, part("a", restart=restart), part("b")).start()
    assert type(at.ask("a", lambda: Stop("enough")).result(PATIENCE)) is Stop
    assert same(at.ended("a").reason, Normal())
    if restart == "permanent":
        at.up("a", 2)
        at.check(kept=["b"])
    else:
        at.ended("b")
        at.check(kept=["a", "b"], up=())


@every_place
def test_a_transient_worker_comes_back_after_a_crash(scene: MakeScene, place: Place) -> None:
    """Row 68: a crash is no clean end."""
    at = scene(place, part("a", restart="transient")).start()
    assert not end(at, CRASH)
    at.up("a", 2)
    assert at.answers("a")
    at.check()


# -- temporary ------------------------------------------------------------------------


@every_end
@pytest.mark.parametrize("place", PARALLEL, ids=str)
def test_a_temporary_worker_is_gone_after_any_end(
    scene: MakeScene, place: Place, reason: ExitReason
) -> None:
    """Row 69: never restarted, its spec gone, its id free, whoever waited told."""
    at = scene(place, part("a", restart="temporary"), max_restarts=0).start()
    ref = at.ref("a")
    assert end(at, reason)
    at.sync()
    with pytest.raises(UnknownChildError):
        at.ref("a")
    last = ref.wait(PATIENCE)
    assert last is not None
    assert same(last, reason)
    with pytest.raises(MailboxClosed):
        ref.tell("too late")
    at.check_counts()
    at.add(part("a", restart="temporary"))
    assert at.incarnation("a") == 1
    assert at.answers("a")
    assert at.sup.failed() == ()
    at.check()


@every_end
@pytest.mark.parametrize("place", CHAINS, ids=str)
def test_a_temporary_stage_ends_its_chain_at_any_end(
    scene: MakeScene, place: Place, reason: ExitReason
) -> None:
    """Row 69 for a stage: never restarted, so the stream ends with it, without giving up."""
    at = scene(place, part("a", restart="temporary"), part("b"), max_restarts=0).start()
    assert end(at, reason)
    assert at.ended("b").final
    at.sync()
    assert at.sup.failed() == ()
    at.check(kept=["a", "b"], up=())


@pytest.mark.parametrize("crashes", ["a", "c"])
@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_temporary_bystander_in_a_group_is_gone(
    scene: MakeScene, strategy: str, crashes: str
) -> None:
    """Row 70: taken down by a sibling it is not started again, and costs no budget."""
    parts = part("a"), part("t", restart="temporary"), part("c")
    at = scene(Place("group", "worker"), *parts, strategy=strategy, max_restarts=1).start()
    at.tell(crashes, boom)
    at.up("c", 2)
    at.sync()
    touched = strategy == "one_for_all" or crashes == "a"
    assert ("t" in at.group) != touched
    assert at.incarnation("a") == (2 if touched else 1)
    assert at.incarnation("t") == 1
    assert at.sup.failed() == ()
    assert len(at.all_of(events.Restarting)) == 1
    at.check(kept=["t"], up=["a", "c"] if touched else ["a", "t", "c"])


@pytest.mark.parametrize("crashes", ["a", "c"])
@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_temporary_bystander_in_a_chain_leaves_no_hole(
    scene: MakeScene, strategy: str, crashes: str
) -> None:
    """Row 70 for a stage: the chain ends where it is gone; those behind it come back and finish."""
    parts = part("a"), part("t", restart="temporary"), part("c")
    at = scene(Place("chain", "worker"), *parts, strategy=strategy, max_restarts=1).start()
    at.tell(crashes, boom)
    at.up("c", 2)
    touched = strategy == "one_for_all" or crashes == "a"
    if touched:
        assert at.ended("c", 2).final
        at.sync()
        assert (at.incarnation("a"), at.incarnation("t"), at.incarnation("c")) == (1, 1, 2)
        with pytest.raises(MailboxClosed):
            at.tell("a", "too late")
    assert at.sup.failed() == ()
    at.check(kept=["a", "t"], up=() if touched else at.ids)


# -- what is told, and what is kept ---------------------------------------------------


@pytest.mark.parametrize("place", CLASSES, ids=str)
def test_only_a_start_that_succeeded_is_told(
    scene: MakeScene, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """Row 71: no start is told that failed; the log has one line per crash, and no other."""
    caplog.set_level(logging.INFO, "threadsup")
    at = scene(place, part("a", start=only_in([2, 3], boom), restart="permanent")).start()
    at.tell("a", boom)
    at.up("a", 4)
    at.sync()
    assert [event.incarnation for event in at.all_of(events.WorkerStarted, "a")] == [1, 4]
    assert [event.incarnation for event in at.all_of(events.WorkerEnded, "a")] == [1, 2, 3]
    lines = [record for record in caplog.records if record.name == "threadsup"]
    assert [record.levelname for record in lines] == ["ERROR"] * 3
    at.check()


class Heavy:
    """Something big that is handed to a worker as an argument."""


@every_end
@pytest.mark.parametrize("membership", ["worker", "group"])
def test_arguments_of_a_temporary_worker_are_let_go(
    scene: MakeScene, membership: str, reason: ExitReason
) -> None:
    """Row 72: when it has ended for good, nothing in the tree keeps what it was started with."""
    at = scene(Place(membership, "task"), *([part("b")] if membership == "group" else [])).start()

    def run(heavy: Heavy, *, more: Heavy) -> None:
        assert heavy is not more
        leave(receive())()

    heavy, more = Heavy(), Heavy()
    seen = [weakref.ref(heavy), weakref.ref(more)]
    home: Any = at.sup if membership == "worker" else at.group
    ref = home.add_worker(run, heavy, kwargs={"more": more}, id="t", restart="temporary")
    del heavy, more
    ref.tell(reason)
    last = ref.wait(PATIENCE)
    assert last is not None
    assert same(last, reason)
    at.sync()
    at._threads_but({f"threadsup-{key}-1" for key in ("outside", "b")} | own_threads(at))
    del ref
    gc.collect()
    assert [each() for each in seen] == [None, None]
    at.check()


def own_threads(at: Scene) -> set[str]:
    """Return the names of the tree's own two threads."""
    return {f"{at.sup.name}-supervisor", f"{at.sup.name}-side"}


@every_end
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_specs_of_permanent_and_transient_members_are_kept(
    scene: MakeScene, strategy: str, reason: ExitReason
) -> None:
    """Row 73: three strategies, four ways to end: who is kept, who is gone, who comes back."""
    at = scene(
        Place("group", "worker"),
        part("temporary", restart="temporary"),
        part("transient", restart="transient"),
        part("permanent", restart="permanent"),
        strategy=strategy,
        max_restarts=3,
    ).start()
    for key in ("temporary", "transient", "permanent"):
        last = key if strategy == "one_for_one" else "permanent"
        number = at.incarnation(last)
        at.tell(key, leave(reason))
        at.exits[key].wait_until(lambda exits: any(same(each.reason, reason) for each in exits))
        if key == "permanent" or (key == "transient" and reason == CRASH):
            at.up(last, number + 1)
    at.sync()
    assert at.group.children() == ("transient", "permanent")
    everybody = reason == CRASH or strategy == "one_for_all"
    at.check(up=["transient", "permanent"] if everybody else ["permanent"])


@every_end
def test_specs_of_standalone_workers_are_kept_but_for_temporary_ones(
    scene: MakeScene, reason: ExitReason
) -> None:
    """Row 73: under a supervisor, which is one for one, temporary workers alone are gone."""
    kinds = ("temporary", "transient", "permanent")
    at = scene(Place("worker", "worker"), *(part(kind, restart=kind) for kind in kinds)).start()
    for key in kinds:
        at.tell(key, leave(reason))
        at.ended(key)
    at.up("permanent", 2)
    if reason == CRASH:
        at.up("transient", 2)
    at.sync()
    assert at.sup.children() == ("outside", "transient", "permanent")
    at.check(up=kinds[1:] if reason == CRASH else ["permanent"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_chain_keeps_its_stages_whatever_their_type(scene: MakeScene, strategy: str) -> None:
    """Row 73 for stages: a chain that ended has all its stages, and comes back with all of them."""
    stages = [part("permanent", restart="permanent"), part("transient", restart="transient")]
    at = scene(Place("chain", "worker"), *stages, strategy=strategy).start()
    at.tell("transient", raising(SystemExit))
    at.ended("permanent")
    at.sync()
    assert at.chain.children() == ("permanent", "transient")
    at.sup.restart_child("scope", PATIENCE)
    assert at.answers("permanent")
    at.check()


def test_messages_for_every_shared_place_are_kept_by_type(scene: MakeScene) -> None:
    """Rows 65, 68: what is queued behind a crash is handled by the next incarnation."""
    for place in SHARED:
        at = scene(place, part("a", restart="permanent"), part("b")).start()
        at.tell("a", boom)
        assert at.answers("a")
        assert isinstance(at.ended("a").reason, Crashed)
        at.check(kept=["b"] if place.membership == "chain" else [])


def test_the_end_of_a_worker_is_told_with_what_it_failed_with(scene: MakeScene) -> None:
    """Rows 65, 68: the reason of a crash is text, type and traceback, and no frame."""
    at = scene(Place("worker", "handler"), part("a")).start()
    future = at.ask("a", boom)
    with pytest.raises(Boom):
        future.result(PATIENCE)
    reason = at.ended("a").reason
    assert isinstance(reason, Crashed)
    assert reason.error == "Boom: boom"
    assert "raise Boom" in reason.traceback
    at.up("a", 2)
    at.check()
