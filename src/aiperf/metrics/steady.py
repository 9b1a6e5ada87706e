"""The steady window: the run without its ramp and its drain.

Owns: where the window lies and what happened in it. Does not own: the sweep lines over the whole run (`concurrency`).

The ramp lasts until the first success ends: until then nobody's place has been taken by another request. The drain
begins when the last request has been sent. A run of one wave has no steady window.

In closed loop a request belongs to the window by the share of its time that lies in it. Counting ends instead would
favour whichever of them happen to stand at the window's edges: there they come in waves. At a rate there are no waves,
but there may be a queue that grows; a share of waiting is no work done, so there the ends are counted.
"""

from dataclasses import dataclass

import numpy as np

from aiperf.metrics.concurrency import SweepColumns
from aiperf.metrics.intervals import FloatArray, IntArray
from aiperf.record.facts import NONE


@dataclass(frozen=True, slots=True)
class SteadyWindow:
    """What was done between ramp and drain."""

    start_ns: int
    end_ns: int
    requests: float
    """Successes: each by the share of its time from sending to end; at a rate those that ended."""
    output_tokens: float
    """Of successes, spread evenly from first to last content chunk."""

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns


def steady_window(columns: SweepColumns, *, at_a_rate: bool = False) -> SteadyWindow | None:
    """The window of these requests; None if there is none. `at_a_rate`: they had intended instants."""
    succeeded = columns.succeeded == 1
    sent, first, last, ends, _, tokens, _ = (column[succeeded] for column in columns)
    if not len(ends):
        return None
    window = start_ns, end_ns = int(ends.min()), int(columns.sent_ns.max())
    if end_ns <= start_ns:
        return None
    requests = _shares(ends if at_a_rate else sent, ends, window)
    content = _shares(np.where(first == NONE, sent, first), last, window)
    # Sorted before they are summed, so that the order of records leaves no trace in the last digit.
    return SteadyWindow(
        start_ns, end_ns, float(np.sort(requests).sum()), float(np.sort(content * np.maximum(tokens, 0)).sum())
    )


def _shares(starts_ns: IntArray, ends_ns: IntArray, window_ns: tuple[int, int]) -> FloatArray:
    """The share of each interval that lies in the window; of an interval without length: whether its instant does."""
    start_ns, end_ns = window_ns
    overlap_ns = np.clip(np.minimum(ends_ns, end_ns) - np.maximum(starts_ns, start_ns), 0, None)
    is_inside = (ends_ns > start_ns) & (ends_ns <= end_ns)
    return np.where(ends_ns > starts_ns, overlap_ns / np.maximum(ends_ns - starts_ns, 1), is_inside)
