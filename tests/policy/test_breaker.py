"""Whether a call is worth making: closed, open, half-open."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from threadsup._errors import SpecError
from threadsup._policy.breaker import Breaker, Circuit

RULES = Breaker(failures=3, reset_after=10.0, probes=2)


def state(circuit: Circuit) -> str:
    return circuit.state


def opened(rules: Breaker = RULES, now: float = 0.0) -> Circuit:
    circuit = Circuit(rules)
    for _ in range(rules.failures):
        circuit.failed(circuit.enter(now), now)
    assert state(circuit) == "open"
    return circuit


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"failures": 0}, "breaker.failures"),
        ({"failures": True}, "breaker.failures"),
        ({"reset_after": 0}, "breaker.reset_after"),
        ({"reset_after": float("nan")}, "breaker.reset_after"),
        ({"probes": 0}, "breaker.probes"),
        ({"on": ()}, "breaker.on"),
        ({"on": BaseException}, "breaker.on"),
    ],
)
def test_wrong_rules_are_named(options: dict[str, Any], what: str) -> None:
    """With what they must be."""
    with pytest.raises(SpecError, match=what):
        Breaker(**options)


def test_a_breaker_is_a_value() -> None:
    """Equal ones are equal, hashable, can be copied and pickled."""
    assert Breaker(5, 10.0, 1) == Breaker()
    assert hash(Breaker()) == hash(Breaker())
    assert copy.copy(RULES) == pickle.loads(pickle.dumps(RULES)) == RULES  # noqa: S301
    assert Breaker(on=OSError).on == (OSError,)


def test_errors_that_are_not_meant_are_no_failures() -> None:
    """As an `except` clause decides it."""
    rules = Breaker(on=OSError)
    assert rules.is_failure(FileNotFoundError())
    assert not rules.is_failure(ValueError())
    assert not rules.is_failure(KeyboardInterrupt())


def test_failures_in_a_row_open_it() -> None:
    """And a success in between begins the count anew."""
    circuit = Circuit(RULES)
    for end in ("fail", "fail", "succeed", "fail", "fail"):
        granted = circuit.enter(0.0)
        if end == "fail":
            circuit.failed(granted, 0.0)
        else:
            circuit.succeeded(granted)
    assert state(circuit) == "closed"
    assert circuit.wait(0.0) == 0.0
    circuit.failed(circuit.enter(0.0), 0.0)
    assert state(circuit) == "open"


def test_nothing_passes_while_it_is_open() -> None:
    """It says for how long."""
    circuit = opened()
    assert circuit.enter(4.0) == -1
    assert circuit.wait(4.0) == 6.0
    assert circuit.wait(10.0) == 0.0


def test_then_so_many_probes_pass_and_no_more() -> None:
    """The next one has to wait for what comes of them."""
    circuit = opened()
    assert circuit.enter(10.0) >= 0
    assert state(circuit) == "half_open"
    assert circuit.wait(10.0) == 0.0
    assert circuit.enter(11.0) >= 0
    assert circuit.enter(12.0) == -1
    assert circuit.wait(12.0) == 9.0


def test_it_closes_when_all_probes_have_succeeded() -> None:
    """One alone is not enough."""
    circuit = opened()
    one, two = circuit.enter(10.0), circuit.enter(10.0)
    circuit.succeeded(one)
    assert state(circuit) == "half_open"
    circuit.succeeded(two)
    assert state(circuit) == "closed"


def test_the_first_probe_that_fails_opens_it_again() -> None:
    """From then on it is open for the whole time, whatever becomes of the other."""
    circuit = opened()
    one, two = circuit.enter(10.0), circuit.enter(10.0)
    circuit.failed(one, 12.0)
    circuit.succeeded(two)
    assert state(circuit) == "open"
    assert circuit.wait(12.0) == 10.0


def test_a_probe_that_says_nothing_makes_room_for_another() -> None:
    """It was ended from outside."""
    circuit = opened()
    circuit.enter(10.0)
    two = circuit.enter(10.0)
    assert circuit.enter(10.0) == -1
    circuit.withdrawn(two)
    assert circuit.enter(10.0) >= 0
    closed = Circuit(RULES)
    closed.withdrawn(closed.enter(0.0))
    assert state(closed) == "closed"


def test_a_probe_that_never_reports_is_not_waited_for_for_ever() -> None:
    """After as long as the breaker would have been open others are let through."""
    circuit = opened()
    lost = circuit.enter(10.0)
    circuit.enter(10.0)
    assert circuit.enter(19.0) == -1
    fresh = circuit.enter(20.0)
    assert fresh >= 0
    circuit.failed(lost, 21.0)
    assert state(circuit) == "half_open"


def test_what_began_in_an_earlier_period_changes_nothing() -> None:
    """Neither a late success nor a late failure."""
    circuit = Circuit(RULES)
    late = circuit.enter(0.0)
    for _ in range(3):
        circuit.failed(circuit.enter(0.0), 0.0)
    circuit.succeeded(late)
    circuit.failed(late, 5.0)
    circuit.withdrawn(late)
    assert state(circuit) == "open"
    assert circuit.wait(5.0) == 5.0


def test_a_call_that_is_lost_is_a_failure_of_now() -> None:
    """Its pass is not known to who reports it."""
    circuit = Circuit(Breaker(failures=1))
    circuit.lost(0.0)
    assert state(circuit) == "open"
