"""Who must be there for a run to begin, who may come later, and who stands in for a lost one."""

import msgspec
import pytest

from aiperf.deploy.layouts import kubernetes_layout
from aiperf.errors import ExitCode
from aiperf.plan.plan import EndpointPlan, LoadPlan, Plan
from aiperf.schedule.phases import phases
from aiperf.service.heartbeats import HeartbeatWatch
from aiperf.service.layout import SINGLETONS, ServiceType
from aiperf.service.muster import MINIMUM_GRACE_NS
from aiperf.service.run_lifecycle import RunLifecycle, State
from aiperf.service.tell import Tell
from aiperf.units import NS_PER_S
from aiperf.wire.messages import (
    AnyMessage,
    Configure,
    DatasetReady,
    Exit,
    ExportResults,
    FinishRecords,
    FlushRecords,
    Heartbeat,
    HostLost,
    Notice,
    PhaseFinished,
    RecordProcessorAdded,
    RecordsFinished,
    RecordsFlushed,
    Registered,
    RunFinished,
    ServiceLost,
    ServiceReady,
    StartPhase,
    StopPhase,
    StopRun,
    WorkerAdded,
)

DATASET = DatasetReady("store", 10, "builtin", "builtin")
PLAN = Plan(endpoint=EndpointPlan(models=("m",)), load=LoadPlan(concurrency=4))


class Run:
    """A lifecycle in a cluster, and a hand on its clock. `pod(n)` are the services of worker n's pod."""

    def __init__(
        self, workers: int = 3, min_workers: int | None = None, topology: str = "compact", model_wait_ns: int = 0,
        **layout,
    ) -> None:  # fmt: skip
        processors = workers if topology == "compact" else 1
        made = kubernetes_layout(run_id="r", topology=topology, workers=workers, processors=processors, seed=1)
        self.layout = msgspec.structs.replace(made, **layout)
        self.now_ns = 0
        self.lifecycle = RunLifecycle(
            self.layout,
            phases(PLAN, 1),
            operator="operator",
            started_ns=0,
            min_workers=min_workers,
            model_wait_ns=model_wait_ns,
        )

    def __call__(self, message: AnyMessage) -> list[Tell]:
        return self.lifecycle.handle(message, self.now_ns)

    def tick(self, at_s: float) -> list[Tell]:
        self.now_ns = round(at_s * NS_PER_S)
        return self.lifecycle.tick(self.now_ns)

    @property
    def state(self) -> State:
        return self.lifecycle.state

    def register(self, *names: str) -> list[Tell]:
        return [tell for name in names for tell in self(Registered(name))]

    def ready(self, *names: str) -> list[Tell]:
        return [tell for name in names for tell in self(ServiceReady(name))]

    def control(self) -> list[Tell]:
        """All services there are once are there, and ready if they can be."""
        told = self.register(*(kind for kind in SINGLETONS if kind != ServiceType.SYSTEM_CONTROLLER))
        return told + self(DATASET)

    def begin(self, *pods: str) -> list[Tell]:
        self.control()
        self.register(*(name for pod in pods for name in services(pod)))
        return self.ready("timing-manager", "records-manager", *(name for pod in pods for name in services(pod)))

    def export(self, *workers: str) -> ExportResults:
        """Ends the load and everything after it."""
        flush = told(self(PhaseFinished(1, 0, -1, 1, {"issued": 8, "completed": 8})), FlushRecords)
        finish = [tell for worker in flush for tell in self(RecordsFlushed(worker, {}))]
        tells = [tell for name in told(finish, FinishRecords) for tell in self(RecordsFinished(name, 0, 0, 0, 0))]
        export = told(tells, ExportResults)["records-manager"]
        assert isinstance(export, ExportResults)
        return export


def services(pod: str) -> tuple[str, str]:
    return f"record-processor-{pod}", f"worker-{pod}"


def told(tells: list[Tell], kind: type) -> dict[str, AnyMessage]:
    return {tell.to: tell.message for tell in tells if isinstance(tell.message, kind)}


def notices(tells: list[Tell]) -> list[str]:
    return [tell.message.text for tell in tells if isinstance(tell.message, Notice)]


def test_without_a_minimum_every_worker_and_its_record_processor_are_waited_for():
    run = Run()
    run.control()
    run.register(*services("0"), *services("1"))
    assert run.state is State.GATHERING
    run.register(*services("2"))
    assert run.state is State.PREPARING
    everybody_else = ("timing-manager", "records-manager", *services("0"), *services("1"), "worker-2")
    assert not told(run.ready(*everybody_else), StartPhase)
    assert told(run.ready("record-processor-2"), StartPhase).keys() == {"timing-manager", "records-manager"}


def test_the_stated_minimum_is_enough_and_those_that_never_came_are_named():
    run = Run(min_workers=2)
    assert told(run.begin("0", "2"), StartPhase)
    assert run.lifecycle.notices == [
        "the load began with 2 of 3 workers; not there yet: record-processor-1, worker-1",
    ]
    export = run.export()
    assert (export.began_with, export.late_workers) == (2, [])
    assert export.workers == {0: "worker-0", 2: "worker-2"}
    assert export.lost_services == []


def test_a_worker_that_is_there_but_not_ready_is_waited_for_a_moment_when_there_are_enough():
    run = Run(min_workers=2)
    run.control()
    run.register(*services("0"), *services("1"), *services("2"))
    run.ready("timing-manager", "records-manager", *services("0"), *services("1"))
    assert run.state is State.PREPARING
    assert run.tick(MINIMUM_GRACE_NS / NS_PER_S - 0.1) == []
    assert told(run.tick(MINIMUM_GRACE_NS / NS_PER_S), StartPhase)


def test_a_latecomer_is_configured_when_its_record_processor_is_there_and_told_as_late_when_ready():
    run = Run(min_workers=2)
    run.begin("0", "1")
    assert run.register("worker-2") == [], "it has nobody to send its slices to yet"
    tells = run.register("record-processor-2")
    configured = told(tells, Configure)
    assert configured.keys() == {"worker-2", "record-processor-2"}
    configure = configured["worker-2"]
    assert isinstance(configure, Configure)
    assert configure.workers.index("worker-2") == 2
    assert configure.record_processors == ["record-processor-2"]
    run.ready("record-processor-2", "worker-2")
    assert run.export().late_workers == ["worker-2"]


def test_a_replacement_gets_an_index_of_its_own_and_record_processors_hear_of_it():
    run = Run()
    run.begin("0", "1", "2")
    run(ServiceLost("worker-1", "evicted"))
    run(ServiceLost("record-processor-1", "evicted"))
    tells = run.register("record-processor-1.1", "worker-1.1")
    assert told(tells, WorkerAdded) == dict.fromkeys(
        ("record-processor-0", "record-processor-2", "record-processor-1.1"), WorkerAdded("worker-1.1", 3)
    )
    configure = told(tells, Configure)["worker-1.1"]
    assert isinstance(configure, Configure)
    assert configure.workers == ["worker-0", "worker-1", "worker-2", "worker-1.1"]
    assert configure.record_processors == ["record-processor-1.1"]
    run.ready("record-processor-1.1", "worker-1.1")
    export = run.export()
    assert export.workers[3] == "worker-1.1"
    assert export.late_workers == ["worker-1.1"]
    assert [lost.service_id for lost in export.lost_services] == ["worker-1", "record-processor-1"]
    assert "record-processor-1.1" in export.record_processors


def test_an_incarnation_that_falls_is_followed_by_the_next():
    run = Run()
    run.begin("0", "1", "2")
    for incarnation in ("", ".1", ".2"):
        if incarnation:
            run.register(f"record-processor-1{incarnation}", f"worker-1{incarnation}")
        tells = run(HostLost(f"worker-1{incarnation}", "killed"))
        assert told(tells, ServiceLost)["timing-manager"] == ServiceLost(f"worker-1{incarnation}", "killed")


@pytest.mark.parametrize("name", ["worker-7.1", "timing-manager.1", "somebody", "worker-1.x"])
def test_who_has_no_place_in_the_layout_is_told_to_leave(name):
    run = Run()
    run.begin("0", "1", "2")
    (tell,) = run(Registered(name))
    assert tell == Tell(name, Exit("it has no part in the run (any more)"))


def test_who_comes_after_the_load_is_told_to_leave():
    run = Run(min_workers=2)
    run.begin("0", "1")
    run(PhaseFinished(1, 0, -1, 1, {}))
    assert run.register("worker-2", "worker-0.1") == [Tell("worker-2", Exit()), Tell("worker-0.1", Exit())]


def test_where_workers_are_replaced_one_lost_while_starting_is_waited_for():
    run = Run()
    run.control()
    run.register(*services("0"), *services("1"), *services("2"))
    (said,) = notices(run(ServiceLost("worker-1", "OOMKilled")))
    assert said == "worker-1 was lost while starting: OOMKilled"
    run(ServiceLost("record-processor-1", "its pod is gone"))
    pods = ("timing-manager", "records-manager", *services("0"), *services("2"))
    assert not told(run.ready(*pods), StartPhase)
    run.register("record-processor-1.1", "worker-1.1")
    assert told(run.ready("record-processor-1.1", "worker-1.1"), StartPhase)
    export = run.export()
    assert export.workers == {0: "worker-0", 2: "worker-2", 3: "worker-1.1"}
    assert (export.lost_services, export.began_with, export.late_workers) == ([], 3, [])


def test_where_nobody_replaces_workers_a_loss_while_starting_is_borne_if_enough_remain():
    run = Run(min_workers=2, replaces_workers=False)
    run.begin("0")
    assert run(ServiceLost("worker-1", "killed"))
    assert run.state is not State.OVER
    end = told(run(ServiceLost("worker-2", "killed")), RunFinished)["operator"]
    assert isinstance(end, RunFinished)
    assert (end.exit_code, end.reason) == (ExitCode.INFRASTRUCTURE, "worker-2 was lost while starting: killed")


def test_a_sidecar_that_is_started_again_before_the_load_is_told_everything_once_more():
    run = Run(workers=1)
    run.control()
    run.register(*services("0"))
    assert told(run(Registered("record-processor-0")), Configure).keys() == {"record-processor-0"}
    run(ServiceLost("record-processor-0", "silent"))
    tells = run(Registered("record-processor-0"))
    assert told(tells, RecordProcessorAdded).keys() == {"worker-0"}
    assert told(run.ready("timing-manager", "records-manager", "worker-0", "record-processor-0"), StartPhase)


def test_a_sidecar_that_is_started_again_under_load_has_no_part_and_its_worker_leaves_with_it():
    run = Run()
    run.begin("0", "1", "2")
    assert told(run(Registered("record-processor-1")), Exit) == {
        "record-processor-1": Exit("it was started again"),
        "worker-1": Exit("record-processor-1 beside it was lost"),
    }
    assert told(run(Registered("record-processor-1")), Exit).keys() == {"record-processor-1"}
    farewell = ServiceLost("worker-1", "record-processor-1 beside it was lost")
    assert told(run(farewell), ServiceLost)["timing-manager"] == farewell
    assert run.lifecycle.notices == [
        "record-processor-1 was lost: it was started again; worker-1 beside it leaves, too"
    ]
    assert run.state is State.RUNNING
    run.register("record-processor-1.1", "worker-1.1")
    run.ready("record-processor-1.1", "worker-1.1")
    assert run.export().late_workers == ["worker-1.1"]


def test_a_pod_that_is_lost_is_told_once_and_so_is_its_replacement():
    run = Run()
    run.begin("0", "1", "2")
    for incarnation in ("", ".1"):
        run(HostLost(f"worker-1{incarnation}", "killed"))
        run(HostLost(f"record-processor-1{incarnation}", "it was in the pod of worker-1"))
        run.register("record-processor-1.1", "worker-1.1")
        run.ready("record-processor-1.1", "worker-1.1")
    assert run.lifecycle.notices == [
        "worker-1 was lost: killed",
        "worker-1.1 joined after the start",
        "worker-1.1 was lost: killed",
    ]


def bereft_run() -> Run:
    run = Run(workers=1)
    run.begin("0")
    run.tick(0)
    assert not told(run(HostLost("worker-0", "killed")), StopPhase)
    assert not told(run(HostLost("record-processor-0", "it was in the pod of worker-0")), StopPhase)
    assert run.lifecycle.notices == [
        "worker-0 was lost: killed",
        "no worker is left: the load waits for a replacement, up to 120 s",
    ]
    return run


def test_the_load_waits_for_a_replacement_of_the_last_worker():
    run = bereft_run()
    assert run.tick(100) == []
    run.register("record-processor-0.1", "worker-0.1")
    run.ready("record-processor-0.1", "worker-0.1")
    assert [tell for second in (101, 121, 1000) for tell in run.tick(second)] == []
    assert run.export().outcome == "completed"


def test_the_load_ends_when_no_replacement_comes():
    run = bereft_run()
    assert run.tick(119) == []
    stop = told(run.tick(120), StopPhase)["timing-manager"]
    assert isinstance(stop, StopPhase)
    assert stop.reason == "the last worker was lost: killed; no replacement was ready within 120 s"
    assert run.tick(300) == []


def test_a_load_without_workers_can_be_stopped():
    run = bereft_run()
    assert told(run(StopRun(now=False, reason="by the user")), StopPhase)
    export = told(run(PhaseFinished(1, 0, -1, 1, {})), ExportResults)["records-manager"]
    assert isinstance(export, ExportResults)
    assert export.outcome == "interrupted"
    assert run.tick(1000) == []


def test_who_is_silent_is_told_to_leave_with_the_reason():
    run = Run()
    run.begin("0", "1", "2")
    assert told(run(ServiceLost("worker-1", "silent")), Exit) == {"worker-1": Exit("silent")}


def test_a_lost_record_processor_that_all_could_reach_strands_nobody():
    run = Run(topology="per-service")
    run.control()
    run.register("record-processor-0", "worker-0", "worker-1", "worker-2")
    run.ready("timing-manager", "records-manager", "record-processor-0", "worker-0", "worker-1", "worker-2")
    tells = run.register("record-processor-0.1")
    assert told(tells, RecordProcessorAdded).keys() == {"worker-0", "worker-1", "worker-2"}
    run(ServiceLost("record-processor-0", "killed"))
    assert not any("reaches no record processor" in notice for notice in run.lifecycle.notices)
    assert run.state is State.RUNNING


def test_one_worker_waits_for_the_model_and_another_does_if_that_one_is_lost():
    run = Run(model_wait_ns=9)
    run.control()
    configured = told(run.register(*services("0"), *services("1"), *services("2")), Configure)
    waits = {name: message.waits_for_model for name, message in configured.items() if isinstance(message, Configure)}
    assert [name for name, does in waits.items() if does] == ["worker-0"]
    run(ServiceLost("worker-0", "killed"))
    run(ServiceLost("record-processor-0", "killed"))
    configure = told(run.register("record-processor-0.1", "worker-0.1"), Configure)["worker-0.1"]
    assert isinstance(configure, Configure)
    assert configure.waits_for_model


def test_a_start_that_takes_long_says_who_is_missing_but_not_all_the_time():
    run = Run(workers=12)
    run.control()
    run.register(*services("0"))
    assert not notices([tell for second in range(10) for tell in run.tick(second)])
    (said,) = notices([tell for second in range(10, 40) for tell in run.tick(second)])
    assert said.startswith("still waiting for record-processor-1, record-processor-2, ")
    assert said.endswith(" and 14 more")
    run.register(*(name for n in range(1, 11) for name in services(str(n))))
    assert notices(run.tick(41)) == ["still waiting for record-processor-11, worker-11"]


def test_a_cluster_has_longer_to_start_than_one_machine():
    run = Run()
    run.control()
    assert not told(run.tick(899), RunFinished)
    end = told(run.tick(900), RunFinished)["operator"]
    assert isinstance(end, RunFinished)
    assert end.reason.startswith("not ready after 900 s: record-processor-0, ")


def test_a_silent_worker_manager_ends_the_run_by_name():
    run = Run()
    run.begin("0", "1", "2")
    limit_s = 15
    for second in range(10):
        run.now_ns = second * NS_PER_S
        run(Heartbeat("worker-manager", run.now_ns))
        assert run.tick(second) == []
    assert not [tell for second in range(10, 10 + limit_s) for tell in run.tick(second)]
    tells = run.tick(10 + limit_s)
    end = told(tells, RunFinished)["operator"]
    assert isinstance(end, RunFinished)
    assert end.reason == "worker-manager was lost: no sign of life for 15 s"
    assert "worker-manager" in told(tells, Exit)


def test_after_a_pause_of_the_listener_nobody_is_silent():
    watch = HeartbeatWatch(15.0)
    watch.heard("a", 0)
    watch.take_silent(NS_PER_S)
    assert watch.take_silent(3_600 * NS_PER_S) == []
    for second in range(3_601, 3_616):
        assert watch.take_silent(second * NS_PER_S) == []
    assert watch.take_silent(3_616 * NS_PER_S) == ["a"]
    assert watch.take_silent(3_617 * NS_PER_S) == []
