"""A chain: stages in order, each handing on to the next.

Owns `StageSpec` and `ChainSpec`, the calls that make them, and the rules of
their options. It must not know how items move.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from threadsup._checks import check_all, ident, one_of, optional, shown, under, whole
from threadsup._errors import SpecError
from threadsup._specs.naming import duplicates, with_ids
from threadsup._specs.rules import (
    ON_FULL,
    RUN_RULES,
    SCOPE_RULES,
    STRATEGY,
    label,
    only_known,
    options_of,
)
from threadsup._specs.targets import arity_problem, kind_of_stage, name_of, target_problem
from threadsup._specs.worker import worker_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from typing_extensions import Unpack

    from threadsup._checks import Rule
    from threadsup._exits import ChildId
    from threadsup._policy.backoff import Backoff
    from threadsup._specs.options import (
        ChainOptions,
        Kind,
        MailboxFate,
        OnFull,
        OnResult,
        Restart,
        StageOptions,
        Strategy,
    )

__all__ = [
    "CHAIN_RULES",
    "STAGE_RULES",
    "ChainSpec",
    "StageSpec",
    "chain_spec",
    "length_problem",
    "stage",
]

STAGE_RULES: Mapping[str, Rule] = {
    **RUN_RULES,
    "kind": one_of("stage", "worker"),
    "capacity": optional(whole(1)),
    "on_full": optional(ON_FULL),
}


def _on_result(value: Any) -> str:
    return target_problem(value, "handler") or arity_problem(value, "stage", (), {})


CHAIN_RULES: Mapping[str, Rule] = {
    **SCOPE_RULES,
    "id": ident,
    "strategy": STRATEGY,
    "capacity": whole(1),
    "on_full": ON_FULL,
    "on_result": optional(_on_result),
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """One place in a chain. Made by `stage`.

    Times are seconds. Arguments are kept as they are, not copied, and never shown.

    Raises:
        SpecError: Something is wrong with it; names every fault.
    """

    target: Callable[..., Any]
    """A function, called `target(item, *args, **kwargs)`, or a `Worker` class."""
    kind: Kind
    """`"stage"` for a function, `"worker"` for a class."""
    args: tuple[Any, ...] = field(default=(), repr=False)
    kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    id: ChildId | None = None
    """`None` until a chain makes one of the target's name."""
    restart: Restart = "transient"
    shutdown: float = 5.0
    """How long it may take to stop before it is abandoned."""
    start_timeout: float = 10.0
    """How long it may take to start."""
    time_limit: float | None = None
    """How long it may take over one item; `None`: as long as it likes."""
    capacity: int | None = None
    """How many items may be queued; `None`: as many as the chain says."""
    on_full: OnFull | None = None
    """What a sender does at that bound; `None`: as the chain says."""
    mailbox: MailboxFate = "keep"
    """What becomes of queued items at a restart."""
    max_attempts: int = 1
    """How often an item is tried in all when the worker crashes over it."""
    interrupt: bool = False
    """Whether it gets an asynchronous exception before it is abandoned."""

    def __post_init__(self) -> None:
        if problems := worker_problems(options_of(self), STAGE_RULES):
            raise SpecError(under(label("stage", self.id, self.target), problems))
        object.__setattr__(self, "args", tuple(self.args))
        object.__setattr__(self, "kwargs", dict(self.kwargs))


def stage(target: Callable[..., Any], *args: Any, **options: Unpack[StageOptions]) -> StageSpec:
    """Describe a stage of a chain.

    Args:
        target: A function of one item, or a `Worker` class whose `on_receive` is.
        args: Its arguments, after the item if it is a function.
        options: See `StageSpec`; `kwargs` are its keyword arguments.

    Raises:
        SpecError: Something is wrong; names every fault.
        TypeError: An option is unknown.
    """
    only_known(options, STAGE_RULES)
    return StageSpec(target=target, kind=kind_of_stage(target), args=args, **options)


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
    """How many items may be queued at each stage that does not say itself."""
    on_full: OnFull = "wait"
    """What a sender does at that bound."""
    on_result: OnResult | None = None
    """Called with each result, in the last stage's thread."""
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
