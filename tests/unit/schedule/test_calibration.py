"""The course of a calibration as tables: what was seen at each load, and which load comes next."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiperf.plan.calibration import CalibrationPlan
from aiperf.plan.plan import EndpointPlan, LoadPlan, Plan
from aiperf.schedule.calibration import (
    GAP,
    STEPS_MAX,
    CalibrationCourse,
    CalibrationShape,
    StepOutcome,
    calibration_of,
    load_in_words,
)
from aiperf.schedule.phases import Mode, PhaseKind, PhasePlan, kind_of
from aiperf.units import NS_PER_MS, NS_PER_S

from .conftest import make_phase_plan

SHAPE = CalibrationShape(200 * NS_PER_MS, 20 * NS_PER_MS, 5 * NS_PER_S)
T, U, UNKNOWN, UNANSWERED = StepOutcome.TRUTHFUL, StepOutcome.UNTRUTHFUL, StepOutcome.UNKNOWN, StepOutcome.UNANSWERED


def course_of(own: PhasePlan, seen: "list[StepOutcome]") -> tuple[CalibrationCourse, list[PhasePlan]]:
    """The course after these outcomes, and the phases that had them."""
    course, phases = CalibrationCourse(own, SHAPE), []
    for outcome in seen:
        step = course.next_step()
        assert step is not None
        phases.append(step)
        course.book(outcome)
    return course, phases


@pytest.mark.parametrize(
    ("seen", "loads", "following", "largest", "limit"),
    [
        # The own load comes first.
        ([], [], 100, None, None),
        # It is doubled while it is truthful, …
        ([T, T], [100, 200], 400, 200, None),
        # … and then the gap is closed by its geometric middle until it is 1.2 at most.
        ([T, U], [100, 200], 141, 100, 200),
        ([T, U, T], [100, 200, 141], 167, 141, 200),
        ([T, U, T, U], [100, 200, 141, 167], None, 141, 167),
        ([T, U, U, T], [100, 200, 141, 118], None, 118, 141),
        # A load that is too much is halved.
        ([U, U], [100, 50], 25, None, 50),
        ([U, U, T], [100, 50, 25], 35, 25, 50),
        # What is not known to be truthful is a limit like any other.
        ([T, UNKNOWN], [100, 200], 141, 100, 200),
        # Where nobody answers there is no use in going on.
        ([UNANSWERED], [100], None, None, 100),
        ([T, UNANSWERED], [100, 200], None, 100, 200),
        # What lies above a load that was not truthful counts for nothing.
        ([U, T], [100, 50], 70, 50, 100),
    ],
)
def test_each_outcome_leads_to_the_next_load(seen, loads, following, largest, limit):
    course, phases = course_of(make_phase_plan(concurrency=100), seen)
    assert [phase.concurrency for phase in phases] == loads
    step = course.next_step()
    assert (step.concurrency if step else None, course.largest, course.limit) == (following, largest, limit)


def test_a_load_of_one_cannot_be_halved():
    course, phases = course_of(make_phase_plan(concurrency=1), [U])
    assert [phase.concurrency for phase in phases] == [1]
    assert course.next_step() is None


def test_loads_that_are_whole_numbers_end_when_none_lies_between():
    course, _ = course_of(make_phase_plan(concurrency=1), [T, U])
    assert course.next_step() is None
    assert course.largest == 1


def test_a_rate_is_varied_as_a_rate_and_a_cap_with_it():
    _, (first, second) = course_of(make_phase_plan(rate_rps=30, concurrency=10), [T, T])
    assert (first.mode, first.rate_rps, first.concurrency) == (Mode.CAPPED, 30, 10)
    assert (second.mode, second.rate_rps, second.concurrency) == (Mode.CAPPED, 60, 20)
    _, (_, third) = course_of(make_phase_plan(rate_rps=30), [T, T])
    assert (third.mode, third.rate_rps, third.concurrency) == (Mode.OPEN, 60, None)


def test_a_step_is_the_own_load_for_a_few_seconds_and_is_drained_after_an_answer():
    own = make_phase_plan(concurrency=8, request_count=1_000_000, ramp_ns=60 * NS_PER_S, grace_ns=30 * NS_PER_S)
    _, (first, second) = course_of(own, [T, T])
    assert (first.kind, first.duration_ns, first.request_count) == (PhaseKind.CALIBRATION, 5 * NS_PER_S, None)
    assert first.ramp_ns <= first.duration_ns / 2
    assert SHAPE.answer_ns_max < first.grace_ns < SHAPE.answer_ns_max + 2 * NS_PER_S
    assert first.phase != second.phase
    assert kind_of(first.phase) is kind_of(second.phase) is PhaseKind.CALIBRATION
    assert first.seed != second.seed


def test_an_answer_lasts_half_a_step_at_the_most():
    assert SHAPE.answer_ns_max <= SHAPE.duration_ns / 2
    assert CalibrationShape(0, 0, NS_PER_S).answer_ns_max == 0
    slow = CalibrationShape(NS_PER_S, 10 * NS_PER_S, 2 * NS_PER_S)
    assert (slow.tokens_max, slow.answer_ns_max) == (1, NS_PER_S)


@given(own=st.integers(1, 10**6), true_limit=st.floats(0.5, 1e9))
@settings(deadline=None)
def test_the_limit_is_closed_in_upon_within_the_steps(own, true_limit):
    """Whatever the limit: it ends, and between what was truthful and what was not there is no more than the gap."""
    course = CalibrationCourse(make_phase_plan(concurrency=own), SHAPE)
    steps = 0
    while (step := course.next_step()) is not None:
        steps += 1
        assert step.concurrency is not None
        course.book(T if step.concurrency <= true_limit else U)
    assert steps <= STEPS_MAX
    largest, limit = course.largest, course.limit
    if largest is not None and limit is not None and not course.ran_out_of_steps:
        assert limit / largest <= GAP or math.floor(math.sqrt(largest * limit)) in (largest, limit)
    if largest is not None:
        assert largest <= true_limit
    if limit is not None:
        assert limit > true_limit


def test_only_a_plan_that_asks_for_it_has_a_calibration():
    def plan(**asked) -> Plan:
        return Plan(
            endpoint=EndpointPlan(models=("m",)),
            load=LoadPlan(concurrency=1),
            calibration=CalibrationPlan(calibrate_ttft="0.5s", **asked),
        )

    assert calibration_of(plan()) is None
    expected = CalibrationShape(500 * NS_PER_MS, 20 * NS_PER_MS, 5 * NS_PER_S)
    assert calibration_of(plan(calibrate=True)) == calibration_of(plan(calibrate_only=True)) == expected


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ({"concurrency": 1_200}, "concurrency 1,200"),
        ({"rate_rps": 12.5}, "12.5 requests/s"),
        ({"rate_rps": 20_000.0, "concurrency": 64}, "20,000 requests/s, at most 64 in flight"),
    ],
)
def test_a_load_is_told_in_words(load, words):
    assert load_in_words(make_phase_plan(**load)) == words
