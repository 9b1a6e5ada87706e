"""What lives beside the services of a pod that serves the HTTP API: the API, and the controller's look at the cluster.

Owns: which parts of the API are served where, the end of a namespace that was made for the run. Does not own: those
parts (`aiperf.api`), who gets which (`in_pod`).
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from starlette.routing import BaseRoute

from aiperf.api.parcel import Shelf
from aiperf.api.routes_dataset import dataset_routes
from aiperf.api.server import TlsFiles, listen
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.mounted_run import MountedRun
from aiperf.deploy.kubernetes.pod_plan import UPLOAD_DIR
from aiperf.deploy.kubernetes.pod_watch import watch_pods
from aiperf.deploy.kubernetes.pods import OWNED_NAMESPACE
from aiperf.deploy.kubernetes.ports import API_PORT
from aiperf.deploy.kubernetes.run_files import API_CERTIFICATE_NAME, API_PRIVATE_KEY_NAME
from aiperf.plan.dumps import public_dump
from aiperf.service.api_host import ApiHost
from aiperf.service.dataset_manager import STORE_NAME, TOKENIZER_NAME
from aiperf.service.depot import Depot
from aiperf.service.host import Guest
from aiperf.service.layout import ServiceType
from aiperf.service.wiring import Surroundings
from aiperf.wire.bus import OPERATOR, Seat

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Is there if the controller may speak to the cluster."""

PACKED = "packed"
"""Folder within the data folder: compressed copies of what is sent."""


def api_guests(pod: MountedRun) -> list[Guest]:
    """Of a host that serves some of the API."""
    if not pod.has(ServiceType.SYSTEM_CONTROLLER):
        return [lambda around, left: _serve_files(pod, around, left)]
    guests: list[Guest] = [lambda around, left: _serve_run(pod, around, left)]
    if SERVICE_ACCOUNT_TOKEN.exists():
        guests.append(lambda around, left: watch_pods(pod.layout, around, left))
    return guests


async def _serve_run(pod: MountedRun, around: Surroundings, services_left: asyncio.Event) -> None:
    """The API of the controller's pod: all that the user sees, and the dataset if it is made here."""
    with _dataset_here(pod) as routes:
        api = ApiHost(
            seat=Seat(around.connect("control", OPERATOR), OPERATOR),
            clock=around.clock,
            listener=_listener(),
            tls=_tls(pod),
            token=pod.token,
            run_id=pod.layout.run_id,
            plan=public_dump(pod.plan),
            artifact_dir=Path(pod.layout.artifact_dir),
            upload_dir=Path(UPLOAD_DIR),
            packed_dir=pod.data_dir / PACKED,
            routes=routes,
            results=pod.elsewhere(ServiceType.RECORDS_MANAGER, pod.layout.apis.results),
            linger_s=None if pod.plan.kubernetes.ttl_s == "none" else pod.plan.kubernetes.ttl_s,
        )
        await api.run()
        await services_left.wait()
    if (namespace := os.environ.get(OWNED_NAMESPACE)) and SERVICE_ACCOUNT_TOKEN.exists():
        async with Cluster.connect() as cluster:
            await cluster.delete("Namespace", namespace)


async def _serve_files(pod: MountedRun, _: Surroundings, services_left: asyncio.Event) -> None:
    """The API of a pod with the dataset or the results, for the run's other pods."""
    with _dataset_here(pod) as routes:
        depot = Depot(
            listener=_listener(),
            tls=_tls(pod),
            token=pod.token,
            packed_dir=pod.data_dir / PACKED,
            artifact_dir=Path(pod.layout.artifact_dir) if pod.has(ServiceType.RECORDS_MANAGER) else None,
            routes=routes,
        )
        await depot.run(services_left)


@contextlib.contextmanager
def _dataset_here(pod: MountedRun) -> Iterator[list[BaseRoute]]:
    """Routes that give the dataset away, if it is made here."""
    if not pod.has(ServiceType.DATASET_MANAGER):
        yield []
        return
    shelf = Shelf(pod.data_dir / PACKED / "dataset")
    try:
        yield dataset_routes(shelf, pod.data_dir / STORE_NAME, pod.data_dir / TOKENIZER_NAME)
    finally:
        shelf.close()


def _listener() -> socket.socket:
    return listen("0.0.0.0", API_PORT, tls=True)  # noqa: S104 (all of the pod's addresses: that is the point)


def _tls(pod: MountedRun) -> TlsFiles:
    return TlsFiles(pod.run_dir / API_CERTIFICATE_NAME, pod.run_dir / API_PRIVATE_KEY_NAME)
