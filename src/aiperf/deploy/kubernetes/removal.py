"""Removing a run's objects.

Owns: deleting what there is of a run, and waiting until it is gone. Does not own: which runs may go (`leftovers`).
"""

import asyncio
import time

from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.names import Component, names_of, run_labels
from aiperf.errors import ClusterError

REMOVAL_LIMIT_S = 60.0
"""How long the cluster may take to remove what was deleted: pods have 20 s to end."""
LOOK_INTERVAL_S = 0.25

_OF_A_RUN = ("Job", "Pod", "Service", "ConfigMap", "Secret", "NetworkPolicy", "ServiceAccount", "Role", "RoleBinding")
"""Jobs before their pods: those of a Job that nobody deletes would stay."""


async def remove_run(cluster: Cluster, run_id: str, in_namespace: str, owns_namespace: bool) -> None:
    """Deletes the run's owner, and its namespace if that is the run's; returns when all is gone.

    Raises: ClusterError if it is not gone in time, naming what is left.
    """
    await cluster.delete("Job", names_of(run_id).job(Component.CONTROLLER), in_namespace)
    if owns_namespace:
        await cluster.delete("Namespace", in_namespace)
    deadline_s = time.monotonic() + REMOVAL_LIMIT_S
    while left := await _left(cluster, run_id, in_namespace, owns_namespace):
        if time.monotonic() > deadline_s:
            raise ClusterError(
                f"not removed after {REMOVAL_LIMIT_S:g} s: {', '.join(left)}",
                f"The cluster may still do so; else: aiperf kube cleanup {run_id}",
            )
        await asyncio.sleep(LOOK_INTERVAL_S)


async def _left(cluster: Cluster, run_id: str, in_namespace: str, owns_namespace: bool) -> list[str]:
    """What is still there of a run. What nobody owns is deleted on the way: manifests that were never adopted."""
    if owns_namespace:
        is_there = await cluster.get("Namespace", in_namespace) is not None
        return [f"namespace {in_namespace}"] if is_there else []
    left = []
    for kind in _OF_A_RUN:
        try:
            for each in await cluster.list(kind, in_namespace, run_labels(run_id)):
                metadata = each["metadata"]
                left.append(f"{kind} {metadata['name']}")
                if not metadata.get("ownerReferences") and not metadata.get("deletionTimestamp"):
                    await cluster.delete(kind, metadata["name"], in_namespace)
        except ClusterError as error:
            if error.reason != "Forbidden":
                raise
            # Whoever may not list a kind has not seen it created either.
        if left:
            break
    return left
