"""A chain's description and its stages'."""

from __future__ import annotations

import dataclasses
from typing import Any

import pykka
import pytest

from threadsup._errors import SpecError
from threadsup._specs import ChainSpec, StageSpec, Worker, chain_spec, stage
from threadsup._specs.chain import CHAIN_RULES, STAGE_RULES
from threadsup._specs.options import ChainOptions, StageOptions
from threadsup._specs.rules import STRATEGY


def parse(item: Any) -> Any: ...


def enrich(item: Any, table: str, depth: int = 1) -> Any: ...


class Scorer(Worker):
    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight


class Actor(pykka.ThreadingActor):
    pass


def problems_of(call: Any) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        call()
    return caught.value.problems


def test_a_stage_is_a_function_of_one_item_or_a_worker_class() -> None:
    """The kind shows in the target; arguments follow the item."""
    assert stage(parse).kind == "stage"
    assert stage(Scorer, 2.0).kind == "worker"
    spec = stage(enrich, "t", kwargs={"depth": 2}, capacity=3, on_full="raise", restart="permanent")
    assert (spec.args, spec.kwargs, spec.capacity, spec.on_full) == (
        ("t",),
        {"depth": 2},
        3,
        "raise",
    )
    assert spec.restart == "permanent"


def test_a_stage_is_transient_and_takes_bounds_from_its_chain() -> None:
    """What a stage does not say, the chain does."""
    spec = stage(parse)
    assert (spec.restart, spec.capacity, spec.on_full, spec.id) == ("transient", None, None, None)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (
            lambda: stage(Actor),
            "stage 'Actor'.target: must be a function or a Worker class, not the Pykka class Actor",
        ),
        (
            lambda: stage(lambda _, a: a, id="e"),
            "stage 'e'.target: cannot be called with an item: missing a required argument: 'a'",
        ),
        (
            lambda: stage(Scorer, 1, 2, id="s"),
            "stage 's'.target: cannot be called with its arguments: too many positional arguments",
        ),
        (
            lambda: stage(parse, capacity=0),
            "stage 'parse'.capacity: must be a whole number of at least 1, not 0",
        ),
        (
            lambda: StageSpec(target=parse, kind="task"),
            "stage 'parse'.kind: must be 'stage' or 'worker', not 'task'",
        ),
    ],
)
def test_faults_of_a_stage_are_told(call: Any, problem: str) -> None:
    """A stage that cannot work is refused where it is written."""
    assert problems_of(call) == (problem,)


def test_a_stage_has_no_significance_of_its_own() -> None:
    """The end of a chain counts, not that of a stage: the error says where it belongs."""
    with pytest.raises(TypeError) as caught:
        stage(parse, significant=True)  # type: ignore[call-arg]
    assert str(caught.value).splitlines() == [
        "unknown option 'significant'",
        "significant: is an option of the group or chain as a whole, or of a child of a supervisor",
    ]


@pytest.mark.parametrize("option", ["workers", "routing", "key", "on_error", "batch", "rate"])
def test_options_of_later_days_are_unknown(option: str) -> None:
    """What is not built yet is refused, not ignored."""
    with pytest.raises(TypeError, match=f"unknown option '{option}'"):
        stage(parse, **{option: 2})  # type: ignore[arg-type]


def test_a_chain_waits_at_fifty_and_restarts_one() -> None:
    """The defaults are those of the design."""
    chain = chain_spec("etl", [stage(parse)])
    assert (chain.capacity, chain.on_full, chain.strategy) == (50, "wait", "one_for_one")
    assert (chain.on_result, chain.significant, chain.escalate) == (None, False, False)


def test_stages_are_named_after_their_functions() -> None:
    """A stage's id is its function's name, numbered where that is taken."""
    chain = chain_spec("etl", [stage(parse), stage(enrich, "t"), stage(parse), stage(Scorer)])
    assert [entry.id for entry in chain.stages] == ["parse", "enrich", "parse-2", "Scorer"]


def test_every_fault_of_a_chain_is_named_at_once() -> None:
    """Options, stages and their ids are checked together."""
    assert problems_of(
        lambda: chain_spec(
            "etl",
            [stage(parse, id="a"), parse, stage(parse, id="a")],  # type: ignore[list-item]
            strategy="before_for_one",  # type: ignore[arg-type]
            capacity=None,  # type: ignore[arg-type]
            on_result=lambda _, a: a,  # type: ignore[arg-type, misc]
            significant="yes",  # type: ignore[arg-type]
        )
    ) == (
        "chain 'etl'.significant: must be true or false, not 'yes'",
        f"chain 'etl'.strategy: {STRATEGY('before_for_one')}",
        "chain 'etl'.capacity: must be a whole number of at least 1, not None",
        "chain 'etl'.on_result: cannot be called with an item: missing a required argument: 'a'",
        "chain 'etl'.stages[1]: must be made by stage(), not the function parse",
        "chain 'etl'.stages[2].id: 'a' is taken by stages[0]",
    )


def test_a_chain_has_at_least_one_stage() -> None:
    """A chain without a stage is refused (F104)."""
    assert problems_of(lambda: chain_spec("etl", [])) == (
        "chain 'etl'.stages: must be at least one",
    )


@pytest.mark.parametrize(
    ("on_result", "problem"),
    [
        (3, "must be a function, not 3"),
        (Scorer, "must be a function, not the class Scorer, recognised by itself"),
    ],
)
def test_on_result_is_a_function(on_result: Any, problem: str) -> None:
    """The end of a chain is called with each result."""
    lines = problems_of(lambda: chain_spec("etl", [stage(parse)], on_result=on_result))
    assert lines == (f"chain 'etl'.on_result: {problem}",)


def test_an_unknown_option_of_a_chain_is_a_type_error() -> None:
    """The nearest option is named."""
    with pytest.raises(TypeError, match="unknown option 'onresult'; did you mean 'on_result'"):
        chain_spec("etl", [stage(parse)], onresult=print)  # type: ignore[call-arg]


def test_declared_chain_options_and_rules_and_fields_are_the_same() -> None:
    """The typed options, the rules and the fields of the specs name the same things."""
    assert {field.name for field in dataclasses.fields(ChainSpec)} == {*CHAIN_RULES, "stages"}
    assert {*ChainOptions.__annotations__, "id"} == set(CHAIN_RULES)
    assert {field.name for field in dataclasses.fields(StageSpec)} == {*STAGE_RULES, "target"}
    assert {*StageOptions.__annotations__, "args", "kind"} == set(STAGE_RULES)
