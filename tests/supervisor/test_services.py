"""What a tree does for its scopes: settling without user code, promises, the side thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from tests.supervisor.trees import outcome
from threadsup import Future, NotRunningError
from threadsup._runtime.side import Side
from threadsup._supervisor.services import TreeServices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def services() -> Iterator[TreeServices]:
    made = TreeServices("app", 1, lambda error: None)
    made.start((lambda _: None, None))
    yield made
    made.loop.post(lambda _: setattr(made.loop, "over", True), None)
    made.loop.thread.join(PATIENCE)
    made.side.end()
    made.side.join(PATIENCE)


def test_a_future_is_settled_where_no_callback_is_heard(services: TreeServices) -> None:
    """At once without callbacks, else in the side thread: never here (DESIGN 3.12)."""
    threads: Recorder[str] = Recorder()
    quiet: Future[Any] = Future()
    services.settle(quiet, value=1)
    assert quiet.result(0) == 1
    for settling in ({"value": 2}, {"error": ValueError("no")}):
        heard: Future[Any] = Future()
        heard.add_done_callback(lambda _: threads(threading.current_thread().name))
        services.settle(heard, **settling)
        heard.exception(PATIENCE)
    assert threads.wait_for(2) == ["app-side", "app-side"]


def test_a_future_of_plain_pykka_is_settled_at_once(services: TreeServices) -> None:
    """It has no callbacks; one that is settled already stays as it is."""
    future: pykka.Future[int] = pykka.ThreadingFuture()
    services.settle(future, value=1)
    services.settle(future, error=ValueError())
    assert future.get(timeout=0) == 1
    failing: pykka.Future[int] = pykka.ThreadingFuture()
    services.settle(failing, error=ValueError("no"))
    assert type(outcome(failing.get, timeout=0)) is ValueError
    services.settle(None)


def test_a_promise_is_known_until_it_is_kept(services: TreeServices) -> None:
    """Or until the request was refused: nothing piles up."""
    gate = Gate()
    promise: Future[bool] = Future()
    services.request(lambda _: gate.meet(), None, promise)
    gate.wait_reached()
    assert services._promises == {promise}
    services.settle(promise, value=True)
    assert services._promises == set()
    gate.open()
    services.loop.request(lambda _: setattr(services.loop, "over", True), None)
    services.loop.thread.join(PATIENCE)
    late: Future[bool] = Future()
    with pytest.raises(NotRunningError):
        services.request(lambda _: None, None, late)
    assert services._promises == set()


def test_broken_promises_fail(services: TreeServices) -> None:
    """All of them, and each once."""
    promises: list[Future[bool]] = [Future() for _ in range(3)]
    for promise in promises:
        services.request(lambda _: None, None, promise)
    error = RuntimeError("no more")
    services.break_promises(error)
    services.break_promises(error)
    assert [outcome(promise.result, 0) for promise in promises] == [error] * 3


def test_events_go_to_those_who_listened_when_they_happened(services: TreeServices) -> None:
    """Who subscribes later is told from then on, who left is told nothing more."""
    gate = Gate()
    early, late = Recorder[Any](), Recorder[Any]()
    services.side.do(gate.meet)
    gate.wait_reached()
    services.subscribe(early)
    leaving = services.subscribe(boom)
    services.publish("first")  # type: ignore[arg-type]
    services.subscribe(late)
    services.publish("second")  # type: ignore[arg-type]
    leaving()
    gate.open()
    assert late.wait_for(1) == ["second"]
    assert early.items == ["first", "second"]
    assert services.side.failed == 0


def boom(event: object) -> None:
    raise AssertionError(event)


# -- the side thread --------------------------------------------------------------------


def test_jobs_run_in_order_whatever_they_raise() -> None:
    """And are counted when they do."""
    log: Recorder[Any] = Recorder()
    side = Side("app")
    jobs: list[Callable[[], object]] = [lambda: log(1), lambda: 1 / 0, lambda: log(2)]
    for job in jobs:
        side.do(job)  # before the start they wait
    side.start()
    assert log.wait_for(2) == [1, 2]
    side.end()
    assert side.join(PATIENCE)
    assert side.failed == 1


def test_what_comes_behind_the_end_is_run_by_who_brings_it() -> None:
    """A notice is never lost; an event is, and counted."""
    threads: Recorder[str] = Recorder()
    side = Side("app")
    side.start()
    side.end()
    assert side.join(PATIENCE)
    side.do(lambda: threads(threading.current_thread().name))
    assert threads.items == [threading.current_thread().name]
    side.post(lambda: threads("never"))
    assert side.dropped == 1
    assert len(threads) == 1


def test_jobs_put_before_the_end_are_run() -> None:
    """By the thread itself, also those that come in between."""
    gate, log = Gate(), Recorder[Any]()
    side = Side("app")
    side.start()
    side.do(gate.meet)
    gate.wait_reached()
    side.do(lambda: log("before"))
    side.end()
    side.do(lambda: log("behind"))
    assert not side.join(0)
    gate.open()
    assert side.join(PATIENCE)
    assert log.items == ["before", "behind"]


def test_the_side_thread_knows_itself() -> None:
    """Before the start, within, and after the end."""
    told: Recorder[bool] = Recorder()
    side = Side("app")
    assert not side.is_current
    assert side.join(0)
    side.start()
    side.do(lambda: told(side.is_current))
    assert told.wait_for(1) == [True]
    assert not side.is_current
    side.end()
    side.join(PATIENCE)


def test_a_failing_callback_is_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """The first, the tenth, the hundredth (F79)."""
    side = Side("app")
    for _ in range(150):
        side.run(lambda: 1 / 0)
    assert [record.message for record in caplog.records] == [
        "a callback failed (1 so far)",
        "a callback failed (10 so far)",
        "a callback failed (100 so far)",
    ]
    assert caplog.records[0].exc_info is not None
