"""Every accepted message has exactly one final outcome, whatever happens to its worker.

The identity of DESIGN promise 7, `accepted == handled + failed + undelivered + pending`,
and for a chain `offered == completed + dropped + failed + in_flight`, held against what
the tests themselves have sent: in storms of senders and crashes, in stops, at bounds,
with retries, with results that found no room. `Scene.check` holds it after every fault
of the other modules, too (`reliability.md`, the head of section 3, and P10).
"""

from __future__ import annotations

import random
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.scenes import (
    MEMBERSHIPS,
    PLACES,
    Boom,
    Place,
    boom,
    incarnation,
    only_in,
    part,
    raising,
)
from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import (
    Backoff,
    DeliveryError,
    Drop,
    MailboxClosed,
    MailboxFull,
    Reject,
    Rejected,
    StartError,
    Stop,
    Worker,
    WorkerExited,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conformance.conftest import MakeScene
    from threadsup._snapshot import Counts

STANDALONE, GROUP, CHAIN = MEMBERSHIPS
PARALLEL = (STANDALONE, GROUP)
PLENTY = 100_000

everywhere = pytest.mark.parametrize("place", MEMBERSHIPS, ids=str)
every_place = pytest.mark.parametrize("place", PLACES, ids=str)
parallel = pytest.mark.parametrize("place", PARALLEL, ids=str)


def together(count: int, run: Callable[[int], None]) -> list[threading.Thread]:
    """Start `count` threads, each with its number."""
    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    """Wait until they are done."""
    for thread in threads:
        thread.join(PATIENCE)


def outcomes(counts: Counts) -> tuple[int, int, int, int]:
    """Return what has become of the messages of a worker."""
    return counts.handled, counts.failed, counts.undelivered, counts.pending


# -- storms ---------------------------------------------------------------------------


@every_place
def test_many_senders_and_many_crashes(scene: MakeScene, place: Place) -> None:
    """Four senders, every tenth message a crash: each message runs once and is counted once."""
    runs: Recorder[int] = Recorder()

    def run(number: int) -> None:
        runs(number)
        if number % 10 == 0:
            raise Boom

    at = scene(place, part("a", restart="permanent"), max_restarts=PLENTY).start()

    def send(sender: int) -> None:
        for number in range(100):
            at.tell("a", partial(run, sender * 100 + number))

    join(together(4, send))
    assert at.answers("a")
    assert sorted(runs.items) == list(range(400))
    counts = at.kept("a").statistics()
    assert (counts.failed, counts.undelivered, counts.restarts) == (40, 0, 40)
    at.check()


def test_a_chain_whose_stages_all_crash(scene: MakeScene) -> None:
    """Items fail at the stage that crashed over them, and nowhere else; all the others come out."""

    def stage_that_fails_at(rest: int) -> Callable[[int], int]:
        def run(item: Any) -> Any:
            if type(item) is int and item % 20 == rest:
                raise Boom
            return item

        return run

    parts = [part(key, stage_that_fails_at(rest)) for key, rest in (("a", 0), ("b", 7), ("c", 13))]
    at = scene(CHAIN, *parts, capacity=5, max_restarts=PLENTY).start()
    entries = ("a", "a", "b", "c")

    def send(sender: int) -> None:
        for item in range(200):
            at.tell(entries[sender], sender * 1000 + item)

    join(together(4, send))
    assert at.chain.drain(PATIENCE)
    items = at.chain.statistics().items
    # Where it entered decides how many stages an item may fail at: 3, 3, 2 or 1.
    assert (items.offered, items.failed, items.in_flight) == (800, 90, 0)
    assert items.completed == len(at.results) == 710
    assert len(set(at.results.items)) == 710
    at.check()


@everywhere
def test_a_stop_in_the_middle_of_a_storm(scene: MakeScene, place: Place) -> None:
    """Whoever sends meanwhile is refused or accounted for; nothing is pending after the end."""
    runs: Recorder[int] = Recorder()

    def run(number: int) -> None:
        runs(number)
        if number % 50 == 0:
            raise Boom

    at = scene(place, part("a", capacity=10), part("b"), max_restarts=PLENTY).start()
    refused: Recorder[str] = Recorder()

    def send(sender: int) -> None:
        number = 0
        while True:
            number += 1
            try:
                at.tell("a", partial(run, sender + 10 * number))
            except MailboxClosed as error:
                refused(str(error))
                return

    threads = together(4, send)
    runs.wait_for(200)
    at.stop()
    join(threads)
    assert len(refused.wait_for(4)) == 4
    counts = at.kept("a").statistics()
    assert counts.handled + counts.failed == len(runs)
    assert counts.accepted == at.sent("a")
    assert len(set(runs.items)) == len(runs)
    at.check()


@pytest.mark.parametrize("seed", range(8))
@every_place
def test_a_random_history(scene: MakeScene, place: Place, seed: int) -> None:
    """Tells, asks, crashes, clean ends and restarts by hand in any order: the sums agree."""
    dice = random.Random(f"{place} {seed}")
    at = scene(place, part("a", restart="permanent"), part("b"), max_restarts=PLENTY).start()
    messages: list[Any] = ["value", "value", boom, raising(SystemExit), lambda: Drop("no need")]
    asked = []
    for _ in range(60):
        key = dice.choice("ab")
        turn = dice.random()
        if turn < 0.1:
            at.restart("a")
        elif key == "b" or turn < 0.5:
            at.tell(key, "value" if key == "b" else dice.choice(messages))
        else:
            asked.append(at.ask(key, dice.choice(messages)))
    assert at.answers("a")
    for future in asked:
        assert future.exception(PATIENCE) is None or future.done()
    at.check(kept=["b"] if place.membership == "chain" else [])


# -- one message ----------------------------------------------------------------------


@everywhere
def test_the_message_in_hand_is_the_only_one_without_an_outcome(
    scene: MakeScene, place: Place
) -> None:
    """While it is in hand it is accepted and nothing else, and its worker says since when."""
    gate = Gate("the work")
    at = scene(place, part("a")).start()
    assert at.kept("a").statistics().in_hand_since is None
    at.tell("a", gate.meet)
    gate.wait_reached()
    at.tell("a", "queued")
    counts = at.kept("a").statistics()
    assert (counts.accepted, *outcomes(counts)) == (2, 0, 0, 0, 1)
    assert counts.in_hand_since is not None
    gate.open()
    assert at.answers("a")
    assert outcomes(at.kept("a").statistics()) == (3, 0, 0, 0)
    at.check(kept=["a"])


@every_place
@pytest.mark.parametrize("works", [True, False])
def test_a_message_that_is_tried_again(scene: MakeScene, place: Place, *, works: bool) -> None:
    """With `max_attempts` it comes first again, as one message: attempts are counted apart."""
    runs: Recorder[int] = Recorder()
    at = scene(place, part("a", max_attempts=3, restart="permanent"), max_restarts=9).start()

    def run() -> str:
        runs(incarnation())
        if not works or incarnation() < 3:
            raise Boom("again")
        return "at last"

    gate = Gate("the work")
    at.tell("a", gate.meet)
    gate.wait_reached()
    at.tell("a", run)
    behind = at.ask("a", incarnation)
    gate.open()
    assert behind.result(PATIENCE) == (3 if works else 4)  # so it was not overtaken
    assert runs.items == [1, 2, 3]
    counts = at.kept("a").statistics()
    assert (counts.failed, counts.retried) == ((0, 2) if works else (1, 2))
    assert len(at.sup.dead_letters()) == (0 if works else 1)
    at.check()


@everywhere
def test_what_is_abandoned_in_hand_has_failed_once(scene: MakeScene, place: Place) -> None:
    """The asker hears of it then; what its worker makes of it later counts for nothing."""
    gate = Gate("the work")
    late: Recorder[str] = Recorder()

    def run() -> str:
        gate.meet()
        late("done after all")
        return "too late"

    at = scene(place, part("a", shutdown=0.05)).start()
    asked = at.ask("a", run)
    gate.wait_reached()
    queued = at.ask("a", "queued")
    at.restart("a")
    assert isinstance(asked.exception(PATIENCE), WorkerExited)
    assert queued.result(PATIENCE) == "queued"
    assert outcomes(at.kept("a").statistics()) == (1, 1, 0, 0)
    gate.open()
    late.wait_for(1)
    assert at.answers("a")
    assert outcomes(at.kept("a").statistics()) == (2, 1, 0, 0)
    assert at.results.items.count("too late") == 0
    at.check()


@everywhere
def test_a_message_that_its_sender_takes_back(scene: MakeScene, place: Place) -> None:
    """A future that is cancelled while its message is queued: never run, undelivered."""
    gate = Gate("the work")
    runs: Recorder[str] = Recorder()
    at = scene(place, part("a")).start()
    at.tell("a", gate.meet)
    gate.wait_reached()
    future = at.ask("a", lambda: runs("ran"))
    assert future.cancel()
    gate.open()
    assert at.answers("a")
    assert runs.items == []
    assert outcomes(at.kept("a").statistics()) == (2, 0, 1, 0)
    at.check(kept=["a"])


# -- what is queued -------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("fate", ["keep", "drop"])
def test_what_is_queued_behind_a_crash(scene: MakeScene, place: Place, fate: str) -> None:
    """It is handled by the next incarnation, or, with `mailbox="drop"`, undelivered."""
    gate = Gate("the work")
    at = scene(place, part("a", mailbox=fate)).start()

    def run() -> None:
        gate.meet()
        raise Boom

    at.tell("a", run)
    gate.wait_reached()
    asked = [at.ask("a", number) for number in range(5)]
    gate.open()
    at.up("a", 2)
    for number, future in enumerate(asked):
        if fate == "keep":
            assert future.result(PATIENCE) == number
        else:
            assert isinstance(future.exception(PATIENCE), WorkerExited)
    kept = 5 if fate == "keep" else 0
    assert at.answers("a")
    assert outcomes(at.kept("a").statistics()) == (kept + 1, 1, 5 - kept, 0)
    at.check()


@everywhere
@pytest.mark.parametrize("on_full", ["wait", "raise", "drop_new", "drop_old"])
def test_what_finds_no_room(scene: MakeScene, place: Place, on_full: str) -> None:
    """It is refused, and then never accepted, or dropped, and then undelivered."""
    gate = Gate("the work")
    runs: Recorder[int] = Recorder()
    at = scene(place, part("a", capacity=2, on_full=on_full)).start()
    at.tell("a", gate.meet)
    gate.wait_reached()
    refused = 0
    for number in range(5):
        try:
            at.tell_nowait("a", partial(runs, number))
        except MailboxFull:
            refused += 1
    gate.open()
    runs.wait_for(2)  # from here on there is room
    assert at.answers("a")
    drops = on_full.startswith("drop")
    assert refused == (0 if drops else 3)
    assert runs.items == ([3, 4] if on_full == "drop_old" else [0, 1])
    assert outcomes(at.kept("a").statistics()) == (4, 0, 3 if drops else 0, 0)
    assert len(at.sup.dead_letters()) == (3 if drops else 0)
    at.check(kept=["a"])


@parallel
@pytest.mark.parametrize("verb", ["remove_child", "stop_child"])
def test_what_is_queued_for_one_that_is_stopped(scene: MakeScene, place: Place, verb: str) -> None:
    """Removed, it is undelivered, and the ref still says so; stopped by hand, it is pending."""
    gate = Gate("the work")
    at = scene(place, part("a", capacity=1), part("b")).start()
    ref = at.ref("a")
    at.tell("a", gate.meet)
    gate.wait_reached()
    asked = at.ask("a", "queued")
    home: Any = at.sup if place == STANDALONE else at.group
    stopping = threading.Thread(target=getattr(home, verb), args=("a",))
    stopping.start()
    with pytest.raises(MailboxClosed):
        at.tell("a", "waits for room until the stop has begun")
    gate.open()
    stopping.join(PATIENCE)
    gone = verb == "remove_child"
    assert outcomes(ref.statistics()) == ((1, 0, 1, 0) if gone else (1, 0, 0, 1))
    with pytest.raises(DeliveryError):
        ref.tell("too late")
    if gone:
        assert isinstance(asked.exception(PATIENCE), WorkerExited)
        at.check(kept=["a", "b"], up=["b"])
    else:
        at.restart("a")
        assert asked.result(PATIENCE) == "queued"
        at.check(kept=["b"])


@everywhere
def test_what_is_queued_survives_a_restart_by_hand_that_fails(
    scene: MakeScene, place: Place
) -> None:
    """It is kept with the worker that was stopped, and handled when it has come up after all."""
    gate = Gate("the work")
    at = scene(place, part("a", capacity=1, start=only_in([2, 3], boom))).start()
    at.tell("a", gate.meet)
    gate.wait_reached()
    asked = at.ask("a", "queued")
    stopping = threading.Thread(target=at.sup.stop_child, args=(at.owner("a"),))
    stopping.start()
    with pytest.raises(MailboxClosed):
        at.tell("a", "waits for room until the stop has begun")
    gate.open()
    stopping.join(PATIENCE)
    for _ in range(2):
        with pytest.raises(StartError):
            at.sup.restart_child(at.owner("a"), PATIENCE)
        assert at.kept("a").statistics().pending == 1
    at.sup.restart_child(at.owner("a"), PATIENCE)
    assert asked.result(PATIENCE) == "queued"
    at.check()


@everywhere
def test_what_is_queued_when_a_scope_gives_up(scene: MakeScene, place: Place) -> None:
    """It is undelivered, with dead letters that say why, and the counts outlive the worker."""
    gate = Gate("the work")
    at = scene(place, part("a"), max_restarts=0).start()

    def run() -> None:
        gate.meet()
        raise Boom

    at.tell("a", run)
    gate.wait_reached()
    asked = [at.ask("a", number) for number in range(5)]
    gate.open()
    assert all(isinstance(future.exception(PATIENCE), WorkerExited) for future in asked)
    at.gave_up("a")
    at.sync()
    assert outcomes(at.kept("a").statistics()) == (0, 1, 5, 0)
    letters = at.sup.dead_letters()
    assert [letter.reason == "failed" for letter in letters].count(False) == 5
    at.check(kept=["a"], up=())


# -- items of a chain -----------------------------------------------------------------


def test_each_way_an_item_can_end(scene: MakeScene) -> None:
    """Completed, dropped, rejected, crashed, failed at the sink: one outcome, at any entry."""
    answers: dict[str, object] = {"drop": Drop("no need"), "reject": Reject("no good")}

    def first(item: Any) -> Any:
        if item == "crash":
            raise Boom
        return answers.get(item, item)

    def save(result: Any) -> None:
        if result == "unsaved":
            raise Boom("full disk")

    at = scene(CHAIN, part("a", first), part("b", first), on_result=save).start()
    for entry in ("a", "b"):
        for item in ("value", "drop", "reject", "crash", "unsaved"):
            future = at.ask(entry, item)
            error = future.exception(PATIENCE)
            if item in {"value", "drop"}:
                assert error is None
                assert type(future.result()) is (Drop if item == "drop" else str)
            else:
                assert isinstance(error, Rejected if item == "reject" else Boom)
    items = at.chain.statistics().items
    assert (items.offered, items.completed, items.dropped, items.failed) == (10, 2, 2, 6)
    at.check()


def test_items_when_a_stage_says_stop(scene: MakeScene) -> None:
    """What is before it is undelivered, what is behind it comes out, its own item is dropped."""
    gate, last = Gate("the middle"), Gate("the last stage")

    def middle(item: Any) -> Any:
        if item == "stop":
            gate.meet()
            return Stop("enough")
        return item

    def slow(item: Any) -> Any:
        if item == "early":
            last.meet()
        return item

    at = scene(CHAIN, part("a"), part("b", middle), part("c", slow)).start()
    early = at.ask("a", "early")
    last.wait_reached()
    stop = at.ask("a", "stop")
    gate.wait_reached()
    late = [at.ask("b", "late"), at.ask("b", "late")]
    gate.open()
    assert type(stop.result(PATIENCE)) is Stop
    assert all(isinstance(future.exception(PATIENCE), WorkerExited) for future in late)
    last.open()
    assert early.result(PATIENCE) == "early"
    at.ended("c")
    at.sync()
    items = at.chain.statistics().items
    assert (items.offered, items.completed, items.dropped, items.failed) == (4, 1, 1, 2)
    at.check(kept=at.ids, up=())


def test_results_that_found_no_room_survive_a_restart(scene: MakeScene) -> None:
    """A stage that is restarted while the next one is full loses nothing and keeps the order."""
    gate = Gate("the last stage")

    def slow(item: Any) -> Any:
        if item == 0:
            gate.meet()
        return item

    at = scene(CHAIN, part("a"), part("b", slow, capacity=1)).start()
    for item in range(6):
        at.tell("a", item)
    gate.wait_reached()
    for number in (2, 3):
        at.restart("a")
        assert at.incarnation("a") == number
    items = at.chain.statistics().items
    assert (items.offered, items.completed, items.in_flight) == (6, 0, 6)
    gate.open()
    assert at.chain.drain(PATIENCE)
    assert at.results.items == list(range(6))
    at.check(kept=["b"])


def test_items_of_a_chain_that_is_stopped_full(scene: MakeScene) -> None:
    """What is in hand is finished as far as there is room; the rest of the items have failed."""
    gate = Gate("the last stage")

    def slow(item: Any) -> Any:
        gate.meet()
        return item

    at = scene(CHAIN, part("a"), part("b", slow), capacity=2).start()
    futures = [at.ask("a", item) for item in range(5)]
    gate.wait_reached()
    stopping = threading.Thread(target=at.stop)
    stopping.start()
    gate.open()
    stopping.join(PATIENCE)
    done = [future.exception(PATIENCE) for future in futures]
    assert done[0] is None
    failed = [error for error in done if error is not None]
    assert all(isinstance(error, WorkerExited) for error in failed)
    items = at.chain.statistics().items
    assert (items.offered, items.failed, items.in_flight) == (5, len(failed), 0)
    at.check(kept=["a", "b"])


# -- sums -----------------------------------------------------------------------------


class Fragile(Worker):
    """A worker that crashes over some messages."""

    def on_receive(self, message: Any) -> Any:
        if message == "crash":
            raise Boom
        return message


def test_the_counts_of_a_tree_are_the_sums_of_its_parts(scene: MakeScene) -> None:
    """A worker, a group and a chain, with crashes and restarts: nothing is counted elsewhere."""
    at = scene(CHAIN, part("a"), part("b"), max_restarts=PLENTY).start()
    budget: Any = {"max_restarts": PLENTY, "backoff": Backoff.none()}
    team = at.sup.add_group("team", strategy="one_for_one", **budget)
    for key in ("x", "y"):
        team.add_worker(Fragile, id=key)
    alone = at.sup.add_worker(Fragile, id="alone", **budget)
    for number in range(40):
        message = "crash" if number % 8 == 0 else number
        team.tell("xy"[number % 2], message)
        alone.tell(message)
        at.tell("a", boom if message == "crash" else message)
    for ask in (team["x"].ask, team["y"].ask, alone.ask):
        assert ask("done?", PATIENCE) == "done?"
    assert at.answers("a")
    of_tree, of_chain, of_team = at.sup.statistics(), at.chain.statistics(), team.statistics()
    parts = [of_chain, of_team, alone.statistics(), at._outside.statistics()]
    for count in ("accepted", "handled", "failed", "undelivered", "pending", "restarts"):
        assert getattr(of_tree, count) == sum(getattr(each, count) for each in parts)
        stages, members = of_chain.stages.values(), of_team.members.values()
        assert getattr(of_chain, count) == sum(getattr(each, count) for each in stages)
        assert getattr(of_team, count) == sum(getattr(each, count) for each in members)
    assert (of_team.failed, alone.statistics().failed, of_chain.items.failed) == (5, 5, 5)
    for key in ("team", "alone"):
        at.sup.remove_child(key, PATIENCE)
    at.check()
