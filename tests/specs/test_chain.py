"""A chain's description."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from threadsup._errors import SpecError
from threadsup._policy.batch import Batch
from threadsup._policy.rate import Rate
from threadsup._policy.retry import Retry
from threadsup._specs import ChainSpec, Worker, chain_spec, stage
from threadsup._specs.chain import CHAIN_RULES
from threadsup._specs.options import ChainOptions
from threadsup._specs.rules import STRATEGY


def parse(item: Any) -> Any: ...


def enrich(item: Any, table: str, depth: int = 1) -> Any: ...


class Scorer(Worker):
    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight


def problems_of(call: Any) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        call()
    return caught.value.problems


def test_a_chain_waits_at_fifty_and_restarts_one() -> None:
    """The defaults are those of the design."""
    chain = chain_spec("etl", [stage(parse)])
    assert (chain.capacity, chain.on_full, chain.strategy) == (50, "wait", "one_for_one")
    assert (chain.on_result, chain.significant, chain.escalate) == (None, False, False)
    assert (chain.on_error, chain.rate) == ("crash", None)


@pytest.mark.parametrize("on_error", ["crash", "reject", Retry(attempts=2)])
def test_a_chain_says_what_an_error_does_and_how_fast_it_is_fed(on_error: Any) -> None:
    """`on_error` is a word or a Retry, `rate` a Rate."""
    chain = chain_spec("etl", [stage(parse)], on_error=on_error, rate=Rate(100))
    assert (chain.on_error, chain.rate) == (on_error, Rate(100))


@pytest.mark.parametrize(
    "strategy", ["one_for_one", "one_for_all", "rest_for_one", "before_for_one"]
)
def test_a_chain_has_one_of_four_strategies(strategy: Any) -> None:
    """All four words are strategies of a chain."""
    assert chain_spec("etl", [stage(parse)], strategy=strategy).strategy == strategy


def test_the_queue_of_a_stage_holds_its_batch() -> None:
    """A bound that is the chain's grows to the size of a batch, and only for one that is larger."""
    stages = [
        stage(parse, batch=Batch(100)),
        stage(parse, batch=Batch(10)),
        stage(parse),
        stage(parse, batch=Batch(100), capacity=200),
    ]
    chain = chain_spec("etl", stages, capacity=20)
    assert [entry.capacity for entry in chain.stages] == [100, None, None, 200]


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
            strategy="before",  # type: ignore[arg-type]
            capacity=None,  # type: ignore[arg-type]
            on_result=lambda _, a: a,  # type: ignore[arg-type, misc]
            on_error="ignore",  # type: ignore[arg-type]
            rate=100,  # type: ignore[arg-type]
            significant="yes",  # type: ignore[arg-type]
        )
    ) == (
        "chain 'etl'.significant: must be true or false, not 'yes'",
        f"chain 'etl'.strategy: {STRATEGY('before')}",
        "chain 'etl'.capacity: must be a whole number of at least 1, not None",
        "chain 'etl'.on_result: cannot be called with an item: missing a required argument: 'a'",
        "chain 'etl'.on_error: must be 'crash', 'reject' or a Retry, not 'ignore'",
        "chain 'etl'.rate: must be a Rate, not 100",
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
