"""Into a stage: which replica gets a message, and what becomes of one that none can take."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate
from tests.runtime.inlets import (
    EVERY,
    SPREAD,
    Stage,
    keyed,
    keys_of,
    make_room,
    nothing,
)
from threadsup._errors import MailboxClosed, MailboxFull
from threadsup._results import Drop
from threadsup._runtime.family import Branch
from threadsup._runtime.future import Future
from threadsup._runtime.inlet import BadKey
from threadsup._runtime.mailbox import Token
from threadsup._runtime.pykka_compat import Envelope, fail

if TYPE_CHECKING:
    from threadsup._specs import OnFull

# -- which replica --------------------------------------------------------------------


def test_round_robin_goes_round() -> None:
    """Everyone gets as many, in turn (row 144)."""
    stage = Stage("round_robin", 3, None)
    for item in range(7):
        stage.inlet.put(item)
    assert stage.hold() == [[0, 3, 6], [1, 4], [2, 5]]


def test_random_is_as_likely_for_each() -> None:
    """Each share of chance is the share of one replica (row 144)."""
    chances = iter([0.0, 0.34, 0.67, 0.33, 0.66, 0.99])
    stage = Stage("random", 3, None, chances=lambda: next(chances))
    for item in range(6):
        stage.inlet.put(item)
    assert stage.hold() == [[0, 3], [1, 4], [2, 5]]


def test_least_loaded_looks_at_what_is_queued() -> None:
    """The shortest queue is chosen; equal ones take turns."""
    stage = Stage("least_loaded", 3, None)
    stage.boxes[0].adopt(["a", "b"])
    stage.boxes[2].adopt(["c"])
    for item in range(5):
        stage.inlet.put(item)
    assert sorted(map(len, stage.hold())) == [2, 3, 3]
    assert stage.hold()[1][0] == 0


def test_least_loaded_looks_at_hands_too() -> None:
    """Who has nothing queued and is busy has more to do than who is idle."""
    stage = Stage("least_loaded", 3, None)
    stage.boxes[0].hand = ["busy"]
    stage.boxes[2].hand = ["busy"]
    stage.inlet.put(1)
    assert stage.hold() == [[], [1], []]


@pytest.mark.parametrize("wrap", [False, True])
def test_a_partition_goes_by_key(wrap: bool) -> None:
    """Items of one key are one replica's, in order, whoever waits for them (row 151)."""
    stage = Stage("partition", 3, None)
    for number in range(60):
        item = (number % 7, number)
        stage.inlet.put(Envelope(item, Future()) if wrap else item)
    for at, items in enumerate(stage.hold()):
        assert all(keys_of(stage, item) == at for item in items)
        for key in range(7):
            mine = [number for k, number in items if k == key]
            assert mine == sorted(mine)
    assert sum(map(len, stage.hold())) == 60


def test_one_replica_has_the_mailbox_itself() -> None:
    """A stage without replicas pays nothing for those it does not have."""
    stage = Stage("round_robin", 1)
    (box,) = stage.boxes
    assert stage.inlet.put == box.put
    assert stage.inlet.offer == box.offer
    assert stage.inlet.hand_on == box.hand_on
    stage.inlet.put(1)
    with pytest.raises(MailboxFull):
        stage.inlet.put_nowait(2)


def test_a_partition_of_one_checks_keys() -> None:
    """A key that is none is one however many replicas there are (row 143)."""
    stage = Stage("partition", 1, key=lambda item: 1.5)
    with pytest.raises(BadKey):
        stage.inlet.put(1)
    assert stage.hold() == [[]]


# -- passed over, or waited for -----------------------------------------------------------


@pytest.mark.parametrize("routing", SPREAD)
def test_a_full_replica_is_passed_over(routing: str) -> None:
    """Only when all are full is there no room."""
    stage = Stage(routing, 3, 2)
    stage.boxes[1].adopt(["full", "full"])
    assert [stage.inlet.offer(item) for item in range(5)] == [True] * 4 + [False]
    assert [len(items) for items in stage.hold()] == [2, 2, 2]


@pytest.mark.parametrize("routing", SPREAD)
def test_one_that_is_down_comes_after_those_that_serve(routing: str) -> None:
    """A replica that comes back is given something only where nobody else has room."""
    stage = Stage(routing, 3, 2)
    stage.inlet.link(stage.boxes, stage.boxes[1:])
    for item in range(4):
        assert stage.inlet.offer(item)
    assert stage.hold()[0] == []
    assert stage.inlet.offer(4)
    assert stage.hold()[0] == [4]


@pytest.mark.parametrize("routing", SPREAD)
def test_one_that_is_shut_is_passed_over(routing: str) -> None:
    """For senders, and for results on their way, too; it has room, and nobody uses it."""
    stage = Stage(routing, 2, 1)
    stage.boxes[0].shut("held")
    assert stage.inlet.offer(1)
    assert not stage.inlet.offer(2)
    assert not stage.inlet.hand_on(2)
    assert stage.hold() == [[], [1]]


@pytest.mark.parametrize("routing", EVERY)
def test_when_all_are_shut_senders_are_refused_and_told_why(routing: str) -> None:
    """As by one mailbox."""
    stage = Stage(routing, 2, 1)
    for box in stage.boxes:
        box.shut("it is being moved")
    for send in (stage.inlet.put, stage.inlet.put_nowait, stage.inlet.offer):
        with pytest.raises(MailboxClosed, match="it is being moved"):
            send((1, "item"))
    assert stage.hold() == [[], []]


@pytest.mark.parametrize("routing", EVERY)
def test_when_all_are_shut_results_are_kept_as_far_as_there_is_room(routing: str) -> None:
    """Being shut is for senders, but the bound is for everybody."""
    stage = Stage(routing, 2, 1)
    for box in stage.boxes:
        box.shut("held")
    items = keyed(stage) if routing == "partition" else [(0, "item"), (1, "item")]
    taken = [stage.inlet.hand_on(item) for item in [*items, *items]]
    assert sum(taken) == (1 if routing == "broadcast" else 2)
    assert [len(items) for items in stage.hold()] == [1, 1]
    assert stage.lost == []


@pytest.mark.parametrize("routing", SPREAD)
def test_a_result_is_kept_by_one_that_may_come_back(routing: str) -> None:
    """Not by one that will not: it would be undelivered without need."""
    stage = Stage(routing, 3, 1)
    for box in stage.boxes:
        box.shut("held")
    stage.boxes[0].close("over")
    stage.boxes[2].close("over")
    assert stage.inlet.hand_on("kept")
    assert not stage.inlet.hand_on("no room")
    assert stage.hold()[1] == ["kept"]
    assert stage.lost == []


@pytest.mark.parametrize("routing", EVERY)
def test_when_all_are_closed_a_result_is_undelivered(routing: str) -> None:
    """As their closer would have had it, once for each that it was for."""
    stage = Stage(routing, 2)
    for box in stage.boxes:
        box.close("over")
    assert stage.inlet.hand_on((1, "item"))
    count = 2 if routing == "broadcast" else 1
    assert stage.lost == [((1, "item"), "over")] * count


def test_a_partition_waits_for_its_own() -> None:
    """Though all the others have room: anywhere else it might overtake."""
    stage = Stage("partition", 3, 1)
    own = keyed(stage)[1]
    assert stage.inlet.offer(own)
    assert not stage.inlet.offer(own)
    assert not stage.inlet.hand_on(own)
    assert stage.hold() == [[], [own], []]
    stage.boxes[1].shut("held")
    with pytest.raises(MailboxClosed, match="held"):
        stage.inlet.offer(own)


def test_a_broadcast_waits_for_all() -> None:
    """Nobody gets it before everybody has room."""
    stage = Stage("broadcast", 3, 1)
    stage.boxes[2].adopt(["full"])
    assert not stage.inlet.offer(1)
    assert stage.hold() == [[], [], ["full"]]
    make_room(stage.boxes[2])
    assert stage.inlet.offer(1)
    assert stage.hold() == [[1], [1], [1]]


def test_a_broadcast_waits_for_one_that_is_held() -> None:
    """It is to get it when it comes back; its bound holds meanwhile."""
    stage = Stage("broadcast", 2, 1)
    stage.boxes[1].shut("held")
    assert stage.inlet.offer(1)
    make_room(stage.boxes[0])
    assert not stage.inlet.offer(2)
    assert stage.hold() == [[], [1]]


# -- at the bound -------------------------------------------------------------------------


@pytest.mark.parametrize("routing", EVERY)
def test_under_raise_a_sender_is_refused_when_there_is_no_room(routing: str) -> None:
    """At once, whatever time it would have."""
    stage = Stage(routing, 2, 1, "raise")
    stage.fill()
    for send in (stage.inlet.put, stage.inlet.put_nowait, partial(stage.inlet.put, timeout=60)):
        with pytest.raises(MailboxFull, match="stage"):
            send((1, "item"))
    assert stage.hold() == [["full"], ["full"]]


@pytest.mark.parametrize("routing", [*SPREAD, "partition"])
def test_under_drop_new_the_newest_is_dropped(routing: str) -> None:
    """One for each that is too many, and never while another has room (row 136)."""
    stage = Stage(routing, 2, 1, "drop_new")
    items = [(n, "item") for n in range(8)] if routing != "partition" else 4 * keyed(stage)
    for item in items:
        stage.inlet.put(item)
    assert sum(map(len, stage.hold())) == 2
    assert [message for message, _ in stage.lost] == items[2:]
    assert {why for _, why in stage.lost} == {"dropped at the bound"}


@pytest.mark.parametrize("routing", [*SPREAD, "partition"])
def test_under_drop_old_the_oldest_is_dropped(routing: str) -> None:
    """Of the replica it goes to; what comes in last stays (row 136)."""
    stage = Stage(routing, 2, 2, "drop_old")
    items = [(n, "item") for n in range(10)]
    for item in items:
        stage.inlet.put(item)
    kept = [item for found in stage.hold() for item in found]
    assert items[-1] in kept
    assert len(kept) == 4 if routing != "partition" else len(kept) <= 4
    assert sorted(kept + [message for message, _ in stage.lost]) == items


@pytest.mark.parametrize(("on_full", "kept"), [("drop_new", [0, 1]), ("drop_old", [1, 2])])
def test_a_broadcast_drops_at_each_for_itself(on_full: OnFull, kept: list[int]) -> None:
    """A copy is dropped where there is no room; the others get theirs (row 142, F52)."""
    stage = Stage("broadcast", 2, 2, on_full)
    make: list[Future[Any]] = [Future() for _ in range(3)]
    for number, future in enumerate(make):
        if number == 2:
            make_room(stage.boxes[1])
        stage.inlet.put(Envelope(number, future))
    assert stage.hold() == [kept, [1, 2]]
    dropped = 2 if on_full == "drop_new" else 0
    assert stage.lost == [(dropped, "dropped at the bound")]


def test_a_dropping_broadcast_keeps_the_bound_of_one_that_is_held() -> None:
    """What it cannot take is dropped, not piled up until it comes back."""
    stage = Stage("broadcast", 2, 1, "drop_old")
    stage.boxes[1].shut("held")
    for number in range(3):
        stage.inlet.put(number)
    assert stage.hold() == [[2], [0]]
    assert sorted(stage.lost) == [(n, "dropped at the bound") for n in (0, 1, 1, 2)]


@pytest.mark.parametrize("routing", SPREAD)
def test_a_dropping_stage_drops_at_one_that_takes_messages(routing: str) -> None:
    """The one whose turn it is may be shut."""
    stage = Stage(routing, 3, 1, "drop_new")
    stage.fill()
    stage.boxes[0].shut("held")
    stage.boxes[1].shut("held")
    for number in range(4):
        stage.inlet.put(number)
    assert [message for message, _ in stage.lost] == [0, 1, 2, 3]


# -- keys that are none -------------------------------------------------------------------


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), Odd(), KeyboardInterrupt()])
@pytest.mark.parametrize("count", [1, 3])
def test_a_key_function_that_raises_is_the_items_failure(error: BaseException, count: int) -> None:
    """Whatever it raises; nothing was put anywhere (F53)."""

    def key(item: Any) -> Any:
        raise error

    stage = Stage("partition", count, key=key)
    for send in (stage.inlet.put, stage.inlet.put_nowait, stage.inlet.offer, stage.inlet.hand_on):
        with pytest.raises(BadKey) as caught:
            send(1)
        assert caught.value.error is error
    assert stage.hold() == [[]] * count


@pytest.mark.parametrize("key", [None, 1.5, True, [], object(), ("a", None)])
def test_what_is_no_key_says_what_to_do(key: Any) -> None:
    """Only what can be hashed stably is one (row 143)."""
    stage = Stage("partition", 2, key=lambda _: key)
    with pytest.raises(BadKey) as caught:
        stage.inlet.put(1)
    assert isinstance(caught.value.error, TypeError)
    assert "must be a str, bytes, an int or a tuple of these" in str(caught.value.error)


def test_a_key_that_fails_while_its_item_waits_ends_the_wait() -> None:
    """Nobody waits for the room of nobody; who offers it again finds out (F53)."""
    calls: list[Any] = []

    def key(item: Any) -> Any:
        calls.append(item)
        if len(calls) > 1:
            raise ValueError("changed its mind")
        return 1

    stage = Stage("partition", 1, key=key)
    stage.fill()
    with pytest.raises(BadKey):
        stage.inlet.put("item")
    assert len(calls) == 3
    assert stage.inlet.wait_for_room("item", give_way=True)


def test_ctrl_c_in_a_key_function_is_not_swallowed() -> None:
    """The sender hears of it, though it had a place in a line."""
    calls: list[Any] = []

    def key(item: Any) -> Any:
        calls.append(item)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return 1

    stage = Stage("partition", 1, key=key)
    stage.fill()
    with pytest.raises(BadKey) as caught:
        stage.inlet.put("item")
    assert isinstance(caught.value.error, KeyboardInterrupt)
    assert len(calls) == 2


# -- copies -------------------------------------------------------------------------------


def open_copies(stage: Stage) -> list[Branch]:
    found: list[Any] = [raw.reply_to for box in stage.boxes for raw in box.take_out()]
    assert {type(each) for each in found} == {Branch}
    return found


def test_copies_of_an_item_are_a_family() -> None:
    """The future gets what all make of it, in the order of the replicas."""
    stage = Stage("broadcast", 3)
    future: Future[Any] = Future()
    stage.inlet.put(Envelope("item", future))
    first, second, third = open_copies(stage)
    third.set("c")
    first.set("a")
    assert not future.done()
    assert stage.ledger.snapshot()[4:] == (1, 1, 2)
    second.set("b")
    assert future.result(5) == ["a", "b", "c"]
    totals = stage.ledger.snapshot()
    assert (totals.completed, totals.open_branches, totals.open_families) == (1, 0, 0)
    assert totals.copies == 2


def test_a_bare_item_is_a_family_too() -> None:
    """It is counted once, however many copies of it there are."""
    stage = Stage("broadcast", 2)
    stage.inlet.put("item")
    first, second = open_copies(stage)
    first.set("a")
    second.set(Drop())
    assert stage.ledger.snapshot().completed == 1
    assert stage.ledger.snapshot().open_families == 0


def test_a_copy_that_fails_fails_the_item() -> None:
    """The others go on; the future names the failure (F52)."""
    stage = Stage("broadcast", 2)
    future: Future[Any] = Future()
    stage.inlet.put(Envelope("item", future))
    first, second = open_copies(stage)
    fail(first, ValueError("dead"))
    second.set("b")
    with pytest.raises(ValueError, match="dead"):
        future.result(5)
    assert stage.ledger.snapshot().failed == 1


def test_a_copy_of_a_copy_belongs_to_the_same_item() -> None:
    """Two broadcasting stages in a row make one list, in the order of both."""
    stage = Stage("broadcast", 2)
    future: Future[Any] = Future()
    stage.inlet.put(Envelope("item", future))
    branch: Any
    for number, branch in enumerate(open_copies(stage)):
        stage.inlet.put(Envelope(number, branch))
        for at, each in enumerate(open_copies(stage)):
            each.set((number, at))
    assert future.result(5) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert stage.ledger.snapshot().open_branches == 0


def test_a_replica_that_is_gone_takes_its_copy_with_it() -> None:
    """Its siblings have theirs: the item is what they make of it, and is counted once."""
    stage = Stage("broadcast", 2)
    future: Future[Any] = Future()
    stage.inlet.put(Envelope("item", future))
    raws = stage.boxes[0].take_out()
    stage.inlet.link(stage.boxes[1:], stage.boxes[1:])
    stage.inlet.inherit(raws)
    assert stage.ledger.snapshot().copies == 0
    (raw,) = stage.boxes[1].take_out()
    raw.reply_to.set("b")
    assert future.result(5) == ["b"]


# -- what was accepted elsewhere ----------------------------------------------------------


@pytest.mark.parametrize("routing", EVERY)
def test_what_was_accepted_elsewhere_comes_in_whether_there_is_room_or_not(routing: str) -> None:
    """It cannot be refused any more, and is for all where a message is for all."""
    stage = Stage(routing, 2)
    stage.fill()
    stage.boxes[0].shut("held")
    items = [(n, "item") for n in range(6)]
    stage.inlet.adopt(items)
    found = [item for items in stage.hold() for item in items if item != "full"]
    assert sorted(found) == sorted(items * (2 if routing == "broadcast" else 1))
    assert stage.lost == []


@pytest.mark.parametrize("routing", [*SPREAD, "partition"])
def test_what_a_replica_leaves_goes_to_the_others(routing: str) -> None:
    """Spread as if it came anew; items of one key stay together and in order."""
    stage = Stage(routing, 2, None)
    items = [(n % 3, n) for n in range(12)]
    stage.inlet.inherit(items)
    found = stage.hold()
    assert sorted(item for items in found for item in items) == sorted(items)
    for mine in found:
        for key in range(3):
            of_key = [item for item in mine if item[0] == key]
            assert of_key == sorted(of_key)
            assert routing != "partition" or len(of_key) in {0, 4}


@pytest.mark.parametrize("routing", EVERY)
def test_a_mark_comes_in_behind_what_was_before_it(routing: str) -> None:
    """One for each replica, where it can be several: what was before it is with all."""
    stage = Stage(routing, 3, None)
    parts: list[Token] = []

    def split(count: int) -> list[Token]:
        parts.extend(Token(lost=nothing) for _ in range(count))
        return parts

    single, mark = Token(lost=nothing), Token(lost=nothing, split=split)
    stage.inlet.inherit([mark, single, (1, "item")])
    stage.sorted_out()
    found = [box.take_out() for box in stage.boxes]
    assert len(parts) == 3
    for raws, part in zip(found, parts, strict=True):
        kept = [raw for raw in raws if raw is not single]
        assert kept[-1] is part
    assert [single in raws for raws in found] == [True, False, False]


def test_a_mark_that_comes_while_a_replica_leaves_is_behind_what_it_leaves() -> None:
    """It finds the mailbox closed only when all of that is with the others."""
    stage = Stage("round_robin", 2, None)
    leaving, left = stage.boxes
    marks = [Token(lost=nothing) for _ in range(3)]

    def inherit(raws: list[Any]) -> None:
        if "first" in raws:
            assert leaving.put_token(marks[0])
            assert leaving.hand_on("on its way")
        stage.inlet.inherit(raws)

    leaving.adopt(["first", "second"])
    assert left.put_token(marks[1])
    stage.inlet.link((left,), (left,))
    leaving.retire("removed", inherit)
    assert leaving.put_token(marks[2])
    everything = [marks[1], "first", "second", "on its way", marks[0], marks[2]]
    assert left.take_out() == everything


def test_keys_are_made_in_a_thread_of_their_own_when_a_replica_leaves() -> None:
    """Not in that of whoever tells: it may be the supervisor's, which runs no code of users."""
    threads: list[str] = []
    gate = Gate()

    def key(item: Any) -> Any:
        if item[1] == "item":
            threads.append(threading.current_thread().name)
            gate.meet()
        return item[0]

    stage = Stage("partition", 2, None, key=key)
    stage.inlet.inherit([(1, "item")])  # does not wait for the key
    gate.wait_reached()
    assert not stage.inlet.offer((1, "later"))
    mark = Token(lost=nothing)
    assert stage.inlet.put_mark(stage.boxes[0], mark)
    gate.open()
    stage.sorted_out()
    assert threads[0] == "threadsup-stage-keys"
    assert stage.inlet.offer((1, "later"))
    found = [raw for box in stage.boxes for raw in box.take_out()]
    assert found.index((1, "item")) < found.index((1, "later"))
    assert mark in found


def test_what_is_sorted_while_the_replicas_change_again_is_sorted_anew() -> None:
    """A gate that is closed and opened meanwhile: by the replicas as they are at the end."""
    gate = Gate()

    def key(item: Any) -> Any:
        gate.meet()
        return item[0]

    stage = Stage("partition", 2, None, key=key)
    stage.inlet.inherit([(1, "first")])
    gate.wait_reached()
    stage.inlet.close_gate()
    (left, _) = stage.boxes
    stage.inlet.link((left,), (left,))
    stage.inlet.open_gate([(2, "before")])
    gate.open()
    assert stage.hold() == [[(2, "before"), (1, "first")], []]


def test_an_item_whose_key_fails_later_is_not_lost() -> None:
    """It had one when it was accepted; now any replica will do (F53)."""
    keys = iter([1, None])
    stage = Stage("partition", 2, None, key=lambda _: next(keys))
    stage.inlet.put("item")
    raws = [raw for box in stage.boxes for raw in box.take_out()]
    stage.inlet.inherit(raws)
    assert stage.hold() == [["item"], []]


@pytest.mark.parametrize("routing", EVERY)
def test_what_is_lost_on_its_way_here_is_accounted_for_here(routing: str) -> None:
    """Once, by whoever keeps the account of the stage."""
    stage = Stage(routing, 2)
    stage.inlet.lose(["item"], "nobody brought it")
    assert stage.lost == [("item", "nobody brought it")]
    assert sum(box.undelivered for box in stage.boxes) == 1
