"""What Pykka documents of futures holds for those that a `ThreadingActor` gives."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import types
from typing import TYPE_CHECKING, Any

import pykka
import pytest

import threadsup
from tests.helpers import PATIENCE, Gate

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


class Echo(threadsup.ThreadingActor):
    """Returns what it is sent; calls it, if it can."""

    def on_receive(self, message: Any) -> Any:
        return message() if callable(message) else message


@pytest.fixture
def ref() -> pykka.ActorRef[Echo]:
    return Echo.start()


@pytest.fixture
def gate(ref: Any) -> Iterator[Gate]:
    """Hold the actor until it is opened."""
    held = Gate()
    ref.tell(held.meet)
    held.wait_reached()
    yield held
    held.open()


def ask(ref: Any, message: Any) -> Any:
    return ref.ask(message, block=False)


def raising() -> None:
    raise ValueError("mine")


def test_get_returns_the_value_as_often_as_it_is_called(ref: Any) -> None:
    """It waits the first time only."""
    future = ask(ref, "value")
    assert future.get() == "value"
    assert future.get(timeout=0) == "value"


def test_get_raises_the_exception_as_often_as_it_is_called(ref: Any) -> None:
    """The very object, each time."""
    future = ask(ref, raising)
    raised = []
    for _ in range(2):
        with pytest.raises(ValueError, match="mine") as each:
            future.get(timeout=PATIENCE)
        raised.append(each.value)
    assert raised[0] is raised[1]


def test_get_times_out(ref: Any, gate: Gate) -> None:
    """With Pykka's exception, and may be called again."""
    future = ask(ref, "value")
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0)
    gate.open()
    assert future.get(timeout=PATIENCE) == "value"


def test_get_all_returns_all(ref: Any) -> None:
    """In order; with a time-out that it passes on to each."""
    assert pykka.get_all([ask(ref, number) for number in range(3)]) == [0, 1, 2]


def test_get_all_times_out(ref: Any, gate: Gate) -> None:
    """If any of them is not there."""
    with pytest.raises(pykka.Timeout):
        pykka.get_all([ask(ref, 1)], timeout=0)


def test_a_future_in_a_future_is_a_value(ref: Any) -> None:
    """Nobody unwraps it."""
    inner = ask(ref, "inner")
    assert ask(ref, inner).get().get() == "inner"


def test_two_threads_get_one_future(ref: Any, gate: Gate) -> None:
    """Each in its own time: who waits for ever holds up nobody with a time-out."""
    future = ask(ref, "value")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(future.get)
        with pytest.raises(pykka.Timeout):
            future.get(timeout=0)
        gate.open()
        assert waiting.result(PATIENCE) == "value"


def test_a_get_hook_is_called_once(ref: Any) -> None:
    """Even if what it brings is nothing; setting it besides is refused."""
    future = ref.actor_class.start().ask(threadsup.Future)
    calls: list[float | None] = []
    future.set_get_hook(calls.append)
    with pytest.raises(concurrent.futures.InvalidStateError, match="hook"):
        future.set(1)
    with pytest.raises(concurrent.futures.InvalidStateError, match="hook"):
        future.set_exception(ValueError())
    assert future.get(timeout=3) is None
    assert future.get(timeout=4) is None
    assert calls == [3]


def test_a_future_is_set_once() -> None:
    """The second time is an error, and so is a hook for what is there."""
    future: threadsup.Future[int] = threadsup.Future()
    future.set(1)
    with pytest.raises(concurrent.futures.InvalidStateError, match="already"):
        future.set(2)
    with pytest.raises(concurrent.futures.InvalidStateError, match="already"):
        future.set_get_hook(lambda timeout: 3)
    assert future.get() == 1


def test_set_exception_takes_the_one_being_handled() -> None:
    """With its traceback, which `get` keeps."""
    future: threadsup.Future[int] = threadsup.Future()
    try:
        raising()
    except ValueError:
        future.set_exception()
    with pytest.raises(ValueError, match="mine") as raised:
        future.get()
    assert raised.traceback[-1].name == "raising"


def test_map_passes_the_value_through(ref: Any) -> None:
    """As a whole, once, and fails as the function does."""
    calls: list[Any] = []

    def once(value: Any) -> Any:
        calls.append(value)
        return [value]

    mapped = ask(ref, {"a": 1}).map(once)
    assert mapped.get(timeout=PATIENCE) == [{"a": 1}] == mapped.get(timeout=0)
    assert calls == [{"a": 1}]
    with pytest.raises(TypeError):
        ask(ref, [1]).map(lambda items: items + 1).get(timeout=PATIENCE)


def test_filter_keeps_what_it_is_true_for(ref: Any) -> None:
    """Of an iterable; anything else is an error."""
    assert ask(ref, range(10)).filter(lambda n: n > 7).get(timeout=PATIENCE) == [8, 9]
    with pytest.raises(TypeError):
        ask(ref, 1).filter(bool).get(timeout=PATIENCE)


def test_reduce_makes_one_of_many(ref: Any) -> None:
    """From the left, with a first value if there is one."""

    def subtract(one: int, other: int) -> int:
        return one - other

    assert ask(ref, [9, 2, 3]).reduce(subtract).get(timeout=PATIENCE) == 4
    assert ask(ref, [9, 2, 3]).reduce(subtract, 20).get(timeout=PATIENCE) == 6
    assert ask(ref, []).reduce(subtract, 5).get(timeout=PATIENCE) == 5
    with pytest.raises(TypeError):
        ask(ref, 1).reduce(subtract).get(timeout=PATIENCE)


def test_join_gives_all_values(ref: Any) -> None:
    """In the order of the futures, with one of Pykka's among them, too."""
    theirs: pykka.Future[int] = pykka.ThreadingFuture()
    theirs.set(3)
    joined = ask(ref, 1).join(ask(ref, 2), theirs)
    assert joined.get(timeout=PATIENCE) == [1, 2, 3]


@pytest.mark.parametrize(
    "derive",
    [
        lambda future: future.map(str),
        lambda future: future.filter(bool),
        lambda future: future.reduce(max),
        lambda future: future.join(future),
        lambda future: future.map(str).map(len).join(future),
    ],
)
def test_what_is_derived_times_out(ref: Any, gate: Gate, derive: Any) -> None:
    """As what it is derived from."""
    with pytest.raises(pykka.Timeout):
        derive(ask(ref, "never")).get(timeout=0)


def test_it_is_a_future_of_the_standard_library(ref: Any) -> None:
    """`wait`, `as_completed`, callbacks and `result` work on it."""
    futures = [ask(ref, number) for number in range(3)]
    assert concurrent.futures.wait(futures, timeout=PATIENCE).not_done == set()
    done = concurrent.futures.as_completed(futures, timeout=PATIENCE)
    assert {each.result(0) for each in done} == {0, 1, 2}
    called: list[Any] = []
    futures[0].add_done_callback(called.append)
    assert called == [futures[0]]


def test_it_is_cancelled_while_the_message_is_queued(ref: Any, gate: Gate) -> None:
    """Then the message is not handled; after that it cannot be."""
    handled: list[int] = []
    future = ask(ref, lambda: handled.append(1))
    assert future.cancel()
    gate.open()
    last = ask(ref, "last")
    assert last.get(timeout=PATIENCE) == "last"
    assert handled == []
    assert not last.cancel()


def test_await_blocks_no_loop(ref: Any, gate: Gate) -> None:
    """What else is in the loop goes on, and lets the actor answer."""

    async def both() -> list[Any]:
        future = ask(ref, "value")

        async def wait() -> Any:
            return await future

        waiting = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.open()
        return [await waiting, await asyncio.wrap_future(future)]

    assert asyncio.run(both()) == ["value", "value"]


def test_await_raises_what_the_actor_raised(ref: Any) -> None:
    """As `get`."""

    async def wait() -> Any:
        return await ask(ref, raising)

    with pytest.raises(ValueError, match="mine"):
        asyncio.run(wait())


def test_it_can_be_yielded_from(ref: Any) -> None:
    """In a coroutine of the old style."""

    @types.coroutine
    def old() -> Generator[Any, None, Any]:
        value = yield from ask(ref, "value")
        return value

    async def new() -> Any:
        return await old()

    assert asyncio.run(new()) == "value"


def test_a_future_of_ones_own_answer_is_not_waited_for() -> None:
    """`get` in the actor raises at once, and so it does of what is derived from it."""

    class Selfish(threadsup.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            if message == "ping":
                return "pong"
            future = self.actor_ref.ask("ping", block=False)
            derived = future.map(str) if message == "map" else future
            with pytest.raises(threadsup.CallingSelfError, match="its own answer"):
                derived.get()
            return future

    ref = Selfish.start()
    for message in ("get", "map"):
        assert ref.ask(message, timeout=PATIENCE).get(timeout=PATIENCE) == "pong"


def test_a_function_that_is_mapped_may_not_wait_for_the_actor(ref: Any, gate: Gate) -> None:
    """It runs in the actor's thread: to wait there is an error, not the end of all."""
    mapped = ask(ref, 1).map(lambda value: ask(ref, value).get())
    gate.open()
    with pytest.raises(threadsup.CallingSelfError):
        mapped.get(timeout=PATIENCE)
    assert ref.ask("alive") == "alive"


def test_a_supervised_worker_does_not_wait_for_its_own_answer(
    supervise: Any,
) -> None:
    """By its own ref it asks without blocking, and gets that only later."""

    class Plain(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            if message == "ping":
                return threading.current_thread()
            future = message.ask("ping", block=False)
            with pytest.raises(threadsup.CallingSelfError):
                future.result(PATIENCE)
            return future

    ref = supervise(Plain)
    assert ref.ask(ref).get(timeout=PATIENCE) is ref.ask("ping")
