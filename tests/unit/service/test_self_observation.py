"""What a worker sees of itself, and when it looks."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.service.self_observation import Delays, SelfObservation

MS = 1_000_000


@pytest.fixture
def observation():
    observation = SelfObservation()
    yield observation
    observation.close()


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.sampled_from([1, 50, 90, 99, 100]))
def test_a_percentile_is_no_less_than_the_true_one_and_at_most_an_eighth_more(delays, percent):
    seen = Delays()
    for delay in delays:
        seen.add(delay)
    true = sorted(delays)[max(0, -(-percent * len(delays) // 100) - 1)]
    assert true <= seen.percentile_ns(percent) <= true * 9 / 8
    assert (seen.count, seen.total_ns, seen.max_ns) == (len(delays), sum(delays), max(delays))


def test_what_came_early_was_not_late():
    delays = Delays()
    delays.add(-5)
    assert delays.observations("loop_lag") == {"loop_lag_p50_ms": 0, "loop_lag_p99_ms": 0, "loop_lag_max_ms": 0}


def test_without_a_delay_nothing_is_told():
    assert Delays().observations("timer_error") == {}


def test_nothing_is_counted_before_the_measured_phase(observation):
    observation.armed_ns = 5
    observation.timer_fired(9)
    observation.loop_woke(7 * MS)
    gc.collect()
    seen = observation.observations()
    assert "timer_error_max_ms" not in seen
    assert "loop_lag_max_ms" not in seen
    assert seen["gc_pause_count"] == 0


def test_a_new_window_forgets_the_last_one(observation):
    observation.begin()
    observation.loop_woke(7 * MS)
    gc.collect()
    observation.begin()
    seen = observation.observations()
    assert "loop_lag_max_ms" not in seen
    assert seen["gc_pause_count"] == 0
    assert seen["observed_s"] < 60


def test_the_timers_error_is_from_what_was_armed_last(observation):
    observation.begin()
    observation.armed_ns = 10 * MS
    observation.timer_fired(12 * MS)
    observation.timer_fired(90 * MS)  # nothing was armed: the wake-up of a timer that was set again meanwhile
    seen = observation.observations()
    assert seen["timer_error_max_ms"] == pytest.approx(2)


def test_pauses_of_the_collector_are_counted_while_it_looks(observation):
    observation.begin()
    gc.collect()
    gc.collect()
    seen = observation.observations()
    assert seen["gc_pause_count"] >= 2
    assert 0 < seen["gc_pause_max_ms"] <= seen["gc_pause_total_ms"]
    observation.close()
    observation.close()
    gc.collect()
    assert observation.observations()["gc_pause_count"] == seen["gc_pause_count"]


def test_cpu_time_is_of_the_window_and_memory_the_peak(observation):
    observation.begin()
    seen = observation.observations()
    assert 0 <= seen["cpu_s"] < 60
    assert 1 < seen["memory_max_mb"] < 100_000
    assert seen.keys() >= {"throttled_ms", "run_queue_delay_ms", "machine_cpu_pressure_ms", "cgroup_cpu_pressure_ms"}
