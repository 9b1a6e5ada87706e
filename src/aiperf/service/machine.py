"""What this machine gives to this process: CPUs and open files, as limited by affinity, cgroup and ulimit; its name.

Owns: reading those. Does not own: how many services that makes (`aiperf.deploy.layouts`).
"""

import math
import os
import resource
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FILES_KEPT_BACK = 100
"""Descriptors a worker needs besides its connections: sockets of the wire, log, dataset, and some slack."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Limits that hold for one process and its children."""

    cpu_count: int
    open_files: int
    """Per process."""


def this_machine() -> Machine:
    """The limits found here. The soft limit of open files is raised to the hard one first: that needs no right."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard and hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    files = soft if soft != resource.RLIM_INFINITY else 1_000_000
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cpu_quota(cgroup_folders("cpu"))
    return Machine(max(1, min(cpus, math.ceil(quota)) if quota is not None else cpus), files)


def connections_max(machine: Machine) -> int:
    """How many connections one process can hold."""
    return max(1, machine.open_files - FILES_KEPT_BACK)


def cgroup_folders(
    controller: str, root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> Iterator[Path]:
    """The folders that tell of this process's `cpu` or `memory`, its own cgroup's and those above it. Some may not be
    there."""
    try:
        entries = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in entries:
        if controllers == "":
            top = root
        elif controller in controllers.split(","):
            top = root / controllers
        else:
            continue
        folder = top / path.lstrip("/")
        yield from (level for level in (folder, *folder.parents) if level.is_relative_to(top))


def _cgroup_cpu_quota(folders: Iterable[Path]) -> float | None:
    """CPUs that this process's cgroup may use, None without a limit.

    Source: Linux Documentation/admin-guide/cgroup-v2.rst (`cpu.max`), cgroup-v1 `cpu.cfs_quota_us`.
    """
    quotas = [
        quota
        for folder in folders
        for files in ((folder / "cpu.max",), (folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"))
        if (quota := _ratio(*files)) is not None
    ]
    return min(quotas, default=None)


def _ratio(*files: Path) -> float | None:
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
    except (OSError, ValueError):
        return None
    if quota in ("max", "-1"):
        return None
    return int(quota) / int(period)


def whereabouts() -> tuple[str, str]:
    """Names of the host (in a cluster the pod's) and of the machine (the node's): as the deployment tells them."""
    name = socket.gethostname()
    return os.environ.get("POD_NAME") or name, os.environ.get("NODE_NAME") or name
