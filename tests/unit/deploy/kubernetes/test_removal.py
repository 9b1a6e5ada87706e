"""When a run counts as removed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aiperf.deploy.kubernetes import session
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.removal import remove_run
from aiperf.errors import ClusterError

from .api_double import ApiDouble, status


async def test_a_kind_that_may_not_be_listed_is_left_aside(tmp_path: Path):
    def answer(method: str, path: str, *_: object) -> Any:
        if path.endswith("/roles"):
            return status(403, "Forbidden")
        return (200, {"items": [], "metadata": {"resourceVersion": "1"}}) if method == "GET" else (200, {})

    async with ApiDouble(answer) as double, Cluster.connect(double.kubeconfig(tmp_path / "config")) as cluster:
        await remove_run(cluster, "0123", "perf", owns_namespace=False)


async def test_nothing_is_taken_for_gone_while_the_server_does_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "PAUSE_MIN_S", 40.0)  # longer than its patience
    answers = [(200, {})]
    async with (
        ApiDouble(lambda *_: answers.pop(0) if answers else status(503, "ServiceUnavailable")) as double,
        Cluster.connect(double.kubeconfig(tmp_path / "config")) as cluster,
    ):
        with pytest.raises(ClusterError):
            await asyncio.wait_for(remove_run(cluster, "0123", "perf", owns_namespace=False), 20)
