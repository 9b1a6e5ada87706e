"""Plan → phases, defaults filled in."""

import pytest

from aiperf.plan.plan import EndpointPlan, LoadPlan, Plan, WarmupPlan
from aiperf.schedule.phases import (
    Mode,
    Pattern,
    PhaseKind,
    connections_at_once,
    kind_of,
    phase_number,
    phases,
    step_of,
)

S = 1_000_000_000


def plan(load=None, **warmup):
    return Plan(
        endpoint=EndpointPlan(models=("m",)), load=LoadPlan(**(load or {})), warmup=WarmupPlan(**warmup)
    )  # fmt: skip


def profiling(**load):
    (phase,) = phases(plan(load), 1)
    return phase


def test_without_anything_ten_requests_are_made_one_at_a_time():
    phase = profiling()
    assert (phase.phase, phase.mode, phase.concurrency, phase.request_count) == (1, Mode.CLOSED, 1, 10)
    assert phase.rate_rps is None
    assert phase.duration_ns is None


@pytest.mark.parametrize(("concurrency", "count"), [(1, 10), (5, 10), (6, 12), (100, 200)])
def test_the_default_count_is_two_per_slot_and_at_least_ten(concurrency, count):
    assert profiling(concurrency=concurrency).request_count == count


def test_a_rate_is_open_loop_and_with_a_concurrency_capped():
    assert profiling(request_rate=2.0).mode is Mode.OPEN
    assert profiling(request_rate=2.0).concurrency is None
    assert profiling(request_rate=2.0, concurrency=8).mode is Mode.CAPPED


def test_the_measured_phase_has_the_ramp_and_warm_up_has_none():
    load = {"concurrency": 4, "concurrency_ramp_s": 2.5}
    warming, measured = phases(plan(load, warmup_request_count=3), 1)
    assert (warming.ramp_ns, measured.ramp_ns) == (0, 2_500_000_000)
    assert profiling(concurrency=4).ramp_ns == 0


def test_a_duration_alone_sets_no_count():
    phase = profiling(duration_s=2.5)
    assert (phase.request_count, phase.duration_ns) == (None, 2_500_000_000)


def test_a_duration_stops_and_cuts_after_the_grace():
    phase = profiling(duration_s=2, grace_period_s=3)
    assert (phase.stop_ns(100 * S), phase.cut_ns(100 * S)) == (102 * S, 105 * S)


def test_a_count_alone_neither_stops_nor_cuts():
    phase = profiling(request_count=7)
    assert (phase.stop_ns(S), phase.cut_ns(S)) == (-1, -1)


def test_a_count_and_a_duration_both_hold():
    phase = profiling(request_count=7, duration_s=1)
    assert (phase.request_count, phase.duration_ns) == (7, S)


def test_smoothness_is_that_of_poisson_unless_given():
    assert profiling(request_rate=1.0, arrival_pattern="gamma").smoothness == 1
    assert profiling(request_rate=1.0, arrival_pattern="gamma", arrival_smoothness=0.5).smoothness == 0.5


def test_warm_up_comes_first_and_is_as_the_measured_phase_unless_told_otherwise():
    load = {"concurrency": 4, "request_rate": 9.0, "arrival_pattern": "constant", "grace_period_s": 7}
    warming, measured = phases(plan(load, warmup_request_count=3), 1)
    assert (warming.phase, measured.phase) == (0, 1)
    assert (warming.request_count, measured.request_count) == (3, 10)
    for name in ("mode", "concurrency", "rate_rps", "pattern", "smoothness", "grace_ns"):
        assert getattr(warming, name) == getattr(measured, name)


def test_warm_up_has_its_own_settings():
    warming, _ = phases(
        plan(
            {"request_rate": 9.0},
            warmup_duration_s=2,
            warmup_concurrency=5,
            warmup_request_rate=1.0,
            warmup_arrival_pattern="gamma",
            warmup_grace_period_s=0,
        ),
        1,
    )
    assert (warming.mode, warming.concurrency, warming.rate_rps) == (Mode.CAPPED, 5, 1.0)
    assert (warming.pattern, warming.grace_ns, warming.duration_ns) == (Pattern.GAMMA, 0, 2 * S)
    assert warming.request_count is None


def test_a_warm_up_rate_before_a_closed_loop_without_a_concurrency_is_not_capped():
    warming, measured = phases(plan(warmup_request_count=3, warmup_request_rate=5.0), 1)
    assert (warming.mode, measured.mode) == (Mode.OPEN, Mode.CLOSED)


def test_warm_up_does_not_change_the_measured_stream():
    assert phases(plan(warmup_request_count=3), 8)[-1] == phases(plan(), 8)[0]


def test_seeds_differ_by_phase_and_by_run():
    seeds = [phase.seed for seed in range(4) for phase in phases(plan(warmup_request_count=3), seed)]
    assert len(set(seeds)) == len(seeds)


def test_a_sweep_has_no_phases_of_its_own():
    with pytest.raises(ValueError, match="sweep"):
        phases(plan({"concurrency": (1, 2)}), 1)


@pytest.mark.parametrize("step", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("kind", PhaseKind)
def test_a_number_tells_its_kind_and_its_step(kind, step):
    number = phase_number(kind, step)
    assert (kind_of(number), step_of(number)) == (kind, step)


def test_no_two_phases_have_the_same_number():
    numbers = [phase_number(kind, step) for kind in PhaseKind for step in range(50)]
    assert len(set(numbers)) == len(numbers)


def test_recorded_numbers_of_warm_up_and_profiling_keep_their_meaning():
    assert (phase_number(PhaseKind.WARMUP), phase_number(PhaseKind.PROFILING)) == (0, 1)


@pytest.mark.parametrize(
    ("load", "warmup", "connections"),
    [
        ({"concurrency": 50, "duration_s": 1}, {}, 50),
        ({"concurrency": 50, "request_count": 20}, {}, 20),
        ({"concurrency": 50, "duration_s": 1}, {"warmup_concurrency": 80, "warmup_duration_s": 1}, 80),
        ({"request_rate": 10}, {}, 0),
        ({"request_rate": 10, "concurrency": 50}, {}, 0),  # a cap need not be reached
    ],
)
def test_connections_that_are_certain_to_be_open_at_once(load, warmup, connections):
    assert connections_at_once(phases(plan(load, **warmup), 1)) == connections
