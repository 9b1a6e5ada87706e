"""What each worker's records say of it.

Owns: counts and lags by worker. Does not own: what a worker says of itself (`run_facts`).
"""

from collections.abc import Iterable

import msgspec
import numpy as np

from aiperf.endpoint.exchange import Outcome
from aiperf.metrics.intervals import BoolArray, IntArray
from aiperf.metrics.totals import NEVER_NS, WIDE_NS
from aiperf.record.facts import NONE, FactsArray


class WorkerTally(msgspec.Struct, array_like=True):
    """One worker's requests of the measured phase."""

    worker_index: int
    request_count: int = 0
    completed_count: int = 0
    failed_count: int = 0
    wide_first_count: int = 0
    """First content chunks known only to within more than `WIDE_NS`."""
    due_count: int = 0
    dispatch_lag_sum_ns: int = 0
    dispatch_lag_max_ns: int = 0
    send_lag_max_ns: int = 0
    rearm_delay_max_ns: int = 0
    first_dispatched_ns: int = NEVER_NS
    first_due_ns: int = NONE
    """When that request was due; NONE in closed loop."""

    def merge(self, other: "WorkerTally") -> None:
        """Adds the other tally of the same worker."""
        self.request_count += other.request_count
        self.completed_count += other.completed_count
        self.failed_count += other.failed_count
        self.wide_first_count += other.wide_first_count
        self.due_count += other.due_count
        self.dispatch_lag_sum_ns += other.dispatch_lag_sum_ns
        self.dispatch_lag_max_ns = max(self.dispatch_lag_max_ns, other.dispatch_lag_max_ns)
        self.send_lag_max_ns = max(self.send_lag_max_ns, other.send_lag_max_ns)
        self.rearm_delay_max_ns = max(self.rearm_delay_max_ns, other.rearm_delay_max_ns)
        if other.first_dispatched_ns < self.first_dispatched_ns:
            self.first_dispatched_ns, self.first_due_ns = other.first_dispatched_ns, other.first_due_ns
        elif other.first_dispatched_ns == self.first_dispatched_ns:
            self.first_due_ns = max(self.first_due_ns, other.first_due_ns)


class Workers:
    """Tallies by worker index."""

    __slots__ = ("by_index",)

    def __init__(self, tallies: Iterable[WorkerTally] = ()) -> None:
        self.by_index = {tally.worker_index: tally for tally in tallies}

    @classmethod
    def of(cls, r: FactsArray) -> "Workers":
        """The tallies of these records."""
        indices, places = np.unique(r["worker_index"], return_inverse=True)
        n = len(indices)

        def count(chosen: BoolArray) -> IntArray:
            return np.bincount(places[chosen], minlength=n)

        def greatest(values: IntArray, chosen: BoolArray) -> IntArray:
            most = np.zeros(n, np.int64)
            np.maximum.at(most, places[chosen], values[chosen])
            return most

        outcome, due, dispatched, sent = r["outcome"], r["due_ns"], r["dispatched_ns"], r["sent_ns"]
        was_due = (due != NONE) & (dispatched != NONE)
        lag_sum = np.zeros(n, np.int64)
        np.add.at(lag_sum, places[was_due], (dispatched - due)[was_due])
        first = np.full(n, NEVER_NS)
        np.minimum.at(first, places, np.where(dispatched == NONE, NEVER_NS, dispatched))
        is_first = dispatched == first[places]
        first_due = np.full(n, NONE)
        np.maximum.at(first_due, places[is_first], due[is_first])
        rearm = r["rearm_delay_ns"]
        columns = (
            indices,
            np.bincount(places, minlength=n),
            count(outcome == Outcome.COMPLETED),
            count(outcome == Outcome.FAILED),
            count((outcome == Outcome.COMPLETED) & (r["first_content_width_ns"] > WIDE_NS)),
            count(was_due),
            lag_sum,
            greatest(dispatched - due, was_due),
            greatest(sent - due, was_due & (sent != NONE)),
            greatest(rearm, rearm != NONE),
            first,
            first_due,
        )
        return cls(WorkerTally(*row) for row in np.stack(columns).T.tolist())

    def merge(self, other: "Workers") -> None:
        """Adds the other's tallies."""
        for index, tally in other.by_index.items():
            mine = self.by_index.get(index)
            if mine is None:
                mine = self.by_index[index] = WorkerTally(index)
            mine.merge(tally)
