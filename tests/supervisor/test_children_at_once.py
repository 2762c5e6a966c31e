"""Children are administered by many threads at once: the calls are calls in some order."""

from __future__ import annotations

import random
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import act
from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.linear import Call, History, is_linearizable
from tests.supervisor.trees import outcome, together
from threadsup import (
    DuplicateChildError,
    NotRunningError,
    StartError,
    UnknownChildError,
    Worker,
    WorkerRef,
    handler,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeSupervisor


def test_who_waits_behind_a_removal_is_told_that_it_is_gone(supervisor: MakeSupervisor) -> None:
    """Everything asked of a child meanwhile has an answer; the id is free after it."""
    gate = Gate()
    tree = supervisor().start()
    ref = tree.add_worker(handler(lambda _: gate.meet()), id="w")
    ref.tell("")
    gate.wait_reached()
    results: Recorder[Any] = Recorder()
    calls = (tree.remove_child, tree.restart_child, tree.stop_child, tree.remove_child)
    threads = []
    for call in calls:
        threads.append(threading.Thread(target=lambda call=call: results(outcome(call, "w"))))
        threads[-1].start()
        if len(threads) == 1:
            assert isinstance(outcome(tree.add_worker, handler(act), id="w"), DuplicateChildError)
    stopping = ref.stop(block=False)
    gate.open()
    for thread in threads:
        thread.join()
    answers = results.items
    assert sum(answer is None for answer in answers) >= 1
    assert all(answer is None or type(answer) is UnknownChildError for answer in answers)
    assert stopping.result(PATIENCE) in {True, False}  # who asks by ref meets no error
    tree.add_worker(handler(act), id="w")


@pytest.mark.parametrize("seed", range(6))
def test_calls_at_once_are_calls_in_some_order(supervisor: MakeSupervisor, seed: int) -> None:
    """Eight threads add, stop, restart and remove the same ids: linearizable (F63)."""
    tree = supervisor().start()
    group = tree.add_group("g", strategy="one_for_one")
    history = History()
    places: dict[str, Any] = {"tree": tree, "group": group}

    def act_on(place: Any, verb: str, key: str) -> Any:
        if verb == "add":
            return outcome(place.add_worker, handler(act), id=key)
        return outcome(getattr(place, f"{verb}_child"), key)

    def run(number: int) -> None:
        dice = random.Random(f"{seed}-{number}")
        for _ in range(12):
            place, key = dice.choice(["tree", "group"]), dice.choice("ab")
            verb = dice.choice(["add", "stop", "restart", "remove"])
            history.record((place, key), verb, partial(act_on, places[place], verb, key))

    together(8, run)
    for place, key in history.keys:
        calls = history.of((place, key))
        final = "present" if key in places[place] else "absent"
        assert is_linearizable(calls, final), [str(call) for call in calls]


def test_a_history_that_is_not_linearizable_is_told() -> None:
    """The check of the test above can fail: two adds, one after the other, both went well."""
    twice = [Call("add", "ok", 0, 1), Call("add", "ok", 2, 3)]
    assert not is_linearizable(twice, "present")
    assert is_linearizable([*twice, Call("remove", "ok", 0, 4)], "present")
    assert not is_linearizable([Call("add", "ok", 0, 1)], "absent")
    assert not is_linearizable([Call("stop", "ok", 0, 1)], "absent")
    assert is_linearizable([Call("stop", "UnknownChildError", 0, 1)], "absent")


def test_stop_races_everything_else(supervisor: MakeSupervisor) -> None:
    """Eight threads administer while the tree is stopped: all return, nothing is left up."""
    tree = supervisor().start()
    group = tree.add_group("g", strategy="rest_for_one")
    refs: Recorder[Any] = Recorder()

    def run(number: int) -> None:
        if number == 7:
            tree.stop()
            return
        places: list[Any] = [tree, group]
        for turn in range(10):
            for place in places:
                ref = outcome(place.add_worker, handler(act), id=(number, turn))
                refs(ref)
                outcome(place.restart_child, (number, turn))
            if turn % 2:
                outcome(tree.remove_child, (number, turn))

    together(8, run)
    allowed = (NotRunningError, StartError)
    for ref in refs.items:
        if isinstance(ref, BaseException):
            assert isinstance(ref, allowed), ref
        else:
            assert not ref.is_alive()
            assert ref.wait(0) is not None


def test_a_look_at_a_child_that_is_being_removed_is_unknown_or_found(
    supervisor: MakeSupervisor,
) -> None:
    """Reading and administering race a removal without any other error (F81)."""
    tree = supervisor().start()

    def run(number: int) -> None:
        for turn in range(20):
            if number == 0:
                tree.add_worker(handler(act), id="w")
                tree.remove_child("w")
                continue
            calls: list[Callable[[], object]] = [
                partial(tree.worker, "w"),
                partial(tree.group, "w"),
                partial(tree.stop_child, "w"),
                lambda: str(tree.tree()),
                tree.statistics,
                lambda: repr(tree["w"]),
            ]
            result = outcome(calls[(number + turn) % len(calls)])
            assert not isinstance(result, BaseException) or isinstance(result, UnknownChildError)

    together(4, run)


class Slow(Worker):
    """Starts when its gate is opened."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def on_start(self) -> None:
        self._gate.meet()


@pytest.mark.parametrize("place", ["tree", "group"])
@pytest.mark.parametrize("verb", ["stop", "remove", "restart"])
def test_a_child_that_is_starting_can_be_taken_back(
    supervisor: MakeSupervisor, place: str, verb: str
) -> None:
    """Both callers are answered: the one who added it is told that it did not come up."""
    gate, added, done = Gate(), Recorder[Any](), Recorder[Any]()
    tree = supervisor().start()
    parent: Any = {"tree": tree, "group": tree.add_group("g", strategy="one_for_one")}[place]
    adding = threading.Thread(
        target=lambda: added(outcome(parent.add_worker, Slow, gate, id="w", start_timeout=60.0))
    )
    adding.start()
    gate.wait_reached()
    call = getattr(parent, f"{verb}_child")
    calling = threading.Thread(target=lambda: done(outcome(call, "w")))
    calling.start()
    gate.open()
    for thread in (adding, calling):
        thread.join(PATIENCE)
    (first,), (second,) = added.items, done.items
    if isinstance(first, WorkerRef):
        assert second is None
        assert ("w" in parent) == (verb != "remove")
    else:
        assert type(first) in {StartError, NotRunningError}
        assert "w" not in parent
        assert second is None or isinstance(second, UnknownChildError)
