"""What was promised beside what was reached."""

from typing import Any

import pytest

from aiperf.metrics.promise import CONTROL, PROCESSOR, WORKER, ProcessPromise, Promise
from aiperf.metrics.promise_kept import COST_MARGIN, PromiseKept, compare
from aiperf.metrics.run_facts import PhaseFacts, RunFacts, WorkerFacts
from aiperf.metrics.service_cost import ServiceCost
from aiperf.metrics.summary import summarise
from aiperf.metrics.totals import Totals
from aiperf.schedule.ledger import Ledger

S = 1_000_000_000
COST = ServiceCost(fixed_s=1.0, idle_cpus=0.1, request_us=1_000, chunk_us=100)
TOTALS = Totals(completed_count=1_000, sent_count=1_000, content_chunk_count=10_000)
"""In ten seconds: 1 s fixed, 1 s idle, 1 s of requests, 1 s of chunks."""


def process(**changes: Any) -> ProcessPromise:
    settings: dict[str, Any] = {"cost": COST, "cpus": 0.3, "memory_mb": 100.0}
    return ProcessPromise(**(settings | changes))


def run_of(cpu_s: float = 4.0, memory_mb: float = 50.0, warmed_up: int = 0, workers: int = 1) -> RunFacts:
    seen = {"cpu_s": cpu_s, "memory_max_mb": memory_mb}
    phases = [PhaseFacts(phase=1, start_ns=10 * S, end_ns=20 * S)]
    if warmed_up:
        ledger = Ledger(issued=warmed_up, completed=warmed_up)
        phases.insert(0, PhaseFacts(phase=0, start_ns=0, end_ns=10 * S, ledger=ledger))
    return RunFacts(
        benchmark_id="b",
        aiperf_version="0",
        plan={},
        phases=phases,
        workers=[WorkerFacts(worker_index=i, service_id=f"worker-{i}", observations=seen) for i in range(workers)],
        processes={"record-processor-0": seen, "control": seen},
    )


def kept(promise: Promise, run: RunFacts | None = None, at_once: float | None = 70, **averages: float) -> PromiseKept:
    return compare(promise, TOTALS, run or run_of(), averages, at_once)


def promise(**changes: Any) -> Promise:
    return Promise(**({"workers": 1, "processes": {WORKER: process()}} | changes))


def test_cpu_time_is_promised_for_the_requests_that_came() -> None:
    row = kept(promise()).rows["worker_cpu_s"]
    assert (row.promised, row.reached, row.ratio, row.missed) == (4.0, 4.0, 1.0, False)


def test_of_a_run_of_nothing_what_is_fixed_is_promised() -> None:
    run = run_of(cpu_s=2.0)
    nothing = compare(promise(), Totals(), run, {}, None)
    assert nothing.rows["worker_cpu_s"].promised == 2.0  # fixed, and ten idle seconds
    assert nothing.missed == []


def test_more_than_the_margin_is_missed_and_less_is_not() -> None:
    assert kept(promise(), run_of(cpu_s=4.0 * COST_MARGIN)).missed == []
    too_much = kept(promise(), run_of(cpu_s=4.1 * COST_MARGIN))
    assert too_much.missed == ["worker_cpu_s", "worker_cpus"]
    assert kept(promise(), run_of(memory_mb=151)).missed == ["worker_memory_mb"]
    assert kept(promise(), run_of(cpu_s=0.1, memory_mb=1)).missed == []


def test_cpus_at_the_planned_pace_hold_beginning_and_end_of_the_run() -> None:
    assert kept(promise()).rows["worker_cpus"].promised == pytest.approx(0.3 + 1.0 / 10)


def test_cpus_are_not_promised_where_the_pace_is_the_services() -> None:
    assert "worker_cpus" not in kept(promise(processes={WORKER: process(cpus=None)})).rows


def test_each_process_of_a_kind_has_its_own_beginning() -> None:
    assert kept(promise(workers=3), run_of(workers=3)).rows["worker_cpu_s"].promised == 2 * 1.0 + 2 * 1.0 + 4.0


def test_only_workers_know_phases() -> None:
    both = promise(processes={WORKER: process(), PROCESSOR: process(), CONTROL: process()})
    rows = kept(both, run_of(warmed_up=500)).rows
    assert rows["worker_cpu_s"].promised == 4.0
    assert rows["record_processor_cpu_s"].promised == rows["control_cpu_s"].promised == 1.0 + 2.0 + 1.5 + 1.5


def test_rows_of_requests_are_memory() -> None:
    rows = kept(promise(processes={CONTROL: process(row_bytes=1_000)})).rows
    assert rows["control_memory_mb"].promised == 101.0


def test_a_kind_that_tells_nothing_is_left_out() -> None:
    silent = RunFacts(benchmark_id="b", aiperf_version="0", plan={}, phases=run_of().phases)
    assert [name for name in kept(promise(), silent).rows if name.startswith("worker_")] == []


def test_a_slower_service_misses_what_was_expected_of_it() -> None:
    expecting = promise(requests_per_s=100.0, chunks_per_s=1_000.0, ttft_ms=200.0, itl_ms=20.0, expects=True)
    good = kept(expecting, request_throughput=98.0, time_to_first_token=201.0, inter_token_latency=20.5)
    assert good.missed == []
    assert good.rows["chunks_per_s"].reached == 980.0
    slow = kept(expecting, request_throughput=80.0, time_to_first_token=201.0, inter_token_latency=26.0)
    assert slow.missed == ["requests_per_s", "chunks_per_s", "inter_token_latency"]


def test_the_pace_is_that_of_the_steady_window_where_there_is_one() -> None:
    row = kept(promise(requests_per_s=100.0), request_throughput=60.0, steady_request_throughput=99.0)
    assert row.rows["requests_per_s"].reached == 99.0


def test_more_connections_than_planned_and_fewer_workers_are_missed() -> None:
    assert kept(promise(connections=70)).missed == []
    assert kept(promise(connections=60)).missed == ["connections"]
    assert kept(promise(connections=700)).missed == []  # a short run never reaches them
    assert kept(promise(workers=2)).missed == ["workers"]


def test_a_summary_without_a_promise_has_none(make_facts: Any, make_partial: Any, make_run: Any) -> None:
    assert summarise(make_partial(make_facts(4)), make_run()).promise is None
    told = summarise(make_partial(make_facts(4)), make_run(promise=promise(connections=4, ttft_ms=100.0))).promise
    assert told is not None
    assert told.rows["connections"].reached == 4
    assert told.rows["time_to_first_token"].reached == 100
