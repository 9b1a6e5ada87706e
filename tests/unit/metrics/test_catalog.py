import math

import numpy as np

from aiperf.endpoint.exchange import Outcome
from aiperf.metrics.catalog import (
    BY_TAG,
    CENSORED_ROW,
    METRICS,
    PER_REQUEST,
    ROW,
    Kind,
    Population,
    lower_bounds_of,
    values_of,
)
from aiperf.metrics.summary import Summary

CONTRACT = """
request_latency time_to_first_token time_to_first_output_token time_to_second_token inter_token_latency
inter_chunk_latency output_token_throughput_per_user e2e_output_token_throughput prefill_throughput_per_user
input_sequence_length output_sequence_length output_token_count reasoning_token_count usage_prompt_tokens
usage_completion_tokens usage_total_tokens usage_prompt_cache_read_tokens usage_reasoning_tokens
usage_prompt_tokens_diff_pct usage_completion_tokens_diff_pct requested_osl osl_mismatch_diff_pct effective_latency
effective_time_to_first_token dispatch_lag send_lag rearm_delay http_req_blocked http_req_dns_lookup http_req_connecting
http_req_tls_handshaking http_req_sending http_req_waiting http_req_receiving http_req_duration http_req_total
http_req_connection_reused http_req_data_sent http_req_data_received request_count error_request_count
completed_request_count request_error_rate benchmark_duration request_throughput output_token_throughput
total_token_throughput input_token_throughput total_isl total_osl total_output_tokens good_request_count
good_request_fraction goodput adj_request_latency adj_time_to_first_token adj_inter_token_latency effective_concurrency
tokens_in_flight effective_prefill_concurrency effective_decode_concurrency offered_rate achieved_rate unsent_count
censored_count start_skew
"""


def test_the_catalog_has_every_promised_metric():
    assert set(CONTRACT.split()) <= BY_TAG.keys()


def test_tags_are_unique_and_no_key_of_the_summary():
    assert len(BY_TAG) == len(METRICS)
    assert not BY_TAG.keys() & set(Summary.__struct_fields__)


def test_a_metric_has_a_function_named_like_its_tag_unless_its_kind_has_none():
    for metric in METRICS:
        if metric.kind in (Kind.LIST, Kind.ADJUSTED):
            assert metric.function is None, metric.tag
        else:
            assert metric.function is not None
            assert metric.function.__name__ == metric.tag


def test_an_adjusted_metric_names_the_one_it_is_made_from():
    for metric in METRICS:
        if metric.kind is Kind.ADJUSTED:
            assert BY_TAG[metric.adjusts].kind is Kind.PER_REQUEST
            assert metric.tag == f"adj_{metric.adjusts}"


def test_a_failed_request_is_only_in_what_measures_the_client(make_facts):
    values = values_of(make_facts(outcome=Outcome.FAILED))
    for row, metric in enumerate(PER_REQUEST):
        if metric.population is Population.SUCCEEDED:
            assert math.isnan(values[row, 0]), metric.tag
    assert values[ROW["dispatch_lag"], 0] == 1


def test_a_cancelled_request_is_in_no_latency_and_bounds_none(make_facts):
    cut = make_facts(outcome=Outcome.CANCELLED)
    assert math.isnan(values_of(cut)[ROW["time_to_first_token"], 0])
    assert lower_bounds_of(cut).shape[1] == 0


def test_a_censored_request_has_what_was_seen_and_bounds_what_was_not(make_facts):
    cut = make_facts(outcome=Outcome.CENSORED)
    values, bounds = values_of(cut), lower_bounds_of(cut)
    assert values[ROW["time_to_first_token"], 0] == 100
    assert math.isnan(bounds[CENSORED_ROW["time_to_first_token"], 0])
    assert math.isnan(values[ROW["request_latency"], 0])
    assert math.isnan(values[ROW["inter_token_latency"], 0])
    assert bounds[CENSORED_ROW["request_latency"], 0] == 610
    assert bounds[CENSORED_ROW["effective_latency"], 0] == 620


def test_a_request_cut_before_its_first_token_bounds_the_time_to_it(make_facts):
    cut = make_facts(outcome=Outcome.CENSORED, first_content_ns=-1)
    assert math.isnan(values_of(cut)[ROW["time_to_first_token"], 0])
    assert lower_bounds_of(cut)[CENSORED_ROW["time_to_first_token"], 0] == 610


def test_a_request_cut_before_it_was_sent_bounds_only_the_effective_latency(make_facts):
    bounds = lower_bounds_of(make_facts(outcome=Outcome.CENSORED, sent_ns=-1))
    assert math.isnan(bounds[CENSORED_ROW["request_latency"], 0])
    assert bounds[CENSORED_ROW["effective_latency"], 0] == 620


def test_no_records_give_no_values(make_facts):
    assert values_of(make_facts(0)).shape == (len(PER_REQUEST), 0)


def test_mixed_outcomes_keep_their_own_columns(make_facts):
    rows = make_facts(3)
    rows["outcome"] = [Outcome.COMPLETED, Outcome.FAILED, Outcome.CENSORED]
    ttft = values_of(rows)[ROW["time_to_first_token"]]
    np.testing.assert_array_equal(ttft, [100, np.nan, 100])
