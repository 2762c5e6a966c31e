"""A breaker as an option of a stage or a worker: who counts together, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE
from threadsup import (
    Breaker,
    BreakerOpen,
    SpecError,
    Supervisor,
    Worker,
    handler,
    load,
    stage,
)
from threadsup.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chain.conftest import MakeFlow
    from tests.conftest import MakeSupervisor


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


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stage_that_fails_in_a_row_is_called_no_more(flow: MakeFlow, workers: int) -> None:
    """All its replicas count together; what is not called has failed all the same."""
    flaky = Flaky()
    breaker = Breaker(failures=2, reset_after=60.0)
    f = flow(stage(flaky, id="s", workers=workers, breaker=breaker, on_error="reject"))
    for item, error in enumerate((OSError, OSError, BreakerOpen, BreakerOpen)):
        assert type(f.chain.submit(item).exception(PATIENCE)) is error
    assert flaky.calls == 2


def test_a_breaker_of_a_stage_closes_after_a_probe(flow: MakeFlow) -> None:
    """When its time is up one call is let through, and all are when that has succeeded."""
    flaky = Flaky()
    breaker = Breaker(failures=1, reset_after=5.0)
    with ManualClock() as clock:
        f = flow(stage(flaky, id="s", breaker=breaker, on_error="reject"))
        assert type(f.chain.submit(0).exception(PATIENCE)) is OSError
        assert type(f.chain.submit(1).exception(PATIENCE)) is BreakerOpen
        flaky.fails = False
        clock.advance(5.0)
        assert [f.chain.submit(item).result(PATIENCE) for item in (2, 3)] == [2, 3]
        assert f.chain.drain(PATIENCE)
        f.chain.supervisor.stop()


def test_the_lives_of_a_worker_count_together(supervisor: MakeSupervisor) -> None:
    """A failure is a crash still; the next life finds the breaker as the last one left it."""
    flaky = Flaky()
    tree: Supervisor = supervisor(max_restarts=10).start()
    ref = tree.add_worker(handler(flaky), id="w", breaker=Breaker(failures=2, reset_after=60.0))
    for error in (OSError, OSError, BreakerOpen):
        assert type(ref.ask(1, block=False).exception(PATIENCE)) is error
    assert flaky.calls == 2


class Counter(Worker):
    """A class, whose messages have no breaker."""

    def on_receive(self, message: Any) -> Any:
        """Return it."""
        return message


def generate(item: Any) -> Any:
    """Return it, twice."""
    yield item
    yield item


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Supervisor().add_worker(print, breaker=Breaker()), "makes one call"),
        (lambda: Supervisor().add_worker(Counter, breaker=Breaker()), "is a class"),
        (lambda: stage(Counter, breaker=Breaker()), "is a class"),
        (lambda: stage(generate, breaker=Breaker()), "a generator function"),
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
