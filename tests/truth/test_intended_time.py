"""What users waited who came on schedule, against the server's log: stalls, a server that is too slow, a cut.

A client sees an answer after it was sent, a slow one later: so the reported waits are at least those of the log.
"""

import numpy as np
import pytest

from aiperf.units import NS_PER_MS

NOISE_MS = 0.2
STALL_S = 2


def p99(values):
    return float(np.percentile(sorted(values), 99))


def users_wait_ms(request):
    """From the intended instant to the server's sending of the last token: what the server's log says of the wait."""
    return (request.row.sent_ns[-1] - request.instant("due_ns")) / NS_PER_MS


def check_every_wait(measured):
    for request in measured.requests:
        if request.line["error"] is None:
            assert request.metric("effective_latency") >= users_wait_ms(request) - NOISE_MS
            assert request.metric("effective_time_to_first_token") <= request.metric("effective_latency")


def test_a_stall_shows_in_the_corrected_p99_and_not_in_the_uncorrected_one(measure):
    """The server stops for two seconds under load at a rate with a cap. Two requests of 440 stand in the stall, fewer
    than one in a hundred; eighty more are held back by it, and answered quickly when it is over."""
    load = ("--request-rate", "40", "--arrival-pattern", "constant", "--concurrency", "2", "--request-count", "440")
    stall = ("--stall-at", "3", "--stall-for", str(STALL_S))
    measured = measure(("--ttft", "5", "--itl", "0", *stall), ("--streaming", "--osl", "2", *load))
    measured.check_conservation(440)
    check_every_wait(measured)
    summary = measured.summary
    for plain, corrected in (
        ("request_latency", "effective_latency"),
        ("time_to_first_token", "effective_time_to_first_token"),
    ):
        assert summary[plain]["max"] > STALL_S * 900  # it was seen …
        assert summary[plain]["p99"] < STALL_S * 500  # … and is not in the percentile,
        assert summary[corrected]["p99"] > STALL_S * 800  # which it is of those who came on schedule
        assert summary[corrected]["count"] == summary[plain]["count"] == 440
    assert summary["effective_latency"]["p99"] >= p99(map(users_wait_ms, measured.requests)) - NOISE_MS


def test_in_pure_open_loop_a_stall_is_in_both(measure):
    """Nothing holds requests back here, so the service's own latency has the whole wait."""
    load = ("--request-rate", "40", "--arrival-pattern", "constant", "--request-count", "240")
    stall = ("--stall-at", "2", "--stall-for", str(STALL_S))
    measured = measure(("--ttft", "5", "--itl", "0", *stall), ("--streaming", "--osl", "2", *load))
    measured.check_conservation(240)
    check_every_wait(measured)
    for tag in ("request_latency", "effective_latency"):
        assert measured.summary[tag]["p99"] > STALL_S * 800


@pytest.mark.parametrize("workers", [1, 2])
def test_behind_a_server_that_is_too_slow_those_who_were_never_sent_count(measure, workers):
    """A hundred come each second, some ten are served: p99 is of those who still waited at the end."""
    split = ("--workers-max", str(workers), "--connections-per-worker", str(2 // workers))
    rate = ("--request-rate", "100", "--arrival-pattern", "constant", "--concurrency", "2")
    load = (*rate, "--benchmark-duration", "4", "--benchmark-grace-period", "60")
    measured = measure(("--ttft", "200", "--itl", "0"), ("--streaming", "--osl", "2", *load, *split))
    summary, credits = measured.summary, measured.summary["credits"]
    check_every_wait(measured)
    assert credits["issued"] == credits["completed"] == len(measured.rows) == len(measured.lines)
    assert credits["offered"] == credits["issued"] + credits["unsent"] == 400
    assert credits["unsent"] > credits["issued"]
    assert summary["unsent_count"]["avg"] == summary["load"]["unsent_count"] == credits["unsent"]
    for tag in ("effective_latency", "effective_time_to_first_token"):
        result = summary[tag]
        assert result["count"] == credits["offered"]
        assert result["bound_count"] == credits["unsent"]
        assert {"p50", "p90", "p99", "max", "avg"} <= set(result["lower_bounds"])
    for tag in ("request_latency", "time_to_first_token"):
        assert summary[tag]["count"] == credits["completed"]
        assert "lower_bounds" not in summary[tag]
    # The schedule says when each of the others was due, and sending ended after four seconds.
    first_ns = measured.requests[0].instant("due_ns")
    sent = {request.instant("session_num"): request for request in measured.requests}
    unsent_ms = [4_000 - 10 * index for index in range(credits["offered"]) if index not in sent]
    assert len(unsent_ms) == credits["unsent"]
    assert all(
        abs(request.instant("due_ns") - first_ns - 10 * index * NS_PER_MS) <= 1 for index, request in sent.items()
    )
    reported = [request.metric("effective_latency") for request in measured.requests]
    by_the_log = [users_wait_ms(request) for request in measured.requests]
    assert summary["effective_latency"]["p99"] == pytest.approx(p99(reported + unsent_ms))
    assert summary["effective_latency"]["p99"] >= p99(by_the_log + unsent_ms) - NOISE_MS


def test_a_run_that_is_cut_counts_what_it_cut_and_what_it_never_sent(measure):
    """Every answer takes longer than load and grace together: nothing is known but how long everybody waited."""
    load = ("--request-rate", "50", "--arrival-pattern", "constant", "--concurrency", "8")
    spans = ("--benchmark-duration", "2", "--benchmark-grace-period", "0.5")
    slow = ("--fault", "stall;after=0;rate=0.5")
    measured = measure(("--ttft", "10", "--itl", "0", *slow), ("--streaming", "--osl", "2", *load, *spans))
    summary, credits = measured.summary, measured.summary["credits"]
    assert credits["issued"] == sum(credits[fate] for fate in ("completed", "failed", "cancelled", "censored", "lost"))
    assert credits["censored"] == 8
    assert credits["offered"] == 100
    assert credits["unsent"] == 100 - credits["issued"] > 0
    result = summary["effective_latency"]
    assert (result["count"], result["bound_count"]) == (
        credits["completed"] + 8 + credits["unsent"],
        8 + credits["unsent"],
    )
    assert "p99" in result["lower_bounds"]
    assert result["max"] < 2_700
    assert summary["request_latency"]["bound_count"] == 8
    assert "p99" in summary["request_latency"]["lower_bounds"]
