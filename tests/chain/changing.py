"""What tests of live changes share: stages that stand still, changes that are under way.

Owns the holding of single items and the asking for a change that is not waited for. It
must not know what is tested.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.forcing import note_sleepers
from threadsup import Future, current
from threadsup._chain.members import _begin
from threadsup._policy.routing import stable_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    import pytest

    from threadsup import Chain
    from threadsup._exits import ChildId

__all__ = [
    "Held",
    "ask",
    "errand",
    "key_of",
    "key_that_moves",
    "look_around",
    "note_joins",
    "number",
    "pause",
]


def number() -> int:
    """Return the number of the replica whose thread this is."""
    context = current()
    assert context is not None
    return context.id[1]  # type: ignore[index,return-value]


class Held:
    """A stage that notes what it is given, and stands at a gate with some of it."""

    def __init__(self, *items: Hashable) -> None:
        self.gates = {item: Gate(f"the gate of {item!r}") for item in items}
        self.seen: Recorder[tuple[int, Any]] = Recorder()
        """Each replica's number, and the item it began."""

    def __call__(self, item: Any) -> Any:
        self.seen((number(), item))
        gate = self.gates.get(item)
        if gate is not None:
            gate.meet()
        return item

    def wait(self, item: Hashable) -> None:
        """Wait until an item stands at its gate."""
        self.gates[item].wait_reached()

    def let(self, *items: Hashable) -> None:
        """Let these items through, or all."""
        for item in items or self.gates:
            self.gates[item].open()

    @property
    def items(self) -> list[Any]:
        """What was begun, in order."""
        return [item for _, item in self.seen.items]


def ask(chain: Chain, change: str, *args: Any) -> Future[bool]:
    """Ask for a change, `resize(id, n)`, `remove(id)`, and do not wait; it has begun."""
    scope: Any = chain.scope
    if change == "resize":
        args = (chain._line(args[0]), *args[1:])
    make: Callable[[Any], Any] = lambda changes: getattr(changes, change)(*args)  # noqa: E731
    future: Future[bool] = Future()
    scope.services.request(partial(_begin, scope.changes, make), future, future)
    chain._ask(lambda _: None)
    return future


def errand(chain: Chain, verb: str, id: ChildId) -> Future[bool]:
    """Ask for a stage or replica to be stopped or restarted, and do not wait; it has begun."""
    scope: Any = chain.scope
    future: Future[bool] = scope.errand(verb, id)
    chain._ask(lambda _: None)
    return future


def note_joins(chain: Chain) -> Recorder[int]:
    """Record when stages are joined in a new order."""
    scope: Any = chain.scope
    joined: Recorder[int] = Recorder()
    set_lines = scope.set_lines

    def noting(lines: Any, leaving: Any = ()) -> None:
        set_lines(lines, leaving)
        joined(len(lines))

    scope.set_lines = noting
    return joined


def look_around(chain: Chain, id: ChildId) -> None:
    """Wait until every replica of a stage has put down what it has, and let them go on.

    As a change does: so whoever is held up is, before and after.
    """
    line = chain._line(id)

    def change(changes: Any) -> Iterator[Any]:
        hold = yield from changes._hold(line)
        yield hold.step
        changes._release(hold)

    chain._change(change, PATIENCE)  # type: ignore[arg-type]


def pause(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause a chain, and wait until all its workers stand still.

    Until then what is queued is not known exactly: the bound is soft by who is at it.
    """
    asleep = note_sleepers(monkeypatch)
    chain.pause()
    boxes = [cell.mailbox for key in chain for cell in chain._line(key).cells]
    asleep.wait_until(lambda _: all(box.pause and box.pause._waiting for box in boxes), "rest")


def key_of(item: Any) -> Any:
    """Return the key of an item that is a pair of it and a number."""
    return item[0]


def key_that_moves(*, old: int, new: int, to: int) -> int:
    """Return a key that is with replica 0 of `old`, and goes `to` one of `new`."""
    return next(
        key for key in range(10_000) if stable_hash(key) % old == 0 and stable_hash(key) % new == to
    )
