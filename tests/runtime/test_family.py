"""Families: one outcome for an item that became many, and counts that add up."""

from __future__ import annotations

import threading
from random import Random
from typing import Any

import pytest

from tests.helpers import PATIENCE
from tests.runtime.forcing import Running, run
from threadsup._exits import WorkerExit
from threadsup._results import Drop, Stop
from threadsup._runtime.family import Branch, Ledger, Totals, branch_of
from threadsup._runtime.future import Future
from threadsup._runtime.pykka_compat import Envelope, fail, succeed
from threadsup._runtime.ticket import CREDIT, Returned, Ticket

NOTHING = Totals(0, 0, 0, 0, 0, 0, 0)


def settle(future: Any, value: Any = None, error: BaseException | None = None) -> None:
    """Settle as a tree does, but here and now."""
    if error is None:
        succeed(future, value)
    else:
        fail(future, error)


def ledger() -> Ledger:
    return Ledger(settle)


def family(of: Ledger, reply_to: Any = None) -> Branch:
    """Return the root of a new family."""
    _, branch = branch_of(Envelope("item", reply_to), of)
    return branch


def ended(error: Exception) -> tuple[Any, Exception, Any]:
    return type(error), error, error.__traceback__


def happened(returned: Returned) -> list[tuple[Any, ...]]:
    """Take out what has come back: what, the path, and the value."""
    events: list[tuple[Any, ...]] = []
    while returned.events:
        event = returned.events.popleft()
        assert type(event) is tuple
        events.append((event[0], *event[3:]))
    return events


# -- making families ------------------------------------------------------------------


def test_a_bare_item_is_the_root_of_a_new_family() -> None:
    """An item that nobody waits for has a family that is counted and tells nobody."""
    book = ledger()
    value, branch = branch_of("item", book)
    assert value == "item"
    assert branch.path == ()
    assert book.snapshot() == NOTHING._replace(open_branches=1, open_families=1)
    branch.set("value")
    assert book.snapshot() == NOTHING._replace(completed=1)


def test_an_envelope_carries_its_branch_from_then_on() -> None:
    """The branch stands in the envelope, and asking again gives the same one."""
    book, future = ledger(), Future[Any]()
    raw: Envelope[Any] = Envelope("item", future)
    value, branch = branch_of(raw, book)
    assert value == "item"
    carried: Any = raw.reply_to
    assert carried is branch
    assert branch_of(raw, book) == ("item", branch)
    assert book.snapshot().open_families == 1


def test_an_envelope_nobody_waits_for_is_as_a_bare_item() -> None:
    """An envelope without a future gets a family that tells nobody."""
    book = ledger()
    branch = family(book)
    branch.child().set(1)
    branch.exhausted()
    assert book.snapshot() == NOTHING._replace(completed=1)


# -- outcomes -------------------------------------------------------------------------


def test_a_future_gets_the_leaves_in_the_order_of_their_paths() -> None:
    """Values are flattened in order, whichever is there first; dropped ones are left out."""
    book, future = ledger(), Future[Any]()
    branch = family(book, future)
    first, second, third, fourth = (branch.child() for _ in range(4))
    nested = [second.child(), second.child()]
    fourth.set("e")
    nested[1].set("c")
    second.exhausted()
    third.set(Drop())
    nested[0].set("b")
    branch.exhausted()
    assert not future.done()
    first.set("a")
    assert future.result(0) == ["a", "b", "c", "e"]
    assert book.snapshot() == NOTHING._replace(completed=1)


def test_values_are_never_compared() -> None:
    """Leaves with the hardest values are put in order by their paths alone."""
    book, future = ledger(), Future[Any]()
    branch = family(book, future)
    leaves = [branch.child() for _ in range(3)]
    values = [object(), object(), object()]
    for leaf, value in reversed(list(zip(leaves, values, strict=True))):
        leaf.set(value)
    branch.exhausted()
    assert future.result(0) == values


def test_an_emission_of_nothing_is_dropped_and_gives_an_empty_list() -> None:
    """An item that emitted nothing is dropped, and its future holds no values."""
    book, future = ledger(), Future[Any]()
    family(book, future).exhausted()
    assert future.result(0) == []
    assert book.snapshot() == NOTHING._replace(dropped=1)


@pytest.mark.parametrize("value", ["value", Drop("why"), Stop("why")])
def test_a_root_without_descendants_gives_its_value_as_it_is(value: object) -> None:
    """An item that did not become many after all answers as if nobody had thought it would."""
    book, future = ledger(), Future[Any]()
    family(book, future).set(value)
    assert future.result(0) is value
    completed = isinstance(value, str)
    assert book.snapshot() == NOTHING._replace(completed=completed, dropped=not completed)


def test_one_failed_descendant_fails_the_item_in_the_end() -> None:
    """The first error is the item's, when the last descendant is through, and not sooner."""
    book, future = ledger(), Future[Any]()
    branch = family(book, future)
    children = [branch.child() for _ in range(4)]
    first, second = ValueError("first"), ValueError("second")
    children[2].set_exception(ended(first))
    children[1].set_exception(ended(second))
    children[0].set("a")
    branch.exhausted()
    assert not future.done()
    children[3].set(Drop())
    assert future.exception(0) is first
    assert book.snapshot() == NOTHING._replace(failed=1, failed_branches=2)


def test_a_family_that_has_failed_keeps_no_more_values() -> None:
    """Values nobody will get are not held until the last descendant is through."""
    branch = family(ledger(), Future[Any]())
    first, second, third = (branch.child() for _ in range(3))
    first.set("kept")
    second.set_exception(ended(ValueError()))
    third.set("not kept")
    assert branch.family.sink == [((0,), "kept")]


def test_a_root_that_fails_in_the_middle_of_its_emission_fails_the_item() -> None:
    """Descendants that were on their way go on; the item has failed when they are through."""
    book, future = ledger(), Future[Any]()
    branch = family(book, future)
    child = branch.child()
    error = ValueError()
    branch.set_exception(ended(error))
    assert book.snapshot() == NOTHING._replace(failed_branches=1, open_branches=1, open_families=1)
    child.set(1)
    assert future.exception(0) is error
    assert book.snapshot() == NOTHING._replace(failed=1, failed_branches=1)


def test_an_item_all_of_whose_descendants_are_dropped_is_dropped() -> None:
    """Where no leaf came out and none failed, the item is dropped."""
    book, future = ledger(), Future[Any]()
    branch = family(book, future)
    branch.child().set(Drop())
    branch.child().set(Stop())
    branch.exhausted()
    assert future.result(0) == []
    assert book.snapshot() == NOTHING._replace(dropped=1)


def test_a_branch_that_was_tried_again_goes_on_with_its_numbers() -> None:
    """An emission that begins again, with the same branch, gives its children new places."""
    book, future = ledger(), Future[Any]()
    branch = family(book, future)
    before = [branch.child(), branch.child()]
    again = [branch.child(), branch.child()]
    branch.exhausted()
    assert [child.path for child in before + again] == [(0,), (1,), (2,), (3,)]
    for number, child in enumerate(again + before):
        child.set(number)
    assert future.result(0) == [2, 3, 0, 1]


def test_a_branch_that_was_tried_again_may_end_as_a_value() -> None:
    """A value instead of an emission comes behind the children of the try before."""
    future = Future[Any]()
    branch = family(ledger(), future)
    child = branch.child()
    branch.set("value")
    child.set("child")
    assert future.result(0) == ["child", "value"]


def test_copies_are_counted() -> None:
    """What an inlet puts in once more for other replicas is in the snapshot."""
    book = ledger()
    book.add_copies(3)
    assert book.snapshot() == NOTHING._replace(copies=3)


def test_a_ledger_can_be_read_in_the_child_of_a_fork() -> None:
    """After a fork the lock is a new one: its holder may not exist any more."""
    book = ledger()
    holding = run(book.lock.acquire)
    assert holding.result()
    book.mark_forked()
    assert book.snapshot() == NOTHING


# -- each settles once ----------------------------------------------------------------


def test_only_the_first_end_of_a_branch_counts() -> None:
    """Whatever comes after the first settlement of a branch changes nothing."""
    book, future = ledger(), Future[Any]()
    branch = family(book, future)
    child, other = branch.child(), branch.child()
    child.set("a")
    child.set("b")
    child.set_exception(ended(ValueError()))
    child.exhausted()
    child.leave()
    branch.exhausted()
    branch.exhausted()
    assert book.snapshot() == NOTHING._replace(open_branches=1, open_families=1)
    other.set("c")
    other.set_exception(ended(ValueError()))
    assert future.result(0) == ["a", "c"]
    assert book.snapshot() == NOTHING._replace(completed=1)


def test_who_was_given_up_on_emits_no_more() -> None:
    """A child of a branch that somebody has settled is refused to who still emits."""
    book = ledger()
    branch = family(book)
    branch.set_exception(ended(ValueError()))
    with pytest.raises(WorkerExit):
        branch.child()
    assert book.snapshot() == NOTHING._replace(failed=1, failed_branches=1)


def test_of_two_threads_that_settle_a_branch_one_does() -> None:
    """A worker that finishes and one who gives it up at once settle it once, consistently."""
    for _ in range(50):
        book, future = ledger(), Future[Any]()
        branch = family(book, future)
        child = branch.child()
        branch.exhausted()
        together = threading.Barrier(2, timeout=PATIENCE)

        def give_up(child: Branch = child, together: threading.Barrier = together) -> None:
            together.wait()
            child.set_exception(ended(ValueError()))

        other = run(give_up)
        together.wait()
        child.set("value")
        other.result()
        failed = future.exception(0) is not None
        assert book.snapshot() == NOTHING._replace(
            completed=not failed, failed=failed, failed_branches=failed
        )


def test_of_emitting_and_settling_at_once_nothing_is_left_open() -> None:
    """A child is either refused or its place is counted, however close the end of its parent."""
    for _ in range(50):
        book, future = ledger(), Future[Any]()
        branch = family(book, future)
        together = threading.Barrier(2, timeout=PATIENCE)

        def give_up(branch: Branch = branch, together: threading.Barrier = together) -> None:
            together.wait()
            branch.set_exception(ended(ValueError()))

        other = run(give_up)
        together.wait()
        try:
            while True:
                branch.child().set("value")
        except WorkerExit:
            pass
        other.result()
        assert future.done()
        assert book.snapshot() == NOTHING._replace(failed=1, failed_branches=1)


def test_a_destructor_may_settle_from_within() -> None:
    """The lock is re-entrant: the collector may run a destructor that loses a descendant."""
    book = ledger()
    branch = family(book)
    child = branch.child()
    with book.lock:
        child.set("value")
        branch.exhausted()
    assert book.snapshot() == NOTHING._replace(completed=1)


# -- going to another chain -----------------------------------------------------------


def test_what_has_left_is_no_message_of_the_chain() -> None:
    """A branch that left is not counted among the messages, whatever becomes of it."""
    book, future = ledger(), Future[Any]()
    branch = family(book, future)
    child = branch.child()
    branch.exhausted()
    child.leave()
    child.leave()
    assert book.snapshot() == NOTHING._replace(open_families=1)
    child.set_exception(ended(ValueError()))
    assert book.snapshot() == NOTHING._replace(failed=1)
    assert isinstance(future.exception(0), ValueError)


def test_the_children_of_a_branch_that_left_are_messages_again() -> None:
    """What a value became that never was a message itself is counted."""
    book = ledger()
    branch = family(book)
    child = branch.child()
    child.leave()
    grandchild = child.child()
    assert book.snapshot().open_branches == 2
    grandchild.set("value")
    child.exhausted()
    branch.exhausted()
    assert book.snapshot() == NOTHING._replace(completed=1)


def test_a_family_in_another_chain_stands_for_one_place() -> None:
    """What an item becomes in two chains is one list in order, counted once in each."""
    here, there, future = ledger(), ledger(), Future[Any]()
    branch = family(here, future)
    first, second, third = (branch.child() for _ in range(3))
    branch.exhausted()
    second.leave()
    raw: Envelope[Any] = Envelope("item", second)  # type: ignore[arg-type]
    _, abroad = branch_of(raw, there)
    carried: Any = raw.reply_to
    assert carried is abroad
    leaves = [abroad.child(), abroad.child()]
    abroad.exhausted()
    third.set("d")
    leaves[1].set("c")
    first.set("a")
    assert here.snapshot() == NOTHING._replace(open_families=1)
    assert there.snapshot() == NOTHING._replace(open_branches=1, open_families=1)
    leaves[0].set("b")
    assert future.result(0) == ["a", "b", "c", "d"]
    assert here.snapshot() == NOTHING._replace(completed=1)
    assert there.snapshot() == NOTHING._replace(completed=1)


@pytest.mark.parametrize("end", ["failed", "dropped", "plain"])
def test_the_outcome_in_another_chain_is_that_of_the_place(end: str) -> None:
    """A family there that fails or drops does so to the item here; a plain value is a leaf."""
    here, there, future = ledger(), ledger(), Future[Any]()
    branch = family(here, future)
    child = branch.child()
    branch.exhausted()
    child.leave()
    abroad = family(there, child)
    if end == "failed":
        abroad.set_exception(ended(ValueError()))
        assert isinstance(future.exception(0), ValueError)
        assert here.snapshot() == NOTHING._replace(failed=1)
        assert there.snapshot() == NOTHING._replace(failed=1, failed_branches=1)
    elif end == "dropped":
        abroad.exhausted()
        assert future.result(0) == []
        assert here.snapshot() == there.snapshot() == NOTHING._replace(dropped=1)
    else:
        abroad.set("value")
        assert future.result(0) == ["value"]
        assert here.snapshot() == there.snapshot() == NOTHING._replace(completed=1)


def test_what_is_handed_over_is_completed_here() -> None:
    """The item is counted when its last message has gone; its future waits for the end there."""
    book, future = ledger(), Future[Any]()
    branch = family(book, future)
    children = [branch.child() for _ in range(3)]
    for child in children[:2]:
        child.hand_over()
        child.hand_over()
    branch.exhausted()
    assert book.snapshot() == NOTHING._replace(open_branches=1, open_families=1)
    children[2].set(Drop())
    assert book.snapshot() == NOTHING._replace(completed=1)
    children[1].set("b")
    assert not future.done()
    children[0].set("a")
    assert future.result(0) == ["a", "b"]
    assert book.snapshot() == NOTHING._replace(completed=1)


@pytest.mark.parametrize("first", ["there", "here"])
def test_what_fails_after_it_was_handed_over_has_not_failed_here(first: str) -> None:
    """Whether that is before the item is counted here or after: only who waits hears of it."""
    book, future = ledger(), Future[Any]()
    branch = family(book, future)
    child = branch.child()
    child.hand_over()
    if first == "here":
        branch.exhausted()
    child.set_exception(ended(ValueError()))
    if first == "there":
        branch.exhausted()
    assert book.snapshot() == NOTHING._replace(completed=1)
    assert isinstance(future.exception(0), ValueError)


def test_what_fails_here_has_failed_whatever_was_handed_over() -> None:
    """One of several is enough, as ever."""
    book, future = ledger(), Future[Any]()
    branch = family(book, future)
    away, here = branch.child(), branch.child()
    away.hand_over()
    branch.exhausted()
    here.set_exception(ended(ValueError()))
    assert book.snapshot() == NOTHING._replace(failed=1, failed_branches=1)
    away.set("value")
    assert isinstance(future.exception(0), ValueError)


def test_what_becomes_many_elsewhere_is_counted_there_alone() -> None:
    """Also in a third chain: each counts what was offered to it, once."""
    books, future = [ledger() for _ in range(3)], Future[Any]()
    branch = family(books[0], future)
    for book in books[1:]:
        child = branch.child()
        child.hand_over()
        branch.exhausted()
        branch = family(book, child)
    for value in ("a", "b"):
        branch.child().set(value)
    assert [book.snapshot() for book in books] == [
        NOTHING._replace(completed=1),
        NOTHING._replace(completed=1),
        NOTHING._replace(open_branches=1, open_families=1),
    ]
    branch.exhausted()
    assert books[2].snapshot() == NOTHING._replace(completed=1)
    assert future.result(0) == ["a", "b"]


def test_two_chains_that_send_to_each_other_do_not_lock_each_other_out() -> None:
    """Families that end in each other at once end: no lock is held while another is taken."""
    for _ in range(30):
        books = [ledger(), ledger()]
        together = threading.Barrier(2, timeout=PATIENCE)

        def cross(here: Ledger, there: Ledger, together: threading.Barrier = together) -> None:
            branch = family(here)
            child = branch.child()
            branch.exhausted()
            child.leave()
            abroad = family(there, child)
            together.wait()
            abroad.set("value")

        crossing: list[Running[None]] = [run(cross, *books), run(cross, *reversed(books))]
        for each in crossing:
            each.result()
        for book in books:
            assert book.snapshot() == NOTHING._replace(completed=2)


# -- streams --------------------------------------------------------------------------


def test_a_stream_hears_of_each_step_of_a_family() -> None:
    """An item of a stream tells of opening, leaves and closing, with paths from its number."""
    returned = Returned()
    branch = family(ledger(), Ticket(7, returned))
    first, second = branch.child(), branch.child()
    second.child().set("value")
    error = ValueError()
    first.set_exception(ended(error))
    second.exhausted()
    branch.exhausted()
    assert happened(returned) == [
        ("opened", (7,), None),
        ("opened", (7, 1), None),
        ("leaf", (7, 1, 0), "value"),
        ("failed", (7, 0), error),
        ("closed", (7, 1), 1),
        ("closed", (7,), 2),
    ]


def test_a_stream_hears_of_a_root_without_descendants_once() -> None:
    """An item that did not become many after all is one leaf of its own."""
    returned = Returned()
    family(ledger(), Ticket(7, returned)).set("value")
    family(ledger(), Ticket(8, returned)).exhausted()
    one, nothing = happened(returned)
    assert one == ("leaf", (7,), "value")
    assert (*nothing[:2], type(nothing[2])) == ("leaf", (8,), Drop)


@pytest.mark.parametrize("end", ["value", "failed", "dropped"])
def test_the_end_of_one_that_has_emitted_comes_behind_its_children(end: str) -> None:
    """A branch that fails, or is a value when tried again, has that as its last child."""
    returned = Returned()
    branch = family(ledger(), Ticket(7, returned))
    branch.child().set("child")
    error = ValueError()
    if end == "failed":
        branch.set_exception(ended(error))
    else:
        branch.set("value" if end == "value" else Drop())
    last: dict[str, list[tuple[Any, ...]]] = {
        "value": [("leaf", (7, 1), "value"), ("closed", (7,), 2)],
        "failed": [("failed", (7, 1), error), ("closed", (7,), 2)],
        "dropped": [("closed", (7,), 1)],
    }
    assert happened(returned)[2:] == last[end]


def test_a_stream_hears_of_the_leaves_in_another_chain_themselves() -> None:
    """What an item became elsewhere has its place below where it left, and is told once."""
    returned = Returned()
    branch = family(ledger(), Ticket(7, returned))
    child = branch.child()
    branch.exhausted()
    child.leave()
    abroad = family(ledger(), child)
    abroad.child().set("value")
    abroad.exhausted()
    assert happened(returned) == [
        ("opened", (7,), None),
        ("closed", (7,), 1),
        ("opened", (7, 0), None),
        ("closed", (7, 0), 1),
        ("opened", (7, 0, 0), None),
        ("leaf", (7, 0, 0, 0), "value"),
        ("closed", (7, 0, 0), 1),
    ]


def test_only_streams_have_a_limit() -> None:
    """Under a future, or nobody, an emission never waits."""
    for reply_to in (None, Future[Any]()):
        branch = family(ledger(), reply_to)
        for _ in range(2 * CREDIT):
            assert branch.may_emit(lambda: None)
            branch.child()


@pytest.mark.parametrize("seed", range(20))
def test_counts_add_up_in_any_family(seed: int) -> None:
    """Random families ended by two threads leave one outcome each and nothing open."""
    random = Random(seed)
    book = ledger()
    futures: list[Future[Any]] = []
    leaves: list[tuple[Branch, str]] = []
    expected = {"completed": 0, "dropped": 0, "failed": 0, "failed_branches": 0}

    def grow(branch: Branch, depth: int, ends: list[str]) -> None:
        for _ in range(random.choice((0, 1, 2, 5))):
            child = branch.child()
            if depth and random.random() < 0.4:
                grow(child, depth - 1, ends)
            else:
                ends.append(random.choice(("value", "value", "dropped", "failed")))
                leaves.append((child, ends[-1]))
        branch.exhausted()

    for _ in range(20):
        futures.append(Future())
        ends: list[str] = []
        grow(family(book, futures[-1]), 3, ends)
        outcome = "failed" if "failed" in ends else "completed" if "value" in ends else "dropped"
        expected[outcome] += 1
        expected["failed_branches"] += ends.count("failed")
    random.shuffle(leaves)

    def finish(part: list[tuple[Branch, str]]) -> None:
        for branch, end in part:
            if end == "failed":
                branch.set_exception(ended(ValueError()))
            else:
                branch.set(branch.path if end == "value" else Drop())

    other = run(finish, leaves[::2])
    finish(leaves[1::2])
    other.result()
    assert book.snapshot() == NOTHING._replace(**expected)
    for future in futures:
        if future.exception(0) is None:
            assert future.result(0) == sorted(future.result(0))
