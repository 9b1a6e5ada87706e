"""A record processor that does not keep up: the load goes on, what it could not take waits on disk, and that is said.

It is stopped by a signal, for less than the silence after which a service counts as lost.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

PROMPT = ("-m", "m", "--tokenizer", "builtin", "--isl", "8", "--osl", "40", "--num-prompts", "10", "--streaming")
LOAD = ("--concurrency", "16", "--duration", "12", "--export-level", "summary")
TMPFS_BYTES = 12 << 20


@pytest.fixture(scope="module")
def url(module_mock_server):
    """Half a megabyte a response, ten responses a second and slot: slices are large, so the bound is reached soon."""
    return module_mock_server("--ttft", "10", "--itl", "2", "--chunk-bytes", "12000")


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_a_stopped_record_processor_neither_slows_the_load_nor_loses_a_record(aiperf, url):
    run = aiperf.start(*PROMPT, *LOAD, "--url", url)
    run.wait_for_load()
    with stopped(run.host("record-processor-0")):
        spills = run.artifacts.glob
        run.eventually(lambda: [*spills("*/.run/worker-0.spill")], "the worker writes what is not taken to disk")
        worker = run.host("worker-0")
        before = worker.io_counters().read_chars
        run.eventually(lambda: worker.io_counters().read_chars > before, "the worker still reads answers")
    run.finish()
    assert run.exit_code == 0, run.stderr
    summary = run.summary
    assert run.reconciles
    assert summary["records"]["lost"] == summary["credits"]["lost"] == 0
    assert summary["records"]["records"] == summary["credits"]["completed"] + summary["credits"]["failed"]
    assert summary["error_summary"] == []
    deferred = summary["deferred"]
    assert deferred["bytes"] > 0
    assert deferred["slices"] > 0
    assert deferred["longest_s"] > 0
    assert deferred["dropped_slices"] == 0
    (reason,) = [reason for reason in summary["verdict"]["reasons"] if reason["rule"] == "deferred"]
    assert "had to wait on disk" in reason["text"]


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk that is soon full. Skips the test without the right to mount one."""
    folder.mkdir(parents=True)
    options = ("-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(folder))
    if os.geteuid() or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_costs_records_and_not_the_load_and_is_said(aiperf, url):
    with small_disk(aiperf.folder / "disk") as disk:
        run = aiperf.start(*PROMPT, *LOAD, "--url", url, "--artifact-dir", str(disk))
        run.artifacts = disk
        run.wait_for_load()
        with stopped(run.host("record-processor-0")):
            run.eventually(lambda: "has no room for what waits" in run.log, "the disk is full")
        run.finish()
        assert run.exit_code == 0, run.stderr
        summary = run.summary
        assert run.reconciles
        assert summary["is_complete"]
        assert summary["credits"]["lost"] == 0
        assert summary["records"]["lost"] > 0
        assert summary["deferred"]["dropped_slices"] > 0
        assert summary["verdict"]["status"] != "valid"
        assert any("has no room for what waits" in warning for warning in summary["warnings"])
        assert any("found no room" in reason["text"] for reason in summary["verdict"]["reasons"])
