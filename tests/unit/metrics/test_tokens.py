import math

import pytest

from aiperf.metrics import tokens

NONE = -1


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (tokens.input_sequence_length, 200),
        (tokens.output_sequence_length, 51),
        (tokens.output_token_count, 41),
        (tokens.reasoning_token_count, 10),
        (tokens.usage_prompt_tokens, 200),
        (tokens.usage_completion_tokens, 51),
        (tokens.usage_total_tokens, 251),
        (tokens.usage_prompt_cache_read_tokens, 64),
        (tokens.usage_reasoning_tokens, 10),
        (tokens.usage_prompt_tokens_diff_pct, 100 * 10 / 190),
        (tokens.usage_completion_tokens_diff_pct, 2),
        (tokens.requested_osl, 60),
        (tokens.osl_mismatch_diff_pct, -15),
    ],
)
def test_each_count_of_an_ordinary_request(make_facts, metric, value):
    assert metric(make_facts())[0] == pytest.approx(value)


def test_output_length_without_a_reasoning_count_is_the_output(make_facts):
    assert tokens.output_sequence_length(make_facts(reasoning_tokens=NONE))[0] == 41


@pytest.mark.parametrize(
    ("metric", "column"),
    [
        (tokens.input_sequence_length, "isl_tokens"),
        (tokens.output_sequence_length, "output_tokens"),
        (tokens.reasoning_token_count, "reasoning_tokens"),
        (tokens.usage_prompt_tokens_diff_pct, "client_isl_tokens"),
        (tokens.usage_completion_tokens_diff_pct, "usage_completion_tokens"),
        (tokens.osl_mismatch_diff_pct, "requested_osl_tokens"),
    ],
)
def test_what_nobody_counted_is_undefined(make_facts, metric, column):
    assert math.isnan(metric(make_facts(**{column: NONE}))[0])


def test_a_difference_from_nothing_is_undefined(make_facts):
    assert math.isnan(tokens.usage_prompt_tokens_diff_pct(make_facts(client_isl_tokens=0))[0])
