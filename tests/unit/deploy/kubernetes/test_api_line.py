"""What is told of files that come or do not, of results that cannot be written, of a controller that is not reached."""

import contextlib
import errno
from pathlib import Path
from typing import Any, cast

import pytest

from aiperf.api.contract import Uploadable, UploadInfo
from aiperf.deploy.kubernetes import api_line
from aiperf.deploy.kubernetes.api_line import ApiLine, missing_text
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.reach import Entrance, open_way
from aiperf.deploy.line import ResultsStayError
from aiperf.errors import ClusterError, ExitCode
from aiperf.wire.messages import RunFinished

from .api_double import ApiDouble, status

ENTRANCE = Entrance("perf", "0123", "port-forward", token="t", certificate_pem="c")


def test_a_file_that_came_in_part_is_named_with_what_to_do():
    text = missing_text(
        Uploadable.INPUT, UploadInfo("prompts.jsonl", 100_000_000, 12_000_000, complete=False), ENTRANCE
    )
    assert "waits for prompts.jsonl: 12.0 of 100.0 MB have come" in text
    assert "aiperf kube cleanup 0123 --namespace perf --all" in text


def test_a_file_of_which_nothing_came_is_told_by_its_kind():
    text = missing_text(Uploadable.TOKENIZER, UploadInfo("", 0, 0, complete=False), ENTRANCE)
    assert "waits for its tokenizer: nothing has come" in text


async def test_a_controller_that_does_not_come_is_told_as_an_error_of_the_cluster(monkeypatch: pytest.MonkeyPatch):
    @contextlib.asynccontextmanager
    async def no_way(*_: object) -> Any:
        raise ClusterError("its pod does not run", "Pods found: none.", reason="NotFound")
        yield

    monkeypatch.setattr(api_line, "open_way", no_way)
    monkeypatch.setattr(api_line, "OPENING_LIMIT_S", 0.0)
    line = ApiLine(None, ENTRANCE, Path("results"), print)  # type: ignore[arg-type]
    with pytest.raises(ClusterError, match="no controller came within 0 s: its pod does not run"):
        await line.open()


async def test_a_way_that_the_run_was_not_made_for_is_not_waited_for(tmp_path: Path):
    controller = {
        "metadata": {"name": "c", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    }

    def answer(method: str, path: str, *_: object) -> Any:
        pods = {"items": [controller], "metadata": {"resourceVersion": "1"}}
        return (200, pods) if path.endswith("/pods") else status(404, "NotFound")

    elsewhere = Entrance("perf", "0123", "nodeport", token="t", certificate_pem="c")
    async with ApiDouble(answer) as double, Cluster.connect(double.kubeconfig(tmp_path / "config")) as cluster:
        with pytest.raises(ClusterError, match="started with another way"):
            await ApiLine(cluster, elsewhere, tmp_path, print).open()
        with pytest.raises(ClusterError, match="Use --api-access port-forward"):
            async with open_way(cluster, elsewhere):
                pass


class Client:
    """To which a way is open, and whose results the disk here will not have."""

    async def fetch_artifacts(self, into: Path) -> list[Path]:
        raise OSError(errno.ENOSPC, "No space left on device", str(into))


async def test_results_that_the_disk_will_not_have_are_told_with_the_way_to_them(tmp_path: Path):
    line = ApiLine(cast("Any", None), ENTRANCE, tmp_path, print)
    line._client = cast("Any", Client())
    with pytest.raises(ResultsStayError) as told:
        await line.bring_home(RunFinished(ExitCode.DONE, "completed", "", "/results", "/results/summary.json"))
    assert f"cannot be written to {tmp_path}: No space left on device" in str(told.value)
    assert "aiperf kube results 0123 --namespace perf --output DIR" in str(told.value)


async def test_a_run_that_failed_is_told_as_that_although_its_log_cannot_be_written(tmp_path: Path):
    line = ApiLine(cast("Any", None), ENTRANCE, tmp_path, print)
    line._client = cast("Any", Client())
    failed = RunFinished(ExitCode.BENCHMARK_FAILED, "failed", "why", "", "")
    assert await line.bring_home(failed) == failed
