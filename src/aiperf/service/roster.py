"""Who belongs to a run, how far each has come, and who can reach whom.

Owns: the services of the layout and the incarnations that came later, the index of each worker in the records, the
count at the ready barrier. Does not own: what follows from it (`run_lifecycle`). Pure.

A worker's index is its place among all workers that were ever known: those of the layout first, in its order, then
incarnations as they come. An index is never given twice.
"""

from collections import defaultdict
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
}
"""These are ready when they are there: they are told nothing."""


class Roster:
    """Every service of one run, by its id."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._kinds: dict[str, ServiceType] = {}
        self._standings: dict[str, Standing] = {}
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
        seat, incarnation = seat_of(service_id)
        self._latest[seat] = max(incarnation, self._latest.get(seat, 0))
        if kind is ServiceType.WORKER:
            self.workers.append(service_id)
        elif kind is ServiceType.RECORD_PROCESSOR:
            near = self._layout.is_near_only(f"records/{service_id}")
            (self._processors_near[self._place(service_id)] if near else self._processors_everywhere).append(service_id)

    def _place(self, service_id: str) -> tuple[str, int]:
        """A machine and an incarnation: what is on one machine is lost and replaced together."""
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
        self._standings[service_id] = standing

    def index(self, worker: str) -> int:
        return self.workers.index(worker)

    def processors_of(self, worker: str, at_least: Standing = Standing.EXPECTED) -> list[str]:
        """The record processors that the worker can reach and that have come so far."""
        found = [*self._processors_everywhere, *self._processors_near.get(self._place(worker), ())]
        return [processor for processor in found if self._standings[processor] >= at_least]

    # All of them

    def ids(self, *kinds: ServiceType, at_least: Standing = Standing.REGISTERED) -> list[str]:
        """Services of these kinds (all when none is named) that have come so far: the kinds in the order given."""
        return [
            service_id
            for kind in kinds or tuple(ServiceType)
            for service_id, its in self._kinds.items()
            if its is kind and self._standings[service_id] >= at_least
        ]

    def usable_workers(self, at_least: Standing) -> list[str]:
        """Workers that have come so far, and so has every record processor they can reach, of which there is one."""
        workers, so_far = self.ids(ServiceType.WORKER, at_least=at_least), self._standings
        shared = self._processors_everywhere
        if any(Standing.LOST < so_far[processor] < at_least for processor in shared):
            return []
        some_shared = any(so_far[processor] >= at_least for processor in shared)
        return [worker for worker in workers if self._has_processors(worker, at_least, some_shared)]

    def _has_processors(self, worker: str, at_least: Standing, some_shared: bool) -> bool:
        near = [self._standings[processor] for processor in self._processors_near.get(self._place(worker), ())]
        alive = [standing for standing in near if standing is not Standing.LOST]
        return all(standing >= at_least for standing in alive) and (some_shared or bool(alive))

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
