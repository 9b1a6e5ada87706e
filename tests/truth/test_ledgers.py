"""Every credit comes back exactly once, and the same seed sends the same requests."""

import pytest

LOADS = {
    "closed": ("--concurrency", "24", "--request-count", "240"),
    "open": ("--request-rate", "300", "--concurrency", "24", "--request-count", "240"),
}
"""24 at a time make three workers when each may hold 8 connections."""


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS.keys())
def test_failures_are_told_as_the_server_made_them(measure, load):
    faults = ("--fault", "error;status=503;rate=0.2", "--fault", "close-mid-stream;after=2;rate=0.2")
    workers = ("--workers-max", "3", "--connections-per-worker", "8")
    measured = measure(("--ttft", "10", "--itl", "2", *faults), ("--streaming", "--osl", "6", *workers, *load))
    measured.check_conservation(240)
    ends = {"complete": 0, "closed": 0, "error": 0}
    for request in measured.requests:
        row, error = request.row, request.line["error"]
        if row.status == 503:
            ends["error"] += 1
            assert (error["kind"], error["code"]) == ("http_status", 503)
        else:
            ends[row.ending] += 1
            assert (error is None) == (row.ending == "complete")
    assert min(ends.values()) > 0
    credits = measured.summary["credits"]
    assert (credits["completed"], credits["failed"]) == (ends["complete"], ends["closed"] + ends["error"])
    assert measured.summary["request_count"]["avg"] == ends["complete"]
    assert measured.summary["error_request_count"]["avg"] == ends["closed"] + ends["error"]


def request_stream(measured):
    """What was sent, credit by credit, and in open loop when it was due, from the first one on."""
    due = [line["metadata"]["due_ns"] for line in measured.raw]
    first_ns = due[0]
    return [
        (raw["metadata"]["conversation_id"], raw["payload"], due_ns if due_ns is None else due_ns - first_ns)
        for raw, due_ns in zip(measured.raw, due, strict=True)
    ]


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS.keys())
def test_the_same_seed_sends_the_same_requests_from_any_number_of_workers(measure, load):
    flags = (
        *("--streaming", "--isl", "20", "--isl-stddev", "6", "--osl", "6", "--osl-stddev", "2"),
        *("--dataset-sampling-strategy", "random", "--export-level", "raw", *load),
    )
    server = ("--ttft", "20", "--itl", "1")
    runs = [
        measure(server, (*flags, "--workers-max", str(workers), "--connections-per-worker", str(-(-24 // workers))))
        for workers in (1, 3)
    ]
    for measured in runs:
        measured.check_conservation(240)
    assert request_stream(runs[0]) == request_stream(runs[1])
    # As the server saw it, request by request.
    asked = [[(request.row.prompt_tokens, request.row.tokens) for request in run.requests] for run in runs]
    assert asked[0] == asked[1]
    assert len(set(asked[0])) > 5
    assert [len(measured.summary["workers"]) for measured in runs] == [1, 3]

    other = measure(server, (*flags, "--random-seed", "8", "--workers-max", "1"))
    assert request_stream(other) != request_stream(runs[0])
