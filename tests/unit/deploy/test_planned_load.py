"""The heaviest moment of a plan; each row is a load and what is known of it."""

import pytest

from aiperf.cli.flags import plan_from_argv
from aiperf.deploy.planned_load import PlannedLoad, planned_load
from aiperf.schedule.phases import phases


def load_of(flags: str) -> PlannedLoad:
    plan, _ = plan_from_argv(["-m", "m", *flags.split()], {})
    return planned_load(plan, phases(plan, 1))


EXPECTED = "--streaming --osl 101 --ttft 500ms --itl 30ms"
"""3.5 s a request."""


@pytest.mark.parametrize(
    ("flags", "connections", "requests_per_s", "chunks_per_s", "requests"),
    [
        ("--concurrency 70", 70, None, None, 140),
        (f"--concurrency 70 {EXPECTED}", 70, 20, 2_020, 140),
        (f"--concurrency 70 --duration 60 {EXPECTED}", 70, 20, 2_020, 1_200),
        ("--concurrency 70 --osl 101 --ttft 500ms --itl 30ms", 70, 20, 20, 140),  # without streaming: one piece
        ("--request-rate 20 --duration 60", 200, 20, 20, 1_200),  # 10 s a request, a guess
        (f"--request-rate 20 --duration 60 {EXPECTED}", 104, 20, 2_020, 1_200),  # 70 on average, and a margin
        (f"--request-rate 20 --concurrency 35 --duration 60 {EXPECTED}", 35, 10, 1_010, 600),  # by the slots
        (f"--request-rate 5 --concurrency 35 --duration 60 {EXPECTED}", 35, 5, 505, 300),  # by the rate
        (f"--concurrency 7 --warmup-concurrency 70 --warmup-duration 9 {EXPECTED}", 70, 20, 2_020, 14 + 180),
    ],
)
def test_what_is_asked_for_at_once(
    flags: str, connections: int, requests_per_s: float | None, chunks_per_s: float | None, requests: int
) -> None:
    load = load_of(flags)
    assert (load.connections, load.requests) == (connections, requests)
    assert load.requests_per_s == (None if requests_per_s is None else pytest.approx(requests_per_s))
    assert load.chunks_per_s == (None if chunks_per_s is None else pytest.approx(chunks_per_s))


def test_a_guess_is_known_as_one() -> None:
    assert not load_of("--request-rate 20 --duration 60").connections_known
    assert load_of(f"--request-rate 20 --duration 60 {EXPECTED}").connections_known
    assert load_of("--request-rate 20 --concurrency 9 --duration 60").connections_known
    assert not load_of("--concurrency 1 --ttft 1s --itl 1s").output_tokens_known


def test_requests_of_a_phase_without_end_or_pace_are_not_known() -> None:
    load = load_of("--concurrency 7 --warmup-request-count 9 --duration 60")
    assert (load.requests, load.requests_known) == (9, False)
    assert load_of("--concurrency 7").requests_known


@pytest.mark.parametrize(
    ("urls", "servers", "on_loopback"),
    [
        ("localhost:8000", 1, True),
        ("http://127.0.0.1:8000,http://127.0.0.2:8000", 2, True),
        ("http://127.0.0.1:8000/a,http://127.0.0.1:8000/b", 1, True),  # the same ports
        ("http://[::1]:8000", 1, False),
        ("https://llm,http://127.0.0.1:80", 2, False),
    ],
)
def test_ports_are_counted_towards_each_host_and_port(urls: str, servers: int, on_loopback: bool) -> None:
    load = load_of(f"--concurrency 1 -u {urls}")
    assert (len(set(load.servers)), load.is_on_loopback) == (servers, on_loopback)
