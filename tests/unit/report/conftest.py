"""A small summary made by hand, so that files and screens can be compared with literals."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from aiperf.metrics.distribution import MetricResult
from aiperf.metrics.summary import ErrorEntry, Load, RecordLedger, Summary
from aiperf.metrics.verdict import Verdict
from aiperf.metrics.verdict_reasons import Cause, Direction, Effect, Reason, Severity, Size
from aiperf.schedule.ledger import Ledger


def distribution(unit: str, middle: float, **marks: Any) -> MetricResult:
    shape = {"avg": 1.05, "min": 0.5, "max": 3, "std": 0.25, "count": 0, "sum": 0}
    shape |= {"p1": 0.6, "p5": 0.7, "p10": 0.8, "p25": 0.9, "p50": 1, "p75": 1.25, "p90": 1.5, "p95": 2, "p99": 2.5}
    statistics = {name: factor * middle for name, factor in shape.items()}
    return MetricResult(unit, statistics | {"count": 100, "sum": 105 * middle}, **marks)


def single(unit: str, value: float) -> MetricResult:
    return MetricResult(unit, {"avg": value})


def summary(**changes: Any) -> Summary:
    metrics = {
        "time_to_first_token": distribution("ms", 200, p99_interval=(450.0, math.inf)),
        "inter_token_latency": distribution("ms", 12, p99_interval=(28.0, 30.0)),
        "request_latency": distribution(
            "ms", 1000, lower_bounds=["avg", "max", "sum", "p99"], bound_count=1, p99_interval=(2400.0, math.inf)
        ),
        "adj_request_latency": MetricResult("ms", {"min": 500, "count": 102, "p50": 1001, "p99": math.inf}),
        "output_sequence_length": distribution("tokens", 64, p99_interval=(160.0, math.inf)),
        "request_throughput": single("requests/s", 20.5),
        "output_token_throughput": single("tokens/s", 12_345.6),
        "request_count": single("requests", 100),
        "error_request_count": single("requests", 2),
        "censored_count": single("requests", 1),
        "benchmark_duration": single("s", 4.88),
        "effective_concurrency": MetricResult("requests", {"avg": 19.5, "min": 0, "max": 20, "p50": 20}),
    }  # fmt: skip
    settings: dict[str, Any] = {
        "schema_version": "1.4", "aiperf_version": "0.1.0", "benchmark_id": "b-1", "metrics": metrics,
        "input_config": {
            "endpoint": {
                "models": ["llama"], "urls": ["http://localhost:8000"], "endpoint_type": "chat", "streaming": True,
            },
        },
        "run_info": {"benchmark_id": "b-1"}, "was_cancelled": False, "is_complete": True,
        "error_summary": [
            ErrorEntry("http_status", 503, "overloaded [red]now[/red]\x1b[31m", 1), ErrorEntry("reset", None, "", 1),
        ],
        "start_time": "2026-01-01T00:00:00+00:00", "end_time": "2026-01-01T00:00:05+00:00",
        "verdict": Verdict("degraded", [
            Reason("rearm_delay", Severity.DEGRADED, "Slots stood empty 2.0% of the time between two requests.", [
                Effect("request_throughput", Direction.TOO_LOW, "requests/s", {"avg": Size(0.42, 0.0204)}),
            ]),
            Reason("censored", Severity.NOTE, "1 request was cut."),
        ], [Cause("run_queue_delay", "worker-0", 900.0, "run_queue_delay_ms", "worker-0 waited for a CPU.")]),
        "load": Load(mode="concurrency", concurrency=20, in_flight_avg=19.5),
        "workers": [{"worker_index": 0, "service_id": "worker-0", "request_count": 103}],
        "credits": Ledger(issued=103, completed=100, failed=2, censored=1, offered=103),
        "records": RecordLedger(records=102, lost=0, cut=1), "token_source": "server", "tokenizer": "builtin",
        "timestamp_source": "kernel", "warnings": [], "artifacts": ["profile_export_aiperf.json"],
    }  # fmt: skip
    return Summary(**(settings | changes))


@pytest.fixture
def make_summary() -> Callable[..., Summary]:
    return summary


@pytest.fixture
def make_single() -> Callable[[str, float], MetricResult]:
    return single


@pytest.fixture
def make_distribution() -> Callable[..., MetricResult]:
    return distribution
