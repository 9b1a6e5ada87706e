"""Plan + machine → layout: how many services of each kind, in which processes, at which addresses.

Owns: hosts and addresses of every kind of deployment. Does not own: the layout's form (`aiperf.service.layout`), sizing
(`local_size`, `kubernetes.sizing`), starting it (`local`, `kubernetes`).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiperf.clock import measure_anchor_ns
from aiperf.deploy.kubernetes.names import Component, Names, names_of
from aiperf.deploy.kubernetes.ports import (
    API_PORT,
    CALIBRATION_PORT,
    COLUMNS_PORT,
    CONTROL_PORT,
    CREDITS_PORT,
    HEALTH_PORT,
    RECORDS_PORT,
    SIDECAR_HEALTH_PORT,
)
from aiperf.deploy.local_size import processor_count
from aiperf.metrics.promise import Promise
from aiperf.service.layout import SINGLETONS, Apis, Host, Layout, ServiceSeat, ServiceType, binder_of
from aiperf.units import NS_PER_MS
from aiperf.wire.address import LOOPBACK

CONTROL_HOST = "control"
DATA_DIR = ".run"
"""Beside the artifacts, where there is room for bulk data; a temporary directory may lie in memory."""

CLUSTER_STARTUP_LIMIT_S = 900
"""Images are pulled and nodes are added meanwhile."""
START_LEAD_IN_CLUSTER_NS = 500 * NS_PER_MS
"""Hundreds of workers get their first credits one after another, over a network, beside whatever else it carries."""

POD_WORK_DIR = "/work"
POD_DATA_DIR = "/data"
POD_ARTIFACT_DIR = "/artifacts"
"""In every pod; all else there can only be read."""


WORKERS_PER_CALIBRATION_SERVER = 2


def service_table(workers: int, processors: int | None) -> list[ServiceSeat]:
    """Workers and record processors by id; those there are once are not in it."""
    processors = processor_count(workers, processors)
    return [
        *(ServiceSeat(f"{ServiceType.WORKER}-{n}", ServiceType.WORKER) for n in range(workers)),
        *(ServiceSeat(f"{ServiceType.RECORD_PROCESSOR}-{n}", ServiceType.RECORD_PROCESSOR) for n in range(processors)),
    ]


def calibration_seats(count: int) -> list[ServiceSeat]:
    """Calibration servers by id; most runs have none."""
    kind = ServiceType.CALIBRATION_SERVER
    return [ServiceSeat(f"{kind}-{n}", kind) for n in range(count)]


def calibration_server_count(workers: int) -> int:
    """How many built-in servers a calibration has: one costs less per chunk than a worker with its record processor."""
    return math.ceil(workers / WORKERS_PER_CALIBRATION_SERVER)


def channels_of(seats: Sequence[ServiceSeat]) -> list[str]:
    """The channels of a layout with these services."""
    processors = (seat.service_id for seat in seats if seat.service_type is ServiceType.RECORD_PROCESSOR)
    return ["control", "credits", "columns", *(f"records/{processor}" for processor in processors)]


def local_layout(
    *,
    run_id: str,
    workers: int,
    processors: int | None,
    artifact_dir: Path,
    work_dir: Path,
    seed: int,
    calibration_urls: Sequence[str] = (),
    promise: Promise | None = None,
) -> Layout:
    """One control host, a process for each worker and each record processor, meeting on IPC sockets in `work_dir`.

    `calibration_urls`: where calibration servers shall listen, one each.
    """
    seats = [*service_table(workers, processors), *calibration_seats(len(calibration_urls))]
    return Layout(
        run_id=run_id,
        hosts=[Host(CONTROL_HOST, _singletons()), *(Host(seat.service_id, [seat]) for seat in seats)],
        addresses={
            channel: [f"inproc://{channel}", f"ipc://{work_dir}/{channel.replace('/', '-')}"]
            for channel in channels_of(seats)
        },
        anchor_ns=measure_anchor_ns(),
        artifact_dir=str(artifact_dir),
        work_dir=str(work_dir),
        data_dir=str(artifact_dir / DATA_DIR),
        random_seed=seed,
        calibration_urls=list(calibration_urls),
        promise=promise,
    )


def memory_layout(
    *,
    run_id: str,
    workers: int,
    processors: int | None,
    artifact_dir: Path,
    seed: int,
    anchor_ns: int = 0,
    calibration_servers: int = 0,
) -> Layout:
    """Everything in one process; addresses are mere names. Calibration servers are hosts of their own, as ever."""
    seats, servers = service_table(workers, processors), calibration_seats(calibration_servers)
    return Layout(
        run_id=run_id,
        hosts=[Host(CONTROL_HOST, [*_singletons(), *seats]), *(Host(seat.service_id, [seat]) for seat in servers)],
        addresses={channel: [channel] for channel in channels_of(seats)},
        anchor_ns=anchor_ns,
        artifact_dir=str(artifact_dir),
        work_dir=str(artifact_dir / DATA_DIR),
        data_dir=str(artifact_dir / DATA_DIR),
        random_seed=seed,
        calibration_urls=[f"http://{LOOPBACK}:{CALIBRATION_PORT + n}" for n in range(calibration_servers)],
    )


def kubernetes_layout(
    *,
    run_id: str,
    topology: str,
    workers: int,
    processors: int,
    seed: int,
    uploads: Mapping[str, str] | None = None,
    calibration_servers: int = 0,
    promise: Promise | None = None,
) -> Layout:
    """Hosts are containers, meeting by TCP at the names that the run's headless Service gives to pods.

    `compact`: one control host; record processor `i` is beside worker `i` in the same pod, as many as workers.
    `per-service`: each service is a host of its own. Calibration servers always are. `uploads`: files that the user
    sends (`Layout.uploads`).
    """
    seats, servers = service_table(workers, processors), calibration_seats(calibration_servers)
    if topology == "compact":
        singletons = [Host(CONTROL_HOST, _singletons(), HEALTH_PORT)]
    else:
        singletons = [Host(seat.service_id, [seat], HEALTH_PORT) for seat in _singletons()]
    hosts = [*singletons, *(_pod_host(seat, topology) for seat in seats)]
    hosts += [Host(seat.service_id, [seat], HEALTH_PORT, machine=seat.service_id) for seat in servers]
    return Layout(
        run_id=run_id,
        hosts=hosts,
        addresses={
            channel: [f"inproc://{channel}", f"tcp://{_place(channel, topology, names_of(run_id))}"]
            for channel in channels_of(seats)
        },
        anchor_ns=0,
        start_lead_ns=START_LEAD_IN_CLUSTER_NS,
        # A folder of the run: with others of its kind on a claim, and made by the one who writes to it.
        artifact_dir=f"{POD_ARTIFACT_DIR}/{names_of(run_id).base}",
        work_dir=POD_WORK_DIR,
        data_dir=POD_DATA_DIR,
        random_seed=seed,
        startup_limit_s=CLUSTER_STARTUP_LIMIT_S,
        replaces_workers=True,
        apis=Apis(
            run=_api_url(ServiceType.SYSTEM_CONTROLLER, topology, names_of(run_id)),
            dataset=_api_url(ServiceType.DATASET_MANAGER, topology, names_of(run_id)),
            results=_api_url(ServiceType.RECORDS_MANAGER, topology, names_of(run_id)),
        ),
        uploads=dict(uploads or {}),
        calibration_urls=[
            f"http://{names_of(run_id).dns_name(Component.CALIBRATION_SERVER, n)}:{CALIBRATION_PORT}"
            for n in range(calibration_servers)
        ],
        promise=promise,
    )


def _pod_host(seat: ServiceSeat, topology: str) -> Host:
    """A worker or a record processor; in the compact topology the latter is a native sidecar of the former's pod."""
    if topology != "compact":
        return Host(seat.service_id, [seat], HEALTH_PORT, machine=seat.service_id)
    pod = f"{ServiceType.WORKER}-{seat.service_id.rpartition('-')[2]}"
    if seat.service_type is ServiceType.RECORD_PROCESSOR:
        return Host(seat.service_id, [seat], SIDECAR_HEALTH_PORT, machine=pod, outstays=True)
    return Host(seat.service_id, [seat], HEALTH_PORT, machine=pod)


def _api_url(service: ServiceType, topology: str, names: Names) -> str:
    return f"https://{_pod_name(service.value, topology, names)}:{API_PORT}"


def _place(channel: str, topology: str, names: Names) -> str:
    """Host and port where a channel's binder is reached from other hosts."""
    binder = binder_of(channel)
    if channel.startswith("records/"):
        if topology == "compact":
            return f"{LOOPBACK}:{RECORDS_PORT}"
        index = int(binder.rpartition("-")[2])
        return f"{names.dns_name(Component.RECORD_PROCESSOR, index)}:{RECORDS_PORT}"
    port = {"control": CONTROL_PORT, "credits": CREDITS_PORT, "columns": COLUMNS_PORT}[channel]
    return f"{_pod_name(binder, topology, names)}:{port}"


def _pod_name(service: str, topology: str, names: Names) -> str:
    """The name of the pod with a service that there is once."""
    alone = topology != "compact" and service != ServiceType.SYSTEM_CONTROLLER
    return names.dns_name(Component(service) if alone else Component.CONTROLLER)


def _singletons() -> list[ServiceSeat]:
    return [ServiceSeat(kind.value, kind) for kind in SINGLETONS]
