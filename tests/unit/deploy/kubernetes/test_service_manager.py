"""What the watch over a run's pods tells when it fails."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aiperf.deploy.kubernetes.service_manager import HostedRun, KubernetesServiceManager
from aiperf.deploy.layouts import local_layout
from aiperf.errors import ClusterError


class BrokenCluster:
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def watch_pods(self, *_: object) -> Any:
        raise self._error
        yield


async def test_a_watch_that_fails_when_the_controller_answers_is_a_notice(tmp_path: Path):
    layout = local_layout(run_id="r", workers=1, processors=1, artifact_dir=tmp_path, work_dir=tmp_path, seed=1)
    cluster: Any = BrokenCluster(ClusterError("the server stays away"))
    told: list[str] = []
    manager = KubernetesServiceManager(cluster, HostedRun(layout, "perf", owns_namespace=False), told.append)
    manager.begun()
    manager.watch()
    try:
        while not told:
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(manager.next_end(), 0.05)
    finally:
        await manager.stop(0)
    assert told == ["the run goes on, but its pods cannot be watched any more: the server stays away"]


@pytest.mark.parametrize("error", [ClusterError("the server stays away"), KeyError("metadata")])
async def test_a_watch_that_fails_is_told_to_who_waits_for_ends(tmp_path: Path, error: Exception):
    layout = local_layout(run_id="r", workers=1, processors=1, artifact_dir=tmp_path, work_dir=tmp_path, seed=1)
    cluster: Any = BrokenCluster(error)
    manager = KubernetesServiceManager(cluster, HostedRun(layout, "perf", owns_namespace=False), print)
    manager.watch()
    try:
        with pytest.raises(type(error)):
            await asyncio.wait_for(manager.next_end(), 20)
    finally:
        await manager.stop(0)
