"""A batch's description."""

from __future__ import annotations

import pytest

from threadsup._errors import SpecError
from threadsup._policy.batch import Batch


def test_a_batch_waits_fifty_milliseconds() -> None:
    """The size has no default, the time-out has."""
    assert Batch(100) == Batch(size=100, timeout=0.05)


def test_every_wrong_value_is_named_at_once() -> None:
    """All faults are in one error, each with its path."""
    with pytest.raises(SpecError) as caught:
        Batch(0, timeout=0)
    assert caught.value.problems == (
        "batch.size: must be a whole number of at least 1, not 0",
        "batch.timeout: must be a number of seconds above 0, not 0",
    )
