"""What the services know of a run beside its records: ledgers, phases, workers, the plan.

Owns: the data that the system controller hands to `summarise`. Does not own: records (`partial`), results (`summary`).
Plain data; instants are on the run clock in ns, NONE (-1) stands for "there is none".
"""

from typing import Any

import msgspec

from aiperf.metrics.calibration import Calibration
from aiperf.metrics.promise import Promise
from aiperf.record.facts import NONE
from aiperf.schedule.ledger import Ledger
from aiperf.schedule.phases import PhaseKind


class PhaseFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One phase as it ran."""

    phase: int
    start_ns: int
    end_ns: int
    stop_ns: int = NONE
    """No dispatch at or after this instant; NONE when a count bounded the phase."""
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    unplaced_slot_s: float = 0.0
    """Slots of the concurrency that no worker could hold, times how long."""


class WorkerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One worker, by its index in the records."""

    worker_index: int
    service_id: str
    host: str = ""
    """Host or pod."""
    node: str = ""
    """The machine it ran on."""
    is_late: bool = False
    """It joined when the load had begun."""
    lost_reason: str = ""
    """Not empty when the worker was lost."""
    returned_count: int = 0
    """Of a lost worker: requests of the measured phase whose credits it had returned."""
    unreturned_count: int = 0
    """Of a lost worker: credits that it had not returned."""
    observations: dict[str, float] = {}
    """Its self-observation, by name with unit (`loop_lag_max_ms`)."""


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One run, save its records."""

    benchmark_id: str
    aiperf_version: str
    plan: dict[str, Any]
    """The public dump of the Plan: secrets masked, JSON types only."""
    phases: list[PhaseFacts]
    outcome: str = "completed"
    """`completed`, `interrupted` or `aborted`."""
    reason: str = ""
    workers: list[WorkerFacts] = []
    processes: dict[str, dict[str, float]] = {}
    """Self-observation of processes without a worker, by name: record processors, and `control` where all services
    that there are once share one."""
    lost_services: list[str] = []
    """Services that are no workers and were lost, each with its reason, as text for the user."""
    records_lost_count: int = 0
    """Requests of the measured phase that ended and whose record did not arrive."""
    slices_lost_count: int = 0
    batches_lost_count: int = 0
    """Of finished records on their way to the records manager; their records are among the lost ones."""
    lines_lost_count: int = 0
    """Records that are in every metric, but of which the line did not arrive."""
    deferred_bytes: int = 0
    """Response bytes that had to wait on disk for their record processor."""
    deferred_slice_count: int = 0
    """In so many slices."""
    deferred_s: float = 0.0
    """The longest time in which a worker had some waiting."""
    deferred_after_load_s: float = 0.0
    """How much of it was after the load, at the most."""
    dropped_slice_count: int = 0
    """Slices for which there was no room on disk; their records are among the lost ones."""
    tokenizer: str = ""
    """Name of the tokenizer in use."""
    timestamp_source: str = ""
    """`kernel`, `user` or `mixed`."""
    warnings: list[str] = []
    run_info: dict[str, Any] = {}
    """What else belongs into `run_info`: sweep values, seed, command line."""
    calibration: Calibration | None = None
    """What this side was found to add before the load; None: it was not asked for."""
    promise: Promise | None = None
    """What was promised before the run."""
    artifacts: list[str] = []
    """Names of the files written beside the summary, for the console."""

    def measured(self) -> PhaseFacts | None:
        """The profiling phase; None if the run never came to it."""
        return next((phase for phase in self.phases if phase.phase == PhaseKind.PROFILING), None)

    def section(self, name: str) -> dict[str, Any]:
        """One section of the plan; empty if there is none."""
        section = self.plan.get(name) or {}
        return section if isinstance(section, dict) else {}
