"""Hosts and addresses of a run in a cluster."""

import msgspec
import pytest

from aiperf.deploy.layouts import kubernetes_layout
from aiperf.service.layout import SINGLETONS, Layout, ServiceType, binder_of

BASE = "aiperf-r1"


def layout(topology: str, workers: int = 2, processors: int = 2) -> Layout:
    return kubernetes_layout(run_id="r1", topology=topology, workers=workers, processors=processors, seed=7)


def test_compact_has_one_control_host_and_a_record_processor_beside_each_worker() -> None:
    table = layout("compact")
    assert [(host.host_id, host.health_port) for host in table.hosts] == [
        ("control", 8081),
        ("worker-0", 8081),
        ("worker-1", 8081),
        ("record-processor-0", 8082),
        ("record-processor-1", 8082),
    ]
    assert [seat.service_type for seat in table.host("control").services] == list(SINGLETONS)


@pytest.mark.parametrize("topology", ["compact", "per-service"])
def test_a_worker_has_its_pod_s_address_to_itself(topology: str) -> None:
    table = layout(topology, workers=3, processors=3)
    assert [seat.service_id for seat in table.neighbours("worker-1", ServiceType.WORKER)] == ["worker-1"]


def test_per_service_has_a_host_for_each() -> None:
    table = layout("per-service", workers=5)
    assert all(len(host.services) == 1 for host in table.hosts)
    assert all(host.host_id == host.services[0].service_id for host in table.hosts)
    assert {host.health_port for host in table.hosts} == {8081}


@pytest.mark.parametrize(
    ("topology", "addresses"),
    [
        (
            "compact",
            {
                "control": ["inproc://control", f"tcp://controller.{BASE}:5551"],
                "credits": ["inproc://credits", f"tcp://controller.{BASE}:5552"],
                "columns": ["inproc://columns", f"tcp://controller.{BASE}:5553"],
                "records/record-processor-0": ["inproc://records/record-processor-0", "tcp://127.0.0.1:5554"],
                "records/record-processor-1": ["inproc://records/record-processor-1", "tcp://127.0.0.1:5554"],
            },
        ),
        (
            "per-service",
            {
                "control": ["inproc://control", f"tcp://controller.{BASE}:5551"],
                "credits": ["inproc://credits", f"tcp://timing-manager.{BASE}:5552"],
                "columns": ["inproc://columns", f"tcp://records-manager.{BASE}:5553"],
                "records/record-processor-0": [
                    "inproc://records/record-processor-0",
                    f"tcp://{BASE}-record-processor-0.{BASE}:5554",
                ],
                "records/record-processor-1": [
                    "inproc://records/record-processor-1",
                    f"tcp://{BASE}-record-processor-1.{BASE}:5554",
                ],
            },
        ),
    ],
)
def test_addresses(topology: str, addresses: dict[str, list[str]]) -> None:
    assert layout(topology).addresses == addresses


@pytest.mark.parametrize("topology", ["compact", "per-service"])
def test_binders_listen_where_others_call_them(topology: str) -> None:
    table = layout(topology)
    assert table.bind_addresses("control") == ["inproc://control", "tcp://*:5551"]
    place = "127.0.0.1" if topology == "compact" else "*"
    assert table.bind_addresses("records/record-processor-1")[-1] == f"tcp://{place}:5554"


def test_services_of_one_host_meet_in_process_and_others_by_name() -> None:
    assert layout("compact").address("credits", "control") == "inproc://credits"
    assert layout("compact").address("credits", "worker-1").startswith("tcp://controller.")
    assert layout("per-service").address("credits", "system-controller").startswith("tcp://timing-manager.")


@pytest.mark.parametrize("topology", ["compact", "per-service"])
def test_no_host_listens_twice_at_one_address(topology: str) -> None:
    table = layout(topology)
    for host in table.hosts:
        ids = {seat.service_id for seat in host.services}
        bound = [a for channel in table.addresses if binder_of(channel) in ids for a in table.bind_addresses(channel)]
        assert len(bound) == len(set(bound))


def test_in_the_compact_topology_every_worker_sends_to_its_own_neighbour() -> None:
    """Workers take record processors in turn by index: with as many of both, worker `i` has the one beside it."""
    table = layout("compact", workers=12, processors=12)
    workers, processors = (table.services(kind) for kind in (ServiceType.WORKER, ServiceType.RECORD_PROCESSOR))
    for index, worker in enumerate(workers):
        processor = processors[index % len(processors)]
        assert worker.service_id.rpartition("-")[2] == processor.service_id.rpartition("-")[2]


def test_the_layout_of_the_largest_run_fits_into_a_config_map() -> None:
    assert len(msgspec.json.encode(layout("compact", workers=2_000, processors=2_000))) < 1 << 20


@pytest.mark.parametrize("topology", ["compact", "per-service"])
def test_calibration_servers_have_pods_of_their_own(topology: str) -> None:
    table = kubernetes_layout(run_id="r1", topology=topology, workers=2, processors=2, seed=7, calibration_servers=2)
    assert [host.host_id for host in table.hosts][-2:] == ["calibration-server-0", "calibration-server-1"]
    assert table.calibration_urls == [f"http://{BASE}-calibration-server-{n}.{BASE}:5555" for n in range(2)]
    assert layout(topology).calibration_urls == []
