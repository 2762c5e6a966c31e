"""A pool with a capacity: who submits waits for room, or is refused."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import CallingSelfError, MailboxFull, NotRunningError, Pool

if TYPE_CHECKING:
    from tests.pool.conftest import MakePool


pytestmark = pytest.mark.usefixtures("lines")


def waiting(made: Pool, count: int) -> None:
    """Wait until so many senders have come into the line for room."""
    line: Any = made._core.shared.senders
    line.came.wait_for(count)


def in_thread(fn: Any, *args: Any) -> tuple[threading.Thread, Recorder[Any]]:
    seen: Recorder[Any] = Recorder()

    def run() -> None:
        try:
            seen(fn(*args))
        except BaseException as error:
            seen(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, seen


def held(made: Pool) -> Gate:
    """Hold the only worker of a pool at a gate."""
    gate = Gate()
    made.submit(gate.meet)
    gate.wait_reached()
    return gate


def test_who_submits_to_a_full_pool_waits_for_room(pool: MakePool) -> None:
    """Until a worker has taken something; then all get in, one after the other."""
    made = pool(1, capacity=1)
    gate = held(made)
    made.submit(pow, 1, 1)
    threads = [in_thread(made.submit, pow, n, 2) for n in (2, 3)]
    waiting(made, 2)
    assert not threads[0][1].items
    gate.open()
    results = sorted(seen.wait_for(1)[0].result(PATIENCE) for _, seen in threads)
    assert results == [4, 9]
    for thread, _ in threads:
        thread.join(PATIENCE)


def test_a_full_pool_refuses_where_it_does_not_wait(pool: MakePool) -> None:
    """With `on_full="raise"` it is `MailboxFull` at once."""
    made = pool(1, capacity=1, on_full="raise")
    gate = held(made)
    future = made.submit(pow, 1, 1)
    with pytest.raises(MailboxFull, match="no room"):
        made.submit(pow, 1, 1)
    with pytest.raises(MailboxFull):
        made.map(abs, [1, 2])
    gate.open()
    assert future.result(PATIENCE) == 1


def test_a_map_waits_for_room_as_well(pool: MakePool) -> None:
    """A stream that is longer than the queue goes through."""
    made = pool(2, capacity=3)
    assert list(made.map(abs, range(100))) == list(range(100))


def test_a_shutdown_lets_go_of_who_waits_for_room(pool: MakePool) -> None:
    """They are refused: what they bring was never accepted."""
    made = pool(1, capacity=1)
    gate = held(made)
    made.submit(pow, 1, 1)
    thread, seen = in_thread(made.submit, pow, 1, 1)
    waiting(made, 1)
    made.shutdown(wait=False)
    assert type(seen.wait_for(1)[0]) is NotRunningError
    gate.open()
    thread.join(PATIENCE)


def test_a_task_never_waits_for_room_in_its_own_pool(pool: MakePool) -> None:
    """The one who is to make room would wait for it: it is told."""
    made = pool(1, capacity=1)

    def work() -> None:
        made.submit(pow, 1, 1)
        made.submit(pow, 1, 1)

    error = made.submit(work).exception(PATIENCE)
    assert type(error) is CallingSelfError
    assert "its own pool" in str(error)


def test_a_task_of_another_pool_may_wait(pool: MakePool) -> None:
    """Only the pool's own workers are refused."""
    first, second = pool(1), pool(1, capacity=1)
    gate = held(second)
    second.submit(pow, 1, 1)
    future = first.submit(lambda: second.submit(pow, 2, 2))
    waiting(second, 1)
    gate.open()
    assert future.result(PATIENCE).result(PATIENCE) == 4
