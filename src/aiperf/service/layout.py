"""The layout: which services a run has, which process hosts each, and where they meet.

Data, rendered by every deployment.

Owns: the table and its look-ups. Does not own: how many of each there are (`aiperf.deploy`), starting them.
"""

from enum import StrEnum
from pathlib import Path

import msgspec

from aiperf.units import NS_PER_MS
from aiperf.wire.address import as_bound


class ServiceType(StrEnum):
    """The field's vocabulary."""

    SYSTEM_CONTROLLER = "system-controller"
    WORKER_MANAGER = "worker-manager"
    DATASET_MANAGER = "dataset-manager"
    TIMING_MANAGER = "timing-manager"
    RECORDS_MANAGER = "records-manager"
    WORKER = "worker"
    RECORD_PROCESSOR = "record-processor"


SINGLETONS = (
    ServiceType.SYSTEM_CONTROLLER,
    ServiceType.WORKER_MANAGER,
    ServiceType.DATASET_MANAGER,
    ServiceType.TIMING_MANAGER,
    ServiceType.RECORDS_MANAGER,
)
"""Each exactly once; together they are the control host of the local layout."""


class ServiceSeat(msgspec.Struct, frozen=True):
    """One service: its id is also its name on the wire."""

    service_id: str
    service_type: ServiceType


class Host(msgspec.Struct, frozen=True):
    """A process (or container) that runs services."""

    host_id: str
    services: list[ServiceSeat]
    health_port: int = 0
    """Where `/healthz` and `/readyz` answer; 0: nobody asks."""
    outstays: bool = False
    """Ends by a signal only. What keeps it running would start it again if it left on its own (a native sidecar)."""


class Apis(msgspec.Struct, frozen=True):
    """Where the parts of the HTTP API are served to other hosts. Empty: on the disk that all hosts share."""

    run: str = ""
    """By the host of the system controller: progress, orders, what the user sent."""
    dataset: str = ""
    """By the host of the dataset manager: the compiled dataset."""
    results: str = ""
    """By the host of the records manager: the artifacts."""


class Layout(msgspec.Struct, frozen=True):
    """One run's services, hosts and meeting points."""

    run_id: str
    hosts: list[Host]
    addresses: dict[str, list[str]]
    """Where the binder of each channel listens, by channel: `control`, `credits`, `columns`, `records/<service id>`.
    The first address is the nearest (`inproc` for services of the binder's own host), the last reaches everybody."""
    anchor_ns: int
    """Of the run clock (`aiperf.clock`); shared by all processes of one machine. 0: each machine measures its own."""
    artifact_dir: str
    work_dir: str
    """Private to the run and the user: sockets, plan and layout. Removed afterwards."""
    data_dir: str
    """For bulk data while the run lasts: dataset store, shards, spill files. Removed afterwards."""
    random_seed: int
    apis: Apis = Apis()
    uploads: dict[str, str] = {}
    """Files that the user's machine sends, by what they are (`api.contract.Uploadable`): where they are then."""
    start_lead_ns: int = 10 * NS_PER_MS
    """From the barrier to the first send: time for the start message to reach every worker."""

    @property
    def shares_disk(self) -> bool:
        """Whether every host sees the same `data_dir` and `artifact_dir`."""
        return not self.apis.run

    def services(self, *types: ServiceType) -> list[ServiceSeat]:
        """The services of these types (all when none is named), in the order of the table."""
        return [seat for host in self.hosts for seat in host.services if not types or seat.service_type in types]

    def host(self, host_id: str) -> Host:
        """Raises: KeyError if there is none of that id."""
        for host in self.hosts:
            if host.host_id == host_id:
                return host
        raise KeyError(host_id)

    def host_of(self, service: ServiceType) -> Host:
        """The host of a service that there is once."""
        return next(host for host in self.hosts if any(seat.service_type is service for seat in host.services))

    def address(self, channel: str, host_id: str) -> str:
        """Where a service on `host_id` reaches the channel's binder."""
        addresses = self.addresses[channel]
        binder = binder_of(channel)
        near = any(seat.service_id == binder for seat in self.host(host_id).services)
        return addresses[0] if near else addresses[-1]

    def bind_addresses(self, channel: str) -> list[str]:
        """Where the channel's binder listens. A name of its own host stands for all addresses of that host."""
        return [as_bound(address) for address in self.addresses[channel]]


def binder_of(channel: str) -> str:
    """The id of the service that listens on a channel."""
    if channel.startswith("records/"):
        return channel.removeprefix("records/")
    return {
        "control": ServiceType.SYSTEM_CONTROLLER,
        "credits": ServiceType.TIMING_MANAGER,
        "columns": ServiceType.RECORDS_MANAGER,
    }[channel].value


def write_layout(layout: Layout, path: Path) -> None:
    path.write_bytes(msgspec.json.encode(layout))


def read_layout(path: Path) -> Layout:
    """Raises: OSError, msgspec.ValidationError if the file is not one."""
    return msgspec.json.decode(path.read_bytes(), type=Layout)
