"""What one user gets per second. One function per metric.

Owns: token rates of a single request. Does not own: rates of the whole run (`rates`).
Facts → one float per record in tokens/s/user, NaN where undefined.
"""

import numpy as np

from aiperf.metrics.intervals import FloatArray, ratio
from aiperf.metrics.latency import inter_token_latency, request_latency, time_to_first_token
from aiperf.metrics.tokens import input_sequence_length, output_sequence_length
from aiperf.record.facts import FactsArray

MS_PER_S = 1_000.0


def output_token_throughput_per_user(r: FactsArray) -> FloatArray:
    """Tokens per second after the first chunk: 1 / inter-token latency."""
    itl_ms = inter_token_latency(r)
    return ratio(np.full(len(itl_ms), MS_PER_S), itl_ms)


def e2e_output_token_throughput(r: FactsArray) -> FloatArray:
    """OSL over the whole request latency, the wait for the first token included."""
    return ratio(output_sequence_length(r) * MS_PER_S, request_latency(r))


def prefill_throughput_per_user(r: FactsArray) -> FloatArray:
    """ISL over the time to the first token."""
    return ratio(input_sequence_length(r) * MS_PER_S, time_to_first_token(r))
