"""A tree with nothing to do: the processor time, the wake-ups and the memory it takes.

Owns the looking at threads and pages. It must not know the library's insides.

`python -m bench.idling WHO WORKERS` prints one number: the bytes each idle worker takes, in
a process of its own, whose heap has no holes that could hide them.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.bars import at_most, over
from bench.contestants import PATIENCE, Goal
from bench.crews import TOLD
from bench.memory import resident
from bench.work import Row, Work
from threadsup import Supervisor, handler, worker_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    Call = Callable[[Any], Any]

__all__ = ["CREWS", "WORKS", "bytes_each", "quiet", "still"]

SECONDS = 2.0
"""How long idle threads are watched."""
CALM = 0.2
"""Seconds until those that are up have come to rest."""


@contextmanager
def grouped(handles: Sequence[Call]) -> Iterator[list[Call]]:
    """A member of one group each."""
    with Supervisor("bench") as sup:
        members = [worker_spec(handler(each), id=n) for n, each in enumerate(handles)]
        group = sup.add_group("group", members)
        yield [group.worker(number).tell for number in range(len(handles))]


@contextmanager
def pooled(handles: Sequence[Call]) -> Iterator[list[Call]]:
    """One executor with as many threads, each of which has had a call."""
    gate = threading.Barrier(len(handles))

    def meet(handle: Call, message: Any) -> None:
        gate.wait(PATIENCE)  # so that nobody does two
        handle(message)

    with ThreadPoolExecutor(len(handles)) as pool:

        def call(handle: Call) -> Call:
            return lambda message: pool.submit(meet, handle, message)

        yield list(map(call, handles))


CREWS: dict[str, Callable[[Sequence[Call]], AbstractContextManager[list[Call]]]] = {
    "floor": TOLD["floor"],
    "Pykka": TOLD["Pykka"],
    "ThreadPoolExecutor": pooled,
    "threadsup": grouped,
}


def wake(tells: Sequence[Call], goals: Sequence[Goal]) -> None:
    """Have every worker handle one message: a thread that was never awake is not idle."""
    for tell in tells:
        tell(0)
    for goal in goals:
        goal.wait()
    time.sleep(CALM)


# -- processor time ---------------------------------------------------------------------


def still(who: str, count: int) -> tuple[float, ...]:
    """Watch so many idle workers; return processor milliseconds and wake-ups per second.

    Raises:
        NotImplementedError: this system does not tell of single threads.
    """
    goals = [Goal(1) for _ in range(count)]
    with CREWS[who](goals) as tells:
        wake(tells, goals)
        return quiet(SECONDS if count >= WATCHED else SECONDS / 20)


def quiet(seconds: float) -> tuple[float, float]:
    """Return what all other threads of this process do within the seconds, per second.

    Raises:
        NotImplementedError: this system does not tell of single threads.
    """
    before = _threads()
    time.sleep(seconds)
    after = _threads()
    both = before.keys() & after.keys()
    busy = sum(after[each][0] - before[each][0] for each in both)
    woken = sum(after[each][1] - before[each][1] for each in both)
    return busy / 1e6 / seconds, (woken + len(before.keys() ^ after.keys())) / seconds


def _threads() -> dict[str, tuple[int, int]]:
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        raise NotImplementedError("no /proc/self/task here")
    ours = str(threading.get_native_id())
    found = {}
    for task in tasks.iterdir():
        if task.name != ours:
            nanoseconds = int((task / "schedstat").read_text().split()[0])
            lines = (task / "status").read_text().splitlines()
            found[task.name] = nanoseconds, _number(lines, "voluntary_ctxt_switches:")
    return found


def _number(lines: Sequence[str], name: str) -> int:
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


# -- memory -----------------------------------------------------------------------------


def bytes_each(who: str, count: int) -> float:
    """Return how many bytes of memory each of so many idle workers takes."""
    goals = [Goal(1) for _ in range(count)]
    before = resident()
    with CREWS[who](goals) as tells:
        wake(tells, goals)
        return (resident() - before) / count


def kib_each(who: str, count: int) -> tuple[float, ...]:
    """Ask a process of its own; return KiB."""
    done = subprocess.run(  # noqa: S603 - this very module
        [sys.executable, "-m", "bench.idling", who, str(count)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        timeout=PATIENCE,
    )
    return (float(done.stdout) / 1024,)


# -- works ------------------------------------------------------------------------------

WATCHED = 100

WORKS = (
    Work(
        rows=(
            Row(f"{WATCHED} idle workers: processor", "ms/s", at_most(0, unit="ms/s")),
            Row(f"{WATCHED} idle workers: wake-ups", "1/s", at_most(0, unit="1/s")),
        ),
        ways={who: partial(still, who) for who in CREWS},
        count=WATCHED,
        quick=5,
        rounds=3,
    ),
    Work(
        rows=(Row("memory of an idle worker", "KiB", over("floor", 1 / 1.3)),),
        ways={who: partial(kib_each, who) for who in CREWS},
        count=1000,
        quick=200,
        rounds=3,
    ),
)


if __name__ == "__main__":
    print(bytes_each(sys.argv[1], int(sys.argv[2])))
