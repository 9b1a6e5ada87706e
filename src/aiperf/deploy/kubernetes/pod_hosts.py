"""Which hosts of a layout live in a pod.

Owns: that relation. Does not own: pods' states, the layout.
"""

from aiperf.deploy.kubernetes.names import Component, component_of
from aiperf.deploy.kubernetes.pod_state import PodState
from aiperf.service.layout import Layout


def hosts_of(state: PodState, layout: Layout) -> list[str]:
    """The ids of the pod's hosts: in the compact topology a worker's pod has its record processor, too."""
    if state.index is None:
        return [host.host_id for host in layout.hosts if component_of(host).value == state.component]
    ids = [f"{state.component}-{state.index}"]
    beside = f"{Component.RECORD_PROCESSOR}-{state.index}"
    if state.component == Component.WORKER and any(host.host_id == beside and host.outstays for host in layout.hosts):
        ids.append(beside)
    return ids
