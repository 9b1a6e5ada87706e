"""What a run promises, here and in pods: of the same costs."""

from pathlib import Path

import pytest

from aiperf.cli.flags import plan_from_argv
from aiperf.deploy.costs import CONTROL, PROCESSOR, WORKER
from aiperf.deploy.layouts import local_layout
from aiperf.deploy.local_size import local_worker_count
from aiperf.deploy.planned_load import planned_load
from aiperf.deploy.promising import promise_of
from aiperf.metrics.promise import Promise
from aiperf.schedule.phases import phases
from aiperf.service.layout import read_layout, write_layout
from aiperf.service.machine import Machine

EXPECTED = "--streaming --osl 101 --ttft 500ms --itl 30ms"


def promised(flags: str, workers: int = 1, processors: int = 1) -> Promise:
    plan, _ = plan_from_argv(["-m", "m", *flags.split()], {})
    return promise_of(planned_load(plan, phases(plan, 1)), plan.expectation, workers, processors)


def test_what_is_expected_of_the_service_is_promised() -> None:
    promise = promised(f"--concurrency 70 {EXPECTED}")
    assert (promise.connections, promise.requests_per_s, promise.chunks_per_s) == (70, 20.0, 2_020.0)
    assert (promise.ttft_ms, promise.itl_ms, promise.expects) == (500.0, 30.0, True)


def test_without_an_expectation_there_is_no_pace_to_promise() -> None:
    for flags in ("--concurrency 70", "--request-rate 5 --duration 9"):
        promise = promised(flags)
        assert (promise.requests_per_s, promise.chunks_per_s, promise.expects) == (None, None, False)
    assert promised("--request-rate 5 --duration 9").connections is None  # a guess is no promise
    assert promised("--request-rate 5 --duration 9").processes["worker"].cpus is not None


def test_a_guessed_length_promises_no_chunks() -> None:
    assert promised("--concurrency 70 --streaming --ttft 1s --itl 9ms").chunks_per_s is None


def test_each_kind_has_its_cost_from_the_one_table() -> None:
    promise = promised("--concurrency 70")
    assert {kind: each.cost for kind, each in promise.processes.items()} == {
        "worker": WORKER,
        "record_processor": PROCESSOR,
        "control": CONTROL,
    }


def test_the_rows_of_requests_are_told_apart_from_the_process() -> None:
    few, many = (promised(f"--concurrency 1 --request-count {n}").processes["control"] for n in (10, 1_000_000))
    assert few.memory_mb == pytest.approx(many.memory_mb)
    assert few.row_bytes == 256


def test_it_survives_the_way_to_another_process(tmp_path: Path) -> None:
    promise = promised(f"--concurrency 70 {EXPECTED}")
    layout = local_layout(
        run_id="r", workers=1, processors=1, artifact_dir=tmp_path, work_dir=tmp_path, seed=1, promise=promise
    )
    write_layout(layout, tmp_path / "layout.json")
    assert read_layout(tmp_path / "layout.json").promise == promise


@pytest.mark.parametrize(
    ("flags", "workers"),
    [
        (f"--concurrency 900 {EXPECTED}", 1),  # 26,000 chunks/s
        (f"--concurrency 900 --osl 101 --ttft 50ms --itl 9ms {'--streaming'}", 2),  # 96,000: more than half a core
        (f"--request-rate 500 --duration 9 {EXPECTED}", 2),  # 1,750 open at once, and as many chunks as half a core
        ("--request-rate 500 --duration 9", 1),
    ],
)
def test_what_is_expected_of_the_service_sizes_a_local_run(flags: str, workers: int) -> None:
    plan, _ = plan_from_argv(["-m", "m", *flags.split()], {})
    assert local_worker_count(planned_load(plan, phases(plan, 1)), plan.services, Machine(8, 20_000)) == workers
