"""The hosts of a layout as pods of a cluster.

Owns: what becomes of a run's pods, for one that is started here and for one that is only watched. Does not own: making
a run and removing it (`creation`, `removal`), what a pod's state means in words (`pod_state`), when to give up a start
(`startup`).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.names import run_labels
from aiperf.deploy.kubernetes.pod_hosts import host_ends
from aiperf.deploy.kubernetes.pod_state import PodState, pod_state
from aiperf.deploy.kubernetes.removal import remove_run
from aiperf.deploy.kubernetes.startup import StartupWatch
from aiperf.deploy.service_manager import HostEnded
from aiperf.errors import ClusterError
from aiperf.service.layout import Layout

log = logging.getLogger(__name__)

STARTUP_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class HostedRun:
    """A run in a cluster, as far as its pods go."""

    layout: Layout
    namespace: str
    owns_namespace: bool
    """Made for this run, and to be removed with it."""

    @property
    def run_id(self) -> str:
        return self.layout.run_id

    @property
    def pods(self) -> int:
        return sum(not host.outstays for host in self.layout.hosts)


class KubernetesServiceManager:
    """`tell` hears lines for the user."""

    outlives_operator = True

    def __init__(
        self,
        cluster: Cluster,
        run: HostedRun,
        tell: Callable[[str], None],
        *,
        create: Callable[[], Awaitable[None]] | None = None,
        needs_all_pods: bool = False,
    ) -> None:
        """`create` makes the run's objects; a run that was made here is removed in the end. None: it is there, and
        others see to its end. `needs_all_pods`: the run cannot begin without one of them."""
        self._cluster = cluster
        self._run = run
        self._tell = tell
        self._create = create
        self._states: dict[str, PodState] = {}
        self._ends: asyncio.Queue[HostEnded | Exception] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._startup = StartupWatch(run.pods, needs_all=needs_all_pods)
        self._is_ours = False

    async def start(self) -> None:
        if self._create is not None:
            self._is_ours = True
            await self._create()
        self.watch()

    def watch(self) -> None:
        """Begins to watch the run's pods."""
        works = (self._watch_pods(), self._watch_startup())
        self._tasks = [asyncio.create_task(self._guarded(work)) for work in works]

    async def next_end(self) -> HostEnded:
        """The next host to end. Raises: AIPerfError if the run will never begin, or its pods cannot be watched."""
        end = await self._ends.get()
        if isinstance(end, Exception):
            raise end
        return end

    def begun(self) -> None:
        """The controller answers: from now on it tells what it waits for, and what becomes of its pods."""
        self._startup.begun()

    async def stop(self, grace_s: float) -> None:  # noqa: ARG002 (pods have a grace of their own)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._is_ours:
            await remove_run(self._cluster, self._run.run_id, self._run.namespace, self._run.owns_namespace)
            self._is_ours = False

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """A part that fails is told by `next_end`, which somebody waits for."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 (a task's outer edge: a bug, too, is raised where it is waited for)
            self._ends.put_nowait(error)

    async def _watch_pods(self) -> None:
        try:
            await self._follow_pods()
        except ClusterError as error:
            if not self._startup.answers:
                raise
            self._tell(f"the run goes on, but its pods cannot be watched any more: {error}")

    async def _follow_pods(self) -> None:
        run = self._run
        async for kind, pod in self._cluster.watch_pods(run.namespace, run_labels(run.run_id)):
            state = pod_state(pod, deleted=kind == "DELETED")
            uid = str(pod["metadata"]["uid"])
            before = self._states.get(uid)
            if before is None or not before.ended:
                self._states[uid] = state
                if state.ended:
                    # What was beside the first went with it, and is not told of as well.
                    for end in host_ends(pod, state, run.layout)[:1]:
                        self._ends.put_nowait(end)

    async def _watch_startup(self) -> None:
        """Tells what pods wait for, until the run has begun; gives up where waiting does not help."""
        while not self._startup.over:
            await asyncio.sleep(STARTUP_INTERVAL_S)
            events = await self._events() if self._startup.wants_events(time.monotonic()) else None
            for line in self._startup.look(list(self._states.values()), events, time.monotonic()):
                self._tell(line)

    async def _events(self) -> list[dict[str, Any]]:
        with contextlib.suppress(ClusterError):  # the right to see them is optional
            return await self._cluster.list("Event", self._run.namespace)
        return []
