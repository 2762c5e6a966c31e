"""A tree ends by itself when its significant children have: any of them, or all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import act, boom
from tests.helpers import PATIENCE, Recorder
from tests.supervisor.trees import taken
from threadsup import (
    Backoff,
    Normal,
    Shutdown,
    SpecError,
    Stop,
    Supervisor,
    SupervisorSpec,
    events,
    handler,
    stage,
    worker_spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeSupervisor


def leave() -> None:
    raise SystemExit


ENDS: dict[str, Callable[[], None]] = {"normal": leave, "crash": boom}  # type: ignore[dict-item]


def test_by_default_no_end_ends_the_tree(supervisor: MakeSupervisor) -> None:
    """`never`: whoever ends, the tree goes on (row 96)."""
    tree = supervisor().start()
    for restart in ("transient", "temporary"):
        ref = tree.add_worker(handler(act), restart=restart)
        ref.tell(leave)
        ref.wait(PATIENCE)
    taken(tree)
    assert tree.wait(0) is None


@pytest.mark.parametrize("auto_shutdown", ["any", "all"])
@pytest.mark.parametrize("restart", ["transient", "temporary"])
@pytest.mark.parametrize("end", ENDS)
def test_an_end_that_is_not_significant_ends_nothing(
    supervisor: MakeSupervisor, auto_shutdown: str, restart: Any, end: str
) -> None:
    """In any mode, by any end (row 96)."""
    tree = supervisor(auto_shutdown=auto_shutdown).start()
    tree.add_worker(handler(act), id="significant", restart="transient", significant=True)
    ref = tree.add_worker(handler(act), restart=restart, max_restarts=0)
    ref.tell(ENDS[end])
    ref.wait(PATIENCE)
    taken(tree)
    assert tree.wait(0) is None
    assert tree.worker("significant").is_alive()


@pytest.mark.parametrize("end", ENDS)
def test_any_significant_end_ends_the_tree(supervisor: MakeSupervisor, end: str) -> None:
    """A temporary child counts however it ended; the rest is stopped in reverse (row 97)."""
    told: Recorder[events.Event] = Recorder()
    tree = supervisor(auto_shutdown="any").start()
    tree.subscribe(told)
    for key in ("a", "b"):
        tree.add_worker(handler(act), id=key)
    one = tree.add_worker(handler(act), id="one", restart="temporary", significant=True)
    tree.add_worker(handler(act), id="two", restart="temporary", significant=True)
    one.tell(ENDS[end])
    assert tree.wait(PATIENCE) == Shutdown()
    tree.stop()
    ended = [event.path[0] for event in told.items if isinstance(event, events.WorkerEnded)]
    assert ended == ["one", "two", "b", "a"]


@pytest.mark.parametrize("auto_shutdown", ["any", "all"])
def test_a_transient_child_counts_when_it_ends_cleanly(
    supervisor: MakeSupervisor, auto_shutdown: str
) -> None:
    """A crash of it is a restart, and ends nothing (row 98)."""
    tree = supervisor(auto_shutdown=auto_shutdown, backoff=Backoff.none()).start()
    ref = tree.add_worker(handler(act), restart="transient", significant=True)
    ref.tell(boom)
    assert ref.ask("again") == "again"
    assert tree.wait(0) is None
    ref.tell(leave)
    assert tree.wait(PATIENCE) == Shutdown()
    assert ref.wait(0) == Normal()


def test_all_waits_for_the_last_significant_end(supervisor: MakeSupervisor) -> None:
    """Workers, groups and chains count alike (row 97)."""
    tree = supervisor(auto_shutdown="all")
    worker = tree.add_worker(handler(act), restart="transient", significant=True)
    members = [worker_spec(handler(act), id=key, restart="transient") for key in "ab"]
    group = tree.add_group("g", members, significant=True, strategy="one_for_one")
    chain = tree.add_chain("c", [stage(act)], significant=True)
    tree.add_worker(handler(act), id="other")
    tree.start()
    worker.tell(leave)
    worker.wait(PATIENCE)
    taken(tree)
    assert tree.wait(0) is None
    for key in "ab":
        assert tree.wait(0) is None
        group.tell(key, leave)
        group[key].wait(PATIENCE)
    taken(tree)
    assert tree.wait(0) is None
    chain.close()
    assert tree.wait(PATIENCE) == Shutdown()


def test_a_stage_that_stops_ends_its_chain_and_the_tree(supervisor: MakeSupervisor) -> None:
    """The end of a stream is the end of the work, and what is in it comes out first."""
    got: Recorder[int] = Recorder()

    def until_three(item: int) -> object:
        return Stop() if item == 3 else item

    tree = supervisor(auto_shutdown="all")
    chain = tree.add_chain("c", [stage(until_three), stage(act)], significant=True, on_result=got)
    with tree:
        for item in range(1, 6):
            chain.tell(item)
        assert tree.wait(PATIENCE) == Shutdown()
    assert got.items == [1, 2]


@pytest.mark.parametrize("auto_shutdown", ["any", "all"])
def test_what_is_done_by_hand_ends_nothing(supervisor: MakeSupervisor, auto_shutdown: str) -> None:
    """Stopping, restarting and removing significant children leaves the tree up (97, 1.7)."""
    tree = supervisor(auto_shutdown=auto_shutdown).start()
    for key in ("stopped", "restarted", "removed", "by ref"):
        tree.add_worker(handler(act), id=key, restart="temporary", significant=True)
    group = tree.add_group("g", [worker_spec(handler(act), id="m")], significant=True)
    tree.stop_child("stopped")
    tree.remove_child("removed")
    tree.worker("by ref").stop()
    tree.stop_child("g")
    taken(tree)
    assert tree.wait(0) is None
    assert not group["m"].is_alive()


def test_a_group_in_a_pause_is_active(supervisor: MakeSupervisor) -> None:
    """A child that is to come back has not ended (1.7)."""
    tree = supervisor(auto_shutdown="all", backoff=Backoff(1000.0, maximum=1000.0)).start()
    told: Recorder[events.Event] = Recorder()
    tree.subscribe(told)
    coming = tree.add_worker(handler(act), restart="transient", significant=True)
    last = tree.add_worker(handler(act), restart="transient", significant=True)
    for _ in range(2):
        coming.tell(boom)
    told.wait_until(lambda seen: any(isinstance(e, events.Restarting) and e.delay for e in seen))
    last.tell(leave)
    last.wait(PATIENCE)
    taken(tree)
    assert tree.wait(0) is None
    tree.remove_child(coming.id)


def test_a_quick_end_during_the_start_waits_for_it(supervisor: MakeSupervisor) -> None:
    """The tree comes up first: `start` returns, and then it has ended."""
    tree = supervisor(auto_shutdown="any")
    tree.add_worker(lambda: None, id="quick", significant=True)
    for key in range(20):
        tree.add_worker(handler(act), id=key)
    assert tree.start() is tree
    assert tree.wait(PATIENCE) == Shutdown()
    names = [type(event).__name__ for event in tree.history()]
    assert names.index("SupervisorStarted") < names.index("SupervisorEnded")


def test_a_bystander_s_end_is_none_of_its_own(supervisor: MakeSupervisor) -> None:
    """A group restarted as a whole has not ended, whoever of it went down (row 100)."""
    tree = supervisor(auto_shutdown="any", backoff=Backoff.none()).start()
    members = [worker_spec(handler(act), id=key, restart="transient") for key in "ab"]
    group = tree.add_group("g", members, significant=True, strategy="one_for_all")
    group.tell("a", boom)
    assert group.ask("a", 1) == 1
    assert group.ask("b", 2) == 2
    taken(tree)
    assert tree.wait(0) is None


def test_a_significant_scope_that_gave_up_has_ended(supervisor: MakeSupervisor) -> None:
    """Past its budget it ends for good, and the tree with it."""
    tree = supervisor(auto_shutdown="all").start()
    ref = tree.add_worker(
        handler(act), id="w", restart="transient", significant=True, max_restarts=0
    )
    ref.tell(boom)
    assert tree.wait(PATIENCE) == Shutdown()
    assert tree.failed() == ("w",)


def test_significance_is_refused_where_it_means_nothing() -> None:
    """Without a mode, for permanent workers, for members and stages (rows 54, 99)."""
    tree = Supervisor()
    calls: list[Callable[[], object]] = [
        lambda: tree.add_worker(lambda: None, id="w", significant=True),
        lambda: tree.add_group("g", significant=True),
        lambda: tree.add_chain("c", [stage(act)], significant=True),
        lambda: tree.add_worker(handler(act), significant=True),
        lambda: worker_spec(handler(act), restart="permanent", significant=True),
        lambda: tree.add_group("g").add_worker(handler(act), restart="transient", significant=True),
        lambda: SupervisorSpec(name="s", children=(worker_spec(lambda: None, significant=True),)),
    ]
    for call in calls:
        with pytest.raises(SpecError, match="significant"):
            call()
    with pytest.raises(TypeError, match="significant"):
        stage(act, significant=True)  # type: ignore[call-arg]
    assert tree.children() == ("g",)


def test_the_reason_of_a_requested_end_is_kept_over_an_automatic_one(
    supervisor: MakeSupervisor,
) -> None:
    """Who asked first is the reason."""
    tree = supervisor(auto_shutdown="any").start()
    tree.add_worker(lambda: None, significant=True).wait(PATIENCE)
    assert tree.wait(PATIENCE) == Shutdown()
    tree.request_stop("too late")
    assert tree.wait() == Shutdown()
