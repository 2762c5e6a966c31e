"""A chain: stages in order, each handing on to the next.

Owns `ChainSpec`, the call that makes one, and the rules of its options. It must not
know how items move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from threadsup._checks import check_all, ident, optional, shown, under, whole
from threadsup._errors import SpecError
from threadsup._specs.naming import duplicates, with_ids
from threadsup._specs.rules import (
    ON_ERROR,
    ON_FULL,
    RATE,
    SCOPE_RULES,
    STRATEGY,
    label,
    only_known,
    options_of,
)
from threadsup._specs.stage import StageSpec, fitted
from threadsup._specs.targets import name_of, of_one_item

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Unpack

    from threadsup._checks import Rule
    from threadsup._exits import ChildId
    from threadsup._policy.backoff import Backoff
    from threadsup._policy.rate import Rate
    from threadsup._specs.options import ChainOptions, OnError, OnFull, OnResult, Strategy

__all__ = [
    "CHAIN_RULES",
    "ChainSpec",
    "chain_spec",
    "length_problem",
]

CHAIN_RULES: Mapping[str, Rule] = {
    **SCOPE_RULES,
    "id": ident,
    "strategy": STRATEGY,
    "capacity": whole(1),
    "on_full": ON_FULL,
    "on_result": optional(of_one_item),
    "on_error": ON_ERROR,
    "rate": optional(RATE),
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSpec:
    """Stages under one strategy and one budget. Made by `chain_spec`.

    Raises:
        SpecError: Something is wrong with it; names every fault.
    """

    id: ChildId
    stages: tuple[StageSpec, ...]
    """In the order items pass; each has an id here, made of its target's name
    where it had none."""
    strategy: Strategy = "one_for_one"
    capacity: int = 50
    """How many items may be queued at each replica of a stage that does not say itself;
    where a stage's batch is larger, that many."""
    on_full: OnFull = "wait"
    """What a sender does at that bound."""
    on_result: OnResult | None = None
    """Called with each result, in the last stage's thread."""
    on_error: OnError = "crash"
    """What an exception does at each stage that does not say itself: `"crash"`,
    `"reject"` (the item failed, the worker goes on) or a `Retry`."""
    rate: Rate | None = None
    """How many items may enter; `None`: any number."""
    significant: bool = False
    """Whether its end by itself counts for the supervisor's `auto_shutdown`."""
    max_restarts: int | None = None
    """The budget; this and the next two inherit the supervisor's with `None`."""
    max_seconds: float | None = None
    backoff: Backoff | None = None
    escalate: bool = False
    """Whether giving up is a crash in the eyes of the supervisor."""

    def __post_init__(self) -> None:
        given: tuple[object, ...] = tuple(self.stages)
        problems = check_all(CHAIN_RULES, options_of(self))
        if problem := length_problem(len(given)):
            problems.append(f"stages: {problem}")
        stages = []
        ids = []
        for index, entry in enumerate(given):
            if isinstance(entry, StageSpec):
                stages.append(entry)
                ids.append((f"stages[{index}]", entry.id))
            else:
                problems.append(f"stages[{index}]: must be made by stage(), not {shown(entry)}")
        problems += duplicates(ids)
        if problems:
            raise SpecError(under(label("chain", self.id), problems))
        stages = [fitted(entry, self.capacity) for entry in stages]
        object.__setattr__(self, "stages", with_ids(stages, _name))


def _name(entry: StageSpec) -> str:
    return name_of(entry.target)


def chain_spec(
    id: ChildId, stages: Iterable[StageSpec], **options: Unpack[ChainOptions]
) -> ChainSpec:
    """Describe a chain.

    Raises:
        SpecError: Something is wrong; names every fault.
        TypeError: An option is unknown.
    """
    only_known(options, CHAIN_RULES)
    return ChainSpec(id=id, stages=tuple(stages), **options)


def length_problem(stages: int) -> str:
    """Return why a chain cannot have so many stages, `""` if it can."""
    return "" if stages else "must be at least one"
