"""The lifecycle with a calibration: between two steps everything is fetched home, whoever is lost meanwhile."""

from pathlib import Path

import pytest

from aiperf.deploy.layouts import local_layout
from aiperf.errors import ExitCode
from aiperf.metrics.calibration import CalibrationStep
from aiperf.plan.plan import EndpointPlan, LoadPlan, Plan
from aiperf.schedule.calibration import CalibrationShape, StepOutcome
from aiperf.schedule.phases import PhaseKind, PhasePlan, phases
from aiperf.service.calibration_rounds import CalibrationOrder
from aiperf.service.layout import ServiceType
from aiperf.service.run_lifecycle import RunLifecycle, State
from aiperf.service.tell import Tell
from aiperf.units import NS_PER_MS, NS_PER_S
from aiperf.wire.messages import (
    AnyMessage,
    DatasetReady,
    Exit,
    ExportResults,
    FinishRecords,
    FlushRecords,
    MeasureStep,
    Notice,
    PhaseFinished,
    Progress,
    RecordsFinished,
    RecordsFlushed,
    Registered,
    ResultsExported,
    RunFinished,
    ServiceLost,
    ServiceReady,
    StartPhase,
    StepMeasured,
    StopPhase,
    StopRun,
)

SERVER = "calibration-server-0"
SHAPE = CalibrationShape(200 * NS_PER_MS, 20 * NS_PER_MS, 5 * NS_PER_S)


class Run:
    """A lifecycle whose plan is a calibration and a load, or the former alone."""

    def __init__(self, *, alone: bool = False) -> None:
        plan = Plan(endpoint=EndpointPlan(models=("m",)), load=LoadPlan(concurrency=4))
        self.layout = local_layout(
            run_id="r", workers=2, processors=2, artifact_dir=Path("/a"), work_dir=Path("/w"), seed=1,
            calibration_urls=["http://127.0.0.1:1"],
        )  # fmt: skip
        schedule = phases(plan, 1)
        self.lifecycle = RunLifecycle(
            self.layout,
            () if alone else schedule,
            operator="operator",
            started_ns=0,
            calibration=CalibrationOrder(schedule[-1], SHAPE),
        )

    def __call__(self, message: AnyMessage) -> list[Tell]:
        return self.lifecycle.handle(message, 0)

    def register(self, *absent: str) -> list[Tell]:
        told: list[Tell] = []
        for seat in self.layout.services():
            if seat.service_type is not ServiceType.SYSTEM_CONTROLLER and seat.service_id not in absent:
                told += self(Registered(seat.service_id))
        return told

    def get_ready(self, *absent: str) -> list[Tell]:
        told = self.register(*absent) + self(DatasetReady("store", 10, "builtin", "builtin"))
        processors = ("record-processor-0", "record-processor-1")
        for name in ("timing-manager", "records-manager", *processors, "worker-0", "worker-1"):
            told += self(ServiceReady(name))
        return told

    def finish_step(self, step: int = 0) -> list[Tell]:
        return self(PhaseFinished(2 + 8 * step, 0, 1, 2, {"issued": 8, "completed": 8}))

    def flush(self, *workers: str) -> list[Tell]:
        return [
            tell
            for worker in workers
            for tell in self(RecordsFlushed(worker, {"record-processor-0": 3}, is_last=self._is_last))
        ]

    @property
    def _is_last(self) -> bool:
        """The load is over; else answers are about a step of the calibration."""
        return self.lifecycle.state is not State.RUNNING

    def hand_over(self, *processors: str) -> list[Tell]:
        return [tell for name in processors for tell in self(RecordsFinished(name, 2, 8, 0, 0, is_last=self._is_last))]

    def measure(self, outcome: StepOutcome = StepOutcome.TRUTHFUL, concurrency: int = 4) -> list[Tell]:
        return self(StepMeasured(step_of(outcome, concurrency)))

    def up_to_load(self) -> list[Tell]:
        """A calibration of one step, in which nobody answered."""
        self.get_ready()
        self.finish_step()
        self.flush("worker-0", "worker-1")
        self.hand_over("record-processor-0", "record-processor-1")
        return self.measure(StepOutcome.UNANSWERED)


def step_of(outcome: StepOutcome, concurrency: int) -> CalibrationStep:
    return CalibrationStep(
        step=0, load=f"concurrency {concurrency}", concurrency=concurrency, request_rate=None, outcome=outcome.value,
        reasons=[] if outcome is StepOutcome.TRUTHFUL else ["for a reason"], errors={}, width_p99_ms=None,
        dispatch_lag_p99_ms=None, server_lag_p99_ms=None, shared_chunk_fraction=0, request_count=8, failed_count=0,
        cut_count=0, request_throughput=1, chunk_throughput=1, credits={},
    )  # fmt: skip


def to(tells: list[Tell], kind: type) -> list[str]:
    return [tell.to for tell in tells if isinstance(tell.message, kind)]


def started(tells: list[Tell]) -> PhasePlan:
    (plan,) = {tell.message.plan for tell in tells if isinstance(tell.message, StartPhase)}
    return plan


def test_the_load_waits_for_the_calibration_server():
    run = Run()
    assert to(run.get_ready(SERVER), StartPhase) == []
    assert to(run(Registered(SERVER)), StartPhase) == []
    assert run.lifecycle.state is State.PREPARING
    for name in ("timing-manager", "records-manager", "record-processor-0", "record-processor-1", "worker-0"):
        run(ServiceReady(name))
    assert started(run(ServiceReady("worker-1"))).kind is PhaseKind.CALIBRATION


def test_how_long_it_may_take_is_told_before_it_begins():
    (notice,) = (tell.message for tell in Run().get_ready() if isinstance(tell.message, Notice))
    assert notice.text.startswith("calibration against the built-in server (TTFT 200 ms, ITL 20 ms): 85 s at most")


def test_the_next_step_comes_when_the_last_one_was_fetched_home_and_judged():
    run = Run()
    assert started(run.get_ready()).concurrency == 4
    assert to(run.finish_step(), FlushRecords) == ["worker-0", "worker-1"]
    assert run.flush("worker-0") == []
    told = run.flush("worker-1")
    assert to(told, FinishRecords) == ["record-processor-0", "record-processor-1"]
    assert not any(tell.message.is_last for tell in told if isinstance(tell.message, FinishRecords))
    assert run.hand_over("record-processor-0") == []
    assert to(run.hand_over("record-processor-1"), MeasureStep) == ["records-manager"]
    following = run.measure()
    assert (started(following).kind, started(following).concurrency) == (PhaseKind.CALIBRATION, 8)
    assert to(following, Exit) == []


def test_the_servers_leave_before_the_load():
    run = Run()
    told = run.up_to_load()
    assert to(told, Exit) == [SERVER]
    assert started(told).kind is PhaseKind.PROFILING
    assert run(ServiceLost(SERVER, "it left")) == []
    assert run.lifecycle.notices == []


def test_who_is_lost_while_a_step_is_fetched_home_is_not_waited_for():
    run = Run()
    run.get_ready()
    run.finish_step()
    run.flush("worker-0")
    told = run(ServiceLost("worker-1", "it was killed"))
    assert to(told, FinishRecords) == ["record-processor-0", "record-processor-1"]
    run.hand_over("record-processor-0")
    told = run(ServiceLost("record-processor-1", "it was killed"))
    assert to(told, MeasureStep) == ["records-manager"]


def test_an_interrupted_step_is_not_judged():
    run = Run()
    run.get_ready()
    assert to(run(StopRun(False, "interrupted")), StopPhase) == ["timing-manager"]
    told = run.finish_step()
    assert to(told, FlushRecords) == ["worker-0", "worker-1"]
    assert run.lifecycle.state is State.FLUSHING


def test_an_interruption_between_two_steps_ends_the_run_after_the_judgement():
    run = Run()
    run.get_ready()
    run.finish_step()
    run(StopRun(False, "interrupted"))
    run.flush("worker-0", "worker-1")
    run.hand_over("record-processor-0", "record-processor-1")
    assert to(run.measure(), StartPhase) == []
    assert run.lifecycle.state is State.FLUSHING


@pytest.mark.parametrize("moment", ["starting", "running", "measuring"])
def test_a_load_goes_on_without_the_calibration_server(moment):
    run = Run()
    if moment == "starting":
        run.register()
        told = run(ServiceLost(SERVER, "it was killed"))
        told += run(DatasetReady("store", 10, "builtin", "builtin"))
        for name in ("timing-manager", "records-manager", "record-processor-0", "record-processor-1", "worker-0"):
            run(ServiceReady(name))
        told = run(ServiceReady("worker-1"))
    else:
        run.get_ready()
        if moment == "measuring":
            run.finish_step()
        told = run(ServiceLost(SERVER, "it was killed"))
        if moment == "running":
            assert to(told, StopPhase) == ["timing-manager"]
            told = run.finish_step()
    assert started(told).kind is PhaseKind.PROFILING
    assert any("the calibration was given up" in text for text in run.lifecycle.notices)


@pytest.mark.parametrize("moment", ["starting", "running", "measuring"])
def test_a_calibration_alone_ends_with_its_server(moment):
    run = Run(alone=True)
    if moment == "starting":
        run.register()
        told = run(ServiceLost(SERVER, "it was killed"))
        (finished,) = (tell.message for tell in told if isinstance(tell.message, RunFinished))
        assert finished.exit_code == ExitCode.INFRASTRUCTURE
        return
    run.get_ready()
    if moment == "measuring":
        run.finish_step()
        run(ServiceLost(SERVER, "it was killed"))
    else:
        run(ServiceLost(SERVER, "it was killed"))
        run.finish_step()
    assert run.lifecycle.state is State.FLUSHING
    run.flush("worker-0", "worker-1")
    told = run.hand_over("record-processor-0", "record-processor-1")
    (export,) = (tell.message for tell in told if isinstance(tell.message, ExportResults))
    assert (export.outcome, export.phases) == ("aborted", [])
    assert export.calibration is not None
    told = run(ResultsExported("/a", "/a/calibration.json", 8, 0, "", ""))
    (finished,) = (tell.message for tell in told if isinstance(tell.message, RunFinished))
    assert finished.exit_code == ExitCode.INFRASTRUCTURE


def test_failures_of_a_step_give_up_nothing():
    run = Run()
    run.get_ready()
    failing = Progress(2, "calibrating", 1, 50, 0, 50, 0, 0, -1, 5, 0, 0, {}, {"connect_refused": 50})
    assert run(failing) == []
    run.finish_step()
    run.flush("worker-0", "worker-1")
    run.hand_over("record-processor-0", "record-processor-1")
    run.measure(StepOutcome.UNANSWERED)
    failing.phase = 1
    assert to(run(failing), StopPhase) == ["timing-manager"]


def test_an_answer_after_the_calibration_was_given_up_is_no_part_of_the_load():
    """What a step lost is not told of the load, and nobody counts as done with the load who is done with the step."""
    run = Run()
    run.get_ready()
    run.finish_step()
    run.flush("worker-0", "worker-1")
    assert started(run(ServiceLost(SERVER, "it was killed"))).kind is PhaseKind.PROFILING
    notices = list(run.lifecycle.notices)
    late_finish = [RecordsFinished(f"record-processor-{n}", 2, 8, 1, 5, is_last=False) for n in range(2)]
    late_flush = [RecordsFlushed(f"worker-{n}", {"record-processor-0": 3}, is_last=False) for n in range(2)]
    assert [run(message) for message in late_finish] == [[], []]
    assert run.lifecycle.notices == notices
    run(PhaseFinished(1, 0, 1, 2, {"issued": 8, "completed": 8}))
    assert [run(message) for message in late_flush] == [[], []]
    assert run.lifecycle.state is State.FLUSHING
    run(RecordsFlushed("worker-0", {"record-processor-0": 9}))
    run(RecordsFlushed("worker-1", {"record-processor-0": 9}))
    assert [run(message) for message in late_finish] == [[], []]
    assert run.lifecycle.state is State.PROCESSING
    run(RecordsFinished("record-processor-0", 4, 18, 0, 0))
    told = run(RecordsFinished("record-processor-1", 4, 18, 0, 0))
    (export,) = (tell.message for tell in told if isinstance(tell.message, ExportResults))
    assert (export.batch_counts, export.lost_slice_count) == ({"record-processor-0": 4, "record-processor-1": 4}, 0)
    assert export.warnings == notices


def test_the_last_account_of_who_leaves_between_two_steps_counts_for_both():
    run = Run()
    run.get_ready()
    run.finish_step()
    run(RecordsFlushed("worker-0", {"record-processor-0": 3}))
    run(ServiceLost("worker-0", "its process was told to end by SIGTERM"))
    (order, _) = run.flush("worker-1")
    assert order.message.slice_counts == {0: 3, 1: 3}
    run(ServiceLost("record-processor-1", "its process was told to end by SIGTERM"))
    assert run(RecordsFinished("record-processor-1", 2, 8, 0, 5)) == []
    assert run.lifecycle.notices[-1] == "record-processor-1 has no record of 5 requests"
    assert to(run.hand_over("record-processor-0"), MeasureStep) == ["records-manager"]
    assert run.hand_over("record-processor-0") == [], "it is asked for once"
