"""What a pod gives to the host that runs in it: the run's keys, files of other pods, the HTTP API.

Owns: who gets what. Does not own: what is mounted (`mounted_run`), services, the API's own pods (`in_api_pod`).
"""

from collections.abc import Sequence
from pathlib import Path

from aiperf.deploy.kubernetes.mounted_run import MountedRun
from aiperf.plan.plan import Plan
from aiperf.service.api_supply import ApiSupply
from aiperf.service.host import Equipment, Guest
from aiperf.service.layout import Layout, ServiceType

SERVES = (ServiceType.SYSTEM_CONTROLLER, ServiceType.DATASET_MANAGER, ServiceType.RECORDS_MANAGER)
"""Progress and orders; the dataset; results."""


def pod_equipment(host_id: str, layout: Layout, plan: Plan, run_dir: Path) -> Equipment:
    """Raises: OSError if the run directory is not what is mounted in pods."""
    pod = MountedRun(layout.host(host_id), layout, plan, run_dir)
    apis = layout.apis
    supply = ApiSupply(
        run=pod.elsewhere(ServiceType.SYSTEM_CONTROLLER, apis.run),
        dataset=pod.elsewhere(ServiceType.DATASET_MANAGER, apis.dataset),
    )
    return Equipment(supply, _guests(pod), pod.wire_keys)


def _guests(pod: MountedRun) -> Sequence[Guest]:
    if not any(pod.has(service) for service in SERVES):
        return ()
    # Loads the HTTP server and the cluster's client: half a second of work at each start of a worker, which needs none.
    from aiperf.deploy.kubernetes.in_api_pod import api_guests

    return api_guests(pod)
