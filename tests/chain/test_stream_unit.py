"""Streams without a chain: order, bounds, failures and credit, each forced."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter, deque
from functools import partial
from itertools import count, islice
from queue import SimpleQueue
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Recorder
from tests.runtime.forcing import note_sleepers, run, run_as_worker
from threadsup._chain.stream import stream
from threadsup._errors import MailboxClosed
from threadsup._exits import Shutdown, WorkerExit
from threadsup._results import Drop, Stop
from threadsup._runtime.context import StopToken
from threadsup._runtime.family import Branch, Ledger, branch_of
from threadsup._runtime.pykka_compat import Envelope
from threadsup._runtime.ticket import CREDIT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

Raw = Envelope[Any]


def settle(raw: Any, value: Any) -> None:
    """End a message as a stage would: an exception fails it."""
    if isinstance(value, BaseException):
        raw.reply_to.set_exception((type(value), value, None))
    else:
        raw.reply_to.set(value)


class Line:
    """A chain of nothing: what goes in is finished by the test, some at a time.

    As soon as `at_once` items are in, or there are no more to come, `finish(raws)` is
    called, in the thread that iterates.
    """

    def __init__(
        self, finish: Callable[[list[Raw]], object], at_once: int = 1, room: int | None = None
    ) -> None:
        self._finish = finish
        self._at_once = at_once
        self._room = room
        self.inside: list[Raw] = []
        self.waits = 0
        self.book = Ledger(lambda *_: None)

    def offer(self, raw: Raw) -> bool:
        if self._room is not None and len(self.inside) >= self._room:
            return False
        self.inside.append(raw)
        if len(self.inside) >= self._at_once:
            self.flush()
        return True

    def put(self, raw: Raw) -> None:
        self.waits += 1
        self.inside.append(raw)

    def flush(self) -> None:
        raws, self.inside = self.inside, []
        self._finish(raws)

    def map(self, items: Iterable[Any], window: int = 10, **options: Any) -> Generator[Any]:
        def pulled() -> Iterator[Any]:
            yield from items
            self.flush()

        return stream(pulled(), offer=self.offer, put=self.put, window=window, **options)

    def branch(self, raw: Raw) -> Branch:
        return branch_of(raw, self.book)[1]


def backwards(raws: list[Raw]) -> None:
    """Finish the last one first, each with its own message."""
    for raw in reversed(raws):
        settle(raw, raw.message)


# -- order ----------------------------------------------------------------------------


def test_an_ordered_stream_gives_results_in_the_order_of_the_items() -> None:
    """Whatever finishes first, results come in the order in which the items were pulled."""
    assert list(Line(backwards, at_once=4).map(range(10))) == list(range(10))


def test_an_unordered_stream_gives_results_as_they_finish() -> None:
    """Without order nothing is held back."""
    results = list(Line(backwards, at_once=4).map(range(10), ordered=False))
    assert results == [3, 2, 1, 0, 7, 6, 5, 4, 9, 8]


@pytest.mark.parametrize("ordered", [True, False])
def test_an_empty_stream_is_over_at_once(ordered: bool) -> None:
    """No items, no results."""
    assert list(Line(backwards).map([], ordered=ordered)) == []


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("at_once", [1, 3])
def test_dropped_items_are_skipped(ordered: bool, at_once: int) -> None:
    """Items that ended at `Drop` or `Stop` give nothing."""
    items = [1, Drop(), 2, Stop(), 3, Drop()]
    assert sorted(Line(backwards, at_once).map(items, ordered=ordered)) == [1, 2, 3]


def test_an_item_may_be_none() -> None:
    """`None` is a result as any other."""
    assert list(Line(backwards).map([None, None])) == [None, None]


# -- failures -------------------------------------------------------------------------


def failing(number: int) -> Exception:
    return ValueError(number)


@pytest.mark.parametrize("at_once", [1, 5])
def test_an_error_is_raised_at_its_item(at_once: int) -> None:
    """In an ordered stream what comes before the failed item is given first; then it ends."""
    error = failing(2)
    results = Line(backwards, at_once).map([0, 1, error, 3, 4])
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="2") as raised:
        next(results)
    assert raised.value is error
    assert list(results) == []


def test_without_order_an_error_is_raised_when_it_comes() -> None:
    """In an unordered stream a failed item ends it as soon as it has failed."""
    results = Line(backwards, at_once=5).map([0, 1, 2, failing(3), 4], ordered=False)
    assert next(results) == 4
    with pytest.raises(ValueError, match="3"):
        next(results)


@pytest.mark.parametrize("ordered", [True, False])
def test_failed_items_may_be_skipped(ordered: bool) -> None:
    """With `"skip"` they give nothing and the stream goes on."""
    results = Line(backwards).map([0, failing(1), 2], ordered=ordered, errors="skip")
    assert list(results) == [0, 2]


@pytest.mark.parametrize("ordered", [True, False])
def test_failed_items_may_give_their_exception(ordered: bool) -> None:
    """With `"return"` the exception stands in the place of the result."""
    error = failing(1)
    results = Line(backwards).map([0, error, 2], ordered=ordered, errors="return")
    assert list(results) == [0, error, 2]


@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_of_the_iterable_comes_after_what_was_pulled_before(ordered: bool) -> None:
    """Results of items that went in are given before the exception of the iterable."""

    def items() -> Iterator[int]:
        yield from range(3)
        line.flush()
        raise LookupError

    line = Line(backwards, at_once=5)
    results = line.map(items(), ordered=ordered)
    assert sorted(next(results) for _ in range(3)) == [0, 1, 2]
    with pytest.raises(LookupError):
        next(results)


def test_an_interrupt_of_the_iterable_passes_at_once() -> None:
    """What is no `Exception` is meant for the thread, and waits for no results."""

    def items() -> Iterator[int]:
        yield 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(Line(backwards, at_once=5).map(items()))


def test_an_item_that_failed_with_stop_iteration_does_not_end_the_stream_quietly() -> None:
    """As in any generator it becomes a `RuntimeError` with the cause chained."""
    with pytest.raises(RuntimeError) as raised:
        list(Line(backwards).map([StopIteration()]))
    assert isinstance(raised.value.__cause__, StopIteration)


@pytest.mark.parametrize("way", ["offer", "put"])
def test_a_chain_that_closes_ends_the_stream_after_its_results(way: str) -> None:
    """What went in before the chain was closed still comes out; then it is said."""

    class Closing(Line):
        def offer(self, raw: Raw) -> bool:
            if raw.message < 2:
                return super().offer(raw)
            if way == "offer":
                raise MailboxClosed("closed")
            return False

        def put(self, raw: Raw) -> None:
            raise MailboxClosed("closed")

    results = Closing(backwards).map(range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(MailboxClosed):
        next(results)


@pytest.mark.parametrize("of", ["item", "iterable", "family"])
def test_an_error_that_was_raised_is_nobody_s_any_more(of: str) -> None:
    """Neither the stream nor its frame holds what it has raised: no collector is needed."""

    class PlannedError(Exception):
        pass

    def become(raws: list[Raw]) -> None:
        for raw in raws:
            if of == "item":
                settle(raw, PlannedError())
            else:
                branch = line.branch(raw)
                branch.child().set_exception((PlannedError, PlannedError(), None))
                branch.exhausted()

    def items() -> Iterator[int]:
        yield 0
        if of == "iterable":
            raise PlannedError

    line = Line(backwards if of == "iterable" else become)
    gc.disable()
    try:
        results = stream(items(), offer=line.offer, put=line.put, window=1, errors="raise")
        kept = None
        try:
            list(results)
        except PlannedError as error:
            kept = weakref.ref(error)
        assert kept is not None
        assert kept() is None
    finally:
        gc.enable()


# -- several for one ------------------------------------------------------------------


def grow(branch: Branch, values: list[Any]) -> list[tuple[Branch, Any]]:
    """Emit the values, a list for what becomes several itself; return the leaves."""
    leaves: list[tuple[Branch, Any]] = []
    for value in values:
        child = branch.child()
        leaves += grow(child, value) if isinstance(value, list) else [(child, value)]
    branch.exhausted()
    return leaves


def emitting(line: Callable[[], Line]) -> Callable[[list[Raw]], None]:
    """Return what finishes items: lists become what is in them, the last leaf first."""

    def finish(raws: list[Raw]) -> None:
        leaves: list[tuple[Any, Any]] = []
        for raw in raws:
            if isinstance(raw.message, list):
                leaves += grow(line().branch(raw), raw.message)
            else:
                leaves.append((raw.reply_to, raw.message))
        for reply_to, value in reversed(leaves):
            settle(Envelope(None, reply_to), value)

    return finish


def emitter(at_once: int = 1) -> Line:
    line = Line(emitting(lambda: line), at_once)
    return line


@pytest.mark.parametrize("at_once", [1, 2, 9])
def test_what_an_item_became_comes_in_its_place(at_once: int) -> None:
    """Emitted values are flattened, at any depth, in order; nothing of it is lost."""
    items = [0, [1, 2, [3, [], [4]], 5], [], 6, [[[7]]], [8, Drop()], 9]
    assert list(emitter(at_once).map(items)) == list(range(10))


@pytest.mark.parametrize("at_once", [1, 2, 9])
def test_without_order_what_an_item_became_comes_as_it_finishes(at_once: int) -> None:
    """Unordered values are all there, and in the order in which they finished."""
    items = [0, [1, 2, [3, [], [4]], 5], [], 6, [[[7]]], [8, Drop()], 9]
    results = list(emitter(at_once).map(items, ordered=False))
    assert sorted(results) == list(range(10))
    if at_once == 9:
        assert results == list(reversed(range(10)))


@pytest.mark.parametrize("errors", ["raise", "skip", "return"])
def test_a_failed_descendant_ends_what_its_item_gives(errors: str) -> None:
    """What comes before the failed leaf is given, the error once, and the rest is not."""
    first, second = failing(1), failing(2)
    items = [[0, [1, first], 2, second], 3]
    results = emitter().map(items, errors=errors)
    assert [next(results), next(results)] == [0, 1]
    if errors == "raise":
        with pytest.raises(ValueError, match="1"):
            next(results)
    else:
        assert list(results) == ([first, 3] if errors == "return" else [3])


def test_without_order_a_failed_descendant_ends_what_its_item_gives_from_then_on() -> None:
    """Unordered values that came before the error are given, those that come later are not."""
    error = failing(1)
    items = [[0, error, 2], [3, 4]]
    results = emitter().map(items, ordered=False, errors="return")
    assert list(results) == [2, error, 4, 3]


def test_what_is_through_leaves_nothing_behind() -> None:
    """Neither the order nor the notes about failed items grow with the stream."""
    items: list[Any] = [[failing(0), [n]] for n in range(20)]
    results: Any = emitter(at_once=3).map([*items, 1, 2, 3], errors="skip")
    assert next(results) == 1
    inside = results.gi_frame.f_locals
    assert inside["self"]._failed == set()
    assert inside["order"].held == 0
    assert inside["order"]._open == {}
    assert list(results) == [2, 3]


# -- bounds ---------------------------------------------------------------------------


def noting(pulled: list[int], numbers: Iterable[int]) -> Iterator[int]:
    """Yield the numbers, and note each that is pulled."""
    for number in numbers:
        pulled.append(number)
        yield number


@pytest.mark.parametrize("ordered", [True, False])
def test_no_more_than_the_window_is_on_its_way(ordered: bool) -> None:
    """Items are pulled only as results are taken; what is held back counts, too."""
    pulled = 0

    def items() -> Iterator[int]:
        nonlocal pulled
        for number in range(100):
            pulled += 1
            yield number

    line = Line(backwards, at_once=4)
    for taken, _ in enumerate(line.map(items(), window=4, ordered=ordered)):
        assert pulled - taken <= 4
    assert pulled == 100


def test_an_endless_iterable_is_pulled_as_far_as_it_is_used() -> None:
    """Taking a few results of an infinite stream is fine."""
    assert list(islice(Line(backwards, at_once=3).map(count()), 7)) == list(range(7))


def test_results_come_before_the_next_item_is_pulled() -> None:
    """While there is something to give out the iterable, which may block, is left alone."""
    seen: list[Any] = []

    def items() -> Iterator[int]:
        for number in range(3):
            seen.append(("pulled", number))
            yield number

    seen.extend(("got", result) for result in Line(backwards).map(items()))
    assert seen == [(what, n) for n in range(3) for what in ("pulled", "got")]


def test_nothing_is_pulled_before_the_first_result_is_asked_for() -> None:
    """Making a stream takes the iterator and no item."""
    pulled: list[int] = []
    results = Line(backwards).map(noting(pulled, range(3)))
    assert pulled == []
    results.close()


def test_a_full_chain_is_waited_for_by_waiting_for_results() -> None:
    """Without room, but with something on its way, a result is awaited, and then offered again."""
    line = Line(backwards, at_once=3, room=2)
    results = line.map(range(4))

    def make_room(self_: Any) -> None:
        line.flush()

    with pytest.MonkeyPatch.context() as patch:
        note_sleepers(patch, then=make_room)
        assert list(results) == [0, 1, 2, 3]
    assert line.waits == 0


def test_a_full_chain_with_nothing_of_ours_is_waited_for_by_putting() -> None:
    """Others have filled the chain: the put waits for room, as there is no result to wait for."""
    line = Line(backwards, room=0)

    def put(raw: Raw) -> None:
        line.waits += 1
        settle(raw, raw.message)

    results = stream(range(3), offer=line.offer, put=put, window=10)
    assert list(results) == [0, 1, 2]
    assert line.waits == 3


def test_who_waits_keeps_no_result_alive() -> None:
    """A result that was given out is the user's alone while the next item is pulled."""

    class Payload:
        pass

    alive: list[Any] = []

    def items() -> Iterator[Any]:
        for _ in range(3):
            assert all(kept() is None for kept in alive)
            payload = Payload()
            alive.append(weakref.ref(payload))
            yield payload
            del payload

    def finish(raws: list[Raw]) -> None:
        for raw in raws:
            settle(raw, raw.message)
            raw.message = None

    taken = 0
    for result in Line(finish).map(items()):
        taken += type(result) is Payload
        del result
    assert taken == 3


# -- what is settled late or twice ----------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
def test_only_the_first_settlement_of_an_item_counts(ordered: bool) -> None:
    """A ticket that is settled again by somebody who was given up on gives nothing more."""

    def twice(raws: list[Raw]) -> None:
        for raw in reversed(raws):
            settle(raw, raw.message)
            settle(raw, raw.message)
            settle(raw, failing(0))

    line = Line(twice, at_once=2)
    assert sorted(line.map(range(6), ordered=ordered)) == list(range(6))


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("late", [False, True])
def test_an_item_is_either_one_or_many(ordered: bool, late: bool) -> None:
    """A ticket settled by itself and by a family gives what came first, and ends once."""

    def both(raws: list[Raw]) -> None:
        for raw in raws:
            ticket: Any = raw.reply_to
            branch = line.branch(raw)
            if late:
                ticket.set(raw.message)
            child = branch.child()
            if not late:
                ticket.set("no")
                ticket.set_exception((ValueError, ValueError(), None))
            child.set(raw.message)
            branch.exhausted()
            ticket.set_exception((ValueError, ValueError(), None))

    line = Line(both)
    assert list(line.map(range(3), ordered=ordered)) == [0, 1, 2]


# -- the options ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"errors": "ignore"}, ValueError),
        ({"errors": None}, ValueError),
        ({"ordered": 1}, ValueError),
        ({"window": 0}, ValueError),
        ({"window": True}, ValueError),
        ({"window": 2.0}, ValueError),
        ({"items": 3}, TypeError),
    ],
)
def test_options_are_checked_at_the_call(options: dict[str, Any], error: type[Exception]) -> None:
    """A wrong option is an error where the stream is made, not where it is used."""
    given: dict[str, Any] = {"items": [], "window": 1, **options}
    with pytest.raises(error, match=r"errors|ordered|window|iterable"):
        stream(given.pop("items"), offer=lambda _: True, put=lambda _: None, **given)


# -- stopping -------------------------------------------------------------------------


def test_a_worker_that_is_asked_to_stop_leaves_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Iterating in a task ends with `WorkerExit`, and the stream is closed."""
    asleep = note_sleepers(monkeypatch)
    token = StopToken(task=True)
    line = Line(backwards, at_once=5)
    results = stream(iter(range(3)), offer=line.offer, put=line.put, window=9)
    iterating = run_as_worker(token, next, results)
    asleep.wait_for(1)
    token.ask(Shutdown(), float("inf"))
    with pytest.raises(WorkerExit):
        iterating.result()
    assert list(results) == []


def test_closing_lets_go_of_what_is_on_its_way() -> None:
    """After closing nothing is pulled, and what still comes back is not kept."""

    class Payload:
        pass

    pulled: list[int] = []
    line = Line(backwards, at_once=9)
    results = stream(noting(pulled, count()), offer=line.offer, put=line.put, window=3)
    with pytest.MonkeyPatch.context() as patch:
        note_sleepers(patch, then=lambda _: settle(line.inside[0], "result"))
        assert next(results) == "result"
    results.close()
    assert list(results) == []
    assert pulled == [0, 1, 2]
    payload = Payload()
    kept = weakref.ref(payload)
    late: Any = line.inside[1].reply_to
    late.returned.put(("leaf", late, None, late.path, payload))
    assert kept() is payload
    del payload
    assert kept() is None


def test_a_stream_that_is_forgotten_is_closed() -> None:
    """Dropping the generator is as good as closing it: who waits for credit goes on."""
    resumed: Recorder[None] = Recorder()

    def emit(raws: list[Raw]) -> None:
        branch = line.branch(raws[0])
        for _ in range(CREDIT):
            branch.child().set("value")
        assert not branch.may_emit(lambda: resumed(None))

    line = Line(emit)
    results = stream(iter([0]), offer=line.offer, put=line.put, window=1)
    assert next(results) == "value"
    del results
    gc.collect()
    assert len(resumed) == 1


# -- credit ---------------------------------------------------------------------------


class Machine:
    """Threads that do jobs; it knows when there are no more, so a test need not guess."""

    def __init__(self, threads: int) -> None:
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._condition = threading.Condition()
        self._pending = 0
        self.book = Ledger(lambda *_: None)
        self._threads = [run(self._work) for _ in range(threads)]

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            with self._condition:
                self._pending -= 1
                self._condition.notify_all()

    def do(self, job: Callable[..., object], *args: Any) -> None:
        with self._condition:
            self._pending += 1
        self._jobs.put(partial(job, *args))

    def wait_idle(self) -> None:
        with self._condition:
            assert self._condition.wait_for(lambda: self._pending == 0, PATIENCE)

    def end(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.result()

    # -- a chain of one stage: a list becomes what is in it ---------------------------

    def offer(self, raw: Raw) -> bool:
        self.do(self.handle, raw.message, raw.reply_to)
        return True

    def handle(self, message: Any, reply_to: Any) -> None:
        if not isinstance(message, (list, Iter)):
            settle(Envelope(None, reply_to), message)
            return
        _, branch = branch_of(Envelope(message, reply_to), self.book)
        self.emit(branch, iter(message))

    def emit(self, branch: Branch, values: Iterator[Any]) -> None:
        while branch.may_emit(partial(self.do, self.emit, branch, values)):
            try:
                value = next(values)
            except StopIteration:
                branch.exhausted()
                return
            self.do(self.handle, value, branch.child())


class Iter:
    """What becomes many, and counts how many of them were made."""

    def __init__(self, values: Iterable[Any]) -> None:
        self._values = values
        self.made = 0

    def __iter__(self) -> Iterator[Any]:
        for value in self._values:
            self.made += 1
            yield value


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine(3)
    yield made
    made.end()


def over(stream_: Generator[Any], machine: Machine) -> None:
    """Close the stream and see that everything goes on to its end."""
    stream_.close()
    machine.wait_idle()
    totals = machine.book.snapshot()
    assert (totals.open_branches, totals.open_families) == (0, 0)


def test_an_item_that_emits_far_more_than_another_is_held_back(machine: Machine) -> None:
    """An item whose turn has not come emits up to its credit, and goes on when it has."""
    plenty = Iter(range(5000))
    held: deque[Raw] = deque()

    def offer(raw: Raw) -> bool:
        if raw.message == "first":
            held.append(raw)
            return True
        return machine.offer(raw)

    def look(_: object) -> None:
        if held:
            machine.wait_idle()
            assert plenty.made == CREDIT
            settle(held.popleft(), "first")

    with pytest.MonkeyPatch.context() as patch:
        note_sleepers(patch, then=look)
        results = stream(["first", plenty], offer=offer, put=lambda _: None, window=2)
        assert next(results) == "first"
        for taken, value in enumerate(results):
            assert value == taken
            assert plenty.made <= taken + 1 + CREDIT
    assert plenty.made == 5000
    over(results, machine)


@pytest.mark.parametrize("ordered", [True, False])
def test_an_emission_is_made_as_fast_as_it_is_taken(machine: Machine, ordered: bool) -> None:
    """No more values are on their way or waiting than the credit, with and without order."""
    plenty = Iter(range(3000))
    results = stream([plenty], offer=machine.offer, put=print, window=1, ordered=ordered)
    for taken, _ in enumerate(results):
        assert plenty.made <= taken + 1 + CREDIT
    assert plenty.made == 3000
    over(results, machine)


@pytest.mark.parametrize("ordered", [True, False])
def test_nested_emissions_give_their_place_back_when_they_are_through(
    machine: Machine, ordered: bool
) -> None:
    """Values that become several themselves, or nothing, use up no credit for good."""
    items = [[[n] if n % 3 else [] for n in range(4 * CREDIT)] for _ in range(2)]
    results = stream(items, offer=machine.offer, put=print, window=2, ordered=ordered)
    once = [n for n in range(4 * CREDIT) if n % 3]
    assert sorted(results) == sorted(once * 2)
    over(results, machine)


def test_closing_lets_emissions_go_on(machine: Machine) -> None:
    """Those that wait for credit when the stream is closed run to their end."""
    items = [Iter(range(1000)) for _ in range(5)]
    results = stream(items, offer=machine.offer, put=print, window=5)
    assert list(islice(results, 10)) == list(range(10))
    over(results, machine)
    assert [item.made for item in items] == [1000] * 5


def test_an_error_that_is_raised_lets_emissions_go_on(machine: Machine) -> None:
    """The end of a stream by an error closes it as well."""
    items = [[failing(0)], Iter(range(1000))]
    results = stream(items, offer=machine.offer, put=print, window=5)
    with pytest.raises(ValueError, match="0"):
        next(results)
    over(results, machine)


def made_up(random: Random, numbers: Iterator[int], depth: int = 3) -> Any:
    """Return an item: a value, nothing, an error, or several."""
    kind = random.random()
    if depth and kind < 0.35:
        size = random.choice((0, 1, 2, 5, 10, 3 * CREDIT if depth == 1 else 3))
        return [made_up(random, numbers, depth - 1) for _ in range(size)]
    if kind < 0.4:
        return Drop()
    return failing(next(numbers)) if kind < 0.43 else next(numbers)


def flat(item: Any) -> Iterator[Any]:
    """Yield what an item becomes, errors among it."""
    if isinstance(item, list):
        for each in item:
            yield from flat(each)
    elif type(item) is not Drop:
        yield item


def until_error(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        yield value
        if isinstance(value, Exception):
            return


@pytest.mark.parametrize("seed", range(12))
def test_any_items_come_out_in_order(machine: Machine, seed: int) -> None:
    """Random items, nested at random, come out of several threads as if done one by one."""
    random = Random(seed)
    numbers = count()
    items = [made_up(random, numbers) for _ in range(60)]
    window = random.choice((1, 2, 7, 50))
    results = stream(items, offer=machine.offer, put=print, window=window, errors="return")
    assert list(results) == [value for item in items for value in until_error(flat(item))]
    over(results, machine)


@pytest.mark.parametrize("seed", range(12))
def test_any_items_come_out_without_order(machine: Machine, seed: int) -> None:
    """Unordered, every value of a good item comes once, and of a failed one one error."""
    random = Random(seed)
    numbers = count()
    items = [made_up(random, numbers) for _ in range(60)]
    options: dict[str, Any] = {"ordered": False, "errors": "return"}
    window = random.choice((1, 2, 7, 50))
    results = Counter(stream(items, offer=machine.offer, put=print, window=window, **options))
    machine.wait_idle()
    errors = 0
    for item in items:
        values = list(flat(item))
        failures = [value for value in values if isinstance(value, Exception)]
        errors += bool(failures)
        assert sum(results[failure] for failure in failures) == bool(failures)
        counts = {results[value] for value in values if value not in failures}
        assert counts <= ({0, 1} if failures else {1})
    totals = machine.book.snapshot()
    assert (totals.open_branches, totals.open_families) == (0, 0)


@pytest.mark.parametrize("seed", range(6))
def test_closing_at_any_moment_leaves_nothing_waiting(machine: Machine, seed: int) -> None:
    """However far it got, after closing everything on its way goes on to its end."""
    random = Random(seed)
    numbers = count()
    items = [made_up(random, numbers) for _ in range(60)]
    results = stream(
        items, offer=machine.offer, put=print, window=20, errors="skip", ordered=seed % 2 == 0
    )
    for _ in islice(results, random.randrange(40)):
        pass
    over(results, machine)
