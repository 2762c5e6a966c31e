"""One worker: what to run, and under which rules.

Owns `WorkerSpec`, the call that makes one, and the rules of its options. The
rules work on a plain mapping of options, so that a file is checked by the same
ones (`worker_problems`). It must not know groups or supervisors: what only makes
sense for some memberships is checked there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from threadsup._checks import check_all, one_of, optional, under, whole
from threadsup._errors import SpecError
from threadsup._specs.rules import (
    ON_ERROR,
    ON_FULL,
    RUN_RULES,
    SCOPE_RULES,
    label,
    only_known,
    options_of,
)
from threadsup._specs.targets import Handler, arity_problem, generates, kind_of, target_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from typing_extensions import Unpack

    from threadsup._checks import Rule
    from threadsup._exits import ChildId
    from threadsup._policy.backoff import Backoff
    from threadsup._policy.breaker import Breaker
    from threadsup._policy.rate import Rate
    from threadsup._specs.options import (
        Kind,
        MailboxFate,
        OnAskError,
        OnError,
        OnFull,
        Restart,
        WorkerOptions,
    )

__all__ = [
    "WORKER_RULES",
    "WorkerSpec",
    "worker_defaults",
    "worker_problems",
    "worker_spec",
]


WORKER_RULES: Mapping[str, Rule] = {
    **RUN_RULES,
    **SCOPE_RULES,
    "kind": one_of("task", "handler", "worker", "pykka"),
    "capacity": optional(whole(1)),
    "on_full": ON_FULL,
    "on_ask_error": one_of("crash", "reply"),
    "on_error": ON_ERROR,
}

_FOR_MESSAGES = {"breaker": "it", "rate": "it", "on_error": "a Retry"}
"""Options of how messages are handled, and what does the same for a call."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """How to start a worker, and how to keep it alive. Made by `worker_spec`.

    Times are seconds. Arguments are kept as they are, not copied, and never shown.

    Raises:
        SpecError: Something is wrong with it; names every fault.
    """

    target: Callable[..., Any]
    """What runs: a function, or a class of which each incarnation is an instance."""
    kind: Kind
    """`"task"`, `"handler"`, `"worker"` or `"pykka"`."""
    args: tuple[Any, ...] = field(default=(), repr=False)
    kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    id: ChildId | None = None
    """`None` until a parent makes one of the target's name."""
    restart: Restart
    significant: bool = False
    """Whether its end by itself counts for the supervisor's `auto_shutdown`."""
    shutdown: float = 5.0
    """How long it may take to stop before it is abandoned."""
    start_timeout: float = 10.0
    """How long it may take to start."""
    time_limit: float | None = None
    """How long it may take over one message; `None`: as long as it likes."""
    max_restarts: int | None = None
    """The budget; this and the next two inherit the supervisor's with `None`."""
    max_seconds: float | None = None
    backoff: Backoff | None = None
    escalate: bool = False
    """Whether giving up is a crash in the eyes of the supervisor."""
    capacity: int | None = None
    """How many messages may be queued; `None`: any number."""
    on_full: OnFull = "wait"
    mailbox: MailboxFate = "keep"
    """What becomes of queued messages at a restart."""
    max_attempts: int = 1
    """How often a message is tried in all when the worker crashes over it."""
    on_ask_error: OnAskError = "crash"
    """Whether an error while answering an `ask` also ends the worker; it never does with an
    `on_error` other than `"crash"`."""
    on_error: OnError = "crash"
    """What an exception does: `"crash"`, `"reject"` (the message has failed, the worker goes on)
    or a `Retry`. Not for a task."""
    interrupt: bool = False
    """Whether it gets an asynchronous exception before it is abandoned."""
    breaker: Breaker | None = None
    """What makes no more calls for a while when they have failed again and again: those that
    handle messages, so it is not for a task. All its lives count together, by this very object."""
    rate: Rate | None = None
    """How many messages all its lives together may begin; `None`: any number. Not for a task."""

    def __post_init__(self) -> None:
        if problems := worker_problems(options_of(self)):
            raise SpecError(under(label("worker", self.id, self.target), problems))
        object.__setattr__(self, "args", tuple(self.args))
        object.__setattr__(self, "kwargs", dict(self.kwargs))


def worker_spec(
    target: Callable[..., Any] | Handler, *args: Any, **options: Unpack[WorkerOptions]
) -> WorkerSpec:
    """Describe a worker; what kind it is shows in `target`.

    Args:
        target: A function (a task: runs once), `handler(fn)` (called per message),
            a `Worker` subclass or a `pykka.ThreadingActor` subclass.
        args: Its arguments, after the message if it is a handler.
        options: See `WorkerSpec`; `kwargs` are its keyword arguments.

    Raises:
        SpecError: Something is wrong; names every fault.
        TypeError: An option is unknown.
    """
    only_known(options, WORKER_RULES)
    kind = kind_of(target)
    run = target.target if isinstance(target, Handler) else target
    chosen: dict[str, Any] = {**worker_defaults(kind), **options}
    return WorkerSpec(target=run, kind=kind, args=args, **chosen)


def worker_defaults(kind: Kind) -> WorkerOptions:
    """Return the options whose default depends on what kind of worker it is."""
    return {
        "restart": "transient" if kind in ("task", "stage") else "permanent",
        "on_ask_error": "reply" if kind == "pykka" else "crash",
    }


def worker_problems(
    values: Mapping[str, Any],
    rules: Mapping[str, Rule] = WORKER_RULES,
    *,
    emits: bool = False,
) -> list[str]:
    """Return what is wrong with the options of a worker, or of a stage.

    Args:
        values: Options by name, `target` and `kind` among them. What is absent is
            not wrong: a file's target may be unknown while the rest is checked.
        rules: Those of a worker, or a stage's.
        emits: Whether what a generator yields is passed on, as from a stage.
    """
    problems = check_all(rules, values)
    wrong = {line.partition(":")[0] for line in problems}
    if values.get("significant") is True and values.get("restart") == "permanent":
        problems.append(
            "significant: must be false for a permanent worker, which never ends by itself"
        )
    problems += _rule_problems(values, wrong)
    if {"target", "kind"} <= values.keys() and "kind" not in wrong:
        target, kind = values["target"], values["kind"]
        problem = target_problem(target, kind, emits=emits)
        if not problem and not wrong & {"args", "kwargs"}:
            problem = arity_problem(target, kind, values.get("args", ()), values.get("kwargs", {}))
        if problem:
            problems.insert(0, f"target: {problem}")
    return problems


def _rule_problems(values: Mapping[str, Any], wrong: set[str]) -> Iterator[str]:
    """Yield which rules of how messages are handled have nothing to hold to."""
    if values.keys().isdisjoint(_FOR_MESSAGES):
        return
    right = [name for name in _FOR_MESSAGES if not wrong & {name, "kind"}]
    given = [name for name in right if values.get(name) not in (None, "crash")]
    if values.get("kind") == "task":
        for name in given:
            remedy = f"put {_FOR_MESSAGES[name]} around what that calls"
            yield f"{name}: must be left out, a task makes one call: {remedy}"
    elif "breaker" in given and generates(values.get("target")):
        yield "breaker: must be left out: a generator function fails while others iterate"
