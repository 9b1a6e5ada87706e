"""The steady window: the run without its ramp and its drain.

Owns: where the window lies and what happened in it. Does not own: the sweep lines over the whole run (`concurrency`).

The ramp lasts until the first success ends: until then nobody's place has been taken by another request. The drain
begins when the last request has been sent. A run of one wave has no steady window.
"""

from dataclasses import dataclass

import numpy as np

from aiperf.metrics.concurrency import SweepColumns
from aiperf.record.facts import NONE


@dataclass(frozen=True, slots=True)
class SteadyWindow:
    """What ended and what was produced between ramp and drain."""

    start_ns: int
    end_ns: int
    ended_count: int
    """Successes with start < end ≤ end of the window."""
    output_tokens: float

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns


def steady_window(columns: SweepColumns) -> SteadyWindow | None:
    """The window of these requests; None if there is none."""
    succeeded = columns.succeeded == 1
    ends = columns.end_ns[succeeded]
    if not len(ends):
        return None
    start_ns, end_ns = int(ends.min()), int(columns.sent_ns.max())
    if end_ns <= start_ns:
        return None
    ended = int(((ends > start_ns) & (ends <= end_ns)).sum())
    first, last = columns.first_content_ns[succeeded], columns.last_content_ns[succeeded]
    first = np.where(first == NONE, columns.sent_ns[succeeded], first)
    overlap_ns = np.clip(np.minimum(last, end_ns) - np.maximum(first, start_ns), 0, None)
    # Content that came at one instant has no span to overlap with: it counts where that instant lies.
    at_once = (last > start_ns) & (last <= end_ns)
    share = np.where(last > first, overlap_ns / np.maximum(last - first, 1), at_once)
    tokens = np.maximum(columns.output_tokens[succeeded], 0)
    return SteadyWindow(start_ns, end_ns, ended, float(np.sort(share * tokens).sum()))
