import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.schedule import unsent
from aiperf.schedule.arrivals import Arrivals
from aiperf.schedule.phases import Pattern
from aiperf.schedule.unsent import runs_of, waits_ns

S = 1_000_000_000
START_NS = 5 * S


def indices_of(runs):
    return [index for first, count in runs.tolist() for index in range(first, first + count)]


@given(
    st.sets(st.integers(0, 60)),
    st.integers(0, 80),
    st.integers(0, 80),
    st.integers(1, 4),
)
def test_runs_hold_what_was_handed_back_and_what_was_never_handed_out(handed_back, handed, asked, workers):
    handed_back = {index for index in handed_back if index < handed}
    lanes = [np.array([i for i in sorted(handed_back) if i % workers == lane], np.int64) for lane in range(workers)]
    runs = runs_of(lanes, handed, asked)
    assert runs.shape[1:] == (2,)
    assert runs.dtype == np.int64
    assert indices_of(runs) == sorted({index for index in handed_back if index < asked} | set(range(handed, asked)))
    assert indices_of(np.frombuffer(runs.tobytes(), np.int64).reshape(-1, 2)) == indices_of(runs)


def test_a_flood_that_was_never_handed_out_is_one_run():
    assert runs_of([], 1_000, 3_000_000).tolist() == [[1_000, 2_999_000]]


@pytest.mark.parametrize("pattern", Pattern)
def test_waits_are_from_the_due_instants_to_the_end(monkeypatch, phase_plan, pattern):
    monkeypatch.setattr(unsent, "BLOCK_COUNT", 7)
    plan = phase_plan(rate_rps=50, concurrency=2, pattern=pattern, duration_ns=2 * S)
    offsets_ns = Arrivals(pattern, 50, plan.smoothness, plan.seed).offsets(0, 60)
    runs = np.array([[3, 2], [10, 40]])
    waits = np.concatenate(list(waits_ns(plan, runs, START_NS + 2 * S, START_NS)))
    due_ns = START_NS + offsets_ns[[3, 4, *range(10, 50)]]
    assert waits.tolist() == np.maximum(START_NS + 2 * S - due_ns, 0).tolist()


def test_in_closed_loop_nothing_is_due(phase_plan):
    assert list(waits_ns(phase_plan(concurrency=2), np.array([[0, 5]]), 9, 0)) == []
