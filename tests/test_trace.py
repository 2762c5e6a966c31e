"""The traceback of a crash: noted at once, written later, as Python writes it."""

from __future__ import annotations

import gc
import pickle
import traceback
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from threadsup import _trace
from threadsup._dead_letters import DeadLetter
from threadsup._exits import Crashed, reason_of
from threadsup._trace import Trace, trace_of

if TYPE_CHECKING:
    from collections.abc import Callable


def caught(fn: Callable[..., object], *args: object) -> BaseException:
    """Return what `fn` raises."""
    try:
        fn(*args)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def plain() -> None:
    """Raise."""
    raise ValueError("boom")


def nested(levels: int) -> None:
    """Raise far down."""
    if levels:
        nested(levels - 1)
    plain()


def with_cause() -> None:
    """Raise because of something."""
    try:
        plain()
    except ValueError as error:
        raise KeyError("key") from error


def with_context() -> None:
    """Raise while something is handled."""
    try:
        with_cause()
    except KeyError:
        raise RuntimeError from ValueError("not raised")


def in_context() -> None:
    """Raise while something is handled, without saying that it is because of it."""
    try:
        plain()
    except ValueError:
        {}["missing"]  # type: ignore[index]


def without_context() -> None:
    """Raise, and hide what was handled."""
    try:
        plain()
    except ValueError:
        raise KeyError("key") from None


def misspelt() -> None:
    """Ask for an attribute that is called almost so."""
    [].apend(1)  # type: ignore[attr-defined]


def unknown() -> None:
    """Name what is not there, but almost."""
    levels = 1
    str(level + levels)  # type: ignore[name-defined]  # noqa: F821


def of_text() -> None:
    """Raise in code that has no file."""
    exec("1 / 0")  # noqa: S102 - that is what is tried


LATER = [
    plain,
    with_cause,
    with_context,
    in_context,
    without_context,
    misspelt,
    unknown,
    of_text,
    lambda: nested(3),
    lambda: nested(60),
]


@pytest.mark.parametrize("fn", LATER)
def test_what_is_written_later_is_what_python_writes(fn: Callable[[], object]) -> None:
    """Causes, contexts, suggestions, underlined lines, repeated ones: to the letter."""
    error = caught(fn)
    trace = trace_of(error)
    assert isinstance(trace, Trace)
    expected = "".join(traceback.format_exception(error, limit=-20))
    assert str(trace) == expected
    assert str(trace) == expected


def noted() -> None:
    """Raise with a note."""
    error = ValueError("boom")
    error.add_note("a note")
    raise error


def group() -> None:
    """Raise several."""
    raise ExceptionGroup("several", [ValueError(1), KeyError(2)]) from caught(plain)


def mistyped() -> None:
    """Compile what is no Python."""
    compile("1 +", "<text>", "eval")


@pytest.mark.parametrize("fn", [noted, group, mistyped])
def test_what_would_need_more_than_text_is_written_at_once(fn: Callable[[], object]) -> None:
    """Notes, groups and errors of syntax read as Python writes them, too."""
    error = caught(fn)
    trace = trace_of(error)
    assert trace == "".join(traceback.format_exception(error, limit=-20))


def test_what_was_never_raised_has_none() -> None:
    """An error that was made and not raised has no traceback."""
    assert trace_of(ValueError("boom")) == ""


def test_a_crash_writes_nothing_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a reason nor a dead letter opens files in the thread that crashed."""
    written: list[object] = []
    real = _trace._written

    def write(part: Any) -> str:
        written.append(part)
        return real(part)

    monkeypatch.setattr(_trace, "_written", write)
    reason = reason_of(caught(plain))
    assert isinstance(reason, Crashed)
    letter = DeadLetter("message", "a", "failed", reason.error, 0.0, traceback=reason.trace)
    assert str(reason) == "crashed: ValueError: boom"
    assert "boom" in repr(letter)
    assert not written
    assert "plain" in letter.traceback
    assert letter.traceback == reason.traceback
    assert len(written) == 1


def test_it_keeps_nothing_alive_before_it_is_written() -> None:
    """Noted, not read: what the crashed code held is collectable (F38)."""

    class Payload:
        pass

    def crash(payload: Any) -> None:
        raise ValueError(payload is None)

    payload = Payload()
    watched = weakref.ref(payload)
    trace = trace_of(caught(crash, payload))
    del payload
    gc.collect()
    assert watched() is None
    assert "in crash" in str(trace)


def test_a_message_without_end_is_not_kept() -> None:
    """Ten megabytes of message leave a bounded text (F32)."""

    def crash() -> None:
        raise ValueError("x" * 10_000_000)

    assert len(str(trace_of(caught(crash)))) < 17_000


def test_a_long_chain_is_bounded() -> None:
    """More causes than anybody reads are cut (F33)."""
    error = caught(plain)
    for _ in range(100):
        following = caught(plain)
        following.__cause__ = error
        error = following
    assert len(str(trace_of(error))) < 17_000


def test_a_hostile_exception_is_noted_all_the_same() -> None:
    """Where even Python's own report fails the frames are left (F31)."""

    class HostileError(Exception):
        @property
        def __cause__(self) -> Any:  # type: ignore[override]
            raise SystemExit(3)

    def crash() -> None:
        raise HostileError

    assert "in crash" in str(trace_of(caught(crash)))


def test_reasons_are_compared_and_sent_as_text() -> None:
    """Equality, hash, pattern and pickle see text, noted or given."""
    error = caught(plain)
    reason, same = reason_of(error), reason_of(error)
    assert isinstance(reason, Crashed)
    assert reason == same
    assert hash(reason) == hash(same)
    assert reason == Crashed(reason.error, reason.traceback)
    assert pickle.loads(pickle.dumps(reason)) == reason  # noqa: S301
    assert pickle.loads(pickle.dumps(trace_of(error))) == reason.traceback  # noqa: S301
    match reason:
        case Crashed(_, text):
            assert isinstance(text, str)
    assert Crashed("error").traceback == ""
