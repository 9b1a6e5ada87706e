import numpy as np
import pytest

from aiperf.metrics.concurrency import SweepColumns
from aiperf.metrics.steady import steady_window


def columns(*requests):
    """Requests as (sent, first content, last content, end, output tokens, succeeded)."""
    rows = [(sent, first, last, end, 0, tokens, ok) for sent, first, last, end, tokens, ok in requests]
    return SweepColumns(*np.array(rows, np.int64).T)


def test_back_to_back_waves_give_the_rate_of_one_wave():
    waves = [(start, start + 2, start + 10, start + 10, 80, 1) for start in range(0, 50, 10) for _ in range(4)]
    window = steady_window(columns(*waves))
    assert (window.start_ns, window.end_ns) == (10, 40)
    assert window.requests == pytest.approx(12)
    assert window.output_tokens == pytest.approx(3 * 4 * 80)


def test_slots_out_of_step_do_not_raise_the_rate():
    shifted = [(start + slot, start + slot + 2, start + slot + 10, start + slot + 10, 80, 1)
               for start in range(0, 50, 10) for slot in range(4)]  # fmt: skip
    window = steady_window(columns(*shifted))
    assert (window.start_ns, window.end_ns) == (10, 43)
    in_flight = 4
    assert window.requests == pytest.approx(in_flight * window.duration_ns / 10)


def test_tokens_count_by_the_share_of_their_time_in_the_window():
    window = steady_window(columns((0, 5, 10, 10, 100, 1), (0, 5, 25, 25, 100, 1), (20, 25, 35, 35, 100, 1)))
    assert (window.start_ns, window.end_ns) == (10, 20)
    assert window.output_tokens == pytest.approx(100 * 10 / 20)


def test_at_a_rate_a_growing_queue_does_not_count_as_work():
    # One a tick is sent, the server ends one every two ticks: half of the rate, however long the queue.
    requests = [(tick, 2 * tick + 1, 2 * tick + 2, 2 * tick + 2, 1, 1) for tick in range(100)]
    window = steady_window(columns(*requests), at_a_rate=True)
    assert (window.start_ns, window.end_ns) == (2, 99)
    assert window.requests / window.duration_ns == pytest.approx(1 / 2, rel=0.02)
    assert steady_window(columns(*requests)).requests / window.duration_ns > 0.6


def test_an_answer_at_one_instant_counts_where_it_lies():
    window = steady_window(columns((0, 5, 5, 5, 10, 1), (0, 8, 8, 8, 30, 1), (10, 15, 15, 15, 50, 1)))
    assert window.output_tokens == 30


def test_a_single_wave_has_no_steady_window():
    assert steady_window(columns((0, 2, 10, 10, 5, 1), (1, 3, 11, 11, 5, 1))) is None


def test_failures_neither_end_the_ramp_nor_count():
    window = steady_window(columns((0, 1, 2, 2, 9, 0), (0, 5, 10, 10, 9, 1), (20, 25, 30, 30, 9, 1)))
    assert (window.start_ns, window.requests, window.output_tokens) == (10, 0, 0)


def test_without_a_success_there_is_none():
    assert steady_window(columns((0, -1, -1, 5, 0, 0))) is None
