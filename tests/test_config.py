"""A file to a tree: what is read, what is refused, every fault at once with its path."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from threadsup._config import load
from threadsup._errors import SpecError
from threadsup._policy.autoscale import Autoscale
from threadsup._policy.backoff import Backoff
from threadsup._policy.batch import Batch
from threadsup._policy.rate import Rate
from threadsup._policy.retry import Retry
from threadsup._specs import (
    ChainSpec,
    Defaults,
    GroupSpec,
    SupervisorSpec,
    WorkerSpec,
    chain_spec,
    group_spec,
    handler,
    stage,
    worker_spec,
)
from threadsup._specs.rules import STRATEGY
from threadsup._specs.stage import STAGE_RULES
from threadsup._specs.targets import target_problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

SHOP = """
import threading

import pykka

from threadsup._specs import Worker, handler

def run(url, every=1.0): ...
def serve(message): ...
def parse(item): ...
def enrich(item, table, depth=1): ...
def save(result): ...
def nothing(): ...
async def later(): ...

marked = handler(serve)

class Broken(OSError): ...

class Counter(Worker):
    def __init__(self, start, step=1): ...

class Actor(pykka.ThreadingActor): ...
"""


async def later() -> None: ...


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The package `shop`, imported; gone again after the test."""
    folder = tmp_path / "path" / "shop"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(SHOP)
    (folder / "bad.py").write_text("raise SystemExit('no')\n")
    monkeypatch.syspath_prepend(folder.parent)
    yield importlib.import_module("shop")
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def read(text: str, tmp_path: Path, *, allow: Any = ("shop",)) -> SupervisorSpec:
    file = tmp_path / "tree.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, allow=allow)


def faults(source: Any, *, allow: Any = ("shop",)) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        load(source, allow=allow)
    return caught.value.problems


def tree(**tables: Any) -> dict[str, Any]:
    return {"supervisor": {"name": "app"}, **tables}


def children_of(*entries: dict[str, Any], **more: Any) -> list[Any]:
    spec = load(tree(worker=list(entries), **more), allow=("shop",))
    return [child.id for child in spec.children]


# -- what is read ---------------------------------------------------------------------


def test_the_file_of_the_design_becomes_the_tree_it_describes(
    shop: ModuleType, tmp_path: Path
) -> None:
    """Every table and option of a full file is in the spec, equal to one made by calls."""
    spec = read(
        """
        [supervisor]
        name = "app"
        max_restarts = 5
        max_seconds = 60
        backoff = { initial = 0.1, maximum = 1 }
        auto_shutdown = "all"
        on_exit = "drain"
        exit_timeout = 3
        max_zombies = 2
        [supervisor.defaults]
        max_restarts = 1
        backoff = { jitter = 0 }

        [[worker]]
        id = "poller"
        target = "shop:run"
        args = ["https://..."]
        kwargs = { every = 5 }
        restart = "permanent"
        [[worker]]
        target = "shop:Counter"
        args = [1]
        max_restarts = 0
        backoff = {}
        escalate = true

        [[group]]
        id = ["cache", 1]
        strategy = "one_for_one"
        max_seconds = 2.5
        [[group.worker]]
        id = "w1"
        target = "shop:serve"
        kind = "handler"
        capacity = 10
        on_full = "drop_old"
        [[group.worker]]
        target = "shop:marked"
        [[group.worker]]
        target = "shop:Actor"

        [[chain]]
        id = "etl"
        capacity = 20
        significant = true
        on_result = "shop:save"
        [[chain.stage]]
        target = "shop:parse"
        [[chain.stage]]
        id = "enrich"
        target = "shop:enrich"
        args = ["t"]
        kwargs = { depth = 2 }
        max_attempts = 2
        [[chain.stage]]
        target = "shop:Counter"
        args = [1]
        """,
        tmp_path,
    )
    assert spec == SupervisorSpec(
        name="app",
        max_restarts=5,
        max_seconds=60,
        backoff=Backoff(initial=0.1, maximum=1),
        auto_shutdown="all",
        on_exit="drain",
        exit_timeout=3,
        max_zombies=2,
        defaults=Defaults(max_restarts=1, backoff=Backoff(jitter=0)),
        children=(
            worker_spec(
                shop.run, "https://...", kwargs={"every": 5}, id="poller", restart="permanent"
            ),
            worker_spec(
                shop.Counter, 1, id="Counter", max_restarts=0, backoff=Backoff(), escalate=True
            ),
            group_spec(
                ("cache", 1),
                [
                    worker_spec(handler(shop.serve), id="w1", capacity=10, on_full="drop_old"),
                    worker_spec(shop.marked, id="serve"),
                    worker_spec(shop.Actor, id="Actor"),
                ],
                strategy="one_for_one",
                max_seconds=2.5,
            ),
            chain_spec(
                "etl",
                [
                    stage(shop.parse),
                    stage(shop.enrich, "t", kwargs={"depth": 2}, id="enrich", max_attempts=2),
                    stage(shop.Counter, 1),
                ],
                capacity=20,
                significant=True,
                on_result=shop.save,
            ),
        ),
    )


def test_the_options_of_a_stream_are_read(shop: ModuleType, tmp_path: Path) -> None:
    """Replicas, routing, key, batches, rates and what an error does, as calls have them."""
    spec = read(
        """
        [supervisor]
        name = "app"
        [[chain]]
        id = "etl"
        strategy = "before_for_one"
        rate = { n = 100, per = 0.5 }
        on_error = { attempts = 2 }
        [[chain.stage]]
        target = "shop:parse"
        workers = 4
        routing = "partition"
        key = "shop:save"
        on_error = "reject"
        [[chain.stage]]
        id = "wide"
        target = "shop:parse"
        workers = { min = 1, max = 8, grow_at = 0.75, cooldown = 2 }
        routing = "least_loaded"
        batch = { size = 100, timeout = 1 }
        rate = { n = 5 }
        [chain.stage.on_error]
        attempts = 5
        backoff = { initial = 1, factor = 1 }
        on = ["TimeoutError", "shop:Broken"]
        """,
        tmp_path,
    )
    parse, wide = (
        stage(
            shop.parse, workers=4, routing="partition", key=shop.save, on_error="reject", id="parse"
        ),
        stage(
            shop.parse,
            id="wide",
            workers=Autoscale(1, 8, grow_at=0.75, cooldown=2),
            routing="least_loaded",
            batch=Batch(100, timeout=1),
            rate=Rate(5),
            on_error=Retry(5, Backoff(initial=1, factor=1), (TimeoutError, shop.Broken)),
        ),
    )
    assert spec.children == (
        chain_spec(
            "etl",
            [parse, wide],
            strategy="before_for_one",
            rate=Rate(100, per=0.5),
            on_error=Retry(attempts=2),
        ),
    )


def test_a_mapping_is_read_like_a_file(shop: ModuleType, tmp_path: Path) -> None:
    """The same tree comes of a mapping, with tuples where a file has lists."""
    from_file = read(
        '[supervisor]\nname = "app"\n[[worker]]\nid = ["a", 1]\ntarget = "shop:run"\nargs = ["u"]',
        tmp_path,
    )
    entry = {"id": ("a", 1), "target": "shop:run", "args": ("u",)}
    assert load(tree(worker=(entry,)), allow={"shop"}) == from_file


def test_kinds_of_children_are_told_by_target_and_kind(shop: ModuleType) -> None:
    """A function is a task unless it says handler; classes are recognised."""
    spec = load(
        tree(
            worker=[
                {"target": "shop:nothing"},
                {"target": "shop:nothing", "kind": "task"},
                {"target": "shop:serve", "kind": "handler"},
                {"target": "shop:marked"},
                {"target": "shop:marked", "kind": "handler"},
                {"target": "shop:Counter", "args": [1]},
                {"target": "shop:Actor"},
            ]
        ),
        allow=("shop",),
    )
    workers = [child for child in spec.children if isinstance(child, WorkerSpec)]
    assert [(worker.kind, worker.restart) for worker in workers] == [
        ("task", "transient"),
        ("task", "transient"),
        ("handler", "permanent"),
        ("handler", "permanent"),
        ("handler", "permanent"),
        ("worker", "permanent"),
        ("pykka", "permanent"),
    ]


def test_an_empty_tree_is_a_tree() -> None:
    """A supervisor may begin without children."""
    assert load(tree()) == SupervisorSpec(name="app")


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    """A file saved by a Windows editor is a file like any other (F108)."""
    file = tmp_path / "tree.toml"
    file.write_bytes(b'\xef\xbb\xbf[supervisor]\r\nname = "app"\r\n')
    assert load(str(file)) == SupervisorSpec(name="app")


def test_loading_starts_nothing(shop: ModuleType) -> None:
    """A tree that was read runs no thread (F102)."""
    before = set(threading.enumerate())
    load(tree(worker=[{"target": "shop:Counter", "args": [1]}]), allow=("shop",))
    assert set(threading.enumerate()) == before


# -- the options of a stream ----------------------------------------------------------


def stage_faults(**options: Any) -> tuple[str, ...]:
    stage = {"target": "shop:parse", **options}
    lines = faults(tree(chain=[{"id": "c", "stage": [stage]}]))
    assert all(line.startswith("chain[0].stage[0].") for line in lines)
    return tuple(line.removeprefix("chain[0].stage[0].") for line in lines)


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({"workers": 0}, ["workers: must be a whole number of at least 1, not 0"]),
        ({"workers": True}, ["workers: must be a whole number or a table, not True"]),
        ({"workers": "4"}, ["workers: must be a whole number or a table, not '4'"]),
        (
            {"workers": {"mn": 1, "max": 0}},
            [
                "workers.mn: is no known key; did you mean 'min'?",
                "workers.max: must be a whole number of at least 1, not 0",
            ],
        ),
        (
            {"workers": {"min": 3, "max": 2}},
            ["workers.max: must be at least min, 3, not 2"],
        ),
        (
            {"workers": {"max": 2}, "routing": "broadcast"},
            ["workers: must be a number with routing='broadcast': each gets every item"],
        ),
        ({"routing": "partition"}, ["key: is needed with routing='partition'"]),
        ({"key": "shop:save"}, ["key: is only for routing='partition'"]),
        (
            {"routing": "partition", "key": "shop:nope"},
            ["key: shop has no 'nope'"],
        ),
        (
            {"routing": "partition", "key": "shop:enrich"},
            ["key: cannot be called with an item: missing a required argument: 'table'"],
        ),
        (
            {"key": len},
            ["key: must be 'package.module:name', not the builtin_function_or_method len"],
        ),
        ({"batch": 100}, ["batch: must be a table, not 100"]),
        ({"batch": {}}, ["batch.size: is missing"]),
        (
            {"batch": {"timeout": 0}},
            [
                "batch.size: is missing",
                "batch.timeout: must be a number of seconds above 0, not 0",
            ],
        ),
        (
            {"batch": {"size": 10}, "capacity": 5},
            ["capacity: must be at least the batch's size, 10, not 5"],
        ),
        ({"rate": {"per": 1}}, ["rate.n: is missing"]),
        ({"rate": {"n": 0.5}}, ["rate.n: must be a whole number of at least 1, not 0.5"]),
        ({"on_error": 3}, ["on_error: must be 'crash', 'reject' or a table, not 3"]),
        ({"on_error": "skip"}, ["on_error: must be 'crash', 'reject' or a table, not 'skip'"]),
        (
            {"on_error": {"attempts": 0, "backoff": 1, "on": "OSError", "pause": 1}},
            [
                "on_error.backoff: must be a table, not 1",
                "on_error.on: must be a list of names of exceptions, not 'OSError'",
                "on_error.pause: is no known key",
                "on_error.attempts: must be a whole number of at least 1, not 0",
            ],
        ),
        (
            {"on_error": {"backoff": {"initial": -1}}},
            ["on_error.backoff.initial: must be a number of seconds of at least 0, not -1"],
        ),
        (
            {"on_error": {"on": []}},
            ["on_error.on: must be a list of names of exceptions, not []"],
        ),
        (
            {"breaker": {"failures": 0, "on": ["OSError", "len"]}},
            [
                "breaker.on[1]: must be a built-in exception or 'package.module:name', not 'len'",
                "breaker.failures: must be a whole number of at least 1, not 0",
            ],
        ),
        (
            {
                "on_error": {
                    "on": ["OSEror", "SystemExit", "len", "shop:parse", "os:error", "shop:Nope", 3]
                }
            },
            [
                (
                    "on_error.on[0]: must be a built-in exception or 'package.module:name', "
                    "not 'OSEror'; did you mean 'OSError'?"
                ),
                "on_error.on[1]: must be a subclass of Exception, not the class SystemExit",
                "on_error.on[2]: must be a built-in exception or 'package.module:name', not 'len'",
                "on_error.on[3]: must be a subclass of Exception, not the function parse",
                "on_error.on[4]: 'os:error' is not allowed, only shop is",
                "on_error.on[5]: shop has no 'Nope'",
                "on_error.on[6]: must be 'package.module:name', not 3",
            ],
        ),
    ],
)
def test_faults_in_the_options_of_a_stream_are_told(
    shop: ModuleType, options: dict[str, Any], lines: list[str]
) -> None:
    """Each line has the path down to the key that is wrong, and none is told twice."""
    assert stage_faults(**options) == tuple(lines)


def test_a_chain_has_the_same_words_for_errors_and_rates(shop: ModuleType) -> None:
    """What a stage inherits is read as what it says itself."""
    chain = {"id": "c", "stage": [{"target": "shop:parse"}], "rate": 5, "on_error": {"on": ["x"]}}
    assert faults(tree(chain=[chain])) == (
        "chain[0].rate: must be a table, not 5",
        "chain[0].on_error.on[0]: must be a built-in exception or 'package.module:name', not 'x'",
    )


# -- order ----------------------------------------------------------------------------


def named(*orders: tuple[str, int | None]) -> list[dict[str, Any]]:
    return [
        {"id": ident, "target": "shop:nothing", **({} if order is None else {"order": order})}
        for ident, order in orders
    ]


def test_workers_come_first_then_groups_then_chains(shop: ModuleType) -> None:
    """Whatever the file's order of kinds, each kind is in the order written."""
    spec = load(
        {
            "chain": [{"id": n, "stage": [{"target": "shop:parse"}]} for n in "xy"],
            "group": [{"id": n} for n in "ba"],
            "worker": named(("w", None), ("v", None)),
            "supervisor": {"name": "app"},
        },
        allow=("shop",),
    )
    assert [child.id for child in spec.children] == ["w", "v", "b", "a", "x", "y"]


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        ([("a", None), ("b", None), ("c", 1)], "cab"),
        ([("a", None), ("b", None), ("c", 2)], "acb"),
        ([("a", 3), ("b", None), ("c", None)], "bca"),
        ([("a", 99), ("b", None), ("c", 0)], "cba"),
        ([("a", 3), ("b", 2), ("c", 1)], "cba"),
        ([("a", 2), ("b", 1), ("c", 0)], "cba"),
        ([("a", None), ("b", 1), ("c", 1)], "bca"),
        ([("a", None), ("b", -5), ("c", 2), ("d", None)], "bcad"),
    ],
)
def test_order_moves_a_child_to_its_place(
    shop: ModuleType, orders: list[tuple[str, int | None]], expected: str
) -> None:
    """`order = n` makes a child the n-th to start; the others keep their order around it."""
    assert children_of(*named(*orders)) == list(expected)


def test_order_moves_children_of_all_kinds(shop: ModuleType) -> None:
    """A chain can be made to start before the workers."""
    chain = {"id": "c", "order": 1, "stage": [{"target": "shop:parse"}]}
    group = {"id": "g", "order": 3}
    workers = named(("a", None), ("b", None))
    assert children_of(*workers, group=[group], chain=[chain]) == ["c", "a", "g", "b"]


# -- what is refused ------------------------------------------------------------------


def test_every_fault_of_a_file_is_told_at_once(shop: ModuleType, tmp_path: Path) -> None:
    """One error has a line for each fault, in tables of every kind, each with its path."""
    with pytest.raises(SpecError) as caught:
        read(
            """
            wroker = 1
            [supervisor]
            nam = "app"
            auto_shutdown = "sometimes"
            max_restarts = true
            max_seconds = nan
            escalate = true
            backoff = { initial = "x", fctor = 2 }
            [supervisor.defaults]
            max_restarts = -1
            shutdown = 3

            [[worker]]
            id = "poller"
            target = "shop:run"
            restart = "permanent"
            significant = true
            order = "first"
            [[worker]]
            id = "poller"
            target = "os:system"
            capacity = 0
            [[worker]]
            target = "shop.bad:x"
            shutdown = -1
            restrat = "permanent"
            [[worker]]
            kind = "worker"
            id = [["a"]]

            [[group]]
            strategy = "before"
            backoff = 3
            [[group.worker]]
            id = 1
            target = "shop:marked"
            significant = true
            order = 1
            [[group.worker]]
            id = 1
            target = "shop:later"
            kind = "handler"

            [[chain]]
            id = "poller"
            capacity = "x"
            on_result = "shop:nothing"
            [[chain.stage]]
            target = "shop:parse"
            worker = 4
            routing = "any"
            [[chain.stage]]
            target = "shop:enrich"
            capacity = "x"
            args = "t"
            [[chain.stage]]
            target = "shop:Actor"
            kind = "stage"
            """,
            tmp_path,
        )
    elsewhere = "is an option of the group or chain as a whole, or of a child of a supervisor"
    assert caught.value.problems == (
        "wroker: is no known key; did you mean 'worker'?",
        f"supervisor.escalate: {elsewhere}",
        "supervisor.nam: is no known key; did you mean 'name'?",
        "supervisor.backoff.fctor: is no known key; did you mean 'factor'?",
        "supervisor.backoff.initial: must be a number of seconds of at least 0, not 'x'",
        "supervisor.max_restarts: must be a whole number of at least 0, not True",
        "supervisor.max_seconds: must be a number of seconds above 0, not nan",
        "supervisor.auto_shutdown: must be 'never', 'any' or 'all', not 'sometimes'",
        "supervisor.name: is missing",
        "supervisor.defaults.shutdown: is no known key",
        "supervisor.defaults.max_restarts: must be a whole number of at least 0, not -1",
        "worker[0].order: must be a whole number, not 'first'",
        "worker[0].target: cannot be called with its arguments: missing a required argument: 'url'",
        "worker[0].significant: must be false for a permanent worker, which never ends by itself",
        "worker[1].target: 'os:system' is not allowed, only shop is",
        "worker[1].capacity: must be a whole number of at least 1, not 0",
        "worker[2].restrat: is no known key; did you mean 'restart'?",
        "worker[2].target: shop.bad cannot be imported: SystemExit: no",
        "worker[2].shutdown: must be a number of seconds of at least 0, not -1",
        "worker[3].kind: must be 'task' or 'handler', not 'worker'",
        "worker[3].target: is missing",
        "worker[3].id: must be text, a whole number or a tuple of these, not (['a'],)",
        "group[0].backoff: must be a table, not 3",
        f"group[0].strategy: {STRATEGY('before')}",
        "group[0].id: is missing",
        f"group[0].worker[0].significant: {elsewhere}",
        "group[0].worker[0].order: is no known key",
        f"group[0].worker[1].target: {target_problem(later, 'handler')}",
        "group[0].worker[1].id: 1 is taken by group[0].worker[0]",
        "chain[0].capacity: must be a whole number of at least 1, not 'x'",
        "chain[0].on_result: cannot be called with an item: too many positional arguments",
        "chain[0].stage[0].worker: is no known key; did you mean 'workers'?",
        f"chain[0].stage[0].routing: {STAGE_RULES['routing']('any')}",
        "chain[0].stage[1].args: must be a list of arguments, not a str",
        "chain[0].stage[1].capacity: must be a whole number of at least 1, not 'x'",
        "chain[0].stage[2].kind: is no known key",
        (
            "chain[0].stage[2].target: must have an on_receive of its own, for items, which "
            "Actor has not"
        ),
        "worker[1].id: 'poller' is taken by worker[0]",
        "chain[0].id: 'poller' is taken by worker[0]",
    )
    assert str(caught.value).splitlines() == list(caught.value.problems)


@pytest.mark.parametrize(
    ("tables", "lines"),
    [
        ({"supervisor": 3}, ["supervisor: must be a table, not 3"]),
        ({}, ["supervisor.name: is missing"]),
        ({"supervisor": {}}, ["supervisor.name: is missing"]),
        (tree(worker={}), ["worker: must be tables, each under [[worker]], not {}"]),
        (tree(worker=[3]), ["worker[0]: must be a table, not 3"]),
        (
            tree(group=[{"id": "g", "worker": {"id": "w"}}]),
            [
                "group[0].worker: must be tables, each under [[group.worker]], not {'id': 'w'}",
            ],
        ),
        (tree(chain=[{"id": "c"}]), ["chain[0].stage: must be at least one"]),
        (tree(chain=[{"id": "c", "stage": []}]), ["chain[0].stage: must be at least one"]),
        (
            tree(chain=[{"id": "c", "stage": "x"}]),
            ["chain[0].stage: must be tables, each under [[chain.stage]], not 'x'"],
        ),
        (
            tree(supervisor={"name": "app", "defaults": 1}),
            ["supervisor.defaults: must be a table, not 1"],
        ),
        (tree(supervisor={"name": "a\nb"}), ["supervisor.name: must be printable, not 'a\\nb'"]),
        (
            cast("dict[Any, Any]", tree()) | {3: 4, "a b": 1, "\n": 1},
            ["'3': is no known key", "'a b': is no known key", "'\\n': is no known key"],
        ),
    ],
)
def test_tables_of_the_wrong_shape_are_told(tables: dict[Any, Any], lines: list[str]) -> None:
    """What is no table where one must be is told by its path."""
    assert faults(tables) == tuple(lines)


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"target": "shop:Counter", "args": [1], "kind": "handler"}, "a worker by itself"),
        ({"target": "shop:Actor", "kind": "task"}, "a pykka by itself"),
        ({"target": "shop:marked", "kind": "task"}, "a handler by itself"),
    ],
)
def test_a_kind_that_contradicts_its_target_is_told(
    shop: ModuleType, entry: dict[str, Any], line: str
) -> None:
    """`kind` is for plain functions; what says itself what it is needs none."""
    assert faults(tree(worker=[entry])) == (
        f"worker[0].kind: must be left out: the target is {line}",
    )


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            {"target": "shop:threading"},
            "must be a function or a Worker class, not the module threading",
        ),
        ({"target": "shop:SHOP"}, "shop has no 'SHOP'"),
        (
            {"target": "shop:parse", "kind": "handler", "args": [1, 2]},
            "cannot be called with a message and its",
        ),
        (
            {"target": "shop:nothing", "kind": "handler"},
            "cannot be called with a message: too many",
        ),
        (
            {"target": "shop:Counter", "kwargs": {"start": 1, "stp": 2}},
            "cannot be called with its arguments: got an",
        ),
        ({"target": ["shop", "run"]}, "must be 'package.module:name', not ['shop', 'run']"),
        ({"target": "shop:Counter.on_start"}, "must be 'package.module:name', not 'shop:Counter"),
    ],
)
def test_a_target_that_cannot_run_is_told(
    shop: ModuleType, entry: dict[str, Any], line: str
) -> None:
    """What cannot be found, run or called with its arguments is a line of its own."""
    (problem,) = faults(tree(worker=[entry]))
    assert problem.startswith(f"worker[0].target: {line}")


def test_a_significant_child_needs_an_automatic_end(shop: ModuleType) -> None:
    """In a tree that never ends by itself, significance of any child is a mistake (F103)."""
    children = tree(
        worker=[{"id": "w", "target": "shop:nothing", "significant": True}],
        group=[{"id": "g", "significant": True}],
        chain=[{"id": "c", "significant": True, "stage": [{"target": "shop:parse"}]}],
    )
    line = "significant: must be false, as the supervisor's auto_shutdown is 'never'"
    assert faults(children) == tuple(f"{kind}[0].{line}" for kind in ("worker", "group", "chain"))
    children["supervisor"]["auto_shutdown"] = "any"
    assert len(load(children, allow=("shop",)).children) == 3


def test_made_ids_give_way_to_written_ones(shop: ModuleType) -> None:
    """A child without an id takes none that another has, in any table."""
    entries = [{"target": "shop:nothing"}, {"target": "shop:nothing"}]
    assert children_of(*entries, group=[{"id": "nothing"}]) == ["nothing-2", "nothing-3", "nothing"]


def test_ids_repeat_in_other_scopes(shop: ModuleType) -> None:
    """Members and stages have an id space in their group or chain."""
    member = {"id": "a", "target": "shop:marked"}
    spec = load(
        tree(
            worker=[{"id": "a", "target": "shop:nothing"}],
            group=[{"id": "g", "worker": [member]}, {"id": "h", "worker": [member]}],
            chain=[{"id": "c", "stage": [{"id": "a", "target": "shop:parse"}]}],
        ),
        allow=("shop",),
    )
    kinds = [type(child) for child in spec.children]
    assert kinds == [WorkerSpec, GroupSpec, GroupSpec, ChainSpec]


# -- allow ----------------------------------------------------------------------------


def test_nothing_is_imported_that_is_not_allowed(
    shop: ModuleType,
) -> None:
    """Without `allow` a file imports nothing, whatever else is right in it (F98)."""
    del sys.modules["shop"]
    stages = [{"target": "shop:parse"}, {"target": "shop.bad:x"}]
    chain = {"id": "c", "on_result": "shop:save", "stage": stages}
    assert faults(tree(chain=[chain]), allow=()) == (
        "chain[0].on_result: 'shop:save' is not allowed, as no package is",
        "chain[0].stage[0].target: 'shop:parse' is not allowed, as no package is",
        "chain[0].stage[1].target: 'shop.bad:x' is not allowed, as no package is",
    )
    assert "shop" not in sys.modules


def test_a_wrong_allow_is_told_with_the_other_faults(
    shop: ModuleType,
) -> None:
    """A text as `allow` allows nothing; the file's own faults are told beside it."""
    del sys.modules["shop"]
    workers = [{"target": "shop:run"}, {"capacity": 0}]
    retry = {"on": ["shop:Broken"]}
    entry = {"target": "shop:parse", "routing": "partition", "key": "shop:save", "on_error": retry}
    chain = {"id": "c", "on_result": "shop:save", "stage": [entry]}
    group = {"id": "g", "worker": [{"target": "shop:marked"}]}
    lines = faults(tree(worker=workers, group=[group], chain=[chain]), allow="shop")
    assert lines == (
        "allow: must be a tuple of package names: allow=('shop',)",
        "worker[1].target: is missing",
        "worker[1].capacity: must be a whole number of at least 1, not 0",
    )
    assert "shop" not in sys.modules


def test_a_wrong_allow_is_told_though_nothing_else_is_wrong() -> None:
    """An `allow` that is wrong is an error, also where nothing was to be imported."""
    assert faults(tree(), allow=(3,)) == ("allow[0]: must be the name of a package, not 3",)
    lines = faults("/nowhere/tree.toml", allow="shop")
    assert lines[0].startswith("allow: ")
    assert lines[1].startswith("/nowhere/tree.toml: ")


# -- files that are none --------------------------------------------------------------


def test_a_missing_file_is_told_with_its_cause(tmp_path: Path) -> None:
    """The system's own error is chained."""
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "none.toml")
    assert caught.value.problems == (
        f"{tmp_path / 'none.toml'}: cannot be read: {os.strerror(errno.ENOENT)}",
    )
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    """A path to a directory is told as that."""
    assert faults(tmp_path) == (f"{tmp_path}: is a directory",)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A path to a pipe nobody writes to is refused at once, as any device is."""
    pipe = str(tmp_path / "pipe")
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe)
    else:
        pipe = os.devnull
    assert faults(pipe) == (f"{pipe}: is no regular file",)


@pytest.mark.parametrize("source", [3, None, b"tree.toml", ["tree.toml"], True])
def test_a_source_is_a_path_or_a_mapping(source: Any) -> None:
    """Anything else, a file descriptor too, is refused."""
    (line,) = faults(source)
    assert line.startswith("source: must be a path or a mapping, not ")


def test_a_path_with_a_null_character_is_told() -> None:
    """A path no system can have is an error line."""
    (line,) = faults("a\0b")
    assert line.startswith("'a\\x00b': cannot be read: ")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"name = ", "is not TOML: Invalid value (at end of document)"),
        (
            b"[supervisor]\nname = 'a'\nname = 'b'\n",
            "is not TOML: Cannot overwrite a value (at line 3",
        ),
        (b"<xml/>", "is not TOML: "),
        (b"\xff\xfe[\x00", "is not UTF-8: "),
        (b"n = " + b"9" * 5000, "is not TOML: "),
        (b"n = " + b"[" * 100_000, "is nested too deeply"),
        (b"#" * (1024 * 1024 + 1), "must be of at most 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_toml_is_told(data: bytes, line: str, tmp_path: Path) -> None:
    """Broken, binary, bottomless and huge files are one line each (F100, F101, F108)."""
    file = tmp_path / "tree.toml"
    file.write_bytes(data)
    (problem,) = faults(file)
    assert problem.startswith(f"{file}: {line}")


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    """The bound on the size is inclusive."""
    text = b'[supervisor]\nname = "app"\n'
    file = tmp_path / "tree.toml"
    file.write_bytes(text + b"#" * (1024 * 1024 - len(text)))
    assert load(file) == SupervisorSpec(name="app")
