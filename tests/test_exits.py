"""Exit reasons: which one an exception means, and that a reason keeps text only."""

from __future__ import annotations

import gc
import weakref

import pytest

from threadsup import Abandoned, Crashed, Normal, Shutdown, WorkerExit
from threadsup._exits import describe_exception, reason_of


class Mine(BaseException):
    """A user's own."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SystemExit(), Normal()),
        (SystemExit(None), Normal()),
        (SystemExit(0), Normal()),
        (WorkerExit(), Shutdown()),
        (WorkerExit(Normal()), Normal()),
        (WorkerExit(Shutdown("done")), Shutdown("done")),
        (WorkerExit(Abandoned(1.0)), Abandoned(1.0)),
    ],
)
def test_clean_ways_out(error: BaseException, reason: object) -> None:
    """`SystemExit` without a code or with 0 is normal, `WorkerExit` says it itself."""
    assert reason_of(error) == reason


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        SystemExit(3),
        SystemExit("text"),
        KeyboardInterrupt(),
        GeneratorExit(),
        MemoryError(),
        RecursionError("deep"),
        Mine("own"),
    ],
)
def test_everything_else_is_a_crash(error: BaseException) -> None:
    """Any other exception is a crash, named by its type."""
    reason = reason_of(error)
    assert isinstance(reason, Crashed)
    assert reason.error.startswith(type(error).__qualname__)


def test_worker_exit_takes_reasons_only() -> None:
    """A `WorkerExit` of anything but an exit reason is refused at once."""
    with pytest.raises(TypeError, match="Shutdown"):
        WorkerExit("done")  # type: ignore[arg-type]


class HostileError(Exception):
    """Cannot be read."""

    def __init__(self, answer: BaseException) -> None:
        self.answer = answer

    def __str__(self) -> str:
        raise self.answer


@pytest.mark.parametrize("answer", [ValueError(), SystemExit(3), KeyboardInterrupt()])
def test_an_exception_that_cannot_be_read_is_reported_all_the_same(answer: BaseException) -> None:
    """A `__str__` that raises anything at all does not end the reporter (F31)."""
    error = HostileError(answer)
    assert "could not be read" in describe_exception(error)
    assert isinstance(reason_of(error), Crashed)


def test_a_huge_message_is_cut() -> None:
    """Ten megabytes of message leave a short one that says how long it was (F32)."""
    text = describe_exception(ValueError("x" * 10_000_000))
    assert len(text) < 2_000
    assert "10000000 characters" in text


def test_a_long_chain_of_causes_is_cut() -> None:
    """Five thousand chained causes leave a traceback of bounded length (F33)."""
    error: Exception = ValueError("first")
    for number in range(500):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following
    reason = reason_of(error)
    assert isinstance(reason, Crashed)
    assert len(reason.traceback) < 20_000


def test_a_cyclic_cause_is_survived() -> None:
    """Causes in a circle are reported (F33)."""
    error = ValueError("a")
    error.__cause__ = KeyError("b")
    error.__cause__.__cause__ = error
    assert isinstance(reason_of(error), Crashed)


def test_a_reason_keeps_no_frame_alive() -> None:
    """What the crashed code held is collectable while the reason is kept (F38)."""

    class Payload:
        pass

    def crash(payload: object) -> None:
        assert payload is None, "crashed"

    payload = Payload()
    watched = weakref.ref(payload)
    try:
        crash(payload)
    except AssertionError as error:
        reason = reason_of(error)
    del payload
    gc.collect()
    assert watched() is None
    assert isinstance(reason, Crashed)
    assert "crash(payload)" in reason.traceback
