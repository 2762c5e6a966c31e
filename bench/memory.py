"""A stream of any length in memory of a fixed size.

Owns the watching of the memory this process has, while `map` gives its results. It must
not know the library's insides.

`python -m bench.memory FORM ITEMS` prints one number: by how many MB the memory grew at
most. The figure is taken in a process of its own, whose heap has no holes that could hide
a growth: a table of the benchmark leaves many.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contestants import PATIENCE, same
from bench.work import Bar, Row, Work
from threadsup import Supervisor, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["WORKS", "growth", "resident"]

_SAMPLES = 500
"""How often the memory is looked at."""
_WARM = 20
"""After how many of these the growth begins: buffers are filled then, pools made."""
MOST = 20.0
"""MB it may grow."""

_PAGE = 4096


def resident() -> int:
    """Return how many bytes of this process are in memory."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * _PAGE
    import resource  # noqa: PLC0415 - not on every system, and then not needed

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def of_many(items: int) -> Iterator[Any]:
    """Map a stream of so many items."""
    with Supervisor("bench") as sup:
        chain = sup.add_chain("chain", [stage(same, id=number) for number in range(3)])
        yield from chain.map(iter(range(items)))


def of_one(values: int) -> Iterator[Any]:
    """Map one item that becomes so many values in the middle of the chain."""

    def burst(count: int) -> Iterator[int]:
        yield from range(count)

    with Supervisor("bench") as sup:
        stages = [stage(same, id="before"), stage(burst), stage(same, id="after")]
        yield from sup.add_chain("chain", stages).map([values])


FORMS: dict[str, Callable[[int], Iterator[Any]]] = {"many": of_many, "one": of_one}


def growth(form: str, count: int) -> float:
    """Return by how many MB the memory grows over a stream of `count` results. Blocks."""
    every = max(1, count // _SAMPLES)
    before = most = resident()
    read = 0
    for read, _ in enumerate(FORMS[form](count), 1):
        if read % every == 0:
            now = resident()
            if read <= every * _WARM:
                before = most = now
            most = max(most, now)
    if read != count:
        raise RuntimeError(f"{read} results of {count}")
    return (most - before) / 1e6


def _apart(form: str, count: int) -> tuple[float, ...]:
    done = subprocess.run(  # noqa: S603 - this very module
        [sys.executable, "-m", "bench.memory", form, str(count)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        timeout=PATIENCE + count / 10_000,
    )
    return (float(done.stdout),)


def _flat(medians: Any) -> bool:
    return bool(medians["threadsup"] <= MOST)


_BAR = Bar(f"grows <= {MOST:g} MB", _flat)

WORKS = (
    Work(
        rows=(Row("memory, a stream of many items", "MB", _BAR),),
        ways={"threadsup": partial(_apart, "many")},
        count=10_000_000,
        quick=1_000,
        rounds=1,
    ),
    Work(
        rows=(Row("memory, one item becomes a million", "MB", _BAR),),
        ways={"threadsup": partial(_apart, "one")},
        count=1_000_000,
        quick=1_000,
        rounds=1,
    ),
)


if __name__ == "__main__":
    print(growth(sys.argv[1], int(sys.argv[2])))
