"""Who is restarted: the rules of restart, as tables.

Owns every rule that can be looked up. What happens step by step, the budget and
the pauses are the scope's. It must not know time, order of events, or threads.

Theory of operation. An end of a child raises two questions. *Is it restarted at
all?* depends on its restart type and the reason of the end, and on nothing else:
`RESTARTS`. *Who goes with it?* depends on the strategy of its scope and on the
declared order: `STRATEGIES`. The unit of position is the place, and children of
one place, the replicas of a stage, are equals: one goes with the other only where
all go with everybody. All who go are one unit: stopped in reverse of the declared
order, started in declared order, paid for once.

The fine print, as in OTP:

* A `permanent` child is restarted after a clean end too: leaving is not allowed.
* `transient` takes `Normal` and `Shutdown` for a clean end. `Abandoned` is none:
  somebody stopped waiting for it, its work is not done.
* A restart takes along children that had ended cleanly or were stopped by hand:
  the set is started as declared. A `temporary` one is stopped with the others
  and never started again; it is forgotten.
* A start that fails in a restart is the same question asked again with the child
  that failed. `one_for_all` so stops those already up and begins anew, while
  `rest_for_one` goes on from the failing one and leaves those before it up, and
  `before_for_one` stops those before it again, starts all up to it over, and
  leaves those after it up.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, TypeVar

from threadsup._exits import Abandoned, Crashed, ExitReason, Normal, Shutdown

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

__all__ = [
    "RESTARTS",
    "STRATEGIES",
    "NoRestart",
    "Reach",
    "RestartRule",
    "Strategy",
    "affected",
    "refusal",
    "restarts",
]

RestartRule: TypeAlias = Literal["permanent", "transient", "temporary", "never", "escalate"]
"""The three types users choose from, and two for children that are scopes:
`never` is kept and not restarted, `escalate` only when it has given up."""

Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one", "before_for_one"]

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


class Reach(NamedTuple):
    """Who else goes with a child: those at the places before, at its own, after."""

    before: bool
    beside: bool
    after: bool


STRATEGIES: Mapping[Strategy, Reach] = MappingProxyType(
    {
        "one_for_one": Reach(before=False, beside=False, after=False),
        "one_for_all": Reach(before=True, beside=True, after=True),
        "rest_for_one": Reach(before=False, beside=False, after=True),
        "before_for_one": Reach(before=True, beside=False, after=False),
    }
)
"""Strategy -> which part of the declared order goes with a child."""


def restarts(restart: RestartRule, reason: ExitReason) -> bool:
    """Return whether a child of this restart type is restarted after `reason`."""
    return RESTARTS[restart][type(reason)]


def refusal(restart: RestartRule, reason: ExitReason) -> NoRestart | None:
    """Return why a child of this restart type stays down, `None` if it does not."""
    return None if restarts(restart, reason) else _REFUSALS[restart]


def affected(
    strategy: Strategy, order: Iterable[Key], key: Key, place: Callable[[Key], Hashable]
) -> tuple[Key, ...]:
    """Return who is restarted with `key`, itself included, in declared order.

    Args:
        strategy: The strategy of the scope.
        order: The children of the scope, in declared order; not looked at where `key`
            goes alone.
        key: The child that ended or did not start; one of `order`.
        place: Where each of them stands; equals stand at one place.
    """
    reach = STRATEGIES[strategy]
    if not any(reach):
        return (key,)
    here, passed, goes = place(key), False, []
    for other in order:
        if place(other) == here:
            passed = True
            taken = reach.beside or other == key
        else:
            taken = reach.after if passed else reach.before
        if taken:
            goes.append(other)
    return tuple(goes)
