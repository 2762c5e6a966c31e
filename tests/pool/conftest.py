"""Pools that are shut down after the test."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.helpers import Recorder
from threadsup import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator


class MakePool(Protocol):
    """Makes a pool that the fixture stops."""

    def __call__(self, max_workers: int | None = 2, **options: Any) -> Pool: ...


class Line(deque[Any]):
    """A queue or a line of a pool that tells who comes."""

    def __init__(self) -> None:
        super().__init__()
        self.came: Recorder[Any] = Recorder()

    def append(self, who: Any, /) -> None:
        """Append and tell."""
        super().append(who)
        self.came(who)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the lines of pools tell who comes: `backlog.senders.came.wait_for(2)`."""
    monkeypatch.setattr("threadsup._pool.backlog.deque", Line)


@pytest.fixture
def pool(no_thread_left: None) -> Iterator[MakePool]:
    """Make pools, and stop the tree of each after the test."""
    del no_thread_left  # taken so that the pools are gone before it looks
    made: list[Pool] = []

    def make(max_workers: int | None = 2, **options: Any) -> Pool:
        made.append(Pool(max_workers, **options))
        return made[-1]

    yield make
    for each in made:
        each.shutdown(wait=False, cancel_futures=True)
        each.supervisor.stop(timeout=5.0)
