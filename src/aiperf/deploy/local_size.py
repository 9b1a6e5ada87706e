"""How many processes carry a load on one machine.

Owns: plan and machine → numbers of workers and record processors, and what makes that impossible. Does not own: what
things cost (`costs`), sizes for a cluster (`kubernetes.sizing`), which process runs what (`layouts`).
"""

import math
from collections.abc import Iterator

from aiperf.deploy.needs import processors_for_cpus, workers_for_cpus
from aiperf.deploy.planned_load import PlannedLoad
from aiperf.errors import PlanError, Problem
from aiperf.plan.plan import ServicesPlan
from aiperf.service.machine import FILES_KEPT_BACK, Machine, connections_max

CONNECTIONS_PER_WORKER = 1_000
"""A worker carries far more; above this a second core shortens the queue of reads at busy moments."""

REQUEST_RATE_PER_WORKER = 5_000
WORKERS_PER_RECORD_PROCESSOR = 4

WORKERS_MAX = PROCESSORS_MAX = 128
"""On one machine. A million connections need some sixty workers; a mistyped number must not start thousands."""


def local_worker_count(load: PlannedLoad, services: ServicesPlan, machine: Machine) -> int:
    """How many workers carry the load.

    Raises: PlanError if `--workers-max` workers cannot hold the asked concurrency within the limit of open files, that
    limit is too low for anything, or more processes are asked for than one machine should have.
    """
    problems = [*worker_problems(load, services, machine), *processor_problems(services)]
    if problems:
        raise PlanError(*problems)
    return workers_wanted(load, services, machine)


def workers_wanted(load: PlannedLoad, services: ServicesPlan, machine: Machine) -> int:
    """How many workers the load gets, whether they can be had or not.

    Few: a cap split over many workers waits longer than one pool.
    """
    connections = load.connections_held
    per_worker = services.connections_per_worker or CONNECTIONS_PER_WORKER
    wanted = max(
        math.ceil(connections / per_worker),
        math.ceil((load.rate_asked_rps or 0.0) / REQUEST_RATE_PER_WORKER),
        workers_for_cpus(load) if load.request_s is not None else 1,
    )
    # A connection limit given by the user is an order; our own is a wish that ends at the number of CPUs.
    most = services.workers_max or (WORKERS_MAX if services.connections_per_worker else machine.cpu_count)
    return max(_workers_for_files(connections, machine), min(wanted, most))


def worker_problems(load: PlannedLoad, services: ServicesPlan, machine: Machine) -> Iterator[Problem]:
    """What makes it impossible to have the workers that the load needs here; at most one problem."""
    if machine.open_files <= FILES_KEPT_BACK:
        yield Problem(
            f"each process may open {machine.open_files:,} files, and a worker needs {FILES_KEPT_BACK} for itself",
            hint="Raise the limit of open files (ulimit -n).",
        )
        return
    connections, most = load.connections_held, services.workers_max
    needed = _workers_for_files(connections, machine)
    if needed > WORKERS_MAX:
        yield Problem(
            f"{needed:,} worker processes are too many for one machine ({WORKERS_MAX})",
            _load_flag(load),
            f"A worker may open {machine.open_files:,} files here: raise that limit (ulimit -n), or ask for less.",
        )
    elif most is not None and most > WORKERS_MAX:
        yield Problem(
            f"{most:,} worker processes are too many for one machine ({WORKERS_MAX})",
            "--workers-max",
            f"Allow {WORKERS_MAX} at most, or spread the load over pods: --kubernetes.",
        )
    elif most is not None and needed > most:
        yield Problem(
            f"{_held_text(load)} needs {needed} worker processes: each may open {machine.open_files:,} files",
            "--workers-max",
            "Allow more workers, or raise the limit of open files (ulimit -n).",
        )


def processor_problems(services: ServicesPlan) -> Iterator[Problem]:
    """What is wrong with the record processors that are asked for here; at most one problem."""
    told = services.record_processors_count
    if told is not None and told > PROCESSORS_MAX:
        yield Problem(
            f"{told:,} record processors are too many for one machine ({PROCESSORS_MAX})",
            "--record-processors",
            f"Ask for {PROCESSORS_MAX} at most, or leave it out: by default there are as many as the load takes.",
        )


def processor_count(workers: int, told: int | None) -> int:
    """How many record processors there are beside so many workers, whatever the load."""
    return told if told is not None else max(1, math.ceil(workers / WORKERS_PER_RECORD_PROCESSOR))


def local_processor_count(load: PlannedLoad, services: ServicesPlan, workers: int, machine: Machine) -> int:
    """How many record processors a load gets on this machine: those that are told, else by workers and by CPUs.

    Like workers they are added for CPUs only where somebody says how fast the service is, and no more than there are.
    """
    by_workers = processor_count(workers, services.record_processors_count)
    if services.record_processors_count is not None or load.request_s is None:
        return by_workers
    return max(by_workers, min(processors_for_cpus(load), machine.cpu_count))


def _workers_for_files(connections: int, machine: Machine) -> int:
    return max(1, math.ceil(connections / connections_max(machine)))


def _load_flag(load: PlannedLoad) -> str:
    return "--concurrency" if load.concurrency else "--request-rate"


def _held_text(load: PlannedLoad) -> str:
    if load.concurrency:
        return f"a concurrency of {load.concurrency:,}"
    return f"a rate at which {load.connections:,} requests are in flight"
