"""The life of a run, driven by hand: every message that may come, in orders that do come."""

from pathlib import Path

import msgspec
import pytest

from aiperf.deploy.layouts import local_layout
from aiperf.errors import ExitCode
from aiperf.plan.plan import EndpointPlan, LoadPlan, Plan, WarmupPlan
from aiperf.schedule.phases import phases
from aiperf.service.layout import ServiceType
from aiperf.service.run_lifecycle import RunLifecycle, State
from aiperf.service.tell import Tell
from aiperf.units import NS_PER_S
from aiperf.wire.messages import (
    AbortRun,
    AnyMessage,
    Configure,
    DatasetReady,
    Exit,
    ExportResults,
    FinishRecords,
    FlushRecords,
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
    StopPhase,
    StopRun,
)

STARTUP_LIMIT_NS = 60 * NS_PER_S
TOLD_TO_CONFIGURE = {"timing-manager", "records-manager", "record-processor-0", "worker-0", "worker-1"}


class Run:
    """A lifecycle and a hand on its clock."""

    def __init__(
        self,
        plan: Plan | None = None,
        workers: int = 2,
        processors: int = 1,
        model_wait_ns: int = 0,
        *,
        require_valid: bool = False,
    ) -> None:
        plan = plan or Plan(endpoint=EndpointPlan(models=("m",)), load=LoadPlan(concurrency=4))
        self.layout = local_layout(
            run_id="r", workers=workers, processors=processors, artifact_dir=Path("/a"), work_dir=Path("/w"), seed=1
        )
        self.now_ns = 0
        self.phases = phases(plan, 1)
        self.lifecycle = RunLifecycle(
            self.layout,
            self.phases,
            operator="operator",
            started_ns=0,
            model_wait_ns=model_wait_ns,
            require_valid=require_valid,
        )

    def __call__(self, message: AnyMessage) -> list[Tell]:
        return self.lifecycle.handle(message, self.now_ns)

    @property
    def state(self) -> State:
        return self.lifecycle.state

    def register_all(self) -> list[Tell]:
        told: list[Tell] = []
        for seat in self.layout.services():
            if seat.service_type is not ServiceType.SYSTEM_CONTROLLER:
                told += self(Registered(seat.service_id))
        return told

    def up_to_running(self) -> list[Tell]:
        self.register_all()
        self(DatasetReady("store", 10, "builtin", "builtin"))
        told: list[Tell] = []
        for name in sorted(TOLD_TO_CONFIGURE):
            told += self(ServiceReady(name))
        return told

    def finish_phase(self, phase: int = 1) -> list[Tell]:
        return self(PhaseFinished(phase, 0, -1, 1, {"issued": 8, "completed": 8}))

    def up_to_exporting(self) -> list[Tell]:
        self.up_to_running()
        self.finish_phase()
        for worker in ("worker-0", "worker-1"):
            self(RecordsFlushed(worker, {"record-processor-0": 3}))
        return self(RecordsFinished("record-processor-0", 2, 8, 0, 0, 3))


def told(tells: list[Tell], kind: type) -> dict[str, object]:
    return {tell.to: tell.message for tell in tells if isinstance(tell.message, kind)}


def exported(completed: int = 8, error: str = "", verdict: str = "valid") -> ResultsExported:
    return ResultsExported("/a", "/a/summary.json", completed, 0, verdict, error, "Slots stood empty.")


def finished(tells: list[Tell]) -> RunFinished:
    message = told(tells, RunFinished)["operator"]
    assert isinstance(message, RunFinished)
    return message


def test_nothing_is_configured_before_everybody_has_registered():
    run = Run()
    assert run(DatasetReady("store", 10, "builtin", "builtin")) == []
    assert run.state is State.GATHERING
    assert told(run.register_all(), Configure).keys() == TOLD_TO_CONFIGURE


def test_nothing_is_configured_before_the_dataset_is_there():
    run = Run()
    assert run.register_all() == []
    assert told(run(DatasetReady("store", 10, "builtin", "builtin")), Configure).keys() == TOLD_TO_CONFIGURE


def test_the_barrier_opens_with_the_last_ready_and_not_before():
    run = Run()
    run.register_all()
    run(DatasetReady("store", 10, "builtin", "builtin"))
    run.now_ns = 5
    *others, last = sorted(TOLD_TO_CONFIGURE)
    for name in others:
        assert run(ServiceReady(name)) == []
    starts = told(run(ServiceReady(last)), StartPhase)
    start_ns = 5 + run.layout.start_lead_ns
    assert starts == dict.fromkeys(("timing-manager", "records-manager"), StartPhase(run.phases[-1], start_ns, -1, -1))


def test_a_duration_gives_the_stop_and_the_cut_instant():
    plan = Plan(endpoint=EndpointPlan(models=("m",)), load=LoadPlan(concurrency=1, duration_s=2, grace_period_s=3))
    start = told(Run(plan).up_to_running(), StartPhase)["timing-manager"]
    assert isinstance(start, StartPhase)
    assert (start.stop_ns - start.start_ns, start.cut_ns - start.start_ns) == (2 * NS_PER_S, 5 * NS_PER_S)


def test_profiling_starts_when_warm_up_is_accounted_for():
    plan = Plan(
        endpoint=EndpointPlan(models=("m",)), load=LoadPlan(concurrency=1), warmup=WarmupPlan(warmup_request_count=3)
    )
    run = Run(plan)
    assert [message.plan.phase for message in told(run.up_to_running(), StartPhase).values()] == [0, 0]
    assert [message.plan.phase for message in told(run.finish_phase(0), StartPhase).values()] == [1, 1]
    assert told(run.finish_phase(1), FlushRecords).keys() == {"worker-0", "worker-1"}


def test_an_undisturbed_run_goes_through_every_state_and_ends_with_done():
    run = Run()
    export = told(run.up_to_exporting(), ExportResults)["records-manager"]
    assert isinstance(export, ExportResults)
    assert export.batch_counts == {"record-processor-0": 2}
    assert export.block_counts == {"record-processor-0": 3}
    assert export.outcome == "completed"
    end = run(exported())
    assert finished(end) == RunFinished(ExitCode.DONE, "completed", "", "/a", "/a/summary.json")
    assert told(end, Exit).keys() == {seat.service_id for seat in run.layout.services()} - {"system-controller"}
    assert run.state is State.OVER


def test_record_processors_wait_for_exactly_the_slices_that_were_cut_for_them():
    run = Run(processors=2)
    run.register_all()
    run(DatasetReady("store", 10, "builtin", "builtin"))
    for name in TOLD_TO_CONFIGURE | {"record-processor-1"}:
        run(ServiceReady(name))
    run.finish_phase()
    run(RecordsFlushed("worker-0", {"record-processor-0": 3}))
    orders = told(run(RecordsFlushed("worker-1", {"record-processor-0": 1, "record-processor-1": 2})), FinishRecords)
    assert orders == {
        "record-processor-0": FinishRecords({0: 3, 1: 1}),
        "record-processor-1": FinishRecords({1: 2}),
    }


def test_no_success_is_a_failed_benchmark_with_the_first_error_as_reason():
    run = Run()
    run.up_to_exporting()
    end = finished(run(exported(completed=0, error="http_status 503: busy")))
    assert end.exit_code == ExitCode.BENCHMARK_FAILED
    assert end.reason == "no request succeeded: http_status 503: busy"


def test_a_verdict_that_is_not_required_costs_nothing():
    run = Run()
    run.up_to_exporting()
    assert finished(run(exported(verdict="invalid"))).exit_code == ExitCode.DONE
    assert not run.lifecycle.is_refused


@pytest.mark.parametrize(
    ("verdict", "code"),
    [("valid", ExitCode.DONE), ("degraded", ExitCode.DONE), ("invalid", ExitCode.NOT_VALID)],
)
def test_of_a_run_that_must_be_valid_an_invalid_verdict_is_the_end(verdict, code):
    run = Run(require_valid=True)
    run.up_to_exporting()
    assert not run.lifecycle.is_refused
    end = finished(run(exported(verdict=verdict)))
    assert end.exit_code == code
    assert run.lifecycle.is_refused == (code == ExitCode.NOT_VALID)
    if run.lifecycle.is_refused:
        assert end.reason == "the verdict is invalid, and --require-valid was given: Slots stood empty."
        assert end.summary_path


def test_what_ended_a_run_outweighs_its_verdict():
    run = Run(require_valid=True)
    run.up_to_exporting()
    none = finished(run(exported(completed=0, verdict="invalid")))
    assert none.exit_code == ExitCode.BENCHMARK_FAILED
    interrupted = Run(require_valid=True)
    interrupted.up_to_running()
    interrupted(StopRun(now=True, reason="by the user"))
    interrupted.finish_phase()
    for worker in ("worker-0", "worker-1"):
        interrupted(RecordsFlushed(worker, {"record-processor-0": 3}))
    interrupted(RecordsFinished("record-processor-0", 2, 8, 0, 0, 3))
    assert finished(interrupted(exported(verdict="invalid"))).exit_code == ExitCode.INTERRUPTED


def test_services_that_do_not_start_are_named():
    run = Run()
    run(Registered("worker-0"))
    assert not told(run.lifecycle.tick(STARTUP_LIMIT_NS - 1), RunFinished)
    end = finished(run.lifecycle.tick(STARTUP_LIMIT_NS))
    assert end.exit_code == ExitCode.INFRASTRUCTURE
    assert "worker-1" in end.reason
    assert "worker-0" not in end.reason


def test_compiling_the_dataset_may_take_as_long_as_it_takes():
    run = Run()
    run.register_all()
    run.now_ns = 5 * STARTUP_LIMIT_NS
    assert run.lifecycle.tick(run.now_ns) == []
    assert told(run(DatasetReady("store", 10, "builtin", "builtin")), Configure)
    assert not told(run.lifecycle.tick(run.now_ns + STARTUP_LIMIT_NS - 1), RunFinished)
    assert finished(run.lifecycle.tick(run.now_ns + STARTUP_LIMIT_NS)).exit_code == ExitCode.INFRASTRUCTURE


def test_a_wait_for_the_model_gives_workers_more_time_to_be_ready_but_none_to_register():
    run = Run(model_wait_ns=9)
    assert finished(run.lifecycle.tick(STARTUP_LIMIT_NS)).exit_code == ExitCode.INFRASTRUCTURE
    run = Run(model_wait_ns=9)
    run.register_all()
    run(DatasetReady("store", 10, "builtin", "builtin"))
    assert not told(run.lifecycle.tick(STARTUP_LIMIT_NS + 8), RunFinished)
    assert "worker-0" in finished(run.lifecycle.tick(STARTUP_LIMIT_NS + 9)).reason


def test_notices_go_to_the_operator_and_lasting_ones_into_the_results():
    run = Run()
    passing, lasting = Notice("waiting"), Notice("the model is not listed", lasting=True)
    assert run(passing) == [Tell("operator", passing)]
    assert run(lasting) == [Tell("operator", lasting)]
    export = told(run.up_to_exporting(), ExportResults)["records-manager"]
    assert isinstance(export, ExportResults)
    assert export.warnings == ["the model is not listed"]


def test_a_service_that_cannot_go_on_ends_the_run_with_its_reason_and_code():
    end = finished(Run()(ServiceFailed("records-manager", "the disk is full", ExitCode.INFRASTRUCTURE)))
    assert (end.exit_code, end.reason) == (ExitCode.INFRASTRUCTURE, "records-manager: the disk is full")


def test_a_fault_in_what_was_asked_for_is_told_without_the_service_that_found_it():
    end = finished(Run()(ServiceFailed("dataset-manager", "line 3 is no JSON", ExitCode.USAGE)))
    assert (end.exit_code, end.reason) == (ExitCode.USAGE, "line 3 is no JSON")


def test_a_fault_of_the_endpoint_is_told_without_the_service_that_found_it():
    end = finished(Run()(ServiceFailed("worker-0", "no answer", ExitCode.BENCHMARK_FAILED)))
    assert (end.exit_code, end.reason) == (ExitCode.BENCHMARK_FAILED, "no answer")


def test_one_ctrl_c_drains_with_the_grace_period_and_reports():
    run = Run()
    run.up_to_running()
    run.now_ns = 7
    stop = told(run(StopRun(now=False, reason="by the user")), StopPhase)["timing-manager"]
    assert stop == StopPhase(7 + 30 * NS_PER_S, "by the user")
    assert told(run.finish_phase(), FlushRecords)
    assert run.state is State.FLUSHING


def test_a_second_ctrl_c_cuts_at_once_and_the_exit_code_says_interrupted():
    run = Run()
    run.up_to_running()
    run(StopRun(now=False, reason="by the user"))
    run.now_ns = 9
    assert told(run(StopRun(now=True, reason="by the user")), StopPhase)["timing-manager"] == StopPhase(
        9, "by the user"
    )
    run.finish_phase()
    for worker in ("worker-0", "worker-1"):
        run(RecordsFlushed(worker, {}))
    export = told(run(RecordsFinished("record-processor-0", 0, 0, 0, 0)), ExportResults)["records-manager"]
    assert isinstance(export, ExportResults)
    assert export.outcome == "interrupted"
    assert finished(run(exported())).exit_code == ExitCode.INTERRUPTED


def test_ctrl_c_after_the_load_changes_nothing():
    run = Run()
    run.up_to_exporting()
    assert run(StopRun(now=True, reason="by the user")) == []
    assert finished(run(exported())).exit_code == ExitCode.DONE


def test_ctrl_c_before_the_load_ends_at_once():
    run = Run()
    run.register_all()
    assert finished(run(StopRun(now=False, reason="by the user"))).exit_code == ExitCode.INTERRUPTED


def test_warm_up_that_is_interrupted_is_not_followed_by_profiling():
    plan = Plan(
        endpoint=EndpointPlan(models=("m",)), load=LoadPlan(concurrency=1), warmup=WarmupPlan(warmup_request_count=3)
    )
    run = Run(plan)
    run.up_to_running()
    run(StopRun(now=False, reason="by the user"))
    assert told(run.finish_phase(0), FlushRecords)


def test_a_lost_worker_is_made_known_and_no_longer_waited_for():
    run = Run()
    run.up_to_running()
    lost = ServiceLost("worker-1", "killed")
    tells = run(HostLost("worker-1", "killed"))
    assert told(tells, ServiceLost) == dict.fromkeys(
        ("timing-manager", "records-manager", "record-processor-0", "worker-0"), lost
    )
    assert told(tells, Exit).keys() == {"worker-1"}
    assert run.state is State.RUNNING
    assert told(run.finish_phase(), FlushRecords).keys() == {"worker-0"}
    assert told(run(RecordsFlushed("worker-0", {"record-processor-0": 1})), FinishRecords)
    export = told(run(RecordsFinished("record-processor-0", 1, 1, 0, 0)), ExportResults)["records-manager"]
    assert isinstance(export, ExportResults)
    assert export.lost_services == [lost]


def test_a_service_that_is_started_again_is_lost_and_told_to_leave():
    run = Run()
    run.up_to_running()
    tells = run(Registered("worker-1"))
    assert told(tells, ServiceLost)["timing-manager"] == ServiceLost("worker-1", "it was started again")
    assert told(tells, Exit).keys() == {"worker-1"}
    assert told(run(Registered("worker-1")), Exit).keys() == {"worker-1"}
    assert run.state is State.RUNNING


def test_a_loss_is_counted_once_however_often_it_is_reported():
    run = Run()
    run.up_to_running()
    assert run(ServiceLost("worker-1", "silent"))
    assert run(HostLost("worker-1", "killed")) == []


@pytest.mark.parametrize(("lost", "processors"), [("worker", 1), ("record-processor", 1)])
def test_the_loss_of_the_last_of_a_kind_ends_the_load_and_reports_what_there_is(lost, processors):
    run = Run(workers=2, processors=processors)
    run.up_to_running()
    names = [seat.service_id for seat in run.layout.services(ServiceType(lost))]
    tells = [tell for name in names for tell in run(ServiceLost(name, "killed"))]
    stop = told(tells, StopPhase)["timing-manager"]
    assert isinstance(stop, StopPhase)
    assert "the last" in stop.reason
    run.finish_phase()
    for worker in ("worker-0", "worker-1"):
        run(RecordsFlushed(worker, {}))
    run(RecordsFinished("record-processor-0", 0, 0, 0, 0))
    assert run.state is State.EXPORTING
    end = finished(run(exported(completed=0)))
    assert (end.exit_code, end.outcome) == (ExitCode.BENCHMARK_FAILED, "aborted")


@pytest.mark.parametrize("when", ["up_to_running", "up_to_exporting"])
def test_the_loss_of_a_service_there_is_once_ends_the_run(when):
    run = Run()
    getattr(run, when)()
    end = finished(run(ServiceLost("records-manager", "killed")))
    assert end.exit_code == ExitCode.BENCHMARK_FAILED
    assert "records-manager was lost" in end.reason


def test_a_lost_host_of_many_services_ends_the_run_once():
    run = Run()
    run.up_to_running()
    (control, *_) = run.layout.hosts
    tells = run(HostLost(control.host_id, "killed"))
    assert [type(tell.message) for tell in tells].count(RunFinished) == 1


def test_a_worker_lost_before_the_barrier_is_a_failure_to_start():
    run = Run()
    run.register_all()
    assert finished(run(HostLost("worker-0", "exit code 3"))).exit_code == ExitCode.INFRASTRUCTURE


def test_a_loss_while_flushing_or_processing_does_not_hang_the_end():
    run = Run(processors=2)
    run.register_all()
    run(DatasetReady("store", 10, "builtin", "builtin"))
    for name in TOLD_TO_CONFIGURE | {"record-processor-1"}:
        run(ServiceReady(name))
    run.finish_phase()
    run(RecordsFlushed("worker-0", {"record-processor-0": 1}))
    assert told(run(ServiceLost("worker-1", "killed")), FinishRecords)
    run(RecordsFinished("record-processor-0", 1, 1, 0, 0))
    assert told(run(ServiceLost("record-processor-1", "killed")), ExportResults)


def progress(completed: int, failed: int, errors: dict[str, int]) -> Progress:
    return Progress(1, "profiling", 1.0, 10, completed, failed, 0, 10, 10, -1, 1.0, 1.0, {}, errors)


def test_failures_that_time_does_not_mend_end_the_load_early():
    run = Run()
    run.up_to_running()
    stop = told(run(progress(0, 12, {"connect_refused": 12})), StopPhase)["timing-manager"]
    assert isinstance(stop, StopPhase)
    assert "given up after 12 failures" in stop.reason


def test_a_load_that_is_over_is_not_given_up():
    run = Run()
    run.up_to_running()
    run.finish_phase()
    run(progress(0, 12, {"connect_refused": 12}))
    run(RecordsFlushed("worker-0", {}))
    run(RecordsFlushed("worker-1", {}))
    export = told(run(RecordsFinished("record-processor-0", 1, 1, 0, 0)), ExportResults)["records-manager"]
    assert (export.outcome, export.reason) == ("completed", "")


@pytest.mark.parametrize(
    ("completed", "failed", "errors"),
    [
        (1, 50, {"connect_refused": 50}),
        (0, 9, {"connect_refused": 9}),
        (0, 50, {"connect_refused": 49, "http_status 503": 1}),
    ],
)
def test_other_failures_are_results(completed, failed, errors):
    run = Run()
    run.up_to_running()
    assert run(progress(completed, failed, errors)) == []


def test_a_start_is_given_up_when_a_replacement_is_lost_for_the_same_reason():
    """Each replacement comes after a longer pause: what failed the same way twice is told instead."""
    run = Run()
    layout = msgspec.structs.replace(run.layout, replaces_workers=True)
    plan = Plan(endpoint=EndpointPlan(models=("m",)), load=LoadPlan(concurrency=4))
    run.lifecycle = RunLifecycle(layout, phases(plan, 1), operator="operator", started_ns=0)
    why = "killed: out of memory"
    run(HostLost("worker-0", why))
    run(HostLost("worker-1", why))
    run(HostLost("worker-0.1", "its node went away"))
    assert run.lifecycle.state is State.GATHERING
    end = finished(run(HostLost("worker-1.1", why)))
    assert (end.exit_code, end.reason) == (ExitCode.INFRASTRUCTURE, f"worker-1 was lost twice while starting: {why}")


def test_a_service_that_sees_no_use_in_going_on_ends_the_load_and_what_there_is_is_reported():
    run = Run()
    run.up_to_running()
    stop = told(run(AbortRun("the disk is full", int(ExitCode.INFRASTRUCTURE))), StopPhase)["timing-manager"]
    assert isinstance(stop, StopPhase)
    assert stop.reason == "the disk is full"
    assert told(run.finish_phase(1), FlushRecords).keys() == {"worker-0", "worker-1"}


def test_where_services_run_is_told_to_who_reports_it():
    run = Run()
    export = told(run.up_to_exporting(), ExportResults)["records-manager"]
    assert isinstance(export, ExportResults)
    assert export.places.keys() >= {"worker-0", "worker-1"}


def test_a_controller_that_has_to_leave_reports_what_there_is():
    run = Run()
    run.up_to_running()
    stop = told(run.lifecycle.leave("evicted", run.now_ns), StopPhase)["timing-manager"]
    assert stop == StopPhase(run.now_ns, "system-controller was lost: evicted")
    run.finish_phase()
    for worker in ("worker-0", "worker-1"):
        run(RecordsFlushed(worker, {}))
    run(RecordsFinished("record-processor-0", 0, 0, 0, 0))
    assert run.lifecycle.leave("evicted", run.now_ns) == [], "it is being reported"
    end = finished(run(exported()))
    assert (end.exit_code, end.reason) == (ExitCode.BENCHMARK_FAILED, "system-controller was lost: evicted")
    assert end.summary_path


def test_a_controller_that_has_to_leave_before_the_load_ends_the_run():
    run = Run()
    run.register_all()
    end = finished(run.lifecycle.leave("evicted", run.now_ns))
    assert (end.exit_code, end.reason) == (ExitCode.BENCHMARK_FAILED, "system-controller was lost: evicted")
