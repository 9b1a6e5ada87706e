"""The end of a run: from the merged partial result to the files in the artifact directory.

Owns: which files are written, under which names and in which order. Does not own: what stands in them
(`aiperf.report`), the numbers (`aiperf.metrics`).

The summary is written last: where it is, everything it names is there too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from aiperf import __version__
from aiperf.dataset.store import Store
from aiperf.errors import InfrastructureError
from aiperf.metrics.partial import Partial
from aiperf.metrics.run_facts import PhaseFacts, RunFacts, WorkerFacts
from aiperf.metrics.summary import Summary, summarise
from aiperf.metrics.totals import Totals
from aiperf.plan.dumps import public_dump
from aiperf.plan.plan import Plan
from aiperf.report import console, csv_export, inputs_json, summary_json
from aiperf.report.atomic import atomic_file
from aiperf.report.shards import completion_ranks, merge_shards
from aiperf.schedule.ledger import Ledger
from aiperf.schedule.phases import PhaseKind, phases
from aiperf.schedule.unsent import waits_ns
from aiperf.service.calibration_export import export_calibration
from aiperf.service.column_messages import LineKind
from aiperf.service.dataset_manager import STORE_NAME
from aiperf.service.layout import LOG_NAME, SINGLETONS, Layout, ServiceType
from aiperf.service.line_store import LineStore
from aiperf.service.process_cost import process_cost
from aiperf.units import NS_PER_MS
from aiperf.wire.messages import ExportResults, PhaseFinished, ResultsExported

LINES_LOST = "they were lost with their record processor, or on the way"


class Received(NamedTuple):
    """What came of the records of the measured phase."""

    partial: Partial
    lines: LineStore
    lost_batch_count: int
    cpu_at_start_s: float = 0.0
    """CPU time of this process when the first phase began."""


def export_results(order: ExportResults, received: Received, layout: Layout, plan: Plan) -> ResultsExported:
    """Writes every artifact; says where they are.

    Raises: InfrastructureError if a file cannot be written. The summary is written all the same if it can be.
    """
    if plan.calibration.calibrate_only:
        return export_calibration(order, layout, plan, _timestamp_source(order.worker_observations))
    folder, prefix, partial = Path(layout.artifact_dir), plan.results.export_prefix, received.partial
    summary_path = folder / (prefix + summary_json.FILE_SUFFIX)
    csv_path, console_path = folder / (prefix + csv_export.FILE_SUFFIX), folder / (prefix + console.FILE_SUFFIX)
    written = [inputs_json.FILE_NAME, LOG_NAME]
    warnings = list(order.warnings)

    inputs_json.write_inputs(folder / inputs_json.FILE_NAME, _sessions(Store.open(Path(layout.data_dir) / STORE_NAME)))
    failure: InfrastructureError | None = None
    lines_lost_count = 0
    for name, kind in _line_files(plan).items():
        if received.lines.failure:
            warnings.append(f"there is no {name}: {received.lines.failure}")
            lines_lost_count = partial.record_count
            continue
        try:
            missing = _merge_lines(folder / name, received.lines, kind, order.record_processors)
        except InfrastructureError as error:
            failure = error
            warnings.append(f"there is no {name}: {error}")
            lines_lost_count = partial.record_count
            continue
        written.append(name)
        if missing:
            warnings.append(f"{name} lacks {missing} lines: {LINES_LOST}")
            lines_lost_count = max(lines_lost_count, missing)
    _count_unsent(partial, order, plan, layout.random_seed)
    if received.lost_batch_count:
        warnings.append(f"{received.lost_batch_count} batches of records did not arrive")

    written = [summary_path.name, csv_path.name, console_path.name, *written]
    run = _run_facts(order, partial, layout, plan, warnings, written)
    run = msgspec.structs.replace(
        run,
        batches_lost_count=received.lost_batch_count,
        lines_lost_count=lines_lost_count,
        processes=_processes(order, received, layout),
    )
    summary = summarise(partial, run)
    csv_export.write_csv(csv_path, summary)
    console.write_console(console_path, summary)
    summary_json.write_summary(summary_path, summary)
    if failure is not None:
        raise failure
    return ResultsExported(
        artifact_dir=str(folder),
        summary_path=str(summary_path),
        completed_count=partial.totals.completed_count,
        failed_count=partial.totals.failed_count,
        verdict=summary.verdict.status,
        first_error=_first_error(summary),
        heaviest_reason=summary.verdict.reasons[0].text if summary.verdict.reasons else "",
    )


def _count_unsent(partial: Partial, order: ExportResults, plan: Plan, seed: int) -> None:
    """Arrivals of the measured phase that were never sent bound what is measured from the intended time."""
    measured = next((phase for phase in order.phases if phase.phase == PhaseKind.PROFILING), None)
    if measured is None or not measured.unsent_runs:
        return
    planned = next(phase for phase in phases(plan, seed) if phase.phase == PhaseKind.PROFILING)
    runs = np.frombuffer(measured.unsent_runs, np.int64).reshape(-1, 2)
    for waited_ns in waits_ns(planned, runs, measured.unsent_until_ns, measured.start_ns):
        partial.add_unsent(waited_ns / NS_PER_MS)


def _sessions(store: Store) -> Any:
    return ((session_id, [msgspec.Raw(body) for body in bodies]) for session_id, bodies in store.payloads())


def _line_files(plan: Plan) -> dict[str, LineKind]:
    """The files with a line per request, by name."""
    prefix, level = plan.results.export_prefix, plan.results.export_level
    lines = {} if level == "summary" else {f"{prefix}.jsonl": LineKind.LINES}
    return lines | ({f"{prefix}_raw.jsonl": LineKind.RAW} if level == "raw" else {})


def _merge_lines(path: Path, lines: LineStore, kind: LineKind, record_processors: list[str]) -> int:
    """Writes all lines in order of completion; returns how many are missing. Raises: InfrastructureError."""
    shards = [lines.path(name, kind) for name in record_processors]
    with atomic_file(path) as out:
        return merge_shards(shards, completion_ranks(lines.end_ns(record_processors)), out).missing_count


def _run_facts(
    order: ExportResults, partial: Partial, layout: Layout, plan: Plan, warnings: list[str], artifacts: list[str]
) -> RunFacts:
    phases = [
        PhaseFacts(
            phase=phase.phase,
            start_ns=phase.start_ns,
            end_ns=phase.end_ns,
            stop_ns=phase.stop_ns,
            unplaced_slot_s=phase.unplaced_slot_s,
            ledger=_ledger(phase, partial.totals),
        )
        for phase in order.phases
    ]
    reasons = {lost.service_id: lost.reason for lost in order.lost_services}
    credits_of_lost = next((phase.lost_workers for phase in order.phases if phase.phase == PhaseKind.PROFILING), {})
    workers = [
        WorkerFacts(
            worker_index=index,
            service_id=service_id,
            host=order.places.get(service_id, ("", ""))[0],
            node=order.places.get(service_id, ("", ""))[1],
            returned_count=credits_of_lost.get(service_id, (0, 0))[0],
            unreturned_count=credits_of_lost.get(service_id, (0, 0))[1],
            is_late=service_id in order.late_workers,
            lost_reason=reasons.pop(service_id, ""),
            observations=order.worker_observations.get(service_id, {}),
        )
        for index, service_id in order.workers.items()
    ]
    run = RunFacts(
        benchmark_id=layout.run_id,
        aiperf_version=__version__,
        plan=public_dump(plan),
        phases=phases,
        outcome=order.outcome,
        reason=order.reason,
        workers=workers,
        lost_services=[f"{name}: {reason}" for name, reason in reasons.items()],
        slices_lost_count=order.lost_slice_count,
        deferred_bytes=int(sum(_observed(workers, "deferred_bytes"))),
        deferred_slice_count=int(sum(_observed(workers, "deferred_slice_count"))),
        deferred_s=max(_observed(workers, "deferred_s"), default=0.0),
        deferred_after_load_s=max(_observed(workers, "deferred_after_load_s"), default=0.0),
        dropped_slice_count=int(sum(_observed(workers, "dropped_slice_count"))),
        tokenizer=order.tokenizer,
        timestamp_source=_timestamp_source(order.worker_observations),
        warnings=warnings,
        run_info={
            "random_seed": layout.random_seed,
            "workers_at_start": order.began_with,
            "workers_joined_late": order.late_workers,
        },
        promise=layout.promise,
        artifacts=artifacts,
        calibration=order.calibration,
    )
    measured = run.measured()
    ended = measured.ledger.completed + measured.ledger.failed if measured else 0
    records = partial.totals.completed_count + partial.totals.failed_count
    return msgspec.structs.replace(run, records_lost_count=max(0, ended - records))


def _processes(order: ExportResults, received: Received, layout: Layout) -> dict[str, dict[str, float]]:
    """What the processes without a worker have cost; this one only where it is the one control host."""
    if len(layout.host_of(ServiceType.RECORDS_MANAGER).services) < len(SINGLETONS):
        return order.processor_observations
    return order.processor_observations | {"control": process_cost(received.cpu_at_start_s)}


def _observed(workers: Sequence[WorkerFacts], name: str) -> list[Any]:
    """What each worker observed by that name."""
    return [worker.observations.get(name, 0) for worker in workers]


def _ledger(phase: PhaseFinished, totals: Totals) -> Ledger:
    """The phase's account, of the measured one as the records complete it."""
    ledger = Ledger(**phase.ledger)
    if phase.phase != PhaseKind.PROFILING:
        return ledger
    return ledger.settled(totals.completed_count, totals.failed_count)


def _timestamp_source(observations: Mapping[str, Mapping[str, float]]) -> str:
    """Where arrival times came from, over all workers."""
    by_kernel = sum(worker.get("kernel_stamped_read_count", 0) for worker in observations.values())
    by_user = sum(worker.get("user_stamped_read_count", 0) for worker in observations.values())
    if by_kernel and by_user:
        return "mixed"
    return "kernel" if by_kernel else "user" if by_user else ""


def _first_error(summary: Summary) -> str:
    """The most frequent error in one line."""
    if not summary.error_summary:
        return ""
    error = summary.error_summary[0]
    kind = f"{error.kind} {error.code}" if error.code else error.kind
    return f"{kind}: {error.message}" if error.message else kind
