"""How long a request took to reach each of its marks. One function per metric; every value is in ms.

Owns: the latencies of a single request. Does not own: which requests count (`catalog`), statistics (`distribution`).
Facts → one float per record, NaN where undefined.
"""

import numpy as np

from aiperf.metrics.intervals import FloatArray, IntArray, between_ms, ratio
from aiperf.metrics.tokens import output_sequence_length
from aiperf.record.facts import FactsArray
from aiperf.units import NS_PER_MS


def request_latency(r: FactsArray) -> FloatArray:
    """From sending to the last content chunk; without streaming to the last body byte."""
    return between_ms(r, "sent_ns", "last_content_ns")


def time_to_first_token(r: FactsArray) -> FloatArray:
    """From sending to the first content chunk. Undefined when not streamed."""
    return between_ms(r, "sent_ns", "first_content_ns")


def time_to_first_output_token(r: FactsArray) -> FloatArray:
    """From sending to the first content chunk that is not reasoning. Undefined when there is none."""
    return between_ms(r, "sent_ns", "first_output_ns")


def time_to_second_token(r: FactsArray) -> FloatArray:
    """From the first content chunk to the second. Undefined when there is no second, or they share a read."""
    gap = between_ms(r, "first_content_ns", "second_content_ns")
    gap[gap <= 0] = np.nan
    return gap


def inter_token_latency(r: FactsArray) -> FloatArray:
    """The time after the first chunk, over the tokens that came in it: the mean gap between tokens of a request.

    Undefined when OSL is below 2, when the first chunk held every token, or when all content arrived in one read: then
    there was nothing to see between tokens.
    Source: NVIDIA AIPerf's definition, with the first chunk's own tokens taken out of the denominator.
    """
    osl = output_sequence_length(r)
    decoding_ms = between_ms(r, "first_content_ns", "last_content_ns")
    later_tokens = osl - np.maximum(r["first_chunk_tokens"], 1)
    seen_apart = r["content_chunk_count"] - r["shared_chunk_count"] >= 2
    return np.where(seen_apart & (osl >= 2), ratio(decoding_ms, later_tokens), np.nan)


def effective_latency(r: FactsArray) -> FloatArray:
    """From the intended instant to the last content chunk: what a user who came on schedule waited.

    Undefined when there is no schedule (pure closed loop).
    Source: G. Tene, "How NOT to measure latency" (coordinated omission).
    """
    return between_ms(r, "due_ns", "last_content_ns")


def effective_time_to_first_token(r: FactsArray) -> FloatArray:
    """From the intended instant to the first content chunk. Undefined in pure closed loop or when not streamed."""
    return between_ms(r, "due_ns", "first_content_ns")


def earliest_time_to_first_token(r: FactsArray) -> FloatArray:
    """The least TTFT that the reads allow: the first chunk may have arrived its width before its stamp, though not
    before the request was sent."""
    return np.maximum(time_to_first_token(r) - r["first_content_width_ns"] / NS_PER_MS, 0)


def earliest_request_latency(r: FactsArray) -> FloatArray:
    """The least request latency that the reads allow."""
    return np.maximum(request_latency(r) - r["last_content_width_ns"] / NS_PER_MS, 0)


def least_inter_token_latency(r: FactsArray) -> FloatArray:
    """The least ITL that the reads allow: the last chunk as early as it may have arrived."""
    return _inter_token_latency_with(r, -r["last_content_width_ns"])


def greatest_inter_token_latency(r: FactsArray) -> FloatArray:
    """The greatest ITL that the reads allow: the first chunk as early as it may have arrived."""
    return _inter_token_latency_with(r, r["first_content_width_ns"])


def _inter_token_latency_with(r: FactsArray, more_ns: IntArray) -> FloatArray:
    """ITL if the time after the first chunk were so much longer, though not below 0."""
    later_tokens = output_sequence_length(r) - np.maximum(r["first_chunk_tokens"], 1)
    shifted = inter_token_latency(r) + ratio(more_ns / NS_PER_MS, later_tokens)
    return np.maximum(shifted, 0)
