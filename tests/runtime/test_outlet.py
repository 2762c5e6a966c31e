"""Handing on: from the hand to the next stage or the sink, with one outcome each.

The next stage here is an inlet with one mailbox that has no consumer: what comes into it
stays, and room in it is made by taking something out.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate, Recorder
from tests.runtime.forcing import note_sleepers
from tests.runtime.lives import NEVER, GatedHand, Lives, counts_of
from threadsup._errors import Rejected, WorkerExited
from threadsup._exits import Abandoned, Normal, Shutdown
from threadsup._results import Drop, Reject, Stop
from threadsup._runtime.aside import Aside
from threadsup._runtime.emitting import Treatment
from threadsup._runtime.family import Ledger
from threadsup._runtime.inlet import BadKey, Inlet
from threadsup._runtime.mailbox import Mailbox, Token
from threadsup._runtime.outlet import Outlet
from threadsup._runtime.pykka_compat import Envelope, fail
from threadsup._runtime.stage import StageBehaviour
from threadsup._runtime.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from threadsup._runtime.actor import Life
    from threadsup._specs import OnFull

GIVEN_UP = Abandoned(1.0, "message")


def same(item: Any) -> Any:
    return item


class Nobody:
    """The services of a tree, none of which is needed here."""

    def post(self, call: Callable[[Any], None], argument: object) -> None:
        raise AssertionError("nothing here is for the supervisor")

    def set_timer(self, owner: Any, key: None, number: int, at: float | None) -> None:
        raise AssertionError("nothing here takes time")

    def settle(self, future: Any, value: Any = None, error: BaseException | None = None) -> None:
        raise AssertionError("no item here becomes many")


def only(count: int, turn: int, load: Callable[[int], float]) -> Iterator[int]:
    """Pick among replicas, of which there is one."""
    del turn, load
    return iter(range(count))


class Stages:
    """Lives of one replica of a stage, and the mailbox of the one behind it."""

    def __init__(
        self, capacity: int | None = None, on_full: OnFull = "wait", last: bool = False
    ) -> None:
        self.lives = Lives()
        self.lost: list[tuple[Any, str]] = []
        self.next = Mailbox("next", capacity, on_full, self._lose)
        self.results: Recorder[Any] = Recorder()
        self.passed: Recorder[Token] = Recorder()
        """Tokens that have come through."""
        ledger = Ledger(Nobody().settle)
        self.inlet = Inlet("next", "round_robin", ledger, pick=only)
        self.inlet.on_full = on_full
        self.inlet.link((self.next,), (self.next,))
        sink = self.results if last else None
        self.outlet = Outlet(ledger, None if last else self.inlet, sink, self.passed)
        self._parts = self.outlet, Aside(self.lives.mailbox, Nobody()), Timings(), Treatment()

    def _lose(self, raws: list[Any], why: str) -> None:
        for raw in raws:
            self.lost.append((message_of(raw), why))
            if type(raw) is Envelope:
                fail(raw.reply_to, WorkerExited(why))

    def begin(self, fn: Callable[[Any], Any] = same, hand: Any = None) -> Life:
        """Begin the next life of the stage."""
        life = self.lives.make("stage", hand)
        return self.lives.launch(life, StageBehaviour(life, *self._parts, function=fn))

    def take(self) -> Any:
        """Take out of the next mailbox, and wake whoever waits for that room."""
        raw = self.next.get(timeout=5)
        self.next.wake_senders()
        return raw

    def count(self, *names: str) -> tuple[int, ...]:
        """Return the sums of these counters over all lives."""
        of_each = [counts_of(life) for life in self.lives.all]
        return tuple(sum(counts[name] for counts in of_each) for name in names)

    def left(self) -> list[Any]:
        """Return what is in the next mailbox, and close it."""
        return [message_of(raw) for raw in self.next.close("over") if type(raw) is not Token]


def message_of(raw: Any) -> Any:
    return raw.message if type(raw) is Envelope else raw


def asleep(monkeypatch: pytest.MonkeyPatch) -> Recorder[threading.Thread | None]:
    threads: Recorder[threading.Thread | None] = Recorder()
    note_sleepers(monkeypatch, lambda _: threads(threading.current_thread()))
    return threads


def wait_asleep(threads: Recorder[threading.Thread | None], life: Life) -> None:
    threads.wait_until(lambda told: life.thread in told, "stage that waits for room")


# -- results --------------------------------------------------------------------------


def test_a_result_goes_to_the_next_mailbox_with_its_future() -> None:
    """What is told goes on bare; what is asked keeps its envelope, with the new message."""
    stages = Stages()
    life = stages.begin(lambda item: item * 2)
    stages.lives.mailbox.put(1)
    future = stages.lives.ask(2)
    assert stages.take() == 2
    envelope = stages.take()
    assert (envelope.message, envelope.reply_to) == (4, future)
    assert future.running()
    stages.lives.stop(life)
    assert stages.lives.counts() == {"handled": 2}
    assert stages.count("completed", "handed") == (0, 2)


@pytest.mark.parametrize("last", [False, True])
def test_a_marker_ends_the_item_where_it_is(last: bool) -> None:
    """Neither the next mailbox nor the sink sees it."""
    stages = Stages(last=last)
    life = stages.begin()
    dropped, stopped = Drop(), Stop()
    futures = [stages.lives.ask(item) for item in (dropped, Reject("no"), stopped)]
    assert futures[0].result(5) is dropped
    assert isinstance(futures[1].exception(5), Rejected)
    assert futures[2].result(5) is stopped
    assert stages.lives.end(life).reason == Normal()
    assert stages.count("dropped", "completed", "handed") == (2, 0, 0)
    assert stages.lives.counts() == {"handled": 2, "failed": 1}
    assert (stages.left(), stages.results.items) == ([], [])


def test_the_last_stage_completes_items() -> None:
    """They reach the sink while they are in hand, and their futures after."""
    stages = Stages(last=True)
    life = stages.begin(lambda item: item + 1)
    stages.lives.mailbox.put(1)
    assert stages.lives.ask(2).result(5) == 3
    assert stages.results.items == [2, 3]
    stages.lives.stop(life)
    assert stages.count("completed", "handed") == (2, 0)


def test_a_token_is_through_behind_the_results_before_it() -> None:
    """Who waits for it finds these with the next stage."""
    stages = Stages()
    there: list[Any] = []
    stages.outlet.pass_token = lambda token: there.append((token, stages.next.pending))
    life = stages.begin()
    token = Token(lambda: None)
    stages.lives.mailbox.put(1)
    stages.lives.mailbox.put_token(token)
    stages.lives.stop(life, drain=True)
    assert there[0] == (token, 1)


def test_a_token_does_not_pass_a_result_that_waits_for_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor in the next life, to which the result is left."""
    threads = asleep(monkeypatch)
    stages = Stages(1)
    stages.next.put("full")
    token = Token(lambda: None)
    stages.lives.mailbox.put(1)
    stages.lives.mailbox.put_token(token)
    life = stages.begin()
    wait_asleep(threads, life)
    stages.lives.stop(life)
    assert stages.passed.items == []
    life = stages.begin()
    wait_asleep(threads, life)
    assert stages.passed.items == []
    assert [stages.take() for _ in range(2)] == ["full", 1]
    assert stages.passed.wait_for(1) == [token]
    stages.lives.stop(life)


# -- a mailbox that does not take it ----------------------------------------------------


@pytest.mark.parametrize("on_full", ["wait", "raise"])
def test_a_result_waits_for_room(monkeypatch: pytest.MonkeyPatch, on_full: OnFull) -> None:
    """Also where senders would be refused: what was accepted is not lost inside."""
    threads = asleep(monkeypatch)
    stages = Stages(1, on_full)
    life = stages.begin()
    for item in (1, 2, 3):
        stages.lives.mailbox.put(item)
    wait_asleep(threads, life)
    assert stages.outlet.kept == 1
    assert [stages.take() for _ in range(3)] == [1, 2, 3]
    assert stages.outlet.kept == 0
    stages.lives.stop(life)
    assert stages.lives.counts() == {"handled": 3}


def test_a_mailbox_that_is_shut_takes_what_is_on_its_way() -> None:
    """It is held with what is queued; senders are refused, the stage before it is not."""
    stages = Stages()
    stages.next.shut("held")
    life = stages.begin()
    stages.lives.mailbox.put(1)
    assert stages.take() == 1
    stages.lives.stop(life)
    assert stages.lost == []


def test_a_mailbox_that_is_shut_is_as_full_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage before it waits, also when it is shut while that waits."""
    threads = asleep(monkeypatch)
    stages = Stages(1)
    life = stages.begin()
    for item in (1, 2, 3):
        stages.lives.mailbox.put(item)
    wait_asleep(threads, life)
    stages.next.shut("held")
    threads.wait_until(lambda told: told.count(life.thread) == 2, "stage that waits again")
    assert [stages.take() for _ in range(2)] == [1, 2]
    stages.next.open()
    assert stages.take() == 3
    stages.lives.stop(life)


@pytest.mark.parametrize("waits", [False, True])
def test_a_mailbox_that_is_closed_takes_over_what_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """It is undelivered there, whether it came late or had waited for room."""
    threads = asleep(monkeypatch)
    stages = Stages(1)
    if waits:
        stages.next.put("before")
    else:
        stages.next.close("over")
    life = stages.begin()
    future = stages.lives.ask(1)
    if waits:
        wait_asleep(threads, life)
        stages.next.close("over")
    with pytest.raises(WorkerExited, match="over"):
        future.result(5)
    stages.lives.stop(life)
    assert stages.lost == [(1, "over")]
    assert stages.next.undelivered == 1 + waits
    assert stages.lives.counts() == {"handled": 1}


@pytest.mark.parametrize(("on_full", "kept"), [("drop_new", [1]), ("drop_old", [3])])
def test_a_mailbox_that_drops_never_makes_a_stage_wait(on_full: OnFull, kept: list[int]) -> None:
    """It drops at its bound, for the stage before it as for senders."""
    stages = Stages(1, on_full)
    life = stages.begin()
    for item in (1, 2, 3):
        stages.lives.mailbox.put(item)
    stages.lives.stop(life, drain=True)
    assert stages.left() == kept
    assert len(stages.lost) == 2


# -- asked to stop while it waits -------------------------------------------------------


def test_a_stage_asked_to_stop_while_it_waits_leaves_its_result_to_the_next_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which hands it on before it takes anything; however often that happens."""
    threads = asleep(monkeypatch)
    stages = Stages(1)
    for item in (1, 2, 3):
        stages.lives.mailbox.put(item)
    for _ in range(3):
        life = stages.begin()
        wait_asleep(threads, life)
        assert stages.lives.stop(life) == Shutdown("told to")
        assert stages.outlet.kept == 1
    life = stages.begin()
    assert [stages.take() for _ in range(3)] == [1, 2, 3]
    stages.lives.stop(life)
    assert stages.lives.counts() == {"handled": 3}
    assert stages.count("handed") == (3,)


def test_a_stage_asked_to_stop_before_it_waits_does_not() -> None:
    """The other order: it was asked while it handled the item."""
    stages = Stages(1)
    stages.next.put("full")
    gate = Gate("the stage")

    def hold(item: Any) -> Any:
        gate.meet()
        return item

    life = stages.begin(hold)
    stages.lives.mailbox.put(1)
    gate.wait_reached()
    life.ask_to_stop(Shutdown(), NEVER)
    gate.open()
    stages.lives.end(life)
    assert stages.outlet.kept == 1
    stages.take()
    stages.lives.stop(stages.begin())
    assert stages.left() == [1]


def test_room_made_while_a_stage_is_asked_to_stop_is_used_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whichever it notices first, its result is handed on by one of two lives."""
    threads = asleep(monkeypatch)
    stages = Stages(1)
    stages.next.put("full")
    life = stages.begin()
    stages.lives.mailbox.put(1)
    wait_asleep(threads, life)
    life.token.ask(Shutdown(), NEVER)
    assert stages.take() == "full"
    stages.lives.stop(life)
    stages.lives.stop(stages.begin())
    assert stages.left() == [1]


# -- given up on ----------------------------------------------------------------------


def keep_at(outlet: Outlet, where: str) -> Gate:
    """Hold whoever finds no room, before or after it has kept its result."""
    gate = Gate(f"{where} keeping")
    keep = outlet.keep

    def held(result: Any, inlet: Any, life: Life, *, within: bool = True) -> bool:
        if where == "before":
            gate.meet()
        kept = keep(result, inlet, life, within=within)
        if where == "after":
            gate.meet()
        return kept

    outlet.keep = held  # type: ignore[method-assign]
    return gate


def test_a_result_kept_before_the_fence_is_the_next_lifes() -> None:
    """The one that was given up on finds it gone, and leaves."""
    stages = Stages(1)
    gate = keep_at(stages.outlet, "after")
    stages.next.put("full")
    old = stages.begin()
    future = stages.lives.ask(1)
    gate.wait_reached()
    old.fence(GIVEN_UP)
    new = stages.begin()
    assert [message_of(stages.take()) for _ in range(2)] == ["full", 1]
    gate.open()
    stages.lives.end(old)
    stages.lives.stop(new)
    assert not future.done()
    assert (stages.left(), stages.lost) == ([], [])
    assert stages.lives.counts() == {"handled": 1}


def test_a_result_that_comes_after_the_fence_is_undelivered() -> None:
    """Nobody would look for it: the next life has looked already."""
    stages = Stages(1)
    gate = keep_at(stages.outlet, "before")
    stages.next.put("full")
    old = stages.begin()
    future = stages.lives.ask(1)
    gate.wait_reached()
    old.fence(GIVEN_UP)
    new = stages.begin()
    gate.open()
    stages.lives.end(old)
    assert isinstance(future.exception(5), WorkerExited)
    assert stages.outlet.kept == 0
    assert stages.take() == "full"
    stages.lives.stop(new)
    assert [item for item, _ in stages.lost] == [1]
    assert stages.next.undelivered == 1


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_stage_that_has_ended_for_good_leaves_no_result(where: str) -> None:
    """Given up before its result was kept, that is undelivered; after, it is taken out."""
    stages = Stages(1)
    gate = keep_at(stages.outlet, where)
    stages.next.put("full")
    life = stages.begin()
    future = stages.lives.ask(1)
    gate.wait_reached()
    life.fence(GIVEN_UP)
    left = stages.outlet.take_out()
    gate.open()
    stages.lives.end(life)
    assert [(message_of(raw), inlet) for raw, inlet in left] == [(1, stages.inlet)] * (
        where == "after"
    )
    for raw, inlet in left:
        inlet.adopt([raw])  # room or not
    lost = [(1, "its stage was abandoned before it was handed on")]
    assert stages.lost == (lost if where == "before" else [])
    stages.next.close("over")
    assert future.done() == (where == "before")
    assert stages.outlet.kept == 0


def test_a_result_of_a_stage_that_was_given_up_on_counts_for_nothing() -> None:
    """The fence came first: the item has failed, and nothing of it is handed on (F28)."""
    stages = Stages()
    gate = Gate("the stage")

    def hold(item: Any) -> Any:
        gate.meet()
        return item

    life = stages.begin(hold)
    future = stages.lives.ask(1)
    gate.wait_reached()
    life.fence(GIVEN_UP)
    assert isinstance(future.exception(5), WorkerExited)
    gate.open()
    stages.lives.end(life)
    assert stages.left() == []
    assert stages.lives.counts() == {"failed": 1}


def test_a_result_that_was_faster_than_the_fence_is_handed_on() -> None:
    """The item had left the hand: its way is not cut off."""
    stages = Stages()
    hand = GatedHand(at="after pop")
    life = hand.life = stages.begin(hand=hand)
    future = stages.lives.ask(1)
    hand.gate.wait_reached()
    life.fence(GIVEN_UP)
    hand.gate.open()
    stages.lives.end(life)
    assert not future.done()
    assert stages.left() == [1]
    assert stages.lives.counts() == {"handled": 1}


@pytest.mark.parametrize("first", ["fence", "sink"])
def test_an_item_in_the_sink_is_completed_or_has_failed(first: str) -> None:
    """The sink runs with the item in hand: fenced in it, the item has failed."""
    stages = Stages(last=True)
    gate = Gate("the sink")
    stages.outlet.on_result = lambda _: gate.meet()
    hand = GatedHand(at="after pop")
    life = hand.life = stages.begin(hand=hand)
    future = stages.lives.ask(1)
    gate.wait_reached()
    if first == "sink":
        gate.open()
        hand.gate.wait_reached()
    hand.gate.open()
    life.fence(GIVEN_UP)
    gate.open()
    stages.lives.end(life)
    if first == "fence":
        assert isinstance(future.exception(5), WorkerExited)
        assert stages.count("completed", "abandoned") == (0, 1)
    else:
        assert future.result(5) == 1
        assert stages.count("completed", "abandoned") == (1, 0)


def test_a_life_whose_result_is_gone_leaves_the_room_to_the_next_in_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Woken for a result that another life has handed on, it wakes who waits behind it."""
    asleep = note_sleepers(monkeypatch)
    stages = Stages(capacity=1)
    stages.next.put("in the way")
    life = stages.begin()
    stages.lives.mailbox.put("mine")
    asleep.wait_for(1)
    behind = threading.Thread(target=stages.next.put, args=("behind",))
    behind.start()
    asleep.wait_for(2)

    assert stages.next.get() == "in the way"
    assert stages.outlet.hand_on()  # as the other life does
    assert stages.take() == "mine"
    assert stages.next.get(timeout=5) == "behind"

    behind.join()
    stages.lives.stop(life)


def test_a_result_whose_key_is_lost_is_undelivered() -> None:
    """Its key could be made when it was kept, and now cannot: it is in nobody's way."""
    stages = Stages(1)
    stages.next.put("full")
    life = stages.lives.make("stage")
    assert stages.outlet.keep("bad", stages.inlet, life)
    assert stages.outlet.keep("good", stages.inlet, life)
    assert not stages.outlet.hand_on()
    prepare = stages.inlet.prepare

    def fail_once(raw: Any) -> Callable[[], bool]:
        if raw == "bad":
            raise BadKey(ValueError("no key"))
        return prepare(raw)

    vars(stages.inlet)["prepare"] = fail_once
    assert not stages.outlet.hand_on()
    assert stages.lost == [("bad", "its key could not be made: ValueError: no key")]
    assert stages.take() == "full"
    assert stages.outlet.hand_on()
    assert stages.left() == ["good"]


def test_what_is_kept_is_counted_while_it_changes() -> None:
    """A deque that changes while it is copied says so, and is copied again."""

    class Changing(deque[Any]):
        changes = 2

        def __iter__(self) -> Iterator[Any]:
            if self.changes:
                self.changes -= 1
                raise RuntimeError("deque mutated during iteration")
            return super().__iter__()

    stages = Stages()
    outbox = Changing([(1, stages.inlet, True), (2, stages.inlet, False)])
    stages.outlet._outbox = outbox
    assert stages.outlet.kept == 1
    assert outbox.changes == 0
