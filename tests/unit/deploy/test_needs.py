"""What a load needs, as tables; and that no need becomes smaller where a load grows."""

from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.deploy.costs import CONTROL, PROCESSOR, WORKER
from aiperf.deploy.needs import Needs, needs, ports_per_server
from aiperf.deploy.planned_load import PlannedLoad


def load(**changes: object) -> PlannedLoad:
    plain = PlannedLoad(connections=1_000, requests_per_s=None, chunks_per_request=100, requests=0, tls=False)
    return replace(plain, **{"servers": ("llm:80",), **changes})  # type: ignore[arg-type]


def test_without_a_pace_cpus_are_not_known() -> None:
    needed = needs(load(), 1, 1)
    assert (needed.cpus, needed.worker_cpus, needed.processor_cpus, needed.control_cpus) == (None, None, None, None)


@pytest.mark.parametrize(
    ("connections", "tls", "worker_mib", "kernel_mb"),
    [(1, False, 64, 0), (10_000, False, 87, 44), (1_000, True, 101, 4), (100_000, False, 293, 440)],
)
def test_memory_of_connections(connections: int, tls: bool, worker_mib: int, kernel_mb: int) -> None:
    needed = needs(load(connections=connections, tls=tls), 1, 1)
    assert round(needed.worker_bytes / 2**20) == worker_mib
    assert round(needed.kernel_bytes / 1e6) == kernel_mb


@pytest.mark.parametrize(
    ("requests_per_s", "chunks", "workers", "processors", "control"),
    [
        (1, 1, 0.010, 0.003, 0.009),  # nearly idle
        (1_000, 1, 0.0575, 0.038, 0.015),
        (1_000, 100, 0.984, 0.434, 0.025),  # 100,000 chunks/s
        (10, 100, 0.047, 0.007, 0.010),  # 1,000 chunks/s, most of which wake the worker up
    ],
)
def test_cpus_at_a_pace(requests_per_s: float, chunks: int, workers: float, processors: float, control: float) -> None:
    needed = needs(load(requests_per_s=requests_per_s, chunks_per_request=chunks), 1, 1)
    assert needed.worker_cpus == pytest.approx(workers, abs=0.001)
    assert needed.processor_cpus == pytest.approx(processors, abs=0.001)
    assert needed.control_cpus == pytest.approx(control, abs=0.001)


@pytest.mark.parametrize(
    ("request_s", "gap_s", "cpus"),
    [
        (None, None, 0.053),
        (1.0, 0.02, 0.053),  # each chunk is read as it comes
        (10.0, 0.5, 0.031),  # every 4.9 ms, what has come until then
        (20.0, 2.0, 0.027),  # every 9.8 ms
    ],
)
def test_slow_streams_wake_a_worker_up_less_often(request_s: float | None, gap_s: float | None, cpus: float) -> None:
    slow = load(requests_per_s=10, chunks_per_request=128, request_s=request_s, gap_s=gap_s)
    assert needs(slow, 1, 1).worker_cpus == pytest.approx(cpus, abs=0.001)


def test_at_a_rate_each_request_and_each_chunk_wakes_a_worker_up() -> None:
    closed, at_a_rate = (
        needs(load(requests_per_s=1_000, chunks_per_request=1, rate_asked_rps=rate), 1, 1).worker_cpus
        for rate in (None, 1_000.0)
    )
    assert closed == pytest.approx(0.0575, abs=0.001)
    assert at_a_rate == pytest.approx(0.122, abs=0.001)


@pytest.mark.parametrize(
    ("changes", "ports"),
    [
        ({"connections": 1_000_000}, 1_000_000),
        ({"connections": 1_000_000, "servers": ("a:80", "b:80")}, 500_000),
        ({"connections": 900_000, "servers": ("a:80", "b:80", "a:80")}, 600_000),  # dealt to URLs in turn
        ({"connections": 10, "opens_each": True, "requests_per_s": 100}, 6_010),  # a minute of TIME_WAIT
        ({"connections": 10, "opens_each": True}, 10),
    ],
)
def test_ports(changes: dict[str, object], ports: int) -> None:
    assert ports_per_server(load(**changes)) == ports


def figures(needed: Needs) -> list[float]:
    return [figure or 0.0 for figure in astuple(needed)]


counts = st.integers(1, 10**7)
paces = st.floats(0, 10**6)


@given(counts, counts, paces, paces, st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 500), st.booleans())
def test_no_need_shrinks_where_the_load_grows(
    connections: int, more: int, pace: float, faster: float, chunks: int, longer: int, workers: int, tls: bool
) -> None:
    smaller = load(connections=connections, requests_per_s=pace, chunks_per_request=chunks, requests=more, tls=tls)
    for growth in (
        {"connections": connections + more},
        {"requests_per_s": pace + faster},
        {"chunks_per_request": chunks + longer},
        {"requests": 2 * more},
        {"tls": True},
        {"opens_each": True},
    ):
        before = figures(needs(smaller, workers, workers))
        after = figures(needs(replace(smaller, **growth), workers, workers))  # type: ignore[arg-type]
        assert all(now >= then * (1 - 1e-12) for then, now in zip(before, after, strict=True)), growth


@given(paces, paces, st.integers(1, 100))
def test_a_lone_chunk_costs_a_wake_up_and_a_dense_stream_hardly_any(slow: float, fast: float, processes: int) -> None:
    for cost in (WORKER, PROCESSOR, CONTROL):
        woken = cost.cpus(0, slow, processes) - processes * cost.idle_cpus - cost.load_cpus(0, slow)
        assert -1e-9 <= woken <= slow * cost.wake_us / 1e6 + 1e-9
        assert woken <= processes * cost.wake_us / 1e6 / cost.gather_s + 1e-9
        low, high = sorted((slow, fast))
        assert cost.cpus(0, low, processes) <= cost.cpus(0, high, processes) + 1e-9
