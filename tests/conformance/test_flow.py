"""Flow and delivery in chains: `reliability.md` 2.8, 2.9 and 3.3, what stands nowhere else.

Most rows are with what they are about: 131 to 134, 136, 142 to 144 in `tests/chain`'s
`test_backpressure`, `test_replicas` and `test_routing`, 135 in `test_pause`, 139 in
`test_strategies`, 145 to 151 in `test_batch`, `test_on_error`, `test_sink` and
`test_routing`, 154 to 157 in `test_reference_loss`, 158 to 161 in `test_drain` and
`test_close`, 162 in `test_capacity_rate`. F46 is in `tests/runtime/test_mailbox_races`.
Row 153, acknowledgements grouped by their source, has no counterpart: a future belongs
to one sender.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import run
from threadsup import (
    CallingSelfError,
    MailboxClosed,
    MailboxFull,
    SpecError,
    UnknownChildError,
    WorkerExited,
    get,
    running,
    stage,
)

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor


def same(item: Any) -> Any:
    return item


class Held:
    """Handles items, but stands at a gate over the first one."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.items: Recorder[Any] = Recorder()

    def __call__(self, item: Any) -> Any:
        self.gate.meet()
        self.items(item)
        return item


def test_there_is_no_unlimited_chain_by_accident(supervisor: MakeSupervisor) -> None:
    """A capacity is a number; what is queued can be asked, what is dropped is told (row 137)."""
    sup = supervisor().start()
    with pytest.raises(SpecError, match="capacity: must be a whole number"):
        sup.add_chain("c", [stage(same)], capacity=None)  # type: ignore[arg-type]
    held = Held()
    chain = sup.add_chain("c", [stage(held, id="a")], capacity=2, on_full="drop_new")
    chain.tell("in hand")
    held.gate.wait_reached()
    for item in range(4):
        chain.tell(item)
    assert chain.statistics().stages["a"].pending == 2
    assert [letter.message for letter in sup.dead_letters()] == [2, 3]
    held.gate.open()
    assert chain.drain(PATIENCE)


def test_a_mark_among_data_keeps_its_place_though_data_around_it_is_dropped(
    supervisor: MakeSupervisor,
) -> None:
    """A drain is over when what was before it is, not earlier and not later (row 138)."""
    held = Held()
    sup = supervisor().start()
    chain = sup.add_chain("c", [stage(held, id="a")], capacity=2, on_full="drop_old")
    for item in ("in hand", 1, 2):
        chain.tell(item)
        held.gate.wait_reached()
    over = Recorder[bool]()
    drained = run(lambda: over(chain.drain(PATIENCE)))
    for item in (3, 4, 5):
        chain.tell(item)
    assert over.items == []
    held.gate.open()
    drained.result()
    assert over.items == [True]
    assert chain.drain(PATIENCE)
    assert held.items.items == ["in hand", 4, 5]
    assert chain.statistics().items.failed == 3


def test_what_a_stage_that_was_given_up_on_returns_is_ignored(supervisor: MakeSupervisor) -> None:
    """A late result from an old incarnation goes nowhere and counts for nothing (row 140; F51)."""
    gate, ended, results = Gate(), Gate(), Recorder[Any]()

    def hang(item: Any) -> Any:
        if item == "hang":
            gate.meet()
            ended.open()
        return item

    sup = supervisor().start()
    chain = sup.add_chain("c", [stage(hang, id="a", time_limit=0.01)], on_result=results)
    future = chain.submit("hang")
    assert outcome(future) == "exited"
    assert chain.submit("next").result(PATIENCE) == "next"
    gate.open()
    ended.meet()
    assert chain.submit("last").result(PATIENCE) == "last"
    assert outcome(future) == "exited"
    assert results.items == ["next", "last"]
    items = chain.statistics().items
    assert (items.offered, items.completed, items.failed) == (3, 2, 1)


def test_nobody_waits_for_ever_for_a_chain_that_is_stopped(supervisor: MakeSupervisor) -> None:
    """Futures, a stream and a drain end when the chain does (row 141)."""
    held = Held()
    sup = supervisor().start()
    stages = [stage(held, id="a", shutdown=0.01), stage(same, id="b")]
    chain = sup.add_chain("c", stages, capacity=2)
    futures = [chain.submit(item) for item in range(2)]
    held.gate.wait_reached()
    pulled: Recorder[Any] = Recorder()

    def items() -> Any:
        for item in range(100):
            pulled(item)
            yield item

    mapped = run(lambda: list(chain.map(items())))
    pulled.wait_for(2)
    drained = run(chain.drain)
    assert not sup.stop().clean
    assert [outcome(future) for future in futures] == ["exited", "exited"]
    drained.result()
    with pytest.raises((WorkerExited, MailboxClosed)):
        mapped.result()
    held.gate.open()


def test_what_was_taken_back_is_not_settled_again(supervisor: MakeSupervisor) -> None:
    """A future that was cancelled stays so, its item is not handled (row 152)."""
    held = Held()
    sup = supervisor().start()
    chain = sup.add_chain("c", [stage(held, id="a")])
    first, second = chain.submit(1), chain.submit(2)
    held.gate.wait_reached()
    assert second.cancel()
    held.gate.open()
    assert chain.drain(PATIENCE)
    assert first.result() == 1
    assert second.cancelled()
    assert held.items.items == [1]
    items = chain.statistics().items
    assert (items.completed, items.failed) == (1, 1)


def test_a_chain_is_found_and_stopped_by_its_names(supervisor: MakeSupervisor) -> None:
    """By supervisor and chain, with its stages in order (row 163)."""
    sup = supervisor("shop").start()
    sup.add_chain("orders", [stage(same, id="a"), stage(same, id="b", workers=2)])
    assert running()["shop"] is sup
    found = get("shop").chain("orders")
    assert found.submit(1).result(PATIENCE) == 1
    assert found.children() == ("a", "b")
    assert found["b"].replicas == (("b", 0), ("b", 1))
    get("shop").stop_child("orders")
    with pytest.raises(MailboxClosed):
        found.tell(1)


def test_a_stage_cannot_wait_for_its_own_chain_for_ever(supervisor: MakeSupervisor) -> None:
    """For room of its own it is refused at once; before it, it waits as long as it says (F45)."""
    found: Recorder[Any] = Recorder()
    gate = Gate()

    def feeds_back(item: Any) -> Any:
        gate.meet()
        for at in ("b", "a"):
            try:
                while True:
                    chain.tell(item, at=at, timeout=0.001)
            except (CallingSelfError, MailboxFull) as error:
                found(type(error).__name__)
        return item

    sup = supervisor().start()
    stages = [stage(same, id="a"), stage(feeds_back, id="b")]
    chain = sup.add_chain("c", stages, capacity=1)
    chain.tell(1)
    gate.wait_reached()
    gate.open()
    assert found.wait_for(2)[:2] == ["CallingSelfError", "MailboxFull"]
    assert sup.stop(PATIENCE).clean


def test_an_item_for_nobody_is_refused_at_once(supervisor: MakeSupervisor) -> None:
    """A stage that is unknown or was removed, a chain that was removed (F54)."""
    sup = supervisor().start()
    chain = sup.add_chain("c", [stage(same, id="a"), stage(same, id="b")])
    with pytest.raises(UnknownChildError, match="no stage 'nope'"):
        chain.tell(1, at="nope")
    chain.remove_stage("b")
    with pytest.raises(UnknownChildError, match="no stage 'b'"):
        chain.submit(1, at="b")
    sup.remove_child("c")
    with pytest.raises(MailboxClosed):
        chain.tell(1)
    with pytest.raises(MailboxClosed):
        list(chain.map([1]))
