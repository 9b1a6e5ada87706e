"""What a run was promised beside what it needed and reached.

Owns: the comparison, and the margins beyond which a promise counts as missed. Does not own: the promise (`promise`),
how far the results are right: a missed promise says that the plan was wrong, and nothing about the numbers (`verdict`).
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from aiperf.metrics.promise import CONTROL, WORKER, ProcessPromise, Promise
from aiperf.metrics.run_facts import PhaseFacts, RunFacts
from aiperf.metrics.totals import Totals
from aiperf.schedule.phases import PhaseKind
from aiperf.units import NS_PER_S

COST_MARGIN = 1.5
"""CPU time and memory: the costs are those of one machine, and others' work on the same cores makes caches cold."""
PACE_MARGIN = 1.1
"""Rates, latencies, connections: what a plan is made for."""


class PromiseRow(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was promised."""

    promised: float
    reached: float | None
    """None: it was not observed."""
    unit: str
    ratio: float | None
    """Reached / promised."""
    missed: bool


class PromiseKept(msgspec.Struct, frozen=True, kw_only=True):
    """The section `promise` of the summary."""

    rows: dict[str, PromiseRow]
    missed: list[str]
    """Names of the rows that were missed."""
    expects: bool
    cpu_factors: dict[str, float] = {}
    """By how much the costs that were promised by differ from the built-in ones, by kind."""
    cost_margin: float = COST_MARGIN
    pace_margin: float = PACE_MARGIN


def compare(
    promise: Promise, totals: Totals, run: RunFacts, averages: Mapping[str, float], at_once: float | None
) -> PromiseKept:
    """The promise beside the run.

    `averages`: of metrics by tag, in their export units; `at_once`: the most requests in flight, None if unknown.
    """
    rows = dict(_rows(promise, totals, run, averages, at_once))
    missed = [name for name, row in rows.items() if row.missed]
    return PromiseKept(rows=rows, missed=missed, expects=promise.expects, cpu_factors=promise.cpu_factors)


def _rows(
    promise: Promise, totals: Totals, run: RunFacts, averages: Mapping[str, float], at_once: float | None
) -> Iterator[tuple[str, PromiseRow]]:
    yield "workers", _at_least(promise.workers, float(len(run.workers)), "workers", 1.0)
    if promise.connections is not None:
        yield "connections", _at_most(promise.connections, at_once, "connections")
    if promise.requests_per_s is not None:
        rate = averages.get("steady_request_throughput", averages.get("request_throughput"))
        yield "requests_per_s", _at_least(promise.requests_per_s, rate, "requests/s")
        if promise.chunks_per_s is not None and totals.completed_count and rate is not None:
            each = max(1.0, totals.content_chunk_count / totals.completed_count)
            yield "chunks_per_s", _at_least(promise.chunks_per_s, rate * each, "chunks/s")
    if promise.ttft_ms is not None and "time_to_first_token" in averages:
        yield "time_to_first_token", _at_most(promise.ttft_ms, averages["time_to_first_token"], "ms")
    if promise.itl_ms is not None and "inter_token_latency" in averages:
        yield "inter_token_latency", _at_most(promise.itl_ms, averages["inter_token_latency"], "ms")
    for kind, of_kind in promise.processes.items():
        yield from _process_rows(kind, of_kind, totals, run)


def _process_rows(
    kind: str, promise: ProcessPromise, totals: Totals, run: RunFacts
) -> Iterator[tuple[str, PromiseRow]]:
    observed = [seen for seen in _observed(kind, run) if "cpu_s" in seen]
    measured = run.measured()
    if not observed or measured is None:
        return
    # Workers tell of the measured phase; the others, who do not know phases, of all of them.
    phases = [measured] if kind == WORKER else run.phases
    requests, chunks, seconds = _load_of(phases, totals)
    reached_s = sum(seen["cpu_s"] for seen in observed)
    promised_s = promise.cost.cpu_s(requests, chunks, seconds, len(observed))
    yield f"{kind}_cpu_s", _at_most(promised_s, reached_s, "CPU-s", COST_MARGIN)
    if promise.cpus is not None and seconds:
        # Beginning and end are in what was seen, and weigh the more the shorter the run was.
        promised_cpus = promise.cpus + promise.cost.fixed_s * len(observed) / seconds
        yield f"{kind}_cpus", _at_most(promised_cpus, reached_s / seconds, "CPUs", COST_MARGIN)
    sizes = [seen["memory_max_mb"] for seen in observed if "memory_max_mb" in seen]
    if sizes and run.calibration is None:  # which may have been a heavier load, and memory is counted at its most
        promised_mb = promise.memory_mb + promise.row_bytes * totals.sent_count / 1e6
        yield f"{kind}_memory_mb", _at_most(promised_mb, max(sizes), "MB", COST_MARGIN)


def _observed(kind: str, run: RunFacts) -> list[Mapping[str, float]]:
    """What the processes of a kind saw of themselves, those that were lost aside."""
    if kind == WORKER:
        return [worker.observations for worker in run.workers]
    if kind == CONTROL:
        return [seen for name, seen in run.processes.items() if name == CONTROL]
    return [seen for name, seen in run.processes.items() if name != CONTROL]


def _load_of(phases: Sequence[PhaseFacts], totals: Totals) -> tuple[float, float, float]:
    """Requests, chunks and seconds of these phases.

    Records are kept of the measured phase alone: chunks of others are taken to be as many for each request.
    """
    requests = sum(
        totals.sent_count
        if phase.phase == PhaseKind.PROFILING
        else phase.ledger.completed + phase.ledger.failed + phase.ledger.censored
        for phase in phases
    )
    each = max(1.0, totals.content_chunk_count / totals.completed_count) if totals.completed_count else 1.0
    seconds = sum(max(0, phase.end_ns - phase.start_ns) for phase in phases) / NS_PER_S
    return requests, requests * each, seconds


def _at_most(promised: float, reached: float | None, unit: str, margin: float = PACE_MARGIN) -> PromiseRow:
    """Missed if more than that was reached."""
    missed = reached is not None and reached > promised * margin
    return PromiseRow(promised=promised, reached=reached, unit=unit, ratio=_ratio(promised, reached), missed=missed)


def _at_least(promised: float, reached: float | None, unit: str, margin: float = PACE_MARGIN) -> PromiseRow:
    """Missed if less than that was reached."""
    missed = reached is not None and reached * margin < promised
    return PromiseRow(promised=promised, reached=reached, unit=unit, ratio=_ratio(promised, reached), missed=missed)


def _ratio(promised: float, reached: float | None) -> float | None:
    return None if reached is None or promised <= 0 else reached / promised
