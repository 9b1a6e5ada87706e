"""This side's own error: records beside the server's account, and what is truthful."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.endpoint.exchange import Outcome
from aiperf.metrics.own_error import COMPARED, OwnErrors, judged_step
from aiperf.record.facts import FACTS_DTYPE, FactsArray
from aiperf.schedule.calibration import CalibrationCourse, CalibrationShape, StepOutcome
from aiperf.schedule.phases import Mode, Pattern, PhaseKind, PhasePlan
from aiperf.units import NS_PER_MS, NS_PER_S

MS = NS_PER_MS
SHAPE = CalibrationShape(200 * MS, 20 * MS, 5 * NS_PER_S)
OWN_LOAD = PhasePlan(
    kind=PhaseKind.PROFILING, mode=Mode.CLOSED, concurrency=8, ramp_ns=0, rate_rps=None, pattern=Pattern.POISSON,
    smoothness=1.0, request_count=10, duration_ns=None, grace_ns=0, seed=1,
)  # fmt: skip
STEP = CalibrationCourse(OWN_LOAD, SHAPE).next_step()
ALL_WELL = {"issued": 1, "completed": 1, "offered": 1, "unsent": 0, "lost": 0}


def records_of(*rows: dict[str, int]) -> FactsArray:
    """Records of these fields; all others are 0."""
    facts = np.zeros(len(rows), FACTS_DTYPE)
    for position, row in enumerate(rows):
        for name, value in row.items():
            facts[name][position] = value
    return facts


def errors_of(*, late_ms=0.0, first_late_ms=0.0, count=1, tokens=4, sent_ns=10**18, **facts) -> OwnErrors:
    """Of records of a server that is on time; this side sees all of it late, and the first chunk even later."""
    account = [(200 + 20 * k) * MS for k in range(tokens)]
    seen = [round(due + late_ms * MS) for due in account]
    seen[0] += round(first_late_ms * MS)
    row = {
        "outcome": Outcome.COMPLETED, "sent_ns": sent_ns, "dispatched_ns": sent_ns, "due_ns": -1,
        "first_content_ns": sent_ns + seen[0], "last_content_ns": sent_ns + seen[-1], "content_chunk_count": tokens,
        "shared_chunk_count": 0, "first_content_width_ns": 0, "last_content_width_ns": 0, **facts,
    }  # fmt: skip
    gaps = np.tile(np.diff(np.array(seen)), count)
    offsets = np.arange(count + 1) * (tokens - 1)
    return OwnErrors.of(records_of(*[row] * count), gaps, offsets, [account] * count, SHAPE)


def test_the_error_is_the_clients_duration_less_the_servers():
    errors = errors_of(late_ms=0.5, first_late_ms=0.25)
    assert errors.percentiles_ms("time_to_first_token")["p50"] == pytest.approx(0.75, rel=1e-3)
    assert errors.percentiles_ms("request_latency")["p50"] == pytest.approx(0.5, rel=1e-3)
    # Over three gaps the first chunk's lateness is spread; gap by gap only the first one shows it.
    assert errors.percentiles_ms("inter_token_latency")["p50"] == pytest.approx(0.25 / 3, rel=1e-3)
    assert errors.percentiles_ms("inter_chunk_latency") == {
        "p50": 0, "p99": pytest.approx(0.25 * 0.97, rel=0.05), "count": 3
    }  # fmt: skip


def test_a_clock_that_is_hours_ahead_changes_nothing():
    """Only durations of each side are compared."""
    first, second = (errors_of(late_ms=0.5, sent_ns=instant) for instant in (10**18, 7 * 3_600 * NS_PER_S))
    assert first.percentiles_ms("request_latency") == second.percentiles_ms("request_latency")


@pytest.mark.parametrize(
    ("facts", "tally"),
    [
        ({"outcome": Outcome.FAILED}, "failed"),
        ({"outcome": Outcome.CENSORED}, "cut"),
        ({"content_chunk_count": 3}, "completed"),  # the account is not of what was seen
    ],
)
def test_only_whole_answers_are_compared(facts, tally):
    errors = errors_of(**facts)
    assert errors.tallies[tally] == 1
    assert all(not errors.percentiles_ms(name) for name in COMPARED)


def test_chunks_that_the_server_sent_at_once_may_share_a_read():
    account = [200 * MS, 220 * MS, 220 * MS + 1_000, 240 * MS]
    row = {
        "sent_ns": 0, "first_content_ns": 200 * MS, "last_content_ns": 240 * MS, "content_chunk_count": 4,
        "shared_chunk_count": 1, "due_ns": -1,
    }  # fmt: skip
    errors = OwnErrors.of(records_of(row), np.array([20 * MS, 20 * MS]), np.array([0, 2]), [account], SHAPE)
    assert errors.tallies["shared"] == 0
    assert not errors.percentiles_ms("inter_chunk_latency")
    spread = OwnErrors.of(records_of(row), np.array([]), np.array([0, 0]), [[k * 20 * MS for k in range(4)]], SHAPE)
    assert spread.tallies["shared"] == 1


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20), st.integers(0, 20))
def test_errors_add_up_however_they_are_grouped(late_ms, cut):
    parts = [errors_of(late_ms=late) for late in late_ms]
    one, other = OwnErrors(), OwnErrors()
    for part in parts:
        one.merge(OwnErrors.from_frame(part.to_frame()))
    second = OwnErrors()
    for part in parts[cut:]:
        second.merge(part)
    for part in parts[:cut]:
        other.merge(part)
    other.merge(second)
    assert one.tallies == other.tallies
    assert one.percentiles_ms("request_latency") == other.percentiles_ms("request_latency")


@pytest.mark.parametrize(
    ("seen", "credits", "unplaced_s", "outcome", "reason"),
    [
        ({"late_ms": 0.1}, {}, 0, StepOutcome.TRUTHFUL, ""),
        ({"late_ms": 0.6}, {}, 0, StepOutcome.TRUTHFUL, ""),  # half a percent of 200 ms is 1 ms
        ({"late_ms": 1.5}, {}, 0, StepOutcome.UNTRUTHFUL, "time to first token is 1.5 ms off at p50, more than 1 ms"),
        ({"first_late_ms": 0.9, "tokens": 2}, {}, 0, StepOutcome.UNTRUTHFUL, "gap between chunks is 0.9 ms off at p50"),
        ({"first_content_width_ns": 30 * MS}, {}, 0, StepOutcome.UNTRUTHFUL, "only known within 30 ms at p99"),
        ({"due_ns": 10**18 - 50 * MS}, {}, 0, StepOutcome.UNTRUTHFUL, "requests left 50 ms late at p99"),
        ({"shared_chunk_count": 1}, {}, 0, StepOutcome.UNTRUTHFUL, "25% of chunks were read together"),
        ({}, {"unsent": 5, "offered": 100}, 0, StepOutcome.UNTRUTHFUL, "5 of 100 requests were not sent"),
        ({}, {"lost": 3}, 0, StepOutcome.UNTRUTHFUL, "3 requests were lost"),
        ({}, {}, 1.5, StepOutcome.UNTRUTHFUL, "no room for so many requests"),
        ({"outcome": Outcome.FAILED}, {}, 0, StepOutcome.UNANSWERED, "1 of 1 requests failed"),
        ({"outcome": Outcome.CENSORED}, {}, 0, StepOutcome.UNANSWERED, "1 of 1 answers did not come in time"),
    ],
)
def test_what_is_truthful(seen, credits, unplaced_s, outcome, reason):
    step = judged_step(errors_of(**seen), STEP, SHAPE, ALL_WELL | credits, unplaced_s)
    assert step.outcome == outcome
    assert reason in "; ".join(step.reasons)
    assert bool(step.reasons) == (outcome is not StepOutcome.TRUTHFUL)


def test_a_server_that_cannot_do_more_leaves_it_open():
    slow = dataclasses.replace(SHAPE, ttft_ns=100 * MS)
    errors = OwnErrors()
    account = [200 * MS, 220 * MS]
    row = {"first_content_ns": 200 * MS, "last_content_ns": 220 * MS, "content_chunk_count": 2, "due_ns": -1}
    errors.merge(OwnErrors.of(records_of(row), np.array([20 * MS]), np.array([0, 1]), [account], slow))
    step = judged_step(errors, STEP, slow, ALL_WELL, 0)
    assert step.outcome == StepOutcome.UNKNOWN
    assert "the built-in server is 100 ms late at p50" in step.reasons[0]


def test_a_whole_body_is_late_if_it_comes_after_its_last_token_was_due():
    row = {"last_content_ns": 500 * MS, "due_ns": -1, "usage_completion_tokens": 11}
    on_time, late = (
        OwnErrors.of(records_of(row), np.array([]), np.array([0, 0]), [[account_ms * MS]], SHAPE)
        for account_ms in (400, 480)
    )
    assert on_time.percentiles_ms("server_lag")["p50"] == 0
    assert late.percentiles_ms("server_lag")["p50"] == pytest.approx(80, rel=1e-3)


def test_waiting_for_a_slot_under_a_cap_is_not_lateness():
    capped = dataclasses.replace(STEP, mode=Mode.CAPPED, rate_rps=10.0)
    errors = errors_of(due_ns=10**18 - 50 * MS)
    assert judged_step(errors, capped, SHAPE, ALL_WELL, 0).outcome == StepOutcome.TRUTHFUL


def test_nothing_is_unanswered():
    step = judged_step(OwnErrors(), STEP, SHAPE, {}, 0)
    assert (step.outcome, step.reasons) == (
        StepOutcome.UNANSWERED, ["no answer was complete, so nothing could be compared"]
    )  # fmt: skip
