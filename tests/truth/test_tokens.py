"""What is counted and what is divided by it: token counts and latencies between tokens are the server's.

TOLERANCE_FRACTION: gaps are measured from the first chunk to the last, over 150 ms at least, and compared with what the
server really did. An error of 1 ms at either end would be 0.7 %; 2 % leaves three times that.
"""

import pytest

from aiperf.units import NS_PER_MS

TOLERANCE_FRACTION = 0.02
LOAD = ("--streaming", "--concurrency", "16", "--request-count", "64")


def decoding_ms(request):
    """Between the sending of the first chunk and that of the last."""
    return (request.row.sent_ns[-1] - request.row.sent_ns[0]) / NS_PER_MS


def test_inter_token_latency_is_the_servers(measure, median):
    measured = measure(("--ttft", "50", "--itl", "10"), (*LOAD, "--osl", "20"))
    for request in measured.requests:
        assert len(request.row.sent_ns) == 20
    # A stream that came in one read, since the machine halted, has none.
    timed = [request for request in measured.requests if "inter_token_latency" in request.line["metrics"]]
    assert len(timed) > 32
    ratios = [request.metric("inter_token_latency") * 19 / decoding_ms(request) for request in timed]
    assert median(ratios) == pytest.approx(1, rel=TOLERANCE_FRACTION)
    assert measured.summary["inter_token_latency"]["p50"] >= 10 * (1 - TOLERANCE_FRACTION)
    assert measured.summary["inter_chunk_latency"]["p50"] == pytest.approx(10, rel=0.2)


def test_tokens_that_came_with_the_first_chunk_are_not_waited_for(measure, median):
    """20 tokens in 4 chunks: 3 gaps for 15 tokens, since the first five came at once."""
    measured = measure(("--ttft", "50", "--itl", "50", "--tokens-per-chunk", "5"), (*LOAD, "--osl", "20"))
    for request in measured.requests:
        assert len(request.row.sent_ns) == 4
        assert request.metric("output_sequence_length") == 20
    ratios = [request.metric("inter_token_latency") * 15 / decoding_ms(request) for request in measured.requests]
    assert median(ratios) == pytest.approx(1, rel=TOLERANCE_FRACTION)


@pytest.mark.parametrize("streaming", [("--streaming",), ()], ids=["streaming", "whole"])
@pytest.mark.parametrize("dialect", ["chat", "completions"])
def test_tokens_that_no_server_counted_are_the_tokenizers(measure, streaming, dialect):
    load = ("--concurrency", "8", "--request-count", "40", "--endpoint-type", dialect)
    measured = measure(
        ("--ttft", "10", "--itl", "1", "--no-usage"),
        (*streaming, *load, "--osl", "30", "--osl-stddev", "10"),
    )
    assert len({request.row.tokens for request in measured.requests}) > 5
    for request in measured.requests:
        assert request.metric("output_sequence_length") == request.row.tokens


def test_tokens_that_the_server_counted_are_the_servers(measure):
    measured = measure(
        ("--ttft", "10", "--itl", "1", "--reasoning-tokens", "4"),
        (*LOAD, "--osl", "12"),
        tokenizer=None,
    )
    for request in measured.requests:
        assert request.metric("usage_completion_tokens") == request.row.tokens == 12
        assert request.metric("usage_prompt_tokens") == request.row.prompt_tokens
        assert request.metric("input_sequence_length") == request.row.prompt_tokens
        assert request.metric("output_sequence_length") == 12
        assert request.metric("reasoning_token_count") == 4


def test_sums_are_those_of_the_server(measure):
    measured = measure(("--ttft", "10", "--itl", "1"), (*LOAD, "--osl", "12", "--osl-stddev", "4"), tokenizer=None)
    assert measured.summary["total_osl"]["avg"] == sum(row.tokens for row in measured.rows)
    assert measured.summary["total_isl"]["avg"] == sum(row.prompt_tokens for row in measured.rows)
