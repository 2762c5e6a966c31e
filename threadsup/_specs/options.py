"""The words and options a description is written in, for type checkers.

Owns the literal types and, per kind of child, the options a call takes. It must
not know what a value may be: the rules stand with the specs, under the same names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from threadsup._policy.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threadsup._exits import ChildId
    from threadsup._policy.autoscale import Autoscale
    from threadsup._policy.backoff import Backoff
    from threadsup._policy.batch import Batch
    from threadsup._policy.breaker import Breaker
    from threadsup._policy.rate import Rate

__all__ = [
    "AutoShutdown",
    "ChainOptions",
    "GroupOptions",
    "Key",
    "Kind",
    "MailboxFate",
    "OnAskError",
    "OnError",
    "OnExit",
    "OnFull",
    "OnResult",
    "Restart",
    "Routing",
    "RunOptions",
    "ScopeOptions",
    "StageOptions",
    "StageRouting",
    "Strategy",
    "WorkerOptions",
]

Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one", "before_for_one"]
OnFull: TypeAlias = Literal["wait", "raise", "drop_new", "drop_old"]
MailboxFate: TypeAlias = Literal["keep", "drop"]
OnAskError: TypeAlias = Literal["crash", "reply"]
Routing: TypeAlias = Literal["random", "round_robin", "partition", "least_loaded"]
StageRouting: TypeAlias = Literal["round_robin", "random", "least_loaded", "partition", "broadcast"]
Kind: TypeAlias = Literal["task", "handler", "worker", "pykka", "stage"]
AutoShutdown: TypeAlias = Literal["never", "any", "all"]
OnExit: TypeAlias = Literal["stop", "drain"]
OnResult: TypeAlias = Callable[[Any], object]
OnError: TypeAlias = Literal["crash", "reject"] | Retry
Key: TypeAlias = Callable[[Any], object]


class RunOptions(TypedDict, total=False):
    """How one worker runs: options of workers and stages alike."""

    id: ChildId | None
    kwargs: Mapping[str, Any]
    restart: Restart
    shutdown: float
    start_timeout: float
    time_limit: float | None
    max_attempts: int
    mailbox: MailboxFate
    interrupt: bool
    breaker: Breaker | None
    rate: Rate | None


class ScopeOptions(TypedDict, total=False):
    """How a scope of failure behaves: standalone worker, group and chain."""

    max_restarts: int | None
    max_seconds: float | None
    backoff: Backoff | None
    escalate: bool
    significant: bool


class WorkerOptions(RunOptions, ScopeOptions, total=False):
    """Options of a worker; in a group those of `ScopeOptions` are the group's."""

    capacity: int | None
    on_full: OnFull
    on_ask_error: OnAskError
    on_error: OnError


class StageOptions(RunOptions, total=False):
    """Options of a stage; `None` takes the chain's `capacity`, `on_full`, `on_error`."""

    workers: int | Autoscale
    routing: StageRouting
    key: Key | None
    capacity: int | None
    on_full: OnFull | None
    on_error: OnError | None
    batch: Batch | None


class GroupOptions(ScopeOptions, total=False):
    """Options of a group."""

    strategy: Strategy


class ChainOptions(ScopeOptions, total=False):
    """Options of a chain."""

    strategy: Strategy
    capacity: int
    on_full: OnFull
    on_result: OnResult | None
    on_error: OnError
    rate: Rate | None
