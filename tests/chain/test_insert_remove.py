"""Stages that come and go in a chain that runs: every item once, all of it or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.changing import Held, ask, errand, look_around, note_joins
from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import note_sleepers, run
from threadsup import (
    Crashed,
    Drop,
    DuplicateChildError,
    Emit,
    MailboxClosed,
    NotRunningError,
    ReplyTimeout,
    SpecError,
    StartError,
    UnknownChildError,
    Worker,
    events,
    stage,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow
    from tests.conftest import MakeSupervisor


def same(item: Any) -> Any:
    return item


def tag(letter: str) -> Callable[[Any], str]:
    """Return a stage that adds its letter to each item."""
    return lambda item: f"{item}{letter}"


def letters(f: Flow) -> str:
    """Return which stages an item passes now."""
    return str(f.chain.submit("").result(PATIENCE))


def three(f: MakeFlow, **options: Any) -> Flow:
    return f(*(stage(tag(letter), id=letter) for letter in "abc"), **options)


# -- a stage more ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "order"), [("a", "xabc"), ("b", "axbc"), ("c", "abxc"), (None, "abcx")]
)
def test_items_told_afterwards_pass_the_new_stage(
    flow: MakeFlow, before: str | None, order: str
) -> None:
    """At its place, be it the head, in the middle or the end, with its replicas and rules."""
    f = three(flow)
    assert letters(f) == "abc"
    if before is None:
        made = f.chain.add_stage(tag("x"), id="x", workers=2)
    else:
        made = f.chain.insert_stage(tag("x"), before=before, id="x", workers=2)
    assert letters(f) == order
    assert f.chain.children() == tuple(order)
    assert made.id == "x"
    assert len(made) == 2
    assert f.chain.drain(PATIENCE)
    assert f.results.items == ["abc", order]
    assert f.items() == {"offered": 2, "completed": 2}


def test_a_new_stage_is_described_as_any_other(flow: MakeFlow) -> None:
    """By a function and its options, a class, or what `stage` has made; with an id made."""

    class Adding(Worker):
        def __init__(self, what: str) -> None:
            self.what = what

        def on_receive(self, message: Any) -> Any:
            return message + self.what

    f = flow(stage(same))
    f.chain.add_stage(Adding, "1", id="one")
    f.chain.add_stage(stage(Adding, "2"))
    f.chain.insert_stage(same, before="one")
    f.chain.add_stage(lambda item, more, *, most: item + more + most, "3", kwargs={"most": "4"})
    assert letters(f) == "1234"
    assert f.chain.children() == ("same", "same-2", "one", "Adding", "lambda")
    with pytest.raises(TypeError, match="takes no more"):
        f.chain.add_stage(stage(same, id="x"), workers=3)


def test_items_on_their_way_pass_a_new_last_stage_by_or_not_but_come_out_once(
    flow: MakeFlow,
) -> None:
    """Told before, told after: each is one result, one future, one sink call."""
    held = Held(0)
    f = flow(stage(held, id="a"))
    futures = [f.chain.submit(n) for n in range(3)]
    held.wait(0)
    adding = run(lambda: f.chain.add_stage(lambda item: [item], id="x"))
    f.events.wait_until(
        lambda told: any(isinstance(e, events.WorkerStarted) and "x" in e.path for e in told), "x"
    )
    held.let()
    adding.result()
    futures += [f.chain.submit(n) for n in range(3, 6)]
    assert f.chain.drain(PATIENCE)
    found = [future.result(PATIENCE) for future in futures]
    assert found[0] == 0
    assert found[3:] == [[3], [4], [5]]
    assert all(each in (n, [n]) for n, each in enumerate(found))
    assert f.results.items == found
    assert f.items() == {"offered": 6, "completed": 6}


def test_a_stream_goes_on_over_it(flow: MakeFlow) -> None:
    """A map that is under way yields each item, in order, as the chain was or as it is."""
    f = flow(stage(same, id="a"), stage(lambda n: Emit(n, n), id="b"), capacity=4)
    results = f.chain.map(range(200), window=8)
    found = [next(results) for _ in range(5)]
    f.chain.insert_stage(same, id="m", before="b", workers=3)
    found += [next(results) for _ in range(50)]
    f.chain.remove_stage("a")
    found += [next(results) for _ in range(50)]
    f.chain.insert_stage(same, id="h", before="m")
    found += [next(results) for _ in range(50)]
    f.chain.add_stage(same, id="t", workers=2)
    found += [next(results) for _ in range(50)]
    f.chain.remove_stage("b")
    found += results
    twice = [n for n in range(200) for _ in (0, 1)]
    assert sorted(set(found)) == list(range(200))
    assert found == sorted(found)
    assert found[:205] == twice[:205]


def test_many_items_under_load_while_stages_come_and_go(flow: MakeFlow) -> None:
    """None is lost and none done twice, whatever is in the way at the moment."""
    f = flow(stage(same, id="a"), stage(same, id="z", workers=2), capacity=3)
    sender = run(lambda: [f.chain.submit(n) for n in range(400)])
    for n in range(3):
        f.results.wait_for(100 * n)
        f.chain.insert_stage(same, id="head", before=f.chain.children()[0])
        f.chain.insert_stage(same, id="middle", before="z", workers=2)
        f.chain.add_stage(same, id="last")
        for key in ("head", "last", "middle"):
            f.chain.remove_stage(key)
    assert [future.result(PATIENCE) for future in sender.result()] == list(range(400))
    assert f.chain.drain(PATIENCE)
    assert sorted(f.results.items) == list(range(400))
    assert f.items() == {"offered": 400, "completed": 400}


def test_taps_move_to_the_new_last_stage(flow: MakeFlow) -> None:
    """Like `on_result`; and back when it is removed."""
    f = three(flow)
    tapped: Recorder[Any] = Recorder()
    f.chain.tap(tapped)
    f.chain.add_stage(tag("x"), id="x")
    letters(f)
    f.chain.remove_stage("x")
    letters(f)
    assert f.chain.drain(PATIENCE)
    assert tapped.items == f.results.items == ["abcx", "abc"]


def test_a_strategy_goes_by_the_new_order(flow: MakeFlow) -> None:
    """A crash of the new stage takes those behind it, and not those before it."""

    def boom(_: Any) -> Any:
        raise ValueError("boom")

    f = three(flow, strategy="rest_for_one")
    f.chain.insert_stage(boom, id="x", before="b")
    f.chain.tell("")
    f.events.wait_until(
        lambda told: sum(isinstance(e, events.WorkerStarted) for e in told) >= 7, "restarts"
    )
    assert [f.chain[key].incarnation for key in f.chain] == [1, 2, 2, 2]
    assert isinstance(f.reasons("x")[0], Crashed)
    f.chain.remove_stage("x")
    assert letters(f) == "abc"


def test_a_stop_goes_by_the_new_order(flow: MakeFlow) -> None:
    """The last stage is asked first."""
    f = three(flow)
    f.chain.insert_stage(same, id="x", before="b")
    f.chain.add_stage(same, id="y")
    f.sup.stop()
    ended = [e.path[1] for e in f.events.items if isinstance(e, events.WorkerEnded)]
    assert ended == ["y", "c", "b", "x", "a"]


class Fragile(Worker):
    """Starts as often as it may, in all."""

    def __init__(self, starts: list[bool]) -> None:
        self.starts = starts

    def on_start(self) -> None:
        if not self.starts.pop(0):
            raise ValueError("not this one")

    def on_receive(self, message: Any) -> Any:
        return f"{message}x"


@pytest.mark.parametrize("before", ["a", "b", None])
@pytest.mark.parametrize("starts", [[False], [True, True, False]])
def test_a_stage_that_does_not_start_changes_nothing(
    flow: MakeFlow, before: str | None, starts: list[bool]
) -> None:
    """Those of its replicas that did are gone again; it may be tried again."""
    f = three(flow)

    def add(starts: list[bool]) -> None:
        if before is None:
            f.chain.add_stage(Fragile, starts, id="x", workers=3)
        else:
            f.chain.insert_stage(Fragile, starts, id="x", workers=3, before=before)

    with pytest.raises(StartError, match="not this one") as caught:
        add([*starts])
    assert isinstance(caught.value.__cause__, ValueError)
    assert f.chain.children() == ("a", "b", "c")
    assert set(f.chain.scope.cells) == {(key, 0) for key in "abc"}
    with pytest.raises(UnknownChildError):
        f.chain["x"]
    assert letters(f) == "abc"
    add([True] * 3)
    assert len(f.chain["x"]) == 3
    assert len(letters(f)) == 4


def test_a_stage_that_is_taken_is_refused(flow: MakeFlow) -> None:
    """So is a place that is not there, and what is no stage."""
    f = three(flow)
    with pytest.raises(DuplicateChildError, match="'b'"):
        f.chain.add_stage(same, id="b")
    with pytest.raises(DuplicateChildError, match="'b'"):
        f.chain.insert_stage(stage(same, id="b"), before="a")
    with pytest.raises(UnknownChildError, match="'d'"):
        f.chain.insert_stage(same, before="d")
    with pytest.raises(SpecError, match="workers"):
        f.chain.add_stage(same, workers=0)
    with pytest.raises(TypeError, match="wokers"):
        f.chain.add_stage(same, wokers=2)  # type: ignore[call-arg]
    assert letters(f) == "abc"


def test_two_of_one_id_at_once_are_one(flow: MakeFlow) -> None:
    """The second of two threads is told that it is taken."""
    f = three(flow)
    held = Gate()

    class Slow(Worker):
        def on_start(self) -> None:
            held.meet()

        def on_receive(self, message: Any) -> Any:
            return message

    first = run(lambda: f.chain.add_stage(Slow, id="x"))
    held.wait_reached()
    second = run(lambda: f.chain.add_stage(same, id="x"))
    held.open()
    first.result()
    with pytest.raises(DuplicateChildError):
        second.result()
    assert f.chain.children() == ("a", "b", "c", "x")


@pytest.mark.parametrize("before", ["a", "b", None])
def test_a_stage_in_a_closed_chain_takes_nothing_from_outside(
    flow: MakeFlow, before: str | None
) -> None:
    """What is in the chain is finished, and it ends as it would have."""
    held = Held("")
    f = flow(stage(held, id="a"), stage(tag("b"), id="b"))
    future = f.chain.submit("")
    held.wait("")
    f.chain.close()
    if before == "b":
        adding = run(lambda: f.chain.insert_stage(same, id="x", before="b"))
    elif before == "a":
        adding = run(lambda: f.chain.insert_stage(same, id="x", before="a"))
        adding.result()
        assert f.chain.children() == ("x", "a", "b")
    else:
        adding = run(lambda: f.chain.add_stage(same, id="x"))
        adding.result()
    with pytest.raises(MailboxClosed):
        f.chain.tell("late")
    held.let()
    assert future.result(PATIENCE) == "b"
    if before == "b":
        try:
            adding.result()
        except NotRunningError:  # the end came first
            assert f.chain.children() == ("a", "b")
    f.wait_ended()
    with pytest.raises(NotRunningError):
        f.chain.add_stage(same, id="y")


def test_a_caller_that_does_not_wait_so_long_gets_its_stage_later(flow: MakeFlow) -> None:
    """The time is up while the stage before has something in hand; it is joined all the same."""
    held = Held("")
    f = flow(stage(held, id="a"), stage(tag("b"), id="b"))
    f.chain.tell("")
    held.wait("")
    with pytest.raises(ReplyTimeout):
        f.chain.insert_stage(tag("x"), id="x", before="b", timeout=0.001)
    held.let()
    look_around(f.chain, "a")
    assert f.chain.submit("late").result(PATIENCE) == "latexb"


# -- a stage less ---------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["a", "b", "c"])
def test_a_stage_that_is_removed_finishes_its_queue(flow: MakeFlow, id: str) -> None:
    """The head, one in the middle, or the last: what is in it goes its way to the end."""
    held = Held("one")

    def work(item: str) -> str:
        held(item)
        return item + id

    f = flow(
        *(stage(work if id == letter else tag(letter), id=letter, workers=1) for letter in "abc")
    )
    futures = [f.chain.submit(item, at=id) for item in ("one", "two", "three")]
    held.wait("one")
    joined = note_joins(f.chain)
    change = ask(f.chain, "remove", id)
    joined.wait_for(1)
    left = "abc".replace(id, "")
    assert f.chain.children() == tuple(left)
    assert not change.done()
    with pytest.raises(UnknownChildError):
        f.chain.tell("late", at=id)
    late = f.chain.submit("late")
    assert late.result(PATIENCE) == "late" + left
    held.let()
    assert change.result(PATIENCE)
    rest = "abc"["abc".index(id) :]
    assert [future.result(PATIENCE) for future in futures] == [
        item + rest for item in ("one", "two", "three")
    ]
    assert f.chain.children() == tuple(left)
    assert set(f.chain.scope.cells) == {(letter, 0) for letter in left}
    assert f.chain.drain(PATIENCE)
    assert len(f.results) == 4
    assert f.items() == {"offered": 4, "completed": 4}


def test_what_a_stage_has_counted_is_counted_when_it_is_gone(flow: MakeFlow) -> None:
    """The sums of a chain do not go back with a stage that leaves."""
    f = flow(
        stage(lambda n: Drop() if n % 2 else n, id="a"), stage(same, id="b"), stage(same, id="c")
    )
    for n in range(10):
        f.chain.tell(n)
    assert f.chain.drain(PATIENCE)
    before = f.items()
    handled = f.chain.statistics().handled
    for key in ("a", "c"):
        f.chain.remove_stage(key)
        assert f.items() == before == {"offered": 10, "completed": 5, "dropped": 5}
        assert f.chain.statistics().handled == handled


@pytest.mark.parametrize("place", ["a", "b", "c"])
def test_a_drain_waits_for_a_stage_that_is_being_removed(flow: MakeFlow, place: str) -> None:
    """Its items were accepted before the call, wherever it stood."""
    held = Held("one")
    f = flow(*(stage(held if letter == place else same, id=letter) for letter in "abc"))
    f.chain.tell("one", at=place)
    held.wait("one")
    f.chain.tell("two", at=place)
    joined = note_joins(f.chain)
    change = ask(f.chain, "remove", place)
    joined.wait_for(1)
    through: Recorder[list[Any]] = Recorder()
    f.chain.scope.send_through(lambda: through(f.results.items))
    assert len(through) == 0
    held.let()
    assert through.wait_for(1) == [["one", "two"]]
    assert change.result(PATIENCE)


def test_the_end_waits_for_a_stage_that_is_being_removed(flow: MakeFlow) -> None:
    """A chain that is closed meanwhile finishes what that has, too."""
    held = Held("one")
    f = flow(stage(held, id="a"), stage(same, id="b"))
    f.chain.tell("one")
    held.wait("one")
    f.chain.tell("two")
    change = ask(f.chain, "remove", "a")
    f.chain.close()
    held.let()
    f.wait_ended()
    change.exception(PATIENCE)
    assert f.results.items == ["one", "two"]


def test_a_sender_that_waits_for_the_head_goes_to_the_next_one(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room in a stage that is removed is no longer what it needs."""
    held = Held("one")
    f = flow(stage(held, id="a", capacity=1), stage(tag("b"), id="b"))
    f.chain.tell("one")
    held.wait("one")
    f.chain.tell("two")
    asleep = note_sleepers(monkeypatch)
    future: Recorder[Any] = Recorder()
    sender = run(lambda: future(f.chain.submit("three")))
    mapped = run(lambda: list(f.chain.map(["four"])))
    box = f.chain._line("a").cells[0].mailbox
    asleep.wait_until(lambda _: len(box.senders) == 2, "senders")
    change = ask(f.chain, "remove", "a")
    sender.result()
    assert future.items[0].result(PATIENCE) == "threeb"
    assert mapped.result() == ["fourb"]
    held.let()
    assert change.result(PATIENCE)
    assert f.chain.drain(PATIENCE)
    assert sorted(f.results.items) == ["fourb", "oneb", "threeb", "twob"]


def test_the_only_stage_stays(flow: MakeFlow) -> None:
    """A chain has at least one; who is not there is not removed."""
    f = flow(stage(same, id="a"))
    with pytest.raises(SpecError, match="at least one stage"):
        f.chain.remove_stage("a")
    for key in ("b", ("a", 0)):
        with pytest.raises(UnknownChildError):
            f.chain.remove_stage(key)
    f.chain.add_stage(same, id="b")
    f.chain.remove_stage("a")
    with pytest.raises(SpecError):
        f.chain.remove_stage("b")
    assert f.chain.submit(1).result(PATIENCE) == 1


def test_two_that_remove_one_stage_are_told_apart(flow: MakeFlow) -> None:
    """The second is told that there is none any more."""
    held = Held(0)
    f = flow(stage(held, id="a"), stage(same, id="b"), stage(same, id="c"))
    f.chain.tell(0)
    held.wait(0)
    first, second = ask(f.chain, "remove", "a"), ask(f.chain, "remove", "a")
    held.let()
    assert first.result(PATIENCE)
    assert isinstance(second.exception(PATIENCE), UnknownChildError)
    assert f.chain.children() == ("b", "c")


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_what_a_stage_keeps_that_was_stopped_by_hand_is_undelivered(
    flow: MakeFlow, when: str
) -> None:
    """It finishes nothing any more, so its removal does not wait for it."""
    held = Held(0)
    f = flow(stage(held, id="a"), stage(same, id="b"))
    futures = [f.chain.submit(n) for n in range(3)]
    held.wait(0)
    change = ask(f.chain, "remove", "a") if when == "meanwhile" else None
    stop = errand(f.chain, "stop_child", ("a", 0))
    held.let()
    stop.result(PATIENCE)
    if change is None:
        f.chain.remove_stage("a")
    else:
        assert change.result(PATIENCE)
    assert futures[0].result(PATIENCE) == 0
    assert all(future.exception(PATIENCE) is not None for future in futures[1:])
    assert [letter[0] for letter in f.letters()] == [1, 2]
    assert f.chain.submit(3).result(PATIENCE) == 3
    assert f.items() == {"offered": 4, "completed": 2, "failed": 2}


def test_a_replica_that_was_stopped_leaves_what_it_keeps_to_its_equals(flow: MakeFlow) -> None:
    """As long as one of them runs, the stage finishes all of it."""
    held = Held(0, 1)
    f = flow(stage(held, id="a", workers=2), stage(same, id="b"))
    for n in range(8):
        f.chain.tell(n)
    held.wait(0)
    held.wait(1)
    stop = errand(f.chain, "stop_child", ("a", 1))
    held.let(1)
    stop.result(PATIENCE)
    change = ask(f.chain, "remove", "a")
    held.let()
    assert change.result(PATIENCE)
    assert f.chain.drain(PATIENCE)
    assert sorted(f.results.items) == list(range(8))


@pytest.mark.parametrize("again", [False, True])
def test_a_stop_in_the_middle_of_a_removal_leaves_the_stage(flow: MakeFlow, *, again: bool) -> None:
    """Who removes it is told; a chain that is started again goes on with it."""
    held = Held("one")
    f = flow(stage(tag("a"), id="a"), stage(held, id="b"), stage(tag("c"), id="c"))
    f.chain.tell("one", at="b")
    held.wait("one")
    future = f.chain.submit("two", at="b")
    change = ask(f.chain, "remove", "b")
    stop = run(lambda: f.sup.stop_child("chain") if again else f.sup.stop())
    f.events.wait_until(
        lambda told: any(isinstance(e, events.WorkerEnded) for e in told), "end of another"
    )
    held.let()
    stop.result()
    assert isinstance(change.exception(PATIENCE), NotRunningError)
    assert f.chain.children() == ("a", "b", "c")
    if again:
        f.sup.restart_child("chain")
        assert future.result(PATIENCE) == "twoc"
        assert letters(f) == "ac"
        f.chain.remove_stage("b")
        assert letters(f) == "ac"
        assert f.chain.children() == ("a", "c")


def test_what_becomes_several_in_a_removed_stage_comes_out_whole(flow: MakeFlow) -> None:
    """It is through when all its values are on their way."""
    gate = Gate()

    def many(n: int) -> Any:
        for each in range(3):
            gate.meet()
            yield n + each

    f = flow(stage(many, id="a"), stage(same, id="b"))
    future = f.chain.submit(10)
    gate.wait_reached()
    change = ask(f.chain, "remove", "a")
    assert not change.done()
    gate.open()
    assert change.result(PATIENCE)
    assert future.result(PATIENCE) == [10, 11, 12]
    assert f.chain.submit(5).result(PATIENCE) == 5


def test_stages_may_come_and_go_before_the_start(supervisor: MakeSupervisor) -> None:
    """The chain starts as it was left, in that order."""
    tree = supervisor()
    told: Recorder[Any] = Recorder()
    tree.subscribe(told)
    results: Recorder[Any] = Recorder()
    chain = tree.add_chain(
        "c", [stage(tag("a"), id="a"), stage(tag("b"), id="b")], on_result=results
    )
    chain.insert_stage(tag("x"), id="x", before="b")
    chain.add_stage(tag("y"), id="y", workers=2)
    chain.remove_stage("b")
    chain.insert_stage(tag("h"), id="h", before="a")
    chain.tell("")
    tree.start()
    assert results.wait_for(1) == ["haxy"]
    started = told.wait_until(
        lambda told: sum(isinstance(e, events.WorkerStarted) for e in told) >= 5, "starts"
    )
    assert [e.path[1:] for e in started if isinstance(e, events.WorkerStarted)] == [
        ("h", 0),
        ("a", 0),
        ("x", 0),
        ("y", 0),
        ("y", 1),
    ]


def test_the_stage_before_is_waited_for_not_the_others(flow: MakeFlow) -> None:
    """A stage elsewhere that is at something holds up no change."""
    held = Held(0)
    f = flow(stage(held, id="a"), stage(same, id="b"), stage(same, id="c"))
    f.chain.tell(0)
    held.wait(0)
    f.chain.insert_stage(same, id="x", before="c")
    f.chain.remove_stage("c")
    f.chain.resize("b", 2)
    f.chain.add_stage(same, id="y")
    assert f.chain.children() == ("a", "b", "x", "y")
    held.let()
    assert f.chain.drain(PATIENCE)
    assert f.results.items == [0]


def test_a_new_stage_takes_part_in_everything(flow: MakeFlow) -> None:
    """It is looked up, counted, restarted, resized, told to, and removed like the others."""
    f = three(flow)
    f.chain.insert_stage(tag("x"), id="x", before="b")
    assert "x" in f.chain
    assert len(f.chain) == 4
    assert f.chain["x"].is_alive()
    f.chain.tell("", at="x")
    assert f.results.wait_for(1) == ["xbc"]
    f.chain.restart_child("x")
    assert f.chain["x"].incarnation == 2
    f.chain.resize("x", 3)
    assert f.chain["x"].replicas == (("x", 0), ("x", 1), ("x", 2))
    assert letters(f) == "axbc"
    assert f.chain.statistics().stages["x"].handled == 2
    assert "x" in str(f.sup.tree())
    f.chain.remove_child("x")
    assert letters(f) == "abc"
    f.chain.add_stage(tag("x"), id="x")
    assert letters(f) == "abcx"
