"""The run clock, and the wrong wall clock that tests can give to a process."""

import time

import pytest

from aiperf import clock
from aiperf.clock import RunClock, WallError, read_wall_error
from aiperf.units import NS_PER_MS, NS_PER_S

HOUR_NS = 3_600 * NS_PER_S
CLOSE_NS = 50 * NS_PER_MS
"""Two clock reads one after the other are closer than this on any machine that runs at all."""


@pytest.fixture
def wrong_by(monkeypatch):
    """`wrong_by(ns)` sets the wall clock that this process sees."""

    def set_wrong(error_ns: int) -> None:
        monkeypatch.setattr(clock, "_wall_ns", lambda: time.time_ns() + error_ns)

    return set_wrong


def test_the_run_clock_reads_like_the_wall_clock():
    assert abs(RunClock().now_ns() - time.time_ns()) < CLOSE_NS


def test_a_step_of_the_wall_clock_moves_no_reading_and_is_told(wrong_by):
    run_clock = RunClock()
    wrong_by(HOUR_NS)
    assert abs(run_clock.now_ns() - time.time_ns()) < CLOSE_NS
    assert run_clock.sync() == pytest.approx(HOUR_NS, abs=CLOSE_NS)
    assert run_clock.sync() == 0
    stamp_ns = time.time_ns() + HOUR_NS
    assert abs(stamp_ns + run_clock.real_to_run_ns - run_clock.now_ns()) < CLOSE_NS


def test_an_adopted_scale_holds_for_readings_and_kernel_stamps(wrong_by):
    wrong_by(HOUR_NS)
    run_clock = RunClock()
    run_clock.adopt(-HOUR_NS)
    assert abs(run_clock.now_ns() - time.time_ns()) < CLOSE_NS
    stamp_ns = time.time_ns() + HOUR_NS
    assert abs(stamp_ns + run_clock.real_to_run_ns - run_clock.now_ns()) < CLOSE_NS
    assert run_clock.sync() == 0, "the offset to the wall clock is known, and no step"


def test_a_step_before_the_scale_was_adopted_is_part_of_it(wrong_by):
    run_clock = RunClock()
    wrong_by(HOUR_NS)
    run_clock.adopt(1_000)
    stamp_ns = time.time_ns() + HOUR_NS
    assert abs(stamp_ns + run_clock.real_to_run_ns - run_clock.now_ns()) < CLOSE_NS


def test_a_small_offset_is_adopted_too():
    run_clock = RunClock()
    before = run_clock.anchor_ns
    run_clock.adopt(7_000)
    assert run_clock.anchor_ns == before + 7_000
    assert run_clock.real_to_run_ns != 0


def test_an_error_is_its_skew_and_the_steps_so_far():
    error = read_wall_error("skew=3600s,step=-2s@5s,step=500us@10ms", began_ns=1_000)
    assert error == WallError(HOUR_NS, ((1_000 + 10 * NS_PER_MS, 500_000), (1_000 + 5 * NS_PER_S, -2 * NS_PER_S)))
    assert error.at_ns(0) == HOUR_NS
    assert error.at_ns(1_000 + 10 * NS_PER_MS) == HOUR_NS + 500_000
    assert error.at_ns(6 * NS_PER_S) == HOUR_NS + 500_000 - 2 * NS_PER_S
    assert error.next_step_ns(0) == 1_000 + 10 * NS_PER_MS
    assert error.next_step_ns(1_000 + 10 * NS_PER_MS) == 1_000 + 5 * NS_PER_S
    assert error.next_step_ns(6 * NS_PER_S) == -1


@pytest.mark.parametrize("text", ["skew=1", "skew=1h", "step=2s", "jump=2s", ""])
def test_an_error_that_cannot_be_read_is_refused(text):
    with pytest.raises(ValueError, match="AIPERF_TEST_CLOCK"):
        read_wall_error(text, 0)
