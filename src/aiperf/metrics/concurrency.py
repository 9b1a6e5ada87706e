"""How many requests, and tokens, were in flight at a time: sweep lines over the requests' own instants.

Owns: step functions of time and their time-weighted statistics. Does not own: what was asked for (the plan's
`concurrency`), the steady window (`steady`).

Every request that was sent counts, whatever became of it: it occupied the service. The span is that of the benchmark:
first sent to last end.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from aiperf.metrics.intervals import IntArray
from aiperf.record.facts import NONE


class SweepColumns(NamedTuple):
    """What the sweep lines need of each request that was sent. Every column is int64."""

    sent_ns: IntArray
    first_content_ns: IntArray
    last_content_ns: IntArray
    end_ns: IntArray
    input_tokens: IntArray
    output_tokens: IntArray
    """Reasoning included."""
    succeeded: IntArray
    """1 or 0."""


@dataclass(frozen=True, slots=True)
class StepFunction:
    """A quantity over time. It is `levels[i]` from `times_ns[i]` to `times_ns[i + 1]`."""

    times_ns: IntArray
    """Ascending, one more than levels."""
    levels: IntArray

    def statistics(self) -> dict[str, float]:
        """Time-weighted avg, min, max, std and percentiles. Empty when no time passed.

        A percentile is the least level at or below which the quantity stayed for that share of the time.
        """
        durations = np.diff(self.times_ns)
        lasting = durations > 0
        levels, weights = self.levels[lasting], durations[lasting].astype(np.float64)
        total = weights.sum()
        if not total > 0:
            return {}
        order = np.argsort(levels, kind="stable")
        levels, share = levels[order], np.cumsum(weights[order]) / total
        share[-1] = 1.0
        mean = float(np.dot(levels, weights[order]) / total)
        variance = float(np.dot((levels - mean) ** 2, weights[order]) / total)
        statistics = {"avg": mean, "min": float(levels[0]), "max": float(levels[-1]), "std": variance**0.5}
        for percent in (50, 90, 95, 99):
            statistics[f"p{percent}"] = float(levels[np.searchsorted(share, percent / 100)])
        return statistics


def sweep(starts_ns: IntArray, ends_ns: IntArray, weights: IntArray, span_ns: tuple[int, int]) -> StepFunction:
    """How much weight is under way at each instant of the span. An interval holds its start and not its end."""
    times = np.concatenate([starts_ns, ends_ns, np.array(span_ns, np.int64)])
    changes = np.concatenate([weights, -weights, np.zeros(2, np.int64)])
    order = np.argsort(times, kind="stable")
    times, levels = times[order], np.cumsum(changes[order])
    # Of several changes at one instant only the level after the last of them ever lasts.
    last_of_instant = np.append(times[1:] != times[:-1], True)
    return StepFunction(times[last_of_instant], levels[last_of_instant][:-1])


def span_of(columns: SweepColumns) -> tuple[int, int]:
    """First sent to last end."""
    return int(columns.sent_ns.min()), int(columns.end_ns.max())


def _between(columns: SweepColumns, starts: IntArray, ends: IntArray, weights: IntArray | None = None) -> StepFunction:
    there = (starts != NONE) & (ends != NONE) & (ends > starts)
    chosen = np.ones(int(there.sum()), np.int64) if weights is None else np.maximum(weights[there], 0)
    return sweep(starts[there], ends[there], chosen, span_of(columns))


def effective_concurrency(c: SweepColumns) -> StepFunction:
    """Requests between sending and end."""
    return _between(c, c.sent_ns, c.end_ns)


def effective_prefill_concurrency(c: SweepColumns) -> StepFunction | None:
    """Requests that wait for their first content chunk; one that never got any waits until its end.

    Undefined when nothing was streamed.
    """
    if not (c.first_content_ns != NONE).any():
        return None
    return _between(c, c.sent_ns, np.where(c.first_content_ns == NONE, c.end_ns, c.first_content_ns))


def effective_decode_concurrency(c: SweepColumns) -> StepFunction | None:
    """Requests between first and last content chunk. Undefined when nothing was streamed."""
    if not (c.first_content_ns != NONE).any():
        return None
    return _between(c, c.first_content_ns, c.last_content_ns)


def tokens_in_flight(c: SweepColumns) -> StepFunction | None:
    """Tokens the service holds: a prompt's from sending to end, an answer's from its first content chunk to the end.

    All of an answer's tokens count from the first chunk on, so this is an upper bound of what is held.
    Undefined when nobody counted tokens. Source: NVIDIA AIPerf, tokens in flight.
    """
    if not ((c.input_tokens > 0).any() or (c.output_tokens > 0).any()):
        return None
    began = np.where(c.first_content_ns == NONE, c.sent_ns, c.first_content_ns)
    starts, ends = np.concatenate([c.sent_ns, began]), np.concatenate([c.end_ns, c.end_ns])
    return _between(c, starts, ends, np.concatenate([c.input_tokens, c.output_tokens]))
