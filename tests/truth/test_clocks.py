"""Workers whose wall clocks are wrong, and are set while requests are in flight, report what the others do.

The server and the controller have the machine's true clock; a wrong one is given to single processes (`aiperf.clock`).
"""

import pytest

from aiperf.units import NS_PER_MS, NS_PER_S

ALIGNED_MS = 2.0
"""How far apart clocks of one run may be: half a round trip of two busy processes."""
DUE_MS = 2.0
NOISE_MS = 0.2
STEP_MS = 2_000
"""The smallest of the steps. Whatever took one in is wrong by at least this."""

STEPS = ",".join(f"step={(-2, 7, -3)[n % 3]}s@{2 + 3 * n}s" for n in range(20))
"""One every three seconds, for a slow machine may take long to start: some fall into the load in any case."""


def workers_of(measured):
    return {row["service_id"]: row for row in measured.summary["workers"]}


@pytest.mark.slow
def test_a_worker_with_a_wrong_and_stepped_clock_changes_no_reported_latency(measure_apart, median):
    load = ("--request-rate", "50", "--arrival-pattern", "constant", "--request-count", "500")
    clocks = {"worker-0": f"skew=3600s,{STEPS}", "worker-1": f"skew=-90s,{STEPS}"}
    measured = measure_apart(("--ttft", "40", "--itl", "10"), ("--streaming", "--osl", "6", *load), clocks)
    requests = measured.requests
    measured.check_conservation(500)

    # Latencies are differences of instants on one clock: the truth, and what the way adds, as without any of this.
    for errors_ms in ([r.ttft_error_ms for r in requests], [r.latency_error_ms for r in requests]):
        assert min(errors_ms) >= -2 * NOISE_MS
        assert median(errors_ms) < DUE_MS
        assert max(errors_ms) < STEP_MS / 2

    # Instants are on the controller's scale: requests arrive when they are due, whoever sends them.
    lags_ms = [(r.row.received_ns - r.instant("due_ns")) / NS_PER_MS for r in requests]
    assert min(lags_ms) >= -ALIGNED_MS
    assert median(lags_ms) < DUE_MS + ALIGNED_MS

    # And the steps were there, were noticed, and were taken into account rather than got rid of.
    for name, skew_s in (("worker-0", 3600), ("worker-1", -90)):
        worker = workers_of(measured)[name]
        moved_s = worker["clock_offset_ns"] / NS_PER_S
        assert moved_s == pytest.approx(-skew_s, abs=60), "its own steps before the measurement included"
        assert worker["clock_uncertainty_ns"] < ALIGNED_MS * NS_PER_MS
        assert worker["clock_step_count"] >= 2
        assert worker["kernel_stamped_read_count"] > 500
        assert worker["replaced_stamp_count"] < 0.02 * worker["kernel_stamped_read_count"]


@pytest.mark.slow
def test_a_closed_loop_starts_together_on_clocks_that_are_apart(measure_apart):
    load = ("--concurrency", "4", "--request-count", "100")
    clocks = {"worker-0": "skew=3600s", "worker-1": "skew=-3600s", "record-processor-0": "skew=60s"}
    measured = measure_apart(("--ttft", "20", "--itl", "5"), ("--streaming", "--osl", "4", *load), clocks)
    measured.check_conservation(100)
    assert {row["request_count"] for row in measured.summary["workers"]} != {100, 0}
    assert measured.summary["start_skew"]["avg"] < STEP_MS / 2
    received = [row.received_ns for row in measured.rows]
    starts = [request.instant("request_start_ns") for request in measured.requests]
    assert (max(starts) - min(starts)) / NS_PER_MS == pytest.approx(
        (max(received) - min(received)) / NS_PER_MS, abs=STEP_MS / 2
    )
