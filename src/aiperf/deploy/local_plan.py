"""What a load takes on this machine, beside what the machine has.

Owns: the rows of the comparison, whether each is enough, what to change where it is not. Does not own: needs (`needs`),
what the machine has (`machine_room`), how it is shown (`aiperf.cli.capacity`). Pure.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from aiperf.deploy.costs import (
    BUSY_FRACTION,
    COMMAND_CPUS,
    PRIVATE_PROCESS_BYTES,
    PROCESS_BYTES,
    ROW_BYTES,
)
from aiperf.deploy.local_size import WORKERS_MAX, local_processor_count, workers_wanted
from aiperf.deploy.machine_room import MachineRoom
from aiperf.deploy.needs import (
    Needs,
    control_cost,
    needs,
    processor_cost,
    processor_load_cpus,
    processors_for_cpus,
    worker_cost,
    worker_load_cpus,
    workers_for_cpus,
)
from aiperf.deploy.planned_load import PlannedLoad
from aiperf.endpoint.local_ports import addresses_needed, loopback_addresses
from aiperf.plan.plan import ServicesPlan
from aiperf.plan.source_address import ADDRESSES_MAX

MB = 1_000_000
GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One thing that a load could run out of."""

    what: str
    needed: str
    has: str
    enough: bool | None
    """None: it cannot be known."""
    advice: str = ""
    """What to do where it is not enough, or not known."""
    parts: tuple[tuple[str, str], ...] = ()
    """What makes up the need."""


@dataclass(frozen=True, slots=True)
class LocalPlan:
    needs: Needs
    rows: tuple[PlanRow, ...]

    @property
    def fits(self) -> bool:
        """As far as it can be known."""
        return all(row.enough is not False for row in self.rows)


def local_plan(load: PlannedLoad, services: ServicesPlan, room: MachineRoom, addresses_given: int = 1) -> LocalPlan:
    """The comparison. `addresses_given`: local addresses that connections are made from."""
    workers = workers_wanted(load, services, room.machine)
    processors = local_processor_count(load, services, workers, room.machine)
    needed = needs(load, workers, processors)
    rows = (
        _workers_row(needed, services),
        *_cpu_rows(load, needed, room),
        _memory_row(load, needed, room),
        _files_row(needed, room),
        _ports_row(load, needed, room, addresses_given),
        *_tracking_rows(needed, room),
    )
    return LocalPlan(needed, rows)


def _workers_row(needed: Needs, services: ServicesPlan) -> PlanRow:
    most = min(services.workers_max or WORKERS_MAX, WORKERS_MAX)
    return PlanRow(
        "Workers",
        _count(needed.workers, "process", "processes"),
        f"{most} at most",
        needed.workers <= most,
        "Fewer workers need more open files each: see there. Or spread the load over pods: --kubernetes.",
        (("record processors", str(needed.processors)),),
    )


def _cpu_rows(load: PlannedLoad, needed: Needs, room: MachineRoom) -> Iterator[PlanRow]:
    has = _count(room.machine.cpu_count, "CPU")
    if needed.cpus is None or needed.worker_cpus is None:
        costs = (worker_cost(load), processor_cost(load), control_cost(load))
        request_us = sum(cost.request_us + cost.chunk_us * load.chunks_per_request for cost in costs)
        yield PlanRow(
            "CPU",
            "at the service's pace",
            has,
            None,
            f"The service sets the pace: one CPU carries about {_rounded(1e6 / request_us)} such requests a second. "
            "Say how fast it is expected to be: --ttft, --itl and --osl.",
        )
        return
    total = needed.cpus + COMMAND_CPUS
    yield PlanRow(
        "CPU",
        f"{total:,.2f} busy" if total < 10 else f"{total:,.0f} busy",
        has,
        total <= room.machine.cpu_count,
        "Lower the load, take a machine with more CPUs, or spread it over pods: --kubernetes.",
        (
            ("workers", f"{needed.worker_cpus:,.2f}"),
            ("record processors", f"{needed.processor_cpus or 0:,.2f}"),
            ("control and command", f"{(needed.control_cpus or 0) + COMMAND_CPUS:,.2f}"),
        ),
    )
    # Wake-ups aside: they become fewer when there is more to do at each.
    yield _core_row(
        "A worker's core",
        worker_load_cpus(load) / needed.workers,
        f"A busier worker is late too often. It takes {workers_for_cpus(load):,} workers "
        "on as many CPUs: --connections-per-worker adds workers.",
    )
    yield _core_row(
        "A record processor's core",
        processor_load_cpus(load) / needed.processors,
        "A busier record processor falls behind the answers. It takes "
        f"{processors_for_cpus(load):,} record processors on as many CPUs: --record-processors says how many.",
    )


def _core_row(what: str, busy: float, advice: str) -> PlanRow:
    return PlanRow(what, f"{busy:.0%} busy", f"{BUSY_FRACTION:.0%} at most", busy <= BUSY_FRACTION, advice)


def _memory_row(load: PlannedLoad, needed: Needs, room: MachineRoom) -> PlanRow:
    # Of hosts that are forked from one process most pages are shared.
    shared = PROCESS_BYTES - PRIVATE_PROCESS_BYTES
    workers = needed.workers * (needed.worker_bytes - shared)
    processors = needed.processors * (needed.processor_bytes - shared)
    control = needed.control_bytes - shared + PROCESS_BYTES  # and the command, which the others are forked from
    total = workers + processors + control + needed.kernel_bytes
    unknown = "" if load.requests and load.requests_known else f"; and {ROW_BYTES} bytes for each request"
    return PlanRow(
        "Memory",
        f"{_size(total)}",
        "not known" if room.memory_bytes is None else f"{_size(room.memory_bytes)} available",
        None if room.memory_bytes is None else total <= room.memory_bytes,
        "Lower the concurrency, or spread it over pods: --kubernetes.",
        (
            ("workers", _size(workers)),
            ("record processors", _size(processors)),
            ("control and command", _size(control) + unknown),
            ("sockets, in the kernel", _size(needed.kernel_bytes)),
        ),
    )


def _files_row(needed: Needs, room: MachineRoom) -> PlanRow:
    return PlanRow(
        "Open files",
        f"{needed.files_per_worker:,} a worker",
        f"{room.machine.open_files:,} a process",
        needed.files_per_worker <= room.machine.open_files,
        "Raise the limit (ulimit -n, as root above the hard limit); the server needs as many.",
    )


def _ports_row(load: PlannedLoad, needed: Needs, room: MachineRoom, given: int) -> PlanRow:
    addresses = addresses_needed(needed.ports_per_server, room.ports)
    if addresses > ADDRESSES_MAX:
        advice = (
            f"{ADDRESSES_MAX:,} addresses can be given at most: lower the load, spread it over pods (--kubernetes), or "
            "give the service more addresses (--url)."
        )
    elif load.is_on_loopback:
        advice = f"Connect from several: --source-address {loopback_addresses(addresses)}."
    else:
        advice = (
            f"Give this machine {addresses:,} addresses that reach the service and name them by --source-address; or "
            "give the service several addresses (--url); or widen net.ipv4.ip_local_port_range."
        )
    return PlanRow(
        "Source addresses",
        f"{addresses:,}",
        f"{given:,} in use",
        addresses <= given,
        advice,
        (
            ("ports to one server", f"{needed.ports_per_server:,}"),
            ("ports of one address", f"{room.ports:,}"),
        ),
    )


def _tracking_rows(needed: Needs, room: MachineRoom) -> Iterator[PlanRow]:
    if room.tracked_max is None:
        return
    tracked = needed.ports
    yield PlanRow(
        "Tracked connections",
        f"{tracked:,}",
        f"{room.tracked_max:,} left",
        tracked <= room.tracked_max,
        "Raise net.netfilter.nf_conntrack_max, or exempt these connections from tracking.",
    )


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _size(size_bytes: float) -> str:
    return f"{size_bytes / GB:,.1f} GB" if size_bytes >= GB else f"{size_bytes / MB:,.0f} MB"


def _rounded(number: float) -> str:
    """To two figures."""
    step = 10 ** max(0, math.floor(math.log10(max(number, 1))) - 1)
    return f"{round(number / step) * step:,}"
