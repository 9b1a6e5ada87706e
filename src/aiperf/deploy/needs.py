"""A load and the number of its processes → what they need: CPU, memory, files, ports.

Owns: how needs follow from costs, and how many processes their CPUs are for. Does not own: how many there are in the
end and what is asked for them (`local_size`, `kubernetes.sizing`), what a machine has (`machine_room`). Pure.

Whatever grows in a load, no need becomes smaller.
"""

import math
from dataclasses import dataclass

import msgspec

from aiperf.deploy.costs import (
    BUSY_FRACTION,
    CONTROL,
    CONTROL_BYTES_PER_WORKER,
    CONTROL_CPUS_PER_WORKER,
    CONTROL_WORK_BYTES,
    KERNEL_CONNECTION_BYTES,
    PLAIN_CONNECTION_BYTES,
    PROCESS_BYTES,
    PROCESSOR,
    PROCESSOR_STREAM_BYTES,
    PROCESSOR_WORK_BYTES,
    ROW_BYTES,
    SPREAD_GATHER_S,
    TIME_WAIT_S,
    TLS_CONNECTION_BYTES,
    WORKER,
)
from aiperf.deploy.planned_load import PlannedLoad
from aiperf.endpoint.local_ports import heaviest
from aiperf.endpoint.tempo import gather_interval_ns
from aiperf.metrics.service_cost import ServiceCost
from aiperf.service.machine import FILES_KEPT_BACK
from aiperf.units import NS_PER_S, ns_from_s


@dataclass(frozen=True, slots=True)
class Needs:
    """Of a load on so many processes. CPUs are None where the pace is the service's alone."""

    workers: int
    processors: int
    connections_per_worker: int
    """The largest share."""
    worker_cpus: float | None
    """Of all of them together, as are all CPUs here."""
    processor_cpus: float | None
    control_cpus: float | None
    worker_bytes: int
    """Of one process at the most, as are all sizes here but the kernel's."""
    processor_bytes: int
    control_bytes: int
    kernel_bytes: int
    """Sockets of all connections."""
    files_per_worker: int
    ports_per_server: int
    """Local ports, towards the host and port of the service that most requests are dealt to."""
    ports: int
    """Local ports towards all of the service."""

    @property
    def cpus(self) -> float | None:
        parts = (self.worker_cpus, self.processor_cpus, self.control_cpus)
        return None if None in parts else sum(part or 0.0 for part in parts)


def needs(load: PlannedLoad, workers: int, processors: int) -> Needs:
    """What these processes need for the load, spread evenly over them."""
    share, requests_per_s, chunks_per_s = (
        math.ceil(load.connections / workers),
        load.requests_per_s,
        load.chunks_per_s,
    )
    worker_cpus = processor_cpus = control_cpus = None
    if requests_per_s is not None and chunks_per_s is not None:
        worker_cpus = worker_cost(load).cpus(requests_per_s, chunks_per_s, workers)
        processor_cpus = processor_cost(load).cpus(requests_per_s, chunks_per_s, processors)
        control_cpus = control_cost(load).cpus(requests_per_s, chunks_per_s, 1) + CONTROL_CPUS_PER_WORKER * workers
    return Needs(
        workers=workers,
        processors=processors,
        connections_per_worker=share,
        worker_cpus=worker_cpus,
        processor_cpus=processor_cpus,
        control_cpus=control_cpus,
        worker_bytes=PROCESS_BYTES + share * connection_bytes(load.tls),
        processor_bytes=processor_bytes(load, processors),
        control_bytes=PROCESS_BYTES
        + CONTROL_WORK_BYTES
        + CONTROL_BYTES_PER_WORKER * workers
        + ROW_BYTES * load.requests,
        kernel_bytes=KERNEL_CONNECTION_BYTES * load.connections,
        files_per_worker=share + FILES_KEPT_BACK,
        ports_per_server=ports_per_server(load),
        ports=_ports(load),
    )


def worker_cost(load: PlannedLoad) -> ServiceCost:
    """Of a worker at this load. It wakes up the more often the less comes together; sockets of slow streams are looked
    at by time."""
    at_a_rate = load.rate_asked_rps is not None
    gather_s = SPREAD_GATHER_S if at_a_rate else WORKER.gather_s
    if load.request_s is not None and load.gap_s is not None:
        by_time_s = gather_interval_ns(ns_from_s(load.request_s), ns_from_s(load.gap_s)) / NS_PER_S
        gather_s = max(gather_s, by_time_s)
    cost = msgspec.structs.replace(WORKER, gather_s=gather_s, wakes_for_requests=at_a_rate)
    return cost.scaled(load.cpu_factors.worker)


def processor_cost(load: PlannedLoad) -> ServiceCost:
    """Of a record processor."""
    return PROCESSOR.scaled(load.cpu_factors.record_processor)


def control_cost(load: PlannedLoad) -> ServiceCost:
    """Of all services that there are once."""
    return CONTROL.scaled(load.cpu_factors.control)


def connection_bytes(tls: bool) -> int:
    """In the worker, of one connection."""
    return TLS_CONNECTION_BYTES if tls else PLAIN_CONNECTION_BYTES


def processor_bytes(load: PlannedLoad, processors: int) -> int:
    """Of one record processor."""
    return math.ceil(PROCESS_BYTES + PROCESSOR_WORK_BYTES + PROCESSOR_STREAM_BYTES * load.connections / processors)


def worker_load_cpus(load: PlannedLoad) -> float:
    """Of requests and chunks alone in all workers; 0 where the pace is not known."""
    return worker_cost(load).load_cpus(load.requests_per_s or 0.0, load.chunks_per_s or 0.0)


def processor_load_cpus(load: PlannedLoad) -> float:
    """The same in all record processors."""
    return processor_cost(load).load_cpus(load.requests_per_s or 0.0, load.chunks_per_s or 0.0)


def workers_for_cpus(load: PlannedLoad) -> int:
    """How many workers keep their cores below what makes them late. At least 1."""
    return max(1, math.ceil(worker_load_cpus(load) / BUSY_FRACTION))


def processors_for_cpus(load: PlannedLoad) -> int:
    """The same of record processors."""
    return max(1, math.ceil(processor_load_cpus(load) / BUSY_FRACTION))


def ports_per_server(load: PlannedLoad) -> int:
    """Ports of this side that are taken at once towards the host and port that most requests are dealt to.

    With a connection for each request, those that were closed a moment ago count too, if this side closes first.
    """
    if not load.servers:
        return _ports(load)
    return math.ceil(heaviest([(server,) for server in load.servers], _ports(load)).connections)


def _ports(load: PlannedLoad) -> int:
    closed = math.ceil(TIME_WAIT_S * (load.requests_per_s or 0.0)) if load.opens_each else 0
    return load.connections + closed
