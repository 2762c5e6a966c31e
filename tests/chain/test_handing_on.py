"""Results that are handed on together, in a chain: under changes, ends, and for who counts.

A stage stands at an item that is held, with results of those before it made; the next one
stands at its first item, so that it has a backlog and they may wait for each other.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import Drop, Emit, Reject, Stop, events, stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow

BEFORE, HELD, BEHIND = list(range(60)), "held", list(range(60, 90))
ALL = [*BEFORE, HELD, *BEHIND]


class Holding:
    """A stage that stands at one item, or at its first, and then makes something of it."""

    def __init__(self, at: Any, then: Callable[[Any], Any] = lambda item: item) -> None:
        self.gate = Gate(f"the stage at {at!r}")
        self.seen: Recorder[Any] = Recorder()
        self._at, self._then = at, then

    def __call__(self, item: Any) -> Any:
        self.seen(item)
        if item == self._at:
            self.gate.meet()
            return self._then(item)
        return item


class Scene:
    """The chain `a | b`: `a` has made results of `BEFORE` and holds `HELD`, `b` holds the first."""

    def __init__(
        self,
        flow: MakeFlow,
        then: Callable[[Any], Any] = lambda item: item,
        capacity: int = 200,
        **options: Any,
    ) -> None:
        self.a, self.b = Holding(HELD, then), Holding(0)
        self.f: Flow = flow(
            stage(self.a, id="a", capacity=200, **options),
            stage(self.b, id="b", capacity=capacity),
        )
        for item in ALL:
            self.f.chain.tell(item)
        self.b.gate.wait_reached()
        if capacity > len(BEFORE):
            self.a.gate.wait_reached()

    def open(self) -> None:
        self.a.gate.open()
        self.b.gate.open()

    def finish(self, expected: list[Any]) -> None:
        """Let everything through; check what comes out, in order, and that nothing is left."""
        self.open()
        assert self.f.chain.drain(PATIENCE)
        assert self.f.results.items == expected
        assert "in_flight" not in self.f.items()


def counted(f: Flow, *in_hand: str) -> tuple[int, int, int]:
    """Return offered, completed and in flight; all adds up, with one in hand of these stages."""
    found = f.chain.statistics()
    for name, each in found.stages.items():
        finals = each.handled + each.failed + each.undelivered + each.pending
        assert each.accepted == finals + (name in in_hand), (name, each)
    items = found.items
    assert items.offered == items.completed + items.dropped + items.failed + items.in_flight
    return items.offered, items.completed, items.in_flight


def test_the_counts_add_up_with_results_that_wait_for_each_other(flow: MakeFlow) -> None:
    """Each item is somewhere: offered is what is through, and what is on its way."""
    scene = Scene(flow)
    assert counted(scene.f, "a", "b") == (91, 0, 91)
    found = scene.f.chain.statistics().stages["a"]
    assert (found.accepted, found.handled, found.pending) == (91, 60, 30)
    scene.finish(ALL)
    assert counted(scene.f) == (91, 91, 0)


def test_the_counts_add_up_at_every_item(flow: MakeFlow) -> None:
    """Looked at by the stage itself, with whatever is made and not handed on."""
    found: Recorder[tuple[int, int, int]] = Recorder()
    a, b = Holding(0), Holding(0)

    def look(item: int) -> int:
        if a(item):
            if item == 1:
                b.gate.wait_reached()
            found(counted(f, "a", "b"))
        return item

    f = flow(stage(look, id="a", capacity=300), stage(b, id="b", capacity=300))
    for item in range(300):
        f.chain.tell(item)
    a.gate.open()
    assert set(found.wait_for(299)) == {(300, 0, 300)}
    b.gate.open()
    assert f.chain.drain(PATIENCE)
    assert counted(f) == (300, 300, 0)


@pytest.mark.parametrize("capacity", [1, 2, 50])
def test_no_more_than_the_next_stage_has_room_for_is_in_it(flow: MakeFlow, capacity: int) -> None:
    """One sender keeps the bound to the letter, however many results it has."""
    scene = Scene(flow, capacity=capacity)
    mailbox = scene.f.chain._line("b").cells[0].mailbox
    most = list[int]()
    scene.f.chain.tap(lambda _: most.append(mailbox.pending))
    scene.finish(ALL)
    assert max(most) <= capacity


@pytest.mark.parametrize("then", ["crash", "restart", "limit"])
def test_results_are_handed_on_first_by_the_next_incarnation(flow: MakeFlow, then: str) -> None:
    """After a crash, a restart by hand, or a time limit: in order, each once."""

    def fail(item: Any) -> Any:
        if then == "crash":
            raise ValueError("crashed")
        return item

    options: dict[str, Any] = {"time_limit": 0.05} if then == "limit" else {}
    scene = Scene(flow, fail, **options)
    if then == "limit":
        scene.f.events.wait_until(
            lambda told: any(type(each) is events.WorkerAbandoned for each in told), "fence"
        )
    restarting = None
    if then == "restart":
        restarting = threading.Thread(target=scene.f.chain.restart_child, args=("a",))
        restarting.start()
    scene.finish([*BEFORE, *([HELD] if then == "restart" else []), *BEHIND])
    if restarting is not None:
        restarting.join(PATIENCE)
    failed = {} if then == "restart" else {"failed": 1}
    assert scene.f.items() == {"offered": 91, "completed": 91 - len(failed), **failed}


@pytest.mark.parametrize(
    ("ends", "count"),
    [(Drop(), "dropped"), (Reject("no"), "failed"), (Emit(), "dropped"), (Emit("x", "y"), "")],
    ids=["drop", "reject", "emit nothing", "emit"],
)
def test_what_is_no_value_keeps_its_place(flow: MakeFlow, ends: Any, count: str) -> None:
    """Behind the results before it, in front of those behind it."""
    scene = Scene(flow, lambda _: ends)
    scene.finish([*BEFORE, *(["x", "y"] if not count else []), *BEHIND])
    expected = (
        {"offered": 91, "completed": 90, count: 1}
        if count
        else {
            "offered": 91,
            "completed": 91,
        }
    )
    assert scene.f.items() == expected


@pytest.mark.parametrize("how", ["stop", "exit"])
def test_results_go_on_before_the_stage_ends_for_good(flow: MakeFlow, how: str) -> None:
    """By `Stop` or `SystemExit` behind them: what was made comes out at the end."""

    def end(_: Any) -> Any:
        if how == "stop":
            return Stop()
        raise SystemExit

    scene = Scene(flow, end, restart="transient")
    scene.open()
    scene.f.wait_ended()
    assert scene.f.results.items == BEFORE
    assert scene.f.items()["completed"] == len(BEFORE)
    assert "in_flight" not in scene.f.items()


def test_a_pause_finds_all_that_was_made_handed_on(flow: MakeFlow) -> None:
    """Nothing waits in a stage that is held up; what is behind the held item stays."""
    scene = Scene(flow)
    scene.f.chain.pause()
    scene.open()
    scene.f.chain.restart_child("a")  # which waits for what is in hand
    assert scene.f.chain._line("b").cells[0].mailbox.pending == 60
    assert scene.f.chain._line("a").cells[0].mailbox.pending == 30
    scene.f.chain.resume()
    scene.finish(ALL)


def test_a_drain_is_over_behind_all_that_was_made(flow: MakeFlow) -> None:
    """Its mark passes no result that waits for others."""
    scene = Scene(flow)
    drained: Recorder[int] = Recorder()

    def drain() -> None:
        assert scene.f.chain.drain(PATIENCE)
        drained(len(scene.f.results))

    waits = threading.Thread(target=drain)
    waits.start()
    scene.a.gate.open()
    scene.a.seen.wait_for(91)
    assert len(drained) == 0
    scene.b.gate.open()
    assert drained.wait_for(1) == [91]
    waits.join()
    scene.finish(ALL)


@pytest.mark.parametrize("change", ["remove", "insert", "grow", "grow and shrink"])
def test_the_next_stage_changes_in_the_middle(flow: MakeFlow, change: str) -> None:
    """All come out, each once; in order where there is one way."""
    scene = Scene(flow)
    done: Recorder[str] = Recorder()

    def act() -> None:
        if change == "remove":
            scene.f.chain.remove_child("b")
        elif change == "insert":
            scene.f.chain.insert_stage(stage(lambda item: item, id="new"), before="b")
        else:
            scene.f.chain.resize("b", 3)
            if change != "grow":
                scene.f.chain.resize("b", 1)
        done(change)

    changing = threading.Thread(target=act)
    changing.start()
    scene.open()
    done.wait_for(1)
    changing.join()
    assert scene.f.chain.drain(PATIENCE)
    assert sorted(map(str, scene.f.results.items)) == sorted(map(str, ALL))
    assert scene.f.items() == {"offered": 91, "completed": 91}


def test_two_replicas_hand_on_into_one_mailbox(flow: MakeFlow) -> None:
    """Each in its own order, none lost, and a narrow mailbox makes both wait."""
    b = Holding(0)
    f = flow(
        stage(lambda item: item, id="a", workers=2, capacity=200),
        stage(b, id="b", capacity=4),
    )
    for item in range(300):
        f.chain.tell(item)
    b.gate.wait_reached()
    b.gate.open()
    assert f.chain.drain(PATIENCE)
    assert sorted(f.results.items) == list(range(300))
    assert f.items() == {"offered": 300, "completed": 300}
