"""The suite `chain`: what a chain costs, in time and in memory.

Owns the list of its works. It must not do any of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import memory, passing, replicas

if TYPE_CHECKING:
    from bench.work import Work

__all__ = ["STREAMS", "WORKS"]

STREAMS: tuple[Work, ...] = memory.WORKS[:1]
"""Those whose length can be chosen."""

WORKS: tuple[Work, ...] = (*passing.WORKS, *replicas.WORKS, *memory.WORKS)
