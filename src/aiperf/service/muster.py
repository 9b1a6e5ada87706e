"""The start of a run: who has come, what each is told, when there are enough to begin; and those who come late.

Owns: the ready barrier, the configuration of every service, which worker waits for the model. Does not own: how far
each has come (`roster`), the run's states, losses and limits (`run_lifecycle`). Pure: what it returns is to be sent.
"""

import msgspec

from aiperf.service.layout import SINGLETONS, ServiceType
from aiperf.service.roster import Roster, Standing
from aiperf.service.tell import Tell
from aiperf.units import NS_PER_S
from aiperf.wire.messages import Configure, DatasetReady, ExportResults, RecordProcessorAdded, WorkerAdded

MINIMUM_GRACE_NS = 5 * NS_PER_S
"""When the stated minimum of workers is ready, those that have registered may take so much longer: a run does not begin
without workers that are there but for a moment."""

TOLD_KINDS = (
    ServiceType.TIMING_MANAGER, ServiceType.RECORDS_MANAGER, ServiceType.RECORD_PROCESSOR, ServiceType.WORKER,
)  # fmt: skip
"""Those that are told where everything is, in this order."""


class Muster:
    """`needed_count`: so many workers are enough to begin with. `probes_model`: one of them waits for the model."""

    def __init__(self, roster: Roster, needed_count: int, *, probes_model: bool) -> None:
        self._roster = roster
        self._needed_count = min(needed_count, len(roster.workers))
        self._probes_model = probes_model
        self.prober = ""
        """The worker that waits for the model, if one does."""
        self._enough_since_ns: int | None = None
        self._planned_count = len(roster.workers)
        self._began_with = 0
        self._late: list[str] = []
        self._places: dict[str, tuple[str, str]] = {}
        self._told: dict[ServiceType, dict[str, None]] = {kind: {} for kind in TOLD_KINDS}
        """In the order in which they were told."""

    def are_enough(self, so_far: Standing) -> bool:
        """Whether all services that there are once, and enough workers, have come so far."""
        roster = self._roster
        if len(roster.ids(*SINGLETONS)) < len(SINGLETONS):
            return False
        told = roster.ids(ServiceType.TIMING_MANAGER, ServiceType.RECORDS_MANAGER, at_least=so_far)
        servers = ServiceType.CALIBRATION_SERVER
        if roster.count(servers, Standing.REGISTERED) < roster.count(servers, Standing.EXPECTED):
            return False
        return len(told) == 2 and roster.usable_count(so_far) >= self._needed_count

    def can_be_enough(self) -> bool:
        """Whether the workers that are not lost are enough."""
        return len(self._roster.ids(ServiceType.WORKER, at_least=Standing.EXPECTED)) >= self._needed_count

    def is_barrier_open(self, now_ns: int) -> bool:
        """Enough are ready; so is whoever waits for the model; and whoever has come has had time to be ready."""
        roster = self._roster
        if not self.are_enough(Standing.READY):
            self._enough_since_ns = None
            return False
        if self._probes_model and roster.standing(self.prober) is not Standing.READY:
            return False
        if self._enough_since_ns is None:
            self._enough_since_ns = now_ns
        all_ready = roster.usable_count(Standing.READY) == roster.count(ServiceType.WORKER, Standing.REGISTERED)
        return all_ready or now_ns >= self._enough_since_ns + MINIMUM_GRACE_NS

    def missing(self, so_far: Standing) -> str:
        """Who keeps the start from going on, in words; empty if nobody does."""
        if self.are_enough(so_far):
            prober = self.prober if so_far is Standing.READY else ""
            return prober if prober and self._roster.standing(prober) is not Standing.READY else ""
        return self._roster.missing(so_far)

    def configure(self, dataset: DatasetReady) -> list[Tell]:
        """Tells everybody who has registered since where everything is. Workers wait for a record processor."""
        roster = self._roster
        tells: list[Tell] = []
        for kind, service_id in [(its, newcomer) for its in TOLD_KINDS for newcomer in roster.newcomers(its)]:
            if kind is ServiceType.WORKER and not roster.processors_of(service_id, Standing.CONFIGURED):
                continue
            roster.move(service_id, Standing.CONFIGURED)
            self._told[kind].setdefault(service_id)
            tells.append(Tell(service_id, self._configuration(service_id, kind, dataset)))
            if kind is ServiceType.RECORD_PROCESSOR:
                tells += self._tell_of_processor(service_id)
        return tells

    def _configuration(self, service_id: str, kind: ServiceType, dataset: DatasetReady) -> Configure:
        roster = self._roster
        processors: list[str] = []
        if kind is ServiceType.WORKER:
            processors = roster.processors_of(service_id, Standing.CONFIGURED)
            if self._probes_model and not roster.standing(self.prober):  # there is none, or it was lost
                self.prober = service_id
        return Configure(
            dataset_path=dataset.path,
            workers=list(roster.workers),
            record_processors=processors,
            tokenizer_source=dataset.tokenizer_source,
            waits_for_model=service_id == self.prober,
        )

    def _tell_of_processor(self, processor: str) -> list[Tell]:
        workers = self._roster.ids(ServiceType.WORKER, at_least=Standing.CONFIGURED)
        added = RecordProcessorAdded(processor)
        return [Tell(worker, added) for worker in workers if processor in self._roster.processors_of(worker)]

    def tell_of_new(self, service_id: str) -> list[Tell]:
        """Of a worker that the layout does not know: to record processors that have the list of workers already."""
        if self._roster.kind(service_id) is not ServiceType.WORKER:
            return []
        added = WorkerAdded(service_id, self._roster.index(service_id))
        processors = self._roster.ids(ServiceType.RECORD_PROCESSOR, at_least=Standing.CONFIGURED)
        return [Tell(processor, added) for processor in processors]

    def begin(self) -> str:
        """The load begins: who was lost before had no part in it. Says who is still missing; empty if nobody is."""
        for kind, told in self._told.items():
            self._told[kind] = dict.fromkeys(service_id for service_id in told if self._roster.standing(service_id))
        self._began_with = self._roster.count(ServiceType.WORKER, Standing.READY)
        if self._began_with >= self._planned_count:
            return ""
        missing = self._roster.missing(Standing.READY)
        return f"the load began with {self._began_with} of {self._planned_count} workers; not there yet: {missing}"

    def join_late(self, worker: str) -> str:
        """It is ready, and the load has begun. Says so."""
        self._late.append(worker)
        return f"{worker} joined after the start"

    def book_place(self, service_id: str, host: str, node: str) -> None:
        """Where it runs."""
        self._places[service_id] = host, node

    def sign(self, export: ExportResults) -> ExportResults:
        """The order with the names of those who had a part in the run."""
        return msgspec.structs.replace(
            export,
            workers=self.workers_by_index(),
            record_processors=self.told(ServiceType.RECORD_PROCESSOR),
            began_with=self._began_with,
            late_workers=self._late,
            places=self._places,
        )

    def told(self, kind: ServiceType) -> list[str]:
        """Services of that kind that were told where everything is, lost ones as well, in that order."""
        return list(self._told.get(kind, ()))

    def workers_by_index(self) -> dict[int, str]:
        """Workers that were told where everything is, by their index in records."""
        told = self._told[ServiceType.WORKER]
        return {index: worker for index, worker in enumerate(self._roster.workers) if worker in told}
