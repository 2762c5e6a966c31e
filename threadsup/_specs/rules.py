"""What each option of a description must be, by name.

Owns the tables that several kinds of child share, and the refusal of unknown
options. A rule stands here once, whether the option comes from a call or from a
file. It must not know the specs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from threadsup._checks import flag, ident, number, one_of, optional, seconds, shown, unknown, whole
from threadsup._policy.backoff import Backoff
from threadsup._policy.batch import Batch
from threadsup._policy.breaker import Breaker
from threadsup._policy.rate import Rate
from threadsup._policy.retry import Retry
from threadsup._specs.targets import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import DataclassInstance

    from threadsup._checks import Rule

__all__ = [
    "BATCH",
    "BUDGET_RULES",
    "ON_ERROR",
    "ON_FULL",
    "RATE",
    "RUN_RULES",
    "SCOPE_RULES",
    "STRATEGY",
    "label",
    "misplaced",
    "only_known",
    "options_of",
]


def _backoff(value: object) -> str:
    return "" if type(value) is Backoff else f"must be a Backoff, not {shown(value)}"


def _args(value: object) -> str:
    fine = type(value) is tuple or type(value) is list
    return "" if fine else f"must be a list of arguments, not a {type(value).__name__}"


def _kwargs(value: object) -> str:
    if not isinstance(value, Mapping):
        return f"must map names to arguments, not be a {type(value).__name__}"
    return "" if all(type(key) is str for key in value) else "must have names as keys"


def _on_error(value: object) -> str:
    if type(value) is Retry or (type(value) is str and value in ("crash", "reject")):
        return ""
    return f"must be 'crash', 'reject' or a Retry, not {shown(value)}"


def _batch(value: object) -> str:
    return "" if type(value) is Batch else f"must be a Batch, not {shown(value)}"


def _rate(value: object) -> str:
    return "" if type(value) is Rate else f"must be a Rate, not {shown(value)}"


def _breaker(value: object) -> str:
    return "" if type(value) is Breaker else f"must be a Breaker, not {shown(value)}"


STRATEGY = one_of("one_for_one", "one_for_all", "rest_for_one", "before_for_one")
ON_FULL = one_of("wait", "raise", "drop_new", "drop_old")
ON_ERROR: Rule = _on_error
BATCH: Rule = _batch
RATE: Rule = _rate

RUN_RULES: Mapping[str, Rule] = {
    "id": optional(ident),
    "args": _args,
    "kwargs": _kwargs,
    "restart": one_of("permanent", "transient", "temporary"),
    "shutdown": seconds(),
    "start_timeout": seconds(above=True),
    "time_limit": optional(seconds(above=True)),
    "max_attempts": whole(1),
    "mailbox": one_of("keep", "drop"),
    "interrupt": flag,
    "breaker": optional(_breaker),
    "rate": optional(RATE),
}
"""Of one running worker, whatever it belongs to."""

BUDGET_RULES: Mapping[str, Rule] = {
    "max_restarts": whole(0),
    # Nobody waits for it, so it may be longer than the longest wait.
    "max_seconds": number(0, 10**9, "a number of seconds", above=True),
    "backoff": _backoff,
}
"""Of a restart budget."""

SCOPE_RULES: Mapping[str, Rule] = {
    **{name: optional(rule) for name, rule in BUDGET_RULES.items()},
    "escalate": flag,
    "significant": flag,
}
"""Of a scope of failure: a standalone worker, a group, a chain."""

_NO_OPTIONS = {"args", "kind"}


def options_of(spec: DataclassInstance) -> dict[str, Any]:
    """Return what a spec was given, by name: what its class has as a default is right."""
    return {
        name: value
        for name, default in _defaults_of(type(spec))
        if (value := getattr(spec, name)) is not default
    }


@cache  # asked of every spec; there are few classes of them
def _defaults_of(kind: type[DataclassInstance]) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.default) for field in fields(kind))


def only_known(options: Mapping[str, object], rules: Mapping[str, Rule]) -> None:
    """Check the names of options.

    Raises:
        TypeError: One is unknown; says which is meant, or where it belongs.
    """
    if rules.keys() >= options.keys() and _NO_OPTIONS.isdisjoint(options):
        return
    if wrong := unknown(options, rules.keys() - _NO_OPTIONS):
        lines = [f"unknown option {name!r}{near}" for name, near in wrong.items()]
        raise TypeError("\n".join([*lines, *misplaced(wrong)]))


def misplaced(names: Iterable[str]) -> list[str]:
    """Return a line for each option that a member or a stage cannot have."""
    return [
        f"{name}: is an option of the group or chain as a whole, or of a child of a supervisor"
        for name in names
        if name in SCOPE_RULES
    ]


def label(kind: str, ident: object, target: object = None) -> str:
    """Return the path by which messages name a child: its kind and its id, or target."""
    return f"{kind} {shown(ident) if ident is not None else repr(name_of(target))}"
