"""The controller's own look at the run's pods: whoever started the run may be gone.

Owns: telling the system controller of pods that ended, with the reason. Does not own: what a loss means. Heartbeats
tell it too, later and without a reason.
"""

import asyncio
import logging
import os

from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.names import Component, run_labels
from aiperf.deploy.kubernetes.pod_hosts import host_ends
from aiperf.deploy.kubernetes.pod_state import pod_state
from aiperf.errors import ClusterError
from aiperf.service.layout import Layout
from aiperf.service.together import run_together
from aiperf.service.wiring import Surroundings
from aiperf.wire.bus import Seat
from aiperf.wire.messages import HostLost

log = logging.getLogger(__name__)

SEAT = "pod-watch"


async def watch_pods(layout: Layout, around: Surroundings, services_left: asyncio.Event) -> None:
    """Until the run is over. Without the right to look, or without an API server, the run goes on unwatched."""
    try:
        await run_together(_watch(layout, around), services_left.wait())
    except ClusterError as error:
        log.warning("pods are not watched any more: %s", error)


async def _watch(layout: Layout, around: Surroundings) -> None:
    seat = Seat(around.connect("control", SEAT), SEAT)
    ended: set[str] = set()
    async with Cluster.connect() as cluster:
        async for kind, pod in cluster.watch_pods(os.environ["POD_NAMESPACE"], run_labels(layout.run_id)):
            state = pod_state(pod, deleted=kind == "DELETED")
            uid = str(pod["metadata"]["uid"])
            if state.ended and uid not in ended and state.component != Component.CONTROLLER:
                ended.add(uid)
                for end in host_ends(pod, state, layout):
                    if not end.expected:
                        seat.send(HostLost(end.host_id, end.reason))
