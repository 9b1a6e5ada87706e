"""How far reported latencies are from the truth: samples of a tool joined with the rows of the server's log.

Owns: the join and the errors. Does not own: running anything, reading a tool's results (`peers`). Pure.

Truth is counted from the kernel's receive stamp of the request to the clock just before the send of a token. An error
is reported minus true, so it includes two trips over loopback, and whatever the tool did between its own stamps and
the socket.

Requests that carry an id are joined by it. A tool that sends none is joined by order: its requests in the order of
their own start, the log in the order of arrival, one to one. Requests that began at nearly the same time may be swapped
by that; the truth of neighbours differs by little, and their errors swap with them, so percentiles hardly move. Where
the numbers of requests differ there is no such join.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from peers.peer import Sample

from aiperf.mock.truth import Truth
from aiperf.units import NS_PER_MS

NOISE_NS = 200_000
"""Between a report's clock and the log's."""


class JoinError(Exception):
    """Samples and log do not belong together: why."""


class Errors(NamedTuple):
    """Of one run: p50 and p99 of reported minus true. Units: ms."""

    ttft_p50: float
    ttft_p99: float
    latency_p50: float
    latency_p99: float
    width_p99: float
    """Of last tokens, as told by the tool."""
    false_count: int
    """Intervals of first and last tokens, of those that are claimed to have a width, that do not hold the instant of
    sending: claims that are not true."""


def pairs(samples: Sequence[Sample], log: Sequence[Truth]) -> list[tuple[Sample, Truth]]:
    """Each sample with its row. Raises: JoinError."""
    whole = [row for row in log if row.ending == "complete" and row.status == 200]
    if not samples:
        raise JoinError("no request was answered in full, says the tool")
    if all(sample.request_id is not None for sample in samples):
        rows = {row.request_id: row for row in whole}
        strange = sum(sample.request_id not in rows for sample in samples)
        if strange:
            raise JoinError(f"{strange} of {len(samples)} requests are not in the server's log")
        return [(sample, rows[sample.request_id]) for sample in samples if sample.request_id is not None]
    if len(samples) != len(whole):
        raise JoinError(f"{len(samples)} requests are reported, {len(whole)} are in the server's log")
    in_order = sorted(samples, key=attrgetter("started_ns"))
    return list(zip(in_order, sorted(whole, key=attrgetter("received_ns")), strict=True))


def errors_of(joined: Sequence[tuple[Sample, Truth]], *, widths_claimed: bool) -> Errors:
    """The errors of one run. `widths_claimed`: the tool tells intervals, and they are held against the log."""
    ttft = [sample.ttft_ms - (row.sent_ns[0] - row.received_ns) / NS_PER_MS for sample, row in joined]
    latency = [sample.latency_ms - (row.sent_ns[-1] - row.received_ns) / NS_PER_MS for sample, row in joined]
    width = [sample.last_width_ms for sample, _ in joined]
    false_count = sum(_false(sample, row) for sample, row in joined) if widths_claimed else 0
    values = [float(each) for errors in (ttft, latency) for each in np.percentile(errors, (50, 99))]
    return Errors(*values, float(np.percentile(width, 99)), false_count)


def _false(sample: Sample, row: Truth) -> int:
    """How many of the two intervals of a request miss the send. Delivery over loopback is part of the send, so the
    arrival lies between the clock before it and the clock after it."""
    missed = 0
    for value_ms, width_ms, index in (
        (sample.ttft_ms, sample.first_width_ms, 0),
        (sample.latency_ms, sample.last_width_ms, -1),
    ):
        latest_ns = sample.started_ns + value_ms * NS_PER_MS
        earliest_ns = latest_ns - width_ms * NS_PER_MS
        missed += latest_ns < row.sent_ns[index] - NOISE_NS or earliest_ns > row.after_ns[index] + NOISE_NS
    return missed
