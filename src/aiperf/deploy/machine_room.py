"""What this machine has room for, as far as a load could run out of it.

Owns: reading memory and connection tracking. Does not own: CPUs and open files (`aiperf.service.machine`), ports
(`aiperf.endpoint.local_ports`), what a load needs (`needs`), the judgement (`local_plan`).
"""

from dataclasses import dataclass
from pathlib import Path

from aiperf.endpoint.local_ports import usable_ports
from aiperf.service.machine import Machine, cgroup_folders, this_machine


@dataclass(frozen=True, slots=True)
class MachineRoom:
    """None: this system does not tell."""

    machine: Machine
    ports: int
    """Of one local address, towards one address and port."""
    memory_bytes: int | None
    """That could be had now without swapping, within the limit of the cgroup."""
    tracked_max: int | None = None
    """Connections that the kernel still can track; None where it tracks none."""


def this_room(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> MachineRoom:
    """As this process finds it."""
    sysctl = proc / "sys/net"
    return MachineRoom(
        machine=this_machine(),
        ports=usable_ports(sysctl / "ipv4/ip_local_port_range", sysctl / "ipv4/ip_local_reserved_ports"),
        memory_bytes=_memory_bytes(proc, cgroup),
        tracked_max=_tracked_max(sysctl / "netfilter"),
    )


def _memory_bytes(proc: Path, cgroup: Path) -> int | None:
    for line in _text(proc / "meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
            break
    else:
        return None
    folders = [cgroup, *cgroup_folders("memory", cgroup, proc / "self/cgroup")]
    left = [room for folder in folders if (room := _room_bytes(folder)) is not None]
    return min([available, *left])


def _room_bytes(folder: Path) -> int | None:
    """What a cgroup still may take, None without a limit. Files that were not read lately are given back at need.

    Source: Linux Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files"; cgroup-v1/memory.rst.
    """
    for limit_file, used_file, idle in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used = _text(folder / limit_file).strip(), _text(folder / used_file).strip()
        if limit.isdecimal() and used.isdecimal():
            stat = dict(line.split(maxsplit=1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
            return max(0, int(limit) - int(used) + int(stat.get(idle, 0)))
    return None


def _tracked_max(folder: Path) -> int | None:
    """A table that is empty tracks nothing: no rule asks for it."""
    most, now = _text(folder / "nf_conntrack_max").strip(), _text(folder / "nf_conntrack_count").strip()
    if not most.isdecimal() or not now.isdecimal() or int(now) == 0:
        return None
    return max(0, int(most) - int(now))


def _text(path: Path) -> str:
    """Empty where there is no such file."""
    try:
        return path.read_text()
    except OSError:
        return ""
