"""The end of a run after its load: who still has to hand over what, and the account that the results are made from.

Owns: who is waited for, counts of slices, batches and blocks, what workers observed. Does not own: the run's states,
losses (`run_lifecycle`), writing (`records_manager`). Pure: what it returns is to be sent.
"""

from aiperf.service.layout import ServiceType
from aiperf.service.roster import Roster, Standing
from aiperf.service.tell import Tell
from aiperf.wire.messages import (
    ExportResults,
    FinishRecords,
    FlushRecords,
    PhaseFinished,
    RecordsFinished,
    RecordsFlushed,
)


class Closing:
    """First workers flush, then record processors finish. Who is lost meanwhile is not waited for."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self.awaited: set[str] = set()
        """Workers that flush, then record processors that finish."""
        self._slice_counts: dict[str, dict[str, int]] = {}
        self._observations: dict[str, dict[str, float]] = {}
        self._batch_counts: dict[str, int] = {}
        self._block_counts: dict[str, int] = {}
        self._lost_slice_counts: dict[str, int] = {}
        """By record processor, as are the two above: who answers twice counts once."""
        self._processor_observations: dict[str, dict[str, float]] = {}

    def ask_workers(self, *, is_last: bool = True) -> list[Tell]:
        """Not `is_last`: the load goes on afterwards."""
        workers = self._roster.ids(ServiceType.WORKER, at_least=Standing.CONFIGURED)
        self.awaited = set(workers)
        return [Tell(worker, FlushRecords(is_last)) for worker in workers]

    @property
    def batch_counts(self) -> dict[str, int]:
        """By record processor, of those that have finished."""
        return dict(self._batch_counts)

    def ask_processors(self, *, is_last: bool = True) -> list[Tell]:
        """Each is told how many slices were cut for it, by worker. Not `is_last`: the load goes on afterwards."""
        processors = self._roster.ids(ServiceType.RECORD_PROCESSOR, at_least=Standing.CONFIGURED)
        self.awaited = set(processors)
        indices = {worker: index for index, worker in enumerate(self._roster.workers)}
        counts: dict[str, dict[int, int]] = {processor: {} for processor in processors}
        for worker, cut in self._slice_counts.items():
            for processor, count in cut.items():
                if processor in counts:
                    counts[processor][indices[worker]] = count
        return [Tell(processor, FinishRecords(its, is_last)) for processor, its in counts.items()]

    def forget(self, service_id: str) -> None:
        """It is lost."""
        self.awaited.discard(service_id)

    def book_flushed(self, flushed: RecordsFlushed) -> None:
        self._slice_counts[flushed.worker] = flushed.slice_counts
        self._observations[flushed.worker] = flushed.observations | {"deferred_bytes": flushed.deferred_bytes}
        self.awaited.discard(flushed.worker)

    def book_finished(self, finished: RecordsFinished) -> None:
        self._batch_counts[finished.service_id] = finished.batch_count
        self._block_counts[finished.service_id] = finished.block_count
        self._lost_slice_counts[finished.service_id] = finished.lost_slice_count
        self._processor_observations[finished.service_id] = finished.observations
        self.awaited.discard(finished.service_id)

    def export(self, phases: list[PhaseFinished], outcome: str, reason: str) -> ExportResults:
        """What was counted here; who had a part in the run is for the caller to add."""
        return ExportResults(
            batch_counts=self._batch_counts,
            block_counts=self._block_counts,
            phases=phases,
            outcome=outcome,
            reason=reason,
            lost_services=[],
            worker_observations=self._observations,
            processor_observations=self._processor_observations,
            lost_slice_count=sum(self._lost_slice_counts.values()),
        )
