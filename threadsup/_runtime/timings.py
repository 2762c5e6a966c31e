"""How long the messages of one worker take, and how long they waited before.

Owns the histograms of service and queue time and the share of processor time. It must
not know what is timed, nor any clock: it is given seconds.

Cheap, because it stands beside the path of every message: one writer, the worker's own
thread, which takes no lock and no logarithm; and who is fast is timed only now and then
(`stride`), each sample with the weight of the messages it stands for. Readers, on any
thread, read the sum first and the buckets then, the writer writes them the other way
round: so a reader never finds a sum whose samples are in no bucket.
"""

from __future__ import annotations

from math import ceil, frexp
from typing import TYPE_CHECKING, Final, TypeAlias, final

if TYPE_CHECKING:
    from collections.abc import Iterable

    Summary: TypeAlias = tuple[int, float, float, float]
    """How many, and in seconds: their mean, the median, the 99th percentile."""

__all__ = ["Histogram", "Timings"]

_FIRST: Final = -23
"""The exponent, as `frexp` gives it, of the first buckets: from 60 ns on."""
_LAST: Final = 17
"""That of the last: up to 36 hours."""
_PER_POWER: Final = 4
"""Buckets for each power of two: a percentile is an eighth off at most."""
_LOWEST: Final = 2.0 ** (_FIRST - 1)
_HIGHEST: Final = 2.0**_LAST
_BUCKETS: Final = (_LAST - _FIRST + 1) * _PER_POWER

_WORTH_TIMING: Final = 50e-6
"""From this many seconds on every message is timed: the timing is lost in them."""
_SPACING: Final = 500e-6
"""About how many seconds of work are between two messages that are timed, where they
take less: timing one takes some microseconds, so this is a percent."""
_SPARSEST: Final = 1024
"""At least one message in so many is timed."""
_RECENT: Final = 1.0
"""About how many seconds of work the share of processor time is taken over."""


@final
class Histogram:
    """Weighted durations in buckets that grow with them; one writer, many readers."""

    __slots__ = ("_buckets", "_sum")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self._sum = (0, 0.0)
        """Weights and weighted seconds, which change together: replaced, not changed."""

    def add(self, seconds: float, weight: int = 1) -> None:
        """Count a duration `weight` times. For the one writer."""
        if not seconds >= _LOWEST:
            index = 0
        elif seconds >= _HIGHEST:
            index = _BUCKETS - 1
        else:
            mantissa, exponent = frexp(seconds)  # the mantissa is from 0.5 up to 1
            index = (exponent - _FIRST - 1) * _PER_POWER + int(mantissa * (2 * _PER_POWER))
        self._buckets[index] += weight
        count, total = self._sum
        self._sum = (count + weight, total + seconds * weight)

    def fold(self, other: Histogram) -> None:
        """Add what another one has counted. For the one writer."""
        count, total = other._sum
        for index, weight in enumerate(other._buckets.copy()):
            self._buckets[index] += weight
        mine, seconds = self._sum
        self._sum = (mine + count, seconds + total)

    def summary(self) -> Summary:
        """Return how many, their mean, median and 99th percentile; zeros of none."""
        count, total = self._sum
        buckets = self._buckets.copy()
        if not count:
            return (0, 0.0, 0.0, 0.0)
        return (count, total / count, _percentile(buckets, 0.50), _percentile(buckets, 0.99))


def _percentile(buckets: list[int], share: float) -> float:
    """Return the middle of the bucket below or in which `share` of the weight is."""
    rank = max(1, ceil(sum(buckets) * share))
    for index, weight in enumerate(buckets):
        rank -= weight
        if rank <= 0:
            power, part = divmod(index, _PER_POWER)
            return _LOWEST * 2.0**power * (1 + (part + 0.5) / _PER_POWER)
    return 0.0


@final
class Timings:
    """Service and queue time of one replica, through all its incarnations."""

    __slots__ = ("_chance", "_queue", "_recent", "_service", "queued", "sampled")

    def __init__(self) -> None:
        self._service = Histogram()
        self._queue = Histogram()
        self.sampled = self._service.add
        """`sampled(took, weight)`: a message took so many seconds, one of `weight`."""
        self.queued = self._queue.add
        """`queued(waited, weight)`: a message waited so many seconds, one of `weight`."""
        self._recent = (0.0, 0.0)
        """Seconds on the processor and seconds of work, of late."""
        self._chance = 1

    # -- the worker's ---------------------------------------------------------------

    def spent(self, cpu: float, busy: float) -> None:
        """Note `busy` seconds of work, `cpu` of them on the processor."""
        on, worked = self._recent
        if worked >= _RECENT:  # what was long ago says little of what is now
            on, worked = on / 2, worked / 2
        self._recent = (on + cpu, worked + busy)

    def stride(self, took: float) -> int:
        """Return how many messages on the next one is to be timed: 1 to 1,024.

        One that took long: the next one. The quicker, the rarer, so that timing costs
        a few percent at most. Not always the same: of messages that alternate each
        kind has its turn.
        """
        if took >= _WORTH_TIMING:
            return 1
        widest = _SPARSEST
        if took * _SPARSEST > _SPACING:
            widest = round(_SPACING / took)
        self._chance = self._chance * 1_103_515_245 + 12_345 & 0x7FFF_FFFF
        return widest - (self._chance >> 16) % (widest // 2 + 1)

    # -- anybody's ------------------------------------------------------------------

    def service(self) -> Summary:
        """Return count, mean, p50 and p99 of the seconds that messages took."""
        return self._service.summary()

    def queue(self) -> Summary:
        """Return count, mean, p50 and p99 of the seconds that messages waited."""
        return self._queue.summary()

    def cpu_share(self) -> float | None:
        """Return how much of its recent work was on the processor; `None`: not known."""
        on, worked = self._recent
        return min(1.0, on / worked) if worked > 0 else None

    @classmethod
    def merge(cls, parts: Iterable[Timings]) -> Timings:
        """Return new timings with all that `parts` have counted until now."""
        merged = cls()
        for part in parts:
            merged._fold(part)
        return merged

    def _fold(self, other: Timings) -> None:
        self._service.fold(other._service)
        self._queue.fold(other._queue)
        cpu, busy = other._recent
        on, worked = self._recent
        self._recent = (on + cpu, worked + busy)
