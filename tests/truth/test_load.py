"""Requests arrive at the server as the schedule says, and what the client did not manage is said.

DUE_MS: how late a median request may arrive by the server's log. The due timer is late by some 0.05 ms on an idle
machine; a client that dispatches by an event loop's timer is late by 0.5 ms in the mean and by 1 at worst.
"""

from itertools import pairwise
from statistics import quantiles

import pytest

from aiperf.units import NS_PER_MS

DUE_MS = 2.0
NOISE_MS = 0.2


def arrival_lag_ms(request):
    """By how much the server had the request later than it was due."""
    return (request.row.received_ns - request.instant("due_ns")) / NS_PER_MS


def test_constant_arrivals_are_evenly_spaced_where_they_arrive(measure, median):
    load = ("--request-rate", "200", "--arrival-pattern", "constant", "--request-count", "300")
    measured = measure(("--ttft", "20", "--itl", "1"), ("--streaming", "--osl", "4", *load))
    measured.check_conservation(300)
    measured.check_causality()
    due = [request.instant("due_ns") for request in measured.requests]
    assert all(abs(later - earlier - 5 * NS_PER_MS) <= 1 for earlier, later in pairwise(due))
    assert median(arrival_lag_ms(request) for request in measured.requests) < DUE_MS
    received = [row.received_ns for row in measured.rows]
    assert median(later - earlier for earlier, later in pairwise(received)) == pytest.approx(5 * NS_PER_MS, rel=0.1)
    halves = (later - earlier for earlier, later in zip(received, received[150:], strict=False))
    assert median(halves) == pytest.approx(150 * 5 * NS_PER_MS, rel=0.05)


def test_poisson_arrivals_arrive_when_they_are_due(measure, median):
    load = ("--request-rate", "300", "--request-count", "300")
    measured = measure(("--ttft", "20", "--itl", "1"), ("--streaming", "--osl", "4", *load))
    measured.check_conservation(300)
    assert median(arrival_lag_ms(request) for request in measured.requests) < DUE_MS
    gaps = [later - earlier for earlier, later in pairwise(row.received_ns for row in measured.rows)]
    # Quartiles, since one halt of the machine makes one gap of any length.
    first, middle, third = quantiles(gaps, n=4)
    assert 1 < (third - first) / middle < 2.4  # of exponential gaps ln 3 / ln 2; of constant ones 0; spreads by 0.15


def test_recorded_lag_is_the_lag_that_the_server_saw(measure, median):
    """Lags are the client's word on itself. What the server saw on top is the trip alone."""
    load = ("--request-rate", "200", "--request-count", "200")
    measured = measure(("--ttft", "20", "--itl", "1"), ("--streaming", "--osl", "4", *load))
    for request in measured.requests:
        assert 0 <= request.metric("dispatch_lag") <= request.metric("send_lag")
        assert arrival_lag_ms(request) >= request.metric("send_lag") - NOISE_MS
    assert median(arrival_lag_ms(request) - request.metric("send_lag") for request in measured.requests) < 1
    assert measured.summary["dispatch_lag"]["p50"] < DUE_MS


def test_a_stalled_server_is_charged_with_the_waiting_it_causes(measure, median):
    """The whole server stops for a second. Four requests stand in it; the fifty behind them, which the cap holds back,
    do not, and their own latencies are short. Their users waited all the same."""
    load = ("--request-rate", "50", "--arrival-pattern", "constant", "--concurrency", "4", "--request-count", "150")
    measured = measure(
        ("--ttft", "20", "--itl", "1", "--stall-at", "1", "--stall-for", "1"), ("--streaming", "--osl", "4", *load)
    )
    measured.check_conservation(150)
    measured.check_causality()
    stalled = [request for request in measured.requests if request.metric("request_latency") > 300]
    assert 1 <= len(stalled) <= 8
    waited = [request for request in measured.requests if request.metric("effective_latency") > 300]
    assert len(waited) >= 20
    for request in measured.requests:
        users_ms = (request.row.sent_ns[-1] - request.instant("due_ns")) / NS_PER_MS
        assert request.metric("effective_latency") >= users_ms - NOISE_MS
        assert request.metric("effective_time_to_first_token") <= request.metric("effective_latency")
    assert median(request.latency_error_ms for request in measured.requests) < 1
    summary = measured.summary
    assert summary["effective_latency"]["p90"] > 2 * summary["request_latency"]["p90"]


def test_requests_that_wait_for_a_slot_of_the_server_wait_in_its_ttft(measure, median):
    """The other side of it: in pure open loop nothing is held back, and the wait is in the service's own latency."""
    load = ("--request-rate", "100", "--arrival-pattern", "constant", "--request-count", "60")
    measured = measure(("--ttft", "40", "--itl", "0", "--slots", "2"), ("--streaming", "--osl", "2", *load))
    measured.check_conservation(60)
    measured.check_causality()
    assert median(request.ttft_error_ms for request in measured.requests) < 1
    assert median(arrival_lag_ms(request) for request in measured.requests) < DUE_MS
    last = measured.requests[-1]
    assert last.metric("time_to_first_token") > 300  # 60 requests of 40 ms on 2 slots take 1,200 ms, their arrivals 600
