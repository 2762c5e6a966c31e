"""A whole tree's description: ids, significance, inherited budgets."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest

from threadsup._errors import SpecError
from threadsup._policy.backoff import Backoff
from threadsup._specs import (
    Budget,
    Defaults,
    SupervisorOptions,
    SupervisorSpec,
    chain_spec,
    group_spec,
    handler,
    significance_problem,
    stage,
    worker_spec,
)
from threadsup._specs import options as declared
from threadsup._specs.supervisor import NESTED_RULES, SUPERVISOR_RULES, NestedOptions


def serve(message: Any) -> Any: ...


def problems_of(**options: Any) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        SupervisorSpec(**options)
    return caught.value.problems


def test_defaults_of_a_supervisor_are_those_of_the_design() -> None:
    """What is not said is 3 restarts in 5 s, no automatic end, 8 zombies, 10 s to exit."""
    spec = SupervisorSpec(name="app")
    assert (spec.max_restarts, spec.max_seconds, spec.backoff) == (3, 5.0, Backoff())
    assert (spec.auto_shutdown, spec.on_exit, spec.exit_timeout) == ("never", "stop", 10.0)
    assert (spec.max_zombies, spec.defaults, spec.children) == (8, None, ())


def test_children_share_one_id_space_and_are_named_in_it() -> None:
    """A worker without an id avoids the ids of groups and chains."""
    spec = SupervisorSpec(
        name="app",
        children=(
            worker_spec(handler(serve)),
            group_spec("serve"),
            chain_spec(("etl", 1), [stage(serve)]),
        ),
    )
    assert [child.id for child in spec.children] == ["serve-2", "serve", ("etl", 1)]


def test_every_fault_of_a_tree_is_named_at_once() -> None:
    """Options, children and what holds between them are checked together."""
    assert problems_of(
        name="",
        max_restarts=None,
        backoff=None,
        auto_shutdown="always",
        on_exit="kill",
        exit_timeout=-1,
        max_zombies=True,
        defaults={"max_restarts": 1},
        children=(group_spec("a"), serve, chain_spec("a", [stage(serve)])),
    ) == (
        "supervisor ''.name: must not be empty",
        "supervisor ''.max_restarts: must be a whole number of at least 0, not None",
        "supervisor ''.backoff: must be a Backoff, not None",
        "supervisor ''.auto_shutdown: must be 'never', 'any' or 'all', not 'always'",
        "supervisor ''.on_exit: must be 'stop' or 'drain', not 'kill'",
        "supervisor ''.exit_timeout: must be a number of seconds of at least 0, not -1",
        "supervisor ''.max_zombies: must be a whole number of at least 0, not True",
        "supervisor ''.defaults: must be Defaults, not {'max_restarts': 1}",
        "supervisor ''.children[1]: must be a spec, not the function serve",
        "supervisor ''.children[2].id: 'a' is taken by children[0]",
    )


def test_nobody_is_significant_where_nothing_ends_automatically() -> None:
    """Significance under `auto_shutdown="never"` would mean nothing: it is refused (F103)."""
    children = (
        group_spec("g", significant=True),
        chain_spec("c", [stage(serve)], significant=True),
        worker_spec(serve, 1, id="w", significant=True),
    )
    line = "significant: must be false, as the supervisor's auto_shutdown is 'never'"
    assert problems_of(name="app", children=children) == tuple(
        f"supervisor 'app'.children[{index}].{line}" for index in range(3)
    )
    assert significance_problem(True, "never") == line
    assert significance_problem(True, "any") == significance_problem(False, "never") == ""
    assert SupervisorSpec(name="app", children=children, auto_shutdown="all").children == children


def test_defaults_are_checked_like_a_scope() -> None:
    """Each fault of the defaults is named."""
    with pytest.raises(SpecError) as caught:
        Defaults(max_restarts=-1, max_seconds=0, backoff=1)  # type: ignore[arg-type]
    assert caught.value.problems == (
        "defaults.max_restarts: must be a whole number of at least 0, not -1",
        "defaults.max_seconds: must be a number of seconds above 0, not 0",
        "defaults.backoff: must be a Backoff, not 1",
    )


def test_a_budget_is_ones_own_or_the_defaults_or_the_supervisors() -> None:
    """Each part of a budget is inherited by itself; a declared 0 is a declaration."""
    slow = Backoff(initial=1.0)
    child = group_spec("g", max_restarts=0)
    plain = SupervisorSpec(name="app", max_restarts=7, max_seconds=8.0)
    assert plain.budget_of(child) == Budget(0, 8.0, Backoff())
    spec = dataclasses.replace(plain, defaults=Defaults(max_restarts=5, backoff=slow))
    assert spec.budget_of(child) == Budget(0, 8.0, slow)
    assert spec.budget_of(group_spec("h")) == Budget(5, 8.0, slow)
    own = group_spec("i", max_restarts=1, max_seconds=2.0, backoff=Backoff.none())
    assert spec.budget_of(own) == Budget(1, 2.0, Backoff.none())


def test_declared_supervisor_options_and_rules_and_fields_are_the_same() -> None:
    """The typed options, the rules and the fields of the spec name the same things."""
    fields = {field.name for field in dataclasses.fields(SupervisorSpec)}
    assert fields == {*SUPERVISOR_RULES, *NESTED_RULES, "children", "defaults"}
    assert {*SupervisorOptions.__annotations__, "name"} == {*SUPERVISOR_RULES, "defaults"}
    assert {*NestedOptions.__annotations__, "name"} == {*NESTED_RULES, "defaults"}


@pytest.mark.parametrize(
    ("name", "literal"),
    [("auto_shutdown", declared.AutoShutdown), ("on_exit", declared.OnExit)],
)
def test_rules_know_every_declared_word_of_a_supervisor(name: str, literal: Any) -> None:
    """Each word of a literal type passes its rule."""
    assert [SUPERVISOR_RULES[name](word) for word in get_args(literal)] == [""] * len(
        get_args(literal)
    )
