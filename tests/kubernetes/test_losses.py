"""Pods that are lost while the load is on: a worker's loss is accounted for, the controller's ends the run at once."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
from tests.kubernetes.runs import SMALL

TWO_WORKERS = (*SMALL, "--concurrency", "4", "--connections-per-worker", "2")
HOPE_S = 40
"""How long the end of a run without its controller may take: seconds on an idle machine, and never the run's length."""


def lose(run, name, *, gently=False):
    """Deletes a pod without asking it, or evicts it as a drained node does."""
    (pod,) = [pod for pod in run.pods() if pod["metadata"]["name"] == name]
    place = pod["metadata"]["namespace"]
    if not gently:
        run.cluster.kubectl("--namespace", place, "delete", "pod", name, "--grace-period=0", "--force", "--wait=false")
        return
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": place},
    }
    path = f"/api/v1/namespaces/{place}/pods/{name}/eviction"
    run.cluster.kubectl("create", "--raw", path, "--filename=-", stdin=json.dumps(eviction))


@pytest.mark.parametrize("gently", [False, True], ids=["killed", "evicted"])
def test_the_loss_of_a_worker_is_accounted_for_and_the_run_goes_on(aiperf, server, gently):
    run = aiperf.start(*TWO_WORKERS, "--duration", "20", "--url", server.url).wait_for_load()
    lose(run, run.pod("worker", 1), gently=gently)
    run.finish()
    assert run.exit_code == 0, run.words
    assert "worker-1" in run.stderr
    summary = run.summary
    severities = {reason["rule"]: reason["severity"] for reason in summary["verdict"]["reasons"]}
    assert severities["lost_workers"] == "degraded", summary["verdict"]
    assert run.reconciles
    assert summary["credits"]["completed"] > 0
    assert len(run.lines) <= summary["records"]["records"]


def test_a_worker_with_too_little_memory_is_told_with_the_flag_that_helps(aiperf, server):
    run = aiperf.run(*SMALL, "--url", server.url, "--worker-memory", "24Mi")
    assert run.exit_code in (1, 3), run.words
    assert "out of memory" in run.stderr
    assert "--worker-memory" in run.stderr
    assert run.in_cluster() == ""


def test_the_loss_of_the_controller_ends_the_command_with_the_last_progress(aiperf, cluster, server):
    run = aiperf.start(*TWO_WORKERS, "--duration", "300", "--url", server.url).wait_for_load()
    if cluster.status is None:
        lose(run, run.pod("controller"))
    else:  # Without a word: one that is only told to go brings its results home first.
        os.kill(process_of(run.pod("controller"), "control"), signal.SIGKILL)
    began_s = time.monotonic()
    run.finish()
    assert run.exit_code == 1, run.words
    assert re.search("controller was lost: .+", run.stderr), run.words
    told = re.search("; last seen: [1-9][0-9,]* requests completed", run.stderr)
    assert told or (cluster.status is None and run.summary["credits"]["completed"] > 0), run.words
    assert time.monotonic() - began_s < HOPE_S, run.words
    assert run.in_cluster() == ""


@pytest.mark.slow
def test_a_worker_that_hangs_is_found_and_named(aiperf, cluster, server):
    if cluster.status is None:
        pytest.skip("the processes of a cluster that the harness did not make cannot be stopped from here")
    flags = ("--duration", "60", "--benchmark-grace-period", "1", "--url", server.url)
    run = aiperf.start(*TWO_WORKERS, *flags).wait_for_load()
    os.kill(process_of(run.pod("worker", 1), "worker-1"), signal.SIGSTOP)
    run.eventually(lambda: "worker-1" in run.stderr, "the hung worker is named")
    run.signal(signal.SIGINT)
    run.finish()
    assert run.exit_code == 130, run.words
    assert "lost_workers" in {reason["rule"] for reason in run.summary["verdict"]["reasons"]}
    assert run.reconciles


def test_a_worker_leaves_with_its_record_processor_and_the_pod_is_replaced(aiperf, cluster, server):
    if cluster.status is None:
        pytest.skip("the processes of a cluster that the harness did not make cannot be killed from here")
    flags = ("--duration", "60", "--benchmark-grace-period", "1", "--url", server.url)
    run = aiperf.start(*TWO_WORKERS, *flags).wait_for_load()
    os.kill(process_of(run.pod("worker", 1), "record-processor-1"), signal.SIGKILL)
    run.eventually(lambda: "worker-1.1 joined after the start" in run.stderr, "a replacement joins")
    run.signal(signal.SIGINT)
    run.finish()
    assert run.exit_code == 130, run.words
    assert run.stderr.count("record-processor-1 was lost: it was started again; worker-1 beside it leaves, too") == 1
    assert "worker-1 was lost" not in run.stderr
    summary = run.summary
    assert [row["service_id"] for row in summary["workers"]] == ["worker-0", "worker-1", "worker-1.1"]
    assert summary["credits"]["lost"] == 0
    assert run.reconciles


def test_an_evicted_controller_reports_what_there_is(aiperf, server):
    run = aiperf.start(*TWO_WORKERS, "--duration", "300", "--url", server.url).wait_for_load()
    lose(run, run.pod("controller"), gently=True)
    run.finish()
    assert run.exit_code == 1, run.words
    assert "system-controller was lost: its process was told to end by SIGTERM" in run.stderr, run.words
    assert run.summary["credits"]["completed"] > 0
    assert run.in_cluster() == ""


def process_of(pod, host):
    """The process id here of a host in a pod of the harness's cluster."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if host.encode() in words and f"POD_NAME={pod}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                return int(entry.name)
        except OSError:
            continue
    raise AssertionError(f"no process of {host} in {pod}")
