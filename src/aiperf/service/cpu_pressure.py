"""How much the CPUs were kept from this process: by its cgroup's limit, and by others that wanted them too.

Owns: reading what the kernel counts, and the difference since the load began. Does not own: the limits themselves
(`machine`), what the numbers mean for a run (`aiperf.metrics.verdict`).

Read when the measured phase begins and when the worker hands over its account; never on the timing path.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from aiperf.service.machine import cgroup_folders
from aiperf.units import NS_PER_MS

NS_PER_US = 1_000


class CpuPressure(NamedTuple):
    """Counted since the process, or its cgroup, began. What a kernel does not tell is 0."""

    throttled_count: int = 0
    """Enforcement periods in which the cgroup had used up its quota."""
    throttled_ns: int = 0
    """For so long it was held back then, summed over CPUs."""
    run_queue_delay_ns: int = 0
    """For so long the process's main thread was ready and waited for a CPU."""
    machine_pressure_ns: int = 0
    """For so long somebody on the machine waited for a CPU."""
    cgroup_pressure_ns: int = 0
    """For so long somebody in the process's cgroup did; 0 also where cgroups do not tell (version 1)."""

    def since(self, earlier: "CpuPressure") -> "CpuPressure":
        return CpuPressure(*(max(0, now - then) for now, then in zip(self, earlier, strict=True)))

    def observations(self) -> dict[str, float]:
        """By name with unit."""
        return {
            "throttled_count": self.throttled_count,
            "throttled_ms": self.throttled_ns / NS_PER_MS,
            "run_queue_delay_ms": self.run_queue_delay_ns / NS_PER_MS,
            "machine_cpu_pressure_ms": self.machine_pressure_ns / NS_PER_MS,
            "cgroup_cpu_pressure_ms": self.cgroup_pressure_ns / NS_PER_MS,
        }


def read_cpu_pressure(
    cgroups: Iterable[Path] | None = None,
    schedstat: Path = Path("/proc/self/schedstat"),
    machine: Path = Path("/proc/pressure/cpu"),
) -> CpuPressure:
    """What the kernel has counted so far.

    A limit may stand at any level of the hierarchy; what counts is the level that held back the longest.

    Source: Linux Documentation/admin-guide/cgroup-v2.rst (`cpu.stat`), scheduler/sched-bwc.rst (v1: `throttled_time` in
    ns), scheduler/sched-stats.rst (`/proc/<pid>/schedstat`: second field, ns), accounting/psi.rst (`total=` in µs).
    """
    folders = list(cgroup_folders("cpu") if cgroups is None else cgroups)
    throttled_ns, throttled_count = max((_throttling(folder / "cpu.stat") for folder in folders), default=(0, 0))
    return CpuPressure(
        throttled_count,
        throttled_ns,
        _run_queue_delay_ns(schedstat),
        _some_pressure_ns(machine),
        max((_some_pressure_ns(folder / "cpu.pressure") for folder in folders[:1]), default=0),
    )


def _throttling(path: Path) -> tuple[int, int]:
    """For how long, and how often."""
    try:
        values = {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}
    except (OSError, ValueError):
        return 0, 0
    throttled_ns = values.get("throttled_time", values.get("throttled_usec", 0) * NS_PER_US)
    return throttled_ns, values.get("nr_throttled", 0)


def _run_queue_delay_ns(path: Path) -> int:
    try:
        return int(path.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _some_pressure_ns(path: Path) -> int:
    try:
        some = path.read_text().partition("\n")[0]
        return int(some.rpartition("total=")[2]) * NS_PER_US if some.startswith("some ") else 0
    except (OSError, ValueError):
        return 0
