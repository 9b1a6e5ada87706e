"""How `connections.py` joins a report with the servers' logs, and the addresses it connects from."""

import json

import pytest
from connections import joined, source_addresses

MS = 1_000_000


@pytest.fixture
def folder(tmp_path):
    """Two requests that overlap, in the logs of two processes, a third one after them, and one that failed."""

    def truth(name, *requests):
        lines = [
            {"request_id": name, "received_ns": begin * MS, "sent_ns": [first * MS], "after_ns": [end * MS], "more": 1}
            for name, begin, first, end in requests
        ]
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))

    truth("truth.0", ("a", 0, 100, 200), ("c", 200, 310, 400))
    truth("truth.1", ("b", 150, 200, 250))
    run = tmp_path / "artifacts" / "run"
    run.mkdir(parents=True)
    lines = [
        {"metadata": {"x_request_id": name}, "metrics": {"time_to_first_token": {"value": ttft, "unit": "ms"}}}
        for name, ttft in (("a", 100.5), ("b", 49.75), ("c", 110.0))
    ]
    lines.append({"metadata": {"x_request_id": "d"}, "metrics": {}, "error": {"kind": "connect_timeout"}})
    (run / "profile_export.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_requests_are_joined_over_all_logs(folder):
    found = joined(folder)
    assert (found.requests, found.errors) == (4, {"connect_timeout": 1})
    assert found.ttft_errors_ms.tolist() == pytest.approx([0.5, -0.25, 0.0])


def test_streams_in_service_at_once_are_counted_over_all_logs(folder):
    assert joined(folder).at_once == 2


@pytest.mark.parametrize(("count", "text"), [(1, "127.0.0.2-127.0.0.2"), (300, "127.0.0.2-127.0.1.45")])
def test_source_addresses_are_as_many_as_asked_for(count, text):
    assert source_addresses(count) == text
