"""Who is restarted: the rules of restart, as tables.

Owns every rule that can be looked up. What happens step by step, the budget and
the pauses are the scope's. It must not know time, order of events, or threads.

Theory of operation. An end of a child raises two questions. *Is it restarted at
all?* depends on its restart type and the reason of the end, and on nothing else:
`RESTARTS`. *Who goes with it?* depends on the strategy of its scope and on the
declared order: `STRATEGIES`. All who go are one unit: stopped in reverse of the
declared order, started in declared order, paid for once.

The fine print, as in OTP:

* A `permanent` child is restarted after a clean end too: leaving is not allowed.
* `transient` takes `Normal` and `Shutdown` for a clean end. `Abandoned` is none:
  somebody stopped waiting for it, its work is not done.
* A restart takes along children that had ended cleanly or were stopped by hand:
  the set is started as declared. A `temporary` one is stopped with the others
  and never started again; it is forgotten.
* A start that fails in a restart is the same question asked again with the child
  that failed. `one_for_all` so stops those already up and begins anew, while
  `rest_for_one` goes on from the failing one and leaves those before it up.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from threadsup._exits import Abandoned, Crashed, ExitReason, Normal, Shutdown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "RESTARTS",
    "STRATEGIES",
    "NoRestart",
    "RestartRule",
    "Strategy",
    "affected",
    "refusal",
    "restarts",
]

RestartRule: TypeAlias = Literal["permanent", "transient", "temporary", "never", "escalate"]
"""The three types users choose from, and two for children that are scopes:
`never` is kept and not restarted, `escalate` only when it has given up."""

Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]

Key = TypeVar("Key")


class NoRestart(Enum):
    """Why a child that ended is not restarted; the value says it to people."""

    TEMPORARY = "a temporary worker is never restarted"
    CLEAN_END = "it ended cleanly, and a transient worker is then not restarted"
    NEVER = "it is never restarted by itself"
    ENDED = "it ended without giving up"
    STOPPED = "it was stopped on request"
    START_FAILED = "it did not start"
    SCOPE_STOPPING = "what it belongs to is stopping"
    CHAIN_ENDED = "its chain is ending: a stage has ended for good"
    GAVE_UP = "more restarts were needed than are allowed"

    def __str__(self) -> str:
        return self.value


def _row(*, clean: bool, crash: bool) -> Mapping[type[ExitReason], bool]:
    return MappingProxyType({Normal: clean, Shutdown: clean, Crashed: crash, Abandoned: crash})


RESTARTS: Mapping[RestartRule, Mapping[type[ExitReason], bool]] = MappingProxyType(
    {
        "permanent": _row(clean=True, crash=True),
        "transient": _row(clean=False, crash=True),
        "temporary": _row(clean=False, crash=False),
        "never": _row(clean=False, crash=False),
        "escalate": _row(clean=False, crash=False),
    }
)
"""Restart type x class of exit reason: is it restarted?"""

_REFUSALS: Mapping[RestartRule, NoRestart] = MappingProxyType(
    {
        "transient": NoRestart.CLEAN_END,
        "temporary": NoRestart.TEMPORARY,
        "never": NoRestart.NEVER,
        "escalate": NoRestart.ENDED,
    }
)

STRATEGIES: Mapping[Strategy, Callable[[int], slice]] = MappingProxyType(
    {
        "one_for_one": lambda at: slice(at, at + 1),
        "one_for_all": lambda _at: slice(None),
        "rest_for_one": lambda at: slice(at, None),
    }
)
"""Strategy -> which part of the declared order goes with the child at a position."""


def restarts(restart: RestartRule, reason: ExitReason) -> bool:
    """Return whether a child of this restart type is restarted after `reason`."""
    return RESTARTS[restart][type(reason)]


def refusal(restart: RestartRule, reason: ExitReason) -> NoRestart | None:
    """Return why a child of this restart type stays down, `None` if it does not."""
    return None if restarts(restart, reason) else _REFUSALS[restart]


def affected(strategy: Strategy, order: Sequence[Key], key: Key) -> tuple[Key, ...]:
    """Return who is restarted with `key`, itself included, in declared order.

    Args:
        strategy: The strategy of the scope.
        order: The children of the scope, in declared order.
        key: The child that ended or did not start; one of `order`.
    """
    return tuple(order[STRATEGIES[strategy](order.index(key))])
