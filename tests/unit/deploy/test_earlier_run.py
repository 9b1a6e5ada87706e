"""CPU times of a machine, as an earlier run on it tells them."""

import json
from pathlib import Path

import pytest

from aiperf.cli.flags import plan_from_argv
from aiperf.deploy.costs import CpuFactors
from aiperf.deploy.earlier_run import cpu_factors
from aiperf.deploy.needs import needs
from aiperf.deploy.planned_load import planned_load
from aiperf.deploy.promising import promise_of
from aiperf.errors import PlanError
from aiperf.metrics.partial import Partial
from aiperf.metrics.promise_kept import PromiseKept, PromiseRow
from aiperf.metrics.run_facts import RunFacts
from aiperf.metrics.summary import Summary, summarise
from aiperf.report.summary_json import write_summary
from aiperf.schedule.phases import phases

LOAD = "--concurrency 1000 --streaming --osl 101 --ttft 500ms --itl 30ms"


def row(ratio: float, reached: float) -> PromiseRow:
    return PromiseRow(promised=reached / ratio, reached=reached, unit="CPU-s", ratio=ratio, missed=False)


def written(folder: Path, kept: PromiseKept | None) -> Path:
    run = RunFacts(benchmark_id="b", aiperf_version="0", plan={}, phases=[])
    summary: Summary = summarise(Partial.empty(), run)
    summary.promise = kept
    write_summary(folder / "summary.json", summary)
    return folder / "summary.json"


def kept(**rows: PromiseRow) -> PromiseKept:
    return PromiseKept(rows=rows, missed=[], expects=False)


def test_what_needed_enough_to_tell_is_scaled_and_the_rest_is_not(tmp_path: Path) -> None:
    path = written(tmp_path, kept(worker_cpu_s=row(2.0, 30.0), control_cpu_s=row(5.0, 0.9)))
    assert cpu_factors(path) == CpuFactors(worker=2.0)


@pytest.mark.parametrize("ratio", [0.0, -1.0])
def test_a_ratio_that_no_run_has_tells_nothing(tmp_path: Path, ratio: float) -> None:
    foreign = PromiseRow(promised=1.0, reached=30.0, unit="CPU-s", ratio=ratio, missed=False)
    with pytest.raises(PlanError, match="it tells nothing"):
        cpu_factors(written(tmp_path, kept(worker_cpu_s=foreign)))


def test_a_run_that_was_scaled_itself_tells_of_the_table_all_the_same(tmp_path: Path) -> None:
    rows = {"worker_cpu_s": row(1.1, 30.0)}
    scaled = PromiseKept(rows=rows, missed=[], expects=False, cpu_factors={"worker": 2.0, "control": 3.0})
    assert cpu_factors(written(tmp_path, scaled)) == pytest.approx(CpuFactors(worker=2.2, control=3.0))


def test_kinds_of_processes_that_this_version_does_not_know_are_passed_over(tmp_path: Path) -> None:
    rows = {"worker_cpu_s": row(1.5, 30.0)}
    told = PromiseKept(rows=rows, missed=[], expects=False, cpu_factors={"dataset_manager": 2.0})
    assert cpu_factors(written(tmp_path, told)) == CpuFactors(worker=1.5)


@pytest.mark.parametrize("promise", [None, kept(), kept(worker_cpu_s=row(2.0, 0.5))])
def test_a_run_that_tells_nothing_is_a_problem(tmp_path: Path, promise: PromiseKept | None) -> None:
    with pytest.raises(PlanError, match="it tells nothing"):
        cpu_factors(written(tmp_path, promise))


@pytest.mark.parametrize("text", [None, "{", json.dumps({"a": 1})])
def test_what_is_no_summary_is_a_problem(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "summary.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PlanError, match="--costs-from"):
        cpu_factors(path)


def test_needs_and_promise_are_scaled(tmp_path: Path) -> None:
    path = written(tmp_path, kept(worker_cpu_s=row(2.0, 30.0), record_processor_cpu_s=row(0.5, 30.0)))
    plain, scaled = (
        planned_load(plan, phases(plan, 1))
        for flags in (LOAD, f"{LOAD} --costs-from {path}")
        for plan, _ in [plan_from_argv(["-m", "m", *flags.split()], {})]
    )
    before, after = needs(plain, 2, 1), needs(scaled, 2, 1)
    assert before.worker_cpus is not None
    assert before.processor_cpus is not None
    assert after.worker_cpus == pytest.approx(2 * before.worker_cpus)
    assert after.processor_cpus == pytest.approx(before.processor_cpus / 2)
    plan, _ = plan_from_argv(["-m", "m"], {})
    assert promise_of(scaled, plan.expectation, 2, 1).cpu_factors["worker"] == 2.0
