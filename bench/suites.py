"""What can be asked for by name.

Owns the list of suites; a suite is a name and its works. It must not know what they
measure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import (
    asking,
    broadcasting,
    chain,
    cores,
    crashing,
    hanging,
    idling,
    pooling,
    reading,
    scaling,
    starting,
    tells,
)

if TYPE_CHECKING:
    from bench.work import Work

__all__ = ["SUITES"]

SUITES: dict[str, tuple[Work, ...]] = {
    "tell": tells.WORKS,
    "ask": asking.WORKS,
    "broadcast": broadcasting.WORKS,
    "chain": chain.WORKS,
    "cores": (*cores.WORKS, *scaling.WORKS),
    "pool": pooling.WORKS,
    "start": starting.WORKS,
    "stop": hanging.WORKS,
    "crash": crashing.WORKS,
    "idle": (*idling.WORKS, *reading.WORKS),
}
"""The works of a suite are done in this order. A module adds itself here with one line."""
