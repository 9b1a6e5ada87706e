"""The layout: which services a run has, which process hosts each, and where they meet.

Data, rendered by every deployment.

Owns: the table and its look-ups. Does not own: how many of each there are (`aiperf.deploy`), starting them.
"""

from enum import StrEnum
from pathlib import Path

import msgspec

from aiperf.metrics.promise import Promise
from aiperf.units import NS_PER_MS
from aiperf.wire.address import LOOPBACK, as_bound


class ServiceType(StrEnum):
    """The field's vocabulary."""

    SYSTEM_CONTROLLER = "system-controller"
    WORKER_MANAGER = "worker-manager"
    DATASET_MANAGER = "dataset-manager"
    TIMING_MANAGER = "timing-manager"
    RECORDS_MANAGER = "records-manager"
    WORKER = "worker"
    RECORD_PROCESSOR = "record-processor"
    CALIBRATION_SERVER = "calibration-server"
    """Only where a calibration is asked for."""


LOG_NAME = "logs/aiperf.log"
"""Within the artifact directory."""

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
    machine: str = ""
    """Hosts of one machine (or pod) reach each other by loopback."""
    outstays: bool = False
    """Ends by a signal only. What keeps it running would start it again if it left on its own (a native sidecar)."""

    @property
    def controls(self) -> bool:
        """Whether the system controller lives here."""
        return any(seat.service_type is ServiceType.SYSTEM_CONTROLLER for seat in self.services)

    def incarnation(self, number: int) -> "Host":
        """The same host, started once more after it was lost: its services have names of their own, its place is that.

        0: the host itself. A service that there is once has one life.
        """
        if not number:
            return self
        seats = [
            seat if seat.service_type in SINGLETONS else ServiceSeat(f"{seat.service_id}.{number}", seat.service_type)
            for seat in self.services
        ]
        return msgspec.structs.replace(self, services=seats)


def seat_of(service_id: str) -> tuple[str, int]:
    """The place in the table that a service has, and which incarnation it is: `worker-3.1` → `worker-3`, 1."""
    seat, _, number = service_id.partition(".")
    return seat, int(number) if number.isdecimal() else 0


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
    startup_limit_s: int = 60
    """A service that is not there so long after the start, or not ready so long after it was told where everything is,
    is named, and the run ends. Longer where images are fetched and machines are added."""
    replaces_workers: bool = False
    """Whether somebody starts a lost worker or record processor again, as its next incarnation."""
    apis: Apis = Apis()
    calibration_urls: list[str] = []
    """Where workers reach the calibration servers, in the order of the table; empty: there are none."""
    uploads: dict[str, str] = {}
    """Files that the user's machine sends, by what they are (`api.contract.Uploadable`): where they are then."""
    promise: Promise | None = None
    """What the run was promised to need; None: nothing was."""
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

    def neighbours(self, host_id: str, service: ServiceType) -> list[ServiceSeat]:
        """The services of this type on the machine (or in the pod) of that host, in the order of the table."""
        machine = self.host(host_id).machine
        return [
            seat for host in self.hosts if host.machine == machine for seat in host.services
            if seat.service_type is service
        ]  # fmt: skip

    def host_of(self, service: ServiceType) -> Host:
        """The host of a service that there is once."""
        return next(host for host in self.hosts if any(seat.service_type is service for seat in host.services))

    def address(self, channel: str, host_id: str) -> str:
        """Where a service on `host_id` reaches the channel's binder."""
        addresses = self._addresses(channel)
        binder, _ = seat_of(binder_of(channel))
        near = any(seat.service_id == binder for seat in self.host(host_id).services)
        return addresses[0] if near else addresses[-1]

    def bind_addresses(self, channel: str) -> list[str]:
        """Where the channel's binder listens. A name of its own host stands for all addresses of that host."""
        return [as_bound(address) for address in self._addresses(channel)]

    def is_near_only(self, channel: str) -> bool:
        """Whether the channel's binder is reached from hosts of its own machine only, since it listens on loopback."""
        return f"//{LOOPBACK}:" in self._addresses(channel)[-1]

    def _addresses(self, channel: str) -> list[str]:
        """An incarnation listens where the first one did."""
        kind, slash, binder = channel.partition("/")
        return self.addresses[kind + slash + seat_of(binder)[0]]


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
