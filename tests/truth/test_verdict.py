"""Undisturbed runs are valid, and what the verdict claims about them holds."""

import pytest

STREAM = ("--ttft", "1000", "--itl", "50")
"""Slow enough that what other processes do to this one is a small share: p99 of 40 requests is the worst of them."""
CALM = {
    "closed loop": ("--streaming", "--osl", "10", "--concurrency", "8", "--request-count", "40"),
    "open loop": ("--streaming", "--osl", "10", "--request-rate", "20", "--arrival-pattern", "constant",
                  "--request-count", "40"),
    "whole answers": ("--osl", "10", "--concurrency", "8", "--request-count", "40"),
}  # fmt: skip


@pytest.mark.parametrize("load", CALM.values(), ids=CALM.keys())
def test_a_calm_run_is_valid(measure, load):
    measured = measure(STREAM, (*load, "--workers-max", "1"))
    measured.check_conservation(40)
    verdict = measured.summary["verdict"]
    assert verdict["status"] == "valid", verdict
    (row,) = measured.summary["workers"]
    assert row["starved_slot_s"] < 0.05
    assert 0 < row["cpu_s"] < row["observed_s"]
    assert row["gc_pause_count"] >= 0
