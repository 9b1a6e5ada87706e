"""A row for each worker: what its records say, where it ran, and what it says of itself.

Owns: joining these, and when each worker truly began. Does not own: counts and lags (`workers`), self-observation
(`run_facts`).
"""

from typing import Any

from aiperf.metrics.run_facts import RunFacts, WorkerFacts
from aiperf.metrics.totals import NEVER_NS
from aiperf.metrics.workers import Workers, WorkerTally
from aiperf.record.facts import NONE
from aiperf.units import NS_PER_MS


def start_lags_ns(workers: Workers, run: RunFacts) -> dict[int, int]:
    """By worker index, how long after its agreed instant each dispatched its first request of the measured phase.

    At a rate that instant is when the first of its own arrivals was due, else the start of the phase. Only of workers
    that were there at the start and had something to do.
    """
    phase = run.measured()
    late = {worker.worker_index for worker in run.workers if worker.is_late}
    lags: dict[int, int] = {}
    for index, tally in workers.by_index.items():
        agreed_ns = tally.first_due_ns if tally.first_due_ns != NONE else phase.start_ns if phase else NONE
        if index not in late and tally.first_dispatched_ns != NEVER_NS and agreed_ns != NONE:
            lags[index] = tally.first_dispatched_ns - agreed_ns
    return lags


def worker_rows(workers: Workers, run: RunFacts) -> list[dict[str, Any]]:
    """The rows by worker index, those of workers without a record included."""
    known = {worker.worker_index: worker for worker in run.workers}
    start_lags = start_lags_ns(workers, run)
    rows = []
    for index in sorted(known.keys() | workers.by_index.keys()):
        worker = known.get(index, WorkerFacts(worker_index=index, service_id=f"worker-{index}"))
        tally = workers.by_index.get(index, WorkerTally(index))
        row: dict[str, Any] = {
            "worker_index": index,
            "service_id": worker.service_id,
            "host": worker.host,
            "node": worker.node,
            "started_ns": tally.first_dispatched_ns if tally.first_dispatched_ns != NEVER_NS else None,
            "request_count": tally.request_count,
            "completed_count": tally.completed_count,
            "failed_count": tally.failed_count,
            "lost_count": _lost_count(worker, tally),
            "wide_first_count": tally.wide_first_count,
            "rearm_delay_max_ms": tally.rearm_delay_max_ns / NS_PER_MS,
        }
        if index in start_lags:
            row["start_skew_ms"] = start_lags[index] / NS_PER_MS
        if tally.due_count:
            row["dispatch_lag_avg_ms"] = tally.dispatch_lag_sum_ns / tally.due_count / NS_PER_MS
            row["dispatch_lag_max_ms"] = tally.dispatch_lag_max_ns / NS_PER_MS
            row["send_lag_max_ms"] = tally.send_lag_max_ns / NS_PER_MS
        if worker.lost_reason:
            row["lost_reason"] = worker.lost_reason
        rows.append(row | worker.observations)
    return rows


def _lost_count(worker: WorkerFacts, tally: WorkerTally) -> int:
    """Credits that a lost worker did not return and of whose requests no record came."""
    came_unreturned = max(0, tally.request_count - worker.returned_count)
    return max(0, worker.unreturned_count - came_unreturned)
