"""Events are frozen facts with a time, a supervisor and the path of whom they are about."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest

from threadsup import Crashed, Shutdown, events

VALUES: dict[str, Any] = {
    "supervisor": "app",
    "at": 12.5,
    "path": ("g", "m"),
    "incarnation": 2,
    "reason": Crashed("Boom"),
    "final": True,
    "why": "because",
    "doing": "message",
    "since": 1.5,
    "delay": 0.25,
    "escalates": False,
    "what": "on_stop failed",
    "before": 1,
    "after": 2,
}


@pytest.mark.parametrize("kind", get_args(events.Event))
def test_an_event_is_a_value(kind: Any) -> None:
    """Equal to another of the same content, unequal to any other, and never changed."""
    names = [field.name for field in dataclasses.fields(kind)]
    assert names[:2] == ["supervisor", "at"]
    values = [VALUES[name] for name in names]
    event = kind(*values)
    assert event == kind(*values)
    assert event != kind(*["other", *values[1:]])
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.at = 0.0
    with pytest.raises((AttributeError, TypeError)):
        event.other = 1
    for name in names:
        assert f"{name}=" in repr(event)


def test_every_kind_of_event_is_public() -> None:
    """What a subscriber can receive, it can match."""
    kinds = {kind.__name__ for kind in get_args(events.Event)}
    assert kinds <= set(events.__all__)
    assert kinds == set(events.__all__) - {"Event", "Path", "Subscriber"}


def test_events_can_be_matched() -> None:
    """By kind and by what they say."""
    event: events.Event = events.WorkerEnded("app", 0.0, ("w",), 3, Shutdown(), True, "")
    match event:
        case events.WorkerEnded(path=(str(key),), incarnation=3, reason=Shutdown(), final=True):
            assert key == "w"
        case _:
            pytest.fail("it did not match")
