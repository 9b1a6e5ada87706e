"""Distributions: exact up to a stated number of records, by sketch above it, with the same statistics of both.

Owns: samples of many metrics side by side, their statistics, and how far a percentile can be trusted. Does not own: the
sketch's buckets (`sketch`), which values belong in (`catalog`).

Whatever the order and grouping of merges, the statistics are the same: exact samples are sorted before anything is
computed; whether a set is sketched depends on its size alone; buckets add up; only the mean and deviation of a sketch
depend on the order, in the last digits.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np

from aiperf.metrics.columns import Columns
from aiperf.metrics.intervals import FloatArray
from aiperf.metrics.sketch import RELATIVE_ERROR, Sketch

EXACT_LIMIT = 250_000
"""Records up to which every value is kept: 84 MB for some 40 metrics, and percentiles are those of the data."""
FOLD_COUNT = 16_384
"""Above the limit, records wait for the sketches in lots of this size: filing many at once costs least."""
PERCENTS = (1, 5, 10, 25, 50, 75, 90, 95, 99)
RARE_PERCENTS = {99.0: 662, 99.9: 6_636, 99.99: 66_381}
"""Least sample for each, at 99 % confidence. Source: MLPerf Inference, early stopping."""
CONFIDENCE = 0.99


class Ranked(Protocol):
    """Values in order of size, exactly or nearly."""

    count: int
    minimum: float
    maximum: float
    total: float
    deviation: float

    @property
    def mean(self) -> float: ...

    def order_statistics(self, ranks: Sequence[int]) -> list[float]: ...


class Sorted:
    """Exact values in order of size."""

    __slots__ = ("_values", "count", "deviation", "maximum", "minimum", "total")

    def __init__(self, values: FloatArray) -> None:
        """NaN must not be among the values. Their order does not matter."""
        self._values = np.sort(values)
        self.count = len(values)
        self.minimum = float(self._values[0]) if self.count else math.inf
        self.maximum = float(self._values[-1]) if self.count else -math.inf
        self.total = float(self._values.sum())
        self.deviation = float(np.square(self._values - self.mean).sum())

    @property
    def mean(self) -> float:
        """0 when there are no values."""
        return self.total / self.count if self.count else 0.0

    def order_statistics(self, ranks: Sequence[int]) -> list[float]:
        """The values of these ranks (0 is the least), +∞ for ranks beyond the count."""
        return [float(self._values[rank]) if rank < self.count else math.inf for rank in ranks]


class Samples:
    """Values of several metrics for a growing set of records: one row per metric, NaN where a record has none."""

    __slots__ = ("_filed", "_sketches", "is_exact", "rows", "waiting")

    def __init__(self, values: FloatArray) -> None:
        """Takes the table over as it is. Shape: (rows, records)."""
        self.rows = values.shape[0]
        self.is_exact = True
        self.waiting = Columns(values)
        """Every record while exact; above the limit those that are not in all sketches yet."""
        self._sketches: dict[int, Sketch] = {}
        self._filed: dict[int, int] = {}
        """How many of the waiting records are in a row's sketch."""
        if self.waiting.count > EXACT_LIMIT:
            self._fold()

    def merge(self, other: "Samples") -> None:
        """Adds the other's records."""
        if other.is_exact:
            self._append(other.waiting.table)
            return
        self._fold()
        for row in range(self.rows):
            self.sketch(row).merge(other.sketch(row))

    def restore(self, row: int, sketch: Sketch) -> None:
        """Puts a sketch in place that had been taken from samples above the limit."""
        self.is_exact = False
        self._sketches[row] = sketch

    def _append(self, values: FloatArray) -> None:
        self.waiting.append(values)
        if self.waiting.count > (EXACT_LIMIT if self.is_exact else FOLD_COUNT):
            self._fold()

    def _fold(self) -> None:
        for row in range(self.rows):
            self.sketch(row)
        self.is_exact = False
        self.waiting.clear()
        self._filed.clear()

    def sketch(self, row: int) -> Sketch:
        """The sketch of all values of a row, brought up to date."""
        sketch = self._sketches.setdefault(row, Sketch())
        filed = self._filed.get(row, 0)
        if filed < self.waiting.count:
            values = self.waiting.table[row, filed:]
            sketch.add(values[~np.isnan(values)])
            self._filed[row] = self.waiting.count
        return sketch

    def ranked(self, row: int) -> Ranked:
        """The values of a row in order of size: exactly, or above the limit by sketch."""
        if not self.is_exact:
            return self.sketch(row)
        values = self.waiting.table[row]
        return Sorted(values[~np.isnan(values)])

    def ranked_with(self, row: int, more: "Samples", more_row: int) -> Ranked:
        """As `ranked`, of this row's values together with those of another's."""
        if self.is_exact and more.is_exact:
            values = np.concatenate([self.waiting.table[row], more.waiting.table[more_row]])
            return Sorted(values[~np.isnan(values)])
        together = Sketch()
        together.merge(self.sketch(row))
        together.merge(more.sketch(more_row))
        return together


class MetricResult(msgspec.Struct):
    """The statistics of one metric."""

    unit: str
    statistics: dict[str, float]
    """avg, min, max, std, count, sum, p1 … p99, and p99.9, p99.99 where the sample allows; a single value is avg."""
    lower_bounds: list[str] = []
    """Statistics that may in truth be higher, since requests were cut before they had ended, or never sent."""
    bound_count: int = 0
    """So many of the values are lower bounds of the true ones."""
    p99_interval: tuple[float, float] | None = None
    """Order-statistic interval of p99 at 99 % confidence, when the sample is too small for p99 (+∞: no upper end)."""
    relative_error: float = 0.0
    """Of the percentiles; 0 when they are exact."""


def percentile_name(percent: float) -> str:
    """`p50`, `p99.9`."""
    return f"p{percent:g}"


def percentiles(ranked: Ranked, percents: Sequence[float], count: int) -> list[float]:
    """Percentiles of the values and of `count - ranked.count` more at +∞, by linear interpolation of ranks.

    Source: Hyndman and Fan (1996), type 7; numpy's default.
    """
    positions = [(count - 1) * (percent / 100) for percent in percents]
    lower = ranked.order_statistics([math.floor(position) for position in positions])
    upper = ranked.order_statistics([math.ceil(position) for position in positions])
    return [
        _between(below, above, position - math.floor(position))
        for below, above, position in zip(lower, upper, positions, strict=True)
    ]


def _between(below: float, above: float, share: float) -> float:
    if math.isinf(above):
        return above if share else below
    # From the nearer end, as numpy does it, so that exact results agree to the last bit.
    return below + (above - below) * share if share < 0.5 else above - (above - below) * (1 - share)


def supported_percents(count: int) -> list[float]:
    """The percentiles that are reported for a sample of this size; p99 always is."""
    return [*PERCENTS, *(percent for percent, least in RARE_PERCENTS.items() if percent > 99 and count >= least)]


def insufficient_for(result: MetricResult) -> list[str]:
    """The percentiles that the sample is too small to support at 99 % confidence."""
    count = result.statistics.get("count")
    if count is None or "p50" not in result.statistics:
        return []
    return [percentile_name(percent) for percent, least in RARE_PERCENTS.items() if count < least]


def describe(ranked: Ranked, unit: str, known: Ranked | None = None) -> MetricResult | None:
    """The statistics of these values; None if there are none.

    `known`: those of the values that are no lower bounds; all of them if not given. A statistic counts as a lower bound
    when it would change were every bound raised to +∞.
    """
    count = ranked.count
    if not count:
        return None
    statistics = {
        "avg": ranked.mean,
        "min": ranked.minimum,
        "max": ranked.maximum,
        "std": math.sqrt(ranked.deviation / count),
        "count": count,
        "sum": ranked.total,
    }
    percents = supported_percents(count)
    names = [percentile_name(percent) for percent in percents]
    values = percentiles(ranked, percents, count)
    statistics.update(zip(names, values, strict=True))
    known = known or ranked
    lower_bounds = ["avg", "max", "sum"] if known.count < count else []
    lower_bounds += _raised(ranked, known, statistics, count)
    bound_count = count - known.count
    interval = p99_interval(ranked) if count < RARE_PERCENTS[99.0] else None
    return MetricResult(unit, statistics, lower_bounds, bound_count, interval, _relative_error(ranked))


def _raised(ranked: Ranked, known: Ranked, statistics: dict[str, float], count: int) -> list[str]:
    """Which of least value and percentiles are higher when whatever is not known is +∞."""
    if known.count == ranked.count:
        return []
    percents = supported_percents(count)
    names = [percentile_name(percent) for percent in percents]
    high = {"min": known.minimum} | dict(zip(names, percentiles(known, percents, count), strict=True))
    return [name for name, value in high.items() if value > statistics[name]]


def _relative_error(ranked: Ranked) -> float:
    return RELATIVE_ERROR if isinstance(ranked, Sketch) else 0.0


def adjusted(ranked: Ranked, unit: str, failed_count: int, known: Ranked | None = None) -> MetricResult | None:
    """The percentiles were every failed request at +∞, without avg and max if there is one; None without values.

    `known`: as of `describe`.
    """
    count = ranked.count + failed_count
    if not ranked.count:
        return None
    percents = supported_percents(count)
    statistics: dict[str, float] = {"min": ranked.minimum, "count": count}
    if not failed_count:
        statistics = {"avg": ranked.mean, "min": ranked.minimum, "max": ranked.maximum, "count": count}
    names = [percentile_name(percent) for percent in percents]
    statistics |= dict(zip(names, percentiles(ranked, percents, count), strict=True))
    known = known or ranked
    lower_bounds = [name for name in ("avg", "max") if name in statistics and known.count < ranked.count]
    return MetricResult(
        unit,
        statistics,
        lower_bounds + _raised(ranked, known, statistics, count),
        ranked.count - known.count,
        relative_error=_relative_error(ranked),
    )


def p99_interval(ranked: Ranked) -> tuple[float, float]:
    """Between these two values the true p99 lies with 99 % confidence, whatever the distribution; +∞: no upper end.

    Source: order-statistic confidence interval of a quantile (Hahn and Meeker, "Statistical Intervals", 5.2).
    """
    lower_rank, upper_rank = interval_ranks(ranked.count, 0.99, CONFIDENCE)
    lower, upper = ranked.order_statistics([max(lower_rank, 1) - 1, upper_rank - 1])
    return lower, upper


def interval_ranks(count: int, fraction: float, confidence: float) -> tuple[int, int]:
    """Ranks (1 is the least) whose values enclose the quantile with at least this confidence.

    0 stands for no lower end, count + 1 for no upper end.
    """
    tail = (1 - confidence) / 2
    below = np.arange(count + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    log_chances = (
        log_factorials[count]
        - log_factorials
        - log_factorials[::-1]
        + below * math.log(fraction)
        + (count - below) * math.log(1 - fraction)
    )
    at_most = np.cumsum(np.exp(log_chances))
    lower = int(np.searchsorted(at_most, tail, side="right"))
    upper = int(np.searchsorted(at_most, 1 - tail, side="left")) + 1
    return lower, min(upper, count + 1)
