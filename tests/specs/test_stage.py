"""A stage's description: what runs, in how many replicas, and what it is fed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pykka
import pytest

from threadsup._errors import SpecError
from threadsup._policy.autoscale import Autoscale
from threadsup._policy.batch import Batch
from threadsup._policy.rate import Rate
from threadsup._policy.retry import Retry
from threadsup._specs import StageSpec, Worker, fitted, stage
from threadsup._specs.options import StageOptions
from threadsup._specs.stage import STAGE_RULES


def parse(item: Any) -> Any: ...


def enrich(item: Any, table: str, depth: int = 1) -> Any: ...


def lines(item: Any) -> Any:
    yield from item


async def later(item: Any) -> Any: ...


class Scorer(Worker):
    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight


class Splitter(Worker):
    def on_receive(self, message: Any) -> Any:
        yield from message


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


def test_a_stage_is_one_transient_worker_and_takes_the_rest_from_its_chain() -> None:
    """What a stage does not say, the chain does."""
    spec = stage(parse)
    assert (spec.restart, spec.workers, spec.routing, spec.key) == (
        "transient",
        1,
        "round_robin",
        None,
    )
    assert (spec.capacity, spec.on_full, spec.on_error, spec.id) == (None, None, None, None)
    assert (spec.batch, spec.rate) == (None, None)


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 4, "routing": "random"},
        {"workers": Autoscale(1, 4), "routing": "least_loaded"},
        {"workers": 4, "routing": "partition", "key": len},
        {"workers": Autoscale(1, 4), "routing": "partition", "key": lambda item: item},
        {"workers": 2, "routing": "broadcast"},
        {"on_error": "crash"},
        {"on_error": "reject"},
        {"on_error": Retry(attempts=2)},
        {"batch": Batch(10), "capacity": 10},
        {"batch": Batch(10)},
        {"rate": Rate(5)},
    ],
)
def test_options_of_a_stream_are_kept(options: dict[str, Any]) -> None:
    """Replicas, routing, errors, batches and rates are part of the description."""
    spec = stage(parse, **options)
    assert {name: getattr(spec, name) for name in options} == options


@pytest.mark.parametrize("target", [lines, Splitter])
def test_a_generator_is_a_stage(target: Any) -> None:
    """A stage may yield what goes on, as a function or as the `on_receive` of a class."""
    assert stage(target).target is target


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (
            lambda: stage(Actor),
            (
                "stage 'Actor'.target: must have an on_receive of its own, for items, "
                "which Actor has not"
            ),
        ),
        (
            lambda: stage(later),
            (
                "stage 'later'.target: must be a plain function, "
                "not a coroutine function: call asyncio.run() in one"
            ),
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
            "stage 'parse'.kind: must be 'stage', 'worker' or 'pykka', not 'task'",
        ),
        (
            lambda: stage(parse, workers=0),
            "stage 'parse'.workers: must be a whole number of at least 1, not 0",
        ),
        (
            lambda: stage(parse, workers=True),
            "stage 'parse'.workers: must be a whole number of at least 1 or an Autoscale, not True",
        ),
        (
            lambda: stage(parse, routing="any"),  # type: ignore[arg-type]
            (
                "stage 'parse'.routing: must be 'round_robin', 'random', 'least_loaded', "
                "'partition' or 'broadcast', not 'any'"
            ),
        ),
        (
            lambda: stage(parse, workers=2, routing="partition"),
            "stage 'parse'.key: is needed with routing='partition'",
        ),
        (
            lambda: stage(parse, key=len),
            "stage 'parse'.key: is only for routing='partition'",
        ),
        (
            lambda: stage(parse, routing="partition", key=enrich),  # type: ignore[arg-type]
            (
                "stage 'parse'.key: cannot be called with an item: "
                "missing a required argument: 'table'"
            ),
        ),
        (
            lambda: stage(parse, routing="partition", key="id"),  # type: ignore[arg-type]
            "stage 'parse'.key: must be a function, not 'id'",
        ),
        (
            lambda: stage(parse, routing="broadcast", workers=Autoscale(1, 2)),
            (
                "stage 'parse'.workers: must be a number with routing='broadcast': "
                "each gets every item"
            ),
        ),
        (
            lambda: stage(parse, on_error="retry"),  # type: ignore[arg-type]
            "stage 'parse'.on_error: must be 'crash', 'reject' or a Retry, not 'retry'",
        ),
        (
            lambda: stage(parse, batch=10),  # type: ignore[arg-type]
            "stage 'parse'.batch: must be a Batch, not 10",
        ),
        (
            lambda: stage(parse, batch=Batch(10), capacity=9),
            "stage 'parse'.capacity: must be at least the batch's size, 10, not 9",
        ),
        (
            lambda: stage(lines, batch=Batch(10)),
            (
                "stage 'lines'.batch: must be left out: "
                "a generator function works on one item at a time"
            ),
        ),
        (
            lambda: stage(Splitter, batch=Batch(10)),
            (
                "stage 'Splitter'.batch: must be left out: "
                "a generator function works on one item at a time"
            ),
        ),
        (
            lambda: stage(parse, rate=10),  # type: ignore[arg-type]
            "stage 'parse'.rate: must be a Rate, not 10",
        ),
    ],
)
def test_faults_of_a_stage_are_told(call: Any, problem: str) -> None:
    """A stage that cannot work is refused where it is written."""
    assert problems_of(call) == (problem,)


def test_every_fault_of_a_stage_is_named_at_once() -> None:
    """Options are checked one by one, then together where each for itself is right."""
    assert problems_of(
        lambda: stage(
            lines,
            workers="many",  # type: ignore[arg-type]
            routing="partition",
            batch=Batch(10),
            capacity=5,
            rate=Rate,  # type: ignore[arg-type]
        )
    ) == (
        "stage 'lines'.rate: must be a Rate, not the class Rate",
        "stage 'lines'.workers: must be a whole number of at least 1 or an Autoscale, not 'many'",
        "stage 'lines'.capacity: must be at least the batch's size, 10, not 5",
        "stage 'lines'.batch: must be left out: a generator function works on one item at a time",
    )


def test_a_stage_has_no_significance_of_its_own() -> None:
    """The end of a chain counts, not that of a stage: the error says where it belongs."""
    with pytest.raises(TypeError) as caught:
        stage(parse, significant=True)  # type: ignore[call-arg]
    assert str(caught.value).splitlines() == [
        "unknown option 'significant'",
        "significant: is an option of the group or chain as a whole, or of a child of a supervisor",
    ]


def test_an_unknown_option_of_a_stage_is_a_type_error() -> None:
    """The nearest option is named."""
    with pytest.raises(TypeError, match="unknown option 'worker'; did you mean 'workers'"):
        stage(parse, worker=2)  # type: ignore[call-arg]


def test_a_stage_is_fitted_to_the_capacity_of_a_chain() -> None:
    """Only a batch larger than a bound that is not the stage's own changes it."""
    for entry in (stage(parse), stage(parse, batch=Batch(5)), stage(parse, capacity=1)):
        assert fitted(entry, 5) is entry
    wide = stage(parse, batch=Batch(6), id="wide")
    assert fitted(wide, 5) == dataclasses.replace(wide, capacity=6)


def test_declared_stage_options_and_rules_and_fields_are_the_same() -> None:
    """The typed options, the rules and the fields of the spec name the same things."""
    assert {field.name for field in dataclasses.fields(StageSpec)} == {*STAGE_RULES, "target"}
    assert {*StageOptions.__annotations__, "args", "kind"} == set(STAGE_RULES)
