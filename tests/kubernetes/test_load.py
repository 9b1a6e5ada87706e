"""Flags of a local benchmark mean the same in the cluster."""

from tests.kubernetes.runs import SMALL

RATED = ("--request-rate", "30", "--concurrency", "8", "--connections-per-worker", "4", "--request-count", "90")
MORE = ("--warmup-request-count", "10", "--export-level", "raw", "--goodput", "request_latency:60000")


def test_a_rate_with_a_cap_over_two_workers_with_warm_up_payloads_and_goodput(aiperf, server):
    run = aiperf.run(*SMALL, *RATED, *MORE, "--url", server.url)
    assert run.exit_code == 0, run.words
    summary = run.summary
    assert summary["credits"]["completed"] == summary["request_count"]["avg"] == len(run.lines) == 90
    assert len(summary["workers"]) == 2
    assert sum(worker["request_count"] for worker in summary["workers"]) == 90
    assert summary["good_request_count"]["avg"] == 90
    raw = (run.folder / "profile_export_raw.jsonl").read_bytes().splitlines()
    assert len(raw) == 90
    assert run.reconciles
