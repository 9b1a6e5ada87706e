"""The summary: every number of a run, and what is needed to read them.

Owns: putting partial result and run facts together. Does not own: formulas (`catalog`), the verdict's rules
(`verdict`), the file's shape (`aiperf.report.summary_json`).
"""

import math
from datetime import UTC, datetime
from typing import Any

import msgspec

from aiperf.metrics.calibration import Calibration
from aiperf.metrics.catalog import BY_TAG, CENSORED_ROW, METRICS, ROW, Kind, Metric
from aiperf.metrics.distribution import MetricResult, Ranked, adjusted, describe
from aiperf.metrics.goodput import objectives_of
from aiperf.metrics.partial import Partial
from aiperf.metrics.promise_kept import PromiseKept, compare
from aiperf.metrics.rates import RunView
from aiperf.metrics.run_facts import RunFacts
from aiperf.metrics.steady import steady_window
from aiperf.metrics.verdict import Verdict, judge
from aiperf.metrics.verdict_punctuality import is_capped
from aiperf.metrics.worker_rows import start_lags_ns, worker_rows
from aiperf.record.facts import NONE
from aiperf.schedule.ledger import Ledger
from aiperf.units import NS_PER_S

SCHEMA_VERSION = "1.4"
"""The version of AIPerf's schema whose keys we carry."""


_OF_ANY_STREAM = ("time_to_first_token", "effective_time_to_first_token", "earliest_time_to_first_token")
"""Of a stream that was cut before it had begun these are known to be at least so long; what else it would have had is
not known."""


class ErrorEntry(msgspec.Struct, frozen=True):
    """All failures of one kind and status."""

    kind: str
    code: int | None
    """HTTP status; None before there was one."""
    message: str
    """Of the first of them."""
    count: int


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for and what was sent."""

    mode: str
    """`concurrency`, `rate`, or `rate with a cap`."""
    concurrency: int | None = None
    request_rate: float | None = None
    offered_rate: float | None = None
    achieved_rate: float | None = None
    unsent_count: int = 0
    in_flight_avg: float | None = None


class RecordLedger(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the records of the measured phase."""

    records: int
    """Of completed and failed requests."""
    lost: int
    cut: int
    """Rows of cancelled and censored requests, kept beside them."""
    slices_lost: int = 0
    batches_lost: int = 0
    lines_lost: int = 0


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """What record processors could not take during the load, and so waited on the workers' disks."""

    bytes: int
    slices: int
    longest_s: float
    """The longest time in which a worker had some waiting."""
    after_load_s: float
    """How long it took after the load until record processors had taken all of it."""
    dropped_slices: int = 0
    """There was no room for these."""


class Summary(msgspec.Struct, kw_only=True):
    """One run's results. Console, CSV and JSON are made of this and nothing else."""

    schema_version: str
    aiperf_version: str
    benchmark_id: str
    metrics: dict[str, MetricResult]
    """By tag, in the order of the catalog."""
    input_config: dict[str, Any]
    run_info: dict[str, Any]
    was_cancelled: bool
    is_complete: bool
    error_summary: list[ErrorEntry]
    start_time: str
    """ISO 8601, UTC."""
    end_time: str
    verdict: Verdict
    load: Load
    workers: list[dict[str, Any]]
    credits: Ledger
    records: RecordLedger
    deferred: Deferred | None = None
    """None if record processors kept up."""
    token_source: str
    """`server`, `tokenizer`, `mixed` or `none`."""
    tokenizer: str
    timestamp_source: str
    warnings: list[str]
    artifacts: list[str]
    calibration: Calibration | None = None
    promise: PromiseKept | None = None
    """What was promised, and what was reached; None where nothing was promised."""


def summarise(partial: Partial, run: RunFacts) -> Summary:
    """The results of a run.

    Raises: PlanError if the plan's goodput is none (it was checked when the plan was made).
    """
    columns = partial.sweep_columns()
    view = RunView(
        totals=partial.totals,
        run=run,
        steady=steady_window(columns, at_a_rate=partial.totals.due_count > 0)
        if columns is not None and len(columns.sent_ns)
        else None,
        has_objectives=bool(objectives_of(run.section("results").get("goodput"))),
        start_lags_ns=tuple(start_lags_ns(partial.workers, run).values()),
    )
    results = {metric.tag: result for metric in METRICS if (result := _result(metric, partial, view)) is not None}
    phase = run.measured()
    return Summary(
        schema_version=SCHEMA_VERSION,
        aiperf_version=run.aiperf_version,
        benchmark_id=run.benchmark_id,
        metrics={tag: result for tag, result in results.items() if BY_TAG[tag].exported},
        input_config=run.plan,
        run_info=_run_info(run),
        was_cancelled=run.outcome == "interrupted",
        is_complete=run.outcome == "completed",
        error_summary=[
            ErrorEntry(failure.name, failure.http_status or None, failure.first_text, failure.count)
            for failure in partial.failures.most_frequent()
        ],
        start_time=_iso(phase.start_ns if phase else NONE),
        end_time=_iso(partial.totals.last_end_ns if partial.totals.sent_count else phase.end_ns if phase else NONE),
        verdict=judge(view, results, partial.failures),
        load=_load(run, results),
        workers=worker_rows(partial.workers, run),
        credits=phase.ledger if phase else Ledger(),
        records=RecordLedger(
            records=partial.totals.completed_count + partial.totals.failed_count,
            lost=run.records_lost_count,
            cut=partial.totals.cancelled_count + partial.totals.censored_count,
            slices_lost=run.slices_lost_count,
            batches_lost=run.batches_lost_count,
            lines_lost=run.lines_lost_count,
        ),
        deferred=_deferred(run),
        token_source=_token_source(partial),
        tokenizer=run.tokenizer,
        timestamp_source=run.timestamp_source,
        warnings=run.warnings,
        artifacts=run.artifacts,
        calibration=run.calibration,
        promise=_promise(partial, run, results),
    )


def _result(metric: Metric, partial: Partial, view: RunView) -> MetricResult | None:
    """The metric's statistics; None where it is undefined for this run."""
    match metric.kind:
        case Kind.PER_REQUEST:
            ranked, known = _with_bounds(metric, partial, view)
            return describe(ranked, metric.unit, known)
        case Kind.LIST:
            return describe(partial.gaps, metric.unit)
        case Kind.ADJUSTED:
            ranked, known = _with_bounds(BY_TAG[metric.adjusts], partial, view)
            return adjusted(ranked, metric.unit, partial.totals.failed_count, known)
        case Kind.RUN:
            value = metric.function(view) if metric.function else math.nan
            return None if math.isnan(value) else MetricResult(metric.unit, {"avg": value})
        case Kind.SWEEP:
            return _sweep(metric, partial)


def _with_bounds(metric: Metric, partial: Partial, view: RunView) -> tuple[Ranked, Ranked]:
    """The metric's values with those that are only lower bounds, and those that are known."""
    row = ROW[metric.tag]
    known = partial.samples.ranked(row)
    is_streamed = known.count or (view.run.section("endpoint").get("streaming") and metric.tag in _OF_ANY_STREAM)
    if metric.tag not in CENSORED_ROW or (metric.streaming_only and not is_streamed):
        return known, known
    return partial.samples.ranked_with(row, partial.bounds, CENSORED_ROW[metric.tag]), known


def _sweep(metric: Metric, partial: Partial) -> MetricResult | None:
    columns, totals = partial.sweep_columns(), partial.totals
    if columns is None:
        # Above the limit only what sums can tell: the average number of requests in flight.
        if metric.tag != "effective_concurrency" or not totals.duration_ns:
            return None
        return MetricResult(metric.unit, {"avg": totals.busy_ns / totals.duration_ns})
    steps = metric.function(columns) if metric.function and len(columns.sent_ns) else None
    statistics = steps.statistics() if steps else {}
    return MetricResult(metric.unit, statistics) if statistics else None


def _promise(partial: Partial, run: RunFacts, results: dict[str, MetricResult]) -> PromiseKept | None:
    if run.promise is None:
        return None
    averages = {tag: result.statistics["avg"] for tag, result in results.items() if "avg" in result.statistics}
    at_once = results["effective_concurrency"].statistics.get("max") if "effective_concurrency" in results else None
    return compare(run.promise, partial.totals, run, averages, at_once)


def _run_info(run: RunFacts) -> dict[str, Any]:
    return {
        "benchmark_id": run.benchmark_id,
        "sweep_id": None,
        "random_seed": run.section("input").get("random_seed"),
        "trial": 0,
        "run_label": "run_0001",
        "variation_label": "base",
        "variation_index": 0,
        "variation_values": {},
        "cli_command": None,
        "outcome": run.outcome,
        "reason": run.reason,
        **run.run_info,
    }


def _load(run: RunFacts, results: dict[str, MetricResult]) -> Load:
    asked, phase = run.section("load"), run.measured()
    rate, concurrency = asked.get("request_rate"), asked.get("concurrency")

    def average(tag: str) -> float | None:
        return results[tag].statistics["avg"] if tag in results else None

    return Load(
        mode="rate with a cap" if is_capped(run) else "rate" if rate else "concurrency",
        concurrency=concurrency,
        request_rate=rate,
        offered_rate=average("offered_rate"),
        achieved_rate=average("achieved_rate"),
        unsent_count=phase.ledger.unsent if phase else 0,
        in_flight_avg=average("effective_concurrency"),
    )


def _deferred(run: RunFacts) -> Deferred | None:
    if not run.deferred_bytes and not run.dropped_slice_count:
        return None
    return Deferred(
        bytes=run.deferred_bytes,
        slices=run.deferred_slice_count,
        longest_s=run.deferred_s,
        after_load_s=run.deferred_after_load_s,
        dropped_slices=run.dropped_slice_count,
    )


def _token_source(partial: Partial) -> str:
    by_server, by_tokenizer = partial.totals.server_counted_count, partial.totals.tokenizer_counted_count
    if by_server and by_tokenizer:
        return "mixed"
    return "server" if by_server else "tokenizer" if by_tokenizer else "none"


def _iso(instant_ns: int) -> str:
    return "" if instant_ns < 0 else datetime.fromtimestamp(instant_ns / NS_PER_S, UTC).isoformat()
