"""A declared tree on paper: who is started, in which order, under which rules."""

from __future__ import annotations

from threadsup._policy.autoscale import Autoscale
from threadsup._specs.chain import chain_spec
from threadsup._specs.group import group_spec
from threadsup._specs.stage import stage
from threadsup._specs.supervisor import SupervisorSpec
from threadsup._specs.targets import handler
from threadsup._specs.worker import worker_spec
from threadsup.cli.drawing import count, declared, summary


def poll(url: str) -> None:
    raise AssertionError(url)


def serve(message: object) -> None:
    raise AssertionError(message)


SPEC = SupervisorSpec(
    name="app",
    auto_shutdown="all",
    children=(
        worker_spec(poll, "https://...", id="poller", significant=True),
        group_spec(
            "cache",
            [worker_spec(handler(serve), id=("w", 1), capacity=9), worker_spec(handler(serve))],
            max_restarts=7,
        ),
        chain_spec("etl", [stage(serve, id="parse")], on_result=serve, escalate=True),
    ),
)


def test_a_tree_is_drawn_with_its_rules() -> None:
    """One line a child, in start order, branches below, each with its rules."""
    here = __name__
    assert str(declared(SPEC)).splitlines() == [
        "supervisor app  new  (3 restarts in 5 s, ends with all of the significant)",
        f"├─ task poller  new  ({here}:poll, transient, significant)",
        "├─ group cache  new  (one_for_all, max_restarts 7)",
        f"│  ├─ handler ('w', 1)  new  ({here}:serve, permanent, capacity 9)",
        f"│  └─ handler serve  new  ({here}:serve, permanent)",
        f"└─ chain etl  new  (one_for_one, capacity 50, results to {here}:serve, escalate)",
        f"   └─ stage parse  new  ({here}:serve, transient)",
    ]


def test_a_stage_is_drawn_with_its_replicas() -> None:
    """How many there are, or may be, and who of them gets an item."""
    stages = [
        stage(serve, id="parse", workers=4, capacity=9),
        stage(serve, id="enrich", workers=Autoscale(2, 8), routing="least_loaded"),
    ]
    lines = str(declared(SupervisorSpec(name="app", children=(chain_spec("etl", stages),))))
    here = __name__
    assert lines.splitlines()[2:] == [
        f"   ├─ stage parse  new  ({here}:serve, transient, capacity 9, 4 replicas, round_robin)",
        f"   └─ stage enrich  new  ({here}:serve, transient, 2 to 8 replicas, least_loaded)",
    ]


def test_replicas_are_drawn_where_they_are_asked_for() -> None:
    """As many as a stage starts with, under the names they will have."""
    stages = [
        stage(serve, id=("parse", 1), workers=2),
        stage(serve, id="enrich", workers=Autoscale(3, 8)),
    ]
    tree = declared(
        SupervisorSpec(name="app", children=(chain_spec("etl", stages),)), replicas=True
    )
    (chain,) = tree.children
    assert [[node.id for node in each.children] for each in chain.children] == [
        [("parse", 1, 0), ("parse", 1, 1)],
        [("enrich", 0), ("enrich", 1), ("enrich", 2)],
    ]


def test_a_target_without_a_module_is_shown_by_its_name() -> None:
    """A callable object says as much as it has."""

    class Callable:
        __module__ = None  # type: ignore[assignment]

        def __call__(self) -> None: ...

    spec = SupervisorSpec(name="app", children=(worker_spec(Callable(), id="w"),))
    assert str(declared(spec)).splitlines()[1] == "└─ task w  new  (Callable, transient)"


def test_a_tree_is_summed_up_in_a_line() -> None:
    """Workers, groups with their members, chains with their stages."""
    assert summary(SPEC) == "app: 1 worker, 1 group (2 members), 1 chain (1 stage)"


def test_a_bare_supervisor_has_no_branches() -> None:
    """A tree without children is one line, and says so in short."""
    spec = SupervisorSpec(name="bare", max_restarts=1)
    assert str(declared(spec)) == "supervisor bare  new  (1 restart in 5 s)"
    assert summary(spec) == "bare: no children"


def test_numbers_are_shown_as_people_write_them() -> None:
    """One is no plural, and thousands are grouped."""
    words = [count(number, "crow") for number in (0, 1, 1200)]
    assert words == ["0 crows", "1 crow", "1,200 crows"]
