"""A running tree as rows: what stands in them, and which are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.helpers import Gate, ManualClock
from threadsup import Pool, handler, stage
from threadsup._snapshot import Counts
from threadsup.cli.view import Row, View, fit

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor


def serve(message: Any) -> Any:
    return message


def row(name: str, state: str = "up") -> Row:
    return Row(0, "handler", name, state, "", Counts(), 0.0)


def test_every_kind_of_child_has_its_row(supervisor: MakeSupervisor) -> None:
    """Workers, groups, chains with their stages, pools, and what is in a nested supervisor."""
    tree = supervisor("all")
    tree.add_worker(handler(serve), id="w")
    tree.add_group("g").add_worker(handler(serve), id="m")
    tree.add_chain("c", [stage(serve, id="s", workers=3)])
    tree.add_supervisor("inner").add_worker(handler(serve), id="deep")
    tree.start()
    with Pool(2, name="pool", supervisor=tree):
        rows = View().rows(tree)
    found = [(each.depth, each.kind, each.name, each.up) for each in rows]
    assert found == [
        (0, "handler", "w", ""),
        (0, "group", "g", "1/1"),
        (0, "chain", "c", ""),
        (1, "stage", "s", "3/3"),
        (0, "supervisor", "inner", ""),
        (1, "handler", "deep", ""),
        (0, "group", "pool", "2/2"),
    ]


def test_a_speed_is_measured_over_a_second(supervisor: MakeSupervisor) -> None:
    """How many were handled, by the time they took; the last speed until the next one."""
    clock = ManualClock()
    tree = supervisor("fast")
    ref = tree.add_worker(handler(serve), id="w")
    tree.start()
    view = View(clock)
    assert view.rows(tree)[0].speed == 0.0
    for _ in range(30):
        ref.ask(1)
    clock.advance(0.5)
    assert view.rows(tree)[0].speed == 0.0
    clock.advance(1.0)
    assert view.rows(tree)[0].speed == 20.0
    clock.advance(0.5)
    assert view.rows(tree)[0].speed == 20.0
    clock.advance(0.5)
    assert view.rows(tree)[0].speed == 0.0


def test_numbers_are_those_of_the_child(supervisor: MakeSupervisor) -> None:
    """What was handled, and what is queued behind the one in hand."""
    gate = Gate()

    def hold(_: Any) -> None:
        gate.meet()

    tree = supervisor("held")
    ref = tree.add_worker(handler(hold), id="w")
    tree.start()
    for _ in range(3):
        ref.tell(1)
    gate.wait_reached()
    (only,) = View().rows(tree)
    assert (only.counts.handled, only.counts.pending) == (0, 2)
    gate.open()


def test_all_rows_are_shown_where_there_is_room() -> None:
    """Nothing is left out without need."""
    rows = [row(name) for name in "abc"]
    assert fit(rows, 3) == (rows, 0)


def test_those_in_trouble_are_left_out_last() -> None:
    """Of a hundred workers the one that failed is seen, in its place."""
    rows = [row(str(n), "failed" if n == 70 else "up") for n in range(100)]
    kept, left = fit(rows, 3)
    assert [each.name for each in kept] == ["0", "1", "70"]
    assert left == 97


def test_no_room_is_no_rows() -> None:
    """A terminal of two lines shows none of them."""
    assert fit([row("a"), row("b")], -1) == ([], 2)
