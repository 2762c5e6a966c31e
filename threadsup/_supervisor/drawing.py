"""A tree as a picture: what stands on each line.

Owns how states and rules become a `Node`. It must not know how nodes are drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadsup._snapshot import Node

if TYPE_CHECKING:
    from threadsup._cell import Cell
    from threadsup._policy.book import Child
    from threadsup._scope import WorkerScope
    from threadsup._specs import SupervisorSpec
    from threadsup._supervisor.root import Root

__all__ = ["draw"]


def draw(spec: SupervisorSpec, root: Root) -> Node:
    """Return the tree as it is now. From any thread: it reads frozen states."""
    state, scopes = root.state, root.scopes
    children = tuple(
        _scope(scopes[key], child) for key, child in state.children.items() if key in scopes
    )
    detail = f"one_for_one, {state.rules.max_restarts} restarts in {state.rules.max_seconds:g} s"
    if spec.auto_shutdown != "never":
        detail += f", auto_shutdown={spec.auto_shutdown}"
    return Node("supervisor", spec.name, state.phase, detail, children)


def _scope(scope: WorkerScope, child: Child) -> Node:
    state, cells = scope.state, scope.cells
    workers = tuple(
        _worker(scope, cells[key], worker) for key, worker in state.children.items() if key in cells
    )
    marks = ["significant"] if child.rules.significant else []
    if scope.kind == "worker" and workers:
        (worker,) = workers
        detail = ", ".join([worker.detail, *marks])
        seen = child.condition if child.condition in _AT_REST else worker.state
        return Node(worker.kind, scope.id, seen, detail)
    detail = ", ".join([state.rules.strategy, *marks])
    return Node(scope.kind, scope.id, child.condition, detail, workers)


_AT_REST = {"new", "ended", "held", "failed", "restarting"}
"""Conditions in which what the supervisor knows of a child says more than its own."""


def _worker(scope: WorkerScope, cell: Cell, child: Child) -> Node:
    kind = "stage" if scope.kind == "chain" else cell.spec.kind
    detail = f"{child.rules.restart}, incarnation {child.incarnation}"
    return Node(kind, cell.id, child.condition, detail)
