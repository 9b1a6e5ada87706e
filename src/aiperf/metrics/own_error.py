"""This side's own error: how far what it measured lies from what the built-in server did, over the records of one step.

Owns: the comparison of a record with the server's account, the bounds of truthfulness, the judgement on a step. Does
not own: which load is tried next (`aiperf.schedule.calibration`), the form of the result (`calibration`).

Both sides' clocks may differ, so only durations are compared: the client's from sending the request to a chunk, the
server's from the request's arrival to sending that chunk. The difference is what lies between both: the network there
and back, which in a cluster is that from pod to pod, the kernels, and this side's own lateness. The gaps between chunks
have no network in them but its jitter.

Errors add up in any order, as sketches do. A step's errors come from many record processors.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from aiperf.endpoint.exchange import Outcome
from aiperf.metrics.calibration import CalibrationStep
from aiperf.metrics.distribution import percentiles
from aiperf.metrics.intervals import FloatArray, IntArray
from aiperf.metrics.sketch import PackedSketch, Sketch
from aiperf.metrics.verdict_load import LOAD_DEGRADED_FRACTION
from aiperf.metrics.verdict_punctuality import LAG_DEGRADED_FRACTION
from aiperf.metrics.verdict_sharpness import NEGLIGIBLE_MS, SHARED_NOTE_FRACTION, WIDTH_DEGRADED_FRACTION
from aiperf.record.facts import FactsArray
from aiperf.schedule.calibration import CalibrationShape, StepOutcome, load_in_words
from aiperf.schedule.phases import Mode, PhasePlan
from aiperf.units import NS_PER_MS, NS_PER_S

COMPARED = {
    "time_to_first_token": "time to first token",
    "inter_token_latency": "inter-token latency",
    "inter_chunk_latency": "gap between chunks",
    "request_latency": "request latency",
}
"""Metrics whose error is stated, and what they are called."""

ERROR_P99_FRACTION = 0.01
"""Of the value itself: one request in a hundred may be 1 % off. Runs of the same service differ by more."""
ERROR_P50_FRACTION = 0.005
NEGLIGIBLE_P50_MS = 0.5
"""Half of what nobody notices at p99: the median is what two services are compared by."""
SERVER_LAG_FRACTION = 0.1
SERVER_LAG_MS = 10.0
"""A server whose median answer is later than this sends less than was planned, and so asks less of this side."""

_OTHERS = ("width", "dispatch_lag", "server_lag", "server_latency")
_PERCENTS = (50.0, 99.0)


class _Frame(msgspec.Struct, array_like=True):
    tallies: dict[str, int]
    sketches: dict[str, PackedSketch]


class OwnErrors:
    """Of a set of records of one step. `OwnErrors()` is the neutral element of `merge`."""

    __slots__ = ("sketches", "tallies")

    def __init__(self) -> None:
        self.sketches = {name: Sketch() for name in (*COMPARED, *_OTHERS)}
        """In ms; errors as magnitudes."""
        self.tallies = dict.fromkeys(("completed", "failed", "cut", "chunks", "shared"), 0)

    @classmethod
    def of(
        cls, facts: FactsArray, gaps_ns: IntArray, gap_offsets: IntArray, accounts: Sequence[Sequence[int]],
        shape: CalibrationShape,
    ) -> "OwnErrors":  # fmt: skip
        """Of these records. `gaps_ns`, `gap_offsets`: as `record.assembly.Assembled` has them.

        `accounts`: for each record, when the server sent each write, counted from the request's arrival; empty if
        unknown. A write is a content chunk; without streaming there is one.
        """
        errors, outcome = cls(), facts["outcome"]
        errors.tallies["completed"] = int((outcome == Outcome.COMPLETED).sum())
        errors.tallies["failed"] = int((outcome == Outcome.FAILED).sum())
        errors.tallies["cut"] = len(facts) - errors.tallies["completed"] - errors.tallies["failed"]
        chunk_counts = facts["content_chunk_count"]
        writes = np.array([len(account) for account in accounts], dtype=np.int64)
        known = (outcome == Outcome.COMPLETED) & (writes > 0) & ((chunk_counts == 0) | (chunk_counts == writes))
        rows = np.flatnonzero(known)
        if rows.size:
            errors._compare(facts[rows], [accounts[row] for row in rows.tolist()], shape)
            errors._compare_gaps(facts, gaps_ns, gap_offsets, accounts, rows)
        return errors

    def _compare(self, r: FactsArray, accounts: Sequence[Sequence[int]], shape: CalibrationShape) -> None:
        first_ns = np.array([account[0] for account in accounts], dtype=np.int64)
        last_ns = np.array([account[-1] for account in accounts], dtype=np.int64)
        later = np.array([len(account) - 1 for account in accounts], dtype=np.int64)
        streamed = r["content_chunk_count"] > 0
        self._file("request_latency", np.abs(r["last_content_ns"] - r["sent_ns"] - last_ns))
        self._file("time_to_first_token", np.abs(r["first_content_ns"] - r["sent_ns"] - first_ns)[streamed])
        self._file("width", np.where(streamed, r["first_content_width_ns"], r["last_content_width_ns"]))
        apart = streamed & (later > 0) & (r["content_chunk_count"] - r["shared_chunk_count"] >= 2)
        span_error_ns = np.abs(r["last_content_ns"] - r["first_content_ns"] - (last_ns - first_ns))[apart]
        self._file("inter_token_latency", span_error_ns / later[apart])
        due = r["due_ns"] >= 0
        self._file("dispatch_lag", (r["dispatched_ns"] - r["due_ns"])[due])
        # A whole body is due when the last chunk of a stream would be.
        gaps = np.where(r["usage_completion_tokens"] > 0, r["usage_completion_tokens"] - 1, later)
        first_lag_ns = np.where(streamed, first_ns - shape.ttft_ns, 0)
        last_lag_ns = last_ns - shape.ttft_ns - shape.itl_ns * gaps
        self._file("server_lag", np.maximum(np.maximum(first_lag_ns, last_lag_ns), 0))
        self._file("server_latency", last_ns)

    def _compare_gaps(
        self,
        facts: FactsArray,
        gaps_ns: IntArray,
        gap_offsets: IntArray,
        accounts: Sequence[Sequence[int]],
        rows: IntArray,
    ) -> None:
        """Gap by gap where every chunk came in a read of its own; else it is not known which chunks shared one."""
        shared = facts["shared_chunk_count"]
        mine, theirs = [], []
        for row in rows.tolist():
            account = np.asarray(accounts[row], dtype=np.int64)
            server_gaps_ns = account[1:] - account[:-1]
            self.tallies["chunks"] += len(account)
            # What the server sent at once shares a read, and rightly so.
            bunched = int((server_gaps_ns < NEGLIGIBLE_MS * NS_PER_MS).sum())
            self.tallies["shared"] += max(0, int(shared[row]) - bunched)
            gaps = gaps_ns[gap_offsets[row] : gap_offsets[row + 1]]
            if len(gaps) == len(server_gaps_ns):
                mine.append(gaps)
                theirs.append(server_gaps_ns)
        if mine:
            self._file("inter_chunk_latency", np.abs(np.concatenate(mine) - np.concatenate(theirs)))

    def _file(self, name: str, durations_ns: "FloatArray | IntArray") -> None:
        self.sketches[name].add(durations_ns / NS_PER_MS)

    def merge(self, other: "OwnErrors") -> None:
        """Adds the other's records to these. The other keeps its meaning."""
        for name, sketch in self.sketches.items():
            sketch.merge(other.sketches[name])
        for name, tally in other.tallies.items():
            self.tallies[name] += tally

    def percentiles_ms(self, name: str) -> dict[str, float]:
        """p50, p99 and count; empty if there is no value."""
        sketch = self.sketches[name]
        if not sketch.count:
            return {}
        p50, p99 = percentiles(sketch, _PERCENTS, sketch.count)
        return {"p50": p50, "p99": p99, "count": sketch.count}

    def to_frame(self) -> bytes:
        """The bytes of these errors."""
        return msgspec.msgpack.encode(
            _Frame(self.tallies, {name: each.packed() for name, each in self.sketches.items() if each.count})
        )

    @classmethod
    def from_frame(cls, frame: Any) -> "OwnErrors":
        """The errors of these bytes. Raises: ValueError (msgspec's included) if they are none."""
        read = msgspec.msgpack.decode(frame, type=_Frame)
        errors = cls()
        errors.tallies.update(read.tallies)
        errors.sketches.update({name: each.unpacked() for name, each in read.sketches.items()})
        return errors


def judged_step(
    errors: OwnErrors, phase: PhasePlan, shape: CalibrationShape, credits: Mapping[str, int], unplaced_slot_s: float
) -> CalibrationStep:
    """What the step has shown, and whether this side was truthful at its load."""
    figures = {name: found for name in COMPARED if (found := errors.percentiles_ms(name))}
    width = errors.percentiles_ms("width")
    # Under a cap a request may be late because no slot was free, which is as it was asked for.
    lag = {} if phase.mode is Mode.CAPPED else errors.percentiles_ms("dispatch_lag")
    tallies = errors.tallies
    shared_fraction = tallies["shared"] / tallies["chunks"] if tallies["chunks"] else 0.0
    reasons = [
        *_error_reasons(errors, figures, shape),
        *_sight_reasons(width, lag, shared_fraction, shape),
        *_load_reasons(tallies, credits, unplaced_slot_s),
    ]
    outcome = StepOutcome.UNTRUTHFUL if reasons else StepOutcome.TRUTHFUL
    if not figures:
        outcome, reasons = StepOutcome.UNANSWERED, reasons or ["no answer was complete, so nothing could be compared"]
    elif not reasons and (slow := _server_reason(errors)):
        outcome, reasons = StepOutcome.UNKNOWN, [slow]
    seconds = (phase.duration_ns or 0) / NS_PER_S
    return CalibrationStep(
        step=phase.step,
        load=load_in_words(phase),
        concurrency=phase.concurrency,
        request_rate=phase.rate_rps,
        outcome=outcome.value,
        reasons=reasons,
        errors=figures,
        width_p99_ms=width.get("p99"),
        dispatch_lag_p99_ms=lag.get("p99"),
        server_lag_p99_ms=errors.percentiles_ms("server_lag").get("p99"),
        shared_chunk_fraction=shared_fraction,
        request_count=tallies["completed"],
        failed_count=tallies["failed"],
        cut_count=tallies["cut"],
        request_throughput=tallies["completed"] / seconds if seconds else 0.0,
        chunk_throughput=tallies["chunks"] / seconds if seconds else 0.0,
        credits=dict(credits),
    )


def _error_reasons(errors: OwnErrors, figures: Mapping[str, Mapping[str, float]], shape: CalibrationShape) -> list[str]:
    """Errors beyond their bound: at most so large, or so large a part of the value."""
    itl_ms = shape.itl_ns / NS_PER_MS
    values_ms = {
        "time_to_first_token": shape.ttft_ns / NS_PER_MS,
        "inter_token_latency": itl_ms,
        "inter_chunk_latency": itl_ms,
        "request_latency": errors.percentiles_ms("server_latency").get("p50", 0.0),
    }
    reasons = []
    for name, found in figures.items():
        bounds_ms = {
            "p50": max(NEGLIGIBLE_P50_MS, ERROR_P50_FRACTION * values_ms[name]),
            "p99": max(NEGLIGIBLE_MS, ERROR_P99_FRACTION * values_ms[name]),
        }
        reasons += [
            f"{COMPARED[name]} is {found[percent]:.3g} ms off at {percent}, more than {bound_ms:.3g} ms"
            for percent, bound_ms in bounds_ms.items()
            if found[percent] > bound_ms
        ]
    return reasons


def _sight_reasons(
    width: Mapping[str, float], lag: Mapping[str, float], shared_fraction: float, shape: CalibrationShape
) -> list[str]:
    """How sharply this side saw, and how late it sent: by the bounds of the verdict."""
    reasons = []
    ttft_ms = shape.ttft_ns / NS_PER_MS
    width_bound_ms = max(NEGLIGIBLE_MS, WIDTH_DEGRADED_FRACTION * ttft_ms)
    if width and width["p99"] > width_bound_ms:
        reasons.append(
            f"the first chunk is only known within {width['p99']:.3g} ms at p99, more than {width_bound_ms:.3g} ms"
        )
    lag_bound_ms = max(NEGLIGIBLE_MS, LAG_DEGRADED_FRACTION * ttft_ms)
    if lag and lag["p99"] > lag_bound_ms:
        reasons.append(f"requests left {lag['p99']:.3g} ms late at p99, more than {lag_bound_ms:.3g} ms")
    if shared_fraction > SHARED_NOTE_FRACTION:
        reasons.append(f"{shared_fraction:.0%} of chunks were read together with another, and have no gap of their own")
    return reasons


def _load_reasons(tallies: Mapping[str, int], credits: Mapping[str, int], unplaced_slot_s: float) -> list[str]:
    """Whether the load was what it should have been."""
    reasons = []
    completed, failed, cut = tallies["completed"], tallies["failed"], tallies["cut"]
    if unplaced_slot_s > 0:
        reasons.append("the workers have no room for so many requests in flight")
    if failed > LOAD_DEGRADED_FRACTION * (completed + failed):
        reasons.append(f"{failed:,} of {completed + failed:,} requests failed")
    if cut > LOAD_DEGRADED_FRACTION * (completed + cut):
        reasons.append(f"{cut:,} of {completed + cut:,} answers did not come in time")
    unsent, offered = credits.get("unsent", 0), credits.get("offered", 0)
    if unsent > LOAD_DEGRADED_FRACTION * offered:
        reasons.append(f"{unsent:,} of {offered:,} requests were not sent")
    if lost := credits.get("lost", 0):
        reasons.append(f"{lost:,} requests were lost with their worker")
    return reasons


def _server_reason(errors: OwnErrors) -> str:
    """Why the load was less than planned; empty if it was not."""
    lag, latency = errors.percentiles_ms("server_lag"), errors.percentiles_ms("server_latency")
    if not lag or lag["p50"] <= max(SERVER_LAG_MS, SERVER_LAG_FRACTION * latency["p50"]):
        return ""
    return f"the built-in server is {lag['p50']:.3g} ms late at p50: it cannot do more here"
