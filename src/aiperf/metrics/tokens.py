"""How many tokens a request had, by whose count. One function per metric.

Owns: lengths and their comparison. Does not own: counting tokens (`aiperf.dataset`), rates (`throughput`).
Facts → one float per record, NaN where unknown.
"""

import numpy as np

from aiperf.metrics.intervals import FloatArray, counted, ratio
from aiperf.record.facts import FactsArray


def input_sequence_length(r: FactsArray) -> FloatArray:
    """Prompt tokens (ISL): the server's count where there is one, else the tokenizer's."""
    return counted(r, "isl_tokens")


def output_sequence_length(r: FactsArray) -> FloatArray:
    """Output tokens, reasoning included (OSL)."""
    osl: FloatArray = counted(r, "output_tokens") + np.maximum(r["reasoning_tokens"], 0)
    return osl


def output_token_count(r: FactsArray) -> FloatArray:
    """Output tokens without reasoning."""
    return counted(r, "output_tokens")


def reasoning_token_count(r: FactsArray) -> FloatArray:
    """Reasoning tokens. Undefined when nobody counted them apart."""
    return counted(r, "reasoning_tokens")


def usage_prompt_tokens(r: FactsArray) -> FloatArray:
    """Prompt tokens as the server reports them."""
    return counted(r, "usage_prompt_tokens")


def usage_completion_tokens(r: FactsArray) -> FloatArray:
    """Completion tokens as the server reports them, reasoning included."""
    return counted(r, "usage_completion_tokens")


def usage_total_tokens(r: FactsArray) -> FloatArray:
    """Prompt and completion tokens as the server reports them."""
    return counted(r, "usage_total_tokens")


def usage_prompt_cache_read_tokens(r: FactsArray) -> FloatArray:
    """Prompt tokens the server says it took from its cache."""
    return counted(r, "usage_cached_tokens")


def usage_reasoning_tokens(r: FactsArray) -> FloatArray:
    """Reasoning tokens as the server reports them."""
    return counted(r, "usage_reasoning_tokens")


def usage_prompt_tokens_diff_pct(r: FactsArray) -> FloatArray:
    """By how much the server's prompt count differs from the tokenizer's. Units: % of the latter, without sign."""
    return 100 * np.abs(_excess(counted(r, "usage_prompt_tokens"), counted(r, "client_isl_tokens")))


def usage_completion_tokens_diff_pct(r: FactsArray) -> FloatArray:
    """By how much the server's completion count differs from the tokenizer's. Units: % of the latter, without sign."""
    return 100 * np.abs(_excess(counted(r, "usage_completion_tokens"), counted(r, "client_output_tokens")))


def requested_osl(r: FactsArray) -> FloatArray:
    """Output tokens asked for. Undefined when the server was left to decide."""
    return counted(r, "requested_osl_tokens")


def osl_mismatch_diff_pct(r: FactsArray) -> FloatArray:
    """By how much OSL differs from what was asked for. Units: % of the request; negative: the answer was shorter."""
    return 100 * _excess(output_sequence_length(r), requested_osl(r))


def _excess(value: FloatArray, reference: FloatArray) -> FloatArray:
    return ratio(value - reference, reference)
