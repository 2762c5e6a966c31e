"""How a description becomes a worker at run time.

Owns the choice of the behaviour for a kind, and the wiring of a worker's cell.
It must not know what the worker belongs to, but for the place it is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadsup._cell import Cell, address_of
from threadsup._runtime.mailbox import Mailbox
from threadsup._runtime.worker import (
    HandlerBehaviour,
    PykkaBehaviour,
    TaskBehaviour,
    WorkerBehaviour,
)

if TYPE_CHECKING:
    from threadsup._cell import Services
    from threadsup._runtime.actor import Behaviour, Life
    from threadsup._runtime.context import Place
    from threadsup._specs import WorkerSpec
    from threadsup.events import Path

__all__ = ["behaviour", "worker_cell"]


def behaviour(spec: WorkerSpec, life: Life) -> Behaviour:
    """Return what runs one life of a worker of this kind."""
    call = spec.target, spec.args, spec.kwargs
    reply_errors = spec.on_ask_error == "reply"
    if spec.kind == "task":
        return TaskBehaviour(life, *call)
    if spec.kind == "handler":
        return HandlerBehaviour(life, *call, reply_errors=reply_errors)
    kind = PykkaBehaviour if spec.kind == "pykka" else WorkerBehaviour
    return kind(life, *call, reply_errors=reply_errors)


def worker_cell(spec: WorkerSpec, path: Path, place: Place, services: Services) -> Cell:
    """Return the cell of a standalone worker or of a member of a group."""
    mailbox = Mailbox(address_of(path), spec.capacity, spec.on_full)
    return Cell(spec, path, mailbox, lambda life: behaviour(spec, life), place, services)
