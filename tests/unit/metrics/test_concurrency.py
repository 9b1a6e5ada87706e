import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.metrics import concurrency
from aiperf.metrics.concurrency import StepFunction, SweepColumns

NONE = -1


def columns(*requests):
    """Requests as (sent, first content, last content, end, input tokens, output tokens)."""
    rows = [(*request, 1) for request in requests]
    return SweepColumns(*np.array(rows, np.int64).T)


request_times = st.tuples(
    st.integers(0, 30), st.none() | st.integers(0, 10), st.integers(0, 10), st.integers(0, 5), st.integers(0, 4),
    st.integers(-1, 4),
).map(
    lambda t: (
        t[0],
        NONE if t[1] is None else t[0] + t[1],
        NONE if t[1] is None else t[0] + t[1] + t[2],
        t[0] + (t[1] or 0) + t[2] + t[3],
        t[4],
        t[5],
    )
)  # fmt: skip
many = st.lists(request_times, min_size=1, max_size=8).map(lambda requests: columns(*requests))


def level_at(steps: StepFunction, time: float) -> int:
    inside = (steps.times_ns[:-1] <= time) & (time < steps.times_ns[1:])
    return int(steps.levels[inside][0])


def moments(c):
    """The middle of every nanosecond of the span."""
    first, last = concurrency.span_of(c)
    return [moment + 0.5 for moment in range(first, last)]


@given(many)
def test_concurrency_is_what_counting_at_every_moment_gives(c):
    steps = concurrency.effective_concurrency(c)
    for moment in moments(c):
        assert level_at(steps, moment) == ((c.sent_ns <= moment) & (moment < c.end_ns)).sum()


@given(many)
def test_prefill_and_decode_are_what_counting_at_every_moment_gives(c):
    prefill, decode = concurrency.effective_prefill_concurrency(c), concurrency.effective_decode_concurrency(c)
    if (c.first_content_ns == NONE).all():
        assert prefill is None
        assert decode is None
        return
    first = np.where(c.first_content_ns == NONE, c.end_ns, c.first_content_ns)
    for moment in moments(c):
        assert level_at(prefill, moment) == ((c.sent_ns <= moment) & (moment < first)).sum()
        decoding = (c.first_content_ns != NONE) & (c.first_content_ns <= moment) & (moment < c.last_content_ns)
        assert level_at(decode, moment) == decoding.sum()


@given(many)
def test_tokens_in_flight_are_what_counting_at_every_moment_gives(c):
    steps = concurrency.tokens_in_flight(c)
    if steps is None:
        assert not ((c.input_tokens > 0) | (c.output_tokens > 0)).any()
        return
    began = np.where(c.first_content_ns == NONE, c.sent_ns, c.first_content_ns)
    for moment in moments(c):
        held = c.input_tokens[(c.sent_ns <= moment) & (moment < c.end_ns)].sum()
        held += np.maximum(c.output_tokens, 0)[(began <= moment) & (moment < c.end_ns)].sum()
        assert level_at(steps, moment) == held


@given(many)
def test_statistics_are_those_of_the_moments(c):
    steps = concurrency.effective_concurrency(c)
    levels = [level_at(steps, moment) for moment in moments(c)]
    statistics = steps.statistics()
    if not levels:
        assert statistics == {}
        return
    assert statistics["avg"] == pytest.approx(np.mean(levels))
    assert statistics["std"] == pytest.approx(np.std(levels))
    assert statistics["min"] == min(levels)
    assert statistics["max"] == max(levels)
    for percent in (50, 90, 99):
        assert statistics[f"p{percent}"] == np.percentile(levels, percent, method="inverted_cdf")


def test_two_overlapping_requests_by_hand():
    c = columns((0, 4, 10, 10, 100, 7), (5, 6, 20, 20, 50, 3))
    assert concurrency.effective_concurrency(c).statistics() == pytest.approx(
        {"avg": 1.25, "min": 1, "max": 2, "std": 0.1875**0.5, "p50": 1, "p90": 2, "p95": 2, "p99": 2}
    )
    steps = concurrency.tokens_in_flight(c)
    assert steps.times_ns.tolist() == [0, 4, 5, 6, 10, 20]
    assert steps.levels.tolist() == [100, 107, 157, 160, 53]


def test_a_change_at_one_instant_leaves_no_spike():
    steps = concurrency.effective_concurrency(columns((0, 1, 2, 10, 0, 0), (10, 11, 12, 20, 0, 0)))
    assert steps.levels.tolist() == [1, 1]
