"""How far arrivals at a server are from an even grid. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aiperf.units import NS_PER_MS, NS_PER_S


class Punctuality(NamedTuple):
    """Deviations are absolute, early or late. Units: ms."""

    off_p50: float
    off_p99: float
    off_max: float
    rate_off_fraction: float
    """Achieved rate, first to last arrival, over the one asked for, less 1."""


def punctuality(arrivals_ns: Sequence[int], rate_rps: float) -> Punctuality:
    """Of arrivals that were to be 1 / `rate_rps` apart, in any order; the grid begins where the median deviation is 0.

    Undefined when: there are fewer than two (an error).
    """
    # Counted from the first, since a float does not hold ns of today.
    offsets_ns = np.sort(np.asarray(arrivals_ns, dtype=np.int64) - min(arrivals_ns))
    period_ns = NS_PER_S / rate_rps
    deviations_ns = offsets_ns - np.arange(len(offsets_ns)) * period_ns
    off_ms = np.abs(deviations_ns - np.median(deviations_ns)) / NS_PER_MS
    achieved_rps = (len(offsets_ns) - 1) * NS_PER_S / offsets_ns[-1]
    p50, p99 = (float(value) for value in np.percentile(off_ms, (50, 99)))
    return Punctuality(p50, p99, float(off_ms.max()), float(achieved_rps / rate_rps - 1))
