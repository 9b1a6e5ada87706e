"""What is told of files: those that an attached run waits for, and results that cannot be written here."""

import errno
from pathlib import Path
from typing import Any, cast

import pytest

from aiperf.api.contract import Uploadable, UploadInfo
from aiperf.deploy.kubernetes.api_line import ApiLine, missing_text
from aiperf.deploy.kubernetes.reach import Entrance
from aiperf.deploy.line import ResultsStayError
from aiperf.errors import ExitCode
from aiperf.wire.messages import RunFinished

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
