"""Service and queue times: cheap to note, near enough to read, at any moment."""

from __future__ import annotations

import math
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.runtime.forcing import run
from threadsup._runtime.timings import Histogram, Timings

if TYPE_CHECKING:
    from collections.abc import Callable


def test_nothing_timed_is_all_zeros() -> None:
    """Before the first message there is nothing to divide by, and no share is known."""
    timings = Timings()
    assert timings.service() == timings.queue() == (0, 0.0, 0.0, 0.0)
    assert timings.cpu_share() is None


def test_service_and_queue_are_two_things() -> None:
    """What is noted of the one does not show in the other."""
    timings = Timings()
    timings.sampled(0.25, 1)
    timings.queued(4.0, 2)
    assert timings.service()[:2] == (1, 0.25)
    assert timings.queue()[:2] == (2, 4.0)


def test_a_sample_counts_for_as_many_as_it_stands_for() -> None:
    """The mean and the percentiles are those of all messages, not of the samples."""
    timings = Timings()
    timings.sampled(1e-6, 99)
    timings.sampled(1.0, 1)
    count, mean, p50, p99 = timings.service()
    assert count == 100
    assert mean == pytest.approx(0.0100, rel=0.01)
    assert p50 == pytest.approx(1e-6, rel=0.13)
    assert p99 == pytest.approx(1e-6, rel=0.13)
    timings.sampled(1.0, 1)
    assert timings.service()[3] == pytest.approx(1.0, rel=0.13)


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_an_eighth_off_at_most(seed: int) -> None:
    """From 100 ns to hours, against the sorted durations themselves."""
    chance = random.Random(seed)
    durations = [10 ** chance.uniform(-7, 4) for _ in range(999)]
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    count, mean, p50, p99 = histogram.summary()
    durations.sort()
    assert count == 999
    assert mean == pytest.approx(sum(durations) / 999)
    assert p50 == pytest.approx(durations[499], rel=0.125)
    assert p99 == pytest.approx(durations[math.ceil(999 * 0.99) - 1], rel=0.125)


@pytest.mark.parametrize("exponent", range(-23, 18))
def test_every_boundary_falls_into_the_bucket_above_it(exponent: int) -> None:
    """Each power of two, and what is just below it: no duration falls between two buckets."""
    for duration in (math.ldexp(0.5, exponent), math.nextafter(math.ldexp(1.0, exponent), 0.0)):
        histogram = Histogram()
        histogram.add(duration)
        assert histogram.summary()[2] == pytest.approx(duration, rel=0.126)


@pytest.mark.parametrize("odd", [0.0, -1.0, 1e-12, 1e9, math.inf, math.nan])
def test_a_duration_out_of_bounds_is_counted_at_the_bound(odd: float) -> None:
    """Nothing that a clock may give ever fails the worker that notes it."""
    histogram = Histogram()
    histogram.add(odd, 3)
    count, _, p50, _ = histogram.summary()
    assert count == 3
    assert p50 < 1e-7 or p50 > 1e5


def test_slow_messages_are_all_timed() -> None:
    """From 50 us on the timing is lost in what is timed."""
    timings = Timings()
    assert {timings.stride(took) for took in (50e-6, 1e-3, 1.0, 1e6) for _ in range(20)} == {1}


@pytest.mark.parametrize(
    ("took", "widest"),
    [(30e-6, 17), (10e-6, 50), (1e-6, 500), (4e-7, 1024), (0.0, 1024), (-1.0, 1024)],
)
def test_the_quicker_the_rarer(took: float, widest: int) -> None:
    """Never more than 1,024 apart, and mostly as many that timing costs a percent."""
    timings = Timings()
    strides = [timings.stride(took) for _ in range(500)]
    assert max(strides) == widest
    assert min(strides) >= 1
    assert sum(strides) / 500 >= 0.6 * widest


def test_messages_that_alternate_are_timed_in_turn() -> None:
    """Whatever the period, no kind is passed over: the stride is not always the same."""
    timings = Timings()
    for period in (2, 5, 10, 25, 50):
        seen, at = set(), 0
        for _ in range(1_000):
            at += timings.stride(1e-6)
            seen.add(at % period)
        assert len(seen) == period


def test_the_share_of_processor_time_is_that_of_recent_work() -> None:
    """A worker that did nothing but wait, and computes now, is soon seen to compute."""
    timings = Timings()
    timings.spent(0.0, 1_000.0)
    assert timings.cpu_share() == 0.0
    for _ in range(20):
        timings.spent(1.0, 1.0)
    share = timings.cpu_share()
    assert share is not None
    assert share > 0.9
    timings.spent(50.0, 1.0)  # two clocks are never quite of one mind
    assert timings.cpu_share() == 1.0


def test_merged_timings_are_those_of_all() -> None:
    """The parts stay as they are, and go on without the sum."""
    one, other = Timings(), Timings()
    one.sampled(1.0, 3)
    one.queued(2.0, 1)
    one.spent(0.5, 1.0)
    other.sampled(1e-3, 1)
    other.spent(0.5, 3.0)
    merged = Timings.merge([one, other])
    count, mean, *_ = merged.service()
    assert count == 4
    assert mean == pytest.approx(3.001 / 4)
    assert merged.queue() == one.queue()
    assert merged.cpu_share() == 0.25
    other.sampled(1.0, 1)
    assert merged.service()[0] == 4
    assert Timings.merge([]).service() == (0, 0.0, 0.0, 0.0)
    assert Timings.merge([merged, one]).service()[0] == 7


class Hooked(list[int]):
    """Buckets that call somebody right before and after they change, or before a copy."""

    then: Callable[[], object] = staticmethod(lambda: None)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.then()
        super().__setitem__(index, value)
        self.then()

    def copy(self) -> list[int]:
        self.then()
        return super().copy()


def test_a_count_is_not_written_before_its_bucket() -> None:
    """A reader in the middle of the writing finds nothing yet, or all of it."""
    histogram = Histogram()
    buckets = histogram._buckets = Hooked(histogram._buckets)
    seen: list[Any] = []

    def look() -> None:
        buckets.then = lambda: None
        seen.append(histogram.summary())
        buckets.then = look

    buckets.then = look
    histogram.add(1e-3)
    assert seen == [(0, 0.0, 0.0, 0.0)] * 2


def test_a_count_is_not_read_after_its_bucket() -> None:
    """A sample that comes in the middle of the reading is not counted, or with all of it."""
    histogram = Histogram()
    buckets = histogram._buckets = Hooked(histogram._buckets)

    def write() -> None:
        buckets.then = lambda: None
        histogram.add(1.0)

    histogram.add(1e-3)
    buckets.then = write
    count, mean, p50, _ = histogram.summary()
    assert (count, mean) == (1, 1e-3)
    assert p50 > 0
    assert histogram.summary()[0] == 2


def test_they_are_read_while_they_are_written() -> None:
    """A reader finds no count without a mean, and no mean without its percentiles."""
    timings, over = Timings(), threading.Event()

    def write() -> None:
        while not over.is_set():
            timings.sampled(1e-3, 2)

    writing = run(write)
    last = 0
    try:
        for _ in range(500):
            count, mean, p50, p99 = timings.service()
            assert count >= last
            last = count
            assert (mean, p50, p99) == (
                (0.0,) * 3 if not count else pytest.approx((1e-3,) * 3, rel=0.13)
            )
            assert Timings.merge([timings]).service()[0] >= count
    finally:
        over.set()
        writing.result()
