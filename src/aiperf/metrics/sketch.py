"""A sketch: any number of values in bounded memory, with percentiles of stated relative error.

Owns: the buckets, their merging, their answers, their form on the wire. Does not own: when to sketch
(`distribution`).

A bucket is the leading bits of a float: its exponent and the first 9 bits of its fraction. So the buckets of one octave
are 512 of equal width, filing a value is a shift (no logarithm whose last bit differs between machines), and merging is
adding counts: exact, associative, commutative. A bucket is answered by its middle, at most 1/1024 of the value away.

Memory: 8 bytes per bucket between the least and the greatest value seen; 4 KiB per octave, at most 656 KB (80 octaves
on both sides of zero).
Source: log-linear buckets as in HdrHistogram (G. Tene) and circllhist; DDSketch (Masson et al., VLDB 2019) for the
relative-error guarantee of quantiles.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from aiperf.metrics.intervals import FloatArray, IntArray

FRACTION_BITS = 9
RELATIVE_ERROR = 2.0 ** -(FRACTION_BITS + 1)
"""About 0.1 %."""
LEAST_EXPONENT, GREATEST_EXPONENT = -30, 50
LEAST = 2.0**LEAST_EXPONENT
"""Smaller magnitudes are filed as zero: a millionth of a nanosecond, in milliseconds."""
GREATEST = float(np.nextafter(2.0**GREATEST_EXPONENT, 0))
"""Greater magnitudes are filed as this one."""
_SHIFT = 52 - FRACTION_BITS
_BEFORE_FIRST = ((1023 + LEAST_EXPONENT) << FRACTION_BITS) - 1


def buckets_of(values: FloatArray) -> IntArray:
    """The bucket of each value: 0 for zero, ±1 … for ±LEAST …; order follows the values. NaN must not be among them."""
    magnitudes = np.abs(values)
    np.minimum(magnitudes, GREATEST, out=magnitudes)
    buckets: IntArray = (magnitudes.view(np.int64) >> _SHIFT) - _BEFORE_FIRST
    np.maximum(buckets, 0, out=buckets)
    np.negative(buckets, out=buckets, where=values < 0)
    return buckets


def middles_of(buckets: IntArray) -> FloatArray:
    """The middle of each bucket."""
    positive = np.abs(buckets) + _BEFORE_FIRST
    lower, upper = (positive << _SHIFT).view(np.float64), ((positive + 1) << _SHIFT).view(np.float64)
    return np.where(buckets == 0, 0.0, np.sign(buckets) * (lower + upper) / 2)


class PackedSketch(msgspec.Struct, array_like=True):
    """A sketch as it travels: of its buckets only those that have a count."""

    count: int
    minimum: float
    maximum: float
    total: float
    deviation: float
    first_bucket: int
    span: int
    """Buckets from the first to the last."""
    positions: bytes
    """int64, from the first bucket."""
    counts: bytes
    """int64, of these positions."""

    def unpacked(self) -> "Sketch":
        """Raises: ValueError, IndexError if it is none."""
        sketch = Sketch()
        sketch.count, sketch.total, sketch.deviation = self.count, self.total, self.deviation
        sketch.minimum, sketch.maximum, sketch.first_bucket = self.minimum, self.maximum, self.first_bucket
        sketch.counts = np.zeros(self.span, np.int64)
        sketch.counts[np.frombuffer(self.positions, np.int64)] = np.frombuffer(self.counts, np.int64)
        return sketch


class Sketch:
    """Counts per bucket, and of all values the exact count, minimum and maximum, and sums to rounding."""

    __slots__ = ("count", "counts", "deviation", "first_bucket", "maximum", "minimum", "total")

    def __init__(self) -> None:
        self.count = 0
        self.minimum = np.inf
        self.maximum = -np.inf
        self.total = 0.0
        self.deviation = 0.0
        """Σ (value - mean)²."""
        self.first_bucket = 0
        self.counts: IntArray = np.zeros(0, np.int64)
        """`counts[i]` belongs to bucket `first_bucket + i`."""

    def packed(self) -> PackedSketch:
        """The same, to be sent."""
        filled = np.flatnonzero(self.counts)
        return PackedSketch(
            count=self.count,
            minimum=self.minimum,
            maximum=self.maximum,
            total=self.total,
            deviation=self.deviation,
            first_bucket=self.first_bucket,
            span=len(self.counts),
            positions=filled.astype(np.int64).tobytes(),
            counts=self.counts[filled].tobytes(),
        )

    def add(self, values: FloatArray) -> None:
        """Files these values. NaN must not be among them."""
        if not len(values):
            return
        buckets = buckets_of(values)
        first, last = int(buckets.min()), int(buckets.max())
        self._cover(first, last)
        self.counts[first - self.first_bucket : last + 1 - self.first_bucket] += np.bincount(buckets - first)
        total = float(values.sum())
        self._add_moments(len(values), total, float(np.square(values - total / len(values)).sum()))
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))

    def merge(self, other: "Sketch") -> None:
        """Files what the other has filed; the other stays as it is."""
        if not other.count:
            return
        self._cover(other.first_bucket, other.first_bucket + len(other.counts) - 1)
        at = other.first_bucket - self.first_bucket
        self.counts[at : at + len(other.counts)] += other.counts
        self._add_moments(other.count, other.total, other.deviation)
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)

    def _cover(self, first: int, last: int) -> None:
        """Makes room for buckets first … last."""
        if not len(self.counts):
            self.first_bucket, self.counts = first, np.zeros(last - first + 1, np.int64)
            return
        end = self.first_bucket + len(self.counts)
        if first >= self.first_bucket and last < end:
            return
        new_first, new_end = min(first, self.first_bucket), max(last + 1, end)
        counts = np.zeros(new_end - new_first, np.int64)
        at = self.first_bucket - new_first
        counts[at : at + len(self.counts)] = self.counts
        self.first_bucket, self.counts = new_first, counts

    @property
    def mean(self) -> float:
        """0 when there are no values."""
        return self.total / self.count if self.count else 0.0

    def _add_moments(self, count: int, total: float, deviation: float) -> None:
        """Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"."""
        apart = total / count - self.mean
        self.deviation += deviation + apart * apart * self.count * count / (self.count + count)
        self.count += count
        self.total += total

    def order_statistics(self, ranks: Sequence[int]) -> list[float]:
        """The values of these ranks (0 is the least), each within `RELATIVE_ERROR`, +∞ for ranks beyond the count."""
        if not self.count:
            return [np.inf] * len(ranks)
        positions = np.searchsorted(np.cumsum(self.counts), np.asarray(ranks), side="right")
        inside = np.minimum(positions, len(self.counts) - 1)
        middles = np.clip(middles_of(inside + self.first_bucket), self.minimum, self.maximum)
        return [float(middle) if rank < self.count else np.inf for middle, rank in zip(middles, ranks, strict=True)]
