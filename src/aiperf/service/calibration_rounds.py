"""A calibration within a run: after each step its records are fetched home and judged, before the next one is chosen.

Owns: who is asked for what between two steps, and what the calibration has found so far. Does not own: the search
(`aiperf.schedule.calibration`), the judgement (`aiperf.metrics.own_error`, in the records manager), running a phase.
Pure: what it returns is to be sent.

Between two steps: workers hand over their slices, record processors what came of them, and the records manager says
what they show. Who is lost meanwhile is not waited for.
"""

from dataclasses import dataclass

from aiperf.metrics.calibration import Calibration, CalibrationStep
from aiperf.schedule.calibration import CalibrationCourse, CalibrationShape, StepOutcome, load_in_words
from aiperf.schedule.phases import PhasePlan
from aiperf.service.closing import Closing
from aiperf.service.layout import ServiceType
from aiperf.service.roster import Roster, Standing
from aiperf.service.tell import Tell
from aiperf.units import NS_PER_MS, NS_PER_S
from aiperf.wire.messages import MeasureStep, Notice, PhaseFinished, RecordsFinished, RecordsFlushed, StepMeasured


@dataclass(frozen=True, slots=True)
class CalibrationOrder:
    """What is asked for."""

    own_load: PhasePlan
    shape: CalibrationShape
    notes: tuple[str, ...] = ()
    """What limits the meaning of all of it."""


class CalibrationRounds:
    """`operator`: hears what each step has shown."""

    def __init__(self, roster: Roster, order: CalibrationOrder, operator: str) -> None:
        self._roster = roster
        self._course = CalibrationCourse(order.own_load, order.shape)
        self._shape = order.shape
        self._operator = operator
        self._own_load = load_in_words(order.own_load)
        self._notes = list(order.notes)
        self._steps: list[CalibrationStep] = []
        self._phase: PhasePlan | None = None
        self._closing: Closing | None = None
        """Of the step that is over and not judged yet."""
        self._finished: PhaseFinished | None = None
        self._given_up = ""

    @property
    def is_measuring(self) -> bool:
        """A step is over, and what it has shown is not known yet."""
        return self._closing is not None

    def next_step(self) -> PhasePlan | None:
        """The phase to run now; None when the calibration is over."""
        self._phase = None if self._given_up else self._course.next_step()
        return self._phase

    def announcement(self) -> list[Tell]:
        """Told before the first step."""
        if self._steps or self._phase is None:
            return []
        shape = self._shape
        server = f"TTFT {shape.ttft_ns / NS_PER_MS:g} ms, ITL {shape.itl_ns / NS_PER_MS:g} ms"
        text = f"calibration against the built-in server ({server}): {shape.total_s_max} s at most, often half of it"
        return [Tell(self._operator, Notice(text))]

    def finish_step(self, finished: PhaseFinished) -> list[Tell]:
        """The step's requests are over: workers are asked for what they have of it."""
        if self._given_up:
            return []
        self._closing, self._finished = Closing(self._roster), finished
        return [*self._closing.ask_workers(is_last=False), *self._ask_processors_when_flushed()]

    def hear(self, message: RecordsFlushed | RecordsFinished | StepMeasured) -> list[Tell]:
        """An answer to what was asked. One that comes after the calibration was given up says nothing any more."""
        closing = self._closing
        if closing is None:
            return []
        match message:
            case RecordsFlushed() if message.worker in closing.awaited:
                closing.book_flushed(message)
                return self._ask_processors_when_flushed()
            case RecordsFinished() if message.service_id in closing.awaited:
                closing.book_finished(message)
                return self._measure_when_handed_over()
            case StepMeasured():
                return self._book(message.step)
            case _:
                return []

    def forget(self, service_id: str) -> list[Tell]:
        """It is lost."""
        closing = self._closing
        if closing is None or service_id not in closing.awaited:
            return []
        awaits_workers = self._roster.kind(service_id) is ServiceType.WORKER
        closing.forget(service_id)
        return self._ask_processors_when_flushed() if awaits_workers else self._measure_when_handed_over()

    def give_up(self, reason: str) -> None:
        """The calibration goes no further; what it has found stands."""
        self._given_up = reason
        self._closing = None

    def dismiss_servers(self) -> list[str]:
        """The built-in servers, which are not needed any more. They may go at any time from now on."""
        servers = self._roster.ids(ServiceType.CALIBRATION_SERVER)
        for server in servers:
            self._roster.move(server, Standing.LOST)
        return servers

    def result(self) -> Calibration:
        """What has been found so far."""
        shape, course = self._shape, self._course
        largest = next((step for step in self._steps if _load_of(step) == course.largest), None)
        return Calibration(
            ttft_ms=shape.ttft_ns / NS_PER_MS,
            itl_ms=shape.itl_ns / NS_PER_MS,
            tokens_max=shape.tokens_max,
            duration_s=shape.duration_ns / NS_PER_S,
            own_load=self._own_load,
            steps=list(self._steps),
            largest_truthful_load=largest.load if largest else None,
            largest_truthful_step=largest.step if largest else None,
            why_not_more=self._why_not_more(),
            notes=self._notes,
        )

    def _why_not_more(self) -> str:
        limit = next((step for step in self._steps if _load_of(step) == self._course.limit), None)
        if limit is not None:
            return f"at {limit.load}: {'; '.join(limit.reasons)}"
        if self._given_up:
            return self._given_up
        return "a larger load was not tried" if self._steps else "no step came to its end"

    def _ask_processors_when_flushed(self) -> list[Tell]:
        if self._closing is None or self._closing.awaited:
            return []
        return [*self._closing.ask_processors(is_last=False), *self._measure_when_handed_over()]

    def _measure_when_handed_over(self) -> list[Tell]:
        if self._closing is None or self._closing.awaited:
            return []
        assert self._phase is not None
        assert self._finished is not None
        counts = self._closing.batch_counts
        return [Tell(ServiceType.RECORDS_MANAGER, MeasureStep(self._phase, self._finished, counts))]

    def _book(self, step: CalibrationStep) -> list[Tell]:
        self._steps.append(step)
        self._closing = None
        self._course.book(StepOutcome(step.outcome))
        return [Tell(self._operator, Notice(f"calibration, {step_in_words(step)}"))]


def step_in_words(step: CalibrationStep) -> str:
    """One line for people."""
    if not step.reasons:
        return f"{step.load}: truthful"
    return f"{step.load}: {step.outcome}: {'; '.join(step.reasons)}"


def _load_of(step: CalibrationStep) -> float:
    """As the course counts it."""
    return float(step.request_rate if step.request_rate is not None else step.concurrency or 0)
