"""The life of a run as a pure state machine: messages in, messages out.

Owns: every decision about what happens next: who must be there, when phases start, what a loss or a Ctrl-C means, with
which outcome and exit code the run ends. Does not own: sockets, clocks, when credits go out (`aiperf.schedule`).

Theory of operation. The states follow one another and never go back:

    GATHERING    services register, the dataset is compiled
    PREPARING    everybody was told where everything is; waiting for all to say ready: the barrier
    RUNNING      phases, one after another, each ended by the timing manager's account
    FLUSHING     workers hand over their last slices
    PROCESSING   record processors finish what they have
    EXPORTING    the records manager writes
    OVER

A loss may come at any time. It removes a service from what is waited for; only the loss of a service that there is
once, or of the last of its kind, ends the run, and then with a stated reason.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from aiperf.errors import ExitCode
from aiperf.schedule.phases import PhasePlan
from aiperf.service.layout import SINGLETONS, Layout, ServiceType
from aiperf.units import NS_PER_MS, NS_PER_S
from aiperf.wire.messages import (
    AnyMessage,
    Configure,
    DatasetReady,
    Exit,
    ExportResults,
    FinishRecords,
    FlushRecords,
    HostLost,
    Message,
    Notice,
    PhaseFinished,
    Progress,
    RecordsFinished,
    RecordsFlushed,
    Registered,
    ResultsExported,
    RunFinished,
    ServiceFailed,
    ServiceLost,
    ServiceReady,
    StartPhase,
    StopPhase,
    StopRun,
)

START_LEAD_NS = 10 * NS_PER_MS
"""From the barrier to the first send: time for the start message to reach every worker."""

STARTUP_LIMIT_NS = 60 * NS_PER_S
"""A service that has not registered so long after the start, or is not ready so long after it was told where everything
is, is named, and the run ends."""

HOPELESS_FAILURES = 10
HOPELESS_KINDS = frozenset({"dns", "connect_refused", "connect_timeout", "connect_other", "tls"})
HOPELESS_STATUSES = frozenset({"http_status 401", "http_status 403", "http_status 404", "http_status 405"})
"""Failures that time does not mend. If at least HOPELESS_FAILURES requests ended, every one in such a way, going on for
the planned time would only delay the message."""


class Tell(NamedTuple):
    """Send `message` to the service (or the operator) of that name."""

    to: str
    message: Message


class State(Enum):
    GATHERING = auto()
    PREPARING = auto()
    RUNNING = auto()
    FLUSHING = auto()
    PROCESSING = auto()
    EXPORTING = auto()
    OVER = auto()


class RunLifecycle:
    """One run. `handle` takes what happened and returns what is to be sent; `state` is for the reader."""

    def __init__(
        self,
        layout: Layout,
        phases: Sequence[PhasePlan],
        *,
        operator: str,
        started_ns: int,
        model_wait_ns: int = 0,
    ) -> None:
        """`model_wait_ns`: how much longer than others a worker may take to be ready, since it waits for the model."""
        self.state = State.GATHERING
        self.notices: list[str] = []
        self._layout = layout
        self._phases = list(phases)
        self._operator = operator
        self._startup_limit_ns = STARTUP_LIMIT_NS
        self._model_wait_ns = model_wait_ns
        self._waiting_since_ns = started_ns
        self._alive = {seat.service_id: seat.service_type for seat in layout.services()}
        self._registered: set[str] = {ServiceType.SYSTEM_CONTROLLER}
        self._awaited: set[str] = set()
        self._dataset: DatasetReady | None = None
        self._current = -1
        self._finished: list[PhaseFinished] = []
        self._lost: list[ServiceLost] = []
        self._outcome = "completed"
        self._reason = ""
        self._exit_code = ExitCode.DONE
        self._slice_counts: dict[str, dict[str, int]] = {}
        self._observations: dict[str, dict[str, float]] = {}
        self._batch_counts: dict[str, int] = {}
        self._lost_slices = 0
        self._shards: dict[str, str] = {}

    def handle(self, message: AnyMessage, now_ns: int) -> list[Tell]:
        """What to send, now that `message` has come."""
        if self.state is State.OVER:
            return []
        match message:
            case Registered():
                return self._register(message.service_id, now_ns)
            case DatasetReady():
                self._dataset = message
                self.notices.extend(message.warnings)
                return self._configure_when_gathered(now_ns)
            case ServiceReady():
                self._awaited.discard(message.service_id)
                return self._run_when_ready(now_ns)
            case Notice():
                if message.lasting:
                    self.notices.append(message.text)
                return [Tell(self._operator, message)]
            case ServiceFailed():
                # A fault of what the user asked for, or of the endpoint, is the same whichever service found it.
                is_ours = message.exit_code not in (ExitCode.USAGE, ExitCode.BENCHMARK_FAILED)
                found_by = f"{message.service_id}: " if is_ours else ""
                return self._fail(ExitCode(message.exit_code), found_by + message.reason)
            case HostLost():
                return self._lose_host(message, now_ns)
            case ServiceLost():
                return self._lose(message, now_ns)
            case PhaseFinished():
                return self._after_phase(message, now_ns)
            case RecordsFlushed():
                self._slice_counts[message.worker] = message.slice_counts
                self._observations[message.worker] = message.observations | {"deferred_bytes": message.deferred_bytes}
                self._awaited.discard(message.worker)
                return self._process_when_flushed()
            case RecordsFinished():
                self._book_records(message)
                return self._export_when_processed()
            case ResultsExported():
                return self._end(message)
            case StopRun():
                return self._stop(message, now_ns)
            case Progress():
                return self._give_up_when_hopeless(message, now_ns)
            case _:
                return []

    def tick(self, now_ns: int) -> list[Tell]:
        """What time alone brings: the end of patience with services that do not start."""
        if (
            self.state in (State.GATHERING, State.PREPARING)
            and now_ns >= self._waiting_since_ns + self._startup_limit_ns
        ):
            missing = sorted(self._awaited or (self._alive.keys() - self._registered))
            if not missing:
                return []  # The dataset is being compiled, for as long as that takes; heartbeats tell that it goes on.
            seconds = self._startup_limit_ns // NS_PER_S
            return self._fail(ExitCode.INFRASTRUCTURE, f"not ready after {seconds} s: {', '.join(missing)}")
        return []

    # Start

    def _register(self, service_id: str, now_ns: int) -> list[Tell]:
        """One that registers later was started again: what it held is lost, and it has no part in this run."""
        if self.state is State.GATHERING:
            self._registered.add(service_id)
            return self._configure_when_gathered(now_ns)
        if service_id in self._alive:
            return self._lose(ServiceLost(service_id, "it was started again"), now_ns)
        return [Tell(service_id, Exit())]

    def _configure_when_gathered(self, now_ns: int) -> list[Tell]:
        if self.state is not State.GATHERING or self._dataset is None or self._alive.keys() - self._registered:
            return []
        self.state = State.PREPARING
        self._waiting_since_ns = now_ns
        self._startup_limit_ns += self._model_wait_ns
        configure = Configure(
            dataset_path=self._dataset.path,
            workers=self._ids(ServiceType.WORKER),
            record_processors=self._ids(ServiceType.RECORD_PROCESSOR),
            tokenizer_source=self._dataset.tokenizer_source,
        )
        told = self._ids(
            ServiceType.TIMING_MANAGER, ServiceType.RECORDS_MANAGER, ServiceType.RECORD_PROCESSOR, ServiceType.WORKER
        )
        self._awaited = set(told)
        return [Tell(service_id, configure) for service_id in told]

    def _run_when_ready(self, now_ns: int) -> list[Tell]:
        if self.state is not State.PREPARING or self._awaited:
            return []
        self.state = State.RUNNING
        return self._start_next_phase(now_ns)

    def _start_next_phase(self, now_ns: int) -> list[Tell]:
        self._current += 1
        phase = self._phases[self._current]
        start_ns = now_ns + START_LEAD_NS
        start = StartPhase(phase.phase, start_ns, phase.stop_ns(start_ns), phase.cut_ns(start_ns))
        told = self._ids(ServiceType.TIMING_MANAGER, ServiceType.RECORDS_MANAGER)
        return [Tell(service_id, start) for service_id in told]

    # End

    def _after_phase(self, finished: PhaseFinished, now_ns: int) -> list[Tell]:
        if self.state is not State.RUNNING:
            return []
        self._finished.append(finished)
        if self._outcome == "completed" and self._current + 1 < len(self._phases):
            return self._start_next_phase(now_ns)
        return self._flush()

    def _flush(self) -> list[Tell]:
        self.state = State.FLUSHING
        workers = self._ids(ServiceType.WORKER)
        self._awaited = set(workers)
        if not workers:
            return self._process_when_flushed()
        return [Tell(worker, FlushRecords()) for worker in workers]

    def _process_when_flushed(self) -> list[Tell]:
        if self.state is not State.FLUSHING or self._awaited:
            return []
        self.state = State.PROCESSING
        processors = self._ids(ServiceType.RECORD_PROCESSOR)
        self._awaited = set(processors)
        if not processors:
            return self._export_when_processed()
        indices = {worker.service_id: index for index, worker in enumerate(self._layout.services(ServiceType.WORKER))}
        return [
            Tell(
                processor,
                FinishRecords(
                    {indices[worker]: counts.get(processor, 0) for worker, counts in self._slice_counts.items()}
                ),
            )
            for processor in processors
        ]

    def _book_records(self, finished: RecordsFinished) -> None:
        self._batch_counts[finished.service_id] = finished.batch_count
        self._lost_slices += finished.lost_slice_count
        if finished.lost_record_count:
            self.notices.append(f"{finished.service_id} has no record of {finished.lost_record_count} requests")
        if finished.shard_path:
            self._shards[finished.service_id] = finished.shard_path
        self._awaited.discard(finished.service_id)

    def _export_when_processed(self) -> list[Tell]:
        if self.state is not State.PROCESSING or self._awaited:
            return []
        self.state = State.EXPORTING
        export = ExportResults(
            batch_counts=self._batch_counts,
            shard_paths=self._shards,
            phases=self._finished,
            outcome=self._outcome,
            reason=self._reason,
            lost_services=self._lost,
            worker_observations=self._observations,
            lost_slice_count=self._lost_slices,
            tokenizer=self._dataset.tokenizer_name if self._dataset else "",
            warnings=self.notices,
        )
        return [Tell(ServiceType.RECORDS_MANAGER, export)]

    def _end(self, exported: ResultsExported) -> list[Tell]:
        code, reason = self._exit_code, self._reason
        if exported.completed_count == 0 and code is not ExitCode.INTERRUPTED:
            code = ExitCode.BENCHMARK_FAILED
            because = f": {exported.first_error}" if exported.first_error else ""
            reason = f"no request succeeded{because}" + (f" ({reason})" if reason else "")
        return self._over(code, reason, exported.artifact_dir, exported.summary_path)

    def _over(self, code: ExitCode, reason: str, artifact_dir: str = "", summary_path: str = "") -> list[Tell]:
        self.state = State.OVER
        finished = RunFinished(int(code), self._outcome, reason, artifact_dir, summary_path)
        others = [name for name in self._alive if name != ServiceType.SYSTEM_CONTROLLER]
        return [Tell(self._operator, finished), *(Tell(name, Exit()) for name in others)]

    # Trouble

    def _fail(self, code: ExitCode, reason: str) -> list[Tell]:
        """Ends the run at once, with nothing to report."""
        self._outcome = "aborted"
        return self._over(code, reason)

    def _stop(self, stop: StopRun, now_ns: int) -> list[Tell]:
        if self.state in (State.GATHERING, State.PREPARING):
            self._outcome = "interrupted"
            return self._over(ExitCode.INTERRUPTED, stop.reason)
        if self.state is not State.RUNNING:
            return []  # The load is over: what remains is to report it whole.
        if self._outcome == "completed":
            self._outcome, self._reason, self._exit_code = "interrupted", stop.reason, ExitCode.INTERRUPTED
        grace_ns = 0 if stop.now else self._phases[self._current].grace_ns
        return [Tell(ServiceType.TIMING_MANAGER, StopPhase(now_ns + grace_ns, stop.reason))]

    def _abort(self, reason: str, now_ns: int) -> list[Tell]:
        """Ends the load now and reports what there is."""
        self._outcome, self._reason, self._exit_code = "aborted", reason, ExitCode.BENCHMARK_FAILED
        if self.state is not State.RUNNING:
            return []
        return [Tell(ServiceType.TIMING_MANAGER, StopPhase(now_ns, reason))]

    def _give_up_when_hopeless(self, progress: Progress, now_ns: int) -> list[Tell]:
        if self._outcome != "completed" or progress.completed_count or progress.failed_count < HOPELESS_FAILURES:
            return []
        if not all(kind in HOPELESS_KINDS or kind in HOPELESS_STATUSES for kind in progress.errors):
            return []
        return self._abort(f"given up after {progress.failed_count} failures that time does not mend", now_ns)

    def _lose_host(self, lost: HostLost, now_ns: int) -> list[Tell]:
        seats = [seat for host in self._layout.hosts if host.host_id == lost.host_id for seat in host.services]
        return [tell for seat in seats for tell in self._lose(ServiceLost(seat.service_id, lost.reason), now_ns)]

    def _lose(self, lost: ServiceLost, now_ns: int) -> list[Tell]:
        kind = self._alive.pop(lost.service_id, None)
        if kind is None or self.state is State.OVER:  # over by the loss of another service of the same host
            return []
        self._awaited.discard(lost.service_id)
        self._lost.append(lost)
        self.notices.append(f"{lost.service_id} was lost: {lost.reason}")
        if kind in SINGLETONS:
            return self._fail(ExitCode.BENCHMARK_FAILED, f"{lost.service_id} was lost: {lost.reason}")
        if self.state in (State.GATHERING, State.PREPARING):
            return self._fail(ExitCode.INFRASTRUCTURE, f"{lost.service_id} was lost while starting: {lost.reason}")
        tells = [
            Tell(service_id, lost)
            for service_id in self._ids(
                ServiceType.TIMING_MANAGER,
                ServiceType.RECORDS_MANAGER,
                ServiceType.RECORD_PROCESSOR,
                ServiceType.WORKER,
            )
        ]
        # Should it only have been silent: it has no part in the run any more.
        tells.append(Tell(lost.service_id, Exit()))
        if not self._ids(kind):
            tells += self._abort(f"the last {kind.value} was lost: {lost.reason}", now_ns)
        return tells + self._process_when_flushed() + self._export_when_processed()

    def _ids(self, *types: ServiceType) -> list[str]:
        """The services of these types that are alive, in the layout's order, the types in the order given."""
        return [service_id for kind in types for service_id, alive in self._alive.items() if alive is kind]
