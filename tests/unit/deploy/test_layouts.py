"""How many services, in which processes, at which addresses."""

from pathlib import Path

import pytest

from aiperf.deploy.layouts import local_layout
from aiperf.deploy.local_size import WORKERS_MAX, local_worker_count
from aiperf.deploy.planned_load import planned_load
from aiperf.errors import PlanError
from aiperf.plan.plan import EndpointPlan, LoadPlan, Plan, ServicesPlan
from aiperf.schedule.phases import phases
from aiperf.service.layout import SINGLETONS, ServiceType, binder_of, read_layout, write_layout
from aiperf.service.machine import Machine


def count(load: LoadPlan, services: ServicesPlan | None = None, cpus: int = 8, files: int = 20_000) -> int:
    plan = Plan(endpoint=EndpointPlan(models=("m",)), load=load, services=services or ServicesPlan())
    return local_worker_count(planned_load(plan, phases(plan, 1)), plan.services, Machine(cpus, files))


@pytest.mark.parametrize(
    ("load", "services", "cpus", "files", "expected"),
    [
        (LoadPlan(concurrency=1), None, 8, 20_000, 1),
        (LoadPlan(concurrency=1_000), None, 8, 20_000, 1),
        (LoadPlan(concurrency=1_001), None, 8, 20_000, 2),
        (LoadPlan(concurrency=100_000), None, 8, 20_000, 8),  # as many as there are CPUs
        (LoadPlan(concurrency=100_000), None, 2, 20_000, 6),  # but enough for the limit of open files
        (LoadPlan(concurrency=5_000), None, 2, 1_024, 6),
        (LoadPlan(request_rate=12_000), None, 8, 20_000, 3),
        (LoadPlan(concurrency=5_000), ServicesPlan(workers_max=2), 8, 20_000, 2),
        (
            LoadPlan(concurrency=30),
            ServicesPlan(connections_per_worker=10),
            2,
            20_000,
            3,
        ),  # an order, whatever the CPUs
        (LoadPlan(concurrency=30), ServicesPlan(connections_per_worker=10, workers_max=2), 8, 20_000, 2),
    ],
)
def test_worker_count(load, services, cpus, files, expected):
    assert count(load, services, cpus, files) == expected


def test_too_few_workers_for_the_limit_of_open_files_is_a_problem_that_says_how_many():
    with pytest.raises(PlanError, match="needs 6 worker processes"):
        count(LoadPlan(concurrency=5_000), ServicesPlan(workers_max=2), files=1_024)


@pytest.mark.parametrize(
    ("load", "services"),
    [
        (LoadPlan(concurrency=1_000_000_000), None),
        (LoadPlan(concurrency=1), ServicesPlan(workers_max=100_000)),
        (LoadPlan(concurrency=1), ServicesPlan(record_processors_count=100_000)),
    ],
)
def test_thousands_of_processes_are_refused(load, services):
    with pytest.raises(PlanError, match="too many for one machine"):
        count(load, services)


def test_a_connection_limit_is_an_order_within_reason():
    assert count(LoadPlan(concurrency=10_000), ServicesPlan(connections_per_worker=1)) == WORKERS_MAX


def layout(workers: int = 5, processors: int | None = None):
    return local_layout(
        run_id="r", workers=workers, processors=processors, artifact_dir=Path("/a"), work_dir=Path("/w"), seed=7
    )


def test_the_control_host_runs_every_service_there_is_once():
    (control,) = (host for host in layout().hosts if host.host_id == "control")
    assert [seat.service_type for seat in control.services] == list(SINGLETONS)


@pytest.mark.parametrize(("workers", "processors", "expected"), [(1, None, 1), (4, None, 1), (5, None, 2), (1, 3, 3)])
def test_one_record_processor_for_four_workers_unless_told_otherwise(workers, processors, expected):
    assert len(layout(workers, processors).services(ServiceType.RECORD_PROCESSOR)) == expected


def test_every_worker_and_record_processor_is_a_process_of_its_own():
    assert sorted(host.host_id for host in layout(2).hosts) == ["control", "record-processor-0", "worker-0", "worker-1"]


def test_workers_of_one_machine_are_neighbours():
    workers = ["worker-0", "worker-1", "worker-2"]
    assert [seat.service_id for seat in layout(3).neighbours("worker-1", ServiceType.WORKER)] == workers


def test_every_channel_has_a_binder_in_the_layout():
    table = layout()
    names = {seat.service_id for seat in table.services()}
    assert {binder_of(channel) for channel in table.addresses} <= names


def test_services_of_the_binders_host_meet_in_process_and_others_by_ipc():
    table = layout()
    assert table.address("credits", "control").startswith("inproc://")
    assert table.address("credits", "worker-0").startswith("ipc:///w/")
    assert table.address("records/record-processor-1", "record-processor-1").startswith("inproc://")


def test_no_two_channels_share_an_address():
    addresses = [address for addresses in layout().addresses.values() for address in addresses]
    assert len(addresses) == len(set(addresses))


def test_a_layout_survives_the_way_to_a_process(tmp_path):
    table = layout()
    write_layout(table, tmp_path / "layout.json")
    assert read_layout(tmp_path / "layout.json") == table
