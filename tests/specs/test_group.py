"""A group's description, and what a member cannot say for itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from threadsup._errors import SpecError
from threadsup._policy.backoff import Backoff
from threadsup._specs import GroupSpec, group_spec, handler, member_problems, worker_spec
from threadsup._specs.group import GROUP_RULES
from threadsup._specs.options import GroupOptions
from threadsup._specs.rules import STRATEGY


def serve(message: Any) -> Any: ...


def test_a_group_is_one_for_all_and_inherits_its_budget() -> None:
    """Members of a group are equals that fall together unless it says otherwise."""
    group = group_spec("cache")
    assert group == GroupSpec(id="cache", members=(), strategy="one_for_all")
    assert (group.max_restarts, group.max_seconds, group.backoff) == (None, None, None)


def test_members_are_named_in_order() -> None:
    """A member without an id gets one of its target's name that no other has."""
    members = [worker_spec(handler(serve)), worker_spec(handler(serve), id="serve")]
    assert [member.id for member in group_spec("g", members).members] == ["serve-2", "serve"]


def test_every_fault_of_a_group_is_named_at_once() -> None:
    """Options, members and their ids are checked together."""
    twin = worker_spec(handler(serve), id="w")
    with pytest.raises(SpecError) as caught:
        group_spec("g", [twin, twin, serve], strategy="before", backoff=1)  # type: ignore[arg-type, list-item]
    assert caught.value.problems == (
        "group 'g'.backoff: must be a Backoff, not 1",
        f"group 'g'.strategy: {STRATEGY('before')}",
        "group 'g'.members[2]: must be a WorkerSpec, not the function serve",
        "group 'g'.members[1].id: 'w' is taken by members[0]",
    )


def test_a_group_needs_an_id() -> None:
    """There is no target to make one of."""
    with pytest.raises(SpecError, match="id: must be text, a whole number"):
        group_spec(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"significant": True, "restart": "temporary"},
        {"escalate": True},
        {"max_restarts": 3},
        {"max_seconds": 1.0},
        {"backoff": Backoff()},
    ],
)
def test_a_member_cannot_have_what_its_group_decides(options: dict[str, Any]) -> None:
    """A member's own budget, escalation or significance would be ignored: it is refused."""
    name = next(iter(options))
    member = worker_spec(handler(serve), id="w", **options)
    line = f"{name}: is an option of the group or chain as a whole, or of a child of a supervisor"
    assert member_problems(member) == [line]
    with pytest.raises(SpecError) as caught:
        group_spec("g", [member])
    assert caught.value.problems == (f"group 'g'.members[0].{line}",)


def test_an_ordinary_worker_can_be_a_member() -> None:
    """What is left at its default is nobody's decision."""
    assert member_problems(worker_spec(handler(serve), capacity=3, significant=False)) == []


def test_an_unknown_option_of_a_group_is_a_type_error() -> None:
    """The nearest option is named."""
    with pytest.raises(TypeError, match="unknown option 'stratgy'; did you mean 'strategy'"):
        group_spec("g", stratgy="one_for_one")  # type: ignore[call-arg]


def test_declared_group_options_and_rules_and_fields_are_the_same() -> None:
    """The typed options, the rules and the fields of the spec name the same things."""
    assert {field.name for field in dataclasses.fields(GroupSpec)} == {*GROUP_RULES, "members"}
    assert {*GroupOptions.__annotations__, "id"} == set(GROUP_RULES)


def test_an_unknown_strategy_is_refused_with_those_there_are() -> None:
    """The four words are listed."""
    with pytest.raises(SpecError) as caught:
        group_spec("g", strategy="before")  # type: ignore[arg-type]
    (line,) = caught.value.problems
    assert line.endswith(
        "must be 'one_for_one', 'one_for_all', 'rest_for_one' or 'before_for_one', not 'before'"
    )


@pytest.mark.parametrize(
    "strategy", ["one_for_one", "one_for_all", "rest_for_one", "before_for_one"]
)
def test_a_group_has_one_of_four_strategies(strategy: Any) -> None:
    """All four words are strategies of a group."""
    assert group_spec("g", strategy=strategy).strategy == strategy
