"""Children are added, stopped, restarted and removed in every state, by anybody at once."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import Actor, act, boom, only_in
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import outcome, taken, together
from threadsup import (
    Backoff,
    Crashed,
    DuplicateChildError,
    MailboxClosed,
    NotRunningError,
    ReplyTimeout,
    Shutdown,
    SpecError,
    StartError,
    Supervisor,
    UnknownChildError,
    Worker,
    current,
    events,
    handler,
    stage,
    worker_spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeSupervisor
    from threadsup import WorkerRef
    from threadsup._exits import ChildId

LONG = Backoff(initial=1000.0, maximum=1000.0, jitter=0.0)
"""A pause that no test sits out."""


def paused(tree: Supervisor, id: str = "w", **options: Any) -> WorkerRef:
    """Add a worker and let it crash twice: it is down, and a long pause runs."""
    told: Recorder[events.Event] = Recorder()
    end = tree.subscribe(told)
    ref = tree.add_worker(handler(act), id=id, backoff=LONG, **options)
    for _ in range(2):
        ref.tell(boom)
    told.wait_until(lambda seen: any(isinstance(e, events.Restarting) and e.delay for e in seen))
    end()
    assert not ref.is_alive()
    return ref


# -- one call ---------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["stop_child", "restart_child", "remove_child"])
@pytest.mark.parametrize("id", ["nobody", 1, ("a", 1), "", [], {}, None, 1.5, b"w"])
def test_an_unknown_id_is_unknown(supervisor: MakeSupervisor, verb: str, id: Any) -> None:
    """Whatever it is, hashable or not; rows 37, 40, 41, F70."""
    tree = supervisor().start()
    group = tree.add_group("g")
    for place in (tree, group):
        with pytest.raises(UnknownChildError, match="has no"):
            getattr(place, verb)(id)


def test_look_ups_agree_on_what_is_there(supervisor: MakeSupervisor) -> None:
    """By kind, by index, by iteration; a wrong kind says which is right (row 57)."""
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w")
    group = tree.add_group("g", [worker_spec(handler(act), id=1)])
    chain = tree.add_chain("c", [stage(act)])
    assert list(tree) == ["w", "g", "c"] == list(tree.children())
    assert len(tree) == 3
    assert "w" in tree
    assert "x" not in tree
    assert tree["w"] is ref is tree.worker("w")
    assert tree["g"] is group is tree.group("g")
    assert tree["c"] is chain is tree.chain("c")
    with pytest.raises(UnknownChildError, match=r"'g' is a group, not a worker: use group\('g'\)"):
        tree.worker("g")
    with pytest.raises(UnknownChildError, match="'w' is a worker, not a chain"):
        tree.chain("w")
    with pytest.raises(UnknownChildError):
        tree["x"]


@pytest.mark.parametrize("id", ["w", "naïve ☃", 0, -7, 10**50, ("a", 1), ("a",), "x" * 200])
def test_ids_of_all_kinds_name_a_child(supervisor: MakeSupervisor, id: Any) -> None:
    """Text, numbers and tuples of these, in supervisor and group."""
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id=id)
    member = tree.add_group("g").add_worker(handler(act), id=id)
    assert (ref.id, member.id) == (id, id)
    assert tree.worker(id) is ref
    assert tree.group("g")[id] is member
    assert str(id) in str(tree.tree())


WEIRD = ["", " ", "a\nb", "a\0b", "\ud800", "x" * 201, True, 1.0, [1], (), ("a", []), b"a", 10**999]


@pytest.mark.parametrize("id", WEIRD)
def test_weird_ids_are_refused_where_they_are_given(supervisor: MakeSupervisor, id: Any) -> None:
    """One rule for every kind of child, and nothing half done (F69, F70)."""
    tree = supervisor().start()
    group = tree.add_group("g")
    calls: list[Callable[[], object]] = [
        lambda: tree.add_worker(handler(act), id=id),
        lambda: tree.add_group(id),
        lambda: tree.add_chain(id, [stage(act)]),
        lambda: tree.add_chain("c", [stage(act, id=id)]),
        lambda: group.add_worker(handler(act), id=id),
    ]
    for call in calls:
        with pytest.raises(SpecError, match=r"id: must"):
            call()
    assert tree.children() == ("g",)
    assert group.children() == ()


@pytest.mark.parametrize("started", [False, True])
def test_a_wrong_description_is_refused_where_it_is_given(*, started: bool) -> None:
    """Unknown options and wrong values never reach the tree (rows 10, 18, 50, 55, 56)."""
    tree = Supervisor(auto_shutdown="never")
    if started:
        tree.start()
    with pytest.raises(TypeError, match="unknown option 'restrat'; did you mean 'restart'"):
        tree.add_worker(act, id="w", restrat="permanent")  # type: ignore[call-arg]
    wrong: list[dict[str, Any]] = [
        {"restart": "always"},
        {"shutdown": -1},
        {"shutdown": float("nan")},
        {"max_restarts": True},
        {"max_seconds": 0},
        {"significant": True, "restart": "temporary"},
        {"capacity": 0},
        {"on_full": "block"},
        {"max_attempts": 0},
        {"backoff": 1.0},
    ]
    for options in wrong:
        with pytest.raises(SpecError, match=next(iter(options))):
            tree.add_worker(handler(act), id="w", **options)
    with pytest.raises(SpecError, match="target"):
        tree.add_worker(handler(act), 1, 2, 3, id="w")
    with pytest.raises(SpecError, match="before_for_one"):
        tree.add_group("g", strategy="one_for_some")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="at least one"):
        tree.add_chain("c", [])
    assert tree.children() == ()
    if started:
        tree.stop()


def test_an_id_is_taken_whatever_became_of_its_child(supervisor: MakeSupervisor) -> None:
    """Running, stopped, ended or in a pause; across kinds; only removal frees it (35, 36, F68)."""
    tree = supervisor().start()
    tree.add_worker(handler(act), id="running")
    tree.add_worker(handler(act), id="stopped")
    tree.stop_child("stopped")
    tree.add_worker(lambda: None, id="ended").wait(PATIENCE)
    paused(tree, "paused")
    tree.add_group("group")
    tree.add_chain("chain", [stage(act)])
    for key in tree.children():
        calls: list[Callable[[ChildId], object]] = [
            lambda key: tree.add_worker(handler(act), id=key),
            tree.add_group,
            lambda key: tree.add_chain(key, [stage(act)]),
        ]
        for call in calls:
            with pytest.raises(DuplicateChildError, match=f"a child {key!r} already"):
                call(key)
    for key in tree.children():
        tree.remove_child(key)
        tree.add_worker(handler(act), id=key)
    with pytest.raises(SpecError, match="taken"):
        tree.add_group("g", [worker_spec(handler(act), id="x") for _ in range(2)])


def test_ids_are_made_of_the_target_s_name(supervisor: MakeSupervisor) -> None:
    """Numbered from the second on, never used twice, giving way to ids that were given."""
    tree = supervisor().start()
    group = tree.add_group("g")
    tree.add_worker(handler(act), id="act-3")
    places: list[Any] = [tree, group]
    for place in places:
        made = [place.add_worker(handler(act)).id for _ in range(2)]
        assert made == ["act", "act-2"]
        place.remove_child("act-2")
    assert tree.add_worker(handler(act)).id == "act-4"
    assert group.add_worker(handler(act)).id == "act-3"


def test_a_made_id_that_is_taken_in_the_moment_is_made_anew(supervisor: MakeSupervisor) -> None:
    """Who gave no id is never told that it is taken."""
    tree = supervisor().start()
    group = tree.add_group("g")
    places: list[Any] = [tree, group]
    for place in places:
        inner = place._ids.unused

        def unused(name: str, taken: Any, place: Any = place, inner: Any = inner) -> Any:
            made = inner(name, taken)
            if made == "act":
                place.add_worker(handler(act), id="act")  # by somebody else, meanwhile
            return made

        stub = type("Ids", (), {"unused": staticmethod(unused)})()
        object.__setattr__(place, "_ids", stub)
        assert place.add_worker(handler(act)).id == "act-2"


def test_many_children_are_added_at_once(supervisor: MakeSupervisor) -> None:
    """Generated ids are all different, from eight threads, before and after the start."""
    tree = supervisor()
    group = tree.add_group("g")

    def add(_: int) -> list[Any]:
        places: list[Any] = [tree, group]
        return [place.add_worker(handler(act)).id for place in places for _ in range(5)]

    before = [*chain.from_iterable(together(8, add))]
    tree.start()
    after = [*chain.from_iterable(together(8, add))]
    assert len(before + after) == 160
    assert len(tree.children()) == 81
    assert len(set(group.children())) == 80
    assert all(tree[key].is_alive() for key in tree.children() if key != "g")
    assert all(group[key].is_alive() for key in group)


# -- each state -------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["running", "stopped", "ended", "failed", "paused", "new"])
@pytest.mark.parametrize("verb", ["stop", "restart", "remove"])
def test_every_verb_works_in_every_state(supervisor: MakeSupervisor, state: str, verb: str) -> None:
    """As the table of reliability.md 1.8 says, but restart and remove do what they say.

    Rows 35 to 41, 92, F65.
    """
    tree = supervisor()
    ref = _in_state(tree, state)
    call = getattr(tree, f"{verb}_child")
    if state == "new" and verb != "remove":
        with pytest.raises(NotRunningError):
            call("w")
        tree.start()
    elif state == "new":
        call("w")
        tree.start()
    for _ in range(2):  # a second time does no harm, but what is removed is unknown
        if verb == "remove" and "w" not in tree:
            with pytest.raises(UnknownChildError):
                call("w")
            continue
        number = ref.incarnation
        call("w")
        assert ref.is_alive() == (verb == "restart")
        assert ("w" in tree) == (verb != "remove")
        assert ref.incarnation == number + (verb == "restart")
        if verb == "restart":
            assert ref.ask("hi") == "hi"
            assert ref.wait(0) is None
        else:
            assert ref.wait(0) is not None
            with pytest.raises(MailboxClosed):
                ref.tell("hi")
    assert tree.failed() == (("w",) if (state, verb) == ("failed", "stop") else ())


def _in_state(tree: Supervisor, state: str) -> WorkerRef:
    """Return the ref of a worker `"w"` in that state."""
    if state == "new":
        return tree.add_worker(handler(act), id="w")
    tree.start()
    if state == "paused":
        return paused(tree)
    ref = tree.add_worker(handler(act), id="w", restart="transient", max_restarts=0)
    if state == "stopped":
        tree.stop_child("w")
    elif state == "ended":
        ref.tell(leave)
        ref.wait(PATIENCE)
    elif state == "failed":
        ref.tell(boom)
        ref.wait(PATIENCE)
    return ref


def leave() -> None:
    raise SystemExit


def test_a_stopped_child_keeps_what_is_queued(supervisor: MakeSupervisor) -> None:
    """It is handled after a restart, and undelivered after a removal (row 38)."""
    got: Recorder[str] = Recorder()
    tree = supervisor().start()
    for key in ("restarted", "removed"):
        gate = Gate()
        ref = tree.add_worker(handler(act), id=key)
        ref.tell(gate.meet)
        gate.wait_reached()
        ref.tell(partial(got, key))
        stopping = ref.stop(block=False)
        taken(tree)
        gate.open()
        assert stopping.result(PATIENCE) is True
        assert ref.statistics().pending == 1
    tree.restart_child("restarted")
    assert got.wait_for(1) == ["restarted"]
    gone = tree.worker("removed")
    tree.remove_child("removed")
    assert (gone.statistics().pending, gone.statistics().undelivered) == (0, 1)
    (letter,) = tree.dead_letters()
    assert (letter.to, letter.error) == ("removed", "")
    assert letter.reason == "it was stopped on request"


def test_a_failed_add_leaves_nothing(supervisor: MakeSupervisor) -> None:
    """The error reaches the caller with its cause, the id is free, the tree goes on (row 10)."""
    tree = supervisor().start()
    group = tree.add_group("g", [worker_spec(handler(act), id="m")])
    for restart in ("permanent", "transient", "temporary"):
        broken: Any = {"id": "w", "kwargs": {"start": boom}, "restart": restart}
        calls: list[Callable[[Any], object]] = [
            lambda broken: tree.add_worker(Actor, **broken),
            lambda broken: group.add_worker(Actor, **broken),
            lambda broken: tree.add_group("h", [worker_spec(Actor, **broken)]),
            lambda broken: tree.add_chain("c", [stage(Actor, **broken)]),
        ]
        for call in calls:
            with pytest.raises(StartError, match=r"'w'.* did not start: Boom: boom") as caught:
                call(broken)
            assert type(caught.value.__cause__).__name__ == "Boom"
    assert tree.children() == ("g",)
    assert group.children() == ("m",)
    assert group["m"].incarnation == 1
    assert tree.statistics().restarts == 0


def test_a_failed_restart_by_hand_keeps_the_child_stopped(supervisor: MakeSupervisor) -> None:
    """The error reaches the caller, the spec is kept, no budget is spent (row 11)."""
    tree = supervisor().start()
    fails = only_in({2}, boom)
    tree.add_worker(Actor, id="w", kwargs={"start": fails}, max_restarts=0)
    group = tree.add_group("g", max_restarts=0)
    group.add_worker(Actor, id="w", kwargs={"start": fails})
    places: list[Any] = [tree, group]
    for place in places:
        ref = place.worker("w")
        with pytest.raises(StartError, match="Boom"):
            place.restart_child("w")
        assert "w" in place
        assert not ref.is_alive()
        assert isinstance(ref.wait(0), Crashed)
        place.restart_child("w")
        assert ref.is_alive()
        assert ref.incarnation == 3
    assert tree.failed() == ()


def test_a_child_that_is_slow_to_stop_can_be_left_waiting(supervisor: MakeSupervisor) -> None:
    """Past `timeout` the caller goes on, and so does the stop."""
    gate = Gate()
    tree = supervisor().start()
    group = tree.add_group("g")
    tree.add_worker(handler(act), id="w").tell(gate.meet)
    group.add_worker(handler(act), id="w").tell(gate.meet)
    gate.wait_reached(2)
    for call in (tree.stop_child, group.stop_child, tree.restart_child, group.remove_child):
        with pytest.raises(ReplyTimeout):
            call("w", timeout=0)
    with pytest.raises(ReplyTimeout):
        tree.worker("w").stop(timeout=0)
    gate.open()
    tree.stop_child("w")
    assert tree.worker("w").wait(0) == Shutdown()


def test_a_child_added_during_the_stop_is_refused(supervisor: MakeSupervisor) -> None:
    """The tree is going down: whoever adds is told at once (F64)."""
    gate = Gate()
    tree = supervisor().start()
    group = tree.add_group("g", [worker_spec(handler(lambda _: gate.meet()), id="m")])
    group.tell("m", "")
    gate.wait_reached()
    tree.request_stop()
    taken(tree)
    calls: list[Callable[[], object]] = [
        lambda: tree.add_worker(handler(act), id="w"),
        lambda: group.add_worker(handler(act), id="w"),
        lambda: tree.restart_child("g"),
    ]
    for call in calls:
        assert isinstance(outcome(call), NotRunningError)
    assert tree.children() == ("g",)
    assert group.children() == ("m",)
    gate.open()
    tree.stop()


def test_a_removal_before_the_start_is_a_removal(supervisor: MakeSupervisor) -> None:
    """What was declared and taken back is not started."""
    tree = supervisor()
    ref = tree.add_worker(handler(act), id="w")
    group = tree.add_group("g", [worker_spec(handler(act), id="m")])
    ref.tell("lost")
    tree.remove_child("w")
    group.remove_child("m")
    with tree:
        assert tree.children() == ("g",)
        assert len(group) == 0
    assert ref.statistics().undelivered == 1
    assert tree.stop().undelivered == 1


def test_children_of_a_group_are_restarted_with_it(supervisor: MakeSupervisor) -> None:
    """A stopped group comes back with its members, ended ones too, temporary ones not (40)."""
    tree = supervisor().start()
    group = tree.add_group("g", strategy="one_for_one")
    kept = group.add_worker(handler(act), id="kept")
    ended = group.add_worker(handler(act), id="ended", restart="transient")
    ended.tell(leave)
    ended.wait(PATIENCE)
    group.add_worker(handler(act), id="temporary", restart="temporary")
    tree.stop_child("g")
    with pytest.raises(NotRunningError):
        group.add_worker(handler(act), id="late")
    assert isinstance(outcome(group.restart_child, "kept"), NotRunningError)
    assert group.children() == ("kept", "ended")
    tree.restart_child("g")
    assert kept.ask(1) == 1
    assert ended.ask(2) == 2
    assert kept.incarnation == ended.incarnation == 2


def test_a_bystander_keeps_its_incarnation(supervisor: MakeSupervisor) -> None:
    """What is done by hand to one child is done to nobody else."""
    tree = supervisor().start()
    group = tree.add_group("g", strategy="one_for_all")
    others = [group.add_worker(handler(act), id=n) for n in range(3)]
    group.add_worker(handler(act), id="w")
    for call in (group.restart_child, group.stop_child, group.restart_child, group.remove_child):
        call("w")
    assert [ref.incarnation for ref in others] == [1, 1, 1]
    assert tree.statistics().restarts == 0


def test_counts_grow_and_shrink_with_the_children(supervisor: MakeSupervisor) -> None:
    """With 200 of them, and none is left (rows 45, 59)."""
    tree = supervisor().start()
    for number in range(200):
        tree.add_worker(handler(act), id=number)
        assert len(tree) == number + 1
    assert sum(node.state == "up" for node in tree.tree().children) == 200
    for number in reversed(range(200)):
        tree.remove_child(number)
    assert tree.children() == ()
    assert tree.tree().children == ()


# -- from within ------------------------------------------------------------------------


def test_a_worker_may_administer_others(supervisor: MakeSupervisor) -> None:
    """From a handler and from a task everything works that does not wait for itself."""

    def administer() -> str:
        me = current()
        assert me is not None
        me.supervisor.add_worker(handler(act), id="made")
        me.supervisor.restart_child("made")
        me.supervisor.remove_child("made")
        me.group.add_worker(handler(act), id="sister")
        me.group.restart_child("sister")
        return "done"

    tree = supervisor().start()
    group = tree.add_group("g", [worker_spec(handler(act), id="m")])
    assert group.ask("m", administer) == "done"
    assert tree.children() == ("g",)
    assert group.children() == ("m", "sister")


class Manager(Worker):
    """Adds a child of its own when it starts."""

    def on_start(self) -> None:
        context = current()
        assert context is not None
        context.supervisor.add_worker(handler(act), id=("child", context.incarnation))


def test_a_worker_may_add_others_when_it_starts_in_a_tree_that_runs(
    supervisor: MakeSupervisor,
) -> None:
    """Only in the first start of the tree would it wait for itself (see test_errors)."""
    tree = supervisor().start()
    tree.add_worker(Manager, id="m")
    tree.restart_child("m")
    assert tree.children() == ("m", ("child", 1), ("child", 2))


def test_a_crash_while_it_is_restarted_by_hand_is_no_second_life(
    supervisor: MakeSupervisor,
) -> None:
    """A child that fails as it is asked to stop is started once."""
    gate = Gate()
    tree = supervisor().start()

    def fail() -> None:
        gate.meet()
        raise ValueError

    ref = tree.add_worker(handler(act), id="w", max_restarts=0)
    ref.tell(fail)
    gate.wait_reached()
    restarted = tree._root.errand("restart_child", "w")
    taken(tree)
    gate.open()
    restarted.result(PATIENCE)
    assert ref.incarnation == 2
    assert ref.is_alive()
    assert tree.failed() == ()
