"""The life of a run as a pure state machine: messages in, messages out.

Owns: every decision about what happens next: who must be there, when phases start, what a loss or a Ctrl-C means, with
which outcome and exit code the run ends. Does not own: sockets, clocks, when credits go out (`aiperf.schedule`).

Theory of operation. The states follow one another and never go back:

    GATHERING    services register, the dataset is compiled
    PREPARING    everybody was told where everything is; waiting for all, or enough, to say ready: the barrier
    RUNNING      phases, one after another, each ended by the timing manager's account; who comes now comes late.
                 Those of a calibration come first, and what each has shown is fetched home before the next one
    FLUSHING     workers hand over their last slices
    PROCESSING   record processors finish what they have
    EXPORTING    the records manager writes
    OVER

A loss may come at any time. It removes a service from what is waited for; only the loss of a service that there is
once, or of the last of its kind, ends the run, and then with a stated reason. Where somebody starts lost workers again
(`Layout.replaces_workers`), a loss before the load costs nothing but time. During the load a replacement is someone
new: an incarnation with a name and an index of its own, which never gets what the lost one had.
"""

from collections.abc import Sequence
from enum import Enum, auto

import msgspec

from aiperf.errors import ExitCode
from aiperf.schedule.phases import PhasePlan
from aiperf.service.cadence import cadence_of
from aiperf.service.calibration_rounds import CalibrationOrder, CalibrationRounds
from aiperf.service.closing import Closing
from aiperf.service.heartbeats import HeartbeatWatch
from aiperf.service.hopelessness import is_hopeless
from aiperf.service.layout import SINGLETONS, Layout, ServiceType, seat_of
from aiperf.service.losses import Losses, in_words
from aiperf.service.muster import TOLD_KINDS, Muster
from aiperf.service.patience import Patience
from aiperf.service.phase_sequence import MeasuringAnswer, PhaseSequence
from aiperf.service.roster import Roster, Standing
from aiperf.service.run_end import RunEnd
from aiperf.service.tell import Tell
from aiperf.units import NS_PER_S
from aiperf.wire.messages import (
    AbortRun,
    AnyMessage,
    DatasetReady,
    Exit,
    Heartbeat,
    HostLost,
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
    StepMeasured,
    StopPhase,
    StopRun,
)


class State(Enum):
    GATHERING = auto()
    PREPARING = auto()
    RUNNING = auto()
    FLUSHING = auto()
    PROCESSING = auto()
    EXPORTING = auto()
    OVER = auto()


class RunLifecycle:
    """One run. `handle` takes what happened and returns what is to be sent; `state` is for the reader.

    Call `tick` about once a second.
    """

    def __init__(
        self,
        layout: Layout,
        phases: Sequence[PhasePlan],
        *,
        operator: str,
        started_ns: int,
        model_wait_ns: int = 0,
        min_workers: int | None = None,
        calibration: CalibrationOrder | None = None,
        require_valid: bool = False,
    ) -> None:
        """`model_wait_ns`: how much longer than others a worker may take to be ready, since it waits for the model.

        `min_workers`: so many ready ones are enough to begin with; None: all of the layout. `require_valid`: a run
        whose verdict is `invalid` has not done what it should.
        """
        self.state = State.GATHERING
        self.notices: list[str] = []
        self._layout = layout
        self._operator = operator
        self._model_wait_ns = model_wait_ns
        self._roster = Roster(layout)
        rounds = CalibrationRounds(self._roster, calibration, operator) if calibration is not None else None
        self._sequence = PhaseSequence(phases, rounds)
        self._roster.move(ServiceType.SYSTEM_CONTROLLER, Standing.READY)
        enough = min_workers or len(self._roster.workers)
        self._muster = Muster(self._roster, enough, probes_model=model_wait_ns > 0)
        self._patience = Patience(layout.startup_limit_s * NS_PER_S, started_ns)
        self._watch = HeartbeatWatch(cadence_of(layout).silence_limit_s)
        """Over the worker manager, which watches all others."""
        self._closing = Closing(self._roster)
        self._dataset: DatasetReady | None = None
        self._losses = Losses(self._roster, layout.startup_limit_s)
        self._run_end = RunEnd(require_valid=require_valid)

    def handle(self, message: AnyMessage, now_ns: int) -> list[Tell]:
        """What to send, now that `message` has come."""
        if self.state is State.OVER:
            return []
        match message:
            case Registered():
                self._muster.book_place(message.service_id, message.host, message.node)
                return self._register(message.service_id, now_ns)
            case DatasetReady():
                self._dataset = message
                self.notices.extend(message.warnings)
                return self._go_on(now_ns)
            case ServiceReady():
                return self._take_ready(message.service_id, now_ns)
            case Heartbeat():
                self._watch.heard(message.service_id, now_ns)
                return []
            case Notice():
                if message.lasting:
                    self.notices.append(message.text)
                return [Tell(self._operator, message)]
            case ServiceFailed():
                # A fault of what the user asked for, or of the endpoint, is the same whichever service found it.
                is_ours = message.exit_code not in (ExitCode.USAGE, ExitCode.BENCHMARK_FAILED)
                found_by = f"{message.service_id}: " if is_ours else ""
                return self._fail(ExitCode(message.exit_code), found_by + message.reason)
            case AbortRun():
                return self._abort(message.reason, now_ns, ExitCode(message.exit_code))
            case HostLost():
                return self._lose_host(message, now_ns)
            case ServiceLost():
                return self._lose(message, now_ns)
            case PhaseFinished():
                return self._after_phase(message, now_ns)
            case StepMeasured() | RecordsFlushed(is_last=False) | RecordsFinished(is_last=False):
                return self._hear_of_step(message, now_ns)
            case RecordsFlushed():
                self._closing.book_flushed(message)
                return self._hear_of_step(message, now_ns) or self._process_when_flushed()
            case RecordsFinished():
                self._closing.book_finished(message)
                if message.lost_record_count:
                    text = f"{message.service_id} has no record of {message.lost_record_count} requests"
                    self.notices.append(text)
                return self._hear_of_step(message, now_ns) or self._export_when_processed()
            case ResultsExported():
                return self._over(self._run_end.with_results(message))
            case StopRun():
                return self._stop(message, now_ns)
            case Progress():
                return self._give_up_when_hopeless(message, now_ns)
            case _:
                return []

    def tick(self, now_ns: int) -> list[Tell]:
        """What time alone brings: silence of the worker manager, the end of patience with who does not come."""
        tells: list[Tell] = []
        for service_id in self._watch.take_silent(now_ns):
            tells += self._lose(ServiceLost(service_id, self._watch.reason), now_ns)
        if self._is_starting:
            tells += self._go_on(now_ns) or self._lose_patience(now_ns)
        return tells + self._wait_for_replacement(now_ns)

    @property
    def is_refused(self) -> bool:
        """The run is over, and its verdict is not what was required."""
        return self.state is State.OVER and self._run_end.is_refused

    def leave(self, reason: str, now_ns: int) -> list[Tell]:
        """The controller itself has to leave, and cannot be replaced: of a load that has begun, what there is is
        reported; what is being reported is."""
        text = f"{ServiceType.SYSTEM_CONTROLLER} was lost: {reason}"
        return self._break_off(text, now_ns) if self._is_starting or self.state is State.RUNNING else []

    # Start

    def _register(self, service_id: str, now_ns: int) -> list[Tell]:
        """One that was there before was started again under its old name. Once the load runs, what it held is lost."""
        roster, starting = self._roster, self._is_starting
        tells: list[Tell] = []
        if (starting or self.state is State.RUNNING) and roster.admit(service_id):
            tells = self._muster.tell_of_new(service_id)
        standing = roster.standing(service_id)
        replaceable = standing is not None and roster.kind(service_id) not in SINGLETONS
        is_new = standing is Standing.EXPECTED and (starting or self.state is State.RUNNING)
        if is_new or (starting and (replaceable or standing is Standing.REGISTERED)):
            roster.move(service_id, Standing.REGISTERED)
            self._losses.forget(service_id)
            return tells + self._go_on(now_ns)
        if standing in (Standing.CONFIGURED, Standing.READY):
            return self._lose(ServiceLost(service_id, "it was started again"), now_ns)
        has_no_part = starting or self.state is State.RUNNING
        return [Tell(service_id, Exit("it has no part in the run (any more)" if has_no_part else ""))]

    def _take_ready(self, service_id: str, now_ns: int) -> list[Tell]:
        if self._roster.standing(service_id) is not Standing.CONFIGURED:
            return []
        self._roster.move(service_id, Standing.READY)
        if self.state is State.RUNNING and self._roster.kind(service_id) is ServiceType.WORKER:
            self.notices.append(self._muster.join_late(service_id))
        return self._go_on(now_ns)

    def _go_on(self, now_ns: int) -> list[Tell]:
        """Takes the next step of the start if its time has come, and sees to services that came late."""
        tells: list[Tell] = []
        muster, dataset = self._muster, self._dataset
        if self.state is State.GATHERING and dataset is not None and muster.are_enough(Standing.REGISTERED):
            self.state = State.PREPARING
            self._patience.renew(self._patience.limit_ns + self._model_wait_ns, now_ns)
        if self.state in (State.PREPARING, State.RUNNING) and dataset is not None:
            tells += muster.configure(dataset)
        if self.state is State.PREPARING and muster.is_barrier_open(now_ns):
            tells += self._begin(now_ns)
        return tells

    def _begin(self, now_ns: int) -> list[Tell]:
        self.state = State.RUNNING
        if text := self._muster.begin():
            self.notices.append(text)
        return self._start_next_phase(now_ns)

    def _lose_patience(self, now_ns: int) -> list[Tell]:
        missing = self._muster.missing(self._step)
        if not missing:
            return []  # The dataset is being compiled, for as long as that takes; heartbeats tell that it goes on.
        if self._patience.is_over(now_ns):
            seconds = self._patience.limit_ns // NS_PER_S
            return self._fail(ExitCode.INFRASTRUCTURE, f"not ready after {seconds} s: {missing}")
        if missing == self._muster.prober:
            return []  # It says itself what it waits for.
        text = self._patience.word(f"still waiting for {missing}", now_ns)
        return [Tell(self._operator, Notice(text))] if text else []

    @property
    def _step(self) -> Standing:
        """How far services must have come for the start to go on."""
        return Standing.REGISTERED if self.state is State.GATHERING else Standing.READY

    def _start_next_phase(self, now_ns: int) -> list[Tell]:
        """Or the end of the load, if none comes, or none shall come any more."""
        phase, tells = self._sequence.advance() if self._run_end.is_as_planned else (None, [])
        if phase is None:
            return tells + self._flush()
        start_ns = now_ns + self._layout.start_lead_ns
        start = StartPhase(phase, start_ns, phase.stop_ns(start_ns), phase.cut_ns(start_ns))
        told = self._roster.ids(ServiceType.TIMING_MANAGER, ServiceType.RECORDS_MANAGER)
        return tells + [Tell(service_id, start) for service_id in told]

    # End

    def _after_phase(self, finished: PhaseFinished, now_ns: int) -> list[Tell]:
        if self.state is not State.RUNNING:
            return []
        asked = self._sequence.finish(finished, completed=self._run_end.is_as_planned)
        return self._after_measuring(asked, now_ns)

    def _hear_of_step(self, message: MeasuringAnswer, now_ns: int) -> list[Tell]:
        """An answer between two steps of a calibration, or what is worth as much: the last account of who leaves then.
        Of a calibration that was given up it comes too late, and is no part of the load's account."""
        return self._after_measuring(self._sequence.hear(message), now_ns) if self._sequence.is_measuring else []

    def _after_measuring(self, tells: list[Tell], now_ns: int) -> list[Tell]:
        """The next phase comes when it is known what the last one, a step of a calibration, has shown."""
        return tells if self._sequence.is_measuring else tells + self._start_next_phase(now_ns)

    def _flush(self) -> list[Tell]:
        self.state = State.FLUSHING
        return self._closing.ask_workers() + self._process_when_flushed()

    def _process_when_flushed(self) -> list[Tell]:
        if self.state is not State.FLUSHING or self._closing.awaited:
            return []
        self.state = State.PROCESSING
        return self._closing.ask_processors() + self._export_when_processed()

    def _export_when_processed(self) -> list[Tell]:
        if self.state is not State.PROCESSING or self._closing.awaited:
            return []
        self.state = State.EXPORTING
        end = self._run_end
        export = msgspec.structs.replace(
            self._muster.sign(self._closing.export(self._sequence.finished, end.outcome, end.reason)),
            calibration=self._sequence.calibration(),
            lost_services=self._losses.services,
            tokenizer=self._dataset.tokenizer_name if self._dataset else "",
            warnings=self.notices,
        )
        return [Tell(ServiceType.RECORDS_MANAGER, export)]

    def _over(self, finished: RunFinished) -> list[Tell]:
        # Who never came is told, too, if it may still come; after the load it is not waited for.
        told = Standing.EXPECTED if self._is_starting else Standing.REGISTERED
        self.state = State.OVER
        others = [name for name in self._roster.ids(at_least=told) if name != ServiceType.SYSTEM_CONTROLLER]
        return [Tell(self._operator, finished), *(Tell(name, Exit()) for name in others)]

    # Trouble

    def _fail(self, code: ExitCode, reason: str) -> list[Tell]:
        """Ends the run at once, with nothing to report."""
        self._run_end.abort(reason, code)
        return self._over(self._run_end.without_results())

    def _stop(self, stop: StopRun, now_ns: int) -> list[Tell]:
        if self._is_starting:
            self._run_end.interrupt(stop.reason)
            return self._over(self._run_end.without_results())
        if self.state is not State.RUNNING:
            return []  # The load is over: what remains is to report it whole.
        self._run_end.interrupt(stop.reason)
        phase = self._sequence.current
        grace_ns = 0 if stop.now or phase is None else phase.grace_ns
        return [Tell(ServiceType.TIMING_MANAGER, StopPhase(now_ns + grace_ns, stop.reason))]

    def _abort(self, reason: str, now_ns: int, code: ExitCode = ExitCode.BENCHMARK_FAILED) -> list[Tell]:
        """Ends the load now and reports what there is."""
        self._run_end.abort(reason, code)
        if self.state is not State.RUNNING:
            return []
        return [Tell(ServiceType.TIMING_MANAGER, StopPhase(now_ns, reason))]

    def _break_off(self, reason: str, now_ns: int, code: ExitCode = ExitCode.BENCHMARK_FAILED) -> list[Tell]:
        """Ends the run, with what there is."""
        return self._fail(code, reason) if self._is_starting else self._abort(reason, now_ns, code)

    @property
    def _is_starting(self) -> bool:
        return self.state in (State.GATHERING, State.PREPARING)

    def _give_up_when_hopeless(self, progress: Progress, now_ns: int) -> list[Tell]:
        # The last look comes when the load is over: then there is nothing to give up.
        if self.state is not State.RUNNING or not self._run_end.is_as_planned or not is_hopeless(progress):
            return []
        return self._abort(f"given up after {progress.failed_count} failures that time does not mend", now_ns)

    def _lose_host(self, lost: HostLost, now_ns: int) -> list[Tell]:
        """Of a host that was started again the id has the incarnation's number, as its services' ids have."""
        host_id, incarnation = seat_of(lost.host_id)
        seats = self._layout.host(host_id).incarnation(incarnation).services
        tells = [tell for seat in seats for tell in self._lose(ServiceLost(seat.service_id, lost.reason), now_ns)]
        if not self._is_starting:
            return tells
        if self._losses.befell_before(host_id, lost) and not self._muster.can_be_enough():
            # A third one would fare no better, and comes after a pause that doubles each time.
            return self._fail(ExitCode.INFRASTRUCTURE, f"{host_id} was lost twice while starting: {lost.reason}")
        return tells

    def _lose(self, lost: ServiceLost, now_ns: int) -> list[Tell]:
        roster, service_id = self._roster, lost.service_id
        if self.state is State.OVER or not roster.standing(service_id):  # unknown, or known to be lost
            return []  # Over: by the loss of another service of the same host.
        kind = roster.kind(service_id)
        roster.move(service_id, Standing.LOST)
        self._closing.forget(service_id)
        # Should it only have been silent: it has no part in the run any more.
        leave = Tell(service_id, Exit(lost.reason))
        if kind is ServiceType.CALIBRATION_SERVER:
            return [*self._lose_calibration_server(lost, now_ns), leave]
        if kind in SINGLETONS:
            return [*self._fail(ExitCode.BENCHMARK_FAILED, in_words(lost, ())), leave]
        if self._is_starting:
            return [*self._lose_while_starting(lost, kind, now_ns), leave]
        stranded = self._roster.stranded_by(service_id) if self.state is State.RUNNING else []
        if self._losses.is_news(service_id):
            self.notices.append(in_words(lost, stranded))
        if service_id not in self._muster.told(kind):
            return [leave]
        self._losses.services.append(lost)
        tells = [*self._tell_of_loss(lost), leave, *self._dismiss(stranded, service_id)]
        if not roster.ids(kind):
            tells += self._be_bereft(f"the last {kind.value} was lost: {lost.reason}", now_ns)
        if told := self._sequence.forget(service_id):
            tells += self._after_measuring(told, now_ns)
        return tells + self._process_when_flushed() + self._export_when_processed()

    def _lose_calibration_server(self, lost: ServiceLost, now_ns: int) -> list[Tell]:
        """What was asked for besides goes on without a calibration; if nothing was, the run ends."""
        if not (self._is_starting or self._sequence.is_calibrating):
            return []
        text = f"the calibration was given up: {in_words(lost, ())}"
        is_between_steps = self._sequence.is_measuring
        self._sequence.give_up_calibration(text)
        self.notices.append(text)
        tells = [Tell(self._operator, Notice(text))]
        if not self._sequence.has_load:
            tells += self._break_off(text, now_ns, ExitCode.INFRASTRUCTURE)
        elif self._is_starting:
            tells += self._go_on(now_ns)
        elif not is_between_steps:
            tells.append(Tell(ServiceType.TIMING_MANAGER, StopPhase(now_ns, text)))
        return tells + (self._start_next_phase(now_ns) if is_between_steps else [])

    def _lose_while_starting(self, lost: ServiceLost, kind: ServiceType, now_ns: int) -> list[Tell]:
        """Nothing is lost with it yet. The start goes on if a replacement may come, or enough workers remain."""
        stranded = self._roster.stranded_by(lost.service_id)
        text = in_words(lost, stranded, starting=True)
        spared = kind is ServiceType.WORKER and self._muster.can_be_enough()
        if not spared and not self._layout.replaces_workers:
            return self._fail(ExitCode.INFRASTRUCTURE, text)
        news = [Tell(self._operator, Notice(text))] if self._losses.is_news(lost.service_id) else []
        dismissals = self._dismiss(stranded, lost.service_id)
        return [*news, *self._tell_of_loss(lost), *dismissals, *self._go_on(now_ns)]

    def _tell_of_loss(self, lost: ServiceLost) -> list[Tell]:
        told = self._roster.ids(*TOLD_KINDS, at_least=Standing.CONFIGURED)
        return [Tell(service_id, lost) for service_id in told]

    def _dismiss(self, stranded: Sequence[str], processor: str) -> list[Tell]:
        """Workers that reach only the record processor of their own machine hand back their credits, and say farewell
        themselves. Where lost ones are started again both are, together."""
        return [Tell(worker, Exit(f"{processor} beside it was lost")) for worker in stranded]

    def _be_bereft(self, reason: str, now_ns: int) -> list[Tell]:
        """The last of a kind was lost: the load waits for a replacement, or ends."""
        if self.state is not State.RUNNING or not self._run_end.is_as_planned or not self._layout.replaces_workers:
            return self._abort(reason, now_ns)
        if text := self._losses.begin_to_wait(reason, now_ns):
            self.notices.append(text)
        return []

    def _wait_for_replacement(self, now_ns: int) -> list[Tell]:
        is_one_ready = self._roster.usable_count(Standing.READY) > 0
        reason = self._losses.waited_in_vain(is_one_ready=is_one_ready, now_ns=now_ns)
        return self._abort(reason, now_ns) if reason and self.state is State.RUNNING else []
