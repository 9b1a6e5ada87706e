"""Which hosts of a run live in a pod, and so end with it.

Owns: that relation. Does not own: pods' states, the layout.
"""

from collections.abc import Mapping
from typing import Any

from aiperf.deploy.kubernetes.names import Component, component_of
from aiperf.deploy.kubernetes.pod_state import PodState
from aiperf.deploy.service_manager import HostEnded
from aiperf.errors import ExitCode
from aiperf.service.layout import Layout

FAILURES_ANNOTATION = "batch.kubernetes.io/job-index-failure-count"
DISRUPTIONS_ANNOTATION = "batch.kubernetes.io/job-index-ignored-failure-count"
"""Of a pod of an Indexed Job: how often its index failed before, and how often without a fault of its own."""


def host_ends(pod: Mapping[str, Any], state: PodState, layout: Layout) -> list[HostEnded]:
    """The ends of all hosts of a pod that has ended. The reason is that of the pod's own container."""
    first, *beside = hosts_of(pod, state, layout) or [""]
    if not first:
        return []  # a pod of ours, but no part of the run: one that looks around before it
    expected = state.exit_code in (ExitCode.DONE, ExitCode.DISMISSED)  # who was told to leave was told of, too
    return [
        HostEnded(first, state.ended, expected),
        *(HostEnded(host_id, f"it was in the pod of {first}", expected) for host_id in beside),
    ]


def hosts_of(pod: Mapping[str, Any], state: PodState, layout: Layout) -> list[str]:
    """The ids of the pod's hosts, with their incarnation. A worker's pod may have its record processor, too."""
    if state.index is None:
        return [host.host_id for host in layout.hosts if component_of(host).value == state.component]
    annotations = pod["metadata"].get("annotations", {})
    incarnation = sum(int(annotations.get(name) or 0) for name in (FAILURES_ANNOTATION, DISRUPTIONS_ANNOTATION))
    hosts = [layout.host(f"{state.component}-{state.index}")]
    if state.component == Component.WORKER:
        beside = f"{Component.RECORD_PROCESSOR}-{state.index}"
        hosts += [host for host in layout.hosts if host.host_id == beside and host.outstays]
    return [f"{host.host_id}.{incarnation}" if incarnation else host.host_id for host in hosts]
