"""What the options of a pool must be.

Owns the rules, alone and together. It must not know supervisors: their rule is handed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from threadsup._checks import (
    check_all,
    number,
    one_of,
    optional,
    seconds,
    shown,
    text,
    under,
    whole,
)
from threadsup._errors import SpecError
from threadsup._policy.backoff import Backoff
from threadsup._policy.breaker import Breaker
from threadsup._policy.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threadsup._checks import Rule

__all__ = ["check", "instance", "several"]

several = whole(1)
"""Checks a number of workers."""


def instance(kind: type) -> Rule:
    """Return the rule for an instance of a class, and of no other."""
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    return lambda value: (
        "" if type(value) is kind else f"must be {article} {kind.__name__}, not {shown(value)}"
    )


def _function(value: object) -> str:
    return "" if callable(value) else f"must be a function, not {shown(value)}"


_RULES: Mapping[str, Rule] = {
    "max_workers": optional(several),
    "name": optional(text),
    "capacity": optional(several),
    "on_full": one_of("wait", "raise"),
    "retry": optional(instance(Retry)),
    "breaker": optional(instance(Breaker)),
    "routing": one_of("shared", "partition"),
    "key": optional(_function),
    "on_dead_letter": optional(_function),
    "time_limit": optional(seconds(above=True)),
    "init": optional(_function),
    "max_restarts": optional(whole(0)),
    "max_seconds": optional(number(0, 10**9, "a number of seconds", above=True)),
    "backoff": optional(instance(Backoff)),
    "shutdown": seconds(),
    "max_zombies": optional(whole(0)),
    "exit_timeout": optional(seconds()),
}


def check(given: Mapping[str, Any], **rules: Rule) -> None:
    """Check the options of a pool, alone and together; `rules` are further ones.

    Raises:
        SpecError: names every fault.
    """
    problems = check_all({**_RULES, **rules}, given)
    wrong = {line.partition(":")[0] for line in problems}
    if not wrong & {"routing", "key"}:
        if given["routing"] == "partition" and given["key"] is None:
            problems.append("key: is needed with routing='partition'")
        if given["routing"] != "partition" and given["key"] is not None:
            problems.append("key: is only for routing='partition'")
    if given["supervisor"] is not None and given["max_zombies"] is not None:
        problems.append("max_zombies: is an option of the supervisor that is given")
    if given["on_full"] == "raise" and given["capacity"] is None:
        problems.append("on_full: is for a pool with a capacity")
    if problems:
        raise SpecError(under("pool", problems))
