"""Every message between services. One file, so that the whole conversation can be read at a glance.

Owns: the message types and their encoding (MessagePack, tagged by type). Does not own: bulk tables (slices and record
columns travel as raw frames beside a small header), sockets, who answers what (`aiperf.service`).

Instants are on the run clock in ns. Events are past tense, orders imperative.
"""

from typing import Any

import msgspec

from aiperf.metrics.calibration import Calibration, CalibrationStep
from aiperf.schedule.phases import PhasePlan


class Message(msgspec.Struct, tag=True, array_like=True):
    """What travels on the control bus or a credit socket."""


# Service → system controller: the life of a service


class Registered(Message):
    service_id: str
    host: str = ""
    """Where it runs: the machine's name, or the pod's."""
    node: str = ""
    """The machine's name, that of a pod's node included."""


class ServiceReady(Message):
    service_id: str


class Notice(Message):
    """Something the user should read; from any service to the operator by way of the controller."""

    text: str
    lasting: bool = False
    """It belongs into the results, too."""


class ServiceFailed(Message):
    """The service cannot go on; `reason` is for the user."""

    service_id: str
    reason: str
    exit_code: int


class AbortRun(Message):
    """The load makes no sense any more, but what there is can be reported; `reason` is for the user."""

    reason: str
    exit_code: int


class Heartbeat(Message):
    """To the worker manager, every few seconds (`aiperf.service.cadence`); its own goes to the controller."""

    service_id: str
    sent_ns: int
    health: dict[str, float] = {}
    """Self-observation, by name with unit (`loop_lag_max_ms`)."""


class ServiceLost(Message):
    """A service is gone: its process ended, or it fell silent."""

    service_id: str
    reason: str


class HostLost(Message):
    """From the service manager: the process of a host ended before its time."""

    host_id: str
    reason: str


# A host ↔ system controller: how far their clocks are apart


class ClockProbe(Message):
    """Wants to be answered at once."""

    sent_ns: int
    """On the asker's clock."""


class ClockReply(Message):
    """To the asker of one probe; the latter two instants on the controller's clock."""

    probe_sent_ns: int
    received_ns: int
    replied_ns: int


# System controller → services: the run


class DatasetReady(Message):
    """From the dataset manager: the store is compiled."""

    path: str
    entry_count: int
    tokenizer_name: str
    """For people."""
    tokenizer_source: str
    """Opens the tokenizer in use again, without the network."""
    warnings: list[str] = []


class Configure(Message):
    """Everything a service needs before it can say it is ready."""

    dataset_path: str
    workers: list[str]
    """Service ids; the position is the worker's index in records. `WorkerAdded` appends to it."""
    record_processors: list[str]
    """To a worker: those it can reach."""
    tokenizer_source: str
    """Opens the tokenizer in use again, without the network."""
    waits_for_model: bool = False
    """To a worker: it is the one that is not ready before the model answers."""


class WorkerAdded(Message):
    """To record processors: a worker that the layout does not know has its index in records."""

    service_id: str
    index: int


class RecordProcessorAdded(Message):
    """To workers: a record processor that they can reach has come, or come back."""

    service_id: str


class StartPhase(Message):
    plan: PhasePlan
    start_ns: int
    stop_ns: int
    """No dispatch at or after this instant; -1: no such instant."""
    cut_ns: int
    """Requests still in flight are cut at this instant; -1: never."""


class PhaseFinished(Message):
    """From the timing manager: every credit of the phase is accounted for."""

    phase: int
    start_ns: int
    stop_ns: int
    """No dispatch at or after this instant, by the plan or by an order to stop; -1: a count ended the phase."""
    end_ns: int
    ledger: dict[str, int]
    """issued, completed, failed, cancelled, censored, lost, unsent; and offered."""
    unplaced_slot_s: float = 0.0
    """Slots of the concurrency that no worker could hold, times how long."""
    lost_workers: dict[str, tuple[int, int]] = {}
    """Of each worker that was lost in it: requests whose credits it had returned, and credits it had not."""
    unsent_runs: bytes = b""
    """Which arrivals were never sent: int64 pairs, first index and how many. When they were due, the plan knows."""
    unsent_until_ns: int = -1
    """They were unsent at this instant, from which on nothing was dispatched."""


class StopPhase(Message):
    """Ends the running phase early: no dispatch from now on; what is in flight is cut at `cut_ns`."""

    cut_ns: int
    reason: str


class FlushRecords(Message):
    """To workers: hand over every slice that is left."""

    is_last: bool = True
    """The load is over. If not: this is between two steps of a calibration, and the work goes on."""


class RecordsFlushed(Message):
    """From a worker: how many slices it has cut, by record processor."""

    worker: str
    slice_counts: dict[str, int]
    deferred_bytes: int = 0
    """What had to be spilled to disk during the load."""
    observations: dict[str, float] = {}
    is_last: bool = True
    """As in the order that this answers; a worker that leaves gives its last account unasked."""


class FinishRecords(Message):
    """To record processors: process slices up to these counts, by worker index, hand over what came of them, finish."""

    slice_counts: dict[int, int]
    is_last: bool = True
    """No more will come. If not: the account so far is wanted, and the work goes on."""


class RecordsFinished(Message):
    """From a record processor."""

    service_id: str
    batch_count: int
    record_count: int
    lost_slice_count: int
    lost_record_count: int
    """Requests that ended but make no record: bytes of their response were lost on the way."""
    block_count: int = 0
    """Of request lines; as the batches, it sent so many."""
    observations: dict[str, float] = {}
    """Of its process, by name with unit."""
    is_last: bool = True
    """As in the order that this answers; one that leaves gives its last account unasked."""


class MeasureStep(Message):
    """To the records manager: a step of the calibration is over and its records are under way; what do they say?"""

    plan: PhasePlan
    finished: PhaseFinished
    batch_counts: dict[str, int]
    """Batches to expect, by record processor, from the beginning of the run."""


class StepMeasured(Message):
    """The answer."""

    step: CalibrationStep


class ExportResults(Message):
    """To the records manager: all is in; write summary and artifacts."""

    batch_counts: dict[str, int]
    """Batches to expect, by record processor."""
    block_counts: dict[str, int]
    """Blocks of request lines to expect, by record processor."""
    phases: list[PhaseFinished]
    outcome: str
    """`completed`, `interrupted` or `aborted`."""
    reason: str
    lost_services: list[ServiceLost]
    workers: dict[int, str] = {}
    """Those that had a part in the run, by their index in records."""
    record_processors: list[str] = []
    """Those that had a part in the run."""
    began_with: int = 0
    """Workers that were ready when the load began."""
    late_workers: list[str] = []
    """Those that joined afterwards, in that order."""
    worker_observations: dict[str, dict[str, float]] = {}
    processor_observations: dict[str, dict[str, float]] = {}
    places: dict[str, tuple[str, str]] = {}
    """Host and node of each service."""
    lost_slice_count: int = 0
    tokenizer: str = ""
    warnings: list[str] = []
    calibration: Calibration | None = None
    """None: none was asked for."""


class ResultsExported(Message):
    """From the records manager."""

    artifact_dir: str
    summary_path: str
    completed_count: int
    failed_count: int
    verdict: str
    first_error: str
    heaviest_reason: str = ""
    """Of the verdict, in words; empty if there is none."""


class Exit(Message):
    """To every service: leave in an orderly way, now."""

    reason: str = ""
    """Why it leaves before its time, and has no part in the run any more; empty: the run is over."""


# Hosts that do not share the artifact directory → records manager


class LogLines(Message):
    """What the host has logged since the last time."""

    host_id: str
    sequence: int
    """0, 1, 2, … per sender. Sent again until it is confirmed."""
    lines: list[str]
    left_out_count: int = 0
    """Lines behind these that the host could not keep."""


class LogTaken(Message):
    """The answer: these lines are home."""

    sequence: int


# Operator (the CLI) ↔ controller


class OperatorJoined(Message):
    """The CLI, a person's or a script's, is there and wants progress."""


class StopRun(Message):
    """From the operator. `now`: cut what is in flight at once; else give it the grace period."""

    now: bool
    reason: str


class RunFinished(Message):
    """The run is over; nothing more follows. `exit_code` is what the command should return."""

    exit_code: int
    outcome: str
    reason: str
    artifact_dir: str
    summary_path: str


class Progress(Message):
    """The live view, a few times a second; from the records manager to the operator by way of the controller."""

    phase: int
    state: str
    """`starting`, `warmup`, `profiling`, `draining`, `processing`, `exporting`; of a calibration, its step in words."""
    elapsed_s: float
    sent_count: int
    completed_count: int
    failed_count: int
    in_flight_count: int
    offered_count: int
    expected_count: int
    """How many requests the phase will make; -1 if a duration bounds it."""
    expected_s: float
    """How long the phase will send; -1 if a count bounds it."""
    request_rate: float
    """Completed requests per second over the last seconds."""
    output_token_rate: float
    statistics: dict[str, dict[str, float]]
    """`{"time_to_first_token": {"avg":, "p50":, "p99":}, …}` so far, in the metrics' export units."""
    errors: dict[str, int]
    """By kind."""
    notices: list[str] = []


class LoadStatus(Message):
    """From the timing manager to the records manager, a few times a second: the credit ledger as it stands."""

    phase: int
    start_ns: int
    offered_count: int
    issued_count: int
    in_flight_count: int
    expected_count: int
    expected_s: float
    draining: bool


# Credits: timing manager ↔ workers, on sockets of their own


class WorkerJoined(Message):
    """A worker introduces itself on the credit socket, by whose name it is known."""

    slots_max: int


class WorkerWelcomed(Message):
    """To a worker: the timing manager knows it. The way of credits is open in both directions."""


class CreditOrder(Message):
    """What a worker is told of its credits, once it has been welcomed."""

    phase: int
    sequence: int
    """0, 1, 2, … per worker, over all orders of all phases: a gap is a stated loss."""


class PreparePhase(CreditOrder):
    """Ahead of the first credits of a phase."""

    slots: int
    """Concurrency share; -1: no cap."""
    ramp_ns: int
    """From the start to the whole share, one slot after the other."""
    start_ns: int
    stop_ns: int
    cut_ns: int
    closed_loop: bool
    """Slots are to be kept full; else credits come with due instants."""


class CreditBatch(CreditOrder):
    """The right to run these conversations, in this order."""

    indices: bytes
    """int64 credit indices."""
    due_ns: bytes
    """int64 instants, or empty in closed loop."""


class SetSlots(CreditOrder):
    """Lends or takes back slots while the phase runs."""

    slots: int


class EndCredits(CreditOrder):
    """No more credits in this phase: return the account when the last one in hand has ended."""


class CutPhase(CreditOrder):
    """Stop dispatching now; cut what is in flight at `cut_ns`."""

    cut_ns: int


class CreditReturns(Message):
    """What became of credits since the last return: counts by outcome, and the worker's present need."""

    phase: int
    sequence: int
    """0, 1, 2, … per worker, over all phases: a gap is a stated loss."""
    orders_taken: int
    """How many orders have reached the worker: one that was the last shows as a gap only here."""
    completed: int
    failed: int
    cancelled: int
    censored: int
    unused: bytes
    """int64 indices handed back unsent (the phase was stopped)."""
    queued: int
    """Credits in hand, not yet dispatched."""
    overdue: int
    """Of those, how many are past their due time, waiting for a slot."""
    in_flight: int
    idle_slots: int
    drained: bool
    """Nothing queued and nothing in flight, and no credits will follow."""


AnyMessage = (
    Registered | ServiceReady | Notice | ServiceFailed | Heartbeat | ServiceLost | HostLost | DatasetReady | Configure
    | StartPhase | PhaseFinished | StopPhase | FlushRecords | RecordsFlushed | FinishRecords | RecordsFinished
    | ExportResults | ResultsExported | Exit | OperatorJoined | StopRun | RunFinished | Progress | LoadStatus
    | WorkerAdded | RecordProcessorAdded | WorkerJoined | WorkerWelcomed | PreparePhase | CreditBatch | SetSlots
    | EndCredits | CutPhase | CreditReturns | ClockProbe | ClockReply
    | AbortRun | LogLines | LogTaken | MeasureStep | StepMeasured
)  # fmt: skip

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AnyMessage).decode


def encode(message: Message) -> bytes:
    """The message as MessagePack."""
    return _encode(message)


def decode(data: Any) -> AnyMessage:
    """The message. Raises: msgspec.ValidationError if the bytes are none of ours."""
    message: AnyMessage = _decode(data)
    return message
