"""What a machine lets a process have, read from files of machines of all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from threadsup.cli import machine
from threadsup.cli.machine import Machine, Room

if TYPE_CHECKING:
    from pathlib import Path

STATUS = "Name:\tpython\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nThreads:\t{threads}\nCapEff:\t{caps}\n"
GIB = 1 << 30


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def status(uid: int = 1000, threads: int = 1, caps: str = "0" * 16) -> str:
    return STATUS.format(uid=uid, threads=threads, caps=caps)


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Replace the limits of the process by those of the test: none."""
    made: dict[str, int] = {}
    monkeypatch.setattr(machine, "_soft", made.get)
    return made


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A machine without control groups."""
    return put(
        tmp_path,
        {
            "proc/self/status": status(),
            "proc/self/uid_map": "0 0 4294967295\n",
            "proc/self/maps": "a map\n" * 30,
            "proc/self/statm": "100 50 5 1 0 20 0\n",
            "proc/loadavg": "0.1 0.2 0.3 2/500 4711\n",
            "proc/meminfo": "MemTotal: 4194304 kB\nMemAvailable:    2097152 kB\n"
            "CommitLimit: 1048576 kB\nCommitted_AS: 524288 kB\n",
            "proc/sys/kernel/threads-max": "60000\n",
            "proc/sys/kernel/pid_max": "32768\n",
            "proc/sys/vm/max_map_count": "65530\n",
            "proc/sys/vm/overcommit_memory": "0\n",
            "proc/1/status": status(uid=0, threads=9),
            "proc/20/status": status(threads=7),
            "proc/21/status": status(threads=5),
        },
    )


def rooms(root: Path) -> dict[str, Room]:
    return {room.name: room for room in Machine(root).rooms()}


def test_room_is_what_is_left_in_units_of_a_thread() -> None:
    """What is used is gone, parts of a thread are none, and no limit is any number."""
    assert Room("", "maps", 101, 40, 2).threads == 30
    assert Room("", "maps", 10, 40, 2).threads == 0
    assert Room("", "maps", None, 40, 2).threads is None


def test_threads_of_a_user_are_counted_over_processes(plain: Path, limits: dict[str, int]) -> None:
    """`ulimit -u` is the user's, not the process's: other processes use it up too."""
    limits["RLIMIT_NPROC"] = 100
    room = rooms(plain)["threads of this user"]
    assert (room.limit, room.used, room.threads) == (100, 12, 88)


@pytest.mark.parametrize(
    ("files", "exempt"),
    [
        ({"proc/self/status": status(uid=0)}, True),
        ({"proc/self/status": status(uid=0), "proc/self/uid_map": "0 100000 65536"}, False),
        ({"proc/self/status": status(caps="0000000001000000")}, True),
        ({"proc/self/status": status(caps="0000000000200000")}, True),
        ({"proc/self/status": status(caps="0000000000000001")}, False),
    ],
)
def test_who_may_exceed_has_no_limit(
    plain: Path, limits: dict[str, int], files: dict[str, str], exempt: bool
) -> None:
    """Root is exempt, but not the root of a container with users of its own."""
    limits["RLIMIT_NPROC"] = 100
    room = rooms(put(plain, files))["threads of this user"]
    assert (room.limit is None) == exempt


def test_the_kernels_limits_are_shared_by_all(plain: Path) -> None:
    """Threads of all users count; a thread takes two mappings of its process."""
    found = rooms(plain)
    assert found["threads of the machine, threads-max"].threads == 59_500
    assert found["threads of the machine, pid_max"].threads == 32_268
    assert found["mappings"].threads == 32_750


def test_memory_is_what_is_available(plain: Path) -> None:
    """By what an idle worker takes, which is more without a GIL."""
    assert rooms(plain)["memory"].limit == 2 * GIB
    (free,) = (room for room in Machine(plain, gil=False).rooms() if room.name == "memory")
    assert free.each > rooms(plain)["memory"].each


def test_addresses_count_where_they_are_limited(
    plain: Path, limits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ulimit -v` is used up by the stacks, touched or not, and by an allocator's arenas."""
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    assert "address space" not in rooms(plain)
    limits.update(RLIMIT_AS=GIB, RLIMIT_STACK=8 << 20)
    room = rooms(plain)["address space"]
    assert (room.limit, room.each) == (GIB, 8 << 20)
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert rooms(plain)["address space"].used < room.used


def test_promised_memory_counts_where_promises_are_kept(plain: Path) -> None:
    """With strict overcommit every stack is promised in full."""
    assert "memory that may be promised" not in rooms(plain)
    room = rooms(put(plain, {"proc/sys/vm/overcommit_memory": "2\n"}))[
        "memory that may be promised"
    ]
    assert (room.limit, room.used, room.each) == (GIB, GIB // 2, machine.STACK)


def test_control_groups_of_the_second_generation(plain: Path) -> None:
    """The limits of the group and of those it is in; what was read from files is not used."""
    put(
        plain,
        {
            "proc/self/cgroup": "0::/user/app\n",
            "sys/fs/cgroup/user/app/pids.max": "max\n",
            "sys/fs/cgroup/user/pids.max": "4915\n",
            "sys/fs/cgroup/user/pids.current": "15\n",
            "sys/fs/cgroup/user/app/memory.max": f"{GIB}\n",
            "sys/fs/cgroup/user/app/memory.current": f"{GIB // 2}\n",
            "sys/fs/cgroup/user/app/memory.stat": f"anon 5\ninactive_file {GIB // 4}\n",
            "sys/fs/cgroup/user/app/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/user/cpu.max": "max 100000\n",
        },
    )
    found = rooms(plain)
    assert found["threads of the control group"].threads == 4900
    assert "user; TasksMax=" in found["threads of the control group"].remedy
    assert found["memory of the control group"].used == GIB // 4
    assert Machine(plain).cores().quota == 1.5


def test_control_groups_of_the_first_generation(plain: Path) -> None:
    """In a container the path may be the host's: then the top of what is here counts."""
    put(
        plain,
        {
            "proc/self/cgroup": "8:pids:/docker/abc\n4:memory:/docker/abc\n2:cpu,cpuacct:/\n",
            "sys/fs/cgroup/pids/pids.max": "100\n",
            "sys/fs/cgroup/pids/pids.current": "1\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    found = rooms(plain)
    assert found["threads of the control group"].threads == 99
    assert "memory of the control group" not in found
    assert Machine(plain).cores().quota == 0.5


def test_no_quota_is_none(plain: Path) -> None:
    """`-1` is the first generation's word for any number of cores."""
    put(
        plain,
        {
            "proc/self/cgroup": "2:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert Machine(plain).cores().quota is None


def test_another_system_is_not_guessed_at(tmp_path: Path) -> None:
    """Without `/proc` nothing is known, and nothing is said."""
    assert Machine(tmp_path).rooms() == []
    assert Machine(tmp_path).cores().quota is None


def test_files_that_are_missing_are_no_limits(tmp_path: Path) -> None:
    """A kernel that says less is believed in what it says."""
    put(tmp_path, {"proc/self/status": "Name: python\n"})
    assert set(rooms(tmp_path)) == {"threads of this user"}


def test_the_stack_is_the_interpreters_or_the_systems(
    limits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the program set, else the limit for stacks, else what the C library takes."""
    assert Machine().stack() == machine.STACK
    limits["RLIMIT_STACK"] = 8 << 20
    assert Machine().stack() == 8 << 20
    monkeypatch.setattr("threading.stack_size", lambda: 1 << 20)
    assert Machine().stack() == 1 << 20


def test_this_machine_has_cores() -> None:
    """What may be used is not more than there is."""
    cores = Machine().cores()
    assert 1 <= cores.usable <= cores.present
