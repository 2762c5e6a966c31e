"""Which trees live in this process, its end, and its forks.

Owns the table of running trees and the two hooks, `atexit` and after a fork. It
must not know what a tree is made of: it stops it, or tells it that it is dead.

Why `atexit` is early enough: worker threads are daemons, so Python runs the hook
as soon as the main thread and all threads that are no daemons have ended.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from threadsup._errors import DuplicateChildError
from threadsup._runtime.whose import leave_all

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["Tree", "enrol", "exiting", "strike", "trees"]


_logger = logging.getLogger("threadsup")


class Tree(Protocol):
    """What this file needs of a tree."""

    @property
    def name(self) -> str:
        """Its name, unique among those that run."""

    def leave_process(self) -> None:
        """Stop in order within a limit, as the process ends. Starts nothing."""

    def feeds(self) -> Collection[object]:
        """Return the trees that get messages from it."""

    def mark_forked(self) -> None:
        """Be dead, as no thread survives a fork. Takes no lock."""


class _Process:
    """The state of this process; one per process, replaced after a fork."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """For writers; readers take the table as it is: it is replaced, not changed."""
        self.trees: Mapping[str, Tree] = MappingProxyType({})
        self.exiting = False


_process = _Process()


def enrol(tree: Tree) -> None:
    """Note that a tree runs.

    Raises:
        DuplicateChildError: a tree of that name runs already.
    """
    with _process.lock:
        if tree.name in _process.trees:
            raise DuplicateChildError(
                f"a supervisor named {tree.name!r} is running already: stop it or choose a name"
            )
        _process.trees = MappingProxyType({**_process.trees, tree.name: tree})


def strike(tree: Tree) -> None:
    """Note that a tree has ended."""
    with _process.lock:
        left = {name: other for name, other in _process.trees.items() if other is not tree}
        _process.trees = MappingProxyType(left)


def trees() -> Mapping[str, Tree]:
    """Return the running trees by name, oldest first; a snapshot. Never blocks."""
    return _process.trees


def exiting() -> bool:
    """Return whether the process is ending, so that nothing may be started any more."""
    return _process.exiting


def _at_exit() -> None:
    _process.exiting = True
    for tree in _feeding_first([*_process.trees.values()][::-1]):
        try:
            tree.leave_process()
        except Exception:  # a tree that is broken, whatever it is, keeps no other from its end
            _logger.exception("supervisor %r did not stop as the process ended", tree.name)


def _feeding_first(trees: list[Tree]) -> Iterator[Tree]:
    """Yield trees in this order, but none before those that it gets messages from."""
    feeds = {id(tree): tree.feeds() for tree in trees}
    while trees:
        # Where they feed each other, there is no such order for those.
        free = (at for at in trees if not any(at in feeds[id(by)] for by in trees if by is not at))
        tree = next(free, trees[0])
        trees.remove(tree)
        yield tree


def _after_fork_in_child() -> None:
    # The lock may have been held by a thread that does not exist here: it is
    # replaced with everything else, and nothing below takes one.
    global _process  # noqa: PLW0603 - the child is another process
    dead = _process.trees
    _process = _Process()
    leave_all()  # the worker whose thread this may have been is the parent's
    for tree in dead.values():
        tree.mark_forked()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
