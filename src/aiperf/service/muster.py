"""The start of a run: who has come, what each is told, when there are enough to begin; and those who come late.

Owns: the ready barrier, the configuration of every service, which worker waits for the model. Does not own: how far
each has come (`roster`), the run's states, losses and limits (`run_lifecycle`). Pure: what it returns is to be sent.
"""

from aiperf.service.layout import SINGLETONS, ServiceType
from aiperf.service.roster import Roster, Standing
from aiperf.units import NS_PER_S
from aiperf.wire.messages import Configure, DatasetReady, Message, RecordProcessorAdded, WorkerAdded

MINIMUM_GRACE_NS = 5 * NS_PER_S
"""When the stated minimum of workers is ready, those that have registered may take so much longer: a run does not begin
without workers that are there but for a moment."""

TOLD_KINDS = (
    ServiceType.TIMING_MANAGER, ServiceType.RECORDS_MANAGER, ServiceType.RECORD_PROCESSOR, ServiceType.WORKER,
)  # fmt: skip
"""Those that are told where everything is, in this order."""

ToldTo = tuple[str, Message]


class Muster:
    """`needed_count`: so many workers are enough to begin with. `probes_model`: one of them waits for the model."""

    def __init__(self, roster: Roster, needed_count: int, *, probes_model: bool) -> None:
        self._roster = roster
        self._needed_count = min(needed_count, len(roster.workers))
        self._probes_model = probes_model
        self.prober = ""
        """The worker that waits for the model, if one does."""
        self._enough_since_ns: int | None = None
        self._told: dict[ServiceType, dict[str, None]] = {kind: {} for kind in TOLD_KINDS}
        """In the order in which they were told."""

    def are_enough(self, so_far: Standing) -> bool:
        """Whether all services that there are once, and enough workers, have come so far."""
        roster = self._roster
        if len(roster.ids(*SINGLETONS)) < len(SINGLETONS):
            return False
        told = roster.ids(ServiceType.TIMING_MANAGER, ServiceType.RECORDS_MANAGER, at_least=so_far)
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

    def configure(self, dataset: DatasetReady) -> list[ToldTo]:
        """Tells everybody who has registered since where everything is. Workers wait for a record processor."""
        roster = self._roster
        tells: list[ToldTo] = []
        for kind, service_id in [(its, newcomer) for its in TOLD_KINDS for newcomer in roster.newcomers(its)]:
            if kind is ServiceType.WORKER and not roster.processors_of(service_id, Standing.CONFIGURED):
                continue
            roster.move(service_id, Standing.CONFIGURED)
            self._told[kind].setdefault(service_id)
            tells.append((service_id, self._configuration(service_id, kind, dataset)))
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

    def _tell_of_processor(self, processor: str) -> list[ToldTo]:
        workers = self._roster.ids(ServiceType.WORKER, at_least=Standing.CONFIGURED)
        added = RecordProcessorAdded(processor)
        return [(worker, added) for worker in workers if processor in self._roster.processors_of(worker)]

    def tell_of_new(self, service_id: str) -> list[ToldTo]:
        """Of a worker that the layout does not know: to record processors that have the list of workers already."""
        if self._roster.kind(service_id) is not ServiceType.WORKER:
            return []
        added = WorkerAdded(service_id, self._roster.index(service_id))
        processors = self._roster.ids(ServiceType.RECORD_PROCESSOR, at_least=Standing.CONFIGURED)
        return [(processor, added) for processor in processors]

    def forget_lost(self) -> None:
        """The load begins: who was lost before had no part in it."""
        for kind, told in self._told.items():
            self._told[kind] = dict.fromkeys(service_id for service_id in told if self._roster.standing(service_id))

    def told(self, kind: ServiceType) -> list[str]:
        """Services of that kind that were told where everything is, lost ones as well, in that order."""
        return list(self._told[kind])

    def workers_by_index(self) -> dict[int, str]:
        """Workers that were told where everything is, by their index in records."""
        told = self._told[ServiceType.WORKER]
        return {index: worker for index, worker in enumerate(self._roster.workers) if worker in told}
