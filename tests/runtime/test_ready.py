"""Handing on together: in order, nothing lost and nothing twice, whatever comes in between.

The next stage is a mailbox without a consumer, as in `test_outlet`: with something in it,
it has a backlog, and results wait for each other. The stage under test stands at an item
that is held, with the results of those before it made and, mostly, not handed on.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate, Recorder
from tests.runtime.forcing import run
from tests.runtime.test_outlet import GIVEN_UP, Stages, asleep, message_of, wait_asleep
from threadsup._errors import WorkerExited
from threadsup._exits import Crashed, Normal
from threadsup._results import Drop, Emit, Reject, Stop
from threadsup._runtime.mailbox import Mailbox, Token

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.actor import Life

HELD = "held"
"""The item at which a stage stands."""

BEHIND = list(range(40))
"""Enough that some are made together: the first ones are timed, one by one."""


class Batch:
    """A stage that has made results of all that is before an item, and stands at that."""

    def __init__(
        self,
        then: Callable[[Any], Any] = lambda item: item,
        capacity: int | None = None,
        backlog: int = 1,
    ) -> None:
        self.stages = Stages(capacity)
        self.gate = Gate("the held item")
        self._then = then
        self.backlog = ["in the way"] * backlog
        for each in self.backlog:
            self.stages.next.put(each)

    def __call__(self, item: Any) -> Any:
        if item == HELD:
            self.gate.meet()
            return self._then(item)
        return item

    def begin(self, *items: Any) -> Life:
        """Have the stage begin with these, with `HELD` among them; return when it is there."""
        for item in items:
            self.stages.lives.mailbox.put(item)
        life = self.stages.begin(self)
        self.gate.wait_reached()
        return life

    def there(self) -> list[Any]:
        """Return what the next stage has got, and leave it there."""
        return [message_of(raw) for raw in self.stages.next.queue if type(raw) is not Token]

    def check(self, made: int) -> None:
        """Check that all that was made is with the next stage, or on its way there."""
        on_the_way = len(self.there()) - len(self.backlog) + self.stages.outlet.kept
        assert self.stages.count("handed") == (made,)
        assert on_the_way == made

    def all_of_it(self, life: Life) -> list[Any]:
        """Have a life finish; return all that has come to the next stage, in order."""
        self.stages.lives.stop(life, drain=True)
        left = self.stages.left()
        assert left[: len(self.backlog)] == self.backlog
        return left[len(self.backlog) :]


# -- when they are handed on ------------------------------------------------------------


def test_an_idle_next_stage_has_each_result_before_the_next_item_is_begun() -> None:
    """It waits for nothing that is made: with nothing to do it gets one by one."""
    stages, found = Stages(), list[int]()

    def same(item: int) -> int:
        found.append(len(stages.next.queue))
        assert found[-1] == 0 or stages.take() == item - 1
        return item

    for item in range(300):
        stages.lives.mailbox.put(item)
    stages.lives.stop(stages.begin(same), drain=True)
    assert found == [0] + [1] * 299
    assert stages.left() == [299]


def test_a_stage_that_finds_nothing_to_do_has_handed_on_all_of_it() -> None:
    """Backlog or not: what is made does not wait for the next item."""
    batch = Batch()
    batch.gate.open()
    life = batch.begin(*BEHIND, HELD)
    done = batch.stages.lives.ask("last")
    assert [message_of(batch.stages.take()) for _ in range(len(BEHIND) + 3)][-1] == "last"
    assert not done.done()
    assert batch.stages.outlet.kept == 0
    batch.stages.lives.stop(life)


@pytest.mark.parametrize("what", ["a token", "a drain", "a change"])
def test_what_comes_behind_results_finds_them_handed_on(what: str) -> None:
    """A token that is through, an end, or to look anew at the chain: all of it is there before."""
    batch = Batch()
    seen: list[list[Any]] = []
    token = Token(lambda: None)

    def passed(each: Token) -> None:
        if each is token:
            seen.append(batch.there()[1:])

    batch.stages.outlet.pass_token = passed
    life = batch.begin(*BEHIND, HELD)
    if what == "a token":
        batch.stages.lives.mailbox.put_token(token)
    elif what == "a change":
        life.renew()
    batch.gate.open()
    assert batch.all_of_it(life) == [*BEHIND, HELD]
    if what == "a token":
        assert seen == [[*BEHIND, HELD]]


# -- the bound --------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1, 2, 50])
def test_one_sender_never_exceeds_the_bound(monkeypatch: pytest.MonkeyPatch, capacity: int) -> None:
    """However many are ready: as many go on as there is room for, and it waits with the rest."""
    threads = asleep(monkeypatch)
    stages = Stages(capacity)
    for item in range(200):
        stages.lives.mailbox.put(item)
    life = stages.begin()
    wait_asleep(threads, life)
    taken: list[int] = []
    for _ in range(200):
        assert stages.next.qsize() <= capacity
        taken.append(stages.take())
    assert taken == list(range(200))
    stages.lives.stop(life)
    assert stages.lives.counts() == {"handled": 200}


def test_who_waits_with_results_leaves_them_to_the_next_life_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asked to stop while it waits for room, as often as that happens."""
    threads = asleep(monkeypatch)
    stages = Stages(3)
    for item in range(60):
        stages.lives.mailbox.put(item)
    taken: list[int] = []
    for _ in range(6):
        life = stages.begin()
        wait_asleep(threads, life)
        stages.lives.stop(life)
        assert stages.outlet.kept >= 1
        made = stages.next.qsize() + stages.outlet.kept + len(taken)
        assert stages.count("handed") == (made,)
        taken += [stages.take() for _ in range(3)]
    life = stages.begin()
    taken += [stages.take() for _ in range(60 - len(taken))]
    assert taken == list(range(60))
    stages.lives.stop(life)
    assert stages.lives.counts() == {"handled": 60}


# -- a life that ends in the middle -------------------------------------------------------


def crash(_: Any) -> Any:
    raise ValueError("crashed")


def leave(_: Any) -> Any:
    raise SystemExit


@pytest.mark.parametrize("then", [crash, leave, lambda _: Stop()], ids=["crash", "exit", "stop"])
def test_results_go_on_before_a_life_that_ends_by_itself(then: Callable[[Any], Any]) -> None:
    """By a crash, `SystemExit` or `Stop`: what was made before that is not touched by it."""
    batch = Batch(then)
    life = batch.begin(*BEHIND, HELD, "more")
    batch.check(len(BEHIND))
    batch.gate.open()
    reason = batch.stages.lives.end(life).reason
    assert isinstance(reason, Crashed if then is crash else Normal)
    assert batch.there()[1:] == BEHIND
    batch.check(len(BEHIND))
    assert batch.all_of_it(batch.stages.begin()) == [*BEHIND, "more"]


@pytest.mark.parametrize("ends", [Drop(), Reject("no")], ids=str)
def test_results_go_on_before_an_item_that_ends_here(ends: Any) -> None:
    """And those behind it after: it ends, they do not."""
    batch = Batch(lambda _: ends)
    life = batch.begin(*BEHIND, HELD, *BEHIND)
    batch.check(len(BEHIND))
    batch.gate.open()
    assert batch.all_of_it(life) == BEHIND * 2


def test_what_an_item_emits_comes_behind_the_results_before_it() -> None:
    """One after another, as if all had been handed on one by one."""
    batch = Batch(lambda _: Emit("a", "b"))
    life = batch.begin(*BEHIND, HELD)
    batch.gate.open()
    batch.stages.lives.mailbox.put("behind")
    assert batch.all_of_it(life) == [*BEHIND, "a", "b", "behind"]


def test_results_of_a_life_that_is_given_up_on_are_handed_on_first_by_the_next_one() -> None:
    """In order, before it takes anything: that of the item in hand is not among them."""
    batch = Batch()
    old = batch.begin(*BEHIND, HELD, "more")
    batch.check(len(BEHIND))
    old.fence(GIVEN_UP)
    batch.check(len(BEHIND))
    new = batch.stages.begin()
    assert batch.all_of_it(new) == [*BEHIND, "more"]
    batch.gate.open()
    batch.stages.lives.end(old)
    assert batch.stages.left() == []
    assert batch.stages.lives.counts() == {"handled": len(BEHIND) + 1, "failed": 1}


def test_a_life_that_was_given_up_on_hands_on_nothing_after_the_next_one_has_begun() -> None:
    """It comes back from its item late: what it makes of that is nobody's."""
    batch = Batch()
    old = batch.begin(*BEHIND, HELD)
    old.fence(GIVEN_UP)
    new = batch.stages.begin()
    batch.gate.open()
    batch.stages.lives.end(old)
    assert batch.all_of_it(new) == BEHIND
    assert batch.stages.lives.counts() == {"handled": len(BEHIND), "failed": 1}


@pytest.mark.parametrize("successor", [True, False])
def test_a_fence_while_results_are_handed_on_loses_none(
    monkeypatch: pytest.MonkeyPatch, *, successor: bool
) -> None:
    """There is room for some only: the rest is for who comes after, however soon it looks."""
    batch, gate = Batch(capacity=200), Gate("the handing on")
    stages = batch.stages
    old = batch.begin(*BEHIND, HELD)
    hand_on_all = Mailbox.hand_on_all

    def slow(self: Mailbox, messages: list[Any]) -> int:
        taken = hand_on_all(self, messages)
        if old.thread is threading.current_thread():
            gate.meet()
        return taken

    monkeypatch.setattr(Mailbox, "hand_on_all", slow)
    there = len(batch.there())
    stages.next.set_capacity(there + 2)  # fewer than are ready: HELD and more
    batch.gate.open()
    gate.wait_reached()
    old.fence(GIVEN_UP)

    def come_after() -> None:
        if successor:
            stages.begin()
        else:
            for raw, inlet in stages.outlet.take_out():
                inlet.adopt([raw])

    after = run(come_after)
    gate.open()
    stages.lives.end(old)
    after.result()
    found = [message_of(stages.take()) for _ in range(1 + len(BEHIND) + 1)]
    assert found == ["in the way", *BEHIND, HELD]
    if successor:
        stages.lives.stop(stages.lives.all[-1])
    assert stages.lives.counts() == {"handled": len(BEHIND) + 1}


def test_a_life_that_was_given_up_on_has_no_successor_and_loses_nothing() -> None:
    """Its replica has ended for good: who forgets it gets what was made, each once."""
    batch = Batch()
    old = batch.begin(*BEHIND, HELD)
    old.fence(GIVEN_UP)
    for raw, inlet in batch.stages.outlet.take_out():
        inlet.adopt([raw])
    assert batch.there()[1:] == BEHIND
    batch.gate.open()
    batch.stages.lives.end(old)
    assert batch.there()[1:] == BEHIND
    assert batch.stages.outlet.kept == 0


def test_a_life_that_is_given_up_on_while_it_waits_for_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next one waits with the same results, at their turn; the old one leaves at once."""
    threads = asleep(monkeypatch)
    stages = Stages(2)
    for item in range(30):
        stages.lives.mailbox.put(item)
    old = stages.begin()
    wait_asleep(threads, old)
    old.fence(GIVEN_UP)
    stages.lives.end(old)
    new = stages.begin()
    assert [stages.take() for _ in range(30)] == list(range(30))
    stages.lives.stop(new)
    assert stages.lives.counts() == {"handled": 30}


def test_asked_items_keep_their_futures() -> None:
    """Made, kept, handed on by another life: each with who waits for it."""
    batch = Batch()
    futures = [batch.stages.lives.ask(item) for item in BEHIND]
    old = batch.begin(HELD)
    late = batch.stages.lives.ask("more")
    old.fence(GIVEN_UP)
    batch.gate.open()
    new = batch.stages.begin()
    batch.stages.lives.stop(new, drain=True)
    assert batch.stages.take() == "in the way"
    raws = [batch.stages.take() for _ in range(len(BEHIND) + 1)]
    assert [raw.message for raw in raws] == [*BEHIND, "more"]
    assert [raw.reply_to for raw in raws] == [*futures, late]
    assert not any(future.done() for future in futures)


# -- a next stage that changes ------------------------------------------------------------


def test_results_for_a_mailbox_that_is_closed_are_undelivered_there() -> None:
    """As one by one: it takes them over, each once."""
    batch = Batch()
    life = batch.begin(*BEHIND, HELD)
    batch.stages.next.close("over")
    batch.gate.open()
    batch.stages.lives.stop(life)
    lost = [item for item, _ in batch.stages.lost]
    assert lost == [*BEHIND, HELD][-len(lost) :]  # the first were queued there already
    assert batch.stages.next.undelivered == 1 + len(BEHIND) + 1


def test_results_for_a_mailbox_that_is_shut_wait_in_it() -> None:
    """Being shut is for senders: the next incarnation gets them."""
    batch = Batch()
    life = batch.begin(*BEHIND, HELD)
    batch.stages.next.shut("held")
    batch.gate.open()
    assert batch.all_of_it(life) == [*BEHIND, HELD]


def test_results_for_a_mailbox_that_has_an_heir_are_its() -> None:
    """Its replica was removed: what comes late goes where the rest went."""
    batch, heir = Batch(), list[Any]()
    life = batch.begin(*BEHIND, HELD)
    batch.stages.next.retire("removed", heir.extend)
    batch.gate.open()
    batch.stages.lives.stop(life)
    assert [item for item in heir if type(item) is not Token] == ["in the way", *BEHIND, HELD]


@pytest.mark.parametrize("back", [False, True])
def test_a_sole_mailbox_that_becomes_several_in_the_middle(*, back: bool) -> None:
    """All go on, each to one of them; and those that come later, when it is one again."""
    batch = Batch()
    stages = batch.stages
    life = batch.begin(*BEHIND, HELD, *BEHIND)
    other = Mailbox("other")
    both = (stages.next, other)
    stages.inlet.link(both, both)
    if back:
        stages.inlet.link(both[:1], both[:1])
        stages.inlet.adopt(other.close("over"))
    life.renew()
    batch.gate.open()
    stages.lives.stop(life, drain=True)
    found = Counter(stages.left() + [raw for raw in other.close("over") if type(raw) is not Token])
    assert found == Counter(["in the way", *BEHIND, HELD, *BEHIND])
    assert stages.lives.counts() == {"handled": 2 * len(BEHIND) + 1}


def test_a_failed_item_in_the_middle_takes_nobody_with_it() -> None:
    """A future that fails at a fence is that of the item in hand, and of no other."""
    batch = Batch()
    futures = [batch.stages.lives.ask(item) for item in BEHIND]
    held = batch.stages.lives.ask(HELD)
    behind = batch.stages.lives.ask("behind")
    old = batch.begin()
    old.fence(GIVEN_UP)
    assert isinstance(held.exception(5), WorkerExited)
    assert not any(future.done() for future in (*futures, behind))
    batch.gate.open()
    batch.stages.lives.end(old)
    new = batch.stages.begin()
    assert batch.all_of_it(new) == [*BEHIND, "behind"]


def test_who_counts_waits_for_what_is_just_being_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is there, and may be through, and is not to count as kept besides."""
    batch, handing, hand_on_all = Batch(), Gate("handed on"), Mailbox.hand_on_all

    def held(mailbox: Mailbox, raws: list[Any]) -> int:
        taken = hand_on_all(mailbox, raws)
        handing.meet()
        return taken

    life = batch.begin(*BEHIND, HELD)
    ready = batch.stages.outlet.ready
    assert ready is not None
    came: Recorder[str] = Recorder()
    lock = ready._lock

    class Noted:
        def __enter__(self) -> None:
            came(threading.current_thread().name)
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    ready._lock = Noted()  # type: ignore[assignment]
    monkeypatch.setattr(Mailbox, "hand_on_all", held)
    batch.gate.open()
    handing.wait_reached()
    counting = run(lambda: batch.stages.outlet.kept)
    came.wait_for(2)
    handing.open()
    assert counting.result() == 0
    assert batch.all_of_it(life) == [*BEHIND, HELD]
