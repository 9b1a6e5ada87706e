"""The phases of a run in their order: the steps of a calibration as it chooses them, then those of the plan.

Owns: which phase runs, which comes next, the accounts of those that are over. Does not own: when a phase starts or is
stopped, and what that means for the run (`run_lifecycle`). Pure: what it returns is to be sent.
"""

from collections.abc import Sequence

from aiperf.metrics.calibration import Calibration
from aiperf.schedule.phases import PhaseKind, PhasePlan
from aiperf.service.calibration_rounds import CalibrationRounds
from aiperf.service.tell import Tell
from aiperf.wire.messages import Exit, PhaseFinished, RecordsFinished, RecordsFlushed, StepMeasured

MeasuringAnswer = RecordsFlushed | RecordsFinished | StepMeasured


class PhaseSequence:
    """`calibration`: None if there is none. `phases` may be empty: then there is nothing but the calibration."""

    def __init__(self, phases: Sequence[PhasePlan], calibration: CalibrationRounds | None = None) -> None:
        self._left = list(phases)
        self.has_load = bool(phases)
        """Whether there is anything but a calibration."""
        self._calibration = calibration
        self.current: PhasePlan | None = None
        """The one that runs, or ran last."""
        self.finished: list[PhaseFinished] = []
        """Accounts of the plan's own phases."""

    @property
    def is_calibrating(self) -> bool:
        """A step of the calibration runs, or is being judged."""
        return self.current is not None and self.current.kind is PhaseKind.CALIBRATION

    @property
    def is_measuring(self) -> bool:
        """A step is over, and the next phase waits for what it has shown."""
        return self._calibration is not None and self._calibration.is_measuring

    def advance(self) -> tuple[PhasePlan | None, list[Tell]]:
        """The phase that comes now, None if none does; and what is to be said before it."""
        calibration = self._calibration
        if calibration is not None and (step := calibration.next_step()) is not None:
            self.current = step
            return step, calibration.announcement()
        self.current = self._left.pop(0) if self._left else None
        return self.current, self.dismiss_servers()

    def dismiss_servers(self) -> list[Tell]:
        """The built-in servers leave when they are not needed any more: the CPUs are the load's."""
        servers = self._calibration.dismiss_servers() if self._calibration is not None else []
        return [Tell(server, Exit()) for server in servers]

    def finish(self, finished: PhaseFinished, *, completed: bool) -> list[Tell]:
        """The running phase is over; not `completed`: it was cut short, and so is the whole sequence."""
        if self._calibration is None or not self.is_calibrating:
            self.finished.append(finished)
            return []
        return self._calibration.finish_step(finished) if completed else []

    def hear(self, message: MeasuringAnswer) -> list[Tell]:
        """An answer that `is_measuring` waits for."""
        return self._calibration.hear(message) if self._calibration is not None else []

    def forget(self, service_id: str) -> list[Tell]:
        """It is lost."""
        return self._calibration.forget(service_id) if self._calibration is not None else []

    def give_up_calibration(self, reason: str) -> None:
        if self._calibration is not None:
            self._calibration.give_up(reason)

    def calibration(self) -> Calibration | None:
        """What the calibration has found; None if there was none."""
        return self._calibration.result() if self._calibration is not None else None
