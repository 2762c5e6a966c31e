"""A group: workers that live and die together.

Owns `GroupSpec`, the call that makes one, and the rules of its options. It must
not know what the members run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from threadsup._checks import check_all, ident, shown, under
from threadsup._errors import SpecError
from threadsup._specs.naming import duplicates, with_ids
from threadsup._specs.rules import SCOPE_RULES, STRATEGY, label, misplaced, only_known, options_of
from threadsup._specs.targets import name_of
from threadsup._specs.worker import WorkerSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Unpack

    from threadsup._checks import Rule
    from threadsup._exits import ChildId
    from threadsup._policy.backoff import Backoff
    from threadsup._specs.options import GroupOptions, Strategy

__all__ = [
    "GROUP_RULES",
    "GroupSpec",
    "group_spec",
    "member_problems",
]

GROUP_RULES: Mapping[str, Rule] = {**SCOPE_RULES, "id": ident, "strategy": STRATEGY}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpec:
    """Members under one strategy and one budget. Made by `group_spec`.

    Raises:
        SpecError: Something is wrong with it; names every fault.
    """

    id: ChildId
    members: tuple[WorkerSpec, ...] = ()
    """In the order they start; each has an id here, made of its target's name
    where it had none."""
    strategy: Strategy = "one_for_all"
    significant: bool = False
    """Whether its end by itself counts for the supervisor's `auto_shutdown`."""
    max_restarts: int | None = None
    """The budget; this and the next two inherit the supervisor's with `None`."""
    max_seconds: float | None = None
    backoff: Backoff | None = None
    escalate: bool = False
    """Whether giving up is a crash in the eyes of the supervisor."""

    def __post_init__(self) -> None:
        problems = check_all(GROUP_RULES, options_of(self))
        given: tuple[object, ...] = tuple(self.members)
        workers = []
        ids = []
        for index, member in enumerate(given):
            if isinstance(member, WorkerSpec):
                workers.append(member)
                ids.append((f"members[{index}]", member.id))
                problems += under(f"members[{index}]", member_problems(member))
            else:
                problems.append(f"members[{index}]: must be a WorkerSpec, not {shown(member)}")
        problems += duplicates(ids)
        if problems:
            raise SpecError(under(label("group", self.id), problems))
        object.__setattr__(self, "members", with_ids(workers, _name))


def _name(member: WorkerSpec) -> str:
    return name_of(member.target)


def group_spec(
    id: ChildId, members: Iterable[WorkerSpec] = (), **options: Unpack[GroupOptions]
) -> GroupSpec:
    """Describe a group.

    Raises:
        SpecError: Something is wrong; names every fault.
        TypeError: An option is unknown.
    """
    only_known(options, GROUP_RULES)
    return GroupSpec(id=id, members=tuple(members), **options)


def member_problems(member: WorkerSpec) -> list[str]:
    """Return what keeps a worker from being a member of a group."""
    return misplaced(options_of(member))
