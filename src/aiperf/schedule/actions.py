"""What the scheduler asks of the timing manager. Each action is one message, but for the last.

Owns: the actions as data. Does not own: how they travel (`aiperf.wire.messages`). -1 stands for "none" or "no limit".
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiperf.schedule.ledger import Ledger

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PrepareWorker:
    """Tells a worker of the phase, before its first credits."""

    worker: str
    slots: int
    start_ns: int
    stop_ns: int
    cut_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class IssueCredits:
    """Gives a worker credits. Shape: both (credits,), contiguous."""

    worker: str
    indices: Int64Array
    due_ns: Int64Array | None
    """None in closed loop."""


@dataclass(frozen=True, slots=True)
class SetSlots:
    """Changes a worker's slots. It must answer with a return once it goes by the new number, whatever else happens."""

    worker: str
    slots: int


@dataclass(frozen=True, slots=True)
class EndCredits:
    """Tells a worker that no more credits will come in this phase."""

    worker: str


@dataclass(frozen=True, slots=True)
class CutWorker:
    """Tells a worker to dispatch no more and to cut what is in flight at `cut_ns`."""

    worker: str
    cut_ns: int


@dataclass(frozen=True, slots=True)
class FinishPhase:
    """The phase is over: every credit is accounted for. Nothing follows."""

    ledger: Ledger
    unplaced_slot_ns: int = 0
    """Slots of the concurrency that no worker could hold, times how long, until nothing was to be dispatched."""
    unsent_runs: bytes = b""
    """The unsent arrivals: int64 pairs, see `unsent.runs_of`."""
    unsent_until_ns: int = -1
    """They were unsent at this instant."""


WorkerAction = PrepareWorker | IssueCredits | SetSlots | EndCredits | CutWorker
Action = WorkerAction | FinishPhase
