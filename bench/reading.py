"""Looking at a large tree: `statistics()` and `tree()` of ten thousand idle workers.

Owns the large tree. Figures are milliseconds per call. It must not know the library's
insides.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bench.bars import at_most
from bench.contestants import same
from bench.work import Row, Work
from threadsup import Supervisor, handler, worker_spec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WORKS"]

WORKERS = 10_000
LOOKS = 5


def looked_at(count: int) -> tuple[float, ...]:
    """Start so many workers in groups of a hundred; return the median of some looks at them."""
    with Supervisor("bench") as sup:
        for first in range(0, count, 100):
            numbers = range(first, min(first + 100, count))
            sup.add_group(first, [worker_spec(handler(same), id=number) for number in numbers])
        return _median(sup.statistics), _median(sup.tree)


def _median(look: Callable[[], Any]) -> float:
    times = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        look()
        times.append(time.perf_counter() - began)
    return sorted(times)[LOOKS // 2] * 1e3


_BAR = at_most(100.0, unit="ms")

WORKS = (
    Work(
        rows=(
            Row(f"statistics() of {WORKERS:,} idle workers", "ms", _BAR),
            Row(f"tree() of {WORKERS:,} idle workers", "ms", _BAR),
        ),
        ways={"threadsup": looked_at},
        count=WORKERS,
        quick=20,
        rounds=2,
    ),
)
