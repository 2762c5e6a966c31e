"""What a worker knows of itself, and `sleep`, the plainest of its waits."""

from __future__ import annotations

from math import inf, nan
from time import monotonic

import pytest

from tests.runtime.forcing import note_sleepers, run, run_as_worker
from threadsup._exits import Normal, Shutdown, WorkerExit
from threadsup._runtime.context import Context, Place, StopToken, current, enter, leave, sleep

STOP = Shutdown("the test")


def task() -> StopToken:
    return StopToken(task=True)


def handler() -> StopToken:
    return StopToken(task=False)


# -- sleep ----------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-1, -0.001, -inf, nan])
def test_sleep_takes_no_negative_time(seconds: float) -> None:
    """`sleep` raises `ValueError` for less than nothing and for no number."""
    with pytest.raises(ValueError, match="seconds must be 0 or more"):
        sleep(seconds)


def test_sleep_takes_numbers() -> None:
    """`sleep` raises `TypeError` for text."""
    with pytest.raises(TypeError):
        sleep("1")  # type: ignore[arg-type]


def test_sleep_sleeps() -> None:
    """`sleep` takes its time, in a worker and outside."""
    for worker in (run(sleep, 0.005), run_as_worker(handler(), sleep, 0.005)):
        begin = monotonic()
        worker.result()
        assert monotonic() >= begin
    begin = monotonic()
    sleep(0)
    sleep(0.005)
    assert monotonic() - begin >= 0.005


def test_a_stop_ends_the_sleep_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a task sleeps, it leaves when it is asked to stop."""
    sleepers = note_sleepers(monkeypatch)
    token = task()
    waiting = run_as_worker(token, sleep, inf)
    sleepers.wait_for(1)
    token.ask(STOP, inf)
    with pytest.raises(WorkerExit):
        waiting.result()


# -- the context ----------------------------------------------------------------------


def test_a_thread_of_nobody_has_no_context() -> None:
    """`current` is `None` outside a worker, and in a thread that a worker started."""
    assert current() is None
    assert run_as_worker(task(), lambda: run(current).result()).result() is None


def test_a_worker_finds_its_context() -> None:
    """`current` is what the thread entered, until it leaves."""
    mine = Context(id="w", kind="task", incarnation=2, token=task())

    def body() -> list[Context | None]:
        seen = [current()]
        enter(mine)
        seen.append(current())
        leave()
        return [*seen, current()]

    assert run(body).result() == [None, mine, None]


def test_a_context_tells_where_its_worker_belongs() -> None:
    """Supervisor, group and chain are those of its place; `None` without one."""
    place = Place(supervisor="s", group="g", chain="c")
    placed = Context(id="w", kind="stage", incarnation=1, token=task(), place=place)
    assert (placed.supervisor, placed.group, placed.chain) == ("s", "g", "c")
    alone = Context(id=("g", 1), kind="task", incarnation=3, token=task())
    assert (alone.supervisor, alone.group, alone.chain) == (None, None, None)
    assert repr(alone) == "<Context of task ('g', 1), incarnation 3>"


def test_a_context_is_stopping_when_asked() -> None:
    """`stopping` is what a busy worker looks at between its waits."""
    token = task()
    mine = Context(id="w", kind="task", incarnation=1, token=token)
    assert not mine.stopping
    token.ask(Normal(), inf)
    assert mine.stopping


def test_a_fenced_worker_reaches_nobody() -> None:
    """Through its context an abandoned incarnation speaks to nobody any more."""
    token = task()
    mine = Context(id="w", kind="task", incarnation=1, token=token, place=Place("s", "g", "c"))
    token.fence(STOP)
    for name in ("supervisor", "group", "chain"):
        with pytest.raises(WorkerExit):
            getattr(mine, name)


def test_only_tasks_reply() -> None:
    """`reply` goes to the task; a handler answers with what it returns."""
    mine = Context(id="w", kind="handler", incarnation=1, token=task())
    with pytest.raises(RuntimeError, match="for tasks"):
        mine.reply(1)

    class Tasks:
        said: object = None

        def receive(self, timeout: float | None) -> None: ...

        def reply(self, value: object) -> None:
            self.said = value

    mine.tasks = tasks = Tasks()
    mine.reply(1)
    assert tasks.said == 1
