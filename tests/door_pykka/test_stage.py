"""A Pykka class as a stage of a chain: `on_receive` is its function."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pykka
import pytest

import threadsup
from tests.helpers import PATIENCE, Recorder
from threadsup import CallingSelfError, Drop, Emit, SpecError, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import MakeSupervisor
    from threadsup import Chain


class Step(pykka.ThreadingActor):
    """Multiplies items, or does with itself what an item that can be called says."""

    def __init__(self, by: int = 1, note: Callable[[Any], None] = lambda item: None) -> None:
        super().__init__()
        self.by = by
        self.note = note
        self.seen: list[Any] = []
        self._me: Any = self.actor_ref.proxy()

    def on_start(self) -> None:
        self.note("on_start")

    def on_stop(self) -> None:
        self.note("on_stop")

    def on_failure(self, *exc_info: Any) -> None:
        self.note("on_failure")

    def on_receive(self, item: Any) -> Any:
        return item(self) if callable(item) else item * self.by

    def see(self, what: Any) -> int:
        self.seen.append(what)
        return len(self.seen)

    def fail(self) -> None:
        raise ValueError("failed")

    def leave(self, code: int) -> None:
        raise SystemExit(code)


def plus_one(item: Any) -> Any:
    return item + 1 if type(item) is int else item


class Begin:
    """Makes chains in one tree, and keeps what comes out of them."""

    def __init__(self, tree: threadsup.Supervisor) -> None:
        self._tree = tree
        self.out: Recorder[Any] = Recorder()

    def __call__(self, *stages: Any, **options: Any) -> Chain:
        return self._tree.add_chain("c", stages, on_result=self.out, **options)


@pytest.fixture
def begin(supervisor: MakeSupervisor) -> Begin:
    return Begin(supervisor(max_restarts=10).start())


def finished(chain: Chain) -> tuple[int, int, int]:
    """Drain a chain; return its items, those completed and those failed."""
    assert chain.drain(timeout=PATIENCE)
    items = chain.statistics().items
    assert items.offered == items.completed + items.dropped + items.failed
    return items.offered, items.completed, items.failed


@pytest.mark.parametrize("place", [0, 1])
def test_what_it_returns_goes_on(begin: Begin, place: int) -> None:
    """In the middle to the next stage, at the end to the sink; made with its arguments."""
    stages = [stage(plus_one)]
    stages.insert(place, stage(Step, 2))
    chain = begin(*stages)
    assert list(chain.map([1, 2, 3])) == ([3, 5, 7] if place == 0 else [4, 6, 8])
    assert chain.submit(5).result(PATIENCE) == (11 if place == 0 else 12)
    assert finished(chain) == (4, 4, 0)


def test_it_is_named_after_its_class(begin: Begin) -> None:
    """As a stage that is a function is."""
    assert list(begin(stage(Step))) == ["Step"]


def test_our_own_class_is_a_stage(begin: Begin) -> None:
    """As Pykka's."""

    class Ours(threadsup.ThreadingActor):
        def on_receive(self, item: Any) -> Any:
            return -item

    assert list(begin(stage(Ours)).map([1, 2])) == [-1, -2]
    assert pykka.ActorRegistry.get_all() == []


def test_its_hooks_are_called_in_its_own_thread(begin: Begin, notes: Recorder[Any]) -> None:
    """`on_start` before the first item, `on_stop` after the last."""
    threads: Recorder[Any] = Recorder()

    def note(item: Any) -> None:
        notes(item)
        threads(threading.current_thread())

    chain = begin(stage(Step, 1, note))
    threads(chain.submit(lambda actor: threading.current_thread()).result(PATIENCE))
    chain.close()
    assert notes.wait_for(2) == ["on_start", "on_stop"]
    assert len(set(threads.wait_for(3))) == 1


def test_what_a_stage_may_return_it_may(begin: Begin) -> None:
    """`Emit`, `Drop` and the others mean what they mean."""

    def emit(actor: Any) -> Any:
        return Emit(1, 2)

    chain = begin(stage(Step), stage(plus_one))
    assert chain.submit(emit).result(PATIENCE) == [2, 3]
    assert isinstance(chain.submit(lambda actor: Drop("no")).result(PATIENCE), Drop)


def test_a_generator_emits(begin: Begin) -> None:
    """As the `on_receive` of a `Worker` does."""

    class Splitter(pykka.ThreadingActor):
        def on_receive(self, item: Any) -> Iterator[Any]:
            yield from item

    assert list(begin(stage(Splitter)).map([[1, 2], [3]])) == [1, 2, 3]


def test_a_crash_replaces_it(begin: Begin, notes: Recorder[Any]) -> None:
    """The item has failed, `on_failure` was called, the next instance goes on."""
    chain = begin(stage(Step, 3, notes))
    with pytest.raises(ZeroDivisionError):
        chain.submit(lambda actor: 1 // 0).result(PATIENCE)
    assert chain.submit(2).result(PATIENCE) == 6
    assert notes.items == ["on_start", "on_failure", "on_start"]
    assert finished(chain) == (2, 1, 1)


def test_an_error_may_fail_the_item_only(begin: Begin, notes: Recorder[Any]) -> None:
    """With `on_error="reject"`, as any stage."""
    chain = begin(stage(Step, 1, notes, on_error="reject"))
    with pytest.raises(ZeroDivisionError):
        chain.submit(lambda actor: 1 // 0).result(PATIENCE)
    assert chain.submit(7).result(PATIENCE) == 7
    assert notes.items == ["on_start"]


def test_it_may_have_replicas(begin: Begin) -> None:
    """Each an instance of its own."""
    chain = begin(stage(Step, 2, workers=3))
    assert sorted(chain.map(range(30))) == list(range(0, 60, 2))
    assert chain.statistics().stages["Step"].handled == 30


def test_it_may_get_batches(begin: Begin) -> None:
    """Then `on_receive` is given a list of items."""

    class Batching(pykka.ThreadingActor):
        def on_receive(self, items: list[int]) -> list[int]:
            return [item * 2 for item in items]

    chain = begin(stage(Batching, batch=threadsup.Batch(4, 0.01)))
    assert list(chain.map(range(8))) == [0, 2, 4, 6, 8, 10, 12, 14]


# -- what it sends itself -------------------------------------------------------------


def test_what_it_tells_itself_is_an_item(begin: Begin) -> None:
    """It begins there, goes on from there, and is counted."""

    def tell(actor: Any) -> int:
        actor.actor_ref.tell(10)
        return 1

    chain = begin(stage(Step, 2), stage(plus_one))
    assert chain.submit(tell).result(PATIENCE) == 2
    assert begin.out.wait_for(2) == [2, 21]
    assert finished(chain) == (2, 2, 0)


def test_what_it_asks_itself_is_answered_by_the_chain(begin: Begin) -> None:
    """With the end result: it is an item as any other."""

    def ask(actor: Any) -> Any:
        begin.out(actor.actor_ref.ask(10, block=False))
        return 1

    chain = begin(stage(Step, 2), stage(plus_one))
    chain.submit(ask).result(PATIENCE)
    assert begin.out.items[0].get(timeout=PATIENCE) == 21


def test_what_it_sends_itself_by_a_proxy_is_no_item(begin: Begin) -> None:
    """It is done in its turn, its result goes to who waits for it, and nothing goes on."""
    answers: Recorder[Any] = Recorder()

    def send(actor: Any) -> str:
        actor._me.see.defer("first")
        answers(actor._me.see("second"))
        answers(actor._me.by)
        answers(actor._me.fail())
        return "sent"

    chain = begin(stage(Step, 2), stage(plus_one))
    assert chain.submit(send).result(PATIENCE) == "sent"
    seen, by, failed = answers.items
    assert seen.get(timeout=PATIENCE) == 2
    assert by.get(timeout=PATIENCE) == 2
    with pytest.raises(ValueError, match="failed"):
        failed.get(timeout=PATIENCE)
    assert chain.submit(lambda actor: actor.seen).result(PATIENCE) == ["first", "second"]
    assert finished(chain) == (2, 2, 0)


def test_a_deferred_call_that_fails_is_a_crash(begin: Begin, notes: Recorder[Any]) -> None:
    """Of the replica, and of no item."""

    def send(actor: Any) -> str:
        actor._me.fail.defer()
        return "sent"

    chain = begin(stage(Step, 1, notes))
    assert chain.submit(send).result(PATIENCE) == "sent"
    assert notes.wait_for(3) == ["on_start", "on_failure", "on_start"]
    assert finished(chain) == (1, 1, 0)


def test_a_call_that_ends_it_is_answered(begin: Begin, notes: Recorder[Any]) -> None:
    """Who waits for it gets `ActorDeadError`; the replica has crashed."""
    answers: Recorder[Any] = Recorder()

    def send(actor: Any) -> str:
        answers(actor._me.leave(3))
        return "sent"

    chain = begin(stage(Step, 1, notes))
    assert chain.submit(send).result(PATIENCE) == "sent"
    with pytest.raises(pykka.ActorDeadError, match="SystemExit: 3"):
        answers.wait_for(1)[0].get(timeout=PATIENCE)
    assert notes.wait_for(3) == ["on_start", "on_failure", "on_start"]


def test_a_call_that_its_end_left_is_answered(begin: Begin) -> None:
    """With `ActorDeadError`, by whatever becomes of the chain behind it."""
    answers: Recorder[Any] = Recorder()

    def send_and_crash(actor: Any) -> None:
        answers(actor._me.see("late"))
        raise ValueError("boom")

    chain = begin(stage(Step), stage(plus_one))
    with pytest.raises(ValueError, match="boom"):
        chain.submit(send_and_crash).result(PATIENCE)
    with pytest.raises(pykka.ActorDeadError):
        answers.wait_for(1)[0].get(timeout=PATIENCE)


def test_it_does_not_wait_for_itself(begin: Begin) -> None:
    """The error is raised at once, where the chain would hang."""

    def wait(actor: Any) -> str:
        with pytest.raises(CallingSelfError):
            actor._me.see("me").get()
        with pytest.raises(CallingSelfError):
            actor.actor_ref.ask(1)
        return "refused"

    assert begin(stage(Step)).submit(wait).result(PATIENCE) == "refused"


def test_it_stops_itself_behind_what_is_queued(begin: Begin, notes: Recorder[Any]) -> None:
    """The last replica of a stage that ends for good ends the chain, as `Stop` does."""

    def stop(actor: Any) -> str:
        actor.actor_ref.tell(5)
        actor.stop()
        return "stopping"

    chain = begin(stage(Step, 2, notes))
    assert chain.submit(stop).result(PATIENCE) == "stopping"
    assert begin.out.wait_for(2) == ["stopping", 10]
    assert notes.wait_for(2) == ["on_start", "on_stop"]
    assert not chain["Step"].is_alive()


# -- what cannot be one ---------------------------------------------------------------


def test_a_class_without_on_receive_is_refused() -> None:
    """Every item would be a warning in the log, and nothing would go on."""

    class Methods(pykka.ThreadingActor):
        def add(self) -> int:
            return 1

    with pytest.raises(SpecError, match="must have an on_receive of its own"):
        stage(Methods)


def test_a_coroutine_is_refused() -> None:
    """Nobody would run it."""

    class Async(pykka.ThreadingActor):
        async def on_receive(self, item: Any) -> Any:
            return item

    with pytest.raises(SpecError, match="must have a plain on_receive, not a coroutine"):
        stage(Async)


def test_an_actor_that_is_no_thread_is_refused() -> None:
    """As for a worker, with the reason."""

    class Other(pykka.Actor):
        def on_receive(self, item: Any) -> Any:
            return item

    with pytest.raises(SpecError, match=r"must be a pykka\.ThreadingActor"):
        stage(Other)


def test_arguments_that_do_not_fit_are_refused() -> None:
    """Where the stage is written, not when it starts."""
    with pytest.raises(SpecError, match="cannot be called with its arguments"):
        stage(Step, 1, 2, 3, 4)
