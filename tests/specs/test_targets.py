"""Targets: what kind they are, what cannot be run, whether arguments fit."""

from __future__ import annotations

import functools
import logging
from typing import Any
from unittest.mock import Mock

import pykka
import pytest

from threadsup._errors import SpecError
from threadsup._specs.targets import (
    Handler,
    Worker,
    arity_problem,
    handler,
    kind_of,
    kind_of_stage,
    name_of,
    target_problem,
)


def task(url: str, every: float = 1.0) -> None: ...


def keyword_only(*, every: float) -> None: ...


async def coroutine() -> None: ...


def generator() -> Any:
    yield 1


async def streaming() -> Any:
    yield 1


class Counter(Worker):
    def __init__(self, start: int, step: int = 1) -> None:
        self.value = start + step


class Generating(Worker):
    def on_receive(self, message: Any) -> Any:
        yield message


class Awaiting(Worker):
    async def on_receive(self, message: Any) -> Any:
        return message


class Actor(pykka.ThreadingActor):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class NoThread(pykka.Actor):
    pass


class Forgetful:
    def on_receive(self, message: Any) -> None: ...


class Callable:
    def __call__(self, item: Any) -> Any: ...


@pytest.mark.parametrize(
    ("target", "kind", "as_stage"),
    [
        (task, "task", "stage"),
        (Callable(), "task", "stage"),
        (functools.partial(task, "u"), "task", "stage"),
        (len, "task", "stage"),
        (int, "task", "stage"),
        (handler(len), "handler", "stage"),
        (Counter, "worker", "worker"),
        (Actor, "pykka", "pykka"),
        (None, "task", "stage"),
    ],
)
def test_kind_shows_in_the_target(target: Any, kind: str, as_stage: str) -> None:
    """A function is a task or a stage, a class is what it is derived from."""
    assert kind_of(target) == kind
    assert kind_of_stage(target) == as_stage


def test_handler_marks_a_function() -> None:
    """`handler(fn)` is a value that holds the function."""
    assert handler(len) == Handler(len)


@pytest.mark.parametrize(
    ("target", "kind", "problem"),
    [
        (None, "task", "must be a function or a Worker class, not None"),
        ("os:system", "task", "must be a function or a Worker class, not 'os:system'"),
        (3, "handler", "must be a function, not 3"),
        (handler(len), "handler", "must be a function, not a Handler"),
        (Counter(1), "task", "must be the class Counter, not an instance of it"),
        (NoThread, "task", "must be a pykka.ThreadingActor, not another actor, the class NoThread"),
        (
            Forgetful,
            "task",
            "must be a subclass of Worker to be sent messages, not the class Forgetful",
        ),
        (
            coroutine,
            "handler",
            "must be a plain function, not a coroutine function: call asyncio.run() in one",
        ),
        (
            generator,
            "task",
            "must be a plain function, not a generator function: calling that runs nothing",
        ),
        (
            generator,
            "handler",
            "must be a plain function, not a generator function: calling that runs nothing",
        ),
        (
            streaming,
            "stage",
            (
                "must be a plain function, not an asynchronous generator function: "
                "call asyncio.run() in one"
            ),
        ),
        (
            Generating,
            "worker",
            "must have a plain on_receive, not a generator function: calling that runs nothing",
        ),
        (
            Awaiting,
            "worker",
            "must have a plain on_receive, not a coroutine function: call asyncio.run() in one",
        ),
        (Counter, "handler", "must be a function, not the class Counter, recognised by itself"),
        (Actor, "stage", "must be a function, not the class Actor, recognised by itself"),
        (task, "worker", "must be a subclass of Worker, not the function task"),
        (Counter, "pykka", "must be a subclass of pykka.ThreadingActor, not the class Counter"),
    ],
)
def test_what_cannot_be_run_is_told_with_the_remedy(target: Any, kind: Any, problem: str) -> None:
    """A target of the wrong kind is refused, and the text says what would do."""
    assert target_problem(target, kind) == problem


@pytest.mark.parametrize(
    ("target", "kind"),
    [(task, "task"), (task, "stage"), (int, "stage"), (Counter, "worker"), (Actor, "pykka")],
)
def test_what_can_be_run_has_no_problem(target: Any, kind: Any) -> None:
    """Functions, and classes of the right base, are targets."""
    assert target_problem(target, kind) == ""


@pytest.mark.parametrize(("target", "kind"), [(generator, "stage"), (Generating, "worker")])
def test_a_generator_is_a_target_where_what_it_yields_is_passed_on(target: Any, kind: Any) -> None:
    """In a stage a generator may stand for a function, a coroutine may not."""
    assert target_problem(target, kind, emits=True) == ""
    coroutines = {"stage": coroutine, "worker": Awaiting}
    assert "not a coroutine function" in target_problem(coroutines[kind], kind, emits=True)


def test_handler_refuses_what_is_no_function() -> None:
    """The mark is for functions: a class, and what cannot be called, is a SpecError."""
    with pytest.raises(SpecError, match="handler: must be a function, not the class Counter"):
        handler(Counter)
    with pytest.raises(SpecError, match="handler: must be a function, not None"):
        handler(None)  # type: ignore[arg-type]


# -- arity ----------------------------------------------------------------------------


def wrapped(fn: Any) -> Any:
    @functools.wraps(fn)
    def inner(*args: Any) -> Any:
        return fn(*args)

    return inner


class Lying:
    """Raises when it is asked for its signature."""

    @property
    def __signature__(self) -> object:
        raise RuntimeError

    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("target", "kind", "args", "kwargs"),
    [
        (task, "task", ("u",), {}),
        (task, "task", ("u", 2), {}),
        (task, "task", ["u"], {"every": 2}),
        (task, "handler", (), {}),
        (task, "stage", (2,), {}),
        (keyword_only, "task", (), {"every": 1}),
        (lambda *items: items, "stage", (1, 2), {}),
        (wrapped(task), "task", ("u",), {}),
        (functools.partial(task, "u"), "task", (), {}),
        (Callable(), "stage", (), {}),
        (Counter, "worker", (1,), {"step": 2}),
        (Actor, "pykka", ("n",), {}),
        (pykka.ThreadingActor, "pykka", (), {}),
        (Worker, "worker", (), {}),
        (dict, "task", (1, 2, 3), {}),
        (Lying(), "task", (1, 2, 3), {}),
    ],
)
def test_arguments_that_fit_have_no_problem(
    target: Any, kind: Any, args: Any, kwargs: dict[str, Any]
) -> None:
    """What fits, and what cannot be asked for its signature, is left to run."""
    assert arity_problem(target, kind, args, kwargs) == ""


@pytest.mark.parametrize(
    ("target", "kind", "args", "kwargs", "problem"),
    [
        (task, "task", (), {}, "its arguments: missing a required argument: 'url'"),
        (task, "task", (1, 2, 3), {}, "its arguments: too many positional arguments"),
        (task, "task", ("u",), {"evry": 1}, "its arguments: got an unexpected keyword argument"),
        (keyword_only, "task", (), {}, "its arguments: missing a required"),
        (wrapped(task), "task", (), {}, "its arguments: missing a required argument: 'url'"),
        (lambda: None, "handler", (), {}, "a message: too many positional arguments"),
        (lambda: None, "stage", (), {}, "an item: too many positional arguments"),
        (lambda item: item, "stage", (1,), {}, "an item and its arguments: too many"),
        (Counter, "worker", (), {}, "its arguments: missing a required argument: 'start'"),
        (Worker, "worker", (1,), {}, "its arguments: too many positional arguments"),
        (Actor, "pykka", (), {}, "its arguments: missing a required argument: 'name'"),
    ],
)
def test_arguments_that_do_not_fit_are_told(
    target: Any, kind: Any, args: tuple[Any, ...], kwargs: dict[str, Any], problem: str
) -> None:
    """A target that would fail at its first call fails where it is described."""
    assert arity_problem(target, kind, args, kwargs).startswith(f"cannot be called with {problem}")


# -- names ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (task, "task"),
        (Counter, "Counter"),
        (Counter(1).on_start, "on_start"),
        (lambda: None, "lambda"),
        (functools.partial(functools.partial(task, "u"), 2), "task"),
        (Callable(), "Callable"),
        (type("x" * 999, (), {}), "x" * 100),
        (type("\n", (), {}), "worker"),
        (None, "NoneType"),
        (Mock(), "Mock"),
    ],
)
def test_name_of_a_target_is_fit_for_an_id(target: Any, name: str) -> None:
    """The name is the function's or class's own, made printable and not too long."""
    assert name_of(target) == name


# -- Worker ---------------------------------------------------------------------------


def test_worker_hooks_do_nothing_by_default() -> None:
    """A subclass overrides what it needs, the rest is silent."""
    worker = Worker()
    worker.on_start()
    worker.on_stop()
    worker.on_failure(None, None, None)


def test_a_message_without_a_handler_is_logged_in_bounded_length(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The default `on_receive` warns, and cuts a message of 5 MB (F39)."""
    with caplog.at_level(logging.WARNING, "threadsup"):
        Counter(1).on_receive("x" * 5_000_000)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "unexpected message received by Counter: 'xxx" in record.getMessage()
    assert len(record.getMessage()) < 200
