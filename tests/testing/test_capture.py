"""Events as a list to wait on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from threadsup import events, handler
from threadsup.testing import EventLog, capture_events, crash

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor


def test_events_come_into_the_list_until_the_block_ends(supervisor: MakeSupervisor) -> None:
    """In their order; those before and after the block are not in it."""
    with supervisor() as sup:
        with capture_events(sup) as log:
            sup.add_worker(handler(str), id="in")
            log.wait_for(events.WorkerStarted)
        sup.add_worker(handler(str), id="after")
        assert [event.path for event in log.of(events.WorkerStarted)] == [("in",)]
        assert len(log) == 1
        assert log[0] is log[-1]


def test_an_event_is_waited_for_by_type_or_by_what_it_says(supervisor: MakeSupervisor) -> None:
    """One that has come already is found as well; `count` says which one."""
    with supervisor() as sup, capture_events(sup) as log:
        ref = sup.add_worker(handler(str), id="w")
        for _ in range(2):
            crash(ref)
        started = log.wait_for(events.WorkerStarted, count=2)
        assert started.incarnation == 2
        ended = log.wait_for(lambda event: isinstance(event, events.WorkerEnded))
        assert isinstance(ended, events.WorkerEnded)
        assert (ended.path, ended.incarnation) == (("w",), 1)
        assert log.index(ended) < log.index(started)


def test_an_event_that_does_not_come_is_told_with_those_that_did(
    supervisor: MakeSupervisor,
) -> None:
    """And how many of them."""
    with supervisor() as sup, capture_events(sup) as log:
        sup.add_worker(handler(str), id="w")
        log.wait_for(events.WorkerStarted)
        with pytest.raises(
            TimeoutError, match=r"(?s)1 of 2 WorkerStarted came within 0\.01 s.*\('w',\)"
        ):
            log.wait_for(events.WorkerStarted, 0.01, count=2)


def test_nothing_is_told_of_an_empty_list() -> None:
    """Nothing came."""
    with pytest.raises(TimeoutError, match="there came: nothing"):
        EventLog().wait_for(events.GaveUp, 0.01)


def test_a_nested_supervisor_has_its_own_events(supervisor: MakeSupervisor) -> None:
    """Those about it and below it, and no others."""
    with supervisor() as sup:
        inner = sup.add_supervisor("inner")
        with capture_events(inner) as log:
            sup.add_worker(handler(str), id="outside")
            inner.add_worker(handler(str), id="inside")
            event = log.wait_for(events.WorkerStarted)
        assert event.path == ("inner", "inside")
