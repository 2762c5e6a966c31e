"""Names for the children of a tree: given, found without a lock, gone with who had them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import act, boom
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import outcome, taken, together
from threadsup import (
    Crashed,
    DuplicateChildError,
    NotRunningError,
    SpecError,
    UnknownChildError,
    current,
    events,
    handler,
    stage,
    worker_spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeSupervisor
    from threadsup import Supervisor
    from threadsup.events import Event


def test_a_name_is_found_from_anywhere_in_the_tree(supervisor: MakeSupervisor) -> None:
    """One table for all supervisors of a tree, and another one for another tree."""
    tree, other = supervisor().start(), supervisor().start()
    nest = tree.add_supervisor("nest")
    ref = nest.add_worker(handler(act))
    nest.register("cache", ref)
    tree.register(("cache", 2), ref)
    assert tree.whereis("cache") is nest.whereis("cache") is tree.whereis(("cache", 2)) is ref
    asker = tree.add_worker(handler(act))
    assert asker.ask(lambda: current().supervisor.whereis("cache").id) == ref.id  # type: ignore[union-attr]
    with pytest.raises(UnknownChildError):
        other.whereis("cache")


def test_anything_that_is_a_child_has_a_name(supervisor: MakeSupervisor) -> None:
    """A worker, a member, a replica's chain, a group and a nested supervisor."""
    tree = supervisor()
    group = tree.add_group("g", [worker_spec(handler(act), id="m")])
    chain = tree.add_chain("c", [stage(act)])
    nest = tree.add_supervisor("nest")
    handles = {"group": group, "member": group["m"], "chain": chain, "nested": nest}
    for name, handle in handles.items():
        tree.register(name, handle)
        tree.register(name, handle)  # once more does nothing
    tree.start()
    assert {name: tree.whereis(name) for name in handles} == handles


def test_a_name_that_is_taken_is_refused(supervisor: MakeSupervisor) -> None:
    """Whoever has it keeps it, and the error says who (row 19)."""
    tree = supervisor().start()
    one, other = tree.add_worker(handler(act), id="one"), tree.add_worker(handler(act), id="other")
    tree.register("cache", one)
    with pytest.raises(DuplicateChildError, match="'cache' is taken by 'one'"):
        tree.register("cache", other)
    assert tree.whereis("cache") is one
    tree.unregister("cache")
    tree.register("cache", other)
    assert tree.whereis("cache") is other


def test_an_unknown_name_is_told_with_the_nearest(supervisor: MakeSupervisor) -> None:
    """What was probably meant stands in the error."""
    tree = supervisor().start()
    tree.register("cache", tree.add_worker(handler(act)))
    with pytest.raises(UnknownChildError, match="'cahce'; did you mean 'cache'"):
        tree.whereis("cahce")
    with pytest.raises(UnknownChildError, match="did you mean 'cache'"):
        tree.unregister("cach")
    odds: tuple[Any, ...] = (3, ("a",), [], None)
    for odd in odds:
        with pytest.raises(UnknownChildError):
            tree.whereis(odd)


@pytest.mark.parametrize("name", ["", "a\nb", None, 1.5, ["a"], "x" * 1000])
def test_what_is_no_name_is_refused(supervisor: MakeSupervisor, name: Any) -> None:
    """As an id is."""
    tree = supervisor().start()
    ref = tree.add_worker(handler(act))
    with pytest.raises(SpecError, match="name: "):
        tree.register(name, ref)


@pytest.mark.parametrize("handle", [None, "w", 3, object()])
def test_what_is_no_child_has_no_name(supervisor: MakeSupervisor, handle: Any) -> None:
    """Nor has a proxy, or an id."""
    tree = supervisor().start()
    with pytest.raises(TypeError, match="handle: must be a WorkerRef"):
        tree.register("name", handle)


def test_a_stranger_has_no_name(supervisor: MakeSupervisor) -> None:
    """A child of another tree, one that was removed, and the tree itself."""
    tree, other = supervisor().start(), supervisor().start()
    removed = tree.add_worker(handler(act), id="w")
    tree.remove_child("w")
    tree.add_worker(handler(act), id="w")  # of one id with it
    gone = tree.add_supervisor("nest")
    below = gone.add_group("g").add_worker(handler(act))
    tree.remove_child("nest")
    for handle in (removed, below, gone, other.add_worker(handler(act)), other.add_group("g")):
        with pytest.raises(UnknownChildError, match="no child of this tree"):
            tree.register("name", handle)
    with pytest.raises(UnknownChildError):
        tree.whereis("name")


def test_a_name_stays_over_restarts_and_stops(supervisor: MakeSupervisor) -> None:
    """By a crash, by hand, and with its supervisor (rows 21, 22 and 109)."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest", [worker_spec(handler(act), id="w")])
    ref = nest.worker("w")
    tree.register("name", ref)
    ref.tell(boom)
    assert tree.whereis("name").ask("up") == "up"
    nest.stop_child("w")
    assert tree.whereis("name") is ref
    nest.restart_child("w")
    tree.restart_child("nest")
    assert tree.whereis("name").ask("up") == "up"
    tree.stop_child("nest")
    assert tree.whereis("name") is ref


def test_names_go_with_who_had_them(supervisor: MakeSupervisor) -> None:
    """When the child is removed, itself or with what it is in (row 20); and are free then."""

    def goes(remove: Callable[[], object], handle: object) -> None:
        tree.register("name", handle)
        tree.register("name too", handle)
        remove()
        for name in ("name", "name too"):
            with pytest.raises(UnknownChildError):
                tree.whereis(name)

    tree = supervisor().start()
    goes(lambda: tree.remove_child("w"), tree.add_worker(handler(act), id="w"))
    group = tree.add_group("g")
    goes(lambda: group.remove_child("m"), group.add_worker(handler(act), id="m"))
    goes(lambda: tree.remove_child("g"), group.add_worker(handler(act), id="m"))
    goes(lambda: tree.remove_child("c"), tree.add_chain("c", [stage(act)]))
    ends: tuple[Callable[[], object], ...] = (
        lambda: tree.remove_child("nest"),
        lambda: tree.supervisor("nest").stop(),
        lambda: tree.restart_child("nest"),  # what was added later is lost
    )
    for end in ends:
        if "nest" in tree:
            tree.remove_child("nest")
        nest = tree.add_supervisor("nest")
        inner = nest.add_supervisor("inner")
        tree.register("inner", inner)
        goes(end, inner.add_group("g").add_worker(handler(act)))
        with pytest.raises(UnknownChildError):
            tree.whereis("inner")


def test_the_name_of_a_temporary_worker_goes_with_it(supervisor: MakeSupervisor) -> None:
    """It is forgotten when it ends, its names too."""
    tree = supervisor().start()
    group = tree.add_group("g", strategy="one_for_one")
    for home in (tree, group):
        ref = home.add_worker(handler(act), id="w", restart="temporary")
        tree.register("name", ref)
        ref.tell(boom)
        assert isinstance(ref.wait(PATIENCE), Crashed)
        taken(tree)
        with pytest.raises(UnknownChildError):
            tree.whereis("name")


def test_with_the_tree_all_names_go(supervisor: MakeSupervisor) -> None:
    """And nobody gets one any more; what is looked up is unknown, not an error of its own."""
    tree = supervisor().start()
    ref = tree.add_worker(handler(act))
    tree.register("name", ref)
    tree.stop()
    with pytest.raises(UnknownChildError):
        tree.whereis("name")
    with pytest.raises(NotRunningError):
        tree.register("name", ref)
    with pytest.raises(NotRunningError):
        tree.unregister("name")


def test_one_name_that_many_want_goes_to_one(supervisor: MakeSupervisor) -> None:
    """The supervisor's thread is where it is decided."""
    tree = supervisor().start()
    refs = [tree.add_worker(handler(act)) for _ in range(8)]
    found = together(8, lambda at: outcome(tree.register, "name", refs[at]))
    assert found.count(None) == 1
    assert sum(isinstance(each, DuplicateChildError) for each in found) == 7
    assert tree.whereis("name") is refs[found.index(None)]


@pytest.mark.parametrize("first", ["register", "remove"])
def test_a_child_that_is_removed_as_it_is_named_leaves_no_name(
    supervisor: MakeSupervisor, first: str
) -> None:
    """In both orders: the removal takes the name, or the naming is refused."""
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w")
    tree.stop_child("w")  # so that a removal is done when it is taken
    gate = Gate()
    tree._services.request(lambda _: gate.meet(), None)
    gate.wait_reached()
    said: Recorder[Any] = Recorder()
    calls: dict[str, Callable[[], Any]] = {
        "register": lambda: said(outcome(tree.register, "name", ref)),
        "remove": lambda: tree.remove_child("w"),
    }
    order = [first, *(calls.keys() - {first})]
    waiting = _in_order(tree, [calls[each] for each in order])
    gate.open()
    for thread in waiting:
        thread.join(PATIENCE)
    (answer,) = said.wait_for(1)
    assert isinstance(answer, UnknownChildError) if first == "remove" else answer is None
    with pytest.raises(UnknownChildError):
        tree.whereis("name")


def _in_order(tree: Supervisor, calls: list[Callable[[], object]]) -> list[Any]:
    """Make each call in a thread of its own, its request behind that of the one before."""
    threads = []
    for call in calls:
        requested = threading.Event()
        request = tree._services.loop.request

        def note(*what: Any, request: Any = request, requested: Any = requested) -> None:
            request(*what)
            requested.set()

        tree._services.loop.request = note  # type: ignore[method-assign, assignment]
        threads.append(threading.Thread(target=call))
        threads[-1].start()
        assert requested.wait(PATIENCE)
        tree._services.loop.request = request  # type: ignore[method-assign]
    return threads


def test_naming_is_told_to_nobody(supervisor: MakeSupervisor) -> None:
    """It is no event: nothing has started or ended."""
    tree = supervisor().start()
    seen: Recorder[Event] = Recorder()
    tree.subscribe(seen)
    tree.register("name", tree.add_group("g"))
    tree.unregister("name")
    tree.stop()
    assert [type(event) for event in seen.wait_for(1)] == [events.SupervisorEnded]
