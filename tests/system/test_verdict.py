"""The verdict on real runs: disturbed ones, whose numbers are off by no more than it says, and what a script hears."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from tests.run_end import awaited_end

from aiperf.cli.flags import plan_from_argv
from aiperf.cli.service import leave_for_services
from aiperf.deploy.layouts import local_layout
from aiperf.deploy.line import BusLine
from aiperf.errors import ExitCode
from aiperf.mock.truth import read_truth
from aiperf.plan.plan import settled

MS = 1_000_000
NOISE_MS = 0.4
"""Clocks, and two trips over loopback."""
UNCLAIMED_MS, UNCLAIMED_FRACTION = 1.0, 0.05
"""What needs no claim."""
BURNER = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
LATE = ("--request-rate", "200", "--request-count", "200", "--connect-rate", "10", "--streaming")
"""Ten connections a second for two hundred requests: most wait for seconds, on any machine. The client's own doing."""
STREAMS = ("-m", "m", "--tokenizer", "builtin", "--isl", "8", "--osl", "20", "--streaming", "--workers-max", "1")
HANG_S = 60
ATTEMPTS = 10
"""Runs of which one at least is left alone long enough to be valid."""


def claimed(summary, tag, statistic):
    """The largest effect on the metric that any reason states, in its unit."""
    return max(
        (
            effect["sizes"][statistic]["amount"]
            for reason in summary["verdict"]["reasons"]
            for effect in reason["effects"]
            if effect["metric"] == tag and effect["direction"] == "too_high" and statistic in effect["sizes"]
        ),
        default=0.0,
    )


def check_claims(run, truth):
    """Each latency is off by no more than the verdict says, or by too little to be said."""
    rows = [truth[line["metadata"]["x_request_id"]] for line in run.lines]
    for tag, index in (("time_to_first_token", 0), ("request_latency", -1)):
        true = [(row.sent_ns[index] - row.received_ns) / MS for row in rows]
        told = [line["metrics"][tag]["value"] for line in run.lines]
        for percent in (50, 99):
            off_ms = np.percentile(told, percent) - np.percentile(true, percent)
            allowed_ms = max(claimed(run.summary, tag, f"p{percent}"), UNCLAIMED_MS, UNCLAIMED_FRACTION * max(told))
            assert off_ms <= allowed_ms + NOISE_MS, (tag, percent, run.summary["verdict"])


def rules(run):
    return {reason["rule"] for reason in run.summary["verdict"]["reasons"]}


@pytest.fixture
def server(mock_process, tmp_path):
    return mock_process("--ttft", "100", "--itl", "20", "--truth-log", str(tmp_path / "truth"))


def truth_of(server, tmp_path):
    assert server.stop() == 0
    return read_truth(tmp_path / "truth")


def test_a_stopped_worker_is_noticed_and_its_numbers_are_off_by_no_more_than_is_said(aiperf, server, tmp_path):
    load = ("--concurrency", "16", "--duration", "4")
    run = aiperf.start(*STREAMS, "--url", server.url, *load)
    run.wait_for_load()
    worker = run.host("worker-0")
    worker.suspend()
    time.sleep(1.2)
    worker.resume()
    assert run.finish().exit_code == 0, run.stderr
    assert run.summary["verdict"]["status"] == "invalid"
    assert "rearm_delay" in rules(run)
    causes = {cause["symptom"]: cause for cause in run.summary["verdict"]["causes"]}
    assert causes["standstill"]["amount"] > 500
    assert causes["standstill"]["worker"] == "worker-0"
    check_claims(run, truth_of(server, tmp_path))
    assert "!! " in run.stdout
    assert "Meanwhile: worker-0 stood still for " in run.stdout


def test_on_a_burnt_core_the_widths_cover_the_truth(aiperf, server, tmp_path):
    load = ("--concurrency", "16", "--duration", "3")
    run = aiperf.start(*STREAMS, "--url", server.url, *load)
    worker = run.host("worker-0")
    core = max(os.sched_getaffinity(0))
    worker.cpu_affinity([core])
    burners = [subprocess.Popen([sys.executable, "-c", BURNER]) for _ in range(2)]
    try:
        for burner in burners:
            os.sched_setaffinity(burner.pid, {core})
        assert run.finish().exit_code == 0, run.stderr
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    truth = truth_of(server, tmp_path)
    check_claims(run, truth)
    (row,) = run.summary["workers"]
    assert row["run_queue_delay_ms"] > 0
    assert row["observed_s"] > 2.5
    assert 0 < row["cpu_s"] < row["observed_s"]
    assert row["memory_max_mb"] > 10
    for line in run.lines:
        metadata, metrics, seen = line["metadata"], line["metrics"], truth[line["metadata"]["x_request_id"]]
        for tag, width, send in (
            ("time_to_first_token", "first_token_width", 0),
            ("request_latency", "last_token_width", -1),
        ):
            latest_ns = metadata["request_start_ns"] + metrics[tag]["value"] * MS
            earliest_ns = latest_ns - metrics[width]["value"] * MS
            assert earliest_ns <= seen.after_ns[send] + NOISE_MS * MS
            assert latest_ns >= seen.sent_ns[send] - NOISE_MS * MS


def test_a_run_that_must_be_valid_and_is_not_ends_with_a_code_of_its_own(aiperf, module_url):
    run = aiperf.run_small(module_url, *LATE, "--require-valid")
    assert run.summary["verdict"]["status"] == "invalid"
    assert run.exit_code == ExitCode.NOT_VALID == 5
    assert "aiperf: error: the verdict is invalid, and --require-valid was given: " in run.stderr
    assert "Verdict" in run.stdout
    assert (run.folder / "profile_export.jsonl").exists()


def test_without_being_asked_the_verdict_is_in_the_report_and_not_in_the_code(aiperf, module_url):
    run = aiperf.run_small(module_url, *LATE)
    assert run.summary["verdict"]["status"] == "invalid"
    assert run.exit_code == 0, run.stderr


def test_a_run_that_must_be_valid_and_is_ends_well(aiperf, module_url):
    """Other tests may disturb a run, and then it is rightly not valid: the code follows the verdict of each."""
    load = ("--concurrency", "2", "--request-count", "10", "--require-valid", "--streaming", "--workers-max", "1")
    for _ in range(ATTEMPTS):
        run = aiperf.run_small(module_url, *load)
        status = run.summary["verdict"]["status"]
        assert run.exit_code == (ExitCode.NOT_VALID if status == "invalid" else ExitCode.DONE), run.stderr
        assert ("error" in run.stderr) is (status == "invalid")
        if status == "valid":
            return
    pytest.fail(f"not one of {ATTEMPTS} runs was valid: {run.stderr}")


@pytest.fixture(scope="module")
def module_url(module_mock_server):
    return module_mock_server("--ttft", "300", "--itl", "2")


@pytest.mark.parametrize(("flags", "code"), [(("--require-valid",), 5), ((), 0)], ids=["required", "not asked"])
def test_the_controller_of_a_run_that_nobody_started_says_so_too(module_url, tmp_path, flags, code):
    """Its hosts are started here one by one, as a cluster starts containers; the verdict is the client's own doing."""
    argv = ("-m", "m", "--url", module_url, "--tokenizer", "builtin", "--isl", "8", "--osl", "4", *LATE, *flags)
    plan = settled(plan_from_argv(argv, {})[0], drawn_seed=1, export_level_given=False)
    work_dir = Path(tempfile.mkdtemp(prefix="alone-"))
    layout = local_layout(run_id="alone", workers=1, processors=1, artifact_dir=tmp_path, work_dir=work_dir, seed=1)
    Path(layout.data_dir).mkdir(parents=True)
    leave_for_services(layout, plan, work_dir)
    command = (sys.executable, "-m", "aiperf", "service", "--run-dir", str(work_dir), "--host")
    hosts = [subprocess.Popen([*command, host.host_id]) for host in layout.hosts]
    try:
        finished = awaited_end(BusLine(layout), HANG_S)
        assert finished.exit_code == code
        codes = [host.wait(HANG_S) for host in hosts]
    finally:
        for host in hosts:
            if host.poll() is None:
                host.send_signal(signal.SIGKILL)
                host.wait()
        shutil.rmtree(work_dir, ignore_errors=True)
    assert codes == [code, *(0 for _ in hosts[1:])]
    (summary,) = tmp_path.glob("*_aiperf.json")
    assert json.loads(summary.read_bytes())["verdict"]["status"] == "invalid"
