"""`Pool`: an `Executor` of the standard library over supervised workers.

Owns the front: what users call, the checks, and which supervisor the workers are under. It
must not know how a task is done; `threadsup._pool` does.

The design. There is one queue, as in a `ThreadPoolExecutor`, and not one per worker: a
task never waits behind a long one while a worker is idle. It is a `deque`, whose ends are
one C call each; the idle workers stand in another. Who submits appends the task, and wakes
the worker that went idle last, if there is one: so a burst costs one wake-up per idle worker,
and none per task. An idle worker sleeps at its own mailbox, where every signal for it
arrives as well; a busy one looks at its signals between two tasks.

A task in a worker's hand is to supervision what a message in hand is: a time limit, an
abandonment, a crash and the counters need to know nothing else. The future of the task is
settled by whoever takes it out of the hand, once.

`map` makes no futures, as nobody would ever see them: tasks go in all at once, and what
they return is put where the reader of the results looks, who is woken only if he waits for
that very one.

A failed task that is to be tried again is put away with a timer of the tree; no worker waits
with it. With `routing="partition"` each worker has a queue of its own, by key.
"""

from __future__ import annotations

import os
import weakref
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from itertools import count
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    final,
    overload,
)

from threadsup._checks import optional, shown
from threadsup._errors import CallingSelfError, NotRunningError, SpecError, StartError
from threadsup._pool import leaving
from threadsup._pool.backlog import Backlog
from threadsup._pool.core import Core, Task
from threadsup._pool.counts import PoolStatistics
from threadsup._pool.crew import Crew, is_in
from threadsup._pool.options import check, instance, several
from threadsup._pool.partition import Lane, Partition
from threadsup._pool.stream import results
from threadsup._pool.work import Submitted
from threadsup._pool.worker import Setup
from threadsup._runtime.future import Future
from threadsup._supervisor import Supervisor
from threadsup._tools import Fuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from threadsup._dead_letters import DeadLetter
    from threadsup._policy.backoff import Backoff
    from threadsup._policy.breaker import Breaker, CircuitState
    from threadsup._policy.retry import Retry

__all__ = ["Pool", "PoolStatistics", "Task"]

P = ParamSpec("P")
T = TypeVar("T")

_numbers = count(1)


class _Key(Protocol):
    """Tells tasks apart: called with the arguments of the task."""

    def __call__(self, *args: Any, **kwargs: Any) -> object: ...


@final
class Pool(Executor):
    """An executor whose workers are supervised.

    ```python
    with Pool(4, retry=Retry(attempts=3), time_limit=30.0) as pool:
        future = pool.submit(fetch, url)
        pages = list(pool.map(fetch, urls))
    ```

    Behaves as `concurrent.futures.ThreadPoolExecutor` does, and takes its arguments. Its
    workers are all started at once. A task that ends by anything but an `Exception`, such
    as `SystemExit`, is a crash: its future raises `WorkerExited`, the worker is restarted,
    and no other task notices. Past the budget of restarts the pool is broken: what waits
    raises `PoolBroken`, which is a `BrokenThreadPool`, and so does `submit`.

    Args:
        max_workers: How many tasks run at once; by default as many as a
            `ThreadPoolExecutor` takes.
        thread_name_prefix: What the names of the threads begin with.
        initializer: Called in each worker's thread when a life of it begins; if it fails
            the pool is broken.
        initargs: Its arguments.
        name: Of the supervisor, or of the group under a given one; made where not given.
        capacity: How many tasks may wait, with `"partition"` for each worker; `None`: any
            number.
        on_full: What `submit` does at that bound: `"wait"`, or `"raise"` `MailboxFull`.
        retry: Which failed tasks are tried again, and after which pause; no worker waits
            meanwhile. A crash or a time limit is a `WorkerExited` to it.
        breaker: When tasks are not begun any more and fail with `BreakerOpen`.
        routing: `"shared"`: whoever is free takes the next one; `"partition"`: tasks of
            one key go to one worker, in order. What is tried again loses its place.
        key: With `"partition"`: called with a task's arguments by who submits it; returns a
            `str`, `bytes`, `int` or a tuple of these.
        on_dead_letter: Called, in the tree's side thread, with a `DeadLetter` for each
            task that will never give a result; its `message` is a `Task`. Without it
            only crashes, time limits and what a broken pool leaves are recorded.
        time_limit: How many seconds a task may take. Past them its worker is abandoned
            and replaced, and the future raises `WorkerExited`.
        init: Called, without arguments, when a life of a worker begins; what it returns
            is the worker's own, and the first argument of each of its tasks.
        supervisor: Under which the workers are to be; by default one of the pool's own.
        max_restarts, max_seconds, backoff: The budget of restarts; by default the
            supervisor's.
        shutdown: How many seconds a task may go on when the tree is stopped.
        max_zombies: How many abandoned threads the pool bears; only without `supervisor`.
        exit_timeout: As the process ends, how many seconds the pool is waited for while
            no task ends; `None` without limit.

    Blocks: until the workers are up.

    Raises:
        SpecError: an option is wrong, or they contradict each other; names every fault.
            A `ValueError`.
        TypeError: an option is unknown, or `initializer` is no function.
        StartError: `init` has failed.
        DuplicateChildError: the name is taken.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        name: str | None = None,
        capacity: int | None = None,
        on_full: Literal["wait", "raise"] = "wait",
        retry: Retry | None = None,
        breaker: Breaker | None = None,
        routing: Literal["shared", "partition"] = "shared",
        key: _Key | None = None,
        on_dead_letter: Callable[[DeadLetter], object] | None = None,
        time_limit: float | None = None,
        init: Callable[[], object] | None = None,
        supervisor: Supervisor | None = None,
        max_restarts: int | None = None,
        max_seconds: float | None = None,
        backoff: Backoff | None = None,
        shutdown: float = 5.0,
        max_zombies: int | None = None,
        exit_timeout: float | None = leaving.DEFAULT_LIMIT,
    ) -> None:
        check(dict(locals()), supervisor=optional(instance(Supervisor)))
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self.name = name or f"pool-{next(_numbers)}"
        self._owns = supervisor is None
        if supervisor is None:
            zombies: Any = {} if max_zombies is None else {"max_zombies": max_zombies}
            supervisor = Supervisor(self.name, auto_shutdown="all", **zombies)
        self.supervisor = supervisor
        """Under which the workers are."""
        self._core = core = Core(
            self.name,
            supervisor._services,  # noqa: SLF001 - the pool is a part of the tree
            retry=retry,
            fuse=None if breaker is None else Fuse(breaker),
            on_dead_letter=on_dead_letter,
        )
        shape: Any = {"waits": on_full == "wait", "is_own": partial(is_in, supervisor, self.name)}
        place = f"pool {self.name!r}", capacity
        workers = max_workers or _default_workers()
        sources: list[Backlog]
        if key is None:
            core.shared = Backlog(*place, **shape)
            sources = [core.shared] * workers
        else:
            core.key, core.partition = key, Partition(partial(Lane, *place, **shape), workers)
            sources = [*core.partition.lanes]
        setup = Setup(thread_name_prefix, initializer, initargs, init)
        options = {"shutdown": shutdown, "time_limit": time_limit}
        self._crew = Crew(core, supervisor, setup, options)
        budget = {"max_restarts": max_restarts, "max_seconds": max_seconds, "backoff": backoff}
        try:
            self._crew.start(sources, owned=self._owns, **budget)
        except StartError as error:
            if initializer is None:
                raise
            # As the standard library documents it: who submits is told.
            core.break_down(f"its initializer failed: {error}", error)
            core.end("")
            return
        leaving.enrol(core, exit_timeout)
        # A pool that nobody holds any more finishes what it has, and goes.
        weakref.finalize(self, core.close).atexit = False

    def __repr__(self) -> str:
        state = "shut down" if self._core.closed else "running"
        return f"<Pool {self.name!r}, {len(self)} workers, {state}>"

    # -- the executor's -------------------------------------------------------------

    @overload
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...

    @overload
    def submit(
        self, fn: Callable[Concatenate[Any, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have `fn(*args, **kwargs)` called by a worker.

        Blocks: only at the bound of a pool that has one and waits there.

        Returns:
            A future of what it returns; `cancel()` works until it has begun.

        Raises:
            MailboxFull: there is no room, and the pool does not wait for it.
            NotRunningError: the pool was shut down; a `RuntimeError`.
            PoolBroken: its workers are gone for good; a `BrokenThreadPool`.
            CallingSelfError: from a task of this pool, where it would have to wait.
            TypeError: `fn` is no function, or the key of no type that can be one.
        """
        if not callable(fn):
            raise TypeError(f"a task is a function and its arguments, not {shown(fn)}")
        future: Future[T] = Future()
        self._core.put(Submitted(fn, args, kwargs, future))
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Have `fn` called with the items of the iterables, and yield the results in order.

        Blocks: only at the bound of a pool that has one and waits there; reading the
        results, until the next one is there.

        Args:
            fn: The function.
            iterables: As many as it has arguments; ends with the shortest.
            timeout: How many seconds from now on a result may be waited for.
            chunksize: Is for pools of processes, and changes nothing here.
            buffersize: How many tasks may be ahead of the reader; `None`: all are put in at
                once. The iterables are read as far as that.

        Returns:
            An iterator that raises what a task raised, at its place. Closing it cancels
            what has not begun.

        Raises:
            TimeoutError: reading, when the time is up.
            ValueError: `buffersize` or `chunksize` is less than 1.
            TypeError: `buffersize` is no integer, or `fn` no function.
            NotRunningError, PoolBroken, MailboxFull, CallingSelfError: as `submit`.
        """
        if not callable(fn):
            raise TypeError(f"a task is a function and its arguments, not {shown(fn)}")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        return results(self._core, fn, zip(*iterables, strict=False), timeout, buffersize)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept nothing any more; the workers end when all is done. May be called again.

        Blocks: with `wait`, until then. A task that hangs is waited for, as the standard
        library does; `pool.supervisor.stop(timeout)` is not.

        Args:
            wait: Whether to wait.
            cancel_futures: Whether what has not begun is cancelled; what waits for
                another attempt then has failed.

        Raises:
            CallingSelfError: with `wait`, from a task or a callback of this pool.
        """
        core = self._core
        core.close()
        if cancel_futures:
            core.cancel_rest()
        if wait:
            if is_in(self.supervisor, self.name):
                raise CallingSelfError(
                    "shutdown() in a task of the pool would wait for that task: use wait=False"
                )
            core.over.result()
            if self._owns:
                with suppress(NotRunningError):  # it died in a fork
                    self.supervisor.stop()

    # -- what an executor of the standard library has not ---------------------------

    def __len__(self) -> int:
        """Return how many workers it has, those not counted that are to leave."""
        return len(self._crew)

    def resize(self, workers: int) -> None:
        """Have so many workers from now on.

        Those that are too many leave after the task in hand. With `"partition"` keys move,
        and what waits with them; a key that is in hand begins at its new worker after that.

        Blocks: until those that are added are up.

        Raises:
            SpecError: it is no whole number of at least 1.
            StartError: a worker did not start; those before it did.
            NotRunningError: the pool was shut down, or is broken.
        """
        if problem := several(workers):
            raise SpecError(f"workers: {problem}")
        self._crew.resize(workers)

    def statistics(self) -> PoolStatistics:
        """Return what has become of all tasks so far. Never blocks for long."""
        return self._crew.statistics()

    @property
    def breaker_state(self) -> CircuitState | None:
        """Of its breaker: `"closed"`, `"open"` or `"half_open"`; `None` without one."""
        fuse = self._core.fuse
        return None if fuse is None else fuse.state


def _default_workers() -> int:
    """Return as many as the standard library takes."""
    cores = getattr(os, "process_cpu_count", os.cpu_count)()
    return min(32, (cores or 1) + 4)
