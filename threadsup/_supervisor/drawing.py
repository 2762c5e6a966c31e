"""A tree as a picture: what stands on each line.

Owns how states and rules become a `Node`. It must not know how nodes are drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadsup._scope import WorkerScope
from threadsup._snapshot import Node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from threadsup._cell import Cell
    from threadsup._chain import Chain
    from threadsup._exits import ChildId
    from threadsup._policy.book import Child
    from threadsup._specs import SupervisorSpec
    from threadsup._supervisor.branch import Branch, Part

__all__ = ["draw"]


def draw(spec: SupervisorSpec, root: Branch, seen: str = "", *marks: str) -> Node:
    """Return the tree as it is now. From any thread: it reads frozen states.

    `seen` is the state of a nested one in the eyes of its supervisor.
    """
    state, scopes = root.state, root.scopes
    children = tuple(
        _scope(scopes[key], child, scopes) for key, child in state.children.items() if key in scopes
    )
    detail = f"one_for_one, {state.rules.max_restarts} restarts in {state.rules.max_seconds:g} s"
    if spec.auto_shutdown != "never":
        detail += f", auto_shutdown={spec.auto_shutdown}"
    return Node("supervisor", spec.name, seen or state.phase, ", ".join([detail, *marks]), children)


def _scope(scope: Part, child: Child, scopes: Mapping[ChildId, Part]) -> Node:
    marks = ["significant"] if child.rules.significant else []
    if not isinstance(scope, WorkerScope):
        return draw(scope.facade.spec, scope, child.condition, *marks)
    state, cells = scope.state, scope.cells
    workers = tuple(
        _worker(scope, cells[key], worker) for key, worker in state.children.items() if key in cells
    )
    if scope.kind == "worker" and workers:
        (worker,) = workers
        detail = ", ".join([worker.detail, *marks])
        seen = child.condition if child.condition in _AT_REST else worker.state
        return Node(worker.kind, scope.id, seen, detail)
    links = _links(scope, scopes)
    if links:
        marks.append(f"goes on to {', '.join(map(str, links))}")
    detail = ", ".join([state.rules.strategy, *marks])
    if scope.kind == "chain":
        workers = tuple(_stages(scope.facade, workers))
    return Node(scope.kind, scope.id, child.condition, detail, workers, links)


def _links(scope: WorkerScope, scopes: Mapping[ChildId, Part]) -> tuple[ChildId, ...]:
    """Return which chains beside it a chain goes on to: those themselves, not of their ids."""
    if scope.kind != "chain":
        return ()
    targets = {id(target) for target in scope.facade.targets}
    return tuple(key for key, other in scopes.items() if id(other.facade) in targets)


_AT_REST = {"new", "ended", "held", "failed", "restarting"}
"""Conditions in which what the supervisor knows of a child says more than its own."""


def _stages(chain: Chain, workers: tuple[Node, ...]) -> Iterator[Node]:
    """Yield the stages of a chain: one of one replica is that, others have them below."""
    for key in chain:
        stage = chain[key]
        replicas = tuple(node for node in workers if node.id in stage.replicas)
        scales = stage.autoscale
        bounds = "" if scales is None else f", autoscale {scales.min}..{scales.max}"
        if len(replicas) == 1:
            (only,) = replicas
            yield Node("stage", key, only.state, only.detail + bounds)
            continue
        states = [node.state for node in replicas]
        state = "up" if "up" in states else states[0] if states else "ended"
        detail = f"{stage.routing}, {len(replicas)} replicas{bounds}"
        yield Node("stage", key, state, detail, replicas)


def _worker(scope: WorkerScope, cell: Cell, child: Child) -> Node:
    kind = "replica" if scope.kind == "chain" else cell.spec.kind
    detail = f"{child.rules.restart}, incarnation {child.incarnation}"
    return Node(kind, cell.id, child.condition, detail)
