"""How a description becomes a worker at run time.

Owns the choice of the behaviour for a kind, and the wiring of a worker's cell.
It must not know what the worker belongs to, but for the place it is told.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import MethodType
from typing import TYPE_CHECKING, Any, final

from threadsup._cell import Cell, address_of
from threadsup._policy.rate import Window
from threadsup._ruled import RuledCell
from threadsup._runtime.failing import Failing
from threadsup._runtime.genserver import GenServerBehaviour
from threadsup._runtime.limiter import Limiter
from threadsup._runtime.mailbox import Mailbox
from threadsup._runtime.pykka_worker import PykkaBehaviour
from threadsup._runtime.worker import HandlerBehaviour, TaskBehaviour, WorkerBehaviour
from threadsup._specs import is_server
from threadsup._tools import pause_by

if TYPE_CHECKING:
    from threadsup._cell import Services
    from threadsup._runtime.actor import Behaviour, Life
    from threadsup._runtime.context import Place
    from threadsup._specs import WorkerSpec
    from threadsup._tools import Calls
    from threadsup.events import Path

__all__ = ["OwnCell", "behaviour", "worker_cell"]


class OwnCell(ABC):
    """A target that is run in a way of its own, and brings the cell for it."""

    @abstractmethod
    def __call__(self, message: Any) -> Any:
        """Stand in for a handler, which it is declared as."""

    @abstractmethod
    def cell(self, spec: WorkerSpec, path: Path, place: Place, services: Services) -> Cell:
        """Return the worker at run time."""


def behaviour(
    spec: WorkerSpec, life: Life, calls: Calls | None = None, failing: Failing | None = None
) -> Behaviour:
    """Return what runs one life of a worker of this kind, under the rules there are."""
    call = spec.target, spec.args, spec.kwargs
    if spec.kind == "task":
        return TaskBehaviour(life, *call)
    kind: type[HandlerBehaviour | WorkerBehaviour]
    if spec.kind == "handler":
        kind = HandlerBehaviour
    elif spec.kind == "pykka":
        kind = PykkaBehaviour
    else:
        kind = GenServerBehaviour if is_server(spec.target) else WorkerBehaviour
    reply_errors = spec.on_ask_error == "reply"
    return kind(life, *call, reply_errors=reply_errors, caller=calls, failing=failing)


@final
class _RuledWorker(RuledCell):
    """A standalone worker, or a member of a group, under rules."""

    spec: WorkerSpec

    def __init__(
        self, spec: WorkerSpec, path: Path, mailbox: Mailbox, place: Place, services: Services
    ) -> None:
        self._limiter = None if spec.rate is None else Limiter(Window(spec.rate))
        """Of all its lives."""
        super().__init__(spec, path, mailbox, self._behaviour, place, services)

    def _behaviour(self, life: Life) -> Behaviour:
        spec, failing = self.spec, None
        life.limiter = self._limiter
        life.token.look = self._limiter is not None
        if spec.on_error != "crash":
            failing = Failing(life, self.aside, pause_by(spec.on_error))
        return behaviour(spec, life, self._make_calls(), failing)


def worker_cell(spec: WorkerSpec, path: Path, place: Place, services: Services) -> Cell:
    """Return the cell of a standalone worker or of a member of a group."""
    if isinstance(spec.target, OwnCell):
        return spec.target.cell(spec, path, place, services)
    mailbox = Mailbox(address_of(services.prefix + path), spec.capacity, spec.on_full)
    if spec.rate is not None or spec.breaker is not None or spec.on_error != "crash":
        return _RuledWorker(spec, path, mailbox, place, services)
    # Not a lambda, which takes four times as much: there may be very many of them.
    return Cell(spec, path, mailbox, MethodType(behaviour, spec), place, services)
