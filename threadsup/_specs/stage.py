"""A place in a chain: what runs there, in how many replicas, and what it is fed.

Owns `StageSpec`, the call that makes one, and the rules of its options, also those
of several options together (`stage_problems`). It must not know the other stages,
nor how items move.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, final

from threadsup._checks import one_of, optional, shown, under, whole
from threadsup._errors import SpecError
from threadsup._policy.autoscale import Autoscale
from threadsup._specs.rules import (
    BATCH,
    ON_ERROR,
    ON_FULL,
    RUN_RULES,
    label,
    only_known,
    options_of,
)
from threadsup._specs.targets import generates, kind_of_stage, of_one_item
from threadsup._specs.worker import worker_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Unpack

    from threadsup._checks import Rule
    from threadsup._exits import ChildId
    from threadsup._policy.batch import Batch
    from threadsup._policy.breaker import Breaker
    from threadsup._policy.rate import Rate
    from threadsup._specs.options import (
        Key,
        Kind,
        MailboxFate,
        OnError,
        OnFull,
        Restart,
        StageOptions,
        StageRouting,
    )

__all__ = [
    "STAGE_RULES",
    "StageSpec",
    "fitted",
    "stage",
    "stage_problems",
]

_whole = whole(1)


def _workers(value: object) -> str:
    if type(value) is Autoscale or not (problem := _whole(value)):
        return ""
    if type(value) is int:
        return problem
    return f"must be a whole number of at least 1 or an Autoscale, not {shown(value)}"


STAGE_RULES: Mapping[str, Rule] = {
    **RUN_RULES,
    "kind": one_of("stage", "worker", "pykka"),
    "workers": _workers,
    "routing": one_of("round_robin", "random", "least_loaded", "partition", "broadcast"),
    "key": optional(of_one_item),
    "capacity": optional(whole(1)),
    "on_full": optional(ON_FULL),
    "on_error": optional(ON_ERROR),
    "batch": optional(BATCH),
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
    """A function, called `target(item, *args, **kwargs)`, or a `Worker` or Pykka class."""
    kind: Kind
    """`"stage"` for a function, `"worker"` or `"pykka"` for a class."""
    args: tuple[Any, ...] = field(default=(), repr=False)
    kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    id: ChildId | None = None
    """`None` until a chain makes one of the target's name."""
    workers: int | Autoscale = 1
    """How many replicas work side by side."""
    routing: StageRouting = "round_robin"
    """Which of them gets an item; with `"broadcast"` each gets every item."""
    key: Key | None = None
    """With `"partition"`: called with an item in the sender's thread; items of one key
    go to one replica, in order. A `str`, `bytes`, `int` or a tuple of these."""
    restart: Restart = "transient"
    shutdown: float = 5.0
    """How long a replica may take to stop before it is abandoned."""
    start_timeout: float = 10.0
    """How long it may take to start."""
    time_limit: float | None = None
    """How long it may take over one item, or each value of a generator, or a whole batch;
    `None`: as long as it likes."""
    capacity: int | None = None
    """How many items may be queued at each replica; `None`: as many as the chain says."""
    on_full: OnFull | None = None
    """What a sender does at that bound; `None`: as the chain says."""
    on_error: OnError | None = None
    """What an exception does: `"crash"`, `"reject"` (the item failed, the worker goes
    on) or a `Retry`; `None`: as the chain says."""
    batch: Batch | None = None
    """`None`: the function gets one item at a time."""
    rate: Rate | None = None
    """How many items all replicas together may begin; `None`: any number."""
    breaker: Breaker | None = None
    """What makes no more calls for a while when they have failed again and again: those of the
    function, or of `on_receive`. All its lives and replicas count together, by this very object."""
    mailbox: MailboxFate = "keep"
    """What becomes of queued items at a restart."""
    max_attempts: int = 1
    """How often an item is tried in all when the worker crashes over it."""
    interrupt: bool = False
    """Whether a replica gets an asynchronous exception before it is abandoned."""

    def __post_init__(self) -> None:
        if problems := stage_problems(options_of(self)):
            raise SpecError(under(label("stage", self.id, self.target), problems))
        object.__setattr__(self, "args", tuple(self.args))
        object.__setattr__(self, "kwargs", dict(self.kwargs))


def stage(target: Callable[..., Any], *args: Any, **options: Unpack[StageOptions]) -> StageSpec:
    """Describe a stage of a chain.

    Args:
        target: A function of one item, or a `Worker` or Pykka class whose `on_receive`
            is; a generator function emits each value it yields.
        args: Its arguments, after the item if it is a function.
        options: See `StageSpec`; `kwargs` are its keyword arguments.

    Raises:
        SpecError: Something is wrong; names every fault.
        TypeError: An option is unknown.
    """
    only_known(options, STAGE_RULES)
    return StageSpec(target=target, kind=kind_of_stage(target), args=args, **options)


def stage_problems(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the options of a stage.

    Args:
        values: Options by name, `target` and `kind` among them. What is absent is
            not wrong: a file's target may be unknown while the rest is checked.
    """
    problems = worker_problems(values, STAGE_RULES, emits=True)
    wrong = {line.partition(":")[0] for line in problems}
    if not wrong & {"routing", "key", "workers"}:
        problems += _routing_problems(values)
    batch = None if "batch" in wrong else values.get("batch")
    if batch is not None and "capacity" not in wrong:
        capacity = values.get("capacity")
        if capacity is not None and capacity < batch.size:
            problems.append(
                f"capacity: must be at least the batch's size, {batch.size}, not {capacity}"
            )
    if batch is not None and not wrong & {"target", "kind"} and generates(values.get("target")):
        problems.append("batch: must be left out: a generator function works on one item at a time")
    return problems


def _routing_problems(values: Mapping[str, Any]) -> list[str]:
    routing, key = values.get("routing", "round_robin"), values.get("key")
    if routing == "partition" and key is None:
        return ["key: is needed with routing='partition'"]
    if routing != "partition" and key is not None:
        return ["key: is only for routing='partition'"]
    if routing == "broadcast" and type(values.get("workers")) is Autoscale:
        return ["workers: must be a number with routing='broadcast': each gets every item"]
    return []


def fitted(entry: StageSpec, capacity: int) -> StageSpec:
    """Return a stage for a chain of that capacity: its queue must hold a batch.

    One that takes its bound from the chain, and batches more than that, gets the size
    of its batch as its own.
    """
    if entry.batch is None or entry.capacity is not None or entry.batch.size <= capacity:
        return entry
    return replace(entry, capacity=entry.batch.size)
