"""A breaker as an option of a stage: who counts together, and what is refused."""

from __future__ import annotations

import asyncio
import functools
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import (
    Batch,
    Breaker,
    BreakerOpen,
    SpecError,
    Worker,
    WorkerExited,
    load,
    stage,
)
from threadsup.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chain.conftest import MakeFlow
    from threadsup import StageSpec


class Flaky:
    """A function that fails as long as it is told to."""

    def __init__(self) -> None:
        self.fails = True
        self.calls = 0

    def __call__(self, item: Any) -> Any:
        self.calls += 1
        if self.fails:
            raise OSError(item)
        return item


class Step(Worker):
    """A stage whose `on_receive` is such a function."""

    def __init__(self, call: Any) -> None:
        self.call = call

    def on_receive(self, message: Any) -> Any:
        """Have it called."""
        return self.call(message)


class Actor(pykka.ThreadingActor):
    """The same, as a class of Pykka's, which also calls a method of its own."""

    def __init__(self, call: Any) -> None:
        super().__init__()
        self.call = call
        self.me: Any = self.actor_ref.proxy()

    def on_receive(self, message: Any) -> Any:
        """Have it called, or do with itself what a message that can be called says."""
        return message(self) if callable(message) else self.call(message)

    def note(self, what: Recorder[str]) -> None:
        """Say that it was called."""
        what("noted")


def declare(kind: Any, flaky: Flaky, **options: Any) -> StageSpec:
    """Return a stage that calls `flaky`."""
    return stage(*((flaky,) if kind is Flaky else (kind, flaky)), id="s", **options)


KINDS = pytest.mark.parametrize("kind", [Flaky, Step, Actor])


@KINDS
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("on_error", ["crash", "reject"])
def test_a_stage_that_fails_in_a_row_is_called_no_more(
    flow: MakeFlow, kind: Any, workers: int, on_error: str
) -> None:
    """All its lives and replicas count together; what is not called has failed all the same."""
    flaky = Flaky()
    breaker = Breaker(failures=2, reset_after=60.0)
    f = flow(declare(kind, flaky, workers=workers, breaker=breaker, on_error=on_error))
    for item, error in enumerate((OSError, OSError, BreakerOpen, BreakerOpen)):
        assert type(f.chain.submit(item).exception(PATIENCE)) is error
    assert flaky.calls == 2


@KINDS
def test_a_breaker_of_a_stage_closes_after_a_probe(flow: MakeFlow, kind: Any) -> None:
    """When its time is up one call is let through, and all are when that has succeeded."""
    flaky = Flaky()
    breaker = Breaker(failures=1, reset_after=5.0)
    with ManualClock() as clock:
        f = flow(declare(kind, flaky, breaker=breaker, on_error="reject"))
        assert type(f.chain.submit(0).exception(PATIENCE)) is OSError
        assert type(f.chain.submit(1).exception(PATIENCE)) is BreakerOpen
        flaky.fails = False
        clock.advance(5.0)
        assert [f.chain.submit(item).result(PATIENCE) for item in (2, 3)] == [2, 3]
        assert f.chain.drain(PATIENCE)
        f.chain.supervisor.stop()


@KINDS
def test_a_batch_is_one_call(flow: MakeFlow, kind: Any) -> None:
    """It fails as one, and is refused as one."""
    flaky = Flaky()
    breaker = Breaker(failures=1, reset_after=60.0)
    f = flow(declare(kind, flaky, breaker=breaker, batch=Batch(2, 1000.0), on_error="reject"))
    futures = [f.chain.submit(item) for item in range(4)]
    assert [type(future.exception(PATIENCE)) for future in futures] == [
        OSError,
        OSError,
        BreakerOpen,
        BreakerOpen,
    ]
    assert flaky.calls == 1


@KINDS
@pytest.mark.parametrize("on_error", ["crash", "reject"])
def test_an_item_that_is_given_up_on_has_failed(flow: MakeFlow, kind: Any, on_error: str) -> None:
    """At its time limit; what comes of it later counts for nothing."""
    gate, flaky = Gate("the hang"), Flaky()
    zombies: Recorder[threading.Thread] = Recorder()

    class Hanging(Flaky):
        def __call__(self, item: Any) -> Any:
            if item != "hang":
                return flaky(item)
            zombies(threading.current_thread())
            gate.meet()
            return "late"

    breaker = Breaker(failures=2, reset_after=60.0)
    options: dict[str, Any] = {"breaker": breaker, "time_limit": 0.05, "on_error": on_error}
    f = flow(declare(kind, Hanging(), **options))
    try:
        assert type(f.chain.submit("hang").exception(PATIENCE)) is WorkerExited
    finally:
        gate.open()
    zombies.wait_for(1)[0].join(PATIENCE)
    for error in (OSError, BreakerOpen):
        assert type(f.chain.submit(1).exception(PATIENCE)) is error


def test_what_an_actor_sends_itself_by_a_proxy_passes(flow: MakeFlow) -> None:
    """It is no item; also when the breaker has been opened since."""
    breaker = Breaker(failures=1, reset_after=60.0)
    noted: Recorder[str] = Recorder()

    def send(actor: Any) -> str:
        actor.me.note.defer(noted)
        with suppress(OSError):
            breaker.call(Flaky(), "open it")
        return "sent"

    f = flow(declare(Actor, Flaky(), breaker=breaker, on_error="reject"))
    assert f.chain.submit(send).result(PATIENCE) == "sent"
    assert noted.wait_for(1) == ["noted"]
    assert type(f.chain.submit(send).exception(PATIENCE)) is BreakerOpen


async def later(item: Any) -> Any:
    """Return it, when it is awaited."""
    return item


@functools.wraps(later)
def at_once(item: Any) -> Any:
    """Return it, when it is called."""
    return asyncio.run(later(item))


def test_a_function_that_looks_like_a_coroutine_function_may_have_one(flow: MakeFlow) -> None:
    """What it is called for is told by what it does, not by what it wraps."""
    f = flow(stage(at_once, breaker=Breaker()))
    assert f.chain.submit(1).result(PATIENCE) == 1


def generate(item: Any) -> Any:
    """Return it, twice."""
    yield item
    yield item


class Generating(Worker):
    """The same, as a class."""

    def on_receive(self, message: Any) -> Any:
        """Return it, twice."""
        yield from generate(message)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: stage(generate, breaker=Breaker()), "a generator function"),
        (lambda: stage(Generating, breaker=Breaker()), "a generator function"),
        (lambda: stage(Flaky(), id="s", breaker=3), "must be a Breaker, not 3"),  # type: ignore[arg-type]
    ],
)
def test_where_it_would_do_nothing_it_is_refused(make: Any, problem: str) -> None:
    """At once, with what to do instead."""
    with pytest.raises(SpecError, match=f"breaker: .*{problem}"):
        make()


def test_a_file_may_declare_one(tmp_path: Path) -> None:
    """As a table, with the names of its fields."""
    (tmp_path / "tree.toml").write_text(
        '[supervisor]\nname = "t"\n[[chain]]\nid = "c"\n[[chain.stage]]\ntarget = "json:loads"\n'
        "breaker = { failures = 2, reset_after = 1.5 }\n"
    )
    (chain,) = load(tmp_path / "tree.toml", allow=("json",)).children
    found: Any = chain
    assert found.stages[0].breaker == Breaker(failures=2, reset_after=1.5)
