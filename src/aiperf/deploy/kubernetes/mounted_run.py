"""A run as the container of one of its hosts finds it: what is mounted, and where this host stands.

Owns: reading the run directory; which parts of the run are here, and which elsewhere. Does not own: the mounts
(`pods`), the files (`run_files`), what is done with them (`in_pod`).
"""

from dataclasses import dataclass
from pathlib import Path

from aiperf.api.connection import ApiAddress
from aiperf.deploy.kubernetes.run_files import API_CERTIFICATE_NAME, TOKEN_NAME, WIRE_KEYS_NAME
from aiperf.plan.plan import Plan
from aiperf.service.layout import Host, Layout, ServiceType
from aiperf.wire.curve import WireKeys, from_json


@dataclass(frozen=True, slots=True)
class MountedRun:
    """As one host sees it. Properties raise OSError if the run directory is not what is mounted in pods."""

    host: Host
    layout: Layout
    plan: Plan
    run_dir: Path

    @property
    def token(self) -> str:
        return (self.run_dir / TOKEN_NAME).read_text()

    @property
    def wire_keys(self) -> WireKeys:
        return from_json((self.run_dir / WIRE_KEYS_NAME).read_bytes())

    @property
    def data_dir(self) -> Path:
        return Path(self.layout.data_dir)

    def has(self, service: ServiceType) -> bool:
        return any(seat.service_type is service for seat in self.host.services)

    def elsewhere(self, service: ServiceType, url: str) -> ApiAddress | None:
        """The API of the host with that service; None if that is this one."""
        if self.has(service):
            return None
        return ApiAddress(url, self.token, (self.run_dir / API_CERTIFICATE_NAME).read_text())
