"""A partial result: everything the summary needs of a set of records, in a form that adds up.

Owns: what is kept of records, its merging, and its bytes on the wire. Does not own: formulas (`catalog`), the final
numbers (`summary`).

A record processor makes one per batch, the records manager merges them as they come; any order and grouping gives the
same summary. Records of another phase (warm-up) are in none of it save the order of arrival.

Memory: a record costs 400 B (values of all metrics 336, sweep columns 56, arrival 8), twice that while tables grow.
Above `EXACT_LIMIT` values become sketches (2 MB in all as a rule, 28 MB at most) and a record costs 64 B; above
`SWEEP_LIMIT` it costs nothing. Measured: 180 MB at most for any number of records, and while a million are summarised
280 MB more for the sweep lines.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from aiperf.endpoint.exchange import Outcome
from aiperf.metrics.catalog import CENSORED, FROM_DUE_ROWS, PER_REQUEST, ROW, lower_bounds_of, values_of
from aiperf.metrics.columns import Columns
from aiperf.metrics.concurrency import SweepColumns
from aiperf.metrics.distribution import Samples, percentiles
from aiperf.metrics.failures import Failure, Failures
from aiperf.metrics.goodput import Objective, good_requests
from aiperf.metrics.intervals import BoolArray, FloatArray, IntArray
from aiperf.metrics.sketch import PackedSketch, Sketch
from aiperf.metrics.totals import Totals, totals_of
from aiperf.metrics.workers import Workers, WorkerTally
from aiperf.record.facts import NONE, FactsArray
from aiperf.schedule.phases import PhaseKind
from aiperf.units import NS_PER_MS

SWEEP_LIMIT = 1_000_000
"""Requests whose instants are kept for the sweep lines and the order of export: 64 MB, more while sorting."""
LIVE_TAGS = ("time_to_first_token", "inter_token_latency", "request_latency")
LIVE_PERCENTS = (50.0, 99.0)


class _Header(msgspec.Struct, array_like=True):
    totals: Totals
    failures: list[Failure]
    workers: list[WorkerTally]
    other_count: int
    rows: list[int]
    """Rows of the values that have any; the others are NaN throughout."""
    values_count: int
    bounds_count: int
    has_sweeps: bool
    has_arrivals: bool
    is_exact: bool
    bounds_are_exact: bool
    gaps: PackedSketch
    sketches: list[PackedSketch]
    """Of the values' rows and the bounds' rows where these are not exact."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Header).decode


class Partial:
    """What is known of a set of records. `Partial.empty()` is the neutral element of `merge`."""

    __slots__ = ("arrivals", "bounds", "failures", "gaps", "other_count", "samples", "sweeps", "totals", "workers")

    def __init__(
        self,
        *,
        totals: Totals,
        failures: Failures,
        workers: Workers,
        samples: Samples,
        bounds: Samples,
        gaps: Sketch,
        sweeps: Columns[np.int64] | None,
        arrivals: Columns[np.int64] | None,
        other_count: int,
    ) -> None:
        self.totals = totals
        self.failures = failures
        self.workers = workers
        self.samples = samples
        """Rows as `catalog.PER_REQUEST`."""
        self.bounds = bounds
        """Rows as `catalog.CENSORED`: what the latencies of censored and of unsent requests are at least."""
        self.gaps = gaps
        """Inter-chunk latencies in ms."""
        self.sweeps = sweeps
        """Rows as `SweepColumns`; None above `SWEEP_LIMIT`."""
        self.arrivals = arrivals
        self.other_count = other_count

    @classmethod
    def empty(cls) -> "Partial":
        """Of no records."""
        return cls(
            totals=Totals(),
            failures=Failures(),
            workers=Workers(),
            samples=Samples(np.empty((len(PER_REQUEST), 0))),
            bounds=Samples(np.empty((len(CENSORED), 0))),
            gaps=Sketch(),
            sweeps=Columns.empty(len(SweepColumns._fields), np.int64),
            arrivals=Columns.empty(1, np.int64),
            other_count=0,
        )

    @classmethod
    def of(
        cls,
        facts: FactsArray,
        gaps_ns: IntArray,
        gap_counts: IntArray,
        texts: Mapping[int, str] | None = None,
        objectives: tuple[Objective, ...] = (),
        phase: int = PhaseKind.PROFILING,
    ) -> "Partial":
        """The partial result of the records of this phase; of all others only the order of arrival is kept.

        `gaps_ns`: gaps between content chunks, all records' one after another. `gap_counts`: how many of them each
        record has, in the order of `facts`. `texts`: error text by position in `facts`.
        """
        measured = facts["phase"] == phase
        other_count = len(facts) - int(measured.sum())
        arrivals = facts["end_ns"].reshape(1, -1).copy()
        texts = texts or {}
        r = facts
        if other_count:
            positions = np.flatnonzero(measured).tolist()
            texts = {new: texts[old] for new, old in enumerate(positions) if old in texts}
            r = facts[measured]
        values = values_of(r)
        return cls(
            totals=totals_of(r, good_requests(r, values, objectives)),
            failures=Failures.of(r, texts),
            workers=Workers.of(r),
            samples=Samples(values),
            bounds=Samples(lower_bounds_of(r)),
            gaps=_gap_sketch(gaps_ns, gap_counts, measured & (facts["outcome"] == Outcome.COMPLETED)),
            sweeps=_kept(_sweep_table(r)),
            arrivals=_kept(arrivals),
            other_count=other_count,
        )

    def merge(self, other: "Partial") -> None:
        """Adds the other's records to these. The other keeps its meaning."""
        self.totals.merge(other.totals)
        self.failures.merge(other.failures)
        self.workers.merge(other.workers)
        self.samples.merge(other.samples)
        self.bounds.merge(other.bounds)
        self.gaps.merge(other.gaps)
        self.sweeps = _joined(self.sweeps, other.sweeps)
        self.arrivals = _joined(self.arrivals, other.arrivals)
        self.other_count += other.other_count

    def add_unsent(self, waits_ms: FloatArray) -> None:
        """Counts arrivals that were never sent: their latencies from the intended time are at least these waits."""
        bounds = np.full((len(CENSORED), len(waits_ms)), np.nan)
        bounds[FROM_DUE_ROWS] = waits_ms
        self.bounds.merge(Samples(bounds))

    @property
    def record_count(self) -> int:
        """Records of the measured phase, whatever their outcome."""
        t = self.totals
        return t.completed_count + t.failed_count + t.cancelled_count + t.censored_count

    def end_ns_by_arrival(self) -> IntArray | None:
        """End instants of all records, other phases' too, in the order they were merged; None above `SWEEP_LIMIT`."""
        return None if self.arrivals is None else self.arrivals.table[0]

    def sweep_columns(self) -> SweepColumns | None:
        """What the sweep lines are made of; None above `SWEEP_LIMIT`."""
        return None if self.sweeps is None else SweepColumns(*self.sweeps.table)

    def live_statistics(self) -> dict[str, dict[str, float]]:
        """avg, p50 and p99 so far of `LIVE_TAGS`, in ms, by sketch: cheap enough to ask several times a second."""
        statistics = {}
        for tag in LIVE_TAGS:
            sketch = self.samples.sketch(ROW[tag])
            if sketch.count:
                p50, p99 = percentiles(sketch, LIVE_PERCENTS, sketch.count)
                statistics[tag] = {"avg": sketch.mean, "p50": p50, "p99": p99}
        return statistics

    def to_frames(self) -> list[bytes]:
        """The bytes of this result. Order: header, values, bounds, sweep columns, arrivals."""
        values, bounds = self.samples.waiting.table, self.bounds.waiting.table
        sketches = [
            samples.sketch(row).packed()
            for samples in (self.samples, self.bounds)
            if not samples.is_exact
            for row in range(samples.rows)
        ]
        if not self.samples.is_exact:
            values = values[:, :0]
        if not self.bounds.is_exact:
            bounds = bounds[:, :0]
        rows = np.flatnonzero(~np.isnan(values).all(axis=1))
        header = _Header(
            totals=self.totals,
            failures=list(self.failures.by_key.values()),
            workers=list(self.workers.by_index.values()),
            other_count=self.other_count,
            rows=rows.tolist(),
            values_count=values.shape[1],
            bounds_count=bounds.shape[1],
            has_sweeps=self.sweeps is not None,
            has_arrivals=self.arrivals is not None,
            is_exact=self.samples.is_exact,
            bounds_are_exact=self.bounds.is_exact,
            gaps=self.gaps.packed(),
            sketches=sketches,
        )
        return [
            _encode(header),
            values[rows].tobytes(),
            bounds.tobytes(),
            self.sweeps.table.tobytes() if self.sweeps is not None else b"",
            self.arrivals.table.tobytes() if self.arrivals is not None else b"",
        ]

    @classmethod
    def from_frames(cls, frames: Sequence[Any]) -> "Partial":
        """The result whose frames these are. Raises: ValueError (msgspec's included) if they are none."""
        head, values_bytes, bounds_bytes, sweeps_bytes, arrivals_bytes = frames
        header = _decode(head)
        values = np.full((len(PER_REQUEST), header.values_count), np.nan)
        values[header.rows] = np.frombuffer(values_bytes, np.float64).reshape(len(header.rows), header.values_count)
        bounds = np.frombuffer(bounds_bytes, np.float64).reshape(len(CENSORED), header.bounds_count)
        samples, bound_samples = Samples(values), Samples(bounds)
        packed = iter(header.sketches)
        for wanted, is_exact in ((samples, header.is_exact), (bound_samples, header.bounds_are_exact)):
            for row in () if is_exact else range(wanted.rows):
                wanted.restore(row, next(packed).unpacked())
        return cls(
            totals=header.totals,
            failures=Failures(header.failures),
            workers=Workers(header.workers),
            samples=samples,
            bounds=bound_samples,
            gaps=header.gaps.unpacked(),
            sweeps=_read_columns(sweeps_bytes, len(SweepColumns._fields)) if header.has_sweeps else None,
            arrivals=_read_columns(arrivals_bytes, 1) if header.has_arrivals else None,
            other_count=header.other_count,
        )


def _kept(table: IntArray) -> Columns[np.int64] | None:
    return Columns(table) if table.shape[1] <= SWEEP_LIMIT else None


def _joined(mine: Columns[np.int64] | None, more: Columns[np.int64] | None) -> Columns[np.int64] | None:
    if mine is None or more is None or mine.count + more.count > SWEEP_LIMIT:
        return None
    mine.append(more.table)
    return mine


def _gap_sketch(gaps_ns: IntArray, gap_counts: IntArray, counted: BoolArray) -> Sketch:
    sketch = Sketch()
    chosen = gaps_ns if counted.all() else gaps_ns[np.repeat(counted, gap_counts)]
    sketch.add(chosen / NS_PER_MS)
    return sketch


def _sweep_table(r: FactsArray) -> IntArray:
    sent = r[(r["sent_ns"] != NONE) & (r["end_ns"] != NONE)]
    return np.stack(
        [
            sent["sent_ns"],
            sent["first_content_ns"],
            sent["last_content_ns"],
            sent["end_ns"],
            sent["isl_tokens"],
            np.where(
                sent["output_tokens"] == NONE, NONE, sent["output_tokens"] + np.maximum(sent["reasoning_tokens"], 0)
            ),
            (sent["outcome"] == Outcome.COMPLETED).astype(np.int64),
        ]
    )


def _read_columns(data: Any, rows: int) -> Columns[np.int64]:
    return Columns(np.frombuffer(data, np.int64).reshape(rows, -1))
