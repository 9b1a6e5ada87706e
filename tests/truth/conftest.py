"""Real runs against a server that writes down what it did: each request as the client reports it beside the truth."""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from tests.run_end import awaited_end

from aiperf.cli.flags import plan_from_argv
from aiperf.cli.service import leave_for_services
from aiperf.clock import TEST_CLOCK
from aiperf.deploy.layouts import local_layout
from aiperf.deploy.line import BusLine
from aiperf.mock.truth import Truth, read_rows
from aiperf.plan.plan import settled
from aiperf.units import NS_PER_MS

HANG_S = 120
"""Far more than any of these runs takes on a slow machine."""

DEFAULTS = {"AIPERF_ISL_MEAN_TOKENS": "8", "AIPERF_ENTRIES_COUNT": "20", "AIPERF_RANDOM_SEED": "1"}
"""By environment, so that flags can replace them."""

NOISE_MS = 0.2
"""The report is on a clock anchored to the wall clock when the run starts, the log on the wall clock itself: the anchor
is good to 0.05 ms, and a step below that is not followed."""

BURNER = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
"""Wants a whole core, and gives it back should nobody end it."""


@dataclass(frozen=True)
class Request:
    """One request: its line of `profile_export.jsonl`, and its row of the server's log."""

    line: dict
    row: Truth

    def metric(self, tag: str) -> float:
        return self.line["metrics"][tag]["value"]

    def instant(self, name: str) -> int:
        return self.line["metadata"][name]

    @property
    def ttft_error_ms(self) -> float:
        """Reported minus true: what the network and the client added. The truth is from the request's arrival at the
        server to the sending of the first content."""
        return self.metric("time_to_first_token") - (self.row.sent_ns[0] - self.row.received_ns) / NS_PER_MS

    @property
    def latency_error_ms(self) -> float:
        """The same of the request latency: the truth ends with the sending of the last content."""
        return self.metric("request_latency") - (self.row.sent_ns[-1] - self.row.received_ns) / NS_PER_MS

    def check_interval(self, tag: str, width_tag: str, send: int) -> None:
        """The interval in which the report says that a token arrived does not begin after its sending was over."""
        if width_tag in self.line["metrics"]:
            earliest_ms = self.metric(tag) - self.metric(width_tag)
            true_ms = (self.row.after_ns[send] - self.instant("request_start_ns")) / NS_PER_MS
            assert earliest_ms <= true_ms + NOISE_MS


@dataclass(frozen=True)
class Measured:
    """A finished run."""

    summary: dict
    lines: list[dict]
    """In the order of credits."""
    rows: list[Truth]
    """In the order of arrival at the server."""
    raw: list[dict]
    """Lines of the raw export, in the order of credits, if there is one."""

    @property
    def requests(self) -> list[Request]:
        """Every request, joined by its id. Order: of credits."""
        rows = {row.request_id: row for row in self.rows}
        return [Request(line, rows[line["metadata"]["x_request_id"]]) for line in self.lines]

    def check_conservation(self, count: int) -> None:
        """Every credit came back once, and client and server know of the same requests."""
        credits = self.summary["credits"]
        assert credits["issued"] == count
        assert credits["issued"] == sum(
            credits[fate] for fate in ("completed", "failed", "cancelled", "censored", "lost")
        )
        assert [line["metadata"]["session_num"] for line in self.lines] == list(range(count))
        ids = [line["metadata"]["x_request_id"] for line in self.lines]
        assert len(set(ids)) == count
        assert sorted(ids) == sorted(row.request_id for row in self.rows)

    def check_causality(self) -> None:
        """Nothing is received before it was sent: no request by the server, no byte by the client."""
        for request in self.requests:
            row = request.row
            assert row.kernel_stamp
            assert row.received_ns >= request.instant("request_start_ns") - NOISE_MS * NS_PER_MS
            assert request.instant("request_ack_ns") >= row.sent_ns[0] - NOISE_MS * NS_PER_MS
            assert request.instant("request_end_ns") >= row.sent_ns[-1] - NOISE_MS * NS_PER_MS
            assert request.latency_error_ms >= -2 * NOISE_MS
            request.check_interval("request_latency", "last_token_width", -1)
            if "time_to_first_token" in request.line["metrics"]:
                assert request.ttft_error_ms >= -2 * NOISE_MS
                request.check_interval("time_to_first_token", "first_token_width", 0)


@pytest.fixture
def median() -> Callable[[Iterable[float]], float]:
    return statistics.median


@pytest.fixture
def measure(mock_process: Callable, tmp_path: Path) -> Callable[..., Measured]:
    """`measure(server_flags, profile_flags)` runs `aiperf profile` against a server with a truth log.

    Output tokens are counted by `tokenizer`; None: by the server.
    """
    runs = iter(range(100))

    def run(server_flags: Sequence[str], profile_flags: Sequence[str], tokenizer: str | None = "builtin") -> Measured:
        folder = tmp_path / str(next(runs))
        folder.mkdir()
        server = mock_process(*server_flags, "--truth-log", str(folder / "truth"))
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AIPERF_")} | DEFAULTS
        command = (
            *(sys.executable, "-m", "aiperf", "profile", "-m", "m", "--url", server.url, "--ui", "none"),
            *("--artifact-dir", str(folder / "artifacts")),
            *(("--tokenizer", tokenizer) if tokenizer else ()),
            *profile_flags,
        )
        finished = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=HANG_S, check=False)
        assert finished.returncode == 0, finished.stderr
        assert server.stop() == 0
        (results,) = (folder / "artifacts").iterdir()
        return _measured(results, folder / "truth")

    return run


@pytest.fixture
def measure_apart(mock_process: Callable, tmp_path: Path) -> Callable[..., Measured]:
    """`measure_apart(server_flags, profile_flags, clocks)` runs a benchmark whose hosts each have a clock of their own,
    as machines have, two workers among them. `clocks`: what is wrong with which host's (`AIPERF_TEST_CLOCK`).

    The hosts are started here one by one as a container starts them, since each has an environment of its own.
    """

    def run(server_flags: Sequence[str], profile_flags: Sequence[str], clocks: Mapping[str, str]) -> Measured:
        server = mock_process(*server_flags, "--truth-log", str(tmp_path / "truth"))
        argv = ("-m", "m", "--url", server.url, "--tokenizer", "builtin", *profile_flags)
        plan = settled(plan_from_argv(argv, DEFAULTS)[0], drawn_seed=1, export_level_given=False)
        results, work_dir = tmp_path / "results", Path(tempfile.mkdtemp(prefix="apart-"))
        layout = local_layout(run_id="apart", workers=2, processors=1, artifact_dir=results, work_dir=work_dir, seed=1)
        layout = msgspec.structs.replace(layout, anchor_ns=0)
        Path(layout.data_dir).mkdir(parents=True)
        leave_for_services(layout, plan, work_dir)
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, work_dir)
            for host in layout.hosts:
                environ = dict(os.environ)
                if host.host_id in clocks:
                    environ[TEST_CLOCK] = clocks[host.host_id]
                command = [sys.executable, "-m", "aiperf", "service", "--host", host.host_id, "--run-dir", work_dir]
                process = subprocess.Popen(command, env=environ)
                stack.callback(process.wait)
                stack.callback(process.kill)
            finished = awaited_end(BusLine(layout), HANG_S)
        assert finished.exit_code == 0, finished.reason
        assert server.stop() == 0
        return _measured(results, tmp_path / "truth")

    return run


def _measured(results: Path, truth: Path) -> Measured:
    return Measured(
        json.loads((results / "profile_export_aiperf.json").read_bytes()),
        _by_credit(results / "profile_export.jsonl"),
        read_rows(truth),
        _by_credit(results / "profile_export_raw.jsonl"),
    )


def _by_credit(path: Path) -> list[dict]:
    lines = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    return sorted(lines, key=lambda line: line["metadata"]["session_num"])


@pytest.fixture
def burner() -> Iterator[None]:
    """One process that burns a core for the time of the test."""
    process = subprocess.Popen([sys.executable, "-c", BURNER])
    try:
        yield
    finally:
        process.kill()
        process.wait()
