"""Crashes that a test announces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE
from threadsup import handler, stage
from threadsup.testing import expect_crash

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor


def fail(message: Any) -> Any:
    return 1 / message


def test_the_block_waits_for_the_crash(supervisor: MakeSupervisor) -> None:
    """And then says what it was."""
    with supervisor() as sup:
        ref = sup.add_worker(handler(fail), id="w")
        with expect_crash(ref, "ZeroDivisionError") as crashes:
            ref.tell(0)
        assert [(event.path, event.incarnation) for event in crashes] == [(("w",), 1)]


def test_a_crash_is_expected_of_anybody_below(supervisor: MakeSupervisor) -> None:
    """Of a group, a chain, a stage, a supervisor; `count` of them."""
    with supervisor(max_restarts=20) as sup:
        group = sup.add_group("g")
        ref = group.add_worker(handler(fail), id="w")
        chain = sup.add_chain("c", [stage(fail, id="s")])
        inner = sup.add_supervisor("inner")
        deep = inner.add_worker(handler(fail), id="deep")
        for target, tell in (
            (group, ref.tell),
            (chain, chain.tell),
            (chain["s"], chain.tell),
            (inner, deep.tell),
        ):
            with expect_crash(target):
                tell(0)
        with expect_crash(sup, count=2) as crashes:
            ref.tell(0)
            deep.tell(0)
        assert sorted(event.path for event in crashes) == [("g", "w"), ("inner", "deep")]


def test_a_crash_that_does_not_come_fails_the_test(supervisor: MakeSupervisor) -> None:
    """With what came instead."""
    with supervisor() as sup:
        ref = sup.add_worker(handler(fail), id="w")
        with (
            pytest.raises(AssertionError, match=r"no crash of w, 1 expected within 0\.01 s"),
            expect_crash(ref, timeout=0.01),
        ):
            ref.ask(1, PATIENCE)
        with (
            pytest.raises(
                AssertionError, match=r"(?s)no crash of w that matches 'OSError'.*ZeroDivision"
            ),
            expect_crash(ref, "OSError", timeout=0.1),
        ):
            ref.tell(0)


def test_an_error_in_the_block_is_not_hidden(supervisor: MakeSupervisor) -> None:
    """Nobody waits for a crash then."""
    with supervisor() as sup, pytest.raises(LookupError), expect_crash(sup):
        raise LookupError


def test_who_cannot_crash_is_refused() -> None:
    """At the beginning of the block."""
    with (
        pytest.raises(TypeError, match=r"expected a WorkerRef, Group, .* not a str"),
        expect_crash("w"),  # type: ignore[arg-type]
    ):
        pass
