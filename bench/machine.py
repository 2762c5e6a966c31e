"""What the figures depend on: the build, the versions, the size of the machine.

Owns the facts, none of which names the machine. It must not know any work.
"""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from typing import Any

from bench.entrants import versions
from bench.work import free_threaded

__all__ = ["build", "cores", "machine", "summary"]

_GIB = 1 << 30


def build() -> str:
    """Return which kind of interpreter this is, whatever the GIL does now."""
    return "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "GIL"


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB)
    except (AttributeError, ValueError, OSError):  # not on every system
        return None


def machine() -> dict[str, Any]:
    """Return it all, as values that JSON can hold."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "build": build(),
        "free_threaded": free_threaded(),
        "gil": not free_threaded(),
        "cores": cores(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.machine()}".strip(),
        "switch_interval_ms": sys.getswitchinterval() * 1000,
        "versions": versions(),
    }


def summary(about: dict[str, Any]) -> str:
    """Return the facts of `machine` in a line."""
    memory = "" if about["memory_gib"] is None else f"{about['memory_gib']} GiB, "
    return (
        f"{about['implementation']} {about['python']} "
        f"{'with' if about['gil'] else 'without'} the GIL, "
        f"{about['cores']} cores, {memory}{about['system']}, "
        f"switch interval {about['switch_interval_ms']:g} ms"
    )
