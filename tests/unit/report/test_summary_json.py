import json
import math

import pytest

from aiperf.errors import InfrastructureError
from aiperf.report.summary_json import load_summary, write_summary


@pytest.fixture
def written(tmp_path, make_summary):
    path = tmp_path / "profile_export_aiperf.json"
    write_summary(path, make_summary())
    return path


def test_the_keys_stand_in_their_order(written):
    assert list(json.loads(written.read_text())) == [
        "schema_version", "aiperf_version", "benchmark_id",
        "time_to_first_token", "inter_token_latency", "request_latency", "adj_request_latency",
        "output_sequence_length",
        "request_throughput", "output_token_throughput", "request_count", "error_request_count", "censored_count",
        "benchmark_duration", "effective_concurrency",
        "input_config", "run_info", "was_cancelled", "is_complete", "error_summary", "start_time", "end_time",
        "verdict", "load", "workers", "credits", "records", "deferred", "token_source", "tokenizer", "timestamp_source",
        "warnings", "artifacts", "calibration", "promise",
    ]  # fmt: skip


def test_a_distribution_has_unit_statistics_and_what_limits_them(written):
    assert json.loads(written.read_text())["request_latency"] == {
        "unit": "ms", "avg": 1050, "min": 500, "max": 3000, "std": 250, "count": 100, "sum": 105_000,
        "p1": 600, "p5": 700, "p10": 800, "p25": 900, "p50": 1000, "p75": 1250, "p90": 1500, "p95": 2000, "p99": 2500,
        "lower_bounds": ["avg", "max", "sum", "p99"], "bound_count": 1, "insufficient_for": ["p99", "p99.9", "p99.99"],
        "p99_interval": [2400, None],
    }  # fmt: skip


def test_a_single_value_is_its_avg(written):
    assert json.loads(written.read_text())["request_throughput"] == {"unit": "requests/s", "avg": 20.5}


def test_infinity_is_null(written):
    document = json.loads(written.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert document["adj_request_latency"]["p99"] is None


def test_ledgers_errors_and_verdict_are_plain_objects(written):
    document = json.loads(written.read_text())
    assert document["credits"] == {
        "issued": 103, "completed": 100, "failed": 2, "cancelled": 0, "censored": 1, "lost": 0, "unsent": 0,
        "offered": 103,
    }  # fmt: skip
    assert document["error_summary"][1] == {"kind": "reset", "code": None, "message": "", "count": 1}
    assert document["verdict"] == {
        "status": "degraded",
        "reasons": [
            {
                "rule": "rearm_delay",
                "severity": "degraded",
                "text": "Slots stood empty 2.0% of the time between two requests.",
                "effects": [
                    {
                        "metric": "request_throughput",
                        "direction": "too_low",
                        "unit": "requests/s",
                        "sizes": {"avg": {"amount": 0.42, "fraction": 0.0204}},
                    }
                ],
            },
            {"rule": "censored", "severity": "note", "text": "1 request was cut.", "effects": []},
        ],
        "causes": [
            {
                "symptom": "run_queue_delay",
                "worker": "worker-0",
                "amount": 900.0,
                "observation": "run_queue_delay_ms",
                "text": "worker-0 waited for a CPU.",
            }
        ],
    }


def test_loading_brings_back_what_was_written(written, make_summary):
    assert load_summary(written) == make_summary()
    assert load_summary(written).metrics["adj_request_latency"].statistics["p99"] == math.inf


def test_an_interrupted_run_is_marked_in_the_file(tmp_path, make_summary):
    path = tmp_path / "summary.json"
    write_summary(path, make_summary(is_complete=False, was_cancelled=True))
    document = json.loads(path.read_text())
    assert (document["is_complete"], document["was_cancelled"]) == (False, True)


def test_a_later_versions_keys_are_ignored(written, make_summary):
    document = json.loads(written.read_text())
    written.write_text(json.dumps(document | {"a_metric_to_come": {"unit": "ms", "avg": 1}, "news": [1]}))
    assert load_summary(written) == make_summary()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"request_latency": 3}', '{"request_latency": {"avg": 3}}'])
def test_what_is_no_summary_is_refused(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(InfrastructureError, match="is no summary of this version"):
        load_summary(path)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(InfrastructureError, match=r"Cannot read .*No such file"):
        load_summary(tmp_path / "none.json")
