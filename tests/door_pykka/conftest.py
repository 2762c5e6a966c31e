"""Actors of both doors: `ThreadingActor`s by themselves, and Pykka's classes supervised.

Owns what starts one and what ends them all. It must not know what a test looks at.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Protocol

import pykka
import pytest

import threadsup
from tests.helpers import PATIENCE, Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import MakeSupervisor
    from threadsup import WorkerRef


class Begin(Protocol):
    """Starts an actor whose class has this body; returns a ref of it."""

    def __call__(self, body: type[Any], *args: Any, **kwargs: Any) -> Any: ...


class Supervise(Protocol):
    """Puts a class under a supervisor as it is."""

    def __call__(self, target: type[Any], *args: Any, **options: Any) -> WorkerRef: ...


_ids = itertools.count(1)


@pytest.fixture(autouse=True)
def actors_end(no_thread_left: None) -> Iterator[None]:
    """Stop the actors of a test before anybody looks for threads that are left."""
    del no_thread_left
    yield
    pykka.ActorRegistry.stop_all(timeout=PATIENCE)


@pytest.fixture
def supervise(supervisor: MakeSupervisor) -> Supervise:
    """Add a worker to a tree that runs."""
    tree = supervisor(max_restarts=10).start()

    def add(target: type[Any], *args: Any, **options: Any) -> WorkerRef:
        return tree.add_worker(
            target, *args, **{"id": f"{target.__name__}-{next(_ids)}", **options}
        )

    return add


@pytest.fixture(params=["alone", "supervised"])
def begin(request: pytest.FixtureRequest) -> Begin:
    """Start an actor alone, on our class, or supervised, on Pykka's own."""
    if request.param == "alone":
        return _alone
    supervise: Supervise = request.getfixturevalue("supervise")

    def supervised(body: type[Any], *args: Any, **kwargs: Any) -> WorkerRef:
        plain = type(body.__name__, (body, pykka.ThreadingActor), {})
        return supervise(plain, *args, kwargs=kwargs)

    return supervised


def _alone(body: type[Any], *args: Any, **kwargs: Any) -> Any:
    ours: Any = type(body.__name__, (body, threadsup.ThreadingActor), {})
    return ours.start(*args, **kwargs)


@pytest.fixture
def notes() -> Recorder[Any]:
    return Recorder()
