"""Dead letters of a chain: read, taken out, sent once more; each once, and none lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate
from tests.runtime.forcing import note_sleepers, run
from tests.supervisor.trees import together
from threadsup import (
    DeadLetter,
    MailboxClosed,
    MailboxFull,
    SpecError,
    UnknownChildError,
    handler,
    stage,
    worker_spec,
)
from threadsup._dead_letters import LIMIT, DeadLetters

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow
    from threadsup import Chain


class Repaired:
    """A function that fails until it is repaired, and then notes what it is given."""

    def __init__(self) -> None:
        self.broken = True
        self.handled: list[Any] = []

    def __call__(self, item: Any) -> Any:
        if self.broken:
            raise ValueError(item)
        self.handled.append(item)
        return item


def same(item: Any) -> Any:
    return item


def messages(letters: tuple[DeadLetter, ...]) -> list[Any]:
    return [letter.message for letter in letters]


def fail(chain: Chain, *items: Any, at: str | None = None) -> tuple[DeadLetter, ...]:
    """Send these, which fail; return the chain's dead letters."""
    for item in items:
        chain.tell(item, at=at)
    assert chain.drain(PATIENCE)
    return chain.dead_letters()


# -- reading and taking out -------------------------------------------------------------


def test_a_chain_tells_its_own_dead_letters(flow: MakeFlow) -> None:
    """Newest last: what failed and what was never delivered; those of others are theirs."""
    gate, broken = Gate(), Repaired()
    f = flow(stage(broken, id="a", on_error="reject"), stage(same, id="b"))
    other = f.sup.add_chain("other", [stage(broken, id="a", on_error="reject")])
    group = f.sup.add_group("group", [worker_spec(handler(broken), id="a", on_ask_error="reply")])
    dropping = f.sup.add_chain(
        "dropping", [stage(lambda _: gate.meet(), id="a", capacity=1, on_full="drop_new")]
    )
    fail(f.chain, 1)
    fail(other, "other")
    assert group.ask("a", "group", block=False).exception(PATIENCE)
    f.sup.stop_child("group")  # its letter is written a moment after its answer
    dropping.tell("hand")
    gate.wait_reached()
    for item in ("queued", "dropped"):
        dropping.tell(item)
    gate.open()
    found = fail(f.chain, 2, 3)
    assert messages(found) == [1, 2, 3]
    assert {(letter.to, letter.scope, letter.reason) for letter in found} == {
        (("chain", "a"), "chain", "failed")
    }
    assert messages(dropping.dead_letters()) == ["dropped"]
    assert messages(other.dead_letters()) == ["other"]
    assert len(f.sup.dead_letters()) == 6


def test_taken_letters_are_on_record_no_more(flow: MakeFlow) -> None:
    """Each is taken once, by one of several; those of other chains stay."""
    f = flow(stage(Repaired(), id="a", on_error="reject"), capacity=200)
    other = f.sup.add_chain("other", [stage(Repaired(), id="a", on_error="reject")])
    fail(other, "other")
    fail(f.chain, *range(100))
    taken = together(4, lambda _: messages(f.chain.take_dead_letters()))
    assert sorted(item for part in taken for item in part) == [*range(100)]
    assert all(part == sorted(part) for part in taken)
    assert f.chain.take_dead_letters() == f.chain.dead_letters() == ()
    assert messages(f.sup.dead_letters()) == ["other"]


# -- sending once more ------------------------------------------------------------------


def test_letters_are_sent_to_the_stage_they_were_for(flow: MakeFlow) -> None:
    """As new items, oldest first; they leave the record, and the counts add up."""
    first, second = Repaired(), Repaired()
    f = flow(stage(first, id="a", on_error="reject"), stage(second, id="b", on_error="reject"))
    fail(f.chain, 1, 2)
    fail(f.chain, 3, at="b")
    first.broken = second.broken = False
    assert f.chain.redeliver() == 3
    assert f.chain.dead_letters() == ()
    assert f.chain.drain(PATIENCE)
    assert (first.handled, sorted(second.handled)) == ([1, 2], [1, 2, 3])
    assert sorted(f.results.items) == [1, 2, 3]
    assert f.items() == {"offered": 6, "completed": 3, "failed": 3}
    assert f.chain.redeliver() == 0


def test_what_fails_again_is_a_letter_again(flow: MakeFlow) -> None:
    """Another one: those there were at the call are sent, and that ends."""
    broken = Repaired()
    f = flow(stage(broken, id="a", on_error="reject"))
    before = fail(f.chain, 1, 2)
    assert f.chain.redeliver() == 2
    assert f.chain.drain(PATIENCE)
    after = f.chain.dead_letters()
    assert messages(after) == [1, 2]
    assert not {id(letter) for letter in before} & {id(letter) for letter in after}
    assert f.items() == {"offered": 4, "failed": 4}
    assert f.chain.redeliver(before) == 0  # those are sent
    assert f.chain.redeliver(after) == 2


def test_letters_may_be_chosen_and_taken_out_before(flow: MakeFlow) -> None:
    """Some of those on record, or those that were taken: sent once, in the order given."""
    broken = Repaired()
    f = flow(stage(broken, id="a", on_error="reject"))
    one, _, three = fail(f.chain, 1, 2, 3)
    broken.broken = False
    assert f.chain.redeliver(iter([three, one, three])) == 2
    taken = f.chain.take_dead_letters()
    assert messages(taken) == [2]
    assert f.chain.redeliver() == 0
    assert f.chain.redeliver([*taken, one]) == 1
    assert f.chain.drain(PATIENCE)
    assert broken.handled == [3, 1, 2]


def test_a_letter_is_sent_once_by_one_of_several(flow: MakeFlow) -> None:
    """At the same time as others send and take: each letter goes to one of them."""
    broken = Repaired()
    f = flow(stage(broken, id="a", on_error="reject"), capacity=500)
    letters = fail(f.chain, *range(200))
    broken.broken = False
    taken: list[Any] = []

    def work(number: int) -> int:
        if number == 0:
            taken.extend(f.chain.take_dead_letters())
            return 0
        return f.chain.redeliver(letters if number == 1 else None)

    sent = together(4, work)
    assert f.chain.drain(PATIENCE)
    assert len(broken.handled) == len(set(broken.handled)) == sum(sent)
    # Who was given letters may send what another one has taken out meanwhile.
    assert set(broken.handled) | set(messages(tuple(taken))) == {*range(200)}
    assert f.chain.dead_letters() == ()


def test_what_is_taken_out_is_not_sent_by_somebody_else(flow: MakeFlow) -> None:
    """Between the look at the record and the sending: it is whoever's it was taken by."""
    broken = Repaired()
    f = flow(stage(broken, id="a", on_error="reject"))
    fail(f.chain, 1, 2)
    broken.broken = False
    taken: list[Any] = []
    tell = f.chain.tell

    class Taking(type(f.chain)):  # type: ignore[misc]
        """A chain whose letters are taken out while the first one is sent."""

        __slots__ = ()

        def tell(self, *args: Any) -> None:
            tell(*args)
            taken.extend(f.chain.take_dead_letters())

    chain = object.__new__(Taking)
    for name in type(f.chain).__slots__:
        object.__setattr__(chain, name, getattr(f.chain, name))
    assert chain.redeliver() == 1
    assert messages(tuple(taken)) == [2]
    assert f.chain.drain(PATIENCE)
    assert broken.handled == [1]


def test_letters_that_find_no_room_in_time_stay(flow: MakeFlow) -> None:
    """In their order; the others are sent all the same, and what is raised says how many."""
    gate, broken = Gate(), Repaired()

    def first(item: Any) -> Any:
        if item == "hold":
            gate.meet()
        return broken(item)

    f = flow(
        stage(first, id="a", on_error="reject", capacity=3),
        stage(broken, id="b", on_error="reject"),
    )
    fail(f.chain, 1, 2, 3)
    fail(f.chain, 4, at="b")
    broken.broken = False
    f.chain.tell("hold")
    gate.wait_reached()
    f.chain.tell("fills")
    f.chain.tell("fills")
    with pytest.raises(MailboxFull, match="2 of 4 dead letters were re-sent, the others"):
        f.chain.redeliver(timeout=0.01)
    kept = f.chain.dead_letters()
    assert messages(kept) == [2, 3]
    with pytest.raises(MailboxFull, match="0 of 2 dead letters were re-sent, the others"):
        f.chain.redeliver(timeout=0)
    assert f.chain.dead_letters() == kept
    gate.open()
    assert f.chain.redeliver() == 2
    assert f.chain.drain(PATIENCE)
    assert broken.handled.count(2) == broken.handled.count(4) + 1 == 2
    assert f.items() == {"offered": 11, "completed": 7, "failed": 4}


def test_a_redelivery_waits_for_room(flow: MakeFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit for as long as it takes; a letter stays on record until it is in."""
    gate, broken = Gate(), Repaired()

    def first(item: Any) -> Any:
        if item == "hold":
            gate.meet()
        return broken(item)

    f = flow(stage(first, id="a", on_error="reject", capacity=1))
    for item in (1, 2):
        fail(f.chain, item)
    broken.broken = False
    f.chain.tell("hold")
    gate.wait_reached()
    sleepers = note_sleepers(monkeypatch)
    sending = run(f.chain.redeliver)
    sleepers.wait_for(1)
    assert not sending.over
    assert 2 in messages(f.chain.dead_letters())
    assert f.chain.redeliver([f.chain.dead_letters()[-1]]) == 0  # it is on its way
    gate.open()
    assert sending.result() == 2
    assert f.chain.drain(PATIENCE)
    assert broken.handled == ["hold", 1, 2]


def test_letters_that_are_refused_stay(flow: MakeFlow) -> None:
    """The chain is closed, or its tree has stopped: they can be read and taken still."""
    broken = Repaired()
    f = flow(stage(broken, id="a", on_error="reject"), stage(same, id="b"))
    fail(f.chain, 1, 2)
    f.chain.close()
    f.wait_ended()
    with pytest.raises(MailboxClosed, match="0 of 2 dead letters were re-sent, the others"):
        f.chain.redeliver()
    f.sup.stop()
    with pytest.raises(MailboxClosed):
        f.chain.redeliver()
    assert messages(f.chain.dead_letters()) == [1, 2]
    assert messages(f.chain.take_dead_letters()) == [1, 2]


def test_a_key_that_still_cannot_be_made_keeps_its_letter(flow: MakeFlow) -> None:
    """What the key raises is raised, with a note; the others are sent."""
    broken = Repaired()
    wrong: set[Any] = set()

    def key(item: Any) -> Any:
        if item in wrong:
            raise KeyError(item)
        return item

    f = flow(stage(broken, id="a", workers=2, routing="partition", key=key, on_error="reject"))
    fail(f.chain, 1, 2, 3)
    broken.broken = False
    wrong.add(2)
    with pytest.raises(KeyError) as raised:
        f.chain.redeliver()
    assert raised.value.__notes__ == ["2 of 3 dead letters were re-sent, the others are kept"]
    assert messages(f.chain.dead_letters()) == [2]


def test_letters_of_others_are_refused_before_anything_is_sent(flow: MakeFlow) -> None:
    """Those of another chain, or no letters at all; a stage that is gone."""
    broken = Repaired()
    f = flow(stage(broken, id="a", on_error="reject"), stage(broken, id="b", on_error="reject"))
    other = f.sup.add_chain("other", [stage(broken, id="a", on_error="reject")])
    (theirs,) = fail(other, "other")
    (mine,) = fail(f.chain, 1)
    for wrong, text in (
        (theirs, r"letters\[1\]: was for \('other', 'a'\), not for chain 'chain'"),
        (1, r"letters\[1\]: must be a dead letter, not 1"),
    ):
        with pytest.raises(SpecError, match=text):
            f.chain.redeliver([mine, wrong])  # type: ignore[list-item]
    with pytest.raises(SpecError, match="timeout"):
        f.chain.redeliver(timeout=-1)
    fail(f.chain, 2, at="b")
    f.chain.remove_stage("b")
    for letters in (None, f.chain.dead_letters()):
        with pytest.raises(UnknownChildError, match="no stage 'b'"):
            f.chain.redeliver(letters)
    assert messages(f.chain.dead_letters()) == [1, 2]
    assert f.chain.redeliver([mine]) == 1


def test_a_chain_of_the_same_id_takes_over_the_letters(flow: MakeFlow) -> None:
    """A chain that was removed and is added again, mended."""
    f = flow(stage(Repaired(), id="a", on_error="reject"))
    fail(f.chain, 1)
    f.sup.remove_child("chain")
    again = f.sup.add_chain("chain", [stage(same, id="a")], on_result=f.results)
    assert again.redeliver() == 1
    assert again.drain(PATIENCE)
    assert f.results.items == [1]


def test_what_another_chain_did_not_take_can_be_sent_there(flow: MakeFlow) -> None:
    """What was undelivered between two chains is the letter of the one it was for."""
    f = flow(stage(same, id="a"))
    taken: list[Any] = []
    other = f.sup.add_chain("other", [stage(same, id="o")], on_result=taken.append)
    f.chain.to(other)
    f.sup.stop_child("other")
    f.chain.tell(1)
    assert f.chain.drain(PATIENCE)
    assert f.chain.dead_letters() == ()
    f.sup.restart_child("other")
    assert other.redeliver() == 1
    assert other.drain(PATIENCE)
    assert taken == [1]


def test_letters_that_newer_ones_have_displaced_are_sent_still() -> None:
    """Whoever holds one may send it; taking looks at what is on record."""
    letters = DeadLetters()
    for number in range(LIMIT + 1):
        letters.add(number, ("chain", "a"), "failed", scope="chain")
        if not number:
            (first,) = letters.list()
    assert first not in letters
    assert first.claim()
    assert not first.claim()
    first.release()
    assert together(8, lambda _: first.claim()).count(True) == 1


def test_a_stop_during_a_redelivery_keeps_what_was_not_sent(
    flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for room is refused; each letter is in the chain or on record."""
    gate, broken = Gate(), Repaired()

    def first(item: Any) -> Any:
        if item == "hold":
            gate.meet()
        return broken(item)

    f = flow(stage(first, id="a", on_error="reject", capacity=1, shutdown=0.0))
    for item in (1, 2, 3):
        fail(f.chain, item)
    f.chain.tell("hold")
    gate.wait_reached()
    sleepers = note_sleepers(monkeypatch)
    sending = run(f.chain.redeliver)
    sleepers.wait_for(1)
    f.sup.stop()
    with pytest.raises(MailboxClosed, match="1 of 3 dead letters were re-sent, the others"):
        sending.result()
    gate.open()
    left = [letter.message for letter in f.chain.dead_letters()]
    assert sorted(left, key=str) == [1, 2, 3, "hold"]  # 1 was queued: undelivered
