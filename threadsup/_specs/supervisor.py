"""A supervisor and everything it starts with: a whole tree, or a part of one.

Owns `SupervisorSpec` and `Defaults`, the rules of their options, and what depends
on parent and child together: who may be significant, which budget is inherited.
It must not know how any of it is started.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypedDict, TypeVar, final

from threadsup._checks import check_all, flag, one_of, seconds, shown, text, under, whole
from threadsup._errors import SpecError
from threadsup._policy.backoff import Backoff
from threadsup._specs.chain import ChainSpec
from threadsup._specs.group import GroupSpec
from threadsup._specs.naming import duplicates, with_ids
from threadsup._specs.rules import BUDGET_RULES, SCOPE_RULES, label, only_known, options_of
from threadsup._specs.targets import name_of
from threadsup._specs.worker import WorkerSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Unpack

    from threadsup._checks import Rule
    from threadsup._specs.options import AutoShutdown, OnExit

__all__ = [
    "DEFAULTS_RULES",
    "NESTED_RULES",
    "SUPERVISOR_RULES",
    "Budget",
    "ChildSpec",
    "Defaults",
    "NestedOptions",
    "SupervisorOptions",
    "SupervisorSpec",
    "nested_problems",
    "nested_spec",
    "significance_problem",
    "supervisor_spec",
]

T = TypeVar("T")

DEFAULTS_RULES: Mapping[str, Rule] = {name: SCOPE_RULES[name] for name in BUDGET_RULES}

SUPERVISOR_RULES: Mapping[str, Rule] = {
    "name": text,
    **BUDGET_RULES,
    "auto_shutdown": one_of("never", "any", "all"),
    "on_exit": one_of("stop", "drain"),
    "exit_timeout": seconds(),
    "max_zombies": whole(0),
}


NESTED_RULES: Mapping[str, Rule] = {
    "name": text,
    **BUDGET_RULES,
    "auto_shutdown": SUPERVISOR_RULES["auto_shutdown"],
    "escalate": flag,
    "significant": flag,
}
"""Of a supervisor in a supervisor: what is the whole tree's is not among them."""


class Budget(NamedTuple):
    """How often a scope may restart, and the pauses between."""

    max_restarts: int
    max_seconds: float
    backoff: Backoff


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """The budget of the scopes that declare none; `None`: the supervisor's own.

    Raises:
        SpecError: Something is wrong with it; names every fault.
    """

    max_restarts: int | None = None
    max_seconds: float | None = None
    backoff: Backoff | None = None

    def __post_init__(self) -> None:
        if problems := check_all(DEFAULTS_RULES, options_of(self)):
            raise SpecError(under("defaults", problems))


_NO_DEFAULTS = Defaults()


class SupervisorOptions(TypedDict, total=False):
    """Options of a supervisor."""

    max_restarts: int
    max_seconds: float
    backoff: Backoff
    auto_shutdown: AutoShutdown
    defaults: Defaults | None
    on_exit: OnExit
    exit_timeout: float
    max_zombies: int


class NestedOptions(TypedDict, total=False):
    """Options of a supervisor in a supervisor."""

    max_restarts: int
    max_seconds: float
    backoff: Backoff
    auto_shutdown: AutoShutdown
    defaults: Defaults | None
    escalate: bool
    significant: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSpec:
    """A tree as it is started, or a supervisor in one. Made by hand or by `load`.

    Starts nothing. Times are seconds.

    Raises:
        SpecError: Something is wrong with it; names every fault.
    """

    name: str
    children: tuple[ChildSpec, ...] = ()
    """In the order they start; each has an id here, made of its target's name
    where it had none."""
    max_restarts: int = 3
    """The supervisor's own budget: for scopes that escalate."""
    max_seconds: float = 5.0
    backoff: Backoff = Backoff()
    auto_shutdown: AutoShutdown = "never"
    """Whether the tree ends when any, or all, significant children have ended."""
    defaults: Defaults | None = None
    on_exit: OnExit = "stop"
    """What becomes of a live tree when the process ends."""
    exit_timeout: float = 10.0
    """How long that may take."""
    max_zombies: int = 8
    """How many abandoned threads the tree bears. This and the two before: only of
    the tree as a whole."""
    escalate: bool = True
    """Whether giving up is a crash in the eyes of the supervisor it is in, which
    restarts it. This and the next: only of one that is in another."""
    significant: bool = False
    """Whether its end by itself counts for that supervisor's `auto_shutdown`."""

    def __post_init__(self) -> None:
        problems = check_all({**SUPERVISOR_RULES, **NESTED_RULES}, options_of(self))
        defaults: object = self.defaults
        if defaults is not None and not isinstance(defaults, Defaults):
            problems.append(f"defaults: must be Defaults, not {shown(defaults)}")
        given: tuple[object, ...] = tuple(self.children)
        children = []
        ids = []
        for index, child in enumerate(given):
            if not isinstance(child, ChildSpec):
                problems.append(f"children[{index}]: must be a spec, not {shown(child)}")
                continue
            children.append(child)
            ids.append((f"children[{index}]", child.id))
            if problem := significance_problem(child.significant, self.auto_shutdown):
                problems.append(f"children[{index}].{problem}")
            if isinstance(child, SupervisorSpec):
                problems += under(f"children[{index}]", nested_problems(child))
        problems += duplicates(ids)
        if problems:
            raise SpecError(under(label("supervisor", self.name), problems))
        object.__setattr__(self, "children", with_ids(children, _name))

    @property
    def id(self) -> str:
        """Its id where it is a child: its name."""
        return self.name

    def budget_of(self, child: ChildSpec) -> Budget:
        """Return the budget of a scope: its own, else the defaults', else the supervisor's."""
        near = self.defaults or _NO_DEFAULTS
        return Budget(
            _first(child.max_restarts, near.max_restarts, self.max_restarts),
            _first(child.max_seconds, near.max_seconds, self.max_seconds),
            _first(child.backoff, near.backoff, self.backoff),
        )


ChildSpec: TypeAlias = WorkerSpec | GroupSpec | ChainSpec | SupervisorSpec
"""What a supervisor can start."""


def supervisor_spec(name: str, **options: Unpack[SupervisorOptions]) -> SupervisorSpec:
    """Describe a supervisor that has no children yet.

    Raises:
        SpecError: Something is wrong; names every fault.
        TypeError: An option is unknown.
    """
    only_known(options, {**SUPERVISOR_RULES, "defaults": text})
    return SupervisorSpec(name=name, **options)


def nested_spec(
    name: str, children: Iterable[ChildSpec] = (), **options: Unpack[NestedOptions]
) -> SupervisorSpec:
    """Describe a supervisor that is a child of another one.

    Raises:
        SpecError: Something is wrong; names every fault.
        TypeError: An option is unknown.
    """
    only_known(options, {**NESTED_RULES, "defaults": text})
    return SupervisorSpec(name=name, children=tuple(children), **options)


def nested_problems(spec: SupervisorSpec) -> list[str]:
    """Return what keeps a supervisor from being a child of another one."""
    return [
        f"{name}: is an option of the whole tree, set it where that is declared"
        for name in options_of(spec)
        if name in SUPERVISOR_RULES and name not in NESTED_RULES
    ]


def significance_problem(significant: object, auto_shutdown: object) -> str:
    """Return why a child of such a supervisor cannot be significant, `""` if it can."""
    if significant is True and auto_shutdown == "never":
        return "significant: must be false, as the supervisor's auto_shutdown is 'never'"
    return ""


def _first(own: T | None, near: T | None, last: T) -> T:
    if own is not None:
        return own
    return last if near is None else near


def _name(child: ChildSpec) -> str:
    return name_of(child.target) if isinstance(child, WorkerSpec) else ""
