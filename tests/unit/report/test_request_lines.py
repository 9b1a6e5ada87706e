import json
from typing import Any

import numpy as np

from aiperf.endpoint.exchange import ErrorKind, Outcome
from aiperf.plan.dumps import MASK
from aiperf.record.answer import Chunk
from aiperf.record.assembly import RawResponse
from aiperf.record.facts import FACTS_DTYPE, FactsArray
from aiperf.record.request_id import x_correlation_id, x_request_id
from aiperf.report.request_lines import LineContext, raw_lines, request_lines

CONTEXT = LineContext(
    benchmark_id="run",
    record_processor_id="record-processor-0",
    workers=["worker-0", 'worker-"1"'],
    urls=["http://a", "http://b"],
    conversation_id=lambda entry: f"session-{entry}",
)


def facts_of(*rows: dict[str, int]) -> FactsArray:
    facts = np.zeros(len(rows), FACTS_DTYPE)
    usual = {"phase": 1, "due_ns": -1, "dispatched_ns": 100, "sent_ns": 110, "first_byte_ns": 150, "end_ns": 200}
    for index, row in enumerate(rows):
        for name, value in (usual | row).items():
            facts[index][name] = value
    return facts


def lines_of(facts: FactsArray, metrics: dict[str, list[float]] | None = None, **units: str) -> list[Any]:
    columns = {tag: np.array(values) for tag, values in (metrics or {}).items()}
    lines = request_lines(facts, columns, units, ["why"] * len(facts), CONTEXT)
    assert all(line.endswith(b"}\n") and line.count(b"\n") == 1 for line in lines)
    return [json.loads(line) for line in lines]


def test_metadata_of_a_line() -> None:
    [line] = lines_of(
        facts_of({"credit_index": 5, "turn_index": 2, "worker_index": 1, "url_index": 1, "entry_index": 7})
    )
    assert line == {
        "metadata": {
            "session_num": 5,
            "x_request_id": x_request_id("run", 5, 2),
            "x_correlation_id": x_correlation_id("run", 5),
            "conversation_id": "session-7",
            "turn_index": 2,
            "credit_issued_ns": 100,
            "request_start_ns": 110,
            "request_ack_ns": 150,
            "request_end_ns": 200,
            "worker_id": 'worker-"1"',
            "record_processor_id": "record-processor-0",
            "benchmark_phase": "profiling",
            "was_cancelled": False,
            "outcome": "completed",
            "due_ns": None,
            "url": "http://b",
        },
        "metrics": {},
        "error": None,
    }


def test_request_that_was_never_sent() -> None:
    row = {"sent_ns": -1, "first_byte_ns": -1, "due_ns": 90, "outcome": Outcome.FAILED, "phase": 0}
    [line] = lines_of(facts_of(row | {"error_kind": ErrorKind.CONNECT_REFUSED}))
    metadata = line["metadata"]
    assert (metadata["request_start_ns"], metadata["request_ack_ns"], metadata["due_ns"]) == (100, None, 90)
    assert metadata["benchmark_phase"] == "warmup"
    assert line["error"] == {"kind": "connect_refused", "code": None, "message": "why"}


def test_code_of_an_error_is_its_http_status() -> None:
    row = {"outcome": Outcome.FAILED, "error_kind": ErrorKind.HTTP_STATUS, "http_status": 503}
    [line] = lines_of(facts_of(row))
    assert line["error"] == {"kind": "http_status", "code": 503, "message": "why"}


def test_cut_requests_are_cancelled_ones_to_scripts() -> None:
    cut = [{"outcome": outcome, "error_kind": ErrorKind.CUT} for outcome in (Outcome.CANCELLED, Outcome.CENSORED)]
    metadata = [line["metadata"] for line in lines_of(facts_of(*cut))]
    assert [(row["was_cancelled"], row["outcome"]) for row in metadata] == [(True, "cancelled"), (True, "censored")]


def test_undefined_metrics_are_left_out() -> None:
    nan, inf = float("nan"), float("inf")
    metrics = {"ttft": [1.5, nan, 3.25, nan], "osl": [7.0, 8.0, nan, nan], "itl": [0.1 + 0.2, inf, nan, nan]}
    lines = lines_of(facts_of({}, {}, {}, {}), metrics, ttft="ms", osl="tokens", itl="ms")
    assert [line["metrics"] for line in lines] == [
        {
            "ttft": {"value": 1.5, "unit": "ms"},
            "osl": {"value": 7, "unit": "tokens"},
            "itl": {"value": 0.1 + 0.2, "unit": "ms"},
        },
        {"osl": {"value": 8, "unit": "tokens"}},
        {"ttft": {"value": 3.25, "unit": "ms"}},
        {},
    ]


def test_whole_numbers_have_no_fraction() -> None:
    lines = request_lines(
        facts_of({}),
        {"a": np.array([10.0]), "b": np.array([10.05]), "c": np.array([0.0])},
        {"a": "%", "b": "%", "c": "%"},
        [""],
        CONTEXT,
    )
    assert (
        b'"metrics":{"a":{"value":10,"unit":"%"},"b":{"value":10.05,"unit":"%"},"c":{"value":0,"unit":"%"}}' in lines[0]
    )


def test_no_records_give_no_lines() -> None:
    assert request_lines(facts_of(), {"a": np.array([])}, {"a": "ms"}, [], CONTEXT) == []


def test_raw_line() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nSet-Cookie: a=b\r\nVia: x\r\nvia: y\r\n\r\n"
    response = RawResponse(head, [Chunk(150, 10, b'{"a":1}'), Chunk(200, 0, b"\xff")])
    headers = {"Authorization": "Bearer secret", "X-Api-Key": "secret", "X-Auth": "secret", "X-Team": "mine"}
    facts = facts_of({"http_status": 200}, {"http_status": 0, "error_kind": ErrorKind.RESET})
    bodies = [b'{"model":"m"}', b""]
    lines = raw_lines(facts, [response, RawResponse(b"", [])], bodies, headers, ["", "why"], CONTEXT)
    whole, broken = map(json.loads, lines)
    assert whole["payload"] == {"model": "m"}
    assert whole["request_headers"] == {"Authorization": MASK, "X-Api-Key": MASK, "X-Auth": MASK, "X-Team": "mine"}
    assert whole["status"] == 200
    assert whole["response_headers"] == {"content-type": "text/event-stream", "set-cookie": MASK, "via": "x, y"}
    assert whole["responses"] == [
        {"received_ns": 150, "width_ns": 10, "text": '{"a":1}'},
        {"received_ns": 200, "width_ns": 0, "text": "\ufffd"},
    ]
    assert whole["error"] is None
    assert whole["metadata"] == lines_of(facts)[0]["metadata"]
    assert (broken["payload"], broken["status"], broken["error"]["message"]) == (None, None, "why")
    assert b"secret" not in b"".join(lines)


def test_a_line_does_not_depend_on_those_it_is_made_with() -> None:
    facts = facts_of(
        {"credit_index": 1, "entry_index": 1},
        {"credit_index": 2, "entry_index": 2, "due_ns": 90, "worker_index": 1, "outcome": Outcome.CENSORED},
        {"credit_index": 3, "first_byte_ns": -1, "sent_ns": -1, "url_index": 1, "turn_index": 4},
        {"credit_index": 4, "error_kind": ErrorKind.HTTP_STATUS, "http_status": 503, "outcome": Outcome.FAILED},
    )
    metrics = {"a": [1.0, 1.0, 1.5, np.nan], "b": [2.0, np.nan, 2.0, 2.0], "c": [3.0, 3.0, 3.0, 3.0]}
    units = {"a": "ms", "b": "%", "c": "tokens"}
    together = lines_of(facts, metrics, **units)
    alone = [
        lines_of(facts[row : row + 1], {tag: values[row : row + 1] for tag, values in metrics.items()}, **units)[0]
        for row in range(len(facts))
    ]
    assert together == alone
    assert [sorted(line["metrics"]) for line in together] == [["a", "b", "c"], ["a", "c"], ["a", "b", "c"], ["b", "c"]]


def test_no_records_make_no_lines() -> None:
    assert lines_of(facts_of(), {"a": []}, a="ms") == []
