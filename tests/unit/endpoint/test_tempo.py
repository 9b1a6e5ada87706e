"""How often the client needs to look, by what it has seen of its answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.endpoint.tempo import Tempo, gather_interval_ns, glance_interval_ns
from aiperf.units import NS_PER_MS, NS_PER_S

TICK_NS = 50 * NS_PER_MS


def after_reads(tempo: Tempo, reads_per_tick: int, ticks: int = 400) -> Tempo:
    for tick in range(1, ticks + 1):
        tempo.tick(tick * reads_per_tick)
    return tempo


@pytest.mark.parametrize(
    ("latency_ms", "gap_ms", "interval_ns"),
    [
        (1_000, 20, 0),  # half a millisecond would be all: not worth it
        (3_000, 7, 0),  # chunks come too densely
        (4_096, 1_000, 2 * NS_PER_MS),
        (60_000, 16, 2 * NS_PER_MS),
        (12_288, 5_000, 6 * NS_PER_MS),
        (60_000, 5_000, 10 * NS_PER_MS),
    ],
)
def test_only_what_is_slow_and_sparse_is_gathered(latency_ms, gap_ms, interval_ns):
    assert gather_interval_ns(latency_ms * NS_PER_MS, gap_ms * NS_PER_MS) == interval_ns


@given(latency_ns=st.integers(0, 10**13))
def test_interval_is_three_percent_within_its_bounds(latency_ns):
    interval_ns = glance_interval_ns(latency_ns)
    assert 2 * NS_PER_MS <= interval_ns <= 10 * NS_PER_MS
    assert interval_ns <= max(0.032 * latency_ns, 2 * NS_PER_MS)


def test_sparse_reads_of_slow_streams_may_wait():
    tempo = after_reads(Tempo(TICK_NS), 10)
    # 1,000 streams and 10 reads in 50 ms: 5 s between two chunks of one.
    assert tempo.patience_ns(in_flight_count=1_000, oldest_age_ns=60 * NS_PER_S) == 10 * NS_PER_MS
    assert tempo.patience_ns(in_flight_count=1_000, oldest_age_ns=1 * NS_PER_S) == 0


def test_nothing_waits_where_the_kernel_stamps_no_reads():
    tempo = after_reads(Tempo(TICK_NS), 0)
    assert tempo.patience_ns(in_flight_count=1_000, oldest_age_ns=60 * NS_PER_S) == 0


def test_one_short_request_is_remembered_for_some_seconds():
    tempo = after_reads(Tempo(TICK_NS), 10)
    tempo.completed(60 * NS_PER_S)
    tempo.completed(1 * NS_PER_S)
    tempo.completed(60 * NS_PER_S)
    assert tempo.patience_ns(in_flight_count=1_000, oldest_age_ns=60 * NS_PER_S) == 0
    for tick in range(401, 501):
        tempo.tick(tick * 10)
    assert tempo.patience_ns(in_flight_count=1_000, oldest_age_ns=60 * NS_PER_S) == 10 * NS_PER_MS


def test_glances_go_by_the_youngest_request_or_the_last_one_that_was_completed():
    tempo = Tempo(TICK_NS)
    assert tempo.glance_interval_ns(youngest_age_ns=160 * NS_PER_MS) == 5 * NS_PER_MS
    tempo.completed(256 * NS_PER_MS)
    assert tempo.glance_interval_ns(youngest_age_ns=0) == 8 * NS_PER_MS


def test_where_the_count_of_reads_begins_again_the_pace_of_reads_does_not():
    one, other = after_reads(Tempo(TICK_NS), 10), after_reads(Tempo(TICK_NS), 10)
    other.count_anew(4_003)  # three since the last tick
    one.tick(4_010)
    other.tick(7)
    assert one.patience_ns(in_flight_count=90_000, oldest_age_ns=60 * NS_PER_S) > 0
    assert one.patience_ns(in_flight_count=90_000, oldest_age_ns=60 * NS_PER_S) == other.patience_ns(
        in_flight_count=90_000, oldest_age_ns=60 * NS_PER_S
    )
