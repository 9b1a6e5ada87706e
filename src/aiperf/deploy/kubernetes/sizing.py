"""How many pods, and how much of the cluster each asks for.

Owns: plan → numbers of workers and record processors, requests and limits of each component. Does not own: what things
cost (`aiperf.deploy.costs`), whether the cluster has so much (preflight), how sizes are written
(`aiperf.plan.quantities`).

Requests are what a scheduler must set aside, so they are small: a run that asks for what it might need at worst does
not start on the clusters that people have. What a worker needs above that it takes from what is idle, for it has no CPU
limit: a limit throttles in slices of 100 ms, in the middle of what is being timed. CPU is asked for by what requests
and chunks cost; what a process costs without them, and its waking up for few of them, is in the least that is asked.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aiperf.deploy.costs import (
    CONTROL_BYTES_PER_WORKER,
    CONTROL_CPUS_PER_WORKER,
    PROCESS_BYTES,
    ROW_BYTES,
)
from aiperf.deploy.kubernetes.names import Component
from aiperf.deploy.layouts import calibration_server_count
from aiperf.deploy.local_size import processor_count
from aiperf.deploy.needs import (
    connection_bytes,
    processor_bytes,
    processor_load_cpus,
    processors_for_cpus,
    worker_load_cpus,
    workers_for_cpus,
)
from aiperf.deploy.planned_load import PlannedLoad, planned_load
from aiperf.errors import PlanError, Problem
from aiperf.plan.kubernetes import KubernetesPlan
from aiperf.plan.plan import Plan
from aiperf.plan.quantities import GIB, MIB, memory_bytes, millicores
from aiperf.schedule.calibration import calibration_of
from aiperf.schedule.phases import PhasePlan

WORKER_BYTES = 256 * MIB
"""What the connections of a worker should not exceed, unless told otherwise."""

CONNECTIONS_PER_WORKER_MAX = 10_000
"""Half of a usual limit of open files in pods; and one core carries ten chunks a second on each."""
HEADROOM = 1.5
WORKERS_MAX = 2_000
"""The most that was tried. A mistyped concurrency must not create pods by thousands."""

WORKER_MILLICORES_MIN = 75
PROCESSOR_MILLICORES_MIN = 25
PROCESSOR_MILLICORES_LIMIT = 1_000
"""Twice what one saturated worker's slices take: a start at half a core held back the whole run by a second."""
DEMANDED_MILLICORES_LIMIT = 1_000
"""Where a quota wants a CPU limit of everyone."""

_SINGLETONS: Mapping[Component, tuple[int, int]] = {
    Component.CONTROLLER: (50, 80),
    Component.WORKER_MANAGER: (25, 80),
    Component.DATASET_MANAGER: (50, 128),
    Component.TIMING_MANAGER: (50, 80),
    Component.RECORDS_MANAGER: (50, 160),
}
"""Millicores and MiB of each in a pod of its own, for a small run."""
_COMPACT_CONTROLLER = (200, 256)


@dataclass(frozen=True, slots=True)
class Resources:
    """Of one container."""

    cpu_millicores: int
    memory_bytes: int
    memory_limit_bytes: int
    cpu_limit_millicores: int | None = None


_CALIBRATION_SERVER = Resources(250, 128 * MIB, GIB)
"""It takes a core while a calibration goes on, if one is idle, and leaves before the load."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """Of a whole run."""

    load: PlannedLoad
    topology: str
    workers: int
    processors: int
    resources: Mapping[Component, Resources]
    """Of one container of each component there is."""
    connections_per_worker: int
    """The largest share of the planned concurrency."""
    chunks_per_s: int | None
    """Planned for the whole run; None where the pace is the server's alone."""

    calibration_servers: int = 0

    def count(self, component: Component) -> int:
        """How many containers of a component there are."""
        counts = {
            Component.WORKER: self.workers,
            Component.RECORD_PROCESSOR: self.processors,
            Component.CALIBRATION_SERVER: self.calibration_servers,
        }
        return counts.get(component, 1)

    @property
    def pods(self) -> int:
        sidecars = self.processors if self.topology == "compact" else 0
        return sum(self.count(component) for component in self.resources) - sidecars

    @property
    def cpu_millicores(self) -> int:
        """Asked for by all pods together."""
        return sum(self.count(component) * each.cpu_millicores for component, each in self.resources.items())

    @property
    def memory_bytes(self) -> int:
        """Asked for by all pods together."""
        return sum(self.count(component) * each.memory_bytes for component, each in self.resources.items())

    @property
    def memory_limit_bytes(self) -> int:
        return sum(self.count(component) * each.memory_limit_bytes for component, each in self.resources.items())


def size_run(plan: Plan, phases: Sequence[PhasePlan], *, cpu_limits_demanded: bool = False) -> Sizing:
    """Numbers and sizes of a run's containers.

    `cpu_limits_demanded`: a quota of the namespace refuses pods without CPU limits. Raises: PlanError.
    """
    load = planned_load(plan, phases)
    workers = pod_worker_count(plan, load)
    processors = _processor_count(plan, load, workers)
    servers = calibration_server_count(workers) if calibration_of(plan) else 0
    measured = {
        **({Component.CALIBRATION_SERVER: _CALIBRATION_SERVER} if servers else {}),
        Component.WORKER: _worker(load, workers),
        Component.RECORD_PROCESSOR: _processor(load, processors),
        **_control(plan.kubernetes.topology, load, workers),
    }
    resources = {component: _as_told(component, each, plan.kubernetes) for component, each in measured.items()}
    if cpu_limits_demanded:
        resources = {component: _limited(each) for component, each in resources.items()}
    return Sizing(
        load=load,
        topology=plan.kubernetes.topology,
        workers=workers,
        processors=processors,
        resources=resources,
        calibration_servers=servers,
        connections_per_worker=math.ceil(load.connections / workers),
        chunks_per_s=None if load.chunks_per_s is None else math.ceil(load.chunks_per_s),
    )


def pod_worker_count(plan: Plan, load: PlannedLoad) -> int:
    """The fewest workers that carry the load: a cap split over many waits longer than one pool.

    Raises: PlanError if that is more than was ever tried, or fewer than `--min-workers`.
    """
    services, fewest = plan.services, plan.kubernetes.min_workers
    per_worker = services.connections_per_worker or connections_per_worker(load.tls)
    wanted = max(math.ceil(load.connections / per_worker), workers_for_cpus(load))
    count = min(wanted, services.workers_max or wanted)
    if count > WORKERS_MAX:
        what = f"{load.connections:,} connections need {count:,} worker pods, and at most {WORKERS_MAX:,} are made"
        raise PlanError(Problem(what, "--kubernetes", "Lower the load, or raise --connections-per-worker."))
    if fewest is not None and fewest > count:
        what = f"{fewest} workers are never ready: this load has {count}"
        raise PlanError(Problem(what, "--min-workers", "Lower it, or lower --connections-per-worker."))
    return count


def connections_per_worker(tls: bool) -> int:
    """How many connections a worker carries by default: what its memory holds, up to what a process may open."""
    return min(CONNECTIONS_PER_WORKER_MAX, (WORKER_BYTES - PROCESS_BYTES) // connection_bytes(tls) // 1000 * 1000)


def _processor_count(plan: Plan, load: PlannedLoad, workers: int) -> int:
    if plan.kubernetes.topology == "compact":
        return workers
    return plan.services.record_processors_count or max(processor_count(workers, None), processors_for_cpus(load))


def _worker(load: PlannedLoad, workers: int) -> Resources:
    asked = _round_up(PROCESS_BYTES + HEADROOM * connection_bytes(load.tls) * load.connections / workers, 16 * MIB)
    cpu = max(WORKER_MILLICORES_MIN, _round_up(HEADROOM * 1000 * worker_load_cpus(load) / workers, 25))
    return Resources(cpu, asked, 2 * asked + 128 * MIB)


def _processor(load: PlannedLoad, processors: int) -> Resources:
    asked = _round_up(processor_bytes(load, processors), 16 * MIB)
    cpu = max(PROCESSOR_MILLICORES_MIN, _round_up(HEADROOM * 1000 * processor_load_cpus(load) / processors, 25))
    return Resources(cpu, asked, asked + 512 * MIB, max(PROCESSOR_MILLICORES_LIMIT, 2 * cpu))


def _control(topology: str, load: PlannedLoad, workers: int) -> dict[Component, Resources]:
    """The services there are once: one container in the compact topology, else one for each."""
    table = {Component.CONTROLLER: _COMPACT_CONTROLLER} if topology == "compact" else _SINGLETONS
    rows_bytes = ROW_BYTES * load.requests
    keeper = Component.CONTROLLER if topology == "compact" else Component.RECORDS_MANAGER
    sized = {}
    for component, (cores, mebibytes) in table.items():
        cpu = cores + _round_up(1000 * CONTROL_CPUS_PER_WORKER * workers / len(table), 25)
        asked = mebibytes * MIB + _round_up(CONTROL_BYTES_PER_WORKER * (workers - 1), 16 * MIB)
        limit = asked + (_round_up(GIB + rows_bytes, 64 * MIB) if component is keeper else 512 * MIB)
        sized[component] = Resources(cpu if workers > 1 else cores, asked, limit)
    return sized


def _as_told(component: Component, each: Resources, cluster: KubernetesPlan) -> Resources:
    """With the user's sizes instead of ours: they need no reason."""
    name = component.value.replace("-", "_")
    cpu, memory = getattr(cluster, f"{name}_cpu"), getattr(cluster, f"{name}_memory")
    if cpu is not None:
        limit = None if each.cpu_limit_millicores is None else max(each.cpu_limit_millicores, 2 * millicores(cpu))
        each = replace(each, cpu_millicores=millicores(cpu), cpu_limit_millicores=limit)
    if memory is not None:
        each = replace(each, memory_bytes=memory_bytes(memory), memory_limit_bytes=memory_bytes(memory))
    return each


def _limited(each: Resources) -> Resources:
    limit = each.cpu_limit_millicores or max(DEMANDED_MILLICORES_LIMIT, 2 * each.cpu_millicores)
    return replace(each, cpu_limit_millicores=limit)


def _round_up(amount: float, step: int) -> int:
    return math.ceil(amount / step) * step
