"""Processes that are killed or hang: every one ends in a stated outcome, and nothing is left behind."""

import os
import signal

import pytest

LOAD = ("--streaming", "--concurrency", "4", "--connections-per-worker", "2", "--record-processors", "2")
"""Two workers, two record processors."""
LONG = ("--duration", "60")


@pytest.fixture(scope="module")
def url(module_mock_server):
    return module_mock_server("--ttft", "10", "--itl", "5")


def killed_under_load(aiperf, url, host_id, *flags):
    """A finished run of which one process was killed."""
    run = aiperf.start_small(url, *flags)
    run.wait_for_load()
    os.kill(run.host(host_id).pid, signal.SIGKILL)
    return run.finish()


def test_a_killed_worker_costs_its_requests_and_the_run_goes_on(aiperf, url):
    run = killed_under_load(aiperf, url, "worker-1", *LOAD, "--request-count", "200")
    assert run.exit_code == 0
    assert run.stderr.count("worker-1 was lost: its process was killed by SIGKILL") == 1
    summary = run.summary
    assert summary["credits"]["lost"] > 0
    assert summary["verdict"]["status"] != "valid"
    assert any("worker-1" in reason["text"] for reason in summary["verdict"]["reasons"])
    assert run.reconciles
    assert len(run.lines) == summary["records"]["records"]
    assert summary["credits"]["issued"] == 200


def test_without_its_only_worker_a_run_reports_what_there_is(aiperf, url):
    run = killed_under_load(aiperf, url, "worker-0", "--streaming", "--concurrency", "4", *LONG)
    assert run.exit_code == 1
    assert "aiperf: error: the last worker was lost: its process was killed by SIGKILL" in run.stderr
    assert not run.summary["is_complete"]
    assert run.reconciles


def test_a_killed_record_processor_costs_its_records_and_the_run_goes_on(aiperf, url):
    run = killed_under_load(aiperf, url, "record-processor-1", *LOAD, "--request-count", "200")
    assert run.exit_code == 0
    assert "record-processor-1 was lost: its process was killed by SIGKILL" in run.stderr
    summary = run.summary
    assert summary["credits"]["completed"] + summary["credits"]["failed"] == 200
    assert summary["records"]["lost"] > 0
    assert summary["verdict"]["status"] != "valid"
    assert run.reconciles
    # Every record that is counted has its line, or the report says how many have none.
    missing = summary["records"]["records"] - len(run.lines)
    assert missing == 0 or any(f"lacks {missing} lines" in warning for warning in summary["warnings"])


def test_a_killed_record_processor_loses_only_the_lines_that_had_not_left(aiperf, url):
    run = aiperf.start_small(url, *LOAD, "--duration", "8")
    shards = run.artifacts.glob
    run.eventually(lambda: [*shards("*/.run/record-processor-1.lines")], "lines of it are with the records manager")
    os.kill(run.host("record-processor-1").pid, signal.SIGKILL)
    run.finish()
    summary = run.summary
    missing = summary["records"]["records"] - len(run.lines)
    assert summary["records"]["lines_lost"] == missing
    assert missing == 0 or any(f"lacks {missing} lines" in warning for warning in summary["warnings"])
    assert any(line["metadata"]["record_processor_id"] == "record-processor-1" for line in run.lines)
    assert run.reconciles


def test_without_its_only_record_processor_a_run_reports_what_there_is(aiperf, url):
    run = killed_under_load(aiperf, url, "record-processor-0", "--streaming", "--concurrency", "4", *LONG)
    assert run.exit_code == 1
    assert "aiperf: error: " in run.stderr
    assert "the last record-processor was lost: its process was killed by SIGKILL" in run.stderr
    assert not run.summary["is_complete"]
    assert run.reconciles


def test_without_its_controller_a_run_ends_with_what_was_last_seen(aiperf, url):
    run = killed_under_load(aiperf, url, "control", *LOAD, *LONG)
    assert run.exit_code == 1
    assert "aiperf: error: the controller was lost: its process was killed by SIGKILL" in run.stderr
    assert not list(run.folder.glob("*.json"))


def test_the_processes_leave_and_clean_up_when_the_command_is_killed(aiperf, url):
    run = aiperf.start_small(url, *LOAD, *LONG)
    run.wait_for_load()
    run.signal(signal.SIGKILL)
    run.process.wait()
    run.eventually(lambda: not run.processes(), "every process has left", must_live=False)
    run.finish()
    assert run.exit_code == -signal.SIGKILL


def test_the_last_process_cleans_up_when_command_and_controller_are_killed(aiperf, url):
    run = aiperf.start_small(url, *LOAD, *LONG)
    run.wait_for_load()
    os.kill(run.host("control").pid, signal.SIGKILL)
    run.signal(signal.SIGKILL)
    run.process.wait()
    run.eventually(lambda: not run.processes(), "every process has left", must_live=False)
    run.finish()


def test_a_worker_that_is_told_to_end_says_so_at_once_and_hands_over_what_it_has(aiperf, url):
    run = aiperf.start_small(url, *LOAD, "--request-count", "200")
    run.wait_for_load()
    os.kill(run.host("worker-1").pid, signal.SIGTERM)
    run.finish()
    assert run.exit_code == 0
    assert run.stderr.count("worker-1 was lost: its process was told to end by SIGTERM") == 1
    log = (run.folder / "logs" / "aiperf.log").read_text()
    told, gone = moments(log, "worker-1", "told to leave"), moments(log, "control", "worker-1 was lost: its process")
    assert 0 <= gone - told < 5, "1.5 s at the most by its own limits; the rest is for a slow machine"
    summary = run.summary
    # Its requests of some 100 ms could end; what it had in hand went to the other worker.
    assert summary["credits"]["completed"] == len(run.lines) == 200
    assert summary["credits"]["lost"] == 0
    assert summary["verdict"]["status"] != "valid"
    assert any("worker-1" in reason["text"] for reason in summary["verdict"]["reasons"])
    assert run.reconciles


def moments(log: str, host: str, text: str) -> float:
    """When, in seconds of the day, a host first wrote a line with that text."""
    line = next(line for line in log.splitlines() if f" {host}[" in line and text in line)
    hours, minutes, seconds = line.split()[0].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def test_a_control_host_that_is_told_to_end_says_so(aiperf, url):
    run = aiperf.start_small(url, *LOAD, *LONG)
    run.wait_for_load()
    os.kill(run.host("control").pid, signal.SIGTERM)
    run.finish()
    assert run.exit_code == 1
    assert "was lost: its process was told to end by SIGTERM" in run.stderr


def test_a_process_that_dies_while_starting_ends_the_run(aiperf, url):
    run = aiperf.start_small(url, *LOAD, *LONG, "--isl-stddev", "3")
    worker = run.host("worker-0")
    worker.kill()
    run.finish()
    assert run.exit_code == 3
    assert "worker-0 was lost while starting" in run.stderr


@pytest.mark.slow
def test_a_hung_worker_is_found_by_its_silence(aiperf, url):
    run = aiperf.start_small(url, *LOAD, "--request-count", "400")
    run.wait_for_load()
    run.host("worker-1").suspend()
    run.finish()
    assert run.exit_code == 0
    assert "worker-1 was lost: no sign of life" in run.stderr
    assert run.summary["credits"]["lost"] > 0
    assert run.reconciles
