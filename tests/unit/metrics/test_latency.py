import math

import numpy as np
import pytest

from aiperf.metrics import latency

MS = 1_000_000
NONE = -1


@pytest.mark.parametrize(
    ("metric", "milliseconds"),
    [
        (latency.request_latency, 600),
        (latency.time_to_first_token, 100),
        (latency.time_to_first_output_token, 200),
        (latency.time_to_second_token, 20),
        (latency.inter_token_latency, 10),
        (latency.effective_latency, 610),
        (latency.effective_time_to_first_token, 110),
    ],
)
def test_each_latency_of_an_ordinary_request(make_facts, metric, milliseconds):
    assert metric(make_facts()).tolist() == [milliseconds]


def test_nothing_is_known_of_a_request_that_was_never_sent(make_facts):
    unsent = make_facts(sent_ns=NONE)
    assert np.isnan(latency.request_latency(unsent)).all()
    assert np.isnan(latency.time_to_first_token(unsent)).all()


def test_without_streaming_there_is_a_latency_but_no_token_time(make_facts):
    whole = make_facts(first_content_ns=NONE, first_output_ns=NONE, second_content_ns=NONE, content_chunk_count=0)
    assert latency.request_latency(whole)[0] == 600
    for metric in (latency.time_to_first_token, latency.time_to_second_token, latency.inter_token_latency):
        assert math.isnan(metric(whole)[0])


def test_a_second_chunk_that_shares_the_first_ones_read_has_no_gap(make_facts):
    first = int(make_facts()["first_content_ns"][0])
    assert math.isnan(latency.time_to_second_token(make_facts(second_content_ns=first))[0])


def test_inter_token_latency_takes_the_first_chunks_tokens_out(make_facts):
    assert latency.inter_token_latency(make_facts(first_chunk_tokens=11))[0] == pytest.approx(500 / 40)


def test_an_unknown_first_chunk_counts_as_one_token(make_facts):
    assert latency.inter_token_latency(make_facts(first_chunk_tokens=NONE))[0] == 10


@pytest.mark.parametrize(
    "columns",
    [
        {"output_tokens": 1, "reasoning_tokens": 0},
        {"output_tokens": NONE},
        {"first_chunk_tokens": 51},
        {"content_chunk_count": 1},
        {"content_chunk_count": 26, "shared_chunk_count": 25},
    ],
    ids=["one token", "tokens unknown", "all tokens in the first chunk", "one chunk", "all chunks in one read"],
)
def test_inter_token_latency_is_undefined_with(make_facts, columns):
    assert math.isnan(latency.inter_token_latency(make_facts(**columns))[0])


def test_effective_latencies_are_undefined_in_closed_loop(make_facts):
    assert math.isnan(latency.effective_latency(make_facts(due_ns=NONE))[0])
    assert math.isnan(latency.effective_time_to_first_token(make_facts(due_ns=NONE))[0])


def test_the_earliest_times_are_lower_by_the_width(make_facts):
    wide = make_facts(first_content_width_ns=30 * MS, last_content_width_ns=7 * MS)
    assert latency.earliest_time_to_first_token(wide)[0] == 70
    assert latency.earliest_request_latency(wide)[0] == 593


def test_nothing_arrives_before_it_was_asked_for(make_facts):
    wide = make_facts(first_content_width_ns=900 * MS, last_content_width_ns=900 * MS)
    assert latency.earliest_time_to_first_token(wide)[0] == 0
    assert latency.earliest_request_latency(wide)[0] == 0


def test_inter_token_latency_lies_between_what_the_widths_allow(make_facts):
    """500 ms over 50 later tokens; the last chunk may have come 100 ms earlier, the first 25 ms."""
    wide = make_facts(first_content_width_ns=25 * MS, last_content_width_ns=100 * MS)
    assert latency.least_inter_token_latency(wide)[0] == pytest.approx(8)
    assert latency.inter_token_latency(wide)[0] == pytest.approx(10)
    assert latency.greatest_inter_token_latency(wide)[0] == pytest.approx(10.5)


def test_no_gap_between_tokens_is_less_than_none(make_facts):
    assert latency.least_inter_token_latency(make_facts(last_content_width_ns=900 * MS))[0] == 0


def test_bounds_of_what_is_undefined_are_so_too(make_facts):
    unknown = make_facts(output_tokens=NONE)
    assert math.isnan(latency.least_inter_token_latency(unknown)[0])
    assert math.isnan(latency.greatest_inter_token_latency(unknown)[0])
