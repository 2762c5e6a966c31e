"""The suite `chain`: what a chain costs, and what it makes of cores and memory.

Owns the list of its works. It must not do any of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import cores, memory, passing, starting

if TYPE_CHECKING:
    from bench.work import Work

__all__ = ["STREAMS", "WORKS"]

STREAMS: tuple[Work, ...] = memory.WORKS[:1]
"""Those whose length can be chosen."""

WORKS: tuple[Work, ...] = (*passing.WORKS, *cores.WORKS, *starting.WORKS, *memory.WORKS)
