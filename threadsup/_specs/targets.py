"""What can be run: functions, handlers and classes, and how they are told apart.

Owns `handler()`, and everything that is learned by looking at a target: its kind, its
name, whether its arguments fit. It must not know any option, and it runs no target: it
looks at signatures only.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, final

import pykka

from threadsup._checks import shown
from threadsup._errors import SpecError
from threadsup._specs.callbacks import CallbackModule, GenServer, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from typing_extensions import TypeIs

    from threadsup._specs.options import Kind

__all__ = [
    "GenServer",
    "Handler",
    "Worker",
    "arity_problem",
    "generates",
    "handler",
    "is_server",
    "kind_of",
    "kind_of_stage",
    "name_of",
    "of_one_item",
    "target_problem",
]

_NAME_LENGTH = 100

_RUNS_NOTHING = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
"""Flags of functions whose call returns something that is yet to be run."""

_SERVER_HOOKS = (
    "init",
    "handle_call",
    "handle_cast",
    "handle_info",
    "handle_continue",
    "handle_timeout",
    "terminate",
)


@final
@dataclass(frozen=True, slots=True)
class Handler:
    """A function that is called once per message; made by `handler()`."""

    target: Callable[..., Any]


def handler(fn: Callable[..., Any]) -> Handler:
    """Mark `fn` as a handler: called `fn(message, *args, **kwargs)` per message.

    What it returns answers an `ask`. Without the mark a function is a task: it
    runs once and then ends.

    Raises:
        SpecError: `fn` cannot be called, or is a class that needs no mark.
    """
    if problem := target_problem(fn, "handler"):
        raise SpecError(f"handler: {problem}")
    return Handler(fn)


def kind_of(target: object) -> Kind:
    """Return what kind of worker `target` makes; `"task"` also for what makes none."""
    return "handler" if type(target) is Handler else _class_kind(target) or "task"


def kind_of_stage(target: object) -> Kind:
    """Return what kind of stage `target` makes: a class that works, or a function."""
    kind = _class_kind(target)
    return "stage" if kind is None or is_server(target) else kind


def _class_kind(target: object) -> Kind | None:
    if isinstance(target, type):
        if issubclass(target, Worker | GenServer):
            return "worker"
        if issubclass(target, pykka.ThreadingActor):
            return "pykka"
    return None


def target_problem(target: object, kind: Kind, *, emits: bool = False) -> str:
    """Return why `target` cannot be run as a `kind`, `""` if it can.

    Args:
        target: Anything.
        kind: What it is to be.
        emits: Whether it may generate: each value that it yields is passed on.
    """
    if type(target) is FunctionType and kind not in ("worker", "pykka") and _is_plain(target):
        return ""  # as most are; to ask for all that follows costs ten times this
    kind_of_class = _class_kind(target)
    if kind in ("worker", "pykka"):
        base = "Worker" if kind == "worker" else "pykka.ThreadingActor"
        if kind_of_class != kind:
            return f"must be a subclass of {base}, not {shown(target)}"
        return next(_hook_problems(target, kind, emits=emits), "")
    if kind == "stage" and is_server(target):
        return f"must be a function or a Worker class, not the GenServer {name_of(target)}"
    if kind_of_class:
        return f"must be a function, not {shown(target)}, recognised by itself"
    return next(_function_problems(target, kind, emits=emits), "")


def _hook_problems(target: object, kind: Kind, *, emits: bool) -> Iterator[str]:
    """Yield what is wrong with the methods of a class that are called."""
    hooks: tuple[str, ...] = ("on_receive",) if kind == "worker" or emits else ()
    if emits and getattr(target, "on_receive", None) is pykka.Actor.on_receive:
        yield f"must have an on_receive of its own, for items, which {name_of(target)} has not"
    if is_server(target):
        hooks = _SERVER_HOOKS
        if issubclass(target, Worker):
            yield "must be a subclass of Worker or of GenServer, not of both"
        if target.__init__ is not object.__init__ and _misfit(target.__init__, (None,), {}):
            yield "must take its arguments in init(), not in __init__()"
        if emits:
            yield f"must be a function or a Worker class, not the GenServer {name_of(target)}"
    for hook in hooks:
        for what in _not_plain(getattr(target, hook, None), emits=emits):
            yield f"must have a plain {hook}, not {what}"


def is_server(target: object) -> TypeIs[type[GenServer]]:
    """Return whether `target` is a `GenServer` class."""
    return isinstance(target, type) and issubclass(target, GenServer)


def _function_problems(target: object, kind: Kind, *, emits: bool) -> Iterator[str]:
    if isinstance(target, CallbackModule | pykka.Actor):
        yield f"must be the class {type(target).__name__}, not an instance of it"
    if isinstance(target, type) and issubclass(target, pykka.Actor):
        yield f"must be a pykka.ThreadingActor, not another actor, {shown(target)}"
    if isinstance(target, type) and callable(getattr(target, "on_receive", None)):
        yield f"must be a subclass of Worker to be sent messages, not {shown(target)}"
    if not callable(target):
        expected = "a function" if kind == "handler" else "a function or a Worker class"
        yield f"must be {expected}, not {shown(target)}"
    for what in _not_plain(target, emits=emits):
        yield f"must be a plain function, not {what}"


def _is_plain(target: FunctionType) -> bool:
    """Return whether a call of a function runs it; false where that is not plain."""
    # What marks a coroutine function that is none by its code stands in its dict.
    return not target.__dict__ and not target.__code__.co_flags & _RUNS_NOTHING


def _not_plain(target: object, *, emits: bool) -> Iterator[str]:
    """Yield what kind of function `target` is whose call runs nothing, and the remedy."""
    if inspect.iscoroutinefunction(target):
        yield "a coroutine function: call asyncio.run() in one"
    if inspect.isasyncgenfunction(target):
        yield "an asynchronous generator function: call asyncio.run() in one"
    if inspect.isgeneratorfunction(target) and not emits:
        yield "a generator function: calling that runs nothing"


def generates(target: object) -> bool:
    """Return whether what is called with an item only makes a generator."""
    if isinstance(target, type) and _class_kind(target):
        target = getattr(target, "on_receive", None)
    return inspect.isgeneratorfunction(target)


def of_one_item(value: Any) -> str:
    """Check that `value` is a function that can be called with an item."""
    return target_problem(value, "handler") or arity_problem(value, "stage", (), {})


def arity_problem(
    target: Callable[..., Any], kind: Kind, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> str:
    """Return why `target` does not take its arguments, `""` if it does or cannot be asked.

    A handler and a stage function are given the message, or the item, first.
    """
    first = (None,) if kind in ("handler", "stage") else ()
    if (
        type(target) is FunctionType
        and not kwargs
        and _plainly_fits(target, len(first) + len(args))
    ):
        return ""
    if is_server(target):
        target, first = target.init, (None,)
    error = _misfit(target, (*first, *args), kwargs)
    if error is not None:
        what = {"handler": "a message", "stage": "an item"}.get(kind)
        given = f"{what} and its arguments" if what and (args or kwargs) else what
        return f"cannot be called with {given or 'its arguments'}: {error}"
    return ""


def _misfit(
    target: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> TypeError | None:
    """Return the error that a call with these arguments would make of itself, if it would."""
    try:
        signature = _signature(target)
    except Exception:  # noqa: BLE001 - builtins have none, and __signature__ is anybody's code
        return None
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        return error
    return None


def _plainly_fits(target: FunctionType, count: int) -> bool:
    """Return whether a function takes so many arguments; false where that is not plain.

    Most targets are plain functions and fit; a signature costs ten times this.
    """
    code = target.__code__
    return (
        not target.__dict__  # __wrapped__ or __signature__ may stand there
        and not code.co_kwonlyargcount
        and code.co_argcount - len(target.__defaults__ or ()) <= count <= code.co_argcount
    )


def _signature(target: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        import annotationlib  # noqa: PLC0415 - new in 3.14

        # Annotations are code since 3.14, and not needed here: they are not run.
        return inspect.signature(target, annotation_format=annotationlib.Format.STRING)
    return inspect.signature(target)


def name_of(target: object) -> str:
    """Return a name for what runs `target`: printable, never empty, not too long."""
    for _ in range(8):  # partials of partials end somewhere
        name = getattr(target, "__name__", None)
        inner = getattr(target, "func", None)
        if type(name) is str or not callable(inner):
            break
        target = inner
    if type(name) is not str:
        name = type(target).__name__
    kept = "".join(letter for letter in name if letter.isprintable()).strip("<> ")
    return kept[:_NAME_LENGTH] or "worker"
