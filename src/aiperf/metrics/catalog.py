"""THE catalog: every metric in one table. A new metric is one function, one row here, one test.

Owns: tags, names, units, formulas and which requests a metric is taken from. Does not own: the functions (one file per
noun), statistics (`distribution`), files and screens (`aiperf.report`). `docs/metrics.md` is printed from this table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from aiperf.endpoint.exchange import Outcome
from aiperf.metrics import client_lag, concurrency, http_trace, latency, rates, throughput, tokens
from aiperf.metrics.intervals import FloatArray
from aiperf.record.facts import NONE, FactsArray
from aiperf.units import NS_PER_MS


class Kind(Enum):
    """What a metric is a function of."""

    PER_REQUEST = "per request"
    """FactsArray → one float per record; reported as a distribution."""
    LIST = "list"
    """Several values per request; reported as one distribution over all of them, by sketch."""
    RUN = "run"
    """RunView → one number."""
    SWEEP = "sweep line"
    """SweepColumns → a step function of time; reported as time-weighted statistics."""
    ADJUSTED = "adjusted"
    """The percentiles of another metric with every failed request at +∞."""


class Population(Enum):
    """Which requests of the measured phase a per-request metric is taken from."""

    SUCCEEDED = "succeeded"
    DISPATCHED = "dispatched"
    """Whatever became of them: what is measured is the client, not the service."""


class Better(Enum):
    LOWER = "lower"
    HIGHER = "higher"
    NEITHER = ""


@dataclass(frozen=True, slots=True)
class Censoring:
    """How a request that was cut at the end of grace bounds a latency from below.

    If the mark had been seen before the cut the value is known; else it is at least the time from `start` to the cut.
    """

    start: str
    mark: str | None
    """The column of the instant that ends the latency; None if a cut request cannot have reached it."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the catalog."""

    tag: str
    name: str
    unit: str
    kind: Kind
    formula: str
    function: Callable[[Any], Any] | None = None
    """None where the kind's own rule makes the values: LIST and ADJUSTED."""
    better: Better = Better.NEITHER
    streaming_only: bool = False
    population: Population = Population.SUCCEEDED
    censoring: Censoring | None = None
    adjusts: str = ""
    """ADJUSTED: tag of the metric it is made from."""
    exported: bool = True
    """False for what only the verdict looks at."""
    source: str = ""


AIPERF = "NVIDIA AIPerf"
K6 = "Grafana k6"
_PER, _RUN, _SWEEP = Kind.PER_REQUEST, Kind.RUN, Kind.SWEEP
_LOW, _HIGH = Better.LOWER, Better.HIGHER
_ALL = Population.DISPATCHED

# fmt: off
METRICS: tuple[Metric, ...] = (
    # Latencies
    Metric("time_to_first_token", "Time to First Token", "ms", _PER,
           "first content chunk - sent", latency.time_to_first_token, _LOW, streaming_only=True,
           censoring=Censoring("sent_ns", "first_content_ns"), source=AIPERF),
    Metric("time_to_first_output_token", "Time to First Output Token", "ms", _PER,
           "first content chunk that is not reasoning - sent", latency.time_to_first_output_token, _LOW,
           streaming_only=True, censoring=Censoring("sent_ns", "first_output_ns"), source=AIPERF),
    Metric("time_to_second_token", "Time to Second Token", "ms", _PER,
           "second content chunk - first; undefined if they share a read", latency.time_to_second_token, _LOW,
           streaming_only=True, source=AIPERF),
    Metric("inter_token_latency", "Inter Token Latency", "ms", _PER,
           "(request latency - TTFT) / (OSL - tokens of the first chunk, 1 if unknown); "
           "undefined if OSL < 2 or all content came in one read",
           latency.inter_token_latency, _LOW, streaming_only=True, source=AIPERF),
    Metric("inter_chunk_latency", "Inter Chunk Latency", "ms", Kind.LIST,
           "gaps between neighbouring content chunks of different reads", None, _LOW, streaming_only=True,
           source=AIPERF),
    Metric("request_latency", "Request Latency", "ms", _PER,
           "end - sent; the end is the last content chunk, without streaming the last body byte",
           latency.request_latency, _LOW, censoring=Censoring("sent_ns", None), source=AIPERF),
    Metric("effective_time_to_first_token", "Effective Time to First Token", "ms", _PER,
           "first content chunk - due; an arrival that was never sent: at least until sending ended",
           latency.effective_time_to_first_token, _LOW, streaming_only=True,
           censoring=Censoring("due_ns", "first_content_ns"), source="G. Tene, coordinated omission"),
    Metric("effective_latency", "Effective Latency", "ms", _PER,
           "end - due; an arrival that was never sent: at least until sending ended",
           latency.effective_latency, _LOW, censoring=Censoring("due_ns", None),
           source="G. Tene, coordinated omission; AIPerf's starts later, at credit issue"),
    Metric("adj_time_to_first_token", "Adjusted Time to First Token", "ms", Kind.ADJUSTED,
           "percentiles with every failed request at +∞ (null)", None, _LOW, streaming_only=True,
           adjusts="time_to_first_token", source=AIPERF),
    Metric("adj_inter_token_latency", "Adjusted Inter Token Latency", "ms", Kind.ADJUSTED,
           "percentiles with every failed request at +∞ (null)", None, _LOW, streaming_only=True,
           adjusts="inter_token_latency", source=AIPERF),
    Metric("adj_request_latency", "Adjusted Request Latency", "ms", Kind.ADJUSTED,
           "percentiles with every failed request at +∞ (null)", None, _LOW, adjusts="request_latency",
           source=AIPERF),
    Metric("adj_effective_time_to_first_token", "Adjusted Effective Time to First Token", "ms", Kind.ADJUSTED,
           "percentiles with every failed request at +∞ (null)", None, _LOW, streaming_only=True,
           adjusts="effective_time_to_first_token"),
    Metric("adj_effective_latency", "Adjusted Effective Latency", "ms", Kind.ADJUSTED,
           "percentiles with every failed request at +∞ (null)", None, _LOW, adjusts="effective_latency"),
    # What one user gets
    Metric("output_token_throughput_per_user", "Output Token Throughput Per User", "tokens/s/user", _PER,
           "1 / inter-token latency", throughput.output_token_throughput_per_user, _HIGH, streaming_only=True,
           source=AIPERF),
    Metric("e2e_output_token_throughput", "End-to-End Output Token Throughput", "tokens/s/user", _PER,
           "OSL / request latency", throughput.e2e_output_token_throughput, _HIGH, source=AIPERF),
    Metric("prefill_throughput_per_user", "Prefill Throughput Per User", "tokens/s/user", _PER,
           "ISL / TTFT", throughput.prefill_throughput_per_user, _HIGH, streaming_only=True, source=AIPERF),
    # Tokens
    Metric("input_sequence_length", "Input Sequence Length", "tokens", _PER,
           "prompt tokens (ISL)", tokens.input_sequence_length, source=AIPERF),
    Metric("output_sequence_length", "Output Sequence Length", "tokens", _PER,
           "output + reasoning tokens (OSL)", tokens.output_sequence_length, source=AIPERF),
    Metric("output_token_count", "Output Token Count", "tokens", _PER,
           "output tokens without reasoning", tokens.output_token_count, source=AIPERF),
    Metric("reasoning_token_count", "Reasoning Token Count", "tokens", _PER,
           "reasoning tokens", tokens.reasoning_token_count, source=AIPERF),
    Metric("usage_prompt_tokens", "Usage Prompt Tokens", "tokens", _PER,
           "as the server reports", tokens.usage_prompt_tokens, source=AIPERF),
    Metric("usage_completion_tokens", "Usage Completion Tokens", "tokens", _PER,
           "as the server reports", tokens.usage_completion_tokens, source=AIPERF),
    Metric("usage_total_tokens", "Usage Total Tokens", "tokens", _PER,
           "as the server reports", tokens.usage_total_tokens, source=AIPERF),
    Metric("usage_prompt_cache_read_tokens", "Usage Prompt Cache Read Tokens", "tokens", _PER,
           "as the server reports", tokens.usage_prompt_cache_read_tokens, source=AIPERF),
    Metric("usage_reasoning_tokens", "Usage Reasoning Tokens", "tokens", _PER,
           "as the server reports", tokens.usage_reasoning_tokens, source=AIPERF),
    Metric("usage_prompt_tokens_diff_pct", "Usage Prompt Tokens Difference", "%", _PER,
           "|usage prompt tokens - tokenizer's| / tokenizer's", tokens.usage_prompt_tokens_diff_pct, _LOW,
           source=AIPERF),
    Metric("usage_completion_tokens_diff_pct", "Usage Completion Tokens Difference", "%", _PER,
           "|usage completion tokens - tokenizer's| / tokenizer's", tokens.usage_completion_tokens_diff_pct, _LOW,
           source=AIPERF),
    Metric("requested_osl", "Requested Output Sequence Length", "tokens", _PER,
           "output tokens asked for", tokens.requested_osl, source=AIPERF),
    Metric("osl_mismatch_diff_pct", "Output Sequence Length Mismatch", "%", _PER,
           "(OSL - requested) / requested, signed", tokens.osl_mismatch_diff_pct, source=AIPERF),
    # The client itself
    Metric("dispatch_lag", "Dispatch Lag", "ms", _PER,
           "dispatched - due: the client's own lateness", client_lag.dispatch_lag, _LOW, population=_ALL),
    Metric("send_lag", "Send Lag", "ms", _PER,
           "sent - due: connection set-up included", client_lag.send_lag, _LOW, population=_ALL),
    Metric("rearm_delay", "Re-arm Delay", "ms", _PER,
           "closed loop: from a slot's end to its next dispatch", client_lag.rearm_delay, _LOW, population=_ALL),
    Metric("first_token_width", "First Token Interval Width", "ms", _PER,
           "how long before its stamp the first content chunk may have arrived", client_lag.first_token_width, _LOW,
           streaming_only=True),
    Metric("last_token_width", "Last Token Interval Width", "ms", _PER,
           "how long before its stamp the last content may have arrived", client_lag.last_token_width, _LOW),
    Metric("earliest_time_to_first_token", "Earliest Time to First Token", "ms", _PER,
           "TTFT - first token interval width, at least 0",
           latency.earliest_time_to_first_token, _LOW, streaming_only=True,
           censoring=Censoring("sent_ns", "first_content_ns"), exported=False),
    Metric("earliest_request_latency", "Earliest Request Latency", "ms", _PER,
           "request latency - last token interval width, at least 0",
           latency.earliest_request_latency, _LOW, censoring=Censoring("sent_ns", None), exported=False),
    Metric("least_inter_token_latency", "Least Inter Token Latency", "ms", _PER,
           "inter-token latency with the last chunk as early as it may have arrived",
           latency.least_inter_token_latency, _LOW, streaming_only=True, exported=False),
    Metric("greatest_inter_token_latency", "Greatest Inter Token Latency", "ms", _PER,
           "inter-token latency with the first chunk as early as it may have arrived",
           latency.greatest_inter_token_latency, _LOW, streaming_only=True, exported=False),
    # HTTP
    Metric("http_req_blocked", "HTTP Request Blocked", "ms", _PER,
           "waiting before a connection could be opened or used", http_trace.http_req_blocked, _LOW, source=K6),
    Metric("http_req_dns_lookup", "HTTP Request DNS Lookup", "ms", _PER,
           "name look-up; 0 when the connection was reused", http_trace.http_req_dns_lookup, _LOW, source=AIPERF),
    Metric("http_req_connecting", "HTTP Request Connecting", "ms", _PER,
           "TCP connect; 0 when the connection was reused", http_trace.http_req_connecting, _LOW, source=K6),
    Metric("http_req_tls_handshaking", "HTTP Request TLS Handshaking", "ms", _PER,
           "TLS handshake; 0 when the connection was reused", http_trace.http_req_tls_handshaking, _LOW, source=K6),
    Metric("http_req_sending", "HTTP Request Sending", "ms", _PER,
           "request's last byte accepted - sent", http_trace.http_req_sending, _LOW, source=K6),
    Metric("http_req_waiting", "HTTP Request Waiting", "ms", _PER,
           "response's first byte - request's last byte", http_trace.http_req_waiting, _LOW, source=K6),
    Metric("http_req_receiving", "HTTP Request Receiving", "ms", _PER,
           "response's last byte - its first", http_trace.http_req_receiving, _LOW, source=K6),
    Metric("http_req_duration", "HTTP Request Duration", "ms", _PER,
           "sending + waiting + receiving", http_trace.http_req_duration, _LOW, source=K6),
    Metric("http_req_total", "HTTP Request Total", "ms", _PER,
           "blocked + DNS look-up + connecting + TLS handshaking + duration", http_trace.http_req_total, _LOW,
           source=AIPERF),
    Metric("http_req_connection_reused", "HTTP Request Connection Reused", "ratio", _PER,
           "1 on a reused connection, else 0", http_trace.http_req_connection_reused, source=AIPERF),
    Metric("http_req_data_sent", "HTTP Request Data Sent", "KB", _PER,
           "bytes on the wire / 1,000", http_trace.http_req_data_sent, source=K6),
    Metric("http_req_data_received", "HTTP Request Data Received", "KB", _PER,
           "bytes on the wire / 1,000", http_trace.http_req_data_received, source=K6),
    # The run
    Metric("request_throughput", "Request Throughput", "requests/s", _RUN,
           "request count / benchmark duration", rates.request_throughput, _HIGH, source=AIPERF),
    Metric("output_token_throughput", "Output Token Throughput", "tokens/s", _RUN,
           "Σ OSL / benchmark duration", rates.output_token_throughput, _HIGH, source=AIPERF),
    Metric("input_token_throughput", "Input Token Throughput", "tokens/s", _RUN,
           "Σ ISL / benchmark duration", rates.input_token_throughput, _HIGH, source=AIPERF),
    Metric("total_token_throughput", "Total Token Throughput", "tokens/s", _RUN,
           "Σ (ISL + OSL) / benchmark duration", rates.total_token_throughput, _HIGH, source=AIPERF),
    Metric("steady_request_throughput", "Steady Request Throughput", "requests/s", _RUN,
           "successes of the steady window (closed loop: by the share of their time in it) / its length",
           rates.steady_request_throughput, _HIGH),
    Metric("steady_output_token_throughput", "Steady Output Token Throughput", "tokens/s", _RUN,
           "output tokens of the steady window / its length", rates.steady_output_token_throughput, _HIGH),
    Metric("steady_window_duration", "Steady Window Duration", "s", _RUN,
           "last sending - first end of a success", rates.steady_window_duration),
    Metric("request_count", "Request Count", "requests", _RUN,
           "successes", rates.request_count, _HIGH, source=AIPERF),
    Metric("error_request_count", "Error Request Count", "requests", _RUN,
           "failures", rates.error_request_count, _LOW, source=AIPERF),
    Metric("completed_request_count", "Completed Request Count", "requests", _RUN,
           "successes + failures", rates.completed_request_count, source=AIPERF),
    Metric("cancelled_request_count", "Cancelled Request Count", "requests", _RUN,
           "cut on purpose by the plan", rates.cancelled_request_count, source=AIPERF),
    Metric("censored_count", "Censored Request Count", "requests", _RUN,
           "cut at the end of grace, or when the run was stopped", rates.censored_count, _LOW),
    Metric("retried_request_count", "Retried Request Count", "requests", _RUN,
           "sent again because an idle connection had died", rates.retried_request_count),
    Metric("request_error_rate", "Request Error Rate", "%", _RUN,
           "failures / (successes + failures)", rates.request_error_rate, _LOW, source=AIPERF),
    Metric("benchmark_duration", "Benchmark Duration", "s", _RUN,
           "last end - first sent, of the profiling phase", rates.benchmark_duration, source=AIPERF),
    Metric("total_isl", "Total Input Sequence Length", "tokens", _RUN, "Σ ISL", rates.total_isl, source=AIPERF),
    Metric("total_osl", "Total Output Sequence Length", "tokens", _RUN, "Σ OSL", rates.total_osl, source=AIPERF),
    Metric("total_output_tokens", "Total Output Tokens", "tokens", _RUN,
           "Σ output tokens without reasoning", rates.total_output_tokens, source=AIPERF),
    Metric("good_request_count", "Good Request Count", "requests", _RUN,
           "requests that met every objective of --goodput", rates.good_request_count, _HIGH, source=AIPERF),
    Metric("good_request_fraction", "Good Request Fraction", "ratio", _RUN,
           "good requests / (successes + failures)", rates.good_request_fraction, _HIGH, source=AIPERF),
    Metric("goodput", "Goodput", "requests/s", _RUN,
           "good requests / benchmark duration", rates.goodput, _HIGH,
           source="DistServe (OSDI 2024); " + AIPERF),
    Metric("offered_rate", "Offered Rate", "requests/s", _RUN,
           "what the schedule asked for, per second of sending", rates.offered_rate),
    Metric("achieved_rate", "Achieved Rate", "requests/s", _RUN,
           "what was sent, per second of sending", rates.achieved_rate),
    Metric("unsent_count", "Unsent Request Count", "requests", _RUN,
           "offered and never sent", rates.unsent_count, _LOW),
    Metric("shared_chunk_fraction", "Shared Chunk Fraction", "ratio", _RUN,
           "content chunks that shared a read with an earlier one / content chunks", rates.shared_chunk_fraction,
           _LOW, streaming_only=True),
    Metric("start_skew", "Start Skew", "ms", _RUN,
           "spread of the workers' true start instants", rates.start_skew, _LOW),
    # In flight
    Metric("effective_concurrency", "Effective Concurrency", "requests", _SWEEP,
           "requests between sent and end, time-weighted", concurrency.effective_concurrency,
           source=AIPERF),
    Metric("effective_prefill_concurrency", "Effective Prefill Concurrency", "requests", _SWEEP,
           "requests between sent and first content chunk, time-weighted", concurrency.effective_prefill_concurrency,
           streaming_only=True, source=AIPERF),
    Metric("effective_decode_concurrency", "Effective Decode Concurrency", "requests", _SWEEP,
           "requests between first and last content chunk, time-weighted", concurrency.effective_decode_concurrency,
           streaming_only=True, source=AIPERF),
    Metric("tokens_in_flight", "Tokens in Flight", "tokens", _SWEEP,
           "ISL from sent to end + OSL from first content chunk to end, time-weighted", concurrency.tokens_in_flight,
           source=AIPERF),
)
# fmt: on

BY_TAG = {metric.tag: metric for metric in METRICS}
PER_REQUEST = tuple(metric for metric in METRICS if metric.kind is Kind.PER_REQUEST)
ROW = {metric.tag: row for row, metric in enumerate(PER_REQUEST)}
"""Row of a per-request metric in the tables of `values_of`."""
CENSORED = tuple(metric for metric in PER_REQUEST if metric.censoring)
CENSORED_ROW = {metric.tag: row for row, metric in enumerate(CENSORED)}
FROM_DUE_ROWS = [row for row, metric in enumerate(CENSORED) if metric.censoring and metric.censoring.start == "due_ns"]
"""Of `CENSORED`: those that a request which never was sent bounds, too."""


def values_of(r: FactsArray) -> FloatArray:
    """Every per-request metric of every record. Shape: (len(PER_REQUEST), records). Units: the metrics' own.

    NaN where undefined or where the record's outcome does not belong to the metric's population: failed requests are in
    no latency. Of a censored request the latencies are given whose mark was seen before the cut.
    """
    values = np.empty((len(PER_REQUEST), len(r)))
    outcome = r["outcome"]
    not_succeeded = outcome != Outcome.COMPLETED
    censored = outcome == Outcome.CENSORED
    some_not_succeeded, some_censored = not_succeeded.any(), censored.any()
    for row, metric in enumerate(PER_REQUEST):
        if metric.function is None:
            raise TypeError(f"{metric.tag}: a per-request metric needs its function")
        column = values[row]
        column[:] = metric.function(r)
        if some_not_succeeded and metric.population is Population.SUCCEEDED:
            left_out = not_succeeded
            if some_censored and metric.censoring and metric.censoring.mark:
                left_out = not_succeeded & ~censored
            column[left_out] = np.nan
    return values


def lower_bounds_of(r: FactsArray) -> FloatArray:
    """For each censored record what its latencies are at least; NaN where they are known or mean nothing.

    Shape: (len(CENSORED), censored records).
    """
    cut = r[r["outcome"] == Outcome.CENSORED]
    bounds = np.full((len(CENSORED), len(cut)), np.nan)
    for row, metric in enumerate(CENSORED):
        censoring = metric.censoring
        if censoring is None or not len(cut):
            continue
        start, end = cut[censoring.start], cut["end_ns"]
        open_ended = (start != NONE) & (end != NONE)
        if censoring.mark:
            open_ended &= cut[censoring.mark] == NONE
        bounds[row, open_ended] = (end - start)[open_ended] / NS_PER_MS
    return bounds
