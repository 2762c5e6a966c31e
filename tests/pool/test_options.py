"""What a pool is made with is checked as a whole, at the caller."""

from __future__ import annotations

from typing import Any

import pytest

from threadsup import Breaker, Pool, Retry, SpecError, Supervisor, running


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"max_workers": 0}, "max_workers"),
        ({"max_workers": True}, "max_workers"),
        ({"name": ""}, "name"),
        ({"capacity": 0}, "capacity"),
        ({"capacity": 1, "on_full": "refuse"}, "on_full"),
        ({"on_full": "raise"}, "on_full: is for a pool with a capacity"),
        ({"retry": 3}, "retry: must be a Retry"),
        ({"breaker": Retry()}, "breaker: must be a Breaker"),
        ({"routing": "random"}, "routing"),
        ({"routing": "partition"}, "key: is needed"),
        ({"key": str}, "key: is only for"),
        ({"routing": "partition", "key": 3}, "key: must be a function"),
        ({"on_dead_letter": 3}, "on_dead_letter"),
        ({"time_limit": 0}, "time_limit"),
        ({"time_limit": float("nan")}, "time_limit"),
        ({"init": 3}, "init"),
        ({"supervisor": "app"}, "supervisor: must be a Supervisor"),
        ({"supervisor": Supervisor("s"), "max_zombies": 1}, "max_zombies"),
        ({"max_restarts": -1}, "max_restarts"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"backoff": Breaker()}, "backoff"),
        ({"shutdown": -1}, "shutdown"),
        ({"exit_timeout": -1}, "exit_timeout"),
    ],
)
def test_a_wrong_option_starts_nothing(options: dict[str, Any], what: str) -> None:
    """It is named with what it must be, as a `ValueError`."""
    before = set(running())
    with pytest.raises(SpecError, match=what) as raised:
        Pool(**options)
    assert str(raised.value).startswith("pool.")
    assert isinstance(raised.value, ValueError)
    assert set(running()) == before


def test_all_faults_are_named_at_once() -> None:
    """One error, one line for each."""
    with pytest.raises(SpecError) as raised:
        Pool(0, capacity=0, retry=3)  # type: ignore[arg-type]
    assert len(raised.value.problems) == 3


def test_an_unknown_option_is_a_type_error() -> None:
    """As for any function."""
    with pytest.raises(TypeError, match="capacty"):
        Pool(1, capacty=3)  # type: ignore[call-arg]
