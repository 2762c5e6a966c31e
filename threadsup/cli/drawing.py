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
from threadsup._specs.supervisor import SupervisorSpec
from threadsup._specs.targets import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from threadsup._specs.supervisor import ChildSpec

__all__ = ["count", "declared", "summary"]


def declared(spec: SupervisorSpec, *, replicas: bool = False) -> Node:
    """Return the tree as `spec` declares it, in start order.

    `replicas`: whether those of a stage stand below it, as many as it starts with.
    """
    detail = f"{count(spec.max_restarts, 'restart')} in {spec.max_seconds:g} s"
    if spec.auto_shutdown != "never":
        detail += f", ends with {spec.auto_shutdown} of the significant"
    if spec.significant:
        detail += ", significant"
    children = tuple(_node(child, replicas=replicas) for child in spec.children)
    return Node("supervisor", spec.name, "new", detail, children)


def summary(spec: SupervisorSpec) -> str:
    """Return what the tree consists of, in one line."""
    groups = [child for child in spec.children if isinstance(child, GroupSpec)]
    chains = [child for child in spec.children if isinstance(child, ChainSpec)]
    nested = [child for child in spec.children if isinstance(child, SupervisorSpec)]
    workers = len(spec.children) - len(groups) - len(chains) - len(nested)
    parts = [count(workers, "worker")] if workers else []
    if groups:
        members = sum(len(group.members) for group in groups)
        parts.append(f"{count(len(groups), 'group')} ({count(members, 'member')})")
    if chains:
        stages = sum(len(chain.stages) for chain in chains)
        parts.append(f"{count(len(chains), 'chain')} ({count(stages, 'stage')})")
    parts += [f"supervisor {summary(child)}" for child in nested]
    return f"{spec.name}: {', '.join(parts) or 'no children'}"


def count(number: int, what: str) -> str:
    """Return how many there are, in words: `3 stages`, `1 stage`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _node(child: ChildSpec | StageSpec, *, replicas: bool) -> Node:
    if isinstance(child, SupervisorSpec):
        return declared(child, replicas=replicas)
    below: tuple[Node, ...] = ()
    kind: str
    words: list[str]
    if isinstance(child, GroupSpec):
        kind, words = "group", [child.strategy]
        below = tuple(_node(member, replicas=replicas) for member in child.members)
    elif isinstance(child, ChainSpec):
        kind, words = "chain", [child.strategy, f"capacity {child.capacity}"]
        if child.on_result is not None:
            words.append(f"results to {_target(child.on_result)}")
        below = tuple(_node(each, replicas=replicas) for each in child.stages)
    else:
        kind, words = child.kind, [_target(child.target), child.restart]
        if child.capacity is not None:
            words.append(f"capacity {child.capacity}")
    if isinstance(child, StageSpec):
        if child.workers != 1:
            words.append(_replicas(child))
        if replicas:
            below = tuple(_below(child))
    else:
        if child.max_restarts is not None:
            words.append(f"max_restarts {child.max_restarts}")
        words += [word for word in ("significant", "escalate") if getattr(child, word)]
    ident = child.id
    assert ident is not None, "whoever holds a child has given it an id"
    return Node(kind, ident, "new", ", ".join(words), below)


def _below(child: StageSpec) -> Iterator[Node]:
    assert child.id is not None, "a chain has given its stages ids"
    workers = child.workers
    for number in range(workers if isinstance(workers, int) else workers.min):
        key = (*child.id, number) if isinstance(child.id, tuple) else (child.id, number)
        yield Node("replica", key, "new")


def _replicas(child: StageSpec) -> str:
    workers = child.workers
    number = str(workers) if isinstance(workers, int) else f"{workers.min} to {workers.max}"
    return f"{number} replicas, {child.routing}"


def _target(target: Callable[..., Any]) -> str:
    module = getattr(target, "__module__", None)
    return f"{module}:{name_of(target)}" if type(module) is str else name_of(target)
