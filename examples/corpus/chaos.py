"""Crashes on purpose: when one strikes is decided by a hash, never by the clock.

Owns the decision and the two ways to crash. Whether the n-th attempt on one file
at one place crashes depends on the seed alone, so a run with a seed crashes the
same number of times in whatever order the threads run, and a file that is tried
again is not bound to crash again. It must not know what a stage or a store does.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HIGHEST_RATE", "Chaos", "ChaosError", "quiet_about_chaos"]

HIGHEST_RATE = 0.5
"""Past this most work would fail for good, and the run would show nothing."""

_SAYS = "chaos at"
_RANGE = 2**64
_EXITS = 4  # one crash in so many is a stray `sys.exit()`, which must end nobody else


class ChaosError(RuntimeError):
    """A crash that was asked for."""


class Chaos:
    """Decides which attempts crash, and crashes them.

    Args:
        rate: The share of attempts that crash, 0 to `HIGHEST_RATE`.
        seed: Another seed, other crashes.
    """

    def __init__(self, rate: float = 0.0, seed: int = 0) -> None:
        self.rate = rate
        self.seed = seed
        # One worker has a file in hand at one place at a time, so a key of the first
        # table and of the second has one writer and `+= 1` loses nothing.
        self._attempts: dict[tuple[str, str], int] = {}
        self._crashes: dict[tuple[str, str], int] = {}

    @property
    def crashes(self) -> int:
        """How many attempts were crashed so far."""
        return sum(self._crashes.copy().values())

    def strike(self, place: str, name: str) -> None:
        """Crash, or return: called by a worker with `name` in hand at `place`. Never blocks.

        Raises:
            ChaosError: this attempt crashes.
            SystemExit: so does this one, as a stray `sys.exit()` would make it.
        """
        if not self.rate:
            return
        key = (place, name)
        attempt = self._attempts.get(key, 0) + 1
        self._attempts[key] = attempt
        draw = self._draw(place, name, attempt)
        if draw >= self.rate * _RANGE:
            return
        self._crashes[key] = self._crashes.get(key, 0) + 1
        said = f"{_SAYS} {place}, attempt {attempt} on {name}"
        if draw % _EXITS == 0:
            raise SystemExit(said)
        raise ChaosError(said)

    def strikes(self, place: str, name: str, attempt: int) -> bool:
        """Return whether the `attempt`-th try, counted from 1, on `name` at `place` crashes."""
        return self._draw(place, name, attempt) < self.rate * _RANGE

    def _draw(self, place: str, name: str, attempt: int) -> int:
        text = f"{self.seed}\0{place}\0{name}\0{attempt}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


@contextmanager
def quiet_about_chaos() -> Iterator[None]:
    """Keep the log to crashes nobody asked for, inside the `with` block."""
    logger = logging.getLogger("threadsup")

    def is_news(record: logging.LogRecord) -> bool:
        return _SAYS not in record.getMessage()

    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)
