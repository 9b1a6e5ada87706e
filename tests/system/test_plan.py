"""`aiperf plan` as a process, and the promise of a run that follows from the same flags."""

import json
import os
import subprocess
import sys

import pytest

from aiperf.errors import ExitCode

EXPECTED = ("--streaming", "--osl", "10", "--ttft", "20ms", "--itl", "5ms")


def plan(*argv: str, cwd: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AIPERF_")}
    return subprocess.run(
        [sys.executable, "-m", "aiperf", "plan", *argv],
        capture_output=True, text=True, env=environ, cwd=cwd, timeout=60, check=False,
    )  # fmt: skip


def test_a_small_load_fits_and_nothing_is_left_behind(tmp_path):
    done = plan("--concurrency", "2", *EXPECTED, cwd=str(tmp_path))
    assert (done.returncode, done.stderr) == (ExitCode.DONE, "")
    assert "It fits." in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_load_beyond_any_machine_does_not(tmp_path):
    done = plan("--concurrency", "100000000", *EXPECTED, cwd=str(tmp_path))
    assert (done.returncode, done.stderr) == (ExitCode.INFRASTRUCTURE, "")
    assert "too small" in done.stdout


def test_pods_are_planned_without_a_cluster(tmp_path):
    done = plan("--kubernetes", "--kubeconfig", __file__, "--concurrency", "20000", *EXPECTED, cwd=str(tmp_path))
    assert (done.returncode, done.stderr) == (ExitCode.DONE, "")
    assert "Pods " in done.stdout


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--ttft", "fast"), "--ttft: 'fast' is no duration"),
        (("--concurrency", "1,2"), "a list of values is a sweep"),
        (("--itle", "3ms"), "Did you mean --itl?"),
        (("million",), "'million' belongs to no flag"),
    ],
)
def test_what_is_no_plan_is_told(tmp_path, argv, told):
    done = plan(*argv, cwd=str(tmp_path))
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert told in done.stderr


def test_a_run_is_held_against_its_promise(aiperf, mock_server):
    url = mock_server("--ttft", "20", "--itl", "5", "--tokens", "10")
    run = aiperf.run("-m", "m", "-u", url, "--concurrency", "4", "--request-count", "40", *EXPECTED)
    assert run.exit_code == ExitCode.DONE
    assert "Promise " in run.stdout
    (path,) = run.artifacts.glob("*/profile_export_aiperf.json")
    promise = json.loads(path.read_text())["promise"]
    rows = promise["rows"]
    assert promise["expects"] is True
    assert (rows["workers"]["promised"], rows["workers"]["reached"]) == (1, 1)
    assert rows["connections"]["promised"] == 4
    assert rows["time_to_first_token"]["promised"] == 20
    assert rows["requests_per_s"]["promised"] == pytest.approx(4 / 0.065)
    for kind in ("worker", "record_processor", "control"):
        assert rows[f"{kind}_cpu_s"]["reached"] > 0
        assert rows[f"{kind}_cpu_s"]["promised"] > 0
        assert rows[f"{kind}_cpu_s"]["ratio"] == pytest.approx(
            rows[f"{kind}_cpu_s"]["reached"] / rows[f"{kind}_cpu_s"]["promised"]
        )
    assert rows["control_memory_mb"]["reached"] > 0
    assert promise["missed"] == [name for name, row in rows.items() if row["missed"]]
