"""What this machine lets a process have: cores, threads, memory.

Owns where Linux says so: `/proc`, the control groups of both generations, the limits of
the process. It must not know what is enough.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

if sys.platform == "win32":
    resource = None
else:
    import resource

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cores", "Machine", "Room"]

WORKER_MEMORY = {True: 40 * 1024, False: 96 * 1024}
"""Bytes of an idle worker, by whether there is a GIL: measured, what the kernel keeps of
a thread added. One that has worked needs more."""

MAPS = 2
"""Mappings of a thread: its stack, and the page that guards it."""

ARENAS = 8 * 64 * 1024 * 1024
"""Bytes of addresses that glibc's allocator comes to reserve per core, for threads."""

STACK = 2 * 1024 * 1024
"""Bytes of a stack where the limit for stacks is none."""

ALL_USERS = "0 0 4294967295"
"""The map of users of a process in no user name space."""

MAY_EXCEED = 1 << 21 | 1 << 24
"""CAP_SYS_ADMIN, CAP_SYS_RESOURCE: the kernel asks them for no count of threads."""

NO_LIMIT = 1 << 60
"""What control groups of the first generation write for no limit is above this."""


@final
@dataclass(frozen=True, slots=True)
class Room:
    """Something that threads use up."""

    name: str
    unit: str
    """`"threads"`, `"maps"` or `"bytes"`."""
    limit: int | None
    """`None`: without limit."""
    used: int
    each: int
    """What one more thread takes."""
    remedy: str = ""

    @property
    def threads(self) -> int | None:
        """How many more threads there is room for; `None`: any number."""
        if self.limit is None:
            return None
        return max(0, self.limit - self.used) // self.each


@final
@dataclass(frozen=True, slots=True)
class Cores:
    """Processors."""

    present: int
    usable: int
    """Those that this process may run on."""
    quota: float | None
    """How many of them its control group may keep busy; `None`: all."""


@final
class Machine:
    """Reads the machine anew with each call.

    Args:
        root: Where its files are.
        gil: Whether the interpreter has a GIL, which decides what a worker takes.
    """

    def __init__(self, root: Path = Path("/"), *, gil: bool = True) -> None:
        self._proc = root / "proc"
        self._groups = root / "sys/fs/cgroup"
        self._memory = WORKER_MEMORY[gil]

    def cores(self) -> Cores:
        """Return the processors there are, and those that may be used."""
        present = os.cpu_count() or 1
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else present
        return Cores(present, usable, self._quota())

    def stack(self) -> int:
        """Return the bytes of a thread's stack."""
        soft = threading.stack_size() or _soft("RLIMIT_STACK")
        return STACK if soft is None else soft

    def rooms(self) -> list[Room]:
        """Return everything known that threads use up; nothing where that is not known."""
        if not (self._proc / "self/status").exists():
            return []
        return [
            self._of_the_user(),
            *self._of_groups("pids", "pids.max", "pids.max", "pids.current"),
            *self._of_the_kernel(),
            *self._of_memory(),
        ]

    # -- threads --------------------------------------------------------------------

    def _of_the_user(self) -> Room:
        limit = None if self._is_exempt() else _soft("RLIMIT_NPROC")
        remedy = "ulimit -u, or nproc in /etc/security/limits.conf"
        return Room("threads of this user", "threads", limit, self._user_threads(), 1, remedy)

    def _is_exempt(self) -> bool:
        status = self._table("self/status", ":")
        if int(status.get("CapEff", "0"), 16) & MAY_EXCEED:
            return True
        everybody = " ".join(self._text(self._proc / "self/uid_map").split()) == ALL_USERS
        return everybody and status.get("Uid", "1").split()[0] == "0"

    def _user_threads(self) -> int:
        me = self._table("self/status", ":").get("Uid", "").split()[:1]
        count = 0
        for entry in self._proc.iterdir():
            if entry.name.isdigit():
                status = self._table(f"{entry.name}/status", ":")
                if status.get("Uid", "").split()[:1] == me:
                    count += int(status.get("Threads", "0"))
        return count

    def _of_the_kernel(self) -> Iterator[Room]:
        # The fourth word is "running/all".
        words = self._text(self._proc / "loadavg").split()
        used = int(words[3].partition("/")[2]) if len(words) > 3 else 0  # noqa: PLR2004
        for name in ("threads-max", "pid_max"):
            if limit := self._number(self._proc / "sys/kernel" / name):
                remedy = f"sysctl kernel.{name}"
                yield Room(f"threads of the machine, {name}", "threads", limit, used, 1, remedy)
        if limit := self._number(self._proc / "sys/vm/max_map_count"):
            used = self._text(self._proc / "self/maps").count("\n")
            yield Room("mappings", "maps", limit, used, MAPS, "sysctl vm.max_map_count")

    # -- memory ---------------------------------------------------------------------

    def _of_memory(self) -> Iterator[Room]:
        memory = self._table("meminfo", ":")
        sizes = {name: int(text.split()[0]) * 1024 for name, text in memory.items() if text}
        if "MemAvailable" in sizes:
            yield Room("memory", "bytes", sizes["MemAvailable"], 0, self._memory, "more memory")
        of_first = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        for names in (("memory.max", "memory.current"), of_first):
            yield from self._of_groups("memory", names[0], *names)
        stack = self.stack()
        limit = _soft("RLIMIT_AS")
        if limit is not None:
            pages = self._text(self._proc / "self/statm").split()
            used = int(pages[0]) * os.sysconf("SC_PAGE_SIZE") if pages else 0
            if platform.libc_ver()[0] == "glibc":
                used += ARENAS * (os.cpu_count() or 1)
            remedy = "ulimit -v, or a smaller threading.stack_size()"
            yield Room("address space", "bytes", limit, used, stack, remedy)
        if self._number(self._proc / "sys/vm/overcommit_memory") == 2:  # noqa: PLR2004 - never
            limit, used = sizes.get("CommitLimit", 0), sizes.get("Committed_AS", 0)
            remedy = "sysctl vm.overcommit_memory, or a smaller threading.stack_size()"
            yield Room("memory that may be promised", "bytes", limit, used, stack, remedy)

    # -- control groups -------------------------------------------------------------

    def _of_groups(self, kind: str, name: str, limit: str, used: str) -> Iterator[Room]:
        """Yield a limit of each group this process is in, from its own up."""
        threads = kind == "pids"
        for folder in self._folders(kind):
            most = self._number(folder / limit)
            if most is None or most > NO_LIMIT:
                continue
            now = self._number(folder / used) or 0
            if not threads:  # what was read from files is given back when it is needed
                stat = self._table(folder / "memory.stat", " ")
                now -= int(stat.get("inactive_file", stat.get("total_inactive_file", "0")))
            each = 1 if threads else self._memory
            unit = "threads" if threads else "bytes"
            title = "threads" if threads else "memory"
            remedy = f"{name} in {folder}; TasksMax= of the unit, --pids-limit of the container"
            if not threads:
                remedy = f"{name} in {folder}; MemoryMax= of the unit, --memory of the container"
            yield Room(f"{title} of the control group", unit, most, now, each, remedy)

    def _quota(self) -> float | None:
        found: list[float] = []
        for folder in self._folders("cpu"):
            words = self._text(folder / "cpu.max").split()
            if not words:
                first = (folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")
                words = [word for path in first for word in self._text(path).split()]
            with suppress(ValueError, IndexError, ZeroDivisionError):
                cores = int(words[0]) / int(words[1])
                found += [cores] if cores > 0 else []
        return min(found, default=None)

    def _folders(self, kind: str) -> Iterator[Path]:
        """Yield the folders of the groups that limit this process in something."""
        for line in self._text(self._proc / "self/cgroup").splitlines():
            _, kinds, path = [*line.split(":", 2), "", ""][:3]
            if kinds and kind not in kinds.split(","):
                continue
            # In a container the path may be one of the host's, which is not here.
            top = self._groups / kinds
            below = top / path.lstrip("/")
            for folder in (below, *below.parents):
                if folder.is_dir():
                    yield folder
                if folder == top:
                    break

    # -- files ----------------------------------------------------------------------

    def _text(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError:  # another kernel, a process that has ended, not ours to read
            return ""

    def _number(self, path: Path) -> int | None:
        text = self._text(path).strip()
        return int(text) if text.isdigit() else None

    def _table(self, path: Path | str, mark: str) -> dict[str, str]:
        lines = (line.partition(mark) for line in self._text(self._proc / path).splitlines())
        return {name: value.strip() for name, _, value in lines}


def _soft(name: str) -> int | None:
    """Return a limit of this process; `None`: without limit, or unknown to the system."""
    number: int | None = getattr(resource, name, None)
    if number is None:
        return None
    soft: int = resource.getrlimit(number)[0]
    return None if soft == resource.RLIM_INFINITY else soft
