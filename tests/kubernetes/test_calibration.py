"""A calibration in the cluster: on the run's own workers, against pods that are there for it alone."""

import json

from tests.kubernetes.runs import SMALL

QUICK = ("--calibrate-duration", "2", "--calibrate-ttft", "100ms", "--calibrate-itl", "10ms")
TWO_WORKERS = ("--concurrency", "8", "--connections-per-worker", "4")


def fates(credits: dict) -> int:
    return sum(credits[fate] for fate in ("completed", "failed", "cancelled", "censored", "lost"))


def test_a_calibration_before_the_load_is_in_its_results_and_not_in_its_metrics(aiperf, server):
    run = aiperf.run(*SMALL, *TWO_WORKERS, *QUICK, "--calibrate", "--request-count", "40", "--url", server.url)
    assert run.exit_code == 0, run.words
    summary = run.summary
    assert summary["request_count"]["avg"] == len(run.lines) == 40
    assert run.reconciles
    steps = summary["calibration"]["steps"]
    assert steps[0]["concurrency"] == 8
    assert steps[0]["request_count"] > 0
    for step in steps:
        assert step["credits"]["issued"] == fates(step["credits"])
    assert len(summary["workers"]) == 2


def test_a_calibration_alone_in_the_other_topology_brings_its_report_home(aiperf):
    flags = (*SMALL, *TWO_WORKERS, *QUICK, "--calibrate-only", "--topology", "per-service")
    run = aiperf.run(*flags)
    assert run.exit_code == 0, run.words
    (path,) = run.folder.glob("*_calibration.json")
    report = json.loads(path.read_bytes())
    assert report["workers"] == ["worker-0", "worker-1"]
    assert report["calibration"]["steps"][0]["request_count"] > 0


def test_without_its_server_the_calibration_is_given_up_and_the_load_goes_on(aiperf, server, cluster):
    flags = (*SMALL, *TWO_WORKERS, "--calibrate", "--calibrate-duration", "60", "--request-count", "20")
    run = aiperf.start(*flags, "--url", server.url)
    run.wait_for_load()
    pod = run.pod("calibration-server", 0)
    cluster.kubectl("delete", "pod", pod, "--namespace", run.namespace, "--grace-period=0", "--force", "--wait=false")
    run.finish()
    assert run.exit_code == 0, run.words
    assert run.summary["request_count"]["avg"] == 20
    assert any("the calibration was given up" in text for text in run.summary["warnings"])
