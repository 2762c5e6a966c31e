"""Chains that feed chains, and taps: where end results go, and what they count for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import note_sleepers, run
from tests.supervisor.trees import together
from threadsup import (
    Backoff,
    Batch,
    CallingSelfError,
    Drop,
    Emit,
    MailboxFull,
    Normal,
    NotRunningError,
    Reject,
    SpecError,
    UnknownChildError,
    WorkerExit,
    current,
    events,
    stage,
)
from threadsup._chain.door import Door

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chain.conftest import MakeFlow
    from tests.conftest import MakeSupervisor
    from threadsup import Chain, Supervisor


def same(item: Any) -> Any:
    return item


def tagged(item: Any, tag: str) -> Any:
    return (tag, item)


def held(item: Any, gate: Gate, crash: threading.Event) -> Any:
    gate.meet()
    if crash.is_set():
        crash.clear()
        raise ValueError(item)
    return item


def several(item: int) -> Iterator[int]:
    yield from range(item)


def items(chain: Chain) -> dict[str, int]:
    """Return the item counts that are not 0; they add up."""
    found = chain.statistics().items
    assert found.offered == found.completed + found.dropped + found.failed + found.in_flight
    names = ("offered", "completed", "dropped", "failed", "in_flight")
    return {name: getattr(found, name) for name in names if getattr(found, name)}


def add(tree: Supervisor, id: str, *args: Any, **options: Any) -> Chain:
    """Add a chain of one stage, which tags items with the id of the chain."""
    return tree.add_chain(id, [stage(tagged, *(args or (id,)), id=f"{id}-1")], **options)


def letters(tree: Supervisor) -> list[tuple[Any, Any]]:
    return [(letter.message, letter.to) for letter in tree.dead_letters()]


def asleep(monkeypatch: pytest.MonkeyPatch) -> Recorder[str]:
    """Record the names of threads that are about to sleep."""
    names: Recorder[str] = Recorder()
    note_sleepers(monkeypatch, lambda _: names(threading.current_thread().name))
    return names


# -- taps -------------------------------------------------------------------------------


def test_a_tap_hears_each_end_result(flow: MakeFlow) -> None:
    """In the last stage's thread, behind `on_result`; no marker, and as many as there are."""
    heard: list[Any] = []
    f = flow(
        stage(same, id="a"),
        stage(lambda item: {1: Drop(), 2: Reject()}.get(item, item), id="b"),
        on_result=lambda result: heard.append(("sink", result)),
    )

    def one(result: Any) -> None:
        context = current()
        assert context is not None
        heard.append((context.id, result))

    f.chain.tap(one)
    f.chain.tap(lambda result: heard.append(("two", result)))
    for item in range(4):
        f.chain.tell(item)
    assert f.chain.drain(PATIENCE)
    names = ("sink", ("b", 0), "two")
    assert heard == [(name, item) for item in (0, 3) for name in names]


def test_a_tap_works_from_its_call_on_and_until_its_end(flow: MakeFlow) -> None:
    """Whatever is begun after the call is heard, and nothing that is begun after the end."""
    f = flow(stage(same, id="a"), on_result=None)
    heard: list[Any] = []
    for turn in range(20):
        assert f.chain.submit((turn, "no")).result(PATIENCE)
        end = f.chain.tap(heard.append)
        assert f.chain.submit((turn, "yes")).result(PATIENCE)
        end()
        end()
    assert heard == [(turn, "yes") for turn in range(20)]
    assert f.items() == {"offered": 40, "completed": 40}


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt, WorkerExit])
def test_a_tap_that_raises_changes_nothing(flow: MakeFlow, kind: type[BaseException]) -> None:
    """It is reported and counted; the item is completed, the other taps hear of it (F50)."""
    heard: list[Any] = []

    def bad(result: Any) -> None:
        raise kind(Normal())

    f = flow(stage(same, id="a"))
    end = f.chain.tap(bad)
    f.chain.tap(heard.append)
    assert [f.chain.submit(item).result(PATIENCE) for item in (1, 2)] == [1, 2]
    end()
    assert f.chain.submit(3).result(PATIENCE) == 3
    assert heard == [1, 2, 3]
    assert f.items() == {"offered": 3, "completed": 3}
    assert f.chain.statistics().tap_failures == 2
    assert f.chain["a"].incarnation == 1
    f.sup.stop()
    reports = [e for e in f.events.items if isinstance(e, events.CallbackFailed)]
    assert [report.path for report in reports] == [("chain", "a", 0)] * 2
    assert reports[0].what.startswith(f"a tap failed: {kind.__name__}")
    assert f.chain.statistics().tap_failures == 2


def test_a_tap_may_be_ended_during_a_call(flow: MakeFlow) -> None:
    """The call goes on to its end, nobody waits for it, and it is the last one."""
    gate, heard = Gate(), list[Any]()
    f = flow(stage(same, id="a"))

    def tap(result: Any) -> None:
        gate.meet()
        heard.append(result)

    end = f.chain.tap(tap)
    futures = [f.chain.submit(item) for item in range(3)]
    gate.wait_reached()
    end()
    gate.open()
    assert [future.result(PATIENCE) for future in futures] == [0, 1, 2]
    assert heard == [0]


def test_a_tap_may_end_itself_and_others(flow: MakeFlow) -> None:
    """From within a call: who is ended is not called any more, not even for this item."""
    f, heard = flow(stage(same, id="a")), list[Any]()

    def once(result: Any) -> None:
        heard.append(("once", result))
        for end in ends:
            end()

    ends = [f.chain.tap(once), f.chain.tap(lambda result: heard.append(("other", result)))]
    for item in (1, 2):
        assert f.chain.submit(item).result(PATIENCE) == item
    assert heard == [("once", 1)]


def test_a_tap_may_be_set_by_a_stage(flow: MakeFlow) -> None:
    """Also by the one it listens to: then from the next item on, at the latest."""
    heard: list[Any] = []

    def listen(item: Any) -> Any:
        if item == "listen":
            current().chain.tap(heard.append)  # type: ignore[union-attr]
        return item

    f = flow(stage(listen, id="a"))
    for item in ("before", "listen", "after"):
        assert f.chain.submit(item).result(PATIENCE) == item
    assert heard[-1] == "after"
    assert "before" not in heard


def test_a_tap_hears_what_is_emitted_and_what_comes_in_batches(flow: MakeFlow) -> None:
    """Value by value, also of an emission or a batch that was begun before."""
    gate, heard = Gate(), list[Any]()

    def emit(item: int) -> Iterator[int]:
        yield item
        gate.meet()
        yield item + 1

    f = flow(stage(emit, id="a"), on_result=None)
    future = f.chain.submit(1)
    gate.wait_reached()
    f.chain.tap(heard.append)
    gate.open()
    assert future.result(PATIENCE) == [1, 2]
    assert heard == [2]
    batches = f.sup.add_chain("b", [stage(same, id="a", batch=Batch(size=3, timeout=60))])
    futures = [batches.submit(item) for item in (1, 2)]
    batches.tap(heard.append)
    futures.append(batches.submit(3))
    assert [each.result(PATIENCE) for each in futures] == [1, 2, 3]
    assert heard == [2, 1, 2, 3]


def test_what_fails_at_the_sink_is_no_end_result(flow: MakeFlow) -> None:
    """A tap hears of what is completed."""
    f = flow(stage(same, id="a"), on_result=lambda result: 1 // result)
    heard: list[Any] = []
    f.chain.tap(heard.append)
    assert [outcome(f.chain.submit(item)) for item in (0, 1)] != [0, 1]
    assert heard == [1]


def test_sinks_stay_with_the_last_stage_whichever_that_is(flow: MakeFlow) -> None:
    """A stage is added behind it, and taken away again: `on_result`, taps and links go along."""
    heard: list[Any] = []
    f = flow(stage(same, id="a"))
    end = f.chain.tap(heard.append)
    other = add(f.sup, "b")
    f.chain.to(other)
    f.chain.add_stage(tagged, "new", id="c")
    assert f.chain.submit(1).result(PATIENCE) == ("b", ("new", 1))
    f.chain.remove_stage("c")
    assert f.chain.submit(2).result(PATIENCE) == ("b", 2)
    end()
    f.chain.to()
    assert f.chain.submit(3).result(PATIENCE) == 3
    assert heard == [("new", 1), 2]
    assert f.results.items == [("new", 1), 2, 3]


def test_a_tap_must_be_callable_and_its_tree_alive(flow: MakeFlow) -> None:
    """Else it is refused, and ending one later does nothing."""
    f = flow(stage(same, id="a"))
    for wrong in (None, 1, lambda: None):
        with pytest.raises(SpecError, match=r"^chain 'chain'\.tap: "):
            f.chain.tap(wrong)  # type: ignore[arg-type]
    end = f.chain.tap(same)
    f.sup.stop()
    end()
    with pytest.raises(NotRunningError):
        f.chain.tap(same)
    with pytest.raises(NotRunningError):
        f.chain.to()


def test_a_tree_may_be_joined_before_it_starts(supervisor: MakeSupervisor) -> None:
    """Taps and links can be set at once."""
    tree, heard = supervisor(), list[Any]()
    one, two = add(tree, "a"), add(tree, "b")
    one.tap(heard.append)
    one.to(two)
    tree.start()
    assert one.submit(1).result(PATIENCE) == ("b", ("a", 1))
    assert heard == [("a", 1)]


# -- from one chain to another ----------------------------------------------------------


def test_results_go_on_as_items_of_another_chain(flow: MakeFlow) -> None:
    """Futures and streams hold what the last one makes; each counts its own items."""
    f = flow(stage(same, id="a"), stage(tagged, "chain", id="b", workers=2))
    other = add(f.sup, "other", on_result=(taken := Recorder[Any]()))
    f.chain.to(other)
    assert f.chain.submit(1).result(PATIENCE) == ("other", ("chain", 1))
    f.chain.tell(2)
    made = [("other", ("chain", item)) for item in range(100)]
    assert list(f.chain.map(range(100))) == made
    assert f.chain.drain(PATIENCE)
    assert other.drain(PATIENCE)
    assert f.items() == items(other) == {"offered": 102, "completed": 102}
    assert len(f.results) == len(taken) == 102  # the sinks of both
    assert (f.chain.targets, other.targets) == ((other,), ())
    assert f.sup.dead_letters() == ()


def test_what_ends_in_a_chain_does_not_go_on(flow: MakeFlow) -> None:
    """Dropped, rejected, failed at the sink: the other chain hears of none of them."""
    f = flow(
        stage(lambda item: {1: Drop(), 2: Reject()}.get(item, item), id="a"),
        on_result=lambda result: 1 // result,
    )
    other = add(f.sup, "other")
    f.chain.to(other)
    futures = [f.chain.submit(item) for item in (1, 2, 0)]
    assert type(futures[0].result(PATIENCE)) is Drop
    assert [outcome(future).split(":")[0] for future in futures[1:]] == [
        "rejected",
        "ZeroDivisionError",
    ]
    assert f.items() == {"offered": 3, "dropped": 1, "failed": 2}
    assert items(other) == {}


def test_families_go_on_value_by_value(flow: MakeFlow) -> None:
    """A future holds the list, a stream flattens it, in order through both chains."""
    f = flow(stage(several, id="a"), stage(same, id="b", workers=2, routing="broadcast"))
    other = f.sup.add_chain("other", [stage(lambda item: Emit(item, -item), id="o")])
    f.chain.to(other)
    made = [value for item in range(3) for value in (item, -item) * 2]
    assert f.chain.submit(3).result(PATIENCE) == made
    assert list(f.chain.map([3, 0, 1])) == [*made, 0, 0, 0, 0]
    assert f.chain.drain(PATIENCE)
    assert other.drain(PATIENCE)
    assert f.items() == {"offered": 4, "completed": 3, "dropped": 1}
    assert items(other) == {"offered": 14, "completed": 14}


def test_a_family_is_completed_here_when_it_was_handed_over(flow: MakeFlow) -> None:
    """As one item is; that one of it fails there is for that chain, and who waits, to know."""
    gate = Gate()

    def fail(item: int) -> int:
        gate.meet()
        return 1 // item

    f = flow(stage(several, id="a"))
    other = f.sup.add_chain("other", [stage(fail, id="o", on_error="reject")])
    f.chain.to(other)
    future = f.chain.submit(3)
    assert f.chain.drain(PATIENCE)
    assert f.items() == {"offered": 1, "completed": 1}
    gate.open()
    assert outcome(future).startswith("ZeroDivisionError")
    assert other.drain(PATIENCE)
    assert f.items() == {"offered": 1, "completed": 1}
    assert items(other) == {"offered": 3, "completed": 2, "failed": 1}


def test_a_function_chooses_among_several(flow: MakeFlow) -> None:
    """By id or by chain, in the last stage's thread, of each value of an emission, too."""
    threads: list[Any] = []

    def by(result: Any) -> Any:
        context = current()
        assert context is not None
        threads.append(context.id)
        return "even" if result % 2 == 0 else odd

    f = flow(stage(lambda item: Emit(*range(item)) if item > 10 else item, id="a"))
    even, odd = add(f.sup, "even"), add(f.sup, "odd")
    f.chain.to(even, odd, by=by)
    assert list(f.chain.map(range(4))) == [("even", 0), ("odd", 1), ("even", 2), ("odd", 3)]
    assert f.chain.submit(11).result(PATIENCE) == [
        ("odd" if value % 2 else "even", value) for value in range(11)
    ]
    assert set(threads) == {("a", 0)}
    assert f.chain.drain(PATIENCE)
    assert even.drain(PATIENCE)
    assert odd.drain(PATIENCE)
    assert f.items() == {"offered": 5, "completed": 5}
    assert (items(even)["offered"], items(odd)["offered"]) == (8, 7)


@pytest.mark.parametrize("answer", ["no such chain", None, [], ValueError, SystemExit, WorkerExit])
def test_a_function_that_names_no_chain_fails_that_item_alone(flow: MakeFlow, answer: Any) -> None:
    """So does one that raises or exits: a dead letter, a report, and the next item works."""

    def by(result: Any) -> Any:
        if result == "good":
            return "other"
        if isinstance(answer, type):
            raise answer(Normal())
        return answer

    f = flow(stage(same, id="a"), stage(same, id="b"))
    other, third = add(f.sup, "other"), add(f.sup, "third")
    f.chain.to(other, third, by=by)
    future = f.chain.submit("bad")
    error = future.exception(PATIENCE)
    assert f.chain.submit("good").result(PATIENCE) == ("other", "good")
    if not isinstance(answer, type):
        assert isinstance(error, UnknownChildError)
    elif issubclass(answer, Exception):
        assert type(error) is answer
    else:
        assert error is not None
        assert type(error.__cause__) is answer
    assert f.items() == {"offered": 2, "completed": 1, "failed": 1}
    assert letters(f.sup) == [("bad", ("chain", "b"))]
    assert f.chain["b"].incarnation == 1
    assert f.results.items == ["bad", "good"]
    told = f.events.wait_until(lambda t: any(isinstance(e, events.CallbackFailed) for e in t))
    (report,) = [e for e in told if isinstance(e, events.CallbackFailed)]
    assert report.what.startswith("by failed: ")


def test_a_value_that_goes_nowhere_fails_its_family(flow: MakeFlow) -> None:
    """The others go on; here the item has failed, and is counted once."""
    f = flow(stage(several, id="a"))
    other, third = add(f.sup, "other"), add(f.sup, "third")
    f.chain.to(other, third, by=lambda result: "other" if result else "nowhere")
    assert outcome(f.chain.submit(3)).startswith("UnknownChildError")
    assert f.chain.drain(PATIENCE)
    assert other.drain(PATIENCE)
    assert f.items() == {"offered": 1, "failed": 1}
    assert items(other) == {"offered": 2, "completed": 2}


def test_several_chains_may_go_on_to_one(flow: MakeFlow) -> None:
    """Also one of another supervisor; its own senders go on as before."""
    f = flow(stage(same, id="a"))
    sources = [add(f.sup, f"source-{number}") for number in range(3)]
    for source in sources:
        source.to(f.chain)
    found = sorted(
        together(4, lambda n: [*sources, f.chain][n].submit(n).result(PATIENCE)), key=str
    )
    assert found == [("source-0", 0), ("source-1", 1), ("source-2", 2), 3]
    assert f.items() == {"offered": 4, "completed": 4}


def test_a_chain_of_another_supervisor_may_be_fed(
    flow: MakeFlow, supervisor: MakeSupervisor
) -> None:
    """And two of one id are told apart as chains, not by their id."""
    f = flow(stage(same, id="a"))
    trees = [supervisor().start() for _ in range(2)]
    one, two = (add(tree, "other", f"tree-{n}") for n, tree in enumerate(trees))
    answers: list[Chain | str] = [one, two, "other"]
    f.chain.to(one, two, by=lambda item: answers[item])
    assert [outcome(f.chain.submit(item)) for item in range(2)] == [("tree-0", 0), ("tree-1", 1)]
    assert outcome(f.chain.submit(2)).startswith("UnknownChildError")


def test_what_cannot_be_joined_is_refused(flow: MakeFlow) -> None:
    """Each with its own word, and what was said before stays."""
    f = flow(stage(same, id="a"))
    chain, b, c = f.chain, add(f.sup, "b"), add(f.sup, "c")
    chain.to(b)
    b.to(c)
    wrong: list[tuple[tuple[Any, ...], Any, str]] = [
        (("b",), None, "must be given chains"),
        ((b, "c"), same, "must be given chains"),
        ((b, b), same, "each chain once"),
        ((b, c), None, "by: must say which"),
        ((), same, "by: needs chains"),
        ((b, c), 3, "by: "),
        ((b,), lambda: None, "by: "),
        ((chain,), None, r"circle: 'chain' -> 'chain'$"),
    ]
    for chains, by, text in wrong:
        with pytest.raises(SpecError, match=rf"^chain 'chain'\.to: .*{text}"):
            chain.to(*chains, by=by)
    with pytest.raises(SpecError, match=r"circle: 'b' -> 'chain' -> 'b'$"):
        b.to(chain)
    with pytest.raises(SpecError, match=r"circle: 'c' -> 'chain' -> 'b' -> 'c'$"):
        c.to(chain)
    with pytest.raises(SpecError, match="circle"):
        c.to(add(f.sup, "d"), b, by=same)
    assert chain.submit(1).result(PATIENCE) == ("c", ("b", 1))
    assert (chain.targets, b.targets, c.targets) == ((b,), (c,), ())
    assert [chain.leads_to(each) for each in (chain, b, c)] == [False, True, True]
    chain.to()
    c.to(chain)
    assert b.submit(2).result(PATIENCE) == ("c", ("b", 2))


def test_of_two_who_join_each_other_one_is_refused(flow: MakeFlow) -> None:
    """At the same time: there never is a circle."""
    f = flow(stage(same, id="a"))
    chains = [f.chain, add(f.sup, "b")]

    def join(number: int) -> bool:
        try:
            chains[number].to(chains[1 - number])
        except SpecError:
            return False
        return True

    for _ in range(20):
        assert sorted(together(2, join)) == [False, True]
        for chain in chains:
            chain.to()


def test_a_link_is_replaced_and_ended(flow: MakeFlow) -> None:
    """For what comes from then on, from one item to the next."""
    f = flow(stage(same, id="a"))
    b, c = add(f.sup, "b"), add(f.sup, "c")
    seen: list[Any] = []
    for turn in range(5):
        for target in ((b,), (c,), ()):
            f.chain.to(*target)
            seen.append(f.chain.submit(turn).result(PATIENCE))
    assert seen == [made for turn in range(5) for made in (("b", turn), ("c", turn), turn)]
    assert f.items() == {"offered": 15, "completed": 15}


def test_a_stage_of_a_chain_that_is_fed_does_not_wait_for_the_first_one(flow: MakeFlow) -> None:
    """To drain it, or to iterate over its results, would be to wait for its own thread (F59)."""
    refused: list[Any] = []

    def ask(item: Any) -> Any:
        for wait in (f.chain.drain, lambda: f.chain.map([1])):
            try:
                wait()
            except CallingSelfError as error:
                refused.append(error)
        return item

    f = flow(stage(same, id="a"))
    other = f.sup.add_chain("other", [stage(ask, id="o")])
    f.chain.to(other)
    assert f.chain.submit(1).result(PATIENCE) == 1
    assert len(refused) == 2


# -- room -------------------------------------------------------------------------------


class Full:
    """A chain whose last stage waits for room in another one, of another tree."""

    def __init__(
        self,
        flow: MakeFlow,
        supervisor: MakeSupervisor,
        monkeypatch: pytest.MonkeyPatch,
        *,
        workers: int = 1,
        **options: Any,
    ) -> None:
        self.gate = Gate("the stage of the other chain")
        self.crash = threading.Event()
        """Set: the stage crashes, once."""
        self.sleepers = asleep(monkeypatch)
        self.f = flow(stage(same, id="a", workers=workers), capacity=1)
        self.chain = self.f.chain
        self.tree = supervisor(max_restarts=100, backoff=Backoff.none()).start()
        self.taken = Recorder[Any]()
        self.other = self.tree.add_chain(
            "other",
            [stage(held, self.gate, self.crash, id="first", **options), stage(same, id="last")],
            capacity=1,
            on_result=self.taken,
        )
        self.chain.to(self.other)
        self.futures = [self.chain.submit(0)]  # in the hand of the other
        self.gate.wait_reached()
        self.futures.append(self.chain.submit(1))  # queued there
        self.chain.drain(PATIENCE)
        self.futures.append(self.chain.submit(2))  # waits for room
        self.wait_asleep()

    def wait_asleep(self, times: int = 1) -> None:
        """Wait until the last stage has gone to sleep so often."""
        self.sleepers.wait_until(
            lambda names: sum(name.startswith("threadsup-a/") for name in names) >= times,
            "last stage that waits for room",
        )

    def check(self, *results: Any) -> None:
        """Open the gate, and find these results, and the counts as they should be."""
        self.gate.open()
        assert [outcome(future) for future in self.futures] == list(results)
        assert self.chain.drain(PATIENCE)
        assert self.other.drain(PATIENCE)
        made = len(self.futures)
        assert self.f.items() == {"offered": made, "completed": made}
        lost = sum(result == "exited" for result in results)
        counts = {"offered": made, "completed": made - lost, "failed": lost}
        assert items(self.other) == {name: count for name, count in counts.items() if count}
        assert self.taken.items == [each for each in results if each != "exited"]


def test_a_full_chain_holds_the_one_before_it_up_to_the_sender(
    flow: MakeFlow, supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And lets it go on when there is room; nothing is lost, in order."""
    full = Full(flow, supervisor, monkeypatch)
    full.futures.append(full.chain.submit(3))
    with pytest.raises(MailboxFull):
        full.chain.tell_nowait("no")
    assert full.f.items() == {"offered": 4, "completed": 3, "in_flight": 1}
    assert items(full.other) == {"offered": 2, "in_flight": 2}
    full.check(0, 1, 2, 3)


@pytest.mark.parametrize("target", ["other", "nothing", "by"])
def test_a_link_may_be_changed_while_one_waits_for_room(
    flow: MakeFlow, supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """Who changes it does not wait; what has a target keeps it, the next one has the new one."""
    full = Full(flow, supervisor, monkeypatch)
    third = add(full.tree, "third")
    if target == "nothing":
        full.chain.to()
    elif target == "by":
        full.chain.to(third, full.other, by=lambda _: third)
    else:
        full.chain.to(third)
    last = full.chain.submit(3)
    full.gate.open()
    assert outcome(last) == (3 if target == "nothing" else ("third", 3))
    assert [outcome(future) for future in full.futures] == [0, 1, 2]
    assert full.f.items() == {"offered": 4, "completed": 4}
    assert items(full.other) == {"offered": 3, "completed": 3}
    assert items(third) == ({} if target == "nothing" else {"offered": 1, "completed": 1})


def test_a_chain_that_closes_takes_no_more(
    flow: MakeFlow, supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for room there goes on; its item, and those behind it, are undelivered there."""
    full = Full(flow, supervisor, monkeypatch)
    full.other.close()
    assert outcome(full.futures[2]) == "exited"
    full.futures.append(full.chain.submit(3))
    full.check(0, 1, "exited", "exited")
    assert letters(full.tree) == [(2, ("other", "first")), (3, ("other", "first"))]
    assert letters(full.f.sup) == []


def test_a_chain_that_closes_before_one_waits_is_not_waited_for(
    flow: MakeFlow, supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for room and the wait for it: nobody would wake who comes then."""
    full = Full(flow, supervisor, monkeypatch)
    wait = Door.wait_for_room

    def close_and_wait(self: Door, raw: Any, *, give_way: bool = False) -> bool:
        full.other.close()
        return wait(self, raw, give_way=give_way)

    monkeypatch.setattr(Door, "wait_for_room", close_and_wait)
    for box in full.other._scope.lines[0].inlet.boxes:
        box.wake_all()  # it looks again, and finds no room
    assert outcome(full.futures[2]) == "exited"
    full.check(0, 1, "exited")


@pytest.mark.parametrize("end", ["stop_child", "remove_child", "stop"])
def test_what_a_chain_that_has_ended_does_not_take_is_undelivered_there(
    flow: MakeFlow, supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Stopped by hand, removed, gone with its tree: nobody hangs, nobody is lost silently."""
    full = Full(flow, supervisor, monkeypatch)
    args = () if end == "stop" else ("other",)
    ending = run(getattr(full.tree, end), *args)
    assert outcome(full.futures[2]) == "exited"
    full.gate.open()
    ending.result()
    full.futures.append(full.chain.submit(3))
    assert outcome(full.futures[3]) == "exited"
    assert full.f.items() == {"offered": 4, "completed": 4}
    failed = [letter.message for letter in full.tree.dead_letters()]
    assert failed[-1] == 3
    assert 2 in failed
    found = full.other.statistics().items
    assert (found.offered, found.in_flight) == (4, 2 if end == "stop_child" else 0)


@pytest.mark.parametrize("how", ["crash", "restart"])
def test_a_chain_that_is_restarted_loses_nothing(
    flow: MakeFlow, supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Who waits for room goes on waiting, or finds it in the next life."""
    full = Full(flow, supervisor, monkeypatch, max_attempts=2)
    if how == "restart":
        restarting = run(full.tree.restart_child, "other")
        full.gate.open()
        restarting.result()
    else:
        full.crash.set()
    full.check(0, 1, 2)


@pytest.mark.parametrize("change", ["resize", "insert", "remove"])
def test_a_chain_may_be_changed_while_one_waits_for_room(
    flow: MakeFlow, supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Who waits looks again: at the new replica, at the stage that is the first one now."""
    full = Full(flow, supervisor, monkeypatch)
    changing = None
    if change == "resize":
        full.other.resize("first", 2)
        full.gate.wait_reached(2)  # what waited was taken
    elif change == "insert":
        full.other.insert_stage(same, before="first", id="new")
    else:
        changing = run(full.other.remove_stage, "first")
        assert outcome(full.futures[2]) == 2  # by the stage that was the second
    full.gate.open()
    if changing is not None:
        changing.result()
    assert [outcome(future) for future in full.futures] == [0, 1, 2]
    assert full.f.items() == {"offered": 3, "completed": 3}
    assert items(full.other) == {"offered": 3, "completed": 3}
    assert sorted(full.taken.items) == [0, 1, 2]


def test_a_stop_during_the_handing_over_loses_nothing(
    flow: MakeFlow, supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the tree that hands over: what it made is taken in over there, room or not."""
    full = Full(flow, supervisor, monkeypatch)
    report = full.f.sup.stop()
    assert report.clean
    assert report.undelivered == 0
    assert items(full.other) == {"offered": 3, "in_flight": 3}
    full.gate.open()
    assert [outcome(future) for future in full.futures] == [0, 1, 2]
    assert full.other.drain(PATIENCE)
    assert full.f.items() == {"offered": 3, "completed": 3}
    assert items(full.other) == {"offered": 3, "completed": 3}
    assert full.taken.items == [0, 1, 2]


def test_a_replica_that_leaves_during_the_handing_over_loses_nothing(
    flow: MakeFlow, supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A smaller stage, with results of all that were there, each once."""
    full = Full(flow, supervisor, monkeypatch, workers=2)
    full.futures.append(full.chain.submit(3))
    full.wait_asleep(2)
    full.chain.resize("a", 1)
    full.gate.open()
    assert [outcome(future) for future in full.futures] == [0, 1, 2, 3]
    assert full.chain.drain(PATIENCE)
    assert full.other.drain(PATIENCE)
    assert full.f.items() == items(full.other) == {"offered": 4, "completed": 4}


def test_a_restart_during_the_handing_over_hands_over_once(
    flow: MakeFlow, supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next life of the last stage goes on with what the one before it had made."""
    full = Full(flow, supervisor, monkeypatch)
    full.chain.restart_child("a")
    full.check(0, 1, 2)
    assert full.chain["a"].incarnation == 2


def test_a_key_that_cannot_be_made_there_fails_that_item_there(flow: MakeFlow) -> None:
    """Who waits for it gets the error; the chain it came from has done its part."""
    f = flow(stage(same, id="a"))
    other = f.sup.add_chain(
        "other",
        [stage(same, id="o", workers=2, routing="partition", key=lambda item: 10 // item)],
    )
    f.chain.to(other)
    assert [outcome(f.chain.submit(item)) for item in (1, 0, 2)] == [
        1,
        "ZeroDivisionError: integer division or modulo by zero",
        2,
    ]
    assert f.items() == {"offered": 3, "completed": 3}
    assert other.drain(PATIENCE)
    assert items(other) == {"offered": 3, "completed": 2, "failed": 1}
    assert letters(f.sup) == [(0, ("other", "o"))]
