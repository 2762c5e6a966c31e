"""Whose a thread is: the context of each worker, by the ident of its thread.

Owns the table. It must not know what a context is, nor what one is for.

Not a `threading.local`, which makes objects of several kinds in each thread: a free-threaded
build takes a page or two of memory for each kind of object that a thread makes, and an idle
thread is little else.
"""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadsup._runtime.context import Context

__all__ = ["current", "enter", "leave", "leave_all"]

_contexts: dict[int, Context] = {}


def current() -> Context | None:
    """Return the context of the worker whose thread this is, `None` outside."""
    return _contexts.get(get_ident())


def enter(context: Context) -> None:
    """Make this thread the worker's. For the actor only."""
    _contexts[get_ident()] = context


def leave() -> None:
    """Make this thread nobody's again. For the actor only."""
    _contexts.pop(get_ident(), None)


def leave_all() -> None:
    """Make all threads nobody's: for the child of a fork, which gives their idents anew."""
    global _contexts  # noqa: PLW0603 - a thread that is not there may have locked this one
    _contexts = {}
