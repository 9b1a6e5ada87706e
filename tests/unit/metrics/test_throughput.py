import math

import pytest

from aiperf.metrics import throughput


def test_output_per_user_is_one_over_the_inter_token_latency(make_facts):
    assert throughput.output_token_throughput_per_user(make_facts())[0] == pytest.approx(100)


def test_end_to_end_throughput_includes_the_first_wait(make_facts):
    assert throughput.e2e_output_token_throughput(make_facts())[0] == pytest.approx(51 / 0.6)


def test_prefill_throughput_is_prompt_over_first_wait(make_facts):
    assert throughput.prefill_throughput_per_user(make_facts())[0] == pytest.approx(2_000)


def test_rates_are_undefined_without_their_latency(make_facts):
    whole = make_facts(first_content_ns=-1)
    assert math.isnan(throughput.output_token_throughput_per_user(whole)[0])
    assert math.isnan(throughput.prefill_throughput_per_user(whole)[0])
    assert not math.isnan(throughput.e2e_output_token_throughput(whole)[0])
