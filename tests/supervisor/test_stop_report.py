"""A stop is bounded, and its report names who did not, what was lost, how long it took."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import Actor, act
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import outcome, taken
from threadsup import (
    Abandoned,
    Abandonment,
    MailboxClosed,
    NotRunningError,
    Shutdown,
    StopReport,
    Worker,
    handler,
    stage,
    worker_spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeSupervisor


def test_a_clean_stop_counts_whom_it_stopped(supervisor: MakeSupervisor) -> None:
    """Not those who had ended before, and not those who never started."""
    tree = supervisor().start()
    tree.add_worker(lambda: None, id="ended").wait(PATIENCE)
    tree.add_worker(handler(act), id="held")
    tree.stop_child("held")
    tree.add_group("g", [worker_spec(handler(act), id=key) for key in "ab"])
    tree.add_chain("c", [stage(act, id="s")])
    report = tree.stop()
    assert report.clean
    assert (report.stopped, report.abandoned, report.undelivered) == (3, (), 0)
    assert 0 <= report.seconds < PATIENCE
    assert str(report).startswith("stopped 3 workers in 0.")


def test_who_does_not_stop_is_named(supervisor: MakeSupervisor) -> None:
    """By id, or group and id; with what it was doing, and for how long (DESIGN 3.10)."""
    gate = Gate()
    hung: Any = {"shutdown": 0.02}
    tree = supervisor().start()
    refs = [
        tree.add_worker(handler(act), id="message", **hung),
        tree.add_group("g", [worker_spec(handler(act), id="m", **hung)])["m"],
    ]
    tree.add_worker(Actor, id="stop", kwargs={"stop": gate.meet}, **hung)
    tree.add_worker(gate.meet, id="task", **hung)
    for ref in refs:
        ref.tell(gate.meet)
    gate.wait_reached(3)
    refs[0].tell("lost")
    report = tree.stop()
    gate.open()
    assert not report.clean
    assert [(left.id, left.doing) for left in report.abandoned] == [
        ("task", "task"),
        ("stop", "on_stop"),
        (("g", "m"), "message"),
        ("message", "message"),
    ]
    assert all(left.since >= 0 for left in report.abandoned)
    assert (report.stopped, report.undelivered) == (0, 1)
    assert "1 messages were not delivered; 'task' did not stop: in task for 0.0 s" in str(report)
    reason = refs[0].wait(0)
    assert isinstance(reason, Abandoned)
    assert reason.doing == "message"


def test_a_zombie_from_before_the_stop_makes_it_unclean(supervisor: MakeSupervisor) -> None:
    """It still runs when the tree has ended: nobody is told that all is well."""
    gate, tree = Gate(), supervisor().start()
    ref = tree.add_worker(handler(act), id="w", shutdown=0.02)
    ref.tell(gate.meet)
    gate.wait_reached()
    tree.restart_child("w")
    report = tree.stop()
    gate.open()
    assert (report.clean, report.stopped) == (False, 1)
    assert [left.id for left in report.abandoned] == ["w"]


def test_a_stop_that_has_gone_wrong_does_not_take_the_sum(supervisor: MakeSupervisor) -> None:
    """After the first who overran, the rest are asked at once and share one limit (3.10)."""
    gate, tree = Gate(), supervisor().start()
    for number in range(7):
        ref = tree.add_worker(handler(act), id=number, shutdown=0.15)
        ref.tell(gate.meet)
    gate.wait_reached(7)
    report = tree.stop()
    gate.open()
    assert len(report.abandoned) == 7
    assert report.seconds < 7 * 0.15


@pytest.mark.parametrize("place", ["worker", "group", "chain"])
def test_the_limit_of_a_stop_reaches_every_worker(supervisor: MakeSupervisor, place: str) -> None:
    """Whoever is behind a hung one is asked before the time is up, and ends by itself (3.10)."""
    gate, log = Gate(), Recorder[str]()
    good: Any = {"id": "good", "kwargs": {"stop": partial(log, "good")}}
    tree = supervisor().start()
    if place == "worker":
        tree.add_worker(Actor, **good)
        tree.add_worker(handler(act), id="hung").tell(gate.meet)
    elif place == "group":
        members = [worker_spec(Actor, **good), worker_spec(handler(act), id="hung")]
        tree.add_group("g", members).tell("hung", gate.meet)
    else:
        stages = [stage(Passing, log, id="good"), stage(act, id="hung")]
        tree.add_chain("c", stages).tell(gate.meet)
    gate.wait_reached()
    report = tree.stop(timeout=0.1)
    gate.open()
    assert [left.id for left in report.abandoned] == [
        "hung" if place == "worker" else ("g" if place == "group" else "c", "hung")
    ]
    assert log.items == ["good"]
    assert 0.05 <= report.seconds < PATIENCE


class Passing(Worker):
    """A stage that hands on what it is given, uncalled."""

    def __init__(self, log: Recorder[str]) -> None:
        self._log = log

    def on_receive(self, message: Any) -> Any:
        return message

    def on_stop(self) -> None:
        self._log("good")


def test_no_time_at_all_abandons_whoever_runs(supervisor: MakeSupervisor) -> None:
    """`stop(timeout=0)` returns; who was in a message is fenced."""
    gate, tree = Gate(), supervisor().start()
    ref = tree.add_worker(handler(act), id="w")
    ref.tell(gate.meet)
    gate.wait_reached()
    report = tree.stop(timeout=0)
    gate.open()
    assert [left.id for left in report.abandoned] == ["w"]
    assert ref.statistics().failed == 1


def hold(item: Any, gate: Gate) -> Any:
    gate.meet()
    return item


@pytest.mark.parametrize("timeout", [None, 60.0])
@pytest.mark.parametrize("order", ["abc", "cba"])
def test_a_drained_tree_loses_nothing(
    supervisor: MakeSupervisor, order: str, timeout: float | None
) -> None:
    """Chains run empty first, also one that feeds another, whichever was declared first."""
    gate, got = Gate(), Recorder[int]()
    tree = supervisor()
    feeds: dict[str, Callable[[int], object]] = {
        "a": lambda item: tree.chain("b").tell(item),
        "b": lambda item: tree.chain("c").tell(item),
        "c": got,
    }
    for key in order:
        stages = [stage(hold, gate) if key == "a" else stage(act), stage(act, id="last")]
        tree.add_chain(key, stages, on_result=feeds[key])
    with tree:
        for item in range(20):
            tree.chain("a").tell(item)
        gate.wait_reached()
        tree._services.side.do(gate.open)
        report = tree.stop(timeout, drain=True)
    assert got.items == [*range(20)]
    assert (report.clean, report.undelivered) == (True, 0)
    with pytest.raises(MailboxClosed):
        tree.chain("a").tell(99)


def test_a_drain_passes_over_a_chain_that_was_stopped_by_hand(supervisor: MakeSupervisor) -> None:
    """Nothing moves in it: to wait for it would be to wait for ever."""
    tree = supervisor().start()
    chain = tree.add_chain("c", [stage(act)])
    tree.stop_child("c")
    assert isinstance(outcome(chain.tell, 1), MailboxClosed)
    assert tree.stop(drain=True).clean


def test_a_drain_that_takes_too_long_leaves_time_to_stop(supervisor: MakeSupervisor) -> None:
    """Half of the limit at most is spent on items: who can stop does so by itself."""
    gate, log = Gate(), Recorder[str]()
    tree = supervisor().start()
    tree.add_worker(Actor, id="good", kwargs={"stop": lambda: log("good")})
    chain = tree.add_chain("c", [stage(act, id="hung")])
    for _ in range(3):
        chain.tell(gate.meet)
    gate.wait_reached()
    report = tree.stop(timeout=0.2, drain=True)
    gate.open()
    assert [left.id for left in report.abandoned] == [("c", "hung")]
    assert log.items == ["good"]
    assert report.undelivered == 2


def test_a_drain_ends_with_the_tree(supervisor: MakeSupervisor) -> None:
    """Somebody else stops it at once: nobody waits for items that are lost."""
    gate, tree = Gate(), supervisor().start()
    chain = tree.add_chain("c", [stage(act, id="s")])
    chain.tell(gate.meet)
    chain.tell("lost")
    gate.wait_reached()
    drained: Recorder[Any] = Recorder()
    tree._services.side.do(lambda: drained(outcome(chain.drain)))
    tree.request_stop()
    taken(tree)
    gate.open()
    assert drained.wait_for(1) == [True]
    report = tree.stop(drain=True)
    assert (report.undelivered, tree.wait()) == (1, Shutdown())


def test_a_report_is_text_for_people() -> None:
    """One line, with what there is to tell."""
    left = (Abandonment(("g", "m"), "on_stop", 5.25),)
    report = StopReport(clean=False, stopped=2, abandoned=left, undelivered=3, seconds=6.5)
    assert str(report) == (
        "stopped 2 workers in 6.50 s; 3 messages were not delivered; "
        "('g', 'm') did not stop: in on_stop for 5.2 s"
    )


def test_more_zombies_than_a_tree_bears_end_the_scope(supervisor: MakeSupervisor) -> None:
    """Past `max_zombies` it gives up, and is named (DESIGN 3.10, F74)."""
    gate = Gate()
    tree = supervisor(max_zombies=1).start()
    good = tree.add_worker(handler(act), id="good")
    ref = tree.add_worker(handler(act), id="w", shutdown=0.01)
    for lives in (1, 2):
        ref.tell(gate.meet)
        gate.wait_reached(lives)
        outcome(tree.restart_child, "w")
    assert ref.wait(PATIENCE) is not None
    assert isinstance(outcome(ref.tell, "x"), MailboxClosed)
    taken(tree)
    assert tree.failed() == ("w",)
    assert good.ask(1) == 1
    gate.open()


def test_the_second_report_is_the_first(supervisor: MakeSupervisor) -> None:
    """`stop` after the end tells how it ended, by whatever ended it."""
    tree = supervisor(auto_shutdown="any").start()
    tree.add_worker(lambda: None, significant=True)
    tree.wait(PATIENCE)
    assert tree.stop() is tree.stop()
    assert isinstance(outcome(tree.start), NotRunningError)
