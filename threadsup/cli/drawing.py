"""A declared tree as text, and in one line.

Owns what of a spec is shown. It must not know how lines are drawn: a declared tree is
drawn as a running one is, by `Node`, only that all of it is still new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from threadsup._snapshot import Node
from threadsup._specs.chain import ChainSpec
from threadsup._specs.group import GroupSpec
from threadsup._specs.stage import StageSpec
from threadsup._specs.targets import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._specs.supervisor import ChildSpec, SupervisorSpec

__all__ = ["count", "declared", "summary"]


def declared(spec: SupervisorSpec) -> Node:
    """Return the tree as `spec` declares it, in start order."""
    detail = f"{count(spec.max_restarts, 'restart')} in {spec.max_seconds:g} s"
    if spec.auto_shutdown != "never":
        detail += f", ends with {spec.auto_shutdown} of the significant"
    return Node("supervisor", spec.name, "new", detail, tuple(map(_node, spec.children)))


def summary(spec: SupervisorSpec) -> str:
    """Return what the tree consists of, in one line."""
    groups = [child for child in spec.children if isinstance(child, GroupSpec)]
    chains = [child for child in spec.children if isinstance(child, ChainSpec)]
    workers = len(spec.children) - len(groups) - len(chains)
    parts = [count(workers, "worker")] if workers else []
    if groups:
        members = sum(len(group.members) for group in groups)
        parts.append(f"{count(len(groups), 'group')} ({count(members, 'member')})")
    if chains:
        stages = sum(len(chain.stages) for chain in chains)
        parts.append(f"{count(len(chains), 'chain')} ({count(stages, 'stage')})")
    return f"{spec.name}: {', '.join(parts) or 'no children'}"


def count(number: int, what: str) -> str:
    """Return how many there are, in words: `3 stages`, `1 stage`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _node(child: ChildSpec | StageSpec) -> Node:
    below: tuple[Node, ...] = ()
    kind: str
    words: list[str]
    if isinstance(child, GroupSpec):
        kind, words = "group", [child.strategy]
        below = tuple(map(_node, child.members))
    elif isinstance(child, ChainSpec):
        kind, words = "chain", [child.strategy, f"capacity {child.capacity}"]
        if child.on_result is not None:
            words.append(f"results to {_target(child.on_result)}")
        below = tuple(map(_node, child.stages))
    else:
        kind, words = child.kind, [_target(child.target), child.restart]
        if child.capacity is not None:
            words.append(f"capacity {child.capacity}")
    if isinstance(child, StageSpec):
        if child.workers != 1:
            words.append(_replicas(child))
    else:
        if child.max_restarts is not None:
            words.append(f"max_restarts {child.max_restarts}")
        words += [word for word in ("significant", "escalate") if getattr(child, word)]
    ident = child.id
    assert ident is not None, "whoever holds a child has given it an id"
    return Node(kind, ident, "new", ", ".join(words), below)


def _replicas(child: StageSpec) -> str:
    workers = child.workers
    number = str(workers) if isinstance(workers, int) else f"{workers.min} to {workers.max}"
    return f"{number} replicas, {child.routing}"


def _target(target: Callable[..., Any]) -> str:
    module = getattr(target, "__module__", None)
    return f"{module}:{name_of(target)}" if type(module) is str else name_of(target)
