"""Gates: who comes stands until they are opened, and nobody waits for ever."""

from __future__ import annotations

import pytest

from tests.runtime.forcing import run
from threadsup.testing import Gate


def test_who_comes_stands_until_the_gate_is_open() -> None:
    """The test knows when they have come, and lets them all go at once."""
    gate = Gate("the gate")
    standing = [run(gate.meet) for _ in range(2)]
    gate.wait_reached(2)
    assert gate.arrived == 2
    assert not any(each.over for each in standing)
    gate.open()
    for each in standing:
        each.result()
    gate.meet()
    assert repr(gate) == "<Gate 'the gate', open, 3 came>"


def test_a_gate_that_nobody_opens_says_so() -> None:
    """A test that went wrong ends, with the name of what it waited for."""
    with pytest.raises(TimeoutError, match=r"the door was not opened within 0\.01 s"):
        Gate("the door", patience=0.01).meet()


def test_a_gate_that_nobody_reaches_says_so() -> None:
    """Also how many came."""
    with pytest.raises(TimeoutError, match=r"0 of 2 came to the door in 0\.01 s"):
        Gate("the door", patience=0.01).wait_reached(2)
