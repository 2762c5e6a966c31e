"""Nested supervisors in a file: `[[nested]]`, as deep as there are tables."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tests.conformance.scenes import act
from threadsup import Backoff, SpecError, Supervisor, handler, load
from threadsup._specs import nested_spec, worker_spec
from threadsup.cli.drawing import declared, summary

TARGET = {"target": "tests.conformance.scenes:act", "kind": "handler"}

NEVER = "must be false, as the supervisor's auto_shutdown is 'never'"

FILE = """
[supervisor]
name = "app"
auto_shutdown = "all"

[[worker]]
id = "beside"
target = "tests.conformance.scenes:act"
kind = "handler"

[[nested]]
id = "ingest"
max_restarts = 1
auto_shutdown = "any"
significant = true
order = 1
defaults = { max_restarts = 7 }
backoff = { initial = 0.5 }

[[nested.worker]]
id = "w"
target = "tests.conformance.scenes:act"
kind = "handler"
escalate = true

[[nested.nested]]
id = "deep"
escalate = false

[[nested.nested.group]]
id = "g"
[[nested.nested.group.worker]]
id = "m"
target = "tests.conformance.scenes:act"
kind = "handler"
"""


def test_a_file_says_all_that_a_program_can() -> None:
    """Options, children of every kind, `order`, and others within."""
    spec = load(tomllib.loads(FILE), allow=("tests",))
    assert [child.id for child in spec.children] == ["ingest", "beside"]
    nest: Any = spec.children[0]
    assert (nest.max_restarts, nest.auto_shutdown, nest.significant) == (1, "any", True)
    assert nest.escalate
    assert nest.backoff == Backoff(initial=0.5)
    assert nest.defaults.max_restarts == 7
    assert [child.id for child in nest.children] == ["w", "deep"]
    deep = nest.children[1]
    assert deep.escalate is False
    assert [child.id for child in deep.children] == ["g"]


def test_what_was_loaded_runs() -> None:
    """As if it had been written in calls."""
    with Supervisor.from_spec(load(tomllib.loads(FILE), allow=("tests",))) as tree:
        nest = tree.supervisor("ingest")
        assert nest.worker("w").ask("here") == "here"
        assert nest.supervisor("deep").group("g").ask("m", "here") == "here"


def test_every_fault_is_told_with_its_path() -> None:
    """All at once, and nothing is made."""
    tables = {
        "supervisor": {"name": "app"},
        "worker": [{"id": "x", **TARGET}],
        "nested": [
            {
                "id": "x",
                "significant": True,
                "max_zombies": 3,
                "worker": [
                    {"id": "w", "significant": True, "restart": "transient", **TARGET},
                    {"id": "w", **TARGET},
                ],
                "nested": [{"escalate": 1}, {"id": ("a",)}],
            },
            3,
        ],
    }
    with pytest.raises(SpecError) as failed:
        load(tables, allow=("tests",))
    assert sorted(failed.value.problems) == [
        "nested[0].id: 'x' is taken by worker[0]",
        "nested[0].max_zombies: is no known key",
        "nested[0].nested[0].escalate: must be true or false, not 1",
        "nested[0].nested[0].id: is missing",
        "nested[0].nested[1].id: must be text, not ('a',)",
        f"nested[0].significant: {NEVER}",
        f"nested[0].worker[0].significant: {NEVER}",
        "nested[0].worker[1].id: 'w' is taken by nested[0].worker[0]",
        "nested[1]: must be a table, not 3",
    ]


def test_what_is_wrong_in_one_says_nothing_of_the_next() -> None:
    """Who may be significant is a matter of the supervisor it is in."""
    worker = {"id": "w", "significant": True, "restart": "transient", **TARGET}
    tables = {
        "supervisor": {"name": "app", "auto_shutdown": "any"},
        "nested": [{"id": "a", "worker": [worker]}, {"id": "b", "significant": True}],
    }
    with pytest.raises(SpecError) as failed:
        load(tables, allow=("tests",))
    (problem,) = failed.value.problems
    assert problem.startswith("nested[0].worker[0].significant")


def test_a_declared_one_is_drawn_and_summed_up() -> None:
    """By the command line, before anything runs."""
    spec = load(tomllib.loads(FILE), allow=("tests",))
    words = "1 restart in 5 s, ends with any of the significant, significant"
    assert str(declared(spec)).splitlines()[1:3] == [
        f"├─ supervisor ingest  new  ({words})",
        "│  ├─ handler w  new  (tests.conformance.scenes:act, permanent, escalate)",
    ]
    assert summary(spec) == (
        "app: 1 worker, supervisor ingest: 1 worker, supervisor deep: 1 group (1 member)"
    )


def test_a_spec_names_all_that_is_wrong_below() -> None:
    """In calls as in files."""
    with pytest.raises(TypeError, match="max_zombies"):
        nested_spec("n", max_zombies=3)  # type: ignore[call-arg]
    with pytest.raises(SpecError, match=r"children\[1\].id: 'w' is taken by children\[0\]"):
        nested_spec("n", [worker_spec(handler(act), id="w"), nested_spec("w")])
