"""Who belongs to a run, how far each has come, and who can reach whom.

Owns: the services of the layout and the incarnations that came later, the index of each worker in the records, the
count at the ready barrier. Does not own: what follows from it (`run_lifecycle`). Pure.

A worker's index is its place among all workers that were ever known: those of the layout first, in its order, then
incarnations as they come. An index is never given twice.

Thousands of services come one by one, and each is an occasion to ask whether all are there. So the questions asked then
(`count`, `usable_count`, `newcomers`) cost the same however many there are.
"""

from collections import Counter, defaultdict
from enum import IntEnum

from aiperf.service.layout import SINGLETONS, Layout, ServiceType, seat_of

NAMED_MAX = 8
"""Of those that are missing so many are named, and the others counted."""


class Standing(IntEnum):
    """How far a service has come. The order is that of a service's life, LOST aside."""

    LOST = 0
    EXPECTED = 1
    REGISTERED = 2
    CONFIGURED = 3
    """It was told where everything is."""
    READY = 4


_FURTHEST = {
    ServiceType.SYSTEM_CONTROLLER: Standing.REGISTERED,
    ServiceType.WORKER_MANAGER: Standing.REGISTERED,
    ServiceType.DATASET_MANAGER: Standing.REGISTERED,
    ServiceType.CALIBRATION_SERVER: Standing.REGISTERED,
}
"""These are ready when they are there: they are told nothing."""


class Roster:
    """Every service of one run, by its id."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._kinds: dict[str, ServiceType] = {}
        self._standings: dict[str, Standing] = {}
        self._of_kind: dict[ServiceType, dict[str, int]] = {kind: {} for kind in ServiceType}
        """Services of a kind in the order in which they became known, and the place of each in it."""
        self._counts: Counter[tuple[ServiceType, Standing]] = Counter()
        self._newcomers: dict[ServiceType, set[str]] = defaultdict(set)
        self._workers_at: dict[tuple[str, int], list[str]] = defaultdict(list)
        self._reaches: dict[str, tuple[Standing, bool]] = {}
        self._reach_counts: Counter[tuple[Standing, bool]] = Counter()
        """What `_measure_reach` found, by worker, and how many workers are so."""
        self._machines = {seat.service_id: host.machine for host in layout.hosts for seat in host.services}
        self._processors_everywhere: list[str] = []
        self._processors_near: dict[tuple[str, int], list[str]] = defaultdict(list)
        self._latest: dict[str, int] = {}
        """The last incarnation of each place in the layout."""
        self.workers: list[str] = []
        """Every worker ever known, by its index."""
        for seat in layout.services():
            self._add(seat.service_id, seat.service_type)

    def _add(self, service_id: str, kind: ServiceType) -> None:
        self._kinds[service_id] = kind
        self._standings[service_id] = Standing.EXPECTED
        self._counts[kind, Standing.EXPECTED] += 1
        self._of_kind[kind][service_id] = len(self._of_kind[kind])
        seat, incarnation = seat_of(service_id)
        self._latest[seat] = max(incarnation, self._latest.get(seat, 0))
        if kind is ServiceType.WORKER:
            self.workers.append(service_id)
            self._workers_at[self.place(service_id)].append(service_id)
            self._measure_reach(service_id)
        elif kind is ServiceType.RECORD_PROCESSOR:
            near = self._layout.is_near_only(f"records/{service_id}")
            (self._processors_near[self.place(service_id)] if near else self._processors_everywhere).append(service_id)
            self._moved(service_id)

    def place(self, service_id: str) -> tuple[str, int]:
        """A machine and an incarnation: what is on one machine is lost and replaced together. It may have no name."""
        seat, incarnation = seat_of(service_id)
        return self._machines[seat], incarnation

    # One service

    def admit(self, service_id: str) -> bool:
        """Takes in a new incarnation of a service of the layout; False if it is none that may have one."""
        seat, incarnation = seat_of(service_id)
        kind = self._kinds.get(seat)
        if kind is None or kind in SINGLETONS or not incarnation or service_id in self._kinds:
            return False
        self._add(service_id, kind)
        return True

    def kind(self, service_id: str) -> ServiceType:
        """Raises: KeyError if the service is not known."""
        return self._kinds[service_id]

    def standing(self, service_id: str) -> Standing | None:
        """None if it is not known."""
        return self._standings.get(service_id)

    def move(self, service_id: str, standing: Standing) -> None:
        kind, before = self._kinds[service_id], self._standings[service_id]
        self._standings[service_id] = standing
        self._counts[kind, before] -= 1
        self._counts[kind, standing] += 1
        if standing is Standing.REGISTERED:
            self._newcomers[kind].add(service_id)
        else:
            self._newcomers[kind].discard(service_id)
        self._moved(service_id)

    def _moved(self, service_id: str) -> None:
        kind, place = self._kinds[service_id], self.place(service_id)
        if kind is ServiceType.WORKER:
            self._measure_reach(service_id)
        elif service_id in self._processors_near.get(place, ()):
            for worker in self._workers_at[place]:
                self._measure_reach(worker)

    def index(self, worker: str) -> int:
        return self.workers.index(worker)

    def processors_of(self, worker: str, at_least: Standing = Standing.EXPECTED) -> list[str]:
        """The record processors that the worker can reach and that have come so far."""
        found = [*self._processors_everywhere, *self._processors_near.get(self.place(worker), ())]
        return [processor for processor in found if self._standings[processor] >= at_least]

    def stranded_by(self, processor: str) -> list[str]:
        """The workers on the machine of this record processor, which is lost, that now reach none."""
        place = self.place(processor)
        if processor not in self._processors_near.get(place, ()):
            return []
        return [
            worker
            for worker in self._workers_at[place]
            if self._standings[worker] >= Standing.REGISTERED and not self.processors_of(worker)
        ]

    # All of them

    def ids(self, *kinds: ServiceType, at_least: Standing = Standing.REGISTERED) -> list[str]:
        """Services of these kinds (all when none is named) that have come so far: the kinds in the order given."""
        return [
            service_id
            for kind in kinds or tuple(ServiceType)
            if self.count(kind, at_least)
            for service_id in self._of_kind[kind]
            if self._standings[service_id] >= at_least
        ]

    def count(self, kind: ServiceType, at_least: Standing) -> int:
        """How many services of this kind have come so far."""
        return sum(self._counts[kind, standing] for standing in Standing if standing >= at_least)

    def newcomers(self, kind: ServiceType) -> list[str]:
        """Services of this kind that have registered and were told nothing yet, in the order of `ids`."""
        return sorted(self._newcomers[kind], key=self._of_kind[kind].__getitem__)

    def usable_count(self, at_least: Standing) -> int:
        """Workers that have come so far, and so has every record processor they can reach, of which there is one."""
        shared = [self._standings[processor] for processor in self._processors_everywhere]
        if any(Standing.LOST < standing < at_least for standing in shared):
            return 0
        some_shared = any(standing >= at_least for standing in shared)
        return sum(
            count
            for (reach, has_near), count in self._reach_counts.items()
            if reach >= at_least and (has_near or some_shared)
        )

    def _measure_reach(self, worker: str) -> None:
        """How far a worker has come together with the record processors of its own machine, and if there are any."""
        near = [self._standings[processor] for processor in self._processors_near.get(self.place(worker), ())]
        alive = [standing for standing in near if standing is not Standing.LOST]
        reach = min(self._standings[worker], *alive) if alive else self._standings[worker]
        if worker in self._reaches:
            self._reach_counts[self._reaches[worker]] -= 1
        self._reaches[worker] = reach, bool(alive)
        self._reach_counts[self._reaches[worker]] += 1

    def missing(self, at_least: Standing) -> str:
        """The services that have not come so far, in words; empty if all have. Of a lost one its next life is meant."""
        names = sorted(
            (
                service_id
                for service_id, kind in self._kinds.items()
                if self._standings[service_id] < min(at_least, _FURTHEST.get(kind, Standing.READY))
                and self._is_latest(service_id)
            ),
            key=lambda name: (name.rstrip("0123456789"), len(name), name),
        )
        if len(names) <= NAMED_MAX:
            return ", ".join(names)
        return f"{', '.join(names[:NAMED_MAX])} and {len(names) - NAMED_MAX} more"

    def _is_latest(self, service_id: str) -> bool:
        seat, incarnation = seat_of(service_id)
        return self._latest[seat] == incarnation
