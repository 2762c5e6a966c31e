"""Which replica of a stage gets an item, what waits for whom, and what the sender is told.

Chains as users make them, with replicas that are held, busy, crashed or gone.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import note_sleepers, run
from threadsup import (
    CallingSelfError,
    Crashed,
    Drop,
    Emit,
    MailboxClosed,
    MailboxFull,
    Worker,
    current,
    events,
    stage,
)
from threadsup._policy.routing import stable_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow
    from tests.runtime.forcing import Running

SPREAD = ("round_robin", "random", "least_loaded")
EVERY = (*SPREAD, "partition", "broadcast")
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one", "before_for_one")


def same(item: Any) -> Any:
    return item


def first(item: Any) -> Any:
    return item[0]


def here() -> int:
    """Return the number of the replica whose thread this is."""
    context = current()
    assert context is not None
    assert isinstance(context.id, tuple)
    return context.id[1]  # type: ignore[return-value]


def keys(count: int) -> list[int]:
    """Return one key for each replica."""
    found = {stable_hash(key) % count: key for key in range(100)}
    return [found[at] for at in range(count)]


def key_of(routing: Any) -> dict[str, Any]:
    """Return the options of a stage with that routing."""
    return {"routing": routing, "key": first} if routing == "partition" else {"routing": routing}


class Seats:
    """A stage whose replicas hold each item until they are let through, one by one or all."""

    def __init__(self, count: int, then: Callable[[Any], Any] = same) -> None:
        self.gates = [Gate(f"replica {n}") for n in range(count)]
        self.seen: Recorder[tuple[int, Any]] = Recorder()
        self._then = then

    def __call__(self, item: Any) -> Any:
        number = here()
        self.seen((number, item))
        self.gates[number].meet()
        return self._then(item)

    def open(self) -> None:
        for gate in self.gates:
            gate.open()

    def wait_busy(self, *numbers: int) -> None:
        """Wait until these replicas have an item in hand."""
        for number in numbers:
            self.gates[number].wait_reached()

    def of(self, number: int) -> list[Any]:
        return [item for at, item in self.seen.items if at == number]


def waiting(monkeypatch: pytest.MonkeyPatch, send: Callable[..., Any], *args: Any) -> Running[Any]:
    """Send from a thread of its own and return when that is about to sleep for room."""
    asleep: Recorder[threading.Thread] = Recorder()
    note_sleepers(monkeypatch, lambda _: asleep(threading.current_thread()))
    sender = run(send, *args)
    asleep.wait_until(lambda threads: any(map(sender.is_, threads)), "sender that waits")
    return sender


def ended(f: Flow, replica: tuple[str, int], times: int = 1) -> None:
    """Wait until a replica has ended so often."""

    def over(told: list[Any]) -> bool:
        path = (f.chain.id, *replica)
        return sum(isinstance(e, events.WorkerEnded) and e.path == path for e in told) >= times

    f.events.wait_until(over, f"end of {replica}")


def in_order(items: list[Any]) -> bool:
    """Whether the numbers of each key come in order."""
    return all(
        numbers == sorted(numbers)
        for key in {key for key, _ in items}
        for numbers in [[number for k, number in items if k == key]]
    )


# -- who gets an item -----------------------------------------------------------------------


@pytest.mark.parametrize("routing", SPREAD)
def test_busy_replicas_work_at_the_same_time(flow: MakeFlow, routing: Any) -> None:
    """As many items are in hand as there are replicas, each in its own thread."""
    seats = Seats(3)
    f = flow(stage(seats, id="a", workers=3, routing=routing, capacity=1))
    for number in range(6):
        f.chain.tell(number, timeout=PATIENCE)
    seats.wait_busy(0, 1, 2)
    assert {at for at, _ in seats.seen.items} == {0, 1, 2}
    seats.open()
    assert f.chain.drain(10)
    assert sorted(f.results.items) == list(range(6))
    assert f.items() == {"offered": 6, "completed": 6}


def test_round_robin_is_the_default_and_gives_each_the_same(flow: MakeFlow) -> None:
    """Nobody starves (row 144)."""
    shares: Counter[int] = Counter()
    f = flow(stage(lambda _: shares.update([here()]), id="a", workers=4, capacity=400))
    assert f.chain["a"].routing == "round_robin"
    for number in range(400):
        f.chain.tell(number)
    assert f.chain.drain(10)
    assert shares == {0: 100, 1: 100, 2: 100, 3: 100}


def test_random_gives_each_about_the_same(flow: MakeFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody starves (row 144)."""
    monkeypatch.setattr("threadsup._chain.line.chance", random.Random(7).random)
    f = flow(stage(same, id="a", workers=4, routing="random", capacity=400))
    for number in range(400):
        f.chain.tell(number)
    assert f.chain.drain(10)
    shares = [each.handled for each in f.chain.statistics().stages["a"].replicas.values()]
    assert sum(shares) == 400
    assert all(70 <= share <= 130 for share in shares)


def test_least_loaded_avoids_who_is_busy(flow: MakeFlow) -> None:
    """One item in hand is something to do, though nothing is queued there."""
    seats = Seats(3)
    f = flow(stage(seats, id="a", workers=3, routing="least_loaded"))
    f.chain.tell("long")
    (busy,) = [at for at, _ in seats.seen.wait_for(1)]
    free = [at for at in range(3) if at != busy]
    for at in free:
        seats.gates[at].open()
    for number in range(20):  # each is finished before the next is told
        assert f.chain.submit(number).result(5) == number
    assert seats.of(busy) == ["long"]
    seats.open()
    assert f.chain.drain(10)


@pytest.mark.parametrize("routing", ["round_robin", "least_loaded", "random"])
def test_a_slow_replica_gets_less_and_not_nothing(flow: MakeFlow, routing: Any) -> None:
    """The others take what it has no room for; freed, it takes its share again (row 144)."""
    seats = Seats(2)
    f = flow(stage(seats, id="a", workers=2, routing=routing, capacity=2))
    seats.gates[1].open()
    while not seats.of(0):
        f.chain.tell("any", timeout=PATIENCE)
    for number in range(50):
        f.chain.tell(number, timeout=PATIENCE)
    assert len(seats.of(0)) == 1
    seats.gates[0].open()
    assert f.chain.drain(10)
    for number in range(50):
        f.chain.tell(number, timeout=PATIENCE)
        assert f.chain.drain(10)
    share = len(seats.of(0))
    assert share >= 10
    assert len(f.results) == f.items()["completed"]


def test_items_of_one_key_have_one_replica_and_their_order(flow: MakeFlow) -> None:
    """Through a stage before and one behind, both with several of their own (row 151)."""
    seen: Recorder[tuple[int, Any]] = Recorder()

    def note(item: Any) -> Any:
        seen((here(), item))
        return item

    f = flow(
        stage(same, id="a"),
        stage(note, id="b", workers=3, routing="partition", key=first),
        capacity=2,
    )
    items = [(n % 7, n) for n in range(140)]
    for item in items:
        f.chain.tell(item, timeout=PATIENCE)
    assert f.chain.drain(10)
    for key in range(7):
        assert len({at for at, item in seen.items if item[0] == key}) == 1
        assert {at for at, item in seen.items if item[0] == key} == {stable_hash(key) % 3}
    assert in_order(f.results.items)
    assert sorted(f.results.items) == sorted(items)


@pytest.mark.parametrize("routing", EVERY)
def test_an_item_told_in_the_middle_is_routed_like_any_other(flow: MakeFlow, routing: Any) -> None:
    """`tell(at=)` is another way in, not another way round."""
    f = flow(stage(same, id="a"), stage(same, id="b", workers=2, **key_of(routing)))
    futures = [f.chain.submit((key, 1), at="b") for key in keys(2)]
    values: list[Any] = [outcome(future) for future in futures]
    once: list[Any] = [(key, 1) for key in keys(2)]
    assert values == ([[item, item] for item in once] if routing == "broadcast" else once)
    handled = [each.handled for each in f.chain.statistics().stages["b"].replicas.values()]
    assert handled == [2, 2] if routing == "broadcast" else sum(handled) == 2
    if routing in {"round_robin", "partition"}:
        assert handled == [1, 1]


# -- full and dead ones are passed over, or waited for ---------------------------------------


@pytest.mark.parametrize("routing", SPREAD)
@pytest.mark.parametrize("inner", [False, True])
def test_a_full_replica_is_passed_over(flow: MakeFlow, routing: Any, inner: bool) -> None:
    """By senders and by the stage before it: one that is stuck stops nobody."""
    seats = Seats(3)
    before = [stage(same, id="before")] if inner else []
    f = flow(*before, stage(seats, id="a", workers=3, routing=routing, capacity=1))
    for number in range(6):
        f.chain.tell(number, timeout=PATIENCE)
    seats.wait_busy(0, 1, 2)
    seats.gates[1].open()
    seats.gates[2].open()
    for number in range(6, 30):
        f.chain.tell(number, timeout=PATIENCE)
    assert len(seats.of(0)) == 1
    seats.open()
    assert f.chain.drain(10)
    assert sorted(f.results.items) == list(range(30))
    assert len(seats.of(0)) >= 2
    assert f.items() == {"offered": 30, "completed": 30}


class Reborn(Worker):
    """A replica that crashes when told to, and comes back only when it is let."""

    gate: Gate
    ready: Recorder[int]

    def on_start(self) -> None:
        context = current()
        assert context is not None
        if context.incarnation > 1:
            self.gate.meet()

    def on_receive(self, message: Any) -> Any:
        if message[1] == "crash":
            raise ValueError("crash")
        return (*message, here())


def reborn() -> type[Reborn]:
    """Return a class of its own, with a gate of its own."""
    return type("Reborn", (Reborn,), {"gate": Gate("the start of the next incarnation")})


@pytest.mark.parametrize("routing", SPREAD)
@pytest.mark.parametrize("inner", [False, True])
def test_a_dead_replica_is_passed_over(flow: MakeFlow, routing: Any, inner: bool) -> None:
    """While it is down its siblings get everything; back again it gets its share."""
    kind = reborn()
    before = [stage(same, id="before")] if inner else []
    f = flow(*before, stage(kind, id="a", workers=3, routing=routing))
    future = f.chain.submit((0, "crash"))
    assert outcome(future).startswith("ValueError")
    kind.gate.wait_reached()  # down, and its scope knows
    values = [f.chain.submit((n, "")).result(5) for n in range(30)]
    working = {at for _, _, at in values}
    assert len(working) == 2
    kind.gate.open()
    (dead,) = {0, 1, 2} - working

    def back(told: list[Any]) -> bool:
        path = (f.chain.id, "a", dead)
        return events.WorkerStarted in {type(e) for e in told if getattr(e, "path", 0) == path}

    f.events.wait_until(lambda told: back(told[-1:]), "second start")
    while f.chain.submit((0, "")).result(5)[-1] != dead:
        pass
    assert f.chain.drain(10)


def test_a_partition_waits_for_one_that_is_dead(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its items queue, then their sender waits; others go on; nothing is lost or reordered."""
    kind = reborn()
    f = flow(stage(kind, id="a", workers=2, routing="partition", key=first, capacity=2))
    one, other = keys(2)
    f.chain.tell((one, "crash"))
    kind.gate.wait_reached()
    for number in range(2):
        f.chain.tell((one, number))
    with pytest.raises(MailboxFull):
        f.chain.tell_nowait((one, "no"))
    sender = waiting(monkeypatch, f.chain.tell, (one, 2))
    for number in range(10):
        assert f.chain.submit((other, number)).result(5) == (other, number, 1)
    assert not sender.over
    kind.gate.open()
    sender.result()
    assert f.chain.drain(10)
    assert [item for item in f.results.items if item[0] == one] == [(one, n, 0) for n in range(3)]
    assert f.items() == {"offered": 14, "completed": 13, "failed": 1}


def test_a_broadcast_waits_for_one_that_is_dead(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets everything when it is back, and is the measure meanwhile (F52)."""
    kind = reborn()

    class One(kind):  # type: ignore[misc, valid-type]
        def on_receive(self, message: Any) -> Any:
            if message[1] == "crash" and here() == 0:
                raise ValueError("crash")
            return here()

    f = flow(stage(One, id="a", workers=2, routing="broadcast", capacity=2))
    crashed = f.chain.submit((0, "crash"))
    kind.gate.wait_reached()
    futures = [f.chain.submit((0, n)) for n in range(2)]
    sender = waiting(monkeypatch, f.chain.submit, (0, 2))
    ended(f, ("a", 0))
    kind.gate.open()
    futures.append(sender.result())
    assert [outcome(future) for future in futures] == [[0, 1]] * 3
    assert outcome(crashed).startswith("ValueError")
    assert f.chain.drain(10)
    assert sorted(f.results.items) == [0, 0, 0, 1, 1, 1, 1]
    assert f.items() == {"offered": 4, "completed": 3, "failed": 1}


@pytest.mark.parametrize("routing", SPREAD)
def test_one_that_is_stopped_by_hand_is_passed_over(flow: MakeFlow, routing: Any) -> None:
    """It keeps what it has; when it is started again it goes on with that."""
    seats = Seats(2)
    f = flow(stage(seats, id="a", workers=2, routing=routing, capacity=3))
    for number in range(6):
        f.chain.tell(number)
    seats.wait_busy(0, 1)
    stop = run(f.chain.stop_child, ("a", 0))
    seats.gates[0].open()
    stop.result()
    seats.gates[1].open()
    for number in range(6, 26):
        f.chain.tell(number, timeout=PATIENCE)
    handled = len(seats.of(0))
    f.chain.restart_child(("a", 0))
    assert f.chain.drain(10)
    assert sorted(f.results.items) == list(range(26))
    assert len(seats.of(0)) >= handled
    assert f.items() == {"offered": 26, "completed": 26}


@pytest.mark.parametrize("routing", SPREAD)
@pytest.mark.parametrize("inner", [False, True])
def test_nobody_spins_while_one_is_held_and_the_other_full(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, routing: Any, inner: bool
) -> None:
    """The room of one that is held is nobody's: who waits sleeps until there is other room."""
    seats = Seats(2)
    before = [stage(same, id="before", capacity=1)] if inner else []
    f = flow(*before, stage(seats, id="a", workers=2, routing=routing, capacity=1))
    f.chain.stop_child(("a", 0))
    room = 2 + 2 * inner
    for number in range(room):
        f.chain.tell(number, timeout=PATIENCE)
    seats.wait_busy(1)
    sender = waiting(monkeypatch, f.chain.tell, room)
    assert not sender.over
    f.chain.restart_child(("a", 0))
    seats.gates[0].open()
    sender.result()
    seats.open()
    assert f.chain.drain(10)
    assert sorted(f.results.items) == list(range(room + 1))


@pytest.mark.parametrize("routing", EVERY)
def test_a_stage_that_is_held_as_a_whole_refuses_senders_and_keeps_results(
    flow: MakeFlow, routing: Any
) -> None:
    """As far as there is room; then the stage before it waits, too (F44)."""
    f = flow(
        stage(same, id="before", capacity=1),
        stage(same, id="a", workers=2, capacity=1, **key_of(routing)),
    )
    f.chain.stop_child("a")
    one, other = keys(2)
    with pytest.raises(MailboxClosed):
        f.chain.tell((one, 0), at="a")
    room = 3 if routing == "broadcast" else 4
    items = [((one, other)[n % 2], n) for n in range(room)]
    for item in items:
        f.chain.tell(item, timeout=PATIENCE)
    with pytest.raises(MailboxFull):
        f.chain.tell((one, "no"), timeout=0.001)
    f.chain.restart_child("a")
    assert f.chain.drain(10)
    copies = 2 if routing == "broadcast" else 1
    assert sorted(f.results.items) == sorted(items * copies)
    assert f.items() == {"offered": room, "completed": room}


@pytest.mark.parametrize("routing", EVERY)
def test_a_replica_that_fills_its_own_stage_is_told(flow: MakeFlow, routing: Any) -> None:
    """To wait there would be to wait for itself; a nowait is refused as anywhere."""
    told: Recorder[type[BaseException]] = Recorder()
    gate = Gate("the siblings")

    def fill(item: Any) -> Any:
        context = current()
        assert context is not None
        if item[1] != "fill":
            gate.meet()
            return item
        for send in (context.chain.tell, context.chain.tell_nowait):
            try:
                while True:
                    send((item[0], "more"))
            except (CallingSelfError, MailboxFull) as error:
                told(type(error))
        gate.open()
        return item

    workers = 1 if routing == "broadcast" else 2
    f = flow(stage(fill, id="a", workers=workers, capacity=1, **key_of(routing)))
    f.chain.tell((keys(2)[0], "fill"))
    assert told.wait_for(2) == [CallingSelfError, MailboxFull]
    assert f.chain.drain(10)


# -- order by key ---------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("attempts", [1, 2])
def test_order_by_key_outlives_a_crash(flow: MakeFlow, strategy: Any, attempts: int) -> None:
    """Of the replica that crashes, and of all who are restarted with it (row 151)."""
    tries: Counter[Any] = Counter()

    def stumble(item: Any) -> Any:
        tries[item] += 1
        if item[1] % 10 == 5 and tries[item] < 2:
            raise ValueError(item)
        return item

    f = flow(
        stage(same, id="a", workers=2, routing="partition", key=first),
        stage(stumble, id="b", workers=3, routing="partition", key=first, max_attempts=attempts),
        stage(same, id="c", workers=2, routing="partition", key=first),
        strategy=strategy,
        capacity=3,
    )
    items = [(n % 5, n) for n in range(60)]
    for item in items:
        f.chain.tell(item, timeout=PATIENCE)
    assert f.chain.drain(20)
    lost = [item for item in items if attempts == 1 and item[1] % 10 == 5]
    assert sorted(f.results.items) == sorted(set(items) - set(lost))
    assert in_order(f.results.items)
    counts = {"offered": 60, "completed": 60 - len(lost), "failed": len(lost)}
    assert f.items() == {name: count for name, count in counts.items() if count}


def test_order_by_key_is_kept_while_one_hangs(flow: MakeFlow) -> None:
    """Others overtake, those of its key do not."""
    seats = Seats(2)
    f = flow(stage(seats, id="a", workers=2, routing="partition", key=first))
    one, other = keys(2)
    for number in range(5):
        f.chain.tell((one, number))
        f.chain.tell((other, number))
    seats.wait_busy(0, 1)
    seats.gates[1].open()
    f.results.wait_for(5)
    assert f.results.items == [(other, n) for n in range(5)]
    seats.open()
    assert f.chain.drain(10)
    assert f.results.items[5:] == [(one, n) for n in range(5)]


# -- keys that are none ---------------------------------------------------------------------


def fussy(item: Any) -> Any:
    """A key function that raises, or returns what is no key."""
    if item == "raise":
        raise LookupError("no key")
    if item == "exit":
        raise SystemExit(3)
    return None if item == "junk" else str(item)


@pytest.mark.parametrize("count", [1, 2])
def test_a_sender_hears_that_its_item_has_no_key(flow: MakeFlow, count: int) -> None:
    """At the call, and nothing was offered (row 143, F53)."""
    f = flow(stage(same, id="a", workers=count, routing="partition", key=fussy))
    for send in (f.chain.tell, f.chain.tell_nowait, f.chain.submit):
        with pytest.raises(LookupError, match="no key"):
            send("raise")
        with pytest.raises(TypeError, match="must be a str, bytes, an int or a tuple of these"):
            send("junk")
        with pytest.raises(SystemExit):
            send("exit")
    assert f.chain.submit("good").result(5) == "good"
    assert f.items() == {"offered": 1, "completed": 1}


@pytest.mark.parametrize("count", [1, 2])
def test_a_result_without_a_key_is_the_failure_of_its_item(flow: MakeFlow, count: int) -> None:
    """The stage that made it lives, whatever was raised (row 143, F53)."""
    f = flow(
        stage(same, id="a"), stage(same, id="b", workers=count, routing="partition", key=fussy)
    )
    futures = [f.chain.submit(item) for item in (1, "raise", 2, "junk", 3, "exit", 4)]
    told = [outcome(future) for future in futures]
    assert [told[n] for n in (0, 2, 4, 6)] == [1, 2, 3, 4]
    assert told[1] == "LookupError: no key"
    assert told[3].startswith("TypeError: a key must be a str")
    assert told[5] == "exited"
    assert f.chain["a"].incarnation == 1
    assert f.chain.drain(10)
    assert f.items() == {"offered": 7, "completed": 4, "failed": 3}
    assert f.letters() == [(n, ("chain", "a"), "failed") for n in ("raise", "junk", "exit")]


def test_one_of_several_without_a_key_fails_its_item(flow: MakeFlow) -> None:
    """The others go on, and the item has failed."""
    f = flow(
        stage(lambda item: Emit(*item), id="a"),
        stage(same, id="b", workers=2, routing="partition", key=fussy),
    )
    future = f.chain.submit([1, "raise", 2])
    good = f.chain.submit([3, 4])
    assert outcome(future) == "LookupError: no key"
    assert outcome(good) == [3, 4]
    assert f.chain.drain(10)
    assert sorted(f.results.items) == [1, 2, 3, 4]
    assert f.items() == {"offered": 2, "completed": 1, "failed": 1}


@pytest.mark.parametrize("ordered", [True, False])
def test_in_a_stream_it_is_an_error_like_any_other(flow: MakeFlow, ordered: bool) -> None:
    """Raised at its place, skipped, or returned (F53)."""
    f = flow(stage(same, id="a", workers=2, routing="partition", key=fussy))
    items = [1, "raise", 2, "junk", 3]
    assert sorted(f.chain.map(items, ordered=ordered, errors="skip")) == [1, 2, 3]
    found = list(f.chain.map(items, ordered=ordered, errors="return"))
    kinds = [type(each) for each in found]
    assert sorted(kind.__name__ for kind in kinds) == ["LookupError", "TypeError", *["int"] * 3]
    if ordered:
        assert kinds == [int, LookupError, int, TypeError, int]
    with pytest.raises((LookupError, TypeError)):
        list(f.chain.map(items, ordered=ordered))
    assert list(f.chain.map([5])) == [5]


def test_an_exit_in_a_key_function_passes_through_a_stream(flow: MakeFlow) -> None:
    """It is for the thread that iterates, not for an item."""
    f = flow(stage(same, id="a", workers=2, routing="partition", key=fussy))
    with pytest.raises(SystemExit):
        list(f.chain.map([1, "exit", 2], errors="return"))


def test_a_key_that_changes_between_calls_loses_nothing(flow: MakeFlow) -> None:
    """It is asked for again while an item waits: the order is the user's loss (F53)."""
    numbers = iter(range(10_000))
    f = flow(
        stage(same, id="a"),
        stage(same, id="b", workers=3, routing="partition", key=lambda _: next(numbers)),
        capacity=1,
    )
    for number in range(60):
        f.chain.tell(number, timeout=PATIENCE)
    assert f.chain.drain(10)
    assert sorted(f.results.items) == list(range(60))


def test_a_key_that_fails_only_while_its_result_waits_costs_its_item(flow: MakeFlow) -> None:
    """It was kept, and can go nowhere; those behind it go on (F53)."""
    calls: Counter[Any] = Counter()
    seats = Seats(1)

    def key(item: Any) -> Any:
        calls[item] += 1
        if item == "bad" and calls[item] > 1:
            raise ValueError("changed its mind")
        return 1

    f = flow(stage(same, id="a"), stage(seats, id="b", routing="partition", key=key), capacity=1)
    futures = [f.chain.submit(item, timeout=PATIENCE) for item in (1, 2, "bad", 3)]
    assert outcome(futures[2]) == "exited"
    seats.open()
    assert [outcome(futures[n]) for n in (0, 1, 3)] == [1, 2, 3]
    assert f.chain.drain(10)
    assert f.items() == {"offered": 4, "completed": 3, "failed": 1}
    assert f.chain["a"].incarnation == 1


# -- broadcast ------------------------------------------------------------------------------


def test_every_replica_gets_every_item(flow: MakeFlow) -> None:
    """In the order they were told; futures hold lists, in the order of the replicas."""
    seen: Recorder[tuple[int, Any]] = Recorder()

    def note(item: Any) -> Any:
        seen((here(), item))
        return (item, here())

    f = flow(stage(note, id="a", workers=3, routing="broadcast", capacity=2))
    futures = [f.chain.submit(number) for number in range(10)]
    assert [outcome(f) for f in futures] == [[(n, 0), (n, 1), (n, 2)] for n in range(10)]
    for at in range(3):
        assert [item for where, item in seen.items if where == at] == list(range(10))
    assert f.chain.drain(10)
    assert len(f.results) == 30
    assert f.items() == {"offered": 10, "completed": 10}
    assert f.chain.statistics().stages["a"].accepted == 30


def test_a_broadcast_in_the_middle_multiplies(flow: MakeFlow) -> None:
    """Each copy goes its own way; twice in a row there are more; a stream gets all."""
    f = flow(
        stage(same, id="a"),
        stage(lambda item: (item, here()), id="b", workers=2, routing="broadcast"),
        stage(lambda item: (*item, here()), id="c", workers=2, routing="broadcast"),
        stage(same, id="d", workers=2),
    )
    four = [("x", b, c) for b in range(2) for c in range(2)]
    assert f.chain.submit("x").result(5) == four
    assert list(f.chain.map("xy")) == four + [("y", *rest) for _, *rest in four]
    assert f.chain.drain(10)
    assert f.items() == {"offered": 3, "completed": 3}


def test_a_replica_that_drops_its_copy_leaves_the_others(flow: MakeFlow) -> None:
    """The list is shorter; where all drop it is the item that was dropped."""
    f = flow(
        stage(
            lambda item: Drop() if here() < item else here(), id="a", workers=3, routing="broadcast"
        )
    )
    assert [f.chain.submit(n).result(5) for n in range(4)] == [[0, 1, 2], [1, 2], [2], []]
    assert f.chain.drain(10)
    assert f.items() == {"offered": 4, "completed": 3, "dropped": 1}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_replica_that_crashes_with_its_copy_names_the_failure(
    flow: MakeFlow, strategy: Any
) -> None:
    """The others finish theirs; the future raises what was raised (F52)."""

    def crash_one(item: Any) -> Any:
        if item == "crash" and here() == 1:
            raise ValueError("the second")
        return here()

    f = flow(stage(crash_one, id="a", workers=3, routing="broadcast"), strategy=strategy)
    futures = [f.chain.submit(item) for item in (1, "crash", 2)]
    assert [outcome(each) for each in futures] == [[0, 1, 2], "ValueError: the second", [0, 1, 2]]
    assert f.chain.drain(10)
    assert sorted(f.results.items) == [0, 0, 0, 1, 1, 2, 2, 2]
    assert f.items() == {"offered": 3, "completed": 2, "failed": 1}


def test_a_slow_replica_holds_a_broadcast_up_until_it_leaves(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody's bound is the bound of the slowest; gone, it frees the others (row 142)."""
    seats = Seats(2)
    f = flow(stage(seats, id="a", workers=2, routing="broadcast", capacity=1))
    seats.gates[0].open()
    futures = [f.chain.submit(n, timeout=PATIENCE) for n in range(2)]
    seats.wait_busy(1)
    sender = waiting(monkeypatch, f.chain.submit, 2)
    assert len(seats.of(0)) <= 2
    resize = run(f.chain.resize, "a", 1)
    futures.append(sender.result())  # though the slow one has its item in hand still
    assert outcome(futures[2]) == [2]
    seats.open()
    resize.result()
    # What the slow one had in hand it finished; what was queued there went with it.
    assert [outcome(future) for future in futures] == [[0, 0], [1], [2]]
    assert f.chain.drain(10)
    assert f.items() == {"offered": 3, "completed": 3}


# -- at the bound ---------------------------------------------------------------------------


def alternating(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `random` pick one replica and then the other."""
    chances = iter([0.0, 0.99] * 50)
    monkeypatch.setattr("threadsup._chain.line.chance", lambda: next(chances))


def policy(per: str, on_full: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of the stage and of the chain."""
    options: dict[str, Any] = {"on_full": on_full}
    return (options, {}) if per == "stage" else ({}, options)


@pytest.mark.parametrize("per", ["chain", "stage"])
@pytest.mark.parametrize("routing", [*SPREAD, "partition"])
@pytest.mark.parametrize("on_full", ["drop_new", "drop_old"])
@pytest.mark.parametrize("inner", [False, True])
def test_the_surplus_is_exactly_what_is_dropped(
    flow: MakeFlow,
    monkeypatch: pytest.MonkeyPatch,
    per: str,
    routing: Any,
    on_full: Any,
    inner: bool,
) -> None:
    """Of ten items two replicas have two in hand and four queued: four are lost (row 136)."""
    alternating(monkeypatch)
    seats, done = Seats(2), Recorder[Any]()
    of_stage, of_chain = policy(per, on_full)
    before = [stage(same, id="before", capacity=10)] if inner else []
    last = stage(seats, id="a", workers=2, capacity=2, **key_of(routing), **of_stage)
    f = flow(*before, last, **of_chain)
    one, other = keys(2)
    items = [((one, other)[n % 2], n) for n in range(10)]
    futures = [f.chain.submit(item) for item in items[:2]]
    seats.wait_busy(0, 1)
    futures += [f.chain.submit(item) for item in items[2:]]
    for future in futures:
        future.add_done_callback(done)
    done.wait_for(4)
    seats.open()
    told = [outcome(future) for future in futures]
    assert [told[n] for n in (0, 1)] == items[:2]
    lost = [item for item, value in zip(items, told, strict=True) if value == "exited"]
    if on_full == "drop_new":
        assert lost == items[6:]
    else:
        assert len(lost) == 4
        assert items[9] not in lost
    assert f.chain.drain(10)
    assert f.items() == {"offered": 10, "completed": 6, "failed": 4}
    assert sorted(f.letters()) == [
        (n, ("chain", "a"), "dropped at the bound") for n in sorted(lost)
    ]


@pytest.mark.parametrize("per", ["chain", "stage"])
@pytest.mark.parametrize("routing", [*SPREAD, "partition"])
def test_under_raise_the_surplus_is_refused(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, per: str, routing: Any
) -> None:
    """The sender knows at once of each that is too many, and the chain of none (row 136)."""
    alternating(monkeypatch)
    seats = Seats(2)
    of_stage, of_chain = policy(per, "raise")
    f = flow(stage(seats, id="a", workers=2, capacity=2, **key_of(routing), **of_stage), **of_chain)
    one, other = keys(2)
    items = [((one, other)[n % 2], n) for n in range(10)]
    for item in items[:2]:
        f.chain.tell(item)
    seats.wait_busy(0, 1)
    for item in items[2:6]:
        f.chain.tell(item)
    for item in items[6:]:
        with pytest.raises(MailboxFull):
            f.chain.tell(item, timeout=60)
    seats.open()
    assert f.chain.drain(10)
    assert sorted(f.results.items) == sorted(items[:6])
    assert f.items() == {"offered": 6, "completed": 6}
    assert f.letters() == []


@pytest.mark.parametrize(("on_full", "kept"), [("drop_new", [0, 1, 2]), ("drop_old", [0, 8, 9])])
@pytest.mark.parametrize("inner", [False, True])
def test_a_broadcast_drops_the_copies_that_are_too_many(
    flow: MakeFlow, on_full: Any, kept: list[int], inner: bool
) -> None:
    """Each replica by itself, and an item that lost a copy has failed (row 136)."""
    seats, done = Seats(2), Recorder[Any]()
    before = [stage(same, id="before", capacity=10)] if inner else []
    last = stage(seats, id="a", workers=2, routing="broadcast", capacity=2, on_full=on_full)
    f = flow(*before, last)
    futures = [f.chain.submit(0)]
    seats.wait_busy(0, 1)
    futures += [f.chain.submit(n) for n in range(1, 10)]
    for future in futures:
        future.add_done_callback(done)
    done.wait_for(7)
    seats.open()
    told = [outcome(future) for future in futures]
    assert [n for n, value in enumerate(told) if value == [n, n]] == kept
    assert told.count("exited") == 7
    assert f.chain.drain(10)
    assert f.items() == {"offered": 10, "completed": 3, "failed": 7}
    assert f.chain.statistics().stages["a"].undelivered == 14


@pytest.mark.parametrize("routing", EVERY)
def test_under_raise_results_wait_as_ever(flow: MakeFlow, routing: Any) -> None:
    """What was accepted is not lost between two stages for want of room."""
    seats = Seats(2)
    f = flow(
        stage(same, id="before", capacity=20),
        stage(seats, id="a", workers=2, capacity=1, on_full="raise", **key_of(routing)),
    )
    one, other = keys(2)
    items = [((one, other)[n % 2], n) for n in range(12)]
    for item in items:
        f.chain.tell(item)
    seats.wait_busy(0)
    seats.open()
    assert f.chain.drain(10)
    copies = 2 if routing == "broadcast" else 1
    assert sorted(f.results.items) == sorted(items * copies)
    assert f.items() == {"offered": 12, "completed": 12}


# -- back-pressure end to end ---------------------------------------------------------------


@pytest.mark.parametrize("last", EVERY)
@pytest.mark.parametrize("routing", SPREAD)
def test_a_blocked_last_stage_stops_the_first_through_replicas(
    flow: MakeFlow, routing: Any, last: Any
) -> None:
    """As many as fit in hands and queues of all, and not one more (rows 131, 132; F42)."""
    seats = Seats(2)
    f = flow(
        stage(same, id="a", workers=3, routing=routing, capacity=1),
        stage(seats, id="b", workers=2, capacity=2, **key_of(last)),
    )
    at_last = 3 if last == "broadcast" else 6
    room = 3 * 2 + at_last
    one, other = keys(2)
    items = [((one, other)[n % 2], n) for n in range(room)]
    # By one sender: several at once may each put one too many.
    for item in items[:at_last]:
        f.chain.tell(item, at="b", timeout=PATIENCE)
    seats.wait_busy(0, 1)
    for item in items[at_last:]:
        f.chain.tell(item, timeout=PATIENCE)
    with pytest.raises(MailboxFull):
        f.chain.tell((one, "no"), timeout=0.001)
    assert len(seats.seen) == 2
    seats.open()
    assert f.chain.drain(10)
    copies = 2 if last == "broadcast" else 1
    assert sorted(f.results.items) == sorted(items * copies)
    assert f.items() == {"offered": room, "completed": room}


@pytest.mark.parametrize("routing", EVERY)
def test_what_a_stage_drops_gives_its_place_back(flow: MakeFlow, routing: Any) -> None:
    """Replicas that drop everything keep the demand moving (row 133)."""
    f = flow(
        stage(same, id="a", workers=2, capacity=1),
        stage(lambda _: Drop(), id="b", workers=2, capacity=1, **key_of(routing)),
    )
    for number in range(200):
        f.chain.tell((number, number), timeout=PATIENCE)
    assert f.chain.drain(10)
    assert f.items() == {"offered": 200, "dropped": 200}


@pytest.mark.parametrize("routing", EVERY)
def test_a_flood_stays_within_its_bounds(flow: MakeFlow, routing: Any) -> None:
    """Many senders to few replicas: each that waits may be one too many, and no more (F41)."""
    senders, each, capacity, workers = 4, 100, 2, 2
    most: Recorder[int] = Recorder()

    def look(item: Any) -> Any:
        found = f.chain.statistics().stages["a"]
        most(max(replica.pending for replica in found.replicas.values()))
        return item

    f = flow(stage(look, id="a", workers=workers, capacity=capacity, **key_of(routing)))

    def send(sender: int) -> None:
        for number in range(each):
            f.chain.tell((sender, number), timeout=PATIENCE)

    for sender in [run(send, n) for n in range(senders)]:
        sender.result()
    assert f.chain.drain(10)
    assert max(most.items) <= capacity + senders
    total = senders * each
    assert f.items() == {"offered": total, "completed": total}
    copies = workers if routing == "broadcast" else 1
    assert len(f.results) == total * copies
    if routing in {"partition", "broadcast"}:
        assert in_order([item for item in f.results.items if routing == "partition"])


@pytest.mark.parametrize("routing", EVERY)
def test_senders_that_wait_are_all_let_in(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, routing: Any
) -> None:
    """Nobody is forgotten in any line, though each stands in several (rows 131, 144)."""
    seats = Seats(3)
    f = flow(stage(seats, id="a", workers=3, capacity=1, **key_of(routing)))
    three = keys(3)
    fill = 2 if routing == "broadcast" else 6
    for number in range(fill):
        f.chain.tell((three[number % 3], number), timeout=PATIENCE)
    seats.wait_busy(0, 1, 2)
    senders = [waiting(monkeypatch, f.chain.tell, (three[n % 3], n)) for n in range(fill, fill + 6)]
    for gate in seats.gates:
        gate.open()
    for sender in senders:
        sender.result()
    assert f.chain.drain(10)
    assert f.items() == {"offered": fill + 6, "completed": fill + 6}


@pytest.mark.parametrize("routing", EVERY)
def test_senders_that_wait_are_refused_when_the_chain_is_closed(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, routing: Any
) -> None:
    """What is in is finished, what waits outside is not let in (row 159, F44)."""
    seats = Seats(2)
    f = flow(stage(seats, id="a", workers=2, capacity=1, **key_of(routing)))
    one, other = keys(2)
    room = 2 if routing == "broadcast" else 4
    items = [((one, other)[n % 2], n) for n in range(room)]
    for item in items:
        f.chain.tell(item, timeout=PATIENCE)
    seats.wait_busy(0, 1)
    sender = waiting(monkeypatch, f.chain.tell, (one, "late"))
    f.chain.close()
    with pytest.raises(MailboxClosed, match="the chain is closed"):
        sender.result()
    seats.open()
    f.wait_ended()
    assert f.items() == {"offered": room, "completed": room}
    assert {type(reason) for reason in f.reasons("a", 2)} != {Crashed}
