"""How many, how large; each row is a load and what it asks of a cluster."""

import pytest

from aiperf.cli.flags import plan_from_argv
from aiperf.deploy.costs import PLAIN_CONNECTION_BYTES, PROCESS_BYTES, TLS_CONNECTION_BYTES
from aiperf.deploy.kubernetes.names import Component
from aiperf.deploy.kubernetes.sizing import Sizing, connections_per_worker, size_run
from aiperf.errors import PlanError
from aiperf.plan.quantities import GIB, MIB
from aiperf.schedule.phases import phases


def sized(flags: str, **known: bool) -> Sizing:
    plan, _ = plan_from_argv(["-m", "m", "-u", "http://llm:8000", "--kubernetes", *flags.split()], {})
    return size_run(plan, phases(plan, 1), **known)


@pytest.mark.parametrize("topology", ["compact", "per-service"])
def test_a_run_of_concurrency_100_asks_for_at_most_one_cpu_and_one_gib(topology: str) -> None:
    sizing = sized(f"--concurrency 100 --streaming --topology {topology}")
    assert sizing.cpu_millicores <= 1000
    assert sizing.memory_bytes <= GIB


def test_a_hundred_thousand_connections_fit_on_a_small_cluster() -> None:
    sizing = sized("--concurrency 100000 --duration 300 --streaming")
    assert sizing.workers <= 10
    assert sizing.cpu_millicores <= 1500
    assert sizing.memory_bytes <= 3 * GIB


@pytest.mark.parametrize(
    ("flags", "workers", "processors", "pods"),
    [
        ("--concurrency 1", 1, 1, 2),
        ("--concurrency 10000", 1, 1, 2),
        ("--concurrency 10001", 2, 2, 3),
        ("--concurrency 1000000", 100, 100, 101),
        ("--concurrency 1000000 -u https://host", 200, 200, 201),  # TLS state is memory
        ("--concurrency 30 --connections-per-worker 10", 3, 3, 4),
        ("--concurrency 30 --connections-per-worker 10 --workers-max 2", 2, 2, 3),
        ("--request-rate 35000 --duration 60", 35, 35, 36),  # many at once, if each takes ten seconds
        ("--request-rate 1000 --streaming --osl 110 --duration 60", 3, 3, 4),  # 110,000 chunks/s: a busy core and more
        ("--request-rate 1000 --streaming --osl 110 --duration 60 --concurrency 50", 3, 3, 4),
        ("--concurrency 30 --connections-per-worker 10 --topology per-service", 3, 1, 9),
        ("--concurrency 50 --connections-per-worker 10 --topology per-service", 5, 2, 12),
        ("--concurrency 50 --connections-per-worker 10 --topology per-service --record-processors 4", 5, 4, 14),
        ("--request-rate 2000 --streaming --osl 500 --duration 9 --topology per-service", 19, 9, 33),  # by their work
    ],
)
def test_how_many_pods_a_load_takes(flags: str, workers: int, processors: int, pods: int) -> None:
    sizing = sized(flags)
    assert (sizing.workers, sizing.processors, sizing.pods) == (workers, processors, pods)


def test_totals_count_every_container() -> None:
    sizing = sized("--concurrency 30 --connections-per-worker 10")
    worker, processor, controller = (
        sizing.resources[component]
        for component in (Component.WORKER, Component.RECORD_PROCESSOR, Component.CONTROLLER)
    )
    expected = 3 * (worker.cpu_millicores + processor.cpu_millicores) + controller.cpu_millicores
    assert sizing.cpu_millicores == expected
    assert sizing.memory_bytes == 3 * (worker.memory_bytes + processor.memory_bytes) + controller.memory_bytes


def test_workers_have_no_cpu_limit_and_record_processors_have_one() -> None:
    resources = sized("--concurrency 100").resources
    assert resources[Component.WORKER].cpu_limit_millicores is None
    assert resources[Component.CONTROLLER].cpu_limit_millicores is None
    assert resources[Component.RECORD_PROCESSOR].cpu_limit_millicores == 1_000


def test_everything_is_limited_where_a_quota_demands_it() -> None:
    for each in sized("--concurrency 100 --topology per-service", cpu_limits_demanded=True).resources.values():
        assert each.cpu_limit_millicores is not None
        assert each.cpu_limit_millicores >= each.cpu_millicores


@pytest.mark.parametrize("flags", ["--concurrency 1", "--concurrency 500000", "--request-rate 5000 --duration 60"])
@pytest.mark.parametrize("topology", ["compact", "per-service"])
def test_memory_is_always_limited_above_what_is_asked_for(flags: str, topology: str) -> None:
    for each in sized(f"{flags} --topology {topology}").resources.values():
        assert each.memory_limit_bytes > each.memory_bytes >= 64 * MIB


def test_a_known_rate_is_asked_for_with_headroom() -> None:
    sizing = sized("--request-rate 1000 --streaming --osl 110 --duration 60")
    needed_millicores = 1000 * 110 * 1e6 / 110_000 / 1000
    assert sizing.chunks_per_s == 110_000
    assert sizing.workers * sizing.resources[Component.WORKER].cpu_millicores > 1.4 * needed_millicores


def test_more_connections_ask_for_more_memory() -> None:
    few, many, tls = (
        sized(flags).resources[Component.WORKER].memory_bytes
        for flags in ("--concurrency 10", "--concurrency 9000", "--concurrency 4000 -u https://host")
    )
    assert few < many < tls
    assert many >= PROCESS_BYTES + 9_000 * PLAIN_CONNECTION_BYTES
    assert tls >= PROCESS_BYTES + 4_000 * TLS_CONNECTION_BYTES


def test_the_rows_of_a_long_run_are_in_the_controllers_limit() -> None:
    short, long = (
        sized(f"--request-rate 1000 --duration {seconds}").resources[Component.CONTROLLER].memory_limit_bytes
        for seconds in (10, 3600)
    )
    assert long - short > 3_500_000 * 200


@pytest.mark.parametrize(
    ("flag", "component"),
    [
        ("worker", Component.WORKER),
        ("record-processor", Component.RECORD_PROCESSOR),
        ("controller", Component.CONTROLLER),
        ("worker-manager", Component.WORKER_MANAGER),
        ("dataset-manager", Component.DATASET_MANAGER),
        ("timing-manager", Component.TIMING_MANAGER),
        ("records-manager", Component.RECORDS_MANAGER),
    ],
)
def test_every_size_can_be_told(flag: str, component: Component) -> None:
    each = sized(f"--topology per-service --{flag}-cpu 1.5 --{flag}-memory 3Gi").resources[component]
    assert (each.cpu_millicores, each.memory_bytes, each.memory_limit_bytes) == (1500, 3 * GIB, 3 * GIB)
    assert each.cpu_limit_millicores in (None, 3000)


def test_more_pods_than_were_ever_tried_are_a_problem() -> None:
    with pytest.raises(PlanError, match="1,000,000,000 connections need 100,000 worker pods"):
        sized("--concurrency 1000000000")


def test_more_ready_workers_than_there_are_would_be_waited_for_in_vain() -> None:
    assert sized("--concurrency 20000 --min-workers 2").workers == 2
    with pytest.raises(PlanError, match="3 workers are never ready: this load has 2"):
        sized("--concurrency 20000 --min-workers 3")


def test_connections_of_a_worker_follow_from_their_cost() -> None:
    assert connections_per_worker(tls=False) == 10_000
    assert connections_per_worker(tls=True) == 5_000
