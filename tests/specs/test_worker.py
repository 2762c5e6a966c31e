"""A worker's description: defaults, rules, and every fault at once."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pykka
import pytest

from threadsup._errors import SpecError
from threadsup._policy.backoff import Backoff
from threadsup._policy.breaker import Breaker
from threadsup._policy.rate import Rate
from threadsup._policy.retry import Retry
from threadsup._specs import Kind, Worker, WorkerSpec, handler, worker_spec
from threadsup._specs import options as declared
from threadsup._specs.worker import WORKER_RULES, worker_problems

NAN = float("nan")


def poll(url: str, every: float = 1.0) -> None: ...


def serve(message: Any) -> Any: ...


class Counter(Worker):
    pass


class Actor(pykka.ThreadingActor):
    pass


def problems_of(target: Any, *args: Any, **options: Any) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        worker_spec(target, *args, **options)
    return caught.value.problems


@pytest.mark.parametrize(
    ("target", "kind", "restart", "on_ask_error"),
    [
        (dict, "task", "transient", "crash"),
        (handler(serve), "handler", "permanent", "crash"),
        (Counter, "worker", "permanent", "crash"),
        (Actor, "pykka", "permanent", "reply"),
    ],
)
def test_kind_decides_the_defaults(
    target: Any, kind: Kind, restart: str, on_ask_error: str
) -> None:
    """Who has a message loop is permanent, a task transient, and Pykka's asks spare the actor."""
    spec = worker_spec(target)
    assert (spec.kind, spec.restart, spec.on_ask_error) == (kind, restart, on_ask_error)


def test_a_declared_option_wins_over_the_default() -> None:
    """Every option given is in the spec, the handler's function and arguments too."""
    spec = worker_spec(
        handler(poll),
        kwargs={"every": 2},
        id=("shard", 1),
        restart="transient",
        significant=True,
        shutdown=0,
        start_timeout=1,
        time_limit=2.5,
        max_restarts=0,
        max_seconds=1e9,
        backoff=Backoff.none(),
        escalate=True,
        capacity=1,
        on_full="drop_old",
        mailbox="drop",
        max_attempts=3,
        on_ask_error="reply",
        on_error=Retry(2),
        breaker=Breaker(),
        rate=Rate(3),
        interrupt=True,
    )
    assert spec == WorkerSpec(
        target=poll,
        kind="handler",
        args=(),
        kwargs={"every": 2},
        id=("shard", 1),
        restart="transient",
        significant=True,
        shutdown=0,
        start_timeout=1,
        time_limit=2.5,
        max_restarts=0,
        max_seconds=1e9,
        backoff=Backoff.none(),
        escalate=True,
        capacity=1,
        on_full="drop_old",
        mailbox="drop",
        max_attempts=3,
        on_ask_error="reply",
        on_error=Retry(2),
        breaker=Breaker(),
        rate=Rate(3),
        interrupt=True,
    )


def test_defaults_are_those_of_the_design() -> None:
    """What is not said is 5 s to stop, 10 s to start, no bound and an inherited budget."""
    spec = worker_spec(poll, "u")
    assert (spec.shutdown, spec.start_timeout, spec.time_limit) == (5.0, 10.0, None)
    assert (spec.max_restarts, spec.max_seconds, spec.backoff) == (None, None, None)
    assert (spec.capacity, spec.on_full, spec.mailbox, spec.max_attempts) == (
        None,
        "wait",
        "keep",
        1,
    )
    assert (spec.id, spec.significant, spec.escalate, spec.interrupt) == (None, False, False, False)
    assert (spec.on_error, spec.breaker, spec.rate) == ("crash", None, None)


def test_a_spec_is_frozen_and_holds_its_own_arguments() -> None:
    """Changing what was passed, or the spec, changes no worker to come."""
    args, kwargs = ["u"], {"every": 2}
    spec = WorkerSpec(target=poll, kind="task", restart="transient", args=args, kwargs=kwargs)  # type: ignore[arg-type]
    args.append("more")
    kwargs["every"] = 3
    assert (spec.args, spec.kwargs) == (("u",), {"every": 2})
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.shutdown = 1.0  # type: ignore[misc]


def test_arguments_are_not_shown() -> None:
    """What a worker is started with may be secret: it is in no repr (F107)."""
    assert "hunter2" not in repr(worker_spec(poll, "hunter2", kwargs={"every": "hunter2"}))


def test_every_fault_is_named_at_once() -> None:
    """One error has a line for each fault, each beginning with who and what."""
    assert problems_of(
        poll,
        id="poller",
        restart="always",
        significant=1,
        shutdown=-1,
        start_timeout=0,
        time_limit=0,
        max_restarts=True,
        max_seconds=NAN,
        backoff=2.0,
        escalate=None,
        capacity=0,
        on_full="block",
        mailbox="lose",
        max_attempts=0,
        on_ask_error="ignore",
        on_error="retry",
        breaker="5",
        rate=5,
        interrupt="no",
        kwargs=[],
    ) == (
        "worker 'poller'.kwargs: must map names to arguments, not be a list",
        "worker 'poller'.restart: must be 'permanent', 'transient' or 'temporary', not 'always'",
        "worker 'poller'.shutdown: must be a number of seconds of at least 0, not -1",
        "worker 'poller'.start_timeout: must be a number of seconds above 0, not 0",
        "worker 'poller'.time_limit: must be a number of seconds above 0, not 0",
        "worker 'poller'.max_attempts: must be a whole number of at least 1, not 0",
        "worker 'poller'.mailbox: must be 'keep' or 'drop', not 'lose'",
        "worker 'poller'.interrupt: must be true or false, not 'no'",
        "worker 'poller'.breaker: must be a Breaker, not '5'",
        "worker 'poller'.rate: must be a Rate, not 5",
        "worker 'poller'.max_restarts: must be a whole number of at least 0, not True",
        "worker 'poller'.max_seconds: must be a number of seconds above 0, not nan",
        "worker 'poller'.backoff: must be a Backoff, not 2.0",
        "worker 'poller'.escalate: must be true or false, not None",
        "worker 'poller'.significant: must be true or false, not 1",
        "worker 'poller'.capacity: must be a whole number of at least 1, not 0",
        "worker 'poller'.on_full: must be 'wait', 'raise', 'drop_new' or 'drop_old', not 'block'",
        "worker 'poller'.on_ask_error: must be 'crash' or 'reply', not 'ignore'",
        "worker 'poller'.on_error: must be 'crash', 'reject' or a Retry, not 'retry'",
    )


@pytest.mark.parametrize(
    ("target", "args", "options", "problem"),
    [
        (None, (), {}, "worker 'NoneType'.target: must be a function or a Worker class, not None"),
        (poll, (), {}, "worker 'poll'.target: cannot be called with its arguments: missing"),
        (handler(serve), (), {"id": 1, "kwargs": {"a": 1}}, "worker 1.target: cannot be"),
        (Counter, (1,), {}, "worker 'Counter'.target: cannot be called with its arguments: too"),
        (dict, (), {"id": "a\n"}, "worker 'a\\n'.id: must be printable, not 'a\\n'"),
        (dict, (), {"kwargs": {1: 2}}, "worker 'dict'.kwargs: must have names as keys"),
    ],
)
def test_a_worker_without_an_id_is_called_by_its_target(
    target: Any, args: tuple[Any, ...], options: dict[str, Any], problem: str
) -> None:
    """The path of a fault has the id, or the name of what would have run."""
    (line,) = problems_of(target, *args, **options)
    assert line.startswith(problem)


def test_a_permanent_worker_cannot_be_significant() -> None:
    """It never ends by itself, so waiting for its end is a mistake (F103)."""
    assert problems_of(handler(serve), id="w", significant=True) == (
        "worker 'w'.significant: must be false for a permanent worker, which never ends by itself",
    )


def test_a_spec_made_by_hand_is_checked_too() -> None:
    """The class itself refuses a kind that is none, and arguments that are no list."""
    with pytest.raises(SpecError) as caught:
        WorkerSpec(target=poll, kind="stage", restart="transient", args="u")  # type: ignore[arg-type]
    assert caught.value.problems == (
        "worker 'poll'.args: must be a list of arguments, not a str",
        "worker 'poll'.kind: must be 'task', 'handler', 'worker' or 'pykka', not 'stage'",
    )


def test_an_unknown_option_is_a_type_error_that_knows_the_right_one() -> None:
    """A mistyped option is no silent default; all of them are named."""
    with pytest.raises(TypeError) as caught:
        worker_spec(poll, "u", restrat="permanent", xyz=1)  # type: ignore[call-arg]
    assert str(caught.value) == (
        "unknown option 'restrat'; did you mean 'restart'?\nunknown option 'xyz'"
    )


@pytest.mark.parametrize("option", ["args", "kind"])
def test_what_is_no_option_of_the_call_is_unknown(option: str) -> None:
    """Arguments are given as arguments, and the kind shows in the target."""
    with pytest.raises(TypeError, match=f"unknown option '{option}'"):
        worker_spec(poll, "u", **{option: ()})  # type: ignore[arg-type]


def test_rules_are_the_same_for_a_mapping_without_a_target() -> None:
    """What is absent is not wrong: the rest of a file's table is checked all the same."""
    assert worker_problems({}) == []
    assert worker_problems({"capacity": 0, "kind": "task"}) == [
        "capacity: must be a whole number of at least 1, not 0"
    ]


def test_declared_options_and_rules_and_fields_are_the_same() -> None:
    """The typed options, the rules and the fields of the spec name the same things."""
    fields = {field.name for field in dataclasses.fields(WorkerSpec)}
    assert fields == set(WORKER_RULES) | {"target"}
    options = set(declared.WorkerOptions.__annotations__)
    assert options == set(WORKER_RULES) - {"args", "kind"}


def test_rules_know_every_declared_word() -> None:
    """Each word of a literal type passes its rule."""
    words = {
        "restart": declared.Restart,
        "on_full": declared.OnFull,
        "mailbox": declared.MailboxFate,
        "on_ask_error": declared.OnAskError,
    }
    for name, literal in words.items():
        assert [WORKER_RULES[name](word) for word in get_args(literal)] == [""] * len(
            get_args(literal)
        )
