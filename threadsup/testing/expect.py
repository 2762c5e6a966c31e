"""Which crashes a test has announced.

Owns the record of them and `expect_crash`. It must not know who looks at the record.

A crash is named by its tree, the path of the worker and the number of the incarnation:
there is one exit of that name. The tree is known by its loop, which nested supervisors
share, and is not kept alive by the record.
"""

from __future__ import annotations

import re
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from threadsup._chain import Chain, Stage
from threadsup._exits import Abandoned, Crashed
from threadsup._group import Group
from threadsup._runtime.ref import WorkerRef
from threadsup._supervisor import Supervisor
from threadsup.events import WorkerEnded
from threadsup.testing.capture import EventLog
from threadsup.testing.gate import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadsup.events import Event, Path

__all__ = ["announce", "expect_crash", "is_announced", "is_failure", "tree_and_path"]

_announced: weakref.WeakKeyDictionary[Any, set[tuple[Path, int]]] = weakref.WeakKeyDictionary()


def announce(services: Any, path: Path, incarnation: int) -> None:
    """Note that the end of an incarnation is no surprise."""
    _announced.setdefault(services.loop, set()).add((path, incarnation))


def is_announced(services: Any, event: WorkerEnded) -> bool:
    """Return whether that was noted of this end."""
    return (event.path, event.incarnation) in _announced.get(services.loop, ())


def is_failure(event: Event) -> bool:
    """Return whether an event is a crash, or the end of one who was given up on."""
    return isinstance(event, WorkerEnded) and isinstance(event.reason, Crashed | Abandoned)


def tree_and_path(target: object) -> tuple[Any, Path]:
    """Return the services of a child's tree and its path, of a supervisor's where it is.

    Raises:
        TypeError: it is neither.
    """
    made: Any = target
    if isinstance(target, WorkerRef):
        cell = made._keeper  # noqa: SLF001 - what users hold says no path
        return cell._services, cell.path  # noqa: SLF001
    if isinstance(target, Supervisor):
        return made._services, made._services.prefix  # noqa: SLF001
    if isinstance(target, Group | Chain):
        services = target.scope.services
        return services, (*services.prefix, target.id)
    if isinstance(target, Stage):
        scope = made._line.cells[0].scope  # noqa: SLF001
        return scope.services, (*scope.services.prefix, scope.id, target.id)
    kind = type(target).__name__
    raise TypeError(f"expected a WorkerRef, Group, Chain, Stage or Supervisor, not a {kind}")


@contextmanager
def expect_crash(
    target: WorkerRef | Group | Chain | Stage | Supervisor,
    match: str = "",
    *,
    count: int = 1,
    timeout: float = PATIENCE,
) -> Iterator[list[WorkerEnded]]:
    """Say that a crash is to come in this block, and wait for it at its end.

    ```python
    with expect_crash(ref, match="ZeroDivisionError"):
        ref.tell(0)
    ```

    Blocks: at the end of the block, until the crash was handled, for up to `timeout`
    seconds. To be given up on, at a limit, is a crash here, too.

    Args:
        target: Who crashes: a worker, or anybody in a group, chain, stage or supervisor.
        match: What is to be found in the reason, as `crashed: ZeroDivisionError: division
            by zero`; a regular expression.
        count: How many are to come at least; all that match are announced.
        timeout: Seconds.

    Yields:
        A list, which holds the crashes after the block.

    Raises:
        AssertionError: it did not come; says what did.
        TypeError: `target` is nobody who can crash.
    """
    services, path = tree_and_path(target)
    pattern = re.compile(match)
    log = EventLog()
    found: list[WorkerEnded] = []

    def is_meant(event: Event) -> bool:
        return (
            is_failure(event)
            and isinstance(event, WorkerEnded)
            and event.path[: len(path)] == path
            and pattern.search(str(event.reason)) is not None
        )

    end = services.subscribe(log)
    try:
        yield found
        try:
            log.wait_for(is_meant, timeout, count=count)
        except TimeoutError:
            where = "/".join(map(str, path)) or services.name
            wanted = f" that matches {match!r}" if match else ""
            ends = [str(event) for event in log.of(WorkerEnded)] or ["nobody ended"]
            lines = "\n  ".join(ends)
            raise AssertionError(
                f"no crash of {where}{wanted}, {count} expected within {timeout:g} s:\n  {lines}"
            ) from None
    finally:
        end()
        for event in log.of(is_meant):
            assert isinstance(event, WorkerEnded)
            announce(services, event.path, event.incarnation)
            found.append(event)
