"""`close`: no more items, those inside are finished, and the chain has ended normally."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.helpers import PATIENCE, Gate
from tests.runtime.forcing import run
from threadsup import Chain, DeliveryError, MailboxClosed, Shutdown, Stop, current, events, stage

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow
    from tests.conftest import MakeSupervisor


def same(item: Any) -> Any:
    return item


class Held:
    """A stage that holds one item at a gate, and crashes over exceptions."""

    def __init__(self, hold: Any = 0) -> None:
        self.gate = Gate("the held stage")
        self._hold = hold

    def __call__(self, item: Any) -> Any:
        if item == self._hold:
            self.gate.meet()
        if isinstance(item, BaseException):
            raise item
        return item


def refused(send: Any, *args: Any, **options: Any) -> bool:
    try:
        send(*args, **options)
    except MailboxClosed:
        return True
    return False


def test_a_closed_chain_finishes_what_it_has_and_ends_normally(flow: MakeFlow) -> None:
    """What was accepted reaches the sink, what comes after is refused (rows 158, 159)."""
    held = Held()
    f = flow(stage(same, id="a"), stage(held, id="b"), stage(same, id="c"), significant=False)
    futures = [f.chain.submit(number) for number in range(5)]
    held.gate.wait_reached()
    f.chain.close()
    assert f.chain.is_closed
    for send in (f.chain.tell, f.chain.tell_nowait, f.chain.submit):
        with pytest.raises(MailboxClosed, match="closed"):
            send("late")
        with pytest.raises(MailboxClosed, match="chain 'chain' is closed"):
            send("late", at="c")
    held.gate.open()
    f.wait_ended()
    assert [outcome(future) for future in futures] == list(range(5))
    assert f.results.items == list(range(5))
    assert f.items() == {"offered": 5, "completed": 5}
    assert f.sup.failed() == ()
    assert [type(reason) for key in "abc" for reason in f.reasons(key)] == [Shutdown] * 3


def test_a_significant_chain_that_is_closed_ends_its_tree(flow: MakeFlow) -> None:
    """It has ended by itself, normally."""
    f = flow(stage(same, id="a"), significant=True, tree={"auto_shutdown": "all"})
    f.chain.tell(1)
    f.chain.close()
    assert f.sup.wait(10) == Shutdown()
    assert f.results.items == [1]


def test_closing_again_changes_nothing(flow: MakeFlow) -> None:
    """While it closes, when it has, and after the tree has stopped."""
    held = Held()
    f = flow(stage(held, id="a"))
    f.chain.tell(0)
    f.chain.close()
    f.chain.close()
    held.gate.open()
    f.wait_ended()
    f.chain.close()
    f.sup.stop()
    f.chain.close()
    assert f.items() == {"offered": 1, "completed": 1}


def test_a_stage_may_close_its_chain(flow: MakeFlow) -> None:
    """It never blocks: the item in hand and those before it are finished."""

    def close(item: Any) -> Any:
        if item == "last":
            current().chain.close()  # type: ignore[union-attr]
        return item

    f = flow(stage(same, id="a"), stage(close, id="b"))
    for item in (1, 2, "last"):
        f.chain.tell(item)
    f.wait_ended()
    assert f.results.items == [1, 2, "last"]


@pytest.mark.parametrize("place", ["a", "b", "c"])
@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_a_crash_does_not_open_a_closed_chain(flow: MakeFlow, place: str, strategy: Any) -> None:
    """The stage comes back, the rest is finished, and nobody is let in meanwhile."""
    held, last = Held(), Held(hold="last")
    stages = [stage(held if key == place else same, id=key) for key in "abc"]
    f = flow(*stages, stage(last, id="d"), strategy=strategy)
    f.chain.tell(0)
    held.gate.wait_reached()
    for item in (ValueError("x"), 1, "last"):
        f.chain.tell(item)
    f.chain.close()
    held.gate.open()
    last.gate.wait_reached()
    assert f.chain[place].incarnation == 2
    assert refused(f.chain.tell, "late")
    assert refused(f.chain.tell, "late", at="c")
    last.gate.open()
    f.wait_ended()
    assert f.results.items == [0, 1, "last"]
    assert f.items() == {"offered": 4, "completed": 3, "failed": 1}


def test_a_chain_closed_before_its_tree_starts_finishes_what_it_was_told(
    supervisor: MakeSupervisor,
) -> None:
    """It was told before the start, too; started, it takes nothing more, and ends."""
    sup = supervisor(auto_shutdown="all")
    results: list[Any] = []
    chain = sup.add_chain("c", [stage(same, id="a")], on_result=results.append, significant=True)
    chain.tell(1)
    chain.close()
    assert refused(chain.tell, 2)
    sup.start()
    assert refused(chain.tell, 3)
    assert sup.wait(10) == Shutdown()
    assert results == [1]


def test_what_is_offered_while_a_chain_closes_is_completed_or_refused(flow: MakeFlow) -> None:
    """Four senders and nothing half done: the senders' own counts are the chain's (row 159)."""
    f = flow(stage(same, id="a"), stage(same, id="b"), stage(same, id="c"), capacity=3)
    ready = threading.Barrier(5)

    def send(sender: int) -> list[Any]:
        taken: list[Any] = []
        ready.wait()
        try:
            for number in range(10_000):
                how = (f.chain.submit, f.chain.tell, f.chain.tell)[number % 3]
                at = "b" if number % 5 == 0 else None
                taken.append(how((sender, number), at=at))
        except MailboxClosed:
            pass
        return taken

    senders = [run(send, sender) for sender in range(4)]
    ready.wait()
    f.results.wait_for(50)
    f.chain.close()
    taken = [sender.result() for sender in senders]
    f.wait_ended()
    items = f.items()
    assert items["offered"] == sum(len(mine) for mine in taken)
    assert items["completed"] == len(f.results)
    assert len(set(f.results.items)) == len(f.results)
    assert items["completed"] + items.get("failed", 0) == items["offered"]
    futures = [future for mine in taken for future in mine if future is not None]
    assert {type(outcome(future)) for future in futures} <= {tuple, str}


# -- and again ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "stop by hand", "Stop"])
def test_a_chain_that_has_ended_can_be_started_again(flow: MakeFlow, how: str) -> None:
    """It takes items again, at the head and in the middle, and counts on."""

    def end(item: Any) -> Any:
        return Stop() if item == "end" else item

    f = flow(stage(same, id="a"), stage(end, id="b"))
    for number in range(3):
        assert f.chain.submit(number).result(5) == number
        if how == "close":
            f.chain.close()
        elif how == "Stop":
            f.chain.tell("end")
        else:
            f.sup.stop_child("chain")
        wait_ends(f, 2 * (number + 1))
        assert refused(f.chain.tell, "ended")
        assert refused(f.chain.tell, "ended", at="b")
        f.sup.restart_child("chain")
        assert not f.chain.is_closed
    assert f.chain.submit("again", at="b").result(5) == "again"
    assert f.items()["completed"] == 4


def ends(told: list[Any]) -> list[Any]:
    return [e for e in told if isinstance(e, events.WorkerEnded) and e.final]


def wait_ends(f: Flow, count: int) -> None:
    f.events.wait_until(lambda told: len(ends(told)) == count, f"{count} final ends")


def test_a_chain_that_is_held_while_it_closes_goes_on_closing(flow: MakeFlow) -> None:
    """Stopped by hand and started again, it finishes what it has and takes no more."""
    held = Held()
    f = flow(stage(held, id="a"), stage(same, id="b"))
    f.chain.tell(0)
    held.gate.wait_reached()
    f.chain.tell(1)
    f.chain.close()
    stop = run(f.sup.stop_child, "chain")
    f.events.wait_until(lambda told: [e.path for e in ends(told)] == [("chain", "b", 0)])
    held.gate.open()
    stop.result()
    assert refused(f.chain.tell, "held")
    f.sup.restart_child("chain")
    assert refused(f.chain.tell, "closing")
    wait_ends(f, 4)
    assert f.results.items == [0, 1]
    assert f.items() == {"offered": 2, "completed": 2}


def test_the_end_of_an_old_stream_does_not_end_a_new_one(flow: MakeFlow) -> None:
    """A chain that was closed, ended otherwise and was started again lives on."""
    f = flow(stage(lambda item: Stop() if item == "end" else item, id="a"))
    scope: Any = f.chain._scope
    late = scope._stream
    f.chain.tell("end")
    f.wait_ended()
    f.sup.restart_child("chain")
    scope._request_finish(late)
    assert f.chain.submit(1).result(5) == 1
    f.chain.restart_child("a")  # behind the request
    assert f.chain.submit(2).result(5) == 2
    assert not refused(f.chain.tell, 3)


def test_a_tree_that_drains_its_chains_lets_nobody_in_meanwhile(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stop(drain=True)` finishes what is there, over a crash of the head as well."""
    held, last = Held(), Held(hold="last")
    f = flow(stage(held, id="a"), stage(last, id="b"))
    f.chain.tell(0)
    held.gate.wait_reached()
    for item in (ValueError("x"), 1, "last"):
        f.chain.tell(item)
    draining = threading.Event()
    drain = Chain.drain

    def note(chain: Chain, timeout: float | None = None) -> bool:
        draining.set()
        return drain(chain, timeout)

    monkeypatch.setattr(Chain, "drain", note)
    stop = run(lambda: f.sup.stop(drain=True))
    assert draining.wait(PATIENCE)
    held.gate.open()
    last.gate.wait_reached()
    assert refused(f.chain.tell, "late")
    last.gate.open()
    report = stop.result()
    assert report.undelivered == 0
    assert f.results.items == [0, 1, "last"]
    assert f.items() == {"offered": 4, "completed": 3, "failed": 1}


def test_senders_are_told_in_one_word_that_an_item_did_not_get_in(flow: MakeFlow) -> None:
    """Closed and full are both `DeliveryError`: what was not accepted is the sender's."""
    f = flow(stage(same, id="a"))
    f.chain.close()
    with pytest.raises(DeliveryError):
        f.chain.tell(1)
