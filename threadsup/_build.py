"""How a description becomes a worker at run time.

Owns the choice of the behaviour for a kind, and the wiring of a worker's cell.
It must not know what the worker belongs to, but for the place it is told.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import MethodType
from typing import TYPE_CHECKING, Any

from threadsup._cell import Cell, address_of
from threadsup._runtime.genserver import GenServerBehaviour
from threadsup._runtime.mailbox import Mailbox
from threadsup._runtime.pykka_worker import PykkaBehaviour
from threadsup._runtime.worker import HandlerBehaviour, TaskBehaviour, WorkerBehaviour
from threadsup._specs import is_server
from threadsup._tools import caller_under

if TYPE_CHECKING:
    from threadsup._cell import Services
    from threadsup._runtime.actor import Behaviour, Life
    from threadsup._runtime.context import Place
    from threadsup._specs import WorkerSpec
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


def behaviour(spec: WorkerSpec, life: Life) -> Behaviour:
    """Return what runs one life of a worker of this kind."""
    call = spec.target, spec.args, spec.kwargs
    if spec.kind == "task":
        return TaskBehaviour(life, *call)
    reply_errors, caller = spec.on_ask_error == "reply", caller_under(spec.breaker)
    if spec.kind == "handler":
        return HandlerBehaviour(life, *call, reply_errors=reply_errors, caller=caller)
    if spec.kind == "pykka":
        return PykkaBehaviour(life, *call, reply_errors=reply_errors, caller=caller)
    kind = GenServerBehaviour if is_server(spec.target) else WorkerBehaviour
    return kind(life, *call, reply_errors=reply_errors, caller=caller)


def worker_cell(spec: WorkerSpec, path: Path, place: Place, services: Services) -> Cell:
    """Return the cell of a standalone worker or of a member of a group."""
    if isinstance(spec.target, OwnCell):
        return spec.target.cell(spec, path, place, services)
    mailbox = Mailbox(address_of(services.prefix + path), spec.capacity, spec.on_full)
    # Not a lambda, which takes four times as much: there may be very many of them.
    return Cell(spec, path, mailbox, MethodType(behaviour, spec), place, services)
