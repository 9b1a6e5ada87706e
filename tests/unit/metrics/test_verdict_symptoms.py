"""What is told of workers, and that it is no more than told."""

import pytest

from aiperf.metrics.run_facts import PhaseFacts, RunFacts, WorkerFacts
from aiperf.metrics.verdict_reasons import Severity
from aiperf.metrics.verdict_symptoms import SYMPTOMS, causes, rules
from aiperf.schedule.phases import PhaseKind

NEXT_TO_NOTHING = {
    "throttled_ms": 90, "run_queue_delay_ms": 900, "cgroup_cpu_pressure_ms": 900, "machine_cpu_pressure_ms": 900,
    "gc_pause_max_ms": 4, "gc_pause_total_ms": 90, "drain_max_ms": 4, "loop_lag_p99_ms": 4, "loop_lag_max_ms": 90,
    "timer_error_p99_ms": 4, "short_send_count": 0, "starved_slot_s": 0.09, "clock_step_count": 0,
}  # fmt: skip
"""In a window of 10 s."""
MUCH = {
    "throttled_ms": 200, "run_queue_delay_ms": 2000, "cgroup_cpu_pressure_ms": 2000, "machine_cpu_pressure_ms": 2000,
    "gc_pause_max_ms": 8, "gc_pause_total_ms": 200, "drain_max_ms": 8, "loop_lag_p99_ms": 9, "loop_lag_max_ms": 1500,
    "timer_error_p99_ms": 9, "short_send_count": 7, "starved_slot_s": 0.5, "clock_step_count": 1,
}  # fmt: skip


def run_with(*observed: dict[str, float]) -> RunFacts:
    workers = [
        WorkerFacts(worker_index=index, service_id=f"worker-{index}", observations={"observed_s": 10.0, **each})
        for index, each in enumerate(observed)
    ]
    phase = PhaseFacts(phase=PhaseKind.PROFILING, start_ns=0, end_ns=10 * 10**9)
    return RunFacts(benchmark_id="b", aiperf_version="0", plan={}, phases=[phase], workers=workers)


def test_a_calm_worker_has_no_symptoms():
    assert causes(run_with(NEXT_TO_NOTHING)) == []
    assert causes(run_with({})) == []
    assert causes(run_with()) == []


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=[symptom.name for symptom in SYMPTOMS])
def test_each_symptom_is_told_once_it_could_be_felt(symptom):
    (cause,) = causes(run_with(NEXT_TO_NOTHING | {symptom.observation: MUCH[symptom.observation]}))
    assert (cause.symptom, cause.worker, cause.amount) == (symptom.name, "worker-0", MUCH[symptom.observation])
    assert "worker-0" in cause.text
    assert cause.text.endswith((".", ")"))


def test_the_worker_that_it_befell_most_is_named_and_others_are_counted():
    (cause,) = causes(
        run_with({"run_queue_delay_ms": 2_000}, {"run_queue_delay_ms": 5_000}, {"run_queue_delay_ms": 50})
    )
    assert cause.worker == "worker-1"
    assert "5.00 s (50.0% of the measured time)" in cause.text
    assert "1 more" in cause.text


def test_symptoms_alone_change_no_status():
    assert {reason.severity for reason in rules(causes(run_with(MUCH)))} == {Severity.NOTE}
