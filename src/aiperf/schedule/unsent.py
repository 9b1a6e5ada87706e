"""Arrivals that came due and that nobody sent: which ones, and how long each of them had waited at the least.

Owns: their compact form and, from it and the schedule, their waits. Does not own: which they are (`scheduler`), what
the waits count for (`aiperf.metrics`).

The schedule is a pure function, so arrivals need not travel: runs of indices do, two numbers each. Behind a cap on a
server that is far too slow there may be millions of arrivals in one run.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from aiperf.schedule.arrivals import Arrivals, Int64Array
from aiperf.schedule.phases import PhasePlan

BLOCK_COUNT = 1 << 16
"""So many waits are given at a time: half a megabyte."""


def arrivals_of(plan: PhasePlan) -> Arrivals | None:
    """The phase's stream of arrivals; None in closed loop."""
    if plan.rate_rps is None:
        return None
    return Arrivals(plan.pattern, plan.rate_rps, plan.smoothness, plan.seed)


def runs_of(handed_back: Sequence[Int64Array], handed: int, asked: int) -> Int64Array:
    """The arrivals below `asked` that were handed back or, from `handed` on, never handed out.

    Shape: (runs, 2): the first index, and how many follow each other from there. Order: rising.
    """
    indices = np.sort(np.concatenate(handed_back)) if handed_back else np.empty(0, np.int64)
    indices = indices[indices < asked]
    begins = np.flatnonzero(np.diff(indices, prepend=-2) != 1)
    counts = np.diff(begins, append=indices.size)
    runs = np.stack([indices[begins], counts], axis=1)
    return np.concatenate([runs, [[handed, asked - handed]]]) if asked > handed else runs


def waits_ns(plan: PhasePlan, runs: Int64Array, until_ns: int, start_ns: int) -> Iterator[Int64Array]:
    """From each arrival's due instant to `until_ns`, when it was still unsent. Order: of arrivals, in blocks.

    `runs`: as `runs_of` gives them.
    """
    arrivals = arrivals_of(plan)
    if arrivals is None:
        return
    for first, count in runs.tolist():
        for begin in range(first, first + count, BLOCK_COUNT):
            offsets_ns = arrivals.offsets(begin, min(BLOCK_COUNT, first + count - begin))
            yield np.maximum(until_ns - start_ns - offsets_ns, 0)
