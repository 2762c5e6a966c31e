"""`threadsup.pykka` has Pykka's names, and ours for what is ours."""

from __future__ import annotations

import pykka

import threadsup
from threadsup import pykka as door


def test_every_public_name_is_there() -> None:
    """What `import pykka` gives, and the modules that are imported beside it."""
    assert {*pykka.__all__, "debug", "messages", "typing"} == {*door.__all__}


def test_actors_and_futures_are_ours_and_the_rest_is_pykkas() -> None:
    """So that what is one of Pykka's goes on being one."""
    ours = {"ThreadingActor": threadsup.ThreadingActor, "ThreadingFuture": threadsup.Future}
    for name in door.__all__:
        assert getattr(door, name) is ours.get(name, getattr(pykka, name)), name
