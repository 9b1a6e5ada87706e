"""The hosts of a layout as pods of a cluster.

Owns: creating a run's objects, what becomes of its pods, removing everything again. Does not own: what the objects are
(`manifests`), what a pod's state means in words (`pod_state`), when to give up a start (`startup`).

The controller Job is created suspended, for its UID makes it the owner of the rest; resumed, when the rest is there.
So what a killed command leaves is either nothing that runs, or a run that can end by itself.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.jobs import controller_job
from aiperf.deploy.kubernetes.manifests import RESUME_PATCH, namespace, owned_objects
from aiperf.deploy.kubernetes.names import Component, names_of, run_labels
from aiperf.deploy.kubernetes.pod_hosts import hosts_of
from aiperf.deploy.kubernetes.pod_state import PodState, pod_state
from aiperf.deploy.kubernetes.startup import StartupWatch
from aiperf.deploy.service_manager import HostEnded
from aiperf.errors import AIPerfError, ClusterError

log = logging.getLogger(__name__)

REMOVAL_LIMIT_S = 60.0
"""How long the cluster may take to remove what was deleted: pods have 20 s to end."""
LOOK_INTERVAL_S = 0.25
STARTUP_INTERVAL_S = 1.0


class KubernetesServiceManager:
    """Runs the blueprint. `tell` hears lines for the user."""

    outlives_operator = True

    def __init__(
        self,
        cluster: Cluster,
        blueprint: Blueprint,
        tell: Callable[[str], None],
        *,
        expires_at_s: int | None = None,
    ) -> None:
        """`expires_at_s`: when a namespace made for the run may be removed by whoever finds it (Unix time)."""
        self._cluster = cluster
        self._blueprint = blueprint
        self._tell = tell
        self._expires_at_s = expires_at_s
        self._states: dict[str, PodState] = {}
        self._ends: asyncio.Queue[HostEnded | AIPerfError] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._startup = StartupWatch(blueprint.sizing.pods)
        self._is_there = False

    async def start(self) -> None:
        blueprint, cluster = self._blueprint, self._cluster
        self._is_there = True
        if blueprint.owns_namespace:
            await cluster.create(namespace(blueprint, self._expires_at_s))
            self._tell(f"namespace {blueprint.namespace} was created; it is deleted after the run")
        owner = await cluster.create(controller_job(blueprint))
        for manifest in owned_objects(blueprint, owner["metadata"]["uid"]):
            await cluster.create(manifest)
        await cluster.patch("Job", owner["metadata"]["name"], blueprint.namespace, RESUME_PATCH)
        self.watch()

    def watch(self) -> None:
        """Begins to watch the pods of a run that was started, here or by somebody else."""
        works = (self._watch_pods(), self._watch_startup())
        self._tasks = [asyncio.create_task(self._guarded(work)) for work in works]

    async def next_end(self) -> HostEnded:
        """The next host to end. Raises: AIPerfError if the run will never begin."""
        end = await self._ends.get()
        if isinstance(end, AIPerfError):
            raise end
        return end

    def begun(self) -> None:
        """The controller answers: from now on it tells what it waits for."""
        self._startup.begun()

    async def stop(self, grace_s: float) -> None:  # noqa: ARG002 (pods have a grace of their own)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._is_there:
            await remove_run(
                self._cluster, self._blueprint.run_id, self._blueprint.namespace, self._blueprint.owns_namespace
            )
            self._is_there = False

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """A part that fails is told by `next_end`, which somebody waits for."""
        try:
            await work
        except AIPerfError as error:
            self._ends.put_nowait(error)

    async def _watch_pods(self) -> None:
        blueprint = self._blueprint
        async for kind, pod in self._cluster.watch_pods(blueprint.namespace, run_labels(blueprint.run_id)):
            state = pod_state(pod, deleted=kind == "DELETED")
            uid = str(pod["metadata"]["uid"])
            before = self._states.get(uid)
            if before is None or not before.ended:
                self._states[uid] = state
                if state.ended:
                    for host_id in hosts_of(pod, state, blueprint.layout):
                        self._ends.put_nowait(HostEnded(host_id, state.ended, state.exit_code == 0))

    async def _watch_startup(self) -> None:
        """Tells what pods wait for, until the run has begun; gives up where waiting does not help."""
        while not self._startup.over:
            await asyncio.sleep(STARTUP_INTERVAL_S)
            events = await self._events() if self._startup.wants_events(time.monotonic()) else None
            for line in self._startup.look(list(self._states.values()), events, time.monotonic()):
                self._tell(line)

    async def _events(self) -> list[dict[str, Any]]:
        with contextlib.suppress(ClusterError):  # the right to see them is optional
            return await self._cluster.list("Event", self._blueprint.namespace)
        return []


async def remove_run(cluster: Cluster, run_id: str, in_namespace: str, owns_namespace: bool) -> None:
    """Deletes the run's owner, and its namespace if that is the run's; returns when all is gone.

    Raises: ClusterError if it is not gone in time, naming what is left.
    """
    job = names_of(run_id).job(Component.CONTROLLER)
    await cluster.delete("Job", job, in_namespace)
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


_OF_A_RUN = ("Pod", "Job", "Service", "ConfigMap", "Secret", "NetworkPolicy", "ServiceAccount", "Role", "RoleBinding")


async def _left(cluster: Cluster, run_id: str, in_namespace: str, owns_namespace: bool) -> list[str]:
    """What is still there of a run."""
    if owns_namespace:
        is_there = await cluster.get("Namespace", in_namespace) is not None
        return [f"namespace {in_namespace}"] if is_there else []
    left = []
    for kind in _OF_A_RUN:
        with contextlib.suppress(ClusterError):  # whoever may not list a kind has not seen it created either
            left += [
                f"{kind} {each['metadata']['name']}"
                for each in await cluster.list(kind, in_namespace, run_labels(run_id))
            ]
        if left:
            break
    return left
