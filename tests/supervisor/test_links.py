"""Links between any two workers: who ends with whom, told once, across scopes and trees."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import Boom, act, boom
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import outcome, taken, together
from threadsup import (
    Backoff,
    Crashed,
    Normal,
    Shutdown,
    Worker,
    WorkerExit,
    current,
    events,
    handler,
    receive,
    stage,
    worker_spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeSupervisor
    from threadsup import Context, Exit, Supervisor, WorkerRef
    from threadsup.events import Event


def me() -> Context:
    context = current()
    assert context is not None
    return context


def leave() -> None:
    raise SystemExit


def linking(ref: WorkerRef) -> Callable[[], None]:
    """Return a message at which its worker links itself to another one."""
    return lambda: me().link(ref)


def unlinking(ref: WorkerRef) -> Callable[[], None]:
    """Return a message at which its worker unlinks itself."""
    return lambda: me().unlink(ref)


def exits(ref: WorkerRef) -> Recorder[Exit]:
    """Return what records the exits of a worker from now on."""
    seen: Recorder[Exit] = Recorder()
    ref.monitor(seen)
    return seen


def add(tree: Supervisor, id: str, **options: Any) -> WorkerRef:
    return tree.add_worker(handler(act), id=id, **options)


@pytest.fixture(params=["one supervisor", "nested", "two trees"])
def pair(
    request: pytest.FixtureRequest, supervisor: MakeSupervisor
) -> tuple[WorkerRef, WorkerRef, Supervisor, Supervisor]:
    """Two workers, each a scope of its own, and their supervisors."""
    one = supervisor(max_restarts=10, backoff=Backoff.none()).start()
    other = one
    if request.param == "nested":
        other = one.add_supervisor("nest", max_restarts=10, backoff=Backoff.none())
    elif request.param == "two trees":
        other = supervisor(max_restarts=10, backoff=Backoff.none()).start()
    return add(one, "a"), add(other, "b"), one, other


Pair = tuple["WorkerRef", "WorkerRef", "Supervisor", "Supervisor"]


# -- who ends with whom -----------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1])
def test_a_crash_of_either_ends_the_other_with_its_reason(pair: Pair, first: int) -> None:
    """The other one is asked to end, and its own rules say that it comes back."""
    a, b = pair[:2]
    a.ask(linking(b))
    crashing, linked = (a, b) if first == 0 else (b, a)
    seen = exits(linked)
    crashing.tell(boom)
    (exit_,) = seen.wait_for(1)
    assert isinstance(exit_.reason, Crashed)
    assert "linked to" in exit_.reason.error
    assert repr(crashing.id) in exit_.reason.error
    assert "crashed: Boom: boom" in exit_.reason.error
    assert exit_.reason.traceback  # that of the crash
    assert linked.ask(lambda: me().incarnation) == 2
    assert crashing.ask(lambda: me().incarnation) == 2
    assert len(seen) == 1


def test_a_normal_end_is_no_reason(pair: Pair) -> None:
    """As in OTP; and then there is nothing to be told any more."""
    a, b, one, other = pair
    gone = one.add_worker(handler(act), id="gone", restart="transient")
    b.ask(linking(gone))
    gone.ask(linking(a))
    gone.tell(leave)
    assert gone.wait(PATIENCE) == Normal()
    taken(one)
    taken(other)
    assert (a.ask("here"), b.ask("here")) == ("here", "here")
    assert a.incarnation == b.incarnation == 1


def test_a_stop_by_hand_is_passed_on_as_a_shutdown(supervisor: MakeSupervisor) -> None:
    """A transient worker ends with it for good, a permanent one comes back."""
    tree = supervisor(max_restarts=10).start()
    a = add(tree, "a")
    stays, leaves_ = add(tree, "stays"), add(tree, "leaves", restart="transient")
    seen = exits(stays)
    for ref in (stays, leaves_):
        ref.ask(linking(a))
    a.stop()
    assert leaves_.wait(PATIENCE) == Shutdown()
    assert seen.wait_for(1)[0].reason == Shutdown()
    assert stays.ask(lambda: me().incarnation) == 2


def test_an_abandoned_one_is_a_crash_to_the_other(supervisor: MakeSupervisor) -> None:
    """It was given up on; the one linked to it was not."""
    tree = supervisor().start()
    gate = Gate()
    hung = add(tree, "hung", time_limit=0.05)
    b = add(tree, "b")
    b.ask(linking(hung))
    seen = exits(b)
    hung.tell(gate.meet)
    (exit_,) = seen.wait_for(1)
    assert isinstance(exit_.reason, Crashed)
    assert "abandoned" in exit_.reason.error
    gate.open()


def test_what_crashed_first_is_named_at_the_far_end(supervisor: MakeSupervisor) -> None:
    """A row of linked workers: the reason is passed on as it is."""
    tree = supervisor(max_restarts=10).start()
    row = [add(tree, f"w{n}") for n in range(5)]
    for one, next_ in pairwise(row):
        one.ask(linking(next_))
    seen = exits(row[-1])
    row[0].tell(boom)
    (exit_,) = seen.wait_for(1)
    assert isinstance(exit_.reason, Crashed)
    assert exit_.reason.error == "linked to 'w0', which crashed: Boom: boom"


def test_a_ring_ends_once(supervisor: MakeSupervisor) -> None:
    """Each ends once, however often it is linked."""
    tree = supervisor(max_restarts=10).start()
    ring = [add(tree, f"w{n}") for n in range(4)]
    for one, next_ in zip(ring, [*ring[1:], ring[0]], strict=True):
        one.ask(linking(next_))
    seen = [exits(ref) for ref in ring]
    ring[0].tell(boom)
    for recorder, ref in zip(seen, ring, strict=True):
        recorder.wait_for(1)
        assert ref.ask(lambda: me().incarnation) == 2
    assert [len(recorder) for recorder in seen] == [1, 1, 1, 1]


def test_a_task_leaves_its_wait(supervisor: MakeSupervisor) -> None:
    """As when it is asked to stop, with the reason of the other one."""
    tree = supervisor().start()
    a = add(tree, "a")
    left: Recorder[Any] = Recorder()
    linked = Gate()
    linked.open()

    def task() -> None:
        me().link(a)
        linked.meet()
        try:
            receive()
        except WorkerExit as exit_:
            left(exit_.reason)
            raise

    tree.add_worker(task, id="task", restart="temporary")
    linked.wait_reached()
    a.tell(boom)
    (reason,) = left.wait_for(1)
    assert isinstance(reason, Crashed)


def test_stages_and_members_are_linked_as_any_worker(supervisor: MakeSupervisor) -> None:
    """From a replica, and to a member of a group."""
    tree = supervisor().start()
    member = tree.add_group("g").add_worker(handler(act), id="m")
    chain = tree.add_chain("c", [stage(act, id="s")])
    chain.submit(linking(member)).result(PATIENCE)
    seen: Recorder[Event] = Recorder()
    tree.subscribe(seen)
    member.tell(boom)
    found = seen.wait_until(
        lambda all_: any(isinstance(e, events.WorkerEnded) and e.path[0] == "c" for e in all_)
    )
    (ended,) = [e for e in found if isinstance(e, events.WorkerEnded) and e.path[0] == "c"]
    assert "('g', 'm')" in str(ended.reason)


# -- one that is not alive --------------------------------------------------------------


def test_to_one_that_is_dead_the_linker_ends_at_once(pair: Pair) -> None:
    """As with OTP's `noproc`: in the call itself, and once."""
    a, b = pair[:2]
    b.stop()
    seen = exits(a)
    with pytest.raises(Exception, match=r"linked to .*, which is not alive"):
        a.ask(linking(b))
    (exit_,) = seen.wait_for(1)
    assert isinstance(exit_.reason, Crashed)
    assert a.ask("up") == "up"
    assert len(seen) == 1


def test_to_one_that_was_never_started_the_linker_does_not_start(
    supervisor: MakeSupervisor,
) -> None:
    """One that is declared behind it is not there yet."""
    tree = supervisor()

    class Early(Worker):
        def on_start(self) -> None:
            me().link(tree.worker("late"))

    tree.add_worker(Early, id="early")
    add(tree, "late")
    assert "was not started" in str(outcome(tree.start))


def test_to_one_between_two_lives_it_is_as_to_a_dead_one(supervisor: MakeSupervisor) -> None:
    """A link belongs to an incarnation, and there is none."""
    pause = Backoff(initial=60.0, factor=1.0, maximum=60.0, jitter=0.0)
    tree = supervisor().start()
    away = add(tree, "away", backoff=pause)
    for _ in range(2):  # only the second restart has a pause
        seen = exits(away)
        away.tell(boom)
        seen.wait_for(1)
    b = add(tree, "b")
    with pytest.raises(Exception, match="not alive"):
        b.ask(linking(away))


# -- incarnations -----------------------------------------------------------------------


def test_a_link_ends_with_the_incarnation_that_made_it(pair: Pair) -> None:
    """The next one is linked to nobody."""
    a, b = pair[:2]
    a.ask(linking(b))
    b.ask(unlinking(a))
    a.ask(linking(b))
    seen = exits(b)
    a.tell(boom)
    assert a.ask(lambda: me().incarnation) == 2
    seen.wait_for(1)
    assert b.ask(lambda: me().incarnation) == 2
    a.tell(boom)
    assert a.ask(lambda: me().incarnation) == 3
    assert b.ask(lambda: me().incarnation) == 2


def test_two_links_are_one_and_one_to_itself_is_none(pair: Pair) -> None:
    """Also when both make one."""
    a, b = pair[:2]
    for _ in range(2):
        a.ask(linking(b))
        b.ask(linking(a))
        a.ask(linking(a))
    seen = exits(b)
    a.tell(boom)
    seen.wait_for(1)
    assert b.ask(lambda: me().incarnation) == 2
    assert a.ask(lambda: me().incarnation) == 2
    assert len(seen) == 1


@pytest.mark.parametrize("who", [0, 1])
def test_after_unlink_there_is_no_notice(pair: Pair, who: int) -> None:
    """Whichever side takes it away."""
    a, b = pair[:2]
    a.ask(linking(b))
    (a, b)[who].ask(unlinking((b, a)[who]))
    (a, b)[who].ask(unlinking((b, a)[who]))  # once more does nothing
    a.tell(boom)
    assert a.ask("up") == "up"
    assert b.ask(lambda: me().incarnation) == 1


# -- budgets ----------------------------------------------------------------------------


def test_those_of_one_group_that_end_with_each_other_cost_one_restart(
    supervisor: MakeSupervisor,
) -> None:
    """A linked restart is one decision of the scope, whatever its strategy."""
    for strategy in ("one_for_one", "one_for_all"):
        tree = supervisor().start()
        group = tree.add_group("g", strategy=strategy, max_restarts=1)
        refs = [group.add_worker(handler(act), id=f"m{n}") for n in range(3)]
        for ref in refs[1:]:
            ref.ask(linking(refs[0]))
        seen = [exits(ref) for ref in refs]
        refs[0].tell(boom)
        for recorder, ref in zip(seen, refs, strict=True):
            recorder.wait_for(1)
            assert ref.ask(lambda: me().incarnation) == 2
        assert tree.failed() == ()


def test_several_of_another_scope_cost_it_one_restart(supervisor: MakeSupervisor) -> None:
    """The first of them pays, the others go with it."""
    tree = supervisor().start()
    a = add(tree, "a")
    group = tree.add_group("g", strategy="one_for_one", max_restarts=1)
    refs = [group.add_worker(handler(act), id=f"m{n}") for n in range(3)]
    seen = [exits(ref) for ref in refs]
    for ref in refs:
        ref.ask(linking(a))
    a.tell(boom)
    for recorder, ref in zip(seen, refs, strict=True):
        recorder.wait_for(1)
        assert ref.ask(lambda: me().incarnation) == 2
    refs[0].tell(boom)  # past the budget
    for ref in refs:
        assert ref.wait(PATIENCE) is not None
    taken(tree)
    assert tree.failed() == ("g",)


def test_the_end_of_another_scope_costs_each_its_own(pair: Pair) -> None:
    """A restart by a link is one of the scope's own, so that a storm ends."""
    a, b, one, other = pair
    seen = exits(b)
    weak = other.add_worker(handler(act), id="weak", max_restarts=1, backoff=Backoff.none())
    ended = exits(weak)
    for count in (1, 2):
        weak.ask(linking(a))
        a.tell(boom)
        ended.wait_for(count)
        a.ask("up")
    assert isinstance(weak.wait(PATIENCE), Crashed)
    taken(other)
    assert other.failed() == ("weak",)
    assert one.failed() in ((), ("weak",))
    assert len(seen) == 0


# -- races ------------------------------------------------------------------------------


def test_an_end_between_the_two_entries_is_told_once(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The linker has its entry, the other one ends: it is told by the call, and only by it."""
    tree = supervisor(max_restarts=10).start()
    a, b = add(tree, "a"), add(tree, "b")
    links: Any = b._keeper.links  # type: ignore[attr-defined]
    gate = Gate()
    cls, add_ = type(links), type(links).add

    def slow(self: Any, number: int, end: Any) -> bool:
        if self is links:
            gate.meet()
        return bool(add_(self, number, end))

    monkeypatch.setattr(cls, "add", slow)
    seen = exits(a)
    answer = a.ask(linking(b), block=False)
    gate.wait_reached()
    b.stop()
    gate.open()
    with pytest.raises(Exception, match="not alive"):
        answer.result(PATIENCE)
    (exit_,) = seen.wait_for(1)
    assert isinstance(exit_.reason, Crashed)
    assert a.ask(lambda: me().incarnation) == 2
    assert len(seen) == 1


def test_an_end_behind_both_entries_is_told_once(
    supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call has not returned yet when the other one ends: the notice comes behind it."""
    tree = supervisor(max_restarts=10).start()
    a, b = add(tree, "a"), add(tree, "b")
    links: Any = b._keeper.links  # type: ignore[attr-defined]
    gate = Gate()
    cls, add_ = type(links), type(links).add

    def slow(self: Any, number: int, end: Any) -> bool:
        added = bool(add_(self, number, end))
        if self is links:
            gate.meet()
        return added

    monkeypatch.setattr(cls, "add", slow)
    seen = exits(a)
    answer = a.ask(linking(b), block=False)
    gate.wait_reached()
    b.stop()
    taken(tree)
    gate.open()
    assert answer.result(PATIENCE) is None
    assert seen.wait_for(1)[0].reason == Shutdown()
    assert a.ask(lambda: me().incarnation) == 2
    assert len(seen) == 1


def test_an_unlink_that_comes_before_the_notice_is_done_takes_it_away(
    supervisor: MakeSupervisor,
) -> None:
    """The other one has ended and its notice is on the way: the entry decides."""
    one, two = supervisor().start(), supervisor().start()
    a, b = add(one, "a"), add(two, "b")
    a.ask(linking(b))
    gate = Gate()
    one._services.post(lambda _: gate.meet(), None)  # the notice stands behind it
    gate.wait_reached()
    seen = exits(b)
    b.tell(boom)
    seen.wait_for(1)
    a.ask(unlinking(b))
    gate.open()
    taken(one)
    assert a.ask(lambda: me().incarnation) == 1


def test_a_notice_for_an_incarnation_that_is_over_means_nothing(
    supervisor: MakeSupervisor,
) -> None:
    """The next one was not linked."""
    one, two = supervisor().start(), supervisor().start()
    a, b = add(one, "a"), add(two, "b")
    a.ask(linking(b))
    gate = Gate()
    seen, own = exits(b), exits(a)
    one._services.post(lambda _: gate.meet(), None)
    gate.wait_reached()
    a.tell(boom)  # its exit is behind the gate, too
    b.tell(boom)
    seen.wait_for(1)
    gate.open()
    own.wait_for(1)
    assert a.ask(lambda: me().incarnation) == 2
    assert b.ask(lambda: me().incarnation) == 2
    taken(one)
    assert len(own) == 1


def test_both_link_and_crash_at_once(pair: Pair) -> None:
    """Whoever is first: each is told once at most, and both come back."""
    a, b, one, other = pair

    def meddle(number: int) -> object:
        mine, its = (a, b) if number else (b, a)

        def both() -> None:
            me().link(its)
            boom()

        return outcome(mine.ask, both)

    for failure in together(2, meddle):
        assert isinstance(failure, (Boom, Exception))
    taken(one)
    taken(other)
    assert (a.ask("up"), b.ask("up")) == ("up", "up")
    assert a.incarnation <= 4
    assert b.incarnation <= 4


def test_one_that_does_not_end_is_abandoned(supervisor: MakeSupervisor) -> None:
    """It has its `shutdown` for it, then it is given up on and replaced."""
    tree = supervisor().start()
    a, b = add(tree, "a"), add(tree, "b", shutdown=0.05)
    b.ask(linking(a))
    gate = Gate()
    b.tell(gate.meet)
    gate.wait_reached()
    a.tell(boom)
    assert b.ask(lambda: me().incarnation) == 2
    (left,) = [e for e in tree.history() if isinstance(e, events.WorkerAbandoned)]
    assert (left.path, left.incarnation) == (("b",), 1)
    gate.open()


def test_one_that_is_being_stopped_is_not_made_to_crash(supervisor: MakeSupervisor) -> None:
    """It was asked to end already: its reason stays what it was asked with."""
    one, two = supervisor().start(), supervisor().start()
    a, b = add(one, "a"), add(two, "b")
    b.ask(linking(a))
    gate = Gate()
    b.tell(gate.meet)
    gate.wait_reached()
    stopping = two._root.errand("stop_child", "b")
    taken(two)
    a.tell(boom)
    a.ask("up")
    taken(two)
    gate.open()
    stopping.result(PATIENCE)
    assert b.wait(PATIENCE) == Shutdown()


def test_a_tree_that_has_ended_is_told_nothing(supervisor: MakeSupervisor) -> None:
    """Nobody is left there; and its own end is told to the other tree."""
    one, two = supervisor().start(), supervisor().start()
    a, b = add(one, "a"), add(two, "b")
    b.ask(linking(a))
    seen = exits(b)
    one.stop()
    assert seen.wait_for(1)[0].reason == Shutdown()
    assert b.ask("up") == "up"
    with pytest.raises(Exception, match="not alive"):
        b.ask(linking(a))


# -- bad input --------------------------------------------------------------------------


@pytest.mark.parametrize("other", [None, "b", 3, object()])
def test_what_is_no_ref_is_refused(supervisor: MakeSupervisor, other: Any) -> None:
    """A clear error, in the call."""
    ref = supervisor().start().add_worker(handler(act), on_ask_error="reply")
    for call in (linking(other), unlinking(other)):
        with pytest.raises(TypeError, match="WorkerRef"):
            ref.ask(call)


# -- monitors ---------------------------------------------------------------------------


def test_a_monitor_across_supervisors_is_told_once(pair: Pair) -> None:
    """Of each exit, by the side thread of the tree of the one it looks at."""
    a, b = pair[:2]
    seen: Recorder[Any] = Recorder()
    b.ask(lambda: a.monitor(lambda exit_: seen((exit_, current()))))
    a.tell(boom)
    a.ask("up")
    a.stop()
    found = seen.wait_for(2)
    assert [exit_.final for exit_, _ in found] == [False, True]
    assert [context for _, context in found] == [None, None]
    assert b.ask("untouched") == "untouched"
    b.ask(lambda: a.monitor(lambda exit_: seen((exit_, None))))  # after the end: once, at once
    assert seen.wait_for(3)[2][0].final
    assert len(seen) == 3


def test_a_monitor_goes_on_over_a_restart_of_its_supervisor(supervisor: MakeSupervisor) -> None:
    """A child that comes back with a nested supervisor keeps its monitors."""
    tree = supervisor(max_restarts=5).start()
    nest = tree.add_supervisor("nest", [worker_spec(handler(act), id="w")])
    lost, kept = exits(add(nest, "late")), exits(nest.worker("w"))
    tree.restart_child("nest")
    assert [exit_.final for exit_ in kept.wait_for(1)] == [False]
    assert [exit_.final for exit_ in lost.wait_for(2)] == [False, True]
    nest.stop()
    assert kept.wait_for(2)[-1].final
    assert nest.wait(PATIENCE) == Shutdown()
    assert (len(kept), len(lost)) == (2, 2)
