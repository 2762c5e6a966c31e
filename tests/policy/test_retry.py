"""Whether a failed item is tried again, and after which pause."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from threadsup._errors import SpecError
from threadsup._policy.backoff import Backoff
from threadsup._policy.retry import Retry


def no_chance() -> float:
    return 0.0


def never_asked() -> float:
    raise AssertionError


class Liar(type):
    """A metaclass that takes everything for an instance."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True

    def __subclasscheck__(cls, subclass: type) -> bool:
        return True


class Lying(Exception, metaclass=Liar):  # noqa: N818 - it is no error
    pass


def test_an_item_is_tried_three_times_in_all() -> None:
    """The default is two more attempts, with the pauses of a back-off."""
    pauses = [Retry().pause(ValueError(), tried, no_chance) for tried in (1, 2, 3, 4)]
    assert pauses == [0.05, 0.1, None, None]


def test_the_first_pause_is_the_initial_one() -> None:
    """Each further one is `factor` times as long, up to the maximum; jitter comes on top."""
    retry = Retry(6, Backoff(initial=1.0, factor=3.0, maximum=10.0, jitter=0.5))
    pauses = [retry.pause(OSError(), tried, lambda: 1.0) for tried in range(1, 7)]
    assert pauses == [1.5, 4.5, 13.5, 15.0, 15.0, None]


def test_without_a_back_off_the_next_attempt_comes_at_once() -> None:
    """A pause of no length is a pause, not the end of the attempts."""
    retry = Retry(2, Backoff.none())
    assert [retry.pause(OSError(), tried, never_asked) for tried in (1, 2)] == [0.0, None]


def test_one_attempt_is_no_retry() -> None:
    """With one attempt in all an item that failed has failed."""
    assert Retry(attempts=1).pause(ValueError(), 1, never_asked) is None


@pytest.mark.parametrize(
    ("on", "error", "again"),
    [
        (Exception, ValueError(), True),
        (OSError, TimeoutError(), True),
        (OSError, ValueError(), False),
        ((OSError, ValueError), ValueError(), True),
        ((OSError, ValueError), KeyError(), False),
        (Exception, KeyboardInterrupt(), False),
        (Exception, SystemExit(), False),
        (Lying, ValueError(), False),
        (Lying, Lying(), True),
    ],
)
def test_errors_are_told_apart_as_except_does(on: Any, error: BaseException, again: bool) -> None:
    """Subclasses count, classes that claim instances do not, and what is no Exception never."""
    assert (Retry(on=on).pause(error, 1, no_chance) is not None) is again


def test_one_class_and_a_tuple_of_it_are_the_same() -> None:
    """`on` is a tuple when it is read; equal retries are equal."""
    assert Retry(on=OSError) == Retry(on=(OSError,))
    assert Retry(on=OSError).on == (OSError,)
    assert Retry().on == (Exception,)


def test_a_retry_is_copied_and_pickled() -> None:
    """It is a plain value."""
    retry = Retry(5, on=OSError)
    assert copy.deepcopy(retry) == pickle.loads(pickle.dumps(retry)) == retry  # noqa: S301 - ours
    assert hash(retry) == hash(Retry(5, on=OSError))


@pytest.mark.parametrize(
    ("on", "problem"),
    [
        ((), "at least one"),
        ("OSError", "not 'OSError'"),
        ([OSError], "not [a type]"),
        (OSError(), "not a OSError"),
        (BaseException, "not the class BaseException"),
        ((OSError, KeyboardInterrupt), "not the class KeyboardInterrupt"),
        ((OSError, 3), "not 3"),
        (int, "not the class int"),
    ],
)
def test_on_names_exceptions(on: Any, problem: str) -> None:
    """What ends a worker, and what is no class, cannot be retried on."""
    with pytest.raises(SpecError) as caught:
        Retry(on=on)
    (line,) = caught.value.problems
    assert line.startswith("retry.on: must be a subclass of Exception or a tuple of these, ")
    assert line.endswith(problem)


def test_every_wrong_value_is_named_at_once() -> None:
    """All faults are in one error, each with its path."""
    with pytest.raises(SpecError) as caught:
        Retry(attempts=0, backoff=1.0, on=())  # type: ignore[arg-type]
    assert caught.value.problems == (
        "retry.attempts: must be a whole number of at least 1, not 0",
        "retry.backoff: must be a Backoff, not 1.0",
        "retry.on: must be a subclass of Exception or a tuple of these, at least one",
    )
