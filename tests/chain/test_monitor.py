"""Hearing of the ends of a stage: of all its replicas, whenever they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.helpers import Recorder
from threadsup import stage

if TYPE_CHECKING:
    from tests.chain.conftest import MakeFlow
    from threadsup import Exit


class OddError(Exception):
    """What the tests' stages crash with."""


def fail_odd(item: Any) -> Any:
    if item % 2:
        raise OddError(item)
    return item


def test_replicas_that_come_later_are_heard_of_as_well(flow: MakeFlow) -> None:
    """A monitor is one of the stage, not of the replicas it had at the time."""
    exits: Recorder[Exit] = Recorder()
    f = flow(stage(fail_odd, id="s", workers=1, routing="broadcast"))
    f.chain["s"].monitor(exits)
    f.chain.resize("s", 3)
    f.chain.tell(1)  # each replica gets it
    crashes = exits.wait_for(3)
    assert {each.id for each in crashes} == {("s", 0), ("s", 1), ("s", 2)}


def test_one_that_leaves_is_heard_of_once_more(flow: MakeFlow) -> None:
    """The end of a replica that a resize takes away is final."""
    exits: Recorder[Exit] = Recorder()
    f = flow(stage(fail_odd, id="s", workers=2))
    f.chain["s"].monitor(exits)
    f.chain.resize("s", 1)
    (left,) = exits.wait_for(1)
    assert (left.id, left.final) == (("s", 1), True)


def test_a_monitor_that_has_ended_hears_of_nobody(flow: MakeFlow) -> None:
    """Neither of those it knew, nor of those that come; ending it twice does nothing."""
    exits: Recorder[Exit] = Recorder()
    others: Recorder[Exit] = Recorder()
    f = flow(stage(fail_odd, id="s", workers=1, routing="broadcast"))
    end = f.chain["s"].monitor(exits)
    f.chain["s"].monitor(others)
    end()
    end()
    f.chain.resize("s", 2)
    f.chain.tell(1)
    others.wait_for(2)
    assert exits.items == []
